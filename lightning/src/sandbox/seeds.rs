//! The sandbox's seeds: made once, encrypted at rest, readable by their owner alone.
//!
//! `nonce (12) | ChaCha20-Poly1305(key, nonce, aad = file name, 64 octets) (80)`, RFC 8439.

use std::path::Path;

use rand::RngCore;
use rand::rngs::OsRng;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::SandboxError;
use crate::records::write_atomic;

/// 64 octets a wallet is derived from.
pub(super) type Seed = Zeroizing<[u8; 64]>;

/// Reads the seed kept in `dir/name`, or makes and keeps one.
pub(super) fn load_or_make(dir: &Path, name: &str, key: &[u8; 32]) -> Result<Seed, SandboxError> {
    let path = dir.join(name);
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| SandboxError::Bug("key length".into()))?;
    let key = LessSafeKey::new(key);
    let aad = Aad::from(name.as_bytes());
    match std::fs::read(&path) {
        Ok(sealed) => {
            let wrong = || SandboxError::WrongKey(path.clone());
            let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(wrong)?;
            let mut opened = Zeroizing::new(sealed.to_vec());
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let plain = key.open_in_place(nonce, aad, &mut opened).map_err(|_| wrong())?;
            let mut seed = Zeroizing::new([0; 64]);
            if plain.len() != seed.len() {
                return Err(wrong());
            }
            seed.copy_from_slice(plain);
            Ok(seed)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut seed = Zeroizing::new([0; 64]);
            OsRng.fill_bytes(&mut *seed);
            let mut nonce = [0; NONCE_LEN];
            OsRng.fill_bytes(&mut nonce);
            // Room for the tag: a reallocation would leave the plaintext behind in freed memory.
            let mut sealed = Vec::with_capacity(seed.len() + CHACHA20_POLY1305.tag_len());
            sealed.extend_from_slice(&*seed);
            key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
                .map_err(|_| SandboxError::Bug("sealing a seed".into()))?;
            write_atomic(&path, &[&nonce[..], &sealed].concat())?;
            Ok(seed)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_made_once_and_opens_only_under_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_make(dir.path(), "bridge.seed", &[7; 32]).unwrap();
        assert_eq!(first, load_or_make(dir.path(), "bridge.seed", &[7; 32]).unwrap());
        assert!(matches!(load_or_make(dir.path(), "bridge.seed", &[8; 32]), Err(SandboxError::WrongKey(_))));
        let sealed = std::fs::read(dir.path().join("bridge.seed")).unwrap();
        assert!(!sealed.windows(16).any(|part| part == &first[..16]), "the file holds no plaintext");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(dir.path().join("bridge.seed")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
