//! What a back-end tells and does, before [`RemoteWallet`](super::RemoteWallet) makes the promises of a wallet of it.

use std::time::Duration;

use async_trait::async_trait;
use bitcoin::Network;
use lnmp::{Msat, PaymentHash};

use crate::WalletError;
use crate::wallet::{Balance, ChannelInfo, NewHold, Paid};

/// A node somebody else runs, as plain as its protocol lets it be: it keeps no events and no promises.
#[async_trait]
pub(crate) trait Api: Send + Sync + 'static {
    /// Whether it can hold a payment at all.
    fn can_hold(&self) -> bool {
        true
    }

    /// Asks for an invoice under `new.hash`. A hash the node knows already is [`Made::Known`].
    async fn make_hold(&self, new: &NewHold) -> Result<Made, WalletError>;

    /// Hands the preimage over.
    async fn settle_hold(&self, hash: PaymentHash, preimage: &[u8; 32]) -> Result<(), WalletError>;

    /// Fails what is locked. A hash the node does not know, or cancelled before, is fine.
    async fn cancel_hold(&self, hash: PaymentHash) -> Result<(), WalletError>;

    /// Where a payment towards the node is.
    async fn look(&self, hash: PaymentHash, kind: Kind) -> Result<Seen, WalletError>;

    /// The node's chain.
    async fn info(&self) -> Result<Info, WalletError>;

    /// How much it can take in.
    async fn room(&self) -> Result<Room, WalletError>;

    /// What it owns; `held` is filled in by the caller.
    async fn balance(&self) -> Result<Balance, WalletError>;

    /// An ordinary invoice.
    async fn invoice(&self, amount: Msat, description: &str, expiry: Duration) -> Result<String, WalletError>;

    /// Pays, at most for `fee_max` more, and waits a bounded time.
    async fn pay(&self, bolt11: &str, fee_max: Msat) -> Result<Paid, WalletError>;

    /// How far a payment is.
    async fn sent(&self, hash: PaymentHash) -> Result<Option<Paid>, WalletError>;

    /// Its channels, where it tells of them.
    async fn channels(&self) -> Result<Vec<ChannelInfo>, WalletError>;

    /// Returns when something may have happened that is worth a look before the next poll.
    async fn rung(&self) {
        std::future::pending().await
    }

    /// Lets go of connections.
    async fn close(&self) {}
}

/// What became of [`Api::make_hold`].
pub(crate) enum Made {
    /// The invoice.
    Invoice(String),
    /// The hash is registered; the invoice that goes with it, where the node still has it.
    Known(Option<String>),
}

/// Two kinds of payments come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Waits for a decision.
    Hold,
    /// Is claimed on arrival.
    Ordinary,
}

/// Where a payment towards the node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The node never heard of it.
    Unknown,
    /// Nothing is locked.
    Open,
    /// Locked. What the node leaves out is concluded from what was asked.
    Held {
        /// How much.
        amount: Option<Msat>,
        /// The height at which the first of its HTLCs could be taken back on the chain.
        expiry_height: Option<u32>,
    },
    /// The money is the node's.
    Settled {
        /// How much.
        amount: Option<Msat>,
    },
    /// Failed back, or closed before anything came.
    Cancelled,
}

/// The node's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) network: Network,
    pub(crate) height: u32,
    /// The node says that it follows its chain.
    pub(crate) synced: bool,
}

/// How much a node can take in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) channels: u32,
    /// HTLCs the usable channels carry towards us at most.
    pub(crate) slots: u32,
    /// What the peers could send now.
    pub(crate) inbound: Msat,
}
