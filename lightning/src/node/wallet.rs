//! [`Wallet`] on an LDK node.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use ldk::ln::channelmanager::PaymentId;
use ldk::types::payment::{PaymentHash as LdkHash, PaymentPreimage};
use ldk_node::payment::{PaymentDetails, PaymentDirection, PaymentStatus};
use ldk_node::{Event as LdkEvent, Node, NodeError};
use lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescription, Description};
use lnmp::{Msat, PaymentHash, Preimage};
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::channels::room;
use super::holds::{Claim, Hold, State};
use super::inbound::{Channels, sat};
use super::invoice::{Draft, check_invoice, parse_payable};
use super::{Inner, LdkNode, sending};
use crate::channels::OwnChannels;
use crate::limits::{ANCHOR_DUST_SAT, FRESH_WITHIN, PAY_WITHIN, POLL_EVERY};
use crate::wallet::{
    Balance, Capacity, ChainState, ChannelInfo, Event, HeldPayment, HoldStatus, Inbound, NewHold, Paid, Wallet,
};
use crate::{WalletError, failpoint, limits};

#[async_trait]
impl Wallet for LdkNode {
    fn source_trouble(&self) -> Option<String> {
        self.inner.source_tip.trouble()
    }

    async fn create(&self, new: NewHold) -> Result<String, WalletError> {
        new.check()?;
        self.call(move |node, inner| {
            if let Some(known) = details(node, new.hash)
                && (known.direction == PaymentDirection::Outbound || known.status == PaymentStatus::Succeeded)
            {
                return Err(WalletError::AlreadyPaid);
            }
            let registered = register(node, new.hash, new.amount, &new.description, new.expiry)?;
            let hints = registered.route_hints();
            let NewHold { hash, amount, expiry, final_cltv, description } = new;
            inner.signer.sign(Draft { hash, amount, description, expiry, final_cltv, hints }, since_1970())
        })
        .await
    }

    async fn settle(&self, hash: PaymentHash, amount: Msat, preimage: &Preimage) -> Result<(), WalletError> {
        if preimage.hash() != hash {
            return Err(WalletError::WrongPreimage);
        }
        let preimage = Zeroizing::new(*preimage.reveal());
        self.call(move |node, inner| settle(node, inner, hash, amount, &preimage)).await
    }

    async fn cancel(&self, hash: PaymentHash) -> Result<(), WalletError> {
        self.call(move |node, inner| cancel(node, inner, hash)).await
    }

    async fn lookup(&self, hash: PaymentHash) -> Result<HoldStatus, WalletError> {
        let there = self.call(move |node, inner| Ok(status(node, inner, hash))).await?;
        if there == HoldStatus::Settled {
            // Also when its event was lost. The answer waited for the disk, so the claim stands.
            self.call(move |_, inner| inner.holds().set_state(hash, State::Gone)).await?;
        }
        Ok(there)
    }

    async fn forget(&self, hash: PaymentHash) -> Result<(), WalletError> {
        self.call(move |node, inner| match status(node, inner, hash) {
            HoldStatus::Held { .. } => Err(WalletError::BadRequest("a held payment cannot be forgotten")),
            HoldStatus::Unknown => Ok(()),
            HoldStatus::Open | HoldStatus::Settled | HoldStatus::Cancelled => {
                if details(node, hash).is_some_and(|known| known.direction == PaymentDirection::Outbound) {
                    return Err(WalletError::UnknownHash);
                }
                node.remove_payment(&PaymentId(hash.0))?;
                inner.holds().set_state(hash, State::Gone)
            }
        })
        .await
    }

    async fn inbound(&self) -> Result<Inbound, WalletError> {
        self.call(|node, inner| {
            let (channels, _) = Channels::look(node);
            let held = held(node, inner);
            let mut known = Msat::ZERO;
            for payment in held.iter().filter(|payment| !payment.claiming) {
                known = known + payment.amount;
            }
            Ok(Inbound { held, unexplained: channels.unclaimed - known })
        })
        .await
    }

    async fn next_event(&self) -> Event {
        loop {
            let Some(event) = self.next_ldk_event().await else {
                // Stopped: no event will come, and the caller is on its way out too.
                return std::future::pending().await;
            };
            match self.observe(event).await {
                Ok(event) => return event,
                Err(error) => {
                    // The event is still the head: it comes back once the disk does.
                    tracing::error!(%error, "a payment event could not be written down");
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn event_handled(&self) -> Result<(), WalletError> {
        self.call(|node, _| Ok(node.event_handled()?)).await
    }

    async fn ready_event(&self) -> Option<Event> {
        let event = self.call(|node, _| Ok(node.next_event())).await.ok().flatten()?;
        self.observe(event).await.ok()
    }

    async fn chain(&self) -> Result<ChainState, WalletError> {
        self.call(|node, inner| {
            let status = node.status();
            let height = status.current_best_block.height;
            let source = inner.source_tip.tip();
            let synced_at = status.latest_lightning_wallet_sync_timestamp.map(|s| UNIX_EPOCH + Duration::from_secs(s));
            let recent = |at: SystemTime| at.elapsed().map_or(true, |age| age < FRESH_WITHIN);
            // Both must have heard of the source: the node, and we, to know how high it is.
            let fresh = height == source.height && synced_at.is_some_and(recent) && recent(source.asked_at);
            Ok(ChainState { height, source_height: source.height, synced_at, fresh })
        })
        .await
    }

    async fn capacity(&self) -> Result<Capacity, WalletError> {
        self.call(|node, inner| Ok(capacity(node, inner))).await
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        self.call(|node, _| Ok(balance(node))).await
    }

    async fn invoice(&self, amount: Msat, description: String, expiry: Duration) -> Result<String, WalletError> {
        check_invoice(amount, &description, expiry)?;
        self.call(move |node, _| {
            let description = described(&description)?;
            let invoice = node.bolt11_payment().receive(amount.0, &description, secs(expiry))?;
            Ok(invoice.to_string())
        })
        .await
    }

    async fn pay(&self, bolt11: &str) -> Result<Paid, WalletError> {
        let bolt11 = bolt11.to_owned();
        let hash = self
            .call(move |node, inner| {
                let invoice = parse_payable(&bolt11, node.config().network, since_1970())?;
                if invoice.recover_payee_pub_key() == node.node_id() {
                    return Err(WalletError::BadInvoice("it is our own"));
                }
                sending::send(node, inner, &invoice, None, || failpoint::pass("pay.noted"))
            })
            .await?;
        let until = Instant::now() + PAY_WITHIN;
        loop {
            let paid = self.sent(hash).await?.unwrap_or(Paid::Pending);
            if paid != Paid::Pending || Instant::now() >= until {
                return Ok(paid);
            }
            sleep(POLL_EVERY).await;
        }
    }

    async fn sent(&self, hash: PaymentHash) -> Result<Option<Paid>, WalletError> {
        self.call(move |node, _| {
            let sent = details(node, hash).filter(|known| known.direction == PaymentDirection::Outbound);
            Ok(sent.map(|known| match known.status {
                PaymentStatus::Succeeded => Paid::Succeeded { fee: Msat(known.fee_paid_msat.unwrap_or(0)) },
                PaymentStatus::Failed => Paid::Failed,
                PaymentStatus::Pending => Paid::Pending,
            }))
        })
        .await
    }

    async fn address(&self) -> Result<String, WalletError> {
        Ok(self.new_address().await?.to_string())
    }

    async fn channels(&self) -> Result<Vec<ChannelInfo>, WalletError> {
        self.call(|node, _| {
            let channels = node.list_channels().into_iter();
            Ok(channels
                .map(|channel| ChannelInfo {
                    id: channel.channel_id.to_string(),
                    peer: channel.counterparty_node_id.to_string(),
                    capacity: sat(channel.channel_value_sats),
                    outbound: Msat(channel.outbound_capacity_msat),
                    inbound: Msat(channel.inbound_capacity_msat),
                    usable: channel.is_usable,
                    confirmations: channel.confirmations.unwrap_or(0),
                    ours: channel.is_outbound,
                })
                .collect())
        })
        .await
    }

    fn own_channels(&self) -> Option<&dyn OwnChannels> {
        Some(self)
    }

    async fn stop(&self) -> Result<(), WalletError> {
        self.stop_node().await
    }
}

impl LdkNode {
    /// Writes down what an event says about a hold, and translates it.
    async fn observe(&self, event: LdkEvent) -> Result<Event, WalletError> {
        match event {
            LdkEvent::PaymentClaimable { payment_hash, claimable_amount_msat, claim_deadline, .. } => {
                let (hash, amount) = (PaymentHash(payment_hash.0), Msat(claimable_amount_msat));
                self.call(move |node, inner| {
                    let deadline_height = claim_deadline.unwrap_or_else(|| node.status().current_best_block.height);
                    // LDK may repeat an event after a kill; what we began since must not be forgotten.
                    let begun = inner.holds().get(hash).filter(|hold| hold.deadline_height == deadline_height);
                    match begun.map(|hold| hold.state) {
                        Some(State::Claiming(Claim(preimage))) => claim_again(node, hash, amount, &preimage),
                        Some(State::Cancelled) => {}
                        Some(State::Held | State::Gone) | None => {
                            inner.holds().set(hash, Hold { state: State::Held, amount, deadline_height })?;
                        }
                    }
                    Ok(Event::Held { hash, amount, deadline_height })
                })
                .await
            }
            LdkEvent::PaymentReceived { payment_hash, amount_msat, .. } => {
                let hash = PaymentHash(payment_hash.0);
                // First the claim must stand on the disk, then its preimage may be forgotten.
                self.call(|_, _| Ok(())).await?;
                self.call(move |_, inner| inner.holds().set_state(hash, State::Gone)).await?;
                Ok(Event::Settled { hash, amount: Msat(amount_msat) })
            }
            LdkEvent::ChannelClosed { user_channel_id, .. } => Ok(Event::ChannelClosed { tag: user_channel_id.0 }),
            _ => Ok(Event::Other),
        }
    }
}

fn settle(node: &Node, inner: &Inner, hash: PaymentHash, amount: Msat, preimage: &[u8; 32]) -> Result<(), WalletError> {
    let known = details(node, hash);
    if known.as_ref().is_some_and(|known| known.status == PaymentStatus::Succeeded) {
        return Ok(());
    }
    let hold = inner.holds().get(hash);
    if let Some(Hold { state, deadline_height, .. }) = hold {
        let height = node.status().current_best_block.height;
        match state {
            // LDK answers Ok to a late claim and does nothing.
            State::Held if height >= deadline_height => return Err(WalletError::TooLate { deadline_height, height }),
            State::Cancelled => return Err(WalletError::AlreadyCancelled),
            State::Held | State::Claiming(_) | State::Gone => {}
        }
    } else if known.is_none() {
        return Err(WalletError::UnknownHash);
    }
    inner.holds().set_state(hash, State::Claiming(Claim(*preimage)))?;
    failpoint::pass("claim.noted");
    claim(node, hash, amount, preimage)?;
    failpoint::pass("claim.made");
    Ok(())
}

fn claim(node: &Node, hash: PaymentHash, amount: Msat, preimage: &[u8; 32]) -> Result<(), WalletError> {
    let claim = || node.bolt11_payment().claim_for_hash(LdkHash(hash.0), amount.0, PaymentPreimage(*preimage));
    match claim() {
        Err(NodeError::InvalidPaymentHash) => {
            register(node, hash, amount, "mail", limits::EXPIRY_MIN)?;
            Ok(claim()?)
        }
        other => Ok(other?),
    }
}

/// Makes a claim that was begun before; one that cannot be made any more is its watcher's to find out.
pub(super) fn claim_again(node: &Node, hash: PaymentHash, amount: Msat, preimage: &[u8; 32]) {
    if let Err(error) = claim(node, hash, amount, preimage) {
        tracing::warn!(%error, "lightning: a claim could not be made again");
    }
}

fn cancel(node: &Node, inner: &Inner, hash: PaymentHash) -> Result<(), WalletError> {
    if let Some(known) = details(node, hash) {
        if known.direction == PaymentDirection::Outbound {
            // Failing it would turn our own payment's record into a lie.
            return Err(WalletError::UnknownHash);
        }
        if known.status == PaymentStatus::Succeeded {
            return Err(WalletError::AlreadyClaimed);
        }
    }
    let hold = inner.holds().get(hash);
    if hold.is_some_and(|hold| matches!(hold.state, State::Claiming(_))) {
        return match status(node, inner, hash) {
            HoldStatus::Cancelled => Ok(()),
            _ => Err(WalletError::AlreadyClaimed),
        };
    }
    inner.holds().set_state(hash, State::Cancelled)?;
    failpoint::pass("cancel.noted");
    let fail = || node.bolt11_payment().fail_for_hash(LdkHash(hash.0));
    match fail() {
        // ldk-node fails nothing whose record is gone: make one, then fail.
        Err(NodeError::InvalidPaymentHash) => {
            register(node, hash, hold.map_or(Msat(1000), |hold| hold.amount), "mail", limits::EXPIRY_MIN)?;
            fail()?;
        }
        other => other?,
    }
    failpoint::pass("cancel.made");
    Ok(())
}

fn status(node: &Node, inner: &Inner, hash: PaymentHash) -> HoldStatus {
    let known = details(node, hash).filter(|known| known.direction == PaymentDirection::Inbound);
    if known.as_ref().is_some_and(|known| known.status == PaymentStatus::Succeeded) {
        return HoldStatus::Settled;
    }
    let hold = inner.holds().get(hash);
    if let Some(Hold { state, amount, deadline_height }) = hold {
        let there = HoldStatus::Held { deadline_height, amount };
        let past = node.status().current_best_block.height >= deadline_height;
        return match state {
            State::Held if !past => there,
            State::Held | State::Cancelled | State::Gone => HoldStatus::Cancelled,
            State::Claiming(_) if !past => there,
            State::Claiming(_) => {
                // A claim made in time is pursued past the deadline, on the chain if it must be.
                let (channels, _) = Channels::look(node);
                let pending = channels.named.contains(&hash) || channels.claiming > Msat::ZERO;
                if pending || node.next_event().is_some() { there } else { HoldStatus::Cancelled }
            }
        };
    }
    match known.map(|known| known.status) {
        None => HoldStatus::Unknown,
        Some(PaymentStatus::Pending) => HoldStatus::Open,
        Some(PaymentStatus::Succeeded) => HoldStatus::Settled,
        Some(PaymentStatus::Failed) => HoldStatus::Cancelled,
    }
}

/// Holds that are neither over nor being failed.
pub(super) fn held(node: &Node, inner: &Inner) -> Vec<HeldPayment> {
    let height = node.status().current_best_block.height;
    let all: Vec<_> = inner.holds().iter().collect();
    let mut held: Vec<HeldPayment> = all
        .into_iter()
        .filter(|(_, hold)| match hold.state {
            State::Held => height < hold.deadline_height,
            State::Claiming(_) => true,
            State::Cancelled | State::Gone => false,
        })
        .map(|(hash, hold)| HeldPayment {
            hash,
            amount: hold.amount,
            deadline_height: hold.deadline_height,
            claiming: matches!(hold.state, State::Claiming(_)),
        })
        .collect();
    held.sort_unstable_by_key(|payment| (payment.deadline_height, payment.hash));
    held
}

fn capacity(node: &Node, inner: &Inner) -> Capacity {
    let (seen, _) = Channels::look(node);
    let mut all = Capacity { dust_below: sat(ANCHOR_DUST_SAT), ..Capacity::default() };
    for channel in node.list_channels().iter().filter(|channel| channel.is_usable) {
        let room = room(channel, seen.unclaimed_in(&channel.channel_id));
        all.channels += 1;
        all.slots_total += room.slots;
        all.value_total = all.value_total + room.value;
        all.inbound_free = all.inbound_free + room.value_free;
        all.dust_total = all.dust_total + room.dust;
    }
    let held = held(node, inner);
    let dust = held.iter().filter(|payment| payment.amount < all.dust_below);
    // A payment in parts takes a slot for each: what is not dust is counted by the channels themselves.
    let used = held.len().max(seen.named.len() + dust.clone().count());
    all.slots_free = all.slots_total.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX));
    all.dust_free = all.dust_total - dust.fold(Msat::ZERO, |sum, payment| sum + payment.amount);
    all
}

fn balance(node: &Node) -> Balance {
    let (seen, chain) = Channels::look(node);
    let (mut ours, mut spendable) = (Msat::ZERO, Msat::ZERO);
    // A channel whose funding never confirmed is nobody's money; its monitor stays behind all the same.
    for channel in node.list_channels().iter().filter(|channel| channel.confirmations.unwrap_or(0) > 0) {
        spendable = spendable + Msat(channel.next_outbound_htlc_limit_msat);
        ours = ours + seen.ours_in(channel);
    }
    Balance {
        channel: ours,
        spendable,
        onchain: sat(chain.total_onchain_balance_sats),
        closing: seen.closing,
        moving: seen.moving(node, &chain),
        held: seen.unclaimed,
        sending: Some(seen.sending),
    }
}

fn details(node: &Node, hash: PaymentHash) -> Option<PaymentDetails> {
    // ldk-node's id of a BOLT 11 payment is its hash, in both directions.
    node.payment(&PaymentId(hash.0))
}

/// Tells ldk-node that payments to `hash` are ours to decide on.
pub(super) fn register(
    node: &Node,
    hash: PaymentHash,
    amount: Msat,
    description: &str,
    expiry: Duration,
) -> Result<Bolt11Invoice, WalletError> {
    let description = described(description)?;
    Ok(node.bolt11_payment().receive_for_hash(amount.0, &description, secs(expiry), LdkHash(hash.0))?)
}

pub(super) fn described(text: &str) -> Result<Bolt11InvoiceDescription, WalletError> {
    let text = Description::new(text.to_owned());
    Ok(Bolt11InvoiceDescription::Direct(text.map_err(|_| WalletError::BadRequest("the description is too long"))?))
}

pub(super) fn secs(expiry: Duration) -> u32 {
    u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX)
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
