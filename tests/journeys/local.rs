//! Addresses and users of this bridge: who may write to whom, as what, and for how much.

use crate::support::eventually;
use crate::support::imap::Imap;
use crate::support::satchel::Satchel;
use crate::support::smtp::{Smtp, plain, send};
use crate::support::stranger::ALICE;

/// The reply to RCPT from a stranger.
fn rcpt(satchel: &Satchel, to: &str) -> String {
    let mut session = Smtp::connect(satchel.ports.smtp);
    session.expect("250", "MAIL FROM:<someone@shop.test>");
    session.command(&format!("RCPT TO:<{to}>"))
}

#[test]
fn two_accounts_of_one_bridge_write_to_each_other() {
    let satchel = Satchel::start("");
    let erin = "erin@satchel.test";
    let added = satchel.ask_with_input(&["account", "add", erin, "--password-stdin"], "a long enough passphrase\n");
    assert_eq!(added["recovery_phrase"].as_str().unwrap().split(' ').count(), 12, "a recovery phrase is shown once");
    let submit = |from: &str, user: &str, password: &str, to: &str, message: &[u8]| {
        let reply = Smtp::login(satchel.ports.submission, user, password).mail(from, to, message);
        assert!(reply.starts_with("250"), "{reply}");
    };
    let made =
        satchel.ask_with_input(&["account", "app-password", erin, "--label", "test"], "a long enough passphrase\n");
    let app_password = made["app_password"].as_str().unwrap();

    // A stranger to alice even here: priced, and erin is asked in her own INBOX.
    submit(erin, erin, app_password, ALICE, &plain(erin, ALICE, "From next door", "Hello."));
    let gate = satchel.wait_for_state(erin, "waiting");
    assert_eq!(gate["relation"], "stranger", "{gate}");
    let mut alice = satchel.imap();
    let uid = alice.find("Unpaid", "From next door")[0];
    let mut hers = Imap::login(satchel.ports.imap, erin, "\"a long enough passphrase\"");
    eventually("erin is asked to pay", || {
        hers.ok("SELECT INBOX");
        let bodies = hers.ok("UID FETCH 1:* (BODY.PEEK[])");
        let asked = |octets: &[u8]| String::from_utf8_lossy(octets).replace("=\r\n", "").contains("lnbcrt");
        bodies.iter().flat_map(|response| &response.literals).any(|octets| asked(octets)).then_some(())
    });

    // Alice answers: erin wrote to her, so alice is erin's friend already, and her answer lets erin in.
    let (user, password) = satchel.first_login();
    let answer = String::from_utf8(plain(ALICE, erin, "Re: From next door", "Good to hear.")).unwrap();
    let answer = answer.replacen("\r\n\r\n", "\r\nIn-Reply-To: <From.next.door@satchel.test>\r\n\r\n", 1);
    submit(ALICE, &user, &password, erin, answer.as_bytes());
    assert_eq!(hers.find("INBOX", "Re: From next door").len(), 1);
    assert_eq!(satchel.gate_of(erin).unwrap()["state"], "waived");
    alice.ok("SELECT Unpaid");
    assert!(!alice.flags(uid).contains("$Paid"));
    submit(erin, erin, app_password, ALICE, &plain(erin, ALICE, "And again", "As friends."));
    assert_eq!(alice.find("INBOX", "And again").len(), 1);

    // Nobody writes as somebody else, and nobody submits without logging in.
    let reply = Smtp::login(satchel.ports.submission, erin, app_password).mail(
        erin,
        ALICE,
        &plain(ALICE, ALICE, "As you", "x"),
    );
    assert!(reply.starts_with("550 5.7.1"), "{reply}");
    let reply = Smtp::connect(satchel.ports.submission).command(&format!("MAIL FROM:<{erin}>"));
    assert!(reply.starts_with("530 5.7.0"), "{reply}");
}

#[test]
fn temporary_addresses_are_free_until_used_up() {
    let satchel = Satchel::start("");
    let shop = "orders-7@satchel.test";
    satchel.ask(&["alias", "add", shop, "--for", ALICE, "--max-uses", "2"]);
    let mut imap = satchel.imap();
    for subject in ["First order", "Second order"] {
        send(satchel.ports.smtp, "robot@mall.test", shop, &plain("robot@mall.test", shop, subject, "On its way."));
        assert_eq!(imap.find("INBOX", subject).len(), 1, "{subject} is free");
    }
    let reply = rcpt(&satchel, shop);
    assert!(reply.starts_with("550 5.1.6"), "{reply}");

    // One that ends by the clock; and a lasting alias is priced like the account itself.
    satchel.ask(&["alias", "add", "soon@satchel.test", "--for", ALICE, "--expires", "1s"]);
    let reply =
        eventually("the alias expires", || Some(rcpt(&satchel, "soon@satchel.test")).filter(|r| r.starts_with('5')));
    assert!(reply.starts_with("550 5.1.6"), "{reply}");
    satchel.ask(&["alias", "add", "info@satchel.test", "--for", ALICE]);
    send(
        satchel.ports.smtp,
        "x@mall.test",
        "info@satchel.test",
        &plain("x@mall.test", "info@satchel.test", "Priced", "x"),
    );
    assert_eq!(imap.find("Unpaid", "Priced").len(), 1);
    assert!(satchel.gates().iter().all(|gate| gate["author"] != "robot@mall.test"), "free mail has no gate");
}

#[test]
fn postmaster_is_always_free_and_lnmp_addresses_are_checked() {
    let satchel = Satchel::start("");
    let mut imap = satchel.imap();
    for (to, subject) in [
        ("postmaster@satchel.test", "To the postmaster"),
        ("abuse@satchel.test", "To abuse"),
        ("Postmaster", "To the bare word"),
    ] {
        let header_to = if to.contains('@') { to } else { "postmaster@satchel.test" };
        send(satchel.ports.smtp, "x@mall.test", to, &plain("x@mall.test", header_to, subject, "Help."));
        assert_eq!(imap.find("INBOX", subject).len(), 1, "{subject}");
    }

    // alice#checksum@ and alice+checksum@ are the same mailbox; a wrong checksum is refused in words.
    let accounts = satchel.ask(&["account", "list"]);
    let key = hex::decode(accounts[0]["identity"].as_str().unwrap()).unwrap().try_into().unwrap();
    let key = lnmp::PublicKey::from_bytes(key).unwrap();
    let right = lnmp::Address::parse(ALICE).unwrap().canonical(&key).to_string();
    assert!(right.starts_with("alice#"), "{right}");
    let sum = right.strip_prefix("alice#").unwrap().split('@').next().unwrap();
    assert!(rcpt(&satchel, &right).starts_with("250"));
    assert!(rcpt(&satchel, &right.to_uppercase()).starts_with("250"));
    assert!(rcpt(&satchel, &format!("alice+{sum}@satchel.test")).starts_with("250"));
    let wrong = if sum.eq_ignore_ascii_case("zzzzzz") { "zzzzzy" } else { "zzzzzz" };
    let reply = rcpt(&satchel, &format!("alice#{wrong}@satchel.test"));
    assert!(reply.starts_with("550 5.1.1") && reply.contains("checksum") && reply.contains(wrong), "{reply}");
    let reply = rcpt(&satchel, "alice#xyz@satchel.test");
    assert!(reply.starts_with("550 5.1."), "{reply}");
}
