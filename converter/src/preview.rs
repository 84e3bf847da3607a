//! The first words of a mail, for a list of mails (RFC 8970).

use mail_parser::HeaderValue;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::html::html_to_text;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::parsers::MessageStream;

use crate::fields::fields;
use crate::limits::{PREVIEW_CHARACTERS, PREVIEW_READ_BYTES};
use crate::octets::{Octets, header};
use crate::scan::{PartKind, Structure};

/// At most [`PREVIEW_CHARACTERS`] of the first text a reader would see; empty when the mail has none.
pub(crate) fn preview(message: &mut impl Octets, structure: &Structure) -> String {
    let leaves = structure.parts.iter().enumerate().filter(|(_, part)| part.kind == PartKind::Leaf);
    let mut html = None;
    for (_, part) in leaves.take(LEAVES_MAX) {
        let Some(kind) = TextKind::of(&header(message, &part.header)) else { continue };
        let body = &*message.read(part.body.start..part.body.end.min(part.body.start + PREVIEW_READ_BYTES));
        if kind.html {
            // A plain alternative usually comes first, but need not.
            html.get_or_insert_with(|| first_words(&html_to_text(&without_style(&kind.decode(body)))));
            continue;
        }
        let words = first_words(&without_quotes(&kind.decode(body)));
        if !words.is_empty() {
            return words;
        }
    }
    html.unwrap_or_default()
}

/// Leaves looked at: the text of a mail is among its first parts.
const LEAVES_MAX: usize = 10;

/// How a text leaf is written.
struct TextKind {
    html: bool,
    encoding: Encoding,
    charset: Option<String>,
}

enum Encoding {
    None,
    Base64,
    QuotedPrintable,
}

impl TextKind {
    /// `None` when the part is no text that is shown (RFC 2045 §5.2: without a type it is plain text).
    fn of(header: &[u8]) -> Option<Self> {
        let mut kind = Self { html: false, encoding: Encoding::None, charset: None };
        for field in fields(header) {
            let value = field.value.trim_ascii();
            if field.is("Content-Transfer-Encoding") {
                if value.eq_ignore_ascii_case(b"base64") {
                    kind.encoding = Encoding::Base64;
                } else if value.eq_ignore_ascii_case(b"quoted-printable") {
                    kind.encoding = Encoding::QuotedPrintable;
                }
            } else if field.is("Content-Disposition") {
                if value.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"attachment")) {
                    return None;
                }
            } else if field.is("Content-Type") {
                let line = [field.value, b"\r\n"].concat();
                let HeaderValue::ContentType(content_type) = MessageStream::new(&line).parse_content_type() else {
                    continue;
                };
                let subtype = content_type.subtype().unwrap_or("plain");
                if !content_type.ctype().eq_ignore_ascii_case("text") {
                    return None;
                }
                kind.html = subtype.eq_ignore_ascii_case("html");
                if !kind.html && !subtype.eq_ignore_ascii_case("plain") {
                    return None;
                }
                kind.charset = content_type.attribute("charset").map(str::to_owned);
            }
        }
        Some(kind)
    }

    fn decode(&self, octets: &[u8]) -> String {
        let decoded = match self.encoding {
            Encoding::None => None,
            // Whole groups only: the text was cut somewhere.
            Encoding::Base64 => base64_decode(whole_groups(octets)),
            Encoding::QuotedPrintable => quoted_printable_decode(octets),
        };
        let octets = decoded.as_deref().unwrap_or(octets);
        match self.charset.as_deref().and_then(|charset| charset_decoder(charset.as_bytes())) {
            Some(decode) => decode(octets),
            None => String::from_utf8_lossy(octets).into_owned(),
        }
    }
}

/// Lines that are whole: their length is a multiple of four wherever base64 is canonical.
fn whole_groups(octets: &[u8]) -> &[u8] {
    if octets.len() < PREVIEW_READ_BYTES {
        return octets;
    }
    octets.iter().rposition(|&octet| octet == b'\n').map_or(octets, |end| &octets[..end])
}

/// Lines the author wrote: neither quoted ones nor the signature below `-- `.
fn without_quotes(text: &str) -> String {
    let own = text.lines().take_while(|line| *line != "-- ").filter(|line| !line.starts_with('>'));
    own.collect::<Vec<_>>().join("\n")
}

/// HTML without what no reader sees.
fn without_style(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let (mut out, mut at) = (String::with_capacity(html.len()), 0);
    while let Some((open, name)) = ["style", "script", "title"]
        .iter()
        .filter_map(|name| Some((lower[at..].find(&format!("<{name}"))? + at, name)))
        .min()
    {
        out.push_str(&html[at..open]);
        let close = format!("</{name}");
        at = lower[open..].find(&close).map_or(html.len(), |end| open + end);
    }
    out.push_str(&html[at..]);
    // The decoder drops white space behind a tag, which would join words.
    out.replace("> ", ">&nbsp;").replace(">\r\n", ">&nbsp;").replace(">\n", ">&nbsp;")
}

/// The beginning, on one line, cut between characters.
fn first_words(text: &str) -> String {
    let mut out = String::new();
    let mut left = PREVIEW_CHARACTERS;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control() || c == '\u{feff}' || c == '\u{200c}') {
        if word.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
            left -= 1;
        }
        out.extend(word.chars().take(left));
        left = left.saturating_sub(word.chars().count());
        if left <= 1 {
            break;
        }
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(message: &str) -> String {
        preview(&mut message.as_bytes(), &Structure::scan(message.as_bytes()))
    }

    #[test]
    fn the_first_text_a_reader_sees_is_shown() {
        assert_eq!(of("Subject: x\r\n\r\nHello\r\n\r\n  there,\tAlice.\r\n"), "Hello there, Alice.");
        assert_eq!(of("Subject: x\r\n\r\n> you said\r\nNo.\r\n-- \r\nBob\r\n"), "No.");
        assert_eq!(of("Subject: x\r\n\r\n"), "");
        assert_eq!(of(""), "");
        let both = "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n\
            <style>p {}</style><p>Rich</p>\r\n--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe=\r\n!\r\n--b--\r\n";
        assert_eq!(of(both), "Grüße!");
        assert_eq!(
            of("Content-Type: text/html\r\n\r\n<head><title>T</title></head><b>Only</b> HTML &amp; more"),
            "Only HTML & more"
        );
        let attached = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment\r\n\r\n\
            file\r\n--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b--\r\n";
        assert_eq!(of(attached), "");
    }

    #[test]
    fn it_has_at_most_two_hundred_characters() {
        let long = format!("Subject: x\r\n\r\n{}", "é".repeat(500));
        assert_eq!(of(&long).chars().count(), PREVIEW_CHARACTERS);
        let words = format!("Subject: x\r\n\r\n{}", "word ".repeat(5000));
        assert_eq!(of(&words).chars().count(), 199);
        let coded = format!(
            "Content-Transfer-Encoding: base64\r\n\r\n{}",
            "SGVsbG8gdGhlcmUhIEhlbGxvIHRoZXJlISBIZWxsbyB0aGVyZSEgSGVsbG8gdGhlcmUh\r\n".repeat(500)
        );
        assert!(of(&coded).starts_with("Hello there! Hello") && of(&coded).chars().count() <= PREVIEW_CHARACTERS);
    }
}
