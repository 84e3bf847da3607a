//! Mailbox names: modified UTF-7 on the wire (RFC 3501 §5.1.3), or UTF-8 once the client asked for it (RFC 6855 §3,
//! RFC 9051 §5.1); UTF-8 inside; and the patterns of LIST.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use unicode_normalization::UnicodeNormalization as _;

use crate::limits::{LIST_WILDCARDS_MAX, MAILBOX_LEVELS_MAX, MAILBOX_NAME_BYTES_MAX};
use crate::wire::write;

/// The hierarchy separator of every mailbox. One personal namespace, prefix "" (mail.md quirk 18).
pub(crate) const SEPARATOR: char = '/';

/// Above the mailboxes of other users (RFC 2342 §5), each below its owner's address.
pub(crate) const OTHER_USERS: &str = "Other Users";

/// RFC 3501 §5.1.3: base64 with `,` for `/` and without padding. Stray last bits are an error: they would make two
/// spellings of one name.
const MODIFIED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::IMAP_MUTF7,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// How names stand on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// RFC 3501 §5.1.3.
    ModifiedUtf7,
    /// After ENABLE of UTF8=ACCEPT or IMAP4rev2: `&` is just a character.
    Utf8,
}

/// Why a name cannot be a mailbox's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("Mailbox name is not valid modified UTF-7")]
    Encoding,
    #[error("Mailbox name is not valid UTF-8")]
    NotUtf8,
    #[error("Mailbox name is empty or has an empty level")]
    EmptyLevel,
    #[error("Mailbox name is too long or too deep")]
    TooLong,
    #[error("Mailbox name has a control character")]
    Control,
}

/// A mailbox name a client sent, decoded and checked. INBOX is in capitals, as a first level too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MailboxName(String);

impl MailboxName {
    /// Decodes modified UTF-7. A command asks `Session::name`, which knows the spelling.
    #[cfg(test)]
    pub(crate) fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        Self::read(wire, Spelling::ModifiedUtf7)
    }

    /// Decodes what stood on the wire.
    pub(crate) fn read(wire: &[u8], spelling: Spelling) -> Result<Self, NameError> {
        Self::checked(decode(wire, spelling)?)
    }

    /// [`MailboxName::read`], where a trailing separator only announces children (RFC 3501 §6.3.3; Thunderbird).
    pub(crate) fn read_to_create(wire: &[u8], spelling: Spelling) -> Result<Self, NameError> {
        let mut name = decode(wire, spelling)?;
        if name.ends_with(SEPARATOR) {
            name.pop();
        }
        Self::checked(name)
    }

    /// A name in UTF-8, as URLs have it.
    pub(crate) fn from_utf8(name: String) -> Result<Self, NameError> {
        Self::checked(name)
    }

    fn checked(name: String) -> Result<Self, NameError> {
        if name.len() > MAILBOX_NAME_BYTES_MAX || name.split(SEPARATOR).count() > MAILBOX_LEVELS_MAX {
            return Err(NameError::TooLong);
        }
        if name.split(SEPARATOR).any(str::is_empty) {
            return Err(NameError::EmptyLevel);
        }
        // RFC 5198 §2, which RFC 6855 §3 and RFC 9051 §5.1 ask for: no controls, no separators of lines and paragraphs.
        if name.chars().any(|character| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')) {
            return Err(NameError::Control);
        }
        Ok(Self(canonical_inbox(name)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }

    /// Whether it is where mailboxes of other users are shown.
    pub(crate) fn is_of_other_user(&self) -> bool {
        self.0.strip_prefix(OTHER_USERS).is_some_and(|rest| rest.is_empty() || rest.starts_with(SEPARATOR))
    }

    pub(crate) fn is_inbox(&self) -> bool {
        self.0 == "INBOX"
    }
}

/// INBOX without case (RFC 3501 §5.1), also above children: `inbox/work` and `INBOX/work` are one mailbox.
pub(crate) fn canonical_inbox(name: String) -> String {
    let first = name.split(SEPARATOR).next().unwrap_or("");
    if first.eq_ignore_ascii_case("INBOX") && first != "INBOX" { format!("INBOX{}", &name[5..]) } else { name }
}

/// Names above `name`, outermost first.
pub(crate) fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices(SEPARATOR).map(|(at, _)| &name[..at])
}

/// What stood on the wire as UTF-8, composed: what macOS sends decomposed is the name others see (RFC 5198 §3, which
/// RFC 9051 §5.1 lets a server apply).
pub(crate) fn decode(wire: &[u8], spelling: Spelling) -> Result<String, NameError> {
    let name = match spelling {
        Spelling::ModifiedUtf7 => decode_utf7(wire)?,
        Spelling::Utf8 => String::from_utf8(wire.to_vec()).map_err(|_| NameError::NotUtf8)?,
    };
    Ok(if name.is_ascii() { name } else { name.nfc().collect() })
}

/// Modified UTF-7 to UTF-8. Clients that send UTF-8 outright are understood.
fn decode_utf7(wire: &[u8]) -> Result<String, NameError> {
    if !wire.is_ascii() {
        return String::from_utf8(wire.to_vec()).map_err(|_| NameError::Encoding);
    }
    let text = std::str::from_utf8(wire).map_err(|_| NameError::Encoding)?;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let (shifted, after) = rest[at + 1..].split_once('-').ok_or(NameError::Encoding)?;
        rest = after;
        if shifted.is_empty() {
            out.push('&');
            continue;
        }
        let octets = MODIFIED.decode(shifted).map_err(|_| NameError::Encoding)?;
        if octets.len() % 2 != 0 {
            return Err(NameError::Encoding);
        }
        let units = octets.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        for character in char::decode_utf16(units) {
            out.push(character.map_err(|_| NameError::Encoding)?);
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// A name on the wire.
pub(crate) fn write_name(out: &mut Vec<u8>, name: &str, spelling: Spelling) {
    match spelling {
        // RFC 6855 §3: a quoted string may hold UTF-8 then.
        Spelling::Utf8 if !name.is_ascii() && name.len() < 1024 => write::quoted(out, name.as_bytes()),
        Spelling::Utf8 => write::astring(out, name.as_bytes()),
        Spelling::ModifiedUtf7 => write::astring(out, encode(name).as_bytes()),
    }
}

/// UTF-8 to modified UTF-7.
fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    let unshift = |out: &mut String, shifted: &mut Vec<u8>| {
        if !shifted.is_empty() {
            out.push('&');
            MODIFIED.encode_string(&shifted, out);
            out.push('-');
            shifted.clear();
        }
    };
    for character in name.chars() {
        match character {
            ' '..='~' => {
                unshift(&mut out, &mut shifted);
                out.push(character);
                if character == '&' {
                    out.push('-');
                }
            }
            _ => {
                let mut units = [0; 2];
                shifted.extend(character.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
            }
        }
    }
    unshift(&mut out, &mut shifted);
    out
}

/// A pattern of LIST or LSUB, joined with its reference name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<char>);

impl Pattern {
    /// `reference` and `pattern` as they stood on the wire. `None` when it has more wildcards than matching may cost.
    pub(crate) fn new(reference: &[u8], pattern: &[u8], spelling: Spelling) -> Option<Self> {
        // A name that is no modified UTF-7 matches nothing but itself, which cannot exist.
        let text = |wire: &[u8]| decode(wire, spelling).unwrap_or_else(|_| String::from_utf8_lossy(wire).into_owned());
        let joined = canonical_inbox(format!("{}{}", text(reference), text(pattern)));
        let mut out: Vec<char> = Vec::with_capacity(joined.len());
        for character in joined.chars() {
            // `**`, `*%` and `%*` mean `*`; this is what keeps matching cheap.
            match (out.last().copied(), character) {
                (Some('*'), '*' | '%') | (Some('%'), '%') => {}
                (Some('%'), '*') => *out.last_mut()? = '*',
                _ => out.push(character),
            }
        }
        let wildcards = out.iter().filter(|character| matches!(character, '*' | '%')).count();
        (wildcards <= LIST_WILDCARDS_MAX && out.len() <= 4 * MAILBOX_NAME_BYTES_MAX).then_some(Self(out))
    }

    /// Whether the whole of `name` matches: `*` is anything, `%` anything but the separator; INBOX has no case (RFC 3501
    /// §5.1), also where a pattern names only some of it.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let inbox = if name == "INBOX" || name.starts_with("INBOX/") { 5 } else { 0 };
        let name: Vec<char> = name.chars().collect();
        let pattern = &self.0;
        // States of the pattern reached so far: at most pattern × name steps, whatever the wildcards.
        let mut states = vec![false; pattern.len() + 1];
        states[0] = true;
        let spread = |states: &mut Vec<bool>| {
            for at in 0..pattern.len() {
                if states[at] && matches!(pattern[at], '*' | '%') {
                    states[at + 1] = true;
                }
            }
        };
        spread(&mut states);
        for (at_name, character) in name.into_iter().enumerate() {
            let mut next = vec![false; pattern.len() + 1];
            for at in (0..pattern.len()).filter(|&at| states[at]) {
                match pattern[at] {
                    '*' => next[at] = true,
                    '%' if character != SEPARATOR => next[at] = true,
                    '%' => {}
                    literal if literal == character => next[at + 1] = true,
                    literal if at_name < inbox && literal.eq_ignore_ascii_case(&character) => next[at + 1] = true,
                    _ => {}
                }
            }
            states = next;
            spread(&mut states);
        }
        states[pattern.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::Spelling::{ModifiedUtf7, Utf8};
    use super::*;

    #[test]
    fn names_go_round_through_modified_utf_7() {
        for (name, wire) in [
            ("INBOX", "INBOX"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("a & b", "a &- b"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("😀", "&2D3eAA-"),
            ("&", "&-"),
        ] {
            assert_eq!(encode(name), wire);
            assert_eq!(decode(wire.as_bytes(), ModifiedUtf7).unwrap(), name);
        }
        assert_eq!(decode("Entwürfe".as_bytes(), ModifiedUtf7).unwrap(), "Entwürfe");
    }

    #[test]
    fn spellings_that_are_no_modified_utf_7_are_refused() {
        for wire in ["&", "&AP", "&A-", "&APx-", "&2D0-", "a&!-"] {
            assert!(decode(wire.as_bytes(), ModifiedUtf7).is_err(), "{wire}");
        }
        for wire in ["", "/", "a//b", "/a", "a/", "a\tb"] {
            assert!(MailboxName::from_wire(wire.as_bytes()).is_err(), "{wire}");
        }
        assert_eq!(MailboxName::read_to_create(b"a/b/", ModifiedUtf7).unwrap().as_str(), "a/b");
    }

    #[test]
    fn in_utf_8_an_ampersand_is_one() {
        let read = |wire: &str| MailboxName::read(wire.as_bytes(), Utf8).unwrap().into_string();
        let written = |name: &str| {
            let mut out = Vec::new();
            write_name(&mut out, name, Utf8);
            String::from_utf8(out).unwrap()
        };
        for (name, wire) in [("R&D", "R&D"), ("&AOQ-", "&AOQ-"), ("Entwürfe", "\"Entwürfe\""), ("a \"b", "\"a \\\"b\"")]
        {
            assert_eq!((read(name).as_str(), written(name).as_str()), (name, wire));
        }
        assert_eq!(MailboxName::read(b"\xff", Utf8), Err(NameError::NotUtf8));
        assert_eq!(MailboxName::read("a\u{2028}b".as_bytes(), Utf8), Err(NameError::Control));
    }

    #[test]
    fn every_name_that_is_taken_is_written_as_it_is_read() {
        let odd: Vec<char> = "aZ &-/,+~\u{e9}\u{4e2d}\u{1f600}\u{308}\"\\%*{(.\u{7f}\u{2028}".chars().collect();
        let mut state = 1_u64;
        let mut next = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % end
        };
        let mut taken = 0;
        for _ in 0..20_000 {
            let name: String = (0..1 + next(8)).map(|_| odd[next(odd.len())]).collect();
            for spelling in [ModifiedUtf7, Utf8] {
                let wire = if spelling == Utf8 { name.clone() } else { encode(&name) };
                let Ok(read) = MailboxName::read(wire.as_bytes(), spelling) else { continue };
                taken += 1;
                let mut out = Vec::new();
                write_name(&mut out, read.as_str(), spelling);
                let line = crate::wire::Cursor::new(&out).astring().unwrap().into_owned();
                assert_eq!(MailboxName::read(&line, spelling).as_ref(), Ok(&read), "{name:?}");
            }
        }
        assert!(taken > 10_000, "{taken}");
    }

    #[test]
    fn decomposed_names_are_composed() {
        assert_eq!(MailboxName::read("u\u{308}".as_bytes(), Utf8).unwrap().as_str(), "\u{fc}");
        assert_eq!(MailboxName::from_wire(b"&AHUDCA-").unwrap().as_str(), "\u{fc}");
    }

    #[test]
    fn inbox_has_no_case() {
        assert!(MailboxName::from_wire(b"inBox").unwrap().is_inbox());
        assert_eq!(MailboxName::from_wire(b"Inbox/x").unwrap().as_str(), "INBOX/x");
        assert_eq!(MailboxName::from_wire(b"Inboxes").unwrap().as_str(), "Inboxes");
    }

    #[test]
    fn patterns_match_as_rfc_3501_says() {
        for (pattern, name, matches) in [
            ("*", "a/b/c", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("%/%", "a/b", true),
            ("a%", "a/b", false),
            ("a*", "a/b", true),
            ("*b", "a/b", true),
            ("%b*d", "ab/c/d", true),
            ("inbox", "INBOX", true),
            ("inb%", "INBOX", true),
            ("*box/*", "INBOX/a", true),
            ("%/A", "INBOX/a", false),
            ("a/*", "a", false),
            ("", "a", false),
            ("A", "a", false),
            ("%*%", "x/y", true),
        ] {
            assert_eq!(
                Pattern::new(b"", pattern.as_bytes(), ModifiedUtf7).unwrap().matches(name),
                matches,
                "{pattern} {name}"
            );
        }
        assert!(Pattern::new(b"a/", b"%", ModifiedUtf7).unwrap().matches("a/b"));
        assert!(Pattern::new(b"", "*a".repeat(LIST_WILDCARDS_MAX + 1).as_bytes(), ModifiedUtf7).is_none());
    }

    #[test]
    fn ancestors_are_named_outermost_first() {
        assert_eq!(ancestors("a/b/c").collect::<Vec<_>>(), ["a", "a/b"]);
    }
}
