use std::pin::pin;

use lnmp::{AcceptOn, Act, Verdict};

use super::*;
use crate::StandingQuery;

pub async fn an_unpaid_mail_shows_it_and_asks_its_author(store: Subject) {
    let alice = account(&store, "alice").await;
    let id = deliver(&store, priced(alice, "bob@shop.test")).await.gate.unwrap();
    assert_eq!(only(&store, alice, Place::Unpaid).await.keywords, ["$Unpaid"]);
    assert_eq!(jobs(&store, NOW).await, [JobKind::Ask(id)]);
    let gate = gate(&store, id).await;
    assert_eq!(
        (gate.author.as_deref(), gate.recipient.as_deref()),
        (Some("bob@shop.test"), Some("alice@satchel.test"))
    );
    assert_eq!((gate.ask.as_deref(), gate.message_id.as_deref()), (Some("bob@shop.test"), Some("<1.bob@shop.test>")));
    assert_eq!((gate.price, gate.page_token.len()), (Msat(100_000), 32));
    let silent = NewGate { ask: None, ..priced(alice, "x@y.test").gate.unwrap() };
    deliver(&store, Delivery { gate: Some(silent), ..priced(alice, "x@y.test") }).await;
    assert!(jobs(&store, NOW).await.is_empty());
}

pub async fn a_commit_that_makes_a_job_rings(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    let bell = store.job_bell();
    let mut rung = pin!(bell.notified());
    rung.as_mut().enable();
    // Reading it decides nothing.
    let uid = only(&store, alice, Place::Requests).await.uid;
    set(&store, alice, Place::Requests, &[uid], FlagMode::Add, Flags::SEEN, &[], NOW).await;
    assert!(!rung.as_mut().enable(), "no job, no bell");
    move_only(&store, alice, Place::Requests, Place::Inbox, NOW).await;
    assert!(rung.as_mut().enable(), "a claim");
    assert!(jobs(&store, NOW).await.contains(&JobKind::Claim(paid.quote, paid.hash)));
}

pub async fn moving_out_of_unpaid_lets_in_free_and_voids_the_invoice(store: Subject) {
    let alice = account(&store, "alice").await;
    let id = deliver(&store, priced(alice, "bob@shop.test")).await.gate.unwrap();
    let (quote, hash) = quote(&store, id, 100, 1, NOW).await;
    move_only(&store, alice, Place::Unpaid, Place::Inbox, NOW).await;
    assert_state(&store, id, GateState::Waived).await;
    assert!(only(&store, alice, Place::Inbox).await.keywords.is_empty());
    assert_cancelled(&store, &hash, CancelReason::NotNeeded).await;
    assert!(jobs(&store, NOW).await.contains(&JobKind::Cancel(quote, hash)));
    assert_eq!(relation(&store, alice, "bob@shop.test").await, Some(Relation::Friend));
    let late = store.payment_held(incoming(hash, 100), NOW).await.unwrap();
    assert_eq!(late, HeldOutcome::Refuse(CancelReason::NotNeeded));
    assert_eq!(jobs(&store, NOW).await, [JobKind::Cancel(quote, hash)]);
}

pub async fn an_unaligned_author_gets_a_pass_instead_of_a_relation(store: Subject) {
    let alice = account(&store, "alice").await;
    let evidence = Some("bob@shop.test list.test".to_owned());
    let author = Author { address: "bob@shop.test".into(), aligned: false, evidence: evidence.clone() };
    deliver(&store, Delivery { author: Some(author), ..priced(alice, "bob@shop.test") }).await;
    move_only(&store, alice, Place::Unpaid, Place::Inbox, NOW).await;
    assert_eq!(relation(&store, alice, "bob@shop.test").await, None);
    let query = StandingQuery { evidence, ..StandingQuery::default() };
    assert!(store.standing(alice, query.clone()).await.unwrap().pass);
    // Ten minutes in Junk take it away again.
    move_only(&store, alice, Place::Inbox, Place::Junk, NOW).await;
    let message = only(&store, alice, Place::Junk).await.message;
    assert!(store.demote(alice, message, NOW + 10 * MINUTE).await.unwrap());
    assert!(!store.standing(alice, query).await.unwrap().pass);
}

pub async fn moving_a_paid_mail_to_inbox_accepts_it(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    assert_eq!(only(&store, alice, Place::Requests).await.keywords, ["$Paid"]);
    move_only(&store, alice, Place::Requests, Place::Inbox, NOW).await;
    assert_state(&store, paid.gate, GateState::Settling).await;
    assert_eq!(only(&store, alice, Place::Inbox).await.keywords, ["$Accepted", "$Paid"]);
    assert!(jobs(&store, NOW).await.contains(&JobKind::Claim(paid.quote, paid.hash)));
    assert_eq!(relation(&store, alice, "bob@shop.test").await, Some(Relation::Acquaintance));
}

pub async fn copying_a_paid_mail_to_an_own_folder_accepts_it_on_every_copy(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    let own = store.create_mailbox(alice, "Own", NOW).await.unwrap().id;
    let requests = folder(&store, alice, Place::Requests).await;
    let mut watch = store.watch();
    store.copy(alice, requests.id, &[only(&store, alice, Place::Requests).await.uid], own, NOW).await.unwrap();
    assert_state(&store, paid.gate, GateState::Settling).await;
    for place in [Place::Requests, Place::Own] {
        assert_eq!(only(&store, alice, place).await.keywords, ["$Accepted", "$Paid"]);
    }
    let told = [watch.recv().await.unwrap().mailbox, watch.recv().await.unwrap().mailbox];
    assert!(told.contains(&Some(own)) && told.contains(&Some(requests.id)), "{told:?}");
    let changes = store.changes(alice, requests.id, requests.highest_modseq).await.unwrap();
    assert_eq!(changes.changed.len(), 1);
    store.payment_settled(&paid.hash, Msat(100_000), NOW).await.unwrap();
    assert_eq!(only(&store, alice, Place::Own).await.keywords, ["$Accepted", "$Settled"]);
}

pub async fn a_reply_accepts_and_befriends(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    let replied =
        Batch { replied: vec![(alice, vec!["<0.x>".into(), "<1.bob@shop.test>".into()])], ..Batch::default() };
    store.commit(replied.clone(), NOW).await.unwrap();
    assert_state(&store, paid.gate, GateState::Settling).await;
    assert_eq!(relation(&store, alice, "bob@shop.test").await, Some(Relation::Friend));
    // The Message-ID of one account's mail says nothing about another's.
    let eve = account(&store, "eve").await;
    let hers = deliver(&store, priced(eve, "bob@shop.test")).await.gate.unwrap();
    store.commit(replied, NOW).await.unwrap();
    assert_state(&store, hers, GateState::Waiting).await;
}

pub async fn the_accepted_and_declined_keywords_decide(store: Subject) {
    let alice = account(&store, "alice").await;
    let accepted = paid(&store, alice, 100).await;
    let uid = only(&store, alice, Place::Requests).await.uid;
    // Taking it away says nothing.
    set(&store, alice, Place::Requests, &[uid], FlagMode::Remove, Flags::NONE, &["$Declined", "$Paid"], NOW).await;
    assert_state(&store, accepted.gate, GateState::Held).await;
    let after = set(&store, alice, Place::Requests, &[uid], FlagMode::Add, Flags::NONE, &["$accepted"], NOW).await;
    assert_state(&store, accepted.gate, GateState::Settling).await;
    assert_eq!(after[0].keywords, ["$Paid", "$Accepted"]);
    let declined = deliver(&store, priced(alice, "carol@shop.test")).await.gate.unwrap();
    let (_, hash) = quote(&store, declined, 100, 2, NOW).await;
    store.payment_held(incoming(hash, 100), NOW).await.unwrap();
    let uid = entries(&store, alice, Place::Requests).await.pop().unwrap().uid;
    let after = set(&store, alice, Place::Requests, &[uid], FlagMode::Add, Flags::NONE, &["$Declined"], NOW).await;
    assert_eq!(after[0].keywords, ["$Refunded", "$Declined"]);
    assert_cancelled(&store, &hash, CancelReason::Declined).await;
}

pub async fn moving_a_paid_mail_to_junk_declines_it_at_once(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    move_only(&store, alice, Place::Requests, Place::Junk, NOW).await;
    assert_state(&store, paid.gate, GateState::Declined).await;
    assert_cancelled(&store, &paid.hash, CancelReason::Declined).await;
    assert_eq!(only(&store, alice, Place::Junk).await.keywords, ["$Declined", "$Refunded"]);
    assert!(jobs(&store, NOW).await.contains(&JobKind::Cancel(paid.quote, paid.hash)));
    assert_eq!(relation(&store, alice, "bob@shop.test").await, None);
    assert_eq!(store.balances().await.unwrap().node, 0);
}

pub async fn the_first_decision_wins(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    move_only(&store, alice, Place::Requests, Place::Inbox, NOW).await;
    jobs(&store, NOW).await;
    move_only(&store, alice, Place::Inbox, Place::Trash, NOW).await;
    let decided = store.decide(paid.gate, Act::MarkedDeclined, NOW).await.unwrap();
    assert_eq!((decided.verdict, decided.state), (Verdict::Nothing, GateState::Settling));
    assert!(jobs(&store, NOW).await.is_empty());
}

pub async fn an_expunged_paid_mail_is_declined_when_the_grace_ends(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    jobs(&store, NOW).await;
    let message = only(&store, alice, Place::Requests).await.message;
    expunge_only(&store, alice, Place::Requests, NOW).await;
    assert_eq!(gate(&store, paid.gate).await.armed_until, Some(NOW + 10 * MINUTE));
    assert_state(&store, paid.gate, GateState::Held).await;
    assert!(store.content(alice, message).await.unwrap().is_some(), "the content must outlive the grace");
    let grace = Act::GraceOver { lies: None };
    let early = store.decide(paid.gate, grace, NOW + 9 * MINUTE).await.unwrap();
    assert_eq!((early.verdict, early.state), (Verdict::Nothing, GateState::Held));
    assert!(jobs(&store, NOW + 9 * MINUTE).await.is_empty());
    assert_eq!(jobs(&store, NOW + 10 * MINUTE).await, [JobKind::Grace(paid.gate)]);
    let over = store.decide(paid.gate, grace, NOW + 10 * MINUTE).await.unwrap();
    assert_eq!((over.verdict, over.state), (Verdict::Decline, GateState::Declined));
    assert_cancelled(&store, &paid.hash, CancelReason::Declined).await;
    assert!(store.content(alice, message).await.unwrap().is_none());
}

pub async fn an_append_of_the_same_content_within_the_grace_accepts(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    expunge_only(&store, alice, Place::Requests, NOW).await;
    append(&store, alice, Place::Archive, 8, NOW + MINUTE).await;
    assert_state(&store, paid.gate, GateState::Held).await;
    append(&store, alice, Place::Inbox, 7, NOW + MINUTE).await;
    assert_state(&store, paid.gate, GateState::Settling).await;
    assert_eq!(only(&store, alice, Place::Inbox).await.keywords, ["$Accepted", "$Paid", "Mine"]);
    let over = store.decide(paid.gate, Act::GraceOver { lies: None }, NOW + 10 * MINUTE).await.unwrap();
    assert_eq!((over.verdict, over.state), (Verdict::Nothing, GateState::Settling));
}

pub async fn an_append_before_the_expunge_accepts_too(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    append(&store, alice, Place::Inbox, 7, NOW).await;
    expunge_only(&store, alice, Place::Requests, NOW).await;
    store.decide(paid.gate, Act::GraceOver { lies: None }, NOW + 10 * MINUTE).await.unwrap();
    assert_state(&store, paid.gate, GateState::Settling).await;
    store.payment_settled(&paid.hash, Msat(100_000), NOW).await.unwrap();
    let copy = only(&store, alice, Place::Inbox).await;
    assert!(store.content(alice, copy.message).await.unwrap().is_some());
}

pub async fn an_append_after_the_decline_is_a_free_let_in(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    expunge_only(&store, alice, Place::Requests, NOW).await;
    store.decide(paid.gate, Act::GraceOver { lies: None }, NOW + 10 * MINUTE).await.unwrap();
    append(&store, alice, Place::Inbox, 7, NOW + 11 * MINUTE).await;
    assert_state(&store, paid.gate, GateState::Declined).await;
    assert_eq!(relation(&store, alice, "bob@shop.test").await, Some(Relation::Friend));
}

pub async fn a_declined_mail_taken_out_of_trash_makes_a_friend(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    move_only(&store, alice, Place::Requests, Place::Trash, NOW).await;
    move_only(&store, alice, Place::Trash, Place::Inbox, NOW).await;
    assert_state(&store, paid.gate, GateState::Declined).await;
    assert_eq!(relation(&store, alice, "bob@shop.test").await, Some(Relation::Friend));
}

pub async fn junk_demotes_after_ten_minutes_and_taking_it_out_restores(store: Subject) {
    let alice = account(&store, "alice").await;
    store.set_relation(alice, "bob@shop.test", Relation::Friend, NOW).await.unwrap();
    let message = deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await.message;
    move_only(&store, alice, Place::Inbox, Place::Junk, NOW).await;
    move_only(&store, alice, Place::Junk, Place::Inbox, NOW).await;
    assert!(!store.demote(alice, message, NOW + 10 * MINUTE).await.unwrap());
    assert_eq!(relation(&store, alice, "bob@shop.test").await, Some(Relation::Friend));
    move_only(&store, alice, Place::Inbox, Place::Junk, NOW).await;
    let due = jobs(&store, NOW + 10 * MINUTE).await;
    assert_eq!(due, [JobKind::Demote(alice, message), JobKind::Demote(alice, message)]);
    assert!(store.demote(alice, message, NOW + 10 * MINUTE).await.unwrap());
    assert_eq!(relation(&store, alice, "bob@shop.test").await, Some(Relation::Acquaintance));
    move_only(&store, alice, Place::Junk, Place::Archive, NOW).await;
    assert_eq!(relation(&store, alice, "bob@shop.test").await, Some(Relation::Friend));
}

pub async fn an_expunged_unpaid_mail_ends_with_its_grace(store: Subject) {
    let alice = account(&store, "alice").await;
    let delivered = deliver(&store, priced(alice, "bob@shop.test")).await;
    let (id, (_, hash)) = (delivered.gate.unwrap(), quote(&store, delivered.gate.unwrap(), 100, 1, NOW).await);
    jobs(&store, NOW).await;
    expunge_only(&store, alice, Place::Unpaid, NOW).await;
    assert_eq!(
        store.begin_quote(id, Msat(5), AMPLE, &Preimage::new([9; 32]), NOW + HOUR, NOW).await.unwrap(),
        Begun::NotPayable
    );
    assert_eq!(jobs(&store, NOW + 10 * MINUTE).await, [JobKind::Grace(id)]);
    store.decide(id, Act::GraceOver { lies: None }, NOW + 10 * MINUTE).await.unwrap();
    assert_state(&store, id, GateState::Waived).await;
    assert_cancelled(&store, &hash, CancelReason::Gone).await;
    assert!(store.content(alice, delivered.message).await.unwrap().is_none());
    // Moved by expunge and append, as mbsync does it: let in.
    let delivered =
        deliver(&store, Delivery { content_digest: Some([5; 32]), ..priced(alice, "carol@shop.test") }).await;
    expunge_only(&store, alice, Place::Unpaid, NOW).await;
    append(&store, alice, Place::Inbox, 5, NOW).await;
    assert_state(&store, delivered.gate.unwrap(), GateState::Waived).await;
    assert_eq!(relation(&store, alice, "carol@shop.test").await, Some(Relation::Friend));
}

pub async fn an_offline_users_old_uid_still_decides(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    let (unpaid, inbox) = (folder(&store, alice, Place::Unpaid).await.id, folder(&store, alice, Place::Inbox).await.id);
    let old = Uid::new(1).unwrap();
    let moved = store.move_entries(alice, unpaid, &[old], inbox, NOW).await.unwrap();
    assert_eq!((moved.pairs, moved.vanished), (vec![(old, Uid::new(1).unwrap())], vec![]));
    assert!(entries(&store, alice, Place::Requests).await.is_empty());
    assert_state(&store, paid.gate, GateState::Settling).await;
    let carol = deliver(&store, priced(alice, "carol@shop.test")).await;
    let (_, hash) = quote(&store, carol.gate.unwrap(), 100, 2, NOW).await;
    store.payment_held(incoming(hash, 100), NOW).await.unwrap();
    // RFC 7162 §3.1.3: a client that asks for what it knows to be unchanged learns that it is not.
    let conditional = FlagChange {
        mailbox: unpaid,
        uids: vec![carol.uid],
        mode: FlagMode::Add,
        flags: Flags::NONE,
        keywords: vec!["$Declined".into()],
        unchanged_since: Some(crate::ModSeq(u64::MAX)),
    };
    assert_eq!(store.set_flags(alice, conditional, NOW).await.unwrap().modified, [carol.uid]);
    assert_state(&store, carol.gate.unwrap(), GateState::Held).await;
    let shown = set(&store, alice, Place::Unpaid, &[carol.uid], FlagMode::Add, Flags::SEEN, &["$Declined"], NOW).await;
    assert!(shown.is_empty());
    assert_state(&store, carol.gate.unwrap(), GateState::Declined).await;
    assert_eq!(only(&store, alice, Place::Requests).await.flags, Flags::NONE);
}

pub async fn a_tombstone_ends_after_sixty_days(store: Subject) {
    let alice = account(&store, "alice").await;
    paid(&store, alice, 100).await;
    let (unpaid, inbox) = (folder(&store, alice, Place::Unpaid).await.id, folder(&store, alice, Place::Inbox).await.id);
    let late = store.copy(alice, unpaid, &[Uid::new(1).unwrap()], inbox, NOW + 61 * DAY).await.unwrap();
    assert!(late.pairs.is_empty());
}

pub async fn reading_accepts_only_where_the_owner_chose_so(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid_alice = paid(&store, alice, 100).await;
    let uid = only(&store, alice, Place::Requests).await.uid;
    set(&store, alice, Place::Requests, &[uid], FlagMode::Add, Flags::SEEN, &[], NOW).await;
    assert_state(&store, paid_alice.gate, GateState::Held).await;
    let settings = AccountSettings { accept_on: AcceptOn::Read, ..AccountSettings::default() };
    let desk = account_with(&store, "desk", settings).await;
    let gate = deliver(&store, priced(desk, "bob@shop.test")).await.gate.unwrap();
    let (_, hash) = quote(&store, gate, 100, 2, NOW).await;
    store.payment_held(incoming(hash, 100), NOW).await.unwrap();
    let uid = only(&store, desk, Place::Requests).await.uid;
    set(&store, desk, Place::Requests, &[uid], FlagMode::Add, Flags::SEEN, &[], NOW).await;
    assert_state(&store, gate, GateState::Settling).await;
}
