//! What `satchel dkim` does, and the RSA key that every server gets without being asked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use smtp::DkimKind;

use super::PUBLISHED_BEFORE;
use crate::command::rfc3339;
use crate::dns::is_in_sandbox;
use crate::house::{House, now_ms};

/// `dkim list`.
pub fn list(house: &House) -> Value {
    let row = |key: &super::Listed| {
        json!({
            "selector": key.selector,
            "algorithm": key.algorithm,
            "stage": key.stage,
            "active_from": rfc3339(key.active_from),
            "retired_at": key.retired_at.map(rfc3339),
        })
    };
    house.keys.dkim.list(now_ms()).iter().map(row).collect()
}

/// `dkim rotate`: a new key of each kind, or of one.
pub async fn rotate(house: &Arc<House>, only: Option<&str>, after: Duration) -> anyhow::Result<Value> {
    let kinds = DkimKind::ALL.into_iter().filter(|kind| only.is_none_or(|only| only == kind.name()));
    let mut made = Vec::new();
    // The one that may fail comes first: then nothing has changed.
    for kind in kinds.rev() {
        made.push(make(house, kind, after).await?);
    }
    made.reverse();
    Ok(added(house, &made))
}

/// `dkim import`.
pub async fn import(house: &Arc<House>, file: PathBuf, after: Duration) -> anyhow::Result<Value> {
    let keeper = Arc::clone(house);
    let import = move || keeper.keys.dkim.import(&file, after, now_ms());
    let selector = tokio::task::spawn_blocking(import).await??;
    Ok(added(house, &[selector]))
}

/// Makes the RSA key that is missing on a fresh DIR, or on one of an older version. It signs at once where its record is
/// published at once, or where nothing was published yet.
pub async fn complete(house: Arc<House>, is_fresh: bool) {
    if house.keys.dkim.has(DkimKind::Rsa, now_ms()) {
        return;
    }
    let at_once = is_fresh || house.zone.get().is_some();
    let after = if at_once { Duration::ZERO } else { PUBLISHED_BEFORE };
    match make(&house, DkimKind::Rsa, after).await {
        Ok(selector) => {
            added(&house, std::slice::from_ref(&selector));
            tracing::info!(%selector, "an RSA key for DKIM was made: `satchel dns` has the record to publish");
        }
        Err(error) => tracing::warn!("mail is signed with an Ed25519 key only, which some receivers ignore: {error:#}"),
    }
}

async fn make(house: &Arc<House>, kind: DkimKind, after: Duration) -> anyhow::Result<String> {
    let house = Arc::clone(house);
    tokio::task::spawn_blocking(move || house.keys.dkim.rotate(kind, after, now_ms())).await?
}

/// The records of new keys: published here where the zone is ours, and by the postmaster elsewhere.
fn added(house: &House, selectors: &[String]) -> Value {
    let mut records = Vec::new();
    for domain in &house.config.server.domains {
        for (key, _) in house.keys.dkim.published(domain, now_ms()) {
            let (name, text) = key.dns_record();
            if let Some(zone) = house.zone.get().filter(|_| is_in_sandbox(domain)) {
                zone.publish(&name, &text);
            }
            if selectors.iter().any(|selector| name.starts_with(&format!("{selector}."))) {
                let line = smtp::RecordData::Txt(text.clone()).zone_line(&name);
                records.push(json!({ "name": name, "type": "TXT", "value": text, "zone": line }));
            }
        }
    }
    let all = house.keys.dkim.list(now_ms());
    let made = all.iter().filter(|key| selectors.contains(&key.selector)).map(
        |key| json!({ "selector": key.selector, "algorithm": key.algorithm, "active_from": rfc3339(key.active_from) }),
    );
    let first = all.iter().find(|key| selectors.first() == Some(&key.selector));
    json!({
        "selector": first.map(|key| &key.selector),
        "active_from": first.map(|key| rfc3339(key.active_from)),
        "keys": made.collect::<Vec<_>>(),
        "publish": records,
    })
}
