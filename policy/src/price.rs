//! What a mail costs its author.

use lnmp::{Msat, Prices, Relation};

/// What is asked for one mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// What lets it into Requests; zero when it is free.
    pub price: Msat,
    /// What puts it into INBOX at once, still held; never below the price.
    pub priority: Msat,
    /// Whether prices were doubled because too many mails are unread.
    pub surge: bool,
}

/// What an account with these prices and so many unread mails in INBOX asks of an author.
///
/// The house calls this in observe mode too: then the price is shown and nothing is gated.
pub fn price(relation: Relation, prices: &Prices, unread: u64) -> Asked {
    let base = match relation {
        Relation::Friend => Msat::ZERO,
        Relation::Acquaintance => prices.acquaintance,
        // Anybody can be unverified; being so must not be cheaper.
        Relation::Unverified | Relation::Stranger => prices.stranger,
    };
    price_of(base, prices, unread)
}

/// The same where a filter says what the mail costs.
pub fn price_of(base: Msat, prices: &Prices, unread: u64) -> Asked {
    let surge = prices.surge && unread > Prices::SURGE_UNREAD;
    let factor = |amount: Msat| if surge { amount + amount } else { amount };
    Asked { price: factor(base), priority: factor(prices.priority.max(base)), surge }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Prices =
        Prices { stranger: Msat(100_000), acquaintance: Msat(10_000), priority: Msat(1_000_000), surge: false };
    const SURGING: Prices = Prices { surge: true, ..CALM };

    #[test]
    fn each_relation_pays_its_price_doubled_in_a_surge() {
        let table = [
            // relation, prices, unread -> price, priority
            (Relation::Friend, SURGING, 0, 0, 1_000_000),
            (Relation::Friend, SURGING, 101, 0, 2_000_000),
            (Relation::Acquaintance, SURGING, 100, 10_000, 1_000_000),
            (Relation::Acquaintance, SURGING, 101, 20_000, 2_000_000),
            (Relation::Stranger, SURGING, 0, 100_000, 1_000_000),
            (Relation::Stranger, SURGING, 101, 200_000, 2_000_000),
            (Relation::Stranger, CALM, u64::MAX, 100_000, 1_000_000),
            (Relation::Unverified, SURGING, 0, 100_000, 1_000_000),
            (Relation::Unverified, SURGING, u64::MAX, 200_000, 2_000_000),
        ];
        for (relation, prices, unread, amount, priority) in table {
            let asked = price(relation, &prices, unread);
            assert_eq!((asked.price, asked.priority), (Msat(amount), Msat(priority)), "{relation:?}, {unread} unread");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_protocol() {
        let asked = |relation| price(relation, &Prices::default(), 0).price.0;
        assert_eq!(
            [asked(Relation::Stranger), asked(Relation::Acquaintance), asked(Relation::Friend)],
            [100_000, 10_000, 0]
        );
    }

    #[test]
    fn priority_is_never_cheaper_than_the_price_and_huge_prices_do_not_overflow() {
        let prices = Prices { stranger: Msat(u64::MAX), priority: Msat(1), ..SURGING };
        assert_eq!(price(Relation::Stranger, &prices, 101).priority, Msat(u64::MAX));
        let prices = Prices { stranger: Msat(500), priority: Msat(1), ..CALM };
        assert_eq!(price(Relation::Stranger, &prices, 0).priority, Msat(500));
    }

    #[test]
    fn an_account_that_asks_nothing_is_free_for_all() {
        let prices = Prices { stranger: Msat::ZERO, acquaintance: Msat::ZERO, ..SURGING };
        for relation in [Relation::Unverified, Relation::Stranger, Relation::Acquaintance, Relation::Friend] {
            assert_eq!(price(relation, &prices, 1000).price, Msat::ZERO);
        }
    }
}
