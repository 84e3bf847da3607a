//! STORE of system flags alone on many messages at once: one walk reads them, a statement for each run writes them.

use super::sharing::Access;
use super::writer::Tx;
use super::{entries, keywords};
use crate::{Entry, FlagChange, FlagMode, Flags, ModSeq, Result, Uid, UnixMs};

/// UIDs up to which one message after the other is as good.
const FEW: usize = 4;
/// A range of UIDs is walked when it holds at most this many for each that is named.
const DENSE: usize = 8;

/// The entries of `uids` (in order, each once) as they are afterwards; `None` when this is not the way for them.
pub(super) fn set(
    tx: &mut Tx<'_>,
    access: Access,
    change: &FlagChange,
    uids: &[Uid],
    now: UnixMs,
) -> Result<Option<Vec<Entry>>> {
    let (Some(first), Some(last)) = (uids.first(), uids.last()) else { return Ok(None) };
    let walked = (last.get() - first.get()) as usize;
    let conditional = change.unchanged_since.is_some() || !change.keywords.is_empty();
    if conditional || uids.len() <= FEW || walked > DENSE * uids.len() {
        return Ok(None);
    }
    let there = entries::shown(tx, change.mailbox, first.get(), last.get())?;
    let gated = tx.all(
        "SELECT uid FROM entry WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3 AND gate IS NOT NULL ORDER BY uid",
        (change.mailbox.0, first.get(), last.get()),
        |row| row.get::<_, u32>(0),
    )?;
    let replaces = change.mode == FlagMode::Replace;
    let after = |flags: Flags| match change.mode {
        FlagMode::Add => flags.with(change.flags),
        FlagMode::Remove => flags.without(change.flags),
        FlagMode::Replace => change.flags,
    };
    let modseq = tx.touch(change.mailbox)?.modseq;
    let (mut unseen, mut deleted) = (0, 0);
    // Of messages that lie side by side, named and to be changed.
    let mut runs: Vec<(u32, u32)> = Vec::new();
    let mut broken = true;
    let mut changed = Vec::new();
    let mut apart = Vec::new();
    let mut named = uids.iter().peekable();
    let mut out = Vec::with_capacity(uids.len());
    for mut entry in there {
        while named.next_if(|uid| **uid < entry.uid).is_some() {}
        if named.next_if_eq(&&entry.uid).is_none() {
            broken = true;
            continue;
        }
        let uid = entry.uid.get();
        if gated.binary_search(&uid).is_ok() || replaces && !entry.keywords.is_empty() {
            apart.push(out.len());
        } else if after(entry.flags) != entry.flags {
            let (before, flags) = (entry.flags, after(entry.flags));
            let count = |flag| i64::from(flags.contains(flag)) - i64::from(before.contains(flag));
            unseen -= count(Flags::SEEN);
            deleted += count(Flags::DELETED);
            (entry.flags, entry.modseq) = (flags, ModSeq(modseq as u64));
            changed.push(entry.message);
            match runs.last_mut() {
                Some((_, last)) if !broken => *last = uid,
                _ => runs.push((uid, uid)),
            }
            broken = false;
        }
        out.push(entry);
    }
    if !runs.is_empty() {
        let mailbox = tx.touch(change.mailbox)?;
        mailbox.mark();
        mailbox.unseen += unseen;
        mailbox.deleted += deleted;
    }
    let (kept, added) = match change.mode {
        FlagMode::Add => (u8::MAX, change.flags.0),
        FlagMode::Remove => (!change.flags.0, 0),
        FlagMode::Replace => (0, change.flags.0),
    };
    for (first, last) in runs {
        tx.run(
            "UPDATE entry SET flags = (flags & ?4) | ?5, modseq = ?6 WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3
             AND gate IS NULL AND (?7 OR keywords IS NULL) AND flags <> (flags & ?4) | ?5",
            (change.mailbox.0, first, last, kept, added, modseq, !replaces),
        )?;
    }
    for message in changed {
        tx.stir(change.mailbox, message)?;
    }
    // Where a payment hangs on it, or keywords go too, each mail is looked at by itself.
    let nothing = keywords::split(&[])?;
    for &at in &apart {
        entries::set_flags_of(tx, access, change, &nothing, out[at].uid, now)?;
    }
    for &at in &apart {
        let uid = out[at].uid.get();
        if let Some(entry) = entries::shown(tx, change.mailbox, uid, uid)?.pop() {
            out[at] = entry;
        }
    }
    Ok(Some(out))
}
