//! How sure to be of the other server: any TLS, or one that proves its name. RFC 7435, RFC 7672, RFC 8461 §4.

use super::dane::DaneVerifier;
use crate::Tlsa;
use crate::tls::opportunistic;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::io;
use std::sync::{Arc, LazyLock};

/// How to encrypt.
#[derive(Debug, Clone, Default)]
pub enum Security {
    /// When the server offers it, whatever its certificate; else in the clear.
    #[default]
    Opportunistic,
    /// Never: for servers known to fail, and tests.
    Off,
    /// TLS or nothing, whatever the certificate: there are TLSA records, but none that can be used (RFC 7672 §2.2).
    Encrypted,
    /// TLS or nothing, with a certificate that an authority of this machine signed for the server's name.
    Trusted,
    /// TLS or nothing, with a certificate that matches a TLSA record. RFC 7672.
    Dane(Arc<Dane>),
}

/// TLSA records of a server, and what it may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dane {
    /// Those that can be used; at least one.
    pub records: Vec<Tlsa>,
    /// For trust anchors, RFC 7672 §3.2.2: the server's name, and that of the domain it serves.
    pub names: Vec<String>,
}

/// Why there is no TLS, in the words of RFC 8460 §4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsFailure {
    /// No STARTTLS, or it was refused.
    NotOffered,
    /// The certificate is for another name.
    WrongName,
    /// It has expired.
    Expired,
    /// No authority we know signed it, or no TLSA record matches.
    NotTrusted,
    /// Anything else: no common version, a broken handshake, a signature that is none.
    Handshake,
}

impl TlsFailure {
    /// RFC 8460 §4.3.1 and §4.3.2.
    pub fn result_type(self) -> &'static str {
        match self {
            Self::NotOffered => "starttls-not-supported",
            Self::WrongName => "certificate-host-mismatch",
            Self::Expired => "certificate-expired",
            Self::NotTrusted => "certificate-not-trusted",
            Self::Handshake => "validation-failure",
        }
    }

    pub(super) fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) => match why {
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                _ => Self::NotTrusted,
            },
            _ => Self::Handshake,
        }
    }
}

static OPPORTUNISTIC: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| Arc::new(opportunistic()));
static TRUSTED: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| Arc::new(trusted()));

impl Security {
    /// Whether mail rather waits than goes in the clear.
    pub fn insists(&self) -> bool {
        matches!(self, Self::Encrypted | Self::Trusted | Self::Dane(_))
    }

    /// Whether the server proves its name.
    pub fn verifies(&self) -> bool {
        matches!(self, Self::Trusted | Self::Dane(_))
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        match self {
            Self::Opportunistic | Self::Off | Self::Encrypted => Arc::clone(&OPPORTUNISTIC),
            Self::Trusted => Arc::clone(&TRUSTED),
            Self::Dane(dane) => {
                let mut config = opportunistic();
                config.dangerous().set_certificate_verifier(Arc::new(DaneVerifier::new(Arc::clone(dane))));
                Arc::new(config)
            }
        }
    }
}

/// Authorities of this machine, or of `SSL_CERT_FILE`. Where there are none, nobody is trusted.
fn trusted() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let mut config = opportunistic();
    match WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider())).build() {
        Ok(verifier) => config.dangerous().set_certificate_verifier(verifier),
        Err(_) => {
            tracing::error!(
                "this machine has no certificate authorities (package ca-certificates): no server can prove its name by MTA-STS"
            );
            let nobody = Dane { records: Vec::new(), names: Vec::new() };
            config.dangerous().set_certificate_verifier(Arc::new(DaneVerifier::new(Arc::new(nobody))));
        }
    }
    config
}

/// TLS that trusts who the authorities of this machine vouch for: what the HTTPS client of MTA-STS uses, too.
pub fn trusted_config() -> Arc<ClientConfig> {
    Arc::clone(&TRUSTED)
}
