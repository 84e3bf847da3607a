//! To an owner, in the first session of a day: what lies in Unpaid. It goes into the sealed mailbox only,
//! so it may name authors and subjects.

use std::fmt::Write;

use lnmp::Msat;
use store::UnixMs;

use super::compose::{Cover, moment, one_line, wrap};

/// Mails listed; a flood is summed up, all of it is in the folder.
pub const LISTED_MAX: usize = 200;
/// Characters of one author or subject.
const FIELD_MAX: usize = 200;

/// Lists unpaid mails.
#[derive(Debug, Clone, Copy)]
pub struct Digest<'a> {
    /// From whom, to whom, when.
    pub cover: Cover<'a>,
    /// The mails, newest first.
    pub lines: &'a [DigestLine<'a>],
}

/// One unpaid mail.
#[derive(Debug, Clone, Copy)]
pub struct DigestLine<'a> {
    /// Its author, as its From says.
    pub from: &'a str,
    /// Its subject; empty when it has none.
    pub subject: &'a str,
    /// When it came.
    pub date: UnixMs,
    /// What letting it through costs its author.
    pub price: Msat,
}

impl Digest<'_> {
    /// The letter.
    pub fn render(&self) -> Vec<u8> {
        let count = self.lines.len();
        let mails = if count == 1 { "1 mail".to_owned() } else { format!("{count} mails") };
        let mut text = wrap(&format!(
            "{mails} in Unpaid: nobody has locked a payment for them yet. Is one of them wanted? Move it to INBOX: that is \
             free, and its author will not be asked again."
        ));
        text.push_str("\n\n");
        for line in self.lines.iter().take(LISTED_MAX) {
            let subject = one_line(line.subject, FIELD_MAX);
            let _ = write!(
                text,
                "{}\n  from {}\n  {}, {}\n\n",
                if subject.is_empty() { "(no subject)" } else { &subject },
                one_line(line.from, FIELD_MAX),
                moment(line.date),
                line.price,
            );
        }
        if count > LISTED_MAX {
            let _ = write!(text, "And {} more, in the folder Unpaid.\n\n", count - LISTED_MAX);
        }
        text.push_str(&wrap(
            "A mail leaves Unpaid by itself only when it is older than 30 days and stood in a digest that you could see at \
             least 7 days before.",
        ));
        let subject = format!("Unpaid: {mails} you may want to see");
        self.cover.report(subject, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::MessageParser;

    fn digest(lines: &[DigestLine<'_>]) -> String {
        let octets = Digest {
            cover: Cover {
                from: "postmaster@satchel.test",
                to: "alice@satchel.test",
                message_id: "1@satchel.test",
                now: 1_795_234_200_000,
            },
            lines,
        }
        .render();
        assert!(octets.is_ascii(), "other scripts are encoded");
        assert!(octets.split(|b| *b == b'\n').all(|line| line.len() <= 999));
        MessageParser::default().parse(&octets).unwrap().body_text(0).unwrap().into_owned()
    }

    #[test]
    fn each_mail_is_named_with_date_and_price() {
        let line = DigestLine {
            from: "Zoë <zoe@bank.test>",
            subject: "Änderung\r\nBcc: x",
            date: 1_795_234_200_000,
            price: Msat(100_000),
        };
        let text = digest(&[line, DigestLine { subject: "", ..line }]);
        for part in [
            "Änderung Bcc: x",
            "from Zoë <zoe@bank.test>",
            "21 Nov 2026, 04:10 UTC, 100 sat",
            "(no subject)",
            "2 mails",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_flood_is_summed_up() {
        let subject = "s".repeat(5000);
        let line = DigestLine { from: "a@b", subject: &subject, date: 0, price: Msat(1) };
        let text = digest(&vec![line; 1000]);
        assert!(text.contains("And 800 more") && text.len() < 100_000);
    }
}
