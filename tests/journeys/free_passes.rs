//! Who is let in free without being a friend: allow-lists, and everybody while a mail is expected.

use crate::support::imap::Imap;
use crate::support::satchel::Satchel;
use crate::support::smtp::{plain, send};
use crate::support::stranger::ALICE;

fn write(satchel: &Satchel, reverse_path: &str, from: &str, fields: &str, subject: &str) {
    let mail = [fields.as_bytes(), &plain(from, ALICE, subject, "A few words.")].concat();
    send(satchel.ports.smtp, reverse_path, ALICE, &mail);
}

fn place(imap: &mut Imap, subject: &str) -> &'static str {
    ["INBOX", "Unpaid"].into_iter().find(|mailbox| !imap.find(mailbox, subject).is_empty()).unwrap_or("nowhere")
}

#[test]
fn a_domain_or_a_list_is_let_in_free_when_something_vouches_for_it() {
    let mut satchel = Satchel::start("");
    let mut imap = satchel.imap();
    satchel.ask(&["allow", "add", "bank.test", "--for", ALICE]);
    satchel.ask(&["allow", "add", "--list", "users.lists.test"]);
    satchel.ask(&["allow", "add", "--list", "news.brand.test", "--by", "mailer.test"]);

    write(&satchel, "no-reply@mail.bank.test", "no-reply@mail.bank.test", "", "Statement");
    assert_eq!(place(&mut imap, "Statement"), "INBOX");
    write(&satchel, "x@forger.test", "no-reply@bank.test", "", "Not a statement");
    assert_eq!(place(&mut imap, "Not a statement"), "Unpaid");
    // Let in, not befriended.
    assert_eq!(satchel.relation("no-reply@mail.bank.test"), None);

    let list = |id: &str| format!("List-Id: A list <{id}>\r\n");
    write(&satchel, "bounce-1@lists.test", "dave@home.test", &list("users.lists.test"), "On the list");
    assert_eq!(place(&mut imap, "On the list"), "INBOX");
    write(&satchel, "bounce-1@forger.test", "dave@home.test", &list("users.lists.test"), "Off the list");
    assert_eq!(place(&mut imap, "Off the list"), "Unpaid");
    write(&satchel, "b@mailer.test", "brand@brand.test", &list("news.brand.test"), "News");
    assert_eq!(place(&mut imap, "News"), "INBOX");

    // Kept over a restart, shown, and taken back.
    satchel.stop();
    satchel.resume();
    let mut imap = satchel.imap();
    write(&satchel, "bounce-2@lists.test", "dave@home.test", &list("users.lists.test"), "Still on the list");
    assert_eq!(place(&mut imap, "Still on the list"), "INBOX");
    let shown = satchel.ask(&["allow", "list"]);
    let names: Vec<_> = shown.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["news.brand.test", "users.lists.test"], "{shown}");
    assert_eq!(satchel.ask(&["allow", "list", "--for", ALICE])[0]["name"], "bank.test");
    satchel.ask(&["allow", "remove", "bank.test", "--for", ALICE]);
    write(&satchel, "no-reply@bank.test", "no-reply@bank.test", "", "Another statement");
    assert_eq!(place(&mut imap, "Another statement"), "Unpaid");
    let output = satchel.command(&["allow", "add", "com"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn everybody_is_free_while_a_mail_is_expected_and_no_longer() {
    let satchel = Satchel::start("");
    let mut imap = satchel.imap();
    let expecting = || satchel.ask(&["account", "list"])[0]["expecting_until"].clone();
    satchel.ask(&["price", ALICE, "--unverified", "reject"]);
    assert!(expecting().is_null());
    satchel.ask(&["account", "expect", ALICE, "--for", "4s"]);
    assert!(expecting().is_string());
    // A stranger, and one that nothing verifies: who resets a password may be either.
    write(&satchel, "a@shop.test", "a@shop.test", "", "Your parcel");
    assert_eq!(place(&mut imap, "Your parcel"), "INBOX");
    write(&satchel, "x@mailer.test", "no-reply@site.test", "", "Your new password");
    assert_eq!(place(&mut imap, "Your new password"), "INBOX");
    assert_eq!(satchel.relation("a@shop.test"), None);
    crate::support::eventually("the time is over", || expecting().is_null().then_some(()));
    write(&satchel, "a@shop.test", "a@shop.test", "", "Your next parcel");
    assert_eq!(place(&mut imap, "Your next parcel"), "Unpaid");

    // Ended early, and bounded.
    satchel.ask(&["account", "expect", ALICE]);
    satchel.ask(&["account", "expect", ALICE, "--for", "0s"]);
    assert!(expecting().is_null());
    let output = satchel.command(&["account", "expect", ALICE, "--for", "25h"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("at most 1d"), "{output:?}");
}
