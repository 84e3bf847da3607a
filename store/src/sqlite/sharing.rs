//! Mailboxes that their owner shares (RFC 4314): who may do what, and what each of them has seen.

use super::db::Db;
use super::writer::Tx;
use super::{accounts, entries, mailboxes};
use crate::limits::ACL_USERS_MAX;
use crate::{
    AccountId, AclChange, Entry, Flags, MailboxId, MessageId, Result, Rights, RightsMode, SharedMailbox, StoreError,
};

/// What somebody may do in a mailbox.
#[derive(Debug, Clone, Copy)]
pub(super) struct Access {
    pub(super) owner: AccountId,
    pub(super) user: AccountId,
    pub(super) rights: Rights,
}

impl Access {
    pub(super) fn is_owner(self) -> bool {
        self.owner == self.user
    }

    /// Design section 3: in shared mailboxes only users with the right `t` decide.
    pub(super) fn decides(self) -> bool {
        self.rights.contains(Rights::DELETE_MESSAGES)
    }

    /// Whose `\Seen` is not the entry's own.
    pub(super) fn viewer(self) -> Option<AccountId> {
        (!self.is_owner()).then_some(self.user)
    }

    /// The flags this user may change.
    pub(super) fn flags(self) -> Flags {
        let mut flags = Flags::NONE;
        if self.rights.contains(Rights::SEEN) {
            flags = flags.with(Flags::SEEN);
        }
        if self.rights.contains(Rights::DELETE_MESSAGES) {
            flags = flags.with(Flags::DELETED);
        }
        if self.rights.contains(Rights::WRITE) {
            flags = flags.with(Flags::ANSWERED).with(Flags::FLAGGED).with(Flags::DRAFT);
        }
        flags
    }
}

/// What `user` may do in a mailbox, which must be `needs` at least. Of a mailbox in which they have no right at all
/// they learn nothing.
pub(super) fn access(db: &Db<'_>, user: AccountId, mailbox: MailboxId, needs: Rights) -> Result<Access> {
    let owner: i64 =
        db.value("SELECT account FROM mailbox WHERE id = ?1", [mailbox.0])?.ok_or(StoreError::NoSuch("mailbox"))?;
    let owner = AccountId(owner);
    if owner == user {
        return Ok(Access { owner, user, rights: Rights::ALL });
    }
    let rights: Option<u16> =
        db.value("SELECT rights FROM acl WHERE mailbox = ?1 AND account = ?2", (mailbox.0, user.0))?;
    let rights = Rights(rights.ok_or(StoreError::NoSuch("mailbox"))?);
    if rights.contains(needs) { Ok(Access { owner, user, rights }) } else { Err(denied(rights, needs)) }
}

fn denied(rights: Rights, needs: Rights) -> StoreError {
    let missing = needs.without(rights);
    let named = Rights::LETTERS.iter().find(|(_, right)| missing.contains(*right));
    StoreError::Denied(named.map_or('?', |(letter, _)| *letter))
}

/// Everybody's rights but the owner's, oldest account first.
pub(super) fn acl(db: &Db<'_>, mailbox: MailboxId) -> Result<Vec<(AccountId, Rights)>> {
    db.all("SELECT account, rights FROM acl WHERE mailbox = ?1 ORDER BY account", [mailbox.0], |row| {
        Ok((AccountId(row.get(0)?), Rights(row.get(1)?)))
    })
}

/// SETACL and DELETEACL; the user's rights now.
pub(super) fn set_acl(tx: &mut Tx<'_>, by: AccountId, change: &AclChange) -> Result<Rights> {
    let access = access(tx, by, change.mailbox, Rights::ADMINISTER)?;
    if change.user == access.owner {
        return Err(StoreError::Cannot("the owner of a mailbox keeps all rights"));
    }
    if !tx.exists("SELECT 1 FROM account WHERE id = ?1", [change.user.0])? {
        return Err(StoreError::NoSuch("user"));
    }
    let users = acl(tx, change.mailbox)?;
    let had = users.iter().find(|(user, _)| *user == change.user).map(|(_, rights)| *rights);
    let before = had.unwrap_or_default();
    let rights = match change.mode {
        RightsMode::Replace => change.rights,
        RightsMode::Add => before.with(change.rights),
        RightsMode::Remove => before.without(change.rights),
    };
    if rights == Rights::NONE {
        tx.run("DELETE FROM acl WHERE mailbox = ?1 AND account = ?2", (change.mailbox.0, change.user.0))?;
        tx.run("DELETE FROM annotation WHERE mailbox = ?1 AND account = ?2", (change.mailbox.0, change.user.0))?;
    } else {
        if had.is_none() && users.len() >= ACL_USERS_MAX {
            return Err(StoreError::Limit("users of one shared mailbox"));
        }
        tx.run(
            "INSERT INTO acl(mailbox, account, rights) VALUES (?1, ?2, ?3)
             ON CONFLICT(mailbox, account) DO UPDATE SET rights = excluded.rights",
            (change.mailbox.0, change.user.0, rights.0),
        )?;
    }
    if let Some(wrap) = change.wrap.as_ref().filter(|_| rights.contains(Rights::READ)) {
        tx.run(
            "INSERT INTO share_key(owner, sharee, wrap) VALUES (?1, ?2, ?3)
             ON CONFLICT(owner, sharee) DO UPDATE SET wrap = excluded.wrap",
            (access.owner.0, change.user.0, wrap),
        )?;
    }
    drop_idle_keys(tx, access.owner)?;
    // Sessions of that user look again, and find what they may no longer see.
    tx.touch(change.mailbox)?.mark();
    tx.announce_list(change.user);
    Ok(rights)
}

/// Takes back keys, and what was seen, of users who may read no mailbox of `owner` any more.
pub(super) fn drop_idle_keys(tx: &Tx<'_>, owner: AccountId) -> Result<()> {
    let idle = tx.all(
        "SELECT sharee FROM share_key WHERE owner = ?1 AND NOT EXISTS
         (SELECT 1 FROM acl a JOIN mailbox m ON m.id = a.mailbox
          WHERE a.account = share_key.sharee AND m.account = ?1 AND a.rights & ?2)",
        (owner.0, Rights::READ.0),
        |row| row.get::<_, i64>(0),
    )?;
    for sharee in idle {
        tx.run("DELETE FROM share_key WHERE owner = ?1 AND sharee = ?2", (owner.0, sharee))?;
        tx.run(
            "DELETE FROM seen WHERE viewer = ?2 AND message IN (SELECT id FROM message WHERE account = ?1)",
            (owner.0, sharee),
        )?;
    }
    Ok(())
}

/// The account goes: nothing of it is shared, and nothing with it.
pub(super) fn forget(tx: &Tx<'_>, account: AccountId) -> Result<()> {
    tx.run(
        "DELETE FROM acl WHERE account = ?1 OR mailbox IN (SELECT id FROM mailbox WHERE account = ?1)",
        [account.0],
    )?;
    tx.run("DELETE FROM annotation WHERE mailbox IN (SELECT id FROM mailbox WHERE account = ?1)", [account.0])?;
    tx.run("DELETE FROM share_key WHERE owner = ?1 OR sharee = ?1", [account.0])?;
    tx.run("DELETE FROM seen WHERE viewer = ?1", [account.0])?;
    Ok(())
}

/// RFC 4314 §4: a new mailbox inherits the rights of the one above it.
pub(super) fn inherit(tx: &Tx<'_>, parent: MailboxId, child: MailboxId) -> Result<()> {
    tx.run(
        "INSERT INTO acl(mailbox, account, rights) SELECT ?2, account, rights FROM acl WHERE mailbox = ?1",
        (parent.0, child.0),
    )?;
    Ok(())
}

/// Everything others share with `user`, by owner and name.
pub(super) fn shared_with(db: Db<'_>, user: AccountId) -> Result<Vec<SharedMailbox>> {
    let rows = db.all(
        "SELECT m.id, m.account, a.rights FROM acl a JOIN mailbox m ON m.id = a.mailbox WHERE a.account = ?1",
        [user.0],
        |row| Ok((MailboxId(row.get(0)?), AccountId(row.get(1)?), Rights(row.get(2)?))),
    )?;
    let mut out = Vec::with_capacity(rows.len());
    for (id, owner, rights) in rows {
        let account = accounts::get(db, owner)?.ok_or(StoreError::NoSuch("account"))?;
        out.push(SharedMailbox {
            owner,
            owner_address: account.address(),
            mailbox: mailboxes::get(db, owner, id)?,
            rights,
        });
    }
    out.sort_by(|a, b| (&a.owner_address, &a.mailbox.name).cmp(&(&b.owner_address, &b.mailbox.name)));
    Ok(out)
}

/// The owner's opening key as it was wrapped for `sharee`.
pub(super) fn key(db: &Db<'_>, owner: AccountId, sharee: AccountId) -> Result<Option<Vec<u8>>> {
    db.value("SELECT wrap FROM share_key WHERE owner = ?1 AND sharee = ?2", (owner.0, sharee.0))
}

/// Whether `viewer`, who is not the owner, has seen it.
pub(super) fn has_seen(db: &Db<'_>, viewer: AccountId, message: MessageId) -> Result<bool> {
    db.exists("SELECT 1 FROM seen WHERE message = ?1 AND viewer = ?2", (message.0, viewer.0))
}

/// Shows entries as `viewer` has seen them.
pub(super) fn show(db: &Db<'_>, viewer: Option<AccountId>, entries: &mut [Entry]) -> Result<()> {
    let Some(viewer) = viewer else { return Ok(()) };
    for entry in entries {
        entry.flags = flags_for(entry.flags, has_seen(db, viewer, entry.message)?);
    }
    Ok(())
}

/// Flags with this user's `\Seen`.
pub(super) fn flags_for(flags: Flags, seen: bool) -> Flags {
    if seen { flags.with(Flags::SEEN) } else { flags.without(Flags::SEEN) }
}

/// Notes what `viewer` has seen. Every copy of the message bears a new MODSEQ: it looks different to them.
pub(super) fn set_seen(tx: &mut Tx<'_>, viewer: AccountId, message: MessageId, seen: bool) -> Result<()> {
    let changed = if seen {
        tx.run("INSERT OR IGNORE INTO seen(message, viewer) VALUES (?1, ?2)", (message.0, viewer.0))?
    } else {
        tx.run("DELETE FROM seen WHERE message = ?1 AND viewer = ?2", (message.0, viewer.0))?
    };
    if changed > 0 {
        for entry in entries::of_message(tx, message)? {
            entries::touch(tx, entry.mailbox, entry.uid)?;
        }
    }
    Ok(())
}

/// How many entries of a mailbox `viewer` has not seen.
pub(super) fn unseen(db: &Db<'_>, viewer: AccountId, mailbox: MailboxId, messages: u32) -> Result<u32> {
    let seen: Option<u32> = db.value(
        "SELECT COUNT(*) FROM entry e JOIN seen s ON s.message = e.message AND s.viewer = ?2 WHERE e.mailbox = ?1",
        (mailbox.0, viewer.0),
    )?;
    Ok(messages.saturating_sub(seen.unwrap_or_default()))
}

/// Whether somebody who decides, but is not the owner, has read a gated mail.
pub(super) fn read_by_decider(db: &Db<'_>, gate: lnmp::GateId) -> Result<bool> {
    db.exists(
        // Who decides in a Queue (place 9) decides about what it shows of INBOX and Requests.
        "SELECT 1 FROM entry e JOIN seen s ON s.message = e.message JOIN mailbox m ON m.id = e.mailbox
         JOIN acl a ON a.account = s.viewer AND (a.mailbox = e.mailbox OR m.place IN (1, 2) AND a.mailbox IN
         (SELECT q.id FROM mailbox q WHERE q.account = m.account AND q.place = 9))
         WHERE e.gate = ?1 AND a.rights & ?2",
        (gate.0, Rights::DELETE_MESSAGES.0),
    )
}
