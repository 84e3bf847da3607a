//! The wallet the config names: the embedded node, in its sandbox or on a real network, or a node that somebody else runs.

pub mod seed;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use lightning::chain::SourceTip;
use lightning::node::{LdkNode, Liquidity, NodeConfig, NodeRuntime, Provider, Service};
use lightning::nwc::ConnectionUri;
use lightning::{
    Backend, ChainSource, ChainWatch, LaterWallet, NotYet, Opener, Pace, RemoteConfig, RemoteWallet, Sandbox, Wallet,
};
use lnmp::Msat;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::config::{ChainKind, Config, ConfigError, WalletBackend};
use crate::house::House;

/// The key that names it.
const SECRET: &str = "wallet.secret_file";
/// Octets of a secret's file: an LND macaroon with many caveats is under two thousand.
const SECRET_BYTES_MAX: u64 = 16 << 10;

/// The name under which the database notes how often the node's state was opened; the network's follows.
const OPENED: &str = "node-opened/";

/// Forgets how often the node's state was opened: for a directory that has none because it was restored.
pub async fn forget_state(house: &House) -> anyhow::Result<()> {
    Ok(house.store.set_meta(&format!("{OPENED}{}", house.config.network.name()), b"0").await?)
}

/// Opens it; the sandbox beside it where the node is our own. A wallet that is away comes later.
pub async fn open(house: &House) -> anyhow::Result<(Arc<dyn Wallet>, Option<Arc<Sandbox>>)> {
    let config = &house.config;
    if config.has_sandbox() {
        let key = house.keys.bridge().subkey("lightning-seeds");
        let sandbox = Sandbox::start_with(&house.dir.lightning(), &key, liquidity(&house.config)?).await;
        let sandbox = Arc::new(sandbox.context("the sandbox's Lightning nodes do not start")?);
        return Ok((sandbox.wallet(), Some(sandbox)));
    }
    let name = config.wallet.backend.name();
    let (opener, what) = match backend(config)? {
        None => (embedded(house)?, format!("the embedded node ({})", place(config))),
        Some(_) => (remote(house), format!("the wallet of [wallet] ({name})")),
    };
    let can_hold = config.wallet.backend != WalletBackend::Phoenixd;
    let wallet = LaterWallet::open(opener, can_hold).await.map_err(|why| anyhow!("{what}: {why}"))?;
    if !wallet.can_hold() {
        tracing::warn!(
            "the wallet of [wallet] ({name}) cannot hold payments: no author is asked for one, and strangers' mail stays \
             in Unpaid until its owner moves it"
        );
    }
    Ok((wallet, None))
}

/// Where the embedded node's channels come from. Reads the files, so that a mistake is found before a start.
pub fn liquidity(config: &Config) -> Result<Liquidity, ConfigError> {
    let channels = &config.channels;
    let token = |key: &str, path: &Path| {
        if path.as_os_str().is_empty() { Ok(None) } else { secret_text(key, path).map(Some) }
    };
    let provider = match channels.provider() {
        Some((node_id, address)) => Some(Provider {
            node_id: node_id.to_owned(),
            address: address.to_owned(),
            token: token("channels.token_file", &channels.token_file)?,
        }),
        None => None,
    };
    let msat = |sat: u64| Msat(sat.saturating_mul(1000));
    let service = if channels.service {
        Some(Service {
            fee_min: msat(channels.service_fee_sat),
            fee_ppm: channels.service_fee_ppm,
            payment_min: msat(channels.service_min_sat),
            payment_max: msat(channels.service_max_sat),
            token: token("channels.service_token_file", &channels.service_token_file)?,
        })
    } else {
        None
    };
    Ok(Liquidity { provider, service })
}

/// The network, and who tells of its blocks, in words.
pub fn place(config: &Config) -> String {
    let (network, chain) = (config.network.name(), &config.chain);
    match chain.source {
        ChainKind::None => network.to_owned(),
        kind => format!("{network} over {} at {}", kind.name(), chain.address),
    }
}

/// Where the node and its chain source are.
pub async fn chain(house: &House) -> anyhow::Result<Value> {
    let wallet = &house.running()?.wallet;
    let config = &house.config;
    let state = match wallet.away() {
        Some(_) => None,
        None => Some(wallet.chain().await?),
    };
    let seconds = |at: std::time::SystemTime| at.elapsed().unwrap_or_default().as_secs();
    Ok(json!({
        "backend": config.wallet.backend.name(),
        "network": config.network.name(),
        "source": config.chain.source.name(),
        "address": config.chain.address,
        "away": wallet.away(),
        "source_trouble": wallet.source_trouble(),
        "height": state.map(|state| state.height),
        "source_height": state.map(|state| state.source_height),
        "behind": state.map(|state| state.source_height.saturating_sub(state.height)),
        "synced_seconds_ago": state.and_then(|state| state.synced_at).map(seconds),
        "fresh": state.is_some_and(|state| state.fresh),
    }))
}

/// The embedded node on a network that is not the sandbox: its source is asked first, so that no node is built on
/// something that is not there.
fn embedded(house: &House) -> anyhow::Result<Opener> {
    let network = house.config.network;
    let dir = house.dir.node(network.name());
    let seed = seed::load_or_make(&house.dir, house.keys.bridge(), network.name())?;
    // A mistake in the config is found before the first attempt.
    chain_source(&house.config)?;
    liquidity(&house.config)?;
    let birth = seed::birth_height(&house.dir, network.name())?;
    let (config, store) = (house.config.clone(), Arc::clone(&house.store));
    let runtime = NodeRuntime::start()?;
    Ok(Arc::new(move || {
        let (config, dir, seed, runtime) = (config.clone(), dir.clone(), seed.clone(), Arc::clone(&runtime));
        let store = Arc::clone(&store);
        Box::pin(async move {
            // Read again each time: a bitcoind makes a new cookie at each start.
            let source = chain_source(&config).map_err(|error| NotYet::Away(error.0))?;
            let watch = ChainWatch::open(&source, network.bitcoin(), None).await?;
            let listen = match config.wallet.listen {
                None => None,
                Some(address) => Some(TcpListener::bind(address).map_err(|error| {
                    NotYet::Never(format!("{address} cannot be bound: {error}; change `listen` under [wallet]"))
                })?),
            };
            let noted = format!("{OPENED}{}", network.name());
            let times = store.get_meta(&noted).await.map_err(|error| NotYet::Away(error.to_string()))?;
            let times = times.and_then(|times| std::str::from_utf8(&times).ok()?.parse().ok());
            let node = NodeConfig {
                dir,
                seed,
                epoch: Some(times.unwrap_or(0)),
                network: network.bitcoin(),
                chain: source,
                // A chain of one's own may be shorter.
                birth_height: birth.map(|birth| birth.min(watch.tip().height)),
                source_tip: Arc::new(watch) as Arc<dyn SourceTip>,
                liquidity: liquidity(&config).map_err(|error| NotYet::Away(error.0))?,
                listen,
            };
            let opened = LdkNode::open(node, &runtime).await?;
            let times = opened.epoch().unwrap_or_default().to_string();
            store.set_meta(&noted, times.as_bytes()).await.map_err(|error| NotYet::Away(error.to_string()))?;
            let node: Arc<dyn Wallet> = Arc::new(opened);
            Ok(node)
        })
    }))
}

fn remote(house: &House) -> Opener {
    let config = house.config.clone();
    let dir = house.dir.lightning().join(config.wallet.backend.name());
    Arc::new(move || {
        let (config, dir) = (config.clone(), dir.clone());
        Box::pin(async move {
            let told = |error: ConfigError| NotYet::Away(error.0);
            let backend = backend(&config).map_err(told)?.ok_or_else(|| NotYet::Never("no wallet".into()))?;
            let wallet = RemoteWallet::open(RemoteConfig { backend, dir, pace: Pace::default() }).await?;
            let wallet: Arc<dyn Wallet> = Arc::new(wallet);
            Ok(wallet)
        })
    })
}

/// Where blocks come from, with its secret. Reads the files.
pub fn chain_source(config: &Config) -> Result<ChainSource, ConfigError> {
    let chain = &config.chain;
    let (user, password) = if chain.source != ChainKind::Bitcoind {
        (String::new(), Zeroizing::default())
    } else if chain.cookie_file.as_os_str().is_empty() {
        (chain.user.clone(), secret_text("chain.password_file", &chain.password_file)?)
    } else {
        // `__cookie__:` and a password; readable by a group where the operator says so (`rpccookieperms`).
        let bytes = read("chain.cookie_file", &chain.cookie_file)?;
        let told =
            |what: &str| ConfigError(format!("key `chain.cookie_file`: {}: {what}", chain.cookie_file.display()));
        let text = std::str::from_utf8(&bytes).map_err(|_| told("is no text: is it the right file?"))?;
        let (user, password) = text.trim().split_once(':').ok_or_else(|| told("is no cookie of a bitcoind"))?;
        (user.to_owned(), Zeroizing::new(password.to_owned()))
    };
    chain.source(&user, &password).map_err(|why| ConfigError(format!("key `chain.address`: {why}")))
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
            Backend::Lnd { address, certificate: certificate()?, macaroon: secret(SECRET, &wallet.secret_file)? }
        }
        WalletBackend::Cln => {
            Backend::Cln { address, certificate: certificate()?, rune: secret_text(SECRET, &wallet.secret_file)? }
        }
        WalletBackend::Nwc => {
            let uri = secret_text(SECRET, &wallet.secret_file)?;
            ConnectionUri::parse(&uri).map_err(|error| {
                ConfigError(format!("key `wallet.secret_file`: {}: {error}", wallet.secret_file.display()))
            })?;
            Backend::Nwc { uri }
        }
        WalletBackend::Phoenixd => Backend::Phoenixd { address, password: secret_text(SECRET, &wallet.secret_file)? },
    }))
}

/// A secret, from a file nobody else can read.
fn secret(key: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let told = |what: String| ConfigError(format!("key `{key}`: {}: {what}", path.display()));
    let meta = std::fs::metadata(path).map_err(|error| told(format!("cannot be read: {error}")))?;
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(told("can be read by others than its owner; allowed: mode 0600 (chmod 600 it)".into()));
    }
    let bytes = read(key, path)?;
    if bytes.is_empty() {
        return Err(told("is empty".into()));
    }
    Ok(bytes)
}

fn secret_text(key: &str, path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let bytes = secret(key, path)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| ConfigError(format!("key `{key}`: {}: is no text: is it the right file?", path.display())))?;
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
