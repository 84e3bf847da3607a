//! What an author is to a recipient, and what the recipient asks for it.

use serde::{Deserialize, Serialize};

use crate::Msat;

/// The author's standing with one recipient. Ordered from far to near.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// Nothing that could be checked aligns with the author's domain; priced as a stranger.
    Unverified,
    /// Aligned, but never met.
    Stranger,
    /// At least one mail of theirs was accepted.
    Acquaintance,
    /// The recipient wrote to them, or let them in.
    Friend,
}

impl Relation {
    /// The name used in headers, on the command line and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Stranger => "stranger",
            Self::Acquaintance => "acquaintance",
            Self::Friend => "friend",
        }
    }

    /// The inverse of [`Relation::name`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Unverified, Self::Stranger, Self::Acquaintance, Self::Friend].into_iter().find(|r| r.name() == name)
    }

    /// One step further away, for an author whose mail stayed in Junk.
    pub fn one_step_down(self) -> Self {
        match self {
            Self::Friend => Self::Acquaintance,
            Self::Acquaintance | Self::Stranger => Self::Stranger,
            Self::Unverified => Self::Unverified,
        }
    }
}

/// What one account asks of each relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    /// For strangers, and for authors that could not be verified.
    pub stranger: Msat,
    /// For acquaintances.
    pub acquaintance: Msat,
    /// What puts a mail into INBOX at once, still held.
    pub priority: Msat,
    /// Whether prices double while more than [`Prices::SURGE_UNREAD`] mails are unread.
    pub surge: bool,
}

impl Prices {
    /// Unread mails above which surge doubles the prices (LNMP's default policy).
    pub const SURGE_UNREAD: u64 = 100;
}

impl Default for Prices {
    /// LNMP's defaults: 100, 10 and 1000 sat, surge on.
    fn default() -> Self {
        Self { stranger: Msat(100_000), acquaintance: Msat(10_000), priority: Msat(1_000_000), surge: true }
    }
}

/// Which of the user's acts accepts a held mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcceptOn {
    /// Moving it, replying to it or `$Accepted` (the default).
    #[default]
    Move,
    /// Also reading it.
    Read,
    /// The payment itself: a support desk that keeps all.
    Delivery,
}

/// What happens to a stranger whom nothing verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnverifiedPolicy {
    /// Kept in Unpaid, nobody is asked (the default).
    #[default]
    Keep,
    /// `550 5.7.1` at DATA.
    Reject,
}

/// What happens to mail that costs something while nothing is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnpaidPolicy {
    /// Kept in Unpaid, and its author asked (the default).
    #[default]
    Keep,
    /// `550 5.7.1` at DATA, with a page where its author pays before sending it again.
    Reject,
}
