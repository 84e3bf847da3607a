//! A mail could not be delivered: its sender is told (RFC 3464), never for a null reverse-path.

use store::{Batch, NewOutgoing, QueueItem, UnixMs};

use crate::flow::ask::new_message_id;
use crate::flow::submit;
use crate::house::House;
use crate::letters;

/// Days a letter of the bridge itself is tried.
const LETTER_DAYS: i64 = 2;

/// Adds the DSN for `item` to `causes`: to INBOX when the sender lives here, else to the queue.
pub async fn bounce(house: &House, item: &QueueItem, status: &str, text: &str, causes: &mut Batch, now: UnixMs) {
    if item.reverse_path.is_empty() {
        tracing::info!(item = item.id.0, "undeliverable mail from the null sender is dropped");
        return;
    }
    let letter = letters::Bounce {
        server_name: &house.config.server.name,
        from: &house.bridge_address(),
        to: &item.reverse_path,
        recipient: &item.recipient,
        status,
        diagnostic: text,
        original: &item.message,
        queued_at: item.created_at,
        message_id: &new_message_id(house),
        now,
    }
    .render();
    let domain = item.reverse_path.rsplit_once('@').map_or("", |(_, domain)| domain);
    if house.config.is_local_domain(&domain.to_lowercase()) {
        match submit::letter(house, &item.reverse_path, &letter, now).await {
            Ok(Some(delivery)) => causes.deliveries.push(delivery),
            Ok(None) => {}
            // The queue finds the way home later.
            Err(_) => causes.outgoing.push(from_bridge(&item.reverse_path, letter, now)),
        }
    } else {
        causes.outgoing.push(from_bridge(&item.reverse_path, letter, now));
    }
}

/// A letter of the bridge: null reverse-path, so that nobody answers it automatically.
pub fn from_bridge(to: &str, message: Vec<u8>, now: UnixMs) -> NewOutgoing {
    NewOutgoing {
        reverse_path: String::new(),
        recipients: vec![to.to_owned()],
        message,
        account: None,
        expires_at: now + LETTER_DAYS * 86_400_000,
    }
}
