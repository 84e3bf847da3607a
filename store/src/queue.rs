//! Outgoing mail.

use serde::{Deserialize, Serialize};

use crate::{AccountId, UnixMs};

/// Names one recipient of one outgoing mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueueId(pub i64);

/// A mail for other servers. The body is kept once, encrypted under the bridge key.
#[derive(Debug, Clone)]
pub struct NewOutgoing {
    /// Empty for the null reverse-path.
    pub reverse_path: String,
    /// To whom; one queue item each.
    pub recipients: Vec<String>,
    /// The message, CRLF lines.
    pub message: Vec<u8>,
    /// The account that sent it; `None` for the bridge itself.
    pub account: Option<AccountId>,
    /// When to give up.
    pub expires_at: UnixMs,
}

/// Where an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueState {
    /// Due at its time.
    Waiting,
    /// Leased to a sender.
    Sending,
}

/// One recipient of one outgoing mail.
#[derive(Debug, Clone)]
pub struct QueueItem {
    /// Its name.
    pub id: QueueId,
    /// Groups recipients of one mail: they may share a connection.
    pub mail: i64,
    /// Empty for the null reverse-path.
    pub reverse_path: String,
    /// To whom.
    pub recipient: String,
    /// Empty in listings.
    pub message: std::sync::Arc<Vec<u8>>,
    /// Octets of the message.
    pub size: u64,
    /// Who sent it.
    pub account: Option<AccountId>,
    /// Tries so far.
    pub attempts: u32,
    /// When it was queued.
    pub created_at: UnixMs,
    /// When the next try is due.
    pub due_at: UnixMs,
    /// When to give up.
    pub expires_at: UnixMs,
    /// What the last try met.
    pub last_error: Option<String>,
    /// Where it is.
    pub state: QueueState,
}

/// What a sender met.
#[derive(Debug, Clone)]
pub enum QueueOutcome {
    /// The next server took it (or the DSN for it is in `causes`): the item is gone.
    Done(QueueId),
    /// Later.
    Retry {
        /// Which.
        id: QueueId,
        /// When.
        due_at: UnixMs,
        /// Why, for the postmaster.
        error: String,
    },
}

/// A mail in the sandbox's catch-all. Encrypted at rest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaughtMail {
    /// Reverse-path.
    pub from: String,
    /// Forward-path.
    pub to: String,
    /// The message.
    pub message: Vec<u8>,
    /// When.
    pub at: UnixMs,
}
