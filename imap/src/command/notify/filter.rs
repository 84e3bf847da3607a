//! Which mailboxes a group of events is about (RFC 5465 §6).

use crate::command::esearch::is_below;
use crate::limits::NOTIFY_MAILBOXES_MAX;
use crate::name::MailboxName;
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed};

/// `filter-mailboxes`
pub(super) enum Named {
    Selected { delayed: bool },
    Others(Filter),
}

/// `filter-mailboxes-other`
#[derive(Debug)]
pub(super) enum Filter {
    Inboxes,
    Personal,
    Subscribed,
    /// Names as they stood in the command, until [`Filter::read`].
    Subtree(Vec<Vec<u8>>),
    Mailboxes(Vec<Vec<u8>>),
}

/// A filter whose names are read.
#[derive(Debug)]
pub(super) enum Reach {
    Inboxes,
    Personal,
    Subscribed,
    Subtree(Vec<String>),
    Mailboxes(Vec<String>),
}

/// A name, and what a filter asks of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) name: &'a str,
    /// In the user's own namespace.
    pub(super) own: bool,
    /// Mail is delivered to it (RFC 5465 §6.3).
    pub(super) inbox: bool,
    pub(super) subscribed: bool,
}

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Named> {
    let names = |cursor: &mut Cursor<'_>| {
        cursor.space()?;
        if cursor.peek() == Some(b'(') {
            let one = |cursor: &mut Cursor<'_>| Ok(cursor.astring()?.into_owned());
            let names = cursor.list(NOTIFY_MAILBOXES_MAX, "Too many mailboxes", one)?;
            return if names.is_empty() { Err(Bad::new("Missing mailbox")) } else { Ok(names) };
        }
        Ok(vec![cursor.astring()?.into_owned()])
    };
    Ok(Named::Others(match cursor.atom("Expected a mailbox filter")?.to_ascii_uppercase().as_str() {
        "SELECTED" => return Ok(Named::Selected { delayed: false }),
        "SELECTED-DELAYED" => return Ok(Named::Selected { delayed: true }),
        "INBOXES" => Filter::Inboxes,
        "PERSONAL" => Filter::Personal,
        "SUBSCRIBED" => Filter::Subscribed,
        "SUBTREE" => Filter::Subtree(names(cursor)?),
        "MAILBOXES" => Filter::Mailboxes(names(cursor)?),
        _ => {
            return Err(Bad::new(
                "Mailboxes are SELECTED, SELECTED-DELAYED, INBOXES, PERSONAL, SUBSCRIBED, SUBTREE or MAILBOXES",
            ));
        }
    }))
}

impl Filter {
    /// With its names read as the session spells them. What is no name names nothing (RFC 5465 §3.1), and the empty one
    /// is above all others.
    pub(super) fn read(self, session: &Session) -> Reach {
        let read = |wires: Vec<Vec<u8>>| {
            let name = |wire: Vec<u8>| match wire.is_empty() {
                true => Some(String::new()),
                false => session.name(&wire).ok().map(MailboxName::into_string),
            };
            wires.into_iter().filter_map(name).collect()
        };
        match self {
            Self::Inboxes => Reach::Inboxes,
            Self::Personal => Reach::Personal,
            Self::Subscribed => Reach::Subscribed,
            Self::Subtree(wires) => Reach::Subtree(read(wires)),
            Self::Mailboxes(wires) => Reach::Mailboxes(read(wires)),
        }
    }
}

impl Reach {
    pub(super) fn reaches(&self, subject: Subject<'_>) -> bool {
        match self {
            Self::Inboxes => subject.inbox,
            Self::Personal => subject.own,
            Self::Subscribed => subject.subscribed,
            Self::Subtree(roots) => is_below(subject.name, roots, usize::MAX),
            // RFC 5465 §6.6: no wildcards.
            Self::Mailboxes(names) => names.iter().any(|name| name == subject.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_reaches_what_it_says() {
        let subject = |name| Subject { name, own: true, inbox: false, subscribed: false };
        let subtree = Reach::Subtree(vec!["a".into()]);
        assert!(subtree.reaches(subject("a")) && subtree.reaches(subject("a/b/c")) && !subtree.reaches(subject("ab")));
        let named = Reach::Mailboxes(vec!["a".into(), "*".into()]);
        assert!(named.reaches(subject("a")) && !named.reaches(subject("a/b")) && !named.reaches(subject("b")));
        assert!(Reach::Subtree(vec![String::new()]).reaches(subject("x/y")));
        assert!(Reach::Personal.reaches(subject("x")) && !Reach::Inboxes.reaches(subject("x")));
        assert!(!Reach::Subscribed.reaches(subject("x")));
    }
}
