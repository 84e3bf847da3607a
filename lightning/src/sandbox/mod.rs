//! Two real LDK nodes, the bridge's and a customer's, over a chain of their own, in one process.
//!
//! ```text
//!   Chain (durable regtest) ◀─ RPC ─ LdkNode "bridge"  ◀── anchor channel, 10 M sat ──▶  LdkNode "customer"
//! ```
//! Invoices, holds, settlements and refunds are real from the first minute; only the coins are worth nothing.
//!
//! The bootstrap is a list of steps, each of which looks at what is already there and may be killed and repeated:
//! seeds, chain, first blocks, both nodes, coins for both, the channel, its confirmations. Whether a step is done is
//! read from what it made (a file, the chain, a channel), so that no record can disagree with the world.

mod bootstrap;
pub mod chain;
mod customer;
mod funding;
mod miner;
mod payer;
mod port;
mod rpc;
mod seeds;

use futures::future::BoxFuture;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bitcoin::{Network, OutPoint};
use thiserror::Error;

use self::chain::{Chain, ChainError};
pub use self::customer::{Customer, CustomerPayment};
use self::miner::Server;
pub use self::payer::Misreading;
use crate::chain::{Bitcoind, ChainSource, SourceTip, Tip};
use crate::limits::{SANDBOX_CHANNEL_MAX_SAT, SANDBOX_CHANNEL_MIN_SAT};
use crate::node::{LdkNode, Liquidity, NodeConfig, NodeRuntime, private_dir};
use crate::{Wallet, WalletError};

/// Why the sandbox does not start or do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// Its chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// One of its nodes.
    #[error("the {who}'s node: {error}")]
    Node {
        /// `bridge` or `customer`.
        who: &'static str,
        /// What it said.
        error: WalletError,
    },
    /// A seed file does not open under the key that was given.
    #[error("{0} was not made under this bridge key; restore the key, or use a fresh directory")]
    WrongKey(PathBuf),
    /// The disk or the network of this machine.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The channel was not usable on both sides in time.
    #[error("the sandbox channel is not ready: {0}")]
    NotReady(String),
    /// The channel came up as another type, on which small payments are not safe.
    #[error("the sandbox channel is not an anchor channel")]
    NotAnchors,
    /// A channel's capacity is outside what the sandbox makes.
    #[error("a sandbox channel holds {SANDBOX_CHANNEL_MIN_SAT} to {SANDBOX_CHANNEL_MAX_SAT} sat, not {0}")]
    Capacity(u64),
    /// The customer has too little on the chain for one more channel.
    #[error("the customer has {0} sat on the chain: too little for this channel, its reserve and its fee")]
    CustomerPoor(u64),
    /// The bridge did not take a channel: its coins do not cover one more reserve.
    #[error("the bridge's node did not take the channel: its coins do not cover one more reserve")]
    Refused,
    /// The customer's node was stopped.
    #[error("the sandbox customer is not running")]
    NoCustomer,
    /// Ours.
    #[error("sandbox: {0}")]
    Bug(String),
}

impl SandboxError {
    fn bridge(error: WalletError) -> Self {
        Self::Node { who: "bridge", error }
    }

    fn customer(error: WalletError) -> Self {
        Self::Node { who: "customer", error }
    }
}

/// The nodes' source: it is in this process, so it is always known.
struct Source(Arc<Chain>);

impl SourceTip for Source {
    fn tip(&self) -> Tip {
        Tip { height: self.0.height(), asked_at: SystemTime::now() }
    }
}

/// The running sandbox.
pub struct Sandbox {
    bridge: LdkNode,
    customer: Customer,
    second: tokio::sync::Mutex<Option<Arc<Customer>>>,
    chain: Arc<Chain>,
    /// Held while a channel is opened: which is the new one is seen by comparing.
    opening: tokio::sync::Mutex<()>,
    bridge_address: std::net::SocketAddr,
    // Last, so that the chain answers until the nodes are gone.
    server: Server,
}

impl Sandbox {
    /// Starts the sandbox kept in `dir`, making it on first use; ready when it returns: the channel is usable on both
    /// sides. `at_rest_key` encrypts the seed files.
    ///
    /// # Errors
    /// [`SandboxError::WrongKey`], [`ChainError::OtherGenesis`] for a directory of another network,
    /// [`SandboxError::NotReady`] after a minute.
    pub fn start<'a>(dir: &'a Path, at_rest_key: &'a [u8; 32]) -> BoxFuture<'a, Result<Self, SandboxError>> {
        Self::start_with(dir, at_rest_key, Liquidity::default())
    }

    /// As [`Sandbox::start`]; the bridge's node gets channels from others, or opens some for them.
    ///
    /// # Errors
    /// As [`Sandbox::start`].
    pub fn start_with<'a>(
        dir: &'a Path,
        at_rest_key: &'a [u8; 32],
        liquidity: Liquidity,
    ) -> BoxFuture<'a, Result<Self, SandboxError>> {
        // Boxed, so that it is compiled here, once, and not again in every binary that awaits it.
        Box::pin(async move {
            private_dir(dir)?;
            let bridge_seed = seeds::load_or_make(dir, "bridge.seed", at_rest_key)?;
            let customer_seed = seeds::load_or_make(dir, "customer.seed", at_rest_key)?;
            let miner = funding::Miner::new(&*seeds::load_or_make(dir, "miner.seed", at_rest_key)?)?;
            let chain = Arc::new(Chain::open(&dir.join("chain.log"), miner.script())?);
            bootstrap::premine(&chain)?;
            bootstrap::clear(&chain, dir)?;
            let server = Server::start(Arc::clone(&chain))?;
            let door = port::listen(dir)?;
            let address = door.local_addr()?;

            let source_tip: Arc<dyn SourceTip> = Arc::new(Source(Arc::clone(&chain)));
            let config = |name: &str, seed, listen, liquidity| NodeConfig {
                dir: dir.join(name),
                seed,
                network: Network::Regtest,
                chain: ChainSource::Bitcoind(server.source()),
                source_tip: Arc::clone(&source_tip),
                birth_height: None,
                epoch: None,
                liquidity,
                listen,
            };
            let runtime = NodeRuntime::start()?;
            let customer =
                Customer::new(config("customer", customer_seed, None, Liquidity::default()), Arc::clone(&runtime));
            let (bridge, customer_node) = tokio::join!(
                LdkNode::build(config("bridge", bridge_seed, Some(door), liquidity), &runtime),
                customer.build_node()
            );
            let (bridge, customer_node) = (bridge.map_err(SandboxError::bridge)?, customer_node?);
            bootstrap::fund(&chain, &miner, &bridge, &customer_node).await?;
            let (started, customer_started) = tokio::join!(bridge.start(), customer_node.start());
            started.map_err(SandboxError::bridge)?;
            customer_started.map_err(SandboxError::customer)?;
            bootstrap::channel(&chain, &bridge, &customer_node, address).await?;
            customer.adopt(customer_node, bridge.node_id(), address);
            server.begin_mining();
            let sandbox = Self {
                bridge,
                customer,
                second: tokio::sync::Mutex::default(),
                chain,
                opening: tokio::sync::Mutex::new(()),
                bridge_address: address,
                server,
            };
            sandbox.second_comes_back().await;
            Ok(sandbox)
        })
    }

    /// The bridge's wallet: what the house uses.
    pub fn wallet(&self) -> Arc<dyn Wallet> {
        Arc::new(self.bridge.clone())
    }

    /// The bridge's node.
    pub fn bridge(&self) -> &LdkNode {
        &self.bridge
    }

    /// The customer: somebody with a wallet, to try payments with.
    pub fn customer(&self) -> &Customer {
        &self.customer
    }

    /// The chain.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Where the chain's RPC is, for this run: the port and credential change with every start.
    pub fn chain_source(&self) -> Bitcoind {
        self.server.source()
    }

    /// The sandbox's bridge: its node id, and where other nodes connect to it.
    pub fn bridge_peer(&self) -> (String, String) {
        (self.bridge.node_id().to_string(), self.bridge_address.to_string())
    }

    /// Mines `blocks` now and waits until both nodes have seen them; the new height. The only fast-forward there is:
    /// holds whose deadline it passes end.
    ///
    /// # Errors
    /// [`ChainError::TooMany`]; [`SandboxError::Node`] when a node does not follow in time.
    pub async fn mine(&self, blocks: u32) -> Result<u32, SandboxError> {
        let chain = Arc::clone(&self.chain);
        let mined = tokio::task::spawn_blocking(move || chain.mine(blocks, miner::header_now())).await;
        let height = mined.map_err(|error| SandboxError::Bug(error.to_string()))??;
        self.sync(blocks).await?;
        Ok(height)
    }

    /// Brings both nodes to the chain's tip, `blocks` further.
    ///
    /// # Errors
    /// [`SandboxError::Node`] when one is not there in time.
    pub async fn sync(&self, blocks: u32) -> Result<(), SandboxError> {
        bootstrap::sync(&self.bridge, self.customer.node().ok().as_ref(), blocks).await?;
        let second = self.second.lock().await.clone();
        match second.and_then(|second| second.node().ok()) {
            Some(second) => second.sync(sync_within(blocks)).await.map_err(SandboxError::customer),
            None => Ok(()),
        }
    }

    /// The customer opens one more channel to the bridge, all of it on the customer's side; confirmed and usable on both
    /// sides when this returns. Its funding output.
    ///
    /// # Errors
    /// [`SandboxError::Capacity`], [`SandboxError::CustomerPoor`], [`SandboxError::Refused`],
    /// [`SandboxError::NotReady`] after a minute.
    pub fn open_channel(&self, capacity_sat: u64) -> BoxFuture<'_, Result<OutPoint, SandboxError>> {
        Box::pin(async move {
            if !(SANDBOX_CHANNEL_MIN_SAT..=SANDBOX_CHANNEL_MAX_SAT).contains(&capacity_sat) {
                return Err(SandboxError::Capacity(capacity_sat));
            }
            let _turn = self.opening.lock().await;
            let customer = self.customer.node()?;
            let opened =
                bootstrap::another(&self.chain, &self.bridge, &customer, self.bridge_address, capacity_sat).await;
            match opened {
                Err(SandboxError::Node { error: WalletError::NoCapacity, .. }) => {
                    let onchain = self.customer.balance().await?.onchain;
                    Err(SandboxError::CustomerPoor(onchain.0 / 1000))
                }
                other => other,
            }
        })
    }

    /// Pays an invoice from the customer's wallet, and waits until the payment is locked at the bridge, arrived or
    /// failed; ten seconds at most, after which it is [`CustomerPayment::Locked`] as far as the customer can tell.
    ///
    /// # Errors
    /// [`SandboxError::Node`] with [`WalletError::BadInvoice`], [`WalletError::AlreadyPaid`] or
    /// [`WalletError::NoCapacity`].
    pub async fn pay(&self, bolt11: &str) -> Result<CustomerPayment, SandboxError> {
        self.pay_from(&self.customer, bolt11, false).await
    }

    /// Stops both nodes, then the chain. Calls to the wallet answer [`WalletError::NotRunning`] from now on.
    ///
    /// # Errors
    /// [`SandboxError::Node`] when one does not stop in time.
    pub async fn stop(&self) -> Result<(), SandboxError> {
        let second = async {
            match self.second.lock().await.take() {
                Some(second) => second.stop().await,
                None => Ok(()),
            }
        };
        let (customer, second, bridge) = tokio::join!(self.customer.stop(), second, self.bridge.stop());
        customer.and(second)?;
        bridge.map_err(SandboxError::bridge)
    }
}

/// Longest wait for nodes to follow `blocks` blocks: a block takes 22 ms in a debug build, and the disk may be slow.
fn sync_within(blocks: u32) -> Duration {
    Duration::from_secs(30) + Duration::from_millis(100) * blocks
}
