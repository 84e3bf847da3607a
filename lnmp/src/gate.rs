//! The moves of a gate and a quote, as types that consume themselves (design section 4).
//!
//! ```text
//! gate   Waiting ─hold─▶ Held ─accept─▶ Settling ─settle─▶ Settled ◀─settle─ Lost
//!          │  ▲           │ │             └───────lose──────────────────────▶ ┘
//!          │  └──time_out─┘ └─decline─▶ Declined
//!          └─waive─▶ Waived
//! quote  LiveQuote ─hold─▶ HeldQuote ─settle─▶ settled     either ─cancel(reason)─▶ cancelled
//!          └─expire─▶ expired
//! escrow LiveQuote ─claim─▶ ClaimingQuote ─arrive─▶ EscrowedQuote ─release─▶ released
//!                               └─lose─▶ cancelled        └─refund─▶ RefundingQuote ─paid─▶ refunded
//!                                                          StuckQuote ─again─▶ │  └─stick─▶ StuckQuote
//! ```
//!
//! A `Held` that was accepted is gone, so nothing can decline it too. The stored forms are [`GateState`] and
//! [`QuoteState`]; [`Gate::load`] turns the stored one into the type whose moves are possible.

use crate::{CancelReason, GateId, GateState, QuoteId, QuoteState};

/// A move that was made: what the store's compare-and-swap needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Which gate.
    pub gate: GateId,
    /// What the row must still say.
    pub from: GateState,
    /// What it says afterwards.
    pub to: GateState,
}

macro_rules! gate_states {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $(
            $(#[$doc])*
            #[derive(Debug, PartialEq, Eq)]
            #[must_use = "a gate that was moved must be stored"]
            pub struct $name {
                gate: GateId,
            }

            impl $name {
                /// Which gate.
                pub fn gate(&self) -> GateId {
                    self.gate
                }

                /// Its stored form.
                pub fn state(&self) -> GateState {
                    GateState::$name
                }
            }
        )+

        /// A gate in whichever state it is.
        #[derive(Debug, PartialEq, Eq)]
        pub enum Gate {
            $($(#[$doc])* $name($name)),+
        }

        impl Gate {
            /// The gate that is stored in `state`.
            pub fn load(gate: GateId, state: GateState) -> Self {
                match state {
                    $(GateState::$name => Self::$name($name { gate })),+
                }
            }

            /// Its stored form.
            pub fn state(&self) -> GateState {
                match self {
                    $(Self::$name(_) => GateState::$name),+
                }
            }
        }
    };
}

gate_states! {
    /// Not paid.
    Waiting,
    /// A payment is locked.
    Held,
    /// Accepted; the claim is under way.
    Settling,
    /// The money arrived.
    Settled,
    /// Accepted, but the payment was gone before the claim got through.
    Lost,
    /// Refused; the payment goes back.
    Declined,
    /// Let in free.
    Waived,
}

/// Something a gate became, and the move that made it so.
pub type Step<T> = (T, Moved);

fn step<T>(gate: GateId, from: GateState, to: GateState, next: T) -> Step<T> {
    debug_assert!(from.may_become(to));
    (next, Moved { gate, from, to })
}

impl Waiting {
    /// A quote's payment was locked.
    pub fn hold(self) -> Step<Held> {
        step(self.gate, GateState::Waiting, GateState::Held, Held { gate: self.gate })
    }

    /// The recipient let the mail in free.
    pub fn waive(self) -> Step<Waived> {
        step(self.gate, GateState::Waiting, GateState::Waived, Waived { gate: self.gate })
    }
}

impl Held {
    /// The recipient took the mail: the money is theirs, and no way back is left.
    pub fn accept(self) -> Step<Settling> {
        step(self.gate, GateState::Held, GateState::Settling, Settling { gate: self.gate })
    }

    /// The recipient refused the mail: the money goes home.
    pub fn decline(self) -> Step<Declined> {
        step(self.gate, GateState::Held, GateState::Declined, Declined { gate: self.gate })
    }

    /// Nobody answered: the money goes home, and the author may pay again.
    pub fn time_out(self) -> Step<Waiting> {
        step(self.gate, GateState::Held, GateState::Waiting, Waiting { gate: self.gate })
    }
}

impl Settling {
    /// The claim got through.
    pub fn settle(self) -> Step<Settled> {
        step(self.gate, GateState::Settling, GateState::Settled, Settled { gate: self.gate })
    }

    /// The payment was gone: the event queue is drained, the chain past the deadline, the hash in no channel.
    pub fn lose(self) -> Step<Lost> {
        step(self.gate, GateState::Settling, GateState::Lost, Lost { gate: self.gate })
    }
}

impl Lost {
    /// The money did arrive, late. Money wins, once.
    pub fn settle(self) -> Step<Settled> {
        step(self.gate, GateState::Lost, GateState::Settled, Settled { gate: self.gate })
    }
}

/// A quote that can be paid.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a quote that was moved must be stored"]
pub struct LiveQuote(pub QuoteId);

/// A quote whose payment is locked.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a quote that was moved must be stored"]
pub struct HeldQuote(pub QuoteId);

impl LiveQuote {
    /// Its payment was locked.
    pub fn hold(self) -> HeldQuote {
        HeldQuote(self.0)
    }

    /// Its time to pay is over.
    pub fn expire(self) -> (QuoteId, QuoteState) {
        (self.0, QuoteState::Expired)
    }

    /// A payment came that is not taken, or none is wanted any more.
    pub fn cancel(self, reason: CancelReason) -> (QuoteId, QuoteState) {
        (self.0, QuoteState::Cancelled(reason))
    }
}

/// An escrow quote whose payment is locked and being received.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a quote that was moved must be stored"]
pub struct ClaimingQuote(pub QuoteId);

/// An escrow quote whose payment was received, undecided.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a quote that was moved must be stored"]
pub struct EscrowedQuote(pub QuoteId);

/// An escrow quote that is being paid back.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a quote that was moved must be stored"]
pub struct RefundingQuote(pub QuoteId, pub CancelReason);

/// An escrow quote that could not be paid back so far.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a quote that was moved must be stored"]
pub struct StuckQuote(pub QuoteId, pub CancelReason);

impl LiveQuote {
    /// Its payment was locked and is to be received, for escrow.
    pub fn claim(self) -> ClaimingQuote {
        ClaimingQuote(self.0)
    }
}

impl ClaimingQuote {
    /// The money arrived.
    pub fn arrive(self) -> EscrowedQuote {
        EscrowedQuote(self.0)
    }

    /// The payment was gone before the claim.
    pub fn lose(self) -> (QuoteId, QuoteState) {
        (self.0, QuoteState::Cancelled(CancelReason::Timeout))
    }
}

impl EscrowedQuote {
    /// The mail was accepted: the money is its owner's.
    pub fn release(self) -> (QuoteId, QuoteState) {
        (self.0, QuoteState::Released)
    }

    /// It was not: the money goes home.
    pub fn refund(self, reason: CancelReason) -> RefundingQuote {
        RefundingQuote(self.0, reason)
    }
}

impl RefundingQuote {
    /// A payment to the author succeeded.
    pub fn paid(self) -> (QuoteId, QuoteState) {
        (self.0, QuoteState::Refunded(self.1))
    }

    /// No payment succeeds: somebody has to say where else to pay.
    pub fn stick(self) -> StuckQuote {
        StuckQuote(self.0, self.1)
    }
}

impl StuckQuote {
    /// There is another target.
    pub fn again(self) -> RefundingQuote {
        RefundingQuote(self.0, self.1)
    }
}

impl HeldQuote {
    /// Its payment arrived.
    pub fn settle(self) -> (QuoteId, QuoteState) {
        (self.0, QuoteState::Settled)
    }

    /// Its payment goes home.
    pub fn cancel(self, reason: CancelReason) -> (QuoteId, QuoteState) {
        (self.0, QuoteState::Cancelled(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every move the types allow from `state`.
    fn moves(state: GateState) -> Vec<Moved> {
        let load = || Gate::load(GateId(7), state);
        match load() {
            Gate::Waiting(waiting) => {
                let Gate::Waiting(again) = load() else { unreachable!() };
                vec![waiting.hold().1, again.waive().1]
            }
            Gate::Held(held) => {
                let (Gate::Held(second), Gate::Held(third)) = (load(), load()) else { unreachable!() };
                vec![held.accept().1, second.decline().1, third.time_out().1]
            }
            Gate::Settling(settling) => {
                let Gate::Settling(again) = load() else { unreachable!() };
                vec![settling.settle().1, again.lose().1]
            }
            Gate::Lost(lost) => vec![lost.settle().1],
            Gate::Settled(_) | Gate::Declined(_) | Gate::Waived(_) => Vec::new(),
        }
    }

    #[test]
    fn the_types_allow_exactly_the_moves_of_the_stored_states() {
        for from in GateState::ALL {
            for to in GateState::ALL {
                let allowed = moves(from).iter().any(|moved| (moved.from, moved.to) == (from, to));
                assert_eq!(allowed, from.may_become(to), "{} -> {}", from.name(), to.name());
            }
            assert_eq!(Gate::load(GateId(1), from).state(), from);
        }
    }

    #[test]
    fn a_held_payment_that_was_accepted_settles_once_even_after_it_seemed_lost() {
        let Gate::Waiting(waiting) = Gate::load(GateId(1), GateState::Waiting) else { unreachable!() };
        let (held, _) = waiting.hold();
        let (settling, moved) = held.accept();
        assert_eq!(moved, Moved { gate: GateId(1), from: GateState::Held, to: GateState::Settling });
        let (lost, _) = settling.lose();
        let (settled, _) = lost.settle();
        assert_eq!(settled.state(), GateState::Settled);
        assert!(settled.state().is_over());
    }

    #[test]
    fn the_moves_of_escrow_are_edges_of_the_stored_states() {
        let reason = CancelReason::Declined;
        let escrowed = || LiveQuote(QuoteId(3)).claim().arrive();
        assert!(
            QuoteState::Live.may_become(QuoteState::Claiming) && QuoteState::Claiming.may_become(QuoteState::Escrowed)
        );
        assert!(QuoteState::Claiming.may_become(LiveQuote(QuoteId(3)).claim().lose().1));
        assert!(QuoteState::Escrowed.may_become(escrowed().release().1));
        assert!(QuoteState::Escrowed.may_become(QuoteState::Refunding(reason)));
        let (id, paid) = escrowed().refund(reason).stick().again().paid();
        assert_eq!((id, paid), (QuoteId(3), QuoteState::Refunded(reason)));
        assert!(QuoteState::Refunding(reason).may_become(paid));
        assert!(QuoteState::Refunding(reason).may_become(QuoteState::Stuck(reason)));
        assert!(QuoteState::Stuck(reason).may_become(QuoteState::Refunding(reason)));
    }

    #[test]
    fn a_quote_ends_once() {
        let (id, state) = LiveQuote(QuoteId(3)).hold().cancel(CancelReason::Timeout);
        assert_eq!((id, state), (QuoteId(3), QuoteState::Cancelled(CancelReason::Timeout)));
        assert_eq!(LiveQuote(QuoteId(3)).hold().settle().1, QuoteState::Settled);
        assert_eq!(LiveQuote(QuoteId(3)).expire().1, QuoteState::Expired);
        assert_eq!(LiveQuote(QuoteId(3)).cancel(CancelReason::Late).1, QuoteState::Cancelled(CancelReason::Late));
    }
}
