//! SIGKILL at any moment: no mail that got a 250 is lost or doubled, no money is stuck or gone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "modules of one test binary")]

mod support;

#[path = "crash/accounts.rs"]
mod accounts;
#[path = "crash/away.rs"]
mod away;
#[path = "crash/books.rs"]
mod books;
#[path = "crash/failpoints.rs"]
mod failpoints;
#[path = "crash/load.rs"]
mod load;
#[path = "crash/mail.rs"]
mod mail;
#[path = "crash/many.rs"]
mod many;
#[path = "crash/outgoing.rs"]
mod outgoing;
#[path = "crash/people.rs"]
mod people;

use std::collections::HashMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use accounts::{Money, money_agrees, settle_one};
use load::Load;
use support::satchel::Satchel;
use support::{Chance, eventually, is_long, seed};

/// What a restart may take (issue "the main job", must hold).
const READY_WITHIN: Duration = Duration::from_secs(5);
/// By then after a restart the money agrees everywhere.
const AGREES_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn kills_at_random_points_lose_no_mail_and_no_money() {
    let seed = seed();
    let mut chance = Chance::new(seed);
    let rounds = if is_long() { 200 } else { 12 };
    let mut satchel = Satchel::start(load::MONEY);
    let bob = accounts::add_bob(&satchel);
    satchel.ask(&["contact", "friend", "alice@satchel.test", "friend@pal.test"]);
    satchel.ask(&["contact", "friend", "bob@satchel.test", "friend@pal.test"]);
    let before = Money::of(&satchel);
    let load = Load::begin(&satchel, seed);
    let mut longest_start = Duration::ZERO;
    for round in 0..rounds {
        load.resume(satchel.ports);
        std::thread::sleep(Duration::from_millis(1000 + chance.below(4000)));
        satchel.kill();
        load.pause();
        // Now and then recovery itself is killed.
        if chance.below(3) == 0 {
            let _lines = satchel.spawn();
            std::thread::sleep(Duration::from_millis(chance.below(1500)));
            satchel.kill();
        }
        satchel.resume();
        longest_start = longest_start.max(satchel.ready_after);
        println!("round {round}: {} so far, ready after {:?}", load.figures(), satchel.ready_after);
    }
    let restarted = Instant::now();
    let (promised, doubtful) = load.end();
    let agreed = money_agrees(&satchel, before, restarted + AGREES_WITHIN);
    println!(
        "FIGURE the money agreed {:?} after the last restart; longest start {longest_start:?}",
        restarted.elapsed()
    );

    // What is still locked goes back, to the millisatoshi.
    eventually("every hold ended", || {
        let money = Money::of(&satchel);
        (money.held + money.escrow == 0).then_some(())
    });
    let after = money_agrees(&satchel, before, Instant::now() + AGREES_WITHIN);
    assert_eq!(after.customer, before.customer - after.settled, "the customer paid exactly what settled");
    assert!(after.settled >= agreed.settled);

    let login = satchel.first_login();
    let found: Vec<HashMap<u64, u32>> =
        [login, bob].iter().map(|(user, password)| mail::all_of(satchel.ports.imap, user, password, seed)).collect();
    let mut expected = 0;
    for number in &promised {
        for (who, found) in found.iter().enumerate() {
            let copies = u32::from(mail::Mail::new(seed, *number).is_for(who));
            assert_eq!(
                found.get(number).copied().unwrap_or(0),
                copies,
                "mail {number} got a 250; copies of account {who}"
            );
            expected += copies;
        }
    }
    // What was under way may be there or not, but whole: for all its recipients, once.
    let mut arrived = 0;
    for number in &doubtful {
        let mail = mail::Mail::new(seed, *number);
        let copies: Vec<u32> = (0..found.len())
            .filter(|who| mail.is_for(*who))
            .map(|who| found[who].get(number).copied().unwrap_or(0))
            .collect();
        assert!(
            copies.iter().all(|count| *count <= 1 && *count == copies[0]),
            "mail {number} is there {copies:?} times"
        );
        arrived += copies.iter().sum::<u32>();
    }
    let there: u32 = found.iter().flat_map(HashMap::values).sum();
    assert_eq!(there, expected + arrived, "mails that nobody sent");
    assert!(!promised.is_empty() && after.settled > 0, "the load did nothing: {after:?}");
    println!(
        "FIGURE {rounds} kills: {} mails promised, {} in doubt of which {arrived} copies arrived, {} msat settled, {}",
        promised.len(),
        doubtful.len(),
        after.settled,
        load.figures()
    );
}

#[test]
fn twenty_kills_in_the_first_three_seconds_end_in_a_working_sandbox() {
    let mut chance = Chance::new(seed());
    let mut satchel = Satchel::prepared("");
    for _ in 0..20 {
        let _lines = satchel.spawn();
        std::thread::sleep(Duration::from_millis(chance.below(3000)));
        satchel.kill();
    }
    satchel.resume();
    println!("FIGURE ready {:?} after twenty kills", satchel.ready_after);
    let before = Money::of(&satchel);
    settle_one(&satchel, "bob@shop.test");
    money_agrees(&satchel, before, Instant::now() + AGREES_WITHIN);
    assert_eq!(satchel.ask(&["account", "list"]).as_array().unwrap().len(), 1, "one first account");
    assert!(satchel.imap().count("INBOX") > 0, "its letter of welcome");
}

#[test]
fn a_restart_after_a_thousand_blocks_is_ready_in_five_seconds() {
    let mut satchel = Satchel::start("");
    let begun = Instant::now();
    satchel.ask(&["sandbox", "mine", "1000"]);
    println!("FIGURE a thousand blocks mined and followed in {:?}", begun.elapsed());
    satchel.stop();
    satchel.resume();
    println!("FIGURE ready {:?} after a thousand blocks", satchel.ready_after);
    assert!(satchel.ready_after <= READY_WITHIN, "ready after {:?}", satchel.ready_after);
    // The same after a kill.
    satchel.ask(&["sandbox", "mine", "1000"]);
    satchel.kill();
    satchel.resume();
    println!("FIGURE ready {:?} after a thousand blocks and a kill", satchel.ready_after);
    assert!(satchel.ready_after <= READY_WITHIN, "ready after {:?}", satchel.ready_after);
    settle_one(&satchel, "bob@shop.test");
}

#[test]
fn a_hold_that_ended_while_the_server_was_down_is_refunded_at_the_next_start() {
    let mut satchel = Satchel::start("[money]\nhold = \"4s\"\n");
    let before = Money::of(&satchel);
    accounts::pay(&satchel, "bob@shop.test");
    satchel.wait_for_state("bob@shop.test", "held");
    satchel.kill();
    std::thread::sleep(Duration::from_secs(5));
    satchel.resume();
    let gate = satchel.wait_for_state("bob@shop.test", "waiting");
    assert_eq!(gate["refunded"], true);
    let after = money_agrees(&satchel, before, Instant::now() + AGREES_WITHIN);
    assert_eq!((after.customer, after.held), (before.customer, 0));
    let mut imap = satchel.imap();
    assert_eq!((imap.count("Unpaid"), imap.count("Requests")), (1, 0));
    let uid = imap.find("Unpaid", "hello from bob@shop.test")[0];
    assert!(imap.flags(uid).contains("$Refunded"));
    // It may be paid again, under another hash.
    let bolt11 = accounts::invoice(&satchel, &gate);
    assert_eq!(satchel.ask(&["sandbox", "pay", &bolt11])["state"], "locked");
    satchel.wait_for_state("bob@shop.test", "held");
}

#[test]
fn a_decision_of_the_last_moment_is_carried_out_at_the_next_start() {
    let mut satchel = Satchel::start("");
    let before = Money::of(&satchel);
    for (author, verb) in [("ann@shop.test", "accept"), ("ben@shop.test", "decline")] {
        accounts::pay(&satchel, author);
        let gate = satchel.wait_for_state(author, "held");
        satchel.ask(&["gate", verb, &gate["id"].to_string()]);
    }
    satchel.kill();
    satchel.resume();
    satchel.wait_for_state("ann@shop.test", "settled");
    satchel.wait_for_state("ben@shop.test", "declined");
    let after = money_agrees(&satchel, before, Instant::now() + AGREES_WITHIN);
    assert_eq!((after.settled, after.held), (100_000, 0));
    assert_eq!(after.customer, before.customer - 100_000);
}

#[test]
fn the_operator_s_own_payments_are_booked_and_a_kill_leaves_no_gap() {
    let mut satchel = Satchel::start("");
    let audit = |satchel: &Satchel| {
        let audit = satchel.ask(&["wallet", "audit"]);
        assert_eq!(audit["ok"], true, "{audit}");
        audit["operator_msat"].as_i64().unwrap()
    };
    let before = audit(&satchel);
    let bolt11 = satchel.ask(&["wallet", "invoice", "5000"])["bolt11"].as_str().unwrap().to_owned();
    assert_ne!(satchel.ask(&["sandbox", "pay", &bolt11])["state"], "failed");
    eventually("the income is booked", || (audit(&satchel) == before + 5_000_000).then_some(()));
    let bolt11 = satchel.ask(&["sandbox", "invoice", "3000"])["bolt11"].as_str().unwrap().to_owned();
    assert_eq!(satchel.ask(&["wallet", "pay", &bolt11])["state"], "succeeded");
    assert_eq!(audit(&satchel), before + 2_000_000);
    // Killed at several points of a payment: it was made and booked, or neither.
    for after in [5, 20, 60, 120, 200] {
        let bolt11 = satchel.ask(&["sandbox", "invoice", "100"])["bolt11"].as_str().unwrap().to_owned();
        let mut paying = satchel.command(&["wallet", "pay", &bolt11]);
        let mut paying = paying.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(after));
        satchel.kill();
        paying.wait().unwrap();
        satchel.resume();
        audit(&satchel);
    }
    // Paid mail goes on beside it.
    settle_one(&satchel, "bob@shop.test");
    audit(&satchel);
}

#[test]
fn mining_past_the_deadline_ends_the_hold_and_says_which() {
    let satchel = Satchel::start("");
    let before = Money::of(&satchel);
    accounts::pay(&satchel, "bob@shop.test");
    let gate = satchel.wait_for_state("bob@shop.test", "held");
    assert_eq!(satchel.ask(&["sandbox", "mine", "1"])["ended_holds"], serde_json::json!([]));
    let height = satchel.ask(&["sandbox", "mine", "1"])["height"].as_u64().unwrap();
    let blocks = gate["deadline_height"].as_u64().unwrap() - height;
    let mined = satchel.ask(&["sandbox", "mine", &blocks.to_string()]);
    assert_eq!(mined["ended_holds"], serde_json::json!([gate["id"]]));
    let gate = satchel.wait_for_state("bob@shop.test", "waiting");
    assert_eq!(gate["refunded"], true);
    let after = money_agrees(&satchel, before, Instant::now() + AGREES_WITHIN);
    assert_eq!((after.customer, after.held), (before.customer, 0));
    let channels = satchel.ask(&["wallet", "channels"]);
    assert_eq!(channels["channels"][0]["usable"], true, "the channel survived: {channels}");
}

#[test]
fn a_command_on_the_stopped_directory_does_not_keep_the_server_from_starting() {
    let mut satchel = Satchel::start("");
    satchel.stop();
    let mut asking: Vec<_> = (0..8).map(|_| satchel.command(&["gate", "list"])).collect();
    let mut asking: Vec<_> =
        asking.iter_mut().map(|command| command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()).collect();
    satchel.resume();
    for child in &mut asking {
        child.wait().unwrap();
    }
}

#[test]
fn a_refund_from_escrow_is_paid_once_whatever_kills_it() {
    let mut satchel = Satchel::start("");
    // More than the channels may reserve in value: every quote is escrow.
    let msat = 700_000_000_i64;
    satchel.ask(&["price", "alice@satchel.test", "--stranger", "700000"]);
    let before = Money::of(&satchel);
    for (n, after) in [0, 10, 30, 60, 100, 200].into_iter().enumerate() {
        let author = format!("b{n}@shop.test");
        let message = format!(
            "From: <{author}>\r\nTo: <alice@satchel.test>\r\nSubject: number {n}\r\nMessage-ID: <1.{author}>\r\n\r\nhi\r\n"
        );
        assert!(load::deliver(satchel.ports.smtp, &author, &["alice@satchel.test"], message.as_bytes()).unwrap());
        let gate = satchel.gate_of(&author).expect("a 250 means that the gate is there");
        let id = gate["id"].to_string();
        let quote = satchel.ask(&["gate", "refund-to", &id, "sandbox"]);
        satchel.ask(&["sandbox", "pay", quote["bolt11"].as_str().unwrap()]);
        // Killed while it is received, too.
        if n % 2 == 0 {
            satchel.kill();
            satchel.resume();
        }
        satchel.wait_for_state(&author, "held");
        satchel.ask(&["gate", "decline", &id]);
        std::thread::sleep(Duration::from_millis(after));
        satchel.kill();
        satchel.resume();
        eventually(&format!("refund {n} is back"), || {
            let gate = satchel.gate_of(&author).unwrap();
            let customer = Money::of(&satchel).customer;
            assert!(customer <= before.customer, "paid back twice");
            (gate["refunded"] == true && customer == before.customer).then_some(())
        });
        let balance = satchel.ask(&["wallet", "balance"]);
        assert_eq!((&balance["escrow_msat"], &balance["users_msat"]), (&0.into(), &0.into()), "{balance}");
        let audit = satchel.ask(&["wallet", "audit"]);
        assert_eq!(audit["ok"], true, "{audit}");
    }
    assert_eq!(Money::of(&satchel).customer, before.customer);
    println!("FIGURE six refunds of {msat} msat, nine kills: each paid once");
}
