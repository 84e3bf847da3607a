use super::*;
use crate::{AclChange, MailboxId, Rights, RightsMode, StoreError};
use lnmp::AcceptOn;

/// Gives `user` these rights in a born folder of `owner`.
async fn share(store: &Subject, owner: AccountId, place: Place, user: AccountId, letters: &str) -> MailboxId {
    let mailbox = folder(store, owner, place).await.id;
    let rights = Rights::parse(letters).unwrap();
    let change = AclChange { mailbox, user, mode: RightsMode::Replace, rights, wrap: Some(vec![user.0 as u8; 9]) };
    assert_eq!(store.set_acl(owner, change).await.unwrap(), rights);
    mailbox
}

fn denied<T: std::fmt::Debug>(result: crate::Result<T>, right: char) {
    assert!(matches!(result, Err(StoreError::Denied(missing)) if missing == right), "{right}: {result:?}");
}

fn change(mailbox: MailboxId, uid: Uid, mode: FlagMode, flags: Flags, keywords: &[&str]) -> FlagChange {
    let keywords = keywords.iter().map(|&word| word.to_owned()).collect();
    FlagChange { mailbox, uids: vec![uid], mode, flags, keywords, unchanged_since: None }
}

pub async fn rights_are_given_and_taken_and_the_owner_keeps_all(store: Subject) {
    let (alice, bob, eve) =
        (account(&store, "alice").await, account(&store, "bob").await, account(&store, "eve").await);
    let inbox = share(&store, alice, Place::Inbox, bob, "lrs").await;
    let set = |user, mode, letters: &str| {
        let rights = Rights::parse(letters).unwrap();
        AclChange { mailbox: inbox, user, mode, rights, wrap: None }
    };
    let shared = store.shared_with(bob).await.unwrap();
    assert_eq!(shared.len(), 1);
    assert_eq!((shared[0].owner, shared[0].owner_address.as_str()), (alice, "alice@satchel.test"));
    assert_eq!((shared[0].mailbox.name.as_str(), shared[0].rights), ("INBOX", Rights::parse("lrs").unwrap()));
    assert!(store.shared_with(eve).await.unwrap().is_empty());
    // Only `a` reads and changes rights, and nobody changes the owner's.
    denied(store.acl(bob, inbox).await, 'a');
    denied(store.set_acl(bob, set(eve, RightsMode::Add, "l")).await, 'a');
    assert!(matches!(store.acl(eve, inbox).await, Err(StoreError::NoSuch(_))), "who has no right learns nothing");
    assert!(matches!(store.set_acl(alice, set(alice, RightsMode::Remove, "a")).await, Err(StoreError::Cannot(_))));
    assert!(matches!(store.set_acl(alice, set(AccountId(99), RightsMode::Add, "l")).await, Err(StoreError::NoSuch(_))));
    assert_eq!(store.set_acl(alice, set(bob, RightsMode::Add, "a")).await.unwrap().to_string(), "lrsa");
    assert_eq!(store.set_acl(bob, set(eve, RightsMode::Add, "c")).await.unwrap(), Rights::parse("kx").unwrap());
    assert_eq!(store.set_acl(bob, set(bob, RightsMode::Remove, "sa")).await.unwrap().to_string(), "lr");
    let acl = store.acl(alice, inbox).await.unwrap();
    assert_eq!(acl, [(bob, Rights::parse("lr").unwrap()), (eve, Rights::parse("kx").unwrap())]);
    // A mailbox below a shared one is shared alike; one that is deleted is shared no more.
    let below = store.create_mailbox(alice, "INBOX/desk", NOW).await.unwrap();
    assert_eq!(store.acl(alice, below.id).await.unwrap(), acl);
    denied(store.delete_mailbox(bob, below.id, NOW).await, 'x');
    store.delete_mailbox(eve, below.id, NOW).await.unwrap();
    assert_eq!(store.shared_with(bob).await.unwrap().len(), 1);
    store.remove_account(bob, NOW).await.unwrap();
    store.remove_account(alice, NOW).await.unwrap();
    assert!(store.shared_with(eve).await.unwrap().is_empty());
}

pub async fn a_shared_key_goes_with_the_last_right_to_read(store: Subject) {
    let (alice, bob) = (account(&store, "alice").await, account(&store, "bob").await);
    share(&store, alice, Place::Drafts, bob, "li").await;
    assert_eq!(store.share_key(bob, alice).await.unwrap(), None, "who may not read needs no key");
    share(&store, alice, Place::Inbox, bob, "lrs").await;
    share(&store, alice, Place::Archive, bob, "r").await;
    assert!(store.share_key(bob, alice).await.unwrap().is_some());
    assert_eq!(store.share_key(alice, bob).await.unwrap(), None);
    let mail = deliver(&store, mail(alice, Place::Inbox, "carol@shop.test")).await;
    store.set_flags(bob, change(mail.mailbox, mail.uid, FlagMode::Add, Flags::SEEN, &[]), NOW).await.unwrap();
    share(&store, alice, Place::Inbox, bob, "").await;
    assert!(store.share_key(bob, alice).await.unwrap().is_some(), "Archive is left");
    assert!(matches!(store.open(bob, mail.mailbox, false).await, Err(StoreError::NoSuch(_))));
    share(&store, alice, Place::Archive, bob, "l").await;
    assert_eq!(store.share_key(bob, alice).await.unwrap(), None);
    share(&store, alice, Place::Inbox, bob, "lr").await;
    let view = store.open(bob, mail.mailbox, false).await.unwrap();
    assert_eq!(view.entries[0].flags, Flags::NONE, "what was seen went with the key");
}

pub async fn each_right_permits_its_own_and_no_more(store: Subject) {
    let (alice, bob) = (account(&store, "alice").await, account(&store, "bob").await);
    let (first, second) = (
        deliver(&store, mail(alice, Place::Inbox, "carol@shop.test")).await,
        deliver(&store, mail(alice, Place::Inbox, "carol@shop.test")).await,
    );
    let inbox = first.mailbox;
    let archive = share(&store, alice, Place::Archive, bob, "lr").await;
    share(&store, alice, Place::Inbox, bob, "l").await;
    denied(store.open(bob, inbox, false).await, 'r');
    denied(store.changes(bob, inbox, crate::ModSeq(1)).await, 'r');
    assert!(store.status(bob, &[inbox]).await.unwrap().is_empty());
    share(&store, alice, Place::Inbox, bob, "lr").await;
    assert_eq!(store.open(bob, inbox, true).await.unwrap().recent_from, None);
    let add = |flags, keywords| change(inbox, first.uid, FlagMode::Add, flags, keywords);
    denied(store.set_flags(bob, add(Flags::SEEN, &[]), NOW).await, 's');
    denied(store.set_flags(bob, add(Flags::DELETED, &[]), NOW).await, 't');
    denied(store.set_flags(bob, add(Flags::FLAGGED, &["Mine"]), NOW).await, 'w');
    denied(store.copy(bob, inbox, &[first.uid], archive, NOW).await, 'i');
    denied(store.expunge(bob, inbox, None, NOW).await, 'e');
    // RFC 4314 §4: what may be changed is, and the rest passed over.
    share(&store, alice, Place::Inbox, bob, "lrt").await;
    let some = store.set_flags(bob, add(Flags::DELETED.with(Flags::FLAGGED), &["Mine"]), NOW).await.unwrap();
    assert_eq!((some.entries[0].flags, some.entries[0].keywords.len()), (Flags::DELETED, 0));
    share(&store, alice, Place::Inbox, bob, "lrw").await;
    let replace = change(inbox, first.uid, FlagMode::Replace, Flags::FLAGGED, &["Mine"]);
    let some = store.set_flags(bob, replace, NOW).await.unwrap();
    assert_eq!(
        (some.entries[0].flags, &some.entries[0].keywords[..]),
        (Flags::DELETED.with(Flags::FLAGGED), &["Mine".to_owned()][..])
    );
    // Copies bear what may be set where they go.
    share(&store, alice, Place::Archive, bob, "i").await;
    assert_eq!(store.copy(bob, inbox, &[first.uid], archive, NOW).await.unwrap().pairs.len(), 1);
    let copy = only(&store, alice, Place::Archive).await;
    assert_eq!((copy.flags, copy.keywords.len()), (Flags::NONE, 0));
    denied(store.move_entries(bob, inbox, &[first.uid], archive, NOW).await, 't');
    share(&store, alice, Place::Inbox, bob, "lre").await;
    assert_eq!(store.expunge(bob, inbox, None, NOW).await.unwrap(), [first.uid]);
    share(&store, alice, Place::Inbox, bob, "lrte").await;
    assert_eq!(store.move_entries(bob, inbox, &[second.uid], archive, NOW).await.unwrap().vanished, [second.uid]);
    // Into another account a mail has to be sealed anew: that is no move within the store.
    let own = folder(&store, bob, Place::Inbox).await.id;
    share(&store, alice, Place::Archive, bob, "lrte").await;
    let uid = copy.uid;
    assert!(matches!(store.move_entries(bob, archive, &[uid], own, NOW).await, Err(StoreError::Cannot(_))));
}

pub async fn each_user_has_seen_for_themselves(store: Subject) {
    let (alice, bob, eve) =
        (account(&store, "alice").await, account(&store, "bob").await, account(&store, "eve").await);
    let first = deliver(&store, mail(alice, Place::Inbox, "carol@shop.test")).await;
    deliver(&store, mail(alice, Place::Inbox, "carol@shop.test")).await;
    let inbox = share(&store, alice, Place::Inbox, bob, "lrs").await;
    share(&store, alice, Place::Inbox, eve, "lrsw").await;
    let unseen = async |who| store.status(who, &[inbox]).await.unwrap()[0].unseen;
    let before = store.open(bob, inbox, false).await.unwrap().mailbox.highest_modseq;
    let see = |mode| change(inbox, first.uid, mode, Flags::SEEN, &[]);
    let set = store.set_flags(bob, see(FlagMode::Add), NOW).await.unwrap();
    assert_eq!(set.entries[0].flags, Flags::SEEN);
    assert_eq!((unseen(alice).await, unseen(bob).await, unseen(eve).await), (2, 1, 2));
    // RFC 7162: what looks different to this user has a new MODSEQ, and is among the changes.
    assert!(set.entries[0].modseq > before);
    let changes = store.changes(bob, inbox, before).await.unwrap();
    assert_eq!((changes.changed.len(), changes.changed[0].flags), (1, Flags::SEEN));
    assert_eq!(store.open(eve, inbox, false).await.unwrap().entries[0].flags, Flags::NONE);
    let after = store.open(bob, inbox, false).await.unwrap().mailbox.highest_modseq;
    store.set_flags(bob, see(FlagMode::Add), NOW).await.unwrap();
    assert_eq!(store.open(bob, inbox, false).await.unwrap().mailbox.highest_modseq, after, "nothing changed");
    // Other flags are everybody's, and leave what each has seen alone.
    store.set_flags(eve, change(inbox, first.uid, FlagMode::Replace, Flags::FLAGGED, &[]), NOW).await.unwrap();
    assert_eq!(store.open(bob, inbox, false).await.unwrap().entries[0].flags, Flags::SEEN.with(Flags::FLAGGED));
    store.set_flags(alice, see(FlagMode::Add), NOW).await.unwrap();
    store.set_flags(bob, see(FlagMode::Remove), NOW).await.unwrap();
    assert_eq!((unseen(alice).await, unseen(bob).await, unseen(eve).await), (1, 2, 2));
}

/// Alice's paid mail in Requests, which Bob may work on with these rights, and all of her other folders too.
async fn desk(store: &Subject, letters: &str, settings: AccountSettings) -> (AccountId, AccountId, Paid, Uid) {
    let alice = account_with(store, "alice", settings).await;
    let bob = account(store, "bob").await;
    let paid = paid(store, alice, 100).await;
    for place in [Place::Requests, Place::Unpaid, Place::Archive, Place::Trash] {
        share(store, alice, place, bob, letters).await;
    }
    let uid = only(store, alice, Place::Requests).await.uid;
    (alice, bob, paid, uid)
}

const WITHOUT_T: &str = "lrswipkxe";
const WITH_T: &str = "lrswipkxte";

pub async fn without_the_right_t_nothing_decides(store: Subject) {
    let settings = AccountSettings { accept_on: AcceptOn::Read, ..AccountSettings::default() };
    let (alice, bob, paid, uid) = desk(&store, WITHOUT_T, settings).await;
    let (requests, archive, trash) = (
        folder(&store, alice, Place::Requests).await.id,
        folder(&store, alice, Place::Archive).await.id,
        folder(&store, alice, Place::Trash).await.id,
    );
    jobs(&store, NOW).await;
    // Row by row of design section 3: a move, a copy, the two keywords, reading, expunging, an offline user's old UID.
    denied(store.move_entries(bob, requests, &[uid], archive, NOW).await, 't');
    store.copy(bob, requests, &[uid], archive, NOW).await.unwrap();
    store.copy(bob, requests, &[uid], trash, NOW).await.unwrap();
    let keywords = change(requests, uid, FlagMode::Add, Flags::SEEN, &["$Accepted", "$Declined"]);
    store.set_flags(bob, keywords, NOW).await.unwrap();
    set(&store, alice, Place::Requests, &[uid], FlagMode::Add, Flags::DELETED, &[], NOW).await;
    assert!(store.expunge(bob, requests, None, NOW).await.unwrap().is_empty(), "it would be lost to those who decide");
    let unpaid = folder(&store, alice, Place::Unpaid).await.id;
    let old = store.copy(bob, unpaid, &[Uid::new(1).unwrap()], archive, NOW).await.unwrap();
    assert!(old.pairs.is_empty());
    assert!(store.carried_off(bob, requests, &[uid], Place::Inbox, false, NOW).await.unwrap().is_empty());
    assert_state(&store, paid.gate, GateState::Held).await;
    assert!(jobs(&store, NOW).await.is_empty());
    assert_eq!(only(&store, alice, Place::Requests).await.keywords, ["$Paid"]);
}

pub async fn with_the_right_t_a_move_and_a_copy_decide(store: Subject) {
    let (alice, bob, paid, uid) = desk(&store, WITH_T, AccountSettings::default()).await;
    let (requests, archive) =
        (folder(&store, alice, Place::Requests).await.id, folder(&store, alice, Place::Archive).await.id);
    store.move_entries(bob, requests, &[uid], archive, NOW).await.unwrap();
    assert_state(&store, paid.gate, GateState::Settling).await;
    assert_eq!(relation(&store, alice, "bob@shop.test").await, Some(Relation::Acquaintance), "of the owner's contacts");
    assert_eq!(relation(&store, bob, "bob@shop.test").await, None);
}

pub async fn with_the_right_t_a_keyword_decides(store: Subject) {
    let (alice, bob, paid, uid) = desk(&store, WITH_T, AccountSettings::default()).await;
    let requests = folder(&store, alice, Place::Requests).await.id;
    store.set_flags(bob, change(requests, uid, FlagMode::Add, Flags::NONE, &["$Declined"]), NOW).await.unwrap();
    assert_state(&store, paid.gate, GateState::Declined).await;
}

pub async fn with_the_right_t_an_expunge_arms_a_decline(store: Subject) {
    let (alice, bob, paid, uid) = desk(&store, WITH_T, AccountSettings::default()).await;
    let requests = folder(&store, alice, Place::Requests).await.id;
    store.set_flags(bob, change(requests, uid, FlagMode::Add, Flags::DELETED, &[]), NOW).await.unwrap();
    assert_eq!(store.expunge(bob, requests, None, NOW).await.unwrap(), [uid]);
    assert!(gate(&store, paid.gate).await.armed_until.is_some());
}

pub async fn with_the_right_t_reading_accepts_where_the_owner_chose_so(store: Subject) {
    let settings = AccountSettings { accept_on: AcceptOn::Read, ..AccountSettings::default() };
    let (alice, bob, paid, uid) = desk(&store, WITH_T, settings).await;
    let requests = folder(&store, alice, Place::Requests).await.id;
    store.set_flags(bob, change(requests, uid, FlagMode::Add, Flags::SEEN, &[]), NOW).await.unwrap();
    assert_state(&store, paid.gate, GateState::Settling).await;
}

pub async fn what_is_carried_to_another_account_is_in_both_until_the_source_hears(store: Subject) {
    let (alice, bob, paid, uid) = desk(&store, WITH_T, AccountSettings::default()).await;
    let requests = folder(&store, alice, Place::Requests).await.id;
    // The first half: sealed to Bob, appended to his INBOX. A crash here leaves a duplicate.
    append(&store, bob, Place::Inbox, 7, NOW).await;
    assert_eq!(only(&store, alice, Place::Requests).await.uid, uid);
    assert_eq!(entries(&store, bob, Place::Inbox).await.len(), 1);
    assert_state(&store, paid.gate, GateState::Held).await;
    // The second half.
    assert_eq!(store.carried_off(bob, requests, &[uid], Place::Inbox, true, NOW).await.unwrap(), [uid]);
    assert!(entries(&store, alice, Place::Requests).await.is_empty());
    assert_state(&store, paid.gate, GateState::Settling).await;
    // Again, as after a crash in between: nothing is there any more.
    assert!(store.carried_off(bob, requests, &[uid], Place::Inbox, true, NOW).await.unwrap().is_empty());
}

pub async fn an_append_to_a_shared_mailbox_is_its_owners(store: Subject) {
    let (alice, bob) = (account(&store, "alice").await, account(&store, "bob").await);
    let mailbox = share(&store, alice, Place::Archive, bob, "lrsi").await;
    let message = NewMessage {
        sealed: sealed(),
        internal_date: NOW,
        zone: 0,
        flags: Flags::SEEN.with(Flags::FLAGGED).with(Flags::DELETED),
        keywords: vec!["Mine".into()],
        message_id: None,
        content_digest: [1; 32],
    };
    let append = Append { account: bob, mailbox, messages: vec![message.clone()], replaces: None };
    let appended = store.append(append.clone(), NOW).await.unwrap();
    assert!(store.content(alice, appended.messages[0]).await.unwrap().is_some());
    assert!(store.content(bob, appended.messages[0]).await.unwrap().is_none());
    let entry = only(&store, alice, Place::Archive).await;
    assert_eq!((entry.flags, entry.keywords.len()), (Flags::NONE, 0), "as far as the rights go");
    assert_eq!(store.open(bob, mailbox, false).await.unwrap().entries[0].flags, Flags::SEEN);
    share(&store, alice, Place::Archive, bob, "lrs").await;
    denied(store.append(append, NOW).await, 'i');
}

pub async fn names_in_a_shared_tree_need_the_rights_k_and_x(store: Subject) {
    let (alice, bob, eve) =
        (account(&store, "alice").await, account(&store, "bob").await, account(&store, "eve").await);
    let archive = share(&store, alice, Place::Archive, bob, "lk").await;
    denied(store.create_shared(eve, alice, "Archive/a", NOW).await, 'k');
    denied(store.create_shared(bob, alice, "Mine", NOW).await, 'k');
    denied(store.create_shared(bob, alice, "INBOX/a", NOW).await, 'k');
    let made = store.create_shared(bob, alice, "Archive/a/b", NOW).await.unwrap();
    assert!(matches!(store.create_shared(bob, alice, "Archive/a", NOW).await, Err(StoreError::Exists(_))));
    assert_eq!(store.acl(alice, made.id).await.unwrap(), store.acl(alice, archive).await.unwrap());
    denied(store.rename_shared(bob, alice, "Archive/a", "Archive/c", NOW).await, 'x');
    let rights = |mailbox, rights: &str| {
        let rights = Rights::parse(rights).unwrap();
        AclChange { mailbox, user: bob, mode: RightsMode::Replace, rights, wrap: None }
    };
    store.set_acl(alice, rights(made.id, "lx")).await.unwrap();
    denied(store.rename_shared(bob, alice, "Archive/a/b", "Archive/a/b/c", NOW).await, 'k');
    denied(store.rename_shared(bob, alice, "Archive/a/b", "Sent/b", NOW).await, 'k');
    store.rename_shared(bob, alice, "Archive/a/b", "Archive/x/b", NOW).await.unwrap();
    assert!(matches!(store.rename_shared(bob, alice, "INBOX", "Archive/i", NOW).await, Err(StoreError::NoSuch(_))));
    assert!(matches!(store.rename_shared(bob, alice, "Nowhere", "Archive/i", NOW).await, Err(StoreError::NoSuch(_))));
    // What lies between and is not shared is nobody's to add to.
    let between = store.mailboxes(alice).await.unwrap().into_iter().find(|m| m.name == "Archive/x").unwrap().id;
    store.set_acl(alice, rights(between, "")).await.unwrap();
    denied(store.create_shared(bob, alice, "Archive/x/c", NOW).await, 'k');
}

pub async fn annotations_of_a_shared_mailbox_are_shared_and_each_users(store: Subject) {
    let (alice, bob, eve) =
        (account(&store, "alice").await, account(&store, "bob").await, account(&store, "eve").await);
    let inbox = share(&store, alice, Place::Inbox, bob, "lr").await;
    let set = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
    let seen = async |by| -> Vec<(String, String)> {
        let all = store.annotations(by, Some(inbox)).await.unwrap();
        all.into_iter().map(|one| (one.name, String::from_utf8(one.value).unwrap())).collect()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    store.annotate(alice, Some(inbox), vec![set("/private/a", "alice"), set("/shared/a", "all")]).await.unwrap();
    store.annotate(bob, Some(inbox), vec![set("/PRIVATE/a", "bob")]).await.unwrap();
    denied(store.annotate(bob, Some(inbox), vec![set("/private/a", "b"), set("/shared/a", "b")]).await, 'w');
    assert_eq!(seen(alice).await, [pair("/private/a", "alice"), pair("/shared/a", "all")]);
    assert_eq!(seen(bob).await, [pair("/PRIVATE/a", "bob"), pair("/shared/a", "all")]);
    assert!(seen(eve).await.is_empty());
    share(&store, alice, Place::Inbox, bob, "lw").await;
    store.annotate(bob, Some(inbox), vec![set("/shared/a", "bob's")]).await.unwrap();
    assert_eq!(seen(alice).await[1], pair("/shared/a", "bob's"));
    for rights in ["r", "lkxtea"] {
        share(&store, alice, Place::Inbox, bob, rights).await;
        assert!(matches!(store.annotations(bob, Some(inbox)).await, Err(StoreError::Denied(_))), "{rights}");
        assert!(matches!(
            store.annotate(bob, Some(inbox), vec![set("/private/a", "")]).await,
            Err(StoreError::Denied(_))
        ));
    }
    // What was theirs goes with the last of their rights.
    share(&store, alice, Place::Inbox, bob, "").await;
    share(&store, alice, Place::Inbox, bob, "lr").await;
    assert_eq!(seen(bob).await, [pair("/shared/a", "bob's")]);
    store.annotate(bob, Some(inbox), vec![set("/private/a", "again")]).await.unwrap();
    store.remove_account(alice, NOW).await.unwrap();
    assert!(seen(bob).await.is_empty());
}
