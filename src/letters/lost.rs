//! To owner and author: a mail was accepted, but its payment was gone before it could be collected.

use lnmp::Msat;

use super::compose::{Cover, wrap};

/// Says what happened to the money, and that nobody need do anything.
#[derive(Debug, Clone, Copy)]
pub struct Lost<'a> {
    /// From whom, to whom, when.
    pub cover: Cover<'a>,
    /// What had been locked.
    pub amount: Msat,
    /// The recipient as addressed, until erased.
    pub recipient: Option<&'a str>,
    /// Whether `to` is the author.
    pub to_author: bool,
    /// The author's page.
    pub page_url: &'a str,
}

impl Lost<'_> {
    /// The letter.
    pub fn render(&self) -> Vec<u8> {
        let Self { amount, page_url, .. } = self;
        let (subject, text) = if self.to_author {
            let to = self.recipient.map_or_else(String::new, |recipient| format!(" to {recipient}"));
            (
                format!("Your payment of {amount} was returned"),
                format!(
                    "Your mail{to} was accepted, but the payment of {amount} had gone back before it could be collected. \
                     You have your money, and your mail stays with its reader: there is nothing to do.\n\n\
                     Your wallet may show the payment as pending until its channel says otherwise. How it stands:\n\n{page_url}"
                ),
            )
        } else {
            (
                format!("An accepted payment of {amount} was lost"),
                format!(
                    "You accepted a mail that had locked {amount}, but the payment went back to its author before the \
                     server's Lightning node could collect it. Nothing was booked for you. The mail stays where you put it, \
                     marked $Refunded.\n\nThis happens when the node was down or cut off for longer than a payment can be \
                     held. The postmaster of this server should know about it."
                ),
            )
        };
        self.cover.report(subject, &wrap(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::MessageParser;

    fn lost(to_author: bool) -> String {
        let octets = Lost {
            cover: Cover {
                from: "postmaster@satchel.test",
                to: "bob@shop.test",
                message_id: "1@satchel.test",
                now: 1_795_234_200_000,
            },
            amount: Msat(100_000),
            recipient: Some("alice@satchel.test"),
            to_author,
            page_url: "http://h.test/pay/00",
        }
        .render();
        let message = MessageParser::default().parse(&octets).unwrap();
        format!("{}\n{}", message.subject().unwrap(), message.body_text(0).unwrap())
    }

    #[test]
    fn the_author_reads_that_the_money_is_back_and_the_owner_that_it_is_not_theirs() {
        let author = lost(true);
        assert!(author.contains("100 sat was returned") && author.contains("http://h.test/pay/00"));
        let owner = lost(false);
        assert!(owner.contains("100 sat was lost") && owner.contains("$Refunded") && !owner.contains("/pay/"));
    }
}
