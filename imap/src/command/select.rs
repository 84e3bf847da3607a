//! SELECT, EXAMINE, CLOSE (RFC 3501 §6.3.1, §6.3.2, §6.4.2), UNSELECT (RFC 3691), CONDSTORE and QRESYNC of them
//! (RFC 7162 §3.1.8, §3.2.5).

mod resync;

use lnmp::Place;
use store::{Rights, StoreError};

use crate::access::Found;
use crate::command::list::told;
use crate::command::select::resync::Resync;
use crate::limits::WRITE_MESSAGES_MAX;
use crate::object_id;
use crate::reply::{Run, Stop, Tagged};
use crate::selected::Selected;
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed};

/// SELECT or EXAMINE.
#[derive(Debug)]
pub(crate) struct Select {
    mailbox: Vec<u8>,
    read_only: bool,
    condstore: bool,
    resync: Option<Resync>,
}

/// `select-param`s (RFC 4466 §2.1). Each of ours is given once at most.
const PARAMETERS_MAX: usize = 2;

impl Select {
    pub(super) fn parse(cursor: &mut Cursor<'_>, read_only: bool) -> Parsed<Self> {
        cursor.space()?;
        let mut select = Self { mailbox: cursor.astring()?.into_owned(), read_only, condstore: false, resync: None };
        if !cursor.is_at_end() {
            cursor.space()?;
        }
        if !cursor.is_at_end() {
            cursor.list(PARAMETERS_MAX, "Too many parameters", |cursor| {
                match cursor.atom("Invalid parameter")?.to_ascii_uppercase().as_str() {
                    "CONDSTORE" => select.condstore = true,
                    "QRESYNC" => {
                        cursor.space()?;
                        select.resync = Some(Resync::parse(cursor)?);
                    }
                    _ => return Err(Bad::new("Unknown parameter: CONDSTORE and QRESYNC are known")),
                }
                Ok(())
            })?;
        }
        Ok(select)
    }

    /// Whether message numbers are among its arguments.
    pub(super) fn names_numbers(&self) -> bool {
        self.resync.as_ref().is_some_and(|resync| resync.matches.is_some())
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        if self.resync.is_some() && !session.enabled.qresync {
            // RFC 7162 §3.2.5
            return Err(Bad::new("QRESYNC needs ENABLE QRESYNC first").into());
        }
        // RFC 3501 §6.3.1: what was selected is left, whether this succeeds or not.
        if session.selected.is_some() {
            // RFC 7162 §3.2.11: what follows is about the next one.
            session.io.out.extend_from_slice(b"* OK [CLOSED] Previous mailbox is closed\r\n");
        }
        session.leave().await;
        if self.condstore {
            session.turn_on("CONDSTORE");
        }
        let name = session.name(&self.mailbox)?;
        let account = session.account()?;
        let shared = session.shared.clone();
        let Found { owner, mailbox, rights } = match session.find(&name).await {
            Err(Stop::Tagged(_)) => return Ok(Tagged::no("[NONEXISTENT] No such mailbox")),
            found => found?,
        };
        let owner = session.reader_of(owner).await?;
        let owner_account = owner.account;
        // The room listens before the state is read: nothing falls between.
        let room = shared.rooms.mailbox(account, mailbox.id);
        let signal = room.signal();
        let view = shared.store.open(account, mailbox.id, !self.read_only).await?;
        let mut selected = Selected::enter((owner, rights), room, view, signal, self.read_only).await;
        selected.enabled = session.enabled;
        selected.announce(&mut session.io.out);
        // RFC 8474 §4.2
        let id = object_id::of_mailbox(&*shared.store, owner_account, mailbox.id);
        session.io.out.extend_from_slice(format!("* OK [MAILBOXID ({id})] Its name for ever\r\n").as_bytes());
        told::selected(session, &mailbox.name, &self.mailbox).await?;
        if matches!(selected.place, Place::Requests | Place::Queue) && rights.contains(Rights::DELETE_MESSAGES) {
            // Design section 3: no notice about paid mail while somebody looks who decides.
            shared.store.requests_seen(selected.owner.account, (shared.now)()).await?;
        }
        let code = if selected.is_writable() { "[READ-WRITE]" } else { "[READ-ONLY]" };
        session.selected = Some(selected);
        if let Some(resync) = &self.resync {
            resync.tell(session).await?;
        }
        Ok(Tagged::ok(format!("{code} {} completed", if self.read_only { "EXAMINE" } else { "SELECT" })))
    }
}

/// Expunges without a word, and leaves.
pub(super) async fn close(session: &mut Session) -> Run {
    let (account, now) = (session.account()?, (session.shared.now)());
    let selected = session.selected()?;
    let deleted = selected.snapshot.rows.iter().filter(|row| row.flags.contains(store::Flags::DELETED));
    let uids: Vec<store::Uid> = deleted.filter_map(|row| store::Uid::new(row.uid)).collect();
    // Another session's \Deleted that we were not told of waits for its own EXPUNGE.
    // RFC 4314 §4: without the right `e` CLOSE just closes.
    if !uids.is_empty() && !selected.read_only && selected.rights.contains(Rights::EXPUNGE) {
        let mailbox = selected.mailbox;
        let bounded = uids.chunks(WRITE_MESSAGES_MAX).filter(|_| uids.len() > WRITE_MESSAGES_MAX).map(Some);
        for some in bounded.chain([None]) {
            match session.shared.store.expunge(account, mailbox, some, now).await {
                Ok(_) => {}
                // The right was taken back since SELECT.
                Err(StoreError::Denied(_)) => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    session.leave().await;
    Ok(Tagged::ok("CLOSE completed"))
}

pub(super) async fn unselect(session: &mut Session) -> Run {
    session.leave().await;
    Ok(Tagged::ok("UNSELECT completed"))
}
