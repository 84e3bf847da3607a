//! Commands that name messages which another session has expunged and this one was not told of (RFC 2180 §4), and
//! commands of more messages than one write takes.

use crate::support::{Client, World, conversation};
use imap::limits::WRITE_MESSAGES_MAX;
use lnmp::Place;

const HELLO: &[u8] = b"Subject: hello\r\n\r\nHi!\r\n";

/// Two sessions in an INBOX of three; the first has expunged the second message, which the second session still shows.
async fn one_behind(world: &World) -> (Client, Client) {
    world.deliver_many("alice", Place::Inbox, &[HELLO; 3]).await;
    let (mut one, mut two) = (world.login("alice").await, world.login("alice").await);
    one.ok("SELECT INBOX").await;
    two.ok("SELECT INBOX").await;
    one.ok("STORE 2 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(one.ok("EXPUNGE").await, ["* 2 EXPUNGE"]);
    (one, two)
}

#[tokio::test]
async fn a_store_by_number_tells_nothing_of_what_is_gone_and_stores_the_others() {
    let world = World::start().await;
    let (_one, mut two) = one_behind(&world).await;
    conversation(
        &mut [&mut two],
        "
        C: a STORE 2 FLAGS ($x)
        S: a NO [EXPUNGEISSUED] Some messages are gone
        C: b STORE 1:3 +FLAGS (\\Flagged)
        S: * 1 FETCH (FLAGS (\\Flagged))
        S: * 3 FETCH (FLAGS (\\Flagged))
        S: b NO [EXPUNGEISSUED] Some messages are gone
        C: c STORE 1:3 +FLAGS.SILENT (\\Seen)
        S: c NO [EXPUNGEISSUED] Some messages are gone
        C: d STORE 1:3 (UNCHANGEDSINCE 1) +FLAGS.SILENT (\\Deleted)
        S: …
        S: …
        S: …
        S: d NO [MODIFIED 1,3] Some messages were changed since, some are gone
        C: e NOOP
        S: * 2 EXPUNGE
        S: e OK NOOP completed
        C: f FETCH 1:* (FLAGS)
        S: * 1 FETCH (FLAGS (\\Flagged \\Seen))
        S: * 2 FETCH (FLAGS (\\Flagged \\Seen))
        S: f OK FETCH completed
    ",
    )
    .await;
}

#[tokio::test]
async fn a_store_by_uid_of_what_is_gone_is_no_error() {
    let world = World::start().await;
    let (_one, mut two) = one_behind(&world).await;
    assert_eq!(two.command("UID STORE 1:2 FLAGS ($x)").await.pop().unwrap(), "OK STORE completed");
    let told = two.command("UID STORE 1:99 +FLAGS (\\Flagged)").await;
    assert!(!told.iter().any(|line| line.contains("UID 2 ")), "{told:?}");
    assert_eq!(told.last().unwrap(), "OK STORE completed");
    assert_eq!(two.command("UID STORE 2 FLAGS ($x)").await.pop().unwrap(), "OK STORE completed");
    assert_eq!(two.ok("UID STORE 77 FLAGS ($x)").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_copy_by_number_is_of_all_or_none() {
    let world = World::start().await;
    let (_one, mut two) = one_behind(&world).await;
    conversation(
        &mut [&mut two],
        "
        C: a COPY 1:3 Archive
        S: * 2 EXPUNGE
        S: a NO [EXPUNGEISSUED] Some messages are gone
        C: b STATUS Archive (MESSAGES UIDNEXT)
        S: * STATUS Archive (MESSAGES 0 UIDNEXT 1)
        S: b OK STATUS completed
        C: c COPY 1:2 Archive
        S: c OK [COPYUID … 1,3 1:2] COPY completed
    ",
    )
    .await;
}

#[tokio::test]
async fn a_copy_or_move_by_uid_of_what_is_gone_is_no_error() {
    let world = World::start().await;
    let (_one, mut two) = one_behind(&world).await;
    conversation(
        &mut [&mut two],
        "
        C: a UID COPY 1:3 Archive
        S: * 2 EXPUNGE
        S: a OK [COPYUID … 1,3 1:2] COPY completed
        C: b UID COPY 2 Archive
        S: b OK …
        C: c UID MOVE 2:3 Archive
        S: * OK [COPYUID … 3 3] Moved
        S: * 2 EXPUNGE
        S: c OK MOVE completed
    ",
    )
    .await;
}

#[tokio::test]
async fn a_move_by_number_says_that_some_are_gone_and_moves_the_others() {
    let world = World::start().await;
    let (_one, mut two) = one_behind(&world).await;
    conversation(
        &mut [&mut two],
        "
        C: a MOVE 2:3 Archive
        S: * OK [COPYUID … 3 1] Moved
        S: * 3 EXPUNGE
        S: * 2 EXPUNGE
        S: a NO [EXPUNGEISSUED] Some messages are gone
        C: b STATUS Archive (MESSAGES)
        S: * STATUS Archive (MESSAGES 1)
        S: b OK STATUS completed
    ",
    )
    .await;
}

#[tokio::test]
async fn recent_cannot_be_stored() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    for command in
        ["STORE 1 +FLAGS (\\Recent)", "STORE 1 FLAGS (\\Seen \\recent)", "UID STORE 1 -FLAGS.SILENT \\Recent"]
    {
        assert_eq!(client.tagged(command).await, "BAD \\Recent cannot be stored, it is the server's", "{command}");
    }
    assert_eq!(client.ok("FETCH 1 FLAGS").await, ["* 1 FETCH (FLAGS (\\Recent))"]);
}

/// More than two whole writes.
const MANY: usize = 2 * WRITE_MESSAGES_MAX + 3;

#[tokio::test]
async fn more_messages_than_one_write_takes_are_stored_moved_and_expunged() {
    let world = World::start().await;
    for _ in 0..MANY.div_ceil(500) {
        world.deliver_many("alice", Place::Inbox, &[HELLO; 500]).await;
    }
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    let before = modseq(&client.ok("STATUS INBOX (HIGHESTMODSEQ)").await);
    let told = client.ok(&format!("STORE 1:{MANY} +FLAGS (\\Seen)")).await;
    let numbers: Vec<usize> = told.iter().filter_map(|line| fetched(line, "\\Seen")).collect();
    assert_eq!(numbers, (1..=MANY).collect::<Vec<_>>(), "each is told once, in order");
    let after = modseq(&client.ok("STATUS INBOX (HIGHESTMODSEQ)").await);
    assert_eq!(after - before, 3, "one write for each {WRITE_MESSAGES_MAX}");

    let moved = client.ok(&format!("MOVE 1:{MANY} Archive")).await;
    let copied: Vec<&String> = moved.iter().filter(|line| line.starts_with("* OK [COPYUID ")).collect();
    let (first, last) = (WRITE_MESSAGES_MAX, 2 * WRITE_MESSAGES_MAX);
    assert_eq!(copied.len(), 3, "{copied:?}");
    assert!(copied[0].ends_with(&format!(" 1:{first} 1:{first}] Moved")), "{copied:?}");
    let range = format!("{}:{MANY}", last + 1);
    assert!(copied[2].ends_with(&format!(" {range} {range}] Moved")), "{copied:?}");
    assert_eq!(moved.iter().filter(|line| line.ends_with(" EXPUNGE")).count(), MANY);

    client.ok("SELECT Archive").await;
    client.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)").await;
    client.ok("STORE 5 -FLAGS.SILENT (\\Deleted)").await;
    let before = modseq(&client.ok("STATUS Archive (HIGHESTMODSEQ)").await);
    let expunged = client.ok("EXPUNGE").await;
    assert_eq!(expunged.iter().filter(|line| line.contains(" EXPUNGE") || line.contains("VANISHED")).count(), MANY - 1);
    assert_eq!(modseq(&client.ok("STATUS Archive (HIGHESTMODSEQ)").await) - before, 3);
    assert_eq!(client.ok("UID SEARCH ALL").await, ["* SEARCH 5"]);
}

fn modseq(lines: &[String]) -> u64 {
    let status = lines.iter().find(|line| line.starts_with("* STATUS ")).unwrap();
    status.split_once("(HIGHESTMODSEQ ").unwrap().1.trim_end_matches(')').parse().unwrap()
}

/// The number of a FETCH response that shows `flag`.
fn fetched(line: &str, flag: &str) -> Option<usize> {
    let (number, rest) = line.strip_prefix("* ")?.split_once(" FETCH (")?;
    rest.contains(flag).then(|| number.parse().ok())?
}
