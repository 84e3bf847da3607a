//! The embedded node on a network that is not the sandbox's own: another process's chain, asked over its RPC. It waits for
//! its source, holds and claims, and its coins come back from its words.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bitcoin::bip32::{DerivationPath, Xpriv};
use bitcoin::secp256k1::Secp256k1;
use bitcoin::{Address, CompressedPublicKey, Network, OutPoint};
use lightning::{Sandbox, Wallet};
use lightning_invoice::Bolt11Invoice;

use crate::support::eventually;
use crate::support::satchel::{BINARY, Satchel};

const COINS_SAT: u64 = 100_000;

/// A chain with an RPC and somebody who pays: a sandbox in the test's own process.
struct World {
    runtime: tokio::runtime::Runtime,
    sandbox: Arc<Sandbox>,
    way: Way,
    files: tempfile::TempDir,
}

/// A port that leads somewhere, or nowhere.
pub(crate) struct Way {
    pub(crate) port: u16,
    open: Arc<AtomicBool>,
}

impl Way {
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(AtomicBool::new(false));
        let is_open = Arc::clone(&open);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if is_open.load(Ordering::Relaxed) {
                    let to = TcpStream::connect(target).unwrap();
                    pass(stream.try_clone().unwrap(), to.try_clone().unwrap());
                    pass(to, stream);
                }
            }
        });
        Self { port, open }
    }

    pub(crate) fn open(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    to.set_nodelay(true).unwrap();
    std::thread::spawn(move || {
        let mut chunk = [0; 65_536];
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            if to.write_all(&chunk[..read]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}

impl World {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let files = tempfile::tempdir().unwrap();
        let sandbox = runtime.block_on(Sandbox::start(&files.path().join("chain"), &[5; 32])).unwrap();
        let rpc = sandbox.chain_source();
        let way = Way::to(format!("{}:{}", rpc.host, rpc.port).parse().unwrap());
        let path = files.path().join("password");
        std::fs::write(&path, format!("{}\n", &*rpc.password)).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        Self { runtime, sandbox: Arc::new(sandbox), way, files }
    }

    /// A Satchel on this chain, not started; and where its node listens.
    fn satchel(&self) -> (Satchel, SocketAddr) {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let satchel = Satchel::prepared("");
        let config = format!(
            "network = \"regtest\"\n[listen]\nsmtp = 0\nsubmission = 0\nsubmissions = 0\nimap = 0\nimaps = 0\nweb = 0\n\
             [wallet]\nlisten = \"{free}\"\n[chain]\nsource = \"bitcoind\"\naddress = \"127.0.0.1:{}\"\nuser = \"{}\"\n\
             password_file = \"{}\"\n",
            self.way.port,
            self.sandbox.chain_source().user,
            self.files.path().join("password").display(),
        );
        std::fs::write(satchel.path().join("satchel.toml"), config).unwrap();
        (satchel, free)
    }

    /// Sends coins on the chain and waits for their block.
    fn pay_onchain(&self, address: &Address) {
        let txid = self.runtime.block_on(self.sandbox.bridge().send_coins(address, COINS_SAT)).unwrap();
        eventually("a block", || (0..2).find_map(|vout| self.sandbox.chain().coin(&OutPoint { txid, vout })));
        self.runtime.block_on(self.sandbox.sync(1)).unwrap();
    }

    /// A channel from the payer to a node, usable.
    fn open_channel(&self, satchel: &Satchel, address: SocketAddr) {
        let invoice = satchel.ask(&["wallet", "invoice", "1"])["bolt11"].as_str().unwrap().to_owned();
        let node = Bolt11Invoice::from_str(&invoice).unwrap().recover_payee_pub_key();
        let bridge = self.sandbox.bridge();
        self.runtime.block_on(bridge.connect(node, address)).unwrap();
        self.runtime.block_on(bridge.open_channel(node, address, 3_000_000, 1_000_000)).unwrap();
        let ours = || self.runtime.block_on(bridge.channels()).unwrap().into_iter().find(|channel| channel.ours);
        eventually("the funding's block", || ours().filter(|channel| channel.confirmations > 0));
        self.runtime.block_on(self.sandbox.mine(6)).unwrap();
        eventually("a usable channel", || {
            let channels = satchel.ask(&["wallet", "channels"])["channels"].clone();
            (channels[0]["usable"] == true && ours().is_some_and(|channel| channel.usable)).then_some(())
        });
    }
}

/// The first address of a wallet with these words: BIP 84, as any other wallet would derive it.
fn address(words: &str) -> Address {
    let seed = bip39::Mnemonic::parse(words).unwrap().to_seed("");
    let secp = Secp256k1::new();
    let master = Xpriv::new_master(Network::Regtest, &seed).unwrap();
    let key = master.derive_priv(&secp, &DerivationPath::from_str("m/84'/1'/0'/0/0").unwrap()).unwrap();
    Address::p2wpkh(&CompressedPublicKey(key.private_key.public_key(&secp)), Network::Regtest)
}

fn wait_until_fresh(satchel: &Satchel) {
    eventually("a fresh chain", || (satchel.ask(&["wallet", "chain"])["fresh"] == true).then_some(()));
}

fn onchain_is(satchel: &Satchel, sat: u64) {
    eventually("the coins", || (satchel.ask(&["wallet", "balance"])["node_msat"] == sat * 1000).then_some(()));
}

#[test]
fn a_node_on_a_network_waits_for_its_source_is_paid_and_its_coins_come_back_from_its_words() {
    let world = World::start();
    let (mut satchel, node_address) = world.satchel();
    let since = world.sandbox.chain().height();
    // The source is away: the server starts, mail comes in, and nobody is asked to pay.
    satchel.resume();
    let chain = satchel.ask(&["wallet", "chain"]);
    assert!(chain["away"].as_str().is_some_and(|why| why.contains("does not answer")), "{chain}");
    assert_eq!((&chain["network"], &chain["source"]), (&"regtest".into(), &"bitcoind".into()));
    let config = satchel.path().join("satchel.toml");
    let checked = Command::new(BINARY).args(["check", "--config"]).arg(&config).output().unwrap();
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(text.contains("FIX  wallet: away: the chain source does not answer"), "{text}");
    let gate = satchel.stranger_writes("bob@shop.test", "An offer");
    let refused = satchel.command(&["gate", "invoice", &gate["id"].to_string()]).output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("try again later"), "{told}");

    // It comes: the server goes on by itself.
    world.way.open(true);
    wait_until_fresh(&satchel);
    let unsure = satchel.command(&["wallet", "seed"]).output().unwrap();
    assert!(!unsure.status.success(), "nothing is shown to whoever does not ask twice");
    let seed = satchel.ask_with_input(&["wallet", "seed"], "show\n");
    let words = seed["words"].as_str().unwrap().to_owned();
    assert_eq!(words.split(' ').count(), 24);
    let further = satchel.ask(&["wallet", "address"])["address"].as_str().unwrap().to_owned();
    assert!(further.starts_with("bcrt1q") && further != address(&words).to_string());
    world.pay_onchain(&address(&words));
    onchain_is(&satchel, COINS_SAT);
    // What the operator put there is the operator's, and no more than is there.
    let sat = COINS_SAT.to_string();
    assert!(!satchel.command(&["wallet", "deposit", "100001"]).output().unwrap().status.success());
    assert_eq!(satchel.ask(&["wallet", "deposit", &sat])["left_msat"], 0);
    satchel.assert_audit();
    world.open_channel(&satchel, node_address);
    let bolt11 = satchel.invoice(&gate);
    let (payer, invoice) = (world.sandbox.bridge().clone(), bolt11.clone());
    world.runtime.spawn(async move { payer.pay(&invoice).await });
    satchel.wait_for_state("bob@shop.test", "held");
    let mut imap = satchel.imap();
    let [offer] = imap.find("Requests", "An offer")[..] else { panic!("the paid mail is in Requests") };
    imap.ok(&format!("UID MOVE {offer} INBOX"));
    satchel.wait_for_state("bob@shop.test", "settled");
    drop(imap);

    // It goes away while nothing runs: the next start does not mind either.
    satchel.stop();
    world.way.open(false);
    satchel.resume();
    assert!(satchel.ask(&["wallet", "chain"])["away"].is_string());
    satchel.stranger_writes("eve@spam.test", "Another");
    world.way.open(true);
    wait_until_fresh(&satchel);
    eventually("the channel again", || {
        (satchel.ask(&["wallet", "channels"])["channels"][0]["capacity_msat"] == 3_000_000_000_u64).then_some(())
    });
    let log = satchel.log_text();
    assert!(!log.contains(&words) && !log.contains(&bolt11), "{log}");
    satchel.stop();

    // Another machine, nothing but the words.
    let (mut again, _) = world.satchel();
    let since = since.to_string();
    let wrong = words.replacen(words.split(' ').next().unwrap(), "satchel", 1);
    let told = refusal(&again, &["wallet", "restore"], &wrong);
    assert!(told.contains("word 1 is not in the list"), "{told}");
    again.ask_with_input(&["wallet", "restore", "--since", &since], &format!("{words}\n"));
    let told = refusal(&again, &["wallet", "restore"], &words);
    assert!(told.contains("has a node on regtest"), "{told}");
    again.resume();
    onchain_is(&again, COINS_SAT);
    assert_eq!(again.ask(&["wallet", "channels"])["channels"], serde_json::json!([]), "channels do not come back");
    again.stop();
}

/// What a command says that refuses its input.
fn refusal(satchel: &Satchel, arguments: &[&str], input: &str) -> String {
    let mut command = satchel.command(arguments);
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{input}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}
