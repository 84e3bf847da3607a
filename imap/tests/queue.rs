//! The support queue: the mailbox `Queue`, whose UIDs and dates tell in which order a desk works.

use crate::support::{Client, World, conversation};
use lnmp::Place;

const NOTE: &[u8] = b"From: Carol <carol@shop.test>\r\nSubject: note\r\n\r\nBy the way\r\n";
const SMALL: &[u8] = b"From: Bob <bob@shop.test>\r\nSubject: small\r\n\r\nMay I?\r\n";
const LARGE: &[u8] = b"From: Dan <dan@shop.test>\r\nSubject: large\r\n\r\nPlease!\r\n";

/// Alice's desk: a free mail, and one that was paid 200 sat.
async fn desk() -> World {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, NOTE).await;
    let gate = world.deliver_priced("alice", SMALL).await;
    world.pay_sat(gate, 200).await;
    world.store.set_desk(world.account("alice"), true, crate::support::NOW).await.unwrap();
    world
}

/// One that comes before them.
async fn large(world: &World) {
    let gate = world.deliver_priced("alice", LARGE).await;
    world.pay_sat(gate, 900).await;
}

/// Subjects in the order of a command's answer.
async fn subjects(client: &mut Client) -> Vec<String> {
    let lines = client.ok("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])").await;
    lines.iter().map(|line| line.split("Subject: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn uids_and_arrival_tell_the_order_of_payment() {
    let world = desk().await;
    let mut client = world.login("alice").await;
    assert!(client.ok("LIST \"\" Queue").await[0].contains("Queue"));
    client.ok("SELECT Queue").await;
    assert_eq!(subjects(&mut client).await, ["small", "note"]);
    large(&world).await;
    conversation(
        &mut [&mut client],
        "
        C: a NOOP
        S: * 2 EXPUNGE
        S: * 1 EXPUNGE
        S: * 3 EXISTS
        S: * 3 RECENT
        S: a OK NOOP completed
        C: b UID SORT (ARRIVAL) UTF-8 ALL
        S: * SORT 3 4 5
        S: b OK SORT completed
        C: c FETCH 1:3 (UID FLAGS INTERNALDATE)
        S: * 1 FETCH (UID 3 FLAGS (\\Recent $Paid $Tier2) INTERNALDATE \"01-Jan-2026 00:00:00 +0000\")
        S: * 2 FETCH (UID 4 FLAGS (\\Recent $Paid $Tier2) INTERNALDATE \"01-Jan-2026 00:00:01 +0000\")
        S: * 3 FETCH (UID 5 FLAGS (\\Recent $Tier3) INTERNALDATE \"01-Jan-2026 00:00:02 +0000\")
        S: c OK FETCH completed
        C: d SEARCH KEYWORD $tier3
        S: * SEARCH 3
        S: d OK SEARCH completed
        C: e STATUS Queue (MESSAGES UNSEEN UIDNEXT)
        S: * STATUS Queue (MESSAGES 3 UNSEEN 3 UIDNEXT 6)
        S: e OK STATUS completed
    ",
    )
    .await;
    assert_eq!(subjects(&mut client).await, ["large", "small", "note"]);
}

#[tokio::test]
async fn what_is_done_in_the_queue_is_done_to_the_mail() {
    let world = desk().await;
    let mut client = world.login("alice").await;
    client.ok("SELECT Queue").await;
    conversation(
        &mut [&mut client],
        "
        C: a STORE 2 +FLAGS.SILENT (\\Seen $Tier1 $Mine)
        S: * FLAGS (…
        S: …
        S: * 2 FETCH (FLAGS (\\Seen $Mine $Tier3))
        S: a OK STORE completed
        C: b STORE 2 +FLAGS (\\Answered)
        S: b OK STORE completed
        C: c NOOP
        S: * 2 EXPUNGE
        S: c OK NOOP completed
        C: d UID MOVE 2 Archive
        S: * OK [COPYUID … 2 1] Moved
        S: d OK MOVE completed
        C: e MOVE 1 INBOX
        S: * OK [COPYUID … 1 2] Moved
        S: e OK MOVE completed
        C: f FETCH 1 (UID FLAGS)
        S: * 1 FETCH (UID 1 FLAGS ($Paid $Tier2))
        S: f OK FETCH completed
        C: g STORE 1 +FLAGS.SILENT (\\Deleted)
        S: g OK STORE completed
        C: h EXPUNGE
        S: * 1 EXPUNGE
        S: h OK EXPUNGE completed
        C: i STATUS INBOX (MESSAGES)
        S: * STATUS INBOX (MESSAGES 0)
        S: i OK STATUS completed
        C: j SELECT Archive
    ",
    )
    .await;
    client.finish("j").await;
    assert_eq!(client.ok("FETCH 1 FLAGS").await, ["* 1 FETCH (FLAGS (\\Answered \\Seen \\Recent $Mine))"]);
}

#[tokio::test]
async fn nothing_is_put_into_the_queue_and_it_is_neither_renamed_nor_deleted() {
    let world = desk().await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    for command in ["COPY 1 Queue", "MOVE 1 Queue", "RENAME Queue Other", "DELETE Queue"] {
        let answer = client.tagged(command).await;
        assert!(answer.starts_with("NO [CANNOT] "), "{command}: {answer}");
    }
    assert!(client.append("Queue", "", NOTE).await.starts_with("NO [CANNOT] "));
    client.ok("SELECT Queue").await;
    assert!(client.tagged("COPY 1 Queue").await.starts_with("NO [CANNOT] "));
}

#[tokio::test]
async fn an_idle_client_and_one_that_resynchronizes_hear_of_the_new_order() {
    let world = desk().await;
    let (mut idle, mut late) = (world.login("alice").await, world.login("alice").await);
    idle.ok("ENABLE QRESYNC").await;
    late.ok("ENABLE QRESYNC").await;
    let selected = late.ok("SELECT Queue").await.join("\n");
    let code = |name: &str| {
        let rest = selected.split(&format!("[{name} ")).nth(1).unwrap();
        rest.split(']').next().unwrap().to_owned()
    };
    let (validity, modseq) = (code("UIDVALIDITY"), code("HIGHESTMODSEQ"));
    late.ok("UNSELECT").await;
    idle.ok("SELECT Queue").await;
    idle.send(b"i IDLE\r\n").await;
    assert_eq!(idle.line().await, "+ idling");
    large(&world).await;
    assert_eq!(idle.line().await, "* VANISHED 1:2");
    assert_eq!(idle.line().await, "* 3 EXISTS");
    let selected = late.ok(&format!("SELECT Queue (QRESYNC ({validity} {modseq}))")).await;
    assert!(selected.contains(&"* VANISHED (EARLIER) 1:2".to_owned()), "{selected:?}");
    let fetched: Vec<_> = selected.iter().filter(|line| line.contains(" FETCH (")).collect();
    assert!(fetched.len() == 3 && fetched[0].contains("UID 3 "), "{selected:?}");
}

#[tokio::test]
async fn agents_share_the_queue() {
    let world = desk().await;
    let (mut alice, mut bob) = (world.login("alice").await, world.login("bob").await);
    alice.ok("SETACL Queue bob lrswite").await;
    alice.ok("SETACL Archive bob li").await;
    alice.ok("SELECT Queue").await;
    bob.ok("SELECT \"Other Users/alice@satchel.test/Queue\"").await;
    assert_eq!(subjects(&mut bob).await, ["small", "note"]);
    conversation(
        &mut [&mut alice, &mut bob],
        "
        C2: a FETCH 2 BODY[TEXT]
        S2: * 2 FETCH (BODY[TEXT] {12}\\r\\nBy the way\\r\\n FLAGS (\\Seen $Tier3))
        S2: a OK FETCH completed
        C2: b STATUS \"Other Users/alice@satchel.test/Queue\" (MESSAGES UNSEEN)
        S2: * STATUS \"Other Users/alice@satchel.test/Queue\" (MESSAGES 2 UNSEEN 1)
        S2: b OK STATUS completed
        C1: a STATUS Queue (MESSAGES UNSEEN)
        S1: * STATUS Queue (MESSAGES 2 UNSEEN 2)
        S1: a OK STATUS completed
        C1: i IDLE
        S1: + idling
        C2: c MOVE 2 \"Other Users/alice@satchel.test/Archive\"
        S2: * 2 EXPUNGE
        S2: c OK MOVE completed
        S1: * 2 EXPUNGE
        C2: d COPY 1 \"Other Users/alice@satchel.test/Queue\"
        S2: d NO [CANNOT] …
        C2: e COPY 1 INBOX
        S2: e OK [COPYUID … 1 1] COPY completed
        C2: f STATUS \"Other Users/alice@satchel.test/INBOX\" (MESSAGES)
        S2: f NO [NONEXISTENT] …
    ",
    )
    .await;
}
