//! To an owner: what they are owed could not be paid out.

use super::compose::{Cover, wrap};

/// Says why, once.
#[derive(Debug, Clone, Copy)]
pub struct PayoutFailed<'a> {
    /// From whom, to whom, when.
    pub cover: Cover<'a>,
    /// Where it was to go, in words.
    pub target: &'a str,
    /// Why it did not.
    pub why: &'a str,
}

impl PayoutFailed<'_> {
    /// The letter.
    pub fn render(&self) -> Vec<u8> {
        let target = if self.target == "nwc" { "your wallet (Nostr Wallet Connect)" } else { self.target };
        let text = wrap(&format!(
            "What you are owed could not be paid out to {target}: {}.\n\nNothing is lost: it stays yours, and is tried again, \
             with pauses that grow to a day. This mail comes once, until a payout succeeds or you choose another target:\n\n",
            self.why
        )) + &format!(
            "  satchel account payout {to} --to name@example.org --above SAT\n  satchel account payout {to} --off\n",
            to = self.cover.to
        );
        self.cover.report("A payout to you failed", &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::MessageParser;

    #[test]
    fn it_says_where_to_why_and_that_nothing_is_lost() {
        let letter = PayoutFailed {
            cover: Cover {
                from: "postmaster@satchel.test",
                to: "alice@satchel.test",
                message_id: "1@satchel.test",
                now: 0,
            },
            target: "alice@wallet.example",
            why: "the server of this Lightning address does not answer",
        };
        let octets = letter.render();
        let message = MessageParser::default().parse(&octets).unwrap();
        let text = message.body_text(0).unwrap().replace("\r\n", " ");
        for part in ["alice@wallet.example", "does not answer", "stays yours", "payout alice@satchel.test --off"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
