//! The bridge's own secrets on disk: bridge key, identity, DKIM key.
//!
//! The bridge key comes from a systemd credential (`$CREDENTIALS_DIRECTORY/bridge-key`) where there is one,
//! else from `DIR/keys/bridge.key`, 0600. Identity and DKIM key lie beside it, sealed under the bridge key.

use std::io;

use anyhow::{Context, bail};
use lnmp::{BridgeKey, Identity, open_secret, seal_secret};
use rand::rngs::OsRng;
use smtp::{DkimKey, SignError};
use zeroize::Zeroizing;

use crate::dir::{Dir, write_durably};

/// What `keys/identity` is sealed for.
const IDENTITY_CONTEXT: &[u8] = b"satchel/bridge-identity";
/// What `keys/dkim` is sealed for.
const DKIM_CONTEXT: &[u8] = b"satchel/dkim-key";
/// Selector of the DKIM key. A rotated key gets another one.
const DKIM_SELECTOR: &str = "satchel1";

/// The bridge's secrets.
pub struct Keys {
    bridge: BridgeKey,
    identity: Identity,
    /// PKCS #8, Ed25519.
    dkim: Zeroizing<Vec<u8>>,
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
        let dkim = dkim_key(dir, &bridge)?;
        Ok(Self { bridge, identity, dkim })
    }

    /// Signs what leaves the bridge for `domain`, one of ours (RFC 6376, RFC 8463).
    pub fn dkim(&self, domain: &str) -> Result<DkimKey, SignError> {
        DkimKey::from_pkcs8(domain, DKIM_SELECTOR, &self.dkim)
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
            let pkcs8 = Zeroizing::new(DkimKey::generate_ed25519()?);
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
