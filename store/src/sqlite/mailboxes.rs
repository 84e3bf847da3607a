//! Mailboxes: names, counters, subscriptions.

use lnmp::Place;
use rusqlite::Row;

use super::db::{Db, unknown};
use super::vault::{Hash, Of};
use super::writer::Tx;
use super::{desk, entries, messages, sharing};
use crate::limits::{MAILBOX_NAME_BYTES_MAX, MAILBOXES_MAX, VANISHED_MAX};
use crate::{
    AccountId, Change, Mailbox, MailboxId, MailboxStatus, ModSeq, Result, Rights, SpecialUse, StoreError, Uid,
    UidValidity, UnixMs,
};

/// Between the levels of a name.
const SEPARATOR: char = '/';

/// A mailbox's row while one write works on it.
pub(super) struct Touched {
    pub(super) account: AccountId,
    pub(super) place: Place,
    pub(super) uid_validity: UidValidity,
    /// What entries changed by this write bear.
    pub(super) modseq: i64,
    /// The Queue that shows what is open here.
    pub(super) queue: Option<MailboxId>,
    uid_next: i64,
    recent_from: i64,
    pub(super) messages: i64,
    pub(super) recent: i64,
    pub(super) unseen: i64,
    pub(super) deleted: i64,
    pub(super) size: i64,
    vanished: i64,
    changed: bool,
}

impl Touched {
    /// Takes the next UID, for an entry that nobody has seen as `\Recent`.
    pub(super) fn take_uid(&mut self) -> Result<i64> {
        let uid = self.next_uid()?;
        self.recent += 1;
        Ok(uid)
    }

    /// Takes the next UID.
    pub(super) fn next_uid(&mut self) -> Result<i64> {
        let uid = self.uid_next;
        if uid > i64::from(u32::MAX) {
            return Err(StoreError::Limit("UIDs of this mailbox are spent"));
        }
        self.uid_next += 1;
        self.mark();
        Ok(uid)
    }

    /// Something of it changed: its MODSEQ will be one higher.
    pub(super) fn mark(&mut self) {
        self.changed = true;
    }

    /// An entry went.
    pub(super) fn lost(&mut self, uid: i64) {
        if uid >= self.recent_from {
            self.recent -= 1;
        }
        self.went();
    }

    /// A UID went.
    pub(super) fn went(&mut self) {
        self.vanished += 1;
        self.mark();
    }

    pub(super) fn write_back(mut self, db: &Db<'_>, id: MailboxId) -> Result<Option<Change>> {
        if !self.changed {
            return Ok(None);
        }
        let max = VANISHED_MAX as i64;
        if self.vanished > max + max / 10 {
            self.vanished -= entries::forget_vanished(db, id, max)?;
        }
        db.run(
            "UPDATE mailbox SET modseq = ?2, uid_next = ?3, messages = ?4, recent = ?5, unseen = ?6, deleted = ?7,
             size = ?8, vanished = ?9 WHERE id = ?1",
            (
                id.0,
                self.modseq,
                self.uid_next,
                self.messages,
                self.recent,
                self.unseen,
                self.deleted,
                self.size,
                self.vanished,
            ),
        )?;
        Ok(Some(Change {
            account: self.account,
            mailbox: Some(id),
            modseq: ModSeq(self.modseq as u64),
            annotations: None,
        }))
    }
}

impl Tx<'_> {
    /// The mailbox, to be changed; written back when this write ends.
    pub(super) fn touch(&mut self, id: MailboxId) -> Result<&mut Touched> {
        if !self.touched.contains_key(&id) {
            let touched = self
                .one(
                    "SELECT account, place, uid_validity, modseq, uid_next, recent_from, messages, recent, unseen, deleted,
                     size, vanished, CASE WHEN place IN (1, 2) THEN (SELECT q.id FROM mailbox q
                     WHERE q.account = mailbox.account AND q.place = 9) END FROM mailbox WHERE id = ?1",
                    [id.0],
                    |row| {
                        Ok((
                            row.get::<_, u8>(1)?,
                            row.get::<_, u32>(2)?,
                            Touched {
                                account: AccountId(row.get(0)?),
                                place: Place::Own,
                                uid_validity: UidValidity(std::num::NonZeroU32::MIN),
                                modseq: row.get::<_, i64>(3)? + 1,
                                uid_next: row.get(4)?,
                                recent_from: row.get(5)?,
                                messages: row.get(6)?,
                                recent: row.get(7)?,
                                unseen: row.get(8)?,
                                deleted: row.get(9)?,
                                size: row.get(10)?,
                                vanished: row.get(11)?,
                                queue: row.get::<_, Option<i64>>(12)?.map(MailboxId),
                                changed: false,
                            },
                        ))
                    },
                )?
                .ok_or(StoreError::NoSuch("mailbox"))?;
            let (place, validity, touched) = touched;
            let touched = Touched { place: place_of(place)?, uid_validity: validity_of(validity)?, ..touched };
            self.touched.insert(id, touched);
        }
        self.touched.get_mut(&id).ok_or(StoreError::NoSuch("mailbox"))
    }

    /// As [`Tx::touch`], for a mailbox a client named: it must be this account's.
    pub(super) fn touch_own(&mut self, account: AccountId, id: MailboxId) -> Result<&mut Touched> {
        let touched = self.touch(id)?;
        if touched.account == account { Ok(touched) } else { Err(StoreError::NoSuch("mailbox")) }
    }
}

const COLUMNS: &str = "m.id, m.place, m.uid_validity, m.uid_next, m.modseq, m.name, m.special_use, \
     EXISTS(SELECT 1 FROM subscription s WHERE s.account = m.account AND s.name_hash = m.name_hash)";

struct Raw {
    id: i64,
    place: u8,
    uid_validity: u32,
    uid_next: u32,
    modseq: i64,
    name: Vec<u8>,
    special_use: u8,
    subscribed: bool,
}

impl Raw {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            place: row.get(1)?,
            uid_validity: row.get(2)?,
            uid_next: row.get::<_, i64>(3)?.min(i64::from(u32::MAX)) as u32,
            modseq: row.get(4)?,
            name: row.get(5)?,
            special_use: row.get(6)?,
            subscribed: row.get(7)?,
        })
    }

    fn open(self, db: &Db<'_>) -> Result<Mailbox> {
        Ok(Mailbox {
            id: MailboxId(self.id),
            name: db.vault.open_text(Of::Mailbox, &self.name)?,
            place: place_of(self.place)?,
            uid_validity: validity_of(self.uid_validity)?,
            uid_next: uid_of(self.uid_next)?,
            highest_modseq: ModSeq(self.modseq as u64),
            subscribed: self.subscribed,
            special_use: SpecialUse(self.special_use),
        })
    }
}

pub(super) fn place_of(code: u8) -> Result<Place> {
    Place::from_code(code).ok_or_else(|| unknown("place"))
}

fn validity_of(value: u32) -> Result<UidValidity> {
    std::num::NonZeroU32::new(value).map(UidValidity).ok_or_else(|| unknown("UIDVALIDITY"))
}

pub(super) fn uid_of(value: u32) -> Result<Uid> {
    Uid::new(value).ok_or_else(|| unknown("UID"))
}

/// All, INBOX first, then by name.
pub(super) fn list(db: Db<'_>, account: AccountId) -> Result<Vec<Mailbox>> {
    let raw = db.all(&format!("SELECT {COLUMNS} FROM mailbox m WHERE m.account = ?1"), [account.0], Raw::read)?;
    let mut all = raw.into_iter().map(|raw| raw.open(&db)).collect::<Result<Vec<_>>>()?;
    all.sort_by(|a, b| (a.place != Place::Inbox, &a.name).cmp(&(b.place != Place::Inbox, &b.name)));
    Ok(all)
}

/// One of the account's.
pub(super) fn get(db: Db<'_>, account: AccountId, id: MailboxId) -> Result<Mailbox> {
    db.one(
        &format!("SELECT {COLUMNS} FROM mailbox m WHERE m.id = ?1 AND m.account = ?2"),
        (id.0, account.0),
        Raw::read,
    )?
    .ok_or(StoreError::NoSuch("mailbox"))?
    .open(&db)
}

/// The mailbox of this name that the owner made: the server's own folders are not filed into by name.
pub(super) fn own_named(db: &Db<'_>, account: AccountId, name: &str) -> Result<Option<MailboxId>> {
    let hash = name_hash(db, account, name)?;
    let id = db.value(
        "SELECT id FROM mailbox WHERE account = ?1 AND name_hash = ?2 AND place = ?3",
        (account.0, hash, Place::Own.code()),
    )?;
    Ok(id.map(MailboxId))
}

/// The folder an account was born with.
pub(super) fn born(db: &Db<'_>, account: AccountId, place: Place) -> Result<MailboxId> {
    db.value("SELECT id FROM mailbox WHERE account = ?1 AND place = ?2", (account.0, place.code()))?
        .map(MailboxId)
        .ok_or(StoreError::NoSuch("account"))
}

/// Counts, one for each asked mailbox that exists, in order.
pub(super) fn status(db: Db<'_>, account: AccountId, ids: &[MailboxId]) -> Result<Vec<MailboxStatus>> {
    let mut out = Vec::with_capacity(ids.len());
    for &id in ids {
        // What may not be read is left out, as what is not there.
        let Ok(access) = sharing::access(&db, account, id, Rights::READ) else { continue };
        let found = db.one(
            "SELECT messages, recent, unseen, deleted, size, uid_next, uid_validity, modseq, place
             FROM mailbox WHERE id = ?1",
            [id.0],
            |row| {
                Ok((
                    [row.get::<_, u32>(0)?, row.get(1)?, row.get(2)?, row.get(3)?],
                    row.get::<_, i64>(4)?,
                    row.get::<_, i64>(5)?.min(i64::from(u32::MAX)) as u32,
                    row.get::<_, u32>(6)?,
                    row.get::<_, i64>(7)?,
                    row.get::<_, u8>(8)?,
                ))
            },
        )?;
        let Some((counted, size, uid_next, validity, modseq, place)) = found else { continue };
        let [messages, recent, unseen, deleted] = counted;
        if place == Place::Queue.code() {
            let counts = desk::counts(&db, id, access.viewer())?;
            out.push(MailboxStatus {
                id,
                messages: counts.messages,
                recent: 0,
                unseen: counts.unseen,
                deleted: counts.deleted,
                size: counts.size.max(0).cast_unsigned(),
                deleted_size: counts.deleted_size.max(0).cast_unsigned(),
                uid_next: uid_of(uid_next)?,
                uid_validity: validity_of(validity)?,
                highest_modseq: ModSeq(modseq as u64),
            });
            continue;
        }
        let deleted_size = if deleted == 0 { 0 } else { deleted_size(&db, id)? };
        let (recent, unseen) = match access.viewer() {
            Some(viewer) => (0, sharing::unseen(&db, viewer, id, messages)?),
            None => (recent, unseen),
        };
        out.push(MailboxStatus {
            id,
            messages,
            recent,
            unseen,
            deleted,
            size: size as u64,
            deleted_size,
            uid_next: uid_of(uid_next)?,
            uid_validity: validity_of(validity)?,
            highest_modseq: ModSeq(modseq as u64),
        });
    }
    Ok(out)
}

fn deleted_size(db: &Db<'_>, id: MailboxId) -> Result<u64> {
    let sum: Option<i64> = db.value("SELECT SUM(size) FROM entry WHERE mailbox = ?1 AND flags & 8", [id.0])?;
    Ok(sum.unwrap_or_default().max(0).cast_unsigned())
}

/// Makes a mailbox with a UIDVALIDITY that no other mailbox of the account ever had.
pub(super) fn create(
    tx: &mut Tx<'_>,
    account: AccountId,
    name: &str,
    place: Place,
    special_use: SpecialUse,
    now: UnixMs,
) -> Result<MailboxId> {
    let name_hash = name_hash(tx, account, name)?;
    if tx.exists("SELECT 1 FROM mailbox WHERE account = ?1 AND name_hash = ?2", (account.0, name_hash))? {
        return Err(StoreError::Exists("mailbox"));
    }
    let count: usize =
        tx.value("SELECT COUNT(*) FROM mailbox WHERE account = ?1", [account.0])?.ok_or_else(|| unknown("count"))?;
    if count >= MAILBOXES_MAX {
        return Err(StoreError::Limit("mailboxes of this account"));
    }
    // Seconds of the clock, so that an account made anew under the same address starts above the old one.
    let validity: i64 = tx
        .value(
            "UPDATE account SET uid_validity_next = MAX(uid_validity_next, ?2) + 1 WHERE id = ?1
             RETURNING uid_validity_next - 1",
            (account.0, (now / 1000).clamp(1, i64::from(u32::MAX) / 2)),
        )?
        .ok_or(StoreError::NoSuch("account"))?;
    let id = tx.insert(
        "INSERT INTO mailbox(account, place, uid_validity, name_hash, name, special_use) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (account.0, place.code(), validity, name_hash, tx.vault.seal(Of::Mailbox, name.as_bytes()), special_use.0),
    )?;
    let id = MailboxId(id);
    if let Some((above, _)) = name.rsplit_once(SEPARATOR)
        && let Some(parent) = named(tx, account, above)?
    {
        sharing::inherit(tx, parent, id)?;
    }
    tx.announce_list(account);
    Ok(id)
}

fn named(db: &Db<'_>, account: AccountId, name: &str) -> Result<Option<MailboxId>> {
    let hash = name_hash(db, account, name)?;
    Ok(db.value("SELECT id FROM mailbox WHERE account = ?1 AND name_hash = ?2", (account.0, hash))?.map(MailboxId))
}

/// As [`create`], with what is missing above, by a user with the right `k`.
pub(super) fn create_shared(
    tx: &mut Tx<'_>,
    by: AccountId,
    owner: AccountId,
    name: &str,
    now: UnixMs,
) -> Result<MailboxId> {
    may_create(tx, by, owner, name)?;
    for (at, _) in name.match_indices(SEPARATOR) {
        if named(tx, owner, &name[..at])?.is_none() {
            create(tx, owner, &name[..at], Place::Own, SpecialUse::NONE, now)?;
        }
    }
    create(tx, owner, name, Place::Own, SpecialUse::NONE, now)
}

/// RFC 4314 §4: `k` on the nearest mailbox that there is above, whether it is shared with this user or not.
fn may_create(db: &Db<'_>, by: AccountId, owner: AccountId, name: &str) -> Result<()> {
    for (at, _) in name.rmatch_indices(SEPARATOR) {
        let Some(above) = named(db, owner, &name[..at])? else { continue };
        return match sharing::access(db, by, above, Rights::CREATE) {
            Ok(_) => Ok(()),
            Err(StoreError::NoSuch(_)) => Err(StoreError::Denied('k')),
            Err(error) => Err(error),
        };
    }
    Err(StoreError::Denied('k'))
}

/// Deletes one of the user's own. Its entries are expunged, with all that means.
pub(super) fn delete(tx: &mut Tx<'_>, account: AccountId, id: MailboxId, now: UnixMs) -> Result<Vec<String>> {
    let access = sharing::access(tx, account, id, Rights::DELETE_MAILBOX)?;
    if tx.touch(id)?.place != Place::Own {
        return Err(StoreError::Cannot("this mailbox cannot be deleted"));
    }
    let uids = tx.all("SELECT uid FROM entry WHERE mailbox = ?1", [id.0], |row| row.get::<_, i64>(0))?;
    if !access.decides() {
        for &uid in &uids {
            if entries::awaits_decision(tx, id, uid)? {
                return Err(StoreError::Denied('t'));
            }
        }
    }
    entries::expunge_uids(tx, access, id, &uids, now)?;
    let freed = messages::unpin(tx)?;
    remove(tx, access.owner, id)?;
    Ok(freed)
}

/// Removes a mailbox in which no entry is left.
pub(super) fn remove(tx: &mut Tx<'_>, owner: AccountId, id: MailboxId) -> Result<()> {
    tx.touched.remove(&id);
    tx.run("DELETE FROM vanished WHERE mailbox = ?1", [id.0])?;
    tx.run("DELETE FROM tombstone WHERE mailbox = ?1", [id.0])?;
    // Those of its users too.
    tx.run("DELETE FROM annotation WHERE mailbox = ?1", [id.0])?;
    // RFC 4314 §4: its ACL goes with it.
    tx.run("DELETE FROM mailbox WHERE id = ?1", [id.0])?;
    sharing::drop_idle_keys(tx, owner)?;
    tx.announce_list(owner);
    Ok(())
}

/// What one of the user's own is for.
pub(super) fn set_special_use(
    tx: &mut Tx<'_>,
    account: AccountId,
    id: MailboxId,
    special_use: SpecialUse,
) -> Result<()> {
    if tx.touch_own(account, id)?.place != Place::Own {
        return Err(StoreError::Cannot("what this mailbox is for cannot be changed"));
    }
    tx.run("UPDATE mailbox SET special_use = ?2 WHERE id = ?1", (id.0, special_use.0))?;
    tx.announce_list(account);
    // RFC 6154 §4: it can be read as this annotation.
    tx.announce_annotations(account, Some(id), vec!["/private/specialuse".into()]);
    Ok(())
}

/// New names for a mailbox and all below it; subscriptions go with them.
pub(super) fn rename(tx: &mut Tx<'_>, account: AccountId, from: &str, to: &str, now: UnixMs) -> Result<()> {
    let below = |above: &str, name: &str| name.strip_prefix(above).is_some_and(|rest| rest.starts_with(SEPARATOR));
    if from == to || below(from, to) {
        return Err(StoreError::Cannot("a mailbox cannot move below itself"));
    }
    let all = list(**tx, account)?;
    let (moving, staying): (Vec<Mailbox>, Vec<Mailbox>) =
        all.into_iter().partition(|mailbox| mailbox.name == from || below(from, &mailbox.name));
    if moving.is_empty() {
        return Err(StoreError::NoSuch("mailbox"));
    }
    if moving
        .iter()
        .any(|mailbox| matches!(mailbox.place, Place::Inbox | Place::Requests | Place::Unpaid | Place::Queue))
    {
        return Err(StoreError::Cannot("this mailbox cannot be renamed"));
    }
    if staying.iter().any(|mailbox| mailbox.name == to || below(to, &mailbox.name)) {
        return Err(StoreError::Exists("mailbox"));
    }
    // RFC 3501 §6.3.5: superior names that are needed are created too.
    for (at, _) in to.match_indices(SEPARATOR) {
        let above = &to[..at];
        if !staying.iter().any(|mailbox| mailbox.name == above) && !moving.iter().any(|mailbox| mailbox.name == above) {
            create(tx, account, above, Place::Own, SpecialUse::NONE, now)?;
        }
    }
    for mailbox in moving {
        rename_one(tx, account, &mailbox, &format!("{to}{}", &mailbox.name[from.len()..]))?;
    }
    tx.announce_list(account);
    Ok(())
}

/// As [`rename`], by a user with the rights `x` in the mailbox and `k` above its new name (RFC 4314 §4).
pub(super) fn rename_shared(
    tx: &mut Tx<'_>,
    by: AccountId,
    owner: AccountId,
    from: &str,
    to: &str,
    now: UnixMs,
) -> Result<()> {
    let mailbox = named(tx, owner, from)?.ok_or(StoreError::NoSuch("mailbox"))?;
    sharing::access(tx, by, mailbox, Rights::DELETE_MAILBOX)?;
    may_create(tx, by, owner, to)?;
    rename(tx, owner, from, to, now)
}

fn rename_one(tx: &Tx<'_>, account: AccountId, mailbox: &Mailbox, name: &str) -> Result<()> {
    tx.run(
        "UPDATE mailbox SET name_hash = ?2, name = ?3 WHERE id = ?1",
        (mailbox.id.0, name_hash(tx, account, name)?, tx.vault.seal(Of::Mailbox, name.as_bytes())),
    )?;
    if mailbox.subscribed {
        note_subscription(tx, account, &mailbox.name, false)?;
        note_subscription(tx, account, name, true)?;
    }
    Ok(())
}

/// Sets or clears a subscription by name.
pub(super) fn subscribe(tx: &mut Tx<'_>, account: AccountId, name: &str, subscribed: bool) -> Result<()> {
    if note_subscription(tx, account, name, subscribed)? {
        tx.announce_list(account);
    }
    Ok(())
}

/// Whether that was news.
fn note_subscription(tx: &Tx<'_>, account: AccountId, name: &str, subscribed: bool) -> Result<bool> {
    let name_hash = name_hash(tx, account, name)?;
    if subscribed {
        let count: usize = tx
            .value("SELECT COUNT(*) FROM subscription WHERE account = ?1", [account.0])?
            .ok_or_else(|| unknown("count"))?;
        if count >= MAILBOXES_MAX {
            return Err(StoreError::Limit("subscriptions of this account"));
        }
        let noted = tx.run(
            "INSERT OR IGNORE INTO subscription(account, name_hash, name) VALUES (?1, ?2, ?3)",
            (account.0, name_hash, tx.vault.seal(Of::Mailbox, name.as_bytes())),
        )?;
        return Ok(noted > 0);
    }
    let noted = tx.run("DELETE FROM subscription WHERE account = ?1 AND name_hash = ?2", (account.0, name_hash))?;
    Ok(noted > 0)
}

/// Subscribed names, sorted.
pub(super) fn subscriptions(db: Db<'_>, account: AccountId) -> Result<Vec<String>> {
    let sealed =
        db.all("SELECT name FROM subscription WHERE account = ?1", [account.0], |row| row.get::<_, Vec<u8>>(0))?;
    let mut names = sealed.iter().map(|name| db.vault.open_text(Of::Mailbox, name)).collect::<Result<Vec<String>>>()?;
    names.sort();
    Ok(names)
}

fn name_hash(db: &Db<'_>, account: AccountId, name: &str) -> Result<Hash> {
    if name.is_empty() || name.len() > MAILBOX_NAME_BYTES_MAX {
        return Err(StoreError::Limit("a mailbox name has 1 to 1024 octets"));
    }
    Ok(db.vault.hash(Of::Mailbox, &[&account.0.to_be_bytes(), name.as_bytes()]))
}
