//! Where content waits until it is committed: memory, and beyond 256 KiB a file that only this process can read.
//!
//! Each file has a random AES-256-GCM key of its own that never leaves memory, and loses its name as soon as it is
//! open; a crash leaves at most unreadable, nameless blocks. Chunk *n* is sealed under nonce *n*: the key is used for
//! one file, so no nonce comes twice.

use crate::limits::{SPOOL_CHUNK_BYTES, SPOOL_MEMORY_BYTES, SPOOL_TOTAL_BYTES};
use rand::RngCore as _;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
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
        let memory = std::mem::take(&mut self.memory);
        let (area, file) = (self.area.clone(), self.file.take());
        let (file, rest) = blocking(move || {
            let mut file = match file {
                Some(file) => file,
                None => SealedFile::create(&area)?,
            };
            let whole = memory.len() - memory.len() % SPOOL_CHUNK_BYTES;
            for chunk in memory[..whole].chunks(SPOOL_CHUNK_BYTES) {
                file.push(chunk)?;
            }
            Ok((file, memory[whole..].to_vec()))
        })
        .await?;
        (self.file, self.memory) = (Some(file), rest);
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

    /// Everything at once; no copy when it is in memory.
    pub async fn read_all(self) -> Result<Vec<u8>, SpoolError> {
        match self.0 {
            Kept::Memory(content) => Ok(content),
            Kept::File { mut file, bytes } => {
                blocking(move || {
                    let mut all = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
                    file.rewind()?;
                    while let Some(chunk) = file.next()? {
                        all.extend_from_slice(&chunk);
                    }
                    Ok(all)
                })
                .await
            }
        }
    }

    /// Chunk by chunk: at most 64 KiB of a large message are in memory.
    pub fn into_reader(self) -> SpoolReader {
        SpoolReader { kept: Some(self.0), begun: false }
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("bytes", &self.len()).finish_non_exhaustive()
    }
}

/// Hands content out in order.
pub struct SpoolReader {
    kept: Option<Kept>,
    begun: bool,
}

impl SpoolReader {
    /// The next chunk; `None` after the last.
    pub async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, SpoolError> {
        match self.kept.take() {
            None => Ok(None),
            Some(Kept::Memory(content)) => Ok(Some(content).filter(|content| !content.is_empty())),
            Some(Kept::File { mut file, bytes }) => {
                let begun = std::mem::replace(&mut self.begun, true);
                let (file, chunk) = blocking(move || {
                    if !begun {
                        file.rewind()?;
                    }
                    let chunk = file.next()?;
                    Ok((file, chunk))
                })
                .await?;
                self.kept = chunk.is_some().then_some(Kept::File { file, bytes });
                Ok(chunk)
            }
        }
    }
}

/// A nameless file of sealed chunks.
struct SealedFile {
    file: File,
    key: LessSafeKey,
    chunks: u64,
    read: u64,
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
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        std::fs::remove_file(&path)?;
        let key = LessSafeKey::new(key);
        Ok(Box::new(Self { file, key, chunks: 0, read: 0, disk_bytes: 0, area: area.clone() }))
    }

    fn push(&mut self, plain: &[u8]) -> Result<(), SpoolError> {
        let size = (plain.len() + TAG_BYTES) as u64;
        let used = self.area.used_bytes.fetch_add(size, Ordering::Relaxed) + size;
        self.disk_bytes += size;
        if used > self.area.total_bytes {
            return Err(SpoolError::Full);
        }
        let mut sealed = plain.to_vec();
        self.key
            .seal_in_place_append_tag(nonce(self.chunks), Aad::empty(), &mut sealed)
            .map_err(|_| SpoolError::Damaged)?;
        self.chunks += 1;
        self.file.write_all(&sealed).map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SpoolError::Full,
            _ => SpoolError::Io(error),
        })
    }

    fn rewind(&mut self) -> Result<(), SpoolError> {
        self.read = 0;
        Ok(self.file.rewind()?)
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, SpoolError> {
        if self.read == self.chunks {
            return Ok(None);
        }
        let mut sealed = Vec::with_capacity(SPOOL_CHUNK_BYTES + TAG_BYTES);
        (&self.file).take((SPOOL_CHUNK_BYTES + TAG_BYTES) as u64).read_to_end(&mut sealed)?;
        let plain_bytes =
            self.key.open_in_place(nonce(self.read), Aad::empty(), &mut sealed).map_err(|_| SpoolError::Damaged)?.len();
        sealed.truncate(plain_bytes);
        self.read += 1;
        Ok(Some(sealed))
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

            let mut reader = spooled(&area, &content).await.unwrap().into_reader();
            let mut chunks = Vec::new();
            while let Some(chunk) = reader.next_chunk().await.unwrap() {
                chunks.extend_from_slice(&chunk);
            }
            assert!(chunks == content, "{bytes}");
        }
        assert_eq!(area.used_bytes.load(Ordering::Relaxed), 0, "dropped spools give their room back");
    }

    #[tokio::test]
    async fn no_file_is_left_with_a_name_or_in_the_clear() {
        let directory = tempfile::tempdir().unwrap();
        let area = SpoolArea::open(directory.path()).unwrap().with_bounds(10, u64::MAX);
        let spool = spooled(&area, &b"secret ".repeat(30_000)).await.unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let Kept::File { mut file, .. } = spool.0 else { panic!("not on disk") };
        let mut raw = Vec::new();
        file.file.rewind().unwrap();
        file.file.read_to_end(&mut raw).unwrap();
        assert!(raw.len() > 200_000 && !raw.windows(7).any(|window| window == b"secret "));
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
