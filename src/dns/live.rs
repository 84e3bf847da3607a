//! What the live DNS has, beside what it should have.

use std::net::IpAddr;

use smtp::{RecordData, Resolver};

use super::{Wanted, WillDo};

/// How a live record compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Live {
    /// As it should be.
    Ok,
    /// Nothing is there.
    Missing,
    /// Something else is.
    Differs(String),
    /// It could not be looked up.
    Unknown(String),
}

impl Live {
    /// In one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Differs(_) => "differs",
            Self::Unknown(_) => "unknown",
        }
    }

    /// What is there instead, or why nobody can say.
    pub fn found(&self) -> Option<&str> {
        match self {
            Self::Ok | Self::Missing => None,
            Self::Differs(found) | Self::Unknown(found) => Some(found),
        }
    }
}

pub(super) async fn look(wanted: &Wanted, server: &str, resolver: &Resolver) -> Live {
    if wanted.will_do == WillDo::Leads {
        return leads(&wanted.name, server, resolver).await;
    }
    match resolver.records(&wanted.name, wanted.data.kind()).await {
        Ok(found) => compare(wanted, &found),
        Err(error) => Live::Unknown(error.to_string()),
    }
}

/// The name must have the server's addresses, by CNAME or its own.
async fn leads(name: &str, server: &str, resolver: &Resolver) -> Live {
    let ours = match resolver.addresses(server).await {
        Ok(ours) => ours,
        Err(error) if error.is_permanent() => Vec::new(),
        Err(error) => return Live::Unknown(error.to_string()),
    };
    match resolver.addresses(name).await {
        Ok(found) if found.iter().any(|address| ours.contains(address)) => Live::Ok,
        Ok(found) => Live::Differs(found.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")),
        Err(error) if error.is_permanent() => Live::Missing,
        Err(error) => Live::Unknown(error.to_string()),
    }
}

fn compare(wanted: &Wanted, found: &[RecordData]) -> Live {
    let texts =
        || found.iter().filter_map(|data| if let RecordData::Txt(text) = data { Some(text.as_str()) } else { None });
    // At a name with many texts only those of the same kind count: its first word says which.
    let same_kind = |text: &&str| match &wanted.data {
        RecordData::Txt(ours) => first_word(text) == first_word(ours),
        _ => false,
    };
    let fits = match wanted.will_do {
        WillDo::Same => found.iter().any(|data| same(data, &wanted.data)),
        WillDo::Among => found.iter().any(|data| same_host(data, &wanted.data)),
        WillDo::Leads => false,
        // Two SPF or DMARC records are none (RFC 7208 §4.5, RFC 7489 §6.6.3).
        WillDo::Beginning(word) => {
            let word = word.to_ascii_lowercase();
            texts().filter(same_kind).count() == 1 && texts().any(|text| first_word(text) == word)
        }
    };
    if fits {
        return Live::Ok;
    }
    let shown: Vec<String> = match &wanted.data {
        RecordData::Txt(_) => texts().filter(same_kind).map(str::to_owned).collect(),
        _ => found.iter().map(RecordData::to_string).collect(),
    };
    if shown.is_empty() { Live::Missing } else { Live::Differs(shown.join(" | ")) }
}

fn first_word(text: &str) -> String {
    text.split([';', ' ']).next().unwrap_or_default().to_ascii_lowercase()
}

/// Texts compare without white space: zone editors put it where they like.
fn same(one: &RecordData, other: &RecordData) -> bool {
    match (one, other) {
        (RecordData::Txt(one), RecordData::Txt(other)) => {
            let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            bare(one).trim_end_matches(';') == bare(other).trim_end_matches(';')
        }
        // Weights are among equals, and there is one.
        (RecordData::Srv { port, host, .. }, RecordData::Srv { port: p, host: h, .. }) => port == p && host == h,
        _ => one == other,
    }
}

fn same_host(one: &RecordData, other: &RecordData) -> bool {
    matches!((one, other), (RecordData::Mx { host, .. }, RecordData::Mx { host: h, .. }) if host == h)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txt(text: &str) -> RecordData {
        RecordData::Txt(text.to_owned())
    }

    fn mx(preference: u16, host: &str) -> RecordData {
        RecordData::Mx { preference, host: host.to_owned() }
    }

    #[test]
    fn a_live_record_is_ok_missing_or_different() {
        let spf = Wanted::needed("d", txt("v=spf1 mx -all"), "", WillDo::Beginning("v=spf1"));
        let dkim = Wanted::needed("d", txt("v=DKIM1; k=ed25519; p=abc"), "", WillDo::Same);
        let ours = Wanted::needed("d", mx(10, "mx.d"), "", WillDo::Among);
        let srv = |port| RecordData::Srv { priority: 0, weight: 1, port, host: "mx.d".into() };
        let imaps = Wanted::needed("d", srv(993), "", WillDo::Same);
        let differs = |text: &str| Live::Differs(text.to_owned());
        let table = [
            (&spf, vec![txt("v=spf1 ip4:192.0.2.1 mx ~all"), txt("google-site-verification=1")], Live::Ok),
            (&spf, vec![txt("v=spf10 mx")], Live::Missing),
            (&spf, vec![txt("google-site-verification=1")], Live::Missing),
            (&spf, vec![], Live::Missing),
            (&spf, vec![txt("v=spf1 mx -all"), txt("v=spf1 -all")], differs("v=spf1 mx -all | v=spf1 -all")),
            (&dkim, vec![txt("v=DKIM1;k=ed25519;p=abc;")], Live::Ok),
            (&dkim, vec![txt("v=DKIM1; k=ed25519; p=old")], differs("v=DKIM1; k=ed25519; p=old")),
            (&ours, vec![mx(5, "mx.d"), mx(20, "backup.d")], Live::Ok),
            (&ours, vec![mx(10, "other.d")], differs("10 other.d.")),
            (&ours, vec![], Live::Missing),
            (&imaps, vec![srv(993)], Live::Ok),
            (&imaps, vec![srv(143)], differs("0 1 143 mx.d.")),
        ];
        for (wanted, found, expected) in table {
            assert_eq!(compare(wanted, &found), expected, "{} beside {found:?}", wanted.data);
        }
    }
}
