//! An MX in front hands mail on by LMTP.

use crate::support::satchel::Satchel;
use crate::support::smtp::{Smtp, plain};
use crate::support::stranger::ALICE;

const BOB: &str = "bob@satchel.test";

/// One transaction over LMTP; the reply of each recipient.
fn deliver(lmtp: &mut Smtp, from: &str, to: &[&str], mail: &[u8]) -> Vec<String> {
    lmtp.expect("250", &format!("MAIL FROM:<{from}>"));
    for to in to {
        lmtp.expect("250", &format!("RCPT TO:<{to}>"));
    }
    lmtp.expect("354", "DATA");
    lmtp.write(&[mail, b".\r\n"].concat());
    to.iter().map(|_| lmtp.reply()).collect()
}

#[test]
fn each_recipient_is_judged_alone() {
    let satchel = Satchel::start("lmtp = 0\n");
    satchel.ask_with_input(&["account", "add", BOB, "--password-stdin"], "a long password\n");
    satchel.ask(&["filter", "add", BOB, "loud", "--from", "loud@noise.test", "--refuse"]);
    let mut lmtp = Smtp::greeted(satchel.ports.lmtp);
    lmtp.expect("250", "LHLO mx.front.test");

    // At the MX one of the two would have to come alone.
    let mail = plain("loud@noise.test", ALICE, "Loud", "!");
    lmtp.expect("250", "XFORWARD ADDR=127.0.0.1 HELO=mail.noise.test");
    let replies = deliver(&mut lmtp, "loud@noise.test", &[ALICE, BOB, ALICE], &mail);
    assert!(replies[0].starts_with("250 2.0.0 ") && replies[2] == replies[0], "{replies:?}");
    assert!(replies[1].starts_with("550 5.7.1 ") && replies[1].contains("has chosen"), "{replies:?}");
    let mut imap = satchel.imap();
    let uids = imap.find("Unpaid", "Loud");
    assert_eq!(uids.len(), 1, "one account has it once");
    let fetched = imap.ok(&format!("UID FETCH {} (BODY.PEEK[])", uids[0]));
    let text = String::from_utf8_lossy(&fetched[0].literals[0]).into_owned();
    assert!(text.contains("with LMTP id ") && text.contains("spf=pass"), "{text}");

    // Who brought it to the MX in front is known only where that says so.
    satchel.ask(&["contact", "friend", ALICE, "carol@shop.test"]);
    for (forwarded, subject, mailbox) in [
        ("", "Nobody said", "Unpaid"),
        ("XFORWARD ADDR=192.0.2.7 HELO=mail.shop.test", "From elsewhere", "Unpaid"),
        ("XFORWARD ADDR=127.0.0.1 HELO=mail.shop.test", "From the shop", "INBOX"),
    ] {
        if !forwarded.is_empty() {
            lmtp.expect("250", forwarded);
        }
        let mail = plain("carol@shop.test", ALICE, subject, "A few words.");
        let replies = deliver(&mut lmtp, "carol@shop.test", &[ALICE], &mail);
        assert!(replies[0].starts_with("250"), "{replies:?}");
        assert_eq!(imap.find(mailbox, subject).len(), 1, "{subject}");
    }
    lmtp.expect("250", "MAIL FROM:<carol@shop.test>");
    lmtp.expect("550", "RCPT TO:<nobody@satchel.test>");
}

#[test]
fn lmtp_is_off_unless_it_is_configured() {
    let satchel = Satchel::start("");
    assert_eq!(satchel.ports.lmtp, 0);
}
