//! Opened mails, and their way to the socket: from the store in batches, from the shelf in pieces.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use attachments::Shelf;
use bytes::Bytes;
use converter::{Layout, Piece, encode_base64_range};
use lnmp::Content;
use store::{AccountId, MessageId, Store, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::access::Reader;
use crate::io::Connection;
use crate::limits::{ATTACHMENT_PIECE_BYTES, CONTENT_BATCH, CONTENT_BATCH_BYTES, OPENING_THREADS};

/// A mail whose content is opened. Its attachments are still on the shelf.
#[derive(Debug)]
pub(crate) struct Mail {
    pub(crate) content: Content,
    pub(crate) layout: Layout,
}

/// Why octets of a mail are not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MailError {
    #[error("an attachment cannot be read: {0}")]
    Shelf(#[from] attachments::Error),
    #[error("an attachment is not what the content announces: {0}")]
    Layout(#[from] converter::LayoutError),
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
}

impl Mail {
    /// Opens a sealed content.
    ///
    /// That it was signed properly was checked before it was stored, and whoever could exchange blobs in the store
    /// could sign with a key of their own. The AEAD says that nothing changed since it was sealed to this account.
    fn open(opener: &lnmp::Opener, blob: Bytes) -> Option<Self> {
        // The blob's own octets become the mail's.
        let content = Content::decode(opener.open_stored(Vec::from(blob)).ok()?).ok()?;
        let layout = Layout::new(&content).ok()?;
        Some(Self { content, layout })
    }

    /// Octets in memory, about.
    pub(crate) fn footprint(&self) -> usize {
        self.content.skeleton.capacity() + self.content.attachments.len() * 512
    }

    /// The octets of one piece.
    async fn piece<'a>(&'a self, shelf: &dyn Shelf, piece: Piece) -> Result<std::borrow::Cow<'a, [u8]>, MailError> {
        Ok(match piece {
            Piece::Skeleton(range) => self.content.skeleton[range].into(),
            Piece::Verbatim { attachment, range } => {
                shelf.read(&self.content.attachments[attachment].reference, range).await?.to_vec().into()
            }
            Piece::Base64 { attachment, encoded_range, plain_range } => {
                let attachment = &self.content.attachments[attachment];
                let offset = plain_range.start;
                let plain = shelf.read(&attachment.reference, plain_range).await?;
                let encoding = attachment.place.encoding;
                encode_base64_range(&plain, offset, encoding, attachment.reference.size, encoded_range)?.into()
            }
        })
    }

    /// Reads the beginning of each attachment in `range`, so that a missing one is known before a literal is begun.
    pub(crate) async fn check(&self, shelf: &dyn Shelf, range: Range<u64>) -> Result<(), MailError> {
        for piece in self.layout.pieces(range) {
            let (attachment, start) = match piece {
                Piece::Skeleton(_) => continue,
                Piece::Verbatim { attachment, range } => (attachment, range.start),
                Piece::Base64 { attachment, plain_range, .. } => (attachment, plain_range.start),
            };
            let reference = &self.content.attachments[attachment].reference;
            shelf.read(reference, start..reference.size.min(start + 1)).await?;
        }
        Ok(())
    }

    /// Writes `range` of the mail to the connection. After an error fewer octets were written than `range` has, so
    /// that a begun literal cannot be ended.
    pub(crate) async fn write(
        &self,
        shelf: &dyn Shelf,
        range: Range<u64>,
        connection: &mut Connection,
    ) -> Result<(), MailError> {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + ATTACHMENT_PIECE_BYTES);
            for piece in self.layout.pieces(start..end) {
                let octets = self.piece(shelf, piece).await?;
                connection.write(&octets).await?;
            }
            start = end;
        }
        Ok(())
    }

    /// `range` of the mail in memory; the caller bounds it.
    pub(crate) async fn read(&self, shelf: &dyn Shelf, range: Range<u64>) -> Result<Vec<u8>, MailError> {
        let mut out = Vec::new();
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + ATTACHMENT_PIECE_BYTES);
            for piece in self.layout.pieces(start..end) {
                out.extend_from_slice(&self.piece(shelf, piece).await?);
            }
            start = end;
        }
        Ok(out)
    }
}

/// Opened mails of one batch. A message that is gone, or does not open, is not in it.
pub(crate) type Batch = HashMap<MessageId, Arc<Mail>>;

/// Reads and opens mails ahead of whoever writes or searches them: while one batch is in use, one more is ready and
/// a third in the making.
#[derive(Debug)]
pub(crate) struct Feed {
    batches: mpsc::Receiver<Result<Opening, StoreError>>,
    /// Rows of each batch, in order.
    plan: std::vec::IntoIter<Range<usize>>,
    reader: JoinHandle<()>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Feed {
    /// Starts reading `messages`, given with their sizes.
    pub(crate) fn start(store: Arc<dyn Store>, owner: Reader, messages: &[(MessageId, u64)]) -> Self {
        let plan = batches(messages);
        let asked: Vec<Vec<MessageId>> =
            plan.iter().map(|range| messages[range.clone()].iter().map(|(id, _)| *id).collect()).collect();
        let (sender, receiver) = mpsc::channel(1);
        let reader = tokio::spawn(async move {
            owner.room.agreements.load(&store, &owner).await;
            for ids in asked {
                let batch = read_batch(&*store, owner.account, &owner.opener, &ids).await;
                let failed = batch.is_err();
                if sender.send(batch).await.is_err() || failed {
                    return;
                }
            }
        });
        Self { batches: receiver, plan: plan.into_iter(), reader }
    }

    /// The next batch, and which of the messages it answers for; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<Result<(Range<usize>, Batch), StoreError>> {
        let range = self.plan.next()?;
        // The reader ends early only after an error, or by panicking.
        let opened = match self.batches.recv().await.unwrap_or(Err(StoreError::Busy)) {
            Ok(opening) => opening.finish().await,
            Err(error) => Err(error),
        };
        Some(opened.map(|batch| (range, batch)))
    }
}

/// Cuts the list so that no batch is larger than its bounds.
fn batches(messages: &[(MessageId, u64)]) -> Vec<Range<usize>> {
    let mut plan = Vec::new();
    let (mut start, mut bytes) = (0, 0_u64);
    for (at, (_, size)) in messages.iter().enumerate() {
        if at > start && (bytes.saturating_add(*size) > CONTENT_BATCH_BYTES || at - start == CONTENT_BATCH) {
            plan.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes = bytes.saturating_add(*size);
    }
    if start < messages.len() {
        plan.push(start..messages.len());
    }
    plan
}

/// Mails being opened on other threads, while the store reads on and the socket writes.
#[derive(Debug)]
struct Opening {
    opened: Batch,
    tasks: Vec<JoinHandle<Batch>>,
}

impl Opening {
    async fn finish(mut self) -> Result<Batch, StoreError> {
        for task in self.tasks {
            self.opened.extend(task.await.map_err(|_| StoreError::Busy)?);
        }
        Ok(self.opened)
    }
}

async fn read_batch(
    store: &dyn Store,
    account: AccountId,
    opener: &Arc<lnmp::Opener>,
    ids: &[MessageId],
) -> Result<Opening, StoreError> {
    // A mail copied within its mailbox is asked for once.
    let mut unique = ids.to_vec();
    unique.sort_unstable();
    unique.dedup();
    let mut sealed = match unique[..] {
        [id] => store.content(account, id).await?.map(|blob| (id, blob)).into_iter().collect(),
        _ => store.contents(account, &unique).await?,
    };
    let bytes: usize = sealed.iter().map(|(_, blob)| blob.len()).sum();
    // Decrypting a few kilobytes costs less than another thread's attention.
    if bytes < 32 * 1024 {
        return Ok(Opening { opened: open_all(account, opener, sealed), tasks: Vec::new() });
    }
    let each = sealed.len().div_ceil(OPENING_THREADS);
    let mut tasks = Vec::with_capacity(OPENING_THREADS);
    while !sealed.is_empty() {
        let some = sealed.split_off(sealed.len().saturating_sub(each));
        let opener = opener.clone();
        tasks.push(tokio::task::spawn_blocking(move || open_all(account, &opener, some)));
    }
    Ok(Opening { opened: Batch::new(), tasks })
}

fn open_all(account: AccountId, opener: &lnmp::Opener, sealed: Vec<(MessageId, Bytes)>) -> Batch {
    let open = |(id, blob): (MessageId, Bytes)| {
        let mail = Mail::open(opener, blob);
        if mail.is_none() {
            tracing::error!(account = account.0, message = id.0, "a content does not open");
        }
        Some((id, Arc::new(mail?)))
    };
    sealed.into_iter().filter_map(open).collect()
}

/// One mail.
pub(crate) async fn read_one(
    store: &dyn Store,
    account: AccountId,
    opener: &Arc<lnmp::Opener>,
    id: MessageId,
) -> Result<Option<Arc<Mail>>, StoreError> {
    Ok(read_batch(store, account, opener, &[id]).await?.finish().await?.remove(&id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_by_octets_and_number() {
        let large = CONTENT_BATCH_BYTES;
        let sized = |sizes: &[u64]| sizes.iter().map(|&size| (MessageId(1), size)).collect::<Vec<_>>();
        assert!(batches(&sized(&[])).is_empty());
        assert_eq!(
            batches(&sized(&[1, 1, large, 1, 9 * large, u64::MAX, u64::MAX])),
            [0..2, 2..3, 3..4, 4..5, 5..6, 6..7]
        );
        let many = batches(&sized(&vec![1; 2 * CONTENT_BATCH + 1]));
        assert_eq!(many.iter().map(ExactSizeIterator::len).collect::<Vec<_>>(), [CONTENT_BATCH, CONTENT_BATCH, 1]);
    }
}
