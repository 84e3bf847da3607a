//! What a user did to a mail, and what it means for the mail's gate (design section 3).
//!
//! `policy` maps an [`Act`] under [`GateFacts`] to a [`Verdict`]; `store` carries the verdict out in
//! the very transaction that carries out the act.

use crate::{AcceptOn, GateState, Place, Relation};

/// One thing a mail user did to one mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// MOVE, or COPY: both mean the same (clients without MOVE copy and expunge).
    Moved {
        /// Where the mail lay.
        from: Place,
        /// Where the user put it.
        to: Place,
    },
    /// An APPEND of content this account already has, within the grace after an expunge.
    AppendedAgain {
        /// The folder appended to.
        to: Place,
    },
    /// Removed for good: EXPUNGE, UID EXPUNGE, CLOSE.
    Expunged {
        /// Where the mail lay.
        from: Place,
        /// Whether it bore `\Seen`.
        seen: bool,
    },
    /// `$Accepted` was set.
    MarkedAccepted,
    /// `$Declined` was set.
    MarkedDeclined,
    /// `\Seen` was set.
    Read,
    /// The user sent a reply to it.
    Replied,
    /// The grace after an expunge, or the ten minutes in Junk, are over and nothing contradicted.
    GraceOver {
        /// Where the mail lies now, `None` when it is gone.
        lies: Option<Place>,
    },
    /// The hold ended: the clock passed `hold_until`, or the chain came near the deadline.
    HoldEnded {
        /// Whether the mail bears `\Seen`.
        seen: bool,
    },
}

/// What the gate knows when an act is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateFacts {
    /// Where the gate is.
    pub state: GateState,
    /// Held in INBOX, because it paid the priority price.
    pub priority: bool,
    /// A decline by expunge is waiting for its grace to end.
    pub decline_armed: bool,
    /// The mail bears `\Seen` as the act finds it: a priority mail thrown into Trash is accepted when it
    /// was read, else declined after the grace.
    pub seen: bool,
    /// The account's choice.
    pub accept_on: AcceptOn,
    /// There is no mail yet: its author paid before sending it.
    pub awaits_mail: bool,
}

/// What an act means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing for money or relation.
    Nothing,
    /// Settle; the author rises to at least this, when aligned.
    Accept {
        /// Acquaintance by a move, friend by a reply.
        raise: Relation,
    },
    /// Refund now.
    Decline,
    /// Refund when the grace ends, unless an accept comes first.
    ArmDecline,
    /// Accept when the grace ends, unless the mail reappears first (a read priority mail expunged).
    ArmAccept,
    /// Let in free: an open invoice becomes void, the author a friend.
    LetIn,
    /// Let in free after a decline or refund: the gate's end stands, only the relation changes.
    Restore,
    /// The hold ended unanswered: refund, back to waiting.
    TimeOut,
    /// The author goes one step down when the mail is still in Junk after ten minutes.
    ArmDemotion,
    /// The author goes one step down.
    Demote,
}
