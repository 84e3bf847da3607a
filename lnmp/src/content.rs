//! What a message says: the mail itself, as the recipient alone gets to see it (protocol.md §6).
//!
//! A [`Content`] is a mail split in two: the *skeleton*, every octet of the original except the large
//! attachments, and the [`Attachment`]s, each knowing where it belongs in the skeleton and how it was
//! written there. `converter` splits and joins; this module gives the halves their octets.

use crate::AttachmentRef;

/// The plaintext of a sealed message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// The subject in Unicode, where the mail has one. For other LNMP clients: the bridge's own list
    /// views read the summary.
    pub subject: Option<String>,
    /// The files taken out of the mail, in the order of their places.
    pub attachments: Vec<Attachment>,
    /// The mail without its large attachments, byte for byte.
    pub skeleton: Vec<u8>,
}

/// A file that was taken out of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Where it lies and how to decrypt it.
    pub reference: AttachmentRef,
    /// Its name, where the mail gave one. Never a path to write to: whoever saves it must sanitise.
    pub filename: Option<String>,
    /// Its media type, lower case, where the mail gave one.
    pub mime_type: Option<String>,
    /// Where it goes back to.
    pub place: AttachmentPlace,
}

/// Where an attachment's encoded body goes back into the skeleton, and in which writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachmentPlace {
    /// Offset in the skeleton before which the encoded body is inserted.
    pub at: u64,
    /// How the octets of the file become the octets of the body.
    pub encoding: Encoding,
}

/// How the octets of a file were written in the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As they are: the attachment holds the body's own octets.
    Verbatim,
    /// Canonical base64 (RFC 4648 §4, padded) in lines of one length.
    Base64 {
        /// Encoded characters per line but the last; a multiple of 4, not 0.
        line: u32,
        /// What ends each line.
        ending: LineEnding,
        /// Whether the last line has an ending too.
        final_ending: bool,
    },
}

/// What ends a line of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineEnding {
    /// CR LF, as RFC 5322 asks.
    Crlf,
    /// A bare LF.
    Lf,
}

impl LineEnding {
    /// The octets of the ending.
    pub fn octets(self) -> &'static [u8] {
        match self {
            Self::Crlf => b"\r\n",
            Self::Lf => b"\n",
        }
    }
}
