//! The embedded IPFS node, started closed: no DHT, no discovery, no announcements, and no socket unless asked.
//!
//! A crate of its own because starting the node is what takes the compiler longest in the whole house (minutes: the
//! types of its network behaviour nest deep). Here it is compiled once; nothing of ours that changes is below it.

use std::path::Path;

use futures::future::LocalBoxFuture;
use rust_ipfs::builder::DefaultIpfsBuilder;
use rust_ipfs::repo::{DefaultStorage, Repo};
use rust_ipfs::{ConnectionLimits, Ipfs, Multiaddr};

/// Connections of a listening node. It serves the bridge's own processes, not the world.
const PEERS_MAX: u32 = 32;

/// Starts a node on the repository in `dir`. It listens at a port of the loopback interface (0: at any), or nowhere.
///
/// # Errors
/// When another process has the repository open, or the port is taken.
pub fn start(dir: &Path, port: Option<u16>) -> LocalBoxFuture<'static, Result<Ipfs, rust_ipfs::Error>> {
    // Of the three parts of a storage, blocks and lock are the ones on disk; pins are in memory (the shelf says why).
    // rust-ipfs only offers all or nothing, but hands out the storage it made, which can be put together anew.
    let on_disk = Repo::new_fs(dir).data_store().clone();
    let repo = Repo::new_raw(on_disk.clone(), DefaultStorage::default(), on_disk);
    let mut builder = DefaultIpfsBuilder::new().set_repo(&repo).with_bitswap().set_connection_limits(|limits| {
        let limits: ConnectionLimits = limits;
        limits.with_max_established(Some(PEERS_MAX))
    });
    if let Some(port) = port {
        let address = format!("/ip4/127.0.0.1/tcp/{port}");
        let address: Multiaddr = address.parse().expect("an IPv4 address and a port make a multiaddr");
        builder = builder.with_identify(Default::default()).enable_tcp().add_listening_addr(address);
    }
    // Boxed, so that it is compiled here and not in whoever awaits it.
    Box::pin(builder.start())
}
