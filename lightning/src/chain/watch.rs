//! Asks a source how high its chain is, again and again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bitcoin::Network;
use bitcoin::constants::genesis_block;
use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::{ChainError, ChainSource, Client, SourceTip, Tip};
use crate::limits::BITCOIND_POLL;

/// Asks until it is dropped.
pub struct ChainWatch {
    tip: watch::Receiver<Tip>,
    trouble: Arc<Mutex<Option<String>>>,
    look: Arc<Notify>,
    task: AbortHandle,
}

impl ChainWatch {
    /// Asks once whether the source is there and of `network`, and goes on asking. `every`: how often, when not as often
    /// as the source is meant to be asked.
    ///
    /// # Errors
    /// [`ChainError`]; one that is temporary may go away by itself.
    pub fn open(
        source: &ChainSource,
        network: Network,
        every: Option<Duration>,
    ) -> BoxFuture<'_, Result<Self, ChainError>> {
        Box::pin(async move {
            let mut client = Client::new(source)?;
            if client.genesis().await? != genesis_block(network).block_hash() {
                return Err(ChainError::Network(network));
            }
            let first = Tip { height: client.height().await?, asked_at: SystemTime::now() };
            let (told, tip) = watch::channel(first);
            let (trouble, look) = (Arc::default(), Arc::new(Notify::new()));
            let every = every.unwrap_or_else(|| source.poll_every());
            let asking = follow(client, every, told, Arc::clone(&trouble), Arc::clone(&look));
            let task = tokio::spawn(asking).abort_handle();
            Ok(Self { tip, trouble, look, task })
        })
    }
}

impl SourceTip for ChainWatch {
    fn tip(&self) -> Tip {
        *self.tip.borrow()
    }

    fn look(&self) {
        self.look.notify_one();
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ChainWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    mut client: Client,
    every: Duration,
    told: watch::Sender<Tip>,
    trouble: Arc<Mutex<Option<String>>>,
    look: Arc<Notify>,
) {
    loop {
        // However often a look is asked for, the source is not.
        sleep(every.min(BITCOIND_POLL)).await;
        tokio::select! {
            () = sleep(every.saturating_sub(BITCOIND_POLL)) => {}
            () = look.notified() => {}
        }
        let asked = client.height().await;
        let now = asked.as_ref().err().map(ToString::to_string);
        let before = std::mem::replace(&mut *trouble.lock().unwrap_or_else(PoisonError::into_inner), now.clone());
        match (before, now) {
            (None, Some(why)) => tracing::warn!(why, "chain: the source is away; no payment is claimed meanwhile"),
            (Some(_), None) => tracing::info!("chain: the source answers again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        if let Ok(height) = asked {
            told.send_replace(Tip { height, asked_at: SystemTime::now() });
        }
    }
}
