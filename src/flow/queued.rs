//! A mail in the queue as it is carried: all in memory when it is small, else its beginning, and the rest piece by piece.

use std::io;

use futures::future::BoxFuture;
use smtp::client::Rest;
use smtp::{DkimKey, SignError};
use store::QueueItem;
use store::limits::OUTGOING_PIECE_BYTES;

use crate::flow::mail::HEADER_BYTES_MAX;
use crate::house::House;

/// Mails up to here are carried as a whole.
const WHOLE_BYTES_MAX: u64 = 1024 * 1024;
/// What of a larger one is in memory: its header, and whole pieces.
const BEGINNING_BYTES: u64 = (HEADER_BYTES_MAX / OUTGOING_PIECE_BYTES + 1) as u64 * OUTGOING_PIECE_BYTES as u64;

/// A queued mail.
pub struct Queued {
    mail: i64,
    size: u64,
    beginning: Vec<u8>,
}

impl Queued {
    /// Whether a mail is carried as a whole.
    pub fn is_small(item: &QueueItem) -> bool {
        item.size <= WHOLE_BYTES_MAX
    }

    /// Reads it; all of it where `whole` asks so. `None` when it was removed meanwhile.
    pub async fn read(house: &House, item: &QueueItem, whole: bool) -> store::Result<Option<Self>> {
        let range = if whole { 0..u64::MAX } else { 0..BEGINNING_BYTES };
        let beginning = house.store.outgoing_range(item.mail, range).await?;
        Ok(beginning.map(|beginning| Self { mail: item.mail, size: item.size, beginning }))
    }

    /// Its header and some of its body.
    pub fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// All of it, where that is in memory.
    pub fn whole(&self) -> Option<&[u8]> {
        (self.beginning.len() as u64 >= self.size).then_some(&self.beginning)
    }

    /// Signs it with each key, and looks for octets beyond ASCII, in one reading.
    pub async fn survey(&self, house: &House, keys: &[DkimKey]) -> io::Result<Survey> {
        if let Some(whole) = self.whole() {
            let signatures = keys.iter().map(|key| key.sign(whole)).collect();
            return Ok(Survey { signatures, is_ascii: true });
        }
        let mut below = Below { house, queued: self, is_ascii: true };
        let signers: Vec<_> = keys.iter().map(DkimKey::signer).collect();
        let mut signing: Vec<_> = signers.iter().map(smtp::Signer::begin).collect();
        signing.iter_mut().for_each(|one| one.write(&self.beginning));
        let mut at = 0;
        while at < below.size() {
            let piece = below.piece(at).await?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            signing.iter_mut().for_each(|one| one.write(&piece));
            below.is_ascii &= piece.is_ascii();
            at += piece.len() as u64;
        }
        let signatures = signing.into_iter().map(smtp::Signing::finish).collect();
        Ok(Survey { signatures, is_ascii: below.is_ascii })
    }

    /// What follows the beginning, where there is anything.
    pub fn rest<'a>(&'a self, house: &'a House, survey: &Survey) -> Option<Below<'a>> {
        self.whole().is_none().then_some(Below { house, queued: self, is_ascii: survey.is_ascii })
    }
}

/// What was found by reading all of a mail.
pub struct Survey {
    /// DKIM signatures, one field after the other.
    pub signatures: Result<String, SignError>,
    /// Whether all that follows the beginning is ASCII.
    is_ascii: bool,
}

/// What follows the beginning of a queued mail.
pub struct Below<'a> {
    house: &'a House,
    queued: &'a Queued,
    is_ascii: bool,
}

impl Rest for Below<'_> {
    fn size(&self) -> u64 {
        self.queued.size.saturating_sub(self.queued.beginning.len() as u64)
    }

    fn is_ascii(&self) -> bool {
        self.is_ascii
    }

    fn piece(&self, at: u64) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        let start = self.queued.beginning.len() as u64 + at;
        let range = start..start + OUTGOING_PIECE_BYTES as u64;
        Box::pin(async move {
            let piece = self.house.store.outgoing_range(self.queued.mail, range).await.map_err(io::Error::other)?;
            piece.ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }
}
