//! The shell: listens, bounds, wraps in TLS, and lets every session say goodbye.

use futures::future::BoxFuture;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use store::{Store, UnixMs};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::host::Host;
use crate::io::{Connection, Wire};
#[cfg(doc)]
use crate::limits::MESSAGE_LIMIT;
use crate::limits::{APPEND_BYTES_IN_FLIGHT_MAX, CONNECTIONS_MAX, SHUTDOWN_DEADLINE, TLS_HANDSHAKE_DEADLINE};
use crate::rooms::Rooms;
use crate::session::{Peer, Session, Shared};

/// Gives the TLS configuration of the moment, so that a renewed certificate serves the next connection; `None` when
/// there is no certificate.
pub type TlsSource = Arc<dyn Fn() -> Option<Arc<ServerConfig>> + Send + Sync>;

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// By STARTTLS; passwords in the clear on loopback only. Port 143.
    StartTls,
    /// With the connection. Port 993 (RFC 8314).
    Implicit,
}

/// What a server is made of.
#[derive(Clone)]
pub struct Parts {
    /// Where mailboxes are.
    pub store: Arc<dyn Store>,
    /// Where attachments are.
    pub shelf: Arc<dyn attachments::Shelf>,
    /// Who logs in and seals.
    pub host: Arc<dyn Host>,
    /// The certificate.
    pub tls: TlsSource,
    /// The clock: milliseconds since 1970.
    pub now: fn() -> UnixMs,
    /// Messages one command goes through: [`MESSAGE_LIMIT`], or what the operator prefers. RFC 9738 §3 wants 1000 at
    /// least.
    pub message_limit: u32,
}

/// An IMAP server over any number of listeners.
pub struct Server {
    shared: Arc<Shared>,
    tls: TlsSource,
    connections: Arc<Semaphore>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("free", &self.connections.available_permits()).finish_non_exhaustive()
    }
}

impl Server {
    /// Puts the parts together and begins to follow the store's changes. To be called within a tokio runtime.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { store, shelf, host, tls, now, message_limit } = parts;
        let rooms = Arc::new(Rooms::default());
        tokio::spawn(rooms.clone().follow(store.clone()));
        let append_memory = Arc::new(Semaphore::new(APPEND_BYTES_IN_FLIGHT_MAX / 1024 + 1024));
        let message_limit = message_limit.max(1) as usize;
        let shared = Arc::new(Shared { store, shelf, host, rooms, now, append_memory, message_limit });
        Arc::new(Self { shared, tls, connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)) })
    }

    /// Serves one listener until `stopping` turns `true`; then every session gets a BYE and
    /// [`SHUTDOWN_DEADLINE`] to take it.
    pub fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        security: Security,
        stopping: watch::Receiver<bool>,
    ) -> BoxFuture<'static, ()> {
        // Boxed, so that it is compiled here, once, and not again in every binary that awaits it.
        Box::pin(async move {
            let mut sessions = JoinSet::new();
            let mut stopped = stopping.clone();
            loop {
                tokio::select! {
                    biased;
                    // A sender that is gone stops us too: nobody is left who could.
                    () = async { let _ = stopped.wait_for(|stopping| *stopping).await; } => break,
                    Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
                    accepted = listener.accept() => match accepted {
                        Ok((socket, peer)) => self.admit(&mut sessions, socket, peer, security, stopping.clone()),
                        Err(error) => {
                            // Out of descriptors, most likely: spinning would make it worse.
                            tracing::warn!(%error, "cannot accept a connection");
                            sleep(Duration::from_millis(100)).await;
                        }
                    },
                }
            }
            drop(listener);
            let farewell = async { while sessions.join_next().await.is_some() {} };
            if timeout(SHUTDOWN_DEADLINE, farewell).await.is_err() {
                tracing::warn!(left = sessions.len(), "imap sessions did not end in time");
            }
        })
    }

    fn admit(
        self: &Arc<Self>,
        sessions: &mut JoinSet<()>,
        mut socket: TcpStream,
        peer: SocketAddr,
        security: Security,
        stopping: watch::Receiver<bool>,
    ) {
        let Ok(place) = self.connections.clone().try_acquire_owned() else {
            sessions.spawn(async move {
                if security == Security::StartTls {
                    let bye = socket.write_all(b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n");
                    // Full is full; whether the client reads why is up to it.
                    let _ = timeout(Duration::from_secs(1), bye).await;
                }
            });
            return;
        };
        // Answers are written whole; waiting to fill packets would only delay them.
        let _ = socket.set_nodelay(true);
        let server = self.clone();
        sessions.spawn(async move {
            let _place = place;
            match security {
                Security::StartTls => server.converse(Box::new(socket), peer.ip(), false, stopping).await,
                Security::Implicit => {
                    let Some(config) = (server.tls)() else { return };
                    match timeout(TLS_HANDSHAKE_DEADLINE, TlsAcceptor::from(config).accept(socket)).await {
                        Ok(Ok(stream)) => server.converse(Box::new(stream), peer.ip(), true, stopping).await,
                        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                        Err(_) => tracing::debug!("TLS handshake took too long"),
                    }
                }
            }
        });
    }

    /// Talks over any stream: a socket, or a test's pipe.
    pub(crate) async fn converse(
        self: Arc<Self>,
        wire: Box<dyn Wire>,
        ip: IpAddr,
        secure: bool,
        stopping: watch::Receiver<bool>,
    ) {
        let peer = Peer { ip, secure, tls: if secure { None } else { (self.tls)() } };
        Box::pin(Session::new(self.shared.clone(), Connection::new(wire), peer, stopping).run()).await;
    }
}
