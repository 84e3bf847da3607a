//! Nothing lost, nothing twice, nothing in the midst of something else; and what is refused.

use super::{HELLO, silent, told, two};
use crate::support::{World, conversation};
use lnmp::Place;

#[tokio::test]
async fn what_the_client_does_itself_is_not_told_again() {
    let world = World::start().await;
    world.deliver_many("alice", Place::Inbox, &[HELLO, HELLO, HELLO]).await;
    let (mut alice, mut second) = two(&world).await;
    alice.ok("SELECT INBOX").await;
    alice
        .ok("NOTIFY SET (selected (MessageNew (UID) MessageExpunge FlagChange)) (personal (MessageNew MessageExpunge))")
        .await;
    assert_eq!(alice.append_lines("Archive", "", HELLO).await.len(), 1);
    assert!(alice.ok("COPY 1:2 Archive").await.is_empty());
    assert_eq!(alice.ok("MOVE 1 Archive").await.last().unwrap(), "* 1 EXPUNGE");
    silent(&mut alice).await;
    // Its own new message in the selected mailbox: EXISTS, but no FETCH.
    let lines = alice.append_lines("INBOX", "", HELLO).await;
    assert_eq!(lines[..2], ["* 3 EXISTS", "* 3 RECENT"]);
    assert_eq!(lines.len(), 3);
    assert_eq!(alice.ok("COPY 1 INBOX").await, ["* 4 EXISTS", "* 4 RECENT"]);
    // Together with what others do there all of it is told.
    second.append("Archive", "", HELLO).await;
    told(&mut alice, "* STATUS Archive (MESSAGES 5 UIDNEXT 6)").await;
    alice.ok("CREATE new").await;
    alice.append("new", "", HELLO).await;
    alice.ok("NOOP").await;
    silent(&mut alice).await;
}

#[tokio::test]
async fn news_wait_for_the_end_of_what_they_could_be_mistaken_for() {
    let world = World::start().await;
    let (mut alice, mut second) = two(&world).await;
    alice.ok("NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))").await;
    // Commands in one packet are all answered first; a literal that is on its way is not interrupted.
    alice.send(b"a STATUS {7}\r\n").await;
    assert_eq!(alice.line().await, "+ OK");
    second.ok("CREATE new").await;
    world.deliver("alice", Place::Archive, HELLO).await;
    alice.send(b"Archive (MESSAGES)\r\nb LIST \"\" new\r\nc STATUS Sent (MESSAGES)\r\n").await;
    conversation(
        &mut [&mut alice],
        "
        S: * STATUS Archive (MESSAGES 1)
        S: a OK STATUS completed
        S: * LIST (\\HasNoChildren) \"/\" new
        S: b OK LIST completed
        S: * STATUS Sent (MESSAGES 0)
        S: c OK STATUS completed
        S: * LIST (\\HasNoChildren) \"/\" new
        S: * STATUS Archive (MESSAGES 1 UIDNEXT 2)
    ",
    )
    .await;
    // In IDLE as between commands.
    conversation(&mut [&mut alice], "C: d IDLE\nS: + idling").await;
    world.deliver("alice", Place::Archive, HELLO).await;
    told(&mut alice, "* STATUS Archive (MESSAGES 2 UIDNEXT 3)").await;
    second.ok("DELETE new").await;
    told(&mut alice, "* LIST (\\NonExistent \\HasNoChildren) \"/\" new").await;
    conversation(&mut [&mut alice], "C: DONE\nS: d OK IDLE completed").await;
    // In NOOP, when it comes before anybody looked.
    world.deliver("alice", Place::Archive, HELLO).await;
    let lines = alice.ok("NOOP").await;
    let late = if lines.is_empty() { alice.line().await } else { lines[0].clone() };
    assert_eq!(late, "* STATUS Archive (MESSAGES 3 UIDNEXT 4)");
}

#[tokio::test]
async fn nothing_is_lost_or_told_twice_while_commands_run() {
    let world = World::start().await;
    let (mut alice, mut second) = two(&world).await;
    alice.ok("SELECT INBOX").await;
    alice
        .ok("NOTIFY SET (selected (MessageNew (UID) MessageExpunge)) (mailboxes Archive (MessageNew MessageExpunge))")
        .await;
    let rounds = 40;
    let work = async {
        for round in 0..rounds {
            world.deliver("alice", Place::Inbox, HELLO).await;
            second.append(if round % 2 == 0 { "Archive" } else { "Sent" }, "", HELLO).await;
        }
    };
    let read = async {
        let (mut fetched, mut exists, mut archive) = (Vec::new(), 0, 0);
        let mut asked = 0;
        let mut answered = 0;
        while fetched.len() < rounds || archive < rounds / 2 || answered < asked {
            if asked < 30 && answered == asked {
                let command = ["UID FETCH 1:* (UID)", "NOOP", "UID SEARCH ALL", "UID FETCH 1:* (FLAGS)"][asked % 4];
                alice.send(format!("r{asked} {command}\r\n").as_bytes()).await;
                asked += 1;
            }
            let line = alice.line().await;
            let mut words = line.split(' ');
            match (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or("")) {
                ("*", number, "EXISTS") => {
                    let now: usize = number.parse().unwrap();
                    assert!(now > exists, "{now} after {exists}");
                    exists = now;
                }
                // A command's own answers have FLAGS, or are of what was told before.
                ("*", number, "FETCH") if line.ends_with(&format!("(UID {number})")) => {
                    let number: usize = number.parse().unwrap();
                    assert!(number <= exists, "{line} before EXISTS");
                    if !fetched.contains(&number) {
                        fetched.push(number);
                    }
                }
                ("*", "STATUS", "Archive") => {
                    let now = line.split("MESSAGES ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
                    assert!(now > archive, "{now} after {archive}");
                    archive = now;
                }
                ("*", ..) => {}
                _ => answered += 1,
            }
        }
        (fetched.len(), exists, archive)
    };
    let ((), seen) = tokio::join!(work, read);
    assert_eq!(seen, (rounds, rounds, rounds / 2));
}

#[tokio::test]
async fn wrong_requests_change_nothing_and_say_why() {
    let world = World::start().await;
    let (mut alice, _) = two(&world).await;
    let mut nobody = world.connect().await;
    assert_eq!(nobody.tagged("NOTIFY NONE").await, "BAD Log in first");
    alice.ok("NOTIFY SET (mailboxes Archive (MessageNew MessageExpunge))").await;
    let bad_event = "NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange \
         MailboxMetadataChange ServerMetadataChange)] ";
    for (command, answer) in [
        ("NOTIFY", "BAD Missing argument"),
        ("NOTIFY SET", "BAD Missing argument"),
        ("NOTIFY SET (personal (MessageNew))", "BAD MessageNew and MessageExpunge go together"),
        ("NOTIFY SET (personal (FlagChange))", "BAD FlagChange needs MessageNew and MessageExpunge"),
        ("NOTIFY SET (selected (MailboxName))", "BAD SELECTED takes MessageNew, MessageExpunge and FlagChange only"),
        (
            "NOTIFY SET (selected NONE) (selected-delayed (MessageNew MessageExpunge))",
            "BAD SELECTED or SELECTED-DELAYED can be given once",
        ),
        (
            "NOTIFY SET (inboxes (MessageNew (UID) MessageExpunge))",
            "BAD Items to fetch go with SELECTED or SELECTED-DELAYED only",
        ),
        ("NOTIFY SET (selected (MessageNew (SUBJECT) MessageExpunge))", "BAD Unknown FETCH item"),
        (
            "NOTIFY SET (somewhere (MailboxName))",
            "BAD Mailboxes are SELECTED, SELECTED-DELAYED, INBOXES, PERSONAL, SUBSCRIBED, SUBTREE or MAILBOXES",
        ),
    ] {
        assert_eq!(alice.tagged(command).await, answer, "{command}");
    }
    for (group, event) in [
        ("(personal (MessageNew MessageExpunge AnnotationChange))", "AnnotationChange"),
        ("(selected (MessageNew MessageExpunge AnnotationChange))", "AnnotationChange"),
        ("(personal (MailboxName)) (personal (Tomorrow))", "Tomorrow"),
    ] {
        let answer = alice.tagged(&format!("NOTIFY SET {group}")).await;
        assert_eq!(answer, format!("{bad_event}{event} is not supported"));
    }
    // What was set before still holds.
    world.deliver("alice", Place::Archive, HELLO).await;
    told(&mut alice, "* STATUS Archive (MESSAGES 1 UIDNEXT 2)").await;
    alice.ok("NOTIFY SET (mailboxes (Nowhere \"a//b\" &) (MessageNew MessageExpunge))").await;
    world.deliver("alice", Place::Archive, HELLO).await;
    silent(&mut alice).await;
}

#[tokio::test]
async fn too_much_to_watch_is_refused_and_too_much_to_tell_ends_it() {
    let world = World::start().await;
    let (mut alice, mut second) = two(&world).await;
    let account = world.account("alice");
    let name = |number: usize| format!("{number:03}{}", "x".repeat(990));
    let max = imap::limits::NOTIFY_NAMES_BYTES_MAX / name(0).len();
    for number in 0..max - 1 {
        world.store.create_mailbox(account, &name(number), crate::support::NOW).await.unwrap();
    }
    alice.ok("NOTIFY SET (personal (MessageNew MessageExpunge))").await;
    world.deliver("alice", Place::Archive, HELLO).await;
    told(&mut alice, "* STATUS Archive (MESSAGES 1 UIDNEXT 2)").await;
    for number in max - 1..max + 1 {
        world.store.create_mailbox(account, &name(number), crate::support::NOW).await.unwrap();
    }
    told(&mut alice, "* OK [NOTIFICATIONOVERFLOW] Too much to tell; notifications have ended").await;
    // As after NOTIFY NONE.
    world.deliver("alice", Place::Archive, HELLO).await;
    silent(&mut alice).await;
    let refused = alice.tagged("NOTIFY SET (personal (MessageNew MessageExpunge))").await;
    assert_eq!(refused, "NO [NOTIFICATIONOVERFLOW] Too many mailboxes to watch, name fewer");
    alice.ok("NOTIFY SET (mailboxes Archive (MessageNew MessageExpunge MailboxMetadataChange))").await;
    world.deliver("alice", Place::Archive, HELLO).await;
    told(&mut alice, "* STATUS Archive (MESSAGES 3 UIDNEXT 4)").await;
    // More annotations than wait for a client that is busy.
    conversation(&mut [&mut alice], "C: a STATUS {7}\nS: + OK").await;
    for round in 0..3 {
        let entries: Vec<String> = (0..90).map(|number| format!("/private/{round}/{number} \"x\"")).collect();
        second.ok(&format!("SETMETADATA Archive ({})", entries.join(" "))).await;
    }
    // The registry has seen the last of them when a third session has.
    second.ok("SELECT Sent").await;
    world.deliver("alice", Place::Sent, HELLO).await;
    conversation(&mut [&mut second], "C: z IDLE\nS: + idling\nS: * 1 EXISTS\nS: * 1 RECENT").await;
    conversation(
        &mut [&mut alice],
        "
        C: Archive (MESSAGES)
        S: * STATUS Archive (MESSAGES 3)
        S: a OK STATUS completed
        S: * OK [NOTIFICATIONOVERFLOW] Too much to tell; notifications have ended
    ",
    )
    .await;
    silent(&mut alice).await;
}

#[tokio::test]
async fn notifications_end_with_the_login() {
    let world = World::start().await;
    let (mut alice, _) = two(&world).await;
    alice.ok("NOTIFY SET (personal (MessageNew MessageExpunge))").await;
    alice.ok("UNAUTHENTICATE").await;
    alice.ok("LOGIN alice secret").await;
    world.deliver("alice", Place::Archive, HELLO).await;
    alice.ok("SELECT INBOX").await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    assert_eq!(alice.ok("NOOP").await, ["* 1 EXISTS", "* 1 RECENT"]);
}

#[tokio::test]
async fn compressed_connections_are_told_too() {
    let world = World::start().await;
    let (mut alice, mut second) = two(&world).await;
    alice.ok("NOTIFY SET (mailboxes Archive (MessageNew MessageExpunge))").await;
    world.house.revoked.send_replace(false);
    world.deliver("alice", Place::Archive, HELLO).await;
    told(&mut alice, "* STATUS Archive (MESSAGES 1 UIDNEXT 2)").await;
    // Whoever waits hears of the end too.
    world.house.revoked.send_replace(true);
    assert_eq!(alice.line().await, "* BYE Access was revoked");
    assert_eq!(second.line().await, "* BYE Access was revoked");
}
