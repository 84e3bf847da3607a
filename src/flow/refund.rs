//! Money that was received in escrow goes back: in full, once, by an invoice of its author's.
//!
//! ```text
//!   refunding ─ invoice from the target ─▶ committed (store) ─▶ sent (node) ─▶ succeeded ─▶ refunded
//!       ▲                                       └────── failed, or dead ────────┘
//! ```
//! Each job is one step, and every step may be repeated: a crash leaves an invoice that is committed and looked up, or
//! none. A payment that has not ended is never followed by another one.

use std::time::{Duration, SystemTime};

use lightning::{Invoice, LightningAddress, LnurlError, Paid, Reach, WalletError, failpoint};
use lnmp::{Msat, PaymentHash, QuoteId, QuoteState, RefundTarget};
use store::{Batch, Escrowed};
use tokio::sync::Semaphore;

use crate::flow::ask::new_message_id;
use crate::flow::bounce;
use crate::flow::work::Ended;
use crate::house::{House, now_ms};
use crate::{letters, run};

/// A payment under way is looked up this often.
const LOOK_AGAIN_MS: i64 = 2_000;
/// The first wait after a failure; it doubles.
const BACKOFF_MS: i64 = 5_000;
/// The longest wait after failures.
const BACKOFF_MAX_MS: i64 = 3_600_000;
/// Tried so long; then the author is asked to say where else to pay.
const GIVE_UP_MS: i64 = 24 * 3_600_000;
/// The sandbox's wallet is always there.
const SANDBOX_EXPIRY: Duration = Duration::from_secs(60);
/// So long after its expiry nobody takes a payment of an invoice any more: an LDK payee takes one for 7200 s, by the time
/// of its blocks. Before that a payment that nothing is seen of may still arrive, and another one would pay twice.
const DEAD_AFTER: Duration = Duration::from_secs(4 * 3600);

/// One step of paying back.
pub async fn refund(house: &House, id: QuoteId) -> anyhow::Result<Ended> {
    let Some(escrowed) = house.store.escrow(id).await? else { return Ok(Ended::nothing()) };
    if !matches!(escrowed.state, QuoteState::Refunding(_)) {
        return Ok(Ended::nothing());
    }
    match &escrowed.invoice {
        Some((bolt11, hash)) => follow(house, &escrowed, bolt11, *hash).await,
        None => begin(house, &escrowed).await,
    }
}

/// Gets an invoice from the target and commits to it. The commit makes the job that pays it.
async fn begin(house: &House, escrowed: &Escrowed) -> anyhow::Result<Ended> {
    let now = now_ms();
    if escrowed.since.is_some_and(|since| now - since > GIVE_UP_MS) {
        return stuck(house, escrowed).await;
    }
    let bolt11 = match &escrowed.target {
        Some(RefundTarget::Address(address)) => {
            let invoice = LightningAddress::parse(address)?.invoice(escrowed.amount, reach(house)).await;
            match invoice {
                Ok(bolt11) => bolt11,
                Err(LnurlError::Amount { .. } | LnurlError::BadAddress) => return stuck(house, escrowed).await,
                Err(error) => {
                    tracing::info!(quote = escrowed.quote.0, %error, "no invoice for a refund; it is asked for again");
                    return Ok(again(escrowed));
                }
            }
        }
        Some(RefundTarget::Sandbox) => {
            match run::sandbox(house)?.customer().invoice_for(escrowed.amount, "refund", SANDBOX_EXPIRY).await {
                Ok(bolt11) => bolt11,
                Err(error) => {
                    tracing::info!(quote = escrowed.quote.0, %error, "no invoice for a refund; it is asked for again");
                    return Ok(again(escrowed));
                }
            }
        }
        // Its author fetches it: `withdraw` goes on.
        Some(RefundTarget::Withdraw) => return Ok(Ended::nothing()),
        None => return stuck(house, escrowed).await,
    };
    let hash = invoice_over(&bolt11, escrowed).map_err(anyhow::Error::msg)?;
    failpoint::pass("refund.begin");
    house.store.begin_refund(escrowed.quote, &bolt11, &hash, now).await?;
    failpoint::pass("refund.noted");
    house.work.notify_waiters();
    Ok(Ended::nothing())
}

/// Pays what is committed to, or finds out how that ended.
async fn follow(house: &House, escrowed: &Escrowed, bolt11: &str, hash: PaymentHash) -> anyhow::Result<Ended> {
    let wallet = &house.running()?.wallet;
    let expired = Invoice::parse(bolt11)?.expires_at + DEAD_AFTER < SystemTime::now();
    match wallet.sent(hash).await? {
        Some(Paid::Succeeded { fee }) => {
            failpoint::pass("refund.paid");
            if house.store.refund_paid(escrowed.quote, &hash, fee, now_ms()).await? {
                failpoint::pass("refund.recorded");
                tracing::info!(gate = escrowed.gate.0, amount_msat = escrowed.amount.0, "a refund was paid");
            }
            Ok(Ended::nothing())
        }
        Some(Paid::Failed) => failed(house, escrowed, hash).await,
        // Nothing is on its way, and nobody takes it any more. A node that does not tell what is on its way is believed: its
        // payment is under way, however long that takes.
        Some(Paid::Pending) if expired && wallet.balance().await?.sending == Some(Msat::ZERO) => {
            failed(house, escrowed, hash).await
        }
        Some(Paid::Pending) => Ok(Ended::Again(LOOK_AGAIN_MS)),
        None if expired && wallet.balance().await?.sending.is_none_or(|sending| sending == Msat::ZERO) => {
            failed(house, escrowed, hash).await
        }
        None if expired => Ok(Ended::Again(LOOK_AGAIN_MS)),
        // The node knows of no such payment, so none was sent: a kill leaves no doubt about that (`lightning::node`).
        None => {
            failpoint::pass("refund.due");
            send(house, escrowed, bolt11, hash).await
        }
    }
}

/// Sends the payment. A node refuses the second one of an invoice.
async fn send(house: &House, escrowed: &Escrowed, bolt11: &str, hash: PaymentHash) -> anyhow::Result<Ended> {
    match house.running()?.wallet.pay(bolt11).await {
        Ok(paid) => {
            failpoint::pass("refund.sent");
            Ok(Ended::Again(if paid == Paid::Pending { LOOK_AGAIN_MS } else { 0 }))
        }
        Err(WalletError::AlreadyPaid) => Ok(Ended::Again(LOOK_AGAIN_MS)),
        Err(error) if error.is_temporary() => {
            tracing::warn!(quote = escrowed.quote.0, %error, "a refund could not be sent; it is tried again");
            Ok(again(escrowed))
        }
        Err(error) => {
            tracing::warn!(quote = escrowed.quote.0, %error, "an invoice for a refund cannot be paid");
            failed(house, escrowed, hash).await
        }
    }
}

async fn failed(house: &House, escrowed: &Escrowed, hash: PaymentHash) -> anyhow::Result<Ended> {
    house.store.refund_failed(escrowed.quote, &hash, now_ms()).await?;
    Ok(again(escrowed))
}

async fn stuck(house: &House, escrowed: &Escrowed) -> anyhow::Result<Ended> {
    if house.store.refund_stuck(escrowed.quote, now_ms()).await? {
        tracing::error!(
            gate = escrowed.gate.0,
            "a refund cannot be paid where it should go; its author is asked, or set a target: satchel gate refund-to"
        );
        house.work.notify_waiters();
    }
    Ok(Ended::nothing())
}

fn again(escrowed: &Escrowed) -> Ended {
    let waited = escrowed.since.map_or(0, |since| now_ms() - since);
    // Doubles with the time it has taken so far, whatever restarted in between.
    Ended::Again(waited.clamp(BACKOFF_MS, BACKOFF_MAX_MS))
}

/// Lightning addresses looked at at once: whoever has a page may name any server, and each look is a connection of ours.
static CHECKS: Semaphore = Semaphore::const_new(4);

/// Whose servers may be asked for invoices.
pub fn reach(house: &House) -> Reach {
    // Another node's money is real, wherever this bridge's chain is.
    if house.config.is_real() { Reach::Internet } else { Reach::Anywhere }
}

/// The hash of an invoice that asks for exactly what is to be paid back.
fn invoice_over(bolt11: &str, escrowed: &Escrowed) -> Result<PaymentHash, String> {
    let invoice = Invoice::parse(bolt11).map_err(|error| error.to_string())?;
    if invoice.amount != escrowed.amount {
        return Err(format!("the invoice must be over exactly {}, it is over {}", escrowed.amount, invoice.amount));
    }
    if invoice.expires_at < SystemTime::now() {
        return Err("the invoice has expired".into());
    }
    Ok(invoice.hash)
}

/// LUD-03, step 5: a wallet hands in the invoice that its owner's refund is paid by. Single use: by compare-and-swap,
/// before anything is paid.
///
/// # Errors
/// A sentence for the wallet.
pub async fn withdraw(house: &House, token: &str, bolt11: &str) -> Result<(), String> {
    let later = |error: store::StoreError| {
        tracing::warn!(%error, "a withdrawal");
        "please try again later".to_owned()
    };
    let escrowed = house.store.escrow_of_token(token).await.map_err(later)?.ok_or("there is no such withdrawal")?;
    if escrowed.target != Some(RefundTarget::Withdraw) || !matches!(escrowed.state, QuoteState::Refunding(_)) {
        return Err("there is nothing to withdraw".into());
    }
    let hash = invoice_over(bolt11, &escrowed)?;
    if house.store.begin_refund(escrowed.quote, bolt11, &hash, now_ms()).await.map_err(later)? {
        house.work.notify_waiters();
        Ok(())
    } else {
        Err("a payment is under way already; if it fails, this link works again".into())
    }
}

/// Reads a target somebody chose, and asks its server whether it would take `amount`.
///
/// # Errors
/// A sentence that says what is allowed.
pub async fn target(house: &House, text: &str, amount: Msat) -> Result<RefundTarget, String> {
    match text.trim() {
        "withdraw" => Ok(RefundTarget::Withdraw),
        "sandbox" if run::sandbox(house).is_ok() => Ok(RefundTarget::Sandbox),
        address => {
            let address = LightningAddress::parse(address).map_err(|error| error.to_string())?;
            let _permit = CHECKS.try_acquire().map_err(|_| "the server is busy; please try again in a minute")?;
            address.check(amount, reach(house)).await.map_err(|error| error.to_string())?;
            Ok(RefundTarget::Address(address.text()))
        }
    }
}

/// Mails the author a link that changes where a refund goes; to the aligned address only.
pub async fn link(house: &House, id: QuoteId) -> anyhow::Result<Ended> {
    let Some(escrowed) = house.store.escrow(id).await? else { return Ok(Ended::nothing()) };
    let Some(gate) = house.store.gate(escrowed.gate).await? else { return Ok(Ended::nothing()) };
    let (Some(token), Some(to)) = (escrowed.link, gate.ask) else { return Ok(Ended::nothing()) };
    let now = now_ms();
    let letter = letters::RefundLink {
        cover: letters::Cover { from: &house.bridge_address(), to: &to, message_id: &new_message_id(house), now },
        amount: escrowed.amount,
        stuck: matches!(escrowed.state, QuoteState::Stuck(_)),
        url: &format!("{}/refund/{token}", house.running()?.public_url),
    };
    let outgoing = vec![bounce::from_bridge(&to, letter.render(), now)];
    Ok(Ended::With(Box::new(Batch { outgoing, ..Batch::default() })))
}
