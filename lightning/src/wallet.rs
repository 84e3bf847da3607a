//! The boundary the house calls: what a Lightning wallet can do for a gate.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lnmp::{Msat, PaymentHash, Preimage};

use crate::WalletError;
use crate::channels::OwnChannels;
use crate::limits::FINAL_CLTV_DEFAULT;

/// A Lightning node that can lock payments, and claim or return them later.
///
/// Every call may be repeated: a second one with the same hash changes nothing that the first did not. The order the
/// house keeps is: commit the decision, call, and only then [`Wallet::event_handled`].
#[async_trait]
pub trait Wallet: Send + Sync {
    /// Whether payments can be held at all. A wallet that settles at once answers [`Wallet::create`] with
    /// [`WalletError::CannotHold`], and no mail is gated with it.
    fn can_hold(&self) -> bool {
        true
    }

    /// Why the wallet cannot be used now and will be by itself; `None` when it is there. Then every call answers
    /// [`WalletError::NotRunning`].
    fn away(&self) -> Option<String> {
        None
    }

    /// Waits until the wallet is there.
    async fn there(&self) {}

    /// Why the source of its blocks did not answer when it was last asked; `None` when it did.
    fn source_trouble(&self) -> Option<String> {
        None
    }

    /// Registers `new.hash` and returns the invoice (BOLT 11) that locks money under it. Repeatable for one hash; only
    /// the last invoice of a hash need be published.
    async fn create(&self, new: NewHold) -> Result<String, WalletError>;

    /// Claims the payment locked under `hash`. `Ok` means the claim was made, not that the money came: only
    /// [`Event::Settled`] (or [`HoldStatus::Settled`]) says that.
    ///
    /// # Errors
    /// [`WalletError::TooLate`] once the chain reached the deadline, [`WalletError::WrongPreimage`],
    /// [`WalletError::UnknownHash`].
    async fn settle(&self, hash: PaymentHash, amount: Msat, preimage: &Preimage) -> Result<(), WalletError>;

    /// Fails the payment locked under `hash` back to its payer, and any later one that is there at the time of the call.
    /// A hash nothing was paid to is fine too: nothing happens.
    ///
    /// # Errors
    /// [`WalletError::AlreadyClaimed`] after [`Wallet::settle`], or when the money arrived.
    async fn cancel(&self, hash: PaymentHash) -> Result<(), WalletError>;

    /// Where the payment under `hash` is.
    async fn lookup(&self, hash: PaymentHash) -> Result<HoldStatus, WalletError>;

    /// Forgets an ended payment, so that a later one to the same hash is failed without asking anybody. Only when its
    /// quote expired more than 7200 s ago; a payment that is held is not forgotten.
    async fn forget(&self, hash: PaymentHash) -> Result<(), WalletError>;

    /// What is locked towards us now: the known holds, and how much no known hold explains.
    async fn inbound(&self) -> Result<Inbound, WalletError>;

    /// The oldest event not yet handled; waits for one. The same event comes back until [`Wallet::event_handled`],
    /// also after a restart. Dropping the future loses nothing.
    async fn next_event(&self) -> Event;

    /// Takes the head off the event queue. Call it after the event's consequences are committed.
    async fn event_handled(&self) -> Result<(), WalletError>;

    /// An event that is already there, without waiting; `None` means the queue is drained.
    async fn ready_event(&self) -> Option<Event>;

    /// Where the node and its chain source are.
    async fn chain(&self) -> Result<ChainState, WalletError>;

    /// How much can be held now.
    async fn capacity(&self) -> Result<Capacity, WalletError>;

    /// What the wallet owns.
    async fn balance(&self) -> Result<Balance, WalletError>;

    /// An ordinary invoice, claimed on arrival.
    async fn invoice(&self, amount: Msat, description: String, expiry: Duration) -> Result<String, WalletError>;

    /// Pays an invoice and waits, a bounded time, for its end. After [`Paid::Pending`] ask [`Wallet::sent`]; never pay
    /// again under another hash.
    async fn pay(&self, bolt11: &str) -> Result<Paid, WalletError>;

    /// How far a payment made by [`Wallet::pay`] is; `None` when there was none.
    async fn sent(&self, hash: PaymentHash) -> Result<Option<Paid>, WalletError>;

    /// A new address of its on-chain wallet.
    ///
    /// # Errors
    /// [`WalletError::BadRequest`] where the node is somebody else's.
    async fn address(&self) -> Result<String, WalletError> {
        Err(WalletError::BadRequest(
            "only the embedded node has an on-chain wallet here; ask your own node for an address",
        ))
    }

    /// The channels, open or opening.
    async fn channels(&self) -> Result<Vec<ChannelInfo>, WalletError>;

    /// The channels to manage, where the node is our own.
    fn own_channels(&self) -> Option<&dyn OwnChannels> {
        None
    }

    /// Stops the node after it wrote its state. Every later call answers [`WalletError::NotRunning`].
    async fn stop(&self) -> Result<(), WalletError>;
}

/// What an invoice for a hold says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHold {
    /// Hash of a preimage that the house keeps.
    pub hash: PaymentHash,
    /// What is asked, more than nothing.
    pub amount: Msat,
    /// How long the invoice may be paid. The node lets payments in up to two hours later: the house checks.
    pub expiry: Duration,
    /// Blocks between the payment and its CLTV (BOLT 11 `c`).
    pub final_cltv: u16,
    /// Text the payer's wallet shows: `mail` and eight random hex digits, nothing about the mail.
    pub description: String,
}

impl NewHold {
    /// A hold with the default CLTV, 24 hours and more.
    pub fn new(hash: PaymentHash, amount: Msat, expiry: Duration, description: impl Into<String>) -> Self {
        Self { hash, amount, expiry, final_cltv: FINAL_CLTV_DEFAULT, description: description.into() }
    }
}

/// Where a payment towards us is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldStatus {
    /// Never registered, or forgotten.
    Unknown,
    /// Registered; nothing is locked.
    Open,
    /// Locked, or being claimed.
    Held {
        /// First height at which the node fails it back by itself.
        deadline_height: u32,
        /// What is locked, at least what was asked.
        amount: Msat,
    },
    /// The money is ours.
    Settled,
    /// Failed back, by us or by the deadline. The embedded node lets a payer pay it again: then it is
    /// [`HoldStatus::Held`] again. Other nodes fail such a payment by themselves.
    Cancelled,
}

/// What the node reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A payment is locked. Also for a hash that was cancelled before: cancel it again.
    Held {
        /// Under which hash.
        hash: PaymentHash,
        /// How much, over all parts.
        amount: Msat,
        /// First height at which the node fails it back by itself.
        deadline_height: u32,
    },
    /// A payment arrived: a claimed hold, or an ordinary invoice.
    Settled {
        /// Under which hash.
        hash: PaymentHash,
        /// How much.
        amount: Msat,
    },
    /// A channel of ours is closed: by agreement, or not.
    ChannelClosed {
        /// Its name in [`crate::channels::OwnChannel::tag`], as a number.
        tag: u128,
    },
    /// Something no gate cares about.
    Other,
}

/// A payment that is locked towards us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldPayment {
    /// Under which hash.
    pub hash: PaymentHash,
    /// How much.
    pub amount: Msat,
    /// First height at which the node fails it back by itself.
    pub deadline_height: u32,
    /// Whether [`Wallet::settle`] was called.
    pub claiming: bool,
}

/// What is locked towards us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inbound {
    /// The holds the node reported, that are neither claimed, cancelled nor past their deadline.
    pub held: Vec<HeldPayment>,
    /// What the channels carry towards us beyond [`Inbound::held`]. Not zero for the moment between a payment's
    /// arrival and its event, and between a cancel and the peer's answer; longer means an HTLC without a hold.
    pub unexplained: Msat,
}

/// Where the node and its chain source are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainState {
    /// The node's best block.
    pub height: u32,
    /// The source's best block.
    pub source_height: u32,
    /// Last poll that succeeded, to the second.
    pub synced_at: Option<SystemTime>,
    /// The last poll succeeded under 60 s ago and both heights agree: claims may be decided on it.
    pub fresh: bool,
}

/// How much can be held at once. `total` is already cut to the share quotes may reserve, 60 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capacity {
    /// HTLC slots over all usable channels, 50 each.
    pub slots_total: u32,
    /// Slots no held payment uses. Live quotes are the house's to subtract.
    pub slots_free: u32,
    /// Value that may be in flight towards us.
    pub value_total: Msat,
    /// Value no held payment uses, and the peers can send.
    pub inbound_free: Msat,
    /// Dust the channels may carry: the node's own formula at the lowest fee rate, the peers' limits are unknown.
    pub dust_total: Msat,
    /// Dust no held payment uses.
    pub dust_free: Msat,
    /// A payment below this is dust: a force-close would lose it to the miners.
    pub dust_below: Msat,
    /// Usable channels.
    pub channels: u32,
}

impl Capacity {
    /// Whether one more hold of `amount` fits beside `quotes` live quotes worth `reserved`, `reserved_dust` of it dust.
    pub fn fits(&self, amount: Msat, quotes: u32, reserved: Msat, reserved_dust: Msat) -> bool {
        let dust = if amount < self.dust_below { amount } else { Msat::ZERO };
        self.slots_free > quotes
            && self.inbound_free >= reserved + amount
            && (dust == Msat::ZERO || self.dust_free >= reserved_dust + dust)
    }
}

/// What the wallet owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Balance {
    /// Ours in open channels, the part of the channel reserve included; held payments are not.
    pub channel: Msat,
    /// What could be paid out now.
    pub spendable: Msat,
    /// Ours on the chain, confirmed or from us.
    pub onchain: Msat,
    /// Ours from closed channels, on its way to the chain.
    pub closing: Msat,
    /// What may be missing above for now: a channel's funding or closing that is in no block is counted here only.
    pub moving: Msat,
    /// Locked towards us, not ours yet.
    pub held: Msat,
    /// On its way from us: locked in payments of ours that have not ended. `None`: the node does not tell.
    pub sending: Option<Msat>,
}

/// How an outgoing payment ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paid {
    /// The payee has the money.
    Succeeded {
        /// Routing fee on top of the amount.
        fee: Msat,
    },
    /// Nothing was paid.
    Failed,
    /// Under way, or held by the payee.
    Pending,
}

/// One channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Channel id, 64 hex digits.
    pub id: String,
    /// The peer's node id, 66 hex digits.
    pub peer: String,
    /// What the channel holds, both sides.
    pub capacity: Msat,
    /// What we can send now.
    pub outbound: Msat,
    /// What we can receive now.
    pub inbound: Msat,
    /// Whether the peer is connected and payments can flow.
    pub usable: bool,
    /// Confirmations of the funding transaction.
    pub confirmations: u32,
    /// Whether we opened it.
    pub ours: bool,
}
