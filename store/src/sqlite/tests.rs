//! The contract on SQLite, and what only a file on a disk can show.

use std::path::Path;
use std::sync::Arc;

use lnmp::{BridgeKey, Msat, Place};
use tempfile::TempDir;

use super::Sqlite;
use crate::contract::rules::TableRules;
use crate::contract::{DAY, HEIGHT, NOW, Subject, account, deliver, entries, folder, incoming, mail, priced, quote};
use crate::{Batch, CaughtMail, ModSeq, NewOutgoing, Store, StoreError};

pub(crate) async fn fresh_store() -> (Subject, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store.sqlite"));
    (store, dir)
}

fn open(path: &Path) -> Arc<Sqlite> {
    Sqlite::open(path, BridgeKey::from_bytes([7; 32]), Arc::new(TableRules)).unwrap()
}

crate::store_contract!(crate::sqlite::tests::fresh_store);

/// What a power cut leaves: the files as they are while the store is running.
fn crash_copy(from: &Path, to: &Path) {
    for name in ["store.sqlite", "store.sqlite-wal"] {
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

#[tokio::test]
async fn what_was_answered_survives_a_crash_without_close() {
    let (store, dir) = fresh_store().await;
    let alice = account(&store, "alice").await;
    let delivered = deliver(&store, priced(alice, "bob@shop.test")).await;
    let (_, hash) = quote(&store, delivered.gate.unwrap(), 100, 1, NOW).await;
    store.payment_held(incoming(hash, 100), NOW).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    crash_copy(dir.path(), copy.path());
    let after: Subject = open(&copy.path().join("store.sqlite"));
    assert_eq!(entries(&after, alice, Place::Requests).await[0].message, delivered.message);
    assert_eq!(after.end_holds(NOW + DAY, HEIGHT, 12).await.unwrap(), [delivered.gate.unwrap()]);
    drop(store);
    let again: Subject = open(&dir.path().join("store.sqlite"));
    assert_eq!(entries(&again, alice, Place::Requests).await.len(), 1);
}

#[tokio::test]
async fn a_copy_made_while_mail_comes_in_holds_all_that_was_answered_before_and_opens_by_itself() {
    let (store, dir) = fresh_store().await;
    let alice = account(&store, "alice").await;
    for _ in 0..20 {
        deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
    }
    let coming = async {
        for _ in 0..40 {
            deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await;
        }
    };
    let copy = dir.path().join("copy.sqlite");
    let (copied, ()) = tokio::join!(store.backup(&copy), coming);
    copied.unwrap();
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(store.backup(&copy).await, Err(StoreError::Disk(_))), "no file is written over");
    assert_eq!(entries(&store, alice, Place::Inbox).await.len(), 60);
    let there: Subject = open(&copy);
    let held = entries(&there, alice, Place::Inbox).await.len();
    assert!((20..=60).contains(&held), "{held} of 60");
    assert_eq!(there.audit().await.unwrap().findings, Vec::<String>::new());
    // It is a database like the first: mail goes on in it.
    deliver(&there, mail(alice, Place::Inbox, "bob@shop.test")).await;
    assert_eq!(entries(&there, alice, Place::Inbox).await.len(), held + 1);
}

#[tokio::test]
async fn nothing_that_tells_who_or_what_is_readable_in_the_files() {
    let (store, dir) = fresh_store().await;
    let secrets = [
        "alice",
        "satchel.test",
        "bob@",
        "shop.test",
        "Geheimprojekt",
        "Lieblingswort",
        "lnbcrt",
        "laptop",
        "451 later",
        "Subject: hi",
        "list.test",
        "kept-mark",
        "carol",
        "randnotiz",
        "notizwert",
        "Filterwort",
    ];
    let alice = account(&store, "alice").await;
    store.create_mailbox(alice, "Geheimprojekt", NOW).await.unwrap();
    store.subscribe(alice, "Geheimprojekt", true).await.unwrap();
    store.annotate(alice, None, vec![("/private/randnotiz".into(), Some(b"notizwert".to_vec()))]).await.unwrap();
    let filter = lnmp::Filter {
        name: "Filterwort".into(),
        when: lnmp::Conditions { from: Some("carol@shop.test".into()), ..lnmp::Conditions::default() },
        then: lnmp::Actions { flag: true, ..lnmp::Actions::default() },
    };
    let settings = crate::AccountSettings { filters: vec![filter], ..crate::AccountSettings::default() };
    store.update_settings(alice, settings).await.unwrap();
    let mut ours = priced(alice, "bob@shop.test");
    ours.keywords = vec!["Lieblingswort".into()];
    ours.author.as_mut().unwrap().evidence = Some("list.test".into());
    // Sealed blobs are the caller's: stand-ins that could not match.
    let gate = deliver(&store, ours).await.gate.unwrap();
    deliver(&store, mail(alice, Place::Inbox, "carol@shop.test")).await;
    quote(&store, gate, 100, 1, NOW).await;
    store.set_relation(alice, "bob@shop.test", lnmp::Relation::Friend, NOW).await.unwrap();
    store.set_meta("kept-mark", b"kept-mark").await.unwrap();
    let outgoing = NewOutgoing {
        reverse_path: "alice@satchel.test".into(),
        recipients: vec!["bob@shop.test".into()],
        message: b"Subject: hi\r\n\r\n".to_vec(),
        account: Some(alice),
        expires_at: NOW + DAY,
        hold_until: None,
        wishes: crate::MailWishes::default(),
    };
    let sent = crate::SentRecord {
        account: alice,
        message_id: "<x@satchel.test>".into(),
        recipients: vec!["bob@shop.test".into()],
    };
    let batch = Batch { outgoing: vec![outgoing], sent: vec![sent], asked: vec![gate], ..Batch::default() };
    store.commit(batch, NOW).await.unwrap();
    let item = store.lease_queue(NOW, 1, 1).await.unwrap().pop().unwrap();
    let retry = crate::QueueOutcome::Retry { id: item.id, due_at: NOW, error: "451 later".into() };
    store.finish_queue(vec![retry], Batch::default(), NOW).await.unwrap();
    let caught = CaughtMail {
        from: "bob@shop.test".into(),
        to: "carol@shop.test".into(),
        message: b"Subject: hi".to_vec(),
        at: NOW,
    };
    store.catch_mail(caught).await.unwrap();
    let search = |what: &str| {
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(bytes.len() > 1000 || what == "closed");
            for secret in secrets {
                let found = bytes.windows(secret.len()).any(|window| window.eq_ignore_ascii_case(secret.as_bytes()));
                assert!(!found, "{secret} is readable ({what})");
            }
        }
    };
    search("running");
    store.close().await;
    search("closed");
}

#[tokio::test]
async fn the_files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (store, dir) = fresh_store().await;
    account(&store, "alice").await;
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[tokio::test]
async fn a_newer_version_and_a_foreign_key_are_refused_in_words() {
    let (store, dir) = fresh_store().await;
    store.close().await;
    let path = dir.path().join("store.sqlite");
    let foreign = Sqlite::open(&path, BridgeKey::from_bytes([8; 32]), Arc::new(TableRules)).unwrap_err();
    assert!(foreign.to_string().contains("another bridge key"), "{foreign}");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let newer = Sqlite::open(&path, BridgeKey::from_bytes([7; 32]), Arc::new(TableRules)).unwrap_err();
    assert!(newer.to_string().contains("newer satchel"), "{newer}");
}

#[tokio::test]
async fn after_close_calls_fail_and_the_wal_is_gone() {
    let (store, dir) = fresh_store().await;
    let alice = account(&store, "alice").await;
    store.close().await;
    store.close().await;
    assert!(matches!(store.account(alice).await, Err(StoreError::Busy)));
    assert!(matches!(store.set_meta("a", b"b").await, Err(StoreError::Busy)));
    assert!(!dir.path().join("store.sqlite-wal").exists());
}

#[tokio::test]
async fn a_full_disk_is_told_and_forgotten_once_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = open(&dir.path().join("store.sqlite"));
    let store: Subject = sqlite.clone();
    let alice = account(&store, "alice").await;
    let limit = |pages: i64| {
        sqlite.writer.write(move |tx| {
            tx.conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
            Ok(())
        })
    };
    // Below what is there: SQLite takes that as "no more".
    limit(1).await.unwrap();
    let mut big = mail(alice, Place::Inbox, "bob@shop.test");
    big.sealed.content = vec![1; 1 << 20];
    let batch = Batch { deliveries: vec![big], ..Batch::default() };
    let error = store.commit(batch.clone(), NOW).await.unwrap_err();
    assert!(matches!(error, StoreError::Disk(_)) && error.is_temporary(), "{error:?}");
    assert!(entries(&store, alice, Place::Inbox).await.is_empty());
    limit(1 << 30).await.unwrap();
    store.commit(batch, NOW).await.unwrap();
    assert_eq!(entries(&store, alice, Place::Inbox).await[0].uid.get(), 1);
}

#[tokio::test]
async fn a_panicking_write_is_undone_and_the_writer_lives() {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = open(&dir.path().join("store.sqlite"));
    let store: Subject = sqlite.clone();
    let failed = sqlite
        .writer
        .write(|tx| -> crate::Result<()> {
            tx.run("DELETE FROM meta", ())?;
            panic!("on purpose")
        })
        .await;
    assert!(matches!(failed, Err(StoreError::Damaged(_))));
    drop(store);
    open(&dir.path().join("store.sqlite"));
}

#[tokio::test]
async fn the_ledger_refuses_to_be_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = open(&dir.path().join("store.sqlite"));
    let posting = crate::Posting {
        key: "k".into(),
        gate: None,
        debits: vec![(crate::Side::Node, Msat(1))],
        credits: vec![(crate::Side::Operator, Msat(1))],
    };
    sqlite.post(posting, NOW).await.unwrap();
    for sql in
        ["UPDATE ledger SET amount = 2", "DELETE FROM ledger", "DELETE FROM posting", "UPDATE posting SET at = 0"]
    {
        assert!(sqlite.writer.write(move |tx| tx.run(sql, ())).await.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn a_watcher_that_slept_past_the_remembered_uids_compares_lists() {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = open(&dir.path().join("store.sqlite"));
    let store: Subject = sqlite.clone();
    let alice = account(&store, "alice").await;
    let inbox = folder(&store, alice, Place::Inbox).await.id;
    let mut uids = Vec::new();
    for _ in 0..4 {
        uids.push(deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await.uid);
    }
    let archive = folder(&store, alice, Place::Archive).await.id;
    for uid in &uids[..3] {
        store.move_entries(alice, inbox, &[*uid], archive, NOW).await.unwrap();
    }
    sqlite.writer.write(move |tx| super::entries::forget_vanished(tx, inbox, 1)).await.unwrap();
    let changes = store.changes(alice, inbox, ModSeq(1)).await.unwrap();
    assert_eq!(changes.vanished, uids[..3]);
    let latest = store.changes(alice, inbox, ModSeq(changes.highest_modseq.0 - 1)).await.unwrap();
    assert_eq!(latest.vanished, uids[2..3]);
}

/// Chance that is the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

#[tokio::test]
async fn a_storm_of_acts_leaves_counters_copies_and_money_in_agreement() {
    storm(false).await;
}

#[tokio::test]
async fn a_queue_is_in_step_after_every_act_of_a_storm() {
    storm(true).await;
}

async fn storm(desk: bool) {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = open(&dir.path().join("store.sqlite"));
    let store: Subject = sqlite.clone();
    let alice = account(&store, "alice").await;
    store.create_mailbox(alice, "Own", NOW).await.unwrap();
    store.set_desk(alice, desk, NOW).await.unwrap();
    let folders = store.mailboxes(alice).await.unwrap();
    let mut client = QueueClient::default();
    let mut dice = Dice(2);
    let (mut gates, mut hashes, mut now) = (Vec::new(), Vec::new(), NOW);
    for step in 0..600_u64 {
        if desk {
            client.look(&sqlite, alice).await;
        }
        now += 60_000;
        let from = folders[dice.below(folders.len())].id;
        let to = &folders[dice.below(folders.len())];
        // Into a Queue nothing is put.
        let to = if to.place == Place::Queue { folders[0].id } else { to.id };
        let entries = store.open(alice, from, dice.below(4) == 0).await.unwrap().entries;
        let some: Vec<_> = entries.iter().filter(|_| dice.below(3) == 0).map(|entry| entry.uid).collect();
        match dice.below(10) {
            0 => {
                deliver(&store, mail(alice, Place::Inbox, "carol@shop.test")).await;
            }
            1 | 2 => {
                let digest = Some([dice.below(8) as u8; 32]);
                let delivery = crate::Delivery { content_digest: digest, ..priced(alice, "bob@shop.test") };
                gates.extend(deliver(&store, delivery).await.gate);
            }
            3 => drop(store.copy(alice, from, &some, to, now).await.unwrap()),
            4 => drop(store.move_entries(alice, from, &some, to, now).await.unwrap()),
            5 => {
                let change = crate::FlagChange {
                    mailbox: from,
                    uids: some,
                    mode: [crate::FlagMode::Add, crate::FlagMode::Remove, crate::FlagMode::Replace][dice.below(3)],
                    flags: crate::Flags(if desk { [1, 8, 2, 10] } else { [1, 8, 9, 4] }[dice.below(4)]),
                    keywords: vec![["A", "$Accepted", "$Declined", "b"][dice.below(4)].into()],
                    unchanged_since: None,
                };
                store.set_flags(alice, change, now).await.unwrap();
            }
            6 => drop(store.expunge(alice, from, None, now).await.unwrap()),
            7 => {
                if let Some(&gate) = gates.get(dice.below(gates.len().max(1))) {
                    let preimage = lnmp::Preimage::new(ring_digest(step));
                    let begun =
                        store.begin_quote(gate, Msat(100_000), crate::contract::AMPLE, &preimage, now + DAY, now);
                    begun.await.unwrap();
                    store.payment_held(incoming(preimage.hash(), [100, 1000][dice.below(2)]), now).await.unwrap();
                    hashes.push(preimage.hash());
                }
            }
            8 => {
                crate::contract::append(&store, alice, Place::Archive, dice.below(8) as u8, now).await;
            }
            _ => {
                for job in store.lease_jobs(now, 1, 100).await.unwrap() {
                    match &job.kind {
                        crate::JobKind::Grace(gate) => {
                            store.decide(*gate, lnmp::Act::GraceOver { lies: None }, now).await.unwrap();
                        }
                        crate::JobKind::Demote(account, message) => {
                            store.demote(*account, *message, now).await.unwrap();
                        }
                        crate::JobKind::Claim(_, hash) => {
                            store.payment_settled(hash, Msat(100_000), now).await.unwrap();
                        }
                        _ => {}
                    }
                    store.finish_job(job.id, Batch::default(), now).await.unwrap();
                }
                store.end_holds(now, HEIGHT, 12).await.unwrap();
            }
        }
    }
    let rotten = sqlite
        .readers
        .quick(|db| {
            let queries = [
                "SELECT COUNT(*) FROM mailbox m WHERE (messages, unseen, deleted, size, recent) IS NOT (SELECT COUNT(*),
                 COALESCE(SUM(e.flags & 1 = 0), 0), COALESCE(SUM(e.flags & 8 <> 0), 0), COALESCE(SUM(e.size), 0),
                 COALESCE(SUM(e.uid >= m.recent_from), 0) FROM entry e WHERE e.mailbox = m.id)",
                "SELECT COUNT(*) FROM entry e JOIN mailbox m ON m.id = e.mailbox WHERE e.uid >= m.uid_next OR e.modseq > m.modseq",
                "SELECT COUNT(*) FROM entry e JOIN message m ON m.id = e.message WHERE e.gate IS NOT m.gate",
                // A content that nobody shows stays only while something is open.
                "SELECT COUNT(*) FROM message m WHERE NOT EXISTS (SELECT 1 FROM entry e WHERE e.message = m.id)
                 AND NOT EXISTS (SELECT 1 FROM gate g WHERE g.id = m.gate
                 AND (g.state IN ('waiting', 'held', 'settling') OR g.armed_until IS NOT NULL))",
                "SELECT COUNT(*) FROM content c WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = c.message)",
                // Held means exactly one held quote, and only then.
                "SELECT COUNT(*) FROM gate g WHERE (g.state IN ('held', 'settling'))
                 IS NOT ((SELECT COUNT(*) FROM quote q WHERE q.gate = g.id AND q.state = 'held') = 1)",
                "SELECT COUNT(*) FROM gate WHERE (state = 'held') IS NOT (hold_until IS NOT NULL) AND state <> 'settling'",
                "SELECT COUNT(*) FROM gate WHERE (ended_at IS NULL) IS NOT (state IN ('waiting', 'held', 'settling'))",
                "SELECT COALESCE(SUM(amount), 0) FROM ledger",
                "SELECT COUNT(*) FROM vanished v JOIN desk_mail d ON d.queue = v.mailbox AND d.uid = v.uid",
                "SELECT COUNT(*) FROM desk_mail d JOIN mailbox m ON m.id = d.queue WHERE d.uid >= m.uid_next OR d.modseq > m.modseq",
                "SELECT COUNT(*) FROM vanished v JOIN entry e ON e.mailbox = v.mailbox AND e.uid = v.uid",
            ];
            queries.iter().map(|sql| Ok((*sql, db.value::<i64>(sql, ())?.unwrap()))).collect::<crate::Result<Vec<_>>>()
        })
        .await
        .unwrap();
    for (sql, count) in rotten {
        assert_eq!(count, 0, "{sql}");
    }
    let settled = store.gates(crate::GateFilter::default()).await.unwrap();
    let settled = settled.iter().filter(|gate| gate.state == lnmp::GateState::Settled).count();
    assert!(settled > 3 && hashes.len() > 20, "the storm did not reach money: {settled} of {}", hashes.len());
    assert_eq!(store.balances().await.unwrap().node, settled as i64 * 100_000);
}

/// What a client knows of a Queue that asks for changes only.
#[derive(Default)]
struct QueueClient {
    known: std::collections::BTreeMap<crate::Uid, crate::Entry>,
    modseq: u64,
}

impl QueueClient {
    /// Takes over what changed, and compares with what is there, and that with what has to be there.
    async fn look(&mut self, sqlite: &Sqlite, account: crate::AccountId) {
        let id = Store::mailboxes(sqlite, account).await.unwrap();
        let id = id.iter().find(|mailbox| mailbox.place == Place::Queue).unwrap().id;
        let changes = Store::changes(sqlite, account, id, ModSeq(self.modseq)).await.unwrap();
        for uid in &changes.vanished {
            self.known.remove(uid);
        }
        let last = self.known.last_key_value().map(|(uid, _)| *uid);
        for entry in changes.changed {
            let is_new = !self.known.contains_key(&entry.uid);
            assert!(!is_new || last.is_none_or(|last| entry.uid > last), "a UID came up between others");
            self.known.insert(entry.uid, entry);
        }
        self.modseq = changes.highest_modseq.0;
        let shown = Store::open(sqlite, account, id, false).await.unwrap().entries;
        assert_eq!(self.known.values().collect::<Vec<_>>(), shown.iter().collect::<Vec<_>>());
        assert!(shown.is_sorted_by(|a, b| a.internal_date / 1000 < b.internal_date / 1000));
        let mut open = sqlite
            .readers
            .quick(|db| {
                let sql = format!(
                    "SELECT {}, e.flags, m.place {} ORDER BY m.place DESC, e.uid",
                    super::desk::RANK,
                    super::desk::OPEN
                );
                db.all(&sql, (), |row| {
                    let rank = (-row.get::<_, i64>(4)?, row.get::<_, i64>(3)?, row.get::<_, i64>(0)?);
                    Ok((rank, crate::Flags(row.get(5)?)))
                })
            })
            .await
            .unwrap();
        // Of two copies the one in Requests, and the one that came first, is shown.
        let mut messages = std::collections::HashSet::new();
        open.retain(|(rank, _)| messages.insert(rank.2));
        open.sort_by_key(|(rank, _)| *rank);
        let shown: Vec<_> = shown.iter().map(|entry| (entry.message.0, entry.flags)).collect();
        assert_eq!(shown, open.iter().map(|(rank, flags)| (rank.2, *flags)).collect::<Vec<_>>());
    }
}

/// Thirty-two octets that differ for each number.
fn ring_digest(number: u64) -> [u8; 32] {
    ring::digest::digest(&ring::digest::SHA256, &number.to_be_bytes()).as_ref().try_into().unwrap()
}

#[tokio::test]
async fn a_database_of_the_first_version_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("migrations/0001_first.sql")).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    let no =
        |table: &str, columns: &str| old.execute_batch(&format!("INSERT INTO {table} VALUES ({columns})")).unwrap();
    no(
        "account(id, name, identity, sealed_seed, settings, created_at, uid_validity_next)",
        "1, x'', x'', x'', '{}', 0, 2",
    );
    let name = super::vault::Vault::new(&BridgeKey::from_bytes([7; 32])).seal(super::vault::Of::Mailbox, b"INBOX");
    old.execute(
        "INSERT INTO mailbox(id, account, place, uid_validity, uid_next, messages, name_hash, name)
         VALUES (1, 1, ?1, 1, 2, 1, x'00', ?2)",
        (Place::Inbox.code(), name),
    )
    .unwrap();
    no("message(id, account, summary)", "1, 1, x''");
    no("entry(mailbox, uid, message, modseq, flags, internal_date, size)", "1, 1, 1, 2, 0, 7, 5");
    drop(old);
    let store: Subject = open(&path);
    let alice = crate::AccountId(1);
    let entry = entries(&store, alice, Place::Inbox).await.remove(0);
    assert_eq!((entry.internal_date, entry.zone, entry.saved_at), (7, 0, None));
    assert_eq!(store.quota(alice).await.unwrap().limit, None);
    store.close().await;
}

#[tokio::test]
async fn choices_of_before_they_were_sealed_are_read_and_sealed_when_written_again() {
    let (store, dir) = fresh_store().await;
    let alice = account(&store, "alice").await;
    let path = dir.path().join("store.sqlite");
    let outside = rusqlite::Connection::open(&path).unwrap();
    outside.execute("UPDATE account SET settings = '{\"observe\":true}'", ()).unwrap();
    let settings = store.account(alice).await.unwrap().unwrap().settings;
    assert!(settings.observe && settings.filters.is_empty());
    store.update_settings(alice, settings).await.unwrap();
    let text: String = outside.query_row("SELECT settings FROM account", (), |row| row.get(0)).unwrap();
    assert!(!text.contains("observe"), "{text}");
    assert!(store.account(alice).await.unwrap().unwrap().settings.observe);
}

#[tokio::test]
async fn a_ledger_that_somebody_changed_is_found_out() {
    let (store, dir) = fresh_store().await;
    for number in 1..=4 {
        let lines = |side| vec![(side, Msat(1000 * number))];
        let (debits, credits) = (lines(crate::Side::Node), lines(crate::Side::Operator));
        store.post(crate::Posting { key: format!("fund:{number}"), gate: None, debits, credits }, NOW).await.unwrap();
    }
    let findings = async || store.audit().await.unwrap().findings;
    assert_eq!(findings().await, Vec::<String>::new());
    let outside = rusqlite::Connection::open(dir.path().join("store.sqlite")).unwrap();
    let change = |sql: &str| outside.execute_batch(sql).unwrap();
    for table in ["posting", "ledger", "link"] {
        change(&format!("DROP TRIGGER {table}_no_update; DROP TRIGGER {table}_no_delete"));
    }
    // Both sides of one posting: it balances, and is not what was written.
    change("UPDATE ledger SET amount = amount * 2 WHERE posting = 2");
    let sums = ["the kept sum of node is not the ledger's", "the kept sum of operator is not the ledger's"];
    assert_eq!(findings().await, ["posting 2: its history is not what was written", sums[0], sums[1]]);
    change("UPDATE ledger SET amount = amount / 2 WHERE posting = 2; UPDATE posting SET at = at + 1 WHERE id = 3");
    assert_eq!(findings().await, ["posting 3: its history is not what was written"]);
    change("UPDATE posting SET at = at - 1 WHERE id = 3; DELETE FROM link WHERE posting = 3");
    assert_eq!(findings().await, ["posting 4: its history is not what was written"]);
    // What was never linked, as before there were links, is linked with the next posting.
    change("DELETE FROM link");
    assert_eq!(findings().await, Vec::<String>::new());
    let lines = |side| vec![(side, Msat(1))];
    let (debits, credits) = (lines(crate::Side::Chain), lines(crate::Side::Node));
    store.post(crate::Posting { key: "fee".into(), gate: None, debits, credits }, NOW).await.unwrap();
    assert_eq!(outside.query_row("SELECT COUNT(*) FROM link", (), |row| row.get::<_, i64>(0)).unwrap(), 5);
    assert_eq!(findings().await, Vec::<String>::new());
    change("UPDATE ledger SET amount = amount + 1 WHERE posting = 1 AND line = 0");
    assert_eq!(
        findings().await,
        ["posting 1: debits and credits differ by 1 msat", "posting 1: its history is not what was written", sums[0]]
    );
    // The sums that are kept beside it.
    change("UPDATE ledger SET amount = amount - 1 WHERE posting = 1 AND line = 0");
    assert_eq!(findings().await, Vec::<String>::new());
    change("UPDATE balance SET amount = amount + 1 WHERE side = 'operator'");
    assert_eq!(findings().await, [sums[1]]);
}

#[tokio::test]
async fn the_sums_of_an_older_database_are_those_of_its_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite");
    // As version 9 left it: a settled payment, split.
    let old = rusqlite::Connection::open(&path).unwrap();
    for sql in &super::schema::MIGRATIONS[..9] {
        old.execute_batch(sql).unwrap();
    }
    old.execute_batch(
        "INSERT INTO posting(id, key, at) VALUES (1, 'settle:x', 5);
         INSERT INTO ledger(posting, line, side, account, amount) VALUES
         (1, 0, 'node', NULL, 100009), (1, 1, 'fees', NULL, -10000), (1, 2, 'user', 7, -90009);
         PRAGMA user_version = 9",
    )
    .unwrap();
    drop(old);
    let store = open(&path);
    let books = store.balances().await.unwrap();
    assert_eq!((books.node, books.fees, books.users, books.escrow), (100_009, 10_000, 90_009, 0));
    assert_eq!(books.by_user, [(crate::AccountId(7), 90_009)]);
    let lines = |side| vec![(side, Msat(9))];
    let (debits, credits) = (lines(crate::Side::User(crate::AccountId(7))), lines(crate::Side::Node));
    store.post(crate::Posting { key: "payout".into(), gate: None, debits, credits }, NOW).await.unwrap();
    assert_eq!(store.balances().await.unwrap().by_user, [(crate::AccountId(7), 90_000)]);
    // The payment is nobody's here; the sums are right.
    let findings = store.audit().await.unwrap().findings;
    assert_eq!(findings, ["posting 1 books a payment that did not settle"]);
}
