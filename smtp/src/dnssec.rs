//! What DNS can prove: MX, addresses and TLSA records with DNSSEC. RFC 4035, RFC 6698, RFC 7672 §2.
//!
//! A resolver of its own asks with the DO bit and validates every answer itself, from the root's keys down; it trusts
//! no AD bit. Where the resolver behind it hands no signatures on, nothing can be proved, and nothing is asked.

use crate::dns::{DnsError, Exchanger, Resolver, ascii, exchangers, literal};
use crate::limits::{ADDRESSES_MAX, DNSSEC_PROBE_EVERY, TLSA_RECORDS_MAX};
use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Answer, NetError};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
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
    /// Whether anything is to be proved at all.
    begins: bool,
    works: Mutex<Option<(bool, Instant)>>,
}

impl Prover {
    pub(crate) fn new(
        servers: ResolverConfig,
        mut options: ResolverOpts,
        trust_anchor: Option<&Path>,
    ) -> Result<Self, DnsError> {
        options.validate = true;
        // Signatures make answers long.
        options.edns0 = true;
        let mut builder =
            TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default()).with_options(options);
        if let Some(path) = trust_anchor {
            let anchors = TrustAnchors::from_file(path)
                .map_err(|error| DnsError::NoResolver(format!("{}: {error}", path.display())))?;
            builder = builder.with_trust_anchor(Arc::new(anchors));
        }
        let resolver = builder.build().map_err(|error| DnsError::NoResolver(error.to_string()))?;
        Ok(Self { resolver, begins: trust_anchor.is_some(), works: Mutex::default() })
    }

    /// Records of a kind at a name, aliases followed.
    async fn ask(&self, name: &str, kind: RecordType) -> Result<Proved<Vec<Record>>, DnsError> {
        let unavailable = |source: NetError| DnsError::Unavailable { name: name.to_owned(), source: source.into() };
        match self.resolver.lookup(format!("{}.", name.trim_end_matches('.')), kind).await {
            Ok(found) => {
                // The chain of aliases counts: who forges an alias chooses the answer.
                let said = |record: &&Record| record.record_type() == kind || record.record_type() == RecordType::CNAME;
                let secure = found.answers().iter().filter(said).all(|record| record.proof == Proof::Secure);
                Ok(Proved { value: found.answers().to_vec(), secure })
            }
            Err(NetError::Dns(Answer::Nsec { proof: Proof::Secure, .. })) => {
                Ok(Proved { value: Vec::new(), secure: true })
            }
            Err(NetError::Dns(Answer::Nsec { proof: Proof::Insecure, .. } | Answer::NoRecordsFound(_))) => {
                Ok(Proved { value: Vec::new(), secure: false })
            }
            // RFC 7672 §2.1.1: bogus or indeterminate answers say nothing; the mail waits.
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Whether signatures reach us at all: asked of the trust anchor's own zone.
    async fn works(&self, now: Instant) -> bool {
        if !self.begins {
            return false;
        }
        let known = *self.works.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((works, at)) = known
            && now.duration_since(at) < DNSSEC_PROBE_EVERY
        {
            return works;
        }
        let works =
            matches!(self.ask("", RecordType::DNSKEY).await, Ok(Proved { value, secure: true }) if !value.is_empty());
        if known.is_none_or(|(before, _)| before != works) {
            tracing::info!(works, "DNSSEC");
        }
        *self.works.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((works, now));
        works
    }
}

/// Addresses, and the name at which aliases ended.
pub(crate) type ProvedAddresses = (Proved<Vec<IpAddr>>, String);

impl Resolver {
    /// Whether DNSSEC can be used here. Asked again every hour.
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
            Ok(Proved { value: exchangers(&name, &found.value)?, secure: found.secure })
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
                for record in &found.value {
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
            let records = found.value.iter().filter_map(|record| match &record.data {
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
