//! After a start: store and node are brought to agree (facts of the crash are in neither alone).

use std::collections::HashSet;

use lightning::{HoldStatus, failpoint};
use lnmp::{CancelReason, GateState, QuoteState};

use crate::flow::{pay, payout, work};
use crate::house::{House, now_ms};

/// Cancels are repeated this long: the node keeps a fail in memory until it next writes its state.
const CANCELLED_MS: i64 = 48 * 3_600_000;

/// Brings store and node to agree. Events are drained first: silence means nothing before.
pub async fn reconcile(house: &House) -> anyhow::Result<()> {
    let wallet = &*house.running()?.wallet;
    pay::drain(house, wallet).await?;
    failpoint::pass("reconcile.drained");
    let now = now_ms();
    // Claims and cancels the last process was at are made again at once, not when their lease ends.
    house.store.release_leases(now).await?;
    for quote in house.store.open_quotes(now - CANCELLED_MS).await? {
        let status = wallet.lookup(quote.hash).await?;
        match (quote.state, status) {
            // The decision to refund was committed, the node may not have kept it.
            (QuoteState::Cancelled(_), HoldStatus::Held { .. }) => work::cancel_again(house, quote.hash).await?,
            // Held here, gone there: its time ran out while we were away.
            (QuoteState::Held, HoldStatus::Cancelled | HoldStatus::Unknown | HoldStatus::Open)
                if quote.gate_state == GateState::Held =>
            {
                house.store.payment_gone(&quote.hash, CancelReason::Timeout, now).await?;
            }
            // Claims and refunds are jobs of their own; everything else agrees.
            (
                QuoteState::Live
                | QuoteState::Held
                | QuoteState::Settled
                | QuoteState::Cancelled(_)
                | QuoteState::Expired
                | QuoteState::Claiming
                | QuoteState::Escrowed
                | QuoteState::Released
                | QuoteState::Refunding(_)
                | QuoteState::Refunded(_)
                | QuoteState::Stuck(_),
                _,
            ) => {}
        }
    }
    payout::look(house).await?;
    for held in wallet.inbound().await?.held {
        if house.store.quote(&held.hash).await?.is_none() {
            tracing::warn!("the node holds a payment no gate knows; it is failed back");
            wallet.cancel(held.hash).await?;
        }
    }
    failpoint::pass("reconcile.done");
    Ok(())
}

/// Finds holds that ended without us: a node that somebody else runs may give a payment back before its time, and no node
/// tells of it. Asks the node only about those that it no longer lists.
pub async fn find_gone(house: &House) -> anyhow::Result<()> {
    let wallet = &*house.running()?.wallet;
    let now = now_ms();
    let held: Vec<_> = house
        .store
        .open_quotes(now)
        .await?
        .into_iter()
        .filter(|quote| quote.state == QuoteState::Held && quote.gate_state == GateState::Held)
        .collect();
    if held.is_empty() {
        return Ok(());
    }
    let listed: HashSet<_> = wallet.inbound().await?.held.into_iter().map(|payment| payment.hash).collect();
    for quote in held.into_iter().filter(|quote| !listed.contains(&quote.hash)) {
        match wallet.lookup(quote.hash).await? {
            HoldStatus::Cancelled | HoldStatus::Unknown | HoldStatus::Open => {
                tracing::warn!("the node gave a held payment back before its time");
                house.store.payment_gone(&quote.hash, CancelReason::Timeout, now).await?;
            }
            HoldStatus::Held { .. } | HoldStatus::Settled => {}
        }
    }
    Ok(())
}
