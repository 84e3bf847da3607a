//! Outgoing mail.

use std::sync::Arc;
use std::{fmt, io};

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
    pub recipients: Vec<OutgoingRecipient>,
    /// The message, CRLF lines.
    pub message: Vec<u8>,
    /// The account that sent it; `None` for the bridge itself.
    pub account: Option<AccountId>,
    /// When to give up.
    pub expires_at: UnixMs,
    /// Not to be sent before; `None` is at once. RFC 4865.
    pub hold_until: Option<UnixMs>,
    /// What else its sender asked for.
    pub wishes: MailWishes,
}

/// A mail for other servers that is not in memory as a whole.
#[derive(Debug, Clone)]
pub struct LargeOutgoing {
    /// The mail, of whose message only the beginning is here.
    pub mail: NewOutgoing,
    /// The rest of the message.
    pub rest: Arc<dyn Rest>,
}

/// Octets that are read while they are stored. Asked for on the writer's thread, once and in order.
pub trait Rest: fmt::Debug + Send + Sync {
    /// How many there are.
    fn size(&self) -> u64;

    /// Fills `into` with those from `at` on.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()>;
}

/// One recipient of a new mail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutgoingRecipient {
    /// `local-part@domain`.
    pub address: String,
    /// What the sender asked for about this one.
    pub wishes: RecipientWishes,
}

impl From<&str> for OutgoingRecipient {
    fn from(address: &str) -> Self {
        Self { address: address.to_owned(), wishes: RecipientWishes::default() }
    }
}

/// What a sender asked for of a mail as a whole. Kept encrypted. Unknown fields of a later version are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MailWishes {
    /// ENVID, in xtext as it was sent. RFC 3461.
    pub envid: Option<String>,
    /// RET: whether a DSN about a failure brings back the whole mail (`true`) or its header. RFC 3461.
    pub return_full: Option<bool>,
    /// REQUIRETLS. RFC 8689.
    pub require_tls: bool,
    /// MT-PRIORITY, -9 to 9: the higher, the sooner it is leased. RFC 6710.
    pub priority: i8,
    /// BY. RFC 2852.
    pub deliver_by: Option<DeliverBy>,
    /// SMTPUTF8. RFC 6531.
    pub smtputf8: bool,
}

/// When a mail has to have arrived, and what happens else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverBy {
    /// The moment.
    pub at: UnixMs,
    /// `R`: it comes back then. Else `N`: a delay is told, and it is tried on.
    pub returns: bool,
    /// `T`: a server on the way that does not know DELIVERBY is told of.
    pub trace: bool,
}

/// What a sender asked for about one recipient. Kept encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecipientWishes {
    /// NOTIFY. RFC 3461.
    pub notify: Option<Notify>,
    /// ORCPT, `addr-type;xtext` as it was sent. RFC 3461.
    pub orcpt: Option<String>,
}

/// Which DSNs are wanted; none of them is NEVER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notify {
    /// Of a delivery.
    pub success: bool,
    /// Of a failure.
    pub failure: bool,
    /// Of a delay.
    pub delay: bool,
}

/// Where an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueState {
    /// Due at its time.
    Waiting,
    /// Leased to a sender.
    Sending,
    /// Kept until the postmaster resumes it.
    Suspended,
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
    /// Octets of the message; [`crate::Store::outgoing_message`] has them.
    pub size: u64,
    /// Who sent it.
    pub account: Option<AccountId>,
    /// Tries that failed so far.
    pub attempts: u32,
    /// Whether its sender was told of the delay.
    pub delay_told: bool,
    /// When it was queued.
    pub created_at: UnixMs,
    /// When the next try is due.
    pub due_at: UnixMs,
    /// When to give up.
    pub expires_at: UnixMs,
    /// What the last try met.
    pub last_error: Option<String>,
    /// What the sender asked for of the mail.
    pub wishes: MailWishes,
    /// And about this recipient.
    pub recipient_wishes: RecipientWishes,
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
    /// Later, and the sender is told of the delay (the DSN is in `causes`): not again.
    Delayed {
        /// Which.
        id: QueueId,
        /// When.
        due_at: UnixMs,
        /// Why, for the postmaster.
        error: String,
    },
    /// Not tried: its destination was busy, or failed for another mail. No attempt is counted.
    PutOff {
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
