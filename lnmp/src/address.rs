//! Addresses: `alice#a3f2b9@example.org` (protocol.md §3).
//!
//! The checksum catches a mistyped name before it reaches somebody else. It never authenticates: 33.7 bits
//! are minutes of work for whoever wants to match one.

use std::fmt;
use std::str::FromStr;

use crate::PublicKey;
use crate::identity::sha256;
use crate::limits::{CHECKSUM_CHARS, DOMAIN_LABEL_OCTETS_MAX, DOMAIN_OCTETS_MAX, USERNAME_CHARS_MAX};

const BASE58: &str = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// The six characters that tie a username to its owner's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum([u8; CHECKSUM_CHARS]);

impl Checksum {
    /// The checksum of `local` (lower-cased here) for the owner of `key`: the first six characters of
    /// `base58(SHA-256(64 lower-case hex digits of the key ‖ username))`.
    pub fn of(local: &str, key: &PublicKey) -> Self {
        let mut input = key.to_string();
        input.push_str(&local.to_ascii_lowercase());
        let text = bs58::encode(sha256(input.as_bytes())).into_string();
        Self(text.as_bytes()[..CHECKSUM_CHARS].try_into().expect("base58 of 32 octets has 32 characters or more"))
    }

    /// Reads six characters, keeping their case. Case may have been folded on the way, so every letter and
    /// digit that some base58 character folds to is taken.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        for (at, c) in text.chars().enumerate() {
            if !BASE58.chars().any(|known| known.eq_ignore_ascii_case(&c)) {
                return Err(AddressError::ChecksumChar { char: c, at });
            }
        }
        text.as_bytes().try_into().map(Self).map_err(|_| AddressError::ChecksumLength(text.len()))
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("made of base58 characters")
    }

    /// Equality as mail software leaves it: without case.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({self})")
    }
}

/// What is wrong with an address, where, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@`, or more than one.
    #[error("an address has exactly one '@', this has {0}")]
    At(usize),
    /// Nothing before `@`, `#` or `+`.
    #[error("the name before '@' is empty; it is 1 to 32 of a-z 0-9 . _ -")]
    LocalEmpty,
    /// Too long a name.
    #[error("the name before '@' has {0} characters; at most 32 are allowed")]
    LocalLength(usize),
    /// A character that names may not have.
    #[error("{char:?} at position {at} of the name is not allowed; a name is made of a-z 0-9 . _ -")]
    LocalChar {
        /// The character.
        char: char,
        /// Characters before it.
        at: usize,
    },
    /// Not six characters after `#`.
    #[error("the checksum after '#' has {0} octets; it has exactly 6")]
    ChecksumLength(usize),
    /// A character base58 does not know.
    #[error(
        "{char:?} at position {at} of the checksum is not allowed; a checksum is made of base58 letters and digits"
    )]
    ChecksumChar {
        /// The character.
        char: char,
        /// Characters before it.
        at: usize,
    },
    /// Something is wrong with the domain.
    #[error("the domain is not usable: {0}")]
    Domain(&'static str),
    /// The checksum belongs to another name or another key.
    #[error(
        "the checksum {given} does not belong to {local}: the name or the checksum is mistyped, or the owner's key has changed; the right address can be had from its owner"
    )]
    WrongChecksum {
        /// The name.
        local: String,
        /// The checksum that was given.
        given: Checksum,
    },
}

/// What checking an address against its owner's key showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// It bears the right checksum, after `#` or after `+`.
    Checked,
    /// It bears none.
    Plain,
    /// It bears none, but an ordinary `+` detail.
    Detail(String),
}

/// An address at a bridge, parsed: name and domain in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    local: String,
    detail: Option<String>,
    checksum: Option<Checksum>,
    domain: String,
}

impl Address {
    /// Parses `local@domain`, `local#checksum@domain` or `local+detail@domain`.
    ///
    /// # Errors
    /// Says what was wrong, where, and what is allowed.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let ats = text.matches('@').count();
        let (left, domain) = match text.split_once('@') {
            Some(parts) if ats == 1 => parts,
            _ => return Err(AddressError::At(ats)),
        };
        let (left, checksum) = match left.split_once('#') {
            Some((left, sum)) => (left, Some(Checksum::parse(sum)?)),
            None => (left, None),
        };
        let (left, detail) = match left.split_once('+') {
            Some((left, detail)) => (left, Some(detail.to_owned())),
            None => (left, None),
        };
        Ok(Self { local: parse_local(left)?, detail, checksum, domain: parse_domain(domain)? })
    }

    /// Name of the mailbox, lower case.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// What stood after `+`, as it stood: a checksum or an ordinary subaddress (RFC 5233).
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// What stood after `#`.
    pub fn checksum(&self) -> Option<&Checksum> {
        self.checksum.as_ref()
    }

    /// The domain, lower case, in its ASCII form.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether the checksum after `#` belongs to this name and `key`, case aside. `true` when there is none.
    pub fn checksum_matches(&self, key: &PublicKey) -> bool {
        self.checksum.is_none_or(|given| given.matches(&Checksum::of(&self.local, key)))
    }

    /// Checks the address against the key the directory names for it. `alice+a3f2b9` counts as checked only
    /// when the detail *is* the checksum; otherwise it is a detail like any other.
    ///
    /// # Errors
    /// [`AddressError::WrongChecksum`]: what stands after `#` belongs to another name or key.
    pub fn verify(&self, key: &PublicKey) -> Result<Verified, AddressError> {
        if let Some(given) = self.checksum {
            if !self.checksum_matches(key) {
                return Err(AddressError::WrongChecksum { local: self.local.clone(), given });
            }
            return Ok(Verified::Checked);
        }
        let Some(detail) = &self.detail else { return Ok(Verified::Plain) };
        match Checksum::parse(detail) {
            Ok(given) if given.matches(&Checksum::of(&self.local, key)) => Ok(Verified::Checked),
            _ => Ok(Verified::Detail(detail.clone())),
        }
    }

    /// The form to print and publish: name, the checksum in its own case, domain; no detail.
    pub fn canonical(&self, key: &PublicKey) -> Self {
        Self {
            local: self.local.clone(),
            detail: None,
            checksum: Some(Checksum::of(&self.local, key)),
            domain: self.domain.clone(),
        }
    }

    /// The bare mailbox: `local@domain`.
    pub fn mailbox(&self) -> String {
        format!("{}@{}", self.local, self.domain)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.local)?;
        if let Some(detail) = &self.detail {
            write!(f, "+{detail}")?;
        }
        if let Some(checksum) = &self.checksum {
            write!(f, "#{checksum}")?;
        }
        write!(f, "@{}", self.domain)
    }
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

/// `[a-z0-9._-]{1,32}` after lower-casing ASCII. Within these characters NFC changes nothing.
fn parse_local(text: &str) -> Result<String, AddressError> {
    let local = text.to_ascii_lowercase();
    if let Some((at, char)) =
        local.chars().enumerate().find(|(_, c)| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-'))
    {
        return Err(AddressError::LocalChar { char, at });
    }
    match local.len() {
        0 => Err(AddressError::LocalEmpty),
        1..=USERNAME_CHARS_MAX => Ok(local),
        length => Err(AddressError::LocalLength(length)),
    }
}

fn parse_domain(text: &str) -> Result<String, AddressError> {
    let domain = text.to_ascii_lowercase();
    if domain.is_empty() {
        return Err(AddressError::Domain("it is empty"));
    }
    if !domain.is_ascii() {
        return Err(AddressError::Domain("write letters outside ASCII in their xn-- form"));
    }
    if domain.len() > DOMAIN_OCTETS_MAX {
        return Err(AddressError::Domain("it is longer than 253 octets"));
    }
    for label in domain.split('.') {
        if label.is_empty() || label.len() > DOMAIN_LABEL_OCTETS_MAX {
            return Err(AddressError::Domain("each part between dots has 1 to 63 characters"));
        }
        if !label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(AddressError::Domain("it is made of a-z 0-9 - and dots"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(AddressError::Domain("no part may begin or end with '-'"));
        }
    }
    Ok(domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    fn alice() -> PublicKey {
        Identity::from_secret_bytes(&[7; 32]).unwrap().public_key()
    }

    #[test]
    fn an_address_with_its_checksum_survives_text() {
        let address = Address::parse("Alice@Example.ORG").unwrap().canonical(&alice());
        let text = address.to_string();
        assert_eq!(Address::parse(&text).unwrap(), address);
        assert!(text.starts_with("alice#") && text.ends_with("@example.org"), "{text}");
        assert_eq!(address.verify(&alice()), Ok(Verified::Checked));
        assert_eq!(address.mailbox(), "alice@example.org");
    }

    #[test]
    fn a_checksum_counts_in_any_case_and_after_a_plus() {
        let sum = Checksum::of("alice", &alice()).to_string();
        for text in [sum.clone(), sum.to_lowercase(), sum.to_uppercase()] {
            let hash = Address::parse(&format!("alice#{text}@example.org")).unwrap();
            assert_eq!(hash.verify(&alice()), Ok(Verified::Checked), "{text}");
            let plus = Address::parse(&format!("alice+{text}@example.org")).unwrap();
            assert_eq!(plus.verify(&alice()), Ok(Verified::Checked), "{text}");
        }
        assert_eq!(Checksum::of("ALICE", &alice()), Checksum::of("alice", &alice()));
    }

    #[test]
    fn a_wrong_checksum_is_refused_with_a_clear_text_and_a_plus_detail_is_not() {
        let wrong = Address::parse("alice#zzzzzz@example.org").unwrap();
        assert!(!wrong.checksum_matches(&alice()));
        let text = wrong.verify(&alice()).unwrap_err().to_string();
        assert!(text.contains("zzzzzz does not belong to alice"), "{text}");
        let detail = Address::parse("alice+shop@example.org").unwrap();
        assert_eq!(detail.verify(&alice()), Ok(Verified::Detail("shop".into())));
        assert_eq!(Address::parse("alice@example.org").unwrap().verify(&alice()), Ok(Verified::Plain));
        // The checksum binds the name: that of alice is not that of alicia.
        let sum = Checksum::of("alice", &alice());
        assert!(Address::parse(&format!("alicia#{sum}@example.org")).unwrap().verify(&alice()).is_err());
    }

    #[test]
    fn errors_say_what_where_and_what_is_allowed() {
        let cases = [
            ("alice", "exactly one '@', this has 0"),
            ("a@b@c", "exactly one '@', this has 2"),
            ("@example.org", "is empty"),
            ("al ice@example.org", "' ' at position 2"),
            ("älice@example.org", "'ä' at position 0"),
            ("alice#a3f2b@example.org", "has 5 octets; it has exactly 6"),
            ("alice#a3f2b9x@example.org", "has 7 octets"),
            ("alice#a3f20é@example.org", "'0' at position 4 of the checksum"),
            ("alice@", "it is empty"),
            ("alice@exa_mple.org", "a-z 0-9 - and dots"),
            ("alice@example..org", "1 to 63"),
            ("alice@-example.org", "begin or end with '-'"),
            ("alice@bücher.example", "xn--"),
        ];
        for (text, expected) in cases {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let error = Address::parse(&format!("{}@example.org", "a".repeat(33))).unwrap_err().to_string();
        assert!(error.contains("33 characters; at most 32"), "{error}");
        assert!(Address::parse(&format!("{}@example.org", "a".repeat(32))).is_ok());
        assert!(Address::parse(&format!("a@{}", "a.".repeat(126) + "ab")).is_err());
        assert!(Address::parse(&format!("a@{}", "a.".repeat(126) + "a")).is_ok());
    }
}
