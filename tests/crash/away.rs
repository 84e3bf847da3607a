//! The customer's node alone goes away while a payment is locked, and comes back: what was decided meanwhile is carried out.

use satchel::cli::{PriceChange, Request};
use serde_json::Value;

use crate::books::Books;
use crate::people::{People, Wish, gate_of};
use crate::support::eventually;
use crate::support::satchel::Satchel;
use crate::support::stranger::ALICE;

/// More than the channel may reserve in value: every quote of it is escrow.
const ESCROW_SAT: u64 = 700_000;

fn customer(satchel: &Satchel, running: bool) {
    assert_eq!(satchel.told(&Request::SandboxCustomer { running })["running"], running);
}

/// A paid mail, held.
fn held(satchel: &Satchel, people: &People, author: &str) -> i64 {
    let gate = eventually(&format!("the payment of {author}"), || {
        let _ = people.step(satchel, author, Wish::Nothing);
        gate_of(satchel, author).unwrap().filter(|gate| gate["state"] == "held")
    });
    gate["id"].as_i64().unwrap()
}

fn wait_for(satchel: &Satchel, author: &str, state: &str) -> Value {
    eventually(&format!("the gate of {author} is {state}"), || {
        gate_of(satchel, author).unwrap().filter(|gate| gate["state"] == state)
    })
}

#[test]
fn what_is_decided_while_the_customer_is_away_is_carried_out_when_they_are_back() {
    let mut satchel = Satchel::start("");
    let (people, books) = (People::default(), Books::open(&satchel));

    // The preimage is ours to claim with: booked at once, told when there is somebody to tell.
    let (ann, ben) = ("ann@shop.test", "ben@shop.test");
    let (anns, bens) = (held(&satchel, &people, ann), held(&satchel, &people, ben));
    customer(&satchel, false);
    satchel.told(&Request::GateAccept { id: anns });
    satchel.told(&Request::GateDecline { id: bens });
    wait_for(&satchel, ann, "settled");
    wait_for(&satchel, ben, "declined");
    customer(&satchel, true);
    let agreed = books.agree(&satchel);
    assert_eq!((agreed.settled, agreed.declined), (1, 1));

    // Decided, and everything dies before the customer is back: the next start brings both nodes.
    let (cleo, dan) = ("cleo@shop.test", "dan@shop.test");
    let (cleos, dans) = (held(&satchel, &people, cleo), held(&satchel, &people, dan));
    customer(&satchel, false);
    satchel.told(&Request::GateAccept { id: cleos });
    satchel.told(&Request::GateDecline { id: dans });
    satchel.kill();
    satchel.resume();
    wait_for(&satchel, cleo, "settled");
    wait_for(&satchel, dan, "declined");
    let agreed = books.agree(&satchel);
    assert_eq!((agreed.settled, agreed.declined), (2, 2));
}

#[test]
fn a_deadline_that_passes_while_the_customer_is_away_gives_the_money_back() {
    let satchel = Satchel::start("");
    let (people, books) = (People::default(), Books::open(&satchel));
    let author = "eve@shop.test";
    held(&satchel, &people, author);
    let deadline = gate_of(&satchel, author).unwrap().unwrap()["deadline_height"].as_u64().unwrap();
    customer(&satchel, false);
    let height = satchel.told(&Request::SandboxMine { blocks: 1 })["height"].as_u64().unwrap();
    satchel.told(&Request::SandboxMine { blocks: u32::try_from(deadline - height).unwrap() });
    assert_eq!(wait_for(&satchel, author, "waiting")["refunded"], true);
    customer(&satchel, true);
    assert_eq!(books.agree(&satchel).waiting, 1);
    // The channel survived, and so did the mail: it may be paid again.
    let id = gate_of(&satchel, author).unwrap().unwrap()["id"].as_i64().unwrap();
    let quote = satchel.told(&Request::GateInvoice { id, priority: false });
    let bolt11 = quote["bolt11"].as_str().unwrap().to_owned();
    assert_eq!(satchel.told(&Request::SandboxPay { bolt11 })["state"], "locked");
    satchel.told(&Request::GateAccept { id });
    assert_eq!(books.agree(&satchel).settled, 1);
}

#[test]
fn a_refund_from_escrow_waits_for_a_payee_who_is_away() {
    let mut satchel = Satchel::start("");
    let (people, books) = (People::default(), Books::open(&satchel));
    let price = PriceChange { address: ALICE.into(), stranger_sat: Some(ESCROW_SAT), ..PriceChange::default() };
    satchel.told(&Request::Price(price));
    // Declined before there is an invoice; and killed while it waits for one.
    for (author, kill) in [("fay@shop.test", false), ("gus@shop.test", true)] {
        let id = held(&satchel, &people, author);
        customer(&satchel, false);
        satchel.told(&Request::GateDecline { id });
        let gate = wait_for(&satchel, author, "declined");
        assert_eq!(gate["refunding"], true, "{gate}");
        let owed = satchel.told(&Request::WalletBalance)["escrow_msat"].as_u64();
        assert_eq!(owed, Some(ESCROW_SAT * 1000));
        if kill {
            satchel.kill();
            satchel.resume();
        } else {
            customer(&satchel, true);
        }
        books.agree(&satchel);
    }
}
