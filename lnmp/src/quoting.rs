//! What decides how a payment can be asked for now, if it can (design section 4, "two ways to hold").
//!
//! `policy` maps a [`Quoting`] to a [`HoldKind`](crate::HoldKind) or a [`NoRoom`]; `store` fills it in the very
//! transaction that makes the quote, so that two quotes at once never take the same slot.

use crate::Msat;

/// What the node can carry when a quote is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// HTLC slots that quotes may reserve, less those of payments already locked.
    pub slots: u32,
    /// Value that quotes may reserve, less what is locked.
    pub value: Msat,
    /// Dust that quotes may reserve, less what is locked.
    pub dust: Msat,
    /// A payment below this is dust.
    pub dust_below: Msat,
    /// What escrow may use; `None` where the operator does not allow it.
    pub escrow: Option<EscrowRoom>,
}

/// What the node can receive and pay back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EscrowRoom {
    /// What could be paid out now.
    pub spendable: Msat,
    /// What could be received now.
    pub receivable: Msat,
}

/// What live HTLC quotes reserve until they expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reserved {
    /// Slots.
    pub slots: u32,
    /// Value.
    pub value: Msat,
    /// Value of those that are dust.
    pub dust: Msat,
}

/// Everything the choice rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quoting {
    /// What the quote asks.
    pub amount: Msat,
    /// What the node can carry.
    pub room: Room,
    /// What other quotes reserve of it.
    pub reserved: Reserved,
    /// Received in escrow and not given away yet, and asked for by live escrow quotes.
    pub escrow: Msat,
    /// Owed to users.
    pub users: Msat,
    /// Quotes of the same author that are live or whose money is undecided, over the whole bridge.
    pub of_author: u32,
    /// The same of the author's domain.
    pub of_domain: u32,
}

/// Why no payment can be asked for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// This author has too many open invoices and undecided payments.
    Author,
    /// This author's domain has.
    Domain,
    /// The channels have no room, and escrow is not allowed here.
    Channels,
    /// Neither the channels have room, nor could money in escrow be paid back with certainty.
    Escrow,
}
