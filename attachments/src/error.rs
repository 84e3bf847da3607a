//! What can go wrong, named by whose doing it is.

use crate::stream::StreamError;

/// Short for a result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the shelf could not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The author of the message wrote a reference that cannot be one of ours.
    #[error("attachment reference is malformed: {0}")]
    BadReference(&'static str),

    /// The caller asked for octets the attachment does not have.
    #[error("range {start}..{end} is outside an attachment of {size} octets")]
    OutOfRange {
        /// First octet asked for.
        start: u64,
        /// One past the last octet asked for.
        end: u64,
        /// Octets there are.
        size: u64,
    },

    /// We refuse: bigger than an attachment may be.
    #[error("attachment has {size} octets, at most {max} are taken")]
    TooLarge {
        /// Octets offered.
        size: u64,
        /// See [`crate::limits::ATTACHMENT_BYTES_MAX`].
        max: u64,
    },

    /// The caller's plaintext failed, stalled, or was not as long as announced. Nothing was kept.
    #[error("reading the plaintext failed")]
    Source(#[source] std::io::Error),

    /// Temporary: a block is neither here nor came from a peer within the deadline.
    #[error("block {cid} of the attachment is missing")]
    Missing {
        /// The block, which is the attachment itself or a leaf of it.
        cid: String,
    },

    /// The stored octets do not authenticate: a damaged disk, a forged block, or the wrong key.
    #[error("attachment {cid} is damaged: {why}")]
    Damaged {
        /// The attachment.
        cid: String,
        /// What did not fit.
        why: &'static str,
    },

    /// Temporary, and the operator's concern: the disk failed or is full.
    #[error("attachment storage failed")]
    Storage(#[from] std::io::Error),

    /// The embedded IPFS node failed, or could not start (for one: another process holds its repository).
    #[error("the IPFS node failed: {0}")]
    Node(String),

    /// The shelf was stopped, or is too busy to take one more attachment now.
    #[error("the attachment shelf is {0}")]
    Unavailable(&'static str),
}

impl Error {
    /// Gives a fault of the sealed stream its name here; `cid` is the attachment it was found in.
    pub(crate) fn from_stream(error: StreamError, cid: &str) -> Self {
        match error {
            StreamError::TooLarge { size, max } => Self::TooLarge { size, max },
            StreamError::OutOfRange { start, end, size } => Self::OutOfRange { start, end, size },
            StreamError::NotAsAnnounced { .. } => {
                Self::Source(std::io::Error::new(std::io::ErrorKind::InvalidInput, error))
            }
            StreamError::Tampered { .. } => Self::Damaged { cid: cid.to_owned(), why: "a chunk does not authenticate" },
            StreamError::Truncated { .. } => {
                Self::Damaged { cid: cid.to_owned(), why: "octets are missing at the end" }
            }
        }
    }
}
