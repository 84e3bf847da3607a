//! The boundary: what the house and the IMAP door may ask of whatever keeps attachments.

use std::collections::HashSet;
use std::ops::Range;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use lnmp::AttachmentRef;

use crate::error::Result;

/// A plaintext on its way in, in pieces of any length. An error ends the put.
pub type Plaintext<'a> = BoxStream<'a, std::io::Result<Bytes>>;

/// Keeps attachments. Every engine passes the suite in `contract.rs`.
///
/// Every method may be called from many tasks at once, and cancelled by dropping its future.
#[async_trait]
pub trait Shelf: Send + Sync {
    /// Encrypts exactly `size` octets under a fresh key, stores and pins them. When this returns, they are
    /// durable. On an error nothing is kept; if the process dies, or the future is dropped, what was written
    /// is an orphan for [`Shelf::collect`].
    ///
    /// Memory: some hundred KiB, whatever the size.
    async fn put_stream(&self, size: u64, plaintext: Plaintext<'_>) -> Result<AttachmentRef>;

    /// [`Shelf::put_stream`] for a plaintext that is in memory already.
    async fn put(&self, plaintext: Bytes) -> Result<AttachmentRef> {
        let size = plaintext.len() as u64;
        self.put_stream(size, stream::once(async { Ok(plaintext) }).boxed()).await
    }

    /// The octets `range` of the plaintext. Opens only the chunks that the range touches; a read of the whole
    /// is also held against the reference's SHA-256. Waits for missing blocks until the engine's deadline, then
    /// fails with [`crate::Error::Missing`].
    ///
    /// Memory: the range.
    async fn read(&self, reference: &AttachmentRef, range: Range<u64>) -> Result<Bytes>;

    /// Unpins and deletes the attachment's blocks. Removing what is not there is fine, so it may be repeated.
    async fn remove(&self, cid: &str) -> Result<()>;

    /// Pins what our own database says is wanted; to be called at start, before anything else. Returns the CIDs
    /// whose blocks are not all here, which is for the operator to know.
    async fn restore_pins(&self, cids: &[String]) -> Result<Vec<String>>;

    /// Removes everything that was stored before `before` and that `keep` does not name. `keep` is read from the
    /// database *after* `before` was chosen, and `before` lies further back than any delivery may take from its
    /// put to its commit; blocks of puts that still run are never touched.
    async fn collect(&self, keep: &HashSet<String>, before: SystemTime) -> Result<Collected>;

    /// Stops whatever runs and lets go of the storage. Later calls fail with [`crate::Error::Unavailable`].
    async fn stop(&self);
}

/// What [`Shelf::collect`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blocks and unfinished files removed.
    pub removed: u64,
    /// Octets they took.
    pub bytes: u64,
    /// Wanted attachments whose list of leaves cannot be read. While there are any, no leaf is removed, because
    /// it could be one of theirs.
    pub in_doubt: u64,
}
