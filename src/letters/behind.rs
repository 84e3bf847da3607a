//! To the postmaster: payments are held, and the Lightning node does not see the chain.

use store::UnixMs;

use super::compose::{Automatic, Head, finish, text_part, wrap};

/// Says what is at stake and what to look at.
#[derive(Debug, Clone, Copy)]
pub struct Behind<'a> {
    /// The bridge's own address, which the postmaster reads.
    pub to: &'a str,
    /// Payments held or being claimed.
    pub held: usize,
    /// For how long.
    pub minutes: i64,
    /// Of this letter, without brackets.
    pub message_id: &'a str,
    /// Its date.
    pub now: UnixMs,
}

impl Behind<'_> {
    /// The letter.
    pub fn render(&self) -> Vec<u8> {
        let Self { held, minutes, .. } = self;
        let text = wrap(&format!(
            "For {minutes} minutes the Lightning node has not seen the chain, while {held} payments are held.\n\nAccepted \
             payments are claimed only once it does. A node that is away until a held payment expires on the chain, six hours \
             and more after its deadline, may lose the channel to a force-close.\n\nPlease look at the node's chain source and \
             at the log. This mail comes once each time."
        ));
        let head = Head {
            from: self.to,
            to: self.to,
            subject: format!("The Lightning node is behind, and {held} payments are held"),
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
    fn it_says_how_many_and_for_how_long() {
        let octets =
            Behind { to: "postmaster@satchel.test", held: 3, minutes: 121, message_id: "1@satchel.test", now: 0 }
                .render();
        let message = MessageParser::default().parse(&octets).unwrap();
        assert!(message.subject().unwrap().contains("3 payments"));
        assert!(message.body_text(0).unwrap().contains("For 121 minutes"));
    }
}
