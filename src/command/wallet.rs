//! The bridge's own money.

use std::time::Duration;

use anyhow::{Context, bail};
use lnmp::Msat;
use serde_json::{Value, json};

use crate::flow::{channels, payout};
use crate::house::{House, now_ms};

/// An invoice of the operator stays payable this long.
const INVOICE_EXPIRY: Duration = Duration::from_secs(3600);

pub(super) async fn balance(house: &House) -> anyhow::Result<Value> {
    let books = house.store.balances().await?;
    let node = match house.running() {
        Ok(running) => Some(running.wallet.balance().await?),
        Err(_) => None,
    };
    let accounts = house.store.accounts().await?;
    let users: Vec<Value> = accounts
        .iter()
        .map(|account| {
            let owed = books.by_user.iter().find(|(id, _)| *id == account.id).map_or(0, |(_, amount)| *amount);
            json!({ "address": account.address(), "balance_msat": owed })
        })
        .collect();
    Ok(json!({
        "users_msat": books.users,
        "held_msat": books.held,
        // The same by the channels' own account: anything else than held_msat for more than a moment is a mistake.
        "node_held_msat": node.map(|b| b.held.0),
        "escrow_msat": books.escrow,
        "fees_msat": books.fees,
        "node_msat": node.map_or_else(|| books.node.max(0).unsigned_abs(), |b| b.channel.0 + b.onchain.0 + b.closing.0),
        "spendable_msat": node.map(|b| b.spendable.0),
        "users": users,
    }))
}

pub(super) async fn invoice(house: &House, sat: u64, description: String) -> anyhow::Result<Value> {
    let amount = Msat::from_sat(sat).context("the amount is too large")?;
    let bolt11 = house.running()?.wallet.invoice(amount, description, INVOICE_EXPIRY).await?;
    Ok(json!({ "bolt11": bolt11, "amount_msat": amount.0 }))
}

pub(super) async fn pay(house: &House, bolt11: &str) -> anyhow::Result<Value> {
    Ok(paid(&payout::pay(house, bolt11).await?))
}

/// What became of a payment of ours.
pub(crate) fn paid(paid: &lightning::Paid) -> Value {
    match paid {
        lightning::Paid::Succeeded { fee } => json!({ "state": "succeeded", "fee_msat": fee.0 }),
        lightning::Paid::Failed => json!({ "state": "failed" }),
        lightning::Paid::Pending => json!({ "state": "pending" }),
    }
}

pub(super) async fn channels(house: &House) -> anyhow::Result<Value> {
    let wallet = &house.running()?.wallet;
    let capacity = wallet.capacity().await?;
    let channels: Vec<Value> = wallet
        .channels()
        .await?
        .iter()
        .map(|c| {
            json!({
                "id": c.id, "peer": c.peer, "capacity_msat": c.capacity.0, "outbound_msat": c.outbound.0,
                "inbound_msat": c.inbound.0, "usable": c.usable, "confirmations": c.confirmations, "ours": c.ours,
            })
        })
        .collect();
    Ok(json!({
        "channels": channels,
        "hold_slots_total": capacity.slots_total,
        "hold_slots_free": capacity.slots_free,
        "hold_inbound_free_msat": capacity.inbound_free.0,
        "dust_below_msat": capacity.dust_below.0,
        "dust_total_msat": capacity.dust_total.0,
        "dust_free_msat": capacity.dust_free.0,
    }))
}

pub(super) async fn address(house: &House) -> anyhow::Result<Value> {
    Ok(json!({ "address": house.running()?.wallet.address().await? }))
}

/// Books what the operator sent to the node. Never more than the node has beyond the books: a mistake would owe money that
/// is not there.
pub(super) async fn deposit(house: &House, sat: u64) -> anyhow::Result<Value> {
    let amount =
        Msat::from_sat(sat).filter(|amount| *amount > Msat::ZERO).context("no amount; allowed: 1 sat and more")?;
    let _turn = house.paying.lock().await;
    let balance = house.running()?.wallet.balance().await?;
    let node = i64::try_from(channels::owned(&balance).0)?;
    let more = node - house.store.balances().await?.node;
    if i64::try_from(amount.0)? > more {
        bail!(
            "the node has {more} msat more than the books say, and {} msat are to be booked; coins count once the node sees \
             them on the chain",
            amount.0
        );
    }
    let now = now_ms();
    let posting = store::Posting {
        key: format!("deposit:{now}"),
        gate: None,
        debits: vec![(store::Side::Node, amount)],
        credits: vec![(store::Side::Operator, amount)],
    };
    house.store.post(posting, now).await?;
    Ok(json!({ "booked_msat": amount.0, "left_msat": more - i64::try_from(amount.0)? }))
}

/// Compares the books with the node. Held HTLCs are in neither.
pub(super) async fn audit(house: &House) -> anyhow::Result<Value> {
    let wallet = &house.running()?.wallet;
    let mut findings = Vec::new();
    // A claim under way is in the node before its event is booked: look until both stand still.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    let (books, node, moving, agree) = loop {
        payout::look(house).await?;
        channels::look(house).await?;
        let (gifts, costs) = channels::expected(house).await?;
        // What is under way has left the node, or not yet.
        let balance = wallet.balance().await?;
        let refunds = balance.sending.filter(|sending| *sending > Msat::ZERO).map_or(Msat::ZERO, payout::with_fees);
        let less = payout::in_flight(house).await? + refunds + balance.moving + costs;
        let (more, less) = (i64::try_from(gifts.0).unwrap_or(i64::MAX), i64::try_from(less.0).unwrap_or(i64::MAX));
        let books = house.store.balances().await?;
        let node = i64::try_from(channels::owned(&balance).0).unwrap_or(i64::MAX);
        let agree = (-more..=less).contains(&(books.node - node));
        if agree || tokio::time::Instant::now() > deadline {
            break (books, node, balance.moving, agree);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    if !agree {
        findings.push(format!(
            "the ledger says the node has {} msat, the node says {node}: {} apart",
            books.node,
            node - books.node
        ));
    }
    let liabilities = books.users + books.escrow;
    if liabilities > node + i64::try_from(moving.0).unwrap_or(i64::MAX) {
        findings.push(format!("{liabilities} msat are owed but only {node} msat are there"));
    }
    let proof = house.store.audit().await?;
    findings.extend(proof.findings);
    Ok(json!({
        "ok": findings.is_empty(),
        "findings": findings,
        "postings": proof.postings,
        "ledger_node_msat": books.node,
        "node_msat": node,
        "moving_msat": moving.0,
        "users_msat": books.users,
        "fees_msat": books.fees,
        "operator_msat": books.operator,
        "escrow_msat": books.escrow,
    }))
}
