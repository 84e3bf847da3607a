//! From the octets of a message to what the store keeps: attachments on IPFS, the rest sealed.

use bytes::Bytes;
use converter::{Cut, Octets, Structure, Summary};
use futures::{StreamExt as _, stream};
use lnmp::{AttachmentRef, Plaintexts, PublicKey};
use rand::rngs::OsRng;
use ring::digest;
use store::SealedParts;

use crate::flow::mail::{Mail, off_reactor};
use crate::house::{House, now_ms};

/// Above this a conversion leaves the reactor to others.
const BLOCKING_BYTES: u64 = 256 * 1024;

/// Octets of an attachment that are decoded at a time: whole groups of base64, and so few that what reads them need not
/// leave the reactor.
const PIECE_BYTES: usize = 12 * 1024;
const _: () = assert!(PIECE_BYTES.is_multiple_of(3), "a piece ends with a group");

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
    /// The spool could not be read back.
    #[error("spool: {0}")]
    Spool(std::io::Error),
    /// Our bug.
    #[error("sealing: {0}")]
    Bug(String),
}

/// Seals `mail` (trace headers included) to `recipient`. The attachments are durable before this returns;
/// if the commit never follows, they are orphans that the next start collects.
pub async fn seal(
    house: &House,
    recipient: &PublicKey,
    mail: &Mail<'_>,
    attached: &mut Attached,
) -> Result<SealedMessage, SealError> {
    let Some(mut windows) = mail.windows() else { return seal_octets(house, recipient, mail.top(), attached).await };
    let sealed = seal_octets(house, recipient, &mut windows, attached).await;
    match windows.fault() {
        Some(fault) => Err(SealError::Spool(fault)),
        None => sealed,
    }
}

async fn seal_octets<O: Octets + Send>(
    house: &House,
    recipient: &PublicKey,
    mut message: O,
    attached: &mut Attached,
) -> Result<SealedMessage, SealError> {
    let size = message.size() as u64;
    let long = size > BLOCKING_BYTES;
    let (structure, mut split) = off_reactor(long, || {
        let structure = Structure::scan(&mut message);
        let split = converter::split_scanned(message, &structure);
        (structure, split)
    });
    let references = match attached.references.take() {
        // The same body under other trace headers has the same cuts in the same order.
        Some(references) if references.len() == split.cuts.len() => references,
        _ => put_cuts(house, &mut split.message, &split.cuts).await?,
    };
    attached.references = Some(references.clone());
    off_reactor(long, || {
        let message = &mut split.message;
        let (trigrams, summary) = {
            let summary = Summary::of_scanned(&mut *message, &structure);
            (imap::trigrams(&mut *message, &summary), summary.encode())
        };
        let digest = content_digest(message, structure.header_length());
        let attachments = references.iter().map(|reference| (reference.cid.clone(), reference.size)).collect();
        let content = split.into_content(references).map_err(|error| SealError::Bug(error.to_string()))?.encode();
        let content = content.map_err(|error| SealError::Bug(error.to_string()))?;
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
                size,
                attachments,
            },
            digest,
        })
    })
}

/// Puts each cut on the shelf, one piece in memory at a time.
async fn put_cuts<O: Octets + Send>(
    house: &House,
    message: &mut O,
    cuts: &[Cut],
) -> Result<Vec<AttachmentRef>, SealError> {
    let mut references = Vec::with_capacity(cuts.len());
    for cut in cuts {
        let message = &mut *message;
        let pieces = (0..cut.size())
            .step_by(PIECE_BYTES)
            .map(move |at| Ok(Bytes::from(cut.read(message, at..at + PIECE_BYTES as u64))));
        references.push(house.running()?.shelf.put_stream(cut.size(), stream::iter(pieces).boxed()).await?);
    }
    Ok(references)
}

fn content_digest(message: &mut impl Octets, header_length: usize) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    let header = message.read(0..header_length);
    // Octets before `hashed` are dealt with; from there to `at` all is to be hashed.
    let (mut hashed, mut at, mut skipping) = (0, 0, false);
    while let Some(end) = memchr::memchr(b'\n', &header[at..]).map(|newline| at + newline + 1) {
        let line = &header[at..end];
        if !matches!(line[0], b' ' | b'\t') {
            let name = memchr::memchr(b':', line).map_or(&b""[..], |colon| line[..colon].trim_ascii_end());
            skipping = BOOKKEEPING.iter().any(|field| field.eq_ignore_ascii_case(name));
        }
        if skipping {
            context.update(&header[hashed..at]);
            hashed = end;
        }
        at = end;
    }
    context.update(&header[hashed..]);
    let mut at = header.len();
    loop {
        let window = message.window(at, 1);
        if window.is_empty() {
            break;
        }
        context.update(window);
        at += window.len();
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

#[cfg(test)]
mod tests {
    fn content_digest(mut message: &[u8]) -> [u8; 32] {
        let header_length = converter::header_length(message);
        super::content_digest(&mut message, header_length)
    }

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
