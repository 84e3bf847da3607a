//! APPEND, MULTIAPPEND and REPLACE: what is stored, what is refused, and that the dialogue stays in step.

use std::time::Duration;

use crate::support::{World, conversation};
use imap::limits::{APPEND_BYTES_MAX, APPEND_MESSAGES_MAX};
use lnmp::Place;

#[tokio::test]
async fn messages_of_one_append_are_stored_together() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    conversation(
        &mut [&mut client],
        "
        C: a APPEND INBOX (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {4+}\\r\\nA: 1 ($Mine $Paid) ~{4+}\\r\\nA: 2 {4}
        S: + OK
        C: A: 3
        S: a OK [APPENDUID … 1:3] APPEND completed
        C: b SELECT INBOX
        S: * FLAGS…
        S: * OK [PERMANENTFLAGS…
        S: * 3 EXISTS
        S: * 3 RECENT
        S: * OK [UNSEEN 2]…
        S: * OK [UIDVALIDITY…
        S: * OK [UIDNEXT 4]…
        S: * OK [HIGHESTMODSEQ …] Highest
        S: * OK [MAILBOXID (F…)]…
        S: b OK…
        C: c APPEND INBOX {4+}\\r\\nA: 4 {4+}\\r\\nA: 5
        S: * 5 EXISTS
        S: * 5 RECENT
        S: c OK [APPENDUID … 4:5] APPEND completed
        C: d FETCH 1:5 (FLAGS BODY.PEEK[])
        S: * 1 FETCH (FLAGS (\\Seen \\Recent) BODY[] {4}\\r\\nA: 1)
        S: * 2 FETCH (FLAGS (\\Recent $Mine) BODY[] {4}\\r\\nA: 2)
        S: * 3 FETCH (FLAGS (\\Recent) BODY[] {4}\\r\\nA: 3)
        S: * 4 FETCH (FLAGS (\\Recent) BODY[] {4}\\r\\nA: 4)
        S: * 5 FETCH (FLAGS (\\Recent) BODY[] {4}\\r\\nA: 5)
        S: d OK FETCH completed
    ",
    )
    .await;
}

#[tokio::test]
async fn a_refused_message_refuses_all_and_keeps_the_dialogue_in_step() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    let large = APPEND_BYTES_MAX + 1;
    conversation(
        &mut [&mut client],
        &format!(
            "
        # A synchronising literal that is not wanted is never sent.
        C: a APPEND INBOX {{4+}}\\r\\nA: 1 {{{large}}}
        S: a NO [TOOBIG] Message is too large
        C: b APPEND Nowhere {{4}}
        S: b NO [TRYCREATE] No such mailbox
        C: c UID REPLACE 1 Nowhere {{4}}
        S: c NO [TRYCREATE] No such mailbox
        # One that is on its way is read past, and what follows it.
        C: d APPEND Nowhere {{4+}}\\r\\nA: 1 {{4+}}\\r\\nA: 2
        S: d NO [TRYCREATE] No such mailbox
        # RFC 3502: an empty message cancels the command.
        C: e APPEND INBOX {{4+}}\\r\\nA: 1 {{0}}
        S: + OK
        C:
        S: e NO [CANNOT] An empty message cannot be stored
        C: f APPEND INBOX {{4+}}\\r\\nA: 1 ({{3+}}\\r\\n\\Up) {{4+}}\\r\\nA: 2
        S: f BAD …
        C: g STATUS INBOX (MESSAGES UIDNEXT)
        S: * STATUS INBOX (MESSAGES 0 UIDNEXT 1)
        S: g OK…
    "
        ),
    )
    .await;
    // Too large, and on its way: some megabytes later the dialogue goes on.
    client.send(format!("h APPEND INBOX {{4+}}\r\nA: 1 {{{large}+}}\r\n").as_bytes()).await;
    for _ in 0..large / 65_537 {
        client.send(&[b'x'; 65_537]).await;
    }
    client.send(&vec![b'x'; large % 65_537]).await;
    conversation(
        &mut [&mut client],
        "
        C:  {4+}\\r\\nA: 3
        S: h NO [TOOBIG] Message is too large
        C: i STATUS INBOX (MESSAGES)
        S: * STATUS INBOX (MESSAGES 0)
        S: i OK…
    ",
    )
    .await;
}

#[tokio::test]
async fn one_append_takes_so_many_messages_and_no_more() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    for (messages, answer) in [
        (APPEND_MESSAGES_MAX, format!(" 1:{APPEND_MESSAGES_MAX}] APPEND completed")),
        (APPEND_MESSAGES_MAX + 1, format!("NO [LIMIT] One command may append {APPEND_MESSAGES_MAX} messages")),
    ] {
        let said = client.tagged(&format!("APPEND INBOX{}", " {4+}\r\nA: 1".repeat(messages))).await;
        assert!(said.ends_with(&answer), "{said}");
    }
    let mut waiting = " {4+}\r\nA: 1".repeat(APPEND_MESSAGES_MAX);
    waiting.push_str(" {4}");
    assert!(client.tagged(&format!("APPEND INBOX{waiting}")).await.starts_with("NO [LIMIT]"));
    client.ok("NOOP").await;
}

#[tokio::test]
async fn a_replaced_message_goes_and_its_successor_comes() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    conversation(
        &mut [&mut client],
        "
        C: a APPEND Drafts (\\Draft) {4+}\\r\\nA: 1 (\\Draft) {4+}\\r\\nA: 2
        S: a OK…
        C: b REPLACE 1 Drafts {4+}\\r\\nA: 3
        S: b BAD No mailbox is selected
        C: c SELECT Drafts
        S: * FLAGS…
        S: * OK [PERMANENTFLAGS…
        S: * 2 EXISTS
        S: * 2 RECENT
        S: * OK [UNSEEN 1]…
        S: * OK [UIDVALIDITY…
        S: * OK [UIDNEXT 3]…
        S: * OK [HIGHESTMODSEQ …] Highest
        S: * OK [MAILBOXID (F…)]…
        S: c OK…
        C: d REPLACE 1 Drafts (\\Seen \\Draft) {4}
        S: + OK
        C: A: 3
        S: * OK [APPENDUID … 3] Replacement message is stored
        S: * 1 EXPUNGE
        S: * 2 EXISTS
        S: * 2 RECENT
        S: d OK REPLACE completed
        C: e UID REPLACE 3 Sent {4+}\\r\\nA: 4
        S: * OK [APPENDUID … 1] Replacement message is stored
        S: * 2 EXPUNGE
        S: e OK REPLACE completed
        C: f UID REPLACE 3 Drafts {4+}\\r\\nA: 5
        S: f NO [NONEXISTENT] No such message
        C: g REPLACE 2 Drafts {4+}\\r\\nA: 5
        S: g BAD Message number does not exist
        C: h REPLACE 1 Drafts {4+}\\r\\nA: 5 {4+}\\r\\nA: 6
        S: h BAD Too many arguments
        C: i REPLACE 1 Drafts {0+}
        C:
        S: i NO [CANNOT] An empty message cannot be stored
        C: j UID FETCH 1:* (FLAGS BODY.PEEK[])
        S: * 1 FETCH (UID 2 FLAGS (\\Draft \\Recent) BODY[] {4}\\r\\nA: 2)
        S: j OK FETCH completed
        C: k EXAMINE Drafts
        S: * OK [CLOSED] Previous mailbox is closed
        S: * FLAGS…
        S: * OK [PERMANENTFLAGS ()]…
        S: * 1 EXISTS
        S: * 0 RECENT
        S: * OK [UNSEEN 1]…
        S: * OK [UIDVALIDITY…
        S: * OK [UIDNEXT 4]…
        S: * OK [HIGHESTMODSEQ …] Highest
        S: * OK [MAILBOXID (F…)]…
        S: k OK…
        C: l REPLACE 1 Drafts {4+}\\r\\nA: 5
        S: l NO [READ-ONLY] Mailbox is read-only
    ",
    )
    .await;
}

#[tokio::test]
async fn apple_mail_saves_a_draft_by_append_and_expunge_of_the_old_one() {
    let world = World::start().await;
    let (mut mail, mut phone) = (world.login("alice").await, world.login("alice").await);
    mail.ok("SELECT Drafts").await;
    phone.ok("SELECT Drafts").await;
    for save in 1..=5 {
        let draft = format!("Message-ID: <draft@alice>\r\nSubject: draft\r\n\r\nsaved {save} times\r\n");
        let said = mail.append("Drafts", "(\\Seen \\Draft) ", draft.as_bytes()).await;
        assert!(said.contains(&format!(" {save}] ")), "{said}");
        if save > 1 {
            mail.ok(&format!("UID STORE {} +FLAGS.SILENT (\\Deleted)", save - 1)).await;
            mail.ok(&format!("UID EXPUNGE {}", save - 1)).await;
        }
        assert_eq!(mail.ok("UID FETCH 1:* (UID)").await, [format!("* 1 FETCH (UID {save})")]);
    }
    phone.ok("NOOP").await;
    let shown = phone.ok("UID FETCH 1:* (UID BODY.PEEK[TEXT])").await;
    assert_eq!(shown, ["* 1 FETCH (UID 5 BODY[TEXT] {15}\r\nsaved 5 times\r\n)"]);
}

#[tokio::test]
async fn outlook_moves_out_of_junk_by_an_append_that_races_an_expunge() {
    let world = World::start().await;
    let mut body = "line of a long mail\r\n".repeat(8000);
    body.insert_str(0, "Subject: no junk\r\n\r\n");
    for round in 1..=8_u64 {
        world.deliver("alice", Place::Junk, body.as_bytes()).await;
        let (mut one, mut two) = (world.login("alice").await, world.login("alice").await);
        two.ok("SELECT Junk").await;
        let appended = async {
            tokio::time::sleep(Duration::from_micros(300 * (round % 4))).await;
            one.append("INBOX", "", body.as_bytes()).await
        };
        let expunged = async {
            tokio::time::sleep(Duration::from_micros(300 * (round / 4))).await;
            two.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
            two.ok("EXPUNGE").await
        };
        let (appended, _) = tokio::join!(appended, expunged);
        assert!(appended.starts_with("OK [APPENDUID"), "{appended}");
        let mut after = world.login("alice").await;
        after.ok("SELECT INBOX").await;
        let shown = after.ok(&format!("FETCH {round} (RFC822.SIZE BODY.PEEK[])")).await;
        assert_eq!(shown.len(), 1);
        assert!(shown[0].ends_with(&format!("{body})")), "round {round}: the only copy is whole");
        assert_eq!(after.ok("STATUS Junk (MESSAGES)").await, ["* STATUS Junk (MESSAGES 0)"]);
    }
}

#[tokio::test]
async fn a_header_in_utf_8_is_taken_from_any_client() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    assert_eq!(client.append("Archive", "() UTF8 (~", b"x").await, "BAD Missing ')' behind UTF8 data");
    for taken in ["Subject: Gr\u{fc}\u{df}e\r\n\r\nx\r\n".as_bytes(), b"Subject: Gr\xfc\xdfe\r\n\r\nx\r\n"] {
        assert!(client.append("Archive", "", taken).await.starts_with("OK [APPENDUID "));
    }
}
