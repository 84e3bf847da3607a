//! What can go wrong at the wallet, sorted by whose fault it is.

use thiserror::Error;

/// Why a wallet did not do what it was asked.
///
/// Three kinds: *temporary* (ask again, [`WalletError::is_temporary`]), *permanent* (asking again changes nothing)
/// and *ours* ([`WalletError::Bug`]: log it and fix it). No variant carries an invoice, a preimage or an address.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WalletError {
    /// Temporary: the node is starting, stopping or stopped.
    #[error("the lightning node is not running")]
    NotRunning,
    /// Temporary: the node did not answer in time.
    #[error("the lightning node did not answer in time")]
    Busy,
    /// Temporary: the node's disk refused a write.
    #[error("the lightning node could not write its state: {0}")]
    Disk(String),
    /// Temporary: no usable channel, or too little in it.
    #[error("no channel can carry this payment now")]
    NoCapacity,
    /// Permanent: not a BOLT 11 invoice this network knows, expired, or without an amount.
    #[error("this invoice cannot be paid: {0}")]
    BadInvoice(&'static str),
    /// Permanent: an amount, expiry, CLTV or description outside what an invoice may carry.
    #[error("{0}")]
    BadRequest(&'static str),
    /// Permanent: this hash was never registered here.
    #[error("no payment with this hash is known")]
    UnknownHash,
    /// Permanent: it was already paid, or a payment of it is under way.
    #[error("this invoice was already paid or is being paid")]
    AlreadyPaid,
    /// Permanent: the claim was made, so the money can no longer go back.
    #[error("the payment is being claimed and cannot be cancelled")]
    AlreadyClaimed,
    /// Permanent: it was cancelled, so it can no longer be claimed.
    #[error("the payment was cancelled and cannot be claimed")]
    AlreadyCancelled,
    /// Permanent: the hold ended before the claim.
    #[error("the hold ended at height {deadline_height}, the chain is at {height}")]
    TooLate {
        /// First height at which the payment is failed back.
        deadline_height: u32,
        /// Where the node is.
        height: u32,
    },
    /// Permanent: the node's state is older than what was noted of it apart from it.
    #[error(
        "the node's state in {dir} is an old copy: starting it would forfeit its channels. Put back the newer one; if there \
         is none, move that folder away for good (docs/backup.md says what comes back)"
    )]
    OldState {
        /// Where it is.
        dir: String,
    },
    /// Permanent: the preimage belongs to another hash.
    #[error("the preimage does not match the payment hash")]
    WrongPreimage,
    /// Permanent: this wallet settles every payment at once.
    #[error("this wallet settles at once and cannot hold a payment")]
    CannotHold,
    /// Permanent: no channel has this id.
    #[error("no channel has this id; `satchel channel list` shows them")]
    UnknownChannel,
    /// Permanent: no provider of channels is configured.
    #[error("no provider of channels is configured: name one as `lsp` under [channels] in the config")]
    NoProvider,
    /// Permanent: the provider of channels does not do it.
    #[error("the provider of channels: {0}")]
    Provider(&'static str),
    /// Permanent: a channel backup does not open.
    #[error("the backup does not open: it was made by a node with another seed, or it is damaged")]
    NotOurBackup,
    /// Permanent: a node that somebody else runs refuses. What it says is not repeated: it may name an invoice.
    #[error("the node refused {what} ({status})")]
    Refused {
        /// What it was asked.
        what: &'static str,
        /// Its HTTP status, or the like.
        status: u16,
    },
    /// Ours.
    #[error("lightning: {0}")]
    Bug(String),
}

impl WalletError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::NotRunning | Self::Busy | Self::Disk(_) | Self::NoCapacity => true,
            Self::BadInvoice(_)
            | Self::BadRequest(_)
            | Self::UnknownHash
            | Self::AlreadyPaid
            | Self::AlreadyClaimed
            | Self::AlreadyCancelled
            | Self::TooLate { .. }
            | Self::OldState { .. }
            | Self::WrongPreimage
            | Self::CannotHold
            | Self::UnknownChannel
            | Self::NoProvider
            | Self::Provider(_)
            | Self::NotOurBackup
            | Self::Refused { .. }
            | Self::Bug(_) => false,
        }
    }
}
