//! Wallets on nodes that somebody else runs: LND, Core Lightning, whatever speaks Nostr Wallet Connect, phoenixd.
//!
//! ```text
//!   house ──Wallet──▶ RemoteWallet ──Api──▶ lnd │ cln │ nwc │ phoenixd ──▶ the node
//!                       └─ Book: which hashes are ours, how far each is, which events wait
//! ```
//! None of those nodes repeats an event until it is handled, and some tell none. So the promises of [`Wallet`](crate::Wallet) are made
//! here, once: every live payment is looked at again and again (at once where the node rings), every change becomes an
//! event in the book, and the event waits there until the house ticks it off. What a back-end has to know is the trait `Api`.
//!
//! A hold ends [`REMOTE_FAIL_BACK_BLOCKS`](crate::limits::REMOTE_FAIL_BACK_BLOCKS) before its HTLC could go on the
//! chain: nodes that would hold on longer are told to let go.

pub(crate) mod api;
mod book;
pub(crate) mod http;
mod open;
mod tls;
mod wallet;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bitcoin::Network;
use futures::StreamExt;
use lnmp::{Msat, PaymentHash};
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use zeroize::Zeroizing;

use self::api::{Api, Info, Seen};
use self::book::{Book, Entry, State};
use crate::limits::{
    REMOTE_CALL_WITHIN, REMOTE_INFO_FOR, REMOTE_LATE, REMOTE_LOOKS, REMOTE_LOOKS_AT_ONCE, REMOTE_POLL,
};
use crate::{RecordError, WalletError};

/// Which node, and how it is reached.
#[derive(Clone)]
pub enum Backend {
    /// LND, over its REST API.
    Lnd {
        /// `https://HOST:8080`.
        address: String,
        /// `tls.cert`, PEM: the only certificate that is trusted. `None`: the public authorities.
        certificate: Option<Vec<u8>>,
        /// The macaroon, as its file holds it.
        macaroon: Zeroizing<Vec<u8>>,
    },
    /// Core Lightning, over clnrest, with the plugin holdinvoice.
    Cln {
        /// `https://HOST:3010`.
        address: String,
        /// `ca.pem`.
        certificate: Option<Vec<u8>>,
        /// The rune.
        rune: Zeroizing<String>,
    },
    /// Any wallet that speaks Nostr Wallet Connect (NIP-47) with NIP-44.
    Nwc {
        /// `nostr+walletconnect://…`.
        uri: Zeroizing<String>,
    },
    /// phoenixd. It settles at once and cannot hold.
    Phoenixd {
        /// `http://127.0.0.1:9740`.
        address: String,
        /// `http-password` of its `phoenix.conf`.
        password: Zeroizing<String>,
    },
}

/// Whether a credential may be sent to an address.
///
/// # Errors
/// [`RemoteError::Address`] says what is allowed.
pub fn check_address(address: &str) -> Result<(), RemoteError> {
    http::base_url(address).map(drop)
}

/// How often a node is asked.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two looks at the live payments.
    pub poll: Duration,
    /// How old the known height may be.
    pub info_for: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { poll: REMOTE_POLL, info_for: REMOTE_INFO_FOR }
    }
}

/// What a wallet on somebody's node is made of.
pub struct RemoteConfig {
    /// The node.
    pub backend: Backend,
    /// The directory of the book.
    pub dir: PathBuf,
    /// How often it is asked.
    pub pace: Pace,
}

/// Why a node cannot be used. No variant carries a credential.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// No address to send a credential to.
    #[error("the address must be https://HOST:PORT, or http://127.0.0.1:PORT on this machine")]
    Address,
    /// The file holds no certificate.
    #[error("the certificate file holds no certificate in PEM form")]
    Certificate,
    /// The credential cannot be sent as it is.
    #[error("the secret holds characters that no header may carry: is it the right file?")]
    Credential,
    /// It is no connection string, and why.
    #[error("no Nostr Wallet Connect string: {0}")]
    Uri(#[from] crate::nwc::UriError),
    /// The wallet cannot do what is needed.
    #[error("the wallet cannot be used: {0}")]
    Lacks(&'static str),
    /// The book.
    #[error("{}: {error}", .path.display())]
    Book {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        error: RecordError,
    },
    /// The directory.
    #[error("{}: {error}", .path.display())]
    Dir {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        error: std::io::Error,
    },
    /// The node did not answer, or refused.
    #[error("the node does not answer as it should: {0}")]
    Node(#[from] WalletError),
}

/// A wallet on a node that somebody else runs.
pub struct RemoteWallet {
    inner: Arc<Inner>,
}

struct Inner {
    api: Box<dyn Api>,
    network: Network,
    book: Mutex<Book>,
    pace: Pace,
    info: Mutex<Option<(Instant, SystemTime, Info)>>,
    /// An event came into the book.
    came: Notify,
    /// Something was done that is worth a look.
    look: Notify,
    stopping: watch::Sender<bool>,
}

impl Drop for RemoteWallet {
    fn drop(&mut self) {
        self.inner.stopping.send_replace(true);
    }
}

impl Inner {
    fn running(&self) -> Result<(), WalletError> {
        if *self.stopping.borrow() { Err(WalletError::NotRunning) } else { Ok(()) }
    }

    /// Works on the book where writing to the disk holds nobody up.
    async fn book<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Book) -> Result<T, WalletError> + Send + 'static,
    ) -> Result<T, WalletError> {
        let inner = Arc::clone(self);
        let task =
            tokio::task::spawn_blocking(move || work(&mut inner.book.lock().unwrap_or_else(PoisonError::into_inner)));
        task.await.map_err(|error| WalletError::Bug(error.to_string()))?
    }

    /// The node's chain, at most [`Pace::info_for`] old.
    async fn info(&self) -> Result<(Info, SystemTime), WalletError> {
        let known = *self.info.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asked, at, info)) = known
            && asked.elapsed() < self.pace.info_for
        {
            return Ok((info, at));
        }
        let info = within(self.api.info()).await?;
        let now = SystemTime::now();
        *self.info.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), now, info));
        Ok((info, now))
    }

    async fn height(&self) -> Result<u32, WalletError> {
        Ok(self.info().await?.0.height)
    }

    /// Asks the node where a known payment is and takes the answer into the book. A hold past its deadline, and an
    /// invoice past its expiry, are ended at the node as well. Returns the entry as it is then.
    async fn look_at(self: &Arc<Self>, hash: PaymentHash, entry: Entry) -> Result<(Entry, Seen), WalletError> {
        let height = self.height().await?;
        let mut seen = within(self.api.look(hash, entry.kind())).await?;
        self.take_in(hash, seen, height).await?;
        let now = self.book(move |book| Ok(book.get(hash))).await?.unwrap_or(entry);
        let late = now.state == State::Held && height >= now.deadline_height;
        let stale = now.state == State::Open && entry.hold && since_1970() > now.expires_at + REMOTE_LATE.as_secs();
        if (late && matches!(seen, Seen::Held { .. })) || (stale && seen == Seen::Open) {
            within(self.api.cancel_hold(hash)).await?;
            seen = within(self.api.look(hash, entry.kind())).await?;
            self.take_in(hash, seen, height).await?;
        }
        if late && seen == Seen::Unknown {
            self.book(move |book| book.set_state(hash, State::Ended)).await?;
        }
        let over = since_1970() > now.expires_at + REMOTE_LATE.as_secs();
        if now.state == State::Open && over && (seen == Seen::Unknown || !entry.hold) {
            // Nobody can pay it any more.
            self.book(move |book| book.set_state(hash, State::Gone)).await?;
        }
        let entry = self.book(move |book| Ok(book.get(hash))).await?.unwrap_or(entry);
        Ok((entry, seen))
    }

    async fn take_in(self: &Arc<Self>, hash: PaymentHash, seen: Seen, height: u32) -> Result<(), WalletError> {
        if self.book(move |book| book.see(hash, seen, height)).await? {
            self.came.notify_waiters();
        }
        Ok(())
    }

    /// Looks at every live payment, again and again, until the wallet stops.
    async fn watch(self: Arc<Self>) {
        let mut stopping = self.stopping.subscribe();
        let mut next = 0;
        loop {
            if *stopping.borrow() {
                return;
            }
            let live = self.book(|book| Ok(book.live())).await.unwrap_or_default();
            // A node is not asked more than so much at a time: whoever is not looked at now is looked at next.
            let count = live.len().min(REMOTE_LOOKS);
            let round = (0..count).map(|at| live[(next + at) % live.len()]);
            let away = AtomicBool::new(false);
            futures::stream::iter(round)
                .for_each_concurrent(REMOTE_LOOKS_AT_ONCE, |(hash, entry)| self.glance(hash, entry, &away))
                .await;
            next = if live.is_empty() { 0 } else { (next + count) % live.len() };
            tokio::select! {
                () = tokio::time::sleep(self.pace.poll) => {}
                () = self.api.rung() => {}
                () = self.look.notified() => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
    }
}

impl Inner {
    /// One look of a round. After one that the node did not answer, the rest of the round waits for the next.
    async fn glance(self: &Arc<Self>, hash: PaymentHash, entry: Entry, away: &AtomicBool) {
        if away.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.look_at(hash, entry).await {
            tracing::debug!(%error, "lightning: a payment cannot be looked at; it is tried again");
            away.fetch_or(error.is_temporary(), Ordering::Relaxed);
        }
    }
}

/// A call that does not end in time may have been carried out: every call may be repeated.
async fn within<T>(call: impl Future<Output = Result<T, WalletError>>) -> Result<T, WalletError> {
    tokio::time::timeout(REMOTE_CALL_WITHIN, call).await.unwrap_or(Err(WalletError::Busy))
}

/// What may be paid in fees at most: one per cent and fifty satoshis, as the embedded node does.
fn fee_max(amount: Msat) -> Msat {
    Msat(amount.0 / 100 + 50_000)
}

fn since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
