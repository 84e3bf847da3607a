//! What can go wrong here, and whose doing it is.

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The thing named does not exist (any more).
    #[error("no such {0}")]
    NoSuch(&'static str),
    /// The name or address is taken.
    #[error("{0} exists already")]
    Exists(&'static str),
    /// A mailbox that the design keeps cannot be renamed or deleted.
    #[error("{0}")]
    Cannot(&'static str),
    /// The account's mailboxes hold as much as they may.
    #[error("the account is over its quota")]
    OverQuota,
    /// The user lacks this right in the mailbox (RFC 4314).
    #[error("the right {0} is missing")]
    Denied(char),
    /// A limit of [`crate::limits`] is reached.
    #[error("limit reached: {0}")]
    Limit(&'static str),
    /// The disk is full or failing: temporary, nothing was changed.
    #[error("the disk is full or failing: {0}")]
    Disk(String),
    /// The engine is closing or overloaded: temporary, nothing was changed.
    #[error("the store is busy or closing")]
    Busy,
    /// Our bug, or a damaged database.
    #[error("the database is damaged or inconsistent: {0}")]
    Damaged(String),
}

impl StoreError {
    /// Whether trying again later can help.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Disk(_) | Self::Busy)
    }
}
