//! Money that is received before it is decided about, and paid back when the mail is not accepted.
//!
//! ```text
//!   held (payments.rs) ──▶ claiming ──received──▶ escrowed ──accept──▶ released          booked to the owner
//!                                                    └─else─▶ refunding ─paid─▶ refunded     the operator pays routing
//!                                                        stuck ──▶ │  └─▶ stuck
//! ```
//! Every step is a compare-and-swap that may be repeated. A refund is paid by one invoice at a time: its hash is committed
//! before the node hears of it, and another one only after this one failed.

use lnmp::{CancelReason, GateId, GateState, HoldKind, Msat, PaymentHash, QuoteId, QuoteState, RefundTarget};

use super::db::Db;
use super::gates::{self, GateRow};
use super::vault::Of;
use super::writer::Tx;
use super::{jobs, ledger, payments};
use crate::limits::{REFUND_LINK_HOURS, REFUND_TOKEN_BYTES_MAX};
use crate::{Escrowed, JobKind, Posting, Quote, Result, Side, StoreError, UnixMs};

/// What a token opens.
#[derive(Clone, Copy)]
pub(super) enum Door {
    /// The withdraw link.
    Withdraw,
    /// The page that changes the target.
    Link,
}

/// What opens a door: the quote's number and 128 bits that only the bridge key makes. Nothing of it is stored.
pub(super) fn token(db: &Db<'_>, door: Door, quote: QuoteId, link: i64) -> String {
    let door: &[u8] = match door {
        Door::Withdraw => b"withdraw",
        Door::Link => b"link",
    };
    let secret = db.vault.hash(Of::RefundLink, &[door, &quote.0.to_be_bytes(), &link.to_be_bytes()]);
    format!("{}-{}", quote.0, gates::hex(&secret))
}

/// One escrow quote.
pub(super) fn get(db: &Db<'_>, id: QuoteId) -> Result<Option<Escrowed>> {
    let found = db.one(
        "SELECT gate, state, reason, COALESCE(received, amount), target, refund_bolt11, refund_hash, refund_tries,
         refund_since, link FROM quote WHERE id = ?1 AND kind = ?2",
        (id.0, gates::kind_name(HoldKind::Escrow)),
        |row| {
            let invoice = (row.get::<_, Option<Vec<u8>>>(5)?, row.get::<_, Option<[u8; 32]>>(6)?);
            let escrowed = Escrowed {
                quote: id,
                gate: GateId(row.get(0)?),
                state: QuoteState::Live,
                amount: Msat(row.get::<_, i64>(3)? as u64),
                target: None,
                invoice: None,
                tries: row.get(7)?,
                since: row.get(8)?,
                withdraw: String::new(),
                link: None,
            };
            let state = (row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?);
            Ok((escrowed, state, row.get::<_, Option<Vec<u8>>>(4)?, invoice, row.get::<_, i64>(9)?))
        },
    )?;
    let Some((mut escrowed, (state, reason), target, (bolt11, hash), link)) = found else { return Ok(None) };
    escrowed.state = gates::quote_state(&state, reason.as_deref())?;
    escrowed.target = target.map(|target| db.vault.open_json(Of::Refund, &target)).transpose()?;
    let bolt11 = bolt11.map(|sealed| db.vault.open_text(Of::Refund, &sealed)).transpose()?;
    escrowed.invoice = bolt11.zip(hash.map(PaymentHash));
    escrowed.withdraw = token(db, Door::Withdraw, id, 0);
    escrowed.link = (link > 0).then(|| token(db, Door::Link, id, link));
    Ok(Some(escrowed))
}

/// The quote that a token opens a door to.
pub(super) fn of_token(db: &Db<'_>, given: &str) -> Result<Option<Escrowed>> {
    if given.len() > REFUND_TOKEN_BYTES_MAX {
        return Ok(None);
    }
    let number = given.split_once('-').and_then(|(number, _)| number.parse().ok());
    let Some(escrowed) = number.map(|number| get(db, QuoteId(number))).transpose()?.flatten() else { return Ok(None) };
    let withdraws = escrowed.target == Some(RefundTarget::Withdraw) && is_same(db, &escrowed.withdraw, given);
    let changes = escrowed.link.as_ref().is_some_and(|link| is_same(db, link, given));
    Ok((withdraws || changes).then_some(escrowed))
}

/// Compared as keyed hashes: how long that takes tells nothing of what is right.
fn is_same(db: &Db<'_>, ours: &str, given: &str) -> bool {
    let hash = |text: &str| db.vault.hash(Of::RefundLink, &[b"compare", text.as_bytes()]);
    hash(ours) == hash(given)
}

/// Fixes where a refund goes, before the invoice is made. Saying the same again is fine.
pub(super) fn set_target(tx: &Tx<'_>, id: QuoteId, target: &RefundTarget, now: UnixMs) -> Result<bool> {
    let Some(escrowed) = get(tx, id)? else { return Ok(false) };
    if escrowed.target.as_ref() == Some(target) {
        return Ok(true);
    }
    let set = tx.run(
        "UPDATE quote SET target = ?2 WHERE id = ?1 AND state = 'live' AND target IS NULL AND expires_at > ?3",
        (id.0, tx.vault.seal_json(Of::Refund, target), now),
    )?;
    Ok(set > 0)
}

/// The money is here. It waits for its owner's word, or goes back at once when none is wanted any more.
pub(super) fn received(tx: &mut Tx<'_>, quote: &Quote, amount: Msat, now: UnixMs) -> Result<bool> {
    if !payments::swap(tx, quote.id, quote.state, QuoteState::Escrowed, now)? {
        return Ok(false);
    }
    tx.run("UPDATE quote SET received = ?2 WHERE id = ?1", (quote.id.0, gates::amount(amount)?))?;
    let posting = Posting {
        key: format!("escrow:{}", quote.hash),
        gate: Some(quote.gate),
        debits: vec![(Side::Node, amount)],
        credits: vec![(Side::Escrow, amount)],
    };
    ledger::post(tx, &posting, now)?;
    let mut gate = gates::load(tx, quote.gate)?;
    if let Some(reason) = payments::unwanted(tx, &gate)? {
        refund(tx, &mut gate, quote.id, reason, now)?;
        return Ok(true);
    }
    let hold_ms: Option<Option<i64>> = tx.value("SELECT hold_ms FROM quote WHERE id = ?1", [quote.id.0])?;
    let hold_until = hold_ms.flatten().map_or(now, |hold_ms| now.saturating_add(hold_ms));
    payments::hold(tx, &mut gate, amount, hold_until, None, now)?;
    Ok(true)
}

/// Accepted: what was received for this gate is its owner's. `false` when nothing was.
pub(super) fn release(tx: &mut Tx<'_>, row: &mut GateRow, now: UnixMs) -> Result<bool> {
    let Some((id, hash, amount)) = undecided(tx, row.id)? else { return Ok(false) };
    if !payments::swap(tx, id, QuoteState::Escrowed, QuoteState::Released, now)? {
        return Ok(false);
    }
    let (fees, rest) = amount.split();
    let posting = Posting {
        key: format!("release:{hash}"),
        gate: Some(row.id),
        debits: vec![(Side::Escrow, amount)],
        credits: vec![(Side::Fees, fees), (Side::User(row.account), rest)],
    };
    ledger::post(tx, &posting, now)?;
    gates::become_state(tx, row, GateState::Settled, now)
}

/// Not accepted: what was received for this gate goes back.
pub(super) fn refund_undecided(tx: &mut Tx<'_>, gate: GateId, reason: CancelReason, now: UnixMs) -> Result<()> {
    let Some((id, ..)) = undecided(tx, gate)? else { return Ok(()) };
    let mut row = gates::load(tx, gate)?;
    refund(tx, &mut row, id, reason, now)
}

/// What was received for a gate and is not decided about.
pub(super) fn undecided(db: &Db<'_>, gate: GateId) -> Result<Option<(QuoteId, PaymentHash, Msat)>> {
    db.one("SELECT id, hash, received FROM quote WHERE gate = ?1 AND state = 'escrowed'", [gate.0], |row| {
        Ok((QuoteId(row.get(0)?), PaymentHash(row.get(1)?), Msat(row.get::<_, i64>(2)? as u64)))
    })
}

fn refund(tx: &mut Tx<'_>, row: &mut GateRow, id: QuoteId, reason: CancelReason, now: UnixMs) -> Result<()> {
    if payments::swap(tx, id, QuoteState::Escrowed, QuoteState::Refunding(reason), now)? {
        tx.run("UPDATE quote SET refund_since = ?2 WHERE id = ?1", (id.0, now))?;
        jobs::push(tx, now, &JobKind::Refund(id))?;
        show_refund(tx, row.id)?;
    }
    Ok(())
}

/// The keywords say how the refund stands.
fn show_refund(tx: &mut Tx<'_>, gate: GateId) -> Result<()> {
    tx.run(
        "UPDATE gate SET refunding = EXISTS(SELECT 1 FROM quote WHERE gate = ?1 AND state IN ('refunding', 'stuck'))
         WHERE id = ?1",
        [gate.0],
    )?;
    gates::show(tx, gate)
}

/// Commits to the invoice that pays a refund, and to its payment.
pub(super) fn begin(tx: &Tx<'_>, id: QuoteId, bolt11: &str, hash: &PaymentHash, now: UnixMs) -> Result<bool> {
    let begun = tx.run(
        "UPDATE quote SET refund_hash = ?2, refund_bolt11 = ?3
         WHERE id = ?1 AND state = 'refunding' AND refund_hash IS NULL
         AND NOT EXISTS (SELECT 1 FROM quote other WHERE other.refund_hash = ?2)",
        (id.0, hash.0, tx.vault.seal(Of::Refund, bolt11.as_bytes())),
    )?;
    if begun > 0 {
        jobs::push(tx, now, &JobKind::Refund(id))?;
    }
    Ok(begun > 0)
}

/// The committed invoice is dead.
pub(super) fn failed(tx: &Tx<'_>, id: QuoteId, hash: &PaymentHash) -> Result<bool> {
    let failed = tx.run(
        "UPDATE quote SET refund_hash = NULL, refund_bolt11 = NULL, refund_tries = refund_tries + 1
         WHERE id = ?1 AND state = 'refunding' AND refund_hash = ?2",
        (id.0, hash.0),
    )?;
    Ok(failed > 0)
}

/// The author has the money, all of it: what the way cost is the operator's.
pub(super) fn paid(tx: &mut Tx<'_>, id: QuoteId, hash: &PaymentHash, fee: Msat, now: UnixMs) -> Result<bool> {
    let Some(escrowed) = get(tx, id)? else { return Err(StoreError::NoSuch("quote")) };
    let (QuoteState::Refunding(reason) | QuoteState::Stuck(reason)) = escrowed.state else { return Ok(false) };
    if escrowed.invoice.as_ref().is_none_or(|(_, committed)| committed != hash)
        || !payments::swap(tx, id, escrowed.state, QuoteState::Refunded(reason), now)?
    {
        return Ok(false);
    }
    let posting = Posting {
        key: format!("refund:{hash}"),
        gate: Some(escrowed.gate),
        debits: vec![(Side::Escrow, escrowed.amount), (Side::Routing, fee)],
        credits: vec![(Side::Node, escrowed.amount + fee)],
    };
    ledger::post(tx, &posting, now)?;
    tx.run(
        "UPDATE gate SET refunded = 1 WHERE id = ?1 AND (state = 'waiting' OR voucher = 'over')",
        [escrowed.gate.0],
    )?;
    show_refund(tx, escrowed.gate)?;
    Ok(true)
}

/// Nothing succeeds: the author is asked to say where else to pay.
pub(super) fn stick(tx: &Tx<'_>, id: QuoteId, now: UnixMs) -> Result<bool> {
    let Some(escrowed) = get(tx, id)? else { return Ok(false) };
    let QuoteState::Refunding(reason) = escrowed.state else { return Ok(false) };
    if escrowed.invoice.is_some() || !payments::swap(tx, id, escrowed.state, QuoteState::Stuck(reason), now)? {
        return Ok(false);
    }
    ask_link(tx, id, now)?;
    Ok(true)
}

/// Has a link mailed. Each is used once, so a mail repeated by a crash names the same one.
pub(super) fn ask_link(tx: &Tx<'_>, id: QuoteId, now: UnixMs) -> Result<bool> {
    let Some(escrowed) = get(tx, id)? else { return Ok(false) };
    let parties = gates::parties(tx, escrowed.gate)?;
    if parties.and_then(|parties| parties.ask).is_none() {
        return Ok(false);
    }
    let asked = tx.run(
        "UPDATE quote SET link = MAX(link, 1), link_at = ?2 WHERE id = ?1 AND target IS NOT NULL
         AND state IN ('live', 'claiming', 'escrowed', 'refunding', 'stuck') AND (link_at IS NULL OR link_at <= ?3)",
        (id.0, now, now - REFUND_LINK_HOURS * 3_600_000),
    )?;
    if asked > 0 {
        jobs::push(tx, now, &JobKind::RefundLink(id))?;
    }
    Ok(asked > 0)
}

/// Changes where a refund goes; not under a payment that is being made.
pub(super) fn retarget(
    tx: &mut Tx<'_>,
    id: QuoteId,
    link: Option<&str>,
    target: &RefundTarget,
    now: UnixMs,
) -> Result<bool> {
    let Some(escrowed) = get(tx, id)? else { return Ok(false) };
    if link.is_some_and(|given| escrowed.link.as_ref().is_none_or(|ours| !is_same(tx, ours, given))) {
        return Ok(false);
    }
    let changed = tx.run(
        "UPDATE quote SET target = ?2, link = link + (link > 0), refund_tries = 0
         WHERE id = ?1 AND refund_hash IS NULL AND state IN ('live', 'claiming', 'escrowed', 'refunding', 'stuck')",
        (id.0, tx.vault.seal_json(Of::Refund, target)),
    )?;
    if changed == 0 {
        return Ok(false);
    }
    if let QuoteState::Stuck(reason) = escrowed.state {
        payments::swap(tx, id, escrowed.state, QuoteState::Refunding(reason), now)?;
        tx.run("UPDATE quote SET refund_since = ?2 WHERE id = ?1", (id.0, now))?;
    }
    if matches!(escrowed.state, QuoteState::Stuck(_) | QuoteState::Refunding(_)) {
        jobs::push(tx, now, &JobKind::Refund(id))?;
    }
    Ok(true)
}
