//! SORT (RFC 5256 §3), its extended answers (ESORT, RFC 5267 §3) and SORT=DISPLAY (RFC 5957).

pub(super) mod order;
pub(super) mod subject;

use std::sync::Arc;

use crate::command::context::{self, Context, Results};
use crate::command::search::key::Key;
use crate::command::search::returns::{Correlator, Returns};
use crate::command::search::scan::{PORTION, Scope, limited, matching};
use crate::command::search::{Kind, Outcome, Program, answer, forget_saved, measure, updates};
use crate::command::sort::order::{Criteria, Sortable};
use crate::message_limit;
use crate::progress::Progress;
use crate::reply::{Run, Stop, Tagged};
use crate::selected::By;
use crate::session::Session;
use crate::wire::{Cursor, Parsed};

/// SORT.
#[derive(Debug)]
pub(crate) struct Sort {
    pub(super) by: By,
    returns: Option<Returns>,
    criteria: Criteria,
    pub(super) program: Program,
}

impl Sort {
    pub(super) fn parse(cursor: &mut Cursor<'_>, by: By) -> Parsed<Self> {
        cursor.space()?;
        let mut returns = Returns::parse(cursor)?;
        let criteria = Criteria::parse(cursor)?;
        cursor.space()?;
        // RFC 5256 §3: the character set is no option here.
        let charset = cursor.astring()?;
        cursor.space()?;
        if returns.is_none() {
            // RFC 5267 §3 has the options first; some write them here, where no search key could be meant.
            returns = Returns::parse(cursor)?;
        }
        Ok(Self { by, returns, criteria, program: Program::parse(cursor, &charset)? })
    }

    pub(super) async fn run(self, session: &mut Session, tag: &str) -> Run {
        let saves = self.returns.as_ref().is_some_and(|returns| returns.save);
        let done = self.answer(session, tag).await;
        forget_saved(session, saves, &done);
        done
    }

    async fn answer(self, session: &mut Session, tag: &str) -> Run {
        let Self { by, returns, criteria, program } = self;
        let key = program.keys(session)?;
        let tells_modseq = key.asks_modseq();
        let scope = Arc::new(Scope::selected(session)?);
        let key = key.resolve(measure(session)?);
        // RFC 9738 §3.3: the first of a part are not the first of all.
        if limited(&scope, &key, session.shared.message_limit).is_some() {
            return Ok(message_limit::too_many(session.shared.message_limit));
        }
        let updates = updates(session, returns.as_ref(), tag)?;
        let kept = updates.then(|| key.clone().in_uids(&scope.snapshot.rows));
        let mut sorted = sorted(&scope, key, &criteria, &mut Progress::new(&mut session.io, tag)).await?;
        let found = sorted.iter().map(|sortable| sortable.index).collect();
        if let Some(key) = kept {
            for sortable in &mut sorted {
                sortable.index = scope.snapshot.rows[sortable.index].uid as usize;
            }
            let results = Results::Sorted(criteria, sorted);
            let attributes = returns.as_ref().map(|returns| returns.attributes.clone()).unwrap_or_default();
            let context = Context::new(Correlator { tag, mailbox: None }, by, key, results);
            context::follow(session, &scope, context.with(attributes));
        }
        answer(session, &scope, Outcome { kind: Kind::Sort, by, returns, found, tells_modseq }, tag)
    }
}

/// The messages for which the resolved `key` holds, in the order of `criteria`.
pub(super) async fn sorted(
    scope: &Arc<Scope>,
    key: Key,
    criteria: &Criteria,
    progress: &mut Progress<'_>,
) -> Result<Vec<Sortable>, Stop> {
    let found = matching(scope, key, progress).await?;
    let mut all = sortables(scope, &found, criteria, progress).await?;
    // Sorting many takes a while: on a thread that nobody waits for.
    let criteria = criteria.clone();
    let work = move || {
        all.sort_unstable_by(|a, b| criteria.compare(a, b));
        all
    };
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| Tagged::no("[SERVERBUG] Sorting failed"))?)
}

/// What `criteria` make of some messages.
pub(super) async fn sortables(
    scope: &Arc<Scope>,
    indexes: &[usize],
    criteria: &Criteria,
    progress: &mut Progress<'_>,
) -> Result<Vec<Sortable>, Stop> {
    let mut all = Vec::with_capacity(indexes.len());
    for portion in indexes.chunks(PORTION) {
        progress.at(all.len(), indexes.len()).await?;
        let summaries =
            if criteria.needs_summaries() { scope.summaries(portion).await? } else { vec![None; portion.len()] };
        let (scope, criteria, portion) = (scope.clone(), criteria.clone(), portion.to_vec());
        let work = move || {
            let both = portion.into_iter().zip(summaries);
            both.map(|(index, summary)| criteria.sortable(index, &scope.snapshot.rows[index], summary.as_deref()))
                .collect::<Vec<_>>()
        };
        let some = tokio::task::spawn_blocking(work).await.map_err(|_| Tagged::no("[SERVERBUG] Sorting failed"))?;
        all.extend(some);
    }
    Ok(all)
}
