//! Filters: what an account's owner wants done with mail as it arrives (`docs/filters.md`).
//!
//! Words only: `policy` decides which filter a mail meets, the house carries it out.

use serde::{Deserialize, Serialize};

use crate::limits::{FILTER_KEYWORDS_MAX, FILTER_TEXT_BYTES_MAX};
use crate::{Msat, Place, Relation};

/// One filter: when all conditions hold, its actions are done and no later filter is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// What the owner calls it; unique in the account.
    pub name: String,
    /// What a mail must be like.
    pub when: Conditions,
    /// What becomes of it.
    pub then: Actions,
}

/// All that are given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// The From address, in lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The From address's domain, or one above it; in lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// What the author is to the owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relation: Option<Relation>,
    /// A header field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderIs>,
    /// More octets than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub larger_than: Option<u64>,
    /// Fewer octets than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smaller_than: Option<u64>,
    /// The address the mail came to, in lower case, or `+detail` of any address of the owner's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A header field that must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderIs {
    /// Its name.
    pub name: String,
    /// What one of that name must contain, whatever the case; empty: it need only be there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub contains: String,
}

/// At least one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Actions {
    /// Into this folder instead of INBOX, once nothing is to be paid. Into Junk and Trash at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Mark it `\Flagged`.
    #[serde(skip_serializing_if = "is_false")]
    pub flag: bool,
    /// Mark it with these keywords.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Ask this instead of what the relation costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Msat>,
    /// Ask nothing.
    #[serde(skip_serializing_if = "is_false")]
    pub free: bool,
    /// Do not take it: `550 5.7.1` where every recipient of the mail says so, else into Junk.
    #[serde(skip_serializing_if = "is_false")]
    pub refuse: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Why a filter cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It would meet every mail.
    #[error("a filter needs a condition: from, domain, relation, header, larger-than, smaller-than or to")]
    NoCondition,
    /// It would do nothing.
    #[error("a filter needs an action: file, flag, keyword, price, free or refuse")]
    NoAction,
    /// Two actions that exclude each other.
    #[error("{0} and {1} exclude each other")]
    Contradiction(&'static str, &'static str),
    /// Anybody could write a mail that pays less.
    #[error(
        "free and price need from, domain, relation or to as well: header fields and size are the sender's to choose, \
         and anybody could choose them"
    )]
    Forgeable,
    /// No such folder can be filed into.
    #[error("{0} cannot be filed into; allowed: INBOX, Archive, Junk, Trash and your own folders")]
    Folder(String),
    /// A text of the wrong length.
    #[error("{what} has {len} octets; allowed: 1 to {FILTER_TEXT_BYTES_MAX}")]
    Length {
        /// Of what.
        what: &'static str,
        /// How many.
        len: usize,
    },
    /// A text that cannot be.
    #[error("{what} \"{text}\": {allowed}")]
    Text {
        /// Of what.
        what: &'static str,
        /// As given.
        text: String,
        /// What would do.
        allowed: &'static str,
    },
    /// Too many keywords.
    #[error("a filter sets at most {FILTER_KEYWORDS_MAX} keywords, this {0}")]
    Keywords(usize),
}

impl Filter {
    /// Whether it makes sense, in words for whoever wrote it.
    pub fn check(&self) -> Result<(), FilterError> {
        length("the name", &self.name)?;
        plain("the name", &self.name)?;
        self.when.check()?;
        self.then.check()?;
        let known = self.when.from.is_some() || self.when.domain.is_some();
        if self.gives_way() && !(known || self.when.relation.is_some() || self.when.to.is_some()) {
            return Err(FilterError::Forgeable);
        }
        Ok(())
    }

    /// Whether it changes what is asked: then an author counts only when something vouches for the address.
    pub fn gives_way(&self) -> bool {
        self.then.free || self.then.price.is_some()
    }
}

impl Conditions {
    fn check(&self) -> Result<(), FilterError> {
        if *self == Self::default() {
            return Err(FilterError::NoCondition);
        }
        if let Some(from) = &self.from {
            length("from", from)?;
            plain("from", from)?;
            if !from.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty()) {
                return Err(text("from", from, "write an address, like bob@shop.example"));
            }
        }
        if let Some(domain) = &self.domain {
            length("domain", domain)?;
            if !crate::allow::is_domain(domain) {
                return Err(text("domain", domain, "write a domain name, like shop.example"));
            }
        }
        if let Some(HeaderIs { name, contains }) = &self.header {
            length("header", name)?;
            // RFC 5322 §2.2: a field name is printable US-ASCII without a colon.
            if !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
                return Err(text("header", name, "write a field's name, or NAME:TEXT"));
            }
            if !contains.is_empty() {
                length("the header's text", contains)?;
                plain("the header's text", contains)?;
            }
        }
        if let Some(to) = &self.to {
            length("to", to)?;
            plain("to", to)?;
            let (whole, detail) = (to.split_once('@'), to.strip_prefix('+'));
            if whole.is_none_or(|(local, domain)| local.is_empty() || domain.is_empty())
                && detail.is_none_or(|detail| detail.is_empty() || detail.contains('@'))
            {
                return Err(text("to", to, "write one of your addresses, or +detail"));
            }
        }
        Ok(())
    }
}

impl Actions {
    fn check(&self) -> Result<(), FilterError> {
        if *self == Self::default() {
            return Err(FilterError::NoAction);
        }
        let exclusive = [(self.refuse, "refuse"), (self.free, "free"), (self.price.is_some(), "price")];
        let mut chosen = exclusive.iter().filter(|(given, _)| *given);
        if let (Some((_, first)), Some((_, second))) = (chosen.next(), chosen.next()) {
            return Err(FilterError::Contradiction(first, second));
        }
        if let Some(folder) = &self.file {
            length("file", folder)?;
            plain("file", folder)?;
            if self.refuse {
                return Err(FilterError::Contradiction("refuse", "file"));
            }
            if matches!(born(folder), Some(Place::Requests | Place::Unpaid | Place::Sent | Place::Drafts | Place::Own))
            {
                return Err(FilterError::Folder(folder.clone()));
            }
        }
        if self.keywords.len() > FILTER_KEYWORDS_MAX {
            return Err(FilterError::Keywords(self.keywords.len()));
        }
        for keyword in &self.keywords {
            length("keyword", keyword)?;
            // RFC 3501 §9: a flag-keyword is an atom.
            let atom = |byte: u8| byte.is_ascii_graphic() && !br#"(){%*"\]"#.contains(&byte);
            if !keyword.bytes().all(atom) {
                return Err(text(
                    "keyword",
                    keyword,
                    "a keyword is printable ASCII without spaces and ( ) { % * \" \\ ]",
                ));
            }
            if crate::payment::SERVER_KEYWORDS.iter().any(|ours| ours.eq_ignore_ascii_case(keyword)) {
                return Err(text("keyword", keyword, "that one belongs to the server"));
            }
        }
        Ok(())
    }

    /// Where `file` points, when it is one of the folders every account has.
    pub fn born_place(&self) -> Option<Place> {
        self.file.as_deref().and_then(born)
    }
}

/// The born folder of this name; RFC 3501 §5.1: INBOX whatever the case, and nobody means two folders by two cases of
/// the others.
fn born(folder: &str) -> Option<Place> {
    Place::BORN.into_iter().find(|place| place.born_name().is_some_and(|name| name.eq_ignore_ascii_case(folder)))
}

fn length(what: &'static str, text: &str) -> Result<(), FilterError> {
    match text.len() {
        1..=FILTER_TEXT_BYTES_MAX => Ok(()),
        len => Err(FilterError::Length { what, len }),
    }
}

fn plain(what: &'static str, given: &str) -> Result<(), FilterError> {
    if given.chars().any(char::is_control) { Err(text(what, given, "controls are not allowed")) } else { Ok(()) }
}

fn text(what: &'static str, text: &str, allowed: &'static str) -> FilterError {
    FilterError::Text { what, text: text.escape_debug().to_string(), allowed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(when: Conditions, then: Actions) -> Filter {
        Filter { name: "one".into(), when, then }
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        let from = Conditions { from: Some("bob@shop.test".into()), ..Conditions::default() };
        let header = Conditions {
            header: Some(HeaderIs { name: "List-Id".into(), contains: "news".into() }),
            ..Conditions::default()
        };
        let free = Actions { free: true, ..Actions::default() };
        let file = |folder: &str| Actions { file: Some(folder.into()), ..Actions::default() };
        let word = |word: &str| Actions { keywords: vec![word.into()], ..Actions::default() };
        let of = |text: &str| Conditions { from: Some(text.into()), ..Conditions::default() };
        let at = |text: &str| Conditions { to: Some(text.into()), ..Conditions::default() };
        let named = |name: &str| Conditions {
            header: Some(HeaderIs { name: name.into(), contains: String::new() }),
            ..Conditions::default()
        };
        let table = [
            (Conditions::default(), free.clone(), "needs a condition"),
            (from.clone(), Actions::default(), "needs an action"),
            (header.clone(), free.clone(), "anybody could choose them"),
            (header.clone(), Actions { price: Some(Msat(1)), ..Actions::default() }, "anybody could choose them"),
            (from.clone(), Actions { refuse: true, ..free.clone() }, "refuse and free exclude"),
            (from.clone(), Actions { price: Some(Msat(1)), ..free.clone() }, "free and price exclude"),
            (from.clone(), Actions { refuse: true, ..file("Shops") }, "refuse and file exclude"),
            (from.clone(), file("unpaid"), "unpaid cannot be filed into"),
            (from.clone(), file(""), "file has 0 octets"),
            (from.clone(), word("$Paid"), "belongs to the server"),
            (from.clone(), word("two words"), "without spaces"),
            (from.clone(), Actions { keywords: vec!["x".into(); 9], ..Actions::default() }, "at most 8 keywords"),
            (of("bob"), free.clone(), "write an address"),
            (of(&"x".repeat(300)), free.clone(), "from has 300 octets"),
            (of("b\r\n@x"), free.clone(), "controls"),
            (at("alice"), free.clone(), "+detail"),
            (at("+"), free.clone(), "+detail"),
            (named("List Id"), file("Lists"), "field's name"),
            (Conditions { domain: Some("shop..test".into()), ..Conditions::default() }, free.clone(), "domain name"),
        ];
        for (when, then, why) in table {
            let error = filter(when.clone(), then.clone()).check().map_err(|error| error.to_string());
            assert!(error.as_ref().is_err_and(|error| error.contains(why)), "{when:?} {then:?}: {error:?}");
        }
        for (when, then) in [
            (from, free.clone()),
            (header, file("Lists/Rust")),
            (at("+shop"), free.clone()),
            (at("alice+shop@satchel.test"), free),
            (of("bob@shop.test"), word("$label1")),
        ] {
            assert_eq!(filter(when, then).check(), Ok(()));
        }
    }

    #[test]
    fn a_filter_is_kept_as_short_json_and_read_again() {
        let one = filter(
            Conditions { domain: Some("shop.test".into()), ..Conditions::default() },
            Actions { file: Some("Shops".into()), ..Actions::default() },
        );
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(text, r#"{"name":"one","when":{"domain":"shop.test"},"then":{"file":"Shops"}}"#);
        assert_eq!(serde_json::from_str::<Filter>(&text).unwrap(), one);
    }
}
