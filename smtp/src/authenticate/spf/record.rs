//! An SPF record: directives and modifiers, read whole before any of it counts. RFC 7208 §4.6, §12.

use super::macros::{Kind, MacroString};
use crate::AuthResult;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What a record says.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) directives: Vec<Directive>,
    pub(super) redirect: Option<MacroString>,
}

/// `[ qualifier ] mechanism`.
#[derive(Debug)]
pub(super) struct Directive {
    pub(super) qualifier: Qualifier,
    pub(super) mechanism: Mechanism,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Qualifier {
    Pass,
    Fail,
    SoftFail,
    Neutral,
}

impl Qualifier {
    pub(super) fn result(self) -> AuthResult {
        match self {
            Self::Pass => AuthResult::Pass,
            Self::Fail => AuthResult::Fail,
            Self::SoftFail => AuthResult::SoftFail,
            Self::Neutral => AuthResult::Neutral,
        }
    }
}

/// RFC 7208 §5.
#[derive(Debug)]
pub(super) enum Mechanism {
    All,
    Include(MacroString),
    A(Target),
    Mx(Target),
    Ptr(Option<MacroString>),
    Ip4 { network: Ipv4Addr, prefix: u8 },
    Ip6 { network: Ipv6Addr, prefix: u8 },
    Exists(MacroString),
}

/// Hosts, and how many bits of their addresses count.
#[derive(Debug)]
pub(super) struct Target {
    /// The domain asked for when there is none.
    pub(super) spec: Option<MacroString>,
    pub(super) prefix4: u8,
    pub(super) prefix6: u8,
}

/// What follows `v=spf1`; `None` when this text is not such a record. RFC 7208 §4.5.
pub(super) fn terms(text: &[u8]) -> Option<&[u8]> {
    let (version, rest) = text.split_at_checked(6)?;
    (version.eq_ignore_ascii_case(b"v=spf1") && (rest.is_empty() || rest[0] == b' ')).then_some(rest)
}

impl Record {
    /// `None` is a permerror: any error of syntax spoils all of it. RFC 7208 §4.6.
    pub(super) fn parse(terms: &[u8]) -> Option<Self> {
        // RFC 7208 §3.1: ASCII; and terms are parted by spaces, by nothing else.
        let terms =
            std::str::from_utf8(terms).ok().filter(|text| text.bytes().all(|octet| (b' '..=b'~').contains(&octet)))?;
        let mut record = Self { directives: Vec::new(), redirect: None };
        let mut has_exp = false;
        for term in terms.split(' ').filter(|term| !term.is_empty()) {
            let end = term.find([':', '/', '=']).unwrap_or(term.len());
            let (name, rest) = term.split_at(end);
            if let Some(value) = rest.strip_prefix('=') {
                let twice = match name.to_ascii_lowercase().as_str() {
                    "redirect" => record.redirect.replace(MacroString::parse(value, Kind::Domain)?).is_some(),
                    "exp" => {
                        MacroString::parse(value, Kind::Domain)?;
                        std::mem::replace(&mut has_exp, true)
                    }
                    // RFC 7208 §6: unknown ones mean nothing, but are well-formed.
                    _ if is_name(name) => MacroString::parse(value, Kind::Text).map(|_| false)?,
                    _ => return None,
                };
                if twice {
                    return None;
                }
            } else {
                record.directives.push(directive(name, rest)?);
            }
        }
        Some(record)
    }
}

/// `ALPHA *( ALPHA / DIGIT / "-" / "_" / "." )`.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn directive(name: &str, rest: &str) -> Option<Directive> {
    let (qualifier, name) = match name.as_bytes().first()? {
        b'+' => (Qualifier::Pass, &name[1..]),
        b'-' => (Qualifier::Fail, &name[1..]),
        b'~' => (Qualifier::SoftFail, &name[1..]),
        b'?' => (Qualifier::Neutral, &name[1..]),
        _ => (Qualifier::Pass, name),
    };
    let argument = rest.strip_prefix(':');
    let mechanism = match (name.to_ascii_lowercase().as_str(), argument) {
        ("all", None) if rest.is_empty() => Mechanism::All,
        ("include", Some(spec)) => Mechanism::Include(MacroString::parse(spec, Kind::Domain)?),
        ("exists", Some(spec)) => Mechanism::Exists(MacroString::parse(spec, Kind::Domain)?),
        ("ptr", Some(spec)) => Mechanism::Ptr(Some(MacroString::parse(spec, Kind::Domain)?)),
        ("ptr", None) if rest.is_empty() => Mechanism::Ptr(None),
        ("a", _) => Mechanism::A(target(rest)?),
        ("mx", _) => Mechanism::Mx(target(rest)?),
        ("ip4", Some(network)) => {
            let (network, prefix) = network.split_once('/').map_or((network, Some(32)), |(n, p)| (n, length(p, 32)));
            Mechanism::Ip4 { network: network.parse().ok()?, prefix: prefix? }
        }
        ("ip6", Some(network)) => {
            let (network, prefix) = network.split_once('/').map_or((network, Some(128)), |(n, p)| (n, length(p, 128)));
            Mechanism::Ip6 { network: network.parse().ok()?, prefix: prefix? }
        }
        _ => return None,
    };
    Some(Directive { qualifier, mechanism })
}

/// `[ ":" domain-spec ] [ "/" length ] [ "//" length ]`. A slash that no number follows belongs to the domain.
fn target(text: &str) -> Option<Target> {
    let (text, prefix6) = match text.rsplit_once("//").filter(|(_, digits)| is_number(digits)) {
        Some((text, digits)) => (text, length(digits, 128)?),
        None => (text, 128),
    };
    let (text, prefix4) = match text.rsplit_once('/').filter(|(_, digits)| is_number(digits)) {
        Some((text, digits)) => (text, length(digits, 32)?),
        None => (text, 32),
    };
    let spec = match text.strip_prefix(':') {
        Some(spec) => Some(MacroString::parse(spec, Kind::Domain)?),
        None if text.is_empty() => None,
        None => return None,
    };
    Some(Target { spec, prefix4, prefix6 })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

/// A prefix without leading zeros, as long as the address at most.
fn length(text: &str, most: u8) -> Option<u8> {
    let is_plain = is_number(text) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|length| is_plain && *length <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_tells_a_record() {
        assert_eq!(terms(b"V=Spf1 -all"), Some(&b" -all"[..]));
        assert_eq!(terms(b"v=spf1"), Some(&b""[..]));
        assert!(terms(b"v=spf10 -all").is_none() && terms(b"v=spf").is_none() && terms(b"v=spf1\t-all").is_none());
    }

    #[test]
    fn one_bad_term_spoils_the_record() {
        for good in ["", " -all", "  mx  ~all ", " a/24//64 ip4:192.0.2.0/0", " x-y=%{d}%% redirect=_spf.%{d}"] {
            assert!(Record::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            " all:x",
            " include",
            " ip4:192.0.2.0/33",
            " ip4:192.0.2.0/032",
            " ip4:1.2.3",
            " ip6:::1/129",
            " a/",
            " a/33",
            " a:x",
            " mx//129",
            " -all\x0dptr",
            " redirect=a.b redirect=a.b",
            " =x",
            " 1x=y",
            " foo",
            " exists",
            " a:%{z}.b",
        ] {
            assert!(Record::parse(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }
}
