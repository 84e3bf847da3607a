//! Every name LIST can show, as a tree.

use std::collections::BTreeMap;

use lnmp::Place;
use store::{Mailbox, Rights, SpecialUse};

use crate::access::Found;
use crate::command::special_use;
use crate::name::{SEPARATOR, ancestors};
use crate::reply::Stop;
use crate::session::Session;

/// What there is under a name.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) found: Option<Found>,
    pub(super) subscribed: bool,
}

impl Node {
    /// RFC 6154 §2.
    pub(super) fn special_use(&self) -> Vec<&'static str> {
        self.found.as_ref().map(|found| special_use::names(&found.mailbox)).unwrap_or_default()
    }
}

/// Every name: mailboxes, subscriptions, and what lies above them.
#[derive(Debug)]
pub(in crate::command) struct Tree(pub(super) BTreeMap<String, Node>);

impl Tree {
    pub(in crate::command) async fn read(session: &Session) -> Result<Self, Stop> {
        let account = session.account()?;
        let store = &session.shared.store;
        let own = store.mailboxes(account).await?;
        let own = own.into_iter().map(|mailbox| Found { owner: account, mailbox, rights: Rights::ALL });
        let subscriptions = store.subscriptions(account).await?;
        // RFC 4314 §4: LIST needs the right `l`, and is silent without it. Another's Trash is no Trash of ours.
        let shared =
            session.shared_mailboxes().await?.into_iter().filter(|found| found.rights.contains(Rights::LOOKUP));
        let shared = shared.map(|found| {
            let mailbox = Mailbox { place: Place::Own, special_use: SpecialUse::NONE, ..found.mailbox };
            Found { mailbox, ..found }
        });
        Ok(Self::new(own.chain(shared), subscriptions))
    }

    fn new(mailboxes: impl Iterator<Item = Found>, subscriptions: Vec<String>) -> Self {
        let mut names: BTreeMap<String, Node> = BTreeMap::new();
        for found in mailboxes {
            for above in ancestors(&found.mailbox.name) {
                names.entry(above.to_owned()).or_default();
            }
            let name = found.mailbox.name.clone();
            names.entry(name).or_default().found = Some(found);
        }
        for name in subscriptions {
            // RFC 5258 §3.5: RECURSIVEMATCH names what is above a subscription, mailbox or not.
            for above in ancestors(&name) {
                names.entry(above.to_owned()).or_default();
            }
            names.entry(name).or_default().subscribed = true;
        }
        Self(names)
    }

    pub(super) fn below<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a String, &'a Node)> {
        let prefix = format!("{name}{SEPARATOR}");
        let start = prefix.clone();
        self.0.range(start..).take_while(move |(below, _)| below.starts_with(&prefix))
    }

    pub(super) fn has_children(&self, name: &str) -> bool {
        self.below(name).any(|(_, node)| node.found.is_some())
    }

    /// What an unsolicited LIST says of a name: all of it, accurately (RFC 5465 §5.5).
    pub(in crate::command) fn notified_attributes(&self, name: &str) -> Vec<&'static str> {
        let mut attributes = self.attributes(name, "\\NonExistent", true);
        attributes.extend(self.0.get(name).map(Node::special_use).unwrap_or_default());
        attributes
    }

    /// The attributes of a name; `absent` says that there is no mailbox.
    pub(super) fn attributes(&self, name: &str, absent: &'static str, subscribed: bool) -> Vec<&'static str> {
        let node = self.0.get(name);
        let mut attributes = Vec::new();
        match node.and_then(|node| node.found.as_ref()) {
            Some(found) if found.rights.contains(Rights::READ) => {}
            // RFC 5819 §2, RFC 9051 §7.3.1: what SELECT would refuse is named as such.
            Some(_) => attributes.push("\\Noselect"),
            None => attributes.push(absent),
        }
        if subscribed && node.is_some_and(|node| node.subscribed) {
            attributes.push("\\Subscribed");
        }
        attributes.push(if self.has_children(name) { "\\HasChildren" } else { "\\HasNoChildren" });
        attributes
    }
}
