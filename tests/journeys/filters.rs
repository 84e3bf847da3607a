//! Filters from outside: added by command, met by mail, seen in IMAP folders, replies and prices.

use std::io::Write;

use crate::support::imap::Imap;
use crate::support::satchel::Satchel;
use crate::support::smtp::{Smtp, plain, send};
use crate::support::stranger::ALICE;

fn write_to(satchel: &Satchel, reverse_path: &str, from: &str, to: &str, subject: &str) {
    send(satchel.ports.smtp, reverse_path, to, &plain(from, to, subject, "A few words."));
}

fn write(satchel: &Satchel, from: &str, subject: &str) {
    write_to(satchel, from, from, ALICE, subject);
}

fn lies_in(imap: &mut Imap, mailbox: &str, subject: &str) -> bool {
    !imap.find(mailbox, subject).is_empty()
}

#[test]
fn filters_file_mark_price_let_in_and_refuse() {
    let satchel = Satchel::start("");
    let mut imap = satchel.imap();
    imap.ok("CREATE Shops");
    let add = |name: &str, rest: &[&str]| satchel.ask(&[&["filter", "add", ALICE, name][..], rest].concat());
    add("orders", &["--domain", "shop.test", "--free", "--file", "Shops", "--flag", "--keyword", "$Order"]);
    add("dear", &["--domain", "dear.test", "--price", "5000"]);
    add("loud", &["--from", "loud@noise.test", "--refuse"]);
    add("code", &["--to", "+bank", "--free"]);
    add("lists", &["--header", "List-Id:rust", "--file", "Junk"]);

    // Free, filed and marked: also from below the domain. The same name without anything that vouches for it: neither.
    write(&satchel, "bob@mail.shop.test", "Order one");
    let uid = imap.find("Shops", "Order one")[0];
    let flags = imap.ok(&format!("UID FETCH {uid} (FLAGS)"));
    let text = flags.iter().map(|response| response.text.as_str()).collect::<String>();
    assert!(text.contains("\\Flagged") && text.contains("$Order"), "{text}");
    write_to(&satchel, "x@forger.test", "bob@shop.test", ALICE, "Order two");
    assert!(lies_in(&mut imap, "Unpaid", "Order two"));

    // A price of its own.
    write(&satchel, "eve@dear.test", "Dear");
    assert_eq!(satchel.wait_for_state("eve@dear.test", "waiting")["price_msat"], 5_000_000);

    // Refused at DATA, with a reason and without a trace.
    let mail = plain("loud@noise.test", ALICE, "Loud", "!");
    let reply = Smtp::connect(satchel.ports.smtp).mail("loud@noise.test", ALICE, &mail);
    assert!(reply.starts_with("550 5.7.1 ") && reply.contains("has chosen"), "{reply}");
    for mailbox in ["INBOX", "Junk", "Unpaid"] {
        assert!(!lies_in(&mut imap, mailbox, "Loud"), "{mailbox}");
    }

    // An address only one correspondent knows.
    write_to(&satchel, "x@forger.test", "no-reply@bank.test", "alice+bank@satchel.test", "Your code");
    assert!(lies_in(&mut imap, "INBOX", "Your code"));
    // What goes to Junk costs nobody anything, and nobody is asked.
    let list =
        [b"List-Id: Rust <rust.lists.test>\r\n".to_vec(), plain("c@lists.test", ALICE, "On a list", "x")].concat();
    send(satchel.ports.smtp, "c@lists.test", ALICE, &list);
    assert!(lies_in(&mut imap, "Junk", "On a list"));
    assert!(satchel.gate_of("c@lists.test").is_none());

    // postmaster@ is always heard (RFC 5321 §4.5.1).
    write_to(&satchel, "loud@noise.test", "loud@noise.test", "postmaster@satchel.test", "To the postmaster");
    assert!(lies_in(&mut imap, "INBOX", "To the postmaster"));

    // Removed: strangers again. A folder that is gone: INBOX.
    satchel.ask(&["filter", "remove", ALICE, "loud"]);
    write(&satchel, "loud@noise.test", "Quieter");
    assert!(lies_in(&mut imap, "Unpaid", "Quieter"));
    imap.ok("SELECT INBOX");
    imap.ok("DELETE Shops");
    write(&satchel, "bob@shop.test", "Order three");
    assert!(lies_in(&mut imap, "INBOX", "Order three"));
    let names: Vec<_> =
        satchel.ask(&["filter", "list", ALICE]).as_array().unwrap().iter().map(|f| f["name"].clone()).collect();
    assert_eq!(names, ["orders", "dear", "code", "lists"]);
    satchel.assert_audit();
}

#[test]
fn a_refusal_is_said_only_when_every_recipient_refuses() {
    let satchel = Satchel::start("");
    let mut imap = satchel.imap();
    let erin = "erin@satchel.test";
    satchel.ask_with_input(&["account", "add", erin, "--password-stdin"], "a long enough passphrase\n");
    satchel.ask(&["filter", "add", ALICE, "loud", "--domain", "noise.test", "--refuse"]);

    // One refuses and one does not: they cannot share an answer.
    let mut session = Smtp::connect(satchel.ports.smtp);
    session.expect("250", "MAIL FROM:<a@noise.test>");
    session.expect("250", &format!("RCPT TO:<{ALICE}>"));
    session.expect("452 4.5.3", &format!("RCPT TO:<{erin}>"));
    session.expect("250", "RSET");

    // Both refuse the same: one answer for both.
    satchel.ask(&["filter", "add", erin, "the same", "--domain", "noise.test", "--refuse"]);
    let mut to_both = |from: &str, subject: &str| {
        session.expect("250", &format!("MAIL FROM:<{from}>"));
        session.expect("250", &format!("RCPT TO:<{ALICE}>"));
        session.expect("250", &format!("RCPT TO:<{erin}>"));
        session.expect("354", "DATA");
        session.write(&[&plain(from, ALICE, subject, "x")[..], b".\r\n"].concat());
        session.reply()
    };
    let reply = to_both("a@noise.test", "Loud to both");
    assert!(reply.starts_with("550 5.7.1 "), "{reply}");

    // An earlier filter lets erin take it after all: alice keeps it silently, where refused mail lies.
    satchel.ask(&["filter", "add", erin, "but", "--from", "b@noise.test", "--flag", "--position", "1"]);
    let reply = to_both("b@noise.test", "Loud to one");
    assert!(reply.starts_with("250"), "{reply}");
    assert!(lies_in(&mut imap, "Junk", "Loud to one"));
    assert!(satchel.gates().iter().all(|gate| gate["recipient"] != ALICE));
    let mut hers = Imap::login(satchel.ports.imap, erin, "\"a long enough passphrase\"");
    assert!(lies_in(&mut hers, "Unpaid", "Loud to one"));
}

#[test]
fn a_filter_is_tested_without_a_delivery_and_nonsense_is_refused_in_words() {
    let satchel = Satchel::start("");
    satchel.ask(&["filter", "add", ALICE, "shop", "--domain", "shop.test", "--price", "7", "--keyword", "shop"]);
    let mail = String::from_utf8(plain("bob@shop.test", ALICE, "Tested", "x")).unwrap();
    let tested = satchel.ask_with_input(&["filter", "test", ALICE], &mail);
    assert_eq!((&tested["filter"], &tested["price_sat"]), (&"shop".into(), &7.into()), "{tested}");
    assert_eq!((&tested["folder"], &tested["keywords"][0]), (&"Unpaid".into(), &"shop".into()), "{tested}");
    // From a file, and as if nothing vouched for the author.
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(mail.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    let tested = satchel.ask(&["filter", "test", ALICE, path, "--unverified"]);
    assert_eq!((&tested["filter"], &tested["relation"]), (&serde_json::Value::Null, &"unverified".into()), "{tested}");
    assert!(satchel.gates().is_empty());

    for (arguments, why) in [
        (&["x", "--flag"][..], "needs a condition"),
        (&["x", "--domain", "shop.test"], "needs an action"),
        (&["x", "--header", "X-Spam", "--free"], "anybody could choose them"),
        (&["x", "--domain", "shop.test", "--file", "Nowhere"], "there is no folder \"Nowhere\""),
        (&["x", "--larger-than", "ten", "--flag"], "like 10M"),
        (&["shop", "--domain", "other.test", "--flag"], "already"),
        (&["x", "--domain", "other.test", "--flag", "--position", "9"], "allowed: 1 to 2"),
    ] {
        let output = satchel.command(&[&["filter", "add", ALICE][..], arguments].concat()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(why), "{arguments:?}: {error}");
    }
}
