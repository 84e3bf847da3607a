use lnmp::{Act, Verdict};

use super::*;
use crate::StoreError;

/// REPLACE of the only mail in `from` by one of this digest in `to`.
async fn replace(store: &Subject, account: AccountId, from: Place, to: Place, digest: u8) -> crate::Appended {
    let old = only(store, account, from).await.uid;
    let (from, to) = (folder(store, account, from).await.id, folder(store, account, to).await.id);
    let append = Append { account, mailbox: to, messages: vec![new_message(digest)], replaces: Some((from, old)) };
    store.append(append, NOW).await.unwrap()
}

pub async fn messages_appended_together_are_all_there_or_none_is(store: Subject) {
    let alice = account(&store, "alice").await;
    append(&store, alice, Place::Drafts, 1, NOW).await;
    let mailbox = folder(&store, alice, Place::Drafts).await;
    let many = |messages| Append { account: alice, mailbox: mailbox.id, messages, replaces: None };
    let appended = store.append(many(vec![new_message(2), new_message(3), new_message(4)]), NOW).await.unwrap();
    assert_eq!(appended.uids.iter().map(|uid| uid.get()).collect::<Vec<_>>(), [2, 3, 4]);
    let shown = entries(&store, alice, Place::Drafts).await;
    assert_eq!(shown[1..].iter().map(|entry| entry.message).collect::<Vec<_>>(), appended.messages);

    let mut changes = store.watch();
    let before = folder(&store, alice, Place::Drafts).await;
    let broken = NewMessage { keywords: vec!["x".repeat(300)], ..new_message(6) };
    let refused = store.append(many(vec![new_message(5), broken]), NOW).await;
    assert!(matches!(refused, Err(StoreError::Limit(_))), "{refused:?}");
    let too_many = (0..=crate::limits::APPEND_MESSAGES_MAX).map(|_| new_message(5)).collect();
    assert!(matches!(store.append(many(too_many), NOW).await, Err(StoreError::Limit(_))));
    let after = folder(&store, alice, Place::Drafts).await;
    assert_eq!((after.uid_next, after.highest_modseq), (before.uid_next, before.highest_modseq));
    assert_eq!(entries(&store, alice, Place::Drafts).await.len(), 4);
    assert!(changes.try_recv().is_err());
}

pub async fn a_replaced_message_goes_as_its_successor_comes(store: Subject) {
    let alice = account(&store, "alice").await;
    let first = append(&store, alice, Place::Drafts, 1, NOW).await;
    let since = folder(&store, alice, Place::Drafts).await.highest_modseq;
    let second = replace(&store, alice, Place::Drafts, Place::Drafts, 2).await;
    assert_eq!(only(&store, alice, Place::Drafts).await.uid, second.uids[0]);
    assert!(store.content(alice, first.messages[0]).await.unwrap().is_none());
    let drafts = folder(&store, alice, Place::Drafts).await.id;
    let changes = store.changes(alice, drafts, since).await.unwrap();
    assert_eq!((changes.changed.len(), changes.vanished), (1, first.uids));
    // RFC 8508 §1: into another mailbox, as when a draft was sent.
    replace(&store, alice, Place::Drafts, Place::Sent, 3).await;
    assert!(entries(&store, alice, Place::Drafts).await.is_empty());
    assert_eq!(entries(&store, alice, Place::Sent).await.len(), 1);
}

pub async fn nothing_replaces_a_message_that_is_gone(store: Subject) {
    let (alice, bob) = (account(&store, "alice").await, account(&store, "bob").await);
    let gone = append(&store, alice, Place::Drafts, 1, NOW).await.uids[0];
    expunge_only(&store, alice, Place::Drafts, NOW).await;
    let drafts = folder(&store, alice, Place::Drafts).await.id;
    let replaces = |from, uid| Append {
        account: alice,
        mailbox: drafts,
        messages: vec![new_message(2)],
        replaces: Some((from, uid)),
    };
    let refused = store.append(replaces(drafts, gone), NOW).await;
    assert!(matches!(refused, Err(StoreError::NoSuch("message"))), "{refused:?}");
    let theirs = append(&store, bob, Place::Drafts, 1, NOW).await.uids[0];
    let bobs = folder(&store, bob, Place::Drafts).await.id;
    assert!(matches!(store.append(replaces(bobs, theirs), NOW).await, Err(StoreError::NoSuch(_))));
    assert!(entries(&store, alice, Place::Drafts).await.is_empty());
    assert_eq!(entries(&store, bob, Place::Drafts).await.len(), 1);
}

pub async fn replacing_a_paid_mail_by_its_own_content_elsewhere_accepts_it(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    replace(&store, alice, Place::Requests, Place::Inbox, 7).await;
    assert_state(&store, paid.gate, GateState::Settling).await;
    assert!(entries(&store, alice, Place::Requests).await.is_empty());
    assert_eq!(only(&store, alice, Place::Inbox).await.keywords, ["$Accepted", "$Paid", "Mine"]);
}

pub async fn replacing_a_paid_mail_by_another_arms_its_decline(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    replace(&store, alice, Place::Requests, Place::Inbox, 8).await;
    assert_state(&store, paid.gate, GateState::Held).await;
    let over = store.decide(paid.gate, Act::GraceOver { lies: None }, NOW + 10 * MINUTE).await.unwrap();
    assert_eq!((over.verdict, over.state), (Verdict::Decline, GateState::Declined));
    assert_eq!(entries(&store, alice, Place::Inbox).await.len(), 1);
}

pub async fn out_of_junk_by_append_and_expunge_in_either_order_keeps_the_mail(store: Subject) {
    // Outlook (facts/mail.md quirk 4): one connection APPENDs to INBOX while another EXPUNGEs in Junk.
    for (name, append_first) in [("alice", true), ("bob", false)] {
        let user = account(&store, name).await;
        let gate = deliver(&store, priced(user, "eve@shop.test")).await.gate.unwrap();
        move_only(&store, user, Place::Unpaid, Place::Junk, NOW).await;
        if append_first {
            append(&store, user, Place::Inbox, 7, NOW).await;
            expunge_only(&store, user, Place::Junk, NOW).await;
        } else {
            expunge_only(&store, user, Place::Junk, NOW).await;
            append(&store, user, Place::Inbox, 7, NOW).await;
        }
        for kind in jobs(&store, NOW + HOUR).await {
            if let JobKind::Grace(gate) = kind {
                store.decide(gate, Act::GraceOver { lies: None }, NOW + HOUR).await.unwrap();
            }
        }
        let kept = only(&store, user, Place::Inbox).await;
        assert!(store.content(user, kept.message).await.unwrap().is_some(), "{name}");
        assert_eq!(store.summaries(user, &[kept.message]).await.unwrap().len(), 1);
        assert_state(&store, gate, GateState::Waived).await;
    }
}
