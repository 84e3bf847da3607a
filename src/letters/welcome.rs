//! The first mail of a fresh INBOX: what this is, and how to see it work.

use std::fmt::Write;
use std::net::SocketAddr;

use super::compose::{Cover, wrap};

/// Greets a new owner.
#[derive(Debug, Clone, Copy)]
pub struct Welcome<'a> {
    /// From whom, to whom, when.
    pub cover: Cover<'a>,
    /// Every form of the owner's address, the one with the checksum too.
    pub addresses: &'a [&'a str],
    /// Whether strangers are asked to pay: the wallet can hold a payment.
    pub asks: bool,
    /// How to send a test mail; `None` outside the sandbox.
    pub sandbox: Option<Try<'a>>,
}

/// Where a sandbox can be tried.
#[derive(Debug, Clone, Copy)]
pub struct Try<'a> {
    /// The MX listener.
    pub smtp: SocketAddr,
    /// The web pages: `http://127.0.0.1:8080`.
    pub public_url: &'a str,
}

impl Welcome<'_> {
    /// The letter.
    pub fn render(&self) -> Vec<u8> {
        let mut text = String::from("Welcome to Satchel.\n\n");
        match self.addresses {
            [] => {}
            [one] => {
                let _ = write!(text, "Your address is {one}.\n\n");
            }
            many => {
                text.push_str("Your addresses, all of them this mailbox:\n\n");
                for address in many {
                    let _ = writeln!(text, "  {address}");
                }
                text.push('\n');
            }
        }
        if !self.asks {
            text.push_str(&wrap(
                "How it works. People you have written to reach this INBOX for free. A stranger's mail goes to the folder \
                 Unpaid, and waits there for you: this server's wallet cannot hold payments, so nobody is asked for one. A \
                 daily digest tells what is there.",
            ));
            text.push_str("\n\n");
            text.push_str(&wrap(
                "Is something you want in Unpaid, a mail from your bank for instance? Move it to INBOX: its author is let in \
                 from then on. What you leave there goes after 30 days, and after a digest has told you of it.",
            ));
            return self.finish(text);
        }
        text.push_str(&wrap(
            "How it works. People you have written to reach this INBOX for free. A stranger's mail goes to the folder \
             Unpaid, and its author is asked to lock a small payment. Once it is locked, the mail moves to Requests. There \
             you decide with what you do anyway:",
        ));
        text.push_str(
            "\n\n  move it to INBOX, or reply      accepts it: the payment is yours\n  \
             move it to Junk or Trash        declines it: the payment goes back\n  \
             do nothing                      after a day the payment goes back\n\n",
        );
        text.push_str(&wrap(
            "Is something you want in Unpaid, a mail from your bank for instance? Move it to INBOX: that is free, and its \
             author will not be asked again.",
        ));
        if let Some(Try { smtp, public_url }) = self.sandbox {
            let _ = write!(
                text,
                "\n\nTry it. This is a sandbox: its coins are worth nothing, the rest is real.\nSend yourself a mail as a stranger:\n\n  \
                 swaks --server {smtp} --from bob@shop.test --to {to} \\\n        --header 'Subject: Hello'\n\n\
                 It appears in Unpaid. The payment request for bob is caught at\n\n  {public_url}/sandbox\n\n\
                 Follow its link, pay with the sandbox wallet, and look at Requests.",
                to = self.cover.to
            );
        }
        self.finish(text)
    }

    fn finish(&self, mut text: String) -> Vec<u8> {
        text.push_str("\n\n-- \nSatchel\n");
        self.cover.report("Welcome to Satchel", &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::MessageParser;

    fn welcome(asks: bool, sandbox: Option<Try<'_>>) -> String {
        let octets = Welcome {
            cover: Cover {
                from: "postmaster@satchel.test",
                to: "alice@satchel.test",
                message_id: "1@satchel.test",
                now: 1_795_234_200_000,
            },
            asks,
            addresses: &["alice@satchel.test", "alice#a3f2b9@satchel.test"],
            sandbox,
        }
        .render();
        assert!(octets.is_ascii());
        MessageParser::default().parse(&octets).unwrap().body_text(0).unwrap().into_owned()
    }

    #[test]
    fn it_names_the_addresses_the_folders_and_in_a_sandbox_how_to_try() {
        let text =
            welcome(true, Some(Try { smtp: "127.0.0.1:2525".parse().unwrap(), public_url: "http://127.0.0.1:8080" }));
        for part in
            ["alice#a3f2b9@satchel.test", "Unpaid", "Requests", "Junk", "swaks --server 127.0.0.1:2525", "8080/sandbox"]
        {
            assert!(text.contains(part), "{part}");
        }
        assert!(text.lines().all(|line| line.len() <= 78));
        assert!(!welcome(true, None).contains("swaks"));
    }

    #[test]
    fn where_nobody_is_asked_it_speaks_of_no_payment_to_decide_about() {
        let text = welcome(false, None);
        assert!(text.contains("nobody is asked") && text.contains("Unpaid") && text.contains("alice#a3f2b9"));
        assert!(!text.contains("Requests") && !text.contains("goes back"), "{text}");
    }
}
