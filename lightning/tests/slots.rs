//! How much a channel holds at once.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::Duration;

use common::{SOON, payment_event, runtime, sandbox, until};
use lightning::{CustomerPayment, Event, NewHold};
use lnmp::{Msat, Preimage};

fn secret(n: u32) -> Preimage {
    let mut secret = [0x44; 32];
    secret[..4].copy_from_slice(&n.to_le_bytes());
    Preimage::new(secret)
}

/// Fifty slots, whatever the amount: on an anchor channel 50 payments of dust stay within the dust budget too.
#[test]
fn a_channel_holds_fifty_payments_and_fails_the_next_at_once() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = sandbox(dir.path()).await;
        let wallet = sandbox.wallet();
        let mut first = 0;
        for sat in [10, 100, 1000] {
            let mut locked = Vec::new();
            for n in first..first + 51 {
                let hash = secret(n).hash();
                let hold = NewHold::new(hash, Msat(sat * 1000), Duration::from_secs(3600), "mail 00000000");
                let invoice = wallet.create(hold).await.unwrap();
                match sandbox.customer().pay(&invoice).await {
                    Ok(_) if n < first + 50 => locked.push(hash),
                    Ok(_) => {
                        let state = sandbox.customer().wait(hash, SOON).await.unwrap();
                        assert!(matches!(state, CustomerPayment::Failed { .. }), "the 51st: {state:?}");
                    }
                    Err(error) => assert_eq!(n, first + 50, "payment {n}: {error}"),
                }
            }
            for _ in 0..50 {
                assert!(matches!(payment_event(&*wallet).await, Event::Held { .. }));
                wallet.event_handled().await.unwrap();
            }
            let capacity = wallet.capacity().await.unwrap();
            assert_eq!((capacity.slots_total, capacity.slots_free), (30, 0));
            assert_eq!(wallet.balance().await.unwrap().held, Msat(50 * sat * 1000));
            assert!(!capacity.fits(Msat(sat * 1000), 0, Msat::ZERO, Msat::ZERO));
            for hash in locked {
                wallet.cancel(hash).await.unwrap();
            }
            until("the refunds", || async { (wallet.balance().await.unwrap().held == Msat::ZERO).then_some(()) }).await;
            first += 100;
        }
        let capacity = wallet.capacity().await.unwrap();
        assert_eq!(capacity.dust_free, capacity.dust_total);
        assert!(capacity.fits(Msat(100_000), 29, Msat(2_900_000), Msat(2_900_000)));
        assert!(!capacity.fits(Msat(100_000), 30, Msat(3_000_000), Msat(3_000_000)));
        assert!(!capacity.fits(Msat(600_000_001), 0, Msat::ZERO, Msat::ZERO));
        sandbox.stop().await.unwrap();
    });
}
