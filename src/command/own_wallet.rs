//! Where an account's share is paid out to, and the wallet that pays its prices.

use anyhow::{Context, bail};
use lightning::LightningAddress;
use lightning::nwc::{Purse, PurseError};
use lnmp::Msat;
use serde_json::{Value, json};

use super::{account_of, rfc3339};
use crate::cli::PayoutChange;
use crate::flow::own_wallet::{self, Payouts, Target};
use crate::flow::refund;
use crate::house::House;
use crate::run;

/// An amount that any wallet's limits include: only whether somebody answers is asked.
const PROBE: Msat = Msat(1_000_000);

/// Automatic payouts, without secrets.
pub(super) fn shown(payouts: &Payouts) -> Value {
    let state = &payouts.state;
    json!({
        "to": payouts.to.in_words(),
        "above_sat": payouts.above.sat_floor(),
        "under_way": state.attempt.is_some(),
        "failures": state.failures,
        "failing": state.failing,
        "not_before": (state.next_at > 0).then(|| rfc3339(state.next_at)),
    })
}

pub(super) async fn payout(house: &House, change: PayoutChange) -> anyhow::Result<Value> {
    let account = account_of(house, &change.address).await?;
    let mut warning = None;
    let had = own_wallet::payouts(house, account.id).await?;
    let target = match (&change.to, change.nwc) {
        (Some(to), None) => Some(target(house, to, &mut warning).await?),
        (None, Some(uri)) => {
            warning = ask(&uri, &["make_invoice"]).await?;
            Some(Target::Nwc(uri))
        }
        (None, None) => None,
        (Some(_), Some(_)) => bail!("say one target: --to or --nwc-file"),
    };
    let above = change.above_sat.map(|sat| Msat::from_sat(sat).context("the amount is too large")).transpose()?;
    if change.off {
        own_wallet::choose_payouts(house, account.id, None).await?;
    } else if target.is_some() || above.is_some() {
        let to = target.or_else(|| had.as_ref().map(|had| had.to.clone()));
        let to = to.context("say where to: --to TARGET, or --nwc-file FILE")?;
        let above = above.or_else(|| had.as_ref().map(|had| had.above));
        let above = above.context("say what stays: --above SAT")?;
        let mut new = Payouts::new(to, above);
        // What is under way is followed to its end, whatever is chosen now.
        new.state.attempt = had.and_then(|had| had.state.attempt);
        own_wallet::choose_payouts(house, account.id, Some(&new)).await?;
    }
    let is = own_wallet::payouts(house, account.id).await?;
    Ok(json!({ "address": account.address(), "payout": is.as_ref().map(shown), "warning": warning }))
}

async fn target(house: &House, to: &str, warning: &mut Option<String>) -> anyhow::Result<Target> {
    if to == "sandbox" {
        run::sandbox(house)?;
        return Ok(Target::Sandbox);
    }
    let Ok(address) = LightningAddress::parse(to) else {
        bail!(
            "{to} is no target; a target is a Lightning address like name@wallet.example, a wallet by --nwc-file, or in the \
             sandbox `sandbox`; an invoice is paid once, by `satchel wallet payout ADDRESS BOLT11`"
        )
    };
    *warning = address.check(PROBE, refund::reach(house)).await.err().map(|error| error.to_string());
    Ok(Target::Address(address.text()))
}

pub(super) async fn wallet(house: &House, address: &str, nwc: Option<&str>, off: bool) -> anyhow::Result<Value> {
    let account = account_of(house, address).await?;
    let mut warning = None;
    if off {
        own_wallet::choose_wallet(house, account.id, None).await?;
    } else if let Some(uri) = nwc {
        warning = ask(uri, &["pay_invoice", "lookup_invoice"]).await?;
        own_wallet::choose_wallet(house, account.id, Some(uri)).await?;
    }
    let is = own_wallet::wallet(house, account.id).await?;
    let limit = account.settings.max_auto_pay.sat_floor();
    Ok(json!({
        "address": account.address(),
        "wallet": is.map(|_| "nwc"),
        "max_auto_pay_sat": limit,
        "warning": warning,
    }))
}

/// Whether a wallet answers and allows what is needed. One that is away now is taken, with a warning.
async fn ask(uri: &str, methods: &'static [&'static str]) -> anyhow::Result<Option<String>> {
    let purse = Purse::open(uri).context("no Nostr Wallet Connect string")?;
    match purse.allows(methods).await {
        Ok(()) => Ok(None),
        Err(error @ (PurseError::Lacks(_) | PurseError::Unauthorized | PurseError::Encryption)) => bail!("{error}"),
        Err(error) => Ok(Some(error.to_string())),
    }
}
