//! Where peers are reached. ldk-node remembers the gate's address, which is another one after every start.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Weak};

use bitcoin::secp256k1::PublicKey;
use ldk_node::Node;
use tokio::time::sleep;

use super::{Inner, LdkNode};
use crate::WalletError;
use crate::limits::{PEER_AGAIN, PEERS_MAX};
use crate::records::write_atomic;

/// A peer and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerAddress {
    pub(crate) node_id: PublicKey,
    /// `HOST:PORT`.
    pub(crate) address: String,
}

impl PeerAddress {
    pub(crate) fn parse(node_id: &str, address: &str) -> Result<Self, WalletError> {
        let node_id = PublicKey::from_str(node_id)
            .map_err(|_| WalletError::BadRequest("a node id is 66 hexadecimal digits that begin with 02 or 03"))?;
        let (host, port) = address.rsplit_once(':').unwrap_or_default();
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(WalletError::BadRequest("an address is HOST:PORT, like node.example:9735"));
        }
        if host.ends_with(".onion") {
            return Err(WalletError::BadRequest(
                "onion addresses are not supported: name one the peer has outside Tor",
            ));
        }
        Ok(Self { node_id, address: address.to_owned() })
    }

    /// Blocks while a name is looked up.
    pub(crate) fn resolve(&self) -> Result<SocketAddr, WalletError> {
        let mut found = self.address.to_socket_addrs().map_err(|_| WalletError::NoCapacity)?;
        found.next().ok_or(WalletError::NoCapacity)
    }
}

/// The peers we dial, kept in a file.
pub(super) struct Peers {
    path: PathBuf,
    known: BTreeMap<String, String>,
}

impl Peers {
    pub(super) fn open(path: PathBuf) -> std::io::Result<Self> {
        let known = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, known })
    }

    pub(super) fn remember(&mut self, peer: &PeerAddress) -> Result<(), WalletError> {
        let id = peer.node_id.to_string();
        if self.known.get(&id) == Some(&peer.address) {
            return Ok(());
        }
        if self.known.len() >= PEERS_MAX && !self.known.contains_key(&id) {
            return Err(WalletError::BadRequest("too many peers"));
        }
        self.known.insert(id, peer.address.clone());
        let bytes = serde_json::to_vec(&self.known).map_err(|error| WalletError::Bug(error.to_string()))?;
        write_atomic(&self.path, &bytes).map_err(|error| WalletError::Disk(error.to_string()))
    }

    pub(super) fn address(&self, peer: &PublicKey) -> Option<String> {
        self.known.get(&peer.to_string()).cloned()
    }

    fn all(&self) -> Vec<PeerAddress> {
        let known = self.known.iter();
        known.filter_map(|(id, address)| PeerAddress::parse(id, address).ok()).collect()
    }
}

impl Inner {
    /// Where a peer is: as we dialled it, or as the network tells.
    pub(super) fn address_of(&self, node: &Node, peer: &PublicKey) -> Option<String> {
        self.peers().address(peer).or_else(|| {
            let told = node.network_graph().node(&ldk::routing::gossip::NodeId::from_pubkey(peer))?;
            let announced = told.announcement_info.as_ref()?.addresses().first()?.to_string();
            PeerAddress::parse(&peer.to_string(), &announced).ok().map(|peer| peer.address)
        })
    }
}

/// Keeps the peers of our channels connected until the node stops.
pub(super) async fn keep(inner: Weak<Inner>) {
    loop {
        let Some(inner) = inner.upgrade() else { return };
        let node = LdkNode { inner: Arc::clone(&inner) };
        drop(inner);
        match node.call(|node, inner| Ok(missing(node, inner))).await {
            Ok(missing) => {
                for peer in missing {
                    // One that is away is tried again later; its name is not for the log.
                    let _ = node.dial(peer).await;
                }
            }
            Err(WalletError::NotRunning) => return,
            Err(_) => {}
        }
        drop(node);
        sleep(PEER_AGAIN).await;
    }
}

/// Peers with a channel, whose address we know, and that are not connected.
fn missing(node: &Node, inner: &Inner) -> Vec<PeerAddress> {
    let connected: Vec<_> = node.list_peers().into_iter().filter(|peer| peer.is_connected).collect();
    let channels = node.list_channels();
    let is_missing = |peer: &PeerAddress| {
        channels.iter().any(|channel| channel.counterparty_node_id == peer.node_id)
            && !connected.iter().any(|there| there.node_id == peer.node_id)
    };
    inner.peers().all().into_iter().filter(is_missing).collect()
}

impl LdkNode {
    /// Connects to a peer through a gate.
    pub(crate) async fn dial(&self, peer: PeerAddress) -> Result<(), WalletError> {
        self.call(move |node, inner| Ok(node.connect(peer.node_id, inner.way_out(peer.resolve()?)?.into(), false)?))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

    #[test]
    fn an_address_is_read_and_a_wrong_one_is_explained() {
        assert_eq!(PeerAddress::parse(ID, "node.example:9735").unwrap().address, "node.example:9735");
        assert!(PeerAddress::parse(ID, "[::1]:9735").unwrap().resolve().is_ok());
        for (id, address, word) in
            [("02ab", "h:1", "66"), (ID, "host", "HOST:PORT"), (ID, "h:70000", "HOST:PORT"), (ID, "x.onion:1", "Tor")]
        {
            let refused = PeerAddress::parse(id, address).unwrap_err().to_string();
            assert!(refused.contains(word), "{refused}");
        }
    }

    #[test]
    fn peers_are_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.json");
        let peer = PeerAddress::parse(ID, "node.example:9735").unwrap();
        Peers::open(path.clone()).unwrap().remember(&peer).unwrap();
        assert_eq!(Peers::open(path).unwrap().all(), [peer]);
    }
}
