//! The author is asked: an invoice is quoted, and a payment request goes out. Never on the SMTP path.

use std::time::{Duration, UNIX_EPOCH};

use lightning::{ChainState, NewHold, failpoint};
use lnmp::{EscrowRoom, GateId, GateState, HoldKind, Msat, NoRoom, Preimage, QuoteState, Room};
use rand::RngCore;
use rand::rngs::OsRng;
use store::{Batch, Begun, Gate, MailWishes, NewOutgoing, Quote, UnixMs};

use crate::house::{House, Running, may_ask, now_ms};
use crate::letters;

/// A live invoice that is shown must be payable for at least this long.
const STILL_PAYABLE_MS: i64 = 60_000;
/// The shortest expiry the wallet signs; the house refuses what is paid after the quote's own end all the same.
const INVOICE_EXPIRY_MIN: Duration = Duration::from_secs(60);
/// Hours a payment request is tried: later it would ask for a mail long answered.
const REQUEST_HOURS: i64 = 24;
/// A claim waits for a fresh chain, and a hold lasts hours: a source that is away for so long may be away for longer.
const BLIND_AFTER_MS: i64 = 10 * 60_000;
/// What a quote may not do to the disk (design section 4).
const SHORT_OF_DISK: &str = "the server is short of disk and makes no new invoices now; please try again later";
/// What the page says when nothing can be held now.
fn no_room(why: NoRoom) -> &'static str {
    match why {
        NoRoom::Channels | NoRoom::Escrow => {
            "every payment slot is taken right now; your mail is kept, please try again later"
        }
        NoRoom::Author => {
            "you have many open invoices and payments here; pay or wait for one of those, then please try again later"
        }
        NoRoom::Domain => {
            "authors of your domain have many open invoices and payments here; your mail is kept, please try again later"
        }
    }
}
/// What the page says when the node cannot be asked.
const NODE_AWAY: &str = "the Lightning node is not ready right now; your mail is kept, please try again later";

/// Why there is no invoice.
#[derive(Debug, thiserror::Error)]
pub enum NoQuote {
    /// The gate takes no payment (any more).
    #[error("this gate is {}, it takes no payment now", .0.name())]
    NotWaiting(GateState),
    /// The mail lies where no payment could raise it from.
    #[error("this mail is not in Unpaid, so paying would not raise it")]
    NotPayable,
    /// The wallet settles at once: a payment could not be given back.
    #[error("this server's wallet cannot hold a payment, so none is asked for; the mail is kept")]
    CannotHold,
    /// It may work later; the text is for the payer.
    #[error("{0}")]
    Later(&'static str),
    /// There is no such gate.
    #[error("there is no such gate")]
    Unknown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// A command on a closed DIR.
    #[error(transparent)]
    NotRunning(#[from] crate::house::NotRunning),
}

/// The newest live invoice of a gate for `amount` that is still payable for a while.
pub fn live_quote(gate: &Gate, amount: Msat, now: UnixMs) -> Option<&Quote> {
    gate.quotes.iter().rev().find(|quote| {
        quote.state == QuoteState::Live
            && quote.amount == amount
            && quote.bolt11.is_some()
            && quote.expires_at > now + STILL_PAYABLE_MS.min((quote.expires_at - now) / 2)
            && quote.expires_at > now
    })
}

/// Makes sure a waiting gate has a live quote and returns it: with its invoice, or, for escrow, without one until its
/// author has said where a refund goes.
pub async fn quote(house: &House, id: GateId, priority: bool) -> Result<Quote, NoQuote> {
    let running = house.running()?;
    if !running.wallet.can_hold() {
        return Err(NoQuote::CannotHold);
    }
    // One at a time: what a quote reserves must be seen by the next one.
    let _turn = house.quoting.lock().await;
    let now = now_ms();
    let gate = house.store.gate(id).await?.ok_or(NoQuote::Unknown)?;
    if gate.state != GateState::Waiting {
        return Err(NoQuote::NotWaiting(gate.state));
    }
    let amount = if priority { gate.priority_price.max(gate.price) } else { gate.price };
    if let Some(quote) = live_quote(&gate, amount, now) {
        return Ok(quote.clone());
    }
    if house.is_short_of_disk() {
        return Err(NoQuote::Later(SHORT_OF_DISK));
    }
    let quote = match begun_quote(&gate, amount, now) {
        Some(begun) => begun.clone(),
        None => {
            let room = room(house, running).await?;
            let preimage = random_preimage();
            let expires_at = now + i64::try_from(house.config.money.quote.as_millis()).unwrap_or(i64::MAX / 2);
            failpoint::pass("quote.begin");
            // The hash is ours for ever before the node hears of it.
            match house.store.begin_quote(id, amount, room, &preimage, expires_at, now).await? {
                Begun::Quote(..) => house.store.quote(&preimage.hash()).await?.ok_or(NoQuote::Unknown)?,
                Begun::NotPayable => return Err(NoQuote::NotPayable),
                Begun::NoRoom(why) => return Err(NoQuote::Later(no_room(why))),
            }
        }
    };
    failpoint::pass("quote.begun");
    let final_cltv = match quote.kind {
        HoldKind::Htlc if quote.awaits_mail => policy::VOUCHER_FINAL_CLTV,
        HoldKind::Htlc => house.config.money.final_cltv,
        HoldKind::Escrow if quote.target.is_none() => return Ok(quote),
        // Claimed as soon as it comes.
        HoldKind::Escrow => policy::FINAL_CLTV_MIN,
    };
    let hold = NewHold {
        hash: quote.hash,
        amount,
        expiry: Duration::from_millis((quote.expires_at - now).unsigned_abs()).max(INVOICE_EXPIRY_MIN),
        final_cltv,
        description: description(),
    };
    let bolt11 = running.wallet.create(hold).await.map_err(|error| {
        tracing::warn!(%error, gate = id.0, "no invoice");
        NoQuote::Later(NODE_AWAY)
    })?;
    failpoint::pass("invoice.made");
    house.store.publish_quote(quote.id, &bolt11).await?;
    failpoint::pass("invoice.published");
    house.store.quote(&quote.hash).await?.ok_or(NoQuote::Unknown)
}

/// A live quote without an invoice: for escrow, its author has not said yet where a refund goes; else the node was away,
/// or a kill came between. It holds its slot, and an invoice may be made again for the same hash.
pub fn begun_quote(gate: &Gate, amount: Msat, now: UnixMs) -> Option<&Quote> {
    let begun = |quote: &&Quote| quote.state == QuoteState::Live && quote.amount == amount && quote.bolt11.is_none();
    gate.quotes.iter().rev().filter(begun).find(|quote| quote.expires_at > now)
}

/// Whether the node has not seen the chain for so long that nobody should lock money on it.
fn is_blind(chain: &ChainState, now: UnixMs) -> bool {
    let synced = chain.synced_at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let synced = synced.and_then(|since| i64::try_from(since.as_millis()).ok());
    synced.is_none_or(|at| now - at > BLIND_AFTER_MS)
}

/// What the node can carry now; what quotes reserve of it, the store counts.
async fn room(house: &House, running: &Running) -> Result<Room, NoQuote> {
    let away = |_| NoQuote::Later(NODE_AWAY);
    if is_blind(&running.wallet.chain().await.map_err(away)?, now_ms()) {
        return Err(NoQuote::Later(NODE_AWAY));
    }
    let capacity = running.wallet.capacity().await.map_err(away)?;
    let escrow = if house.config.allows_escrow() {
        let usable = running.wallet.channels().await.map_err(away)?.into_iter().filter(|channel| channel.usable);
        let receivable = usable.fold(Msat::ZERO, |sum, channel| sum + channel.inbound);
        Some(EscrowRoom { spendable: running.wallet.balance().await.map_err(away)?.spendable, receivable })
    } else {
        None
    };
    Ok(Room {
        slots: capacity.slots_free,
        value: capacity.inbound_free,
        dust: capacity.dust_free,
        dust_below: capacity.dust_below,
        escrow,
    })
}

/// What the ask job came to.
pub enum Asked {
    /// Done; commit this with the job's end.
    Done(Box<Batch>),
    /// Not now.
    Later(Duration),
}

/// Quotes a gate and writes the payment request, if its author may be asked now.
pub async fn ask(house: &House, id: GateId) -> Result<Asked, NoQuote> {
    /// No slot, or the node is away: an author who waits some minutes for a request does not notice.
    const AGAIN: Duration = Duration::from_secs(60);
    let now = now_ms();
    let Some(gate) = house.store.gate(id).await? else { return Ok(Asked::Done(Box::default())) };
    let (Some(to), Some(recipient)) = (&gate.ask, &gate.recipient) else { return Ok(Asked::Done(Box::default())) };
    if gate.state != GateState::Waiting {
        return Ok(Asked::Done(Box::default()));
    }
    // Asked when the mail came, too; but other requests may have gone out since.
    if !may_ask(&house.store.ask_counts(id, now).await?) {
        // Requests are limited, paying is not: the page of the first request lists this mail too.
        return Ok(Asked::Done(Box::default()));
    }
    let quote = match quote(house, id, false).await {
        Ok(quote) => quote,
        Err(NoQuote::Later(_)) => return Ok(Asked::Later(AGAIN)),
        Err(NoQuote::NotWaiting(_) | NoQuote::NotPayable | NoQuote::CannotHold | NoQuote::Unknown) => {
            return Ok(Asked::Done(Box::default()));
        }
        Err(error) => return Err(error),
    };
    let running = house.running()?;
    let letter = letters::PaymentRequest {
        cover: letters::Cover { from: &house.bridge_address(), to, message_id: &new_message_id(house), now },
        server_name: &house.config.server.name,
        in_reply_to: gate.message_id.as_deref(),
        recipient,
        amount: quote.amount,
        priority: gate.priority_price,
        bolt11: quote.bolt11.as_deref().filter(|_| quote.kind == HoldKind::Htlc),
        page_url: &page_url(running, &gate),
        expires_at: quote.expires_at,
        hold: house.config.hold(quote.kind),
    };
    let mut batch = Batch { asked: vec![id], ..Batch::default() };
    batch.outgoing.push(NewOutgoing {
        // A null reverse-path: nobody bounces a bounce.
        reverse_path: String::new(),
        recipients: vec![to.as_str().into()],
        message: letter.render(),
        account: None,
        expires_at: now + REQUEST_HOURS * 3_600_000,
        hold_until: None,
        wishes: MailWishes::default(),
    });
    Ok(Asked::Done(Box::new(batch)))
}

/// The page of a gate's author and account.
pub fn page_url(running: &Running, gate: &Gate) -> String {
    format!("{}/pay/{}", running.public_url, gate.page_token)
}

/// A fresh Message-ID of the bridge.
pub fn new_message_id(house: &House) -> String {
    format!("{}@{}", crate::flow::receive::new_queue_id(), house.config.server.name)
}

/// `mail` and eight random digits: says nothing about the mail (design section 4).
fn description() -> String {
    let mut bytes = [0; 4];
    OsRng.fill_bytes(&mut bytes);
    format!("mail {}", hex::encode(bytes))
}

fn random_preimage() -> Preimage {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    Preimage::new(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_asked_to_lock_money_on_a_chain_that_was_not_seen_for_ten_minutes() {
        let at = |ms: u64| ChainState {
            height: 7,
            source_height: 7,
            synced_at: Some(UNIX_EPOCH + Duration::from_millis(ms)),
            fresh: false,
        };
        assert!(!is_blind(&at(1_000_000), 1_000_000 + BLIND_AFTER_MS));
        assert!(is_blind(&at(1_000_000), 1_000_001 + BLIND_AFTER_MS));
        assert!(!is_blind(&at(1_000_000), 0), "a clock that was set back");
        assert!(is_blind(&ChainState { synced_at: None, ..at(0) }, 1_000_000), "never");
    }
}
