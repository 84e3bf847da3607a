//! Plain DNS records, all of a name, with how sure their absence is: SPF has to tell "none" from "not answered".

use crate::cache::Cache;
use crate::limits::DNS_FAILURE_TTL;
use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use mail_auth::ResolverCache as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Octets of a name in text, without the final dot. RFC 1035 §2.3.4.
const NAME_BYTES_MAX: usize = 253;

/// What a question came to.
#[derive(Debug, Clone)]
pub(super) enum Found {
    /// These, never none.
    Records(Arc<[RData]>),
    /// The name, or the type there, does not exist: a void lookup (RFC 7208 §4.6.4).
    Nothing,
    /// Its servers did not answer, or failed.
    Failed,
}

/// Asks and remembers.
pub(super) struct Records {
    resolver: TokioResolver,
    known: Cache<Box<str>, Found>,
}

impl Records {
    pub(super) fn new(resolver: TokioResolver) -> Self {
        Self { resolver, known: Cache::new() }
    }

    /// All TXT records of a name, the strings of each put together. RFC 7208 §3.3.
    pub(super) async fn txt(&self, name: &str) -> Result<Vec<Vec<u8>>, ()> {
        self.all(name, RecordType::TXT, |data| match data {
            RData::TXT(txt) => Some(txt.txt_data.concat()),
            _ => None,
        })
        .await
    }

    /// The addresses of a host, of the family that `like` is of.
    pub(super) async fn addresses(&self, name: &str, like: IpAddr) -> Result<Vec<IpAddr>, ()> {
        let kind = if like.is_ipv4() { RecordType::A } else { RecordType::AAAA };
        self.all(name, kind, |data| match data {
            RData::A(a) => Some(a.0.into()),
            RData::AAAA(aaaa) => Some(aaaa.0.into()),
            _ => None,
        })
        .await
    }

    /// The hosts of a domain's MX records.
    pub(super) async fn exchangers(&self, name: &str) -> Result<Vec<String>, ()> {
        self.all(name, RecordType::MX, |data| match data {
            RData::MX(mx) => Some(text(&mx.exchange)),
            _ => None,
        })
        .await
    }

    /// The names that an address says it has.
    pub(super) async fn names(&self, address: IpAddr) -> Result<Vec<String>, ()> {
        self.all(&text(&Name::from(address)), RecordType::PTR, |data| match data {
            RData::PTR(ptr) => Some(text(&ptr.0)),
            _ => None,
        })
        .await
    }

    async fn all<T>(&self, name: &str, kind: RecordType, of: impl Fn(&RData) -> Option<T>) -> Result<Vec<T>, ()> {
        match self.find(name, kind).await {
            Found::Records(records) => Ok(records.iter().filter_map(of).collect()),
            Found::Nothing => Ok(Vec::new()),
            Found::Failed => Err(()),
        }
    }

    async fn find(&self, name: &str, kind: RecordType) -> Found {
        // What cannot be a name does not exist.
        let Some(name) = wire_name(name) else { return Found::Nothing };
        let key = format!("{kind} {}", text(&name)).into_boxed_str();
        if let Some(known) = self.known.get(&key) {
            return known;
        }
        let (found, until) = match self.resolver.lookup(name, kind).await {
            Ok(lookup) => {
                let records: Arc<[RData]> = lookup
                    .answers()
                    .iter()
                    .map(|record| &record.data)
                    .filter(|data| data.record_type() == kind)
                    .cloned()
                    .collect();
                let found = if records.is_empty() { Found::Nothing } else { Found::Records(records) };
                (found, lookup.valid_until())
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
            {
                let for_how_long = none.negative_ttl.map_or(DNS_FAILURE_TTL, |ttl| Duration::from_secs(ttl.into()));
                (Found::Nothing, now() + for_how_long)
            }
            // Spares a name whose servers fail, and the peer the wait.
            Err(_) => (Found::Failed, now() + DNS_FAILURE_TTL),
        };
        self.known.insert(key, found.clone(), until);
        found
    }
}

/// Whether a text can be asked for: labels of 1 to 63 octets, 253 in all.
pub(super) fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len() <= NAME_BYTES_MAX && name.split('.').all(|label| (1..=63).contains(&label.len()))
}

fn wire_name(name: &str) -> Option<Name> {
    if !is_name(name) {
        return None;
    }
    let labels = name.strip_suffix('.').unwrap_or(name).split('.').map(str::as_bytes);
    let mut name = Name::from_labels(labels).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// In lower case, without the final dot.
fn text(name: &Name) -> String {
    let labels: Vec<_> = name.iter().map(|label| String::from_utf8_lossy(label).to_lowercase()).collect();
    labels.join(".")
}

fn now() -> Instant {
    Instant::now()
}
