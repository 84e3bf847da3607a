//! The table of design section 3, as far as the contract's cases go.

use lnmp::{AcceptOn, Act, GateFacts, GateState, HoldKind, NoRoom, Place, Quoting, Relation, Verdict};

use crate::Rules;

/// Rules of the contract's own, so that an engine is judged without the house's policy.
#[derive(Debug)]
pub struct TableRules;

const ACCEPT: Verdict = Verdict::Accept { raise: Relation::Acquaintance };

impl Rules for TableRules {
    fn meaning(&self, act: &Act, facts: &GateFacts) -> Verdict {
        if facts.awaits_mail {
            return match (facts.state, act) {
                (GateState::Held, Act::HoldEnded { .. }) => Verdict::TimeOut,
                (GateState::Held, Act::MarkedDeclined) => Verdict::Decline,
                _ => Verdict::Nothing,
            };
        }
        match facts.state {
            GateState::Waiting => match *act {
                Act::Moved { to, .. } | Act::AppendedAgain { to } if !to.refuses() => Verdict::LetIn,
                Act::MarkedAccepted | Act::Replied => Verdict::LetIn,
                _ => Verdict::Nothing,
            },
            GateState::Held => match *act {
                Act::Moved { to: Place::Inbox, .. } if facts.priority => Verdict::Nothing,
                Act::Moved { to, .. } | Act::AppendedAgain { to } if to.refuses() => Verdict::Decline,
                Act::Moved { .. } | Act::AppendedAgain { .. } | Act::MarkedAccepted => ACCEPT,
                Act::Expunged { seen: true, .. } if facts.priority => Verdict::ArmAccept,
                Act::Expunged { .. } => Verdict::ArmDecline,
                Act::MarkedDeclined => Verdict::Decline,
                Act::Read if facts.accept_on != AcceptOn::Move => ACCEPT,
                Act::Read => Verdict::Nothing,
                Act::Replied => Verdict::Accept { raise: Relation::Friend },
                Act::GraceOver { lies: None } if facts.decline_armed => Verdict::Decline,
                Act::GraceOver { lies: None } => ACCEPT,
                Act::GraceOver { .. } => Verdict::Nothing,
                Act::HoldEnded { seen: true } if facts.priority => ACCEPT,
                Act::HoldEnded { .. } => Verdict::TimeOut,
            },
            GateState::Declined => match *act {
                Act::Moved { from, to } if from.refuses() && !to.refuses() => Verdict::Restore,
                Act::AppendedAgain { to } if !to.refuses() => Verdict::Restore,
                _ => Verdict::Nothing,
            },
            GateState::Settling | GateState::Settled | GateState::Lost | GateState::Waived => {
                self.meaning_without_gate(act)
            }
        }
    }

    fn meaning_without_gate(&self, act: &Act) -> Verdict {
        match *act {
            Act::Moved { from: Place::Inbox, to: Place::Junk } => Verdict::ArmDemotion,
            Act::Moved { from: Place::Junk, to } if !to.refuses() => Verdict::Restore,
            Act::GraceOver { lies: Some(Place::Junk) } => Verdict::Demote,
            _ => Verdict::Nothing,
        }
    }

    fn may_offer(&self, of_author: u32, of_domain: u32) -> bool {
        of_author < 2 && of_domain < 3
    }

    /// Slots, then escrow. Where they are not ample, an author has ten quotes and a domain twenty.
    fn hold_kind(&self, quoting: &Quoting) -> Result<HoldKind, NoRoom> {
        let ample = quoting.room.slots >= crate::contract::AMPLE.slots;
        if !ample && quoting.of_author >= 10 {
            return Err(NoRoom::Author);
        }
        if !ample && quoting.of_domain >= 20 {
            return Err(NoRoom::Domain);
        }
        if quoting.room.slots > quoting.reserved.slots {
            return Ok(HoldKind::Htlc);
        }
        let escrow = quoting.room.escrow.ok_or(NoRoom::Channels)?;
        let owed = quoting.escrow + quoting.users + quoting.amount;
        if owed <= escrow.spendable { Ok(HoldKind::Escrow) } else { Err(NoRoom::Escrow) }
    }
}
