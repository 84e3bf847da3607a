//! A wallet that may come later: its node, or the source of that node's blocks, is away.
//!
//! Mail goes on without: whoever asks this wallet for anything hears that it is not running, which is temporary, and no
//! event comes. It is opened again and again until it is there; from then on it is the wallet behind it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use lnmp::{Msat, PaymentHash, Preimage};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::channels::OwnChannels;
use crate::limits::{OPEN_AGAIN_MAX, OPEN_AGAIN_MIN, OPEN_WITHIN, STOP_WITHIN};
use crate::wallet::{Balance, Capacity, ChainState, ChannelInfo, Event, HoldStatus, Inbound, NewHold, Paid, Wallet};
use crate::{ChainError, RemoteError, WalletError};

/// Why a wallet could not be opened.
#[derive(Debug)]
pub enum NotYet {
    /// Trying again may help. In words for the operator.
    Away(String),
    /// Somebody must change something.
    Never(String),
}

impl From<ChainError> for NotYet {
    fn from(error: ChainError) -> Self {
        if error.is_temporary() { Self::Away(error.to_string()) } else { Self::Never(error.to_string()) }
    }
}

impl From<WalletError> for NotYet {
    fn from(error: WalletError) -> Self {
        if error.is_temporary() { Self::Away(error.to_string()) } else { Self::Never(error.to_string()) }
    }
}

impl From<RemoteError> for NotYet {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Node(ref inner) if inner.is_temporary() => Self::Away(error.to_string()),
            other => Self::Never(other.to_string()),
        }
    }
}

/// Opens a wallet; called until it succeeds.
pub type Opener = Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Wallet>, NotYet>> + Send + Sync>;

/// See the module.
pub struct LaterWallet {
    shared: Arc<Shared>,
    can_hold: bool,
    opening: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    wallet: OnceLock<Arc<dyn Wallet>>,
    why: Mutex<String>,
    there: watch::Sender<bool>,
}

impl LaterWallet {
    /// Opens a wallet. One that is away is opened again in the background; `can_hold` is what it will say of itself.
    ///
    /// # Errors
    /// The reason, when trying again would not help.
    pub fn open(opener: Opener, can_hold: bool) -> BoxFuture<'static, Result<Arc<dyn Wallet>, String>> {
        // Boxed, so that it is compiled here, once, and not again in every binary that awaits it.
        Box::pin(async move {
            let shared = Arc::new(Shared {
                wallet: OnceLock::new(),
                why: Mutex::new("it has not answered yet".into()),
                there: watch::Sender::new(false),
            });
            let (told, first) = oneshot::channel();
            let opening = tokio::spawn(keep_opening(opener, Arc::clone(&shared), told));
            if let Ok(Ok(Some(why))) = timeout(OPEN_WITHIN, first).await {
                return Err(why);
            }
            if let Some(wallet) = shared.wallet.get() {
                return Ok(Arc::clone(wallet));
            }
            let wallet: Arc<dyn Wallet> = Arc::new(Self { shared, can_hold, opening: Mutex::new(Some(opening)) });
            let why = wallet.away().unwrap_or_default();
            tracing::warn!(why, "lightning: the wallet is away; mail goes on, and nobody is asked to pay meanwhile");
            Ok(wallet)
        })
    }

    fn wallet(&self) -> Result<&dyn Wallet, WalletError> {
        self.shared.wallet.get().map(|wallet| &**wallet).ok_or(WalletError::NotRunning)
    }
}

/// `told` hears of the first attempt: why it was in vain for good, or nothing.
async fn keep_opening(opener: Opener, shared: Arc<Shared>, told: oneshot::Sender<Option<String>>) {
    let (mut told, mut wait) = (Some(told), OPEN_AGAIN_MIN);
    loop {
        let why = match opener().await {
            Ok(wallet) => {
                let _ = shared.wallet.set(wallet);
                shared.there.send_replace(true);
                if told.take().is_none_or(|told| told.send(None).is_err()) {
                    tracing::info!("lightning: the wallet is there");
                }
                return;
            }
            Err(NotYet::Away(why)) => {
                if let Some(told) = told.take() {
                    shared.say(&why);
                    let _ = told.send(None);
                }
                why
            }
            Err(NotYet::Never(why)) => match told.take().map(|told| told.send(Some(why.clone()))) {
                // Whoever started the server hears it, and it does not start.
                Some(Ok(())) => return,
                // What was wrong may be put right meanwhile.
                Some(Err(_)) | None => why,
            },
        };
        if shared.say(&why) {
            tracing::warn!(why, "lightning: the wallet is away still");
        }
        sleep(wait).await;
        wait = (wait * 2).min(OPEN_AGAIN_MAX);
    }
}

impl Shared {
    /// Whether it is something new.
    fn say(&self, why: &str) -> bool {
        let mut said = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *said != why;
        why.clone_into(&mut said);
        is_new
    }
}

#[async_trait]
impl Wallet for LaterWallet {
    fn can_hold(&self) -> bool {
        self.wallet().map_or(self.can_hold, Wallet::can_hold)
    }

    fn away(&self) -> Option<String> {
        match self.wallet() {
            Ok(wallet) => wallet.away(),
            Err(_) => Some(self.shared.why.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        }
    }

    async fn there(&self) {
        let mut there = self.shared.there.subscribe();
        if there.wait_for(|there| *there).await.is_err() {
            std::future::pending().await
        }
    }

    fn source_trouble(&self) -> Option<String> {
        self.wallet().ok()?.source_trouble()
    }

    fn own_channels(&self) -> Option<&dyn OwnChannels> {
        self.wallet().ok()?.own_channels()
    }

    async fn create(&self, new: NewHold) -> Result<String, WalletError> {
        self.wallet()?.create(new).await
    }

    async fn settle(&self, hash: PaymentHash, amount: Msat, preimage: &Preimage) -> Result<(), WalletError> {
        self.wallet()?.settle(hash, amount, preimage).await
    }

    async fn cancel(&self, hash: PaymentHash) -> Result<(), WalletError> {
        self.wallet()?.cancel(hash).await
    }

    async fn lookup(&self, hash: PaymentHash) -> Result<HoldStatus, WalletError> {
        self.wallet()?.lookup(hash).await
    }

    async fn forget(&self, hash: PaymentHash) -> Result<(), WalletError> {
        self.wallet()?.forget(hash).await
    }

    async fn inbound(&self) -> Result<Inbound, WalletError> {
        self.wallet()?.inbound().await
    }

    async fn next_event(&self) -> Event {
        if self.wallet().is_err() {
            self.there().await;
        }
        match self.wallet() {
            Ok(wallet) => wallet.next_event().await,
            Err(_) => std::future::pending().await,
        }
    }

    async fn event_handled(&self) -> Result<(), WalletError> {
        self.wallet()?.event_handled().await
    }

    async fn ready_event(&self) -> Option<Event> {
        self.wallet().ok()?.ready_event().await
    }

    async fn chain(&self) -> Result<ChainState, WalletError> {
        self.wallet()?.chain().await
    }

    async fn capacity(&self) -> Result<Capacity, WalletError> {
        self.wallet()?.capacity().await
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        self.wallet()?.balance().await
    }

    async fn invoice(&self, amount: Msat, description: String, expiry: Duration) -> Result<String, WalletError> {
        self.wallet()?.invoice(amount, description, expiry).await
    }

    async fn pay(&self, bolt11: &str) -> Result<Paid, WalletError> {
        self.wallet()?.pay(bolt11).await
    }

    async fn sent(&self, hash: PaymentHash) -> Result<Option<Paid>, WalletError> {
        self.wallet()?.sent(hash).await
    }

    async fn address(&self) -> Result<String, WalletError> {
        self.wallet()?.address().await
    }

    async fn channels(&self) -> Result<Vec<ChannelInfo>, WalletError> {
        self.wallet()?.channels().await
    }

    async fn stop(&self) -> Result<(), WalletError> {
        let opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut opening) = opening
            && self.wallet().is_err()
        {
            // A node that is being opened right now stops with its drop.
            opening.abort();
            let _ = timeout(STOP_WITHIN, &mut opening).await;
        }
        match self.wallet() {
            Ok(wallet) => wallet.stop().await,
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::memory::MemoryWallet;

    fn after(failures: u32, error: fn() -> NotYet) -> Opener {
        let left = Arc::new(AtomicU32::new(failures));
        Arc::new(move || {
            let there = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err();
            let opened = if there { Ok(Arc::new(MemoryWallet::new()) as Arc<dyn Wallet>) } else { Err(error()) };
            Box::pin(async move { opened })
        })
    }

    #[tokio::test]
    async fn a_wallet_that_is_away_answers_that_it_is_not_running_until_it_is_there() {
        let opener = after(2, || NotYet::Away("the chain source does not answer".into()));
        let wallet = LaterWallet::open(opener, true).await.unwrap();
        assert_eq!(wallet.away().as_deref(), Some("the chain source does not answer"));
        assert!(wallet.can_hold());
        assert!(matches!(wallet.balance().await, Err(WalletError::NotRunning)));
        assert_eq!(wallet.ready_event().await, None);
        wallet.there().await;
        assert_eq!(wallet.away(), None);
        wallet.balance().await.unwrap();
        wallet.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_mistake_in_the_config_is_told_at_once() {
        let wrong = LaterWallet::open(after(1, || NotYet::Never("wrong password".into())), true).await;
        assert_eq!(wrong.err().as_deref(), Some("wrong password"));
        let there = LaterWallet::open(after(0, || NotYet::Never(String::new())), true).await.unwrap();
        assert_eq!(there.away(), None);
    }

    #[tokio::test]
    async fn a_wallet_that_never_came_stops() {
        let wallet = LaterWallet::open(after(u32::MAX, || NotYet::Away("away".into())), false).await.unwrap();
        assert!(!wallet.can_hold());
        wallet.stop().await.unwrap();
        assert!(matches!(wallet.chain().await, Err(WalletError::NotRunning)));
    }
}
