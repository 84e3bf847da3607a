//! The selected mailbox as one session sees it, and the untagged responses that bring the client in step.

use std::sync::Arc;

use lnmp::Place;
use store::{Entry, Flags, MailboxId, ModSeq, Rights, Uid, UidValidity, View};

use crate::access::Reader;
use crate::enabled::Enabled;
use crate::flags;
use crate::limits::KEYWORDS_ANNOUNCED_MAX;
use crate::rooms::{MailboxRoom, Signal};
use crate::snapshot::{Row, Snapshot};
use crate::wire::sequence::write_set;
use crate::wire::{SequenceSet, write};

/// Whether EXPUNGE may be told now (RFC 3501 §7.4.1: not while FETCH, STORE or SEARCH is answered).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expunges {
    Told,
    Held,
}

/// Whether a command and its responses speak of UIDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Number,
    Uid,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Selected {
    /// What reads its mail: its owner's, who may be somebody else than who is logged in.
    pub(crate) owner: Reader,
    /// What this session may do, as it was at SELECT: for what it is told. The store judges each act anew.
    pub(crate) rights: Rights,
    pub(crate) room: Arc<MailboxRoom>,
    pub(crate) mailbox: MailboxId,
    pub(crate) place: Place,
    pub(crate) uid_validity: UidValidity,
    pub(crate) read_only: bool,
    pub(crate) snapshot: Arc<Snapshot>,
    /// What the client turned on: the session's.
    pub(crate) enabled: Enabled,
    /// The client was told everything up to here: what HIGHESTMODSEQ may say (RFC 7162 §3.2).
    pub(crate) told: ModSeq,
    /// HIGHESTMODSEQ was lowered for the client, because it saw newer things than it was told all of.
    lowered: bool,
    /// What the last refresh knew.
    pub(crate) seen: Signal,
    /// Whether `\Recent` was claimed here of messages that arrived later; told to the store on leaving.
    pub(crate) claimed: bool,
    /// UIDs that are `\Recent` to this session, as ranges in order.
    recent: Vec<(u32, u32)>,
    /// Keywords the client was told of.
    announced: Vec<Arc<str>>,
    /// Messages that are gone and not told yet.
    gone: usize,
    /// Flags that others change are not told (RFC 5465: no FlagChange).
    pub(crate) quiet: bool,
    /// From where on that was so.
    withheld: Option<ModSeq>,
    /// `$`: UIDs of the result saved last, as ranges in order (RFC 5182 §2.1). Empty until a search saves one. What is
    /// expunged falls out by itself: its UID names nothing any more.
    pub(crate) saved: Vec<(u32, u32)>,
    /// Searches whose results the client follows (RFC 5267 §4.3); they end with the selection.
    pub(crate) contexts: Option<Box<crate::command::Contexts>>,
}

impl Selected {
    /// Enters a mailbox whose `view` was read after `room` began to listen.
    pub(crate) async fn enter(
        (owner, rights): (Reader, Rights),
        room: Arc<MailboxRoom>,
        view: View,
        seen: Signal,
        read_only: bool,
    ) -> Self {
        let snapshot = Snapshot::of_view(&view);
        let last = snapshot.uid_next.saturating_sub(1);
        let before = if read_only { room.claimed() } else { room.claim(last) };
        let recent = match view.recent_from {
            Some(from) if from.get().max(before + 1) <= last => vec![(from.get().max(before + 1), last)],
            _ => Vec::new(),
        };
        Self {
            owner,
            rights,
            mailbox: view.mailbox.id,
            place: view.mailbox.place,
            uid_validity: view.mailbox.uid_validity,
            read_only,
            enabled: Enabled::default(),
            told: snapshot.modseq,
            lowered: false,
            snapshot: room.share(snapshot).await,
            room,
            seen,
            claimed: false,
            recent,
            announced: Vec::new(),
            gone: 0,
            quiet: false,
            withheld: None,
            saved: Vec::new(),
            contexts: None,
        }
    }

    /// Whether there is nothing to be told.
    pub(crate) fn is_in_step(&self, expunges: Expunges) -> bool {
        let signal = self.room.signal();
        let known = signal.missed == self.seen.missed && signal.modseq <= self.snapshot.modseq.0;
        known && (self.gone == 0 || expunges == Expunges::Held)
    }

    pub(crate) fn is_recent(&self, uid: u32) -> bool {
        let at = self.recent.partition_point(|&(_, last)| last < uid);
        self.recent.get(at).is_some_and(|&(first, _)| first <= uid)
    }

    /// UIDs that are `\Recent` to this session, as ranges in order.
    pub(crate) fn recent(&self) -> &[(u32, u32)] {
        &self.recent
    }

    fn recent_count(&self) -> usize {
        let rows = &self.snapshot.rows;
        let count = |&(first, last): &(u32, u32)| {
            rows.partition_point(|row| row.uid <= last) - rows.partition_point(|row| row.uid < first)
        };
        self.recent.iter().map(count).sum()
    }

    /// FLAGS, PERMANENTFLAGS, EXISTS, RECENT, UNSEEN, UIDVALIDITY, UIDNEXT (RFC 3501 §6.3.1), HIGHESTMODSEQ.
    pub(crate) fn announce(&mut self, out: &mut Vec<u8>) {
        // RFC 9051 §2.3.2: keywords that a client can count on.
        let standard: &[&str] = if self.enabled.imap4rev2 { &flags::STANDARD_KEYWORDS } else { &[] };
        self.announced = standard.iter().map(|&word| Arc::from(word)).collect();
        self.take_words();
        self.write_flags(out);
        write_count(out, self.snapshot.rows.len(), "EXISTS");
        self.write_recent(out);
        // RFC 9586 §3: no message numbers. RFC 9051 §6.3.2 has no UNSEEN.
        let numbers = !self.enabled.uid_only && !self.enabled.imap4rev2;
        let first = || self.snapshot.rows.iter().position(|row| !row.flags.contains(Flags::SEEN));
        if let Some(first) = numbers.then(first).flatten() {
            out.extend_from_slice(b"* OK [UNSEEN ");
            write::number(out, first as u64 + 1);
            out.extend_from_slice(b"] First unseen\r\n");
        }
        out.extend_from_slice(b"* OK [UIDVALIDITY ");
        write::number(out, u64::from(self.uid_validity.0.get()));
        out.extend_from_slice(b"] UIDs valid\r\n* OK [UIDNEXT ");
        write::number(out, u64::from(self.snapshot.uid_next));
        out.extend_from_slice(b"] Predicted next UID\r\n");
        // RFC 7162 §3.1.2.1: with every SELECT once CONDSTORE is on; others pass over it. Never 0 (mail.md quirk 26).
        self.write_highest_modseq(out, "Highest");
    }

    /// `* RECENT`, which RFC 9051 has no more.
    fn write_recent(&self, out: &mut Vec<u8>) {
        if !self.enabled.imap4rev2 {
            write_count(out, self.recent_count(), "RECENT");
        }
    }

    /// `* OK [HIGHESTMODSEQ n]`
    pub(crate) fn write_highest_modseq(&self, out: &mut Vec<u8>, text: &str) {
        out.extend_from_slice(b"* OK [HIGHESTMODSEQ ");
        write::number(out, self.told.0);
        out.extend_from_slice(format!("] {text}\r\n").as_bytes());
    }

    /// RFC 7162 §3.2: a client that may have seen newer modification sequences than those of removals it was not told
    /// is told from where on to ask again; and when it knows all, that too.
    pub(crate) fn settle(&mut self, out: &mut Vec<u8>) {
        if self.enabled.qresync && (self.gone > 0 || self.lowered) {
            self.lowered = self.gone > 0;
            self.write_highest_modseq(out, if self.lowered { "Some removals are not told yet" } else { "All is told" });
        }
    }

    fn write_flags(&self, out: &mut Vec<u8>) {
        let mut names = flags::SYSTEM.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(" ");
        let mut permanent: Vec<&str> =
            flags::SYSTEM.iter().filter(|(flag, _)| self.may_change(*flag)).map(|(_, name)| *name).collect();
        for word in &self.announced {
            names.push(' ');
            names.push_str(word);
        }
        // RFC 4314 §5.1.1: as far as the user's rights go.
        if self.rights.contains(Rights::WRITE) {
            permanent.extend(self.announced.iter().map(|word| &**word));
            permanent.push("\\*");
        }
        out.extend_from_slice(format!("* FLAGS ({names})\r\n").as_bytes());
        let line = if self.read_only {
            "* OK [PERMANENTFLAGS ()] Read-only mailbox\r\n".to_owned()
        } else {
            format!("* OK [PERMANENTFLAGS ({})] Flags permitted\r\n", permanent.join(" "))
        };
        out.extend_from_slice(line.as_bytes());
    }

    /// RFC 4314 §4: `s` for `\\Seen`, `t` for `\\Deleted`, `w` for all others.
    pub(crate) fn may_change(&self, flag: Flags) -> bool {
        self.rights.contains(match flag {
            Flags::SEEN => Rights::SEEN,
            Flags::DELETED => Rights::DELETE_MESSAGES,
            _ => Rights::WRITE,
        })
    }

    /// Whether SELECT says READ-WRITE (RFC 4314 §5.2). `\\Seen` is each user's own, so that `s` alone says nothing.
    pub(crate) fn is_writable(&self) -> bool {
        const WRITES: Rights = Rights::INSERT.with(Rights::EXPUNGE).with(Rights::WRITE).with(Rights::DELETE_MESSAGES);
        !self.read_only && self.rights.intersects(WRITES)
    }

    /// Names keywords that came into use, before a FETCH shows one.
    fn announce_words(&mut self, out: &mut Vec<u8>) {
        let before = self.announced.len();
        self.take_words();
        if self.announced.len() > before {
            self.write_flags(out);
        }
    }

    fn take_words(&mut self) {
        for word in self.snapshot.words() {
            if self.announced.len() >= KEYWORDS_ANNOUNCED_MAX {
                break;
            }
            if !self.announced.iter().any(|known| known.eq_ignore_ascii_case(word)) {
                self.announced.push(word.clone());
            }
        }
    }

    /// Goes from the state the client knows to `next`, and says what changed.
    pub(crate) fn move_to(&mut self, next: Arc<Snapshot>, expunges: Expunges, by: By, out: &mut Vec<u8>) {
        let resumes = self.withheld.filter(|_| !self.quiet);
        let same = Arc::ptr_eq(&next, &self.snapshot);
        if same && resumes.is_none() && (self.gone == 0 || expunges == Expunges::Held) {
            return;
        }
        let before = self.snapshot.clone();
        let mut next = next;
        if next.rows.iter().any(|row| row.gone) {
            // Only our own state has such rows; the client is about to hear of them, or has to keep them below.
            Arc::make_mut(&mut next).rows.retain(|row| !row.gone);
        }
        let (mut vanished, mut changed, mut ahead) = (Vec::new(), Vec::new(), Vec::new());
        let mut old = before.rows.iter().enumerate().peekable();
        let mut first_new = None;
        for (at, row) in next.rows.iter().enumerate() {
            while let Some((number, _)) = old.next_if(|(_, old)| old.uid < row.uid) {
                vanished.push(number);
            }
            match old.next_if(|(_, old)| old.uid == row.uid) {
                Some((_, old)) => {
                    let differs = || old.flags != row.flags || before.keywords(old) != next.keywords(row);
                    if old.modseq > row.modseq {
                        // A STORE of ours that `next` does not know yet.
                        ahead.push((at, *old));
                    } else if old.modseq != row.modseq && (self.enabled.condstore || differs())
                        || resumes.is_some_and(|since| row.modseq > since)
                    {
                        changed.push(row.uid);
                    }
                }
                None if first_new.is_none() => first_new = Some(at),
                None => {}
            }
        }
        vanished.extend(old.map(|(number, _)| number));
        if resumes.is_some() {
            self.withheld = None;
        }
        if self.quiet && !changed.is_empty() {
            self.withheld.get_or_insert(before.modseq);
            changed.clear();
        }
        for (at, row) in ahead {
            Arc::make_mut(&mut next).keep_newer(at, &before, row);
        }
        let new_uids = first_new.map(|at| (next.rows[at].uid, next.uid_max()));
        match expunges {
            // RFC 7162 §3.2.10, RFC 9586 §3.
            Expunges::Told if self.enabled.qresync || self.enabled.uid_only => {
                if !vanished.is_empty() {
                    out.extend_from_slice(b"* VANISHED ");
                    write_set(out, vanished.iter().map(|&number| before.rows[number].uid));
                    out.extend_from_slice(b"\r\n");
                }
                self.gone = 0;
            }
            Expunges::Told => {
                // From the end, so that each number still means what the client thinks.
                for number in vanished.iter().rev() {
                    write_count(out, number + 1, "EXPUNGE");
                }
                self.gone = 0;
            }
            Expunges::Held => {
                if !vanished.is_empty() {
                    let kept = Arc::make_mut(&mut next);
                    for &number in &vanished {
                        kept.keep_gone(&before, before.rows[number]);
                    }
                }
                self.gone = vanished.len();
            }
        }
        self.snapshot = next;
        if self.gone == 0 && self.withheld.is_none() {
            self.told = self.told.max(self.snapshot.modseq);
        }
        if let Some((first, last)) = new_uids {
            self.take_recent(first, last);
            write_count(out, self.snapshot.rows.len(), "EXISTS");
            self.write_recent(out);
        }
        self.announce_words(out);
        for uid in changed {
            if let Some(index) = self.snapshot.index_of(uid) {
                self.write_flags_of(index, by, out);
            }
        }
    }

    fn take_recent(&mut self, first: u32, last: u32) {
        let before = if self.read_only {
            self.room.claimed()
        } else {
            self.claimed = true;
            self.room.claim(last)
        };
        let first = first.max(before.saturating_add(1));
        if first <= last {
            self.recent.push((first, last));
        }
    }

    /// Takes over what the store says of some entries; returns the indexes of those known here.
    pub(crate) fn update(&mut self, entries: &[Entry], out: &mut Vec<u8>) -> Vec<usize> {
        let mut indexes = Vec::with_capacity(entries.len());
        if !entries.is_empty() {
            for entry in entries {
                let Some(index) = self.snapshot.index_of(entry.uid.get()) else { continue };
                // What a STORE left as it was needs no copy of a shared list.
                if self.snapshot.rows[index].modseq != entry.modseq {
                    Arc::make_mut(&mut self.snapshot).update(index, entry);
                }
                indexes.push(index);
            }
            self.announce_words(out);
        }
        indexes
    }

    /// `* n FETCH (FLAGS (…))`, with the UID where the command speaks of UIDs (RFC 3501 §6.4.8).
    pub(crate) fn write_flags_of(&self, index: usize, by: By, out: &mut Vec<u8>) {
        let row = &self.snapshot.rows[index];
        self.begin_fetch(index, out);
        self.write_uid_item(row, by, out);
        self.write_flags_item(row, out);
        if self.enabled.condstore {
            out.push(b' ');
            write_modseq_item(row, out);
        }
        out.extend_from_slice(b")\r\n");
    }

    /// `* n FETCH (UID … MODSEQ (…))`: all that a silent STORE changed (RFC 7162 §3.1.3).
    pub(crate) fn write_modseq_of(&self, index: usize, by: By, out: &mut Vec<u8>) {
        let row = &self.snapshot.rows[index];
        self.begin_fetch(index, out);
        self.write_uid_item(row, by, out);
        write_modseq_item(row, out);
        out.extend_from_slice(b")\r\n");
    }

    /// `* n FETCH (`, or `* uid UIDFETCH (` (RFC 9586 §3).
    pub(crate) fn begin_fetch(&self, index: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"* ");
        if self.enabled.uid_only {
            write::number(out, u64::from(self.snapshot.rows[index].uid));
            out.extend_from_slice(b" UIDFETCH (");
        } else {
            write::number(out, index as u64 + 1);
            out.extend_from_slice(b" FETCH (");
        }
    }

    /// `UID n ` where a response has to have it. RFC 7162 §3.2.4: in every unsolicited one once CONDSTORE is on;
    /// RFC 9051 §7.5.2: by IMAP4rev2 too.
    fn write_uid_item(&self, row: &Row, by: By, out: &mut Vec<u8>) {
        let always = self.enabled.condstore || self.enabled.imap4rev2;
        if (by == By::Uid || always) && !self.enabled.uid_only {
            out.extend_from_slice(b"UID ");
            write::number(out, u64::from(row.uid));
            out.push(b' ');
        }
    }

    /// `* VANISHED (EARLIER)`: those of `vanished` within `ranges` and above `known`. What this session still has is
    /// told when its turn comes, as VANISHED alone (RFC 7162 §3.2.10).
    pub(crate) fn write_vanished_earlier(
        &self,
        vanished: &[Uid],
        ranges: &[(u32, u32)],
        known: u32,
        out: &mut Vec<u8>,
    ) {
        let within = |uid: u32| {
            let at = ranges.partition_point(|&(_, high)| high < uid);
            ranges.get(at).is_some_and(|&(low, _)| low <= uid)
        };
        let told = |uid: &u32| *uid > known && within(*uid) && self.snapshot.index_of(*uid).is_none();
        let mut uids = vanished.iter().map(|uid| uid.get()).filter(told).peekable();
        if uids.peek().is_some() {
            out.extend_from_slice(b"* VANISHED (EARLIER) ");
            write_set(out, uids);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// `FLAGS (…)`
    pub(crate) fn write_flags_item(&self, row: &Row, out: &mut Vec<u8>) {
        out.extend_from_slice(b"FLAGS (");
        let recent = !self.enabled.imap4rev2 && self.is_recent(row.uid);
        flags::write(out, row.flags, self.snapshot.keywords(row), recent);
        out.push(b')');
    }

    /// The messages a set names, as indexes in order; `None` when it names a message number that does not exist
    /// (RFC 3501 §9: an error; UIDs that do not exist are not).
    pub(crate) fn resolve(&self, set: &SequenceSet, by: By) -> Option<Vec<usize>> {
        let rows = &self.snapshot.rows;
        let of_uids = |ranges: &[(u32, u32)]| {
            let mut indexes = Vec::new();
            for &(low, high) in ranges {
                let from = rows.partition_point(|row| row.uid < low);
                let to = rows.partition_point(|row| row.uid <= high);
                indexes.extend(from..to);
            }
            Some(indexes)
        };
        match by {
            _ if set.is_saved() => of_uids(&self.saved),
            By::Uid => of_uids(&set.resolve(self.snapshot.uid_max())),
            By::Number => {
                let count = self.snapshot.count();
                if count == 0 {
                    // `1:*` in an empty mailbox means nothing rather than an error: clients ask so.
                    return (set.has_star() && set.largest_number() <= 1).then(Vec::new);
                }
                if set.largest_number() > count {
                    return None;
                }
                let ranges = set.resolve(count);
                Some(ranges.into_iter().flat_map(|(low, high)| low as usize - 1..high as usize).collect())
            }
        }
    }
}

/// `MODSEQ (n)`
pub(crate) fn write_modseq_item(row: &Row, out: &mut Vec<u8>) {
    out.extend_from_slice(b"MODSEQ (");
    write::number(out, row.modseq.0);
    out.push(b')');
}

fn write_count(out: &mut Vec<u8>, count: usize, what: &str) {
    out.extend_from_slice(b"* ");
    write::number(out, count as u64);
    out.push(b' ');
    out.extend_from_slice(what.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::Rooms;
    use crate::snapshot::tests::{changes, entry, snapshot};
    use crate::wire::Cursor;
    use store::AccountId;

    fn selected(snapshot: Snapshot) -> Selected {
        let rooms = Arc::new(Rooms::default());
        let identity = lnmp::Identity::from_secret_bytes(&[1; 32]).unwrap();
        let owner = Reader {
            account: AccountId(1),
            opener: Arc::new(lnmp::Opener::new(&identity)),
            room: rooms.account(AccountId(1)),
        };
        Selected {
            owner,
            rights: Rights::ALL,
            room: rooms.mailbox(AccountId(1), MailboxId(1)),
            mailbox: MailboxId(1),
            place: Place::Inbox,
            uid_validity: UidValidity(1.try_into().unwrap()),
            read_only: false,
            enabled: Enabled::default(),
            told: snapshot.modseq,
            lowered: false,
            snapshot: Arc::new(snapshot),
            seen: Signal::default(),
            claimed: false,
            recent: Vec::new(),
            announced: Vec::new(),
            gone: 0,
            quiet: false,
            withheld: None,
            saved: Vec::new(),
            contexts: None,
        }
    }

    fn moved(selected: &mut Selected, next: Snapshot, expunges: Expunges) -> String {
        let mut out = Vec::new();
        selected.move_to(Arc::new(next), expunges, By::Number, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn three() -> Snapshot {
        snapshot(3, &[entry(1, Flags::NONE, &[], 1), entry(2, Flags::NONE, &[], 2), entry(4, Flags::NONE, &[], 3)])
    }

    #[test]
    fn changes_are_told_expunges_first_then_exists_then_flags() {
        let mut selected = selected(three());
        let next =
            three().after(&changes(9, &[entry(2, Flags::SEEN, &["$a"], 5), entry(7, Flags::NONE, &[], 6)], &[1, 4]));
        assert_eq!(
            moved(&mut selected, next, Expunges::Told),
            "* 3 EXPUNGE\r\n* 1 EXPUNGE\r\n* 2 EXISTS\r\n* 1 RECENT\r\n\
             * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $a)\r\n\
             * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $a \\*)] Flags permitted\r\n\
             * 1 FETCH (FLAGS (\\Seen $a))\r\n"
        );
    }

    #[test]
    fn held_expunges_keep_numbers_and_are_told_later() {
        let mut selected = selected(three());
        let next = three().after(&changes(9, &[entry(7, Flags::NONE, &[], 6)], &[2]));
        assert_eq!(moved(&mut selected, next.clone(), Expunges::Held), "* 4 EXISTS\r\n* 1 RECENT\r\n");
        assert_eq!(selected.snapshot.rows[2].uid, 4);
        let same = selected.snapshot.clone();
        let mut out = Vec::new();
        selected.move_to(same.clone(), Expunges::Held, By::Number, &mut out);
        assert!(out.is_empty());
        selected.move_to(same, Expunges::Told, By::Number, &mut out);
        assert_eq!(out, b"* 2 EXPUNGE\r\n");
        assert_eq!(selected.snapshot.count(), 3);
        assert_eq!(moved(&mut selected, next, Expunges::Told), "");
    }

    #[test]
    fn flags_nobody_asked_for_are_told_when_they_are() {
        let mut selected = selected(three());
        selected.quiet = true;
        let next = three().after(&changes(9, &[entry(2, Flags::SEEN, &[], 5), entry(7, Flags::NONE, &[], 6)], &[]));
        assert_eq!(moved(&mut selected, next, Expunges::Told), "* 4 EXISTS\r\n* 1 RECENT\r\n");
        assert_eq!(selected.told, ModSeq(3));
        selected.quiet = false;
        let same = selected.snapshot.clone();
        let mut out = Vec::new();
        selected.move_to(same.clone(), Expunges::Held, By::Uid, &mut out);
        selected.move_to(same, Expunges::Held, By::Uid, &mut out);
        let told = "* 2 FETCH (UID 2 FLAGS (\\Seen))\r\n* 4 FETCH (UID 7 FLAGS (\\Recent))\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), told);
        assert_eq!(selected.told, ModSeq(9));
    }

    #[test]
    fn qresync_is_told_uids_and_from_where_on_to_ask() {
        let mut selected = selected(three());
        selected.enabled.turn_on("QRESYNC");
        let next = three().after(&changes(9, &[entry(1, Flags::SEEN, &[], 8)], &[2, 4]));
        assert_eq!(
            moved(&mut selected, next.clone(), Expunges::Held),
            "* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (8))\r\n"
        );
        let mut out = Vec::new();
        selected.settle(&mut out);
        assert_eq!(out, b"* OK [HIGHESTMODSEQ 3] Some removals are not told yet\r\n");
        assert_eq!(moved(&mut selected, next, Expunges::Told), "* VANISHED 2,4\r\n");
        out.clear();
        selected.settle(&mut out);
        selected.settle(&mut out);
        assert_eq!(out, b"* OK [HIGHESTMODSEQ 9] All is told\r\n");
    }

    #[test]
    fn a_store_of_ours_is_not_undone_by_an_older_state_of_others() {
        let mut selected = selected(three());
        let mut out = Vec::new();
        selected.update(&[entry(2, Flags::SEEN, &["$a"], 7)], &mut out);
        let next = three().after(&changes(5, &[entry(1, Flags::SEEN, &[], 5)], &[]));
        assert_eq!(moved(&mut selected, next, Expunges::Told), "* 1 FETCH (FLAGS (\\Seen))\r\n");
        let row = &selected.snapshot.rows[1];
        assert_eq!((row.flags, selected.snapshot.keywords(row)), (Flags::SEEN, "$a"));
    }

    #[test]
    fn what_vanished_earlier_is_cut_to_what_was_asked_and_is_not_there() {
        let selected = selected(three());
        let mut out = Vec::new();
        let vanished: Vec<Uid> = [1, 3, 5, 6, 9].into_iter().filter_map(Uid::new).collect();
        selected.write_vanished_earlier(&vanished, &[(1, 6)], 0, &mut out);
        selected.write_vanished_earlier(&vanished, &[(1, 4), (6, 9)], 3, &mut out);
        selected.write_vanished_earlier(&vanished, &[(7, 8)], 0, &mut out);
        assert_eq!(out, b"* VANISHED (EARLIER) 3,5:6\r\n* VANISHED (EARLIER) 6,9\r\n");
    }

    #[test]
    fn only_the_first_session_told_sees_recent() {
        let mut first = selected(three());
        let mut second = Selected { room: first.room.clone(), ..selected(three()) };
        let next = three().after(&changes(9, &[entry(7, Flags::NONE, &[], 6)], &[]));
        assert_eq!(moved(&mut first, next.clone(), Expunges::Told), "* 4 EXISTS\r\n* 1 RECENT\r\n");
        assert_eq!(moved(&mut second, next, Expunges::Told), "* 4 EXISTS\r\n* 0 RECENT\r\n");
        assert!(first.is_recent(7) && !second.is_recent(7) && !first.is_recent(4));
    }

    #[test]
    fn sets_name_numbers_that_exist_and_any_uids() {
        let selected = selected(three());
        let resolve =
            |text: &str, by| selected.resolve(&SequenceSet::parse(&mut Cursor::new(text.as_bytes())).unwrap(), by);
        assert_eq!(resolve("1:*", By::Number), Some(vec![0, 1, 2]));
        assert_eq!(resolve("4", By::Number), None);
        assert_eq!(resolve("2:4", By::Uid), Some(vec![1, 2]));
        assert_eq!(resolve("9:*", By::Uid), Some(vec![2]));
        assert_eq!(resolve("3,9", By::Uid), Some(vec![]));
        assert_eq!(resolve("3:1", By::Number), Some(vec![0, 1, 2]));
    }
}
