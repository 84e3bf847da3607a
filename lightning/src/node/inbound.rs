//! What the channels carry towards us, as the channel monitors know it.

use ldk::chain::channelmonitor::BalanceSource;
use ldk::ln::types::ChannelId;
use ldk_node::{BalanceDetails, ChannelDetails, LightningBalance, Node, PendingSweepBalance};
use lnmp::{Msat, PaymentHash};

use crate::limits::{ANCHORS_SAT, CHANNEL_COST_MAX_SAT};

/// Sums over all channels, and what can be told apart.
#[derive(Debug, Default)]
pub(super) struct Channels {
    /// Payments towards us whose preimage LDK does not know, dust included.
    pub(super) unclaimed: Msat,
    /// Dust towards us that is being claimed; what is not dust counts to the balance already.
    pub(super) claiming: Msat,
    /// Payments towards us by hash; dust has no output, so the monitors cannot name it.
    pub(super) named: Vec<PaymentHash>,
    /// On its way from closed channels to the chain.
    pub(super) closing: Msat,
    /// Payments of ours that have not ended.
    pub(super) sending: Msat,
    /// Each channel's part of its last commitment that is ours.
    pub(super) commitments: Vec<(ChannelId, Msat)>,
    /// [`Channels::unclaimed`], by channel.
    pub(super) by_channel: Vec<(ChannelId, Msat)>,
}

impl Channels {
    pub(super) fn look(node: &Node) -> (Self, BalanceDetails) {
        let balances = node.list_balances();
        let mut seen = Self::default();
        for balance in &balances.lightning_balances {
            match balance {
                LightningBalance::ClaimableOnChannelClose {
                    channel_id,
                    amount_satoshis,
                    inbound_claiming_htlc_rounded_msat,
                    inbound_htlc_rounded_msat,
                    outbound_payment_htlc_rounded_msat,
                    ..
                } => {
                    seen.sending = seen.sending + Msat(*outbound_payment_htlc_rounded_msat);
                    seen.commitments.push((*channel_id, sat(*amount_satoshis)));
                    seen.add_unclaimed(*channel_id, Msat(*inbound_htlc_rounded_msat));
                    seen.claiming = seen.claiming + Msat(*inbound_claiming_htlc_rounded_msat);
                }
                LightningBalance::MaybePreimageClaimableHTLC { channel_id, amount_satoshis, payment_hash, .. } => {
                    seen.add_unclaimed(*channel_id, sat(*amount_satoshis));
                    seen.named.push(PaymentHash(payment_hash.0));
                }
                LightningBalance::ContentiousClaimable { amount_satoshis, payment_hash, .. } => {
                    seen.closing = seen.closing + sat(*amount_satoshis);
                    seen.named.push(PaymentHash(payment_hash.0));
                }
                // Paid to the wallet itself, which counts it already.
                LightningBalance::ClaimableAwaitingConfirmations { source: BalanceSource::CoopClose, .. } => {}
                LightningBalance::ClaimableAwaitingConfirmations { amount_satoshis, .. }
                | LightningBalance::CounterpartyRevokedOutputClaimable { amount_satoshis, .. } => {
                    seen.closing = seen.closing + sat(*amount_satoshis);
                }
                // What we pay: out of our balance until it comes back.
                LightningBalance::MaybeTimeoutClaimableHTLC { amount_satoshis, .. } => {
                    seen.sending = seen.sending + sat(*amount_satoshis);
                }
            }
        }
        for sweep in &balances.pending_balances_from_channel_closures {
            if let PendingSweepBalance::PendingBroadcast { amount_satoshis, .. } = sweep {
                seen.closing = seen.closing + sat(*amount_satoshis);
            }
        }
        (seen, balances)
    }

    /// What of an open channel is ours.
    pub(super) fn ours_in(&self, channel: &ChannelDetails) -> Msat {
        if channel.outbound_capacity_msat > 0 {
            // To the millisatoshi, which the commitment's outputs are not.
            let kept = channel.unspendable_punishment_reserve.unwrap_or(0);
            // The opener's part pays for both anchors; it is theirs again when the channel closes by agreement.
            let anchors = if channel.is_outbound { ANCHORS_SAT } else { 0 };
            return Msat(channel.outbound_capacity_msat) + sat(kept + anchors);
        }
        let ours = self.commitments.iter().find(|(id, _)| *id == channel.channel_id);
        let ours = ours.map_or(Msat::ZERO, |(_, amount)| *amount);
        if ours == Msat::ZERO && !channel.is_outbound && channel.inbound_capacity_msat > 0 {
            // Less than dust has no output of its own: it is what is neither the peer's, who opened it and pays for the
            // anchors, nor on its way to us.
            let kept = channel.counterparty_unspendable_punishment_reserve + ANCHORS_SAT;
            let theirs = Msat(channel.inbound_capacity_msat) + sat(kept);
            return sat(channel.channel_value_sats) - theirs - self.unclaimed_in(&channel.channel_id);
        }
        ours
    }

    /// What is neither in a channel, nor on its way from one, nor surely in the wallet: a funding or closing transaction
    /// that is in no block yet, a sweep that the wallet may not have seen; and what they may cost.
    pub(super) fn moving(&self, node: &Node, balances: &BalanceDetails) -> Msat {
        let cost = sat(CHANNEL_COST_MAX_SAT);
        let open = node.list_channels();
        let mut moving = Msat::ZERO;
        for channel in &open {
            if channel.funding_txo.is_some() && channel.confirmations.unwrap_or(0) == 0 {
                let ours = if channel.is_outbound { sat(channel.channel_value_sats) } else { self.ours_in(channel) };
                moving = moving + ours + cost;
            }
        }
        for (_, amount) in
            self.commitments.iter().filter(|(id, _)| !open.iter().any(|channel| channel.channel_id == *id))
        {
            moving = moving + *amount + cost;
        }
        for sweep in &balances.pending_balances_from_channel_closures {
            if let PendingSweepBalance::BroadcastAwaitingConfirmation { amount_satoshis, .. } = sweep {
                moving = moving + sat(*amount_satoshis) + cost;
            }
        }
        moving
    }

    fn add_unclaimed(&mut self, channel: ChannelId, amount: Msat) {
        self.unclaimed = self.unclaimed + amount;
        match self.by_channel.iter_mut().find(|(id, _)| *id == channel) {
            Some((_, sum)) => *sum = *sum + amount,
            None => self.by_channel.push((channel, amount)),
        }
    }

    /// What one channel carries towards us.
    pub(super) fn unclaimed_in(&self, channel: &ChannelId) -> Msat {
        self.by_channel.iter().find(|(id, _)| id == channel).map_or(Msat::ZERO, |(_, amount)| *amount)
    }
}

pub(super) fn sat(sat: u64) -> Msat {
    Msat::from_sat(sat).unwrap_or(Msat(u64::MAX))
}
