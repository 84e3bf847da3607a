//! What our sessions with other domains' servers came to, told to those domains once a day. RFC 8460.
//!
//! ```text
//!   session opened or failed ─▶ counted by domain, policy and kind ─▶ the day ends ─▶ _smtp._tls.DOMAIN rua=mailto:
//!                                                                                       └▶ one report into the queue
//! ```
//! Counted in memory, kept in the store sealed; a crash loses a minute's counts. Reports by HTTPS are not sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use lnmp::{open_secret, seal_secret};
use rand::Rng;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use smtp::TlsPolicy;
use smtp::client::{ClientError, Session};
use smtp::report::{Outgoing, SessionFailure, Sessions, addresses, compose};
use store::{Batch, UnixMs};
use tokio::sync::watch;

use crate::flow::bounce::from_bridge;
use crate::house::{House, now_ms, stopped};

/// Where counts stand in the store, and what they are sealed for.
const META: &str = "tls-sessions";
/// Domains counted in a day; the mail of a small bridge goes to some hundred.
const DOMAINS_MAX: usize = 2000;
/// Policies of one domain, and kinds of failure under one: each server of a domain has a few.
const KINDS_MAX: usize = 50;
/// How often counts are written, and the end of a day is looked for.
const TICK: Duration = Duration::from_secs(60);
/// Reports go out at some moment of the first hours of a day, so that not everybody's come at once. RFC 8460 §4.1.
const SPREAD_MS: i64 = 4 * 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// What was counted.
#[derive(Default)]
pub struct Counts(Mutex<Days>);

/// By day (days of Unix time) and domain.
#[derive(Default, Serialize, Deserialize)]
struct Days {
    days: BTreeMap<i64, BTreeMap<String, Vec<Counted>>>,
    #[serde(skip)]
    changed: bool,
}

/// Sessions under one policy, as they are kept.
#[derive(Serialize, Deserialize)]
struct Counted {
    policy: Policy,
    successes: u32,
    failures: Vec<(String, Option<String>, String, u32)>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Policy {
    None,
    Tlsa(String, Vec<String>),
    Sts(Vec<String>, Vec<String>),
}

impl Counts {
    fn lock(&self) -> MutexGuard<'_, Days> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session with a server of a domain was opened, or could not be. What has nothing to do with TLS is nothing here.
    pub fn session(&self, domain: &str, policy: &TlsPolicy, opened: &Result<Session, ClientError>, now: UnixMs) {
        let failure = |result_type, host: &str, text: &str| {
            Some(SessionFailure { result_type, host: Some(host.to_owned()), text: text.to_owned() })
        };
        let failure = match opened {
            Ok(session) => match session.fell_back() {
                Some((why, text)) => failure(why.result_type(), session.host(), text),
                None if session.tls().is_none() => failure("starttls-not-supported", session.host(), "no STARTTLS"),
                None => None,
            },
            Err(ClientError::Tls { host, failure: why, text }) => failure(why.result_type(), host, text),
            Err(_) => return,
        };
        self.lock().count(domain, policy, failure, now);
    }

    /// A policy is announced and cannot be had.
    pub fn no_policy(&self, domain: &str, why: &smtp::StsFailure, now: UnixMs) {
        let failure = SessionFailure { result_type: why.result_type, host: None, text: why.text.clone() };
        let policy = TlsPolicy::Sts(Vec::new(), Vec::new());
        self.lock().count(domain, &policy, Some(failure), now);
    }
}

impl Days {
    fn count(&mut self, domain: &str, policy: &TlsPolicy, failure: Option<SessionFailure>, now: UnixMs) {
        let domains = self.days.entry(now.div_euclid(DAY_MS)).or_default();
        if domains.len() >= DOMAINS_MAX && !domains.contains_key(domain) {
            return;
        }
        let policy = match policy {
            TlsPolicy::None => Policy::None,
            TlsPolicy::Tlsa(host, records) => Policy::Tlsa(host.clone(), records.clone()),
            TlsPolicy::Sts(lines, mx) => Policy::Sts(lines.clone(), mx.clone()),
        };
        let counted = domains.entry(domain.to_owned()).or_default();
        let at = counted.iter().position(|one| one.policy == policy).unwrap_or_else(|| {
            if counted.len() < KINDS_MAX {
                counted.push(Counted { policy, successes: 0, failures: Vec::new() });
            }
            counted.len() - 1
        });
        self.changed = true;
        let one = &mut counted[at];
        let Some(SessionFailure { result_type, host, text }) = failure else {
            one.successes = one.successes.saturating_add(1);
            return;
        };
        let has_room = one.failures.len() < KINDS_MAX;
        match one.failures.iter_mut().find(|known| known.0 == result_type && known.1 == host) {
            Some(known) => known.3 = known.3.saturating_add(1),
            None if has_room => one.failures.push((result_type.to_owned(), host, text, 1)),
            None => {}
        }
    }

    /// Days that are over: taken out.
    fn over(&mut self, now: UnixMs) -> BTreeMap<i64, BTreeMap<String, Vec<Counted>>> {
        let today = self.days.split_off(&now.div_euclid(DAY_MS));
        let over = std::mem::replace(&mut self.days, today);
        self.changed |= !over.is_empty();
        over
    }
}

/// Keeps counts, and sends reports when a day is over, until `stop`.
pub async fn run(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    if let Err(error) = load(&house).await {
        tracing::warn!(error = format!("{error:#}"), "what sessions came to is counted anew");
    }
    loop {
        let ended = tokio::select! {
            () = tokio::time::sleep(TICK) => false,
            () = stopped(&mut stop) => true,
        };
        if !ended {
            let over = house.tls_counts.lock().over(now_ms());
            send(&house, over, true).await;
        }
        if let Err(error) = save(&house).await {
            tracing::warn!(error = format!("{error:#}"), "what sessions came to cannot be kept");
        }
        if ended {
            return;
        }
    }
}

/// `satchel reports --send`: what was counted so far goes out now. Tells to how many domains.
pub async fn send_now(house: &House) -> anyhow::Result<usize> {
    let all = std::mem::take(&mut house.tls_counts.lock().days);
    house.tls_counts.lock().changed = true;
    let sent = send(house, all, false).await;
    save(house).await?;
    house.work.notify_waiters();
    Ok(sent)
}

async fn load(house: &House) -> anyhow::Result<()> {
    let Some(sealed) = house.store.get_meta(META).await? else { return Ok(()) };
    let bytes = open_secret(&house.keys.bridge().subkey(META), META.as_bytes(), &sealed)
        .map_err(|_| anyhow::anyhow!("not sealed under this bridge key"))?;
    *house.tls_counts.lock() = serde_json::from_slice(&bytes)?;
    Ok(())
}

async fn save(house: &House) -> anyhow::Result<()> {
    let bytes = {
        let mut days = house.tls_counts.lock();
        if !std::mem::take(&mut days.changed) {
            return Ok(());
        }
        serde_json::to_vec(&*days)?
    };
    let key = house.keys.bridge().subkey(META);
    house.store.set_meta(META, &seal_secret(&mut OsRng, &key, META.as_bytes(), &bytes)).await?;
    Ok(())
}

/// Queues reports to the domains that ask for them; tells how many.
async fn send(house: &House, days: BTreeMap<i64, BTreeMap<String, Vec<Counted>>>, spread: bool) -> usize {
    let mut sent = 0;
    let now = now_ms();
    for (day, domains) in days {
        for (domain, counted) in domains {
            let Ok(running) = house.running() else { return sent };
            let to = match running.resolver.texts(&format!("_smtp._tls.{domain}")).await {
                Ok(texts) => addresses(&texts),
                Err(_) => continue,
            };
            if to.is_empty() {
                continue;
            }
            let sessions: Vec<Sessions> = counted.into_iter().map(Sessions::from).collect();
            let date = DateTime::<Utc>::from_timestamp(day * 86_400, 0).unwrap_or_default();
            let submitter = &house.config.server.name;
            let report = Outgoing {
                domain: &domain,
                submitter,
                from: &house.bridge_address(),
                to: &to,
                id: &format!("{}.{domain}@{submitter}", date.format("%Y-%m-%d")),
                period: (day * 86_400, day * 86_400 + 86_399),
                sessions: &sessions,
            };
            let Ok(mail) = compose(&report) else { continue };
            let delay = if spread { rand::thread_rng().gen_range(0..SPREAD_MS) } else { 0 };
            let outgoing = to.iter().map(|to| store::NewOutgoing {
                hold_until: Some(now + delay),
                ..from_bridge(to, mail.clone(), now + delay)
            });
            let batch = Batch { outgoing: outgoing.collect(), ..Batch::default() };
            match house.store.commit(batch, now).await {
                Ok(_) => sent += 1,
                Err(error) => tracing::warn!(%error, "a TLS report cannot be queued"),
            }
        }
    }
    sent
}

impl From<Counted> for Sessions {
    fn from(counted: Counted) -> Self {
        let failure = |(result_type, host, text, count): (String, Option<String>, String, u32)| {
            (SessionFailure { result_type: smtp::report::result_word(&result_type), host, text }, count)
        };
        Self {
            policy: match counted.policy {
                Policy::None => TlsPolicy::None,
                Policy::Tlsa(host, records) => TlsPolicy::Tlsa(host, records),
                Policy::Sts(lines, mx) => TlsPolicy::Sts(lines, mx),
            },
            successes: counted.successes,
            failures: counted.failures.into_iter().map(failure).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(host: &str) -> Option<SessionFailure> {
        let text = "it has expired".to_owned();
        Some(SessionFailure { result_type: "certificate-expired", host: Some(host.to_owned()), text })
    }

    #[test]
    fn sessions_are_counted_by_domain_policy_and_kind_until_their_day_is_over() {
        let mut days = Days::default();
        let sts = TlsPolicy::Sts(vec!["version: STSv1".into()], vec!["mx.far.test".into()]);
        for failure in [None, failed("mx.far.test"), failed("mx.far.test"), failed("mx2.far.test")] {
            days.count("far.test", &sts, failure, DAY_MS + 5);
        }
        days.count("far.test", &TlsPolicy::None, None, DAY_MS + 6);
        days.count("far.test", &TlsPolicy::None, None, 2 * DAY_MS);
        // Kept over a restart.
        let mut days: Days = serde_json::from_slice(&serde_json::to_vec(&days).unwrap()).unwrap();
        assert!(days.over(2 * DAY_MS - 1).is_empty());
        let mut over = days.over(2 * DAY_MS);
        assert_eq!((over.len(), days.days.len()), (1, 1));
        let sessions: Vec<Sessions> =
            over.remove(&1).unwrap().remove("far.test").unwrap().into_iter().map(Sessions::from).collect();
        assert_eq!((sessions[0].policy.clone(), sessions[0].successes), (sts, 1));
        let counts: Vec<u32> = sessions[0].failures.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 1]);
        assert_eq!((sessions[1].policy.clone(), sessions[1].successes), (TlsPolicy::None, 1));
    }

    #[test]
    fn counts_are_bounded() {
        let mut days = Days::default();
        for n in 0..DOMAINS_MAX + 5 {
            days.count(&format!("d{n}.test"), &TlsPolicy::None, None, 0);
        }
        assert_eq!(days.days[&0].len(), DOMAINS_MAX);
        for n in 0..2 * KINDS_MAX {
            days.count("d1.test", &TlsPolicy::Tlsa(format!("mx{n}"), Vec::new()), failed(&format!("mx{n}")), 0);
        }
        let counted = &days.days[&0]["d1.test"];
        assert_eq!(counted.len(), KINDS_MAX);
        assert!(counted.iter().all(|one| one.failures.len() <= KINDS_MAX));
    }
}
