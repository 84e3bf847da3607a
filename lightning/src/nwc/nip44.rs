//! Encrypted payloads of Nostr (NIP-44, version 2): ChaCha20 under a key per message, HMAC-SHA256 over the rest.
//!
//! The longer payloads of 2026 (a plaintext of 64 KiB and more) are refused in both directions: no message of a wallet
//! is that long.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bitcoin::secp256k1::XOnlyPublicKey;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use ring::{hkdf, hmac};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::Keys;

const SALT: &[u8] = b"nip44-v2";
const VERSION: u8 = 2;
const NONCE: usize = 32;
const MAC: usize = 32;
const PLAINTEXT_MAX: usize = 65_535;
/// Version, nonce, the shortest padded plaintext with its length, MAC.
const RAW_MIN: usize = 1 + NONCE + 2 + 32 + MAC;
/// The longest.
const RAW_MAX: usize = 1 + NONCE + 2 + 65_536 + MAC;
/// The same, in base64.
const PAYLOAD_MIN: usize = 132;
const PAYLOAD_MAX: usize = 87_472;

/// Why a payload is not read, or a text not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Nip44Error {
    /// A text must have 1 to 65535 octets.
    #[error("a plaintext must have 1 to 65535 octets")]
    PlaintextLength,
    /// A payload must have 132 to 87472 characters, or its octets are too few or too many.
    #[error("a payload of this length cannot be")]
    PayloadLength,
    /// Another version than 2.
    #[error("unknown encryption version")]
    Version,
    /// Not base64.
    #[error("the payload is no base64")]
    Base64,
    /// Somebody touched it, or it is for somebody else.
    #[error("the payload is not authentic")]
    Mac,
    /// The padding is not what its length asks for.
    #[error("the padding is wrong")]
    Padding,
    /// Not UTF-8.
    #[error("the plaintext is no UTF-8")]
    Utf8,
}

/// The key two parties share for all their messages.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ConversationKey([u8; 32]);

impl std::fmt::Debug for ConversationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConversationKey([secret])")
    }
}

/// The keys of one message.
#[derive(Zeroize, ZeroizeOnDrop)]
struct MessageKeys {
    chacha_key: [u8; 32],
    chacha_nonce: [u8; 12],
    hmac_key: [u8; 32],
}

impl ConversationKey {
    /// HKDF-extract of the shared x coordinate; the same for both sides.
    pub fn new(ours: &Keys, theirs: &XOnlyPublicKey) -> Self {
        let salt = hmac::Key::new(hmac::HMAC_SHA256, SALT);
        let mut key = [0; 32];
        key.copy_from_slice(hmac::sign(&salt, &*ours.shared_x(theirs)).as_ref());
        Self(key)
    }

    /// Encrypts under a nonce that is used for no other message.
    ///
    /// # Errors
    /// [`Nip44Error::PlaintextLength`].
    pub fn encrypt(&self, plaintext: &str, nonce: &[u8; NONCE]) -> Result<String, Nip44Error> {
        let mut text = padded(plaintext.as_bytes())?;
        let keys = self.message_keys(nonce);
        keys.cipher().apply_keystream(&mut text);
        let mut raw = Vec::with_capacity(1 + NONCE + text.len() + MAC);
        raw.push(VERSION);
        raw.extend_from_slice(nonce);
        raw.extend_from_slice(&text);
        raw.extend_from_slice(&keys.mac(nonce, &text));
        Ok(STANDARD.encode(raw))
    }

    /// Decrypts, after the MAC was found right.
    ///
    /// # Errors
    /// See [`Nip44Error`].
    pub fn decrypt(&self, payload: &str) -> Result<Zeroizing<String>, Nip44Error> {
        // A leading '#' is reserved for versions that are no base64.
        if payload.starts_with('#') {
            return Err(Nip44Error::Version);
        }
        if !(PAYLOAD_MIN..=PAYLOAD_MAX).contains(&payload.len()) {
            return Err(Nip44Error::PayloadLength);
        }
        let raw = STANDARD.decode(payload).map_err(|_| Nip44Error::Base64)?;
        if !(RAW_MIN..=RAW_MAX).contains(&raw.len()) {
            return Err(Nip44Error::PayloadLength);
        }
        let (version, rest) = raw.split_first().ok_or(Nip44Error::PayloadLength)?;
        if *version != VERSION {
            return Err(Nip44Error::Version);
        }
        let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or(Nip44Error::PayloadLength)?;
        let (text, mac) = rest.split_last_chunk::<MAC>().ok_or(Nip44Error::PayloadLength)?;
        let keys = self.message_keys(nonce);
        if !bool::from(keys.mac(nonce, text).ct_eq(mac)) {
            return Err(Nip44Error::Mac);
        }
        let mut text = Zeroizing::new(text.to_vec());
        keys.cipher().apply_keystream(&mut text);
        unpadded(&text)
    }

    fn message_keys(&self, nonce: &[u8; NONCE]) -> MessageKeys {
        let mut bytes = Zeroizing::new([0; 76]);
        let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &self.0);
        let info = [&nonce[..]];
        prk.expand(&info, Length).and_then(|okm| okm.fill(&mut *bytes)).expect("76 octets are within HKDF's 8160");
        let mut keys = MessageKeys { chacha_key: [0; 32], chacha_nonce: [0; 12], hmac_key: [0; 32] };
        keys.chacha_key.copy_from_slice(&bytes[..32]);
        keys.chacha_nonce.copy_from_slice(&bytes[32..44]);
        keys.hmac_key.copy_from_slice(&bytes[44..]);
        keys
    }
}

impl MessageKeys {
    fn cipher(&self) -> ChaCha20 {
        ChaCha20::new(&self.chacha_key.into(), &self.chacha_nonce.into())
    }

    /// Over nonce and ciphertext: the nonce is associated data.
    fn mac(&self, nonce: &[u8; NONCE], text: &[u8]) -> [u8; MAC] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.hmac_key));
        context.update(nonce);
        context.update(text);
        let mut mac = [0; MAC];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }
}

/// How long HKDF's output is.
struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        76
    }
}

/// How long a plaintext of `len` octets is made: eighths of the next power of two, at least 32.
fn padded_len(len: usize) -> usize {
    if len <= 32 {
        return 32;
    }
    let next_power = len.next_power_of_two();
    let chunk = if next_power <= 256 { 32 } else { next_power / 8 };
    chunk * ((len - 1) / chunk + 1)
}

fn padded(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, Nip44Error> {
    let len = u16::try_from(text.len()).ok().filter(|len| *len > 0).ok_or(Nip44Error::PlaintextLength)?;
    let whole = 2 + padded_len(text.len());
    let mut out = Zeroizing::new(Vec::with_capacity(whole));
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(text);
    out.resize(whole, 0);
    Ok(out)
}

fn unpadded(bytes: &[u8]) -> Result<Zeroizing<String>, Nip44Error> {
    let (len, rest) = bytes.split_first_chunk::<2>().ok_or(Nip44Error::Padding)?;
    let len = usize::from(u16::from_be_bytes(*len));
    if len == 0 || len > PLAINTEXT_MAX || rest.len() != padded_len(len) {
        return Err(Nip44Error::Padding);
    }
    let (text, padding) = rest.split_at(len);
    if padding.iter().any(|byte| *byte != 0) {
        return Err(Nip44Error::Padding);
    }
    std::str::from_utf8(text).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| Nip44Error::Utf8)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bitcoin::hashes::{Hash, sha256};
    use serde_json::Value;

    use super::*;

    fn vectors() -> Option<Value> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/nip44.vectors.json");
        let Ok(text) = std::fs::read_to_string(&path) else {
            assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
            println!("SKIPPED: {} is missing", path.display());
            return None;
        };
        Some(serde_json::from_str::<Value>(&text).unwrap()["v2"].take())
    }

    fn each<'a>(vectors: &'a Value, part: &str, name: &str) -> &'a Vec<Value> {
        let list = vectors[part][name].as_array().unwrap();
        assert!(!list.is_empty());
        list
    }

    fn octets<const N: usize>(value: &Value) -> [u8; N] {
        hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap()
    }

    fn key(value: &Value) -> ConversationKey {
        ConversationKey(octets(value))
    }

    #[test]
    fn conversation_and_message_keys_are_those_of_the_vectors() {
        let Some(vectors) = vectors() else { return };
        for case in each(&vectors, "valid", "get_conversation_key") {
            let keys = Keys::new(&octets(&case["sec1"])).unwrap();
            let public = case["pub2"].as_str().unwrap().parse().unwrap();
            assert_eq!(ConversationKey::new(&keys, &public).0, octets(&case["conversation_key"]), "{case}");
        }
        for case in each(&vectors, "invalid", "get_conversation_key") {
            let keys = Keys::new(&octets(&case["sec1"]));
            let public = case["pub2"].as_str().unwrap().parse::<XOnlyPublicKey>();
            assert!(keys.is_none() || public.is_err(), "{case}");
        }
        let cases = &vectors["valid"]["get_message_keys"];
        let conversation = key(&cases["conversation_key"]);
        for case in cases["keys"].as_array().unwrap() {
            let keys = conversation.message_keys(&octets(&case["nonce"]));
            assert_eq!(keys.chacha_key, octets(&case["chacha_key"]), "{case}");
            assert_eq!(keys.chacha_nonce, octets(&case["chacha_nonce"]), "{case}");
            assert_eq!(keys.hmac_key, octets(&case["hmac_key"]), "{case}");
        }
    }

    #[test]
    fn texts_become_the_payloads_of_the_vectors_and_back() {
        let Some(vectors) = vectors() else { return };
        for case in each(&vectors, "valid", "calc_padded_len") {
            let (len, padded) = (case[0].as_u64().unwrap(), case[1].as_u64().unwrap());
            assert_eq!(padded_len(usize::try_from(len).unwrap()) as u64, padded, "{case}");
        }
        for case in each(&vectors, "valid", "encrypt_decrypt") {
            let (first, second) =
                (Keys::new(&octets(&case["sec1"])).unwrap(), Keys::new(&octets(&case["sec2"])).unwrap());
            let (there, back) =
                (ConversationKey::new(&first, &second.public()), ConversationKey::new(&second, &first.public()));
            assert_eq!(there.0, octets(&case["conversation_key"]));
            let (text, payload) = (case["plaintext"].as_str().unwrap(), case["payload"].as_str().unwrap());
            assert_eq!(there.encrypt(text, &octets(&case["nonce"])).unwrap(), payload, "{case}");
            assert_eq!(back.decrypt(payload).unwrap().as_str(), text, "{case}");
        }
        for case in each(&vectors, "valid", "encrypt_decrypt_long_msg") {
            let times = usize::try_from(case["repeat"].as_u64().unwrap()).unwrap();
            let text = case["pattern"].as_str().unwrap().repeat(times);
            let hash = |text: &str| sha256::Hash::hash(text.as_bytes()).to_byte_array();
            assert_eq!(hash(&text), octets(&case["plaintext_sha256"]));
            let key = key(&case["conversation_key"]);
            let payload = key.encrypt(&text, &octets(&case["nonce"])).unwrap();
            assert_eq!(hash(&payload), octets(&case["payload_sha256"]));
            assert_eq!(*key.decrypt(&payload).unwrap(), text);
        }
    }

    #[test]
    fn what_the_vectors_call_invalid_is_refused() {
        let Some(vectors) = vectors() else { return };
        for len in each(&vectors, "invalid", "encrypt_msg_lengths") {
            let text = "x".repeat(usize::try_from(len.as_u64().unwrap()).unwrap());
            assert_eq!(ConversationKey([1; 32]).encrypt(&text, &[0; 32]), Err(Nip44Error::PlaintextLength), "{len}");
        }
        for case in each(&vectors, "invalid", "decrypt") {
            let error = key(&case["conversation_key"]).decrypt(case["payload"].as_str().unwrap()).unwrap_err();
            let note = case["note"].as_str().unwrap();
            let expected: &[Nip44Error] = match note {
                "unknown encryption version" | "unknown encryption version 0" => &[Nip44Error::Version],
                "invalid base64" => &[Nip44Error::Base64],
                "invalid MAC" => &[Nip44Error::Mac],
                "invalid padding" => &[Nip44Error::Padding],
                _ if note.starts_with("invalid payload length") => &[Nip44Error::PayloadLength, Nip44Error::Base64],
                _ => panic!("{note} is new"),
            };
            assert!(expected.contains(&error), "{note}: {error}");
        }
    }

    #[test]
    fn every_bit_of_a_payload_counts() {
        let key = ConversationKey([9; 32]);
        let payload = key.encrypt("hold", &[5; 32]).unwrap();
        let raw = STANDARD.decode(&payload).unwrap();
        for at in 0..raw.len() {
            let mut touched = raw.clone();
            touched[at] ^= 1;
            assert!(key.decrypt(&STANDARD.encode(touched)).is_err(), "octet {at}");
        }
        assert!(!format!("{key:?}").contains('9'));
    }
}
