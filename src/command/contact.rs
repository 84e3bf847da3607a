//! Whom an account knows.

use anyhow::{Context, bail};
use lnmp::Relation;
use serde_json::{Value, json};

use super::{account_of, rfc3339};
use crate::house::{House, now_ms};

pub(super) async fn set(house: &House, owner: &str, author: &str, relation: &str) -> anyhow::Result<Value> {
    let owner = account_of(house, owner).await?;
    let relation = Relation::parse(relation).context("a relation is friend, acquaintance or stranger")?;
    if !smtp::is_mailbox(author) {
        bail!("{author} is no address; an author is written local-part@domain");
    }
    house.store.set_relation(owner.id, &author.to_lowercase(), relation, now_ms()).await?;
    Ok(json!({ "owner": owner.address(), "author": author.to_lowercase(), "relation": relation.name() }))
}

pub(super) async fn list(house: &House, owner: &str) -> anyhow::Result<Value> {
    let owner = account_of(house, owner).await?;
    let contacts = house.store.contacts(owner.id).await?;
    let row = |contact: &store::Contact| {
        json!({
            "author": contact.author,
            "relation": contact.relation.name(),
            "since": rfc3339(contact.changed_at),
        })
    };
    Ok(contacts.iter().map(row).collect())
}
