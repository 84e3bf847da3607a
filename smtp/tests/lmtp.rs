//! LMTP, for an MX in front. RFC 2033.

use crate::support::dialogue::Dialogue;
use crate::support::host::{Raw, start};
use smtp::{Forwarded, Kind, Network, ServerConfig};

fn lmtp() -> Dialogue {
    Dialogue::with(Kind::Lmtp, |_| ())
}

fn greeted() -> Dialogue {
    let mut talk = lmtp();
    let replies = talk.send(b"LHLO mx.front.test\r\n");
    for line in ["250-PIPELINING", "250-ENHANCEDSTATUSCODES", "250-8BITMIME", "250-CHUNKING", "250-XFORWARD ADDR HELO"]
    {
        assert!(replies.lines().any(|reply| reply == line), "{line} is missing from {replies}");
    }
    assert!(!replies.contains("AUTH") && !replies.contains("DSN"), "{replies}");
    talk
}

#[test]
fn the_greeting_is_lhlo_and_no_other() {
    let mut talk = lmtp();
    assert_eq!(talk.send(b"EHLO mx.front.test\r\n"), "500 5.5.1 this is LMTP: say LHLO\r\n");
    assert_eq!(talk.send(b"HELO mx.front.test\r\n"), "500 5.5.1 this is LMTP: say LHLO\r\n");
    assert_eq!(talk.send(b"MAIL FROM:<bob@shop.test>\r\n"), "503 5.5.1 say LHLO first\r\n");
    let mut smtp = Dialogue::mx();
    assert!(smtp.send(b"LHLO mx.front.test\r\n").starts_with("500 5.5.1 "));
    assert!(smtp.send(b"XFORWARD ADDR=192.0.2.1\r\n").starts_with("500 5.5.1 "));
}

#[test]
fn every_recipient_that_was_taken_has_a_reply() {
    let mut talk = greeted();
    talk.send(b"MAIL FROM:<bob@shop.test>\r\nRCPT TO:<alice@satchel.test>\r\nRCPT TO:<nobody@satchel.test>\r\n");
    // RFC 2033 §4.2: the same one twice included.
    talk.send(b"RCPT TO:<alice2@satchel.test>\r\nRCPT TO:<alice@satchel.test>\r\n");
    assert!(talk.send(b"DATA\r\n").starts_with("354 "));
    assert_eq!(talk.send(b"Subject: hi\r\n\r\nhi\r\n.\r\n"), "250 2.0.0 message accepted as q1\r\n".repeat(3));
    assert_eq!(talk.delivered[0].0.recipients.len(), 3);
    assert_eq!(talk.delivered[0].0.peer.protocol(), "LMTP");

    // What is refused whole is refused for each.
    talk.send(b"MAIL FROM:<bob@shop.test>\r\nRCPT TO:<alice@satchel.test>\r\nRCPT TO:<alice2@satchel.test>\r\n");
    let replies = talk.send(b"DATA\r\na\nb\r\n.\r\nNOOP\r\n");
    let codes: Vec<&str> = replies.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["354", "550", "550", "250"], "{replies}");
}

#[test]
fn chunks_have_one_reply_each_and_the_last_as_many_as_recipients() {
    let mut talk = greeted();
    talk.send(b"MAIL FROM:<bob@shop.test>\r\nRCPT TO:<alice@satchel.test>\r\nRCPT TO:<alice2@satchel.test>\r\n");
    assert_eq!(talk.send(b"BDAT 4\r\nhi\r\n"), "250 2.0.0 4 octets taken\r\n");
    assert_eq!(talk.send(b"BDAT 0 LAST\r\n"), "250 2.0.0 message accepted as q1\r\n".repeat(2));
    // RFC 2033 §4.2 and §4.3: no recipients.
    talk.send(b"MAIL FROM:<bob@shop.test>\r\nRCPT TO:<nobody@satchel.test>\r\n");
    assert_eq!(talk.send(b"DATA\r\n"), "503 5.5.1 no valid recipients\r\n");
    assert_eq!(talk.send(b"BDAT 4 LAST\r\nhi\r\nNOOP\r\n"), "250 2.0.0 nothing done\r\n");
}

#[test]
fn the_mx_in_front_says_from_whom_the_mail_came() {
    let mut talk = greeted();
    let first = b"XFORWARD ADDR=192.0.2.7 HELO=mail.shop.test\r\n";
    assert_eq!(talk.send(first), "250 2.0.0 noted\r\n");
    talk.begin();
    assert_eq!(talk.send(b"XFORWARD ADDR=192.0.2.8\r\n"), "503 5.5.1 XFORWARD comes before MAIL\r\n");
    talk.send(b"DATA\r\n.\r\n");
    // Of one mail nothing is known of the next.
    talk.begin();
    talk.send(b"DATA\r\n.\r\n");
    talk.send(b"XFORWARD ADDR=IPV6:2001:db8::1\r\nXFORWARD HELO=[UNAVAILABLE]\r\n");
    talk.begin();
    talk.send(b"DATA\r\n.\r\n");
    let said: Vec<_> = talk.delivered.iter().map(|(envelope, _)| envelope.peer.forwarded.clone()).collect();
    let address = |text: &str| Some(text.parse().unwrap());
    assert_eq!(
        said,
        [
            Some(Forwarded { address: address("192.0.2.7"), helo: Some("mail.shop.test".to_owned()) }),
            None,
            Some(Forwarded { address: address("2001:db8::1"), helo: None }),
        ]
    );
    for wrong in ["ADDR=here", "ADDR", "NAME=x", "ADDR=+0", "ADDR=192.0.2.1 PORT=1"] {
        let reply = talk.send(format!("XFORWARD {wrong}\r\n").as_bytes());
        assert!(reply.starts_with("501 5.5.4 "), "{wrong}: {reply}");
    }
}

#[tokio::test]
async fn only_listed_networks_are_served() {
    let server = start(ServerConfig::new(Kind::Lmtp, "mx.satchel.test")).await;
    let mut peer = Raw::connect(server.address).await;
    assert_eq!(peer.reply().await, "220 mx.satchel.test LMTP Satchel\r\n");
    assert!(peer.ask("LHLO mx.front.test").await.contains("250-PIPELINING\r\n"));
    peer.ask("MAIL FROM:<bob@shop.test>").await;
    for _ in 0..2 {
        assert!(peer.ask("RCPT TO:<alice@satchel.test>").await.starts_with("250 "));
    }
    peer.ask("DATA").await;
    assert!(peer.ask("hi\r\n.").await.starts_with("250 2.0.0 "));
    assert!(peer.reply().await.starts_with("250 2.0.0 "));

    let mut config = ServerConfig::new(Kind::Lmtp, "mx.satchel.test");
    config.networks = vec!["192.0.2.0/24".parse::<Network>().unwrap()];
    let server = start(config).await;
    let mut peer = Raw::connect(server.address).await;
    assert_eq!(peer.reply().await, "554 5.7.1 this server serves an MX of its own only\r\n");
    assert_eq!(peer.reply().await, "");
}
