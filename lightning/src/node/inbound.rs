//! What the channels carry towards us, as the channel monitors know it.

use ldk::ln::types::ChannelId;
use ldk_node::LightningBalance;
use ldk_node::Node;
use lnmp::{Msat, PaymentHash};

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
    pub(super) fn look(node: &Node) -> (Self, ldk_node::BalanceDetails) {
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
        (seen, balances)
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
