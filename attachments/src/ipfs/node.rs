//! The embedded rust-ipfs node while it runs: asked for little.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use ipld_core::cid::Cid;
use rust_ipfs::repo::PinStore as _;
use rust_ipfs::{Ipfs, Multiaddr};
use tokio::time::{Instant, sleep, timeout};

use super::Listen;
use super::reference;
use crate::error::{Error, Result};
use crate::limits::STOP_DEADLINE;

/// The name rust-ipfs gives its lock file.
const LOCK_FILE: &str = "repo_lock";

/// A node that runs until it is stopped.
pub(super) struct Node {
    running: Mutex<Option<Ipfs>>,
    lock_file: PathBuf,
    listen: Listen,
}

impl Node {
    pub(super) async fn start(dir: &Path, listen: Listen) -> Result<Self> {
        let port = match listen {
            Listen::Loopback(port) => Some(port),
            Listen::Nowhere => None,
        };
        let ipfs = ipfs_node::start(dir, port).await.map_err(failed)?;
        Ok(Self { running: Mutex::new(Some(ipfs)), lock_file: dir.join(LOCK_FILE), listen })
    }

    /// The node, or that it was stopped.
    pub(super) fn running(&self) -> Result<Ipfs> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.clone().ok_or(Error::Unavailable("stopped"))
    }

    /// Pins a root and its leaves. Reads no block: the leaves are known.
    pub(super) async fn pin(&self, root: Cid, leaves: &[Cid]) -> Result<()> {
        let ipfs = self.running()?;
        if ipfs.is_pinned(root).await.map_err(failed)? {
            return Ok(());
        }
        let pins = ipfs.repo().data_store();
        if reference::is_leaf(&root) {
            return pins.insert_direct_pin(&root).await.map_err(failed);
        }
        pins.insert_recursive_pin(&root, stream::iter(leaves.to_vec()).map(Ok).boxed()).await.map_err(failed)
    }

    /// Unpins a root and its leaves. What was not pinned stays so.
    pub(super) async fn unpin(&self, root: Cid, leaves: &[Cid]) {
        let Ok(ipfs) = self.running() else { return };
        let pins = ipfs.repo().data_store();
        let unpinned = if reference::is_leaf(&root) {
            pins.remove_direct_pin(&root).await
        } else {
            pins.remove_recursive_pin(&root, stream::iter(leaves.to_vec()).map(Ok).boxed()).await
        };
        if let Err(error) = unpinned {
            tracing::debug!(%root, %error, "nothing to unpin");
        }
    }

    /// A block from a peer, or `None` when none had it in time. Who listens nowhere has no peers.
    pub(super) async fn fetch(&self, cid: &Cid, deadline: Duration) -> Result<Option<Vec<u8>>> {
        let ipfs = self.running()?;
        if self.listen == Listen::Nowhere || ipfs.connected().await.map_err(failed)?.is_empty() {
            return Ok(None);
        }
        // The node has a timeout of its own, and ours is around it all the same: it is young code.
        match timeout(deadline, ipfs.get_block(cid).timeout(deadline)).await {
            Ok(Ok(block)) if reference::names(cid, block.data()) => Ok(Some(block.data().to_vec())),
            Ok(Ok(_)) => Err(Error::Damaged { cid: cid.to_string(), why: "a peer sent another block" }),
            Ok(Err(error)) => {
                tracing::debug!(%cid, %error, "no peer had the block");
                Ok(None)
            }
            Err(_) => Ok(None),
        }
    }

    pub(super) async fn addresses(&self) -> Result<Vec<String>> {
        let ipfs = self.running()?;
        let peer = ipfs.keypair().public().to_peer_id();
        let addresses = ipfs.listening_addresses().await.map_err(failed)?;
        Ok(addresses.into_iter().map(|address| format!("{address}/p2p/{peer}")).collect())
    }

    pub(super) async fn connect(&self, address: &str) -> Result<()> {
        let address: Multiaddr = address.parse().map_err(|error| Error::Node(format!("not a multiaddr: {error}")))?;
        self.running()?.connect(address).await.map(drop).map_err(failed)
    }

    /// Stops the node and waits until it has let go of the repository, so that it can be opened again.
    pub(super) async fn stop(&self) {
        let ipfs = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(ipfs) = ipfs else { return };
        ipfs.exit_daemon().await;
        let deadline = Instant::now() + STOP_DEADLINE;
        while Instant::now() < deadline {
            let Ok(file) = std::fs::File::open(&self.lock_file) else { return };
            if file.try_lock().is_ok() {
                return;
            }
            sleep(Duration::from_millis(2)).await;
        }
        tracing::warn!("the IPFS node still holds its repository");
    }
}

fn failed(error: rust_ipfs::Error) -> Error {
    Error::Node(format!("{error:#}"))
}
