//! What the rules answered, carried out in the transaction of the act.

use lnmp::{Act, CancelReason, GateId, GateState, Place, Relation, Verdict};

use super::gates::{self, GateRow};
use super::vault::Of;
use super::writer::Tx;
use super::{contacts, entries, jobs, messages, payments};
use crate::{AccountId, Author, Decided, JobKind, MessageId, Result, UnixMs};

/// A mail that an act is about.
#[derive(Clone, Copy)]
pub(super) struct Mail {
    pub(super) message: MessageId,
    /// Linked copies (APPENDed again) bear the gate of the original.
    pub(super) gate: Option<GateId>,
}

/// Asks the rules what `act` means and does it.
pub(super) fn act(tx: &mut Tx<'_>, account: AccountId, mail: Mail, act: Act, now: UnixMs) -> Result<()> {
    match mail.gate {
        Some(gate) => {
            let mut row = gates::load(tx, gate)?;
            let verdict = tx.rules.meaning(&act, &row.facts(tx, &act)?);
            carry_out(tx, &mut row, mail, verdict, now)
        }
        None => match tx.rules.meaning_without_gate(&act) {
            Verdict::ArmDemotion => jobs::push(tx, now + tx.rules.grace_ms(), &JobKind::Demote(account, mail.message)),
            Verdict::Demote => step_down(tx, account, mail, now).map(|_| ()),
            Verdict::Restore | Verdict::LetIn => restore(tx, account, mail, false, now),
            // These speak of money, and there is none.
            Verdict::Nothing
            | Verdict::Accept { .. }
            | Verdict::Decline
            | Verdict::ArmDecline
            | Verdict::ArmAccept
            | Verdict::TimeOut => Ok(()),
        },
    }
}

/// Judges an act that no mailbox command carries.
pub(super) fn decide(tx: &mut Tx<'_>, gate: GateId, act: Act, now: UnixMs) -> Result<Decided> {
    let mut row = gates::load(tx, gate)?;
    let act = match act {
        // What the caller believed may be old: the truth is here.
        Act::GraceOver { .. } => Act::GraceOver { lies: place_of(tx, gate)? },
        Act::HoldEnded { .. } => Act::HoldEnded { seen: gates::is_seen(tx, gate)? },
        Act::Moved { .. }
        | Act::AppendedAgain { .. }
        | Act::Expunged { .. }
        | Act::MarkedAccepted
        | Act::MarkedDeclined
        | Act::Read
        | Act::Replied => act,
    };
    let grace = matches!(act, Act::GraceOver { .. });
    if grace && row.armed_until.is_none_or(|until| until > now) {
        if row.armed_until.is_none() {
            abandon(tx, &mut row, now)?;
        }
        return Ok(Decided { verdict: Verdict::Nothing, state: row.state });
    }
    let verdict = tx.rules.meaning(&act, &row.facts(tx, &act)?);
    let mail = row.mail();
    carry_out(tx, &mut row, mail, verdict, now)?;
    row = gates::load(tx, gate)?;
    if grace && row.armed_until.is_some() {
        gates::disarm(tx, &mut row)?;
    }
    abandon(tx, &mut row, now)?;
    Ok(Decided { verdict, state: row.state })
}

/// A mail in Unpaid that was expunged and did not come back: nobody can let it in, nobody need pay for it.
pub(super) fn abandon(tx: &mut Tx<'_>, row: &mut GateRow, now: UnixMs) -> Result<()> {
    if row.state == GateState::Waiting && row.armed_until.is_none() && entries::of_gate(tx, row.id)?.is_empty() {
        payments::cancel_live(tx, row.id, CancelReason::Gone, now)?;
        gates::become_state(tx, row, GateState::Waived, now)?;
    }
    Ok(())
}

pub(super) fn carry_out(tx: &mut Tx<'_>, row: &mut GateRow, mail: Mail, verdict: Verdict, now: UnixMs) -> Result<()> {
    match verdict {
        Verdict::Nothing => {}
        Verdict::Accept { raise } => {
            if gates::become_state(tx, row, GateState::Settling, now)? {
                payments::claim_held(tx, row, now)?;
                if let Some(author) = author_of(tx, mail)?
                    && author.aligned
                {
                    contacts::raise(tx, row.account, &author.address, raise, now)?;
                }
            }
        }
        Verdict::Decline => {
            if gates::become_state(tx, row, GateState::Declined, now)? {
                payments::cancel_held(tx, row.id, CancelReason::Declined, now)?;
            }
        }
        Verdict::ArmDecline | Verdict::ArmAccept => {
            if row.state == GateState::Held {
                gates::arm(tx, row, now + tx.rules.grace_ms(), verdict == Verdict::ArmAccept)?;
                jobs::push(tx, now + tx.rules.grace_ms(), &JobKind::Grace(row.id))?;
            }
        }
        Verdict::LetIn => {
            if gates::become_state(tx, row, GateState::Waived, now)? {
                payments::cancel_live(tx, row.id, CancelReason::NotNeeded, now)?;
                befriend(tx, row.account, mail, now)?;
            }
        }
        Verdict::Restore => restore(tx, row.account, mail, true, now)?,
        Verdict::TimeOut => {
            if gates::become_state(tx, row, GateState::Waiting, now)? {
                payments::cancel_held(tx, row.id, CancelReason::Timeout, now)?;
                payments::back_to_unpaid(tx, row.id, now)?;
            }
        }
        Verdict::ArmDemotion => jobs::push(tx, now + tx.rules.grace_ms(), &JobKind::Demote(row.account, mail.message))?,
        Verdict::Demote => {
            step_down(tx, row.account, mail, now)?;
        }
    }
    Ok(())
}

/// Ten minutes in Junk are over.
pub(super) fn demote(tx: &mut Tx<'_>, account: AccountId, message: MessageId, now: UnixMs) -> Result<bool> {
    let gate: Option<Option<i64>> =
        tx.value("SELECT gate FROM message WHERE id = ?1 AND account = ?2", (message.0, account.0))?;
    let Some(gate) = gate else { return Ok(false) };
    let mail = Mail { message, gate: gate.map(GateId) };
    let mut lies = None;
    for entry in entries::of_message(tx, message)? {
        match tx.touch(entry.mailbox)?.place {
            Place::Junk => lies = lies.or(Some(Place::Junk)),
            Place::Trash => {}
            // A copy the user kept says that this is no junk.
            elsewhere => {
                lies = Some(elsewhere);
                break;
            }
        }
    }
    if lies != Some(Place::Junk) {
        return Ok(false);
    }
    let act = Act::GraceOver { lies };
    let verdict = match mail.gate {
        Some(gate) => tx.rules.meaning(&act, &gates::load(tx, gate)?.facts(tx, &act)?),
        None => tx.rules.meaning_without_gate(&act),
    };
    if verdict == Verdict::Demote { step_down(tx, account, mail, now) } else { Ok(false) }
}

/// The last entry of a message may have gone.
pub(super) fn entry_gone(tx: &mut Tx<'_>, mail: Mail, now: UnixMs) -> Result<()> {
    if tx.exists("SELECT 1 FROM entry WHERE message = ?1", [mail.message.0])? {
        return Ok(());
    }
    let Some(gate) = mail.gate else { return messages::delete(tx, mail.message) };
    let row = gates::load(tx, gate)?;
    if !row.is_live() {
        return messages::delete(tx, mail.message);
    }
    let copy = entries::of_gate(tx, gate)?.into_iter().next();
    if let Some(copy) = &copy
        && row.message == mail.message
    {
        gates::set_message(tx, gate, copy.message)?;
    }
    if copy.is_some() || row.message != mail.message {
        // Another copy shows it, or this was an appended one: the original is what is kept.
        messages::delete(tx, mail.message)?;
    }
    if copy.is_none() && row.state == GateState::Waiting {
        jobs::push(tx, now + tx.rules.grace_ms(), &JobKind::Grace(gate))?;
    }
    Ok(())
}

/// Who wrote it, as long as that is known.
pub(super) fn author_of(tx: &Tx<'_>, mail: Mail) -> Result<Option<Author>> {
    if let Some(gate) = mail.gate {
        return Ok(gates::parties(tx, gate)?.and_then(|parties| parties.author));
    }
    let sealed: Option<Option<Vec<u8>>> = tx.value("SELECT author FROM message WHERE id = ?1", [mail.message.0])?;
    sealed.flatten().map(|sealed| tx.vault.open_json(Of::Author, &sealed)).transpose()
}

/// Let in free: an aligned author is a friend now, another one has a pass if anything can recognise it.
fn befriend(tx: &Tx<'_>, account: AccountId, mail: Mail, now: UnixMs) -> Result<()> {
    let Some(author) = author_of(tx, mail)? else { return Ok(()) };
    if author.aligned {
        contacts::raise(tx, account, &author.address, Relation::Friend, now)
    } else if let Some(evidence) = &author.evidence {
        contacts::grant_pass(tx, account, evidence, now)
    } else {
        Ok(())
    }
}

/// Taken out of Junk or Trash. What Junk took from the author comes back; after a decline or refund
/// (`let_in`) it is a free let-in as well.
fn restore(tx: &mut Tx<'_>, account: AccountId, mail: Mail, let_in: bool, now: UnixMs) -> Result<()> {
    if let_in {
        return befriend(tx, account, mail, now);
    }
    let Some(author) = author_of(tx, mail)? else { return Ok(()) };
    if author.aligned { contacts::undo_demotion(tx, account, &author.address, now) } else { Ok(()) }
}

fn step_down(tx: &Tx<'_>, account: AccountId, mail: Mail, now: UnixMs) -> Result<bool> {
    let Some(author) = author_of(tx, mail)? else { return Ok(false) };
    if author.aligned {
        contacts::step_down(tx, account, &author.address, now)
    } else if let Some(evidence) = &author.evidence {
        contacts::revoke_pass(tx, account, evidence)
    } else {
        Ok(false)
    }
}

fn place_of(tx: &mut Tx<'_>, gate: GateId) -> Result<Option<Place>> {
    let Some(entry) = entries::where_it_lies(tx, gate)? else { return Ok(None) };
    Ok(Some(tx.touch(entry.mailbox)?.place))
}
