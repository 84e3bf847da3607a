//! `satchel dns DOMAIN`: the records to publish, and whether the live ones agree.

use serde_json::{Value, json};

use crate::house::{House, now_ms};

/// The records this version needs. MTA-STS, DANE, autoconfig and the like come with their features.
pub async fn records(house: &House, domain: &str) -> anyhow::Result<Value> {
    let name = &house.config.server.name;
    let listen = &house.config.listen;
    let mut wanted = vec![
        (domain.to_owned(), "MX", format!("10 {name}."), "mail for the domain comes here"),
        (domain.to_owned(), "TXT", "v=spf1 mx -all".to_owned(), "only this server sends mail of the domain"),
        (
            format!("_dmarc.{domain}"),
            "TXT",
            "v=DMARC1; p=reject".to_owned(),
            "others refuse mail that forges the domain",
        ),
        (format!("_imaps._tcp.{domain}"), "SRV", format!("0 1 {} {name}.", listen.imaps), "mail clients find IMAP"),
        (
            format!("_submissions._tcp.{domain}"),
            "SRV",
            format!("0 1 {} {name}.", listen.submissions),
            "mail clients find submission",
        ),
    ];
    for key in house.keys.dkim.published(domain, now_ms())? {
        let (name, text) = key.dns_record()?;
        wanted.push((name, "TXT", text, "mail of the domain is signed with this key"));
    }
    let resolver = match house.running() {
        Ok(running) => Some(&running.resolver),
        Err(_) => None,
    };
    let mut records = Vec::new();
    for (record, kind, value, why) in wanted {
        let live = match (resolver, kind) {
            (None, _) => "not looked up: the server is not running".to_owned(),
            (Some(resolver), "MX") => match resolver.mx(&record).await {
                Ok(hosts) if hosts.iter().any(|host| host.host.trim_end_matches('.') == name) => "fine".to_owned(),
                Ok(hosts) => {
                    format!("differs: {}", hosts.iter().map(|host| host.host.as_str()).collect::<Vec<_>>().join(", "))
                }
                Err(error) => format!("not found: {error}"),
            },
            (Some(_), _) => "look it up with your DNS tools".to_owned(),
        };
        records.push(json!({ "name": record, "type": kind, "value": value, "why": why, "live": live }));
    }
    Ok(json!({ "domain": domain, "records": records }))
}
