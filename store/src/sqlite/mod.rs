//! The store on SQLite: one file, one writer, a few readers.
//!
//! ```text
//!   Store (boundary.rs) ──reads──▶ reader.rs ──▶ accounts · mailboxes · entries · messages · gates …
//!                       ──writes─▶ writer.rs ──▶ the same, in a savepoint; verdicts.rs and payments.rs decide
//! ```
//! Start at [`Sqlite::open`]; `migrations/` holds the schema, `vault.rs` what of it is ciphertext.
//!
//! Folders. INBOX, Requests and Unpaid can be neither renamed nor deleted. Sent, Drafts, Archive, Junk and
//! Trash can be renamed, and keep their meaning under the new name; they cannot be deleted, because the server
//! itself files into them. A desk's Queue can be turned off, and else neither. Renaming INBOX, which RFC 3501 §6.3.5 makes a mass move, is refused.
//!
//! Deleted rows are not overwritten (`secure_delete` is off): what lingers in free pages and in the WAL is
//! ciphertext like everything else.
//!
//! A quote is refused ([`lnmp::CancelReason::Gone`]) while its mail does not lie in Unpaid: whoever put it to
//! Junk or Trash, or expunged it, does not want it raised.

mod accounts;
mod agreements;
mod annotations;
mod audit;
mod backup;
mod boundary;
mod contacts;
mod db;
mod desk;
mod digests;
mod entries;
mod escrow;
mod gates;
mod jobs;
mod keywords;
mod ledger;
mod mailboxes;
mod messages;
mod payments;
mod queue;
mod quotas;
mod reader;
mod schema;
mod sent_copies;
mod sharing;
mod system_flags;
#[cfg(test)]
mod tests;
mod vault;
mod verdicts;
mod vouchers;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lnmp::BridgeKey;
use tokio::sync::{Notify, broadcast};

use crate::limits::WATCH_BACKLOG;
use crate::{Change, Result, Rules};
use reader::Readers;
use vault::Vault;
use writer::Writer;

/// The store on SQLite. Dropping it without [`crate::Store::close`] loses nothing: the next start reads the WAL.
pub struct Sqlite {
    writer: Writer,
    readers: Arc<Readers>,
    vault: Arc<Vault>,
    changes: broadcast::Sender<Change>,
    jobs: Arc<Notify>,
    path: PathBuf,
}

impl Sqlite {
    /// Opens the database at `path`, making it (mode 0600) when there is none. Blocks: call it before serving.
    ///
    /// # Errors
    /// [`crate::StoreError::Damaged`] for a database of a newer version or of another bridge key,
    /// [`crate::StoreError::Disk`] when it cannot be made or read.
    pub fn open(path: &Path, key: BridgeKey, rules: Arc<dyn Rules>) -> Result<Arc<Self>> {
        let vault = Arc::new(Vault::new(&key));
        let conn = schema::open_writer(path, &vault)?;
        let (changes, _) = broadcast::channel(WATCH_BACKLOG);
        let jobs = Arc::new(Notify::new());
        let readers = Readers::open(path, vault.clone())?;
        let writer = Writer::start(path, conn, vault.clone(), rules, changes.clone(), Arc::clone(&jobs))?;
        Ok(Arc::new(Self { writer, readers, vault, changes, jobs, path: path.to_owned() }))
    }
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sqlite")
    }
}
