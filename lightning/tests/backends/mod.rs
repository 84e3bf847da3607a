//! The back-ends: each keeps the contract, and has its own troubles.

mod nwc;
mod purse;
mod rest;

use std::time::Duration;

use async_trait::async_trait;
use bitcoin::hashes::{Hash, sha256};
use lightning::{Backend, Invoice, Pace, RemoteConfig, RemoteError, RemoteWallet, Wallet};
use lnmp::Msat;
use tempfile::TempDir;

use crate::Rig;
use crate::servers::nwc::Service;
use crate::servers::world::World;

/// A wallet on a node that somebody else runs.
struct Remote {
    wallet: RemoteWallet,
    world: World,
    service: Option<Service>,
    dir: TempDir,
}

/// Everything is looked at at once.
const PACE: Pace = Pace { poll: Duration::from_millis(20), info_for: Duration::ZERO };

async fn open(backend: Backend, dir: &TempDir, pace: Pace) -> Result<RemoteWallet, RemoteError> {
    // As the house does before it starts anything.
    let _ = rustls::crypto::ring::default_provider().install_default();
    RemoteWallet::open(RemoteConfig { backend, dir: dir.path().join("remote"), pace }).await
}

impl Remote {
    async fn new(backend: Backend, world: World) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let wallet = open(backend, &dir, PACE).await.unwrap();
        Self { wallet, world, service: None, dir }
    }
}

#[async_trait]
impl Rig for Remote {
    fn wallet(&self) -> &dyn Wallet {
        &self.wallet
    }
    async fn pay(&self, bolt11: &str) {
        self.world.pay(bolt11).unwrap();
        if let Some(service) = &self.service {
            service.notify(Invoice::parse(bolt11).unwrap().hash.0);
        }
    }
    async fn mine(&self, blocks: u32) {
        self.world.mine(blocks);
    }
    async fn ask(&self, amount: Msat) -> String {
        self.world.customer_invoice(amount.0)
    }
    async fn pay_again(&self, bolt11: &str) -> bool {
        self.world.pay(bolt11).is_ok()
    }
}

fn hash_of(preimage: [u8; 32]) -> [u8; 32] {
    sha256::Hash::hash(&preimage).to_byte_array()
}
