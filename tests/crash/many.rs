//! Hundreds of mails are paid at once, over three channels: each ends as it was decided, and the books are right.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use satchel::cli::{PriceChange, Request};

use crate::books::Books;
use crate::people::{ENDS_WITHIN, gate_of, pay, write};
use crate::support::control::Undone;
use crate::support::satchel::Satchel;
use crate::support::stranger::ALICE;
use crate::support::{eventually, is_long};

/// Mails of the short form, and of the long one.
const MAILS: usize = 120;
const LONG_MAILS: usize = 500;
/// Payments made at once.
const AT_ONCE: usize = 12;
/// Quotes that three channels reserve on themselves: 60 % of fifty slots each.
const RESERVED: usize = 90;
/// How long the owner may think.
const HOLD: &str = "[money]\nhold = \"12s\"\n";
/// For each mail, on a machine of two cores that does other things, too.
const FOR_EACH: Duration = Duration::from_secs(1);

/// What the owner did with a mail, as the server took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Decided {
    Accepted,
    Declined,
    Left,
}

#[test]
fn hundreds_of_mails_paid_at_once_on_three_channels_end_as_decided() {
    let count = if is_long() { LONG_MAILS } else { MAILS };
    let satchel = Satchel::start(HOLD);
    for _ in 0..2 {
        satchel.told(&Request::SandboxChannel { capacity_sat: 10_000_000 });
    }
    let books = Books::open(&satchel);
    let begun = Instant::now();

    let authors: Vec<String> = (0..count).map(|n| format!("a{n}@p{}.test", n % 50)).collect();
    at_once(count, |n| write(&satchel, &authors[n]).unwrap());
    let ids: BTreeMap<String, i64> = satchel
        .gates()
        .iter()
        .map(|gate| (gate["author"].as_str().unwrap().to_owned(), gate["id"].as_i64().unwrap()))
        .collect();
    assert_eq!(ids.len(), count, "a 250 is a gate");
    let written = begun.elapsed();

    // Quotes: what the channels can lock, and escrow beyond.
    let quotes = Mutex::new(BTreeMap::new());
    at_once(count, |n| {
        let id = ids[&authors[n]];
        let mut quote = satchel.told(&Request::GateInvoice { id, priority: false });
        let is_escrow = quote["hold"] == "escrow";
        if is_escrow {
            quote = satchel.told(&Request::GateRefundTo { id, target: "sandbox".into() });
        }
        quotes.lock().unwrap().insert(n, (quote["bolt11"].as_str().unwrap().to_owned(), is_escrow));
    });
    let quotes = quotes.into_inner().unwrap();
    let escrow = quotes.values().filter(|(_, is_escrow)| *is_escrow).count();
    assert_eq!(count - escrow, RESERVED.min(count), "live quotes on three channels");
    let quoted = begun.elapsed();

    // Paid; half accepted, a quarter declined, a quarter left to the clock.
    let decided = Mutex::new(BTreeMap::new());
    at_once(count, |n| {
        lock(&satchel, &authors[n], &quotes[&n].0);
        let id = ids[&authors[n]];
        let (request, wish) = match n % 4 {
            0 | 1 => (Request::GateAccept { id }, Decided::Accepted),
            2 => (Request::GateDecline { id }, Decided::Declined),
            _ => {
                decided.lock().unwrap().insert(n, Decided::Left);
                return;
            }
        };
        // Refused: the hold's time was over before it was looked at.
        let done = if satchel.tell(&request).is_ok() { wish } else { Decided::Left };
        decided.lock().unwrap().insert(n, done);
    });
    let paid = begun.elapsed();
    let agreed = books.agree(&satchel);
    let ended = begun.elapsed();

    let mut counted: BTreeMap<Decided, usize> = BTreeMap::new();
    let gates = satchel.gates();
    for (n, decided) in decided.into_inner().unwrap() {
        *counted.entry(decided).or_default() += 1;
        let gate = gates.iter().find(|gate| gate["id"] == ids[&authors[n]]).unwrap();
        let expected = match decided {
            Decided::Accepted => ("settled", false),
            Decided::Declined => ("declined", true),
            Decided::Left => ("waiting", true),
        };
        assert_eq!((&gate["state"], &gate["refunded"]), (&expected.0.into(), &expected.1.into()), "{gate}");
    }
    assert_eq!((agreed.settled, agreed.declined), (counted[&Decided::Accepted], counted[&Decided::Declined]));
    assert!(counted[&Decided::Accepted] >= count / 4 && counted[&Decided::Left] >= count / 4, "{counted:?}");
    println!(
        "FIGURE {count} mails, {escrow} of them in escrow: written {written:?}, quoted {quoted:?}, paid and decided {paid:?}, \
         ended {ended:?}; {counted:?}"
    );
    assert!(ended < Duration::from_secs(60) + FOR_EACH * u32::try_from(count).unwrap(), "ended after {ended:?}");
}

/// Pays until the money is there: a payer's wallet tries again where a channel was full for a moment.
fn lock(satchel: &Satchel, author: &str, bolt11: &str) {
    let deadline = Instant::now() + ENDS_WITHIN;
    loop {
        match pay(satchel, bolt11) {
            Ok(state) if state == "locked" || state == "succeeded" => return,
            Ok(state) if state == "failed" => drop(satchel.tell(&Request::SandboxPay { bolt11: bolt11.to_owned() })),
            Ok(_) | Err(Undone::Refused(_)) => {}
            Err(Undone::Gone(error)) => panic!("the server is gone: {error}; log:\n{}", satchel.log_text()),
        }
        assert!(
            Instant::now() < deadline,
            "the payment of {author} does not lock: {:?}; log:\n{}",
            gate_of(satchel, author),
            satchel.log_text()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Does `work` for each number below `count`, some at a time.
fn at_once(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    if n >= count {
                        return;
                    }
                    work(n);
                }
            });
        }
    });
}

/// A channel takes a tenth of its ten million satoshis at a time; quotes reserve 60 % of that.
#[test]
fn beyond_a_full_channel_a_payment_fails_cleanly_and_the_gate_stays_waiting() {
    let satchel = Satchel::start("");
    let books = Books::open(&satchel);
    let quote = |author: &str, sat: u64| {
        let price = PriceChange { address: ALICE.into(), stranger_sat: Some(sat), ..PriceChange::default() };
        satchel.told(&Request::Price(price));
        write(&satchel, author).unwrap();
        let id = gate_of(&satchel, author).unwrap().unwrap()["id"].as_i64().unwrap();
        let mut quote = satchel.told(&Request::GateInvoice { id, priority: false });
        if quote["bolt11"].is_null() {
            quote = satchel.told(&Request::GateRefundTo { id, target: "sandbox".into() });
        }
        (id, quote["hold"].as_str().unwrap().to_owned(), quote["bolt11"].as_str().unwrap().to_owned())
    };
    let (first, hold, bolt11) = quote("ann@shop.test", 500_000);
    assert_eq!(hold, "htlc");
    assert_eq!(satchel.told(&Request::SandboxPay { bolt11 })["state"], "locked");
    let (second, hold, bolt11) = quote("ben@shop.test", 600_000);
    assert_eq!(hold, "escrow");
    match satchel.tell(&Request::SandboxPay { bolt11: bolt11.clone() }) {
        Ok(paid) => assert_eq!(paid["state"], "failed"),
        Err(Undone::Refused(why)) => assert!(why.contains("no channel can carry this payment now"), "{why}"),
        Err(Undone::Gone(error)) => panic!("{error}"),
    }
    let gate = gate_of(&satchel, "ben@shop.test").unwrap().unwrap();
    assert_eq!((&gate["state"], gate["bolt11"].as_str()), (&"waiting".into(), Some(&*bolt11)), "{gate}");
    // When there is room again, the same invoice is good.
    satchel.told(&Request::GateDecline { id: first });
    eventually("the second payment is held", || {
        let _ = satchel.tell(&Request::SandboxPay { bolt11: bolt11.clone() });
        (gate_of(&satchel, "ben@shop.test").unwrap().unwrap()["state"] == "held").then_some(())
    });
    satchel.told(&Request::GateAccept { id: second });
    let agreed = books.agree(&satchel);
    assert_eq!((agreed.settled, agreed.declined), (1, 1));
}
