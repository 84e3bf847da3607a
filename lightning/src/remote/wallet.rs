//! [`Wallet`] on somebody's node.

use std::time::SystemTime;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use lightning_invoice::Bolt11Invoice;
use lnmp::{Msat, PaymentHash, Preimage};
use zeroize::Zeroizing;

use super::api::{Made, Seen};
use super::book::{Entry, State};
use super::{RemoteWallet, fee_max, since_1970, within};
use crate::limits::{ANCHOR_DUST_SAT, FINAL_CLTV_MIN, PAY_WITHIN, REMOTE_CALL_WITHIN, RESERVABLE_PERCENT};
use crate::node::{check_invoice, parse_payable};
use crate::wallet::{
    Balance, Capacity, ChainState, ChannelInfo, Event, HeldPayment, HoldStatus, Inbound, NewHold, Paid, Wallet,
};
use crate::{Invoice, WalletError};

#[async_trait]
impl Wallet for RemoteWallet {
    fn can_hold(&self) -> bool {
        self.inner.api.can_hold()
    }

    async fn create(&self, new: NewHold) -> Result<String, WalletError> {
        new.check()?;
        let inner = &self.inner;
        inner.running()?;
        if !inner.api.can_hold() {
            return Err(WalletError::CannotHold);
        }
        let hash = new.hash;
        let height = inner.height().await?;
        let known = inner.book(move |book| Ok(book.get(hash))).await?;
        match known.map(|entry| entry.state) {
            Some(State::Held | State::Claiming | State::Settled) => return Err(WalletError::AlreadyPaid),
            Some(State::Cancelled | State::Ended) => return Err(WalletError::AlreadyCancelled),
            Some(State::Open | State::Gone) | None => {}
        }
        let entry = Entry {
            state: State::Open,
            hold: true,
            asked: new.amount.0,
            amount: 0,
            deadline_height: 0,
            final_cltv: new.final_cltv,
            expires_at: since_1970().saturating_add(new.expiry.as_secs()),
            open_height: known.map_or(height, |known| known.open_height),
        };
        // First it is written down: a payment under a hash nobody watches would be locked until its blocks are over.
        inner.book(move |book| book.set(hash, entry)).await?;
        let bolt11 = match within(inner.api.make_hold(&new)).await? {
            Made::Invoice(bolt11) | Made::Known(Some(bolt11)) => bolt11,
            Made::Known(None) => return Err(self.not_again(hash, entry).await?),
        };
        check_made(&bolt11, &new, inner.network)?;
        Ok(bolt11)
    }

    async fn settle(&self, hash: PaymentHash, amount: Msat, preimage: &Preimage) -> Result<(), WalletError> {
        if preimage.hash() != hash {
            return Err(WalletError::WrongPreimage);
        }
        let preimage = Zeroizing::new(*preimage.reveal());
        let inner = &self.inner;
        inner.running()?;
        let entry = match inner.book(move |book| Ok(book.get(hash))).await? {
            Some(entry) => entry,
            None => self.adopt(hash).await?.ok_or(WalletError::UnknownHash)?,
        };
        if amount.0 < entry.asked {
            return Err(WalletError::BadRequest("the amount is below what was asked"));
        }
        match entry.state {
            State::Cancelled => return Err(WalletError::AlreadyCancelled),
            State::Settled => return Ok(()),
            State::Open | State::Held | State::Claiming | State::Ended | State::Gone => {}
        }
        let (entry, _) = inner.look_at(hash, entry).await?;
        let height = inner.height().await?;
        let too_late = WalletError::TooLate { deadline_height: entry.deadline_height, height };
        match entry.state {
            State::Settled | State::Open => return Ok(()),
            State::Cancelled => return Err(WalletError::AlreadyCancelled),
            State::Ended | State::Gone => return Err(too_late),
            State::Held if height >= entry.deadline_height => return Err(too_late),
            State::Held | State::Claiming => {}
        }
        // From here on no cancel: the preimage is about to leave.
        inner.book(move |book| book.set_state(hash, State::Claiming)).await?;
        let settled = within(inner.api.settle_hold(hash, &preimage)).await;
        inner.look.notify_one();
        match settled {
            Err(error) if !error.is_temporary() => {
                // The node says no: it may have given the payment back a moment ago.
                let (entry, _) = inner.look_at(hash, entry).await?;
                match entry.state {
                    State::Settled => Ok(()),
                    State::Ended => Err(too_late),
                    State::Open | State::Held | State::Claiming | State::Cancelled | State::Gone => Err(error),
                }
            }
            other => other,
        }
    }

    async fn cancel(&self, hash: PaymentHash) -> Result<(), WalletError> {
        let inner = &self.inner;
        inner.running()?;
        let known = match inner.book(move |book| Ok(book.get(hash))).await? {
            Some(entry) => Some(entry),
            None => self.adopt(hash).await?,
        };
        let entry = known.unwrap_or_else(|| Entry::of_a_stranger(0));
        let entry = match entry.state {
            State::Claiming => inner.look_at(hash, entry).await?.0,
            _ => entry,
        };
        match entry.state {
            State::Claiming | State::Settled => return Err(WalletError::AlreadyClaimed),
            State::Ended => return Ok(()),
            State::Open | State::Held | State::Cancelled | State::Gone => {}
        }
        inner.book(move |book| book.set(hash, Entry { state: State::Cancelled, ..entry })).await?;
        let cancelled = within(inner.api.cancel_hold(hash)).await;
        if let Err(error) = cancelled {
            if error.is_temporary() {
                return Err(error);
            }
            // Some wallets refuse to cancel what nothing was paid to. What matters is that nothing is locked.
            let seen = within(inner.api.look(hash, entry.kind())).await?;
            inner.take_in(hash, seen, entry.open_height).await?;
            return match seen {
                Seen::Held { .. } => Err(error),
                Seen::Settled { .. } => Err(WalletError::AlreadyClaimed),
                Seen::Unknown | Seen::Open | Seen::Cancelled => Ok(()),
            };
        }
        Ok(())
    }

    async fn lookup(&self, hash: PaymentHash) -> Result<HoldStatus, WalletError> {
        let inner = &self.inner;
        inner.running()?;
        let entry = match inner.book(move |book| Ok(book.get(hash))).await? {
            Some(entry) => entry,
            None => match self.adopt(hash).await? {
                Some(entry) => entry,
                None => return Ok(HoldStatus::Unknown),
            },
        };
        let (entry, seen) = match entry.state {
            State::Settled => return Ok(HoldStatus::Settled),
            _ => inner.look_at(hash, entry).await?,
        };
        let held = HoldStatus::Held { deadline_height: entry.deadline_height, amount: Msat(entry.amount) };
        Ok(match entry.state {
            State::Settled => HoldStatus::Settled,
            State::Held | State::Claiming => held,
            // The cancel has not got through: it is still locked, and cancelling again is right.
            State::Cancelled if matches!(seen, Seen::Held { .. }) => held,
            State::Cancelled | State::Ended => HoldStatus::Cancelled,
            State::Open if seen == Seen::Unknown => HoldStatus::Unknown,
            State::Open => HoldStatus::Open,
            State::Gone => HoldStatus::Unknown,
        })
    }

    async fn forget(&self, hash: PaymentHash) -> Result<(), WalletError> {
        let inner = &self.inner;
        inner.running()?;
        inner
            .book(move |book| match book.get(hash).map(|entry| entry.state) {
                Some(State::Held | State::Claiming) => {
                    Err(WalletError::BadRequest("a held payment cannot be forgotten"))
                }
                Some(State::Open | State::Settled | State::Cancelled | State::Ended) => {
                    book.set_state(hash, State::Gone)
                }
                Some(State::Gone) | None => Ok(()),
            })
            .await
    }

    async fn inbound(&self) -> Result<Inbound, WalletError> {
        self.inner.running()?;
        let height = self.inner.height().await?;
        // What else the node carries is its owner's: nobody but us pays to our hashes.
        Ok(Inbound { held: self.held(height).await?, unexplained: Msat::ZERO })
    }

    async fn next_event(&self) -> Event {
        loop {
            let came = self.inner.came.notified();
            if let Some(event) = self.ready_event().await {
                return event;
            }
            came.await;
        }
    }

    async fn event_handled(&self) -> Result<(), WalletError> {
        self.inner.running()?;
        self.inner.book(super::book::Book::handled).await
    }

    async fn ready_event(&self) -> Option<Event> {
        self.inner.running().ok()?;
        self.inner.book(|book| Ok(book.event())).await.ok().flatten()
    }

    async fn chain(&self) -> Result<ChainState, WalletError> {
        self.inner.running()?;
        let (info, at) = self.inner.info().await?;
        // The node's word is all there is: its own chain source is out of sight.
        Ok(ChainState {
            height: info.height,
            source_height: info.height,
            synced_at: info.synced.then_some(at),
            fresh: info.synced && info.height > 0,
        })
    }

    async fn capacity(&self) -> Result<Capacity, WalletError> {
        self.inner.running()?;
        if !self.inner.api.can_hold() {
            return Ok(Capacity::default());
        }
        let height = self.inner.height().await?;
        let room = within(self.inner.api.room()).await?;
        let held = self.held(height).await?;
        let sum = held.iter().fold(Msat::ZERO, |sum, payment| sum + payment.amount);
        let slots_total = u32::try_from(u64::from(room.slots) * RESERVABLE_PERCENT / 100).unwrap_or(u32::MAX);
        let used = u32::try_from(held.len()).unwrap_or(u32::MAX);
        let free = Msat(room.inbound.0 / 100 * RESERVABLE_PERCENT);
        // The node keeps its own limit for dust and does not tell it: value is the only bound here.
        Ok(Capacity {
            slots_total,
            slots_free: slots_total.saturating_sub(used),
            value_total: free + sum,
            inbound_free: free,
            dust_total: free + sum,
            dust_free: free,
            dust_below: Msat(ANCHOR_DUST_SAT * 1000),
            channels: room.channels,
        })
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        self.inner.running()?;
        let balance = within(self.inner.api.balance()).await?;
        let height = self.inner.height().await?;
        let held = self.held(height).await?.iter().fold(Msat::ZERO, |sum, payment| sum + payment.amount);
        Ok(Balance { held, ..balance })
    }

    async fn invoice(&self, amount: Msat, description: String, expiry: Duration) -> Result<String, WalletError> {
        check_invoice(amount, &description, expiry)?;
        let inner = &self.inner;
        inner.running()?;
        let height = inner.height().await?;
        let bolt11 = within(inner.api.invoice(amount, &description, expiry)).await?;
        let made = Invoice::parse(&bolt11).map_err(|_| other_invoice())?;
        if made.amount != amount {
            return Err(other_invoice());
        }
        let entry = Entry {
            state: State::Open,
            hold: false,
            asked: amount.0,
            amount: 0,
            deadline_height: 0,
            final_cltv: 0,
            expires_at: since_1970().saturating_add(expiry.as_secs()),
            open_height: height,
        };
        inner.book(move |book| book.set(made.hash, entry)).await?;
        inner.look.notify_one();
        Ok(bolt11)
    }

    async fn pay(&self, bolt11: &str) -> Result<Paid, WalletError> {
        let inner = &self.inner;
        inner.running()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let invoice = parse_payable(bolt11, inner.network, now)?;
        let amount = Msat(invoice.amount_milli_satoshis().unwrap_or(0));
        let hash = PaymentHash(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash()));
        match within(inner.api.sent(hash)).await? {
            Some(Paid::Succeeded { .. } | Paid::Pending) => return Err(WalletError::AlreadyPaid),
            Some(Paid::Failed) | None => {}
        }
        let bolt11 = invoice.to_string();
        let paying = inner.api.pay(&bolt11, fee_max(amount));
        tokio::time::timeout(PAY_WITHIN + REMOTE_CALL_WITHIN, paying).await.unwrap_or(Ok(Paid::Pending))
    }

    async fn sent(&self, hash: PaymentHash) -> Result<Option<Paid>, WalletError> {
        self.inner.running()?;
        within(self.inner.api.sent(hash)).await
    }

    async fn channels(&self) -> Result<Vec<ChannelInfo>, WalletError> {
        self.inner.running()?;
        within(self.inner.api.channels()).await
    }

    async fn stop(&self) -> Result<(), WalletError> {
        self.inner.stopping.send_replace(true);
        self.inner.came.notify_waiters();
        self.inner.api.close().await;
        Ok(())
    }
}

impl RemoteWallet {
    /// A hash that is not in the book: after the book was lost, the node still knows what is locked.
    async fn adopt(&self, hash: PaymentHash) -> Result<Option<Entry>, WalletError> {
        let inner = &self.inner;
        let seen = within(inner.api.look(hash, super::api::Kind::Hold)).await?;
        if matches!(seen, Seen::Unknown | Seen::Cancelled) {
            return Ok(None);
        }
        let height = inner.height().await?;
        let entry = Entry::of_a_stranger(height);
        inner.book(move |book| book.set(hash, entry)).await?;
        inner.take_in(hash, seen, height).await?;
        inner.book(move |book| Ok(book.get(hash))).await
    }

    /// What a hash is that the node knows and has no open invoice for.
    async fn not_again(&self, hash: PaymentHash, entry: Entry) -> Result<WalletError, WalletError> {
        let (entry, _) = self.inner.look_at(hash, entry).await?;
        Ok(match entry.state {
            State::Held | State::Claiming | State::Settled => WalletError::AlreadyPaid,
            State::Cancelled | State::Ended | State::Gone => WalletError::AlreadyCancelled,
            State::Open => WalletError::Busy,
        })
    }

    async fn held(&self, height: u32) -> Result<Vec<HeldPayment>, WalletError> {
        let live = self.inner.book(|book| Ok(book.live())).await?;
        let mut held: Vec<HeldPayment> = live
            .into_iter()
            .filter(|(_, entry)| matches!(entry.state, State::Held | State::Claiming))
            .filter(|(_, entry)| entry.state == State::Claiming || height < entry.deadline_height)
            .map(|(hash, entry)| HeldPayment {
                hash,
                amount: Msat(entry.amount),
                deadline_height: entry.deadline_height,
                claiming: entry.state == State::Claiming,
            })
            .collect();
        held.sort_unstable_by_key(|payment| (payment.deadline_height, payment.hash));
        Ok(held)
    }
}

impl Entry {
    /// What can be said of a hold that this book knows nothing about.
    fn of_a_stranger(height: u32) -> Self {
        Self {
            state: State::Open,
            hold: true,
            asked: 0,
            amount: 0,
            deadline_height: 0,
            final_cltv: FINAL_CLTV_MIN,
            expires_at: since_1970(),
            open_height: height,
        }
    }
}

/// A node that makes another invoice than was asked is not asked again: money would be locked under its terms.
fn check_made(bolt11: &str, new: &NewHold, network: bitcoin::Network) -> Result<(), WalletError> {
    let invoice: Bolt11Invoice = bolt11.parse().map_err(|_| other_invoice())?;
    let hash: &[u8] = invoice.payment_hash().as_ref();
    let same = hash == new.hash.0
        && invoice.amount_milli_satoshis() == Some(new.amount.0)
        && invoice.network() == network
        && invoice.min_final_cltv_expiry_delta() >= new.final_cltv.into();
    if same { Ok(()) } else { Err(other_invoice()) }
}

fn other_invoice() -> WalletError {
    WalletError::Bug("the node made another invoice than was asked (hash, amount, network or final CLTV)".into())
}
