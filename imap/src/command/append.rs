//! APPEND (RFC 3501 §6.3.11) of one message or several (MULTIAPPEND: RFC 3502; UIDPLUS: RFC 4315 §3).
//!
//! ```text
//!   APPEND SP mailbox 1*message          message = [SP flags] [SP date] SP data       (RFC 4466 §2.6.2)
//!                                        data    = literal / literal8 / UTF8 (literal8)
//!                                                / "CATENATE" SP "(" part *(SP part) ")"     (RFC 4469 §5)
//!                                        part    = "TEXT" SP literal / "URL" SP astring / UTF8 (literal8)
//! ```
//! The same grammar is read twice: up to the header of a literal, so that one that is not wanted is refused before it
//! is sent, and as a whole.

mod catenate;
mod url;

use catenate::{Catenation, Part};
use store::{MailboxId, Rights, StoreError, Uid};

use crate::access::Found;
use crate::command::list::told;
use crate::command::{replace, tag_of};
use crate::flags::FlagList;
use crate::limits::{APPEND_BYTES_MAX, APPEND_COMMAND_BYTES_MAX, APPEND_MESSAGES_MAX, CATENATE_PARTS_MAX};
use crate::message_limit;
use crate::name::{MailboxName, Spelling};
use crate::reply::{Run, Stop, Tagged};
use crate::session::Session;
use crate::wire::date::{DateTimeZone, parse_date_time};
use crate::wire::sequence::write_set;
use crate::wire::{Bad, Cursor, LiteralHeader, Parsed, write};

/// APPEND.
#[derive(Debug)]
pub(crate) struct Append {
    mailbox: Vec<u8>,
    messages: Vec<Message>,
}

/// One message to be stored.
pub(super) struct Message {
    flags: FlagList,
    date: Option<DateTimeZone>,
    parts: Vec<Part>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message").field("parts", &self.parts.len()).finish_non_exhaustive()
    }
}

/// What a literal at the end of an unfinished command is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A message of an APPEND or REPLACE.
    Message(Announced),
    /// Anything else.
    Other,
}

/// A message, or a part of one, whose literal is announced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    /// Where to.
    pub(crate) mailbox: MailboxName,
    /// Which of the command's messages, from 1.
    number: usize,
    /// Octets of the message before this part of it.
    before: u64,
}

impl Announced {
    /// Why the literal is not wanted, if so (RFC 7889 §4 wants TOOBIG before it is sent).
    pub(crate) fn refusal(&self, literal: &LiteralHeader, message_limit: usize) -> Option<Tagged> {
        if self.number > message_limit {
            return Some(message_limit::too_many(message_limit));
        }
        if self.number > APPEND_MESSAGES_MAX {
            return Some(too_many());
        }
        if self.before.saturating_add(literal.size) > APPEND_BYTES_MAX as u64 {
            return Some(Tagged::no("[TOOBIG] Message is too large"));
        }
        let together = literal.before.saturating_add(literal.size);
        (together > APPEND_COMMAND_BYTES_MAX as u64)
            .then(|| Tagged::no("[TOOBIG] Messages of one command are too large together"))
    }
}

fn too_many() -> Tagged {
    Tagged::no(format!("[LIMIT] One command may append {APPEND_MESSAGES_MAX} messages"))
}

/// Looks at a command up to a literal's header, which may be a message of some megabytes.
pub(crate) fn destination(so_far: &[u8], spelling: Spelling) -> Destination {
    let mut reader = Reader::default();
    let mut read = || -> Option<Vec<u8>> {
        let mut cursor = Cursor::new(&so_far[tag_of(so_far)?.len()..]);
        cursor.space().ok()?;
        if !cursor.take_word("APPEND") {
            cursor.take_word("UID ");
            if !cursor.take_word("REPLACE") {
                return None;
            }
            replace::parse_number(&mut cursor).ok()?;
        }
        let mailbox = parse_mailbox(&mut cursor).ok()?;
        // Ends with an error where the command ends so far: what was read before that tells.
        let _ = reader.messages(&mut cursor);
        Some(mailbox)
    };
    match read().and_then(|mailbox| MailboxName::read(&mailbox, spelling).ok()) {
        Some(mailbox) if reader.at_literal => {
            Destination::Message(Announced { mailbox, number: reader.begun, before: reader.octets })
        }
        _ => Destination::Other,
    }
}

pub(super) fn parse_mailbox(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    cursor.space()?;
    Ok(cursor.astring()?.into_owned())
}

/// A message as it stands in the command.
struct Parts<'a> {
    flags: FlagList,
    date: Option<DateTimeZone>,
    parts: Vec<Borrowed<'a>>,
}

enum Borrowed<'a> {
    Text(&'a [u8]),
    Url(Vec<u8>),
}

impl Parts<'_> {
    fn owned(self) -> Message {
        let owned = |part| match part {
            Borrowed::Text(text) => Part::Text(text.to_vec()),
            Borrowed::Url(url) => Part::Url(url),
        };
        Message { flags: self.flags, date: self.date, parts: self.parts.into_iter().map(owned).collect() }
    }
}

/// Reads messages, and notes how far it came.
#[derive(Default)]
struct Reader {
    /// Messages whose data was reached.
    begun: usize,
    /// Octets of the last of them.
    octets: u64,
    /// Whether the octets ended with the header of a message's literal.
    at_literal: bool,
}

impl Reader {
    /// `1*append-message`
    fn messages<'a>(&mut self, cursor: &mut Cursor<'a>) -> Parsed<Vec<Parts<'a>>> {
        let mut messages = Vec::new();
        loop {
            messages.push(self.message(cursor)?);
            if cursor.is_at_end_but_spaces() {
                return Ok(messages);
            }
        }
    }

    /// `append-message`: flags, date, data.
    fn message<'a>(&mut self, cursor: &mut Cursor<'a>) -> Parsed<Parts<'a>> {
        cursor.space()?;
        let mut flags = FlagList::default();
        if cursor.peek() == Some(b'(') {
            flags = FlagList::parse_for_append(cursor)?;
            cursor.space()?;
        }
        let mut date = None;
        if cursor.peek() == Some(b'"') {
            date = Some(parse_date_time(cursor)?);
            cursor.space()?;
        }
        self.begun += 1;
        self.octets = 0;
        let parts = match cursor.peek() {
            Some(b'C' | b'c') if cursor.take_word("CATENATE") => self.catenate(cursor)?,
            _ => vec![Borrowed::Text(self.literal(cursor)?)],
        };
        Ok(Parts { flags, date, parts })
    }

    /// ` (part part…)`
    fn catenate<'a>(&mut self, cursor: &mut Cursor<'a>) -> Parsed<Vec<Borrowed<'a>>> {
        cursor.space()?;
        let parts = cursor.list(CATENATE_PARTS_MAX, "Too many parts in one CATENATE", |cursor| {
            // RFC 6855 §4: a part may be UTF8 data too.
            if cursor.take_word("TEXT ")
                || matches!(cursor.peek(), Some(b'U' | b'u')) && !cursor.clone().take_word("URL ")
            {
                return self.literal(cursor).map(Borrowed::Text);
            }
            if cursor.take_word("URL ") {
                return Ok(Borrowed::Url(cursor.astring()?.into_owned()));
            }
            Err(Bad::new("Expected TEXT or URL"))
        })?;
        if parts.is_empty() { Err(Bad::new("Empty CATENATE")) } else { Ok(parts) }
    }

    /// `literal / literal8`. RFC 3516 §4.4 lets a server change the transfer encoding of what came as a literal8, so
    /// that BODY[] is free of NUL. Here the octets are kept as they were sent: signatures over them stay valid, and
    /// whoever sent NUL reads them again, by BINARY[] as well as by BODY[].
    fn literal<'a>(&mut self, cursor: &mut Cursor<'a>) -> Parsed<&'a [u8]> {
        // RFC 6855 §4: `UTF8 (literal8)` says that headers have UTF-8 in them, which needs nothing here.
        let utf8 = cursor.take_word("UTF8 (");
        cursor.take_tilde();
        let length = cursor.literal_header()?;
        self.at_literal = cursor.is_at_end();
        let octets = cursor.literal_octets(length)?;
        self.octets += length as u64;
        if utf8 {
            cursor.expect(b')', "Missing ')' behind UTF8 data")?;
        }
        Ok(octets)
    }
}

impl Append {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mailbox = parse_mailbox(cursor)?;
        let messages = Reader::default().messages(cursor)?.into_iter().map(Parts::owned).collect();
        Ok(Self { mailbox, messages })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let code = store_messages(session, &self.mailbox, self.messages, None).await?;
        Ok(Tagged::ok(format!("{code}APPEND completed")))
    }
}

/// One message, as REPLACE has it.
pub(super) fn parse_message(cursor: &mut Cursor<'_>) -> Parsed<Message> {
    Ok(Reader::default().message(cursor)?.owned())
}

/// Seals the messages and stores all of them or none; the APPENDUID response code.
pub(super) async fn store_messages(
    session: &mut Session,
    wire: &[u8],
    messages: Vec<Message>,
    replaces: Option<(MailboxId, Uid)>,
) -> Result<String, Stop> {
    let name = session.name(wire)?;
    let Found { owner, mailbox, rights } = session.find(&name).await?;
    if !rights.contains(Rights::INSERT) {
        return Err(StoreError::Denied('i').into());
    }
    // RFC 9738 §3.1: all or none, as MULTIAPPEND is.
    if messages.len() > session.shared.message_limit {
        return Err(message_limit::too_many(session.shared.message_limit).into());
    }
    if messages.len() > APPEND_MESSAGES_MAX {
        return Err(too_many().into());
    }
    // RFC 3502 §3: a message of no octets cancels the whole command, that is how a client that has begun one ends it.
    let empty = || Tagged::no("[CANNOT] An empty message cannot be stored");
    if messages.iter().any(|message| matches!(&message.parts[..], [Part::Text(text)] if text.is_empty())) {
        return Err(empty().into());
    }
    // RFC 6855 §4 would refuse a header in UTF-8 from who has not said ENABLE: programs that copy old mailboxes say
    // nothing and have such mails, and a mail that is refused is a mail lost. Taken as it comes.
    let (account, now) = (session.account()?, (session.shared.now)());
    let shared = session.shared.clone();
    let mut catenation = Catenation::default();
    let mut sealed = Vec::with_capacity(messages.len());
    for message in messages {
        let octets = catenation.join(session, message.parts).await?;
        if octets.is_empty() {
            return Err(empty().into());
        }
        let parts = shared.host.seal(owner, octets).await?;
        let FlagList { flags, keywords } = message.flags.without_server_keywords();
        sealed.push(store::NewMessage {
            sealed: parts.parts,
            internal_date: message.date.map_or(now, |date| date.ms),
            zone: message.date.map_or(0, |date| date.zone),
            flags,
            keywords,
            message_id: parts.message_id,
            content_digest: parts.content_digest,
        });
    }
    let append = store::Append { account, mailbox: mailbox.id, messages: sealed, replaces };
    let appended = shared.store.append(append, now).await?;
    session.note_made(mailbox.id, appended.uids.iter().map(|uid| uid.get()));
    told::normalised(session, name.as_str(), wire).await?;
    // RFC 4315 §3, RFC 9051 §6.3.12: a mailbox that may not be selected tells nothing of itself.
    if !rights.contains(Rights::READ) {
        return Ok(String::new());
    }
    let mut code = b"[APPENDUID ".to_vec();
    write::number(&mut code, u64::from(appended.uid_validity.0.get()));
    code.push(b' ');
    // RFC 4315 §3: the set names the UIDs in the order of the messages.
    write_set(&mut code, appended.uids.iter().map(|uid| uid.get()));
    code.extend_from_slice(b"] ");
    Ok(String::from_utf8(code).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &[u8], number: usize) -> Destination {
        part(name, number, 0)
    }

    fn part(name: &[u8], number: usize, before: u64) -> Destination {
        Destination::Message(Announced { mailbox: MailboxName::from_wire(name).unwrap(), number, before })
    }

    #[test]
    fn the_message_is_told_from_other_literals() {
        for (text, expected) in [
            (&b"a APPEND INBOX {9}\r\n"[..], message(b"INBOX", 1)),
            (b"a append \"My Box\" (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {9+}\r\n", message(b"My Box", 1)),
            (b"a APPEND {3}\r\nBox (\\Seen) ~{9}\r\n", message(b"Box", 1)),
            (b"a APPEND INBOX {1}\r\nx {9}\r\n", message(b"INBOX", 2)),
            (b"a APPEND INBOX ~{1+}\r\n\0 () \"17-Jul-1996 02:44:25 -0700\" ~{0}\r\n", message(b"INBOX", 2)),
            (b"a replace 4 Drafts (\\Draft) {9}\r\n", message(b"Drafts", 1)),
            (b"a UID REPLACE 4 Drafts {9+}\r\n", message(b"Drafts", 1)),
            (b"a UID REPLACE 0 Drafts {9+}\r\n", Destination::Other),
            (b"a UID APPEND Drafts {9+}\r\n", Destination::Other),
            (b"a APPEND x CATENATE (TEXT {9}\r\n", part(b"x", 1, 0)),
            (b"a APPEND x CATENATE (TEXT {2}\r\nab URL /x/;UID=1 TEXT {9}\r\n", part(b"x", 1, 2)),
            (b"a APPEND x CATENATE (TEXT {2}\r\nab) (\\Seen) CATENATE (TEXT {9}\r\n", part(b"x", 2, 0)),
            (b"a APPEND x CATENATE (URL {9}\r\n", Destination::Other),
            (b"a APPEND {9}\r\n", Destination::Other),
            (b"a APPEND INBOX {1}\r\nx{9}\r\n", Destination::Other),
            (b"a LOGIN {9}\r\n", Destination::Other),
            (b"{9}\r\n", Destination::Other),
        ] {
            assert_eq!(destination(text, Spelling::ModifiedUtf7), expected, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn the_whole_command_is_read() {
        let text =
            b" Sent (\\Seen $Forwarded) \" 1-Jan-2026 00:00:00 +0000\" {3}\r\nabc (\\Draft) ~{2+}\r\n\0d {0}\r\n";
        let append = Append::parse(&mut Cursor::new(text)).unwrap();
        assert_eq!(append.mailbox, b"Sent");
        let octets: Vec<&[u8]> = append
            .messages
            .iter()
            .map(|message| match &message.parts[..] {
                [Part::Text(text)] => text.as_slice(),
                _ => panic!("one text"),
            })
            .collect();
        assert_eq!(octets, [&b"abc"[..], b"\0d", b""]);
        assert_eq!(append.messages[0].date, Some(DateTimeZone { ms: 1_767_225_600_000, zone: 0 }));
        assert_eq!(append.messages[0].flags.keywords, ["$Forwarded"]);
        assert_eq!(append.messages[1].flags.flags, store::Flags::DRAFT);
    }

    #[test]
    fn what_would_not_fit_is_refused_at_its_header() {
        let announced = |number| Announced { mailbox: MailboxName::from_wire(b"x").unwrap(), number, before: 0 };
        let literal = |before, size| LiteralHeader { size, synchronising: true, before };
        assert_eq!(announced(APPEND_MESSAGES_MAX).refusal(&literal(0, APPEND_BYTES_MAX as u64), 1000), None);
        assert_eq!(announced(4).refusal(&literal(0, 1), 3), Some(message_limit::too_many(3)));
        for (number, before, size) in [
            (APPEND_MESSAGES_MAX + 1, 0, 1),
            (1, 0, APPEND_BYTES_MAX as u64 + 1),
            (2, APPEND_COMMAND_BYTES_MAX as u64, 1),
            (1, 0, u64::MAX),
        ] {
            assert!(announced(number).refusal(&literal(before, size), 1000).is_some(), "{number} {before} {size}");
        }
    }
}
