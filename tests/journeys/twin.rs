//! The house's own workers over its wallet's twin in memory: what takes a month of blocks, and a chain that stands still.
//!
//! No block waits for ten minutes here, so the wall clock never ends a hold before its blocks do: the hard case.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lightning::memory::MemoryWallet;
use lightning::{HoldStatus, Wallet};
use lnmp::{Act, GateId, GateState, Msat, PaymentHash, Place, Relation};
use satchel::cli::Request;
use satchel::dir::Dir;
use satchel::flow::{ask, expire, pay, reconcile, submit, work};
use satchel::house::{House, Ports, Running, now_ms};
use satchel::{command, config::Config, tls::Certificates};
use store::{Author, Batch, Gate, NewGate};
use tokio::sync::watch;

use crate::support::stranger::ALICE;
use crate::support::{Chance, PATIENCE, seed};

/// Of ten minutes each.
const MONTH_BLOCKS: u32 = 30 * 144;

/// A house without doors, and the one account in it.
struct Twin {
    house: Arc<House>,
    wallet: Arc<MemoryWallet>,
    mails: u32,
    stop: watch::Sender<bool>,
    _dir: tempfile::TempDir,
}

impl Twin {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = Dir::open(folder.path()).unwrap();
        let config = Config::default();
        let certificates = Certificates::open(&config, &dir).unwrap();
        let house = command::closed(config, dir).await.unwrap();
        let nowhere = smtp::Resolver::new(smtp::DnsConfig::server(([127, 0, 0, 1], 1).into())).unwrap();
        let wallet = Arc::new(MemoryWallet::new());
        let none = None;
        house.start(Running {
            shelf: Arc::new(attachments::memory::MemoryShelf::new()),
            wallet: Arc::clone(&wallet) as Arc<dyn Wallet>,
            sandbox: None,
            authenticator: smtp::Authenticator::new(&house.config.server.name, &nowhere),
            router: smtp::Router::new(nowhere.clone()),
            resolver: nowhere,
            public_url: "http://127.0.0.1:1".into(),
            ports: Ports {
                smtp: none,
                submission: none,
                submissions: none,
                imap: none,
                imaps: none,
                web: none,
                https: none,
                lmtp: none,
                relay: none,
            },
            certificates,
            acme: None,
        });
        let password = "correct horse battery staple".to_owned();
        let account = Request::AccountAdd { address: ALICE.into(), password, server_custody: false };
        command::execute(&house, account).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(pay::run(Arc::clone(&house), Arc::clone(&wallet) as Arc<dyn Wallet>, stopped.clone()));
        tokio::spawn(work::run(Arc::clone(&house), stopped));
        Self { house, wallet, mails: 0, stop, _dir: folder }
    }

    /// A mail of somebody nobody knows, over a price in sat.
    async fn mail(&mut self, sat: u64) -> GateId {
        self.mails += 1;
        let author = format!("author{0}@shop{0}.test", self.mails);
        let message_id = format!("<{}@shop.test>", self.mails);
        let mail = format!(
            "From: <{author}>\r\nTo: <{ALICE}>\r\nMessage-ID: {message_id}\r\nSubject: Hello\r\n\r\nHello.\r\n"
        );
        let now = now_ms();
        let mut delivery =
            submit::letter(&self.house, ALICE, mail.as_bytes(), now).await.ok().and_then(|mut all| all.pop()).unwrap();
        delivery.place = Place::Unpaid;
        delivery.author = Some(Author { address: author.clone(), aligned: true, evidence: None });
        delivery.gate = Some(NewGate {
            relation: Relation::Stranger,
            price: Msat(sat * 1000),
            priority_price: Msat(50_000_000),
            recipient: ALICE.into(),
            ask: Some(author),
            dkim_signature: None,
            message_id: Some(message_id),
            voucher: false,
        });
        let batch = Batch { deliveries: vec![delivery], ..Batch::default() };
        self.house.store.commit(batch, now).await.unwrap().pop().unwrap().gate.unwrap()
    }

    /// Its author pays.
    async fn pay(&self, gate: GateId) -> PaymentHash {
        let quote = ask::quote(&self.house, gate, false).await.unwrap();
        let hash = self.wallet.pay_held(quote.bolt11.as_deref().unwrap()).unwrap();
        self.until(gate, GateState::Held).await;
        hash
    }

    async fn decide(&self, gate: GateId, act: Act) {
        self.house.store.decide(gate, act, now_ms()).await.unwrap();
        self.house.work.notify_waiters();
    }

    async fn gate(&self, gate: GateId) -> Gate {
        self.house.store.gate(gate).await.unwrap().unwrap()
    }

    async fn until(&self, gate: GateId, state: GateState) -> Gate {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let there = self.gate(gate).await;
            if there.state == state {
                return there;
            }
            assert!(Instant::now() < deadline, "{gate:?} is {:?}, not {state:?}", there.state);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until the wallet no longer holds a payment; what became of it.
    async fn ended(&self, hash: PaymentHash) -> HoldStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.wallet.lookup(hash).await.unwrap();
            if !matches!(status, HoldStatus::Held { .. }) {
                return status;
            }
            assert!(Instant::now() < deadline, "a payment is still held");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn height(&self) -> u32 {
        self.wallet.chain().await.unwrap().height
    }

    /// The server's own keywords of a gate's mail, wherever it lies, and where that is.
    async fn keywords(&self, gate: GateId) -> (Place, Vec<String>) {
        let gate = self.gate(gate).await;
        let store = &self.house.store;
        for mailbox in store.mailboxes(gate.account).await.unwrap() {
            let entries = store.open(gate.account, mailbox.id, false).await.unwrap().entries;
            if let Some(mut entry) = entries.into_iter().find(|entry| entry.message == gate.message) {
                entry.keywords.sort();
                return (mailbox.place, entry.keywords);
            }
        }
        panic!("the mail is nowhere");
    }

    /// Letters to the owner of a gate's mail, and mails to its author.
    async fn letters(&self, gate: GateId) -> (usize, usize) {
        let (gate, store) = (self.gate(gate).await, &self.house.store);
        let mailboxes = store.mailboxes(gate.account).await.unwrap();
        let inbox = mailboxes.into_iter().find(|mailbox| mailbox.place == Place::Inbox).unwrap();
        let letters = store.open(gate.account, inbox.id, false).await.unwrap().entries.len();
        let queued = store.queue().await.unwrap();
        (letters, queued.iter().filter(|item| Some(&item.recipient) == gate.author.as_ref()).count())
    }

    async fn assert_audit(&self) {
        let audit = command::execute(&self.house, Request::WalletAudit).await.unwrap();
        assert_eq!(audit["ok"], true, "{audit}");
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

fn block_on<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

/// What the owner will do about a paid mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    AcceptAt(u32),
    DeclineAt(u32),
    Nothing,
}

/// A hold of the month.
struct Made {
    gate: GateId,
    hash: PaymentHash,
    sat: u64,
    plan: Plan,
    deadline: u32,
    ended_at: Option<u32>,
}

#[test]
fn in_a_month_of_blocks_no_payment_is_held_up_to_its_margin() {
    block_on(async {
        let began = Instant::now();
        let mut chance = Chance::new(seed());
        let mut twin = Twin::start().await;
        let mut all: Vec<Made> = Vec::new();
        let first = twin.height().await;
        let mut next = first;
        let mut received = 0;
        for height in first..first + MONTH_BLOCKS {
            // Three or four a day, as long as slots are free: nobody is behind, so each has its whole window.
            if height >= next {
                next = height + 20 + u32::try_from(chance.below(40)).unwrap();
                let sat = [10, 100, 353, 354, 1000, 20_000][usize::try_from(chance.below(6)).unwrap()];
                let gate = twin.mail(sat).await;
                let hash = twin.pay(gate).await;
                let deadline = twin.gate(gate).await.deadline_height.unwrap();
                assert!(deadline - height >= policy::window_min(policy::FINAL_CLTV_DEFAULT));
                // Also in the last block before the house ends it.
                let at =
                    height + u32::try_from(chance.below(u64::from(deadline - policy::MARGIN_BLOCKS - height))).unwrap();
                let plan =
                    [Plan::AcceptAt(at), Plan::DeclineAt(at), Plan::Nothing][usize::try_from(chance.below(3)).unwrap()];
                all.push(Made { gate, hash, sat, plan, deadline, ended_at: None });
            }
            for made in all.iter_mut().filter(|made| made.ended_at.is_none()) {
                let (act, expected) = match made.plan {
                    Plan::AcceptAt(at) if at == height => (Act::MarkedAccepted, HoldStatus::Settled),
                    Plan::DeclineAt(at) if at == height => (Act::MarkedDeclined, HoldStatus::Cancelled),
                    _ => continue,
                };
                twin.decide(made.gate, act).await;
                assert_eq!(twin.ended(made.hash).await, expected, "{:?}", made.plan);
                made.ended_at = Some(height);
                received += if expected == HoldStatus::Settled { made.sat * 1000 } else { 0 };
            }
            let height = twin.wallet.mine(1);
            expire::end_holds(&twin.house).await.unwrap();
            for made in all.iter_mut().filter(|made| made.ended_at.is_none()) {
                if made.deadline <= height + policy::MARGIN_BLOCKS {
                    assert_eq!(made.plan, Plan::Nothing);
                    // Returned by the house: the node would do it only at the deadline.
                    assert_eq!(twin.ended(made.hash).await, HoldStatus::Cancelled);
                    made.ended_at = Some(height);
                }
            }
            for held in twin.wallet.inbound().await.unwrap().held {
                assert!(held.deadline_height > height + policy::MARGIN_BLOCKS, "{held:?} is held at {height}");
            }
        }
        let mut counts = [0; 3];
        for made in all {
            let Some(at) = made.ended_at else { continue };
            assert!(at + policy::MARGIN_BLOCKS <= made.deadline, "ended at {at}, deadline {}", made.deadline);
            let (state, index) = match made.plan {
                Plan::AcceptAt(_) => (GateState::Settled, 0),
                Plan::DeclineAt(_) => (GateState::Declined, 1),
                Plan::Nothing => (GateState::Waiting, 2),
            };
            let gate = twin.until(made.gate, state).await;
            assert_eq!(gate.refunded, made.plan == Plan::Nothing);
            counts[index] += 1;
        }
        assert!(counts.iter().all(|count| *count >= 10), "{counts:?} accepted, declined, left alone");
        assert_eq!(twin.wallet.balance().await.unwrap().channel, Msat(received), "only what was accepted");
        twin.assert_audit().await;
        println!("FIGURE a month of blocks with {counts:?} accepted, declined, left alone in {:?}", began.elapsed());
    });
}

#[test]
fn while_the_node_is_behind_claims_wait_and_nothing_else_does() {
    block_on(async {
        let mut twin = Twin::start().await;
        let mut gates = Vec::new();
        for _ in 0..3 {
            let gate = twin.mail(100).await;
            let hash = twin.pay(gate).await;
            gates.push((gate, hash));
        }
        let [(accepted, claim), (declined, cancel), (alone, left)] = gates[..] else { panic!("three") };
        twin.wallet.set_fresh(false);
        twin.decide(accepted, Act::MarkedAccepted).await;
        twin.decide(declined, Act::MarkedDeclined).await;
        assert_eq!(twin.ended(cancel).await, HoldStatus::Cancelled);
        let deadline = twin.gate(alone).await.deadline_height.unwrap();
        twin.wallet.mine(deadline - policy::MARGIN_BLOCKS - twin.height().await);
        assert_eq!(expire::end_holds(&twin.house).await.unwrap(), 1, "the accepted one is not the clock's any more");
        assert_eq!(twin.ended(left).await, HoldStatus::Cancelled);
        assert_eq!(twin.keywords(alone).await, (Place::Unpaid, vec!["$Refunded".into(), "$Unpaid".into()]));
        // The decision stands, the money waits.
        assert!(matches!(twin.wallet.lookup(claim).await.unwrap(), HoldStatus::Held { .. }));
        assert_eq!(twin.gate(accepted).await.state, GateState::Settling);
        assert_eq!(twin.keywords(accepted).await, (Place::Requests, vec!["$Accepted".into(), "$Paid".into()]));

        twin.wallet.set_fresh(true);
        twin.house.work.notify_waiters();
        assert_eq!(twin.ended(claim).await, HoldStatus::Settled);
        twin.until(accepted, GateState::Settled).await;
        assert_eq!(twin.keywords(accepted).await, (Place::Requests, vec!["$Accepted".into(), "$Settled".into()]));
        twin.assert_audit().await;
    });
}

#[test]
fn an_accepted_payment_whose_deadline_passed_unseen_is_lost_and_both_are_told() {
    block_on(async {
        let mut twin = Twin::start().await;
        let gate = twin.mail(100).await;
        let hash = twin.pay(gate).await;
        twin.wallet.set_fresh(false);
        twin.decide(gate, Act::MarkedAccepted).await;
        let deadline = twin.gate(gate).await.deadline_height.unwrap();
        twin.wallet.mine(deadline - twin.height().await);
        expire::end_holds(&twin.house).await.unwrap();
        // The node has returned it, and told nobody; on a chain that is not fresh nothing is concluded from that.
        assert_eq!(twin.wallet.lookup(hash).await.unwrap(), HoldStatus::Cancelled);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(twin.gate(gate).await.state, GateState::Settling);
        let told = twin.letters(gate).await;

        twin.wallet.set_fresh(true);
        twin.house.work.notify_waiters();
        twin.until(gate, GateState::Lost).await;
        assert_eq!(twin.keywords(gate).await, (Place::Requests, vec!["$Refunded".into()]));
        let balances = twin.house.store.balances().await.unwrap();
        assert_eq!((balances.node, balances.users, balances.fees, balances.held), (0, 0, 0, 0));
        let deadline = Instant::now() + PATIENCE;
        while twin.letters(gate).await != (told.0 + 1, told.1 + 1) {
            assert!(Instant::now() < deadline, "{told:?} letters before, {:?} now", twin.letters(gate).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        twin.assert_audit().await;
    });
}

#[test]
fn a_deadline_that_passes_without_an_event_is_found_by_asking_the_node() {
    block_on(async {
        let mut twin = Twin::start().await;
        let gate = twin.mail(100).await;
        let hash = twin.pay(gate).await;
        let deadline = twin.gate(gate).await.deadline_height.unwrap();
        // Nobody ticked meanwhile: the node's own deadline ends it, in silence.
        twin.wallet.mine(deadline - twin.height().await);
        assert_eq!(
            (twin.wallet.lookup(hash).await.unwrap(), twin.wallet.ready_event().await),
            (HoldStatus::Cancelled, None)
        );
        assert_eq!(twin.gate(gate).await.state, GateState::Held);
        reconcile::find_gone(&twin.house).await.unwrap();
        let there = twin.until(gate, GateState::Waiting).await;
        assert!(there.refunded && there.hold_until.is_none());
        assert_eq!(twin.keywords(gate).await, (Place::Unpaid, vec!["$Refunded".into(), "$Unpaid".into()]));
        // It may be paid again, under another hash.
        let again = twin.pay(gate).await;
        assert_ne!(again, hash);
        twin.decide(gate, Act::MarkedAccepted).await;
        twin.until(gate, GateState::Settled).await;
        twin.assert_audit().await;
    });
}
