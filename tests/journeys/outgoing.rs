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

/// `prvs=0DDDSSSSSS=alice@satchel.test`.
fn is_tagged(reverse_path: &str) -> bool {
    reverse_path
        .strip_prefix("prvs=")
        .and_then(|rest| rest.split_once('='))
        .is_some_and(|(tag, of)| tag.len() == 10 && of == ALICE)
}

/// A mail that arrives in INBOX and holds `what`.
fn in_inbox(satchel: &Satchel, what: &str) -> String {
    let mut imap = satchel.imap();
    eventually(&format!("{what:?} is in INBOX"), || {
        imap.ok("SELECT INBOX");
        let bodies = imap.ok("UID FETCH 1:* (BODY.PEEK[])");
        let texts = bodies.iter().flat_map(|response| &response.literals);
        texts.map(|octets| String::from_utf8_lossy(octets).into_owned()).find(|text| text.contains(what))
    })
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
    assert!(is_tagged(&arrived.from), "the reverse-path has its tag: {}", arrived.from);
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

#[test]
fn a_real_bounce_comes_in_free_and_a_forged_one_does_not() {
    let sink = Sink::start();
    let satchel = Satchel::start(&sink.route("far.test"));
    submit(&satchel, "greta@far.test", &plain(ALICE, "greta@far.test", "To be bounced", "Hello."));
    let tagged = sink.wait_for("greta@far.test").from;
    assert!(is_tagged(&tagged), "{tagged}");
    let bounce = |to: &str, subject: &str| {
        let message = plain("mailer-daemon@far.test", to, subject, "It could not be delivered.");
        let reply = Smtp::connect(satchel.ports.smtp).mail("", to, &message);
        assert!(reply.starts_with("250"), "{reply}");
    };
    bounce(&tagged, "Returned for real");
    in_inbox(&satchel, "Returned for real");
    // Another tag, somebody else's tag, none: strangers like all others.
    let digit = if tagged.contains("=0000") { "0001" } else { "0000" };
    bounce(&format!("prvs={digit}{}", &tagged[9..]), "Forged");
    bounce(ALICE, "Without a tag");
    let mut imap = satchel.imap();
    eventually("the forged ones are in Unpaid", || (imap.count("Unpaid") == 2).then_some(()));
    // The tag makes bounces free, not mail.
    send(satchel.ports.smtp, "eve@pal.test", &tagged, &plain("eve@pal.test", ALICE, "No bounce", "Buy this."));
    eventually("a mail to the tagged address is priced", || (imap.count("Unpaid") == 3).then_some(()));
}

#[test]
fn suspended_mail_stays_until_it_is_resumed_and_one_connection_carries_many() {
    let closed = Arc::new(AtomicBool::new(true));
    let is_closed = Arc::clone(&closed);
    let sink = Sink::answering(move |_| is_closed.load(Ordering::SeqCst).then(|| "450 4.2.1 later".to_owned()));
    let satchel = Satchel::start(&sink.route("far.test"));
    for number in 0..12 {
        let to = format!("greta{number}@far.test");
        submit(&satchel, &to, &plain(ALICE, &to, &format!("Number {number}"), "One of many."));
    }
    let queue = || satchel.ask(&["queue", "list"]).as_array().unwrap().clone();
    eventually("every mail had its try", || queue().iter().all(|item| item["attempts"] == 1).then_some(()));
    assert_eq!(satchel.ask(&["queue", "suspend", "--domain", "far.test"])["suspended"], 12);
    closed.store(false, Ordering::SeqCst);
    assert_eq!(satchel.ask(&["queue", "retry"])["retried"], 0, "what is suspended is not tried");
    assert!(queue().iter().all(|item| item["state"] == "suspended"));
    let before = sink.connections();
    let first = queue()[0]["id"].to_string();
    assert_eq!(satchel.ask(&["queue", "resume", &first])["resumed"], 1);
    eventually("the resumed one is gone", || (queue().len() == 11).then_some(()));
    assert_eq!(satchel.ask(&["queue", "resume"])["resumed"], 11);
    eventually("all are gone", || queue().is_empty().then_some(()));
    assert_eq!(sink.mails().len(), 12);
    assert!(sink.connections() - before <= 6, "eleven mails in {} connections", sink.connections() - before);
    let wrong = satchel.command(&["queue", "suspend", "--domain", "near.test"]).output().unwrap();
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("near.test"));
}

#[test]
fn a_sender_hears_what_notify_asks_for() {
    let sink = Sink::answering(|to| to.starts_with("nobody").then(|| "550 5.1.1 no such user at all".to_owned()));
    let satchel = Satchel::start(&sink.route("far.test"));
    let (user, password) = satchel.first_login();
    let mut session = Smtp::login(satchel.ports.submission, &user, &password);
    session.expect("250", &format!("MAIL FROM:<{ALICE}> RET=FULL ENVID=QQ+2B314159"));
    session.expect("250", "RCPT TO:<greta@far.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Greta+2B1@far.test");
    session.expect("250", "RCPT TO:<nobody1@far.test> NOTIFY=NEVER");
    session.expect("250", "RCPT TO:<nobody2@far.test> NOTIFY=FAILURE");
    session.expect("250", &format!("RCPT TO:<{ALICE}> NOTIFY=SUCCESS"));
    session.expect("354", "DATA");
    session.write(&[&plain(ALICE, "greta@far.test", "Reported on", "The body itself.")[..], b".\r\n"].concat());
    assert!(session.reply().starts_with("250"));
    // The sink knows no DSN: that it took the mail is all there is to tell.
    let relayed = in_inbox(&satchel, "Action: relayed");
    for part in ["Original-Envelope-Id: QQ+314159", "Original-Recipient: rfc822; Greta+1@far.test", "Status: 2.0.0"] {
        assert!(relayed.contains(part), "{part:?} is missing from\n{relayed}");
    }
    let failed = in_inbox(&satchel, "Action: failed");
    assert!(failed.contains("nobody2@far.test") && !failed.contains("nobody1@far.test"), "{failed}");
    assert!(
        failed.contains("Content-Type: message/rfc822") && failed.contains("The body itself."),
        "RET=FULL: {failed}"
    );
    let delivered = in_inbox(&satchel, "Action: delivered");
    assert!(delivered.contains(&format!("Final-Recipient: rfc822; {ALICE}")), "{delivered}");
}
