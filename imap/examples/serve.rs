//! Serves a mailbox of made-up mails from a temporary folder, for `../shared/bench/mailbench read` and real clients:
//!
//! ```text
//! cargo run --release -p imap --example serve -- 6000 2143
//! ../shared/bench/mailbench read --imap 127.0.0.1:2143 --user alice --password secret
//! ```
//! Everything is as in the product, SQLite and sealing included, but attachments are in memory.

#[path = "../tests/support/mod.rs"]
mod support;

use lnmp::Place;
use support::World;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let count: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(6000);
    let port: u16 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(2143);
    let world = World::start_on(&format!("127.0.0.1:{port}")).await;
    let mails: Vec<Vec<u8>> = (0..count).map(mail).collect();
    for some in mails.chunks(500) {
        let slices: Vec<&[u8]> = some.iter().map(Vec::as_slice).collect();
        world.deliver_many("alice", Place::Inbox, &slices).await;
    }
    println!("{count} mails at {}, user alice, password secret", world.address);
    std::future::pending::<()>().await;
}

/// 4 KiB, as smtp-source makes them.
fn mail(number: usize) -> Vec<u8> {
    let mut mail = format!(
        "Return-Path: <friend@test.example>\r\nReceived: from test.example (test.example [127.0.0.1])\r\n\tby satchel.test \
         (Satchel) with ESMTP id {number:08x}\r\n\tfor <alice@satchel.test>; Thu, 01 Jan 2026 00:00:00 +0000\r\n\
         From: <friend@test.example>\r\nTo: <alice@satchel.test>\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n\
         Message-Id: <{number:x}@test.example>\r\nSubject: mail {number}\r\n\r\n"
    );
    while mail.len() < 4096 + 400 {
        mail.push_str("La de da de da 1234567890 abcdefghijklmnopqrstuvwxyz and so on and on.\r\n");
    }
    mail.into_bytes()
}
