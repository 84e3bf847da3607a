//! To a sender: a mail could not be delivered (RFC 3464 in RFC 6522's multipart/report).

use std::fmt::Write;

use mail_builder::headers::content_type::ContentType;
use store::UnixMs;

use super::compose::{Automatic, Head, finish, moment, multipart, one_line, rfc5322_date, text_part, wrap};

/// Octets of the original's header that go back. Trace fields of a long way fit; a header larger than that
/// is cut at a line.
const HEADER_MAX: usize = 32 * 1024;
/// Characters of the next server's answer that are repeated: RFC 5321 §4.5.3.1.5 lets a reply line be 512.
const DIAGNOSTIC_MAX: usize = 512;

/// Reports a failed delivery to one recipient.
#[derive(Debug, Clone, Copy)]
pub struct Bounce<'a> {
    /// The server's name: the reporting MTA.
    pub server_name: &'a str,
    /// The bridge's own address.
    pub from: &'a str,
    /// The reverse-path of the original. Never empty: nobody reports a report.
    pub to: &'a str,
    /// Who was not reached.
    pub recipient: &'a str,
    /// RFC 3463 status, `5.1.1`.
    pub status: &'a str,
    /// What the next server said, or why it was not asked.
    pub diagnostic: &'a str,
    /// The original; its header is returned, its content is not.
    pub original: &'a [u8],
    /// When it was queued.
    pub queued_at: UnixMs,
    /// Of this letter, without brackets.
    pub message_id: &'a str,
    /// Its date.
    pub now: UnixMs,
}

impl Bounce<'_> {
    /// The letter: an explanation, the machine's report, the original's header.
    pub fn render(&self) -> Vec<u8> {
        let recipient = one_line(self.recipient, 320);
        let diagnostic = one_line(self.diagnostic, DIAGNOSTIC_MAX);
        let mut text = wrap(&format!(
            "Your mail to {recipient} of {queued} could not be delivered, and this server has stopped trying.",
            queued = moment(self.queued_at),
        ));
        let _ = write!(
            text,
            "\n\nThe reason:\n\n{}\n\n{}\n\n-- \nSatchel at {}\n",
            wrap(&diagnostic),
            wrap("The mail itself is not returned, only its header. It is still in your Sent folder."),
            self.server_name
        );
        let head = Head {
            from: self.from,
            to: self.to,
            subject: format!("Undelivered: your mail to {recipient}"),
            message_id: self.message_id,
            now: self.now,
            automatic: Automatic::Replied,
        };
        let kind = ContentType::new("multipart/report").attribute("report-type", "delivery-status");
        let parts = vec![
            text_part("text/plain", &text),
            text_part("message/delivery-status", &self.report(&diagnostic)),
            text_part("text/rfc822-headers", &header_of(self.original)),
        ];
        finish(head.begin(), multipart(kind, self.message_id, 1, parts))
    }

    /// RFC 3464 §2.2 and §2.3: fields for the message, an empty line, fields for the recipient.
    fn report(&self, diagnostic: &str) -> String {
        format!(
            "Reporting-MTA: dns; {server}\nArrival-Date: {arrived}\n\n\
             Final-Recipient: {recipient}\nAction: failed\nStatus: {status}\nDiagnostic-Code: smtp; {diagnostic}\n\
             Last-Attempt-Date: {now}\n",
            server = ascii(self.server_name),
            arrived = rfc5322_date(self.queued_at),
            recipient = typed_address(self.recipient),
            status = if is_status(self.status) { self.status } else { "5.0.0" },
            diagnostic = ascii(diagnostic),
            now = rfc5322_date(self.now),
        )
    }
}

/// RFC 3463 §2: class, subject, detail.
fn is_status(text: &str) -> bool {
    let mut parts = text.split('.');
    let number =
        |part: Option<&str>| part.is_some_and(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()));
    matches!(parts.next(), Some("4" | "5")) && number(parts.next()) && number(parts.next()) && parts.next().is_none()
}

/// `rfc822; ADDRESS`, or for other scripts RFC 6533 §3's 7-bit form, `utf-8; \x{E9}@example.org`.
fn typed_address(address: &str) -> String {
    let address = one_line(address, 320);
    if address.is_ascii() {
        return format!("rfc822; {address}");
    }
    let mut out = String::from("utf-8; ");
    for c in address.chars() {
        match c {
            '\\' | '+' | '=' => {
                let _ = write!(out, "\\x{{{:02X}}}", u32::from(c));
            }
            c if c.is_ascii_graphic() => out.push(c),
            c => {
                let _ = write!(out, "\\x{{{:02X}}}", u32::from(c));
            }
        }
    }
    out
}

/// The report is `message/*`: RFC 2046 §5.2 lets nothing encode it, so other characters are replaced.
fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// The octets before the empty line, or as many whole lines of them as [`HEADER_MAX`] takes.
fn header_of(original: &[u8]) -> String {
    let start = &original[..original.len().min(HEADER_MAX)];
    let ends = |mark: &[u8]| start.windows(mark.len()).position(|octets| octets == mark);
    let end = [ends(b"\r\n\r\n"), ends(b"\n\n")].into_iter().flatten().min().unwrap_or_else(|| {
        let whole = start.iter().rposition(|octet| *octet == b'\n').filter(|_| original.len() > HEADER_MAX);
        whole.unwrap_or(start.len())
    });
    String::from_utf8_lossy(&start[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::{MessageParser, MimeHeaders, PartType};

    const ORIGINAL: &[u8] =
        b"From: alice@satchel.test\r\nTo: bob@nowhere.test\r\nSubject: Hello\r\n\r\nsecret body\r\n";

    fn bounce<'a>(original: &'a [u8], diagnostic: &'a str, recipient: &'a str) -> Bounce<'a> {
        Bounce {
            server_name: "satchel.test",
            from: "postmaster@satchel.test",
            to: "alice@satchel.test",
            recipient,
            status: "5.1.1",
            diagnostic,
            original,
            queued_at: 1_795_230_000_000,
            message_id: "9@satchel.test",
            now: 1_795_234_200_000,
        }
    }

    fn parts(octets: &[u8]) -> Vec<(String, String)> {
        let message = MessageParser::default().parse(octets).unwrap();
        message
            .parts
            .iter()
            .skip(1)
            .map(|part| {
                let kind = part.content_type().unwrap();
                let body = match &part.body {
                    PartType::Text(text) => text.to_string(),
                    PartType::Binary(octets) | PartType::InlineBinary(octets) => {
                        String::from_utf8_lossy(octets).into_owned()
                    }
                    _ => String::from_utf8_lossy(&octets[part.offset_body as usize..part.offset_end as usize])
                        .into_owned(),
                };
                (format!("{}/{}", kind.ctype(), kind.subtype().unwrap()), body)
            })
            .collect()
    }

    #[test]
    fn the_report_has_three_parts_with_the_fields_of_rfc_3464() {
        let octets = bounce(ORIGINAL, "550 5.1.1 no such user", "bob@nowhere.test").render();
        let message = MessageParser::default().parse(&octets).unwrap();
        let kind = message.content_type().unwrap();
        assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("report")));
        assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
        assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-replied"));
        let parts = parts(&octets);
        let kinds: Vec<_> = parts.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["text/plain", "message/delivery-status", "text/rfc822-headers"]);
        assert!(parts[0].1.contains("no such user"));
        for field in [
            "Reporting-MTA: dns; satchel.test",
            "Final-Recipient: rfc822; bob@nowhere.test",
            "Action: failed",
            "Status: 5.1.1",
            "Diagnostic-Code: smtp; 550 5.1.1 no such user",
            "Arrival-Date: Sat, 21 Nov 2026 03:00:00 +0000",
        ] {
            assert!(parts[1].1.lines().any(|line| line == field), "{field} in {}", parts[1].1);
        }
        assert_eq!(parts[1].1.trim().split("\r\n\r\n").count(), 2, "message fields, then recipient fields");
        assert!(parts[2].1.contains("Subject: Hello"));
        assert!(!String::from_utf8(octets).unwrap().contains("secret body"));
    }

    #[test]
    fn what_the_next_server_said_cannot_add_fields() {
        let octets = bounce(ORIGINAL, "550 no\r\nAction: delivered\r\n\r\nx \u{e9}", "bob@nowhere.test").render();
        let report = &parts(&octets)[1].1;
        assert_eq!(report.lines().filter(|line| line.starts_with("Action:")).count(), 1);
        assert!(report.contains("550 no Action: delivered x ?"), "{report}");
    }

    #[test]
    fn hostile_originals_make_a_letter_that_is_ascii_with_short_lines() {
        let wide = [b"Subject: ".as_slice(), &[b'x'; 5000], b"\r\n\r\nbody"].concat();
        let many = b"X: y\r\n".repeat(20_000);
        for original in [&b""[..], b"\xff\xfe\xe9: x\n\nbody", b"no header", &wide, &many] {
            let octets = bounce(original, "", "b\u{fc}b@nowhere.test").render();
            // Only the header of this letter may be UTF-8, and only because the address is.
            assert!(octets.split(|b| *b == b'\n').all(|line| line.len() <= 999));
            assert!(octets.len() < 4 * HEADER_MAX);
            assert!(parts(&octets)[1].1.contains("utf-8; b\\x{FC}b@nowhere.test"));
        }
    }

    #[test]
    fn a_status_that_is_none_becomes_the_general_one() {
        for (given, ok) in
            [("5.1.1", true), ("4.4.7", true), ("2.0.0", false), ("550", false), ("5.1.1.1", false), ("", false)]
        {
            assert_eq!(is_status(given), ok, "{given}");
        }
    }
}
