//! What messages are sorted by, and how they compare (RFC 5256 §3, RFC 5957 §3).

use std::cmp::Ordering;

use converter::Summary;

use crate::casemap::casemap;
use crate::command::envelope::{Address, Envelope, decoded};
use crate::command::sort::subject::base_subject;
use crate::limits::SORT_KEYS_MAX;
use crate::snapshot::Row;
use crate::wire::{Bad, Cursor, Parsed};

/// A sort key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Arrival,
    Cc,
    Date,
    DisplayFrom,
    DisplayTo,
    From,
    Size,
    Subject,
    To,
}

/// `(REVERSE DATE SUBJECT)`: keys with whether each counts backwards, the most important first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::command) struct Criteria(Vec<(By, bool)>);

/// What one key makes of a message.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(i64),
    Text(Box<str>),
}

/// What all keys make of one message, and its index, which settles what they leave open.
#[derive(Debug)]
pub(in crate::command) struct Sortable {
    values: Box<[Value]>,
    pub(in crate::command) index: usize,
}

/// The sent date (RFC 5256 §2.2) in seconds: the Date field, or INTERNALDATE.
pub(in crate::command) fn sent(row: &Row, summary: &Summary) -> i64 {
    summary.sent.map_or_else(|| arrival(row), |sent| sent.unix)
}

/// INTERNALDATE as clients see it.
fn arrival(row: &Row) -> i64 {
    row.internal_date.div_euclid(1000)
}

impl Criteria {
    /// `sort-criteria`
    pub(in crate::command) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut reverse = false;
        let keys = cursor.list(2 * SORT_KEYS_MAX, "Too many sort keys", |cursor| {
            let by = match cursor.atom("Invalid sort key")?.to_ascii_uppercase().as_str() {
                "REVERSE" if reverse => return Err(Bad::new("REVERSE is followed by a sort key")),
                "REVERSE" => {
                    reverse = true;
                    return Ok(None);
                }
                "ARRIVAL" => By::Arrival,
                "CC" => By::Cc,
                "DATE" => By::Date,
                "DISPLAYFROM" => By::DisplayFrom,
                "DISPLAYTO" => By::DisplayTo,
                "FROM" => By::From,
                "SIZE" => By::Size,
                "SUBJECT" => By::Subject,
                "TO" => By::To,
                _ => return Err(Bad::new("Unknown sort key")),
            };
            Ok(Some((by, std::mem::take(&mut reverse))))
        })?;
        let keys: Vec<(By, bool)> = keys.into_iter().flatten().collect();
        match keys.len() {
            _ if reverse => Err(Bad::new("REVERSE is followed by a sort key")),
            0 => Err(Bad::new("Missing sort key")),
            1..=SORT_KEYS_MAX => Ok(Self(keys)),
            _ => Err(Bad::new("Too many sort keys")),
        }
    }

    /// Whether more than rows is needed.
    pub(in crate::command) fn needs_summaries(&self) -> bool {
        self.0.iter().any(|(by, _)| !matches!(by, By::Arrival | By::Size))
    }

    /// What the keys make of a message. One whose summary is gone comes as if its fields were empty.
    pub(in crate::command) fn sortable(&self, index: usize, row: &Row, summary: Option<&Summary>) -> Sortable {
        let envelope = summary.map(|summary| Envelope::read(&summary.envelope)).unwrap_or_default();
        let text = |text: &[u8]| Value::Text(casemap(&decoded(text)).into());
        let mailbox = |address: &Address<'_>| text(address.mailbox.as_deref().unwrap_or_default());
        let value = |(by, _): &(By, bool)| match by {
            By::Arrival => Value::Number(arrival(row)),
            By::Date => Value::Number(summary.map_or_else(|| arrival(row), |summary| sent(row, summary))),
            By::Size => Value::Number(i64::try_from(row.size).unwrap_or(i64::MAX)),
            By::From => mailbox(&envelope.from),
            By::To => mailbox(&envelope.to),
            By::Cc => mailbox(&envelope.cc),
            By::DisplayFrom => Value::Text(displayed(&envelope.from).into()),
            By::DisplayTo => Value::Text(displayed(&envelope.to).into()),
            By::Subject => {
                let subject = decoded(envelope.subject.as_deref().unwrap_or_default());
                Value::Text(casemap(&base_subject(&subject).text).into())
            }
        };
        Sortable { values: self.0.iter().map(value).collect(), index }
    }

    /// How two messages compare. RFC 5256 §3: what is equal stays in the order of the mailbox, REVERSE or not.
    pub(in crate::command) fn compare(&self, a: &Sortable, b: &Sortable) -> Ordering {
        for (((_, reverse), a), b) in self.0.iter().zip(&a.values).zip(&b.values) {
            match if *reverse { b.cmp(a) } else { a.cmp(b) } {
                Ordering::Equal => {}
                unequal => return unequal,
            }
        }
        a.index.cmp(&b.index)
    }
}

/// RFC 5957 §3: the display name, else `mailbox@host`; of a group its name.
fn displayed(address: &Address<'_>) -> String {
    let shown = match (&address.name, &address.mailbox, &address.host) {
        (Some(name), ..) if !name.is_empty() => decoded(name),
        (_, Some(mailbox), Some(host)) => {
            format!("{}@{}", String::from_utf8_lossy(mailbox), String::from_utf8_lossy(host))
        }
        (_, Some(mailbox), None) => decoded(mailbox),
        _ => String::new(),
    };
    casemap(&shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::{entry, snapshot};
    use store::Flags;

    fn sorted(criteria: &str, mails: &[&str]) -> Vec<usize> {
        let criteria = Criteria::parse(&mut Cursor::new(criteria.as_bytes())).unwrap();
        let entries: Vec<_> = (1..=mails.len() as u32).map(|uid| entry(uid, Flags::NONE, &[], 1)).collect();
        let snapshot = snapshot(1, &entries);
        let summaries: Vec<Summary> =
            mails.iter().map(|mail| Summary::of(format!("{mail}\r\n\r\n").as_bytes())).collect();
        let mut all: Vec<Sortable> = summaries
            .iter()
            .enumerate()
            .map(|(index, summary)| criteria.sortable(index, &snapshot.rows[index], Some(summary)))
            .collect();
        all.sort_unstable_by(|a, b| criteria.compare(a, b));
        all.iter().map(|sortable| sortable.index + 1).collect()
    }

    #[test]
    fn keys_compare_what_they_should() {
        let subjects =
            ["Subject: [x] beta", "Subject: Re: Alpha", "X: y", "Subject: =?utf-8?q?=C3=A1lpha?=", "Subject: alpha"];
        assert_eq!(sorted("(SUBJECT)", &subjects), [3, 2, 5, 4, 1]);
        // Equal ones stay in order, backwards too.
        assert_eq!(sorted("(REVERSE SUBJECT)", &subjects), [1, 4, 2, 5, 3]);
        let from = ["From: Zoe <a@z.test>", "From: b@a.test", "From: \"adam\" <C@b.test>", "X: y", "From: Group: d@e;"];
        assert_eq!(sorted("(FROM)", &from), [4, 1, 2, 3, 5]);
        assert_eq!(sorted("(DISPLAYFROM)", &from), [4, 3, 2, 5, 1]);
        // The second has no date: it arrived in 2023.
        let dates = ["Date: Mon, 01 Jan 2024 01:00:00 +0200", "X: y", "Date: Sun, 31 Dec 2023 23:30:00 +0000"];
        assert_eq!(sorted("(DATE)", &dates), [2, 1, 3]);
        assert_eq!(sorted("(REVERSE DATE)", &dates), [3, 1, 2]);
        assert_eq!(
            sorted("(ARRIVAL REVERSE TO CC)", &["To: a@x", "To: b@x\r\nCc: z@x", "To: b@x\r\nCc: c@x"]),
            [3, 2, 1]
        );
    }

    #[test]
    fn nonsense_is_bad() {
        for text in ["()", "(REVERSE)", "(REVERSE REVERSE DATE)", "(FOO)", "DATE", "(DATE REVERSE)", "(DATE"] {
            assert!(Criteria::parse(&mut Cursor::new(text.as_bytes())).is_err(), "{text}");
        }
    }
}
