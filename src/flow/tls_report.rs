//! What our sessions with other domains' servers came to, told to those domains once a day. RFC 8460.
//!
//! ```text
//!   session opened or failed ─▶ counted by domain, policy and kind ─▶ the day ends ─▶ _smtp._tls.DOMAIN
//!                                                     rua=mailto: ─▶ one report into the queue ◀─┤
//!                                                     rua=https:  ─▶ later posted, for a day ◀───┘
//! ```
//! Counted in memory, kept in the store sealed; a crash loses a minute's counts.

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
use smtp::report::{self, Outgoing, SessionFailure, Sessions};
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
/// When a report is posted again that was not taken.
const POST_AGAIN_MS: i64 = 3_600_000;
/// How long it is tried: RFC 8460 §5.5 asks for up to 24 hours.
const POST_FOR_MS: i64 = DAY_MS;
const DAY_MS: i64 = 86_400_000;

/// What was counted.
#[derive(Default)]
pub struct Counts(Mutex<Days>);

/// By day (days of Unix time) and domain.
#[derive(Default, Serialize, Deserialize)]
struct Days {
    days: ByDay,
    /// What is to be posted.
    #[serde(default)]
    posts: Vec<Post>,
    #[serde(skip)]
    changed: bool,
}

type ByDay = BTreeMap<i64, BTreeMap<String, Vec<Counted>>>;

/// A report that goes out over HTTPS.
#[derive(Clone, Serialize, Deserialize)]
struct Post {
    day: i64,
    domain: String,
    to: String,
    counted: Vec<Counted>,
    due: UnixMs,
    until: UnixMs,
}

/// Sessions under one policy, as they are kept.
#[derive(Clone, Serialize, Deserialize)]
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

    /// Notes what is to be posted.
    fn note(&mut self, post: Post) {
        if self.posts.len() < DOMAINS_MAX {
            self.posts.push(post);
            self.changed = true;
        }
    }

    /// One that is due; it is due again later, as long as it is tried at all.
    fn next_post(&mut self, now: UnixMs) -> Option<Post> {
        self.posts.retain(|post| now <= post.until);
        let post = self.posts.iter_mut().find(|post| post.due <= now)?;
        post.due = now + POST_AGAIN_MS;
        self.changed = true;
        Some(post.clone())
    }

    /// It was taken.
    fn posted(&mut self, day: i64, domain: &str, to: &str) {
        self.posts.retain(|post| (post.day, post.domain.as_str(), post.to.as_str()) != (day, domain, to));
        self.changed = true;
    }

    /// Every day: taken out; and what waits to be posted is due.
    fn all(&mut self) -> ByDay {
        self.changed = true;
        self.posts.iter_mut().for_each(|post| post.due = 0);
        std::mem::take(&mut self.days)
    }

    /// Days that are over: taken out.
    fn over(&mut self, now: UnixMs) -> ByDay {
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
            send(&house, over, SPREAD_MS).await;
            tokio::select! {
                _ = post(&house) => {}
                () = stopped(&mut stop) => {}
            }
        }
        if let Err(error) = save(&house).await {
            tracing::warn!(error = format!("{error:#}"), "what sessions came to cannot be kept");
        }
        if ended {
            return;
        }
    }
}

/// `satchel reports --send`: what was counted so far goes out now. Tells to how many places.
pub async fn send_now(house: &House) -> anyhow::Result<usize> {
    let all = house.tls_counts.lock().all();
    let sent = send(house, all, 0).await + post(house).await;
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

/// Sends reports to the domains that ask for them, within `spread_ms`: mails into the queue, and tells how many; the
/// others are noted for [`post`].
async fn send(house: &House, days: ByDay, spread_ms: i64) -> usize {
    let mut sent = 0;
    let now = now_ms();
    for (day, domains) in days {
        for (domain, counted) in domains {
            let Ok(running) = house.running() else { return sent };
            let Ok(texts) = running.resolver.texts(&format!("_smtp._tls.{domain}")).await else { continue };
            let to = report::destinations(&texts);
            let due = now + rand::thread_rng().gen_range(0..=spread_ms);
            for uri in to.https {
                let (domain, counted) = (domain.clone(), counted.clone());
                let post = Post { day, domain, to: uri, counted, due, until: due + POST_FOR_MS };
                house.tls_counts.lock().note(post);
            }
            if to.mail.is_empty() {
                continue;
            }
            let Ok(mail) = with_report(house, day, &domain, &to.mail, counted, report::compose) else { continue };
            let outgoing = to
                .mail
                .iter()
                .map(|to| store::NewOutgoing { hold_until: Some(due), ..from_bridge(to, mail.clone(), due) });
            let batch = Batch { outgoing: outgoing.collect(), ..Batch::default() };
            match house.store.commit(batch, now).await {
                Ok(_) => sent += 1,
                Err(error) => tracing::warn!(%error, "a TLS report cannot be queued"),
            }
        }
    }
    sent
}

/// Posts what is due; tells how many were taken. What was not, is due again later.
async fn post(house: &House) -> usize {
    let mut taken = 0;
    loop {
        let now = now_ms();
        // Noted again before it is tried: whatever ends this, it is not forgotten.
        let Some(post) = house.tls_counts.lock().next_post(now) else { return taken };
        let Ok(running) = house.running() else { return taken };
        let (day, domain) = (post.day, post.domain.as_str());
        let json = with_report(house, day, domain, &[], post.counted, report::to_json);
        match report::post(&running.resolver, &post.to, json).await {
            Ok(()) => {
                house.tls_counts.lock().posted(day, domain, &post.to);
                taken += 1;
            }
            Err(why) => tracing::info!(why, "a TLS report was not taken over HTTPS"),
        }
    }
}

/// One domain's report of a day.
fn with_report<T>(
    house: &House,
    day: i64,
    domain: &str,
    to: &[String],
    counted: Vec<Counted>,
    with: impl FnOnce(&Outgoing<'_>) -> T,
) -> T {
    let sessions: Vec<Sessions> = counted.into_iter().map(Sessions::from).collect();
    let date = DateTime::<Utc>::from_timestamp(day * 86_400, 0).unwrap_or_default();
    let submitter = &house.config.server.name;
    with(&Outgoing {
        domain,
        submitter,
        from: &house.bridge_address(),
        to,
        id: &format!("{}.{domain}@{submitter}", date.format("%Y-%m-%d")),
        period: (day * 86_400, day * 86_400 + 86_399),
        sessions: &sessions,
    })
}

impl From<Counted> for Sessions {
    fn from(counted: Counted) -> Self {
        let failure = |(result_type, host, text, count): (String, Option<String>, String, u32)| {
            (SessionFailure { result_type: report::result_word(&result_type), host, text }, count)
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
    fn a_report_is_posted_again_until_it_is_taken_or_a_day_is_over() {
        let mut days = Days::default();
        let post = |domain: &str, due| Post {
            day: 1,
            domain: domain.into(),
            to: "https://far.test/r".into(),
            counted: Vec::new(),
            due,
            until: due + POST_FOR_MS,
        };
        days.note(post("far.test", 1000));
        days.note(post("near.test", 2000));
        assert!(days.next_post(999).is_none());
        assert_eq!(days.next_post(2000).unwrap().domain, "far.test");
        assert_eq!(days.next_post(2000).unwrap().domain, "near.test");
        assert!(days.next_post(2000).is_none(), "both were tried just now");
        days.posted(1, "near.test", "https://far.test/r");
        // Kept over a restart.
        let mut days: Days = serde_json::from_slice(&serde_json::to_vec(&days).unwrap()).unwrap();
        let tries = (2001..1001 + 2 * POST_FOR_MS).step_by(60_000).filter(|now| days.next_post(*now).is_some()).count();
        assert_eq!(tries, 23);
        assert!(days.posts.is_empty());
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
