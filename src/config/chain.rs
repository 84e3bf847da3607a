//! `[chain]`: where the embedded node's blocks come from.

use std::path::PathBuf;

use lightning::ChainSource;
use lightning::chain::{BitcoinNetwork, Bitcoind};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Network, WalletBackend};

/// Where the embedded node's blocks come from, on every network but the sandbox.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Chain {
    /// Which kind of server.
    pub source: ChainKind,
    /// Where it is.
    pub address: String,
    /// A bitcoind's user.
    pub user: String,
    /// A file that holds that user's password.
    pub password_file: PathBuf,
    /// Instead of both: the file `.cookie` that a bitcoind makes at each start.
    pub cookie_file: PathBuf,
}

/// What can tell of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChainKind {
    /// None: the sandbox has its own chain, and so has a node that somebody else runs.
    #[default]
    #[serde(rename = "")]
    None,
    /// Bitcoin Core's RPC.
    Bitcoind,
    /// An Esplora server.
    Esplora,
    /// An Electrum server.
    Electrum,
}

impl ChainKind {
    /// Its word in the config.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Bitcoind => "bitcoind",
            Self::Esplora => "esplora",
            Self::Electrum => "electrum",
        }
    }
}

impl Network {
    /// Its word in the config, and the name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Mainnet => "mainnet",
            Self::Testnet4 => "testnet4",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
        }
    }

    /// What Bitcoin calls it.
    pub fn bitcoin(self) -> BitcoinNetwork {
        match self {
            Self::Sandbox | Self::Regtest => BitcoinNetwork::Regtest,
            Self::Mainnet => BitcoinNetwork::Bitcoin,
            Self::Testnet4 => BitcoinNetwork::Testnet4,
            Self::Signet => BitcoinNetwork::Signet,
        }
    }
}

impl Chain {
    /// What types cannot say.
    pub(super) fn check(&self, network: Network, backend: WalletBackend) -> Result<(), (&'static str, String)> {
        let name = network.name();
        if network == Network::Testnet4 && backend == WalletBackend::Embedded {
            let text = "the embedded node cannot: LDK 0.2 knows no testnet4 and would make invoices of another network; \
                        allowed with the embedded node: \"sandbox\", \"mainnet\", \"signet\", \"regtest\"";
            return Err(("network", text.to_owned()));
        }
        let needs = network != Network::Sandbox && backend == WalletBackend::Embedded;
        match (self.source, needs) {
            (ChainKind::None, true) => {
                return Err((
                    "chain.source",
                    format!(
                        "is empty, and with network = \"{name}\" the embedded node needs somebody who tells it of blocks; \
                         write under [chain] one of\n    source = \"bitcoind\", address = \"127.0.0.1:8332\", cookie_file = \
                         \"/PATH/.cookie\" (or user and password_file): your own full node\n    source = \"electrum\", \
                         address = \"ssl://HOST:50002\"\n    source = \"esplora\", address = \"https://HOST/api\""
                    ),
                ));
            }
            (ChainKind::None, false) => return self.is_empty(backend),
            (ChainKind::Bitcoind | ChainKind::Esplora | ChainKind::Electrum, false) => {
                let who = if backend == WalletBackend::Embedded { "the sandbox" } else { "the node of [wallet]" };
                return Err(("chain.source", format!("{who} has a chain of its own; allowed: empty")));
            }
            (ChainKind::Bitcoind | ChainKind::Esplora | ChainKind::Electrum, true) => {}
        }
        let source = self.source("", "").map_err(|why| ("chain.address", why))?;
        source.check().map_err(|error| ("chain.address", format!("\"{}\" {error}", self.address)))?;
        self.check_secrets()
    }

    /// A bitcoind's user comes with a password, or a cookie instead; the others have none.
    fn check_secrets(&self) -> Result<(), (&'static str, String)> {
        let (user, password) = (!self.user.is_empty(), !self.password_file.as_os_str().is_empty());
        let cookie = !self.cookie_file.as_os_str().is_empty();
        match (self.source, user, password, cookie) {
            (ChainKind::Bitcoind, true, true, false) | (ChainKind::Bitcoind, false, false, true) => Ok(()),
            (ChainKind::Bitcoind, false, false, false) => Err((
                "chain.cookie_file",
                "is empty; allowed with \"bitcoind\": the file .cookie in its data directory, or user and password_file"
                    .into(),
            )),
            (ChainKind::Bitcoind, ..) => Err((
                "chain.user",
                "user and password_file belong together, and a cookie_file is instead of both".into(),
            )),
            (_, false, false, false) => Ok(()),
            (kind, ..) => Err(("chain.user", format!("only a bitcoind has a login; allowed with \"{}\": empty", kind.name()))),
        }
    }

    fn is_empty(&self, backend: WalletBackend) -> Result<(), (&'static str, String)> {
        let files = [&self.password_file, &self.cookie_file];
        if self.address.is_empty() && self.user.is_empty() && files.iter().all(|file| file.as_os_str().is_empty()) {
            return Ok(());
        }
        let allowed = if backend == WalletBackend::Embedded {
            "allowed: \"bitcoind\", \"esplora\" or \"electrum\", with a network other than the sandbox"
        } else {
            "the node of [wallet] has a chain of its own; allowed: nothing under [chain]"
        };
        Err(("chain.source", format!("is empty, but other keys of [chain] are not; {allowed}")))
    }

    /// The source, with what its secret's file holds.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn source(&self, user: &str, password: &str) -> Result<ChainSource, String> {
        Ok(match self.source {
            ChainKind::None => return Err("is no source".into()),
            ChainKind::Esplora => ChainSource::Esplora(self.address.clone()),
            ChainKind::Electrum => ChainSource::Electrum(self.address.clone()),
            ChainKind::Bitcoind => {
                let wrong = || {
                    format!(
                        "\"{}\" is no address; allowed: host and port of its RPC, like \"127.0.0.1:8332\"",
                        self.address
                    )
                };
                let (host, port) = self.address.rsplit_once(':').ok_or_else(wrong)?;
                let port = port.parse().map_err(|_| wrong())?;
                let cookie = Some(self.cookie_file.clone()).filter(|path| !path.as_os_str().is_empty());
                let (user, password) = (user.to_owned(), Zeroizing::new(password.to_owned()));
                ChainSource::Bitcoind(Bitcoind { host: host.to_owned(), port, user, password, cookie })
            }
        })
    }
}
