//! Checks a certificate against TLSA records. RFC 6698, RFC 7671, RFC 7672.

use super::security::Dane;
use crate::Tlsa;
use crate::tls::AnyCertificate;
use ::ring::digest::{SHA256, SHA512, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

/// Certificate usage DANE-TA: a trust anchor of the domain's own.
const DANE_TA: u8 = 2;
/// Certificate usage DANE-EE: the server's certificate itself.
const DANE_EE: u8 = 3;

impl Tlsa {
    /// Whether SMTP may use it: RFC 7672 §3.1.3 leaves PKIX-TA and PKIX-EE out, and what is malformed matches nothing.
    pub fn is_usable(&self) -> bool {
        let data_fits = match self.matching {
            0 => !self.data.is_empty(),
            1 => self.data.len() == 32,
            2 => self.data.len() == 64,
            _ => false,
        };
        matches!(self.usage, DANE_TA | DANE_EE) && self.selector <= 1 && data_fits
    }

    /// RFC 6698 §2.1.2 and §2.1.3.
    fn matches(&self, certificate: &CertificateDer<'_>) -> bool {
        let selected = match self.selector {
            0 => certificate.to_vec(),
            _ => match ParsedCertificate::try_from(certificate) {
                Ok(parsed) => parsed.subject_public_key_info().to_vec(),
                Err(_) => return false,
            },
        };
        match self.matching {
            0 => selected == self.data,
            1 => digest(&SHA256, &selected).as_ref() == self.data,
            2 => digest(&SHA512, &selected).as_ref() == self.data,
            _ => false,
        }
    }
}

/// Takes what a TLSA record vouches for, and nothing else.
#[derive(Debug)]
pub(super) struct DaneVerifier {
    dane: Arc<Dane>,
    provider: Arc<CryptoProvider>,
    signatures: AnyCertificate,
}

impl DaneVerifier {
    pub(super) fn new(dane: Arc<Dane>) -> Self {
        let provider = Arc::new(ring::default_provider());
        Self { dane, signatures: AnyCertificate(Arc::clone(&provider)), provider }
    }

    /// RFC 7672 §3.1.2: some record's anchor is in the chain (or the record is it), it signed the server's certificate,
    /// and that is for one of the names.
    fn anchored(
        &self,
        record: &Tlsa,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let whole = (record.selector == 0 && record.matching == 0).then(|| CertificateDer::from(record.data.clone()));
        let sent = intermediates.iter().find(|certificate| record.matches(certificate)).cloned();
        let Some(anchor) = whole.or(sent) else {
            return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        };
        let mut roots = RootCertStore::empty();
        roots.add(anchor.into_owned())?;
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, intermediates, now, algorithms)?;
        let mut result = Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        for name in &self.dane.names {
            let Ok(name) = ServerName::try_from(name.as_str()) else { continue };
            result = verify_server_name(&parsed, &name);
            if result.is_ok() {
                break;
            }
        }
        result
    }
}

impl ServerCertVerifier for DaneVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // RFC 7672 §3.1.1: neither names nor dates matter where the key itself is named.
        let of_usage = |usage| self.dane.records.iter().filter(move |record| record.usage == usage);
        if of_usage(DANE_EE).any(|record| record.matches(end_entity)) {
            return Ok(ServerCertVerified::assertion());
        }
        let mut failure = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for record in of_usage(DANE_TA) {
            match self.anchored(record, end_entity, intermediates, now) {
                Ok(()) => return Ok(ServerCertVerified::assertion()),
                // That some record matched tells more than that another did not.
                Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {}
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::TlsFailure;
    use ::ring::digest::{SHA256, SHA512, digest};
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData as _};

    struct Chain {
        authority: CertificateDer<'static>,
        server: CertificateDer<'static>,
        server_spki: Vec<u8>,
        authority_spki: Vec<u8>,
    }

    fn chain(name: &str) -> Chain {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority_spki = key.subject_public_key_info();
        let authority = CertifiedIssuer::self_signed(params, key).unwrap();
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        Chain {
            authority: authority.der().clone(),
            server: server.der().clone(),
            server_spki: key.subject_public_key_info(),
            authority_spki,
        }
    }

    fn tlsa(usage: u8, selector: u8, matching: u8, of: &[u8]) -> Tlsa {
        let data = match matching {
            0 => of.to_vec(),
            1 => digest(&SHA256, of).as_ref().to_vec(),
            _ => digest(&SHA512, of).as_ref().to_vec(),
        };
        Tlsa { usage, selector, matching, data }
    }

    fn check(chain: &Chain, records: &[Tlsa], names: &[&str], at: UnixTime) -> Result<(), Error> {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let verifier = DaneVerifier::new(Arc::new(Dane { records: records.to_vec(), names }));
        let name = ServerName::try_from("mx.far.test").unwrap();
        verifier.verify_server_cert(&chain.server, std::slice::from_ref(&chain.authority), &name, &[], at).map(drop)
    }

    #[test]
    fn every_selector_and_matching_type_of_dane_ee_and_dane_ta_is_checked() {
        let (good, other) = (chain("mx.far.test"), chain("mx.far.test"));
        let now = UnixTime::now();
        for matching in 0..=2 {
            for (usage, selector, ours, theirs) in [
                (3, 0, &good.server[..], &other.server[..]),
                (3, 1, &good.server_spki[..], &other.server_spki[..]),
                (2, 0, &good.authority[..], &other.authority[..]),
                (2, 1, &good.authority_spki[..], &other.authority_spki[..]),
            ] {
                let (right, wrong) = (tlsa(usage, selector, matching, ours), tlsa(usage, selector, matching, theirs));
                assert!(right.is_usable());
                let check = |records: &[Tlsa]| check(&good, records, &["mx.far.test"], now);
                assert!(check(std::slice::from_ref(&right)).is_ok(), "{usage} {selector} {matching}");
                assert!(check(std::slice::from_ref(&wrong)).is_err(), "{usage} {selector} {matching}");
                assert!(check(&[wrong, right]).is_ok(), "one is enough: the others may be of the next key");
            }
        }
    }

    #[test]
    fn names_and_dates_matter_for_a_trust_anchor_only() {
        let chain = chain("mx.far.test");
        let now = UnixTime::now();
        let anchor = [tlsa(2, 0, 1, &chain.authority)];
        let leaf = [tlsa(3, 1, 1, &chain.server_spki)];
        assert!(check(&chain, &anchor, &["far.test", "mx.far.test"], now).is_ok(), "one of the names");
        let wrong = check(&chain, &anchor, &["far.test"], now).unwrap_err();
        let wrong = std::io::Error::new(std::io::ErrorKind::InvalidData, wrong);
        assert_eq!(TlsFailure::of(&wrong), TlsFailure::WrongName);
        assert!(check(&chain, &leaf, &["elsewhere.test"], now).is_ok());
        let late = UnixTime::since_unix_epoch(std::time::Duration::from_secs(253_402_300_799));
        assert!(check(&chain, &anchor, &["mx.far.test"], late).is_err());
        assert!(check(&chain, &leaf, &["mx.far.test"], late).is_ok());
        // The anchor's own record does not make it a server's certificate.
        assert!(check(&chain, &[tlsa(3, 0, 1, &chain.authority)], &["mx.far.test"], now).is_err());
    }

    #[test]
    fn records_that_smtp_cannot_use_are_told_apart() {
        let of = |usage, selector, matching, octets: usize| Tlsa { usage, selector, matching, data: vec![1; octets] };
        for (record, usable) in [
            (of(3, 1, 1, 32), true),
            (of(2, 0, 2, 64), true),
            (of(3, 0, 0, 5), true),
            (of(0, 1, 1, 32), false),
            (of(1, 1, 1, 32), false),
            (of(3, 2, 1, 32), false),
            (of(3, 1, 3, 32), false),
            (of(3, 1, 1, 31), false),
            (of(3, 1, 2, 32), false),
            (of(2, 0, 0, 0), false),
        ] {
            assert_eq!(record.is_usable(), usable, "{record:?}");
        }
    }
}
