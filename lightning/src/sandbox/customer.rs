//! Somebody with a Lightning wallet, who pays for mail.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bitcoin::secp256k1::PublicKey;
use ldk::routing::router::RouteParametersConfig;
use ldk_node::Event;
use lnmp::{Msat, PaymentHash};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::SandboxError;
use crate::limits::{FAILURES_MAX, POLL_EVERY, READY_WITHIN};
use crate::node::{LdkNode, Liquidity, NodeConfig, NodeRuntime, parse_payable, send};
use crate::{Balance, Paid, Wallet, WalletError, failpoint};

/// How often a payment is looked at while no event comes.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How far a payment of the customer's is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustomerPayment {
    /// No such payment was made.
    Unknown,
    /// On its way, or locked: the payee has neither taken nor returned it.
    Locked,
    /// The payee took it.
    Succeeded {
        /// Routing fee on top of the amount.
        fee: Msat,
    },
    /// It came back; nothing was paid.
    Failed {
        /// LDK's word for why, such as `RecipientRejected`; empty after a restart.
        reason: String,
    },
}

/// The customer. Its node can be stopped and started alone.
pub struct Customer {
    pub(super) config: NodeConfig,
    pub(super) runtime: Arc<NodeRuntime>,
    running: Mutex<Option<Running>>,
    failures: Arc<Mutex<HashMap<PaymentHash, String>>>,
    changes: watch::Sender<u64>,
    bridge: Mutex<Option<(PublicKey, SocketAddr)>>,
}

struct Running {
    node: LdkNode,
    events: JoinHandle<()>,
}

impl Customer {
    pub(super) fn new(config: NodeConfig, runtime: Arc<NodeRuntime>) -> Self {
        Self {
            config,
            runtime,
            running: Mutex::new(None),
            failures: Arc::default(),
            changes: watch::Sender::new(0),
            bridge: Mutex::new(None),
        }
    }

    pub(super) async fn build_node(&self) -> Result<LdkNode, SandboxError> {
        let config = NodeConfig {
            dir: self.config.dir.clone(),
            seed: self.config.seed.clone(),
            network: self.config.network,
            chain: self.config.chain.clone(),
            source_tip: Arc::clone(&self.config.source_tip),
            birth_height: None,
            epoch: None,
            liquidity: Liquidity::default(),
            listen: None,
        };
        LdkNode::build(config, &self.runtime).await.map_err(SandboxError::customer)
    }

    /// Takes over a started node: from now on its events are handled here.
    pub(super) fn adopt(&self, node: LdkNode, bridge: PublicKey, address: SocketAddr) {
        *lock(&self.bridge) = Some((bridge, address));
        let (listening, failures, changes) = (node.clone(), Arc::clone(&self.failures), self.changes.clone());
        let events = tokio::spawn(async move { listen(&listening, &failures, &changes).await });
        *lock(&self.running) = Some(Running { node, events });
    }

    pub(super) fn node(&self) -> Result<LdkNode, SandboxError> {
        lock(&self.running).as_ref().map(|running| running.node.clone()).ok_or(SandboxError::NoCustomer)
    }

    /// Begins to pay an invoice; its hash. [`Customer::payment`] tells how it goes.
    ///
    /// # Errors
    /// [`SandboxError::Node`] with [`WalletError::BadInvoice`], [`WalletError::AlreadyPaid`] or
    /// [`WalletError::NoCapacity`]; [`SandboxError::NoCustomer`].
    pub async fn pay(&self, bolt11: &str) -> Result<PaymentHash, SandboxError> {
        self.send(bolt11, |_| None).await
    }

    /// Pays like a wallet that adds no blocks of its own to the invoice's final CLTV. LDK's payers add a random number,
    /// which hides a window that is too short.
    ///
    /// # Errors
    /// As [`Customer::pay`].
    pub async fn pay_tightly(&self, bolt11: &str) -> Result<PaymentHash, SandboxError> {
        self.send(bolt11, |final_cltv| {
            // LDK wants room for one block above the last hop, and fills no more than that.
            let route = RouteParametersConfig::default().with_max_total_cltv_expiry_delta(final_cltv + 1);
            Some(route)
        })
        .await
    }

    async fn send(
        &self,
        bolt11: &str,
        route: impl FnOnce(u32) -> Option<RouteParametersConfig> + Send + 'static,
    ) -> Result<PaymentHash, SandboxError> {
        let bolt11 = bolt11.to_owned();
        let node = self.node()?;
        let network = self.config.network;
        let failures = Arc::clone(&self.failures);
        let paid = node.call(move |node, inner| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let invoice = parse_payable(&bolt11, network, now)?;
            let route = route(u32::try_from(invoice.min_final_cltv_expiry_delta()).unwrap_or(u32::MAX - 1));
            lock(&failures).remove(&PaymentHash(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash())));
            send(node, inner, &invoice, route, || failpoint::pass("customer.noted"))
        });
        paid.await.map_err(SandboxError::customer)
    }

    /// How far the payment of `hash` is.
    ///
    /// # Errors
    /// [`SandboxError::NoCustomer`], and the node's temporary ones.
    pub async fn payment(&self, hash: PaymentHash) -> Result<CustomerPayment, SandboxError> {
        let sent = self.node()?.sent(hash).await.map_err(SandboxError::customer)?;
        Ok(match sent {
            None => CustomerPayment::Unknown,
            Some(Paid::Pending) => CustomerPayment::Locked,
            Some(Paid::Succeeded { fee }) => CustomerPayment::Succeeded { fee },
            Some(Paid::Failed) => {
                CustomerPayment::Failed { reason: lock(&self.failures).get(&hash).cloned().unwrap_or_default() }
            }
        })
    }

    /// Waits until the payment of `hash` succeeded or failed, at most `within`; what it is then.
    ///
    /// # Errors
    /// As [`Customer::payment`].
    pub async fn wait(&self, hash: PaymentHash, within: Duration) -> Result<CustomerPayment, SandboxError> {
        let mut until = Instant::now() + within;
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let state = self.payment(hash).await?;
            let ended = match &state {
                // The reason comes with the event, a moment after the state.
                CustomerPayment::Failed { reason } if reason.is_empty() => {
                    until = until.min(Instant::now() + LOOK_EVERY);
                    false
                }
                CustomerPayment::Locked => false,
                CustomerPayment::Failed { .. } | CustomerPayment::Succeeded { .. } | CustomerPayment::Unknown => true,
            };
            if ended || Instant::now() >= until {
                return Ok(state);
            }
            // What no event tells is looked for.
            let _ = timeout_at(until.min(Instant::now() + LOOK_EVERY), changes.changed()).await;
        }
    }

    /// Sends coins to an address on the chain.
    ///
    /// # Errors
    /// [`SandboxError::Node`] with [`WalletError::NoCapacity`].
    pub async fn send_coins(&self, address: bitcoin::Address, sat: u64) -> Result<(), SandboxError> {
        let node = self.node()?;
        let sent = node.call(move |node, _| {
            node.onchain_payment().send_to_address(&address, sat, None)?;
            Ok(())
        });
        sent.await.map_err(SandboxError::customer)
    }

    /// What the customer owns.
    ///
    /// # Errors
    /// As [`Customer::payment`].
    pub async fn balance(&self) -> Result<Balance, SandboxError> {
        self.node()?.balance().await.map_err(SandboxError::customer)
    }

    /// An invoice that pays the customer.
    ///
    /// # Errors
    /// As [`Customer::payment`].
    pub async fn invoice(&self, amount: Msat, description: &str) -> Result<String, SandboxError> {
        self.invoice_for(amount, description, Duration::from_secs(3600)).await
    }

    /// The same, open for `expiry`.
    ///
    /// # Errors
    /// As [`Customer::payment`].
    pub async fn invoice_for(&self, amount: Msat, description: &str, expiry: Duration) -> Result<String, SandboxError> {
        self.node()?.invoice(amount, description.to_owned(), expiry).await.map_err(SandboxError::customer)
    }

    /// Stops the customer's node alone: the bridge sees its peer go away.
    ///
    /// # Errors
    /// [`SandboxError::Node`] when it does not stop in time.
    pub async fn stop(&self) -> Result<(), SandboxError> {
        let Some(running) = lock(&self.running).take() else { return Ok(()) };
        let stopped = running.node.stop().await;
        // It ends by itself once the node is stopping; an event it was at stays in the node's queue.
        running.events.abort();
        stopped.map_err(SandboxError::customer)
    }

    /// Starts the customer's node again, and waits until it is at the chain's tip and its channel usable.
    ///
    /// # Errors
    /// [`SandboxError::Node`], [`SandboxError::NotReady`].
    pub async fn start(&self) -> Result<(), SandboxError> {
        if lock(&self.running).is_some() {
            return Ok(());
        }
        let at = *lock(&self.bridge);
        let (bridge, address) = at.ok_or_else(|| SandboxError::NotReady("the customer knows no bridge".into()))?;
        let node = self.build_node().await?;
        node.start().await.map_err(SandboxError::customer)?;
        let until = Instant::now() + READY_WITHIN;
        loop {
            if node.channels().await.map_err(SandboxError::customer)?.iter().any(|channel| channel.usable) {
                break;
            }
            if Instant::now() >= until {
                return Err(SandboxError::NotReady("the customer's channel did not come back".into()));
            }
            match node.connect(bridge, address).await {
                Ok(()) | Err(WalletError::NoCapacity) => sleep(POLL_EVERY).await,
                Err(error) => return Err(SandboxError::customer(error)),
            }
        }
        // A payer behind the chain locks for fewer blocks than the invoice asks, and is refused.
        node.sync(READY_WITHIN).await.map_err(SandboxError::customer)?;
        self.adopt(node, bridge, address);
        Ok(())
    }
}

async fn listen(node: &LdkNode, failures: &Mutex<HashMap<PaymentHash, String>>, changes: &watch::Sender<u64>) {
    while let Some(event) = node.next_ldk_event().await {
        if let Event::PaymentFailed { payment_hash: Some(hash), reason, .. } = &event {
            let mut failures = lock(failures);
            if failures.len() >= FAILURES_MAX {
                failures.clear();
            }
            failures.insert(PaymentHash(hash.0), reason.map(|reason| format!("{reason:?}")).unwrap_or_default());
        }
        match node.event_handled().await {
            Ok(()) => changes.send_modify(|count| *count += 1),
            Err(WalletError::NotRunning) => return,
            Err(error) => {
                tracing::warn!(%error, "sandbox: the customer could not handle an event");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
