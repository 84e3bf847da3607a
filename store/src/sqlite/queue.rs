//! Outgoing mail, and the sandbox's catch-all.

use rusqlite::Row;
use serde::{Deserialize, Serialize};

use super::db::Db;
use super::messages;
use super::vault::{Of, Vault};
use super::writer::Tx;
use crate::limits::CAUGHT_MAX;
use crate::{
    AccountId, Batch, CaughtMail, MailWishes, NewOutgoing, QueueId, QueueItem, QueueOutcome, QueueState,
    RecipientWishes, Result, UnixMs,
};

/// Encrypts the bodies of a batch before it waits for the writer.
pub(super) fn seal_bodies(vault: &Vault, batch: &Batch) -> Vec<Vec<u8>> {
    batch.outgoing.iter().map(|outgoing| vault.seal(Of::Body, &outgoing.message)).collect()
}

/// Queues a mail, its body once, each recipient apart.
pub(super) fn enqueue(tx: &Tx<'_>, new: &NewOutgoing, body: &[u8], now: UnixMs) -> Result<()> {
    let mail = tx.insert(
        "INSERT INTO outgoing(account, size, created_at, expires_at, reverse_path, body, priority, wishes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        (
            new.account.map(|account| account.0),
            new.message.len() as i64,
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
    Ok(())
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

/// The octets of a queued mail.
pub(super) fn message(db: Db<'_>, mail: i64) -> Result<Option<Vec<u8>>> {
    let sealed: Option<Vec<u8>> = db.value("SELECT body FROM outgoing WHERE id = ?1", [mail])?;
    sealed.map(|sealed| db.vault.open(Of::Body, &sealed)).transpose()
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
