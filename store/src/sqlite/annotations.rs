//! Annotations of mailboxes and accounts (RFC 5464): names and values sealed under the bridge key.

use super::db::{Db, unknown};
use super::vault::Of;
use super::writer::Tx;
use crate::limits::{ANNOTATION_BYTES_MAX, ANNOTATION_NAME_BYTES_MAX, ANNOTATIONS_MAX};
use crate::{AccountId, Annotation, MailboxId, Result, StoreError};

/// How the account's own are told from a mailbox's.
fn number(mailbox: Option<MailboxId>) -> i64 {
    mailbox.map_or(0, |mailbox| mailbox.0)
}

/// All of one mailbox, or of the account itself, by name.
pub(super) fn list(db: Db<'_>, account: AccountId, mailbox: Option<MailboxId>) -> Result<Vec<Annotation>> {
    let rows = db.all(
        "SELECT name, value FROM annotation WHERE account = ?1 AND mailbox = ?2",
        (account.0, number(mailbox)),
        |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)),
    )?;
    let mut all = rows
        .into_iter()
        .map(|(name, value)| {
            Ok(Annotation {
                name: db.vault.open_text(Of::Annotation, &name)?,
                value: db.vault.open(Of::Annotation, &value)?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Sets values, or removes those that are `None`: all or none.
pub(super) fn set(
    tx: &mut Tx<'_>,
    account: AccountId,
    mailbox: Option<MailboxId>,
    changes: &[(String, Option<Vec<u8>>)],
) -> Result<()> {
    match mailbox {
        Some(id) => drop(tx.touch_own(account, id)?),
        None if tx.exists("SELECT 1 FROM account WHERE id = ?1", [account.0])? => {}
        None => return Err(StoreError::NoSuch("account")),
    }
    for (name, value) in changes {
        if name.len() > ANNOTATION_NAME_BYTES_MAX {
            return Err(StoreError::Limit("octets of an annotation's name"));
        }
        // Compared without case (RFC 5464 §3.1).
        let hash = tx.vault.hash(Of::Annotation, &[name.to_ascii_lowercase().as_bytes()]);
        let Some(value) = value else {
            let key = (account.0, number(mailbox), hash);
            tx.run("DELETE FROM annotation WHERE account = ?1 AND mailbox = ?2 AND name_hash = ?3", key)?;
            continue;
        };
        if value.len() > ANNOTATION_BYTES_MAX {
            return Err(StoreError::Limit("octets of an annotation"));
        }
        tx.run(
            "INSERT INTO annotation(account, mailbox, name_hash, name, value) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET name = excluded.name, value = excluded.value",
            (
                account.0,
                number(mailbox),
                hash,
                tx.vault.seal(Of::Annotation, name.as_bytes()),
                tx.vault.seal(Of::Annotation, value),
            ),
        )?;
    }
    let count: usize =
        tx.value("SELECT COUNT(*) FROM annotation WHERE account = ?1", [account.0])?.ok_or_else(|| unknown("count"))?;
    if count > ANNOTATIONS_MAX { Err(StoreError::Limit("annotations of this account")) } else { Ok(()) }
}
