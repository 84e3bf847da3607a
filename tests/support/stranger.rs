//! What strangers do: write, and pay.

use serde_json::Value;

use super::eventually;
use super::satchel::Satchel;
use super::smtp::{plain, send};

/// The first account of every sandbox.
pub const ALICE: &str = "alice@satchel.test";

impl Satchel {
    /// A small mail of `author` to alice; returns its gate, waiting.
    pub fn stranger_writes(&self, author: &str, subject: &str) -> Value {
        send(self.ports.smtp, author, ALICE, &plain(author, ALICE, subject, "Good day, one question."));
        self.wait_for_state(author, "waiting")
    }

    /// A fresh or live invoice of a gate.
    pub fn invoice(&self, gate: &Value) -> String {
        self.ask(&["gate", "invoice", &gate["id"].to_string()])["bolt11"].as_str().unwrap().to_owned()
    }

    /// Pays an invoice from the sandbox's customer wallet; the money must lock. Tightly: the blocks that LDK's own payers
    /// add would hide a window that is too short.
    pub fn pay(&self, bolt11: &str) {
        assert_eq!(self.pay_like(bolt11, &["--tight"]), "locked");
    }

    /// Pays like somebody who does as `how` says; how that ended, as far as it did.
    pub fn pay_like(&self, bolt11: &str, how: &[&str]) -> String {
        // A payment that failed is an exit code of 1, and still an answer.
        let output = self.command(&[&["sandbox", "pay", bolt11][..], how].concat()).output().unwrap();
        let paid: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        paid["state"].as_str().unwrap().to_owned()
    }

    /// A mail of `author` to alice, paid: it lies in Requests. Returns its invoice.
    pub fn stranger_pays(&self, author: &str, subject: &str) -> String {
        let gate = self.stranger_writes(author, subject);
        let bolt11 = self.invoice(&gate);
        self.pay(&bolt11);
        self.wait_for_state(author, "held");
        bolt11
    }

    /// What the customer's wallet says of a payment.
    pub fn payment(&self, bolt11: &str) -> Value {
        self.ask(&["sandbox", "wallet", bolt11])["payment"].clone()
    }

    /// The same, asked on the server's own socket: without the time a process takes to start.
    pub fn payment_at_once(&self, bolt11: &str) -> Value {
        let request = satchel::cli::Request::SandboxWallet { bolt11: Some(bolt11.to_owned()) };
        self.told(&request)["payment"].clone()
    }

    /// What the customer's wallet holds.
    pub fn customer_msat(&self) -> u64 {
        self.ask(&["sandbox", "wallet"])["balance_msat"].as_u64().unwrap()
    }

    /// Waits until the customer's wallet says `state` of a payment.
    pub fn wait_for_payment(&self, bolt11: &str, state: &str) {
        eventually(&format!("the payment is {state}"), || (self.payment(bolt11) == state).then_some(()));
    }

    /// Waits until the customer's wallet holds exactly `msat` again.
    pub fn wait_for_customer(&self, msat: u64) {
        let mut last = 0;
        eventually("the customer's balance is back", || {
            last = self.customer_msat();
            (last == msat).then_some(())
        });
    }

    /// The books agree with the node.
    pub fn assert_audit(&self) {
        let audit = self.ask(&["wallet", "audit"]);
        assert_eq!(audit["ok"], true, "{audit}");
    }

    /// What `contact list` says of an author.
    pub fn relation(&self, author: &str) -> Option<String> {
        let contacts = self.ask(&["contact", "list", ALICE]);
        let contact = contacts.as_array().unwrap().iter().find(|contact| contact["author"] == author)?.clone();
        Some(contact["relation"].as_str().unwrap().to_owned())
    }
}
