//! What an extended search is to return (RFC 4731 §3.1, RFC 5182 §2.1, RFC 5267 §4, RFC 9394 §3.1), and the ESEARCH
//! response that carries it.

use crate::command::fetch::Attributes;
use crate::selected::By;
use crate::wire::cursor::parse_digits;
use crate::wire::sequence::write_set;
use crate::wire::{Bad, Cursor, Parsed, write};

/// `RETURN (…)`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Returns {
    pub(crate) min: bool,
    pub(crate) max: bool,
    pub(crate) count: bool,
    pub(crate) all: bool,
    pub(crate) partial: Option<Window>,
    /// To be kept as `$`.
    pub(crate) save: bool,
    /// To be told of changes from now on.
    pub(crate) update: bool,
    /// What is told of new messages then (RFC 5465 §7).
    pub(crate) attributes: Attributes,
}

/// A part of the results by place: `1:500` counts from the first, `-1:-100` from the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    from_end: bool,
    // The smaller first: RFC 5267 §5 calls `500:400` the same as `400:500`, and the answer shows that.
    first: u32,
    last: u32,
}

impl Window {
    /// `partial-range` (RFC 9394 §4).
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        const INVALID: Bad = Bad::new("PARTIAL takes a range such as 1:500 or -1:-100");
        let from_end = cursor.take(b'-');
        let place = |cursor: &mut Cursor<'_>| {
            let digits = cursor.take_while(|octet| octet.is_ascii_digit());
            let number = parse_digits(digits).and_then(|number| u32::try_from(number).ok());
            number.filter(|&number| number > 0).ok_or(INVALID)
        };
        let first = place(cursor)?;
        if !cursor.take(b':') || cursor.take(b'-') != from_end {
            return Err(INVALID);
        }
        let last = place(cursor)?;
        Ok(Self { from_end, first: first.min(last), last: first.max(last) })
    }

    /// What of `length` results it is, as indexes.
    pub(crate) fn of(self, length: usize) -> std::ops::Range<usize> {
        let (low, high) = (self.first as usize, (self.last as usize).min(length));
        match (low <= high, self.from_end) {
            (false, _) => 0..0,
            (true, false) => low - 1..high,
            (true, true) => length - high..length - (low - 1),
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        let sign = if self.from_end { "-" } else { "" };
        out.extend_from_slice(format!("{sign}{}:{sign}{}", self.first, self.last).as_bytes());
    }
}

impl Returns {
    /// `RETURN (…) ` if it comes next.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Option<Self>> {
        if !cursor.take_word("RETURN ") {
            return Ok(None);
        }
        let mut returns = Self::default();
        cursor.list(16, "Too many return options", |cursor| {
            match cursor.atom("Invalid return option")?.to_ascii_uppercase().as_str() {
                "MIN" => returns.min = true,
                "MAX" => returns.max = true,
                "COUNT" => returns.count = true,
                "ALL" if returns.all => return Err(Bad::new("ALL is given twice")),
                "ALL" => returns.all = true,
                "SAVE" => returns.save = true,
                "UPDATE" => {
                    returns.update = true;
                    returns.attributes = Attributes::parse(cursor)?;
                }
                // RFC 5267 §4.2: a hint, which there is nothing to do about.
                "CONTEXT" => {}
                "PARTIAL" => {
                    cursor.space()?;
                    if returns.partial.replace(Window::parse(cursor)?).is_some() {
                        return Err(Bad::new("PARTIAL is given twice"));
                    }
                }
                _ => return Err(Bad::new("Unknown return option")),
            }
            Ok(())
        })?;
        // RFC 9394 §3.1: one of the two at most.
        if returns.all && returns.partial.is_some() {
            return Err(Bad::new("PARTIAL and ALL exclude each other"));
        }
        // RFC 4731 §3.1: without an option that returns something, ALL is meant; RFC 5182 §2.1: SAVE asks for silence.
        let Self { min, max, count, save, .. } = returns;
        returns.all |= !(min || max || count || save || returns.partial.is_some());
        cursor.space()?;
        Ok(Some(returns))
    }

    /// The answer of IMAP4rev2 to a search that names no options (RFC 9051 §6.4.4).
    pub(crate) fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// RFC 5182 §2.1: with SAVE alone there is no response.
    pub(crate) fn is_silent(&self) -> bool {
        !(self.min || self.max || self.count || self.all || self.partial.is_some())
    }

    /// The places, among `length` results, of those that `$` is to stand for.
    pub(crate) fn saved(&self, length: usize) -> Vec<usize> {
        let some = self.min || self.max || self.partial.is_some();
        // RFC 5182 §2.1, Table 1; RFC 9394 §3.2: with ALL or COUNT always everything.
        if self.all || self.count || !some {
            return (0..length).collect();
        }
        let mut places: Vec<usize> = self.partial.map_or(0..0, |window| window.of(length)).collect();
        if length > 0 {
            places.extend(self.min.then_some(0));
            places.extend(self.max.then_some(length - 1));
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    /// The place of the messages whose modification sequence is told (RFC 7162 §3.1.10).
    pub(crate) fn modseq_places(&self, length: usize) -> Vec<usize> {
        if self.count || self.all || self.partial.is_some() || self.is_silent() {
            return (0..length).collect();
        }
        self.saved(length)
    }

    /// `* ESEARCH …` for `results`.
    pub(crate) fn write(&self, out: &mut Vec<u8>, answer: &Answer<'_>) {
        let Answer { correlator, by, results, modseq } = *answer;
        out.extend_from_slice(b"* ESEARCH ");
        correlator.write(out);
        if by == By::Uid {
            out.extend_from_slice(b" UID");
        }
        let mut item = |name: &str, number: u64| {
            out.extend_from_slice(name.as_bytes());
            write::number(out, number);
        };
        // RFC 4731 §3.1: nothing found, then neither MIN, MAX nor ALL.
        if let (true, Some(&first)) = (self.min, results.first()) {
            item(" MIN ", first.into());
        }
        if let (true, Some(&last)) = (self.max, results.last()) {
            item(" MAX ", last.into());
        }
        if self.count {
            item(" COUNT ", results.len() as u64);
        }
        if self.all && !results.is_empty() {
            out.extend_from_slice(b" ALL ");
            write_set(out, results.iter().copied());
        }
        if let Some(window) = self.partial {
            out.extend_from_slice(b" PARTIAL (");
            window.write(out);
            out.push(b' ');
            let within = &results[window.of(results.len())];
            if within.is_empty() {
                out.extend_from_slice(b"NIL");
            } else {
                write_set(out, within.iter().copied());
            }
            out.push(b')');
        }
        if let Some(modseq) = modseq {
            out.extend_from_slice(b" MODSEQ ");
            write::number(out, modseq);
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Which search an ESEARCH response is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Correlator<'a> {
    pub(crate) tag: &'a str,
    /// Name as it goes over the wire, and UIDVALIDITY, for a search in several mailboxes (RFC 7377 §2.1).
    pub(crate) mailbox: Option<(&'a [u8], u32)>,
}

impl Correlator<'_> {
    /// `(TAG "x" MAILBOX y UIDVALIDITY 1)`
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"(TAG \"");
        out.extend_from_slice(self.tag.as_bytes());
        out.push(b'"');
        if let Some((name, uid_validity)) = self.mailbox {
            out.extend_from_slice(b" MAILBOX ");
            out.extend_from_slice(name);
            out.extend_from_slice(b" UIDVALIDITY ");
            write::number(out, u64::from(uid_validity));
        }
        out.push(b')');
    }
}

/// What [`Returns::write`] tells of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) correlator: Correlator<'a>,
    pub(crate) by: By,
    /// Numbers or UIDs in the order asked for.
    pub(crate) results: &'a [u32],
    pub(crate) modseq: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returns(text: &str) -> Parsed<Returns> {
        Returns::parse(&mut Cursor::new(format!("RETURN {text} ALL").as_bytes())).map(Option::unwrap)
    }

    fn written(text: &str, results: &[u32]) -> String {
        let mut out = Vec::new();
        let answer = Answer { correlator: Correlator { tag: "a", mailbox: None }, by: By::Uid, results, modseq: None };
        returns(text).unwrap().write(&mut out, &answer);
        String::from_utf8(out).unwrap().trim_end().trim_start_matches("* ESEARCH (TAG \"a\") UID").to_owned()
    }

    #[test]
    fn responses_have_what_was_asked_for() {
        let found = [2, 3, 4, 9, 12];
        for (text, expected) in [
            ("()", " ALL 2:4,9,12"),
            ("(min max)", " MIN 2 MAX 12"),
            ("(COUNT ALL)", " COUNT 5 ALL 2:4,9,12"),
            ("(PARTIAL 1:2)", " PARTIAL (1:2 2:3)"),
            ("(PARTIAL 9:4)", " PARTIAL (4:9 9,12)"),
            ("(PARTIAL -1:-2)", " PARTIAL (-1:-2 9,12)"),
            ("(PARTIAL -4:-99 COUNT)", " COUNT 5 PARTIAL (-4:-99 2:3)"),
            ("(PARTIAL 6:7)", " PARTIAL (6:7 NIL)"),
            ("(UPDATE)", " ALL 2:4,9,12"),
        ] {
            assert_eq!(written(text, &found), expected, "{text}");
        }
        assert_eq!(written("(MIN MAX ALL COUNT)", &[]), " COUNT 0");
        assert_eq!(written("(PARTIAL -1:-5)", &[]), " PARTIAL (-1:-5 NIL)");
        assert_eq!(written("(ALL)", &[7, 3, 4, 2]), " ALL 7,3:4,2");
        assert!(returns("(SAVE)").unwrap().is_silent());
    }

    #[test]
    fn what_is_saved_follows_the_tables() {
        for (text, expected) in [
            ("(SAVE)", &[0, 1, 2, 3, 4][..]),
            ("(SAVE MIN)", &[0]),
            ("(SAVE MAX)", &[4]),
            ("(SAVE MIN MAX)", &[0, 4]),
            ("(SAVE MIN COUNT)", &[0, 1, 2, 3, 4]),
            ("(SAVE ALL)", &[0, 1, 2, 3, 4]),
            ("(SAVE PARTIAL 2:3)", &[1, 2]),
            ("(SAVE PARTIAL 2:3 MIN)", &[0, 1, 2]),
            ("(SAVE PARTIAL -1:-1 MIN MAX)", &[0, 4]),
            ("(SAVE PARTIAL 2:3 COUNT)", &[0, 1, 2, 3, 4]),
        ] {
            assert_eq!(returns(text).unwrap().saved(5), expected, "{text}");
        }
        assert!(returns("(SAVE MIN MAX)").unwrap().saved(0).is_empty());
    }

    #[test]
    fn nonsense_is_bad() {
        for text in
            ["(FOO)", "(PARTIAL)", "(PARTIAL 0:1)", "(PARTIAL 1:-2)", "(PARTIAL -1:2)", "(PARTIAL 1:*)", "(PARTIAL 3)"]
        {
            assert!(returns(text).is_err(), "{text}");
        }
        for text in ["(ALL PARTIAL 1:2)", "(PARTIAL 1:2 PARTIAL 3:4)", "(ALL ALL)", "ALL", "(PARTIAL 1:4294967296)"] {
            assert!(returns(text).is_err(), "{text}");
        }
    }
}
