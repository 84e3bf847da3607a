//! To an author whose money is kept in escrow: a link that changes where a refund goes.

use lnmp::Msat;

use super::compose::{Cover, wrap};

/// Hands out the link, or says that it is needed.
#[derive(Debug, Clone, Copy)]
pub struct RefundLink<'a> {
    /// From whom, to whom, when.
    pub cover: Cover<'a>,
    /// What is kept.
    pub amount: Msat,
    /// The refund is due and does not get through.
    pub stuck: bool,
    /// The link; it works once.
    pub url: &'a str,
}

impl RefundLink<'_> {
    /// The letter.
    pub fn render(&self) -> Vec<u8> {
        let Self { amount, url, .. } = self;
        let (subject, why) = if self.stuck {
            (
                format!("Your refund of {amount} does not get through"),
                format!(
                    "Your payment of {amount} is to go back to you, but where you asked for it no payment arrives. Nothing is \
                     lost: the money is kept for you."
                ),
            )
        } else {
            (
                format!("Where your {amount} would go back to"),
                format!(
                    "Somebody asked, on the page of your payment of {amount}, for a link to change where a refund goes."
                ),
            )
        };
        let text = format!(
            "{}\n\n{url}\n\n{}",
            wrap(&format!("{why}\n\nOn this page you can say where else to pay it:")),
            wrap(
                "The link works once. If you do not know what this is about, please ignore it: nothing changes by itself."
            )
        );
        self.cover.report(subject, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::MessageParser;

    #[test]
    fn it_says_what_is_kept_and_where_to_go() {
        for stuck in [true, false] {
            let url = "http://h.test/refund/12-0123456789abcdef0123456789abcdef";
            let octets = RefundLink {
                cover: Cover {
                    from: "postmaster@satchel.test",
                    to: "bob@shop.test",
                    message_id: "1@satchel.test",
                    now: 1_795_234_200_000,
                },
                amount: Msat(100_000),
                stuck,
                url,
            }
            .render();
            let message = MessageParser::default().parse(&octets).unwrap();
            let text = message.body_text(0).unwrap();
            assert!(message.subject().unwrap().contains("100 sat") && text.contains("works once"));
            assert!(text.lines().any(|line| line == url), "{text}");
            assert_eq!(text.contains("does not get") || text.contains("no payment\narrives") || stuck, stuck);
        }
    }
}
