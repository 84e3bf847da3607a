//! The commands, in the order RFC 5321 §4.1.1 has them, then those of extensions.

use super::{Action, Content, Mail, Phase, Session};
use crate::content::{Decoder, Framing};
use crate::parameters::{Offered, date};
use crate::path::{cut_path, is_helo_name, is_mailbox};
use crate::reply::{plain_reply, reply};
use crate::{
    Body, ByMode, DeliverBy, Hold, Kind, MailParameters, RcptParameters, Recipient, Refusal, ReversePath, limits,
};
use smtp_proto::{Error, Request};
use std::time::Instant;

impl Session {
    /// Takes one line with its line end. `more` tells that octets wait behind it.
    pub(super) fn handle_line(&mut self, now: Instant, line: &[u8], more: bool, out: &mut Vec<u8>) -> Option<Action> {
        if matches!(self.phase, Phase::Login(_)) {
            return self.login_line(line, out);
        }
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let Some(text) = std::str::from_utf8(text).ok().filter(|text| !text.contains(['\r', '\0'])) else {
            return self.error(out, 500, (5, 5, 2), "a command is UTF-8 text without control octets");
        };
        // `smtp-proto` reads the rest; these two it would read too loosely, and change what was written.
        if let Some(path) = behind(text, "MAIL", "FROM:") {
            return self.mail(path, out);
        }
        if let Some(path) = behind(text, "RCPT", "TO:") {
            return self.rcpt(path, out);
        }
        if let Some(size) = text.get(..4).filter(|verb| verb.eq_ignore_ascii_case("BDAT")).map(|_| &text[4..]) {
            return self.bdat(now, size, out);
        }
        let is_lmtp = self.config.kind == Kind::Lmtp;
        if let Some(attributes) = text.get(..9).filter(|verb| is_lmtp && verb.eq_ignore_ascii_case("XFORWARD ")) {
            return self.xforward(&text[attributes.len()..], out);
        }
        match Request::parse(&mut line.iter()) {
            Ok(Request::Lhlo { host }) if is_lmtp => self.ehlo(&host, true, out),
            // RFC 2033 §4.1: no positive reply to these; 500 is recommended.
            Ok(Request::Ehlo { .. } | Request::Helo { .. }) if is_lmtp => {
                self.error(out, 500, (5, 5, 1), "this is LMTP: say LHLO")
            }
            Ok(Request::Ehlo { host }) => self.ehlo(&host, true, out),
            Ok(Request::Helo { host }) => self.ehlo(&host, false, out),
            Ok(Request::Data) => self.data(now, out),
            Ok(Request::Rset) => self.rset(out),
            Ok(Request::Vrfy { .. }) => {
                self.idle(out, 252, (2, 5, 2), "cannot tell without a mail; send it, and RCPT will say")
            }
            Ok(Request::Expn { .. }) => self.error(out, 502, (5, 7, 0), "lists are not expanded here"),
            Ok(Request::Help { .. }) => {
                self.idle(out, 214, (2, 0, 0), "see RFC 5321; write to postmaster for a person")
            }
            Ok(Request::Noop { .. }) => self.idle(out, 250, (2, 0, 0), "nothing done"),
            Ok(Request::Quit) => {
                reply(out, 221, (2, 0, 0), &format!("{} goodbye", self.config.hostname));
                self.phase = Phase::Closed;
                Some(Action::Close)
            }
            Ok(Request::StartTls) => self.starttls(more, out),
            Ok(Request::Auth { mechanism, initial_response }) => self.auth(mechanism, &initial_response, out),
            Ok(
                Request::Lhlo { .. }
                | Request::Etrn { .. }
                | Request::Atrn { .. }
                | Request::Burl { .. }
                | Request::Bdat { .. },
            )
            | Err(Error::UnknownCommand) => self.error(out, 500, (5, 5, 1), "no such command here"),
            Ok(Request::Mail { .. }) | Err(Error::InvalidSenderAddress) => self.error(out, 501, (5, 5, 2), MAIL_SYNTAX),
            Ok(Request::Rcpt { .. }) | Err(Error::InvalidRecipientAddress) => {
                self.error(out, 501, (5, 5, 2), RCPT_SYNTAX)
            }
            Err(Error::UnsupportedParameter { .. } | Error::InvalidParameter { .. }) => {
                self.error(out, 501, (5, 5, 4), "that parameter cannot be read")
            }
            Err(Error::SyntaxError { syntax }) => self.error(out, 501, (5, 5, 2), &format!("the syntax is: {syntax}")),
            Err(Error::NeedsMoreData { .. } | Error::ResponseTooLong | Error::InvalidResponse { .. }) => {
                self.error(out, 500, (5, 5, 2), "that command cannot be read")
            }
        }
    }

    /// EHLO and HELO. RFC 5321 §4.1.1.1.
    fn ehlo(&mut self, name: &str, esmtp: bool, out: &mut Vec<u8>) -> Option<Action> {
        if !is_helo_name(name) {
            return self.error(out, 501, (5, 5, 2), "that is not a host name");
        }
        if let Some(action) = self.count_idle(out) {
            return Some(action);
        }
        self.mail = None;
        self.peer.forwarded = None;
        name.clone_into(&mut self.peer.helo);
        self.peer.esmtp = esmtp;
        let greeting = format!("{} greets {name}", self.config.hostname);
        if !esmtp {
            plain_reply(out, 250, &[&greeting]);
            return None;
        }
        let size = format!("SIZE {}", self.config.message_bytes_max);
        let limits = format!("LIMITS MAILMAX={} RCPTMAX={}", self.config.mails_max, self.config.recipients_max);
        let mut lines: Vec<&str> =
            vec![&greeting, "PIPELINING", &size, "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", &limits];
        if self.takes_binary() {
            lines.push("BINARYMIME");
        }
        if self.config.kind == Kind::Lmtp {
            lines.push("XFORWARD ADDR HELO");
        }
        if self.config.starttls && self.peer.tls.is_none() {
            lines.push("STARTTLS");
        }
        // RFC 3461 §4: where mail is submitted. At the MX a report would go to whomever a forger named.
        if self.config.kind == Kind::Submission {
            lines.push("DSN");
            // RFC 2852 §4: no least time. RFC 6710 §3: no profile, all priorities are told apart.
            lines.extend(["DELIVERBY", "MT-PRIORITY"]);
        }
        // RFC 4865 §3: the longest time, and the last date.
        let future_release = self.held_until_max.filter(|_| self.config.kind == Kind::Submission);
        let future_release =
            future_release.map(|until| format!("FUTURERELEASE {} {}", limits::HOLD_MAX.as_secs(), date::format(until)));
        lines.extend(future_release.as_deref());
        // RFC 8689 §2: under TLS only. What goes on goes to nobody who does not promise the same.
        if self.peer.tls.is_some() {
            lines.push("REQUIRETLS");
        }
        if self.may_log_in() {
            lines.push(if self.config.tokens { "AUTH PLAIN LOGIN OAUTHBEARER" } else { "AUTH PLAIN LOGIN" });
        }
        plain_reply(out, 250, &lines);
        None
    }

    /// RFC 3030 §3: where mail is delivered. What is submitted may have to go on to a server that takes lines only.
    fn takes_binary(&self) -> bool {
        matches!(self.config.kind, Kind::Mx | Kind::Lmtp)
    }

    /// MAIL. RFC 5321 §4.1.1.2.
    fn mail(&mut self, text: &str, out: &mut Vec<u8>) -> Option<Action> {
        if self.peer.helo.is_empty() {
            let text = if self.config.kind == Kind::Lmtp { "say LHLO first" } else { "say EHLO first" };
            return self.error(out, 503, (5, 5, 1), text);
        }
        if self.mail.is_some() {
            return self.error(out, 503, (5, 5, 1), "a mail is under way already; RSET gives it up");
        }
        if self.config.kind == Kind::Submission && self.peer.authenticated.is_none() {
            let text = if self.may_log_in() { "log in first" } else { "say STARTTLS and log in first" };
            return self.error(out, 530, (5, 7, 0), text);
        }
        // RFC 9422 §4.1: what LIMITS said holds.
        if self.mails >= self.config.mails_max {
            return Some(self.hang_up(out, (4, 5, 1), "that was the last mail of this session, please come again"));
        }
        if !text.trim_start_matches(' ').starts_with('<') {
            return self.error(out, 501, (5, 5, 2), MAIL_SYNTAX);
        }
        let (reverse_path, text) = match cut_path(text) {
            Some(("", text)) => (ReversePath::Null, text),
            Some((mailbox, text)) if is_mailbox(mailbox) => (ReversePath::Mailbox(mailbox.to_owned()), text),
            _ => return self.error(out, 501, (5, 1, 7), "that is not a reverse-path"),
        };
        let offered = match self.config.kind {
            Kind::Mx | Kind::Lmtp => Offered::Transfer,
            Kind::Submission => Offered::Submission,
        };
        let parameters = match MailParameters::parse(text, offered) {
            Ok(parameters) => parameters,
            Err(fault) => return self.fault(out, &fault),
        };
        if !parameters.smtputf8 && !reverse_path.as_str().is_ascii() {
            return self.error(out, 550, (5, 6, 7), "an address beyond ASCII needs SMTPUTF8");
        }
        if parameters.body == Body::BinaryMime && !self.takes_binary() {
            return self.error(out, 555, (5, 5, 4), "BODY=BINARYMIME is not offered here");
        }
        // RFC 8689 §2: a mail that must not travel in the clear is about to do so.
        if parameters.require_tls && self.peer.tls.is_none() {
            return self.error(out, 530, (5, 7, 10), "REQUIRETLS needs TLS; say STARTTLS first");
        }
        if let Some(fault) = self.hold_fault(&parameters) {
            return self.fault(out, &fault);
        }
        if parameters.size > self.config.message_bytes_max {
            return self.refuse(out, &too_large(self.config.message_bytes_max));
        }
        self.mails += 1;
        self.mail = Some(Mail {
            reverse_path,
            parameters,
            recipients: Vec::new(),
            asked: RcptParameters::default(),
            content: None,
        });
        self.phase = Phase::Waiting;
        Some(Action::Mail)
    }

    /// What is wrong with the time that a mail shall be held.
    fn hold_fault(&self, parameters: &MailParameters) -> Option<Refusal> {
        let hold = parameters.hold?;
        let most = limits::HOLD_MAX;
        let fault = |text: &str| Some(Refusal::new(501, (5, 5, 4), text));
        let Some(until_max) = self.held_until_max else { return fault("FUTURERELEASE is not offered here") };
        let begins = until_max - i64::try_from(most.as_secs()).unwrap_or(0);
        let seconds = match hold {
            Hold::For(time) => i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            Hold::Until(at) => at - begins,
        };
        // RFC 4865 §4.2: what is too far away is refused, not shortened.
        if seconds > until_max - begins {
            return fault(&format!("a mail is held for {} days at most", most.as_secs() / 86_400));
        }
        match parameters.by {
            Some(DeliverBy { seconds: by, mode: ByMode::Return, .. }) if by <= seconds => {
                fault("the time of BY ends before the mail may go out")
            }
            _ => None,
        }
    }

    /// The host's answer to [`Action::Mail`].
    pub fn answer_mail(&mut self, now: Instant, answer: Result<(), Refusal>, out: &mut Vec<u8>) -> Option<Action> {
        self.resume(now);
        match answer {
            Ok(()) => {
                reply(out, 250, (2, 1, 0), "sender ok");
                None
            }
            Err(refusal) => {
                self.mail = None;
                self.refuse(out, &refusal)
            }
        }
    }

    /// RCPT. RFC 5321 §4.1.1.3.
    fn rcpt(&mut self, text: &str, out: &mut Vec<u8>) -> Option<Action> {
        let Some(mail) = self.mail.as_ref().filter(|mail| mail.content.is_none()) else {
            return self.error(out, 503, (5, 5, 1), "say MAIL first");
        };
        // RFC 5321 §4.5.3.1.10: 452 for too many; the sender brings the others in another mail.
        if mail.recipients.len() >= self.config.recipients_max {
            let text = format!("no more than {} recipients in one mail", self.config.recipients_max);
            reply(out, 452, (4, 5, 3), &text);
            return None;
        }
        if !text.trim_start_matches(' ').starts_with('<') {
            return self.error(out, 501, (5, 5, 2), RCPT_SYNTAX);
        }
        let (mailbox, text) = match cut_path(text) {
            Some((mailbox, text)) if is_mailbox(mailbox) => (mailbox, text),
            Some((word, text)) if word.eq_ignore_ascii_case("postmaster") => ("postmaster", text),
            _ => return self.error(out, 501, (5, 1, 3), "that is not a forward-path"),
        };
        let is_ascii = mailbox.is_ascii() && text.is_ascii();
        if !mail.parameters.smtputf8 && !is_ascii {
            return self.error(out, 550, (5, 6, 7), "an address beyond ASCII needs SMTPUTF8");
        }
        match (RcptParameters::parse(text), &mut self.mail) {
            (Ok(parameters), Some(mail)) => mail.asked = parameters,
            (Err(fault), _) => return self.fault(out, &fault),
            (Ok(_), None) => {}
        }
        self.phase = Phase::Waiting;
        Some(Action::Recipient { mailbox: mailbox.to_owned() })
    }

    /// The host's answer to [`Action::Recipient`].
    pub fn answer_recipient(
        &mut self,
        now: Instant,
        answer: Result<Recipient, Refusal>,
        out: &mut Vec<u8>,
    ) -> Option<Action> {
        self.resume(now);
        match answer {
            Ok(recipient) => {
                let mail = self.mail.as_mut()?;
                let parameters = std::mem::take(&mut mail.asked);
                mail.recipients.push(Recipient { parameters, ..recipient });
                reply(out, 250, (2, 1, 5), "recipient ok");
                None
            }
            Err(refusal) => {
                let action = self.refuse(out, &refusal);
                // The MX in front brings everybody's guesses.
                if action.is_some() || !refusal.is_permanent() || self.config.kind == Kind::Lmtp {
                    return action;
                }
                self.recipients_refused += 1;
                (self.recipients_refused >= limits::RECIPIENTS_REFUSED_MAX)
                    .then(|| self.hang_up(out, (4, 7, 0), "too many recipients that are not here"))
            }
        }
    }

    /// DATA. RFC 5321 §4.1.1.4.
    fn data(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Action> {
        match &self.mail {
            None => return self.error(out, 503, (5, 5, 1), "say MAIL and RCPT first"),
            Some(mail) if mail.content.is_some() => {
                return self.error(out, 503, (5, 5, 1), "what began with BDAT ends with BDAT");
            }
            // RFC 5321 §3.3 says 503 or 554; the latter tells a pipelining sender that every RCPT failed.
            // RFC 3030 §3: any octets have no lines that a dot could end.
            Some(mail) if mail.parameters.body == Body::BinaryMime => {
                return self.error(out, 503, (5, 5, 1), "a BINARYMIME message comes by BDAT");
            }
            Some(mail) if mail.recipients.is_empty() => {
                // RFC 2033 §4.2: 503, where there is a reply for each recipient or none.
                let code = if self.config.kind == Kind::Lmtp { 503 } else { 554 };
                return self.error(out, code, (5, 5, 1), "no valid recipients");
            }
            Some(_) => {}
        }
        self.begin_content(now, Framing::Dots);
        self.phase = Phase::Data;
        plain_reply(out, 354, &["send the message, end it with a dot on a line of its own"]);
        None
    }

    /// BDAT. RFC 3030 §2.
    fn bdat(&mut self, now: Instant, text: &str, out: &mut Vec<u8>) -> Option<Action> {
        // A chunk follows, however the command was written. When its end is not known, its octets must not be taken for
        // commands.
        let Some((size, is_last)) = chunk_size(text) else {
            reply(out, 501, (5, 5, 4), "the syntax is: BDAT chunk-size [LAST]");
            return Some(self.hang_up(out, (4, 7, 0), "where the chunk ends cannot be told, closing the connection"));
        };
        self.phase = Phase::Chunk { left: size, size, is_last };
        if size > self.config.message_bytes_max.saturating_mul(2) {
            self.refuse(out, &too_large(self.config.message_bytes_max));
            return Some(self.hang_up(out, (4, 3, 4), "such a chunk is not waited for"));
        }
        let refused = match &self.mail {
            None => Some((503, "say MAIL and RCPT first")),
            Some(mail) if mail.recipients.is_empty() => Some((554, "no valid recipients")),
            Some(_) => None,
        };
        // RFC 2033 §4.3: with no recipients the last chunk has no replies.
        let is_silent = self.config.kind == Kind::Lmtp && is_last && self.mail.is_some();
        if let Some((code, text)) = refused {
            // The chunk still comes. Without a transaction its octets are thrown away.
            self.mail = None;
            if size == 0 {
                self.phase = Phase::Command;
            }
            return if is_silent { None } else { self.error(out, code, (5, 5, 1), text) };
        }
        let framing = match &self.mail {
            Some(mail) if mail.parameters.body == Body::BinaryMime => Framing::Binary,
            _ => Framing::Chunks,
        };
        if self.mail.as_ref().is_some_and(|mail| mail.content.is_none()) {
            self.begin_content(now, framing);
        }
        let message_bytes_max = self.config.message_bytes_max;
        if let Some(content) = self.mail.as_mut().and_then(|mail| mail.content.as_mut())
            && content.bytes + size > message_bytes_max
        {
            content.refusal.get_or_insert_with(|| too_large(message_bytes_max));
        }
        None
    }

    fn begin_content(&mut self, now: Instant, framing: Framing) {
        let decoder = Decoder::new(framing, self.config.bare_newlines);
        if let Some(mail) = &mut self.mail {
            mail.content = Some(Content { decoder, bytes: 0, since: now, refusal: None });
        }
    }

    /// RSET. RFC 5321 §4.1.1.5.
    fn rset(&mut self, out: &mut Vec<u8>) -> Option<Action> {
        self.mail = None;
        self.peer.forwarded = None;
        self.idle(out, 250, (2, 0, 0), "forgotten")
    }

    /// STARTTLS. RFC 3207.
    fn starttls(&mut self, more: bool, out: &mut Vec<u8>) -> Option<Action> {
        if self.peer.tls.is_some() {
            return self.error(out, 503, (5, 5, 1), "TLS is on already");
        }
        if !self.config.starttls {
            return self.error(out, 502, (5, 5, 1), "TLS is not available here");
        }
        // Whatever stands behind STARTTLS in the clear may be another's. Nothing of it is ever obeyed, and a peer that
        // sends such a thing is broken or attacked: end it here.
        if more {
            reply(out, 501, (5, 5, 1), "nothing may follow STARTTLS before TLS is on");
            return Some(self.hang_up(out, (4, 7, 0), "closing the connection"));
        }
        reply(out, 220, (2, 0, 0), "go ahead with TLS");
        self.phase = Phase::Waiting;
        Some(Action::StartTls)
    }

    /// Answers a command that moves nothing.
    fn idle(&mut self, out: &mut Vec<u8>, code: u16, enhanced: crate::Enhanced, text: &str) -> Option<Action> {
        if let Some(action) = self.count_idle(out) {
            return Some(action);
        }
        reply(out, code, enhanced, text);
        None
    }

    fn count_idle(&mut self, out: &mut Vec<u8>) -> Option<Action> {
        self.idle_commands += 1;
        (self.idle_commands > limits::IDLE_COMMANDS_MAX)
            .then(|| self.hang_up(out, (4, 7, 0), "too many commands and no mail"))
    }
}

const MAIL_SYNTAX: &str = "the syntax is: MAIL FROM:<reverse-path> [parameters]";
const RCPT_SYNTAX: &str = "the syntax is: RCPT TO:<forward-path> [parameters]";

/// `SP chunk-size [ SP "LAST" ]`, digits only. RFC 3030 §2.
fn chunk_size(text: &str) -> Option<(u64, bool)> {
    let mut words = text.strip_prefix(' ')?.split(' ').filter(|word| !word.is_empty());
    let size = words.next().filter(|size| size.bytes().all(|octet| octet.is_ascii_digit()))?.parse().ok()?;
    match (words.next(), words.next()) {
        (None, _) => Some((size, false)),
        (Some(last), None) if last.eq_ignore_ascii_case("LAST") => Some((size, true)),
        _ => None,
    }
}

/// What stands behind two words of a command, in any case and with spaces between them.
fn behind<'a>(text: &'a str, verb: &str, word: &str) -> Option<&'a str> {
    let rest = text.get(..verb.len()).filter(|start| start.eq_ignore_ascii_case(verb)).map(|_| &text[verb.len()..])?;
    let rest = rest.strip_prefix([' ', '\t'])?.trim_start_matches([' ', '\t']);
    rest.get(..word.len()).filter(|start| start.eq_ignore_ascii_case(word)).map(|_| &rest[word.len()..])
}

pub(super) fn too_large(message_bytes_max: u64) -> Refusal {
    Refusal::new(552, (5, 3, 4), format!("a message may have {message_bytes_max} octets at most"))
}
