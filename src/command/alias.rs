//! Further addresses of an account.

use anyhow::bail;
use serde_json::{Value, json};
use store::{Account, NewAlias, Store};

use super::{account_of, local_address, rfc3339};
use crate::groups;
use crate::house::{House, now_ms};

pub(super) async fn add(
    house: &House,
    address: &str,
    owner: &str,
    expires_ms: Option<u64>,
    max_uses: Option<u32>,
) -> anyhow::Result<Value> {
    let owner = account_of(house, owner).await?;
    let (local, domain) = local_address(house, address)?;
    let expires_at = expires_ms.map(|ms| now_ms() + i64::try_from(ms).unwrap_or(i64::MAX / 2));
    groups::refuse_taken(house, address)?;
    let new = NewAlias { account: owner.id, local, domain, expires_at, max_uses };
    house.store.add_alias(new, now_ms()).await?;
    Ok(json!({
        "address": address.to_lowercase(),
        "for": owner.address(),
        "expires_at": expires_at.map(rfc3339),
        "max_uses": max_uses,
    }))
}

pub(super) async fn list(store: &dyn Store) -> anyhow::Result<Value> {
    let accounts = store.accounts().await?;
    let owner = |id| accounts.iter().find(|a| a.id == id).map(Account::address);
    let aliases = store.aliases(None).await?;
    Ok(aliases
        .iter()
        .map(|alias| {
            json!({
                "address": format!("{}@{}", alias.local, alias.domain),
                "for": owner(alias.account),
                "expires_at": alias.expires_at.map(rfc3339),
                "max_uses": alias.max_uses,
                "uses": alias.uses,
            })
        })
        .collect())
}

pub(super) async fn remove(house: &House, address: &str) -> anyhow::Result<Value> {
    let (local, domain) = local_address(house, address)?;
    if !house.store.remove_alias(&local, &domain).await? {
        bail!("there is no alias {address}");
    }
    Ok(json!({ "address": address, "removed": true }))
}
