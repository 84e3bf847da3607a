//! Who a mail is really from: SPF, DKIM, DMARC and the reverse name of the host. RFC 7208, 6376, 9989, 8601.
//!
//! `mail-auth` verifies signatures and policies, `spf` hosts; here the answers are cached, bounded, and put into the words
//! the house decides by.

mod alignment;
mod arc;
mod body;
mod outcome;
mod records;
mod signatures;
mod spf;

pub use outcome::{AuthResult, Authentication, DkimOutcome, DmarcOutcome, DmarcPolicy, SpfOutcome};

use crate::cache::Cache;
use crate::limits::{AUTHENTICATION_TIMEOUT, DKIM_SIGNATURES_MAX, DNS_FAILURE_TTL};
use crate::{Resolver, ReversePath, Spool, SpoolError};
use futures::future::BoxFuture;
use mail_auth::common::verify::DomainKey;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::{
    AuthenticatedMessage, AuthenticationResults, DkimOutput, DmarcOutput, DnsError, Error, IprevOutput, IprevResult,
    MX, MessageAuthenticator, Parameters, RecordSet, ResolverCache as _, SpfOutput, Txt,
};
use records::Records;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;
use tokio::time::timeout;

/// Verifies mails; one for the whole process, so that its caches serve all.
pub struct Authenticator {
    authserv_id: String,
    verifier: MessageAuthenticator,
    records: Records,
    txt: Cache<Box<str>, Txt>,
    mx: Cache<Box<str>, RecordSet<MX>>,
    ipv4: Cache<Box<str>, RecordSet<Ipv4Addr>>,
    ipv6: Cache<Box<str>, RecordSet<Ipv6Addr>>,
    ptr: Cache<IpAddr, RecordSet<Box<str>>>,
    /// Addresses whose reverse zone has just failed.
    ptr_failed: Cache<IpAddr, ()>,
}

type Asked<'x, P> = Parameters<
    'x,
    P,
    Cache<Box<str>, Txt>,
    Cache<Box<str>, RecordSet<MX>>,
    Cache<Box<str>, RecordSet<Ipv4Addr>>,
    Cache<Box<str>, RecordSet<Ipv6Addr>>,
    Cache<IpAddr, RecordSet<Box<str>>>,
>;

/// The testing flag of a DKIM key record, `t=y`, as `mail-auth` keeps it.
const KEY_FLAG_TESTING: u64 = 0x10;

/// From this size on, hashing takes long enough to be kept off the threads that serve sockets.
const LARGE_MESSAGE_BYTES: usize = 1024 * 1024;

impl Authenticator {
    /// `authserv_id` names us in Authentication-Results fields. RFC 8601 §2.5.
    pub fn new(authserv_id: impl Into<String>, resolver: &Resolver) -> Self {
        Self {
            authserv_id: authserv_id.into(),
            verifier: MessageAuthenticator(resolver.0.clone()),
            records: Records::new(resolver.0.clone()),
            txt: Cache::new(),
            mx: Cache::new(),
            ipv4: Cache::new(),
            ipv6: Cache::new(),
            ptr: Cache::new(),
            ptr_failed: Cache::new(),
        }
    }

    /// Verifies one mail that came from `ip`, which called itself `helo`. The unspecified address is for mail whose host is
    /// not known: of SPF and the reverse name nothing is said then. Never fails: what cannot be found out is a
    /// result, too. Takes [`AUTHENTICATION_TIMEOUT`] twice at most.
    pub fn verify<'a>(
        &'a self,
        ip: IpAddr,
        helo: &'a str,
        mail_from: &'a ReversePath,
        message: &'a [u8],
    ) -> BoxFuture<'a, Authentication> {
        // Boxed, so that it is compiled here, once, and not again in every binary that awaits it.
        Box::pin(async move {
            let message = signatures::without_surplus(message, DKIM_SIGNATURES_MAX);
            self.check(ip, helo, mail_from, parse(&message)).await
        })
    }

    /// [`Authenticator::verify`] for a mail whose `header`, up to and with the blank line, is in memory, and which is
    /// `spool` as a whole. Fails when that cannot be read.
    pub fn verify_spooled<'a>(
        &'a self,
        ip: IpAddr,
        helo: &'a str,
        mail_from: &'a ReversePath,
        header: &'a [u8],
        spool: &'a Spool,
    ) -> BoxFuture<'a, Result<Authentication, SpoolError>> {
        Box::pin(async move {
            let kept = signatures::without_surplus(header, DKIM_SIGNATURES_MAX);
            let mut parsed = parse(&kept);
            off_reactor(true, || body::hash(&mut parsed, spool, header.len() as u64))?;
            Ok(self.check(ip, helo, mail_from, parsed).await)
        })
    }

    async fn check(
        &self,
        ip: IpAddr,
        helo: &str,
        mail_from: &ReversePath,
        parsed: AuthenticatedMessage<'_>,
    ) -> Authentication {
        let ip = ip.to_canonical();
        // RFC 7208 §2.4: with a null reverse-path, the identity is the HELO name. RFC 7489 §3.1.2: so it is for DMARC.
        let spf_domain = &*alignment::ascii(mail_from.domain().unwrap_or(helo));
        let sender = mail_from
            .local_part()
            .map_or_else(|| format!("postmaster@{spf_domain}"), |local| format!("{local}@{spf_domain}"));
        let client = spf::Client { ip, helo, sender: &sender };
        let (spf_result, iprev, dkim, arc) =
            tokio::join!(self.spf(client, spf_domain), self.iprev(ip), self.dkim(&parsed), self.arc(&parsed));
        let spf = SpfOutput::new(spf_domain.to_owned()).with_result(spf_result.into());
        // A signature that does not cover From says nothing about it, and SHA-1 says nothing at all (RFC 8301).
        let sound: Vec<DkimOutput<'_>> = dkim.iter().filter(|output| signatures::is_sound(output)).cloned().collect();
        let dmarc = self.dmarc(&parsed, &sound, spf_domain, &spf).await;

        let mut outcomes = Vec::with_capacity(dkim.len());
        for output in &dkim {
            let testing = match output.signature() {
                Some(signature) => self.key_is_testing(&signature.s, &signature.d).await,
                None => false,
            };
            outcomes.push(DkimOutcome::new(output, testing));
        }
        let is_plus_all = spf_result == AuthResult::Pass
            && timeout(AUTHENTICATION_TIMEOUT, spf::lets_anybody_in(&self.records, spf_domain)).await.unwrap_or(true);
        let author = alignment::author_domain(&parsed.from);
        let record = dmarc.dmarc_record();
        let aligned_spf = spf_result == AuthResult::Pass
            && author
                .as_deref()
                .is_some_and(|author| alignment::is_aligned(author, spf_domain, record.map(|_| dmarc.spf_result())));
        let aligned_dkim = author.as_deref().is_some_and(|author| {
            let strict = record.is_some_and(|record| record.adkim == mail_auth::dmarc::Alignment::Strict);
            outcomes
                .iter()
                .any(|outcome| outcome.may_align() && alignment::dkim_aligned(author, &outcome.domain, strict))
                && record.is_none_or(|_| *dmarc.dkim_result() == mail_auth::DmarcResult::Pass)
        });

        let results = AuthenticationResults::new(&self.authserv_id)
            .with_spf_mailfrom_result(&spf, ip, mail_from.as_str(), helo)
            .with_dkim_results(&dkim, parsed.from())
            .with_dmarc_result(&dmarc)
            .with_iprev_result(&iprev, ip);
        let mut header_value = results.to_string();
        if arc != AuthResult::None {
            arc::tell(&mut header_value, arc, ip);
        }
        Authentication {
            arc,
            spf: SpfOutcome { result: spf_result, domain: spf_domain.to_owned(), is_plus_all },
            dmarc: DmarcOutcome::new(&dmarc),
            dkim: outcomes,
            host: confirmed_host(&iprev),
            aligned_spf,
            aligned_dkim,
            header_value,
            received_count: parsed.received_headers_count,
            from: parsed.from,
        }
    }

    async fn spf(&self, client: spf::Client<'_>, domain: &str) -> AuthResult {
        if client.ip.is_unspecified() {
            return AuthResult::None;
        }
        let check = timeout(AUTHENTICATION_TIMEOUT, spf::check(&self.records, client, domain)).await;
        check.unwrap_or(AuthResult::TempError)
    }

    async fn dkim<'x>(&'x self, message: &'x AuthenticatedMessage<'x>) -> Vec<DkimOutput<'x>> {
        match timeout(AUTHENTICATION_TIMEOUT, self.verifier.verify_dkim(self.asked(message))).await {
            Ok(outputs) => outputs,
            Err(_) => message
                .dkim_headers
                .iter()
                .map(|header| {
                    let slow = Error::Dns(DnsError::Resolver("timed out".to_owned()));
                    DkimOutput::temp_err(slow).with_signature(&header.header)
                })
                .collect(),
        }
    }

    async fn arc(&self, message: &AuthenticatedMessage<'_>) -> AuthResult {
        match timeout(AUTHENTICATION_TIMEOUT, self.verifier.verify_arc(self.asked(message))).await {
            Ok(output) => arc::outcome(&output, message),
            Err(_) => AuthResult::TempError,
        }
    }

    async fn dmarc<'x>(
        &self,
        message: &'x AuthenticatedMessage<'x>,
        dkim_output: &'x [DkimOutput<'x>],
        spf_domain: &'x str,
        spf_output: &'x SpfOutput,
    ) -> DmarcOutput {
        let parameters = DmarcParameters {
            message,
            dkim_output,
            dkim2_output: None,
            rfc5321_mail_from_domain: spf_domain,
            spf_output,
        };
        let output = timeout(AUTHENTICATION_TIMEOUT, self.verifier.verify_dmarc(self.asked(parameters))).await;
        let output = output.unwrap_or_else(|_| DmarcOutput::new(message.from().to_owned()));
        if matches!(output.spf_result(), mail_auth::DmarcResult::TempError(_)) {
            self.remember_failure(&format!("_dmarc.{}", output.domain()));
        }
        output
    }

    async fn iprev(&self, ip: IpAddr) -> IprevOutput {
        if ip.is_unspecified() {
            return IprevOutput { result: IprevResult::None, ptr: None };
        }
        let failed = || {
            let error = Error::Dns(DnsError::Resolver("the reverse zone does not answer".to_owned()));
            IprevOutput { result: IprevResult::TempError(error), ptr: None }
        };
        if self.ptr_failed.get(&ip).is_some() {
            return failed();
        }
        let output = timeout(AUTHENTICATION_TIMEOUT, self.verifier.verify_iprev(self.asked(ip))).await;
        let output = output.unwrap_or_else(|_| failed());
        if matches!(output.result, IprevResult::TempError(_)) {
            self.ptr_failed.insert(ip, (), soon());
        }
        output
    }

    /// Whether the key record says `t=y`: the signer only practises. The record is cached, the signature has just been
    /// checked with it.
    async fn key_is_testing(&self, selector: &str, domain: &str) -> bool {
        let name = format!("{selector}._domainkey.{domain}.");
        match timeout(AUTHENTICATION_TIMEOUT, self.verifier.txt_lookup::<DomainKey>(name, Some(&self.txt))).await {
            Ok(Ok(key)) => key.f & KEY_FLAG_TESTING != 0,
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Spares a name whose servers fail, and the peer the wait.
    fn remember_failure(&self, name: &str) {
        let failure = Error::Dns(DnsError::Resolver("has just failed".to_owned()));
        let name = format!("{}.", name.trim_end_matches('.').to_lowercase());
        self.txt.insert(name.into(), Txt::Error(failure), soon());
    }

    fn asked<'x, P>(&'x self, parameters: P) -> Asked<'x, P> {
        Parameters::new(parameters)
            .with_txt_cache(&self.txt)
            .with_mx_cache(&self.mx)
            .with_ipv4_cache(&self.ipv4)
            .with_ipv6_cache(&self.ipv6)
            .with_ptr_cache(&self.ptr)
    }
}

fn soon() -> Instant {
    Instant::now() + DNS_FAILURE_TTL
}

/// A message without header fields has neither author nor signatures.
fn parse(message: &[u8]) -> AuthenticatedMessage<'_> {
    let work = || AuthenticatedMessage::parse_with_opts(message, None, false).unwrap_or_default();
    off_reactor(message.len() >= LARGE_MESSAGE_BYTES, work)
}

/// Runs what takes `long` away from the threads that serve sockets, where there are others.
fn off_reactor<T>(long: bool, work: impl FnOnce() -> T) -> T {
    let may_block = tokio::runtime::Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread);
    if long && may_block { tokio::task::block_in_place(work) } else { work() }
}

/// The host's name, when its address has a name and the name that address.
fn confirmed_host(iprev: &IprevOutput) -> Option<String> {
    if iprev.result != IprevResult::Pass {
        return None;
    }
    Some(iprev.ptr.as_ref()?.first()?.trim_end_matches('.').to_owned())
}
