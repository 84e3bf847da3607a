//! To the postmaster: payments are held, and the Lightning node does not see the chain.

use super::compose::{Cover, wrap};

/// Says what is at stake and what to look at.
#[derive(Debug, Clone, Copy)]
pub struct Behind<'a> {
    /// From whom, to whom, when.
    pub cover: Cover<'a>,
    /// Payments held or being claimed.
    pub held: usize,
    /// For how long.
    pub minutes: i64,
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
        let subject = format!("The Lightning node is behind, and {held} payments are held");
        self.cover.report(subject, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::MessageParser;

    #[test]
    fn it_says_how_many_and_for_how_long() {
        let octets = Behind {
            cover: Cover {
                from: "postmaster@satchel.test",
                to: "postmaster@satchel.test",
                message_id: "1@satchel.test",
                now: 0,
            },
            held: 3,
            minutes: 121,
        }
        .render();
        let message = MessageParser::default().parse(&octets).unwrap();
        assert!(message.subject().unwrap().contains("3 payments"));
        assert!(message.body_text(0).unwrap().contains("For 121 minutes"));
    }
}
