//! Every bound of this crate, with its source and reason.

/// Fields of one name that are decoded for a filter: Received, the most repeated, ends at a hundred.
pub const FIELD_VALUES_MAX: usize = 100;
/// Decoded size from which a leaf leaves the mail as an attachment of its own (design section 2).
pub const ATTACHMENT_BYTES_MIN: u64 = 64 * 1024;

/// Octets a skeleton may hold. What exceeds it goes out verbatim, so that list views, searches and
/// the database never carry a large mail, whatever shape it has. While a mail is sealed, its skeleton is in memory two or
/// three times, and a large mail has two MiB.
pub const SKELETON_BYTES_MAX: usize = 512 * 1024;

/// Attachments per mail. Each is an object of its own in the attachment store; a mail cut into more
/// pieces sends the rest out as one.
pub const ATTACHMENTS_MAX: usize = 500;

/// The top header stays in the skeleton up to this size. Sendmail's default is 32 KiB, Postfix'
/// 100 KiB: a larger one is no header any more.
pub const HEADER_KEPT_BYTES_MAX: usize = 256 * 1024;

/// Octets of one header, of the mail or of a part, that are looked into; what follows is kept and not understood. As much
/// as of a top header stays in the skeleton.
pub const PART_HEADER_BYTES_MAX: usize = HEADER_KEPT_BYTES_MAX;

/// Octets of a mail in memory at a time, where it is not all there: one chunk of a spool.
pub const WINDOW_BYTES: usize = 64 * 1024;

/// Octets after the canonical base64 of a body that stay in the skeleton: stray blank lines and the
/// footers of mailing lists. With more than that, the body counts as irregular.
pub const BASE64_TAIL_BYTES_MAX: usize = 1024;

/// Nested multiparts and messages. Dovecot's limit; honest mail stays below ten.
pub const DEPTH_MAX: usize = 100;

/// Parts per mail. Dovecot's limit; beyond it the last part takes the rest.
pub const PARTS_MAX: usize = 10_000;

/// Characters in a boundary. RFC 2046 §5.1.1 allows 70; beyond one line of RFC 5322 §2.1.1 none can match.
pub const BOUNDARY_BYTES_MAX: usize = 998;

/// Octets of header values that one summary renders into ENVELOPE and BODYSTRUCTURE. A field past
/// that shows as `NIL`; the header itself stays complete.
pub const RENDERED_BYTES_MAX: usize = 1024 * 1024;

/// Addresses that one summary renders. A one-octet address renders to 32 octets, so octets alone
/// would not bound the result.
pub const ADDRESSES_MAX: usize = 20_000;

/// Octets of the top header that a summary carries. A larger header is flagged and read from the mail.
pub const SUMMARY_HEADER_BYTES_MAX: usize = 64 * 1024;

/// Octets of a value handed to the decoder of encoded words: several times the longest subject seen.
pub const DECODED_BYTES_MAX: usize = 8 * 1024;

/// Message-IDs read from References and from In-Reply-To: the newest count, Usenet's longest threads fit.
pub const REFERENCES_MAX: usize = 500;

/// Octets of one Message-ID (RFC 5322 §2.1.1: a line). A longer one names nothing.
pub const MESSAGE_ID_BYTES_MAX: usize = 998;

/// Addresses read from one kind of field for the rules of the house.
pub const FACTS_ADDRESSES_MAX: usize = 5_000;

/// Forged fields named in the report of what was taken out; the rest is only counted.
pub const REMOVED_NAMES_MAX: usize = 32;

/// Characters of a preview (RFC 8970 §3.2: no more than 200).
pub const PREVIEW_CHARACTERS: usize = 200;

/// Encoded octets of a text that a preview reads: enough behind a newsletter's style sheet, cheap for every mail.
pub const PREVIEW_READ_BYTES: usize = 16 * 1024;

const _: () =
    assert!(BASE64_TAIL_BYTES_MAX < SKELETON_BYTES_MAX / ATTACHMENTS_MAX, "tails alone cannot fill a skeleton");
const _: () = assert!(SUMMARY_HEADER_BYTES_MAX <= HEADER_KEPT_BYTES_MAX, "a summarised header is in the skeleton");
