//! Another bridge asks a price for a mail of ours: paid up to a limit, told in any case.

use crate::support::eventually;
use crate::support::satchel::Satchel;
use crate::support::smtp::{Smtp, plain};
use crate::support::stranger::ALICE;

/// What a bridge at books.test answers to the mail of this subject.
fn request(satchel: &Satchel, answers: &str, subject: &str, sat: u64) -> String {
    let invoice = satchel.ask(&["sandbox", "invoice", &sat.to_string()])["bolt11"].as_str().unwrap().to_owned();
    let message = format!(
        "From: <postmaster@books.test>\r\nTo: <{ALICE}>\r\nSubject: {subject}\r\nIn-Reply-To: <{}@satchel.test>\r\n\
         Auto-Submitted: auto-replied\r\nLNMP-Payment: {invoice}\r\nMessage-ID: <{}@books.test>\r\n\r\nPlease pay.\r\n",
        answers.replace(' ', "."),
        subject.replace(' ', "."),
    );
    let mut session = Smtp::greeted(satchel.ports.smtp);
    session.expect("250", "EHLO books.test");
    let reply = session.mail("", ALICE, message.as_bytes());
    assert!(reply.starts_with("250"), "{reply}");
    invoice
}

/// The text of the mail with this subject, from the folder it lies in.
fn text_in(satchel: &Satchel, folder: &str, subject: &str) -> String {
    let mut imap = satchel.imap();
    eventually(&format!("{subject:?} is in {folder}"), || {
        let uid = *imap.find(folder, subject).first()?;
        Some(String::from_utf8_lossy(&imap.body(uid)).into_owned())
    })
}

#[test]
fn a_price_up_to_the_limit_is_paid_once_and_a_higher_one_is_told() {
    let satchel = Satchel::start("");
    satchel.ask(&["price", ALICE, "--stranger", "1000", "--max-auto-pay", "300"]);
    // Something to pay from.
    let bolt11 = satchel.stranger_pays("bob@shop.test", "A thousand");
    let gate = satchel.gate_of("bob@shop.test").unwrap();
    satchel.ask(&["gate", "accept", &gate["id"].to_string()]);
    satchel.wait_for_payment(&bolt11, "succeeded");
    satchel.wait_for_state("bob@shop.test", "settled");

    let (user, password) = satchel.first_login();
    let submit = |to: &str, subject: &str| {
        let mail = plain(ALICE, to, subject, "A question.");
        let reply = Smtp::login(satchel.ports.submission, &user, &password).mail(ALICE, to, &mail);
        assert!(reply.starts_with("250"), "{reply}");
    };
    submit("dave@books.test", "First letter");
    submit("dave@books.test", "Second letter");

    // Within the limit: paid from what she is owed.
    let before = satchel.customer_msat();
    request(&satchel, "First letter", "A price of two hundred", 200);
    let text = text_in(&satchel, "INBOX", "A price of two hundred");
    assert!(text.starts_with("LNMP-Outbound-Price: 200 sat; within the limit of 300 sat"), "{text}");
    satchel.wait_for_customer(before + 200_000);
    eventually("it is booked", || (satchel.ask(&["wallet", "balance"])["users_msat"] == 700_000).then_some(()));

    // The same mail again, another one above the limit, and a mail she never sent: told, told, and a stranger's.
    request(&satchel, "First letter", "Again a price", 100);
    text_in(&satchel, "INBOX", "Again a price");
    request(&satchel, "Second letter", "A price of four hundred", 400);
    let text = text_in(&satchel, "INBOX", "A price of four hundred");
    assert!(text.contains("400 sat; above the limit of 300 sat, not paid.") && text.contains(ALICE), "{text}");
    request(&satchel, "Letter to nobody", "A price for nothing", 10);
    text_in(&satchel, "Unpaid", "A price for nothing");
    // Its payer can be anybody's invoice: nothing more has left.
    assert_eq!(satchel.customer_msat(), before + 200_000);
    assert_eq!(satchel.ask(&["wallet", "balance"])["users_msat"], 700_000);
    satchel.assert_audit();
}
