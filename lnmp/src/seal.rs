//! Sealing: from the mail in the clear to octets that only the recipient's key opens (protocol.md §7).
//!
//! [`Sealer`] is the house's, one for all recipients; [`crate::Opener`] is one account's. A message becomes
//! up to four blobs that open independently, so that a list of 6000 mails never touches a body:
//!
//! ```text
//! content   1 ‖ 1 ‖ u32 header length ‖ header (JSON, signed) ‖ ciphertext
//! summary   1 ‖ 2 ‖ scheme ‖ algorithm ‖ ephemeral ‖ from ‖ contentId ‖ nonce ‖ ciphertext
//! digest    1 ‖ 3 ‖ …
//! trigrams  1 ‖ 4 ‖ …
//! ```
//!
//! The secret half of an ephemeral key exists only while an epoch begins.

use std::collections::HashMap;
use std::sync::Mutex;

use rand::{CryptoRng, RngCore};
use secp256k1::{SECP256K1, SecretKey};
use zeroize::Zeroizing;

use crate::aead::{self, Algorithm, NONCE_BYTES, TAG_BYTES};
use crate::identity::sha256;
use crate::limits::{EPOCH_MAILS_MAX, EPOCH_MS_MAX, PLAINTEXT_BYTES_MAX, SEALER_EPOCHS_MAX};
use crate::message::{Binding, ContentId, Draft, MessageId, Scheme};
use crate::padding::{pad_onto, padded_len};
use crate::{Identity, PublicKey};

/// HKDF's salt for the agreed secret.
const SALT: &[u8] = b"lnmp-v1";
/// First octet of every blob.
pub(crate) const BLOB_VERSION: u8 = 1;
/// Octets before the ciphertext of a summary or digest.
pub(crate) const PREFIX_BYTES: usize = 4 + 32 + 32 + 16 + NONCE_BYTES;
/// Octets before the header of a content.
pub(crate) const CONTENT_PREFIX_BYTES: usize = 2 + 4;

/// What a derived key encrypts: each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Content,
    Summary,
    Digest,
    Trigrams,
}

impl Purpose {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Summary => "summary",
            Self::Digest => "digest",
            Self::Trigrams => "trigrams",
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Content => 1,
            Self::Summary => 2,
            Self::Digest => 3,
            Self::Trigrams => 4,
        }
    }
}

/// Extracts the pseudorandom key all keys of one agreement derive from.
pub(crate) fn agree(shared_x: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    aead::extract(SALT, shared_x)
}

/// The key for one AEAD call. The fields of fixed length come first, so that no two inputs read alike.
pub(crate) fn derive(prk: &[u8; 32], binding: &Binding, purpose: Purpose) -> Zeroizing<[u8; 32]> {
    aead::expand(
        prk,
        &[
            &binding.ephemeral,
            &binding.from,
            &binding.to,
            &binding.content_id.0,
            binding.scheme.name().as_bytes(),
            b"/",
            binding.algorithm.name().as_bytes(),
            b"/",
            purpose.name().as_bytes(),
        ],
    )
}

/// The prefix of a summary or digest: all that is needed to open it, and its associated data.
pub(crate) fn prefix(binding: &Binding, purpose: Purpose, nonce: &[u8; NONCE_BYTES]) -> [u8; PREFIX_BYTES] {
    let mut out = [0; PREFIX_BYTES];
    out[..4].copy_from_slice(&[BLOB_VERSION, purpose.code(), binding.scheme.code(), binding.algorithm.code()]);
    out[4..36].copy_from_slice(&binding.ephemeral);
    out[36..68].copy_from_slice(&binding.from);
    out[68..84].copy_from_slice(&binding.content_id.0);
    out[84..].copy_from_slice(nonce);
    out
}

/// Why something was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// More octets than one AEAD call and a 32-bit length should carry.
    #[error("{0} octets are too many to seal; at most {PLAINTEXT_BYTES_MAX}")]
    TooLarge(usize),
}

/// A sealed message as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedMessage {
    /// What the author signed.
    pub id: MessageId,
    /// What the payment commits to.
    pub content_id: ContentId,
    /// Signed header and encrypted content in one blob.
    pub content: Vec<u8>,
    /// What a list view needs, opening by itself.
    pub summary: Vec<u8>,
    /// The line for the digest of unpaid mail, opening by itself.
    pub digest: Option<Vec<u8>>,
    /// What a search can rule it out by, opening by itself.
    pub trigrams: Option<Vec<u8>>,
}

/// What is sealed of one message, each to open by itself.
#[derive(Clone, Copy, Default)]
pub struct Plaintexts<'a> {
    /// [`crate::Content::encode`].
    pub content: &'a [u8],
    /// What a list view needs.
    pub summary: &'a [u8],
    /// The line for the digest of unpaid mail.
    pub digest: Option<&'a [u8]>,
    /// What a search can rule it out by.
    pub trigrams: Option<&'a [u8]>,
}

impl SealedMessage {
    /// The header inside `content`: canonical JSON with id and signature.
    pub fn header(&self) -> &[u8] {
        let (length, rest) = self.content[2..].split_first_chunk::<4>().expect("made by Sealer::seal");
        &rest[..u32::from_be_bytes(*length) as usize]
    }
}

/// One agreement with one recipient.
#[derive(Clone)]
struct Epoch {
    ephemeral: [u8; 32],
    prk: Zeroizing<[u8; 32]>,
    began_ms: u64,
    mails: u32,
}

impl Epoch {
    fn begin<R: RngCore + CryptoRng>(rng: &mut R, now_ms: u64, recipient: &PublicKey) -> Self {
        let mut secret = draw_secret(rng);
        let ephemeral = secret.x_only_public_key(SECP256K1).0.serialize();
        let prk = agree(&recipient.shared_x(&secret));
        secret.non_secure_erase();
        Self { ephemeral, prk, began_ms: now_ms, mails: 0 }
    }

    /// Whether it may serve at `now_ms`. A clock that went back ends it too.
    fn serves(&self, now_ms: u64) -> bool {
        self.mails < EPOCH_MAILS_MAX && now_ms.checked_sub(self.began_ms).is_some_and(|age| age < EPOCH_MS_MAX)
    }
}

fn draw_secret<R: RngCore + CryptoRng>(rng: &mut R) -> SecretKey {
    let mut bytes = Zeroizing::new([0; 32]);
    // All but 2^-128 of draws are keys; a generator that fails 64 times in a row is broken.
    for _ in 0..64 {
        rng.fill_bytes(bytes.as_mut());
        if let Ok(secret) = SecretKey::from_slice(bytes.as_ref()) {
            return secret;
        }
    }
    panic!("the random generator gives no usable octets");
}

/// Seals messages from one identity to anybody. Shared between threads.
///
/// A second key agreement with a recipient within [`EPOCH_MS_MAX`] and [`EPOCH_MAILS_MAX`] is spared; a
/// restart forgets all epochs.
pub struct Sealer {
    author: Identity,
    scheme: Scheme,
    algorithm: Algorithm,
    epochs: Mutex<HashMap<PublicKey, Epoch>>,
}

impl Sealer {
    /// Seals as `author`, with `ecies1e` and the AEAD that is faster on this machine.
    pub fn new(author: &Identity) -> Self {
        Self::with(author, Scheme::Ecies1e, Algorithm::fastest())
    }

    /// Seals as `author` in a scheme and with an AEAD of choice.
    pub fn with(author: &Identity, scheme: Scheme, algorithm: Algorithm) -> Self {
        Self { author: author.clone(), scheme, algorithm, epochs: Mutex::default() }
    }

    /// Who signs.
    pub fn public_key(&self) -> PublicKey {
        self.author.public_key()
    }

    /// Seals one message: `content` ([`crate::Content::encode`]), `summary`, and `digest` where there is one.
    ///
    /// # Errors
    /// [`SealError::TooLarge`].
    pub fn seal<R: RngCore + CryptoRng>(
        &self,
        rng: &mut R,
        now_ms: u64,
        recipient: &PublicKey,
        content: &[u8],
        summary: &[u8],
        digest: Option<&[u8]>,
    ) -> Result<SealedMessage, SealError> {
        self.seal_all(rng, now_ms, recipient, Plaintexts { content, summary, digest, trigrams: None })
    }

    /// Seals all there is of one message.
    ///
    /// Draws from `rng`, in this order: the ephemeral key when an epoch begins (32 octets), the content id
    /// (16), and a nonce (12) each for content, summary, digest and trigrams.
    ///
    /// # Errors
    /// [`SealError::TooLarge`].
    pub fn seal_all<R: RngCore + CryptoRng>(
        &self,
        rng: &mut R,
        now_ms: u64,
        recipient: &PublicKey,
        plaintexts: Plaintexts<'_>,
    ) -> Result<SealedMessage, SealError> {
        let Plaintexts { content, summary, digest, trigrams } = plaintexts;
        for plaintext in [content, summary, digest.unwrap_or_default(), trigrams.unwrap_or_default()] {
            if plaintext.len() > PLAINTEXT_BYTES_MAX {
                return Err(SealError::TooLarge(plaintext.len()));
            }
        }
        let (ephemeral, prk) = self.agreement(rng, now_ms, recipient);
        let mut content_id = ContentId([0; 16]);
        rng.fill_bytes(&mut content_id.0);
        let binding = Binding {
            scheme: self.scheme,
            algorithm: self.algorithm,
            ephemeral,
            from: *self.author.public_key().as_bytes(),
            to: *recipient.as_bytes(),
            content_id,
        };
        let draft = Draft { binding, nonce: aead::random_nonce(rng), timestamp_ms: now_ms };
        let (id, content) = self.seal_content(&prk, &draft, content);
        let mut part = |purpose, plaintext| seal_part(rng, &prk, &binding, purpose, plaintext);
        let summary = part(Purpose::Summary, summary);
        let digest = digest.map(|digest| part(Purpose::Digest, digest));
        let trigrams = trigrams.map(|trigrams| part(Purpose::Trigrams, trigrams));
        Ok(SealedMessage { id, content_id, content, summary, digest, trigrams })
    }

    /// Leaves room for prefix and header, encrypts in place behind it, and writes them last: the header
    /// names the ciphertext's hash, and its length is known before.
    fn seal_content(&self, prk: &[u8; 32], draft: &Draft, plaintext: &[u8]) -> (MessageId, Vec<u8>) {
        let ad = draft.ad();
        let header_bytes = ad.len() + Draft::STORED_EXTRA;
        let start = CONTENT_PREFIX_BYTES + header_bytes;
        let mut blob = Vec::with_capacity(start + padded_len(plaintext.len()) + TAG_BYTES);
        blob.resize(start, 0);
        pad_onto(&mut blob, plaintext);
        let key = derive(prk, &draft.binding, Purpose::Content);
        self.algorithm.seal_from(&key, draft.nonce, &ad, &mut blob, start);
        let (id, header) = draft.stored(&self.author, sha256(&blob[start..]));
        blob[..2].copy_from_slice(&[BLOB_VERSION, Purpose::Content.code()]);
        let length = u32::try_from(header_bytes).expect("a header of ours has some 700 octets");
        blob[2..CONTENT_PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
        blob[CONTENT_PREFIX_BYTES..start].copy_from_slice(&header);
        (id, blob)
    }

    fn agreement<R: RngCore + CryptoRng>(
        &self,
        rng: &mut R,
        now_ms: u64,
        recipient: &PublicKey,
    ) -> ([u8; 32], Zeroizing<[u8; 32]>) {
        if self.scheme == Scheme::Ecies1 {
            let epoch = Epoch::begin(rng, now_ms, recipient);
            return (epoch.ephemeral, epoch.prk);
        }
        {
            let mut epochs = self.lock();
            if let Some(epoch) = epochs.get_mut(recipient).filter(|epoch| epoch.serves(now_ms)) {
                epoch.mails += 1;
                return (epoch.ephemeral, epoch.prk.clone());
            }
        }
        // Outside the lock: two threads may both begin one, which harms nobody.
        let epoch = Epoch { mails: 1, ..Epoch::begin(rng, now_ms, recipient) };
        let mut epochs = self.lock();
        if epochs.len() >= SEALER_EPOCHS_MAX && !epochs.contains_key(recipient) {
            epochs.retain(|_, epoch| epoch.serves(now_ms));
            if epochs.len() >= SEALER_EPOCHS_MAX {
                epochs.clear();
            }
        }
        epochs.insert(*recipient, epoch.clone());
        (epoch.ephemeral, epoch.prk)
    }

    /// Wipes epochs that are over. For the house to call every minute: an idle bridge should hold no secrets.
    pub fn forget_old(&self, now_ms: u64) {
        self.lock().retain(|_, epoch| epoch.serves(now_ms));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PublicKey, Epoch>> {
        // Nothing inside a lock can leave the map half changed.
        self.epochs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({}, {}, {})", self.author.public_key(), self.scheme.name(), self.algorithm.name())
    }
}

fn seal_part<R: RngCore + CryptoRng>(
    rng: &mut R,
    prk: &[u8; 32],
    binding: &Binding,
    purpose: Purpose,
    plaintext: &[u8],
) -> Vec<u8> {
    let nonce = aead::random_nonce(rng);
    let prefix = prefix(binding, purpose, &nonce);
    let mut blob = Vec::with_capacity(PREFIX_BYTES + padded_len(plaintext.len()) + TAG_BYTES);
    blob.extend_from_slice(&prefix);
    pad_onto(&mut blob, plaintext);
    let key = derive(prk, binding, purpose);
    binding.algorithm.seal_from(&key, nonce, &prefix, &mut blob, PREFIX_BYTES);
    blob
}
