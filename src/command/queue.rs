//! The outgoing mail.

use anyhow::bail;
use serde_json::{Value, json};
use store::{QueueId, QueueItem, Store};

use super::rfc3339;
use crate::house::{House, now_ms};

pub(super) async fn list(store: &dyn Store) -> anyhow::Result<Value> {
    let items = store.queue().await?;
    Ok(items
        .iter()
        .map(|item| {
            json!({
                "id": item.id,
                "from": item.reverse_path,
                "to": item.recipient,
                "size": item.size,
                "state": item.state,
                "attempts": item.attempts,
                "delay_told": item.delay_told,
                "queued_at": rfc3339(item.created_at),
                "due_at": rfc3339(item.due_at),
                "expires_at": rfc3339(item.expires_at),
                "last_error": item.last_error,
            })
        })
        .collect())
}

pub(super) async fn retry(house: &House, id: Option<i64>, domain: Option<String>) -> anyhow::Result<Value> {
    let (store, mut retried, now) = (&*house.store, 0, now_ms());
    // What its sender wants to be held (RFC 4865) is let go by its number only.
    let is_held = |item: &QueueItem| item.last_error.is_none() && item.due_at > now;
    let held: Vec<_> = match id {
        Some(_) => Vec::new(),
        None => store.queue().await?.iter().filter(|item| is_held(item)).map(|item| Some(item.id)).collect(),
    };
    for id in queued(store, id, domain).await?.into_iter().filter(|id| !held.contains(id)) {
        retried += store.retry_queue(id, now_ms()).await?;
    }
    house.work.notify_waiters();
    Ok(json!({ "retried": retried }))
}

pub(super) async fn suspend(store: &dyn Store, id: Option<i64>, domain: Option<String>) -> anyhow::Result<Value> {
    let mut suspended = 0;
    for id in queued(store, id, domain).await? {
        suspended += store.suspend_queue(id).await?;
    }
    Ok(json!({ "suspended": suspended }))
}

pub(super) async fn resume(house: &House, id: Option<i64>, domain: Option<String>) -> anyhow::Result<Value> {
    let mut resumed = 0;
    for id in queued(&*house.store, id, domain).await? {
        resumed += house.store.resume_queue(id, now_ms()).await?;
    }
    house.work.notify_waiters();
    Ok(json!({ "resumed": resumed }))
}

pub(super) async fn remove(store: &dyn Store, id: i64) -> anyhow::Result<Value> {
    if !store.remove_queue(QueueId(id)).await? {
        bail!("there is no queue item {id}");
    }
    Ok(json!({ "id": id, "removed": true }))
}

/// What a queue command is about: one item, every item of a domain, or (`None`) all.
async fn queued(store: &dyn Store, id: Option<i64>, domain: Option<String>) -> anyhow::Result<Vec<Option<QueueId>>> {
    if id.is_none() && domain.is_none() {
        return Ok(vec![None]);
    }
    let domain = domain.map(|domain| domain.to_lowercase());
    let is_meant = |item: &QueueItem| match (id, &domain) {
        (Some(id), _) => item.id.0 == id,
        (None, Some(domain)) => item.recipient.rsplit_once('@').is_some_and(|(_, of)| of.to_lowercase() == *domain),
        (None, None) => true,
    };
    let found: Vec<_> = store.queue().await?.iter().filter(|item| is_meant(item)).map(|item| Some(item.id)).collect();
    if found.is_empty() {
        match (id, domain) {
            (Some(id), _) => bail!("there is no queue item {id}; `satchel queue list` shows them"),
            (None, domain) => bail!("nothing in the queue is for {}", domain.unwrap_or_default()),
        }
    }
    Ok(found)
}
