//! Where content waits until it is committed: memory, and beyond 256 KiB a file that only this process can read.
//!
//! Each file has a random AES-256-GCM key of its own that never leaves memory, and loses its name as soon as it is
//! open; a crash leaves at most unreadable, nameless blocks. Chunk *n* is sealed under nonce *n*: the key is used for
//! one file, so no nonce comes twice.

use crate::limits::{READ_BUFFER_BYTES, SPOOL_CHUNK_BYTES, SPOOL_MEMORY_BYTES, SPOOL_TOTAL_BYTES};
use rand::RngCore as _;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

const TAG_BYTES: usize = 16;
const PREFIX: &str = "spool-";

/// Why content could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk or the area's share of it is full. Temporary.
    #[error("no room for more mail content")]
    Full,
    /// The file system failed.
    #[error("spool file: {0}")]
    Io(#[from] io::Error),
    /// What was read back is not what was written.
    #[error("spool file was changed by somebody else")]
    Damaged,
}

/// A directory for content, and how much may lie there.
#[derive(Debug, Clone)]
pub struct SpoolArea {
    directory: Arc<Path>,
    memory_bytes: usize,
    total_bytes: u64,
    used_bytes: Arc<AtomicU64>,
}

impl SpoolArea {
    /// Opens (and makes) the directory; takes away what an earlier run left there.
    pub fn open(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        std::fs::create_dir_all(&directory)?;
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(Self {
            directory: directory.into(),
            memory_bytes: SPOOL_MEMORY_BYTES,
            total_bytes: SPOOL_TOTAL_BYTES,
            used_bytes: Arc::default(),
        })
    }

    /// The same with other bounds: octets of one message in memory, octets of all files together.
    pub fn with_bounds(mut self, memory_bytes: usize, total_bytes: u64) -> Self {
        (self.memory_bytes, self.total_bytes) = (memory_bytes, total_bytes);
        self
    }

    /// Begins a message.
    pub fn writer(&self) -> SpoolWriter {
        SpoolWriter { area: self.clone(), memory: Vec::new(), file: None, bytes: 0 }
    }
}

/// Content that still grows.
#[derive(Debug)]
pub struct SpoolWriter {
    area: SpoolArea,
    /// The whole content, or when there is a file the chunk that is not full yet.
    memory: Vec<u8>,
    file: Option<Box<SealedFile>>,
    bytes: u64,
}

impl SpoolWriter {
    /// Adds content.
    pub async fn append(&mut self, text: &[u8]) -> Result<(), SpoolError> {
        self.bytes += text.len() as u64;
        self.memory.extend_from_slice(text);
        let limit = if self.file.is_some() { SPOOL_CHUNK_BYTES } else { self.area.memory_bytes };
        if self.memory.len() <= limit {
            return Ok(());
        }
        let (area, file, mut memory) = (self.area.clone(), self.file.take(), std::mem::take(&mut self.memory));
        // The buffers go along and come back: a large message is written without asking for memory again.
        let (file, memory) = blocking(move || {
            let is_first = file.is_none();
            let mut file = match file {
                Some(file) => file,
                None => SealedFile::create(&area)?,
            };
            let whole = memory.len() - memory.len() % SPOOL_CHUNK_BYTES;
            for chunk in memory[..whole].chunks(SPOOL_CHUNK_BYTES) {
                file.push(chunk)?;
            }
            if is_first {
                let rest = &memory[whole..];
                let mut least = Vec::with_capacity(SPOOL_CHUNK_BYTES + READ_BUFFER_BYTES);
                least.extend_from_slice(rest);
                memory = least;
            } else {
                memory.drain(..whole);
            }
            Ok((file, memory))
        })
        .await?;
        (self.file, self.memory) = (Some(file), memory);
        Ok(())
    }

    /// The content is complete.
    pub async fn finish(mut self) -> Result<Spool, SpoolError> {
        let Some(mut file) = self.file.take() else { return Ok(Spool(Kept::Memory(self.memory))) };
        let (rest, bytes) = (std::mem::take(&mut self.memory), self.bytes);
        let file = blocking(move || {
            if !rest.is_empty() {
                file.push(&rest)?;
            }
            file.sealed = Vec::new();
            Ok(file)
        })
        .await?;
        Ok(Spool(Kept::File { file, bytes }))
    }
}

/// A complete message, dots and line ends already mended. Dropping it deletes it.
pub struct Spool(Kept);

enum Kept {
    Memory(Vec<u8>),
    File { file: Box<SealedFile>, bytes: u64 },
}

impl Spool {
    /// Content that is at hand anyway.
    pub fn from_memory(content: Vec<u8>) -> Self {
        Self(Kept::Memory(content))
    }

    /// Octets of content.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Kept::Memory(content) => content.len() as u64,
            Kept::File { bytes, .. } => *bytes,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything, when it is in memory.
    pub fn in_memory(&self) -> Option<&[u8]> {
        match &self.0 {
            Kept::Memory(content) => Some(content),
            Kept::File { .. } => None,
        }
    }

    /// Everything at once; no copy when it is in memory.
    pub async fn read_all(self) -> Result<Vec<u8>, SpoolError> {
        match self.0 {
            Kept::Memory(content) => Ok(content),
            Kept::File { bytes, .. } => {
                blocking(move || {
                    let mut all = vec![0; usize::try_from(bytes).unwrap_or(0)];
                    self.reader().read_at(0, &mut all)?;
                    Ok(all)
                })
                .await
            }
        }
    }

    /// Reads here and there: one chunk of a large message is in memory.
    pub fn reader(&self) -> SpoolReader<'_> {
        SpoolReader { spool: self, chunk: Vec::new(), index: None }
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("bytes", &self.len()).finish_non_exhaustive()
    }
}

/// Reads content by range.
pub struct SpoolReader<'s> {
    spool: &'s Spool,
    /// The chunk of the file that was opened last.
    chunk: Vec<u8>,
    index: Option<u64>,
}

impl SpoolReader<'_> {
    /// Fills `into` with the octets from `at` on, all of which must be there. Waits for the disk where the content is
    /// there: away from the threads that serve sockets.
    pub fn read_at(&mut self, at: u64, into: &mut [u8]) -> Result<(), SpoolError> {
        let past_end = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let end = at.checked_add(into.len() as u64).filter(|end| *end <= self.spool.len()).ok_or_else(past_end)?;
        let file = match &self.spool.0 {
            Kept::Memory(content) => {
                into.copy_from_slice(&content[at as usize..end as usize]);
                return Ok(());
            }
            Kept::File { file, .. } => file,
        };
        let mut filled = 0;
        while filled < into.len() {
            let place = at + filled as u64;
            let index = place / SPOOL_CHUNK_BYTES as u64;
            if self.index != Some(index) {
                self.index = None;
                file.open(index, &mut self.chunk)?;
                self.index = Some(index);
            }
            let from = (place % SPOOL_CHUNK_BYTES as u64) as usize;
            let octets = self.chunk.get(from..).filter(|octets| !octets.is_empty()).ok_or(SpoolError::Damaged)?;
            let count = octets.len().min(into.len() - filled);
            into[filled..filled + count].copy_from_slice(&octets[..count]);
            filled += count;
        }
        Ok(())
    }
}

impl fmt::Debug for SpoolReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpoolReader").field("spool", &self.spool).finish_non_exhaustive()
    }
}

/// A nameless file of sealed chunks.
struct SealedFile {
    file: File,
    key: LessSafeKey,
    chunks: u64,
    /// Where a chunk is sealed.
    sealed: Vec<u8>,
    disk_bytes: u64,
    area: SpoolArea,
}

impl SealedFile {
    fn create(area: &SpoolArea) -> Result<Box<Self>, SpoolError> {
        let mut secret = Zeroizing::new([0u8; 32]);
        rand::rngs::OsRng.fill_bytes(&mut *secret);
        let key = UnboundKey::new(&AES_256_GCM, &*secret).expect("32 octets are an AES-256 key");
        let mut name = [0u8; 16];
        rand::rngs::OsRng.fill_bytes(&mut name);
        let path = area.directory.join(format!("{PREFIX}{:032x}", u128::from_be_bytes(name)));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        options.mode(0o600);
        let file = options.open(&path)?;
        std::fs::remove_file(&path)?;
        let key = LessSafeKey::new(key);
        let sealed = Vec::with_capacity(SPOOL_CHUNK_BYTES + TAG_BYTES);
        Ok(Box::new(Self { file, key, chunks: 0, sealed, disk_bytes: 0, area: area.clone() }))
    }

    fn push(&mut self, plain: &[u8]) -> Result<(), SpoolError> {
        let size = (plain.len() + TAG_BYTES) as u64;
        let used = self.area.used_bytes.fetch_add(size, Ordering::Relaxed) + size;
        self.disk_bytes += size;
        if used > self.area.total_bytes {
            return Err(SpoolError::Full);
        }
        self.sealed.clear();
        self.sealed.extend_from_slice(plain);
        self.key
            .seal_in_place_append_tag(nonce(self.chunks), Aad::empty(), &mut self.sealed)
            .map_err(|_| SpoolError::Damaged)?;
        self.chunks += 1;
        self.file.write_all(&self.sealed).map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SpoolError::Full,
            _ => SpoolError::Io(error),
        })
    }

    /// Opens chunk `index` into `chunk`. All but the last are full.
    fn open(&self, index: u64, chunk: &mut Vec<u8>) -> Result<(), SpoolError> {
        let start = index * (SPOOL_CHUNK_BYTES + TAG_BYTES) as u64;
        let size = self.disk_bytes.saturating_sub(start).min((SPOOL_CHUNK_BYTES + TAG_BYTES) as u64);
        chunk.resize(size as usize, 0);
        self.file.read_exact_at(chunk, start)?;
        let plain_bytes =
            self.key.open_in_place(nonce(index), Aad::empty(), chunk).map_err(|_| SpoolError::Damaged)?.len();
        chunk.truncate(plain_bytes);
        Ok(())
    }
}

impl Drop for SealedFile {
    fn drop(&mut self) {
        self.area.used_bytes.fetch_sub(self.disk_bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for SealedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedFile").field("chunks", &self.chunks).finish_non_exhaustive()
    }
}

fn nonce(chunk: u64) -> Nonce {
    let mut octets = [0u8; 12];
    octets[4..].copy_from_slice(&chunk.to_be_bytes());
    Nonce::assume_unique_for_key(octets)
}

/// Disk work away from the threads that serve sockets.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, SpoolError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(stopped) => Err(SpoolError::Io(io::Error::other(stopped))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at * 31 % 251) as u8).collect()
    }

    async fn spooled(area: &SpoolArea, content: &[u8]) -> Result<Spool, SpoolError> {
        let mut writer = area.writer();
        for cut in content.chunks(10_000) {
            writer.append(cut).await?;
        }
        writer.finish().await
    }

    #[tokio::test]
    async fn content_comes_back_as_it_went_in_at_every_boundary() {
        let directory = tempfile::tempdir().unwrap();
        let area = SpoolArea::open(directory.path()).unwrap();
        for bytes in [0, 1, SPOOL_MEMORY_BYTES, SPOOL_MEMORY_BYTES + 1, 6 * SPOOL_CHUNK_BYTES, 500_001] {
            let content = content(bytes);
            let spool = spooled(&area, &content).await.unwrap();
            assert_eq!(spool.len(), bytes as u64);
            assert_eq!(matches!(spool.0, Kept::Memory(_)), bytes <= SPOOL_MEMORY_BYTES, "{bytes}");
            assert!(spool.read_all().await.unwrap() == content, "{bytes}");

            let spool = spooled(&area, &content).await.unwrap();
            assert_eq!(spool.in_memory().is_some(), bytes <= SPOOL_MEMORY_BYTES);
            let mut reader = spool.reader();
            for start in [0, 1, SPOOL_CHUNK_BYTES - 1, SPOOL_CHUNK_BYTES, bytes / 2, bytes.saturating_sub(1), bytes] {
                for count in [0, 1, 2, SPOOL_CHUNK_BYTES, 3 * SPOOL_CHUNK_BYTES + 1] {
                    let mut octets = vec![0; count];
                    let read = reader.read_at(start as u64, &mut octets);
                    match content.get(start..start + count) {
                        Some(there) => assert!(read.is_ok() && octets == there, "{bytes}: {start} {count}"),
                        None => assert!(matches!(read, Err(SpoolError::Io(_))), "{bytes}: {start} {count}"),
                    }
                }
            }
        }
        assert_eq!(area.used_bytes.load(Ordering::Relaxed), 0, "dropped spools give their room back");
    }

    #[tokio::test]
    async fn no_file_is_left_with_a_name_or_in_the_clear() {
        let directory = tempfile::tempdir().unwrap();
        let area = SpoolArea::open(directory.path()).unwrap().with_bounds(10, u64::MAX);
        let spool = spooled(&area, &b"secret ".repeat(30_000)).await.unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let Kept::File { file, .. } = spool.0 else { panic!("not on disk") };
        let mut raw = vec![0; file.disk_bytes as usize];
        file.file.read_exact_at(&mut raw, 0).unwrap();
        assert!(raw.len() > 200_000 && !raw.windows(7).any(|window| window == b"secret "));
    }

    #[tokio::test]
    async fn what_somebody_changed_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let area = SpoolArea::open(directory.path()).unwrap().with_bounds(10, u64::MAX);
        let spool = spooled(&area, &content(3 * SPOOL_CHUNK_BYTES)).await.unwrap();
        let Kept::File { file, .. } = &spool.0 else { panic!("not on disk") };
        file.file.write_all_at(b"?", (SPOOL_CHUNK_BYTES + TAG_BYTES) as u64 + 7).unwrap();
        let mut reader = spool.reader();
        let mut octets = [0; 10];
        for (at, sound) in [(5, true), (SPOOL_CHUNK_BYTES + 100, false), (2 * SPOOL_CHUNK_BYTES, true)] {
            assert_eq!(reader.read_at(at as u64, &mut octets).is_ok(), sound, "{at}");
        }
    }

    #[tokio::test]
    async fn a_full_area_says_so_and_recovers() {
        let directory = tempfile::tempdir().unwrap();
        let area = SpoolArea::open(directory.path()).unwrap().with_bounds(10, 100_000);
        assert!(matches!(spooled(&area, &content(300_000)).await, Err(SpoolError::Full)));
        assert_eq!(area.used_bytes.load(Ordering::Relaxed), 0);
        assert!(spooled(&area, &content(90_000)).await.is_ok());
    }

    #[test]
    fn leftovers_go_when_the_area_opens_and_other_files_stay() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("spool-123"), "x").unwrap();
        std::fs::write(directory.path().join("other"), "x").unwrap();
        SpoolArea::open(directory.path()).unwrap();
        let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["other"]);
    }
}
