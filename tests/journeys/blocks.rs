//! Blocks pass, on two real nodes, while mails are paid and decided: every hold ends before its deadline, by us.
//! (The month is in `twin`.)

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lightning::sandbox::chain::Chain;
use serde_json::Value;

use crate::payers::{lies_in, page_shows};
use crate::support::satchel::Satchel;
use crate::support::{eventually, is_long};

/// Between two mails that are paid.
const EVERY: u64 = 24;

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn as_blocks_pass_every_hold_ends_before_its_margin_and_the_channel_stays() {
    // Not quite two days; a week with --long. Of ten minutes each, which here are milliseconds: only blocks end holds.
    let blocks = if is_long() { 7 * 144 } else { 240 };
    let margin = u64::from(policy::MARGIN_BLOCKS);
    let satchel = Satchel::start("");
    let before = satchel.customer_msat();
    let begun = Instant::now();
    let first = number(&satchel.ask(&["sandbox", "mine", "1"])["height"]);
    let (mut height, mut mails, mut paid_out) = (first, 0, 0);
    let mut ended: Vec<(String, u64, u64)> = Vec::new();
    while height < first + blocks {
        if height >= first + mails * EVERY {
            mails += 1;
            let author = format!("a@blocks{mails}.test");
            // Dust, no dust, and the default.
            let sat = [20, 100, 1000][usize::try_from(mails % 3).unwrap()];
            satchel.ask(&["price", "alice@satchel.test", "--stranger", &sat.to_string(), "--priority", "5000"]);
            satchel.stranger_pays(&author, &format!("Number {mails}"));
        }
        let gates = satchel.gates();
        let held: Vec<&Value> = gates.iter().filter(|gate| gate["state"] == "held").collect();
        for gate in &held {
            let (n, deadline) = (number(&gate["id"]), number(&gate["deadline_height"]));
            assert!(deadline > height + margin, "at {height}: {gate}");
            // The first of three is left alone, the second accepted in its last block, the third declined in its middle.
            let left = deadline - margin - height;
            let verb = match n % 3 {
                2 if left <= 1 => "accept",
                0 if left <= 100 => "decline",
                _ => continue,
            };
            satchel.ask(&["gate", verb, &n.to_string()]);
            let state = if verb == "accept" { "settled" } else { "declined" };
            let gate = satchel.wait_for_state(gate["author"].as_str().unwrap(), state);
            paid_out += if verb == "accept" { number(&gate["paid_msat"]) } else { 0 };
            ended.push((verb.to_owned(), height, deadline));
        }
        // Never past the next end: what is left alone ends in exactly the block it should.
        let ends = held.iter().map(|gate| number(&gate["deadline_height"]) - margin);
        let one_before = ends.map(|end| (end - 1).max(height + 1)).min().unwrap_or(u64::MAX);
        let next = one_before.min((first + mails * EVERY).max(height + 1));
        let mined = satchel.ask(&["sandbox", "mine", &(next - height).to_string()]);
        height = number(&mined["height"]);
        for id in mined["ended_holds"].as_array().unwrap() {
            let gate = held.iter().find(|gate| gate["id"] == *id).unwrap();
            let (author, deadline) = (gate["author"].as_str().unwrap(), number(&gate["deadline_height"]));
            let gate = satchel.wait_for_state(author, "waiting");
            assert_eq!(gate["refunded"], true, "{gate}");
            ended.push(("ended".to_owned(), height, deadline));
        }
    }
    // All that is held yet goes back.
    for gate in satchel.gates().iter().filter(|gate| gate["state"] == "held") {
        satchel.ask(&["gate", "decline", &gate["id"].to_string()]);
    }
    for (what, at, deadline) in &ended {
        assert!(at + margin <= *deadline, "{what} at {at}, deadline {deadline}");
    }
    for what in ["accept", "decline", "ended"] {
        assert!(ended.iter().any(|(did, ..)| did == what), "none was {what}: {ended:?}");
    }
    satchel.wait_for_customer(before - paid_out);
    eventually("nothing is held", || (satchel.ask(&["wallet", "balance"])["held_msat"] == 0).then_some(()));
    let channels = satchel.ask(&["wallet", "channels"]);
    assert_eq!(channels["channels"].as_array().unwrap().len(), 1, "{channels}");
    assert_eq!(channels["channels"][0]["usable"], true, "{channels}");
    satchel.assert_audit();
    println!("FIGURE {blocks} blocks, {mails} mails paid, {} ended, in {:?}", ended.len(), begun.elapsed());
}

#[test]
fn deadlines_that_pass_while_the_server_is_down_are_told_at_its_next_start() {
    let mut satchel = Satchel::start("");
    let before = satchel.customer_msat();
    let (alone, accepted) = ("a@away.test", "b@away.test");
    let unanswered = satchel.stranger_pays(alone, "Left alone");
    let decided = satchel.stranger_pays(accepted, "Accepted too late");
    let [left, taken] = [alone, accepted].map(|author| satchel.gate_of(author).unwrap());
    let deadline = number(&taken["deadline_height"]).max(number(&left["deadline_height"]));
    satchel.stop();
    // Accepted while nobody is there to claim it, and then the blocks pass by, but not the HTLCs' own end.
    satchel.ask(&["gate", "accept", &taken["id"].to_string()]);
    {
        let chain = Chain::open(&satchel.path().join("lightning/chain.log"), bitcoin::ScriptBuf::new()).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let blocks = u32::try_from(deadline).unwrap() + 5 - chain.height();
        chain.mine(blocks, u32::try_from(now).unwrap()).unwrap();
    }
    satchel.resume();

    let gate = satchel.wait_for_state(alone, "waiting");
    assert_eq!(gate["refunded"], true, "{gate}");
    let gate = satchel.wait_for_state(accepted, "lost");
    for bolt11 in [&unanswered, &decided] {
        satchel.wait_for_payment(bolt11, "failed");
    }
    satchel.wait_for_customer(before);
    let mut imap = satchel.imap();
    lies_in(&mut imap, "Unpaid", "Left alone", &["$Unpaid", "$Refunded"]);
    lies_in(&mut imap, "Requests", "Accepted too late", &["$Refunded"]);
    page_shows(&satchel, &gate, &["Closed", "before it could be collected: refunded"]);
    eventually("its owner is told", || imap.find("INBOX", "An accepted payment of 100 sat was lost").first().copied());
    eventually("its author is told", || {
        let mails = satchel.ask(&["sandbox", "mail"]);
        let told = |mail: &Value| {
            mail["to"] == accepted && mail["message"].as_str().unwrap().contains("Your payment of 100 sat was returned")
        };
        mails.as_array().unwrap().iter().any(told).then_some(())
    });
    let balance = satchel.ask(&["wallet", "balance"]);
    assert_eq!((&balance["users_msat"], &balance["held_msat"]), (&0.into(), &0.into()), "{balance}");
    satchel.assert_audit();

    // The channel stands, and the first mail can be paid again.
    satchel.pay(&satchel.invoice(&left));
    satchel.wait_for_state(alone, "held");
    satchel.ask(&["gate", "accept", &left["id"].to_string()]);
    satchel.wait_for_state(alone, "settled");
    satchel.wait_for_customer(before - 100_000);
    satchel.assert_audit();
}
