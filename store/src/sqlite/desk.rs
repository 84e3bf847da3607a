//! The support queue: a folder `Queue` that shows an account's open mails, best paid first.
//!
//! ```text
//!   entries ──stirs──▶ Tx::stirred ──settle──▶ desk_mail: rank, and UID while it is shown    before the write ends
//!   act on a UID of the Queue ──entry_of──▶ the entry in INBOX or Requests ──▶ judged as an act on that
//! ```
//! Open is what lies in INBOX or Requests, is neither answered nor a draft, and was not declined. Flags, keywords and
//! payments are read off the entry; nothing that decides about money looks here. The mailbox's row keeps UIDs and MODSEQ;
//! its counters stay at zero, so that quotas count no mail twice: [`counts`] says them.
//!
//! Order is told by UIDs and dates, both ascending. When a mail comes to lie before others, what stands in order up to it
//! keeps its UID, and the rest gets new ones.

use std::collections::BTreeSet;

use lnmp::Place;
use lnmp::payment::TIERS;
use rusqlite::Row;

use super::db::Db;
use super::entries::{self, Stored};
use super::mailboxes::uid_of;
use super::sharing::{self, Access};
use super::writer::Tx;
use super::{keywords, mailboxes};
use crate::limits::{DESK_SHOWN_MAX, DESK_UIDS_KEPT};
use crate::{
    AccountId, Entry, FlagChange, Flags, FlagsSet, MailboxId, MessageId, Result, SpecialUse, StoreError, Uid, UnixMs,
};

/// Seconds are what INTERNALDATE tells.
const SECOND_MS: i64 = 1000;

/// A mail's entry, and how it ranks. Money that went back is no payment.
pub(super) const RANK: &str = "e.message, e.mailbox, e.uid, e.internal_date,
     CASE WHEN g.state IN ('held', 'settling', 'settled') THEN COALESCE((SELECT MAX(q.received) FROM quote q
     WHERE q.gate = g.id AND q.state IN ('held', 'settled', 'escrowed', 'released')), 0) ELSE 0 END";

/// Where it is open. Places 1 and 2 are INBOX and Requests, flags 2 and 16 `\Answered` and `\Draft`.
pub(super) const OPEN: &str = "FROM entry e JOIN mailbox m ON m.id = e.mailbox LEFT JOIN gate g ON g.id = e.gate
     WHERE m.place IN (1, 2) AND e.flags & 18 = 0 AND g.state IS NOT 'declined'";

/// Turns the Queue on or off. A new one has a UIDVALIDITY of its own.
pub(super) fn set(tx: &mut Tx<'_>, account: AccountId, on: bool, now: UnixMs) -> Result<()> {
    let there: Option<i64> =
        tx.value("SELECT id FROM mailbox WHERE account = ?1 AND place = ?2", (account.0, Place::Queue.code()))?;
    match (there.map(MailboxId), on) {
        (None, true) => {
            let name = Place::Queue.born_name().expect("it has one");
            let queue = mailboxes::create(tx, account, name, Place::Queue, SpecialUse::NONE, now)?;
            mailboxes::subscribe(tx, account, name, true)?;
            // Requests before INBOX, as for each mail by itself.
            tx.run(
                &format!(
                    "INSERT OR IGNORE INTO desk_mail(message, mailbox, entry_uid, arrived, amount, queue)
                     SELECT {RANK}, ?2 {OPEN} AND m.account = ?1 ORDER BY m.place DESC, e.uid"
                ),
                (account.0, queue.0),
            )?;
            order(tx, queue)
        }
        (Some(queue), false) => {
            forget(tx, account)?;
            mailboxes::remove(tx, account, queue)?;
            mailboxes::subscribe(tx, account, Place::Queue.born_name().expect("it has one"), false)
        }
        (Some(_), true) | (None, false) => Ok(()),
    }
}

/// The account's Queue goes: nothing of it is remembered.
pub(super) fn forget(tx: &mut Tx<'_>, account: AccountId) -> Result<()> {
    tx.stirred.clear();
    for table in ["desk_mail", "desk_uid"] {
        tx.run(
            &format!("DELETE FROM {table} WHERE queue IN (SELECT id FROM mailbox WHERE account = ?1 AND place = ?2)"),
            (account.0, Place::Queue.code()),
        )?;
    }
    Ok(())
}

impl Tx<'_> {
    /// Notes that an entry of `mailbox` came, went or looks different, for the Queue that shows it.
    pub(super) fn stir(&mut self, mailbox: MailboxId, message: MessageId) -> Result<()> {
        if let Some(queue) = self.touch(mailbox)?.queue {
            self.stirred.insert((queue, message));
        }
        Ok(())
    }
}

/// Brings every Queue in step with what this write stirred.
pub(super) fn settle(tx: &mut Tx<'_>) -> Result<()> {
    let mut moved = BTreeSet::new();
    for (queue, message) in std::mem::take(&mut tx.stirred) {
        if look_again(tx, queue, message)? {
            moved.insert(queue);
        }
    }
    moved.into_iter().try_for_each(|queue| order(tx, queue))
}

/// Takes over what became of one mail; whether the order may be another one.
fn look_again(tx: &mut Tx<'_>, queue: MailboxId, message: MessageId) -> Result<bool> {
    let was = tx.one("SELECT uid, arrived, amount FROM desk_mail WHERE message = ?1", [message.0], |row| {
        Ok((row.get::<_, Option<i64>>(0)?, (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
    })?;
    let is =
        tx.one(&format!("SELECT {RANK} {OPEN} AND e.message = ?1 ORDER BY m.place DESC, e.uid"), [message.0], |row| {
            Ok(((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?), (row.get::<_, i64>(3)?, row.get::<_, i64>(4)?)))
        })?;
    match (was, is) {
        (None, None) => Ok(false),
        (Some((uid, _)), None) => {
            tx.run("DELETE FROM desk_mail WHERE message = ?1", [message.0])?;
            if let Some(uid) = uid {
                vanish(tx, queue, uid)?;
            }
            Ok(true)
        }
        (was, Some(((mailbox, entry_uid), rank))) => {
            let shown = was.is_some_and(|(uid, _)| uid.is_some());
            let touched = tx.touch(queue)?;
            if shown {
                touched.mark();
            }
            let modseq = touched.modseq;
            tx.run(
                "INSERT INTO desk_mail(message, queue, mailbox, entry_uid, arrived, amount, modseq)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(message) DO UPDATE SET mailbox = excluded.mailbox,
                 entry_uid = excluded.entry_uid, arrived = excluded.arrived, amount = excluded.amount,
                 modseq = excluded.modseq",
                (message.0, queue.0, mailbox, entry_uid, rank.0, rank.1, modseq),
            )?;
            Ok(was.is_none_or(|(_, before)| before != rank))
        }
    }
}

/// A mail as it ranks.
struct Ranked {
    message: MessageId,
    arrived: UnixMs,
    /// UID and date, while it is shown.
    shown: Option<(i64, UnixMs)>,
}

/// Shows the first mails in their order: the longest beginning that stands in it keeps its UIDs.
fn order(tx: &mut Tx<'_>, queue: MailboxId) -> Result<()> {
    let first = tx.all(
        "SELECT message, arrived, uid, internal_date FROM desk_mail WHERE queue = ?1
         ORDER BY amount DESC, arrived, message LIMIT ?2",
        (queue.0, DESK_SHOWN_MAX),
        |row| {
            let (uid, date): (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
            Ok(Ranked { message: MessageId(row.get(0)?), arrived: row.get(1)?, shown: uid.zip(date) })
        },
    )?;
    hide_the_rest(tx, queue, &first)?;
    let (mut last_uid, mut last_date) = (0, i64::MIN);
    let stands = |ranked: &&Ranked| match ranked.shown {
        Some((uid, date)) if uid > last_uid => {
            (last_uid, last_date) = (uid, date);
            true
        }
        _ => false,
    };
    let kept = first.iter().take_while(stands).count();
    let rest = &first[kept..];
    for ranked in rest {
        if let Some((uid, _)) = ranked.shown {
            vanish(tx, queue, uid)?;
            tx.run("UPDATE desk_mail SET uid = NULL WHERE message = ?1", [ranked.message.0])?;
        }
    }
    for ranked in rest {
        let touched = tx.touch(queue)?;
        let Ok(uid) = touched.next_uid() else {
            // The mail itself is taken all the same: turned off and on, the Queue begins anew.
            tracing::warn!(queue = queue.0, "the UIDs of a Queue are spent: turn it off and on again");
            break;
        };
        let modseq = touched.modseq;
        last_date = ranked.arrived.max(last_date.saturating_add(SECOND_MS));
        tx.run(
            "UPDATE desk_mail SET uid = ?2, internal_date = ?3, modseq = ?4 WHERE message = ?1",
            (ranked.message.0, uid, last_date, modseq),
        )?;
        tx.run("INSERT INTO desk_uid(queue, uid, message) VALUES (?1, ?2, ?3)", (queue.0, uid, ranked.message.0))?;
        last_uid = uid;
    }
    if !rest.is_empty() {
        tx.run("DELETE FROM desk_uid WHERE queue = ?1 AND uid <= ?2", (queue.0, last_uid - DESK_UIDS_KEPT))?;
    }
    Ok(())
}

/// What is shown and is not among the first any more.
fn hide_the_rest(tx: &mut Tx<'_>, queue: MailboxId, first: &[Ranked]) -> Result<()> {
    let shown: usize =
        tx.value("SELECT COUNT(*) FROM desk_mail WHERE queue = ?1 AND uid IS NOT NULL", [queue.0])?.unwrap_or_default();
    if shown == first.iter().filter(|ranked| ranked.shown.is_some()).count() {
        return Ok(());
    }
    let first: BTreeSet<MessageId> = first.iter().map(|ranked| ranked.message).collect();
    let all = tx.all("SELECT message, uid FROM desk_mail WHERE queue = ?1 AND uid IS NOT NULL", [queue.0], |row| {
        Ok((MessageId(row.get(0)?), row.get::<_, i64>(1)?))
    })?;
    for (message, uid) in all.into_iter().filter(|(message, _)| !first.contains(message)) {
        vanish(tx, queue, uid)?;
        tx.run("UPDATE desk_mail SET uid = NULL WHERE message = ?1", [message.0])?;
    }
    Ok(())
}

fn vanish(tx: &mut Tx<'_>, queue: MailboxId, uid: i64) -> Result<()> {
    let touched = tx.touch(queue)?;
    touched.went();
    let modseq = touched.modseq;
    tx.run("INSERT INTO vanished(mailbox, modseq, uid) VALUES (?1, ?2, ?3)", (queue.0, modseq, uid))?;
    Ok(())
}

// ---- what sessions see ----

fn read(db: &Db<'_>, row: &Row<'_>) -> Result<Entry> {
    let mut entry = entries::read(db, row)?;
    let (priority, amount) = (row.get::<_, Option<bool>>(9)?.unwrap_or_default(), row.get::<_, i64>(12)?);
    let tier = if priority && amount > 0 { 0 } else { usize::from(amount == 0) + 1 };
    entry.keywords.retain(|word| !TIERS.iter().any(|tier| tier.eq_ignore_ascii_case(word)));
    entry.keywords.push(TIERS[tier].to_owned());
    Ok(entry)
}

fn select(db: &Db<'_>, condition: &str, params: impl rusqlite::Params) -> Result<Vec<Entry>> {
    let mut statement = db.conn.prepare_cached(&format!(
        "SELECT d.uid, e.message, e.flags, e.keywords, d.modseq, d.internal_date, e.size, g.state,
         CASE WHEN g.refunding THEN 2 ELSE g.refunded END, g.priority, 0, e.saved_at, d.amount FROM desk_mail d JOIN entry e ON e.mailbox = d.mailbox AND e.uid = d.entry_uid
         LEFT JOIN gate g ON g.id = e.gate WHERE d.queue = ?1 AND d.uid IS NOT NULL {condition} ORDER BY d.uid"
    ))?;
    let mut rows = statement.query(params)?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(db, row)?);
    }
    Ok(out)
}

/// What changed after `since`; all of it after nothing.
pub(super) fn changed(db: &Db<'_>, queue: MailboxId, since: i64) -> Result<Vec<Entry>> {
    select(db, "AND d.modseq > ?2", (queue.0, since))
}

/// Its UIDs, in order.
pub(super) fn uids(db: &Db<'_>, queue: MailboxId) -> Result<Vec<u32>> {
    let sql = "SELECT uid FROM desk_mail WHERE queue = ?1 AND uid IS NOT NULL ORDER BY uid";
    db.all(sql, [queue.0], |row| row.get(0))
}

/// What STATUS counts.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) messages: u32,
    pub(super) unseen: u32,
    pub(super) deleted: u32,
    pub(super) size: i64,
    pub(super) deleted_size: i64,
}

/// Counts what `viewer`, or with none the owner, sees.
pub(super) fn counts(db: &Db<'_>, queue: MailboxId, viewer: Option<AccountId>) -> Result<Counts> {
    let counts = db.one(
        "SELECT COUNT(*), SUM(CASE WHEN ?2 IS NULL THEN e.flags & 1 = 0 ELSE NOT EXISTS (SELECT 1 FROM seen s
         WHERE s.message = e.message AND s.viewer = ?2) END), SUM(e.flags & 8 <> 0), SUM(e.size),
         SUM(CASE WHEN e.flags & 8 THEN e.size ELSE 0 END)
         FROM desk_mail d JOIN entry e ON e.mailbox = d.mailbox AND e.uid = d.entry_uid
         WHERE d.queue = ?1 AND d.uid IS NOT NULL",
        (queue.0, viewer.map(|viewer| viewer.0)),
        |row| {
            Ok(Counts {
                messages: row.get(0)?,
                unseen: row.get::<_, Option<u32>>(1)?.unwrap_or_default(),
                deleted: row.get::<_, Option<u32>>(2)?.unwrap_or_default(),
                size: row.get::<_, Option<i64>>(3)?.unwrap_or_default(),
                deleted_size: row.get::<_, Option<i64>>(4)?.unwrap_or_default(),
            })
        },
    )?;
    Ok(counts.unwrap_or_default())
}

// ---- acts ----

/// The entry that a UID of the Queue stands for, or stood for: in Requests or INBOX, or where the server put it when its
/// hold ended, which only those hear of who decide.
pub(super) fn entry_of(db: &Db<'_>, access: Access, queue: MailboxId, uid: Uid) -> Result<Option<Stored>> {
    let sql = "SELECT e.mailbox, e.uid FROM desk_uid d JOIN entry e ON e.message = d.message
         JOIN mailbox m ON m.id = e.mailbox LEFT JOIN desk_mail s ON s.mailbox = e.mailbox AND s.entry_uid = e.uid
         AND s.message = e.message WHERE d.queue = ?1 AND d.uid = ?2 AND (m.place IN (1, 2) OR ?3 AND m.place = 3)
         ORDER BY s.message IS NULL, m.place = 3, m.place DESC, e.uid LIMIT 1";
    let found =
        db.one(sql, (queue.0, uid.get(), access.decides()), |row| Ok((MailboxId(row.get(0)?), row.get::<_, i64>(1)?)))?;
    found.map_or(Ok(None), |(mailbox, uid)| entries::get(db, mailbox, uid))
}

/// STORE: what is set, is set on the entries. `uids` are in order.
pub(super) fn set_flags(
    tx: &mut Tx<'_>,
    access: Access,
    change: &FlagChange,
    wanted: &keywords::Wanted,
    uids: &[Uid],
    now: UnixMs,
) -> Result<FlagsSet> {
    let queue = change.mailbox;
    let mut modified = Vec::new();
    if let Some(since) = change.unchanged_since {
        for &uid in uids {
            let sql = "SELECT (SELECT s.modseq FROM desk_mail s WHERE s.queue = ?1 AND s.uid = ?2) FROM desk_uid
                 WHERE queue = ?1 AND uid = ?2";
            let modseq: Option<Option<i64>> = tx.value(sql, (queue.0, uid.get()))?;
            // One whose UID is gone did change.
            if modseq.is_some_and(|modseq| modseq.is_none_or(|modseq| modseq as u64 > since.0)) {
                modified.push(uid);
            }
        }
    }
    let mut there = FlagChange { uids: Vec::new(), ..change.clone() };
    let mut reached = Vec::new();
    for &uid in uids.iter().filter(|uid| modified.binary_search(uid).is_err()) {
        let Some(entry) = entry_of(tx, access, queue, uid)? else { continue };
        there.mailbox = entry.mailbox;
        entries::set_flags_of(tx, access, &there, wanted, uid_of(entry.uid as u32)?, now)?;
        reached.push(uid);
    }
    settle(tx)?;
    let mut entries = Vec::with_capacity(uids.len());
    for &uid in uids {
        entries.extend(select(tx, "AND d.uid = ?2", (queue.0, uid.get()))?);
    }
    sharing::show(tx, access.viewer(), &mut entries)?;
    // What is answered is no longer open: it heard that, and its UID is gone.
    reached.retain(|uid| entries.binary_search_by_key(uid, |entry| entry.uid).is_err());
    Ok(FlagsSet { entries, modified, followed: reached })
}

/// Whether a mail is still shown under this UID.
pub(super) fn shows(db: &Db<'_>, queue: MailboxId, uid: Uid) -> Result<bool> {
    db.exists("SELECT 1 FROM desk_mail WHERE queue = ?1 AND uid = ?2", (queue.0, uid.get()))
}

/// EXPUNGE of what is `\Deleted`, of `uids` alone when there are some: the entries go.
pub(super) fn expunge(
    tx: &mut Tx<'_>,
    access: Access,
    queue: MailboxId,
    uids: Option<&[Uid]>,
    now: UnixMs,
) -> Result<Vec<Uid>> {
    let mut gone = Vec::new();
    for entry in select(tx, "AND e.flags & 8", [queue.0])? {
        if uids.is_some_and(|uids| !uids.contains(&entry.uid)) {
            continue;
        }
        let Some(real) = entry_of(tx, access, queue, entry.uid)? else { continue };
        // As in any mailbox: taking a mail away for good would decide about its money.
        if !real.flags.contains(Flags::DELETED)
            || !access.decides() && entries::awaits_decision(tx, real.mailbox, real.uid)?
        {
            continue;
        }
        entries::expunge_uids(tx, access, real.mailbox, &[real.uid], now)?;
        gone.push(entry.uid);
    }
    Ok(gone)
}

/// Where nothing can be put.
pub(super) fn refuse(tx: &mut Tx<'_>, mailbox: MailboxId) -> Result<()> {
    match tx.touch(mailbox)?.place {
        Place::Queue => Err(StoreError::Cannot("the server fills the Queue: put this into INBOX or another mailbox")),
        _ => Ok(()),
    }
}
