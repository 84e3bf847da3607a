//! What must hold of all the money whenever nothing is under way.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use satchel::cli::Request;
use serde_json::Value;

use crate::people::ENDS_WITHIN;
use crate::support::satchel::Satchel;

/// The customer's money when all began, and what was paid to them since.
#[derive(Debug, Clone, Copy)]
pub struct Books {
    customer: i64,
    paid_out: i64,
}

/// What was found when all agreed.
#[derive(Debug, Clone, Copy)]
pub struct Agreed {
    pub settled: usize,
    pub declined: usize,
    pub waiting: usize,
    pub waived: usize,
    pub lost: usize,
    /// Arrived for the settled ones.
    pub settled_msat: i64,
}

impl Books {
    /// Before anything was paid.
    pub fn open(satchel: &Satchel) -> Self {
        Self { customer: customer(satchel), paid_out: 0 }
    }

    /// So much was paid to the customer from what users are owed.
    pub fn pay_out(&mut self, msat: i64) {
        self.paid_out += msat;
    }

    /// Waits until nothing is under way, and all of it agrees:
    ///
    /// - a mail is settled exactly when the ledger has one posting of its money, and no other gate has one;
    /// - users and fees have what settled, less what was paid out; nothing is held, in escrow or on its way;
    /// - the customer has the rest, to the millisatoshi;
    /// - the audit is clean.
    pub fn agree(&self, satchel: &Satchel) -> Agreed {
        let deadline = Instant::now() + ENDS_WITHIN;
        loop {
            let why = match self.look(satchel) {
                Ok(agreed) => return agreed,
                Err(why) => why,
            };
            assert!(Instant::now() < deadline, "{why}; {self:?}; log:\n{}", satchel.log_text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn look(&self, satchel: &Satchel) -> Result<Agreed, String> {
        let gates = satchel.told(&Request::GateList);
        let gates = gates.as_array().unwrap();
        let in_state = |state: &str| gates.iter().filter(|gate| gate["state"] == state).count();
        for gate in gates {
            if gate["state"] == "held" || gate["state"] == "settling" || gate["refunding"] == true {
                return Err(format!("not over: {gate}"));
            }
        }
        let arrived: i64 = gates
            .iter()
            .filter(|gate| gate["state"] == "settled")
            .map(|gate| gate["paid_msat"].as_i64().unwrap())
            .sum();
        let balance = satchel.told(&Request::WalletBalance);
        let msat = |key: &str| balance[key].as_i64().unwrap();
        let expected = [("held_msat", 0), ("node_held_msat", 0), ("escrow_msat", 0)];
        for (key, expected) in expected {
            if msat(key) != expected {
                return Err(format!("{key} is not {expected}: {balance}"));
            }
        }
        if msat("users_msat") + msat("fees_msat") != arrived - self.paid_out {
            return Err(format!("{arrived} arrived, {} were paid out: {balance}", self.paid_out));
        }
        let customer = customer(satchel);
        if customer != self.customer - arrived + self.paid_out {
            return Err(format!("the customer has {customer}, {arrived} arrived"));
        }
        ledger(satchel, gates)?;
        let audit = satchel.told(&Request::WalletAudit);
        if audit["ok"] != true {
            return Err(format!("{audit}"));
        }
        Ok(Agreed {
            settled: in_state("settled"),
            declined: in_state("declined"),
            waiting: in_state("waiting"),
            waived: in_state("waived"),
            lost: in_state("lost"),
            settled_msat: arrived,
        })
    }
}

/// A settled gate has one posting that books its money, any other gate none.
fn ledger(satchel: &Satchel, gates: &[Value]) -> Result<(), String> {
    let lines = satchel.told(&Request::WalletStatement { address: None, csv: false });
    let mut booked: HashMap<i64, Vec<&str>> = HashMap::new();
    for line in lines.as_array().unwrap() {
        let (Some(gate), Some(posting)) = (line["gate"].as_i64(), line["posting"].as_str()) else { continue };
        let is_income = posting.starts_with("settle:") || posting.starts_with("release:");
        if is_income && !booked.entry(gate).or_default().contains(&posting) {
            booked.entry(gate).or_default().push(posting);
        }
    }
    for gate in gates {
        let postings = booked.remove(&gate["id"].as_i64().unwrap()).unwrap_or_default();
        if postings.len() != usize::from(gate["state"] == "settled") {
            return Err(format!("booked {postings:?}: {gate}"));
        }
    }
    if booked.is_empty() { Ok(()) } else { Err(format!("booked for no gate: {booked:?}")) }
}

fn customer(satchel: &Satchel) -> i64 {
    satchel.told(&Request::SandboxWallet { bolt11: None })["balance_msat"].as_i64().unwrap()
}
