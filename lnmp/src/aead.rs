//! The two AEADs, and the derivation of keys for them.

use std::sync::OnceLock;

use rand::{CryptoRng, RngCore};
use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;
use zeroize::Zeroizing;

/// Octets an AEAD adds.
pub(crate) const TAG_BYTES: usize = 16;
/// Octets of a nonce.
pub(crate) const NONCE_BYTES: usize = 12;

/// Which AEAD encrypted something. Recorded beside the ciphertext; every reader knows both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RFC 5116; several GB/s where the processor has instructions for it.
    Aes256Gcm,
    /// RFC 8439; the faster one elsewhere, and free of timing tables.
    ChaCha20Poly1305,
}

impl Algorithm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Aes256Gcm, Self::ChaCha20Poly1305];

    /// The faster one on this machine: AES where the processor does it.
    pub fn fastest() -> Self {
        static FASTEST: OnceLock<Algorithm> = OnceLock::new();
        *FASTEST.get_or_init(|| if has_aes() { Self::Aes256Gcm } else { Self::ChaCha20Poly1305 })
    }

    /// The name in a message's header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "AES-256-GCM",
            Self::ChaCha20Poly1305 => "ChaCha20-Poly1305",
        }
    }

    /// The inverse of [`Algorithm::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The octet in a binary prefix.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Aes256Gcm => 1,
            Self::ChaCha20Poly1305 => 2,
        }
    }

    /// The inverse of [`Algorithm::code`].
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.code() == code)
    }

    fn key(self, key: &[u8; 32]) -> LessSafeKey {
        let algorithm = match self {
            Self::Aes256Gcm => &aead::AES_256_GCM,
            Self::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        };
        LessSafeKey::new(UnboundKey::new(algorithm, key).expect("both take keys of 32 octets"))
    }

    /// Encrypts `buffer[from..]` in place and appends the tag. The limit on plaintexts is the caller's.
    pub(crate) fn seal_from(self, key: &[u8; 32], nonce: [u8; 12], ad: &[u8], buffer: &mut Vec<u8>, from: usize) {
        let tag = self
            .key(key)
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(ad), &mut buffer[from..])
            .expect("plaintexts are far below the 64 GiB an AEAD call can take");
        buffer.extend_from_slice(tag.as_ref());
    }

    /// Decrypts `sealed`; `None` when key, nonce, `ad` or a single bit is not what it was.
    pub(crate) fn open(self, key: &[u8; 32], nonce: [u8; 12], ad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        self.open_from(key, nonce, ad, sealed.to_vec(), 0)
    }

    /// As [`Algorithm::open`] for `buffer[from..]`: the plaintext takes the buffer's place, without a copy.
    pub(crate) fn open_from(
        self,
        key: &[u8; 32],
        nonce: [u8; 12],
        ad: &[u8],
        mut buffer: Vec<u8>,
        from: usize,
    ) -> Option<Vec<u8>> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let length = self.key(key).open_within(nonce, Aad::from(ad), &mut buffer, from..).ok()?.len();
        buffer.truncate(length);
        Some(buffer)
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn has_aes() -> bool {
    std::is_x86_feature_detected!("aes") && std::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

/// HKDF-SHA256 extract (RFC 5869 §2.2), as octets that can be wiped.
pub(crate) fn extract(salt: &[u8], secret: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut prk = Zeroizing::new([0; 32]);
    let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, salt), secret);
    prk.copy_from_slice(tag.as_ref());
    prk
}

/// HKDF-SHA256 expand (RFC 5869 §2.3) to 32 octets.
pub(crate) fn expand(prk: &[u8; 32], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, prk)
        .expand(info, hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(out.as_mut()))
        .expect("32 octets are what HKDF-SHA256 expands to in one step");
    out
}

pub(crate) fn random_nonce<R: RngCore + CryptoRng>(rng: &mut R) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    nonce
}
