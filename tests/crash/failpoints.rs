//! SIGKILL at each named point of a payment's life (`lightning::failpoint`), one road after the other: the server dies
//! there, starts again, and everything comes to its end by itself.
//!
//! Each road has a sandbox of its own and goes on in it, so that what one death leaves behind meets the next.

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bitcoin::ScriptBuf;
use lightning::failpoint;
use lightning::sandbox::chain::Chain;
use satchel::cli::{PriceChange, Request};
use serde_json::Value;

use crate::books::{Agreed, Books};
use crate::people::{ENDS_WITHIN, People, Wish, gate_of};
use crate::support::satchel::Satchel;
use crate::support::smtp::{Smtp, plain};
use crate::support::stranger::ALICE;

/// The number of SIGKILL.
const SIGKILL: i32 = 9;
/// What a payout moves.
const PAYOUT_SAT: u64 = 10;
/// Quotes that a channel of fifty slots reserves: 60 %. The next is escrow.
const RESERVED: usize = 30;

/// A mail that is asked for and paid.
const PAID: &[&str] = &[
    "quote.begin",
    "quote.begun",
    "invoice.made",
    "invoice.published",
    "ask.done",
    "ask.finished",
    "customer.noted",
    "held.heard",
    "held.committed",
    "held.handled",
];
/// Accepted then.
const ACCEPTED: &[&str] = &[
    "decide.begin",
    "decide.committed",
    "claim.due",
    "claim.noted",
    "claim.made",
    "claim.told",
    "settled.heard",
    "settled.committed",
    "settled.handled",
    "claim.finished",
];
/// One that is declined.
const DECLINED: &[&str] =
    &["decide.committed", "cancel.due", "cancel.noted", "cancel.made", "cancel.told", "cancel.finished"];
/// One that is paid when no payment is wanted any more.
const REFUSED: &[&str] = &["refuse.committed"];
/// One that nobody answers.
const TIMED_OUT: &[&str] = &["hold.end", "hold.ended"];
/// One whose claim comes too late.
const LOST: &[&str] = &["lost.begin", "lost.committed"];
/// In escrow: received first, then accepted.
const RECEIVED: &[&str] = &[
    "quote.begun",
    "held.committed",
    "held.handled",
    "claim.due",
    "claim.noted",
    "claim.told",
    "settled.heard",
    "settled.committed",
    "settled.handled",
    "decide.committed",
];
/// In escrow, declined: paid back.
const PAID_BACK: &[&str] = &[
    "decide.committed",
    "refund.begin",
    "refund.noted",
    "refund.due",
    "pay.noted",
    "refund.sent",
    "refund.paid",
    "refund.recorded",
];
/// In escrow, nobody answers.
const PAID_BACK_LATE: &[&str] = &["hold.ended", "refund.noted"];
/// What a user is owed leaves.
const PAID_OUT: &[&str] = &["payout.noted", "pay.noted", "payout.sent", "payout.booked", "payout.ended"];
/// What another bridge asks for is paid.
const PRICE_PAID: &[&str] = &["price.due", "payout.noted", "pay.noted", "payout.sent", "payout.booked", "payout.ended"];
/// A share that leaves by itself, and a price from a wallet of the user's own: walked in tests/journeys/own_wallet.rs.
const OWN_WALLET: &[&str] = &["share.noted", "share.paid", "price.noted", "price.asked", "price.answered"];
/// The mail comes that a voucher was paid for: walked in tests/journeys/vouchers.rs.
const VOUCHER: &[&str] = &["voucher.begin", "voucher.committed"];
/// A start after a death dies, too.
const STARTING: &[&str] = &["reconcile.drained", "reconcile.done"];

#[test]
fn every_point_is_walked_and_stands_in_the_code_once() {
    let walked = [
        PAID,
        ACCEPTED,
        DECLINED,
        REFUSED,
        TIMED_OUT,
        LOST,
        RECEIVED,
        PAID_BACK,
        PAID_BACK_LATE,
        PAID_OUT,
        PRICE_PAID,
        OWN_WALLET,
        VOUCHER,
        STARTING,
    ];
    let walked: HashSet<&str> = walked.concat().into_iter().collect();
    let named: HashSet<&str> = failpoint::NAMES.iter().copied().collect();
    assert_eq!(walked, named);
    let mut code = String::new();
    for folder in ["src", "lightning/src"] {
        read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut code);
    }
    for name in failpoint::NAMES {
        assert_eq!(code.matches(&format!("failpoint::pass(\"{name}\")")).count(), 1, "{name}");
    }
    assert_eq!(
        code.matches("failpoint::pass(\"").count(),
        failpoint::NAMES.len(),
        "a point that has no name in the list"
    );
}

fn read_all(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn a_death_at_every_point_of_a_payment_s_way_in_locks_it_once() {
    let mut walk = Walk::begin("");
    for point in PAID {
        walk.mail(point, Wish::Accept);
    }
    walk.end();
}

#[test]
fn a_death_at_every_point_of_an_accepted_payment_settles_it_once() {
    let mut walk = Walk::begin("");
    let authors = walk.held(ACCEPTED);
    for (author, point) in authors.iter().zip(ACCEPTED) {
        walk.decided(author, point, Wish::Accept);
    }
    // A start that dies, and one more.
    for point in STARTING {
        let author = walk.author(point);
        walk.die("held.committed", |satchel, people| drop(people.step(satchel, &author, Wish::Accept)));
        walk.die_starting(point);
        walk.end_mail(&author, Wish::Accept);
    }
    walk.end();
}

#[test]
fn a_death_at_every_point_of_a_payment_that_goes_back_gives_it_back() {
    let mut walk = Walk::begin("");
    let authors = walk.held(DECLINED);
    for (author, point) in authors.iter().zip(DECLINED) {
        walk.decided(author, point, Wish::Decline);
    }
    for point in REFUSED {
        walk.mail(point, Wish::LetIn);
    }
    for point in LOST {
        walk.lose(point);
    }
    walk.end();
}

#[test]
fn a_death_at_the_end_of_a_hold_gives_the_money_back() {
    let mut walk = Walk::begin("[money]\nhold = \"2s\"\n");
    for point in TIMED_OUT {
        walk.mail(point, Wish::Nothing);
    }
    walk.fill();
    for point in PAID_BACK_LATE {
        walk.mail(point, Wish::Nothing);
    }
    walk.end();
}

#[test]
fn a_death_at_every_point_of_a_payment_into_escrow_books_it_once() {
    let mut walk = Walk::begin("");
    walk.fill();
    for point in RECEIVED {
        walk.mail(point, Wish::Accept);
    }
    walk.end();
}

#[test]
fn a_death_at_every_point_of_a_refund_pays_it_once() {
    let mut walk = Walk::begin("");
    walk.fill();
    for point in PAID_BACK {
        walk.mail(point, Wish::Decline);
    }
    walk.end();
}

#[test]
fn a_death_at_every_point_of_a_payout_pays_it_once() {
    let mut walk = Walk::begin("");
    walk.satchel.told(&Request::Price(PriceChange {
        address: ALICE.into(),
        stranger_sat: Some(1000),
        max_auto_pay_sat: Some(100),
        ..PriceChange::default()
    }));
    // Something to pay from.
    let author = walk.author("funds");
    walk.end_mail(&author, Wish::Accept);
    for point in PAID_OUT {
        walk.payout(point);
    }
    for point in PRICE_PAID {
        walk.price(point);
    }
    walk.end();
}

/// A sandbox, and everything that dies in it.
struct Walk {
    satchel: Satchel,
    people: People,
    books: Books,
    /// The file that says where to die.
    asked: PathBuf,
    _folder: tempfile::TempDir,
    begun: Instant,
    deaths: u32,
    authors: u32,
}

impl Walk {
    fn begin(config: &str) -> Self {
        let begun = Instant::now();
        let folder = tempfile::Builder::new().prefix("satchel-failpoint-").tempdir().unwrap();
        let asked = folder.path().join("point");
        let mut satchel = Satchel::prepared(config);
        satchel.environment = Some(("SATCHEL_FAILPOINT", format!("@{}", asked.display())));
        satchel.resume();
        let books = Books::open(&satchel);
        Self { satchel, people: People::default(), books, asked, _folder: folder, begun, deaths: 0, authors: 0 }
    }

    fn end(&self) {
        let agreed = self.books.agree(&self.satchel);
        let Agreed { settled, settled_msat, declined, waiting, waived, lost } = agreed;
        println!(
            "FIGURE {} deaths in {:?}: {settled} settled ({settled_msat} msat), {declined} declined, {waiting} waiting, \
             {waived} let in, {lost} lost",
            self.deaths,
            self.begun.elapsed()
        );
    }

    /// A stranger nobody heard of.
    fn author(&mut self, why: &str) -> String {
        self.authors += 1;
        format!("a{}@{}.test", self.authors, why.replace('.', "-"))
    }

    /// So many open invoices that the next quote is escrow.
    fn fill(&mut self) {
        for _ in 0..RESERVED {
            let author = self.author("full");
            crate::people::write(&self.satchel, &author).unwrap();
            let id = gate_of(&self.satchel, &author).unwrap().unwrap()["id"].as_i64().unwrap();
            let quote = self.satchel.told(&Request::GateInvoice { id, priority: false });
            assert_eq!(quote["hold"], "htlc", "{quote}");
        }
    }

    /// Dies at `point` on a mail's road, and goes on to its end.
    fn mail(&mut self, point: &str, wish: Wish) {
        let author = self.author(point);
        self.decided(&author, point, wish);
        self.books.agree(&self.satchel);
    }

    /// Paid mails, one for each of the points: LDK looks at what is locked only two seconds after a start.
    fn held(&mut self, points: &[&str]) -> Vec<String> {
        let authors: Vec<String> = points.iter().map(|point| self.author(point)).collect();
        for author in &authors {
            self.eventually("a payment", |walk| {
                let _ = walk.people.step(&walk.satchel, author, Wish::Nothing);
                gate_of(&walk.satchel, author).unwrap().filter(|gate| gate["state"] == "held")
            });
        }
        authors
    }

    /// Dies at `point` of what the owner wishes for a mail; its gate ends as wished. What other mails' gates are at stays.
    fn decided(&mut self, author: &str, point: &str, wish: Wish) {
        self.die(point, |satchel, people| drop(people.step(satchel, author, wish)));
        self.satchel.resume();
        self.end_mail(author, wish);
    }

    fn end_mail(&self, author: &str, wish: Wish) {
        let gate = self.people.finish(&self.satchel, author, wish);
        let state = match wish {
            Wish::Accept => "settled",
            Wish::Decline => "declined",
            Wish::Nothing => "waiting",
            Wish::LetIn => "waived",
        };
        assert_eq!(gate["state"], state, "{gate}");
    }

    /// The claim is decided and not made; the chain goes past the deadline while the server is down.
    fn lose(&mut self, point: &str) {
        let author = self.author(point);
        self.die("claim.due", |satchel, people| drop(people.step(satchel, &author, Wish::Accept)));
        self.satchel.mine_while_down(&author);
        self.ask_for(point);
        let _lines = self.satchel.spawn();
        self.wait_for_death(point);
        self.satchel.resume();
        let gate = self.people.finish(&self.satchel, &author, Wish::Accept);
        assert_eq!(gate["state"], "lost", "{gate}");
        self.books.agree(&self.satchel);
    }

    /// Dies at `point` of a payout.
    fn payout(&mut self, point: &str) {
        let bolt11 = self.invoice();
        let request = Request::WalletPayout { address: ALICE.into(), bolt11: bolt11.clone() };
        self.die(point, |satchel, _| drop(satchel.tell(&request)));
        self.satchel.resume();
        self.books.pay_out(i64::try_from(PAYOUT_SAT * 1000).unwrap());
        self.eventually("the payout", |walk| {
            let paid = is_paid(&walk.satchel, &bolt11);
            if !paid {
                // Whoever asked does not know whether it was done, and asks again.
                let _ = walk.satchel.tell(&request);
            }
            paid.then_some(())
        });
        self.books.agree(&self.satchel);
    }

    /// Dies at `point` while another bridge's price is paid.
    fn price(&mut self, point: &str) {
        let to = self.author("books");
        let subject = format!("Letter to {to}");
        let (user, password) = self.satchel.first_login();
        let reply = Smtp::login(self.satchel.ports.submission, &user, &password).mail(
            ALICE,
            &to,
            &plain(ALICE, &to, &subject, "A question."),
        );
        assert!(reply.starts_with("250"), "{reply}");
        let bolt11 = self.invoice();
        let domain = to.split('@').nth(1).unwrap();
        let message = format!(
            "From: <postmaster@{domain}>\r\nTo: <{ALICE}>\r\nSubject: A price\r\nIn-Reply-To: <{}@satchel.test>\r\n\
             Auto-Submitted: auto-replied\r\nLNMP-Payment: {bolt11}\r\nMessage-ID: <1.{to}>\r\n\r\nPlease pay.\r\n",
            subject.replace(' ', "."),
        );
        let mut asked = false;
        self.die(point, |satchel, _| {
            if !std::mem::replace(&mut asked, true) {
                let mut session = Smtp::greeted(satchel.ports.smtp);
                session.expect("250", &format!("EHLO {domain}"));
                let _ = session.mail("", ALICE, message.as_bytes());
            }
        });
        self.satchel.resume();
        self.books.pay_out(i64::try_from(PAYOUT_SAT * 1000).unwrap());
        // Nobody asks again: it is paid by itself.
        self.eventually("the price", |walk| is_paid(&walk.satchel, &bolt11).then_some(()));
        self.books.agree(&self.satchel);
    }

    fn invoice(&self) -> String {
        let invoice = self.satchel.told(&Request::SandboxInvoice { sat: PAYOUT_SAT });
        invoice["bolt11"].as_str().unwrap().to_owned()
    }

    fn ask_for(&self, point: &str) {
        let partial = self.asked.with_extension("partial");
        std::fs::write(&partial, point).unwrap();
        std::fs::rename(&partial, &self.asked).unwrap();
    }

    /// Does `work` until the server died at `point`. It is down then.
    fn die(&mut self, point: &str, mut work: impl FnMut(&Satchel, &People)) {
        self.ask_for(point);
        let deadline = Instant::now() + ENDS_WITHIN;
        while self.satchel.is_running() {
            assert!(Instant::now() < deadline, "{point} was never passed; log:\n{}", self.satchel.log_text());
            work(&self.satchel, &self.people);
            std::thread::sleep(Duration::from_millis(10));
        }
        self.dead(point);
    }

    /// Starts, and dies before it is ready. It is up then.
    fn die_starting(&mut self, point: &str) {
        self.ask_for(point);
        let _lines = self.satchel.spawn();
        self.wait_for_death(point);
        self.satchel.resume();
    }

    fn wait_for_death(&mut self, point: &str) {
        let deadline = Instant::now() + ENDS_WITHIN;
        while self.satchel.is_running() {
            assert!(Instant::now() < deadline, "{point} was never passed; log:\n{}", self.satchel.log_text());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.dead(point);
    }

    fn dead(&mut self, point: &str) {
        let status = self.satchel.ended().unwrap();
        assert_eq!(status.signal(), Some(SIGKILL), "{point}: {status}; log:\n{}", self.satchel.log_text());
        std::fs::remove_file(&self.asked).unwrap();
        self.deaths += 1;
        println!("dead at {point} after {:?}", self.begun.elapsed());
    }

    fn eventually<T>(&self, what: &str, mut condition: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + ENDS_WITHIN;
        loop {
            if let Some(value) = condition(self) {
                return value;
            }
            assert!(Instant::now() < deadline, "{what} is stuck; log:\n{}", self.satchel.log_text());
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

/// Whether the ledger says that a payment of ours succeeded.
fn is_paid(satchel: &Satchel, bolt11: &str) -> bool {
    let posting = format!("paid:{}", lightning::Invoice::parse(bolt11).unwrap().hash);
    let lines = satchel.told(&Request::WalletStatement { address: None, csv: false });
    lines.as_array().unwrap().iter().any(|line: &Value| line["posting"] == posting.as_str())
}

impl Satchel {
    /// The chain goes on while the server is down: past the deadline of an author's payment, and not so far that a peer
    /// would go to the chain.
    fn mine_while_down(&self, author: &str) {
        let deadline = self.gate_of(author).unwrap()["deadline_height"].as_u64().unwrap();
        let chain = Chain::open(&self.path().join("lightning/chain.log"), ScriptBuf::new()).unwrap();
        let blocks = u32::try_from(deadline).unwrap() + 1 - chain.height();
        chain.mine(blocks, chain.tip_time() + 1).unwrap();
    }
}
