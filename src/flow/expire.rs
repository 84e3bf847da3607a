//! Nobody answered: holds end, quotes expire, old authors are erased.

use std::sync::Arc;
use std::time::Duration;

use lightning::failpoint;
use tokio::sync::watch;

use crate::flow::watchdog::Watchdog;
use crate::flow::{channels, payout, reconcile};
use crate::house::{House, now_ms, stopped};

/// How often the clock and the chain are looked at: a hold ends this late at most.
const TICK: Duration = Duration::from_millis(500);
/// Authors of ended gates are kept this long (design section 5).
const AUTHOR_DAYS: i64 = 30;
/// How often authors are erased.
const ERASE_EVERY: Duration = Duration::from_secs(3600);
/// How often payments of the operator that outlasted their command are looked up.
const PAYOUTS_EVERY: Duration = Duration::from_secs(5);
/// How often channels that opened or closed are looked for.
const CHANNELS_EVERY: Duration = Duration::from_secs(5);
/// How often holds that the node ended on its own are looked for.
const GONE_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether the node keeps up with the chain.
const WATCH_EVERY: Duration = Duration::from_secs(30);
/// How often ended sealing epochs are wiped; they last 60 s.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Ticks until `stop`.
pub async fn run(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    let mut erase = tokio::time::interval(ERASE_EVERY);
    let mut forget = tokio::time::interval(FORGET_EVERY);
    let mut payouts = tokio::time::interval(PAYOUTS_EVERY);
    let mut changes = tokio::time::interval(CHANNELS_EVERY);
    let mut gone = tokio::time::interval(GONE_EVERY);
    let mut watch = tokio::time::interval(WATCH_EVERY);
    let mut watchdog = Watchdog::default();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                if let Err(error) = end_holds(&house).await {
                    tracing::warn!(error = format!("{error:#}"), "holds cannot be looked at");
                }
            }
            _ = payouts.tick() => {
                if let Err(error) = payout::look(&house).await {
                    tracing::warn!(error = format!("{error:#}"), "payments under way cannot be looked up");
                }
            }
            _ = changes.tick() => {
                if let Err(error) = channels::look(&house).await {
                    tracing::warn!(error = format!("{error:#}"), "the channels cannot be looked at");
                }
            }
            _ = gone.tick() => {
                if let Err(error) = reconcile::find_gone(&house).await {
                    tracing::warn!(error = format!("{error:#}"), "held payments cannot be looked for");
                }
            }
            _ = watch.tick() => {
                if let Err(error) = watchdog.watch(&house).await {
                    tracing::warn!(error = format!("{error:#}"), "node and holds cannot be looked at");
                }
            }
            _ = forget.tick() => house.sealer.forget_old(now_ms().unsigned_abs()),
            _ = erase.tick() => {
                if let Err(error) = leave_unpaid(&house).await {
                    tracing::warn!(%error, "old unpaid mail cannot be taken out");
                }
                if let Err(error) = house.store.erase_authors(now_ms() - AUTHOR_DAYS * 86_400_000).await {
                    tracing::warn!(%error, "authors cannot be erased");
                }
            }
            () = stopped(&mut stop) => return,
        }
    }
}

/// Takes out what waited long enough and stood in a digest that was seen.
async fn leave_unpaid(house: &House) -> store::Result<()> {
    loop {
        let gone = house.store.expire_unpaid(now_ms()).await?;
        if gone == 0 {
            return Ok(());
        }
        tracing::info!(gone, "unpaid mails older than 30 days left Unpaid");
        // Their contents' attachments are unpinned by jobs.
        house.work.notify_waiters();
    }
}

/// Ends every hold whose time or blocks are over; returns how many.
pub async fn end_holds(house: &House) -> anyhow::Result<usize> {
    // A node that does not answer must not keep the clock from ending holds: height 0 ends none by blocks.
    let height = match house.running()?.wallet.chain().await {
        Ok(chain) => chain.height.max(chain.source_height),
        Err(_) => 0,
    };
    failpoint::pass("hold.end");
    let ended = house.store.end_holds(now_ms(), height, policy::MARGIN_BLOCKS).await?;
    if !ended.is_empty() {
        failpoint::pass("hold.ended");
        house.work.notify_waiters();
    }
    Ok(ended.len())
}
