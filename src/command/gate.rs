//! Gates: shown, asked for, decided.

use anyhow::{Context, anyhow, bail};
use lightning::failpoint;
use lnmp::{Act, GateId, GateState, HoldKind, QuoteState, Voucher};
use serde_json::{Value, json};
use store::{Gate, GateFilter, Quote, Store, UnixMs};

use super::rfc3339;
use crate::flow::{ask, refund};
use crate::house::{House, now_ms};

/// A gate as `gate list --json` shows it (design section 8).
fn gate_json(gate: &Gate, now: UnixMs) -> Value {
    let live =
        gate.quotes.iter().rev().find(|q| q.state == QuoteState::Live && q.bolt11.is_some() && q.expires_at > now);
    let kind = gate.quotes.last().map(|quote| quote.kind).unwrap_or_default();
    let held = gate.quotes.iter().rev().find(|q| {
        matches!(q.state, QuoteState::Held | QuoteState::Settled | QuoteState::Escrowed | QuoteState::Released)
    });
    json!({
        "id": gate.id,
        "state": gate.state.name(),
        "hold": kind,
        "author": gate.author,
        "recipient": gate.recipient,
        "relation": gate.relation.name(),
        "price_msat": gate.price.0,
        "priority_msat": gate.priority_price.0,
        "paid_msat": held.and_then(|quote| quote.received).map(|amount| amount.0),
        "bolt11": live.and_then(|quote| quote.bolt11.clone()),
        "hold_until": gate.hold_until.map(rfc3339),
        "deadline_height": gate.deadline_height,
        "refunded": gate.refunded || (gate.state == GateState::Declined && !gate.refunding),
        "refunding": gate.refunding,
        "voucher": gate.voucher,
        "created_at": rfc3339(gate.created_at),
        "ended_at": gate.ended_at.map(rfc3339),
    })
}

pub(super) async fn list(store: &dyn Store) -> anyhow::Result<Value> {
    let gates = store.gates(GateFilter::default()).await?;
    let now = now_ms();
    Ok(gates.iter().map(|gate| gate_json(gate, now)).collect())
}

pub(super) async fn show(house: &House, id: GateId) -> anyhow::Result<Value> {
    let gate = house.store.gate(id).await?.ok_or_else(|| anyhow!("there is no gate {id}"))?;
    let mut value = gate_json(&gate, now_ms());
    value["quotes"] = gate
        .quotes
        .iter()
        .map(|quote: &Quote| {
            json!({
                "payment_hash": quote.hash.to_string(),
                "hold": quote.kind,
                "refund_to": quote.target,
                "amount_msat": quote.amount.0,
                "received_msat": quote.received.map(|amount| amount.0),
                "state": quote.state,
                "expires_at": rfc3339(quote.expires_at),
            })
        })
        .collect();
    if let Ok(running) = house.running() {
        value["page"] = json!(ask::page_url(running, &gate));
    }
    Ok(value)
}

pub(super) async fn invoice(house: &House, id: GateId, priority: bool) -> anyhow::Result<Value> {
    let quote = ask::quote(house, id, priority).await?;
    invoice_json(house, id, &quote).await
}

/// A quote, and for escrow without a target, what its author does next.
async fn invoice_json(house: &House, id: GateId, quote: &Quote) -> anyhow::Result<Value> {
    let mut value = json!({
        "id": id,
        "hold": quote.kind,
        "bolt11": quote.bolt11,
        "amount_msat": quote.amount.0,
        "expires_at": rfc3339(quote.expires_at),
        "refund_to": quote.target,
    });
    if let (Some(gate), Ok(running)) = (house.store.gate(id).await?, house.running()) {
        value["page"] = json!(ask::page_url(running, &gate));
    }
    Ok(value)
}

/// Says where the refund of a gate's escrow goes: before it is paid, or, by the operator's word, afterwards.
pub(super) async fn refund_to(house: &House, id: GateId, target: &str) -> anyhow::Result<Value> {
    let find = async || house.store.gate(id).await?.ok_or_else(|| anyhow!("there is no gate {id}"));
    let mut gate = find().await?;
    let now = now_ms();
    let open = |quote: &&Quote| match quote.state {
        QuoteState::Live => quote.expires_at > now,
        QuoteState::Claiming | QuoteState::Escrowed | QuoteState::Refunding(_) | QuoteState::Stuck(_) => true,
        QuoteState::Held
        | QuoteState::Settled
        | QuoteState::Cancelled(_)
        | QuoteState::Expired
        | QuoteState::Released
        | QuoteState::Refunded(_) => false,
    };
    let is_escrow = |quote: &&Quote| quote.kind == HoldKind::Escrow;
    if gate.state == GateState::Waiting && !gate.quotes.iter().filter(is_escrow).any(|quote| open(&quote)) {
        // Its author was not asked yet.
        ask::quote(house, id, false).await?;
        gate = find().await?;
    }
    let quote = gate.quotes.iter().rev().filter(is_escrow).find(open);
    let quote = quote.ok_or_else(|| anyhow!("gate {id} has no payment in escrow, nor is one asked for"))?;
    let target = refund::target(house, target, quote.received.unwrap_or(quote.amount)).await.map_err(|why| {
        anyhow!(
            "{why}; a target is a Lightning address, `withdraw` for a link on the page, or in the sandbox `sandbox`"
        )
    })?;
    let set = match quote.state {
        QuoteState::Live if quote.target.is_none() => house.store.set_refund_target(quote.id, target, now).await?,
        _ => house.store.retarget_refund(quote.id, None, target, now).await?,
    };
    if !set {
        bail!("the refund of gate {id} is being paid just now: look again in a minute");
    }
    house.work.notify_waiters();
    let quote = match quote.state {
        QuoteState::Live => ask::quote(house, id, quote.amount > gate.price).await?,
        _ => house.store.quote(&quote.hash).await?.context("the quote is gone")?,
    };
    invoice_json(house, id, &quote).await
}

pub(super) async fn decide(house: &House, id: GateId, act: Act) -> anyhow::Result<Value> {
    failpoint::pass("decide.begin");
    let decided = house.store.decide(id, act, now_ms()).await?;
    failpoint::pass("decide.committed");
    house.work.notify_waiters();
    if decided.verdict == lnmp::Verdict::Nothing {
        let gate = house.store.gate(id).await?;
        if gate.is_some_and(|gate| gate.voucher == Some(Voucher::Open)) {
            bail!(
                "gate {id} is a voucher whose mail has not come: there is nothing to accept; a paid one can be declined"
            );
        }
        bail!("gate {id} is {}: nothing to decide", decided.state.name());
    }
    Ok(json!({ "id": id, "state": decided.state.name() }))
}
