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
    // RFC 8508 §3.4: into another mailbox, as when a draft was sent.
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

/// What a submission files.
fn sent_copy(account: AccountId, id: &str) -> Batch {
    let copy = Delivery {
        author: None,
        flags: Flags::SEEN,
        message_id: Some(id.into()),
        ..mail(account, Place::Sent, "alice@satchel.test")
    };
    Batch { sent_copies: vec![copy], ..Batch::default() }
}

/// An APPEND to Sent of mails with these Message-IDs.
async fn append_to_sent(store: &Subject, account: AccountId, ids: &[&str], now: UnixMs) -> crate::Appended {
    let messages = ids.iter().map(|&id| NewMessage { message_id: Some(id.into()), ..new_message(1) }).collect();
    let mailbox = folder(store, account, Place::Sent).await.id;
    store.append(Append { account, mailbox, messages, replaces: None }, now).await.unwrap()
}

pub async fn a_clients_own_sent_copy_takes_the_place_of_the_filed_one(store: Subject) {
    let alice = account(&store, "alice").await;
    assert!(store.commit(sent_copy(alice, "<1@satchel.test>"), NOW).await.unwrap().is_empty());
    store.commit(sent_copy(alice, "<2@satchel.test>"), NOW).await.unwrap();
    let filed = entries(&store, alice, Place::Sent).await;
    assert_eq!((filed.len(), filed[0].flags), (2, Flags::SEEN));
    let since = folder(&store, alice, Place::Sent).await.highest_modseq;
    let ours = append_to_sent(&store, alice, &["<1@satchel.test>"], NOW).await;
    let shown = entries(&store, alice, Place::Sent).await;
    assert_eq!(shown.iter().map(|entry| entry.message).collect::<Vec<_>>(), [filed[1].message, ours.messages[0]]);
    assert!(ours.uids[0] > filed[1].uid, "the client's copy has a UID of its own");
    assert!(store.content(alice, filed[0].message).await.unwrap().is_none());
    // One transaction: whoever looks sees both, or neither.
    let sent = folder(&store, alice, Place::Sent).await;
    let changes = store.changes(alice, sent.id, since).await.unwrap();
    assert_eq!((changes.changed.len(), changes.vanished, sent.highest_modseq.0), (1, vec![filed[0].uid], since.0 + 1));
    // What clients appended is theirs, whatever Message-ID it has.
    append_to_sent(&store, alice, &["<1@satchel.test>", "<3@satchel.test>"], NOW).await;
    assert_eq!(entries(&store, alice, Place::Sent).await.len(), 4);
    // A failed APPEND takes nothing away.
    let broken =
        NewMessage { message_id: Some("<2@satchel.test>".into()), keywords: vec!["x".repeat(300)], ..new_message(1) };
    let append = Append { account: alice, mailbox: sent.id, messages: vec![broken], replaces: None };
    store.append(append, NOW).await.unwrap_err();
    assert!(store.content(alice, filed[1].message).await.unwrap().is_some());
}

pub async fn nothing_is_filed_for_a_client_that_files_what_it_sends(store: Subject) {
    let (alice, bob) = (account(&store, "alice").await, account(&store, "bob").await);
    let files = async |account, now| {
        let account = store.account(account).await.unwrap().unwrap();
        account.files_what_it_sends(now)
    };
    assert!(!files(alice, NOW).await);
    append(&store, alice, Place::Drafts, 1, NOW).await;
    assert!(!files(alice, NOW).await, "a draft is not sent");
    append_to_sent(&store, alice, &[], NOW).await;
    append_to_sent(&store, alice, &["<1@satchel.test>"], NOW).await;
    assert!(files(alice, NOW + 30 * DAY - 1).await && !files(bob, NOW).await);
    store.commit(sent_copy(alice, "<2@satchel.test>"), NOW + 30 * DAY - 1).await.unwrap();
    assert_eq!(entries(&store, alice, Place::Sent).await.len(), 1);
    assert!(!files(alice, NOW + 30 * DAY).await);
    store.commit(sent_copy(alice, "<3@satchel.test>"), NOW + 30 * DAY).await.unwrap();
    store.commit(sent_copy(bob, "<1@satchel.test>"), NOW).await.unwrap();
    assert_eq!(entries(&store, alice, Place::Sent).await.len(), 2);
    assert_eq!(entries(&store, bob, Place::Sent).await.len(), 1);
}

pub async fn a_sent_copy_that_was_moved_away_stays(store: Subject) {
    let alice = account(&store, "alice").await;
    store.commit(sent_copy(alice, "<1@satchel.test>"), NOW).await.unwrap();
    move_only(&store, alice, Place::Sent, Place::Archive, NOW).await;
    append_to_sent(&store, alice, &["<1@satchel.test>"], NOW).await;
    let kept = only(&store, alice, Place::Archive).await.message;
    assert!(store.content(alice, kept).await.unwrap().is_some());
    assert_eq!(entries(&store, alice, Place::Sent).await.len(), 1);
    // REPLACE of the filed copy itself, by the client's own.
    let bob = account(&store, "bob").await;
    store.commit(sent_copy(bob, "<1@satchel.test>"), NOW).await.unwrap();
    replace(&store, bob, Place::Sent, Place::Sent, 1).await;
    assert_eq!(only(&store, bob, Place::Sent).await.uid.get(), 2);
}
