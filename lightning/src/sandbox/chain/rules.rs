//! Bitcoin's rules for one transaction, as far as ldk-node's transactions exercise them.
//!
//! Scripts are checked by Bitcoin Core's own interpreter (`bitcoinconsensus`, BIP 16, 66, 65, 112, 141, 147). It knows
//! no taproot, so spending a witness program of version 1 or higher is refused instead of waved through.

use std::collections::HashSet;

use bitcoin::absolute::{Height, LockTime, Time};
use bitcoin::{Amount, OutPoint, Sequence, Transaction, TxOut};
use thiserror::Error;

use crate::limits::{COINBASE_MATURITY, MIN_RELAY_SAT_PER_KW, TX_SIGOPS_MAX, TX_WEIGHT_MAX};

/// Why a transaction is not admitted. The texts are Bitcoin Core's reject reasons.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Reject {
    /// Not a transaction.
    #[error("TX decode failed")]
    Decode,
    /// Without inputs or outputs.
    #[error("bad-txns-vin-empty")]
    Empty,
    /// A coinbase outside a block.
    #[error("coinbase")]
    Coinbase,
    /// Heavier than what is relayed.
    #[error("tx-size")]
    TooHeavy,
    /// More signature operations than what is relayed.
    #[error("bad-txns-too-many-sigops")]
    TooManySigops,
    /// One outpoint twice.
    #[error("bad-txns-inputs-duplicate")]
    DuplicateInput,
    /// An output, or their sum, above 21 million bitcoin.
    #[error("bad-txns-txouttotal-toolarge")]
    OutputsTooLarge,
    /// Spends what does not exist, or is spent.
    #[error("bad-txns-inputs-missingorspent")]
    MissingInput,
    /// Spends a coinbase too early.
    #[error("bad-txns-premature-spend-of-coinbase")]
    Immature,
    /// Pays out more than it takes in.
    #[error("bad-txns-in-belowout")]
    BelowOut,
    /// nLockTime is in the future.
    #[error("non-final")]
    NonFinal,
    /// A relative lock (BIP 68) is not over.
    #[error("non-BIP68-final")]
    NonBip68Final,
    /// A script says no.
    #[error("mandatory-script-verify-flag-failed")]
    Script,
    /// Spends a kind of output this chain cannot check.
    #[error("witness program version not supported by the sandbox")]
    UnknownWitness,
    /// Pays less than 1 sat/vB.
    #[error("min relay fee not met")]
    FeeTooLow,
    /// Spends what a waiting transaction spends, and does not pay more (BIP 125).
    #[error("txn-mempool-conflict")]
    Conflict,
    /// It is in a block already.
    #[error("Transaction outputs already in utxo set")]
    AlreadyInChain,
    /// Too much is waiting.
    #[error("mempool full")]
    Full,
    /// The disk.
    #[error("the chain could not be written: {0}")]
    Disk(String),
}

impl Reject {
    /// Bitcoin Core's RPC error code for it.
    pub fn code(&self) -> i64 {
        match self {
            Self::Decode => -22,
            Self::AlreadyInChain => -27,
            Self::Disk(_) => -1,
            Self::MissingInput => -25,
            _ => -26,
        }
    }
}

/// An unspent output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coin {
    /// The output.
    pub output: TxOut,
    /// Height of its block; the next block's for one that waits in the mempool.
    pub height: u32,
    /// Whether a coinbase made it.
    pub coinbase: bool,
    /// Median time past of the block before its own, which BIP 68 counts seconds from.
    pub median_time_past: u32,
}

/// Where a transaction would be included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Height of the next block.
    pub(super) height: u32,
    /// Median time past of the tip.
    pub(super) median_time_past: u32,
}

/// Whether scripts are run, or were when the transaction was first seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scripts {
    /// Run them.
    Check,
    /// It was admitted before: only what depends on the place is looked at.
    Checked,
}

/// Checks everything that needs no other transaction of the mempool, and returns the fee.
pub(super) fn check(
    tx: &Transaction,
    place: Place,
    scripts: Scripts,
    coin: impl Fn(&OutPoint) -> Option<Coin>,
) -> Result<Amount, Reject> {
    check_alone(tx)?;
    let mut coins = Vec::with_capacity(tx.input.len());
    for input in &tx.input {
        coins.push(coin(&input.previous_output).ok_or(Reject::MissingInput)?);
    }
    let fee = check_amounts(tx, place, &coins)?;
    check_locks(tx, place, &coins)?;
    if scripts == Scripts::Check {
        check_scripts(tx, &coins)?;
        if fee.to_sat() * 1000 < tx.weight().to_wu() * MIN_RELAY_SAT_PER_KW {
            return Err(Reject::FeeTooLow);
        }
    }
    Ok(fee)
}

fn check_alone(tx: &Transaction) -> Result<(), Reject> {
    if tx.input.is_empty() || tx.output.is_empty() {
        return Err(Reject::Empty);
    }
    if tx.is_coinbase() || tx.input.iter().any(|input| input.previous_output.is_null()) {
        return Err(Reject::Coinbase);
    }
    if tx.weight().to_wu() > TX_WEIGHT_MAX {
        return Err(Reject::TooHeavy);
    }
    let mut seen = HashSet::new();
    if !tx.input.iter().all(|input| seen.insert(input.previous_output)) {
        return Err(Reject::DuplicateInput);
    }
    let mut total = Amount::ZERO;
    for output in &tx.output {
        total =
            total.checked_add(output.value).filter(|sum| *sum <= Amount::MAX_MONEY).ok_or(Reject::OutputsTooLarge)?;
    }
    Ok(())
}

fn check_amounts(tx: &Transaction, place: Place, coins: &[Coin]) -> Result<Amount, Reject> {
    let mut total = Amount::ZERO;
    for coin in coins {
        if coin.coinbase && place.height.saturating_sub(coin.height) < COINBASE_MATURITY {
            return Err(Reject::Immature);
        }
        total = total.checked_add(coin.output.value).ok_or(Reject::OutputsTooLarge)?;
    }
    let out = tx.output.iter().map(|output| output.value).sum();
    total.checked_sub(out).ok_or(Reject::BelowOut)
}

/// nLockTime against the next height and BIP 113's median time, then BIP 68's relative locks.
fn check_locks(tx: &Transaction, place: Place, coins: &[Coin]) -> Result<(), Reject> {
    if tx.is_lock_time_enabled() {
        // A lock time is over when it lies *before* the block.
        let over = match tx.lock_time {
            LockTime::Blocks(lock) => Height::from_consensus(place.height).is_ok_and(|height| lock < height),
            LockTime::Seconds(lock) => Time::from_consensus(place.median_time_past).is_ok_and(|time| lock < time),
        };
        if !over {
            return Err(Reject::NonFinal);
        }
    }
    if tx.version.0 < 2 {
        return Ok(());
    }
    for (input, coin) in tx.input.iter().zip(coins) {
        if !relative_lock_is_over(input.sequence, place, coin) {
            return Err(Reject::NonBip68Final);
        }
    }
    Ok(())
}

fn relative_lock_is_over(sequence: Sequence, place: Place, coin: &Coin) -> bool {
    let number = sequence.to_consensus_u32();
    let value = number & 0xffff;
    if number & (1 << 31) != 0 {
        return true;
    }
    if number & (1 << 22) != 0 {
        u64::from(place.median_time_past) >= u64::from(coin.median_time_past) + (u64::from(value) << 9)
    } else {
        place.height >= coin.height.saturating_add(value)
    }
}

fn check_scripts(tx: &Transaction, coins: &[Coin]) -> Result<(), Reject> {
    for coin in coins {
        if coin.output.script_pubkey.witness_version().is_some_and(|version| version.to_num() > 0) {
            return Err(Reject::UnknownWitness);
        }
    }
    let spent = |outpoint: &OutPoint| {
        let index = tx.input.iter().position(|input| input.previous_output == *outpoint)?;
        coins.get(index).map(|coin| coin.output.clone())
    };
    if tx.total_sigop_cost(spent) > TX_SIGOPS_MAX {
        return Err(Reject::TooManySigops);
    }
    tx.verify(spent).map_err(|_| Reject::Script)
}
