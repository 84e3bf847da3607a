//! Opened filters of an account's messages: read on the first search, kept while the account has a session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lnmp::Agreement;
use store::{AccountId, MessageId, Store, StoreError};

use crate::access::Reader;
use crate::agreements::computed_for;
use crate::limits::{FILTER_BATCH, FILTER_CACHE_BYTES, OPENING_THREADS};
use crate::reply::{Stop, Tagged};
use crate::trigrams::Trigrams;

/// Filters of one account, at most [`FILTER_CACHE_BYTES`]; what finds no room is read again for each search.
#[derive(Debug, Default)]
pub(crate) struct FilterCache {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// `None`: the message has none.
    filters: HashMap<MessageId, Option<Trigrams>>,
    bytes: usize,
}

impl FilterCache {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The filters of `ids` in their order, `None` where there is none.
    pub(crate) async fn get(
        &self,
        store: &Arc<dyn Store>,
        reader: &Reader,
        ids: &[MessageId],
    ) -> Result<Vec<Option<Trigrams>>, Stop> {
        let mut missing: Vec<MessageId> = {
            let kept = self.lock();
            ids.iter().filter(|id| !kept.filters.contains_key(id)).copied().collect()
        };
        missing.sort_unstable();
        missing.dedup();
        let opened = open_all(store, reader, &missing).await?;
        let mut kept = self.lock();
        let found = ids.iter().map(|id| opened.get(id).or_else(|| kept.filters.get(id)).cloned().flatten()).collect();
        for id in missing {
            let filter = opened.get(&id).cloned().flatten();
            let bytes = filter.as_ref().map_or(64, Trigrams::footprint);
            if kept.bytes + bytes > FILTER_CACHE_BYTES {
                break;
            }
            if kept.filters.insert(id, filter).is_none() {
                kept.bytes += bytes;
            }
        }
        Ok(found)
    }
}

type Opened = HashMap<MessageId, Option<Trigrams>>;

/// Reads and opens on as many threads as one session may take.
async fn open_all(store: &Arc<dyn Store>, reader: &Reader, ids: &[MessageId]) -> Result<Opened, Stop> {
    let mut opened = Opened::with_capacity(ids.len());
    if ids.is_empty() {
        return Ok(opened);
    }
    let agreements = &reader.room.agreements;
    agreements.load(store, reader).await;
    let tasks: Vec<_> = ids
        .chunks(ids.len().div_ceil(OPENING_THREADS))
        .map(|some| tokio::spawn(open_some(store.clone(), reader.account, reader.opener.clone(), some.to_vec())))
        .collect();
    for task in tasks {
        let (filters, computed) = task.await.map_err(|_| Tagged::no("[SERVERBUG] Search failed"))??;
        agreements.keep(store, reader, computed);
        opened.extend(filters);
    }
    Ok(opened)
}

async fn open_some(
    store: Arc<dyn Store>,
    account: AccountId,
    opener: Arc<lnmp::Opener>,
    ids: Vec<MessageId>,
) -> Result<(Vec<(MessageId, Option<Trigrams>)>, Vec<Agreement>), StoreError> {
    let (mut filters, mut computed) = (Vec::with_capacity(ids.len()), Vec::new());
    for batch in ids.chunks(FILTER_BATCH) {
        let sealed = store.trigrams(account, batch).await?;
        let opener = opener.clone();
        let open = move || {
            let open = |blob: &[u8]| Trigrams::read(opener.open_trigrams(blob).ok()?.into());
            let filters = sealed.iter().map(|(id, blob)| (*id, open(blob))).collect::<Vec<_>>();
            (filters, computed_for(&opener, &sealed))
        };
        let (some, agreed) = tokio::task::spawn_blocking(open).await.map_err(|_| StoreError::Busy)?;
        filters.extend(some);
        computed.extend(agreed);
    }
    Ok((filters, computed))
}
