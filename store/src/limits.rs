//! Every bound of this crate, with its reason.

/// Changes kept for a lagging watcher; past that it rereads its mailbox, which is always correct.
pub const WATCH_BACKLOG: usize = 4096;
/// Writes grouped into one transaction: bounds the latency a write adds to those behind it.
pub const GROUP_WRITES_MAX: usize = 512;
/// Writes waiting for the writer: beyond it callers wait in their own task (back-pressure to sockets).
pub const WRITE_QUEUE: usize = 4096;
/// Keywords in one mailbox entry; RFC 3501 sets none, Dovecot's practical limit is lower.
pub const KEYWORDS_MAX: usize = 64;
/// Octets of one keyword.
pub const KEYWORD_BYTES_MAX: usize = 255;
/// Mailboxes of one account; Proton users were seen with about 800.
pub const MAILBOXES_MAX: usize = 10_000;
/// Octets of a mailbox name.
pub const MAILBOX_NAME_BYTES_MAX: usize = 1024;
/// Days a server-made move can still be followed from its old UID (design section 3).
pub const TOMBSTONE_DAYS: i64 = 60;
/// Hours between two notices about paid mail (design section 3).
pub const NOTICE_HOURS: i64 = 6;
/// Minutes a decline by expunge, or a demotion by Junk, waits (design section 3).
pub const GRACE_MINUTES: i64 = 10;
/// Mails in the sandbox's catch-all; the oldest go first.
pub const CAUGHT_MAX: usize = 1000;
