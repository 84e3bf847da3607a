//! What opens a mailbox besides a human password: app passwords and the recovery phrase (protocol.md §10).

use std::fmt;

use data_encoding::BASE32_NOPAD;
use rand::{CryptoRng, RngCore};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::wrap::{SALT, WrapError};
use crate::{Secret, aead};

/// Finds the wrap of an app password without trying them all. Not secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WrapId(pub [u8; 4]);

impl fmt::Display for WrapId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A password that the bridge made for one client: which wrap it opens, and 128 bits of chance.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct AppPassword {
    pub(crate) id: [u8; 4],
    pub(crate) secret: [u8; 16],
}

impl AppPassword {
    /// What every app password begins with, so that a leaked one can be told from afar.
    pub const PREFIX: &'static str = "satchel-";

    /// A new one.
    pub fn generate<R: RngCore + CryptoRng>(rng: &mut R) -> Self {
        let mut password = Self { id: [0; 4], secret: [0; 16] };
        rng.fill_bytes(&mut password.id);
        rng.fill_bytes(&mut password.secret);
        password
    }

    /// Which wrap it opens.
    pub fn wrap_id(&self) -> WrapId {
        WrapId(self.id)
    }

    /// As it is shown, once: `satchel-` and eight groups of four.
    pub fn show(&self) -> Secret<String> {
        let mut octets = Zeroizing::new([0; 20]);
        octets[..4].copy_from_slice(&self.id);
        octets[4..].copy_from_slice(&self.secret);
        let text = Zeroizing::new(BASE32_NOPAD.encode(octets.as_ref()).to_ascii_lowercase());
        let mut out = String::with_capacity(48);
        out.push_str("satchel");
        for group in text.as_bytes().chunks(4) {
            out.push('-');
            out.extend(group.iter().map(|&octet| char::from(octet)));
        }
        Secret::new(out)
    }

    /// Whether a password may be one of ours: decides which way a login goes, before anything costs.
    pub fn looks_like(text: &str) -> bool {
        text.get(..Self::PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(Self::PREFIX))
    }

    /// Reads one, forgiving case, spaces and misplaced hyphens.
    ///
    /// # Errors
    /// [`WrapError::AppPasswordShape`].
    pub fn parse(text: &str) -> Result<Self, WrapError> {
        let text = text.trim();
        if !Self::looks_like(text) || text.len() > 128 {
            return Err(WrapError::AppPasswordShape);
        }
        let digits: Zeroizing<String> = Zeroizing::new(
            text[Self::PREFIX.len()..]
                .chars()
                .filter(|c| !matches!(c, '-' | ' '))
                .collect::<String>()
                .to_ascii_uppercase(),
        );
        let octets = Zeroizing::new(BASE32_NOPAD.decode(digits.as_bytes()).map_err(|_| WrapError::AppPasswordShape)?);
        let (id, secret) = octets.split_first_chunk::<4>().ok_or(WrapError::AppPasswordShape)?;
        let secret = secret.try_into().map_err(|_| WrapError::AppPasswordShape)?;
        Ok(Self { id: *id, secret })
    }
}

impl fmt::Debug for AppPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppPassword({}, [secret])", self.wrap_id())
    }
}

/// Twelve words that open the mailbox when the password is lost. Not the identity's phrase.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RecoveryPhrase(pub(crate) [u8; 16]);

impl RecoveryPhrase {
    /// A new one.
    pub fn generate<R: RngCore + CryptoRng>(rng: &mut R) -> Self {
        let mut phrase = Self([0; 16]);
        rng.fill_bytes(&mut phrase.0);
        phrase
    }

    /// As it is shown, once.
    pub fn show(&self) -> Secret<String> {
        let identity = bip39::Mnemonic::from_entropy(&self.0).expect("16 octets are a BIP39 entropy");
        Secret::new(identity.to_string())
    }

    /// Reads twelve words, forgiving case and spacing.
    ///
    /// # Errors
    /// [`WrapError::Phrase`].
    pub fn parse(text: &str) -> Result<Self, WrapError> {
        let text = Zeroizing::new(text.to_lowercase());
        let mnemonic =
            bip39::Mnemonic::parse_in(bip39::Language::English, text.as_str()).map_err(|_| WrapError::Phrase)?;
        let entropy = Zeroizing::new(mnemonic.to_entropy());
        entropy.as_slice().try_into().map(Self).map_err(|_| WrapError::Phrase)
    }
}

impl fmt::Debug for RecoveryPhrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryPhrase([secret])")
    }
}

pub(crate) fn app_password_key(password: &AppPassword) -> Zeroizing<[u8; 32]> {
    aead::expand(&aead::extract(SALT, &password.secret), &[b"app-password/", &password.id])
}

pub(crate) fn phrase_key(phrase: &RecoveryPhrase) -> Zeroizing<[u8; 32]> {
    aead::expand(&aead::extract(SALT, &phrase.0), &[b"recovery-phrase"])
}
