//! Refused at DATA, paid on a page, sent again.

use std::time::Duration;

use serde_json::Value;

use crate::escrow::http;
use crate::support::eventually;
use crate::support::satchel::Satchel;
use crate::support::smtp::{Smtp, plain};
use crate::support::stranger::ALICE;

/// A mail of `author`, brought by a server that speaks for `reverse_path`; the reply to DATA.
fn send(satchel: &Satchel, reverse_path: &str, author: &str, subject: &str) -> String {
    Smtp::connect(satchel.ports.smtp).mail(reverse_path, ALICE, &plain(author, ALICE, subject, "One question."))
}

/// The page that a refusal names.
fn page_of(refusal: &str) -> Option<String> {
    assert!(refusal.starts_with("550 5.7.1"), "{refusal}");
    let at = refusal.find("/pay/")?;
    let path: String = refusal[at..].chars().take_while(|c| !c.is_whitespace()).collect();
    assert_eq!(path.len(), "/pay/".len() + 32, "{refusal}");
    Some(path)
}

/// Opens a voucher's page and pays there; the gate.
fn pay(satchel: &Satchel, page: &str, author: &str) -> Value {
    let (status, shown) = http(satchel, "GET", page, "");
    assert!(status == 200 && shown.contains("Pay first") && shown.contains("lnbcrt"), "{shown}");
    let gate = satchel.wait_for_state(author, "waiting");
    let (status, answer) = http(satchel, "POST", &format!("{page}/sandbox"), &format!("gate={}", gate["id"]));
    assert_eq!(status, 303, "{answer}");
    satchel.wait_for_state(author, "held")
}

#[test]
fn a_refused_author_pays_sends_again_and_the_mail_is_held_like_any_other() {
    let satchel = Satchel::start("");
    let mut imap = satchel.imap();
    satchel.ask(&["price", ALICE, "--unpaid", "reject"]);
    let author = "bob@shop.test";

    let page = page_of(&send(&satchel, author, author, "Refused")).expect("a page to pay on");
    assert!(imap.find("Unpaid", "Refused").is_empty());
    // Sent again without paying: the same page.
    assert_eq!(page_of(&send(&satchel, author, author, "Refused again")).unwrap(), page);
    // Nobody else is told it: not whom nothing verifies, not a program, and another author has another one.
    assert_eq!(page_of(&send(&satchel, "x@elsewhere.test", author, "Forged")), None);
    assert_eq!(page_of(&send(&satchel, "", author, "From a program")), None);
    assert_ne!(page_of(&send(&satchel, "eve@shop.test", "eve@shop.test", "From eve")).unwrap(), page);

    let before = satchel.customer_msat();
    let gate = pay(&satchel, &page, author);
    assert_eq!((&gate["voucher"], &gate["paid_msat"]), (&"open".into(), &100_000.into()), "{gate}");
    let (_, shown) = http(&satchel, "GET", &page, "");
    assert!(shown.contains("Now send your mail again") && !shown.contains("lnbcrt"), "{shown}");
    // It lets nobody else's mail in, and there is nothing to accept.
    assert_eq!(page_of(&send(&satchel, "x@elsewhere.test", author, "Forged again")), None);
    page_of(&send(&satchel, "eve@shop.test", "eve@shop.test", "From eve again")).unwrap();
    let refused = satchel.command(&["gate", "accept", &gate["id"].to_string()]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("has not come"), "{refused:?}");

    let reply = send(&satchel, author, author, "Paid before");
    assert!(reply.starts_with("250"), "{reply}");
    let uid = imap.find("Requests", "Paid before")[0];
    assert!(imap.flags(uid).contains("$Paid"));
    let text = imap.body(uid);
    assert!(String::from_utf8_lossy(&text).contains("LNMP-Gate: voucher\r\n"));
    assert_eq!(satchel.gate_of(author).unwrap()["voucher"], "used");
    let (_, shown) = http(&satchel, "GET", &page, "");
    assert!(shown.contains("Your mail now stands before"), "{shown}");
    // One mail: the next is refused again.
    assert_eq!(page_of(&send(&satchel, author, author, "One more")).unwrap(), page);

    imap.ok(&format!("UID MOVE {uid} INBOX"));
    eventually("it is settled", || {
        (satchel.gates().iter().find(|one| one["id"] == gate["id"])?["state"] == "settled").then_some(())
    });
    assert_eq!(satchel.customer_msat(), before - 100_000);
    satchel.assert_audit();
    // An acquaintance now, who pays less; declined, it goes back in full.
    let page = page_of(&send(&satchel, author, author, "Known, and still refused")).unwrap();
    let before = satchel.customer_msat();
    let gate = pay(&satchel, &page, author);
    assert_eq!(gate["paid_msat"], 10_000, "{gate}");
    assert!(send(&satchel, author, author, "To be declined").starts_with("250"));
    let uid = imap.find("Requests", "To be declined")[0];
    imap.ok(&format!("UID MOVE {uid} Junk"));
    satchel.wait_for_customer(before);
    satchel.assert_audit();
}

#[test]
fn a_voucher_without_its_mail_and_a_mail_without_an_answer_are_paid_back() {
    let satchel = Satchel::start("[money]\nvoucher = \"4s\"\nhold = \"3s\"\n");
    satchel.ask(&["price", ALICE, "--unpaid", "reject"]);
    let author = "carol@books.test";
    let before = satchel.customer_msat();
    let page = page_of(&send(&satchel, author, author, "Never again")).unwrap();
    pay(&satchel, &page, author);
    satchel.wait_for_state(author, "waived");
    satchel.wait_for_customer(before);
    let (_, shown) = http(&satchel, "GET", &page, "");
    assert!(shown.contains("No mail came in time") && !shown.contains("alice"), "{shown}");

    // The same page leads to the next one; answered by nobody, its mail ends in Unpaid, readable.
    let author = "dave@news.test";
    let page = page_of(&send(&satchel, author, author, "Refused")).unwrap();
    pay(&satchel, &page, author);
    assert!(send(&satchel, author, author, "No answer").starts_with("250"));
    satchel.wait_for_customer(before);
    let mut imap = satchel.imap();
    let uid = eventually("it is in Unpaid", || imap.find("Unpaid", "No answer").first().copied());
    assert!(imap.flags(uid).contains("$Refunded"));
    satchel.assert_audit();
}

#[test]
fn of_mails_sent_at_once_one_is_let_in_and_a_kill_changes_nothing() {
    let mut satchel = Satchel::start("");
    satchel.ask(&["price", ALICE, "--unpaid", "reject"]);
    satchel.ask(&["alias", "add", "info@satchel.test", "--for", ALICE]);
    let author = "fay@urgent.test";
    let page = page_of(&send(&satchel, author, author, "Refused")).unwrap();
    let gate = pay(&satchel, &page, author);
    satchel.kill();
    satchel.resume();
    assert_eq!(satchel.gate_of(author).unwrap()["state"], "held");

    // To two of her addresses, four times each, and a kill as the first is taken.
    let (port, (taken, first)) = (satchel.ports.smtp, std::sync::mpsc::channel());
    let senders: Vec<_> = (0..8)
        .map(|n| {
            let taken = taken.clone();
            std::thread::spawn(move || {
                let to = if n % 2 == 0 { ALICE } else { "info@satchel.test" };
                let mail = plain("fay@urgent.test", to, "At once", "One question.");
                let reply = std::panic::catch_unwind(|| Smtp::connect(port).mail("fay@urgent.test", to, &mail));
                if reply.is_ok_and(|reply| reply.starts_with("250")) {
                    let _ = taken.send(());
                }
            })
        })
        .collect();
    drop(taken);
    let let_in = first.recv_timeout(Duration::from_secs(60)).is_ok();
    satchel.kill();
    for sender in senders {
        let _ = sender.join();
    }
    assert!(let_in);
    satchel.resume();
    let mut imap = satchel.imap();
    assert_eq!(imap.find("Requests", "At once").len(), 1);
    assert!(imap.find("Unpaid", "At once").is_empty() && imap.find("INBOX", "At once").is_empty());
    // Those that came too late may have been offered vouchers of their own.
    let the_gate = || {
        let gates = satchel.ask(&["gate", "list"]);
        gates.as_array().unwrap().iter().find(|one| one["id"] == gate["id"]).unwrap().clone()
    };
    let now = the_gate();
    assert_eq!((&now["state"], &now["voucher"]), (&"held".into(), &"used".into()), "{now}");
    satchel.ask(&["gate", "accept", &gate["id"].to_string()]);
    eventually("the payment is settled", || (the_gate()["state"] == "settled").then_some(()));
    satchel.assert_audit();
}

#[test]
fn a_voucher_in_escrow_is_booked_with_its_mail_and_paid_back_without_it() {
    // More than the channels may reserve in value: escrow.
    let satchel = Satchel::start("[money]\nvoucher = \"5s\"\n");
    satchel.ask(&["price", ALICE, "--stranger", "700000", "--priority", "900000", "--unpaid", "reject"]);
    let before = satchel.customer_msat();
    for (author, sends) in [("bob@shop.test", true), ("carol@books.test", false)] {
        let page = page_of(&send(&satchel, author, author, "Refused")).unwrap();
        let (_, shown) = http(&satchel, "GET", &page, "");
        assert!(shown.contains("<b>Escrow.</b>") && !shown.contains("lnbcrt"), "{shown}");
        let gate = satchel.wait_for_state(author, "waiting");
        let form = format!("gate={}&to=sandbox", gate["id"]);
        assert_eq!(http(&satchel, "POST", &format!("{page}/refund"), &form).0, 303);
        http(&satchel, "GET", &page, "");
        let form = format!("gate={}", gate["id"]);
        assert_eq!(http(&satchel, "POST", &format!("{page}/sandbox"), &form).0, 303);
        let gate = satchel.wait_for_state(author, "held");
        assert_eq!((&gate["hold"], &gate["voucher"]), (&"escrow".into(), &"open".into()), "{gate}");
        assert_eq!(satchel.ask(&["wallet", "balance"])["escrow_msat"], 700_000_000_u64);
        if sends {
            let reply = send(&satchel, author, author, "Paid in escrow");
            assert!(reply.starts_with("250"), "{reply}");
            satchel.ask(&["gate", "accept", &gate["id"].to_string()]);
            satchel.wait_for_state(author, "settled");
            assert_eq!(satchel.ask(&["wallet", "balance"])["users_msat"], 630_000_000_u64);
        } else {
            satchel.wait_for_state(author, "waived");
            satchel.wait_for_customer(before - 700_000_000);
            let shown = eventually("the page says that it is back", || {
                let (_, shown) = http(&satchel, "GET", &page, "");
                shown.contains("No mail came in time").then_some(shown)
            });
            assert!(!shown.contains("alice"), "{shown}");
        }
        satchel.assert_audit();
    }
    assert_eq!(satchel.ask(&["wallet", "balance"])["escrow_msat"], 0);
}

#[test]
fn who_refuses_unpaid_mail_comes_alone_and_over_lmtp_has_a_page_each() {
    let satchel = Satchel::start("lmtp = 0\n");
    let (erin, author) = ("erin@satchel.test", "gus@many.test");
    satchel.ask_with_input(&["account", "add", erin, "--password-stdin"], "a long enough passphrase\n");
    for account in [ALICE, erin] {
        satchel.ask(&["price", account, "--unpaid", "reject"]);
    }
    let mut session = Smtp::connect(satchel.ports.smtp);
    session.expect("250", &format!("MAIL FROM:<{author}>"));
    session.expect("250", &format!("RCPT TO:<{ALICE}>"));
    session.expect("452 4.5.3", &format!("RCPT TO:<{erin}>"));

    let mut lmtp = Smtp::greeted(satchel.ports.lmtp);
    lmtp.expect("250", "LHLO mx.front.test");
    lmtp.expect("250", "XFORWARD ADDR=127.0.0.1 HELO=mail.many.test");
    lmtp.expect("250", &format!("MAIL FROM:<{author}>"));
    for to in [ALICE, erin] {
        lmtp.expect("250", &format!("RCPT TO:<{to}>"));
    }
    lmtp.expect("354", "DATA");
    lmtp.write(&[&plain(author, ALICE, "To two", "One question.")[..], b".\r\n"].concat());
    let pages = [(); 2].map(|()| page_of(&lmtp.reply()).expect("a page"));
    assert_ne!(pages[0], pages[1]);
    for (page, recipient) in pages.iter().zip([ALICE, erin]) {
        let (_, shown) = http(&satchel, "GET", page, "");
        assert!(shown.contains(recipient), "{shown}");
    }
}

#[test]
fn a_death_before_or_after_the_commit_of_its_mail_leaves_a_voucher_whole_or_used() {
    let mut satchel = Satchel::prepared("");
    let point = satchel.die_at();
    satchel.resume();
    satchel.ask(&["price", ALICE, "--unpaid", "reject"]);
    for (n, name) in ["voucher.begin", "voucher.committed"].into_iter().enumerate() {
        let author = format!("ida{n}@mortal.test");
        let page = page_of(&send(&satchel, &author, &author, "Refused")).unwrap();
        let gate = pay(&satchel, &page, &author);
        std::fs::write(&point, name).unwrap();
        // The connection ends without an answer: the sender's server will try again.
        let subject = format!("To {name}");
        assert_eq!(send(&satchel, &author, &author, &subject), "");
        satchel.rise(&point);
        let committed = name == "voucher.committed";
        let is = satchel.gate_of(&author).unwrap();
        assert_eq!((&is["state"], &is["voucher"]), (&"held".into(), &(if committed { "used" } else { "open" }).into()));
        let reply = send(&satchel, &author, &author, &subject);
        assert_eq!(reply.starts_with("250"), !committed, "{name}: {reply}");
        assert_eq!(satchel.imap().find("Requests", &subject).len(), 1, "{name}");
        satchel.ask(&["gate", "accept", &gate["id"].to_string()]);
        eventually("it is settled", || {
            (satchel.gates().iter().find(|one| one["id"] == gate["id"])?["state"] == "settled").then_some(())
        });
    }
    satchel.assert_audit();
}
