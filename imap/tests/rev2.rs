//! What IMAP4rev2 (RFC 9051) does differently, once a client has enabled it; and that others see none of it.

use crate::support::{Client, World, conversation};
use lnmp::Place;

const HELLO: &[u8] = b"From: Carol <carol@shop.test>\r\nSubject: hello\r\n\r\nHi Alice!\r\n";

/// Logs in and enables it.
async fn rev2(world: &World, user: &str) -> Client {
    let mut client = world.login(user).await;
    assert_eq!(client.ok("ENABLE IMAP4rev2").await, ["* ENABLED IMAP4rev2"]);
    client
}

/// Latin-1, octet by octet, as clients here write and read.
fn wire(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

#[tokio::test]
async fn it_is_offered_always_and_changes_nothing_until_it_is_enabled() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    let mut client = world.connect().await;
    assert!(client.ok("CAPABILITY").await[0].starts_with("* CAPABILITY IMAP4rev1 ENABLE ID IMAP4rev2 "));
    client.ok("LOGIN alice secret").await;
    let capabilities = client.ok("CAPABILITY").await;
    conversation(
        &mut [&mut client],
        "
        C: a SELECT INBOX
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Flags permitted
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * OK [UNSEEN 1] First unseen
        S: * OK [UIDVALIDITY …
        S: * OK [UIDNEXT 2] Predicted next UID
        S: * OK [HIGHESTMODSEQ …
        S: * OK [MAILBOXID (…
        S: a OK [READ-WRITE] SELECT completed
        C: b SEARCH ALL
        S: * SEARCH 1
        S: b OK SEARCH completed
        C: c UNSELECT
        S: c OK UNSELECT completed
        C: d ENABLE CONDSTORE imap4REV2 X-NONSENSE
        S: * ENABLED CONDSTORE IMAP4rev2
        S: d OK ENABLE completed
        C: e ENABLE IMAP4rev2
        S: * ENABLED
        S: e OK ENABLE completed
    ",
    )
    .await;
    // RFC 9051 §6.3.1: ENABLE does not change the list.
    assert_eq!(client.ok("CAPABILITY").await, capabilities);
    client.ok("UNAUTHENTICATE").await;
    client.ok("LOGIN alice secret").await;
    let selected = client.ok("SELECT INBOX").await;
    assert!(selected.iter().any(|line| line.ends_with(" RECENT")), "{selected:?}");
    assert!(!selected.iter().any(|line| line.starts_with("* LIST ")), "{selected:?}");
}

#[tokio::test]
async fn a_selected_mailbox_is_listed_and_nothing_is_recent() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    let mut client = rev2(&world, "alice").await;
    conversation(
        &mut [&mut client],
        "
        C: a SELECT inbox
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $MDNSent $Forwarded $Junk $NotJunk $Phishing)
        S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $MDNSent $Forwarded $Junk $NotJunk $Phishing \\*)] Flags permitted
        S: * 1 EXISTS
        S: * OK [UIDVALIDITY …
        S: * OK [UIDNEXT 2] Predicted next UID
        S: * OK [HIGHESTMODSEQ …
        S: * OK [MAILBOXID (…
        S: * LIST (\\Subscribed \\HasNoChildren) \"/\" INBOX (\"OLDNAME\" (inbox))
        S: a OK [READ-WRITE] SELECT completed
        C: b FETCH 1 (FLAGS)
        S: * 1 FETCH (FLAGS ())
        S: b OK FETCH completed
        C: c EXAMINE Sent
        S: * OK [CLOSED] …
        S: * FLAGS …
        S: * OK [PERMANENTFLAGS ()] Read-only mailbox
        S: * 0 EXISTS
        S: * OK [UIDVALIDITY …
        S: * OK [UIDNEXT 1] …
        S: * OK [HIGHESTMODSEQ …
        S: * OK [MAILBOXID (…
        S: * LIST (\\Subscribed \\HasNoChildren \\Sent) \"/\" Sent
        S: c OK [READ-ONLY] EXAMINE completed
        C: d SELECT Nowhere
        S: * OK [CLOSED] …
        S: d NO [NONEXISTENT] No such mailbox
        C: e FETCH 1 FLAGS
        S: e BAD No mailbox is selected
        C: f CREATE A/B
        S: f OK [MAILBOXID (…)] CREATE completed
        C: g UNSUBSCRIBE A
        S: g OK UNSUBSCRIBE completed
    ",
    )
    .await;
    let selected = client.ok("SELECT A").await;
    assert_eq!(selected.last().unwrap(), "* LIST (\\HasChildren) \"/\" A");
}

#[tokio::test]
async fn what_is_told_unasked_has_its_uid() {
    let world = World::start().await;
    world.deliver_many("alice", Place::Inbox, &[HELLO; 3]).await;
    let (mut client, mut other) = (rev2(&world, "alice").await, world.login("alice").await);
    client.ok("SELECT INBOX").await;
    other.ok("SELECT INBOX").await;
    other.ok("STORE 1 +FLAGS (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    other.ok("STORE 1 +FLAGS (\\Seen $junk)").await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    conversation(
        &mut [&mut client],
        "
        C: a NOOP
        S: * 1 EXPUNGE
        S: * 3 EXISTS
        S: * 1 FETCH (UID 2 FLAGS (\\Seen $junk))
        S: a OK NOOP completed
        C: b IDLE
        S: + idling
    ",
    )
    .await;
    other.ok("STORE 2 +FLAGS (\\Flagged)").await;
    assert_eq!(client.line().await, "* 2 FETCH (UID 3 FLAGS (\\Flagged))");
    client.send(b"DONE\r\n").await;
    assert_eq!(client.line().await, "b OK IDLE completed");
    // Who did not ask for it sees numbers alone.
    other.ok("NOOP").await;
    client.ok("STORE 3 +FLAGS (\\Draft)").await;
    let told = other.ok("NOOP").await;
    assert!(told.iter().any(|line| line.starts_with("* 3 FETCH (FLAGS (\\Draft")), "{told:?}");
}

#[tokio::test]
async fn searches_are_answered_with_esearch() {
    let world = World::start().await;
    world.deliver_many("alice", Place::Inbox, &[HELLO; 4]).await;
    let mut client = rev2(&world, "alice").await;
    client.ok("SELECT INBOX").await;
    client.ok("STORE 3 +FLAGS.SILENT (\\Flagged $Phishing)").await;
    conversation(
        &mut [&mut client],
        "
        C: a SEARCH ALL
        S: * ESEARCH (TAG \"a\") ALL 1:4
        S: a OK SEARCH completed
        C: b UID SEARCH NOT FLAGGED
        S: * ESEARCH (TAG \"b\") UID ALL 1:2,4
        S: b OK SEARCH completed
        C: c SEARCH KEYWORD $MDNSent
        S: * ESEARCH (TAG \"c\")
        S: c OK SEARCH completed
        C: d UID SEARCH KEYWORD $Phishing
        S: * ESEARCH (TAG \"d\") UID ALL 3
        S: d OK SEARCH completed
        C: e SEARCH RETURN () FLAGGED
        S: * ESEARCH (TAG \"e\") ALL 3
        S: e OK SEARCH completed
        C: f SEARCH RETURN (MIN MAX COUNT) DELETED
        S: * ESEARCH (TAG \"f\") COUNT 0
        S: f OK SEARCH completed
        C: g SEARCH RETURN (SAVE) FLAGGED
        S: g OK SEARCH completed, result saved
        C: h FETCH $ (UID)
        S: * 3 FETCH (UID 3)
        S: h OK FETCH completed
        C: i SEARCH RETURN (SAVE) CHARSET KOI8-R TEXT x
        S: i NO [BADCHARSET (US-ASCII UTF-8)] Unknown character set
        C: j FETCH $ (UID)
        S: j OK FETCH completed
        C: k SEARCH CHARSET UTF-8 SUBJECT hello 2:3
        S: * ESEARCH (TAG \"k\") ALL 2:3
        S: k OK SEARCH completed
        C: l SEARCH RETURN (NONSENSE) ALL
        S: l BAD …
        C: m NOOP
        S: m OK NOOP completed
    ",
    )
    .await;
}

#[tokio::test]
async fn a_name_that_was_spelled_otherwise_is_told_with_the_old_one() {
    let world = World::start().await;
    let mut client = rev2(&world, "alice").await;
    let (decomposed, composed) = ("u\u{308}ber", "\u{fc}ber");
    let told = |attributes: &str, name: &str, old: &str| {
        wire(&format!("* LIST ({attributes}) \"/\" \"{name}\" (\"OLDNAME\" (\"{old}\"))"))
    };
    assert_eq!(
        client.ok(&wire(&format!("CREATE \"{decomposed}\""))).await,
        [told("\\HasNoChildren", composed, decomposed)]
    );
    assert!(client.tagged(&wire(&format!("CREATE \"{decomposed}\""))).await.starts_with("NO [ALREADYEXISTS] "));
    let selected = client.ok(&wire(&format!("SELECT \"{decomposed}\""))).await;
    assert_eq!(selected.last().unwrap(), &told("\\HasNoChildren", composed, decomposed));
    let appended = client.append_lines(&format!("\"{decomposed}\""), "", HELLO).await;
    assert_eq!(appended[0], told("\\HasNoChildren", composed, decomposed));
    assert!(appended.last().unwrap().starts_with("OK [APPENDUID "), "{appended:?}");
    // A new name is always told, from the one the client knew.
    let renamed = client.ok(&wire(&format!("RENAME \"{decomposed}\" Neu"))).await;
    assert_eq!(renamed, [wire(&format!("* LIST (\\HasNoChildren) \"/\" Neu (\"OLDNAME\" (\"{decomposed}\"))"))]);
    client.ok(&wire(&format!("CREATE \"{composed}\""))).await;
    let deleted = client.ok(&wire(&format!("DELETE \"{decomposed}\""))).await;
    assert_eq!(deleted, [told("\\NonExistent", composed, decomposed)]);
    // Who spells as the server does is told nothing.
    assert!(client.ok("CREATE Plain/").await.is_empty() && client.ok("DELETE Plain").await.is_empty());
}

#[tokio::test]
async fn names_are_in_utf_8_and_a_bare_ampersand_is_one() {
    let world = World::start().await;
    let mut client = rev2(&world, "alice").await;
    client.ok(&wire("CREATE \"R&D/台北\"")).await;
    let listed = client.ok("LIST \"\" R&*").await;
    assert_eq!(
        listed,
        ["* LIST (\\HasChildren) \"/\" R&D".to_owned(), wire("* LIST (\\HasNoChildren) \"/\" \"R&D/台北\"")]
    );
    assert_eq!(client.ok("RENAME R&D Lab").await, ["* LIST (\\HasChildren) \"/\" Lab (\"OLDNAME\" (R&D))"]);
    assert_eq!(
        client.ok(&wire("STATUS \"Lab/台北\" (MESSAGES UIDNEXT UNSEEN DELETED SIZE)")).await,
        [wire("* STATUS \"Lab/台北\" (MESSAGES 0 UIDNEXT 1 UNSEEN 0 DELETED 0 SIZE 0)")]
    );
    assert_eq!(
        client.tagged("CREATE \"a\u{ff}\"").await,
        "BAD Quoted strings are UTF-8; send other octets as a literal"
    );
    // The same mailbox to who speaks IMAP4rev1.
    let mut other = world.login("alice").await;
    assert_eq!(other.ok("LIST \"\" Lab/*").await, ["* LIST (\\HasNoChildren) \"/\" Lab/&U,BTFw-"]);
}

#[tokio::test]
async fn response_codes_say_what_a_client_can_do() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    let mut client = rev2(&world, "alice").await;
    client.ok("CREATE Zed/B").await;
    conversation(
        &mut [&mut client],
        "
        C: a CREATE Zed
        S: a NO [ALREADYEXISTS] …
        C: b CREATE inbox
        S: b NO [ALREADYEXISTS] …
        C: c RENAME Zed Sent
        S: c NO [ALREADYEXISTS] …
        C: d RENAME Nowhere Elsewhere
        S: d NO [NONEXISTENT] …
        C: e DELETE Nowhere
        S: e NO [NONEXISTENT] …
        C: f DELETE INBOX
        S: f NO [CANNOT] …
        C: g DELETE Zed
        S: g OK DELETE completed
        C: h DELETE Zed
        S: h NO [HASCHILDREN] …
        C: i LIST \"\" Zed*
        S: * LIST (\\Noselect \\HasChildren) \"/\" Zed
        S: * LIST (\\HasNoChildren) \"/\" Zed/B
        S: i OK LIST completed
        C: j STATUS Nowhere (MESSAGES)
        S: j NO [NONEXISTENT] …
        C: k APPEND Nowhere {3+}\\r\\na:b
        S: k NO [TRYCREATE] …
        C: l SELECT INBOX
        S: * FLAGS …
        S: * OK [PERMANENTFLAGS …
        S: * 1 EXISTS
        S: * OK [UIDVALIDITY …
        S: * OK [UIDNEXT …
        S: * OK [HIGHESTMODSEQ …
        S: * OK [MAILBOXID …
        S: * LIST (\\Subscribed \\HasNoChildren) \"/\" INBOX
        S: l OK [READ-WRITE] SELECT completed
        C: m COPY 1 Nowhere
        S: m NO [TRYCREATE] …
        C: n UID MOVE 1 Nowhere
        S: n NO [TRYCREATE] …
        C: o UID COPY 1 Zed/B
        S: o OK [COPYUID … 1 1] COPY completed
        C: p MOVE 1 Zed/B
        S: * OK [COPYUID … 1 2] Moved
        S: * 1 EXPUNGE
        S: p OK MOVE completed
        C: q EXAMINE Zed/B
        S: * OK [CLOSED] …
        S: * FLAGS …
        S: * OK [PERMANENTFLAGS ()] …
        S: * 2 EXISTS
        S: * OK [UIDVALIDITY …
        S: * OK [UIDNEXT …
        S: * OK [HIGHESTMODSEQ …
        S: * OK [MAILBOXID …
        S: * LIST (\\HasNoChildren) \"/\" Zed/B
        S: q OK [READ-ONLY] EXAMINE completed
        C: r STORE 1 +FLAGS (\\Seen)
        S: r NO [READ-ONLY] …
        C: s NAMESPACE
        S: * NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) NIL
        S: s OK NAMESPACE completed
        C: t AUTHENTICATE PLAIN
        S: t BAD Already logged in
    ",
    )
    .await;
    let mut stranger = world.connect().await;
    assert!(stranger.tagged("AUTHENTICATE NONSENSE").await.starts_with("NO [CANNOT] "));
    assert!(stranger.tagged("LOGIN alice wrong").await.starts_with("NO [AUTHENTICATIONFAILED] "));
}

#[tokio::test]
async fn what_imap4rev1_had_more_is_still_answered() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    let mut client = rev2(&world, "alice").await;
    client.ok("SELECT INBOX").await;
    conversation(
        &mut [&mut client],
        "
        C: a CHECK
        S: a OK CHECK completed
        C: b LSUB \"\" INBOX
        S: * LSUB () \"/\" INBOX
        S: b OK LSUB completed
        C: c FETCH 1 (RFC822.SIZE RFC822.HEADER)
        S: * 1 FETCH (RFC822.SIZE 60 RFC822.HEADER {49}\\r\\n…
        S: c OK FETCH completed
        C: d STATUS INBOX (MESSAGES RECENT)
        S: * STATUS INBOX (MESSAGES 1 RECENT 0)
        S: d OK STATUS completed
        C: e SEARCH RECENT
        S: * ESEARCH (TAG \"e\") ALL 1
        S: e OK SEARCH completed
    ",
    )
    .await;
}

#[tokio::test]
async fn a_mail_within_a_mail_may_be_international() {
    let world = World::start().await;
    let within = "From: \u{fc}@shop.test\r\nSubject: in\r\n\r\nHi\r\n";
    let mail =
        format!("Subject: out\r\nContent-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{within}");
    world.deliver("alice", Place::Inbox, mail.as_bytes()).await;
    let (mut client, mut other) = (rev2(&world, "alice").await, world.login("alice").await);
    for client in [&mut client, &mut other] {
        client.ok("SELECT INBOX").await;
        assert!(client.ok("FETCH 1 BODY.PEEK[1.1]").await[0].ends_with(" {4}\r\nHi\r\n)"));
    }
    let structure = client.ok("FETCH 1 BODY").await.remove(0);
    assert!(structure.contains("(BODY (\"message\" \"global\" NIL NIL NIL "), "{structure}");
    assert!(structure.contains(" 39 (NIL \"in\" ((NIL NIL {2}\r\n"), "{structure}");
    // RFC 3501 §9: a type that it does not know has no envelope.
    let basic = other.ok("FETCH 1 BODY").await.remove(0);
    assert!(basic.ends_with(" 39))") && !basic.contains("\"in\""), "{basic}");
}
