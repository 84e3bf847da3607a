//! Opened summaries: read from the store in batches, kept while the account has a session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use converter::Summary;
use store::{MessageId, Store};

use crate::access::Reader;
use crate::agreements::computed_for;
use crate::limits::{SUMMARY_BATCH, SUMMARY_CACHE_BYTES};
use crate::reply::{Stop, Tagged};

/// Opened summaries of one account, at most [`SUMMARY_CACHE_BYTES`].
///
/// Two generations: what is used moves to the young one; when that has filled half the room the old one is dropped.
/// So a list view that fits stays, and a scan through a larger mailbox costs no bookkeeping.
#[derive(Debug, Default)]
pub(crate) struct SummaryCache {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<MessageId, Arc<Summary>>,
    old: HashMap<MessageId, Arc<Summary>>,
    young_bytes: usize,
}

impl Generations {
    fn get(&mut self, id: MessageId) -> Option<Arc<Summary>> {
        if let Some(summary) = self.young.get(&id) {
            return Some(summary.clone());
        }
        let summary = self.old.remove(&id)?;
        self.insert(id, summary.clone());
        Some(summary)
    }

    fn insert(&mut self, id: MessageId, summary: Arc<Summary>) {
        self.young_bytes += footprint(&summary);
        self.young.insert(id, summary);
        if self.young_bytes > SUMMARY_CACHE_BYTES / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

/// Summaries that are opened where they are needed: another thread would cost more than the work.
const INLINE_MAX: usize = 8;

/// Octets a summary takes in memory, about.
fn footprint(summary: &Summary) -> usize {
    let Summary { envelope, body, bodystructure, header, parts, .. } = summary;
    let strings = envelope.capacity() + body.capacity() + bodystructure.capacity() + header.capacity();
    strings + parts.capacity() * size_of::<converter::PartRange>() + size_of::<Summary>() + 96
}

impl SummaryCache {
    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The summaries of `ids` in their order, `None` where the message is gone. Reads and opens what is missing.
    pub(crate) async fn get(
        &self,
        store: &Arc<dyn Store>,
        reader: &Reader,
        ids: &[MessageId],
    ) -> Result<Vec<Option<Arc<Summary>>>, Stop> {
        let (mut found, missing) = self.cached(ids);
        if missing.is_empty() {
            return Ok(found);
        }
        let Reader { account, ref opener, ref room } = *reader;
        room.agreements.load(store, reader).await;
        let mut opened: HashMap<MessageId, Arc<Summary>> = HashMap::with_capacity(missing.len());
        let mut batches = missing.chunks(SUMMARY_BATCH);
        let mut next = match batches.next() {
            Some(batch) => store.summaries(account, batch).await?,
            None => Vec::new(),
        };
        // While one batch is opened, the store reads the next.
        while !next.is_empty() || batches.len() > 0 {
            let sealed = std::mem::take(&mut next);
            let opener = opener.clone();
            let open_all = move || {
                let summaries = sealed.iter().map(|(id, blob)| (*id, open(&opener, blob))).collect::<Vec<_>>();
                (summaries, computed_for(&opener, &sealed))
            };
            let (summaries, computed) = if missing.len() <= INLINE_MAX {
                open_all()
            } else {
                let opening = tokio::task::spawn_blocking(open_all);
                if let Some(batch) = batches.next() {
                    next = store.summaries(account, batch).await?;
                }
                opening.await.map_err(|_| Tagged::no("[SERVERBUG] Summaries could not be opened"))?
            };
            room.agreements.keep(store, reader, computed);
            for (id, summary) in summaries {
                match summary {
                    Some(summary) => drop(opened.insert(id, Arc::new(summary))),
                    None => tracing::error!(account = account.0, message = id.0, "a summary does not open"),
                }
            }
        }
        for (place, id) in found.iter_mut().zip(ids) {
            if place.is_none() {
                *place = opened.get(id).cloned();
            }
        }
        let mut generations = self.lock();
        for (id, summary) in opened {
            generations.insert(id, summary);
        }
        Ok(found)
    }

    fn cached(&self, ids: &[MessageId]) -> (Vec<Option<Arc<Summary>>>, Vec<MessageId>) {
        let mut generations = self.lock();
        let found: Vec<_> = ids.iter().map(|&id| generations.get(id)).collect();
        let missing = ids.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(&id, _)| id).collect();
        (found, missing)
    }
}

fn open(opener: &lnmp::Opener, blob: &[u8]) -> Option<Summary> {
    Summary::decode(&opener.open_summary(blob).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_within_its_bound_and_keeps_what_is_used() {
        let cache = SummaryCache::default();
        let large = Arc::new(Summary::of(&[b"Subject: x\r\n".repeat(4000), b"\r\n".to_vec()].concat()));
        let each = footprint(&large);
        let count = i64::try_from(3 * SUMMARY_CACHE_BYTES / each).unwrap();
        for id in 0..count {
            cache.lock().insert(MessageId(id), large.clone());
            assert!(cache.lock().get(MessageId(0)).is_some(), "used after each insert");
        }
        let generations = cache.lock();
        assert!((generations.young.len() + generations.old.len()) * each <= SUMMARY_CACHE_BYTES + each);
    }
}
