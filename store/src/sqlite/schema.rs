//! Opening a database file: its settings, its version, its owner.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::db::Db;
use super::vault::{Of, Vault};
use crate::limits::{LOCK_WAIT_MS, READER_CACHE_BYTES, STATEMENTS, WRITER_CACHE_BYTES};
use crate::{Result, StoreError};

/// One file for each version, applied in order. Never edit one that was released: add the next.
pub(super) const MIGRATIONS: [&str; 13] = [
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_mailbox_facts.sql"),
    include_str!("migrations/0003_trigrams.sql"),
    include_str!("migrations/0004_sent_copies.sql"),
    include_str!("migrations/0005_sharing.sql"),
    include_str!("migrations/0006_agreements.sql"),
    include_str!("migrations/0007_desk.sql"),
    include_str!("migrations/0008_queue.sql"),
    include_str!("migrations/0009_ledger_chain.sql"),
    include_str!("migrations/0010_escrow.sql"),
    include_str!("migrations/0011_balances.sql"),
    include_str!("migrations/0012_digests.sql"),
    include_str!("migrations/0013_vouchers.sql"),
];

/// Octets of a page. Larger ones would keep a mail in one piece, but every small row of a group commit costs a whole page in the WAL.
const PAGE_BYTES: u32 = 4096;

/// The writer's connection, with the schema brought up to date.
pub(super) fn open_writer(path: &Path, vault: &Vault) -> Result<Connection> {
    // SQLite gives its WAL the permissions of the file it finds.
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| StoreError::Disk(error.to_string()))?;
    let mut conn =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(Duration::from_millis(LOCK_WAIT_MS))?;
    conn.pragma_update(None, "page_size", PAGE_BYTES)?;
    conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))?;
    // FULL: every commit waits for its fsync, which is what `Ok` promises.
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "cache_size", -(WRITER_CACHE_BYTES / 1024))?;
    // Sorting and savepoints must not leave anything readable in a temporary file.
    conn.pragma_update(None, "temp_store", "memory")?;
    // Copying the WAL back is the business of `writer`, beside the writes.
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    migrate(&mut conn)?;
    check_key(&conn, vault)?;
    Ok(conn)
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(Duration::from_millis(LOCK_WAIT_MS))?;
    conn.pragma_update(None, "cache_size", -(READER_CACHE_BYTES / 1024))?;
    conn.pragma_update(None, "temp_store", "memory")?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

/// A connection that copies the WAL back.
pub(super) fn open_copier(path: &Path) -> Result<Connection> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(Duration::from_millis(LOCK_WAIT_MS))?;
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(conn)
}

fn migrate(conn: &mut Connection) -> Result<()> {
    let version: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let newest = MIGRATIONS.len() as u32;
    if version > newest {
        return Err(StoreError::Damaged(format!(
            "its version is {version}, this program knows versions up to {newest}: it was written by a newer \
             satchel; run that one, or restore a backup made before the upgrade"
        )));
    }
    for (at, sql) in MIGRATIONS.iter().enumerate().skip(version as usize) {
        let transaction = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", at as u32 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// A database opened with a foreign bridge key would find no contact and no page, and call every friend a
/// stranger: better to say so at once.
fn check_key(conn: &Connection, vault: &Vault) -> Result<()> {
    const NAME: &[u8] = b"store/canary";
    let db = Db { conn, vault };
    let fresh = !db.exists("SELECT 1 FROM meta", ())?;
    let key = vault.hash(Of::Meta, &[NAME]);
    if fresh {
        db.run("INSERT INTO meta(key_hash, value) VALUES (?1, ?2)", (key, vault.seal(Of::Meta, NAME)))?;
        return Ok(());
    }
    match db.value::<Vec<u8>>("SELECT value FROM meta WHERE key_hash = ?1", [key])? {
        Some(sealed) if vault.open(Of::Meta, &sealed).is_ok() => Ok(()),
        _ => Err(StoreError::Damaged("it was written under another bridge key: put the right key back".into())),
    }
}
