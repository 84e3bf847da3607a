//! STORE (RFC 3501 §6.4.6, UNCHANGEDSINCE: RFC 7162 §3.1.3).

use store::{FlagChange, FlagMode, FlagsSet, ModSeq, Uid};

use crate::command::copy_move::{cut, with_gone};
use crate::flags::FlagList;
use crate::limits::WRITE_MESSAGES_MAX;
use crate::progress::Progress;
use crate::reply::{Run, Stop, Tagged};
use crate::selected::By;
use crate::session::Session;
use crate::wire::sequence::write_set;
use crate::wire::{Bad, Cursor, Parsed, SequenceSet};

/// STORE.
#[derive(Debug)]
pub(crate) struct StoreFlags {
    pub(super) by: By,
    set: SequenceSet,
    mode: FlagMode,
    silent: bool,
    list: FlagList,
    pub(super) unchanged_since: Option<u64>,
}

impl StoreFlags {
    pub(super) fn parse(cursor: &mut Cursor<'_>, by: By) -> Parsed<Self> {
        cursor.space()?;
        let set = SequenceSet::parse(cursor)?;
        cursor.space()?;
        let unchanged_since = parse_modifiers(cursor)?;
        let item = cursor.atom("Invalid STORE item")?.to_ascii_uppercase();
        let (item, silent) = match item.strip_suffix(".SILENT") {
            Some(item) => (item, true),
            None => (item.as_str(), false),
        };
        let mode = match item {
            "FLAGS" => FlagMode::Replace,
            "+FLAGS" => FlagMode::Add,
            "-FLAGS" => FlagMode::Remove,
            _ => return Err(Bad::new("Invalid STORE item")),
        };
        cursor.space()?;
        Ok(Self { by, set, mode, silent, list: FlagList::parse_for_store(cursor)?, unchanged_since })
    }

    pub(super) async fn run(self, session: &mut Session, tag: &str) -> Run {
        let Self { by, set, mode, silent, list, unchanged_since } = self;
        let selected = session.writable()?;
        let mut indexes = selected.resolve(&set, by).ok_or(Bad::new("Message number does not exist"))?;
        // Only decision keywords reach a message that the server moved away.
        let mut uids: Vec<Uid> = if list.keywords.is_empty() {
            indexes.iter().filter_map(|&index| Uid::new(selected.snapshot.rows[index].uid)).collect()
        } else {
            with_gone(selected, &set, by).unwrap_or_default()
        };
        if uids.is_empty() {
            return Ok(Tagged::ok("STORE completed"));
        }
        let left = cut(selected, session.shared.message_limit, &mut uids);
        if let Some(left) = left {
            // RFC 9738 §3.1: from the highest UID to the lowest.
            indexes.retain(|&index| selected.snapshot.rows[index].uid >= left.lowest);
            indexes.reverse();
        }
        let nothing_to_write = unchanged_since.is_none() && is_done(session, &indexes, mode, &list).await?;
        let selected = session.selected()?;
        let goal = uids.len();
        let (mailbox, before) = (selected.mailbox, selected.snapshot.clone());
        let (account, now) = (session.account()?, (session.shared.now)());
        let store = session.shared.store.clone();
        let is_saved = set.is_saved();
        let (mut failed, mut there, mut moved) = (Vec::<u32>::new(), Vec::<u32>::new(), Vec::<u32>::new());
        let Session { io, selected: Some(selected), .. } = session else {
            return Ok(Tagged::ok("STORE completed"));
        };
        let mut progress = Progress::new(io, tag);
        let (mut done, mut broken_off) = (0, None);
        let mut chunks: Vec<&[Uid]> = uids.chunks(WRITE_MESSAGES_MAX).collect();
        if left.is_some() {
            chunks.reverse();
        }
        if nothing_to_write {
            there = uids.iter().map(|uid| uid.get()).collect();
            chunks.clear();
        }
        for uids in chunks {
            let change = FlagChange {
                mailbox,
                uids: uids.to_vec(),
                mode,
                flags: list.flags,
                keywords: list.keywords.clone(),
                unchanged_since: unchanged_since.map(ModSeq),
            };
            let FlagsSet { entries, modified, followed } = match store.set_flags(account, change, now).await {
                Ok(set) => set,
                // Nothing changed, nothing to tell.
                Err(error) if done == 0 => return Err(error.into()),
                Err(error) => {
                    // What was done before it is told.
                    broken_off = Some(error);
                    break;
                }
            };
            failed.extend(modified.iter().map(|uid| uid.get()));
            moved.extend(followed.iter().map(|uid| uid.get()));
            there.extend(entries.iter().map(|entry| entry.uid.get()));
            selected.update(&entries, progress.out());
            done += uids.len();
            progress.at(done, goal).await?;
        }
        if left.is_some() {
            [&mut failed, &mut moved, &mut there].into_iter().for_each(|uids| uids.sort_unstable());
        }
        let after = selected.snapshot.clone();
        let mut gone = false;
        for index in indexes {
            // Updates change rows, never their order.
            let (Some(was), Some(is)) = (before.rows.get(index), after.rows.get(index)) else { continue };
            // RFC 2180 §4.2.1: another session expunged it, so there is nothing to tell of its flags. A decision that
            // reached its mail elsewhere was done.
            if there.binary_search(&is.uid).is_err() {
                gone |= moved.binary_search(&is.uid).is_err();
                continue;
            }
            let is_failed = failed.binary_search(&is.uid).is_ok();
            // RFC 3501 §6.4.6: .SILENT spares the client what it knows; what it does not expect it is told. RFC 7162
            // §3.1.3 wants it told of what a condition kept from it.
            let asked = (was.flags, before.keywords(was));
            if is_failed || !silent || !list.explains(mode, asked, (is.flags, after.keywords(is))) {
                selected.write_flags_of(index, by, &mut io.out);
            } else if selected.enabled.condstore && (unchanged_since.is_some() || was.modseq != is.modseq) {
                // RFC 7162 §3.1.3: even with .SILENT.
                selected.write_modseq_of(index, by, &mut io.out);
            }
            io.relieve().await?;
        }
        if let Some(error) = broken_off {
            return Err(error.into());
        }
        // RFC 2180 §4.2.2: the others are stored. UIDs that are gone are no error, and `$` loses them by itself
        // (RFC 5182 §2.1).
        let gone = gone && by == By::Number && !is_saved;
        let done = match modified_set(&failed, by, |uid| after.index_of(uid)) {
            // RFC 7162 §3.1.3
            Some(set) if gone => {
                Tagged::no(format!("[MODIFIED {set}] Some messages were changed since, some are gone"))
            }
            Some(set) => Tagged::ok(format!("[MODIFIED {set}] Some messages were changed since")),
            None if gone => Tagged::no("[EXPUNGEISSUED] Some messages are gone"),
            None => Tagged::ok("STORE completed"),
        };
        Ok(match left {
            Some(left) => left.told(session, done),
            None => done,
        })
    }
}

/// Whether these messages have the flags already, in a list that is the store's newest: clients mark whole mailboxes as
/// read again and again. What keywords and other users' views mean only the store knows.
async fn is_done(session: &Session, indexes: &[usize], mode: FlagMode, list: &FlagList) -> Result<bool, Stop> {
    let (selected, account) = (session.selected()?, session.account()?);
    let snapshot = &selected.snapshot;
    if selected.owner.account != account || !list.keywords.is_empty() {
        return Ok(false);
    }
    let has = |&index: &usize| {
        let row = &snapshot.rows[index];
        let now = (row.flags, snapshot.keywords(row));
        !row.gone && list.explains(mode, now, now)
    };
    if !indexes.iter().all(has) {
        return Ok(false);
    }
    let status = session.shared.store.status(account, &[selected.mailbox]).await?;
    Ok(status.first().is_some_and(|status| status.highest_modseq == snapshot.modseq))
}

/// `(UNCHANGEDSINCE n) `, if it comes next.
fn parse_modifiers(cursor: &mut Cursor<'_>) -> Parsed<Option<u64>> {
    if cursor.peek() != Some(b'(') {
        return Ok(None);
    }
    let read = cursor.list(1, "Only one STORE modifier is known: UNCHANGEDSINCE", |cursor| {
        if !cursor.take_word("UNCHANGEDSINCE ") {
            return Err(Bad::new("Unknown STORE modifier: UNCHANGEDSINCE is known"));
        }
        cursor.modseq()
    })?;
    cursor.space()?;
    read.into_iter().next().map_or(Err(Bad::new("Empty list of STORE modifiers")), |modseq| Ok(Some(modseq)))
}

/// What failed, as numbers or UIDs, as the command named them; `None` for nothing.
fn modified_set(failed: &[u32], by: By, index_of: impl Fn(u32) -> Option<usize>) -> Option<String> {
    let mut set = Vec::new();
    match by {
        By::Uid => write_set(&mut set, failed.iter().copied()),
        By::Number => {
            let numbers = failed.iter().filter_map(|&uid| index_of(uid));
            write_set(&mut set, numbers.filter_map(|index| u32::try_from(index + 1).ok()));
        }
    }
    String::from_utf8(set).ok().filter(|set| !set.is_empty())
}
