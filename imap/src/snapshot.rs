//! A mailbox at one modification sequence: what a session's message numbers refer to.
//!
//! Snapshots are immutable and shared by all sessions that are in step, so that five hundred idle connections to
//! one mailbox cost one list of messages. What a session alone knows (`\Recent`) is kept outside.

use std::collections::HashMap;
use std::sync::Arc;

use store::{Changes, Entry, Flags, MessageId, ModSeq, View};

use crate::limits::INTERNAL_DATE_MIN_MS;
use crate::wire::date::{DateTimeZone, Day};

/// One message, 48 octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) message: MessageId,
    pub(crate) modseq: ModSeq,
    /// INTERNALDATE as shown.
    pub(crate) internal_date: i64,
    /// When it came into the mailbox, in seconds since 1970; 0: nobody knows. A search falls back to INTERNALDATE
    /// (RFC 8514 §4.3).
    pub(crate) saved_at: u32,
    /// The zone of INTERNALDATE: minutes east of UTC.
    pub(crate) zone: i16,
    /// RFC822.SIZE.
    pub(crate) size: u64,
    pub(crate) uid: u32,
    /// Index into [`Keywords`].
    keywords: u32,
    pub(crate) flags: Flags,
    /// Expunged, but the session may not be told yet (RFC 3501 §7.4.1).
    pub(crate) gone: bool,
}

impl Row {
    /// INTERNALDATE as whoever gave it wrote it.
    pub(crate) fn internal_date_time(&self) -> DateTimeZone {
        DateTimeZone { ms: self.internal_date, zone: self.zone }
    }

    /// The day INTERNALDATE shows: searches disregard its time and zone (RFC 3501 §6.4.4).
    pub(crate) fn internal_day(&self) -> Day {
        Day::of_unix_ms(self.internal_date.saturating_add(i64::from(self.zone) * 60_000))
    }

    /// The day SAVEDATE shows; where nobody knows it, INTERNALDATE's (RFC 8514 §4.3).
    pub(crate) fn saved_day(&self) -> Day {
        match self.saved_at {
            0 => self.internal_day(),
            seconds => Day::of_unix_ms(i64::from(seconds) * 1000),
        }
    }
}

/// The keyword lists in use, each once; number 0 is the empty one. Rows with the same keywords share.
#[derive(Debug, Clone, Default)]
struct Keywords {
    lists: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
    /// Every keyword once, as first spelled.
    words: Vec<Arc<str>>,
}

impl Keywords {
    fn number(&mut self, keywords: &[String]) -> u32 {
        if self.lists.is_empty() {
            self.lists.push("".into());
        }
        if keywords.is_empty() {
            return 0;
        }
        let joined = keywords.join(" ");
        if let Some(&number) = self.numbers.get(joined.as_str()) {
            return number;
        }
        for word in keywords {
            if !self.words.iter().any(|known| known.eq_ignore_ascii_case(word)) {
                self.words.push(word.as_str().into());
            }
        }
        let joined: Arc<str> = joined.into();
        let number = u32::try_from(self.lists.len()).unwrap_or(0);
        self.lists.push(joined.clone());
        self.numbers.insert(joined, number);
        number
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// Everything up to here is in it.
    pub(crate) modseq: ModSeq,
    /// The next UID.
    pub(crate) uid_next: u32,
    /// In UID order; a message's number is its index and one.
    pub(crate) rows: Vec<Row>,
    keywords: Arc<Keywords>,
}

impl Snapshot {
    /// The state SELECT shows.
    pub(crate) fn of_view(view: &View) -> Self {
        let mut snapshot = Self {
            modseq: view.mailbox.highest_modseq,
            uid_next: view.mailbox.uid_next.get(),
            rows: Vec::with_capacity(view.entries.len()),
            keywords: Arc::default(),
        };
        for entry in &view.entries {
            let row = snapshot.row(entry);
            snapshot.rows.push(row);
        }
        snapshot
    }

    /// The state after `changes`. Rows of messages that are gone are left out.
    pub(crate) fn after(&self, changes: &Changes) -> Self {
        let mut next = Self {
            modseq: changes.highest_modseq.max(self.modseq),
            uid_next: changes.uid_next.get().max(self.uid_next),
            rows: Vec::with_capacity(self.rows.len() + changes.changed.len()),
            keywords: self.keywords.clone(),
        };
        let mut changed = changes.changed.iter().peekable();
        let mut vanished = changes.vanished.iter().map(|uid| uid.get()).peekable();
        for row in &self.rows {
            while let Some(entry) = changed.next_if(|entry| entry.uid.get() < row.uid) {
                let row = next.row(entry);
                next.rows.push(row);
            }
            while vanished.next_if(|&uid| uid < row.uid).is_some() {}
            let entry = changed.next_if(|entry| entry.uid.get() == row.uid);
            if vanished.peek() == Some(&row.uid) || row.gone {
                continue;
            }
            let row = match entry {
                // A STORE of ours may be ahead of the snapshot.
                Some(entry) if entry.modseq >= row.modseq => next.row(entry),
                _ => *row,
            };
            next.rows.push(row);
        }
        for entry in changed {
            let row = next.row(entry);
            next.rows.push(row);
        }
        next
    }

    fn row(&mut self, entry: &Entry) -> Row {
        let keywords =
            if entry.keywords.is_empty() { 0 } else { Arc::make_mut(&mut self.keywords).number(&entry.keywords) };
        Row {
            message: entry.message,
            modseq: entry.modseq,
            internal_date: entry.internal_date.max(INTERNAL_DATE_MIN_MS),
            saved_at: entry.saved_at.and_then(|ms| u32::try_from(ms / 1000).ok()).unwrap_or(0),
            zone: entry.zone,
            size: entry.size,
            uid: entry.uid.get(),
            keywords,
            flags: entry.flags,
            gone: false,
        }
    }

    /// Overwrites one message's state.
    pub(crate) fn update(&mut self, index: usize, entry: &Entry) {
        let gone = self.rows[index].gone;
        self.rows[index] = Row { gone, ..self.row(entry) };
    }

    /// Puts a row of another snapshot in the place of ours, which is older.
    pub(crate) fn keep_newer(&mut self, index: usize, other: &Self, row: Row) {
        let keywords = self.adopt(other, &row);
        self.rows[index] = Row { keywords, ..row };
    }

    /// Puts a row of another snapshot in, in order, as a message that is gone.
    pub(crate) fn keep_gone(&mut self, other: &Self, row: Row) {
        let at = self.rows.partition_point(|present| present.uid < row.uid);
        let keywords = self.adopt(other, &row);
        self.rows.insert(at, Row { gone: true, keywords, ..row });
    }

    /// Our number for the keywords of a row of another snapshot.
    fn adopt(&mut self, other: &Self, row: &Row) -> u32 {
        let words: Vec<String> = other.keywords(row).split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect();
        if words.is_empty() { 0 } else { Arc::make_mut(&mut self.keywords).number(&words) }
    }

    /// The keywords of a row of this snapshot, with spaces between.
    pub(crate) fn keywords(&self, row: &Row) -> &str {
        self.keywords.lists.get(row.keywords as usize).map_or("", |list| list)
    }

    /// Every keyword in use.
    pub(crate) fn words(&self) -> &[Arc<str>] {
        &self.keywords.words
    }

    /// Messages.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    /// The largest UID; 0 when empty.
    pub(crate) fn uid_max(&self) -> u32 {
        self.rows.last().map_or(0, |row| row.uid)
    }

    /// The index of a UID.
    pub(crate) fn index_of(&self, uid: u32) -> Option<usize> {
        self.rows.binary_search_by_key(&uid, |row| row.uid).ok()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use store::Uid;

    pub(crate) fn entry(uid: u32, flags: Flags, keywords: &[&str], modseq: u64) -> Entry {
        Entry {
            uid: Uid::new(uid).unwrap(),
            message: MessageId(i64::from(uid) + 100),
            flags,
            keywords: keywords.iter().map(|word| (*word).to_owned()).collect(),
            modseq: ModSeq(modseq),
            internal_date: 1_700_000_000_000,
            zone: 0,
            saved_at: None,
            size: 10,
        }
    }

    pub(crate) fn snapshot(modseq: u64, entries: &[Entry]) -> Snapshot {
        let empty = Snapshot { modseq: ModSeq(0), uid_next: 1, rows: Vec::new(), keywords: Arc::default() };
        empty.after(&changes(modseq, entries, &[]))
    }

    pub(crate) fn changes(modseq: u64, changed: &[Entry], vanished: &[u32]) -> Changes {
        Changes {
            changed: changed.to_vec(),
            vanished: vanished.iter().map(|&uid| Uid::new(uid).unwrap()).collect(),
            uid_next: Uid::new(changed.last().map_or(1, |entry| entry.uid.get() + 1)).unwrap(),
            highest_modseq: ModSeq(modseq),
        }
    }

    #[test]
    fn changes_are_merged_in_uid_order() {
        let before = snapshot(
            3,
            &[entry(1, Flags::NONE, &[], 1), entry(2, Flags::NONE, &["$a"], 2), entry(5, Flags::NONE, &[], 3)],
        );
        let after =
            before.after(&changes(6, &[entry(1, Flags::SEEN, &["$a"], 4), entry(7, Flags::NONE, &["$b"], 5)], &[2, 6]));
        let shown: Vec<_> = after.rows.iter().map(|row| (row.uid, row.flags, after.keywords(row))).collect();
        assert_eq!(shown, [(1, Flags::SEEN, "$a"), (5, Flags::NONE, ""), (7, Flags::NONE, "$b")]);
        assert_eq!(after.words().iter().map(|word| &**word).collect::<Vec<_>>(), ["$a", "$b"]);
        assert_eq!((after.modseq, after.uid_next, after.index_of(5)), (ModSeq(6), 8, Some(1)));
    }

    #[test]
    fn a_row_is_small() {
        assert!(size_of::<Row>() <= 48);
    }

    #[test]
    fn a_message_that_is_gone_can_stay_for_a_session() {
        let before = snapshot(3, &[entry(1, Flags::NONE, &[], 1), entry(2, Flags::NONE, &["$a"], 2)]);
        let mut after = before.after(&changes(4, &[], &[2]));
        assert_eq!(after.count(), 1);
        after.keep_gone(&before, before.rows[1]);
        assert!(after.rows[1].gone && after.keywords(&after.rows[1]) == "$a");
        assert_eq!(after.after(&changes(5, &[], &[])).count(), 1);
    }
}
