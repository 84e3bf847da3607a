//! Outgoing mail, and the sandbox's catch-all.

use std::ops::Range;

use rusqlite::blob::ZeroBlob;
use rusqlite::{DatabaseName, Row, ToSql};
use serde::{Deserialize, Serialize};

use super::db::Db;
use super::messages;
use super::vault::{HEAD_BYTES, Of, SEALED_EXTRA, Vault};
use super::writer::Tx;
use crate::limits::{CAUGHT_MAX, OUTGOING_PIECE_BYTES};
use crate::{
    AccountId, Batch, CaughtMail, LargeOutgoing, MailWishes, NewOutgoing, QueueId, QueueItem, QueueOutcome, QueueState,
    RecipientWishes, Result, StoreError, UnixMs,
};

/// Encrypts the bodies of a batch before it waits for the writer.
pub(super) fn seal_bodies(vault: &Vault, batch: &Batch) -> Vec<Vec<u8>> {
    batch.outgoing.iter().map(|outgoing| vault.seal(Of::Body, &outgoing.message)).collect()
}

/// Queues a mail, its body once, each recipient apart.
pub(super) fn enqueue(tx: &Tx<'_>, new: &NewOutgoing, body: &[u8], now: UnixMs) -> Result<()> {
    insert(tx, new, new.message.len() as u64, body, now).map(|_| ())
}

/// The same for a mail that is not in memory: room for the body is made, and filled piece by piece.
pub(super) fn enqueue_large(tx: &Tx<'_>, new: &LargeOutgoing, now: UnixMs) -> Result<()> {
    let LargeOutgoing { mail: new, rest } = new;
    let size = new.message.len() as u64 + rest.size();
    let pieces = Pieces { size };
    let room = i32::try_from(pieces.sealed_size()).map_err(|_| StoreError::Limit("the size of a queued mail"))?;
    let mail = insert(tx, new, size, ZeroBlob(room), now)?;
    let mut body = tx.conn.blob_open(DatabaseName::Main, "outgoing", "body", mail, false)?;
    let mut sealed = Vec::with_capacity(OUTGOING_PIECE_BYTES + SEALED_EXTRA);
    for index in 0..pieces.count() {
        let range = pieces.range(index);
        sealed.clear();
        sealed.resize(HEAD_BYTES + (range.end - range.start) as usize, 0);
        let octets = &mut sealed[HEAD_BYTES..];
        // What of the piece is in memory, and what is read behind it.
        let top = &new.message[new.message.len().min(range.start as usize)..new.message.len().min(range.end as usize)];
        let (first, below) = octets.split_at_mut(top.len());
        first.copy_from_slice(top);
        let at = (range.start + top.len() as u64).saturating_sub(new.message.len() as u64);
        rest.read_at(at, below)
            .map_err(|error| StoreError::Damaged(format!("a mail to be queued cannot be read: {error}")))?;
        tx.vault.seal_piece(Of::Body, [mail as u64, index, pieces.count()], &mut sealed);
        body.write_at(&sealed, pieces.place(index) as usize)?;
    }
    Ok(())
}

/// How a large body lies in its column: sealed pieces one behind the other, and one octet more, by whose number it is told
/// from a body that was sealed as a whole.
struct Pieces {
    size: u64,
}

impl Pieces {
    fn count(&self) -> u64 {
        self.size.div_ceil(OUTGOING_PIECE_BYTES as u64)
    }

    /// The octets of the mail in a piece.
    fn range(&self, index: u64) -> Range<u64> {
        let start = index * OUTGOING_PIECE_BYTES as u64;
        start..self.size.min(start + OUTGOING_PIECE_BYTES as u64)
    }

    /// Where a piece begins.
    fn place(&self, index: u64) -> u64 {
        index * (OUTGOING_PIECE_BYTES + SEALED_EXTRA) as u64
    }

    fn sealed_size(&self) -> u64 {
        self.size + self.count() * SEALED_EXTRA as u64 + 1
    }
}

fn insert(tx: &Tx<'_>, new: &NewOutgoing, size: u64, body: impl ToSql, now: UnixMs) -> Result<i64> {
    let mail = tx.insert(
        "INSERT INTO outgoing(account, size, created_at, expires_at, reverse_path, body, priority, wishes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        (
            new.account.map(|account| account.0),
            size as i64,
            now,
            new.expires_at,
            tx.vault.seal(Of::Outgoing, new.reverse_path.as_bytes()),
            body,
            new.wishes.priority,
            tx.vault.seal_json(Of::Outgoing, &new.wishes),
        ),
    )?;
    let due_at = new.hold_until.unwrap_or(now).max(now);
    for recipient in &new.recipients {
        let wishes = tx.vault.seal_json(Of::Outgoing, &recipient.wishes);
        tx.insert(
            "INSERT INTO queue(mail, due_at, recipient, wishes) VALUES (?1, ?2, ?3, ?4)",
            (mail, due_at, tx.vault.seal(Of::Outgoing, recipient.address.as_bytes()), wishes),
        )?;
    }
    Ok(mail)
}

const COLUMNS: &str =
    "SELECT q.id, q.mail, q.attempts, q.due_at, q.leased, q.recipient, q.last_error, o.account, o.size,
     o.created_at, o.expires_at, o.reverse_path, o.wishes, q.wishes, q.suspended, q.delay_told
     FROM queue q JOIN outgoing o ON o.id = q.mail";

/// An item, and what of it is encrypted.
struct Raw {
    item: QueueItem,
    recipient: Vec<u8>,
    last_error: Option<Vec<u8>>,
    reverse_path: Vec<u8>,
    /// Null in rows that an older version queued.
    wishes: Option<Vec<u8>>,
    recipient_wishes: Option<Vec<u8>>,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Raw> {
    let item = QueueItem {
        id: QueueId(row.get(0)?),
        mail: row.get(1)?,
        reverse_path: String::new(),
        recipient: String::new(),
        size: row.get::<_, i64>(8)? as u64,
        account: row.get::<_, Option<i64>>(7)?.map(AccountId),
        attempts: row.get(2)?,
        delay_told: row.get(15)?,
        created_at: row.get(9)?,
        due_at: row.get(3)?,
        expires_at: row.get(10)?,
        last_error: None,
        wishes: MailWishes::default(),
        recipient_wishes: RecipientWishes::default(),
        state: match (row.get(4)?, row.get(14)?) {
            (true, _) => QueueState::Sending,
            (false, true) => QueueState::Suspended,
            (false, false) => QueueState::Waiting,
        },
    };
    Ok(Raw {
        item,
        recipient: row.get(5)?,
        last_error: row.get(6)?,
        reverse_path: row.get(11)?,
        wishes: row.get(12)?,
        recipient_wishes: row.get(13)?,
    })
}

fn open(db: &Db<'_>, raw: Raw) -> Result<QueueItem> {
    let wishes = raw.wishes.map(|wishes| db.vault.open_json(Of::Outgoing, &wishes)).transpose()?;
    let recipient_wishes = raw.recipient_wishes.map(|wishes| db.vault.open_json(Of::Outgoing, &wishes)).transpose()?;
    Ok(QueueItem {
        recipient: db.vault.open_text(Of::Outgoing, &raw.recipient)?,
        reverse_path: db.vault.open_text(Of::Outgoing, &raw.reverse_path)?,
        last_error: raw.last_error.map(|text| db.vault.open_text(Of::Outgoing, &text)).transpose()?,
        wishes: wishes.unwrap_or_default(),
        recipient_wishes: recipient_wishes.unwrap_or_default(),
        ..raw.item
    })
}

/// Due mail, out of others' sight until the lease ends. RFC 6710 §4.1: the higher priority first.
pub(super) fn lease(tx: &Tx<'_>, now: UnixMs, lease_ms: i64, max: usize) -> Result<Vec<QueueItem>> {
    let rows = tx.all(
        &format!(
            "{COLUMNS} WHERE q.due_at <= ?1 AND q.suspended = 0 ORDER BY o.priority DESC, q.due_at, q.id LIMIT ?2"
        ),
        (now, i64::try_from(max).unwrap_or(i64::MAX)),
        read,
    )?;
    let mut out = Vec::with_capacity(rows.len());
    for raw in rows {
        let mut item = open(tx, raw)?;
        (item.state, item.due_at) = (QueueState::Sending, now + lease_ms);
        tx.run("UPDATE queue SET leased = 1, due_at = ?2 WHERE id = ?1", (item.id.0, item.due_at))?;
        out.push(item);
    }
    Ok(out)
}

/// Octets of a queued mail.
pub(super) fn range(db: Db<'_>, mail: i64, range: Range<u64>) -> Result<Option<Vec<u8>>> {
    let Some(size) = db.value::<i64>("SELECT size FROM outgoing WHERE id = ?1", [mail])? else { return Ok(None) };
    let pieces = Pieces { size: size as u64 };
    let end = range.end.min(pieces.size);
    let range = range.start.min(end)..end;
    let body = db.conn.blob_open(DatabaseName::Main, "outgoing", "body", mail, true)?;
    if body.len() as u64 != pieces.sealed_size() {
        let mut sealed = vec![0; body.len()];
        body.read_at_exact(&mut sealed, 0)?;
        let mut whole = db.vault.open(Of::Body, &sealed)?;
        whole.truncate(range.end as usize);
        whole.drain(..(range.start as usize).min(whole.len()));
        return Ok(Some(whole));
    }
    let mut out = Vec::with_capacity((range.end - range.start) as usize);
    let mut sealed = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let index = at / OUTGOING_PIECE_BYTES as u64;
        let piece = pieces.range(index);
        sealed.resize((piece.end - piece.start) as usize + SEALED_EXTRA, 0);
        body.read_at_exact(&mut sealed, pieces.place(index) as usize)?;
        let plain = db.vault.open_piece(Of::Body, [mail as u64, index, pieces.count()], &mut sealed)?;
        out.extend_from_slice(&plain[(at - piece.start) as usize..(range.end.min(piece.end) - piece.start) as usize]);
        at = piece.end;
    }
    Ok(Some(out))
}

/// Ends or puts off leased items. When none of them is there any more, somebody else did this already, and
/// `causes` with it.
pub(super) fn finish(
    tx: &mut Tx<'_>,
    outcomes: &[QueueOutcome],
    causes: &Batch,
    bodies: &[Vec<u8>],
    now: UnixMs,
) -> Result<()> {
    let mut met = outcomes.is_empty();
    for outcome in outcomes {
        met |= match outcome {
            QueueOutcome::Done(id) => delete(tx, *id)?,
            QueueOutcome::Retry { id, due_at, error } => put_off(tx, *id, *due_at, error, (1, 0))?,
            QueueOutcome::Delayed { id, due_at, error } => put_off(tx, *id, *due_at, error, (1, 1))?,
            QueueOutcome::PutOff { id, due_at, error } => put_off(tx, *id, *due_at, error, (0, 0))?,
        };
    }
    if met {
        messages::commit(tx, causes, bodies, now)?;
    }
    Ok(())
}

/// Back to waiting, or to where the postmaster suspended it meanwhile.
fn put_off(tx: &Tx<'_>, id: QueueId, due_at: UnixMs, error: &str, (tries, told): (u32, u32)) -> Result<bool> {
    let error = tx.vault.seal(Of::Outgoing, error.as_bytes());
    let changed = tx.run(
        "UPDATE queue SET leased = 0, due_at = ?2, last_error = ?3, attempts = attempts + ?4,
         delay_told = delay_told | ?5 WHERE id = ?1",
        (id.0, due_at, error, tries, told),
    )?;
    Ok(changed > 0)
}

/// Drops an item, with the body when it was the last.
pub(super) fn delete(tx: &Tx<'_>, id: QueueId) -> Result<bool> {
    let mail: Option<i64> = tx.value("DELETE FROM queue WHERE id = ?1 RETURNING mail", [id.0])?;
    let Some(mail) = mail else { return Ok(false) };
    tx.run("DELETE FROM outgoing WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM queue WHERE mail = ?1)", [mail])?;
    Ok(true)
}

/// Everything waiting, oldest first.
pub(super) fn list(db: Db<'_>) -> Result<Vec<QueueItem>> {
    let rows = db.all(&format!("{COLUMNS} ORDER BY q.id"), (), read)?;
    rows.into_iter().map(|raw| open(&db, raw)).collect()
}

/// Makes items due now. One that is being sent is left alone, and so is what its sender wants to be held (RFC 4865), unless
/// it is named.
pub(super) fn retry(tx: &Tx<'_>, id: Option<QueueId>, now: UnixMs) -> Result<usize> {
    tx.run(
        "UPDATE queue SET due_at = ?2 WHERE (id = ?1 OR ?1 IS NULL AND (last_error IS NOT NULL OR due_at <= ?2)) AND suspended = 0
         AND (leased = 0 OR due_at <= ?2)",
        (id.map(|id| id.0), now),
    )
}

/// Suspends items: they wait until they are resumed, past their end too. A try under way is not broken off.
pub(super) fn suspend(tx: &Tx<'_>, id: Option<QueueId>) -> Result<usize> {
    tx.run("UPDATE queue SET suspended = 1 WHERE (?1 IS NULL OR id = ?1) AND suspended = 0", [id.map(|id| id.0)])
}

/// Lets suspended items go on, now; what its sender wants to be held waits on.
pub(super) fn resume(tx: &Tx<'_>, id: Option<QueueId>, now: UnixMs) -> Result<usize> {
    tx.run(
        "UPDATE queue SET suspended = 0,
         due_at = CASE WHEN leased THEN due_at WHEN last_error IS NULL THEN MAX(due_at, ?2) ELSE ?2 END
         WHERE (?1 IS NULL OR id = ?1) AND suspended = 1",
        (id.map(|id| id.0), now),
    )
}

#[derive(Serialize, Deserialize)]
struct Head {
    from: String,
    to: String,
    at: UnixMs,
}

/// A caught mail as it is stored.
pub(super) fn seal_caught(vault: &Vault, mail: &CaughtMail) -> (Vec<u8>, Vec<u8>) {
    let head = Head { from: mail.from.clone(), to: mail.to.clone(), at: mail.at };
    (vault.seal_json(Of::Caught, &head), vault.seal(Of::Caught, &mail.message))
}

/// Files a mail to the catch-all; the oldest goes when it is full.
pub(super) fn catch(tx: &Tx<'_>, (head, body): &(Vec<u8>, Vec<u8>)) -> Result<()> {
    tx.insert("INSERT INTO caught(head, body) VALUES (?1, ?2)", (head, body))?;
    tx.run(
        "DELETE FROM caught WHERE id <= (SELECT id FROM caught ORDER BY id DESC LIMIT 1 OFFSET ?1)",
        [CAUGHT_MAX as i64],
    )?;
    Ok(())
}

/// The catch-all, newest last.
pub(super) fn caught(db: Db<'_>) -> Result<Vec<CaughtMail>> {
    let rows = db.all("SELECT head, body FROM caught ORDER BY id", (), |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    rows.into_iter()
        .map(|(head, body)| {
            let Head { from, to, at } = db.vault.open_json(Of::Caught, &head)?;
            Ok(CaughtMail { from, to, message: db.vault.open(Of::Caught, &body)?, at })
        })
        .collect()
}
