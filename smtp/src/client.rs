//! Delivers mail to other servers and tells what became of each recipient. RFC 5321 §3, RFC 2920, RFC 3207.
//!
//! ```text
//!   connect ▶ 220 ▶ EHLO ▶ (STARTTLS ▶ EHLO) ▶ MAIL RCPT RCPT ... ▶ DATA ▶ message ▶ one Outcome each ▶ the next MAIL ...
//! ```
//! Start at [`Session`]; [`deliver`] is one mail in a session of its own. TLS is used as [`Security`] says: by default
//! opportunistically, whatever the certificate, and when the handshake fails the mail goes in the clear, as it would
//! have gone to a server without TLS.

mod connection;
mod dane;
mod extensions;
mod reply;
mod security;
mod session;
mod transaction;
mod wire;

pub use crate::tls::opportunistic;
pub use reply::Reply;
pub use security::{Dane, Security, TlsFailure, trusted_config};
pub use session::Session;

use crate::{DeliverBy, Notify, Ret, ReversePath, Secret, limits};
use futures::future::BoxFuture;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Where to.
#[derive(Debug, Clone)]
pub struct Target {
    /// The server's name, for TLS.
    pub host: String,
    /// Its addresses, best first; one is enough to get through.
    pub addresses: Vec<SocketAddr>,
    /// TLS from the first octet (RFC 8314), rather than by STARTTLS.
    pub implicit_tls: bool,
}

/// What to deliver.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Who gets bounces.
    pub reverse_path: &'a ReversePath,
    /// For whom.
    pub recipients: &'a [OutgoingRecipient],
    /// Fields put before the message, such as a signature.
    pub head: &'a [u8],
    /// RFC 5322, lines ended by CRLF.
    pub message: &'a [u8],
    /// The message came with SMTPUTF8 (its headers need it). Addresses beyond ASCII count without this.
    pub smtputf8: bool,
    /// RET, for servers that offer DSN.
    pub ret: Option<Ret>,
    /// ENVID in xtext, for servers that offer DSN.
    pub envid: Option<&'a str>,
    /// REQUIRETLS: only over TLS to a server that proved its name and promises the same. RFC 8689.
    pub require_tls: bool,
    /// MT-PRIORITY, for servers that offer it. RFC 6710.
    pub priority: i8,
    /// BY: what is left of the time. RFC 2852.
    pub deliver_by: Option<DeliverBy>,
}

/// What follows [`Outgoing::message`] of a mail that is not in memory as a whole.
pub trait Rest: Send + Sync {
    /// Octets.
    fn size(&self) -> u64;

    /// Whether all of them are ASCII.
    fn is_ascii(&self) -> bool;

    /// Some of them, from `at` on: at least one where there are any.
    fn piece(&self, at: u64) -> BoxFuture<'_, io::Result<Vec<u8>>>;
}

/// One recipient of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingRecipient {
    /// `local-part@domain`.
    pub mailbox: String,
    /// NOTIFY, for servers that offer DSN.
    pub notify: Option<Notify>,
    /// ORCPT as it was said, for servers that offer DSN.
    pub orcpt: Option<String>,
}

impl From<&str> for OutgoingRecipient {
    fn from(mailbox: &str) -> Self {
        Self { mailbox: mailbox.to_owned(), notify: None, orcpt: None }
    }
}

/// What a server that delivers for us wants to hear. RFC 4954.
#[derive(Debug)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Secret,
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

/// What became of one mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// In the order of the recipients.
    pub outcomes: Vec<Outcome>,
    /// The server speaks DSN (RFC 3461): the reports about those it took are its business now.
    pub reports: bool,
    /// It speaks DELIVERBY (RFC 2852): the time is its business, too.
    pub keeps_time: bool,
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
    /// The whole message was sent and no reply came: the server may have taken it. Trying another one at once would
    /// make a duplicate likely (RFC 1047).
    #[error("no reply came to the message: {0}")]
    InDoubt(Box<Self>),
    /// The server does not speak SMTP.
    #[error("the server cannot be understood: {0}")]
    Garbled(&'static str),
    /// There must be TLS, and is not, or not as it must be.
    #[error("no TLS that could be trusted with {host}: {text}")]
    Tls {
        /// Which server.
        host: String,
        /// Why.
        failure: TlsFailure,
        /// In words.
        text: String,
    },
    /// The server that delivers for us does not let us in.
    #[error("the server did not let us log in: {0}")]
    Login(String),
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
            Self::Lost(_) | Self::InDoubt(_) => Reply::ours(451, (4, 4, 2), self.to_string()),
            Self::TimedOut(_) => Reply::ours(451, (4, 4, 7), self.to_string()),
            Self::Garbled(_) => Reply::ours(451, (4, 5, 0), self.to_string()),
            Self::Tls { .. } => Reply::ours(454, (4, 7, 5), self.to_string()),
            Self::Login(_) => Reply::ours(454, (4, 7, 8), self.to_string()),
        }
    }

    fn in_doubt(self) -> Self {
        Self::InDoubt(Box::new(self))
    }
}

/// Delivers one mail in a session of its own.
pub async fn deliver(
    target: &Target,
    helo: &str,
    mail: &Outgoing<'_>,
    security: &Security,
    deadlines: Deadlines,
) -> Result<Sent, ClientError> {
    let mut session = Session::open(target, helo, security, None, deadlines).await?;
    let sent = session.send(mail).await;
    session.quit().await;
    sent
}
