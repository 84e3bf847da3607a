//! An opening key, wrapped for another identity: how a user reads mail that was sealed to somebody who shared it
//! (protocol.md §10; local, never on the wire).
//!
//! ```text
//!   wrap = ephemeral key (32) ‖ the owner's secret key sealed under HKDF(ECDH(ephemeral, sharee), all three keys)
//! ```
//! Only the owner, or whoever holds the owner's key already, can make one; only the sharee can open it.

use rand::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::bridge_key::{open_secret, seal_secret};
use crate::seal::agree;
use crate::wrap::WrapError;
use crate::{Identity, Opener, PublicKey, aead};

/// Names the purpose in every key and every associated data here.
const PURPOSE: &[u8] = b"lnmp-share/1";

impl Opener {
    /// Wraps this opener's key for `sharee`: they can open all that this opener can, until the key changes.
    pub fn share_with<R: RngCore + CryptoRng>(&self, rng: &mut R, sharee: &PublicKey) -> Vec<u8> {
        let ephemeral = Identity::generate(rng);
        let point = ephemeral.public_key();
        let key = derive(&agree(&ephemeral.shared_x(sharee)), &point, &self.public_key(), sharee);
        let secret = self.identity().secret_bytes();
        let mut wrap = point.as_bytes().to_vec();
        wrap.extend_from_slice(&seal_secret(rng, &key, &associated(&self.public_key(), sharee), secret.reveal()));
        wrap
    }

    /// Opens a wrap that was made for this opener's identity, of `owner`'s key.
    ///
    /// # Errors
    /// [`WrapError::Malformed`] on octets of another shape, [`WrapError::Refused`] when it was made for or of
    /// somebody else.
    pub fn open_share(&self, owner: &PublicKey, wrap: &[u8]) -> Result<Self, WrapError> {
        let (point, sealed) = wrap.split_first_chunk::<32>().ok_or(WrapError::Malformed)?;
        let point = PublicKey::from_bytes(*point).map_err(|_| WrapError::Malformed)?;
        let sharee = self.public_key();
        let key = derive(&agree(&self.identity().shared_x(&point)), &point, owner, &sharee);
        let secret = Zeroizing::new(open_secret(&key, &associated(owner, &sharee), sealed)?);
        let secret = Zeroizing::new(<[u8; 32]>::try_from(secret.as_slice()).map_err(|_| WrapError::Malformed)?);
        let identity = Identity::from_secret_bytes(&secret).map_err(|_| WrapError::Malformed)?;
        if identity.public_key() == *owner { Ok(Self::new(&identity)) } else { Err(WrapError::Refused) }
    }
}

fn derive(prk: &[u8; 32], point: &PublicKey, owner: &PublicKey, sharee: &PublicKey) -> Zeroizing<[u8; 32]> {
    aead::expand(prk, &[PURPOSE, point.as_bytes(), owner.as_bytes(), sharee.as_bytes()])
}

fn associated(owner: &PublicKey, sharee: &PublicKey) -> Vec<u8> {
    [PURPOSE, owner.as_bytes(), sharee.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::OsRng;

    #[test]
    fn a_shared_key_opens_for_its_sharee_alone() {
        let [alice, bob, eve] = [(); 3].map(|()| Opener::new(&Identity::generate(&mut OsRng)));
        let wrap = alice.share_with(&mut OsRng, &bob.public_key());
        assert_eq!(bob.open_share(&alice.public_key(), &wrap).unwrap().public_key(), alice.public_key());
        assert!(eve.open_share(&alice.public_key(), &wrap).is_err());
        assert!(alice.open_share(&alice.public_key(), &wrap).is_err());
        assert!(bob.open_share(&eve.public_key(), &wrap).is_err(), "of another owner");
        for at in 0..wrap.len() {
            let mut changed = wrap.clone();
            changed[at] ^= 1;
            assert!(bob.open_share(&alice.public_key(), &changed).is_err(), "octet {at}");
            assert!(bob.open_share(&alice.public_key(), &wrap[..at]).is_err(), "cut at {at}");
        }
        assert_ne!(wrap, alice.share_with(&mut OsRng, &bob.public_key()), "nothing repeats");
    }
}
