//! To an owner: what they are owed could not be paid out.

use store::UnixMs;

use super::compose::{Automatic, Head, finish, text_part, wrap};

/// Says why, once.
#[derive(Debug, Clone, Copy)]
pub struct PayoutFailed<'a> {
    /// The bridge's own address.
    pub from: &'a str,
    /// The owner.
    pub to: &'a str,
    /// Where it was to go, in words.
    pub target: &'a str,
    /// Why it did not.
    pub why: &'a str,
    /// Of this letter, without brackets.
    pub message_id: &'a str,
    /// Its date.
    pub now: UnixMs,
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
            to = self.to
        );
        let head = Head {
            from: self.from,
            to: self.to,
            subject: "A payout to you failed".into(),
            message_id: self.message_id,
            now: self.now,
            automatic: Automatic::Generated,
        };
        finish(head.begin(), text_part("text/plain", &text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::MessageParser;

    #[test]
    fn it_says_where_to_why_and_that_nothing_is_lost() {
        let letter = PayoutFailed {
            from: "postmaster@satchel.test",
            to: "alice@satchel.test",
            target: "alice@wallet.example",
            why: "the server of this Lightning address does not answer",
            message_id: "1@satchel.test",
            now: 0,
        };
        let octets = letter.render();
        let message = MessageParser::default().parse(&octets).unwrap();
        let text = message.body_text(0).unwrap().replace("\r\n", " ");
        for part in ["alice@wallet.example", "does not answer", "stays yours", "payout alice@satchel.test --off"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
