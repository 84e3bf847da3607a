//! The real shelf: an embedded IPFS node (rust-ipfs) that keeps to itself.
//!
//! ```text
//!   pack       plaintext ─▶ sealed chunks ─▶ leaves and root      (pure)
//!   blocks     block files, durable, in the node's own repository
//!   tree       root ─▶ leaves ─▶ the octets of a chunk
//!   node       starts and stops the node; fetches a missing block from a peer, when there can be any
//! ```
//! The node has bitswap and identify, and nothing else: no DHT, mDNS, pubsub, relay, bootstrap peers or
//! announcements. By default it opens no socket at all; with [`Listen::Loopback`] it serves other processes of
//! this machine. Its key is made anew at every start: nobody needs to know its PeerId from before, and a key that
//! is never on disk cannot be read there.
//!
//! Pins live in memory, and come back from our own database by [`Shelf::restore_pins`]: rust-ipfs's pins on disk
//! are not crash-safe by its own account. The node's garbage collector is never started; [`Shelf::collect`], which
//! goes by the database, takes its place.

pub(crate) mod blocks;
mod node;
pub(crate) mod pack;
pub(crate) mod reference;
mod tree;

#[cfg(test)]
mod tests;

use futures::future::LocalBoxFuture;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use ipld_core::cid::Cid;
use lnmp::AttachmentRef;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use self::blocks::{Blocks, Unfinished};
use self::node::Node;
use self::pack::{Out, Packed, Packer};
use self::reference::Reference;
use self::tree::SealedFile;
use crate::error::{Error, Result};
use crate::limits::{
    FETCH_DEADLINE, LEAVES_MAX, PUT_BATCH_BYTES, PUT_STALL_MAX, PUTS_AT_ONCE, READS_AT_ONCE, STAMP_SLACK,
    WRITES_PER_PUT,
};
use crate::shelf::{Collected, Plaintext, Shelf};
use crate::stream::{self, Layout};

/// Whether other processes may reach the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Listen {
    /// No transport, no socket: blocks come and go through the shelf only.
    #[default]
    Nowhere,
    /// TCP with Noise on 127.0.0.1; 0 picks a port. Whoever can connect can fetch a block whose CID they know: the
    /// CIDs stand in sealed messages, and the blocks are ciphertext.
    Loopback(u16),
}

/// How to start an [`IpfsShelf`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// The repository's directory; made if it is missing. One process at a time.
    pub dir: PathBuf,
    /// Who may reach the node.
    pub listen: Listen,
    /// How long a read waits for blocks that are not here. Without peers there is nothing to wait for, and it
    /// fails at once.
    pub fetch_deadline: Duration,
}

impl Settings {
    /// A closed node over `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), listen: Listen::Nowhere, fetch_deadline: FETCH_DEADLINE }
    }
}

/// Attachments as IPFS blocks in an embedded node.
pub struct IpfsShelf {
    blocks: Arc<Blocks>,
    node: Node,
    fetch_deadline: Duration,
    puts: Semaphore,
    reads: Semaphore,
    running: Running,
}

impl IpfsShelf {
    /// Opens the repository and starts the node. Fails with [`Error::Node`] when another process has it open.
    pub fn start(settings: Settings) -> LocalBoxFuture<'static, Result<Self>> {
        // Boxed, so that it is compiled here, once, and not again in every binary that awaits it.
        Box::pin(async move {
            let dir = settings.dir.clone();
            let blocks = blocking(move || Ok(Blocks::open(&dir)?)).await?;
            let node = Node::start(&settings.dir, settings.listen).await?;
            Ok(Self {
                blocks: Arc::new(blocks),
                node,
                fetch_deadline: settings.fetch_deadline,
                puts: Semaphore::new(PUTS_AT_ONCE),
                reads: Semaphore::new(READS_AT_ONCE),
                running: Running::default(),
            })
        })
    }

    /// Addresses that other nodes can [`IpfsShelf::connect`] to; none unless the node listens.
    pub async fn addresses(&self) -> Result<Vec<String>> {
        self.node.addresses().await
    }

    /// Connects to another node of ours, by an address from its [`IpfsShelf::addresses`]. Blocks that are missing
    /// here are asked of connected peers. The dial is begun, not awaited; a read waits for what it needs.
    pub async fn connect(&self, address: &str) -> Result<()> {
        self.node.connect(address).await
    }

    /// Seals, packs and writes; a leaf is synced while the next is written.
    async fn store(&self, packer: Packer, mut plaintext: Plaintext<'_>, writes: &mut Writes) -> Result<Packed> {
        let mut put = Put { packer, blocks: self.blocks.clone(), leaf: None, complete: Vec::new() };
        let mut rest = Bytes::new();
        loop {
            let batch = next_batch(&mut plaintext, &mut rest).await?;
            if batch.is_empty() {
                break;
            }
            put = blocking(move || {
                batch.iter().try_for_each(|piece| put.feed(piece))?;
                Ok(put)
            })
            .await?;
            for (cid, leaf) in put.complete.drain(..) {
                writes.begin(&self.blocks, cid, leaf).await?;
            }
        }
        let (packed, blocks) = blocking(move || put.finish()).await?;
        for (cid, block) in blocks {
            writes.begin(&self.blocks, cid, block).await?;
        }
        writes.finish().await?;
        let (blocks, cids) = (self.blocks.clone(), writes.cids.clone());
        blocking(move || Ok(blocks.sync_names(&cids)?)).await?;
        Ok(packed)
    }

    /// Deletes an attachment's blocks: leaves first, so that a root without its leaves can be removed again, and no
    /// leaves stay behind whose root is gone.
    async fn delete(&self, mut cids: Vec<Cid>, root: Cid) -> Result<()> {
        if cids.last() != Some(&root) {
            cids.push(root);
        }
        let blocks = self.blocks.clone();
        blocking(move || Ok(cids.iter().try_for_each(|cid| blocks.remove(cid))?)).await
    }

    async fn leaves(&self, root: Cid) -> Result<Vec<Cid>> {
        let blocks = self.blocks.clone();
        blocking(move || tree::leaves(&blocks, &root)).await
    }

    async fn read_here(&self, reference: &AttachmentRef, range: Range<u64>) -> Result<Bytes> {
        let (blocks, reference) = (self.blocks.clone(), reference.clone());
        blocking(move || {
            let parsed = Reference::parse(&reference)?;
            let mut sealed = SealedFile::open(&blocks, &parsed)?;
            let plain = stream::open_range(&reference.key, parsed.layout, range, &mut sealed)
                .map_err(|fault| fault.within(&reference.cid))?;
            reference::check_whole(&reference, &plain)?;
            Ok(plain.into())
        })
        .await
    }

    /// Gets a block from a peer and keeps it.
    async fn fetch(&self, cid: &str, deadline: Instant) -> Result<()> {
        let block = reference::parse_cid(cid)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let data = self.node.fetch(&block, left).await?.ok_or_else(|| Error::Missing { cid: cid.to_owned() })?;
        let blocks = self.blocks.clone();
        blocking(move || {
            if !blocks.contains(&block)? {
                blocks.write(&block, &data)?;
                blocks.sync_names(&[block])?;
            }
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Shelf for IpfsShelf {
    async fn put_stream(&self, size: u64, plaintext: Plaintext<'_>) -> Result<AttachmentRef> {
        self.node.running()?;
        let layout = Layout::new(size).map_err(|error| Error::from_stream(error, ""))?;
        let turn = timeout(PUT_STALL_MAX, self.puts.acquire()).await;
        let _turn = turn.map_err(|_| Error::Unavailable("too busy"))?.map_err(|_| Error::Unavailable("stopped"))?;
        let _running = self.running.begin(SystemTime::now());

        let key = reference::fresh_key()?;
        let mut writes = Writes::default();
        let stored = self.store(Packer::new(&key, layout), plaintext, &mut writes).await;
        let pinned = match stored {
            Ok(packed) => self.node.pin(packed.root, &writes.leaves()).await.map(|()| packed),
            Err(error) => Err(error),
        };
        match pinned {
            Ok(packed) => Ok(AttachmentRef { cid: packed.root.to_string(), key: *key, size, sha256: packed.sha256 }),
            Err(error) => {
                writes.undo(&self.blocks).await;
                Err(error)
            }
        }
    }

    async fn read(&self, reference: &AttachmentRef, range: Range<u64>) -> Result<Bytes> {
        self.node.running()?;
        let parsed = Reference::parse(reference)?;
        parsed.layout.check(&range).map_err(|error| Error::from_stream(error, &reference.cid))?;
        let deadline = Instant::now() + self.fetch_deadline;
        let turn = timeout(self.fetch_deadline, self.reads.acquire()).await;
        let _turn = turn.map_err(|_| Error::Unavailable("too busy"))?.map_err(|_| Error::Unavailable("stopped"))?;
        // Each round gets one block that was missing; there are no more than the leaves and the root.
        for _ in 0..=LEAVES_MAX {
            match self.read_here(reference, range.clone()).await {
                Err(Error::Missing { cid }) => self.fetch(&cid, deadline).await?,
                done => return done,
            }
        }
        Err(Error::Missing { cid: reference.cid.clone() })
    }

    async fn remove(&self, cid: &str) -> Result<()> {
        self.node.running()?;
        let root = reference::parse_cid(cid)?;
        let leaves = match self.leaves(root).await {
            Ok(leaves) => leaves,
            // Its leaves cannot be known: they are orphans from now on, and `collect` removes them.
            Err(Error::Missing { .. } | Error::Damaged { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        self.node.unpin(root, &leaves).await;
        self.delete(leaves, root).await
    }

    async fn restore_pins(&self, cids: &[String]) -> Result<Vec<String>> {
        let mut incomplete = Vec::new();
        for text in cids {
            self.node.running()?;
            let root = reference::parse_cid(text)?;
            let blocks = self.blocks.clone();
            let here = blocking(move || {
                let leaves = tree::leaves(&blocks, &root)?;
                for leaf in &leaves {
                    if !blocks.contains(leaf)? {
                        return Err(Error::Missing { cid: leaf.to_string() });
                    }
                }
                Ok(leaves)
            });
            match here.await {
                Ok(leaves) => self.node.pin(root, &leaves).await?,
                Err(Error::Missing { .. } | Error::Damaged { .. }) => incomplete.push(text.clone()),
                Err(error) => return Err(error),
            }
        }
        Ok(incomplete)
    }

    async fn collect(&self, keep: &HashSet<String>, before: SystemTime) -> Result<Collected> {
        self.node.running()?;
        let roots = keep.iter().map(|cid| reference::parse_cid(cid)).collect::<Result<Vec<_>>>()?;
        let before = self.running.oldest().map_or(before, |oldest| before.min(oldest - STAMP_SLACK));
        let blocks = self.blocks.clone();
        let Swept { collected, gone } = blocking(move || sweep(&blocks, &roots, before)).await?;
        for Gone { root, leaves } in gone {
            self.node.unpin(root, &leaves).await;
        }
        if collected.in_doubt > 0 {
            tracing::warn!(roots = collected.in_doubt, "attachments cannot be read; no leaf was collected");
        }
        Ok(collected)
    }

    async fn stop(&self) {
        self.node.stop().await;
    }
}

/// What [`sweep`] did, and what there is to unpin.
struct Swept {
    collected: Collected,
    gone: Vec<Gone>,
}

/// A block that was removed, with its leaves where those could be read.
struct Gone {
    root: Cid,
    leaves: Vec<Cid>,
}

/// Removes what no root in `keep` needs and that was written before `before`.
fn sweep(blocks: &Blocks, keep: &[Cid], before: SystemTime) -> Result<Swept> {
    let mut collected = Collected::default();
    let mut wanted = HashSet::new();
    for root in keep {
        wanted.insert(*root);
        match tree::leaves(blocks, root) {
            Ok(leaves) => wanted.extend(leaves),
            Err(Error::Missing { .. } | Error::Damaged { .. }) => collected.in_doubt += 1,
            Err(error) => return Err(error),
        }
    }
    let mut gone = Vec::new();
    blocks.walk(|found| {
        if found.modified >= before {
            return Ok(());
        }
        if let Some(cid) = found.cid {
            let doubtful = collected.in_doubt > 0 && reference::is_leaf(&cid);
            if doubtful || wanted.contains(&cid) {
                return Ok(());
            }
            gone.push(Gone { root: cid, leaves: tree::leaves(blocks, &cid).unwrap_or_default() });
        }
        blocks::remove_file(&found.path)?;
        collected.removed += 1;
        collected.bytes += found.bytes;
        Ok(())
    })?;
    Ok(Swept { collected, gone })
}

/// A put under way.
struct Put {
    packer: Packer,
    blocks: Arc<Blocks>,
    /// The leaf that is being written.
    leaf: Option<Unfinished>,
    /// Leaves to be synced and named.
    complete: Vec<(Cid, Unfinished)>,
}

impl Put {
    fn feed(&mut self, piece: &[u8]) -> Result<()> {
        let Self { packer, blocks, leaf, complete } = self;
        packer.feed(piece, &mut |out| take(blocks, leaf, complete, out))
    }

    /// What is left to be synced and named: the last leaf and the root.
    fn finish(self) -> Result<(Packed, Vec<(Cid, Unfinished)>)> {
        let Self { packer, blocks, mut leaf, mut complete } = self;
        let packed = packer.finish(&mut |out| take(&blocks, &mut leaf, &mut complete, out))?;
        if let Some(branch) = &packed.branch {
            let mut root = blocks.begin()?;
            root.write(branch)?;
            complete.push((packed.root, root));
        }
        Ok((packed, complete))
    }
}

fn take(
    blocks: &Blocks,
    leaf: &mut Option<Unfinished>,
    complete: &mut Vec<(Cid, Unfinished)>,
    out: Out<'_>,
) -> Result<()> {
    match out {
        Out::Octets(octets) => {
            let file = match leaf {
                Some(file) => file,
                None => leaf.insert(blocks.begin()?),
            };
            file.write(octets)?;
        }
        Out::Leaf(cid) => complete.extend(leaf.take().map(|file| (cid, file))),
    }
    Ok(())
}

/// The blocks of one put that are synced and named, a few at a time.
#[derive(Default)]
struct Writes {
    under_way: FuturesUnordered<JoinHandle<std::io::Result<()>>>,
    /// Every block of which a write was begun, in order; the root is the last.
    cids: Vec<Cid>,
}

impl Writes {
    async fn begin(&mut self, blocks: &Arc<Blocks>, cid: Cid, block: Unfinished) -> Result<()> {
        while self.under_way.len() >= WRITES_PER_PUT {
            self.one().await?;
        }
        self.cids.push(cid);
        let blocks = blocks.clone();
        self.under_way.push(tokio::task::spawn_blocking(move || blocks.complete(&block, &cid)));
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        while !self.under_way.is_empty() {
            self.one().await?;
        }
        Ok(())
    }

    async fn one(&mut self) -> Result<()> {
        match self.under_way.next().await {
            Some(Ok(written)) => Ok(written?),
            Some(Err(_)) => Err(Error::Node("a write was aborted".into())),
            None => Ok(()),
        }
    }

    /// The leaves that were written; all but the root, unless that is the only one.
    fn leaves(&self) -> Vec<Cid> {
        self.cids.iter().filter(|cid| reference::is_leaf(cid)).copied().collect()
    }

    /// Deletes what was written of a put that failed.
    async fn undo(mut self, blocks: &Arc<Blocks>) {
        while self.under_way.next().await.is_some() {}
        let (blocks, cids) = (blocks.clone(), self.cids);
        let undone = blocking(move || Ok(cids.iter().try_for_each(|cid| blocks.remove(cid))?)).await;
        if let Err(error) = undone {
            tracing::warn!(%error, "blocks of a failed put stay until they are collected");
        }
    }
}

/// About a chunk's worth of plaintext, or nothing at its end. `rest` is what was read and not yet returned.
async fn next_batch(plaintext: &mut Plaintext<'_>, rest: &mut Bytes) -> Result<Vec<Bytes>> {
    let mut batch = Vec::new();
    let mut room = PUT_BATCH_BYTES;
    while room > 0 {
        if rest.is_empty() {
            let next = timeout(PUT_STALL_MAX, plaintext.next()).await;
            match next.map_err(|_| Error::Source(std::io::ErrorKind::TimedOut.into()))? {
                Some(piece) => *rest = piece.map_err(Error::Source)?,
                None => break,
            }
        }
        let piece = rest.split_to(rest.len().min(room));
        room -= piece.len();
        // Small pieces are rare, and empty ones say nothing.
        if !piece.is_empty() {
            batch.push(piece);
        }
    }
    Ok(batch)
}

/// When the puts began that still run; their blocks are in no database yet.
#[derive(Default)]
struct Running {
    began: Arc<Mutex<(u64, BTreeMap<u64, SystemTime>)>>,
}

impl Running {
    fn begin(&self, now: SystemTime) -> impl Drop + Send + use<> {
        struct Guard(Arc<Mutex<(u64, BTreeMap<u64, SystemTime>)>>, u64);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&self.1);
            }
        }
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        began.0 += 1;
        let id = began.0;
        began.1.insert(id, now);
        Guard(self.began.clone(), id)
    }

    fn oldest(&self) -> Option<SystemTime> {
        self.began.lock().unwrap_or_else(PoisonError::into_inner).1.values().min().copied()
    }
}

/// Runs what computes for long or waits for the disk off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(Error::Node("a storage task was aborted".into())),
    }
}
