//! What a session remembers between notifications: which mailboxes there were, and what the client was told of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lnmp::Place;
use store::{MailboxId, MailboxStatus, ModSeq, Rights};

use super::filter::{Reach, Subject};
use super::{Events, Group, SelectedEvents};
use crate::access::Found;
use crate::limits::{NOTIFY_MAILBOXES_MAX, NOTIFY_NAMES_BYTES_MAX};
use crate::name::SEPARATOR;
use crate::reply::{Stop, Tagged};
use crate::selected::Selected;
use crate::session::Session;
use crate::watchers::Watcher;

/// What the client wants to hear of. Without anything: NOTIFY NONE.
#[derive(Debug, Default)]
pub(crate) struct Interests {
    pub(crate) selected: SelectedEvents,
    pub(super) others: Option<Others>,
}

/// Everything but the messages of the selected mailbox.
#[derive(Debug)]
pub(crate) struct Others {
    groups: Vec<(Reach, Events)>,
    pub(super) watcher: Arc<Watcher>,
    pub(super) list: List,
    /// What this client did to mailboxes, and need not be told.
    pub(super) acts: Vec<Act>,
    /// Annotations that this client set and has not heard of yet.
    pub(super) annotated: Vec<(Option<MailboxId>, Vec<String>)>,
}

/// What a client does to mailboxes and subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    Created(String),
    Deleted(String),
    Renamed { from: String, to: String },
    Subscribed(String),
    Annotated(Option<MailboxId>, Vec<String>),
}

/// Messages that this client put into a mailbox with the command that runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub(crate) mailbox: MailboxId,
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) count: u32,
}

impl Made {
    /// Whether it is one of them.
    pub(crate) fn has(&self, mailbox: MailboxId, uid: u32) -> bool {
        self.mailbox == mailbox && (self.first..=self.last).contains(&uid)
    }
}

/// The mailboxes as the client knows them.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) mailboxes: BTreeMap<MailboxId, Known>,
    /// Names, where somebody wants to hear of subscriptions.
    subscribed: BTreeSet<String>,
}

/// One mailbox.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) events: Events,
    own: bool,
    /// It may be listed, not read (RFC 5465 §3.1: `\NoAccess`).
    pub(super) denied: bool,
    /// What the client was told last; `None` where it hears of no messages.
    pub(super) counts: Option<Counts>,
}

/// What a STATUS would have told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) messages: u32,
    pub(super) unseen: u32,
    pub(super) uid_next: u32,
    pub(super) modseq: ModSeq,
}

impl From<&MailboxStatus> for Counts {
    fn from(status: &MailboxStatus) -> Self {
        let MailboxStatus { messages, unseen, uid_next, highest_modseq, .. } = *status;
        Self { messages, unseen, uid_next: uid_next.get(), modseq: highest_modseq }
    }
}

/// Mailboxes and subscriptions as they are now.
pub(super) struct World {
    mailboxes: Vec<Found>,
    subscriptions: BTreeSet<String>,
}

impl World {
    pub(super) async fn read(session: &Session) -> Result<Self, Stop> {
        let account = session.account()?;
        let store = &session.shared.store;
        let own = store.mailboxes(account).await?.into_iter();
        let own = own.map(|mailbox| Found { owner: account, mailbox, rights: Rights::ALL });
        // RFC 5465 §3.1: what the client cannot LIST is not there.
        let listed = |found: &Found| found.rights.contains(Rights::LOOKUP);
        let shared = session.shared_mailboxes().await?.into_iter().filter(listed);
        let subscriptions = store.subscriptions(account).await?.into_iter().collect();
        Ok(Self { mailboxes: own.chain(shared).collect(), subscriptions })
    }

    /// Whether a mailbox has this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.mailboxes.iter().any(|found| found.mailbox.name == name)
    }
}

/// What happened to mailboxes: each to be told with one LIST response.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) names: BTreeMap<String, Mention>,
    /// Mailboxes whose messages are watched from here on.
    pub(super) begun: Vec<MailboxId>,
}

/// What a LIST response says beside the attributes that a name has anyway.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) old_name: Option<String>,
    pub(super) no_access: bool,
}

fn parent(name: &str) -> Option<&str> {
    name.rsplit_once(SEPARATOR).map(|(above, _)| above)
}

/// What follows `above` in a name at or below it.
fn behind<'a>(name: &'a str, above: &str) -> Option<&'a str> {
    name.strip_prefix(above).filter(|rest| rest.is_empty() || rest.starts_with(SEPARATOR))
}

impl Interests {
    /// Begins to watch.
    pub(super) async fn begin(session: &Session, selected: SelectedEvents, groups: Vec<Group>) -> Result<Self, Stop> {
        let groups: Vec<(Reach, Events)> =
            groups.into_iter().map(|group| (group.filter.read(session), group.events)).collect();
        if groups.iter().all(|(_, events)| events.is_none()) {
            return Ok(Self { selected, others: None });
        }
        let annotated = groups.iter().any(|(_, events)| events.has(Events::METADATA.with(Events::SERVER_METADATA)));
        // Listens before it looks: nothing falls between. Who asks anew goes on from what was told before.
        let before = session.interests.as_ref().and_then(|interests| interests.others.as_ref());
        let watcher = match before {
            Some(before) => before.watcher.clone(),
            None => session.shared.rooms.watchers.watch(session.account()?, annotated),
        };
        let mut others = Others { groups, watcher, list: List::default(), acts: Vec::new(), annotated: Vec::new() };
        let list = others.list_of(&World::read(session).await?);
        let Some(list) = list else {
            // RFC 5465 §3.1
            return Err(Tagged::no("[NOTIFICATIONOVERFLOW] Too many mailboxes to watch, name fewer").into());
        };
        others.list = list;
        let begun = others.list.watched();
        others.baseline(session, &begun).await?;
        if let Some(before) = before {
            others.go_on_from(before);
            others.watcher.begin_anew(annotated);
        }
        Ok(Self { selected, others: Some(others) })
    }

    /// The client leaves a mailbox, of which it knows what it was shown.
    pub(crate) fn leave(&mut self, selected: &Selected) {
        let Some(others) = &mut self.others else { return };
        let Some(known) = others.list.mailboxes.get_mut(&selected.mailbox) else { return };
        if let Some(counts) = &mut known.counts {
            let snapshot = &selected.snapshot;
            let unseen = snapshot.rows.iter().filter(|row| !row.flags.contains(store::Flags::SEEN)).count();
            *counts = Counts {
                messages: snapshot.count(),
                unseen: u32::try_from(unseen).unwrap_or(u32::MAX),
                uid_next: snapshot.uid_next,
                modseq: snapshot.modseq,
            };
            others.watcher.look_at(selected.mailbox);
        }
    }

    /// This client did something that it need not be told.
    pub(crate) fn did(&mut self, act: Act) {
        let Some(others) = &mut self.others else { return };
        match act {
            Act::Annotated(mailbox, names) => others.annotated.push((mailbox, names)),
            act => others.acts.push(act),
        }
    }

    /// What wakes the session.
    pub(crate) fn watcher(&self) -> Option<&Arc<Watcher>> {
        self.others.as_ref().map(|others| &others.watcher)
    }
}

impl Others {
    /// What is told of a name. RFC 5465 §8: NONE wants nothing told of what it names, whatever other groups say.
    pub(super) fn events_of(&self, subject: Subject<'_>) -> Events {
        let mut all = Events::default();
        for (reach, events) in &self.groups {
            if reach.reaches(subject) {
                if events.is_none() {
                    return Events::NONE;
                }
                all = all.with(*events);
            }
        }
        all
    }

    /// Whether a mailbox of this name is listed, and must not be read.
    pub(super) fn denies(&self, name: &str) -> bool {
        self.list.mailboxes.values().any(|known| known.name == name && known.denied)
    }

    pub(super) fn wants(&self, events: Events) -> bool {
        self.groups.iter().any(|(_, some)| some.has(events))
    }

    /// The list as it is now; `None` when it is more than a session may remember.
    fn list_of(&self, world: &World) -> Option<List> {
        let mut list = List::default();
        let all_names = self.wants(Events::NAME);
        let mut octets = 0;
        for Found { owner, mailbox, rights } in &world.mailboxes {
            let own = *owner == self.watcher.account();
            let inbox = own && matches!(mailbox.place, Place::Inbox | Place::Requests | Place::Unpaid);
            let subscribed = world.subscriptions.contains(&mailbox.name);
            let events = self.events_of(Subject { name: &mailbox.name, own, inbox, subscribed });
            if !own {
                self.watcher.watch_also(*owner);
            }
            if events.is_none() && !all_names {
                continue;
            }
            octets += mailbox.name.len();
            // RFC 5465 §5: all events need the rights `l` and `r`.
            let denied = !rights.contains(Rights::READ);
            list.mailboxes.insert(mailbox.id, Known { name: mailbox.name.clone(), events, own, denied, counts: None });
        }
        if self.wants(Events::SUBSCRIPTION) {
            octets += world.subscriptions.iter().map(String::len).sum::<usize>();
            list.subscribed = world.subscriptions.clone();
        }
        let entries = list.mailboxes.len() + list.subscribed.len();
        (entries <= NOTIFY_MAILBOXES_MAX && octets <= NOTIFY_NAMES_BYTES_MAX).then_some(list)
    }

    /// What the client knows from other interests is what it is told the difference to.
    fn go_on_from(&mut self, before: &Self) {
        self.annotated = before.annotated.clone();
        if before.wants(Events::SUBSCRIPTION) && self.wants(Events::SUBSCRIPTION) {
            self.list.subscribed = before.list.subscribed.clone();
        }
        let names = before.wants(Events::NAME) && self.wants(Events::NAME);
        if names {
            // New ones are news.
            self.list.mailboxes.retain(|id, _| before.list.mailboxes.contains_key(id));
        }
        for (id, old) in &before.list.mailboxes {
            match self.list.mailboxes.get_mut(id) {
                Some(known) => {
                    known.counts = known.counts.and(old.counts).or(known.counts);
                    if names {
                        known.name = old.name.clone();
                    }
                }
                // It is gone.
                None if names => {
                    let subject = Subject { name: &old.name, own: old.own, inbox: false, subscribed: false };
                    let events = self.events_of(subject);
                    let known = Known { name: old.name.clone(), events, own: old.own, denied: false, counts: None };
                    self.list.mailboxes.insert(*id, known);
                }
                None => {}
            }
        }
    }

    /// Takes what mailboxes hold now as what the client knows.
    async fn baseline(&mut self, session: &Session, ids: &[MailboxId]) -> Result<(), Stop> {
        for status in session.shared.store.status(session.account()?, ids).await? {
            if let Some(known) = self.list.mailboxes.get_mut(&status.id) {
                known.counts = Some(Counts::from(&status));
            }
        }
        Ok(())
    }

    /// Goes on to the list as it is now; what is to be told of it, or `None` when it became too long.
    pub(super) async fn relist(&mut self, session: &Session, world: &World) -> Result<Option<News>, Stop> {
        let Some(mut next) = self.list_of(world) else { return Ok(None) };
        let acts = std::mem::take(&mut self.acts);
        let mut news = News::default();
        self.compare_names(&next, &acts, world, &mut news);
        self.compare_subscriptions(&next, &acts, world, &mut news);
        for (id, known) in &mut next.mailboxes {
            known.counts = self.list.mailboxes.get(id).and_then(|before| before.counts);
        }
        news.begun = next.watched();
        news.begun.retain(|id| next.mailboxes[id].counts.is_none());
        self.list = next;
        let begun = news.begun.clone();
        self.baseline(session, &begun).await?;
        Ok(Some(news))
    }

    fn compare_names(&self, next: &List, acts: &[Act], world: &World, news: &mut News) {
        let before = &self.list.mailboxes;
        let renames: Vec<(&str, &str)> = before
            .iter()
            .filter_map(|(id, old)| Some((old.name.as_str(), next.mailboxes.get(id)?.name.as_str())))
            .filter(|(old, new)| old != new)
            .collect();
        for (id, new) in &next.mailboxes {
            match before.get(id) {
                None if self.wants(Events::NAME) && !acts.iter().any(|act| act.made(&new.name)) => {
                    self.affect(&new.name, new.own, world, news);
                }
                // RFC 5465 §5.9: it may have been told as lost.
                None if !new.own && !new.events.is_none() => {
                    news.names.entry(new.name.clone()).or_default().no_access = new.denied;
                }
                None => {}
                Some(old) if old.name != new.name => {
                    let own_act = acts.iter().any(|act| act.renamed(&old.name, &new.name));
                    if new.events.with(old.events).has(Events::NAME)
                        && !own_act
                        && !follows(&renames, &old.name, &new.name)
                    {
                        news.names.entry(new.name.clone()).or_default().old_name = Some(old.name.clone());
                    }
                }
                // RFC 5465 §5.9
                Some(old) if old.denied != new.denied && !new.events.is_none() => {
                    news.names.entry(new.name.clone()).or_default().no_access = new.denied;
                }
                Some(_) => {}
            }
        }
        for (id, old) in before.iter().filter(|(id, _)| !next.mailboxes.contains_key(id)) {
            let gone = !world.mailboxes.iter().any(|found| found.mailbox.id == *id);
            if !gone || acts.iter().any(|act| act.deleted(&old.name)) {
                continue;
            }
            if old.events.has(Events::NAME) {
                self.affect(&old.name, old.own, world, news);
            }
            // RFC 5465 §5.9: of what somebody else shared, whether it is deleted or only not shared any more.
            if !old.own && !old.events.is_none() {
                news.names.entry(old.name.clone()).or_default().no_access = !world.has(&old.name);
            }
        }
    }

    /// RFC 5465 §5.4: what is created or deleted affects its name and the one right above.
    fn affect(&self, name: &str, own: bool, world: &World, news: &mut News) {
        for name in [Some(name), parent(name)].into_iter().flatten() {
            // A subscription outlives its mailbox.
            let subscribed = world.subscriptions.contains(name);
            if self.events_of(Subject { name, own, inbox: name == "INBOX", subscribed }).has(Events::NAME) {
                news.names.entry(name.to_owned()).or_default();
            }
        }
    }

    fn compare_subscriptions(&self, next: &List, acts: &[Act], world: &World, news: &mut News) {
        for name in self.list.subscribed.symmetric_difference(&next.subscribed) {
            if acts.iter().any(|act| act.subscribed(name)) {
                continue;
            }
            let found = world.mailboxes.iter().find(|found| found.mailbox.name == *name);
            let account = self.watcher.account();
            let own = found.map_or_else(|| behind(name, crate::name::OTHER_USERS).is_none(), |f| f.owner == account);
            let inbox = own && found.is_some_and(|found| found.mailbox.place == Place::Inbox);
            // It was subscribed before or is now.
            let subject = Subject { name, own, inbox, subscribed: true };
            if self.events_of(subject).has(Events::SUBSCRIPTION) {
                news.names.entry(name.clone()).or_default();
            }
        }
    }
}

/// Whether a rename is told with that of a name above: its children are renamed with it (RFC 5465 §5.4).
fn follows(renames: &[(&str, &str)], old: &str, new: &str) -> bool {
    renames.iter().any(|(from, to)| {
        let rest = behind(old, from);
        rest.is_some_and(|rest| !rest.is_empty()) && rest == behind(new, to)
    })
}

impl List {
    /// The mailboxes whose messages are watched.
    pub(super) fn watched(&self) -> Vec<MailboxId> {
        let watched = |known: &Known| known.events.has(Events::MESSAGES) && !known.denied;
        self.mailboxes.iter().filter(|(_, known)| watched(known)).map(|(id, _)| *id).collect()
    }
}

impl Act {
    /// Whether it made this name: the one that was asked for, or what was needed above it.
    fn made(&self, name: &str) -> bool {
        matches!(self, Self::Created(to) | Self::Renamed { to, .. } if behind(to, name).is_some())
    }

    fn deleted(&self, name: &str) -> bool {
        matches!(self, Self::Deleted(deleted) if deleted == name)
    }

    fn renamed(&self, old: &str, new: &str) -> bool {
        matches!(self, Self::Renamed { from, to } if behind(old, from).is_some() && behind(old, from) == behind(new, to))
    }

    fn subscribed(&self, name: &str) -> bool {
        match self {
            Self::Subscribed(subscribed) => subscribed == name,
            // Subscriptions go with their mailbox.
            Self::Renamed { from, to } => behind(name, from).is_some() || behind(name, to).is_some(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_is_told_once_with_what_is_highest() {
        let renames = [("a", "b"), ("a/x", "b/x"), ("c/x", "d/x"), ("e", "f"), ("e/y", "g")];
        let told: Vec<&str> =
            renames.iter().filter(|(old, new)| !follows(&renames, old, new)).map(|(old, _)| *old).collect();
        assert_eq!(told, ["a", "c/x", "e", "e/y"]);
    }

    #[test]
    fn what_the_client_did_is_known() {
        let created = Act::Created("a/b/c".into());
        assert!(created.made("a/b/c") && created.made("a") && !created.made("a/b/c/d") && !created.made("b"));
        let renamed = Act::Renamed { from: "a".into(), to: "x/y".into() };
        assert!(renamed.renamed("a", "x/y") && renamed.renamed("a/b", "x/y/b") && !renamed.renamed("a/b", "x/y/c"));
        assert!(renamed.made("x") && renamed.subscribed("a/b") && !renamed.subscribed("ab"));
        assert!(Act::Deleted("a".into()).deleted("a") && !Act::Deleted("a".into()).deleted("a/b"));
    }
}
