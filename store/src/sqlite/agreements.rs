//! Pages of agreed secrets: what a session computed, for the next one. A cache that only its owner can read.

use bytes::Bytes;

use super::db::Db;
use super::writer::Tx;
use crate::limits::{AGREEMENT_PAGE_BYTES_MAX, AGREEMENT_PAGES_MAX};
use crate::{AccountId, Result, StoreError};

/// Every page, by number.
pub(super) fn all(db: Db<'_>, account: AccountId) -> Result<Vec<(u32, Bytes)>> {
    db.all("SELECT page, sealed FROM agreements WHERE account = ?1 ORDER BY page", [account.0], |row| {
        Ok((row.get(0)?, Bytes::from(row.get::<_, Vec<u8>>(1)?)))
    })
}

/// Writes some pages and deletes others.
pub(super) fn keep(tx: &mut Tx<'_>, account: AccountId, pages: &[(u32, Option<Vec<u8>>)]) -> Result<()> {
    // A session may outlive its account by a moment.
    if !tx.exists("SELECT 1 FROM account WHERE id = ?1", [account.0])? {
        return Err(StoreError::NoSuch("account"));
    }
    for (page, sealed) in pages {
        match sealed {
            Some(sealed) if sealed.len() > AGREEMENT_PAGE_BYTES_MAX => {
                return Err(StoreError::Limit("the octets of a page of agreements"));
            }
            Some(sealed) => tx.run(
                "INSERT INTO agreements(account, page, sealed) VALUES (?1, ?2, ?3)
                 ON CONFLICT(account, page) DO UPDATE SET sealed = excluded.sealed",
                (account.0, page, sealed),
            )?,
            None => tx.run("DELETE FROM agreements WHERE account = ?1 AND page = ?2", (account.0, page))?,
        };
    }
    let pages: Option<i64> = tx.value("SELECT count(*) FROM agreements WHERE account = ?1", [account.0])?;
    if pages.unwrap_or(0) > AGREEMENT_PAGES_MAX as i64 {
        return Err(StoreError::Limit("pages of agreements"));
    }
    Ok(())
}
