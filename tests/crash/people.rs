//! A stranger who writes and pays, and an owner who decides: one step at a time, and each step again where the server
//! died under it. Nobody looks at anything but what the server says.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use satchel::cli::Request;
use serde_json::Value;

use crate::load::deliver;
use crate::support::control::Undone;
use crate::support::satchel::Satchel;
use crate::support::stranger::ALICE;

/// What depends on two nodes, on a slow machine, ends by itself within this.
pub const ENDS_WITHIN: Duration = Duration::from_secs(120);

/// What the owner does with a paid mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Takes it.
    Accept,
    /// Sends the money back.
    Decline,
    /// Does not look at it: the hold ends.
    Nothing,
    /// Lets it in before it is paid; the payment that comes after all goes back.
    LetIn,
}

/// The people of one server. Invoices are kept: a payer has them whatever the server forgets.
#[derive(Default)]
pub struct People {
    invoices: Mutex<HashMap<String, String>>,
}

impl People {
    /// The next thing that somebody does for the mail of `author`; whether all is over.
    pub fn step(&self, satchel: &Satchel, author: &str, wish: Wish) -> Result<bool, Undone> {
        let Some(gate) = gate_of(satchel, author)? else {
            write(satchel, author)?;
            return Ok(false);
        };
        let id = gate["id"].as_i64().unwrap();
        match gate["state"].as_str().unwrap() {
            "waiting" if gate["refunding"] == true => Ok(false),
            "waiting" if gate["refunded"] == true => Ok(wish == Wish::Nothing),
            "waiting" => {
                let bolt11 = self.invoice(satchel, author, id)?;
                if wish == Wish::LetIn {
                    satchel.tell(&Request::GateAccept { id })?;
                } else if pay(satchel, &bolt11)? == "failed" {
                    // It came back before anybody decided: whoever wants their mail read pays again.
                    satchel.tell(&Request::SandboxPay { bolt11 })?;
                }
                Ok(false)
            }
            "held" => {
                match wish {
                    Wish::Accept | Wish::LetIn => satchel.tell(&Request::GateAccept { id })?,
                    Wish::Decline => satchel.tell(&Request::GateDecline { id })?,
                    Wish::Nothing => return Ok(false),
                };
                Ok(false)
            }
            "settled" | "lost" => Ok(true),
            "declined" => Ok(gate["refunding"] == false),
            "waived" => {
                let bolt11 = self.known(author).expect("its payer has the invoice");
                Ok(pay(satchel, &bolt11)? == "failed")
            }
            _ => Ok(false),
        }
    }

    /// Steps until all is over; the gate as it is then.
    pub fn finish(&self, satchel: &Satchel, author: &str, wish: Wish) -> Value {
        let deadline = Instant::now() + ENDS_WITHIN;
        let mut last = None;
        loop {
            match self.step(satchel, author, wish) {
                Ok(true) => return gate_of(satchel, author).unwrap().unwrap(),
                Ok(false) => {}
                Err(why) => last = Some(why),
            }
            assert!(
                Instant::now() < deadline,
                "the mail of {author} ({wish:?}) is stuck, last refusal {last:?}: {:?}; log:\n{}",
                gate_of(satchel, author),
                satchel.log_text()
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The invoice of a gate; for escrow, the refund goes to the sandbox's wallet.
    fn invoice(&self, satchel: &Satchel, author: &str, id: i64) -> Result<String, Undone> {
        let quote = satchel.tell(&Request::GateInvoice { id, priority: false })?;
        let quote = match (&quote["hold"], &quote["bolt11"]) {
            (hold, Value::Null) if hold == "escrow" => {
                satchel.tell(&Request::GateRefundTo { id, target: "sandbox".into() })?
            }
            _ => quote,
        };
        let bolt11 = quote["bolt11"].as_str().expect("a quote has an invoice").to_owned();
        self.invoices.lock().unwrap().insert(author.to_owned(), bolt11.clone());
        Ok(bolt11)
    }

    fn known(&self, author: &str) -> Option<String> {
        self.invoices.lock().unwrap().get(author).cloned()
    }
}

/// Pays what was not paid; the customer's word for where the payment is.
pub fn pay(satchel: &Satchel, bolt11: &str) -> Result<String, Undone> {
    let payment = satchel.tell(&Request::SandboxWallet { bolt11: Some(bolt11.to_owned()) })?["payment"].clone();
    if payment == "unknown" {
        satchel.tell(&Request::SandboxPay { bolt11: bolt11.to_owned() })?;
    }
    Ok(payment.as_str().unwrap_or_default().to_owned())
}

/// A small mail to alice.
pub fn write(satchel: &Satchel, author: &str) -> Result<(), Undone> {
    let message = format!(
        "From: <{author}>\r\nTo: <{ALICE}>\r\nSubject: hello from {author}\r\nMessage-ID: <1.{author}>\r\n\r\nhi\r\n"
    );
    deliver(satchel.ports.smtp, author, &[ALICE], message.as_bytes())?;
    Ok(())
}

/// The gate of an author's newest mail.
pub fn gate_of(satchel: &Satchel, author: &str) -> Result<Option<Value>, Undone> {
    let gates = satchel.tell(&Request::GateList)?;
    Ok(gates.as_array().unwrap().iter().rev().find(|gate| gate["author"] == author).cloned())
}
