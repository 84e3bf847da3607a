//! What DNS can prove: MX, addresses and TLSA records with DNSSEC. RFC 4035, RFC 6698, RFC 7672 §2.
//!
//! A resolver of its own asks with the DO bit and validates every answer itself, from the root's keys down; it trusts
//! no AD bit. Where the resolver behind it hands no signatures on, nothing can be proved, and nothing is asked. Once
//! they came through, they are insisted on: who strips them later makes mail wait, not go without.

use crate::dns::{DnsError, Exchanger, Resolver, TrustAnchor, ascii, exchangers, literal};
use crate::limits::{ADDRESSES_MAX, ALIASES_MAX, DNSSEC_PROBE_EVERY, TLSA_RECORDS_MAX};
use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Answer, NetError};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A TLSA record. RFC 6698 §2.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    /// 2 is DANE-TA, 3 is DANE-EE.
    pub usage: u8,
    /// 0 is the whole certificate, 1 its public key.
    pub selector: u8,
    /// 0 is the data itself, 1 its SHA-256, 2 its SHA-512.
    pub matching: u8,
    /// What is compared.
    pub data: Vec<u8>,
}

/// An answer, and whether it is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved<T> {
    /// The answer.
    pub value: T,
    /// Signed, from the trust anchor down; a proved absence counts.
    pub secure: bool,
}

/// Validates.
pub(crate) struct Prover {
    resolver: TokioResolver,
    state: Mutex<State>,
}

/// Whether signatures reach us.
#[derive(Clone, Copy)]
enum State {
    /// There is no trust anchor.
    Off,
    /// Not tried yet.
    Untried,
    /// They did.
    Works,
    /// They did not, then.
    Fails(Instant),
}

/// What was found.
struct Found {
    records: Vec<Record>,
    secure: bool,
    /// The name exists, with such records or without.
    exists: bool,
}

impl Prover {
    pub(crate) fn new(
        servers: ResolverConfig,
        mut options: ResolverOpts,
        trust_anchor: &TrustAnchor,
    ) -> Result<Self, DnsError> {
        options.validate = true;
        // Signatures make answers long.
        options.edns0 = true;
        // Every alias on the way has to be proved, so every one has to be seen.
        options.preserve_intermediates = true;
        let mut builder =
            TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default()).with_options(options);
        match trust_anchor {
            TrustAnchor::None => {}
            TrustAnchor::Iana => builder = builder.with_trust_anchor(Arc::new(TrustAnchors::default())),
            TrustAnchor::File(path) => {
                let anchors = TrustAnchors::from_file(path)
                    .map_err(|error| DnsError::NoResolver(format!("{}: {error}", path.display())))?;
                builder = builder.with_trust_anchor(Arc::new(anchors));
            }
        }
        let resolver = builder.build().map_err(|error| DnsError::NoResolver(error.to_string()))?;
        let state = if *trust_anchor == TrustAnchor::None { State::Off } else { State::Untried };
        Ok(Self { resolver, state: Mutex::new(state) })
    }

    /// Records of a kind at a name, aliases followed.
    async fn ask(&self, name: &str, kind: RecordType) -> Result<Found, DnsError> {
        let (mut at, mut secure) = (name.to_owned(), true);
        for _ in 0..ALIASES_MAX {
            let found = self.ask_once(&at, kind).await;
            let Err(DnsError::Unavailable { source, .. }) = &found else {
                return found.map(|found| Found { secure: secure && found.secure, ..found });
            };
            if !matches!(**source, NetError::Dns(Answer::DnssecBogus)) {
                return found;
            }
            // The validator holds a denial against the name that was asked for, also where it is about the end of an
            // alias in another zone. So the alias is asked for, and then its end.
            let Ok(alias) = self.ask_once(&at, RecordType::CNAME).await else { return found };
            let end = alias.records.iter().find_map(|record| match &record.data {
                RData::CNAME(end) => Some(end.to_ascii()),
                _ => None,
            });
            let Some(end) = end else { return found };
            secure &= alias.secure;
            at = end;
        }
        Err(DnsError::NoSuchName(name.to_owned()))
    }

    async fn ask_once(&self, name: &str, kind: RecordType) -> Result<Found, DnsError> {
        let none = |secure, code| Found { records: Vec::new(), secure, exists: code != ResponseCode::NXDomain };
        match self.resolver.lookup(format!("{}.", name.trim_end_matches('.')), kind).await {
            Ok(found) => {
                // The chain of aliases counts: who forges an alias chooses the answer.
                let said = |record: &&Record| record.record_type() == kind || record.record_type() == RecordType::CNAME;
                let secure = found.answers().iter().filter(said).all(|record| record.proof == Proof::Secure);
                Ok(Found { records: found.answers().to_vec(), secure, exists: true })
            }
            // A denial that was proved comes as this; a proved NSEC or NSEC3 record tells it from one that was not. The
            // validator has held them against the question already.
            Err(NetError::Dns(Answer::NoRecordsFound(denied))) => {
                let denies = |record: &Record| {
                    matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3)
                        && record.proof == Proof::Secure
                };
                let secure = denied.authorities.iter().flat_map(|records| records.iter()).any(denies);
                Ok(none(secure, denied.response_code))
            }
            // NSEC3 with opt-out: nothing is proved, and nothing is wrong.
            Err(NetError::Dns(Answer::Nsec { proof: Proof::Insecure, response, .. })) => {
                Ok(none(false, response.response_code))
            }
            // RFC 7672 §2.1.1: bogus or indeterminate answers say nothing; the mail waits.
            Err(error) => Err(DnsError::Unavailable { name: name.to_owned(), source: error.into() }),
        }
    }

    /// Whether signatures reach us at all: asked of the root, whose keys are the trust anchor's, and which denies that
    /// it takes mail. Some forwarders hand on the one and not the other.
    async fn works(&self, now: Instant) -> bool {
        match self.state() {
            State::Off => return false,
            State::Works => return true,
            State::Fails(at) if now.duration_since(at) < DNSSEC_PROBE_EVERY => return false,
            State::Untried | State::Fails(_) => {}
        }
        let keys = self.ask("", RecordType::DNSKEY).await;
        let works = matches!(keys, Ok(Found { secure: true, records, .. }) if !records.is_empty())
            && matches!(self.ask("", RecordType::MX).await, Ok(Found { secure: true, .. }));
        tracing::info!(works, "DNSSEC");
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) =
            if works { State::Works } else { State::Fails(now) };
        works
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Addresses, and the name at which aliases ended.
pub(crate) type ProvedAddresses = (Proved<Vec<IpAddr>>, String);

impl Resolver {
    /// Whether DNSSEC can be used here. Tried until it is so.
    pub fn can_prove<'a>(&'a self, now: Instant) -> BoxFuture<'a, bool> {
        // Boxed, so that it is compiled here, once, and not again in every binary that awaits it.
        Box::pin(self.1.works(now))
    }

    /// As [`Resolver::mx`], with the proof. A proved absence of MX records is a proof, too: the domain itself takes
    /// the mail.
    pub fn proved_mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Proved<Vec<Exchanger>>, DnsError>> {
        Box::pin(async move {
            if literal(domain).is_some() {
                return Ok(Proved { value: vec![Exchanger { preference: 0, host: domain.to_owned() }], secure: false });
            }
            let name = ascii(domain)?;
            let found = self.1.ask(&name, RecordType::MX).await?;
            if !found.exists {
                return Err(DnsError::NoSuchName(name));
            }
            Ok(Proved { value: exchangers(&name, &found.records)?, secure: found.secure })
        })
    }

    /// The addresses of a host with the proof, and the name that aliases led to.
    pub fn proved_addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<ProvedAddresses, DnsError>> {
        Box::pin(async move {
            if let Some(address) = literal(host) {
                return Ok((Proved { value: vec![address], secure: false }, host.to_owned()));
            }
            let name = ascii(host)?;
            let (mut addresses, mut secure, mut found_at) = (Vec::new(), true, name.clone());
            for kind in [RecordType::A, RecordType::AAAA] {
                let found = self.1.ask(&name, kind).await?;
                secure &= found.secure;
                for record in &found.records {
                    match &record.data {
                        RData::A(address) => addresses.push(IpAddr::V4(address.0)),
                        RData::AAAA(address) => addresses.push(IpAddr::V6(address.0)),
                        _ => continue,
                    }
                    found_at = record.name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
                }
            }
            addresses.truncate(ADDRESSES_MAX);
            if addresses.is_empty() {
                return Err(DnsError::NoSuchName(name));
            }
            Ok((Proved { value: addresses, secure }, found_at))
        })
    }

    /// The proved TLSA records of a host's port; none when there are none, or the zone is not signed. RFC 7672 §2.2.
    pub fn tlsa<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, Result<Vec<Tlsa>, DnsError>> {
        Box::pin(async move {
            let found = self.1.ask(&format!("_{port}._tcp.{host}"), RecordType::TLSA).await?;
            if !found.secure {
                return Ok(Vec::new());
            }
            let records = found.records.iter().filter_map(|record| match &record.data {
                RData::TLSA(tlsa) => Some(Tlsa {
                    usage: tlsa.cert_usage.into(),
                    selector: tlsa.selector.into(),
                    matching: tlsa.matching.into(),
                    data: tlsa.cert_data.clone(),
                }),
                _ => None,
            });
            Ok(records.take(TLSA_RECORDS_MAX).collect())
        })
    }
}
