//! What must happen after a commit, at least once; and how often authors were asked for money.

use lnmp::GateId;

use super::db::Db;
use super::gates;
use super::messages;
use super::vault::{Hash, Of};
use super::writer::Tx;
use crate::limits::ASKED_DAYS;
use crate::{AccountId, AskCounts, Author, Batch, Job, JobId, JobKind, NewGate, Result, StoreError, UnixMs};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Queues a job.
pub(super) fn push(tx: &Tx<'_>, due: UnixMs, kind: &JobKind) -> Result<()> {
    tx.insert("INSERT INTO job(due_at, kind) VALUES (?1, ?2)", (due, tx.vault.seal_json(Of::Job, kind)))?;
    tx.announce_job();
    Ok(())
}

/// Due jobs, out of sight until the lease ends.
pub(super) fn lease(tx: &Tx<'_>, now: UnixMs, lease_ms: i64, max: usize) -> Result<Vec<Job>> {
    let rows = tx.all(
        "SELECT id, attempts, kind FROM job WHERE due_at <= ?1 ORDER BY due_at, id LIMIT ?2",
        (now, i64::try_from(max).unwrap_or(i64::MAX)),
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, row.get::<_, Vec<u8>>(2)?)),
    )?;
    rows.into_iter()
        .map(|(id, attempts, kind)| {
            tx.run(
                "UPDATE job SET leased = 1, due_at = ?2, attempts = attempts + 1 WHERE id = ?1",
                (id, now + lease_ms),
            )?;
            Ok(Job { id: JobId(id), kind: tx.vault.open_json(Of::Job, &kind)?, attempts })
        })
        .collect()
}

/// Ends a job with what it caused. A job that somebody else ended causes nothing twice.
pub(super) fn finish(tx: &mut Tx<'_>, id: JobId, causes: &Batch, bodies: &[Vec<u8>], now: UnixMs) -> Result<()> {
    if tx.run("DELETE FROM job WHERE id = ?1", [id.0])? == 0 {
        return Err(StoreError::NoSuch("job"));
    }
    messages::commit(tx, causes, bodies, now).map(|_| ())
}

/// Puts a job off.
pub(super) fn retry(tx: &Tx<'_>, id: JobId, due: UnixMs) -> Result<()> {
    match tx.run("UPDATE job SET leased = 0, due_at = ?2 WHERE id = ?1", (id.0, due))? {
        0 => Err(StoreError::NoSuch("job")),
        _ => Ok(()),
    }
}

/// What a process that is gone had leased, jobs and mail, is due now.
pub(super) fn release(tx: &Tx<'_>, now: UnixMs) -> Result<usize> {
    let jobs = tx.run("UPDATE job SET leased = 0, due_at = ?1 WHERE leased = 1", [now])?;
    let mails = tx.run("UPDATE queue SET leased = 0, due_at = ?1 WHERE leased = 1", [now])?;
    Ok(jobs + mails)
}

/// The earliest time at which a job or a queue item falls due.
pub(super) fn next_due(db: Db<'_>) -> Result<Option<UnixMs>> {
    Ok(db
        .value::<Option<i64>>(
            "SELECT MIN(due_at) FROM (SELECT MIN(due_at) AS due_at FROM job
             UNION ALL SELECT MIN(due_at) FROM queue WHERE suspended = 0)",
            (),
        )?
        .flatten())
}

/// Under which hashes requests about a gate are counted.
struct Asked {
    account: AccountId,
    author: Hash,
    domain: Hash,
    dkim: Option<Hash>,
}

impl Asked {
    fn of(db: &Db<'_>, account: AccountId, author: &str, dkim_signature: Option<&[u8]>) -> Self {
        let domain = author.rsplit_once('@').map_or(author, |(_, domain)| domain);
        Self {
            account,
            author: db.vault.hash(Of::Asked, &[author.as_bytes()]),
            domain: db.vault.hash(Of::AskedDomain, &[domain.as_bytes()]),
            dkim: dkim_signature.map(|signature| db.vault.hash(Of::AskedDkim, &[signature])),
        }
    }
}

fn asked(db: &Db<'_>, gate: GateId) -> Result<Option<Asked>> {
    let account = gates::load(db, gate)?.account;
    let Some(parties) = gates::parties(db, gate)? else { return Ok(None) };
    let Some(author) = parties.author.map(|author| author.address).or(parties.ask) else { return Ok(None) };
    Ok(Some(Asked::of(db, account, &author, parties.dkim_signature.as_deref())))
}

/// A payment request went out.
pub(super) fn note_asked(tx: &Tx<'_>, gate: GateId, now: UnixMs) -> Result<()> {
    if let Some(asked) = asked(tx, gate)? {
        tx.run(
            "INSERT INTO asked(at, account, author_hash, domain_hash, dkim_hash) VALUES (?1, ?2, ?3, ?4, ?5)",
            (now, asked.account.0, asked.author, asked.domain, asked.dkim),
        )?;
    }
    tx.run("DELETE FROM asked WHERE at < ?1", [now - ASKED_DAYS * DAY_MS])?;
    Ok(())
}

/// How often the author of this gate was asked lately.
pub(super) fn ask_counts(db: Db<'_>, gate: GateId, now: UnixMs) -> Result<AskCounts> {
    asked(&db, gate)?.map_or_else(|| Ok(AskCounts::default()), |asked| counts(&db, &asked, now))
}

/// How often the author of a gate to be made was asked lately.
pub(super) fn ask_counts_of(
    db: &Db<'_>,
    account: AccountId,
    gate: &NewGate,
    author: Option<&Author>,
    now: UnixMs,
) -> Result<AskCounts> {
    let Some(author) = author.map(|author| author.address.as_str()).or(gate.ask.as_deref()) else {
        return Ok(AskCounts::default());
    };
    counts(db, &Asked::of(db, account, author, gate.dkim_signature.as_deref()), now)
}

fn counts(db: &Db<'_>, asked: &Asked, now: UnixMs) -> Result<AskCounts> {
    let count = |sql: &str, params: &[&dyn rusqlite::ToSql]| -> Result<u32> {
        Ok(db.value::<u32>(sql, params)?.unwrap_or_default())
    };
    let (day, hour) = (now - DAY_MS, now - HOUR_MS);
    Ok(AskCounts {
        author_account_day: count(
            "SELECT COUNT(*) FROM asked WHERE author_hash = ?1 AND at > ?2 AND account = ?3",
            &[&asked.author, &day, &asked.account.0],
        )?,
        author_day: count("SELECT COUNT(*) FROM asked WHERE author_hash = ?1 AND at > ?2", &[&asked.author, &day])?,
        domain_hour: count("SELECT COUNT(*) FROM asked WHERE domain_hash = ?1 AND at > ?2", &[&asked.domain, &hour])?,
        dkim_signature: match asked.dkim {
            Some(dkim) => count("SELECT COUNT(*) FROM asked WHERE dkim_hash = ?1", &[&dkim])?,
            None => 0,
        },
    })
}
