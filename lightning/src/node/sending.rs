//! Payments of ours, and what a kill leaves of them.
//!
//! ```text
//!   LDK takes it (memory) ─▶ ldk-node's note (disk) ─▶ LDK's channel manager (disk) ─▶ the peer hears of it
//!                                  └─ killed here: a note of a payment that was never made
//! ```
//! The order is kept: a manager is not written while a payment stands between LDK and its note. So a payment that LDK
//! remembers has a note, and a note without a trace in LDK's state is of a payment that never was: it is removed at the
//! next start, and the same invoice may be paid again. LDK's state holds the hash of whatever it pays in the clear, in the
//! manager and in the channels' monitors, until ldk-node has noted how the payment ended.

use std::collections::HashSet;

use ldk::ln::channelmanager::PaymentId;
use ldk::routing::router::RouteParametersConfig;
use ldk_node::Node;
use ldk_node::payment::{PaymentDetails, PaymentDirection, PaymentKind, PaymentStatus};
use lightning_invoice::Bolt11Invoice;
use lnmp::PaymentHash;

use super::Inner;
use super::store::Traces;
use crate::WalletError;

/// Begins a payment. When this returns it is noted, but LDK may not have written it yet; `noted` runs when it cannot have.
pub(crate) fn send(
    node: &Node,
    inner: &Inner,
    invoice: &Bolt11Invoice,
    route: Option<RouteParametersConfig>,
    noted: impl FnOnce(),
) -> Result<PaymentHash, WalletError> {
    let _turn = inner.sending.blocking_lock();
    let id = node.bolt11_payment().send(invoice, route)?;
    noted();
    Ok(PaymentHash(id.0))
}

/// Removes the notes of payments that LDK knows nothing of. Only before the node starts: what it does then is in memory
/// first.
pub(super) fn forget_unsent(node: &Node, traces: &Traces) -> Result<(), WalletError> {
    let pending = |payment: &&PaymentDetails| {
        payment.direction == PaymentDirection::Outbound
            && payment.status == PaymentStatus::Pending
            && matches!(payment.kind, PaymentKind::Bolt11 { .. })
    };
    // ldk-node's id of a BOLT 11 payment is its hash.
    let mut unsent: HashSet<[u8; 32]> =
        node.list_payments_with_filter(|payment| pending(payment)).iter().map(|payment| payment.id.0).collect();
    if unsent.is_empty() {
        return Ok(());
    }
    traces.strike(&mut unsent).map_err(|error| WalletError::Disk(error.to_string()))?;
    for id in unsent {
        tracing::info!("lightning: a payment was noted but never sent before the last stop; it may be made again");
        node.remove_payment(&PaymentId(id))?;
    }
    Ok(())
}
