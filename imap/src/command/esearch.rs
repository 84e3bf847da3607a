//! ESEARCH (RFC 7377, MULTISEARCH): one search through several mailboxes.

use std::collections::BTreeMap;
use std::sync::Arc;

use lnmp::Place;
use store::{MailboxId, Rights};

use crate::access::Found;
use crate::command::context::{self, Context, Results};
use crate::command::search::key::{Key, Measure};
use crate::command::search::returns::{Answer, Correlator, Returns};
use crate::command::search::scan::{Scope, matching};
use crate::command::search::{Program, forget_saved, save, updates};
use crate::limits::MULTISEARCH_MAILBOXES_MAX;
use crate::name::{MailboxName, SEPARATOR, write_name};
use crate::progress::Progress;
use crate::reply::{Run, Stop, Tagged};
use crate::selected::By;
use crate::session::Session;
use crate::snapshot::Snapshot;
use crate::wire::{Bad, Cursor, Parsed};

/// Mailboxes to be searched (RFC 7377 §2.2, RFC 5465 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Selected,
    Inboxes,
    Personal,
    Subscribed,
    /// With everything below.
    Subtree(Vec<Vec<u8>>),
    /// With what is right below.
    SubtreeOne(Vec<Vec<u8>>),
    Mailboxes(Vec<Vec<u8>>),
}

/// ESEARCH.
#[derive(Debug)]
pub(crate) struct Esearch {
    sources: Vec<Source>,
    returns: Returns,
    pub(super) program: Program,
}

fn parse_source(cursor: &mut Cursor<'_>) -> Parsed<Source> {
    let names = |cursor: &mut Cursor<'_>| {
        cursor.space()?;
        if cursor.peek() == Some(b'(') {
            let names = cursor
                .list(MULTISEARCH_MAILBOXES_MAX, "Too many mailboxes", |cursor| Ok(cursor.astring()?.into_owned()))?;
            return if names.is_empty() { Err(Bad::new("Missing mailbox")) } else { Ok(names) };
        }
        Ok(vec![cursor.astring()?.into_owned()])
    };
    Ok(match cursor.atom("Invalid source of mailboxes")?.to_ascii_uppercase().as_str() {
        "SELECTED" => Source::Selected,
        "INBOXES" => Source::Inboxes,
        "PERSONAL" => Source::Personal,
        "SUBSCRIBED" => Source::Subscribed,
        "SUBTREE" => Source::Subtree(names(cursor)?),
        "SUBTREE-ONE" => Source::SubtreeOne(names(cursor)?),
        "MAILBOXES" => Source::Mailboxes(names(cursor)?),
        _ => return Err(Bad::new("Unknown source of mailboxes")),
    })
}

impl Esearch {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        // RFC 7377 §2.2: without sources the selected mailbox is meant.
        let mut sources = vec![Source::Selected];
        if cursor.take_word("IN ") {
            sources = cursor.list(16, "Too many sources of mailboxes", parse_source)?;
            if sources.is_empty() {
                return Err(Bad::new("Missing source of mailboxes"));
            }
            cursor.space()?;
        }
        let returns = Returns::parse(cursor)?.unwrap_or_else(Returns::all);
        Ok(Self { sources, returns, program: Program::parse_with_charset(cursor)? })
    }

    pub(super) async fn run(self, session: &mut Session, tag: &str) -> Run {
        let saves = self.returns.save;
        let done = self.answer(session, tag).await;
        forget_saved(session, saves, &done);
        done
    }

    async fn answer(self, session: &mut Session, tag: &str) -> Run {
        let Self { sources, returns, program } = self;
        let key = program.keys(session)?;
        // RFC 7377 §2.2: what is saved is a result in the selected mailbox, and nothing else may be searched then.
        let only_selected = sources.iter().all(|source| *source == Source::Selected);
        if !only_selected && (returns.save || key.any(&uses_saved)) {
            return Err(Bad::new("$ and SAVE are for searches of the selected mailbox alone").into());
        }
        // RFC 7377 §2.2: it is the selected mailbox whose changes are told.
        if updates(session, Some(&returns), tag)? && session.selected.is_none() {
            return Err(Bad::new("UPDATE is for a selected mailbox, and none is").into());
        }
        let mailboxes = gather(session, &sources).await?;
        if mailboxes.len() > MULTISEARCH_MAILBOXES_MAX {
            return Ok(Tagged::no("[LIMIT] Too many mailboxes in one search"));
        }
        let count = mailboxes.len();
        for (stage, found) in mailboxes.into_values().enumerate() {
            one(session, found, &key, &returns, tag, (stage, count)).await?;
        }
        Ok(Tagged::ok("ESEARCH completed"))
    }
}

fn uses_saved(key: &Key) -> bool {
    matches!(key, Key::NumberSet(set) | Key::UidSet(set) if set.is_saved())
}

/// Searches one mailbox, and answers if there is anything to tell.
async fn one(
    session: &mut Session,
    found: Found,
    key: &Key,
    returns: &Returns,
    tag: &str,
    (stage, stages): (usize, usize),
) -> Result<(), Stop> {
    let Found { owner, mailbox, .. } = found;
    let now = (session.shared.now)();
    let is_selected = session.selected.as_ref().is_some_and(|selected| selected.mailbox == mailbox.id);
    let (scope, saved) = if is_selected {
        (Scope::selected(session)?, session.selected()?.saved.clone())
    } else {
        let reader = session.reader_of(owner).await?;
        let view = session.shared.store.open(session.account()?, mailbox.id, false).await?;
        let snapshot = Arc::new(Snapshot::of_view(&view));
        (Scope::new(session, &reader, snapshot), Vec::new())
    };
    let scope = Arc::new(scope);
    let snapshot = scope.snapshot.clone();
    let resolved =
        key.clone().resolve(Measure { count: snapshot.count(), uid_max: snapshot.uid_max(), saved: &saved, now });
    let mut progress = Progress::new(&mut session.io, tag);
    progress.stage(stage, stages);
    let kept = (is_selected && returns.update).then(|| resolved.clone().in_uids(&snapshot.rows));
    let found = matching(&scope, resolved, &mut progress).await?;
    let mut name = Vec::new();
    write_name(&mut name, &mailbox.name, session.spelling());
    let correlator = Correlator { tag, mailbox: Some((&name, mailbox.uid_validity.0.get())) };
    if let Some(key) = kept {
        let uids = found.iter().map(|&index| snapshot.rows[index].uid).collect();
        let context = Context::new(correlator, By::Uid, key, Results::Mailbox(uids));
        context::follow(session, &scope, context.with(returns.attributes.clone()));
    }
    // RFC 7377 §2.1: mailboxes where nothing was found are not mentioned.
    if found.is_empty() {
        return Ok(());
    }
    let results: Vec<u32> = found.iter().map(|&index| snapshot.rows[index].uid).collect();
    if !returns.is_silent() {
        let places = returns.modseq_places(found.len());
        let highest = places.into_iter().map(|place| snapshot.rows[found[place]].modseq.0).max();
        let modseq = highest.filter(|_| key.asks_modseq());
        // RFC 7377 §2.1: always UIDs.
        returns.write(&mut session.io.out, &Answer { correlator, by: By::Uid, results: &results, modseq });
    }
    if returns.save {
        save(session, returns.saved(results.len()).into_iter().map(|place| results[place]));
    }
    Ok(session.io.relieve().await?)
}

/// The mailboxes that sources name, each once, in the order of their names. Names that name nothing are passed over, and
/// so is what this user may not read, as if it were not there.
async fn gather(session: &Session, sources: &[Source]) -> Result<BTreeMap<(String, MailboxId), Found>, Stop> {
    let account = session.account()?;
    let own = session.shared.store.mailboxes(account).await?;
    let own = own.into_iter().map(|mailbox| Found { owner: account, mailbox, rights: Rights::ALL });
    let readable = |found: &Found| found.rights.contains(Rights::READ);
    let all: Vec<Found> = own.chain(session.shared_mailboxes().await?.into_iter().filter(readable)).collect();
    let mut gathered = BTreeMap::new();
    for source in sources {
        let mut take = |accept: &dyn Fn(&Found) -> bool| {
            for found in all.iter().filter(|found| accept(found)) {
                gathered.insert((found.mailbox.name.clone(), found.mailbox.id), found.clone());
            }
        };
        // RFC 7377 §2.2: what is not named itself needs the right `l` too.
        let listed = |found: &Found| found.rights.contains(Rights::LOOKUP);
        match source {
            Source::Personal => take(&|found| found.owner == account),
            Source::Subscribed => {
                let names = session.shared.store.subscriptions(account).await?;
                take(&|found| listed(found) && names.contains(&found.mailbox.name));
            }
            // RFC 5465 §6.3: where mail is delivered to.
            Source::Inboxes => take(&|found| {
                found.owner == account && matches!(found.mailbox.place, Place::Inbox | Place::Requests | Place::Unpaid)
            }),
            Source::Subtree(roots) => {
                let roots = roots_of(session, roots);
                take(&|found| listed(found) && is_below(&found.mailbox.name, &roots, usize::MAX));
            }
            Source::SubtreeOne(roots) => {
                let roots = roots_of(session, roots);
                take(&|found| listed(found) && is_below(&found.mailbox.name, &roots, 1));
            }
            Source::Selected => {
                let selected = session.selected.as_ref().ok_or(Bad::new("No mailbox is selected"))?.mailbox;
                take(&|found| found.mailbox.id == selected);
            }
            Source::Mailboxes(names) => {
                let names: Vec<_> = names.iter().filter_map(|name| session.name(name).ok()).collect();
                take(&|found| names.iter().any(|name| name.as_str() == found.mailbox.name));
            }
        }
    }
    Ok(gathered)
}

/// The names among what a client sent; what is no name names nothing, and the empty one is above all others.
fn roots_of(session: &Session, wires: &[Vec<u8>]) -> Vec<String> {
    let name = |wire: &Vec<u8>| match wire.is_empty() {
        true => Some(String::new()),
        false => session.name(wire).ok().map(MailboxName::into_string),
    };
    wires.iter().filter_map(name).collect()
}

/// Whether a name is one of `roots`, or at most `levels` below one.
pub(super) fn is_below(name: &str, roots: &[String], levels: usize) -> bool {
    roots.iter().any(|root| {
        if root.is_empty() {
            return name.split(SEPARATOR).count() <= levels;
        }
        name.strip_prefix(root.as_str()).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(SEPARATOR) && rest.matches(SEPARATOR).count() <= levels
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read() {
        let sources = |text: &str| Esearch::parse(&mut Cursor::new(text.as_bytes())).map(|esearch| esearch.sources);
        assert_eq!(sources(" ALL").unwrap(), [Source::Selected]);
        assert_eq!(
            sources(" IN (selected subtree-one x mailboxes (\"a b\" c)) RETURN (COUNT) UNSEEN").unwrap(),
            [
                Source::Selected,
                Source::SubtreeOne(vec![b"x".to_vec()]),
                Source::Mailboxes(vec![b"a b".to_vec(), b"c".to_vec()])
            ]
        );
        for text in
            ["", " IN () ALL", " IN (nowhere) ALL", " IN (mailboxes) ALL", " IN (subtree ()) ALL", " IN (personal)"]
        {
            assert!(sources(text).is_err(), "{text}");
        }
    }

    #[test]
    fn trees_end_where_they_should() {
        let roots = ["a".to_owned()];
        for (name, deep, one) in [("a", true, true), ("a/b", true, true), ("a/b/c", true, false), ("ab", false, false)]
        {
            assert_eq!((is_below(name, &roots, usize::MAX), is_below(name, &roots, 1)), (deep, one), "{name}");
        }
        let all = [String::new()];
        assert!(is_below("a/b", &all, usize::MAX) && is_below("a", &all, 1) && !is_below("a/b", &all, 1));
    }
}
