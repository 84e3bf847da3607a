//! `[smtp]` and `[relay]`: who may bring mail, and who delivers ours.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::time::duration;

/// Who may bring mail.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Smtp {
    /// Whether mail of networks that are not known comes in at the second try only.
    pub greylist: bool,
    /// The time before the second try counts: those who only ever try once, try all at once.
    #[serde(deserialize_with = "duration")]
    pub greylist_delay: Duration,
    /// Block lists that are asked about each peer, by name.
    pub dnsbl: Vec<String>,
    /// Networks that neither is for; this machine, when nothing else is said.
    #[serde(deserialize_with = "networks")]
    pub trusted: Vec<::smtp::Network>,
    /// Networks that LMTP serves.
    #[serde(deserialize_with = "networks")]
    pub lmtp_from: Vec<::smtp::Network>,
}

impl Smtp {
    /// Whether a peer is in a trusted network.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            greylist: false,
            greylist_delay: Duration::from_secs(300),
            dnsbl: Vec::new(),
            trusted: ::smtp::Network::loopback(),
            lmtp_from: ::smtp::Network::loopback(),
        }
    }
}

/// A server that delivers for us (a smart host), instead of the servers of each domain.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Relay {
    /// Its name and port, `"smtp.example.org:587"`; empty: mail goes to the servers of its domain.
    pub server: String,
    /// How it is encrypted.
    pub tls: RelayTls,
    /// Name to log in as; empty: no login.
    pub user: String,
    /// A file that holds the password, on one line.
    pub password_file: PathBuf,
}

impl Relay {
    /// Name and port, where there is one.
    pub fn host_and_port(&self) -> Option<(&str, u16)> {
        let (host, port) = self.server.rsplit_once(':')?;
        Some((host, port.parse().ok()?))
    }
}

/// How a smart host is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelayTls {
    /// STARTTLS, with a certificate that this machine's authorities vouch for.
    #[default]
    Starttls,
    /// TLS from the first octet, likewise.
    Implicit,
    /// None: for a server on this machine.
    Off,
}

fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<::smtp::Network>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}
