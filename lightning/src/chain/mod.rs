//! Where a node's blocks come from: a bitcoind, an Esplora server or an Electrum server, and how high its chain is.
//!
//! ```text
//!   source ◀── LDK's own client ── node height, time of its last poll ──┐
//!      ▲                                                                ├── fresh? only then is money claimed
//!      └────── ChainWatch ──────── source height, time of its answer ───┘
//! ```
//! LDK says how far the node is, and nobody how far the source is: so the source is asked here too. A node that heard
//! nothing new from a source that stands still is fresh; one whose source has gone on is not.

mod bitcoind;
mod electrum;
mod esplora;
mod http;
mod relay;
mod watch;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bitcoin::{BlockHash, Network};
use thiserror::Error;
use zeroize::Zeroizing;

pub(crate) use self::relay::Relay;
pub use self::watch::ChainWatch;
use crate::limits::{BITCOIND_POLL, ELECTRUM_POLL, ESPLORA_POLL};
/// Bitcoin's own word for a network.
pub use bitcoin::Network as BitcoinNetwork;

/// Where blocks come from.
#[derive(Clone)]
pub enum ChainSource {
    /// Bitcoin Core's RPC.
    Bitcoind(Bitcoind),
    /// An Esplora server, by the base of its addresses: `https://blockstream.info/api`.
    Esplora(String),
    /// An Electrum server: `ssl://host:port`, or `tcp://host:port`.
    Electrum(String),
}

/// How Bitcoin Core's RPC is reached.
#[derive(Clone)]
pub struct Bitcoind {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User of the RPC.
    pub user: String,
    /// Its password.
    pub password: Zeroizing<String>,
    /// Where both are read again, as `user:password`, when they are refused: a bitcoind makes a new cookie at each start.
    pub cookie: Option<PathBuf>,
}

/// The source's best block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Its height.
    pub height: u32,
    /// When the source said so.
    pub asked_at: SystemTime,
}

/// What is known of a source's best block.
pub trait SourceTip: Send + Sync {
    /// It, without asking anybody.
    fn tip(&self) -> Tip;

    /// Asks for a look soon: somebody knows that there is more.
    fn look(&self) {}

    /// Why the source did not answer when it was last asked; `None` when it did.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// Why a source cannot be used. No variant holds a credential.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChainError {
    /// It may answer later.
    #[error("the chain source does not answer: {0}")]
    Away(String),
    /// Its address is none.
    #[error("{0}")]
    Address(&'static str),
    /// It does not take the user or the password.
    #[error("the chain source refuses the user or the password")]
    Credential,
    /// Something else answers there.
    #[error("what answers at the chain source's address does not speak as {0} does: is it the right address?")]
    Other(&'static str),
    /// Its chain is another.
    #[error("the chain source is on another network than {0}")]
    Network(Network),
}

impl ChainError {
    /// Whether the same source may be used later without anybody changing anything.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Away(_) => true,
            Self::Address(_) | Self::Credential | Self::Other(_) | Self::Network(_) => false,
        }
    }
}

impl ChainSource {
    /// Its word in the config.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bitcoind(_) => "bitcoind",
            Self::Esplora(_) => "esplora",
            Self::Electrum(_) => "electrum",
        }
    }

    /// Whether the address can be one.
    ///
    /// # Errors
    /// [`ChainError::Address`], which says what is allowed.
    pub fn check(&self) -> Result<(), ChainError> {
        match self {
            Self::Bitcoind(bitcoind) => bitcoind::url(bitcoind).map(|_| ()),
            Self::Esplora(base) => esplora::base(base).map(|_| ()),
            Self::Electrum(address) => electrum::parse(address).map(|_| ()),
        }
    }

    /// Whether LDK asks about its own transactions instead of reading every block.
    pub(crate) fn is_by_transaction(&self) -> bool {
        matches!(self, Self::Esplora(_) | Self::Electrum(_))
    }

    fn poll_every(&self) -> Duration {
        match self {
            Self::Bitcoind(_) => BITCOIND_POLL,
            Self::Esplora(_) => ESPLORA_POLL,
            Self::Electrum(_) => ELECTRUM_POLL,
        }
    }
}

/// A source, asked.
enum Client {
    Bitcoind(bitcoind::Client),
    Esplora(esplora::Client),
    Electrum(electrum::Client),
}

impl Client {
    fn new(source: &ChainSource) -> Result<Self, ChainError> {
        Ok(match source {
            ChainSource::Bitcoind(bitcoind) => Self::Bitcoind(bitcoind::Client::new(bitcoind)?),
            ChainSource::Esplora(base) => Self::Esplora(esplora::Client::new(base)?),
            ChainSource::Electrum(address) => Self::Electrum(electrum::Client::new(address)?),
        })
    }

    /// The height of its best block.
    async fn height(&mut self) -> Result<u32, ChainError> {
        match self {
            Self::Bitcoind(client) => client.height().await,
            Self::Esplora(client) => client.height().await,
            Self::Electrum(client) => client.height().await,
        }
    }

    /// The hash of its first block, which tells networks apart.
    async fn genesis(&mut self) -> Result<BlockHash, ChainError> {
        match self {
            Self::Bitcoind(client) => client.genesis().await,
            Self::Esplora(client) => client.genesis().await,
            Self::Electrum(client) => client.genesis().await,
        }
    }
}
