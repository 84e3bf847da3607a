//! Payers who do not do what the page says: too late, too little, too much, twice, after somebody else, in parts. Each
//! either raises the mail once or has all of it back.

use serde_json::Value;

use crate::escrow::{http, page};
use crate::support::eventually;
use crate::support::imap::Imap;
use crate::support::satchel::Satchel;

/// What a stranger is asked for, in msat.
const PRICE: u64 = 100_000;

/// The one mail with this subject lies in a mailbox, and bears these of the server's keywords and no others.
pub(crate) fn lies_in(imap: &mut Imap, mailbox: &str, subject: &str, keywords: &[&str]) -> u32 {
    let ours = ["$Unpaid", "$Paid", "$Settled", "$Accepted", "$Refunded", "$Declined", "$Priority"];
    let mut last = String::new();
    eventually(&format!("{subject} is in {mailbox} with {keywords:?}"), || {
        let uid = match imap.find(mailbox, subject)[..] {
            [] => return None,
            [uid] => uid,
            ref several => panic!("{subject} is in {mailbox} more than once: {several:?}"),
        };
        last = imap.flags(uid);
        let bears = |keyword: &str| last.split(' ').any(|flag| flag == keyword);
        ours.iter().all(|keyword| bears(keyword) == keywords.contains(keyword)).then_some(uid)
    })
}

/// What the author sees.
pub(crate) fn page_shows(satchel: &Satchel, gate: &Value, words: &[&str]) {
    let (status, shown) = http(satchel, "GET", &page(satchel, gate), "");
    assert_eq!(status, 200, "{shown}");
    for word in words {
        assert!(shown.contains(word), "{word} is not on the page:\n{shown}");
    }
}

fn nothing_is_held(satchel: &Satchel) {
    eventually("nothing is held", || (satchel.ask(&["wallet", "balance"])["held_msat"] == 0).then_some(()));
    satchel.assert_audit();
}

#[test]
fn whoever_pays_too_late_has_it_back_and_the_mail_may_still_be_paid() {
    let mut satchel = Satchel::start("[money]\nquote = \"2s\"\n");
    let mut imap = satchel.imap();
    let (author, subject) = ("ann@late.test", "Paid too late");
    let gate = satchel.stranger_writes(author, subject);
    let bolt11 = satchel.invoice(&gate);
    let before = satchel.customer_msat();
    eventually("the quote expired", || satchel.gate_of(author).filter(|gate| gate["bolt11"].is_null()));

    // Twice, because the node lets it in as often as it comes.
    for _ in 0..2 {
        assert_eq!(satchel.pay_like(&bolt11, &["--late", "--tight"]), "failed");
        let gate = satchel.gate_of(author).unwrap();
        assert_eq!(
            (&gate["state"], &gate["refunded"], &gate["paid_msat"]),
            (&"waiting".into(), &false.into(), &Value::Null)
        );
    }
    satchel.wait_for_customer(before);
    nothing_is_held(&satchel);
    lies_in(&mut imap, "Unpaid", subject, &["$Unpaid"]);
    assert!(imap.find("Requests", subject).is_empty());

    // From now on there is time to pay.
    satchel.stop();
    satchel.configure("");
    satchel.resume();
    let mut imap = satchel.imap();
    // The page has another invoice, under another hash.
    page_shows(&satchel, &gate, &["Waiting for payment", "lnbcrt"]);
    let again = satchel.invoice(&gate);
    assert_ne!(again, bolt11);
    satchel.pay(&again);
    satchel.wait_for_state(author, "held");
    let uid = lies_in(&mut imap, "Requests", subject, &["$Paid"]);
    // And the old one is void for good.
    assert_eq!(satchel.pay_like(&bolt11, &["--late", "--second-wallet"]), "failed");
    imap.ok(&format!("UID MOVE {uid} INBOX"));
    satchel.wait_for_state(author, "settled");
    lies_in(&mut imap, "INBOX", subject, &["$Settled", "$Accepted"]);
    satchel.wait_for_customer(before - PRICE);
    nothing_is_held(&satchel);
}

#[test]
fn too_little_raises_nothing_and_too_much_is_held_and_booked_as_it_came() {
    let satchel = Satchel::start("");
    let mut imap = satchel.imap();
    let (author, subject) = ("bob@amounts.test", "Another amount");
    let gate = satchel.stranger_writes(author, subject);
    let bolt11 = satchel.invoice(&gate);
    let before = satchel.customer_msat();

    // The node itself refuses less than the invoice asks: the invoice stays good.
    assert_eq!(satchel.pay_like(&bolt11, &["--sat", "99", "--tight"]), "failed");
    satchel.wait_for_customer(before);
    lies_in(&mut imap, "Unpaid", subject, &["$Unpaid"]);
    page_shows(&satchel, &gate, &["Waiting for payment", &bolt11]);

    assert_eq!(satchel.pay_like(&bolt11, &["--sat", "150", "--tight"]), "locked");
    let gate = satchel.wait_for_state(author, "held");
    assert_eq!(gate["paid_msat"], 150_000, "{gate}");
    page_shows(&satchel, &gate, &["150 sat", "Locked."]);
    let uid = lies_in(&mut imap, "Requests", subject, &["$Paid"]);
    assert_eq!(satchel.ask(&["wallet", "balance"])["held_msat"], 150_000);
    imap.ok(&format!("UID MOVE {uid} INBOX"));
    satchel.wait_for_state(author, "settled");
    lies_in(&mut imap, "INBOX", subject, &["$Settled", "$Accepted"]);
    let balance = satchel.ask(&["wallet", "balance"]);
    assert_eq!((&balance["users_msat"], &balance["fees_msat"]), (&135_000.into(), &15_000.into()), "{balance}");
    satchel.wait_for_customer(before - 150_000);
    nothing_is_held(&satchel);

    // Declined, all of it goes back.
    let (author, subject) = ("cat@amounts.test", "Too much for nothing");
    let gate = satchel.stranger_writes(author, subject);
    assert_eq!(satchel.pay_like(&satchel.invoice(&gate), &["--sat", "199"]), "locked");
    satchel.wait_for_state(author, "held");
    satchel.ask(&["gate", "decline", &gate["id"].to_string()]);
    satchel.wait_for_customer(before - 150_000);
    lies_in(&mut imap, "Requests", subject, &["$Refunded", "$Declined"]);

    // Whoever pays the priority price on the asked price's invoice has what it buys.
    let (author, subject) = ("dan@amounts.test", "As much as priority");
    let gate = satchel.stranger_writes(author, subject);
    assert_eq!(satchel.pay_like(&satchel.invoice(&gate), &["--sat", "1000"]), "locked");
    satchel.wait_for_state(author, "held");
    lies_in(&mut imap, "INBOX", subject, &["$Paid", "$Priority"]);
    satchel.ask(&["gate", "decline", &gate["id"].to_string()]);
    satchel.wait_for_customer(before - 150_000);
    nothing_is_held(&satchel);
}

#[test]
fn a_second_payer_has_it_back_while_it_is_held_and_after_every_end() {
    let satchel = Satchel::start("[money]\nhold = \"1h\"\n");
    let mut imap = satchel.imap();
    let before = satchel.customer_msat();
    let again = |bolt11: &str| {
        // The same wallet refuses by itself.
        let output = satchel.command(&["sandbox", "pay", bolt11]).output().unwrap();
        let refused = !output.status.success();
        assert!(refused || output.stdout.windows(6).any(|part| part == b"failed"), "{output:?}");
        assert_eq!(satchel.pay_like(bolt11, &["--second-wallet", "--tight"]), "failed");
    };

    // While it is held.
    let (author, subject) = ("eve@twice.test", "Paid twice");
    let bolt11 = satchel.stranger_pays(author, subject);
    let held = satchel.gate_of(author).unwrap();
    again(&bolt11);
    assert_eq!(satchel.gate_of(author).unwrap(), held, "the first payment stands as it stood");
    assert_eq!(satchel.ask(&["wallet", "balance"])["held_msat"], PRICE);
    page_shows(&satchel, &held, &["Locked."]);
    let uid = lies_in(&mut imap, "Requests", subject, &["$Paid"]);

    // After it was accepted and settled: booked once.
    imap.ok(&format!("UID MOVE {uid} INBOX"));
    satchel.wait_for_state(author, "settled");
    again(&bolt11);
    assert_eq!(satchel.wait_for_state(author, "settled")["paid_msat"], PRICE);
    lies_in(&mut imap, "INBOX", subject, &["$Settled", "$Accepted"]);
    page_shows(&satchel, &held, &["Closed", "settled"]);
    let balance = satchel.ask(&["wallet", "balance"]);
    assert_eq!((&balance["users_msat"], &balance["fees_msat"]), (&90_000.into(), &10_000.into()), "{balance}");
    satchel.wait_for_customer(before - PRICE);

    // After it was declined.
    let (author, subject) = ("fox@twice.test", "Declined, then paid");
    let bolt11 = satchel.stranger_pays(author, subject);
    let uid = lies_in(&mut imap, "Requests", subject, &["$Paid"]);
    imap.ok(&format!("UID MOVE {uid} Junk"));
    satchel.wait_for_payment(&bolt11, "failed");
    again(&bolt11);
    let gate = satchel.wait_for_state(author, "declined");
    lies_in(&mut imap, "Junk", subject, &["$Refunded", "$Declined"]);
    page_shows(&satchel, &gate, &["Closed", "refunded in full"]);

    // After nobody answered: the old invoice is void, a new one is not.
    let (author, subject) = ("gil@twice.test", "Not answered, then paid");
    let bolt11 = satchel.stranger_pays(author, subject);
    let gate = satchel.gate_of(author).unwrap();
    let height = satchel.ask(&["sandbox", "mine", "1"])["height"].as_u64().unwrap();
    let blocks = gate["deadline_height"].as_u64().unwrap() - u64::from(policy::MARGIN_BLOCKS) - height;
    assert_eq!(satchel.ask(&["sandbox", "mine", &(blocks - 1).to_string()])["ended_holds"], serde_json::json!([]));
    assert_eq!(satchel.ask(&["sandbox", "mine", "1"])["ended_holds"], serde_json::json!([gate["id"]]));
    satchel.wait_for_payment(&bolt11, "failed");
    again(&bolt11);
    lies_in(&mut imap, "Unpaid", subject, &["$Unpaid", "$Refunded"]);
    page_shows(&satchel, &gate, &["nobody answered in time", "lnbcrt"]);
    satchel.pay(&satchel.invoice(&gate));
    satchel.wait_for_state(author, "held");
    lies_in(&mut imap, "Requests", subject, &["$Paid"]);
    satchel.ask(&["gate", "decline", &gate["id"].to_string()]);

    satchel.wait_for_customer(before - PRICE);
    nothing_is_held(&satchel);
}

/// More than a channel lets be under way at once: BOLT 4's basic multi-part payment, over two channels.
#[test]
fn a_payment_in_two_parts_is_one_mail_accepted_or_declined_as_a_whole() {
    let satchel = Satchel::start("");
    let mut imap = satchel.imap();
    let sat = 1_100_000_u64;
    satchel.ask(&["sandbox", "channel", "--capacity-sat", "10000000"]);
    satchel.ask(&["price", "alice@satchel.test", "--stranger", &sat.to_string(), "--priority", "5000000"]);
    let before = satchel.customer_msat();

    let (author, subject) = ("hal@parts.test", "In two parts");
    let bolt11 = satchel.stranger_pays(author, subject);
    let gate = satchel.gate_of(author).unwrap();
    assert_eq!((&gate["hold"], &gate["paid_msat"]), (&"htlc".into(), &(sat * 1000).into()), "{gate}");
    assert_eq!(satchel.ask(&["wallet", "balance"])["held_msat"], sat * 1000);
    page_shows(&satchel, &gate, &["1100000 sat", "Locked."]);
    let uid = lies_in(&mut imap, "Requests", subject, &["$Paid"]);
    imap.ok(&format!("UID MOVE {uid} INBOX"));
    satchel.wait_for_payment(&bolt11, "succeeded");
    satchel.wait_for_state(author, "settled");
    lies_in(&mut imap, "INBOX", subject, &["$Settled", "$Accepted"]);
    let balance = satchel.ask(&["wallet", "balance"]);
    assert_eq!(
        (&balance["users_msat"], &balance["fees_msat"]),
        (&(sat * 900).into(), &(sat * 100).into()),
        "{balance}"
    );
    satchel.wait_for_customer(before - sat * 1000);
    nothing_is_held(&satchel);

    let (author, subject) = ("ida@parts.test", "Two parts back");
    let bolt11 = satchel.stranger_pays(author, subject);
    let uid = lies_in(&mut imap, "Requests", subject, &["$Paid"]);
    imap.ok(&format!("UID MOVE {uid} Junk"));
    satchel.wait_for_payment(&bolt11, "failed");
    satchel.wait_for_state(author, "declined");
    satchel.wait_for_customer(before - sat * 1000);
    nothing_is_held(&satchel);
}
