//! Delivers one message to one server and tells what became of each recipient. RFC 5321 §3, RFC 2920, RFC 3207.
//!
//! ```text
//!   connect ▶ 220 ▶ EHLO ▶ (STARTTLS ▶ EHLO) ▶ MAIL RCPT RCPT ... ▶ DATA ▶ message ▶ one Outcome each
//! ```
//! TLS is opportunistic: used when offered, whatever the certificate; when the handshake fails, the mail goes in the
//! clear, as it would have gone to a server without TLS.

mod connection;
mod wire;

use crate::limits;
use crate::{Enhanced, ReversePath, is_mailbox};
use connection::{Connection, Plain, connect, reply_before_tls};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;
use wire::DotStuffer;

/// Where to.
#[derive(Debug, Clone)]
pub struct Target {
    /// The server's name, for TLS.
    pub host: String,
    /// Its addresses, best first; one is enough to get through.
    pub addresses: Vec<SocketAddr>,
}

/// What to deliver.
#[derive(Debug, Clone)]
pub struct Outgoing<'a> {
    /// Our own name.
    pub helo: &'a str,
    /// Who gets bounces.
    pub reverse_path: &'a ReversePath,
    /// For whom, `local-part@domain` each.
    pub recipients: &'a [String],
    /// RFC 5322, lines ended by CRLF.
    pub message: &'a [u8],
    /// The message came with SMTPUTF8 (its headers need it). Addresses beyond ASCII count without this.
    pub smtputf8: bool,
}

/// Whether to encrypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tls {
    /// When the server offers it.
    #[default]
    Opportunistic,
    /// Never: for servers known to fail, and tests.
    Off,
}

/// How long to wait for what. The default is [`limits`].
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// For a connection, per address.
    pub connect: Duration,
    /// For each reply.
    pub reply: Duration,
    /// For the reply to the message.
    pub final_reply: Duration,
    /// For everything.
    pub delivery: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: limits::CONNECT_TIMEOUT,
            reply: limits::REPLY_TIMEOUT,
            final_reply: limits::FINAL_REPLY_TIMEOUT,
            delivery: limits::DELIVERY_TIMEOUT,
        }
    }
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Such as 250.
    pub code: u16,
    /// The enhanced status code, when there was one of the code's class.
    pub enhanced: Option<Enhanced>,
    /// The rest; lines joined by a space, in a 250 by a newline.
    pub text: String,
}

impl Reply {
    fn new(code: u16, lines: Vec<String>) -> Self {
        let mut enhanced = None;
        let texts: Vec<&str> = lines
            .iter()
            .map(|line| match enhanced_of(line, code) {
                Some((found, rest)) => {
                    enhanced = Some(found);
                    rest
                }
                None => line.as_str(),
            })
            .collect();
        Self { code, enhanced, text: texts.join(if code == 250 { "\n" } else { " " }) }
    }

    fn ours(code: u16, enhanced: Enhanced, text: impl Into<String>) -> Self {
        Self { code, enhanced: Some(enhanced), text: text.into() }
    }

    fn is_positive(&self) -> bool {
        self.code < 400
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some((class, subject, detail)) = self.enhanced {
            write!(f, " {class}.{subject}.{detail}")?;
        }
        write!(f, " {}", self.text)
    }
}

/// RFC 2034 §4: the code's first digit is the class.
fn enhanced_of(line: &str, code: u16) -> Option<(Enhanced, &str)> {
    let (status, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut parts = status.split('.');
    let (class, subject, detail) =
        (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (parts.next().is_none() && u16::from(class) == code / 100).then_some(((class, subject, detail), rest))
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server has taken charge of it.
    Delivered(Reply),
    /// Come again later.
    Temporary(Reply),
    /// Never.
    Permanent(Reply),
}

impl Outcome {
    fn of(reply: Reply) -> Self {
        match reply.code {
            0..400 => Self::Delivered(reply),
            400..500 => Self::Temporary(reply),
            500.. => Self::Permanent(reply),
        }
    }

    /// What the server said.
    pub fn reply(&self) -> &Reply {
        match self {
            Self::Delivered(reply) | Self::Temporary(reply) | Self::Permanent(reply) => reply,
        }
    }
}

/// Nobody got the message.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No address could be reached.
    #[error("cannot connect to {host}: {source}")]
    Unreachable {
        /// Which server.
        host: String,
        /// What the last address said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection was lost: {0}")]
    Lost(#[source] io::Error),
    /// Something took too long.
    #[error("timed out: {0}")]
    TimedOut(&'static str),
    /// The server does not speak SMTP.
    #[error("the server cannot be understood: {0}")]
    Garbled(&'static str),
    /// The server will not talk to us. Temporary, whatever the code says: another try may meet another server.
    #[error("the server is not ready: {0}")]
    NotReady(Reply),
    /// The server does not take this mail, whoever it is for.
    #[error("the server refused the mail: {0}")]
    Refused(Reply),
}

impl ClientError {
    /// Whether sending again cannot help.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Refused(reply) if reply.code >= 500)
    }

    /// Code and text for a queue entry or a bounce.
    pub fn reply(&self) -> Reply {
        match self {
            Self::Refused(reply) | Self::NotReady(reply) => reply.clone(),
            Self::Unreachable { .. } => Reply::ours(451, (4, 4, 1), self.to_string()),
            Self::Lost(_) => Reply::ours(451, (4, 4, 2), self.to_string()),
            Self::TimedOut(_) => Reply::ours(451, (4, 4, 7), self.to_string()),
            Self::Garbled(_) => Reply::ours(451, (4, 5, 0), self.to_string()),
        }
    }
}

/// Delivers. The outcomes stand in the order of the recipients.
pub async fn deliver(
    target: &Target,
    mail: &Outgoing<'_>,
    tls: Tls,
    deadlines: Deadlines,
) -> Result<Vec<Outcome>, ClientError> {
    timeout(deadlines.delivery, deliver_to_any(target, mail, tls, deadlines))
        .await
        .unwrap_or(Err(ClientError::TimedOut("the whole delivery")))
}

async fn deliver_to_any(
    target: &Target,
    mail: &Outgoing<'_>,
    tls: Tls,
    deadlines: Deadlines,
) -> Result<Vec<Outcome>, ClientError> {
    let host = || target.host.clone();
    let mut failure =
        ClientError::Unreachable { host: host(), source: io::Error::new(io::ErrorKind::NotFound, "no address") };
    for &address in target.addresses.iter().take(limits::ADDRESSES_MAX) {
        match open(address, target, mail, tls, deadlines).await {
            Ok((connection, extensions)) => return Transaction { connection, extensions, mail, deadlines }.run().await,
            Err(error @ (ClientError::NotReady(_) | ClientError::Garbled(_) | ClientError::TimedOut(_))) => {
                failure = error;
            }
            Err(ClientError::Lost(source)) => failure = ClientError::Unreachable { host: host(), source },
            Err(error) => return Err(error),
        }
    }
    Err(failure)
}

/// What EHLO offered.
#[derive(Debug, Default, Clone, Copy)]
struct Extensions {
    pipelining: bool,
    eight_bit: bool,
    smtputf8: bool,
    starttls: bool,
    size: Option<u64>,
}

impl Extensions {
    fn of(reply: &Reply) -> Self {
        let mut offered = Self::default();
        for line in reply.text.lines().skip(1) {
            let mut words = line.split_ascii_whitespace();
            match words.next().map(str::to_ascii_uppercase).as_deref() {
                Some("PIPELINING") => offered.pipelining = true,
                Some("8BITMIME") => offered.eight_bit = true,
                Some("SMTPUTF8") => offered.smtputf8 = true,
                Some("STARTTLS") => offered.starttls = true,
                // RFC 1870 §4: no number, or 0, is no fixed limit.
                Some("SIZE") => offered.size = words.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0),
                _ => {}
            }
        }
        offered
    }
}

/// Connects, greets, encrypts.
async fn open(
    address: SocketAddr,
    target: &Target,
    mail: &Outgoing<'_>,
    tls: Tls,
    deadlines: Deadlines,
) -> Result<(Connection, Extensions), ClientError> {
    let mut plain = connect(address, deadlines.connect).await.map_err(ClientError::Lost)?;
    greeting(reply_before_tls(&mut plain, deadlines.reply).await?)?;
    let extensions = ehlo_plain(&mut plain, mail.helo, deadlines).await?;
    if tls == Tls::Off || !extensions.starttls {
        return Ok((Connection::new(plain), extensions));
    }
    let answer = command_plain(&mut plain, "STARTTLS", deadlines).await?;
    if answer.code != 220 {
        return Ok((Connection::new(plain), extensions));
    }
    match Connection::encrypt(Plain(plain), &target.host, deadlines.reply).await {
        Ok(mut connection) => {
            let reply = connection.command(&format!("EHLO {}", mail.helo), deadlines.reply).await?;
            if !reply.is_positive() {
                return Err(ClientError::NotReady(reply));
            }
            Ok((connection, Extensions::of(&reply)))
        }
        Err(error) => {
            tracing::debug!(%error, "TLS handshake failed, delivering in the clear");
            let mut plain = connect(address, deadlines.connect).await.map_err(ClientError::Lost)?;
            greeting(reply_before_tls(&mut plain, deadlines.reply).await?)?;
            let extensions = ehlo_plain(&mut plain, mail.helo, deadlines).await?;
            Ok((Connection::new(plain), extensions))
        }
    }
}

fn greeting(reply: Reply) -> Result<(), ClientError> {
    if reply.code == 220 { Ok(()) } else { Err(ClientError::NotReady(reply)) }
}

async fn ehlo_plain(
    plain: &mut tokio::net::TcpStream,
    helo: &str,
    deadlines: Deadlines,
) -> Result<Extensions, ClientError> {
    let reply = command_plain(plain, &format!("EHLO {helo}"), deadlines).await?;
    if reply.is_positive() {
        return Ok(Extensions::of(&reply));
    }
    let reply = command_plain(plain, &format!("HELO {helo}"), deadlines).await?;
    if reply.is_positive() { Ok(Extensions::default()) } else { Err(ClientError::NotReady(reply)) }
}

async fn command_plain(
    plain: &mut tokio::net::TcpStream,
    line: &str,
    deadlines: Deadlines,
) -> Result<Reply, ClientError> {
    use tokio::io::AsyncWriteExt as _;
    let line = format!("{line}\r\n");
    timeout(limits::WRITE_TIMEOUT, plain.write_all(line.as_bytes()))
        .await
        .map_err(|_| ClientError::TimedOut("the server does not take what is sent"))?
        .map_err(ClientError::Lost)?;
    reply_before_tls(plain, deadlines.reply).await
}

/// MAIL to the final reply.
struct Transaction<'a> {
    connection: Connection,
    extensions: Extensions,
    mail: &'a Outgoing<'a>,
    deadlines: Deadlines,
}

impl Transaction<'_> {
    async fn run(mut self) -> Result<Vec<Outcome>, ClientError> {
        let mail_command = self.mail_command()?;
        let mut outcomes = self.envelope(&mail_command).await?;
        if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Delivered(_))) {
            let reply = self.content().await?;
            for outcome in &mut outcomes {
                if matches!(outcome, Outcome::Delivered(_)) {
                    *outcome = Outcome::of(reply.clone());
                }
            }
        }
        // The mail is settled; whether QUIT gets through changes nothing.
        let _ = self.connection.write(b"QUIT\r\n").await;
        Ok(outcomes)
    }

    fn mail_command(&self) -> Result<String, ClientError> {
        let Outgoing { reverse_path, recipients, message, .. } = self.mail;
        let bytes = message.len() as u64;
        if self.extensions.size.is_some_and(|most| bytes > most) {
            let text = format!("the message has {bytes} octets, the server takes fewer");
            return Err(ClientError::Refused(Reply::ours(552, (5, 3, 4), text)));
        }
        if !reverse_path.is_null() && !is_mailbox(reverse_path.as_str()) {
            return Err(ClientError::Refused(Reply::ours(553, (5, 1, 7), "the reverse-path is not an address")));
        }
        let wide = self.mail.smtputf8
            || !reverse_path.as_str().is_ascii()
            || recipients.iter().any(|recipient| !recipient.is_ascii());
        if wide && !self.extensions.smtputf8 {
            let text = "the addresses or headers need SMTPUTF8, which the server does not speak";
            return Err(ClientError::Refused(Reply::ours(553, (5, 6, 7), text)));
        }
        let mut command = format!("MAIL FROM:{reverse_path}");
        if self.extensions.size.is_some() {
            command += &format!(" SIZE={bytes}");
        }
        // A server without 8BITMIME gets the octets all the same ("just send eight"): recoding the body would break
        // the author's signatures, and servers that clear the eighth bit have not been met for decades.
        if self.extensions.eight_bit && !message.is_ascii() {
            command += " BODY=8BITMIME";
        }
        if wide {
            command += " SMTPUTF8";
        }
        Ok(command)
    }

    /// MAIL and RCPT, in as few round trips as the server allows.
    async fn envelope(&mut self, mail_command: &str) -> Result<Vec<Outcome>, ClientError> {
        let per_flight = if self.extensions.pipelining { limits::RECIPIENTS_PER_FLIGHT } else { 1 };
        let mut mail_answered = false;
        if !self.extensions.pipelining {
            let reply = self.connection.command(mail_command, self.deadlines.reply).await?;
            refused_unless_positive(reply)?;
            mail_answered = true;
        }
        let mut outcomes = Vec::with_capacity(self.mail.recipients.len());
        for flight in self.mail.recipients.chunks(per_flight) {
            let mut commands = if mail_answered { String::new() } else { format!("{mail_command}\r\n") };
            for recipient in flight.iter().filter(|recipient| is_mailbox(recipient)) {
                commands += &format!("RCPT TO:<{recipient}>\r\n");
            }
            self.connection.write(commands.as_bytes()).await?;
            if !mail_answered {
                refused_unless_positive(self.connection.reply(self.deadlines.reply).await?)?;
                mail_answered = true;
            }
            for recipient in flight {
                outcomes.push(if is_mailbox(recipient) {
                    Outcome::of(self.connection.reply(self.deadlines.reply).await?)
                } else {
                    Outcome::Permanent(Reply::ours(553, (5, 1, 3), "that is not an address"))
                });
            }
        }
        Ok(outcomes)
    }

    async fn content(&mut self) -> Result<Reply, ClientError> {
        let reply = self.connection.command("DATA", self.deadlines.reply).await?;
        if reply.code != 354 {
            return if reply.is_positive() { Err(ClientError::Garbled("DATA was answered oddly")) } else { Ok(reply) };
        }
        let mut stuffer = DotStuffer::new();
        let mut wire = Vec::with_capacity(limits::SPOOL_CHUNK_BYTES + 1024);
        for cut in self.mail.message.chunks(limits::SPOOL_CHUNK_BYTES) {
            stuffer.encode(cut, &mut wire);
            self.connection.write(&wire).await?;
            wire.clear();
        }
        stuffer.finish(&mut wire);
        self.connection.write(&wire).await?;
        self.connection.reply(self.deadlines.final_reply).await
    }
}

fn refused_unless_positive(reply: Reply) -> Result<(), ClientError> {
    if reply.is_positive() { Ok(()) } else { Err(ClientError::Refused(reply)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enhanced_codes_are_told_from_text() {
        let reply = Reply::new(550, vec!["5.1.1 no such".into(), "5.1.1 user".into()]);
        assert_eq!((reply.enhanced, reply.text.as_str()), (Some((5, 1, 1)), "no such user"));
        let reply = Reply::new(450, vec!["5.1.1 odd".into()]);
        assert_eq!((reply.enhanced, reply.text.as_str()), (None, "5.1.1 odd"));
        assert_eq!(reply.to_string(), "450 5.1.1 odd");
    }

    #[test]
    fn extensions_are_read_without_regard_to_case() {
        let lines = ["mx.test hi", "pipelining", "SIZE 1000", "Smtputf8", "STARTTLS", "8BITMIME"].map(String::from);
        let offered = Extensions::of(&Reply::new(250, lines.into()));
        assert!(offered.pipelining && offered.smtputf8 && offered.starttls && offered.eight_bit);
        assert_eq!(offered.size, Some(1000));
        assert_eq!(Extensions::of(&Reply::new(250, vec!["mx".into(), "SIZE".into()])).size, None);
    }
}
