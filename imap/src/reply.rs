//! Tagged answers: the one place where errors become `NO`, `BAD` or the end of the connection.

use std::borrow::Cow;

use store::StoreError;

use crate::host::{LoginRefusal, SealRefusal};
use crate::name::NameError;
use crate::wire::Bad;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    No,
    Bad,
}

impl Status {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
        }
    }
}

/// A tagged answer less its tag. The text is never empty (RFC 3501 §7.1 `resp-text`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tagged {
    pub(crate) status: Status,
    pub(crate) text: Cow<'static, str>,
}

impl Tagged {
    pub(crate) fn ok(text: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Status::Ok, text: text.into() }
    }

    pub(crate) fn no(text: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Status::No, text: text.into() }
    }

    pub(crate) fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Status::Bad, text: text.into() }
    }
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    /// The socket failed, closed or stalled; there is nobody to tell.
    #[error("connection lost: {0}")]
    Io(#[from] std::io::Error),
    /// `* BYE` with this text, then close.
    #[error("{0}")]
    Bye(&'static str),
    /// LOGOUT was answered.
    #[error("logged out")]
    LoggedOut,
}

/// What stops a command before its own answer.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Answer this.
    Tagged(Tagged),
    /// End the connection.
    End(End),
    /// The command wrote its tagged answer itself.
    Answered,
}

/// What a command returns.
pub(crate) type Run = Result<Tagged, Stop>;

impl From<End> for Stop {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::End(End::Io(error))
    }
}

impl From<Tagged> for Stop {
    fn from(tagged: Tagged) -> Self {
        Self::Tagged(tagged)
    }
}

impl From<Bad> for Stop {
    fn from(bad: Bad) -> Self {
        Self::Tagged(Tagged::bad(bad.0))
    }
}

impl From<NameError> for Stop {
    fn from(error: NameError) -> Self {
        Self::Tagged(Tagged::no(format!("[CANNOT] {error}")))
    }
}

/// RFC 5530 says what each code means.
impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Tagged(match error {
            StoreError::NoSuch(what) => Tagged::no(format!("[NONEXISTENT] No such {what}")),
            StoreError::Exists(_) => Tagged::no("[ALREADYEXISTS] Mailbox already exists"),
            StoreError::Cannot(why) => Tagged::no(format!("[CANNOT] {why}")),
            StoreError::Denied(right) => Tagged::no(format!("[NOPERM] You need the right {right} in this mailbox")),
            // RFC 9208 §4.3.1
            StoreError::OverQuota => {
                Tagged::no("[OVERQUOTA] The account has no room for this; expunge something first")
            }
            StoreError::Limit(what) => Tagged::no(format!("[LIMIT] Too many: {what}")),
            StoreError::Disk(_) => {
                tracing::error!(%error, "the store refused");
                Tagged::no("[UNAVAILABLE] Storage is full or failing, try again later")
            }
            StoreError::Busy => Tagged::no("[UNAVAILABLE] Server is busy, try again later"),
            StoreError::Damaged(_) => {
                tracing::error!(%error, "the store refused");
                Tagged::no("[SERVERBUG] Internal error, the operator can read more in the log")
            }
        })
    }
}

impl From<SealRefusal> for Stop {
    fn from(refusal: SealRefusal) -> Self {
        Self::Tagged(match refusal {
            SealRefusal::TooLarge => Tagged::no("[LIMIT] Message is too large"),
            SealRefusal::Unavailable => Tagged::no("[UNAVAILABLE] Message cannot be stored now, try again later"),
        })
    }
}

impl From<LoginRefusal> for Tagged {
    fn from(refusal: LoginRefusal) -> Self {
        match refusal {
            LoginRefusal::Credentials => Self::no("[AUTHENTICATIONFAILED] Wrong name or password"),
            // RFC 9051 §7.1: AUTHORIZATIONFAILED is for acting as somebody else.
            LoginRefusal::NotAllowed => Self::no("[CONTACTADMIN] This account may not log in here"),
            LoginRefusal::Throttled => Self::no("[UNAVAILABLE] Too many attempts, try again later"),
            LoginRefusal::Unavailable => Self::no("[UNAVAILABLE] Login is not possible at the moment, try again later"),
        }
    }
}
