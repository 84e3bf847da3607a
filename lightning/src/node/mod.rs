//! The real wallet: ldk-node 0.7.1 over a bitcoind, an Esplora or an Electrum server.
//!
//! ldk-node's calls block and its tasks write to SQLite, so the node has threads of its own ([`NodeRuntime`]) and each
//! call runs on one of their blocking threads, with a deadline. Nothing here ever blocks the caller's runtime.
//!
//! A kill at any moment must not cost a channel: see `gate` and `store`, which every connection and every write
//! pass through. Nor may it leave a payment of ours in doubt: see `sending`.
//!
//! What ldk-node does not tell is kept beside it: which payments are held, with their deadlines (`holds`), because
//! it neither repeats an event after a restart nor reports a hold that timed out.

mod birth;
mod channels;
mod failure;
mod follow;
mod gate;
mod holds;
mod inbound;
mod invoice;
mod liquidity;
mod log;
mod peers;
mod recovery;
mod runtime;
mod sending;
mod shared;
mod store;
mod stray;
mod wallet;

use std::collections::HashMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bitcoin::secp256k1::PublicKey;
use bitcoin::{Address, Network, Txid};
use futures::future::BoxFuture;
use ldk_node::config::{BackgroundSyncConfig, Config, ElectrumSyncConfig, EsploraSyncConfig};
use ldk_node::{Builder, Node, NodeError};
use lightning_invoice::Bolt11Invoice;
use lnmp::Msat;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use zeroize::Zeroizing;

use self::gate::Gate;
pub(crate) use self::gate::listen_anywhere;
use self::holds::{Claim, Holds, State};
pub(crate) use self::invoice::{Draft, Signer, check_invoice, parse_payable};
pub use self::liquidity::{Liquidity, Provider, Service};
pub(crate) use self::peers::PeerAddress;
use self::peers::Peers;
use self::recovery::Secrets;
pub use self::runtime::NodeRuntime;
pub(crate) use self::sending::send;
use self::shared::SharedNode;
use crate::WalletError;
use crate::chain::{ChainError, ChainSource, Relay, SourceTip};
use crate::limits::{
    ELECTRUM_LIGHTNING_SYNC, ELECTRUM_ONCHAIN_SYNC, ESPLORA_LIGHTNING_SYNC, ESPLORA_ONCHAIN_SYNC, FEE_RATES_EVERY,
    NODE_CALL_WITHIN, PEERS_MAX, POLL_EVERY, STOP_WITHIN,
};

/// What a node is made of.
pub struct NodeConfig {
    /// Its directory: SQLite and the list of holds.
    pub dir: PathBuf,
    /// Its seed, which the caller keeps.
    pub seed: Zeroizing<[u8; 64]>,
    /// Which chain.
    pub network: Network,
    /// Where blocks come from.
    pub chain: ChainSource,
    /// How high that source is.
    pub source_tip: Arc<dyn SourceTip>,
    /// Where a node without a state begins to look for its coins; `None`: it is new, and nothing was paid to it. Servers that
    /// look up transactions need none.
    pub birth_height: Option<u32>,
    /// How often this state was opened, as the caller has noted apart from it; `None`: nobody counts.
    pub epoch: Option<u64>,
    /// Where channels come from, and who gets some from us.
    pub liquidity: Liquidity,
    /// Where peers connect to, if they may. Bound already, so that nobody takes the port while the node is built.
    pub listen: Option<StdListener>,
}

/// A running LDK node.
#[derive(Clone)]
pub struct LdkNode {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    node: RwLock<Option<SharedNode>>,
    node_id: PublicKey,
    signer: Signer,
    holds: Mutex<Holds>,
    /// Held while a payment of ours is between LDK and its note.
    sending: Arc<tokio::sync::Mutex<()>>,
    gates: Mutex<Gates>,
    peers: Mutex<Peers>,
    secrets: Secrets,
    provider: bool,
    source_tip: Arc<dyn SourceTip>,
    /// LDK asks about its own transactions instead of reading every block.
    is_by_transaction: bool,
    epoch: Option<u64>,
    /// Held until the node is stopped: LDK may keep its store longer, but writes no more.
    lock: Mutex<Option<File>>,
    /// Between LDK and its bitcoind, where one is needed.
    relay: Option<Relay>,
    stopping: watch::Sender<bool>,
    runtime: Arc<NodeRuntime>,
}

/// Where peers come in, and where the node goes out.
struct Gates {
    dirty: watch::Receiver<bool>,
    /// The public door and the node's private address.
    way_in: Option<(StdListener, SocketAddr)>,
    inward: Option<Gate>,
    outward: HashMap<SocketAddr, Gate>,
}

impl LdkNode {
    /// Builds the node: opens its state and learns the chain's tip. It has an address now, but no peers.
    ///
    /// # Errors
    /// [`WalletError::Bug`] for a state that cannot be read, [`WalletError::Disk`].
    pub async fn build(config: NodeConfig, runtime: &Arc<NodeRuntime>) -> Result<Self, WalletError> {
        let runtime = Arc::clone(runtime);
        let handle = runtime.handle().clone();
        let task = handle.spawn_blocking(move || Self::build_blocking(config, runtime));
        task.await.map_err(|error| WalletError::Bug(error.to_string()))?
    }

    fn build_blocking(config: NodeConfig, runtime: Arc<NodeRuntime>) -> Result<Self, WalletError> {
        let disk = |error: std::io::Error| WalletError::Disk(error.to_string());
        private_dir(&config.dir).map_err(disk)?;
        let signer = Signer::new(&config.seed, config.network)?;
        let mut ldk = Config { network: config.network, ..Config::default() };
        ldk.storage_dir_path = config.dir.to_string_lossy().into_owned();
        let way_in = match config.listen {
            Some(public) => {
                let private = gate::private_address().ok_or_else(|| disk(std::io::ErrorKind::AddrInUse.into()))?;
                Some((public, private))
            }
            None => None,
        };
        ldk.listening_addresses = way_in.as_ref().map(|(_, private)| vec![(*private).into()]);
        let relay = match &config.chain {
            ChainSource::Bitcoind(bitcoind) if bitcoind.cookie.is_some() || config.birth_height.is_some() => {
                Some(Relay::start(bitcoind, config.birth_height).map_err(source_error)?)
            }
            ChainSource::Bitcoind(_) | ChainSource::Esplora(_) | ChainSource::Electrum(_) => None,
        };
        let lock = store::lock(&config.dir).map_err(disk)?;
        let store = store::Store::open(&config.dir).map_err(|error| WalletError::Disk(error.to_string()))?;
        if let Some(epoch) = config.epoch {
            store.set_epoch(epoch).map_err(|error| WalletError::Disk(error.to_string()))?;
        }
        let mut gates = Gates { dirty: store.dirty(), way_in, inward: None, outward: HashMap::new() };
        let (sending, traces) = (store.sending(), store.traces());
        let mut peers = Peers::open(config.dir.join("peers.json")).map_err(disk)?;
        let mut builder = Builder::from_config(ldk);
        let (liquidity, handle) = (&config.liquidity, runtime.handle());
        let provider = liquidity::configure(&mut builder, liquidity, &mut peers, |peer| gates.way_out(peer, handle))?;
        builder.set_entropy_seed_bytes(*config.seed);
        let relayed = relay.as_ref().map(|relay| ChainSource::Bitcoind(relay.bitcoind()));
        set_chain_source(&mut builder, relayed.as_ref().unwrap_or(&config.chain));
        let secrets = Secrets::new(&config.seed, config.network, relayed.as_ref().unwrap_or(&config.chain))?;
        builder.set_custom_logger(Arc::new(log::ToTracing));
        builder.set_runtime(runtime.handle().clone());
        let node = builder
            .build_with_store(Arc::new(store))
            .map_err(|error| WalletError::Bug(format!("the node's state: {error}")))?;
        if node.node_id() != signer.node_id() {
            return Err(WalletError::Bug("the seed does not give the node's key; invoices could not be signed".into()));
        }
        sending::forget_unsent(&node, &traces)?;
        let holds = Holds::open(&config.dir.join("holds.log")).map_err(|e| WalletError::Disk(e.to_string()))?;
        Ok(Self {
            inner: Arc::new(Inner {
                node_id: node.node_id(),
                node: RwLock::new(Some(SharedNode::new(node))),
                signer,
                holds: Mutex::new(holds),
                sending,
                gates: Mutex::new(gates),
                peers: Mutex::new(peers),
                secrets,
                provider,
                source_tip: config.source_tip,
                is_by_transaction: config.chain.is_by_transaction(),
                epoch: config.epoch,
                lock: Mutex::new(Some(lock)),
                relay,
                stopping: watch::Sender::new(false),
                runtime,
            }),
        })
    }

    /// Builds the node and starts it. A new one begins at the source's best block, or at its birth height.
    ///
    /// # Errors
    /// As [`LdkNode::build`] and [`LdkNode::start`]; a node that did not start is gone.
    pub fn open(config: NodeConfig, runtime: &Arc<NodeRuntime>) -> BoxFuture<'_, Result<Self, WalletError>> {
        // Boxed, so that it is compiled here, once, and not again in every binary that awaits it.
        Box::pin(birth::open(config, runtime))
    }

    /// Starts the node's tasks, and fails again what was being failed when it last stopped.
    ///
    /// # Errors
    /// [`WalletError::Bug`] when the chain source or the listening port is not there.
    pub async fn start(&self) -> Result<(), WalletError> {
        self.call(|node, inner| {
            // Before LDK's tasks run: they may repeat the event of a payment that ldk-node notes as claimed, which it
            // would then fail as a duplicate.
            claim_again(node, inner);
            // A fail lives only in LDK's memory until its next write; after a kill the payment may be held again.
            let failed = inner.holds().cancelled();
            for hash in failed {
                match node.bolt11_payment().fail_for_hash(ldk::types::payment::PaymentHash(hash.0)) {
                    Ok(()) | Err(NodeError::InvalidPaymentHash) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            node.start()?;
            inner.open_way_in()
        })
        .await?;
        self.inner.runtime.handle().spawn(stray::watch(Arc::downgrade(&self.inner)));
        if self.inner.is_by_transaction {
            self.inner.runtime.handle().spawn(follow::watch(Arc::downgrade(&self.inner)));
        }
        self.inner.runtime.handle().spawn(peers::keep(Arc::downgrade(&self.inner)));
        Ok(())
    }

    /// How often its state was opened, this time included: for the caller to note.
    pub fn epoch(&self) -> Option<u64> {
        self.inner.epoch
    }

    /// The node's public key.
    pub fn node_id(&self) -> PublicKey {
        self.inner.node_id
    }

    /// One of the node's invoices over other numbers; registers nothing.
    pub(crate) fn sign_misread(
        &self,
        invoice: &Bolt11Invoice,
        amount: Option<Msat>,
        final_cltv: Option<u16>,
        now: Duration,
    ) -> Result<String, WalletError> {
        self.inner.signer.sign_misread(invoice, amount, final_cltv, now)
    }

    /// A new address of the node's on-chain wallet.
    ///
    /// # Errors
    /// Temporary ones, and [`WalletError::Disk`].
    pub async fn new_address(&self) -> Result<Address, WalletError> {
        self.call(|node, _| Ok(node.onchain_payment().new_address()?)).await
    }

    /// Sends coins of the on-chain wallet; what anchor channels need stays.
    ///
    /// # Errors
    /// [`WalletError::NoCapacity`] when the wallet holds too little.
    pub async fn send_coins(&self, to: &Address, sat: u64) -> Result<Txid, WalletError> {
        let to = to.clone();
        self.call(move |node, _| Ok(node.onchain_payment().send_to_address(&to, sat, None)?)).await
    }

    /// Connects to a peer and remembers it; fine when it is connected.
    ///
    /// # Errors
    /// [`WalletError::NoCapacity`] when the peer cannot be reached.
    pub async fn connect(&self, peer: PublicKey, address: SocketAddr) -> Result<(), WalletError> {
        self.call(move |node, inner| Ok(node.connect(peer, inner.way_out(address)?.into(), true)?)).await
    }

    /// Opens a private channel and gives the peer `push_sat` of it.
    ///
    /// # Errors
    /// [`WalletError::NoCapacity`] when the wallet holds too little.
    pub async fn open_channel(
        &self,
        peer: PublicKey,
        address: SocketAddr,
        capacity_sat: u64,
        push_sat: u64,
    ) -> Result<(), WalletError> {
        self.call(move |node, inner| {
            let address = inner.way_out(address)?.into();
            node.open_channel(peer, address, capacity_sat, Some(push_sat * 1000), None)?;
            Ok(())
        })
        .await
    }

    /// Brings the node to the source's tip.
    ///
    /// # Errors
    /// [`WalletError::Busy`] when it is not there within `within`.
    pub async fn sync(&self, within: Duration) -> Result<(), WalletError> {
        let until = Instant::now() + within;
        loop {
            let there = |node: &Node, inner: &Inner| {
                Ok(node.status().current_best_block.height == inner.source_tip.tip().height)
            };
            if self.call(there).await? {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(WalletError::Busy);
            }
            // A poll that was under way may not have seen the newest block: go round again.
            match self.call_within(left, |node, _| Ok(node.sync_wallets()?)).await {
                Ok(()) | Err(WalletError::Busy) => {}
                Err(error) => return Err(error),
            }
            sleep(POLL_EVERY).await;
        }
    }

    /// One poll of the chain source, after the first that a start begins with.
    ///
    /// # Errors
    /// [`WalletError::Busy`] when the source does not answer.
    pub async fn poll_chain(&self) -> Result<(), WalletError> {
        self.call(|node, _| Ok(node.sync_wallets()?)).await
    }

    /// Runs `work` on one of the node's blocking threads.
    pub(crate) async fn call<T, W>(&self, work: W) -> Result<T, WalletError>
    where
        T: Send + 'static,
        W: FnOnce(&Node, &Inner) -> Result<T, WalletError> + Send + 'static,
    {
        self.call_within(NODE_CALL_WITHIN, work).await
    }

    async fn call_within<T, W>(&self, within: Duration, work: W) -> Result<T, WalletError>
    where
        T: Send + 'static,
        W: FnOnce(&Node, &Inner) -> Result<T, WalletError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let node = inner.node().ok_or(WalletError::NotRunning)?;
        let mut dirty = inner.gates().dirty.clone();
        let task = self.inner.runtime.handle().spawn_blocking(move || work(&node, &inner));
        let answered = async {
            let result = task.await.map_err(|panicked| WalletError::Bug(panicked.to_string()))?;
            // An answer is like a word to a peer: it is given when the state behind it is on the disk.
            match dirty.wait_for(|dirty| !dirty).await {
                Ok(_) => result,
                Err(_) => Err(WalletError::NotRunning),
            }
        };
        // The call goes on and its effect may still come: that is why every call may be repeated.
        timeout(within, answered).await.unwrap_or(Err(WalletError::Busy))
    }

    /// The oldest event as LDK tells it; `None` once the node is stopping.
    pub(crate) async fn next_ldk_event(&self) -> Option<ldk_node::Event> {
        let node = self.inner.node()?;
        let mut stopping = self.inner.stopping.subscribe();
        tokio::select! {
            event = node.next_event_async() => Some(event),
            _ = stopping.wait_for(|stopping| *stopping) => None,
        }
    }

    async fn stop_node(&self) -> Result<(), WalletError> {
        self.inner.stopping.send_replace(true);
        let Some(node) = self.inner.node.write().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        let inner = Arc::clone(&self.inner);
        let task = self.inner.runtime.handle().spawn_blocking(move || {
            let stopped = node.stop();
            inner.close_gates();
            // Calls under way hold the node for a moment yet; its files are closed with the last of them.
            let until = std::time::Instant::now() + NODE_CALL_WITHIN;
            while node.holders() > 1 && std::time::Instant::now() < until {
                std::thread::sleep(POLL_EVERY);
            }
            drop(node);
            drop(inner.take_lock());
            match stopped {
                // Every fail is in LDK's state now and need not be repeated.
                Ok(()) => inner.holds().forget_cancelled(),
                Err(NodeError::NotRunning) => Ok(()),
                Err(error) => Err(error.into()),
            }
        });
        match timeout(STOP_WITHIN, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(panicked)) => Err(WalletError::Bug(panicked.to_string())),
            Err(_) => Err(WalletError::Busy),
        }
    }
}

/// A source that is away now may be there in a moment.
fn source_error(error: ChainError) -> WalletError {
    if error.is_temporary() { WalletError::Busy } else { WalletError::Bug(error.to_string()) }
}

/// Tells LDK where blocks come from, and how often to ask there. A bitcoind it asks every 2 s, which nobody can change.
fn set_chain_source(builder: &mut Builder, source: &ChainSource) {
    let every = |lightning: Duration, onchain: Duration| {
        Some(BackgroundSyncConfig {
            onchain_wallet_sync_interval_secs: onchain.as_secs(),
            lightning_wallet_sync_interval_secs: lightning.as_secs(),
            fee_rate_cache_update_interval_secs: FEE_RATES_EVERY.as_secs(),
        })
    };
    match source {
        ChainSource::Bitcoind(bitcoind) => {
            let (host, user) = (bitcoind.host.clone(), bitcoind.user.clone());
            builder.set_chain_source_bitcoind_rpc(host, bitcoind.port, user, bitcoind.password.to_string());
        }
        ChainSource::Esplora(base) => {
            let background_sync_config = every(ESPLORA_LIGHTNING_SYNC, ESPLORA_ONCHAIN_SYNC);
            // Paths are put behind it, each with a slash of its own.
            let base = base.trim_end_matches('/').to_owned();
            builder.set_chain_source_esplora(base, Some(EsploraSyncConfig { background_sync_config }));
        }
        ChainSource::Electrum(address) => {
            let background_sync_config = every(ELECTRUM_LIGHTNING_SYNC, ELECTRUM_ONCHAIN_SYNC);
            builder.set_chain_source_electrum(address.clone(), Some(ElectrumSyncConfig { background_sync_config }));
        }
    }
}

/// ldk-node may have noted a claim as done that the store then undid, because the process died before the manager was
/// written: whatever was being claimed is claimed again. LDK ignores what it claimed already.
fn claim_again(node: &Node, inner: &Inner) {
    let all: Vec<_> = inner.holds().iter().collect();
    for (hash, hold) in all {
        if let State::Claiming(Claim(preimage)) = hold.state {
            wallet::claim_again(node, hash, hold.amount, &preimage);
        }
    }
}

impl Inner {
    fn node(&self) -> Option<SharedNode> {
        self.node.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn gates(&self) -> MutexGuard<'_, Gates> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_lock(&self) -> Option<File> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The state is made: the source is as high as it is.
    fn is_born(&self) {
        if let Some(relay) = &self.relay {
            relay.is_born();
        }
    }

    /// Lets peers in.
    fn open_way_in(&self) -> Result<(), WalletError> {
        let mut gates = self.gates();
        let Some((public, private)) = &gates.way_in else { return Ok(()) };
        let gate = Gate::open(public, *private, gate::Node::Dialled, gates.dirty.clone(), self.runtime.handle());
        gates.inward = Some(gate.map_err(|error| WalletError::Bug(format!("cannot listen: {error}")))?);
        Ok(())
    }

    /// The local address that leads to a peer's.
    fn way_out(&self, peer: SocketAddr) -> Result<SocketAddr, WalletError> {
        self.gates().way_out(peer, self.runtime.handle())
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close_gates(&self) {
        let mut gates = self.gates();
        gates.inward = None;
        gates.way_in = None;
        gates.outward.clear();
    }

    fn holds(&self) -> MutexGuard<'_, Holds> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gates {
    fn way_out(&mut self, peer: SocketAddr, handle: &Handle) -> Result<SocketAddr, WalletError> {
        if let Some(gate) = self.outward.get(&peer) {
            return Ok(gate.address);
        }
        if self.outward.len() >= PEERS_MAX {
            return Err(WalletError::BadRequest("too many peers"));
        }
        let gate = StdListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|any| Gate::open(&any, peer, gate::Node::Accepted, self.dirty.clone(), handle));
        let gate = gate.map_err(|error| WalletError::Bug(error.to_string()))?;
        let address = gate.address;
        self.outward.insert(peer, gate);
        Ok(address)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Dropping a node stops it, which blocks; no async thread may do that.
        if let Some(node) = self.node.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let (runtime, lock) = (Arc::clone(&self.runtime), self.take_lock());
            std::thread::spawn(move || {
                drop(node);
                drop(lock);
                drop(runtime);
            });
        }
    }
}

/// Makes a directory that only its owner can enter.
pub(crate) fn private_dir(dir: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
