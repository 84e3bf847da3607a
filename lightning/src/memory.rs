//! A wallet in memory, for tests of the house: the same promises as [`crate::node`], no node.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bitcoin::Network;
use lnmp::{Msat, PaymentHash, Preimage};
use tokio::sync::Notify;

use crate::WalletError;
use crate::limits::{ANCHOR_DUST_SAT, FAIL_BACK_BLOCKS, HTLCS_PER_CHANNEL, RESERVABLE_PERCENT};
use crate::node::{Draft, Signer, check_invoice, parse_payable};
use crate::wallet::{
    Balance, Capacity, ChainState, ChannelInfo, Event, HeldPayment, HoldStatus, Inbound, NewHold, Paid, Wallet,
};

/// Height the twin's chain begins at.
const FIRST_HEIGHT: u32 = 108;

/// The twin. Payers are played by [`MemoryWallet::pay_held`] and [`MemoryWallet::mine`].
pub struct MemoryWallet {
    state: Mutex<State>,
    signer: Signer,
    came: Notify,
}

#[derive(Default)]
struct State {
    payments: HashMap<PaymentHash, Payment>,
    events: VecDeque<Event>,
    height: u32,
    stale: bool,
    stopped: bool,
    received: Msat,
    sent: HashMap<PaymentHash, Paid>,
    invoices: u64,
}

struct Payment {
    status: HoldStatus,
    asked: Msat,
    /// Ordinary invoices are claimed on arrival.
    auto: Option<Preimage>,
}

impl Default for MemoryWallet {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryWallet {
    /// A wallet with one channel and nothing in it.
    #[expect(clippy::missing_panics_doc, reason = "a fixed seed is a good seed")]
    pub fn new() -> Self {
        let signer = Signer::new(&[0x5a; 64], Network::Regtest).expect("a fixed seed is a good seed");
        Self { state: Mutex::new(State { height: FIRST_HEIGHT, ..State::default() }), signer, came: Notify::new() }
    }

    /// Somebody pays one of this wallet's invoices: it is locked, or taken when the invoice is an ordinary one.
    ///
    /// # Errors
    /// [`WalletError::BadInvoice`], [`WalletError::UnknownHash`], and [`WalletError::AlreadyPaid`] while it is locked.
    pub fn pay_held(&self, bolt11: &str) -> Result<PaymentHash, WalletError> {
        let invoice = parse_payable(bolt11, Network::Regtest, now())?;
        let hash = PaymentHash(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash()));
        let amount = Msat(invoice.amount_milli_satoshis().unwrap_or(0));
        let cltv = u32::try_from(invoice.min_final_cltv_expiry_delta()).unwrap_or(u32::MAX / 2);
        let mut state = self.lock();
        let deadline_height = state.height + 1 + cltv - FAIL_BACK_BLOCKS;
        let payment = state.payments.get_mut(&hash).ok_or(WalletError::UnknownHash)?;
        match payment.status {
            HoldStatus::Held { .. } | HoldStatus::Settled => return Err(WalletError::AlreadyPaid),
            HoldStatus::Unknown => return Err(WalletError::UnknownHash),
            HoldStatus::Open | HoldStatus::Cancelled => {}
        }
        if payment.auto.is_some() {
            payment.status = HoldStatus::Settled;
            state.received = state.received + amount;
            state.events.push_back(Event::Settled { hash, amount });
        } else {
            payment.status = HoldStatus::Held { deadline_height, amount };
            state.events.push_back(Event::Held { hash, amount, deadline_height });
        }
        drop(state);
        self.came.notify_waiters();
        Ok(hash)
    }

    /// Blocks come; holds past their deadline are failed back without an event, as LDK does.
    pub fn mine(&self, blocks: u32) -> u32 {
        let mut state = self.lock();
        state.height += blocks;
        let height = state.height;
        for payment in state.payments.values_mut() {
            if matches!(payment.status, HoldStatus::Held { deadline_height, .. } if height >= deadline_height) {
                payment.status = HoldStatus::Cancelled;
            }
        }
        height
    }

    /// Whether the chain source answers.
    pub fn set_fresh(&self, fresh: bool) {
        self.lock().stale = !fresh;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Result<MutexGuard<'_, State>, WalletError> {
        let state = self.lock();
        if state.stopped { Err(WalletError::NotRunning) } else { Ok(state) }
    }
}

#[async_trait]
impl Wallet for MemoryWallet {
    async fn create(&self, new: NewHold) -> Result<String, WalletError> {
        new.check()?;
        let mut state = self.running()?;
        let open = Payment { status: HoldStatus::Open, asked: new.amount, auto: None };
        let known = state.payments.entry(new.hash).or_insert(open);
        if known.status == HoldStatus::Settled {
            return Err(WalletError::AlreadyPaid);
        }
        known.asked = new.amount;
        let NewHold { hash, amount, expiry, final_cltv, description } = new;
        self.signer.sign(Draft { hash, amount, description, expiry, final_cltv, hints: Vec::new() }, now())
    }

    async fn settle(&self, hash: PaymentHash, amount: Msat, preimage: &Preimage) -> Result<(), WalletError> {
        if preimage.hash() != hash {
            return Err(WalletError::WrongPreimage);
        }
        let mut state = self.running()?;
        let payment = state.payments.get_mut(&hash).ok_or(WalletError::UnknownHash)?;
        if amount < payment.asked {
            return Err(WalletError::BadRequest("the amount is below what was asked"));
        }
        match payment.status {
            HoldStatus::Settled | HoldStatus::Open => return Ok(()),
            HoldStatus::Unknown => return Err(WalletError::UnknownHash),
            HoldStatus::Cancelled => return Err(WalletError::AlreadyCancelled),
            HoldStatus::Held { amount, .. } => {
                payment.status = HoldStatus::Settled;
                state.received = state.received + amount;
                state.events.push_back(Event::Settled { hash, amount });
            }
        }
        drop(state);
        self.came.notify_waiters();
        Ok(())
    }

    async fn cancel(&self, hash: PaymentHash) -> Result<(), WalletError> {
        let mut state = self.running()?;
        let payment = Payment { status: HoldStatus::Cancelled, asked: Msat::ZERO, auto: None };
        let payment = state.payments.entry(hash).or_insert(payment);
        if payment.status == HoldStatus::Settled {
            return Err(WalletError::AlreadyClaimed);
        }
        payment.status = HoldStatus::Cancelled;
        Ok(())
    }

    async fn lookup(&self, hash: PaymentHash) -> Result<HoldStatus, WalletError> {
        Ok(self.running()?.payments.get(&hash).map_or(HoldStatus::Unknown, |payment| payment.status))
    }

    async fn forget(&self, hash: PaymentHash) -> Result<(), WalletError> {
        let mut state = self.running()?;
        if matches!(state.payments.get(&hash).map(|p| p.status), Some(HoldStatus::Held { .. })) {
            return Err(WalletError::BadRequest("a held payment cannot be forgotten"));
        }
        state.payments.remove(&hash);
        Ok(())
    }

    async fn inbound(&self) -> Result<Inbound, WalletError> {
        let state = self.running()?;
        let mut held: Vec<HeldPayment> = state
            .payments
            .iter()
            .filter_map(|(hash, payment)| match payment.status {
                HoldStatus::Held { deadline_height, amount } => {
                    Some(HeldPayment { hash: *hash, amount, deadline_height, claiming: false })
                }
                _ => None,
            })
            .collect();
        held.sort_unstable_by_key(|payment| (payment.deadline_height, payment.hash));
        Ok(Inbound { held, unexplained: Msat::ZERO })
    }

    async fn next_event(&self) -> Event {
        loop {
            let came = self.came.notified();
            if let Some(event) = self.ready_event().await {
                return event;
            }
            came.await;
        }
    }

    async fn event_handled(&self) -> Result<(), WalletError> {
        self.running()?.events.pop_front();
        Ok(())
    }

    async fn ready_event(&self) -> Option<Event> {
        self.running().ok()?.events.front().copied()
    }

    async fn chain(&self) -> Result<ChainState, WalletError> {
        let state = self.running()?;
        let synced_at = (!state.stale).then(SystemTime::now);
        Ok(ChainState { height: state.height, source_height: state.height, synced_at, fresh: !state.stale })
    }

    async fn capacity(&self) -> Result<Capacity, WalletError> {
        let held = self.inbound().await?.held;
        let sum = held.iter().fold(Msat::ZERO, |sum, payment| sum + payment.amount);
        let slots = u32::try_from(u64::from(HTLCS_PER_CHANNEL) * RESERVABLE_PERCENT / 100).unwrap_or(0);
        let (value, dust) = (Msat(600_000_000), Msat(16_650_000));
        Ok(Capacity {
            slots_total: slots,
            slots_free: slots.saturating_sub(u32::try_from(held.len()).unwrap_or(u32::MAX)),
            value_total: value,
            inbound_free: value - sum,
            dust_total: dust,
            dust_free: dust,
            dust_below: Msat(ANCHOR_DUST_SAT * 1000),
            channels: 1,
        })
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        let held = self.inbound().await?.held.iter().fold(Msat::ZERO, |sum, payment| sum + payment.amount);
        let received = self.lock().received;
        Ok(Balance { channel: received, spendable: received, held, ..Balance::default() })
    }

    async fn invoice(&self, amount: Msat, description: String, expiry: Duration) -> Result<String, WalletError> {
        check_invoice(amount, &description, expiry)?;
        let mut state = self.running()?;
        state.invoices += 1;
        let mut secret = [0x11; 32];
        secret[..8].copy_from_slice(&state.invoices.to_le_bytes());
        let preimage = Preimage::new(secret);
        let hash = preimage.hash();
        state.payments.insert(hash, Payment { status: HoldStatus::Open, asked: amount, auto: Some(preimage) });
        self.signer.sign(Draft { hash, amount, description, expiry, final_cltv: 42, hints: Vec::new() }, now())
    }

    async fn pay(&self, bolt11: &str) -> Result<Paid, WalletError> {
        let invoice = parse_payable(bolt11, Network::Regtest, now())?;
        let hash = PaymentHash(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash()));
        let amount = Msat(invoice.amount_milli_satoshis().unwrap_or(0));
        let mut state = self.running()?;
        if state.sent.contains_key(&hash) {
            return Err(WalletError::AlreadyPaid);
        }
        if state.received < amount {
            return Err(WalletError::NoCapacity);
        }
        state.received = state.received - amount;
        let paid = Paid::Succeeded { fee: Msat::ZERO };
        state.sent.insert(hash, paid);
        Ok(paid)
    }

    async fn sent(&self, hash: PaymentHash) -> Result<Option<Paid>, WalletError> {
        Ok(self.running()?.sent.get(&hash).copied())
    }

    async fn channels(&self) -> Result<Vec<ChannelInfo>, WalletError> {
        let received = self.running()?.received;
        let capacity = Msat(10_000_000_000);
        Ok(vec![ChannelInfo {
            id: "00".repeat(32),
            peer: self.signer.node_id().to_string(),
            capacity,
            outbound: received,
            inbound: capacity - received,
            usable: true,
            confirmations: 6,
            ours: false,
        }])
    }

    async fn stop(&self) -> Result<(), WalletError> {
        self.lock().stopped = true;
        Ok(())
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
