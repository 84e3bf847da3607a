//! SIGKILL at any moment of the first seconds leaves a directory that becomes a working sandbox.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{held, hold, preimage, runtime, sandbox, settled, until};
use lightning::{CustomerPayment, Event, HoldStatus, NewHold, Wallet, WalletError};
use lnmp::{Msat, Preimage};
use rand::{Rng, SeedableRng};

const DIR: &str = "SATCHEL_TEST_SANDBOX_DIR";
const WORK: &str = "SATCHEL_TEST_SANDBOX_WORK";

#[test]
fn six_kills_at_the_beginning_end_in_a_working_sandbox() {
    kills(6, 250, 11);
}

#[test]
#[ignore = "takes a minute: the long form of the test above"]
fn sixty_kills_in_the_first_seconds_end_in_a_working_sandbox() {
    for seed in 0..3 {
        kills(20, 400, seed);
    }
}

fn kills(times: u32, within_ms: u64, seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut chance = rand::rngs::StdRng::seed_from_u64(seed);
    for _ in 0..times {
        let mut child = child(dir.path(), "start");
        std::thread::sleep(Duration::from_millis(chance.gen_range(1..within_ms)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    runtime().block_on(async {
        let sandbox = sandbox(dir.path()).await;
        let wallet = sandbox.wallet();
        assert_eq!(wallet.balance().await.unwrap().channel, Msat(2_000_000_000));
        let usable = wallet.channels().await.unwrap().into_iter().filter(|channel| channel.usable).count();
        assert!(usable >= 1);
        pay_and_settle(&sandbox, 1).await;
        sandbox.stop().await.unwrap();
    });
}

#[test]
fn a_kill_while_payments_are_locked_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    // The child locks payments 20 to 23, cancels 21, claims 22, and dies.
    let mut dying = child(dir.path(), "payments");
    let done = dir.path().join("done");
    runtime().block_on(async {
        until("the child's work", || async { done.exists().then_some(()) }).await;
        dying.kill().unwrap();
        dying.wait().unwrap();
        let sandbox = sandbox(dir.path()).await;
        let wallet = sandbox.wallet();
        // Reconcile as the house would: a decision is made again.
        wallet.cancel(preimage(21).hash()).await.unwrap();
        wallet.settle(preimage(22).hash(), Msat(100_000), &preimage(22)).await.unwrap();
        for n in [20, 23] {
            let there = wallet.lookup(preimage(n).hash()).await.unwrap();
            assert!(matches!(there, HoldStatus::Held { amount: Msat(100_000), .. }), "{n}: {there:?}");
        }
        for (n, taken) in [(21, false), (22, true)] {
            let state = sandbox.customer().wait(preimage(n).hash(), common::SOON).await.unwrap();
            assert_eq!(matches!(state, CustomerPayment::Succeeded { .. }), taken, "{n}: {state:?}");
        }
        until("only holds that are known", || async {
            let inbound = wallet.inbound().await.unwrap();
            let held: Vec<_> = inbound.held.iter().filter(|held| !held.claiming).map(|held| held.hash).collect();
            (inbound.unexplained == Msat::ZERO && held.len() == 2).then_some(())
        })
        .await;
        wallet.cancel(preimage(20).hash()).await.unwrap();
        wallet.cancel(preimage(23).hash()).await.unwrap();
        until("the refunds", || async {
            let inbound = wallet.balance().await.unwrap().held;
            (inbound == Msat::ZERO).then_some(())
        })
        .await;
        assert_eq!(wallet.balance().await.unwrap().channel, Msat(2_000_100_000));
        sandbox.stop().await.unwrap();
    });
}

#[test]
fn three_kills_under_load_keep_the_channel_and_every_millisatoshi() {
    kills_under_load(3, 5);
}

#[test]
#[ignore = "takes minutes: the long form of the test above"]
fn fifty_kills_under_load_keep_the_channel_and_every_millisatoshi() {
    kills_under_load(50, 6);
}

/// Payment `n`: even ones are claimed, odd ones returned.
fn secret(n: u32) -> Preimage {
    let mut secret = [0x33; 32];
    secret[..4].copy_from_slice(&n.to_le_bytes());
    Preimage::new(secret)
}

async fn decide(wallet: &dyn Wallet, n: u32) -> Result<(), WalletError> {
    let hash = secret(n).hash();
    if n.is_multiple_of(2) { wallet.settle(hash, Msat(100_000), &secret(n)).await } else { wallet.cancel(hash).await }
}

fn kills_under_load(times: u32, seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut chance = rand::rngs::StdRng::seed_from_u64(seed);
    for round in 0..times {
        let mut dying = child(dir.path(), &format!("load {}", round * 1000));
        std::thread::sleep(Duration::from_millis(chance.gen_range(500..4500)));
        dying.kill().unwrap();
        dying.wait().unwrap();
    }
    runtime().block_on(async {
        let sandbox = sandbox(dir.path()).await;
        let wallet = sandbox.wallet();
        let channels = wallet.channels().await.unwrap();
        assert_eq!(channels.iter().filter(|channel| channel.usable).count(), 1, "{channels:?}");
        // Reconcile: whatever is held is decided as it would have been.
        let all = || (0..times).flat_map(|round| round * 1000..round * 1000 + 400);
        let mut known = Vec::new();
        for n in all() {
            if wallet.lookup(secret(n).hash()).await.unwrap() != HoldStatus::Unknown {
                known.push(n);
            }
        }
        until("no more holds", || async {
            while let Some(event) = wallet.ready_event().await {
                if let Event::Held { hash, .. } = event {
                    let n = known.iter().find(|n| secret(**n).hash() == hash).unwrap();
                    decide(&*wallet, *n).await.ok();
                }
                wallet.event_handled().await.unwrap();
            }
            let inbound = wallet.inbound().await.unwrap();
            for held in &inbound.held {
                let n = known.iter().find(|n| secret(**n).hash() == held.hash).unwrap();
                decide(&*wallet, *n).await.unwrap();
            }
            (inbound.held.is_empty() && inbound.unexplained == Msat::ZERO).then_some(())
        })
        .await;
        let mut settled = 0;
        for n in &known {
            if wallet.lookup(secret(*n).hash()).await.unwrap() == HoldStatus::Settled {
                assert!(n.is_multiple_of(2));
                settled += 1;
            }
        }
        println!("FIGURE {times} kills: {} invoices, {settled} settled", known.len());
        let expected = Msat(2_000_000_000 + settled * 100_000);
        until("the balances", || async {
            let (bridge, customer) = (wallet.balance().await.unwrap(), sandbox.customer().balance().await.unwrap());
            let both = bridge.channel + customer.channel;
            (bridge.channel == expected && both == Msat(10_000_000_000)).then_some(())
        })
        .await;
        // What was on its way when the process died may be paid again.
        for n in known {
            let state = sandbox.customer().wait(secret(n).hash(), common::SOON).await.unwrap();
            assert!(!matches!(state, CustomerPayment::Locked), "payment {n} is neither paid nor returned");
        }
        sandbox.stop().await.unwrap();
    });
}

/// Pays as fast as it can, twelve at a time, and decides each payment at once.
async fn load(sandbox: &lightning::Sandbox, first: u32) {
    let wallet = sandbox.wallet();
    let deciding = async {
        loop {
            let event = wallet.next_event().await;
            if let Event::Held { hash, .. } = event {
                let n = (0..100_000).find(|n| secret(*n).hash() == hash).unwrap();
                decide(&*wallet, n).await.ok();
            }
            wallet.event_handled().await.unwrap();
        }
    };
    let paying = async {
        for n in first..first + 400 {
            let hold = NewHold::new(secret(n).hash(), Msat(100_000), Duration::from_secs(3600), "mail");
            let invoice = wallet.create(hold).await.unwrap();
            sandbox.customer().pay(&invoice).await.ok();
            if n.is_multiple_of(12) {
                sandbox.customer().wait(secret(n).hash(), common::SOON).await.ok();
            }
        }
    };
    tokio::join!(deciding, paying);
}

async fn pay_and_settle(sandbox: &lightning::Sandbox, n: u8) {
    let wallet = sandbox.wallet();
    let invoice = wallet.create(hold(n, 100)).await.unwrap();
    sandbox.customer().pay(&invoice).await.unwrap();
    let (amount, _) = held(&*wallet, preimage(n).hash()).await;
    wallet.settle(preimage(n).hash(), amount, &preimage(n)).await.unwrap();
    settled(&*wallet, preimage(n).hash()).await;
}

/// This test binary again, running [`the_child`].
fn child(dir: &Path, work: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .env(WORK, work)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "is run by the others"]
fn the_child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let dir = Path::new(&dir);
    runtime().block_on(async {
        let sandbox = sandbox(dir).await;
        let work = std::env::var(WORK).unwrap_or_default();
        if let Some(first) = work.strip_prefix("load ") {
            load(&sandbox, first.parse().unwrap()).await;
        }
        if work == "payments" {
            let wallet = sandbox.wallet();
            for n in 20..24 {
                let invoice = wallet.create(hold(n, 100)).await.unwrap();
                sandbox.customer().pay(&invoice).await.unwrap();
                held(&*wallet, preimage(n).hash()).await;
            }
            wallet.cancel(preimage(21).hash()).await.unwrap();
            wallet.settle(preimage(22).hash(), Msat(100_000), &preimage(22)).await.unwrap();
            std::fs::write(dir.join("done"), b"").unwrap();
        }
        std::future::pending::<()>().await;
    });
}
