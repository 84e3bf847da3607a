//! What is told without being asked for (RFC 5465, NOTIFY): a second session changes things, the first one only reads.

use crate::support::{Client, World, conversation};
use lnmp::Place;

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
async fn other_mailboxes_are_told_of_by_status() {
    let world = World::start().await;
    let (mut alice, mut second) = two(&world).await;
    world.deliver("alice", Place::Archive, HELLO).await;
    conversation(
        &mut [&mut alice],
        "
        C: a SELECT INBOX
        S: * FLAGS …
        S: * OK [PERMANENTFLAGS …
        S: * 0 EXISTS
        S: * 0 RECENT
        S: * OK [UIDVALIDITY …
        S: * OK [UIDNEXT …
        S: * OK [HIGHESTMODSEQ …
        S: * OK [MAILBOXID …
        S: a OK …
        C: b NOTIFY SET STATUS (selected (MessageNew MessageExpunge)) (mailboxes (Archive INBOX Nowhere) (MessageNew MessageExpunge))
        S: * STATUS Archive (MESSAGES 1 UIDNEXT 2 UIDVALIDITY …)
        S: b OK NOTIFY completed
    ",
    )
    .await;
    world.deliver("alice", Place::Archive, HELLO).await;
    told(&mut alice, "* STATUS Archive (MESSAGES 2 UIDNEXT 3)").await;
    second.ok("SELECT Archive").await;
    second.ok("STORE 1 +FLAGS (\\Deleted)").await;
    silent(&mut alice).await;
    second.ok("EXPUNGE").await;
    told(&mut alice, "* STATUS Archive (MESSAGES 1 UIDNEXT 3)").await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    told(&mut alice, "* 1 EXISTS").await;
    told(&mut alice, "* 1 RECENT").await;
    alice.ok("UNSELECT").await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    told(&mut alice, "* STATUS INBOX (MESSAGES 2 UIDNEXT 3)").await;
    silent(&mut alice).await;
}

#[tokio::test]
async fn the_state_is_told_first_where_status_asks_for_it() {
    let world = World::start().await;
    let (mut alice, _) = two(&world).await;
    alice.ok("CREATE box2").await;
    alice.append("box2", "", HELLO).await;
    conversation(
        &mut [&mut alice],
        "
        C: a NOTIFY SET STATUS (mailboxes box2 (MessageNew MessageExpunge))
        S: * STATUS box2 (MESSAGES 1 UIDNEXT 2 UIDVALIDITY …)
        S: a OK NOTIFY completed
        C: b ENABLE QRESYNC
        S: * ENABLED QRESYNC
        S: b OK ENABLE completed
        C: c notify set status (mailboxes box2 (messagenew messageexpunge flagchange))
        S: * STATUS box2 (MESSAGES 1 UIDNEXT 2 UIDVALIDITY … HIGHESTMODSEQ 2)
        S: c OK NOTIFY completed
        C: d NOTIFY SET (mailboxes box2 (MessageNew MessageExpunge FlagChange))
        S: d OK NOTIFY completed
        C: e NOTIFY SET STATUS (subtree \"\" (MailboxName)) (mailboxes box2 NONE)
        S: e OK NOTIFY completed
    ",
    )
    .await;
}

#[tokio::test]
async fn flag_changes_elsewhere_are_told_as_far_as_a_status_can() {
    let world = World::start().await;
    world.deliver("alice", Place::Archive, HELLO).await;
    let (mut alice, mut second) = two(&world).await;
    alice.ok("NOTIFY SET (personal (MessageNew MessageExpunge FlagChange))").await;
    second.ok("SELECT Archive").await;
    second.ok("STORE 1 +FLAGS (\\Seen)").await;
    told(&mut alice, "* STATUS Archive (UNSEEN 0 UIDVALIDITY …)").await;
    second.ok("STORE 1 +FLAGS (\\Flagged)").await;
    silent(&mut alice).await;
    alice.ok("ENABLE CONDSTORE").await;
    second.ok("STORE 1 -FLAGS (\\Flagged)").await;
    told(&mut alice, "* STATUS Archive (HIGHESTMODSEQ 5 UIDVALIDITY …)").await;
    world.deliver("alice", Place::Archive, HELLO).await;
    told(&mut alice, "* STATUS Archive (MESSAGES 2 UIDNEXT 3 UNSEEN 1 HIGHESTMODSEQ 6 UIDVALIDITY …)").await;
    // NONE takes out what other groups name.
    alice.ok("NOTIFY SET (personal (MessageNew MessageExpunge)) (mailboxes Archive NONE)").await;
    world.deliver("alice", Place::Archive, HELLO).await;
    world.deliver("alice", Place::Sent, HELLO).await;
    told(&mut alice, "* STATUS Sent (MESSAGES 1 UIDNEXT 2 HIGHESTMODSEQ …)").await;
    silent(&mut alice).await;
}

#[tokio::test]
async fn inboxes_subscribed_and_subtree_reach_what_they_say() {
    let world = World::start().await;
    let (mut alice, mut second) = two(&world).await;
    for name in ["a", "a/b", "ab"] {
        alice.ok(&format!("CREATE {name}")).await;
    }
    alice.ok("UNSUBSCRIBE Archive").await;
    let deliver = async |place| world.deliver("alice", place, HELLO).await;
    alice.ok("NOTIFY SET (inboxes (MessageNew MessageExpunge))").await;
    deliver(Place::Sent).await;
    deliver(Place::Unpaid).await;
    told(&mut alice, "* STATUS Unpaid (MESSAGES 1 UIDNEXT 2)").await;
    alice.ok("NOTIFY SET (subscribed (MessageNew MessageExpunge))").await;
    deliver(Place::Archive).await;
    deliver(Place::Sent).await;
    told(&mut alice, "* STATUS Sent (MESSAGES 2 UIDNEXT 3)").await;
    // RFC 5465 §6.4: who subscribes hears of it from there on.
    second.ok("SUBSCRIBE Archive").await;
    told(&mut alice, "* STATUS Archive (MESSAGES 1 UIDNEXT 2 UIDVALIDITY …)").await;
    deliver(Place::Archive).await;
    told(&mut alice, "* STATUS Archive (MESSAGES 2 UIDNEXT 3)").await;
    second.ok("UNSUBSCRIBE Archive").await;
    alice.ok("NOTIFY SET (subtree a (MessageNew MessageExpunge))").await;
    second.append("ab", "", HELLO).await;
    second.append("a/b", "", HELLO).await;
    told(&mut alice, "* STATUS a/b (MESSAGES 1 UIDNEXT 2)").await;
    second.append("a", "", HELLO).await;
    told(&mut alice, "* STATUS a (MESSAGES 1 UIDNEXT 2)").await;
    // A mailbox that comes into being is watched too.
    second.ok("CREATE a/new").await;
    second.append("a/new", "", HELLO).await;
    told(&mut alice, "* STATUS a/new (MESSAGES 1 UIDNEXT 2…").await;
    silent(&mut alice).await;
}

#[tokio::test]
async fn names_that_change_are_listed() {
    let world = World::start().await;
    let (mut alice, mut second) = two(&world).await;
    alice.ok("NOTIFY SET (personal (MailboxName))").await;
    second.ok("CREATE a").await;
    told(&mut alice, "* LIST (\\HasNoChildren) \"/\" a").await;
    second.ok("CREATE a/b").await;
    told(&mut alice, "* LIST (\\HasChildren) \"/\" a").await;
    told(&mut alice, "* LIST (\\HasNoChildren) \"/\" a/b").await;
    second.ok("SUBSCRIBE a").await;
    silent(&mut alice).await;
    second.ok("RENAME a \"z 1\"").await;
    told(&mut alice, "* LIST (\\Subscribed \\HasChildren) \"/\" \"z 1\" (\"OLDNAME\" (a))").await;
    second.ok("DELETE \"z 1\"").await;
    told(&mut alice, "* LIST (\\NonExistent \\Subscribed \\HasChildren) \"/\" \"z 1\"").await;
    second.ok("RENAME \"z 1/b\" b").await;
    told(&mut alice, "* LIST (\\HasNoChildren) \"/\" b (\"OLDNAME\" (\"z 1/b\"))").await;
    second.ok("CREATE Sp&AOQ-ter").await;
    told(&mut alice, "* LIST (\\HasNoChildren) \"/\" Sp&AOQ-ter").await;
    alice.ok("ENABLE UTF8=ACCEPT").await;
    second.ok("DELETE Sp&AOQ-ter").await;
    told(&mut alice, "* LIST (\\NonExistent \\HasNoChildren) \"/\" \"Sp\u{c3}\u{a4}ter\"").await;
    second.ok("CREATE mine (USE (\\Sent))").await;
    told(&mut alice, "* LIST (\\HasNoChildren \\Sent) \"/\" mine").await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    second.ok("RENAME INBOX old").await;
    told(&mut alice, "* LIST (\\HasNoChildren) \"/\" old").await;
    // What this client does itself it need not be told.
    alice.ok("CREATE own/deep").await;
    alice.ok("RENAME own/deep mine/deep").await;
    alice.ok("DELETE mine/deep").await;
    alice.ok("DELETE own").await;
    alice.ok("SUBSCRIBE nowhere").await;
    silent(&mut alice).await;
    // By name, and only that.
    alice.ok("NOTIFY SET (mailboxes (one two) (MailboxName))").await;
    second.ok("CREATE three").await;
    second.ok("CREATE one").await;
    told(&mut alice, "* LIST (\\HasNoChildren) \"/\" one").await;
    second.ok("RENAME three two").await;
    told(&mut alice, "* LIST (\\HasNoChildren) \"/\" two (\"OLDNAME\" (three))").await;
    second.ok("RENAME two four").await;
    told(&mut alice, "* LIST (\\HasNoChildren) \"/\" four (\"OLDNAME\" (two))").await;
    second.ok("CREATE one/below").await;
    told(&mut alice, "* LIST (\\HasChildren) \"/\" one").await;
    silent(&mut alice).await;
    alice.ok("NOTIFY SET (subscribed (MailboxName))").await;
    second.ok("CREATE mute").await;
    second.ok("SUBSCRIBE loud").await;
    second.ok("CREATE loud").await;
    told(&mut alice, "* LIST (\\Subscribed \\HasNoChildren) \"/\" loud").await;
    second.ok("DELETE mute").await;
    second.ok("DELETE loud").await;
    told(&mut alice, "* LIST (\\NonExistent \\Subscribed \\HasNoChildren) \"/\" loud").await;
    silent(&mut alice).await;
}

#[tokio::test]
async fn asking_anew_loses_nothing() {
    let world = World::start().await;
    let (mut alice, mut second) = two(&world).await;
    second.ok("CREATE old").await;
    second.ok("CREATE gone").await;
    let set = "(personal (MessageNew MessageExpunge MailboxName SubscriptionChange MailboxMetadataChange))";
    alice.ok(&format!("NOTIFY SET {set}")).await;
    // While a command is on its way nothing is told.
    conversation(&mut [&mut alice], "C: a NOTIFY SET (mailboxes {7}\nS: + OK").await;
    world.deliver("alice", Place::Archive, HELLO).await;
    second.ok("SETMETADATA Archive (/private/comment \"x\")").await;
    second.ok("SUBSCRIBE nowhere").await;
    second.ok("DELETE gone").await;
    second.ok("RENAME old new").await;
    second.ok("CREATE made").await;
    alice.send(format!("Archive (MessageNew MessageExpunge)) {set}\r\n").as_bytes()).await;
    conversation(
        &mut [&mut alice],
        "
        S: a OK NOTIFY completed
        S: * LIST (\\NonExistent \\HasNoChildren) \"/\" gone
        S: * LIST (\\HasNoChildren) \"/\" made
        S: * LIST (\\HasNoChildren) \"/\" new (\"OLDNAME\" (old))
        S: * LIST (\\NonExistent \\Subscribed \\HasNoChildren) \"/\" nowhere
        S: * METADATA Archive /private/comment
        S: * STATUS Archive (MESSAGES 1 UIDNEXT 2)
    ",
    )
    .await;
    silent(&mut alice).await;
}

#[tokio::test]
async fn subscriptions_that_change_are_listed() {
    let world = World::start().await;
    let (mut alice, mut second) = two(&world).await;
    alice.ok("NOTIFY SET (personal (SubscriptionChange))").await;
    second.ok("UNSUBSCRIBE Archive").await;
    told(&mut alice, "* LIST (\\HasNoChildren \\Archive) \"/\" Archive").await;
    second.ok("SUBSCRIBE Archive").await;
    told(&mut alice, "* LIST (\\Subscribed \\HasNoChildren \\Archive) \"/\" Archive").await;
    second.ok("SUBSCRIBE nowhere").await;
    told(&mut alice, "* LIST (\\NonExistent \\Subscribed \\HasNoChildren) \"/\" nowhere").await;
    second.ok("CREATE unheard").await;
    second.ok("SUBSCRIBE Archive").await;
    alice.ok("UNSUBSCRIBE nowhere").await;
    silent(&mut alice).await;
    alice.ok("NOTIFY SET (subscribed (SubscriptionChange)) (mailboxes INBOX NONE)").await;
    second.ok("UNSUBSCRIBE INBOX").await;
    second.ok("UNSUBSCRIBE Sent").await;
    told(&mut alice, "* LIST (\\HasNoChildren \\Sent) \"/\" Sent").await;
    silent(&mut alice).await;
}

#[tokio::test]
async fn annotations_that_change_are_named() {
    let world = World::start().await;
    let (mut alice, mut second) = two(&world).await;
    alice.ok("NOTIFY SET (mailboxes INBOX (MailboxMetadataChange)) (inboxes (ServerMetadataChange))").await;
    second.ok("SETMETADATA INBOX (/shared/comment \"x\" /private/comment \"y\")").await;
    told(&mut alice, "* METADATA INBOX /shared/comment /private/comment").await;
    second.ok("SETMETADATA INBOX (/shared/comment NIL /private/none NIL)").await;
    told(&mut alice, "* METADATA INBOX /shared/comment").await;
    second.ok("SETMETADATA \"\" (/private/comment \"x\")").await;
    told(&mut alice, "* METADATA \"\" /private/comment").await;
    second.ok("SETMETADATA Archive (/private/comment \"x\")").await;
    alice.ok("SETMETADATA INBOX (/private/comment NIL /private/none NIL /private/a \"b\")").await;
    alice.ok("SETMETADATA INBOX (/private/none NIL)").await;
    silent(&mut alice).await;
    alice.ok("NOTIFY SET (personal (MailboxMetadataChange))").await;
    second.ok("SETMETADATA \"\" (/private/comment NIL)").await;
    second.ok("CREATE own").await;
    second.ok("SETMETADATA own (/private/specialuse \"\\\\Sent\")").await;
    told(&mut alice, "* METADATA own /private/specialuse").await;
    silent(&mut alice).await;
}

#[tokio::test]
async fn shared_mailboxes_are_told_of_as_far_as_rights_go() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.login("alice").await, world.login("bob").await);
    alice.ok("SETACL INBOX bob lr").await;
    alice.ok("SETACL Archive bob l").await;
    alice.ok("SETACL Sent bob r").await;
    conversation(
        &mut [&mut bob],
        "
        C: a NOTIFY SET STATUS (subtree \"Other Users\" (MessageNew MessageExpunge FlagChange MailboxName))
        S: * LIST (\\Noselect \\HasNoChildren \\NoAccess) \"/\" \"Other Users/alice@satchel.test/Archive\"
        S: * STATUS \"Other Users/alice@satchel.test/INBOX\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY … HIGHESTMODSEQ 2)
        S: a OK NOTIFY completed
    ",
    )
    .await;
    let shared = "\"Other Users/alice@satchel.test/";
    world.deliver("alice", Place::Archive, HELLO).await;
    world.deliver("alice", Place::Sent, HELLO).await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    told(&mut bob, &format!("* STATUS {shared}INBOX\" (MESSAGES 1 UIDNEXT 2 UNSEEN 1 UIDVALIDITY …)")).await;
    // The right to read comes and goes.
    alice.ok("SETACL Archive bob +r").await;
    told(&mut bob, &format!("* LIST (\\HasNoChildren) \"/\" {shared}Archive\"")).await;
    told(&mut bob, &format!("* STATUS {shared}Archive\" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY … HIGHESTMODSEQ …)")).await;
    alice.ok("SETACL INBOX bob -r").await;
    told(&mut bob, &format!("* LIST (\\Noselect \\HasNoChildren \\NoAccess) \"/\" {shared}INBOX\"")).await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    // The right to list is the mailbox itself.
    alice.ok("DELETEACL Archive bob").await;
    told(&mut bob, "* LIST (\\NonExistent \\HasChildren) \"/\" \"Other Users/alice@satchel.test\"").await;
    told(&mut bob, &format!("* LIST (\\NonExistent \\HasNoChildren \\NoAccess) \"/\" {shared}Archive\"")).await;
    world.deliver("alice", Place::Archive, HELLO).await;
    silent(&mut bob).await;
    alice.ok("SETACL Archive bob lr").await;
    told(&mut bob, "* LIST (\\NonExistent \\HasChildren) \"/\" \"Other Users/alice@satchel.test\"").await;
    told(&mut bob, &format!("* LIST (\\HasNoChildren) \"/\" {shared}Archive\"")).await;
    told(&mut bob, &format!("* STATUS {shared}Archive\" (MESSAGES 2 …")).await;
    // What its owner does to it, and below it.
    alice.ok("CREATE Archive/2026").await;
    told(&mut bob, &format!("* LIST (\\HasChildren) \"/\" {shared}Archive\"")).await;
    told(&mut bob, &format!("* LIST (\\HasNoChildren) \"/\" {shared}Archive/2026\"")).await;
    told(&mut bob, &format!("* STATUS {shared}Archive/2026\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY …")).await;
    alice.ok("RENAME Archive/2026 Archive/old").await;
    let renamed =
        format!("* LIST (\\HasNoChildren) \"/\" {shared}Archive/old\" (\"OLDNAME\" ({shared}Archive/2026\"))");
    told(&mut bob, &renamed).await;
    alice.ok("DELETE Archive/old").await;
    told(&mut bob, &format!("* LIST (\\HasNoChildren) \"/\" {shared}Archive\"")).await;
    told(&mut bob, &format!("* LIST (\\NonExistent \\HasNoChildren \\NoAccess) \"/\" {shared}Archive/old\"")).await;
    silent(&mut bob).await;
}

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
