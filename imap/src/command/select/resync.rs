//! The QRESYNC parameter of SELECT (RFC 7162 §3.2.5): what changed while a client was away.

use store::{ModSeq, StoreError};

use crate::reply::Stop;
use crate::selected::By;
use crate::session::Session;
use crate::snapshot::Row;
use crate::wire::{Bad, Cursor, Parsed, SequenceSet};

/// What a client knows of a mailbox.
#[derive(Debug)]
pub(super) struct Resync {
    uid_validity: u32,
    modseq: u64,
    /// The UIDs it asks about; without, all.
    known: Option<Vec<(u32, u32)>>,
    /// Message numbers and the UIDs they had.
    pub(super) matches: Option<Matches>,
}

/// Numbers and UIDs in ascending order, one UID for each number.
#[derive(Debug)]
pub(super) struct Matches {
    numbers: Vec<(u32, u32)>,
    uids: Vec<(u32, u32)>,
}

impl Resync {
    /// `"(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"`
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.expect(b'(', "QRESYNC takes a list")?;
        let uid_validity = cursor.number("Invalid UIDVALIDITY")?;
        cursor.space()?;
        let mut resync = Self { uid_validity, modseq: cursor.modseq()?, known: None, matches: None };
        while cursor.take(b' ') {
            match cursor.peek() {
                Some(b'(') if resync.matches.is_none() => resync.matches = Some(Matches::parse(cursor)?),
                Some(_) if resync.matches.is_none() && resync.known.is_none() => {
                    resync.known = Some(numbers_only(cursor)?);
                }
                _ => return Err(Bad::new("Too many arguments of QRESYNC")),
            }
        }
        cursor.expect(b')', "Missing ')'")?;
        Ok(resync)
    }

    /// Tells what vanished and what changed of the mailbox just selected.
    pub(super) async fn tell(&self, session: &mut Session) -> Result<(), Stop> {
        let account = session.account()?;
        let store = session.shared.store.clone();
        let Session { io, selected: Some(selected), .. } = session else { return Ok(()) };
        if selected.uid_validity.0.get() != self.uid_validity {
            // RFC 7162 §3.2.5: the rest means nothing then; the client has read the new UIDVALIDITY.
            return Ok(());
        }
        let all = [(1, selected.snapshot.uid_next - 1)];
        let ranges = self.known.as_deref().unwrap_or(&all);
        let changes = match store.changes(account, selected.mailbox, ModSeq(self.modseq)).await {
            Ok(changes) => changes,
            // The next command says so.
            Err(StoreError::NoSuch(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let rows = &selected.snapshot.rows;
        let known = self.matches.as_ref().map_or(0, |matches| matches.known_to(rows));
        selected.write_vanished_earlier(&changes.vanished, ranges, known, &mut io.out);
        for (index, row) in rows.iter().enumerate() {
            let at = ranges.partition_point(|&(_, high)| high < row.uid);
            if row.modseq.0 > self.modseq && ranges.get(at).is_some_and(|&(low, _)| low <= row.uid) {
                selected.write_flags_of(index, By::Uid, &mut io.out);
                io.relieve().await?;
            }
        }
        Ok(())
    }
}

impl Matches {
    /// `"(" known-sequence-set SP known-uid-set ")"`
    fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.expect(b'(', "Expected a list")?;
        let numbers = numbers_only(cursor)?;
        cursor.space()?;
        let uids = numbers_only(cursor)?;
        cursor.expect(b')', "Missing ')'")?;
        let length = |ranges: &[(u32, u32)]| ranges.iter().map(|(low, high)| u64::from(high - low) + 1).sum::<u64>();
        // RFC 7162 §3.2.5.2: one UID for each number.
        if length(&numbers) != length(&uids) {
            return Err(Bad::new("Message numbers and UIDs that match are not equally many"));
        }
        Ok(Self { numbers, uids })
    }

    /// Up to which UID the client knows of every removal: as many messages lie there as did (RFC 7162 §3.2.5.2).
    fn known_to(&self, rows: &[Row]) -> u32 {
        let pairs = each(&self.numbers).zip(each(&self.uids)).take_while(|(number, _)| *number as usize <= rows.len());
        pairs.filter(|&(number, uid)| rows[number as usize - 1].uid == uid).map(|(_, uid)| uid).last().unwrap_or(0)
    }
}

/// Every number of some ranges.
fn each(ranges: &[(u32, u32)]) -> impl Iterator<Item = u32> {
    ranges.iter().flat_map(|&(low, high)| low..=high)
}

/// A set without `*` and `$`, as ranges in order.
fn numbers_only(cursor: &mut Cursor<'_>) -> Parsed<Vec<(u32, u32)>> {
    let set = SequenceSet::parse(cursor)?;
    if set.has_star() || set.is_saved() {
        return Err(Bad::new("Sets in QRESYNC are numbers, without * and $"));
    }
    Ok(set.resolve(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::{entry, snapshot};
    use store::Flags;

    fn parse(text: &str) -> Parsed<Resync> {
        Resync::parse(&mut Cursor::new(text.as_bytes()))
    }

    #[test]
    fn the_parameter_is_read_with_and_without_its_sets() {
        assert!(parse("(67890007 20050715194045000)").unwrap().known.is_none());
        let full = parse("(67890007 90060115194045000 1:29997 (5000,7500 15000,22500))").unwrap();
        assert_eq!((full.uid_validity, full.known), (67_890_007, Some(vec![(1, 29997)])));
        assert!(parse("(1 2 (5 9))").unwrap().matches.is_some());
        for text in ["", "()", "(1)", "(1 2 1:*)", "(1 2 $)", "(1 2 3 4)", "(1 2 (1:3 4))", "(1 2 (1 2) 3)", "(1 2 3"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_that_match_say_how_far_the_client_knows() {
        let rows = snapshot(1, &[3, 6, 9, 13].map(|uid| entry(uid, Flags::NONE, &[], 1))).rows;
        let known = |text: &str| parse(&format!("(1 1 ({text}))")).unwrap().matches.unwrap().known_to(&rows);
        assert_eq!(known("1:3 3,6,9"), 9);
        assert_eq!(known("2,4 6,12"), 6);
        assert_eq!(known("4 12"), 0);
        assert_eq!(known("1:4000000000 1:4000000000"), 0);
    }
}
