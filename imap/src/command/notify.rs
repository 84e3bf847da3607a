//! NOTIFY (RFC 5465): what the client wants to hear of, also while no command runs.
//!
//! `filter` says which mailboxes are meant, `interests` is what a session remembers, `tell` writes what happened.

mod filter;
mod interests;
mod tell;
mod wait;

use crate::command::fetch::Attributes;
use crate::command::notify::filter::Filter;
pub(crate) use crate::command::notify::interests::{Act, Interests, Made};
pub(crate) use crate::command::notify::tell::tell_others;
pub(crate) use crate::command::notify::wait::wait_and_tell;
use crate::limits::NOTIFY_GROUPS_MAX;
use crate::reply::{Run, Tagged};
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed};

/// NOTIFY.
#[derive(Debug)]
pub(crate) struct Notify {
    /// `None`: NOTIFY NONE.
    set: Option<Set>,
}

/// NOTIFY SET.
#[derive(Debug, Default)]
struct Set {
    /// Whether the state of the mailboxes is told first.
    status: bool,
    selected: SelectedEvents,
    groups: Vec<Group>,
    /// Whether an event was named that there is none of.
    unsupported: Option<String>,
}

/// What is told of the selected mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SelectedEvents {
    /// New and expunged messages.
    pub(crate) messages: bool,
    /// Flags that change.
    pub(crate) flags: bool,
    /// Expunged ones only when a command allows it (RFC 5465 §6.1.2).
    pub(crate) delayed: bool,
    /// Of new messages.
    pub(crate) attributes: Attributes,
}

/// `event-group`, for other mailboxes than the selected one.
#[derive(Debug)]
struct Group {
    filter: Filter,
    events: Events,
}

/// Kinds of events, as bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Events(u8);

impl Events {
    /// Named by `NONE`.
    const NONE: Self = Self(0);
    /// MessageNew and MessageExpunge, which go together.
    const MESSAGES: Self = Self(1);
    const FLAGS: Self = Self(2);
    const NAME: Self = Self(4);
    const SUBSCRIPTION: Self = Self(8);
    const METADATA: Self = Self(16);
    const SERVER_METADATA: Self = Self(32);

    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// RFC 5465 §3.1: the names of all that are supported.
const BADEVENT: &str = "[BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange \
     MailboxMetadataChange ServerMetadataChange)]";

/// Names of events in one group: each once, and some that are not known.
const EVENTS_MAX: usize = 20;

/// `events`, as they stand in one group.
#[derive(Debug, Default)]
struct Parsing {
    new: bool,
    expunge: bool,
    events: Events,
    attributes: Attributes,
    unsupported: Option<String>,
}

impl Parsing {
    fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut parsing = Self::default();
        if cursor.peek() != Some(b'(') {
            let none = cursor.take_word("NONE");
            return if none { Ok(parsing) } else { Err(Bad::new("Expected a list of events, or NONE")) };
        }
        let events = cursor.list(EVENTS_MAX, "Too many events", |cursor| parsing.event(cursor))?;
        if events.is_empty() {
            return Err(Bad::new("Empty list of events"));
        }
        Ok(parsing)
    }

    fn event(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        let name = cursor.atom("Expected an event")?;
        let event = match name.to_ascii_uppercase().as_str() {
            "MESSAGENEW" => {
                self.new = true;
                self.attributes = Attributes::parse(cursor)?;
                Events::MESSAGES
            }
            "MESSAGEEXPUNGE" => {
                self.expunge = true;
                Events::MESSAGES
            }
            "FLAGCHANGE" => Events::FLAGS,
            "MAILBOXNAME" => Events::NAME,
            "SUBSCRIPTIONCHANGE" => Events::SUBSCRIPTION,
            "MAILBOXMETADATACHANGE" => Events::METADATA,
            "SERVERMETADATACHANGE" => Events::SERVER_METADATA,
            // AnnotationChange among them: messages have no annotations here.
            _ => {
                let shown: String = name.chars().take(40).collect();
                self.unsupported.get_or_insert(shown);
                return Ok(());
            }
        };
        self.events = self.events.with(event);
        Ok(())
    }

    /// RFC 5465 §5: which events need each other.
    fn check(&self) -> Parsed<()> {
        if self.new != self.expunge {
            return Err(Bad::new("MessageNew and MessageExpunge go together"));
        }
        if self.events.has(Events::FLAGS) && !self.new {
            return Err(Bad::new("FlagChange needs MessageNew and MessageExpunge"));
        }
        Ok(())
    }
}

impl Set {
    /// ` [STATUS] 1*event-group`
    fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut set = Self::default();
        cursor.space()?;
        if cursor.take_word("STATUS") {
            set.status = true;
            cursor.space()?;
        }
        let mut selected = None;
        for _ in 0..NOTIFY_GROUPS_MAX {
            set.group(cursor, &mut selected)?;
            if cursor.is_at_end_but_spaces() {
                set.selected = selected.unwrap_or_default();
                return Ok(set);
            }
            cursor.space()?;
        }
        Err(Bad::new("Too many groups of events"))
    }

    /// `event-group`
    fn group(&mut self, cursor: &mut Cursor<'_>, selected: &mut Option<SelectedEvents>) -> Parsed<()> {
        cursor.expect(b'(', "Expected a group of events: (mailboxes events)")?;
        let filter = filter::parse(cursor)?;
        cursor.space()?;
        let parsing = Parsing::parse(cursor)?;
        cursor.expect(b')', "Missing ')'")?;
        // An event that is not known is NO, not BAD (RFC 5465 §3.1), whatever else is said with it.
        if parsing.unsupported.is_some() {
            self.unsupported = parsing.unsupported;
            return Ok(());
        }
        parsing.check()?;
        let Parsing { events, attributes, new, .. } = parsing;
        match filter {
            filter::Named::Selected { delayed } => {
                // RFC 5465 §6.1
                if selected.is_some() {
                    return Err(Bad::new("SELECTED or SELECTED-DELAYED can be given once"));
                }
                if events.has(Events(!(Events::MESSAGES.0 | Events::FLAGS.0))) {
                    return Err(Bad::new("SELECTED takes MessageNew, MessageExpunge and FlagChange only"));
                }
                let flags = events.has(Events::FLAGS);
                *selected = Some(SelectedEvents { messages: new, flags, delayed, attributes });
            }
            filter::Named::Others(_) if !attributes.is_empty() => {
                // RFC 5465 §8
                return Err(Bad::new("Items to fetch go with SELECTED or SELECTED-DELAYED only"));
            }
            filter::Named::Others(filter) => self.groups.push(Group { filter, events }),
        }
        Ok(())
    }
}

impl Notify {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        match cursor.atom("Expected SET or NONE")?.to_ascii_uppercase().as_str() {
            "NONE" => Ok(Self { set: None }),
            "SET" => Ok(Self { set: Some(Set::parse(cursor)?) }),
            _ => Err(Bad::new("NOTIFY is SET or NONE")),
        }
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let Some(set) = self.set else {
            session.interests = Some(Box::default());
            return Ok(Tagged::ok("NOTIFY completed"));
        };
        if let Some(event) = set.unsupported {
            return Ok(Tagged::no(format!("{BADEVENT} {event} is not supported")));
        }
        // What accumulated before is told now, whatever was asked for (RFC 5465 §3.1).
        session.tell_all().await?;
        let Set { status, selected, groups, .. } = set;
        let mut interests = Interests::begin(session, selected, groups).await?;
        tell::begin(session, &mut interests, status).await?;
        session.interests = Some(Box::new(interests));
        Ok(Tagged::ok("NOTIFY completed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notify(text: &str) -> Parsed<Notify> {
        let mut cursor = Cursor::new(text.as_bytes());
        let notify = Notify::parse(&mut cursor)?;
        cursor.end()?;
        Ok(notify)
    }

    #[test]
    fn groups_of_events_are_read() {
        let set = notify(
            " set status (selected (MessageNew (uid body.peek[header.fields (from to subject)]) MessageExpunge)) \
             (subtree (Lists \"a b\") (messagenew MESSAGEEXPUNGE FlagChange)) (personal (MailboxName)) \
             (mailboxes INBOX NONE) (subscribed (SubscriptionChange ServerMetadataChange)) (inboxes NONE)",
        );
        let set = set.unwrap().set.unwrap();
        assert!(set.status && set.selected.messages && !set.selected.flags && !set.selected.attributes.is_empty());
        assert_eq!(set.groups.len(), 5);
        assert_eq!(set.groups[0].events, Events::MESSAGES.with(Events::FLAGS));
    }

    #[test]
    fn what_makes_no_sense_is_bad_and_what_is_not_known_is_noted() {
        for text in [
            "",
            " ALL",
            " NONE x",
            " SET",
            " SET STATUS",
            " SET ()",
            " SET (personal)",
            " SET (personal ())",
            " SET (personal MailboxName)",
            " SET (nowhere (MailboxName))",
            " SET (mailboxes (MailboxName))",
            " SET (mailboxes () (MailboxName))",
            " SET (personal (MessageNew))",
            " SET (personal (MessageExpunge))",
            " SET (personal (FlagChange))",
            " SET (personal (MessageNew (UID) MessageExpunge))",
            " SET (selected (MessageNew () MessageExpunge))",
            " SET (selected (MessageNew (FAST) MessageExpunge))",
            " SET (selected (MailboxName))",
            " SET (selected NONE) (selected-delayed NONE)",
            " SET (selected NONE",
            " SET (selected NONE)(personal NONE)",
        ] {
            assert!(notify(text).is_err(), "{text}");
        }
        for text in [
            " SET (personal (AnnotationChange))",
            " SET (personal (MessageNew MessageExpunge FutureEvent)) (selected NONE)",
            " SET (selected (MessageNew (UID) MessageExpunge AnnotationChange))",
        ] {
            assert!(notify(text).unwrap().set.unwrap().unsupported.is_some(), "{text}");
        }
        assert!(notify(" none").unwrap().set.is_none());
        let many = format!(" SET{}", " (personal NONE)".repeat(NOTIFY_GROUPS_MAX));
        assert!(notify(&many).is_ok());
        assert!(notify(&format!("{many} (personal NONE)")).is_err());
    }
}
