//! Macros: `%{l2r+}` and the like, read and filled in. RFC 7208 §7.

use super::Client;
use std::net::IpAddr;

/// What a text is for: a domain has to end like one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `domain-spec`
    Domain,
    /// `macro-string`
    Text,
}

/// A text with macros in it.
#[derive(Debug)]
pub(super) struct MacroString(Vec<Part>);

#[derive(Debug)]
enum Part {
    Literal(String),
    Macro { letter: char, escaped: bool, last: usize, reversed: bool, delimiters: String },
}

/// What macros are filled in with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) client: Client<'a>,
    /// The domain whose record this is.
    pub(super) domain: &'a str,
    /// A name of the client that its address confirms.
    pub(super) validated: &'a str,
}

impl MacroString {
    /// `None` where the syntax is broken. RFC 7208 §7.1.
    pub(super) fn parse(text: &str, kind: Kind) -> Option<Self> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if c != '%' {
                literal.push(c);
                continue;
            }
            let next = rest.chars().next()?;
            rest = &rest[next.len_utf8()..];
            match next {
                '%' => literal.push('%'),
                '_' => literal.push(' '),
                '-' => literal.push_str("%20"),
                '{' => {
                    let (inner, after) = rest.split_once('}')?;
                    rest = after;
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(one(inner, kind)?);
                }
                _ => return None,
            }
        }
        if kind == Kind::Domain && !ends_like_a_domain(text) {
            return None;
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Some(Self(parts))
    }

    /// The text, when there are no macros in it.
    pub(super) fn literal(&self) -> Option<&str> {
        if let [Part::Literal(text)] = &self.0[..] { Some(text) } else { None }
    }

    /// Whether `%{p}` stands in it, which costs questions to the DNS.
    pub(super) fn asks_for_names(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Macro { letter: 'p', .. }))
    }

    /// The domain that is meant; labels are dropped on the left until it can be one (RFC 7208 §7.3).
    pub(super) fn expand(&self, facts: &Facts<'_>) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Macro { letter, escaped, last, reversed, delimiters } => {
                    let value = facts.value(*letter);
                    let mut labels: Vec<&str> = value.split(|c| delimiters.contains(c)).collect();
                    if *reversed {
                        labels.reverse();
                    }
                    let text = labels[labels.len().saturating_sub(*last)..].join(".");
                    if *escaped { escape(&text, &mut out) } else { out.push_str(&text) }
                }
            }
        }
        let mut name = out.as_str();
        while name.trim_end_matches('.').len() > 253 {
            let Some((_, rest)) = name.split_once('.') else { break };
            name = rest;
        }
        name.to_owned()
    }
}

/// `letter [ digits ] [ "r" ] *delimiter`.
fn one(inner: &str, kind: Kind) -> Option<Part> {
    let letter = inner.chars().next()?;
    let escaped = letter.is_ascii_uppercase();
    let letter = letter.to_ascii_lowercase();
    // RFC 7208 §7.2: c, r and t are for explanations, which are never asked for.
    if !("slodiphv".contains(letter) || kind == Kind::Text && "crt".contains(letter)) {
        return None;
    }
    let rest = &inner[1..];
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let last = match &rest[..digits] {
        "" => usize::MAX,
        number => number.parse().ok().filter(|number| *number > 0)?,
    };
    let rest = &rest[digits..];
    let (reversed, delimiters) = match rest.strip_prefix(['r', 'R']) {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if !delimiters.chars().all(|c| ".-+,/_=".contains(c)) {
        return None;
    }
    let delimiters = if delimiters.is_empty() { "." } else { delimiters }.to_owned();
    Some(Part::Macro { letter, escaped, last, reversed, delimiters })
}

/// `domain-end = ( "." toplabel [ "." ] ) / macro-expand`.
fn ends_like_a_domain(text: &str) -> bool {
    if text.ends_with('}') || ["%%", "%_", "%-"].iter().any(|end| text.ends_with(end)) {
        return true;
    }
    let Some((_, top)) = text.strip_suffix('.').unwrap_or(text).rsplit_once('.') else { return false };
    // A macro's own dots are no end: `%{d.}x` has no top label.
    let is_label = !top.is_empty() && top.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    is_label && !top.starts_with('-') && !top.ends_with('-') && !top.chars().all(|c| c.is_ascii_digit())
}

impl Facts<'_> {
    fn value(&self, letter: char) -> String {
        let sender = self.client.sender;
        let (local, origin) = sender.rsplit_once('@').unwrap_or(("postmaster", sender));
        let local = if local.is_empty() { "postmaster" } else { local };
        match letter {
            's' => format!("{local}@{origin}"),
            'l' => local.to_owned(),
            'o' => origin.to_owned(),
            'd' => self.domain.to_owned(),
            'h' => self.client.helo.to_owned(),
            'p' => self.validated.to_owned(),
            'v' if self.client.ip.is_ipv4() => "in-addr".to_owned(),
            'v' => "ip6".to_owned(),
            'i' => match self.client.ip {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => {
                    let digits: Vec<String> = format!("{:032x}", ip.to_bits()).chars().map(String::from).collect();
                    digits.join(".")
                }
            },
            _ => String::new(),
        }
    }
}

/// RFC 7208 §7.3: an upper-case letter is escaped as in a URL.
fn escape(text: &str, out: &mut String) {
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            out.push(octet.into());
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7208 §7.4.
    #[test]
    fn the_examples_of_the_rfc_come_out() {
        let v4 = Client { ip: [192, 0, 2, 3].into(), helo: "h.example", sender: "strong-bad@email.example.com" };
        let v6 = Client { ip: "2001:db8::cb01".parse().unwrap(), ..v4 };
        for (text, client, expected) in [
            ("%{s}", v4, "strong-bad@email.example.com"),
            ("%{o}", v4, "email.example.com"),
            ("%{d4}", v4, "email.example.com"),
            ("%{d2}", v4, "example.com"),
            ("%{d1}", v4, "com"),
            ("%{dr}", v4, "com.example.email"),
            ("%{d2r}", v4, "example.email"),
            ("%{l}", v4, "strong-bad"),
            ("%{l-}", v4, "strong.bad"),
            ("%{lr}", v4, "strong-bad"),
            ("%{lr-}", v4, "bad.strong"),
            ("%{l1r-}", v4, "strong"),
            ("%{ir}.%{v}._spf.%{d2}", v4, "3.2.0.192.in-addr._spf.example.com"),
            ("%{lr-}.lp._spf.%{d2}", v4, "bad.strong.lp._spf.example.com"),
            ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", v4, "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
            (
                "%{ir}.%{v}._spf.%{d2}",
                v6,
                "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com",
            ),
            ("%{S}%%%_%-", v4, "strong-bad%40email.example.com% %20"),
        ] {
            let facts = Facts { client, domain: "email.example.com", validated: "" };
            let spec = MacroString::parse(text, Kind::Domain).unwrap();
            assert_eq!(spec.expand(&facts), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_macro_is_refused() {
        for bad in
            ["%", "%x.org", "%{", "%{}", "%{d0}", "%{q}", "%{dx}", "%{c}", "x", "a.1", "a.-b", "a..", "", "a.b/c"]
        {
            assert!(MacroString::parse(bad, Kind::Domain).is_none(), "{bad}");
        }
        assert!(MacroString::parse("%{c}", Kind::Text).is_some() && MacroString::parse("", Kind::Text).is_some());
    }

    #[test]
    fn a_name_too_long_loses_labels_on_the_left() {
        let client = Client { ip: [192, 0, 2, 3].into(), helo: "h", sender: "a@b" };
        let long = format!("{}.example", "a.".repeat(150).trim_end_matches('.'));
        let facts = Facts { client, domain: &long, validated: "" };
        let name = MacroString::parse("%{d}", Kind::Domain).unwrap().expand(&facts);
        assert!(name.len() <= 253 && name.ends_with(".a.example"));
    }
}
