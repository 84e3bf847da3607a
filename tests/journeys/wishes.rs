//! What submitters say of when a mail shall go out and arrive, and how soon: FUTURERELEASE, DELIVERBY, MT-PRIORITY.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::eventually;
use crate::support::satchel::Satchel;
use crate::support::sink::Sink;
use crate::support::smtp::{Smtp, plain};
use crate::support::stranger::ALICE;

fn submit(session: &mut Smtp, parameters: &str, to: &str, subject: &str) {
    session.expect("250", &format!("MAIL FROM:<{ALICE}> {parameters}"));
    session.expect("250", &format!("RCPT TO:<{to}>"));
    session.expect("354", "DATA");
    session.write(&[&plain(ALICE, to, subject, "In time.")[..], b".\r\n"].concat());
    let reply = session.reply();
    assert!(reply.starts_with("250"), "{reply}");
}

fn login(satchel: &Satchel) -> Smtp {
    let (user, password) = satchel.first_login();
    Smtp::login(satchel.ports.submission, &user, &password)
}

/// A report about `to` in INBOX that says all of `what`.
fn report(satchel: &Satchel, to: &str, what: &[&str]) {
    let mut imap = satchel.imap();
    eventually(&format!("a report about {to} says {what:?}"), || {
        imap.ok("SELECT INBOX");
        let bodies = imap.ok("UID FETCH 1:* (BODY.PEEK[])");
        let mut texts =
            bodies.iter().flat_map(|response| &response.literals).map(|octets| String::from_utf8_lossy(octets));
        let found = texts.any(|text| text.contains(to) && what.iter().all(|part| text.contains(part)));
        found.then_some(())
    });
}

#[test]
fn a_mail_is_held_and_goes_out_at_its_time() {
    let sink = Sink::start();
    let mut satchel = Satchel::start(&sink.route("far.test"));
    let mut session = login(&satchel);
    let begun = Instant::now();
    submit(&mut session, "HOLDFOR=8", "later@far.test", "Held");
    submit(&mut session, "", "now@far.test", "Not held");
    sink.wait_for("now@far.test");
    // Neither who asks for everything to be tried again nor a restart lets it go early.
    satchel.ask(&["queue", "retry"]);
    satchel.ask(&["queue", "retry", "--domain", "far.test"]);
    satchel.kill();
    satchel.resume();
    sink.wait_for("later@far.test");
    assert!(begun.elapsed() >= Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn what_does_not_arrive_in_its_time_comes_back_or_is_told_of() {
    let sink = Sink::answering(|to| (!to.starts_with("open")).then(|| "451 4.2.1 not now".to_owned()));
    let satchel = Satchel::start(&sink.route("far.test"));
    let mut session = login(&satchel);
    // The next server does not promise to keep the time: with R it gets nothing.
    submit(&mut session, "BY=60;R", "open@far.test", "In a minute");
    report(&satchel, "open@far.test", &["Action: failed", "Status: 5.3.3", "DELIVERBY"]);
    // With N it does, and T asks to be told.
    submit(&mut session, "BY=60;NT", "open-too@far.test", "In a minute, perhaps");
    sink.wait_for("open-too@far.test");
    report(&satchel, "open-too@far.test", &["Action: relayed", "not kept from here on"]);
    // Late from the start, or soon: told at that time, long before other delays are.
    submit(&mut session, "BY=3;N", "closed@far.test", "Soon");
    report(&satchel, "closed@far.test", &["Action: delayed", "not now"]);
    assert!(satchel.ask(&["queue", "list"]).as_array().unwrap().iter().any(|item| item["to"] == "closed@far.test"));
    assert!(!sink.mails().iter().any(|mail| mail.to == ["open@far.test"]));
}

#[test]
fn the_higher_priority_goes_first() {
    let open = Arc::new(AtomicBool::new(false));
    let is_open = Arc::clone(&open);
    let sink = Sink::answering(move |_| (!is_open.load(Ordering::SeqCst)).then(|| "451 4.2.1 not now".to_owned()));
    let satchel = Satchel::start(&sink.route("far.test"));
    let mut session = login(&satchel);
    let each = 8;
    for (priority, name) in [(-4, "low"), (9, "high")] {
        for number in 0..each {
            let to = format!("{name}{number}@far.test");
            submit(&mut session, &format!("MT-PRIORITY={priority}"), &to, &format!("{name} {number}"));
        }
    }
    eventually("all were tried", || {
        let queue = satchel.ask(&["queue", "list"]);
        let queue = queue.as_array().unwrap();
        (queue.len() == 2 * each && queue.iter().all(|item| item["last_error"].is_string())).then_some(())
    });
    satchel.ask(&["queue", "suspend"]);
    open.store(true, Ordering::SeqCst);
    satchel.ask(&["queue", "resume"]);
    eventually("all arrived", || (sink.mails().len() == 2 * each).then_some(()));
    let order: Vec<String> = sink.mails().iter().map(|mail| mail.to[0].clone()).collect();
    // Five couriers work side by side, so some of the low ones may overtake the last high ones, and no others.
    let is_high = |to: &String| to.starts_with("high");
    assert!(order[..each - 4].iter().all(is_high) && !order[each + 4..].iter().any(is_high), "{order:?}");
    let first = sink.mails().into_iter().find(|mail| mail.to == ["high0@far.test"]).unwrap();
    assert!(first.text().contains(" PRIORITY 9;"), "{}", first.text());
}
