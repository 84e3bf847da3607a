//! Another bridge's price, paid from the wallet that the mail's author named (NIP-47).
//!
//! ```text
//!   noted ─▶ asked (written down) ─▶ pay_invoice ─▶ paid
//!                                        ├─ the wallet says no, or is away ─▶ its owner is told why
//!                                        └─ no answer, or a kill ─▶ lookup_invoice until it is certain
//! ```
//! A wallet is asked to pay an invoice once: what was asked and not answered is only looked up from then on. The money is
//! the user's own and never in the ledger.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use lightning::nwc::{Purse, PurseError};
use lightning::{Invoice, Paid, failpoint};
use serde::{Deserialize, Serialize};
use store::{AccountId, Batch, UnixMs};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::flow::ask::new_message_id;
use crate::flow::{own_wallet, submit};
use crate::house::{House, now_ms, stopped};
use crate::letters;

/// What is, or was lately, being paid, as JSON.
const PRICES: &str = "prices-by-wallet";
/// Prices that are remembered at a time, over all users; further ones are told as not paid.
const PRICES_MAX: usize = 1000;
/// An end is remembered so long: the job that brought the price may come again after a kill.
const ENDED_MS: i64 = 24 * 3_600_000;
/// Wallets asked at once.
const AT_ONCE: usize = 8;
/// How often it is looked whether anything is to be done.
const TICK: Duration = Duration::from_secs(1);
/// The first pause between two look-ups of a payment; it doubles.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The longest.
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(600);
/// So long after its expiry an invoice that the wallet knows nothing of was not paid, whatever the clocks say.
const NEVER_AFTER: Duration = Duration::from_secs(600);
/// A wallet that tells nothing for so long after that is not asked any more.
const GIVE_UP_AFTER: Duration = Duration::from_secs(7 * 86_400);

/// One price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ToPay {
    account: AccountId,
    bolt11: String,
    /// The wallet was, or is about to be, asked to pay it.
    asked: bool,
    /// The wallet said that it is under way: locked at its payee, as a rule.
    #[serde(default)]
    under_way: bool,
    /// It needs no more.
    #[serde(default)]
    ended_at: Option<UnixMs>,
}

async fn all(house: &House) -> anyhow::Result<Vec<ToPay>> {
    match house.store.get_meta(PRICES).await? {
        Some(bytes) => Ok(serde_json::from_slice(&bytes)?),
        None => Ok(Vec::new()),
    }
}

/// Notes a price that is to be paid by an account's wallet. Once: a repeat changes nothing.
pub async fn note(house: &House, account: AccountId, bolt11: &str) -> anyhow::Result<()> {
    let _turn = house.spending.lock().await;
    let (now, mut prices) = (now_ms(), all(house).await?);
    prices.retain(|one| one.ended_at.is_none_or(|at| now - at < ENDED_MS));
    if prices.iter().any(|one| one.bolt11 == bolt11) {
        return Ok(());
    }
    let full = prices.len() >= PRICES_MAX;
    let new = ToPay { account, bolt11: bolt11.to_owned(), asked: false, under_way: false, ended_at: None };
    let mut causes = Batch::default();
    if full {
        causes.deliveries = letter(house, &new, "too many prices are being paid here just now", now).await?;
    } else {
        prices.push(new);
    }
    causes.meta.push((PRICES.to_owned(), serde_json::to_vec(&prices)?));
    house.store.commit(causes, now).await?;
    failpoint::pass("price.noted");
    Ok(())
}

/// Changes one price, together with what that causes.
async fn change(
    house: &House,
    bolt11: &str,
    mut causes: Batch,
    change: impl FnOnce(&mut ToPay) + Send,
) -> anyhow::Result<()> {
    let _turn = house.spending.lock().await;
    let mut prices = all(house).await?;
    if let Some(one) = prices.iter_mut().find(|one| one.bolt11 == bolt11) {
        change(one);
    }
    causes.meta.push((PRICES.to_owned(), serde_json::to_vec(&prices)?));
    house.store.commit(causes, now_ms()).await?;
    Ok(())
}

/// Pays and looks up until `stop`.
pub async fn run(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // By invoice: when it is looked at next, and how long the pause after that is. `None`: it is at work.
    let mut pauses: HashMap<String, Option<(Instant, Duration)>> = HashMap::new();
    let mut works = JoinSet::new();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            Some(ended) = works.join_next(), if !works.is_empty() => {
                if let Ok((bolt11, pause)) = ended {
                    let pause: Duration = pause;
                    pauses.insert(bolt11, Some((Instant::now() + pause, (pause * 2).min(LOOK_AGAIN_MAX))));
                }
                continue;
            }
            () = stopped(&mut stop) => return,
        }
        let prices = match all(&house).await {
            Ok(prices) => prices,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "prices under way cannot be read");
                continue;
            }
        };
        pauses.retain(|bolt11, _| prices.iter().any(|one| one.ended_at.is_none() && one.bolt11 == *bolt11));
        for one in prices.into_iter().filter(|one| one.ended_at.is_none()) {
            let pause = match pauses.get(&one.bolt11) {
                Some(None) => continue,
                Some(Some((at, _))) if *at > Instant::now() => continue,
                Some(Some((_, pause))) => *pause,
                None => LOOK_AGAIN,
            };
            if works.len() >= AT_ONCE {
                break;
            }
            pauses.insert(one.bolt11.clone(), None);
            let house = Arc::clone(&house);
            works.spawn(async move {
                if let Err(error) = step(&house, &one).await {
                    tracing::warn!(
                        account = one.account.0,
                        error = format!("{error:#}"),
                        "a price cannot be looked at"
                    );
                }
                (one.bolt11, pause)
            });
        }
    }
}

/// Asks the wallet, once; or looks up what became of that.
async fn step(house: &House, one: &ToPay) -> anyhow::Result<()> {
    let invoice = Invoice::parse(&one.bolt11)?;
    let over = |after: Duration| invoice.expires_at + after < SystemTime::now();
    let purse = match own_wallet::wallet(house, one.account).await? {
        Some(uri) => Purse::open(&uri)?,
        None if one.asked && !over(NEVER_AFTER + GIVE_UP_AFTER) => return Ok(()),
        None => return not_paid(house, one, "you took the wallet back that was to pay it").await,
    };
    if !one.asked {
        if over(Duration::ZERO) {
            return not_paid(house, one, "its invoice expired before your wallet could be asked").await;
        }
        // From here on only look-ups, whatever happens.
        change(house, &one.bolt11, Batch::default(), |one| one.asked = true).await?;
        failpoint::pass("price.asked");
        let answer = purse.pay(&one.bolt11).await;
        failpoint::pass("price.answered");
        return match answer {
            Ok(Paid::Succeeded { .. }) => ended(house, one, "a price was paid by its user's wallet").await,
            Ok(Paid::Failed) => not_paid(house, one, &PurseError::PaymentFailed.to_string()).await,
            Ok(Paid::Pending) => Ok(()),
            Err(error) if error.is_open() => Ok(()),
            Err(error) => not_paid(house, one, &error.to_string()).await,
        };
    }
    match purse.sent(invoice.hash).await {
        Ok(Some(Paid::Succeeded { .. })) => ended(house, one, "a price was paid by its user's wallet").await,
        Ok(Some(Paid::Pending)) if one.under_way => Ok(()),
        Ok(Some(Paid::Pending)) => change(house, &one.bolt11, Batch::default(), |one| one.under_way = true).await,
        // It was locked, and the mail not accepted: that is no news.
        Ok(Some(Paid::Failed)) if one.under_way => ended(house, one, "a price came back to its user's wallet").await,
        Ok(Some(Paid::Failed)) => not_paid(house, one, &PurseError::PaymentFailed.to_string()).await,
        // Some wallets look up only what they take in.
        Ok(None) if over(NEVER_AFTER) => {
            let why =
                format!("{}, and knows of no such payment; look there before you pay it again", PurseError::Silent);
            not_paid(house, one, &why).await
        }
        Ok(None) => Ok(()),
        Err(error) if over(GIVE_UP_AFTER) => {
            let why = format!("{error}, and whether it paid cannot be found out; look there before you pay again");
            not_paid(house, one, &why).await
        }
        Err(error) => {
            tracing::info!(account = one.account.0, %error, "a user's wallet does not tell of a payment; it is asked again");
            Ok(())
        }
    }
}

async fn ended(house: &House, one: &ToPay, what: &str) -> anyhow::Result<()> {
    tracing::info!(account = one.account.0, "{what}");
    let now = now_ms();
    change(house, &one.bolt11, Batch::default(), |one| one.ended_at = Some(now)).await
}

/// The owner is told, with the end.
async fn not_paid(house: &House, one: &ToPay, why: &str) -> anyhow::Result<()> {
    tracing::info!(account = one.account.0, why, "a price was not paid by its user's wallet");
    let now = now_ms();
    let causes = Batch { deliveries: letter(house, one, why, now).await?, ..Batch::default() };
    change(house, &one.bolt11, causes, |one| one.ended_at = Some(now)).await
}

async fn letter(house: &House, one: &ToPay, why: &str, now: UnixMs) -> anyhow::Result<Vec<store::Delivery>> {
    let Some(owner) = house.store.account(one.account).await? else { return Ok(Vec::new()) };
    let letter = letters::PriceNotPaid {
        cover: letters::Cover {
            from: &house.bridge_address(),
            to: &owner.address(),
            message_id: &new_message_id(house),
            now,
        },
        amount: Invoice::parse(&one.bolt11)?.amount,
        why,
        bolt11: &one.bolt11,
    };
    submit::letter(house, &owner.address(), &letter.render(), now)
        .await
        .map_err(|refusal| anyhow::anyhow!(refusal.text))
}
