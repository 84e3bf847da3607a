//! The wallet the config names: the embedded node in its sandbox, or a node that somebody else runs.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use lightning::nwc::ConnectionUri;
use lightning::{Backend, Pace, RemoteConfig, RemoteWallet, Sandbox, Wallet};
use zeroize::Zeroizing;

use crate::config::{Config, ConfigError, WalletBackend};
use crate::house::House;

/// Octets of a secret's file: an LND macaroon with many caveats is under two thousand.
const SECRET_BYTES_MAX: u64 = 16 << 10;

/// Opens it; the sandbox beside it where the node is our own.
pub async fn open(house: &House) -> anyhow::Result<(Arc<dyn Wallet>, Option<Arc<Sandbox>>)> {
    let Some(backend) = backend(&house.config)? else {
        let key = house.keys.bridge().subkey("lightning-seeds");
        let sandbox = Sandbox::start(&house.dir.lightning(), &key).await;
        let sandbox = Arc::new(sandbox.context("the sandbox's Lightning nodes do not start")?);
        return Ok((sandbox.wallet(), Some(sandbox)));
    };
    let name = house.config.wallet.backend.name();
    let remote = RemoteConfig { backend, dir: house.dir.lightning().join(name), pace: Pace::default() };
    let wallet = RemoteWallet::open(remote).await;
    let wallet: Arc<dyn Wallet> = Arc::new(wallet.with_context(|| format!("the wallet of [wallet] ({name})"))?);
    if !wallet.can_hold() {
        tracing::warn!(
            "the wallet of [wallet] ({name}) cannot hold payments: no author is asked for one, and strangers' mail stays \
             in Unpaid until its owner moves it"
        );
    }
    Ok((wallet, None))
}

/// How the node is reached; `None` for the embedded one. Reads the files, so that a mistake is found before a start.
pub fn backend(config: &Config) -> Result<Option<Backend>, ConfigError> {
    let wallet = &config.wallet;
    let address = wallet.address.clone();
    let certificate = || {
        let path = &wallet.certificate;
        if path.as_os_str().is_empty() {
            Ok(None)
        } else {
            read("wallet.certificate", path).map(|pem| Some(pem.to_vec()))
        }
    };
    Ok(Some(match wallet.backend {
        WalletBackend::Embedded => return Ok(None),
        WalletBackend::Lnd => {
            Backend::Lnd { address, certificate: certificate()?, macaroon: secret(&wallet.secret_file)? }
        }
        WalletBackend::Cln => {
            Backend::Cln { address, certificate: certificate()?, rune: secret_text(&wallet.secret_file)? }
        }
        WalletBackend::Nwc => {
            let uri = secret_text(&wallet.secret_file)?;
            ConnectionUri::parse(&uri).map_err(|error| {
                ConfigError(format!("key `wallet.secret_file`: {}: {error}", wallet.secret_file.display()))
            })?;
            Backend::Nwc { uri }
        }
        WalletBackend::Phoenixd => Backend::Phoenixd { address, password: secret_text(&wallet.secret_file)? },
    }))
}

/// A secret, from a file nobody else can read.
fn secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let told = |what: String| ConfigError(format!("key `wallet.secret_file`: {}: {what}", path.display()));
    let meta = std::fs::metadata(path).map_err(|error| told(format!("cannot be read: {error}")))?;
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(told("can be read by others than its owner; allowed: mode 0600 (chmod 600 it)".into()));
    }
    let bytes = read("wallet.secret_file", path)?;
    if bytes.is_empty() {
        return Err(told("is empty".into()));
    }
    Ok(bytes)
}

fn secret_text(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let bytes = secret(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        ConfigError(format!("key `wallet.secret_file`: {}: is no text: is it the right file?", path.display()))
    })?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

fn read(key: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let told = |what: String| ConfigError(format!("key `{key}`: {}: {what}", path.display()));
    let meta = std::fs::metadata(path).map_err(|error| told(format!("cannot be read: {error}")))?;
    if meta.len() > SECRET_BYTES_MAX {
        return Err(told(format!("is too long; allowed: {SECRET_BYTES_MAX} octets")));
    }
    std::fs::read(path).map(Zeroizing::new).map_err(|error| told(format!("cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(backend: &str, secret: &Path) -> Config {
        let address = if backend == "nwc" { "" } else { "address = \"https://127.0.0.1:1\"\n" };
        let text = format!("[wallet]\nbackend = \"{backend}\"\n{address}secret_file = \"{}\"\n", secret.display());
        Config::parse(&text, "f.toml").unwrap()
    }

    #[test]
    fn a_secret_is_read_from_a_file_that_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let wrong = |config: &Config| backend(config).err().unwrap().to_string();
        assert!(wrong(&config("lnd", &path)).contains("wallet.secret_file"), "a missing file is named");
        std::fs::write(&path, "secret words\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = wrong(&config("cln", &path));
        assert!(refused.contains("0600") && !refused.contains("words"), "{refused}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let Ok(Some(Backend::Cln { rune, certificate: None, .. })) = backend(&config("cln", &path)) else {
            panic!("a rune")
        };
        assert_eq!(rune.as_str(), "secret words");
        assert!(matches!(backend(&config("lnd", &path)), Ok(Some(Backend::Lnd { .. }))));
        let refused = wrong(&config("nwc", &path));
        assert!(refused.contains("nostr+walletconnect") && !refused.contains("words"), "{refused}");
        assert!(matches!(backend(&config("phoenixd", &path)), Ok(Some(Backend::Phoenixd { .. }))));
        std::fs::write(&path, "").unwrap();
        assert!(wrong(&config("lnd", &path)).contains("is empty"));
        assert!(matches!(backend(&Config::default()), Ok(None)));
    }
}
