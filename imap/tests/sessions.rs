//! Dialogues over a socket: states, mailboxes, flags, copies, updates between sessions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::{Client, World, conversation};
use imap::Security;
use lnmp::Place;

const HELLO: &[u8] = b"From: Bob <bob@shop.test>\r\nSubject: hello\r\nMessage-ID: <1@shop.test>\r\n\r\nHi Alice!\r\n";

#[tokio::test]
async fn the_states_of_rfc_3501_are_kept_apart() {
    let world = World::start().await;
    let mut client = world.connect().await;
    conversation(
        &mut [&mut client],
        "
        C: a1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 … AUTH=PLAIN…
        S: a1 OK CAPABILITY completed
        C: a2 SELECT INBOX
        S: a2 BAD Log in first
        C: a3 LOGIN alice wrong
        S: a3 NO [AUTHENTICATIONFAILED] Wrong name or password
        C: a4 AUTHENTICATE PLAIN
        S: +…
        C: AGFsaWNlAHNlY3JldA==
        S: a4 OK [CAPABILITY IMAP4rev1 …] Logged in
        C: a5 LOGIN alice secret
        S: a5 BAD Already logged in
        C: a6 FETCH 1 FLAGS
        S: a6 BAD No mailbox is selected
        C: a7 NAMESPACE
        S: * NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) NIL
        S: a7 OK NAMESPACE completed
        C: a8 ID (\"name\" \"test\")
        S: * ID (\"name\" \"Satchel\"…)
        S: a8 OK ID completed
        C: a9 ENABLE CONDSTORE
        S: * ENABLED CONDSTORE
        S: a9 OK ENABLE completed
        C: a10 LOGOUT
        S: * BYE Logging out
        S: a10 OK LOGOUT completed
        S: <closed>
    ",
    )
    .await;
    let deadline = Instant::now() + Duration::from_secs(5);
    while *world.house.seats.lock().unwrap() > 0 {
        assert!(Instant::now() < deadline, "the seat is given back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn sasl_ir_and_literals_log_in_too() {
    let world = World::start().await;
    let (mut one, mut two, mut three) = (world.connect().await, world.connect().await, world.connect().await);
    conversation(
        &mut [&mut one, &mut two, &mut three],
        "
        C1: a AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==
        S1: a OK [CAPABILITY…
        C2: a LOGIN {5}
        S2: + OK
        C2: alice {6+}\\r\\nsecret
        S2: a OK [CAPABILITY…
        C3: a AUTHENTICATE PLAIN
        S3: +…
        C3: *
        S3: a BAD Authentication cancelled
        C3: b AUTHENTICATE CRAM-MD5
        S3: b NO [CANNOT] Unknown mechanism; PLAIN, LOGIN and OAUTHBEARER are offered
        C3: c AUTHENTICATE PLAIN =
        S3: c BAD Invalid PLAIN message…
        C3: d AUTHENTICATE PLAIN Ym9iAGFsaWNlAHNlY3JldA==
        S3: d NO [AUTHORIZATIONFAILED] Acting for somebody else is not possible
        C3: e LOGIN {5000}
        S3: e BAD [TOOBIG] Literal is too large before login
        C3: f LOGIN {5000+}
    ",
    )
    .await;
    three.send(&[b'x'; 5000]).await;
    conversation(
        &mut [&mut three],
        "
        C:  secret
        S: f BAD [TOOBIG] Literal is too large before login
        C: g NOOP
        S: g OK NOOP completed
    ",
    )
    .await;
}

#[tokio::test]
async fn an_append_is_seen_selected_fetched_and_expunged() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    conversation(&mut [&mut client], "
        C: a APPEND INBOX (\\Seen $Forwarded $Paid) \"17-Jul-1996 02:44:25 -0700\" {20}
        S: + OK
        C: Subject: x\\r\\n\\r\\nletter
        S: a OK [APPENDUID … 1] APPEND completed
        C: b APPEND Nowhere {3}
        S: b NO [TRYCREATE] No such mailbox
        C: c APPEND Nowhere {3+}\\r\\nabc
        S: c NO [TRYCREATE] No such mailbox
        C: d APPEND INBOX {0+}\\r\\n
        S: d NO [CANNOT] An empty message cannot be stored
        C: e APPEND INBOX {99999999}
        S: e NO [TOOBIG] Message is too large
        C: f SELECT inbox
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded)
        S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded \\*)] Flags permitted
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * OK [UIDVALIDITY …] UIDs valid
        S: * OK [UIDNEXT 2] Predicted next UID
        S: * OK [HIGHESTMODSEQ 2] Highest
        S: * OK [MAILBOXID (F…)] Its name for ever
        S: f OK [READ-WRITE] SELECT completed
        C: g FETCH 1 (UID FLAGS INTERNALDATE RFC822.SIZE BODY[])
        S: * 1 FETCH (UID 1 FLAGS (\\Seen \\Recent $Forwarded) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 20 BODY[] {20}\\r\\nSubject: x\\r\\n\\r\\nletter)
        S: g OK FETCH completed
        C: h STORE 1 +FLAGS (\\Deleted)
        S: * 1 FETCH (FLAGS (\\Deleted \\Seen \\Recent $Forwarded))
        S: h OK STORE completed
        C: i UID EXPUNGE 2:9
        S: i OK EXPUNGE completed
        C: j EXPUNGE
        S: * 1 EXPUNGE
        S: j OK EXPUNGE completed
        C: k FETCH 1:* FLAGS
        S: k OK FETCH completed
        C: l FETCH 1 FLAGS
        S: l BAD Message number does not exist
    ").await;
}

#[tokio::test]
async fn sessions_are_told_what_others_do() {
    let world = World::start().await;
    world.deliver_many("alice", Place::Inbox, &[HELLO, HELLO, HELLO]).await;
    let (mut one, mut two) = (world.login("alice").await, world.login("alice").await);
    one.ok("SELECT INBOX").await;
    two.ok("SELECT INBOX").await;
    conversation(
        &mut [&mut one, &mut two],
        "
        C1: a STORE 1,2 +FLAGS (\\Deleted $Mine)
        S1: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Mine)
        S1: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Mine \\*)] Flags permitted
        S1: * 1 FETCH (FLAGS (\\Deleted \\Recent $Mine))
        S1: * 2 FETCH (FLAGS (\\Deleted \\Recent $Mine))
        S1: a OK STORE completed
        C2: a CHECK
        S2: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Mine)
        S2: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Mine \\*)] Flags permitted
        S2: * 1 FETCH (FLAGS (\\Deleted $Mine))
        S2: * 2 FETCH (FLAGS (\\Deleted $Mine))
        S2: a OK CHECK completed
        C1: b STORE 3 FLAGS.SILENT \\Flagged
        S1: b OK STORE completed
        C1: c UID EXPUNGE 2
        S1: * 2 EXPUNGE
        S1: c OK EXPUNGE completed
        C2: b NOOP
        S2: * 2 EXPUNGE
        S2: * 2 FETCH (FLAGS (\\Flagged))
        S2: b OK NOOP completed
        C1: d COPY 2 INBOX
        S1: * 3 EXISTS
        S1: * 3 RECENT
        S1: d OK [COPYUID … 3 4] COPY completed
        C2: c NOOP
        S2: * 3 EXISTS
        S2: * 0 RECENT
        S2: c OK NOOP completed
        C2: d EXAMINE INBOX
        S2: * OK [CLOSED] Previous mailbox is closed
        S2: * FLAGS…
        S2: * OK [PERMANENTFLAGS ()] Read-only mailbox
        S2: * 3 EXISTS
        S2: * 0 RECENT
        S2: * OK [UNSEEN 1] First unseen
        S2: * OK [UIDVALIDITY…
        S2: * OK [UIDNEXT 5] Predicted next UID
        S2: * OK [HIGHESTMODSEQ …] Highest
        S2: * OK [MAILBOXID (F…)] Its name for ever
        S2: d OK [READ-ONLY] EXAMINE completed
        C2: e STORE 1 +FLAGS \\Seen
        S2: e NO [READ-ONLY] Mailbox is read-only
        C2: f EXPUNGE
        S2: f NO [READ-ONLY] Mailbox is read-only
        C2: g FETCH 1 BODY[TEXT]
        S2: * 1 FETCH (BODY[TEXT] {11}\\r\\nHi Alice!\\r\\n)
        S2: g OK FETCH completed
        C2: h CLOSE
        S2: h OK CLOSE completed
        C1: e CLOSE
        S1: e OK CLOSE completed
        C1: f STATUS INBOX (MESSAGES RECENT UNSEEN UIDNEXT)
        S1: * STATUS INBOX (MESSAGES 2 RECENT 0 UNSEEN 2 UIDNEXT 5)
        S1: f OK STATUS completed
    ",
    )
    .await;
}

#[tokio::test]
async fn a_session_fetches_what_another_expunged_until_it_is_told() {
    let world = World::start().await;
    world.deliver_many("alice", Place::Inbox, &[HELLO, HELLO]).await;
    let (mut one, mut two) = (world.login("alice").await, world.login("alice").await);
    one.ok("SELECT INBOX").await;
    two.ok("SELECT INBOX").await;
    one.ok("STORE 1 +FLAGS.SILENT \\Deleted").await;
    one.ok("EXPUNGE").await;
    // Wait until the second session's room knows, so that the FETCH has something to hold back.
    let mut fetched = two.command("FETCH 1:2 (UID)").await;
    fetched.sort();
    assert_eq!(fetched, ["* 1 FETCH (UID 1)", "* 2 FETCH (UID 2)", "OK FETCH completed"]);
    conversation(
        &mut [&mut two],
        "
        C: a FETCH 1 (UID BODY.PEEK[])
        S: a NO [EXPUNGEISSUED] Some messages are gone
        C: b NOOP
        S: * 1 EXPUNGE
        S: b OK NOOP completed
    ",
    )
    .await;
}

#[tokio::test]
async fn moves_tell_copyuid_before_expunge() {
    let world = World::start().await;
    world.deliver_many("alice", Place::Inbox, &[HELLO, HELLO, HELLO]).await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    conversation(
        &mut [&mut client],
        "
        C: a MOVE 1:2 Archive
        S: * OK [COPYUID … 1:2 1:2] Moved
        S: * 2 EXPUNGE
        S: * 1 EXPUNGE
        S: a OK MOVE completed
        C: b UID MOVE 2 Archive
        S: b OK …
        C: c UID COPY 1,99 Archive
        S: c OK …
        C: d UID MOVE 3 Nowhere
        S: d NO [TRYCREATE] No such mailbox
        C: e UID MOVE 3 INBOX
        S: * OK [COPYUID … 3 4] Moved
        S: * 1 EXPUNGE
        S: * 1 EXISTS
        S: * 1 RECENT
        S: e OK MOVE completed
    ",
    )
    .await;
}

#[tokio::test]
async fn idle_is_told_at_once_and_pipelined_commands_follow_done() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    conversation(
        &mut [&mut client],
        "
        C: a IDLE
        S: + idling
    ",
    )
    .await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    let committed = Instant::now();
    assert_eq!(client.line().await, "* 1 EXISTS");
    let push = committed.elapsed();
    println!("push after commit: {push:?}");
    assert!(push < Duration::from_secs(1));
    conversation(
        &mut [&mut client],
        "
        S: * 1 RECENT
        C: DONE\\r\\nb NOOP\\r\\nc UNSELECT
        S: a OK IDLE completed
        S: b OK NOOP completed
        S: c OK UNSELECT completed
        C: d IDLE
        S: + idling
        C: NOPE
        S: d BAD Expected DONE
    ",
    )
    .await;
}

#[tokio::test]
async fn mailboxes_are_made_listed_renamed_and_deleted() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    let born = client.ok("LIST \"\" *").await;
    assert_eq!(
        born,
        [
            "* LIST (\\HasNoChildren) \"/\" INBOX",
            "* LIST (\\HasNoChildren \\Archive) \"/\" Archive",
            "* LIST (\\HasNoChildren \\Drafts) \"/\" Drafts",
            "* LIST (\\HasNoChildren \\Junk) \"/\" Junk",
            "* LIST (\\HasNoChildren) \"/\" Requests",
            "* LIST (\\HasNoChildren \\Sent) \"/\" Sent",
            "* LIST (\\HasNoChildren \\Trash) \"/\" Trash",
            "* LIST (\\HasNoChildren) \"/\" Unpaid",
        ]
    );
    conversation(
        &mut [&mut client],
        "
        C: a1 LIST \"\" \"\"
        S: * LIST (\\Noselect) \"/\" \"\"
        S: a1 OK LIST completed
        C: a2 CREATE Work/Old/
        S: a2 OK [MAILBOXID (F…)] CREATE completed
        C: a3 CREATE work
        S: a3 OK [MAILBOXID (F…)] CREATE completed
        C: a4 CREATE Work
        S: a4 NO [ALREADYEXISTS] Mailbox already exists
        C: a5 LIST \"\" W%
        S: * LIST (\\HasChildren) \"/\" Work
        S: a5 OK LIST completed
        C: a6 LIST Work/ %
        S: * LIST (\\HasNoChildren) \"/\" Work/Old
        S: a6 OK LIST completed
        C: a7 RENAME Work Play/Ground
        S: a7 OK RENAME completed
        C: a8 LIST \"\" \"P*\"
        S: * LIST (\\HasChildren) \"/\" Play
        S: * LIST (\\HasChildren) \"/\" Play/Ground
        S: * LIST (\\HasNoChildren) \"/\" Play/Ground/Old
        S: a8 OK LIST completed
        C: a9 DELETE Play/Ground
        S: a9 OK DELETE completed
        C: b1 LIST \"\" Play/%
        S: * LIST (\\Noselect \\HasChildren) \"/\" Play/Ground
        S: b1 OK LIST completed
        C: b2 DELETE Play/Ground
        S: b2 NO [HASCHILDREN] Only mailboxes below this name exist
        C: b3 SELECT Play/Ground
        S: b3 NO [NONEXISTENT] No such mailbox
        C: b4 DELETE INBOX
        S: b4 NO [CANNOT] INBOX cannot be deleted
        C: b5 DELETE Requests
        S: b5 NO [CANNOT] …
        C: b6 RENAME Unpaid x
        S: b6 NO [CANNOT] …
        C: b7 RENAME nothing x
        S: b7 NO [NONEXISTENT] No such mailbox
        C: b8 CREATE \"Entw&APw-rfe\"
        S: b8 OK [MAILBOXID (F…)] CREATE completed
        C: b9 LIST \"\" Entw*
        S: * LIST (\\HasNoChildren) \"/\" Entw&APw-rfe
        S: b9 OK LIST completed
        C: c1 CREATE \"a//b\"
        S: c1 NO [CANNOT] Mailbox name is empty or has an empty level
        C: c2 CREATE \"&bad\"
        S: c2 NO [CANNOT] Mailbox name is not valid modified UTF-7
        C: c3 XLIST \"\" INBOX
        S: * XLIST (\\HasNoChildren \\Inbox) \"/\" INBOX
        S: c3 OK XLIST completed
        C: c4 LIST (SUBSCRIBED) \"\" \"*\" RETURN (CHILDREN SPECIAL-USE STATUS (MESSAGES UNSEEN))
        S: * LIST (\\Subscribed \\HasNoChildren) \"/\" INBOX
        S: * STATUS INBOX (MESSAGES 0 UNSEEN 0)
        S: * LIST (\\Subscribed \\HasNoChildren \\Archive) \"/\" Archive
        S: * STATUS Archive (MESSAGES 0 UNSEEN 0)
    ",
    )
    .await;
    client.finish("c4").await;
}

#[tokio::test]
async fn subscriptions_outlive_their_mailboxes() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    conversation(
        &mut [&mut client],
        "
        C: a1 CREATE x/y
        S: a1 OK [MAILBOXID (F…)] CREATE completed
        C: a2 SUBSCRIBE x/y
        S: a2 OK SUBSCRIBE completed
        C: a3 LSUB \"\" x%
        S: * LSUB (\\Noselect) \"/\" x
        S: a3 OK LSUB completed
        C: a4 LSUB \"\" x*
        S: * LSUB () \"/\" x/y
        S: a4 OK LSUB completed
        C: a5 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" x
        S: * LIST (\\HasChildren) \"/\" x (\"CHILDINFO\" (\"SUBSCRIBED\"))
        S: a5 OK LIST completed
        C: a6 DELETE x/y
        S: a6 OK DELETE completed
        C: a7 LSUB \"\" x*
        S: * LSUB (\\Noselect) \"/\" x/y
        S: a7 OK LSUB completed
        C: a8 LIST (SUBSCRIBED) \"\" x*
        S: * LIST (\\NonExistent \\Subscribed \\HasNoChildren) \"/\" x/y
        S: a8 OK LIST completed
        C: a9 UNSUBSCRIBE x/y
        S: a9 OK UNSUBSCRIBE completed
        C: b1 LSUB \"\" x*
        S: b1 OK LSUB completed
        C: b2 LSUB \"\" Sent
        S: * LSUB (\\Sent) \"/\" Sent
        S: b2 OK LSUB completed
    ",
    )
    .await;
}

#[tokio::test]
async fn renaming_inbox_moves_its_mail_and_leaves_it_empty() {
    let world = World::start().await;
    world.deliver_many("alice", Place::Inbox, &[HELLO, HELLO]).await;
    let mut client = world.login("alice").await;
    conversation(
        &mut [&mut client],
        "
        C: a RENAME INBOX old/mail
        S: a OK RENAME completed
        C: b STATUS INBOX (MESSAGES)
        S: * STATUS INBOX (MESSAGES 0)
        S: b OK STATUS completed
        C: c STATUS old/mail (MESSAGES)
        S: * STATUS old/mail (MESSAGES 2)
        S: c OK STATUS completed
    ",
    )
    .await;
}

#[tokio::test]
async fn what_the_server_says_by_keywords_cannot_be_stored_away() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    client.append("INBOX", "", HELLO).await;
    client.ok("SELECT INBOX").await;
    // Not priced: the server keyword is not taken, and even .SILENT hears that.
    assert_eq!(client.ok("STORE 1 +FLAGS.SILENT ($Paid)").await, ["* 1 FETCH (FLAGS (\\Recent))"]);
    assert_eq!(client.ok("STORE 1 +FLAGS.SILENT (\\Seen)").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_deleted_selected_mailbox_ends_the_other_sessions() {
    let world = World::start().await;
    let (mut one, mut two) = (world.login("alice").await, world.login("alice").await);
    one.ok("CREATE gone").await;
    one.ok("SELECT gone").await;
    two.ok("SELECT gone").await;
    one.ok("DELETE gone").await;
    assert_eq!(one.tagged("FETCH 1 FLAGS").await, "BAD No mailbox is selected");
    conversation(
        &mut [&mut two],
        "
        C: a NOOP
        S: * BYE Selected mailbox was deleted
        S: <closed>
    ",
    )
    .await;
}

#[tokio::test]
async fn the_server_says_goodbye_when_it_stops_and_when_access_is_revoked() {
    let world = World::start().await;
    let mut idle = world.login("alice").await;
    idle.send(b"a IDLE\r\n").await;
    assert_eq!(idle.line().await, "+ idling");
    world.house.revoked.send_replace(true);
    assert_eq!(idle.line().await, "* BYE Access was revoked");
    assert_eq!(idle.line().await, "<closed>");
    world.house.revoked.send_replace(false);
    let (mut idle, mut quiet) = (world.login("alice").await, world.connect().await);
    idle.send(b"a IDLE\r\n").await;
    assert_eq!(idle.line().await, "+ idling");
    world.stop.send_replace(true);
    for client in [&mut idle, &mut quiet] {
        assert_eq!(client.line().await, "* BYE Server is shutting down");
        assert_eq!(client.line().await, "<closed>");
    }
}

#[tokio::test]
async fn a_capability_that_the_account_turned_off_is_not_offered_to_it() {
    let world = World::start().await;
    *world.house.capabilities_off.lock().unwrap() = vec!["IDLE".into(), "IMAP4rev1".into()];
    let mut client = world.connect().await;
    let tagged = client.tagged("LOGIN alice secret").await;
    assert!(tagged.starts_with("OK [CAPABILITY IMAP4rev1 ") && !tagged.contains(" IDLE"), "{tagged}");
    let lines = client.ok("CAPABILITY").await;
    assert!(lines[0].contains(" MOVE") && !lines[0].contains(" IDLE"), "{lines:?}");
}

#[tokio::test]
async fn guessing_ends_with_the_connection() {
    let world = World::start().await;
    let mut client = world.connect().await;
    for _ in 0..4 {
        assert!(client.tagged("LOGIN alice guess").await.starts_with("NO [AUTHENTICATIONFAILED]"));
    }
    client.send(b"a LOGIN alice guess\r\n").await;
    assert_eq!(client.line().await, "* BYE [AUTHENTICATIONFAILED] Too many failed logins");
}

#[tokio::test]
async fn nonsense_is_bad_and_ends_after_some_of_it() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    conversation(
        &mut [&mut client],
        "
        C:
        S: * BAD Empty command line
        C: +
        S: * BAD Missing or invalid tag
        C: a
        S: a BAD Missing command
        C: a FROBNICATE
        S: a BAD Unknown command FROBNICATE
        C: a UID NOOP
        S: a BAD Unknown command UID NOOP
        C: a SELECT
        S: a BAD Missing argument
        C: a SELECT INBOX x
        S: a BAD Expected a list
        C: a SELECT \"INBOX
        S: a BAD Unterminated quoted string
        C: a NOOP x
        S: a BAD Too many arguments
        C: a SELECT {99999}
        S: a BAD [TOOBIG] Literal is too large
        C: a NOOP
        S: a OK NOOP completed
    ",
    )
    .await;
    client.send(&[b"a ".as_slice(), &[b'x'; 70_000], b"\r\nb NOOP\r\n"].concat()).await;
    assert_eq!(client.line().await, "a BAD [TOOBIG] Command line is too long");
    assert_eq!(client.line().await, "b OK NOOP completed");
    for _ in 0..19 {
        client.tagged("NONSENSE").await;
    }
    client.send(b"a NONSENSE\r\n").await;
    assert!(client.line().await.starts_with("a BAD"));
    assert_eq!(client.line().await, "* BYE Too many invalid commands");
}

fn certificate() -> (Arc<rustls::ServerConfig>, tokio_rustls::TlsConnector) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), tokio_rustls::TlsConnector::from(Arc::new(client)))
}

#[tokio::test]
async fn starttls_protects_what_follows_and_forgets_what_was_sent_too_early() {
    let (server, connector) = certificate();
    let world = World::start_with(Security::StartTls, Some(server)).await;
    let mut client = world.connect().await;
    client.send(b"a STARTTLS\r\nb LOGIN alice secret\r\n").await;
    assert_eq!(client.line().await, "a OK Begin TLS negotiation now");
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let stream = connector.connect(name, client.take_stream()).await.unwrap();
    client.put_stream(Box::new(stream));
    conversation(
        &mut [&mut client],
        "
        C: c CAPABILITY
        S: * CAPABILITY IMAP4rev1 … AUTH=PLAIN…
        S: c OK CAPABILITY completed
        C: d STARTTLS
        S: d BAD TLS is active already
        C: e LOGIN alice secret
        S: e OK …
    ",
    )
    .await;
}

#[tokio::test]
async fn implicit_tls_needs_no_starttls() {
    let (server, connector) = certificate();
    let world = World::start_with(Security::Implicit, Some(server)).await;
    let socket = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut client = Client::new(Box::new(connector.connect(name, socket).await.unwrap()));
    let greeting = client.line().await;
    assert!(greeting.contains("AUTH=PLAIN") && !greeting.contains("STARTTLS"), "{greeting}");
    client.ok("LOGIN alice secret").await;
    client.ok("SELECT INBOX").await;
}
