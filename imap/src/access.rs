//! Whose mailbox a name means, and what reads the mail in it.
//!
//! Two accounts meet in a command: who is logged in ([`Session::account`]), and whose mail it is
//! ([`Selected::owner`](crate::selected::Selected)). The store is told who acts: it knows whose a mailbox is, and
//! judges what this user may do there. Only what is sealed needs the owner: summaries and contents are read with
//! [`Reader`].

use std::sync::Arc;

use store::{AccountId, Mailbox, Rights, SharedMailbox};

use crate::name::{MailboxName, OTHER_USERS, SEPARATOR};
use crate::reply::{Stop, Tagged};
use crate::rooms::AccountRoom;
use crate::session::Session;

/// What reads the mail of one account: its sealed summaries and contents.
#[derive(Clone)]
pub(crate) struct Reader {
    /// Whose mail.
    pub(crate) account: AccountId,
    /// Opens what is sealed to them.
    pub(crate) opener: Arc<lnmp::Opener>,
    /// What sessions that read it share.
    pub(crate) room: Arc<AccountRoom>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("account", &self.account).finish_non_exhaustive()
    }
}

/// A mailbox that a client named.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Whose it is.
    pub(crate) owner: AccountId,
    /// Itself; its name is the one this session sees.
    pub(crate) mailbox: Mailbox,
    /// What this session may do there.
    pub(crate) rights: Rights,
}

impl From<SharedMailbox> for Found {
    fn from(shared: SharedMailbox) -> Self {
        let name = shared_name(&shared.owner_address, &shared.mailbox.name);
        Self { owner: shared.owner, mailbox: Mailbox { name, ..shared.mailbox }, rights: shared.rights }
    }
}

/// What users whom `owner` shares a mailbox with call it.
fn shared_name(owner: &str, name: &str) -> String {
    format!("{OTHER_USERS}{SEPARATOR}{owner}{SEPARATOR}{name}")
}

impl Session {
    /// The mailbox of a name, or TRYCREATE.
    pub(crate) async fn find(&self, name: &MailboxName) -> Result<Found, Stop> {
        let account = self.account()?;
        let mailboxes = self.shared.store.mailboxes(account).await?;
        if let Some(mailbox) = mailboxes.into_iter().find(|mailbox| mailbox.name == name.as_str()) {
            return Ok(Found { owner: account, mailbox, rights: Rights::ALL });
        }
        if name.is_of_other_user() {
            let shared = self.shared_mailboxes().await?;
            if let Some(found) = shared.into_iter().find(|found| found.mailbox.name == name.as_str()) {
                return Ok(found);
            }
            return Err(Tagged::no("[NONEXISTENT] No such mailbox is shared with you").into());
        }
        // RFC 3501 §7.1: TRYCREATE, because a CREATE would help.
        Err(Tagged::no("[TRYCREATE] No such mailbox").into())
    }

    /// Every mailbox that others share with this user.
    pub(crate) async fn shared_mailboxes(&self) -> Result<Vec<Found>, Stop> {
        let shared = self.shared.store.shared_with(self.account()?).await?;
        Ok(shared.into_iter().map(Found::from).collect())
    }

    /// As [`Session::find`], where only the mailbox matters: the store knows whose it is.
    pub(crate) async fn existing(&self, name: &MailboxName) -> Result<Mailbox, Stop> {
        Ok(self.find(name).await?.mailbox)
    }

    /// What reads an account's mail: the session's own key, or the one that was shared with it.
    pub(crate) async fn reader_of(&self, owner: AccountId) -> Result<Reader, Stop> {
        let user = self.user.as_ref().ok_or_else(|| Tagged::bad("Log in first"))?;
        if owner == user.account {
            return Ok(Reader { account: owner, opener: user.opener.clone(), room: user.room.clone() });
        }
        let unshared =
            || Tagged::no("[NOPERM] The owner has to share this mailbox again: its key is not shared with you");
        let wrap = self.shared.store.share_key(user.account, owner).await?.ok_or_else(unshared)?;
        let account = self.shared.store.account(owner).await?.ok_or_else(unshared)?;
        let key = lnmp::PublicKey::from_bytes(account.identity).map_err(|_| unshared())?;
        let opener = user.opener.open_share(&key, &wrap).map_err(|_| unshared())?;
        let room = self.shared.rooms.account(owner);
        Ok(Reader { account: owner, opener: room.one_opener(Arc::new(opener)), room })
    }

    /// What reads the mail of the selected mailbox.
    pub(crate) fn reader(&self) -> Result<&Reader, Stop> {
        Ok(&self.selected()?.owner)
    }
}
