//! Where a mail lies, as far as its meaning goes.

use serde::{Deserialize, Serialize};

/// The kind of a folder: one of the eight every account is born with, a support desk's Queue, or the user's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Let in.
    Inbox,
    /// Paid, the money locked, waiting for the user's answer.
    Requests,
    /// Priced and not paid.
    Unpaid,
    /// What the user sent.
    Sent,
    /// What the user is writing.
    Drafts,
    /// Kept.
    Archive,
    /// Refused as unwanted.
    Junk,
    /// Thrown away.
    Trash,
    /// A folder the user made.
    Own,
    /// A desk's open mails in their order. They lie in INBOX or Requests, and what is done to them here is done there.
    Queue,
}

impl Place {
    /// The folders an account is born with, in the order they are created.
    pub const BORN: [Self; 8] =
        [Self::Inbox, Self::Requests, Self::Unpaid, Self::Sent, Self::Drafts, Self::Archive, Self::Junk, Self::Trash];

    /// The name the server's folder is created under; `None` for the user's own.
    pub fn born_name(self) -> Option<&'static str> {
        Some(match self {
            Self::Inbox => "INBOX",
            Self::Requests => "Requests",
            Self::Unpaid => "Unpaid",
            Self::Sent => "Sent",
            Self::Drafts => "Drafts",
            Self::Archive => "Archive",
            Self::Junk => "Junk",
            Self::Trash => "Trash",
            Self::Queue => "Queue",
            Self::Own => return None,
        })
    }

    /// The SPECIAL-USE attribute (RFC 6154 §2), where there is one.
    pub fn special_use(self) -> Option<&'static str> {
        match self {
            Self::Sent => Some("\\Sent"),
            Self::Drafts => Some("\\Drafts"),
            Self::Archive => Some("\\Archive"),
            Self::Junk => Some("\\Junk"),
            Self::Trash => Some("\\Trash"),
            Self::Inbox | Self::Requests | Self::Unpaid | Self::Own | Self::Queue => None,
        }
    }

    /// A stable number for the database. Never reuse one.
    pub fn code(self) -> u8 {
        match self {
            Self::Own => 0,
            Self::Inbox => 1,
            Self::Requests => 2,
            Self::Unpaid => 3,
            Self::Sent => 4,
            Self::Drafts => 5,
            Self::Archive => 6,
            Self::Junk => 7,
            Self::Trash => 8,
            Self::Queue => 9,
        }
    }

    /// The inverse of [`Place::code`].
    pub fn from_code(code: u8) -> Option<Self> {
        Self::BORN.into_iter().chain([Self::Own, Self::Queue]).find(|place| place.code() == code)
    }

    /// Junk and Trash: putting a mail there refuses it.
    pub fn refuses(self) -> bool {
        matches!(self, Self::Junk | Self::Trash)
    }
}
