//! Reports of other servers: who uses our domains (DMARC), and whether TLS with us works (TLS-RPT). Summed up by day and
//! domain, sealed under the bridge key, and shown by `satchel reports`.
//!
//! Only what is sent to postmaster@ by somebody who can be told counts, and only for domains of ours: both bound what
//! others can make us keep. The mail itself is delivered like any other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, Utc};
use lnmp::{open_secret, seal_secret};
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use smtp::report::Incoming;

use crate::house::{House, now_ms};

/// Where they stand in the store, and what they are sealed for.
const META: &str = "reports";
/// Days that are kept: a quarter.
const DAYS_MAX: usize = 92;
/// Addresses that are told apart in one day of a domain: the rest is counted together.
const SOURCES_MAX: usize = 200;
/// Reports whose names are remembered, so that one that comes twice counts once.
const SEEN_MAX: usize = 2000;
/// What the addresses beyond [`SOURCES_MAX`] are called.
const OTHERS: &str = "others";

/// Everything that is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    seen: VecDeque<String>,
    /// By day, as `2026-11-21`, and domain.
    days: BTreeMap<String, BTreeMap<String, Day>>,
}

/// One domain on one day.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Day {
    /// Mail in its name that passed DMARC, and that failed.
    pass: u64,
    fail: u64,
    /// The same by address.
    sources: BTreeMap<String, (u64, u64)>,
    /// Sessions with its servers that were as they should be, and the others by kind.
    tls: u64,
    tls_failures: BTreeMap<String, u64>,
}

/// Takes a mail that may be a report, once it is delivered. What is no report, or a forged one, changes nothing.
pub fn take(house: &Arc<House>, mail: Arc<[u8]>) {
    let house = Arc::clone(house);
    tokio::spawn(async move {
        // One at a time, and off the threads that serve sockets: unpacking takes memory and time.
        let _one = house.reporting.lock().await;
        let Ok(Some(report)) = tokio::task::spawn_blocking(move || smtp::report::read(&mail)).await else { return };
        if let Err(error) = add(&house, report).await {
            tracing::warn!(error = format!("{error:#}"), "a report cannot be kept");
        }
    });
}

async fn add(house: &House, report: Incoming) -> anyhow::Result<()> {
    let mut kept = load(house).await?;
    if kept.add(report, &|domain| house.config.is_local_domain(domain), now_ms() / 1000) {
        let bytes = serde_json::to_vec(&kept)?;
        let key = house.keys.bridge().subkey(META);
        house.store.set_meta(META, &seal_secret(&mut OsRng, &key, META.as_bytes(), &bytes)).await?;
    }
    Ok(())
}

async fn load(house: &House) -> anyhow::Result<Kept> {
    let Some(sealed) = house.store.get_meta(META).await? else { return Ok(Kept::default()) };
    let bytes = open_secret(&house.keys.bridge().subkey(META), META.as_bytes(), &sealed)
        .ok()
        .context("the reports are not sealed under this bridge key")?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// `satchel reports`.
pub async fn show(house: &House) -> anyhow::Result<Value> {
    let kept = load(house).await?;
    let rows = kept.days.iter().rev().flat_map(|(day, domains)| {
        domains.iter().map(move |(domain, seen)| {
            let sources = seen.sources.iter().map(|(ip, (pass, fail))| json!({ "ip": ip, "pass": pass, "fail": fail }));
            json!({
                "day": day,
                "domain": domain,
                "pass": seen.pass,
                "fail": seen.fail,
                "sources": sources.collect::<Vec<_>>(),
                "tls": seen.tls,
                "tls_failures": seen.tls_failures,
            })
        })
    });
    Ok(Value::Array(rows.collect()))
}

impl Kept {
    /// Whether something changed.
    fn add(&mut self, report: Incoming, is_ours: &dyn Fn(&str) -> bool, now: i64) -> bool {
        let (reporter, id, begin) = match &report {
            Incoming::Dmarc(seen) => (&seen.reporter, &seen.id, seen.begin),
            Incoming::Tls(seen) => (&seen.reporter, &seen.id, seen.begin),
        };
        let name: String = format!("{reporter} {id}").chars().take(200).collect();
        let Some(day) = day_of(begin, now) else { return false };
        if self.seen.contains(&name) {
            return false;
        }
        let days = &mut self.days;
        match report {
            Incoming::Dmarc(seen) if is_ours(&seen.domain) => {
                let day = days.entry(day).or_default().entry(seen.domain).or_default();
                for (ip, pass, fail) in seen.sources {
                    day.pass = day.pass.saturating_add(pass);
                    day.fail = day.fail.saturating_add(fail);
                    let ip = ip.to_string();
                    let has_room = day.sources.len() < SOURCES_MAX || day.sources.contains_key(&ip);
                    let source = day.sources.entry(if has_room { ip } else { OTHERS.to_owned() }).or_default();
                    *source = (source.0.saturating_add(pass), source.1.saturating_add(fail));
                }
            }
            Incoming::Tls(seen) if seen.policies.iter().any(|policy| is_ours(&policy.domain)) => {
                for policy in seen.policies.into_iter().filter(|policy| is_ours(&policy.domain)) {
                    let day = days.entry(day.clone()).or_default().entry(policy.domain).or_default();
                    day.tls = day.tls.saturating_add(policy.successes);
                    let told: u64 = policy.types.iter().map(|(_, count)| count).sum();
                    let untold = policy.failures.saturating_sub(told);
                    for (word, count) in policy.types.into_iter().chain((untold > 0).then_some(("other", untold))) {
                        let failures = day.tls_failures.entry(word.to_owned()).or_default();
                        *failures = failures.saturating_add(count);
                    }
                }
            }
            Incoming::Dmarc(_) | Incoming::Tls(_) => return false,
        }
        self.seen.push_back(name);
        while self.seen.len() > SEEN_MAX {
            self.seen.pop_front();
        }
        while self.days.len() > DAYS_MAX {
            self.days.pop_first();
        }
        true
    }
}

/// The day a report is about: one of those that are kept, and not in the future.
fn day_of(begin: i64, now: i64) -> Option<String> {
    let oldest = now - 86_400 * i64::try_from(DAYS_MAX).unwrap_or(0);
    let at = DateTime::<Utc>::from_timestamp(begin, 0).filter(|_| (oldest..now + 86_400).contains(&begin))?;
    Some(at.format("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use smtp::report::{DmarcSeen, PolicySeen, TlsSeen};
    use std::net::{IpAddr, Ipv4Addr};

    const NOW: i64 = 1_795_273_819;

    fn dmarc(id: &str, begin: i64, sources: Vec<(IpAddr, u64, u64)>) -> Incoming {
        let (reporter, domain) = ("far.test".to_owned(), "satchel.test".to_owned());
        Incoming::Dmarc(DmarcSeen { reporter, id: id.to_owned(), domain, begin, sources })
    }

    fn ours(domain: &str) -> bool {
        domain == "satchel.test"
    }

    #[test]
    fn reports_are_summed_up_by_day_and_domain_and_each_counts_once() {
        let (good, bad) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([203, 0, 113, 9]));
        let mut kept = Kept::default();
        assert!(kept.add(dmarc("1", NOW - 86_400, vec![(good, 5, 0), (bad, 0, 2)]), &ours, NOW));
        assert!(!kept.add(dmarc("1", NOW - 86_400, vec![(good, 5, 0)]), &ours, NOW), "it came before");
        assert!(kept.add(dmarc("2", NOW - 86_300, vec![(good, 1, 1)]), &ours, NOW));
        let policy = |domain: &str, failures| PolicySeen {
            domain: domain.to_owned(),
            successes: 7,
            failures,
            types: vec![("certificate-expired", 2)],
        };
        let tls = TlsSeen {
            reporter: "far.test".into(),
            id: "3".into(),
            begin: NOW - 86_400,
            policies: vec![policy("satchel.test", 3), policy("elsewhere.test", 1)],
        };
        assert!(kept.add(Incoming::Tls(tls), &ours, NOW));
        assert_eq!(kept.days.keys().collect::<Vec<_>>(), ["2026-11-20"]);
        let day = &kept.days["2026-11-20"]["satchel.test"];
        assert_eq!((day.pass, day.fail, day.tls), (6, 3, 7));
        assert_eq!((day.sources["192.0.2.1"], day.sources["203.0.113.9"]), ((6, 1), (0, 2)));
        assert_eq!((day.tls_failures["certificate-expired"], day.tls_failures["other"]), (2, 1));
        assert_eq!(kept.days["2026-11-20"].len(), 1, "others' domains are their business");
    }

    #[test]
    fn what_others_can_make_us_keep_is_bounded() {
        let mut kept = Kept::default();
        for begin in [0, NOW - 100 * 86_400, NOW + 2 * 86_400, i64::MAX] {
            assert!(!kept.add(dmarc("x", begin, Vec::new()), &ours, NOW), "{begin}");
        }
        let sources = (0..500_u32).map(|n| (Ipv4Addr::from_bits(n).into(), 1, u64::MAX)).collect();
        assert!(kept.add(dmarc("y", NOW, sources), &ours, NOW));
        let day = &kept.days["2026-11-21"]["satchel.test"];
        assert_eq!((day.sources.len(), day.pass, day.fail), (SOURCES_MAX + 1, 500, u64::MAX));
        for n in 0..SEEN_MAX + 10 {
            kept.add(dmarc(&n.to_string(), NOW, Vec::new()), &ours, NOW);
        }
        assert_eq!(kept.seen.len(), SEEN_MAX);
    }
}
