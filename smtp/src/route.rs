//! Where the mail of a domain goes, and how sure to be of each server. RFC 5321 §5, RFC 7672, RFC 8461 §5.
//!
//! ```text
//!   MX proved, addresses proved, TLSA proved ─▶ DANE      (RFC 8461 §2: never overridden by a policy)
//!   else a policy of the domain ─▶ MTA-STS: enforced, or only told of
//!   else ─▶ TLS when it is offered
//! ```

use crate::client::{Dane, Security, Target};
use crate::dns::{DnsError, Resolver};
use crate::limits::HOSTS_MAX;
use crate::sts::{StsFailure, StsMode, StsPolicies, StsPolicy};
use futures::future::BoxFuture;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// RFC 5321 §4.5.4.2.
const SMTP_PORT: u16 = 25;
/// RFC 8461 §3.3.
const HTTPS_PORT: u16 = 443;

/// Finds the way.
#[derive(Clone)]
pub struct Router {
    resolver: Resolver,
    policies: Arc<StsPolicies>,
    smtp_port: u16,
}

/// The way to a domain.
#[derive(Debug, Clone)]
pub struct Route {
    /// Servers, best first.
    pub hops: Vec<Hop>,
    /// Servers that were left out, and why: when none is left, the mail waits.
    pub left_out: Vec<(String, String)>,
    /// An MTA-STS policy is announced and cannot be had.
    pub policy_failure: Option<StsFailure>,
}

/// One server on the way.
#[derive(Debug, Clone)]
pub struct Hop {
    /// Where.
    pub target: Target,
    /// How sure to be.
    pub security: Security,
    /// Rather wait than go without. Otherwise a failure is told of and the mail goes as it can.
    pub enforced: bool,
    /// Whether its name came from a proved or promised answer: REQUIRETLS asks for that.
    pub name_is_sure: bool,
    /// What asks for it.
    pub policy: TlsPolicy,
}

/// What a domain published about TLS, for reports. RFC 8460 §4.2.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsPolicy {
    /// Nothing.
    None,
    /// TLSA records of a server, as text.
    Tlsa(String, Vec<String>),
    /// An MTA-STS policy: its lines, and the servers it names.
    Sts(Vec<String>, Vec<String>),
}

impl Router {
    /// Asks this resolver.
    pub fn new(resolver: Resolver) -> Self {
        Self::with_ports(resolver, SMTP_PORT, HTTPS_PORT)
    }

    /// The same with other ports, for tests.
    pub fn with_ports(resolver: Resolver, smtp_port: u16, https_port: u16) -> Self {
        Self { resolver, policies: Arc::new(StsPolicies::new(https_port)), smtp_port }
    }

    /// The way to a domain. An error tells whether asking again can help.
    pub fn route<'a>(&'a self, domain: &'a str, now: Instant) -> BoxFuture<'a, Result<Route, DnsError>> {
        // Boxed, so that it is compiled here, once, and not again in every binary that awaits it.
        Box::pin(async move {
            let proving = self.resolver.can_prove(now).await;
            let (exchangers, secure) = match proving {
                true => {
                    let found = self.resolver.proved_mx(domain).await?;
                    (found.value, found.secure)
                }
                false => (self.resolver.mx(domain).await?, false),
            };
            let (policy, policy_failure) = self.policies.of(&self.resolver, domain, now).await;
            let policy = policy.filter(|policy| policy.mode != StsMode::None);
            let mut route = Route { hops: Vec::new(), left_out: Vec::new(), policy_failure };
            for exchanger in exchangers.into_iter().take(HOSTS_MAX) {
                match self.hop(domain, &exchanger.host, secure, policy.as_deref()).await {
                    Ok(hop) => route.hops.push(hop),
                    Err(why) => route.left_out.push((exchanger.host, why)),
                }
            }
            Ok(route)
        })
    }

    async fn hop(&self, domain: &str, host: &str, secure: bool, policy: Option<&StsPolicy>) -> Result<Hop, String> {
        let words = |error: DnsError| error.to_string();
        let hop = |addresses: Vec<IpAddr>, host: &str| Hop {
            target: Target {
                host: host.to_owned(),
                addresses: addresses.into_iter().map(|ip| SocketAddr::new(ip, self.smtp_port)).collect(),
                implicit_tls: false,
            },
            security: Security::Opportunistic,
            enforced: false,
            name_is_sure: secure,
            policy: TlsPolicy::None,
        };
        let mut plain = None;
        if secure {
            // RFC 7672 §2.2: where the addresses are not proved, TLSA records are not even asked for.
            let (addresses, canonical) = self.resolver.proved_addresses(host).await.map_err(words)?;
            if addresses.secure {
                // RFC 7672 §2.2.3: an alias is followed, its end asked first.
                let names = [canonical.as_str(), host];
                for name in &names[usize::from(canonical == host)..] {
                    let records = self.resolver.tlsa(name, self.smtp_port).await.map_err(words)?;
                    if records.is_empty() {
                        continue;
                    }
                    let strings = records.iter().map(|tlsa| {
                        let data: String = tlsa.data.iter().map(|octet| format!("{octet:02x}")).collect();
                        format!("{} {} {} {data}", tlsa.usage, tlsa.selector, tlsa.matching)
                    });
                    let published = TlsPolicy::Tlsa((*name).to_owned(), strings.collect());
                    let usable: Vec<_> = records.into_iter().filter(crate::Tlsa::is_usable).collect();
                    // RFC 7672 §2.2: TLSA records that cannot be used still say that there is TLS.
                    let security = match usable.is_empty() {
                        true => Security::Encrypted,
                        false => {
                            let names = vec![(*name).to_owned(), host.to_owned(), domain.to_owned()];
                            Security::Dane(Arc::new(Dane { records: usable, names }))
                        }
                    };
                    return Ok(Hop { security, enforced: true, policy: published, ..hop(addresses.value, name) });
                }
            }
            plain = Some(addresses.value);
        }
        let named = policy.map(|policy| (policy, policy.names(host)));
        if let Some((StsPolicy { mode: StsMode::Enforce, .. }, false)) = named {
            return Err("the MTA-STS policy of the domain does not name this server".to_owned());
        }
        let addresses = match plain {
            Some(addresses) => addresses,
            None => self.resolver.addresses(host).await.map_err(words)?,
        };
        Ok(match named {
            Some((policy, true)) => Hop {
                security: Security::Trusted,
                enforced: policy.mode == StsMode::Enforce,
                name_is_sure: true,
                policy: TlsPolicy::Sts(policy.lines.clone(), policy.mx.clone()),
                ..hop(addresses, host)
            },
            _ => hop(addresses, host),
        })
    }
}
