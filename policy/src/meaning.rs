//! What a user's act means for a mail's gate: the table of design section 3.
//!
//! The store asks this inside the transaction that carries out the act. "The gate belongs to the message, not
//! to the copy: the first irrevocable decision wins, later ones change nothing" is why every state has its own
//! function, and why most of what happens after a decision is [`Verdict::Nothing`].

use lnmp::{AcceptOn, Act, GateFacts, GateState, Place, Relation, Verdict};

/// A move, `$Accepted` or reading: the author is known now.
const ACCEPT: Verdict = Verdict::Accept { raise: Relation::Acquaintance };
/// A reply: nobody answers a stranger.
const ACCEPT_AS_FRIEND: Verdict = Verdict::Accept { raise: Relation::Friend };

/// What `act`, done by the owner, means for a mail whose gate is as `facts` say. The server's own moves are
/// not acts: the store does not ask about them.
pub fn meaning(act: &Act, facts: &GateFacts) -> Verdict {
    if facts.awaits_mail {
        return voucher(act, facts.state);
    }
    match facts.state {
        GateState::Waiting => waiting(act),
        GateState::Held if facts.priority => held_in_inbox(act, facts),
        GateState::Held => held_in_requests(act, facts),
        GateState::Declined => declined(act),
        GateState::Settling | GateState::Settled | GateState::Lost | GateState::Waived => decided(act),
    }
}

/// What `act` means for a mail that never had a gate: only Junk says something, of its author.
pub fn meaning_without_gate(act: &Act) -> Verdict {
    match *act {
        Act::Moved { from: Place::Junk, to } if !to.refuses() => Verdict::Restore,
        Act::Moved { .. }
        | Act::AppendedAgain { .. }
        | Act::Expunged { .. }
        | Act::MarkedAccepted
        | Act::MarkedDeclined
        | Act::Read
        | Act::Replied
        | Act::GraceOver { .. }
        | Act::HoldEnded { .. } => decided(act),
    }
}

/// Paid before its mail came: nothing can be accepted yet. The money goes home when no mail comes in time, or when its owner
/// says so.
fn voucher(act: &Act, state: GateState) -> Verdict {
    match (state, act) {
        (GateState::Held, Act::HoldEnded { .. }) => Verdict::TimeOut,
        (GateState::Held, Act::MarkedDeclined) => Verdict::Decline,
        (GateState::Held, _)
        | (
            GateState::Waiting
            | GateState::Settling
            | GateState::Settled
            | GateState::Lost
            | GateState::Declined
            | GateState::Waived,
            _,
        ) => Verdict::Nothing,
    }
}

/// Whether putting a mail there keeps it. Unpaid and Requests are the server's rooms: a mail put there by its
/// owner is neither kept nor refused. Into a Queue nothing can be put.
fn keeps(to: Place) -> bool {
    match to {
        Place::Inbox | Place::Archive | Place::Own | Place::Sent | Place::Drafts => true,
        Place::Requests | Place::Unpaid | Place::Queue | Place::Junk | Place::Trash => false,
    }
}

/// Unpaid, or refunded and back there. Every yes is a free let-in, also one that was meant as an accept and
/// arrives after the refund; a no has nothing to refund.
fn waiting(act: &Act) -> Verdict {
    match *act {
        Act::Moved { from: Place::Inbox, to: Place::Junk } => Verdict::ArmDemotion,
        // "Unpaid -> anywhere but Junk and Trash": Requests is one of the places.
        Act::Moved { from: Place::Unpaid, to: Place::Requests } => Verdict::LetIn,
        Act::Moved { from, to } if from != to && keeps(to) => Verdict::LetIn,
        Act::AppendedAgain { to } if keeps(to) => Verdict::LetIn,
        Act::MarkedAccepted | Act::Replied => Verdict::LetIn,
        Act::GraceOver { lies: Some(Place::Junk) } => Verdict::Demote,
        Act::Moved { .. }
        | Act::AppendedAgain { .. }
        | Act::Expunged { .. }
        | Act::MarkedDeclined
        | Act::Read
        | Act::GraceOver { .. }
        | Act::HoldEnded { .. } => Verdict::Nothing,
    }
}

/// Paid, the money locked, lying in Requests.
fn held_in_requests(act: &Act, facts: &GateFacts) -> Verdict {
    match *act {
        Act::Moved { from, to } if from == to => Verdict::Nothing,
        Act::Moved { to, .. } | Act::AppendedAgain { to } if to.refuses() => Verdict::Decline,
        Act::Moved { to, .. } | Act::AppendedAgain { to } if keeps(to) => ACCEPT,
        Act::Moved { .. } | Act::AppendedAgain { .. } => Verdict::Nothing,
        Act::Expunged { from: Place::Unpaid, .. } => Verdict::Nothing,
        Act::Expunged { .. } => Verdict::ArmDecline,
        Act::HoldEnded { .. } if facts.decline_armed => Verdict::Decline,
        Act::HoldEnded { .. } => Verdict::TimeOut,
        Act::MarkedAccepted | Act::MarkedDeclined | Act::Read | Act::Replied | Act::GraceOver { .. } => {
            held_anywhere(act, facts)
        }
    }
}

/// Paid the priority price: lying in INBOX, still held. Here INBOX decides nothing, Trash and expunge ask
/// whether the mail was read.
fn held_in_inbox(act: &Act, facts: &GateFacts) -> Verdict {
    match *act {
        Act::Moved { from, to } if from == to => Verdict::Nothing,
        Act::Moved { to: Place::Junk, .. } | Act::AppendedAgain { to: Place::Junk } => Verdict::Decline,
        Act::Moved { to: Place::Trash, .. } | Act::AppendedAgain { to: Place::Trash } if facts.seen => ACCEPT,
        Act::Moved { to: Place::Trash, .. } | Act::AppendedAgain { to: Place::Trash } => Verdict::ArmDecline,
        // Into INBOX from elsewhere: out of Trash after all, or a let-in queued offline. APPENDed again after an
        // expunge that was to decline it: wanted after all. Otherwise it only lies where it lay.
        Act::AppendedAgain { to: Place::Inbox } if !facts.decline_armed => Verdict::Nothing,
        Act::Moved { to, .. } | Act::AppendedAgain { to } if keeps(to) => ACCEPT,
        Act::Moved { .. } | Act::AppendedAgain { .. } => Verdict::Nothing,
        // Emptying the Trash of a read one: it was accepted when it went there. Of an unread one: still armed.
        Act::Expunged { seen: true, .. } if !facts.decline_armed => Verdict::ArmAccept,
        Act::Expunged { .. } if facts.decline_armed => Verdict::Nothing,
        Act::Expunged { .. } => Verdict::ArmDecline,
        Act::GraceOver { lies } if !facts.decline_armed => match lies {
            Some(Place::Inbox) => Verdict::Nothing,
            None | Some(_) => ACCEPT,
        },
        Act::HoldEnded { .. } if facts.decline_armed => Verdict::Decline,
        Act::HoldEnded { seen: true } => ACCEPT,
        Act::HoldEnded { seen: false } => Verdict::TimeOut,
        Act::MarkedAccepted | Act::MarkedDeclined | Act::Read | Act::Replied | Act::GraceOver { .. } => {
            held_anywhere(act, facts)
        }
    }
}

/// What means the same in Requests and in INBOX.
fn held_anywhere(act: &Act, facts: &GateFacts) -> Verdict {
    match *act {
        Act::MarkedAccepted => ACCEPT,
        Act::MarkedDeclined => Verdict::Decline,
        Act::Replied => ACCEPT_AS_FRIEND,
        Act::Read => match facts.accept_on {
            AcceptOn::Move => Verdict::Nothing,
            AcceptOn::Read | AcceptOn::Delivery => ACCEPT,
        },
        Act::GraceOver { lies } if facts.decline_armed => match lies {
            None | Some(Place::Junk | Place::Trash) => Verdict::Decline,
            // It came back, if only to where it was.
            Some(_) => Verdict::Nothing,
        },
        Act::Moved { .. }
        | Act::AppendedAgain { .. }
        | Act::Expunged { .. }
        | Act::GraceOver { .. }
        | Act::HoldEnded { .. } => Verdict::Nothing,
    }
}

/// Refused, the money gone home. Taking the mail back out is a free let-in.
fn declined(act: &Act) -> Verdict {
    match *act {
        Act::Moved { from: Place::Junk | Place::Trash, to } if !to.refuses() => Verdict::Restore,
        // Refused by `$Declined`, it stayed where it was.
        Act::Moved { from: Place::Requests | Place::Unpaid, to } if keeps(to) => Verdict::Restore,
        Act::AppendedAgain { to } if keeps(to) => Verdict::Restore,
        Act::Moved { .. }
        | Act::AppendedAgain { .. }
        | Act::Expunged { .. }
        | Act::MarkedAccepted
        | Act::MarkedDeclined
        | Act::Read
        | Act::Replied
        | Act::GraceOver { .. }
        | Act::HoldEnded { .. } => decided(act),
    }
}

/// Nothing is left to decide of the money. Junk still says something of the author: ten minutes later.
fn decided(act: &Act) -> Verdict {
    match *act {
        Act::Moved { from: Place::Inbox, to: Place::Junk } => Verdict::ArmDemotion,
        Act::GraceOver { lies: Some(Place::Junk) } => Verdict::Demote,
        Act::Moved { .. }
        | Act::AppendedAgain { .. }
        | Act::Expunged { .. }
        | Act::MarkedAccepted
        | Act::MarkedDeclined
        | Act::Read
        | Act::Replied
        | Act::GraceOver { .. }
        | Act::HoldEnded { .. } => Verdict::Nothing,
    }
}
