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
/// Users one mailbox is shared with: a desk, not a mailing list.
pub const ACL_USERS_MAX: usize = 1000;
/// Messages that a Queue shows, the first in its order: what belongs before them all makes clients fetch the rest anew, and
/// a desk works from the top. Those behind come in as others leave.
pub const DESK_SHOWN_MAX: i64 = 500;
/// UIDs of a Queue whose mails are still found after they got new ones: some forty times all that is shown.
pub const DESK_UIDS_KEPT: i64 = 20_000;
/// Octets of a mailbox name.
pub const MAILBOX_NAME_BYTES_MAX: usize = 1024;
/// Days a server-made move can still be followed from its old UID (design section 3).
pub const TOMBSTONE_DAYS: i64 = 60;
/// Hours between two notices about paid mail (design section 3).
pub const NOTICE_HOURS: i64 = 6;
/// Minutes a decline by expunge, or a demotion by Junk, waits (design section 3).
pub const GRACE_MINUTES: i64 = 10;
/// Octets of a large outgoing mail that are sealed and read at a time.
pub const OUTGOING_PIECE_BYTES: usize = 256 * 1024;
/// Mails in the sandbox's catch-all; the oldest go first.
pub const CAUGHT_MAX: usize = 1000;
/// Expunged UIDs remembered for one mailbox; a watcher that slept past them compares whole UID lists.
pub const VANISHED_MAX: u64 = 100_000;
/// Days for which an APPEND to Sent says that the account's client files what it sends.
pub const SENT_APPEND_DAYS: i64 = 30;
/// Days a payment request counts as made: longer than any DKIM signature is worth replaying.
pub const ASKED_DAYS: i64 = 400;
/// Minutes since a session looked at Requests during which no notice is due (design section 3).
pub const NOTICE_QUIET_MINUTES: i64 = 60;
/// Seconds between two notes that Requests was looked at: a client polls more often than that matters.
pub const REQUESTS_SEEN_SECONDS: i64 = 60;
/// Keys of past runs kept at hand, about 600 octets each; more are derived again.
pub const VAULT_RUNS_MAX: usize = 1024;
/// Read connections: reads are short, and a core each plus some that wait for the disk is all that helps.
pub const READERS: usize = 6;
/// Octets of page cache of each read connection.
pub const READER_CACHE_BYTES: i64 = 16 << 20;
/// Octets of page cache of the writer: the inner pages of every index, and the group at hand.
pub const WRITER_CACHE_BYTES: i64 = 64 << 20;
/// Prepared statements kept by a connection: all of ours.
pub const STATEMENTS: usize = 256;
/// Octets of WAL after which it is copied into the database beside the running writes.
pub const WAL_COPY_BYTES: u64 = 16 << 20;
/// Octets of WAL after which the writer itself stops to start it anew: bounds disk use and reading time.
pub const WAL_RESTART_BYTES: u64 = 64 << 20;
/// Milliseconds to wait for another connection's lock: only recovery and a restart of the WAL hold one.
pub const LOCK_WAIT_MS: u64 = 5_000;
/// Octets of a sealed content that are read on the caller's own thread; larger ones go to a blocking one.
pub const INLINE_READ_BYTES: i64 = 256 << 10;
/// Messages whose summaries are read on the caller's own thread, for the same reason.
pub const INLINE_READ_ROWS: usize = 16;
/// CIDs named in one unpin job: a job stays small.
pub const UNPIN_CIDS: usize = 500;
/// Messages in one APPEND: one transaction, in which everybody else's writes wait.
pub const APPEND_MESSAGES_MAX: usize = 256;
/// Pages of agreed secrets of one account: at 512 on a page, those of 98,304 mails.
pub const AGREEMENT_PAGES_MAX: usize = 192;
/// Octets of one such page: 512 agreements are 36 KiB.
pub const AGREEMENT_PAGE_BYTES_MAX: usize = 64 * 1024;
/// Annotations of one account over all its mailboxes (RFC 5464): a client keeps a handful for each.
pub const ANNOTATIONS_MAX: usize = 10_000;
/// Octets of an annotation's value. RFC 5464 §4.3 leaves it to us; a client's settings file fits.
pub const ANNOTATION_BYTES_MAX: usize = 32 * 1024;
/// Octets of an annotation's name.
pub const ANNOTATION_NAME_BYTES_MAX: usize = 1024;
/// Hours between two links that change where a refund goes: whoever has the page may ask for one, its author gets the mail.
pub const REFUND_LINK_HOURS: i64 = 24;
/// Octets of what opens a refund's door: a quote's number, a hyphen, 32 digits.
pub const REFUND_TOKEN_BYTES_MAX: usize = 20 + 1 + 32;
/// Days an unpaid mail stays at least (design section 2).
pub const UNPAID_DAYS: i64 = 30;
/// Days before it goes that a digest must have named it (design section 2).
pub const DIGEST_BEFORE_DAYS: i64 = 7;
/// Mails that leave Unpaid in one transaction, in which everybody else's writes wait.
pub const EXPIRED_AT_ONCE: i64 = 200;
