//! Every bound of this crate, with its source and reason.

use std::time::Duration;

/// Octets of a command without its literals. RFC 7162 §4 asks for 8192 and more; Dovecot takes
/// 64 KiB, which clients with long UID lists rely on.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Octets of one literal, and of all literals of a command together, that are not an APPEND's message.
pub const LITERAL_BYTES_MAX: usize = 64 * 1024;
/// Octets of a command's literals before login: a name and a password.
pub const LITERAL_BEFORE_LOGIN_BYTES_MAX: usize = 4 * 1024;
/// Octets of an APPENDed message. At least what SMTP accepts, so that every mail can be copied back.
pub const APPEND_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Octets of APPENDed messages in memory over all sessions. A session waits its turn for a larger share.
pub const APPEND_BYTES_IN_FLIGHT_MAX: usize = 256 * 1024 * 1024;
/// Octets one COPY or MOVE carries into another account: they are opened and sealed anew, all before the first is kept.
pub const CARRY_BYTES_MAX: u64 = 64 << 20;
/// Messages in one APPEND: as many as the store takes in one transaction.
pub const APPEND_MESSAGES_MAX: usize = store::limits::APPEND_MESSAGES_MAX;
/// Octets of all messages of one APPEND: two of the largest, and half of what all sessions share.
pub const APPEND_COMMAND_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Parts of one CATENATE: a text and a part of another mail for each of the largest mails' attachments.
pub const CATENATE_PARTS_MAX: usize = 200;
/// How long an APPEND waits for memory before it is put off.
pub const APPEND_MEMORY_WAIT: Duration = Duration::from_secs(20);
/// Octets of a refused non-synchronising literal that are read and thrown away to stay in step; beyond it the
/// connection is closed.
pub const SKIP_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Octets of an over-long line that are thrown away in search of its end; beyond it the connection is closed.
pub const LINE_SKIP_BYTES_MAX: usize = 1024 * 1024;
/// Literals in one command: an APPEND has one for its mailbox and one for each message, a SEARCH with HEADER two for
/// each key.
pub const LITERALS_MAX: usize = 512;

/// Ranges in a sequence set: what fits a line, and what one command may make us resolve.
pub const SEQUENCE_RANGES_MAX: usize = 20_000;
/// Messages one command goes through (RFC 9738 §3), unless the config says otherwise. RFC 9738 §4: a client that does
/// not know this limit takes a part of a mailbox for all of it, so it lies above every mailbox that clients open as a
/// whole: a list of as many messages alone is 48 MiB. Those we know stay below: Thunderbird with 100,000 asks for them
/// in one FETCH.
pub const MESSAGE_LIMIT: u32 = 1_000_000;
/// Messages that one write of a STORE, MOVE or EXPUNGE changes; a longer one is a sequence of writes, so that others
/// wait for some tens of milliseconds at most. A COPY is one write whatever it copies (RFC 3501 §6.4.7: all or none).
pub const WRITE_MESSAGES_MAX: usize = 1000;
/// UIDs of a command that are not in the session's view and are still asked of the store: they may have been moved
/// by the server (design section 3). Clients name such mails one by one.
pub const GONE_UIDS_MAX: usize = 1000;
/// Depth of parentheses, NOT and OR in SEARCH. The evaluation recurses this deep.
pub const SEARCH_DEPTH_MAX: usize = 32;
/// Keys in one SEARCH.
pub const SEARCH_KEYS_MAX: usize = 1000;
/// Keys in one SORT: there are nine, and no sense in naming one twice.
pub const SORT_KEYS_MAX: usize = 9;
/// Searches whose results a session follows at once (RFC 5267 §4.3.1 asks for one and recommends more): each change of
/// the mailbox is judged by each.
pub const CONTEXTS_MAX: usize = 8;
/// Results of such a search: what is remembered is about 100 octets of each, if they are sorted.
pub const CONTEXT_RESULTS_MAX: usize = 100_000;
/// Groups of events in one NOTIFY: each name is held against each.
pub const NOTIFY_GROUPS_MAX: usize = 64;
/// Mailboxes and subscriptions together that NOTIFY keeps an eye on for one session, about 100 octets each; asking for
/// more is refused, and growing beyond it ends the notifications (RFC 5465 §5.8). Twice what the largest users have.
pub const NOTIFY_MAILBOXES_MAX: usize = 2000;
/// Octets of their names together.
pub const NOTIFY_NAMES_BYTES_MAX: usize = 128 * 1024;
/// Names of changed annotations that wait for a session that is busy; more end its notifications.
pub const NOTIFY_ANNOTATIONS_MAX: usize = 200;
/// Mailboxes one ESEARCH goes through; each is opened for it.
pub const MULTISEARCH_MAILBOXES_MAX: usize = 1000;
/// Ancestors that threading looks at before it makes a link, to be sure that it closes no ring. A deeper thread falls
/// into two; the longest seen on public lists have some hundred levels.
pub const THREAD_ANCESTORS_MAX: usize = 4096;
/// Message-IDs read from one References, the newest ones. As converter's own bound for the rules of the house.
pub const THREAD_REFERENCES_MAX: usize = 500;
/// How long a command runs before it says so, and how often (RFC 9585 §4 leaves the interval to the server; clients
/// give up after a minute of silence).
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
/// Items in one FETCH.
pub const FETCH_ITEMS_MAX: usize = 100;
/// Field names in one HEADER.FIELDS. Outlook asks for about 12, Thunderbird for 25.
pub const HEADER_FIELDS_MAX: usize = 200;
/// Numbers in a part path: the depth converter reads MIME to, and more.
pub const PART_DEPTH_MAX: usize = 100;
/// Flags in one command.
pub const FLAGS_MAX: usize = 64;
/// Octets of one keyword.
pub const KEYWORD_BYTES_MAX: usize = 255;
/// Keywords a mailbox's FLAGS response names; each may be set for as long as it is used at all.
pub const KEYWORDS_ANNOUNCED_MAX: usize = 500;
/// Octets of a mailbox name in UTF-8; the store's own limit is 1024.
pub const MAILBOX_NAME_BYTES_MAX: usize = 1000;
/// Levels of a mailbox name.
pub const MAILBOX_LEVELS_MAX: usize = 32;
/// Patterns in one extended LIST.
pub const LIST_PATTERNS_MAX: usize = 50;
/// Wildcards in one pattern: matching costs at most pattern × name.
pub const LIST_WILDCARDS_MAX: usize = 20;
/// Capabilities in one ENABLE: clients name a handful, we have under a hundred.
pub const ENABLE_NAMES_MAX: usize = 100;
/// Parameters of ID (RFC 2971 §3.3 allows 30).
pub const ID_PARAMETERS_MAX: usize = 30;

/// Annotations named in one GETMETADATA, SETMETADATA or LIST.
pub const METADATA_ENTRIES_MAX: usize = 100;
/// Options of one GETMETADATA: there are two.
pub const METADATA_OPTIONS_MAX: usize = 10;

/// Wrong commands in a row before the connection is closed. Dovecot's number.
pub const BAD_COMMANDS_MAX: u32 = 20;
/// Failed logins on one connection before it is closed. The house throttles accounts; this ends dumb guessing.
pub const LOGIN_FAILURES_MAX: u32 = 5;
/// Connections served at once; each costs up to 40 KiB while idle.
pub const CONNECTIONS_MAX: usize = 10_000;

/// How long a connection may stay without a login.
pub const LOGIN_DEADLINE: Duration = Duration::from_secs(60);
/// How long a TLS handshake may take.
pub const TLS_HANDSHAKE_DEADLINE: Duration = Duration::from_secs(30);
/// Silence after which a session is ended (RFC 3501 §5.4: at least 30 minutes), in IDLE too.
pub const AUTOLOGOUT: Duration = Duration::from_secs(31 * 60);
/// How long the rest of a begun command may take to arrive, counted from its last octet.
pub const COMMAND_STALL: Duration = Duration::from_secs(5 * 60);
/// How long a client may refuse to take our output.
pub const WRITE_STALL: Duration = Duration::from_secs(5 * 60);
/// How often IDLE says something, so that middle boxes keep the connection (Dovecot's two minutes).
pub const IDLE_KEEPALIVE: Duration = Duration::from_secs(120);
/// How long sessions get to say BYE when the server stops.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(5);
/// Sessions that are woken before the many when their mailbox changes: what the processors write in a millisecond.
pub const WOKEN_FIRST: usize = 32;
/// How long a connection that we ended is still read from, so that the client reads its BYE.
pub const CLOSE_LINGER: Duration = Duration::from_secs(2);
/// The delay before a failed login is answered: slows guessing on one connection, and no client notices.
pub const LOGIN_FAILURE_DELAY: Duration = Duration::from_millis(300);

/// How hard answers are compressed, 0 to 9: little is won above 3, and much time lost.
pub const COMPRESSION_LEVEL: i32 = 3;
/// Octets inflated at once. Input that blows up comes in such pieces, each looked at before the next.
pub const INFLATE_PIECE_BYTES: usize = 16 * 1024;
/// The silence after which a compressor (some 300 KiB) is given back; the next one begins anew.
pub const COMPRESSOR_KEPT: Duration = Duration::from_secs(5);

/// Output that is gathered before it is written to the socket.
pub const OUTPUT_FLUSH_BYTES: usize = 128 * 1024;
/// Buffers above this size are given back when a session waits.
pub const BUFFER_KEEP_BYTES: usize = 4 * 1024;
/// Octets read from the socket at once while a command is awaited.
pub const READ_BYTES: usize = 4 * 1024;
/// Octets read from the socket at once within a large literal.
pub const READ_LITERAL_BYTES: usize = 64 * 1024;
/// Octets of an attachment read, decrypted and encoded at once.
pub const ATTACHMENT_PIECE_BYTES: u64 = 768 * 1024;

/// Messages whose summaries are read from the store in one call.
pub const SUMMARY_BATCH: usize = 512;
/// Octets of decoded summaries kept for one account, while it has a session: 6000 mails are about 12 MiB.
pub const SUMMARY_CACHE_BYTES: usize = 48 * 1024 * 1024;
/// Agreed secrets that are sealed and written together: 36 KiB.
pub const AGREEMENT_PAGE: usize = 512;
/// Pages of them kept for one account: the secrets of 98,304 mails, each of which came minutes after the last. What one
/// opener remembers is more, so that mails beyond these do not make it forget them.
pub const AGREEMENT_PAGES_MAX: u32 = 192;
/// New agreements that are worth a write: the next session computes fewer in 1.3 ms.
pub const AGREEMENTS_WORTH_KEEPING: usize = 32;
/// Full pages that one session rewrites because messages of theirs are gone; the next session does the others.
pub const STALE_PAGES_MAX: usize = 16;
/// Messages whose contents are read from the store in one call.
pub const CONTENT_BATCH: usize = 256;
/// Octets of contents (by RFC822.SIZE) read in one call; a larger message goes alone.
pub const CONTENT_BATCH_BYTES: u64 = 1024 * 1024;
/// Octets of the last opened content a session keeps, for clients that fetch a mail in pieces.
pub const CONTENT_KEPT_BYTES: usize = 8 * 1024 * 1024;
/// Octets of a message's text that SEARCH BODY and TEXT look into; what follows is not searched.
pub const SEARCH_TEXT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Octets of a header or a text that are decoded at once for the filter of an arriving message. A longer text is taken line
/// by line where its encoding allows; else the filter rules out nothing.
pub const FILTERED_AT_ONCE_BYTES: usize = 256 * 1024;
/// Octets of a message's trigram filter with what sealing adds: a sixteenth of its size, between these. At 4 bits for
/// each different trigram of 4 KiB of prose, a word of six letters that is not there passes in one message of a hundred.
pub const TRIGRAM_BYTES_MIN: usize = 32;
/// The other end: some 10,000 different trigrams, as a long text has, fill it by half.
pub const TRIGRAM_BYTES_MAX: usize = 2048;
/// Messages whose filters are read from the store in one call.
pub const FILTER_BATCH: usize = 512;
/// Messages whose filters are asked at once: what a search through a larger mailbox holds beside the cache.
pub const FILTER_PORTION: usize = 8192;
/// Octets of opened filters kept for one account while it has a session: those of 50,000 mails of 5 KiB.
pub const FILTER_CACHE_BYTES: usize = 32 * 1024 * 1024;
/// Threads that open one batch: what one session may take while others wait too.
pub const OPENING_THREADS: usize = 2;

/// The oldest INTERNALDATE shown: Apple Mail fails on dates before 1982 (mail.md quirk 17). 1982-01-01 UTC.
pub const INTERNAL_DATE_MIN_MS: i64 = 378_691_200_000;

const _: () = assert!(LITERAL_BYTES_MAX <= APPEND_BYTES_MAX, "the largest literal is an APPEND's");
const _: () = assert!(APPEND_BYTES_MAX <= APPEND_COMMAND_BYTES_MAX, "the largest message can be appended");
const _: () = assert!(APPEND_COMMAND_BYTES_MAX <= APPEND_BYTES_IN_FLIGHT_MAX, "one APPEND always finds room");
const _: () = assert!(APPEND_MESSAGES_MAX < LITERALS_MAX, "one message too many is told, not cut off");
const _: () = assert!(AGREEMENT_PAGES_MAX as usize <= store::limits::AGREEMENT_PAGES_MAX, "each page is kept");
const _: () = assert!(AGREEMENT_PAGES_MAX as usize * AGREEMENT_PAGE < lnmp::limits::OPENER_EPOCHS_MAX, "room is left");
const _: () = assert!(READ_BYTES <= BUFFER_KEEP_BYTES, "an idle session keeps one read buffer");
