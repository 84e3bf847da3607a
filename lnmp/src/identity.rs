//! Who somebody is: a secp256k1 key, and what it signs (protocol.md §2).

use std::fmt;
use std::str::FromStr;

use bip39::{Language, Mnemonic};
use bitcoin::Network;
use bitcoin::bip32::{ChildNumber, Xpriv};
use rand::{CryptoRng, RngCore};
use ring::digest;
use secp256k1::{Keypair, Message, Parity, SECP256K1, SecretKey, XOnlyPublicKey, ecdh, schnorr};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

use crate::Secret;

/// What a signature is about. Each has its own tagged hash (BIP-340), so that none can be shown as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tag {
    /// The id of a message.
    Message,
    /// A relay's challenge.
    Auth,
    /// That a domain belongs to a key.
    Proof,
    /// An identity document.
    Identity,
    /// A device's key.
    Device,
    /// A receipt.
    Receipt,
}

impl Tag {
    /// All tags.
    pub const ALL: [Self; 6] = [Self::Message, Self::Auth, Self::Proof, Self::Identity, Self::Device, Self::Receipt];

    /// The text that goes into the tagged hash.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "lnmp/msg/1",
            Self::Auth => "lnmp/auth/1",
            Self::Proof => "lnmp/proof/1",
            Self::Identity => "lnmp/identity/1",
            Self::Device => "lnmp/device/1",
            Self::Receipt => "lnmp/receipt/1",
        }
    }

    /// SHA-256 of `SHA-256(tag) ‖ SHA-256(tag) ‖ bytes` (BIP-340, "tagged hashes").
    pub fn hash(self, bytes: &[u8]) -> [u8; 32] {
        let tag = digest::digest(&digest::SHA256, self.name().as_bytes());
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(tag.as_ref());
        context.update(tag.as_ref());
        context.update(bytes);
        to_32(context.finish().as_ref())
    }
}

/// SHA-256, as an array.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    to_32(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn to_32(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().expect("SHA-256 gives 32 octets")
}

/// Why a key, phrase or signature was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not 64 hexadecimal digits.
    #[error("a public key is 64 hexadecimal digits, this has {0} characters or other digits")]
    KeyText(usize),
    /// No point of the curve has this x coordinate.
    #[error("these 32 octets are not the x coordinate of a secp256k1 point")]
    KeyOffCurve,
    /// Zero, or past the curve's order.
    #[error("these 32 octets are not a secp256k1 secret key")]
    SecretRange,
    /// Not a BIP39 phrase. The words are not repeated here: they are a secret.
    #[error("not a recovery phrase: {0}")]
    Phrase(&'static str),
    /// The signature is not this key's over these octets.
    #[error("the signature does not verify")]
    Signature,
}

/// A public key: the x coordinate of a point, as BIP-340 writes it. Always one that is on the curve.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Checks that `bytes` is the x coordinate of a point.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, IdentityError> {
        XOnlyPublicKey::from_slice(&bytes).map_err(|_| IdentityError::KeyOffCurve)?;
        Ok(Self(bytes))
    }

    /// Reads 64 hexadecimal digits of either case.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| IdentityError::KeyText(text.chars().count()))?;
        Self::from_bytes(bytes)
    }

    /// The 32 octets.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `signature` is this key's over `bytes` under `tag`.
    ///
    /// # Errors
    /// [`IdentityError::Signature`] when it is not.
    pub fn verify_tagged(&self, tag: Tag, bytes: &[u8], signature: &[u8; 64]) -> Result<(), IdentityError> {
        self.verify_hash(&tag.hash(bytes), signature)
    }

    /// BIP-340 verification of a 32-octet message.
    pub(crate) fn verify_hash(&self, hash: &[u8; 32], signature: &[u8; 64]) -> Result<(), IdentityError> {
        let signature = schnorr::Signature::from_slice(signature).map_err(|_| IdentityError::Signature)?;
        SECP256K1
            .verify_schnorr(&signature, &Message::from_digest(*hash), &self.point())
            .map_err(|_| IdentityError::Signature)
    }

    /// The x coordinate of `secret` times this point (even Y). The sign of either does not change it.
    pub(crate) fn shared_x(&self, secret: &SecretKey) -> Zeroizing<[u8; 32]> {
        let mut point = ecdh::shared_secret_point(&self.point().public_key(Parity::Even), secret);
        let mut x = Zeroizing::new([0; 32]);
        x.copy_from_slice(&point[..32]);
        point.zeroize();
        x
    }

    fn point(&self) -> XOnlyPublicKey {
        XOnlyPublicKey::from_slice(&self.0).expect("checked when this key was made")
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = IdentityError;
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Self::parse(text)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A secret key and, where it came from a phrase, the phrase's entropy. Wiped when dropped.
#[derive(Clone)]
pub struct Identity {
    keypair: Keypair,
    public: PublicKey,
    entropy: Option<Zeroizing<Vec<u8>>>,
}

impl Identity {
    /// A new identity from 128 bits of chance, that is, a phrase of twelve words.
    pub fn generate<R: RngCore + CryptoRng>(rng: &mut R) -> Self {
        let mut entropy = Zeroizing::new([0; 16]);
        rng.fill_bytes(entropy.as_mut());
        Self::from_entropy(entropy.as_ref()).expect("16 octets are a BIP39 entropy")
    }

    /// The identity a BIP39 phrase (English, empty passphrase) stands for. Case and spacing do not matter.
    pub fn from_phrase(phrase: &str) -> Result<Self, IdentityError> {
        let phrase = Zeroizing::new(phrase.to_lowercase());
        let mnemonic = Mnemonic::parse_in(Language::English, phrase.as_str()).map_err(|e| phrase_error(&e))?;
        Self::from_entropy(&Zeroizing::new(mnemonic.to_entropy()))
    }

    /// The identity of a BIP39 entropy: 16 to 32 octets in steps of 4.
    pub fn from_entropy(entropy: &[u8]) -> Result<Self, IdentityError> {
        let mnemonic = Mnemonic::from_entropy_in(Language::English, entropy).map_err(|e| phrase_error(&e))?;
        let seed = Zeroizing::new(mnemonic.to_seed_normalized(""));
        // The network only colours the serialised form, which never leaves this function.
        let mut key = Xpriv::new_master(Network::Bitcoin, seed.as_ref()).map_err(|_| IdentityError::SecretRange)?;
        // m/138'/0'/0': LNMP's own path. (The seed document calls 138 "BIP138"; that BIP is something else.)
        for index in [138, 0, 0] {
            let child = [ChildNumber::from_hardened_idx(index).expect("small indexes can be hardened")];
            key = key.derive_priv(SECP256K1, &child).map_err(|_| IdentityError::SecretRange)?;
        }
        let mut identity = Self::from_keypair(key.private_key.keypair(SECP256K1));
        key.private_key.non_secure_erase();
        identity.entropy = Some(Zeroizing::new(entropy.to_vec()));
        Ok(identity)
    }

    /// An identity that has a key and no phrase.
    pub fn from_secret_bytes(bytes: &[u8; 32]) -> Result<Self, IdentityError> {
        let mut secret = SecretKey::from_slice(bytes).map_err(|_| IdentityError::SecretRange)?;
        let identity = Self::from_keypair(secret.keypair(SECP256K1));
        secret.non_secure_erase();
        Ok(identity)
    }

    /// An identity as it was stored: its key, and the entropy the key was once derived from, or nothing.
    pub(crate) fn from_stored(key: &[u8; 32], entropy: &[u8]) -> Result<Self, IdentityError> {
        let mut identity = Self::from_secret_bytes(key)?;
        identity.entropy = (!entropy.is_empty()).then(|| Zeroizing::new(entropy.to_vec()));
        Ok(identity)
    }

    fn from_keypair(keypair: Keypair) -> Self {
        let public = PublicKey(keypair.x_only_public_key().0.serialize());
        Self { keypair, public, entropy: None }
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// The secret key itself, to be wrapped and stored.
    pub fn secret_bytes(&self) -> Secret<[u8; 32]> {
        Secret::new(self.keypair.secret_bytes())
    }

    /// The entropy of the phrase, to be wrapped and stored; `None` for a key without a phrase.
    pub fn seed_entropy(&self) -> Option<&[u8]> {
        self.entropy.as_ref().map(|entropy| entropy.as_slice())
    }

    /// The phrase, to be shown to its owner; `None` for a key without one.
    pub fn phrase(&self) -> Option<Secret<String>> {
        let mnemonic = Mnemonic::from_entropy_in(Language::English, self.seed_entropy()?).ok()?;
        Some(Secret::new(mnemonic.to_string()))
    }

    /// Signs `bytes` under `tag`: BIP-340 over the tagged hash, with the all-zero auxiliary octets, so that
    /// the same words always give the same signature.
    pub fn sign_tagged(&self, tag: Tag, bytes: &[u8]) -> [u8; 64] {
        self.sign_hash(&tag.hash(bytes))
    }

    pub(crate) fn sign_hash(&self, hash: &[u8; 32]) -> [u8; 64] {
        SECP256K1.sign_schnorr_with_aux_rand(&Message::from_digest(*hash), &self.keypair, &[0; 32]).serialize()
    }

    /// The secret agreed with the owner of `other`.
    pub(crate) fn shared_x(&self, other: &PublicKey) -> Zeroizing<[u8; 32]> {
        let mut secret = self.keypair.secret_key();
        let x = other.shared_x(&secret);
        secret.non_secure_erase();
        x
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.keypair.non_secure_erase();
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, [secret])", self.public)
    }
}

pub(crate) fn phrase_error(error: &bip39::Error) -> IdentityError {
    IdentityError::Phrase(match error {
        bip39::Error::BadEntropyBitCount(_) => "the entropy must be 128 to 256 bits, in steps of 32",
        bip39::Error::BadWordCount(_) => "it must have 12, 15, 18, 21 or 24 words",
        bip39::Error::UnknownWord(_) => "one of the words is not in the English BIP39 list",
        bip39::Error::InvalidChecksum => {
            "the words are known but do not belong together; look for a wrong or swapped word"
        }
        bip39::Error::AmbiguousLanguages(_) => "the words belong to more than one language",
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn the_same_phrase_gives_the_same_key_in_any_case_and_spacing() {
        let identity = Identity::generate(&mut StdRng::seed_from_u64(1));
        let phrase = identity.phrase().unwrap();
        assert_eq!(phrase.reveal().split(' ').count(), 12);
        let shouted = phrase.reveal().to_uppercase().replace(' ', "  ");
        assert_eq!(Identity::from_phrase(&shouted).unwrap().public_key(), identity.public_key());
        let again = Identity::from_entropy(identity.seed_entropy().unwrap()).unwrap();
        assert_eq!(again.public_key(), identity.public_key());
        let bare = Identity::from_secret_bytes(identity.secret_bytes().reveal()).unwrap();
        assert_eq!(bare.public_key(), identity.public_key());
        assert!(bare.phrase().is_none());
    }

    #[test]
    fn a_wrong_phrase_is_refused_without_repeating_it() {
        let error = Identity::from_phrase("correct horse battery staple").unwrap_err().to_string();
        assert!(error.contains("12, 15, 18, 21 or 24"), "{error}");
        let error = Identity::from_phrase(&"abandon ".repeat(12)).unwrap_err().to_string();
        assert!(error.contains("do not belong together") && !error.contains("abandon"), "{error}");
        let error = Identity::from_phrase(&"satchel ".repeat(12)).unwrap_err().to_string();
        assert!(error.contains("not in the English BIP39 list") && !error.contains("satchel"), "{error}");
    }

    #[test]
    fn a_signature_holds_for_its_tag_and_octets_only() {
        let identity = Identity::generate(&mut StdRng::seed_from_u64(2));
        let key = identity.public_key();
        let signature = identity.sign_tagged(Tag::Auth, b"challenge");
        assert!(key.verify_tagged(Tag::Auth, b"challenge", &signature).is_ok());
        assert!(key.verify_tagged(Tag::Proof, b"challenge", &signature).is_err());
        assert!(key.verify_tagged(Tag::Auth, b"challengf", &signature).is_err());
        let other = Identity::generate(&mut StdRng::seed_from_u64(3));
        assert!(other.public_key().verify_tagged(Tag::Auth, b"challenge", &signature).is_err());
    }

    #[test]
    fn keys_off_the_curve_and_short_keys_are_refused() {
        // x = 5 has no point on secp256k1.
        let mut five = [0; 32];
        five[31] = 5;
        assert_eq!(PublicKey::from_bytes(five), Err(IdentityError::KeyOffCurve));
        assert_eq!(PublicKey::parse("abc"), Err(IdentityError::KeyText(3)));
        assert!(Identity::from_secret_bytes(&[0; 32]).is_err());
        assert!(Identity::from_secret_bytes(&[255; 32]).is_err());
    }

    #[test]
    fn an_identity_prints_its_public_half_only() {
        let identity = Identity::generate(&mut StdRng::seed_from_u64(4));
        let text = format!("{identity:?}");
        assert!(text.contains(&identity.public_key().to_string()) && text.contains("[secret]"));
        assert!(!text.contains(&hex::encode(identity.secret_bytes().reveal())));
    }

    #[test]
    fn public_keys_survive_serde_and_text() {
        let key = Identity::generate(&mut StdRng::seed_from_u64(5)).public_key();
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(json, format!("\"{key}\""));
        assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key);
        assert_eq!(key.to_string().to_uppercase().parse::<PublicKey>().unwrap(), key);
    }

    /// The published BIP-340 vectors, those with messages of 32 octets: the only ones LNMP signs.
    #[test]
    fn bip_340_vectors_hold() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/bip340.csv");
        let Ok(csv) = std::fs::read_to_string(path) else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{path} is missing");
            println!("SKIPPED: {path} is missing");
            return;
        };
        let mut seen = (0, 0);
        for line in csv.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let [index, secret, key, aux, message, signature, result, ..] = fields[..] else { panic!("{line}") };
            let (Ok(message), Ok(signature)) = (
                <[u8; 32]>::try_from(hex::decode(message).unwrap()),
                <[u8; 64]>::try_from(hex::decode(signature).unwrap()),
            ) else {
                continue;
            };
            let verified = PublicKey::parse(key).and_then(|key| key.verify_hash(&message, &signature));
            assert_eq!(verified.is_ok(), result == "TRUE", "vector {index}");
            seen.0 += 1;
            if !secret.is_empty() {
                let identity = Identity::from_secret_bytes(&hex::decode(secret).unwrap().try_into().unwrap()).unwrap();
                assert_eq!(identity.public_key().to_string(), key.to_lowercase(), "vector {index}");
                if aux.bytes().all(|digit| digit == b'0') {
                    assert_eq!(identity.sign_hash(&message), signature, "vector {index}");
                    seen.1 += 1;
                }
            }
        }
        assert!(seen.0 >= 15 && seen.1 >= 1, "{seen:?}");
    }
}
