//! The octets of a mail on their way through the house: all in memory when they are few, else only the header. The body of
//! a large mail stays in the spool and is read in windows.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use converter::{ReadAt, Windows};
use smtp::{Refusal, Spool, SpoolError, SpoolReader};

/// Octets of a header. A longer one is refused: the header is in memory, and is what a list view, a filter and a bounce
/// look at. A thousand recipients of some size fit several times; Postfix' limit is 100 KiB.
pub const HEADER_BYTES_MAX: usize = 512 * 1024;

/// What is read of a spool at a time.
const READ_BYTES: usize = 64 * 1024;

/// A mail as it came.
pub struct Arrived {
    top: Vec<u8>,
    body: Option<Arc<Spool>>,
}

impl Arrived {
    /// Looks where the header ends.
    pub async fn open(content: Spool) -> Result<Self, Refusal> {
        let failed = |_| Refusal::try_again();
        if content.in_memory().is_some() {
            return Ok(Self { top: content.read_all().await.map_err(failed)?, body: None });
        }
        let Some(top) = off_reactor(true, || header(&content)).map_err(failed)? else {
            // RFC 3463 §3.4: too big for the system.
            let text = format!("the header is larger than the {} KiB that are taken here", HEADER_BYTES_MAX / 1024);
            return Err(Refusal::new(552, (5, 3, 4), text));
        };
        Ok(Self { top, body: Some(Arc::new(content)) })
    }

    /// The header; of a small mail, the body too.
    pub fn top(&self) -> &[u8] {
        &self.top
    }

    /// Octets of the whole.
    pub fn size(&self) -> u64 {
        self.body.as_ref().map_or(self.top.len() as u64, |spool| spool.len())
    }

    /// All of the mail, where it is not in memory.
    pub fn spool(&self) -> Option<&Spool> {
        self.body.as_deref()
    }

    /// What follows [`Arrived::top`], to be stored.
    pub fn rest(&self) -> Option<Arc<dyn store::Rest>> {
        let spool = Arc::clone(self.body.as_ref()?);
        Some(Arc::new(Body { spool, from: self.top.len() as u64 }))
    }

    /// The mail with another `top` than [`Arrived::top`].
    pub fn under<'a>(&'a self, top: impl Into<Cow<'a, [u8]>>) -> Mail<'a> {
        Mail { top: top.into(), body: self.body.as_deref().map(|spool| (spool, self.top.len() as u64)) }
    }
}

/// The header of what is in a spool, with the blank line; `None` when it is too large.
fn header(content: &Spool) -> Result<Option<Vec<u8>>, SpoolError> {
    let mut reader = content.reader();
    let mut top = Vec::new();
    while (top.len() as u64) < content.len() && top.len() <= HEADER_BYTES_MAX {
        let at = top.len();
        let more = (content.len() - at as u64).min(READ_BYTES as u64) as usize;
        if at > 0 {
            top.reserve_exact(HEADER_BYTES_MAX + READ_BYTES - at);
        }
        top.resize(at + more, 0);
        reader.read_at(at as u64, &mut top[at..])?;
        let end = converter::header_length(&top);
        // At the very end of what was read, it may go on.
        if end < top.len() {
            top.truncate(end);
            top.shrink_to_fit();
            break;
        }
    }
    Ok(Some(top).filter(|top| top.len() <= HEADER_BYTES_MAX))
}

/// What lies in a spool from an octet on.
#[derive(Debug)]
struct Body {
    spool: Arc<Spool>,
    from: u64,
}

impl store::Rest for Body {
    fn size(&self) -> u64 {
        self.spool.len() - self.from
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.spool.reader().read_at(self.from + at, into).map_err(io::Error::other)
    }
}

/// A mail as it is kept.
pub struct Mail<'a> {
    top: Cow<'a, [u8]>,
    /// What follows: the spool, from this octet on.
    body: Option<(&'a Spool, u64)>,
}

impl<'a> From<&'a [u8]> for Mail<'a> {
    fn from(whole: &'a [u8]) -> Self {
        Self { top: whole.into(), body: None }
    }
}

impl Mail<'_> {
    /// The header; of a small mail, the body too.
    pub fn top(&self) -> &[u8] {
        &self.top
    }

    /// Octets of the whole.
    pub fn size(&self) -> u64 {
        self.top.len() as u64 + self.body.map_or(0, |(spool, from)| spool.len() - from)
    }

    /// The whole, where it is not in memory.
    pub fn windows(&self) -> Option<Windows<Below<'_>>> {
        self.body.map(|(spool, from)| {
            Windows::new(Below { top: &self.top, reader: spool.reader(), from, size: self.size() })
        })
    }

    /// All of it in memory.
    pub fn into_whole(self) -> Result<Vec<u8>, SpoolError> {
        let Self { top, body } = self;
        let mut whole = top.into_owned();
        if let Some((spool, from)) = body {
            off_reactor(true, || {
                let top = whole.len();
                whole.resize(top + (spool.len() - from) as usize, 0);
                spool.reader().read_at(from, &mut whole[top..])
            })?;
        }
        Ok(whole)
    }
}

/// The octets of a mail whose body is in a spool.
pub struct Below<'a> {
    top: &'a [u8],
    reader: SpoolReader<'a>,
    from: u64,
    size: u64,
}

impl ReadAt for Below<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let in_top = usize::try_from(at).ok().and_then(|at| self.top.get(at..)).unwrap_or_default();
        let (first, rest) = into.split_at_mut(in_top.len().min(into.len()));
        first.copy_from_slice(&in_top[..first.len()]);
        if rest.is_empty() {
            return Ok(());
        }
        let below = at + first.len() as u64 - self.top.len() as u64;
        self.reader.read_at(self.from + below, rest).map_err(io::Error::other)
    }
}

/// Runs `work` here when it is short, and aside from the reactor when it is `long`: it would hold a worker for a
/// millisecond and more.
pub fn off_reactor<T>(long: bool, work: impl FnOnce() -> T) -> T {
    if long { tokio::task::block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use converter::Octets as _;
    use smtp::SpoolArea;

    use super::*;

    async fn spooled(area: &SpoolArea, octets: &[u8]) -> Spool {
        let mut writer = area.writer();
        writer.append(octets).await.unwrap();
        writer.finish().await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_mail_is_the_same_in_memory_and_in_the_spool() {
        let directory = tempfile::tempdir().unwrap();
        let area = SpoolArea::open(directory.path()).unwrap();
        let body = b"line\r\n".repeat(60_000);
        // The header ends before, at and after the end of what is read at a time; or never.
        for filling in [10, READ_BYTES - 14, READ_BYTES - 13, READ_BYTES - 12, READ_BYTES - 11, READ_BYTES, 200_000] {
            for (header_end, body) in [("\r\n\r\n", &body[..]), ("\n\n", &body[..]), ("\r\n", &[][..])] {
                let message = [b"Subject: ", &b"x".repeat(filling)[..], header_end.as_bytes(), body].concat();
                let length = converter::header_length(&message);
                let far = Arrived::open(spooled(&area.clone().with_bounds(1, u64::MAX), &message).await).await.unwrap();
                let near = Arrived::open(Spool::from_memory(message.clone())).await.unwrap();
                assert!(far.spool().is_some() && near.spool().is_none());
                assert_eq!((far.top().len(), near.top().len()), (length, message.len()));

                let trace = b"Received: by us\r\n";
                let mail = far.under([&trace[..], far.top()].concat());
                let expected = [&trace[..], &message].concat();
                assert_eq!(mail.size(), expected.len() as u64);
                let mut windows = mail.windows().unwrap();
                for at in [0, trace.len(), trace.len() + length - 1, trace.len() + length, expected.len() - 3] {
                    let end = expected.len().min(at + 100_000);
                    assert!(windows.read(at..end) == expected[at..end], "{filling} at {at}");
                }
                assert!(windows.fault().is_none());
                assert!(mail.into_whole().unwrap() == expected);

                let rest = far.rest().unwrap();
                let mut stored = vec![0; rest.size() as usize];
                rest.read_at(0, &mut stored).unwrap();
                assert!(stored == message[length..] && near.rest().is_none());
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_monstrous_header_is_refused_and_a_large_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let area = SpoolArea::open(directory.path()).unwrap();
        let fields = |octets: usize| b"X: y\r\n".repeat(octets / 6);
        let large = [&fields(HEADER_BYTES_MAX - 10)[..], b"\r\nbody\r\n"].concat();
        assert!(Arrived::open(spooled(&area, &large).await).await.is_ok());
        for monster in [fields(HEADER_BYTES_MAX + 100_000), [&fields(HEADER_BYTES_MAX + 10)[..], b"\r\nbody"].concat()]
        {
            let refused = Arrived::open(spooled(&area, &monster).await).await.map(|_| ()).unwrap_err();
            assert_eq!((refused.code, refused.enhanced), (552, (5, 3, 4)));
            assert!(refused.text.contains("512 KiB"), "{}", refused.text);
        }
    }
}
