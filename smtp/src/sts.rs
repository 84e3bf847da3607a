//! MTA-STS: what a domain promises about TLS, fetched over HTTPS and remembered. RFC 8461.

use crate::dns::Resolver;
use crate::https;
use crate::limits::{STS_AGE_MAX, STS_FAILURE_WAIT, STS_POLICIES_MAX, STS_POLICY_BYTES_MAX, STS_TIMEOUT};
use http_body_util::Full;
use hyper::StatusCode;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How a policy is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StsMode {
    /// Mail rather waits than goes to a server that breaks it.
    Enforce,
    /// Who breaks it is only told of.
    Testing,
    /// No promise.
    None,
}

/// A policy. RFC 8461 §3.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsPolicy {
    /// How it is meant.
    pub mode: StsMode,
    /// Names of servers, `*.` for one label.
    pub mx: Vec<String>,
    /// How long it holds.
    pub max_age: Duration,
    /// Its lines, for reports.
    pub lines: Vec<String>,
}

impl StsPolicy {
    /// Reads a policy. RFC 8461 §3.2; unknown keys are passed over.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (mut version, mut mode, mut mx, mut max_age) = (false, None, Vec::new(), None);
        let lines: Vec<String> =
            text.lines().map(|line| line.trim_end().to_owned()).filter(|l| !l.is_empty()).collect();
        for line in &lines {
            let Some((key, value)) = line.split_once(':') else { return Err("a line without a colon") };
            let value = value.trim();
            match key.trim() {
                "version" => version |= value == "STSv1",
                // RFC 8461 §3.2: of what may stand once, the first counts.
                "mode" if mode.is_none() => {
                    mode = Some(match value {
                        "enforce" => StsMode::Enforce,
                        "testing" => StsMode::Testing,
                        "none" => StsMode::None,
                        _ => return Err("an unknown mode"),
                    });
                }
                "max_age" if max_age.is_none() => {
                    max_age = Some(value.parse::<u64>().map_err(|_| "max_age is no number")?)
                }
                "mx" => mx.push(value.trim_end_matches('.').to_ascii_lowercase()),
                _ => {}
            }
        }
        let (Some(mode), Some(max_age), true) = (mode, max_age, version) else {
            return Err("version, mode or max_age is missing");
        };
        if mx.is_empty() && mode != StsMode::None {
            return Err("no mx");
        }
        Ok(Self { mode, mx, max_age: Duration::from_secs(max_age).min(STS_AGE_MAX), lines })
    }

    /// Whether a server is one that the policy names. RFC 8461 §4.1: `*` is exactly one label.
    pub fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
            None => *pattern == host,
        })
    }
}

/// Why there is no policy although the domain says so, in the words of RFC 8460 §4.3.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsFailure {
    /// `sts-policy-fetch-error`, `sts-policy-invalid` or `sts-webpki-invalid`.
    pub result_type: &'static str,
    /// In words.
    pub text: String,
}

/// What is known of domains.
pub(crate) struct StsPolicies {
    known: Mutex<HashMap<String, Known>>,
    port: u16,
}

struct Known {
    id: String,
    policy: Option<Arc<StsPolicy>>,
    until: Instant,
    /// Not asked again before.
    failed_until: Option<(Instant, StsFailure)>,
}

impl StsPolicies {
    /// `port` is 443 but in tests.
    pub(crate) fn new(port: u16) -> Self {
        Self { known: Mutex::default(), port }
    }

    /// The policy that holds now, and why no newer one could be had.
    pub(crate) async fn of(
        &self,
        resolver: &Resolver,
        domain: &str,
        now: Instant,
    ) -> (Option<Arc<StsPolicy>>, Option<StsFailure>) {
        let record = resolver.texts(&format!("_mta-sts.{domain}")).await.ok().and_then(|texts| record_id(&texts));
        let held = {
            let known = self.lock();
            let known = known.get(domain);
            let held = known.and_then(|known| known.policy.clone().filter(|_| known.until > now));
            match (&record, known) {
                // RFC 8461 §5.1: what was promised holds until its end, even when the record is gone.
                (None, _) => return (held, None),
                (Some(id), Some(known)) if known.id == *id && held.is_some() => return (held, None),
                (Some(_), Some(Known { failed_until: Some((until, failure)), .. })) if *until > now => {
                    return (held, Some(failure.clone()));
                }
                _ => held,
            }
        };
        let Some(id) = record else { return (held, None) };
        let fetched = timeout(STS_TIMEOUT, self.fetch(resolver, domain)).await;
        let fetched = fetched.unwrap_or_else(|_| Err(failure("sts-policy-fetch-error", "it took too long")));
        let mut known = self.lock();
        if known.len() >= STS_POLICIES_MAX {
            known.retain(|_, known| known.until > now);
        }
        let has_room = known.len() < STS_POLICIES_MAX;
        match fetched {
            Ok(policy) => {
                let policy = Arc::new(policy);
                if has_room || known.contains_key(domain) {
                    let until = now + policy.max_age;
                    known.insert(
                        domain.to_owned(),
                        Known { id, policy: Some(Arc::clone(&policy)), until, failed_until: None },
                    );
                }
                (Some(policy), None)
            }
            Err(why) => {
                let failed_until = Some((now + STS_FAILURE_WAIT, why.clone()));
                match known.get_mut(domain) {
                    Some(known) => known.failed_until = failed_until,
                    None if has_room => {
                        let until = now + STS_FAILURE_WAIT;
                        known.insert(domain.to_owned(), Known { id: String::new(), policy: None, until, failed_until });
                    }
                    None => {}
                }
                (held, Some(why))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// RFC 8461 §3.3: from the well-known place, with a certificate for that host, 200 and nothing else.
    async fn fetch(&self, resolver: &Resolver, domain: &str) -> Result<StsPolicy, StsFailure> {
        let unreachable = |why: &str| failure("sts-policy-fetch-error", why);
        let request = hyper::Request::get("/.well-known/mta-sts.txt").body(Full::default());
        let request = request.map_err(|error| unreachable(&error.to_string()))?;
        let host = format!("mta-sts.{domain}");
        let answer = https::ask(resolver, &host, self.port, request, STS_POLICY_BYTES_MAX).await;
        let answer = answer.map_err(|why| match why {
            https::Failure::Tls(text) => failure("sts-webpki-invalid", &text),
            https::Failure::Unreachable(text) | https::Failure::Http(text) => unreachable(&text),
        })?;
        if answer.status != StatusCode::OK {
            // RFC 8461 §3.3: redirects are not followed.
            return Err(unreachable(&format!("HTTP status {}", answer.status)));
        }
        let kind = answer.content_type;
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/plain") {
            return Err(unreachable(&format!("the policy is {kind:?}, not text/plain")));
        }
        let text = std::str::from_utf8(&answer.body).map_err(|_| unreachable("the policy is not text"))?;
        StsPolicy::parse(text).map_err(|why| failure("sts-policy-invalid", why))
    }
}

fn failure(result_type: &'static str, text: &str) -> StsFailure {
    StsFailure { result_type, text: text.to_owned() }
}

/// RFC 8461 §3.1: exactly one record that begins with the version; its id.
fn record_id(texts: &[String]) -> Option<String> {
    let mut ours = texts.iter().filter(|text| text.split(';').next().is_some_and(|first| first.trim() == "v=STSv1"));
    let (record, None) = (ours.next()?, ours.next()) else { return None };
    let id = record.split(';').find_map(|field| field.trim().strip_prefix("id="))?.trim();
    let is_id = (1..=32).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_alphanumeric());
    is_id.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_and_says_which_servers_it_names() {
        let text =
            "version: STSv1\r\nmode: enforce\r\nmx: mail.far.test\r\nmx: *.Backup.far.test\r\nmax_age: 604800\r\n\r\n";
        let policy = StsPolicy::parse(text).unwrap();
        assert_eq!((policy.mode, policy.max_age.as_secs()), (StsMode::Enforce, 604_800));
        for (host, named) in [
            ("mail.far.test", true),
            ("MAIL.far.test.", true),
            ("a.backup.far.test", true),
            ("a.b.backup.far.test", false),
            ("backup.far.test", false),
            ("other.far.test", false),
        ] {
            assert_eq!(policy.names(host), named, "{host}");
        }
        let none = StsPolicy::parse("version: STSv1\nmode: none\nmax_age: 99999999999\n").unwrap();
        assert_eq!((none.mode, none.max_age), (StsMode::None, STS_AGE_MAX));
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        for text in [
            "",
            "version: STSv2\nmode: none\nmax_age: 1\n",
            "version: STSv1\nmode: enforce\nmax_age: 1\n",
            "version: STSv1\nmode: enforced\nmx: a.test\nmax_age: 1\n",
            "version: STSv1\nmode: enforce\nmx: a.test\nmax_age: soon\n",
            "version: STSv1\nmode: enforce\nmx: a.test\n",
            "<html>",
        ] {
            assert!(StsPolicy::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn one_record_with_a_version_and_an_id_announces_a_policy() {
        let id = |texts: &[&str]| record_id(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        assert_eq!(id(&["v=STSv1; id=20160831085700Z;"]).as_deref(), Some("20160831085700Z"));
        assert_eq!(id(&["other", "v=STSv1;id=1"]).as_deref(), Some("1"));
        for none in [&["v=STSv1; id=1", "v=STSv1; id=2"][..], &["v=STSv1"], &["v=STSv1; id=a-b"], &["id=1"], &[]] {
            assert_eq!(id(none), None, "{none:?}");
        }
    }
}
