//! STATUS (RFC 3501 §6.3.10), and its items in LIST (RFC 5819).

use store::{MailboxStatus, StoreError};

use crate::name::{Spelling, write_name};
use crate::reply::{Run, Stop, Tagged};
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed, write};

/// STATUS.
#[derive(Debug)]
pub(crate) struct Status {
    mailbox: Vec<u8>,
    items: Vec<Item>,
}

/// What STATUS can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
}

/// Each item is asked for once at most.
const ITEMS_MAX: usize = 20;

/// `"(" status-att *(SP status-att) ")"`
pub(super) fn parse_items(cursor: &mut Cursor<'_>) -> Parsed<Vec<Item>> {
    let items = cursor.list(ITEMS_MAX, "Too many STATUS items", |cursor| {
        let name = cursor.atom("Invalid STATUS item")?;
        Ok(match name.to_ascii_uppercase().as_str() {
            "MESSAGES" => Item::Messages,
            "RECENT" => Item::Recent,
            "UIDNEXT" => Item::UidNext,
            "UIDVALIDITY" => Item::UidValidity,
            "UNSEEN" => Item::Unseen,
            _ => return Err(Bad::new("Unknown STATUS item")),
        })
    })?;
    if items.is_empty() { Err(Bad::new("Empty STATUS list")) } else { Ok(items) }
}

/// `* STATUS name (…)`. `claimed`: UIDs up to here were `\Recent` to a session already, whatever the store says.
pub(super) fn write_status(
    out: &mut Vec<u8>,
    spelling: Spelling,
    name: &str,
    items: &[Item],
    status: &MailboxStatus,
    claimed: u32,
) {
    out.extend_from_slice(b"* STATUS ");
    write_name(out, name, spelling);
    out.extend_from_slice(b" (");
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        let last = status.uid_next.get() - 1;
        let (word, number) = match item {
            Item::Messages => ("MESSAGES ", status.messages),
            Item::Recent if claimed >= last => ("RECENT ", 0),
            Item::Recent => ("RECENT ", status.recent.min(last - claimed)),
            Item::UidNext => ("UIDNEXT ", status.uid_next.get()),
            Item::UidValidity => ("UIDVALIDITY ", status.uid_validity.0.get()),
            Item::Unseen => ("UNSEEN ", status.unseen),
        };
        out.extend_from_slice(word.as_bytes());
        write::number(out, u64::from(number));
    }
    out.extend_from_slice(b")\r\n");
}

impl Status {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        let mailbox = cursor.astring()?.into_owned();
        cursor.space()?;
        Ok(Self { mailbox, items: parse_items(cursor)? })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let name = session.name(&self.mailbox)?;
        let account = session.account()?;
        let mailbox = match session.existing(&name).await {
            Err(Stop::Tagged(_)) => return Ok(Tagged::no("[NONEXISTENT] No such mailbox")),
            found => found?,
        };
        let counts = session.shared.store.status(account, &[mailbox.id]).await?;
        let status = counts.first().ok_or(StoreError::NoSuch("mailbox"))?;
        let claimed = session.shared.rooms.claimed(account, mailbox.id);
        let spelling = session.spelling();
        write_status(&mut session.io.out, spelling, &mailbox.name, &self.items, status, claimed);
        Ok(Tagged::ok("STATUS completed"))
    }
}
