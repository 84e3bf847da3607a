//! What lies on disk only as ciphertext or as a keyed hash (design section 5).
//!
//! ```text
//!   sealed value = run (8) ‖ counter (8) ‖ AES-256-GCM ciphertext and tag     key = HMAC(subkey, run)
//!   keyed hash   = HMAC-SHA256(subkey, purpose ‖ length-prefixed parts), the first 16 octets
//! ```
//! Every process run has a key of its own, named by 64 random bits, and counts its nonces: a nonce never
//! repeats under a key, however many values the house seals in its life.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use lnmp::BridgeKey;
use rand::RngCore;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroize;

use crate::limits::VAULT_RUNS_MAX;
use crate::{Result, StoreError};

/// Octets of a keyed hash: 128 bits, which nobody without the key can even begin to search.
const HASH_BYTES: usize = 16;
/// Octets before the ciphertext.
pub(super) const HEAD_BYTES: usize = 16;
/// Octets that sealing adds.
pub(super) const SEALED_EXTRA: usize = HEAD_BYTES + 16;

/// A keyed hash: equal inputs meet, and tell nothing else.
pub(super) type Hash = [u8; HASH_BYTES];

/// What a sealed value or a keyed hash is of; a value moved to another column does not open.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Of {
    /// An address of ours.
    Address = 1,
    /// A credential's label.
    Label,
    /// A contact's name.
    Contact,
    /// From and evidence of an unaligned author.
    Evidence,
    /// A Message-ID.
    MessageId,
    /// The recipient of a sent mail.
    Recipient,
    /// A mailbox name.
    Mailbox,
    /// A user's keywords.
    Keywords,
    /// A mail's author.
    Author,
    /// Author, recipient and the like of a gate.
    Parties,
    /// A mail's content, by its digest.
    Digest,
    /// A page: whose, and its token.
    Page,
    /// A preimage.
    Preimage,
    /// An invoice.
    Bolt11,
    /// An asked author.
    Asked,
    /// An asked author's domain.
    AskedDomain,
    /// An asked mail's DKIM signature.
    AskedDkim,
    /// A job.
    Job,
    /// An outgoing mail.
    Outgoing,
    /// Its body.
    Body,
    /// A small named value.
    Meta,
    /// A mail in the catch-all.
    Caught,
    /// An annotation's name or value.
    Annotation,
    /// What names a mailbox or message to a client.
    Object,
    /// An owner's choices.
    Settings,
    /// The ledger's history.
    Link,
    /// A quote's author.
    Quoted,
    /// A quote's author's domain.
    QuotedDomain,
    /// Where a refund goes, and the invoice it is paid by.
    Refund,
    /// What opens the door to a refund: its withdraw link, and the link that changes where it goes.
    RefundLink,
}

/// Seals, opens, hashes.
pub(super) struct Vault {
    root: hmac::Key,
    index: hmac::Key,
    run: [u8; 8],
    key: Arc<LessSafeKey>,
    counter: AtomicU64,
    past: RwLock<HashMap<[u8; 8], Arc<LessSafeKey>>>,
}

impl Vault {
    pub(super) fn new(bridge: &BridgeKey) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, &*bridge.subkey("satchel/store/seal/1"));
        let index = hmac::Key::new(hmac::HMAC_SHA256, &*bridge.subkey("satchel/store/index/1"));
        let mut run = [0; 8];
        rand::rngs::OsRng.fill_bytes(&mut run);
        let key = run_key(&root, &run);
        Self { root, index, run, key, counter: AtomicU64::new(0), past: RwLock::default() }
    }

    /// Encrypts octets.
    pub(super) fn seal(&self, of: Of, clear: &[u8]) -> Vec<u8> {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut out = Vec::with_capacity(HEAD_BYTES + clear.len() + AES_256_GCM.tag_len());
        out.extend_from_slice(&self.run);
        out.extend_from_slice(&counter);
        out.extend_from_slice(clear);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(counter), Aad::from([of as u8]), &mut out[HEAD_BYTES..])
            .expect("AES-GCM takes anything under 64 GiB");
        out.extend_from_slice(tag.as_ref());
        out
    }

    /// Decrypts them.
    pub(super) fn open(&self, of: Of, sealed: &[u8]) -> Result<Vec<u8>> {
        if sealed.len() < HEAD_BYTES + AES_256_GCM.tag_len() {
            return Err(damaged());
        }
        let run = sealed[..8].try_into().expect("length checked above");
        let counter = sealed[8..HEAD_BYTES].try_into().expect("length checked above");
        let mut out = sealed[HEAD_BYTES..].to_vec();
        let length = self
            .key_of(run)
            .open_in_place(nonce(counter), Aad::from([of as u8]), &mut out)
            .map_err(|_| damaged())?
            .len();
        out.truncate(length);
        Ok(out)
    }

    /// Encrypts a piece of something large, which opens in its `place` only. `piece` begins with room for
    /// [`HEAD_BYTES`], and is sealed where it is.
    pub(super) fn seal_piece(&self, of: Of, place: [u64; 3], piece: &mut Vec<u8>) {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        piece[..8].copy_from_slice(&self.run);
        piece[8..HEAD_BYTES].copy_from_slice(&counter);
        let aad = Aad::from(placed(of, place));
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(counter), aad, &mut piece[HEAD_BYTES..])
            .expect("AES-GCM takes anything under 64 GiB");
        piece.extend_from_slice(tag.as_ref());
    }

    /// Decrypts it, where it is.
    pub(super) fn open_piece<'p>(&self, of: Of, place: [u64; 3], piece: &'p mut [u8]) -> Result<&'p [u8]> {
        let (head, sealed) = piece.split_first_chunk_mut::<HEAD_BYTES>().ok_or_else(damaged)?;
        let [run, counter] = [&head[..8], &head[8..]].map(|half| half.try_into().expect("half of sixteen"));
        let key = self.key_of(run);
        let plain = key.open_in_place(nonce(counter), Aad::from(placed(of, place)), sealed).map_err(|_| damaged())?;
        Ok(plain)
    }

    /// Decrypts text.
    pub(super) fn open_text(&self, of: Of, sealed: &[u8]) -> Result<String> {
        String::from_utf8(self.open(of, sealed)?).map_err(|_| damaged())
    }

    /// Encrypts a value as JSON.
    pub(super) fn seal_json<T: Serialize>(&self, of: Of, value: &T) -> Vec<u8> {
        let mut text = serde_json::to_vec(value).expect("our own plain data has a JSON form");
        let sealed = self.seal(of, &text);
        text.zeroize();
        sealed
    }

    /// Decrypts a value.
    pub(super) fn open_json<T: DeserializeOwned>(&self, of: Of, sealed: &[u8]) -> Result<T> {
        serde_json::from_slice(&self.open(of, sealed)?).map_err(|_| damaged())
    }

    /// A keyed hash of `parts`, unambiguous where one part ends.
    pub(super) fn hash(&self, of: Of, parts: &[&[u8]]) -> Hash {
        let mut context = hmac::Context::with_key(&self.index);
        context.update(&[of as u8]);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign().as_ref()[..HASH_BYTES].try_into().expect("SHA-256 has 32 octets")
    }

    fn key_of(&self, run: [u8; 8]) -> Arc<LessSafeKey> {
        if run == self.run {
            return self.key.clone();
        }
        if let Some(key) = self.past.read().expect("no holder of this lock panics").get(&run) {
            return key.clone();
        }
        let key = run_key(&self.root, &run);
        let mut past = self.past.write().expect("no holder of this lock panics");
        if past.len() >= VAULT_RUNS_MAX {
            past.clear();
        }
        past.insert(run, key.clone());
        key
    }
}

fn run_key(root: &hmac::Key, run: &[u8; 8]) -> Arc<LessSafeKey> {
    let key = hmac::sign(root, run);
    Arc::new(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).expect("HMAC-SHA256 gives 32 octets")))
}

fn nonce(counter: [u8; 8]) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter);
    Nonce::assume_unique_for_key(nonce)
}

/// What a piece is of and where it belongs.
fn placed(of: Of, place: [u64; 3]) -> [u8; 25] {
    let mut aad = [of as u8; 25];
    for (eight, number) in aad[1..].chunks_exact_mut(8).zip(place) {
        eight.copy_from_slice(&number.to_be_bytes());
    }
    aad
}

fn damaged() -> StoreError {
    StoreError::Damaged("a sealed value does not open under this bridge key".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> BridgeKey {
        BridgeKey::from_bytes([7; 32])
    }

    #[test]
    fn a_value_sealed_in_one_run_opens_in_the_next_and_only_for_its_purpose() {
        let sealed = Vault::new(&key()).seal(Of::Contact, b"bob@shop.test");
        let later = Vault::new(&key());
        assert_eq!(later.open_text(Of::Contact, &sealed).unwrap(), "bob@shop.test");
        assert!(later.open(Of::Mailbox, &sealed).is_err());
        assert!(Vault::new(&BridgeKey::from_bytes([8; 32])).open(Of::Contact, &sealed).is_err());
        assert!(later.open(Of::Contact, &sealed[..20]).is_err());
    }

    #[test]
    fn a_piece_opens_in_its_place_and_nowhere_else() {
        let vault = Vault::new(&key());
        let mut piece = [&[0; HEAD_BYTES][..], b"a piece"].concat();
        vault.seal_piece(Of::Body, [1, 2, 3], &mut piece);
        assert_eq!(piece.len(), 7 + SEALED_EXTRA);
        for place in [[2, 2, 3], [1, 1, 3], [1, 2, 4], [2, 1, 3]] {
            assert!(vault.open_piece(Of::Body, place, &mut piece.clone()).is_err());
        }
        assert!(vault.open_piece(Of::Outgoing, [1, 2, 3], &mut piece.clone()).is_err());
        assert!(vault.open(Of::Body, &piece).is_err());
        assert_eq!(Vault::new(&key()).open_piece(Of::Body, [1, 2, 3], &mut piece).unwrap(), b"a piece");
        assert!(vault.open_piece(Of::Body, [1, 2, 3], &mut [0; 9]).is_err());
    }

    #[test]
    fn a_keyed_hash_is_the_same_in_every_run_and_knows_where_parts_end() {
        let (a, b) = (Vault::new(&key()), Vault::new(&key()));
        assert_eq!(a.hash(Of::Contact, &[b"1", b"bob"]), b.hash(Of::Contact, &[b"1", b"bob"]));
        assert_ne!(a.hash(Of::Contact, &[b"1", b"bob"]), a.hash(Of::Contact, &[b"1b", b"ob"]));
        assert_ne!(a.hash(Of::Contact, &[b"bob"]), a.hash(Of::Page, &[b"bob"]));
    }
}
