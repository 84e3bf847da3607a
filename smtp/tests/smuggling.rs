//! Smuggling and injection over real sockets: what stands inside a mail, or behind STARTTLS, AUTH or a chunk, never
//! becomes a command, and every command is answered once.

use crate::support::host::{Raw, Running, encrypt, start, tls};
use smtp::{BareNewlines, Kind, ServerConfig, TlsStart};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

fn mx() -> ServerConfig {
    ServerConfig::new(Kind::Mx, "mx.satchel.test")
}

/// What an attacker wants to be taken for a second mail.
const SECOND: &str = "MAIL FROM:<evil@shop.test>\r\nRCPT TO:<alice@satchel.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx";

async fn greeted(server: &Running) -> Raw<TcpStream> {
    let mut client = Raw::connect(server.address).await;
    assert!(client.reply().await.starts_with("220"));
    client
}

/// Nothing more may come than the reply to this.
async fn assert_in_step<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(client: &mut Raw<S>, what: &str) {
    assert_eq!(client.ask("NOOP in step").await, "250 2.0.0 nothing done\r\n", "{what}");
}

#[tokio::test]
async fn no_end_of_data_but_crlf_dot_crlf() {
    // Every way that some server somewhere took for the end of a message.
    let ends = [
        "\n.\n",
        "\n.\r\n",
        "\n.\r",
        "\r.\r",
        "\r.\n",
        "\r.\r\n",
        "\r\n.\n",
        "\r\n.\r",
        "\r\n.\r\r\n",
        "\r\n\r.\r\n",
        "\r\n.\0\r\n",
        "\r\n\0.\r\n",
        "\0\n.\n\0",
        "\r\n.\r\0\n",
        "\r\n. \r\n",
        "\r\n .\r\n",
        "\r\n..\r\n",
        "\r\n.\t\r\n",
        "\n\n.\n\n",
        "\r\r.\r\r",
        "\n.\n\r\n",
        "\r\n.\x0b\r\n",
        "\r\n.\x0c\r\n",
        "\r\n.\u{85}",
        "\u{2028}.\u{2028}",
        "\r\n.\x1a\r\n",
        "=0D=0A.=0D=0A",
        "\\r\\n.\\r\\n",
    ];
    for policy in [BareNewlines::Refuse, BareNewlines::Normalise] {
        let mut config = mx();
        config.bare_newlines = policy;
        let server = start(config).await;
        for end in ends {
            let mut client = greeted(&server).await;
            client.begin_mail().await;
            client.ask("DATA").await;
            client.send(format!("Subject: outer\r\n\r\nhello{end}{SECOND}\r\n.\r\n").as_bytes()).await;
            let reply = client.reply().await;
            assert!(reply.starts_with("250 2.0.0") || reply.starts_with("550 5.6.11"), "{end:?}: {reply}");
            assert_in_step(&mut client, end).await;
        }
        let mails = server.host.mails.lock().unwrap();
        for (envelope, content) in mails.iter() {
            assert_eq!(envelope.reverse_path.as_str(), "bob@shop.test");
            assert!(content.starts_with(b"Subject: outer"), "{}", String::from_utf8_lossy(content));
            let content = String::from_utf8_lossy(content);
            assert!(!content.replace("\r\n", "").contains(['\r', '\n']), "no line end is left that is not CRLF");
        }
    }
}

#[tokio::test]
async fn an_end_in_pieces_is_an_end_and_a_wrong_one_in_pieces_is_not() {
    let server = start(mx()).await;
    for (pieces, taken) in [
        (&["hello\r", "\n", ".", "\r", "\n"][..], true),
        (&["hello\r\n.", "\n", "x\r\n.\r\n"], false),
        (&["hello\n", ".\r\n", "\r\n.\r\n"], false),
        (&["hello\r", ".\r\n", "\r\n.\r\n"], false),
    ] {
        let mut client = greeted(&server).await;
        client.begin_mail().await;
        client.ask("DATA").await;
        for piece in pieces {
            client.send(piece.as_bytes()).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let reply = client.reply().await;
        assert_eq!(reply.starts_with("250"), taken, "{pieces:?}: {reply}");
        assert_in_step(&mut client, "pieces").await;
    }
}

#[tokio::test]
async fn a_chunk_is_as_long_as_it_says_and_never_a_command() {
    let server = start(mx()).await;
    // What is inside a chunk is content; what follows it is a command.
    for (wire, replies) in [
        (format!("BDAT {} LAST\r\n{SECOND}", SECOND.len()), &["250 2.0.0 message"][..]),
        ("BDAT 5\r\n\r\n.\r\nBDAT 0 LAST\r\n".into(), &["250 2.0.0 5 octets", "250 2.0.0 message"]),
        (format!("BDAT {} LAST\r\n\r\n.\r\n{SECOND}", SECOND.len() + 5), &["250 2.0.0 message"]),
        // DATA behind a chunk, and the end of DATA as a command.
        ("BDAT 2\r\nabDATA\r\n.\r\n".into(), &["250 2.0.0 2 octets", "503 5.5.1", "500 5.5.1"]),
        // An unread end: the connection ends, because what follows could be content.
        (format!("BDAT 99999999999999999999 LAST\r\n{SECOND}"), &["501 5.5.4", "421 4.7.0"]),
        (format!("BDAT 18446744073709551617 LAST\r\n{SECOND}"), &["501 5.5.4", "421 4.7.0"]),
        (format!("BDAT 18446744073709551615 LAST\r\n{SECOND}"), &["552 5.3.4", "421 4.3.4"]),
        (format!("BDAT -1 LAST\r\n{SECOND}"), &["501 5.5.4", "421 4.7.0"]),
        (format!("BDAT +5 LAST\r\n{SECOND}"), &["501 5.5.4", "421 4.7.0"]),
        (format!("BDAT 0x10 LAST\r\n{SECOND}"), &["501 5.5.4", "421 4.7.0"]),
        (format!("BDAT 5 5 LAST\r\n{SECOND}"), &["501 5.5.4", "421 4.7.0"]),
        (format!("BDAT 5LAST\r\n{SECOND}"), &["501 5.5.4", "421 4.7.0"]),
        (format!("BDAT 5 LASTLY\r\n{SECOND}"), &["501 5.5.4", "421 4.7.0"]),
        (format!("BDAT\r\n{SECOND}"), &["501 5.5.4", "421 4.7.0"]),
        (format!("BDAT LAST\r\n{SECOND}"), &["501 5.5.4", "421 4.7.0"]),
    ] {
        let mut client = greeted(&server).await;
        client.begin_mail().await;
        client.send(wire.as_bytes()).await;
        for expected in replies {
            let reply = client.reply().await;
            assert!(reply.starts_with(expected), "{wire:?}: {reply}");
        }
        if replies.last().is_some_and(|last| last.starts_with("421")) {
            assert_eq!(client.reply().await, "", "{wire:?}");
        } else {
            assert_in_step(&mut client, &wire).await;
        }
    }
    // Three were whole, and whatever they held, they are of one sender.
    let mails = server.host.mails.lock().unwrap();
    assert_eq!(mails.len(), 3);
    assert!(mails.iter().all(|(envelope, _)| envelope.reverse_path.as_str() == "bob@shop.test"));
}

#[tokio::test]
async fn nothing_sent_behind_starttls_survives_it() {
    for kind in [Kind::Mx, Kind::Submission] {
        let server = start(ServerConfig::new(kind, "mx.satchel.test").with_tls(tls(), TlsStart::StartTls)).await;
        for behind in [
            "EHLO evil.test\r\nMAIL FROM:<evil@shop.test>\r\n",
            "NOOP\r\n",
            "RSET\r\nEHLO evil.test\r\n",
            "\r\n",
            "\n",
            "x",
            "\0",
            "EHLO evil.test",
            "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n",
            "STARTTLS\r\n",
            "QUIT\r\n",
        ] {
            for command in ["STARTTLS\r\n", "starttls\n", "STARTTLS \r\n"] {
                let mut client = greeted(&server).await;
                client.ask("EHLO client.test").await;
                client.send(format!("{command}{behind}").as_bytes()).await;
                let first = client.reply().await;
                assert!(first.starts_with("501 5.5.1"), "{command:?} {behind:?}: {first}");
                assert!(client.reply().await.starts_with("421 4.7.0"), "{behind:?}");
                assert_eq!(client.reply().await, "", "{behind:?}");
            }
        }
        // In a packet of its own, between the reply and the handshake: no TLS, no reply, no mail.
        let mut client = greeted(&server).await;
        client.ask("EHLO client.test").await;
        assert!(client.ask("STARTTLS").await.starts_with("220"));
        client.send(b"EHLO evil.test\r\nMAIL FROM:<evil@shop.test>\r\n").await;
        let mut rest = Vec::new();
        let _ = timeout(Duration::from_secs(5), client.stream.read_to_end(&mut rest)).await.expect("it ends");
        assert!(!rest.windows(3).any(|reply| reply == b"250"), "{rest:?}");

        // What was agreed before TLS is not agreed after it.
        let mut client = greeted(&server).await;
        client.ask("EHLO evil.test").await;
        client.ask("MAIL FROM:<evil@shop.test>").await;
        assert!(client.ask("STARTTLS").await.starts_with("220"));
        let mut client = Raw::over(encrypt(client.stream).await);
        assert!(client.ask("RCPT TO:<alice@satchel.test>").await.starts_with("503"));
        assert!(client.ask("MAIL FROM:<bob@shop.test>").await.starts_with("503"));
        let ehlo = client.ask("EHLO client.test").await;
        assert!(!ehlo.contains("STARTTLS") && ehlo.contains("greets client.test"));
        assert!(client.ask("STARTTLS").await.starts_with("503"));
        assert!(server.host.mails.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_stands_behind_auth_is_an_answer_until_the_exchange_is_over() {
    let server = start(ServerConfig::new(Kind::Submission, "mx.satchel.test")).await;
    let mut client = greeted(&server).await;
    client.ask("EHLO client.test").await;
    // The lines that follow are user and password, whatever they look like.
    client.send(b"AUTH LOGIN\r\nRSET\r\nQUIT\r\nNOOP\r\n").await;
    assert!(client.reply().await.starts_with("334"));
    let reply = client.reply().await;
    assert!(reply.starts_with("334"), "RSET is base64, too: {reply}");
    assert!(client.reply().await.starts_with("535"));
    assert_eq!(client.reply().await, "250 2.0.0 nothing done\r\n");
    // A mail behind a login that fails is not taken for one of somebody who is logged in.
    client.send(b"AUTH PLAIN AGFsaWNlAHdyb25n\r\nMAIL FROM:<alice@satchel.test>\r\n").await;
    assert!(client.reply().await.starts_with("535"));
    assert!(client.reply().await.starts_with("530"));
    assert_in_step(&mut client, "auth").await;
}

#[tokio::test]
async fn what_stands_behind_a_refused_data_is_read_as_commands_and_answered_one_by_one() {
    let server = start(mx()).await;
    let mut client = greeted(&server).await;
    client.ask("EHLO client.test").await;
    client.send(b"MAIL FROM:<bob@shop.test>\r\nRCPT TO:<no@satchel.test>\r\nDATA\r\nSubject: x\r\n.\r\n").await;
    for expected in ["250 2.1.0", "550 5.1.1", "554 5.5.1", "500 5.5.1", "500 5.5.1"] {
        let reply = client.reply().await;
        assert!(reply.starts_with(expected), "{expected}: {reply}");
    }
    assert_in_step(&mut client, "data").await;
    // Commands with NUL, CR or eight-bit octets in them are none.
    for line in ["NO\0OP\r\n", "NOOP\rMAIL FROM:<a@b>\r\n", "MAIL FROM:<a\0@b>\r\n", "\u{feff}NOOP\r\n", "\0\r\n"] {
        client.send(line.as_bytes()).await;
        let reply = client.reply().await;
        assert!(reply.starts_with("500 5.5."), "{line:?}: {reply}");
    }
    assert_in_step(&mut client, "octets").await;
    client.stream.shutdown().await.unwrap();
    assert!(server.host.mails.lock().unwrap().is_empty());
}
