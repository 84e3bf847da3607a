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

    /// The keywords every copy of the mail shows, `refunded` saying whether a hold already timed out.
    pub fn keywords(self, refunded: bool) -> &'static [&'static str] {
        match self {
            Self::Waiting if refunded => &["$Unpaid", "$Refunded"],
            Self::Waiting => &["$Unpaid"],
            Self::Held => &["$Paid"],
            Self::Settling => &["$Paid", "$Accepted"],
            Self::Settled => &["$Settled", "$Accepted"],
            Self::Lost => &["$Refunded"],
            Self::Declined => &["$Refunded", "$Declined"],
            Self::Waived => &[],
        }
    }
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
    /// The invoice is out and can be paid.
    Live,
    /// Its payment is locked.
    Held,
    /// Its payment arrived.
    Settled,
    /// Its payment was, or is being, failed back.
    Cancelled(CancelReason),
    /// Nobody paid it in time.
    Expired,
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
