use lnmp::{AcceptOn, Act, QuoteState, RefundTarget, Voucher};

use super::*;
use crate::{NewVoucher, StandingQuery, StoreError};

const BOB: &str = "bob@shop.test";

/// What bob is offered: 100 sat, priority 1000, a day.
fn new(account: AccountId) -> NewVoucher {
    let gate = NewGate { message_id: Some("<refused@shop.test>".into()), ..priced(account, BOB).gate.unwrap() };
    NewVoucher { account, author: BOB.into(), gate, wait_ms: DAY }
}

async fn offered(store: &Subject, account: AccountId, now: UnixMs) -> (String, GateId) {
    let token = store.offer_voucher(new(account), now).await.unwrap().unwrap();
    let page = store.page(&token).await.unwrap().unwrap();
    (token, page.gates.last().unwrap().id)
}

/// A paid voucher of bob's.
async fn bought(store: &Subject, account: AccountId, sat: u64, chance: u8, now: UnixMs) -> (GateId, PaymentHash) {
    let (_, gate) = offered(store, account, now).await;
    let (_, hash) = quote(store, gate, 100, chance, now).await;
    let held = store.payment_held(incoming(hash, sat), now).await.unwrap();
    assert_eq!(held, HeldOutcome::Held { gate, account });
    (gate, hash)
}

/// The mail, sent again: signed anew.
fn again(account: AccountId, signature: u8) -> Delivery {
    let mail = priced(account, BOB);
    let gate = mail.gate.map(|gate| NewGate { voucher: true, dkim_signature: Some(vec![signature; 32]), ..gate });
    Delivery { gate, ..mail }
}

async fn send(store: &Subject, delivery: Delivery, now: UnixMs) -> Result<Delivered, StoreError> {
    let batch = Batch { deliveries: vec![delivery], ..Batch::default() };
    store.commit(batch, now).await.map(|mut delivered| delivered.pop().unwrap())
}

async fn is_refused(store: &Subject, delivery: Delivery, now: UnixMs) -> bool {
    matches!(send(store, delivery, now).await, Err(StoreError::NoSuch("voucher")))
}

async fn pays(store: &Subject, account: AccountId, author: &str, signature: u8) -> bool {
    let query = StandingQuery { pays: Some((author.into(), Some(vec![signature; 32]))), ..StandingQuery::default() };
    store.standing(account, query).await.unwrap().voucher
}

pub async fn a_paid_voucher_lets_its_mail_in_once(store: Subject) {
    let alice = account(&store, "alice").await;
    let (token, gate) = offered(&store, alice, NOW).await;
    // As long as nobody paid it, it is the same one.
    assert_eq!(offered(&store, alice, NOW + HOUR).await, (token.clone(), gate));
    assert!(!pays(&store, alice, BOB, 1).await);
    assert!(is_refused(&store, again(alice, 1), NOW).await);
    let (id, hash) = quote(&store, gate, 100, 1, NOW).await;
    store.payment_held(incoming(hash, 100), NOW).await.unwrap();
    let paid = super::gate(&store, gate).await;
    assert_eq!((paid.state, paid.voucher, paid.hold_until), (GateState::Held, Some(Voucher::Open), Some(NOW + DAY)));
    assert!(jobs(&store, NOW).await.is_empty(), "there is nothing to tell its owner yet");
    assert!(pays(&store, alice, BOB, 1).await && !pays(&store, alice, "eve@shop.test", 1).await);
    let carol = account(&store, "carol").await;
    assert!(!pays(&store, carol, BOB, 1).await, "it is for alice");

    let later = NOW + 20 * HOUR;
    let delivered = send(&store, again(alice, 1), later).await.unwrap();
    assert_eq!(delivered.gate, Some(gate));
    assert_eq!(only(&store, alice, Place::Requests).await.keywords, ["$Paid"]);
    let used = super::gate(&store, gate).await;
    assert_eq!((used.state, used.voucher, used.hold_until), (GateState::Held, Some(Voucher::Used), Some(later + DAY)));
    assert_eq!(used.message, delivered.message);
    assert_eq!(jobs(&store, later).await, [JobKind::Notice(alice)]);
    assert!(is_refused(&store, again(alice, 2), later).await, "one voucher, one mail");
    // Moved like any paid mail, it is accepted.
    move_only(&store, alice, Place::Requests, Place::Inbox, later).await;
    assert_eq!(jobs(&store, later).await, [JobKind::Claim(id, hash)]);
    store.payment_settled(&hash, Msat(100_000), later).await.unwrap();
    assert_state(&store, gate, GateState::Settled).await;
    assert_eq!(relation(&store, alice, BOB).await, Some(Relation::Acquaintance));
    assert_eq!(store.audit().await.unwrap().findings, [""; 0]);
}

pub async fn nobody_but_its_aligned_author_uses_a_voucher(store: Subject) {
    let alice = account(&store, "alice").await;
    bought(&store, alice, 100, 1, NOW).await;
    let mut forged = again(alice, 1);
    forged.author.as_mut().unwrap().aligned = false;
    assert!(is_refused(&store, forged, NOW).await);
    let mut other = again(alice, 1);
    other.author.as_mut().unwrap().address = "eve@shop.test".into();
    assert!(is_refused(&store, other, NOW).await);
    // A refused delivery takes what is with it along, and leaves the voucher.
    let batch = Batch { deliveries: vec![again(alice, 1), again(alice, 2)], ..Batch::default() };
    assert!(store.commit(batch, NOW).await.is_err());
    assert!(entries(&store, alice, Place::Requests).await.is_empty());
    send(&store, again(alice, 1), NOW).await.unwrap();
}

pub async fn the_oldest_of_two_vouchers_is_used_and_a_signature_uses_one(store: Subject) {
    let alice = account(&store, "alice").await;
    let (first, _) = bought(&store, alice, 100, 1, NOW).await;
    let (second, _) = bought(&store, alice, 100, 2, NOW + MINUTE).await;
    assert_ne!(first, second);
    assert_eq!(send(&store, again(alice, 1), NOW + HOUR).await.unwrap().gate, Some(first));
    // The same signed mail again, by whoever has a copy.
    assert!(!pays(&store, alice, BOB, 1).await);
    assert!(is_refused(&store, again(alice, 1), NOW + HOUR).await);
    assert_eq!(send(&store, again(alice, 2), NOW + HOUR).await.unwrap().gate, Some(second));
    assert_eq!(entries(&store, alice, Place::Requests).await.len(), 2);
}

pub async fn a_voucher_without_its_mail_goes_home_after_its_time(store: Subject) {
    let alice = account(&store, "alice").await;
    let (gate, hash) = bought(&store, alice, 100, 1, NOW).await;
    assert!(store.end_holds(NOW + DAY - 1, HEIGHT, 12).await.unwrap().is_empty());
    // Too late, even before anybody looked.
    assert!(is_refused(&store, again(alice, 1), NOW + DAY).await);
    assert_eq!(store.end_holds(NOW + DAY, HEIGHT, 12).await.unwrap(), [gate]);
    assert_cancelled(&store, &hash, CancelReason::Timeout).await;
    let over = super::gate(&store, gate).await;
    assert_eq!((over.state, over.voucher), (GateState::Waived, Some(Voucher::Over)));
    assert!(is_refused(&store, again(alice, 1), NOW + DAY).await);
    // A payer who tries the invoice again gets it back; a new offer is another voucher on the same page.
    assert!(matches!(store.payment_held(incoming(hash, 100), NOW + DAY).await.unwrap(), HeldOutcome::Refuse(_)));
    let (_, next) = offered(&store, alice, NOW + DAY).await;
    assert_ne!(next, gate);
    assert_state(&store, next, GateState::Waiting).await;
}

pub async fn the_chain_the_node_and_the_owner_end_a_voucher_too(store: Subject) {
    let alice = account(&store, "alice").await;
    let (by_height, _) = bought(&store, alice, 100, 1, NOW).await;
    assert_eq!(store.end_holds(NOW, HEIGHT + 232, 12).await.unwrap(), [by_height]);
    let (by_node, hash) = bought(&store, alice, 100, 2, NOW).await;
    assert!(store.payment_gone(&hash, CancelReason::Timeout, NOW).await.unwrap());
    assert_state(&store, by_node, GateState::Waived).await;
    let (by_owner, _) = bought(&store, alice, 100, 3, NOW).await;
    assert_eq!(store.decide(by_owner, Act::MarkedAccepted, NOW).await.unwrap().state, GateState::Held);
    assert_eq!(store.decide(by_owner, Act::MarkedDeclined, NOW).await.unwrap().state, GateState::Declined);
    let (gone, hash) = bought(&store, alice, 100, 4, NOW).await;
    store.remove_account(alice, NOW).await.unwrap();
    assert_cancelled(&store, &hash, CancelReason::Gone).await;
    assert_state(&store, gone, GateState::Declined).await;
}

pub async fn an_offer_nobody_paid_ends_and_leaves_nothing_it_need_not(store: Subject) {
    let alice = account(&store, "alice").await;
    let (token, gate) = offered(&store, alice, NOW).await;
    store.end_holds(NOW + DAY - 1, HEIGHT, 12).await.unwrap();
    assert!(store.gate(gate).await.unwrap().is_some());
    store.end_holds(NOW + DAY, HEIGHT, 12).await.unwrap();
    assert!(store.gate(gate).await.unwrap().is_none() && store.page(&token).await.unwrap().is_none());
    // One with an invoice stays, so that a late payment is known and goes home.
    let (_, gate) = offered(&store, alice, NOW).await;
    let (id, hash) = quote(&store, gate, 100, 1, NOW + DAY - MINUTE).await;
    store.end_holds(NOW + DAY, HEIGHT, 12).await.unwrap();
    assert_state(&store, gate, GateState::Waived).await;
    assert_eq!(jobs(&store, NOW + DAY).await, [JobKind::Cancel(id, hash)]);
    let late = store.payment_held(incoming(hash, 100), NOW + DAY).await.unwrap();
    assert_eq!(late, HeldOutcome::Refuse(CancelReason::Gone));
}

pub async fn a_hold_that_began_as_a_voucher_ends_like_any_other(store: Subject) {
    let alice = account(&store, "alice").await;
    let (gate, hash) = bought(&store, alice, 100, 1, NOW).await;
    let arrived = NOW + HOUR;
    send(&store, again(alice, 1), arrived).await.unwrap();
    assert!(store.end_holds(arrived + DAY - 1, HEIGHT, 12).await.unwrap().is_empty());
    assert_eq!(store.end_holds(arrived + DAY, HEIGHT, 12).await.unwrap(), [gate]);
    assert_cancelled(&store, &hash, CancelReason::Timeout).await;
    assert_eq!(only(&store, alice, Place::Unpaid).await.keywords, ["$Refunded", "$Unpaid"]);
    // It may be paid once more, where it lies.
    let (_, hash) = quote(&store, gate, 100, 2, arrived + DAY).await;
    store.payment_held(incoming(hash, 100), arrived + DAY).await.unwrap();
    assert_eq!(only(&store, alice, Place::Requests).await.keywords, ["$Paid"]);
    move_only(&store, alice, Place::Requests, Place::Junk, arrived + DAY).await;
    assert_cancelled(&store, &hash, CancelReason::Declined).await;
}

pub async fn a_voucher_pays_priority_and_for_who_keeps_all(store: Subject) {
    let alice = account(&store, "alice").await;
    bought(&store, alice, 1000, 1, NOW).await;
    send(&store, again(alice, 1), NOW).await.unwrap();
    let entry = only(&store, alice, Place::Inbox).await;
    assert_eq!((entry.flags, &entry.keywords[..]), (Flags::FLAGGED, &["$Paid".to_owned(), "$Priority".to_owned()][..]));
    let settings = AccountSettings { accept_on: AcceptOn::Delivery, ..AccountSettings::default() };
    let desk = account_with(&store, "desk", settings).await;
    let (gate, hash) = bought(&store, desk, 100, 2, NOW).await;
    assert_state(&store, gate, GateState::Held).await;
    assert_eq!(store.quote(&hash).await.unwrap().unwrap().state, QuoteState::Held);
    send(&store, again(desk, 2), NOW).await.unwrap();
    assert_state(&store, gate, GateState::Settling).await;
    assert_eq!(only(&store, desk, Place::Inbox).await.keywords, ["$Accepted", "$Paid"]);
}

pub async fn a_voucher_in_escrow_waits_and_is_paid_back_without_its_mail(store: Subject) {
    let alice = account(&store, "alice").await;
    for (chance, comes) in [(1, true), (2, false)] {
        let (_, gate) = offered(&store, alice, NOW).await;
        let preimage = Preimage::new([chance; 32]);
        let begun = store.begin_quote(gate, Msat(100_000), CROWDED, &preimage, NOW + HOUR, NOW).await.unwrap();
        let Begun::Quote(id, HoldKind::Escrow) = begun else { panic!("{begun:?}") };
        assert!(store.set_refund_target(id, RefundTarget::Withdraw, NOW).await.unwrap());
        store.publish_quote(id, "lnbcrt1").await.unwrap();
        let hash = preimage.hash();
        assert_eq!(store.payment_held(incoming(hash, 100), NOW).await.unwrap(), HeldOutcome::Claiming(gate));
        assert!(!pays(&store, alice, BOB, chance).await, "not before the money is there");
        store.payment_settled(&hash, Msat(100_000), NOW).await.unwrap();
        let open = super::gate(&store, gate).await;
        assert_eq!(
            (open.state, open.voucher, open.hold_until),
            (GateState::Held, Some(Voucher::Open), Some(NOW + DAY))
        );
        jobs(&store, NOW).await;
        if comes {
            send(&store, again(alice, chance), NOW + HOUR).await.unwrap();
            assert_eq!(super::gate(&store, gate).await.hold_until, Some(NOW + HOUR + DAY));
            move_only(&store, alice, Place::Requests, Place::Inbox, NOW + HOUR).await;
            assert_state(&store, gate, GateState::Settled).await;
            jobs(&store, NOW + HOUR).await;
        } else {
            store.end_holds(NOW + DAY, HEIGHT, 12).await.unwrap();
            assert_state(&store, gate, GateState::Waived).await;
            assert_eq!(jobs(&store, NOW + DAY).await, [JobKind::Refund(id)]);
        }
    }
    assert_eq!(store.audit().await.unwrap().findings, [""; 0]);
}

pub async fn offers_are_counted_by_author_and_domain(store: Subject) {
    // The rules here allow an author two, and a domain three.
    for (local, offered) in [("a", true), ("b", true), ("c", false)] {
        let account = account(&store, local).await;
        assert_eq!(store.offer_voucher(new(account), NOW).await.unwrap().is_some(), offered, "{local}");
    }
    let carol = account(&store, "carol").await;
    for (author, offered) in [("x@shop.test", true), ("y@shop.test", false), ("y@books.test", true)] {
        let new = NewVoucher { author: author.into(), ..new(carol) };
        assert_eq!(store.offer_voucher(new, NOW).await.unwrap().is_some(), offered, "{author}");
    }
    // What is over counts no more.
    store.end_holds(NOW + DAY, HEIGHT, 12).await.unwrap();
    assert!(store.offer_voucher(new(carol), NOW + DAY).await.unwrap().is_some());
}

pub async fn of_two_mails_at_once_one_is_let_in(store: Subject) {
    let alice = account(&store, "alice").await;
    let (gate, _) = bought(&store, alice, 100, 1, NOW).await;
    let sends = (2..10).map(|signature| {
        let store = store.clone();
        tokio::spawn(async move { send(&store, again(alice, signature), NOW).await.is_ok() })
    });
    let mut let_in = 0;
    for sent in sends.collect::<Vec<_>>() {
        let_in += u32::from(sent.await.unwrap());
    }
    assert_eq!(let_in, 1);
    assert_eq!(only(&store, alice, Place::Requests).await.keywords, ["$Paid"]);
    assert_eq!(super::gate(&store, gate).await.voucher, Some(Voucher::Used));
}
