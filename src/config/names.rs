//! `[server]` and `[listen]`: names, addresses and ports.

use std::net::IpAddr;

use serde::Deserialize;

/// Names.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// The name in banners, EHLO and links.
    pub name: String,
    /// The domains whose mail is ours.
    pub domains: Vec<String>,
    /// Who reads `postmaster@` and `abuse@`; the oldest account when empty.
    pub postmaster: String,
    /// Base of links in mails; derived from the web port when empty.
    pub public_url: String,
    /// What servers that send here are told about TLS (RFC 8461).
    pub mta_sts: MtaStsMode,
    /// HTTPS address of the logo that `satchel dns` names in a BIMI record; empty: none.
    pub bimi_logo: String,
}

/// The mode of the MTA-STS policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MtaStsMode {
    /// No policy is published.
    Off,
    /// Whoever cannot use TLS sends all the same, and reports it.
    #[default]
    Testing,
    /// Whoever cannot use TLS with a valid certificate does not send.
    Enforce,
}

impl MtaStsMode {
    /// The word of the policy; `None` for no policy.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Off => None,
            Self::Testing => Some("testing"),
            Self::Enforce => Some("enforce"),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            name: "satchel.test".into(),
            domains: vec!["satchel.test".into()],
            postmaster: String::new(),
            public_url: String::new(),
            mta_sts: MtaStsMode::default(),
            bimi_logo: String::new(),
        }
    }
}

/// Addresses and ports. Port 0 picks a free one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// The address every listener binds to.
    pub address: IpAddr,
    /// MX.
    pub smtp: u16,
    /// Submission with STARTTLS.
    pub submission: u16,
    /// Submission with TLS from the start.
    pub submissions: u16,
    /// LMTP, for an MX in front; left out: none.
    pub lmtp: Option<u16>,
    /// IMAP with STARTTLS.
    pub imap: u16,
    /// IMAP with TLS from the start.
    pub imaps: u16,
    /// The web pages.
    pub web: u16,
    /// The web pages over TLS; `None`: not served.
    pub https: Option<u16>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: IpAddr::from([127, 0, 0, 1]),
            smtp: 2525,
            submission: 2587,
            submissions: 2465,
            lmtp: None,
            imap: 2143,
            imaps: 2993,
            web: 8080,
            https: None,
        }
    }
}

/// Whether a text is a domain name, in lower case.
pub(super) fn is_domain(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}
