//! What every wallet promises, asked of the twin, of a real node over each chain source, and of every back-end against a
//! server that speaks its node's API.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod backends;
mod common;
mod servers;
mod sources;

use std::time::Duration;

use async_trait::async_trait;
use common::{held, hold, payment_event, preimage, runtime, settled, until};
use lightning::memory::MemoryWallet;
use lightning::{Event, HoldStatus, Invoice, Paid, Sandbox, Wallet, WalletError};
use lnmp::{Msat, PaymentHash};

/// A wallet with a payer beside it.
#[async_trait]
trait Rig: Sync {
    fn wallet(&self) -> &dyn Wallet;
    async fn pay(&self, bolt11: &str);
    async fn mine(&self, blocks: u32);
    /// An invoice of the payer.
    async fn ask(&self, amount: Msat) -> String;
    /// Pays what was cancelled. `true` when the node lets the payment in, to be cancelled again.
    async fn pay_again(&self, bolt11: &str) -> bool {
        self.pay(bolt11).await;
        true
    }
}

struct Twin(MemoryWallet);

#[async_trait]
impl Rig for Twin {
    fn wallet(&self) -> &dyn Wallet {
        &self.0
    }
    async fn pay(&self, bolt11: &str) {
        self.0.pay_held(bolt11).unwrap();
    }
    async fn mine(&self, blocks: u32) {
        self.0.mine(blocks);
    }
    async fn ask(&self, amount: Msat) -> String {
        let payer = MemoryWallet::new();
        payer.invoice(amount, "payer".into(), Duration::from_secs(3600)).await.unwrap()
    }
}

struct Real(Sandbox);

#[async_trait]
impl Rig for Real {
    fn wallet(&self) -> &dyn Wallet {
        self.0.bridge()
    }
    async fn pay(&self, bolt11: &str) {
        // Somebody who pays again must have their money back first. Tightly: LDK's own blocks would hide a short window.
        until("a payment", || async { self.0.customer().pay_tightly(bolt11).await.ok() }).await;
    }
    async fn mine(&self, blocks: u32) {
        self.0.mine(blocks).await.unwrap();
    }
    async fn ask(&self, amount: Msat) -> String {
        self.0.customer().invoice(amount, "payer").await.unwrap()
    }
}

#[test]
fn the_twin_keeps_the_contract() {
    runtime().block_on(contract(&Twin(MemoryWallet::new())));
}

#[test]
fn a_real_node_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let rig = Real(common::sandbox(dir.path()).await);
        contract(&rig).await;
        rig.0.stop().await.unwrap();
    });
}

async fn contract(rig: &dyn Rig) {
    creating_is_repeatable_and_checked(rig).await;
    an_event_is_repeated_until_it_is_handled(rig).await;
    a_settled_payment_cannot_be_cancelled(rig).await;
    a_cancelled_payment_cannot_be_settled_and_may_be_paid_again(rig).await;
    the_deadline_ends_a_hold_without_an_event(rig).await;
    unknown_hashes_are_told_apart(rig).await;
    an_ended_payment_is_forgotten(rig).await;
    an_ordinary_invoice_is_claimed_on_arrival(rig).await;
    what_was_paid_is_looked_up_and_not_paid_again(rig).await;
}

async fn creating_is_repeatable_and_checked(rig: &dyn Rig) {
    let wallet = rig.wallet();
    let first = wallet.create(hold(10, 100)).await.unwrap();
    let second = wallet.create(hold(10, 100)).await.unwrap();
    assert!(first.starts_with("lnbcrt1u1") && second.starts_with("lnbcrt1u1"), "100 sat are 1 u");
    assert_eq!(wallet.lookup(preimage(10).hash()).await.unwrap(), HoldStatus::Open);
    let mut short = hold(11, 100);
    short.final_cltv = 42;
    assert!(matches!(wallet.create(short).await, Err(WalletError::BadRequest(_))));
}

async fn an_event_is_repeated_until_it_is_handled(rig: &dyn Rig) {
    let wallet = rig.wallet();
    let invoice = wallet.create(hold(12, 100)).await.unwrap();
    rig.pay(&invoice).await;
    let first = payment_event(wallet).await;
    assert!(matches!(first, Event::Held { hash, .. } if hash == preimage(12).hash()));
    assert_eq!(payment_event(wallet).await, first);
    assert_eq!(wallet.ready_event().await, Some(first));
    wallet.event_handled().await.unwrap();
    assert_eq!(wallet.ready_event().await, None);
    let nothing = tokio::time::timeout(Duration::from_millis(50), wallet.next_event()).await;
    assert!(nothing.is_err());
    let inbound = wallet.inbound().await.unwrap();
    assert_eq!(inbound.held.len(), 1);
    assert_eq!(wallet.balance().await.unwrap().held, Msat(100_000));
    let capacity = wallet.capacity().await.unwrap();
    assert_eq!(capacity.slots_total - capacity.slots_free, 1);
    wallet.cancel(preimage(12).hash()).await.unwrap();
}

async fn a_settled_payment_cannot_be_cancelled(rig: &dyn Rig) {
    let (wallet, hash) = (rig.wallet(), preimage(13).hash());
    let invoice = wallet.create(hold(13, 100)).await.unwrap();
    rig.pay(&invoice).await;
    let (amount, _) = held(wallet, hash).await;
    assert!(matches!(wallet.settle(hash, amount, &preimage(14)).await, Err(WalletError::WrongPreimage)));
    wallet.settle(hash, amount, &preimage(13)).await.unwrap();
    assert!(matches!(wallet.cancel(hash).await, Err(WalletError::AlreadyClaimed)));
    assert_eq!(settled(wallet, hash).await, amount);
    wallet.settle(hash, amount, &preimage(13)).await.unwrap();
    assert!(matches!(wallet.cancel(hash).await, Err(WalletError::AlreadyClaimed)));
    assert_eq!(wallet.lookup(hash).await.unwrap(), HoldStatus::Settled);
    assert!(matches!(wallet.create(hold(13, 100)).await, Err(WalletError::AlreadyPaid)));
}

async fn a_cancelled_payment_cannot_be_settled_and_may_be_paid_again(rig: &dyn Rig) {
    let (wallet, hash) = (rig.wallet(), preimage(15).hash());
    let invoice = wallet.create(hold(15, 100)).await.unwrap();
    rig.pay(&invoice).await;
    for _ in 0..2 {
        let (amount, _) = held(wallet, hash).await;
        wallet.cancel(hash).await.unwrap();
        wallet.cancel(hash).await.unwrap();
        assert_eq!(wallet.lookup(hash).await.unwrap(), HoldStatus::Cancelled);
        let refused = wallet.settle(hash, amount, &preimage(15)).await;
        assert!(matches!(refused, Err(WalletError::AlreadyCancelled)), "{refused:?}");
        if !rig.pay_again(&invoice).await {
            assert_eq!(wallet.lookup(hash).await.unwrap(), HoldStatus::Cancelled);
            assert_eq!(wallet.ready_event().await, None);
            return;
        }
    }
    held(wallet, hash).await;
    wallet.cancel(hash).await.unwrap();
}

async fn the_deadline_ends_a_hold_without_an_event(rig: &dyn Rig) {
    let (wallet, hash) = (rig.wallet(), preimage(16).hash());
    let mut new = hold(16, 100);
    new.final_cltv = lightning::limits::FINAL_CLTV_MIN;
    let invoice = wallet.create(new).await.unwrap();
    rig.pay(&invoice).await;
    let (amount, deadline) = held(wallet, hash).await;
    let height = wallet.chain().await.unwrap().height;
    rig.mine(deadline - height).await;
    assert_eq!(wallet.lookup(hash).await.unwrap(), HoldStatus::Cancelled);
    assert_eq!(wallet.ready_event().await, None);
    let refused = wallet.settle(hash, amount, &preimage(16)).await;
    assert!(matches!(refused, Err(WalletError::TooLate { .. } | WalletError::AlreadyCancelled)), "{refused:?}");
}

async fn unknown_hashes_are_told_apart(rig: &dyn Rig) {
    let (wallet, hash) = (rig.wallet(), preimage(99).hash());
    assert_eq!(wallet.lookup(hash).await.unwrap(), HoldStatus::Unknown);
    let refused = wallet.settle(hash, Msat(1000), &preimage(99)).await;
    assert!(matches!(refused, Err(WalletError::UnknownHash)), "{refused:?}");
    assert_eq!(wallet.sent(PaymentHash([0xee; 32])).await.unwrap(), None);
    assert!(matches!(wallet.pay("lnbcrt1nonsense").await, Err(WalletError::BadInvoice(_))));
    // A restored database may not know it: it must be failed all the same.
    wallet.cancel(hash).await.unwrap();
    assert_eq!(wallet.lookup(hash).await.unwrap(), HoldStatus::Cancelled);
}

async fn an_ended_payment_is_forgotten(rig: &dyn Rig) {
    let wallet = rig.wallet();
    wallet.forget(preimage(15).hash()).await.unwrap();
    assert_eq!(wallet.lookup(preimage(15).hash()).await.unwrap(), HoldStatus::Unknown);
    wallet.forget(preimage(15).hash()).await.unwrap();
}

async fn an_ordinary_invoice_is_claimed_on_arrival(rig: &dyn Rig) {
    let wallet = rig.wallet();
    let invoice = wallet.invoice(Msat(20_000), "tea & co".into(), Duration::from_secs(3600)).await.unwrap();
    rig.pay(&invoice).await;
    assert_eq!(settled(wallet, Invoice::parse(&invoice).unwrap().hash).await, Msat(20_000));
}

async fn what_was_paid_is_looked_up_and_not_paid_again(rig: &dyn Rig) {
    let wallet = rig.wallet();
    let bolt11 = rig.ask(Msat(10_000)).await;
    let hash = Invoice::parse(&bolt11).unwrap().hash;
    assert_eq!(wallet.sent(hash).await.unwrap(), None);
    let paid = wallet.pay(&bolt11).await.unwrap();
    assert!(matches!(paid, Paid::Succeeded { .. }), "{paid:?}");
    assert_eq!(wallet.sent(hash).await.unwrap(), Some(paid));
    let again = wallet.pay(&bolt11).await;
    assert!(matches!(again, Err(WalletError::AlreadyPaid)), "{again:?}");
}
