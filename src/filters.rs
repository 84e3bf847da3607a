//! `satchel filter`: what an account wants done with mail as it arrives (docs/filters.md).

use anyhow::{Context, bail};
use lnmp::limits::FILTERS_MAX;
use lnmp::{Filter, Msat, Place};
use serde_json::{Value, json};
use store::Account;

use crate::command;
use crate::flow::judge::{self, Mail, Provenance, judge};
use crate::house::{House, now_ms};

/// Adds one, before the one that is now at `position` (from 1), or at the end.
pub async fn add(house: &House, address: &str, filter: Filter, position: Option<usize>) -> anyhow::Result<Value> {
    filter.check()?;
    let _choosing = house.choosing.lock().await;
    let account = command::account_of(house, address).await?;
    folder_exists(house, &account, &filter).await?;
    let mut settings = account.settings.clone();
    let filters = &mut settings.filters;
    if filters.iter().any(|known| known.name == filter.name) {
        bail!("there is a filter \"{}\" already; remove it first, or choose another name", filter.name);
    }
    if filters.len() >= FILTERS_MAX {
        bail!("an account has at most {FILTERS_MAX} filters");
    }
    let at = match position {
        None => filters.len(),
        Some(position) if (1..=filters.len() + 1).contains(&position) => position - 1,
        Some(position) => bail!("there is no position {position}; allowed: 1 to {}", filters.len() + 1),
    };
    let row = row(at, &filter);
    filters.insert(at, filter);
    house.store.update_settings(account.id, settings).await?;
    Ok(row)
}

/// A folder that is not there would be noticed only by mail that is not filed.
async fn folder_exists(house: &House, account: &Account, filter: &Filter) -> anyhow::Result<()> {
    let Some(folder) = filter.then.file.as_deref().filter(|_| filter.then.born_place().is_none()) else {
        return Ok(());
    };
    let mailboxes = house.store.mailboxes(account.id).await?;
    if mailboxes.iter().any(|mailbox| mailbox.place == Place::Own && mailbox.name == folder) {
        return Ok(());
    }
    let names: Vec<&str> = mailboxes.iter().map(|mailbox| mailbox.name.as_str()).collect();
    bail!("there is no folder \"{folder}\"; make it in a mail client first. There are: {}", names.join(", "))
}

/// All, in order.
pub async fn list(house: &House, address: &str) -> anyhow::Result<Value> {
    let account = command::account_of(house, address).await?;
    Ok(account.settings.filters.iter().enumerate().map(|(at, filter)| row(at, filter)).collect())
}

/// Removes one.
pub async fn remove(house: &House, address: &str, name: &str) -> anyhow::Result<Value> {
    let _choosing = house.choosing.lock().await;
    let account = command::account_of(house, address).await?;
    let mut settings = account.settings.clone();
    let before = settings.filters.len();
    settings.filters.retain(|filter| filter.name != name);
    if settings.filters.len() == before {
        bail!("there is no filter \"{name}\"");
    }
    house.store.update_settings(account.id, settings).await?;
    Ok(json!({ "name": name, "removed": true }))
}

/// What would become of a mail: the same judgement that a delivery gets, and no delivery.
pub async fn test(
    house: &House,
    address: &str,
    header: &str,
    size: u64,
    unverified: bool,
    to: Option<&str>,
) -> anyhow::Result<Value> {
    let account = command::account_of(house, address).await?;
    let facts = converter::facts(header.as_bytes());
    let author = facts.author().and_then(converter::Mailbox::address).map(|address| address.to_lowercase());
    let vouched = facts.author().filter(|_| !unverified).map(|author| author.domain.clone());
    let provenance = Provenance {
        aligned: vouched.is_some(),
        passing: vouched.into_iter().collect(),
        list_id: facts.list_id.clone(),
        reply_to_ids: facts.in_reply_to.iter().chain(&facts.references).cloned().collect(),
        author,
        ..Provenance::default()
    };
    let addressed = to.map_or_else(|| account.address(), str::to_lowercase);
    let mail = Mail { raw: header.as_bytes(), size };
    let recipient = judge::Recipient { account: &account, addressed: &addressed, free: false };
    let judged = judge(house, &provenance, &mail, &recipient, now_ms()).await?;
    let filter = judged.filter.as_ref();
    let folder =
        judged.folder.as_deref().or_else(|| judged.place.born_name()).context("every judged mail has a folder")?;
    Ok(json!({
        "filter": filter,
        "relation": judged.relation.name(),
        "refused": judged.rejects,
        "price_sat": judged.price.sat_floor(),
        "folder": folder,
        "flagged": judged.flags.contains(store::Flags::FLAGGED),
        "keywords": judged.keywords,
    }))
}

fn row(at: usize, filter: &Filter) -> Value {
    json!({
        "position": at + 1,
        "name": filter.name,
        "when": filter.when,
        "then": {
            "file": filter.then.file,
            "flag": filter.then.flag,
            "keywords": filter.then.keywords,
            "price_sat": filter.then.price.map(Msat::sat_floor),
            "free": filter.then.free,
            "refuse": filter.then.refuse,
        },
    })
}
