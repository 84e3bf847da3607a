//! Sequence sets (RFC 3501 §9 `sequence-set`): `1:3,7,9:*`.

use crate::limits::SEQUENCE_RANGES_MAX;
use crate::wire::cursor::{Bad, Cursor, Parsed};

/// One end of a range: a number, or `*`, the largest in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Number(u32),
    Star,
}

/// A set of message numbers or UIDs, as written; without ranges it is `$`, the result saved last (RFC 5182 §2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SequenceSet(Vec<(End, End)>);

const INVALID: Bad = Bad::new("Invalid message set");

impl SequenceSet {
    /// `$` (RFC 5182 §5), or at least one range. Zero is no number (`nz-number`).
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        if cursor.take(b'$') {
            return Ok(Self(Vec::new()));
        }
        let mut ranges = Vec::new();
        loop {
            let first = end(cursor)?;
            let last = if cursor.take(b':') { end(cursor)? } else { first };
            if ranges.len() == SEQUENCE_RANGES_MAX {
                return Err(Bad::new("Message set has too many ranges"));
            }
            ranges.push((first, last));
            if !cursor.take(b',') {
                return Ok(Self(ranges));
            }
        }
    }

    /// `$`.
    pub(crate) fn saved() -> Self {
        Self(Vec::new())
    }

    /// The ranges with `*` resolved to `largest`, in order, merged. With nothing in use `*` names nothing.
    ///
    /// `$` resolves to nothing here: ask the session ([`SequenceSet::is_saved`]).
    ///
    /// RFC 3501 §6.4.8: `n:*` with n beyond the largest UID includes the largest.
    pub(crate) fn resolve(&self, largest: u32) -> Vec<(u32, u32)> {
        let number = |end| match end {
            End::Number(number) => number,
            End::Star => largest,
        };
        let mut ranges: Vec<(u32, u32)> = self
            .0
            .iter()
            .map(|&(first, last)| (number(first), number(last)))
            .map(|(first, last)| (first.min(last).max(1), first.max(last)))
            .filter(|&(low, high)| low <= high)
            .collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            match merged.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        merged
    }

    /// Whether it is `$`, which only the session knows.
    pub(crate) fn is_saved(&self) -> bool {
        self.0.is_empty()
    }

    /// The largest number written out; 0 when only `*` is.
    pub(crate) fn largest_number(&self) -> u32 {
        let number = |end| if let End::Number(number) = end { number } else { 0 };
        self.0.iter().map(|&(first, last)| number(first).max(number(last))).max().unwrap_or(0)
    }

    /// Whether `*` is part of it.
    pub(crate) fn has_star(&self) -> bool {
        self.0.iter().any(|&(first, last)| first == End::Star || last == End::Star)
    }
}

fn end(cursor: &mut Cursor<'_>) -> Parsed<End> {
    if cursor.take(b'*') {
        return Ok(End::Star);
    }
    match cursor.number("Invalid message set")? {
        0 => Err(INVALID),
        number => Ok(End::Number(number)),
    }
}

/// Writes numbers in the order given as a set: `1:3,7`. Only what ascends by one becomes a range.
pub(crate) fn write_set(out: &mut Vec<u8>, numbers: impl IntoIterator<Item = u32>) {
    let mut range: Option<(u32, u32)> = None;
    let mut first = true;
    let mut put = |out: &mut Vec<u8>, (low, high): (u32, u32)| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        super::write::number(out, u64::from(low));
        if high > low {
            out.push(b':');
            super::write::number(out, u64::from(high));
        }
    };
    for number in numbers {
        range = match range {
            Some((low, high)) if high.checked_add(1) == Some(number) => Some((low, number)),
            Some(done) => {
                put(out, done);
                Some((number, number))
            }
            None => Some((number, number)),
        };
    }
    if let Some(done) = range {
        put(out, done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str, largest: u32) -> Vec<(u32, u32)> {
        let mut cursor = Cursor::new(text.as_bytes());
        let set = SequenceSet::parse(&mut cursor).unwrap();
        assert!(cursor.is_at_end());
        set.resolve(largest)
    }

    #[test]
    fn sets_resolve_as_rfc_3501_says() {
        assert_eq!(resolve("1:3,5", 9), [(1, 3), (5, 5)]);
        assert_eq!(resolve("4:2", 9), [(2, 4)]);
        assert_eq!(resolve("12:*", 9), [(9, 12)]);
        assert_eq!(resolve("*:3", 9), [(3, 9)]);
        assert_eq!(resolve("*", 0), []);
        assert_eq!(resolve("1:*", 0), [(1, 1)]);
        assert_eq!(resolve("3,1,2,2:5", 9), [(1, 5)]);
        assert_eq!(resolve("4294967295", 9), [(u32::MAX, u32::MAX)]);
    }

    #[test]
    fn nonsense_is_bad() {
        assert!(SequenceSet::parse(&mut Cursor::new(b"$")).unwrap().is_saved());
        for text in ["", "0", "1,$", "1:", ":", "a", "1,,2", "4294967296", "1:0", "-1"] {
            assert!(SequenceSet::parse(&mut Cursor::new(text.as_bytes())).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_written_as_ranges() {
        let mut out = Vec::new();
        write_set(&mut out, [1, 2, 3, 7, 9, 10]);
        assert_eq!(out, b"1:3,7,9:10");
    }
}
