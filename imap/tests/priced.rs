//! What clients see of priced mail (design section 3): keywords, folders, and mails that the server moves.

use crate::support::{World, conversation};

const ASK: &[u8] = b"From: Bob <bob@shop.test>\r\nSubject: ask\r\n\r\nMay I?\r\n";

#[tokio::test]
async fn an_unpaid_mail_is_let_in_by_moving_it() {
    let world = World::start().await;
    world.deliver_priced("alice", ASK).await;
    let mut client = world.login("alice").await;
    client.ok("SELECT Unpaid").await;
    conversation(
        &mut [&mut client],
        "
        C: a FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS (\\Recent $Unpaid))
        S: a OK FETCH completed
        C: b STORE 1 -FLAGS.SILENT ($Unpaid)
        S: * 1 FETCH (FLAGS (\\Recent $Unpaid))
        S: b OK STORE completed
        C: c STORE 1 FLAGS (\\Seen)
        S: * 1 FETCH (FLAGS (\\Seen \\Recent $Unpaid))
        S: c OK STORE completed
        C: d MOVE 1 INBOX
        S: * OK [COPYUID … 1 1] Moved
        S: * 1 EXPUNGE
        S: d OK MOVE completed
        C: e SELECT INBOX
    ",
    )
    .await;
    client.finish("e").await;
    assert_eq!(client.ok("FETCH 1 FLAGS").await, ["* 1 FETCH (FLAGS (\\Seen \\Recent))"]);
}

#[tokio::test]
async fn a_mail_that_the_server_moved_is_still_found_by_its_old_uid() {
    let world = World::start().await;
    let gate = world.deliver_priced("alice", ASK).await;
    let (mut told, mut late) = (world.login("alice").await, world.login("alice").await);
    told.ok("SELECT Unpaid").await;
    late.ok("SELECT Unpaid").await;
    told.send(b"i IDLE\r\n").await;
    assert_eq!(told.line().await, "+ idling");
    world.pay(gate).await;
    assert_eq!(told.line().await, "* 1 EXPUNGE");
    // The second client comes back with what it has in mind: the message as it was.
    conversation(
        &mut [&mut late],
        "
        C: a UID COPY 1 Archive
        S: * 1 EXPUNGE
        S: a OK [COPYUID … 1 1] COPY completed
        C: b STATUS Requests (MESSAGES)
        S: * STATUS Requests (MESSAGES 1)
        S: b OK STATUS completed
        C: c UID COPY 1 Archive
        S: c OK [COPYUID … 1 2] COPY completed
    ",
    )
    .await;
    let mut requests = world.login("alice").await;
    requests.ok("SELECT Requests").await;
    assert_eq!(requests.ok("FETCH 1 FLAGS").await, ["* 1 FETCH (FLAGS (\\Recent $Paid))"]);
}

#[tokio::test]
async fn a_decision_by_number_reaches_a_mail_that_the_server_moved_and_other_flags_do_not() {
    let world = World::start().await;
    let gate = world.deliver_priced("alice", ASK).await;
    let mut late = world.login("alice").await;
    late.ok("SELECT Unpaid").await;
    world.pay(gate).await;
    conversation(
        &mut [&mut late],
        "
        C: a STORE 1 +FLAGS (\\Seen)
        S: a NO [EXPUNGEISSUED] Some messages are gone
        C: b STORE 1 +FLAGS ($Accepted)
        S: b OK STORE completed
        C: c UID STORE 1 +FLAGS (\\Seen)
        S: * 1 EXPUNGE
        S: c OK STORE completed
        C: d UID STORE 1 +FLAGS.SILENT ($Accepted)
        S: d OK STORE completed
    ",
    )
    .await;
}
