//! Two real LDK nodes over the sandbox's chain.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::{Duration, Instant};

use common::{KEY, SOON, held, hold, preimage, runtime, sandbox, settled, until};
use lightning::sandbox::chain::ChainError;
use lightning::{CustomerPayment, HoldStatus, Sandbox, SandboxError, WalletError};
use lnmp::Msat;

#[test]
fn a_fresh_sandbox_holds_settles_refunds_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let began = Instant::now();
        let sandbox = sandbox(dir.path()).await;
        println!("FIGURE fresh start to ready: {:?}", began.elapsed());
        let wallet = sandbox.wallet();
        let start = sandbox.customer().balance().await.unwrap();
        let bridge_start = wallet.balance().await.unwrap();
        assert_eq!(bridge_start.channel, Msat(2_000_000_000), "what the customer pushed, to the millisatoshi");

        // Held, then settled.
        let invoice = wallet.create(hold(1, 100)).await.unwrap();
        assert_eq!(wallet.lookup(preimage(1).hash()).await.unwrap(), HoldStatus::Open);
        let began = Instant::now();
        sandbox.customer().pay(&invoice).await.unwrap();
        let (amount, deadline) = held(&*wallet, preimage(1).hash()).await;
        println!("FIGURE payment to held: {:?}", began.elapsed());
        assert_eq!(amount, Msat(100_000));
        let height = sandbox.chain().height();
        assert!(deadline >= height + 205, "c = 244 leaves a day: {} blocks", deadline - height);
        assert_eq!(
            wallet.lookup(preimage(1).hash()).await.unwrap(),
            HoldStatus::Held { deadline_height: deadline, amount }
        );
        let inbound = wallet.inbound().await.unwrap();
        assert_eq!((inbound.held.len(), inbound.unexplained), (1, Msat::ZERO));
        let began = Instant::now();
        wallet.settle(preimage(1).hash(), amount, &preimage(1)).await.unwrap();
        let paid = sandbox.customer().wait(preimage(1).hash(), SOON).await.unwrap();
        println!("FIGURE claim to the payer's success: {:?}", began.elapsed());
        assert_eq!(paid, CustomerPayment::Succeeded { fee: Msat::ZERO });
        assert_eq!(settled(&*wallet, preimage(1).hash()).await, amount);
        assert_eq!(wallet.lookup(preimage(1).hash()).await.unwrap(), HoldStatus::Settled);
        wallet.settle(preimage(1).hash(), amount, &preimage(1)).await.unwrap();
        assert!(matches!(wallet.cancel(preimage(1).hash()).await, Err(WalletError::AlreadyClaimed)));

        // Held, then cancelled, then paid again, then cancelled again.
        let invoice = wallet.create(hold(2, 1000)).await.unwrap();
        for _ in 0..2 {
            sandbox.customer().pay(&invoice).await.unwrap();
            held(&*wallet, preimage(2).hash()).await;
            let began = Instant::now();
            wallet.cancel(preimage(2).hash()).await.unwrap();
            let CustomerPayment::Failed { reason } = sandbox.customer().wait(preimage(2).hash(), SOON).await.unwrap()
            else {
                panic!("refunded")
            };
            println!("FIGURE cancel to the payer's refund: {:?}", began.elapsed());
            assert!(began.elapsed() < Duration::from_secs(1));
            assert_eq!(reason, "RecipientRejected");
            assert_eq!(wallet.lookup(preimage(2).hash()).await.unwrap(), HoldStatus::Cancelled);
        }
        let refused = wallet.settle(preimage(2).hash(), Msat(1_000_000), &preimage(2)).await;
        assert!(matches!(refused, Err(WalletError::AlreadyCancelled)));

        // Nothing but the settled payment changed hands.
        until("the balance", || async {
            let now = sandbox.customer().balance().await.unwrap();
            (now.channel == start.channel - Msat(100_000)).then_some(())
        })
        .await;
        until("the bridge's balance", || async {
            let now = wallet.balance().await.unwrap();
            (now.channel == bridge_start.channel + Msat(100_000) && now.held == Msat::ZERO).then_some(())
        })
        .await;

        // Held over a restart.
        let invoice = wallet.create(hold(3, 300)).await.unwrap();
        sandbox.customer().pay(&invoice).await.unwrap();
        let (amount, deadline) = held(&*wallet, preimage(3).hash()).await;
        let began = Instant::now();
        sandbox.stop().await.unwrap();
        println!("FIGURE stop: {:?}", began.elapsed());
        assert!(matches!(wallet.balance().await, Err(WalletError::NotRunning)));
        drop((sandbox, wallet));
        let began = Instant::now();
        let sandbox = self::sandbox(dir.path()).await;
        println!("FIGURE restart to ready: {:?}", began.elapsed());
        let wallet = sandbox.wallet();
        let there = HoldStatus::Held { deadline_height: deadline, amount };
        assert_eq!(wallet.lookup(preimage(3).hash()).await.unwrap(), there);
        wallet.settle(preimage(3).hash(), amount, &preimage(3)).await.unwrap();
        assert_eq!(settled(&*wallet, preimage(3).hash()).await, amount);
        let paid = sandbox.customer().wait(preimage(3).hash(), SOON).await.unwrap();
        assert_eq!(paid, CustomerPayment::Succeeded { fee: Msat::ZERO });
        sandbox.stop().await.unwrap();
    });
}

#[test]
fn a_tight_payer_leaves_the_whole_window_and_the_deadline_ends_the_hold() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = sandbox(dir.path()).await;
        let wallet = sandbox.wallet();
        let invoice = wallet.create(hold(1, 100)).await.unwrap();
        let hash = sandbox.customer().pay_tightly(&invoice).await.unwrap();
        let (amount, deadline) = held(&*wallet, hash).await;
        let height = sandbox.chain().height();
        assert!((205..=208).contains(&(deadline - height)), "{} blocks to hold", deadline - height);

        let began = Instant::now();
        assert_eq!(sandbox.mine(deadline - height - 1).await.unwrap(), deadline - 1);
        println!("FIGURE {} blocks: {:?}", deadline - height - 1, began.elapsed());
        let there = HoldStatus::Held { deadline_height: deadline, amount };
        assert_eq!(wallet.lookup(hash).await.unwrap(), there);
        let chain = wallet.chain().await.unwrap();
        assert!(chain.fresh && chain.height == deadline - 1, "{chain:?}");
        sandbox.mine(1).await.unwrap();
        assert_eq!(wallet.lookup(hash).await.unwrap(), HoldStatus::Cancelled);
        let refused = wallet.settle(hash, amount, &preimage(1)).await;
        assert!(matches!(refused, Err(WalletError::TooLate { .. })), "{refused:?}");
        let state = sandbox.customer().wait(hash, SOON).await.unwrap();
        assert!(matches!(state, CustomerPayment::Failed { .. }), "{state:?}");
        assert_eq!(wallet.inbound().await.unwrap().held, Vec::new());
        sandbox.stop().await.unwrap();
    });
}

#[test]
fn the_customer_alone_may_go_away_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = sandbox(dir.path()).await;
        let wallet = sandbox.wallet();
        let invoice = wallet.create(hold(1, 100)).await.unwrap();
        assert_eq!(sandbox.pay(&invoice).await.unwrap(), CustomerPayment::Locked);
        let (amount, _) = held(&*wallet, preimage(1).hash()).await;
        sandbox.customer().stop().await.unwrap();
        until("the bridge's loss of its peer", || async {
            (wallet.capacity().await.unwrap().channels == 0).then_some(())
        })
        .await;
        // The claim waits for the peer.
        wallet.settle(preimage(1).hash(), amount, &preimage(1)).await.unwrap();
        assert!(matches!(sandbox.customer().balance().await, Err(SandboxError::NoCustomer)));
        sandbox.customer().start().await.unwrap();
        let state = sandbox.customer().wait(preimage(1).hash(), SOON).await.unwrap();
        assert_eq!(state, CustomerPayment::Succeeded { fee: Msat::ZERO });
        settled(&*wallet, preimage(1).hash()).await;
        let capacity = wallet.capacity().await.unwrap();
        assert_eq!((capacity.channels, capacity.slots_total, capacity.slots_free), (1, 30, 30));
        // 10 % of the channel may be in flight, 60 % of that reserved.
        assert_eq!(capacity.value_total, Msat(600_000_000));
        assert_eq!(capacity.dust_below, Msat(354_000));

        // The bridge pays out.
        let invoice = sandbox.customer().invoice(Msat(50_000), "payout").await.unwrap();
        let paid = wallet.pay(&invoice).await.unwrap();
        assert_eq!(paid, lightning::Paid::Succeeded { fee: Msat::ZERO });
        assert!(matches!(wallet.pay(&invoice).await, Err(WalletError::AlreadyPaid)));
        let ours = wallet.invoice(Msat(70_000), "top-up".into(), Duration::from_secs(3600)).await.unwrap();
        sandbox.customer().pay(&ours).await.unwrap();
        assert!(matches!(
            common::payment_event(&*wallet).await,
            lightning::Event::Settled { amount: Msat(70_000), .. }
        ));
        sandbox.stop().await.unwrap();
    });
}

#[test]
fn three_channels_hold_more_than_one_does_and_all_come_back() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = sandbox(dir.path()).await;
        assert!(matches!(sandbox.open_channel(99_999).await, Err(SandboxError::Capacity(99_999))));
        let began = Instant::now();
        let first = sandbox.open_channel(1_000_000).await.unwrap();
        println!("FIGURE one more channel: {:?}", began.elapsed());
        assert_ne!(sandbox.open_channel(2_000_000).await.unwrap(), first);
        let wallet = sandbox.wallet();
        let room = wallet.capacity().await.unwrap();
        assert_eq!((room.channels, room.slots_total, room.slots_free), (3, 90, 90));
        // Of each 10 % may be in flight, 60 % of that is reserved for holds.
        assert_eq!(room.value_total, Msat((600_000 + 60_000 + 120_000) * 1000));
        assert_eq!(room.inbound_free, room.value_total);
        assert_eq!(room.dust_free, room.dust_total);
        assert_eq!(wallet.balance().await.unwrap().channel, Msat(2_000_000_000), "the new ones are the customer's");

        // Less than dust, in a channel that was all the customer's: counted as well.
        for n in 201..=203 {
            let invoice = wallet.create(hold(n, 100)).await.unwrap();
            sandbox.customer().pay(&invoice).await.unwrap();
            let (amount, _) = held(&*wallet, preimage(n).hash()).await;
            wallet.settle(preimage(n).hash(), amount, &preimage(n)).await.unwrap();
            settled(&*wallet, preimage(n).hash()).await;
            let expected = Msat(2_000_000_000 + u64::from(n - 200) * 100_000);
            until("the balance", || async { (wallet.balance().await.unwrap().channel == expected).then_some(()) })
                .await;
        }

        // One channel holds fifty: the others find room.
        let count = 55;
        for n in 1..=count {
            let invoice = wallet.create(hold(n, 10)).await.unwrap();
            sandbox.customer().pay(&invoice).await.unwrap();
        }
        for _ in 1..=count {
            assert!(matches!(common::payment_event(&*wallet).await, lightning::Event::Held { .. }));
            wallet.event_handled().await.unwrap();
        }
        let full = wallet.capacity().await.unwrap();
        assert_eq!(full.slots_free, 90 - u32::from(count));
        assert_eq!(full.dust_free, room.dust_total - Msat(u64::from(count) * 10_000));
        assert_eq!(full.inbound_free, room.inbound_free - Msat(u64::from(count) * 10_000));
        // A payment that only the largest channel carries.
        let invoice = wallet.create(hold(100, 700_000)).await.unwrap();
        sandbox.customer().pay(&invoice).await.unwrap();
        let (amount, _) = held(&*wallet, preimage(100).hash()).await;
        wallet.settle(preimage(100).hash(), amount, &preimage(100)).await.unwrap();
        settled(&*wallet, preimage(100).hash()).await;

        sandbox.stop().await.unwrap();
        drop((sandbox, wallet));
        let began = Instant::now();
        let sandbox = self::sandbox(dir.path()).await;
        println!("FIGURE restart with three channels to ready: {:?}", began.elapsed());
        let wallet = sandbox.wallet();
        let back = wallet.capacity().await.unwrap();
        assert_eq!((back.channels, back.slots_free), (3, 90 - u32::from(count)));
        assert_eq!(wallet.inbound().await.unwrap().held.len(), usize::from(count));
        for n in 1..=count {
            wallet.cancel(preimage(n).hash()).await.unwrap();
        }
        until("the refunds", || async { (wallet.balance().await.unwrap().held == Msat::ZERO).then_some(()) }).await;
        sandbox.stop().await.unwrap();
    });
}

#[test]
fn a_reorganisation_of_the_funding_keeps_the_channel() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = sandbox(dir.path()).await;
        let wallet = sandbox.wallet();
        let height = sandbox.chain().height();
        // Two blocks are replaced by three.
        sandbox.chain().rewind(2).unwrap();
        assert_eq!(sandbox.mine(3).await.unwrap(), height + 1);
        let invoice = wallet.create(hold(1, 100)).await.unwrap();
        sandbox.customer().pay(&invoice).await.unwrap();
        let (amount, _) = held(&*wallet, preimage(1).hash()).await;
        wallet.settle(preimage(1).hash(), amount, &preimage(1)).await.unwrap();
        settled(&*wallet, preimage(1).hash()).await;
        sandbox.stop().await.unwrap();
    });
}

#[test]
fn a_sandbox_refuses_another_key_another_genesis_and_a_second_process() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let chain = dir.path().join("chain.log");
        let (mut file, _) = lightning::RecordFile::open(&chain, |_| Ok(())).unwrap();
        let mut other = vec![1];
        other.extend_from_slice(&32_u32.to_le_bytes());
        other.extend_from_slice(&[0x77; 32]);
        file.append(&other).unwrap();
        drop(file);
        let refused = Sandbox::start(dir.path(), &KEY).await.err();
        assert!(matches!(refused, Some(SandboxError::Chain(ChainError::OtherGenesis(_)))), "{refused:?}");
        let refused = Sandbox::start(dir.path(), &[1; 32]).await.err();
        assert!(matches!(refused, Some(SandboxError::WrongKey(_))), "{refused:?}");
        std::fs::remove_file(&chain).unwrap();
        let _open = lightning::RecordFile::open(&chain, |_| Ok(())).unwrap();
        let refused = Sandbox::start(dir.path(), &KEY).await.err();
        assert!(refused.unwrap().to_string().contains("another process"));
    });
}
