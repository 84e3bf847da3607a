//! The records of one name, as a zone file writes them: what `satchel dns` compares, and what the sandbox's zone publishes.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use futures::future::BoxFuture;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::{DnsError, Resolver, absent, ascii};
use crate::limits::{RECORDS_MAX, TXT_STRING_BYTES_MAX};

/// What a record holds. Names are in lower case, without the final dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordData {
    /// A host's address: A, or AAAA.
    Address(IpAddr),
    /// RFC 1035 §3.3.9.
    Mx {
        /// Lower is better.
        preference: u16,
        /// Who takes the mail.
        host: String,
    },
    /// Its strings joined.
    Txt(String),
    /// RFC 2782.
    Srv {
        /// Lower is better.
        priority: u16,
        /// Among equals.
        weight: u16,
        /// Where the service is.
        port: u16,
        /// On which host; empty: the service is not offered.
        host: String,
    },
    /// Another name for a host.
    Cname(String),
    /// The name of an address.
    Ptr(String),
}

/// Which records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// A.
    A,
    /// AAAA.
    Aaaa,
    /// MX.
    Mx,
    /// TXT.
    Txt,
    /// SRV.
    Srv,
    /// CNAME.
    Cname,
    /// PTR.
    Ptr,
}

impl RecordData {
    /// Its type.
    pub fn kind(&self) -> RecordKind {
        match self {
            Self::Address(IpAddr::V4(_)) => RecordKind::A,
            Self::Address(IpAddr::V6(_)) => RecordKind::Aaaa,
            Self::Mx { .. } => RecordKind::Mx,
            Self::Txt(_) => RecordKind::Txt,
            Self::Srv { .. } => RecordKind::Srv,
            Self::Cname(_) => RecordKind::Cname,
            Self::Ptr(_) => RecordKind::Ptr,
        }
    }

    /// The record of this name as a line of a zone file.
    pub fn zone_line(&self, name: &str) -> String {
        let data = match self {
            Self::Txt(text) => character_strings(text),
            other => other.to_string(),
        };
        format!("{name}. IN {} {data}", self.kind().name())
    }

    fn of(data: &RData) -> Option<Self> {
        Some(match data {
            RData::A(a) => Self::Address(IpAddr::V4(a.0)),
            RData::AAAA(aaaa) => Self::Address(IpAddr::V6(aaaa.0)),
            RData::MX(mx) => Self::Mx { preference: mx.preference, host: plain(&mx.exchange) },
            RData::TXT(txt) => Self::Txt(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            RData::SRV(srv) => {
                Self::Srv { priority: srv.priority, weight: srv.weight, port: srv.port, host: plain(&srv.target) }
            }
            RData::CNAME(name) => Self::Cname(plain(&name.0)),
            RData::PTR(name) => Self::Ptr(plain(&name.0)),
            _ => return None,
        })
    }
}

impl fmt::Display for RecordData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Mx { preference, host } => write!(f, "{preference} {host}."),
            Self::Txt(text) => f.write_str(text),
            Self::Srv { priority, weight, port, host } => write!(f, "{priority} {weight} {port} {host}."),
            Self::Cname(host) | Self::Ptr(host) => write!(f, "{host}."),
        }
    }
}

impl RecordKind {
    /// As zone files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Mx => "MX",
            Self::Txt => "TXT",
            Self::Srv => "SRV",
            Self::Cname => "CNAME",
            Self::Ptr => "PTR",
        }
    }

    pub(crate) fn wire(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Mx => RecordType::MX,
            Self::Txt => RecordType::TXT,
            Self::Srv => RecordType::SRV,
            Self::Cname => RecordType::CNAME,
            Self::Ptr => RecordType::PTR,
        }
    }
}

impl Resolver {
    /// The records of one kind at a name, at most [`RECORDS_MAX`]; none where the name or the kind is not there.
    pub fn records<'a>(&'a self, name: &'a str, kind: RecordKind) -> BoxFuture<'a, Result<Vec<RecordData>, DnsError>> {
        // Boxed, so that it is compiled here, once, and not again in every binary that awaits it.
        Box::pin(async move {
            let name = ascii(name)?;
            self.ask(format!("{name}."), kind).await
        })
    }

    /// The names of an address. RFC 1035 §3.5.
    pub fn names(&self, address: IpAddr) -> BoxFuture<'_, Result<Vec<String>, DnsError>> {
        Box::pin(async move {
            let found = self.ask(Name::from(address).to_ascii(), RecordKind::Ptr).await?;
            let name = |data: RecordData| if let RecordData::Ptr(host) = data { Some(host) } else { None };
            Ok(found.into_iter().filter_map(name).collect())
        })
    }

    async fn ask(&self, name: String, kind: RecordKind) -> Result<Vec<RecordData>, DnsError> {
        match self.0.lookup(name.as_str(), kind.wire()).await {
            Ok(found) => {
                let data = found.answers().iter().filter_map(|record| RecordData::of(&record.data));
                Ok(data.filter(|data| data.kind() == kind).take(RECORDS_MAX).collect())
            }
            Err(error) if absent(&error).is_some() => Ok(Vec::new()),
            Err(error) => Err(DnsError::Unavailable { name, source: error.into() }),
        }
    }
}

/// The name under which an address's own name is published, without the final dot. RFC 1035 §3.5.
pub fn reverse_name(address: IpAddr) -> String {
    plain(&Name::from(address))
}

/// A text as zone files write it: strings of at most 255 octets in quotes. RFC 1035 §3.3, §5.1.
fn character_strings(text: &str) -> String {
    let mut out = String::from("\"");
    let mut octets = 0;
    for octet in text.bytes() {
        if octets == TXT_STRING_BYTES_MAX {
            out.push_str("\" \"");
            octets = 0;
        }
        octets += 1;
        match octet {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(octet));
            }
            b' '..=b'~' => out.push(char::from(octet)),
            _ => {
                let _ = write!(out, "\\{octet:03}");
            }
        }
    }
    out.push('"');
    out
}

fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_written_as_zone_files_have_it() {
        let line = |data: RecordData| data.zone_line("a.test");
        assert_eq!(line(RecordData::Mx { preference: 10, host: "mx.test".into() }), "a.test. IN MX 10 mx.test.");
        assert_eq!(line(RecordData::Address(IpAddr::from([192, 0, 2, 1]))), "a.test. IN A 192.0.2.1");
        assert_eq!(line(RecordData::Txt("a \"b\\\u{e9}".into())), "a.test. IN TXT \"a \\\"b\\\\\\195\\169\"");
        let long = line(RecordData::Txt("k".repeat(300)));
        assert_eq!(long, format!("a.test. IN TXT \"{}\" \"{}\"", "k".repeat(255), "k".repeat(45)));
        assert_eq!(reverse_name(IpAddr::from([192, 0, 2, 1])), "1.2.0.192.in-addr.arpa");
    }
}
