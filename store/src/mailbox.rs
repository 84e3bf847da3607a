//! Mailboxes and their entries.

use std::num::NonZeroU32;
use std::sync::Arc;

use lnmp::Place;
use serde::{Deserialize, Serialize};

use crate::{AccountId, MessageId, UnixMs};

/// A message's number in its mailbox (RFC 3501 §2.3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(pub NonZeroU32);

impl Uid {
    /// `None` for zero, which is no UID.
    pub fn new(value: u32) -> Option<Self> {
        NonZeroU32::new(value).map(Self)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// The following UID; `None` once 2³²−1 is spent.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

/// Says that UIDs of a mailbox still mean the same. Never changes here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UidValidity(pub NonZeroU32);

/// A mailbox's modification sequence (RFC 7162). Starts at 1, only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModSeq(pub u64);

/// Names one mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailboxId(pub i64);

/// A mailbox as LIST and SELECT need it.
#[derive(Debug, Clone)]
pub struct Mailbox {
    /// Its name in the database.
    pub id: MailboxId,
    /// UTF-8 name, `/` between levels, `INBOX` in capitals.
    pub name: String,
    /// What it means.
    pub place: Place,
    /// Fixed for life, distinct for each mailbox of an account.
    pub uid_validity: UidValidity,
    /// The next UID.
    pub uid_next: Uid,
    /// The newest modification.
    pub highest_modseq: ModSeq,
    /// Whether LSUB names it.
    pub subscribed: bool,
    /// What the user made it for; of the born folders [`Mailbox::place`] says it.
    pub special_use: SpecialUse,
}

/// What a folder of the user's own is for (RFC 6154 §2, RFC 8457), as bits. `\Junk` and `\Trash` are not among them: what
/// is moved there declines, and only the born folders do that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SpecialUse(pub u8);

impl SpecialUse {
    /// Nothing special.
    pub const NONE: Self = Self(0);
    /// `\Archive`
    pub const ARCHIVE: Self = Self(1);
    /// `\Drafts`
    pub const DRAFTS: Self = Self(2);
    /// `\Sent`
    pub const SENT: Self = Self(4);
    /// `\Important`
    pub const IMPORTANT: Self = Self(8);

    /// Whether all of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A name for a mailbox or a message that a client may keep for ever (RFC 8474 §4, §5): 32 hexadecimal digits. A keyed
/// hash, because the numbers behind it count the mail of the whole server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectId(pub [u8; 16]);

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// What an account's mailboxes hold, and may hold, in octets (RFC 9208).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The sum of RFC822.SIZE over all entries.
    pub used: u64,
    /// `None`: no limit.
    pub limit: Option<u64>,
}

impl Quota {
    /// Whether `octets` more fit.
    pub fn fits(&self, octets: u64) -> bool {
        self.limit.is_none_or(|limit| self.used.saturating_add(octets) <= limit)
    }
}

/// A name and a value attached to a mailbox or an account (RFC 5464).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Such as `/private/comment`, as it was written last.
    pub name: String,
    /// Any octets.
    pub value: Vec<u8>,
}

/// System flags, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);
    /// `\Seen`
    pub const SEEN: Self = Self(1);
    /// `\Answered`
    pub const ANSWERED: Self = Self(2);
    /// `\Flagged`
    pub const FLAGGED: Self = Self(4);
    /// `\Deleted`
    pub const DELETED: Self = Self(8);
    /// `\Draft`
    pub const DRAFT: Self = Self(16);

    /// Whether all of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `self` less `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// A message in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number here.
    pub uid: Uid,
    /// Which message.
    pub message: MessageId,
    /// System flags.
    pub flags: Flags,
    /// All keywords shown: the user's, and the server's from the gate's state, in canonical case.
    pub keywords: Vec<String>,
    /// Its last modification.
    pub modseq: ModSeq,
    /// INTERNALDATE.
    pub internal_date: UnixMs,
    /// The zone it was written in: minutes east of UTC.
    pub zone: i16,
    /// When it came into this mailbox (RFC 8514); `None` for one from before that was noted.
    pub saved_at: Option<UnixMs>,
    /// RFC822.SIZE.
    pub size: u64,
}

/// A consistent snapshot of a mailbox.
#[derive(Debug, Clone)]
pub struct View {
    /// The mailbox itself.
    pub mailbox: Mailbox,
    /// Its entries in UID order.
    pub entries: Vec<Entry>,
    /// UIDs from here on are `\Recent` for this session; `None`: none are.
    pub recent_from: Option<Uid>,
}

/// What changed since a MODSEQ.
#[derive(Debug, Clone)]
pub struct Changes {
    /// New and changed entries in UID order.
    pub changed: Vec<Entry>,
    /// UIDs that are gone, in order.
    pub vanished: Vec<Uid>,
    /// State now.
    pub uid_next: Uid,
    /// State now.
    pub highest_modseq: ModSeq,
}

/// Counts of one mailbox.
#[derive(Debug, Clone, Copy)]
pub struct MailboxStatus {
    /// Which.
    pub id: MailboxId,
    /// All entries.
    pub messages: u32,
    /// `\Recent` to nobody yet.
    pub recent: u32,
    /// Without `\Seen`.
    pub unseen: u32,
    /// With `\Deleted`.
    pub deleted: u32,
    /// Sum of sizes.
    pub size: u64,
    /// Sum of sizes of those with `\Deleted`.
    pub deleted_size: u64,
    /// The next UID.
    pub uid_next: Uid,
    /// Fixed.
    pub uid_validity: UidValidity,
    /// The newest modification.
    pub highest_modseq: ModSeq,
}

/// How STORE combines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagMode {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

/// STORE.
#[derive(Debug, Clone)]
pub struct FlagChange {
    /// Where.
    pub mailbox: MailboxId,
    /// On which.
    pub uids: Vec<Uid>,
    /// How.
    pub mode: FlagMode,
    /// System flags.
    pub flags: Flags,
    /// Keywords as the client wrote them.
    pub keywords: Vec<String>,
    /// RFC 7162 UNCHANGEDSINCE.
    pub unchanged_since: Option<ModSeq>,
}

/// What STORE did.
#[derive(Debug, Clone)]
pub struct FlagsSet {
    /// The asked entries as they are now, whether they were changed or not, in UID order.
    pub entries: Vec<Entry>,
    /// Those that changed after [`FlagChange::unchanged_since`] and so were left alone, in order (RFC 7162 §3.1.3).
    /// A UID that the server moved away is among them: its message did change.
    pub modified: Vec<Uid>,
    /// UIDs that the server moved away, whose mails heard the decision where they are now, in order.
    pub followed: Vec<Uid>,
}

/// What COPY or MOVE did.
#[derive(Debug, Clone)]
pub struct Copied {
    /// UIDVALIDITY of the target.
    pub uid_validity: UidValidity,
    /// Source UID and target UID, in source order. UIDs that exist nowhere any more are left out.
    pub pairs: Vec<(Uid, Uid)>,
    /// UIDs that vanished from the source (MOVE only; a tombstone's UID was already gone).
    pub vanished: Vec<Uid>,
}

/// A mailbox changed; sent after the commit.
#[derive(Debug, Clone)]
pub struct Change {
    /// Whose.
    pub account: AccountId,
    /// Which; `None` when the list of mailboxes or subscriptions changed.
    pub mailbox: Option<MailboxId>,
    /// The newest modification.
    pub modseq: ModSeq,
    /// Names of annotations that were set or removed, and then nothing else changed: those of the mailbox, or of the
    /// account itself.
    pub annotations: Option<Arc<[String]>>,
}
