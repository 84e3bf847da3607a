//! What a user is owed: the statement, a payout of it, and what the books refuse.

use serde_json::Value;

use crate::support::satchel::Satchel;
use crate::support::stranger::ALICE;

/// A stranger's default price, and the bridge's tenth of it.
const PRICE_SAT: u64 = 100;
const FEE_MSAT: u64 = PRICE_SAT * 100;

#[test]
fn a_user_draws_what_was_paid_for_their_mail_and_no_more() {
    let satchel = Satchel::start("");
    // Enough for an invoice and the fees it may cost on the way.
    satchel.ask(&["price", ALICE, "--stranger", "1000"]);
    let bolt11 = satchel.stranger_pays("bob@shop.test", "A thousand");
    let gate = satchel.gate_of("bob@shop.test").unwrap();
    satchel.ask(&["gate", "accept", &gate["id"].to_string()]);
    satchel.wait_for_payment(&bolt11, "succeeded");
    satchel.wait_for_state("bob@shop.test", "settled");
    let owed = 1000 * 1000 - 10 * FEE_MSAT;
    assert_eq!(satchel.ask(&["wallet", "balance"])["users_msat"], owed);

    // More than there is, with what the way may cost: refused, and nothing was begun.
    let invoice =
        |sat: u64| satchel.ask(&["sandbox", "invoice", &sat.to_string()])["bolt11"].as_str().unwrap().to_owned();
    let refused = satchel.command(&["wallet", "payout", ALICE, &invoice(900)]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("900 sat are owed to this account") && text.contains("959 sat"), "{text}");

    let before = satchel.customer_msat();
    let paid = satchel.ask(&["wallet", "payout", ALICE, &invoice(800)]);
    assert_eq!(paid["state"], "succeeded", "{paid}");
    satchel.wait_for_customer(before + 800_000);
    let fee = paid["fee_msat"].as_u64().unwrap();
    let left = owed - 800_000 - fee;
    assert_eq!(satchel.ask(&["wallet", "balance"])["users_msat"], left);
    satchel.assert_audit();

    // Every line of it, and what each left.
    let rows = satchel.ask(&["wallet", "statement", ALICE]);
    let amounts: Vec<(&Value, &Value)> =
        rows.as_array().unwrap().iter().map(|row| (&row["change_msat"], &row["balance_msat"])).collect();
    let drawn = -(800_000 + fee as i64);
    assert_eq!(amounts, [(&owed.into(), &owed.into()), (&drawn.into(), &left.into())]);
    let csv = satchel.plain_command(&["wallet", "statement", "--csv"]).output().unwrap();
    let csv = String::from_utf8(csv.stdout).unwrap();
    assert!(csv.starts_with("at,account,change_msat,balance_msat,gate,posting\r\n"), "{csv}");
    assert!(csv.contains(&format!(",{ALICE},{owed},{owed},")) && csv.contains(",fees,"), "{csv}");
}
