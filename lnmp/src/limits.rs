//! Every bound of the protocol's words, with its reason.

/// Characters of a username. The seed's rule; with `#` and the checksum it stays under RFC 5321's 64
/// octets of local part (§4.5.3.1.1).
pub const USERNAME_CHARS_MAX: usize = 32;
/// Octets of a domain name in text (RFC 1035 §2.3.4, without the root).
pub const DOMAIN_OCTETS_MAX: usize = 253;
/// Octets of one label of a domain name (RFC 1035 §2.3.4).
pub const DOMAIN_LABEL_OCTETS_MAX: usize = 63;
/// Characters of an address checksum: 33.7 bits, enough to catch a typo, never enough to authenticate.
pub const CHECKSUM_CHARS: usize = 6;

/// Filters of one account: each is tried on every mail, and people who have more want a program.
pub const FILTERS_MAX: usize = 100;
/// Octets of one text in a filter: an address with room to spare (RFC 5321 §4.5.3.1.3).
pub const FILTER_TEXT_BYTES_MAX: usize = 256;
/// Keywords one filter sets.
pub const FILTER_KEYWORDS_MAX: usize = 8;
/// Entries of one allow-list: looked through on every mail.
pub const ALLOWED_MAX: usize = 1000;
/// How long an account may expect mail, everybody's free, in milliseconds: a day. Longer is what a temporary address
/// is for.
pub const EXPECT_MS_MAX: i64 = 24 * 60 * 60 * 1000;

/// Nesting of a JSON value that is signed. Our own headers use three levels.
pub const JSON_DEPTH_MAX: usize = 16;
/// The first integer a signed JSON value may not hold: past it, an IEEE double is not exact (RFC 7493 §2.2).
pub const JSON_INTEGER_END: u64 = 1 << 53;

/// Octets of a message header: keys, times and a list of relays; ours take about 700.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Octets of one plaintext to seal: above any mail the bridge takes, below what one AEAD call and a
/// 32-bit length can hold.
pub const PLAINTEXT_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Octets of a whole message as JSON on the wire; larger parts travel as attachments.
pub const WIRE_MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// Octets of the JSON head of a content: 4096 attachments of about 1 KiB each.
pub const CONTENT_HEAD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Attachments of one content: at 64 KiB and more each, that is a mail of 256 MiB.
pub const ATTACHMENTS_MAX: usize = 4096;

/// How long one ephemeral key serves one recipient: what a leak of the server's memory can open.
pub const EPOCH_MS_MAX: u64 = 60_000;
/// How many mails one ephemeral key serves, for the same reason.
pub const EPOCH_MAILS_MAX: u32 = 1000;
/// Recipients with a live epoch. About 200 octets each; beyond, all start anew for one ECDH each.
pub const SEALER_EPOCHS_MAX: usize = 10_000;
/// Shared secrets one opener remembers, about 100 octets each: 13 MB for an account of so many mails, each of which
/// came minutes after the last. Agreeing anew costs ten times what opening a small mail does.
pub const OPENER_EPOCHS_MAX: usize = 131_072;

/// Argon2id memory (RFC 9106 §4; OWASP's 19 MiB profile): what one guess costs an attacker, and what one
/// login costs us, times the cap on concurrent ones.
pub const ARGON2_KIB: u32 = 19 * 1024;
/// Argon2id passes.
pub const ARGON2_PASSES: u32 = 2;
/// Argon2id lanes.
pub const ARGON2_LANES: u32 = 1;
/// The most memory a stored wrap may ask for: a corrupted row must not take the machine down.
pub const ARGON2_KIB_MAX: u32 = 1024 * 1024;
/// The most passes a stored wrap may ask for.
pub const ARGON2_PASSES_MAX: u32 = 16;
/// The most lanes a stored wrap may ask for.
pub const ARGON2_LANES_MAX: u32 = 16;
/// Octets of a human password that are looked at; more only feeds the hash's first block.
pub const PASSWORD_BYTES_MAX: usize = 1024;

const _: () = assert!(ARGON2_KIB <= ARGON2_KIB_MAX && ARGON2_PASSES <= ARGON2_PASSES_MAX);
const _: () = assert!(PLAINTEXT_BYTES_MAX < u32::MAX as usize, "a plaintext's length fits its 32-bit field");
const _: () = assert!(CONTENT_HEAD_BYTES_MAX < PLAINTEXT_BYTES_MAX);
