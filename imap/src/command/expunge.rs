//! EXPUNGE (RFC 3501 §6.4.3), UID EXPUNGE (RFC 4315 §2.1).

use store::{Flags, Uid};

use crate::limits::WRITE_MESSAGES_MAX;
use crate::message_limit::Partial;
use crate::progress::Progress;
use crate::reply::{Run, Tagged};
use crate::selected::By;
use crate::session::Session;
use crate::wire::{Cursor, Parsed, SequenceSet};

/// EXPUNGE, of all that is `\Deleted` or of these.
#[derive(Debug)]
pub(crate) struct Expunge {
    set: Option<SequenceSet>,
}

impl Expunge {
    pub(super) fn parse(cursor: &mut Cursor<'_>, by: By) -> Parsed<Self> {
        let set = match by {
            By::Number => None,
            By::Uid => {
                cursor.space()?;
                Some(SequenceSet::parse(cursor)?)
            }
        };
        Ok(Self { set })
    }

    /// The EXPUNGE responses come with bringing the client in step.
    pub(super) async fn run(self, session: &mut Session, tag: &str) -> Run {
        let (account, now) = (session.account()?, (session.shared.now)());
        let selected = session.writable()?;
        let mailbox = selected.mailbox;
        let rows = &selected.snapshot.rows;
        let deleted = |index: &usize| rows[*index].flags.contains(Flags::DELETED) && !rows[*index].gone;
        let named = match &self.set {
            Some(set) => selected.resolve(set, By::Uid).unwrap_or_default(),
            None => (0..rows.len()).collect(),
        };
        let mut uids: Vec<Uid> =
            named.into_iter().filter(deleted).filter_map(|index| Uid::new(rows[index].uid)).collect();
        // RFC 9738 §3.1: UID EXPUNGE is limited by what is \Deleted, EXPUNGE never.
        let limit = session.shared.message_limit;
        let left = self.set.as_ref().and_then(|_| Partial::of(limit, &mut uids, |uid| uid.get()));
        let mut chunks: Vec<&[Uid]> = uids.chunks(WRITE_MESSAGES_MAX).collect();
        if left.is_some() {
            chunks.reverse();
        }
        let store = session.shared.store.clone();
        let mut progress = Progress::new(&mut session.io, tag);
        if self.set.is_some() || uids.len() > WRITE_MESSAGES_MAX {
            let mut done = 0;
            for some in chunks {
                store.expunge(account, mailbox, Some(some), now).await?;
                done += some.len();
                progress.at(done, uids.len()).await?;
            }
        }
        if self.set.is_none() {
            // All that are marked, also those that we were not told of.
            store.expunge(account, mailbox, None, now).await?;
        }
        Ok(match left {
            Some(left) => left.told_of_removal(session, Tagged::ok("EXPUNGE completed")),
            None => Tagged::ok("EXPUNGE completed"),
        })
    }
}
