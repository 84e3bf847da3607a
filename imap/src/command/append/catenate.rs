//! CATENATE (RFC 4469): a message made of texts and of parts of messages that are here already.

use store::{MailboxId, MessageId, Uid};

use super::url::MessageUrl;
use crate::command::fetch;
use crate::limits::APPEND_BYTES_MAX;
use crate::mail::read_one;
use crate::reply::{Stop, Tagged};
use crate::session::Session;

/// One part of a message to be stored; a message without CATENATE is one text.
pub(super) enum Part {
    Text(Vec<u8>),
    Url(Vec<u8>),
}

/// Puts messages together. Remembers the mailbox the last URL named, as others may name it too.
#[derive(Default)]
pub(super) struct Catenation {
    looked_up: Option<(MailboxId, Vec<(Uid, MessageId)>)>,
}

impl Catenation {
    /// The message's octets.
    pub(super) async fn join(&mut self, session: &mut Session, parts: Vec<Part>) -> Result<Vec<u8>, Stop> {
        let mut joined = Vec::new();
        for part in parts {
            let octets = match part {
                Part::Text(text) => text,
                Part::Url(url) => {
                    let room = APPEND_BYTES_MAX as u64 - joined.len() as u64;
                    self.read(session, &url, room).await?
                }
            };
            if joined.len() + octets.len() > APPEND_BYTES_MAX {
                return Err(too_big());
            }
            if joined.is_empty() {
                joined = octets;
            } else {
                joined.extend_from_slice(&octets);
            }
        }
        Ok(joined)
    }

    /// The octets a URL names, if they are at most `room`.
    async fn read(&mut self, session: &mut Session, url: &[u8], room: u64) -> Result<Vec<u8>, Stop> {
        let bad = || bad_url(url);
        let named = MessageUrl::parse(url).ok_or_else(bad)?;
        let account = session.account()?;
        if let Some(server) = &named.server
            && !session.shared.host.is_here(account, server.user.as_deref(), &server.host).await
        {
            // RFC 4469 §3: a server need not follow URLs to others, and what a URL names there is not ours to fetch.
            return Err(bad());
        }
        let (owner, mailbox, uid_validity) = match &named.mailbox {
            Some(name) => {
                let found = session.find(name).await.map_err(|stop| refused(stop, url))?;
                (found.owner, found.mailbox.id, found.mailbox.uid_validity)
            }
            None => {
                let selected = session.selected().map_err(|_| bad())?;
                (selected.owner.account, selected.mailbox, selected.uid_validity)
            }
        };
        if named.uid_validity.is_some_and(|validity| validity != uid_validity.0.get()) {
            return Err(bad());
        }
        let message = self.message(session, mailbox, named.uid).await.map_err(|stop| refused(stop, url))?;
        let message = message.ok_or_else(bad)?;
        let reader = session.reader_of(owner).await.map_err(|stop| refused(stop, url))?;
        let store = session.shared.store.clone();
        let mail = read_one(&*store, reader.account, &reader.opener, message).await?.ok_or_else(bad)?;
        let summary = reader.room.summaries.get(&store, &reader, &[message]).await?.pop();
        let summary = summary.flatten().ok_or_else(bad)?;
        let shelf = session.shared.shelf.clone();
        let found = fetch::named_part(&*shelf, &mail, &summary, &named.section).await.map_err(unreadable)?;
        let found = found.ok_or_else(bad)?;
        let wanted = match named.partial {
            None => 0..found.size(),
            Some((start, count)) => {
                let start = start.min(found.size());
                start..count.map_or_else(|| found.size(), |count| start.saturating_add(count).min(found.size()))
            }
        };
        if wanted.end - wanted.start > room {
            return Err(too_big());
        }
        session.reserve_more(wanted.end - wanted.start).await?;
        found.read(&*shelf, &mail, wanted).await.map_err(unreadable)
    }

    /// The message under a UID.
    async fn message(&mut self, session: &Session, mailbox: MailboxId, uid: u32) -> Result<Option<MessageId>, Stop> {
        if self.looked_up.as_ref().is_none_or(|(known, _)| *known != mailbox) {
            let view = session.shared.store.open(session.account()?, mailbox, false).await?;
            let entries = view.entries.iter().map(|entry| (entry.uid, entry.message)).collect();
            self.looked_up = Some((mailbox, entries));
        }
        let entries = self.looked_up.as_ref().map_or(&[][..], |(_, entries)| entries);
        let found = entries.binary_search_by_key(&uid, |(uid, _)| uid.get());
        Ok(found.ok().map(|at| entries[at].1))
    }
}

fn too_big() -> Stop {
    // RFC 4469 §4.2
    Tagged::no("[TOOBIG] The parts together are larger than a message may be").into()
}

/// RFC 4469 §4.1: which URL it was, as far as a response code can repeat it.
fn bad_url(url: &[u8]) -> Stop {
    let shown: String = url
        .iter()
        .map(|&octet| if octet.is_ascii_graphic() && octet != b']' { char::from(octet) } else { '?' })
        .collect();
    Tagged::no(format!("[BADURL {shown}] The URL names nothing that can be read here")).into()
}

/// What keeps a URL from being read is told as RFC 4469 wants it, unless it is the server's own trouble.
fn refused(stop: Stop, url: &[u8]) -> Stop {
    match stop {
        Stop::Tagged(tagged)
            if ["[TRYCREATE]", "[NONEXISTENT]", "[NOPERM]"].iter().any(|code| tagged.text.starts_with(code)) =>
        {
            bad_url(url)
        }
        other => other,
    }
}

fn unreadable(error: crate::mail::MailError) -> Stop {
    tracing::warn!(%error, "a part to be appended again cannot be read");
    Tagged::no("[UNAVAILABLE] A part cannot be read now").into()
}
