//! `satchel dns DOMAIN`: the records to publish, and whether the live ones agree.

mod live;
mod wanted;

pub use live::Live;
pub use wanted::{Wanted, WillDo, is_published_by_zone, wanted};

use std::net::IpAddr;

use futures::future::join_all;
use serde_json::{Value, json};
use smtp::{RecordData, Resolver};

use crate::house::{House, now_ms};

/// What `satchel dns` prints. `ok` says that nothing is wrong with a record that mail needs.
pub async fn records(house: &House, domain: &str) -> anyhow::Result<Value> {
    let domain = domain.trim_end_matches('.').to_lowercase();
    if !house.config.is_local_domain(&domain) {
        anyhow::bail!(
            "{domain} is not served here; the config's server.domains has: {}",
            house.config.server.domains.join(", ")
        );
    }
    let running = house.running().ok();
    let asked = match (running, house.configured_resolver()) {
        (Some(running), _) => Some(running.resolver.clone()),
        (None, Some(config)) => Some(Resolver::new(config)?),
        (None, None) => None,
    };
    let name = &house.config.server.name;
    let mut all = wanted(&house.config, &house.keys.dkim, running.map(|running| running.ports), &domain, now_ms());
    let mut rows = Vec::new();
    if let Some(resolver) = &asked {
        let addresses = resolver.addresses(name).await;
        rows.extend(hosts(name, &addresses));
        all.extend(addresses.unwrap_or_default().into_iter().filter(|address| !address.is_loopback()).map(|address| {
            let why = "mail from an address whose name does not lead back is often refused; your provider sets this";
            Wanted::needed(&smtp::reverse_name(address), RecordData::Ptr(name.clone()), why, WillDo::Same)
        }));
    }
    // All at once: a resolver that does not answer is waited for once.
    let looked = join_all(all.iter().map(|one| async {
        match &asked {
            Some(resolver) => live::look(one, name, resolver).await,
            None => Live::Unknown("the server is not running, and no [dns] resolver is configured".to_owned()),
        }
    }));
    for (one, live) in all.iter().zip(looked.await) {
        rows.push(row(&one.name, &one.data, one.why, one.needed, &live));
    }
    let ok = rows.iter().all(|row| row["status"] == "ok" || row["needed"] == false);
    Ok(json!({
        "domain": domain,
        "checked": asked.is_some(),
        "ok": ok,
        // Nobody outside can ask it.
        "sandbox": house.zone.get().is_some(),
        "records": rows,
        "not_served": not_served(&domain),
    }))
}

fn row(name: &str, data: &RecordData, why: &str, needed: bool, live: &Live) -> Value {
    json!({
        "name": name,
        "type": data.kind().name(),
        "value": data.to_string(),
        "zone": data.zone_line(name),
        "why": why,
        "needed": needed,
        "status": live.word(),
        "found": live.found(),
    })
}

/// The addresses of the server's own name: which they are, only the DNS or the postmaster can say.
fn hosts(name: &str, found: &Result<Vec<IpAddr>, smtp::DnsError>) -> Vec<Value> {
    let why = "the server's own address: everything else leads to this name";
    let unknown = |live: &Live| {
        let mut row = row(name, &RecordData::Txt(String::new()), why, true, live);
        row["type"] = json!("A");
        row["value"] = json!("the public address of this server");
        row["zone"] = json!(format!("; {name}. IN A (the public address of this server)"));
        row
    };
    match found {
        Ok(addresses) => {
            addresses.iter().map(|address| row(name, &RecordData::Address(*address), why, true, &Live::Ok)).collect()
        }
        Err(error) if error.is_permanent() => vec![unknown(&Live::Missing)],
        Err(error) => vec![unknown(&Live::Unknown(error.to_string()))],
    }
}

/// Whether the sandbox's own zone speaks for a domain.
pub fn is_in_sandbox(domain: &str) -> bool {
    domain.rsplit('.').next() == Some("test")
}

/// What a later version serves under /.well-known: nothing to publish in the DNS for it.
fn not_served(domain: &str) -> Value {
    json!([
        { "address": format!("https://{domain}/.well-known/nostr.json"), "why": "NIP-05 names" },
        { "address": format!("https://{domain}/.well-known/lnurlp/NAME"), "why": "Lightning addresses" },
    ])
}
