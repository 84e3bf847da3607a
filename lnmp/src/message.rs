//! The envelope of a message: who, to whom, when, and a signature over all of it (protocol.md §5).
//!
//! ```text
//! wire    {contentId, encrypted{algorithm, ciphertext, ephemeralPubKey, nonce, scheme, sha256}, from, id, …}
//! stored  the same without encrypted.ciphertext, which lies beside it as octets
//! signed  the stored one without id and signature
//! AD      the signed one without encrypted.sha256, which is known only after encryption
//! ```

use std::fmt;

use serde_json::Value;

use crate::aead::Algorithm;
use crate::identity::Tag;
use crate::jcs;
use crate::limits::HEADER_BYTES_MAX;
use crate::{Identity, PublicKey};

/// The version of the protocol a message names.
pub const VERSION: &str = "1.0.0";

/// Timestamps below this are seconds, not milliseconds: it is March 1973 in one and the year 5138 in the other.
const SECONDS_END: u64 = 100_000_000_000;
/// How far in the future a message may be dated: clocks differ.
pub const AHEAD_MS_MAX: u64 = 15 * 60 * 1000;

/// The id of a message: the tagged hash that its author signs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub [u8; 32]);

/// Names a content before it is encrypted: 16 octets of chance. Payments commit to it, keys derive from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentId(pub [u8; 16]);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentId({self})")
    }
}

/// How the key of a message is agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// One fresh ephemeral key for this message.
    Ecies1,
    /// One ephemeral key per recipient for a minute or 1000 mails; every message has its own derived keys.
    Ecies1e,
}

impl Scheme {
    /// The name in a header and in key derivation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ecies1 => "ecies1",
            Self::Ecies1e => "ecies1e",
        }
    }

    /// The inverse of [`Scheme::name`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Ecies1, Self::Ecies1e].into_iter().find(|scheme| scheme.name() == name)
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ecies1 => 1,
            Self::Ecies1e => 2,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::Ecies1, Self::Ecies1e].into_iter().find(|scheme| scheme.code() == code)
    }
}

/// What is wrong with an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Larger than a header may be.
    #[error("the header is larger than {HEADER_BYTES_MAX} octets")]
    TooLarge,
    /// Not JSON, a field missing or of another shape, or not canonical where it must be. Names the field.
    #[error("the message is malformed at {0}")]
    Malformed(&'static str),
    /// Of a major version other than ours.
    #[error("the message is of a protocol version other than 1")]
    Version,
    /// A scheme or algorithm this version does not know.
    #[error("the message is sealed in an unknown way")]
    Unknown,
    /// The id is not the hash of what it names.
    #[error("the message's id does not belong to it")]
    Id,
    /// The signature is not the author's.
    #[error("the signature does not verify")]
    Signature,
    /// Dated more than 15 minutes ahead.
    #[error("the message is dated in the future")]
    Ahead,
    /// Past its own expiry.
    #[error("the message has expired")]
    Expired,
}

/// What key derivation and associated data bind. Keys are bare octets here: whether they are points is
/// asked only where one is used, because finding out costs as much as a hash of 20 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) scheme: Scheme,
    pub(crate) algorithm: Algorithm,
    pub(crate) ephemeral: [u8; 32],
    pub(crate) from: [u8; 32],
    pub(crate) to: [u8; 32],
    pub(crate) content_id: ContentId,
}

/// A header that was read, not yet verified.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) id: MessageId,
    pub(crate) signature: [u8; 64],
    pub(crate) binding: Binding,
    pub(crate) nonce: [u8; 12],
    pub(crate) sha256: [u8; 32],
    pub(crate) timestamp_ms: u64,
    pub(crate) expiry_ms: Option<u64>,
    /// The signed object: the header without id and signature.
    signed: Value,
}

impl Header {
    /// Reads the stored form. It must be canonical, so that one message has one text.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > HEADER_BYTES_MAX {
            return Err(MessageError::TooLarge);
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|_| MessageError::Malformed("its JSON"))?;
        if jcs::canonical(&value).ok().as_deref() != Some(bytes) {
            return Err(MessageError::Malformed("its canonical form"));
        }
        Self::from_value(value)
    }

    pub(crate) fn from_value(mut value: Value) -> Result<Self, MessageError> {
        if !value["v"].as_str().ok_or(MessageError::Malformed("v"))?.starts_with("1.") {
            return Err(MessageError::Version);
        }
        let encrypted = &value["encrypted"];
        let scheme = encrypted["scheme"].as_str().ok_or(MessageError::Malformed("encrypted.scheme"))?;
        let algorithm = encrypted["algorithm"].as_str().ok_or(MessageError::Malformed("encrypted.algorithm"))?;
        let [to] = value["to"].as_array().map_or(&[][..], Vec::as_slice) else {
            // One envelope per recipient: a message never shows who else got it.
            return Err(MessageError::Malformed("to"));
        };
        let expiry_ms = match value.get("expiry") {
            None => None,
            Some(expiry) => Some(milliseconds(expiry).ok_or(MessageError::Malformed("expiry"))?),
        };
        let header = Self {
            id: MessageId(octets(&value["id"], "id")?),
            signature: octets(&value["signature"], "signature")?,
            binding: Binding {
                scheme: Scheme::parse(scheme).ok_or(MessageError::Unknown)?,
                algorithm: Algorithm::parse(algorithm).ok_or(MessageError::Unknown)?,
                ephemeral: octets(&encrypted["ephemeralPubKey"], "encrypted.ephemeralPubKey")?,
                from: octets(&value["from"], "from")?,
                to: octets(to, "to")?,
                content_id: ContentId(octets(&value["contentId"], "contentId")?),
            },
            nonce: octets(&encrypted["nonce"], "encrypted.nonce")?,
            sha256: octets(&encrypted["sha256"], "encrypted.sha256")?,
            timestamp_ms: milliseconds(&value["timestamp"]).ok_or(MessageError::Malformed("timestamp"))?,
            expiry_ms,
            signed: Value::Null,
        };
        let object = value.as_object_mut().expect("it had fields");
        object.remove("id");
        object.remove("signature");
        Ok(Self { signed: value, ..header })
    }

    /// The id that belongs to this header.
    ///
    /// # Errors
    /// [`MessageError::Id`] when it names another.
    pub(crate) fn check_id(&self) -> Result<(), MessageError> {
        let signed = jcs::canonical(&self.signed).map_err(|_| MessageError::Malformed("its canonical form"))?;
        if Tag::Message.hash(&signed) == self.id.0 { Ok(()) } else { Err(MessageError::Id) }
    }

    /// Checks the id and the author's signature of it.
    pub(crate) fn verify(&self) -> Result<AuthorVerified, MessageError> {
        self.check_id()?;
        let author = PublicKey::from_bytes(self.binding.from).map_err(|_| MessageError::Malformed("from"))?;
        author.verify_hash(&self.id.0, &self.signature).map_err(|_| MessageError::Signature)?;
        Ok(AuthorVerified(()))
    }

    /// The associated data of the content's AEAD call.
    pub(crate) fn ad(&self) -> Result<Vec<u8>, MessageError> {
        let mut value = self.signed.clone();
        value["encrypted"].as_object_mut().expect("it had fields").remove("sha256");
        jcs::canonical(&value).map_err(|_| MessageError::Malformed("its canonical form"))
    }

    pub(crate) fn check_time(&self, now_ms: u64) -> Result<(), MessageError> {
        if self.timestamp_ms > now_ms.saturating_add(AHEAD_MS_MAX) {
            return Err(MessageError::Ahead);
        }
        match self.expiry_ms {
            Some(expiry) if expiry <= now_ms => Err(MessageError::Expired),
            _ => Ok(()),
        }
    }
}

/// Proof that a signature was checked, or that the very octets of a message we had checked came back.
/// Made only in this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorVerified(());

impl AuthorVerified {
    /// For a message whose id is known, from our own records, to be properly signed.
    pub(crate) fn by_known_id(header: &Header, known: &MessageId) -> Result<Self, MessageError> {
        if header.id != *known {
            return Err(MessageError::Id);
        }
        header.check_id()?;
        Ok(Self(()))
    }
}

/// A header about to be written: canonical by construction, with room kept for what encryption yields.
///
/// Sealing thousands of mails a second, this spares building and sorting a JSON tree for each.
/// A test holds it against [`jcs::canonical`].
pub(crate) struct Draft {
    pub(crate) binding: Binding,
    pub(crate) nonce: [u8; 12],
    pub(crate) timestamp_ms: u64,
}

impl Draft {
    /// Octets that [`Draft::stored`] has more than [`Draft::ad`]:
    /// `,"sha256":"…64…"`, `"id":"…64…",` and `"signature":"…128…",`.
    pub(crate) const STORED_EXTRA: usize = (11 + 65) + (6 + 66) + (13 + 130);

    /// The associated data.
    pub(crate) fn ad(&self) -> Vec<u8> {
        self.write("", "", "")
    }

    /// Signs, and gives id and stored header for a ciphertext with this SHA-256.
    pub(crate) fn stored(&self, author: &Identity, sha256: [u8; 32]) -> (MessageId, Vec<u8>) {
        let sha256 = format!(",\"sha256\":\"{}\"", hex::encode(sha256));
        let id = Tag::Message.hash(&self.write(&sha256, "", ""));
        let id_field = format!("\"id\":\"{}\",", hex::encode(id));
        let signature = format!("\"signature\":\"{}\",", hex::encode(author.sign_hash(&id)));
        (MessageId(id), self.write(&sha256, &id_field, &signature))
    }

    fn write(&self, sha256: &str, id: &str, signature: &str) -> Vec<u8> {
        let Binding { scheme, algorithm, ephemeral, from, to, content_id } = &self.binding;
        format!(
            "{{\"contentId\":\"{content_id}\",\"encrypted\":{{\"algorithm\":\"{}\",\"ephemeralPubKey\":\"{ephemeral}\",\
             \"nonce\":\"{}\",\"scheme\":\"{}\"{sha256}}},\"from\":\"{from}\",{id}\"relays\":[],{signature}\
             \"timestamp\":{},\"to\":[\"{to}\"],\"v\":\"{VERSION}\"}}",
            algorithm.name(),
            hex::encode(self.nonce),
            scheme.name(),
            self.timestamp_ms,
            ephemeral = hex::encode(ephemeral),
            from = hex::encode(from),
            to = hex::encode(to),
        )
        .into_bytes()
    }
}

/// What opening takes of a stored header, read off its octets without building a tree of it.
///
/// Only for the one text that [`Draft`] writes, which every header of our own store has: a listing of thousands of
/// mails would spend more time on JSON than on decrypting them. A test holds it against [`Header::parse`].
pub(crate) struct Plain {
    pub(crate) binding: Binding,
    pub(crate) nonce: [u8; 12],
    /// The associated data of the content's AEAD call.
    pub(crate) ad: Vec<u8>,
}

impl Plain {
    /// `None` for any other text: another author's may be written differently and still be canonical.
    pub(crate) fn read(header: &[u8]) -> Option<Self> {
        let mut text = Text { rest: header };
        text.word(b"{\"contentId\":\"")?;
        let content_id = ContentId(text.octets()?);
        text.word(b"\",\"encrypted\":{\"algorithm\":\"")?;
        let algorithm = Algorithm::parse(text.name()?)?;
        text.word(b"\",\"ephemeralPubKey\":\"")?;
        let ephemeral = text.octets()?;
        text.word(b"\",\"nonce\":\"")?;
        let nonce = text.octets()?;
        text.word(b"\",\"scheme\":\"")?;
        let scheme = Scheme::parse(text.name()?)?;
        text.word(b"\"")?;
        let before_hash = header.len() - text.rest.len();
        text.field(b",\"sha256\":\"", 64, b"\"")?;
        let after_hash = header.len() - text.rest.len();
        text.word(b"},\"from\":\"")?;
        let from = text.octets()?;
        text.word(b"\",")?;
        let before_id = header.len() - text.rest.len();
        text.field(b"\"id\":\"", 64, b"\",")?;
        text.word(RELAYS)?;
        text.field(b"\"signature\":\"", 128, b"\",")?;
        let after_signature = text.rest;
        text.word(b"\"timestamp\":")?;
        let digits = text.rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
        text.rest = &text.rest[digits..];
        text.word(b",\"to\":[\"")?;
        let to = text.octets()?;
        text.word(b"\"],\"v\":\"1.0.0\"}")?;
        if !text.rest.is_empty() {
            return None;
        }
        let ad = [&header[..before_hash], &header[after_hash..before_id], RELAYS, after_signature].concat();
        Some(Self { binding: Binding { scheme, algorithm, ephemeral, from, to, content_id }, nonce, ad })
    }
}

/// The relays of a header that names none, as it stands there.
const RELAYS: &[u8] = b"\"relays\":[],";

/// The rest of a header being read.
struct Text<'a> {
    rest: &'a [u8],
}

impl<'a> Text<'a> {
    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    /// Octets in hexadecimal, lower case only as in [`octets`].
    fn octets<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (digits, rest) = self.rest.split_at_checked(2 * N)?;
        let mut out = [0; N];
        hex::decode_to_slice(digits, &mut out).ok()?;
        self.rest = rest;
        (!digits.iter().any(u8::is_ascii_uppercase)).then_some(out)
    }

    fn name(&mut self) -> Option<&'a str> {
        let (name, rest) = self.rest.split_at_checked(self.rest.iter().position(|&octet| octet == b'"')?)?;
        self.rest = rest;
        std::str::from_utf8(name).ok()
    }

    /// A field whose value is not needed.
    fn field(&mut self, before: &[u8], value: usize, after: &[u8]) -> Option<()> {
        self.word(before)?;
        self.rest = self.rest.get(value..)?;
        self.word(after)
    }
}

/// Milliseconds since 1970; seconds are taken and multiplied.
fn milliseconds(value: &Value) -> Option<u64> {
    let number = value.as_u64()?;
    Some(if number < SECONDS_END { number * 1000 } else { number })
}

fn octets<const N: usize>(value: &Value, field: &'static str) -> Result<[u8; N], MessageError> {
    let text = value.as_str().ok_or(MessageError::Malformed(field))?;
    // Lower case only: one message has one text.
    if text.bytes().any(|octet| octet.is_ascii_uppercase()) {
        return Err(MessageError::Malformed(field));
    }
    let mut out = [0; N];
    hex::decode_to_slice(text, &mut out).map_err(|_| MessageError::Malformed(field))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(author: &Identity) -> Draft {
        let key = |n| *Identity::from_secret_bytes(&[n; 32]).unwrap().public_key().as_bytes();
        Draft {
            binding: Binding {
                scheme: Scheme::Ecies1e,
                algorithm: Algorithm::Aes256Gcm,
                ephemeral: key(2),
                from: *author.public_key().as_bytes(),
                to: key(3),
                content_id: ContentId([4; 16]),
            },
            nonce: [5; 12],
            timestamp_ms: 1_790_000_000_000,
        }
    }

    #[test]
    fn a_draft_is_canonical_json_and_as_long_as_foretold() {
        let author = Identity::from_secret_bytes(&[1; 32]).unwrap();
        let draft = draft(&author);
        let (id, stored) = draft.stored(&author, [6; 32]);
        for text in [&draft.ad(), &stored] {
            let value: Value = serde_json::from_slice(text).unwrap();
            assert_eq!(&jcs::canonical(&value).unwrap(), text);
        }
        assert_eq!(stored.len(), draft.ad().len() + Draft::STORED_EXTRA);
        let header = Header::parse(&stored).unwrap();
        assert_eq!(header.binding, draft.binding);
        assert_eq!((header.id, header.sha256, header.nonce), (id, [6; 32], [5; 12]));
        assert_eq!(header.ad().unwrap(), draft.ad());
        assert!(header.verify().is_ok());
        assert!(AuthorVerified::by_known_id(&header, &id).is_ok());
        assert_eq!(AuthorVerified::by_known_id(&header, &MessageId([0; 32])), Err(MessageError::Id));
    }

    #[test]
    fn a_header_of_ours_is_read_alike_with_and_without_a_json_tree() {
        let author = Identity::from_secret_bytes(&[1; 32]).unwrap();
        let draft = draft(&author);
        let (_, stored) = draft.stored(&author, [6; 32]);
        let plain = Plain::read(&stored).unwrap();
        assert_eq!((plain.binding, plain.nonce, &plain.ad), (draft.binding, draft.nonce, &draft.ad()));
        let mut both = 0;
        for at in 0..stored.len() {
            for octet in [stored[at] ^ 1, b'"', b'9', b'A'] {
                let mut changed = stored.clone();
                changed[at] = octet;
                let (Some(plain), Ok(header)) = (Plain::read(&changed), Header::parse(&changed)) else { continue };
                assert_eq!(
                    (plain.binding, plain.nonce, plain.ad),
                    (header.binding, header.nonce, header.ad().unwrap())
                );
                both += 1;
            }
            assert!(Plain::read(&stored[..at]).is_none());
        }
        assert!(both > 500, "{both}");
        let other = String::from_utf8(stored).unwrap().replace("\"relays\":[]", "\"relays\":[\"wss://a\"]");
        assert!(Plain::read(other.as_bytes()).is_none() && Header::parse(other.as_bytes()).is_ok());
    }

    #[test]
    fn the_id_covers_every_field_also_unknown_ones() {
        let author = Identity::from_secret_bytes(&[1; 32]).unwrap();
        let (_, stored) = draft(&author).stored(&author, [6; 32]);
        let value: Value = serde_json::from_slice(&stored).unwrap();
        let changes: [(&str, Value); 6] = [
            ("timestamp", 1_790_000_000_001_u64.into()),
            ("relays", serde_json::json!(["wss://elsewhere"])),
            ("v", "1.0.1".into()),
            ("contentId", "00".repeat(16).into()),
            ("payment", serde_json::json!({"amount_msat": 1})),
            ("unheardOf", true.into()),
        ];
        for (field, new) in changes {
            let mut value = value.clone();
            value[field] = new;
            assert_eq!(Header::from_value(value).unwrap().verify(), Err(MessageError::Id), "{field}");
        }
        let mut forged = value.clone();
        forged["signature"] = "11".repeat(64).into();
        assert_eq!(Header::from_value(forged).unwrap().verify(), Err(MessageError::Signature));
        let mut two = value;
        two["to"] = serde_json::json!([two["to"][0], two["from"]]);
        assert_eq!(Header::from_value(two).unwrap_err(), MessageError::Malformed("to"));
    }

    #[test]
    fn times_are_milliseconds_seconds_are_understood_and_the_far_future_is_refused() {
        let author = Identity::from_secret_bytes(&[1; 32]).unwrap();
        let (_, stored) = draft(&author).stored(&author, [6; 32]);
        let mut value: Value = serde_json::from_slice(&stored).unwrap();
        let now = 1_790_000_000_000;
        let at = |value: &Value, now| Header::from_value(value.clone()).unwrap().check_time(now);
        assert_eq!(at(&value, now), Ok(()));
        assert_eq!(at(&value, now - AHEAD_MS_MAX), Ok(()));
        assert_eq!(at(&value, now - AHEAD_MS_MAX - 1), Err(MessageError::Ahead));
        value["timestamp"] = (now / 1000).into();
        assert_eq!(Header::from_value(value.clone()).unwrap().timestamp_ms, now);
        value["expiry"] = (now / 1000 + 1).into();
        assert_eq!(at(&value, now), Ok(()));
        assert_eq!(at(&value, now + 1000), Err(MessageError::Expired));
    }
}
