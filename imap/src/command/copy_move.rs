//! COPY (RFC 3501 §6.4.7, COPYUID: RFC 4315 §3) and MOVE (RFC 6851).

use store::{Copied, Rights, StoreError, Uid};

use crate::command::carry;
use crate::limits::{GONE_UIDS_MAX, WRITE_MESSAGES_MAX};
use crate::message_limit::Partial;
use crate::progress::Progress;
use crate::reply::{Run, Stop, Tagged};
use crate::selected::{By, Selected};
use crate::session::Session;
use crate::wire::sequence::write_set;
use crate::wire::{Bad, Cursor, Parsed, SequenceSet, write};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Copy,
    Move,
}

/// COPY or MOVE.
#[derive(Debug)]
pub(crate) struct CopyMove {
    pub(super) kind: Kind,
    pub(super) by: By,
    set: SequenceSet,
    mailbox: Vec<u8>,
}

/// UIDs that a set names and the view has, and single ones it had once: the server may have moved those (design
/// section 3), and the store follows them.
pub(super) fn with_gone(selected: &Selected, set: &SequenceSet, by: By) -> Option<Vec<Uid>> {
    let indexes = selected.resolve(set, by)?;
    let rows = &selected.snapshot.rows;
    let mut uids: Vec<u32> = indexes.into_iter().map(|index| rows[index].uid).collect();
    if by == By::Uid {
        let known = uids.len();
        for (low, high) in set.resolve(selected.snapshot.uid_max()) {
            // A wide range means what is there; a narrow one was written by somebody who saw these.
            if high - low < 16 && uids.len() - known < GONE_UIDS_MAX {
                let was = |uid: &u32| *uid < selected.snapshot.uid_next && selected.snapshot.index_of(*uid).is_none();
                uids.extend((low..=high).filter(was));
            }
        }
        uids.sort_unstable();
    }
    Some(uids.into_iter().filter_map(Uid::new).collect())
}

/// Cuts UIDs of [`with_gone`] to as many messages as one command goes through. What is gone is none (RFC 9738 §3.1: a
/// client may send the same UID MOVE again until all are moved).
pub(super) fn cut(selected: &Selected, limit: usize, uids: &mut Vec<Uid>) -> Option<Partial> {
    let there = |uid: &Uid| selected.snapshot.index_of(uid.get()).is_some();
    let mut messages: Vec<Uid> = uids.iter().copied().filter(there).collect();
    let left = Partial::of(limit, &mut messages, |uid| uid.get())?;
    *uids = messages;
    Some(left)
}

impl CopyMove {
    pub(super) fn parse(cursor: &mut Cursor<'_>, by: By, kind: Kind) -> Parsed<Self> {
        cursor.space()?;
        let set = SequenceSet::parse(cursor)?;
        cursor.space()?;
        Ok(Self { kind, by, set, mailbox: cursor.astring()?.into_owned() })
    }

    pub(super) async fn run(self, session: &mut Session, tag: &str) -> Run {
        let selected = match self.kind {
            Kind::Copy => session.selected()?,
            Kind::Move => session.writable()?,
        };
        let mut uids = with_gone(selected, &self.set, self.by).ok_or(Bad::new("Message number does not exist"))?;
        let from = selected.mailbox;
        let name = session.name(&self.mailbox)?;
        let into = session.find(&name).await?;
        let to = into.mailbox.id;
        // RFC 4315 §3, RFC 9051 §6.4.7: a mailbox that may not be selected tells nothing of itself.
        let told = into.rights.contains(Rights::READ);
        let copyuid = |copied: &Copied| if told { copyuid(copied) } else { String::new() };
        let (account, now) = (session.account()?, (session.shared.now)());
        let store = session.shared.store.clone();
        if uids.is_empty() {
            // Stalwart #1201 and others: messages that are gone are no error.
            return Ok(Tagged::ok("No messages to copy"));
        }
        let left = cut(selected, session.shared.message_limit, &mut uids);
        if let Some(left) = left
            && self.kind == Kind::Copy
        {
            // RFC 9738 §3.1: COPY is of all or none.
            return Ok(left.refused());
        }
        // A number names a message that the client was not told is gone. Of UIDs it may know, and `$` loses them by
        // itself (RFC 5182 §2.1).
        let all = self.by == By::Number && !self.set.is_saved();
        if into.owner != session.reader()?.account {
            let copied = carry::carry(session, &uids, &into, (self.kind == Kind::Move, all)).await?;
            session.note_made(to, copied.pairs.iter().map(|(_, target)| target.get()));
            let code = copyuid(&copied);
            return Ok(match self.kind {
                Kind::Copy => Tagged::ok(format!("{code}COPY completed")),
                Kind::Move => {
                    if !code.is_empty() {
                        // RFC 6851 §4.3, as below.
                        session.io.out.extend_from_slice(format!("* OK {code}Moved\r\n").as_bytes());
                    }
                    match left {
                        Some(left) => left.told_of_removal(session, Tagged::ok("MOVE completed")),
                        None => Tagged::ok("MOVE completed"),
                    }
                }
            });
        }
        match self.kind {
            Kind::Copy => {
                // RFC 3501 §6.4.7: all or none, RFC 2180 §4.4.
                let copied = if all {
                    let copied = store.copy_all(account, from, &uids, to, now).await;
                    copied.map_err(|error| match error {
                        StoreError::NoSuch("message") => gone(),
                        error => error.into(),
                    })?
                } else {
                    store.copy(account, from, &uids, to, now).await?
                };
                session.note_made(to, copied.pairs.iter().map(|(_, target)| target.get()));
                Ok(Tagged::ok(format!("{}COPY completed", copyuid(&copied))))
            }
            Kind::Move => {
                // RFC 6851 §3.3: each message moves whole or not at all; the set need not.
                let (mut done, mut made) = (0, Vec::new());
                let mut progress = Progress::new(&mut session.io, tag);
                let mut chunks: Vec<&[Uid]> = uids.chunks(WRITE_MESSAGES_MAX).collect();
                if left.is_some() {
                    // RFC 9738 §3.1: from the highest UID to the lowest.
                    chunks.reverse();
                }
                for some in chunks {
                    let moved = store.move_entries(account, from, some, to, now).await?;
                    let code = copyuid(&moved);
                    if !code.is_empty() {
                        // RFC 6851 §4.3: before the EXPUNGEs, which come with bringing the client in step.
                        progress.out().extend_from_slice(format!("* OK {code}Moved\r\n").as_bytes());
                    }
                    made.extend(moved.pairs.iter().map(|(_, target)| target.get()));
                    done += some.len();
                    progress.at(done, uids.len()).await?;
                }
                let is_gone = all && made.len() < uids.len();
                session.note_made(to, made.into_iter());
                match left {
                    Some(left) if is_gone => left.tell(session),
                    Some(left) => return Ok(left.told_of_removal(session, Tagged::ok("MOVE completed"))),
                    None => {}
                }
                if is_gone { Err(gone()) } else { Ok(Tagged::ok("MOVE completed")) }
            }
        }
    }
}

/// Another session expunged some (RFC 5530).
pub(super) fn gone() -> Stop {
    Tagged::no("[EXPUNGEISSUED] Some messages are gone").into()
}

/// `[COPYUID …] `, or nothing.
fn copyuid(copied: &Copied) -> String {
    let mut code = Vec::new();
    if !copied.pairs.is_empty() {
        code.extend_from_slice(b"[COPYUID ");
        write::number(&mut code, u64::from(copied.uid_validity.0.get()));
        code.push(b' ');
        write_set(&mut code, copied.pairs.iter().map(|(source, _)| source.get()));
        code.push(b' ');
        write_set(&mut code, copied.pairs.iter().map(|(_, target)| target.get()));
        code.extend_from_slice(b"] ");
    }
    String::from_utf8(code).unwrap_or_default()
}
