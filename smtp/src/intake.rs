//! What this door asks of the house: who may send, who lives here, and whether the message is committed.

use crate::{Enhanced, MailParameters, RcptParameters, ReversePath, Spool};
use async_trait::async_trait;
use std::any::Any;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Decides about mail. One host may stand behind several listeners; the questions say which kind asks.
///
/// Nothing here has a deadline of its own: the peer waits as long as the answer takes, so each must end.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// Whether these are a submitter's credentials. Throttling of guesses is the host's. Submission only.
    async fn authenticate(&self, peer: &PeerInfo, user: &str, password: &Secret) -> Result<Submitter, AuthRefusal> {
        let (_, _, _) = (peer, user, password);
        Err(AuthRefusal::Invalid)
    }

    /// Whether submitters may log in by bearer tokens: only then is it offered.
    fn takes_tokens(&self) -> bool {
        false
    }

    /// Whether this is a bearer token of that user (RFC 7628). Otherwise as [`Host::authenticate`].
    async fn bear(&self, peer: &PeerInfo, user: &str, token: &Secret) -> Result<Submitter, AuthRefusal> {
        let (_, _, _) = (peer, user, token);
        Err(AuthRefusal::Invalid)
    }

    /// Whether a mail from this reverse-path may begin: a shortage of disk is told here, whom a submitter may write as,
    /// and a time to hold the mail that is too far away.
    async fn mail(
        &self,
        peer: &PeerInfo,
        reverse_path: &ReversePath,
        parameters: &MailParameters,
    ) -> Result<(), Refusal> {
        let (_, _, _) = (peer, reverse_path, parameters);
        Ok(())
    }

    /// Resolves one RCPT. `mailbox` is `local-part@domain` as it was sent, or the bare word `postmaster` (RFC 5321
    /// §4.5.1). `so_far` are the recipients of this mail already taken.
    async fn rcpt(
        &self,
        peer: &PeerInfo,
        reverse_path: &ReversePath,
        mailbox: &str,
        so_far: &[Recipient],
    ) -> Result<Recipient, Refusal>;

    /// Takes the message. `Ok` only once it is committed: the sender reads `250` and forgets it.
    async fn message(&self, envelope: Envelope, content: Spool) -> Result<Accepted, Refusal>;

    /// The same for [`Kind::Lmtp`], where each recipient has an answer of its own: as many, and in the order of the
    /// envelope. RFC 2033 §4.2.
    async fn message_each(&self, envelope: Envelope, content: Spool) -> Vec<Result<Accepted, Refusal>> {
        let count = envelope.recipients.len();
        vec![self.message(envelope, content).await; count]
    }
}

/// Which job a listener does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Port 25: mail from other servers for those who live here.
    Mx,
    /// Ports 587 and 465: mail of our own users, after AUTH. RFC 6409.
    Submission,
    /// LMTP: mail for those who live here, from an MX in front that is trusted. RFC 2033.
    Lmtp,
}

/// Who is on the other side of the connection.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// Which kind of listener it came to.
    pub kind: Kind,
    /// Its address.
    pub address: SocketAddr,
    /// What it called itself; empty before EHLO.
    pub helo: String,
    /// Whether it said EHLO rather than HELO.
    pub esmtp: bool,
    /// Set while TLS is on.
    pub tls: Option<TlsInfo>,
    /// Set after AUTH.
    pub authenticated: Option<Submitter>,
    /// On [`Kind::Lmtp`]: from whom the MX in front has the mail, where it said so (XFORWARD).
    pub forwarded: Option<Forwarded>,
}

/// Who brought a mail to the MX in front of us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// Its address.
    pub address: Option<IpAddr>,
    /// What it called itself.
    pub helo: Option<String>,
}

impl PeerInfo {
    /// The `with` word of a Received field. RFC 3848.
    pub fn protocol(&self) -> &'static str {
        match (self.esmtp, self.tls.is_some(), self.authenticated.is_some()) {
            (_, false, _) if self.kind == Kind::Lmtp => "LMTP",
            (_, true, _) if self.kind == Kind::Lmtp => "LMTPS",
            (false, _, _) => "SMTP",
            (true, false, false) => "ESMTP",
            (true, false, true) => "ESMTPA",
            (true, true, false) => "ESMTPS",
            (true, true, true) => "ESMTPSA",
        }
    }
}

/// How a connection is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// Such as `TLSv1_3`.
    pub version: String,
    /// Such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
}

/// Somebody who logged in.
#[derive(Clone)]
pub struct Submitter {
    /// The account, as the host numbers them.
    pub id: i64,
    /// The address logged in as.
    pub address: String,
    /// Whatever the host wants back with the mail, such as an opened mailbox key. Dropped with the session.
    pub context: Option<Arc<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Submitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitter").field("id", &self.id).finish_non_exhaustive()
    }
}

/// One recipient that the host took.
#[derive(Clone)]
pub struct Recipient {
    /// The mailbox as it was sent.
    pub mailbox: String,
    /// What RCPT asked for beside: the session fills it in behind the host's answer.
    pub parameters: RcptParameters,
    /// The account, when it lives here.
    pub account: Option<i64>,
    /// Whatever the host wants back with the message.
    pub context: Option<Arc<dyn Any + Send + Sync>>,
}

impl Recipient {
    /// A recipient of an account.
    pub fn local(mailbox: impl Into<String>, account: i64) -> Self {
        Self { mailbox: mailbox.into(), parameters: RcptParameters::default(), account: Some(account), context: None }
    }

    /// A recipient elsewhere.
    pub fn remote(mailbox: impl Into<String>) -> Self {
        Self { mailbox: mailbox.into(), parameters: RcptParameters::default(), account: None, context: None }
    }

    /// The same with something for the host to find again.
    pub fn with_context(mut self, context: Arc<dyn Any + Send + Sync>) -> Self {
        self.context = Some(context);
        self
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipient").field("account", &self.account).finish_non_exhaustive()
    }
}

/// Everything about a message that is not in it.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Who sent it.
    pub peer: PeerInfo,
    /// Who gets its bounces.
    pub reverse_path: ReversePath,
    /// Who it is for: never empty, at most `recipients_max`.
    pub recipients: Vec<Recipient>,
    /// What MAIL asked for beside.
    pub parameters: MailParameters,
}

/// The host committed the message.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Names it in the `250` and in logs; printable ASCII.
    pub queue_id: String,
}

/// The host did not take it, and says so in these words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// 4xx or 5xx; 421 also ends the session.
    pub code: u16,
    /// Its class must be the code's first digit.
    pub enhanced: Enhanced,
    /// For people. Several lines become a multi-line reply.
    pub text: String,
}

impl Refusal {
    /// A refusal in full.
    pub fn new(code: u16, enhanced: Enhanced, text: impl Into<String>) -> Self {
        Self { code, enhanced, text: text.into() }
    }

    /// 550 5.1.1: nobody of that name lives here.
    pub fn unknown_recipient() -> Self {
        Self::new(550, (5, 1, 1), "there is no such mailbox here")
    }

    /// 451 4.3.0: our fault, come again.
    pub fn try_again() -> Self {
        Self::new(451, (4, 3, 0), "a fault on our side, please try again later")
    }

    /// 452 4.3.1: the disk is full.
    pub fn storage_full() -> Self {
        Self::new(452, (4, 3, 1), "not enough room to take the message now, please try again later")
    }

    /// 452 4.5.3: this recipient needs a mail of its own.
    pub fn separately() -> Self {
        Self::new(452, (4, 5, 3), "please send to this recipient in a mail of its own")
    }

    /// Whether sending again cannot help.
    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }
}

/// Why a login failed. The peer is never told more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthRefusal {
    /// Wrong user or wrong password. 535 5.7.8.
    Invalid,
    /// Too many guesses. 454 4.7.0.
    Throttled,
    /// Our fault. 454 4.7.0.
    Unavailable,
}

/// A password on its way. Wiped when dropped, never printed.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Shuts a text in.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text. Every use can be found by this word.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
