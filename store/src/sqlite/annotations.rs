//! Annotations of mailboxes and accounts (RFC 5464): names and values sealed under the bridge key.
//!
//! A row belongs to an account: what is `/shared` of a mailbox to its owner, what is `/private` to each of its users.

use super::db::{Db, unknown};
use super::sharing::{self, Access};
use super::vault::Of;
use super::writer::Tx;
use crate::limits::{ANNOTATION_BYTES_MAX, ANNOTATION_NAME_BYTES_MAX, ANNOTATIONS_MAX};
use crate::{AccountId, Annotation, MailboxId, Result, Rights, StoreError};

/// How the account's own are told from a mailbox's.
fn number(mailbox: Option<MailboxId>) -> i64 {
    mailbox.map_or(0, |mailbox| mailbox.0)
}

/// RFC 5464 §3.3: the right `l`, and one of `rswip`.
fn access(db: &Db<'_>, account: AccountId, mailbox: MailboxId) -> Result<Access> {
    const ONE_OF: Rights = Rights::READ.with(Rights::SEEN).with(Rights::WRITE).with(Rights::INSERT).with(Rights::POST);
    let access = sharing::access(db, account, mailbox, Rights::LOOKUP)?;
    if access.rights.intersects(ONE_OF) { Ok(access) } else { Err(StoreError::Denied('r')) }
}

fn is_private(name: &str) -> bool {
    name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("/private"))
}

/// All of one mailbox that this account sees, or of the account itself, by name.
pub(super) fn list(db: Db<'_>, account: AccountId, mailbox: Option<MailboxId>) -> Result<Vec<Annotation>> {
    let mut all = match mailbox.map(|id| access(&db, account, id)) {
        None => rows(&db, account, None)?,
        Some(Ok(access)) if access.is_owner() => rows(&db, account, mailbox)?,
        Some(Ok(access)) => {
            let mut shared = rows(&db, access.owner, mailbox)?;
            shared.retain(|one| !is_private(&one.name));
            shared.extend(rows(&db, account, mailbox)?);
            shared
        }
        Some(Err(StoreError::NoSuch(_))) => Vec::new(),
        Some(Err(error)) => return Err(error),
    };
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn rows(db: &Db<'_>, account: AccountId, mailbox: Option<MailboxId>) -> Result<Vec<Annotation>> {
    let rows = db.all(
        "SELECT name, value FROM annotation WHERE account = ?1 AND mailbox = ?2",
        (account.0, number(mailbox)),
        |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)),
    )?;
    let open = |(name, value): (Vec<u8>, Vec<u8>)| {
        Ok(Annotation {
            name: db.vault.open_text(Of::Annotation, &name)?,
            value: db.vault.open(Of::Annotation, &value)?,
        })
    };
    rows.into_iter().map(open).collect()
}

/// Sets values, or removes those that are `None`: all or none.
pub(super) fn set(
    tx: &mut Tx<'_>,
    account: AccountId,
    mailbox: Option<MailboxId>,
    changes: &[(String, Option<Vec<u8>>)],
) -> Result<()> {
    let owner = match mailbox {
        Some(id) => {
            let access = access(tx, account, id)?;
            // What all of its users see changes who may change its mails.
            if changes.iter().any(|(name, _)| !is_private(name)) && !access.rights.contains(Rights::WRITE) {
                return Err(StoreError::Denied('w'));
            }
            access.owner
        }
        None if tx.exists("SELECT 1 FROM account WHERE id = ?1", [account.0])? => account,
        None => return Err(StoreError::NoSuch("account")),
    };
    let mut changed = Vec::new();
    for (name, value) in changes {
        let account = if is_private(name) { account } else { owner };
        if name.len() > ANNOTATION_NAME_BYTES_MAX {
            return Err(StoreError::Limit("octets of an annotation's name"));
        }
        // Compared without case (RFC 5464 §3.1).
        let hash = tx.vault.hash(Of::Annotation, &[name.to_ascii_lowercase().as_bytes()]);
        let Some(value) = value else {
            let key = (account.0, number(mailbox), hash);
            let gone = tx.run("DELETE FROM annotation WHERE account = ?1 AND mailbox = ?2 AND name_hash = ?3", key)?;
            changed.extend((gone > 0).then(|| name.clone()));
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
        changed.push(name.clone());
    }
    // A user's own are told to that user, the others by the owner to all.
    let (own, shared) =
        if account == owner { (changed, Vec::new()) } else { changed.into_iter().partition(|name| is_private(name)) };
    for (account, names) in [(account, own), (owner, shared)] {
        if !names.is_empty() {
            tx.announce_annotations(account, mailbox, names);
        }
    }
    for account in [account, owner] {
        let count: usize = tx
            .value("SELECT COUNT(*) FROM annotation WHERE account = ?1", [account.0])?
            .ok_or_else(|| unknown("count"))?;
        if count > ANNOTATIONS_MAX {
            return Err(StoreError::Limit("annotations of this account"));
        }
    }
    Ok(())
}
