//! Drives a [`Session`] without a socket, with a small host that decides by name.

use smtp::{
    Accepted, Action, AuthRefusal, Envelope, Kind, Recipient, Refusal, Session, SessionConfig, Submitter, TlsInfo,
};
use std::time::Instant;

pub struct Dialogue {
    pub session: Session,
    pub now: Instant,
    pub delivered: Vec<(Envelope, String)>,
    pub closed: bool,
    pub tls: bool,
    pub rounds: usize,
    input: Vec<u8>,
    content: Vec<u8>,
    pub out: Vec<u8>,
}

impl Dialogue {
    pub fn mx() -> Self {
        Self::with(Kind::Mx, |_| ())
    }

    pub fn with(kind: Kind, change: impl FnOnce(&mut SessionConfig)) -> Self {
        let mut talk = Self::from("127.0.0.1:4000", kind, change);
        talk.out.clear();
        talk
    }

    pub fn from(address: &str, kind: Kind, change: impl FnOnce(&mut SessionConfig)) -> Self {
        let mut config = SessionConfig::new(kind, "mx.satchel.test");
        (config.starttls, config.tokens) = (true, true);
        change(&mut config);
        let (now, mut out) = (Instant::now(), Vec::new());
        let session = Session::new(config.into(), address.parse().unwrap(), None, now, &mut out);
        let (input, content, delivered) = (Vec::new(), Vec::new(), Vec::new());
        Self { session, now, delivered, closed: false, tls: false, rounds: 0, input, content, out }
    }

    /// MAIL and RCPT, where the greeting was said.
    pub fn begin(&mut self) {
        let replies = self.send(b"MAIL FROM:<bob@shop.test>\r\nRCPT TO:<alice@satchel.test>\r\n");
        assert!(replies.ends_with("250 2.1.5 recipient ok\r\n"), "{replies}");
    }

    pub fn begin_mail(&mut self) {
        let replies = self.send(b"EHLO c\r\nMAIL FROM:<bob@shop.test>\r\nRCPT TO:<alice@satchel.test>\r\n");
        assert!(replies.ends_with("250 2.1.5 recipient ok\r\n"), "{replies}");
    }

    /// Sends octets, returns all replies to them.
    pub fn send(&mut self, octets: &[u8]) -> String {
        self.rounds += 1;
        self.input.extend_from_slice(octets);
        while !self.closed {
            let progress = self.session.handle_bytes(self.now, &self.input, &mut self.content, &mut self.out);
            self.input.drain(..progress.consumed);
            if !self.session.is_collecting() && !matches!(progress.action, Action::Deliver) {
                self.content.clear();
            }
            let stuck = progress.consumed == 0 || self.input.is_empty();
            let mut next = Some(progress.action);
            let mut read = false;
            while let Some(action) = next.take() {
                match action {
                    Action::Read => read = true,
                    Action::Close => self.closed = true,
                    other => next = self.decide(other),
                }
            }
            if read && stuck {
                break;
            }
        }
        String::from_utf8(std::mem::take(&mut self.out)).unwrap()
    }

    pub fn time_out(&mut self) -> String {
        self.session.handle_timeout(&mut self.out);
        String::from_utf8(std::mem::take(&mut self.out)).unwrap()
    }

    fn decide(&mut self, action: Action) -> Option<Action> {
        let (now, out) = (self.now, &mut self.out);
        match action {
            Action::Read | Action::Close => unreachable!("handled by the caller"),
            Action::Authenticate { user, password } => {
                let right = user == "alice" && password.reveal() == "secret";
                let submitter = Submitter { id: 7, address: "alice@satchel.test".into(), context: None };
                self.session.answer_login(now, if right { Ok(submitter) } else { Err(AuthRefusal::Invalid) }, out)
            }
            Action::Bear { user, token } => {
                let right = user == "alice" && token.reveal() == "token";
                let submitter = Submitter { id: 7, address: "alice@satchel.test".into(), context: None };
                self.session.answer_bear(now, if right { Ok(submitter) } else { Err(AuthRefusal::Invalid) }, out)
            }
            Action::Mail => {
                let full = self.session.reverse_path().domain() == Some("full.test");
                self.session.answer_mail(now, if full { Err(Refusal::storage_full()) } else { Ok(()) }, out)
            }
            Action::Recipient { mailbox } => {
                let answer = match &mailbox {
                    name if name.starts_with("alice") || name == "postmaster" => Ok(Recipient::local(mailbox, 7)),
                    name if name.starts_with("later") => Err(Refusal::separately()),
                    _ => Err(Refusal::unknown_recipient()),
                };
                self.session.answer_recipient(now, answer, out)
            }
            Action::Deliver => {
                let envelope = self.session.take_envelope().unwrap();
                let content = String::from_utf8_lossy(&std::mem::take(&mut self.content)).into_owned();
                let answer = if content.contains("refuse me") {
                    let text = "this mailbox asks strangers for postage;\r\nsee https://satchel.test/p";
                    Err(Refusal::new(550, (5, 7, 1), text))
                } else {
                    self.delivered.push((envelope, content));
                    Ok(Accepted { queue_id: format!("q{}", self.delivered.len()) })
                };
                self.session.answer_message(now, answer, out)
            }
            Action::StartTls => {
                self.tls = true;
                self.input.clear();
                self.session.tls_started(now, TlsInfo { version: "TLSv1_3".into(), cipher: "X".into() });
                None
            }
        }
    }
}

/// Plays a transcript on an MX.
pub fn conversation(text: &str) -> Dialogue {
    play(Kind::Mx, text)
}

/// Plays a transcript on a submission port.
pub fn submission(text: &str) -> Dialogue {
    play(Kind::Submission, text)
}

fn play(kind: Kind, text: &str) -> Dialogue {
    let mut talk = Dialogue::from("127.0.0.1:4000", kind, |_| ());
    let mut replies = talk.send(b"");
    for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        if let Some(sent) = line.strip_prefix("C:") {
            let sent = sent.strip_prefix(' ').unwrap_or(sent);
            replies += &talk.send(format!("{sent}\r\n").as_bytes());
        } else if let Some(expected) = line.strip_prefix("S: ") {
            let (got, rest) = replies.split_once("\r\n").unwrap_or_else(|| panic!("nothing came, expected {expected}"));
            assert_eq!(got, expected, "in\n{text}");
            replies = rest.to_owned();
        } else {
            panic!("neither C: nor S: {line}");
        }
    }
    assert_eq!(replies, "", "more came than expected");
    talk
}
