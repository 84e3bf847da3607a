//! Nostr's one data type (NIP-01): an event, its id, its signature.

use std::sync::LazyLock;

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::secp256k1::{All, Keypair, Message, Parity, PublicKey, Secp256k1, SecretKey, XOnlyPublicKey, ecdh};
use rand::RngCore;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

static SECP: LazyLock<Secp256k1<All>> = LazyLock::new(|| {
    let mut secp = Secp256k1::new();
    let mut seed = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(&mut *seed);
    secp.seeded_randomize(&seed);
    secp
});

/// A Nostr key pair.
pub struct Keys {
    secret: SecretKey,
    public: XOnlyPublicKey,
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({}, [secret])", self.public)
    }
}

impl Keys {
    /// The pair of a secret; `None` for 32 octets that are no key.
    pub fn new(secret: &[u8; 32]) -> Option<Self> {
        let secret = SecretKey::from_slice(secret).ok()?;
        Some(Self { secret, public: secret.x_only_public_key(&SECP).0 })
    }

    /// The public key, 32 octets.
    pub fn public(&self) -> XOnlyPublicKey {
        self.public
    }

    /// The x coordinate of the point both sides can compute: what NIP-44 makes a conversation's key of.
    pub(super) fn shared_x(&self, other: &XOnlyPublicKey) -> Zeroizing<[u8; 32]> {
        let point = PublicKey::from_x_only_public_key(*other, Parity::Even);
        let mut both = ecdh::shared_secret_point(&point, &self.secret);
        let mut x = Zeroizing::new([0; 32]);
        x.copy_from_slice(&both[..32]);
        both.zeroize();
        x
    }

    /// Makes and signs an event.
    pub fn sign(&self, kind: u16, tags: Vec<Vec<String>>, content: String, created_at: u64) -> Event {
        let pubkey = self.public.to_string();
        let id = id_of(&pubkey, created_at, kind, &tags, &content);
        let mut chance = [0; 32];
        OsRng.fill_bytes(&mut chance);
        let sig = self.sign_id(&id, &chance);
        Event { id: hex::encode(id), pubkey, created_at, kind, tags, content, sig }
    }

    /// BIP-340, with 32 octets of chance.
    fn sign_id(&self, id: &[u8; 32], chance: &[u8; 32]) -> String {
        let mut pair = Keypair::from_secret_key(&SECP, &self.secret);
        let signature = SECP.sign_schnorr_with_aux_rand(&Message::from_digest(*id), &pair, chance);
        pair.non_secure_erase();
        signature.to_string()
    }
}

/// A signed event, as a relay passes it on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// SHA-256 of what is signed, hex.
    pub id: String,
    /// Who signed, hex.
    pub pubkey: String,
    /// Seconds since 1970.
    pub created_at: u64,
    /// What it is.
    pub kind: u16,
    /// Whom and what it is about.
    pub tags: Vec<Vec<String>>,
    /// The rest.
    pub content: String,
    /// BIP-340 signature of the id, hex.
    pub sig: String,
}

impl Event {
    /// Whether id and signature are right. Everything a relay says is checked with it first.
    pub fn is_authentic(&self) -> bool {
        let id = id_of(&self.pubkey, self.created_at, self.kind, &self.tags, &self.content);
        let told = hex::decode(&self.id).unwrap_or_default();
        if !bool::from(told.as_slice().ct_eq(&id)) {
            return false;
        }
        let (Ok(key), Ok(signature)) = (self.pubkey.parse::<XOnlyPublicKey>(), self.sig.parse::<Signature>()) else {
            return false;
        };
        SECP.verify_schnorr(&signature, &Message::from_digest(id), &key).is_ok()
    }

    /// The value of the first tag with a name.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|tag| tag.first().is_some_and(|first| first == name))?.get(1).map(String::as_str)
    }
}

/// NIP-01: SHA-256 of `[0,pubkey,created_at,kind,tags,content]`, without spaces.
fn id_of(pubkey: &str, created_at: u64, kind: u16, tags: &[Vec<String>], content: &str) -> [u8; 32] {
    let mut text = String::with_capacity(content.len() + 128);
    text.push_str("[0,");
    quote(pubkey, &mut text);
    text.push_str(&format!(",{created_at},{kind},["));
    for (at, tag) in tags.iter().enumerate() {
        text.push_str(if at == 0 { "[" } else { ",[" });
        for (at, value) in tag.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            quote(value, &mut text);
        }
        text.push(']');
    }
    text.push_str("],");
    quote(content, &mut text);
    text.push(']');
    sha256::Hash::hash(text.as_bytes()).to_byte_array()
}

/// NIP-01: seven characters are escaped, everything else is written as it is.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn octets<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    #[test]
    fn the_vectors_of_bip_340_sign_and_verify() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/bip340.csv");
        let Ok(text) = std::fs::read_to_string(&path) else {
            assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
            println!("SKIPPED: {} is missing", path.display());
            return;
        };
        let (mut signed, mut refused) = (0, 0);
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let [_, secret, public, chance, message, signature, result, ..] = fields[..] else { panic!("{line}") };
            // An event's id is always 32 octets.
            if message.len() != 64 {
                continue;
            }
            let message = octets(message);
            let valid = public.to_ascii_lowercase().parse::<XOnlyPublicKey>().is_ok_and(|key| {
                let signature: Signature = signature.to_ascii_lowercase().parse().unwrap();
                SECP.verify_schnorr(&signature, &Message::from_digest(message), &key).is_ok()
            });
            assert_eq!(valid, result == "TRUE", "{line}");
            refused += usize::from(!valid);
            if !secret.is_empty() {
                let keys = Keys::new(&octets(secret)).unwrap();
                assert_eq!(keys.public().to_string(), public.to_ascii_lowercase());
                assert_eq!(keys.sign_id(&message, &octets(chance)), signature.to_ascii_lowercase());
                signed += 1;
            }
        }
        assert!(signed >= 4 && refused >= 8, "{signed} and {refused}");
    }

    #[test]
    fn an_id_is_the_hash_of_exactly_these_octets() {
        let tags = vec![vec!["p".to_owned(), "a\"b".to_owned()], vec!["t".to_owned()]];
        let id = id_of("ab", 5, 1, &tags, "x\n\u{7f}é\u{8}");
        let text = "[0,\"ab\",5,1,[[\"p\",\"a\\\"b\"],[\"t\"]],\"x\\n\u{7f}é\\b\"]";
        assert_eq!(id, sha256::Hash::hash(text.as_bytes()).to_byte_array());
    }

    #[test]
    fn an_event_that_was_touched_is_not_authentic() {
        let keys = Keys::new(&[3; 32]).unwrap();
        let event = keys.sign(23194, vec![vec!["p".into(), "x".into()]], "hello".into(), 1_700_000_000);
        assert!(event.is_authentic());
        assert_eq!(event.tag("p"), Some("x"));
        for touched in [
            Event { content: "hallo".into(), ..event.clone() },
            Event { created_at: 1, ..event.clone() },
            Event { kind: 1, ..event.clone() },
            Event { tags: Vec::new(), ..event.clone() },
            Event { pubkey: Keys::new(&[4; 32]).unwrap().public().to_string(), ..event.clone() },
            Event { sig: Keys::new(&[4; 32]).unwrap().sign_id(&[1; 32], &[0; 32]), ..event.clone() },
            Event { id: String::new(), ..event.clone() },
        ] {
            assert!(!touched.is_authentic(), "{touched:?}");
        }
        assert!(!format!("{keys:?}").contains("0303"));
    }
}
