//! Accounts and what each of them chose.

use anyhow::{Context, bail};
use lnmp::{AcceptOn, Msat, UnpaidPolicy, UnverifiedPolicy};
use serde_json::{Value, json};
use store::{Account, StoreError};

use super::{account_of, rfc3339};
use crate::accounts::{self, Which};
use crate::cli::{CapabilityChange, PriceChange};
use crate::flow::own_wallet;
use crate::house::{House, now_ms};
use crate::{allow, groups};

pub(super) async fn add(house: &House, address: &str, password: &str, server_custody: bool) -> anyhow::Result<Value> {
    groups::refuse_taken(house, address)?;
    let created = accounts::create(house, address, Some(password), server_custody).await?;
    Ok(json!({
        "address": address.to_lowercase(),
        "lnmp_address": created.lnmp_address,
        "recovery_phrase": created.recovery_phrase.reveal(),
    }))
}

pub(super) async fn passwd(house: &House, address: &str, old: &str, new: &str) -> anyhow::Result<Value> {
    let account = account_of(house, address).await?;
    accounts::change_password(house, &account, old, new).await?;
    Ok(json!({ "address": account.address(), "changed": true }))
}

pub(super) async fn app_password(house: &House, address: &str, secret: &str, label: &str) -> anyhow::Result<Value> {
    let account = account_of(house, address).await?;
    let password = accounts::app_password(house, &account, secret, label).await?;
    Ok(json!({ "address": account.address(), "label": label, "app_password": password.reveal() }))
}

pub(super) async fn needs_secret(house: &House, address: &str) -> anyhow::Result<Value> {
    let account = account_of(house, address).await?;
    Ok(Value::Bool(accounts::needs_secret(house, &account).await?))
}

pub(super) async fn remove(house: &House, address: &str) -> anyhow::Result<Value> {
    let account = account_of(house, address).await?;
    let cids = accounts::remove(house, &account).await?;
    groups::forget(house, &account).await?;
    own_wallet::forget(house, account.id).await?;
    if let Ok(running) = house.running() {
        for cid in &cids {
            running.shelf.remove(cid).await?;
        }
    }
    house.work.notify_waiters();
    Ok(json!({ "address": account.address(), "removed": true }))
}

pub(super) async fn revoke(
    house: &House,
    address: &str,
    label: Option<&str>,
    id: Option<i64>,
) -> anyhow::Result<Value> {
    let account = account_of(house, address).await?;
    let which = match (label, id) {
        (_, Some(id)) => Which::Id(id),
        (Some(label), None) => Which::Label(label),
        (None, None) => bail!("say which: --label or --id"),
    };
    let gone = accounts::revoke(house, &account, which).await?;
    Ok(json!({ "address": account.address(), "id": gone.id, "kind": gone.kind, "label": gone.label, "revoked": true }))
}

pub(super) async fn quota(house: &House, address: &str, limit: Option<&str>) -> anyhow::Result<Value> {
    let (account, store) = (account_of(house, address).await?, &*house.store);
    match limit {
        None => {}
        Some("none") => store.set_quota(account.id, None).await?,
        Some(octets) => {
            let octets = octets.parse().context("a quota is a number of octets, or none")?;
            store.set_quota(account.id, Some(octets)).await?;
        }
    }
    let quota = store.quota(account.id).await?;
    Ok(json!({ "address": account.address(), "used_octets": quota.used, "limit_octets": quota.limit }))
}

pub(crate) async fn list(house: &House) -> anyhow::Result<Value> {
    let (store, mut rows) = (&*house.store, Vec::new());
    for account in store.accounts().await? {
        let credentials = store.credentials(account.id).await?;
        let kinds: Vec<Value> = credentials
            .iter()
            .map(|c| json!({ "id": c.id, "kind": c.kind, "label": c.label, "created_at": rfc3339(c.created_at) }))
            .collect();
        rows.push(json!({
            "address": account.address(),
            "identity": hex::encode(account.identity),
            "created_at": rfc3339(account.created_at),
            "credentials": kinds,
            "expecting_until": allow::until(account.settings.expecting_until),
            "settings": settings_json(&account),
            "payout": own_wallet::payouts(house, account.id).await?.map(|payouts| super::own_wallet::shown(&payouts)),
            "wallet": own_wallet::wallet(house, account.id).await?.map(|_| "nwc"),
        }));
    }
    Ok(Value::Array(rows))
}

fn settings_json(account: &Account) -> Value {
    let settings = &account.settings;
    json!({
        "stranger_sat": settings.prices.stranger.sat_floor(),
        "acquaintance_sat": settings.prices.acquaintance.sat_floor(),
        "priority_sat": settings.prices.priority.sat_floor(),
        "surge": settings.prices.surge,
        "accept_on": settings.accept_on,
        "unverified": settings.unverified,
        "unpaid": settings.unpaid,
        "observe": settings.observe,
        "max_auto_pay_sat": settings.max_auto_pay.sat_floor(),
        "capabilities_off": settings.capabilities_off,
    })
}

pub(super) async fn price(house: &House, change: PriceChange) -> anyhow::Result<Value> {
    let _choosing = house.choosing.lock().await;
    let account = account_of(house, &change.address).await?;
    let mut settings = account.settings.clone();
    let msat = |sat: u64| {
        Msat::from_sat(sat)
            .filter(|m| m.0 <= 21_000_000 * 100_000_000 * 1000)
            .context("a price is at most 21 million bitcoin")
    };
    if let Some(sat) = change.stranger_sat {
        settings.prices.stranger = msat(sat)?;
    }
    if let Some(sat) = change.acquaintance_sat {
        settings.prices.acquaintance = msat(sat)?;
    }
    if let Some(sat) = change.priority_sat {
        settings.prices.priority = msat(sat)?;
    }
    if let Some(surge) = change.surge {
        settings.prices.surge = surge;
    }
    settings.accept_on = match change.accept_on.as_deref() {
        Some("move") => AcceptOn::Move,
        Some("read") => AcceptOn::Read,
        Some("delivery") => AcceptOn::Delivery,
        Some(other) => bail!("accept-on is move, read or delivery, not {other}"),
        None => settings.accept_on,
    };
    settings.unverified = match change.unverified.as_deref() {
        Some("keep") => UnverifiedPolicy::Keep,
        Some("reject") => UnverifiedPolicy::Reject,
        Some(other) => bail!("unverified is keep or reject, not {other}"),
        None => settings.unverified,
    };
    settings.unpaid = match change.unpaid.as_deref() {
        Some("keep") => UnpaidPolicy::Keep,
        Some("reject") => UnpaidPolicy::Reject,
        Some(other) => bail!("unpaid is keep or reject, not {other}"),
        None => settings.unpaid,
    };
    if let Some(observe) = change.observe {
        settings.observe = observe;
    }
    if let Some(sat) = change.max_auto_pay_sat {
        settings.max_auto_pay = msat(sat)?;
    }
    if settings != account.settings {
        house.store.update_settings(account.id, settings.clone()).await?;
    }
    let mut value = settings_json(&Account { settings, ..account.clone() });
    value["address"] = json!(account.address());
    Ok(value)
}

/// Turns an account's support queue on or off, and says which it is.
pub(super) async fn queue_folder(house: &House, address: &str, on: Option<bool>) -> anyhow::Result<Value> {
    let account = account_of(house, address).await?;
    if let Some(on) = on {
        match house.store.set_desk(account.id, on, now_ms()).await {
            Err(StoreError::Exists(_)) => {
                bail!("{} has a mailbox Queue of its own: rename it first", account.address())
            }
            done => done?,
        }
    }
    let mailboxes = house.store.mailboxes(account.id).await?;
    let on = mailboxes.iter().any(|mailbox| mailbox.place == lnmp::Place::Queue);
    Ok(json!({ "address": account.address(), "queue": on }))
}

/// Turns IMAP capabilities off and on for one account; what it says is the list as it is then.
pub(super) async fn capability(house: &House, change: CapabilityChange) -> anyhow::Result<Value> {
    let _choosing = house.choosing.lock().await;
    let account = account_of(house, &change.address).await?;
    let allowed: Vec<&str> = imap::capability::optional().map(|capability| capability.name).collect();
    let known = |name: &String| {
        let found = allowed.iter().find(|allowed| allowed.eq_ignore_ascii_case(name));
        found.copied().with_context(|| format!("{name} cannot be turned off or on; these can: {}", allowed.join(", ")))
    };
    let off: Vec<&str> = change.off.iter().map(known).collect::<anyhow::Result<_>>()?;
    let on: Vec<&str> = change.on.iter().map(known).collect::<anyhow::Result<_>>()?;
    if let Some(both) = off.iter().find(|name| on.contains(name)) {
        bail!("{both} is to be turned off and on");
    }
    let mut settings = account.settings.clone();
    settings.capabilities_off.retain(|name| !on.contains(&name.as_str()));
    for name in off {
        if !settings.capabilities_off.iter().any(|known| known == name) {
            settings.capabilities_off.push(name.to_owned());
        }
    }
    if settings != account.settings {
        house.store.update_settings(account.id, settings.clone()).await?;
    }
    let offered = |name: &str| !settings.capabilities_off.iter().any(|off| off == name);
    let row = |c: imap::capability::Capability| json!({ "capability": c.name, "source": c.source, "offered": offered(c.name) });
    Ok(imap::capability::optional().map(row).collect())
}
