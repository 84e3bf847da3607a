//! SELECT, EXAMINE, CLOSE (RFC 3501 §6.3.1, §6.3.2, §6.4.2), UNSELECT (RFC 3691).

use lnmp::Place;

use crate::access::Found;
use crate::object_id;
use crate::reply::{Run, Stop, Tagged};
use crate::selected::Selected;
use crate::session::Session;
use crate::wire::{Cursor, Parsed};

/// SELECT or EXAMINE.
#[derive(Debug)]
pub(crate) struct Select {
    mailbox: Vec<u8>,
    read_only: bool,
}

impl Select {
    pub(super) fn parse(cursor: &mut Cursor<'_>, read_only: bool) -> Parsed<Self> {
        cursor.space()?;
        Ok(Self { mailbox: cursor.astring()?.into_owned(), read_only })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        // RFC 3501 §6.3.1: what was selected is left, whether this succeeds or not.
        session.leave().await;
        let name = session.name(&self.mailbox)?;
        let account = session.account()?;
        let shared = session.shared.clone();
        let Found { owner, mailbox } = match session.find(&name).await {
            Err(Stop::Tagged(_)) => return Ok(Tagged::no("[NONEXISTENT] No such mailbox")),
            found => found?,
        };
        let owner = session.reader_of(owner)?;
        // The room listens before the state is read: nothing falls between.
        let room = shared.rooms.mailbox(account, mailbox.id);
        let signal = room.signal();
        let view = shared.store.open(account, mailbox.id, !self.read_only).await?;
        let mut selected = Selected::enter(owner, room, view, signal, self.read_only).await;
        selected.announce(&mut session.io.out);
        // RFC 8474 §4.2
        let id = object_id::of_mailbox(&*shared.store, account, mailbox.id);
        session.io.out.extend_from_slice(format!("* OK [MAILBOXID ({id})] Its name for ever\r\n").as_bytes());
        if selected.place == Place::Requests {
            // Design section 3: no notice about paid mail while somebody looks.
            shared.store.requests_seen(account, (shared.now)()).await?;
        }
        session.selected = Some(selected);
        Ok(Tagged::ok(if self.read_only { "[READ-ONLY] EXAMINE completed" } else { "[READ-WRITE] SELECT completed" }))
    }
}

/// Expunges without a word, and leaves.
pub(super) async fn close(session: &mut Session) -> Run {
    let (account, now) = (session.account()?, (session.shared.now)());
    let selected = session.selected()?;
    let any = selected.snapshot.rows.iter().any(|row| row.flags.contains(store::Flags::DELETED));
    // Another session's \Deleted that we were not told of waits for its own EXPUNGE.
    if any && !selected.read_only {
        let mailbox = selected.mailbox;
        let store = session.shared.store.clone();
        store.expunge(account, mailbox, None, now).await?;
    }
    session.leave().await;
    Ok(Tagged::ok("CLOSE completed"))
}

pub(super) async fn unselect(session: &mut Session) -> Run {
    session.leave().await;
    Ok(Tagged::ok("UNSELECT completed"))
}
