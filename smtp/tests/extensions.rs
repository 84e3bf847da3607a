//! The extensions of EHLO: each is announced where it is honoured, and reaches the envelope.

use crate::support::dialogue::Dialogue;
use smtp::{Body, Kind, Notify, Ret};

fn announced(talk: &mut Dialogue) -> Vec<String> {
    let replies = talk.send(b"EHLO client.test\r\n");
    replies.lines().skip(1).map(|line| line[4..].to_owned()).collect()
}

#[test]
fn binary_content_comes_as_it_was_sent() {
    let mut talk = Dialogue::mx();
    assert!(announced(&mut talk).contains(&"BINARYMIME".to_owned()));
    let begin = b"MAIL FROM:<bob@shop.test> BODY=BINARYMIME\r\nRCPT TO:<alice@satchel.test>\r\n";
    talk.send(begin);
    assert_eq!(talk.send(b"DATA\r\n"), "503 5.5.1 a BINARYMIME message comes by BDAT\r\n");
    let replies = talk.send(b"BDAT 9\r\na\n.\r\n\0\r.\nBDAT 4 LAST\r\n.\r\nb");
    assert_eq!(replies, "250 2.0.0 9 octets taken\r\n250 2.0.0 message accepted as q1\r\n");
    let (envelope, content) = &talk.delivered[0];
    assert_eq!(content, "a\n.\r\n\0\r.\n.\r\nb");
    assert_eq!(envelope.parameters.body, Body::BinaryMime);
    // The next mail's lines are looked at again.
    talk.send(b"MAIL FROM:<bob@shop.test>\r\nRCPT TO:<alice@satchel.test>\r\n");
    assert!(talk.send(b"BDAT 3 LAST\r\na\nb").starts_with("550 5.6.11 "));
}

#[test]
fn what_is_submitted_is_made_of_lines() {
    let mut talk = Dialogue::with(Kind::Submission, |_| ());
    assert!(!announced(&mut talk).contains(&"BINARYMIME".to_owned()));
    talk.send(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n");
    let reply = talk.send(b"MAIL FROM:<alice@satchel.test> BODY=BINARYMIME\r\n");
    assert_eq!(reply, "555 5.5.4 BODY=BINARYMIME is not offered here\r\n");
}

#[test]
fn what_a_dsn_needs_to_know_reaches_the_envelope() {
    let mut talk = Dialogue::mx();
    talk.send(b"EHLO c\r\nMAIL FROM:<bob@shop.test> RET=HDRS ENVID=QQ+2B314\r\n");
    assert_eq!(
        talk.send(b"RCPT TO:<alice@satchel.test> NOTIFY=SUCCESS ORCPT=rfc822;al\r\n"),
        "250 2.1.5 recipient ok\r\n"
    );
    // A refused recipient's wishes are not the next one's.
    talk.send(b"RCPT TO:<nobody@satchel.test> NOTIFY=NEVER ORCPT=rfc822;no\r\nRCPT TO:<alice2@satchel.test>\r\n");
    assert!(talk.send(b"RCPT TO:<alice3@satchel.test> NOTIFY=MAYBE\r\n").starts_with("501 5.5.4 the value of NOTIFY"));
    talk.send(b"DATA\r\n.\r\n");
    let envelope = &talk.delivered[0].0;
    assert_eq!(envelope.parameters.ret, Some(Ret::Hdrs));
    assert_eq!(envelope.parameters.envid.as_deref(), Some("QQ+2B314"));
    let [first, second] = &envelope.recipients[..] else { panic!("two recipients") };
    assert_eq!(first.parameters.notify, Some(Notify { success: true, failure: false, delay: false }));
    assert_eq!(first.parameters.orcpt.as_deref(), Some("rfc822;al"));
    assert_eq!((second.parameters.notify, second.parameters.orcpt.as_deref()), (None, None));
}

#[test]
fn requiretls_is_taken_under_tls_only() {
    let mut talk = Dialogue::mx();
    talk.send(b"EHLO c\r\n");
    let mail = b"MAIL FROM:<bob@shop.test> REQUIRETLS\r\n";
    assert_eq!(talk.send(mail), "530 5.7.10 REQUIRETLS needs TLS; say STARTTLS first\r\n");
    assert!(!announced(&mut talk).contains(&"REQUIRETLS".to_owned()));
    talk.send(b"STARTTLS\r\n");
    assert!(announced(&mut talk).contains(&"REQUIRETLS".to_owned()));
    assert_eq!(talk.send(mail), "250 2.1.0 sender ok\r\n");
    talk.send(b"RCPT TO:<alice@satchel.test>\r\nDATA\r\n.\r\n");
    assert!(talk.delivered[0].0.parameters.require_tls);
}

#[test]
fn limits_are_told_and_kept() {
    let mut talk = Dialogue::with(Kind::Mx, |config| (config.mails_max, config.recipients_max) = (2, 1));
    assert!(announced(&mut talk).contains(&"LIMITS MAILMAX=2 RCPTMAX=1".to_owned()));
    for _ in 0..2 {
        assert_eq!(talk.send(b"MAIL FROM:<bob@shop.test>\r\n"), "250 2.1.0 sender ok\r\n");
        assert_eq!(talk.send(b"RCPT TO:<alice@satchel.test>\r\n"), "250 2.1.5 recipient ok\r\n");
        assert!(talk.send(b"RCPT TO:<alice@satchel.test>\r\n").starts_with("452 4.5.3 "));
        talk.send(b"RSET\r\n");
    }
    assert!(talk.send(b"MAIL FROM:<bob@shop.test>\r\n").starts_with("421 4.5.1 "));
    assert!(talk.closed);
}

fn logged_in() -> Dialogue {
    let mut talk = Dialogue::with(Kind::Submission, |_| ());
    talk.session.tell_time(1_795_273_819);
    talk.send(b"EHLO c\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n");
    talk
}

#[test]
fn when_a_mail_shall_go_and_arrive_and_how_soon_is_for_submitters_to_say() {
    let mut talk = logged_in();
    let lines = announced(&mut talk);
    for line in ["DELIVERBY", "MT-PRIORITY", "FUTURERELEASE 2592000 2026-12-21T15:10:19Z"] {
        assert!(lines.iter().any(|announced| announced == line), "{line} is missing from {lines:?}");
    }
    let mail = |parameters: &str| format!("MAIL FROM:<alice@satchel.test> {parameters}\r\nRSET\r\n").into_bytes();
    for fine in [
        "HOLDFOR=2592000",
        "HOLDUNTIL=2026-12-21T15:10:19Z",
        "HOLDUNTIL=2020-01-01T00:00:00Z",
        "HOLDFOR=60 BY=61;R",
        "HOLDFOR=60 BY=10;N",
        "MT-PRIORITY=-9",
        "BY=1;RT",
    ] {
        assert!(talk.send(&mail(fine)).starts_with("250 2.1.0 "), "{fine}");
    }
    for (parameters, why) in [
        ("HOLDFOR=2592001", "held for 30 days at most"),
        ("HOLDUNTIL=2026-12-21T15:10:20Z", "held for 30 days at most"),
        ("HOLDFOR=60 BY=60;R", "BY ends before the mail may go out"),
    ] {
        let reply = talk.send(&mail(parameters));
        assert!(reply.starts_with("501 5.5.4 ") && reply.contains(why), "{parameters}: {reply}");
    }
    let lines = announced(&mut Dialogue::mx());
    assert!(!lines.iter().any(|line| line.starts_with("DELIVERBY") || line.starts_with("MT-PRI")), "{lines:?}");
}
