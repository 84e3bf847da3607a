//! The server over real sockets: TLS, limits, spool, shutdown.

use crate::support::host::{Memory, Raw, encrypt, start, start_with, tls};
use smtp::{Kind, ServerConfig, TlsStart, limits};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Notify;
use tokio::time::timeout;

fn mx() -> ServerConfig {
    ServerConfig::new(Kind::Mx, "mx.satchel.test")
}

#[tokio::test]
async fn a_mail_arrives_over_a_socket() {
    let server = start(mx()).await;
    let mut client = Raw::connect(server.address).await;
    assert_eq!(client.reply().await, "220 mx.satchel.test ESMTP Satchel\r\n");
    client.begin_mail().await;
    assert!(client.ask("DATA").await.starts_with("354"));
    client.send(b"Subject: hi\r\n\r\n..dot\r\n.\r\n").await;
    assert_eq!(client.reply().await, "250 2.0.0 message accepted as q1\r\n");
    assert_eq!(client.ask("QUIT").await, "221 2.0.0 mx.satchel.test goodbye\r\n");
    assert_eq!(client.reply().await, "");
    let mails = server.host.mails.lock().unwrap();
    assert_eq!(mails[0].1, b"Subject: hi\r\n\r\n.dot\r\n");
    assert!(mails[0].0.peer.address.ip().is_loopback());
}

#[tokio::test]
async fn replies_to_pipelined_commands_come_in_one_packet() {
    let server = start(mx()).await;
    let mut client = Raw::connect(server.address).await;
    client.reply().await;
    client.send(b"NOOP\r\nNOOP\r\nRSET\r\n").await;
    let mut buffer = [0; 4096];
    let octets = client.stream.read(&mut buffer).await.unwrap();
    assert_eq!(buffer[..octets].split(|&b| b == b'\n').count(), 4, "three replies at once");
}

#[tokio::test]
async fn a_flood_of_tiny_chunks_is_answered_in_full() {
    let server = start(mx()).await;
    let mut client = Raw::connect(server.address).await;
    client.reply().await;
    client.begin_mail().await;
    let mut wire = b"BDAT 1\r\nx".repeat(3000);
    wire.extend_from_slice(b"BDAT 0 LAST\r\n");
    client.send(&wire).await;
    for _ in 0..3000 {
        assert_eq!(client.reply().await, "250 2.0.0 1 octets taken\r\n");
    }
    assert!(client.reply().await.starts_with("250 2.0.0 message accepted"));
    assert_eq!(server.host.mails.lock().unwrap()[0].1.len(), 3000);
}

#[tokio::test]
async fn a_large_message_goes_by_the_encrypted_file() {
    let server = start(mx()).await;
    let mut client = Raw::connect(server.address).await;
    client.reply().await;
    client.begin_mail().await;
    client.ask("DATA").await;
    let line = format!("{}\r\n", "x".repeat(998));
    let message = line.repeat(2000);
    client.send(message.as_bytes()).await;
    client.send(b".\r\n").await;
    assert!(client.reply().await.starts_with("250"));
    assert!(server.host.mails.lock().unwrap()[0].1 == message.as_bytes());
}

#[tokio::test]
async fn a_full_disk_puts_the_mail_off_and_keeps_the_session() {
    let server = start_with(mx(), Memory::default(), |area| area.with_bounds(1000, 100_000)).await;
    let mut client = Raw::connect(server.address).await;
    client.reply().await;
    for (lines, reply) in [(1000, "452 4.3.1"), (50, "250 2.0.0")] {
        client.begin_mail().await;
        client.ask("DATA").await;
        client.send(format!("{}\r\n", "x".repeat(998)).repeat(lines).as_bytes()).await;
        client.send(b".\r\n").await;
        let got = client.reply().await;
        assert!(got.starts_with(reply), "{got}");
    }
    assert_eq!(server.host.mails.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn starttls_encrypts_and_resets() {
    let server = start(mx().with_tls(tls(), TlsStart::StartTls)).await;
    let mut client = Raw::connect(server.address).await;
    client.reply().await;
    assert!(client.ask("EHLO client.test").await.contains("STARTTLS"));
    assert!(client.ask("STARTTLS").await.starts_with("220"));
    let mut client = Raw::over(encrypt(client.stream).await);
    assert!(client.ask("MAIL FROM:<bob@shop.test>").await.starts_with("503"));
    client.begin_mail().await;
    client.ask("DATA").await;
    assert!(client.ask("hi\r\n.").await.starts_with("250"));
    let mails = server.host.mails.lock().unwrap();
    let tls = mails[0].0.peer.tls.as_ref().unwrap();
    assert_eq!(tls.version, "TLSv1_3");
    assert!(tls.cipher.starts_with("TLS13_"), "{}", tls.cipher);
}

#[tokio::test]
async fn what_is_injected_behind_starttls_never_runs() {
    let server = start(mx().with_tls(tls(), TlsStart::StartTls)).await;
    let mut client = Raw::connect(server.address).await;
    client.reply().await;
    client.ask("EHLO client.test").await;
    client.send(b"STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@shop.test>\r\n").await;
    assert!(client.reply().await.starts_with("501"));
    assert!(client.reply().await.starts_with("421"));
    assert_eq!(client.reply().await, "");
}

#[tokio::test]
async fn an_mx_sends_no_session_tickets_and_submission_may() {
    for (kind, tickets) in [(Kind::Mx, 0), (Kind::Submission, 2)] {
        let config = ServerConfig::new(kind, "mx.satchel.test").with_tls(tls(), TlsStart::Implicit);
        let server = start(config).await;
        let stream = encrypt(tokio::net::TcpStream::connect(server.address).await.unwrap()).await;
        let mut client = Raw::over(stream);
        assert!(client.reply().await.starts_with("220"));
        let received = client.stream.get_ref().1.tls13_tickets_received();
        assert_eq!(received, tickets, "{kind:?}");
    }
}

#[tokio::test]
async fn implicit_tls_and_a_login() {
    let config = ServerConfig::new(Kind::Submission, "mx.satchel.test").with_tls(tls(), TlsStart::Implicit);
    let server = start(config).await;
    let mut client = Raw::over(encrypt(tokio::net::TcpStream::connect(server.address).await.unwrap()).await);
    client.reply().await;
    assert!(client.ask("EHLO [127.0.0.1]").await.contains("AUTH PLAIN LOGIN"));
    assert!(client.ask("AUTH LOGIN").await.starts_with("334 VXNlcm5hbWU6"));
    assert!(client.ask("YWxpY2U=").await.starts_with("334 UGFzc3dvcmQ6"));
    assert!(client.ask("c2VjcmV0").await.starts_with("235"));
    assert!(client.ask("MAIL FROM:<alice@satchel.test>").await.starts_with("250"));
    client.ask("RCPT TO:<alice@satchel.test>").await;
    client.ask("DATA").await;
    assert!(client.ask("hi\r\n.").await.starts_with("250"));
    let mails = server.host.mails.lock().unwrap();
    assert_eq!(mails[0].0.peer.protocol(), "ESMTPSA");
    assert_eq!(mails[0].0.peer.authenticated.as_ref().unwrap().id, 7);
}

#[tokio::test]
async fn one_connection_too_many_is_told_to_come_again() {
    let mut config = mx();
    config.connections_max = 2;
    let server = start(config).await;
    let (mut first, mut second) = (Raw::connect(server.address).await, Raw::connect(server.address).await);
    assert!(first.reply().await.starts_with("220") && second.reply().await.starts_with("220"));
    let mut third = Raw::connect(server.address).await;
    assert_eq!(third.reply().await, "421 4.7.0 mx.satchel.test too many connections, please come again\r\n");
    first.ask("QUIT").await;
    drop(first);
    // The place is free once the server has noticed; ask until then.
    timeout(Duration::from_secs(5), async {
        while !Raw::connect(server.address).await.reply().await.starts_with("220") {}
    })
    .await
    .expect("the place was given back");
}

#[tokio::test]
async fn a_quiet_peer_is_hung_up_on() {
    let mut config = mx();
    config.command_timeout = Duration::from_millis(50);
    let server = start(config).await;
    let mut client = Raw::connect(server.address).await;
    client.reply().await;
    assert!(client.reply().await.starts_with("421 4.4.2"));
    assert_eq!(client.reply().await, "");
}

#[tokio::test]
async fn who_tries_names_waits_for_each_answer_and_nobody_else_does() {
    let mut config = mx();
    config.probe_delay = Duration::from_millis(200);
    let server = start(config).await;
    let mut client = Raw::connect(server.address).await;
    client.reply().await;
    client.ask("EHLO client.test").await;
    client.ask("MAIL FROM:<bob@shop.test>").await;
    let begun = std::time::Instant::now();
    for number in 0..limits::RECIPIENTS_REFUSED_FREE {
        assert!(client.ask(&format!("RCPT TO:<no{number}@satchel.test>")).await.starts_with("550 5.1.1"));
    }
    let free = begun.elapsed();
    for _ in 0..2 {
        assert!(client.ask("RCPT TO:<nobody@satchel.test>").await.starts_with("550 5.1.1"));
    }
    assert!(begun.elapsed() >= free + Duration::from_millis(400));
    let begun = std::time::Instant::now();
    assert!(client.ask("RCPT TO:<alice@satchel.test>").await.starts_with("250"));
    assert!(begun.elapsed() < Duration::from_millis(200), "one that is here is answered at once");
}

#[tokio::test]
async fn a_shutdown_ends_idle_sessions_and_waits_for_mail_under_way() {
    let gate = Arc::new(Notify::new());
    let host = Memory { gate: Some(gate.clone()), ..Memory::default() };
    let server = start_with(mx(), host, |area| area).await;
    let mut idle = Raw::connect(server.address).await;
    idle.reply().await;
    let mut busy = Raw::connect(server.address).await;
    busy.reply().await;
    busy.begin_mail().await;
    busy.ask("DATA").await;
    busy.send(b"half\r\n").await;

    server.stop.send(true).unwrap();
    assert_eq!(idle.reply().await, "421 4.3.2 mx.satchel.test this server is being restarted, please come again\r\n");
    busy.send(b"and half\r\n.\r\n").await;
    gate.notify_one();
    assert!(busy.reply().await.starts_with("250"));
    assert!(busy.reply().await.starts_with("421 4.3.2"));
    timeout(limits::SHUTDOWN_GRACE / 2, server.task).await.expect("run() ends").unwrap();
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
    assert_eq!(server.host.mails.lock().unwrap()[0].1, b"half\r\nand half\r\n");
}
