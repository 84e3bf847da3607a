//! What is told without being asked for (RFC 5465, NOTIFY): a second session changes things, the first one only reads.

mod elsewhere;
mod order;
mod selected;

use crate::support::{Client, World, conversation};

const HELLO: &[u8] = b"From: Carol <carol@shop.test>\r\nSubject: hello\r\n\r\nHi Alice!\r\n";

/// Two sessions of Alice.
async fn two(world: &World) -> (Client, Client) {
    (world.login("alice").await, world.login("alice").await)
}

/// The next line, which came unasked.
async fn told(client: &mut Client, expected: &str) {
    conversation(&mut [client], &format!("S: {expected}")).await;
}

/// Nothing was told: what comes next is the answer to this.
async fn silent(client: &mut Client) {
    assert_eq!(client.ok("XLIST \"\" INBOX").await.len(), 1);
    assert_eq!(client.command("NOOP").await, ["OK NOOP completed"]);
}
