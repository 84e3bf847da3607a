//! STORE (RFC 3501 §6.4.6).

use store::{FlagChange, FlagMode, FlagsSet, Uid};

use crate::command::copy_move::with_gone;
use crate::flags::FlagList;
use crate::reply::{Run, Tagged};
use crate::selected::By;
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed, SequenceSet};

/// STORE.
#[derive(Debug)]
pub(crate) struct StoreFlags {
    pub(super) by: By,
    set: SequenceSet,
    mode: FlagMode,
    silent: bool,
    list: FlagList,
}

impl StoreFlags {
    pub(super) fn parse(cursor: &mut Cursor<'_>, by: By) -> Parsed<Self> {
        cursor.space()?;
        let set = SequenceSet::parse(cursor)?;
        cursor.space()?;
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
        Ok(Self { by, set, mode, silent, list: FlagList::parse_for_store(cursor)? })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let Self { by, set, mode, silent, list } = self;
        let selected = session.writable()?;
        let indexes = selected.resolve(&set, by).ok_or(Bad::new("Message number does not exist"))?;
        // Only decision keywords reach a message that the server moved away.
        let uids: Vec<Uid> = if list.keywords.is_empty() {
            indexes.iter().filter_map(|&index| Uid::new(selected.snapshot.rows[index].uid)).collect()
        } else {
            with_gone(selected, &set, by).unwrap_or_default()
        };
        if uids.is_empty() {
            return Ok(Tagged::ok("STORE completed"));
        }
        let change = FlagChange {
            mailbox: selected.mailbox,
            uids,
            mode,
            flags: list.flags,
            keywords: list.keywords.clone(),
            unchanged_since: None,
        };
        let before = selected.snapshot.clone();
        let (account, now) = (session.account()?, (session.shared.now)());
        let FlagsSet { entries, .. } = session.shared.store.clone().set_flags(account, change, now).await?;
        let Session { io, selected: Some(selected), .. } = session else {
            return Ok(Tagged::ok("STORE completed"));
        };
        selected.update(&entries, &mut io.out);
        let after = selected.snapshot.clone();
        for index in indexes {
            // Updates change rows, never their order.
            let (Some(was), Some(is)) = (before.rows.get(index), after.rows.get(index)) else { continue };
            // RFC 3501 §6.4.6: .SILENT spares the client what it knows; what it does not expect it is told.
            let asked = (was.flags, before.keywords(was));
            if !silent || !list.explains(mode, asked, (is.flags, after.keywords(is))) {
                selected.write_flags_of(index, by, &mut io.out);
                io.relieve().await?;
            }
        }
        Ok(Tagged::ok("STORE completed"))
    }
}
