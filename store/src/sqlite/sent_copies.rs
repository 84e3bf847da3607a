//! The copy of a submitted mail in Sent: filed at once, and gone when the client appends its own.

use super::contacts::message_id_hash;
use super::db::Db;
use super::entries;
use super::messages;
use super::sharing::Access;
use super::writer::Tx;
use crate::limits::SENT_APPEND_DAYS;
use crate::{Account, AccountId, Delivery, MailboxId, MessageId, Result, UnixMs};

impl Account {
    /// Whether this account's clients file what they send by themselves: one did so in the last 30 days.
    pub fn files_what_it_sends(&self, now: UnixMs) -> bool {
        is_recent(self.sent_append_at, now)
    }
}

fn is_recent(at: Option<UnixMs>, now: UnixMs) -> bool {
    at.is_some_and(|at| at > now - SENT_APPEND_DAYS * 86_400_000)
}

/// Files the copy, unless the account's client does that: it may have begun to since the caller asked.
pub(super) fn file(tx: &mut Tx<'_>, copy: &Delivery, now: UnixMs) -> Result<()> {
    let at: Option<Option<i64>> = tx.value("SELECT sent_append_at FROM account WHERE id = ?1", [copy.account.0])?;
    if is_recent(at.flatten(), now) {
        return Ok(());
    }
    let filed = messages::deliver(tx, copy, now)?;
    if let Some(id) = &copy.message_id {
        let hash = message_id_hash(tx, copy.account, id);
        tx.run(
            "INSERT INTO sent_copy(account, message_id_hash, message) VALUES (?1, ?2, ?3)",
            (copy.account.0, hash, filed.message.0),
        )?;
    }
    Ok(())
}

/// A client APPENDed these to Sent: theirs hold Bcc, and what was filed for it under the same Message-ID goes.
///
/// Only an entry that still lies in Sent: what the user moved is the user's. And only what was filed here, so that two
/// mails a client appended under one Message-ID both stay. Another user who appends there (RFC 4314) says nothing about
/// what the owner's clients do, and takes nothing of the owner's away.
pub(super) fn appended(tx: &mut Tx<'_>, into: Access, sent: MailboxId, ids: &[&str], now: UnixMs) -> Result<()> {
    if !into.is_owner() {
        return Ok(());
    }
    let account = into.owner;
    tx.run("UPDATE account SET sent_append_at = ?2 WHERE id = ?1", (account.0, now))?;
    for id in ids {
        let hash = message_id_hash(tx, account, id);
        for copy in copies(tx, account, hash)? {
            let uids: Vec<i64> = entries::of_message(tx, copy)?
                .into_iter()
                .filter(|entry| entry.mailbox == sent)
                .map(|entry| entry.uid)
                .collect();
            entries::expunge_uids(tx, into, sent, &uids, now)?;
        }
    }
    Ok(())
}

fn copies(db: &Db<'_>, account: AccountId, hash: super::vault::Hash) -> Result<Vec<MessageId>> {
    db.all("SELECT message FROM sent_copy WHERE account = ?1 AND message_id_hash = ?2", (account.0, hash), |row| {
        Ok(MessageId(row.get(0)?))
    })
}
