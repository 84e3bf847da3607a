//! The channels of a node that is ours to manage. A node that somebody else runs has tools of its own for that.

use std::time::Duration;

use async_trait::async_trait;
use lnmp::Msat;

use crate::WalletError;

/// What the operator does with channels; [`crate::Wallet::own_channels`] gives it where the node is our own.
#[async_trait]
pub trait OwnChannels: Send + Sync {
    /// The channels, open, opening or being closed by agreement.
    async fn list(&self) -> Result<Vec<OwnChannel>, WalletError>;

    /// What is ours in channels that were closed and not yet on the chain, or not yet ours to spend.
    async fn leaving(&self) -> Result<Vec<Leaving>, WalletError>;

    /// Coins on the chain, and what of them must stay for the channels.
    async fn coins(&self) -> Result<Coins, WalletError>;

    /// Opens a channel; its tag. It is usable once its funding has six confirmations.
    ///
    /// # Errors
    /// [`WalletError::NoCapacity`] when the coins do not cover capacity and reserve or the peer cannot be reached.
    async fn open(&self, new: NewChannel) -> Result<String, WalletError>;

    /// Closes a channel: by agreement with its peer, or without one.
    ///
    /// # Errors
    /// [`WalletError::BadRequest`] for an id no channel has.
    async fn close(&self, id: &str, how: Closing) -> Result<(), WalletError>;

    /// What forwarding over a channel costs others from now on.
    async fn set_fees(&self, id: &str, fees: Fees) -> Result<(), WalletError>;

    /// Whether anything is under way that changes what the node owns and that the books have not heard of.
    async fn is_quiet(&self) -> Result<bool, WalletError>;

    /// An invoice whose payment makes the configured provider open a channel to us first (LSPS2), which it charges for.
    ///
    /// # Errors
    /// [`WalletError::NoProvider`], [`WalletError::Provider`].
    async fn receive_first(&self, new: FirstReceive) -> Result<FirstInvoice, WalletError>;

    /// What the provider kept of a payment that came through its channel; zero for every other payment.
    async fn kept_by_provider(&self, hash: lnmp::PaymentHash) -> Result<Msat, WalletError>;

    /// Orders a channel from the configured provider (LSPS1); nothing is paid by this.
    async fn order(&self, new: NewOrder) -> Result<Order, WalletError>;

    /// How far an order is.
    async fn order_status(&self, id: &str) -> Result<Order, WalletError>;

    /// What a restored node needs to ask its peers for its money, sealed under a key of the node's seed.
    async fn backup(&self) -> Result<Vec<u8>, WalletError>;

    /// Asks the peers named in a backup to close the channels we lost, and takes to our wallet what they put on the chain.
    /// May be repeated: until every channel's money was found.
    async fn recover(&self, backup: &[u8]) -> Result<Recovered, WalletError>;
}

/// Whether this names a peer: a node id, and `HOST:PORT`.
///
/// # Errors
/// [`WalletError::BadRequest`] says what is wrong.
pub fn check_peer(node_id: &str, address: &str) -> Result<(), WalletError> {
    crate::node::PeerAddress::parse(node_id, address).map(drop)
}

/// One channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnChannel {
    /// Channel id, 64 hex digits.
    pub id: String,
    /// A name it keeps while its id changes, 32 hex digits.
    pub tag: String,
    /// The peer's node id, 66 hex digits.
    pub peer: String,
    /// Where the peer is reached, as far as we know.
    pub address: Option<String>,
    /// Where the channel is.
    pub state: ChannelState,
    /// What it holds, both sides.
    pub capacity: Msat,
    /// Ours, the part that must stay included.
    pub ours: Msat,
    /// What it carries towards us: held payments.
    pub held: Msat,
    /// What of ours must stay in it while it is open.
    pub kept: Msat,
    /// What can be sent over it now.
    pub sendable: Msat,
    /// What the peer can send us now.
    pub receivable: Msat,
    /// What can be held over it.
    pub room: Room,
    /// What forwarding over it costs others.
    pub fees: Fees,
    /// Confirmations of its funding.
    pub confirmations: u32,
    /// Confirmations it needs.
    pub confirmations_required: u32,
    /// Whether we opened it.
    pub opened_by_us: bool,
    /// Whether the network is told of it.
    pub announced: bool,
    /// Funding output, `txid:vout`.
    pub funding: Option<String>,
    /// Blocks that ours waits after a close without agreement.
    pub delay_blocks: u16,
}

/// Where a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelState {
    /// Its funding waits for confirmations.
    Opening,
    /// Payments flow.
    Usable,
    /// Its peer is not connected.
    Offline,
    /// Being closed by agreement.
    Closing,
}

impl ChannelState {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Usable => "usable",
            Self::Offline => "offline",
            Self::Closing => "closing",
        }
    }
}

/// How much one channel holds, cut to the share that quotes may reserve; nothing while it is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Payments at once.
    pub slots: u32,
    /// Value in flight towards us.
    pub value: Msat,
    /// The same, less what is held and no more than the peer has.
    pub value_free: Msat,
    /// Value of payments that are dust.
    pub dust: Msat,
}

/// What forwarding costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fees {
    /// Per payment.
    pub base: Msat,
    /// Per million.
    pub ppm: u32,
}

/// How a channel is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Both sign one transaction; ours is on the chain with its first confirmation.
    Agreed,
    /// We publish the last state: it costs more, and ours waits for days.
    Forced,
}

/// A channel to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChannel {
    /// The peer's node id.
    pub peer: String,
    /// `HOST:PORT`.
    pub address: String,
    /// What it holds.
    pub capacity_sat: u64,
    /// What of it is given to the peer.
    pub push_sat: u64,
}

/// What is ours and on its way from a closed channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// The channel's id; none for an output that is being swept and does not say.
    pub id: Option<String>,
    /// How much.
    pub amount: Msat,
    /// First height at which it can be spent; none while the closing is in no block.
    pub height: Option<u32>,
}

/// Coins on the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coins {
    /// All of them.
    pub total: Msat,
    /// What may be spent: confirmed, and no channel's reserve.
    pub spendable: Msat,
    /// What must stay, so that every channel's close can be paid for.
    pub reserve: Msat,
    /// What one more channel adds to it.
    pub reserve_per_channel: Msat,
}

/// An ordinary receive that makes the provider open a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstReceive {
    /// What the payer pays.
    pub amount: Msat,
    /// The most the provider may keep of it; none takes its cheapest offer.
    pub fee_max: Option<Msat>,
    /// The invoice's text.
    pub description: String,
    /// How long it may be paid.
    pub expiry: Duration,
}

/// Its invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstInvoice {
    /// BOLT 11.
    pub bolt11: String,
    /// What the provider keeps of the payment.
    pub fee: Msat,
}

/// A channel to buy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewOrder {
    /// What the provider puts into it.
    pub capacity_sat: u64,
    /// How long it keeps the channel open.
    pub expiry_blocks: u32,
}

/// A channel that was ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The provider's name for it.
    pub id: String,
    /// What the provider puts into it.
    pub capacity_sat: u64,
    /// How long it keeps the channel open.
    pub expiry_blocks: u32,
    /// The invoice to pay, and what it says.
    pub invoice: Option<String>,
    /// What is to be paid.
    pub price_sat: u64,
    /// What of it is the provider's fee.
    pub fee_sat: u64,
    /// Where the payment is, in the provider's word.
    pub payment: String,
    /// Funding output of the channel, once it is open.
    pub funding: Option<String>,
}

/// What a recovery found so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Channels in the backup that this node does not have.
    pub lost: u32,
    /// Peers of those that we are connected to: they close what we cannot name.
    pub connected: u32,
    /// What peers put on the chain for us and is now on its way to our wallet.
    pub swept: Msat,
    /// The transaction that takes it.
    pub txid: Option<String>,
}
