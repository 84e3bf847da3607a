//! Agreed secrets of an account: learnt from the pages an earlier session kept, computed where there are none, kept for
//! the next session.
//!
//! ```text
//!   first blob to open ─▶ load: pages ─▶ Opener::learn          once, while the account has a session
//!   blobs opened ─▶ keep: computed ─▶ loose ─▶ pages ─▶ store   in the background
//! ```
//! Nothing depends on a page: one that is lost, or that another session wrote over, costs its agreements' time again.
//! Agreements of deleted messages are dropped when a later session loads the pages.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lnmp::{Agreement, Opener};
use rand::rngs::OsRng;
use store::{AccountId, MessageId, Store, StoreError};
use tokio::sync::OnceCell;

use crate::access::Reader;
use crate::limits::{AGREEMENT_PAGE, AGREEMENT_PAGES_MAX, AGREEMENTS_WORTH_KEEPING, STALE_PAGES_MAX};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Agreements {
    loaded: OnceCell<()>,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    /// Agreements that fill no page yet.
    loose: Vec<Agreement>,
    /// How many of them no page has.
    unkept: usize,
    /// Numbers of pages that `loose` takes the place of.
    free: BTreeSet<u32>,
    /// Numbers that some page has. When all are taken, nothing more is kept.
    used: BTreeSet<u32>,
    /// Pages on their way to the store; `None` deletes one.
    waiting: BTreeMap<u32, Option<Vec<u8>>>,
    writing: bool,
}

impl Pages {
    /// Seals what is loose, a page at a time; the last one stays loose until it is full.
    fn seal(&mut self, opener: &Opener) {
        self.unkept = 0;
        let mut numbers = std::mem::take(&mut self.free);
        while !self.loose.is_empty() {
            let Some(number) = numbers.pop_first().or_else(|| self.unused()) else {
                self.loose.clear();
                break;
            };
            let count = self.loose.len().min(AGREEMENT_PAGE);
            self.waiting.insert(number, Some(opener.seal_agreements(&mut OsRng, &self.loose[..count])));
            if count < AGREEMENT_PAGE {
                self.free.insert(number);
                break;
            }
            self.loose.drain(..count);
        }
        for number in numbers {
            self.used.remove(&number);
            self.waiting.insert(number, None);
        }
    }

    fn unused(&mut self) -> Option<u32> {
        (0..AGREEMENT_PAGES_MAX).find(|number| self.used.insert(*number))
    }
}

impl Agreements {
    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns what earlier sessions kept. Before the first blob is opened; after that, nothing to do.
    pub(crate) async fn load(self: &Arc<Self>, store: &Arc<dyn Store>, reader: &Reader) {
        self.loaded.get_or_init(|| self.learn(store, reader)).await;
    }

    async fn learn(self: &Arc<Self>, store: &Arc<dyn Store>, reader: &Reader) {
        let account = reader.account;
        let sealed = match store.agreements(account).await {
            Ok(sealed) if !sealed.is_empty() => sealed,
            Ok(_) => return,
            Err(error) => return tracing::debug!(account = account.0, %error, "no agreements are learnt"),
        };
        let opener = reader.opener.clone();
        let open = move || {
            let open = |(number, page): (u32, Bytes)| {
                let agreements = opener.open_agreements(&page).unwrap_or_default();
                opener.learn(&agreements);
                (number, agreements)
            };
            sealed.into_iter().map(open).collect::<Vec<_>>()
        };
        // It panics in no case; then all is computed again.
        let Ok(mut pages) = tokio::task::spawn_blocking(open).await else { return };
        {
            let mut kept = self.lock();
            kept.used = pages.iter().map(|(number, _)| *number).collect();
            for (number, agreements) in pages.extract_if(.., |(_, agreements)| agreements.len() != AGREEMENT_PAGE) {
                kept.free.insert(number);
                kept.loose.extend(agreements);
            }
        }
        tokio::spawn(self.clone().drop_stale(store.clone(), reader.clone(), pages));
    }

    /// Takes agreements of messages that are gone out of the full `pages` and of what is loose.
    async fn drop_stale(self: Arc<Self>, store: Arc<dyn Store>, reader: Reader, pages: Vec<(u32, Vec<Agreement>)>) {
        let account = reader.account;
        if let Err(error) = self.try_drop_stale(&store, &reader, pages).await {
            tracing::debug!(account = account.0, %error, "agreements of deleted messages stay");
        }
    }

    async fn try_drop_stale(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        reader: &Reader,
        pages: Vec<(u32, Vec<Agreement>)>,
    ) -> Result<(), StoreError> {
        let mut stale = 0;
        for (number, mut agreements) in pages {
            let gone = gone(&**store, reader.account, messages(&agreements)).await?;
            if gone.is_empty() {
                continue;
            }
            agreements.retain(|agreement| !gone.contains(&MessageId(agreement.message)));
            let mut kept = self.lock();
            kept.free.insert(number);
            kept.loose.append(&mut agreements);
            stale += 1;
            if stale == STALE_PAGES_MAX {
                break;
            }
        }
        let loose = messages(&self.lock().loose);
        let gone = gone(&**store, reader.account, loose).await?;
        if gone.is_empty() && stale == 0 {
            return Ok(());
        }
        {
            let mut kept = self.lock();
            kept.loose.retain(|agreement| !gone.contains(&MessageId(agreement.message)));
            kept.seal(&reader.opener);
        }
        self.write(store, reader.account);
        Ok(())
    }

    /// Keeps what was computed to open some blobs, once it is worth it.
    pub(crate) fn keep(self: &Arc<Self>, store: &Arc<dyn Store>, reader: &Reader, computed: Vec<Agreement>) {
        if computed.is_empty() {
            return;
        }
        {
            let mut kept = self.lock();
            kept.unkept += computed.len();
            kept.loose.extend(computed);
            if kept.unkept < AGREEMENTS_WORTH_KEEPING {
                return;
            }
            kept.seal(&reader.opener);
        }
        self.write(store, reader.account);
    }

    /// Writes what waits, one write after the other, while the session goes on.
    fn write(self: &Arc<Self>, store: &Arc<dyn Store>, account: AccountId) {
        if std::mem::replace(&mut self.lock().writing, true) {
            return;
        }
        let (agreements, store) = (self.clone(), store.clone());
        tokio::spawn(async move {
            while let Some(pages) = agreements.waiting() {
                if let Err(error) = store.keep_agreements(account, pages).await {
                    tracing::debug!(account = account.0, %error, "agreements are not kept");
                }
            }
        });
    }

    fn waiting(&self) -> Option<Vec<(u32, Option<Vec<u8>>)>> {
        let mut kept = self.lock();
        kept.writing = !kept.waiting.is_empty();
        kept.writing.then(|| std::mem::take(&mut kept.waiting).into_iter().collect())
    }
}

/// The agreements that were computed to open these blobs.
pub(crate) fn computed_for(opener: &Opener, sealed: &[(MessageId, Bytes)]) -> Vec<Agreement> {
    if !opener.has_computed() {
        return Vec::new();
    }
    sealed.iter().filter_map(|(id, blob)| opener.take_computed(id.0, blob)).collect()
}

fn messages(agreements: &[Agreement]) -> Vec<MessageId> {
    agreements.iter().map(|agreement| MessageId(agreement.message)).collect()
}

/// Those of `ids` that were deleted.
async fn gone(store: &dyn Store, account: AccountId, ids: Vec<MessageId>) -> Result<HashSet<MessageId>, StoreError> {
    let present: HashSet<MessageId> = store.present(account, &ids).await?.into_iter().collect();
    Ok(ids.into_iter().filter(|id| !present.contains(id)).collect())
}
