//! Whether a host may send for a domain: `check_host()` of RFC 7208 §4.
//!
//! ```text
//!   check ▶ TXT of the domain ▶ Record ▶ directive by directive ▶ result
//!             ▲                              │ include, redirect
//!             '------------------------------'
//! ```
//! Written here, because the suite of RFC 7208 finds seventy differences in `mail-auth`, among them a length of `/0`
//! that panics and one of `/33` that passes everybody.

mod macros;
mod record;

use super::AuthResult;
use super::records::{Records, is_name};
use crate::limits::{SPF_LOOKUPS_MAX, SPF_NAMES_MAX, SPF_VOID_LOOKUPS_MAX};
use futures::future::BoxFuture;
use macros::{Facts, MacroString};
use record::{Mechanism, Qualifier, Record, Target};
use std::net::IpAddr;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client<'a> {
    /// The address it comes from.
    pub(super) ip: IpAddr,
    /// What it called itself.
    pub(super) helo: &'a str,
    /// The reverse-path; `postmaster@` its HELO name when that is null. RFC 7208 §2.4.
    pub(super) sender: &'a str,
}

/// Whether `client` may send for `domain`.
pub(super) async fn check(records: &Records, client: Client<'_>, domain: &str) -> AuthResult {
    // RFC 7208 §4.3: a name that cannot be has no record.
    if !is_name(domain) || !domain.trim_end_matches('.').contains('.') {
        return AuthResult::None;
    }
    let mut check = Check { records, client, lookups: 0, voids: 0, validated: None };
    match check.host(domain).await {
        Ok(result) => result,
        Err(Stop::TempError) => AuthResult::TempError,
        Err(Stop::PermError) => AuthResult::PermError,
    }
}

/// Whether the record of a domain passes every sender (`+all`, or a network so wide that it comes to the same): such a
/// pass proves nothing. Looks into includes, as far as a check would.
pub(super) async fn lets_anybody_in(records: &Records, domain: &str) -> bool {
    let mut names = vec![domain.to_owned()];
    for _ in 0..=SPF_LOOKUPS_MAX {
        let Some(name) = names.pop() else { return false };
        let Ok(Some(record)) = published(records, &name).await else { continue };
        let mut decided = false;
        for directive in &record.directives {
            let passes = directive.qualifier == Qualifier::Pass;
            match &directive.mechanism {
                Mechanism::All if passes => return true,
                Mechanism::All => {
                    decided = true;
                    break;
                }
                Mechanism::Ip4 { prefix, .. } if passes && *prefix < 4 => return true,
                Mechanism::Ip6 { prefix, .. } if passes && *prefix < 8 => return true,
                Mechanism::Include(spec) if passes => names.extend(spec.literal().map(str::to_owned)),
                _ => {}
            }
        }
        if let (false, Some(spec)) = (decided, &record.redirect) {
            names.extend(spec.literal().map(str::to_owned));
        }
    }
    false
}

/// Why a check ends before its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    TempError,
    PermError,
}

/// The one SPF record of a domain; none when it has none. RFC 7208 §4.4, §4.5.
async fn published(records: &Records, domain: &str) -> Result<Option<Record>, Stop> {
    let texts = records.txt(domain).await.map_err(|()| Stop::TempError)?;
    let mut own = texts.iter().filter_map(|text| record::terms(text));
    match (own.next(), own.next()) {
        (None, _) => Ok(None),
        (Some(terms), None) => Record::parse(terms).ok_or(Stop::PermError).map(Some),
        (Some(_), Some(_)) => Err(Stop::PermError),
    }
}

struct Check<'a> {
    records: &'a Records,
    client: Client<'a>,
    /// Terms that asked the DNS so far, in all records of this check.
    lookups: usize,
    /// Answers of theirs that were empty.
    voids: usize,
    /// Names of the client that its address confirms, once they were asked for.
    validated: Option<Vec<String>>,
}

impl Check<'_> {
    fn host<'b>(&'b mut self, domain: &'b str) -> BoxFuture<'b, Result<AuthResult, Stop>> {
        Box::pin(async move {
            let Some(record) = published(self.records, domain).await? else { return Ok(AuthResult::None) };
            for directive in &record.directives {
                if self.matches(&directive.mechanism, domain).await? {
                    return Ok(directive.qualifier.result());
                }
            }
            // RFC 7208 §6.1: only when nothing matched; and whom it sends on to must have a record.
            let Some(target) = &record.redirect else { return Ok(AuthResult::Neutral) };
            self.count_lookup()?;
            let target = self.expand(target, domain).await?;
            match self.host(&target).await? {
                AuthResult::None => Err(Stop::PermError),
                result => Ok(result),
            }
        })
    }

    /// RFC 7208 §5.
    async fn matches(&mut self, mechanism: &Mechanism, domain: &str) -> Result<bool, Stop> {
        let ip = self.client.ip;
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4 { network, prefix } => Ok(is_within(ip, (*network).into(), *prefix)),
            Mechanism::Ip6 { network, prefix } => Ok(is_within(ip, (*network).into(), *prefix)),
            Mechanism::A(target) => {
                self.count_lookup()?;
                let name = self.name(target, domain).await?;
                self.has_address(&name, target, Voids::Counted).await
            }
            Mechanism::Mx(target) => {
                self.count_lookup()?;
                let name = self.name(target, domain).await?;
                let hosts = self.records.exchangers(&name).await.map_err(|()| Stop::TempError)?;
                self.count_void(hosts.is_empty())?;
                // RFC 7208 §4.6.4: more than ten exchangers are a permerror.
                if hosts.len() > SPF_NAMES_MAX {
                    return Err(Stop::PermError);
                }
                for host in hosts {
                    if self.has_address(&host, target, Voids::Free).await? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Mechanism::Include(spec) => {
                self.count_lookup()?;
                let name = self.expand(spec, domain).await?;
                // RFC 7208 §5.2: what the other record says is only whether it passes.
                match self.host(&name).await? {
                    AuthResult::Pass => Ok(true),
                    AuthResult::None => Err(Stop::PermError),
                    _ => Ok(false),
                }
            }
            Mechanism::Ptr(spec) => {
                self.count_lookup()?;
                let name = match spec {
                    Some(spec) => self.expand(spec, domain).await?,
                    None => domain.to_owned(),
                };
                Ok(self.validated().await?.iter().any(|validated| is_below(validated, &name)))
            }
            Mechanism::Exists(spec) => {
                self.count_lookup()?;
                let name = self.expand(spec, domain).await?;
                // RFC 7208 §5.7: always an A record, whatever the client's address is.
                let any_ipv4 = IpAddr::from([0, 0, 0, 0]);
                let found = self.records.addresses(&name, any_ipv4).await.map_err(|()| Stop::TempError)?;
                self.count_void(found.is_empty())?;
                Ok(!found.is_empty())
            }
        }
    }

    async fn has_address(&mut self, name: &str, target: &Target, voids: Voids) -> Result<bool, Stop> {
        let ip = self.client.ip;
        let found = self.records.addresses(name, ip).await.map_err(|()| Stop::TempError)?;
        if voids == Voids::Counted {
            self.count_void(found.is_empty())?;
        }
        let prefix = if ip.is_ipv4() { target.prefix4 } else { target.prefix6 };
        Ok(found.into_iter().any(|network| is_within(ip, network, prefix)))
    }

    async fn name(&mut self, target: &Target, domain: &str) -> Result<String, Stop> {
        match &target.spec {
            Some(spec) => self.expand(spec, domain).await,
            None => Ok(domain.to_owned()),
        }
    }

    async fn expand(&mut self, spec: &MacroString, domain: &str) -> Result<String, Stop> {
        let validated = if spec.asks_for_names() { self.best_name(domain).await? } else { String::new() };
        let facts = Facts { client: self.client, domain, validated: &validated };
        Ok(spec.expand(&facts))
    }

    /// `%{p}`: the name of the domain itself, one below it, or any. RFC 7208 §7.3.
    async fn best_name(&mut self, domain: &str) -> Result<String, Stop> {
        let names = self.validated().await?;
        let same = names.iter().find(|name| name.eq_ignore_ascii_case(domain));
        let best = same.or_else(|| names.iter().find(|name| is_below(name, domain))).or_else(|| names.first());
        Ok(best.map_or_else(|| "unknown".to_owned(), Clone::clone))
    }

    /// The client's names that lead back to its address; a failure counts as none. RFC 7208 §5.5.
    async fn validated(&mut self) -> Result<&[String], Stop> {
        if self.validated.is_none() {
            let ip = self.client.ip;
            let names = self.records.names(ip).await.unwrap_or_default();
            self.count_void(names.is_empty())?;
            let mut validated = Vec::new();
            for name in names.into_iter().take(SPF_NAMES_MAX) {
                if self.records.addresses(&name, ip).await.is_ok_and(|addresses| addresses.contains(&ip)) {
                    validated.push(name);
                }
            }
            self.validated = Some(validated);
        }
        Ok(self.validated.as_deref().unwrap_or_default())
    }

    /// RFC 7208 §4.6.4: ten terms that ask the DNS, in all records together.
    fn count_lookup(&mut self) -> Result<(), Stop> {
        self.lookups += 1;
        if self.lookups > SPF_LOOKUPS_MAX { Err(Stop::PermError) } else { Ok(()) }
    }

    /// RFC 7208 §4.6.4: two empty answers.
    fn count_void(&mut self, is_void: bool) -> Result<(), Stop> {
        self.voids += usize::from(is_void);
        if self.voids > SPF_VOID_LOOKUPS_MAX { Err(Stop::PermError) } else { Ok(()) }
    }
}

/// Whether an empty answer counts against its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voids {
    Counted,
    Free,
}

fn is_below(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.to_ascii_lowercase(), domain.trim_end_matches('.').to_ascii_lowercase());
    name.strip_suffix(&domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether an address is in a network of its own family.
fn is_within(ip: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let same = |a: u128, b: u128, bits: u32| {
        let shift = bits.saturating_sub(prefix.into());
        a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
    };
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => same(ip.to_bits().into(), network.to_bits().into(), 32),
        (IpAddr::V6(ip), IpAddr::V6(network)) => same(ip.to_bits(), network.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_compared_by_their_prefix() {
        for (ip, network, prefix, within) in [
            ("192.0.2.1", "192.0.2.1", 32, true),
            ("192.0.2.1", "192.0.2.2", 32, false),
            ("192.0.2.1", "192.0.2.255", 24, true),
            ("192.0.2.1", "10.0.0.0", 0, true),
            ("2001:db8::1", "2001:db8::", 64, true),
            ("2001:db8::1", "2001:db9::", 32, false),
            ("2001:db8::1", "::", 0, true),
            ("192.0.2.1", "::", 0, false),
        ] {
            assert_eq!(
                is_within(ip.parse().unwrap(), network.parse().unwrap(), prefix),
                within,
                "{ip} {network}/{prefix}"
            );
        }
    }

    #[test]
    fn a_name_is_below_a_domain_at_a_dot_only() {
        assert!(is_below("mail.Example.org", "example.org.") && is_below("example.org", "example.org"));
        assert!(!is_below("badexample.org", "example.org") && !is_below("org", "example.org"));
    }
}
