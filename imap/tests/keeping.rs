//! Dialogues about what is kept beside the mails: annotations, quotas, special uses, dates, names for ever.

use crate::support::{World, conversation};
use lnmp::Place;

const FIRST: &[u8] = b"Subject: first\r\nMessage-ID: <1@shop.test>\r\n\r\nHello\r\n";
const REPLY: &[u8] =
    b"Subject: re\r\nMessage-ID: <2@shop.test>\r\nReferences:\r\n <1@shop.test> <x@y>\r\nIn-Reply-To: <x@y>\r\n\r\nHi\r\n";

#[tokio::test]
async fn annotations_are_set_told_and_follow_their_mailbox() {
    let world = World::start().await;
    let (mut client, mut bob) = (world.login("alice").await, world.login("bob").await);
    conversation(&mut [&mut client, &mut bob], "
        C: a CREATE Own/Box
        S: a OK [MAILBOXID (F…)] CREATE completed
        C: b SETMETADATA Own/Box (/private/comment \"My own\" /shared/vendor/x/color {7+}\\r\\n#b7\\r\\n1c /private/none NIL)
        S: b OK SETMETADATA completed
        C: c GETMETADATA Own/Box (/private/comment /shared/vendor/x/color /private/none)
        S: * METADATA Own/Box (/private/comment \"My own\" /shared/vendor/x/color {7}\\r\\n#b7\\r\\n1c /private/none NIL)
        S: c OK GETMETADATA completed
        # RFC 5464 §4.2.1 and §4.2.2, the options where the examples have them
        C: d GETMETADATA Own/Box (MAXSIZE 6 DEPTH infinity) (/shared /private)
        S: * METADATA Own/Box (/private/comment \"My own\")
        S: d OK [METADATA LONGENTRIES 7] GETMETADATA completed
        C: e GETMETADATA (DEPTH 1) Own/Box /shared/vendor
        S: * METADATA Own/Box (/shared/vendor NIL)
        S: e OK GETMETADATA completed
        C: f RENAME Own/Box Other
        S: f OK RENAME completed
        C: g SETMETADATA Other (/PRIVATE/Comment NIL)
        S: g OK SETMETADATA completed
        C: h GETMETADATA (DEPTH infinity) Other (/private /shared)
        S: * METADATA Other (/private NIL /shared/vendor/x/color {7}\\r\\n#b7\\r\\n1c)
        S: h OK GETMETADATA completed
        C: i DELETE Other
        S: i OK DELETE completed
        C: j GETMETADATA Other /shared/vendor/x/color
        S: j NO [NONEXISTENT] No such mailbox
        C: k CREATE Other
        S: k OK…
        C: l GETMETADATA Other /shared/vendor/x/color
        S: * METADATA Other (/shared/vendor/x/color NIL)
        S: l OK GETMETADATA completed
        # RFC 3501 §6.3.5 with RFC 5464 §4.1: both have them
        C: m SETMETADATA INBOX (/private/comment \"in\")
        S: m OK SETMETADATA completed
        C: n RENAME INBOX Old
        S: n OK RENAME completed
        C: o GETMETADATA Old /private/comment
        S: * METADATA Old (/private/comment \"in\")
        S: o OK GETMETADATA completed
        C: p GETMETADATA inbox /private/comment
        S: * METADATA INBOX (/private/comment \"in\")
        S: p OK GETMETADATA completed
        # The server's own
        C: q SETMETADATA \"\" (/private/vendor/x ~{3+}\\r\\na\0b)
        S: q OK SETMETADATA completed
        C: r GETMETADATA \"\" (/private/vendor/x /shared/admin)
        S: * METADATA \"\" (/private/vendor/x ~{3}\\r\\na\0b /shared/admin \"mailto:postmaster@satchel.test\")
        S: r OK GETMETADATA completed
        C: s SETMETADATA \"\" (/private/a \"1\" /shared/admin \"mailto:me\")
        S: s NO [NOPERM]…
        C: t GETMETADATA \"\" /private/a
        S: * METADATA \"\" (/private/a NIL)
        S: t OK GETMETADATA completed
        C2: u GETMETADATA \"\" /private/vendor/x
        S2: * METADATA \"\" (/private/vendor/x NIL)
        S2: u OK GETMETADATA completed
        C: v GETMETADATA INBOX /comment
        S: v BAD An annotation's name…
        C: w SETMETADATA INBOX /private/comment \"x\"
        S: w BAD Expected a list
        C: x SETMETADATA Nowhere (/private/comment \"x\")
        S: x NO [NONEXISTENT] No such mailbox
    ").await;
    let large = "x".repeat(store::limits::ANNOTATION_BYTES_MAX + 1);
    for (octets, answer) in [
        (&large[1..], "y OK SETMETADATA completed".to_owned()),
        (&large, format!("y NO [METADATA MAXSIZE {}] An annotation is too long", large.len() - 1)),
    ] {
        client.send(format!("y SETMETADATA INBOX (/private/l {{{}+}}\r\n{octets})\r\n", octets.len()).as_bytes()).await;
        assert_eq!(client.line().await, answer);
    }
}

#[tokio::test]
async fn a_list_tells_annotations_and_sizes() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, FIRST).await;
    world.deliver("alice", Place::Inbox, REPLY).await;
    let mut client = world.login("alice").await;
    let (first, both) = (FIRST.len(), FIRST.len() + REPLY.len());
    conversation(&mut [&mut client], &format!("
        C: a SETMETADATA INBOX (/private/color \"red\")
        S: a OK SETMETADATA completed
        C: b LIST \"\" (INBOX Sent) RETURN (METADATA (/private/color /private/specialuse) STATUS (MESSAGES SIZE))
        S: * LIST (\\HasNoChildren) \"/\" INBOX
        S: * STATUS INBOX (MESSAGES 2 SIZE {both})
        S: * METADATA INBOX (/private/color \"red\" /private/specialuse NIL)
        S: * LIST (\\HasNoChildren \\Sent) \"/\" Sent
        S: * STATUS Sent (MESSAGES 0 SIZE 0)
        S: * METADATA Sent (/private/color NIL /private/specialuse \"\\\\Sent\")
        S: b OK LIST completed
        C: c LIST \"\" INBOX RETURN (METADATA)
        S: c BAD…
        C: d SELECT INBOX
        S: * FLAGS…
        S: * OK [PERMANENTFLAGS…
        S: * 2 EXISTS
        S: * 2 RECENT
        S: * OK [UNSEEN 1]…
        S: * OK [UIDVALIDITY…
        S: * OK [UIDNEXT 3]…
        S: * OK [HIGHESTMODSEQ …] Highest
        S: * OK [MAILBOXID (F…)]…
        S: d OK [READ-WRITE] SELECT completed
        C: e STORE 1 +FLAGS.SILENT (\\Deleted)
        S: e OK STORE completed
        C: f STATUS INBOX (DELETED DELETED-STORAGE SIZE HIGHESTMODSEQ APPENDLIMIT MAILBOXID)
        S: * OK [HIGHESTMODSEQ 4] Highest
        S: * STATUS INBOX (DELETED 1 DELETED-STORAGE {first} SIZE {both} HIGHESTMODSEQ 4 APPENDLIMIT 67108864 MAILBOXID (F…))
        S: f OK STATUS completed
    ")).await;
}

#[tokio::test]
async fn folders_are_made_for_special_uses_but_not_for_those_that_decide() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    conversation(
        &mut [&mut client],
        "
        C: a CREATE Old (USE (\\archive \\Important))
        S: a OK [MAILBOXID (F…)] CREATE completed
        C: b LIST (SPECIAL-USE) \"\" O% RETURN (SPECIAL-USE)
        S: * LIST (\\HasNoChildren \\Archive \\Important) \"/\" Old
        S: b OK LIST completed
        C: c CREATE Spam (USE (\\Junk))
        S: c NO [USEATTR]…
        C: d CREATE All (USE (\\All))
        S: d NO [USEATTR]…
        C: e CREATE Odd (SIZE 3)
        S: e BAD Unknown CREATE parameter: USE is known
        C: f LIST \"\" (Spam All Odd)
        S: f OK LIST completed
        C: g GETMETADATA Old /private/specialuse
        S: * METADATA Old (/private/specialuse \"\\\\Archive \\\\Important\")
        S: g OK GETMETADATA completed
        C: h SETMETADATA Old (/private/specialuse \"\\\\Drafts\" /private/comment \"x\")
        S: h OK SETMETADATA completed
        C: i SETMETADATA Old (/private/specialuse \"\\\\Trash\" /private/comment \"y\")
        S: i NO [USEATTR]…
        C: j SETMETADATA Sent (/private/specialuse NIL)
        S: j NO [USEATTR]…
        C: k LIST \"\" Old RETURN (METADATA (/private/comment))
        S: * LIST (\\HasNoChildren \\Drafts) \"/\" Old
        S: * METADATA Old (/private/comment \"x\")
        S: k OK LIST completed
    ",
    )
    .await;
}

#[tokio::test]
async fn a_quota_is_told_and_kept() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, FIRST).await;
    let mut client = world.login("alice").await;
    let alice = world.account("alice");
    conversation(
        &mut [&mut client],
        "
        C: a GETQUOTAROOT INBOX
        S: * QUOTAROOT INBOX \"\"
        S: * QUOTA \"\" ()
        S: a OK GETQUOTAROOT completed
    ",
    )
    .await;
    world.store.set_quota(alice, Some(2048)).await.unwrap();
    conversation(
        &mut [&mut client],
        "
        C: b GETQUOTA \"\"
        S: * QUOTA \"\" (STORAGE 1 2)
        S: b OK GETQUOTA completed
        C: c GETQUOTA other
        S: c NO [NONEXISTENT]…
        C: d SETQUOTA \"\" (STORAGE 512)
        S: d NO [NOPERM] The operator sets quotas
        C: e SETQUOTA \"\" STORAGE
        S: e BAD…
    ",
    )
    .await;
    world.store.set_quota(alice, Some(FIRST.len() as u64)).await.unwrap();
    conversation(
        &mut [&mut client],
        "
        C: f APPEND INBOX {20+}\\r\\nSubject: x\\r\\n\\r\\nletter
        S: f NO [OVERQUOTA]…
        C: g EXAMINE INBOX
        S: * FLAGS…
        S: * OK [PERMANENTFLAGS…
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * OK [UNSEEN 1]…
        S: * OK [UIDVALIDITY…
        S: * OK [UIDNEXT 2]…
        S: * OK [HIGHESTMODSEQ …] Highest
        S: * OK [MAILBOXID (F…)]…
        S: g OK…
        C: h COPY 1 Archive
        S: h NO [OVERQUOTA]…
        C: i SELECT INBOX
        S: * OK [CLOSED] Previous mailbox is closed
        S: * FLAGS…
        S: * OK [PERMANENTFLAGS…
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * OK [UNSEEN 1]…
        S: * OK [UIDVALIDITY…
        S: * OK [UIDNEXT 2]…
        S: * OK [HIGHESTMODSEQ …] Highest
        S: * OK [MAILBOXID (F…)]…
        S: i OK…
        # What is moved takes no more room.
        C: j MOVE 1 Archive
        S: * OK [COPYUID…
        S: * 1 EXPUNGE
        S: j OK MOVE completed
    ",
    )
    .await;
}

#[tokio::test]
async fn dates_keep_their_zone_and_say_when_a_mail_was_saved() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    conversation(
        &mut [&mut client],
        "
        C: a APPEND Drafts \" 1-Mar-2026 00:30:00 +0200\" {20+}\\r\\nSubject: x\\r\\n\\r\\nletter
        S: a OK…
        C: b SELECT Drafts
        S: * FLAGS…
        S: * OK [PERMANENTFLAGS…
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * OK [UNSEEN 1]…
        S: * OK [UIDVALIDITY…
        S: * OK [UIDNEXT 2]…
        S: * OK [HIGHESTMODSEQ …] Highest
        S: * OK [MAILBOXID (F…)]…
        S: b OK…
        C: c FETCH 1 (INTERNALDATE SAVEDATE)
        S: * 1 FETCH (INTERNALDATE \"01-Mar-2026 00:30:00 +0200\" SAVEDATE \"01-Jan-2026 00:00:00 +0000\")
        S: c OK FETCH completed
        # RFC 3501 §6.4.4: the day as written, whatever UTC says
        C: d SEARCH ON 1-Mar-2026
        S: * SEARCH 1
        S: d OK SEARCH completed
        C: e SEARCH ON 28-Feb-2026
        S: * SEARCH
        S: e OK SEARCH completed
    ",
    )
    .await;
}

#[tokio::test]
async fn mails_mailboxes_and_threads_have_names_for_ever() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, FIRST).await;
    world.deliver("alice", Place::Inbox, REPLY).await;
    let mut client = world.login("alice").await;
    let created = client.ok("CREATE Own").await;
    client.ok("SELECT INBOX").await;
    let ids = |lines: &[String]| -> Vec<(String, String)> {
        let part = |line: &str, name: &str| {
            line.split(&format!("{name} (")).nth(1).unwrap().split(')').next().unwrap().to_owned()
        };
        let fetched = lines.iter().filter(|line| line.contains(" FETCH ("));
        fetched.map(|line| (part(line, "EMAILID"), part(line, "THREADID"))).collect()
    };
    let before = ids(&client.ok("FETCH 1:2 (EMAILID THREADID)").await);
    assert_eq!(before.len(), 2);
    // The reply names the first mail as the root of its thread.
    assert!(before[0].0 != before[1].0 && before[0].1 == before[1].1, "{before:?}");
    assert!(before[0].0.starts_with('M') && before[0].1.starts_with('T'));
    // RFC 8474 §6
    assert!(client.ok(&format!("SEARCH EMAILID {}", before[1].0)).await.contains(&"* SEARCH 2".to_owned()));
    assert!(client.ok(&format!("SEARCH THREADID {}", before[1].1)).await.contains(&"* SEARCH 1 2".to_owned()));
    assert!(client.ok(&format!("SEARCH NOT EMAILID {}", before[1].0)).await.contains(&"* SEARCH 1".to_owned()));
    assert!(client.ok("SEARCH EMAILID Mnone").await.contains(&"* SEARCH".to_owned()));
    client.ok("COPY 2 Own").await;
    client.ok("MOVE 1 Own").await;
    let selected = client.ok("SELECT Own").await;
    let name = |lines: &[String]| {
        let line = lines.iter().find(|line| line.contains("[MAILBOXID (")).unwrap();
        line.split("[MAILBOXID (").nth(1).unwrap().split(')').next().unwrap().to_owned()
    };
    let after = ids(&client.ok("FETCH 1:2 (EMAILID THREADID BODY.PEEK[TEXT])").await);
    assert_eq!(after, [before[1].clone(), before[0].clone()]);
    // RFC 8474 §4: a renamed mailbox keeps its name for ever.
    client.ok("RENAME Own Mine").await;
    let status = client.ok("STATUS Mine (MAILBOXID)").await;
    assert!(status[0].contains(&format!("MAILBOXID ({})", name(&selected))), "{status:?}");
    assert_ne!(name(&client.ok("SELECT INBOX").await), name(&selected));
    drop(created);
}
