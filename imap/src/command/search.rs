//! SEARCH (RFC 3501 §6.4.4): reads as little as the keys allow.
//!
//! Each key is answered from the cheapest source that can: the row in memory, the opened summary, the opened mail.
//! A message goes on to the next source only while the keys before it leave the answer open.

mod key;
mod text;

use std::sync::Arc;

use converter::Summary;
use store::MessageId;

use crate::command::fetch::summaries;
use crate::command::search::key::{Key, Subject, parse_keys};
use crate::command::search::text::{Texts, texts_of};
use crate::limits::SUMMARY_BATCH;
use crate::mail::{Feed, Mail};
use crate::reply::{Run, Stop, Tagged};
use crate::selected::{By, Selected};
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed, write};

/// SEARCH.
#[derive(Debug)]
pub(crate) struct Search {
    pub(super) by: By,
    /// `None`: a character set that we do not have.
    key: Option<Key>,
}

impl Search {
    pub(super) fn parse(cursor: &mut Cursor<'_>, by: By) -> Parsed<Self> {
        cursor.space()?;
        if cursor.take_word("CHARSET ") {
            let charset = cursor.astring()?;
            if !["UTF-8", "US-ASCII", "UTF8", "ASCII"]
                .iter()
                .any(|known| charset.eq_ignore_ascii_case(known.as_bytes()))
            {
                // The strings cannot be understood, so the rest need not be either.
                cursor.take_while(|_| true);
                return Ok(Self { by, key: None });
            }
            cursor.space()?;
        }
        if cursor.is_at_end() {
            return Err(Bad::new("Missing search key"));
        }
        Ok(Self { by, key: Some(parse_keys(cursor)?) })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let Some(key) = self.key else {
            return Ok(Tagged::no("[BADCHARSET (US-ASCII UTF-8)] Unknown character set"));
        };
        let selected = session.selected()?;
        let key = Arc::new(key.resolve(selected.snapshot.count(), selected.snapshot.uid_max()));
        let mut matches = Vec::new();
        let mut open = Vec::new();
        for index in 0..selected.snapshot.rows.len() {
            match key.answer(&subject(selected, index), None, None) {
                Some(true) => matches.push(index),
                Some(false) => {}
                None => open.push(index),
            }
        }
        if !open.is_empty() {
            // In portions, so that a search through everything holds the summaries of some.
            for portion in open.chunks(4 * SUMMARY_BATCH) {
                let still_open = by_summaries(session, &key, portion, &mut matches).await?;
                by_texts(session, &key, still_open, &mut matches).await?;
            }
            matches.sort_unstable();
        }
        let Session { io, selected: Some(selected), .. } = session else {
            return Ok(Tagged::ok("SEARCH completed"));
        };
        io.out.extend_from_slice(b"* SEARCH");
        for index in matches {
            io.out.push(b' ');
            write::number(
                &mut io.out,
                match self.by {
                    By::Number => index as u64 + 1,
                    By::Uid => u64::from(selected.snapshot.rows[index].uid),
                },
            );
        }
        io.out.extend_from_slice(b"\r\n");
        Ok(Tagged::ok("SEARCH completed"))
    }
}

fn subject(selected: &Selected, index: usize) -> Subject<'_> {
    let row = &selected.snapshot.rows[index];
    Subject {
        number: u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1),
        row,
        keywords: selected.snapshot.keywords(row),
        recent: selected.is_recent(row.uid),
    }
}

/// Asks the summaries; returns what only the text can answer.
async fn by_summaries(
    session: &Session,
    key: &Key,
    open: &[usize],
    matches: &mut Vec<usize>,
) -> Result<Vec<(usize, Arc<Summary>)>, Stop> {
    let mut still_open = Vec::new();
    let summaries = summaries(session, open).await?;
    let selected = session.selected()?;
    for (&index, summary) in open.iter().zip(summaries) {
        // A message that is gone matches nothing.
        let Some(summary) = summary else { continue };
        match key.answer(&subject(selected, index), Some(&summary), None) {
            Some(true) => matches.push(index),
            Some(false) => {}
            None => still_open.push((index, summary)),
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
    session: &Session,
    key: &Arc<Key>,
    open: Vec<(usize, Arc<Summary>)>,
    matches: &mut Vec<usize>,
) -> Result<(), Stop> {
    if open.is_empty() {
        return Ok(());
    }
    let selected = session.selected()?;
    let user = session.user.as_ref().ok_or_else(|| Tagged::bad("Log in first"))?;
    let message = |index: usize| selected.snapshot.rows[index].message;
    // Large attachments stay on the shelf: what is read at once is at most a skeleton.
    let messages: Vec<(MessageId, u64)> =
        open.iter().map(|(index, _)| (message(*index), selected.snapshot.rows[*index].size.min(64 * 1024))).collect();
    let mut feed = Feed::start(session.shared.store.clone(), user.account, user.opener.clone(), &messages);
    while let Some(batch) = feed.next().await {
        let (range, mails) = batch?;
        let candidates: Vec<Candidate> = open[range]
            .iter()
            .filter_map(|(index, summary)| {
                let mail = mails.get(&message(*index))?.clone();
                Some(Candidate { index: *index, summary: summary.clone(), mail })
            })
            .collect();
        let mut ready: Vec<(usize, Arc<Summary>, Texts)> = Vec::with_capacity(candidates.len());
        for Candidate { index, summary, mail } in candidates {
            match texts_of(&mail, &summary, &*session.shared.shelf).await {
                Ok(texts) => ready.push((index, summary, texts)),
                Err(error) => tracing::warn!(%error, "a mail cannot be searched"),
            }
        }
        matches.extend(judge(session, key, ready).await?);
    }
    Ok(())
}

/// Searches texts on a thread that nobody waits for.
async fn judge(
    session: &Session,
    key: &Arc<Key>,
    ready: Vec<(usize, Arc<Summary>, Texts)>,
) -> Result<Vec<usize>, Stop> {
    let selected = session.selected()?;
    let snapshot = selected.snapshot.clone();
    let recent: Vec<bool> = ready.iter().map(|(index, ..)| selected.is_recent(snapshot.rows[*index].uid)).collect();
    let key = key.clone();
    let work = move || {
        let judged = ready.iter().zip(recent).filter(|((index, summary, texts), recent)| {
            let row = &snapshot.rows[*index];
            let number = u32::try_from(*index).unwrap_or(u32::MAX).saturating_add(1);
            let subject = Subject { number, row, keywords: snapshot.keywords(row), recent: *recent };
            key.answer(&subject, Some(summary), Some(texts)).unwrap_or(false)
        });
        judged.map(|((index, ..), _)| *index).collect::<Vec<_>>()
    };
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| Tagged::no("[SERVERBUG] Search failed"))?)
}
