//! The embedded node's channels, for its operator.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use lightning::channels::{
    ChannelState, Closing, Coins, Fees, FirstReceive, NewChannel, NewOrder, Order, OwnChannel, OwnChannels,
};
use lightning::limits::BACKUP_BYTES_MAX;
use lnmp::{HoldKind, Msat, QuoteState};
use serde_json::{Value, json};

use super::wallet::paid;
use crate::dir::write_durably;
use crate::flow::{channels, payout};
use crate::house::{House, now_ms};

/// A channel below this holds nothing once both reserves are taken off.
const CAPACITY_MIN_SAT: u64 = 50_000;
/// Above this a peer needs `option_support_large_channel`, and a mistake is dear.
const CAPACITY_MAX_SAT: u64 = 500_000_000;
/// Kept for the funding's own fee: two hundred octets at a hundred sat each.
const OPENING_FEE_SAT: u64 = 20_000;
/// Vbytes of a commitment with its anchors and of the sweep of our part.
const FORCED_VBYTES: u64 = 500;
/// How long a first receive may be paid.
const RECEIVE_EXPIRY: Duration = Duration::from_secs(3600);
/// How long a recovery is watched; the command's own deadline is two minutes.
const RECOVERY_WATCHED: Duration = Duration::from_secs(90);
/// Seconds between blocks.
const BLOCK_SECONDS: u64 = 600;

/// The channels, where the node is our own.
pub(super) fn own(house: &House) -> anyhow::Result<&dyn OwnChannels> {
    let running = house.running()?;
    running.wallet.own_channels().ok_or_else(|| {
        if let Some(why) = running.wallet.away() {
            return anyhow!("the wallet is away: {why}");
        }
        let name = house.config.wallet.backend.name();
        anyhow!("the node of [wallet] ({name}) is not this server's: its own tools manage its channels")
    })
}

pub(super) async fn list(house: &House) -> anyhow::Result<Value> {
    let own = own(house)?;
    let mut rows: Vec<Value> = own.list().await?.iter().map(row).collect();
    for leaving in own.leaving().await? {
        rows.push(json!({ "id": leaving.id, "state": "closed", "ours_msat": leaving.amount.0, "until_height": leaving.height }));
    }
    Ok(Value::Array(rows))
}

fn row(channel: &OwnChannel) -> Value {
    json!({
        "id": channel.id,
        "peer": channel.peer,
        "address": channel.address,
        "state": channel.state.name(),
        "capacity_msat": channel.capacity.0,
        "ours_msat": channel.ours.0,
        "theirs_msat": (channel.capacity - channel.ours - channel.held).0,
        "held_msat": channel.held.0,
        "sendable_msat": channel.sendable.0,
        "receivable_msat": channel.receivable.0,
        "hold_slots": channel.room.slots,
        "hold_value_msat": channel.room.value.0,
        "hold_value_free_msat": channel.room.value_free.0,
        "hold_dust_msat": channel.room.dust.0,
        "fee_base_msat": channel.fees.base.0,
        "fee_ppm": channel.fees.ppm,
        "confirmations": channel.confirmations,
        "confirmations_required": channel.confirmations_required,
        "opened_by_us": channel.opened_by_us,
        "funding": channel.funding,
        "force_close_blocks": channel.delay_blocks,
    })
}

pub(super) async fn open(house: &House, peer: &str, capacity_sat: u64, push_sat: u64) -> anyhow::Result<Value> {
    let own = own(house)?;
    let (id, address) = peer.split_once('@').ok_or_else(|| anyhow!("{peer} is no peer; one is NODE@HOST:PORT"))?;
    lightning::channels::check_peer(id, address)?;
    if !(CAPACITY_MIN_SAT..=CAPACITY_MAX_SAT).contains(&capacity_sat) {
        bail!("a channel holds {CAPACITY_MIN_SAT} to {CAPACITY_MAX_SAT} sat, not {capacity_sat}");
    }
    if push_sat > capacity_sat * 9 / 10 {
        bail!("at most nine tenths of a channel can be given to the peer: {} sat of this one", capacity_sat * 9 / 10);
    }
    covered(&own.coins().await?, capacity_sat)?;
    let new = NewChannel { peer: id.to_owned(), address: address.to_owned(), capacity_sat, push_sat };
    let tag = own.open(new).await.map_err(|error| match error {
        lightning::WalletError::NoCapacity => {
            anyhow!("the peer cannot be reached at {address}, or the wallet's coins do not suffice")
        }
        other => other.into(),
    })?;
    Ok(
        json!({ "tag": tag, "peer": id, "capacity_msat": capacity_sat * 1000, "pushed_msat": push_sat * 1000, "state": "opening" }),
    )
}

/// Every channel keeps a reserve on the chain, with which its closing can be paid for: none is opened that would leave
/// one uncovered.
fn covered(coins: &Coins, capacity_sat: u64) -> anyhow::Result<()> {
    let sat = |amount: Msat| amount.0 / 1000;
    let needed = capacity_sat + sat(coins.reserve_per_channel) + OPENING_FEE_SAT;
    if sat(coins.spendable) >= needed {
        return Ok(());
    }
    bail!(
        "the wallet has {} sat confirmed that no channel needs as its reserve (of {} sat, {} are reserve): this channel \
         takes {needed}: {capacity_sat} and {} of reserve, and up to {OPENING_FEE_SAT} for its funding's fee",
        sat(coins.spendable),
        sat(coins.total),
        sat(coins.reserve),
        sat(coins.reserve_per_channel)
    )
}

/// Closes; a forced one says first what it costs, and is done with `yes` only.
pub(super) async fn close(house: &House, id: &str, force: bool, yes: bool) -> anyhow::Result<Value> {
    let own = own(house)?;
    let channel = find(own, id).await?;
    let held = house.running()?.wallet.inbound().await?.held;
    let last = held.iter().map(|payment| payment.deadline_height).max();
    let holds = channel.held > Msat::ZERO;
    if holds && !force {
        let until = last.map_or_else(String::new, |height| format!(", the last of them until height {height}"));
        bail!(
            "{} are held over this channel{until}: wait until they are decided, or decide them (`satchel gate list`); \
             --force closes it all the same",
            channel.held
        );
    }
    if !force && channel.state != ChannelState::Usable {
        bail!(
            "this channel is {}: its peer must agree to close it, and can be asked while it is usable only; --force closes \
             it without",
            channel.state.name()
        );
    }
    if force && !yes {
        let hours = u64::from(channel.delay_blocks) * BLOCK_SECONDS / 3600;
        let at_risk = if holds {
            format!(
                "\n{} are held over it: what of it is dust is lost, the rest is decided on the chain.",
                channel.held
            )
        } else {
            String::new()
        };
        return Ok(json!({
            "id": channel.id,
            "confirm": channel.id[..8],
            "ours_msat": channel.ours.0,
            "force_close_blocks": channel.delay_blocks,
            "vbytes": FORCED_VBYTES,
            "says": format!(
                "Closing {} without its peer publishes the last state. It costs about {FORCED_VBYTES} vbytes of fees, and \
                 {} of ours are away for {} blocks, about {hours} hours.{at_risk}\nAn agreed closing (without --force) \
                 costs a third and takes one block.",
                &channel.id[..8],
                channel.ours,
                channel.delay_blocks
            ),
        }));
    }
    own.close(&channel.id, if force { Closing::Forced } else { Closing::Agreed }).await?;
    Ok(json!({
        "id": channel.id,
        "closing": if force { "forced" } else { "agreed" },
        "ours_msat": channel.ours.0,
        "away_blocks": if force { channel.delay_blocks } else { 1 },
    }))
}

async fn find(own: &dyn OwnChannels, id: &str) -> anyhow::Result<OwnChannel> {
    let mut found = own.list().await?.into_iter().filter(|channel| channel.id.starts_with(id) && id.len() >= 8);
    match (found.next(), found.next()) {
        (Some(channel), None) => Ok(channel),
        _ => Err(lightning::WalletError::UnknownChannel.into()),
    }
}

pub(super) async fn fees(house: &House, id: &str, base_msat: u64, ppm: u32) -> anyhow::Result<Value> {
    if ppm > 1_000_000 {
        bail!("{ppm} of a million is more than all; allowed: 0 to 1000000");
    }
    own(house)?.set_fees(id, Fees { base: Msat(base_msat), ppm }).await?;
    Ok(row(&find(own(house)?, id).await?))
}

/// What can be held now, for every price in use.
pub(super) async fn plan(house: &House) -> anyhow::Result<Value> {
    let own = own(house)?;
    let channels = own.list().await?;
    let capacity = house.running()?.wallet.capacity().await?;
    let mut prices: Vec<(Msat, &str)> = Vec::new();
    for account in house.store.accounts().await? {
        let of = account.settings.prices;
        for (price, whose) in [(of.stranger, "stranger"), (of.acquaintance, "acquaintance"), (of.priority, "priority")]
        {
            if price > Msat::ZERO && !prices.iter().any(|(known, _)| *known == price) {
                prices.push((price, whose));
            }
        }
    }
    prices.sort_unstable();
    // What live invoices reserve is not free.
    let live = house.store.open_quotes(now_ms()).await?;
    let live = || live.iter().filter(|quote| quote.state == QuoteState::Live && quote.kind == HoldKind::Htlc);
    let reserved = |only_dust: bool| {
        let counted = live().filter(|quote| !only_dust || quote.amount < capacity.dust_below);
        counted.fold(Msat::ZERO, |sum, quote| sum + quote.amount)
    };
    let slots = capacity.slots_free.saturating_sub(u32::try_from(live().count()).unwrap_or(u32::MAX));
    let (value, dust) = (capacity.inbound_free - reserved(false), capacity.dust_free - reserved(true));
    let rooms: Vec<Value> = prices
        .iter()
        .map(|(price, whose)| {
            let all = Fit::of(*price, slots, value, dust, capacity.dust_below);
            json!({ "price_msat": price.0, "asked_of": whose, "mails": all.mails, "limit": all.limit })
        })
        .collect();
    let by_channel: Vec<Value> = channels
        .iter()
        .map(|channel| {
            let room = channel.room;
            let fits: Vec<Value> = prices
                .iter()
                .map(|(price, _)| {
                    let fit = Fit::of(*price, room.slots, room.value_free, room.dust, capacity.dust_below);
                    json!({ "price_msat": price.0, "mails": fit.mails, "limit": fit.limit })
                })
                .collect();
            json!({ "id": channel.id, "state": channel.state.name(), "prices": fits })
        })
        .collect();
    Ok(json!({
        "prices": rooms,
        "live_quotes": live().count(),
        "hold_slots_free": capacity.slots_free,
        "hold_value_free_msat": capacity.inbound_free.0,
        "hold_dust_free_msat": capacity.dust_free.0,
        "dust_below_msat": capacity.dust_below.0,
        "channels": by_channel,
        "advice": advice(&channels, &rooms),
    }))
}

/// How many payments of one price fit.
struct Fit {
    mails: u64,
    limit: &'static str,
}

impl Fit {
    fn of(price: Msat, slots: u32, value: Msat, dust: Msat, dust_below: Msat) -> Self {
        let mut limits = vec![(u64::from(slots), "slots"), (value.0 / price.0.max(1), "value")];
        if price < dust_below {
            limits.push((dust.0 / price.0.max(1), "dust"));
        }
        let (mails, limit) = limits.into_iter().min().unwrap_or((0, "slots"));
        Self { mails, limit }
    }
}

fn advice(channels: &[OwnChannel], rooms: &[Value]) -> Vec<String> {
    let mut advice = Vec::new();
    if !channels.iter().any(|channel| channel.state == ChannelState::Usable) {
        advice.push(
            "There is no usable channel: `satchel channel open`, `channel buy`, or `channel receive --first`."
                .to_owned(),
        );
        return advice;
    }
    let limited = |by: &str| rooms.iter().any(|room| room["limit"] == by);
    if limited("slots") {
        advice.push(
            "Slots: every channel carries 50 payments towards us, 30 of them for mail: open or buy one more."
                .to_owned(),
        );
    }
    if limited("value") {
        let empty = channels.iter().filter(|channel| channel.receivable < channel.room.value).count();
        advice.push(if empty > 0 {
            "Value: peers have too little to send: pay something out over their channels, or buy a channel that the \
             provider fills."
                .to_owned()
        } else {
            "Value: of a channel opened to us a tenth may be in flight, of one that we open all: open one with --push-sat, \
             or buy a larger one."
                .to_owned()
        });
    }
    if limited("dust") {
        advice.push("Dust: prices from 354 sat are not dust; or open one more channel.".to_owned());
    }
    advice
}

pub(super) async fn receive(house: &House, sat: u64, fee_max_sat: Option<u64>) -> anyhow::Result<Value> {
    let amount = Msat::from_sat(sat).context("the amount is too large")?;
    let fee_max = fee_max_sat.map(|sat| Msat::from_sat(sat).context("--fee-max-sat is too large")).transpose()?;
    let new = FirstReceive { amount, fee_max, description: "first channel".into(), expiry: RECEIVE_EXPIRY };
    let first = own(house)?.receive_first(new).await?;
    Ok(json!({
        "bolt11": first.bolt11,
        "amount_msat": amount.0,
        "provider_fee_msat": first.fee.0,
        "arrives_msat": (amount - first.fee).0,
    }))
}

/// Orders a channel, or looks at an order; pays with `yes` only, and only what the order said.
pub(super) async fn buy(
    house: &House,
    capacity_sat: Option<u64>,
    expiry_blocks: u32,
    order: Option<String>,
    yes: bool,
) -> anyhow::Result<Value> {
    let own = own(house)?;
    let order = match (order, capacity_sat) {
        (Some(id), _) => own.order_status(&id).await?,
        (None, Some(capacity_sat)) => own.order(NewOrder { capacity_sat, expiry_blocks }).await?,
        (None, None) => bail!("say what to buy: --capacity-sat, or --order with an order made before"),
    };
    let mut value = order_row(&order);
    if yes {
        if order.payment != "expected" {
            bail!("order {} expects no payment: it is {}", order.id, order.payment);
        }
        let bolt11 = order.invoice.context("the provider takes no Lightning payment for this order")?;
        if lightning::Invoice::parse(&bolt11)?.amount.0 != order.price_sat * 1000 {
            bail!("the provider's invoice is not for the {} sat it named: nothing was paid", order.price_sat);
        }
        value["paid"] = paid(&payout::pay(house, &bolt11).await?);
    }
    Ok(value)
}

pub(super) async fn order(house: &House, id: &str) -> anyhow::Result<Value> {
    Ok(order_row(&own(house)?.order_status(id).await?))
}

fn order_row(order: &Order) -> Value {
    json!({
        "order": order.id,
        "capacity_msat": order.capacity_sat * 1000,
        "expiry_blocks": order.expiry_blocks,
        "price_msat": order.price_sat * 1000,
        "fee_msat": order.fee_sat * 1000,
        "payment": order.payment,
        "bolt11": order.invoice,
        "funding": order.funding,
    })
}

pub(super) async fn backup(house: &House, file: &Path) -> anyhow::Result<Value> {
    let own = own(house)?;
    let bytes = own.backup().await?;
    write_durably(file, &bytes).with_context(|| file.display().to_string())?;
    Ok(json!({ "file": file, "channels": own.list().await?.len(), "octets": bytes.len() }))
}

pub(super) async fn recover(house: &Arc<House>, file: &Path) -> anyhow::Result<Value> {
    let own = own(house)?;
    let length = std::fs::metadata(file).with_context(|| file.display().to_string())?.len();
    if length > BACKUP_BYTES_MAX as u64 {
        bail!("{} is no channel backup: it is {length} octets long", file.display());
    }
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    // A bitcoind on a large chain looks for minutes: the command does not wait for all of it, the search goes on.
    let (looking, there) = (Arc::clone(house), own.list().await?.len());
    let task = tokio::spawn(async move { search(&looking, &bytes).await });
    match tokio::time::timeout(RECOVERY_WATCHED, task).await {
        Ok(found) => found?,
        Err(_) => Ok(json!({ "state": "looking", "channels": there })),
    }
}

async fn search(house: &House, backup: &[u8]) -> anyhow::Result<Value> {
    let own = own(house)?;
    let found = own.recover(backup).await?;
    if found.swept > Msat::ZERO {
        channels::recovered(house, own).await?;
    }
    Ok(json!({
        "state": "done",
        "lost_channels": found.lost,
        "connected_peers": found.connected,
        "swept_msat": found.swept.0,
        "txid": found.txid,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_limits_a_price_is_named() {
        let fit = |price: u64, slots, value: u64, dust: u64| {
            let fit = Fit::of(Msat(price), slots, Msat(value), Msat(dust), Msat(354_000));
            (fit.mails, fit.limit)
        };
        assert_eq!(fit(100_000, 30, 600_000_000, 16_650_000), (30, "slots"));
        assert_eq!(fit(100_000, 30, 600_000_000, 1_000_000), (10, "dust"));
        assert_eq!(fit(1_000_000, 30, 20_000_000, 0), (20, "value"));
        assert_eq!(fit(1_000_000, 0, 0, 0).0, 0);
    }

    #[test]
    fn a_channel_that_leaves_a_reserve_uncovered_is_refused_with_the_sums() {
        let coins = |spendable| Coins {
            total: Msat(500_000_000),
            spendable: Msat(spendable),
            reserve: Msat(50_000_000),
            reserve_per_channel: Msat(25_000_000),
        };
        assert!(covered(&coins(345_000_000), 300_000).is_ok());
        let refused = covered(&coins(344_999_000), 300_000).unwrap_err().to_string();
        assert!(refused.contains("345000") && refused.contains("50000 are reserve"), "{refused}");
    }
}
