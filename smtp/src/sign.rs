//! Signs outgoing mail. RFC 6376; Ed25519 by RFC 8463.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use graviola::signing::rsa::{KeySize, SigningKey as NewRsaKey};
use mail_auth::common::crypto::{Algorithm, Ed25519Key, RsaKey, Sha256, SigningKey};
use mail_auth::common::headers::{HeaderWriter as _, Writable};
use mail_auth::dkim::{DkimSigner, DkimSigningStream, Done};
use rustls_pki_types::PrivateKeyDer;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

use crate::limits::RSA_PKCS8_BYTES_MAX;

/// The fields that are signed; those that must not be added later are signed once more than they occur (RFC 6376
/// §8.15).
const SIGNED: [&str; 18] = [
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
    "LNMP-Payment",
    "LNMP-Payment",
];

/// A signing key of one domain. A clone costs nothing: what was parsed is shared.
#[derive(Clone)]
pub struct DkimKey {
    domain: String,
    selector: String,
    pair: KeyPair,
}

/// How a key signs. A mail is best signed both ways: RSA is what every receiver knows, Ed25519 what cannot be too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DkimKind {
    /// RFC 8463.
    Ed25519,
    /// RFC 8301 §3.2: 2048 bits.
    Rsa,
}

impl DkimKind {
    /// Both, in the order in which they are made.
    pub const ALL: [Self; 2] = [Self::Ed25519, Self::Rsa];

    /// `ed25519` or `rsa`, as records have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Rsa => "rsa",
        }
    }
}

/// The key cannot be made or used, or the message has no header.
#[derive(Debug, thiserror::Error)]
#[error("DKIM signing: {0}")]
pub struct SignError(String);

impl DkimKey {
    /// A fresh key as PKCS #8, to be kept by the caller. RSA keys take tens of milliseconds, sometimes many more; Ed25519
    /// keys take none.
    pub fn generate(kind: DkimKind) -> Result<Zeroizing<Vec<u8>>, SignError> {
        match kind {
            DkimKind::Ed25519 => Ok(Ed25519Key::generate_pkcs8().map_err(failed)?.into()),
            DkimKind::Rsa => generate_rsa(),
        }
    }

    /// A key from its PKCS #8 form, Ed25519 or RSA.
    pub fn from_pkcs8(domain: &str, selector: &str, pkcs8: &[u8]) -> Result<Self, SignError> {
        let rsa = || RsaKey::from_key_der(PrivateKeyDer::Pkcs8(pkcs8.into()));
        let pair = match Ed25519Key::from_pkcs8_maybe_unchecked_der(pkcs8) {
            Ok(key) => KeyPair::Ed25519(Arc::new(key)),
            Err(_) => match rsa() {
                Ok(key) => KeyPair::Rsa(Arc::new(key)),
                Err(_) => return Err(SignError("the key is neither Ed25519 nor RSA".to_owned())),
            },
        };
        Ok(Self { domain: domain.to_owned(), selector: selector.to_owned(), pair })
    }

    /// The same key, for another domain.
    #[must_use]
    pub fn of_domain(&self, domain: &str) -> Self {
        Self { domain: domain.to_owned(), ..self.clone() }
    }

    /// How it signs.
    pub fn kind(&self) -> DkimKind {
        match self.pair {
            KeyPair::Ed25519(_) => DkimKind::Ed25519,
            KeyPair::Rsa(_) => DkimKind::Rsa,
        }
    }

    /// Where the public key is published: name and text of a TXT record.
    pub fn dns_record(&self) -> (String, String) {
        let public = match &self.pair {
            KeyPair::Ed25519(key) => key.public_key(),
            KeyPair::Rsa(key) => subject_public_key_info(&key.public_key()),
        };
        let name = format!("{}._domainkey.{}", self.selector, self.domain);
        (name, format!("v=DKIM1; k={}; p={}", self.kind().name(), STANDARD.encode(public)))
    }

    /// The DKIM-Signature field for a message, with its CRLF, to be put before it.
    pub fn sign(&self, message: &[u8]) -> Result<String, SignError> {
        let signer = DkimSigner::from_key(self.pair.clone()).domain(&self.domain).selector(&self.selector);
        Ok(signer.headers(SIGNED).sign(message).map_err(failed)?.to_header())
    }

    /// Signs a message that comes in pieces.
    pub fn signer(&self) -> Signer {
        let signer = DkimSigner::from_key(self.pair.clone()).domain(&self.domain).selector(&self.selector);
        Signer(signer.headers(SIGNED))
    }
}

/// What signs a message piece by piece: [`Signer::begin`].
pub struct Signer(DkimSigner<KeyPair, Done>);

impl Signer {
    /// Begins a message.
    pub fn begin(&self) -> Signing<'_> {
        Signing(self.0.sign_streaming())
    }
}

/// A message that is being signed. Holds its header.
pub struct Signing<'s>(DkimSigningStream<'s, KeyPair>);

impl Signing<'_> {
    /// The next octets.
    pub fn write(&mut self, piece: &[u8]) {
        self.0.write(piece);
    }

    /// As [`DkimKey::sign`].
    pub fn finish(self) -> Result<String, SignError> {
        Ok(self.0.finish().map_err(failed)?.to_header())
    }
}

/// A parsed key, shared: parsing an RSA key costs as much as many a signature.
#[derive(Clone)]
enum KeyPair {
    Ed25519(Arc<Ed25519Key>),
    Rsa(Arc<RsaKey<Sha256>>),
}

impl SigningKey for KeyPair {
    type Hasher = Sha256;

    fn sign(&self, input: impl Writable) -> mail_auth::Result<Vec<u8>> {
        match self {
            Self::Ed25519(key) => key.sign(input),
            Self::Rsa(key) => key.sign(input),
        }
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(key) => key.algorithm(),
            Self::Rsa(key) => key.algorithm(),
        }
    }
}

fn failed(error: mail_auth::Error) -> SignError {
    SignError(error.to_string())
}

fn generate_rsa() -> Result<Zeroizing<Vec<u8>>, SignError> {
    // Without these instructions the library would panic, not refuse.
    if !cpu_makes_rsa() {
        return Err(SignError(
            "this machine's processor lacks instructions that making an RSA key needs here (x86-64: AES, PCLMULQDQ, BMI1, \
             ADX, AVX2; ARM: NEON, AES, PMULL, SHA2); make one elsewhere and bring it with `satchel dkim import`"
                .to_owned(),
        ));
    }
    let words = |error: graviola::Error| SignError(format!("an RSA key cannot be made: {error}"));
    // RFC 8301 §3.2: at least 1024 bits, better 2048. Longer keys do not fit one UDP answer.
    let key = NewRsaKey::generate(KeySize::Rsa2048).map_err(words)?;
    let mut room = Zeroizing::new([0; RSA_PKCS8_BYTES_MAX]);
    Ok(Zeroizing::new(key.to_pkcs8_der(&mut *room).map_err(words)?.to_vec()))
}

#[cfg(target_arch = "x86_64")]
fn cpu_makes_rsa() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("aes") && has!("pclmulqdq") && has!("bmi1") && has!("bmi2") && has!("adx") && has!("avx") && has!("avx2")
}

#[cfg(target_arch = "aarch64")]
fn cpu_makes_rsa() -> bool {
    use std::arch::is_aarch64_feature_detected as has;
    has!("neon") && has!("aes") && has!("pmull") && has!("sha2")
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

impl fmt::Debug for DkimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DkimKey").field("selector", &self.selector).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_keys_of_both_kinds_are_usable_and_differ() {
        for kind in DkimKind::ALL {
            let [one, other] = [(); 2].map(|()| DkimKey::generate(kind).unwrap());
            assert_ne!(*one, *other);
            let key = DkimKey::from_pkcs8("a.test", "s", &one).unwrap();
            assert_eq!(key.kind(), kind);
            let (name, text) = key.dns_record();
            assert_eq!(name, "s._domainkey.a.test");
            assert!(text.starts_with(&format!("v=DKIM1; k={}; p=", kind.name())), "{text}");
            let field = key.of_domain("b.test").sign(b"From: x@b.test\r\n\r\nHello\r\n").unwrap();
            assert!(field.contains(&format!("a={}-sha256", kind.name())) && field.contains("d=b.test"), "{field}");
        }
    }
}
