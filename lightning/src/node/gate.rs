//! Between the node and its peers: what the node says is passed on only when its state can stand behind it.
//!
//! LDK writes a channel's monitor at once and the channel manager a moment later. Killed in between, it would find
//! the manager behind the monitor and force-close. So nothing that was said in between leaves the machine: the gate
//! holds the node's octets back until [`super::store`] has both on the disk, and the store drops the monitor's surplus
//! at the next start. Nobody has heard of it.
//!
//! ```text
//!   peer ──▶ gate ──────────────▶ node (private loopback port)
//!   peer ◀── gate ◀─ wait: clean ─ node
//! ```

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;

use rand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::limits::{CLEAN_WITHIN, DIAL_WITHIN, GATE_CHUNK, PEERS_MAX, POLL_EVERY};

/// Below the range the system takes for outgoing connections, so that it does not take a port while we are down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const ATTEMPTS: usize = 100;

/// Which of a gate's two connections is the node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    /// The one the gate accepted: the node dials out.
    Accepted,
    /// The one the gate dialled: a peer came in.
    Dialled,
}

/// A listener that passes each connection on to one address. Closes with its drop.
pub(super) struct Gate {
    pub(super) address: SocketAddr,
    task: AbortHandle,
}

impl Gate {
    /// Passes what comes to `listener` on to `target`. `dirty` is the store's word.
    pub(super) fn open(
        listener: &StdListener,
        target: SocketAddr,
        node: Node,
        dirty: watch::Receiver<bool>,
        handle: &Handle,
    ) -> std::io::Result<Self> {
        let listener = listener.try_clone()?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let inside = handle.enter();
        let listener = TcpListener::from_std(listener)?;
        drop(inside);
        let task = handle.spawn(accept(listener, target, node, dirty)).abort_handle();
        Ok(Self { address, task })
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, node: Node, dirty: watch::Receiver<bool>) {
    // Dropped with this task, which ends its connections.
    let mut connections = tokio::task::JoinSet::new();
    let slots = Arc::new(Semaphore::new(PEERS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let Ok((accepted, _)) = listener.accept().await else {
            tokio::time::sleep(POLL_EVERY).await;
            continue;
        };
        let dirty = dirty.clone();
        connections.spawn(async move {
            if let Ok(Ok(dialled)) = timeout(DIAL_WITHIN, TcpStream::connect(target)).await {
                let (node, peer) = match node {
                    Node::Accepted => (accepted, dialled),
                    Node::Dialled => (dialled, accepted),
                };
                join(node, peer, dirty).await;
            }
            drop(slot);
        });
    }
}

/// Passes octets both ways until either side closes.
async fn join(node: TcpStream, peer: TcpStream, dirty: watch::Receiver<bool>) {
    let _ = (node.set_nodelay(true), peer.set_nodelay(true));
    let ((mut from_node, mut to_node), (mut from_peer, mut to_peer)) = (node.into_split(), peer.into_split());
    tokio::select! {
        () = speak(&mut from_node, &mut to_peer, dirty) => {}
        _ = tokio::io::copy(&mut from_peer, &mut to_node) => {}
    }
}

/// Passes on what the node says, each piece when the state it came from is on the disk.
async fn speak(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, mut dirty: watch::Receiver<bool>) {
    let mut chunk = vec![0; GATE_CHUNK];
    loop {
        let Ok(read @ 1..) = from.read(&mut chunk).await else { return };
        match timeout(CLEAN_WITHIN, dirty.wait_for(|dirty| !dirty)).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                // Better unheard than taken back: the connection closes, and the channel begins where both agree.
                tracing::error!("lightning: the node's state was not written in time; disconnecting its peer");
                return;
            }
        }
        if to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
    }
}

/// A listener on a loopback port that nobody had.
pub(crate) fn listen_anywhere() -> Option<StdListener> {
    let mut chance = rand::thread_rng();
    (0..ATTEMPTS).find_map(|_| StdListener::bind((Ipv4Addr::LOCALHOST, chance.gen_range(PORTS))).ok())
}

/// A loopback address for the node itself, which binds it only when it starts: nobody must come in between.
pub(super) fn private_address() -> Option<SocketAddr> {
    let mut chance = rand::thread_rng();
    let any = |_| {
        // Linux has all of 127.0.0.0/8, and on a host of it drawn by lot nobody else takes a port.
        let host = if cfg!(target_os = "linux") {
            Ipv4Addr::new(127, chance.gen_range(1..=254), chance.gen_range(0..=255), chance.gen_range(1..=254))
        } else {
            Ipv4Addr::LOCALHOST
        };
        let address = SocketAddr::from((host, chance.gen_range(PORTS)));
        StdListener::bind(address).is_ok().then_some(address)
    };
    (0..ATTEMPTS).find_map(any)
}
