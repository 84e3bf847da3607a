//! What the user sends lies in Sent, once: filed by us, or by a client that keeps copies of its own.

use crate::support::satchel::Satchel;
use crate::support::sink::Sink;
use crate::support::smtp::{Smtp, plain};
use crate::support::stranger::ALICE;

#[test]
fn a_submitted_mail_lies_in_sent_until_the_clients_own_copy_takes_its_place() {
    let sink = Sink::start();
    let satchel = Satchel::start(&sink.route("far.test"));
    let (user, password) = satchel.first_login();
    let written = |number: u32| {
        let mail = plain(ALICE, "greta@far.test", &format!("Letter {number}"), "Once in Sent.");
        String::from_utf8(mail).unwrap().replacen("Subject:", "Bcc: <hidden@far.test>\r\nSubject:", 1)
    };
    let submit = |number: u32| {
        let mut session = Smtp::login(satchel.ports.submission, &user, &password);
        session.expect("250", &format!("MAIL FROM:<{ALICE}>"));
        session.expect("250", "RCPT TO:<greta@far.test>");
        session.expect("250", "RCPT TO:<hidden@far.test>");
        session.expect("354", "DATA");
        session.write(&[written(number).as_bytes(), b".\r\n"].concat());
        assert!(session.reply().starts_with("250"));
    };

    // A client that keeps no copy: one is filed with the outgoing mail, read, as it went out.
    submit(1);
    let mut imap = satchel.imap();
    let filed = imap.find("Sent", "Letter 1");
    assert_eq!((filed.len(), imap.count("Sent")), (1, 1));
    imap.ok("SELECT Sent");
    assert!(imap.flags(filed[0]).contains("\\Seen"));
    let text = String::from_utf8(imap.body(filed[0])).unwrap();
    assert!(text.contains("Once in Sent.") && !text.contains("Bcc:") && !text.contains("hidden@"), "{text}");
    sink.wait_for("hidden@far.test");

    // A client that appends its own, with Bcc: it stays, ours goes, and APPENDUID names the one that is there.
    let answer = imap.append("Sent", "\\Seen", written(1).as_bytes());
    let shown = imap.find("Sent", "Letter 1");
    assert_eq!((shown.len(), imap.count("Sent")), (1, 1), "one copy");
    assert_ne!(shown, filed);
    assert!(answer.contains("[APPENDUID ") && answer.contains(&format!(" {}]", shown[0])), "{answer}");
    imap.ok("SELECT Sent");
    assert_eq!(imap.body(shown[0]), written(1).as_bytes());

    // From then on nothing is filed for it.
    submit(2);
    assert_eq!(imap.count("Sent"), 1);
}
