//! To an owner who has not looked at Requests: paid mail waits. Nothing of its content.

use lnmp::Msat;
use store::UnixMs;

use super::compose::{Cover, moment, wrap};

/// Amounts listed one by one; more are summed up.
const LISTED_MAX: usize = 10;

/// Tells how many paid mails wait, what they locked, and until when.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    /// From whom, to whom, when.
    pub cover: Cover<'a>,
    /// What each waiting mail locked.
    pub amounts: &'a [Msat],
    /// When the first of them is refunded.
    pub deadline: Option<UnixMs>,
}

impl Notice<'_> {
    /// The letter.
    pub fn render(&self) -> Vec<u8> {
        let count = self.amounts.len();
        let total = self.amounts.iter().fold(Msat::ZERO, |sum, amount| sum + *amount);
        let mails = if count == 1 { "1 paid mail waits".to_owned() } else { format!("{count} paid mails wait") };
        let listed: Vec<String> = self.amounts.iter().take(LISTED_MAX).map(Msat::to_string).collect();
        let amounts = match count {
            0 | 1 => format!("Locked for it: {total}."),
            n if n <= LISTED_MAX => format!("Locked for them: {}; together {total}.", listed.join(", ")),
            n => format!("Locked for them: {}, and {} more; together {total}.", listed.join(", "), n - LISTED_MAX),
        };
        let deadline = self.deadline.map_or_else(String::new, |at| {
            format!(
                " Without your answer the {}goes back on {}.",
                if count > 1 { "first " } else { "payment " },
                moment(at)
            )
        });
        let text = wrap(&format!(
            "{mails} in the folder Requests.\n\n{amounts}{deadline}\n\n\
             To accept a mail and take its payment, move it to INBOX or any folder of yours, or reply to it. To decline and \
             refund it, move it to Junk or Trash.\n\n\
             This notice comes at most once in 6 hours, and only while nobody has looked at Requests.",
        ));
        let subject = format!("{mails} in Requests: {total}");
        self.cover.report(subject, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::MessageParser;

    fn notice(amounts: &[Msat]) -> String {
        let octets = Notice {
            cover: Cover {
                from: "postmaster@satchel.test",
                to: "alice@satchel.test",
                message_id: "1@satchel.test",
                now: 1_795_234_200_000,
            },
            amounts,
            deadline: Some(1_795_237_800_000),
        }
        .render();
        assert!(octets.is_ascii());
        let message = MessageParser::default().parse(&octets).unwrap();
        assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
        format!("{}\n{}", message.subject().unwrap(), message.body_text(0).unwrap())
    }

    #[test]
    fn it_says_how_many_how_much_and_until_when() {
        let text = notice(&[Msat(100_000), Msat(1_000_000)]);
        for part in ["2 paid mails wait in Requests: 1100 sat", "100 sat, 1000 sat", "21 Nov 2026, 05:10 UTC", "Junk"] {
            assert!(text.replace('\n', " ").contains(part), "{part} in {text}");
        }
        assert!(notice(&[Msat(100_000)]).starts_with("1 paid mail waits in Requests: 100 sat"));
    }

    #[test]
    fn many_amounts_are_summed_up() {
        let text = notice(&[Msat(1000); 25]).replace('\n', " ");
        assert!(text.contains("and 15 more; together 25 sat"), "{text}");
    }
}
