//! To an owner: another bridge asks a price for a mail of theirs, and their wallet did not pay it.

use lnmp::Msat;

use super::compose::{Cover, wrap};

/// Says why, and how to pay it all the same.
#[derive(Debug, Clone, Copy)]
pub struct PriceNotPaid<'a> {
    /// From whom, to whom, when.
    pub cover: Cover<'a>,
    /// The price.
    pub amount: Msat,
    /// Why it was not paid.
    pub why: &'a str,
    /// The invoice.
    pub bolt11: &'a str,
}

impl PriceNotPaid<'_> {
    /// The letter.
    pub fn render(&self) -> Vec<u8> {
        let text = wrap(&format!(
            "Another mail system asks {} for a mail of yours, and your wallet did not pay it: {}.\n\nYour mail waits there. The \
             request lies in your INBOX and names price, invoice and page; its invoice is open for a short while only. To pay it \
             from what you are owed here:\n\n",
            self.amount, self.why
        )) + &format!("  satchel wallet payout {} {}\n", self.cover.to, self.bolt11);
        let subject = format!("A price of {} was not paid", self.amount);
        self.cover.report(subject, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::MessageParser;

    #[test]
    fn it_says_how_much_why_and_how_to_pay_it() {
        let letter = PriceNotPaid {
            cover: Cover {
                from: "postmaster@satchel.test",
                to: "alice@satchel.test",
                message_id: "1@satchel.test",
                now: 0,
            },
            amount: Msat(200_000),
            why: "the budget that your wallet gives this connection is used up (QUOTA_EXCEEDED)",
            bolt11: "lnbcrt2u1",
        };
        let octets = letter.render();
        let message = MessageParser::default().parse(&octets).unwrap();
        assert!(message.subject().unwrap().contains("200 sat"));
        let text = message.body_text(0).unwrap().replace("\r\n", " ");
        for part in ["QUOTA_EXCEEDED", "satchel wallet payout alice@satchel.test lnbcrt2u1"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
