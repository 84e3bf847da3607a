//! Whatever a session says, in any state and order: every command is answered, or the connection ends with BYE.
//!
//! The first octet chooses the kind: octets as they are, or commands chosen by octets as the test of the same name in
//! `imap/tests` does.
#![no_main]

#[path = "../../imap/tests/support/mod.rs"]
mod support;

use std::sync::Once;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use lnmp::Place;
use support::ops::session_ops;
use support::{Client, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Builder;

/// Longer than any answer takes, and than a failed login is delayed.
const PATIENCE: Duration = Duration::from_secs(20);

fuzz_target!(|data: &[u8]| {
    // A panic in a task of the server is as bad as one here.
    static ABORTING: Once = Once::new();
    ABORTING.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            told(info);
            std::process::abort();
        }));
    });
    let Some((&kind, data)) = data.split_first() else { return };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::start().await;
        world.deliver_many("alice", Place::Inbox, &[&b"Subject: a\r\n\r\nx\r\n"[..]; 3]).await;
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let session = tokio::spawn(imap::fuzzing::converse(world.server.clone(), theirs, world.stop.subscribe()));
        if kind % 2 == 0 {
            let mut client = Client::new(Box::new(ours));
            client.line().await;
            session_ops(client, data).await;
        } else {
            raw(ours, kind, data).await;
        }
        tokio::time::timeout(PATIENCE, session).await.expect("the session ends with its client").unwrap();
        world.store.close().await;
    });
});

/// Says `data` and closes; what comes back are whole lines.
async fn raw(pipe: tokio::io::DuplexStream, kind: u8, data: &[u8]) {
    let (mut from, mut to) = tokio::io::split(pipe);
    let said = async {
        if kind % 4 == 1 {
            to.write_all(b"l LOGIN alice secret\r\ns SELECT INBOX\r\n").await?;
        }
        to.write_all(data).await?;
        to.shutdown().await
    };
    let mut answers = Vec::new();
    let (_, heard) =
        tokio::time::timeout(PATIENCE, async { tokio::join!(said, from.read_to_end(&mut answers)) }).await.expect("an end");
    heard.unwrap();
    if data.windows(8).any(|some| some.eq_ignore_ascii_case(b"COMPRESS")) {
        return;
    }
    let (pipe, mut written) = tokio::io::duplex(answers.len() + 1);
    written.write_all(&answers).await.unwrap();
    drop(written);
    let mut client = Client::new(Box::new(pipe));
    // It looks at the form of every line.
    while client.line().await != "<closed>" {}
}
