//! What a client that was away, or looks on, is told: CONDSTORE, QRESYNC, UIDONLY, PARTIAL.

use crate::support::{Client, World, conversation};
use lnmp::Place;

const HELLO: &[u8] = b"From: Bob <bob@shop.test>\r\nSubject: hello\r\n\r\nHi Alice!\r\n";

/// The number behind `what` in the first of `lines` that has it.
fn number(lines: &[String], what: &str) -> u64 {
    let rest = lines.iter().find_map(|line| line.split_once(what)).unwrap_or_else(|| panic!("{what} in {lines:?}")).1;
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

async fn inbox_of(world: &World, messages: usize, enable: &str) -> Client {
    world.deliver_many("alice", Place::Inbox, &vec![HELLO; messages]).await;
    let mut client = world.login("alice").await;
    if !enable.is_empty() {
        assert_eq!(client.ok(&format!("ENABLE {enable}")).await, [format!("* ENABLED {enable}")]);
    }
    client
}

#[tokio::test]
async fn highestmodseq_is_never_0_and_comes_with_the_first_command_that_asks() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    assert!(number(&client.ok("SELECT INBOX").await, "[HIGHESTMODSEQ ") > 0);
    conversation(
        &mut [&mut client],
        "
        C: a FETCH 1:* (FLAGS) (CHANGEDSINCE 0)
        S: * OK [HIGHESTMODSEQ 1] Highest
        S: a OK FETCH completed
        C: b ENABLE CONDSTORE
        S: * ENABLED
        S: b OK ENABLE completed
        C: c ENABLE X-NONE qresync
        S: * ENABLED QRESYNC
        S: c OK ENABLE completed
        C: d EXAMINE Sent (CONDSTORE)
        S: * OK [CLOSED] Previous mailbox is closed
        S: * FLAGS…
        S: * OK [PERMANENTFLAGS…
        S: * 0 EXISTS
        S: * 0 RECENT
        S: * OK [UIDVALIDITY…
        S: * OK [UIDNEXT 1]…
        S: * OK [HIGHESTMODSEQ 1] Highest
        S: * OK [MAILBOXID…
        S: d OK [READ-ONLY] EXAMINE completed
        ",
    )
    .await;
}

#[tokio::test]
async fn a_conditional_store_tells_what_failed_and_why() {
    let world = World::start().await;
    let mut one = inbox_of(&world, 3, "").await;
    let mut two = world.login("alice").await;
    let start = number(&one.ok("SELECT INBOX (CONDSTORE)").await, "[HIGHESTMODSEQ ");
    two.ok("SELECT INBOX").await;
    two.ok("STORE 2 +FLAGS (\\Flagged)").await;
    let lines = one.command(&format!("STORE 1:3 (UNCHANGEDSINCE {start}) +FLAGS.SILENT (\\Deleted)")).await;
    let now = number(&lines, "* 1 FETCH (UID 1 MODSEQ (");
    assert!(now > start + 1);
    assert_eq!(
        lines,
        [
            format!("* 1 FETCH (UID 1 MODSEQ ({now}))"),
            format!("* 2 FETCH (UID 2 FLAGS (\\Flagged \\Recent) MODSEQ ({}))", start + 1),
            format!("* 3 FETCH (UID 3 MODSEQ ({now}))"),
            "OK [MODIFIED 2] Some messages were changed since".to_owned(),
        ]
    );
    let failed = one.tagged("UID STORE 3,2 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($x)").await;
    assert_eq!(failed, "OK [MODIFIED 2:3] Some messages were changed since");
    // Told to the other session: no MODSEQ, because it did not ask for any.
    let told = two.ok("NOOP").await;
    assert!(told.contains(&"* 1 FETCH (FLAGS (\\Deleted))".to_owned()), "{told:?}");
    let changed = one.ok(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {})", start + 1)).await;
    assert_eq!(changed.len(), 2, "{changed:?}");
    assert!(changed[1].starts_with("* 3 FETCH (UID 3 FLAGS (\\Deleted \\Recent) MODSEQ ("), "{changed:?}");
    assert_eq!(one.tagged("STORE 1 (UNCHANGED 1) FLAGS ()").await.split(' ').next(), Some("BAD"));
}

#[tokio::test]
async fn a_store_of_what_is_there_already_is_no_change_and_passes_over_none() {
    let world = World::start().await;
    let mut one = inbox_of(&world, 3, "").await;
    one.ok("SELECT INBOX").await;
    one.ok("STORE 1:3 +FLAGS (\\Seen)").await;
    let mut two = world.login("alice").await;
    two.ok("SELECT INBOX").await;
    let before = one.ok("STATUS INBOX (HIGHESTMODSEQ UNSEEN)").await.pop();
    let told = ["* 1 FETCH (FLAGS (\\Seen))", "* 2 FETCH (FLAGS (\\Seen))"];
    assert_eq!(two.ok("STORE 1:2 +FLAGS (\\Seen)").await, told);
    assert_eq!(two.ok("STORE 1:2 -FLAGS (\\Draft)").await, told);
    assert_eq!(two.ok("STORE 1:2 FLAGS (\\Seen)").await, told);
    assert!(two.ok("STORE 1:3 +FLAGS.SILENT (\\Seen)").await.is_empty());
    assert_eq!(one.ok("STATUS INBOX (HIGHESTMODSEQ UNSEEN)").await.pop(), before);
    // What `two` sees is no longer so: its STORE is one.
    one.ok("STORE 2 -FLAGS.SILENT (\\Seen)").await;
    two.ok("STORE 1:3 +FLAGS.SILENT (\\Seen)").await;
    assert_eq!(number(&one.ok("STATUS INBOX (UNSEEN)").await, "UNSEEN "), 0);
}

#[tokio::test]
async fn a_client_that_was_away_is_told_what_vanished_and_what_changed() {
    let world = World::start().await;
    let mut one = inbox_of(&world, 9, "QRESYNC").await;
    let selected = one.ok("SELECT INBOX").await;
    let (validity, modseq) = (number(&selected, "[UIDVALIDITY "), number(&selected, "[HIGHESTMODSEQ "));
    one.ok("UNSELECT").await;
    let mut two = world.login("alice").await;
    two.ok("SELECT INBOX").await;
    two.ok("STORE 2,4,9 +FLAGS.SILENT (\\Deleted)").await;
    two.ok("EXPUNGE").await;
    two.ok("UID STORE 3 +FLAGS.SILENT (\\Seen)").await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    let resync = |lines: Vec<String>| -> Vec<String> {
        lines.into_iter().filter(|line| line.contains("VANISHED") || line.contains("FETCH")).collect()
    };
    let told = resync(one.ok(&format!("SELECT INBOX (QRESYNC ({validity} {modseq}))")).await);
    assert_eq!(told[0], "* VANISHED (EARLIER) 2,4,9");
    assert!(told[1].starts_with("* 2 FETCH (UID 3 FLAGS (\\Seen) MODSEQ ("), "{told:?}");
    assert!(told[2].starts_with("* 7 FETCH (UID 10 FLAGS ("), "{told:?}");
    assert_eq!(told.len(), 3);
    let told = resync(one.ok(&format!("SELECT INBOX (QRESYNC ({validity} {modseq} 1:9 (1,2 1,3)))")).await);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], "* VANISHED (EARLIER) 4,9");
    assert_eq!(resync(one.ok(&format!("SELECT INBOX (QRESYNC ({} 1))", validity + 1)).await), Vec::<String>::new());
    let told = resync(one.ok(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)")).await);
    assert_eq!((told[0].as_str(), told.len()), ("* VANISHED (EARLIER) 2,4,9", 3));
    assert_eq!(two.tagged("SELECT INBOX (QRESYNC (1 1))").await, "BAD QRESYNC needs ENABLE QRESYNC first");
    let refused = two.tagged("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)").await;
    assert_eq!(refused, "BAD VANISHED needs ENABLE QRESYNC first");
}

#[tokio::test]
async fn qresync_hears_vanished_and_how_far_it_knows() {
    let world = World::start().await;
    let mut one = inbox_of(&world, 4, "QRESYNC").await;
    let mut two = world.login("alice").await;
    one.ok("SELECT INBOX").await;
    two.ok("SELECT INBOX").await;
    conversation(
        &mut [&mut one, &mut two],
        "
        C1: a UID STORE 1,3 +FLAGS.SILENT (\\Deleted)
        S1: * 1 FETCH (UID 1 MODSEQ (3))
        S1: * 3 FETCH (UID 3 MODSEQ (3))
        S1: a OK STORE completed
        C1: b EXPUNGE
        S1: * VANISHED 1,3
        S1: b OK [HIGHESTMODSEQ 4] EXPUNGE completed
        C1: c EXPUNGE
        S1: c OK EXPUNGE completed
        C1: d UID MOVE 2 Archive
        S1: * OK [COPYUID … 2 1] Moved
        S1: * VANISHED 2
        S1: d OK [HIGHESTMODSEQ 5] MOVE completed
        C2: a NOOP
        S2: * 3 EXPUNGE
        S2: * 2 EXPUNGE
        S2: * 1 EXPUNGE
        S2: a OK NOOP completed
        C2: b UID STORE 4 +FLAGS.SILENT (\\Deleted)
        S2: b OK STORE completed
        C2: c EXPUNGE
        S2: * 1 EXPUNGE
        S2: c OK EXPUNGE completed
        C1: e STORE 1 +FLAGS (\\Seen)
        S1: * OK [HIGHESTMODSEQ 5] Some removals are not told yet
        S1: e NO [EXPUNGEISSUED] Some messages are gone
        C1: f NOOP
        S1: * VANISHED 4
        S1: * OK [HIGHESTMODSEQ 7] All is told
        S1: f OK NOOP completed
        C1: g CLOSE
        S1: g OK CLOSE completed
        ",
    )
    .await;
}

#[tokio::test]
async fn uid_only_knows_no_message_numbers() {
    let world = World::start().await;
    let mut client = inbox_of(&world, 3, "UIDONLY").await;
    let selected = client.ok("SELECT INBOX").await;
    assert!(!selected.iter().any(|line| line.contains("UNSEEN")), "{selected:?}");
    conversation(
        &mut [&mut client],
        "
        C: a UID FETCH 2:* (FLAGS)
        S: * 2 UIDFETCH (FLAGS (\\Recent))
        S: * 3 UIDFETCH (FLAGS (\\Recent))
        S: a OK FETCH completed
        C: b FETCH 1 (FLAGS)
        S: b BAD [UIDREQUIRED] Message numbers are off, use UIDs
        C: c SEARCH ALL
        S: c BAD [UIDREQUIRED]…
        C: d UID SEARCH 1:2
        S: d BAD [UIDREQUIRED]…
        C: e UID STORE 2 +FLAGS (\\Deleted)
        S: * 2 UIDFETCH (FLAGS (\\Deleted \\Recent))
        S: e OK STORE completed
        C: f EXPUNGE
        S: * VANISHED 2
        S: f OK EXPUNGE completed
        C: g COPY 1 Archive
        S: g BAD [UIDREQUIRED]…
        C: h UID FETCH 1:* (UID) (PARTIAL -1:-1)
        S: * 3 UIDFETCH (UID 3)
        S: h OK FETCH completed
        ",
    )
    .await;
}

#[tokio::test]
async fn a_fetch_can_be_of_a_part_of_what_it_names() {
    let world = World::start().await;
    let mut client = inbox_of(&world, 5, "").await;
    client.ok("SELECT INBOX").await;
    assert_eq!(client.ok("UID FETCH 2:* (UID) (PARTIAL 1:2)").await, ["* 2 FETCH (UID 2)", "* 3 FETCH (UID 3)"]);
    assert_eq!(client.ok("UID FETCH 1:4 (UID) (PARTIAL -1:-2)").await, ["* 3 FETCH (UID 3)", "* 4 FETCH (UID 4)"]);
    assert_eq!(client.ok("UID FETCH 1:4 (UID) (PARTIAL 9:10)").await, Vec::<String>::new());
    assert!(client.tagged("FETCH 1:4 (UID) (PARTIAL 1:2)").await.starts_with("BAD "));
}

#[tokio::test]
async fn status_turns_condstore_on() {
    let world = World::start().await;
    let mut client = inbox_of(&world, 1, "").await;
    client.ok("SELECT INBOX").await;
    let told = client.ok("STATUS Archive (HIGHESTMODSEQ)").await;
    assert_eq!(told, ["* OK [HIGHESTMODSEQ 2] Highest", "* STATUS Archive (HIGHESTMODSEQ 1)"]);
    assert_eq!(client.ok("STORE 1 +FLAGS.SILENT (\\Seen)").await, ["* 1 FETCH (UID 1 MODSEQ (3))"]);
}

#[tokio::test]
async fn keywords_compare_without_case() {
    let world = World::start().await;
    let mut client = inbox_of(&world, 1, "").await;
    client.ok("SELECT INBOX").await;
    client.ok("STORE 1 +FLAGS ($Label1)").await;
    assert_eq!(client.ok("SEARCH KEYWORD $label1").await, ["* SEARCH 1"]);
    client.ok("STORE 1 -FLAGS ($LABEL1)").await;
    assert_eq!(client.ok("FETCH 1 FLAGS").await, ["* 1 FETCH (FLAGS (\\Recent))"]);
}

#[tokio::test]
async fn id_takes_nil_and_an_empty_list() {
    let world = World::start().await;
    let mut client = world.connect().await;
    assert!(client.ok("ID NIL").await[0].starts_with("* ID ("));
    assert!(client.ok("ID ()").await[0].starts_with("* ID ("));
}
