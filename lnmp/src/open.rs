//! Opening what [`crate::Sealer`] sealed, and the way to and from the wire (protocol.md §7, §8).

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::aead::{Algorithm, TAG_BYTES};
use crate::agreements::Agreement;
use crate::identity::sha256;
use crate::jcs;
use crate::limits::{HEADER_BYTES_MAX, OPENER_EPOCHS_MAX, PLAINTEXT_BYTES_MAX, WIRE_MESSAGE_BYTES_MAX};
use crate::message::{AuthorVerified, Binding, ContentId, Header, MessageError, MessageId, Plain, Scheme};
use crate::padding::unpad;
use crate::seal::{BLOB_VERSION, CONTENT_PREFIX_BYTES, PREFIX_BYTES, Purpose, agree, derive};
use crate::{Identity, PublicKey};

/// Fields that each receiver computes or notes for itself: not signed, and dropped when they arrive (§5).
pub const RELAY_LOCAL_FIELDS: [&str; 3] = ["priority", "receivedAt", "hops"];

/// Why a blob did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Cut short, or of another kind or version than asked for.
    #[error("the blob is not a sealed {0} of version 1")]
    Malformed(&'static str),
    /// Larger than anything we would have sealed.
    #[error("the blob is too large")]
    TooLarge,
    /// Sealed to another key.
    #[error("the message is sealed to another key")]
    NotForUs,
    /// The header does not hold.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The AEAD refused: another key, or a changed bit.
    #[error("the ciphertext does not open: it was changed, or sealed to another key")]
    Tampered,
}

/// A message that was opened. That its author wrote it has been checked: it holds the proof.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// What the author signed.
    pub id: MessageId,
    /// What the payment commits to.
    pub content_id: ContentId,
    /// Who signed: for bridged mail, the bridge.
    pub from: PublicKey,
    /// When, in milliseconds since 1970, by the author's clock.
    pub timestamp_ms: u64,
    /// The plaintext, for [`crate::Content::decode`].
    pub content: Vec<u8>,
    /// The proof.
    pub author: AuthorVerified,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("id", &self.id).field("from", &self.from).finish_non_exhaustive()
    }
}

/// Opens what was sealed to one identity. Shared between the sessions of one account.
///
/// Remembers up to [`OPENER_EPOCHS_MAX`] agreed secrets, so that thousands of summaries sealed in one epoch
/// cost one key agreement; those it computed can be kept for the next session ([`Opener::take_computed`],
/// [`Opener::learn`]). Wiped when dropped.
pub struct Opener {
    identity: Identity,
    agreed: Mutex<HashMap<[u8; 32], Agreed>>,
    /// How many of `agreed` were computed here and not taken yet.
    computed: AtomicUsize,
}

/// An agreed secret, and where it is from.
struct Agreed {
    secret: Zeroizing<[u8; 32]>,
    origin: Origin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Computed here: nobody else has it.
    Computed,
    /// Computed here, and handed out to be kept.
    Taken,
    /// Kept by an earlier session.
    Learnt,
}

impl Opener {
    /// Opens as `identity`.
    pub fn new(identity: &Identity) -> Self {
        Self { identity: identity.clone(), agreed: Mutex::default(), computed: AtomicUsize::new(0) }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whose messages it opens.
    pub fn public_key(&self) -> PublicKey {
        self.identity.public_key()
    }

    /// Opens a summary.
    ///
    /// A summary is not signed: its authenticity is the store's, which keeps it beside the message.
    pub fn open_summary(&self, blob: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.open_part(blob, Purpose::Summary)
    }

    /// Opens a digest line; as [`Opener::open_summary`].
    pub fn open_digest(&self, blob: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.open_part(blob, Purpose::Digest)
    }

    /// Opens the trigrams of a message; as [`Opener::open_summary`].
    pub fn open_trigrams(&self, blob: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.open_part(blob, Purpose::Trigrams)
    }

    /// Opens a content: checks recipient, hash, id and signature, decrypts, removes the padding.
    pub fn open_content(&self, blob: &[u8]) -> Result<Opened, OpenError> {
        let (header, ciphertext) = split_content(blob)?;
        let header = Header::parse(header)?;
        check_hash(&header, ciphertext)?;
        let author = header.verify()?;
        self.decrypt(&header, ciphertext, author)
    }

    /// Opens a content whose id is known from our own records to be properly signed: no elliptic curve in
    /// it, which is most of the time a small mail takes. The id still binds the header, and the AEAD
    /// the ciphertext: nobody but its sealer and its recipient could make another one that opens.
    pub fn open_known(&self, blob: &[u8], known: &MessageId) -> Result<Opened, OpenError> {
        let (header, ciphertext) = split_content(blob)?;
        let header = Header::parse(header)?;
        let author = AuthorVerified::by_known_id(&header, known)?;
        self.decrypt(&header, ciphertext, author)
    }

    /// The content of a blob that comes from our own store: hash, id and signature were checked before it was
    /// stored, and are not again; so nothing is said of its author either. The AEAD covers header and content.
    /// For fetching thousands of mails: the checks take four times what decrypting a small one does.
    pub fn open_stored(&self, blob: Vec<u8>) -> Result<Vec<u8>, OpenError> {
        let (header, ciphertext) = split_content(&blob)?;
        if header.len() > HEADER_BYTES_MAX {
            return Err(OpenError::TooLarge);
        }
        let from = blob.len() - ciphertext.len();
        if let Some(Plain { binding, nonce, ad }) = Plain::read(header) {
            return self.decrypt_from(&binding, nonce, &ad, blob, from);
        }
        let value = serde_json::from_slice(header).map_err(|_| MessageError::Malformed("its JSON"))?;
        let header = Header::from_value(value)?;
        self.decrypt_from(&header.binding, header.nonce, &header.ad()?, blob, from)
    }

    fn decrypt_from(
        &self,
        binding: &Binding,
        nonce: [u8; 12],
        ad: &[u8],
        blob: Vec<u8>,
        from: usize,
    ) -> Result<Vec<u8>, OpenError> {
        if binding.to != *self.identity.public_key().as_bytes() {
            return Err(OpenError::NotForUs);
        }
        let prk = self.agreed(&binding.ephemeral)?;
        let key = derive(&prk, binding, Purpose::Content);
        let Some(padded) = binding.algorithm.open_from(&key, nonce, ad, blob, from) else {
            // The blob is spent. Whoever asks again has the agreement computed anew.
            self.forget_learnt(&binding.ephemeral);
            return Err(OpenError::Tampered);
        };
        unpad(padded).ok_or(OpenError::Tampered)
    }

    fn decrypt_content(&self, header: &Header, ciphertext: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.decrypt_from(&header.binding, header.nonce, &header.ad()?, ciphertext.to_vec(), 0)
    }

    fn decrypt(&self, header: &Header, ciphertext: &[u8], author: AuthorVerified) -> Result<Opened, OpenError> {
        let content = self.decrypt_content(header, ciphertext)?;
        let binding = &header.binding;
        Ok(Opened {
            id: header.id,
            content_id: binding.content_id,
            from: PublicKey::from_bytes(binding.from).map_err(|_| MessageError::Malformed("from"))?,
            timestamp_ms: header.timestamp_ms,
            content,
            author,
        })
    }

    fn open_part(&self, blob: &[u8], purpose: Purpose) -> Result<Vec<u8>, OpenError> {
        let malformed = OpenError::Malformed(purpose.name());
        let (prefix, ciphertext) = blob.split_first_chunk::<PREFIX_BYTES>().ok_or(malformed)?;
        if prefix[0] != BLOB_VERSION || prefix[1] != purpose.code() {
            return Err(malformed);
        }
        check_size(ciphertext)?;
        let field = |from: usize| -> [u8; 32] { std::array::from_fn(|i| prefix[from + i]) };
        let binding = Binding {
            scheme: Scheme::from_code(prefix[2]).ok_or(malformed)?,
            algorithm: Algorithm::from_code(prefix[3]).ok_or(malformed)?,
            ephemeral: field(4),
            from: field(36),
            to: *self.identity.public_key().as_bytes(),
            content_id: ContentId(std::array::from_fn(|i| prefix[68 + i])),
        };
        let nonce = std::array::from_fn(|i| prefix[84 + i]);
        let open = || -> Result<Option<Vec<u8>>, OpenError> {
            let key = derive(&*self.agreed(&binding.ephemeral)?, &binding, purpose);
            Ok(binding.algorithm.open(&key, nonce, prefix, ciphertext))
        };
        let padded = match open()? {
            // What an earlier session kept is right, or this blob is not: computed anew, it tells.
            None if self.forget_learnt(&binding.ephemeral) => open()?,
            opened => opened,
        };
        unpad(padded.ok_or(OpenError::Tampered)?).ok_or(OpenError::Tampered)
    }

    /// Whether [`Opener::take_computed`] would find anything.
    pub fn has_computed(&self) -> bool {
        self.computed.load(Ordering::Relaxed) > 0
    }

    /// The agreement that opened a summary, digest or trigrams blob, if it was computed here and not taken before;
    /// `message` is how its keeper names the message. To be kept for the next session ([`Opener::seal_agreements`]).
    pub fn take_computed(&self, message: i64, blob: &[u8]) -> Option<Agreement> {
        let ephemeral = <[u8; 32]>::try_from(blob.get(4..36)?).ok()?;
        let mut agreed = self.lock();
        let known = agreed.get_mut(&ephemeral).filter(|known| known.origin == Origin::Computed)?;
        known.origin = Origin::Taken;
        self.computed.fetch_sub(1, Ordering::Relaxed);
        Some(Agreement { message, ephemeral, agreed: known.secret.clone() })
    }

    /// Remembers what an earlier session kept, as far as there is room.
    pub fn learn(&self, agreements: &[Agreement]) {
        let mut agreed = self.lock();
        let room = OPENER_EPOCHS_MAX.saturating_sub(agreed.len()).min(agreements.len());
        agreed.reserve(room);
        for Agreement { ephemeral, agreed: secret, .. } in &agreements[..room] {
            agreed.entry(*ephemeral).or_insert_with(|| Agreed { secret: secret.clone(), origin: Origin::Learnt });
        }
    }

    /// The agreed secret of an ephemeral key: remembered, or computed.
    fn agreed(&self, ephemeral: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, OpenError> {
        if let Some(known) = self.lock().get(ephemeral) {
            return Ok(known.secret.clone());
        }
        let point =
            PublicKey::from_bytes(*ephemeral).map_err(|_| MessageError::Malformed("encrypted.ephemeralPubKey"))?;
        let prk = agree(&self.identity.shared_x(&point));
        self.remember(*ephemeral, &prk);
        Ok(prk)
    }

    fn remember(&self, ephemeral: [u8; 32], prk: &Zeroizing<[u8; 32]>) {
        let mut agreed = self.lock();
        if agreed.len() >= OPENER_EPOCHS_MAX {
            // A list that spans more epochs than this is read in order: the old ones are done with.
            agreed.clear();
            self.computed.store(0, Ordering::Relaxed);
        }
        agreed.entry(ephemeral).or_insert_with(|| {
            self.computed.fetch_add(1, Ordering::Relaxed);
            Agreed { secret: prk.clone(), origin: Origin::Computed }
        });
    }

    /// Forgets a secret that an earlier session kept; whether there was one.
    fn forget_learnt(&self, ephemeral: &[u8; 32]) -> bool {
        let mut agreed = self.lock();
        let learnt = agreed.get(ephemeral).is_some_and(|known| known.origin == Origin::Learnt);
        if learnt {
            agreed.remove(ephemeral);
        }
        learnt
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Agreed>> {
        // Nothing inside a lock can leave the map half changed.
        self.agreed.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opener({})", self.identity.public_key())
    }
}

/// The id a content blob names, unchecked: to look it up before opening it.
pub fn content_id_of(blob: &[u8]) -> Result<(MessageId, ContentId), OpenError> {
    let header = Header::parse(split_content(blob)?.0)?;
    Ok((header.id, header.binding.content_id))
}

/// The message as it goes over the wire: its header, with the ciphertext in base64 inside.
pub fn wire_json(blob: &[u8]) -> Result<Value, OpenError> {
    let (header, ciphertext) = split_content(blob)?;
    Header::parse(header)?;
    let mut value: Value = serde_json::from_slice(header).map_err(|_| MessageError::Malformed("its JSON"))?;
    value["encrypted"]["ciphertext"] = BASE64_STANDARD.encode(ciphertext).into();
    Ok(value)
}

/// The content blob of a message from the wire, after checking size, shape, time, hash, id and signature.
/// Whether it opens only its recipient can say.
pub fn from_wire(message: &Value, now_ms: u64) -> Result<Vec<u8>, OpenError> {
    let mut value = message.clone();
    let object = value.as_object_mut().ok_or(MessageError::Malformed("its JSON"))?;
    for field in RELAY_LOCAL_FIELDS {
        object.remove(field);
    }
    let encrypted = value["encrypted"].as_object_mut().ok_or(MessageError::Malformed("encrypted"))?;
    let Some(Value::String(text)) = encrypted.remove("ciphertext") else {
        return Err(MessageError::Malformed("encrypted.ciphertext").into());
    };
    if text.len() > WIRE_MESSAGE_BYTES_MAX {
        return Err(OpenError::TooLarge);
    }
    let ciphertext = BASE64_STANDARD.decode(text).map_err(|_| MessageError::Malformed("encrypted.ciphertext"))?;
    let bytes = jcs::canonical(&value).map_err(|_| MessageError::Malformed("its canonical form"))?;
    if bytes.len() > HEADER_BYTES_MAX || bytes.len() + ciphertext.len() > WIRE_MESSAGE_BYTES_MAX {
        return Err(OpenError::TooLarge);
    }
    let header = Header::from_value(value)?;
    header.check_time(now_ms)?;
    check_hash(&header, &ciphertext)?;
    header.verify()?;
    let length = u32::try_from(bytes.len()).map_err(|_| OpenError::TooLarge)?;
    let mut blob = Vec::with_capacity(CONTENT_PREFIX_BYTES + bytes.len() + ciphertext.len());
    blob.extend_from_slice(&[BLOB_VERSION, Purpose::Content.code()]);
    blob.extend_from_slice(&length.to_be_bytes());
    blob.extend_from_slice(&bytes);
    blob.extend_from_slice(&ciphertext);
    Ok(blob)
}

fn split_content(blob: &[u8]) -> Result<(&[u8], &[u8]), OpenError> {
    let malformed = OpenError::Malformed("content");
    let (prefix, rest) = blob.split_first_chunk::<CONTENT_PREFIX_BYTES>().ok_or(malformed)?;
    if prefix[0] != BLOB_VERSION || prefix[1] != Purpose::Content.code() {
        return Err(malformed);
    }
    let length = u32::from_be_bytes(std::array::from_fn(|i| prefix[2 + i])) as usize;
    let (header, ciphertext) = rest.split_at_checked(length).ok_or(malformed)?;
    check_size(ciphertext)?;
    Ok((header, ciphertext))
}

/// Past the largest padded plaintext nothing of ours lies.
fn check_size(ciphertext: &[u8]) -> Result<(), OpenError> {
    if ciphertext.len() > PLAINTEXT_BYTES_MAX + 4096 + 4 + TAG_BYTES { Err(OpenError::TooLarge) } else { Ok(()) }
}

fn check_hash(header: &Header, ciphertext: &[u8]) -> Result<(), OpenError> {
    if sha256(ciphertext) == header.sha256 { Ok(()) } else { Err(OpenError::Tampered) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Plaintexts, Sealer};

    #[test]
    fn what_comes_from_the_store_opens_unchanged_or_not_at_all() {
        let rng = &mut rand::thread_rng();
        let (bridge, alice) = (Identity::generate(rng), Identity::generate(rng));
        let sealed = Sealer::new(&bridge).seal(rng, 1, &alice.public_key(), b"content", b"summary", None).unwrap();
        let opener = Opener::new(&alice);
        assert_eq!(opener.open_stored(sealed.content.clone()).unwrap(), b"content");
        assert_eq!(Opener::new(&bridge).open_stored(sealed.content.clone()), Err(OpenError::NotForUs));
        let end = sealed.content.len();
        for at in (0..end).step_by(7) {
            let mut changed = sealed.content.clone();
            changed[at] ^= 1;
            // Id, signature and hash are not looked at here: a change of them changes nothing else.
            if let Ok(content) = opener.open_stored(changed) {
                assert!(content == b"content" && signed_only(&sealed, at), "octet {at}");
            }
        }
    }

    #[test]
    fn agreements_are_forgotten_rather_than_grow() {
        let opener = Opener::new(&Identity::generate(&mut rand::thread_rng()));
        for number in 0..OPENER_EPOCHS_MAX + 10 {
            let mut ephemeral = [0; 32];
            ephemeral[..8].copy_from_slice(&number.to_be_bytes());
            opener.remember(ephemeral, &Zeroizing::new([1; 32]));
            assert!(opener.lock().len() <= OPENER_EPOCHS_MAX);
        }
        assert_eq!(opener.lock().len(), 10);
    }

    #[test]
    fn each_part_opens_as_what_it_is_and_as_nothing_else() {
        let rng = &mut rand::thread_rng();
        let (bridge, alice) = (Identity::generate(rng), Identity::generate(rng));
        let plaintexts = Plaintexts {
            content: b"content",
            summary: b"summary",
            digest: Some(b"digest"),
            trigrams: Some(b"trigrams"),
        };
        let sealed = Sealer::new(&bridge).seal_all(rng, 1, &alice.public_key(), plaintexts).unwrap();
        let opener = Opener::new(&alice);
        let mut trigrams = sealed.trigrams.unwrap();
        assert_eq!(opener.open_trigrams(&trigrams).unwrap(), b"trigrams");
        assert_eq!(opener.open_trigrams(&sealed.summary), Err(OpenError::Malformed("trigrams")));
        assert_eq!(opener.open_summary(&trigrams), Err(OpenError::Malformed("summary")));
        // The kind is authenticated, and a kind has keys of its own.
        trigrams[1] = Purpose::Summary.code();
        assert_eq!(opener.open_summary(&trigrams), Err(OpenError::Tampered));
    }

    /// Whether an octet belongs to the values of `id`, `signature` or `encrypted.sha256` alone.
    fn signed_only(sealed: &crate::SealedMessage, at: usize) -> bool {
        let header = String::from_utf8(sealed.header().to_vec()).unwrap();
        let value = |name: &str, length: usize| {
            let start = CONTENT_PREFIX_BYTES + header.find(&format!("\"{name}\":\"")).unwrap() + name.len() + 4;
            (start..start + length).contains(&at)
        };
        value("id", 64) || value("signature", 128) || value("sha256", 64)
    }
}
