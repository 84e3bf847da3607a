//! Asks DNS: where a domain takes its mail, where a host is. RFC 5321 §5, RFC 7505. What it can prove is in
//! `dnssec.rs`.

mod records;

pub use records::{RecordData, RecordKind, reverse_name};

use crate::dnssec::Prover;
use crate::limits::{ADDRESSES_MAX, DNS_TIMEOUT, EXCHANGERS_MAX};
use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Answer, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, Record};
use hickory_resolver::system_conf::read_system_conf;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Whom to ask, and how long.
#[derive(Debug, Clone)]
pub struct DnsConfig {
    /// The resolver.
    pub resolver: ResolverChoice,
    /// Wait for one answer; a second try follows.
    pub timeout: Duration,
    /// Where DNSSEC proofs begin.
    pub trust_anchor: TrustAnchor,
}

/// Where DNSSEC proofs begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustAnchor {
    /// Nowhere: nothing is proved, and there is no DANE.
    None,
    /// At the keys of the root that IANA publishes.
    Iana,
    /// At the DNSKEY records of this file, in zone file form.
    File(PathBuf),
}

/// Which resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolverChoice {
    /// That of the machine, `/etc/resolv.conf`.
    System,
    /// This one, over UDP and TCP.
    Server(SocketAddr),
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self { resolver: ResolverChoice::System, timeout: DNS_TIMEOUT, trust_anchor: TrustAnchor::None }
    }
}

impl DnsConfig {
    /// Asks one server.
    pub fn server(address: SocketAddr) -> Self {
        Self { resolver: ResolverChoice::Server(address), ..Self::default() }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The machine's DNS configuration cannot be used.
    #[error("no usable DNS resolver: {0}; name one in [dns] resolver")]
    NoResolver(String),
    /// The name does not exist, or has no address. Permanent.
    #[error("{0} does not exist in the DNS")]
    NoSuchName(String),
    /// The domain says that it takes no mail. RFC 7505. Permanent.
    #[error("{0} takes no mail")]
    NullMx(String),
    /// Its servers do not answer. Temporary.
    #[error("DNS look-up of {name} failed: {source}")]
    Unavailable {
        /// What was asked for.
        name: String,
        /// What went wrong.
        source: Box<NetError>,
    },
}

impl DnsError {
    /// Whether asking again cannot help.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::NoSuchName(_) | Self::NullMx(_) => true,
            Self::NoResolver(_) | Self::Unavailable { .. } => false,
        }
    }
}

/// A host that takes mail for a domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exchanger {
    /// Lower is better.
    pub preference: u16,
    /// Its name, without the final dot.
    pub host: String,
}

/// Asks and remembers, by each answer's TTL.
#[derive(Clone)]
pub struct Resolver(pub(crate) TokioResolver, pub(crate) Arc<Prover>);

impl Resolver {
    /// Must be called within a tokio runtime.
    pub fn new(config: DnsConfig) -> Result<Self, DnsError> {
        let unusable = |error: NetError| DnsError::NoResolver(error.to_string());
        let (servers, mut options) = match config.resolver {
            ResolverChoice::System => read_system_conf().map_err(unusable)?,
            ResolverChoice::Server(address) => {
                let mut server = NameServerConfig::udp_and_tcp(address.ip());
                for connection in &mut server.connections {
                    connection.port = address.port();
                }
                // Whoever names a resolver wants its answers, not those of this machine's hosts file.
                let mut options = ResolverOpts::default();
                options.use_hosts_file = ResolveHosts::Never;
                (ResolverConfig::from_name_servers(vec![server]), options)
            }
        };
        options.timeout = config.timeout;
        options.attempts = 1;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // A busy MX asks for some hundred mails at a time; the default of 32 is for a desktop.
        options.max_active_requests = 1024;
        let prover = Prover::new(servers.clone(), options.clone(), &config.trust_anchor)?;
        let resolver = TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(unusable)?;
        Ok(Self(resolver, Arc::new(prover)))
    }

    /// The hosts that take mail for a domain, best first, at most [`EXCHANGERS_MAX`]; the domain itself when it names
    /// none (RFC 5321 §5.1). An address literal is its own host.
    pub fn mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Vec<Exchanger>, DnsError>> {
        // Boxed, so that it is compiled here, once, and not again in every binary that awaits it.
        Box::pin(async move {
            let itself = |host: &str| vec![Exchanger { preference: 0, host: host.to_owned() }];
            if literal(domain).is_some() {
                return Ok(itself(domain));
            }
            let name = ascii(domain)?;
            let answers = match self.0.mx_lookup(format!("{name}.")).await {
                Ok(answers) => answers,
                Err(error) => {
                    return match absent(&error) {
                        Some(ResponseCode::NXDomain) => Err(DnsError::NoSuchName(name)),
                        Some(_) => Ok(itself(&name)),
                        None => Err(DnsError::Unavailable { name, source: error.into() }),
                    };
                }
            };
            exchangers(&name, answers.answers())
        })
    }

    /// The addresses of a host, IPv4 first, at most [`ADDRESSES_MAX`].
    pub fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, DnsError>> {
        // Boxed, so that it is compiled here, once, and not again in every binary that awaits it.
        Box::pin(async move {
            if let Some(address) = literal(host) {
                return Ok(vec![address]);
            }
            let name = ascii(host)?;
            match self.0.lookup_ip(format!("{name}.")).await {
                Ok(found) => {
                    let mut addresses: Vec<IpAddr> = found.iter().collect();
                    addresses.sort_by_key(IpAddr::is_ipv6);
                    addresses.truncate(ADDRESSES_MAX);
                    if addresses.is_empty() { Err(DnsError::NoSuchName(name)) } else { Ok(addresses) }
                }
                Err(error) if absent(&error).is_some() => Err(DnsError::NoSuchName(name)),
                Err(error) => Err(DnsError::Unavailable { name, source: error.into() }),
            }
        })
    }
}

impl Resolver {
    /// The TXT records of a name, each in one piece; none when there is no such name.
    pub fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, DnsError>> {
        // Boxed, so that it is compiled here, once, and not again in every binary that awaits it.
        Box::pin(async move {
            match self.0.txt_lookup(format!("{}.", name.trim_end_matches('.'))).await {
                Ok(found) => Ok(found
                    .answers()
                    .iter()
                    .filter_map(|record| match &record.data {
                        RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
                        _ => None,
                    })
                    .collect()),
                Err(error) if absent(&error).is_some() => Ok(Vec::new()),
                Err(error) => Err(DnsError::Unavailable { name: name.to_owned(), source: error.into() }),
            }
        })
    }
}

/// The MX records among an answer, best first.
pub(crate) fn exchangers(name: &str, answers: &[Record]) -> Result<Vec<Exchanger>, DnsError> {
    let mut exchangers: Vec<Exchanger> = answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::MX(mx) => Some(Exchanger {
                preference: mx.preference,
                host: mx.exchange.to_ascii().trim_end_matches('.').to_ascii_lowercase(),
            }),
            _ => None,
        })
        .collect();
    exchangers.sort_unstable();
    // RFC 7505 §3: the null MX stands alone; beside others it means nothing.
    if exchangers.iter().any(|exchanger| !exchanger.host.is_empty()) {
        exchangers.retain(|exchanger| !exchanger.host.is_empty());
    } else if !exchangers.is_empty() {
        return Err(DnsError::NullMx(name.to_owned()));
    }
    exchangers.truncate(EXCHANGERS_MAX);
    Ok(if exchangers.is_empty() { vec![Exchanger { preference: 0, host: name.to_owned() }] } else { exchangers })
}

/// The answer was that there is none: NXDOMAIN, or NOERROR without records.
fn absent(error: &NetError) -> Option<ResponseCode> {
    match error {
        NetError::Dns(Answer::NoRecordsFound(none))
            if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
        {
            Some(none.response_code)
        }
        _ => None,
    }
}

/// `[192.0.2.1]`, `[IPv6:2001:db8::1]`. RFC 5321 §4.1.3.
pub(crate) fn literal(domain: &str) -> Option<IpAddr> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    inner.strip_prefix("IPv6:").unwrap_or(inner).parse().ok()
}

pub(crate) fn ascii(domain: &str) -> Result<String, DnsError> {
    let domain = domain.trim_end_matches('.');
    let name = idna::domain_to_ascii(domain).map_err(|_| DnsError::NoSuchName(domain.to_owned()))?;
    if name.is_empty() { Err(DnsError::NoSuchName(name)) } else { Ok(name) }
}
