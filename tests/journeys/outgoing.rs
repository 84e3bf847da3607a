//! Mail of our users to other servers: queued, tried again, bounced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::eventually;
use crate::support::satchel::Satchel;
use crate::support::sink::Sink;
use crate::support::smtp::{Smtp, plain, send};
use crate::support::stranger::ALICE;

fn submit(satchel: &Satchel, to: &str, message: &[u8]) {
    let (user, password) = satchel.first_login();
    let reply = Smtp::login(satchel.ports.submission, &user, &password).mail(ALICE, to, message);
    assert!(reply.starts_with("250"), "{reply}");
}

#[test]
fn a_mail_put_off_by_the_other_server_is_tried_again_and_its_answer_is_free() {
    let open = Arc::new(AtomicBool::new(false));
    let is_open = Arc::clone(&open);
    let sink =
        Sink::answering(move |_| (!is_open.load(Ordering::SeqCst)).then(|| "450 4.2.1 come back later".to_owned()));
    let mut satchel = Satchel::start(&sink.route("far.test"));
    let mail = plain(ALICE, "greta@far.test", "A letter abroad", ".A line that begins with a dot.");
    let mail = String::from_utf8(mail).unwrap().replacen("Subject:", "Bcc: <hidden@far.test>\r\nSubject:", 1);
    submit(&satchel, "greta@far.test", mail.as_bytes());
    let item = eventually("the first try is answered 450", || {
        let queue = satchel.ask(&["queue", "list"]);
        queue.as_array().unwrap().iter().find(|item| item["last_error"].is_string()).cloned()
    });
    assert_eq!((&item["to"], &item["from"]), (&"greta@far.test".into(), &ALICE.into()));
    assert!(item["last_error"].as_str().unwrap().contains("450 4.2.1 come back later"), "{item}");

    // The queue outlives a crash.
    satchel.kill();
    satchel.resume();
    assert_eq!(satchel.ask(&["queue", "list"]).as_array().unwrap().len(), 1);
    open.store(true, Ordering::SeqCst);
    satchel.ask(&["queue", "retry"]);
    let arrived = sink.wait_for("greta@far.test");
    assert_eq!(arrived.from, ALICE);
    let text = arrived.text();
    assert!(text.ends_with("\r\n\r\n.A line that begins with a dot.\r\n"), "{text}");
    assert!(!text.contains("Bcc:") && !text.contains("hidden@far.test"), "Bcc is for the sender's eyes: {text}");
    assert!(text.contains("DKIM-Signature:") && text.contains("d=satchel.test"), "unsigned: {text}");
    assert!(!text.contains("127.0.0.1"), "where the user sits is nobody's business: {text}");
    eventually("the queue is empty", || satchel.ask(&["queue", "list"]).as_array().unwrap().is_empty().then_some(()));
    assert_eq!(sink.mails().len(), 1);

    // Whom alice wrote to is a friend.
    let mut imap = satchel.imap();
    send(satchel.ports.smtp, "greta@far.test", ALICE, &plain("greta@far.test", ALICE, "Re: A letter", "Thanks."));
    assert_eq!(imap.find("INBOX", "Re: A letter").len(), 1);
    assert!(satchel.gates().is_empty());

    // Mail to .test domains that no route names is shown by the sandbox.
    submit(&satchel, "x@elsewhere.test", &plain(ALICE, "x@elsewhere.test", "Caught", "In the sandbox."));
    eventually("the catch-all has it", || {
        let mails = satchel.ask(&["sandbox", "mail"]);
        mails.as_array().unwrap().iter().any(|mail| mail["to"] == "x@elsewhere.test").then_some(())
    });
}

#[test]
fn a_mail_refused_for_good_comes_back_as_a_delivery_report() {
    let sink = Sink::answering(|to| to.starts_with("nobody").then(|| "550 5.1.1 no such user at all".to_owned()));
    let satchel = Satchel::start(&sink.route("far.test"));
    let mut session = {
        let (user, password) = satchel.first_login();
        Smtp::login(satchel.ports.submission, &user, &password)
    };
    session.expect("250", &format!("MAIL FROM:<{ALICE}>"));
    session.expect("250", "RCPT TO:<nobody@far.test>");
    session.expect("250", "RCPT TO:<greta@far.test>");
    session.expect("354", "DATA");
    session.write(&[&plain(ALICE, "nobody@far.test", "Half of it bounces", "To two.")[..], b".\r\n"].concat());
    assert!(session.reply().starts_with("250"));

    // One gets it, the other's refusal comes back, once, in the form RFC 3464 gives it.
    sink.wait_for("greta@far.test");
    let mut imap = satchel.imap();
    let report = eventually("a delivery report is in INBOX", || {
        imap.ok("SELECT INBOX");
        let bodies = imap.ok("UID FETCH 1:* (BODY.PEEK[])");
        let is_report = |text: &String| text.contains("multipart/report");
        bodies
            .iter()
            .flat_map(|response| &response.literals)
            .map(|o| String::from_utf8_lossy(o).into_owned())
            .find(is_report)
    });
    for part in [
        "report-type=\"delivery-status\"",
        "Final-Recipient: rfc822; nobody@far.test",
        "Action: failed",
        "Status: 5.1.1",
        "550 5.1.1 no such user at all",
        "Subject: Half of it bounces",
        "Auto-Submitted: auto-replied",
    ] {
        assert!(report.contains(part), "{part:?} is missing from\n{report}");
    }
    assert!(!report.contains("greta@far.test"), "the one that got it is not in the report:\n{report}");
    eventually("the queue is empty", || satchel.ask(&["queue", "list"]).as_array().unwrap().is_empty().then_some(()));
    assert_eq!(sink.mails().len(), 1);
}
