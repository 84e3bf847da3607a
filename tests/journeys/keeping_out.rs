//! Greylisting and block lists, for whom nobody here wants for certain.

use std::time::Duration;

use crate::support::eventually;
use crate::support::satchel::Satchel;
use crate::support::smtp::{Smtp, plain};
use crate::support::stranger::ALICE;

/// The reply to one mail, or to the RCPT that was refused.
fn attempt(satchel: &Satchel, reverse_path: &str, from: &str, to: &str, subject: &str) -> String {
    let mut session = Smtp::connect(satchel.ports.smtp);
    session.expect("250", &format!("MAIL FROM:<{reverse_path}>"));
    let reply = session.command(&format!("RCPT TO:<{to}>"));
    if !reply.starts_with("250") {
        return format!("RCPT {reply}");
    }
    session.expect("354", "DATA");
    session.write(&[&plain(from, to, subject, "A few words.")[..], b".\r\n"].concat());
    session.reply()
}

fn from(satchel: &Satchel, author: &str) -> String {
    attempt(satchel, author, author, ALICE, "A few words")
}

#[test]
fn who_is_not_known_comes_again() {
    let greylist = "[smtp]\ngreylist = true\ngreylist_delay = \"3s\"\ntrusted = []\n";
    let mut satchel = Satchel::start(greylist);
    let first = from(&satchel, "carol@new.test");
    assert!(first.starts_with("451 4.7.1 ") && first.contains("come again"), "{first}");

    // Whom alice knows, lets in free, or cannot but hear is not put off; nor is who logs in.
    satchel.ask(&["contact", "friend", ALICE, "bob@friends.test"]);
    assert!(from(&satchel, "bob@friends.test").starts_with("250"));
    satchel.ask(&["allow", "add", "bank.test"]);
    assert!(from(&satchel, "no-reply@bank.test").starts_with("250"));
    let heard = attempt(&satchel, "dan@other.test", "dan@other.test", "postmaster@satchel.test", "Help");
    assert!(heard.starts_with("250"), "{heard}");
    let (user, password) = satchel.first_login();
    let mail = plain(ALICE, ALICE, "To myself", "A note.");
    let own = Smtp::login(satchel.ports.submission, &user, &password).mail(ALICE, ALICE, &mail);
    assert!(own.starts_with("250"), "{own}");
    // Their names alone open nothing.
    let forged = attempt(&satchel, "x@forger.test", "bob@friends.test", ALICE, "Not bob");
    assert!(forged.starts_with("451 4.7.1 "), "{forged}");

    eventually("the second try counts", || from(&satchel, "carol@new.test").starts_with("250").then_some(()));
    assert!(from(&satchel, "erin@new.test").starts_with("250"), "the network is proven");
    satchel.stop();
    satchel.resume();
    assert!(from(&satchel, "frank@new.test").starts_with("250"), "and it stays so");
}

#[test]
fn a_block_list_is_heard_and_allow_lists_win() {
    // In the sandbox's zone every name below .test is an entry, and no other name is there.
    let mut satchel = Satchel::start("[smtp]\ndnsbl = [\"none.example\", \"bad.test\"]\ntrusted = []\n");
    let refused = from(&satchel, "carol@new.test");
    assert!(refused.starts_with("RCPT 550 5.7.1 127.0.0.1 is listed by bad.test"), "{refused}");
    let heard = attempt(&satchel, "dan@other.test", "dan@other.test", "postmaster@satchel.test", "Listed");
    assert!(heard.starts_with("250"), "{heard}");
    satchel.ask(&["allow", "add", "bank.test"]);
    assert!(from(&satchel, "no-reply@bank.test").starts_with("250"));
    // Whose mail the allow-list does not speak for after all, is refused when that is seen.
    let forged = attempt(&satchel, "no-reply@bank.test", "carol@new.test", ALICE, "Not the bank");
    assert!(forged.starts_with("550 5.7.1 ") && forged.contains("bad.test"), "{forged}");

    satchel.stop();
    satchel.configure("[smtp]\ndnsbl = [\"none.example\"]\ntrusted = []\n");
    satchel.resume();
    assert!(from(&satchel, "carol@new.test").starts_with("250"), "not listed");
    satchel.stop();
    // A resolver that does not answer: mail comes in, a little later.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let resolver = silent.local_addr().unwrap();
    satchel.configure(&format!("[smtp]\ndnsbl = [\"bad.test\"]\ntrusted = []\n[dns]\nresolver = \"{resolver}\"\n"));
    satchel.resume();
    let begun = std::time::Instant::now();
    let mut session = Smtp::connect(satchel.ports.smtp);
    session.envelope("carol@new.test", ALICE);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
