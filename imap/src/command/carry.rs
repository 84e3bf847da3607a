//! COPY and MOVE into a mailbox of another account.
//!
//! A mail is sealed to its owner. So it is opened here, sealed to the target's owner, and appended there; only when that
//! is on disk does the source hear of it: what the act means for a priced mail is judged, and MOVE takes the entries out.
//! A crash between the two leaves the mail in both places, never in none.

use store::{Append, Copied, NewMessage, Rights, StoreError, Uid};

use crate::access::Found;
use crate::command::copy_move::gone;
use crate::limits::{APPEND_BYTES_MAX, APPEND_MESSAGES_MAX, CARRY_BYTES_MAX};
use crate::mail::read_one;
use crate::reply::{Stop, Tagged};
use crate::session::Session;

/// Does it for those of `uids` that are there, or with `all` only if all are.
pub(super) async fn carry(
    session: &mut Session,
    uids: &[Uid],
    into: &Found,
    (take, all): (bool, bool),
) -> Result<Copied, Stop> {
    let shared = session.shared.clone();
    let (account, now) = (session.account()?, (shared.now)());
    if !into.rights.contains(Rights::INSERT) {
        return Err(StoreError::Denied('i').into());
    }
    let selected = session.selected()?;
    let (from, snapshot) = (selected.mailbox, selected.snapshot.clone());
    // RFC 6851 §4.2: known before anything is copied, so that nothing is left behind twice.
    let needs = if take { Rights::DELETE_MESSAGES.with(Rights::EXPUNGE) } else { Rights::NONE };
    if !selected.rights.contains(needs) {
        return Err(StoreError::Denied(if selected.rights.contains(Rights::EXPUNGE) { 't' } else { 'e' }).into());
    }
    let rows: Vec<_> = uids.iter().filter_map(|uid| snapshot.index_of(uid.get())).map(|at| snapshot.rows[at]).collect();
    let octets: u64 = rows.iter().map(|row| row.size).sum();
    if rows.len() > APPEND_MESSAGES_MAX || octets > CARRY_BYTES_MAX {
        let text = format!(
            "[LIMIT] Between accounts one command carries {APPEND_MESSAGES_MAX} messages of {} MiB together",
            CARRY_BYTES_MAX >> 20
        );
        return Err(Tagged::no(text).into());
    }
    let (mut messages, mut carried) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for row in rows {
        let reader = session.reader()?.clone();
        let Some(mail) = read_one(&*shared.store, reader.account, &reader.opener, row.message).await? else {
            if all {
                return Err(gone());
            }
            continue;
        };
        let size = mail.layout.size();
        if size > APPEND_BYTES_MAX as u64 {
            return Err(Tagged::no("[LIMIT] Message is too large").into());
        }
        let octets = mail.read(&*shared.shelf, 0..size).await.map_err(|error| {
            tracing::warn!(%error, "a mail cannot be carried to another account");
            Tagged::no("[UNAVAILABLE] Some attachments cannot be read now")
        })?;
        let sealed = shared.host.seal(into.owner, octets).await?;
        messages.push(NewMessage {
            sealed: sealed.parts,
            internal_date: row.internal_date,
            zone: row.zone,
            flags: row.flags,
            keywords: snapshot.keywords(&row).split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
            message_id: sealed.message_id,
            content_digest: sealed.content_digest,
        });
        carried.extend(Uid::new(row.uid));
    }
    if messages.is_empty() {
        return Ok(Copied { uid_validity: into.mailbox.uid_validity, pairs: Vec::new(), vanished: Vec::new() });
    }
    let append = Append { account, mailbox: into.mailbox.id, messages, replaces: None };
    let appended = shared.store.append(append, now).await?;
    let vanished = shared.store.carried_off(account, from, &carried, into.mailbox.place, take, now).await?;
    let pairs = carried.into_iter().zip(appended.uids).collect();
    Ok(Copied { uid_validity: appended.uid_validity, pairs, vanished })
}
