//! Turns a mail (RFC 5322, MIME) into LNMP content and back, byte for byte, and summarises it for IMAP.
//!
//! Stands: among the rules. Uses the words of [`lnmp`]; used by the house and by `imap`. Pure: octets in,
//! octets out, no clock, no I/O.
//!
//! ```text
//!   mail ──split──▶ cuts ──(house: encrypt, put)──▶ references ──into_content──▶ Content, sealed
//!    │                                                                              │
//!    └──Summary::of──▶ ENVELOPE, BODYSTRUCTURE, parts      Layout::pieces(range) ◀──┘
//!                                                             └─▶ just the octets a FETCH shows
//! ```
//! A mail is a slice, or [`Windows`] over wherever a large one is kept: what reads all of it takes any [`Octets`].
//! Start at [`split()`] and [`Layout`], then [`Summary`]; [`facts()`] and [`mod@fields`] serve the house.
//!
//! Promises. Whatever came in comes back, octet for octet: what is not canonical base64 is kept as it
//! is. Any octets are a mail; time and memory are linear in its size, and every part of a
//! result has a bound in [`limits`]. Each range that [`Summary::section`] names is exact.
//! Absent on purpose: decoding for display, character sets beyond names and subjects, MIME composing.
//!
//! ```
//! let mail = b"From: a@b.test\r\nSubject: hello\r\n\r\nHi!\r\n";
//! let summary = converter::Summary::of(mail);
//! assert_eq!(summary.section(&[1], converter::SectionKind::Whole), Some(34..39));
//!
//! let content = converter::split(mail).into_content(Vec::new())?;
//! let layout = converter::Layout::new(&content)?;
//! assert_eq!(layout.size(), mail.len() as u64);
//! assert_eq!(converter::join(&content, |_| [])?, mail);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod base64_form;
pub mod facts;
pub mod fields;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod layout;
pub mod limits;
pub mod octets;
mod preview;
mod render;
pub mod scan;
pub mod split;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod text;
mod words;

pub use facts::{Mailbox, MessageFacts, facts};
pub use fields::{Pick, field_values, fields, header_fields, header_length, strip_forged};
pub use layout::{Layout, LayoutError, Piece, encode_base64_range, join};
pub use octets::{Octets, ReadAt, Windows};
pub use scan::{PartKind, Structure};
pub use split::{Cut, Split, SplitError, split, split_scanned};
pub use summary::{PartRange, SectionKind, Summary, SummaryError};
pub use text::SentDate;
