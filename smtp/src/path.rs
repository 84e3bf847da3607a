//! Reverse-path and forward-path: the text between the angle brackets, kept as it was sent. RFC 5321 §4.1.2.
//!
//! `smtp-proto` takes quotes and source routes away while it parses; what the peer wrote must survive to the
//! envelope, so the bracketed text is cut out here and only its parameters come from there.

use std::fmt;

/// Octets of a path. RFC 5321 §4.5.3.1.3.
const PATH_BYTES_MAX: usize = 256;

/// Who gets the bounces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: a bounce or another automatic mail. Nothing may ever be sent back to it.
    Null,
    /// A mailbox as it was written, `local-part@domain`.
    Mailbox(String),
}

impl ReversePath {
    /// The mailbox, or nothing for the null path.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Null => "",
            Self::Mailbox(mailbox) => mailbox,
        }
    }

    /// What follows the last `@`; nothing for the null path.
    pub fn domain(&self) -> Option<&str> {
        self.as_str().rsplit_once('@').map(|(_, domain)| domain)
    }

    /// What stands before the last `@`; nothing for the null path.
    pub fn local_part(&self) -> Option<&str> {
        self.as_str().rsplit_once('@').map(|(local, _)| local)
    }

    /// Whether this is `<>`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.as_str())
    }
}

/// Cuts what follows `MAIL FROM:` or `RCPT TO:` at the brackets, into path and parameters. A source route is taken away
/// (RFC 5321 appendix C says to ignore it). `None` when it is not a path.
///
/// Quirk, Outlook: a space after the colon.
pub(crate) fn cut_path(text: &str) -> Option<(&str, &str)> {
    let after = text.trim_start_matches(' ').strip_prefix('<')?;
    let (path, parameters) = after.split_at(closing_bracket(after)?);
    let parameters = &parameters[1..];
    if path.len() > PATH_BYTES_MAX || !(parameters.is_empty() || parameters.starts_with([' ', '\t'])) {
        return None;
    }
    match path.strip_prefix('@') {
        Some(route) => Some((route.split_once(':')?.1, parameters)),
        None => Some((path, parameters)),
    }
}

/// The `>` that ends the path: brackets inside a quoted local part do not count.
fn closing_bracket(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Whether this is `Local-part "@" ( Domain / address-literal )`; UTF-8 as RFC 6531 §3.3 has it.
pub fn is_mailbox(text: &str) -> bool {
    let Some((local_part, domain)) = text.rsplit_once('@') else { return false };
    is_local_part(local_part) && is_domain(domain)
}

fn is_local_part(text: &str) -> bool {
    if let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        let mut escaped = false;
        for c in inner.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return false,
                c if c.is_control() => return false,
                _ => {}
            }
        }
        return !escaped && text.len() >= 2;
    }
    !text.is_empty()
        && !text.starts_with('.')
        && !text.contains("..")
        && text.chars().all(|c| !c.is_ascii() && !c.is_control() || is_atext(c) || c == '.')
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

fn is_domain(text: &str) -> bool {
    if let Some(literal) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return !literal.is_empty() && literal.chars().all(|c| c.is_ascii_alphanumeric() || ":.-".contains(c));
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63 * 4
            && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c) || !c.is_ascii() && !c.is_control())
    };
    text.len() <= 255 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

/// Whether a HELO name is one that may stand in a trace header: no spaces, brackets or quotes that could end it.
pub(crate) fn is_helo_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.chars().all(|c| !c.is_control() && !c.is_whitespace() && !"()<>\"\\;,@".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_what_stands_between_the_brackets() {
        for (text, path) in [
            ("<>", Some(("", ""))),
            ("<bob@shop.test>", Some(("bob@shop.test", ""))),
            (" <bob@shop.test> SIZE=4", Some(("bob@shop.test", " SIZE=4"))),
            ("<alice#a3f2b9@satchel.test>", Some(("alice#a3f2b9@satchel.test", ""))),
            ("<@a.test,@b.test:bob@shop.test>", Some(("bob@shop.test", ""))),
            ("<\"a>b\"@shop.test> NOTIFY=NEVER", Some(("\"a>b\"@shop.test", " NOTIFY=NEVER"))),
            ("bob@shop.test", None),
            ("<bob@shop.test", None),
            ("<bob@shop.test>SIZE=4", None),
            ("<@a.test>", None),
            ("", None),
        ] {
            assert_eq!(cut_path(text), path, "{text}");
        }
    }

    #[test]
    fn a_path_of_256_octets_is_the_longest() {
        let path = |len: usize| format!("{}@x.test", "a".repeat(len - 7));
        assert!(cut_path(&format!("<{}>", path(256))).is_some());
        assert!(cut_path(&format!("<{}>", path(257))).is_none());
    }

    #[test]
    fn mailboxes_are_told_from_other_text() {
        for good in [
            "a@b",
            "a.b+c@d.e",
            "alice#a3f2b9@x.org",
            "\"a b\\\"@c\"@d",
            "a@[127.0.0.1]",
            "jörg@köln.test",
            "用户@例子.测试",
        ] {
            assert!(is_mailbox(good), "{good}");
        }
        for bad in
            ["", "a", "@b", "a@", "a b@c", "a@b c", "\"a@b", "a@b..c", "a\u{1}@b", "a@[", "a@b>", "\"a\\\"@b", ".a@b"]
        {
            assert!(!is_mailbox(bad), "{bad}");
        }
    }
}
