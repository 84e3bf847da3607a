//! The embedded node over each chain source: funded, given a channel, asked for all a wallet promises; and what happens
//! when its source is away.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bitcoin::{Address, Network, OutPoint};
use lightning::chain::{Bitcoind, SourceTip};
use lightning::node::{LdkNode, Liquidity, NodeConfig, NodeRuntime};
use lightning::{ChainError, ChainSource, ChainWatch, Invoice, Paid, Sandbox, Wallet, WalletError};
use lnmp::{Msat, PaymentHash};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::common::{preimage, runtime, sandbox, until_within};
use crate::servers::index::Index;
use crate::servers::{bitcoind, electrum, esplora};
use crate::{Rig, contract};

/// The chain is asked for its height this often: nobody waits for a test.
const POLL: Duration = Duration::from_millis(100);
/// On a busy machine LDK's client of an Electrum server may give one look up after 20 s and begin anew.
const LONG: Duration = Duration::from_secs(120);
const COINS_SAT: u64 = 100_000;
const CHANNEL_SAT: u64 = 3_000_000;
const PUSH_SAT: u64 = 1_500_000;

/// A node over a source, with a channel from the sandbox's bridge, which pays it. Chain and RPC are the sandbox's.
pub(crate) struct OnSource {
    node: LdkNode,
    watch: Arc<ChainWatch>,
    sandbox: Arc<Sandbox>,
    _dir: TempDir,
}

pub(crate) async fn watch(source: &ChainSource) -> Arc<ChainWatch> {
    let watch = ChainWatch::open(source, Network::Regtest, Some(POLL)).await;
    Arc::new(watch.unwrap())
}

pub(crate) async fn node(
    dir: &Path,
    source: &ChainSource,
    watch: &Arc<ChainWatch>,
    seed: [u8; 64],
    birth_height: Option<u32>,
) -> (LdkNode, SocketAddr) {
    let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listen.local_addr().unwrap();
    let config = NodeConfig {
        dir: dir.join("node"),
        seed: Zeroizing::new(seed),
        network: Network::Regtest,
        chain: source.clone(),
        source_tip: Arc::clone(watch) as Arc<dyn SourceTip>,
        birth_height,
        epoch: None,
        liquidity: Liquidity::default(),
        listen: Some(listen),
    };
    (LdkNode::open(config, &NodeRuntime::start().unwrap()).await.unwrap(), address)
}

/// Sends coins, and waits for their block; the payer knows its change then.
async fn pay_onchain(sandbox: &Sandbox, to: &Address) {
    let txid = sandbox.bridge().send_coins(to, COINS_SAT).await.unwrap();
    until_within(LONG, "a block", || async {
        (0..2).find_map(|vout| sandbox.chain().coin(&OutPoint { txid, vout })).map(drop)
    })
    .await;
    sandbox.sync(1).await.unwrap();
}

async fn coins(node: &LdkNode) {
    until_within(LONG, "coins", || async {
        node.poll_chain().await.ok();
        (node.balance().await.unwrap().onchain == Msat(COINS_SAT * 1000)).then_some(())
    })
    .await;
}

impl OnSource {
    async fn new(sandbox: Arc<Sandbox>, source: ChainSource) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let watch = watch(&source).await;
        let (node, address) = node(dir.path(), &source, &watch, [0x51; 64], None).await;
        let rig = Self { node, watch, sandbox, _dir: dir };
        rig.fund().await;
        let bridge = rig.sandbox.bridge();
        bridge.connect(rig.node.node_id(), address).await.unwrap();
        bridge.open_channel(rig.node.node_id(), address, CHANNEL_SAT, PUSH_SAT).await.unwrap();
        until_within(LONG, "the funding's block", || async {
            let channels = bridge.channels().await.unwrap();
            channels.iter().any(|channel| channel.ours && channel.confirmations > 0).then_some(())
        })
        .await;
        rig.mine(6).await;
        until_within(LONG, "a usable channel", || async {
            let (ours, theirs) = (rig.node.channels().await.unwrap(), bridge.channels().await.unwrap());
            (ours.iter().any(|c| c.usable) && theirs.iter().filter(|c| c.usable).count() == 2).then_some(())
        })
        .await;
        rig
    }

    /// On-chain coins: without them the node takes no channel with anchors.
    async fn fund(&self) {
        let address = self.node.new_address().await.unwrap();
        pay_onchain(&self.sandbox, &address).await;
        self.follow().await;
        coins(&self.node).await;
    }

    /// Waits until the node is where the chain is, by its own account.
    async fn follow(&self) {
        until_within(LONG, "the node at the tip", || async {
            let chain = self.node.chain().await.unwrap();
            (chain.fresh && chain.height == self.sandbox.chain().height()).then_some(())
        })
        .await;
    }

    async fn settle_one(&self, n: u8) {
        let hash = preimage(n).hash();
        let invoice = self.node.create(crate::common::hold(n, 100)).await.unwrap();
        self.pay(&invoice).await;
        let (amount, _) = crate::common::held(&self.node, hash).await;
        self.node.settle(hash, amount, &preimage(n)).await.unwrap();
        assert_eq!(crate::common::settled(&self.node, hash).await, Msat(100_000));
        until_within(LONG, "the payer's word", || async {
            let sent = self.sandbox.bridge().sent(hash).await.unwrap();
            matches!(sent, Some(Paid::Succeeded { .. })).then_some(())
        })
        .await;
    }
}

#[async_trait]
impl Rig for OnSource {
    fn wallet(&self) -> &dyn Wallet {
        &self.node
    }

    async fn pay(&self, bolt11: &str) {
        let hash: PaymentHash = Invoice::parse(bolt11).unwrap().hash;
        let bridge = self.sandbox.bridge();
        // Somebody who pays again must have their money back first.
        until_within(LONG, "the money back", || async {
            matches!(bridge.sent(hash).await.unwrap(), None | Some(Paid::Failed)).then_some(())
        })
        .await;
        // It waits for the end, which a held payment has not: what counts is that it was sent.
        let (payer, invoice) = (bridge.clone(), bolt11.to_owned());
        tokio::spawn(async move { payer.pay(&invoice).await });
        until_within(LONG, "a payment", || async {
            matches!(bridge.sent(hash).await.unwrap(), Some(Paid::Pending | Paid::Succeeded { .. })).then_some(())
        })
        .await;
    }

    async fn mine(&self, blocks: u32) {
        self.sandbox.mine(blocks).await.unwrap();
        self.follow().await;
    }

    async fn ask(&self, amount: Msat) -> String {
        self.sandbox.bridge().invoice(amount, "payer".into(), Duration::from_secs(3600)).await.unwrap()
    }
}

#[test]
fn a_node_over_a_bitcoind_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = Arc::new(sandbox(dir.path()).await);
        let source = ChainSource::Bitcoind(sandbox.chain_source());
        let rig = OnSource::new(Arc::clone(&sandbox), source).await;
        contract(&rig).await;
        rig.node.stop().await.unwrap();
        sandbox.stop().await.unwrap();
    });
}

#[test]
fn a_node_over_esplora_keeps_the_contract_and_comes_back_when_the_server_does() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = Arc::new(sandbox(dir.path()).await);
        let server = esplora::start(&Index::new(Arc::clone(&sandbox))).await;
        let rig = OnSource::new(Arc::clone(&sandbox), ChainSource::Esplora(format!("{}/", server.url))).await;
        contract(&rig).await;
        // A quiet chain is asked as often as was meant, ten times a second here, and by LDK when its turn is; not in a loop.
        let before = server.asked.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let asked = server.asked.load(Ordering::Relaxed) - before;
        assert!(asked < 100, "{asked} questions in a quiet second");

        server.away.store(true, Ordering::Relaxed);
        until_within(LONG, "trouble", || async { rig.watch.trouble() }).await;
        sandbox.mine(1).await.unwrap();
        // What is paid meanwhile is held; only the claim waits for the chain, which is the house's to ask.
        rig.node.create(crate::common::hold(60, 100)).await.unwrap();
        server.away.store(false, Ordering::Relaxed);
        rig.follow().await;
        assert_eq!(rig.watch.trouble(), None);
        rig.settle_one(61).await;
        rig.node.stop().await.unwrap();
        sandbox.stop().await.unwrap();
    });
}

#[test]
fn a_node_over_electrum_keeps_the_contract_and_comes_back_when_the_server_does() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = Arc::new(sandbox(dir.path()).await);
        let server = electrum::start(&Index::new(Arc::clone(&sandbox))).await;
        let rig = OnSource::new(Arc::clone(&sandbox), ChainSource::Electrum(server.url.clone())).await;
        contract(&rig).await;
        server.away.store(true, Ordering::Relaxed);
        until_within(LONG, "trouble", || async { rig.watch.trouble() }).await;
        sandbox.mine(1).await.unwrap();
        server.away.store(false, Ordering::Relaxed);
        rig.follow().await;
        assert_eq!(rig.watch.trouble(), None);
        rig.settle_one(61).await;
        rig.node.stop().await.unwrap();
        sandbox.stop().await.unwrap();
    });
}

/// A source that is away, wrong, or of another network is told apart before a node is built on it.
#[test]
fn a_source_is_looked_at_before_a_node_depends_on_it() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = Arc::new(sandbox(dir.path()).await);
        let index = Index::new(Arc::clone(&sandbox));
        let (esplora, electrum) = (esplora::start(&index).await, electrum::start(&index).await);
        let bitcoind = sandbox.chain_source();
        let sources = [
            ChainSource::Bitcoind(bitcoind.clone()),
            ChainSource::Esplora(esplora.url.clone()),
            ChainSource::Electrum(electrum.url.clone()),
        ];
        for source in &sources {
            let other = ChainWatch::open(source, Network::Signet, None).await;
            assert!(matches!(other, Err(ChainError::Network(Network::Signet))), "{}", source.name());
            assert_eq!(watch(source).await.tip().height, sandbox.chain().height(), "{}", source.name());
        }
        let mut stranger = bitcoind.clone();
        stranger.password = Zeroizing::new("wrong".into());
        let refused = ChainWatch::open(&ChainSource::Bitcoind(stranger), Network::Regtest, None).await;
        assert!(matches!(refused, Err(ChainError::Credential)));
        // Something that speaks HTTP, but another API.
        let elsewhere = ChainSource::Esplora(format!("{}/elsewhere", esplora.url));
        let other = ChainWatch::open(&elsewhere, Network::Regtest, None).await;
        assert!(matches!(other, Err(ChainError::Other("Esplora"))));
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut nowhere = bitcoind;
        nowhere.port = free.port();
        for source in [
            ChainSource::Bitcoind(nowhere),
            ChainSource::Esplora(format!("http://{free}")),
            ChainSource::Electrum(format!("tcp://{free}")),
        ] {
            let away = ChainWatch::open(&source, Network::Regtest, None).await;
            let Err(error) = away else { panic!("{}: nobody is there", source.name()) };
            assert!(error.is_temporary(), "{}: {error}", source.name());
        }
        sandbox.stop().await.unwrap();
    });
}

/// The phrase brings back what is on the chain, over each source; the state it had is gone.
#[test]
fn coins_come_back_from_the_seed_alone() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = Arc::new(sandbox(dir.path()).await);
        let index = Index::new(Arc::clone(&sandbox));
        let (esplora, electrum) = (esplora::start(&index).await, electrum::start(&index).await);
        let before = sandbox.chain().height();
        let bitcoind = ChainSource::Bitcoind(sandbox.chain_source());
        let there = watch(&bitcoind).await;
        let (first, _) = node(&dir.path().join("first"), &bitcoind, &there, [3; 64], None).await;
        let address = first.new_address().await.unwrap();
        pay_onchain(&sandbox, &address).await;
        coins(&first).await;
        first.stop().await.unwrap();
        sandbox.mine(10).await.unwrap();
        let sources = [
            (bitcoind.clone(), Some(before)),
            (ChainSource::Esplora(esplora.url.clone()), None),
            (ChainSource::Electrum(electrum.url.clone()), None),
        ];
        for (source, since) in sources {
            let watch = watch(&source).await;
            let folder = dir.path().join(source.name());
            let (again, _) = node(&folder, &source, &watch, [3; 64], since).await;
            assert_eq!(again.node_id(), first.node_id());
            coins(&again).await;
            again.stop().await.unwrap();
        }
        // Without the height, a bitcoind is read from now on, and older coins are not seen.
        let (late, _) = node(&dir.path().join("late"), &bitcoind, &there, [3; 64], None).await;
        late.poll_chain().await.unwrap();
        assert_eq!(late.balance().await.unwrap().onchain, Msat::ZERO);
        late.stop().await.unwrap();
        sandbox.stop().await.unwrap();
    });
}

/// A bitcoind makes a new cookie at each start: LDK is not refused for ever.
#[test]
fn a_cookie_that_changed_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = Arc::new(sandbox(dir.path()).await);
        let cookie = dir.path().join(".cookie");
        std::fs::write(&cookie, "__cookie__:first").unwrap();
        let door = bitcoind::start(sandbox.chain_source(), &cookie).await;
        let source = ChainSource::Bitcoind(Bitcoind {
            host: "127.0.0.1".into(),
            port: door.port(),
            user: "__cookie__".into(),
            password: Zeroizing::new("first".into()),
            cookie: Some(cookie.clone()),
        });
        let watch = watch(&source).await;
        let (node, _) = node(dir.path(), &source, &watch, [9; 64], None).await;
        std::fs::write(&cookie, "__cookie__:second").unwrap();
        sandbox.mine(1).await.unwrap();
        until_within(LONG, "the node at the tip", || async {
            let chain = node.chain().await.unwrap();
            (chain.fresh && chain.height == sandbox.chain().height()).then_some(())
        })
        .await;
        node.stop().await.unwrap();
        sandbox.stop().await.unwrap();
    });
}

/// Speaking for an old state loses the channels: it is found out before anything is built on it.
#[test]
fn an_old_copy_of_the_state_is_not_started() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = Arc::new(sandbox(dir.path()).await);
        let source = ChainSource::Bitcoind(sandbox.chain_source());
        let watch = watch(&source).await;
        let open = async |epoch: u64| {
            let config = NodeConfig {
                dir: dir.path().join("node"),
                seed: Zeroizing::new([8; 64]),
                network: Network::Regtest,
                chain: source.clone(),
                source_tip: Arc::clone(&watch) as Arc<dyn SourceTip>,
                birth_height: None,
                epoch: Some(epoch),
                liquidity: Liquidity::default(),
                listen: None,
            };
            LdkNode::open(config, &NodeRuntime::start().unwrap()).await
        };
        let mut noted = 0;
        for start in 1..=3_u64 {
            let node = open(noted).await.unwrap();
            assert_eq!(node.epoch(), Some(start));
            noted = start;
            node.stop().await.unwrap();
            if start == 2 {
                copy(&dir.path().join("node"), &dir.path().join("old"));
            }
        }
        // A caller that died before it noted the last start.
        let node = open(2).await.unwrap();
        assert_eq!(node.epoch(), Some(4));
        node.stop().await.unwrap();
        drop(node);
        std::fs::rename(dir.path().join("node"), dir.path().join("newest")).unwrap();
        std::fs::rename(dir.path().join("old"), dir.path().join("node")).unwrap();
        let refused = open(4).await.err().unwrap();
        assert!(matches!(&refused, WalletError::OldState { .. }) && !refused.is_temporary(), "{refused}");
        assert!(refused.to_string().contains("old copy"));
        std::fs::remove_dir_all(dir.path().join("node")).unwrap();
        std::fs::rename(dir.path().join("newest"), dir.path().join("node")).unwrap();
        open(4).await.unwrap().stop().await.unwrap();
        sandbox.stop().await.unwrap();
    });
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Two nodes on one state would cost the channels.
#[test]
fn a_second_node_on_the_same_state_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = Arc::new(sandbox(dir.path()).await);
        let source = ChainSource::Bitcoind(sandbox.chain_source());
        let watch = watch(&source).await;
        let (first, _) = node(dir.path(), &source, &watch, [7; 64], None).await;
        let config = NodeConfig {
            dir: dir.path().join("node"),
            seed: Zeroizing::new([7; 64]),
            network: Network::Regtest,
            chain: source,
            source_tip: watch,
            birth_height: None,
            epoch: None,
            liquidity: Liquidity::default(),
            listen: None,
        };
        let second = LdkNode::open(config, &NodeRuntime::start().unwrap()).await;
        assert!(matches!(second, Err(WalletError::Disk(_))));
        first.stop().await.unwrap();
        sandbox.stop().await.unwrap();
    });
}
