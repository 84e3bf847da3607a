//! `[tls]`: certificates.

use std::path::PathBuf;

use serde::Deserialize;

use super::names::is_domain;
use super::{Config, Role};

/// Certificates.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// PEM chain; empty: a self-signed one is made on first use.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
    /// Further pairs, chosen by the name a client asks for.
    pub further: Vec<Pair>,
    /// Where to order a certificate by ACME: `letsencrypt`, `letsencrypt-staging`, or the address of a CA's directory; empty:
    /// nowhere.
    pub acme: String,
    /// An address the CA may write to.
    pub acme_contact: String,
    /// What the certificate is for; the server's name when empty.
    pub acme_names: Vec<String>,
    /// PEM: what to trust the CA's directory by, instead of the public authorities.
    pub acme_ca: PathBuf,
}

/// A certificate and its key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// PEM chain.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
}

impl Config {
    /// What `[tls]` says about a CA, beyond its types.
    pub(super) fn check_acme(&self) -> Result<(), (&'static str, String)> {
        let tls = &self.tls;
        let is_known = matches!(tls.acme.as_str(), "" | "letsencrypt" | "letsencrypt-staging");
        // RFC 8555 §6.1: HTTPS and nothing else.
        if !is_known && !tls.acme.starts_with("https://") {
            let text =
                "allowed: \"letsencrypt\", \"letsencrypt-staging\", the https:// address of a CA's directory, or empty";
            return Err(("tls.acme", format!("\"{}\" is no CA; {text}", tls.acme)));
        }
        if !tls.acme.is_empty() && !self.runs(Role::Mailbox) {
            return Err(("tls.acme", "needs the role \"mailbox\": the CA asks at the web door".into()));
        }
        if !tls.acme_contact.is_empty() && !::smtp::is_mailbox(&tls.acme_contact) {
            return Err(("tls.acme_contact", format!("\"{}\" is no mail address", tls.acme_contact)));
        }
        if let Some(name) = tls.acme_names.iter().find(|name| !is_domain(name)) {
            return Err((
                "tls.acme_names",
                format!("\"{name}\" is no name that HTTP-01 can prove; allowed: host names, without wildcards"),
            ));
        }
        Ok(())
    }
}
