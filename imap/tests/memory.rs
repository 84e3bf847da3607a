//! What reading costs in memory: a batch and a socket's buffer, however much is asked for.
//!
//! `SATCHEL_MEMORY_MIB=2048 cargo nextest run -p imap memory::` for the long form.

use std::time::Duration;

use crate::support::World;
use lnmp::Place;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Octets that a FETCH of everything may add to the process: three batches of 1 MiB, sealed and open, the page cache
/// of a reader of the store, and what the allocator keeps.
const GROWTH_MAX: u64 = 32 << 20;

/// Resident octets.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// 1 MiB in parts that are too small to go to the shelf.
fn mail() -> Vec<u8> {
    let part = format!("--b\r\n\r\n{}\r\n", "A line of a long letter.\r\n".repeat(2000));
    let mut mail = b"Subject: long\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
    while mail.len() + part.len() < 1 << 20 {
        mail.extend_from_slice(part.as_bytes());
    }
    mail.extend_from_slice(b"--b--\r\n");
    mail
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_mailbox_is_fetched_in_the_memory_of_a_few_mails() {
    if std::env::var_os("NEXTEST").is_none() {
        println!("SKIPPED: what other tests take would be counted; cargo-nextest gives each test a process");
        return;
    }
    let count = std::env::var("SATCHEL_MEMORY_MIB").map_or(72, |text| text.parse::<usize>().unwrap());
    let world = World::start().await;
    let mail = mail();
    for some in vec![&mail[..]; count].chunks(16) {
        world.deliver_many("alice", Place::Inbox, some).await;
    }
    let total = (count * mail.len()) as u64;
    assert!(total > 2 * GROWTH_MAX, "a server that held everything would be noticed");

    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let mut buffer = vec![0; 256 << 10];
    stream.write_all(b"a LOGIN alice secret\r\nb SELECT INBOX\r\n").await.unwrap();
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("\r\nb OK") {
        let read = stream.read(&mut buffer).await.unwrap();
        said.extend_from_slice(&buffer[..read]);
    }
    let before = resident();
    stream.write_all(b"c FETCH 1:* BODY.PEEK[]\r\n").await.unwrap();
    // A client that does not read: the server waits for it with what fits a socket and the next batches.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let waiting = resident().saturating_sub(before);
    assert!(waiting < GROWTH_MAX, "{waiting} octets more for a client that does not read");

    let (mut octets, mut growth, mut tail) = (0, 0, Vec::new());
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "closed");
        octets += read as u64;
        tail.extend_from_slice(&buffer[read.saturating_sub(40)..read]);
        tail.drain(..tail.len().saturating_sub(40));
        growth = growth.max(resident().saturating_sub(before));
        if tail.ends_with(b"\r\nc OK FETCH completed\r\n") {
            break;
        }
    }
    assert!(octets > total, "everything came");
    assert!(growth < GROWTH_MAX, "{growth} octets more for {octets} that were sent");
    println!("{} MiB sent, {} MiB more at most, {} MiB while nobody read", octets >> 20, growth >> 20, waiting >> 20);
}
