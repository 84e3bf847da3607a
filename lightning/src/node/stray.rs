//! Returns payments that nobody knows of.
//!
//! ldk-node 0.7.1 serialises its event queue and writes it in two steps, so a kill can lose an event that came while
//! another was being handled: a payment is locked then, and no hold knows it. When a channel carries the same unknown
//! amount for a while and no event comes, whatever is locked under a hash that is not held is failed back. Its invoice
//! stays good: who pays again is heard.
//!
//! What is there soon after the node's start is such a payment, most likely. What comes later is more likely the first
//! part of a payment whose other parts are on their way, and they have their time.

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
use crate::limits::{EXPIRY_MIN, STRAY_LOOK_EVERY, STRAY_LOOKS, STRAY_PARTS_LOOKS, STRAY_START_LOOKS};

/// Looks after strays until the node stops.
pub(super) async fn watch(inner: Weak<Inner>) {
    let mut looks = Looks::default();
    loop {
        sleep(STRAY_LOOK_EVERY).await;
        let Some(inner) = inner.upgrade() else { return };
        let node = LdkNode { inner: Arc::clone(&inner) };
        drop(inner);
        let amount = match node.call(|node, inner| Ok(unexplained(node, inner))).await {
            Ok(amount) => amount,
            Err(WalletError::NotRunning) => return,
            Err(_) => continue,
        };
        if looks.see(amount) {
            match node.call(fail_strays).await {
                Ok(()) => tracing::warn!(msat = amount.0, "lightning: returned a payment no hold knows"),
                Err(error) => tracing::warn!(%error, "lightning: a payment no hold knows could not be returned"),
            }
        }
    }
}

/// How long the same has been locked without anybody knowing why.
#[derive(Debug, Default)]
struct Looks {
    same: Msat,
    count: u32,
    total: u32,
    /// It came when the node had been running for a while.
    came_later: bool,
}

impl Looks {
    /// One more look; whether what is there goes back now.
    fn see(&mut self, amount: Msat) -> bool {
        self.total = self.total.saturating_add(1);
        if amount != self.same {
            (self.same, self.count, self.came_later) = (amount, 0, self.total > STRAY_START_LOOKS);
        } else if amount != Msat::ZERO {
            self.count += 1;
        }
        let enough = if self.came_later { STRAY_PARTS_LOOKS } else { STRAY_LOOKS };
        let goes_back = self.count >= enough;
        if goes_back {
            self.count = 0;
        }
        goes_back
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

    /// The first look, counted from 1, at which the last of `amounts` (which stays) goes back.
    fn goes_back_at(amounts: &[u64]) -> usize {
        let mut looks = Looks::default();
        let amounts = amounts.iter().chain(std::iter::repeat(amounts.last().unwrap()));
        1 + amounts.take(1000).position(|amount| looks.see(Msat(*amount))).unwrap()
    }

    #[test]
    fn what_a_start_finds_goes_back_soon_and_parts_have_their_minute() {
        let (soon, later, start) = (STRAY_LOOKS as usize, STRAY_PARTS_LOOKS as usize, STRAY_START_LOOKS as usize);
        assert_eq!(goes_back_at(&[7]), 1 + soon);
        // Events that wait at the start hide it for a moment.
        assert_eq!(goes_back_at(&[0, 0, 7]), 3 + soon);
        let late = [&vec![0; start][..], &[7]].concat();
        assert_eq!(goes_back_at(&late), start + 1 + later);
        let second = [&late[..], &[7, 7, 7, 9]].concat();
        assert_eq!(goes_back_at(&second), start + 5 + later, "another part begins anew");
        assert!(STRAY_LOOK_EVERY * (STRAY_PARTS_LOOKS - 1) >= Duration::from_secs(60));
        let mut looks = Looks::default();
        assert!((0..1000).all(|_| !looks.see(Msat::ZERO)));
    }

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
            sandbox.stop().await.unwrap();
            drop(sandbox);
            let sandbox = Sandbox::start(dir.path(), &[1; 32]).await.unwrap();
            let bridge = sandbox.bridge();
            let state = sandbox.customer().wait(hash, PAY_WITHIN).await.unwrap();
            assert!(matches!(state, CustomerPayment::Failed { .. }), "{state:?}");
            assert_eq!(bridge.lookup(hash).await.unwrap(), HoldStatus::Open);
            sandbox.customer().pay(&invoice).await.unwrap();
            assert!(matches!(bridge.next_event().await, Event::Held { .. }));
            sandbox.stop().await.unwrap();
        });
    }
}
