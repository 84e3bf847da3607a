//! Channels that the operator opens, closes, buys, gives to others and gets back, between real LDK nodes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use common::{KEY, payment_event, runtime, sandbox};
use lightning::chain::{ChainSource, SourceTip, Tip};
use lightning::channels::{ChannelState, Closing, Fees, FirstReceive, NewChannel, NewOrder, OwnChannels};
use lightning::node::{LdkNode, Liquidity, NodeConfig, NodeRuntime, Provider, Service};
use lightning::{CustomerPayment, Event, Sandbox, Wallet, WalletError};
use lnmp::Msat;
use zeroize::Zeroizing;

/// Blocks and their transactions take a while on a slow machine.
const WITHIN: Duration = Duration::from_secs(60);

/// Looks until `done` says something, at most [`WITHIN`].
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut done: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = done().await {
            return value;
        }
        assert!(began.elapsed() < WITHIN, "{what} did not happen in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The chain is in this process.
struct Height(Arc<Sandbox>);

impl SourceTip for Height {
    fn tip(&self) -> Tip {
        Tip { height: self.0.chain().height(), asked_at: SystemTime::now() }
    }
}

/// A node of the test's own over the sandbox's chain.
struct Third {
    node: LdkNode,
    _runtime: Arc<NodeRuntime>,
}

impl Third {
    async fn start(sandbox: &Arc<Sandbox>, dir: &Path, liquidity: Liquidity) -> Self {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = NodeConfig {
            dir: dir.to_owned(),
            seed: Zeroizing::new([0x33; 64]),
            network: bitcoin::Network::Regtest,
            chain: ChainSource::Bitcoind(sandbox.chain_source()),
            source_tip: Arc::new(Height(Arc::clone(sandbox))),
            birth_height: None,
            epoch: None,
            liquidity,
            listen: Some(door),
        };
        let runtime = NodeRuntime::start().unwrap();
        let node = LdkNode::build(config, &runtime).await.unwrap();
        node.start().await.unwrap();
        Self { node, _runtime: runtime }
    }

    /// Coins for its reserves, confirmed.
    async fn fund(&self, sandbox: &Sandbox, sat: u64) {
        let address = self.node.new_address().await.unwrap();
        sandbox.customer().send_coins(address, sat).await.unwrap();
        self.until_coins(sandbox, Msat(sat * 1000)).await;
    }

    async fn until_coins(&self, sandbox: &Sandbox, least: Msat) {
        until("the coins", || async {
            self.follow(sandbox, 1).await;
            (self.node.coins().await.unwrap().spendable >= least).then_some(())
        })
        .await;
    }

    async fn follow(&self, sandbox: &Sandbox, blocks: u32) {
        sandbox.mine(blocks).await.unwrap();
        self.node.sync(Duration::from_secs(60)).await.unwrap();
    }
}

/// Everything of the node's that the books know as its own.
async fn owned(node: &LdkNode) -> (Msat, Msat) {
    let balance = node.balance().await.unwrap();
    (balance.channel + balance.onchain + balance.closing, balance.moving)
}

/// What a node owns once nothing is under way.
async fn rest(third: &Third, sandbox: &Sandbox) -> Msat {
    until("rest", || async {
        third.follow(sandbox, 1).await;
        while third.node.ready_event().await.is_some() {
            third.node.event_handled().await.unwrap();
        }
        let (owned, moving) = owned(&third.node).await;
        let rests = moving == Msat::ZERO
            && third.node.leaving().await.unwrap().is_empty()
            && third.node.is_quiet().await.unwrap();
        rests.then_some(owned)
    })
    .await
}

async fn usable(third: &Third, sandbox: &Sandbox) -> lightning::channels::OwnChannel {
    until("a usable channel", || async {
        third.follow(sandbox, 1).await;
        third.node.list().await.unwrap().into_iter().find(|channel| channel.state == ChannelState::Usable)
    })
    .await
}

#[test]
fn a_channel_opens_and_closes_and_no_satoshi_is_counted_twice() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let sandbox = Arc::new(sandbox(dir.path()).await);
        let third = Third::start(&sandbox, other.path(), Liquidity::default()).await;
        let (peer, address) = sandbox.bridge_peer();
        let new = NewChannel { peer, address, capacity_sat: 300_000, push_sat: 100_000 };
        let refused = third.node.open(new.clone()).await;
        assert!(matches!(refused, Err(WalletError::NoCapacity)), "no coins: {refused:?}");
        third.fund(&sandbox, 1_000_000).await;
        let before = rest(&third, &sandbox).await;
        assert_eq!(before, Msat(1_000_000_000));

        let tag = third.node.open(new.clone()).await.unwrap();
        let (now, moving) = owned(&third.node).await;
        assert!(before >= now && before <= now + moving, "{before} {now} {moving}");
        let channel = usable(&third, &sandbox).await;
        assert_eq!((channel.tag.as_str(), channel.opened_by_us), (tag.as_str(), true));
        assert_eq!((channel.capacity, channel.ours), (Msat(300_000_000), Msat(200_000_000)));
        let open = rest(&third, &sandbox).await;
        let cost = before - open - Msat(100_000_000);
        assert!(cost > Msat::ZERO && cost < Msat(1_000_000), "the funding's fee: {cost}");
        assert_eq!(third.node.coins().await.unwrap().reserve, Msat(25_000_000));

        let fees = Fees { base: Msat(7), ppm: 11 };
        third.node.set_fees(&channel.id[..12], fees).await.unwrap();
        assert_eq!(third.node.list().await.unwrap()[0].fees, fees);
        assert!(matches!(third.node.set_fees("00000000", fees).await, Err(WalletError::UnknownChannel)));
        assert!(matches!(third.node.close("", Closing::Forced).await, Err(WalletError::UnknownChannel)));

        // By agreement: ours is in the wallet with the first confirmation.
        third.node.close(&channel.id, Closing::Agreed).await.unwrap();
        until("the closing", || async { third.node.list().await.unwrap().is_empty().then_some(()) }).await;
        let (now, moving) = owned(&third.node).await;
        assert!(open >= now && open <= now + moving, "{open} {now} {moving}");
        let closed = rest(&third, &sandbox).await;
        let cost = open - closed;
        assert!(cost < Msat(2_000_000), "the closing's fee: {cost}");
        let balance = third.node.balance().await.unwrap();
        assert_eq!((balance.onchain, balance.channel), (closed, Msat::ZERO));

        // Without agreement: ours waits for its delay.
        third.node.open(new).await.unwrap();
        let channel = usable(&third, &sandbox).await;
        let open = rest(&third, &sandbox).await;
        third.node.close(&channel.id, Closing::Forced).await.unwrap();
        third.follow(&sandbox, 1).await;
        let leaving = until("the commitment in a block", || async {
            third.follow(&sandbox, 1).await;
            third.node.leaving().await.unwrap().into_iter().find(|leaving| leaving.height.is_some())
        })
        .await;
        let wait = leaving.height.unwrap() - sandbox.chain().height();
        assert!(wait <= u32::from(channel.delay_blocks) && wait > 0, "{leaving:?}");
        assert!(open >= owned(&third.node).await.0);
        third.follow(&sandbox, wait).await;
        let swept = rest(&third, &sandbox).await;
        let cost = open - swept;
        assert!(cost < Msat(5_000_000), "commitment, anchors and sweep: {cost}");
        assert_eq!(third.node.balance().await.unwrap().onchain, swept);
        third.node.stop().await.unwrap();
        sandbox.stop().await.unwrap();
    });
}

#[test]
fn a_first_channel_comes_with_a_receive_from_one_who_serves_others() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let token = || Some(Zeroizing::new("word".to_owned()));
        let service = Service {
            fee_min: Msat(2_000_000),
            fee_ppm: 10_000,
            payment_min: Msat(10_000_000),
            payment_max: Msat(1_000_000_000),
            token: token(),
        };
        let serving = Liquidity { service: Some(service), ..Liquidity::default() };
        let sandbox = Arc::new(Sandbox::start_with(dir.path(), &KEY, serving).await.unwrap());
        let (node_id, address) = sandbox.bridge_peer();
        let provider = Provider { node_id, address, token: token() };
        let client = Liquidity { provider: Some(provider), ..Liquidity::default() };
        let third = Third::start(&sandbox, other.path(), client).await;
        third.fund(&sandbox, 100_000).await;

        let ask = |sat: u64, fee_max: Option<u64>| FirstReceive {
            amount: Msat(sat * 1000),
            fee_max: fee_max.map(|sat| Msat(sat * 1000)),
            description: "the first".into(),
            expiry: Duration::from_secs(3600),
        };
        let refused = third.node.receive_first(ask(9_999, None)).await;
        assert!(matches!(refused, Err(WalletError::Provider(_))), "below the least: {refused:?}");
        let refused = third.node.receive_first(ask(300_000, Some(2_999))).await;
        assert!(matches!(refused, Err(WalletError::Provider(_))), "above the limit: {refused:?}");
        // ldk-node waits five seconds for an answer, which a slow machine may take longer for.
        let first =
            until("an invoice", || async { third.node.receive_first(ask(300_000, Some(3_000))).await.ok() }).await;
        assert_eq!(first.fee, Msat(3_000_000), "1 %, above the least");

        let hash = lightning::Invoice::parse(&first.bolt11).unwrap().hash;
        sandbox.customer().pay(&first.bolt11).await.unwrap();
        let event = payment_event(&third.node).await;
        assert_eq!(event, Event::Settled { hash, amount: Msat(297_000_000) });
        third.node.event_handled().await.unwrap();
        assert_eq!(third.node.kept_by_provider(hash).await.unwrap(), Msat(3_000_000));
        let paid = sandbox.customer().wait(hash, common::SOON).await.unwrap();
        assert_eq!(paid, CustomerPayment::Succeeded { fee: Msat::ZERO });
        let channel = usable(&third, &sandbox).await;
        assert_eq!((channel.ours, channel.opened_by_us), (Msat(297_000_000), false));
        assert!(channel.capacity >= Msat(590_000_000), "twice the payment: {}", channel.capacity);
        // What it holds is no tenth, but all of it.
        assert!(channel.room.value >= Msat(100_000_000), "{:?}", channel.room);

        // LSPS1 is not served by ldk-node: its answer is that nothing answers.
        let order = NewOrder { capacity_sat: 500_000, expiry_blocks: 1000 };
        assert!(matches!(third.node.order(order).await, Err(WalletError::Provider(_))));
        let none = sandbox.bridge().order(order).await;
        assert!(matches!(none, Err(WalletError::NoProvider)), "{none:?}");
        third.node.stop().await.unwrap();
        sandbox.stop().await.unwrap();
    });
}

#[test]
fn a_node_that_lost_all_but_its_seed_gets_its_channels_money_back() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let sandbox = Arc::new(sandbox(dir.path()).await);
        let state = other.path().join("node");
        let third = Third::start(&sandbox, &state, Liquidity::default()).await;
        third.fund(&sandbox, 1_000_000).await;
        let (peer, address) = sandbox.bridge_peer();
        third.node.open(NewChannel { peer, address, capacity_sat: 400_000, push_sat: 50_000 }).await.unwrap();
        usable(&third, &sandbox).await;
        let backup = third.node.backup().await.unwrap();
        assert!(!backup.windows(9).any(|part| part == b"127.0.0.1"), "sealed");
        let foreign = sandbox.bridge().recover(&backup).await;
        assert!(matches!(foreign, Err(WalletError::NotOurBackup)), "{foreign:?}");
        third.node.stop().await.unwrap();
        drop(third);
        std::fs::remove_dir_all(&state).unwrap();

        let third = Third::start(&sandbox, &state, Liquidity::default()).await;
        assert_eq!(third.node.coins().await.unwrap().total, Msat::ZERO, "a wallet begins at the tip");
        let mut damaged = backup.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(matches!(third.node.recover(&damaged).await, Err(WalletError::NotOurBackup)));
        let found = until("the peer's commitment on the chain", || async {
            let found = third.node.recover(&backup).await.unwrap();
            assert_eq!((found.lost, found.connected), (1, 1));
            third.follow(&sandbox, 1).await;
            found.txid.is_some().then_some(found)
        })
        .await;
        assert!(found.swept > Msat(345_000_000) && found.swept < Msat(350_000_000), "{found:?}");
        third.until_coins(&sandbox, found.swept).await;
        let again = third.node.recover(&backup).await.unwrap();
        assert_eq!((again.swept, again.txid), (Msat::ZERO, None), "taken once");
        third.node.stop().await.unwrap();
        sandbox.stop().await.unwrap();
    });
}
