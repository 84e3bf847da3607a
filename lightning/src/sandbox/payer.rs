//! Payers who do not keep to what an invoice says, and a second one who pays what another has paid.
//!
//! An LDK payer adds blocks to an invoice's final CLTV, pays what is asked, and refuses what has expired or what it paid
//! before. Others do not, and a bridge meets them all. Here they can be tried: what they send is made from the same
//! invoice with other numbers.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bitcoin::hashes::{Hash, sha512};
use bitcoin::{OutPoint, Txid};
use lightning_invoice::Bolt11Invoice;
use lnmp::Msat;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::customer::{Customer, CustomerPayment};
use super::{Sandbox, SandboxError, bootstrap, miner};
use crate::limits::{CUSTOMER_PAY_WITHIN, POLL_EVERY, READY_WITHIN, SANDBOX_CHANNEL_SAT, SANDBOX_SECOND_SAT};
use crate::node::{LdkNode, Liquidity, NodeConfig};
use crate::{HoldStatus, Invoice, Wallet, WalletError};

/// An event loop takes a payment's event within milliseconds; after this there is none.
const UNWATCHED_AFTER: Duration = Duration::from_millis(300);

/// The second customer's directory, beside the first one's.
const SECOND: &str = "second";

/// What a payer makes of an invoice instead of what it says. Whatever is misread is not expired any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Misreading {
    /// Another amount.
    pub amount: Option<Msat>,
    /// Another final CLTV.
    pub final_cltv: Option<u16>,
}

impl Sandbox {
    /// One of the bridge's invoices as such a payer reads it: the same hash and secret, to be given to
    /// [`Customer::pay`].
    ///
    /// # Errors
    /// [`SandboxError::Node`] with [`WalletError::BadInvoice`], when it is none of the bridge's.
    pub fn misread(&self, bolt11: &str, misreading: Misreading) -> Result<String, SandboxError> {
        let bad = |why| SandboxError::bridge(WalletError::BadInvoice(why));
        let invoice: Bolt11Invoice = bolt11.trim().parse().map_err(|_| bad("it is no BOLT 11 invoice"))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let Misreading { amount, final_cltv } = misreading;
        self.bridge.sign_misread(&invoice, amount, final_cltv, now).map_err(SandboxError::bridge)
    }

    /// Pays an invoice from `customer`'s wallet, and waits until the payment is locked at the bridge, arrived or failed;
    /// ten seconds at most, after which it is [`CustomerPayment::Locked`] as far as the customer can tell. `tightly`: see
    /// [`Customer::pay_tightly`].
    ///
    /// # Errors
    /// [`SandboxError::Node`] with [`WalletError::BadInvoice`], [`WalletError::AlreadyPaid`] or
    /// [`WalletError::NoCapacity`].
    pub async fn pay_from(
        &self,
        customer: &Customer,
        bolt11: &str,
        tightly: bool,
    ) -> Result<CustomerPayment, SandboxError> {
        let hash = Invoice::parse(bolt11).map_err(SandboxError::bridge)?.hash;
        // Somebody else's payment, which says nothing about this one.
        let is_taken = matches!(self.lookup(hash).await?, HoldStatus::Held { .. });
        if tightly {
            customer.pay_tightly(bolt11).await?
        } else {
            customer.pay(bolt11).await?
        };
        let began = Instant::now();
        loop {
            let state = customer.payment(hash).await?;
            let locked = matches!(self.lookup(hash).await?, HoldStatus::Held { .. })
                // Nobody takes the bridge's events: the channel itself shows that something is there.
                || (began.elapsed() > UNWATCHED_AFTER
                    && self.bridge.inbound().await.map_err(SandboxError::bridge)?.unexplained > Msat::ZERO);
            let is_over = state != CustomerPayment::Locked || (locked && !is_taken);
            if is_over || began.elapsed() > CUSTOMER_PAY_WITHIN {
                return Ok(state);
            }
            sleep(POLL_EVERY).await;
        }
    }

    async fn lookup(&self, hash: lnmp::PaymentHash) -> Result<HoldStatus, SandboxError> {
        self.bridge.lookup(hash).await.map_err(SandboxError::bridge)
    }

    /// A second customer that was made once is there after every start: its channel would be closed for it otherwise,
    /// when it has a payment under way.
    pub(super) async fn second_comes_back(&self) {
        if self.customer.another(SECOND).config.dir.is_dir()
            && let Err(error) = self.second_customer().await
        {
            tracing::warn!(%error, "sandbox: the second customer did not come back");
        }
    }

    /// Another customer, with a node and a channel of its own: somebody who pays what the first has paid. Made when it
    /// is first asked for, which takes seconds.
    ///
    /// # Errors
    /// [`SandboxError::Node`], [`SandboxError::NotReady`].
    pub async fn second_customer(&self) -> Result<Arc<Customer>, SandboxError> {
        let mut second = self.second.lock().await;
        if let Some(second) = &*second {
            return Ok(Arc::clone(second));
        }
        let customer = Arc::new(self.customer.another(SECOND));
        let node = customer.build_node().await?;
        let is_new = self.fund(&node).await?;
        node.start().await.map_err(SandboxError::customer)?;
        let (bridge, address) = (self.bridge.node_id(), self.bridge_address);
        if is_new {
            let _turn = self.opening.lock().await;
            // Its wallet must have seen its coins, and the bridge's what it keeps for one more channel.
            for node in [&node, &self.bridge] {
                node.poll_chain().await.map_err(SandboxError::customer)?;
            }
            bootstrap::another(&self.chain, &self.bridge, &node, address, SANDBOX_CHANNEL_SAT).await?;
        } else {
            bootstrap::channel(&self.chain, &self.bridge, &node, address).await?;
        }
        customer.adopt(node, bridge, address);
        *second = Some(Arc::clone(&customer));
        drop(second);
        // The blocks of its channel: a wallet that is behind pays too few of them.
        self.sync(1).await?;
        Ok(customer)
    }

    /// Gives a node that has no channel yet its coins, from the first customer's; whether it did.
    async fn fund(&self, node: &LdkNode) -> Result<bool, SandboxError> {
        let known = node.call(|node, _| Ok(node.list_channels().len())).await.map_err(SandboxError::customer)?;
        if known > 0 {
            return Ok(false);
        }
        let address = node.new_address().await.map_err(SandboxError::customer)?;
        let first = self.customer.node()?;
        let paid = first.call(move |node, _| {
            let txid = node.onchain_payment().send_to_address(&address, SANDBOX_SECOND_SAT, None)?;
            Ok(txid)
        });
        let txid = paid.await.map_err(SandboxError::customer)?;
        // The node hands the transaction to the chain a moment later.
        let until = Instant::now() + READY_WITHIN;
        while self.chain.waiting(&txid).is_none() && !self.is_confirmed(txid) {
            if Instant::now() >= until {
                return Err(SandboxError::NotReady("the second customer's coins did not come".into()));
            }
            sleep(POLL_EVERY).await;
        }
        if !self.is_confirmed(txid) {
            self.chain.mine(1, miner::header_now())?;
        }
        Ok(true)
    }

    fn is_confirmed(&self, txid: Txid) -> bool {
        // The coin and the change, in either order.
        (0..2).any(|vout| self.chain.coin(&OutPoint { txid, vout }).is_some())
    }
}

impl Customer {
    /// One like this, kept in a directory beside it and with a seed made from its seed; not built yet.
    fn another(&self, name: &str) -> Self {
        let mut seed = Zeroizing::new([0; 64]);
        let all = Zeroizing::new([&self.config.seed[..], name.as_bytes()].concat());
        seed.copy_from_slice(sha512::Hash::hash(&all).as_byte_array());
        let config = NodeConfig {
            dir: self.config.dir.with_file_name(name),
            seed,
            network: self.config.network,
            chain: self.config.chain.clone(),
            source_tip: Arc::clone(&self.config.source_tip),
            birth_height: None,
            epoch: None,
            liquidity: Liquidity::default(),
            listen: None,
        };
        Self::new(config, Arc::clone(&self.runtime))
    }
}
