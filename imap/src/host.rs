//! What this door asks of the house: who somebody is, and to seal what a client appends.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use store::{AccountId, SealedParts};
use tokio::sync::watch;

use crate::capability::Disabled;

/// Checks a login and unlocks the mailbox key.
#[async_trait]
pub trait Login: Send + Sync + 'static {
    /// Throttles, checks and unlocks. Takes as long as it must: the session waits, other sessions do not.
    ///
    /// # Errors
    /// [`LoginRefusal`]; which of name and password was wrong is never told.
    async fn login(&self, peer: IpAddr, user: &str, password: &str) -> Result<LoggedIn, LoginRefusal>;

    /// As [`Login::login`], by a bearer token (OAUTHBEARER). Never by what a human remembers: clients hand tokens
    /// around.
    ///
    /// # Errors
    /// [`LoginRefusal`].
    async fn bear(&self, peer: IpAddr, user: &str, token: &str) -> Result<LoggedIn, LoginRefusal>;
}

/// A session that may read an account's mail.
pub struct LoggedIn {
    /// Whose mail.
    pub account: AccountId,
    /// Opens what is sealed to the account.
    pub opener: Arc<lnmp::Opener>,
    /// Which capabilities the account has turned off.
    pub disabled: Disabled,
    /// Dropped when the session ends: with the last one the house wipes the mailbox key.
    pub seat: Box<dyn Any + Send + Sync>,
    /// Turns `true` when the credential is revoked or the account removed: the session ends with a BYE.
    pub revoked: Option<watch::Receiver<bool>>,
}

impl std::fmt::Debug for LoggedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoggedIn").field("account", &self.account).finish_non_exhaustive()
    }
}

/// Why a login is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginRefusal {
    /// Unknown name or wrong password.
    #[error("wrong name or password")]
    Credentials,
    /// Right, but not allowed in by IMAP.
    #[error("this account may not log in here")]
    NotAllowed,
    /// Too many attempts; the password was not even looked at.
    #[error("too many attempts, try again later")]
    Throttled,
    /// The store or the key derivation is not available now.
    #[error("login is not possible at the moment")]
    Unavailable,
}

/// Seals what a client appends.
#[async_trait]
pub trait Host: Login {
    /// Splits, puts large attachments on the shelf, summarises and seals to the account's own key.
    ///
    /// # Errors
    /// [`SealRefusal`]; nothing is kept then but orphans that the shelf collects.
    async fn seal(&self, account: AccountId, message: Vec<u8>) -> Result<Sealed, SealRefusal>;

    /// How to reach the operator, as a URI (RFC 5464 §6.2.2 `/shared/admin`); `None`: not told.
    fn admin(&self) -> Option<String> {
        None
    }

    /// Whether a URL of this server, and perhaps of a user, means mail of this account (RFC 5092 §4). A house that
    /// knows no name of its own takes relative URLs only.
    async fn is_here(&self, _account: AccountId, _user: Option<&str>, _server: &str) -> bool {
        false
    }
}

/// An appended message, ready for [`store::Store::append`].
#[derive(Debug)]
pub struct Sealed {
    /// Its blobs.
    pub parts: SealedParts,
    /// Of the whole message in the clear.
    pub content_digest: [u8; 32],
    /// Its Message-ID, where it has one.
    pub message_id: Option<String>,
}

/// Why an appended message is not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealRefusal {
    /// Larger, or of more parts, than is kept.
    #[error("the message is too large")]
    TooLarge,
    /// The shelf or the disk is full or failing.
    #[error("the message cannot be stored at the moment")]
    Unavailable,
}
