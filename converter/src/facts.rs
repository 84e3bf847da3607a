//! What the rules of the house ask about a mail: who wrote it to whom, what it answers, whether a
//! machine sent it. One pass over the header, and never a judgement.

use crate::address::{AddressReader, Entry};
use crate::fields::fields;
use crate::limits::{FACTS_ADDRESSES_MAX, MESSAGE_ID_BYTES_MAX, REFERENCES_MAX};
use crate::text::{SentDate, decode_unstructured, parse_date};
use crate::words::{Words, media_type, unfold};

/// An address as a field of the header names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The display name, decoded, where there is one. The author chose it: never proof of anything.
    pub name: Option<String>,
    /// The local part without quoting, as written.
    pub local: String,
    /// The domain in lower case; empty when the address has none.
    pub domain: String,
}

impl Mailbox {
    /// `local@domain`, the local part as written; `None` when either is missing.
    pub fn address(&self) -> Option<String> {
        let whole = !self.local.is_empty() && !self.domain.is_empty();
        whole.then(|| format!("{}@{}", self.local, self.domain))
    }
}

/// The facts of one mail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageFacts {
    /// Number of From fields. Other than 1 is against RFC 5322 §3.6, and no author aligns then.
    pub from_fields: usize,
    /// All addresses of all From fields.
    pub from: Vec<Mailbox>,
    /// Sender.
    pub sender: Vec<Mailbox>,
    /// Reply-To.
    pub reply_to: Vec<Mailbox>,
    /// To.
    pub to: Vec<Mailbox>,
    /// Cc.
    pub cc: Vec<Mailbox>,
    /// Bcc: only in submitted mail.
    pub bcc: Vec<Mailbox>,
    /// Message-ID with its brackets.
    pub message_id: Option<String>,
    /// The identifiers of In-Reply-To, brackets included.
    pub in_reply_to: Vec<String>,
    /// The identifiers of References, brackets included, the newest last.
    pub references: Vec<String>,
    /// The keyword of Auto-Submitted (RFC 3834 §5) in lower case: `no`, `auto-replied`...
    pub auto_submitted: Option<String>,
    /// The identifier in List-Id (RFC 2919), without brackets, in lower case.
    pub list_id: Option<String>,
    /// Whether any `List-*` field is there.
    pub list: bool,
    /// The mailto addresses of List-Unsubscribe (RFC 2369), percent signs decoded, in lower case.
    pub list_unsubscribe: Vec<String>,
    /// Precedence in lower case: `bulk`, `list`, `junk`.
    pub precedence: Option<String>,
    /// Whether any `Resent-*` field is there.
    pub resent: bool,
    /// Whether the mail is a multipart/report (RFC 6522): a DSN, an MDN, a complaint.
    pub report: bool,
    /// The first Return-Path, brackets removed: `Some("")` for `<>`.
    pub return_path: Option<String>,
    /// The subject, decoded.
    pub subject: Option<String>,
    /// The Date field, where it can be read.
    pub sent: Option<SentDate>,
}

impl MessageFacts {
    /// Whether a machine sent it: auto-submitted, a report, a list, resent, bulk, or with a null
    /// Return-Path. Such mail is never answered by a machine, and befriends nobody.
    pub fn automatic(&self) -> bool {
        self.auto_submitted.as_deref().is_some_and(|keyword| keyword != "no")
            || self.report
            || self.list
            || self.resent
            || matches!(self.precedence.as_deref(), Some("bulk" | "list" | "junk" | "auto_reply"))
            || self.return_path.as_deref() == Some("")
    }

    /// The one author, when there is exactly one From field with exactly one complete address.
    pub fn author(&self) -> Option<&Mailbox> {
        match &self.from[..] {
            [author] if self.from_fields == 1 && author.address().is_some() => Some(author),
            _ => None,
        }
    }
}

/// Reads the facts out of the header at the top of `message`. Any octets have facts.
pub fn facts(message: &[u8]) -> MessageFacts {
    let mut facts = MessageFacts::default();
    let mut reader = AddressReader::default();
    for field in fields(message) {
        let value = field.value;
        match field.name.to_ascii_lowercase().as_slice() {
            b"from" => {
                facts.from_fields += 1;
                people(&mut reader, value, &mut facts.from);
            }
            b"sender" => people(&mut reader, value, &mut facts.sender),
            b"reply-to" => people(&mut reader, value, &mut facts.reply_to),
            b"to" => people(&mut reader, value, &mut facts.to),
            b"cc" => people(&mut reader, value, &mut facts.cc),
            b"bcc" => people(&mut reader, value, &mut facts.bcc),
            b"message-id" if facts.message_id.is_none() => facts.message_id = first_id(value),
            b"in-reply-to" => ids(value, &mut facts.in_reply_to),
            b"references" => ids(value, &mut facts.references),
            b"auto-submitted" if facts.auto_submitted.is_none() => facts.auto_submitted = keyword(value),
            b"precedence" if facts.precedence.is_none() => facts.precedence = keyword(value),
            b"content-type" => {
                let report = |(kind, subtype, _): (&[u8], &[u8], Words<'_>)| {
                    kind.eq_ignore_ascii_case(b"multipart") && subtype.eq_ignore_ascii_case(b"report")
                };
                facts.report |= media_type(value).is_some_and(report);
            }
            b"return-path" if facts.return_path.is_none() => {
                let path = unfold(value);
                let path = path.strip_prefix(b"<").unwrap_or(&path);
                let path = path.strip_suffix(b">").unwrap_or(path);
                facts.return_path = Some(String::from_utf8_lossy(path).into_owned());
            }
            b"subject" if facts.subject.is_none() => facts.subject = Some(decode_unstructured(value)),
            b"date" if facts.sent.is_none() => facts.sent = parse_date(value),
            name if name.starts_with(b"list-") => {
                facts.list = true;
                match &name[5..] {
                    b"id" if facts.list_id.is_none() => {
                        facts.list_id = bracketed(value).next_back().map(|id| lower(id.trim_ascii()));
                    }
                    b"unsubscribe" => unsubscribe(value, &mut facts.list_unsubscribe),
                    _ => {}
                }
            }
            name if name.starts_with(b"resent-") => facts.resent = true,
            _ => {}
        }
    }
    facts
}

fn lower(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).to_lowercase()
}

fn people(reader: &mut AddressReader, value: &[u8], into: &mut Vec<Mailbox>) {
    reader.read(value, |entry| {
        if let (Entry::Address { name, mailbox, host, .. }, true) = (entry, into.len() < FACTS_ADDRESSES_MAX) {
            into.push(Mailbox {
                name: name.map(decode_unstructured),
                local: String::from_utf8_lossy(mailbox).into_owned(),
                domain: lower(host.strip_suffix(b".").unwrap_or(host)),
            });
        }
    });
}

/// A keyword without its parameters and comments, in lower case.
fn keyword(value: &[u8]) -> Option<String> {
    let mut words = Words::new(value);
    words.skip_cfws();
    let token = words.token();
    if token.is_empty() { None } else { Some(lower(token)) }
}

/// What stands between `<` and `>`, one after the other.
fn bracketed(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|&byte| byte == b'<').skip(1).collect::<Vec<_>>().into_iter().filter_map(|rest| {
        let end = memchr::memchr(b'>', rest)?;
        Some(&rest[..end])
    })
}

fn id(inside: &[u8]) -> Option<String> {
    let short = !inside.is_empty() && inside.len() <= MESSAGE_ID_BYTES_MAX;
    // Folding inside an identifier is obsolete, and means nothing.
    let inside = || inside.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<_>>();
    short.then(|| format!("<{}>", String::from_utf8_lossy(&inside())))
}

/// The first identifier, or the whole value where somebody forgot the brackets.
fn first_id(value: &[u8]) -> Option<String> {
    bracketed(value).find_map(id).or_else(|| id(&unfold(value)))
}

/// Adds the identifiers of a field, the last [`REFERENCES_MAX`] of them.
fn ids(value: &[u8], into: &mut Vec<String>) {
    let mut found: Vec<String> = bracketed(value).rev().filter_map(id).take(REFERENCES_MAX).collect();
    found.reverse();
    into.extend(found);
    let excess = into.len().saturating_sub(REFERENCES_MAX);
    into.drain(..excess);
}

fn unsubscribe(value: &[u8], into: &mut Vec<String>) {
    for uri in bracketed(value).map(<[u8]>::trim_ascii) {
        let Some((scheme, rest)) = uri.split_at_checked(7) else { continue };
        if !scheme.eq_ignore_ascii_case(b"mailto:") {
            continue;
        }
        let address = rest.split(|&byte| byte == b'?').next().unwrap_or_default();
        if into.len() < FACTS_ADDRESSES_MAX && !address.is_empty() {
            into.push(lower(&percent_decode(address)));
        }
    }
}

fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |index: usize| after.get(index).and_then(|&digit| char::from(digit).to_digit(16));
        match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_of_an_ordinary_mail() {
        let message = "Return-Path: <bounce@shop.test>\r\nFrom: =?utf-8?q?J=C3=B6rg?= <Joerg@Shop.TEST.>\r\n\
            To: a@x.test, g: b@x.test;\r\nCc: \"C D\" <c@x.test>\r\nSubject: =?utf-8?b?w7w=?=\r\n\
            Message-ID: <1@shop>\r\nIn-Reply-To: <a@b> <c@d>\r\nReferences: <x@y>\r\n <a@b>\r\n\
            Date: Sat, 01 Feb 2007 01:02:03 +0200\r\n\r\nFrom: not@me\r\n";
        let facts = facts(message.as_bytes());
        let author = facts.author().expect("one author");
        assert_eq!((author.name.as_deref(), author.address().as_deref()), (Some("Jörg"), Some("Joerg@shop.test")));
        assert_eq!(facts.to.iter().filter_map(Mailbox::address).collect::<Vec<_>>(), ["a@x.test", "b@x.test"]);
        assert_eq!(facts.cc[0].name.as_deref(), Some("C D"));
        assert_eq!(facts.subject.as_deref(), Some("ü"));
        assert_eq!(facts.message_id.as_deref(), Some("<1@shop>"));
        assert_eq!(facts.in_reply_to, ["<a@b>", "<c@d>"]);
        assert_eq!(facts.references, ["<x@y>", "<a@b>"]);
        assert_eq!(facts.return_path.as_deref(), Some("bounce@shop.test"));
        assert!(facts.sent.is_some());
        assert!(!facts.automatic());
    }

    #[test]
    fn machines_give_themselves_away() {
        for header in [
            "Auto-Submitted: auto-replied; x=y",
            "Precedence: Bulk",
            "List-Id: The list <L.example.org>",
            "Resent-From: a@b",
            "Content-Type: multipart/report; report-type=delivery-status",
            "Return-Path: <>",
        ] {
            assert!(facts(format!("From: a@b\r\n{header}\r\n\r\n").as_bytes()).automatic(), "{header}");
        }
        assert!(!facts(b"From: a@b\r\nAuto-Submitted: no\r\n\r\n").automatic());
        let list = facts(b"List-Id: The list <L.example.org>\r\nList-Unsubscribe: <https://x>, <MAILTO:Off%2Bme@x.test?subject=x>\r\n");
        assert_eq!(list.list_id.as_deref(), Some("l.example.org"));
        assert_eq!(list.list_unsubscribe, ["off+me@x.test"]);
    }

    #[test]
    fn two_authors_are_nobody() {
        for header in ["From: a@b, c@d", "From: a@b\r\nFrom: a@b", "From: root", "Subject: x"] {
            assert_eq!(facts(format!("{header}\r\n\r\n").as_bytes()).author(), None, "{header}");
        }
    }
}
