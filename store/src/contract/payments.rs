use lnmp::{AcceptOn, Act, QuoteState};

use super::*;
use crate::{Posting, Side, StoreError};

pub async fn a_payment_raises_the_mail_from_unpaid_to_requests(store: Subject) {
    let alice = account(&store, "alice").await;
    let unpaid = folder(&store, alice, Place::Unpaid).await.id;
    let before = deliver(&store, priced(alice, "bob@shop.test")).await;
    let (_, hash) = quote(&store, before.gate.unwrap(), 100, 1, NOW).await;
    store.payment_held(incoming(hash, 100), NOW).await.unwrap();
    let entry = only(&store, alice, Place::Requests).await;
    assert_eq!(
        (entry.message, &entry.keywords[..], entry.internal_date),
        (before.message, &["$Paid".to_owned()][..], NOW)
    );
    assert!(entries(&store, alice, Place::Unpaid).await.is_empty());
    assert_eq!(store.changes(alice, unpaid, crate::ModSeq(2)).await.unwrap().vanished, [before.uid]);
    let gate = gate(&store, before.gate.unwrap()).await;
    assert_eq!(
        (gate.state, gate.hold_until, gate.deadline_height),
        (GateState::Held, Some(NOW + DAY), Some(HEIGHT + 244))
    );
    let quote = &gate.quotes[0];
    assert_eq!(
        (quote.state, quote.received, quote.bolt11.as_deref()),
        (QuoteState::Held, Some(Msat(100_000)), Some("lnbcrt1"))
    );
    assert_eq!(store.balances().await.unwrap().held, 100_000);
    assert_eq!(relation(&store, alice, "bob@shop.test").await, None);
}

pub async fn a_priority_payment_goes_to_inbox_flagged(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 1000).await;
    let entry = only(&store, alice, Place::Inbox).await;
    assert_eq!((entry.flags, &entry.keywords[..]), (Flags::FLAGGED, &["$Paid".to_owned(), "$Priority".to_owned()][..]));
    assert!(!jobs(&store, NOW).await.contains(&JobKind::Notice(alice)));
    move_only(&store, alice, Place::Inbox, Place::Archive, NOW).await;
    store.payment_settled(&paid.hash, Msat(1_000_000), NOW).await.unwrap();
    assert_eq!(only(&store, alice, Place::Archive).await.keywords, ["$Accepted", "$Priority", "$Settled"]);
}

pub async fn a_repeated_event_changes_nothing(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    assert_eq!(store.payment_held(incoming(paid.hash, 100), NOW).await.unwrap(), HeldOutcome::Already);
    let unknown = Preimage::new([77; 32]).hash();
    assert_eq!(store.payment_held(incoming(unknown, 100), NOW).await.unwrap(), HeldOutcome::Unknown);
    move_only(&store, alice, Place::Requests, Place::Inbox, NOW).await;
    assert_eq!(store.payment_held(incoming(paid.hash, 100), NOW).await.unwrap(), HeldOutcome::Already);
    store.payment_settled(&paid.hash, Msat(100_000), NOW).await.unwrap();
    assert_eq!(store.payment_held(incoming(paid.hash, 100), NOW).await.unwrap(), HeldOutcome::Already);
    assert!(matches!(store.payment_settled(&unknown, Msat(1), NOW).await, Err(StoreError::NoSuch(_))));
}

pub async fn a_payment_that_cannot_be_held_is_refused_with_its_reason(store: Subject) {
    let alice = account(&store, "alice").await;
    let id = deliver(&store, priced(alice, "bob@shop.test")).await.gate.unwrap();
    jobs(&store, NOW).await;
    let mut chance = 0;
    for (reason, now) in [
        (CancelReason::Late, NOW + 2 * HOUR),
        (CancelReason::Short, NOW),
        (CancelReason::ShortWindow, NOW),
        (CancelReason::Gone, NOW),
    ] {
        chance += 1;
        let (quote, hash) = quote(&store, id, 100, chance, NOW).await;
        let mut payment = incoming(hash, 100);
        match reason {
            CancelReason::Short => payment.amount = Msat(99_999),
            CancelReason::ShortWindow => payment.window_min = 245,
            CancelReason::Gone => move_only(&store, alice, Place::Unpaid, Place::Trash, NOW).await,
            _ => {}
        }
        assert_eq!(store.payment_held(payment, now).await.unwrap(), HeldOutcome::Refuse(reason));
        assert_cancelled(&store, &hash, reason).await;
        assert_eq!(jobs(&store, now).await, [JobKind::Cancel(quote, hash)]);
        // The payer tries the same invoice again: failed again, with the same words.
        assert_eq!(store.payment_held(incoming(hash, 100), NOW).await.unwrap(), HeldOutcome::Refuse(reason));
        assert_eq!(jobs(&store, now).await, [JobKind::Cancel(quote, hash)]);
        assert_state(&store, id, GateState::Waiting).await;
    }
    let edge = deliver(&store, priced(alice, "bob@shop.test")).await.gate.unwrap();
    let (_, hash) = quote(&store, edge, 100, 50, NOW).await;
    let (_, second) = quote(&store, edge, 1000, 51, NOW).await;
    let held = Incoming { window_min: 244, ..incoming(hash, 100) };
    assert!(matches!(store.payment_held(held, NOW + HOUR).await.unwrap(), HeldOutcome::Held { .. }));
    assert_eq!(
        store.payment_held(incoming(second, 1000), NOW).await.unwrap(),
        HeldOutcome::Refuse(CancelReason::NotNeeded)
    );
}

pub async fn a_hold_that_ends_returns_the_mail_to_unpaid_and_may_be_paid_again(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    jobs(&store, NOW).await;
    assert!(store.end_holds(NOW + DAY - 1, HEIGHT, 12).await.unwrap().is_empty());
    assert_eq!(store.end_holds(NOW + DAY, HEIGHT, 12).await.unwrap(), [paid.gate]);
    assert_eq!(only(&store, alice, Place::Unpaid).await.keywords, ["$Refunded", "$Unpaid"]);
    assert_cancelled(&store, &paid.hash, CancelReason::Timeout).await;
    assert_eq!(jobs(&store, NOW + DAY).await, [JobKind::Cancel(paid.quote, paid.hash)]);
    let open = gate(&store, paid.gate).await;
    assert_eq!(
        (open.state, open.refunded, open.hold_until, open.deadline_height),
        (GateState::Waiting, true, None, None)
    );
    let (_, again) = quote(&store, paid.gate, 100, 2, NOW + DAY).await;
    assert!(matches!(store.payment_held(incoming(again, 100), NOW + DAY).await.unwrap(), HeldOutcome::Held { .. }));
    assert_eq!(only(&store, alice, Place::Requests).await.keywords, ["$Paid"]);
    // An accept that was queued offline, of the UID it had in Requests first.
    let (requests, inbox) =
        (folder(&store, alice, Place::Requests).await.id, folder(&store, alice, Place::Inbox).await.id);
    let moved = store.move_entries(alice, requests, &[Uid::new(1).unwrap()], inbox, NOW + DAY).await.unwrap();
    assert_eq!(moved.pairs.len(), 1);
    assert_state(&store, paid.gate, GateState::Settling).await;
}

pub async fn a_hold_ends_by_height_too(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    assert!(store.end_holds(NOW, HEIGHT + 231, 12).await.unwrap().is_empty());
    assert_eq!(store.end_holds(NOW, HEIGHT + 232, 12).await.unwrap(), [paid.gate]);
    // Invoices that nobody paid expire here as well.
    let carol = deliver(&store, priced(alice, "carol@shop.test")).await.gate.unwrap();
    let (_, hash) = quote(&store, carol, 100, 2, NOW).await;
    store.end_holds(NOW + HOUR + 1, HEIGHT, 12).await.unwrap();
    assert_eq!(store.quote(&hash).await.unwrap().unwrap().state, QuoteState::Expired);
    let late = store.payment_held(incoming(hash, 100), NOW + 2 * HOUR).await.unwrap();
    assert_eq!(late, HeldOutcome::Refuse(CancelReason::Late));
}

pub async fn an_unanswered_priority_mail_stays_in_inbox(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid_first = paid(&store, alice, 1000).await;
    store.end_holds(NOW + DAY, HEIGHT, 12).await.unwrap();
    assert_eq!(only(&store, alice, Place::Inbox).await.keywords, ["$Refunded", "$Unpaid"]);
    assert_state(&store, paid_first.gate, GateState::Waiting).await;
    let read = deliver(&store, priced(alice, "carol@shop.test")).await.gate.unwrap();
    let (_, hash) = quote(&store, read, 100, 2, NOW).await;
    store.payment_held(incoming(hash, 1000), NOW).await.unwrap();
    let uid = entries(&store, alice, Place::Inbox).await.pop().unwrap().uid;
    set(&store, alice, Place::Inbox, &[uid], FlagMode::Add, Flags::SEEN, &[], NOW).await;
    store.end_holds(NOW + DAY, HEIGHT, 12).await.unwrap();
    assert_state(&store, read, GateState::Settling).await;
}

pub async fn a_settled_payment_is_booked_once_and_split(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    move_only(&store, alice, Place::Requests, Place::Inbox, NOW).await;
    // Booked is what arrived, not the price.
    assert!(store.payment_settled(&paid.hash, Msat(100_009), NOW).await.unwrap());
    assert!(!store.payment_settled(&paid.hash, Msat(100_009), NOW).await.unwrap());
    assert_state(&store, paid.gate, GateState::Settled).await;
    assert_eq!(only(&store, alice, Place::Inbox).await.keywords, ["$Accepted", "$Settled"]);
    let balances = store.balances().await.unwrap();
    assert_eq!((balances.node, balances.fees, balances.users, balances.held), (100_009, 10_000, 90_009, 0));
    assert_eq!(balances.by_user, [(alice, 90_009)]);
    let lines = store.ledger(Some(alice)).await.unwrap();
    assert_eq!((lines.len(), lines[0].amount_msat, lines[0].gate), (1, -90_009, Some(paid.gate)));
    assert_eq!(store.ledger(None).await.unwrap().len(), 3);
}

pub async fn money_wins_over_every_state(store: Subject) {
    let alice = account(&store, "alice").await;
    let held = paid(&store, alice, 100).await;
    assert!(store.payment_settled(&held.hash, Msat(100_000), NOW).await.unwrap());
    assert_state(&store, held.gate, GateState::Settled).await;
    let id = deliver(&store, priced(alice, "carol@shop.test")).await.gate.unwrap();
    let (_, hash) = quote(&store, id, 100, 2, NOW).await;
    store.payment_held(incoming(hash, 100), NOW).await.unwrap();
    store.decide(id, Act::MarkedDeclined, NOW).await.unwrap();
    assert!(store.payment_settled(&hash, Msat(100_000), NOW).await.unwrap());
    assert_state(&store, id, GateState::Declined).await;
    assert_eq!(store.balances().await.unwrap().node, 200_000);
}

pub async fn a_lost_claim_is_told_and_a_late_payment_still_settles(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    assert!(!store.payment_lost(paid.quote, NOW).await.unwrap());
    move_only(&store, alice, Place::Requests, Place::Inbox, NOW).await;
    jobs(&store, NOW).await;
    assert!(!store.payment_gone(&paid.hash, CancelReason::Timeout, NOW).await.unwrap());
    assert!(store.payment_lost(paid.quote, NOW).await.unwrap());
    assert!(!store.payment_lost(paid.quote, NOW).await.unwrap());
    assert_eq!(jobs(&store, NOW).await, [JobKind::TellLost(paid.gate)]);
    assert_eq!(only(&store, alice, Place::Inbox).await.keywords, ["$Refunded"]);
    assert_eq!(store.balances().await.unwrap().node, 0);
    assert!(store.payment_settled(&paid.hash, Msat(100_000), NOW).await.unwrap());
    assert_state(&store, paid.gate, GateState::Settled).await;
}

pub async fn a_payment_gone_by_itself_ends_the_hold(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = paid(&store, alice, 100).await;
    assert!(store.payment_gone(&paid.hash, CancelReason::Timeout, NOW).await.unwrap());
    assert!(!store.payment_gone(&paid.hash, CancelReason::Timeout, NOW).await.unwrap());
    assert_eq!(only(&store, alice, Place::Unpaid).await.keywords, ["$Refunded", "$Unpaid"]);
    let open = store.open_quotes(NOW).await.unwrap();
    assert_eq!(open.iter().map(|quote| quote.hash).collect::<Vec<_>>(), [paid.hash]);
    assert!(store.open_quotes(NOW + 1).await.unwrap().is_empty());
}

pub async fn a_gate_takes_one_quote_of_an_amount_at_a_time(store: Subject) {
    let alice = account(&store, "alice").await;
    let id = deliver(&store, priced(alice, "bob@shop.test")).await.gate.unwrap();
    let begin = |chance: u8, sat: u64, now: UnixMs| {
        let store = store.clone();
        async move {
            let preimage = Preimage::new([chance; 32]);
            store.begin_quote(id, Msat(sat * 1000), AMPLE, &preimage, now + HOUR, now).await.unwrap()
        }
    };
    assert!(matches!(begin(1, 100, NOW).await, Begun::Quote(..)));
    assert_eq!(begin(2, 100, NOW).await, Begun::NotPayable);
    assert!(matches!(begin(3, 1000, NOW).await, Begun::Quote(..)));
    assert!(matches!(begin(4, 100, NOW + HOUR).await, Begun::Quote(..)));
    store.payment_held(incoming(Preimage::new([4; 32]).hash(), 100), NOW + HOUR).await.unwrap();
    assert_eq!(begin(5, 2000, NOW + HOUR).await, Begun::NotPayable);
}

pub async fn a_page_lists_the_open_mails_of_one_author(store: Subject) {
    let alice = account(&store, "alice").await;
    let first = deliver(&store, priced(alice, "bob@shop.test")).await.gate.unwrap();
    let second = deliver(&store, priced(alice, "bob@shop.test")).await.gate.unwrap();
    let other = deliver(&store, priced(alice, "carol@shop.test")).await.gate.unwrap();
    let forged = Author { address: "bob@shop.test".into(), aligned: false, evidence: None };
    let forged =
        deliver(&store, Delivery { author: Some(forged), ..priced(alice, "bob@shop.test") }).await.gate.unwrap();
    let token = gate(&store, first).await.page_token;
    assert_eq!(token, gate(&store, second).await.page_token);
    assert_ne!(token, gate(&store, other).await.page_token);
    assert_ne!(token, gate(&store, forged).await.page_token);
    let page = store.page(&token).await.unwrap().unwrap();
    assert_eq!(page.gates.iter().map(|gate| gate.id).collect::<Vec<_>>(), [first, second]);
    assert_eq!(page.recipient, "alice@satchel.test");
    assert!(store.page(&"0".repeat(32)).await.unwrap().is_none());
    let filter = crate::GateFilter { account: Some(alice), state: Some(GateState::Waiting), limit: Some(2) };
    assert_eq!(store.gates(filter).await.unwrap().iter().map(|gate| gate.id).collect::<Vec<_>>(), [other, forged]);
}

pub async fn parties_are_erased_after_the_end(store: Subject) {
    let alice = account(&store, "alice").await;
    let id = deliver(&store, priced(alice, "bob@shop.test")).await.gate.unwrap();
    let token = gate(&store, id).await.page_token;
    move_only(&store, alice, Place::Unpaid, Place::Inbox, NOW).await;
    assert_eq!(store.erase_authors(NOW).await.unwrap(), 0);
    assert_eq!(store.erase_authors(NOW + 1).await.unwrap(), 1);
    let gate = gate(&store, id).await;
    assert_eq!((gate.author, gate.recipient, gate.ask, gate.message_id), (None, None, None, None));
    assert!(store.page(&token).await.unwrap().is_none());
}

pub async fn one_notice_in_six_hours_and_none_while_somebody_looks(store: Subject) {
    let alice = account(&store, "alice").await;
    let notices = |chance: u8, at: UnixMs| {
        let store = store.clone();
        async move {
            let author = format!("bob{chance}@shop.test");
            let gate = deliver(&store, priced(alice, &author)).await.gate.unwrap();
            let (_, hash) = quote(&store, gate, 100, chance, at).await;
            store.payment_held(incoming(hash, 100), at).await.unwrap();
            jobs(&store, at).await.into_iter().filter(|kind| *kind == JobKind::Notice(alice)).count()
        }
    };
    store.requests_seen(alice, NOW).await.unwrap();
    assert_eq!(notices(1, NOW + HOUR - 1).await, 0);
    assert_eq!(notices(2, NOW + HOUR).await, 1);
    assert_eq!(notices(3, NOW + 2 * HOUR).await, 0);
    assert_eq!(notices(4, NOW + 7 * HOUR).await, 1);
}

pub async fn delivery_can_be_the_accept(store: Subject) {
    let settings = AccountSettings { accept_on: AcceptOn::Delivery, ..AccountSettings::default() };
    let desk = account_with(&store, "desk", settings).await;
    let paid = paid(&store, desk, 100).await;
    assert_state(&store, paid.gate, GateState::Settling).await;
    assert_eq!(only(&store, desk, Place::Inbox).await.keywords, ["$Accepted", "$Paid"]);
    assert!(jobs(&store, NOW).await.contains(&JobKind::Claim(paid.quote, paid.hash)));
    assert_eq!(relation(&store, desk, "bob@shop.test").await, None);
}

pub async fn the_ledger_balances_or_refuses(store: Subject) {
    let posting = Posting {
        key: "fund:1".into(),
        gate: None,
        debits: vec![(Side::Node, Msat(1000)), (Side::Chain, Msat(10))],
        credits: vec![(Side::Operator, Msat(1010))],
    };
    store.post(posting.clone(), NOW).await.unwrap();
    store.post(posting.clone(), NOW).await.unwrap();
    let balances = store.balances().await.unwrap();
    assert_eq!((balances.node, balances.operator, balances.chain), (1000, 1010, 10));
    let crooked = Posting { key: "fund:2".into(), credits: vec![(Side::Operator, Msat(1009))], ..posting };
    assert!(store.post(crooked, NOW).await.is_err());
    assert_eq!(store.ledger(None).await.unwrap().len(), 3);
}

/// Begins the `n`th quote of somebody's own mail.
async fn begin(store: &Subject, account: AccountId, author: &str, n: u8, room: Room, now: UnixMs) -> Begun {
    let gate = deliver(store, priced(account, author)).await.gate.unwrap();
    store.begin_quote(gate, Msat(100_000), room, &Preimage::new([n; 32]), now + HOUR, now).await.unwrap()
}

pub async fn live_quotes_reserve_until_they_are_paid_or_expire(store: Subject) {
    let alice = account(&store, "alice").await;
    let two = Room { slots: 2, ..AMPLE };
    for n in [1, 2] {
        let begun = begin(&store, alice, &format!("a{n}@shop.test"), n, two, NOW).await;
        assert!(matches!(begun, Begun::Quote(_, HoldKind::Htlc)), "{begun:?}");
    }
    assert_eq!(begin(&store, alice, "b@shop.test", 3, two, NOW).await, Begun::NoRoom(lnmp::NoRoom::Channels));
    // Paid, it is the node's to count: the house says one slot less.
    let held = store.payment_held(incoming(Preimage::new([1; 32]).hash(), 100), NOW).await.unwrap();
    assert!(matches!(held, HeldOutcome::Held { .. }));
    let one = Room { slots: 1, ..AMPLE };
    assert_eq!(begin(&store, alice, "c@shop.test", 4, one, NOW).await, Begun::NoRoom(lnmp::NoRoom::Channels));
    // Expired, it reserves nothing, whether or not anybody swept.
    let later = begin(&store, alice, "d@shop.test", 5, one, NOW + HOUR).await;
    assert!(matches!(later, Begun::Quote(_, HoldKind::Htlc)), "{later:?}");
}

pub async fn quotes_of_an_author_and_of_a_domain_are_counted(store: Subject) {
    let alice = account(&store, "alice").await;
    let few = Room { slots: 999, ..AMPLE };
    for n in 0..10 {
        assert!(matches!(begin(&store, alice, "bob@shop.test", n, few, NOW).await, Begun::Quote(..)));
    }
    assert_eq!(begin(&store, alice, "bob@shop.test", 50, few, NOW).await, Begun::NoRoom(lnmp::NoRoom::Author));
    for n in 10..20 {
        let author = format!("b{n}@shop.test");
        assert!(matches!(begin(&store, alice, &author, n, few, NOW).await, Begun::Quote(..)));
    }
    assert_eq!(begin(&store, alice, "c@shop.test", 51, few, NOW).await, Begun::NoRoom(lnmp::NoRoom::Domain));
    assert!(matches!(begin(&store, alice, "c@books.test", 52, few, NOW).await, Begun::Quote(..)));
    // What ended counts no more.
    assert!(matches!(begin(&store, alice, "bob@shop.test", 53, few, NOW + HOUR).await, Begun::Quote(..)));
}

pub async fn a_second_payer_gets_it_back_whatever_became_of_the_mail(store: Subject) {
    let alice = account(&store, "alice").await;
    let mut chance = 0;
    for (state, reason) in [
        (GateState::Held, CancelReason::NotNeeded),
        (GateState::Settling, CancelReason::NotNeeded),
        (GateState::Settled, CancelReason::NotNeeded),
        (GateState::Lost, CancelReason::NotNeeded),
        (GateState::Declined, CancelReason::Declined),
        (GateState::Waived, CancelReason::NotNeeded),
    ] {
        let id = deliver(&store, priced(alice, &format!("a{chance}@shop.test"))).await.gate.unwrap();
        let (first, hash) = quote(&store, id, 100, chance + 1, NOW).await;
        let (_, second) = quote(&store, id, 1000, chance + 2, NOW).await;
        chance += 2;
        if state != GateState::Waived {
            store.payment_held(incoming(hash, 100), NOW).await.unwrap();
        }
        match state {
            GateState::Declined => drop(store.decide(id, Act::MarkedDeclined, NOW).await.unwrap()),
            GateState::Settling | GateState::Settled | GateState::Lost | GateState::Waived => {
                store.decide(id, Act::MarkedAccepted, NOW).await.unwrap();
            }
            GateState::Held | GateState::Waiting => {}
        }
        match state {
            GateState::Settled => assert!(store.payment_settled(&hash, Msat(100_000), NOW).await.unwrap()),
            GateState::Lost => assert!(store.payment_lost(first, NOW).await.unwrap()),
            _ => {}
        }
        assert_state(&store, id, state).await;
        let before = store.balances().await.unwrap().node;
        let outcome = store.payment_held(incoming(second, 1000), NOW).await.unwrap();
        assert_eq!(outcome, HeldOutcome::Refuse(reason), "{}", state.name());
        assert_state(&store, id, state).await;
        assert_eq!(store.balances().await.unwrap().node, before);
    }
}

pub async fn what_is_said_of_the_author_while_it_is_held_changes_no_money(store: Subject) {
    let alice = account(&store, "alice").await;
    let alias = crate::NewAlias {
        account: alice,
        local: "info".into(),
        domain: "satchel.test".into(),
        expires_at: None,
        max_uses: None,
    };
    let alias = store.add_alias(alias, NOW).await.unwrap();
    let delivery = Delivery { alias: Some(alias), ..priced(alice, "bob@shop.test") };
    let id = deliver(&store, delivery).await.gate.unwrap();
    let (_, hash) = quote(&store, id, 100, 1, NOW).await;
    store.payment_held(incoming(hash, 100), NOW).await.unwrap();
    // Befriended, made a stranger again, and the address it came to is gone.
    store.set_relation(alice, "bob@shop.test", Relation::Friend, NOW).await.unwrap();
    store.set_relation(alice, "bob@shop.test", Relation::Unverified, NOW).await.unwrap();
    assert!(store.remove_alias("info", "satchel.test").await.unwrap());
    assert_state(&store, id, GateState::Held).await;
    move_only(&store, alice, Place::Requests, Place::Inbox, NOW).await;
    assert!(store.payment_settled(&hash, Msat(100_000), NOW).await.unwrap());
    assert_eq!(store.balances().await.unwrap().by_user, [(alice, 90_000)]);
    assert_eq!(relation(&store, alice, "bob@shop.test").await, Some(Relation::Acquaintance));
}

/// The digest of a day names these mails.
async fn digest(store: &Subject, account: AccountId, told: &[crate::MessageId], now: UnixMs) {
    let letter = mail(account, Place::Inbox, "postmaster@satchel.test");
    let batch = Batch { deliveries: vec![letter], told: told.to_vec(), ..Batch::default() };
    store.commit(batch, now).await.unwrap();
}

pub async fn what_stood_in_a_digest_that_was_seen_leaves_unpaid(store: Subject) {
    let alice = account(&store, "alice").await;
    let inbox = folder(&store, alice, Place::Inbox).await.id;
    let told = deliver(&store, priced(alice, "bob@shop.test")).await;
    let untold = deliver(&store, Delivery { content_digest: None, ..priced(alice, "carol@shop.test") }).await;
    let (_, hash) = quote(&store, told.gate.unwrap(), 100, 1, NOW + 40 * DAY).await;
    digest(&store, alice, &[told.message], NOW + 25 * DAY).await;
    assert_eq!(gate(&store, told.gate.unwrap()).await.told_at, Some(NOW + 25 * DAY));
    // No session has seen that digest yet.
    assert_eq!(store.expire_unpaid(NOW + 40 * DAY).await.unwrap(), 0);
    store.open(alice, inbox, true).await.unwrap();
    // One has, but it is too young, or the mail is.
    assert_eq!(store.expire_unpaid(NOW + 32 * DAY - 1).await.unwrap(), 0);
    assert_eq!(store.expire_unpaid(NOW + 29 * DAY).await.unwrap(), 0);
    assert_eq!(store.expire_unpaid(NOW + 32 * DAY).await.unwrap(), 1);
    assert_eq!(entries(&store, alice, Place::Unpaid).await.len(), 1);
    assert_state(&store, told.gate.unwrap(), GateState::Waived).await;
    assert_cancelled(&store, &hash, CancelReason::Gone).await;
    assert!(store.content(alice, told.message).await.unwrap().is_none());
    // What no digest named stays, however old it is.
    assert_eq!(store.expire_unpaid(NOW + 400 * DAY).await.unwrap(), 0);
    assert!(store.content(alice, untold.message).await.unwrap().is_some());
    // A mail that was paid and came back begins anew: it is told again.
    digest(&store, alice, &[untold.message], NOW).await;
    store.open(alice, inbox, true).await.unwrap();
    let (_, hash) = quote(&store, untold.gate.unwrap(), 100, 2, NOW + 29 * DAY).await;
    store.payment_held(incoming(hash, 100), NOW + 29 * DAY).await.unwrap();
    store.end_holds(NOW + 30 * DAY, HEIGHT, 6).await.unwrap();
    assert_eq!(gate(&store, untold.gate.unwrap()).await.told_at, None);
    assert_eq!(store.expire_unpaid(NOW + 90 * DAY).await.unwrap(), 0);
}
