//! Finds the messages for which a key holds, reading as little as it allows.
//!
//! Each key is answered from the cheapest source that can: the row in memory, the filter of what a mail
//! cannot hold, the opened summary, the opened mail.
//! A message goes on to the next source only while the keys before it leave the answer open.

use std::sync::Arc;

use converter::Summary;
use store::MessageId;

use crate::access::Reader;
use crate::command::search::key::{Key, Subject};
use crate::command::search::text::{Texts, texts_of};
use crate::limits::{FILTER_PORTION, SUMMARY_BATCH};
use crate::mail::{Feed, Mail};
use crate::message_limit::Partial;
use crate::progress::Progress;
use crate::reply::{Stop, Tagged};
use crate::session::{Session, Shared};
use crate::snapshot::Snapshot;
use crate::trigrams::Trigrams;

/// A mailbox to be searched, whoever has it selected.
pub(crate) struct Scope {
    pub(crate) shared: Arc<Shared>,
    /// Whose it is, and what reads it.
    pub(crate) owner: Reader,
    pub(crate) snapshot: Arc<Snapshot>,
    /// UIDs that are `\Recent` to who asks, as ranges in order.
    pub(crate) recent: Vec<(u32, u32)>,
}

impl Scope {
    /// The mailbox that a session has selected.
    pub(crate) fn selected(session: &Session) -> Result<Self, Stop> {
        let selected = session.selected()?;
        let scope = Self::new(session, &selected.owner, selected.snapshot.clone());
        Ok(Self { recent: selected.recent().to_vec(), ..scope })
    }

    /// Any mailbox, of which nothing is `\Recent` here.
    pub(crate) fn new(session: &Session, owner: &Reader, snapshot: Arc<Snapshot>) -> Self {
        Self { shared: session.shared.clone(), owner: owner.clone(), snapshot, recent: Vec::new() }
    }

    fn subject<'a>(&'a self, index: usize, filter: Option<&'a Trigrams>) -> Subject<'a> {
        let row = &self.snapshot.rows[index];
        let at = self.recent.partition_point(|&(_, last)| last < row.uid);
        Subject {
            number: u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1),
            row,
            keywords: self.snapshot.keywords(row),
            named_by: Some((&*self.shared.store, self.owner.account)),
            recent: self.recent.get(at).is_some_and(|&(first, _)| first <= row.uid),
            filter,
        }
    }

    /// The summaries of some messages, in their order; `None` where one is gone.
    pub(crate) async fn summaries(&self, indexes: &[usize]) -> Result<Vec<Option<Arc<Summary>>>, Stop> {
        let ids: Vec<MessageId> = indexes.iter().map(|&index| self.snapshot.rows[index].message).collect();
        self.owner.room.summaries.get(&self.shared.store, &self.owner, &ids).await
    }
}

/// Messages whose summaries are held at once.
pub(crate) const PORTION: usize = 4 * SUMMARY_BATCH;

/// The indexes of the messages for which the resolved `key` holds, in order.
pub(crate) async fn matching(scope: &Arc<Scope>, key: Key, progress: &mut Progress<'_>) -> Result<Vec<usize>, Stop> {
    matching_among(scope, key, 0..scope.snapshot.rows.len(), progress).await
}

/// The messages a search goes through, where they are more than one command may: the last of them, and where they end.
pub(crate) fn limited(scope: &Scope, key: &Key, limit: usize) -> Option<(Vec<usize>, Partial)> {
    let rows = &scope.snapshot.rows;
    if rows.len() <= limit {
        return None;
    }
    let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
    let mut among: Vec<usize> = (0..rows.len()).filter(|&index| key.names(number(index), rows[index].uid)).collect();
    let left = Partial::of(limit, &mut among, |&index| rows[index].uid)?;
    Some((among, left))
}

/// [`matching`], among some messages.
pub(crate) async fn matching_among(
    scope: &Arc<Scope>,
    key: Key,
    among: impl Iterator<Item = usize> + Send,
    progress: &mut Progress<'_>,
) -> Result<Vec<usize>, Stop> {
    let mut matches = Vec::new();
    let mut open = Vec::new();
    for index in among {
        match key.answer(&scope.subject(index, None), None, None) {
            Some(true) => matches.push(index),
            Some(false) => {}
            None => open.push(index),
        }
    }
    if !open.is_empty() {
        let key = Arc::new(key);
        let still_open = by_filters(scope, &key, open, &mut matches).await?;
        // In portions, so that a search through everything holds the summaries of some.
        for (at, portion) in still_open.chunks(PORTION).enumerate() {
            progress.at(at * PORTION, still_open.len()).await?;
            let still_open = by_summaries(scope, &key, portion, &mut matches).await?;
            by_texts(scope, &key, still_open, &mut matches).await?;
        }
        matches.sort_unstable();
    }
    Ok(matches)
}

/// A message that is still in question, and what its texts cannot hold.
type Open = (usize, Option<Trigrams>);

/// Asks what texts cannot hold, where the key asks for texts; returns what that leaves open.
async fn by_filters(scope: &Scope, key: &Key, open: Vec<usize>, matches: &mut Vec<usize>) -> Result<Vec<Open>, Stop> {
    if !key.is_indexed() {
        return Ok(open.into_iter().map(|index| (index, None)).collect());
    }
    let mut still_open = Vec::new();
    for portion in open.chunks(FILTER_PORTION) {
        let ids: Vec<MessageId> = portion.iter().map(|&index| scope.snapshot.rows[index].message).collect();
        let filters = scope.owner.room.filters.get(&scope.shared.store, &scope.owner, &ids).await?;
        for (&index, filter) in portion.iter().zip(filters) {
            match key.answer(&scope.subject(index, filter.as_ref()), None, None) {
                Some(true) => matches.push(index),
                Some(false) => {}
                None => still_open.push((index, filter)),
            }
        }
        tokio::task::yield_now().await;
    }
    Ok(still_open)
}

/// Asks the summaries; returns what only the text can answer.
async fn by_summaries(
    scope: &Scope,
    key: &Key,
    open: &[Open],
    matches: &mut Vec<usize>,
) -> Result<Vec<(usize, Arc<Summary>)>, Stop> {
    let mut still_open = Vec::new();
    let indexes: Vec<usize> = open.iter().map(|(index, _)| *index).collect();
    let summaries = scope.summaries(&indexes).await?;
    for ((index, filter), summary) in open.iter().zip(summaries) {
        // A message that is gone matches nothing.
        let Some(summary) = summary else { continue };
        match key.answer(&scope.subject(*index, filter.as_ref()), Some(&summary), None) {
            Some(true) => matches.push(*index),
            Some(false) => {}
            None => still_open.push((*index, summary)),
        }
    }
    // A long scan must not keep others from the thread.
    tokio::task::yield_now().await;
    Ok(still_open)
}

/// One message about to be searched.
struct Candidate {
    index: usize,
    summary: Arc<Summary>,
    mail: Arc<Mail>,
}

async fn by_texts(
    scope: &Arc<Scope>,
    key: &Arc<Key>,
    open: Vec<(usize, Arc<Summary>)>,
    matches: &mut Vec<usize>,
) -> Result<(), Stop> {
    if open.is_empty() {
        return Ok(());
    }
    let rows = &scope.snapshot.rows;
    // Large attachments stay on the shelf: what is read at once is at most a skeleton.
    let messages: Vec<(MessageId, u64)> =
        open.iter().map(|(index, _)| (rows[*index].message, rows[*index].size.min(64 * 1024))).collect();
    let mut feed = Feed::start(scope.shared.store.clone(), scope.owner.clone(), &messages);
    while let Some(batch) = feed.next().await {
        let (range, mails) = batch?;
        let candidates: Vec<Candidate> = open[range]
            .iter()
            .filter_map(|(index, summary)| {
                let mail = mails.get(&rows[*index].message)?.clone();
                Some(Candidate { index: *index, summary: summary.clone(), mail })
            })
            .collect();
        let mut ready: Vec<(usize, Arc<Summary>, Texts)> = Vec::with_capacity(candidates.len());
        for Candidate { index, summary, mail } in candidates {
            match texts_of(&mail, &summary, &*scope.shared.shelf).await {
                Ok(texts) => ready.push((index, summary, texts)),
                Err(error) => tracing::warn!(%error, "a mail cannot be searched"),
            }
        }
        matches.extend(judge(scope, key, ready).await?);
    }
    Ok(())
}

/// Searches texts on a thread that nobody waits for.
async fn judge(
    scope: &Arc<Scope>,
    key: &Arc<Key>,
    ready: Vec<(usize, Arc<Summary>, Texts)>,
) -> Result<Vec<usize>, Stop> {
    let (scope, key) = (scope.clone(), key.clone());
    let work = move || {
        let judged = ready.iter().filter(|(index, summary, texts)| {
            key.answer(&scope.subject(*index, None), Some(summary), Some(texts)).unwrap_or(false)
        });
        judged.map(|(index, ..)| *index).collect::<Vec<_>>()
    };
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| Tagged::no("[SERVERBUG] Search failed"))?)
}
