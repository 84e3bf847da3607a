//! The sandbox chain's shell: its own thread, its clock, the RPC listener, and the blocks that come by themselves.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::RngCore;
use rand::rngs::OsRng;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::chain::Chain;
use super::rpc;
use crate::chain::Bitcoind;
use crate::limits::{BLOCK_AFTER_TX, BLOCK_INTERVAL};
use crate::rpc_door;

/// Unix seconds.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Unix seconds as a block header counts them.
pub(super) fn header_now() -> u32 {
    u32::try_from(now()).unwrap_or(u32::MAX)
}

/// The running chain. Its thread is its own: LDK's RPC client blocks the thread it is polled on while it connects.
pub(super) struct Server {
    address: SocketAddr,
    user: String,
    password: Zeroizing<String>,
    /// Whether blocks come by themselves.
    mining: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds a random loopback port under a random credential. Blocks come by themselves only after
    /// [`Server::begin_mining`].
    pub(super) fn start(chain: Arc<Chain>) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let mut secret = Zeroizing::new([0; 24]);
        OsRng.fill_bytes(&mut *secret);
        let (user, password) = ("satchel".to_owned(), Zeroizing::new(hex::encode(secret.as_slice())));
        let credentials = Zeroizing::new(format!("{user}:{}", &*password));
        let (stop, mut stopped) = watch::channel(false);
        let (mining, may_mine) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("sandbox-chain".into()).spawn(move || {
            runtime.block_on(async move {
                let listener = match TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(error) => return tracing::error!(%error, "sandbox chain: no listener"),
                };
                let answering = Arc::clone(&chain);
                let handler: rpc_door::Handler = Arc::new(move |body| {
                    let answer = rpc_door::Answer::json(&rpc::answer(&answering, &body, now()));
                    Box::pin(std::future::ready(answer))
                });
                tokio::select! {
                    () = rpc_door::serve(listener, &credentials, handler) => {}
                    () = mine(&chain, may_mine) => {}
                    _ = stopped.changed() => {}
                }
            });
        })?;
        Ok(Self { address, user, password, mining, stop, thread: Some(thread) })
    }

    pub(super) fn source(&self) -> Bitcoind {
        Bitcoind {
            host: self.address.ip().to_string(),
            port: self.address.port(),
            user: self.user.clone(),
            password: self.password.clone(),
            cookie: None,
        }
    }

    pub(super) fn begin_mining(&self) {
        self.mining.send_replace(true);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // Its tasks are all at an await within milliseconds.
            let _ = thread.join();
        }
    }
}

/// A block 200 ms after a transaction came in, and one every 600 s anyway.
async fn mine(chain: &Chain, mut may_mine: watch::Receiver<bool>) {
    if may_mine.wait_for(|may| *may).await.is_err() {
        // Nobody can ever allow it.
        return std::future::pending().await;
    }
    let mut pulse = chain.pulse();
    loop {
        let seen = *pulse.borrow_and_update();
        let wait = if seen.waiting > 0 { BLOCK_AFTER_TX } else { until_next(chain) };
        tokio::select! {
            () = sleep(wait) => {
                let before = chain.mempool();
                if let Err(error) = chain.mine(1, header_now()) {
                    tracing::error!(%error, "sandbox chain: mining stopped");
                    return std::future::pending().await;
                }
                let left = chain.mempool();
                if !before.is_empty() && left == before {
                    // What waits is locked for now: blocks come as if nothing waited, until something changes.
                    pulse.borrow_and_update();
                    tokio::select! {
                        () = sleep(BLOCK_INTERVAL) => {}
                        _ = pulse.changed() => {}
                    }
                }
            }
            changed = pulse.changed(), if seen.waiting == 0 => {
                if changed.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }
}

fn until_next(chain: &Chain) -> Duration {
    let due = u64::from(chain.tip_time()) + BLOCK_INTERVAL.as_secs();
    Duration::from_secs(due.saturating_sub(now()).min(BLOCK_INTERVAL.as_secs()))
}
