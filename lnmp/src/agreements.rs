//! What an opener agreed with the ephemeral keys of its messages, kept for its next session (protocol.md §10; local,
//! never on the wire).
//!
//! A key agreement takes ten times what decrypting a small mail does, and its result is always the same. Whoever can
//! open a page of them has the key to compute them all: nothing is given away, only time saved. A page that is missing
//! or damaged costs that time again.
//!
//! ```text
//!   page = version ‖ algorithm ‖ nonce ‖ sealed( (message (8) ‖ ephemeral (32) ‖ agreed secret (32)) … )
//! ```

use rand::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::aead::{self, Algorithm, NONCE_BYTES};
use crate::{Opener, PublicKey};

/// Names the purpose in the key and the associated data.
const PURPOSE: &[u8] = b"lnmp-agreements/1";
/// First octet of a page.
const VERSION: u8 = 1;
/// Octets before the sealed ones.
const PREFIX_BYTES: usize = 2 + NONCE_BYTES;
/// Octets of one agreement.
const AGREEMENT_BYTES: usize = 8 + 32 + 32;

/// What was agreed with one ephemeral key.
pub struct Agreement {
    /// The message that was opened with it, by its keeper's number: when that is deleted, this may go too.
    pub message: i64,
    pub(crate) ephemeral: [u8; 32],
    pub(crate) agreed: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Agreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agreement").field("message", &self.message).finish_non_exhaustive()
    }
}

impl Opener {
    /// Seals some agreements under a key of this opener's own identity.
    pub fn seal_agreements<R: RngCore + CryptoRng>(&self, rng: &mut R, agreements: &[Agreement]) -> Vec<u8> {
        let (algorithm, nonce) = (Algorithm::fastest(), aead::random_nonce(rng));
        let mut page = Vec::with_capacity(PREFIX_BYTES + agreements.len() * AGREEMENT_BYTES + aead::TAG_BYTES);
        page.extend_from_slice(&[VERSION, algorithm.code()]);
        page.extend_from_slice(&nonce);
        for Agreement { message, ephemeral, agreed } in agreements {
            page.extend_from_slice(&message.to_be_bytes());
            page.extend_from_slice(ephemeral);
            page.extend_from_slice(agreed.as_ref());
        }
        let ad = associated(&self.public_key(), algorithm);
        algorithm.seal_from(&self.page_key(), nonce, &ad, &mut page, PREFIX_BYTES);
        page
    }

    /// The agreements of a page; `None` when it is damaged, of another version, or another opener's.
    pub fn open_agreements(&self, page: &[u8]) -> Option<Vec<Agreement>> {
        let (prefix, sealed) = page.split_first_chunk::<PREFIX_BYTES>()?;
        if prefix[0] != VERSION {
            return None;
        }
        let algorithm = Algorithm::from_code(prefix[1])?;
        let nonce = std::array::from_fn(|i| prefix[2 + i]);
        let ad = associated(&self.public_key(), algorithm);
        let plain = Zeroizing::new(algorithm.open(&self.page_key(), nonce, &ad, sealed)?);
        let agreements = plain.chunks_exact(AGREEMENT_BYTES);
        if !agreements.remainder().is_empty() {
            return None;
        }
        let agreement = |octets: &[u8]| {
            let (message, keys) = octets.split_first_chunk::<8>()?;
            let (ephemeral, agreed) = keys.split_first_chunk::<32>()?;
            let agreed = Zeroizing::new(<[u8; 32]>::try_from(agreed).ok()?);
            Some(Agreement { message: i64::from_be_bytes(*message), ephemeral: *ephemeral, agreed })
        };
        agreements.map(agreement).collect()
    }

    fn page_key(&self) -> Zeroizing<[u8; 32]> {
        let secret = self.identity().secret_bytes();
        aead::expand(&aead::extract(PURPOSE, secret.reveal()), &[PURPOSE, self.public_key().as_bytes()])
    }
}

fn associated(owner: &PublicKey, algorithm: Algorithm) -> Vec<u8> {
    [PURPOSE, owner.as_bytes(), &[VERSION, algorithm.code()]].concat()
}

#[cfg(test)]
mod tests {
    use rand::rngs::OsRng;

    use super::*;
    use crate::{Algorithm, Identity, Scheme, Sealer};

    /// Summaries sealed to somebody, each under an agreement of its own.
    fn summaries(to: &Identity) -> Vec<Vec<u8>> {
        let sealer = Sealer::with(&Identity::generate(&mut OsRng), Scheme::Ecies1, Algorithm::fastest());
        let seal = |_| sealer.seal(&mut OsRng, 1, &to.public_key(), b"content", b"summary", None).unwrap().summary;
        (0..4).map(seal).collect()
    }

    /// The agreements a new opener comes to by opening `blobs`, numbered from 0.
    fn computed(opener: &Opener, blobs: &[Vec<u8>]) -> Vec<Agreement> {
        for blob in blobs {
            opener.open_summary(blob).unwrap();
        }
        (0..).zip(blobs).filter_map(|(number, blob)| opener.take_computed(number, blob)).collect()
    }

    #[test]
    fn what_one_session_agreed_the_next_one_knows() {
        let alice = Identity::generate(&mut OsRng);
        let (blobs, first) = (summaries(&alice), Opener::new(&alice));
        assert!(!first.has_computed());
        let agreements = computed(&first, &blobs);
        assert_eq!(agreements.iter().map(|agreement| agreement.message).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(!first.has_computed() && computed(&first, &blobs).is_empty(), "each is taken once");
        let page = first.seal_agreements(&mut OsRng, &agreements);

        let second = Opener::new(&alice);
        second.learn(&second.open_agreements(&page).unwrap());
        for blob in &blobs {
            assert_eq!(second.open_summary(blob).unwrap(), b"summary");
        }
        assert!(!second.has_computed(), "none was computed again");
        assert_eq!(second.open_agreements(&first.seal_agreements(&mut OsRng, &[])).unwrap().len(), 0);
    }

    #[test]
    fn a_page_opens_unchanged_and_for_its_owner_or_not_at_all() {
        let (alice, bob) = (Identity::generate(&mut OsRng), Identity::generate(&mut OsRng));
        let (opener, blobs) = (Opener::new(&alice), summaries(&alice));
        let page = opener.seal_agreements(&mut OsRng, &computed(&opener, &blobs[..2]));
        assert_eq!(opener.open_agreements(&page).unwrap().len(), 2);
        assert!(Opener::new(&bob).open_agreements(&page).is_none());
        for at in 0..page.len() {
            let mut changed = page.clone();
            changed[at] ^= 1;
            assert!(opener.open_agreements(&changed).is_none(), "octet {at}");
            assert!(opener.open_agreements(&page[..at]).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn a_wrong_agreement_only_costs_time() {
        let alice = Identity::generate(&mut OsRng);
        let (blobs, opener) = (summaries(&alice), Opener::new(&alice));
        let mut agreements = computed(&Opener::new(&alice), &blobs);
        for agreement in &mut agreements {
            agreement.agreed[0] ^= 1;
        }
        opener.learn(&agreements);
        assert_eq!(opener.open_summary(&blobs[0]).unwrap(), b"summary");
        assert!(opener.take_computed(7, &blobs[0]).is_some());
    }
}
