//! THREAD (RFC 5256 §3): ORDEREDSUBJECT and REFERENCES, and REFS as Dovecot has it (draft-ietf-morg-inthread).

mod references;

use std::collections::HashMap;
use std::sync::Arc;

use converter::{Summary, fields};

use crate::casemap::casemap;
use crate::command::envelope::{Envelope, decoded};
use crate::command::search::scan::{PORTION, Scope, limited, matching};
use crate::command::search::{Program, measure};
use crate::command::sort::order::sent;
use crate::command::sort::subject::base_subject;
use crate::command::thread::references::{Finish, Forest, Item, thread};
use crate::limits::THREAD_REFERENCES_MAX;
use crate::message_limit;
use crate::progress::Progress;
use crate::reply::{Run, Stop, Tagged};
use crate::selected::By;
use crate::session::Session;
use crate::snapshot::Row;
use crate::wire::{Bad, Cursor, Parsed, write};

/// How messages become threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    OrderedSubject,
    References,
    Refs,
}

/// THREAD.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(super) by: By,
    algorithm: Algorithm,
    pub(super) program: Program,
}

impl Thread {
    pub(super) fn parse(cursor: &mut Cursor<'_>, by: By) -> Parsed<Self> {
        cursor.space()?;
        let algorithm = match cursor.atom("Missing threading algorithm")?.to_ascii_uppercase().as_str() {
            "ORDEREDSUBJECT" => Algorithm::OrderedSubject,
            "REFERENCES" => Algorithm::References,
            "REFS" => Algorithm::Refs,
            _ => return Err(Bad::new("Threading is by ORDEREDSUBJECT, REFERENCES or REFS")),
        };
        cursor.space()?;
        let charset = cursor.astring()?;
        cursor.space()?;
        Ok(Self { by, algorithm, program: Program::parse(cursor, &charset)? })
    }

    pub(super) async fn run(self, session: &mut Session, tag: &str) -> Run {
        let Self { by, algorithm, program } = self;
        let key = program.keys(session)?;
        let scope = Arc::new(Scope::selected(session)?);
        let resolved = key.resolve(measure(session)?);
        // RFC 9738 §3.3
        if limited(&scope, &resolved, session.shared.message_limit).is_some() {
            return Ok(message_limit::too_many(session.shared.message_limit));
        }
        let mut progress = Progress::new(&mut session.io, tag);
        let found = matching(&scope, resolved, &mut progress).await?;
        let (items, ids) = items(&scope, &found, &mut progress).await?;
        let named: Vec<u32> = found
            .iter()
            .map(|&index| match by {
                By::Number => u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1),
                By::Uid => scope.snapshot.rows[index].uid,
            })
            .collect();
        let work = move || {
            let forest = match algorithm {
                Algorithm::OrderedSubject => by_subject(&items),
                Algorithm::References => thread(&items, ids, Finish::Subjects),
                Algorithm::Refs => thread(&items, ids, Finish::Latest),
            };
            written(&forest, &named)
        };
        let line = tokio::task::spawn_blocking(work).await.map_err(|_| Tagged::no("[SERVERBUG] Threading failed"))?;
        session.io.write(&line).await?;
        Ok(Tagged::ok("THREAD completed"))
    }
}

/// Numbers for Message-IDs.
type Ids = HashMap<Box<[u8]>, usize>;

/// What threading needs of the messages found, and how many Message-IDs there are.
async fn items(scope: &Arc<Scope>, found: &[usize], progress: &mut Progress<'_>) -> Result<(Vec<Item>, usize), Stop> {
    let (mut items, mut ids) = (Vec::with_capacity(found.len()), Ids::new());
    for portion in found.chunks(PORTION) {
        progress.at(items.len(), found.len()).await?;
        let summaries = scope.summaries(portion).await?;
        let (scope, portion) = (scope.clone(), portion.to_vec());
        let work = move || {
            for (index, summary) in portion.into_iter().zip(summaries) {
                let row = &scope.snapshot.rows[index];
                items.push(summary.map_or_else(Item::default, |summary| item(row, &summary, &mut ids)));
            }
            (items, ids)
        };
        (items, ids) =
            tokio::task::spawn_blocking(work).await.map_err(|_| Tagged::no("[SERVERBUG] Threading failed"))?;
    }
    Ok((items, ids.len()))
}

fn item(row: &Row, summary: &Summary, ids: &mut Ids) -> Item {
    let envelope = Envelope::read(&summary.envelope);
    let subject = base_subject(&decoded(envelope.subject.as_deref().unwrap_or_default()));
    let mut number = |id: Vec<u8>| {
        let next = ids.len();
        *ids.entry(id.into()).or_insert(next)
    };
    let own = envelope.message_id.as_deref().and_then(|value| message_ids(value).into_iter().next());
    let mut references: Vec<Vec<u8>> = fields(&summary.header)
        .filter(|field| field.is("References"))
        .flat_map(|field| message_ids(field.value))
        .collect();
    if references.is_empty() {
        // RFC 5256 §3: without References the first valid one of In-Reply-To counts.
        references = envelope.in_reply_to.as_deref().map(message_ids).unwrap_or_default();
        references.truncate(1);
    }
    references.drain(..references.len().saturating_sub(THREAD_REFERENCES_MAX));
    Item {
        sent: sent(row, summary),
        subject: casemap(&subject.text),
        is_reply: subject.is_reply,
        id: own.map(&mut number),
        references: references.into_iter().map(&mut number).collect(),
    }
}

/// The Message-IDs in a value, without brackets, white space, comments and needless quotes (RFC 5256 §3 compares them
/// by what they mean).
fn message_ids(value: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some(open) = memchr::memchr(b'<', rest) {
        rest = &rest[open + 1..];
        let Some(end) = rest.iter().position(|octet| matches!(octet, b'<' | b'>')) else { break };
        if rest[end] == b'>' {
            let id: Vec<u8> = rest[..end]
                .iter()
                .copied()
                .filter(|octet| !octet.is_ascii_whitespace() && !b"\"\\".contains(octet))
                .collect();
            // `id-left "@" id-right`
            if matches!(memchr::memchr(b'@', &id), Some(at) if at > 0 && at + 1 < id.len()) {
                found.push(id);
            }
            rest = &rest[end + 1..];
        } else {
            rest = &rest[end..];
        }
    }
    found
}

/// ORDEREDSUBJECT: messages of one subject are a thread, its first by date the parent of all others.
fn by_subject(items: &[Item]) -> Forest {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_unstable_by(|&a, &b| (&items[a].subject, items[a].sent, a).cmp(&(&items[b].subject, items[b].sent, b)));
    let mut forest = Forest::of_items(items.len());
    for thread in order.chunk_by(|&a, &b| items[a].subject == items[b].subject) {
        if let Some((&first, others)) = thread.split_first() {
            forest.children[first] = others.to_vec();
            forest.roots.push(first);
        }
    }
    forest.roots.sort_unstable_by_key(|&root| (items[root].sent, root));
    forest
}

/// `* THREAD (1)(2 3 (4)(5))`: a message's only child follows it, several stand in parentheses each.
fn written(forest: &Forest, named: &[u32]) -> Vec<u8> {
    enum Step {
        Open,
        Close,
        Node(usize),
    }
    let mut out = b"* THREAD".to_vec();
    if !forest.roots.is_empty() {
        out.push(b' ');
    }
    // A thread may be deeper than the stack: the steps to do are a list.
    let mut steps: Vec<Step> =
        forest.roots.iter().rev().flat_map(|&root| [Step::Close, Step::Node(root), Step::Open]).collect();
    while let Some(step) = steps.pop() {
        let node = match step {
            Step::Open => {
                out.push(b'(');
                continue;
            }
            Step::Close => {
                out.push(b')');
                continue;
            }
            Step::Node(node) => node,
        };
        let children = &forest.children[node];
        if !forest.is_dummy(node) {
            write::number(&mut out, u64::from(named[node]));
            if !children.is_empty() {
                out.push(b' ');
            }
        }
        match children[..] {
            [] => {}
            [only] => steps.push(Step::Node(only)),
            _ => steps.extend(children.iter().rev().flat_map(|&child| [Step::Close, Step::Node(child), Step::Open])),
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::{entry, snapshot};
    use store::Flags;

    /// Threads mails, given by their headers in the order of the mailbox; each is a minute later than the one before.
    fn threads(algorithm: Algorithm, mails: &[&str]) -> String {
        let entries: Vec<_> = (1..=mails.len() as u32).map(|uid| entry(uid, Flags::NONE, &[], 1)).collect();
        let snapshot = snapshot(1, &entries);
        let mut ids = Ids::new();
        let items: Vec<Item> = mails
            .iter()
            .enumerate()
            .map(|(at, mail)| {
                let date = if mail.contains("Date:") {
                    String::new()
                } else {
                    format!("Date: 1 Jan 2024 00:{:02}:00 +0000\r\n", at % 60)
                };
                let mail = format!("{date}{}\r\n\r\n", mail.replace('|', "\r\n"));
                item(&snapshot.rows[at], &Summary::of(mail.as_bytes()), &mut ids)
            })
            .collect();
        let forest = match algorithm {
            Algorithm::OrderedSubject => by_subject(&items),
            Algorithm::References => thread(&items, ids.len(), Finish::Subjects),
            Algorithm::Refs => thread(&items, ids.len(), Finish::Latest),
        };
        let numbers: Vec<u32> = (1..=mails.len() as u32).collect();
        let line = String::from_utf8(written(&forest, &numbers)).unwrap();
        line.trim_end().trim_start_matches("* THREAD").trim_start().to_owned()
    }

    #[test]
    fn references_make_trees() {
        use Algorithm::References;
        for (mails, expected) in [
            (&[][..], ""),
            (&["X: y"], "(1)"),
            // A chain, a fork, and a parent that is not there.
            (
                &[
                    "Message-ID: <a@x>",
                    "Message-ID: <b@x>|References: <a@x>",
                    "Message-ID: <c@x>|References: <a@x> <b@x>",
                ],
                "(1 2 3)",
            ),
            (&["Message-ID: <a@x>", "In-Reply-To: <a@x>", "References: <a@x>"], "(1 (2)(3))"),
            (&["References: <gone@x>", "References: <gone@x>"], "((1)(2))"),
            (&["References: <gone@x>"], "(1)"),
            (&["Message-ID: <a@x>", "References: <a@x> <gone@x>"], "(1 2)"),
            (&["Message-ID: <a@x>", "References: <a@x> <gone@x>", "References: <a@x> <gone@x>"], "(1 (2)(3))"),
            // A message without references has no parent, whatever those before it said; later ones may give it one.
            (&["References: <a@x> <b@x>", "Message-ID: <b@x>", "Message-ID: <a@x>"], "(2 1)(3)"),
            (&["Message-ID: <b@x>", "Message-ID: <a@x>", "References: <a@x> <b@x>"], "(2 1 3)"),
            // Rings are not closed.
            (
                &[
                    "Message-ID: <a@x>",
                    "Message-ID: <b@x>|References: <c@x> <a@x>",
                    "Message-ID: <c@x>|References: <b@x>",
                ],
                "(3 1 2)",
            ),
            (&["Message-ID: <a@x>|References: <a@x>"], "(1)"),
            (&["Message-ID: <a@x>|References: <b@x>", "Message-ID: <b@x>|References: <a@x>"], "(2 1)"),
            // Of two with one Message-ID the first has it.
            (&["Message-ID: <a@x>", "Message-ID: <a@x>", "References: <a@x>"], "(1 3)(2)"),
            // Quotes and folding do not matter.
            (&["Message-ID: <\"a\"@x>", "References: < a@\r\n x >"], "(1 2)"),
            // Broken ones do not count, and In-Reply-To stands in.
            (&["Message-ID: <a@x>", "References: nonsense <b>|In-Reply-To: \"A B\" <a@x> <c@x>"], "(1 2)"),
        ] {
            assert_eq!(threads(References, mails), expected, "{mails:?}");
        }
    }

    #[test]
    fn threads_of_one_subject_are_one() {
        use Algorithm::References;
        for (mails, expected) in [
            (&["Subject: a", "Subject: Re: A"][..], "(1 2)"),
            (&["Subject: re: a", "Subject: a"], "(2 1)"),
            (&["Subject: a", "Subject: a"], "((1)(2))"),
            (&["Subject: re: a", "Subject: re: a", "Subject: b"], "((1)(2))(3)"),
            (&["Subject: a", "Subject: a", "Subject: a"], "((1)(2)(3))"),
            (&["Subject: a|References: <g@x>", "Subject: b|References: <g@x>", "Subject: a"], "((1)(2)(3))"),
            (
                &[
                    "Subject: a|References: <g@x>",
                    "References: <g@x>",
                    "Subject: a|References: <h@x>",
                    "References: <h@x>",
                ],
                "((1)(2)(3)(4))",
            ),
            (&["Subject: a", "Subject: a", "Subject: re: a"], "((1)(2)(3))"),
            (&["X: y", "X: y"], "(1)(2)"),
        ] {
            assert_eq!(threads(References, mails), expected, "{mails:?}");
        }
        assert_eq!(threads(Algorithm::Refs, &["Subject: a", "Subject: Re: A"]), "(1)(2)");
    }

    #[test]
    fn siblings_go_by_date_and_refs_by_the_latest() {
        let mails = [
            "Message-ID: <a@x>|Date: 1 Jan 2024 00:00:00 +0000",
            "Message-ID: <b@x>|Date: 3 Jan 2024 00:00:00 +0000",
            "References: <a@x>|Date: 5 Jan 2024 00:00:00 +0000",
            "References: <a@x>|Date: 4 Jan 2024 00:00:00 +0000",
            "Message-ID: <e@x>|Date: 1 Jan 2023 00:00:00 +0000",
        ];
        assert_eq!(threads(Algorithm::References, &mails), "(5)(1 (4)(3))(2)");
        assert_eq!(threads(Algorithm::Refs, &mails), "(5)(2)(1 (4)(3))");
    }

    #[test]
    fn ordered_subjects_have_no_grandchildren() {
        let mails = ["Subject: b", "Subject: re: a", "Subject: [x] B", "Subject: a", "Subject: fwd: b", "X: y"];
        assert_eq!(threads(Algorithm::OrderedSubject, &mails), "(1 (3)(5))(2 4)(6)");
    }

    #[test]
    fn a_hundred_thousand_messages_in_one_chain_are_a_thread() {
        for reversed in [false, true] {
            let count = 100_000;
            let items: Vec<Item> = (0..count)
                .map(|at| {
                    let place = if reversed { count - 1 - at } else { at };
                    let references = if place == 0 { vec![] } else { vec![place - 1] };
                    Item { sent: at as i64, id: Some(place), references, ..Item::default() }
                })
                .collect();
            let forest = thread(&items, count, Finish::Subjects);
            assert_eq!(forest.roots.len(), 1);
            let numbers: Vec<u32> = (1..=count as u32).collect();
            let line = String::from_utf8(written(&forest, &numbers)).unwrap();
            assert_eq!((line.matches('(').count(), line.matches(' ').count()), (1, count + 1));
        }
    }
}
