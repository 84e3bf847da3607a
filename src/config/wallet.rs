//! `[wallet]`: the Lightning node.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::Network;

/// The Lightning node: the embedded one, or one that somebody else runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WalletConfig {
    /// Which.
    pub backend: WalletBackend,
    /// Where it is: `"https://127.0.0.1:8080"`. Nostr Wallet Connect needs none: its connection string says it.
    pub address: String,
    /// The only certificate that is trusted, PEM; empty: the public authorities.
    pub certificate: PathBuf,
    /// A file that holds the macaroon, the rune, the connection string or the password.
    pub secret_file: PathBuf,
    /// Where other nodes connect to the embedded one, `"0.0.0.0:9735"`; `None`: it connects to them.
    #[serde(deserialize_with = "listen")]
    pub listen: Option<SocketAddr>,
}

fn listen<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        D::Error::custom(format!("\"{text}\" is no address; allowed: IP and port, like \"0.0.0.0:9735\", or empty"))
    })
}

/// What a bridge can take payments with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WalletBackend {
    /// LDK, in this process.
    #[default]
    Embedded,
    /// LND over REST.
    Lnd,
    /// Core Lightning over clnrest, with the plugin holdinvoice.
    Cln,
    /// Nostr Wallet Connect.
    Nwc,
    /// phoenixd, which settles at once.
    Phoenixd,
}

impl WalletBackend {
    /// Its word in the config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Lnd => "lnd",
            Self::Cln => "cln",
            Self::Nwc => "nwc",
            Self::Phoenixd => "phoenixd",
        }
    }
}

impl WalletConfig {
    /// What types cannot say.
    pub(super) fn check(&self, network: Network) -> Result<(), (&'static str, String)> {
        let (name, remote) = (self.backend.name(), self.backend != WalletBackend::Embedded);
        let none = |key, what: &str| Err((key, format!("{what}; allowed with backend = \"{name}\": empty")));
        match (self.address.is_empty(), self.backend) {
            (false, WalletBackend::Embedded) => return none("wallet.address", "the embedded node has no address"),
            (false, WalletBackend::Nwc) => return none("wallet.address", "the connection string names the relay"),
            (true, WalletBackend::Lnd | WalletBackend::Cln | WalletBackend::Phoenixd) => {
                let example = match self.backend {
                    WalletBackend::Lnd => "https://127.0.0.1:8080",
                    WalletBackend::Cln => "https://127.0.0.1:3010",
                    _ => "http://127.0.0.1:9740",
                };
                return Err(("wallet.address", format!("is empty; allowed with \"{name}\": like \"{example}\"")));
            }
            (true, WalletBackend::Embedded | WalletBackend::Nwc) => {}
            (false, _) => lightning::remote::check_address(&self.address)
                .map_err(|error| ("wallet.address", format!("\"{}\" is refused: {error}", self.address)))?,
        }
        if self.listen.is_some() && (remote || network == Network::Sandbox) {
            let who = if remote { name } else { "sandbox" };
            let text = "is for the embedded node on a network of its own; allowed here: empty";
            return Err(("wallet.listen", format!("{text} (\"{who}\")")));
        }
        if !self.certificate.as_os_str().is_empty() && !matches!(self.backend, WalletBackend::Lnd | WalletBackend::Cln)
        {
            return none("wallet.certificate", "only LND and Core Lightning have a certificate of their own");
        }
        match (self.secret_file.as_os_str().is_empty(), remote) {
            (true, true) => {
                let what = match self.backend {
                    WalletBackend::Lnd => "LND's macaroon",
                    WalletBackend::Cln => "the rune",
                    WalletBackend::Nwc => "the connection string (nostr+walletconnect://)",
                    WalletBackend::Phoenixd | WalletBackend::Embedded => "phoenixd's http-password",
                };
                Err((
                    "wallet.secret_file",
                    format!("is empty; allowed with \"{name}\": a file (mode 0600) with {what}"),
                ))
            }
            (false, false) => none("wallet.secret_file", "the embedded node has its own keys"),
            _ => Ok(()),
        }
    }
}
