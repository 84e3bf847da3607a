//! One SMTP session as a machine: octets and answers in, replies and questions out. RFC 5321.
//!
//! ```text
//!   octets ──▶ handle_bytes ──▶ replies (appended to a buffer), content (likewise) and one Action
//!                                 Read        everything is used up: write the replies, read more
//!                                 Mail, Recipient, Deliver, Authenticate
//!                                             ask the host, hand the answer back by its answer_* call
//!                                 StartTls    write, shake hands, call tls_started
//!                                 Close       write, hang up
//! ```
//! It knows no socket and no clock. While a question is open it takes no octets; so pipelined commands wait in the
//! caller's buffer and their replies go out in one write.

mod bearer;
mod command;
mod forwarded;
mod login;

use crate::content::{BareNewlines, Decoder, LineFault};
use crate::limits;
use crate::reply::{plain_reply, reply};
use crate::{
    Accepted, Enhanced, Envelope, Kind, MailParameters, PeerInfo, RcptParameters, Recipient, Refusal, ReversePath,
    Secret, TlsInfo,
};
use login::Login;
use memchr::memchr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a session may do and how much. One per listener.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Which job.
    pub kind: Kind,
    /// Our name in the greeting, EHLO and trace headers.
    pub hostname: String,
    /// Whether STARTTLS is offered.
    pub starttls: bool,
    /// Whether OAUTHBEARER is offered.
    pub tokens: bool,
    /// Octets in a message; a larger one gets `552 5.3.4`.
    pub message_bytes_max: u64,
    /// Recipients of a message; one more gets `452 4.5.3`.
    pub recipients_max: usize,
    /// MAIL commands of a session; one more gets `421 4.5.1`.
    pub mails_max: u32,
    /// Errors before `421`.
    pub errors_max: u32,
    /// What to do with CR or LF alone.
    pub bare_newlines: BareNewlines,
    /// Wait for a command.
    pub command_timeout: Duration,
    /// Wait for octets of a message.
    pub data_timeout: Duration,
    /// Wait for all of a message.
    pub message_timeout: Duration,
}

impl SessionConfig {
    /// The defaults of [`limits`].
    pub fn new(kind: Kind, hostname: impl Into<String>) -> Self {
        Self {
            kind,
            hostname: hostname.into(),
            starttls: false,
            tokens: false,
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            recipients_max: limits::RECIPIENTS_MAX,
            mails_max: limits::MAILS_PER_SESSION_MAX,
            errors_max: limits::ERRORS_MAX,
            bare_newlines: BareNewlines::default(),
            command_timeout: limits::COMMAND_TIMEOUT,
            data_timeout: limits::DATA_TIMEOUT,
            message_timeout: limits::MESSAGE_TIMEOUT,
        }
    }
}

/// What the caller does next.
#[derive(Debug)]
pub enum Action {
    /// Write the replies, then read more, at most until [`Session::next_timeout`].
    Read,
    /// Ask the host about these credentials, then [`Session::answer_login`].
    Authenticate {
        /// Who says so.
        user: String,
        /// And how they prove it.
        password: Secret,
    },
    /// Ask the host about this bearer token, then [`Session::answer_bear`]. RFC 7628.
    Bear {
        /// Who says so.
        user: String,
        /// The token.
        token: Secret,
    },
    /// Ask the host about [`Session::reverse_path`] and [`Session::parameters`], then [`Session::answer_mail`].
    Mail,
    /// Ask the host about this recipient, then [`Session::answer_recipient`].
    Recipient {
        /// As it was sent.
        mailbox: String,
    },
    /// Hand [`Session::take_envelope`] and the content to the host, then [`Session::answer_message`].
    Deliver,
    /// Write the replies, throw away what was read, shake hands, then [`Session::tls_started`].
    StartTls,
    /// Write the replies and hang up.
    Close,
}

/// How far [`Session::handle_bytes`] came.
#[derive(Debug)]
pub struct Progress {
    /// Octets of the input that are done with.
    pub consumed: usize,
    /// What to do next.
    pub action: Action,
}

/// One connection's state.
#[derive(Debug)]
pub struct Session {
    config: Arc<SessionConfig>,
    peer: PeerInfo,
    phase: Phase,
    mail: Option<Mail>,
    /// To the message that is complete.
    replies_due: usize,
    mails: u32,
    errors: u32,
    recipients_refused: u32,
    idle_commands: u32,
    login_failures: u32,
    quiet_since: Instant,
    /// The last second of Unix time until which a mail may be held; without a clock none is.
    held_until_max: Option<i64>,
}

/// What the next octets are.
#[derive(Debug)]
enum Phase {
    /// A command.
    Command,
    /// The rest of a line that was too long.
    LongLine,
    /// A line of an AUTH exchange.
    Login(Login),
    /// Content, up to its dot.
    Data,
    /// Content, this many octets.
    Chunk { left: u64, size: u64, is_last: bool },
    /// Nothing: a question is open.
    Waiting,
    /// Nothing ever again.
    Closed,
}

/// A mail transaction, MAIL to the last octet. RFC 5321 §3.3.
#[derive(Debug)]
struct Mail {
    reverse_path: ReversePath,
    parameters: MailParameters,
    recipients: Vec<Recipient>,
    /// Of the RCPT that the host is being asked about.
    asked: RcptParameters,
    /// Set by DATA or the first BDAT.
    content: Option<Content>,
}

#[derive(Debug)]
struct Content {
    decoder: Decoder,
    bytes: u64,
    since: Instant,
    /// The message is lost already; what still comes is thrown away.
    refusal: Option<Refusal>,
}

impl Session {
    /// A connection was made; the greeting goes to `out`.
    pub fn new(
        config: Arc<SessionConfig>,
        address: SocketAddr,
        tls: Option<TlsInfo>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Self {
        let protocol = if config.kind == Kind::Lmtp { "LMTP" } else { "ESMTP" };
        plain_reply(out, 220, &[&format!("{} {protocol} Satchel", config.hostname)]);
        let peer = PeerInfo {
            kind: config.kind,
            address,
            helo: String::new(),
            esmtp: false,
            tls,
            authenticated: None,
            forwarded: None,
        };
        Self {
            config,
            peer,
            phase: Phase::Command,
            mail: None,
            replies_due: 1,
            mails: 0,
            errors: 0,
            recipients_refused: 0,
            idle_commands: 0,
            login_failures: 0,
            quiet_since: now,
            held_until_max: None,
        }
    }

    /// Tells what time it is, in seconds of Unix time: submitters may then say when a mail shall go out. RFC 4865.
    pub fn tell_time(&mut self, unix_seconds: i64) {
        let most = i64::try_from(limits::HOLD_MAX.as_secs()).unwrap_or(i64::MAX);
        self.held_until_max = Some(unix_seconds.saturating_add(most));
    }

    /// The other side.
    pub fn peer(&self) -> &PeerInfo {
        &self.peer
    }

    /// Of the transaction under way; the null path when there is none.
    pub fn reverse_path(&self) -> &ReversePath {
        self.mail.as_ref().map_or(&ReversePath::Null, |mail| &mail.reverse_path)
    }

    /// Of the transaction under way.
    pub fn parameters(&self) -> Option<&MailParameters> {
        self.mail.as_ref().map(|mail| &mail.parameters)
    }

    /// Of the transaction under way.
    pub fn recipients(&self) -> &[Recipient] {
        self.mail.as_ref().map_or(&[], |mail| &mail.recipients)
    }

    /// Permanent refusals of recipients in this session.
    pub fn recipients_refused(&self) -> u32 {
        self.recipients_refused
    }

    /// Whether content was begun and is not complete: what was collected belongs to this transaction, and a shutdown
    /// should wait for it.
    pub fn is_collecting(&self) -> bool {
        self.mail.as_ref().is_some_and(|mail| mail.content.is_some())
    }

    /// When [`Session::handle_timeout`] is due.
    pub fn next_timeout(&self) -> Instant {
        match self.mail.as_ref().and_then(|mail| mail.content.as_ref()) {
            Some(content) => {
                (self.quiet_since + self.config.data_timeout).min(content.since + self.config.message_timeout)
            }
            None => self.quiet_since + self.config.command_timeout,
        }
    }

    /// To hang up on a peer that was quiet too long.
    pub fn handle_timeout(&mut self, out: &mut Vec<u8>) -> Action {
        self.hang_up(out, (4, 4, 2), "nothing came for too long, closing the connection")
    }

    /// To hang up because this server stops.
    pub fn handle_shutdown(&mut self, out: &mut Vec<u8>) -> Action {
        self.hang_up(out, (4, 3, 2), "this server is being restarted, please come again")
    }

    /// Takes octets. Decoded content is appended to `content`, replies to `out`.
    pub fn handle_bytes(&mut self, now: Instant, input: &[u8], content: &mut Vec<u8>, out: &mut Vec<u8>) -> Progress {
        let mut pos = 0;
        loop {
            let action = match self.phase {
                Phase::Waiting | Phase::Closed => None,
                Phase::Data | Phase::Chunk { .. } => {
                    if pos < input.len() {
                        self.quiet_since = now;
                    }
                    let (used, action) = self.handle_data(&input[pos..], content, out);
                    pos += used;
                    if action.is_none() && pos == input.len() {
                        return Progress { consumed: pos, action: Action::Read };
                    }
                    action
                }
                Phase::LongLine => match memchr(b'\n', &input[pos..]) {
                    None => return Progress { consumed: input.len(), action: Action::Read },
                    Some(end) => {
                        pos += end + 1;
                        self.phase = Phase::Command;
                        self.error(out, 500, (5, 5, 2), "that line is too long")
                    }
                },
                Phase::Command | Phase::Login(_) => match memchr(b'\n', &input[pos..]) {
                    Some(end) if end < limits::COMMAND_LINE_BYTES_MAX => {
                        // Only a whole line counts: who sends one octet every four minutes is quiet.
                        self.quiet_since = now;
                        let line = &input[pos..=pos + end];
                        pos += end + 1;
                        self.handle_line(now, line, pos < input.len(), out)
                    }
                    None if input.len() - pos < limits::COMMAND_LINE_BYTES_MAX => {
                        return Progress { consumed: pos, action: Action::Read };
                    }
                    _ => {
                        self.phase = Phase::LongLine;
                        None
                    }
                },
            };
            if let Some(action) = action {
                return Progress { consumed: pos, action };
            }
            if matches!(self.phase, Phase::Closed) {
                return Progress { consumed: input.len(), action: Action::Close };
            }
            if out.len() >= limits::REPLY_BUFFER_BYTES || pos == input.len() && !self.wants_nothing() {
                return Progress { consumed: pos, action: Action::Read };
            }
        }
    }

    /// A chunk of no octets is complete before any comes.
    fn wants_nothing(&self) -> bool {
        matches!(self.phase, Phase::Chunk { left: 0, .. })
    }

    /// Takes content. The second value is set when it ended the message.
    fn handle_data(&mut self, input: &[u8], text: &mut Vec<u8>, out: &mut Vec<u8>) -> (usize, Option<Action>) {
        let message_bytes_max = self.config.message_bytes_max;
        // A refused BDAT has no transaction; its octets are thrown away all the same (RFC 3030 §2).
        let Some(content) = self.mail.as_mut().and_then(|mail| mail.content.as_mut()) else {
            return self.skip_chunk(input);
        };
        let offered = match self.phase {
            Phase::Chunk { left, .. } => &input[..input.len().min(usize::try_from(left).unwrap_or(usize::MAX))],
            _ => input,
        };
        let before = text.len();
        let (used, ended) = content.decoder.decode(offered, text);
        content.bytes += (text.len() - before) as u64;
        if content.bytes > message_bytes_max && content.refusal.is_none() {
            content.refusal = Some(command::too_large(message_bytes_max));
        }
        if content.refusal.is_some() {
            text.truncate(before);
        }
        // Drain politely, so that the peer reads our reply; but not for ever.
        if content.bytes > message_bytes_max.saturating_mul(2) {
            return (used, Some(self.hang_up(out, (4, 3, 4), "that message never ends")));
        }
        match &mut self.phase {
            Phase::Chunk { left, size, is_last } => {
                *left -= used as u64;
                if *left > 0 {
                    return (used, None);
                }
                let (size, is_last) = (*size, *is_last);
                (used, self.chunk_complete(size, is_last, out))
            }
            _ if ended => (used, self.content_complete(out)),
            _ => (used, None),
        }
    }

    fn skip_chunk(&mut self, input: &[u8]) -> (usize, Option<Action>) {
        let Phase::Chunk { left, .. } = &mut self.phase else { return (input.len(), None) };
        let used = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
        *left -= used as u64;
        if *left == 0 {
            self.phase = Phase::Command;
        }
        (used, None)
    }

    fn chunk_complete(&mut self, size: u64, is_last: bool, out: &mut Vec<u8>) -> Option<Action> {
        if is_last {
            return self.content_complete(out);
        }
        self.phase = Phase::Command;
        let refusal = self.mail.as_ref()?.content.as_ref()?.refusal.clone();
        if let Some(refusal) = refusal {
            self.mail = None;
            return self.refuse(out, &refusal);
        }
        reply(out, 250, (2, 0, 0), &format!("{size} octets taken"));
        None
    }

    fn content_complete(&mut self, out: &mut Vec<u8>) -> Option<Action> {
        self.phase = Phase::Command;
        let mail = self.mail.as_mut()?;
        // RFC 2033 §4.2: LMTP has one reply for each recipient that was taken, the same one twice included.
        self.replies_due = if self.config.kind == Kind::Lmtp { mail.recipients.len() } else { 1 };
        let content = mail.content.as_mut()?;
        let refusal = content.refusal.take().or_else(|| content.decoder.fault().map(line_fault));
        match refusal {
            None => {
                self.phase = Phase::Waiting;
                Some(Action::Deliver)
            }
            Some(refusal) => {
                self.mail = None;
                (0..self.replies_due).find_map(|_| self.refuse(out, &refusal))
            }
        }
    }

    /// The content cannot be kept (a full disk): what still comes is thrown away, then this is the reply. When the
    /// message was complete already, call [`Session::answer_message`] instead.
    pub fn refuse_content(&mut self, refusal: Refusal) {
        if let Some(content) = self.mail.as_mut().and_then(|mail| mail.content.as_mut()) {
            content.refusal.get_or_insert(refusal);
        }
    }

    /// The envelope of the message that [`Action::Deliver`] completes; `None` at any other time.
    pub fn take_envelope(&mut self) -> Option<Envelope> {
        let mail = self.mail.take()?;
        Some(Envelope {
            peer: self.peer.clone(),
            reverse_path: mail.reverse_path,
            recipients: mail.recipients,
            parameters: mail.parameters,
        })
    }

    /// The host's answer to [`Action::Deliver`]: the same for all recipients.
    pub fn answer_message(
        &mut self,
        now: Instant,
        answer: Result<Accepted, Refusal>,
        out: &mut Vec<u8>,
    ) -> Option<Action> {
        self.answer_each(now, vec![answer; self.replies_due], out)
    }

    /// The host's answers to [`Action::Deliver`] on [`Kind::Lmtp`]: one for each recipient of the envelope.
    pub fn answer_each(
        &mut self,
        now: Instant,
        answers: Vec<Result<Accepted, Refusal>>,
        out: &mut Vec<u8>,
    ) -> Option<Action> {
        self.resume(now);
        self.mail = None;
        self.peer.forwarded = None;
        let missing = || Err(Refusal::try_again());
        let mut answers = answers.into_iter();
        for answer in std::iter::repeat_with(|| answers.next().unwrap_or_else(missing)).take(self.replies_due) {
            match answer {
                Ok(accepted) => {
                    (self.errors, self.idle_commands) = (0, 0);
                    reply(out, 250, (2, 0, 0), &format!("message accepted as {}", accepted.queue_id));
                }
                Err(refusal) => {
                    if let Some(action) = self.refuse(out, &refusal) {
                        return Some(action);
                    }
                }
            }
        }
        None
    }

    /// TLS is on: all that was said before is void. RFC 3207 §4.2.
    pub fn tls_started(&mut self, now: Instant, tls: TlsInfo) {
        self.resume(now);
        self.mail = None;
        self.peer.tls = Some(tls);
        self.peer.helo.clear();
        self.peer.esmtp = false;
        self.peer.authenticated = None;
    }

    fn resume(&mut self, now: Instant) {
        self.quiet_since = now;
        self.phase = Phase::Command;
    }

    /// Writes a refusal of the host.
    fn refuse(&mut self, out: &mut Vec<u8>, refusal: &Refusal) -> Option<Action> {
        let (code, enhanced) = match refusal.code {
            400..=599 => (refusal.code, refusal.enhanced),
            _ => (451, (4, 3, 0)),
        };
        reply(out, code, enhanced, &refusal.text);
        (code == 421).then(|| {
            self.phase = Phase::Closed;
            Action::Close
        })
    }

    /// The same for what was found wrong with a command.
    fn fault(&mut self, out: &mut Vec<u8>, fault: &Refusal) -> Option<Action> {
        self.error(out, fault.code, fault.enhanced, &fault.text)
    }

    /// Writes an error of the peer's making, and counts it.
    fn error(&mut self, out: &mut Vec<u8>, code: u16, enhanced: Enhanced, text: &str) -> Option<Action> {
        self.errors += 1;
        reply(out, code, enhanced, text);
        (self.errors >= self.config.errors_max).then(|| self.hang_up(out, (4, 7, 0), "too many errors"))
    }

    fn hang_up(&mut self, out: &mut Vec<u8>, enhanced: Enhanced, text: &str) -> Action {
        self.phase = Phase::Closed;
        reply(out, 421, enhanced, &format!("{} {text}", self.config.hostname));
        Action::Close
    }
}

fn line_fault(fault: LineFault) -> Refusal {
    let text = match fault {
        LineFault::Bare => "a CR or LF stands alone in the message; every line must end in CRLF",
        LineFault::Smuggling => "a dot stands between line ends that are not CRLF; this is not the end of a message",
    };
    Refusal::new(550, (5, 6, 11), text)
}
