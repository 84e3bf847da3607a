//! Outgoing mail, and the sandbox's catch-all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rusqlite::Row;
use serde::{Deserialize, Serialize};

use super::db::Db;
use super::messages;
use super::vault::{Of, Vault};
use super::writer::Tx;
use crate::limits::CAUGHT_MAX;
use crate::{AccountId, Batch, CaughtMail, NewOutgoing, QueueId, QueueItem, QueueOutcome, QueueState, Result, UnixMs};

/// Encrypts the bodies of a batch before it waits for the writer.
pub(super) fn seal_bodies(vault: &Vault, batch: &Batch) -> Vec<Vec<u8>> {
    batch.outgoing.iter().map(|outgoing| vault.seal(Of::Body, &outgoing.message)).collect()
}

/// Queues a mail, its body once, each recipient apart.
pub(super) fn enqueue(tx: &Tx<'_>, new: &NewOutgoing, body: &[u8], now: UnixMs) -> Result<()> {
    let mail = tx.insert(
        "INSERT INTO outgoing(account, size, created_at, expires_at, reverse_path, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (
            new.account.map(|account| account.0),
            new.message.len() as i64,
            now,
            new.expires_at,
            tx.vault.seal(Of::Outgoing, new.reverse_path.as_bytes()),
            body,
        ),
    )?;
    for recipient in &new.recipients {
        tx.insert(
            "INSERT INTO queue(mail, due_at, recipient) VALUES (?1, ?2, ?3)",
            (mail, now, tx.vault.seal(Of::Outgoing, recipient.as_bytes())),
        )?;
    }
    Ok(())
}

const COLUMNS: &str =
    "SELECT q.id, q.mail, q.attempts, q.due_at, q.leased, q.recipient, q.last_error, o.account, o.size,
     o.created_at, o.expires_at, o.reverse_path FROM queue q JOIN outgoing o ON o.id = q.mail";

type Raw = (QueueItem, Vec<u8>, Option<Vec<u8>>, Vec<u8>);

fn read(row: &Row<'_>) -> rusqlite::Result<Raw> {
    let item = QueueItem {
        id: QueueId(row.get(0)?),
        mail: row.get(1)?,
        reverse_path: String::new(),
        recipient: String::new(),
        message: Arc::default(),
        size: row.get::<_, i64>(8)? as u64,
        account: row.get::<_, Option<i64>>(7)?.map(AccountId),
        attempts: row.get(2)?,
        created_at: row.get(9)?,
        due_at: row.get(3)?,
        expires_at: row.get(10)?,
        last_error: None,
        state: if row.get(4)? { QueueState::Sending } else { QueueState::Waiting },
    };
    Ok((item, row.get(5)?, row.get(6)?, row.get(11)?))
}

fn open(db: &Db<'_>, (item, recipient, last_error, reverse_path): Raw) -> Result<QueueItem> {
    Ok(QueueItem {
        recipient: db.vault.open_text(Of::Outgoing, &recipient)?,
        reverse_path: db.vault.open_text(Of::Outgoing, &reverse_path)?,
        last_error: last_error.map(|text| db.vault.open_text(Of::Outgoing, &text)).transpose()?,
        ..item
    })
}

/// Due mail, out of others' sight until the lease ends.
pub(super) fn lease(tx: &Tx<'_>, now: UnixMs, lease_ms: i64, max: usize) -> Result<Vec<QueueItem>> {
    let rows = tx.all(
        &format!("{COLUMNS} WHERE q.due_at <= ?1 ORDER BY q.due_at, q.id LIMIT ?2"),
        (now, i64::try_from(max).unwrap_or(i64::MAX)),
        read,
    )?;
    let mut bodies: HashMap<i64, Arc<Vec<u8>>> = HashMap::new();
    let mut out = Vec::with_capacity(rows.len());
    for raw in rows {
        let mut item = open(tx, raw)?;
        item.message = match bodies.entry(item.mail) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(slot) => {
                let sealed: Option<Vec<u8>> = tx.value("SELECT body FROM outgoing WHERE id = ?1", [item.mail])?;
                slot.insert(Arc::new(tx.vault.open(Of::Body, &sealed.unwrap_or_default())?)).clone()
            }
        };
        (item.state, item.due_at) = (QueueState::Sending, now + lease_ms);
        tx.run(
            "UPDATE queue SET leased = 1, attempts = attempts + 1, due_at = ?2 WHERE id = ?1",
            (item.id.0, item.due_at),
        )?;
        out.push(item);
    }
    Ok(out)
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
            QueueOutcome::Retry { id, due_at, error } => {
                let error = tx.vault.seal(Of::Outgoing, error.as_bytes());
                tx.run(
                    "UPDATE queue SET leased = 0, due_at = ?2, last_error = ?3 WHERE id = ?1",
                    (id.0, due_at, error),
                )? > 0
            }
        };
    }
    if met {
        messages::commit(tx, causes, bodies, now)?;
    }
    Ok(())
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

/// Makes items due now. One that is being sent is left alone.
pub(super) fn retry(tx: &Tx<'_>, id: Option<QueueId>, now: UnixMs) -> Result<usize> {
    tx.run(
        "UPDATE queue SET due_at = ?2 WHERE (?1 IS NULL OR id = ?1) AND (leased = 0 OR due_at <= ?2)",
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
