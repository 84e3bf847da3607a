//! Entries: a message in a mailbox, with its UID, flags and MODSEQ.
//!
//! [`insert`], [`remove`], [`set`] and [`touch`] are the only places that write the table: they keep the
//! mailbox's counters true.

use lnmp::{Act, GateId, GateState, Place};
use rusqlite::Row;

use super::db::{Db, unknown};
use super::mailboxes::{self, uid_of};
use super::sharing::{self, Access};
use super::verdicts::{self, Mail};
use super::writer::Tx;
use super::{desk, gates, keywords, quotas, system_flags};
use crate::{
    AccountId, Changes, Copied, Entry, FlagChange, FlagMode, Flags, FlagsSet, MailboxId, MessageId, ModSeq, Result,
    Rights, StoreError, Uid, UnixMs, View,
};

const COLUMNS: &str = "e.uid, e.message, e.flags, e.keywords, e.modseq, e.internal_date, e.size, g.state, \
     CASE WHEN g.refunding THEN 2 ELSE g.refunded END, g.priority, e.zone, e.saved_at FROM entry e LEFT JOIN gate g ON g.id = e.gate";

/// An entry as a session sees it, of a row of those columns.
pub(super) fn read(db: &Db<'_>, row: &Row<'_>) -> Result<Entry> {
    let mut shown = Vec::new();
    if let Some(state) = row.get_ref(7)?.as_str_or_null().map_err(rusqlite::Error::from)? {
        let state = GateState::parse(state).ok_or_else(|| unknown("gate state"))?;
        shown = keywords::of_gate(state, keywords::refund_of(row.get(8)?), row.get(9)?);
    }
    if let Some(sealed) = row.get_ref(3)?.as_blob_or_null().map_err(rusqlite::Error::from)? {
        shown.extend(keywords::open(db, sealed)?);
    }
    Ok(Entry {
        uid: uid_of(row.get(0)?)?,
        message: MessageId(row.get(1)?),
        flags: Flags(row.get(2)?),
        keywords: shown,
        modseq: ModSeq(row.get::<_, i64>(4)? as u64),
        internal_date: row.get(5)?,
        size: row.get::<_, i64>(6)? as u64,
        zone: row.get(10)?,
        saved_at: row.get(11)?,
    })
}

fn select(db: &Db<'_>, condition: &str, params: impl rusqlite::Params) -> Result<Vec<Entry>> {
    let mut statement = db.conn.prepare_cached(&format!("SELECT {COLUMNS} {condition}"))?;
    let mut rows = statement.query(params)?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(db, row)?);
    }
    Ok(out)
}

/// A snapshot of a mailbox, in UID order.
pub(super) fn view(db: Db<'_>, account: AccountId, id: MailboxId, recent_from: Option<Uid>) -> Result<View> {
    let access = sharing::access(&db, account, id, Rights::READ)?;
    let mailbox = mailboxes::get(db, access.owner, id)?;
    let mut entries = match mailbox.place {
        Place::Queue => desk::changed(&db, id, 0)?,
        _ => select(&db, "WHERE e.mailbox = ?1 ORDER BY e.uid", [id.0])?,
    };
    sharing::show(&db, access.viewer(), &mut entries)?;
    Ok(View { mailbox, entries, recent_from })
}

/// From which UID on nobody has seen mails as `\Recent`.
pub(super) fn recent_from(db: &Db<'_>, account: AccountId, id: MailboxId) -> Result<Option<Uid>> {
    if !sharing::access(db, account, id, Rights::READ)?.is_owner() {
        // `\Recent` is told to the owner's sessions alone.
        return Ok(None);
    }
    let (recent_from, recent) = db
        .one("SELECT recent_from, recent FROM mailbox WHERE id = ?1 AND account = ?2", (id.0, account.0), |row| {
            Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?))
        })?
        .ok_or(StoreError::NoSuch("mailbox"))?;
    Ok(if recent > 0 { Uid::new(recent_from) } else { None })
}

/// Claims `\Recent` for one session: from which UID on.
pub(super) fn claim_recent(tx: &mut Tx<'_>, account: AccountId, id: MailboxId) -> Result<Option<Uid>> {
    let from = recent_from(tx, account, id)?;
    tx.run("UPDATE mailbox SET recent_from = uid_next, recent = 0 WHERE id = ?1", [id.0])?;
    Ok(from)
}

/// What changed after `since`.
pub(super) fn changes(db: Db<'_>, account: AccountId, id: MailboxId, since: ModSeq) -> Result<Changes> {
    let access = sharing::access(&db, account, id, Rights::READ)?;
    let mailbox = mailboxes::get(db, access.owner, id)?;
    let floor: i64 =
        db.value("SELECT vanished_floor FROM mailbox WHERE id = ?1", [id.0])?.ok_or(StoreError::NoSuch("mailbox"))?;
    let since = i64::try_from(since.0).unwrap_or(i64::MAX);
    let mut changed = match mailbox.place {
        Place::Queue => desk::changed(&db, id, since)?,
        _ => select(&db, "WHERE e.mailbox = ?1 AND e.modseq > ?2 ORDER BY e.uid", (id.0, since))?,
    };
    sharing::show(&db, access.viewer(), &mut changed)?;
    let vanished = if since >= floor {
        db.all("SELECT uid FROM vanished WHERE mailbox = ?1 AND modseq > ?2 ORDER BY uid", (id.0, since), |row| {
            row.get::<_, u32>(0)
        })?
    } else {
        // Older removals were forgotten: every UID that is not there is gone (RFC 7162 §3.2.6 allows telling too much).
        let live = match mailbox.place {
            Place::Queue => desk::uids(&db, id)?,
            _ => db.all("SELECT uid FROM entry WHERE mailbox = ?1 ORDER BY uid", [id.0], |row| row.get::<_, u32>(0))?,
        };
        let mut live = live.into_iter().peekable();
        (1..mailbox.uid_next.get()).filter(|uid| live.next_if_eq(uid).is_none()).collect()
    };
    Ok(Changes {
        changed,
        vanished: vanished.into_iter().filter_map(Uid::new).collect(),
        uid_next: mailbox.uid_next,
        highest_modseq: mailbox.highest_modseq,
    })
}

/// Drops all but the newest `keep` rows of vanished UIDs; how many went.
pub(super) fn forget_vanished(db: &Db<'_>, id: MailboxId, keep: i64) -> Result<i64> {
    let floor: Option<i64> = db.value(
        "SELECT modseq FROM vanished WHERE mailbox = ?1 ORDER BY modseq DESC, uid DESC LIMIT 1 OFFSET ?2",
        (id.0, keep),
    )?;
    let Some(floor) = floor else { return Ok(0) };
    let gone = db.run("DELETE FROM vanished WHERE mailbox = ?1 AND modseq <= ?2", (id.0, floor))?;
    db.run("UPDATE mailbox SET vanished_floor = ?2 WHERE id = ?1", (id.0, floor))?;
    Ok(gone as i64)
}

/// An entry's row.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) mailbox: MailboxId,
    pub(super) uid: i64,
    pub(super) message: MessageId,
    pub(super) gate: Option<GateId>,
    pub(super) modseq: i64,
    pub(super) flags: Flags,
    pub(super) internal_date: UnixMs,
    pub(super) zone: i16,
    pub(super) size: i64,
    /// Sealed.
    pub(super) keywords: Option<Vec<u8>>,
}

const STORED: &str =
    "SELECT mailbox, uid, message, gate, modseq, flags, internal_date, size, keywords, zone FROM entry";

impl Stored {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            mailbox: MailboxId(row.get(0)?),
            uid: row.get(1)?,
            message: MessageId(row.get(2)?),
            gate: row.get::<_, Option<i64>>(3)?.map(GateId),
            modseq: row.get(4)?,
            flags: Flags(row.get(5)?),
            internal_date: row.get(6)?,
            size: row.get(7)?,
            keywords: row.get(8)?,
            zone: row.get(9)?,
        })
    }

    /// The mail it shows.
    pub(super) fn mail(&self) -> Mail {
        Mail { message: self.message, gate: self.gate }
    }
}

/// One entry.
pub(super) fn get(db: &Db<'_>, mailbox: MailboxId, uid: i64) -> Result<Option<Stored>> {
    db.one(&format!("{STORED} WHERE mailbox = ?1 AND uid = ?2"), (mailbox.0, uid), Stored::read)
}

/// Every copy of a gated mail, APPENDed ones too.
pub(super) fn of_gate(db: &Db<'_>, gate: GateId) -> Result<Vec<Stored>> {
    db.all(&format!("{STORED} WHERE gate = ?1 ORDER BY mailbox, uid"), [gate.0], Stored::read)
}

/// Every copy of a message.
pub(super) fn of_message(db: &Db<'_>, message: MessageId) -> Result<Vec<Stored>> {
    db.all(&format!("{STORED} WHERE message = ?1 ORDER BY mailbox, uid"), [message.0], Stored::read)
}

/// Adds `entry` to `to` under the next UID; its `mailbox`, `uid` and `modseq` are not looked at.
pub(super) fn insert(tx: &mut Tx<'_>, to: MailboxId, entry: &Stored, now: UnixMs) -> Result<i64> {
    let mailbox = tx.touch(to)?;
    let uid = mailbox.take_uid()?;
    mailbox.messages += 1;
    mailbox.unseen += i64::from(!entry.flags.contains(Flags::SEEN));
    mailbox.deleted += i64::from(entry.flags.contains(Flags::DELETED));
    mailbox.size += entry.size;
    let modseq = mailbox.modseq;
    tx.run(
        "INSERT INTO entry(mailbox, uid, message, gate, modseq, flags, internal_date, size, keywords, zone, saved_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        (
            to.0,
            uid,
            entry.message.0,
            entry.gate.map(|gate| gate.0),
            modseq,
            entry.flags.0,
            entry.internal_date,
            entry.size,
            &entry.keywords,
            entry.zone,
            now,
        ),
    )?;
    tx.stir(to, entry.message)?;
    Ok(uid)
}

/// Takes an entry out; its UID is remembered as vanished.
pub(super) fn remove(tx: &mut Tx<'_>, entry: &Stored) -> Result<()> {
    tx.run("DELETE FROM entry WHERE mailbox = ?1 AND uid = ?2", (entry.mailbox.0, entry.uid))?;
    let mailbox = tx.touch(entry.mailbox)?;
    mailbox.lost(entry.uid);
    mailbox.messages -= 1;
    mailbox.unseen -= i64::from(!entry.flags.contains(Flags::SEEN));
    mailbox.deleted -= i64::from(entry.flags.contains(Flags::DELETED));
    mailbox.size -= entry.size;
    let modseq = mailbox.modseq;
    tx.run("INSERT INTO vanished(mailbox, modseq, uid) VALUES (?1, ?2, ?3)", (entry.mailbox.0, modseq, entry.uid))?;
    tx.stir(entry.mailbox, entry.message)
}

/// Writes flags and keywords.
pub(super) fn set(tx: &mut Tx<'_>, entry: &Stored, flags: Flags, keywords: Option<&[u8]>) -> Result<()> {
    let mailbox = tx.touch(entry.mailbox)?;
    mailbox.mark();
    mailbox.unseen += i64::from(!flags.contains(Flags::SEEN)) - i64::from(!entry.flags.contains(Flags::SEEN));
    mailbox.deleted += i64::from(flags.contains(Flags::DELETED)) - i64::from(entry.flags.contains(Flags::DELETED));
    let modseq = mailbox.modseq;
    tx.run(
        "UPDATE entry SET flags = ?3, keywords = ?4, modseq = ?5 WHERE mailbox = ?1 AND uid = ?2",
        (entry.mailbox.0, entry.uid, flags.0, keywords, modseq),
    )?;
    tx.stir(entry.mailbox, entry.message)
}

/// Something shown of it changed that lies elsewhere: the gate's keywords.
pub(super) fn touch(tx: &mut Tx<'_>, mailbox: MailboxId, uid: i64) -> Result<()> {
    let touched = tx.touch(mailbox)?;
    touched.mark();
    let (modseq, shown) = (touched.modseq, touched.queue.is_some());
    tx.run("UPDATE entry SET modseq = ?3 WHERE mailbox = ?1 AND uid = ?2", (mailbox.0, uid, modseq))?;
    if shown && let Some(entry) = get(tx, mailbox, uid)? {
        tx.stir(mailbox, entry.message)?;
    }
    Ok(())
}

/// STORE.
pub(super) fn set_flags(tx: &mut Tx<'_>, account: AccountId, change: &FlagChange, now: UnixMs) -> Result<FlagsSet> {
    let access = sharing::access(tx, account, change.mailbox, Rights::READ)?;
    let mut wanted = keywords::split(&change.keywords)?;
    let change = &permitted(access, change, &mut wanted)?;
    let mut uids = change.uids.clone();
    uids.sort_unstable();
    uids.dedup();
    if tx.touch(change.mailbox)?.place == Place::Queue {
        return desk::set_flags(tx, access, change, &wanted, &uids, now);
    }
    // What others see of flags differs from the entry's, so that only the owner's go by the run.
    if access.is_owner()
        && let Some(entries) = system_flags::set(tx, access, change, &uids, now)?
    {
        return Ok(FlagsSet { entries, modified: Vec::new(), followed: Vec::new() });
    }
    // Judged beforehand: a decision about one mail touches its copies here as well.
    let modified = match change.unchanged_since {
        Some(since) => modified_since(tx, change.mailbox, &uids, since, now)?,
        None => Vec::new(),
    };
    let mut followed = Vec::new();
    for &uid in uids.iter().filter(|uid| modified.binary_search(uid).is_err()) {
        if set_flags_of(tx, access, change, &wanted, uid, now)? == Found::Followed {
            followed.push(uid);
        }
    }
    let mut entries = Vec::with_capacity(uids.len());
    for uid in uids {
        entries.extend(shown(tx, change.mailbox, uid.get(), uid.get())?);
    }
    sharing::show(tx, access.viewer(), &mut entries)?;
    Ok(FlagsSet { entries, modified, followed })
}

/// The entries from one UID to another, as a session sees them, in order.
pub(super) fn shown(db: &Db<'_>, mailbox: MailboxId, first: u32, last: u32) -> Result<Vec<Entry>> {
    select(db, "WHERE e.mailbox = ?1 AND e.uid BETWEEN ?2 AND ?3 ORDER BY e.uid", (mailbox.0, first, last))
}

/// What of a STORE this user may do. RFC 4314 §4: it fails only when that is nothing.
fn permitted(access: Access, change: &FlagChange, wanted: &mut keywords::Wanted) -> Result<FlagChange> {
    let mut change = change.clone();
    if access.is_owner() {
        return Ok(change);
    }
    let writes = access.rights.contains(Rights::WRITE);
    let may = access.flags();
    let some_flag = change.flags.0 & may.0 != 0;
    let some_keyword = !change.keywords.is_empty() && (writes || access.decides());
    let replaces = change.mode == FlagMode::Replace && may != Flags::NONE;
    if !some_flag && !some_keyword && !replaces {
        return Err(StoreError::Denied(if change.flags.contains(Flags::SEEN) {
            's'
        } else if change.flags.contains(Flags::DELETED) {
            't'
        } else {
            'w'
        }));
    }
    change.flags = Flags(change.flags.0 & may.0);
    if !writes {
        wanted.own.clear();
    }
    if !access.decides() {
        (wanted.accepted, wanted.declined) = (false, false);
    }
    Ok(change)
}

/// Which of `uids` fail UNCHANGEDSINCE (RFC 7162 §3.1.3); zero fails on every message, because every MODSEQ is larger.
fn modified_since(db: &Db<'_>, mailbox: MailboxId, uids: &[Uid], since: ModSeq, now: UnixMs) -> Result<Vec<Uid>> {
    let mut out = Vec::new();
    for &uid in uids {
        let modified = match get(db, mailbox, i64::from(uid.get()))? {
            Some(entry) => entry.modseq as u64 > since.0,
            None => tombstone(db, mailbox, uid, now)?.is_some(),
        };
        if modified {
            out.push(uid);
        }
    }
    Ok(out)
}

/// Where [`set_flags_of`] found a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Under its UID.
    There,
    /// Where the server moved it: it heard the decision.
    Followed,
    Gone,
}

pub(super) fn set_flags_of(
    tx: &mut Tx<'_>,
    access: Access,
    change: &FlagChange,
    wanted: &keywords::Wanted,
    uid: Uid,
    now: UnixMs,
) -> Result<Found> {
    let account = access.owner;
    let decides = change.mode != FlagMode::Remove;
    let Some(entry) = get(tx, change.mailbox, i64::from(uid.get()))? else {
        // An offline client decides about a mail that the server has moved since.
        if decides
            && (wanted.accepted || wanted.declined)
            && let Some(gate) = tombstone(tx, change.mailbox, uid, now)?
        {
            mark(tx, account, gates::load(tx, gate)?.mail(), wanted, now)?;
            return Ok(Found::Followed);
        }
        return Ok(Found::Gone);
    };
    let before = match access.viewer() {
        Some(viewer) => sharing::flags_for(entry.flags, sharing::has_seen(tx, viewer, entry.message)?),
        None => entry.flags,
    };
    let after = match change.mode {
        FlagMode::Add => before.with(change.flags),
        FlagMode::Remove => before.without(change.flags),
        FlagMode::Replace => before.without(access.flags()).with(change.flags),
    };
    let newly_seen = after.contains(Flags::SEEN) && !before.contains(Flags::SEEN);
    let flags = match access.viewer() {
        Some(viewer) => {
            if after.contains(Flags::SEEN) != before.contains(Flags::SEEN) {
                sharing::set_seen(tx, viewer, entry.message, after.contains(Flags::SEEN))?;
            }
            sharing::flags_for(after, entry.flags.contains(Flags::SEEN))
        }
        None => after,
    };
    let had = entry.keywords.as_deref().map_or_else(|| Ok(Vec::new()), |sealed| keywords::open(tx, sealed))?;
    let keeps = !access.rights.contains(Rights::WRITE);
    let has = if keeps { had.clone() } else { keywords::combine(&had, &wanted.own, change.mode)? };
    if flags != entry.flags || has != had {
        let sealed = if has == had { entry.keywords.clone() } else { keywords::seal(tx, &has) };
        set(tx, &entry, flags, sealed.as_deref())?;
    }
    if decides {
        mark(tx, account, entry.mail(), wanted, now)?;
    }
    if newly_seen && entry.gate.is_some() && access.decides() {
        verdicts::act(tx, account, entry.mail(), Act::Read, now)?;
    }
    Ok(Found::There)
}

fn mark(tx: &mut Tx<'_>, account: AccountId, mail: Mail, wanted: &keywords::Wanted, now: UnixMs) -> Result<()> {
    if mail.gate.is_some() && wanted.accepted {
        verdicts::act(tx, account, mail, Act::MarkedAccepted, now)?;
    }
    if mail.gate.is_some() && wanted.declined {
        verdicts::act(tx, account, mail, Act::MarkedDeclined, now)?;
    }
    Ok(())
}

/// Which mail lay under this UID before the server moved it.
fn tombstone(db: &Db<'_>, mailbox: MailboxId, uid: Uid, now: UnixMs) -> Result<Option<GateId>> {
    let gate = db.value(
        "SELECT gate FROM tombstone WHERE mailbox = ?1 AND uid = ?2 AND until > ?3",
        (mailbox.0, uid.get(), now),
    )?;
    Ok(gate.map(GateId))
}

/// What [`transfer`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transfer {
    /// COPY of what is still there.
    Copy,
    /// COPY of all of it or nothing.
    CopyAll,
    /// MOVE of what is still there.
    Move,
}

/// COPY and MOVE.
pub(super) fn transfer(
    tx: &mut Tx<'_>,
    account: AccountId,
    from: MailboxId,
    uids: &[Uid],
    to: MailboxId,
    how: Transfer,
    now: UnixMs,
) -> Result<Copied> {
    let take = how == Transfer::Move;
    let source = sharing::access(tx, account, from, if take { TAKES } else { Rights::READ })?;
    let into = sharing::access(tx, account, to, Rights::INSERT)?;
    if source.owner != into.owner {
        return Err(StoreError::Cannot("messages are sealed to their owner: this account's cannot lie in another's"));
    }
    desk::refuse(tx, to)?;
    let named_place = tx.touch(from)?.place;
    let target = tx.touch(to)?;
    let (to_place, uid_validity) = (target.place, target.uid_validity);
    if !take {
        // What is moved takes no more room than before.
        let growth = size_of(tx, source, from, uids)?;
        quotas::check(tx, into.owner, growth)?;
    }
    let mut copied = Copied { uid_validity, pairs: Vec::new(), vanished: Vec::new() };
    for &uid in uids {
        let (entry, followed) = match named(tx, source, from, uid)? {
            Some(entry) => (entry, false),
            None => {
                let lies = match tombstone(tx, from, uid, now)? {
                    Some(gate) if source.decides() => where_it_lies(tx, gate)?,
                    _ => None,
                };
                match lies {
                    Some(entry) => (entry, true),
                    // What was copied before it goes with the transaction.
                    None if how == Transfer::CopyAll => return Err(StoreError::NoSuch("message")),
                    None => continue,
                }
            }
        };
        // What the Queue shows is moved from where it is.
        let by_queue = named_place == Place::Queue;
        let from_place = if by_queue { tx.touch(entry.mailbox)?.place } else { named_place };
        let followed = followed || by_queue && !desk::shows(tx, from, uid)?;
        if by_queue && entry.mailbox == to {
            copied.pairs.push((uid, uid_of(entry.uid as u32)?));
            continue;
        }
        if followed && entry.mailbox == to {
            // The server put it already where the user wants it; what the user meant by it still counts.
            copied.pairs.push((uid, uid_of(entry.uid as u32)?));
        } else {
            let new = insert(tx, to, &allowed(into, &entry), now)?;
            copied.pairs.push((uid, uid_of(new as u32)?));
            if take {
                remove(tx, &entry)?;
            }
            if take && !followed {
                copied.vanished.push(uid);
            }
        }
        if from != to && source.decides() {
            verdicts::act(tx, source.owner, entry.mail(), Act::Moved { from: from_place, to: to_place }, now)?;
        }
    }
    if named_place == Place::Queue {
        // From Requests to INBOX a mail stays open.
        desk::settle(tx)?;
        let mut vanished = std::mem::take(&mut copied.vanished);
        for uid in vanished.drain(..) {
            if !desk::shows(tx, from, uid)? {
                copied.vanished.push(uid);
            }
        }
    }
    Ok(copied)
}

/// What a UID names: the entry there, or the one that a Queue shows.
fn named(tx: &mut Tx<'_>, access: Access, mailbox: MailboxId, uid: Uid) -> Result<Option<Stored>> {
    match tx.touch(mailbox)?.place {
        Place::Queue => desk::entry_of(tx, access, mailbox, uid),
        _ => get(tx, mailbox, i64::from(uid.get())),
    }
}

/// Octets of what these UIDs name.
fn size_of(tx: &mut Tx<'_>, access: Access, mailbox: MailboxId, uids: &[Uid]) -> Result<i64> {
    let mut sum = 0;
    for &uid in uids {
        sum += named(tx, access, mailbox, uid)?.map_or(0, |entry| entry.size);
    }
    Ok(sum)
}

/// RFC 6851 §4.2: the rights of STORE, COPY and EXPUNGE together.
const TAKES: Rights = Rights::READ.with(Rights::DELETE_MESSAGES).with(Rights::EXPUNGE);

/// RFC 4314 §4: flags are copied as far as the user may set them where the copy goes.
fn allowed(into: Access, entry: &Stored) -> Stored {
    let mut entry = entry.clone();
    if into.is_owner() {
        return entry;
    }
    if !into.rights.contains(Rights::WRITE) {
        entry.keywords = None;
    }
    // `\Seen` of an entry is its owner's, who did not see it less for this copy.
    entry.flags = Flags(entry.flags.0 & into.flags().with(Flags::SEEN).0);
    entry
}

/// What COPY or MOVE into another account's mailbox, where the mails are by now, means here: money is decided about,
/// and with `take` the entries go.
pub(super) fn carried_off(
    tx: &mut Tx<'_>,
    account: AccountId,
    from: MailboxId,
    uids: &[Uid],
    to: Place,
    take: bool,
    now: UnixMs,
) -> Result<Vec<Uid>> {
    let source = sharing::access(tx, account, from, if take { TAKES } else { Rights::READ })?;
    let mut gone = Vec::new();
    for &uid in uids {
        let Some(entry) = named(tx, source, from, uid)? else { continue };
        let from_place = tx.touch(entry.mailbox)?.place;
        if source.decides() {
            verdicts::act(tx, source.owner, entry.mail(), Act::Moved { from: from_place, to }, now)?;
        }
        if take {
            // Judging it may have moved it already.
            if get(tx, entry.mailbox, entry.uid)?.is_some() {
                remove(tx, &entry)?;
                verdicts::entry_gone(tx, entry.mail(), now)?;
            }
            gone.push(uid);
        }
    }
    Ok(gone)
}

/// The entry of a gated mail that stands for it: where the server puts mails first, then anywhere.
pub(super) fn where_it_lies(tx: &mut Tx<'_>, gate: GateId) -> Result<Option<Stored>> {
    use Place::{Archive, Drafts, Inbox, Junk, Own, Queue, Requests, Sent, Trash, Unpaid};
    let mut best: Option<(u8, Stored)> = None;
    for entry in of_gate(tx, gate)? {
        let rank = match tx.touch(entry.mailbox)?.place {
            Requests => 0,
            Unpaid => 1,
            Inbox => 2,
            Archive | Own | Sent | Drafts => 3,
            Junk | Trash => 4,
            // No entry lies there.
            Queue => 5,
        };
        if best.as_ref().is_none_or(|(least, _)| rank < *least) {
            best = Some((rank, entry));
        }
    }
    Ok(best.map(|(_, entry)| entry))
}

/// EXPUNGE: entries marked `\Deleted`, or those of `uids` that are.
pub(super) fn expunge(
    tx: &mut Tx<'_>,
    account: AccountId,
    id: MailboxId,
    uids: Option<&[Uid]>,
    now: UnixMs,
) -> Result<Vec<Uid>> {
    let access = sharing::access(tx, account, id, Rights::EXPUNGE)?;
    if tx.touch(id)?.place == Place::Queue {
        return desk::expunge(tx, access, id, uids, now);
    }
    let mut marked = tx.all("SELECT uid FROM entry WHERE mailbox = ?1 AND flags & 8 ORDER BY uid", [id.0], |row| {
        row.get::<_, i64>(0)
    })?;
    if let Some(uids) = uids {
        let named: std::collections::HashSet<i64> = uids.iter().map(|uid| i64::from(uid.get())).collect();
        marked.retain(|uid| named.contains(uid));
    }
    if !access.decides() {
        // Taking a mail away for good would decide about its money.
        let mut kept = Vec::with_capacity(marked.len());
        for uid in marked {
            if !awaits_decision(tx, id, uid)? {
                kept.push(uid);
            }
        }
        marked = kept;
    }
    expunge_uids(tx, access, id, &marked, now)?;
    marked.into_iter().map(|uid| uid_of(uid as u32)).collect()
}

/// Whether money may still go either way for this mail.
pub(super) fn awaits_decision(db: &Db<'_>, id: MailboxId, uid: i64) -> Result<bool> {
    let Some(gate) = get(db, id, uid)?.and_then(|entry| entry.gate) else { return Ok(false) };
    Ok(matches!(gates::load(db, gate)?.state, GateState::Waiting | GateState::Held))
}

/// Removes entries for good, with what that says to their gates.
pub(super) fn expunge_uids(tx: &mut Tx<'_>, access: Access, id: MailboxId, uids: &[i64], now: UnixMs) -> Result<()> {
    let mailbox = tx.touch(id)?;
    let (account, place) = (mailbox.account, mailbox.place);
    for &uid in uids {
        let Some(entry) = get(tx, id, uid)? else { continue };
        remove(tx, &entry)?;
        let seen = match access.viewer() {
            Some(viewer) => sharing::has_seen(tx, viewer, entry.message)?,
            None => false,
        };
        let seen = seen || entry.flags.contains(Flags::SEEN);
        verdicts::act(tx, account, entry.mail(), Act::Expunged { from: place, seen }, now)?;
        verdicts::entry_gone(tx, entry.mail(), now)?;
    }
    Ok(())
}
