//! Vouchers: gates that begin without their mail, because their author pays before sending it.
//!
//! ```text
//!   offer ──▶ waiting ──paid (payments.rs)──▶ held ──its mail (redeem)──▶ held, used: a gate like any other
//!               └──── nobody paid ──▶ waived, over     └── no mail came ──▶ waived, over: the money goes home
//! ```
//! One voucher lets one mail in: `open` becomes `used` by compare-and-swap, in the transaction that delivers the mail. What
//! ends a hold ends this one, too: the clock, or the chain's height.

use lnmp::{CancelReason, GateId, GateState, Place, Voucher};

use super::db::Db;
use super::gates::{self, GateRow, Parties};
use super::vault::{Hash, Of};
use super::writer::Tx;
use super::{contacts, payments};
use crate::{AccountId, Author, Delivery, Flags, NewVoucher, Result, StoreError, UnixMs};

/// Who may use a voucher: hashes that meet over the whole bridge.
struct Whose {
    author: Hash,
    domain: Hash,
}

impl Whose {
    fn of(db: &Db<'_>, author: &str) -> Self {
        let (author, domain) = payments::author_and_domain(db, author);
        Self { author, domain }
    }
}

fn dkim(db: &Db<'_>, signature: Option<&Vec<u8>>) -> Option<Hash> {
    signature.map(|signature| db.vault.hash(Of::AskedDkim, &[signature]))
}

/// Offers a voucher, or the one that nobody paid yet once more; the token of its page. `None` when the author, or their
/// domain, has too many.
pub(super) fn offer(tx: &mut Tx<'_>, new: &NewVoucher, now: UnixMs) -> Result<Option<String>> {
    let whose = Whose::of(tx, &new.author);
    let until = now.saturating_add(new.wait_ms);
    let offered: Option<i64> = tx.value(
        "SELECT id FROM gate WHERE account = ?1 AND voucher_author = ?2 AND voucher = 'open' AND state = 'waiting'
         ORDER BY id LIMIT 1",
        (new.account.0, whose.author),
    )?;
    if let Some(id) = offered {
        // An invoice over the price of before stays payable at that price.
        tx.run(
            "UPDATE gate SET voucher_until = ?2, voucher_ms = ?3, relation = ?4, price = ?5, priority_price = ?6 WHERE id = ?1",
            (
                id,
                until,
                new.wait_ms,
                new.gate.relation.name(),
                gates::amount(new.gate.price)?,
                gates::amount(new.gate.priority_price)?,
            ),
        )?;
        return token(tx, GateId(id)).map(Some);
    }
    let count = |column: &str, hash: Hash| -> Result<u32> {
        Ok(tx
            .value(&format!("SELECT COUNT(*) FROM gate WHERE {column} = ?1 AND voucher = 'open'"), [hash])?
            .unwrap_or(0))
    };
    if !tx.rules.may_offer(count("voucher_author", whose.author)?, count("voucher_domain", whose.domain)?) {
        return Ok(None);
    }
    let author = Author { address: new.author.clone(), aligned: true, evidence: None };
    // A page of its own: whoever was refused sees nothing of mails that were not.
    let page = tx.vault.hash(Of::Page, &[b"voucher", new.author.as_bytes()]);
    let gate = gates::create(tx, new.account, &new.gate, Some(&author), page, None, None, now)?;
    tx.run(
        "UPDATE gate SET voucher = ?2, voucher_until = ?3, voucher_ms = ?4, voucher_author = ?5, voucher_domain = ?6
         WHERE id = ?1",
        (gate.0, Voucher::Open.name(), until, new.wait_ms, whose.author, whose.domain),
    )?;
    token(tx, gate).map(Some)
}

fn token(db: &Db<'_>, gate: GateId) -> Result<String> {
    let sealed: Option<Vec<u8>> =
        db.value("SELECT p.token FROM gate g JOIN page p ON p.id = g.page WHERE g.id = ?1", [gate.0])?;
    db.vault.open_text(Of::Page, &sealed.ok_or(StoreError::NoSuch("page"))?)
}

/// The oldest paid voucher that a mail of this author's may use. A signature that used one uses no other: a signed mail
/// may be sent again by anybody.
pub(super) fn paid(
    db: &Db<'_>,
    account: AccountId,
    author: &str,
    dkim_signature: Option<&Vec<u8>>,
) -> Result<Option<GateId>> {
    if let Some(dkim) = dkim(db, dkim_signature)
        && db.exists("SELECT 1 FROM gate WHERE voucher_dkim = ?1 AND account = ?2", (dkim, account.0))?
    {
        return Ok(None);
    }
    let found: Option<i64> = db.value(
        "SELECT id FROM gate WHERE voucher_author = ?1 AND account = ?2 AND voucher = 'open' AND state = 'held'
         ORDER BY id LIMIT 1",
        (Whose::of(db, author).author, account.0),
    )?;
    Ok(found.map(GateId))
}

/// A mail that was let in by a voucher.
pub(super) struct Redeemed {
    gate: GateRow,
    /// Where it goes.
    pub(super) place: Place,
    /// With which flags.
    pub(super) flags: Flags,
}

impl Redeemed {
    pub(super) fn gate(&self) -> GateId {
        self.gate.id
    }
}

/// Uses a voucher up for this mail, which is inserted next.
pub(super) fn redeem(tx: &mut Tx<'_>, delivery: &Delivery, now: UnixMs) -> Result<Option<Redeemed>> {
    let Some(new) = delivery.gate.as_ref().filter(|new| new.voucher) else { return Ok(None) };
    let gone = || StoreError::NoSuch("voucher");
    let author = delivery.author.as_ref().filter(|author| author.aligned).ok_or_else(gone)?;
    let id = paid(tx, delivery.account, &author.address, new.dkim_signature.as_ref())?.ok_or_else(gone)?;
    let hold_ms: Option<i64> =
        tx.value("SELECT hold_ms FROM quote WHERE gate = ?1 AND state IN ('held', 'escrowed') LIMIT 1", [id.0])?;
    let parties = Parties {
        author: Some(author.clone()),
        recipient: new.recipient.clone(),
        ask: new.ask.clone(),
        dkim_signature: new.dkim_signature.clone(),
        message_id: new.message_id.clone(),
    };
    let account = delivery.account;
    let message_id_hash = delivery.message_id.as_deref().map(|id| contacts::message_id_hash(tx, account, id));
    let digest_hash = delivery.content_digest.map(|digest| gates::digest_hash(tx, account, &digest));
    let used = tx.run(
        "UPDATE gate SET voucher = ?2, hold_until = ?3, parties = ?4, message_id_hash = ?5, digest_hash = ?6,
         voucher_dkim = ?7, created_at = ?8 WHERE id = ?1 AND voucher = 'open' AND state = 'held' AND hold_until > ?8",
        (
            id.0,
            Voucher::Used.name(),
            now.saturating_add(hold_ms.unwrap_or(0)),
            tx.vault.seal_json(Of::Parties, &parties),
            message_id_hash,
            digest_hash,
            dkim(tx, new.dkim_signature.as_ref()),
            now,
        ),
    )?;
    if used == 0 {
        return Err(gone());
    }
    let gate = gates::load(tx, id)?;
    let (place, flags) = payments::raised_to(tx, &gate)?;
    Ok(Some(Redeemed { gate, place, flags }))
}

/// The mail lies there: its owner is told, or has accepted it once for all.
pub(super) fn arrived(tx: &mut Tx<'_>, redeemed: Redeemed, now: UnixMs) -> Result<()> {
    let mut gate = gates::load(tx, redeemed.gate.id)?;
    payments::raised(tx, &mut gate, now)
}

/// Offers that nobody paid in time. Of one that never had an invoice nothing stays.
pub(super) fn end_offers(tx: &mut Tx<'_>, now: UnixMs) -> Result<()> {
    let stale = tx.all(
        "SELECT id FROM gate WHERE voucher = 'open' AND state = 'waiting' AND voucher_until <= ?1 ORDER BY id",
        [now],
        |row| row.get(0).map(GateId),
    )?;
    for id in stale {
        let mut gate = gates::load(tx, id)?;
        payments::cancel_live(tx, id, CancelReason::Gone, now)?;
        gates::become_state(tx, &mut gate, GateState::Waived, now)?;
        let page: Option<Option<i64>> = tx.value("SELECT page FROM gate WHERE id = ?1", [id.0])?;
        tx.run("DELETE FROM gate WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM quote WHERE gate = ?1)", [id.0])?;
        tx.run("DELETE FROM page WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM gate WHERE page = ?1)", [page.flatten()])?;
    }
    Ok(())
}
