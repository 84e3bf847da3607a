//! Who gets mail, and whether everybody's money agrees.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::load::deliver;
use crate::support::satchel::Satchel;

/// A second account, with a password of its own.
pub fn add_bob(satchel: &Satchel) -> (String, String) {
    let (user, password) = ("bob@satchel.test", "a long enough password");
    satchel.ask_with_input(&["account", "add", user, "--password-stdin"], &format!("{password}\n"));
    (user.to_owned(), password.to_owned())
}

/// What the commands say of money, in millisatoshi.
#[derive(Debug, Clone, Copy)]
pub struct Money {
    /// The customer's.
    pub customer: i64,
    /// Locked, by our own books.
    pub held: i64,
    /// Locked, by the channels.
    pub node_held: i64,
    /// Received, and not decided about or not paid back yet.
    pub escrow: i64,
    /// Gates whose escrow is being paid back.
    pub refunding: usize,
    /// Arrived, over all gates.
    pub settled: i64,
    /// Gates between decision and money.
    pub settling: usize,
    /// Gates whose accepted payment was gone.
    pub lost: usize,
}

impl Money {
    pub fn of(satchel: &Satchel) -> Self {
        let gates = satchel.gates();
        let balance = satchel.ask(&["wallet", "balance"]);
        let customer = satchel.ask(&["sandbox", "wallet"]);
        let count = |state: &str| gates.iter().filter(|gate| gate["state"] == state).count();
        Self {
            customer: customer["balance_msat"].as_i64().unwrap(),
            held: balance["held_msat"].as_i64().unwrap(),
            node_held: balance["node_held_msat"].as_i64().unwrap(),
            escrow: balance["escrow_msat"].as_i64().unwrap(),
            refunding: gates.iter().filter(|gate| gate["refunding"] == true).count(),
            settled: gates.iter().filter(|g| g["state"] == "settled").map(|g| g["paid_msat"].as_i64().unwrap()).sum(),
            settling: count("settling"),
            lost: count("lost"),
        }
    }

    fn agrees(&self, before: &Self) -> bool {
        let spent = self.settled + self.held + self.escrow;
        self.settling == 0
            && self.refunding == 0
            && self.held == self.node_held
            && self.customer == before.customer - spent
    }
}

/// Waits until books, channels, gates and the customer's wallet agree; fails the test after `deadline`.
pub fn money_agrees(satchel: &Satchel, before: Money, deadline: Instant) -> Money {
    let money = loop {
        let money = Money::of(satchel);
        if money.agrees(&before) {
            break money;
        }
        assert!(Instant::now() < deadline, "before {before:?}, now {money:?}; log:\n{}", satchel.log_text());
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(money.lost, 0, "a payment was lost");
    let output = satchel.command(&["wallet", "audit"]).output().unwrap();
    let audit: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(audit["ok"], true, "{audit}");
    money
}

/// An invoice of a gate.
pub fn invoice(satchel: &Satchel, gate: &Value) -> String {
    let invoice = satchel.ask(&["gate", "invoice", &gate["id"].to_string()]);
    invoice["bolt11"].as_str().unwrap().to_owned()
}

/// A mail of `author` to the first account, paid from the customer's wallet.
pub fn pay(satchel: &Satchel, author: &str) {
    let message = format!(
        "From: <{author}>\r\nTo: <alice@satchel.test>\r\nSubject: hello from {author}\r\nMessage-ID: <1.{author}>\r\n\r\nhi\r\n"
    );
    assert!(deliver(satchel.ports.smtp, author, &["alice@satchel.test"], message.as_bytes()).unwrap());
    let gate = satchel.gate_of(author).expect("a 250 means that the gate is there");
    let bolt11 = invoice(satchel, &gate);
    assert_eq!(satchel.ask(&["sandbox", "pay", &bolt11, "--tight"])["state"], "locked");
}

/// A whole paid mail, from DATA to the ledger.
pub fn settle_one(satchel: &Satchel, author: &str) {
    pay(satchel, author);
    let gate = satchel.wait_for_state(author, "held");
    satchel.ask(&["gate", "accept", &gate["id"].to_string()]);
    satchel.wait_for_state(author, "settled");
    assert_eq!(satchel.ask(&["wallet", "balance"])["users_msat"], 90_000);
}
