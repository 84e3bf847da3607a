//! To a sender: what became of a mail (RFC 3464 in RFC 6522's multipart/report).

use std::fmt::Write;

use mail_builder::headers::content_type::ContentType;
use mail_builder::mime::{BodyPart, MimePart};
use store::UnixMs;

use super::compose::{Automatic, Cover, finish, moment, multipart, one_line, rfc5322_date, text_part, wrap};

/// Octets of the original's header that go back. Trace fields of a long way fit; a header larger than that
/// is cut at a line.
const HEADER_MAX: usize = 32 * 1024;
/// Octets of an original that goes back whole where its sender asked for that (RET=FULL); of a longer one only the
/// header does.
pub const RETURN_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Characters of the next server's answer that are repeated: RFC 5321 §4.5.3.1.5 lets a reply line be 512.
const DIAGNOSTIC_MAX: usize = 512;
/// Recipients named in the text; all are in the report.
const NAMED_MAX: usize = 20;

/// What became of it. RFC 3464 §2.3.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Given up.
    Failed,
    /// Still tried, until this moment.
    Delayed {
        /// When the server gives up.
        until: UnixMs,
    },
    /// In the recipient's mailbox.
    Delivered,
    /// Handed to a server that tells nothing more.
    Relayed,
}

/// One recipient of a report.
#[derive(Debug, Clone)]
pub struct Reported {
    /// As the mail was addressed here.
    pub recipient: String,
    /// ORCPT, `addr-type;xtext`: as the sender addressed it.
    pub original: Option<String>,
    /// RFC 3463 status, `5.1.1`.
    pub status: String,
    /// What the next server said, or why it was not asked.
    pub diagnostic: String,
    /// The server that said it; `None`: this one.
    pub remote: Option<String>,
}

/// Reports what became of a mail, for one recipient or several.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// From whom, when; and to the reverse-path of the original, never an empty one: nobody reports a report.
    pub cover: Cover<'a>,
    /// What became of it.
    pub action: Action,
    /// The server's name: the reporting MTA.
    pub server_name: &'a str,
    /// Of whom; at least one.
    pub recipients: &'a [Reported],
    /// ENVID in xtext.
    pub envid: Option<&'a str>,
    /// The original.
    pub original: &'a [u8],
    /// RET=FULL: a failed mail goes back whole, not only its header.
    pub return_full: bool,
    /// When it was queued.
    pub queued_at: UnixMs,
}

impl Report<'_> {
    /// The letter: an explanation, the machine's report, the original or its header.
    pub fn render(&self) -> Vec<u8> {
        let whom = match self.recipients {
            [one] => one_line(&one.recipient, 320),
            several => format!("{} recipients", several.len()),
        };
        let whole = self.return_full && self.action == Action::Failed && self.original.len() <= RETURN_BYTES_MAX;
        let subject = format!("{}: your mail to {whom}", self.word());
        let kind = ContentType::new("multipart/report").attribute("report-type", "delivery-status");
        let parts = vec![
            text_part("text/plain", &self.text(&whom, whole)),
            text_part("message/delivery-status", &self.report()),
            if whole { whole_part(self.original) } else { text_part("text/rfc822-headers", &header_of(self.original)) },
        ];
        finish(self.cover.begin(subject, Automatic::Replied), multipart(kind, self.cover.message_id, 1, parts))
    }

    fn word(&self) -> &'static str {
        match self.action {
            Action::Failed => "Undelivered",
            Action::Delayed { .. } => "Delayed",
            Action::Delivered => "Delivered",
            Action::Relayed => "Relayed",
        }
    }

    fn text(&self, whom: &str, whole: bool) -> String {
        let queued = moment(self.queued_at);
        let opening = match self.action {
            Action::Failed => {
                format!("Your mail to {whom} of {queued} could not be delivered, and this server has stopped trying.")
            }
            Action::Delayed { until } => format!(
                "Your mail to {whom} of {queued} has not been delivered yet. There is no need to send it again: this server goes on trying until {}, and tells you if it gives up.",
                moment(until)
            ),
            Action::Delivered => format!("Your mail to {whom} of {queued} was delivered."),
            Action::Relayed => format!(
                "Your mail to {whom} of {queued} was taken by the next server. That server does not tell what becomes of it: you will hear no more of it unless it fails."
            ),
        };
        let mut text = wrap(&opening);
        let told = matches!(self.action, Action::Failed | Action::Delayed { .. });
        if let ([one], true) = (self.recipients, told) {
            let _ = write!(text, "\n\nThe reason:\n\n{}", wrap(&one_line(&one.diagnostic, DIAGNOSTIC_MAX)));
        } else {
            text.push('\n');
            for one in self.recipients.iter().take(NAMED_MAX) {
                let _ = write!(text, "\n{}", wrap(&one_line(&one.recipient, 320)));
                if told {
                    let _ = write!(text, "\n{}\n", wrap(&one_line(&one.diagnostic, DIAGNOSTIC_MAX)));
                }
            }
            if self.recipients.len() > NAMED_MAX {
                let _ = write!(text, "\nand {} more", self.recipients.len() - NAMED_MAX);
            }
        }
        if self.action == Action::Failed {
            let returned = match whole {
                true => "The mail itself is attached.",
                false => "The mail itself is not returned, only its header. It is still in your Sent folder.",
            };
            let _ = write!(text, "\n\n{}", wrap(returned));
        }
        let _ = write!(text, "\n\n-- \nSatchel at {}\n", self.server_name);
        text
    }

    /// RFC 3464 §2.2 and §2.3: fields for the message, and behind an empty line fields for each recipient.
    fn report(&self) -> String {
        let mut out = String::new();
        // RFC 3464 §2.2.1: only where the sender gave one.
        if let Some(envid) = self.envid.and_then(smtp::decode_xtext) {
            let _ = writeln!(out, "Original-Envelope-Id: {}", ascii(&one_line(&envid, 100)));
        }
        let _ = write!(
            out,
            "Reporting-MTA: dns; {}\nArrival-Date: {}\n",
            ascii(self.server_name),
            rfc5322_date(self.queued_at)
        );
        for one in self.recipients {
            out.push('\n');
            if let Some(original) = one.original.as_deref().and_then(original_recipient) {
                let _ = writeln!(out, "Original-Recipient: {original}");
            }
            let (action, class) = match self.action {
                Action::Failed => ("failed", '5'),
                Action::Delayed { .. } => ("delayed", '4'),
                Action::Delivered => ("delivered", '2'),
                Action::Relayed => ("relayed", '2'),
            };
            // RFC 3464 §2.3.4: what the server said, when its class is that of what happened; a given-up 4.x.x is told
            // as such.
            let fits = is_status(&one.status)
                && (one.status.starts_with(class) || class == '5' && one.status.starts_with('4'));
            let status = if fits { one.status.clone() } else { format!("{class}.0.0") };
            let _ =
                write!(out, "Final-Recipient: {}\nAction: {action}\nStatus: {status}\n", typed_address(&one.recipient));
            if let Some(remote) = &one.remote {
                let _ = writeln!(out, "Remote-MTA: dns; {}", ascii(&one_line(remote, 255)));
            }
            if !one.diagnostic.is_empty() {
                let _ = writeln!(out, "Diagnostic-Code: smtp; {}", ascii(&one_line(&one.diagnostic, DIAGNOSTIC_MAX)));
            }
            let _ = writeln!(out, "Last-Attempt-Date: {}", rfc5322_date(self.cover.now));
            if let Action::Delayed { until } = self.action {
                let _ = writeln!(out, "Will-Retry-Until: {}", rfc5322_date(until));
            }
        }
        out
    }
}

/// The original as it was sent. RFC 6522 §3; `message/global` where its header is beyond ASCII (RFC 6532 §3.7).
fn whole_part(original: &[u8]) -> MimePart<'_> {
    let header = original.windows(4).position(|octets| octets == b"\r\n\r\n").unwrap_or(original.len());
    let kind = if original[..header].is_ascii() { "message/rfc822" } else { "message/global" };
    let encoding = if original.is_ascii() { "7bit" } else { "8bit" };
    MimePart::new(ContentType::new(kind), BodyPart::Binary(original.into())).transfer_encoding(encoding)
}

/// `addr-type;xtext` as `addr-type; address`. RFC 3464 §2.3.1: exactly what the sender gave.
fn original_recipient(orcpt: &str) -> Option<String> {
    let (kind, address) = orcpt.split_once(';')?;
    let address = match kind.eq_ignore_ascii_case("utf-8") {
        true => address.to_owned(),
        false => smtp::decode_xtext(address)?,
    };
    Some(format!("{}; {}", ascii(&one_line(kind, 40)), ascii(&one_line(&address, 500))))
}

/// RFC 3463 §2: class, subject, detail.
fn is_status(text: &str) -> bool {
    let mut parts = text.split('.');
    let number =
        |part: Option<&str>| part.is_some_and(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()));
    matches!(parts.next(), Some("2" | "4" | "5"))
        && number(parts.next())
        && number(parts.next())
        && parts.next().is_none()
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

    fn reported(diagnostic: &str, recipient: &str) -> Reported {
        Reported {
            recipient: recipient.to_owned(),
            original: None,
            status: "5.1.1".into(),
            diagnostic: diagnostic.to_owned(),
            remote: Some("mx.nowhere.test".into()),
        }
    }

    fn bounce<'a>(original: &'a [u8], recipients: &'a [Reported]) -> Report<'a> {
        Report {
            cover: Cover {
                from: "postmaster@satchel.test",
                to: "alice@satchel.test",
                message_id: "9@satchel.test",
                now: 1_795_234_200_000,
            },
            action: Action::Failed,
            server_name: "satchel.test",
            recipients,
            envid: None,
            original,
            return_full: false,
            queued_at: 1_795_230_000_000,
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
        let octets = bounce(ORIGINAL, &[reported("550 5.1.1 no such user", "bob@nowhere.test")]).render();
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
            "Remote-MTA: dns; mx.nowhere.test",
            "Last-Attempt-Date: Sat, 21 Nov 2026 04:10:00 +0000",
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
        let octets =
            bounce(ORIGINAL, &[reported("550 no\r\nAction: delivered\r\n\r\nx \u{e9}", "bob@nowhere.test")]).render();
        let report = &parts(&octets)[1].1;
        assert_eq!(report.lines().filter(|line| line.starts_with("Action:")).count(), 1);
        assert!(report.contains("550 no Action: delivered x ?"), "{report}");
    }

    #[test]
    fn hostile_originals_make_a_letter_that_is_ascii_with_short_lines() {
        let wide = [b"Subject: ".as_slice(), &[b'x'; 5000], b"\r\n\r\nbody"].concat();
        let many = b"X: y\r\n".repeat(20_000);
        for original in [&b""[..], b"\xff\xfe\xe9: x\n\nbody", b"no header", &wide, &many] {
            let octets = bounce(original, &[reported("", "b\u{fc}b@nowhere.test")]).render();
            // Only the header of this letter may be UTF-8, and only because the address is.
            assert!(octets.split(|b| *b == b'\n').all(|line| line.len() <= 999));
            assert!(octets.len() < 4 * HEADER_MAX);
            assert!(parts(&octets)[1].1.contains("utf-8; b\\x{FC}b@nowhere.test"));
        }
    }

    #[test]
    fn a_status_that_is_none_becomes_the_general_one() {
        for (given, ok) in [
            ("5.1.1", true),
            ("4.4.7", true),
            ("2.0.0", true),
            ("3.0.0", false),
            ("550", false),
            ("5.1.1.1", false),
            ("", false),
        ] {
            assert_eq!(is_status(given), ok, "{given}");
        }
    }

    #[test]
    fn a_report_of_several_says_what_the_sender_wrote_and_asked_for() {
        let mut first = reported("450 4.2.1 busy", "b@nowhere.test");
        first.original = Some("rfc822;Bob+2B1@old.test".into());
        first.status = "4.2.1".into();
        let second = Reported { original: Some("rfc822;broken+2".into()), remote: None, ..first.clone() };
        let recipients = [first, second];
        let until = 1_795_234_200_000 + 86_400_000;
        let report =
            Report { action: Action::Delayed { until }, envid: Some("QQ+2B314159"), ..bounce(ORIGINAL, &recipients) };
        let octets = report.render();
        let parts = parts(&octets);
        assert!(String::from_utf8_lossy(&octets).contains("Subject: Delayed: your mail to 2 recipients"));
        let groups: Vec<&str> = parts[1].1.trim().split("\r\n\r\n").collect();
        assert!(groups[0].starts_with("Original-Envelope-Id: QQ+314159\r\nReporting-MTA:"), "{}", groups[0]);
        let fields = [
            "Original-Recipient: rfc822; Bob+1@old.test",
            "Action: delayed",
            "Status: 4.2.1",
            "Will-Retry-Until: Sun, 22 Nov 2026 04:10:00 +0000",
        ];
        for field in fields {
            assert!(groups[1].lines().any(|line| line == field), "{field} in {}", groups[1]);
        }
        assert!(!groups[2].contains("Original-Recipient") && !groups[2].contains("Remote-MTA"), "{}", groups[2]);
        assert!(parts[0].1.contains("no need to send it again"));
    }

    #[test]
    fn success_is_told_with_a_status_of_its_class() {
        let one = [Reported { status: "5.1.1".into(), ..reported("250 ok", "b@nowhere.test") }];
        for (action, word) in [(Action::Relayed, "relayed"), (Action::Delivered, "delivered")] {
            let octets = Report { action, return_full: true, ..bounce(ORIGINAL, &one) }.render();
            let parts = parts(&octets);
            assert!(parts[1].1.contains(&format!("Action: {word}\r\nStatus: 2.0.0")), "{}", parts[1].1);
            assert_eq!(parts[2].0, "text/rfc822-headers", "only what failed goes back whole");
        }
    }

    #[test]
    fn a_failed_mail_goes_back_whole_when_its_sender_asked() {
        let wide = b"Subject: caf\xc3\xa9\r\n\r\ncaf\xc3\xa9\r\n";
        for (original, kind) in
            [(ORIGINAL, "Content-Type: message/rfc822"), (&wide[..], "Content-Type: message/global")]
        {
            let one = [reported("550 no", "b@nowhere.test")];
            let octets = Report { return_full: true, ..bounce(original, &one) }.render();
            let found = octets.windows(original.len()).any(|window| window == original);
            assert!(found && String::from_utf8_lossy(&octets).contains(kind), "{}", String::from_utf8_lossy(&octets));
        }
    }
}
