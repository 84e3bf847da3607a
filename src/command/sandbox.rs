//! The sandbox: its customer, its chain, its catch-all.

use std::time::Duration;

use anyhow::{Context, bail};
use lightning::{Customer, CustomerPayment, Misreading};
use lnmp::{GateState, Msat, QuoteState};
use serde_json::{Value, json};
use store::{Gate, GateFilter, Store};

use super::rfc3339;
use crate::cli::Payer;
use crate::flow::expire;
use crate::house::House;
use crate::run;

/// Blocks one `sandbox mine` may make: a week of them is plenty for any hold.
const MINE_BLOCKS_MAX: u32 = 2016;
/// The node's event is committed within this, or the machine is in trouble.
const HEARD_DEADLINE: Duration = Duration::from_secs(20);
/// How often it is looked whether it is.
const HEARD_EVERY: Duration = Duration::from_millis(10);
/// After mining, the node gets this long to see the new tip.
const CHAIN_DEADLINE: Duration = Duration::from_secs(30);

pub(super) async fn pay(house: &House, bolt11: &str, payer: Payer) -> anyhow::Result<Value> {
    let sandbox = run::sandbox(house)?;
    let amount = payer.sat.map(|sat| Msat::from_sat(sat).context("the amount is too large")).transpose()?;
    let misread = if payer.late || amount.is_some() {
        Some(sandbox.misread(bolt11, Misreading { amount, final_cltv: None })?)
    } else {
        None
    };
    let second = if payer.second_wallet { Some(sandbox.second_customer().await?) } else { None };
    let customer = second.as_deref().unwrap_or_else(|| sandbox.customer());
    let mut state = sandbox.pay_from(customer, misread.as_deref().unwrap_or(bolt11), payer.tight).await?;
    // In escrow it is taken, often before we look.
    if matches!(state, CustomerPayment::Locked | CustomerPayment::Succeeded { .. }) {
        let heard = wait_until_heard(house, customer, bolt11).await?;
        if matches!(heard, CustomerPayment::Failed { .. }) {
            state = heard;
        }
    }
    Ok(json!({ "state": run::payment_state(&state) }))
}

/// Locked at the node is not yet committed here: waits until the gate knows, so that the next command sees it, or until
/// it was failed back; how the payment is then.
async fn wait_until_heard(house: &House, customer: &Customer, bolt11: &str) -> anyhow::Result<CustomerPayment> {
    let hash = lightning::Invoice::parse(bolt11)?.hash;
    let deadline = tokio::time::Instant::now() + HEARD_DEADLINE;
    loop {
        let state = customer.payment(hash).await?;
        let quote = house.store.quote(&hash).await?;
        let is_open = match quote.map(|quote| quote.state) {
            Some(QuoteState::Claiming) => true,
            Some(QuoteState::Held) | None => false,
            // Not heard yet, or refused and on its way back.
            Some(_) => state == CustomerPayment::Locked,
        };
        if !is_open || tokio::time::Instant::now() >= deadline {
            return Ok(state);
        }
        tokio::time::sleep(HEARD_EVERY).await;
    }
}

pub(super) async fn invoice(house: &House, sat: u64) -> anyhow::Result<Value> {
    let amount = Msat::from_sat(sat).context("the amount is too large")?;
    let bolt11 = run::sandbox(house)?.customer().invoice(amount, "sandbox").await?;
    Ok(json!({ "bolt11": bolt11, "amount_msat": amount.0 }))
}

pub(super) async fn mine(house: &House, blocks: u32) -> anyhow::Result<Value> {
    if blocks == 0 || blocks > MINE_BLOCKS_MAX {
        bail!("mine 1 to {MINE_BLOCKS_MAX} blocks at a time, not {blocks}");
    }
    let running = house.running()?;
    let before = held(house).await?;
    let height = run::sandbox(house)?.mine(blocks).await?;
    let deadline = tokio::time::Instant::now() + CHAIN_DEADLINE;
    while running.wallet.chain().await?.height < height && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    expire::end_holds(house).await?;
    let after = held(house).await?;
    // Whoever's blocks are not over was decided by the owner meanwhile.
    let over = |gate: &Gate| gate.deadline_height.is_some_and(|deadline| deadline <= height + policy::MARGIN_BLOCKS);
    let ended: Vec<i64> = before
        .iter()
        .filter(|gate| over(gate) && !after.iter().any(|still| still.id == gate.id))
        .map(|gate| gate.id.0)
        .collect();
    Ok(json!({ "height": height, "ended_holds": ended }))
}

pub(super) async fn channel(house: &House, capacity_sat: u64) -> anyhow::Result<Value> {
    let funding = run::sandbox(house)?.open_channel(capacity_sat).await?;
    let capacity = house.running()?.wallet.capacity().await?;
    Ok(json!({
        "funding": funding.to_string(),
        "capacity_msat": capacity_sat * 1000,
        "channels": capacity.channels,
        "hold_slots_total": capacity.slots_total,
    }))
}

async fn held(house: &House) -> anyhow::Result<Vec<Gate>> {
    let filter = GateFilter { state: Some(GateState::Held), ..GateFilter::default() };
    Ok(house.store.gates(filter).await?)
}

pub(super) async fn wallet(house: &House, bolt11: Option<&str>) -> anyhow::Result<Value> {
    let customer = run::sandbox(house)?.customer();
    let balance = customer.balance().await?;
    let payment = match bolt11 {
        Some(bolt11) => Some(run::payment_state(&customer.payment(lightning::Invoice::parse(bolt11)?.hash).await?)),
        None => None,
    };
    Ok(json!({
        "balance_msat": balance.channel.0,
        "spendable_msat": balance.spendable.0,
        "onchain_msat": balance.onchain.0,
        "payment": payment,
    }))
}

/// Stops or starts the customer's node; the bridge's goes on.
pub(super) async fn customer(house: &House, running: bool) -> anyhow::Result<Value> {
    let customer = run::sandbox(house)?.customer();
    if running {
        customer.start().await?
    } else {
        customer.stop().await?
    }
    Ok(json!({ "running": running }))
}

pub(super) async fn mail(store: &dyn Store) -> anyhow::Result<Value> {
    let mails = store.caught_mail().await?;
    Ok(mails
        .iter()
        .map(|mail| {
            json!({
                "from": mail.from,
                "to": mail.to,
                "at": rfc3339(mail.at),
                "message": String::from_utf8_lossy(&mail.message),
            })
        })
        .collect())
}
