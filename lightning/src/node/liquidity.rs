//! Channels from others and for others: LSPS1 (bLIP-51) and LSPS2 (bLIP-52), as ldk-node speaks them.
//!
//! A hold is never asked for over a channel that is still to be opened: LSPS2's provider opens it for the payment and
//! takes its fee from it, so a mail that is declined would have it open channels for nothing, and what a mail costs is far
//! below what a provider opens one for. The first channel comes with an ordinary receive.

use std::net::SocketAddr;

use bitcoin::hashes::Hash;
use ldk::ln::channelmanager::PaymentId;
use ldk_node::lightning_liquidity::lsps1::msgs::{LSPS1OrderId, LSPS1PaymentState};
use ldk_node::liquidity::{LSPS1OrderStatus, LSPS2ServiceConfig};
use ldk_node::payment::PaymentKind;
use ldk_node::{Builder, Node, NodeError};
use lnmp::Msat;
use zeroize::Zeroizing;

use super::Inner;
use super::peers::{PeerAddress, Peers};
use super::wallet::{described, secs};
use crate::WalletError;
use crate::channels::{FirstInvoice, FirstReceive, NewOrder, Order};
use crate::limits::{SERVICE_LIFETIME_BLOCKS, SERVICE_OVER_PPM, SERVICE_SELF_DELAY_MAX};

/// Where channels come from, and who gets some from us.
#[derive(Clone, Default)]
pub struct Liquidity {
    /// Who opens channels to us for money.
    pub provider: Option<Provider>,
    /// On what terms we do; none: we do not.
    pub service: Option<Service>,
}

/// Who opens channels to us for money. Its channels are used before their funding is confirmed: it is trusted that far.
#[derive(Clone)]
pub struct Provider {
    /// Its node id, 66 hex digits.
    pub node_id: String,
    /// `HOST:PORT`.
    pub address: String,
    /// What it knows us by.
    pub token: Option<Zeroizing<String>>,
}

/// On what terms channels are opened for others.
#[derive(Clone)]
pub struct Service {
    /// Least fee for a channel.
    pub fee_min: Msat,
    /// Fee per million of the first payment.
    pub fee_ppm: u32,
    /// Smallest first payment.
    pub payment_min: Msat,
    /// Largest first payment: with what is added to it, it bounds what one channel takes of our coins.
    pub payment_max: Msat,
    /// What clients must say to be served.
    pub token: Option<Zeroizing<String>>,
}

/// Tells the builder; `way_out` gives the local address that leads to a peer's. Whether there is a provider: one whose
/// name is not found now is none until the next start, and mail goes on without it.
pub(super) fn configure(
    builder: &mut Builder,
    liquidity: &Liquidity,
    peers: &mut Peers,
    way_out: impl FnOnce(SocketAddr) -> Result<SocketAddr, WalletError>,
) -> Result<bool, WalletError> {
    let mut is_there = false;
    if let Some(provider) = &liquidity.provider {
        let peer = PeerAddress::parse(&provider.node_id, &provider.address)?;
        peers.remember(&peer)?;
        match peer.resolve() {
            Ok(address) => {
                let (way, token) = (way_out(address)?, provider.token.as_ref().map(|token| token.to_string()));
                builder.set_liquidity_source_lsps1(peer.node_id, way.into(), token.clone());
                builder.set_liquidity_source_lsps2(peer.node_id, way.into(), token);
                is_there = true;
            }
            Err(_) => tracing::warn!("lightning: the address of [channels] lsp is not found; it is left out"),
        }
    }
    if let Some(service) = &liquidity.service {
        builder.set_liquidity_provider_lsps2(LSPS2ServiceConfig {
            require_token: service.token.as_ref().map(|token| token.to_string()),
            advertise_service: false,
            channel_opening_fee_ppm: service.fee_ppm,
            channel_over_provisioning_ppm: SERVICE_OVER_PPM,
            min_channel_opening_fee_msat: service.fee_min.0,
            min_channel_lifetime: SERVICE_LIFETIME_BLOCKS,
            max_client_to_self_delay: SERVICE_SELF_DELAY_MAX,
            min_payment_size_msat: service.payment_min.0,
            max_payment_size_msat: service.payment_max.0,
            // We open for a payment that is locked at us, and trust that the client takes it.
            client_trusts_lsp: false,
        });
    }
    Ok(is_there)
}

fn configured(inner: &Inner) -> Result<(), WalletError> {
    if inner.provider { Ok(()) } else { Err(WalletError::NoProvider) }
}

pub(super) fn receive_first(node: &Node, inner: &Inner, new: &FirstReceive) -> Result<FirstInvoice, WalletError> {
    configured(inner)?;
    let description = described(&new.description)?;
    let fee_max = new.fee_max.map(|fee| fee.0);
    let received = node.bolt11_payment().receive_via_jit_channel(new.amount.0, &description, secs(new.expiry), fee_max);
    let invoice = received.map_err(refused)?;
    let id = PaymentId(invoice.payment_hash().to_byte_array());
    let fee = match node.payment(&id).map(|payment| payment.kind) {
        Some(PaymentKind::Bolt11Jit { lsp_fee_limits, .. }) => lsp_fee_limits.max_total_opening_fee_msat,
        _ => None,
    };
    let fee = fee.ok_or_else(|| WalletError::Bug("a receive without the provider's fee".into()))?;
    Ok(FirstInvoice { bolt11: invoice.to_string(), fee: Msat(fee) })
}

pub(super) fn order(node: &Node, inner: &Inner, new: NewOrder) -> Result<Order, WalletError> {
    configured(inner)?;
    let liquidity = node.lsps1_liquidity();
    let ordered = liquidity.request_channel(new.capacity_sat, 0, new.expiry_blocks, false);
    Ok(as_order(ordered.map_err(refused)?))
}

pub(super) fn order_status(node: &Node, inner: &Inner, id: String) -> Result<Order, WalletError> {
    configured(inner)?;
    Ok(as_order(node.lsps1_liquidity().check_order_status(LSPS1OrderId(id)).map_err(refused)?))
}

fn as_order(order: LSPS1OrderStatus) -> Order {
    let payment = order.payment_options.bolt11;
    Order {
        id: order.order_id.0,
        capacity_sat: order.order_params.lsp_balance_sat,
        expiry_blocks: order.order_params.channel_expiry_blocks,
        invoice: payment.as_ref().map(|payment| payment.invoice.to_string()),
        price_sat: payment.as_ref().map_or(0, |payment| payment.order_total_sat),
        fee_sat: payment.as_ref().map_or(0, |payment| payment.fee_total_sat),
        payment: payment
            .map_or("none", |payment| match payment.state {
                LSPS1PaymentState::ExpectPayment => "expected",
                LSPS1PaymentState::Paid => "paid",
                LSPS1PaymentState::Refunded => "refunded",
            })
            .to_owned(),
        funding: order.channel_state.map(|channel| channel.funding_outpoint.to_string()),
    }
}

fn refused(error: NodeError) -> WalletError {
    match error {
        NodeError::LiquiditySourceUnavailable => WalletError::NoProvider,
        NodeError::LiquidityRequestFailed => {
            WalletError::Provider("it does not answer, or does not sell a channel of this size")
        }
        NodeError::LiquidityFeeTooHigh => WalletError::Provider("it asks more than --fee-max-sat allows"),
        NodeError::ConnectionFailed => WalletError::Provider("it cannot be reached"),
        other => other.into(),
    }
}
