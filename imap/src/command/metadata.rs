//! GETMETADATA and SETMETADATA (RFC 5464), and the annotations in LIST (RFC 9590).
//!
//! What is `/private` of a mailbox is each user's own, what is `/shared` is for all who share it: the store keeps them
//! apart. What is `/shared` of the server itself is the operator's: everybody reads it, nobody changes it here.

use store::{Annotation, MailboxId, SpecialUse, StoreError};

use crate::access::Found;
use crate::command::{Act, special_use};
use crate::limits::{METADATA_ENTRIES_MAX, METADATA_OPTIONS_MAX};
use crate::name::{Spelling, write_name};
use crate::reply::{Run, Stop, Tagged};
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed, write};

/// The server entry that says whom to turn to (RFC 5464 §6.2.2).
const ADMIN: &str = "/shared/admin";
/// The mailbox entry that is the special use (RFC 6154 §4).
const SPECIAL_USE: &str = "/private/specialuse";

/// GETMETADATA.
#[derive(Debug)]
pub(crate) struct GetMetadata {
    mailbox: Vec<u8>,
    wanted: Wanted,
}

/// SETMETADATA.
#[derive(Debug)]
pub(crate) struct SetMetadata {
    mailbox: Vec<u8>,
    changes: Vec<(String, Option<Vec<u8>>)>,
}

/// Which entries are asked for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// In lower case: names compare without case.
    entries: Vec<String>,
    depth: Depth,
    /// Longer values are left out.
    max_size: Option<u64>,
}

/// How far below an entry others are told too (RFC 5464 §4.2.2).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Depth {
    #[default]
    Zero,
    One,
    Infinity,
}

/// `entry`: RFC 5464 §3.1 says what a name must not be.
fn parse_entry(cursor: &mut Cursor<'_>) -> Parsed<String> {
    const INVALID: Bad = Bad::new(
        "An annotation's name is printable ASCII, begins with /private or /shared, and has no '*', '%', '//' or '/' at \
         its end",
    );
    let name = cursor.astring()?;
    let name = std::str::from_utf8(&name).map_err(|_| INVALID)?;
    let wrong = |octet: u8| !matches!(octet, 0x20..=0x7e) || matches!(octet, b'*' | b'%');
    if name.bytes().any(wrong) || name.contains("//") || name.ends_with('/') {
        return Err(INVALID);
    }
    let scope = name.split('/').nth(1).unwrap_or_default();
    let known = scope.eq_ignore_ascii_case("private") || scope.eq_ignore_ascii_case("shared");
    if name.starts_with('/') && known { Ok(name.to_owned()) } else { Err(INVALID) }
}

impl Wanted {
    /// `"(" getmetadata-option *(SP getmetadata-option) ")"`
    fn parse_options(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        let parse = |cursor: &mut Cursor<'_>| {
            let option = cursor.atom("Expected DEPTH or MAXSIZE")?.to_ascii_uppercase();
            cursor.space()?;
            match option.as_str() {
                "MAXSIZE" => self.max_size = Some(u64::from(cursor.number("MAXSIZE takes a number of octets")?)),
                "DEPTH" => {
                    self.depth = match cursor.atom("Invalid DEPTH")?.to_ascii_lowercase().as_str() {
                        "0" => Depth::Zero,
                        "1" => Depth::One,
                        "infinity" => Depth::Infinity,
                        _ => return Err(Bad::new("DEPTH is 0, 1 or infinity")),
                    }
                }
                _ => return Err(Bad::new("Unknown GETMETADATA option: DEPTH and MAXSIZE are known")),
            }
            Ok(())
        };
        cursor.list(METADATA_OPTIONS_MAX, "Too many GETMETADATA options", parse).map(drop)
    }

    /// Options where they stand here, with the space behind them.
    fn take_options(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        let mut ahead = cursor.clone();
        // An entry begins with a slash or a quote, an option with a letter.
        if ahead.take(b'(') && ahead.peek().is_some_and(|octet| octet.is_ascii_alphabetic()) {
            self.parse_options(cursor)?;
            cursor.space()?;
        }
        Ok(())
    }

    /// `entries`, which the examples of RFC 5464 §4.4.1 also write without parentheses.
    fn parse_entries(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        self.entries = if cursor.peek() == Some(b'(') {
            cursor.list(METADATA_ENTRIES_MAX, "Too many annotations in one command", parse_entry)?
        } else {
            vec![parse_entry(cursor)?]
        };
        if self.entries.is_empty() {
            return Err(Bad::new("Expected the name of an annotation"));
        }
        self.entries.iter_mut().for_each(|name| name.make_ascii_lowercase());
        Ok(())
    }

    /// The argument of LIST's METADATA return option (RFC 9590 §3).
    pub(super) fn parse_in_list(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut wanted = Self::default();
        wanted.take_options(cursor)?;
        if cursor.peek() != Some(b'(') {
            return Err(Bad::new("METADATA takes a list of annotations"));
        }
        wanted.parse_entries(cursor)?;
        Ok(wanted)
    }

    fn covers(&self, wanted: &str, name: &str) -> bool {
        match name.strip_prefix(wanted) {
            Some("") => true,
            Some(below) => below.strip_prefix('/').is_some_and(|below| match self.depth {
                Depth::Zero => false,
                Depth::One => !below.contains('/'),
                Depth::Infinity => true,
            }),
            None => false,
        }
    }

    /// Writes what there is among `all` as one response, and remembers in `longest` what was too long. An entry that
    /// does not exist is NIL: a METADATA response is required (RFC 5464 §4.2).
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        mailbox: &str,
        spelling: Spelling,
        all: &[Annotation],
        longest: &mut Option<usize>,
    ) {
        let mut entries: Vec<(&str, Option<&[u8]>)> = Vec::new();
        for wanted in &self.entries {
            let before = entries.len();
            let mut skipped = false;
            for annotation in all.iter().filter(|one| self.covers(wanted, &one.name.to_ascii_lowercase())) {
                let length = annotation.value.len();
                if self.max_size.is_some_and(|max| length as u64 > max) {
                    *longest = Some(longest.unwrap_or(0).max(length));
                    skipped = true;
                } else if !entries.iter().any(|(name, _)| name.eq_ignore_ascii_case(&annotation.name)) {
                    entries.push((&annotation.name, Some(&annotation.value)));
                } else {
                    skipped = true;
                }
            }
            if entries.len() == before && !skipped {
                entries.push((wanted, None));
            }
        }
        if entries.is_empty() {
            return;
        }
        out.extend_from_slice(b"* METADATA ");
        write_name(out, mailbox, spelling);
        out.extend_from_slice(b" (");
        for (at, (name, value)) in entries.into_iter().enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            write::astring(out, name.as_bytes());
            out.push(b' ');
            write_value(out, value);
        }
        out.extend_from_slice(b")\r\n");
    }
}

/// `* METADATA name entry…`: which entries changed, without their values (RFC 5464 §4.4.2).
pub(super) fn write_names(out: &mut Vec<u8>, mailbox: &str, spelling: Spelling, names: &[String]) {
    out.extend_from_slice(b"* METADATA ");
    write_name(out, mailbox, spelling);
    for name in names {
        out.push(b' ');
        write::astring(out, name.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// `value = nstring / literal8`
fn write_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => out.extend_from_slice(b"NIL"),
        Some(value) if value.len() < 1024 && value.iter().all(|octet| matches!(octet, 0x20..=0x7e)) => {
            write::quoted(out, value);
        }
        Some(value) => {
            // Only a literal8 may hold NUL.
            if value.contains(&0) {
                out.push(b'~');
            }
            write::literal(out, value);
        }
    }
}

impl GetMetadata {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut wanted = Wanted::default();
        cursor.space()?;
        wanted.take_options(cursor)?;
        let mailbox = cursor.astring()?.into_owned();
        cursor.space()?;
        // Where the RFC's own examples have them.
        wanted.take_options(cursor)?;
        wanted.parse_entries(cursor)?;
        while !cursor.is_at_end() {
            cursor.space()?;
            if wanted.entries.len() == METADATA_ENTRIES_MAX {
                return Err(Bad::new("Too many annotations in one command"));
            }
            wanted.entries.push(parse_entry(cursor)?.to_ascii_lowercase());
        }
        Ok(Self { mailbox, wanted })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let (name, all) = match target(session, &self.mailbox).await? {
            Some(found) => {
                let all = of_mailbox(session, &found).await?;
                (found.mailbox.name, all)
            }
            None => (String::new(), of_server(session).await?),
        };
        let mut longest = None;
        let spelling = session.spelling();
        self.wanted.write(&mut session.io.out, &name, spelling, &all, &mut longest);
        Ok(done("GETMETADATA completed", longest))
    }
}

/// RFC 5464 §4.2.1: the longest value that MAXSIZE kept back.
pub(super) fn done(text: &'static str, longest: Option<usize>) -> Tagged {
    match longest {
        Some(longest) => Tagged::ok(format!("[METADATA LONGENTRIES {longest}] {text}")),
        None => Tagged::ok(text),
    }
}

/// The mailbox of a name; `None` for the empty one, which is the server.
async fn target(session: &Session, mailbox: &[u8]) -> Result<Option<Found>, Stop> {
    if mailbox.is_empty() {
        return Ok(None);
    }
    let name = session.name(mailbox)?;
    match session.find(&name).await {
        Err(Stop::Tagged(_)) => Err(Tagged::no("[NONEXISTENT] No such mailbox").into()),
        found => found.map(Some),
    }
}

/// [`of_mailbox`] for LIST, where a mailbox without the rights to read any is just not told of.
pub(super) async fn of_listed(session: &Session, found: &Found) -> Result<Option<Vec<Annotation>>, Stop> {
    match session.shared.store.annotations(session.account()?, Some(found.mailbox.id)).await {
        Err(StoreError::Denied(_)) => Ok(None),
        kept => Ok(Some(with_use(kept?, session, found)?)),
    }
}

/// What is kept of a mailbox, and what follows from its use.
async fn of_mailbox(session: &Session, found: &Found) -> Result<Vec<Annotation>, Stop> {
    with_use(session.shared.store.annotations(session.account()?, Some(found.mailbox.id)).await?, session, found)
}

/// RFC 6154 §4. Another's Trash is no Trash of ours.
fn with_use(mut all: Vec<Annotation>, session: &Session, found: &Found) -> Result<Vec<Annotation>, Stop> {
    let uses = special_use::names(&found.mailbox);
    if !uses.is_empty() && found.owner == session.account()? {
        all.push(Annotation { name: SPECIAL_USE.into(), value: uses.join(" ").into_bytes() });
    }
    Ok(all)
}

async fn of_server(session: &Session) -> Result<Vec<Annotation>, Stop> {
    let mut all = session.shared.store.annotations(session.account()?, None).await?;
    if let Some(uri) = session.shared.host.admin() {
        all.push(Annotation { name: ADMIN.into(), value: uri.into_bytes() });
    }
    Ok(all)
}

impl SetMetadata {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        let mailbox = cursor.astring()?.into_owned();
        cursor.space()?;
        let changes = cursor.list(METADATA_ENTRIES_MAX, "Too many annotations in one command", |cursor| {
            let name = parse_entry(cursor)?;
            cursor.space()?;
            let value = if cursor.take(b'~') {
                Some(cursor.literal()?.to_vec())
            } else {
                cursor.nstring()?.map(std::borrow::Cow::into_owned)
            };
            Ok((name, value))
        })?;
        if changes.is_empty() {
            return Err(Bad::new("Expected annotations and their values"));
        }
        Ok(Self { mailbox, changes })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let Self { mailbox, mut changes } = self;
        let mailbox = target(session, &mailbox).await?;
        let max = store::limits::ANNOTATION_BYTES_MAX;
        if changes.iter().any(|(_, value)| value.as_ref().is_some_and(|value| value.len() > max)) {
            // RFC 5464 §4.3: how much would have been taken.
            return Ok(Tagged::no(format!("[METADATA MAXSIZE {max}] An annotation is too long")));
        }
        if mailbox.is_none() && changes.iter().any(|(name, _)| name[..7].eq_ignore_ascii_case("/shared")) {
            // RFC 5464 §3.3: shared annotations of the server may be restricted; /shared/admin always is.
            return Ok(Tagged::no("[NOPERM] Shared annotations of the server are its operator's"));
        }
        let special =
            mailbox.as_ref().and_then(|_| changes.iter().position(|(name, _)| name.eq_ignore_ascii_case(SPECIAL_USE)));
        let special = match (special, &mailbox) {
            (Some(at), Some(Found { owner, mailbox, .. })) => {
                let (_, value) = changes.remove(at);
                let uses = special_use::of_words(value.as_deref().unwrap_or_default())?;
                if *owner != session.account()? {
                    return Ok(Tagged::no("[USEATTR] What a mailbox of somebody else is for cannot be changed"));
                }
                // RFC 6154 §4: checked as CREATE is, before anything is changed.
                special_use::may_be(mailbox, uses)?;
                (mailbox.place == lnmp::Place::Own).then_some((mailbox.id, uses))
            }
            _ => None,
        };
        let account = session.account()?;
        let own = mailbox.as_ref().is_none_or(|found| found.owner == account);
        let id = mailbox.map(|found| found.mailbox.id);
        let names = if session.interests.is_some() { changing(session, id, &changes).await? } else { Vec::new() };
        let done = annotate(session, id, changes, special).await;
        if done.is_ok() {
            note(session, id, names, own);
        }
        done
    }
}

async fn annotate(
    session: &mut Session,
    mailbox: Option<MailboxId>,
    changes: Vec<(String, Option<Vec<u8>>)>,
    special: Option<(MailboxId, SpecialUse)>,
) -> Run {
    let account = session.account()?;
    let store = session.shared.store.clone();
    match store.annotate(account, mailbox, changes).await {
        // Sizes were looked at above: it is their number.
        Err(StoreError::Limit(_)) => {
            return Err(Tagged::no("[METADATA TOOMANY] This account has as many annotations as it may").into());
        }
        done => done?,
    }
    if let Some((id, uses)) = special {
        store.set_special_use(account, id, uses).await?;
        session.did(|| Act::Annotated(Some(id), vec![SPECIAL_USE.into()]));
    }
    Ok(Tagged::ok("SETMETADATA completed"))
}

/// The client need not be told of what it set. In a mailbox of somebody else what is its own and what is for all is told
/// apart.
fn note(session: &mut Session, mailbox: Option<MailboxId>, names: Vec<String>, own: bool) {
    let is_private = |name: &String| name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("/private"));
    let (private, shared) = if own { (names, Vec::new()) } else { names.into_iter().partition(is_private) };
    for names in [private, shared] {
        if !names.is_empty() {
            session.did(|| Act::Annotated(mailbox, names));
        }
    }
}

/// The names that a change is told by: what is removed is told if it is there.
async fn changing(
    session: &Session,
    mailbox: Option<MailboxId>,
    changes: &[(String, Option<Vec<u8>>)],
) -> Result<Vec<String>, Stop> {
    let all = session.shared.store.annotations(session.account()?, mailbox).await?;
    let there = |name: &str| all.iter().any(|one| one.name.eq_ignore_ascii_case(name));
    let told = changes.iter().filter(|(name, value)| value.is_some() || there(name));
    Ok(told.map(|(name, _)| name.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(text: &str) -> Parsed<GetMetadata> {
        GetMetadata::parse(&mut Cursor::new(text.as_bytes()))
    }

    #[test]
    fn options_stand_where_the_grammar_or_the_examples_have_them() {
        for text in [
            " (MAXSIZE 1024 DEPTH infinity) INBOX (/shared/comment /private/comment)",
            " INBOX (maxsize 1024 depth INFINITY) (/shared/comment \"/PRIVATE/comment\")",
            " (DEPTH infinity MAXSIZE 1024) INBOX /shared/comment /private/comment",
        ] {
            let GetMetadata { mailbox, wanted } = get(text).unwrap();
            assert_eq!(mailbox, b"INBOX");
            assert_eq!(wanted.entries, ["/shared/comment", "/private/comment"]);
            assert_eq!((wanted.depth, wanted.max_size), (Depth::Infinity, Some(1024)));
        }
    }

    #[test]
    fn names_that_cannot_be_are_bad() {
        for name in
            ["comment", "/comment", "/shared//a", "/shared/", "/private/a*", "/private/%", "/sharedx", "{1+}\r\n\u{1}"]
        {
            assert!(get(&format!(" INBOX {name}")).is_err(), "{name}");
        }
        for text in [" INBOX", " INBOX ()", " INBOX (DEPTH 2) /shared/a", " INBOX (SIZE 2) /shared/a", " (DEPTH 1)"] {
            assert!(get(text).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_and_size_choose_what_is_told() {
        let annotation = |name: &str, value: &[u8]| Annotation { name: name.into(), value: value.to_vec() };
        let all = [
            annotation("/private/a", b"1"),
            annotation("/private/a/b", b"a \"quote\""),
            annotation("/private/a/b/c", b"\0\r\n"),
            annotation("/private/ab", b"longer"),
        ];
        let told = |text: &str| {
            let (mut out, mut longest) = (Vec::new(), None);
            get(text).unwrap().wanted.write(&mut out, "INBOX", Spelling::ModifiedUtf7, &all, &mut longest);
            (String::from_utf8(out).unwrap(), longest)
        };
        for (text, expected, longest) in [
            (" x /private/A", "* METADATA INBOX (/private/a \"1\")\r\n", None),
            (
                " (DEPTH 1) x /private/a",
                "* METADATA INBOX (/private/a \"1\" /private/a/b \"a \\\"quote\\\"\")\r\n",
                None,
            ),
            (" (DEPTH infinity) x /private/a/b/c", "* METADATA INBOX (/private/a/b/c ~{3}\r\n\0\r\n)\r\n", None),
            (" (MAXSIZE 3 DEPTH 1) x /private", "* METADATA INBOX (/private/a \"1\")\r\n", Some(6)),
            (" (MAXSIZE 5) x /private/ab", "", Some(6)),
            (" x (/private/x /private/a /private/a)", "* METADATA INBOX (/private/x NIL /private/a \"1\")\r\n", None),
        ] {
            assert_eq!(told(text), (expected.to_owned(), longest), "{text}");
        }
    }
}
