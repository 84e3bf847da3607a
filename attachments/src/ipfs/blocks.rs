//! The block files: rust-ipfs's own layout on disk, written by us so that they survive a power cut.
//!
//! rust-ipfs 0.16 keeps a block in `blockstore/<shard>/<cid>.data`, where the shard is the last three characters
//! of the CID but the last. Its own writer syncs the file, but drops errors of syncing the directory, never
//! syncs the directory that a new shard was made in, and holds one lock over all of it, so that a read waits
//! for the fsync of another mail's attachment. So we write into that layout ourselves: many blocks at a time, the
//! directories once at the end, every error reported. The node sees such blocks like its own
//! (`the_node_serves_what_the_shelf_wrote` holds that).

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use ipld_core::cid::Cid;
use ring::rand::{SecureRandom as _, SystemRandom};

/// A directory of block files. All calls block; run them off the async threads.
pub(crate) struct Blocks {
    dir: PathBuf,
    /// Shards whose own entry in `dir` is known to be durable. At most 1024 two-character names of base32.
    shards: Mutex<HashSet<String>>,
}

/// Where blocks are that have no name yet: no shard is called so.
const UNFINISHED: &str = "unfinished";

/// A block that is being written. Gone when it is dropped before it has its name.
pub(crate) struct Unfinished {
    file: File,
    path: PathBuf,
}

impl Unfinished {
    /// Adds octets.
    pub(crate) fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.file.write_all(octets)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // With a name it is not there any more. If the disk fails, `collect` finds it.
        let _ = fs::remove_file(&self.path);
    }
}

/// A file found by [`Blocks::walk`].
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// The block, or `None` for what an interrupted write left behind.
    pub(crate) cid: Option<Cid>,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
}

impl Blocks {
    /// Opens or makes `<repository>/blockstore`.
    pub(crate) fn open(repository: &Path) -> io::Result<Self> {
        let dir = repository.join("blockstore");
        let missing: Vec<_> = dir.ancestors().take_while(|dir| !dir.exists()).map(Path::to_owned).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        for made in missing {
            let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty());
            sync_dir(parent.unwrap_or_else(|| Path::new(".")))?;
        }
        match DirBuilder::new().mode(0o700).create(dir.join(UNFINISHED)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        Ok(Self { dir, shards: Mutex::default() })
    }

    /// Begins a block.
    pub(crate) fn begin(&self) -> io::Result<Unfinished> {
        let mut name = [0; 16];
        SystemRandom::new().fill(&mut name).map_err(|_| io::Error::other("the system has no randomness"))?;
        let path = self.dir.join(UNFINISHED).join(format!("{:032x}.tmp", u128::from_be_bytes(name)));
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Unfinished { file, path })
    }

    /// Syncs a block's content and gives it its name, which is durable only after [`Blocks::sync_names`].
    pub(crate) fn complete(&self, block: &Unfinished, cid: &Cid) -> io::Result<()> {
        let key = cid.to_string();
        let shard = shard(&key);
        let dir = self.dir.join(shard);
        self.make_shard(shard, &dir)?;
        block.file.sync_data()?;
        fs::rename(&block.path, dir.join(format!("{key}.data")))
    }

    /// A whole block at once.
    pub(crate) fn write(&self, cid: &Cid, data: &[u8]) -> io::Result<()> {
        let mut block = self.begin()?;
        block.write(data)?;
        self.complete(&block, cid)
    }

    /// Makes the names of blocks durable that were written before.
    pub(crate) fn sync_names(&self, cids: &[Cid]) -> io::Result<()> {
        let dirs: BTreeSet<_> = cids.iter().map(|cid| self.dir.join(shard(&cid.to_string()))).collect();
        dirs.iter().try_for_each(|dir| sync_dir(dir))
    }

    /// The open file of a block, or `None` when the block is not here.
    pub(crate) fn file(&self, cid: &Cid) -> io::Result<Option<File>> {
        match File::open(self.path(cid)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A whole block of at most `max` octets; a longer one comes back cut, and so fails its CID.
    pub(crate) fn read(&self, cid: &Cid, max: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.file(cid)? else { return Ok(None) };
        let mut data = Vec::new();
        file.take(max).read_to_end(&mut data)?;
        Ok(Some(data))
    }

    /// Whether the block is here.
    pub(crate) fn contains(&self, cid: &Cid) -> io::Result<bool> {
        self.path(cid).try_exists()
    }

    /// Deletes a block, if it is here.
    pub(crate) fn remove(&self, cid: &Cid) -> io::Result<()> {
        remove_file(&self.path(cid))
    }

    /// Shows every file of ours to `visit`, shard by shard. What is neither block nor leftover is not ours and is
    /// skipped; a file that vanishes meanwhile is skipped too.
    pub(crate) fn walk(&self, mut visit: impl FnMut(Found) -> io::Result<()>) -> io::Result<()> {
        for shard in fs::read_dir(&self.dir)? {
            let shard = shard?;
            if !shard.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(shard.path())? {
                let path = file?.path();
                let cid = match path.extension().and_then(|extension| extension.to_str()) {
                    Some("data") => {
                        let stem = path.file_stem().and_then(|stem| stem.to_str());
                        let Some(cid) = stem.and_then(|stem| Cid::try_from(stem).ok()) else { continue };
                        Some(cid)
                    }
                    Some("tmp") => None,
                    _ => continue,
                };
                let metadata = match fs::metadata(&path) {
                    Ok(metadata) => metadata,
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                visit(Found { path, cid, bytes: metadata.len(), modified: metadata.modified()? })?;
            }
        }
        Ok(())
    }

    fn path(&self, cid: &Cid) -> PathBuf {
        let key = cid.to_string();
        let mut path = self.dir.join(shard(&key));
        path.push(format!("{key}.data"));
        path
    }

    /// Whoever meets a shard for the first time syncs its entry, whether or not it was there: a crash may have come
    /// between making and syncing, and another thread may be between the two right now.
    fn make_shard(&self, name: &str, dir: &Path) -> io::Result<()> {
        if self.shards.lock().unwrap_or_else(PoisonError::into_inner).contains(name) {
            return Ok(());
        }
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => sync_dir(&self.dir)?,
        }
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        Ok(())
    }
}

/// Deletes a file, if it is there.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The two characters before the last one, as rust-ipfs has it. A CID in text is ASCII and far longer than three.
fn shard(key: &str) -> &str {
    &key[key.len() - 3..key.len() - 1]
}

/// POSIX makes a name durable only when its directory is synced.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
