//! The connection as a session sees it: commands in, gathered octets out, every wait with a deadline.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::limits::{BUFFER_KEEP_BYTES, OUTPUT_FLUSH_BYTES, READ_BYTES, READ_LITERAL_BYTES, WRITE_STALL};
use crate::wire::Framer;

/// What a session talks through: TCP, TLS over it, or a test's pipe.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Wire for T {}

/// A connection with its buffers.
pub(crate) struct Connection {
    wire: Option<Box<dyn Wire>>,
    pub(crate) framer: Framer,
    /// Octets to be written: append here, then [`Connection::relieve`] or [`Connection::flush`].
    pub(crate) out: Vec<u8>,
}

fn closed() -> Error {
    Error::from(ErrorKind::NotConnected)
}

impl Connection {
    pub(crate) fn new(wire: Box<dyn Wire>) -> Self {
        Self { wire: Some(wire), framer: Framer::new(), out: Vec::new() }
    }

    /// Takes the stream out to be wrapped in TLS.
    pub(crate) fn take_wire(&mut self) -> Result<Box<dyn Wire>> {
        self.wire.take().ok_or_else(closed)
    }

    pub(crate) fn put_wire(&mut self, wire: Box<dyn Wire>) {
        self.wire = Some(wire);
    }

    /// Writes everything gathered.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let wire = self.wire.as_mut().ok_or_else(closed)?;
        // A client that takes nothing for so long is gone; one that takes something gets on with the next piece.
        for piece in self.out.chunks(OUTPUT_FLUSH_BYTES) {
            timeout(WRITE_STALL, wire.write_all(piece)).await.map_err(|_| Error::from(ErrorKind::TimedOut))??;
        }
        timeout(WRITE_STALL, wire.flush()).await.map_err(|_| Error::from(ErrorKind::TimedOut))??;
        self.out.clear();
        Ok(())
    }

    /// Writes what was gathered once it is much.
    pub(crate) async fn relieve(&mut self) -> Result<()> {
        if self.out.len() >= OUTPUT_FLUSH_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Appends octets of any number, never holding more than a few pieces.
    pub(crate) async fn write(&mut self, mut octets: &[u8]) -> Result<()> {
        while !octets.is_empty() {
            let room = (2 * OUTPUT_FLUSH_BYTES).saturating_sub(self.out.len()).min(octets.len());
            let (piece, rest) = octets.split_at(room);
            self.out.extend_from_slice(piece);
            octets = rest;
            self.relieve().await?;
        }
        Ok(())
    }

    /// Gives large buffers back before a wait.
    pub(crate) fn shrink(&mut self) {
        if self.out.is_empty() && self.out.capacity() > BUFFER_KEEP_BYTES {
            self.out = Vec::new();
        }
        self.framer.shrink(BUFFER_KEEP_BYTES);
    }

    /// Reads some octets. May be dropped at any time without losing any.
    pub(crate) async fn fill(&mut self) -> Result<()> {
        let wire = self.wire.as_mut().ok_or_else(closed)?;
        let large = self.framer.is_within_literal();
        let input = self.framer.input();
        input.reserve(if large { READ_LITERAL_BYTES } else { READ_BYTES });
        if wire.read_buf(input).await? == 0 {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
        Ok(())
    }

    /// Says goodbye as far as the other side lets us.
    pub(crate) async fn close(&mut self) {
        let ended = async {
            self.flush().await?;
            if let Some(wire) = self.wire.as_mut() {
                wire.shutdown().await?;
            }
            Ok::<_, Error>(())
        };
        // The peer may be gone already; nobody is left to tell.
        let _ = timeout(Duration::from_secs(5), ended).await;
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("out", &self.out.len()).finish_non_exhaustive()
    }
}
