//! An address of several people: each gets the mail, each may write as it, nobody else may.

use crate::support::imap::Imap;
use crate::support::satchel::Satchel;
use crate::support::sink::Sink;
use crate::support::smtp::{Smtp, plain};
use crate::support::stranger::ALICE;

const SALES: &str = "sales@satchel.test";
const BOB: &str = "bob@satchel.test";
const CAROL: &str = "carol@satchel.test";
const PASSPHRASE: &str = "a-long-enough-passphrase";

fn refused(satchel: &Satchel, arguments: &[&str], why: &str) {
    let output = satchel.command(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains(why), "{arguments:?}: {text}");
}

#[test]
fn mail_to_a_group_reaches_every_member_and_only_members_write_as_it() {
    let sink = Sink::start();
    let mut satchel = Satchel::start(&sink.route("far.test"));
    for address in [BOB, CAROL] {
        satchel.ask_with_input(&["account", "add", address, "--password-stdin"], &format!("{PASSPHRASE}\n"));
    }
    let made = satchel.ask(&["group", "add", "Sales@satchel.test", "--member", ALICE]);
    assert_eq!((made["address"].as_str(), made["members"].as_array().unwrap().len()), (Some(SALES), 1));
    satchel.ask(&["group", "add", SALES, "--member", BOB, "--member", ALICE]);
    refused(&satchel, &["group", "add", BOB, "--member", ALICE], "is an account or an alias");
    refused(&satchel, &["group", "add", "other@satchel.test", "--member", "dave@satchel.test"], "no account here");
    refused(&satchel, &["alias", "add", SALES, "--for", CAROL], "is a group");
    refused(&satchel, &["group", "remove", "other@satchel.test"], "there is no group");
    // It outlives a restart.
    satchel.stop();
    satchel.resume();
    assert_eq!(satchel.ask(&["group", "list"])[0]["members"], serde_json::json!([ALICE, BOB]));

    // From outside: each member has the mail and a price of their own; named beside the group, one has it once.
    let author = "ivy@shop.test";
    let mut session = Smtp::connect(satchel.ports.smtp);
    session.expect("250", &format!("MAIL FROM:<{author}>"));
    session.expect("250", &format!("RCPT TO:<{SALES}>"));
    let apart = session.command(&format!("RCPT TO:<{CAROL}>"));
    assert!(apart.starts_with('4'), "a group comes alone: {apart}");
    session.expect("354", "DATA");
    session.write(&[plain(author, SALES, "An offer", "For all of you.").as_slice(), b".\r\n"].concat());
    assert!(session.reply().starts_with("250"));
    let mut bob = Imap::login(satchel.ports.imap, BOB, PASSPHRASE);
    assert_eq!((satchel.imap().find("Unpaid", "An offer").len(), bob.find("Unpaid", "An offer").len()), (1, 1));
    assert_eq!(satchel.gates().len(), 2);
    let carol = Imap::login(satchel.ports.imap, CAROL, PASSPHRASE).find("Unpaid", "An offer");
    assert!(carol.is_empty());

    // Members write as the group; nobody else does.
    let submit = |user: &str, password: &str, to: &str| {
        let mail = plain(SALES, to, &format!("From {user}"), "We do.");
        Smtp::login(satchel.ports.submission, user, password).mail(SALES, to, &mail)
    };
    let reply = submit(BOB, PASSPHRASE, "greta@far.test");
    assert!(reply.starts_with("250"), "{reply}");
    let sent = sink.wait_for("greta@far.test");
    assert!(sent.text().contains("d=satchel.test") && sent.from.contains(SALES), "{} {}", sent.from, sent.text());
    let reply = submit(CAROL, PASSPHRASE, "greta@far.test");
    assert!(reply.starts_with("550") && reply.contains("may not write as"), "{reply}");

    // Inside: a member's own mail to the group reaches the others, and themselves once.
    let (user, password) = satchel.first_login();
    let reply = submit(&user, &password, SALES);
    assert!(reply.starts_with("250"), "{reply}");
    let subject = format!("From {user}");
    let found = ["INBOX", "Unpaid"].map(|folder| bob.find(folder, &subject).len());
    assert_eq!(found.iter().sum::<usize>(), 1);

    // Whoever is gone is no member, and a group of nobody is none.
    satchel.ask(&["account", "remove", BOB]);
    assert_eq!(satchel.ask(&["group", "list"])[0]["members"], serde_json::json!([ALICE]));
    satchel.ask(&["group", "remove", SALES, "--member", ALICE]);
    assert_eq!(satchel.ask(&["group", "list"]), serde_json::json!([]));
    let mut session = Smtp::connect(satchel.ports.smtp);
    session.expect("250", &format!("MAIL FROM:<{author}>"));
    session.expect("550", &format!("RCPT TO:<{SALES}>"));
}

/// One mail to the group over LMTP; the reply.
fn hand_on(satchel: &Satchel, author: &str, subject: &str) -> String {
    let mut lmtp = Smtp::greeted(satchel.ports.lmtp);
    lmtp.expect("250", "LHLO mx.front.test");
    lmtp.expect("250", &format!("MAIL FROM:<{author}>"));
    lmtp.expect("250", &format!("RCPT TO:<{SALES}>"));
    lmtp.expect("354", "DATA");
    lmtp.write(&[plain(author, SALES, subject, "!").as_slice(), b".\r\n"].concat());
    lmtp.reply()
}

#[test]
fn over_lmtp_a_group_refuses_when_all_of_its_members_do() {
    let satchel = Satchel::start("lmtp = 0\n");
    satchel.ask_with_input(&["account", "add", BOB, "--password-stdin"], &format!("{PASSPHRASE}\n"));
    satchel.ask(&["group", "add", SALES, "--member", ALICE, "--member", BOB]);
    satchel.ask(&["filter", "add", ALICE, "loud", "--from", "loud@noise.test", "--refuse"]);
    let reply = hand_on(&satchel, "loud@noise.test", "Loud");
    assert!(reply.starts_with("250"), "{reply}");
    let mut bob = Imap::login(satchel.ports.imap, BOB, PASSPHRASE);
    assert_eq!(bob.find("Unpaid", "Loud").len(), 1);

    satchel.ask(&["filter", "add", BOB, "loud", "--from", "loud@noise.test", "--refuse"]);
    let reply = hand_on(&satchel, "loud@noise.test", "Louder");
    assert!(reply.starts_with("550 5.7.1"), "{reply}");
    assert!(bob.find("Unpaid", "Louder").is_empty());
}
