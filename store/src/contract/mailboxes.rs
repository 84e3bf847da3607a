use super::*;
use crate::{ModSeq, Quota, SpecialUse, StoreError};

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
    let trigrams = store.trigrams(alice, &asked).await.unwrap();
    assert_eq!(trigrams.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [second.message, first.message]);
    assert!(trigrams[0].1.starts_with(b"trigrams"));
    assert_eq!(store.present(alice, &asked).await.unwrap(), [second.message, first.message]);
}

pub async fn mailboxes_are_created_renamed_and_deleted(store: Subject) {
    let alice = account(&store, "alice").await;
    let made = store.create_mailbox(alice, "Projects/Späti", NOW).await.unwrap();
    assert_eq!((made.name.as_str(), made.place, made.subscribed), ("Projects/Späti", Place::Own, false));
    assert!(matches!(store.create_mailbox(alice, "Projects/Späti", NOW).await, Err(StoreError::Exists(_))));
    store.subscribe(alice, "Projects/Späti", true).await.unwrap();
    store.rename_mailbox(alice, "Projects/Späti", "Kiosk", NOW).await.unwrap();
    let renamed = folder(&store, alice, Place::Own).await;
    assert_eq!((renamed.id, renamed.name.as_str(), renamed.subscribed), (made.id, "Kiosk", true));
    assert_eq!(renamed.uid_validity, made.uid_validity);
    for place in [Place::Inbox, Place::Requests, Place::Unpaid] {
        let Mailbox { id, name, .. } = folder(&store, alice, place).await;
        assert!(matches!(store.rename_mailbox(alice, &name, "x", NOW).await, Err(StoreError::Cannot(_))));
        assert!(matches!(store.delete_mailbox(alice, id, NOW).await, Err(StoreError::Cannot(_))));
    }
    store.rename_mailbox(alice, "Trash", "Papierkorb", NOW).await.unwrap();
    assert_eq!(folder(&store, alice, Place::Trash).await.name, "Papierkorb");
    deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
    move_only(&store, alice, Place::Inbox, Place::Own, NOW).await;
    store.delete_mailbox(alice, made.id, NOW).await.unwrap();
    assert!(store.mailboxes(alice).await.unwrap().iter().all(|mailbox| mailbox.id != made.id));
    assert!(store.subscriptions(alice).await.unwrap().contains(&"Kiosk".to_owned()));
    store.subscribe(alice, "Kiosk", false).await.unwrap();
    assert!(!store.subscriptions(alice).await.unwrap().contains(&"Kiosk".to_owned()));
}

pub async fn what_is_listed_subscribed_and_annotated_is_told_to_watchers(store: Subject) {
    let alice = account(&store, "alice").await;
    let inbox = folder(&store, alice, Place::Inbox).await.id;
    let mut watch = store.watch();
    let made = store.create_mailbox(alice, "made", NOW).await.unwrap().id;
    store.subscribe(alice, "made", true).await.unwrap();
    store.subscribe(alice, "made", true).await.unwrap();
    store.subscribe(alice, "made", false).await.unwrap();
    store.subscribe(alice, "made", false).await.unwrap();
    store.rename_mailbox(alice, "made", "named", NOW).await.unwrap();
    let set = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    let changes = vec![set("/private/a", Some(b"1")), set("/private/none", None)];
    store.annotate(alice, Some(inbox), changes).await.unwrap();
    store.annotate(alice, Some(inbox), vec![set("/PRIVATE/A", None)]).await.unwrap();
    store.annotate(alice, None, vec![set("/private/none", None)]).await.unwrap();
    store.annotate(alice, None, vec![set("/private/c", Some(b""))]).await.unwrap();
    store.set_special_use(alice, made, SpecialUse::SENT).await.unwrap();
    store.delete_mailbox(alice, made, NOW).await.unwrap();
    let list = || (None, None);
    let named = |mailbox, name: &str| (mailbox, Some(vec![name.to_owned()]));
    for expected in [
        list(),
        list(),
        list(),
        list(),
        named(Some(inbox), "/private/a"),
        named(Some(inbox), "/PRIVATE/A"),
        named(None, "/private/c"),
        list(),
        named(Some(made), "/private/specialuse"),
        list(),
    ] {
        let change = watch.recv().await.unwrap();
        assert_eq!((change.account, change.modseq), (alice, ModSeq(0)));
        assert_eq!((change.mailbox, change.annotations.map(|names| names.to_vec())), expected);
    }
    assert!(watch.try_recv().is_err());
}

pub async fn a_rename_takes_everything_below_along_or_nothing(store: Subject) {
    let alice = account(&store, "alice").await;
    for name in ["a", "a/b", "a/b/c", "ab", "taken/b"] {
        store.create_mailbox(alice, name, NOW).await.unwrap();
    }
    store.subscribe(alice, "a/b", true).await.unwrap();
    deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
    let names = async || -> Vec<String> {
        let all = store.mailboxes(alice).await.unwrap();
        all.into_iter().filter(|mailbox| mailbox.place == Place::Own).map(|mailbox| mailbox.name).collect()
    };
    let before = names().await;
    // Also a mere level of names is taken.
    for (from, to) in [("a", "taken"), ("a", "ab"), ("a", "INBOX")] {
        assert!(matches!(store.rename_mailbox(alice, from, to, NOW).await, Err(StoreError::Exists(_))), "{from} {to}");
    }
    for (from, to) in [("a", "a/x"), ("a", "a"), ("Unpaid", "x")] {
        assert!(matches!(store.rename_mailbox(alice, from, to, NOW).await, Err(StoreError::Cannot(_))), "{from} {to}");
    }
    assert!(matches!(store.rename_mailbox(alice, "none", "x", NOW).await, Err(StoreError::NoSuch(_))));
    let long = "x".repeat(crate::limits::MAILBOX_NAME_BYTES_MAX - 2);
    assert!(matches!(store.rename_mailbox(alice, "a", &long, NOW).await, Err(StoreError::Limit(_))));
    assert_eq!(names().await, before);
    let mut watch = store.watch();
    store.rename_mailbox(alice, "a", "new/level/a", NOW).await.unwrap();
    assert_eq!(watch.recv().await.unwrap().mailbox, None);
    assert_eq!(names().await, ["ab", "new", "new/level", "new/level/a", "new/level/a/b", "new/level/a/b/c", "taken/b"]);
    let subscriptions = store.subscriptions(alice).await.unwrap();
    assert!(subscriptions.contains(&"new/level/a/b".to_owned()) && !subscriptions.contains(&"a/b".to_owned()));
    // A level without a mailbox takes its children along.
    store.rename_mailbox(alice, "taken", "ab/b", NOW).await.unwrap();
    assert!(names().await.contains(&"ab/b/b".to_owned()));
}

pub async fn a_mailbox_is_made_for_a_special_use(store: Subject) {
    let alice = account(&store, "alice").await;
    let uses = SpecialUse::ARCHIVE.with(SpecialUse::IMPORTANT);
    let made = store.create_mailbox_for(alice, "Old", uses, NOW).await.unwrap();
    assert_eq!((made.special_use, made.place), (uses, Place::Own));
    store.set_special_use(alice, made.id, SpecialUse::SENT).await.unwrap();
    assert_eq!(folder(&store, alice, Place::Own).await.special_use, SpecialUse::SENT);
    let inbox = folder(&store, alice, Place::Inbox).await;
    assert_eq!(inbox.special_use, SpecialUse::NONE);
    let born = store.set_special_use(alice, inbox.id, SpecialUse::SENT).await;
    assert!(matches!(born, Err(StoreError::Cannot(_))));
}

pub async fn annotations_belong_to_their_mailbox(store: Subject) {
    let (alice, eve) = (account(&store, "alice").await, account(&store, "eve").await);
    let own = store.create_mailbox(alice, "Own", NOW).await.unwrap().id;
    let set = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    store.annotate(alice, Some(own), vec![set("/shared/b", Some(b"1")), set("/private/a", Some(b""))]).await.unwrap();
    store.annotate(alice, None, vec![set("/private/a", Some(b"account"))]).await.unwrap();
    store.annotate(alice, Some(own), vec![set("/SHARED/B", Some(b"2\0"))]).await.unwrap();
    let annotations = async |id| -> Vec<(String, Vec<u8>)> {
        let all = store.annotations(alice, id).await.unwrap();
        all.into_iter().map(|one| (one.name, one.value)).collect()
    };
    let (a, b) = (("/private/a".to_owned(), Vec::new()), ("/SHARED/B".to_owned(), b"2\0".to_vec()));
    assert_eq!(annotations(Some(own)).await, [b.clone(), a.clone()]);
    assert_eq!(annotations(None).await, [("/private/a".to_owned(), b"account".to_vec())]);
    // All or none.
    let large = vec![0; crate::limits::ANNOTATION_BYTES_MAX + 1];
    let changes = vec![set("/private/a", None), set("/private/c", Some(&large))];
    assert!(matches!(store.annotate(alice, Some(own), changes).await, Err(StoreError::Limit(_))));
    assert_eq!(annotations(Some(own)).await.len(), 2);
    assert!(matches!(store.annotate(eve, Some(own), Vec::new()).await, Err(StoreError::NoSuch(_))));
    assert!(store.annotations(eve, Some(own)).await.unwrap().is_empty());
    store.rename_mailbox(alice, "Own", "Mine", NOW).await.unwrap();
    store.annotate(alice, Some(own), vec![set("/shared/b", None)]).await.unwrap();
    assert_eq!(annotations(Some(own)).await, [a]);
    store.delete_mailbox(alice, own, NOW).await.unwrap();
    assert!(annotations(Some(own)).await.is_empty());
}

pub async fn a_quota_bounds_what_the_user_adds_and_never_what_arrives(store: Subject) {
    let alice = account(&store, "alice").await;
    let delivered = deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
    let (inbox, archive) = (delivered.mailbox, folder(&store, alice, Place::Archive).await.id);
    let size = only(&store, alice, Place::Inbox).await.size;
    assert_eq!(store.quota(alice).await.unwrap(), Quota { used: size, limit: None });
    store.set_quota(alice, Some(2 * size)).await.unwrap();
    // To the very octet.
    store.copy(alice, inbox, &[delivered.uid], archive, NOW).await.unwrap();
    let full = store.copy(alice, inbox, &[delivered.uid], archive, NOW).await;
    assert!(matches!(full, Err(StoreError::OverQuota)));
    assert_eq!(entries(&store, alice, Place::Archive).await.len(), 1);
    let one = |replaces| Append { account: alice, mailbox: inbox, messages: vec![new_message(1)], replaces };
    assert!(matches!(store.append(one(None), NOW).await, Err(StoreError::OverQuota)));
    // What is moved takes no more room; what was accepted is never dropped.
    store.move_entries(alice, inbox, &[delivered.uid], archive, NOW).await.unwrap();
    deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
    assert!(!store.quota(alice).await.unwrap().fits(0));
    let uid = only(&store, alice, Place::Inbox).await.uid;
    set(&store, alice, Place::Inbox, &[uid], FlagMode::Add, Flags::DELETED, &[], NOW).await;
    let marked = only(&store, alice, Place::Inbox).await.size;
    assert_eq!(store.status(alice, &[inbox]).await.unwrap()[0].deleted_size, marked);
    store.set_quota(alice, None).await.unwrap();
    store.append(one(None), NOW).await.unwrap();
    assert!(matches!(store.set_quota(AccountId(99), None).await, Err(StoreError::NoSuch(_))));
}

pub async fn objects_keep_their_names(store: Subject) {
    let (alice, eve) = (account(&store, "alice").await, account(&store, "eve").await);
    let own = store.create_mailbox(alice, "Own", NOW).await.unwrap().id;
    let name = store.mailbox_id(alice, own);
    store.rename_mailbox(alice, "Own", "Mine", NOW).await.unwrap();
    assert_eq!(store.mailbox_id(alice, folder(&store, alice, Place::Own).await.id), name);
    assert_eq!(name.to_string().len(), 32);
    let delivered = deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
    store.copy(alice, delivered.mailbox, &[delivered.uid], own, NOW).await.unwrap();
    let copy = only(&store, alice, Place::Own).await.message;
    assert_eq!(store.email_id(alice, copy), store.email_id(alice, delivered.message));
    assert_ne!(store.email_id(alice, copy), store.email_id(eve, copy));
    assert_ne!(store.email_id(alice, crate::MessageId(own.0)), name);
    assert_eq!(store.thread_id(alice, b"1@a"), store.thread_id(alice, b"1@a"));
    assert_ne!(store.thread_id(alice, b"1@a"), store.thread_id(eve, b"1@a"));
}

pub async fn a_mail_knows_when_it_came_into_its_mailbox(store: Subject) {
    let alice = account(&store, "alice").await;
    append(&store, alice, Place::Drafts, 1, NOW + 1000).await;
    let entry = only(&store, alice, Place::Drafts).await;
    assert_eq!((entry.internal_date, entry.zone, entry.saved_at), (NOW, 120, Some(NOW + 1000)));
    let (drafts, sent) = (folder(&store, alice, Place::Drafts).await.id, folder(&store, alice, Place::Sent).await.id);
    store.copy(alice, drafts, &[entry.uid], sent, NOW + 2000).await.unwrap();
    // RFC 8514 §4.3: COPY and MOVE save anew; INTERNALDATE and its zone stay.
    let copy = only(&store, alice, Place::Sent).await;
    assert_eq!((copy.internal_date, copy.zone, copy.saved_at), (NOW, 120, Some(NOW + 2000)));
    set(&store, alice, Place::Sent, &[copy.uid], FlagMode::Add, Flags::FLAGGED, &[], NOW + DAY).await;
    assert_eq!(only(&store, alice, Place::Sent).await.saved_at, Some(NOW + 2000));
    store.move_entries(alice, sent, &[copy.uid], drafts, NOW + 3000).await.unwrap();
    assert_eq!(entries(&store, alice, Place::Drafts).await[1].saved_at, Some(NOW + 3000));
    let delivered = mail(alice, Place::Inbox, "bob@shop.test");
    deliver(&store, delivered).await;
    assert_eq!(only(&store, alice, Place::Inbox).await.saved_at, Some(NOW));
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

pub async fn flags_set_on_many_at_once_are_those_set_one_by_one(store: Subject) {
    let (alice, bob) = (account(&store, "alice").await, account(&store, "bob").await);
    let mut uids = Vec::new();
    for number in 0..24 {
        for who in [alice, bob] {
            // Some have a gate, some have keywords, some are gone.
            let delivered = if number % 7 == 3 {
                let gated = deliver(&store, priced(who, "eve@shop.test")).await;
                let (unpaid, inbox) = (gated.mailbox, folder(&store, who, Place::Inbox).await.id);
                store.move_entries(who, unpaid, &[gated.uid], inbox, NOW).await.unwrap().pairs[0].1
            } else {
                deliver(&store, mail(who, Place::Inbox, "eve@shop.test")).await.uid
            };
            if number % 5 == 1 {
                set(&store, who, Place::Inbox, &[delivered], FlagMode::Add, Flags::DRAFT, &["Work"], NOW).await;
            }
            if number % 11 == 10 {
                set(&store, who, Place::Inbox, &[delivered], FlagMode::Add, Flags::DELETED, &[], NOW).await;
                store.expunge(who, folder(&store, who, Place::Inbox).await.id, Some(&[delivered]), NOW).await.unwrap();
            }
            if who == alice {
                uids.push(delivered);
            }
        }
    }
    let steps = [
        (FlagMode::Add, Flags::SEEN, 1, 0),
        (FlagMode::Add, Flags::SEEN.with(Flags::DELETED), 2, 1),
        (FlagMode::Remove, Flags::DELETED, 3, 0),
        (FlagMode::Replace, Flags::FLAGGED, 2, 0),
        (FlagMode::Add, Flags::FLAGGED, 1, 0),
        (FlagMode::Replace, Flags::NONE, 1, 0),
    ];
    for (mode, flags, every, from) in steps {
        let named: Vec<Uid> = uids.iter().copied().skip(from).step_by(every).collect();
        let before = folder(&store, alice, Place::Inbox).await.highest_modseq;
        let together = set(&store, alice, Place::Inbox, &named, mode, flags, &[], NOW).await;
        let mut single = Vec::new();
        for uid in &named {
            single.extend(set(&store, bob, Place::Inbox, &[*uid], mode, flags, &[], NOW).await);
        }
        let shown = |entries: &[Entry]| -> Vec<_> {
            entries.iter().map(|entry| (entry.uid, entry.flags, entry.keywords.clone())).collect()
        };
        assert_eq!(shown(&together), shown(&single), "{mode:?} {flags:?}");
        let there = entries(&store, alice, Place::Inbox).await;
        assert_eq!(shown(&there), shown(&entries(&store, bob, Place::Inbox).await));
        // What STORE answers is what is there, also its MODSEQ; what did not change kept it.
        assert!(together.iter().all(|entry| there.contains(entry)));
        let inbox = folder(&store, alice, Place::Inbox).await;
        let changed = store.changes(alice, inbox.id, before).await.unwrap().changed;
        assert!(changed.iter().all(|entry| entry.modseq == inbox.highest_modseq && named.contains(&entry.uid)));
        let count = |flag| there.iter().filter(|entry| entry.flags.contains(flag)).count();
        let status = store.status(alice, &[inbox.id]).await.unwrap().remove(0);
        assert_eq!(status.unseen as usize, there.len() - count(Flags::SEEN));
        assert_eq!(status.deleted as usize, count(Flags::DELETED));
    }
    let again = folder(&store, alice, Place::Inbox).await.highest_modseq;
    set(&store, alice, Place::Inbox, &uids, FlagMode::Remove, Flags::SEEN, &[], NOW).await;
    assert_eq!(folder(&store, alice, Place::Inbox).await.highest_modseq, again, "nothing changed");
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

pub async fn a_copy_of_all_fails_whole_when_one_is_gone(store: Subject) {
    let alice = account(&store, "alice").await;
    let (inbox, archive) = (folder(&store, alice, Place::Inbox).await.id, folder(&store, alice, Place::Archive).await);
    let first = deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
    let uids = [first.uid, Uid::new(77).unwrap()];
    let refused = store.copy_all(alice, inbox, &uids, archive.id, NOW).await;
    assert!(matches!(refused, Err(StoreError::NoSuch("message"))), "{refused:?}");
    let after = folder(&store, alice, Place::Archive).await;
    assert_eq!((after.uid_next, after.highest_modseq), (archive.uid_next, archive.highest_modseq));
    assert!(entries(&store, alice, Place::Archive).await.is_empty());
    let copied = store.copy_all(alice, inbox, &uids[..1], archive.id, NOW).await.unwrap();
    assert_eq!(copied.pairs, [(first.uid, Uid::new(1).unwrap())]);
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
    assert!(store.contents(eve, &[mail.message]).await.unwrap().is_empty());
    assert!(store.trigrams(eve, &[mail.message]).await.unwrap().is_empty());
    assert!(store.present(eve, &[mail.message]).await.unwrap().is_empty());
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

pub async fn a_mail_is_filed_into_a_folder_of_the_owners_while_it_is_there(store: Subject) {
    let alice = account(&store, "alice").await;
    let bob = account(&store, "bob").await;
    let shops = store.create_mailbox(alice, "Shops", NOW).await.unwrap().id;
    let into = |account, place| Delivery { folder: Some("Shops".into()), ..mail(account, place, "x@shop.test") };
    let delivered = deliver(&store, into(alice, Place::Inbox)).await;
    assert_eq!((delivered.mailbox, delivered.uid.get()), (shops, 1));
    // What is to be paid waits where such mail waits, and another account's folder is not meant.
    assert_ne!(
        deliver(&store, Delivery { folder: Some("Shops".into()), ..priced(alice, "y@shop.test") }).await.mailbox,
        shops
    );
    deliver(&store, into(bob, Place::Inbox)).await;
    assert_eq!(entries(&store, bob, Place::Inbox).await.len(), 1);
    store.delete_mailbox(alice, shops, NOW).await.unwrap();
    deliver(&store, into(alice, Place::Inbox)).await;
    assert_eq!(entries(&store, alice, Place::Inbox).await.len(), 1);
}
