//! Free passes that an owner or the operator gives: allow-lists, and mail that is expected now.

use anyhow::bail;
use lnmp::Allowed;
use lnmp::limits::{ALLOWED_MAX, EXPECT_MS_MAX};
use serde_json::{Value, json};

use crate::command::{self, rfc3339};
use crate::config::DurationText;
use crate::house::{House, now_ms};

/// The name of the bridge's own list in the store.
const META: &str = "allowed";

/// Reads the bridge's list into the house; before any door opens.
pub async fn load(house: &House) -> anyhow::Result<()> {
    house.set_allowed(of_bridge(house).await?);
    Ok(())
}

async fn of_bridge(house: &House) -> anyhow::Result<Vec<Allowed>> {
    Ok(match house.store.get_meta(META).await? {
        Some(text) => serde_json::from_slice(&text)?,
        None => Vec::new(),
    })
}

/// Adds an entry to an account's list, or the bridge's.
pub async fn add(house: &House, account: Option<&str>, entry: Allowed) -> anyhow::Result<Value> {
    change(house, account, &entry, |list| {
        if list.contains(&entry) {
            bail!("{entry} is let in free already");
        }
        if list.len() >= ALLOWED_MAX {
            bail!("a list has at most {ALLOWED_MAX} entries");
        }
        list.push(entry.clone());
        list.sort();
        Ok(())
    })
    .await
}

/// Takes one back.
pub async fn remove(house: &House, account: Option<&str>, entry: Allowed) -> anyhow::Result<Value> {
    let mut shown = change(house, account, &entry, |list| {
        let before = list.len();
        list.retain(|known| *known != entry);
        if list.len() == before {
            bail!("{entry} is not on this list; `satchel allow list` shows it");
        }
        Ok(())
    })
    .await?;
    shown["removed"] = json!(true);
    Ok(shown)
}

async fn change(
    house: &House,
    account: Option<&str>,
    entry: &Allowed,
    how: impl FnOnce(&mut Vec<Allowed>) -> anyhow::Result<()>,
) -> anyhow::Result<Value> {
    let _choosing = house.choosing.lock().await;
    match account {
        Some(address) => {
            let account = command::account_of(house, address).await?;
            let mut settings = account.settings.clone();
            how(&mut settings.allowed)?;
            house.store.update_settings(account.id, settings).await?;
        }
        None => {
            let mut list = of_bridge(house).await?;
            how(&mut list)?;
            house.store.set_meta(META, &serde_json::to_vec(&list)?).await?;
            house.set_allowed(list);
        }
    }
    Ok(row(account, entry))
}

/// An account's list, or the bridge's.
pub async fn list(house: &House, account: Option<&str>) -> anyhow::Result<Value> {
    let list = match account {
        Some(address) => command::account_of(house, address).await?.settings.allowed,
        None => of_bridge(house).await?,
    };
    Ok(list.iter().map(|entry| row(account, entry)).collect())
}

fn row(account: Option<&str>, entry: &Allowed) -> Value {
    let (kind, name, by) = match entry {
        Allowed::Domain(domain) => ("domain", domain, None),
        Allowed::List { id, by } => ("list", id, by.as_ref()),
    };
    json!({ "kind": kind, "name": name, "by": by, "for": account.unwrap_or("everybody") })
}

/// Lets everybody's mail to an account in free for a while; nothing asked ends it.
pub async fn expect(house: &House, address: &str, ms: u64) -> anyhow::Result<Value> {
    let most = DurationText(std::time::Duration::from_millis(EXPECT_MS_MAX.unsigned_abs()));
    let Some(ms) = i64::try_from(ms).ok().filter(|ms| *ms <= EXPECT_MS_MAX) else {
        bail!("mail is expected for at most {most}; for longer, give out an address with an end: `satchel alias add`");
    };
    let _choosing = house.choosing.lock().await;
    let account = command::account_of(house, address).await?;
    let mut settings = account.settings.clone();
    settings.expecting_until = if ms == 0 { 0 } else { now_ms() + ms };
    house.store.update_settings(account.id, settings.clone()).await?;
    Ok(json!({ "address": account.address(), "expecting_until": until(settings.expecting_until) }))
}

/// The end of the time in which mail is expected, while it lasts.
pub fn until(expecting_until: store::UnixMs) -> Option<String> {
    (expecting_until > now_ms()).then(|| rfc3339(expecting_until))
}
