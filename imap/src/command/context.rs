//! Results that follow the mailbox (RFC 5267 §4.3): what RETURN (UPDATE) asks for, and CANCELUPDATE.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::command::fetch::Attributes;
use crate::command::search::key::Key;
use crate::command::search::returns::Correlator;
use crate::command::search::scan::{Scope, matching_among};
use crate::command::sort::order::{Criteria, Sortable};
use crate::command::sort::sortables;
use crate::limits::{CONTEXT_RESULTS_MAX, CONTEXTS_MAX};
use crate::progress::Progress;
use crate::reply::{Run, Stop, Tagged};
use crate::selected::{By, Expunges, Selected};
use crate::session::Session;
use crate::snapshot::Snapshot;
use crate::wire::sequence::write_set;
use crate::wire::{Bad, Cursor, Parsed, write};

/// The contexts of a selected mailbox.
#[derive(Debug)]
pub(crate) struct Contexts {
    /// The state their results are true of, but for messages that are gone.
    at: Arc<Snapshot>,
    list: Vec<Context>,
}

/// A search or sort whose changes the client is told of.
#[derive(Debug)]
pub(super) struct Context {
    tag: String,
    /// How its responses begin.
    head: Vec<u8>,
    by: By,
    /// As it was resolved when the search began: numbers, `$` and spans of time keep their meaning.
    key: Key,
    results: Results,
    /// What is told of new messages that match.
    attributes: Attributes,
}

impl Context {
    pub(super) fn new(correlator: Correlator<'_>, by: By, key: Key, results: Results) -> Self {
        let mut head = b"* ESEARCH ".to_vec();
        correlator.write(&mut head);
        if by == By::Uid {
            head.extend_from_slice(b" UID");
        }
        Self { tag: correlator.tag.to_owned(), head, by, key, results, attributes: Attributes::default() }
    }

    /// Telling these of new messages that match (RFC 5465 §7).
    pub(super) fn with(self, attributes: Attributes) -> Self {
        Self { attributes, ..self }
    }

    /// `* ESEARCH (TAG "x") UID ADDTO (1 2733)`. UIDs are told as numbers in `snapshot` where the search was by number.
    fn write(&self, out: &mut Vec<u8>, item: &str, pairs: &[(usize, Vec<u32>)], snapshot: &Snapshot) {
        if pairs.is_empty() {
            return;
        }
        out.extend_from_slice(&self.head);
        out.extend_from_slice(format!(" {item} (").as_bytes());
        for (at, (position, uids)) in pairs.iter().enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            write::number(out, *position as u64);
            out.push(b' ');
            let number = |uid: &u32| snapshot.index_of(*uid).and_then(|index| u32::try_from(index + 1).ok());
            match self.by {
                By::Uid => write_set(out, uids.iter().copied()),
                By::Number => write_set(out, uids.iter().filter_map(number)),
            }
        }
        out.extend_from_slice(b")\r\n");
    }
}

/// UIDs in the order asked for.
#[derive(Debug)]
pub(super) enum Results {
    /// SEARCH: the order of the mailbox.
    Mailbox(Vec<u32>),
    /// SORT. The index of each is its UID: equal ones stay in the order of the mailbox.
    Sorted(Criteria, Vec<Sortable>),
}

fn uid_of(sortable: &Sortable) -> u32 {
    u32::try_from(sortable.index).unwrap_or(u32::MAX)
}

impl Results {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Mailbox(uids) => uids.len(),
            Self::Sorted(_, sorted) => sorted.len(),
        }
    }

    fn uids(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match self {
            Self::Mailbox(uids) => Box::new(uids.iter().copied()),
            Self::Sorted(_, sorted) => Box::new(sorted.iter().map(uid_of)),
        }
    }

    /// Takes UIDs out. Pairs of position and UIDs, as REMOVEFROM tells them: each position is where the first of them
    /// stands at that moment; 0 where the order is the mailbox's (RFC 5267 §4.3.4).
    fn remove(&mut self, gone: &HashSet<u32>) -> Vec<(usize, Vec<u32>)> {
        match self {
            Self::Mailbox(uids) => {
                let removed: Vec<u32> = uids.iter().copied().filter(|uid| gone.contains(uid)).collect();
                uids.retain(|uid| !gone.contains(uid));
                if removed.is_empty() { Vec::new() } else { vec![(0, removed)] }
            }
            Self::Sorted(_, sorted) => {
                let mut pairs = Vec::new();
                let mut kept = 0;
                sorted.retain(|sortable| {
                    let uid = uid_of(sortable);
                    if gone.contains(&uid) {
                        pairs.push((kept + 1, vec![uid]));
                        return false;
                    }
                    kept += 1;
                    true
                });
                pairs
            }
        }
    }
}

/// Whether this tag names a context already. RFC 5267 §4.3: then the search is BAD.
pub(super) fn is_used(session: &Session, tag: &str) -> bool {
    let contexts = session.selected.as_ref().and_then(|selected| selected.contexts.as_ref());
    contexts.is_some_and(|contexts| contexts.list.iter().any(|context| context.tag == tag))
}

/// Follows a context from now on, or says why not. RFC 5267 §4.3.1: the rest of the search stands either way.
pub(super) fn follow(session: &mut Session, scope: &Scope, context: Context) {
    let Some(selected) = session.selected.as_mut() else { return };
    let count = selected.contexts.as_ref().map_or(0, |contexts| contexts.list.len());
    if count >= CONTEXTS_MAX || context.results.len() > CONTEXT_RESULTS_MAX {
        let why = if count >= CONTEXTS_MAX { "Too many contexts" } else { "Too many results" };
        return do_not_follow(session, &context.tag, why);
    }
    let contexts =
        selected.contexts.get_or_insert_with(|| Box::new(Contexts { at: scope.snapshot.clone(), list: Vec::new() }));
    contexts.list.push(context);
}

/// RFC 5267 §4.3.1: the results are not followed, the search stands.
pub(super) fn do_not_follow(session: &mut Session, tag: &str, why: &str) {
    session.io.out.extend_from_slice(format!("* NO [NOUPDATE \"{tag}\"] {why}\r\n").as_bytes());
}

/// Tells of results that are about to be expunged. RFC 5267 §4.3.4: before the EXPUNGE, while numbers are valid.
pub(crate) fn before_step(selected: &mut Selected, next: &Snapshot, expunges: Expunges, out: &mut Vec<u8>) {
    let Selected { contexts: Some(contexts), snapshot, .. } = selected else { return };
    if expunges == Expunges::Held {
        return;
    }
    let stays = |uid: u32| next.index_of(uid).is_some_and(|index| !next.rows[index].gone);
    for context in &mut contexts.list {
        let gone: HashSet<u32> = context.results.uids().filter(|&uid| !stays(uid)).collect();
        let pairs = context.results.remove(&gone);
        context.write(out, "REMOVEFROM", &pairs, snapshot);
    }
}

/// What became of the contexts.
#[derive(Default)]
struct Told {
    /// Their responses.
    lines: Vec<u8>,
    /// What they want told of new messages, by UID.
    wanted: BTreeMap<u32, Attributes>,
}

/// Tells of messages that match now and did not before, or the other way round, and of new ones, which begin with the
/// UID `new_from`, what the client wants to know of them.
pub(crate) async fn after_step(session: &mut Session, new_from: u32) -> Result<(), Stop> {
    let mut told = Told::default();
    if let Some(mut contexts) = session.selected.as_mut().and_then(|selected| selected.contexts.take()) {
        let compared = tell(session, &mut contexts, &mut told).await;
        if let Some(selected) = session.selected.as_mut() {
            selected.contexts = Some(contexts);
        }
        compared?;
    }
    let selected = session.selected()?;
    let rows = &selected.snapshot.rows;
    let first = rows.partition_point(|row| row.uid < new_from);
    let asked = session.interests.as_ref().map(|interests| &interests.selected.attributes);
    let asked = asked.filter(|asked| !asked.is_empty()).cloned().unwrap_or_default();
    if first == rows.len() || asked.is_empty() && told.wanted.is_empty() {
        session.io.out.extend_from_slice(&told.lines);
        return Ok(());
    }
    // RFC 5465 §5.2: not of those that this client made itself.
    let made = |uid: u32| session.made.iter().any(|made| made.has(selected.mailbox, uid));
    let new: Vec<(usize, u32)> =
        (first..rows.len()).filter(|&index| !rows[index].gone).map(|index| (index, rows[index].uid)).collect();
    let new: Vec<(usize, u32)> = new.into_iter().filter(|&(_, uid)| !made(uid)).collect();
    // RFC 5465 §7: what a context wants is told before its ESEARCH, together with what NOTIFY asked for (§5.2: in one
    // response); §5.2: what NOTIFY alone asked for comes after it.
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (index, uid) in new {
        match told.wanted.remove(&uid) {
            Some(mut attributes) => {
                attributes.extend(&asked);
                before.push((index, attributes));
            }
            None => after.push(index),
        }
    }
    for same in before.chunk_by(|a, b| a.1 == b.1) {
        let indexes: Vec<usize> = same.iter().map(|(index, _)| *index).collect();
        same[0].1.show(session, &indexes).await?;
    }
    session.io.out.extend_from_slice(&told.lines);
    asked.show(session, &after).await
}

async fn tell(session: &mut Session, contexts: &mut Contexts, told: &mut Told) -> Result<(), Stop> {
    let scope = Arc::new(Scope::selected(session)?);
    let now = scope.snapshot.clone();
    if Arc::ptr_eq(&now, &contexts.at) {
        return Ok(());
    }
    let changed: Vec<usize> = (0..now.rows.len())
        .filter(|&index| {
            let row = &now.rows[index];
            let known = contexts.at.index_of(row.uid).map(|index| &contexts.at.rows[index]);
            !row.gone && known.is_none_or(|known| known.modseq != row.modseq)
        })
        .collect();
    if !changed.is_empty() {
        for context in &mut contexts.list {
            compare(session, &scope, context, &changed, told).await?;
            if !context.attributes.is_empty() {
                let is_new = |uid: &u32| contexts.at.index_of(*uid).is_none();
                for uid in context.results.uids().filter(is_new) {
                    told.wanted.entry(uid).or_default().extend(&context.attributes);
                }
            }
        }
    }
    contexts.at = now;
    Ok(())
}

/// Brings one context in step with the messages at `changed`.
async fn compare(
    session: &mut Session,
    scope: &Arc<Scope>,
    context: &mut Context,
    changed: &[usize],
    told: &mut Told,
) -> Result<(), Stop> {
    let tag = context.tag.clone();
    let progress = &mut Progress::new(&mut session.io, &tag);
    let matches = matching_among(scope, context.key.clone(), changed.iter().copied(), progress).await?;
    let rows = &scope.snapshot.rows;
    let matching: HashSet<usize> = matches.iter().copied().collect();
    let had: HashSet<u32> = context.results.uids().collect();
    let gone: HashSet<u32> =
        changed.iter().filter(|index| !matching.contains(index)).map(|&index| rows[index].uid).collect();
    let new: Vec<usize> = matches.into_iter().filter(|&index| !had.contains(&rows[index].uid)).collect();
    let removed = context.results.remove(&gone);
    let added = match &mut context.results {
        Results::Mailbox(uids) => {
            let new: Vec<u32> = new.iter().map(|&index| rows[index].uid).collect();
            uids.extend_from_slice(&new);
            uids.sort_unstable();
            if new.is_empty() { Vec::new() } else { vec![(0, new)] }
        }
        Results::Sorted(criteria, sorted) => {
            let mut pairs = Vec::new();
            for mut sortable in sortables(scope, &new, criteria, progress).await? {
                sortable.index = rows[sortable.index].uid as usize;
                let place = sorted.partition_point(|other| criteria.compare(other, &sortable).is_lt());
                pairs.push((place + 1, vec![uid_of(&sortable)]));
                sorted.insert(place, sortable);
            }
            pairs
        }
    };
    context.write(&mut told.lines, "REMOVEFROM", &removed, &scope.snapshot);
    context.write(&mut told.lines, "ADDTO", &added, &scope.snapshot);
    Ok(())
}

/// CANCELUPDATE.
#[derive(Debug)]
pub(crate) struct CancelUpdate {
    tags: Vec<String>,
}

impl CancelUpdate {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut tags = Vec::new();
        while !cursor.is_at_end() {
            cursor.space()?;
            if tags.len() == CONTEXTS_MAX {
                return Err(Bad::new("Too many tags"));
            }
            tags.push(String::from_utf8_lossy(&cursor.string()?).into_owned());
        }
        if tags.is_empty() { Err(Bad::new("Missing tag of a search")) } else { Ok(Self { tags }) }
    }

    pub(super) fn run(self, session: &mut Session) -> Run {
        if let Some(unknown) = self.tags.iter().find(|tag| !is_used(session, tag)) {
            let shown: String = unknown.chars().filter(char::is_ascii_graphic).take(40).collect();
            return Ok(Tagged::bad(format!("No search with updates has the tag {shown}")));
        }
        if let Some(selected) = session.selected.as_mut()
            && let Some(contexts) = selected.contexts.as_mut()
        {
            contexts.list.retain(|context| !self.tags.contains(&context.tag));
            if contexts.list.is_empty() {
                selected.contexts = None;
            }
        }
        Ok(Tagged::ok("CANCELUPDATE completed"))
    }
}
