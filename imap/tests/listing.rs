//! LIST in all its forms (RFC 3501 §6.3.8, RFC 5258).

use crate::support::{World, conversation};

#[tokio::test]
async fn the_plain_list_has_its_corners() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    conversation(
        &mut [&mut client],
        "
        C: a LIST \"\" \"\"
        S: * LIST (\\Noselect) \"/\" \"\"
        S: a OK LIST completed
        C: b LIST \"\" inB%
        S: * LIST (\\HasNoChildren) \"/\" INBOX
        S: b OK LIST completed
        C: c CREATE Inbox/x/
        S: c OK [MAILBOXID (F…)] CREATE completed
        C: d LIST inbox/ %
        S: * LIST (\\HasNoChildren) \"/\" INBOX/x
        S: d OK LIST completed
        C: e LIST \"\" nothing
        S: e OK LIST completed
        C: f CREATE p/q/r
        S: f OK [MAILBOXID (F…)] CREATE completed
        C: g DELETE p/q
        S: g OK DELETE completed
        C: h LIST \"\" p*
        S: * LIST (\\HasChildren) \"/\" p
        S: * LIST (\\Noselect \\HasChildren) \"/\" p/q
        S: * LIST (\\HasNoChildren) \"/\" p/q/r
        S: h OK LIST completed
        C: i SELECT p/q
        S: i NO [NONEXISTENT] No such mailbox
        C: j SELECT p
        S: * FLAGS …
        S: * OK [PERMANENTFLAGS …
        S: * 0 EXISTS
        S: * 0 RECENT
    ",
    )
    .await;
    client.finish("j").await;
    // STATUS of the selected mailbox is answered too.
    assert_eq!(client.ok("STATUS p (MESSAGES)").await, ["* STATUS p (MESSAGES 0)"]);
}

#[tokio::test]
async fn the_extended_list_selects_and_returns() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    conversation(
        &mut [&mut client],
        "
        C: a CREATE x/y
        S: a OK [MAILBOXID (F…)] CREATE completed
        C: b SUBSCRIBE gone/z
        S: b OK SUBSCRIBE completed
        C: c LIST (SUBSCRIBED) \"\" (x* gone*)
        S: * LIST (\\NonExistent \\Subscribed \\HasNoChildren) \"/\" gone/z
        S: c OK LIST completed
        C: d LIST (SUBSCRIBED RECURSIVEMATCH) \"\" gon%
        S: * LIST (\\NonExistent \\HasNoChildren) \"/\" gone (\"CHILDINFO\" (\"SUBSCRIBED\"))
        S: d OK LIST completed
        C: e LIST \"\" gone*
        S: e OK LIST completed
        C: f LIST (REMOTE) \"\" x% RETURN (SUBSCRIBED CHILDREN STATUS (MESSAGES))
        S: * LIST (\\HasChildren) \"/\" x
        S: * STATUS x (MESSAGES 0)
        S: f OK LIST completed
        C: g LIST (RECURSIVEMATCH) \"\" *
        S: g BAD RECURSIVEMATCH needs another option
        C: h LIST () \"\" x/y RETURN ()
        S: * LIST (\\HasNoChildren) \"/\" x/y
        S: h OK LIST completed
        C: i LSUB \"\" %
        S: * LSUB () \"/\" INBOX
    ",
    )
    .await;
    let lines = client.finish("i").await;
    assert!(lines.contains(&"* LSUB (\\Noselect) \"/\" gone".to_owned()), "{lines:?}");
}
