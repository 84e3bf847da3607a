//! Every bound of the web door, with its reason.

use std::time::Duration;

/// Connections at once. A pay page needs one for a moment; a browser opens up to six. Above it the kernel's
/// backlog waits: a slot comes free within [`CONNECTION_LIFE`] whatever peers do.
pub const CONNECTIONS_MAX: usize = 512;

/// Octets of a request line with its header fields. Browsers send 1 to 2 KiB; hyper's own minimum is 8 KiB.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Header fields of a request. Browsers send about 20.
pub const HEADER_FIELDS_MAX: usize = 64;

/// Octets of a request body. The largest form has a number and a Lightning address in it.
pub const BODY_BYTES_MAX: usize = 1024;

/// Octets of an autodiscover request. Outlook's has 400; the schema's fields with the longest address fit in 4 KiB.
pub const AUTODISCOVER_BYTES_MAX: usize = 4 * 1024;

/// Octets of an address. RFC 5321 §4.5.3.1.3, without the angle brackets.
pub const ADDRESS_BYTES_MAX: usize = 254;

/// How long a request's header may take to arrive, and how long a kept-alive connection may idle.
pub const HEADER_READ: Duration = Duration::from_secs(10);

/// How long a request may take from its header to the start of the answer. Making an invoice for each of
/// [`GATES_SHOWN_MAX`] mails is the slowest thing a page does.
pub const REQUEST: Duration = Duration::from_secs(30);

/// How long one connection may live; then it finishes the request it is in.
pub const CONNECTION_LIFE: Duration = Duration::from_secs(120);

/// How long that last request may take, and how long shutdown waits for all of them.
pub const CONNECTION_GRACE: Duration = Duration::from_secs(5);

/// How long accepting pauses when the process is out of file descriptors, instead of spinning.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// Mails listed on one pay page, the open ones first. An author who has more pays these first.
pub const GATES_SHOWN_MAX: usize = 50;

/// Caught mails listed at `/sandbox`, newest first.
pub const CAUGHT_SHOWN_MAX: usize = 100;

/// Octets of text shown of one caught mail; the whole is one click away as `.eml`.
pub const CAUGHT_TEXT_BYTES_MAX: usize = 32 * 1024;

/// Octets of one header field shown of a caught mail: RFC 5322 §2.1.1's line length.
pub const CAUGHT_FIELD_BYTES_MAX: usize = 998;

/// Octets of what opens a refund: a number, a hyphen, 32 digits.
pub const REFUND_TOKEN_BYTES_MAX: usize = 20 + 1 + 32;

/// Octets of an invoice that a wallet hands in (LUD-03); the longest that LDK writes have some 600.
pub const INVOICE_BYTES_MAX: usize = 4096;

/// Hex digits of a page token: 128 bits, past guessing.
pub const TOKEN_DIGITS: usize = 32;

const _: () = assert!(HEADER_BYTES_MAX >= 8192, "hyper refuses a smaller buffer");
