//! The same road over a node that somebody else runs: here a wallet behind a Nostr relay, played by the test.

use std::io::Write as _;
use std::process::{Command, Stdio};

use lightning::Invoice;

use crate::nwc::{METHODS, Service};
use crate::relay::Relay;
use crate::support::satchel::{BINARY, Satchel};
use crate::world::{Is, World};

/// What a stranger pays by default.
const PRICE: u64 = 100_000;

/// A wallet of the test's own, and the file with its connection string.
struct Node {
    world: World,
    service: Service,
    secret: tempfile::NamedTempFile,
    _runtime: tokio::runtime::Runtime,
}

impl Node {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let world = World::new(0);
        let service = runtime.block_on(async {
            let relay = Relay::start(false).await;
            Service::start(&world, &relay, METHODS, "nip44_v2").await
        });
        // Such a file is its owner's alone.
        let mut secret = tempfile::NamedTempFile::new().unwrap();
        secret.write_all(service.uri.as_bytes()).unwrap();
        Self { world, service, secret, _runtime: runtime }
    }

    fn config(&self) -> String {
        format!("[wallet]\nbackend = \"nwc\"\nsecret_file = \"{}\"\n", self.secret.path().display())
    }

    /// The stranger pays; the wallet tells.
    fn pay(&self, bolt11: &str) -> [u8; 32] {
        self.world.pay(bolt11).unwrap();
        let hash = Invoice::parse(bolt11).unwrap().hash.0;
        self.service.notify(hash);
        hash
    }

    fn state(&self, hash: [u8; 32]) -> Is {
        self.world.lock().invoices[&hash].state
    }
}

#[test]
fn mails_are_paid_accepted_and_declined_over_nostr_wallet_connect() {
    let node = Node::start();
    let mut satchel = Satchel::start(&node.config());
    let before = satchel.ask(&["wallet", "balance"]);
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
    crate::support::eventually("the claim and the refund are the wallet's", || {
        (node.state(accepted) == Is::Settled && node.state(declined) == Is::Canceled).then_some(())
    });
    satchel.assert_audit();
    let after = satchel.ask(&["wallet", "balance"]);
    let node_msat = |balance: &serde_json::Value| balance["node_msat"].as_u64().unwrap();
    assert_eq!(node_msat(&after), node_msat(&before) + PRICE, "{before} {after}");
    // Nothing of the connection, no invoice and no hash's preimage is in the log.
    let log = satchel.log_text();
    let secret = node.service.uri.split("secret=").nth(1).unwrap()[..64].to_owned();
    assert!(!log.contains(&secret) && !log.contains(&paid[0].0), "{log}");
    satchel.stop();
}

#[test]
fn a_hold_that_the_wallet_ends_on_its_own_returns_the_mail_to_unpaid() {
    let node = Node::start();
    let satchel = Satchel::start(&node.config());
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
fn a_wallet_that_is_not_there_or_a_secret_others_can_read_stops_the_start() {
    let satchel = Satchel::prepared(
        "[wallet]\nbackend = \"lnd\"\naddress = \"https://127.0.0.1:1\"\nsecret_file = \"/etc/hostname\"\n",
    );
    let output = Command::new(BINARY).args(["up", "--dir"]).arg(satchel.path()).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("wallet.secret_file") && text.contains("0600"), "{text}");
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "x").unwrap();
    satchel.configure(&format!(
        "[wallet]\nbackend = \"phoenixd\"\naddress = \"http://127.0.0.1:1\"\nsecret_file = \"{}\"\n",
        secret.path().display()
    ));
    let output = Command::new(BINARY).args(["up", "--dir"]).arg(satchel.path()).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("phoenixd") && text.contains("not running"), "{text}");
}
