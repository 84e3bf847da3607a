//! Gates as rows: making them, reading them, moving them from state to state.

use lnmp::{
    AcceptOn, Act, GateFacts, GateId, GateState, HoldKind, Msat, PaymentHash, QuoteId, QuoteState, RefundTarget,
    Relation, Voucher,
};
use rand::RngCore;
use rusqlite::Row;
use serde::{Deserialize, Serialize};

use super::db::{Db, unknown};
use super::vault::{Hash, Of};
use super::verdicts::Mail;
use super::writer::Tx;
use super::{accounts, contacts, entries, escrow, messages, payments, sharing};
use crate::{AccountId, Author, Flags, Gate, GateFilter, MessageId, NewGate, Page, Quote, Result, StoreError, UnixMs};

/// Who is behind a gate. Sealed; erased some time after the end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Parties {
    pub(super) author: Option<Author>,
    pub(super) recipient: String,
    pub(super) ask: Option<String>,
    pub(super) dkim_signature: Option<Vec<u8>>,
    pub(super) message_id: Option<String>,
}

/// What a decision needs of a gate.
#[derive(Clone)]
pub(super) struct GateRow {
    pub(super) id: GateId,
    pub(super) account: AccountId,
    pub(super) message: MessageId,
    pub(super) state: GateState,
    pub(super) refunded: bool,
    pub(super) priority: bool,
    pub(super) armed_until: Option<UnixMs>,
    pub(super) armed_accept: bool,
    pub(super) priority_price: Msat,
    pub(super) voucher: Option<Voucher>,
    /// How long a paid voucher waits for its mail.
    pub(super) voucher_ms: i64,
}

impl GateRow {
    /// Whether it is a voucher whose mail has not come.
    pub(super) fn awaits_mail(&self) -> bool {
        self.voucher == Some(Voucher::Open)
    }

    /// The mail it is about.
    pub(super) fn mail(&self) -> Mail {
        Mail { message: self.message, gate: Some(self.id) }
    }

    /// Whether the mail's content must stay though no mailbox shows it: money or a grace is open.
    pub(super) fn is_live(&self) -> bool {
        self.armed_until.is_some() || matches!(self.state, GateState::Waiting | GateState::Held | GateState::Settling)
    }

    /// What the rules ask; `seen` is what the act itself says, of an entry that is gone by now.
    pub(super) fn facts(&self, db: &Db<'_>, act: &Act) -> Result<GateFacts> {
        let gone_seen = matches!(act, Act::Expunged { seen: true, .. });
        let seen = gone_seen || is_seen(db, self.id)?;
        Ok(GateFacts {
            seen,
            state: self.state,
            priority: self.priority,
            decline_armed: self.armed_until.is_some() && !self.armed_accept,
            accept_on: accept_on(db, self.account)?,
            awaits_mail: self.awaits_mail(),
        })
    }
}

/// Whether the mail was read by somebody who decides about it: its owner, or a user with the right to.
pub(super) fn is_seen(db: &Db<'_>, gate: GateId) -> Result<bool> {
    let by_owner = entries::of_gate(db, gate)?.iter().any(|entry| entry.flags.contains(Flags::SEEN));
    Ok(by_owner || sharing::read_by_decider(db, gate)?)
}

/// The account's choice; the default once it is gone.
pub(super) fn accept_on(db: &Db<'_>, account: AccountId) -> Result<AcceptOn> {
    let settings: Option<String> = db.value("SELECT settings FROM account WHERE id = ?1", [account.0])?;
    Ok(settings.map(|text| accounts::open_settings(db, &text)).transpose()?.unwrap_or_default().accept_on)
}

/// A gate's row, or `NoSuch`.
pub(super) fn load(db: &Db<'_>, id: GateId) -> Result<GateRow> {
    db.one(
        "SELECT account, message, state, refunded, priority, armed_until, armed_accept, priority_price, voucher, voucher_ms
         FROM gate WHERE id = ?1",
        [id.0],
        |row| {
            Ok((
                (row.get::<_, String>(2)?, row.get::<_, Option<String>>(8)?),
                GateRow {
                    id,
                    account: AccountId(row.get(0)?),
                    message: MessageId(row.get(1)?),
                    state: GateState::Waiting,
                    refunded: row.get(3)?,
                    priority: row.get(4)?,
                    armed_until: row.get(5)?,
                    armed_accept: row.get(6)?,
                    priority_price: Msat(row.get::<_, i64>(7)? as u64),
                    voucher: None,
                    voucher_ms: row.get::<_, Option<i64>>(9)?.unwrap_or(0),
                },
            ))
        },
    )?
    .map(|((state, voucher), row)| {
        Ok(GateRow { state: state_of(&state)?, voucher: voucher_of(voucher.as_deref())?, ..row })
    })
    .ok_or(StoreError::NoSuch("gate"))?
}

fn state_of(name: &str) -> Result<GateState> {
    GateState::parse(name).ok_or_else(|| unknown("gate state"))
}

fn voucher_of(name: Option<&str>) -> Result<Option<Voucher>> {
    name.map(|name| Voucher::parse(name).ok_or_else(|| unknown("voucher"))).transpose()
}

/// The hash by which a mail's content is found again.
pub(super) fn digest_hash(db: &Db<'_>, account: AccountId, digest: &[u8; 32]) -> Hash {
    db.vault.hash(Of::Digest, &[&account.0.to_be_bytes(), digest])
}

/// Makes a gate, listed on the page of `page`; `message` is put in by [`set_message`] once it has a name.
#[expect(clippy::too_many_arguments, reason = "what a gate knows of its mail")]
pub(super) fn create(
    tx: &Tx<'_>,
    account: AccountId,
    new: &NewGate,
    author: Option<&Author>,
    page: Hash,
    message_id: Option<&str>,
    digest: Option<&[u8; 32]>,
    now: UnixMs,
) -> Result<GateId> {
    let page = page_for(tx, account, &new.recipient, page)?;
    let parties = Parties {
        author: author.cloned(),
        recipient: new.recipient.clone(),
        ask: new.ask.clone(),
        dkim_signature: new.dkim_signature.clone(),
        message_id: new.message_id.clone(),
    };
    let message_id_hash = message_id.map(|id| contacts::message_id_hash(tx, account, id));
    let digest_hash = digest.map(|digest| digest_hash(tx, account, digest));
    let id = tx.insert(
        "INSERT INTO gate(account, message, state, relation, price, priority_price, page, created_at, message_id_hash,
         digest_hash, parties) VALUES (?1, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        (
            account.0,
            GateState::Waiting.name(),
            new.relation.name(),
            amount(new.price)?,
            amount(new.priority_price)?,
            page,
            now,
            message_id_hash,
            digest_hash,
            tx.vault.seal_json(Of::Parties, &parties),
        ),
    )?;
    Ok(GateId(id))
}

/// SQLite counts in 63 bits; that is four hundred times all bitcoin there will be.
pub(super) fn amount(msat: Msat) -> Result<i64> {
    i64::try_from(msat.0).map_err(|_| StoreError::Limit("an amount of money"))
}

/// Which message a gate is about.
pub(super) fn set_message(tx: &Tx<'_>, gate: GateId, message: MessageId) -> Result<()> {
    tx.run("UPDATE gate SET message = ?2 WHERE id = ?1", (gate.0, message.0))?;
    Ok(())
}

/// One page for each author and account; forged mail under the author's name gets another one.
pub(super) fn page_of(db: &Db<'_>, author: Option<&Author>) -> Hash {
    let Some(author) = author else { return chance() };
    db.vault.hash(
        Of::Page,
        &[
            author.address.as_bytes(),
            &[u8::from(author.aligned)],
            author.evidence.as_deref().filter(|_| !author.aligned).unwrap_or_default().as_bytes(),
        ],
    )
}

fn chance() -> [u8; 16] {
    let mut chance = [0; 16];
    rand::rngs::OsRng.fill_bytes(&mut chance);
    chance
}

fn page_for(tx: &Tx<'_>, account: AccountId, recipient: &str, key: Hash) -> Result<i64> {
    if let Some(page) = tx.value("SELECT id FROM page WHERE account = ?1 AND key_hash = ?2", (account.0, key))? {
        return Ok(page);
    }
    let token = hex(&chance());
    tx.insert(
        "INSERT INTO page(account, key_hash, token_hash, token, recipient) VALUES (?1, ?2, ?3, ?4, ?5)",
        (
            account.0,
            key,
            tx.vault.hash(Of::Page, &[b"token", token.as_bytes()]),
            tx.vault.seal(Of::Page, token.as_bytes()),
            tx.vault.seal(Of::Page, recipient.as_bytes()),
        ),
    )
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        out.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).expect("below 16")));
        out
    })
}

/// The parties, until erased.
pub(super) fn parties(db: &Db<'_>, id: GateId) -> Result<Option<Parties>> {
    let sealed: Option<Option<Vec<u8>>> = db.value("SELECT parties FROM gate WHERE id = ?1", [id.0])?;
    sealed.flatten().map(|sealed| db.vault.open_json(Of::Parties, &sealed)).transpose()
}

/// Moves a gate along an edge of design section 4, or changes nothing: `false` when there is no such edge
/// from where it is.
pub(super) fn become_state(tx: &mut Tx<'_>, row: &mut GateRow, next: GateState, now: UnixMs) -> Result<bool> {
    if !row.state.may_become(next) {
        return Ok(false);
    }
    let held = next == GateState::Held;
    // What was received in escrow is back only when a payment to its author succeeded.
    let timed_out = row.state == GateState::Held && next == GateState::Waiting;
    let refunded = row.refunded || (timed_out && !payments::is_in_escrow(tx, row.id)?);
    let priority = row.priority && next != GateState::Waiting;
    let moved = tx.run(
        "UPDATE gate SET state = ?3, ended_at = ?4, refunded = ?5, priority = ?6, armed_until = NULL, armed_accept = 0,
         voucher = CASE WHEN voucher = 'open' AND ?4 IS NOT NULL THEN 'over' ELSE voucher END,
         hold_until = CASE WHEN ?7 THEN hold_until END, deadline_height = CASE WHEN ?7 THEN deadline_height END
         WHERE id = ?1 AND state = ?2",
        (
            row.id.0,
            row.state.name(),
            next.name(),
            next.is_over().then_some(now),
            refunded,
            priority,
            // What a settling gate waits for is its claim; the deadline still says until when.
            held || next == GateState::Settling,
        ),
    )?;
    if moved == 0 {
        return Ok(false);
    }
    *row = load(tx, row.id)?;
    show(tx, row.id)?;
    reap(tx, row)?;
    Ok(true)
}

/// The keywords of every copy may have changed: every copy gets a new MODSEQ.
pub(super) fn show(tx: &mut Tx<'_>, gate: GateId) -> Result<()> {
    for entry in entries::of_gate(tx, gate)? {
        entries::touch(tx, entry.mailbox, entry.uid)?;
    }
    Ok(())
}

/// Arms a decision for later; [`lnmp::Act::GraceOver`] will judge it.
pub(super) fn arm(tx: &Tx<'_>, row: &mut GateRow, until: UnixMs, accept: bool) -> Result<()> {
    tx.run("UPDATE gate SET armed_until = ?2, armed_accept = ?3 WHERE id = ?1", (row.id.0, until, accept))?;
    (row.armed_until, row.armed_accept) = (Some(until), accept);
    Ok(())
}

/// The grace is over, whatever came of it.
pub(super) fn disarm(tx: &mut Tx<'_>, row: &mut GateRow) -> Result<()> {
    tx.run("UPDATE gate SET armed_until = NULL, armed_accept = 0 WHERE id = ?1", [row.id.0])?;
    (row.armed_until, row.armed_accept) = (None, false);
    reap(tx, row)
}

/// Deletes the contents that no mailbox shows, once nothing is open any more.
pub(super) fn reap(tx: &mut Tx<'_>, row: &GateRow) -> Result<()> {
    if row.is_live() {
        return Ok(());
    }
    let gone = tx.all(
        "SELECT m.id FROM message m WHERE m.gate = ?1 AND NOT EXISTS (SELECT 1 FROM entry e WHERE e.message = m.id)",
        [row.id.0],
        |row| row.get(0).map(MessageId),
    )?;
    gone.into_iter().try_for_each(|message| messages::delete(tx, message))
}

const COLUMNS: &str = "SELECT g.id, g.account, g.message, g.state, g.priority, g.refunded, g.armed_until, g.relation,
     g.price, g.priority_price, g.parties, p.token, g.hold_until, g.deadline_height, g.created_at, g.ended_at, g.refunding,
     g.told_at, g.voucher
     FROM gate g LEFT JOIN page p ON p.id = g.page";

type Raw = (Gate, String, String, Option<Vec<u8>>, Option<Vec<u8>>, Option<String>);

fn read(row: &Row<'_>) -> rusqlite::Result<Raw> {
    let gate = Gate {
        id: GateId(row.get(0)?),
        account: AccountId(row.get(1)?),
        message: MessageId(row.get(2)?),
        state: GateState::Waiting,
        priority: row.get(4)?,
        refunded: row.get(5)?,
        armed_until: row.get(6)?,
        relation: Relation::Stranger,
        price: Msat(row.get::<_, i64>(8)? as u64),
        priority_price: Msat(row.get::<_, i64>(9)? as u64),
        author: None,
        recipient: None,
        ask: None,
        message_id: None,
        page_token: String::new(),
        hold_until: row.get(12)?,
        deadline_height: row.get(13)?,
        created_at: row.get(14)?,
        ended_at: row.get(15)?,
        refunding: row.get(16)?,
        told_at: row.get(17)?,
        voucher: None,
        quotes: Vec::new(),
    };
    Ok((gate, row.get(3)?, row.get(7)?, row.get(10)?, row.get(11)?, row.get(18)?))
}

fn open(db: &Db<'_>, (gate, state, relation, sealed, token, voucher): Raw) -> Result<Gate> {
    let mut gate = Gate {
        state: state_of(&state)?,
        voucher: voucher_of(voucher.as_deref())?,
        relation: Relation::parse(&relation).ok_or_else(|| unknown("relation"))?,
        page_token: token.map(|token| db.vault.open_text(Of::Page, &token)).transpose()?.unwrap_or_default(),
        quotes: quotes(db, "q.gate = ?1 ORDER BY q.id", [gate.id.0])?,
        ..gate
    };
    if let Some(sealed) = sealed {
        let parties: Parties = db.vault.open_json(Of::Parties, &sealed)?;
        gate.author = parties.author.map(|author| author.address);
        gate.recipient = Some(parties.recipient);
        gate.ask = parties.ask;
        gate.message_id = parties.message_id;
    }
    Ok(gate)
}

/// One gate.
pub(super) fn get(db: Db<'_>, id: GateId) -> Result<Option<Gate>> {
    db.one(&format!("{COLUMNS} WHERE g.id = ?1"), [id.0], read)?.map(|raw| open(&db, raw)).transpose()
}

/// Gates, newest last.
pub(super) fn filter(db: Db<'_>, filter: GateFilter) -> Result<Vec<Gate>> {
    let raw = db.all(
        &format!(
            "{COLUMNS} WHERE (?1 IS NULL OR g.account = ?1) AND (?2 IS NULL OR g.state = ?2) ORDER BY g.id DESC LIMIT ?3"
        ),
        (
            filter.account.map(|account| account.0),
            filter.state.map(GateState::name),
            filter.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX)),
        ),
        read,
    )?;
    raw.into_iter().rev().map(|raw| open(&db, raw)).collect()
}

/// What a page lists.
pub(super) fn page(db: Db<'_>, token: &str) -> Result<Option<Page>> {
    let found = db.one(
        "SELECT id, recipient FROM page WHERE token_hash = ?1",
        [db.vault.hash(Of::Page, &[b"token", token.as_bytes()])],
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)),
    )?;
    let Some((id, recipient)) = found else { return Ok(None) };
    let raw = db.all(&format!("{COLUMNS} WHERE g.page = ?1 AND g.parties IS NOT NULL ORDER BY g.id"), [id], read)?;
    let gates = raw.into_iter().map(|raw| open(&db, raw)).collect::<Result<_>>()?;
    Ok(Some(Page { recipient: db.vault.open_text(Of::Page, &recipient)?, gates }))
}

/// Quotes by a condition on `quote q` and `gate g`.
pub(super) fn quotes(db: &Db<'_>, condition: &str, params: impl rusqlite::Params) -> Result<Vec<Quote>> {
    let sql = format!(
        "SELECT q.id, q.gate, q.hash, q.amount, q.received, q.kind, q.state, q.reason, g.state, q.deadline_height,
         q.bolt11, q.expires_at, q.target, q.link, g.voucher FROM quote q JOIN gate g ON g.id = q.gate WHERE {condition}"
    );
    let mut statement = db.conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params)?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let state: String = row.get(6)?;
        let reason: Option<String> = row.get(7)?;
        let sealed: Option<Vec<u8>> = row.get(10)?;
        let target: Option<Vec<u8>> = row.get(12)?;
        let target = target.map(|target| db.vault.open_json(Of::Refund, &target)).transpose()?;
        let id = QuoteId(row.get(0)?);
        out.push(Quote {
            id,
            withdraw: (target == Some(RefundTarget::Withdraw))
                .then(|| escrow::token(db, escrow::Door::Withdraw, id, 0)),
            target,
            gate: GateId(row.get(1)?),
            hash: PaymentHash(row.get(2)?),
            amount: Msat(row.get::<_, i64>(3)? as u64),
            received: row.get::<_, Option<i64>>(4)?.map(|msat| Msat(msat as u64)),
            kind: kind_of(&row.get::<_, String>(5)?)?,
            state: quote_state(&state, reason.as_deref())?,
            gate_state: state_of(&row.get::<_, String>(8)?)?,
            awaits_mail: voucher_of(row.get::<_, Option<String>>(14)?.as_deref())? == Some(Voucher::Open),
            deadline_height: row.get(9)?,
            bolt11: sealed.map(|sealed| db.vault.open_text(Of::Bolt11, &sealed)).transpose()?,
            expires_at: row.get(11)?,
        });
    }
    Ok(out)
}

pub(super) fn kind_name(kind: HoldKind) -> &'static str {
    match kind {
        HoldKind::Htlc => "htlc",
        HoldKind::Escrow => "escrow",
    }
}

fn kind_of(name: &str) -> Result<HoldKind> {
    [HoldKind::Htlc, HoldKind::Escrow]
        .into_iter()
        .find(|kind| kind_name(*kind) == name)
        .ok_or_else(|| unknown("kind of hold"))
}

pub(super) fn quote_state(name: &str, reason: Option<&str>) -> Result<QuoteState> {
    QuoteState::parse(name, reason.and_then(lnmp::CancelReason::parse)).ok_or_else(|| unknown("quote state"))
}

/// Erases the parties of gates that ended before `before`, and pages that list nobody any more. Whoever still has money
/// coming is not forgotten.
pub(super) fn erase(tx: &mut Tx<'_>, before: UnixMs) -> Result<usize> {
    tx.run(
        "UPDATE quote SET target = NULL, refund_bolt11 = NULL WHERE target IS NOT NULL AND gate IN
         (SELECT id FROM gate WHERE parties IS NOT NULL AND ended_at < ?1 AND refunding = 0)",
        [before],
    )?;
    let gone = tx.run(
        "UPDATE gate SET parties = NULL, message_id_hash = NULL, digest_hash = NULL, voucher_author = NULL,
         voucher_domain = NULL WHERE parties IS NOT NULL AND ended_at < ?1 AND refunding = 0",
        [before],
    )?;
    if gone > 0 {
        tx.run(
            "DELETE FROM page WHERE NOT EXISTS (SELECT 1 FROM gate g WHERE g.page = page.id AND g.parties IS NOT NULL)",
            (),
        )?;
    }
    Ok(gone)
}
