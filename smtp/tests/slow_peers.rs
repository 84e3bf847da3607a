//! Thousands of peers that send an octet a second hold nobody else up.

use crate::support::host::{Raw, start};
use smtp::{Kind, ServerConfig};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

/// Peers when the machine lets one process have that many sockets at both ends, else what it lets.
const PEERS: usize = 5000;

/// How long a mail of the normal client may take, greeting to reply.
const NORMAL_MAIL: Duration = Duration::from_secs(1);

/// Sockets this process may have open: two for each peer, and some for everything else.
fn peers() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files =
        limits.lines().find(|line| line.starts_with("Max open files")).and_then(|line| line.split_whitespace().nth(3));
    let files: usize = files.and_then(|files| files.parse().ok()).unwrap_or(1024);
    PEERS.min(files.saturating_sub(200) / 2)
}

/// From an address of its own, as a botnet would: 250 to a network of loopback.
async fn slow(server: SocketAddr, number: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let third = u8::try_from(number / 250).unwrap();
    let fourth = u8::try_from(number % 250 + 1).unwrap();
    socket.bind(SocketAddr::from(([127, 0, third + 1, fourth], 0))).unwrap();
    socket.connect(server).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_that_send_an_octet_a_second_hold_nobody_up() {
    let peers = peers();
    let server = start(ServerConfig::new(Kind::Mx, "mx.satchel.test")).await;
    let mut slow_ones = Vec::with_capacity(peers);
    for number in 0..peers {
        slow_ones.push(slow(server.address, number).await);
    }
    // A third drags a command, a third a message, a third says nothing at all after its greeting.
    for (number, stream) in slow_ones.iter_mut().enumerate() {
        if number % 3 == 1 {
            let begin = b"EHLO s\r\nMAIL FROM:<s@slow.test>\r\nRCPT TO:<alice@satchel.test>\r\nDATA\r\n";
            stream.write_all(begin).await.unwrap();
        }
    }
    let (dragged, mut drags) = tokio::sync::watch::channel(0);
    let dragging = tokio::spawn(async move {
        loop {
            dragged.send_modify(|drags| *drags += 1);
            for (number, stream) in slow_ones.iter_mut().enumerate() {
                if number % 3 != 2 {
                    let _ = stream.write_all(b"x").await;
                }
            }
            // The octet a second that they drag, and faster: the test shall end.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        let begun = Instant::now();
        let mut client = Raw::connect(server.address).await;
        assert!(client.reply().await.starts_with("220"));
        client.begin_mail().await;
        client.ask("DATA").await;
        client.send(b"Subject: in between\r\n\r\nhello\r\n.\r\n").await;
        assert!(client.reply().await.starts_with("250 2.0.0"));
        slowest = slowest.max(begun.elapsed());
        // The next one meets another octet of everybody.
        drags.changed().await.unwrap();
    }
    println!("{peers} slow peers; the slowest of 5 mails took {slowest:?}");
    assert!(slowest < NORMAL_MAIL, "{peers} slow peers, and a mail took {slowest:?}");
    assert_eq!(server.host.mails.lock().unwrap().len(), 5, "nobody slow has delivered anything");
    dragging.abort();
}
