//! `[dns]`: look-ups.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Look-ups.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Who answers every look-up.
    pub resolver: LookUps,
    /// Whether answers are proved by DNSSEC where the resolver hands signatures on: DANE needs it. Never in the sandbox's
    /// own zone, which has none.
    pub dnssec: bool,
    /// DNSKEY records that proofs begin at; empty: the root's, as IANA publishes them.
    pub trust_anchor: PathBuf,
}

impl Default for Dns {
    fn default() -> Self {
        Self { resolver: LookUps::default(), dnssec: true, trust_anchor: PathBuf::new() }
    }
}

impl Dns {
    /// Where proofs begin.
    pub fn anchor(&self) -> smtp::TrustAnchor {
        match (self.dnssec, self.trust_anchor.as_os_str().is_empty()) {
            (false, _) => smtp::TrustAnchor::None,
            (true, true) => smtp::TrustAnchor::Iana,
            (true, false) => smtp::TrustAnchor::File(self.trust_anchor.clone()),
        }
    }
}

/// Who answers look-ups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LookUps {
    /// The sandbox's own zone, which knows names under `.test` only.
    #[default]
    Sandbox,
    /// The resolver of this machine, `"system"`.
    System,
    /// This one, `"127.0.0.1:5353"`.
    Server(SocketAddr),
}

impl<'de> Deserialize<'de> for LookUps {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match text.as_str() {
            "" => Ok(Self::Sandbox),
            "system" => Ok(Self::System),
            address => address.parse().map(Self::Server).map_err(|_| {
                let allowed = "IP and port, like \"127.0.0.1:5353\", \"system\", or empty";
                D::Error::custom(format!("\"{text}\" is no address; allowed: {allowed}"))
            }),
        }
    }
}
