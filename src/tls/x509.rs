//! What a certificate says of itself: names and dates, read from its DER. Whom it may be trusted by is rustls's matter.
//!
//! RFC 5280 §4.1: `SEQUENCE { tbs SEQUENCE { [0] version, serial, algorithm, issuer, validity, subject, key, .. [3] extensions
//! }, .. }`.

use std::net::IpAddr;

use chrono::NaiveDateTime;

/// OID 2.5.29.17, subjectAltName. RFC 5280 §4.2.1.6.
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// What is read of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its DNS names in lower case, `*.` in front for a wildcard; its addresses.
    pub names: Vec<String>,
    /// From when, in seconds since 1970.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
    /// Nobody but its holder vouches for it.
    pub self_signed: bool,
}

impl Facts {
    /// Reads them; `None` when this is no certificate.
    pub fn read(certificate: &[u8]) -> Option<Self> {
        let mut tbs = Der(Der(Der(certificate).expect(SEQUENCE)?).expect(SEQUENCE)?);
        tbs.skip(VERSION);
        tbs.expect(INTEGER)?;
        tbs.expect(SEQUENCE)?;
        let issuer = tbs.expect(SEQUENCE)?;
        let mut validity = Der(tbs.expect(SEQUENCE)?);
        let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
        let subject = tbs.expect(SEQUENCE)?;
        tbs.expect(SEQUENCE)?;
        let mut names = Vec::new();
        while let Some((tag, content)) = tbs.next() {
            if tag == EXTENSIONS {
                names = subject_alt_names(Der(Der(content).expect(SEQUENCE)?)).unwrap_or_default();
            }
        }
        Some(Self { names, not_before, not_after, self_signed: issuer == subject })
    }

    /// Whether it is for this host. RFC 9525 §6.3: a wildcard stands for exactly one label.
    pub fn covers(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(above) => host.split_once('.').is_some_and(|(_, rest)| rest == above),
            None => *name == host,
        })
    }
}

fn subject_alt_names(mut extensions: Der<'_>) -> Option<Vec<String>> {
    while let Some((SEQUENCE, extension)) = extensions.next() {
        let mut extension = Der(extension);
        if extension.expect(OBJECT_IDENTIFIER)? != SUBJECT_ALT_NAME {
            continue;
        }
        // A BOOLEAN may stand between: critical.
        let value = loop {
            let (tag, content) = extension.next()?;
            if tag == OCTET_STRING {
                break content;
            }
        };
        let mut general_names = Der(Der(value).expect(SEQUENCE)?);
        let mut names = Vec::new();
        while let Some((tag, content)) = general_names.next() {
            match (tag, content.len()) {
                (DNS_NAME, _) => names.push(String::from_utf8_lossy(content).to_ascii_lowercase()),
                (IP_ADDRESS, 4) => names.push(IpAddr::from(<[u8; 4]>::try_from(content).ok()?).to_string()),
                (IP_ADDRESS, 16) => names.push(IpAddr::from(<[u8; 16]>::try_from(content).ok()?).to_string()),
                _ => {}
            }
        }
        return Some(names);
    }
    None
}

/// RFC 5280 §4.1.2.5.
fn time((tag, content): (u8, &[u8])) -> Option<i64> {
    let digits = std::str::from_utf8(content).ok()?;
    let text = match tag {
        // RFC 5280 §4.1.2.5.1: years of two digits below 50 are of this century.
        UTC_TIME => format!("{}{digits}", if digits.get(..2)? < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => digits.to_owned(),
        _ => return None,
    };
    Some(NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%SZ").ok()?.and_utc().timestamp())
}

/// A run of DER values: each a tag, a length, a content.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (octets.iter().fold(0, |length, &octet| length << 8 | usize::from(octet)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The next value, if it is of this kind.
    fn expect(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
    }

    /// Steps over the next value if it is of this kind.
    fn skip(&mut self, unwanted: u8) {
        if self.0.first() == Some(&unwanted) {
            self.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_dates_are_read_and_noise_is_refused() {
        let mut parameters =
            rcgen::CertificateParams::new(["MX.a.test".to_owned(), "192.0.2.1".into(), "*.b.test".into()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2026, 1, 2);
        // RFC 5280 §4.1.2.5: from 2050 on, four digits.
        parameters.not_after = rcgen::date_time_ymd(2051, 1, 2);
        let key = rcgen::KeyPair::generate().unwrap();
        let made = parameters.self_signed(&key).unwrap();
        let facts = Facts::read(made.der()).unwrap();
        assert_eq!(facts.names, ["mx.a.test", "192.0.2.1", "*.b.test"]);
        assert_eq!((facts.not_before, facts.not_after, facts.self_signed), (1_767_312_000, 2_556_230_400, true));
        for (host, covered) in [
            ("mx.A.test.", true),
            ("x.b.test", true),
            ("192.0.2.1", true),
            ("b.test", false),
            ("x.y.b.test", false),
            ("a.test", false),
        ] {
            assert_eq!(facts.covers(host), covered, "{host}");
        }
        for length in 0..made.der().len() {
            assert_eq!(Facts::read(&made.der()[..length]), None);
        }
        assert_eq!(Facts::read(&[0xff; 64]), None);
        assert_eq!(Facts::read(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn one_that_another_signed_says_so() {
        let (ca_key, key) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
        let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
        ca.distinguished_name.push(rcgen::DnType::CommonName, "A CA");
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let mut parameters = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        let made = parameters.signed_by(&key, &issuer).unwrap();
        assert!(!Facts::read(made.der()).unwrap().self_signed);
    }
}
