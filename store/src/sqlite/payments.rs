//! Quotes and what money does to gates. Every step is a compare-and-swap that may be repeated.

use lnmp::{
    AcceptOn, Act, CancelReason, GateId, GateState, HoldKind, Msat, PaymentHash, Place, Preimage, QuoteId, QuoteState,
    Quoting, Relation, Reserved, Room, Verdict,
};

use super::db::Db;
use super::gates::{self, GateRow};
use super::vault::{Hash, Of};
use super::writer::Tx;
use super::{escrow, jobs, ledger, messages, verdicts, vouchers};
use crate::limits::{NOTICE_HOURS, NOTICE_QUIET_MINUTES};
use crate::{
    AccountId, Begun, Flags, HeldOutcome, Incoming, JobKind, Posting, Quote, Result, Side, StoreError, UnixMs,
};

fn find(db: &Db<'_>, hash: &PaymentHash) -> Result<Option<Quote>> {
    Ok(gates::quotes(db, "q.hash = ?1", [hash.0])?.pop())
}

/// The quote of a hash.
pub(super) fn quote(db: Db<'_>, hash: &PaymentHash) -> Result<Option<Quote>> {
    find(&db, hash)
}

/// Quotes whose payment may still arrive or be locked.
pub(super) fn open_quotes(db: Db<'_>, cancelled_since: UnixMs) -> Result<Vec<Quote>> {
    gates::quotes(
        &db,
        "q.state IN ('live', 'held', 'claiming') OR (q.state IN ('cancelled', 'expired') AND q.changed_at >= ?1) ORDER BY q.id",
        [cancelled_since],
    )
}

/// A preimage, for the claim.
pub(super) fn preimage(db: Db<'_>, quote: QuoteId) -> Result<Option<Preimage>> {
    let sealed: Option<Vec<u8>> = db.value("SELECT preimage FROM quote WHERE id = ?1", [quote.0])?;
    let Some(sealed) = sealed else { return Ok(None) };
    let mut clear = db.vault.open(Of::Preimage, &sealed)?;
    let bytes =
        <[u8; 32]>::try_from(clear.as_slice()).map_err(|_| StoreError::Damaged("a preimage has 32 octets".into()));
    zeroize::Zeroize::zeroize(&mut clear);
    bytes.map(|bytes| Some(Preimage::new(bytes)))
}

/// Whether the mail lies where a payment would raise it from.
fn lies_in_unpaid(tx: &Tx<'_>, gate: &GateRow) -> Result<bool> {
    tx.exists(
        "SELECT 1 FROM entry e JOIN mailbox m ON m.id = e.mailbox WHERE e.gate = ?1 AND m.place = ?2",
        (gate.id.0, Place::Unpaid.code()),
    )
}

/// Stores hash and preimage before any invoice exists.
pub(super) fn begin(
    tx: &Tx<'_>,
    gate: GateId,
    amount: Msat,
    room: Room,
    preimage: &Preimage,
    expires_at: UnixMs,
    now: UnixMs,
) -> Result<Begun> {
    let row = gates::load(tx, gate)?;
    let taken = tx.exists(
        "SELECT 1 FROM quote WHERE gate = ?1 AND state = 'live' AND amount = ?2 AND expires_at > ?3",
        (gate.0, gates::amount(amount)?, now),
    )?;
    if taken || unwanted(tx, &row)?.is_some() {
        return Ok(Begun::NotPayable);
    }
    let whose = whose(tx, gate)?;
    let kind = match tx.rules.hold_kind(&quoting(tx, amount, room, whose.as_ref(), now)?) {
        Ok(kind) => kind,
        Err(no_room) => return Ok(Begun::NoRoom(no_room)),
    };
    let id = tx.insert(
        "INSERT INTO quote(gate, hash, amount, kind, state, expires_at, changed_at, preimage, author_hash, domain_hash)
         VALUES (?1, ?2, ?3, ?4, 'live', ?5, ?6, ?7, ?8, ?9)",
        (
            gate.0,
            preimage.hash().0,
            gates::amount(amount)?,
            gates::kind_name(kind),
            expires_at,
            now,
            tx.vault.seal(Of::Preimage, preimage.reveal()),
            whose.map(|(author, _)| author),
            whose.map(|(_, domain)| domain),
        ),
    )?;
    Ok(Begun::Quote(QuoteId(id), kind))
}

/// Against whose quotas a quote counts: an author's, and their domain's.
fn whose(tx: &Tx<'_>, gate: GateId) -> Result<Option<(Hash, Hash)>> {
    let author = gates::parties(tx, gate)?.and_then(|parties| parties.author);
    Ok(author.map(|author| author_and_domain(tx, &author.address)))
}

/// The hashes by which an author and their domain are counted.
pub(super) fn author_and_domain(db: &Db<'_>, author: &str) -> (Hash, Hash) {
    let domain = author.rsplit_once('@').map_or("", |(_, domain)| domain);
    (db.vault.hash(Of::Quoted, &[author.as_bytes()]), db.vault.hash(Of::QuotedDomain, &[domain.as_bytes()]))
}

/// What the choice between channel and escrow rests on.
fn quoting(tx: &Tx<'_>, amount: Msat, room: Room, whose: Option<&(Hash, Hash)>, now: UnixMs) -> Result<Quoting> {
    let msat = |value: i64| Msat(value.max(0).unsigned_abs());
    let reserved = tx.one(
        "SELECT COUNT(*), COALESCE(SUM(amount), 0), COALESCE(SUM(CASE WHEN amount < ?2 THEN amount ELSE 0 END), 0)
         FROM quote WHERE state = 'live' AND kind = 'htlc' AND expires_at > ?1",
        (now, i64::try_from(room.dust_below.0).unwrap_or(i64::MAX)),
        |row| Ok(Reserved { slots: row.get(0)?, value: msat(row.get(1)?), dust: msat(row.get(2)?) }),
    )?;
    let escrow: i64 = tx
        .value(
            "SELECT COALESCE(SUM(COALESCE(received, amount)), 0) FROM quote WHERE kind = 'escrow' AND
             (state IN ('claiming', 'escrowed', 'refunding', 'stuck') OR (state = 'live' AND expires_at > ?1))",
            [now],
        )?
        .unwrap_or(0);
    let count = |column: &str, hash: Option<Hash>| -> Result<u32> {
        let Some(hash) = hash else { return Ok(0) };
        let sql = format!(
            "SELECT COUNT(*) FROM quote WHERE {column} = ?1 AND state IN ('live', 'held', 'claiming', 'escrowed')
             AND (state <> 'live' OR expires_at > ?2)"
        );
        Ok(tx.value::<u32>(&sql, (hash, now))?.unwrap_or(0))
    };
    Ok(Quoting {
        amount,
        room,
        reserved: reserved.unwrap_or_default(),
        escrow: msat(escrow),
        users: ledger::owed_to_users(tx)?,
        of_author: count("author_hash", whose.map(|(author, _)| *author))?,
        of_domain: count("domain_hash", whose.map(|(_, domain)| *domain))?,
    })
}

/// Publishes a begun quote's invoice.
pub(super) fn publish(tx: &Tx<'_>, quote: QuoteId, bolt11: &str) -> Result<()> {
    let sealed = tx.vault.seal(Of::Bolt11, bolt11.as_bytes());
    // Money that could not go back is not asked for.
    let sql = "UPDATE quote SET bolt11 = ?2 WHERE id = ?1 AND (kind <> 'escrow' OR target IS NOT NULL)";
    match tx.run(sql, (quote.0, sealed))? {
        0 => Err(StoreError::NoSuch("quote")),
        _ => Ok(()),
    }
}

/// Compare-and-swap of a quote along an edge: `false` when it is not in `from`, or there is no such edge.
pub(super) fn swap(tx: &Tx<'_>, quote: QuoteId, from: QuoteState, to: QuoteState, now: UnixMs) -> Result<bool> {
    if !from.may_become(to) {
        return Ok(false);
    }
    let moved = tx.run(
        "UPDATE quote SET state = ?3, reason = ?4, changed_at = ?5 WHERE id = ?1 AND state = ?2",
        (quote.0, from.name(), to.name(), to.reason().map(CancelReason::name), now),
    )?;
    Ok(moved > 0)
}

fn cancel(
    tx: &Tx<'_>,
    quote: QuoteId,
    hash: PaymentHash,
    from: QuoteState,
    reason: CancelReason,
    now: UnixMs,
) -> Result<()> {
    if swap(tx, quote, from, QuoteState::Cancelled(reason), now)? {
        jobs::push(tx, now, &JobKind::Cancel(quote, hash))?;
    }
    Ok(())
}

fn in_state(tx: &Tx<'_>, gate: GateId, state: QuoteState) -> Result<Vec<(QuoteId, PaymentHash)>> {
    tx.all("SELECT id, hash FROM quote WHERE gate = ?1 AND state = ?2", (gate.0, state.name()), |row| {
        Ok((QuoteId(row.get(0)?), PaymentHash(row.get(1)?)))
    })
}

/// Whether what a gate's author paid was received, and is undecided.
pub(super) fn is_in_escrow(db: &Db<'_>, gate: GateId) -> Result<bool> {
    Ok(escrow::undecided(db, gate)?.is_some())
}

/// The held payment is to be claimed: the decision is committed. What was received in escrow is the owner's at once.
pub(super) fn claim_held(tx: &mut Tx<'_>, row: &mut GateRow, now: UnixMs) -> Result<()> {
    for (quote, hash) in in_state(tx, row.id, QuoteState::Held)? {
        jobs::push(tx, now, &JobKind::Claim(quote, hash))?;
    }
    escrow::release(tx, row, now).map(|_| ())
}

/// The held payment goes back.
pub(super) fn cancel_held(tx: &mut Tx<'_>, gate: GateId, reason: CancelReason, now: UnixMs) -> Result<()> {
    for (quote, hash) in in_state(tx, gate, QuoteState::Held)? {
        cancel(tx, quote, hash, QuoteState::Held, reason, now)?;
    }
    escrow::refund_undecided(tx, gate, reason, now)
}

/// Invoices that are out become void.
pub(super) fn cancel_live(tx: &Tx<'_>, gate: GateId, reason: CancelReason, now: UnixMs) -> Result<()> {
    for (quote, hash) in in_state(tx, gate, QuoteState::Live)? {
        cancel(tx, quote, hash, QuoteState::Live, reason, now)?;
    }
    Ok(())
}

/// Requests to Unpaid; a priority mail stays where it is.
pub(super) fn back_to_unpaid(tx: &mut Tx<'_>, gate: GateId, now: UnixMs) -> Result<()> {
    let row = gates::load(tx, gate)?;
    messages::server_move(tx, row.account, gate, Place::Requests, Place::Unpaid, Flags::NONE, now)
}

/// A payment is locked at the node.
pub(super) fn held(tx: &mut Tx<'_>, incoming: Incoming, now: UnixMs) -> Result<HeldOutcome> {
    let Some(quote) = find(tx, &incoming.hash)? else { return Ok(HeldOutcome::Unknown) };
    let refusal = match quote.state {
        QuoteState::Held
        | QuoteState::Settled
        | QuoteState::Claiming
        | QuoteState::Escrowed
        | QuoteState::Released
        | QuoteState::Refunding(_)
        | QuoteState::Refunded(_)
        | QuoteState::Stuck(_) => return Ok(HeldOutcome::Already),
        QuoteState::Cancelled(reason) => Some(reason),
        QuoteState::Expired => Some(CancelReason::Late),
        QuoteState::Live => None,
    };
    let mut gate = gates::load(tx, quote.gate)?;
    let refusal = match refusal {
        Some(reason) => Some(reason),
        None => refuse(tx, &gate, &quote, incoming, now)?,
    };
    if let Some(reason) = refusal {
        swap(tx, quote.id, QuoteState::Live, QuoteState::Cancelled(reason), now)?;
        // Also for a quote cancelled long ago: an HTLC that came again must be failed again.
        jobs::push(tx, now, &JobKind::Cancel(quote.id, quote.hash))?;
        return Ok(HeldOutcome::Refuse(reason));
    }
    tx.run(
        "UPDATE quote SET received = ?2, deadline_height = ?3, hold_ms = ?4 WHERE id = ?1",
        (quote.id.0, gates::amount(incoming.amount)?, incoming.deadline_height, incoming.hold_ms),
    )?;
    if quote.kind == HoldKind::Escrow {
        // Whoever pays twice meanwhile gets the second one back: `unwanted` sees this one.
        swap(tx, quote.id, QuoteState::Live, QuoteState::Claiming, now)?;
        jobs::push(tx, now, &JobKind::Claim(quote.id, quote.hash))?;
        return Ok(HeldOutcome::Claiming(gate.id));
    }
    swap(tx, quote.id, QuoteState::Live, QuoteState::Held, now)?;
    let hold_until = now.saturating_add(incoming.hold_ms);
    hold(tx, &mut gate, incoming.amount, hold_until, Some(incoming.deadline_height), now)?;
    Ok(HeldOutcome::Held { gate: gate.id, account: gate.account })
}

/// A gate's payment is locked, or was received: the mail is raised, and its owner told.
pub(super) fn hold(
    tx: &mut Tx<'_>,
    gate: &mut GateRow,
    amount: Msat,
    hold_until: UnixMs,
    deadline_height: Option<u32>,
    now: UnixMs,
) -> Result<()> {
    let priority = gate.priority_price > Msat::ZERO && amount >= gate.priority_price;
    let awaits_mail = gate.awaits_mail();
    let hold_until = if awaits_mail { now.saturating_add(gate.voucher_ms) } else { hold_until };
    tx.run(
        "UPDATE gate SET priority = ?2, hold_until = ?3, deadline_height = ?4, told_at = NULL WHERE id = ?1",
        (gate.id.0, priority, hold_until, deadline_height),
    )?;
    gate.priority = priority;
    gates::become_state(tx, gate, GateState::Held, now)?;
    if awaits_mail {
        // There is nothing to raise yet: `vouchers::redeem` goes on.
        return Ok(());
    }
    let (to, flags) = raised_to(tx, gate)?;
    messages::server_move(tx, gate.account, gate.id, Place::Unpaid, to, flags, now)?;
    raised(tx, gate, now)
}

/// Where a paid mail lies, and with which flags.
pub(super) fn raised_to(db: &Db<'_>, gate: &GateRow) -> Result<(Place, Flags)> {
    let at_once = gates::accept_on(db, gate.account)? == AcceptOn::Delivery;
    Ok(match (gate.priority, at_once) {
        (true, _) => (Place::Inbox, Flags::FLAGGED),
        (false, true) => (Place::Inbox, Flags::NONE),
        (false, false) => (Place::Requests, Flags::NONE),
    })
}

/// A paid mail lies before its owner.
pub(super) fn raised(tx: &mut Tx<'_>, gate: &mut GateRow, now: UnixMs) -> Result<()> {
    if gates::accept_on(tx, gate.account)? == AcceptOn::Delivery {
        // The owner chose once for all. No single act of theirs speaks of this author, so no relation rises.
        let mail = gate.mail();
        verdicts::carry_out(tx, gate, mail, Verdict::Accept { raise: Relation::Stranger }, now)?;
    } else if !gate.priority {
        notice(tx, gate.account, now)?;
    }
    Ok(())
}

/// Why this payment cannot be held for the owner, if so.
fn refuse(tx: &Tx<'_>, gate: &GateRow, quote: &Quote, incoming: Incoming, now: UnixMs) -> Result<Option<CancelReason>> {
    let unwanted = unwanted(tx, gate)?;
    if unwanted.is_some_and(|reason| reason != CancelReason::Gone) {
        return Ok(unwanted);
    }
    if now > quote.expires_at {
        return Ok(Some(CancelReason::Late));
    }
    if incoming.amount < quote.amount {
        return Ok(Some(CancelReason::Short));
    }
    if incoming.deadline_height < incoming.height.saturating_add(incoming.window_min) {
        return Ok(Some(CancelReason::ShortWindow));
    }
    Ok(unwanted)
}

/// Why no payment for this gate is wanted, if so.
pub(super) fn unwanted(tx: &Tx<'_>, gate: &GateRow) -> Result<Option<CancelReason>> {
    match gate.state {
        GateState::Declined => return Ok(Some(CancelReason::Declined)),
        GateState::Held | GateState::Settling | GateState::Settled | GateState::Lost | GateState::Waived => {
            return Ok(Some(CancelReason::NotNeeded));
        }
        GateState::Waiting => {}
    }
    if !in_state(tx, gate.id, QuoteState::Claiming)?.is_empty() {
        return Ok(Some(CancelReason::NotNeeded));
    }
    if gate.awaits_mail() {
        return Ok(None);
    }
    // In Junk, in Trash or expunged: the owner does not want it raised, and keeps no money for it.
    Ok((!lies_in_unpaid(tx, gate)?).then_some(CancelReason::Gone))
}

/// Tells the owner, unless a session just looked or a notice was sent lately.
fn notice(tx: &Tx<'_>, account: AccountId, now: UnixMs) -> Result<()> {
    let due = tx.run(
        "UPDATE account SET notice_at = ?2 WHERE id = ?1 AND requests_seen_at <= ?3 AND notice_at <= ?4",
        (account.0, now, now - NOTICE_QUIET_MINUTES * 60_000, now - NOTICE_HOURS * 3_600_000),
    )?;
    if due > 0 { jobs::push(tx, now, &JobKind::Notice(account)) } else { Ok(()) }
}

/// The money arrived. It is booked whatever the gate had become meanwhile: money wins, once.
pub(super) fn settled(tx: &mut Tx<'_>, hash: &PaymentHash, amount: Msat, now: UnixMs) -> Result<bool> {
    let quote = find(tx, hash)?.ok_or(StoreError::NoSuch("quote"))?;
    if quote.kind == HoldKind::Escrow {
        return escrow::received(tx, &quote, amount, now);
    }
    if quote.state == QuoteState::Settled {
        return Ok(false);
    }
    let mut gate = gates::load(tx, quote.gate)?;
    tx.run(
        "UPDATE quote SET state = 'settled', reason = NULL, received = ?2, changed_at = ?3 WHERE id = ?1",
        (quote.id.0, gates::amount(amount)?, now),
    )?;
    let (fees, rest) = amount.split();
    let posting = Posting {
        key: format!("settle:{hash}"),
        gate: Some(gate.id),
        debits: vec![(Side::Node, amount)],
        credits: vec![(Side::Fees, fees), (Side::User(gate.account), rest)],
    };
    ledger::post(tx, &posting, now)?;
    // A payment that arrived without a decision of ours is one that cannot go back any more.
    gates::become_state(tx, &mut gate, GateState::Settling, now)?;
    if !gates::become_state(tx, &mut gate, GateState::Settled, now)? {
        tracing::warn!(gate = gate.id.0, state = gate.state.name(), "a payment arrived for a gate that needed none");
    }
    Ok(true)
}

/// The claim came too late.
pub(super) fn lost(tx: &mut Tx<'_>, quote: QuoteId, now: UnixMs) -> Result<bool> {
    let gate: i64 = tx.value("SELECT gate FROM quote WHERE id = ?1", [quote.0])?.ok_or(StoreError::NoSuch("quote"))?;
    let mut gate = gates::load(tx, GateId(gate))?;
    let gone = QuoteState::Cancelled(CancelReason::Timeout);
    if swap(tx, quote, QuoteState::Claiming, gone, now)? {
        // Nothing was promised to anybody: the author may pay again.
        return Ok(true);
    }
    if gate.state != GateState::Settling || !swap(tx, quote, QuoteState::Held, gone, now)? {
        return Ok(false);
    }
    gates::become_state(tx, &mut gate, GateState::Lost, now)?;
    jobs::push(tx, now, &JobKind::TellLost(gate.id))?;
    Ok(true)
}

/// The node failed a payment by itself, or it is to be failed for another reason.
pub(super) fn gone(tx: &mut Tx<'_>, hash: &PaymentHash, reason: CancelReason, now: UnixMs) -> Result<bool> {
    let Some(quote) = find(tx, hash)? else { return Ok(false) };
    let mut gate = gates::load(tx, quote.gate)?;
    match quote.state {
        QuoteState::Live => cancel(tx, quote.id, quote.hash, QuoteState::Live, reason, now)?,
        QuoteState::Held if gate.state == GateState::Held => {
            cancel(tx, quote.id, quote.hash, QuoteState::Held, reason, now)?;
            let next = if reason == CancelReason::Declined { GateState::Declined } else { GateState::Waiting };
            if gates::become_state(tx, &mut gate, next, now)? && next == GateState::Waiting {
                back_to_unpaid(tx, gate.id, now)?;
                verdicts::abandon(tx, &mut gate, now)?;
            }
        }
        // Settling: only `payment_lost` may say so, once the chain is past the deadline.
        QuoteState::Held
        | QuoteState::Settled
        | QuoteState::Cancelled(_)
        | QuoteState::Expired
        | QuoteState::Claiming
        | QuoteState::Escrowed
        | QuoteState::Released
        | QuoteState::Refunding(_)
        | QuoteState::Refunded(_)
        | QuoteState::Stuck(_) => return Ok(false),
    }
    Ok(true)
}

/// Ends what time ended: holds, invoices, tombstones.
pub(super) fn end_holds(tx: &mut Tx<'_>, now: UnixMs, height: u32, margin_blocks: u32) -> Result<Vec<GateId>> {
    let over = tx.all(
        "SELECT id FROM gate WHERE state = 'held' AND (hold_until <= ?1 OR deadline_height <= ?2) ORDER BY id",
        (now, i64::from(height) + i64::from(margin_blocks)),
        |row| row.get(0).map(GateId),
    )?;
    for &gate in &over {
        verdicts::decide(tx, gate, Act::HoldEnded { seen: false }, now)?;
    }
    tx.run("UPDATE quote SET state = 'expired', changed_at = ?1 WHERE state = 'live' AND expires_at < ?1", [now])?;
    vouchers::end_offers(tx, now)?;
    tx.run("DELETE FROM tombstone WHERE until < ?1", [now])?;
    Ok(over)
}

/// Whether [`end_holds`] would change anything: it runs every few seconds, and most times it would not.
pub(super) fn anything_over(db: Db<'_>, now: UnixMs, height: u32, margin_blocks: u32) -> Result<bool> {
    db.exists(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM gate WHERE state = 'held' AND (hold_until <= ?1 OR deadline_height <= ?2))
         OR EXISTS (SELECT 1 FROM quote WHERE state = 'live' AND expires_at < ?1)
         OR EXISTS (SELECT 1 FROM gate WHERE voucher = 'open' AND state = 'waiting' AND voucher_until <= ?1)
         OR EXISTS (SELECT 1 FROM tombstone WHERE until < ?1)",
        (now, i64::from(height) + i64::from(margin_blocks)),
    )
}

/// The account is going: nothing of it waits for money any more.
pub(super) fn close_account(tx: &mut Tx<'_>, account: AccountId, now: UnixMs) -> Result<()> {
    let open =
        tx.all("SELECT id FROM gate WHERE account = ?1 AND state IN ('waiting', 'held')", [account.0], |row| {
            row.get(0).map(GateId)
        })?;
    for gate in open {
        let mut row = gates::load(tx, gate)?;
        let next = if row.state == GateState::Held { GateState::Declined } else { GateState::Waived };
        gates::become_state(tx, &mut row, next, now)?;
        cancel_live(tx, gate, CancelReason::Gone, now)?;
        cancel_held(tx, gate, CancelReason::Gone, now)?;
    }
    Ok(())
}
