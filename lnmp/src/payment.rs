//! Payments: hashes, gates and quotes (design: "a gate is about a mail, a quote is about a payment").

use std::fmt;

use ring::digest;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// SHA-256 of a [`Preimage`]; what an invoice and an HTLC commit to (BOLT 11 `p`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PaymentHash(#[serde(with = "hex::serde")] pub [u8; 32]);

impl fmt::Display for PaymentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PaymentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PaymentHash({self})")
    }
}

/// The secret that claims a held payment. Never printed; wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Preimage([u8; 32]);

impl Preimage {
    /// Wraps 32 octets of good chance.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash an invoice for this preimage carries.
    pub fn hash(&self) -> PaymentHash {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, &self.0).as_ref());
        PaymentHash(out)
    }

    /// The secret itself: for the claim, and for the ciphertext it is stored in.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Preimage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Preimage([secret])")
    }
}

/// Names one gate: one priced mail for one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GateId(pub i64);

impl fmt::Display for GateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Names one quote: one invoice for a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuoteId(pub i64);

/// How the money is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldKind {
    /// In an HTLC on a channel: trustless, scarce, about a day.
    #[default]
    Htlc,
    /// Received and kept by the operator until the decision: custody.
    Escrow,
}

/// Where a gate is. The stored form; [`crate::gate`] holds the moves as types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateState {
    /// Not paid; the mail is in Unpaid.
    Waiting,
    /// A payment is locked; the mail is in Requests, or in INBOX when it paid priority.
    Held,
    /// Accepted; the claim is under way and cannot be taken back.
    Settling,
    /// The money arrived.
    Settled,
    /// Accepted, but the payment was gone before the claim got through.
    Lost,
    /// Refused; the payment went back.
    Declined,
    /// Let in free.
    Waived,
}

impl GateState {
    /// All states, in the order of a gate's life.
    pub const ALL: [Self; 7] =
        [Self::Waiting, Self::Held, Self::Settling, Self::Settled, Self::Lost, Self::Declined, Self::Waived];

    /// The name used on the command line and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Settling => "settling",
            Self::Settled => "settled",
            Self::Lost => "lost",
            Self::Declined => "declined",
            Self::Waived => "waived",
        }
    }

    /// The inverse of [`GateState::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether design section 4 draws an edge from `self` to `next`.
    pub fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Waiting, Self::Held | Self::Waived)
                | (Self::Held, Self::Settling | Self::Declined | Self::Waiting)
                | (Self::Settling, Self::Settled | Self::Lost)
                // A late PaymentReceived: money wins, once.
                | (Self::Lost, Self::Settled)
        )
    }

    /// Whether no further payment can matter.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Settled | Self::Lost | Self::Declined | Self::Waived)
    }

    /// The keywords every copy of the mail shows. `$Refunded` says that the money is back, not that it will be.
    pub fn keywords(self, refund: Refund) -> &'static [&'static str] {
        match (self, refund) {
            (Self::Waiting, Refund::Done) => &["$Unpaid", "$Refunded"],
            (Self::Waiting, Refund::No | Refund::UnderWay) => &["$Unpaid"],
            (Self::Held, _) => &["$Paid"],
            (Self::Settling, _) => &["$Paid", "$Accepted"],
            (Self::Settled, _) => &["$Settled", "$Accepted"],
            (Self::Lost, _) => &["$Refunded"],
            (Self::Declined, Refund::UnderWay) => &["$Declined"],
            (Self::Declined, Refund::No | Refund::Done) => &["$Refunded", "$Declined"],
            (Self::Waived, _) => &[],
        }
    }
}

/// Where a gate is that began without its mail: as a voucher, by which an author pays before sending.
///
/// ```text
///   open ──its mail──▶ used       from then on a gate like any other
///     └──no mail, no payment, or the money gone home──▶ over
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Voucher {
    /// Its mail has not come: it can be paid, or it is paid and waits.
    Open,
    /// Its mail came.
    Used,
    /// It ended without its mail.
    Over,
}

impl Voucher {
    /// The name used on the command line and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Used => "used",
            Self::Over => "over",
        }
    }

    /// The inverse of [`Voucher::name`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Open, Self::Used, Self::Over].into_iter().find(|voucher| voucher.name() == name)
    }
}

/// How a mail's last payment that was not kept stands. An HTLC is back as soon as it is failed; what was received in
/// escrow is back when a payment to its author succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refund {
    /// None was due, or it was an HTLC's.
    #[default]
    No,
    /// A hold timed out, and its money is back.
    Done,
    /// Money received in escrow is on its way back.
    UnderWay,
}

/// Where money that was received in escrow goes when the mail is not accepted. Its author says so before the invoice is
/// made; then it is fixed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefundTarget {
    /// A Lightning address (LUD-16).
    Address(String),
    /// The author's wallet fetches it by a link (LUD-03).
    Withdraw,
    /// The sandbox's customer, whose wallet gives an invoice.
    Sandbox,
}

/// Keywords that belong to the server on a priced mail (compared without case). The user may still
/// *set* `$Accepted` and `$Declined`, which decides; everything else a client says of them is ignored.
pub const SERVER_KEYWORDS: [&str; 10] =
    ["$Unpaid", "$Paid", "$Settled", "$Refunded", "$Accepted", "$Declined", "$Priority", TIERS[0], TIERS[1], TIERS[2]];

/// How a support queue names what was paid for a mail: the priority price, something, nothing.
pub const TIERS: [&str; 3] = ["$Tier1", "$Tier2", "$Tier3"];

/// Where a quote is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "reason")]
pub enum QuoteState {
    /// It can be paid once its invoice is out.
    Live,
    /// Its payment is locked.
    Held,
    /// Its payment arrived.
    Settled,
    /// Its payment was, or is being, failed back.
    Cancelled(CancelReason),
    /// Nobody paid it in time.
    Expired,
    /// Escrow: its payment is locked and being received.
    Claiming,
    /// Escrow: received, undecided.
    Escrowed,
    /// Escrow: accepted, and booked to its owner.
    Released,
    /// Escrow: being paid back.
    Refunding(CancelReason),
    /// Escrow: paid back, in full.
    Refunded(CancelReason),
    /// Escrow: it could not be paid back so far; its author or the operator has to say where to.
    Stuck(CancelReason),
}

impl QuoteState {
    /// The name used in the database and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Held => "held",
            Self::Settled => "settled",
            Self::Cancelled(_) => "cancelled",
            Self::Expired => "expired",
            Self::Claiming => "claiming",
            Self::Escrowed => "escrowed",
            Self::Released => "released",
            Self::Refunding(_) => "refunding",
            Self::Refunded(_) => "refunded",
            Self::Stuck(_) => "stuck",
        }
    }

    /// Why the money was not kept, where it was not.
    pub fn reason(self) -> Option<CancelReason> {
        match self {
            Self::Cancelled(reason) | Self::Refunding(reason) | Self::Refunded(reason) | Self::Stuck(reason) => {
                Some(reason)
            }
            Self::Live
            | Self::Held
            | Self::Settled
            | Self::Expired
            | Self::Claiming
            | Self::Escrowed
            | Self::Released => None,
        }
    }

    /// The inverse of [`QuoteState::name`] and [`QuoteState::reason`].
    pub fn parse(name: &str, reason: Option<CancelReason>) -> Option<Self> {
        Some(match (name, reason) {
            ("live", _) => Self::Live,
            ("held", _) => Self::Held,
            ("settled", _) => Self::Settled,
            ("expired", _) => Self::Expired,
            ("claiming", _) => Self::Claiming,
            ("escrowed", _) => Self::Escrowed,
            ("released", _) => Self::Released,
            ("cancelled", Some(reason)) => Self::Cancelled(reason),
            ("refunding", Some(reason)) => Self::Refunding(reason),
            ("refunded", Some(reason)) => Self::Refunded(reason),
            ("stuck", Some(reason)) => Self::Stuck(reason),
            _ => return None,
        })
    }

    /// Whether there is an edge from `self` to `next`. Money that arrives wins over every end that says it did not.
    pub fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Live, Self::Held | Self::Claiming | Self::Expired | Self::Cancelled(_))
            | (Self::Held, Self::Cancelled(_))
            | (Self::Claiming, Self::Cancelled(_))
            | (
                Self::Live | Self::Held | Self::Claiming | Self::Expired | Self::Cancelled(_),
                Self::Settled | Self::Escrowed,
            )
            | (Self::Escrowed, Self::Released | Self::Refunding(_)) => true,
            (Self::Refunding(was), Self::Refunded(is) | Self::Stuck(is))
            | (Self::Stuck(was), Self::Refunding(is) | Self::Refunded(is)) => was == is,
            (
                Self::Live
                | Self::Held
                | Self::Settled
                | Self::Cancelled(_)
                | Self::Expired
                | Self::Claiming
                | Self::Escrowed
                | Self::Released
                | Self::Refunding(_)
                | Self::Refunded(_)
                | Self::Stuck(_),
                _,
            ) => false,
        }
    }
}

/// Why a payment was failed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CancelReason {
    /// The recipient declined the mail.
    Declined,
    /// Nobody answered before the hold ended.
    Timeout,
    /// It came after the quote's expiry.
    Late,
    /// It was less than the quote.
    Short,
    /// Its deadline was too near to hold for a human.
    ShortWindow,
    /// The mail was let in free, or is already paid: not needed.
    NotNeeded,
    /// The account or the mail is gone.
    Gone,
}

impl CancelReason {
    /// The name used on the page, in mails and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Declined => "declined",
            Self::Timeout => "timeout",
            Self::Late => "late",
            Self::Short => "short",
            Self::ShortWindow => "short-window",
            Self::NotNeeded => "not-needed",
            Self::Gone => "gone",
        }
    }

    /// The inverse of [`CancelReason::name`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Declined, Self::Timeout, Self::Late, Self::Short, Self::ShortWindow, Self::NotNeeded, Self::Gone]
            .into_iter()
            .find(|reason| reason.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [QuoteState; 12] = [
        QuoteState::Live,
        QuoteState::Held,
        QuoteState::Settled,
        QuoteState::Cancelled(CancelReason::Late),
        QuoteState::Expired,
        QuoteState::Claiming,
        QuoteState::Escrowed,
        QuoteState::Released,
        QuoteState::Refunding(CancelReason::Declined),
        QuoteState::Refunded(CancelReason::Declined),
        QuoteState::Stuck(CancelReason::Declined),
        QuoteState::Stuck(CancelReason::Gone),
    ];

    #[test]
    fn a_quotes_state_is_read_as_it_was_written() {
        for state in STATES {
            assert_eq!(QuoteState::parse(state.name(), state.reason()), Some(state));
        }
        assert_eq!(QuoteState::parse("cancelled", None), None);
        assert_eq!(QuoteState::parse("lost", Some(CancelReason::Late)), None);
    }

    #[test]
    fn money_is_released_or_refunded_and_never_both() {
        let reaches = |from: QuoteState| {
            let mut seen = vec![from];
            let mut at = 0;
            while let Some(&state) = seen.get(at) {
                let next = STATES.into_iter().filter(|next| state.may_become(*next) && !seen.contains(next));
                seen.extend(next.collect::<Vec<_>>());
                at += 1;
            }
            seen
        };
        for state in STATES {
            assert!(!state.may_become(state), "{}", state.name());
            assert!(!state.may_become(QuoteState::Live), "{}", state.name());
        }
        for end in [QuoteState::Settled, QuoteState::Released, QuoteState::Refunded(CancelReason::Declined)] {
            assert_eq!(reaches(end), [end]);
        }
        for refunding in [QuoteState::Refunding(CancelReason::Declined), QuoteState::Stuck(CancelReason::Declined)] {
            let reached = reaches(refunding);
            assert!(reached.contains(&QuoteState::Refunded(CancelReason::Declined)));
            assert!(
                !reached.contains(&QuoteState::Released) && !reached.contains(&QuoteState::Stuck(CancelReason::Gone))
            );
        }
        assert!(!QuoteState::Escrowed.may_become(QuoteState::Cancelled(CancelReason::Declined)), "it was received");
        assert!(!QuoteState::Refunding(CancelReason::Declined).may_become(QuoteState::Escrowed));
    }

    #[test]
    fn refunded_is_said_when_the_money_is_back() {
        assert_eq!(GateState::Declined.keywords(Refund::UnderWay), ["$Declined"]);
        assert_eq!(GateState::Declined.keywords(Refund::No), ["$Refunded", "$Declined"]);
        assert_eq!(GateState::Waiting.keywords(Refund::UnderWay), ["$Unpaid"]);
        assert_eq!(GateState::Waiting.keywords(Refund::Done), ["$Unpaid", "$Refunded"]);
    }
}
