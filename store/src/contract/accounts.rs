use lnmp::{CancelReason, GateState, Place, Relation};

use super::*;
use crate::{NewAlias, Resolution, StandingQuery, StoreError};

pub async fn an_address_belongs_to_one_account_or_alias(store: Subject) {
    let alice = account(&store, "alice").await;
    let bob = account(&store, "bob").await;
    let found = store.account_by_address("alice", "satchel.test").await.unwrap().unwrap();
    assert_eq!((found.id, found.address()), (alice, "alice@satchel.test".into()));
    assert_eq!(store.accounts().await.unwrap().len(), 2);
    let alias = NewAlias {
        account: bob,
        local: "alice".into(),
        domain: "satchel.test".into(),
        expires_at: None,
        max_uses: None,
    };
    assert!(matches!(store.add_alias(alias.clone(), NOW).await, Err(StoreError::Exists(_))));
    store.add_alias(NewAlias { local: "sales".into(), ..alias.clone() }, NOW).await.unwrap();
    assert!(store.account_by_address("sales", "satchel.test").await.unwrap().is_none());
    match store.resolve("sales", "satchel.test", NOW).await.unwrap() {
        Resolution::Account { account, alias: Some(alias) } => {
            assert_eq!((account.id, alias.local), (bob, "sales".into()))
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(store.resolve("nobody", "satchel.test", NOW).await.unwrap(), Resolution::Unknown));
    assert_eq!(store.aliases(Some(alice)).await.unwrap().len(), 0);
    assert_eq!(store.aliases(None).await.unwrap().len(), 1);
    assert!(!store.remove_alias("alice", "satchel.test").await.unwrap());
    assert!(store.remove_alias("sales", "satchel.test").await.unwrap());
    assert!(matches!(store.resolve("sales", "satchel.test", NOW).await.unwrap(), Resolution::Unknown));
}

pub async fn an_alias_ends_by_time_and_by_use(store: Subject) {
    let alice = account(&store, "alice").await;
    let alias = NewAlias {
        account: alice,
        local: "once".into(),
        domain: "satchel.test".into(),
        expires_at: Some(NOW + HOUR),
        max_uses: Some(1),
    };
    let id = store.add_alias(alias, NOW).await.unwrap();
    assert!(matches!(store.resolve("once", "satchel.test", NOW + HOUR).await.unwrap(), Resolution::AliasOver));
    assert!(matches!(store.resolve("once", "satchel.test", NOW).await.unwrap(), Resolution::Account { .. }));
    deliver(&store, Delivery { alias: Some(id), ..mail(alice, Place::Inbox, "bob@shop.test") }).await;
    assert!(matches!(store.resolve("once", "satchel.test", NOW).await.unwrap(), Resolution::AliasOver));
}

pub async fn an_account_is_born_with_eight_subscribed_folders_of_distinct_uidvalidity(store: Subject) {
    let alice = account(&store, "alice").await;
    let all = store.mailboxes(alice).await.unwrap();
    let names: Vec<&str> = all.iter().map(|mailbox| mailbox.name.as_str()).collect();
    assert_eq!(names, ["INBOX", "Archive", "Drafts", "Junk", "Requests", "Sent", "Trash", "Unpaid"]);
    let mut validities: Vec<u32> = all.iter().map(|mailbox| mailbox.uid_validity.0.get()).collect();
    validities.sort_unstable();
    validities.dedup();
    assert_eq!(validities.len(), 8);
    assert!(
        all.iter().all(|mailbox| mailbox.subscribed && mailbox.uid_next.get() == 1 && mailbox.highest_modseq.0 == 1)
    );
}

pub async fn credentials_are_added_replaced_and_never_all_removed(store: Subject) {
    let alice = account(&store, "alice").await;
    let first = store.credentials(alice).await.unwrap().pop().unwrap();
    assert_eq!((first.label.as_str(), first.wrap_id.as_str()), ("laptop", "aaaa"));
    assert!(matches!(store.remove_credential(alice, first.id).await, Err(StoreError::Cannot(_))));
    store.add_credential(alice, credential(CredentialKind::Password, ""), NOW).await.unwrap();
    store.replace_credential(alice, credential(CredentialKind::Password, ""), NOW).await.unwrap();
    assert_eq!(store.credentials(alice).await.unwrap().len(), 2);
    assert!(store.remove_credential(alice, first.id).await.unwrap());
    assert!(!store.remove_credential(alice, first.id).await.unwrap());
    assert_eq!(store.credentials(alice).await.unwrap()[0].kind, CredentialKind::Password);
}

pub async fn relations_are_found_by_author_reply_and_evidence(store: Subject) {
    let alice = account(&store, "alice").await;
    assert_eq!(relation(&store, alice, "bob@shop.test").await, None);
    store.set_relation(alice, "bob@shop.test", Relation::Acquaintance, NOW).await.unwrap();
    assert_eq!(relation(&store, alice, "bob@shop.test").await, Some(Relation::Acquaintance));
    assert_eq!(store.contacts(alice).await.unwrap()[0].author, "bob@shop.test");
    store.set_relation(alice, "bob@shop.test", Relation::Unverified, NOW).await.unwrap();
    assert!(store.contacts(alice).await.unwrap().is_empty());
    deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
    let query = StandingQuery { evidence: Some("x".into()), ..StandingQuery::default() };
    let standing = store.standing(alice, query).await.unwrap();
    assert_eq!((standing.pass, standing.unread), (false, 1));
}

pub async fn a_removed_account_leaves_no_mail_and_no_open_money(store: Subject) {
    let alice = account(&store, "alice").await;
    let mut with_attachment = mail(alice, Place::Inbox, "bob@shop.test");
    with_attachment.sealed.attachments = vec![("bafy1".into(), 70_000)];
    deliver(&store, with_attachment).await;
    let paid = paid(&store, alice, 100).await;
    let waiting = deliver(&store, priced(alice, "carol@shop.test")).await.gate.unwrap();
    let (_, live) = quote(&store, waiting, 100, 2, NOW).await;
    assert_eq!(store.remove_account(alice, NOW).await.unwrap(), ["bafy1"]);
    assert!(store.account(alice).await.unwrap().is_none());
    assert!(store.cids().await.unwrap().is_empty());
    assert!(store.mailboxes(alice).await.unwrap().is_empty());
    assert_cancelled(&store, &paid.hash, CancelReason::Gone).await;
    assert_cancelled(&store, &live, CancelReason::Gone).await;
    assert_state(&store, paid.gate, GateState::Declined).await;
    assert_eq!(gate(&store, paid.gate).await.author, None);
    let kinds = jobs(&store, NOW).await;
    assert!(kinds.contains(&JobKind::Cancel(paid.quote, paid.hash)), "{kinds:?}");
    assert_ne!(account(&store, "alice").await, alice);
}

pub async fn agreements_are_kept_by_page_and_go_with_their_account(store: Subject) {
    use crate::limits::{AGREEMENT_PAGE_BYTES_MAX, AGREEMENT_PAGES_MAX};
    let (alice, bob) = (account(&store, "alice").await, account(&store, "bob").await);
    let page = |number: u32, octet: u8| (number, Some(vec![octet; 10]));
    store.keep_agreements(alice, vec![page(0, 1), page(7, 2), page(3, 3)]).await.unwrap();
    store.keep_agreements(bob, vec![page(0, 9)]).await.unwrap();
    store.keep_agreements(alice, vec![page(7, 4), (3, None), (5, None)]).await.unwrap();
    let pages = store.agreements(alice).await.unwrap();
    assert_eq!(pages.iter().map(|(number, page)| (*number, page[0])).collect::<Vec<_>>(), [(0, 1), (7, 4)]);
    assert_eq!(store.agreements(bob).await.unwrap()[0].1[0], 9);
    // All of a write or nothing.
    let large = vec![page(0, 5), (1, Some(vec![0; AGREEMENT_PAGE_BYTES_MAX + 1]))];
    assert!(matches!(store.keep_agreements(alice, large).await, Err(StoreError::Limit(_))));
    let many = (0..=AGREEMENT_PAGES_MAX as u32).map(|number| page(number, 6)).collect();
    assert!(matches!(store.keep_agreements(alice, many).await, Err(StoreError::Limit(_))));
    assert_eq!(store.agreements(alice).await.unwrap(), pages);
    store.keep_agreements(alice, vec![(1, Some(vec![0; AGREEMENT_PAGE_BYTES_MAX]))]).await.unwrap();
    store.remove_account(alice, NOW).await.unwrap();
    assert!(store.agreements(alice).await.unwrap().is_empty());
    assert!(matches!(store.keep_agreements(alice, vec![page(0, 1)]).await, Err(StoreError::NoSuch(_))));
    assert_eq!(store.agreements(bob).await.unwrap().len(), 1);
}

pub async fn small_values_are_kept(store: Subject) {
    assert_eq!(store.get_meta("epoch").await.unwrap(), None);
    store.set_meta("epoch", b"1").await.unwrap();
    store.set_meta("epoch", b"2").await.unwrap();
    assert_eq!(store.get_meta("epoch").await.unwrap().unwrap(), b"2");
    // With what causes them, or not at all.
    let alice = account(&store, "alice").await;
    let meta = vec![("epoch".to_owned(), b"3".to_vec()), ("other".to_owned(), b"1".to_vec())];
    let batch = Batch { deliveries: vec![mail(alice, Place::Inbox, "x@y.test")], meta, ..Batch::default() };
    store.commit(batch, NOW).await.unwrap();
    assert_eq!(store.get_meta("epoch").await.unwrap().unwrap(), b"3");
    let mut refused = priced(alice, "x@y.test");
    refused.gate.as_mut().unwrap().voucher = true;
    let batch = Batch { deliveries: vec![refused], meta: vec![("epoch".into(), b"4".to_vec())], ..Batch::default() };
    store.commit(batch, NOW).await.unwrap_err();
    assert_eq!(store.get_meta("epoch").await.unwrap().unwrap(), b"3");
}

pub async fn an_owners_choices_are_kept(store: Subject) {
    let alice = account(&store, "alice").await;
    let settings = AccountSettings {
        observe: true,
        filters: vec![lnmp::Filter {
            name: "shops".into(),
            when: lnmp::Conditions { domain: Some("shop.test".into()), ..lnmp::Conditions::default() },
            then: lnmp::Actions { free: true, ..lnmp::Actions::default() },
        }],
        allowed: vec![lnmp::Allowed::Domain("bank.test".into())],
        expecting_until: NOW + HOUR,
        ..AccountSettings::default()
    };
    store.update_settings(alice, settings.clone()).await.unwrap();
    assert_eq!(store.account(alice).await.unwrap().unwrap().settings, settings);
    let nobody = AccountId(alice.0 + 1);
    assert!(matches!(store.update_settings(nobody, settings).await, Err(StoreError::NoSuch(_))));
}
