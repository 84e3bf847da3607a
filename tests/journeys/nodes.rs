//! The same road over nodes that somebody else runs, played by the test: a wallet behind a Nostr relay, LND, Core
//! Lightning; and phoenixd, over which nobody is asked to pay.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use lightning::Invoice;
use serde_json::Value;

use crate::escrow::{http, page};
use crate::networks::Way;
use crate::servers::nwc::{METHODS, Service};
use crate::servers::relay::Relay;
use crate::servers::world::{FEE_MSAT, Is, World};
use crate::servers::{cln, lnd, phoenixd};
use crate::support::satchel::{BINARY, Satchel};
use crate::support::stranger::ALICE;
use crate::support::{eventually, run};

/// What a stranger pays by default.
const PRICE: u64 = 100_000;

/// A node of the test's own, and the files a bridge needs to reach it.
struct Node {
    world: World,
    service: Option<Service>,
    /// The section [wallet].
    config: String,
    _files: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Node {
    fn start(backend: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let files = tempfile::tempdir().unwrap();
        let world = World::new(if backend == "lnd" { 18 } else { 0 });
        let mut service = None;
        let (address, certificate, secret) = runtime.block_on(async {
            match backend {
                "nwc" => {
                    let relay = Relay::start(false).await;
                    let started = Service::start(&world, &relay, METHODS, "nip44_v2").await;
                    let secret = started.uri.clone().into_bytes();
                    service = Some(started);
                    (String::new(), None, secret)
                }
                "lnd" => {
                    let (address, pem) = lnd::start(&world).await;
                    (address, Some(pem), lnd::MACAROON.to_vec())
                }
                "cln" => {
                    let (address, pem) = cln::start(&world, Some("v5.0.0")).await;
                    (address, Some(pem), format!("{}\n", cln::RUNE).into_bytes())
                }
                "phoenixd" => (phoenixd::start(&world).await, None, phoenixd::PASSWORD.into()),
                other => panic!("{other}"),
            }
        });
        let file = |name: &str, content: &[u8]| -> PathBuf {
            let path = files.path().join(name);
            fs::write(&path, content).unwrap();
            run(Command::new("chmod").arg("600").arg(&path));
            path
        };
        let mut config = format!("[wallet]\nbackend = \"{backend}\"\naddress = \"{address}\"\n");
        config.push_str(&format!("secret_file = \"{}\"\n", file("secret", &secret).display()));
        if let Some(pem) = certificate {
            config.push_str(&format!("certificate = \"{}\"\n", file("tls.cert", pem.as_bytes()).display()));
        }
        Self { world, service, config, _files: files, runtime }
    }

    /// The stranger pays; the wallet tells, where it tells anything.
    fn pay(&self, bolt11: &str) -> [u8; 32] {
        self.world.pay(bolt11).unwrap();
        let hash = Invoice::parse(bolt11).unwrap().hash.0;
        if let Some(service) = &self.service {
            service.notify(hash);
        }
        hash
    }

    fn state(&self, hash: [u8; 32]) -> Is {
        self.world.lock().invoices[&hash].state
    }

    fn local_msat(&self) -> u64 {
        self.world.lock().local_msat
    }
}

fn node_msat(satchel: &Satchel) -> u64 {
    satchel.ask(&["wallet", "balance"])["node_msat"].as_u64().unwrap()
}

#[test]
fn mails_are_paid_accepted_and_declined_over_nostr_wallet_connect() {
    let node = Node::start("nwc");
    let mut satchel = Satchel::start(&node.config);
    let before = node_msat(&satchel);
    assert_eq!(before, node.local_msat());
    let mut paid = Vec::new();
    for (author, subject) in [("bob@shop.test", "An offer"), ("eve@spam.test", "Another")] {
        let gate = satchel.stranger_writes(author, subject);
        let bolt11 = satchel.invoice(&gate);
        let hash = node.pay(&bolt11);
        satchel.wait_for_state(author, "held");
        assert_eq!(node.state(hash), Is::Accepted);
        paid.push((bolt11, hash));
    }
    // The decision outlasts a kill of ours: the wallet is somebody else's.
    satchel.kill();
    satchel.resume();
    let mut imap = satchel.imap();
    let [offer] = imap.find("Requests", "An offer")[..] else { panic!("the paid mail is in Requests") };
    imap.ok(&format!("UID MOVE {offer} INBOX"));
    let [other] = imap.find("Requests", "Another")[..] else { panic!("the paid mail is in Requests") };
    imap.ok(&format!("UID MOVE {other} Junk"));
    satchel.wait_for_state("bob@shop.test", "settled");
    satchel.wait_for_state("eve@spam.test", "declined");
    let (accepted, declined) = (paid[0].1, paid[1].1);
    eventually("the claim and the refund are the wallet's", || {
        (node.state(accepted) == Is::Settled && node.state(declined) == Is::Canceled).then_some(())
    });
    satchel.assert_audit();
    assert_eq!(node_msat(&satchel), before + PRICE);
    // Nothing of the connection, no invoice and no hash's preimage is in the log.
    let log = satchel.log_text();
    let secret = node.service.unwrap().uri.split("secret=").nth(1).unwrap()[..64].to_owned();
    assert!(!log.contains(&secret) && !log.contains(&paid[0].0), "{log}");
    satchel.stop();
}

#[test]
fn a_bridge_whose_lnd_is_away_starts_takes_mail_and_asks_for_payment_when_it_is_back() {
    let node = Node::start("lnd");
    let port = node.config.split("https://127.0.0.1:").nth(1).unwrap().split('"').next().unwrap();
    let way = Way::to(format!("127.0.0.1:{port}").parse().unwrap());
    let config = node.config.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{}", way.port));
    let mut satchel = Satchel::start(&config);
    let chain = satchel.ask(&["wallet", "chain"]);
    assert!(chain["away"].is_string() && chain["backend"] == "lnd", "{chain}");
    let gate = satchel.stranger_writes("bob@shop.test", "An offer");
    assert!(!satchel.command(&["gate", "invoice", &gate["id"].to_string()]).output().unwrap().status.success());
    way.open(true);
    eventually("the wallet", || satchel.ask(&["wallet", "chain"])["away"].is_null().then_some(()));
    let hash = node.pay(&satchel.invoice(&gate));
    satchel.wait_for_state("bob@shop.test", "held");
    let mut imap = satchel.imap();
    let [offer] = imap.find("Requests", "An offer")[..] else { panic!("the paid mail is in Requests") };
    imap.ok(&format!("UID MOVE {offer} INBOX"));
    satchel.wait_for_state("bob@shop.test", "settled");
    eventually("the claim", || (node.state(hash) == Is::Settled).then_some(()));
    // What the node had before it was there for the first time is the operator's; what came since is booked.
    satchel.assert_audit();
    satchel.stop();
}

#[test]
fn a_mail_is_paid_and_accepted_over_lnd_and_over_core_lightning() {
    for backend in ["lnd", "cln"] {
        let node = Node::start(backend);
        let satchel = Satchel::start(&node.config);
        let onchain = 250_000_000;
        assert_eq!(node_msat(&satchel), node.local_msat() + onchain, "{backend}");
        let gate = satchel.stranger_writes("bob@shop.test", "An offer");
        let hash = node.pay(&satchel.invoice(&gate));
        satchel.wait_for_state("bob@shop.test", "held");
        let mut imap = satchel.imap();
        let [offer] = imap.find("Requests", "An offer")[..] else { panic!("the paid mail is in Requests") };
        imap.ok(&format!("UID MOVE {offer} INBOX"));
        satchel.wait_for_state("bob@shop.test", "settled");
        assert_eq!(node.state(hash), Is::Settled, "{backend}");
        satchel.assert_audit();
        // The operator pays out, from the same node.
        let bolt11 = node.world.customer_invoice(10_000);
        assert_eq!(satchel.ask(&["wallet", "pay", &bolt11])["state"], "succeeded", "{backend}");
        satchel.assert_audit();
    }
}

#[test]
fn without_custody_whoever_finds_the_channels_full_is_told_to_come_later() {
    let node = Node::start("lnd");
    let satchel = Satchel::start(&node.config);
    // One payment takes more than half of what may be reserved.
    let free = satchel.ask(&["wallet", "channels"])["hold_inbound_free_msat"].as_u64().unwrap();
    satchel.ask(&["price", ALICE, "--stranger", &(free * 6 / 10_000).to_string()]);
    let (first, author) = (satchel.stranger_writes("ann@shop.test", "Number one"), "bob@shop.test");
    let bolt11 = satchel.invoice(&first);
    let gate = satchel.stranger_writes(author, "One too many");
    let ask = || satchel.command(&["gate", "invoice", &gate["id"].to_string()]).output().unwrap();
    let refused = ask();
    assert!(!refused.status.success(), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("please try again later"), "{refused:?}");
    let (_, shown) = http(&satchel, "GET", &page(&satchel, &gate), "");
    assert!(shown.contains("try again later") && !shown.contains("Escrow"), "{shown}");
    assert_eq!(satchel.gate_of(author).unwrap()["state"], "waiting");
    // A payment that ends makes room.
    node.pay(&bolt11);
    satchel.wait_for_state("ann@shop.test", "held");
    satchel.ask(&["gate", "decline", &first["id"].to_string()]);
    eventually("there is room", || ask().status.success().then_some(()));
}

#[test]
fn over_phoenixd_nobody_is_asked_to_pay() {
    let node = Node::start("phoenixd");
    let satchel = Satchel::start(&node.config);
    assert_eq!(node_msat(&satchel), node.local_msat());
    let gate = satchel.stranger_writes("bob@shop.test", "An offer");
    let output = satchel.command(&["gate", "invoice", &gate["id"].to_string()]).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success() && text.contains("cannot hold"), "{text}");
    let queue = satchel.ask(&["queue", "list"]);
    assert_eq!(queue.as_array().map(Vec::len), Some(0), "no payment request went out: {queue}");
    // The operator's own invoices are paid all the same, and booked.
    let invoice = satchel.ask(&["wallet", "invoice", "20"]);
    node.pay(invoice["bolt11"].as_str().unwrap());
    eventually("the invoice is booked", || {
        let audit: Value = satchel.ask(&["wallet", "audit"]);
        (audit["ok"] == true && node_msat(&satchel) == node.local_msat()).then_some(())
    });
    let output = satchel.command(&["channel", "list"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("(phoenixd)") && text.contains("its own tools"), "{text}");
    // What its owner moves is let in free.
    let mut imap = satchel.imap();
    let [offer] = imap.find("Unpaid", "An offer")[..] else { panic!("the mail is in Unpaid of {ALICE}") };
    imap.ok(&format!("UID MOVE {offer} INBOX"));
    satchel.wait_for_state("bob@shop.test", "waived");
}

#[test]
fn a_hold_that_the_wallet_ends_on_its_own_returns_the_mail_to_unpaid() {
    let node = Node::start("nwc");
    let satchel = Satchel::start(&node.config);
    let gate = satchel.stranger_writes("ann@shop.test", "In a hurry");
    let hash = node.pay(&satchel.invoice(&gate));
    satchel.wait_for_state("ann@shop.test", "held");
    // NIP-47 asks wallets to hold for minutes only.
    node.world.lock().cancel(hash).unwrap();
    satchel.wait_for_state("ann@shop.test", "waiting");
    let mut imap = satchel.imap();
    assert_eq!(imap.find("Unpaid", "In a hurry").len(), 1);
    // Another invoice can be paid.
    let hash = node.pay(&satchel.invoice(&gate));
    satchel.wait_for_state("ann@shop.test", "held");
    assert_eq!(node.state(hash), Is::Accepted);
    satchel.assert_audit();
}

#[test]
fn a_secret_that_is_wrong_or_that_others_can_read_stops_the_start() {
    let satchel = Satchel::prepared(
        "[wallet]\nbackend = \"lnd\"\naddress = \"https://127.0.0.1:1\"\nsecret_file = \"/etc/hostname\"\n",
    );
    let output = Command::new(BINARY).args(["up", "--dir"]).arg(satchel.path()).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("wallet.secret_file") && text.contains("0600"), "{text}");
    // Waiting would not mend it.
    let node = Node::start("phoenixd");
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "x").unwrap();
    let address = node.config.lines().find(|line| line.starts_with("address")).unwrap();
    satchel.configure(&format!(
        "[wallet]\nbackend = \"phoenixd\"\n{address}\nsecret_file = \"{}\"\n",
        secret.path().display()
    ));
    let output = Command::new(BINARY).args(["up", "--dir"]).arg(satchel.path()).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("phoenixd") && text.contains("401"), "{text}");
}

#[test]
fn what_a_user_is_owed_is_paid_out_to_a_wallet_that_makes_invoices() {
    let node = Node::start("lnd");
    let satchel = Satchel::start(&node.config);
    satchel.ask(&["price", ALICE, "--stranger", "5000", "--priority", "5000"]);
    // The user's wallet: a customer of the node's, behind a relay.
    let relay = node.runtime.block_on(Relay::start(false));
    let wallet = node.runtime.block_on(Service::start(&node.world, &relay, METHODS, "nip44_v2"));
    wallet.manner().is_customers = true;
    let mut input = satchel.command(&["account", "payout", ALICE, "--nwc-file", "-", "--above", "500"]);
    let mut child = input.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), wallet.uri.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && !String::from_utf8_lossy(&output.stdout).contains("secret"), "{output:?}");
    let gate = satchel.stranger_writes("bob@shop.test", "Well paid");
    node.pay(&satchel.invoice(&gate));
    satchel.wait_for_state("bob@shop.test", "held");
    satchel.ask(&["gate", "accept", &gate["id"].to_string()]);
    let left = eventually("it is paid out", || {
        let owed = satchel.ask(&["wallet", "balance"])["users_msat"].as_u64().unwrap();
        (node.world.lock().sent.len() == 1 && owed < 4_500_000).then_some(owed)
    });
    let sent: u64 = node.world.lock().sent.values().map(|sent| sent.amount_msat).sum();
    assert_eq!(left + sent + FEE_MSAT, 4_500_000);
    assert!(left >= 500_000);
    satchel.assert_audit();
}
