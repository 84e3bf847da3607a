//! The operator pays from the node. A payment is written down before it is made, so that a kill between the money and
//! the ledger leaves no gap: what was written down is looked up again until its end is known.

use anyhow::{Context, bail};
use lightning::{Invoice, Paid};
use lnmp::Msat;

use crate::house::{House, now_ms};

/// Invoices being paid, as JSON.
const UNDER_WAY: &str = "payouts";
/// Payments under way at once; more would be a loop gone wrong.
const UNDER_WAY_MAX: usize = 100;

/// LDK pays at most one per cent and this in fees.
const FEE_MSAT: u64 = 50_000;

/// Pays an invoice and books it.
pub async fn pay(house: &House, bolt11: &str) -> anyhow::Result<Paid> {
    let wallet = &house.running()?.wallet;
    let invoice = Invoice::parse(bolt11)?;
    let _turn = house.paying.lock().await;
    let books = house.store.balances().await?;
    let amount = i64::try_from(invoice.amount.0).context("the amount is too large")?;
    if books.node - amount < books.users + books.escrow {
        bail!("this would pay out money that is owed to users");
    }
    let mut noted = under_way(house).await?;
    if noted.len() >= UNDER_WAY_MAX {
        bail!("{UNDER_WAY_MAX} payments are under way; wait for one to end");
    }
    if !noted.iter().any(|one| one == bolt11) {
        noted.push(bolt11.to_owned());
        note(house, &noted).await?;
    }
    let paid = wallet.pay(bolt11).await;
    end(house, bolt11, &invoice, &mut noted).await?;
    Ok(paid?)
}

/// Looks up what is under way and books what ended.
pub async fn look(house: &House) -> anyhow::Result<()> {
    // Somebody pays just now, and will look themselves.
    let Ok(_turn) = house.paying.try_lock() else { return Ok(()) };
    let mut noted = under_way(house).await?;
    for bolt11 in noted.clone() {
        end(house, &bolt11, &Invoice::parse(&bolt11)?, &mut noted).await?;
    }
    Ok(())
}

/// What is under way, with the highest fees: so much may be missing from the node that the ledger still has.
pub async fn in_flight(house: &House) -> anyhow::Result<Msat> {
    let mut sum = Msat::ZERO;
    for bolt11 in under_way(house).await? {
        let amount = Invoice::parse(&bolt11)?.amount;
        sum = sum + amount + Msat(amount.0 / 100 + FEE_MSAT);
    }
    Ok(sum)
}

/// Books a payment that ended and strikes it off; one under way stays.
async fn end(house: &House, bolt11: &str, invoice: &Invoice, noted: &mut Vec<String>) -> anyhow::Result<()> {
    match house.running()?.wallet.sent(invoice.hash).await? {
        Some(Paid::Pending) => return Ok(()),
        Some(Paid::Succeeded { fee }) => book(house, invoice, fee).await?,
        Some(Paid::Failed) | None => {}
    }
    noted.retain(|one| one != bolt11);
    note(house, noted).await
}

async fn under_way(house: &House) -> anyhow::Result<Vec<String>> {
    match house.store.get_meta(UNDER_WAY).await? {
        Some(bytes) => Ok(serde_json::from_slice(&bytes)?),
        None => Ok(Vec::new()),
    }
}

async fn note(house: &House, noted: &[String]) -> anyhow::Result<()> {
    Ok(house.store.set_meta(UNDER_WAY, &serde_json::to_vec(noted)?).await?)
}

/// Once: the key is the payment's.
async fn book(house: &House, invoice: &Invoice, fee: Msat) -> anyhow::Result<()> {
    let posting = store::Posting {
        key: format!("paid:{}", invoice.hash),
        gate: None,
        debits: vec![(store::Side::Operator, invoice.amount), (store::Side::Routing, fee)],
        credits: vec![(store::Side::Node, invoice.amount + fee)],
    };
    Ok(house.store.post(posting, now_ms()).await?)
}
