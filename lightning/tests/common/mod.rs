//! What several tests need.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses its part; a test may panic")]

use std::future::Future;
use std::time::{Duration, Instant};

use lightning::{Event, NewHold, Sandbox, Wallet};
use lnmp::{Msat, PaymentHash, Preimage};

pub(crate) const KEY: [u8; 32] = [9; 32];
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_test_writer().without_time();
    let _ = log.try_init();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub(crate) fn preimage(n: u8) -> Preimage {
    Preimage::new([n; 32])
}

pub(crate) fn hold(n: u8, sat: u64) -> NewHold {
    NewHold::new(preimage(n).hash(), Msat(sat * 1000), Duration::from_secs(3600), format!("mail {n:08x}"))
}

/// Looks until `done` says something, at most [`SOON`].
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, done: impl FnMut() -> F) -> T {
    until_within(SOON, what, done).await
}

/// Looks until `done` says something, at most so long.
pub(crate) async fn until_within<T, F: Future<Output = Option<T>>>(
    within: Duration,
    what: &str,
    mut done: impl FnMut() -> F,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = done().await {
            return value;
        }
        assert!(began.elapsed() < within, "{what} did not happen in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The next event about a payment; others are handled on the way. It is not handled itself.
pub(crate) async fn payment_event(wallet: &dyn Wallet) -> Event {
    loop {
        let event = tokio::time::timeout(SOON, wallet.next_event()).await.expect("an event in time");
        if event != Event::Other {
            return event;
        }
        wallet.event_handled().await.unwrap();
    }
}

/// The next payment is locked under `hash`; its amount and deadline. The event is handled.
pub(crate) async fn held(wallet: &dyn Wallet, expected: PaymentHash) -> (Msat, u32) {
    let Event::Held { hash, amount, deadline_height } = payment_event(wallet).await else { panic!("a held payment") };
    assert_eq!(hash, expected);
    wallet.event_handled().await.unwrap();
    (amount, deadline_height)
}

/// The next payment arrived; its amount. The event is handled.
pub(crate) async fn settled(wallet: &dyn Wallet, expected: PaymentHash) -> Msat {
    let Event::Settled { hash, amount } = payment_event(wallet).await else { panic!("a settled payment") };
    assert_eq!(hash, expected);
    wallet.event_handled().await.unwrap();
    amount
}

pub(crate) async fn sandbox(dir: &std::path::Path) -> Sandbox {
    Sandbox::start(dir, &KEY).await.unwrap()
}
