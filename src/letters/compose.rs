//! What all letters share: the header, parts that stay readable on the wire, wrapped text, times.

use std::time::Duration;

use chrono::DateTime;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::date::Date;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};
use store::UnixMs;

/// Columns of wrapped text: RFC 5322 §2.1.1 asks for 78 at most, and quoting adds some.
pub(super) const COLUMNS: usize = 72;
/// RFC 5322 §2.1.1: no line is longer, whatever the encoding.
pub(super) const LINE_MAX: usize = 998;
/// Octets of a foreign Message-ID that is repeated; with its field name it must fit a line.
const MESSAGE_ID_MAX: usize = 900;

/// Whether a letter answers a mail or reports something (RFC 3834 §5).
#[derive(Debug, Clone, Copy)]
pub(super) enum Automatic {
    /// It answers one mail.
    Replied,
    /// It reports.
    Generated,
}

/// What every letter has.
#[derive(Debug, Clone, Copy)]
pub struct Cover<'a> {
    /// The bridge's own address.
    pub from: &'a str,
    /// Who is to read it.
    pub to: &'a str,
    /// Of this letter, without brackets.
    pub message_id: &'a str,
    /// Its date.
    pub now: UnixMs,
}

impl<'a> Cover<'a> {
    /// A message with this header and no body yet.
    pub(super) fn begin(self, subject: String, automatic: Automatic) -> MessageBuilder<'a> {
        let domain = self.from.rsplit_once('@').map_or(self.from, |(_, domain)| domain);
        MessageBuilder::new()
            .date(Date::new(self.now.div_euclid(1000)))
            .from(Address::new_address(Some(format!("Satchel at {domain}")), self.from))
            .to(Address::new_address(None::<&str>, self.to))
            .subject(subject)
            .message_id(self.message_id)
            .header(
                "Auto-Submitted",
                Raw::new(match automatic {
                    Automatic::Replied => "auto-replied",
                    Automatic::Generated => "auto-generated",
                }),
            )
    }

    /// A letter of plain text that reports something.
    pub(super) fn report(self, subject: impl Into<String>, text: &str) -> Vec<u8> {
        finish(self.begin(subject.into(), Automatic::Generated), text_part("text/plain", text))
    }
}

/// The finished octets.
pub(super) fn finish(message: MessageBuilder<'_>, body: MimePart<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.body(body).serialize(&mut out);
    out
}

/// A Message-ID as it may be repeated: without brackets, and only what RFC 5322 §3.6.4 lets stand there.
/// `None` for anything else: the field was written by a stranger.
pub(super) fn message_id(text: &str) -> Option<MessageId<'_>> {
    let id = text.trim().trim_start_matches('<').trim_end_matches('>');
    let plain = id.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>'));
    (plain && !id.is_empty() && id.len() <= MESSAGE_ID_MAX).then(|| MessageId::new(id))
}

/// A text part. ASCII with lines that fit is sent as it stands, so that it reads in a raw view, survives
/// signing, and an invoice stays one line; anything else is left to the encoder.
pub(super) fn text_part<'a>(kind: &'a str, text: &str) -> MimePart<'a> {
    let mut crlf = String::with_capacity(text.len() + 64);
    for line in text.lines() {
        // The signature's mark (RFC 3676 §4.3) is the one line whose last space means something.
        crlf.push_str(if line == "-- " { line } else { line.trim_end() });
        crlf.push_str("\r\n");
    }
    let plain = crlf.bytes().all(|b| matches!(b, b'\r' | b'\n' | b'\t' | b' '..=b'~'))
        && crlf.lines().all(|line| line.len() <= LINE_MAX);
    let mut kind = ContentType::new(kind);
    if kind.c_type != "message/delivery-status" && kind.c_type != "text/rfc822-headers" {
        kind = kind.attribute("charset", if plain { "us-ascii" } else { "utf-8" });
    }
    let part = MimePart::new(kind, BodyPart::Text(crlf.into()));
    if plain { part.transfer_encoding("7bit") } else { part }
}

/// A multipart whose boundary follows from the letter's Message-ID: the same letter has the same octets.
/// `=_` never stands in quoted-printable, and nobody outside knows the Message-ID beforehand.
pub(super) fn multipart<'a>(kind: ContentType<'a>, id: &str, nth: u8, parts: Vec<MimePart<'a>>) -> MimePart<'a> {
    let slug: String = id.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    MimePart::new(kind.attribute("boundary", format!("=_{nth}_{slug}")), parts)
}

/// Paragraphs at [`COLUMNS`]; a word that is longer (an address, a link) has its line to itself.
pub(super) fn wrap(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for (n, paragraph) in text.lines().enumerate() {
        if n > 0 {
            out.push('\n');
        }
        let mut column = 0;
        for word in paragraph.split_whitespace() {
            let width = word.chars().count();
            if column > 0 && column + 1 + width > COLUMNS {
                out.push('\n');
                column = 0;
            } else if column > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += width;
        }
    }
    out
}

/// One line of foreign text: control characters (and what turns reading direction) gone, at most `max`
/// characters.
pub(super) fn one_line(text: &str, max: usize) -> String {
    let mut out: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .filter(|c| !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}'))
        .take(max + 1)
        .collect();
    if out.chars().count() > max {
        out.pop();
        out.push_str("...");
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `21 Nov 2026, 04:50 UTC`.
pub(super) fn moment(at: UnixMs) -> String {
    DateTime::from_timestamp_millis(at).unwrap_or_default().format("%-d %b %Y, %H:%M UTC").to_string()
}

/// RFC 5322 date-time.
pub(super) fn rfc5322_date(at: UnixMs) -> String {
    Date::new(at.div_euclid(1000)).to_rfc822()
}

/// A length of time in the largest unit that divides it: `24 hours`, `1 minute`.
pub(super) fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    // A day reads better in hours: "24 hours" promises no midnight.
    let (n, unit) = match seconds {
        s if s >= 2 * 86_400 && s % 86_400 == 0 => (s / 86_400, "day"),
        s if s >= 3600 && s % 3600 == 0 => (s / 3600, "hour"),
        s if s >= 60 && s % 60 == 0 => (s / 60, "minute"),
        s => (s.max(1), "second"),
    };
    format!("{n} {unit}{}", if n == 1 { "" } else { "s" })
}

/// Text inside HTML.
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Character references keep the part ASCII.
            c if !c.is_ascii() => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_wraps_at_words_and_never_breaks_a_link() {
        let link = "http://host.test/pay/".to_owned() + &"a".repeat(80);
        let wrapped = wrap(&format!("{} {link} end\n\nnext", "word ".repeat(30)));
        assert!(wrapped.lines().any(|line| line == link));
        assert!(wrapped.lines().filter(|line| *line != link).all(|line| line.len() <= COLUMNS));
        assert!(wrapped.ends_with("end\n\nnext"));
    }

    #[test]
    fn lengths_of_time_are_spoken() {
        for (seconds, text) in [
            (86_400, "24 hours"),
            (3600, "1 hour"),
            (172_800, "2 days"),
            (90, "90 seconds"),
            (60, "1 minute"),
            (0, "1 second"),
        ] {
            assert_eq!(spoken(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn only_a_real_message_id_is_repeated() {
        assert!(message_id("<a@b>").is_some() && message_id("a@b").is_some());
        for bad in ["", "<>", "a b", "a\r\nBcc: x@y", "<a><b>", "\u{e9}@x", &"a".repeat(1000)] {
            assert!(message_id(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn foreign_text_stays_on_its_line() {
        assert_eq!(one_line("a\r\nBcc: x\u{202e}y\0", 100), "a Bcc: xy");
        assert_eq!(one_line(&"x".repeat(50), 10), format!("{}...", "x".repeat(10)));
    }

    #[test]
    fn html_text_is_ascii_and_inert() {
        assert_eq!(html("<a href=\"x\">'é'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&#233;&#39;&amp;");
    }
}
