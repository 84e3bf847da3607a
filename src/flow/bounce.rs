//! What became of an outgoing mail is told to its sender (RFC 3461, RFC 3464), never to a null reverse-path.

use store::{Batch, MailWishes, NewOutgoing, Notify, UnixMs};

use crate::flow::ask::new_message_id;
use crate::flow::submit;
use crate::house::House;
use crate::letters::{self, Action, Reported};

/// Days a letter of the bridge itself is tried.
const LETTER_DAYS: i64 = 2;

/// Whether the sender of this recipient's mail wants to hear that. RFC 3461 §4.1: where nothing was said, failures are
/// told, and delays as we like.
pub fn is_wanted(reverse_path: &str, notify: Option<Notify>, action: Action) -> bool {
    if reverse_path.is_empty() {
        return false;
    }
    let Some(notify) = notify else {
        return matches!(action, Action::Failed | Action::Delayed { .. });
    };
    match action {
        Action::Failed => notify.failure,
        Action::Delayed { .. } => notify.delay,
        Action::Delivered | Action::Relayed => notify.success,
    }
}

/// The mail that is reported on.
#[derive(Clone, Copy)]
pub struct About<'a> {
    /// Who is told.
    pub reverse_path: &'a str,
    /// What they asked for.
    pub wishes: &'a MailWishes,
    /// The mail.
    pub original: &'a [u8],
    /// When it came.
    pub queued_at: UnixMs,
}

/// Adds the DSN about recipients of one mail to `causes`: to INBOX when the sender lives here, else to the queue.
pub async fn report(
    house: &House,
    about: About<'_>,
    action: Action,
    recipients: &[Reported],
    causes: &mut Batch,
    now: UnixMs,
) {
    let About { reverse_path: to, wishes, original, queued_at } = about;
    if to.is_empty() || recipients.is_empty() {
        return;
    }
    let letter = letters::Report {
        cover: letters::Cover { from: &house.bridge_address(), to, message_id: &new_message_id(house), now },
        action,
        server_name: &house.config.server.name,
        recipients,
        envid: wishes.envid.as_deref(),
        original,
        return_full: wishes.return_full == Some(true),
        queued_at,
    }
    .render();
    let domain = to.rsplit_once('@').map_or("", |(_, domain)| domain);
    if house.config.is_local_domain(&domain.to_lowercase()) {
        match submit::letter(house, to, &letter, now).await {
            Ok(deliveries) => causes.deliveries.extend(deliveries),
            // The queue finds the way home later.
            Err(_) => causes.outgoing.push(from_bridge(to, letter, now)),
        }
    } else {
        causes.outgoing.push(from_bridge(to, letter, now));
    }
}

/// A letter of the bridge: null reverse-path, so that nobody answers it automatically.
pub fn from_bridge(to: &str, message: Vec<u8>, now: UnixMs) -> NewOutgoing {
    NewOutgoing {
        reverse_path: String::new(),
        recipients: vec![to.into()],
        message,
        account: None,
        expires_at: now + LETTER_DAYS * 86_400_000,
        hold_until: None,
        wishes: MailWishes::default(),
    }
}
