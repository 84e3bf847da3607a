//! Of the mailbox that is selected.

use super::{HELLO, silent, told, two};
use crate::support::{World, conversation};
use lnmp::Place;

#[tokio::test]
async fn the_selected_mailbox_is_told_of_between_commands() {
    let world = World::start().await;
    let (mut alice, mut second) = two(&world).await;
    assert!(alice.ok("CAPABILITY").await[0].contains(" NOTIFY "));
    alice.ok("SELECT INBOX").await;
    let set =
        "NOTIFY SET (selected (MessageNew (UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)]) MessageExpunge FlagChange))";
    assert_eq!(alice.command(set).await, ["OK NOTIFY completed"]);
    world.deliver("alice", Place::Inbox, HELLO).await;
    conversation(
        &mut [&mut alice],
        "
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * 1 FETCH (UID 1 FLAGS (\\Recent) BODY[HEADER.FIELDS (SUBJECT)] {18}\\r\\nSubject: hello\\r\\n\\r\\n)
    ",
    )
    .await;
    second.ok("SELECT INBOX").await;
    second.ok("STORE 1 +FLAGS (\\Flagged $x)").await;
    conversation(
        &mut [&mut alice],
        "
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $x)
        S: * OK [PERMANENTFLAGS …
        S: * 1 FETCH (UID 1 FLAGS (\\Flagged \\Recent $x))
    ",
    )
    .await;
    world.deliver_many("alice", Place::Inbox, &[HELLO, HELLO]).await;
    told(&mut alice, "* 3 EXISTS").await;
    told(&mut alice, "* 3 RECENT").await;
    told(&mut alice, "* 2 FETCH (UID 2 …").await;
    told(&mut alice, "* 3 FETCH (UID 3 …").await;
    second.ok("NOOP").await;
    second.ok("STORE 1,3 +FLAGS.SILENT (\\Deleted)").await;
    told(&mut alice, "* 1 FETCH (UID 1 FLAGS (\\Flagged \\Deleted …").await;
    told(&mut alice, "* 3 FETCH (UID 3 FLAGS (\\Deleted …").await;
    second.ok("EXPUNGE").await;
    told(&mut alice, "* 3 EXPUNGE").await;
    told(&mut alice, "* 1 EXPUNGE").await;
    // Another mailbox is nobody's interest.
    world.deliver("alice", Place::Archive, HELLO).await;
    silent(&mut alice).await;
}

#[tokio::test]
async fn what_items_are_shown_of_a_new_message_does_not_make_it_seen() {
    let world = World::start().await;
    let (mut alice, _) = two(&world).await;
    alice.ok("SELECT INBOX").await;
    alice.ok("NOTIFY SET (selected (MessageNew (BODY[TEXT] RFC822.SIZE) MessageExpunge))").await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    told(&mut alice, "* 1 EXISTS").await;
    told(&mut alice, "* 1 RECENT").await;
    told(&mut alice, "* 1 FETCH (BODY[TEXT] {11}\\r\\nHi Alice!\\r\\n RFC822.SIZE 60)").await;
    assert_eq!(alice.ok("FETCH 1 FLAGS").await, ["* 1 FETCH (FLAGS (\\Recent))"]);
    alice.ok("NOTIFY SET (selected (MessageNew MessageExpunge))").await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    told(&mut alice, "* 2 EXISTS").await;
    told(&mut alice, "* 2 RECENT").await;
    silent(&mut alice).await;
}

#[tokio::test]
async fn a_client_without_interests_keeps_its_numbers_until_it_asks() {
    let world = World::start().await;
    world.deliver_many("alice", Place::Inbox, &[HELLO, HELLO, HELLO]).await;
    let (mut alice, mut second) = two(&world).await;
    alice.ok("SELECT INBOX").await;
    alice.ok("NOTIFY NONE").await;
    second.ok("SELECT INBOX").await;
    second.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    second.ok("STORE 3 +FLAGS.SILENT (\\Flagged)").await;
    second.ok("EXPUNGE").await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    silent(&mut alice).await;
    conversation(
        &mut [&mut alice],
        "
        C: a IDLE
        S: + idling
        C: DONE
        S: a OK IDLE completed
        C: b FETCH 2 (UID)
        S: * 2 FETCH (UID 2)
        S: b OK FETCH completed
        C: c STORE 2 +FLAGS (\\Seen)
        S: * 2 FETCH (FLAGS (\\Seen \\Recent))
        S: c OK STORE completed
        C: d NOTIFY SET (personal (MailboxName))
        S: * 1 EXPUNGE
        S: * 3 EXISTS
        S: * …RECENT
        S: * 2 FETCH (UID 3 FLAGS (\\Flagged \\Recent))
        S: d OK NOTIFY completed
    ",
    )
    .await;
    // What a command does itself is told all the same.
    assert_eq!(second.ok("UID STORE 3 +FLAGS.SILENT (\\Deleted)").await[0], "* 3 EXISTS");
    silent(&mut alice).await;
    alice.ok("UID STORE 2 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(alice.ok("UID EXPUNGE 2").await, ["* 1 EXPUNGE"]);
    let told = alice.append_lines("INBOX", "", HELLO).await;
    assert_eq!(told[0], "* 3 EXISTS");
}

#[tokio::test]
async fn flags_that_were_not_asked_for_are_told_when_they_are() {
    let world = World::start().await;
    world.deliver_many("alice", Place::Inbox, &[HELLO, HELLO]).await;
    let (mut alice, mut second) = two(&world).await;
    alice.ok("SELECT INBOX").await;
    alice.ok("NOTIFY SET (selected (MessageNew MessageExpunge))").await;
    second.ok("SELECT INBOX").await;
    second.ok("STORE 1 +FLAGS (\\Flagged)").await;
    silent(&mut alice).await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    told(&mut alice, "* 3 EXISTS").await;
    told(&mut alice, "* 3 RECENT").await;
    silent(&mut alice).await;
    conversation(
        &mut [&mut alice],
        "
        C: a NOTIFY SET (selected (MessageNew MessageExpunge FlagChange))
        S: * 1 FETCH (UID 1 FLAGS (\\Flagged \\Recent))
        S: * 3 FETCH (UID 3 FLAGS (\\Recent))
        S: a OK NOTIFY completed
    ",
    )
    .await;
    second.ok("STORE 1 -FLAGS (\\Flagged)").await;
    told(&mut alice, "* 1 FETCH (UID 1 FLAGS (\\Recent))").await;
}

#[tokio::test]
async fn selected_delayed_holds_expunges_back_for_a_command_that_allows_them() {
    let world = World::start().await;
    world.deliver_many("alice", Place::Inbox, &[HELLO, HELLO]).await;
    let (mut alice, mut second) = two(&world).await;
    alice.ok("SELECT INBOX").await;
    alice.ok("NOTIFY SET (selected-delayed (MessageNew (UID) MessageExpunge FlagChange))").await;
    second.ok("SELECT INBOX").await;
    second.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    told(&mut alice, "* 1 FETCH (UID 1 …").await;
    second.ok("EXPUNGE").await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    conversation(
        &mut [&mut alice],
        "
        S: * 3 EXISTS
        S: * 3 RECENT
        S: * 3 FETCH (UID 3)
        C: a FETCH 2 (UID)
        S: * 2 FETCH (UID 2)
        S: a OK FETCH completed
        C: b IDLE
        S: + idling
        S: * 1 EXPUNGE
        C: DONE
        S: b OK IDLE completed
    ",
    )
    .await;
    second.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    told(&mut alice, "* 1 FETCH (UID 2 …").await;
    second.ok("EXPUNGE").await;
    assert_eq!(alice.ok("NOOP").await, ["* 1 EXPUNGE"]);
}

#[tokio::test]
async fn condstore_qresync_and_uidonly_go_with_it() {
    let world = World::start().await;
    world.deliver_many("alice", Place::Inbox, &[HELLO, HELLO]).await;
    let (mut alice, mut second) = two(&world).await;
    let set =
        "NOTIFY SET (selected (MessageNew (FLAGS) MessageExpunge FlagChange)) (personal (MessageNew MessageExpunge))";
    alice.ok("ENABLE QRESYNC").await;
    alice.ok("SELECT INBOX").await;
    alice.ok(set).await;
    second.ok("SELECT INBOX").await;
    second.ok("STORE 1 +FLAGS (\\Deleted)").await;
    told(&mut alice, "* 1 FETCH (UID 1 FLAGS (\\Deleted \\Recent) MODSEQ (3))").await;
    second.ok("EXPUNGE").await;
    told(&mut alice, "* VANISHED 1").await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    told(&mut alice, "* 2 EXISTS").await;
    told(&mut alice, "* 2 RECENT").await;
    told(&mut alice, "* 2 FETCH (UID 3 FLAGS (\\Recent) MODSEQ (5))").await;
    world.deliver("alice", Place::Sent, HELLO).await;
    told(&mut alice, "* STATUS Sent (MESSAGES 1 UIDNEXT 2 HIGHESTMODSEQ 2)").await;
    // Removals that wait for a command are announced by HIGHESTMODSEQ.
    alice.ok("NOTIFY SET (selected-delayed (MessageNew MessageExpunge FlagChange))").await;
    second.ok("UID STORE 2 +FLAGS (\\Deleted)").await;
    told(&mut alice, "* 1 FETCH (UID 2 …").await;
    second.ok("EXPUNGE").await;
    told(&mut alice, "* OK [HIGHESTMODSEQ 6] Some removals are not told yet").await;
    assert_eq!(alice.ok("NOOP").await, ["* VANISHED 2", "* OK [HIGHESTMODSEQ 7] All is told"]);
    alice.ok("ENABLE UIDONLY").await;
    alice.ok(set).await;
    second.ok("UID STORE 3 +FLAGS (\\Seen)").await;
    told(&mut alice, "* 3 UIDFETCH (FLAGS (\\Seen \\Recent) MODSEQ (8))").await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    told(&mut alice, "* 2 EXISTS").await;
    told(&mut alice, "* 2 RECENT").await;
    told(&mut alice, "* 4 UIDFETCH (FLAGS (\\Recent) MODSEQ (9))").await;
}

#[tokio::test]
async fn a_search_that_is_followed_shows_what_it_was_asked_to() {
    let world = World::start().await;
    let (mut alice, mut second) = two(&world).await;
    alice.ok("SELECT INBOX").await;
    conversation(
        &mut [&mut alice],
        "
        C: a UID SEARCH RETURN (COUNT UPDATE (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])) OR SUBJECT hello FLAGGED
        S: * ESEARCH (TAG \"a\") UID COUNT 0
        S: a OK SEARCH completed
        C: b SEARCH RETURN (UPDATE ()) ALL
        S: b BAD Empty list of FETCH items
    ",
    )
    .await;
    world.deliver("alice", Place::Inbox, b"Subject: other\r\n\r\n").await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    conversation(
        &mut [&mut alice],
        "
        C: a NOOP
        S: * 2 EXISTS
        S: * 2 RECENT
        S: * 2 FETCH (UID 2 BODY[HEADER.FIELDS (SUBJECT)] {18}\\r\\nSubject: hello\\r\\n\\r\\n)
        S: * ESEARCH (TAG \"a\") UID ADDTO (0 2)
        S: a OK NOOP completed
        C: b NOTIFY SET (selected (MessageNew (UID FLAGS) MessageExpunge FlagChange))
        S: b OK NOTIFY completed
    ",
    )
    .await;
    // One FETCH for both; what matches by its flags is not fetched.
    world.deliver_many("alice", Place::Inbox, &[HELLO, b"Subject: other\r\n\r\n"]).await;
    conversation(
        &mut [&mut alice],
        "
        S: * 4 EXISTS
        S: * 4 RECENT
        S: * 3 FETCH (UID 3 BODY[HEADER.FIELDS (SUBJECT)] {18}\\r\\nSubject: hello\\r\\n\\r\\n FLAGS (\\Recent))
        S: * ESEARCH (TAG \"a\") UID ADDTO (0 3)
        S: * 4 FETCH (UID 4 FLAGS (\\Recent))
    ",
    )
    .await;
    second.ok("SELECT INBOX").await;
    second.ok("STORE 1 +FLAGS (\\Flagged)").await;
    told(&mut alice, "* 1 FETCH (UID 1 FLAGS (\\Flagged \\Recent))").await;
    told(&mut alice, "* ESEARCH (TAG \"a\") UID ADDTO (0 1)").await;
    second.ok("STORE 2 +FLAGS (\\Deleted)").await;
    told(&mut alice, "* 2 FETCH …").await;
    second.ok("EXPUNGE").await;
    told(&mut alice, "* ESEARCH (TAG \"a\") UID REMOVEFROM (0 2)").await;
    told(&mut alice, "* 2 EXPUNGE").await;
}
