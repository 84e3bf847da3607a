//! Who is let in free without being a contact: whole domains, and mailing lists.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::{DOMAIN_LABEL_OCTETS_MAX, DOMAIN_OCTETS_MAX};

/// One entry of an allow-list. Nothing forgeable passes: a domain counts for authors that align with it, a list for
/// mail that a domain vouches for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Allowed {
    /// Authors of this domain and those below it, once an identifier aligns.
    Domain(String),
    /// Mail with this List-Id (RFC 2919).
    List {
        /// The List-Id without brackets, in lower case.
        id: String,
        /// The domain whose passing DKIM signature or SPF vouches for it; without one, that must be the List-Id's own
        /// or one above it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
}

/// Why an entry cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no {1}; allowed: labels of a-z, 0-9, '-' and '_' joined by dots, at least two")]
pub struct AllowedError(String, &'static str);

impl Allowed {
    /// A domain as somebody wrote it.
    pub fn domain(text: &str) -> Result<Self, AllowedError> {
        named(text, "domain name").map(Self::Domain)
    }

    /// A mailing list as somebody wrote it, brackets or not.
    pub fn list(id: &str, by: Option<&str>) -> Result<Self, AllowedError> {
        let id = named(id.trim_start_matches('<').trim_end_matches('>'), "List-Id")?;
        Ok(Self::List { id, by: by.map(|by| named(by, "domain name")).transpose()? })
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => write!(f, "domain {domain}"),
            Self::List { id, by: None } => write!(f, "list {id}"),
            Self::List { id, by: Some(by) } => write!(f, "list {id} by {by}"),
        }
    }
}

fn named(text: &str, what: &'static str) -> Result<String, AllowedError> {
    let lower = text.trim().trim_end_matches('.').to_ascii_lowercase();
    if is_domain(&lower) && lower.contains('.') {
        Ok(lower)
    } else {
        Err(AllowedError(text.escape_debug().to_string(), what))
    }
}

/// Whether a text in lower case is a domain name as mail knows them (RFC 1035 §2.3.4; `_` because people use it).
pub fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=DOMAIN_LABEL_OCTETS_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    !text.is_empty() && text.len() <= DOMAIN_OCTETS_MAX && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_people_write_them() {
        assert_eq!(Allowed::domain("Shop.Example."), Ok(Allowed::Domain("shop.example".into())));
        let list = |by: Option<&str>| Allowed::List { id: "users.lists.example".into(), by: by.map(str::to_owned) };
        assert_eq!(Allowed::list("<Users.lists.example>", None), Ok(list(None)));
        assert_eq!(Allowed::list("users.lists.example", Some("ESP.example")), Ok(list(Some("esp.example"))));
        for text in ["", "com", "shop..example", "a b.example", "*.example"] {
            assert!(Allowed::domain(text).is_err(), "{text}");
        }
    }
}
