//! How a settled payment is shared: a tenth, rounded down, for the relay; the rest for the recipient.

use lnmp::Msat;

/// The relay's share and the recipient's, of what arrived.
pub fn shares(arrived: Msat) -> (Msat, Msat) {
    arrived.split()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_millisatoshi_is_lost_or_made_and_the_rounding_is_the_recipients() {
        for amount in 0..=100_000 {
            let (relay, recipient) = shares(Msat(amount));
            assert_eq!(relay.0 + recipient.0, amount);
            assert_eq!(relay.0, amount / 10);
            assert!(relay.0 * 9 <= recipient.0);
        }
        let (relay, recipient) = shares(Msat(u64::MAX));
        assert_eq!(relay.0 + recipient.0, u64::MAX);
    }
}
