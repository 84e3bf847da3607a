//! Amounts of money, in the unit BOLT 2 and BOLT 11 count in.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// Thousandths of a satoshi.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Msat(pub u64);

impl Msat {
    /// Nothing at all: what a friend pays.
    pub const ZERO: Self = Self(0);

    /// Whole satoshis as millisatoshis; `None` when the product does not fit.
    pub fn from_sat(sat: u64) -> Option<Self> {
        sat.checked_mul(1000).map(Self)
    }

    /// Whole satoshis, rounded down.
    pub fn sat_floor(self) -> u64 {
        self.0 / 1000
    }

    /// The sum, or `None` past `u64::MAX`.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The relay's share of a settled payment and the recipient's rest (design: relay = floor(10 %)).
    pub fn split(self) -> (Self, Self) {
        let relay = self.0 / 10;
        (Self(relay), Self(self.0 - relay))
    }
}

impl Add for Msat {
    type Output = Self;
    /// Saturates: an amount past `u64::MAX` msat is 184 million times all bitcoin there will be.
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Msat {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Msat {
    /// In satoshis, with a fraction only where there is one: `100 sat`, `0.5 sat`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sat, rest) = (self.0 / 1000, self.0 % 1000);
        if rest == 0 {
            write!(f, "{sat} sat")
        } else {
            write!(f, "{} sat", format!("{sat}.{rest:03}").trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_loses_and_makes_no_millisatoshi_and_the_rounding_is_the_recipients() {
        for amount in 0..=100_000 {
            let (relay, recipient) = Msat(amount).split();
            assert_eq!(relay.0 + recipient.0, amount);
            assert_eq!(relay.0, amount / 10);
        }
        let (relay, recipient) = Msat(u64::MAX).split();
        assert_eq!(relay.0 + recipient.0, u64::MAX);
    }

    #[test]
    fn amounts_print_in_satoshis() {
        for (msat, text) in [(0, "0 sat"), (1, "0.001 sat"), (1500, "1.5 sat"), (100_000, "100 sat")] {
            assert_eq!(Msat(msat).to_string(), text);
        }
    }
}
