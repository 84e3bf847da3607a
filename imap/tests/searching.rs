//! Extended searches, sorting, threads and contexts as conversations.

use std::time::{Duration, Instant};

use crate::support::{Client, World, conversation};
use lnmp::Place;

async fn inbox_of(world: &World, subjects: &[&str]) -> Client {
    let mails: Vec<Vec<u8>> = subjects
        .iter()
        .enumerate()
        .map(|(n, subject)| {
            format!("From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{n}@b.test>\r\n\r\nbody {n}\r\n").into_bytes()
        })
        .collect();
    let slices: Vec<&[u8]> = mails.iter().map(Vec::as_slice).collect();
    world.deliver_many("alice", Place::Inbox, &slices).await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    client
}

#[tokio::test]
async fn searches_return_what_they_are_asked_to() {
    let world = World::start().await;
    let mut client = inbox_of(&world, &["one", "two", "three", "four", "five"]).await;
    client.ok("STORE 1 +FLAGS \\Deleted").await;
    client.ok("EXPUNGE").await;
    conversation(
        &mut [&mut client],
        "
        C: a SEARCH RETURN (MIN MAX COUNT) ALL
        S: * ESEARCH (TAG \"a\") MIN 1 MAX 4 COUNT 4
        S: a OK SEARCH completed
        C: b UID SEARCH RETURN () SUBJECT O
        S: * ESEARCH (TAG \"b\") UID ALL 2,4
        S: b OK SEARCH completed
        C: c UID SEARCH RETURN (ALL COUNT) CHARSET UTF-8 SUBJECT zzz
        S: * ESEARCH (TAG \"c\") UID COUNT 0
        S: c OK SEARCH completed
        C: d UID SEARCH RETURN (PARTIAL -1:-2) ALL
        S: * ESEARCH (TAG \"d\") UID PARTIAL (-1:-2 4:5)
        S: d OK SEARCH completed
        C: e UID SEARCH RETURN (PARTIAL 5:9 MIN) ALL
        S: * ESEARCH (TAG \"e\") UID MIN 2 PARTIAL (5:9 NIL)
        S: e OK SEARCH completed
        C: f SEARCH RETURN (PARTIAL 1:2 ALL) ALL
        S: f BAD PARTIAL and ALL exclude each other
        C: g SEARCH RETURN (COUNT) OLDER 3600
        S: * ESEARCH (TAG \"g\") COUNT 0
        S: g OK SEARCH completed
        C: h SEARCH YOUNGER 3600 UID 4:*
        S: * SEARCH 3 4
        S: h OK SEARCH completed
    ",
    )
    .await;
}

#[tokio::test]
async fn a_saved_result_stands_wherever_a_set_does() {
    let world = World::start().await;
    let mut client = inbox_of(&world, &["one", "two", "three", "four", "five"]).await;
    conversation(
        &mut [&mut client],
        "
        # Nothing saved yet: the empty set.
        C: a FETCH $ FLAGS
        S: a OK FETCH completed
        C: b SEARCH RETURN (SAVE) SUBJECT O
        S: b OK SEARCH completed, result saved
        C: c FETCH $ UID
        S: * 1 FETCH (UID 1)
        S: * 2 FETCH (UID 2)
        S: * 4 FETCH (UID 4)
        S: c OK FETCH completed
        C: d UID SEARCH RETURN (ALL) UID $ NOT 1
        S: * ESEARCH (TAG \"d\") UID ALL 2,4
        S: d OK SEARCH completed
        C: e SEARCH RETURN (SAVE MIN) $ SUBJECT F
        S: * ESEARCH (TAG \"e\") MIN 4
        S: e OK SEARCH completed, result saved
        C: f STORE $ +FLAGS (\\Flagged)
        S: * 4 FETCH (FLAGS (\\Flagged \\Recent))
        S: f OK STORE completed
        C: g UID COPY $ Archive
        S: g OK [COPYUID … 4 1] COPY completed
        # BAD leaves it, NO empties it.
        C: h SEARCH RETURN (SAVE) NONSENSE
        S: h BAD Unknown search key
        C: i SEARCH RETURN (COUNT) $
        S: * ESEARCH (TAG \"i\") COUNT 1
        S: i OK SEARCH completed
        C: j SEARCH RETURN (SAVE) CHARSET KOI8-R TEXT x
        S: j NO [BADCHARSET (US-ASCII UTF-8)] Unknown character set
        C: k SEARCH RETURN (COUNT) $
        S: * ESEARCH (TAG \"k\") COUNT 0
        S: k OK SEARCH completed
        # What is expunged falls out.
        C: l SEARCH RETURN (SAVE COUNT) ALL
        S: * ESEARCH (TAG \"l\") COUNT 5
        S: l OK SEARCH completed, result saved
        C: m UID MOVE 1:2 Archive
        S: * OK [COPYUID … 1:2 2:3] Moved
        S: * 2 EXPUNGE
        S: * 1 EXPUNGE
        S: m OK MOVE completed
        C: n UID SEARCH RETURN (ALL) $
        S: * ESEARCH (TAG \"n\") UID ALL 3:5
        S: n OK SEARCH completed
        C: o FETCH $,1 UID
        S: o BAD …
        C: p MOVE $ Archive
        S: * OK [COPYUID … 3:5 4:6] Moved
        S: * 3 EXPUNGE
        S: * 2 EXPUNGE
        S: * 1 EXPUNGE
        S: p OK MOVE completed
    ",
    )
    .await;
    // RFC 5182 §2.1: SELECT begins with nothing saved.
    client.ok("SELECT Archive").await;
    client.ok("SEARCH RETURN (SAVE) ALL").await;
    client.ok("SELECT Archive").await;
    assert_eq!(client.ok("UID SEARCH RETURN (COUNT) $").await[0].split(' ').next_back(), Some("0"));
}

#[tokio::test]
async fn searches_for_changes_tell_the_highest_modseq() {
    let world = World::start().await;
    let mut client = inbox_of(&world, &["one", "two", "three"]).await;
    // The first command of its kind is told the mailbox's own (RFC 7162 §3.1).
    let mut found = client.ok("SEARCH MODSEQ 1").await;
    assert!(found.remove(0).starts_with("* OK [HIGHESTMODSEQ "));
    let highest = |line: &str| line.rsplit([' ', ')']).find_map(|word| word.parse::<u64>().ok()).unwrap();
    assert!(found[0].starts_with("* SEARCH 1 2 3 (MODSEQ "), "{found:?}");
    let before = highest(&found[0]);
    client.ok("STORE 2 +FLAGS \\Seen").await;
    let found = client.ok(&format!("SEARCH MODSEQ {}", before + 1)).await;
    assert!(found[0].starts_with("* SEARCH 2 (MODSEQ "), "{found:?}");
    let now = highest(&found[0]);
    assert!(now > before);
    assert_eq!(client.ok(&format!("SEARCH MODSEQ {}", now + 1)).await, ["* SEARCH"]);
    for (options, told) in [("MIN", before), ("MAX", before), ("COUNT", now), ("ALL", now)] {
        let found = client.ok(&format!("SEARCH RETURN ({options}) MODSEQ \"/flags/\\\\seen\" all 1")).await;
        assert!(highest(&found[0]) <= now && found[0].contains(" MODSEQ "), "{found:?}");
        // The first three came in one commit: MIN and MAX are not the changed one.
        assert_eq!(highest(&found[0]) == now, told == now, "{options}: {found:?}");
    }
    assert_eq!(client.ok("SEARCH RETURN (MIN) MODSEQ 99999").await.len(), 1);
}

const OLDEST: &[u8] = b"From: Zoe <a@z.test>\r\nTo: =?utf-8?q?=C3=84nne?= <x@y.test>\r\nSubject: [x] Re: plan\r\nDate: Mon, 01 Jan 2024 01:00:00 +0200\r\nMessage-ID: <1@x>\r\nReferences: <2@x>\r\n\r\nlong long long long long\r\n";
const NEWEST: &[u8] = b"From: b@z.test\r\nTo: adam@y.test\r\nSubject: =?utf-8?q?=C3=9Cbung?=\r\nDate: Wed, 03 Jan 2024 01:00:00 +0200\r\nMessage-ID: <2@x>\r\n\r\nshort\r\n";
const MIDDLE: &[u8] = b"From: c@z.test\r\nTo: zed@y.test\r\nSubject: Plan\r\nDate: Tue, 02 Jan 2024 01:00:00 +0200\r\nMessage-ID: <3@x>\r\n\r\nmiddling text\r\n";

#[tokio::test]
async fn mails_are_sorted_by_what_clients_see() {
    let world = World::start().await;
    world.deliver_many("alice", Place::Inbox, &[MIDDLE, NEWEST, OLDEST]).await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    for (keys, order) in [
        ("(DATE)", "3 1 2"),
        ("(REVERSE DATE)", "2 1 3"),
        ("(ARRIVAL)", "1 2 3"),
        ("(REVERSE ARRIVAL)", "1 2 3"),
        ("(SUBJECT DATE)", "3 1 2"),
        ("(SUBJECT REVERSE DATE)", "1 3 2"),
        ("(FROM)", "3 2 1"),
        ("(TO)", "2 3 1"),
        ("(DISPLAYTO)", "2 3 1"),
        ("(DISPLAYFROM)", "2 1 3"),
        ("(CC)", "1 2 3"),
        ("(REVERSE SIZE)", "3 2 1"),
    ] {
        assert_eq!(client.ok(&format!("SORT {keys} UTF-8 ALL")).await, [format!("* SORT {order}")], "{keys}");
    }
    conversation(
        &mut [&mut client],
        "
        C: a UID SORT (DATE) US-ASCII SUBJECT plan
        S: * SORT 3 1
        S: a OK SORT completed
        C: b UID SORT RETURN (MIN MAX COUNT ALL) (DATE) UTF-8 ALL
        S: * ESEARCH (TAG \"b\") UID MIN 3 MAX 2 COUNT 3 ALL 3,1:2
        S: b OK SORT completed
        C: c SORT RETURN (PARTIAL -1:-1) (DATE) UTF-8 ALL
        S: * ESEARCH (TAG \"c\") PARTIAL (-1:-1 2)
        S: c OK SORT completed
        C: c2 SORT (DATE) UTF-8 RETURN (PARTIAL -1:-1) ALL
        S: * ESEARCH (TAG \"c2\") PARTIAL (-1:-1 2)
        S: c2 OK SORT completed
        C: d SORT (DATE) KOI8-R TEXT x
        S: d NO [BADCHARSET (US-ASCII UTF-8)] Unknown character set
        C: e SORT (DATE) UTF-8 SUBJECT zzz
        S: * SORT
        S: e OK SORT completed
        C: f SORT (NONE) UTF-8 ALL
        S: f BAD Unknown sort key
        C: g SORT RETURN (SAVE MIN) (DATE) UTF-8 ALL
        S: * ESEARCH (TAG \"g\") MIN 3
        S: g OK SORT completed, result saved
        C: h SEARCH $
        S: * SEARCH 3
        S: h OK SEARCH completed
        C: i SORT (SUBJECT) UTF-8 MODSEQ 1
        S: * OK [HIGHESTMODSEQ …] Highest
        S: * SORT 1 3 2 (MODSEQ …)
        S: i OK SORT completed
    ",
    )
    .await;
}

#[tokio::test]
async fn mails_are_threaded() {
    let world = World::start().await;
    world.deliver_many("alice", Place::Inbox, &[MIDDLE, NEWEST, OLDEST]).await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    conversation(
        &mut [&mut client],
        "
        C: a THREAD REFERENCES UTF-8 ALL
        S: * THREAD (1)(2 3)
        S: a OK THREAD completed
        C: b UID THREAD REFS UTF-8 ALL
        S: * THREAD (1)(2 3)
        S: b OK THREAD completed
        C: c THREAD ORDEREDSUBJECT UTF-8 ALL
        S: * THREAD (3 1)(2)
        S: c OK THREAD completed
        # The parent is not among the messages searched.
        C: d THREAD REFERENCES UTF-8 SUBJECT plan
        S: * THREAD (1 3)
        S: d OK THREAD completed
        C: e THREAD REFERENCES UTF-8 SUBJECT zzz
        S: * THREAD
        S: e OK THREAD completed
        C: f THREAD JWZ UTF-8 ALL
        S: f BAD Threading is by ORDEREDSUBJECT, REFERENCES or REFS
    ",
    )
    .await;
}

#[tokio::test]
async fn followed_results_tell_their_changes() {
    let world = World::start().await;
    let mut client = inbox_of(&world, &["one", "two", "three", "four", "five"]).await;
    let mut other = world.login("alice").await;
    other.ok("SELECT INBOX").await;
    conversation(
        &mut [&mut client, &mut other],
        "
        C1: a SEARCH RETURN (UPDATE COUNT) SEEN
        S1: * ESEARCH (TAG \"a\") COUNT 0
        S1: a OK SEARCH completed
        C1: b STORE 1:2,5 +FLAGS.SILENT \\Seen
        S1: * ESEARCH (TAG \"a\") ADDTO (0 1:2,5)
        S1: b OK STORE completed
        C1: c STORE 2 -FLAGS.SILENT \\Seen
        S1: * ESEARCH (TAG \"a\") REMOVEFROM (0 2)
        S1: c OK STORE completed
        # What another does is told too, and an expunge before its EXPUNGE.
        C2: n NOOP
        S2: * 1 FETCH (FLAGS (\\Seen))
        S2: * 5 FETCH (FLAGS (\\Seen))
        S2: n OK NOOP completed
        C2: d STORE 3:5 +FLAGS.SILENT (\\Seen \\Deleted)
        S2: d OK STORE completed
        C2: e EXPUNGE
        S2: * 5 EXPUNGE
        S2: * 4 EXPUNGE
        S2: * 3 EXPUNGE
        S2: e OK EXPUNGE completed
        C1: f NOOP
        S1: * ESEARCH (TAG \"a\") REMOVEFROM (0 5)
        S1: * 5 EXPUNGE
        S1: * 4 EXPUNGE
        S1: * 3 EXPUNGE
        S1: f OK NOOP completed
        C1: a SEARCH RETURN (UPDATE) SEEN
        S1: a BAD Tag reuse…
        C1: g CANCELUPDATE \"a\"
        S1: g OK CANCELUPDATE completed
        C1: h STORE 1 -FLAGS.SILENT \\Seen
        S1: h OK STORE completed
        C1: i CANCELUPDATE \"a\"
        S1: i BAD No search with updates has the tag a
    ",
    )
    .await;
    for n in 0..8 {
        assert!(
            client.command(&format!("SEARCH RETURN (UPDATE MIN) {}", n + 1)).await.pop().unwrap().starts_with("OK")
        );
    }
    let refused = client.command("SEARCH RETURN (UPDATE COUNT) ALL").await;
    assert!(refused[0].starts_with("* NO [NOUPDATE \""), "{refused:?}");
    assert!(refused[1].ends_with(" COUNT 2") && refused[2].starts_with("OK"), "{refused:?}");
}

#[tokio::test]
async fn followed_sorts_tell_positions() {
    let world = World::start().await;
    let mut client = inbox_of(&world, &["delta", "alpha", "charlie"]).await;
    conversation(
        &mut [&mut client],
        "
        C: a UID SORT RETURN (UPDATE ALL) (SUBJECT) UTF-8 UNDELETED
        S: * ESEARCH (TAG \"a\") UID ALL 2:3,1
        S: a OK SORT completed
        C: b STORE 3 +FLAGS.SILENT \\Deleted
        S: * ESEARCH (TAG \"a\") UID REMOVEFROM (2 3)
        S: b OK STORE completed
        C: c STORE 3 -FLAGS.SILENT \\Deleted
        S: * ESEARCH (TAG \"a\") UID ADDTO (2 3)
        S: c OK STORE completed
    ",
    )
    .await;
    world
        .deliver_many("alice", Place::Inbox, &[b"Subject: bravo\r\n\r\nx\r\n", b"Subject: re: zulu\r\n\r\nx\r\n"])
        .await;
    conversation(
        &mut [&mut client],
        "
        C: d NOOP
        S: * 5 EXISTS
        S: * 5 RECENT
        S: * ESEARCH (TAG \"a\") UID ADDTO (2 4 5 5)
        S: d OK NOOP completed
        C: e UID STORE 2,4 +FLAGS.SILENT \\Deleted
        S: * ESEARCH (TAG \"a\") UID REMOVEFROM (1 2 1 4)
        S: e OK STORE completed
        C: f UID SORT RETURN (ALL) (SUBJECT) UTF-8 UNDELETED
        S: * ESEARCH (TAG \"f\") UID ALL 3,1,5
        S: f OK SORT completed
    ",
    )
    .await;
}

#[tokio::test]
async fn several_mailboxes_are_searched_at_once() {
    let world = World::start().await;
    let mut client = inbox_of(&world, &["one", "two", "one more"]).await;
    client.ok("CREATE work").await;
    client.ok("CREATE work/deep").await;
    client.ok("COPY 1:2 work").await;
    client.ok("COPY 3 work/deep").await;
    client.ok("UNSELECT").await;
    conversation(
        &mut [&mut client],
        "
        C: a ESEARCH IN (personal) SUBJECT one
        S: * ESEARCH (TAG \"a\" MAILBOX INBOX UIDVALIDITY …) UID ALL 1,3
        S: * ESEARCH (TAG \"a\" MAILBOX work UIDVALIDITY …) UID ALL 1
        S: * ESEARCH (TAG \"a\" MAILBOX work/deep UIDVALIDITY …) UID ALL 1
        S: a OK ESEARCH completed
        C: b ESEARCH IN (subtree work mailboxes (work nowhere)) RETURN (COUNT MIN) TEXT two
        S: * ESEARCH (TAG \"b\" MAILBOX work UIDVALIDITY …) UID MIN 2 COUNT 1
        S: b OK ESEARCH completed
        C: c ESEARCH IN (subtree-one \"\" mailboxes INBOX) SUBJECT zzz
        S: c OK ESEARCH completed
        C: d ESEARCH IN (selected) ALL
        S: d BAD No mailbox is selected
        C: e ESEARCH IN (inboxes) RETURN (SAVE) ALL
        S: e BAD $ and SAVE…
        C: e2 ESEARCH IN (inboxes) RETURN (UPDATE) ALL
        S: e2 BAD UPDATE is for a selected mailbox…
        C: e3 ESEARCH IN (subtree-one \"\") SUBJECT two
        S: * ESEARCH (TAG \"e3\" MAILBOX INBOX UIDVALIDITY …) UID ALL 2
        S: * ESEARCH (TAG \"e3\" MAILBOX work UIDVALIDITY …) UID ALL 2
        S: e3 OK ESEARCH completed
        C: f SELECT work
    ",
    )
    .await;
    while !client.line().await.starts_with("f OK") {}
    conversation(
        &mut [&mut client],
        "
        C: g ESEARCH RETURN (SAVE COUNT) SUBJECT one
        S: * ESEARCH (TAG \"g\" MAILBOX work UIDVALIDITY …) UID COUNT 1
        S: g OK ESEARCH completed
        C: h ESEARCH IN (selected) RETURN (ALL) $
        S: * ESEARCH (TAG \"h\" MAILBOX work UIDVALIDITY …) UID ALL 1
        S: h OK ESEARCH completed
        C: i ESEARCH IN (selected personal) $
        S: i BAD $ and SAVE…
        # Changes are told of the selected mailbox, whichever others were searched.
        C: j ESEARCH IN (subtree \"\") RETURN (UPDATE COUNT) SUBJECT one UNFLAGGED
        S: * ESEARCH (TAG \"j\" MAILBOX INBOX UIDVALIDITY …) UID COUNT 2
        S: * ESEARCH (TAG \"j\" MAILBOX work UIDVALIDITY …) UID COUNT 1
        S: * ESEARCH (TAG \"j\" MAILBOX work/deep UIDVALIDITY …) UID COUNT 1
        S: j OK ESEARCH completed
        C: k STORE 1 +FLAGS.SILENT \\Flagged
        S: * ESEARCH (TAG \"j\" MAILBOX work UIDVALIDITY …) UID REMOVEFROM (0 1)
        S: k OK STORE completed
    ",
    )
    .await;
}

#[tokio::test]
async fn searches_know_when_a_mail_was_saved() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    client.append("Archive", "\"02-Mar-2020 01:00:00 +0000\" ", b"Subject: old\r\n\r\nx\r\n").await;
    client.ok("SELECT Archive").await;
    // It came into the mailbox on 1 January 2026.
    for (key, found) in [
        ("SAVEDATESUPPORTED", "* SEARCH 1"),
        ("SAVEDON 1-Jan-2026 ON 2-Mar-2020", "* SEARCH 1"),
        ("SAVEDSINCE 1-Jan-2026", "* SEARCH 1"),
        ("SAVEDSINCE 2-Jan-2026", "* SEARCH"),
        ("SAVEDBEFORE 2-Jan-2026", "* SEARCH 1"),
        ("SAVEDBEFORE 1-Jan-2026", "* SEARCH"),
    ] {
        assert_eq!(client.ok(&format!("SEARCH {key}")).await, [found], "{key}");
    }
    assert!(client.tagged("SEARCH SAVEDON yesterday").await.starts_with("BAD Invalid date"));
}

#[tokio::test]
async fn after_utf8_accept_strings_have_no_other_label() {
    let world = World::start().await;
    let mut client = inbox_of(&world, &["=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "two"]).await;
    conversation(
        &mut [&mut client],
        "
        C: a SEARCH CHARSET UTF-8 SUBJECT two
        S: * SEARCH 2
        S: a OK SEARCH completed
        C: b ENABLE UTF8=ACCEPT
        S: * ENABLED UTF8=ACCEPT
        S: b OK…
        C: c SEARCH CHARSET UTF-8 SUBJECT two
        S: c BAD CHARSET is not allowed…
        C: d ESEARCH RETURN (COUNT) CHARSET US-ASCII SUBJECT two
        S: d BAD CHARSET is not allowed…
        C: e SEARCH SUBJECT \"Grüße\"
        S: * SEARCH 1
        S: e OK SEARCH completed
        C: f SORT (SUBJECT) UTF-8 ALL
        S: * SORT 1 2
        S: f OK SORT completed
    ",
    )
    .await;
}

#[tokio::test]
async fn a_context_ends_with_the_login() {
    let world = World::start().await;
    let mut client = inbox_of(&world, &["one", "two"]).await;
    client.ok("SEARCH RETURN (SAVE) ALL").await;
    conversation(
        &mut [&mut client],
        "
        C: a SEARCH RETURN (UPDATE COUNT) UNSEEN
        S: * ESEARCH (TAG \"a\") COUNT 2
        S: a OK SEARCH completed
        C: b UNAUTHENTICATE
        S: b OK…
    ",
    )
    .await;
    client.ok("LOGIN alice secret").await;
    client.ok("SELECT INBOX").await;
    conversation(
        &mut [&mut client],
        "
        C: c STORE 1 +FLAGS.SILENT \\Seen
        S: c OK STORE completed
        C: d CANCELUPDATE \"a\"
        S: d BAD No search…
        C: e SEARCH RETURN (COUNT) $
        S: * ESEARCH (TAG \"e\") COUNT 0
        S: e OK SEARCH completed
    ",
    )
    .await;
}

/// A long SORT or THREAD keeps nobody else waiting, on one thread even: the sessions here share it.
#[tokio::test]
async fn others_are_answered_while_ten_thousand_mails_are_sorted_and_threaded() {
    let world = World::start().await;
    let mails: Vec<Vec<u8>> = (0..10_000)
        .map(|n| {
            let subject = n * 7919 % 10_000;
            format!(
                "From: a@b.test\r\nSubject: Re: {subject}\r\nMessage-ID: <{n}@b.test>\r\nReferences: <{}@b.test>\r\n\r\nx\r\n",
                n / 3
            )
            .into_bytes()
        })
        .collect();
    let slices: Vec<&[u8]> = mails.iter().map(Vec::as_slice).collect();
    for some in slices.chunks(1000) {
        world.deliver_many("alice", Place::Inbox, some).await;
    }
    let mut busy = world.login("alice").await;
    busy.ok("SELECT INBOX").await;
    let mut other = world.login("alice").await;
    other.ok("SELECT INBOX").await;
    for command in ["SORT (SUBJECT DATE) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL"] {
        let mut waits = Vec::new();
        let others = async {
            loop {
                let asked = Instant::now();
                other.ok("NOOP").await;
                waits.push(asked.elapsed());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let began = Instant::now();
        let lines = tokio::select! {
            biased;
            lines = busy.ok(command) => lines,
            () = others => unreachable!(),
        };
        assert!(lines[0].len() > 40_000, "{command}");
        let (took, longest) = (began.elapsed(), *waits.iter().max().unwrap());
        eprintln!("{command}: {took:?}, {} NOOPs meanwhile, the longest {longest:?}", waits.len());
        // A machine that is slow with one is slow with the other.
        assert!(waits.len() > 5 && longest < Duration::from_millis(100).max(took / 3), "{command}: {longest:?}");
    }
}
