//! Commands that would go through more messages than one may (RFC 9738, MESSAGELIMIT).

use crate::support::{Client, World, conversation};
use lnmp::Place;

/// A server whose commands go through four messages, and a client in an INBOX of seven: UIDs 1 to 7.
async fn seven() -> (World, Client) {
    let world = World::start_limited(4).await;
    let mails: Vec<String> = (1..=7).map(|number| format!("Subject: mail {number}\r\n\r\nText\r\n")).collect();
    let mails: Vec<&[u8]> = mails.iter().map(String::as_bytes).collect();
    world.deliver_many("alice", Place::Inbox, &mails).await;
    let mut alice = world.login("alice").await;
    alice.ok("SELECT INBOX").await;
    (world, alice)
}

#[tokio::test]
async fn the_limit_is_announced_and_small_mailboxes_do_not_meet_it() {
    let world = World::start().await;
    let mut alice = world.login("alice").await;
    let capabilities = alice.ok("CAPABILITY").await.remove(0);
    assert!(capabilities.contains(" MESSAGELIMIT=1000000 "), "{capabilities}");
    let (_world, mut alice) = seven().await;
    let capabilities = alice.ok("CAPABILITY").await.remove(0);
    assert!(capabilities.contains(" MESSAGELIMIT=4 "), "{capabilities}");
    conversation(
        &mut [&mut alice],
        "
        C: a FETCH 4:7 (UID)
        S: * 4 FETCH (UID 4)
        S: * 5 FETCH (UID 5)
        S: * 6 FETCH (UID 6)
        S: * 7 FETCH (UID 7)
        S: a OK FETCH completed
        C: b UID SEARCH UID 1:4 ALL
        S: * SEARCH 1 2 3 4
        S: b OK SEARCH completed
        C: c UID SEARCH UID 1:2,6:7 SUBJECT mail
        S: * SEARCH 1 2 6 7
        S: c OK SEARCH completed
        C: d UID STORE 1:4 +FLAGS.SILENT (\\Deleted)
        S: d OK STORE completed
        C: e UID SORT (SUBJECT) UTF-8 UIDBEFORE 5
        S: * SORT 1 2 3 4
        S: e OK SORT completed
        C: f UID COPY 1:4 Archive
        S: f OK [COPYUID …
    ",
    )
    .await;
}

#[tokio::test]
async fn what_may_be_done_in_part_is_done_from_the_highest_uid_down() {
    let (_world, mut alice) = seven().await;
    conversation(
        &mut [&mut alice],
        "
        C: a FETCH 1:* (UID)
        S: * 7 FETCH (UID 7)
        S: * 6 FETCH (UID 6)
        S: * 5 FETCH (UID 5)
        S: * 4 FETCH (UID 4)
        S: a OK [MESSAGELIMIT 4 4] FETCH completed, for the last 4 messages
        C: b UID FETCH 2:6 (BODY.PEEK[HEADER.FIELDS (SUBJECT)])
        S: * 6 FETCH (UID 6 BODY[HEADER.FIELDS (SUBJECT)] {19}\\r\\nSubject: mail 6\\r\\n\\r\\n)
        S: * 5 FETCH (UID 5 …
        S: * 4 FETCH (UID 4 …
        S: * 3 FETCH (UID 3 …
        S: b OK [MESSAGELIMIT 4 3] FETCH completed, for the last 4 messages
        C: c FETCH 1:5 (BODY[TEXT])
        S: * 5 FETCH (BODY[TEXT] {6}\\r\\nText\\r\\n FLAGS (\\Seen \\Recent))
        S: * 4 FETCH …
        S: * 3 FETCH …
        S: * 2 FETCH …
        S: c OK [MESSAGELIMIT 4 2] FETCH completed, for the last 4 messages
        C: d UID STORE 1:6 +FLAGS (\\Flagged)
        S: * 6 FETCH (UID 6 FLAGS (\\Flagged \\Recent))
        S: * 5 FETCH (UID 5 FLAGS (\\Flagged \\Seen \\Recent))
        S: * 4 FETCH (UID 4 …
        S: * 3 FETCH (UID 3 …
        S: d OK [MESSAGELIMIT 4 3] STORE completed, for the last 4 messages
        C: e UID STORE 1:* (UNCHANGEDSINCE 2) +FLAGS.SILENT (\\Draft)
        S: * OK [HIGHESTMODSEQ…
        S: * 7 FETCH (UID 7 MODSEQ (5))
        S: * 6 FETCH (UID 6 …
        S: * 5 FETCH (UID 5 …
        S: * 4 FETCH (UID 4 …
        S: * NO [MESSAGELIMIT 4 4] Only the last 4 messages were processed
        S: e OK [MODIFIED 4:6] Some messages were changed since
    ",
    )
    .await;
}

#[tokio::test]
async fn a_client_goes_on_from_the_uid_it_is_told() {
    let (_world, mut alice) = seven().await;
    conversation(
        &mut [&mut alice],
        "
        C: a UID SEARCH UNDELETED
        S: * SEARCH 4 5 6 7
        S: a OK [MESSAGELIMIT 4 4] SEARCH completed, for the last 4 messages
        C: b UID SEARCH UIDBEFORE 4 UNDELETED
        S: * SEARCH 1 2 3
        S: b OK SEARCH completed
        C: c UID SEARCH RETURN (SAVE COUNT) UIDAFTER 1 SUBJECT mail
        S: * ESEARCH (TAG \"c\") UID COUNT 4
        S: c OK [MESSAGELIMIT 4 4] SEARCH completed, result saved, for the last 4 messages
        C: d UID SEARCH $
        S: * SEARCH 4 5 6 7
        S: d OK SEARCH completed
        C: e SEARCH RETURN (UPDATE COUNT) ALL
        S: * NO [NOUPDATE \"e\"] Not all messages were searched
        S: * ESEARCH (TAG \"e\") COUNT 4
        S: e OK [MESSAGELIMIT 4 4] SEARCH completed, for the last 4 messages
        C: f UID SEARCH UIDAFTER 0
        S: f BAD UIDAFTER and UIDBEFORE take a UID, 1 to 4294967295
        C: g UID MOVE 2:7 Archive
        S: * OK [COPYUID 1…
        S: * 7 EXPUNGE
        S: * 6 EXPUNGE
        S: * 5 EXPUNGE
        S: * 4 EXPUNGE
        S: g OK [MESSAGELIMIT 4 4] MOVE completed, for the last 4 messages
        C: h UID MOVE 2:7 Archive
        S: * OK [COPYUID 1…
        S: * 3 EXPUNGE
        S: * 2 EXPUNGE
        S: h OK MOVE completed
        C: i SELECT Archive
        S: * OK [CLOSED] …
        S: * FLAGS …
        S: * OK [PERMANENTFLAGS …
        S: * 6 EXISTS
    ",
    )
    .await;
}

#[tokio::test]
async fn uid_expunge_is_limited_and_expunge_is_not() {
    let (world, mut alice) = seven().await;
    alice.ok("UID STORE 1:3 +FLAGS.SILENT (\\Deleted)").await;
    alice.ok("UID STORE 4:7 +FLAGS.SILENT (\\Deleted)").await;
    let mut second = world.login("alice").await;
    second.ok("ENABLE QRESYNC").await;
    second.ok("SELECT INBOX").await;
    conversation(
        &mut [&mut alice, &mut second],
        "
        C1: a UID EXPUNGE 1:5
        S1: * 5 EXPUNGE
        S1: * 4 EXPUNGE
        S1: * 3 EXPUNGE
        S1: * 2 EXPUNGE
        S1: a OK [MESSAGELIMIT 4 2] EXPUNGE completed, for the last 4 messages
        C2: n NOOP
        S2: * VANISHED 2:5
        S2: n OK NOOP completed
    ",
    )
    .await;
    let mails: Vec<&[u8]> = vec![b"Subject: more\r\n\r\n"; 3];
    world.deliver_many("alice", Place::Inbox, &mails).await;
    conversation(
        &mut [&mut alice, &mut second],
        "
        C2: a UID STORE 8:10 +FLAGS.SILENT (\\Deleted)
        S2: * 6 EXISTS
        S2: * …
        S2: a OK STORE completed
    ",
    )
    .await;
    second.ok("NOOP").await;
    second.ok("UID STORE 8:10 +FLAGS.SILENT (\\Deleted)").await;
    conversation(
        &mut [&mut second],
        "
        C: b UID EXPUNGE 1:*
        S: * NO [MESSAGELIMIT 4 7] Only the last 4 messages were processed
        S: * VANISHED 7:10
        S: b OK [HIGHESTMODSEQ …
        C: c EXPUNGE
        S: * VANISHED 1,6
        S: c OK [HIGHESTMODSEQ …
    ",
    )
    .await;
    let mails: Vec<&[u8]> = vec![b"Subject: more\r\n\r\n"; 6];
    world.deliver_many("alice", Place::Inbox, &mails).await;
    second.ok("NOOP").await;
    second.ok("STORE 1:3 +FLAGS.SILENT (\\Deleted)").await;
    second.ok("STORE 4:6 +FLAGS.SILENT (\\Deleted)").await;
    let told = second.ok("EXPUNGE").await;
    assert_eq!(told, ["* VANISHED 11:16"]);
}

#[tokio::test]
async fn what_is_of_all_or_none_is_refused() {
    let (world, mut alice) = seven().await;
    alice.ok("SETACL Archive bob lrsi").await;
    conversation(
        &mut [&mut alice],
        "
        C: a UID COPY 1:6 Archive
        S: a NO [MESSAGELIMIT 4 3] Too many messages, name at most 4
        C: b COPY 1:5 Archive
        S: b NO [MESSAGELIMIT 4 2] Too many messages, name at most 4
        C: c STATUS Archive (MESSAGES)
        S: * STATUS Archive (MESSAGES 0)
        S: c OK STATUS completed
        C: d UID FETCH 1:* (FLAGS) (PARTIAL -1:-5)
        S: d NO [MESSAGELIMIT 4] Too many messages, 4 are the most for one command
        C: e UID FETCH 1:* (FLAGS) (PARTIAL -1:-2)
        S: * 6 FETCH …
        S: * 7 FETCH …
        S: e OK FETCH completed
        C: f SORT (SUBJECT) UTF-8 ALL
        S: f NO [MESSAGELIMIT 4] Too many messages, 4 are the most for one command
        C: g UID THREAD REFERENCES UTF-8 UIDAFTER 2
        S: g NO [MESSAGELIMIT 4] Too many messages, 4 are the most for one command
        C: h UID THREAD REFERENCES UTF-8 UIDAFTER 3
        S: * THREAD (4)(5)(6)(7)
        S: h OK THREAD completed
        C: i APPEND Archive {1+}\\r\\na {1+}\\r\\nb {1+}\\r\\nc {1+}\\r\\nd {1+}\\r\\ne
        S: i NO [MESSAGELIMIT 4] Too many messages, 4 are the most for one command
        C: j APPEND Archive {1+}\\r\\na {1+}\\r\\nb {1+}\\r\\nc {1+}\\r\\nd {9}
        S: j NO [MESSAGELIMIT 4] Too many messages, 4 are the most for one command
        C: k STATUS Archive (MESSAGES)
        S: * STATUS Archive (MESSAGES 0)
        S: k OK STATUS completed
    ",
    )
    .await;
    let mut bob = world.login("bob").await;
    let mails: Vec<&[u8]> = vec![b"Subject: mail\r\n\r\n"; 5];
    world.deliver_many("bob", Place::Inbox, &mails).await;
    bob.ok("SELECT INBOX").await;
    let told = bob.tagged("UID COPY 1:* \"Other Users/alice@satchel.test/Archive\"").await;
    assert_eq!(told, "NO [MESSAGELIMIT 4 2] Too many messages, name at most 4");
}

#[tokio::test]
async fn a_move_by_number_that_is_cut_short_and_meets_gone_messages_says_both() {
    let (world, mut alice) = seven().await;
    let mut second = world.login("alice").await;
    second.ok("SELECT INBOX").await;
    second.ok("STORE 6 +FLAGS.SILENT (\\Deleted)").await;
    second.ok("UID EXPUNGE 6").await;
    let told = alice.command("MOVE 1:7 Archive").await;
    assert!(told.contains(&"* NO [MESSAGELIMIT 4 4] Only the last 4 messages were processed".into()), "{told:?}");
    assert_eq!(told.last().unwrap(), "NO [EXPUNGEISSUED] Some messages are gone");
}
