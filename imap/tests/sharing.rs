//! Mailboxes that are shared (RFC 4314): who sees them under which name, what rights permit, whose `\Seen` it is, and
//! mails that go from one account into another.

mod support;

use lnmp::{GateState, Place};
use support::{World, conversation};

const HELLO: &[u8] = b"From: Carol <carol@shop.test>\r\nSubject: hello\r\n\r\nHi Alice!\r\n";
const ASK: &[u8] = b"From: Bob <bob@shop.test>\r\nSubject: ask\r\n\r\nMay I?\r\n";

#[tokio::test]
async fn rights_are_given_shown_and_taken() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.login("alice").await, world.login("bob").await);
    conversation(
        &mut [&mut alice, &mut bob],
        "
        C1: a SETACL INBOX bob lrs
        S1: a OK SETACL completed
        C1: b SETACL INBOX Bob@Satchel.Test +cd
        S1: b OK SETACL completed
        C1: c GETACL inbox
        S1: * ACL INBOX alice@satchel.test lrswipkxteacd bob@satchel.test lrskxtecd
        S1: c OK GETACL completed
        C1: d SETACL INBOX bob -kxte
        S1: d OK SETACL completed
        C1: e LISTRIGHTS INBOX Bob
        S1: * LISTRIGHTS INBOX Bob \"\" l r s w i p k x t e a c d
        S1: e OK LISTRIGHTS completed
        C1: f LISTRIGHTS INBOX alice
        S1: * LISTRIGHTS INBOX alice lrswipkxteacd
        S1: f OK LISTRIGHTS completed
        C1: f2 LISTRIGHTS INBOX anyone
        S1: * LISTRIGHTS INBOX anyone \"\"
        S1: f2 OK LISTRIGHTS completed
        C1: g MYRIGHTS INBOX
        S1: * MYRIGHTS INBOX lrswipkxteacd
        S1: g OK MYRIGHTS completed
        C1: h SETACL INBOX alice lr
        S1: h NO [CANNOT] the owner of a mailbox keeps all rights
        C1: i DELETEACL INBOX alice
        S1: i NO [CANNOT] the owner of a mailbox keeps all rights
        C1: j SETACL INBOX anyone lr
        S1: j NO [CANNOT] …
        C1: k SETACL INBOX -bob w
        S1: k NO [CANNOT] …
        C1: l SETACL INBOX nobody lr
        S1: l NO [NONEXISTENT] …
        C1: m SETACL INBOX bob lrq
        S1: m BAD q is no right; rights are lrswipkxteacd
        C1: n SETACL INBOX \"\" lr
        S1: n BAD Identifier is empty
        C1: o GETACL Nowhere
        S1: o NO [NONEXISTENT] No such mailbox
        C2: a MYRIGHTS \"Other Users/alice@satchel.test/inbox\"
        S2: a NO [NONEXISTENT] No such mailbox
        C2: b MYRIGHTS \"Other Users/alice@satchel.test/INBOX\"
        S2: * MYRIGHTS \"Other Users/alice@satchel.test/INBOX\" lrs
        S2: b OK MYRIGHTS completed
        C2: c GETACL \"Other Users/alice@satchel.test/INBOX\"
        S2: c NO [NOPERM] You need the right a in this mailbox
        C2: d LISTRIGHTS \"Other Users/alice@satchel.test/INBOX\" bob
        S2: d NO [NOPERM] You need the right a in this mailbox
        C1: p DELETEACL INBOX bob
        S1: p OK DELETEACL completed
        C1: q GETACL INBOX
        S1: * ACL INBOX alice@satchel.test lrswipkxteacd
        S1: q OK GETACL completed
        C2: e MYRIGHTS \"Other Users/alice@satchel.test/INBOX\"
        S2: e NO [NONEXISTENT] No such mailbox
    ",
    )
    .await;
    let capabilities = alice.ok("CAPABILITY").await.remove(0);
    assert!(capabilities.contains(" ACL ") && capabilities.contains(" RIGHTS=kxte"), "{capabilities}");
}

#[tokio::test]
async fn a_shared_mailbox_is_listed_subscribed_and_read() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    let (mut alice, mut bob) = (world.login("alice").await, world.login("bob").await);
    alice.ok("CREATE Support").await;
    alice.ok("SETACL INBOX bob lrs").await;
    alice.ok("SETACL Support bob r").await;
    conversation(
        &mut [&mut bob],
        "
        C: a NAMESPACE
        S: * NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) NIL
        S: a OK NAMESPACE completed
        C: b LIST \"\" \"Other Users*\"
        S: * LIST (\\Noselect \\HasChildren) \"/\" \"Other Users\"
        S: * LIST (\\Noselect \\HasChildren) \"/\" \"Other Users/alice@satchel.test\"
        S: * LIST (\\HasNoChildren) \"/\" \"Other Users/alice@satchel.test/INBOX\"
        S: b OK LIST completed
        C: c SUBSCRIBE \"Other Users/alice@satchel.test/INBOX\"
        S: c OK SUBSCRIBE completed
        C: d LSUB \"Other Users/\" *
        S: * LSUB () \"/\" \"Other Users/alice@satchel.test/INBOX\"
        S: d OK LSUB completed
        C: e STATUS \"Other Users/alice@satchel.test/INBOX\" (MESSAGES UNSEEN RECENT)
        S: * STATUS \"Other Users/alice@satchel.test/INBOX\" (MESSAGES 1 UNSEEN 1 RECENT 0)
        S: e OK STATUS completed
        C: f SELECT \"Other Users/alice@satchel.test/INBOX\"
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
        S: * OK [PERMANENTFLAGS (\\Seen)] Flags permitted
        S: * 1 EXISTS
        S: * 0 RECENT
        S: * OK [UNSEEN 1] First unseen
        S: * OK [UIDVALIDITY …
        S: * OK [UIDNEXT 2] Predicted next UID
        S: * OK [HIGHESTMODSEQ…
        S: * OK [MAILBOXID (…
        S: f OK [READ-ONLY] SELECT completed
        C: g FETCH 1 (BODY[TEXT])
        S: * 1 FETCH (BODY[TEXT] {11}\\r\\nHi Alice!\\r\\n FLAGS (\\Seen))
        S: g OK FETCH completed
        C: h SEARCH BODY alice
        S: * SEARCH 1
        S: h OK SEARCH completed
        C: i STORE 1 +FLAGS (\\Flagged)
        S: i NO [NOPERM] You need the right w in this mailbox
        C: j EXPUNGE
        S: j NO [NOPERM] You need the right e in this mailbox
        C: k APPEND \"Other Users/alice@satchel.test/INBOX\" {3+}\\r\\nA:b
        S: k NO [NOPERM] You need the right i in this mailbox
        C: l COPY 1 \"Other Users/alice@satchel.test/Support\"
        S: l NO [NOPERM] You need the right i in this mailbox
        C: m CREATE \"Other Users/alice@satchel.test/INBOX/x\"
        S: m NO [NOPERM] You need the right k in this mailbox
        C: n CREATE \"Other Users/alice@satchel.test/x\"
        S: n NO [NOPERM] Nothing above this name is shared with you
        C: o DELETE \"Other Users/alice@satchel.test/Support\"
        S: o NO [NOPERM] You need the right x in this mailbox
        C: p STATUS \"Other Users/alice@satchel.test/Trash\" (MESSAGES)
        S: p NO [NONEXISTENT] No such mailbox
        C: q CLOSE
        S: q OK CLOSE completed
    ",
    )
    .await;
    // What Bob has seen, Alice has not.
    alice.ok("SELECT INBOX").await;
    assert_eq!(alice.ok("FETCH 1 FLAGS").await, ["* 1 FETCH (FLAGS (\\Recent))"]);
    assert_eq!(
        bob.ok("STATUS \"Other Users/alice@satchel.test/INBOX\" (UNSEEN)").await[0].split('(').next_back(),
        Some("UNSEEN 0)")
    );
}

#[tokio::test]
async fn both_sessions_see_changes_until_the_right_is_taken() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    let (mut alice, mut bob) = (world.login("alice").await, world.login("bob").await);
    alice.ok("SETACL INBOX bob lrswit").await;
    alice.ok("SELECT INBOX").await;
    bob.ok("SELECT \"Other Users/alice@satchel.test/INBOX\"").await;
    conversation(
        &mut [&mut alice, &mut bob],
        "
        C2: a STORE 1 +FLAGS.SILENT (\\Seen \\Flagged)
        S2: a OK STORE completed
        C1: a NOOP
        S1: * 1 FETCH (FLAGS (\\Flagged \\Recent))
        S1: a OK NOOP completed
        C1: b STORE 1 FLAGS.SILENT ($Mine)
        S1: * FLAGS (…
        S1: …
        S1: b OK STORE completed
        C2: b NOOP
        S2: * FLAGS (…
        S2: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Mine \\*)] Flags permitted
        S2: * 1 FETCH (FLAGS (\\Seen $Mine))
        S2: b OK NOOP completed
        C2: i IDLE
        S2: + idling
    ",
    )
    .await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    assert_eq!(bob.line().await, "* 2 EXISTS");
    assert!(bob.line().await.ends_with(" RECENT"));
    alice.ok("DELETEACL INBOX bob").await;
    assert!(bob.line().await.starts_with("* BYE "));
}

#[tokio::test]
async fn a_mailbox_made_below_a_shared_one_is_its_owners() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.login("alice").await, world.login("bob").await);
    alice.ok("CREATE Support").await;
    alice.ok("SETACL Support bob lrkx").await;
    bob.ok("CREATE \"Other Users/alice@satchel.test/Support/2026/May\"").await;
    let listed = alice.ok("LIST Support/ *").await;
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!(bob.ok("LIST \"Other Users/\" *").await.len(), 4, "with the level of Alice's address");
    bob.ok("DELETE \"Other Users/alice@satchel.test/Support/2026/May\"").await;
    assert_eq!(alice.ok("LIST Support/ *").await.len(), 1);
    let support = "\"Other Users/alice@satchel.test/Support";
    bob.ok(&format!("RENAME {support}/2026\" {support}/2027\"")).await;
    assert_eq!(alice.ok("LIST Support/ *").await, ["* LIST (\\HasNoChildren) \"/\" Support/2027"]);
    for to in ["Mine", "\"Other Users/alice@satchel.test/Mine\""] {
        let rename = bob.tagged(&format!("RENAME {support}\" {to}")).await;
        assert!(rename.starts_with("NO [NOPERM] "), "{rename}");
    }
    alice.ok("SETACL Support bob -k").await;
    let rename = bob.tagged(&format!("RENAME {support}/2027\" {support}/2028\"")).await;
    assert!(rename.starts_with("NO [NOPERM] "), "{rename}");
}

#[tokio::test]
async fn mails_are_sealed_anew_for_the_account_they_are_carried_to() {
    let world = World::start().await;
    // One attachment is large enough to lie on the shelf.
    let large = [HELLO, "0123456789abcdef\r\n".repeat(8000).as_bytes()].concat();
    world.deliver_many("alice", Place::Inbox, &[HELLO, &large]).await;
    let (mut alice, mut bob) = (world.login("alice").await, world.login("bob").await);
    alice.ok("SETACL INBOX bob lrste").await;
    bob.ok("SELECT \"Other Users/alice@satchel.test/INBOX\"").await;
    let copied = bob.tagged("UID COPY 1:2 INBOX").await;
    assert!(copied.starts_with("OK [COPYUID ") && copied.ends_with(" 1:2 1:2] COPY completed"), "{copied}");
    conversation(
        &mut [&mut bob],
        "
        C: a MOVE 1 Archive
        S: * OK [COPYUID … 1 1] Moved
        S: * 1 EXPUNGE
        S: a OK MOVE completed
    ",
    )
    .await;
    bob.ok("SELECT Archive").await;
    assert!(bob.ok("FETCH 1 BODY.PEEK[]").await[0].contains("Hi Alice!"));
    bob.ok("SELECT INBOX").await;
    let fetched = bob.ok("FETCH 2 BODY.PEEK[]").await.remove(0);
    assert!(fetched.contains(std::str::from_utf8(&large).unwrap()));
    // The other way: into a mailbox of Alice's, which she alone can open.
    assert!(bob.tagged("COPY 1 \"Other Users/alice@satchel.test/INBOX\"").await.starts_with("NO [NOPERM] "));
    alice.ok("SETACL INBOX bob +i").await;
    assert!(bob.tagged("COPY 1 \"Other Users/alice@satchel.test/INBOX\"").await.starts_with("OK [COPYUID "));
    alice.ok("SELECT INBOX").await;
    assert!(alice.ok("FETCH 2 BODY.PEEK[]").await[0].contains("Hi Alice!"));
}

#[tokio::test]
async fn only_a_user_with_the_right_t_lets_a_mail_in() {
    let world = World::start().await;
    let gate = world.deliver_priced("alice", ASK).await;
    let (mut alice, mut bob) = (world.login("alice").await, world.login("bob").await);
    let state = async || world.store.gate(gate).await.unwrap().unwrap().state;
    alice.ok("SETACL Unpaid bob lrswe").await;
    bob.ok("SELECT \"Other Users/alice@satchel.test/Unpaid\"").await;
    assert!(bob.tagged("COPY 1 INBOX").await.starts_with("OK [COPYUID "));
    assert!(bob.tagged("MOVE 1 INBOX").await.starts_with("NO [NOPERM] "));
    assert_eq!(state().await, GateState::Waiting, "without t a copy decides nothing");
    alice.ok("SETACL Unpaid bob +t").await;
    bob.ok("SELECT \"Other Users/alice@satchel.test/Unpaid\"").await;
    assert!(bob.tagged("MOVE 1 INBOX").await.starts_with("OK "));
    assert_eq!(state().await, GateState::Waived, "with t it does, though the mail went to another account");
}
