//! What authors are to an account: contacts, passes, and whom the user wrote to.

use lnmp::{Place, Relation};

use super::db::{Db, unknown};
use super::vault::{Hash, Of};
use super::vouchers;
use crate::{AccountId, AutoPay, Contact, Result, Standing, StandingQuery, StoreError, UnixMs};

/// Callers speak in lower case; an address typed by hand may not be.
fn author_hash(db: &Db<'_>, account: AccountId, author: &str) -> Hash {
    db.vault.hash(Of::Contact, &[&account.0.to_be_bytes(), author.to_lowercase().as_bytes()])
}

fn recipient_hash(db: &Db<'_>, account: AccountId, recipient: &str) -> Hash {
    db.vault.hash(Of::Recipient, &[&account.0.to_be_bytes(), recipient.to_lowercase().as_bytes()])
}

fn evidence_hash(db: &Db<'_>, account: AccountId, evidence: &str) -> Hash {
    db.vault.hash(Of::Evidence, &[&account.0.to_be_bytes(), evidence.as_bytes()])
}

fn relation_of(name: &str) -> Result<Relation> {
    Relation::parse(name).ok_or_else(|| unknown("relation"))
}

fn relation(db: &Db<'_>, account: AccountId, author: &str) -> Result<Option<Relation>> {
    let name: Option<String> = db.value(
        "SELECT relation FROM contact WHERE account = ?1 AND author_hash = ?2",
        (account.0, author_hash(db, account, author)),
    )?;
    name.as_deref().map(relation_of).transpose()
}

/// Everything the receive path asks about an author.
pub(super) fn standing(db: Db<'_>, account: AccountId, query: &StandingQuery) -> Result<Standing> {
    let mut standing = Standing::default();
    let answers = |recipient: &str| {
        let recipient = recipient_hash(&db, account, recipient);
        query.reply_to_ids.iter().try_fold(false, |found, id| {
            let went = "SELECT 1 FROM sent WHERE account = ?1 AND message_id_hash = ?2 AND recipient_hash = ?3";
            Ok::<_, StoreError>(found || db.exists(went, (account.0, message_id_hash(&db, account, id), recipient))?)
        })
    };
    if let Some(author) = &query.author {
        standing.relation = relation(&db, account, author)?;
        standing.replies = answers(author)?;
    }
    if let Some(domain) = &query.asking {
        standing.asked = answers(&format!("@{domain}"))?;
    }
    if let Some(evidence) = &query.evidence {
        standing.pass = db.exists(
            "SELECT 1 FROM pass WHERE account = ?1 AND evidence_hash = ?2",
            (account.0, evidence_hash(&db, account, evidence)),
        )?;
    }
    if let Some((author, dkim_signature)) = &query.pays {
        standing.voucher = vouchers::paid(&db, account, author, dkim_signature.as_ref())?.is_some();
    }
    let unread: Option<i64> =
        db.value("SELECT unseen FROM mailbox WHERE account = ?1 AND place = ?2", (account.0, Place::Inbox.code()))?;
    standing.unread = unread.unwrap_or(0) as u64;
    Ok(standing)
}

/// The hash by which a Message-ID of this account is found.
pub(super) fn message_id_hash(db: &Db<'_>, account: AccountId, id: &str) -> Hash {
    db.vault.hash(Of::MessageId, &[&account.0.to_be_bytes(), id.as_bytes()])
}

/// Sets a relation; `Unverified` forgets the contact.
pub(super) fn set(db: &Db<'_>, account: AccountId, author: &str, to: Relation, now: UnixMs) -> Result<()> {
    let hash = author_hash(db, account, author);
    if to == Relation::Unverified {
        db.run("DELETE FROM contact WHERE account = ?1 AND author_hash = ?2", (account.0, hash))?;
    } else {
        db.run(
            "INSERT INTO contact(account, author_hash, name, relation, changed_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT(account, author_hash)
             DO UPDATE SET relation = excluded.relation, changed_at = excluded.changed_at, demoted_from = NULL",
            (account.0, hash, db.vault.seal(Of::Contact, author.as_bytes()), to.name(), now),
        )?;
    }
    Ok(())
}

/// The author is at least this from now on.
pub(super) fn raise(db: &Db<'_>, account: AccountId, author: &str, to: Relation, now: UnixMs) -> Result<()> {
    match relation(db, account, author)? {
        Some(is) if is >= to => Ok(()),
        // Strangers need no row.
        None if to <= Relation::Stranger => Ok(()),
        Some(_) | None => set(db, account, author, to, now),
    }
}

/// One step away. `false` for somebody who was no contact.
pub(super) fn step_down(db: &Db<'_>, account: AccountId, author: &str, now: UnixMs) -> Result<bool> {
    let Some(is) = relation(db, account, author)? else { return Ok(false) };
    db.run(
        "UPDATE contact SET relation = ?3, changed_at = ?4, demoted_from = COALESCE(demoted_from, ?5)
         WHERE account = ?1 AND author_hash = ?2",
        (account.0, author_hash(db, account, author), is.one_step_down().name(), now, is.name()),
    )?;
    Ok(true)
}

/// Gives back what Junk took.
pub(super) fn undo_demotion(db: &Db<'_>, account: AccountId, author: &str, now: UnixMs) -> Result<()> {
    let was: Option<Option<String>> = db.value(
        "SELECT demoted_from FROM contact WHERE account = ?1 AND author_hash = ?2",
        (account.0, author_hash(db, account, author)),
    )?;
    match was.flatten() {
        Some(was) => set(db, account, author, relation_of(&was)?, now),
        None => Ok(()),
    }
}

/// Lets an unaligned author in from now on, by what recognises it.
pub(super) fn grant_pass(db: &Db<'_>, account: AccountId, evidence: &str, now: UnixMs) -> Result<()> {
    db.run(
        "INSERT OR IGNORE INTO pass(account, evidence_hash, at) VALUES (?1, ?2, ?3)",
        (account.0, evidence_hash(db, account, evidence), now),
    )?;
    Ok(())
}

/// Takes a pass away; `false` when there was none.
pub(super) fn revoke_pass(db: &Db<'_>, account: AccountId, evidence: &str) -> Result<bool> {
    let hash = evidence_hash(db, account, evidence);
    Ok(db.run("DELETE FROM pass WHERE account = ?1 AND evidence_hash = ?2", (account.0, hash))? > 0)
}

/// Remembers a sent mail and to whom it went.
pub(super) fn sent(db: &Db<'_>, account: AccountId, message_id: &str, recipients: &[String]) -> Result<()> {
    let id = message_id_hash(db, account, message_id);
    let domain = |recipient: &String| recipient.rsplit_once('@').map(|(_, domain)| format!("@{domain}"));
    for recipient in recipients.iter().cloned().chain(recipients.iter().filter_map(domain)) {
        db.run(
            "INSERT OR IGNORE INTO sent(account, message_id_hash, recipient_hash) VALUES (?1, ?2, ?3)",
            (account.0, id, recipient_hash(db, account, &recipient)),
        )?;
    }
    Ok(())
}

/// Whether the price of a sent mail is to be paid: to a domain it went to, and once, however many invoices come.
pub(super) fn pay_once(db: &Db<'_>, pay: &AutoPay) -> Result<bool> {
    let id = message_id_hash(db, pay.account, &pay.message_id);
    let went_there = db.exists(
        "SELECT 1 FROM sent WHERE account = ?1 AND message_id_hash = ?2 AND recipient_hash = ?3",
        (pay.account.0, id, recipient_hash(db, pay.account, &format!("@{}", pay.domain))),
    )?;
    // No address begins like that.
    let paid = recipient_hash(db, pay.account, &format!("@@paid {}", pay.domain));
    let insert = "INSERT OR IGNORE INTO sent(account, message_id_hash, recipient_hash) VALUES (?1, ?2, ?3)";
    Ok(went_there && db.run(insert, (pay.account.0, id, paid))? > 0)
}

/// All contacts, by name.
pub(super) fn list(db: Db<'_>, account: AccountId) -> Result<Vec<Contact>> {
    let rows = db.all("SELECT name, relation, changed_at FROM contact WHERE account = ?1", [account.0], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?, row.get(2)?))
    })?;
    let mut contacts = rows
        .into_iter()
        .map(|(name, relation, changed_at)| {
            Ok(Contact {
                author: db.vault.open_text(Of::Contact, &name)?,
                relation: relation_of(&relation)?,
                changed_at,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    contacts.sort_by(|a, b| a.author.cmp(&b.author));
    Ok(contacts)
}
