//! How a mail client is set up without typing: for each way to ask, the answer in the form its asker reads.
//!
//! Nothing here tells whether an account exists: every well-formed address of a domain served here gets the same answer,
//! and no answer holds a password.

pub(crate) mod apple;
pub(crate) mod autoconfig;
pub(crate) mod autodiscover;
pub(crate) mod mta_sts;
pub(crate) mod page;

use crate::{SiteInfo, limits};

/// One way in, in the order clients should try.
pub(crate) struct Service {
    /// `IMAP` or `SMTP`.
    pub(crate) protocol: Protocol,
    /// Where.
    pub(crate) port: u16,
    /// TLS from the start, else STARTTLS.
    pub(crate) implicit: bool,
}

/// What a service is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Imap,
    Smtp,
}

/// RFC 8314 §3.3: TLS from the start first.
pub(crate) fn services(info: &SiteInfo) -> Vec<Service> {
    let ports = info.ports;
    let all = [
        (Protocol::Imap, ports.imaps, true),
        (Protocol::Imap, ports.imap, false),
        (Protocol::Smtp, ports.submissions, true),
        (Protocol::Smtp, ports.submission, false),
    ];
    all.into_iter().filter_map(|(protocol, port, implicit)| Some(Service { protocol, port: port?, implicit })).collect()
}

/// An address of a domain served here.
pub(crate) struct Account {
    pub(crate) address: String,
    pub(crate) domain: String,
}

impl Account {
    /// As somebody typed it; `None` when it is no address, or of a domain that is not served here.
    pub(crate) fn parse(text: &str, info: &SiteInfo) -> Option<Self> {
        let address = text.trim();
        let (local, domain) = address.rsplit_once('@')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
        if local.is_empty() || address.len() > limits::ADDRESS_BYTES_MAX || !local.chars().all(plain) {
            return None;
        }
        let domain = serves(domain, info)?;
        Some(Self { address: format!("{local}@{domain}"), domain })
    }
}

/// The domain in lower case, when it is one of ours.
pub(crate) fn serves(domain: &str, info: &SiteInfo) -> Option<String> {
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    info.domains.contains(&domain).then_some(domain)
}

/// The domain that a Host field names, whatever well-known label stands before it; the first of ours for others, such as
/// the server's own name.
pub(crate) fn domain_of_host(host: Option<&str>, info: &SiteInfo) -> Option<String> {
    let host = host.unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let labels = ["autoconfig.", "autodiscover.", "mta-sts.", "imap.", "smtp.", "mail.", "www."];
    let below = labels.iter().find_map(|label| name.get(..label.len()).filter(|head| head.eq_ignore_ascii_case(label)));
    serves(below.map_or(name, |label| &name[label.len()..]), info).or_else(|| info.domains.first().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> SiteInfo {
        SiteInfo {
            name: "mx.example.org".into(),
            domains: vec!["example.org".into(), "example.net".into()],
            connect_to: "mx.example.org".into(),
            public_url: "https://mx.example.org".into(),
            ports: crate::Ports::default(),
            mta_sts: None,
            sandbox: false,
        }
    }

    #[test]
    fn only_addresses_of_our_domains_are_set_up() {
        let account = Account::parse(" Alice@Example.ORG ", &info()).unwrap();
        assert_eq!((account.address.as_str(), account.domain.as_str()), ("Alice@example.org", "example.org"));
        for text in
            ["", "alice", "@example.org", "alice@example.com", "a<b@example.org", "a\"b@example.org", "a b@example.org"]
        {
            assert!(Account::parse(text, &info()).is_none(), "{text}");
        }
        assert!(Account::parse(&format!("{}@example.org", "x".repeat(300)), &info()).is_none());
    }

    #[test]
    fn a_host_names_its_domain() {
        for (host, domain) in [
            (Some("autoconfig.example.net:80"), "example.net"),
            (Some("Autodiscover.Example.net"), "example.net"),
            (Some("example.net"), "example.net"),
            (Some("mx.example.org"), "example.org"),
            (Some("\u{e9}x.org"), "example.org"),
            (None, "example.org"),
        ] {
            assert_eq!(domain_of_host(host, &info()).as_deref(), Some(domain), "{host:?}");
        }
    }
}
