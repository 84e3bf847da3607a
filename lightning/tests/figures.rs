//! Figures: run with `--ignored --nocapture`, in a release build when they are to be quoted.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::{Duration, Instant};

use common::{SOON, held, preimage, runtime, sandbox, settled};
use lightning::NewHold;
use lnmp::Msat;

#[test]
#[ignore = "prints figures, proves nothing"]
fn figures() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let began = Instant::now();
        let sandbox = sandbox(dir.path()).await;
        println!("fresh start to ready {:?}", began.elapsed());
        let wallet = sandbox.wallet();
        tokio::time::sleep(Duration::from_millis(2500)).await;
        for n in 1..=20 {
            let hash = preimage(n).hash();
            let new = NewHold::new(hash, Msat(100_000), Duration::from_secs(3600), "mail 01234567");
            let began = Instant::now();
            let invoice = wallet.create(new).await.unwrap();
            let created = began.elapsed();
            sandbox.customer().pay(&invoice).await.unwrap();
            let sent = began.elapsed() - created;
            let (amount, _) = held(&*wallet, hash).await;
            let locked = began.elapsed() - created;
            let began = Instant::now();
            let verb = if n.is_multiple_of(2) { "claim" } else { "cancel" };
            if n.is_multiple_of(2) {
                wallet.settle(hash, amount, &preimage(n)).await.unwrap();
                settled(&*wallet, hash).await;
            } else {
                wallet.cancel(hash).await.unwrap();
            }
            sandbox.customer().wait(hash, SOON).await.unwrap();
            println!("create {created:?}, send {sent:?}, locked {locked:?}, {verb} {:?}", began.elapsed());
        }
        let began = Instant::now();
        sandbox.mine(1000).await.unwrap();
        println!("1000 blocks on both nodes {:?}", began.elapsed());
        let began = Instant::now();
        sandbox.stop().await.unwrap();
        println!("stop {:?}", began.elapsed());
        drop((sandbox, wallet));
        let began = Instant::now();
        let sandbox = common::sandbox(dir.path()).await;
        println!("restart after 1000 blocks to ready {:?}", began.elapsed());
        sandbox.stop().await.unwrap();
    });
}
