//! Sharing a mailbox from the command line: what SETACL does (RFC 4314), with the owner's key unlocked for the moment.
//!
//! To let somebody read is to give them a key (`docs/decisions/0005`), so that the owner's password is asked for, even
//! while the owner is logged in: the key in memory is there for the owner's sessions. It is not asked for where the
//! server keeps a wrap, where that user has the key already, and where nobody gets to read.

use anyhow::{Context, anyhow, bail};
use rand::rngs::OsRng;
use serde_json::{Value, json};
use store::{Account, AclChange, Mailbox, Rights, RightsMode};

use crate::accounts;
use crate::cli::ShareChange;
use crate::command::account_of;
use crate::house::House;

/// What a desk's agent needs: find, read, flag, file, decide, expunge; but neither rename nor share it on.
pub const AGENT_RIGHTS: &str = "lrswite";

/// A change with its names looked up.
struct Change {
    owner: Account,
    user: Account,
    mailbox: Mailbox,
    rights: Rights,
}

/// Whether the owner's password or recovery phrase has to be read first.
pub async fn needs_secret(house: &House, change: &ShareChange) -> anyhow::Result<bool> {
    let change = look_up(house, change).await?;
    Ok(gives_a_key(house, &change).await? && accounts::needs_secret(house, &change.owner).await?)
}

/// Gives or takes rights; says which the user has now.
pub async fn change(house: &House, asked: &ShareChange, secret: &str) -> anyhow::Result<Value> {
    let change = look_up(house, asked).await?;
    let wrap = if gives_a_key(house, &change).await? {
        let opener = accounts::opener(house, &change.owner, secret).await?;
        let key = lnmp::PublicKey::from_bytes(change.user.identity).context("that account has no key")?;
        Some(opener.share_with(&mut OsRng, &key))
    } else {
        None
    };
    let acl = AclChange {
        mailbox: change.mailbox.id,
        user: change.user.id,
        mode: RightsMode::Replace,
        rights: change.rights,
        wrap,
    };
    let rights = house.store.set_acl(change.owner.id, acl).await?;
    Ok(json!({
        "owner": change.owner.address(),
        "mailbox": change.mailbox.name,
        "with": change.user.address(),
        "rights": letters(rights),
    }))
}

/// With whom an account shares its mailboxes, or one of them.
pub async fn list(house: &House, owner: &str, mailbox: Option<&str>) -> anyhow::Result<Value> {
    let owner = account_of(house, owner).await?;
    let mailboxes = match mailbox {
        Some(name) => vec![find(house, &owner, name).await?],
        None => house.store.mailboxes(owner.id).await?,
    };
    let mut rows = Vec::new();
    for mailbox in mailboxes {
        for (user, rights) in house.store.acl(owner.id, mailbox.id).await? {
            // Who was removed meanwhile has no rights.
            let Some(user) = house.store.account(user).await? else { continue };
            rows.push(json!({ "mailbox": mailbox.name, "with": user.address(), "rights": letters(rights) }));
        }
    }
    Ok(Value::Array(rows))
}

async fn look_up(house: &House, change: &ShareChange) -> anyhow::Result<Change> {
    let owner = account_of(house, &change.owner).await?;
    let user = accounts::find(house, &change.with).await?.ok_or_else(|| {
        anyhow!("there is no account {}; a mailbox is shared with accounts of this server, by address", change.with)
    })?;
    if owner.id == user.id {
        bail!("{} owns this mailbox: an owner has all rights, always", owner.address());
    }
    let mailbox = find(house, &owner, &change.mailbox).await?;
    let rights = Rights::parse(&change.rights).map_err(|letter| anyhow!(no_right(letter)))?;
    Ok(Change { owner, user, mailbox, rights })
}

/// Whether this change hands over the owner's key: the user may read and has no wrap of it yet.
async fn gives_a_key(house: &House, change: &Change) -> anyhow::Result<bool> {
    Ok(change.rights.contains(Rights::READ) && house.store.share_key(change.user.id, change.owner.id).await?.is_none())
}

async fn find(house: &House, owner: &Account, name: &str) -> anyhow::Result<Mailbox> {
    let is_inbox = name.eq_ignore_ascii_case("INBOX");
    let mailboxes = house.store.mailboxes(owner.id).await?;
    mailboxes
        .into_iter()
        .find(|mailbox| mailbox.name == name || is_inbox && mailbox.name == "INBOX")
        .ok_or_else(|| anyhow!("{} has no mailbox {name}; `/` stands between the levels of a name", owner.address()))
}

/// What to say of a letter that is no right.
pub fn no_right(letter: char) -> String {
    format!("{letter} is no right; rights are letters of lrswipkxtea, as in RFC 4314")
}

/// As they are given: without RFC 2086's `c` and `d`, which only stand for others.
fn letters(rights: Rights) -> String {
    rights.to_string().replace(['c', 'd'], "")
}
