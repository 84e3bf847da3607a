//! The bridge's own secrets on disk: bridge key, identity, DKIM key.
//!
//! The bridge key comes from a systemd credential (`$CREDENTIALS_DIRECTORY/bridge-key`) where there is one,
//! else from `DIR/keys/bridge.key`, 0600. Identity and DKIM key lie beside it, sealed under the bridge key.

use std::io;

use anyhow::{Context, bail};
use lnmp::{BridgeKey, Identity, open_secret, seal_secret};
use rand::rngs::OsRng;
use smtp::{DkimKey, DkimKind};
use zeroize::Zeroizing;

use crate::dir::{Dir, write_durably};
use crate::dkim::DkimKeys;

/// What `keys/identity` is sealed for.
const IDENTITY_CONTEXT: &[u8] = b"satchel/bridge-identity";
/// What `keys/dkim` is sealed for.
const DKIM_CONTEXT: &[u8] = b"satchel/dkim-key";

/// The bridge's secrets.
pub struct Keys {
    bridge: BridgeKey,
    identity: Identity,
    /// Sign what leaves the bridge (RFC 6376, RFC 8463).
    pub dkim: DkimKeys,
}

impl Keys {
    /// Reads the secrets, making them on first use. Each file is written whole before anything depends on it.
    pub fn open(dir: &Dir) -> anyhow::Result<Self> {
        let bridge = bridge_key(dir)?;
        let path = dir.keys().join("identity");
        let key = bridge.subkey("identity");
        let identity = match std::fs::read(&path) {
            Ok(sealed) => {
                let secret = open_secret(&key, IDENTITY_CONTEXT, &sealed).with_context(|| {
                    format!("{}: not sealed under this bridge key; do both come from the same DIR?", path.display())
                })?;
                let entropy: &[u8] = &secret;
                Identity::from_entropy(entropy).with_context(|| format!("{}: damaged", path.display()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if dir.database().exists() {
                    bail!("{}: missing, but {} exists; put the key back", path.display(), dir.database().display());
                }
                let identity = Identity::generate(&mut OsRng);
                let entropy = identity.seed_entropy().expect("generated from entropy just now");
                write_durably(&path, &seal_secret(&mut OsRng, &key, IDENTITY_CONTEXT, entropy))?;
                identity
            }
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let dkim = DkimKeys::open(dir.keys().join("dkim.json"), bridge.subkey("dkim-keys"), || dkim_key(dir, &bridge))?;
        Ok(Self { bridge, identity, dkim })
    }

    /// Tags the reverse-path of mail that goes out.
    pub fn return_path(&self) -> ring::hmac::Key {
        ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &*self.bridge.subkey("return-path"))
    }

    /// Encrypts what the server needs while nobody is logged in.
    pub fn bridge(&self) -> &BridgeKey {
        &self.bridge
    }

    /// Signs what the bridge seals.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// The first DKIM key, which all domains share: an Ed25519 one, because an RSA key takes time to make.
fn dkim_key(dir: &Dir, bridge: &BridgeKey) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let path = dir.keys().join("dkim");
    let key = bridge.subkey("dkim");
    match std::fs::read(&path) {
        Ok(sealed) => {
            let pkcs8 = open_secret(&key, DKIM_CONTEXT, &sealed)
                .with_context(|| format!("{}: not sealed under this bridge key", path.display()))?;
            Ok(Zeroizing::new(pkcs8))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let pkcs8 = DkimKey::generate(DkimKind::Ed25519)?;
            write_durably(&path, &seal_secret(&mut OsRng, &key, DKIM_CONTEXT, &pkcs8))?;
            Ok(pkcs8)
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn bridge_key(dir: &Dir) -> anyhow::Result<BridgeKey> {
    let credential =
        std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| std::path::Path::new(&folder).join("bridge-key"));
    let path = match credential {
        Some(path) if path.exists() => path,
        _ => dir.keys().join("bridge.key"),
    };
    match std::fs::read(&path) {
        Ok(bytes) => {
            let Ok(bytes) = <[u8; 32]>::try_from(bytes.as_slice()) else {
                bail!("{}: a bridge key is 32 octets, this has {}", path.display(), bytes.len());
            };
            Ok(BridgeKey::from_bytes(bytes))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if dir.database().exists() {
                bail!(
                    "{}: missing, but {} exists and cannot be read without it; put the key back",
                    path.display(),
                    dir.database().display()
                );
            }
            let key = BridgeKey::generate(&mut OsRng);
            write_durably(&path, key.reveal())?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}
