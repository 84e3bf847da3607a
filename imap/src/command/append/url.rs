//! URLs that name a message, or a part of one (RFC 5092), as CATENATE takes them.
//!
//! ```text
//!   imap://[user[;AUTH=…]@]host[:port]/mailbox[;UIDVALIDITY=n]/;UID=n[/;SECTION=1.2][/;PARTIAL=o[.n]]
//!                                     /mailbox[;UIDVALIDITY=n]/;UID=n…
//!                                                             ;UID=n…      in the selected mailbox
//! ```

use crate::name::MailboxName;

/// What a URL names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MessageUrl {
    /// The server and user of an absolute URL.
    pub(super) server: Option<Server>,
    /// `None` for the selected mailbox.
    pub(super) mailbox: Option<MailboxName>,
    pub(super) uid_validity: Option<u32>,
    pub(super) uid: u32,
    /// As between the brackets of BODY[].
    pub(super) section: Vec<u8>,
    /// First octet, and how many.
    pub(super) partial: Option<(u64, Option<u64>)>,
}

/// `iserver`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) user: Option<String>,
    pub(super) host: String,
}

impl MessageUrl {
    /// `None` for what is no such URL, and for one with an access token: URLAUTH (RFC 4467) is not offered here.
    pub(super) fn parse(url: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(url).ok().filter(|text| text.bytes().all(|octet| octet.is_ascii_graphic()))?;
        let (server, path) = match strip_word(text, "imap://") {
            Some(rest) => {
                let (server, path) = rest.split_once('/')?;
                (Some(Server::parse(server)?), path)
            }
            None => (None, text.strip_prefix('/').unwrap_or(text)),
        };
        let (mailbox, message) = match strip_word(path, ";UID=") {
            Some(message) => ("", message),
            None => {
                let at = path.to_ascii_uppercase().find("/;UID=").filter(|&at| at > 0)?;
                (&path[..at], &path[at + 6..])
            }
        };
        let mut pieces = message.split("/;");
        let uid = number(pieces.next()?).and_then(|uid| u32::try_from(uid).ok()).filter(|&uid| uid > 0)?;
        let (mut section, mut partial) = (None, None);
        for piece in pieces {
            if let (Some(value), None, None) = (strip_word(piece, "SECTION="), &section, &partial) {
                section = Some(percent_decoded(value)?);
            } else if let (Some(value), None) = (strip_word(piece, "PARTIAL="), &partial) {
                partial = Some(match value.split_once('.') {
                    Some((start, count)) => (number(start)?, Some(number(count).filter(|&count| count > 0)?)),
                    None => (number(value)?, None),
                });
            } else {
                return None;
            }
        }
        let (mailbox, uid_validity) = match mailbox.to_ascii_uppercase().find(";UIDVALIDITY=") {
            Some(at) => (&mailbox[..at], Some(u32::try_from(number(&mailbox[at + 13..])?).ok()?)),
            None => (mailbox, None),
        };
        let mailbox = match mailbox {
            // Relative to what is selected, which an absolute URL cannot be.
            "" if server.is_none() && uid_validity.is_none() => None,
            name => Some(MailboxName::from_utf8(String::from_utf8(percent_decoded(name)?).ok()?).ok()?),
        };
        Some(Self { server, mailbox, uid_validity, uid, section: section.unwrap_or_default(), partial })
    }
}

impl Server {
    fn parse(text: &str) -> Option<Self> {
        let (user, host) = match text.rsplit_once('@') {
            Some((user, host)) => {
                // `;AUTH=` says how to log in; whoever asks is logged in.
                let at = user.to_ascii_uppercase().find(";AUTH=").unwrap_or(user.len());
                let user = String::from_utf8(percent_decoded(&user[..at])?).ok()?;
                ((!user.is_empty()).then_some(user), host)
            }
            None => (None, text),
        };
        let host = match host.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => {
                number(port)?;
                host
            }
            _ => host,
        };
        (!host.is_empty()).then(|| Self { user, host: host.to_ascii_lowercase() })
    }
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then_some(rest)
}

fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) { None } else { digits.parse().ok() }
}

/// RFC 3986 §2.1.
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'%' {
            out.push(octet);
            continue;
        }
        let mut hex = || char::from(octets.next()?).to_digit(16);
        out.push((hex()? << 4 | hex()?) as u8);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> MessageUrl {
        MessageUrl::parse(url.as_bytes()).unwrap_or_else(|| panic!("{url}"))
    }

    #[test]
    fn urls_name_messages_and_parts() {
        let url = parsed("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER");
        assert_eq!(url.mailbox.unwrap().as_str(), "Drafts");
        assert_eq!((url.uid_validity, url.uid, url.section.as_slice()), (Some(385_759_045), 20, &b"HEADER"[..]));
        let url =
            parsed("imap://Alice;AUTH=*@Mail.Satchel.test:993/Gr%C3%BC%C3%9Fe/a/;uid=7/;SECTION=1.2/;PARTIAL=5.10");
        assert_eq!(url.server, Some(Server { user: Some("Alice".into()), host: "mail.satchel.test".into() }));
        assert_eq!((url.mailbox.unwrap().as_str(), url.partial), ("Gr\u{fc}\u{df}e/a", Some((5, Some(10)))));
        for relative in [";UID=7/;PARTIAL=5", "/;UID=7/;partial=5"] {
            let url = parsed(relative);
            assert_eq!((url.mailbox, url.uid, url.partial), (None, 7, Some((5, None))));
        }
        assert_eq!(parsed("/x/;UID=1/;SECTION=HEADER.FIELDS%20(To%20From)").section, b"HEADER.FIELDS (To From)");
    }

    #[test]
    fn other_urls_are_refused() {
        for url in [
            "",
            "/",
            "INBOX",
            "/INBOX",
            "/INBOX/;UID=",
            "/INBOX/;UID=0",
            "//;UID=1",
            "/INBOX/;UID=*",
            "/INBOX/;UID=4294967296",
            "/INBOX/;UID=1/;SECTION=%zz",
            "/INBOX/;UID=1/;SECTION=1/;SECTION=2",
            "/INBOX/;UID=1/;PARTIAL=0.0",
            "/INBOX/;UID=1/;PARTIAL=1.2/;SECTION=1",
            "/INBOX/;UID=1;URLAUTH=anonymous",
            "/INBOX/;UID=1/;EXPIRE=2030-01-01T00:00:00Z;URLAUTH=user+fred:internal:00",
            "/INBOX;UIDVALIDITY=x/;UID=1",
            "/;UIDVALIDITY=7/;UID=1",
            "/a//b/;UID=1",
            "imap://host",
            "imap:///INBOX/;UID=1",
            "imap://host/;UID=1",
            "imap://host:x/INBOX/;UID=1",
            "http://host/INBOX/;UID=1",
            "/IN BOX/;UID=1",
        ] {
            assert_eq!(MessageUrl::parse(url.as_bytes()), None, "{url}");
        }
    }
}
