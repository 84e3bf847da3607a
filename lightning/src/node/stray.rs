//! Returns payments that nobody knows of.
//!
//! ldk-node 0.7.1 serialises its event queue and writes it in two steps, so a kill can lose an event that came while
//! another was being handled: a payment is locked then, and no hold knows it. When a channel carries the same unknown
//! amount for a while and no event comes, whatever is locked under a hash that is not held is failed back. Its invoice
//! stays good: who pays again is heard.

use std::sync::{Arc, Weak};

use ldk::types::payment::PaymentHash as LdkHash;
use ldk_node::Node;
use ldk_node::payment::{PaymentDirection, PaymentKind, PaymentStatus};
use lnmp::{Msat, PaymentHash};
use tokio::time::sleep;

use super::holds::State;
use super::inbound::Channels;
use super::wallet::{held, register};
use super::{Inner, LdkNode};
use crate::WalletError;
use crate::limits::{EXPIRY_MIN, STRAY_LOOK_EVERY, STRAY_LOOKS};

/// Looks after strays until the node stops.
pub(super) async fn watch(inner: Weak<Inner>) {
    let (mut same, mut looks) = (Msat::ZERO, 0);
    loop {
        sleep(STRAY_LOOK_EVERY).await;
        let Some(inner) = inner.upgrade() else { return };
        let node = LdkNode { inner: Arc::clone(&inner) };
        drop(inner);
        match node.call(|node, inner| Ok(unexplained(node, inner))).await {
            Ok(amount) => {
                looks = if amount == Msat::ZERO || amount != same { 0 } else { looks + 1 };
                same = amount;
            }
            Err(WalletError::NotRunning) => return,
            Err(_) => continue,
        }
        if looks >= STRAY_LOOKS {
            looks = 0;
            match node.call(fail_strays).await {
                Ok(()) => tracing::warn!(msat = same.0, "lightning: returned a payment no hold knows"),
                Err(error) => tracing::warn!(%error, "lightning: a payment no hold knows could not be returned"),
            }
        }
    }
}

/// What is locked towards us and neither held nor about to be told.
fn unexplained(node: &Node, inner: &Inner) -> Msat {
    if node.next_event().is_some() {
        return Msat::ZERO;
    }
    let known = held(node, inner).into_iter().filter(|payment| !payment.claiming);
    Channels::look(node).0.unclaimed - known.fold(Msat::ZERO, |sum, payment| sum + payment.amount)
}

fn fail_strays(node: &Node, inner: &Inner) -> Result<(), WalletError> {
    let open = node.list_payments_with_filter(|payment| {
        payment.direction == PaymentDirection::Inbound && payment.status != PaymentStatus::Succeeded
    });
    for payment in open {
        let PaymentKind::Bolt11 { hash: LdkHash(hash), preimage: None, .. } = payment.kind else { continue };
        let hold = inner.holds().get(PaymentHash(hash));
        if hold.is_some_and(|hold| matches!(hold.state, State::Held | State::Claiming(_))) {
            continue;
        }
        node.bolt11_payment().fail_for_hash(LdkHash(hash))?;
        if payment.status == PaymentStatus::Pending {
            // To ldk-node it failed now; to us it is as open as before.
            register(node, PaymentHash(hash), Msat(payment.amount_msat.unwrap_or(1000)), "mail", EXPIRY_MIN)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lnmp::Preimage;

    use super::super::holds::Hold;
    use super::*;
    use crate::limits::PAY_WITHIN;
    use crate::sandbox::Sandbox;
    use crate::{CustomerPayment, Event, HoldStatus, NewHold, Wallet};

    #[test]
    fn a_payment_whose_event_was_lost_goes_back_and_its_invoice_stays_good() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let sandbox = Sandbox::start(dir.path(), &[1; 32]).await.unwrap();
            let bridge = sandbox.bridge();
            let hash = Preimage::new([3; 32]).hash();
            let hold = NewHold::new(hash, Msat(100_000), Duration::from_secs(3600), "mail 0");
            let invoice = bridge.create(hold).await.unwrap();
            sandbox.customer().pay(&invoice).await.unwrap();
            while bridge.next_event().await == Event::Other {
                bridge.event_handled().await.unwrap();
            }
            // The event is lost: handled, and nothing remembers it.
            bridge.event_handled().await.unwrap();
            let gone = Hold { state: State::Gone, amount: Msat(100_000), deadline_height: 0 };
            bridge.call(move |_, inner| inner.holds().set(hash, gone)).await.unwrap();
            let state = sandbox.customer().wait(hash, PAY_WITHIN).await.unwrap();
            assert!(matches!(state, CustomerPayment::Failed { .. }), "{state:?}");
            assert_eq!(bridge.lookup(hash).await.unwrap(), HoldStatus::Open);
            sandbox.customer().pay(&invoice).await.unwrap();
            assert!(matches!(bridge.next_event().await, Event::Held { .. }));
            sandbox.stop().await.unwrap();
        });
    }
}
