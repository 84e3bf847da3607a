//! The twin of the real shelf: same references, same encryption, same errors, in memory.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use lnmp::AttachmentRef;

use crate::error::{Error, Result};
use crate::ipfs::pack::{Out, Packer};
use crate::ipfs::reference::{self, Reference};
use crate::shelf::{Collected, Plaintext, Shelf};
use crate::stream::{self, Layout};

/// A shelf that forgets everything when it is dropped. For tests of whoever uses a [`Shelf`].
#[derive(Default)]
pub struct MemoryShelf {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stopped: bool,
    stored: HashMap<String, Stored>,
}

struct Stored {
    sealed: Vec<u8>,
    at: SystemTime,
}

impl MemoryShelf {
    /// An empty shelf.
    pub fn new() -> Self {
        Self::default()
    }

    /// Attachments on the shelf.
    pub fn len(&self) -> usize {
        self.lock().stored.len()
    }

    /// Whether nothing is on the shelf.
    pub fn is_empty(&self) -> bool {
        self.lock().stored.is_empty()
    }

    /// Changes one octet of a stored attachment, as a failing disk would. Returns whether there was such an octet.
    pub fn damage(&self, cid: &str, at: usize) -> bool {
        let mut state = self.lock();
        let octet = state.stored.get_mut(cid).and_then(|stored| stored.sealed.get_mut(at));
        octet.map(|octet| *octet ^= 1).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.stopped { Err(Error::Unavailable("stopped")) } else { Ok(state) }
    }
}

#[async_trait]
impl Shelf for MemoryShelf {
    async fn put_stream(&self, size: u64, mut plaintext: Plaintext<'_>) -> Result<AttachmentRef> {
        drop(self.running()?);
        let layout = Layout::new(size).map_err(|error| Error::from_stream(error, ""))?;
        let key = reference::fresh_key()?;
        let mut packer = Packer::new(&key, layout);
        let mut sealed = Vec::new();
        // The stream is the leaves in order.
        let mut keep = |out: Out<'_>| {
            if let Out::Octets(octets) = out {
                sealed.extend_from_slice(octets);
            }
            Ok(())
        };
        while let Some(piece) = plaintext.next().await {
            packer.feed(&piece.map_err(Error::Source)?, &mut keep)?;
        }
        let packed = packer.finish(&mut keep)?;
        let stored = Stored { sealed, at: SystemTime::now() };
        let cid = packed.root.to_string();
        self.running()?.stored.insert(cid.clone(), stored);
        Ok(AttachmentRef { cid, key: *key, size, sha256: packed.sha256 })
    }

    async fn read(&self, reference: &AttachmentRef, range: Range<u64>) -> Result<Bytes> {
        let state = self.running()?;
        let Reference { layout, .. } = Reference::parse(reference)?;
        layout.check(&range).map_err(|error| Error::from_stream(error, &reference.cid))?;
        let stored = state.stored.get(&reference.cid).ok_or_else(|| Error::Missing { cid: reference.cid.clone() })?;
        let plain = stream::open_range(&reference.key, layout, range, &mut &stored.sealed[..])
            .map_err(|error| Error::from_stream(error, &reference.cid))?;
        reference::check_whole(reference, &plain)?;
        Ok(plain.into())
    }

    async fn remove(&self, cid: &str) -> Result<()> {
        reference::parse_cid(cid)?;
        self.running()?.stored.remove(cid);
        Ok(())
    }

    async fn restore_pins(&self, cids: &[String]) -> Result<Vec<String>> {
        let state = self.running()?;
        cids.iter()
            .map(|cid| reference::parse_cid(cid).map(|_| cid))
            .filter(|cid| cid.as_ref().map_or(true, |cid| !state.stored.contains_key(*cid)))
            .map(|cid| cid.cloned())
            .collect()
    }

    async fn collect(&self, keep: &HashSet<String>, before: SystemTime) -> Result<Collected> {
        for cid in keep {
            reference::parse_cid(cid)?;
        }
        let mut collected = Collected::default();
        self.running()?.stored.retain(|cid, stored| {
            let stays = keep.contains(cid) || stored.at >= before;
            if !stays {
                collected.removed += 1;
                collected.bytes += stored.sealed.len() as u64;
            }
            stays
        });
        Ok(collected)
    }

    async fn stop(&self) {
        self.lock().stopped = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::contract::suite!(async { (MemoryShelf::new(), ()) });

    #[tokio::test]
    async fn a_damaged_octet_is_noticed() {
        let shelf = MemoryShelf::new();
        let reference = shelf.put(vec![1; 100_000].into()).await.unwrap();
        assert!(shelf.damage(&reference.cid, 70_000));
        assert!(shelf.read(&reference, 0..10).await.is_ok());
        assert!(matches!(shelf.read(&reference, 99_999..100_000).await, Err(Error::Damaged { .. })));
    }
}
