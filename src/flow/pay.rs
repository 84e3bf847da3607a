//! The node says something about money: it is committed first, acted on second, ticked off last.

use std::sync::Arc;
use std::time::Duration;

use lightning::{Event, Wallet, failpoint};
use lnmp::{HoldKind, Msat, PaymentHash};
use store::{HeldOutcome, Incoming};
use tokio::sync::watch;

use crate::flow::{channels, voucher};
use crate::house::{House, now_ms, stopped};

/// A store or node that fails is asked again after this long; the event stays at the head of the queue.
const AGAIN: Duration = Duration::from_millis(500);

/// Blocks that a payment must leave which is claimed as soon as it came: time for a node that was away.
const CLAIM_WINDOW_BLOCKS: u32 = 12;

/// Handles the node's events until `stop`.
pub async fn run(house: Arc<House>, wallet: Arc<dyn Wallet>, mut stop: watch::Receiver<bool>) {
    loop {
        let event = tokio::select! {
            event = wallet.next_event() => event,
            () = stopped(&mut stop) => return,
        };
        if let Err(error) = handle(&house, &*wallet, event).await {
            tracing::error!(%error, "a payment event could not be handled; it comes again");
            tokio::time::sleep(AGAIN).await;
            continue;
        }
        if let Err(error) = wallet.event_handled().await {
            tracing::error!(%error, "an event could not be ticked off; it comes again");
            tokio::time::sleep(AGAIN).await;
        }
        match event {
            Event::Held { .. } => failpoint::pass("held.handled"),
            Event::Settled { .. } => failpoint::pass("settled.handled"),
            Event::ChannelClosed { .. } | Event::Other => {}
        }
    }
}

/// Handles what is already there: at start, before anything is concluded from silence.
pub async fn drain(house: &House, wallet: &dyn Wallet) -> anyhow::Result<()> {
    while let Some(event) = wallet.ready_event().await {
        handle(house, wallet, event).await?;
        wallet.event_handled().await?;
    }
    Ok(())
}

async fn handle(house: &House, wallet: &dyn Wallet, event: Event) -> anyhow::Result<()> {
    match event {
        Event::Held { hash, amount, deadline_height } => held(house, wallet, hash, amount, deadline_height).await,
        Event::Settled { hash, amount } => {
            if house.store.quote(&hash).await?.is_none() {
                return book_own_income(house, wallet, &hash, amount).await;
            }
            failpoint::pass("settled.heard");
            // `false`: a repeat.
            if house.store.payment_settled(&hash, amount, now_ms()).await? {
                failpoint::pass("settled.committed");
                tracing::info!(amount_msat = amount.0, "a payment arrived");
                // In escrow it may have to go back at once.
                house.work.notify_waiters();
            }
            Ok(())
        }
        Event::ChannelClosed { tag } => channels::closed(house, tag).await,
        Event::Other => Ok(()),
    }
}

async fn held(
    house: &House,
    wallet: &dyn Wallet,
    hash: PaymentHash,
    amount: Msat,
    deadline_height: u32,
) -> anyhow::Result<()> {
    let height = wallet.chain().await?.height;
    // The kind is fixed in the quote; for a hash that has none it does not matter.
    let quote = house.store.quote(&hash).await?;
    let (kind, awaits_mail) = quote.map_or((HoldKind::Htlc, false), |quote| (quote.kind, quote.awaits_mail));
    let incoming = Incoming {
        hash,
        amount,
        deadline_height,
        height,
        window_min: match kind {
            HoldKind::Htlc if awaits_mail => policy::window_min(policy::VOUCHER_FINAL_CLTV),
            HoldKind::Htlc => policy::window_min(house.config.money.final_cltv),
            HoldKind::Escrow => CLAIM_WINDOW_BLOCKS,
        },
        hold_ms: if awaits_mail {
            voucher::hold_ms(house, kind)
        } else {
            i64::try_from(house.config.hold(kind).as_millis()).unwrap_or(i64::MAX / 2)
        },
    };
    failpoint::pass("held.heard");
    let outcome = house.store.payment_held(incoming, now_ms()).await?;
    failpoint::pass("held.committed");
    match outcome {
        HeldOutcome::Held { gate, .. } => {
            tracing::info!(gate = gate.0, amount_msat = amount.0, "a payment is locked");
        }
        HeldOutcome::Claiming(gate) => {
            tracing::info!(gate = gate.0, amount_msat = amount.0, "a payment is received in escrow");
        }
        HeldOutcome::Already => {}
        HeldOutcome::Refuse(reason) => {
            tracing::info!(reason = reason.name(), "a payment is failed back");
            failpoint::pass("refuse.committed");
            // The cancel job is committed; this only makes it quicker.
            cancel(wallet, hash).await;
        }
        HeldOutcome::Unknown => {
            tracing::warn!("a payment to an unknown hash is failed back");
            cancel(wallet, hash).await;
        }
    }
    house.work.notify_waiters();
    Ok(())
}

async fn cancel(wallet: &dyn Wallet, hash: PaymentHash) {
    if let Err(error) = wallet.cancel(hash).await {
        tracing::warn!(%error, "failing back a payment; it is tried again");
    }
}

/// An ordinary invoice of the operator was paid: it is the operator's money.
async fn book_own_income(house: &House, wallet: &dyn Wallet, hash: &PaymentHash, amount: Msat) -> anyhow::Result<()> {
    // What the provider of a channel kept of the payment that the channel came with.
    let kept = match wallet.own_channels() {
        Some(own) => own.kept_by_provider(*hash).await?,
        None => Msat::ZERO,
    };
    let posting = store::Posting {
        key: format!("income:{hash}"),
        gate: None,
        debits: vec![(store::Side::Node, amount), (store::Side::Chain, kept)],
        credits: vec![(store::Side::Operator, amount + kept)],
    };
    house.store.post(posting, now_ms()).await?;
    Ok(())
}
