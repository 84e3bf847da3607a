//! A user's own money: paid out by itself, to an address or a wallet; and a wallet that pays what other bridges ask.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use lightning::Invoice;
use serde_json::Value;

use crate::servers::nwc::{METHODS, Service};
use crate::servers::relay::Relay;
use crate::servers::world::World;
use crate::support::eventually;
use crate::support::satchel::Satchel;
use crate::support::smtp::{Smtp, plain};
use crate::support::stranger::ALICE;

/// What alice is owed for one mail at 5000 sat.
const SHARE: u64 = 4_500_000;

/// A stranger's mail is paid and accepted.
fn earn(satchel: &Satchel, author: &str) {
    satchel.stranger_pays(author, "Well paid");
    let gate = satchel.gate_of(author).unwrap();
    satchel.ask(&["gate", "accept", &gate["id"].to_string()]);
}

fn owed(satchel: &Satchel) -> u64 {
    satchel.ask(&["wallet", "balance"])["users_msat"].as_u64().unwrap()
}

/// What `account list` says of alice.
fn listed(satchel: &Satchel) -> Value {
    satchel.ask(&["account", "list"]).as_array().unwrap().iter().find(|one| one["address"] == ALICE).unwrap().clone()
}

/// A wallet of the user's own behind a relay, and the file with its connection string.
struct OwnWallet {
    world: World,
    service: Service,
    file: PathBuf,
    _dir: tempfile::TempDir,
    runtime: Option<tokio::runtime::Runtime>,
}

impl OwnWallet {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (world, dir) = (World::new(0), tempfile::tempdir().unwrap());
        let service = runtime.block_on(async {
            let relay = Relay::start(false).await;
            Service::start(&world, &relay, METHODS, "nip44_v2").await
        });
        let file = dir.path().join("wallet");
        std::fs::write(&file, &service.uri).unwrap();
        Self { world, service, file, _dir: dir, runtime: Some(runtime) }
    }

    fn file(&self) -> &str {
        self.file.to_str().unwrap()
    }

    /// Wallet and relay go away.
    fn leave(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    /// Asked to pay so often.
    fn asked(&self) -> u32 {
        self.service.manner().asked_to_pay
    }

    fn has_paid(&self, bolt11: &str) -> bool {
        self.world.lock().sent.contains_key(&Invoice::parse(bolt11).unwrap().hash.0)
    }
}

#[test]
fn what_exceeds_the_threshold_is_paid_out_once_whenever_the_bridge_is_killed() {
    let mut satchel = Satchel::prepared("[money]\npayout_every = \"1s\"\n");
    let point = satchel.die_at();
    satchel.resume();
    satchel.ask(&["price", ALICE, "--stranger", "5000", "--priority", "5000"]);
    let before = satchel.customer_msat();
    let set = satchel.ask(&["account", "payout", ALICE, "--to", "sandbox", "--above", "1000"]);
    assert_eq!((&set["payout"]["to"], &set["payout"]["above_sat"]), (&"sandbox".into(), &1000.into()), "{set}");
    for (round, dies) in (1..).zip(["share.noted", "payout.sent", "share.paid"]) {
        std::fs::write(&point, dies).unwrap();
        earn(&satchel, &format!("bob{round}@shop.test"));
        satchel.rise(&point);
        // What is left is the threshold, what the fees might have come to, and less than a least payout.
        eventually("what exceeds the threshold is paid out", || {
            let settled = satchel.gates().iter().all(|gate| gate["state"] == "settled");
            (settled && owed(&satchel) < 1_000_000 + 1_060_000).then_some(())
        });
        eventually("nothing is under way", || (listed(&satchel)["payout"]["under_way"] == false).then_some(()));
        // Dying at any point: all that left is with the customer, who paid 5000 sat each time: nothing was paid twice.
        let paid_out = satchel.customer_msat() + round * 5_000_000 - before;
        assert_eq!(paid_out + owed(&satchel), round * SHARE);
        assert!(owed(&satchel) >= 1_000_000);
        satchel.assert_audit();
    }
    let listed = listed(&satchel)["payout"].clone();
    assert_eq!((&listed["failures"], &listed["failing"]), (&0.into(), &Value::Null), "{listed}");
    // Off: it stays.
    satchel.ask(&["account", "payout", ALICE, "--off"]);
    let left = owed(&satchel);
    earn(&satchel, "late@shop.test");
    satchel.wait_for_state("late@shop.test", "settled");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(owed(&satchel), left + SHARE);
}

#[test]
fn a_payout_that_fails_is_told_and_goes_to_the_users_own_wallet_instead() {
    let satchel = Satchel::start("");
    satchel.ask(&["price", ALICE, "--stranger", "5000", "--priority", "5000"]);
    let refused = satchel.command(&["account", "payout", ALICE, "--to", "elsewhere", "--above", "0"]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("name@wallet.example"), "{refused:?}");
    let set = satchel.ask(&["account", "payout", ALICE, "--to", "alice@wallet.invalid", "--above", "0"]);
    assert!(set["warning"].as_str().unwrap().contains("Lightning address"), "{set}");
    earn(&satchel, "bob@shop.test");
    let mut imap = satchel.imap();
    eventually("it is tried further", || (listed(&satchel)["payout"]["failures"].as_u64()? >= 3).then_some(()));
    assert_eq!(imap.find("INBOX", "A payout to you failed").len(), 1);
    let uid = eventually("she is told", || imap.find("INBOX", "A payout to you failed").first().copied());
    let text = String::from_utf8_lossy(&imap.body(uid)).into_owned();
    assert!(text.contains("alice@wallet.invalid") && text.contains("stays yours"), "{text}");
    let shown = listed(&satchel)["payout"].clone();
    assert!(
        shown["failures"].as_u64().unwrap() >= 2 && shown["failing"].is_string() && shown["not_before"].is_string(),
        "{shown}"
    );
    assert_eq!(owed(&satchel), SHARE);
    // A wallet of hers makes invoices: here for what the sandbox's node cannot reach, which is a failure of its own.
    let wallet = OwnWallet::start();
    wallet.service.manner().is_customers = true;
    let set = satchel.ask(&["account", "payout", ALICE, "--nwc-file", wallet.file()]);
    assert_eq!((&set["payout"]["to"], &set["payout"]["above_sat"]), (&"nwc".into(), &0.into()), "{set}");
    assert_eq!(set["warning"], Value::Null);
    eventually("that fails, too", || listed(&satchel)["payout"]["failing"].is_string().then_some(()));
    // Told once for each choice, at the second failure.
    eventually("she is told again", || (imap.find("INBOX", "A payout to you failed").len() == 2).then_some(()));
    // Nothing of the secret is told or kept in the clear.
    let secret = wallet.service.uri.split("secret=").nth(1).unwrap()[..64].to_owned();
    assert!(!satchel.log_text().contains(&secret) && !listed(&satchel).to_string().contains(&secret));
    let found = Command::new("grep").args(["-rlF", &secret]).arg(satchel.path()).output().unwrap();
    assert!(found.stdout.is_empty(), "{found:?}");
    satchel.assert_audit();
}

/// A mail of alice's to somebody there.
fn submit(satchel: &Satchel, subject: &str) {
    let (user, password) = satchel.first_login();
    let mail = plain(ALICE, "dave@books.test", subject, "A question.");
    let reply = Smtp::login(satchel.ports.submission, &user, &password).mail(ALICE, "dave@books.test", &mail);
    assert!(reply.starts_with("250"), "{reply}");
}

/// What a bridge at books.test answers to the mail of this subject.
fn request(satchel: &Satchel, answers: &str, subject: &str, bolt11: &str) {
    let message = format!(
        "From: <postmaster@books.test>\r\nTo: <{ALICE}>\r\nSubject: {subject}\r\nIn-Reply-To: <{}@satchel.test>\r\n\
         Auto-Submitted: auto-replied\r\nLNMP-Payment: {bolt11}\r\nMessage-ID: <{}@books.test>\r\n\r\nPlease pay.\r\n",
        answers.replace(' ', "."),
        subject.replace(' ', "."),
    );
    let mut session = Smtp::greeted(satchel.ports.smtp);
    session.expect("250", "EHLO books.test");
    let reply = session.mail("", ALICE, message.as_bytes());
    assert!(reply.starts_with("250"), "{reply}");
}

/// The newest mail with this subject in INBOX.
fn letter(satchel: &Satchel, subject: &str, says: &str) -> String {
    let mut imap = satchel.imap();
    eventually(&format!("{subject:?} says {says:?}"), || {
        let uid = *imap.find("INBOX", subject).last()?;
        let text = String::from_utf8_lossy(&imap.body(uid)).replace("=\r\n", "").replace("\r\n", " ");
        text.contains(says).then_some(text)
    })
}

#[test]
fn a_price_is_paid_by_the_users_wallet_once_whatever_it_says_and_whenever_the_bridge_is_killed() {
    let mut satchel = Satchel::start("");
    let mut wallet = OwnWallet::start();
    satchel.ask(&["price", ALICE, "--max-auto-pay", "300"]);
    let set = satchel.ask(&["account", "wallet", ALICE, "--nwc-file", wallet.file()]);
    assert_eq!((&set["wallet"], &set["warning"]), (&"nwc".into(), &Value::Null), "{set}");
    assert_eq!(listed(&satchel)["wallet"], "nwc");
    let world = wallet.world.clone();
    let invoice = || world.customer_invoice(200_000);
    for subject in ["One", "Two", "Three", "Four"] {
        submit(&satchel, &format!("Letter {subject}"));
    }

    // Within the limit, from her wallet: nothing of it is in the bridge's books.
    let first = invoice();
    request(&satchel, "Letter One", "A price for one", &first);
    assert!(letter(&satchel, "A price for one", "LNMP-Outbound-Price").contains("asked of your wallet"));
    eventually("her wallet has paid", || wallet.has_paid(&first).then_some(()));
    // The same mail again.
    let again = invoice();
    request(&satchel, "Letter One", "A price for one again", &again);
    letter(&satchel, "A price for one again", "Please pay");

    // The wallet says no: she reads why.
    wallet.service.manner().refuses = Some("QUOTA_EXCEEDED");
    let second = invoice();
    request(&satchel, "Letter Two", "A price for two", &second);
    let told = letter(&satchel, "was not paid", "QUOTA_EXCEEDED");
    assert!(told.contains("budget") && told.contains(&second[..20]), "{told}");
    assert!(!wallet.has_paid(&second) && !wallet.has_paid(&again));
    wallet.service.manner().refuses = None;

    // It pays and does not say so, and the bridge is killed: it is looked up, and not asked again.
    wallet.service.manner().is_silent = true;
    let asked = wallet.asked();
    let third = invoice();
    request(&satchel, "Letter Three", "A price for three", &third);
    eventually("her wallet has paid, silently", || wallet.has_paid(&third).then_some(()));
    satchel.kill();
    satchel.resume();
    eventually("it is found out", || {
        (satchel.log_text().matches("a price was paid by its user's wallet").count() == 2).then_some(())
    });
    assert_eq!(wallet.asked(), asked + 1);
    wallet.service.manner().is_silent = false;

    // Away: she reads that, and nothing is asked later.
    wallet.leave();
    request(&satchel, "Letter Four", "A price for four", &invoice());
    letter(&satchel, "was not paid", "does not answer");
    assert_eq!(wallet.asked(), asked + 1);

    // From the balance again.
    satchel.ask(&["account", "wallet", ALICE, "--off"]);
    assert_eq!(listed(&satchel)["wallet"], Value::Null);
    assert_eq!(owed(&satchel), 0);
    satchel.assert_audit();
}

#[test]
fn a_wallet_is_asked_for_a_price_once_wherever_the_bridge_dies() {
    let mut satchel = Satchel::prepared("");
    let point = satchel.die_at();
    satchel.resume();
    let wallet = OwnWallet::start();
    satchel.ask(&["price", ALICE, "--max-auto-pay", "300"]);
    satchel.ask(&["account", "wallet", ALICE, "--nwc-file", wallet.file()]);
    let mut bolt11s = Vec::new();
    for (dies, paid) in [("price.asked", 0), ("price.noted", 1), ("price.answered", 2)] {
        submit(&satchel, &format!("Letter {dies}"));
        std::fs::write(&point, dies).unwrap();
        let bolt11 = wallet.world.customer_invoice(200_000);
        request(&satchel, &format!("Letter {dies}"), &format!("A price {dies}"), &bolt11);
        satchel.rise(&point);
        bolt11s.push(bolt11);
        eventually(&format!("{dies}: it is paid, and that is known"), || {
            (satchel.log_text().matches("a price was paid by its user's wallet").count() == paid).then_some(())
        });
    }
    // Whether the wallet was asked cannot be known of the first: it is not asked again.
    assert_eq!(wallet.asked(), 2);
    assert_eq!(bolt11s.iter().map(|bolt11| wallet.has_paid(bolt11)).collect::<Vec<_>>(), [false, true, true]);
    assert!(satchel.imap().find("INBOX", "was not paid").is_empty());
    satchel.assert_audit();
}
