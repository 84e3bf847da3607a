//! Signs outgoing mail. RFC 6376; Ed25519 by RFC 8463.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::DkimSigner;
use rustls_pki_types::PrivateKeyDer;
use std::fmt;

/// The fields that are signed; those that must not be added later are signed once more than they occur (RFC 6376
/// §8.15).
const SIGNED: [&str; 16] = [
    "From",
    "From",
    "To",
    "To",
    "Cc",
    "Cc",
    "Subject",
    "Subject",
    "Date",
    "Date",
    "Message-ID",
    "Reply-To",
    "Reply-To",
    "In-Reply-To",
    "Content-Type",
    "MIME-Version",
];

/// A signing key of one domain.
pub struct DkimKey {
    domain: String,
    selector: String,
    pkcs8: zeroize::Zeroizing<Vec<u8>>,
    kind: KeyKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    Ed25519,
    Rsa,
}

/// The key cannot be used, or the message has no header.
#[derive(Debug, thiserror::Error)]
#[error("DKIM signing: {0}")]
pub struct SignError(String);

impl DkimKey {
    /// A fresh Ed25519 key as PKCS #8, to be kept by the caller. Not every receiver verifies Ed25519 yet: a domain
    /// that mails the big providers wants an RSA key made elsewhere.
    pub fn generate_ed25519() -> Result<Vec<u8>, SignError> {
        Ed25519Key::generate_pkcs8().map_err(|error| SignError(error.to_string()))
    }

    /// A key from its PKCS #8 form, Ed25519 or RSA.
    pub fn from_pkcs8(domain: &str, selector: &str, pkcs8: &[u8]) -> Result<Self, SignError> {
        let kind = match (Ed25519Key::from_pkcs8_maybe_unchecked_der(pkcs8), rsa_key(pkcs8)) {
            (Ok(_), _) => KeyKind::Ed25519,
            (Err(_), Ok(_)) => KeyKind::Rsa,
            (Err(_), Err(_)) => return Err(SignError("the key is neither Ed25519 nor RSA".to_owned())),
        };
        Ok(Self { domain: domain.to_owned(), selector: selector.to_owned(), pkcs8: pkcs8.to_vec().into(), kind })
    }

    /// `ed25519` or `rsa`.
    pub fn algorithm(&self) -> &'static str {
        match self.kind {
            KeyKind::Ed25519 => "ed25519",
            KeyKind::Rsa => "rsa",
        }
    }

    /// Where the public key is published: name and text of a TXT record.
    pub fn dns_record(&self) -> Result<(String, String), SignError> {
        let failed = |error: mail_auth::Error| SignError(error.to_string());
        let (kind, public) = match self.kind {
            KeyKind::Ed25519 => {
                ("ed25519", Ed25519Key::from_pkcs8_maybe_unchecked_der(&self.pkcs8).map_err(failed)?.public_key())
            }
            KeyKind::Rsa => ("rsa", subject_public_key_info(&rsa_key(&self.pkcs8).map_err(failed)?.public_key())),
        };
        let name = format!("{}._domainkey.{}", self.selector, self.domain);
        Ok((name, format!("v=DKIM1; k={kind}; p={}", STANDARD.encode(public))))
    }

    /// The DKIM-Signature field for a message, with its CRLF, to be put before it.
    pub fn sign(&self, message: &[u8]) -> Result<String, SignError> {
        let failed = |error: mail_auth::Error| SignError(error.to_string());
        let (domain, selector) = (self.domain.clone(), self.selector.clone());
        let signature = match self.kind {
            KeyKind::Ed25519 => {
                let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(&self.pkcs8).map_err(failed)?;
                DkimSigner::from_key(key).domain(domain).selector(selector).headers(SIGNED).sign(message)
            }
            KeyKind::Rsa => {
                let key = rsa_key(&self.pkcs8).map_err(failed)?;
                DkimSigner::from_key(key).domain(domain).selector(selector).headers(SIGNED).sign(message)
            }
        };
        Ok(signature.map_err(failed)?.to_header())
    }
}

/// An RSAPublicKey in the wrapping that RFC 6376 §3.6.1 asks for. RFC 5280 §4.1.
fn subject_public_key_info(public_key: &[u8]) -> Vec<u8> {
    /// SEQUENCE { OID rsaEncryption, NULL }.
    const ALGORITHM: [u8; 15] =
        [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let bit_string = der(0x03, &[&[0], public_key].concat());
    der(0x30, &[&ALGORITHM[..], &bit_string].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().position(|&octet| octet != 0).unwrap_or(length.len() - 1)..];
    let mut out = vec![tag];
    if content.len() >= 0x80 {
        out.push(0x80 | length.len() as u8);
    }
    out.extend_from_slice(length);
    out.extend_from_slice(content);
    out
}

fn rsa_key(pkcs8: &[u8]) -> mail_auth::Result<RsaKey<Sha256>> {
    RsaKey::from_key_der(PrivateKeyDer::Pkcs8(pkcs8.into()))
}

impl fmt::Debug for DkimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DkimKey").field("selector", &self.selector).finish_non_exhaustive()
    }
}
