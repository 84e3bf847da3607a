//! SEARCH (RFC 3501 §6.4.4), with what RFC 4731 (ESEARCH), RFC 5182 (`$`), RFC 7162 (MODSEQ) and RFC 9394 (PARTIAL) add.
//!
//! `key` is what is asked, `scan` finds the messages it holds for, `text` is what BODY and TEXT look into, `returns` is
//! the answer.

pub(super) mod key;
pub(super) mod returns;
pub(super) mod scan;
mod text;

pub use text::trigrams;

use std::sync::Arc;

use crate::command::context::{self, Context, Results};
use crate::command::search::key::{Key, Measure, parse_keys};
use crate::command::search::returns::{Answer, Correlator, Returns};
use crate::command::search::scan::{Scope, limited, matching, matching_among};
use crate::progress::Progress;
use crate::reply::{Run, Status, Stop, Tagged};
use crate::selected::By;
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed, write};

/// SEARCH.
#[derive(Debug)]
pub(crate) struct Search {
    pub(super) by: By,
    returns: Option<Returns>,
    pub(super) program: Program,
}

/// The keys of a search.
#[derive(Debug)]
pub(crate) struct Program {
    /// `None`: in a character set that we do not have.
    key: Option<Key>,
    /// Whether SEARCH named the character set.
    labelled: bool,
}

impl Program {
    /// The keys up to the end of the command, in `charset`.
    pub(super) fn parse(cursor: &mut Cursor<'_>, charset: &[u8]) -> Parsed<Self> {
        if !["UTF-8", "US-ASCII", "UTF8", "ASCII"].iter().any(|known| charset.eq_ignore_ascii_case(known.as_bytes())) {
            // The strings cannot be understood, so the rest need not be either.
            cursor.take_while(|_| true);
            return Ok(Self { key: None, labelled: false });
        }
        if cursor.is_at_end() {
            return Err(Bad::new("Missing search key"));
        }
        Ok(Self { key: Some(parse_keys(cursor)?), labelled: false })
    }

    /// `[CHARSET …] keys`, as SEARCH has it.
    pub(super) fn parse_with_charset(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        if cursor.take_word("CHARSET ") {
            let charset = cursor.astring()?;
            cursor.space()?;
            return Ok(Self { labelled: true, ..Self::parse(cursor, &charset)? });
        }
        if cursor.is_at_end() {
            return Err(Bad::new("Missing search key"));
        }
        Ok(Self { key: Some(parse_keys(cursor)?), labelled: false })
    }

    /// Whether it makes its command a CONDSTORE enabling one (RFC 7162 §3.1).
    pub(super) fn asks_modseq(&self) -> bool {
        self.key.as_ref().is_some_and(Key::asks_modseq)
    }

    /// Whether a key names messages by their numbers.
    pub(super) fn names_numbers(&self) -> bool {
        self.key.as_ref().is_some_and(Key::names_numbers)
    }

    /// The keys, or why they do not count.
    pub(super) fn keys(self, session: &Session) -> Result<Key, Stop> {
        // RFC 6855 §3: then all strings are UTF-8, and a label would contradict.
        if self.labelled && session.enabled.utf8 {
            return Err(Bad::new("CHARSET is not allowed after ENABLE UTF8=ACCEPT: strings are UTF-8").into());
        }
        self.key.ok_or_else(|| Tagged::no("[BADCHARSET (US-ASCII UTF-8)] Unknown character set").into())
    }
}

impl Search {
    pub(super) fn parse(cursor: &mut Cursor<'_>, by: By) -> Parsed<Self> {
        cursor.space()?;
        Ok(Self { by, returns: Returns::parse(cursor)?, program: Program::parse_with_charset(cursor)? })
    }

    pub(super) async fn run(self, session: &mut Session, tag: &str) -> Run {
        let saves = self.returns.as_ref().is_some_and(|returns| returns.save);
        let done = self.answer(session, tag).await;
        forget_saved(session, saves, &done);
        done
    }

    async fn answer(self, session: &mut Session, tag: &str) -> Run {
        let Self { by, returns, program } = self;
        let key = program.keys(session)?;
        let tells_modseq = key.asks_modseq();
        let scope = Arc::new(Scope::selected(session)?);
        let key = key.resolve(measure(session)?);
        let updates = updates(session, returns.as_ref(), tag)?;
        let kept = updates.then(|| key.clone().in_uids(&scope.snapshot.rows));
        let limited = limited(&scope, &key, session.shared.message_limit);
        let left = limited.as_ref().map(|(_, left)| *left);
        let progress = &mut Progress::new(&mut session.io, tag);
        let found = match limited {
            Some((among, _)) => matching_among(&scope, key, among.into_iter(), progress).await?,
            None => matching(&scope, key, progress).await?,
        };
        if kept.is_some() && left.is_some() {
            context::do_not_follow(session, tag, "Not all messages were searched");
        } else if let Some(key) = kept {
            let uids = found.iter().map(|&index| scope.snapshot.rows[index].uid).collect();
            let results = Results::Mailbox(uids);
            let attributes = returns.as_ref().map(|returns| returns.attributes.clone()).unwrap_or_default();
            let context = Context::new(Correlator { tag, mailbox: None }, by, key, results);
            context::follow(session, &scope, context.with(attributes));
        }
        let done = answer(session, &scope, Outcome { kind: Kind::Search, by, returns, found, tells_modseq }, tag)?;
        Ok(match left {
            Some(left) => left.told(session, done),
            None => done,
        })
    }
}

/// Whether the results are to be followed. RFC 5267 §4.3: not under a tag that names such a search already.
pub(super) fn updates(session: &Session, returns: Option<&Returns>, tag: &str) -> Result<bool, Stop> {
    let updates = returns.is_some_and(|returns| returns.update);
    if updates && context::is_used(session, tag) {
        return Err(Tagged::bad("Tag reuse: an earlier search with UPDATE has this tag").into());
    }
    Ok(updates)
}

/// Whose response it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Search,
    Sort,
}

/// What a search or sort came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) kind: Kind,
    pub(super) by: By,
    pub(super) returns: Option<Returns>,
    /// Indexes in the order asked for.
    pub(super) found: Vec<usize>,
    /// Whether the highest modification sequence is told.
    pub(super) tells_modseq: bool,
}

/// Writes the response, and keeps what is to be saved.
pub(super) fn answer(session: &mut Session, scope: &Scope, outcome: Outcome, tag: &str) -> Run {
    let Outcome { kind, by, returns, found, tells_modseq } = outcome;
    let rows = &scope.snapshot.rows;
    let named: Vec<u32> = found
        .iter()
        .map(|&index| match by {
            By::Number => u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1),
            By::Uid => rows[index].uid,
        })
        .collect();
    let highest = |places: &mut dyn Iterator<Item = usize>| {
        tells_modseq.then(|| places.map(|place| rows[found[place]].modseq.0).max()).flatten()
    };
    let (word, completed) = match kind {
        Kind::Search => ("* SEARCH", "SEARCH completed"),
        Kind::Sort => ("* SORT", "SORT completed"),
    };
    // RFC 9051 §6.4.4: IMAP4rev2 knows no SEARCH response.
    let by_rev2 = (session.enabled.imap4rev2 && kind == Kind::Search).then(Returns::all);
    let out = &mut session.io.out;
    let Some(returns) = returns.or(by_rev2) else {
        out.extend_from_slice(word.as_bytes());
        for &number in &named {
            out.push(b' ');
            write::number(out, u64::from(number));
        }
        // RFC 7162 §3.1.5, §3.1.6: only with something found.
        if let Some(modseq) = highest(&mut (0..found.len())) {
            out.extend_from_slice(b" (MODSEQ ");
            write::number(out, modseq);
            out.push(b')');
        }
        out.extend_from_slice(b"\r\n");
        return Ok(Tagged::ok(completed));
    };
    if !returns.is_silent() {
        let modseq = highest(&mut returns.modseq_places(found.len()).into_iter());
        returns.write(out, &Answer { correlator: Correlator { tag, mailbox: None }, by, results: &named, modseq });
    }
    if !returns.save {
        return Ok(Tagged::ok(completed));
    }
    let saved = returns.saved(found.len()).into_iter().map(|place| rows[found[place]].uid);
    save(session, saved);
    Ok(Tagged::ok(format!("{completed}, result saved")))
}

/// What keys of the selected mailbox are measured by.
pub(super) fn measure(session: &Session) -> Result<Measure<'_>, Stop> {
    let selected = session.selected()?;
    let snapshot = &selected.snapshot;
    let now = (session.shared.now)();
    Ok(Measure { count: snapshot.count(), uid_max: snapshot.uid_max(), saved: &selected.saved, now })
}

/// Keeps UIDs as `$`.
pub(super) fn save(session: &mut Session, uids: impl Iterator<Item = u32>) {
    let mut uids: Vec<u32> = uids.collect();
    uids.sort_unstable();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for uid in uids {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(uid) => *last = uid,
            _ => ranges.push((uid, uid)),
        }
    }
    if let Some(selected) = session.selected.as_mut() {
        selected.saved = ranges;
    }
}

/// RFC 5182 §2.1: a search with SAVE that ends with NO leaves nothing saved; one that ends with BAD changes nothing.
pub(super) fn forget_saved(session: &mut Session, saves: bool, done: &Run) {
    let (Ok(tagged) | Err(Stop::Tagged(tagged))) = done else { return };
    if saves && tagged.status == Status::No {
        save(session, std::iter::empty());
    }
}
