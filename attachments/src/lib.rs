//! Keeps attachments: each encrypted under a key of its own, stored as IPFS blocks, read by range.
//!
//! Stands: a room. Uses the words of [`lnmp`]; used by the house and by the IMAP door. Decides nothing:
//! which attachments are wanted is what the database says, and the caller passes it in.
//!
//! ```text
//!   plaintext ─▶ lnmp-stream/1 ─▶ 1 MiB leaves ─▶ blocks, fsynced ─▶ AttachmentRef {cid, key, size, sha256}
//!                65,520 B ─▶ 65,536 B chunks      (16 chunks fill a leaf)
//!   AttachmentRef + range ─▶ only the chunks the range touches are read and opened ─▶ plaintext
//! ```
//! Start at [`Shelf`] (the trait the house calls), then [`IpfsShelf`] (the embedded node), [`memory`] (its
//! twin for tests) and [`stream`] (the sealed format, which knows neither disk nor IPFS).
//!
//! Promises. When [`Shelf::put`] returns, every block survives a power cut. A put that was interrupted leaves
//! nothing, or orphans that [`Shelf::collect`] removes. No octet of plaintext and no key ever touches the
//! disk. A read never waits for a block longer than its deadline, and never returns an octet that was not
//! authenticated. The node is closed: no DHT, no discovery, no announcements, and no socket unless asked.
//! Absent on purpose: deduplication (equal files must not look equal), reference counts (the database has
//! them), clocks in decisions (`collect` is told how old an orphan must be).
//!
//! ```
//! # use attachments::{Shelf, memory::MemoryShelf};
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let shelf = MemoryShelf::new();
//! let reference = shelf.put("a letter".into()).await?;
//! assert_eq!(shelf.read(&reference, 2..8).await?, "letter");
//! # Ok::<_, attachments::Error>(()) }).unwrap();
//! ```

#[cfg(test)]
mod contract;
pub mod error;
pub mod ipfs;
pub mod limits;
pub mod memory;
pub mod shelf;
pub mod stream;

pub use error::{Error, Result};
pub use ipfs::{IpfsShelf, Listen, Settings};
pub use shelf::{Collected, Plaintext, Shelf};
