//! What a client may remember mailboxes, messages and threads by (RFC 8474).
//!
//! Each kind has a letter of its own, so that no two kinds ever share a name (RFC 8474 §5.2, §8.1).

use converter::{Summary, fields};
use store::{AccountId, MailboxId, MessageId, Store};

/// The whole of a message's References that is looked into: the first name is what counts.
const REFERENCES_BYTES_MAX: usize = 4096;

/// MAILBOXID.
pub(crate) fn of_mailbox(store: &dyn Store, account: AccountId, mailbox: MailboxId) -> String {
    format!("F{}", store.mailbox_id(account, mailbox))
}

/// EMAILID.
pub(crate) fn of_email(store: &dyn Store, account: AccountId, message: MessageId) -> String {
    format!("M{}", store.email_id(account, message))
}

/// THREADID: by the Message-ID that the thread began with, as far as the mail itself knows. It follows from the mail
/// alone, so it never changes, and is the same in every mailbox.
pub(crate) fn of_thread(store: &dyn Store, account: AccountId, message: MessageId, summary: &Summary) -> String {
    match root(summary) {
        Some(root) => format!("T{}", store.thread_id(account, &root)),
        // It begins a thread that nothing can belong to.
        None => format!("T{}", store.email_id(account, message)),
    }
}

/// The oldest of References, else what it answers, else itself (RFC 5322 §3.6.4).
fn root(summary: &Summary) -> Option<Vec<u8>> {
    let named =
        |name: &str| fields(&summary.header).filter(|field| field.is(name)).find_map(|field| first_id(field.value));
    named("References").or_else(|| named("In-Reply-To")).or_else(|| named("Message-ID"))
}

/// The first `<…>`, without the white space that folding put into it.
fn first_id(value: &[u8]) -> Option<Vec<u8>> {
    let value = &value[..value.len().min(REFERENCES_BYTES_MAX)];
    let start = value.iter().position(|&octet| octet == b'<')? + 1;
    let end = start + value[start..].iter().position(|&octet| octet == b'>')?;
    let id: Vec<u8> = value[start..end].iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_known_by_its_oldest_message() {
        let root = |header: &str| root(&Summary::of(format!("{header}\r\n\r\n").as_bytes()));
        let first = Some(b"1@a".to_vec());
        assert_eq!(root("Message-ID: <1@a>"), first);
        assert_eq!(root("Message-ID: <2@a>\r\nIn-Reply-To: your mail <1@a>"), first);
        assert_eq!(root("In-Reply-To: <2@a>\r\nReferences:\r\n <1@\r\n a> <2@a>\r\nMessage-ID: <3@a>"), first);
        assert_eq!(root("References: none\r\nMessage-ID: <1@a>"), first);
        assert_eq!(root("Subject: nothing\r\nMessage-ID: <>"), None);
    }
}
