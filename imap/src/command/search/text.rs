//! What SEARCH looks for, and the texts it looks in: decoded, without case.

use std::borrow::Cow;
use std::ops::Range;

use attachments::Shelf;
use converter::{Octets, PartKind, Summary, fields};
use mail_parser::HeaderValue;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::parsers::MessageStream;

use crate::casemap::casemap;
use crate::limits::{FILTERED_AT_ONCE_BYTES, SEARCH_TEXT_BYTES_MAX};
use crate::mail::{Mail, MailError};
use crate::trigrams::{self, Trigrams};

/// A string to be found anywhere, without case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needle {
    /// As [`casemap`] makes it.
    text: String,
    /// By which messages can be ruled out.
    trigrams: Vec<u32>,
}

impl Needle {
    /// Octets of the command: UTF-8, of which US-ASCII is a part.
    pub(super) fn new(octets: &[u8]) -> Self {
        let text = casemap(&String::from_utf8_lossy(octets));
        let trigrams = trigrams::of_needle(&text);
        Self { text, trigrams }
    }

    /// Whether messages can be ruled out at all.
    pub(super) fn is_indexed(&self) -> bool {
        !self.trigrams.is_empty()
    }

    /// Whether a message of these trigrams may hold it.
    pub(super) fn may_be_in(&self, filter: &Trigrams) -> bool {
        filter.may_hold(&self.trigrams)
    }

    fn is_in_text(&self, text: &str) -> bool {
        if self.text.is_ascii() && is_in_octets(self.text.as_bytes(), text.as_bytes()) {
            return true;
        }
        // The map can make ASCII of what was none (the Kelvin sign), so only this settles it.
        !text.is_ascii() && casemap(text).contains(&self.text)
    }

    /// Looks into a field's value: unfolded, encoded words decoded, and with comments taken out of addresses.
    pub(super) fn is_in_header(&self, value: &[u8]) -> bool {
        let plain = value.is_ascii() && !value.contains(&b'\n') && memchr::memmem::find(value, b"=?").is_none();
        if plain && self.text.is_ascii() && is_in_octets(self.text.as_bytes(), value) {
            return true;
        }
        // `<user (comment)@ (comment) example.org>` is searched by its address (RFC 5322 §3.2.2).
        if value.contains(&b'(') && value.contains(&b'@') && self.is_in_text(&without_comments(&unfolded(value))) {
            return true;
        }
        if plain {
            return false;
        }
        let line = [value, b"\r\n"].concat();
        let decoded = MessageStream::new(&line).parse_unstructured();
        // Also as written: a search may be for what stands there.
        matches!(decoded, HeaderValue::Text(text) if self.is_in_text(&text)) || self.is_in_text(&unfolded(value))
    }
}

/// Text without what stands in parentheses, and without the white space around `@`.
fn without_comments(text: &str) -> String {
    let (mut out, mut depth) = (String::with_capacity(text.len()), 0_u32);
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '@' if depth == 0 => {
                out.truncate(out.trim_end().len());
                out.push('@');
            }
            ' ' | '\t' if out.ends_with('@') => {}
            _ if depth == 0 => out.push(character),
            _ => {}
        }
    }
    out
}

/// RFC 5322 §2.2.3: the line ending before white space goes.
fn unfolded(value: &[u8]) -> String {
    let octets: Vec<u8> = value.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
    String::from_utf8_lossy(&octets).into_owned()
}

/// Whether `needle` is in `text`, ASCII letters of any case.
fn is_in_octets(needle: &[u8], text: &[u8]) -> bool {
    let Some((&first, rest)) = needle.split_first() else { return true };
    let Some(last) = text.len().checked_sub(needle.len()) else { return false };
    memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), &text[..=last])
        .any(|at| text[at + 1..at + needle.len()].eq_ignore_ascii_case(rest))
}

/// A leaf's octets and how they are written.
#[derive(Debug)]
struct Leaf {
    octets: Vec<u8>,
    encoding: TransferEncoding,
    charset: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TransferEncoding {
    None,
    Base64,
    QuotedPrintable,
}

/// The texts of one mail.
#[derive(Debug)]
pub(crate) struct Texts {
    /// The mail's own header.
    header: Vec<u8>,
    /// Headers of parts.
    part_headers: Vec<Vec<u8>>,
    /// Headers of mails inside.
    inner_headers: Vec<Vec<u8>>,
    leaves: Vec<Leaf>,
}

/// Reads what can be searched: headers, and leaves of type text.
pub(super) async fn texts_of(mail: &Mail, summary: &Summary, shelf: &dyn Shelf) -> Result<Texts, MailError> {
    let mut left = SEARCH_TEXT_BYTES_MAX;
    let mut texts =
        Texts { header: Vec::new(), part_headers: Vec::new(), inner_headers: Vec::new(), leaves: Vec::new() };
    for (at, part) in summary.parts.iter().enumerate() {
        let mut range = part.header.clone();
        range.end = range.end.min(range.start.saturating_add(left));
        let header = mail.read(shelf, range).await?;
        left = left.saturating_sub(header.len() as u64);
        if part.kind == PartKind::Leaf
            && let Some((encoding, charset)) = text_type(&header)
        {
            let mut range = part.body.clone();
            range.end = range.end.min(range.start.saturating_add(left));
            let octets = mail.read(shelf, range).await?;
            left = left.saturating_sub(octets.len() as u64);
            texts.leaves.push(Leaf { octets, encoding, charset });
        }
        let inside = at > 0 && summary.parts[at - 1].kind == PartKind::Message;
        match at {
            0 => texts.header = header,
            _ if inside => texts.inner_headers.push(header),
            _ => texts.part_headers.push(header),
        }
        if left == 0 {
            break;
        }
    }
    Ok(texts)
}

/// How a leaf is encoded, if it is text (RFC 2045 §5.2: without a type it is).
fn text_type(header: &[u8]) -> Option<(TransferEncoding, Option<String>)> {
    let (mut encoding, mut charset) = (TransferEncoding::None, None);
    for field in fields(header) {
        if field.is("Content-Transfer-Encoding") {
            let value = field.value.trim_ascii();
            if value.eq_ignore_ascii_case(b"base64") {
                encoding = TransferEncoding::Base64;
            } else if value.eq_ignore_ascii_case(b"quoted-printable") {
                encoding = TransferEncoding::QuotedPrintable;
            }
        } else if field.is("Content-Type") {
            let line = [field.value, b"\r\n"].concat();
            if let HeaderValue::ContentType(content_type) = MessageStream::new(&line).parse_content_type() {
                if !content_type.ctype().eq_ignore_ascii_case("text") {
                    return None;
                }
                charset = content_type.attribute("charset").map(str::to_owned);
            }
        }
    }
    Some((encoding, charset))
}

impl Leaf {
    fn has(&self, needle: &Needle) -> bool {
        needle.is_in_text(&decoded(&self.octets, self.encoding, self.charset.as_deref()))
    }
}

/// The text of a leaf.
fn decoded<'a>(octets: &'a [u8], encoding: TransferEncoding, charset: Option<&str>) -> Cow<'a, str> {
    let octets = match encoding {
        TransferEncoding::None => Cow::Borrowed(octets),
        TransferEncoding::Base64 => base64_decode(octets).map_or(Cow::Borrowed(octets), Cow::Owned),
        TransferEncoding::QuotedPrintable => quoted_printable_decode(octets).map_or(Cow::Borrowed(octets), Cow::Owned),
    };
    let plain = octets.is_ascii() && !charset.is_some_and(is_seven_bit_coded);
    let decoder = charset.filter(|_| !plain).and_then(|charset| charset_decoder(charset.as_bytes()));
    match (decoder, octets) {
        (Some(decode), octets) => decode(&octets).into(),
        (None, Cow::Borrowed(octets)) => String::from_utf8_lossy(octets),
        (None, Cow::Owned(octets)) => String::from_utf8_lossy(&octets).into_owned().into(),
    }
}

/// Whether ASCII octets may stand for something else.
fn is_seven_bit_coded(charset: &str) -> bool {
    let charset = charset.to_ascii_lowercase();
    charset.starts_with("iso-2022")
        || charset.starts_with("utf-7")
        || charset.starts_with("utf-16")
        || charset.starts_with("hz")
}

/// The filter of a mail, made when it arrives: of every text that a search for TEXT looks into.
///
/// `summary` is the mail's own. The house seals the octets with it.
pub fn trigrams(mut message: impl Octets, summary: &Summary) -> Vec<u8> {
    let mut filter = trigrams::Making::new(message.size());
    let mut left = SEARCH_TEXT_BYTES_MAX;
    let mut searched = |range: &Range<u64>| {
        let end = range.end.min(range.start.saturating_add(left));
        left = left.saturating_sub(end - range.start);
        range.start as usize..end as usize
    };
    for part in &summary.parts {
        let range = searched(&part.header);
        if range.len() > FILTERED_AT_ONCE_BYTES {
            filter.give_up();
            break;
        }
        let header = message.read(range);
        for field in fields(&header) {
            filter.add(&unfolded(field.raw));
            let value = field.value;
            if value.contains(&b'\r') {
                filter.add(&String::from_utf8_lossy(value));
            }
            if value.contains(&b'(') && value.contains(&b'@') {
                filter.add(&without_comments(&unfolded(value)));
            }
            if memchr::memmem::find(value, b"=?").is_some() || !value.is_ascii() || value.contains(&b'\n') {
                let line = [value, b"\r\n"].concat();
                if let HeaderValue::Text(text) = MessageStream::new(&line).parse_unstructured() {
                    filter.add(&text);
                }
            }
        }
        if part.kind == PartKind::Leaf
            && let Some((encoding, charset)) = text_type(&header)
        {
            let range = searched(&part.body);
            if range.len() <= FILTERED_AT_ONCE_BYTES {
                filter.add(&decoded(&message.read(range), encoding, charset.as_deref()));
            } else if encoding != TransferEncoding::None || charset.as_deref().is_some_and(is_seven_bit_coded) {
                filter.give_up();
                break;
            } else {
                add_lines(&mut filter, &mut message, range, charset.as_deref());
            }
        }
    }
    filter.finish()
}

/// Adds a long text some lines at a time. In these character sets no character goes on over the end of a line.
fn add_lines(filter: &mut trigrams::Making, message: &mut impl Octets, range: Range<usize>, charset: Option<&str>) {
    filter.add("");
    let mut at = range.start;
    while at < range.end {
        let piece = message.read(at..range.end.min(at + FILTERED_AT_ONCE_BYTES / 4));
        let is_last = at + piece.len() >= range.end;
        let end = if is_last { Some(piece.len()) } else { memchr::memrchr(b'\n', &piece).map(|lf| lf + 1) };
        let Some(end) = end.filter(|end| *end > 0) else { return filter.give_up() };
        filter.go_on(&decoded(&piece[..end], TransferEncoding::None, charset));
        at += end;
    }
}

impl Texts {
    /// BODY: what is below the header (of mails inside, the header too).
    pub(super) fn body_has(&self, needle: &Needle) -> bool {
        self.leaves.iter().any(|leaf| leaf.has(needle))
            || self.inner_headers.iter().any(|header| any_field(header, needle))
    }

    /// TEXT: everything.
    pub(super) fn text_has(&self, needle: &Needle) -> bool {
        any_field(&self.header, needle)
            || self.body_has(needle)
            || self.part_headers.iter().any(|header| any_field(header, needle))
    }

    /// HEADER, where the summary has not all of it.
    pub(super) fn header_has(&self, name: &str, needle: &Needle) -> bool {
        fields(&self.header).any(|field| field.is(name) && needle.is_in_header(field.value))
    }
}

/// Looks into names and values.
fn any_field(header: &[u8], needle: &Needle) -> bool {
    fields(header).any(|field| {
        needle.is_in_header(field.value)
            || needle.text.is_ascii() && is_in_octets(needle.text.as_bytes(), &unfolded(field.raw).into_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use attachments::memory::MemoryShelf;
    use converter::Layout;
    use lnmp::Content;

    async fn texts(message: &[u8]) -> Texts {
        let content = Content { skeleton: message.to_vec(), ..Content::default() };
        let layout = Layout::new(&content).unwrap();
        texts_of(&Mail { content, layout }, &Summary::of(message), &MemoryShelf::new()).await.unwrap()
    }

    #[test]
    fn a_long_text_is_filtered_as_a_short_one() {
        let lines: String = (0..30_000).map(|n| format!("line {n} has gr\u{fc}n\r\n")).collect();
        assert!(lines.len() > FILTERED_AT_ONCE_BYTES);
        let holds = |message: &[u8], needle: &[u8]| {
            let filter = Trigrams::read(trigrams(message, &Summary::of(message)).into()).unwrap();
            Needle::new(needle).may_be_in(&filter)
        };
        let message = [b"Subject: x\r\n\r\n", lines.as_bytes()].concat();
        for there in ["LINE 29999", "GR\u{dc}N", "1234 has", "n\r\nline 77"] {
            assert!(holds(&message, there.as_bytes()), "{there}");
        }
        assert!(!holds(&message, b"zzqx"));
        // What cannot be taken line by line rules out nothing.
        for header in ["Content-Transfer-Encoding: base64", "Content-Type: text/plain; charset=iso-2022-jp"] {
            assert!(holds(&[header.as_bytes(), b"\r\n\r\n", lines.as_bytes()].concat(), b"zzqx"), "{header}");
        }
        assert!(holds(&[b"\r\n", &b"x".repeat(2 * FILTERED_AT_ONCE_BYTES)[..]].concat(), b"zzqx"), "no line");
    }

    #[test]
    fn needles_are_found_in_any_case() {
        for (needle, text, expected) in [
            ("abc", "xxABcx", true),
            ("", "", true),
            ("abcd", "abc", false),
            ("ÜB", "über", true),
            ("k", "\u{212a}", true),
            ("cafe", "CAFÉ", true),
            ("gru\u{308}n", "grün", true),
            ("aab", "aaab", true),
        ] {
            assert_eq!(Needle::new(needle.as_bytes()).is_in_text(text), expected, "{needle} in {text}");
        }
    }

    #[tokio::test]
    async fn bodies_are_decoded_before_they_are_searched() {
        let message = b"Subject: outer\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\
            Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nR3LDvMOfZQ==\r\n--b\r\n\
            Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9 long=\r\nword\r\n--b\r\n\
            Content-Type: application/pdf; name=secret.pdf\r\n\r\nbinary\r\n--b\r\n\
            Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nletter\r\n--b--\r\n";
        let texts = texts(message).await;
        for (needle, body, text) in [
            ("GRÜSSE", false, false),
            ("grüße", true, true),
            ("CAFÉ", true, true),
            ("longword", true, true),
            ("inner", true, true),
            ("letter", true, true),
            ("binary", false, false),
            ("outer", false, true),
            ("secret.pdf", false, true),
            ("preamble", false, false),
        ] {
            let needle_ = Needle::new(needle.as_bytes());
            assert_eq!((texts.body_has(&needle_), texts.text_has(&needle_)), (body, text), "{needle}");
        }
    }

    #[tokio::test]
    async fn a_filter_never_rules_out_what_is_there() {
        let mails: [&[u8]; 6] = [
            b"Subject: outer =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nFrom: <user (a (b))@ (c) example.org>\r\nX-Odd: a\rb\r\n\
              Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\
              Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nR3LDvMOfZSBmaWdz\r\n--b\r\n\
              Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9 long=\r\nword\r\n--b\r\n\
              Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n folded\r\n\r\nletter \xe2\x84\xaaelvin \xef\xac\x81gs\r\n--b--\r\n",
            b"\r\nno header at all, \xff\xfe broken \xe4\xb8\xad\xe6\x96\x87 octets",
            b"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$B4A;z\x1b(B kanji",
            b"Content-Type: text/plain; charset=utf-7\r\n\r\nHi Mom +Jjo-!",
            b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nnot base64 ~~~ at all",
            b"Subject: only a header",
        ];
        for message in mails {
            let filter = Trigrams::read(trigrams(message, &Summary::of(message)).into()).unwrap();
            let texts = texts(message).await;
            let mut found = 0;
            // Everything the mail can be asked for: pieces of it as it stands, decoded, in another case.
            let mut sources =
                vec![String::from_utf8_lossy(message).into_owned(), "GR\u{fc}\u{df}E FIGS caf\u{e9} longword".into()];
            sources.push("user@example.org inner folded kelvin figs a\rb \u{6f22}\u{5b57} \u{2638}".into());
            sources.push(sources.iter().map(|source| source.to_lowercase()).collect());
            for source in sources {
                let characters: Vec<char> = source.chars().collect();
                for (at, length) in (0..characters.len()).flat_map(|at| [(at, 1), (at, 3), (at, 4), (at, 9)]) {
                    let piece: String = characters[at..characters.len().min(at + length)].iter().collect();
                    let needle = Needle::new(piece.as_bytes());
                    if texts.text_has(&needle) {
                        found += usize::from(needle.is_indexed());
                        assert!(needle.may_be_in(&filter), "{piece:?}");
                    }
                }
            }
            assert!(found > 10, "{found}");
            assert!(!Needle::new(b"zzqx-not-there").may_be_in(&filter));
        }
    }

    #[test]
    fn folded_and_encoded_headers_are_read() {
        let has = |needle: &str, value: &str| Needle::new(needle.as_bytes()).is_in_header(value.as_bytes());
        assert!(has("hello beautiful", " hello\r\n beautiful world"));
        assert!(has("ä", " =?iso-8859-1?q?=C4?="));
        assert!(has("group", " Group: a@b,\r\n c@d;"));
        assert!(has("user@example.org", " <user (a (b))@ (c) example.org>"));
        assert!(has("(a", " user@example.org (a)") && !has("b", " <a@c.org>"));
        assert!(!has("zz", " =?utf-8?b?!!?="));
    }
}
