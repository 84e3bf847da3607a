//! EXPUNGE (RFC 3501 §6.4.3), UID EXPUNGE (RFC 4315 §2.1).

use store::{Flags, Uid};

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
    pub(super) async fn run(self, session: &mut Session) -> Run {
        let (account, now) = (session.account()?, (session.shared.now)());
        let selected = session.writable()?;
        let mailbox = selected.mailbox;
        let store = session.shared.store.clone();
        match &self.set {
            None => drop(store.expunge(account, mailbox, None, now).await?),
            Some(set) => {
                let rows = &selected.snapshot.rows;
                let uids: Vec<Uid> = selected
                    .resolve(set, By::Uid)
                    .unwrap_or_default()
                    .into_iter()
                    .filter(|&index| rows[index].flags.contains(Flags::DELETED))
                    .filter_map(|index| Uid::new(rows[index].uid))
                    .collect();
                if !uids.is_empty() {
                    store.expunge(account, mailbox, Some(&uids), now).await?;
                }
            }
        }
        Ok(Tagged::ok("EXPUNGE completed"))
    }
}
