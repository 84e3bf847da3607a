use lnmp::{Act, NoRoom, QuoteState, RefundTarget};

use super::*;

const ADDRESS: &str = "bob@wallet.test";

fn address() -> RefundTarget {
    RefundTarget::Address(ADDRESS.into())
}

/// An escrow quote of 100 sat with its target; its name and hash.
async fn escrow_quote(store: &Subject, gate: GateId, chance: u8, now: UnixMs) -> (QuoteId, PaymentHash) {
    let preimage = Preimage::new([chance; 32]);
    let begun = store.begin_quote(gate, Msat(100_000), CROWDED, &preimage, now + HOUR, now).await.unwrap();
    let Begun::Quote(id, HoldKind::Escrow) = begun else { panic!("{begun:?}") };
    assert!(store.set_refund_target(id, address(), now).await.unwrap());
    store.publish_quote(id, "lnbcrt1escrow").await.unwrap();
    (id, preimage.hash())
}

/// A mail of `bob@shop.test` whose payment of 100 sat was received.
async fn escrowed(store: &Subject, account: AccountId, chance: u8) -> Paid {
    let gate = deliver(store, priced(account, "bob@shop.test")).await.gate.unwrap();
    let (quote, hash) = escrow_quote(store, gate, chance, NOW).await;
    receive(store, gate, hash).await;
    Paid { account, gate, quote, hash }
}

/// The payment is locked, claimed, and arrives.
async fn receive(store: &Subject, gate: GateId, hash: PaymentHash) {
    let claiming = store.payment_held(incoming(hash, 100), NOW).await.unwrap();
    assert_eq!(claiming, HeldOutcome::Claiming(gate));
    assert!(store.payment_settled(&hash, Msat(100_000), NOW).await.unwrap());
    assert!(!store.payment_settled(&hash, Msat(100_000), NOW).await.unwrap(), "a repeat");
}

async fn state(store: &Subject, quote: QuoteId) -> QuoteState {
    store.escrow(quote).await.unwrap().unwrap().state
}

fn refund_hash(n: u8) -> PaymentHash {
    PaymentHash([n; 32])
}

pub async fn beyond_the_channels_a_quote_is_escrow_and_waits_for_its_target(store: Subject) {
    let alice = account(&store, "alice").await;
    let gate = deliver(&store, priced(alice, "bob@shop.test")).await.gate.unwrap();
    let one = Room { slots: 1, ..CROWDED };
    let (first, second) = (Preimage::new([1; 32]), Preimage::new([2; 32]));
    let begun = store.begin_quote(gate, Msat(100_000), one, &first, NOW + HOUR, NOW).await.unwrap();
    let Begun::Quote(htlc, HoldKind::Htlc) = begun else { panic!("{begun:?}") };
    let begun = store.begin_quote(gate, Msat(1_000_000), one, &second, NOW + HOUR, NOW).await.unwrap();
    let Begun::Quote(escrow, HoldKind::Escrow) = begun else { panic!("{begun:?}") };
    // The kind is fixed; the target is said once.
    assert!(!store.set_refund_target(htlc, address(), NOW).await.unwrap());
    assert!(store.escrow(htlc).await.unwrap().is_none());
    assert_eq!(store.escrow(escrow).await.unwrap().unwrap().target, None);
    assert!(store.set_refund_target(escrow, address(), NOW).await.unwrap());
    assert!(store.set_refund_target(escrow, address(), NOW).await.unwrap(), "the same again");
    assert!(!store.set_refund_target(escrow, RefundTarget::Withdraw, NOW).await.unwrap());
    let kept = super::gate(&store, gate).await.quotes;
    assert_eq!(kept.iter().map(|quote| quote.kind).collect::<Vec<_>>(), [HoldKind::Htlc, HoldKind::Escrow]);
    assert_eq!(kept[1].target, Some(address()));
}

pub async fn received_money_raises_the_mail_and_is_released_when_it_is_accepted(store: Subject) {
    let alice = account(&store, "alice").await;
    let gate = deliver(&store, priced(alice, "bob@shop.test")).await.gate.unwrap();
    let (quote, hash) = escrow_quote(&store, gate, 1, NOW).await;
    jobs(&store, NOW).await;
    // Locked, it is claimed first: the mail waits until the money is there.
    assert_eq!(store.payment_held(incoming(hash, 100), NOW).await.unwrap(), HeldOutcome::Claiming(gate));
    assert_eq!(store.payment_held(incoming(hash, 100), NOW).await.unwrap(), HeldOutcome::Already);
    assert_eq!(jobs(&store, NOW).await, [JobKind::Claim(quote, hash)]);
    assert_state(&store, gate, GateState::Waiting).await;
    assert_eq!(store.balances().await.unwrap().held, 100_000);
    assert!(store.payment_settled(&hash, Msat(100_000), NOW).await.unwrap());
    assert_eq!(only(&store, alice, Place::Requests).await.keywords, ["$Paid"]);
    let held = super::gate(&store, gate).await;
    assert_eq!((held.state, held.hold_until, held.deadline_height), (GateState::Held, Some(NOW + DAY), None));
    let books = store.balances().await.unwrap();
    assert_eq!((books.node, books.escrow, books.users, books.held), (100_000, 100_000, 0, 0));
    // Accepted, it is booked in the very transaction of the move.
    move_only(&store, alice, Place::Requests, Place::Inbox, NOW).await;
    assert_state(&store, gate, GateState::Settled).await;
    assert_eq!(state(&store, quote).await, QuoteState::Released);
    assert_eq!(only(&store, alice, Place::Inbox).await.keywords, ["$Accepted", "$Settled"]);
    let books = store.balances().await.unwrap();
    assert_eq!((books.node, books.escrow, books.fees, books.users), (100_000, 0, 10_000, 90_000));
    assert_eq!(relation(&store, alice, "bob@shop.test").await, Some(Relation::Acquaintance));
    // The first decision wins.
    move_only(&store, alice, Place::Inbox, Place::Junk, NOW).await;
    assert_eq!(state(&store, quote).await, QuoteState::Released);
    assert!(!store.begin_refund(quote, "lnbcrt1r", &refund_hash(9), NOW).await.unwrap());
    assert_eq!(store.audit().await.unwrap().findings, Vec::<String>::new());
}

pub async fn declined_money_is_refunded_only_when_the_payment_succeeded(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = escrowed(&store, alice, 1).await;
    jobs(&store, NOW).await;
    move_only(&store, alice, Place::Requests, Place::Junk, NOW).await;
    assert_state(&store, paid.gate, GateState::Declined).await;
    assert_eq!(state(&store, paid.quote).await, QuoteState::Refunding(CancelReason::Declined));
    assert_eq!(jobs(&store, NOW).await, [JobKind::Refund(paid.quote)]);
    assert_eq!(only(&store, alice, Place::Junk).await.keywords, ["$Declined"], "the money is not back yet");
    assert!(gate(&store, paid.gate).await.refunding);
    // Neither accepted nor cancelled any more.
    let decided = store.decide(paid.gate, Act::MarkedAccepted, NOW).await.unwrap();
    assert_eq!(decided.state, GateState::Declined);
    assert!(!store.payment_lost(paid.quote, NOW).await.unwrap());
    assert!(!store.payment_gone(&paid.hash, CancelReason::Timeout, NOW).await.unwrap());

    let refund = refund_hash(9);
    assert!(!store.refund_paid(paid.quote, &refund, Msat(1000), NOW).await.unwrap(), "nothing was committed to");
    assert!(store.begin_refund(paid.quote, "lnbcrt1refund", &refund, NOW).await.unwrap());
    assert_eq!(jobs(&store, NOW).await, [JobKind::Refund(paid.quote)], "it is paid by whoever works next");
    let under_way = store.escrow(paid.quote).await.unwrap().unwrap();
    assert_eq!((under_way.amount, under_way.invoice), (Msat(100_000), Some(("lnbcrt1refund".into(), refund))));
    assert!(store.refund_paid(paid.quote, &refund, Msat(1000), NOW).await.unwrap());
    assert!(!store.refund_paid(paid.quote, &refund, Msat(1000), NOW).await.unwrap(), "once");
    assert_eq!(only(&store, alice, Place::Junk).await.keywords, ["$Declined", "$Refunded"]);
    let books = store.balances().await.unwrap();
    assert_eq!((books.node, books.escrow, books.routing, books.users, books.fees), (-1000, 0, 1000, 0, 0));
    assert_eq!(store.audit().await.unwrap().findings, Vec::<String>::new());
}

pub async fn a_hold_that_ends_refunds_and_the_mail_may_be_paid_again(store: Subject) {
    let alice = account(&store, "alice").await;
    let first = escrowed(&store, alice, 1).await;
    // Blocks end no escrow, the clock does.
    assert!(store.end_holds(NOW, HEIGHT + 100_000, 6).await.unwrap().is_empty());
    assert_eq!(store.end_holds(NOW + DAY, HEIGHT, 6).await.unwrap(), [first.gate]);
    assert_eq!(only(&store, alice, Place::Unpaid).await.keywords, ["$Unpaid"]);
    // Paid again while the first refund is under way.
    let (second, hash) = escrow_quote(&store, first.gate, 2, NOW + DAY).await;
    assert_eq!(store.payment_held(incoming(hash, 100), NOW + DAY).await.unwrap(), HeldOutcome::Claiming(first.gate));
    assert!(store.payment_settled(&hash, Msat(100_000), NOW + DAY).await.unwrap());
    assert_state(&store, first.gate, GateState::Held).await;
    assert!(store.begin_refund(first.quote, "lnbcrt1r", &refund_hash(9), NOW + DAY).await.unwrap());
    assert!(store.refund_paid(first.quote, &refund_hash(9), Msat::ZERO, NOW + DAY).await.unwrap());
    assert_eq!(store.balances().await.unwrap().escrow, 100_000);
    store.end_holds(NOW + 2 * DAY, HEIGHT, 6).await.unwrap();
    assert_eq!(only(&store, alice, Place::Unpaid).await.keywords, ["$Unpaid"]);
    assert!(store.begin_refund(second, "lnbcrt1s", &refund_hash(8), NOW).await.unwrap());
    assert!(store.refund_paid(second, &refund_hash(8), Msat::ZERO, NOW).await.unwrap());
    assert_eq!(only(&store, alice, Place::Unpaid).await.keywords, ["$Refunded", "$Unpaid"]);
    let books = store.balances().await.unwrap();
    assert_eq!((books.node, books.escrow), (0, 0));
}

pub async fn money_that_comes_for_a_mail_nobody_waits_for_goes_back_at_once(store: Subject) {
    let alice = account(&store, "alice").await;
    for (chance, to, reason) in [(1, Place::Inbox, CancelReason::NotNeeded), (2, Place::Trash, CancelReason::Gone)] {
        let author = format!("b{chance}@shop.test");
        let gate = deliver(&store, priced(alice, &author)).await.gate.unwrap();
        let (quote, hash) = escrow_quote(&store, gate, chance, NOW).await;
        assert_eq!(store.payment_held(incoming(hash, 100), NOW).await.unwrap(), HeldOutcome::Claiming(gate));
        // Let in, or thrown away, while it was being received.
        move_only(&store, alice, Place::Unpaid, to, NOW).await;
        assert!(store.payment_settled(&hash, Msat(100_000), NOW).await.unwrap());
        assert_eq!(state(&store, quote).await, QuoteState::Refunding(reason));
        assert!(jobs(&store, NOW).await.contains(&JobKind::Refund(quote)));
    }
    assert_eq!(store.balances().await.unwrap().escrow, 200_000);
    assert_eq!(store.audit().await.unwrap().findings, Vec::<String>::new());
    // A second payer while the first one's is being received, or held: refused before anything is received.
    let gate = deliver(&store, priced(alice, "c@shop.test")).await.gate.unwrap();
    let preimage = Preimage::new([9; 32]);
    let begun = store.begin_quote(gate, Msat(1_000_000), CROWDED, &preimage, NOW + HOUR, NOW).await.unwrap();
    assert!(matches!(begun, Begun::Quote(..)));
    let (_, hash) = escrow_quote(&store, gate, 3, NOW).await;
    store.payment_held(incoming(hash, 100), NOW).await.unwrap();
    let second = store.payment_held(incoming(preimage.hash(), 1000), NOW).await.unwrap();
    assert_eq!(second, HeldOutcome::Refuse(CancelReason::NotNeeded));
    // Nor is another quote begun meanwhile.
    let third = Preimage::new([10; 32]);
    let begun = store.begin_quote(gate, Msat(5000), CROWDED, &third, NOW + HOUR, NOW).await.unwrap();
    assert_eq!(begun, Begun::NotPayable);
}

pub async fn a_claim_that_comes_too_late_leaves_the_gate_waiting(store: Subject) {
    let alice = account(&store, "alice").await;
    let gate = deliver(&store, priced(alice, "bob@shop.test")).await.gate.unwrap();
    let (quote, hash) = escrow_quote(&store, gate, 1, NOW).await;
    store.payment_held(incoming(hash, 100), NOW).await.unwrap();
    jobs(&store, NOW).await;
    assert!(store.payment_lost(quote, NOW).await.unwrap());
    assert!(!store.payment_lost(quote, NOW).await.unwrap());
    assert_state(&store, gate, GateState::Waiting).await;
    assert!(jobs(&store, NOW).await.is_empty(), "nobody was promised anything");
    assert_eq!(store.balances().await.unwrap().held, 0);
    // It arrives after all: money wins, once.
    assert!(store.payment_settled(&hash, Msat(100_000), NOW).await.unwrap());
    assert_state(&store, gate, GateState::Held).await;
    assert!(!store.payment_settled(&hash, Msat(100_000), NOW).await.unwrap());
    assert_eq!(store.balances().await.unwrap().escrow, 100_000);
}

pub async fn one_refund_invoice_at_a_time(store: Subject) {
    let alice = account(&store, "alice").await;
    let (paid, other) = (escrowed(&store, alice, 1).await, escrowed(&store, alice, 2).await);
    for gate in [paid.gate, other.gate] {
        store.decide(gate, Act::MarkedDeclined, NOW).await.unwrap();
    }
    let (first, second) = (refund_hash(9), refund_hash(8));
    assert!(store.begin_refund(paid.quote, "lnbcrt1first", &first, NOW).await.unwrap());
    assert!(!store.begin_refund(paid.quote, "lnbcrt1second", &second, NOW).await.unwrap());
    assert!(!store.begin_refund(other.quote, "lnbcrt1first", &first, NOW).await.unwrap(), "one payment, one refund");
    // Under a payment nothing is given up or changed.
    assert!(!store.refund_stuck(paid.quote, NOW).await.unwrap());
    assert!(!store.retarget_refund(paid.quote, None, RefundTarget::Sandbox, NOW).await.unwrap());
    // Only the committed one fails, or succeeds.
    assert!(!store.refund_failed(paid.quote, &second, NOW).await.unwrap());
    assert!(!store.refund_paid(paid.quote, &second, Msat::ZERO, NOW).await.unwrap());
    assert!(store.refund_failed(paid.quote, &first, NOW).await.unwrap());
    assert!(!store.refund_failed(paid.quote, &first, NOW).await.unwrap());
    assert_eq!(store.escrow(paid.quote).await.unwrap().unwrap().tries, 1);
    assert!(!store.refund_paid(paid.quote, &first, Msat::ZERO, NOW).await.unwrap());
    assert!(store.begin_refund(paid.quote, "lnbcrt1second", &second, NOW).await.unwrap());
    assert!(store.refund_paid(paid.quote, &second, Msat::ZERO, NOW).await.unwrap());
    assert_eq!(store.balances().await.unwrap().escrow, 100_000, "the other one's");
}

pub async fn a_stuck_refund_is_put_right_by_a_link_that_works_once(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = escrowed(&store, alice, 1).await;
    store.decide(paid.gate, Act::MarkedDeclined, NOW).await.unwrap();
    jobs(&store, NOW).await;
    assert!(store.refund_stuck(paid.quote, NOW).await.unwrap());
    assert_eq!(state(&store, paid.quote).await, QuoteState::Stuck(CancelReason::Declined));
    assert_eq!(jobs(&store, NOW).await, [JobKind::RefundLink(paid.quote)]);
    assert!(!store.begin_refund(paid.quote, "lnbcrt1r", &refund_hash(9), NOW).await.unwrap());
    // Not a second mail on the same day.
    assert!(!store.ask_refund_link(paid.quote, NOW + HOUR).await.unwrap());
    let link = store.escrow(paid.quote).await.unwrap().unwrap().link.unwrap();
    assert_eq!(store.escrow_of_token(&link).await.unwrap().unwrap().quote, paid.quote);
    let wrong = format!("{}-{}", paid.quote.0, "0".repeat(32));
    for bad in [&wrong[..], "", "1", "1-", "-", &"9".repeat(500), &link[..link.len() - 1]] {
        assert!(store.escrow_of_token(bad).await.unwrap().is_none(), "{bad}");
    }
    assert!(!store.retarget_refund(paid.quote, Some(&wrong), RefundTarget::Sandbox, NOW).await.unwrap());
    assert!(store.retarget_refund(paid.quote, Some(&link), RefundTarget::Sandbox, NOW).await.unwrap());
    let again = store.escrow(paid.quote).await.unwrap().unwrap();
    assert_eq!(
        (again.state, again.target),
        (QuoteState::Refunding(CancelReason::Declined), Some(RefundTarget::Sandbox))
    );
    assert_eq!(jobs(&store, NOW).await, [JobKind::Refund(paid.quote)]);
    // Used up.
    assert!(!store.retarget_refund(paid.quote, Some(&link), address(), NOW).await.unwrap());
    assert!(store.escrow_of_token(&link).await.unwrap().is_none());
    assert_eq!(only(&store, alice, Place::Requests).await.keywords, ["$Declined"]);
}

pub async fn a_withdraw_link_opens_its_own_quote_only(store: Subject) {
    let alice = account(&store, "alice").await;
    let gate = deliver(&store, priced(alice, "bob@shop.test")).await.gate.unwrap();
    let begun =
        store.begin_quote(gate, Msat(100_000), CROWDED, &Preimage::new([1; 32]), NOW + HOUR, NOW).await.unwrap();
    let Begun::Quote(quote, _) = begun else { panic!("{begun:?}") };
    let token = store.escrow(quote).await.unwrap().unwrap().withdraw;
    assert!(store.escrow_of_token(&token).await.unwrap().is_none(), "not the target");
    assert!(store.set_refund_target(quote, RefundTarget::Withdraw, NOW).await.unwrap());
    assert_eq!(store.escrow_of_token(&token).await.unwrap().unwrap().quote, quote);
    assert_eq!(super::gate(&store, gate).await.quotes[0].withdraw.as_deref(), Some(&token[..]));
    assert!(!store.begin_refund(quote, "lnbcrt1early", &refund_hash(9), NOW).await.unwrap(), "nothing is due");
}

pub async fn escrow_is_quoted_only_while_it_could_be_paid_back(store: Subject) {
    let alice = account(&store, "alice").await;
    let escrow = EscrowRoom { spendable: Msat(250_000), receivable: Msat(u64::MAX) };
    let room = Room { escrow: Some(escrow), ..CROWDED };
    let begin = |n: u8, at: UnixMs| {
        let store = store.clone();
        async move {
            let gate = deliver(&store, priced(alice, &format!("b{n}@shop.test"))).await.gate.unwrap();
            let preimage = Preimage::new([n; 32]);
            store.begin_quote(gate, Msat(100_000), room, &preimage, at + HOUR, at).await.unwrap()
        }
    };
    assert!(matches!(begin(1, NOW).await, Begun::Quote(_, HoldKind::Escrow)));
    assert!(matches!(begin(2, NOW).await, Begun::Quote(_, HoldKind::Escrow)));
    assert_eq!(begin(3, NOW).await, Begun::NoRoom(NoRoom::Escrow));
    assert!(matches!(begin(4, NOW + HOUR).await, Begun::Quote(_, HoldKind::Escrow)), "what expired is not owed");
    // What users own counts as well, wherever it came from.
    let posting = crate::Posting {
        key: "income".into(),
        gate: None,
        debits: vec![(crate::Side::Node, Msat(60_000))],
        credits: vec![(crate::Side::User(alice), Msat(60_000))],
    };
    store.post(posting, NOW).await.unwrap();
    assert_eq!(begin(5, NOW + HOUR).await, Begun::NoRoom(NoRoom::Escrow));
}

pub async fn an_account_that_goes_leaves_the_refund_to_be_paid(store: Subject) {
    let alice = account(&store, "alice").await;
    let paid = escrowed(&store, alice, 1).await;
    let token = gate(&store, paid.gate).await.page_token;
    jobs(&store, NOW).await;
    store.remove_account(alice, NOW).await.unwrap();
    assert!(jobs(&store, NOW).await.contains(&JobKind::Refund(paid.quote)));
    let refund = store.escrow(paid.quote).await.unwrap().unwrap();
    assert_eq!((refund.state, refund.target), (QuoteState::Refunding(CancelReason::Gone), Some(address())));
    // The page still says how it stands, and nothing is forgotten until it is paid.
    assert_eq!(store.page(&token).await.unwrap().unwrap().gates.len(), 1);
    store.erase_authors(NOW + 100 * DAY).await.unwrap();
    assert!(store.begin_refund(paid.quote, "lnbcrt1r", &refund_hash(9), NOW).await.unwrap());
    assert!(store.refund_paid(paid.quote, &refund_hash(9), Msat::ZERO, NOW).await.unwrap());
    store.erase_authors(NOW + 100 * DAY).await.unwrap();
    assert!(store.page(&token).await.unwrap().is_none());
    assert_eq!(store.escrow(paid.quote).await.unwrap().unwrap().target, None);
}

/// Steps of the walk.
const STEPS: usize = 600;
/// Payments at work at a time.
const OPEN: usize = 6;

/// One payment of the walk, as somebody outside counts it.
#[derive(Clone)]
struct Walker {
    gate: GateId,
    quote: QuoteId,
    hash: PaymentHash,
    arrived: bool,
    refunded: u32,
    /// The refund invoice that the node was told of last.
    refund: Option<PaymentHash>,
}

pub async fn whatever_happens_each_payment_is_released_or_refunded_once(store: Subject) {
    let mut alice = account(&store, "alice").await;
    let mut dice = books::Dice(0x0e5c_2026);
    let (mut now, mut chance, mut invoices, mut fees) = (NOW, 0_u8, 0_u64, 0_u64);
    let mut payments: Vec<Walker> = Vec::new();
    for step in 0..STEPS {
        now += dice.throw(10 * MINUTE as usize) as i64;
        // Mostly of those that are under way.
        let any = (!payments.is_empty()).then(|| payments.len() - 1 - dice.throw(payments.len().min(OPEN)));
        match (dice.throw(24), any) {
            (0, _) | (_, None) if chance < 120 => {
                chance += 1;
                let author = format!("a{chance}@shop{chance}.test");
                let gate = deliver(&store, priced(alice, &author)).await.gate.unwrap();
                let (quote, hash) = escrow_quote(&store, gate, chance, now).await;
                payments.push(Walker { gate, quote, hash, arrived: false, refunded: 0, refund: None });
            }
            (1..=5, Some(at)) => {
                store.payment_held(incoming(payments[at].hash, 100), now).await.unwrap();
            }
            (6..=10, Some(at)) => {
                // Its word comes for what was claimed, and may come late or twice.
                let one = &mut payments[at];
                let claimed = !matches!(state(&store, one.quote).await, QuoteState::Live | QuoteState::Expired);
                for _ in 0..=dice.throw(2) {
                    if claimed {
                        let first = store.payment_settled(&one.hash, Msat(100_000), now).await.unwrap();
                        assert_eq!(first, !one.arrived);
                        one.arrived = true;
                    }
                }
            }
            (11 | 12, Some(at)) => {
                let act = [Act::MarkedAccepted, Act::MarkedDeclined, Act::HoldEnded { seen: false }][dice.throw(3)];
                store.decide(payments[at].gate, act, now).await.unwrap();
            }
            (13..=16, Some(at)) => {
                invoices += 1;
                let mut hash = [0; 32];
                hash[..8].copy_from_slice(&invoices.to_be_bytes());
                if store.begin_refund(payments[at].quote, "lnbcrt1r", &PaymentHash(hash), now).await.unwrap() {
                    payments[at].refund = Some(PaymentHash(hash));
                }
            }
            (17..=21, Some(at)) => {
                let one = &mut payments[at];
                let Some(refund) = one.refund else { continue };
                if dice.throw(3) == 0 {
                    store.refund_failed(one.quote, &refund, now).await.unwrap();
                } else {
                    // Told twice: a crash came between the node's word and the commit, or not.
                    for _ in 0..2 {
                        if store.refund_paid(one.quote, &refund, Msat(7), now).await.unwrap() {
                            one.refunded += 1;
                            fees += 7;
                        }
                    }
                }
            }
            (_, Some(at)) => match dice.throw(4) {
                0 => drop(store.refund_stuck(payments[at].quote, now).await.unwrap()),
                1 => drop(store.retarget_refund(payments[at].quote, None, RefundTarget::Sandbox, now).await.unwrap()),
                2 => drop(store.payment_lost(payments[at].quote, now).await.unwrap()),
                _ => {
                    store.end_holds(now, HEIGHT, 6).await.unwrap();
                    if step % 100 == 99 {
                        store.remove_account(alice, now).await.unwrap();
                        alice = account(&store, &format!("alice{step}")).await;
                    }
                }
            },
            _ => {}
        }
        let (mut kept, mut released, mut refunded) = (0, 0, 0);
        for one in &payments {
            match state(&store, one.quote).await {
                QuoteState::Released => released += 1,
                QuoteState::Refunded(_) => refunded += 1,
                QuoteState::Escrowed | QuoteState::Refunding(_) | QuoteState::Stuck(_) => kept += 1,
                _ => assert!(!one.arrived, "what arrived is kept, released or refunded"),
            }
            assert!(one.refunded <= 1, "refunded twice");
        }
        let books = store.balances().await.unwrap();
        let arrived = payments.iter().filter(|one| one.arrived).count() as i64;
        assert_eq!(arrived, kept + released + refunded);
        assert_eq!(refunded, payments.iter().map(|one| i64::from(one.refunded)).sum::<i64>());
        assert_eq!(books.escrow, kept * 100_000);
        assert_eq!(books.users + books.fees, released * 100_000);
        assert_eq!((books.routing, books.node), (fees as i64, (kept + released) * 100_000 - fees as i64));
        assert_eq!(store.audit().await.unwrap().findings, Vec::<String>::new());
    }
    let ended = payments.iter().filter(|one| one.refunded == 1).count();
    assert!(ended > 5 && fees > 0, "the walk came somewhere: {ended} of {} refunded", payments.len());
}
