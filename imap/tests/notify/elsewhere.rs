//! Of mailboxes that are not selected.

use super::{HELLO, silent, told, two};
use crate::support::{World, conversation};
use lnmp::Place;

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
