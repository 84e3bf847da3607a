//! What an account's mailboxes may hold (RFC 9208). A copy counts like any mail, as clients add it up.

use super::db::Db;
use super::writer::Tx;
use crate::{AccountId, Quota, Result, StoreError};

/// What is held, and what may be.
pub(super) fn get(db: Db<'_>, account: AccountId) -> Result<Quota> {
    let limit = limit(&db, account)?;
    let used: i64 =
        db.value("SELECT COALESCE(SUM(size), 0) FROM mailbox WHERE account = ?1", [account.0])?.unwrap_or_default();
    Ok(Quota { used: used.max(0).cast_unsigned(), limit: limit.map(i64::cast_unsigned) })
}

fn limit(db: &Db<'_>, account: AccountId) -> Result<Option<i64>> {
    db.one("SELECT quota FROM account WHERE id = ?1", [account.0], |row| row.get::<_, Option<i64>>(0))?
        .ok_or(StoreError::NoSuch("account"))
}

/// Sets or lifts the limit. What is there already stays.
pub(super) fn set(tx: &Tx<'_>, account: AccountId, octets: Option<u64>) -> Result<()> {
    let octets = octets.map(|octets| i64::try_from(octets).unwrap_or(i64::MAX));
    match tx.run("UPDATE account SET quota = ?2 WHERE id = ?1", (account.0, octets))? {
        0 => Err(StoreError::NoSuch("account")),
        _ => Ok(()),
    }
}

/// Whether `octets` more fit, what this write did so far included.
pub(super) fn check(tx: &Tx<'_>, account: AccountId, octets: i64) -> Result<()> {
    if octets <= 0 {
        // Whoever is over it may still put something smaller in a mail's place.
        return Ok(());
    }
    let Some(limit) = limit(tx, account)? else { return Ok(()) };
    let sizes = tx.all("SELECT id, size FROM mailbox WHERE account = ?1", [account.0], |row| {
        Ok((crate::MailboxId(row.get(0)?), row.get::<_, i64>(1)?))
    })?;
    let used: i64 = sizes.iter().map(|(id, size)| tx.touched.get(id).map_or(*size, |touched| touched.size)).sum();
    if used.saturating_add(octets) > limit { Err(StoreError::OverQuota) } else { Ok(()) }
}
