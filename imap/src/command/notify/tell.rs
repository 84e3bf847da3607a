//! Writes what happened to mailboxes: STATUS, LIST and METADATA responses (RFC 5465 §5).

use store::{MailboxId, MailboxStatus};

use super::Events;
use super::interests::{Counts, Interests, Known, Mention, News, Others, World};
use crate::command::list::{Tree, write_line};
use crate::command::metadata::write_names;
use crate::command::status::{Item, write_status};
use crate::name::write_name;
use crate::reply::{End, Stop};
use crate::session::Session;

/// What NOTIFY SET itself answers: what may not be read, and with `status` how each watched mailbox is.
pub(super) async fn begin(session: &mut Session, interests: &mut Interests, status: bool) -> Result<(), Stop> {
    let Some(others) = &mut interests.others else { return Ok(()) };
    let denied: Vec<&Known> =
        others.list.mailboxes.values().filter(|known| known.denied && !known.events.is_none()).collect();
    if !denied.is_empty() {
        let tree = Tree::read(session).await?;
        for known in denied {
            // RFC 5465 §3.1
            let mention = Mention { no_access: true, old_name: None };
            write_list(session, &tree, &known.name, &mention);
        }
    }
    if !status {
        return Ok(());
    }
    let ids = others.list.watched();
    let account = session.account()?;
    for status in session.shared.store.clone().status(account, &ids).await? {
        if session.selected.as_ref().is_some_and(|selected| selected.mailbox == status.id) {
            continue;
        }
        let Some(known) = others.list.mailboxes.get_mut(&status.id) else { continue };
        known.counts = Some(Counts::from(&status));
        write_status(session, account, &known.name, &first_items(known.events), &status);
        session.io.relieve().await?;
    }
    Ok(())
}

/// RFC 5465 §3.1: what a client needs to know to understand what comes.
fn first_items(events: Events) -> Vec<Item> {
    let mut items = vec![Item::Messages, Item::UidNext, Item::UidValidity];
    if events.has(Events::FLAGS) {
        items.push(Item::HighestModSeq);
    }
    items
}

/// Tells what happened since it was told last, if anything did.
pub(crate) async fn tell_others(session: &mut Session) -> Result<(), End> {
    let Some(mut others) = session.interests.as_mut().and_then(|interests| interests.others.take()) else {
        return Ok(());
    };
    let told = tell(session, &mut others).await;
    match told {
        // RFC 5465 §5.8: as after NOTIFY NONE.
        Ok(Told::Overflow) => {
            session.interests = Some(Box::default());
            let text = b"* OK [NOTIFICATIONOVERFLOW] Too much to tell; notifications have ended\r\n";
            session.io.out.extend_from_slice(text);
            return Ok(());
        }
        Ok(Told::All) => {}
        // A store that cannot answer now is asked again with the next change.
        Err(_) => others.watcher.look_again(),
    }
    if let Some(interests) = session.interests.as_mut() {
        interests.others = Some(others);
    }
    match told {
        Err(Stop::End(end)) => Err(end),
        _ => Ok(()),
    }
}

enum Told {
    All,
    Overflow,
}

async fn tell(session: &mut Session, others: &mut Others) -> Result<Told, Stop> {
    let mut pending = others.watcher.take();
    if pending.is_empty() && others.acts.is_empty() && session.made.is_empty() {
        return Ok(Told::All);
    }
    if pending.overflow {
        return Ok(Told::Overflow);
    }
    if pending.list || pending.everywhere || !others.acts.is_empty() {
        let world = World::read(session).await?;
        let Some(news) = others.relist(session, &world).await? else { return Ok(Told::Overflow) };
        tell_list(session, others, &world, news).await?;
    }
    for (mailbox, names) in std::mem::take(&mut pending.annotated) {
        tell_annotations(session, others, mailbox, &names);
    }
    if pending.everywhere {
        others.annotated.clear();
        pending.mailboxes.extend(others.list.watched());
    }
    pending.mailboxes.extend(session.made.iter().map(|made| made.mailbox));
    let selected = session.selected.as_ref().map(|selected| selected.mailbox);
    let counted = |id: &MailboxId| others.list.mailboxes.get(id).is_some_and(|known| known.counts.is_some());
    let ids: Vec<MailboxId> = pending.mailboxes.into_iter().filter(|id| Some(*id) != selected && counted(id)).collect();
    if !ids.is_empty() {
        let account = session.account()?;
        for status in session.shared.store.clone().status(account, &ids).await? {
            tell_status(session, others, &status)?;
            session.io.relieve().await?;
        }
    }
    Ok(Told::All)
}

/// LIST for each name, and the state of mailboxes that are watched from now on.
async fn tell_list(session: &mut Session, others: &Others, world: &World, news: News) -> Result<(), Stop> {
    if !news.names.is_empty() {
        let tree = Tree::read(session).await?;
        for (name, mention) in &news.names {
            let mention = Mention {
                old_name: mention.old_name.clone(),
                // It may be there, and not read.
                no_access: mention.no_access && (!world.has(name) || others.denies(name)),
            };
            write_list(session, &tree, name, &mention);
            session.io.relieve().await?;
        }
    }
    let account = session.account()?;
    for status in session.shared.store.clone().status(account, &news.begun).await? {
        let Some(known) = others.list.mailboxes.get(&status.id) else { continue };
        let selected = session.selected.as_ref().is_some_and(|selected| selected.mailbox == status.id);
        // RFC 5465 §5.1: UIDVALIDITY is told to who hears of flags; else the client missed nothing in what is empty.
        if !selected && (status.uid_next.get() > 1 || known.events.has(Events::FLAGS)) {
            write_status(session, account, &known.name, &first_items(known.events), &status);
        }
    }
    Ok(())
}

/// `* LIST (…) "/" name`, with all attributes as they are (RFC 5465 §5.5).
fn write_list(session: &mut Session, tree: &Tree, name: &str, mention: &Mention) {
    let mut attributes = tree.notified_attributes(name);
    if mention.no_access {
        attributes.push("\\NoAccess");
    }
    let spelling = session.spelling();
    let mut extended = Vec::new();
    if let Some(old) = &mention.old_name {
        extended.extend_from_slice(b" (\"OLDNAME\" (");
        write_name(&mut extended, old, spelling);
        extended.extend_from_slice(b"))");
    }
    let extended = String::from_utf8_lossy(&extended);
    write_line(&mut session.io.out, "LIST", &attributes, name, &extended, spelling);
}

/// `* METADATA name entry…` (RFC 5464 §4.4.2): names alone.
fn tell_annotations(session: &mut Session, others: &mut Others, mailbox: Option<MailboxId>, names: &[String]) {
    let own = others.annotated.iter().position(|(at, own)| *at == mailbox && *own == names);
    if let Some(own) = own {
        others.annotated.remove(own);
        return;
    }
    let spelling = session.spelling();
    match mailbox {
        Some(id) => {
            let wanted = |known: &&Known| known.events.has(Events::METADATA) && !known.denied;
            let Some(known) = others.list.mailboxes.get(&id).filter(wanted) else { return };
            write_names(&mut session.io.out, &known.name, spelling, names);
        }
        None if others.wants(Events::SERVER_METADATA) => write_names(&mut session.io.out, "", spelling, names),
        None => {}
    }
}

/// A STATUS response for what changed, if it is to be told.
fn tell_status(session: &mut Session, others: &mut Others, status: &MailboxStatus) -> Result<(), Stop> {
    let Some(known) = others.list.mailboxes.get_mut(&status.id) else { return Ok(()) };
    let now = Counts::from(status);
    let Some(before) = known.counts.replace(now) else { return Ok(()) };
    // RFC 5465 §5: not of what this client did itself, where that explains everything.
    let made = session.made.iter().find(|made| made.mailbox == status.id);
    let explained = made.is_some_and(|made| {
        before.uid_next == made.first
            && now.uid_next == made.last.saturating_add(1)
            && now.messages == before.messages.saturating_add(made.count)
    });
    if explained {
        return Ok(());
    }
    let items = items(known.events, before, now, session.enabled.condstore);
    if !items.is_empty() {
        let account = session.account()?;
        write_status(session, account, &known.name, &items, status);
    }
    Ok(())
}

/// RFC 5465 §5.1 to §5.3.
fn items(events: Events, before: Counts, now: Counts, condstore: bool) -> Vec<Item> {
    let mut items = Vec::new();
    let messages = (before.messages, before.uid_next) != (now.messages, now.uid_next);
    if messages {
        items.extend([Item::Messages, Item::UidNext]);
    }
    if events.has(Events::FLAGS) && before.unseen != now.unseen {
        items.push(Item::Unseen);
    }
    if condstore && (messages || events.has(Events::FLAGS) && before.modseq != now.modseq) {
        items.push(Item::HighestModSeq);
    }
    if events.has(Events::FLAGS) && !items.is_empty() {
        items.push(Item::UidValidity);
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::ModSeq;

    #[test]
    fn a_status_tells_what_the_events_ask_for() {
        let before = Counts { messages: 3, unseen: 1, uid_next: 9, modseq: ModSeq(20) };
        let new = Counts { messages: 4, unseen: 2, uid_next: 10, modseq: ModSeq(21) };
        let seen = Counts { unseen: 0, modseq: ModSeq(21), ..before };
        let flagged = Counts { modseq: ModSeq(21), ..before };
        let (plain, flags) = (Events::MESSAGES, Events::MESSAGES.with(Events::FLAGS));
        let all = [Item::Messages, Item::UidNext, Item::Unseen, Item::HighestModSeq, Item::UidValidity];
        assert_eq!(items(plain, before, new, false), all[..2]);
        assert_eq!(items(plain, before, new, true), [Item::Messages, Item::UidNext, Item::HighestModSeq]);
        assert_eq!(items(flags, before, new, true), all);
        assert_eq!(items(flags, before, seen, false), [Item::Unseen, Item::UidValidity]);
        assert_eq!(items(flags, before, flagged, true), [Item::HighestModSeq, Item::UidValidity]);
        assert_eq!(items(flags, before, flagged, false), []);
        assert_eq!(items(plain, before, flagged, true), []);
    }
}
