//! What sessions agree with the ephemeral keys of mails is kept for the sessions that follow.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::support::{Client, World};
use lnmp::Place;

/// The agreements that the store has for alice, page by page.
async fn kept(world: &World) -> Vec<Vec<i64>> {
    let opener = world.house.opener("alice");
    let pages = world.store.agreements(world.account("alice")).await.unwrap();
    let messages =
        |page: &[u8]| opener.open_agreements(page).unwrap_or_default().iter().map(|one| one.message).collect();
    pages.iter().map(|(_, page)| messages(page)).collect()
}

/// Waits until pages of these lengths are kept; each message is there once.
async fn keeps(world: &World, lengths: &[usize]) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let pages = kept(world).await;
        if pages.iter().map(Vec::len).eq(lengths.iter().copied()) {
            let mut messages = pages.concat();
            messages.sort_unstable();
            messages.dedup();
            assert_eq!(messages.len(), lengths.iter().sum::<usize>(), "each once");
            return;
        }
        assert!(Instant::now() < deadline, "{lengths:?} expected, kept are {:?}", pages.iter().map(Vec::len));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn deliver(world: &World, mails: usize) {
    world.deliver_many("alice", Place::Inbox, &vec![&b"Subject: one\r\n\r\nsome words\r\n"[..]; mails]).await;
}

/// How many mails a listing shows.
async fn listed(client: &mut Client) -> usize {
    client.ok("SELECT INBOX").await;
    let lines = client.command("FETCH 1:* (ENVELOPE)").await;
    lines.iter().filter(|line| line.contains("\"one\"")).count()
}

/// Ends the only session: what its account shares in memory ends with it.
async fn leave(world: &World, client: Client) {
    drop(client);
    let deadline = Instant::now() + Duration::from_secs(10);
    while *world.house.seats.lock().unwrap() > 0 {
        assert!(Instant::now() < deadline, "the session does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn agreements_are_kept_and_learnt_and_go_with_their_mails() {
    let world = World::start().await;
    world.house.apart.store(true, Ordering::Relaxed);
    deliver(&world, 31).await;
    let mut client = world.login("alice").await;
    assert_eq!(listed(&mut client).await, 31);
    // Not worth a write yet; one more in the same session is.
    deliver(&world, 1).await;
    assert_eq!(listed(&mut client).await, 32);
    keeps(&world, &[32]).await;
    leave(&world, client).await;

    // The page is learnt, and filled up; had it not been, its messages would be there twice.
    deliver(&world, 520).await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    assert_eq!(client.command("SEARCH BODY words").await[0].split(' ').count(), 2 + 552);
    keeps(&world, &[512, 40]).await;

    // The next session drops what was deleted, and keeps the rest in as many pages as it needs.
    client.ok("STORE 2:51 +FLAGS.SILENT (\\Deleted)").await;
    client.ok("EXPUNGE").await;
    leave(&world, client).await;
    let mut client = world.login("alice").await;
    assert_eq!(listed(&mut client).await, 502);
    keeps(&world, &[502]).await;
    client.ok("STORE 2:* +FLAGS.SILENT (\\Deleted)").await;
    client.ok("EXPUNGE").await;
    leave(&world, client).await;
    assert_eq!(listed(&mut world.login("alice").await).await, 1);
    keeps(&world, &[1]).await;
}

#[tokio::test]
async fn pages_that_are_damaged_or_gone_cost_nothing_but_time() {
    let world = World::start().await;
    world.house.apart.store(true, Ordering::Relaxed);
    deliver(&world, 40).await;
    let mut client = world.login("alice").await;
    assert_eq!(listed(&mut client).await, 40);
    leave(&world, client).await;
    keeps(&world, &[40]).await;
    let alice = world.account("alice");
    let mut page = world.store.agreements(alice).await.unwrap()[0].1.to_vec();
    page[100] ^= 1;
    let pages = vec![(0, Some(page)), (4_000_000_000, Some(b"not a page".to_vec()))];
    world.store.keep_agreements(alice, pages).await.unwrap();
    let mut client = world.login("alice").await;
    assert_eq!(listed(&mut client).await, 40);
    leave(&world, client).await;
    keeps(&world, &[40]).await;
    world.store.keep_agreements(alice, vec![(0, None)]).await.unwrap();
    let mut client = world.login("alice").await;
    assert_eq!(listed(&mut client).await, 40);
    leave(&world, client).await;
    keeps(&world, &[40]).await;
}
