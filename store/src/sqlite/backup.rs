//! A copy of the database while it is in use.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::schema;
use crate::{Result, StoreError};

/// Copies the database at `from` as it is at one moment into the new file `to`.
///
/// `VACUUM INTO` reads in one transaction, so that the writer goes on beside it; what it writes has no free pages, and so
/// none of what was deleted. No row is known by a number that it may change: those that count are declared keys.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    let disk = |error: std::io::Error| StoreError::Disk(error.to_string());
    // Made before, because SQLite would let others read it; it takes an empty file for a new one.
    OpenOptions::new().create_new(true).write(true).mode(0o600).open(to).map_err(disk)?;
    let name = to.to_str().ok_or_else(|| StoreError::Disk("the name of the copy is no UTF-8".into()))?;
    let conn = schema::open_reader(from)?;
    conn.execute("VACUUM INTO ?1", [name])?;
    // SQLite syncs no copy.
    File::open(to).and_then(|file| file.sync_all()).map_err(disk)?;
    let folder = to.parent().unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(disk)
}
