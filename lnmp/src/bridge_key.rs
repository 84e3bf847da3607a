//! Encryption at rest: the bridge key, what derives from it, and the box both kinds of key use (protocol.md §10).

use std::fmt;

use rand::{CryptoRng, RngCore};
use ring::hmac;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::aead::{self, Algorithm, NONCE_BYTES};
use crate::wrap::{SALT, WrapError};

/// Encrypts `bytes` under `key`, tied to `ad`: `algorithm ‖ nonce ‖ ciphertext`.
///
/// The nonce is 96 bits of chance. One key must not seal more than 2^32 times; derive a subkey per purpose.
pub fn seal_secret<R: RngCore + CryptoRng>(rng: &mut R, key: &[u8; 32], ad: &[u8], bytes: &[u8]) -> Vec<u8> {
    let algorithm = Algorithm::fastest();
    let nonce = aead::random_nonce(rng);
    let mut out = Vec::with_capacity(1 + NONCE_BYTES + bytes.len() + aead::TAG_BYTES);
    out.push(algorithm.code());
    out.extend_from_slice(&nonce);
    out.extend_from_slice(bytes);
    algorithm.seal_from(key, nonce, ad, &mut out, 1 + NONCE_BYTES);
    out
}

/// The inverse of [`seal_secret`].
///
/// # Errors
/// [`WrapError::Malformed`] on octets of another shape, [`WrapError::Refused`] on another key or `ad`.
pub fn open_secret(key: &[u8; 32], ad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, WrapError> {
    let (code, rest) = sealed.split_first().ok_or(WrapError::Malformed)?;
    let algorithm = Algorithm::from_code(*code).ok_or(WrapError::Malformed)?;
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(WrapError::Malformed)?;
    algorithm.open(key, *nonce, ad, ciphertext).ok_or(WrapError::Refused)
}

/// The key of the house: encrypts what the server needs while nobody is logged in.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct BridgeKey([u8; 32]);

impl BridgeKey {
    /// A new one.
    pub fn generate<R: RngCore + CryptoRng>(rng: &mut R) -> Self {
        let mut key = Self([0; 32]);
        rng.fill_bytes(&mut key.0);
        key
    }

    /// The one a credential or a key file holds.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The octets, for the key file.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key for one purpose alone. Other purposes' keys tell nothing of it.
    pub fn subkey(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        aead::expand(&self.0, &[SALT, b"/subkey/", purpose.as_bytes()])
    }

    /// HMAC-SHA256 of `bytes` under a key for `purpose`: an index that means nothing without the bridge key.
    pub fn keyed_hash(&self, purpose: &str, bytes: &[u8]) -> [u8; 32] {
        let key = aead::expand(&self.0, &[SALT, b"/hash/", purpose.as_bytes()]);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), bytes);
        tag.as_ref().try_into().expect("HMAC-SHA256 gives 32 octets")
    }
}

impl fmt::Debug for BridgeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BridgeKey([secret])")
    }
}
