//! What the chain does to a payment that is held: a reorganisation, and a deadline that passes while nobody runs.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::ScriptBuf;
use common::{SOON, held, hold, preimage, runtime, sandbox, settled, until};
use lightning::sandbox::chain::Chain;
use lightning::{CustomerPayment, Event, HoldStatus};
use lnmp::Msat;

#[test]
fn a_reorganisation_while_payments_are_held_changes_nothing_and_their_deadline_counts_the_new_blocks() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = sandbox(dir.path()).await;
        let wallet = sandbox.wallet();
        let mut holds = Vec::new();
        for n in 1..=3 {
            let invoice = wallet.create(hold(n, 100)).await.unwrap();
            sandbox.customer().pay_tightly(&invoice).await.unwrap();
            let (amount, deadline_height) = held(&*wallet, preimage(n).hash()).await;
            holds.push((preimage(n), HoldStatus::Held { deadline_height, amount }));
        }
        let [(accepted, there), (declined, _), (alone, _)] = &holds[..] else { panic!("three") };
        let HoldStatus::Held { deadline_height, amount } = *there else { panic!("held") };

        // Three blocks, which the payments came in, are replaced by four.
        sandbox.mine(3).await.unwrap();
        let height = sandbox.chain().height();
        sandbox.chain().rewind(3).unwrap();
        assert_eq!(sandbox.mine(4).await.unwrap(), height + 1);
        for (preimage, there) in &holds {
            assert_eq!(wallet.lookup(preimage.hash()).await.unwrap(), *there);
        }
        wallet.settle(accepted.hash(), amount, accepted).await.unwrap();
        assert_eq!(settled(&*wallet, accepted.hash()).await, amount);
        wallet.cancel(declined.hash()).await.unwrap();
        let state = sandbox.customer().wait(accepted.hash(), SOON).await.unwrap();
        assert_eq!(state, CustomerPayment::Succeeded { fee: Msat::ZERO });

        // The last block before the deadline is replaced by two: it has passed now.
        sandbox.mine(deadline_height - 1 - sandbox.chain().height()).await.unwrap();
        assert!(matches!(wallet.lookup(alone.hash()).await.unwrap(), HoldStatus::Held { .. }));
        sandbox.chain().rewind(1).unwrap();
        assert_eq!(sandbox.mine(3).await.unwrap(), deadline_height + 1);
        assert_eq!(wallet.lookup(alone.hash()).await.unwrap(), HoldStatus::Cancelled);
        let state = sandbox.customer().wait(alone.hash(), SOON).await.unwrap();
        assert!(matches!(state, CustomerPayment::Failed { .. }), "{state:?}");
        assert_eq!(wallet.ready_event().await.filter(|event| *event != Event::Other), None, "nobody tells");

        // And the chain goes back once more, below a deadline that was acted on: what ended has ended.
        sandbox.chain().rewind(3).unwrap();
        sandbox.mine(4).await.unwrap();
        for (preimage, end) in
            [(accepted, HoldStatus::Settled), (declined, HoldStatus::Cancelled), (alone, HoldStatus::Cancelled)]
        {
            assert_eq!(wallet.lookup(preimage.hash()).await.unwrap(), end);
        }
        until("nothing is locked", || async { (wallet.balance().await.unwrap().held == Msat::ZERO).then_some(()) })
            .await;
        assert!(wallet.channels().await.unwrap().iter().all(|channel| channel.usable));
        sandbox.stop().await.unwrap();
    });
}

#[test]
fn a_deadline_that_passes_while_the_node_is_stopped_returns_the_payment_at_its_start() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = sandbox(dir.path()).await;
        let wallet = sandbox.wallet();
        let start = sandbox.customer().balance().await.unwrap().channel;
        let mut deadline = 0;
        for n in 1..=2 {
            let invoice = wallet.create(hold(n, 1000)).await.unwrap();
            sandbox.customer().pay_tightly(&invoice).await.unwrap();
            deadline = held(&*wallet, preimage(n).hash()).await.1;
        }
        sandbox.stop().await.unwrap();
        drop((sandbox, wallet));
        {
            let chain = Chain::open(&dir.path().join("chain.log"), ScriptBuf::new()).unwrap();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            // Past the deadline, and before the HTLCs' own end.
            chain.mine(deadline + 10 - chain.height(), u32::try_from(now).unwrap()).unwrap();
        }
        let sandbox = self::sandbox(dir.path()).await;
        let wallet = sandbox.wallet();
        for n in 1..=2 {
            let hash = preimage(n).hash();
            assert_eq!(wallet.lookup(hash).await.unwrap(), HoldStatus::Cancelled);
            let late = wallet.settle(hash, Msat(1_000_000), &preimage(n)).await;
            assert!(matches!(late, Err(lightning::WalletError::TooLate { .. })), "{late:?}");
            let state = sandbox.customer().wait(hash, SOON).await.unwrap();
            assert!(matches!(state, CustomerPayment::Failed { .. }), "{state:?}");
        }
        until("the money is back", || async {
            (sandbox.customer().balance().await.unwrap().channel == start).then_some(())
        })
        .await;
        assert_eq!(wallet.ready_event().await.filter(|event| *event != Event::Other), None, "nobody tells");
        let channels = wallet.channels().await.unwrap();
        assert!(channels.len() == 1 && channels[0].usable, "{channels:?}");
        sandbox.stop().await.unwrap();
    });
}
