//! What abusers do to a mail server: relay through it, and make it send to people who wrote nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use satchel::cli::Request;
use support::eventually;
use support::satchel::Satchel;
use support::sink::Sink;
use support::smtp::{Smtp, plain, send};
use support::stranger::ALICE;

/// Paths that some server somewhere has relayed for.
const RELAY_PROBES: [&str; 40] = [
    "user@elsewhere.example",
    "user@elsewhere.example.",
    "user@ELSEWHERE.EXAMPLE",
    "postmaster@elsewhere.example",
    "abuse@elsewhere.example",
    "user%elsewhere.example@satchel.test",
    "user%elsewhere.example",
    "user%elsewhere.example@localhost",
    "user@satchel.test%elsewhere.example",
    "elsewhere.example!user@satchel.test",
    "elsewhere.example!user",
    "elsewhere.example!user%third.example@satchel.test",
    "third.example!elsewhere.example!user",
    "\"user@elsewhere.example\"@satchel.test",
    "\"user%elsewhere.example\"@satchel.test",
    "\"elsewhere.example!user\"@satchel.test",
    "\"user@elsewhere.example\"",
    "\"user\"@elsewhere.example",
    "\"\"@satchel.test",
    "@satchel.test:user@elsewhere.example",
    "@satchel.test,@third.example:user@elsewhere.example",
    "@elsewhere.example:user@satchel.test",
    "@[127.0.0.1]:user@elsewhere.example",
    "@elsewhere.example",
    "user@elsewhere.example@satchel.test",
    "user@satchel.test@elsewhere.example",
    "alice@satchel.test,user@elsewhere.example",
    "alice@satchel.test user@elsewhere.example",
    "user@[192.0.2.1]",
    "user@[127.0.0.1]",
    "user@[IPv6:2001:db8::1]",
    "user@2130706433",
    "user%elsewhere.example@[127.0.0.1]",
    "\"user@elsewhere.example\"@[127.0.0.1]",
    "user@localhost",
    "user",
    "user@satchel.test.elsewhere.example",
    "user@sub.satchel.test",
    "user\0@elsewhere.example",
    "<user@elsewhere.example>",
];

#[test]
fn nobody_relays_through_the_server() {
    let satchel = Satchel::start("");
    let senders =
        ["bob@shop.test", "", "alice@satchel.test", "root@localhost", "x@[127.0.0.1]", "user@elsewhere.example"];
    for (number, probe) in RELAY_PROBES.into_iter().enumerate() {
        let mut session = Smtp::connect(satchel.ports.smtp);
        let sender = senders[number % senders.len()];
        session.expect("250", &format!("MAIL FROM:<{sender}>"));
        let reply = session.command(&format!("RCPT TO:<{probe}>"));
        assert!(
            reply.starts_with("550 5.") || reply.starts_with("50") && reply.as_bytes()[3] == b' ',
            "{probe}: {reply}"
        );
        let words = reply.split_whitespace().skip(2).count();
        assert!(words >= 4, "{probe}: a text that says why: {reply}");
        // Nobody else came with it, so there is nothing to send.
        session.expect("554 5.5.1", "DATA");
    }
    for (probe, text) in [
        ("user@elsewhere.example", "550 5.7.1 this server takes no mail for that domain: relaying is denied"),
        ("user%elsewhere.example@satchel.test", "550 5.1.1 there is no such mailbox here"),
        ("user%elsewhere.example", "501 5.1.3 that is not a forward-path"),
    ] {
        let mut session = Smtp::connect(satchel.ports.smtp);
        session.expect("250", "MAIL FROM:<bob@shop.test>");
        assert_eq!(session.command(&format!("RCPT TO:<{probe}>")), text);
    }
    // Where mail does go elsewhere, only for those who logged in.
    let mut session = Smtp::connect(satchel.ports.submission);
    session.expect("530 5.7.0", "MAIL FROM:<alice@satchel.test>");
    session.expect("503 5.5.1", "RCPT TO:<user@elsewhere.example>");
    assert_eq!(satchel.ask(&["queue", "list"]).as_array().unwrap().len(), 0);
    assert_eq!(satchel.ask(&["sandbox", "mail"]).as_array().unwrap().len(), 0);
}

/// One forged mail of every kind in turn: HELO name, reverse-path and message.
fn forged(number: usize) -> (&'static str, String, Vec<u8>) {
    let victim = format!("victim{number}@bank.test");
    let mail = |from: &str, more: &str| {
        let head = format!("{more}From: {from}\r\nTo: <{ALICE}>\r\nSubject: forged {number}\r\n");
        format!("{head}Message-ID: <{number}@forged.test>\r\n\r\nPay the other account.\r\n").into_bytes()
    };
    let own = format!("<{victim}>");
    match number % 12 {
        0 => ("evil.test", "bounce@evil.test".into(), mail(&own, "")),
        1 => ("evil.test", String::new(), mail(&own, "")),
        2 => ("bank.test", String::new(), mail(&own, "")),
        3 => ("evil.test", victim.clone(), mail(&format!("{own}, <x@evil.test>"), "")),
        4 => ("evil.test", victim.clone(), mail(&own, "From: <x@evil.test>\r\n")),
        5 => ("evil.test", victim.clone(), mail(&own, "Auto-Submitted: auto-replied\r\n")),
        6 => ("evil.test", victim.clone(), mail(&own, "List-Id: <all.bank.test>\r\n")),
        7 => ("evil.test", victim.clone(), mail(&own, "Precedence: bulk\r\n")),
        8 => ("evil.test", "other@bank.test".into(), mail(&own, "")),
        9 => ("evil.test", "x@evil.test".into(), {
            let signature = "DKIM-Signature: v=1; a=rsa-sha256; d=bank.test; s=s; h=from:to; bh=AAAA; b=AAAA\r\n";
            mail(&own, signature)
        }),
        10 => ("evil.test", "x@evil.test".into(), {
            mail(
                &own,
                "Authentication-Results: satchel.test; dkim=pass header.d=bank.test\r\nLNMP-Relation: friend\r\n",
            )
        }),
        _ => ("evil.test", "victim@elsewhere.example".into(), mail("<victim@elsewhere.example>", "")),
    }
}

/// Payment requests the bridge has sent so far, to whom.
fn requests(satchel: &Satchel) -> Vec<String> {
    let mails = satchel.ask(&["sandbox", "mail"]);
    mails.as_array().unwrap().iter().map(|mail| mail["to"].as_str().unwrap().to_owned()).collect()
}

/// Sends every `step`th forged mail over one connection; the envelope of each travels with the content of the last.
fn flood(port: u16, first: usize, step: usize, count: usize) {
    let mut session = Smtp::connect(port);
    let mut content = Vec::new();
    for number in (first..count).step_by(step) {
        let (helo, reverse_path, message) = forged(number);
        let commands = format!("EHLO {helo}\r\nMAIL FROM:<{reverse_path}>\r\nRCPT TO:<{ALICE}>\r\nDATA\r\n");
        session.write(&[&content[..], commands.as_bytes()].concat());
        let taken = if content.is_empty() { &[][..] } else { &["250 2.0.0"][..] };
        for expected in taken.iter().chain(&["250", "250 2.1.0", "250 2.1.5", "354"]) {
            let reply = session.reply();
            assert!(reply.starts_with(expected), "{number}: {reply}");
        }
        content = [&message[..], b".\r\n"].concat();
    }
    session.write(&content);
    assert!(session.reply().starts_with("250 2.0.0"));
}

#[test]
fn forged_mail_makes_nobody_be_asked_for_money() {
    const COUNT: usize = 10_000;
    const CONNECTIONS: usize = 32;
    let satchel = Satchel::start("");
    let port = satchel.ports.smtp;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for first in 0..CONNECTIONS {
            scope.spawn(move || flood(port, first, CONNECTIONS, COUNT));
        }
    });
    println!("FIGURE {COUNT} forged mails in {:?}", begun.elapsed());
    // Whoever may be asked is asked, in turn, behind all of them.
    let honest = ["honest@shop.test", "upright@other.test"];
    for author in honest {
        send(port, author, ALICE, &plain(author, ALICE, "An honest question", "May I?"));
        eventually("an honest author is asked", || requests(&satchel).iter().any(|to| to == author).then_some(()));
    }
    assert_eq!(requests(&satchel), honest);
    assert_eq!(satchel.imap().count("Unpaid"), u32::try_from(COUNT + 2).unwrap(), "every one of them is kept");
}

/// Asks the running server directly: a thousand commands would be a thousand processes.
fn command(satchel: &Satchel, request: &Request) {
    let mut socket = UnixStream::connect(satchel.path().join("run/control.sock")).unwrap();
    socket.write_all(format!("{}\n", serde_json::to_string(request).unwrap()).as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line).unwrap();
    if let satchel::control::Answer::Failed(why) = serde_json::from_str(&line).unwrap() {
        panic!("{why}")
    }
}

#[test]
fn one_signed_mail_sent_to_a_thousand_aliases_makes_one_request() {
    let sink = Sink::start();
    let satchel = Satchel::start(&sink.route("shop.test"));
    let password = "a long enough password".to_owned();
    for owner in ["bob@satchel.test", "carol@satchel.test"] {
        command(
            &satchel,
            &Request::AccountAdd { address: owner.into(), password: password.clone(), server_custody: false },
        );
    }
    let aliases: Vec<String> = (0..1000).map(|number| format!("alias{number}@satchel.test")).collect();
    for (number, address) in aliases.iter().enumerate() {
        let account = if number % 2 == 0 { "bob@satchel.test" } else { "carol@satchel.test" }.to_owned();
        command(&satchel, &Request::AliasAdd { address: address.clone(), account, expires_ms: None, max_uses: None });
    }

    // A mail that alice has sent: signed by her server, with recipients of this one in its To.
    let to = "<bob@satchel.test>, <carol@satchel.test>, <alias0@satchel.test>, <alias1@satchel.test>";
    let text =
        format!("From: <{ALICE}>\r\nTo: {to}\r\nSubject: To all\r\nMessage-ID: <once@satchel.test>\r\n\r\nHello.\r\n");
    let (user, secret) = satchel.first_login();
    let mut session = Smtp::login(satchel.ports.submission, &user, &secret);
    assert!(session.mail(ALICE, "reader@shop.test", text.as_bytes()).starts_with("250"));
    let signed = sink.wait_for("reader@shop.test").text().into_bytes();
    assert!(signed.starts_with(b"DKIM-Signature:"), "{}", String::from_utf8_lossy(&signed));

    // Replayed by somebody else.
    let mut session = Smtp::connect(satchel.ports.smtp);
    let mut recipients = vec!["bob@satchel.test".to_owned(), "carol@satchel.test".to_owned()];
    recipients.extend(aliases);
    for some in recipients.chunks(100) {
        session.expect("250", "MAIL FROM:<replay@evil.test>");
        for recipient in some {
            session.expect("250", &format!("RCPT TO:<{recipient}>"));
        }
        session.expect("354", "DATA");
        session.write(&[&support::smtp::stuffed(&signed)[..], b".\r\n"].concat());
        let reply = session.reply();
        assert!(reply.starts_with("250 2.0.0"), "{reply}");
    }
    let mut inbox = satchel.imap();
    let mut requests = || {
        inbox.ok("SELECT INBOX");
        inbox.search("HEADER In-Reply-To once@satchel.test").len()
    };
    eventually("the author is asked", || (requests() > 0).then_some(()));
    // Requests are made in turn: whoever writes now is asked behind all of these.
    let (last, bob) = ("last@shop.test", "bob@satchel.test");
    send(satchel.ports.smtp, last, bob, &plain(last, bob, "One more", "Good day."));
    sink.wait_for(last);
    let authors: Vec<_> = satchel.gates().into_iter().filter(|gate| gate["author"] == ALICE).collect();
    assert!(authors.len() >= 2, "bob and carol have gates of their own: {authors:?}");
    assert_eq!(requests(), 1, "one request for a thousand copies");
}
