//! What the server says it can do (RFC 3501 §6.1.1), in one table: each capability, when it is shown, where it is from.

use std::fmt::Write as _;

/// A capability's line in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// As it is written in a CAPABILITY response.
    pub name: &'static str,
    /// The document that defines it.
    pub source: &'static str,
    when: When,
}

/// When a capability is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// In every state.
    Always,
    /// Before login, in the clear, where there is a certificate.
    TlsCanBegin,
    /// Before login, where a password would be seen by others (RFC 3501 §6.2.3).
    LoginForbidden,
    /// Before login, where a password may be sent.
    LoginAllowed,
    /// After login. These can be turned off for one account.
    LoggedIn,
}

const fn shown(when: When, name: &'static str, source: &'static str) -> Capability {
    Capability { name, source, when }
}

/// All of them, by when they are shown and then by name.
const TABLE: &[Capability] = &[
    // RFC 3501 §6.1.1 has IMAP4rev1 in every list; first, because old clients look there.
    shown(When::Always, "IMAP4rev1", "RFC 3501"),
    shown(When::Always, "ENABLE", "RFC 5161"),
    shown(When::Always, "ID", "RFC 2971"),
    shown(When::Always, "IMAP4rev2", "RFC 9051"),
    shown(When::Always, "LITERAL+", "RFC 7888"),
    shown(When::Always, "SASL-IR", "RFC 4959"),
    shown(When::TlsCanBegin, "STARTTLS", "RFC 3501"),
    shown(When::LoginForbidden, "LOGINDISABLED", "RFC 3501"),
    shown(When::LoginAllowed, "AUTH=LOGIN", "Outlook"),
    shown(When::LoginAllowed, "AUTH=OAUTHBEARER", "RFC 7628"),
    shown(When::LoginAllowed, "AUTH=PLAIN", "RFC 4616"),
    shown(When::LoggedIn, "ACL", "RFC 4314"),
    shown(When::LoggedIn, "APPENDLIMIT=67108864", "RFC 7889"),
    shown(When::LoggedIn, "BINARY", "RFC 3516"),
    shown(When::LoggedIn, "CATENATE", "RFC 4469"),
    shown(When::LoggedIn, "CHILDREN", "RFC 3348"),
    shown(When::LoggedIn, "COMPRESS=DEFLATE", "RFC 4978"),
    shown(When::LoggedIn, "CONDSTORE", "RFC 7162"),
    shown(When::LoggedIn, "CONTEXT=SEARCH", "RFC 5267"),
    shown(When::LoggedIn, "CONTEXT=SORT", "RFC 5267"),
    shown(When::LoggedIn, "CREATE-SPECIAL-USE", "RFC 6154"),
    shown(When::LoggedIn, "ESEARCH", "RFC 4731"),
    shown(When::LoggedIn, "ESORT", "RFC 5267"),
    shown(When::LoggedIn, "I18NLEVEL=1", "RFC 5255"),
    shown(When::LoggedIn, "IDLE", "RFC 2177"),
    shown(When::LoggedIn, "INPROGRESS", "RFC 9585"),
    // Also because K-9 uses SPECIAL-USE only beside it (mail.md quirk 22).
    shown(When::LoggedIn, "LIST-EXTENDED", "RFC 5258"),
    shown(When::LoggedIn, "LIST-METADATA", "RFC 9590"),
    shown(When::LoggedIn, "LIST-STATUS", "RFC 5819"),
    // The number is the default; CAPABILITY shows the server's own.
    shown(When::LoggedIn, "MESSAGELIMIT=1000000", "RFC 9738"),
    shown(When::LoggedIn, "METADATA", "RFC 5464"),
    shown(When::LoggedIn, "MOVE", "RFC 6851"),
    shown(When::LoggedIn, "MULTIAPPEND", "RFC 3502"),
    shown(When::LoggedIn, "MULTISEARCH", "RFC 7377"),
    shown(When::LoggedIn, "NAMESPACE", "RFC 2342"),
    shown(When::LoggedIn, "NOTIFY", "RFC 5465"),
    shown(When::LoggedIn, "OBJECTID", "RFC 8474"),
    shown(When::LoggedIn, "PARTIAL", "RFC 9394"),
    shown(When::LoggedIn, "PREVIEW", "RFC 8970"),
    shown(When::LoggedIn, "QRESYNC", "RFC 7162"),
    shown(When::LoggedIn, "QUOTA", "RFC 9208"),
    shown(When::LoggedIn, "QUOTA=RES-STORAGE", "RFC 9208"),
    shown(When::LoggedIn, "REPLACE", "RFC 8508"),
    // RFC 4314 §5.1.1: the rights that RFC 2086 had not.
    shown(When::LoggedIn, "RIGHTS=kxte", "RFC 4314"),
    shown(When::LoggedIn, "SAVEDATE", "RFC 8514"),
    shown(When::LoggedIn, "SEARCHRES", "RFC 5182"),
    shown(When::LoggedIn, "SORT", "RFC 5256"),
    shown(When::LoggedIn, "SORT=DISPLAY", "RFC 5957"),
    shown(When::LoggedIn, "SPECIAL-USE", "RFC 6154"),
    shown(When::LoggedIn, "STATUS=SIZE", "RFC 8438"),
    shown(When::LoggedIn, "THREAD=ORDEREDSUBJECT", "RFC 5256"),
    shown(When::LoggedIn, "THREAD=REFERENCES", "RFC 5256"),
    shown(When::LoggedIn, "THREAD=REFS", "draft-ietf-morg-inthread"),
    shown(When::LoggedIn, "UIDONLY", "RFC 9586"),
    shown(When::LoggedIn, "UIDPLUS", "RFC 4315"),
    shown(When::LoggedIn, "UNAUTHENTICATE", "RFC 8437"),
    shown(When::LoggedIn, "UNSELECT", "RFC 3691"),
    shown(When::LoggedIn, "URL-PARTIAL", "RFC 5550"),
    shown(When::LoggedIn, "UTF8=ACCEPT", "RFC 6855"),
    shown(When::LoggedIn, "WITHIN", "RFC 5032"),
];

const _: () = assert!(crate::limits::APPEND_BYTES_MAX == 67_108_864, "what APPENDLIMIT says");
const _: () = assert!(crate::limits::MESSAGE_LIMIT == 1_000_000, "what MESSAGELIMIT says");

/// Where a dialogue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) logged_in: bool,
    /// Whether STARTTLS would be done.
    pub(crate) tls_can_begin: bool,
    /// Whether a password may be sent as things are.
    pub(crate) may_log_in: bool,
    /// Messages one command goes through.
    pub(crate) message_limit: usize,
}

impl When {
    fn holds(self, place: Place) -> bool {
        match self {
            Self::Always => true,
            Self::TlsCanBegin => place.tls_can_begin && !place.logged_in,
            Self::LoginForbidden => !place.may_log_in && !place.logged_in,
            Self::LoginAllowed => place.may_log_in && !place.logged_in,
            Self::LoggedIn => place.logged_in,
        }
    }
}

/// Capabilities an account has turned off, for a client that breaks on one. The commands behind it still work: what
/// changes is what clients are told, and what ENABLE enables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Disabled(u128);

const _: () = assert!(TABLE.len() <= 128, "a bit of Disabled for each capability");

impl Disabled {
    /// Those of `names` that can be turned off; what an older version knew and this one does not is passed over.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let bits = names.into_iter().filter_map(at).filter(|&at| TABLE[at].when == When::LoggedIn);
        Self(bits.fold(0, |all, at| all | 1 << at))
    }

    /// Whether this capability is turned off.
    pub(crate) fn has(self, name: &str) -> bool {
        at(name).is_some_and(|at| self.0 & 1 << at != 0)
    }
}

/// A capability's place in the table.
fn at(name: &str) -> Option<usize> {
    TABLE.iter().position(|capability| capability.name.eq_ignore_ascii_case(name))
}

/// What an account may turn off, by name.
pub fn optional() -> impl Iterator<Item = Capability> {
    TABLE.iter().filter(|capability| capability.when == When::LoggedIn).copied()
}

/// The list a client is shown.
pub(crate) fn capabilities(place: Place, disabled: Disabled) -> String {
    let mut list = String::with_capacity(512);
    for capability in TABLE.iter().filter(|capability| capability.when.holds(place) && !disabled.has(capability.name)) {
        let space = if list.is_empty() { "" } else { " " };
        let _ = match capability.name.strip_prefix("MESSAGELIMIT=") {
            Some(_) => write!(list, "{space}MESSAGELIMIT={}", place.message_limit),
            None => write!(list, "{space}{}", capability.name),
        };
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE_LOGIN: Place =
        Place { logged_in: false, tls_can_begin: false, may_log_in: false, message_limit: 1_000_000 };
    const LOGGED_IN: Place = Place { logged_in: true, tls_can_begin: true, may_log_in: true, message_limit: 5 };

    fn shown_at(place: Place) -> Vec<String> {
        capabilities(place, Disabled::default()).split(' ').map(str::to_owned).collect()
    }

    /// The one test that knows the whole list: it is the list of docs/compatibility.md.
    #[test]
    fn the_documented_list_is_the_table() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/compatibility.md");
        let page = std::fs::read_to_string(page).unwrap();
        let documented: Vec<Vec<&str>> = page
            .lines()
            .skip_while(|line| !line.starts_with("| capability |"))
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
            .collect();
        for (capability, row) in TABLE.iter().zip(&documented) {
            let when = match capability.when {
                When::Always => "always",
                When::TlsCanBegin => "before login, in the clear",
                When::LoginForbidden => "before login, where passwords are not taken",
                When::LoginAllowed => "before login",
                When::LoggedIn => "after login",
            };
            assert_eq!(row[1..4], [capability.name, capability.source, when]);
        }
        assert_eq!(TABLE.len(), documented.len(), "a row for each capability");
    }

    #[test]
    fn names_are_there_once_and_in_order() {
        for pair in TABLE[1..].windows(2) {
            assert!(pair[0].when != pair[1].when || pair[0].name < pair[1].name, "{pair:?}");
        }
    }

    #[test]
    fn a_password_is_asked_for_only_where_it_may_be_sent() {
        let clear = Place { tls_can_begin: true, ..BEFORE_LOGIN };
        assert!(shown_at(clear).contains(&"STARTTLS".into()) && shown_at(clear).contains(&"LOGINDISABLED".into()));
        assert!(!shown_at(clear).iter().any(|name| name.starts_with("AUTH=")));
        let loopback = Place { may_log_in: true, ..clear };
        assert!(shown_at(loopback).contains(&"STARTTLS".into()) && shown_at(loopback).contains(&"AUTH=PLAIN".into()));
        let tls = Place { may_log_in: true, ..BEFORE_LOGIN };
        assert!(!shown_at(tls).iter().any(|name| name == "STARTTLS" || name == "LOGINDISABLED"));
        assert!(!shown_at(LOGGED_IN).iter().any(|name| name == "STARTTLS" || name.starts_with("AUTH=")));
        assert_eq!(shown_at(LOGGED_IN)[0], "IMAP4rev1");
        assert!(shown_at(LOGGED_IN).contains(&"MESSAGELIMIT=5".into()));
    }

    #[test]
    fn what_is_turned_off_is_not_shown_and_only_what_may_be_is() {
        let off = Disabled::new(["idle", "IMAP4rev1", "AUTH=PLAIN", "FROM-THE-FUTURE"]);
        assert!(off.has("IDLE") && !off.has("IMAP4rev1") && !off.has("AUTH=PLAIN") && !off.has("FROM-THE-FUTURE"));
        let list = capabilities(LOGGED_IN, off);
        assert!(!list.contains("IDLE") && list.contains("UIDPLUS"));
        assert!(optional().all(|capability| Disabled::new([capability.name]).has(capability.name)));
    }
}
