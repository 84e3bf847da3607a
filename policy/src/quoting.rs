//! How a payment is held: on a channel while there is room, else in escrow where the operator allows it.

use lnmp::{HoldKind, Msat, NoRoom, Quoting};

use crate::limits::{ESCROW_RESERVE_PERCENT, QUOTES_PER_AUTHOR, QUOTES_PER_DOMAIN};

/// How many live invoices and undecided payments one author, and one domain, may have over the whole bridge: whoever
/// pays oneself back could else take every slot at no cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Of one author.
    pub author: u32,
    /// Of all authors of one domain.
    pub domain: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { author: QUOTES_PER_AUTHOR, domain: QUOTES_PER_DOMAIN }
    }
}

/// Decides. The kind is fixed in the quote from then on.
///
/// # Errors
/// [`NoRoom`]: nothing can be asked for now; the gate stays waiting.
pub fn hold_kind(quoting: &Quoting, quotas: Quotas) -> Result<HoldKind, NoRoom> {
    if quoting.of_author >= quotas.author {
        return Err(NoRoom::Author);
    }
    if quoting.of_domain >= quotas.domain {
        return Err(NoRoom::Domain);
    }
    let Quoting { amount, room, reserved, .. } = *quoting;
    let dust = if amount < room.dust_below { amount } else { Msat::ZERO };
    let fits = room.slots > reserved.slots
        && room.value >= reserved.value + amount
        && (dust == Msat::ZERO || room.dust >= reserved.dust + dust);
    if fits {
        return Ok(HoldKind::Htlc);
    }
    let Some(escrow) = room.escrow else { return Err(NoRoom::Channels) };
    // Whatever is owed must be payable at once, and this too, with something left for routing.
    let reserve = Msat(escrow.spendable.0 / 100 * ESCROW_RESERVE_PERCENT);
    let owed = quoting.escrow + quoting.users + amount;
    if escrow.receivable >= amount && owed <= escrow.spendable - reserve {
        Ok(HoldKind::Escrow)
    } else {
        Err(NoRoom::Escrow)
    }
}

/// Whether an author who was refused is offered a page to pay on: whoever sends from many addresses could else fill the disk
/// with offers. The counts are vouchers that are open, paid or not.
pub fn may_offer(of_author: u32, of_domain: u32, quotas: Quotas) -> bool {
    of_author < quotas.author && of_domain < quotas.domain
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnmp::{EscrowRoom, Reserved, Room};

    #[test]
    fn offers_have_the_quotas_of_quotes() {
        let quotas = Quotas { author: 3, domain: 5 };
        assert!(may_offer(2, 4, quotas));
        assert!(!may_offer(3, 4, quotas));
        assert!(!may_offer(2, 5, quotas));
    }

    const SAT: u64 = 1000;
    /// One channel of 50 slots, and 2 M sat to pay back with.
    const ONE_CHANNEL: Room = Room {
        slots: 30,
        value: Msat(600_000 * SAT),
        dust: Msat(16_650 * SAT),
        dust_below: Msat(354 * SAT),
        escrow: Some(EscrowRoom { spendable: Msat(2_000_000 * SAT), receivable: Msat(7_000_000 * SAT) }),
    };

    fn asked(sat: u64, slots: u32, value_sat: u64, dust_sat: u64) -> Quoting {
        let reserved = Reserved { slots, value: Msat(value_sat * SAT), dust: Msat(dust_sat * SAT) };
        Quoting { amount: Msat(sat * SAT), room: ONE_CHANNEL, reserved, ..Quoting::default() }
    }

    fn decide(quoting: &Quoting) -> Result<HoldKind, NoRoom> {
        hold_kind(quoting, Quotas::default())
    }

    #[test]
    fn the_thirty_first_quote_of_a_fifty_slot_channel_is_escrow() {
        for taken in 0..30 {
            let quoting = asked(100, taken, u64::from(taken) * 100, u64::from(taken) * 100);
            assert_eq!(decide(&quoting), Ok(HoldKind::Htlc), "quote {}", taken + 1);
        }
        let thirty_first = asked(100, 30, 3000, 3000);
        assert_eq!(decide(&thirty_first), Ok(HoldKind::Escrow));
        let without = Quoting { room: Room { escrow: None, ..ONE_CHANNEL }, ..thirty_first };
        assert_eq!(decide(&without), Err(NoRoom::Channels));
    }

    #[test]
    fn value_and_dust_are_reserved_like_slots() {
        let table = [
            (asked(600_000, 0, 0, 0), HoldKind::Htlc),
            (asked(600_001, 0, 0, 0), HoldKind::Escrow),
            (asked(1000, 1, 599_001, 0), HoldKind::Escrow),
            (asked(353, 1, 16_650, 16_650), HoldKind::Escrow),
            (asked(354, 1, 16_650, 16_650), HoldKind::Htlc),
        ];
        for (quoting, expected) in table {
            assert_eq!(decide(&quoting), Ok(expected), "{quoting:?}");
        }
    }

    #[test]
    fn escrow_is_quoted_only_while_everything_owed_could_be_paid_back() {
        let full = |escrow: u64, users: u64, sat: u64| Quoting {
            escrow: Msat(escrow * SAT),
            users: Msat(users * SAT),
            ..asked(sat, 30, 0, 0)
        };
        // Of 2,000,000 sat, 5 % stay for routing.
        assert_eq!(decide(&full(900_000, 900_000, 100_000)), Ok(HoldKind::Escrow));
        assert_eq!(decide(&full(900_000, 900_000, 100_001)), Err(NoRoom::Escrow));
        assert_eq!(decide(&full(1_900_000, 0, 1)), Err(NoRoom::Escrow));
        let narrow = EscrowRoom { spendable: Msat(2_000_000 * SAT), receivable: Msat(99 * SAT) };
        let narrow = Quoting { room: Room { escrow: Some(narrow), ..ONE_CHANNEL }, ..asked(100, 30, 0, 0) };
        assert_eq!(decide(&narrow), Err(NoRoom::Escrow));
    }

    #[test]
    fn an_author_and_a_domain_have_a_quota_each() {
        let quotas = Quotas { author: 3, domain: 5 };
        let of = |of_author, of_domain| Quoting { of_author, of_domain, ..asked(100, 0, 0, 0) };
        assert_eq!(hold_kind(&of(2, 4), quotas), Ok(HoldKind::Htlc));
        assert_eq!(hold_kind(&of(3, 4), quotas), Err(NoRoom::Author));
        assert_eq!(hold_kind(&of(2, 5), quotas), Err(NoRoom::Domain));
    }

    #[test]
    fn nothing_overflows() {
        let most = Msat(u64::MAX);
        let reserved = Reserved { slots: u32::MAX, value: most, dust: most };
        let quoting = Quoting { amount: most, reserved, escrow: most, users: most, ..asked(1, 0, 0, 0) };
        assert_eq!(decide(&quoting), Err(NoRoom::Escrow));
    }
}
