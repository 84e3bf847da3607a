//! After a start: store and node are brought to agree (facts of the crash are in neither alone).

use lightning::HoldStatus;
use lnmp::{CancelReason, GateState, QuoteState};

use crate::flow::{pay, payout, work};
use crate::house::{House, now_ms};

/// Cancels are repeated this long: the node keeps a fail in memory until it next writes its state.
const CANCELLED_MS: i64 = 48 * 3_600_000;

/// Brings store and node to agree. Events are drained first: silence means nothing before.
pub async fn reconcile(house: &House) -> anyhow::Result<()> {
    let wallet = &*house.running()?.wallet;
    pay::drain(house, wallet).await?;
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
            // Claims are jobs of their own; everything else agrees.
            (
                QuoteState::Live
                | QuoteState::Held
                | QuoteState::Settled
                | QuoteState::Cancelled(_)
                | QuoteState::Expired,
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
    Ok(())
}
