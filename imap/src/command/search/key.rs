//! Search keys (RFC 3501 §9 `search-key`) and their answers.

use std::cmp::Ordering;

use converter::{Summary, fields};
use store::{AccountId, Flags, Store};

use crate::command::search::text::{Needle, Texts};
use crate::limits::{KEYWORD_BYTES_MAX, SEARCH_DEPTH_MAX, SEARCH_KEYS_MAX};
use crate::object_id;
use crate::snapshot::Row;
use crate::trigrams::Trigrams;
use crate::wire::date::Day;
use crate::wire::{Bad, Cursor, Parsed, SequenceSet};

/// A condition on a message.
#[derive(Debug, Clone)]
pub(crate) enum Key {
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
    /// The day it came into the mailbox compared with this one (RFC 8514 §4.3).
    Saved(Ordering, Day),
    /// The Date field's day, without its time and zone, compared with this one.
    Sent(Ordering, Day),
    /// OLDER: INTERNALDATE at least so many seconds ago, until [`Key::resolve`].
    Older(u32),
    /// YOUNGER: at most so many.
    Younger(u32),
    /// INTERNALDATE not after this instant.
    ArrivedBy(i64),
    /// INTERNALDATE not before this instant.
    ArrivedFrom(i64),
    /// Changed at this modification sequence or later.
    Modseq(u64),
    Larger(u64),
    Smaller(u64),
    /// RFC 8474 §6
    EmailId(String),
    ThreadId(String),
    Header(String, Needle),
    Body(Needle),
    Text(Needle),
    Not(Box<Self>),
    Or(Box<Self>, Box<Self>),
    And(Vec<Self>),
}

/// What is known of a message without reading it.
pub(crate) struct Subject<'a> {
    pub(crate) number: u32,
    pub(crate) row: &'a Row,
    pub(crate) keywords: &'a str,
    pub(crate) recent: bool,
    /// Who names it, and for whom; `None`: it has no name.
    pub(crate) named_by: Option<(&'a dyn Store, AccountId)>,
    /// What its texts cannot hold, where that was asked.
    pub(crate) filter: Option<&'a Trigrams>,
}

impl Subject<'_> {
    fn rules_out(&self, needle: &Needle) -> bool {
        self.filter.is_some_and(|filter| !needle.may_be_in(filter))
    }
}

/// What sets and spans of time are measured by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure<'a> {
    /// Messages.
    pub(crate) count: u32,
    /// The largest UID.
    pub(crate) uid_max: u32,
    /// What `$` stands for.
    pub(crate) saved: &'a [(u32, u32)],
    /// When the search began.
    pub(crate) now: i64,
}

/// Keys up to the end of the command: all must hold.
pub(crate) fn parse_keys(cursor: &mut Cursor<'_>) -> Parsed<Key> {
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
    if cursor.peek().is_some_and(|octet| octet.is_ascii_digit() || matches!(octet, b'*' | b'$')) {
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
        "SAVEDBEFORE" => Key::Saved(Ordering::Less, parse_day(cursor)?),
        "SAVEDON" => Key::Saved(Ordering::Equal, parse_day(cursor)?),
        "SAVEDSINCE" => not(Key::Saved(Ordering::Less, parse_day(cursor)?)),
        // RFC 8514 §4.3: every mailbox here keeps it.
        "SAVEDATESUPPORTED" => Key::All,
        "SENTBEFORE" => Key::Sent(Ordering::Less, parse_day(cursor)?),
        "SENTON" => Key::Sent(Ordering::Equal, parse_day(cursor)?),
        "SENTSINCE" => {
            let day = parse_day(cursor)?;
            // Not the contrary of SENTBEFORE: a mail without a date is neither.
            Key::Or(Box::new(Key::Sent(Ordering::Equal, day)), Box::new(Key::Sent(Ordering::Greater, day)))
        }
        "OLDER" => Key::Older(parse_interval(cursor)?),
        "YOUNGER" => Key::Younger(parse_interval(cursor)?),
        "MODSEQ" => Key::Modseq(parse_modseq(cursor)?),
        "LARGER" => Key::Larger(parse_size(cursor)?),
        "SMALLER" => Key::Smaller(parse_size(cursor)?),
        "EMAILID" => Key::EmailId(parse_object_id(cursor)?),
        "THREADID" => Key::ThreadId(parse_object_id(cursor)?),
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
        // RFC 9738 §3.2
        "UIDAFTER" => match parse_uid(cursor)? {
            u32::MAX => not(Key::All),
            uid => Key::Uids(vec![(uid + 1, u32::MAX)]),
        },
        "UIDBEFORE" => match parse_uid(cursor)? {
            1 => not(Key::All),
            uid => Key::Uids(vec![(1, uid - 1)]),
        },
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

/// `uniqueid`
fn parse_uid(cursor: &mut Cursor<'_>) -> Parsed<u32> {
    const INVALID: &str = "UIDAFTER and UIDBEFORE take a UID, 1 to 4294967295";
    cursor.space()?;
    match cursor.number(INVALID)? {
        0 => Err(Bad::new(INVALID)),
        uid => Ok(uid),
    }
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

/// RFC 5032 §4: seconds, and not none.
fn parse_interval(cursor: &mut Cursor<'_>) -> Parsed<u32> {
    const INVALID: &str = "OLDER and YOUNGER take seconds, 1 to 4294967295";
    cursor.space()?;
    match cursor.number(INVALID)? {
        0 => Err(Bad::new(INVALID)),
        seconds => Ok(seconds),
    }
}

/// `["/flags/…" ("all" / "priv" / "shared")] number`. RFC 7162 §3.1.5: the entry is passed over by a server that has
/// one modification sequence for all of a message, as this one.
fn parse_modseq(cursor: &mut Cursor<'_>) -> Parsed<u64> {
    const INVALID: Bad = Bad::new("MODSEQ takes a number below 2^63, or an entry, its type and a number");
    cursor.space()?;
    if cursor.peek() == Some(b'"') {
        let name = cursor.string()?;
        cursor.space()?;
        let kind = cursor.atom("Missing type of the entry")?;
        let known = ["all", "priv", "shared"].iter().any(|known| kind.eq_ignore_ascii_case(known));
        if !known || !name.to_ascii_lowercase().starts_with(b"/flags/") {
            return Err(INVALID);
        }
        cursor.space()?;
    }
    cursor.number64("Invalid MODSEQ").ok().filter(|&modseq| i64::try_from(modseq).is_ok()).ok_or(INVALID)
}

/// `objectid`; case matters (RFC 8474 §7).
fn parse_object_id(cursor: &mut Cursor<'_>) -> Parsed<String> {
    cursor.space()?;
    let id = cursor.atom("Invalid object identifier")?;
    let fits = id.len() <= 255 && id.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-'));
    if fits { Ok(id.to_owned()) } else { Err(Bad::new("Invalid object identifier")) }
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
    /// With sets and spans of time resolved. Numbers beyond the mailbox's end name nothing here.
    pub(crate) fn resolve(self, measure: Measure<'_>) -> Self {
        let since = |seconds: u32| measure.now.saturating_sub(i64::from(seconds) * 1000);
        self.map(&|leaf| match leaf {
            Self::NumberSet(set) | Self::UidSet(set) if set.is_saved() => Self::Uids(measure.saved.to_vec()),
            Self::NumberSet(set) => Self::Numbers(set.resolve(measure.count)),
            Self::UidSet(set) => Self::Uids(set.resolve(measure.uid_max)),
            Self::Older(seconds) => Self::ArrivedBy(since(seconds)),
            Self::Younger(seconds) => Self::ArrivedFrom(since(seconds)),
            other => other,
        })
    }

    /// With resolved numbers turned into the UIDs they stand for, so that it outlives this numbering.
    pub(crate) fn in_uids(self, rows: &[Row]) -> Self {
        let uids = |(low, high): (u32, u32)| {
            let within = rows.get(low as usize - 1..(high as usize).min(rows.len()))?;
            Some((within.first()?.uid, within.last()?.uid))
        };
        self.map(&|leaf| match leaf {
            Self::Numbers(ranges) => Self::Uids(ranges.into_iter().filter_map(uids).collect()),
            other => other,
        })
    }

    /// With each key that holds no other changed.
    fn map(self, change: &impl Fn(Self) -> Self) -> Self {
        let boxed = |key: Box<Self>| Box::new(key.map(change));
        match self {
            Self::Not(key) => Self::Not(boxed(key)),
            Self::Or(a, b) => Self::Or(boxed(a), boxed(b)),
            Self::And(keys) => Self::And(keys.into_iter().map(|key| key.map(change)).collect()),
            leaf => change(leaf),
        }
    }

    /// Whether `accept` holds for this key or one within it.
    pub(crate) fn any(&self, accept: &impl Fn(&Self) -> bool) -> bool {
        accept(self)
            || match self {
                Self::Not(key) => key.any(accept),
                Self::Or(a, b) => a.any(accept) || b.any(accept),
                Self::And(keys) => keys.iter().any(|key| key.any(accept)),
                _ => false,
            }
    }

    /// Whether it names messages by their numbers; `$` names them by what they are.
    pub(crate) fn names_numbers(&self) -> bool {
        self.any(&|key| matches!(key, Self::NumberSet(set) if !set.is_saved()))
    }

    /// Whether the answer tells modification sequences (RFC 7162 §3.1.5).
    pub(crate) fn asks_modseq(&self) -> bool {
        self.any(&|key| matches!(key, Self::Modseq(_)))
    }

    /// Whether the sets of this resolved key leave a message in question: what a search is said to go through (RFC 9738
    /// §3.1: the messages searched, not those found).
    pub(crate) fn names(&self, number: u32, uid: u32) -> bool {
        match self {
            Self::Numbers(ranges) => within(ranges, number),
            Self::Uids(ranges) => within(ranges, uid),
            Self::And(keys) => keys.iter().all(|key| key.names(number, uid)),
            _ => true,
        }
    }

    /// Whether it asks for the texts of mails, by a string that can rule some out.
    pub(super) fn is_indexed(&self) -> bool {
        self.any(&|key| matches!(key, Self::Body(needle) | Self::Text(needle) if needle.is_indexed()))
    }

    /// Whether the message matches; `None` when that takes what was not given.
    pub(crate) fn answer(
        &self,
        subject: &Subject<'_>,
        summary: Option<&Summary>,
        texts: Option<&Texts>,
    ) -> Option<bool> {
        let row = subject.row;
        Some(match self {
            Self::All => true,
            // What is not resolved names nothing.
            Self::NumberSet(_) | Self::UidSet(_) | Self::Older(_) | Self::Younger(_) => false,
            Self::Numbers(ranges) => within(ranges, subject.number),
            Self::Uids(ranges) => within(ranges, row.uid),
            Self::Flag(flag) => row.flags.contains(*flag),
            Self::Keyword(keyword) => subject.keywords.split(' ').any(|known| known.eq_ignore_ascii_case(keyword)),
            Self::Recent => subject.recent,
            Self::Arrived(ordering, day) => row.internal_day().cmp(day) == *ordering,
            Self::Saved(ordering, day) => row.saved_day().cmp(day) == *ordering,
            // RFC 5032 §3: both include the instant itself.
            Self::ArrivedBy(instant) => row.internal_date <= *instant,
            Self::ArrivedFrom(instant) => row.internal_date >= *instant,
            Self::Modseq(modseq) => row.modseq.0 >= *modseq,
            Self::Larger(size) => row.size > *size,
            Self::Smaller(size) => row.size < *size,
            Self::EmailId(id) => {
                subject.named_by.is_some_and(|(store, account)| object_id::of_email(store, account, row.message) == *id)
            }
            Self::ThreadId(id) => {
                let summary = summary?;
                let thread = |(store, account)| object_id::of_thread(store, account, row.message, summary);
                subject.named_by.is_some_and(|by| thread(by) == *id)
            }
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
            Self::Body(needle) | Self::Text(needle) if subject.rules_out(needle) => false,
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
        let (keywords, named_by, filter) = (snapshot.keywords(row), None, None);
        let subject = Subject { number: 1, row, keywords, recent: true, named_by, filter };
        let measure = Measure { count: 1, uid_max: 7, saved: &[(5, 7)], now: 1_700_000_060_000 };
        key(text).unwrap().resolve(measure).answer(&subject, summary, None)
    }

    #[test]
    fn rows_answer_what_they_can() {
        for (text, expected) in [
            ("ALL", Some(true)),
            ("1:3 UID 7", Some(true)),
            ("UID 8:*", Some(true)),
            ("UIDAFTER 6 UIDBEFORE 8", Some(true)),
            ("UIDAFTER 7", Some(false)),
            ("UIDBEFORE 7", Some(false)),
            ("UIDBEFORE 1", Some(false)),
            ("UIDAFTER 4294967295", Some(false)),
            ("2:*", Some(true)),
            ("3", Some(false)),
            ("SEEN UNDELETED", Some(true)),
            ("NEW", Some(false)),
            ("KEYWORD $A UNKEYWORD $b", Some(true)),
            ("NOT (SEEN KEYWORD $a)", Some(false)),
            ("OR DELETED SEEN", Some(true)),
            ("ON 14-Nov-2023 SINCE \"14-Nov-2023\"", Some(true)),
            ("BEFORE 14-Nov-2023", Some(false)),
            // Nobody knows when it was saved: INTERNALDATE stands in.
            ("SAVEDATESUPPORTED SAVEDON 14-Nov-2023 SAVEDSINCE 14-Nov-2023", Some(true)),
            ("SAVEDBEFORE 14-Nov-2023", Some(false)),
            ("LARGER 9 SMALLER 11", Some(true)),
            ("$", Some(true)),
            ("UID $", Some(true)),
            ("NOT $", Some(false)),
            ("OLDER 60 YOUNGER 60", Some(true)),
            ("OLDER 61", Some(false)),
            ("YOUNGER 59", Some(false)),
            ("MODSEQ 1", Some(true)),
            ("MODSEQ 2", Some(false)),
            ("NOT MODSEQ \"/flags/\\\\seen\" all 2", Some(true)),
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
        for text in [
            "FOO",
            "()",
            "OR SEEN",
            "NOT",
            "KEYWORD",
            "ON x",
            "LARGER x",
            "HEADER x",
            "(SEEN",
            "SEEN)",
            "0",
            "OLDER 0",
            "YOUNGER",
            "UIDAFTER 0",
            "UIDBEFORE *",
            "UIDBEFORE 1:3",
            "$,1",
            "MODSEQ x",
            "MODSEQ \"/x/y\" all 1",
        ] {
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
