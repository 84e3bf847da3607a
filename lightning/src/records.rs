//! A file of records that survives a kill at any moment: each is there whole, or not at all.
//!
//! ```text
//!   "SATREC1\n"  { length u32 LE | first 8 octets of SHA-256(payload) | payload }*
//! ```
//! A record is one write and one fdatasync. What a kill left half-written can only be the last record, so exactly
//! that is cut off on opening; damage anywhere before it is an error, because money was decided on what stood there.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use bitcoin::hashes::{Hash, sha256};
use thiserror::Error;

use crate::limits::RECORD_BYTES_MAX;

const MAGIC: &[u8; 8] = b"SATREC1\n";
const HEAD: usize = 12;

/// Why a record file cannot be used.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The disk.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Another process has it open.
    #[error("another process uses this directory")]
    InUse,
    /// It is no record file.
    #[error("not a record file")]
    NotRecords,
    /// Something before the last record is damaged.
    #[error("damaged at octet {0}: restore it, or start with a fresh directory")]
    Damaged(u64),
    /// A record that is whole says what cannot be.
    #[error("octet {at}: {what}")]
    Content {
        /// Where the record begins.
        at: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// An open record file, locked against other processes.
#[derive(Debug)]
pub struct RecordFile {
    file: File,
    len: u64,
    /// A write failed: the end of the file is unknown until the next opening.
    broken: bool,
}

impl RecordFile {
    /// Opens or creates the file and hands every record to `each`, oldest first. Returns it with the number of octets
    /// that a torn last record left behind and that were cut off.
    ///
    /// # Errors
    /// See [`RecordError`]; what `each` says becomes [`RecordError::Content`].
    pub fn open(path: &Path, mut each: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(Self, u64), RecordError> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RecordError::InUse),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if bytes.len() < MAGIC.len() {
            if !MAGIC.starts_with(&bytes) {
                return Err(RecordError::NotRecords);
            }
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(MAGIC)?;
            file.sync_all()?;
            sync_dir(path)?;
            return Ok((Self { file, len: MAGIC.len() as u64, broken: false }, bytes.len() as u64));
        }
        if !bytes.starts_with(MAGIC) {
            return Err(RecordError::NotRecords);
        }
        let mut at = MAGIC.len();
        while at < bytes.len() {
            let Some((payload, end)) = whole_record(&bytes, at)? else { break };
            each(payload).map_err(|what| RecordError::Content { at: at as u64, what })?;
            at = end;
        }
        let torn = (bytes.len() - at) as u64;
        if torn > 0 {
            file.set_len(at as u64)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::Start(at as u64))?;
        Ok((Self { file, len: at as u64, broken: false }, torn))
    }

    /// Adds a record. When it returns `Ok` the record is on the disk; when it fails, no more can be added.
    ///
    /// # Errors
    /// The disk's, or `InvalidInput` for an oversized payload.
    pub fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed; restart to recover"));
        }
        let len = u32::try_from(payload.len()).ok().filter(|len| *len as usize <= RECORD_BYTES_MAX);
        let Some(len) = len else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "record too large"));
        };
        let mut record = Vec::with_capacity(HEAD + payload.len());
        record.extend_from_slice(&len.to_le_bytes());
        record.extend_from_slice(&checksum(payload));
        record.extend_from_slice(payload);
        let written = self.file.write_all(&record).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.len += record.len() as u64,
            Err(_) => self.broken = true,
        }
        written
    }
}

/// The record at `at` and where it ends; `None` when it is the torn last one.
fn whole_record(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, RecordError> {
    let rest = &bytes[at..];
    let Some((head, _)) = rest.split_at_checked(HEAD) else { return Ok(None) };
    let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let Some(payload) = rest.get(HEAD..HEAD + len.min(RECORD_BYTES_MAX + 1)) else { return Ok(None) };
    let end = at + HEAD + payload.len();
    if checksum(payload) != head[4..HEAD] || len > RECORD_BYTES_MAX {
        // A file that was extended but not written (power loss) ends in zeros: torn as well.
        let unwritten = rest.iter().all(|byte| *byte == 0);
        return if end == bytes.len() || unwritten { Ok(None) } else { Err(RecordError::Damaged(at as u64)) };
    }
    Ok(Some((payload, end)))
}

fn checksum(payload: &[u8]) -> [u8; 8] {
    let mut out = [0; 8];
    out.copy_from_slice(&sha256::Hash::hash(payload).to_byte_array()[..8]);
    out
}

/// Makes a file's name as durable as its content.
pub(crate) fn sync_dir(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
        _ => Ok(()),
    }
}

/// Writes a small file so that it is there whole or not at all, readable by its owner alone.
pub(crate) fn write_atomic(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let partial = path.with_extension("partial");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)?;
    sync_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> Result<(Vec<Vec<u8>>, u64), RecordError> {
        let mut all = Vec::new();
        let (_, torn) = RecordFile::open(path, |record| {
            all.push(record.to_vec());
            Ok(())
        })?;
        Ok((all, torn))
    }

    fn three(path: &Path) -> Vec<u8> {
        let (mut file, _) = RecordFile::open(path, |_| Ok(())).unwrap();
        for record in [&b"one"[..], b"two", b"three"] {
            file.append(record).unwrap();
        }
        drop(file);
        std::fs::read(path).unwrap()
    }

    #[test]
    fn records_come_back_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        three(&path);
        assert_eq!(read(&path).unwrap(), (vec![b"one".to_vec(), b"two".to_vec(), b"three".to_vec()], 0));
    }

    #[test]
    fn a_file_cut_anywhere_keeps_every_whole_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let whole = three(&path);
        let ends = [8, 8 + 15, 8 + 30, 8 + 47];
        assert_eq!(whole.len(), ends[3]);
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (records, _) = read(&path).unwrap();
            assert_eq!(records.len(), ends[1..].iter().filter(|end| **end <= cut).count(), "cut at {cut}");
            let (again, torn) = read(&path).unwrap();
            assert_eq!((again, torn), (records, 0), "the torn tail is gone after one opening");
        }
    }

    #[test]
    fn damage_before_the_last_record_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut whole = three(&path);
        whole[8 + HEAD] ^= 1;
        std::fs::write(&path, &whole).unwrap();
        assert!(matches!(read(&path), Err(RecordError::Damaged(8))));
    }

    #[test]
    fn two_processes_cannot_share_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let _first = RecordFile::open(&path, |_| Ok(())).unwrap();
        assert!(matches!(RecordFile::open(&path, |_| Ok(())), Err(RecordError::InUse)));
    }
}
