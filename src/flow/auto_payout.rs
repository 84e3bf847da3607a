//! What a user is owed above a threshold leaves by itself: to a Lightning address, or to a wallet of the user's own.
//!
//! ```text
//!   owed > above ─ invoice from the target ─▶ attempt noted ─▶ payout::begin_user ─▶ paid: booked, a pause
//!                       └── none ──┐                                └── failed ──┐
//!                                  ▼                                             ▼
//!                       told once, at the second; in the log each time; tried again with pauses that double
//! ```
//! One attempt at a time. Its invoice is written down before the node hears of it; after a kill the same one is sent again,
//! which no node pays twice, and another one is asked for only when that one has ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use lightning::nwc::{Purse, PurseError};
use lightning::{Invoice, LightningAddress, LnurlError, Paid, WalletError, failpoint};
use lnmp::Msat;
use store::{AccountId, Batch, UnixMs};
use tokio::sync::watch;

use crate::flow::ask::new_message_id;
use crate::flow::own_wallet::{self, Payouts, State, Target};
use crate::flow::{payout, refund, submit};
use crate::house::{House, now_ms, stopped};
use crate::{letters, run};

/// How often it is looked whether anybody is owed enough.
const TICK: Duration = Duration::from_secs(2);
/// A node that does not answer is asked again after this long.
const AWAY: Duration = Duration::from_secs(15);
/// Less is not worth its fees: the way costs up to 1 % and 50 sat.
const LEAST: Msat = Msat(1_000_000);
/// How long an invoice must be payable.
const EXPIRY: Duration = Duration::from_secs(3600);
/// A payment is watched so long; its end is looked up later.
const WATCHED: Duration = Duration::from_secs(5);
/// The first wait after a failure; it doubles.
const BACKOFF_MS: i64 = 2_000;
/// The longest.
const BACKOFF_MAX_MS: i64 = 24 * 3_600_000;
/// Failures in a row before the user is told: one alone may be a node that has just started.
const TOLD_AT: u32 = 2;
/// So long after its expiry nobody takes a payment of an invoice any more, as for refunds.
const DEAD_AFTER: Duration = Duration::from_secs(4 * 3600);

/// Pays out until `stop`.
pub async fn run(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut put_off: HashMap<AccountId, Instant> = HashMap::new();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stopped(&mut stop) => return,
        }
        let accounts = match own_wallet::paid_out(&house).await {
            Ok(accounts) => accounts,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "automatic payouts cannot be read");
                continue;
            }
        };
        put_off.retain(|_, until| *until > Instant::now());
        for account in accounts.into_iter().filter(|account| !put_off.contains_key(account)).collect::<Vec<_>>() {
            if *stop.borrow() {
                return;
            }
            if let Err(error) = look(&house, account).await {
                put_off.insert(account, Instant::now() + AWAY);
                tracing::warn!(account = account.0, error = format!("{error:#}"), "a payout cannot be made now");
            }
        }
    }
}

/// One step of one account's payouts.
async fn look(house: &House, account: AccountId) -> anyhow::Result<()> {
    let Some(mut payouts) = own_wallet::payouts(house, account).await? else { return Ok(()) };
    // What is under way is looked up, and booked, with all others.
    if payouts.state.next_at > now_ms() || payout::is_under_way(house, account).await? {
        return Ok(());
    }
    let bolt11 = match payouts.state.attempt.clone() {
        Some(bolt11) => match house.running()?.wallet.sent(Invoice::parse(&bolt11)?.hash).await? {
            Some(Paid::Succeeded { .. }) => return paid(house, account, payouts).await,
            Some(Paid::Failed) => return failed(house, account, payouts, NO_WAY).await,
            Some(Paid::Pending) => return Ok(()),
            // A kill came before it was sent.
            None => bolt11,
        },
        None => {
            let Some(amount) = due(payout::spare(house, account).await?, payouts.above) else { return Ok(()) };
            match invoice(house, &payouts.to, amount).await {
                Ok(bolt11) => bolt11,
                Err(why) => return failed(house, account, payouts, &why).await,
            }
        }
    };
    let expires_at = Invoice::parse(&bolt11)?.expires_at;
    if payouts.state.attempt.is_none() {
        payouts.state.attempt = Some(bolt11.clone());
        if !own_wallet::note(house, account, &payouts, Batch::default(), now_ms()).await? {
            // Another target was chosen meanwhile.
            return Ok(());
        }
        failpoint::pass("share.noted");
    } else if expires_at < SystemTime::now() {
        let unseen = house.running()?.wallet.balance().await?.sending.is_none_or(|sending| sending == Msat::ZERO);
        if unseen && expires_at + DEAD_AFTER < SystemTime::now() {
            payouts.state.attempt = None;
            own_wallet::note(house, account, &payouts, Batch::default(), now_ms()).await?;
        }
        return Ok(());
    }
    match payout::begin_user(house, account, &bolt11, WATCHED).await {
        Ok(Paid::Succeeded { .. }) => paid(house, account, payouts).await,
        Ok(Paid::Failed) => failed(house, account, payouts, NO_WAY).await,
        Ok(Paid::Pending) => Ok(()),
        // The next look tells how far it is, should the node have sent it all the same.
        Err(error) if is_no_way(&error) && !payout::is_under_way(house, account).await? => {
            failed(house, account, payouts, NO_WAY).await
        }
        Err(error) => {
            // Of ours, not of the target's: the operator reads it in the log.
            payouts.state.next_at = now_ms() + backoff(payouts.state.failures);
            payouts.state.failures = payouts.state.failures.saturating_add(1);
            own_wallet::note(house, account, &payouts, Batch::default(), now_ms()).await?;
            Err(error)
        }
    }
}

/// Whether the node refused for good; what failed for a moment may have been sent.
fn is_no_way(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(WalletError::NoCapacity | WalletError::BadInvoice(_) | WalletError::Refused { .. })
    )
}

const NO_WAY: &str = "no way to it was found, or it did not take the payment";

/// What to pay out, in whole satoshis: so much that with the highest fees no more than what exceeds the threshold leaves.
fn due(spare: Msat, above: Msat) -> Option<Msat> {
    let excess = spare.0.checked_sub(above.0)?;
    let mut sat = excess.saturating_sub(payout::with_fees(Msat::ZERO).0) / 1000 * 100 / 101;
    while sat > 0 && payout::with_fees(Msat(sat * 1000)).0 > excess {
        sat -= 1;
    }
    let amount = Msat(sat * 1000);
    (amount >= LEAST).then_some(amount)
}

/// An invoice over exactly `amount`, or why there is none, for the user.
async fn invoice(house: &House, to: &Target, amount: Msat) -> Result<String, String> {
    let bolt11 = match to {
        Target::Address(address) => {
            let address = LightningAddress::parse(address).map_err(|error: LnurlError| error.to_string())?;
            address.invoice(amount, refund::reach(house)).await.map_err(|error| error.to_string())?
        }
        Target::Nwc(uri) => {
            let purse = Purse::open(uri).map_err(|error| error.to_string())?;
            purse.invoice(amount, "payout", EXPIRY).await.map_err(|error: PurseError| error.to_string())?
        }
        Target::Sandbox => {
            let sandbox = run::sandbox(house).map_err(|error| error.to_string())?;
            sandbox.customer().invoice_for(amount, "payout", EXPIRY).await.map_err(|error| error.to_string())?
        }
    };
    let made = Invoice::parse(&bolt11).map_err(|error| error.to_string())?;
    if made.amount != amount {
        return Err("its invoice is not over what was asked for".into());
    }
    if made.expires_at < SystemTime::now() {
        return Err("its invoice has expired".into());
    }
    Ok(bolt11)
}

async fn paid(house: &House, account: AccountId, mut payouts: Payouts) -> anyhow::Result<()> {
    failpoint::pass("share.paid");
    let now = now_ms();
    let pause = i64::try_from(house.config.money.payout_every.as_millis()).unwrap_or(BACKOFF_MAX_MS);
    payouts.state = State { next_at: now + pause, ..State::default() };
    tracing::info!(account = account.0, "what a user is owed was paid out");
    own_wallet::note(house, account, &payouts, Batch::default(), now).await.map(drop)
}

/// Told to the user once, until one succeeds or another target is chosen.
async fn failed(house: &House, account: AccountId, mut payouts: Payouts, why: &str) -> anyhow::Result<()> {
    let now = now_ms();
    let state = &mut payouts.state;
    let wait = backoff(state.failures);
    tracing::warn!(account = account.0, failures = state.failures + 1, why, "a payout failed; it is tried again");
    state.failures = state.failures.saturating_add(1);
    (state.attempt, state.failing, state.next_at) = (None, Some(why.to_owned()), now + wait);
    let mut causes = Batch::default();
    if !state.told && state.failures >= TOLD_AT {
        state.told = true;
        causes.deliveries = letter(house, account, &payouts, why, now).await?;
    }
    own_wallet::note(house, account, &payouts, causes, now).await.map(drop)
}

fn backoff(failures: u32) -> i64 {
    BACKOFF_MS.saturating_mul(1 << failures.min(16)).min(BACKOFF_MAX_MS)
}

async fn letter(
    house: &House,
    account: AccountId,
    payouts: &Payouts,
    why: &str,
    now: UnixMs,
) -> anyhow::Result<Vec<store::Delivery>> {
    let Some(owner) = house.store.account(account).await? else { return Ok(Vec::new()) };
    let letter = letters::PayoutFailed {
        cover: letters::Cover {
            from: &house.bridge_address(),
            to: &owner.address(),
            message_id: &new_message_id(house),
            now,
        },
        target: payouts.to.in_words(),
        why,
    };
    submit::letter(house, &owner.address(), &letter.render(), now)
        .await
        .map_err(|refusal| anyhow::anyhow!(refusal.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_the_highest_fees_the_threshold_stays_and_little_sums_wait() {
        const SAT: u64 = 1000;
        for (spare, above) in [(1060, 0), (4500, 1000), (1_000_000, 1), (21_000_000, 20_000_000)] {
            let amount = due(Msat(spare * SAT), Msat(above * SAT)).unwrap();
            let excess = (spare - above) * SAT;
            assert!(payout::with_fees(amount).0 <= excess, "{spare} {above}");
            assert!(payout::with_fees(Msat(amount.0 + 2 * SAT)).0 > excess, "{spare} {above}: as much as possible");
            assert_eq!(amount.0 % SAT, 0);
        }
        assert_eq!(due(Msat(1059 * SAT), Msat::ZERO), None, "less than the least");
        assert_eq!(due(Msat(5000 * SAT), Msat(5000 * SAT)), None);
        assert_eq!(due(Msat::ZERO, Msat(1)), None);
    }

    #[test]
    fn pauses_double_to_a_day() {
        assert_eq!([backoff(0), backoff(1), backoff(2)], [2_000, 4_000, 8_000]);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX_MS);
    }
}
