//! Mailboxes that are shared (RFC 4314): who sees them under which name, what rights permit, whose `\Seen` it is, and
//! mails that go from one account into another.

use crate::support::{World, conversation};
use lnmp::{GateState, Place};

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

const INBOX: &str = "\"Other Users/alice@satchel.test/INBOX\"";

#[tokio::test]
async fn annotations_and_quota_of_a_shared_mailbox_are_its_owners() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, &[HELLO, &[b'x'; 4096]].concat()).await;
    world.store.set_quota(world.account("alice"), Some(100 * 1024)).await.unwrap();
    let (mut alice, mut bob) = (world.login("alice").await, world.login("bob").await);
    alice.ok("SETACL INBOX bob lrs").await;
    alice.ok("SETMETADATA INBOX (/shared/comment \"for all\" /private/comment \"alice's\")").await;
    let wanted = "(/shared/comment /private/comment)";
    assert_eq!(
        bob.ok(&format!("GETMETADATA {INBOX} {wanted}")).await,
        [format!("* METADATA {INBOX} (/shared/comment \"for all\" /private/comment NIL)")]
    );
    bob.ok(&format!("SETMETADATA {INBOX} (/private/comment \"bob's\")")).await;
    let shared = bob.tagged(&format!("SETMETADATA {INBOX} (/shared/comment NIL)")).await;
    assert_eq!(shared, "NO [NOPERM] You need the right w in this mailbox");
    alice.ok("SETACL INBOX bob +w").await;
    bob.ok(&format!("SETMETADATA {INBOX} (/shared/comment \"bob was here\")")).await;
    assert_eq!(
        bob.ok(&format!("LIST \"\" {INBOX} RETURN (METADATA {wanted})")).await[1],
        format!("* METADATA {INBOX} (/shared/comment \"bob was here\" /private/comment \"bob's\")")
    );
    assert_eq!(
        alice.ok(&format!("GETMETADATA INBOX {wanted}")).await,
        ["* METADATA INBOX (/shared/comment \"bob was here\" /private/comment \"alice's\")"]
    );
    let use_of_it = bob.tagged(&format!("SETMETADATA {INBOX} (/private/specialuse \"\\\\Sent\")")).await;
    assert!(use_of_it.starts_with("NO [USEATTR] "), "{use_of_it}");
    // RFC 5464 §3.3: `l` and one of `rswip`.
    alice.ok("SETACL INBOX bob l").await;
    let denied = bob.tagged(&format!("GETMETADATA {INBOX} {wanted}")).await;
    assert_eq!(denied, "NO [NOPERM] You need the right r in this mailbox");
    let listed = bob.ok(&format!("LIST \"\" {INBOX} RETURN (METADATA {wanted} STATUS (MESSAGES))")).await;
    assert_eq!(listed, [format!("* LIST (\\Noselect \\HasNoChildren) \"/\" {INBOX}")]);
    assert!(bob.tagged(&format!("GETQUOTAROOT {INBOX}")).await.starts_with("NO [NOPERM] "));
    alice.ok("SETACL INBOX bob lr").await;
    let root = "\"Other Users/alice@satchel.test\"";
    for command in [format!("GETQUOTAROOT {INBOX}"), format!("GETQUOTAROOT {root}"), format!("GETQUOTA {root}")] {
        let told = bob.ok(&command).await;
        assert_eq!(told.last().unwrap(), &format!("* QUOTA {root} (STORAGE 5 100)"), "{command}");
    }
    assert_eq!(bob.ok(&format!("GETQUOTAROOT {INBOX}")).await[0], format!("* QUOTAROOT {INBOX} {root}"));
    assert_eq!(bob.ok("GETQUOTAROOT INBOX").await, ["* QUOTAROOT INBOX \"\"", "* QUOTA \"\" ()"]);
    for root in ["\"Other Users/carol@satchel.test\"", "alice", "\"Other Users\""] {
        assert!(bob.tagged(&format!("GETQUOTA {root}")).await.starts_with("NO [NONEXISTENT] "), "{root}");
    }
}

#[tokio::test]
async fn what_names_a_mail_names_it_to_all_who_read_it() {
    let world = World::start().await;
    let mail = [b"Message-ID: <1@shop.test>\r\n", HELLO].concat();
    world.deliver("alice", Place::Inbox, &mail).await;
    let (mut alice, mut bob) = (world.login("alice").await, world.login("bob").await);
    alice.ok("SETACL INBOX bob lrs").await;
    let mailbox = async |client: &mut crate::support::Client, name: &str| {
        let status = client.ok(&format!("STATUS {name} (MAILBOXID)")).await.remove(0);
        let selected = client.ok(&format!("EXAMINE {name}")).await;
        let id = status.rsplit_once("MAILBOXID (").unwrap().1.trim_end_matches(')').to_owned();
        assert!(selected.iter().any(|line| line.contains(&format!("[MAILBOXID ({id})]"))), "{id}: {selected:?}");
        let listed = client.ok(&format!("LIST \"\" {name} RETURN (STATUS (MAILBOXID))")).await;
        assert!(listed[1].ends_with(&format!("(MAILBOXID ({id}))")), "{listed:?}");
        id
    };
    assert_eq!(mailbox(&mut alice, "INBOX").await, mailbox(&mut bob, INBOX).await);
    let fetched = alice.ok("FETCH 1 (EMAILID THREADID)").await;
    assert_eq!(bob.ok("FETCH 1 (EMAILID THREADID)").await, fetched);
    let ids: Vec<&str> = fetched[0].split(['(', ')']).filter(|word| word.starts_with(['M', 'T'])).collect();
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.ok(&format!("SEARCH EMAILID {}", ids[0])).await, ["* SEARCH 1"]);
        assert_eq!(client.ok(&format!("SEARCH THREADID {}", ids[1])).await, ["* SEARCH 1"]);
    }
}

#[tokio::test]
async fn a_name_in_anothers_tree_needs_the_right_of_what_is_right_above_it() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.login("alice").await, world.login("bob").await);
    alice.ok("CREATE Support").await;
    alice.ok("SETACL Support bob lrkx").await;
    alice.ok("CREATE Support/Closed/x").await;
    alice.ok("DELETEACL Support/Closed bob").await;
    let support = "\"Other Users/alice@satchel.test/Support";
    let denied = bob.tagged(&format!("CREATE {support}/Closed/y\"")).await;
    assert_eq!(denied, "NO [NOPERM] You need the right k in this mailbox");
    bob.ok(&format!("CREATE {support}/Open\"")).await;
    assert!(bob.tagged(&format!("CREATE {support}/Open\"")).await.starts_with("NO [ALREADYEXISTS] "));
    for (from, to, expected) in [
        ("Open", "Closed/Open", "NO [NOPERM] You need the right k in this mailbox"),
        ("Closed", "Mine", "NO [NONEXISTENT] No such mailbox"),
        ("Open", "Closed", "NO [ALREADYEXISTS] Mailbox already exists"),
        ("Closed/x", "Open/x", "OK RENAME completed"),
    ] {
        let said = bob.tagged(&format!("RENAME {support}/{from}\" {support}/{to}\"")).await;
        assert!(said.starts_with(expected), "{from} {to}: {said}");
    }
    // IMAP4rev2 is told of the new name.
    bob.ok("ENABLE IMAP4rev2").await;
    assert_eq!(
        bob.ok(&format!("RENAME {support}/Open\" {support}/Shut\"")).await,
        [format!("* LIST (\\HasChildren) \"/\" {support}/Shut\" (\"OLDNAME\" ({support}/Open\"))")]
    );
}

#[tokio::test]
async fn a_search_in_several_mailboxes_reads_those_it_may() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, HELLO).await;
    world.deliver("alice", Place::Archive, HELLO).await;
    world.deliver("alice", Place::Sent, HELLO).await;
    world.deliver("bob", Place::Inbox, HELLO).await;
    let (mut alice, mut bob) = (world.login("alice").await, world.login("bob").await);
    alice.ok("SETACL INBOX bob lrs").await;
    alice.ok("SETACL Archive bob r").await;
    alice.ok("SETACL Sent bob l").await;
    let found = async |bob: &mut crate::support::Client, sources: &str| {
        let told = bob.ok(&format!("ESEARCH IN ({sources}) SUBJECT hello")).await;
        let name =
            |line: &String| line.split(" MAILBOX ").nth(1).unwrap().split(" UIDVALIDITY ").next().unwrap().to_owned();
        assert!(told.iter().all(|line| line.ends_with(") UID ALL 1")), "{told:?}");
        told.iter().map(name).collect::<Vec<_>>()
    };
    let (archive, sent) = (INBOX.replace("INBOX", "Archive"), INBOX.replace("INBOX", "Sent"));
    assert_eq!(found(&mut bob, "subtree \"Other Users\"").await, [INBOX], "without l it is not found by itself");
    let named = format!("mailboxes (INBOX {INBOX} {archive} {sent})");
    assert_eq!(
        found(&mut bob, &named).await,
        ["INBOX", archive.as_str(), INBOX],
        "but by its name; without r it is not read"
    );
    assert_eq!(found(&mut bob, "personal").await, ["INBOX"]);
    bob.ok(&format!("SUBSCRIBE {INBOX}")).await;
    bob.ok(&format!("SUBSCRIBE {archive}")).await;
    assert_eq!(found(&mut bob, "subscribed").await, ["INBOX", INBOX]);
    bob.ok(&format!("SELECT {INBOX}")).await;
    assert_eq!(found(&mut bob, "selected").await, [INBOX]);
    // What another's mail says is read with another's key; the flags are one's own.
    bob.ok("STORE 1 +FLAGS.SILENT (\\Seen)").await;
    assert!(bob.ok(&format!("ESEARCH IN (mailboxes {INBOX}) UNSEEN BODY alice")).await.is_empty());
    assert_eq!(bob.ok(&format!("ESEARCH IN (mailboxes {INBOX}) SEEN BODY alice")).await.len(), 1);
    alice.ok("DELETEACL INBOX bob").await;
    let mut bob = world.login("bob").await;
    assert_eq!(found(&mut bob, &named).await, ["INBOX", archive.as_str()]);
}

#[tokio::test]
async fn a_replace_needs_the_rights_of_append_store_and_expunge() {
    let world = World::start().await;
    world.deliver("alice", Place::Drafts, HELLO).await;
    let (mut alice, mut bob) = (world.login("alice").await, world.login("bob").await);
    let drafts = INBOX.replace("INBOX", "Drafts");
    let replace = format!("UID REPLACE 1 {drafts} (\\Draft) {{3+}}\r\na:b");
    for (rights, missing) in
        [("lrite", None), ("lrie", Some('t')), ("lrit", Some('e')), ("lrte", Some('i'))].into_iter().rev()
    {
        alice.ok(&format!("SETACL Drafts bob {rights}")).await;
        bob.ok(&format!("SELECT {drafts}")).await;
        let said = bob.command(&replace).await;
        match missing {
            Some(right) => {
                assert_eq!(said, [format!("NO [NOPERM] You need the right {right} in this mailbox")], "{rights}");
                assert_eq!(
                    alice.ok("STATUS Drafts (MESSAGES UIDNEXT)").await,
                    ["* STATUS Drafts (MESSAGES 1 UIDNEXT 2)"]
                );
            }
            None => {
                assert!(said[0].starts_with("* OK [APPENDUID ") && said[0].contains(" 2] "), "{said:?}");
                assert!(said.contains(&"* 1 EXPUNGE".to_owned()), "{said:?}");
            }
        }
    }
    // From one's own into another's: the rights of each are those of their own mailbox.
    world.deliver("bob", Place::Drafts, HELLO).await;
    alice.ok("SETACL Drafts bob li").await;
    bob.ok("SELECT Drafts").await;
    let said = bob.command(&replace).await;
    // RFC 4315 §3: a mailbox that may not be selected tells nothing of itself.
    assert_eq!(said[0], "* OK Replacement message is stored");
    assert!(said.contains(&"* 1 EXPUNGE".to_owned()), "{said:?}");
    assert_eq!(bob.append(&drafts, "", HELLO).await, "OK APPEND completed");
    bob.append("INBOX", "", HELLO).await;
    bob.ok("SELECT INBOX").await;
    assert_eq!(bob.tagged(&format!("COPY 1 {drafts}")).await, "OK COPY completed");
    assert_eq!(alice.ok("STATUS Drafts (MESSAGES)").await, ["* STATUS Drafts (MESSAGES 4)"]);
}
