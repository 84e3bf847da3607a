//! APPEND (RFC 3501 §6.3.11, UIDPLUS: RFC 4315 §3).

use crate::command::tag_of;
use crate::flags::FlagList;
use crate::name::MailboxName;
use crate::reply::{Run, Tagged};
use crate::session::Session;
use crate::wire::date::parse_date_time;
use crate::wire::{Cursor, Parsed};

/// APPEND.
pub(crate) struct Append {
    mailbox: Vec<u8>,
    flags: FlagList,
    /// Milliseconds since 1970.
    date: Option<i64>,
    message: Vec<u8>,
}

impl std::fmt::Debug for Append {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Append").field("octets", &self.message.len()).finish_non_exhaustive()
    }
}

/// What a literal at the end of an unfinished command is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// An APPEND's message, to this mailbox.
    Append(MailboxName),
    /// Anything else.
    Other,
}

/// Looks at a command up to a literal's header, which may be a message of some megabytes.
pub(crate) fn destination(so_far: &[u8]) -> Destination {
    let parse = || -> Option<MailboxName> {
        let mut cursor = Cursor::new(&so_far[tag_of(so_far)?.len()..]);
        cursor.space().ok()?;
        if !cursor.take_word("APPEND") {
            return None;
        }
        let (mailbox, _, _) = parse_head(&mut cursor).ok()?;
        cursor.literal_header().ok()?;
        cursor.is_at_end().then(|| MailboxName::from_wire(&mailbox).ok())?
    };
    parse().map_or(Destination::Other, Destination::Append)
}

/// Mailbox, flags, date: what stands before the message.
fn parse_head(cursor: &mut Cursor<'_>) -> Parsed<(Vec<u8>, FlagList, Option<i64>)> {
    cursor.space()?;
    let mailbox = cursor.astring()?.into_owned();
    cursor.space()?;
    let mut flags = FlagList::default();
    if cursor.peek() == Some(b'(') {
        flags = FlagList::parse(cursor)?;
        cursor.space()?;
    }
    let mut date = None;
    if cursor.peek() == Some(b'"') {
        date = Some(parse_date_time(cursor)?);
        cursor.space()?;
    }
    Ok((mailbox, flags, date))
}

impl Append {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let (mailbox, flags, date) = parse_head(cursor)?;
        let message = cursor.literal()?.to_vec();
        Ok(Self { mailbox, flags, date, message })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let name = MailboxName::from_wire(&self.mailbox)?;
        let mailbox = session.existing(&name).await?;
        if self.message.is_empty() {
            return Ok(Tagged::no("[CANNOT] An empty message cannot be stored"));
        }
        let (account, now) = (session.account()?, (session.shared.now)());
        let shared = session.shared.clone();
        let sealed = shared.host.seal(account, self.message).await?;
        let FlagList { flags, keywords } = self.flags.without_server_keywords();
        let append = store::Append {
            account,
            mailbox: mailbox.id,
            sealed: sealed.parts,
            internal_date: self.date.unwrap_or(now),
            flags,
            keywords,
            message_id: sealed.message_id,
            content_digest: sealed.content_digest,
        };
        let appended = shared.store.append(append, now).await?;
        let (validity, uid) = (appended.uid_validity.0, appended.uid.get());
        Ok(Tagged::ok(format!("[APPENDUID {validity} {uid}] APPEND completed")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_told_from_other_literals() {
        let append = |name: &[u8]| Destination::Append(MailboxName::from_wire(name).unwrap());
        for (text, expected) in [
            (&b"a APPEND INBOX {9}\r\n"[..], append(b"INBOX")),
            (b"a append \"My Box\" (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {9+}\r\n", append(b"My Box")),
            (b"a APPEND {3}\r\nBox (\\Seen) {9}\r\n", append(b"Box")),
            (b"a APPEND {9}\r\n", Destination::Other),
            (b"a LOGIN {9}\r\n", Destination::Other),
            (b"a APPEND INBOX {1}\r\nx {9}\r\n", Destination::Other),
            (b"{9}\r\n", Destination::Other),
        ] {
            assert_eq!(destination(text), expected);
        }
    }

    #[test]
    fn the_whole_command_is_read() {
        let text = b" Sent (\\Seen $Forwarded) \" 1-Jan-2026 00:00:00 +0000\" {3}\r\nabc";
        let append = Append::parse(&mut Cursor::new(text)).unwrap();
        assert_eq!((append.mailbox.as_slice(), append.message.as_slice()), (&b"Sent"[..], &b"abc"[..]));
        assert_eq!(append.date, Some(1_767_225_600_000));
        assert_eq!(append.flags.keywords, ["$Forwarded"]);
    }
}
