//! From the octets of a message to what the store keeps: attachments on IPFS, the rest sealed.

use bytes::Bytes;
use converter::{Cut, Structure, Summary};
use lnmp::{AttachmentRef, Plaintexts, PublicKey};
use rand::rngs::OsRng;
use ring::digest;
use store::SealedParts;

use crate::house::{House, now_ms};

/// Above this a conversion leaves the reactor to others: it would hold a worker for a millisecond and more.
const BLOCKING_BYTES: usize = 256 * 1024;

/// A message, sealed to one account.
pub struct SealedMessage {
    /// What the store keeps.
    pub parts: SealedParts,
    /// SHA-256 of the message without the fields clients add for themselves: recognises it when a client brings it back.
    pub digest: [u8; 32],
}

/// Fields that clients write into a message they copy by APPEND: mbsync, offlineimap, Thunderbird. A message that
/// differs from a paid one only in these is that message, moved.
const BOOKKEEPING: [&[u8]; 5] =
    [b"X-TUID", b"X-OfflineIMAP", b"X-Mozilla-Status", b"X-Mozilla-Status2", b"X-Mozilla-Keys"];

/// The attachments of one message, put on the shelf once however many accounts it goes to.
#[derive(Default)]
pub struct Attached {
    references: Option<Vec<AttachmentRef>>,
}

/// Why a message could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The shelf did not take an attachment.
    #[error("attachments: {0}")]
    Shelf(#[from] attachments::Error),
    /// The server is stopping, or this is a command on a closed DIR.
    #[error(transparent)]
    NotRunning(#[from] crate::house::NotRunning),
    /// Our bug.
    #[error("sealing: {0}")]
    Bug(String),
}

/// Seals `message` (trace headers included) to `recipient`. The attachments are durable before this returns;
/// if the commit never follows, they are orphans that the next start collects.
pub async fn seal(
    house: &House,
    recipient: &PublicKey,
    message: &[u8],
    attached: &mut Attached,
) -> Result<SealedMessage, SealError> {
    let (structure, split) = off_reactor(message, || {
        let structure = Structure::scan(message);
        let split = converter::split_scanned(message, &structure);
        (structure, split)
    });
    let references = match attached.references.take() {
        // The same body under other trace headers has the same cuts in the same order.
        Some(references) if references.len() == split.cuts.len() => references,
        _ => put_cuts(house, message, &split.cuts).await?,
    };
    attached.references = Some(references.clone());
    off_reactor(message, || {
        let summary = Summary::of_scanned(message, &structure);
        let (trigrams, summary) = (imap::trigrams(message, &summary), summary.encode());
        let attachments = references.iter().map(|reference| (reference.cid.clone(), reference.size)).collect();
        let content = split.into_content(references).map_err(|error| SealError::Bug(error.to_string()))?;
        let content = content.encode().map_err(|error| SealError::Bug(error.to_string()))?;
        let digest = content_digest(message);
        let plaintexts = Plaintexts { content: &content, summary: &summary, digest: None, trigrams: Some(&trigrams) };
        let sealed = house
            .sealer
            .seal_all(&mut OsRng, now_ms().unsigned_abs(), recipient, plaintexts)
            .map_err(|error| SealError::Bug(error.to_string()))?;
        Ok(SealedMessage {
            parts: SealedParts {
                content: sealed.content,
                summary: sealed.summary,
                trigrams: sealed.trigrams,
                size: message.len() as u64,
                attachments,
            },
            digest,
        })
    })
}

async fn put_cuts(house: &House, message: &[u8], cuts: &[Cut]) -> Result<Vec<AttachmentRef>, SealError> {
    let mut references = Vec::with_capacity(cuts.len());
    for cut in cuts {
        let plaintext = Bytes::from(cut.plaintext(message).into_owned());
        references.push(house.running()?.shelf.put(plaintext).await?);
    }
    Ok(references)
}

fn content_digest(message: &[u8]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    // Octets before `hashed` are dealt with; from there to `at` all is to be hashed.
    let (mut hashed, mut at, mut skipping) = (0, 0, false);
    while let Some(end) = memchr::memchr(b'\n', &message[at..]).map(|newline| at + newline + 1) {
        let line = &message[at..end];
        if line == b"\r\n" || line == b"\n" {
            break;
        }
        if !matches!(line[0], b' ' | b'\t') {
            let name = memchr::memchr(b':', line).map_or(&b""[..], |colon| line[..colon].trim_ascii_end());
            skipping = BOOKKEEPING.iter().any(|field| field.eq_ignore_ascii_case(name));
        }
        if skipping {
            context.update(&message[hashed..at]);
            hashed = end;
        }
        at = end;
    }
    context.update(&message[hashed..]);
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// Runs `work` here when it is short, and aside from the reactor when the message is large.
fn off_reactor<T>(message: &[u8], work: impl FnOnce() -> T) -> T {
    if message.len() > BLOCKING_BYTES { tokio::task::block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use super::content_digest;

    #[test]
    fn a_message_is_recognised_under_the_fields_of_the_client_that_copied_it() {
        let plain = content_digest(b"Subject: figs\r\nTo: a@b\r\n\r\nX-TUID: in the body\r\n");
        for copied in [
            &b"X-TUID: 123456789012\r\nSubject: figs\r\nTo: a@b\r\n\r\nX-TUID: in the body\r\n"[..],
            b"Subject: figs\r\nx-tuid: 1\r\nTo: a@b\r\n\r\nX-TUID: in the body\r\n",
            b"Subject: figs\r\nTo: a@b\r\nX-OfflineIMAP: 12\r\n folded\r\nX-TUID: 2\r\n\r\nX-TUID: in the body\r\n",
        ] {
            assert_eq!(content_digest(copied), plain, "{}", String::from_utf8_lossy(copied));
        }
        for other in [
            &b"Subject: figs\r\nTo: a@b\r\n\r\n"[..],
            b"Subject: figs\r\n\r\nX-TUID: in the body\r\n",
            b"Subject: figs\r\nTo: a@b\r\nX-TUIDE: 1\r\n\r\nX-TUID: in the body\r\n",
        ] {
            assert_ne!(content_digest(other), plain);
        }
    }

    #[test]
    fn without_such_fields_it_is_the_plain_sha_256() {
        for message in [&b""[..], b"\r\n", b"no header end", b"A: b\r\n\r\nbody", b"\n\nX", b"X: y\n"] {
            let plain = ring::digest::digest(&ring::digest::SHA256, message);
            assert_eq!(content_digest(message), plain.as_ref());
        }
    }
}
