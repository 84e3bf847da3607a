//! What `imap` needs of `attachments`, from its own sources, and a shelf in memory without encryption.
#![allow(dead_code, reason = "the sources serve the real shelf too")]

#[path = "../../../attachments/src/error.rs"]
pub mod error;
#[path = "../../../attachments/src/limits.rs"]
pub mod limits;
#[path = "../../../attachments/src/shelf.rs"]
pub mod shelf;
#[path = "../../../attachments/src/stream.rs"]
pub mod stream;

pub use error::{Error, Result};
pub use shelf::{Collected, Plaintext, Shelf};

pub mod memory {
    //! The shelf.

    use std::collections::{HashMap, HashSet};
    use std::ops::Range;
    use std::sync::Mutex;
    use std::time::SystemTime;

    use bytes::{Bytes, BytesMut};
    use futures::StreamExt as _;
    use lnmp::AttachmentRef;

    use crate::{Collected, Error, Plaintext, Result, Shelf};

    /// Plaintexts by number.
    #[derive(Default)]
    pub struct MemoryShelf(Mutex<HashMap<String, Bytes>>);

    impl MemoryShelf {
        /// An empty one.
        pub fn new() -> Self {
            Self::default()
        }
    }

    #[async_trait::async_trait]
    impl Shelf for MemoryShelf {
        async fn put_stream(&self, size: u64, mut plaintext: Plaintext<'_>) -> Result<AttachmentRef> {
            let mut octets = BytesMut::new();
            while let Some(piece) = plaintext.next().await {
                octets.extend_from_slice(&piece.map_err(Error::Source)?);
            }
            let mut stored = self.0.lock().unwrap();
            let cid = stored.len().to_string();
            stored.insert(cid.clone(), octets.freeze());
            Ok(AttachmentRef { cid, key: [0; 32], size, sha256: [0; 32] })
        }

        async fn read(&self, reference: &AttachmentRef, range: Range<u64>) -> Result<Bytes> {
            let missing = || Error::Missing { cid: reference.cid.clone() };
            let plaintext = self.0.lock().unwrap().get(&reference.cid).cloned().ok_or_else(missing)?;
            Ok(plaintext.slice(range.start as usize..range.end as usize))
        }

        async fn remove(&self, _: &str) -> Result<()> {
            Ok(())
        }

        async fn restore_pins(&self, _: &[String]) -> Result<Vec<String>> {
            Ok(Vec::new())
        }

        async fn collect(&self, _: &HashSet<String>, _: SystemTime) -> Result<Collected> {
            Ok(Collected::default())
        }

        async fn stop(&self) {}
    }
}
