//! Search keys (RFC 3501 §9 `search-key`) and their answers.

use std::cmp::Ordering;

use converter::{Summary, fields};
use store::Flags;

use crate::command::search::text::{Needle, Texts};
use crate::limits::{KEYWORD_BYTES_MAX, SEARCH_DEPTH_MAX, SEARCH_KEYS_MAX};
use crate::snapshot::Row;
use crate::wire::date::Day;
use crate::wire::{Bad, Cursor, Parsed, SequenceSet};

/// A condition on a message.
#[derive(Debug, Clone)]
pub(super) enum Key {
    All,
    /// Message numbers as written, until [`Key::resolve`].
    NumberSet(SequenceSet),
    /// UIDs as written, until [`Key::resolve`].
    UidSet(SequenceSet),
    Numbers(Vec<(u32, u32)>),
    Uids(Vec<(u32, u32)>),
    Flag(Flags),
    Keyword(String),
    Recent,
    /// INTERNALDATE's day compared with this one.
    Arrived(Ordering, Day),
    /// The Date field's day, without its time and zone, compared with this one.
    Sent(Ordering, Day),
    Larger(u64),
    Smaller(u64),
    Header(String, Needle),
    Body(Needle),
    Text(Needle),
    Not(Box<Self>),
    Or(Box<Self>, Box<Self>),
    And(Vec<Self>),
}

/// What is known of a message without reading it.
pub(super) struct Subject<'a> {
    pub(super) number: u32,
    pub(super) row: &'a Row,
    pub(super) keywords: &'a str,
    pub(super) recent: bool,
}

/// Keys up to the end of the command: all must hold.
pub(super) fn parse_keys(cursor: &mut Cursor<'_>) -> Parsed<Key> {
    let mut budget = SEARCH_KEYS_MAX;
    let mut keys = Vec::new();
    loop {
        keys.push(parse_key(cursor, 0, &mut budget)?);
        if !cursor.take(b' ') {
            return Ok(Key::And(keys));
        }
        while cursor.take(b' ') {}
        if cursor.is_at_end() {
            return Ok(Key::And(keys));
        }
    }
}

fn parse_key(cursor: &mut Cursor<'_>, depth: usize, budget: &mut usize) -> Parsed<Key> {
    if depth > SEARCH_DEPTH_MAX {
        return Err(Bad::new("Search is nested too deep"));
    }
    *budget = budget.checked_sub(1).ok_or(Bad::new("Too many search keys"))?;
    if cursor.peek() == Some(b'(') {
        let keys =
            cursor.list(SEARCH_KEYS_MAX, "Too many search keys", |cursor| parse_key(cursor, depth + 1, budget))?;
        return if keys.is_empty() { Err(Bad::new("Empty search list")) } else { Ok(Key::And(keys)) };
    }
    if cursor.peek().is_some_and(|octet| octet.is_ascii_digit() || octet == b'*') {
        return SequenceSet::parse(cursor).map(Key::NumberSet);
    }
    let not = |key: Key| Key::Not(Box::new(key));
    let flag = Key::Flag;
    let word = cursor.atom("Invalid search key")?.to_ascii_uppercase();
    Ok(match word.as_str() {
        "ALL" => Key::All,
        "ANSWERED" => flag(Flags::ANSWERED),
        "DELETED" => flag(Flags::DELETED),
        "DRAFT" => flag(Flags::DRAFT),
        "FLAGGED" => flag(Flags::FLAGGED),
        "SEEN" => flag(Flags::SEEN),
        "UNANSWERED" => not(flag(Flags::ANSWERED)),
        "UNDELETED" => not(flag(Flags::DELETED)),
        "UNDRAFT" => not(flag(Flags::DRAFT)),
        "UNFLAGGED" => not(flag(Flags::FLAGGED)),
        "UNSEEN" => not(flag(Flags::SEEN)),
        "RECENT" => Key::Recent,
        "OLD" => not(Key::Recent),
        "NEW" => Key::And(vec![Key::Recent, not(flag(Flags::SEEN))]),
        "KEYWORD" => Key::Keyword(parse_keyword(cursor)?),
        "UNKEYWORD" => not(Key::Keyword(parse_keyword(cursor)?)),
        "BEFORE" => Key::Arrived(Ordering::Less, parse_day(cursor)?),
        "ON" => Key::Arrived(Ordering::Equal, parse_day(cursor)?),
        "SINCE" => not(Key::Arrived(Ordering::Less, parse_day(cursor)?)),
        "SENTBEFORE" => Key::Sent(Ordering::Less, parse_day(cursor)?),
        "SENTON" => Key::Sent(Ordering::Equal, parse_day(cursor)?),
        "SENTSINCE" => {
            let day = parse_day(cursor)?;
            // Not the contrary of SENTBEFORE: a mail without a date is neither.
            Key::Or(Box::new(Key::Sent(Ordering::Equal, day)), Box::new(Key::Sent(Ordering::Greater, day)))
        }
        "LARGER" => Key::Larger(parse_size(cursor)?),
        "SMALLER" => Key::Smaller(parse_size(cursor)?),
        "FROM" | "TO" | "CC" | "BCC" | "SUBJECT" => Key::Header(word.clone(), parse_needle(cursor)?),
        "HEADER" => {
            cursor.space()?;
            let name = String::from_utf8_lossy(&cursor.astring()?).into_owned();
            Key::Header(name, parse_needle(cursor)?)
        }
        "BODY" => Key::Body(parse_needle(cursor)?),
        "TEXT" => Key::Text(parse_needle(cursor)?),
        "UID" => {
            cursor.space()?;
            Key::UidSet(SequenceSet::parse(cursor)?)
        }
        "NOT" => {
            cursor.space()?;
            not(parse_key(cursor, depth + 1, budget)?)
        }
        "OR" => {
            cursor.space()?;
            let first = parse_key(cursor, depth + 1, budget)?;
            cursor.space()?;
            Key::Or(Box::new(first), Box::new(parse_key(cursor, depth + 1, budget)?))
        }
        _ => return Err(Bad::new("Unknown search key")),
    })
}

fn parse_keyword(cursor: &mut Cursor<'_>) -> Parsed<String> {
    cursor.space()?;
    let keyword = cursor.atom("Invalid keyword")?;
    if keyword.len() > KEYWORD_BYTES_MAX { Err(Bad::new("Keyword is too long")) } else { Ok(keyword.to_owned()) }
}

fn parse_day(cursor: &mut Cursor<'_>) -> Parsed<Day> {
    cursor.space()?;
    Day::parse(cursor)
}

fn parse_size(cursor: &mut Cursor<'_>) -> Parsed<u64> {
    cursor.space()?;
    cursor.number64("Invalid size")
}

fn parse_needle(cursor: &mut Cursor<'_>) -> Parsed<Needle> {
    cursor.space()?;
    Ok(Needle::new(&cursor.astring()?))
}

fn within(ranges: &[(u32, u32)], number: u32) -> bool {
    let at = ranges.partition_point(|&(_, last)| last < number);
    ranges.get(at).is_some_and(|&(first, _)| first <= number)
}

impl Key {
    /// With sets resolved against a mailbox. Numbers beyond its end name nothing here.
    pub(super) fn resolve(self, count: u32, uid_max: u32) -> Self {
        match self {
            Self::NumberSet(set) => Self::Numbers(set.resolve(count)),
            Self::UidSet(set) => Self::Uids(set.resolve(uid_max)),
            Self::Not(key) => Self::Not(Box::new(key.resolve(count, uid_max))),
            Self::Or(a, b) => Self::Or(Box::new(a.resolve(count, uid_max)), Box::new(b.resolve(count, uid_max))),
            Self::And(keys) => Self::And(keys.into_iter().map(|key| key.resolve(count, uid_max)).collect()),
            other => other,
        }
    }

    /// Whether the message matches; `None` when that takes what was not given.
    pub(super) fn answer(
        &self,
        subject: &Subject<'_>,
        summary: Option<&Summary>,
        texts: Option<&Texts>,
    ) -> Option<bool> {
        let row = subject.row;
        Some(match self {
            Self::All => true,
            // Unresolved sets name nothing.
            Self::NumberSet(_) | Self::UidSet(_) => false,
            Self::Numbers(ranges) => within(ranges, subject.number),
            Self::Uids(ranges) => within(ranges, row.uid),
            Self::Flag(flag) => row.flags.contains(*flag),
            Self::Keyword(keyword) => subject.keywords.split(' ').any(|known| known.eq_ignore_ascii_case(keyword)),
            Self::Recent => subject.recent,
            Self::Arrived(ordering, day) => Day::of_unix_ms(row.internal_date).cmp(day) == *ordering,
            Self::Larger(size) => row.size > *size,
            Self::Smaller(size) => row.size < *size,
            Self::Sent(ordering, day) => {
                let sent = summary?.sent;
                sent.is_some_and(|sent| sent_day(sent).cmp(day) == *ordering)
            }
            Self::Header(name, needle) => {
                let summary = summary?;
                let found = fields(&summary.header).any(|field| field.is(name) && needle.is_in_header(field.value));
                // A summary without all of the header proves presence, not absence.
                match (found, summary.header_truncated, texts) {
                    (false, true, None) => return None,
                    (false, true, Some(texts)) => texts.header_has(name, needle),
                    (found, ..) => found,
                }
            }
            Self::Body(needle) => texts?.body_has(needle),
            Self::Text(needle) => texts?.text_has(needle),
            Self::Not(key) => !key.answer(subject, summary, texts)?,
            Self::Or(a, b) => match (a.answer(subject, summary, texts), b.answer(subject, summary, texts)) {
                (Some(true), _) | (_, Some(true)) => true,
                (Some(false), Some(false)) => false,
                _ => return None,
            },
            Self::And(keys) => {
                let mut open = false;
                for key in keys {
                    match key.answer(subject, summary, texts) {
                        Some(true) => {}
                        Some(false) => return Some(false),
                        None => open = true,
                    }
                }
                return if open { None } else { Some(true) };
            }
        })
    }
}

/// RFC 3501 §6.4.4: "disregarding time and timezone": the day as the author wrote it.
fn sent_day(sent: converter::SentDate) -> Day {
    Day::of_unix_ms(sent.unix.saturating_add(i64::from(sent.zone_minutes) * 60).saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::{entry, snapshot};

    fn key(text: &str) -> Parsed<Key> {
        let mut cursor = Cursor::new(text.as_bytes());
        let key = parse_keys(&mut cursor)?;
        cursor.end()?;
        Ok(key)
    }

    fn answer(text: &str, summary: Option<&Summary>) -> Option<bool> {
        let snapshot = snapshot(1, &[entry(7, Flags::SEEN, &["$a"], 1)]);
        let row = &snapshot.rows[0];
        let subject = Subject { number: 1, row, keywords: snapshot.keywords(row), recent: true };
        key(text).unwrap().resolve(1, 7).answer(&subject, summary, None)
    }

    #[test]
    fn rows_answer_what_they_can() {
        for (text, expected) in [
            ("ALL", Some(true)),
            ("1:3 UID 7", Some(true)),
            ("UID 8:*", Some(true)),
            ("2:*", Some(true)),
            ("3", Some(false)),
            ("SEEN UNDELETED", Some(true)),
            ("NEW", Some(false)),
            ("KEYWORD $A UNKEYWORD $b", Some(true)),
            ("NOT (SEEN KEYWORD $a)", Some(false)),
            ("OR DELETED SEEN", Some(true)),
            ("ON 14-Nov-2023 SINCE \"14-Nov-2023\"", Some(true)),
            ("BEFORE 14-Nov-2023", Some(false)),
            ("LARGER 9 SMALLER 11", Some(true)),
            ("OR SEEN BODY x", Some(true)),
            ("UNSEEN BODY x", Some(false)),
            ("SEEN SUBJECT x", None),
            ("NOT TEXT x", None),
        ] {
            assert_eq!(answer(text, None), expected, "{text}");
        }
    }

    #[test]
    fn summaries_answer_header_keys() {
        let mail = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= an\r\n alle\r\nFrom: \"A B\" <ab@example.org>\r\nX-A:\r\n\
                     Date: Wed, 03 Jan 2024 01:30:00 +0200\r\n\r\n";
        let summary = Summary::of(mail);
        for (text, expected) in [
            ("SUBJECT \"GR\u{dc}SSE\"", false),
            ("SUBJECT \"GR\u{dc}\u{df}e an alle\"", true),
            ("FROM AB@EXAMPLE", true),
            ("HEADER x-a \"\"", true),
            ("HEADER x-b \"\"", false),
            ("NOT HEADER X-B \"\"", true),
            ("SENTON 3-Jan-2024", true),
            ("SENTSINCE 3-Jan-2024", true),
            ("SENTBEFORE 3-Jan-2024", false),
        ] {
            assert_eq!(answer(text, Some(&summary)), Some(expected), "{text}");
        }
        assert_eq!(answer("SENTSINCE 1-Jan-1970", Some(&Summary::of(b"\r\n"))), Some(false));
    }

    #[test]
    fn nonsense_is_bad_and_depth_is_bounded() {
        for text in ["FOO", "()", "OR SEEN", "NOT", "KEYWORD", "ON x", "LARGER x", "HEADER x", "(SEEN", "SEEN)", "0"] {
            assert!(key(text).is_err(), "{text}");
        }
        let nested = |depth: usize| format!("{}SEEN{}", "(".repeat(depth), ")".repeat(depth));
        assert!(key(&nested(SEARCH_DEPTH_MAX)).is_ok());
        assert!(key(&nested(SEARCH_DEPTH_MAX + 1)).is_err());
        assert!(key(&"NOT ".repeat(60_000)).is_err());
        assert!(key(&"SEEN ".repeat(SEARCH_KEYS_MAX)).is_ok());
        assert!(key(&"SEEN ".repeat(SEARCH_KEYS_MAX + 1)).is_err());
    }
}
