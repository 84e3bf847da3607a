//! STATUS (RFC 3501 §6.3.10), and its items in LIST (RFC 5819).

use store::{AccountId, MailboxStatus, Rights, StoreError};

use crate::limits::APPEND_BYTES_MAX;
use crate::name::write_name;
use crate::object_id;
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
    Deleted,
    DeletedStorage,
    Size,
    HighestModSeq,
    MailboxId,
    AppendLimit,
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
            // RFC 9051 §6.3.11
            "DELETED" => Item::Deleted,
            // RFC 9208 §4.1.4
            "DELETED-STORAGE" => Item::DeletedStorage,
            // RFC 8438 §2
            "SIZE" => Item::Size,
            // RFC 7162 §3.1.7
            "HIGHESTMODSEQ" => Item::HighestModSeq,
            // RFC 8474 §4.3
            "MAILBOXID" => Item::MailboxId,
            // RFC 7889 §3.1
            "APPENDLIMIT" => Item::AppendLimit,
            _ => return Err(Bad::new("Unknown STATUS item")),
        })
    })?;
    if items.is_empty() { Err(Bad::new("Empty STATUS list")) } else { Ok(items) }
}

/// `* STATUS name (…)`
pub(super) fn write_status(
    session: &mut Session,
    owner: AccountId,
    name: &str,
    items: &[Item],
    status: &MailboxStatus,
) {
    // UIDs up to here were \Recent to a session already, whatever the store says.
    let claimed = session.user.as_ref().map_or(0, |user| session.shared.rooms.claimed(user.account, status.id));
    let spelling = session.spelling();
    let Session { io, shared, .. } = session;
    let out = &mut io.out;
    out.extend_from_slice(b"* STATUS ");
    write_name(out, name, spelling);
    out.extend_from_slice(b" (");
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        let last = status.uid_next.get() - 1;
        let (word, number) = match item {
            Item::Messages => ("MESSAGES ", u64::from(status.messages)),
            Item::Recent if claimed >= last => ("RECENT ", 0),
            Item::Recent => ("RECENT ", u64::from(status.recent.min(last - claimed))),
            Item::UidNext => ("UIDNEXT ", u64::from(status.uid_next.get())),
            Item::UidValidity => ("UIDVALIDITY ", u64::from(status.uid_validity.0.get())),
            Item::Unseen => ("UNSEEN ", u64::from(status.unseen)),
            Item::Deleted => ("DELETED ", u64::from(status.deleted)),
            Item::DeletedStorage => ("DELETED-STORAGE ", status.deleted_size),
            Item::Size => ("SIZE ", status.size),
            Item::HighestModSeq => ("HIGHESTMODSEQ ", status.highest_modseq.0),
            Item::AppendLimit => ("APPENDLIMIT ", APPEND_BYTES_MAX as u64),
            Item::MailboxId => {
                let id = object_id::of_mailbox(&*shared.store, owner, status.id);
                out.extend_from_slice(format!("MAILBOXID ({id})").as_bytes());
                continue;
            }
        };
        out.extend_from_slice(word.as_bytes());
        write::number(out, number);
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

    /// Whether it is a CONDSTORE enabling command (RFC 7162 §3.1).
    pub(super) fn asks_modseq(&self) -> bool {
        self.items.contains(&Item::HighestModSeq)
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let name = session.name(&self.mailbox)?;
        let account = session.account()?;
        let found = match session.find(&name).await {
            Err(Stop::Tagged(_)) => return Ok(Tagged::no("[NONEXISTENT] No such mailbox")),
            found => found?,
        };
        // RFC 4314 §4
        if !found.rights.contains(Rights::READ) {
            return Err(StoreError::Denied('r').into());
        }
        let counts = session.shared.store.status(account, &[found.mailbox.id]).await?;
        let status = counts.first().ok_or(StoreError::NoSuch("mailbox"))?;
        write_status(session, found.owner, &found.mailbox.name, &self.items, status);
        Ok(Tagged::ok("STATUS completed"))
    }
}
