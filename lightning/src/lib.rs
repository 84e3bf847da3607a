//! Carries out payments that travel with mail: lock them, then claim or return them. And a sandbox to try it in.
//!
//! Stands: a room. Uses the words of [`lnmp`]; used by the house only. Decides nothing: see `policy`.
//!
//! ```text
//!   create ──▶ Open ──payment──▶ Held ──settle(preimage)──▶ Settled      every Held ends, and ends once:
//!                ▲                 ├─────cancel───────────▶ Cancelled    by us, or by the deadline height
//!                └───paid again────┘                           │
//!                                  ◀───────paid again──────────┘
//! ```
//! Start at [`Wallet`] (the trait the house calls), then [`node`] (a real LDK node), [`memory`] (its twin for tests),
//! [`remote`] (nodes that somebody else runs: LND, Core Lightning, Nostr Wallet Connect, phoenixd) and [`sandbox`] (two
//! real nodes over a chain of their own).
//!
//! Promises. Repeating a call changes nothing. [`Wallet::settle`] refuses what was cancelled and [`Wallet::cancel`] what
//! is being claimed. An event is repeated until [`Wallet::event_handled`]. No log line holds an invoice or an address.
//! A kill at any moment costs no channel and no payment: what the node says, to a peer or to the house, waits until the
//! state behind it is on the disk.
//! Absent on purpose: prices, quotes, the decision, preimages (the house keeps them).
//!
//! ```
//! use std::time::Duration;
//! use lightning::{Event, NewHold, Wallet, memory::MemoryWallet};
//! use lnmp::{Msat, Preimage};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let wallet = MemoryWallet::new();
//! let preimage = Preimage::new([7; 32]);
//! let hold = NewHold::new(preimage.hash(), Msat(100_000), Duration::from_secs(3600), "mail 0123abcd");
//! let invoice = wallet.create(hold).await?;
//! wallet.pay_held(&invoice)?;
//! let Event::Held { hash, amount, .. } = wallet.next_event().await else { panic!("the payment is locked") };
//! // … the house commits its decision …
//! wallet.settle(hash, amount, &preimage).await?;
//! wallet.event_handled().await?;
//! # Ok::<(), lightning::WalletError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod chain;
pub mod channels;
mod cln;
mod error;
pub mod failpoint;
mod invoice;
mod later;
pub mod limits;
mod lnd;
pub mod lnurl;
pub mod memory;
pub mod node;
pub mod nwc;
mod phoenixd;
mod records;
pub mod remote;
mod rpc_door;
pub mod sandbox;
mod wallet;

pub use chain::{ChainError, ChainSource, ChainWatch};
pub use error::WalletError;
pub use invoice::Invoice;
pub use later::{LaterWallet, NotYet, Opener};
pub use lnurl::{LightningAddress, LnurlError, Reach};
pub use records::{RecordError, RecordFile};
pub use remote::{Backend, Pace, RemoteConfig, RemoteError, RemoteWallet};
pub use sandbox::{Customer, CustomerPayment, Misreading, Sandbox, SandboxError};
pub use wallet::{
    Balance, Capacity, ChainState, ChannelInfo, Event, HeldPayment, HoldStatus, Inbound, NewHold, Paid, Wallet,
};
