//! Messages on their way in.

use lnmp::Place;
use serde::{Deserialize, Serialize};

use crate::{AccountId, AliasId, Flags, LargeOutgoing, MailboxId, NewGate, NewOutgoing, Uid, UidValidity, UnixMs};

/// Names one message of one account. Copies in several mailboxes are entries of the same message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub i64);

/// A sealed message as it is kept: `lnmp` wrote the blobs.
#[derive(Debug, Clone)]
pub struct SealedParts {
    /// Header and ciphertext of the content.
    pub content: Vec<u8>,
    /// The summary's own sealed blob.
    pub summary: Vec<u8>,
    /// The trigrams' own sealed blob: what a search can rule the message out by. `None`: it is always read.
    pub trigrams: Option<Vec<u8>>,
    /// RFC822.SIZE of the whole message, trace headers included.
    pub size: u64,
    /// Attachments it references: CID and plaintext octets (both may lie in the clear).
    pub attachments: Vec<(String, u64)>,
}

/// Who wrote a received mail, as far as it could be checked. Encrypted at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The From address, lower case.
    pub address: String,
    /// Whether an identifier aligns: only then does the user's act change a relation.
    pub aligned: bool,
    /// For an unaligned author: From address and evidence, joined, as [`crate::StandingQuery`] asks.
    pub evidence: Option<String>,
}

/// One message for one account.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// For whom.
    pub account: AccountId,
    /// Into which of the born folders.
    pub place: Place,
    /// Into this folder of the owner's instead, while it is there: a filter says so. Only for a mail whose place is INBOX.
    pub folder: Option<String>,
    /// The sealed message.
    pub sealed: SealedParts,
    /// INTERNALDATE.
    pub internal_date: UnixMs,
    /// System flags from birth (`\Seen` of an own Sent copy).
    pub flags: Flags,
    /// User keywords from birth.
    pub keywords: Vec<String>,
    /// Who wrote it; `None` for own mail.
    pub author: Option<Author>,
    /// Its Message-ID: hashed here under the bridge key, for reply detection and Sent copies.
    pub message_id: Option<String>,
    /// SHA-256 of the whole message as a client sees it; hashed here under the bridge key. A gated mail that
    /// a client expunges and appends again is recognised by it ([`lnmp::Act::AppendedAgain`]).
    pub content_digest: Option<[u8; 32]>,
    /// The gate of a priced mail.
    pub gate: Option<NewGate>,
    /// The temporary alias it used up.
    pub alias: Option<AliasId>,
}

/// What one committed delivery became.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The message.
    pub message: MessageId,
    /// Where.
    pub mailbox: MailboxId,
    /// Its UID there.
    pub uid: Uid,
    /// Its gate.
    pub gate: Option<lnmp::GateId>,
}

/// A mail the user sent: what makes a later reply free.
#[derive(Debug, Clone)]
pub struct SentRecord {
    /// Who sent it.
    pub account: AccountId,
    /// Its Message-ID.
    pub message_id: String,
    /// To whom, lower case. Their domains are remembered as well: their bridges may ask a price.
    pub recipients: Vec<String>,
}

/// Everything one commit holds.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Messages into mailboxes.
    pub deliveries: Vec<Delivery>,
    /// Copies of what users sent, for their Sent folders: not filed for an account whose client APPENDed to Sent in the
    /// last 30 days; one that was filed goes when the client APPENDs a mail with its Message-ID to Sent.
    pub sent_copies: Vec<Delivery>,
    /// Messages to other servers.
    pub outgoing: Vec<NewOutgoing>,
    /// Large ones.
    pub large_outgoing: Vec<LargeOutgoing>,
    /// Authors who become friends because the user wrote to them.
    pub friends: Vec<(AccountId, String)>,
    /// Mails the user sent.
    pub sent: Vec<SentRecord>,
    /// Message-IDs the user replied to: gates of mails with one of them see [`lnmp::Act::Replied`].
    pub replied: Vec<(AccountId, Vec<String>)>,
    /// Payment requests sent: counted for the limits.
    pub asked: Vec<lnmp::GateId>,
    /// Unpaid mails that the first of `deliveries`, a digest, names.
    pub told: Vec<MessageId>,
    /// Other bridges' prices for mails of users that are to be paid, each mail's once.
    pub auto_pay: Vec<AutoPay>,
    /// Small values that change with it ([`crate::Store::set_meta`]).
    pub meta: Vec<(String, Vec<u8>)>,
}

/// Another bridge's price for a mail the user sent, to be paid without asking.
#[derive(Debug, Clone)]
pub struct AutoPay {
    /// Whose money.
    pub account: AccountId,
    /// The mail.
    pub message_id: String,
    /// Which domain asks.
    pub domain: String,
    /// The invoice.
    pub bolt11: String,
}

/// APPEND of one message or several (RFC 3502), or REPLACE (RFC 8508): all of it or nothing.
#[derive(Debug, Clone)]
pub struct Append {
    /// Whose.
    pub account: AccountId,
    /// Into which mailbox.
    pub mailbox: MailboxId,
    /// At least one, in the order of their UIDs.
    pub messages: Vec<NewMessage>,
    /// REPLACE: the entry that goes when these have come.
    pub replaces: Option<(MailboxId, Uid)>,
}

/// One appended message.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// The sealed message.
    pub sealed: SealedParts,
    /// INTERNALDATE.
    pub internal_date: UnixMs,
    /// The zone it was written in: minutes east of UTC.
    pub zone: i16,
    /// System flags.
    pub flags: Flags,
    /// Keywords; server keywords were dropped by the caller, and are dropped here again.
    pub keywords: Vec<String>,
    /// Its Message-ID.
    pub message_id: Option<String>,
    /// SHA-256 of the message without what copying clients write into it: recognises content this account already has.
    pub content_digest: [u8; 32],
}

/// What APPEND made.
#[derive(Debug, Clone)]
pub struct Appended {
    /// The mailbox's UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// The new UIDs, one for each message, ascending.
    pub uids: Vec<Uid>,
    /// The messages.
    pub messages: Vec<MessageId>,
}
