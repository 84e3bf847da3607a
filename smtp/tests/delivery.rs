//! Deliveries to our own server and to peers that play a script.

use crate::support::host::{start, tls};
use futures::future::BoxFuture;
use smtp::client::{
    ClientError, Credentials, Deadlines, Outcome, Outgoing, OutgoingRecipient, Rest, Security, Sent, Session, Target,
    deliver,
};
use smtp::{BareNewlines, ByMode, DeliverBy, Kind, Notify, Ret, ReversePath, Secret, ServerConfig, TlsStart};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

fn target(address: SocketAddr) -> Target {
    Target { host: "mx.satchel.test".into(), addresses: vec![address], implicit_tls: false }
}

fn bob() -> ReversePath {
    ReversePath::Mailbox("bob@shop.test".into())
}

const SECOND: Duration = Duration::from_secs(5);
const DEADLINES: Deadlines =
    Deadlines { connect: SECOND, reply: SECOND, final_reply: SECOND, delivery: Duration::from_secs(20) };

fn outgoing<'a>(reverse_path: &'a ReversePath, recipients: &'a [OutgoingRecipient], message: &'a [u8]) -> Outgoing<'a> {
    Outgoing {
        reverse_path,
        recipients,
        head: b"",
        message,
        smtputf8: false,
        ret: None,
        envid: None,
        require_tls: false,
        priority: 0,
        deliver_by: None,
    }
}

async fn send(target: &Target, recipients: &[&str], message: &[u8]) -> Result<Vec<Outcome>, ClientError> {
    let recipients: Vec<OutgoingRecipient> = recipients.iter().map(|&r| r.into()).collect();
    let (bob, security) = (bob(), Security::Opportunistic);
    let sent = deliver(target, "out.test", &outgoing(&bob, &recipients, message), &security, DEADLINES).await?;
    Ok(sent.outcomes)
}

/// A server that answers each line it gets with the next of these, whatever it was.
async fn scripted(replies: &'static [&'static str]) -> (SocketAddr, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let (mut heard, mut data) = (Vec::new(), false);
        let mut replies = replies.iter();
        stream.write_all(replies.next().unwrap().as_bytes()).await.unwrap();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return heard;
            }
            let line = line.trim_end().to_owned();
            data = data && line != ".";
            if !data && line != "QUIT" {
                let reply = replies.next().copied().unwrap_or("500 the script is over\r\n");
                stream.write_all(reply.as_bytes()).await.unwrap();
                data = reply.starts_with("354");
            }
            heard.push(line);
        }
    });
    (address, task)
}

#[tokio::test]
async fn every_recipient_gets_an_answer_of_its_own_over_tls() {
    let server = start(ServerConfig::new(Kind::Mx, "mx.satchel.test").with_tls(tls(), TlsStart::StartTls)).await;
    let recipients =
        ["alice@satchel.test", "nobody@satchel.test", "later@satchel.test", "not an address", "alice+b@satchel.test"];
    let outcomes = send(&target(server.address), &recipients, b"Subject: x\r\n\r\n.dot\r\nbare\nend").await.unwrap();
    assert!(matches!(&outcomes[0], Outcome::Delivered(reply) if reply.text == "message accepted as q1"));
    assert!(matches!(&outcomes[1], Outcome::Permanent(reply) if reply.enhanced == Some((5, 1, 1))));
    assert!(matches!(&outcomes[2], Outcome::Temporary(reply) if reply.code == 452));
    assert!(matches!(&outcomes[3], Outcome::Permanent(reply) if reply.code == 553));
    assert!(matches!(&outcomes[4], Outcome::Delivered(_)));
    let mails = server.host.mails.lock().unwrap();
    assert_eq!(String::from_utf8_lossy(&mails[0].1), "Subject: x\r\n\r\n.dot\r\nbare\r\nend\r\n");
    assert!(mails[0].0.peer.tls.is_some());
    assert_eq!(mails[0].0.recipients.len(), 2);
}

/// What follows a message, in pieces; reading it fails at the end when it is broken.
struct Pieces {
    octets: Vec<u8>,
    broken: bool,
}

impl Rest for Pieces {
    fn size(&self) -> u64 {
        self.octets.len() as u64
    }

    fn is_ascii(&self) -> bool {
        self.octets.is_ascii()
    }

    fn piece(&self, at: u64) -> BoxFuture<'_, std::io::Result<Vec<u8>>> {
        let end = self.octets.len().min(at as usize + 777);
        let fails = self.broken && end == self.octets.len();
        let piece = self.octets[at as usize..end].to_vec();
        Box::pin(async move { if fails { Err(std::io::ErrorKind::NotFound.into()) } else { Ok(piece) } })
    }
}

#[tokio::test]
async fn a_mail_that_comes_in_pieces_is_taken_whole_or_not_at_all() {
    let server = start(ServerConfig::new(Kind::Mx, "mx.satchel.test")).await;
    let (bob, recipients) = (bob(), ["alice@satchel.test".into()]);
    for (broken, text) in [(false, "..dots and\r\nlines\r\n.\r\n"), (true, "text\r\n"), (false, "gr\u{fc}n\r\n")] {
        let rest = Pieces { octets: text.repeat(1000).into_bytes(), broken };
        let target = target(server.address);
        let mut session = Session::open(&target, "out.test", &Security::Opportunistic, None, DEADLINES).await.unwrap();
        let sent = session.send_with_rest(&outgoing(&bob, &recipients, b"Subject: x\r\n\r\n"), Some(&rest)).await;
        if broken {
            assert!(matches!(sent, Err(ClientError::Lost(_))) && !session.is_usable());
            continue;
        }
        assert!(matches!(sent.unwrap().outcomes[0], Outcome::Delivered(_)));
        let (envelope, content) = server.host.mails.lock().unwrap().pop().unwrap();
        assert!(content == [b"Subject: x\r\n\r\n", &rest.octets[..]].concat(), "{text}");
        assert_eq!(envelope.parameters.size, content.len() as u64);
    }
    assert!(server.host.mails.lock().unwrap().is_empty(), "half a mail was taken");
}

#[tokio::test]
async fn a_thousand_recipients_go_in_flights() {
    let mut config = ServerConfig::new(Kind::Mx, "mx.satchel.test");
    config.bare_newlines = BareNewlines::Refuse;
    let server = start(config).await;
    let recipients: Vec<String> = (0..1000).map(|n| format!("alice+{n}@satchel.test")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let outcomes = send(&target(server.address), &recipients, &b"line\r\n".repeat(50_000)).await.unwrap();
    assert_eq!(outcomes.len(), 1000);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Delivered(_))));
}

#[tokio::test]
async fn a_plain_server_without_extensions_is_spoken_to_plainly() {
    let (address, heard) = scripted(&[
        "220 old.test\r\n",
        "502 what\r\n",
        "250 old.test\r\n",
        "250 ok\r\n",
        "250 ok\r\n",
        "450 4.2.1 busy\r\n",
        "354 go\r\n",
        "250 taken\r\n",
    ])
    .await;
    let outcomes = send(&target(address), &["a@x.test", "b@x.test"], "caf\u{e9}\r\n".as_bytes()).await.unwrap();
    assert!(matches!(&outcomes[0], Outcome::Delivered(reply) if reply.text == "taken"));
    assert!(matches!(&outcomes[1], Outcome::Temporary(reply) if reply.enhanced == Some((4, 2, 1))));
    let heard = heard.await.unwrap();
    assert_eq!(
        heard,
        [
            "EHLO out.test",
            "HELO out.test",
            "MAIL FROM:<bob@shop.test>",
            "RCPT TO:<a@x.test>",
            "RCPT TO:<b@x.test>",
            "DATA",
            "caf\u{e9}",
            ".",
            "QUIT"
        ]
    );
}

#[tokio::test]
async fn extensions_that_are_offered_are_used() {
    let (address, heard) = scripted(&[
        "220 new.test\r\n",
        "250-new.test\r\n250-SIZE 100\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
        "250 ok\r\n",
        "250 ok\r\n",
        "354 go\r\n",
        "250 taken\r\n",
    ])
    .await;
    send(&target(address), &["j\u{f6}rg@x.test"], "caf\u{e9}\r\n".as_bytes()).await.unwrap();
    assert_eq!(heard.await.unwrap()[1], "MAIL FROM:<bob@shop.test> SIZE=7 BODY=8BITMIME SMTPUTF8");
}

#[tokio::test]
async fn what_a_server_cannot_take_is_refused_before_it_is_sent() {
    let (address, _) = scripted(&["220 x\r\n", "250-x\r\n250 SIZE 3\r\n"]).await;
    let error = send(&target(address), &["a@x.test"], b"hello\r\n").await.unwrap_err();
    assert!(error.is_permanent() && error.reply().enhanced == Some((5, 3, 4)));
    let (address, _) = scripted(&["220 x\r\n", "250 x\r\n"]).await;
    let error = send(&target(address), &["j\u{f6}rg@x.test"], b"hello\r\n").await.unwrap_err();
    assert!(error.is_permanent() && error.reply().enhanced == Some((5, 6, 7)));
}

#[tokio::test]
async fn a_refusal_of_the_mail_tells_whether_to_try_again() {
    for (reply, permanent) in [("550 5.7.1 not you\r\n", true), ("451 4.7.1 grey\r\n", false)] {
        let replies: &'static [&'static str] = Vec::leak(vec!["220 x\r\n", "250 x\r\n", reply]);
        let (address, _) = scripted(replies).await;
        let error = send(&target(address), &["a@x.test"], b"hello\r\n").await.unwrap_err();
        assert_eq!(error.is_permanent(), permanent, "{error}");
    }
}

#[tokio::test]
async fn the_final_reply_decides_for_all_who_were_taken() {
    let (address, _) = scripted(&[
        "220 x\r\n",
        "250 x\r\n",
        "250 ok\r\n",
        "250 ok\r\n",
        "550 no\r\n",
        "354 go\r\n",
        "554 5.6.0 bad\r\n",
    ])
    .await;
    let outcomes = send(&target(address), &["a@x.test", "b@x.test"], b"hello\r\n").await.unwrap();
    assert!(matches!(&outcomes[0], Outcome::Permanent(reply) if reply.enhanced == Some((5, 6, 0))));
    assert!(matches!(&outcomes[1], Outcome::Permanent(reply) if reply.text == "no"));
}

#[tokio::test]
async fn a_broken_starttls_falls_back_to_the_clear() {
    // The first connection answers the handshake with garbage; the second one is our server, in the clear.
    let server = start(ServerConfig::new(Kind::Mx, "mx.satchel.test")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let backend = server.address;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut lines = BufReader::new(&mut stream);
        lines.write_all(b"220 x\r\n").await.unwrap();
        let mut line = String::new();
        lines.read_line(&mut line).await.unwrap();
        lines.write_all(b"250-x\r\n250 STARTTLS\r\n").await.unwrap();
        lines.read_line(&mut line).await.unwrap();
        lines.write_all(b"220 go\r\nthis is not TLS\r\n").await.unwrap();
        drop(stream);
        let (mut inbound, _) = listener.accept().await.unwrap();
        let mut outbound = tokio::net::TcpStream::connect(backend).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound).await;
    });
    let outcomes = send(&target(address), &["alice@satchel.test"], b"hello\r\n").await.unwrap();
    assert!(matches!(outcomes[0], Outcome::Delivered(_)));
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_is_dead_or_unwilling() {
    let server = start(ServerConfig::new(Kind::Mx, "mx.satchel.test")).await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (unwilling, _) = scripted(&["554 go away\r\n"]).await;
    let mut target = target(dead);
    target.addresses.extend([unwilling, server.address]);
    assert!(send(&target, &["alice@satchel.test"], b"hello\r\n").await.is_ok());

    target.addresses.pop();
    let (unwilling, _) = scripted(&["554 go away\r\n"]).await;
    target.addresses[1] = unwilling;
    let error = send(&target, &["alice@satchel.test"], b"hello\r\n").await.unwrap_err();
    assert!(matches!(error, ClientError::NotReady(_)) && !error.is_permanent(), "{error}");
}

#[tokio::test]
async fn a_server_that_talks_nonsense_or_too_much_is_left() {
    for reply in ["hello\r\n", "220-a\r\n250 b\r\n"] {
        let replies: &'static [&'static str] = Vec::leak(vec![reply]);
        let (address, _) = scripted(replies).await;
        let error = send(&target(address), &["a@x.test"], b"hello\r\n").await.unwrap_err();
        assert!(matches!(error, ClientError::Garbled(_)), "{error}");
    }
    let endless: &'static str = String::leak("220-x\r\n".repeat(5000));
    let (address, _) = scripted(Vec::leak(vec![endless])).await;
    assert!(matches!(send(&target(address), &["a@x.test"], b"x\r\n").await, Err(ClientError::Garbled(_))));
}

#[tokio::test]
async fn several_mails_go_through_one_session_and_a_refused_one_is_reset() {
    let (address, heard) = scripted(&[
        "220 x\r\n",
        "250-x\r\n250 DSN\r\n",
        "250 ok\r\n",
        "250 ok\r\n",
        "354 go\r\n",
        "250 taken\r\n",
        "250 ok\r\n",
        "550 5.1.1 nobody\r\n",
        "250 reset\r\n",
        "451 4.3.0 not now\r\n",
        "250 reset\r\n",
        "250 ok\r\n",
        "250 ok\r\n",
        "354 go\r\n",
        "421 4.3.2 closing\r\n",
    ])
    .await;
    let (bob, one) = (bob(), [OutgoingRecipient::from("a@x.test")]);
    let mail = outgoing(&bob, &one, b"hello\r\n");
    let mut session =
        Session::open(&target(address), "out.test", &Security::Opportunistic, None, DEADLINES).await.unwrap();
    let Sent { outcomes, reports, .. } = session.send(&mail).await.unwrap();
    assert!(matches!(outcomes[0], Outcome::Delivered(_)) && reports);
    // RFC 3461: what the sender asked for goes on as it came.
    let asked = [OutgoingRecipient {
        mailbox: "b@x.test".into(),
        notify: Some(Notify { success: true, failure: false, delay: true }),
        orcpt: Some("rfc822;b+2Bx@x.test".into()),
    }];
    let wishes = Outgoing { recipients: &asked, ret: Some(Ret::Hdrs), envid: Some("QQ314159"), ..mail };
    assert!(matches!(session.send(&wishes).await.unwrap().outcomes[0], Outcome::Permanent(_)));
    let refused = session.send(&mail).await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused(_)) && !refused.is_permanent() && session.is_usable());
    let sent = session.send(&mail).await.unwrap();
    assert!(matches!(sent.outcomes[0], Outcome::Temporary(_)) && !session.is_usable(), "421 is a goodbye");
    drop(session);
    let heard = heard.await.unwrap();
    assert_eq!(heard[1..5], ["MAIL FROM:<bob@shop.test>", "RCPT TO:<a@x.test>", "DATA", "hello"]);
    assert_eq!(
        heard[6..],
        [
            "MAIL FROM:<bob@shop.test> RET=HDRS ENVID=QQ314159",
            "RCPT TO:<b@x.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bx@x.test",
            "RSET",
            "MAIL FROM:<bob@shop.test>",
            "RSET",
            "MAIL FROM:<bob@shop.test>",
            "RCPT TO:<a@x.test>",
            "DATA",
            "hello",
            ".",
        ]
    );
}

#[tokio::test]
async fn a_lost_reply_to_the_message_is_told_from_other_losses() {
    let (address, _) = scripted(&["220 x\r\n", "250 x\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", ""]).await;
    let one = [OutgoingRecipient::from("a@x.test")];
    let (bob, deadlines) = (bob(), Deadlines { final_reply: Duration::from_millis(200), ..DEADLINES });
    let mail = outgoing(&bob, &one, b"hello\r\n");
    let error = deliver(&target(address), "out.test", &mail, &Security::Opportunistic, deadlines).await.unwrap_err();
    assert!(matches!(error, ClientError::InDoubt(_)) && !error.is_permanent(), "{error}");
}

#[tokio::test]
async fn mail_that_requires_tls_goes_to_nobody_who_does_not_promise_it() {
    let server = start(ServerConfig::new(Kind::Mx, "mx.satchel.test").with_tls(tls(), TlsStart::StartTls)).await;
    let one = [OutgoingRecipient::from("alice@satchel.test")];
    let bob = bob();
    let mail = Outgoing { require_tls: true, ..outgoing(&bob, &one, b"hello\r\n") };
    let target = target(server.address);
    let error = deliver(&target, "out.test", &mail, &Security::Opportunistic, DEADLINES).await.unwrap_err();
    assert_eq!(error.reply().enhanced, Some((5, 7, 30)), "its name is not proved: {error}");
    // A certificate that nobody vouches for is none where one is asked for.
    let error = deliver(&target, "out.test", &mail, &Security::Trusted, DEADLINES).await.unwrap_err();
    assert!(matches!(error, ClientError::Tls { .. }) && !error.is_permanent(), "{error}");
    assert!(server.host.mails.lock().unwrap().is_empty());
    let clear = start(ServerConfig::new(Kind::Mx, "mx.satchel.test")).await;
    let target = Target { addresses: vec![clear.address], ..target };
    let error = deliver(&target, "out.test", &mail, &Security::Encrypted, DEADLINES).await.unwrap_err();
    assert!(error.to_string().contains("STARTTLS is not offered"), "{error}");
}

#[tokio::test]
async fn a_smart_host_is_logged_in_to() {
    for (offer, replies) in [
        ("AUTH PLAIN LOGIN", &["AUTH PLAIN AG1lAHNlY3JldA=="][..]),
        ("AUTH LOGIN", &["AUTH LOGIN", "bWU=", "c2VjcmV0"]),
    ] {
        let mut script = vec!["220 x\r\n", String::leak(format!("250-x\r\n250 {offer}\r\n"))];
        script.extend(vec!["334 \r\n"; replies.len() - 1]);
        script.push("235 2.7.0 in\r\n");
        let (address, heard) = scripted(Vec::leak(script)).await;
        let credentials = Credentials { user: "me".into(), password: Secret::new("secret".into()) };
        let session =
            Session::open(&target(address), "out.test", &Security::Opportunistic, Some(&credentials), DEADLINES).await;
        session.unwrap().quit().await;
        assert_eq!(heard.await.unwrap()[1..=replies.len()], *replies);
    }
}

#[tokio::test]
async fn a_time_to_arrive_by_and_a_priority_are_handed_on_or_the_mail_is_not() {
    let by = |seconds, mode, trace| Some(DeliverBy { seconds, mode, trace });
    let (bob, one) = (bob(), [OutgoingRecipient::from("a@x.test")]);
    let mail = outgoing(&bob, &one, b"hello\r\n");
    let open = |address| async move {
        Session::open(&target(address), "out.test", &Security::Off, None, DEADLINES).await.unwrap()
    };
    // One that keeps the time, but not less than a minute of it.
    let (address, heard) = scripted(&[
        "220 x\r\n",
        "250-x\r\n250-DELIVERBY 60\r\n250 MT-PRIORITY NONE\r\n",
        "250 ok\r\n",
        "250 ok\r\n",
        "354 go\r\n",
        "250 taken\r\n",
        "250 ok\r\n",
        "250 ok\r\n",
        "354 go\r\n",
        "250 taken\r\n",
    ])
    .await;
    let mut session = open(address).await;
    let soon = Outgoing { priority: -3, deliver_by: by(90, ByMode::Return, true), ..mail };
    assert!(session.send(&soon).await.unwrap().keeps_time);
    let late = Outgoing { deliver_by: by(-5, ByMode::Notify, false), ..mail };
    assert!(matches!(session.send(&late).await.unwrap().outcomes[0], Outcome::Delivered(_)));
    let short = Outgoing { deliver_by: by(59, ByMode::Return, false), ..mail };
    let refused = session.send(&short).await.unwrap_err();
    assert!(refused.is_permanent() && refused.reply().enhanced == Some((5, 4, 7)), "{refused}");
    drop(session);
    let heard = heard.await.unwrap();
    let envelopes: Vec<_> = heard.iter().filter(|line| line.starts_with("MAIL")).collect();
    assert_eq!(
        envelopes,
        ["MAIL FROM:<bob@shop.test> MT-PRIORITY=-3 BY=90;RT", "MAIL FROM:<bob@shop.test> BY=-5;N"],
        "{heard:?}"
    );

    // One that does not.
    let (address, heard) =
        scripted(&["220 x\r\n", "250 x\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 taken\r\n"]).await;
    let mut session = open(address).await;
    let refused = session.send(&soon).await.unwrap_err();
    assert!(refused.is_permanent() && refused.reply().enhanced == Some((5, 3, 3)), "{refused}");
    drop((session, heard));
    let (address, heard) =
        scripted(&["220 x\r\n", "250 x\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 taken\r\n"]).await;
    let mut session = open(address).await;
    let told = Outgoing { priority: 9, deliver_by: by(90, ByMode::Notify, true), ..mail };
    assert!(!session.send(&told).await.unwrap().keeps_time);
    drop(session);
    assert_eq!(heard.await.unwrap()[1], "MAIL FROM:<bob@shop.test>");
}
