//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 §6.3.3 to §6.3.7).

mod shared;

use store::{Mailbox, StoreError};

use crate::command::list::told;
use crate::command::{Act, special_use};
use crate::limits::MAILBOX_NAME_BYTES_MAX;
use crate::name::{SEPARATOR, ancestors};
use crate::object_id;
use crate::reply::{Run, Stop, Tagged};
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed};

/// Parameters of one CREATE: there is one.
const CREATE_PARAMETERS_MAX: usize = 10;

/// CREATE.
#[derive(Debug)]
pub(crate) struct Create {
    mailbox: Vec<u8>,
    /// `USE`, as written (RFC 6154 §3).
    uses: Vec<String>,
}

/// DELETE.
#[derive(Debug)]
pub(crate) struct Delete {
    mailbox: Vec<u8>,
}

/// RENAME.
#[derive(Debug)]
pub(crate) struct Rename {
    from: Vec<u8>,
    to: Vec<u8>,
}

/// SUBSCRIBE or UNSUBSCRIBE.
#[derive(Debug)]
pub(crate) struct Subscribe {
    mailbox: Vec<u8>,
    subscribed: bool,
}

impl Create {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        let mailbox = cursor.astring()?.into_owned();
        let mut uses = Vec::new();
        if cursor.peek() == Some(b' ') {
            cursor.space()?;
            cursor.list(CREATE_PARAMETERS_MAX, "Too many CREATE parameters", |cursor| {
                if !cursor.take_word("USE ") {
                    return Err(Bad::new("Unknown CREATE parameter: USE is known"));
                }
                uses = special_use::parse(cursor)?;
                Ok(())
            })?;
        }
        Ok(Self { mailbox, uses })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let name = session.name_to_create(&self.mailbox)?;
        let uses = special_use::of_names(self.uses.iter().map(String::as_str))?;
        let (account, now) = (session.account()?, (session.shared.now)());
        let store = session.shared.store.clone();
        let mailboxes = store.mailboxes(account).await?;
        if mailboxes.iter().any(|mailbox| mailbox.name == name.as_str()) {
            return Ok(Tagged::no("[ALREADYEXISTS] Mailbox already exists"));
        }
        if name.is_of_other_user() {
            let made = shared::create(session, &name).await?;
            session.did(|| Act::Created(name.as_str().to_owned()));
            told::normalised(session, name.as_str(), &self.mailbox).await?;
            return Ok(made);
        }
        create_ancestors(session, name.as_str(), &mailboxes).await?;
        let made = store.create_mailbox_for(account, name.as_str(), uses, now).await?;
        told::normalised(session, name.as_str(), &self.mailbox).await?;
        session.did(|| Act::Created(name.as_str().to_owned()));
        // RFC 8474 §4.1
        let id = object_id::of_mailbox(&*store, account, made.id);
        Ok(Tagged::ok(format!("[MAILBOXID ({id})] CREATE completed")))
    }
}

/// RFC 3501 §6.3.3: superior names that are needed are created too.
async fn create_ancestors(session: &Session, name: &str, mailboxes: &[Mailbox]) -> Result<(), Stop> {
    let (account, now) = (session.account()?, (session.shared.now)());
    for above in ancestors(name) {
        if mailboxes.iter().any(|mailbox| mailbox.name == above) {
            continue;
        }
        match session.shared.store.create_mailbox(account, above, now).await {
            // Another session was quicker.
            Ok(_) | Err(StoreError::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl Delete {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        Ok(Self { mailbox: cursor.astring()?.into_owned() })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let name = session.name(&self.mailbox)?;
        if name.is_inbox() {
            return Ok(Tagged::no("[CANNOT] INBOX cannot be deleted"));
        }
        let (account, now) = (session.account()?, (session.shared.now)());
        let shared = session.shared.clone();
        let mut mailboxes = shared.store.mailboxes(account).await?;
        if name.is_of_other_user() {
            mailboxes.extend(session.shared_mailboxes().await?.into_iter().map(|found| found.mailbox));
        }
        let Some(mailbox) = mailboxes.iter().find(|mailbox| mailbox.name == name.as_str()) else {
            let below = format!("{}{SEPARATOR}", name.as_str());
            let is_parent = mailboxes.iter().any(|mailbox| mailbox.name.starts_with(&below));
            return Ok(Tagged::no(if is_parent {
                "[HASCHILDREN] Only mailboxes below this name exist"
            } else {
                "[NONEXISTENT] No such mailbox"
            }));
        };
        // Children stay; LIST then shows the name as \NoSelect (RFC 3501 §6.3.4).
        let unreferenced = shared.store.delete_mailbox(account, mailbox.id, now).await?;
        session.did(|| Act::Deleted(name.as_str().to_owned()));
        if session.selected.as_ref().is_some_and(|selected| selected.mailbox == mailbox.id) {
            session.selected = None;
        }
        for cid in unreferenced {
            if let Err(error) = shared.shelf.remove(&cid).await {
                // It becomes an orphan, which the house collects.
                tracing::warn!(%error, "an attachment of a deleted mailbox stays for the collector");
            }
        }
        told::deleted(session, name.as_str(), &self.mailbox);
        Ok(Tagged::ok("DELETE completed"))
    }
}

impl Rename {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        let from = cursor.astring()?.into_owned();
        cursor.space()?;
        Ok(Self { from, to: cursor.astring()?.into_owned() })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let from = session.name(&self.from)?;
        let to = session.name_to_create(&self.to)?;
        if from.is_of_other_user() || to.is_of_other_user() {
            shared::rename(session, &from, &to).await?;
            session.did(|| Act::Renamed { from: from.as_str().to_owned(), to: to.as_str().to_owned() });
            told::renamed(session, to.as_str(), &self.from).await?;
            return Ok(Tagged::ok("RENAME completed"));
        }
        let to = to.into_string();
        let account = session.account()?;
        let store = session.shared.store.clone();
        let mailboxes = store.mailboxes(account).await?;
        let below = |name: &str| format!("{name}{SEPARATOR}");
        if mailboxes.iter().any(|mailbox| mailbox.name == to || mailbox.name.starts_with(&below(&to))) {
            return Ok(Tagged::no("[ALREADYEXISTS] Mailbox already exists"));
        }
        if from.is_inbox() {
            rename_inbox(session, &to, &mailboxes).await?;
            session.did(|| Act::Created(to.clone()));
            return Ok(Tagged::ok("RENAME completed"));
        }
        let from = from.into_string();
        if to.starts_with(&below(&from)) {
            return Ok(Tagged::no("[CANNOT] A mailbox cannot move below itself"));
        }
        let moved = mailboxes.iter().filter(|m| m.name == from || m.name.starts_with(&below(&from)));
        let Some(longest) = moved.map(|mailbox| mailbox.name.len()).max() else {
            return Ok(Tagged::no("[NONEXISTENT] No such mailbox"));
        };
        if longest - from.len() + to.len() > MAILBOX_NAME_BYTES_MAX {
            return Ok(Tagged::no("[CANNOT] Mailbox name is too long"));
        }
        store.rename_mailbox(account, &from, &to, (session.shared.now)()).await?;
        told::renamed(session, &to, &self.from).await?;
        session.did(|| Act::Renamed { from, to });
        Ok(Tagged::ok("RENAME completed"))
    }
}

/// RFC 3501 §6.3.5: the messages move to a new mailbox, INBOX stays and is empty; mailboxes below it stay too.
async fn rename_inbox(session: &Session, to: &str, mailboxes: &[Mailbox]) -> Result<(), Stop> {
    let (account, now) = (session.account()?, (session.shared.now)());
    let store = session.shared.store.clone();
    let Some(inbox) = mailboxes.iter().find(|mailbox| mailbox.name == "INBOX") else {
        return Err(Tagged::no("[NONEXISTENT] No such mailbox").into());
    };
    create_ancestors(session, to, mailboxes).await?;
    let target = store.create_mailbox(account, to, now).await?;
    // RFC 5464 §4.1: the new mailbox has the annotations too.
    let annotations = store.annotations(account, Some(inbox.id)).await?;
    let copies = annotations.into_iter().map(|one| (one.name, Some(one.value))).collect();
    store.annotate(account, Some(target.id), copies).await?;
    let view = store.open(account, inbox.id, false).await?;
    let uids: Vec<_> = view.entries.iter().map(|entry| entry.uid).collect();
    if !uids.is_empty() {
        store.move_entries(account, inbox.id, &uids, target.id, now).await?;
    }
    Ok(())
}

impl Subscribe {
    pub(super) fn parse(cursor: &mut Cursor<'_>, subscribed: bool) -> Parsed<Self> {
        cursor.space()?;
        Ok(Self { mailbox: cursor.astring()?.into_owned(), subscribed })
    }

    /// A name without a mailbox can be subscribed: RFC 3501 §6.3.6 leaves it open, and clients restore lists.
    pub(super) async fn run(self, session: &mut Session) -> Run {
        let name = session.name_to_create(&self.mailbox)?;
        session.shared.store.clone().subscribe(session.account()?, name.as_str(), self.subscribed).await?;
        session.did(|| Act::Subscribed(name.into_string()));
        Ok(Tagged::ok(if self.subscribed { "SUBSCRIBE completed" } else { "UNSUBSCRIBE completed" }))
    }
}
