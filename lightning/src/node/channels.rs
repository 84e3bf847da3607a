//! [`OwnChannels`] on an LDK node.

use async_trait::async_trait;
use ldk::chain::channelmonitor::BalanceSource;
use ldk::ln::channelmanager::PaymentId;
use ldk_node::config::MaxDustHTLCExposure;
use ldk_node::payment::PaymentKind;
use ldk_node::{ChannelDetails, LightningBalance, Node, NodeError, PendingSweepBalance};
use lnmp::{Msat, PaymentHash};

use super::inbound::{Channels, sat};
use super::peers::PeerAddress;
use super::{Inner, LdkNode, liquidity, recovery, wallet};
use crate::WalletError;
use crate::channels::{
    ChannelState, Closing, Coins, Fees, FirstInvoice, FirstReceive, Leaving, NewChannel, NewOrder, Order, OwnChannel,
    OwnChannels, Recovered, Room,
};
use crate::limits::{
    ANCHOR_RESERVE_SAT, CHANNEL_ID_PREFIX_MIN, DUST_FEE_RATE_SAT_PER_KW, HTLCS_PER_CHANNEL, RESERVABLE_PERCENT,
};

#[async_trait]
impl OwnChannels for LdkNode {
    async fn list(&self) -> Result<Vec<OwnChannel>, WalletError> {
        self.call(|node, inner| Ok(list(node, inner))).await
    }

    async fn leaving(&self) -> Result<Vec<Leaving>, WalletError> {
        self.call(|node, _| Ok(leaving(node))).await
    }

    async fn coins(&self) -> Result<Coins, WalletError> {
        self.call(|node, _| {
            let balances = node.list_balances();
            Ok(Coins {
                total: sat(balances.total_onchain_balance_sats),
                spendable: sat(balances.spendable_onchain_balance_sats),
                reserve: sat(balances.total_anchor_channels_reserve_sats),
                reserve_per_channel: sat(ANCHOR_RESERVE_SAT),
            })
        })
        .await
    }

    async fn open(&self, new: NewChannel) -> Result<String, WalletError> {
        let peer = PeerAddress::parse(&new.peer, &new.address)?;
        self.call(move |node, inner| {
            let was_there = node.list_peers().iter().any(|there| there.node_id == peer.node_id && there.is_connected);
            let way = inner.way_out(peer.resolve()?)?.into();
            let tag = node.open_channel(peer.node_id, way, new.capacity_sat, Some(new.push_sat * 1000), None)?;
            if !was_there {
                // The address proved right.
                inner.peers().remember(&peer)?;
            }
            Ok(format!("{:032x}", tag.0))
        })
        .await
    }

    async fn close(&self, id: &str, how: Closing) -> Result<(), WalletError> {
        let id = id.to_owned();
        self.call(move |node, _| {
            let channel = find(node, &id)?;
            let (tag, peer) = (&channel.user_channel_id, channel.counterparty_node_id);
            match how {
                Closing::Agreed => node.close_channel(tag, peer),
                Closing::Forced => node.force_close_channel(tag, peer, Some("the operator closes it".into())),
            }
            .map_err(|error| match error {
                // LDK closes by agreement only with a connected peer that has no payment on the way.
                NodeError::ChannelClosingFailed => WalletError::BadRequest("the channel cannot be closed now"),
                other => other.into(),
            })
        })
        .await
    }

    async fn set_fees(&self, id: &str, fees: Fees) -> Result<(), WalletError> {
        let id = id.to_owned();
        let base = u32::try_from(fees.base.0).map_err(|_| WalletError::BadRequest("the base fee is too large"))?;
        self.call(move |node, _| {
            let channel = find(node, &id)?;
            let mut config = channel.config;
            config.forwarding_fee_base_msat = base;
            config.forwarding_fee_proportional_millionths = fees.ppm;
            Ok(node.update_channel_config(&channel.user_channel_id, channel.counterparty_node_id, config)?)
        })
        .await
    }

    async fn is_quiet(&self) -> Result<bool, WalletError> {
        self.call(|node, inner| {
            let (seen, balances) = Channels::look(node);
            let claiming = wallet::held(node, inner).iter().any(|payment| payment.claiming);
            let moving = seen.moving(node, &balances) > Msat::ZERO;
            // Last: what changed a balance before we looked has its event in the queue by now.
            Ok(!claiming && !moving && seen.sending == Msat::ZERO && node.next_event().is_none())
        })
        .await
    }

    async fn receive_first(&self, new: FirstReceive) -> Result<FirstInvoice, WalletError> {
        self.call(move |node, inner| liquidity::receive_first(node, inner, &new)).await
    }

    async fn kept_by_provider(&self, hash: PaymentHash) -> Result<Msat, WalletError> {
        self.call(move |node, _| {
            let kept = match node.payment(&PaymentId(hash.0)).map(|payment| payment.kind) {
                Some(PaymentKind::Bolt11Jit { counterparty_skimmed_fee_msat, .. }) => counterparty_skimmed_fee_msat,
                _ => None,
            };
            Ok(Msat(kept.unwrap_or(0)))
        })
        .await
    }

    async fn order(&self, new: NewOrder) -> Result<Order, WalletError> {
        self.call(move |node, inner| liquidity::order(node, inner, new)).await
    }

    async fn order_status(&self, id: &str) -> Result<Order, WalletError> {
        let id = id.to_owned();
        self.call(move |node, inner| liquidity::order_status(node, inner, id)).await
    }

    async fn backup(&self) -> Result<Vec<u8>, WalletError> {
        self.call(recovery::backup).await
    }

    async fn recover(&self, backup: &[u8]) -> Result<Recovered, WalletError> {
        recovery::recover(self, backup).await
    }
}

fn list(node: &Node, inner: &Inner) -> Vec<OwnChannel> {
    let (seen, _) = Channels::look(node);
    let peers = node.list_peers();
    let channels = node.list_channels().into_iter();
    channels
        .map(|channel| {
            let id = channel.counterparty_node_id;
            let is_connected = peers.iter().any(|peer| peer.node_id == id && peer.is_connected);
            let unclaimed = seen.unclaimed_in(&channel.channel_id);
            OwnChannel {
                id: channel.channel_id.to_string(),
                tag: format!("{:032x}", channel.user_channel_id.0),
                peer: id.to_string(),
                address: inner.address_of(node, &id),
                state: state(&channel, is_connected),
                capacity: sat(channel.channel_value_sats),
                ours: seen.ours_in(&channel),
                held: unclaimed,
                kept: sat(channel.unspendable_punishment_reserve.unwrap_or(0)),
                sendable: Msat(channel.next_outbound_htlc_limit_msat),
                receivable: Msat(channel.inbound_capacity_msat),
                room: if channel.is_usable { room(&channel, unclaimed) } else { Room::default() },
                fees: Fees {
                    base: Msat(channel.config.forwarding_fee_base_msat.into()),
                    ppm: channel.config.forwarding_fee_proportional_millionths,
                },
                confirmations: channel.confirmations.unwrap_or(0),
                confirmations_required: channel.confirmations_required.unwrap_or(0),
                opened_by_us: channel.is_outbound,
                announced: channel.is_announced,
                funding: channel.funding_txo.map(|outpoint| outpoint.to_string()),
                delay_blocks: channel.force_close_spend_delay.unwrap_or(0),
            }
        })
        .collect()
}

fn state(channel: &ChannelDetails, is_connected: bool) -> ChannelState {
    match (channel.is_usable, channel.is_channel_ready, is_connected) {
        (true, _, _) => ChannelState::Usable,
        (false, false, _) => ChannelState::Opening,
        (false, true, false) => ChannelState::Offline,
        // Ready, connected, and yet of no use: its end is being negotiated.
        (false, true, true) => ChannelState::Closing,
    }
}

/// How much a channel holds; `unclaimed` is what it carries towards us already.
pub(super) fn room(channel: &ChannelDetails, unclaimed: Msat) -> Room {
    let share = |whole: u64| whole / 100 * RESERVABLE_PERCENT + whole % 100 * RESERVABLE_PERCENT / 100;
    let receivable = channel.inbound_capacity_msat;
    // What the peer does not have it cannot send, whatever may be in flight.
    let most = channel.inbound_htlc_maximum_msat.unwrap_or(channel.channel_value_sats * 100);
    let value = Msat(share(most.min(receivable + unclaimed.0)));
    Room {
        slots: u32::try_from(share(HTLCS_PER_CHANNEL.into())).unwrap_or(u32::MAX),
        value,
        value_free: (value - unclaimed).min(Msat(receivable)),
        dust: Msat(share(match channel.config.max_dust_htlc_exposure {
            MaxDustHTLCExposure::FixedLimit { limit_msat } => limit_msat,
            MaxDustHTLCExposure::FeeRateMultiplier { multiplier } => multiplier * DUST_FEE_RATE_SAT_PER_KW,
        })),
    }
}

/// A channel by its id, or by the beginning of it.
fn find(node: &Node, id: &str) -> Result<ChannelDetails, WalletError> {
    if id.len() < CHANNEL_ID_PREFIX_MIN {
        return Err(WalletError::UnknownChannel);
    }
    let mut found = node.list_channels().into_iter().filter(|channel| channel.channel_id.to_string().starts_with(id));
    match (found.next(), found.next()) {
        (Some(channel), None) => Ok(channel),
        _ => Err(WalletError::UnknownChannel),
    }
}

fn leaving(node: &Node) -> Vec<Leaving> {
    let open: Vec<_> = node.list_channels().into_iter().map(|channel| channel.channel_id).collect();
    let balances = node.list_balances();
    let closed = balances.lightning_balances.iter().filter_map(|balance| match balance {
        LightningBalance::ClaimableOnChannelClose { channel_id, amount_satoshis, .. } => (!open.contains(channel_id))
            .then(|| Leaving { id: Some(channel_id.to_string()), amount: sat(*amount_satoshis), height: None }),
        // Paid to the wallet itself, which counts it already.
        LightningBalance::ClaimableAwaitingConfirmations { source: BalanceSource::CoopClose, .. } => None,
        LightningBalance::ClaimableAwaitingConfirmations {
            channel_id, amount_satoshis, confirmation_height, ..
        } => Some(Leaving {
            id: Some(channel_id.to_string()),
            amount: sat(*amount_satoshis),
            height: Some(*confirmation_height),
        }),
        LightningBalance::ContentiousClaimable { channel_id, amount_satoshis, timeout_height, .. } => Some(Leaving {
            id: Some(channel_id.to_string()),
            amount: sat(*amount_satoshis),
            height: Some(*timeout_height),
        }),
        LightningBalance::CounterpartyRevokedOutputClaimable { channel_id, amount_satoshis, .. } => {
            Some(Leaving { id: Some(channel_id.to_string()), amount: sat(*amount_satoshis), height: None })
        }
        LightningBalance::MaybeTimeoutClaimableHTLC { .. } | LightningBalance::MaybePreimageClaimableHTLC { .. } => {
            None
        }
    });
    let swept = balances.pending_balances_from_channel_closures.iter().filter_map(|sweep| match sweep {
        PendingSweepBalance::PendingBroadcast { channel_id, amount_satoshis }
        | PendingSweepBalance::BroadcastAwaitingConfirmation { channel_id, amount_satoshis, .. } => {
            Some(Leaving { id: channel_id.map(|id| id.to_string()), amount: sat(*amount_satoshis), height: None })
        }
        PendingSweepBalance::AwaitingThresholdConfirmations { .. } => None,
    });
    closed.chain(swept).collect()
}
