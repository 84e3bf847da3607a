//! A node's invoices and payments, and the customer on the other side.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use lightning_invoice::{Bolt11Invoice, Currency, InvoiceBuilder, PaymentSecret};

/// The node's key and the customer's.
const NODE: [u8; 32] = [0x21; 32];
const CUSTOMER: [u8; 32] = [0x22; 32];
/// What a payment of the node costs.
pub(crate) const FEE_MSAT: u64 = 1000;

#[derive(Clone)]
pub(crate) struct World {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) height: u32,
    pub(crate) invoices: BTreeMap<[u8; 32], Invoice>,
    pub(crate) sent: BTreeMap<[u8; 32], Sent>,
    /// What the customer asks for, by hash.
    asked: BTreeMap<[u8; 32], [u8; 32]>,
    /// Ours in the channel.
    pub(crate) local_msat: u64,
    /// The customer's in the channel.
    pub(crate) remote_msat: u64,
    /// Blocks before an HTLC's expiry at which the node gives it back.
    fail_back: u32,
    made: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Invoice {
    pub(crate) bolt11: String,
    pub(crate) amount_msat: u64,
    pub(crate) memo: String,
    pub(crate) cltv: u32,
    pub(crate) created_at: u64,
    pub(crate) expiry: u64,
    pub(crate) hold: bool,
    pub(crate) state: Is,
    pub(crate) preimage: Option<[u8; 32]>,
    pub(crate) htlc: Option<Htlc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Is {
    Open,
    Accepted,
    Settled,
    Canceled,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Htlc {
    pub(crate) amount_msat: u64,
    pub(crate) accept_height: u32,
    pub(crate) expiry_height: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) amount_msat: u64,
    pub(crate) preimage: [u8; 32],
}

/// Why a settle or cancel is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum No {
    Unknown,
    Is(Is),
}

impl World {
    /// A node that gives held payments back so many blocks before their expiry.
    pub(crate) fn new(fail_back: u32) -> Self {
        let state = State {
            height: 800_000,
            local_msat: 50_000_000,
            remote_msat: 5_000_000_000,
            fail_back,
            ..State::default()
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The customer pays, padding nothing. `Err` when the node fails the payment at once.
    pub(crate) fn pay(&self, bolt11: &str) -> Result<(), &'static str> {
        let invoice: Bolt11Invoice = bolt11.parse().unwrap();
        let hash = hash_of(&invoice);
        let mut state = self.lock();
        let height = state.height;
        let known = state.invoices.get_mut(&hash).ok_or("unknown payment details")?;
        if known.state != Is::Open || now() > known.created_at + known.expiry {
            return Err("incorrect payment details");
        }
        let amount = invoice.amount_milli_satoshis().unwrap();
        assert_eq!(amount, known.amount_msat);
        known.htlc = Some(Htlc { amount_msat: amount, accept_height: height, expiry_height: height + known.cltv });
        known.state = if known.hold { Is::Accepted } else { Is::Settled };
        state.remote_msat -= amount;
        if !known_is_held(&state, hash) {
            state.local_msat += amount;
        }
        Ok(())
    }

    pub(crate) fn mine(&self, blocks: u32) {
        let mut state = self.lock();
        state.height += blocks;
        let (height, fail_back) = (state.height, state.fail_back);
        let mut back = 0;
        for invoice in state.invoices.values_mut() {
            let Some(htlc) = invoice.htlc else { continue };
            if invoice.state == Is::Accepted && height + fail_back >= htlc.expiry_height {
                invoice.state = Is::Canceled;
                back += htlc.amount_msat;
            }
        }
        state.remote_msat += back;
    }

    /// An invoice of the customer.
    pub(crate) fn customer_invoice(&self, amount_msat: u64) -> String {
        let mut state = self.lock();
        state.made += 1;
        let preimage = numbered(0xc0, state.made);
        let hash = sha256::Hash::hash(&preimage).to_byte_array();
        state.asked.insert(hash, preimage);
        sign(&CUSTOMER, hash, amount_msat, "customer", 3600, 40)
    }
}

fn known_is_held(state: &State, hash: [u8; 32]) -> bool {
    state.invoices[&hash].state == Is::Accepted
}

impl State {
    /// A hold invoice; `None` when the hash is known.
    pub(crate) fn hold(
        &mut self,
        hash: [u8; 32],
        amount_msat: u64,
        memo: &str,
        expiry: u64,
        cltv: u32,
    ) -> Option<Invoice> {
        if self.invoices.contains_key(&hash) {
            return None;
        }
        Some(self.add(hash, amount_msat, memo, expiry, cltv, None))
    }

    /// An ordinary invoice.
    pub(crate) fn ordinary(&mut self, amount_msat: u64, memo: &str, expiry: u64) -> (Invoice, [u8; 32]) {
        self.made += 1;
        let preimage = numbered(0x0d, self.made);
        let hash = sha256::Hash::hash(&preimage).to_byte_array();
        (self.add(hash, amount_msat, memo, expiry, 18, Some(preimage)), hash)
    }

    fn add(
        &mut self,
        hash: [u8; 32],
        amount_msat: u64,
        memo: &str,
        expiry: u64,
        cltv: u32,
        preimage: Option<[u8; 32]>,
    ) -> Invoice {
        let invoice = Invoice {
            bolt11: sign(&NODE, hash, amount_msat, memo, expiry, cltv),
            amount_msat,
            memo: memo.to_owned(),
            cltv,
            created_at: now(),
            expiry,
            hold: preimage.is_none(),
            state: Is::Open,
            preimage,
            htlc: None,
        };
        self.invoices.insert(hash, invoice.clone());
        invoice
    }

    pub(crate) fn settle(&mut self, preimage: [u8; 32]) -> Result<[u8; 32], No> {
        let hash = sha256::Hash::hash(&preimage).to_byte_array();
        let invoice = self.invoices.get_mut(&hash).ok_or(No::Unknown)?;
        match invoice.state {
            Is::Settled => return Ok(hash),
            Is::Accepted => {}
            other => return Err(No::Is(other)),
        }
        invoice.state = Is::Settled;
        invoice.preimage = Some(preimage);
        self.local_msat += invoice.htlc.unwrap().amount_msat;
        Ok(hash)
    }

    pub(crate) fn cancel(&mut self, hash: [u8; 32]) -> Result<(), No> {
        let invoice = self.invoices.get_mut(&hash).ok_or(No::Unknown)?;
        match invoice.state {
            Is::Settled => return Err(No::Is(Is::Settled)),
            Is::Accepted => self.remote_msat += invoice.htlc.unwrap().amount_msat,
            Is::Open | Is::Canceled => {}
        }
        invoice.state = Is::Canceled;
        Ok(())
    }

    /// The node pays an invoice of the customer. `Err` when there is no way.
    pub(crate) fn send(&mut self, bolt11: &str) -> Result<([u8; 32], Sent), &'static str> {
        let invoice: Bolt11Invoice = bolt11.parse().map_err(|_| "no invoice")?;
        let hash = hash_of(&invoice);
        if self.sent.contains_key(&hash) {
            return Err("already paid");
        }
        let amount_msat = invoice.amount_milli_satoshis().ok_or("no amount")?;
        let preimage = *self.asked.get(&hash).ok_or("no route")?;
        self.local_msat = self.local_msat.checked_sub(amount_msat + FEE_MSAT).ok_or("no balance")?;
        self.remote_msat += amount_msat + FEE_MSAT;
        let sent = Sent { amount_msat, preimage };
        self.sent.insert(hash, sent.clone());
        Ok((hash, sent))
    }

    pub(crate) fn held_msat(&self) -> u64 {
        let held = self.invoices.values().filter(|invoice| invoice.state == Is::Accepted);
        held.filter_map(|invoice| invoice.htlc).map(|htlc| htlc.amount_msat).sum()
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn hash_of(invoice: &Bolt11Invoice) -> [u8; 32] {
    *AsRef::<[u8; 32]>::as_ref(invoice.payment_hash())
}

fn numbered(first: u8, number: u64) -> [u8; 32] {
    let mut out = [first; 32];
    out[24..].copy_from_slice(&number.to_be_bytes());
    out
}

fn sign(key: &[u8; 32], hash: [u8; 32], amount_msat: u64, memo: &str, expiry: u64, cltv: u32) -> String {
    let key = SecretKey::from_slice(key).unwrap();
    let invoice = InvoiceBuilder::new(Currency::Regtest)
        .description(memo.to_owned())
        .payment_hash(sha256::Hash::from_byte_array(hash))
        .duration_since_epoch(Duration::from_secs(now()))
        .min_final_cltv_expiry_delta(cltv.into())
        .payment_secret(PaymentSecret([5; 32]))
        .amount_milli_satoshis(amount_msat)
        .expiry_time(Duration::from_secs(expiry))
        .basic_mpp()
        .build_signed(|message| Secp256k1::signing_only().sign_ecdsa_recoverable(message, &key))
        .unwrap();
    invoice.to_string()
}
