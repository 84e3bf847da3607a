//! CREATE and RENAME among mailboxes of others (RFC 4314 §4). The store judges the rights, in its transaction.

use store::AccountId;

use crate::name::{MailboxName, SEPARATOR};
use crate::object_id;
use crate::reply::{Run, Stop, Tagged};
use crate::session::Session;

/// Needs `k` in the nearest mailbox above. The new one is its owner's, and shared as that is.
pub(super) async fn create(session: &Session, name: &MailboxName) -> Run {
    let (owner, own) = of_owner(session, name).await?;
    if !own.contains(SEPARATOR) {
        return Err(nothing().into());
    }
    let (account, now) = (session.account()?, (session.shared.now)());
    let store = &session.shared.store;
    let made = store.create_shared(account, owner, own, now).await?;
    // RFC 8474 §4.1
    let id = object_id::of_mailbox(&**store, owner, made.id);
    Ok(Tagged::ok(format!("[MAILBOXID ({id})] CREATE completed")))
}

/// Needs `x` in the mailbox, and `k` in the nearest one above its new name. It stays its owner's, and shared as it was.
pub(super) async fn rename(session: &Session, from: &MailboxName, to: &MailboxName) -> Result<(), Stop> {
    let elsewhere = || Tagged::no("[NOPERM] A shared mailbox stays its owner's: it cannot move into another account");
    if !from.is_of_other_user() || !to.is_of_other_user() {
        return Err(elsewhere().into());
    }
    let (owner, own) = of_owner(session, from).await?;
    let (other, new) = of_owner(session, to).await?;
    if owner != other {
        return Err(elsewhere().into());
    }
    let (account, now) = (session.account()?, (session.shared.now)());
    Ok(session.shared.store.rename_shared(account, owner, own, new, now).await?)
}

fn nothing() -> Tagged {
    Tagged::no("[NOPERM] Nothing above this name is shared with you")
}

/// Whose tree a name is in, and their own name for it: two levels less.
async fn of_owner<'a>(session: &Session, name: &'a MailboxName) -> Result<(AccountId, &'a str), Stop> {
    let mut levels = name.as_str().splitn(3, SEPARATOR);
    let (Some(_), Some(address), Some(own)) = (levels.next(), levels.next(), levels.next()) else {
        return Err(nothing().into());
    };
    let shared = session.shared_mailboxes().await?;
    let is_theirs = |name: &str| name.split(SEPARATOR).nth(1) == Some(address);
    let owner = shared.iter().find(|found| is_theirs(&found.mailbox.name)).map(|found| found.owner);
    Ok((owner.ok_or_else(nothing)?, own))
}
