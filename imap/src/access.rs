//! Whose mailbox a name means, and what reads the mail in it.
//!
//! Two accounts meet in a command: who is logged in ([`Session::account`]), and whose mail it is
//! ([`Selected::owner`](crate::selected::Selected)). The store is told who acts: it knows whose a mailbox is, and
//! judges what this user may do there. Only what is sealed needs the owner: summaries and contents are read with
//! [`Reader`].

use std::sync::Arc;

use store::{AccountId, Mailbox};

use crate::name::MailboxName;
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
#[derive(Debug)]
pub(crate) struct Found {
    /// Whose it is.
    pub(crate) owner: AccountId,
    /// Itself; its name is the one this session sees.
    pub(crate) mailbox: Mailbox,
}

impl Session {
    /// The mailbox of a name, or TRYCREATE.
    pub(crate) async fn find(&self, name: &MailboxName) -> Result<Found, Stop> {
        let owner = self.account()?;
        let mailboxes = self.shared.store.mailboxes(owner).await?;
        match mailboxes.into_iter().find(|mailbox| mailbox.name == name.as_str()) {
            Some(mailbox) => Ok(Found { owner, mailbox }),
            // RFC 3501 §7.1: TRYCREATE, because a CREATE would help.
            None => Err(Tagged::no("[TRYCREATE] No such mailbox").into()),
        }
    }

    /// As [`Session::find`], where only the mailbox matters: the store knows whose it is.
    pub(crate) async fn existing(&self, name: &MailboxName) -> Result<Mailbox, Stop> {
        Ok(self.find(name).await?.mailbox)
    }

    /// What reads an account's mail.
    pub(crate) fn reader_of(&self, owner: AccountId) -> Result<Reader, Stop> {
        let user = self.user.as_ref().ok_or_else(|| Tagged::bad("Log in first"))?;
        if owner != user.account {
            return Err(Tagged::no("[NOPERM] This account's mail cannot be read here").into());
        }
        Ok(Reader { account: owner, opener: user.opener.clone(), room: user.room.clone() })
    }

    /// What reads the mail of the selected mailbox.
    pub(crate) fn reader(&self) -> Result<&Reader, Stop> {
        Ok(&self.selected()?.owner)
    }
}
