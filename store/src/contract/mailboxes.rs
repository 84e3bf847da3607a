use super::*;
use crate::{ModSeq, StoreError};

pub async fn a_delivery_takes_the_next_uid_and_tells_watchers(store: Subject) {
    let alice = account(&store, "alice").await;
    let mut watch = store.watch();
    let first = deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
    let second = deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
    assert_eq!((first.uid.get(), second.uid.get()), (1, 2));
    let change = watch.recv().await.unwrap();
    assert_eq!((change.account, change.mailbox, change.modseq), (alice, Some(first.mailbox), ModSeq(2)));
    let view = store.open(alice, first.mailbox, false).await.unwrap();
    assert_eq!((view.mailbox.uid_next.get(), view.mailbox.highest_modseq), (3, ModSeq(3)));
    assert_eq!(view.entries.iter().map(|entry| entry.message).collect::<Vec<_>>(), [first.message, second.message]);
    let changes = store.changes(alice, first.mailbox, ModSeq(2)).await.unwrap();
    assert_eq!(changes.changed.len(), 1);
    let asked = [second.message, crate::MessageId(9999), first.message];
    let summaries = store.summaries(alice, &asked).await.unwrap();
    assert_eq!(summaries.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [second.message, first.message]);
    let content = store.content(alice, first.message).await.unwrap().unwrap();
    let contents = store.contents(alice, &asked).await.unwrap();
    assert!(content.starts_with(b"content") && contents[1].1 == content);
}

pub async fn mailboxes_are_created_renamed_and_deleted(store: Subject) {
    let alice = account(&store, "alice").await;
    let made = store.create_mailbox(alice, "Projects/Späti", NOW).await.unwrap();
    assert_eq!((made.name.as_str(), made.place, made.subscribed), ("Projects/Späti", Place::Own, false));
    assert!(matches!(store.create_mailbox(alice, "Projects/Späti", NOW).await, Err(StoreError::Exists(_))));
    store.subscribe(alice, "Projects/Späti", true).await.unwrap();
    store.rename_mailbox(alice, made.id, "Kiosk").await.unwrap();
    let renamed = folder(&store, alice, Place::Own).await;
    assert_eq!((renamed.id, renamed.name.as_str(), renamed.subscribed), (made.id, "Kiosk", true));
    assert_eq!(renamed.uid_validity, made.uid_validity);
    for place in [Place::Inbox, Place::Requests, Place::Unpaid] {
        let id = folder(&store, alice, place).await.id;
        assert!(matches!(store.rename_mailbox(alice, id, "x").await, Err(StoreError::Cannot(_))));
        assert!(matches!(store.delete_mailbox(alice, id, NOW).await, Err(StoreError::Cannot(_))));
    }
    let trash = folder(&store, alice, Place::Trash).await.id;
    store.rename_mailbox(alice, trash, "Papierkorb").await.unwrap();
    assert_eq!(folder(&store, alice, Place::Trash).await.name, "Papierkorb");
    deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
    move_only(&store, alice, Place::Inbox, Place::Own, NOW).await;
    store.delete_mailbox(alice, made.id, NOW).await.unwrap();
    assert!(store.mailboxes(alice).await.unwrap().iter().all(|mailbox| mailbox.id != made.id));
    assert!(store.subscriptions(alice).await.unwrap().contains(&"Kiosk".to_owned()));
    store.subscribe(alice, "Kiosk", false).await.unwrap();
    assert!(!store.subscriptions(alice).await.unwrap().contains(&"Kiosk".to_owned()));
}

pub async fn a_name_made_again_gets_a_larger_uidvalidity(store: Subject) {
    let alice = account(&store, "alice").await;
    let first = store.create_mailbox(alice, "Own", NOW).await.unwrap();
    store.delete_mailbox(alice, first.id, NOW).await.unwrap();
    // Also when the clock went back meanwhile.
    let again = store.create_mailbox(alice, "Own", NOW - DAY).await.unwrap();
    assert!(again.uid_validity.0 > first.uid_validity.0);
}

pub async fn flags_and_counts_agree(store: Subject) {
    let alice = account(&store, "alice").await;
    let inbox = folder(&store, alice, Place::Inbox).await.id;
    let mut uids = Vec::new();
    for _ in 0..3 {
        uids.push(deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await.uid);
    }
    set(&store, alice, Place::Inbox, &uids[..2], FlagMode::Add, Flags::SEEN.with(Flags::FLAGGED), &[], NOW).await;
    set(&store, alice, Place::Inbox, &uids[1..2], FlagMode::Replace, Flags::DELETED, &[], NOW).await;
    let after = set(&store, alice, Place::Inbox, &uids[..1], FlagMode::Remove, Flags::FLAGGED, &[], NOW).await;
    assert_eq!(after[0].flags, Flags::SEEN);
    let status = store.status(alice, &[inbox]).await.unwrap()[0];
    let sum: u64 = entries(&store, alice, Place::Inbox).await.iter().map(|entry| entry.size).sum();
    assert_eq!((status.messages, status.unseen, status.deleted, status.recent, status.size), (3, 2, 1, 3, sum));
    assert_eq!((status.uid_next.get(), status.highest_modseq), (4, ModSeq(7)));
}

pub async fn keywords_compare_without_case_and_the_servers_are_not_the_clients(store: Subject) {
    let alice = account(&store, "alice").await;
    let uid = deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await.uid;
    let words = ["Work", "$paid", "WORK", "$Priority"];
    let after = set(&store, alice, Place::Inbox, &[uid], FlagMode::Add, Flags::NONE, &words, NOW).await;
    assert_eq!(after[0].keywords, ["Work"]);
    let after = set(&store, alice, Place::Inbox, &[uid], FlagMode::Replace, Flags::NONE, &["work", "New"], NOW).await;
    assert_eq!(after[0].keywords, ["Work", "New"]);
    let after = set(&store, alice, Place::Inbox, &[uid], FlagMode::Remove, Flags::NONE, &["wOrK"], NOW).await;
    assert_eq!(after[0].keywords, ["New"]);
    let change = FlagChange {
        mailbox: folder(&store, alice, Place::Inbox).await.id,
        uids: vec![uid],
        mode: FlagMode::Add,
        flags: Flags::NONE,
        keywords: (0..crate::limits::KEYWORDS_MAX).map(|number| format!("k{number}")).collect(),
        unchanged_since: None,
    };
    assert!(matches!(store.set_flags(alice, change, NOW).await, Err(StoreError::Limit(_))));
}

pub async fn a_store_that_changes_nothing_leaves_modseq_alone(store: Subject) {
    let alice = account(&store, "alice").await;
    let uid = deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await.uid;
    set(&store, alice, Place::Inbox, &[uid], FlagMode::Add, Flags::SEEN, &["A"], NOW).await;
    let before = folder(&store, alice, Place::Inbox).await.highest_modseq;
    set(&store, alice, Place::Inbox, &[uid], FlagMode::Add, Flags::SEEN, &["a"], NOW).await;
    assert_eq!(folder(&store, alice, Place::Inbox).await.highest_modseq, before);
    set(&store, alice, Place::Inbox, &[uid], FlagMode::Replace, Flags::SEEN, &["A"], NOW).await;
    set(&store, alice, Place::Inbox, &[uid], FlagMode::Remove, Flags::DRAFT, &["B"], NOW).await;
    set(&store, alice, Place::Inbox, &[Uid::new(9).unwrap()], FlagMode::Add, Flags::DRAFT, &[], NOW).await;
    assert_eq!(folder(&store, alice, Place::Inbox).await.highest_modseq, before);
    assert_eq!(only(&store, alice, Place::Inbox).await.modseq, before);
}

pub async fn a_conditional_store_names_what_changed_meanwhile(store: Subject) {
    let alice = account(&store, "alice").await;
    let mut uids = Vec::new();
    for _ in 0..3 {
        uids.push(deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await.uid);
    }
    let inbox = folder(&store, alice, Place::Inbox).await;
    set(&store, alice, Place::Inbox, &uids[1..2], FlagMode::Add, Flags::SEEN, &[], NOW).await;
    // Twice the same UID is once; one that does not exist is nothing.
    let asked = [&uids[..], &uids[..1], &[Uid::new(77).unwrap()]].concat();
    let conditional = |since| FlagChange {
        mailbox: inbox.id,
        uids: asked.clone(),
        mode: FlagMode::Add,
        flags: Flags::FLAGGED,
        keywords: Vec::new(),
        unchanged_since: Some(since),
    };
    let done = store.set_flags(alice, conditional(inbox.highest_modseq), NOW).await.unwrap();
    assert_eq!(done.modified, uids[1..2]);
    let flags: Vec<Flags> = done.entries.iter().map(|entry| entry.flags).collect();
    assert_eq!(flags, [Flags::FLAGGED, Flags::SEEN, Flags::FLAGGED]);
    // RFC 7162 §3.1.3: zero fails on every message there is, also one that has what is asked for.
    let before = folder(&store, alice, Place::Inbox).await.highest_modseq;
    assert_eq!(store.set_flags(alice, conditional(ModSeq(0)), NOW).await.unwrap().modified, uids);
    assert_eq!(folder(&store, alice, Place::Inbox).await.highest_modseq, before);
    let all = store.set_flags(alice, conditional(before), NOW).await.unwrap();
    assert!(all.modified.is_empty() && all.entries.iter().all(|entry| entry.flags.contains(Flags::FLAGGED)));
}

pub async fn copy_and_move_keep_flags_and_name_their_uids(store: Subject) {
    let alice = account(&store, "alice").await;
    let (inbox, archive) = (folder(&store, alice, Place::Inbox).await.id, folder(&store, alice, Place::Archive).await);
    let first = deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
    let second = deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
    set(&store, alice, Place::Inbox, &[first.uid], FlagMode::Add, Flags::SEEN, &["Work"], NOW).await;
    let missing = Uid::new(77).unwrap();
    let copied = store.copy(alice, inbox, &[first.uid, missing], archive.id, NOW).await.unwrap();
    assert_eq!((copied.uid_validity, copied.pairs.len(), copied.vanished.len()), (archive.uid_validity, 1, 0));
    let copy = only(&store, alice, Place::Archive).await;
    assert_eq!((copy.message, copy.flags, &copy.keywords[..]), (first.message, Flags::SEEN, &["Work".to_owned()][..]));
    let moved = store.move_entries(alice, inbox, &[first.uid, second.uid], archive.id, NOW).await.unwrap();
    assert_eq!(moved.pairs.iter().map(|(_, new)| new.get()).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(moved.vanished, [first.uid, second.uid]);
    assert!(entries(&store, alice, Place::Inbox).await.is_empty());
    assert_eq!(store.changes(alice, inbox, ModSeq(1)).await.unwrap().vanished, [first.uid, second.uid]);
    let status = store.status(alice, &[inbox, archive.id]).await.unwrap();
    assert_eq!((status[0].messages, status[0].size, status[0].recent, status[1].messages), (0, 0, 0, 3));
    assert_eq!(status[1].unseen, 1);
}

pub async fn expunge_removes_only_what_is_deleted_and_is_told_to_the_others(store: Subject) {
    let alice = account(&store, "alice").await;
    let inbox = folder(&store, alice, Place::Inbox).await.id;
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await);
    }
    let uids: Vec<Uid> = all.iter().map(|one| one.uid).collect();
    set(&store, alice, Place::Inbox, &uids[..3], FlagMode::Add, Flags::DELETED, &[], NOW).await;
    let before = folder(&store, alice, Place::Inbox).await.highest_modseq;
    assert_eq!(store.expunge(alice, inbox, Some(&[uids[1], uids[3]]), NOW).await.unwrap(), [uids[1]]);
    assert_eq!(store.expunge(alice, inbox, None, NOW).await.unwrap(), [uids[0], uids[2]]);
    assert_eq!(store.changes(alice, inbox, before).await.unwrap().vanished, [uids[0], uids[1], uids[2]]);
    assert!(store.content(alice, all[0].message).await.unwrap().is_none());
    assert!(store.content(alice, all[3].message).await.unwrap().is_some());
}

pub async fn recent_is_claimed_once(store: Subject) {
    let alice = account(&store, "alice").await;
    let first = deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
    assert_eq!(store.open(alice, first.mailbox, false).await.unwrap().recent_from, Some(first.uid));
    assert_eq!(store.open(alice, first.mailbox, true).await.unwrap().recent_from, Some(first.uid));
    assert_eq!(store.open(alice, first.mailbox, true).await.unwrap().recent_from, None);
    let second = deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
    assert_eq!(store.status(alice, &[first.mailbox]).await.unwrap()[0].recent, 1);
    assert_eq!(store.open(alice, first.mailbox, false).await.unwrap().recent_from, Some(second.uid));
    store.claim_recent(alice, first.mailbox).await.unwrap();
    assert_eq!(store.status(alice, &[first.mailbox]).await.unwrap()[0].recent, 0);
}

pub async fn an_attachment_is_unpinned_with_its_last_reference(store: Subject) {
    let alice = account(&store, "alice").await;
    for cids in [vec!["both", "one"], vec!["both"]] {
        let mut delivery = mail(alice, Place::Inbox, "bob@shop.test");
        delivery.sealed.attachments = cids.into_iter().map(|cid| (cid.to_owned(), 70_000)).collect();
        deliver(&store, delivery).await;
    }
    let inbox = folder(&store, alice, Place::Inbox).await.id;
    let first = entries(&store, alice, Place::Inbox).await[0].uid;
    set(&store, alice, Place::Inbox, &[first], FlagMode::Add, Flags::DELETED, &[], NOW).await;
    store.expunge(alice, inbox, None, NOW).await.unwrap();
    assert_eq!(jobs(&store, NOW).await, [JobKind::Unpin(vec!["one".into()])]);
    assert_eq!(store.cids().await.unwrap(), ["both"]);
    expunge_only(&store, alice, Place::Inbox, NOW).await;
    assert_eq!(jobs(&store, NOW).await, [JobKind::Unpin(vec!["both".into()])]);
}

pub async fn one_accounts_mail_is_nothing_to_another(store: Subject) {
    let (alice, eve) = (account(&store, "alice").await, account(&store, "eve").await);
    let mail = deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
    let hers = folder(&store, eve, Place::Inbox).await.id;
    assert!(store.content(eve, mail.message).await.unwrap().is_none());
    assert!(store.summaries(eve, &[mail.message]).await.unwrap().is_empty());
    assert!(matches!(store.open(eve, mail.mailbox, false).await, Err(StoreError::NoSuch(_))));
    assert!(matches!(store.copy(eve, mail.mailbox, &[mail.uid], hers, NOW).await, Err(StoreError::NoSuch(_))));
    assert!(matches!(
        store.move_entries(alice, mail.mailbox, &[mail.uid], hers, NOW).await,
        Err(StoreError::NoSuch(_))
    ));
    assert!(matches!(store.expunge(eve, mail.mailbox, None, NOW).await, Err(StoreError::NoSuch(_))));
    assert!(store.status(eve, &[mail.mailbox]).await.unwrap().is_empty());
}

pub async fn a_failed_write_takes_nobody_with_it(store: Subject) {
    let alice = account(&store, "alice").await;
    let writes = (0..40).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let account = if number % 2 == 0 { alice } else { AccountId(999_999) };
            let batch = Batch { deliveries: vec![mail(account, Place::Inbox, "bob@shop.test")], ..Batch::default() };
            store.commit(batch, NOW).await.is_ok()
        })
    });
    let mut done = 0;
    for write in writes.collect::<Vec<_>>() {
        done += usize::from(write.await.unwrap());
    }
    assert_eq!((done, entries(&store, alice, Place::Inbox).await.len()), (20, 20));
}

pub async fn an_appended_mail_is_there(store: Subject) {
    let alice = account(&store, "alice").await;
    let appended = append(&store, alice, Place::Drafts, 1, NOW).await;
    let entry = only(&store, alice, Place::Drafts).await;
    assert_eq!((entry.uid, entry.message, entry.flags), (appended.uids[0], appended.messages[0], Flags::SEEN));
    assert_eq!(entry.keywords, ["Mine"]);
    assert_eq!(appended.uid_validity, folder(&store, alice, Place::Drafts).await.uid_validity);
}
