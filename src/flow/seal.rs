//! From the octets of a message to what the store keeps: attachments on IPFS, the rest sealed.

use bytes::Bytes;
use converter::{Cut, Structure, Summary};
use lnmp::{AttachmentRef, PublicKey};
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
    /// SHA-256 of the whole message as a client sees it.
    pub digest: [u8; 32],
}

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
        let summary = Summary::of_scanned(message, &structure).encode();
        let attachments = references.iter().map(|reference| (reference.cid.clone(), reference.size)).collect();
        let content = split.into_content(references).map_err(|error| SealError::Bug(error.to_string()))?;
        let content = content.encode().map_err(|error| SealError::Bug(error.to_string()))?;
        let mut digest = [0; 32];
        digest.copy_from_slice(digest::digest(&digest::SHA256, message).as_ref());
        let sealed = house
            .sealer
            .seal(&mut OsRng, now_ms().unsigned_abs(), recipient, &content, &summary, None)
            .map_err(|error| SealError::Bug(error.to_string()))?;
        Ok(SealedMessage {
            parts: SealedParts {
                content: sealed.content,
                summary: sealed.summary,
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

/// Runs `work` here when it is short, and aside from the reactor when the message is large.
fn off_reactor<T>(message: &[u8], work: impl FnOnce() -> T) -> T {
    if message.len() > BLOCKING_BYTES { tokio::task::block_in_place(work) } else { work() }
}
