//! The connection as a session sees it: commands in, gathered octets out, every wait with a deadline.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::compress::Deflate;
use crate::limits::{
    BUFFER_KEEP_BYTES, CLOSE_LINGER, COMPRESSOR_KEPT, OUTPUT_FLUSH_BYTES, READ_BYTES, READ_LITERAL_BYTES, WRITE_STALL,
};
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
    /// COMPRESS, once it is active. Boxed: few sessions have it.
    deflate: Option<Box<Deflate>>,
}

fn closed() -> Error {
    Error::from(ErrorKind::NotConnected)
}

impl Connection {
    pub(crate) fn new(wire: Box<dyn Wire>) -> Self {
        Self { wire: Some(wire), framer: Framer::new(), out: Vec::new(), deflate: None }
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
        let mut compressed = Vec::new();
        let mut pieces = self.out.chunks(OUTPUT_FLUSH_BYTES).peekable();
        while let Some(mut piece) = pieces.next() {
            if let Some(deflate) = &mut self.deflate {
                compressed.clear();
                deflate.compress(piece, &mut compressed);
                if pieces.peek().is_none() {
                    deflate.flush(&mut compressed);
                }
                piece = &compressed;
            }
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
        if let Some(deflate) = &mut self.deflate {
            let broken = |_| Error::new(ErrorKind::InvalidData, "what came is no DEFLATE");
            while !deflate.inflate(input).map_err(broken)? {
                deflate.raw().reserve(READ_BYTES);
                if wire.read_buf(deflate.raw()).await? == 0 {
                    return Err(Error::from(ErrorKind::UnexpectedEof));
                }
            }
            return Ok(());
        }
        input.reserve(if large { READ_LITERAL_BYTES } else { READ_BYTES });
        if wire.read_buf(input).await? == 0 {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
        Ok(())
    }

    /// As [`Connection::fill`], for what may be a long wait: what that does not need is given back.
    pub(crate) async fn fill_in_silence(&mut self) -> Result<()> {
        if self.is_compressed()
            && let Ok(filled) = timeout(COMPRESSOR_KEPT, self.fill()).await
        {
            return filled;
        }
        self.rest();
        self.fill().await
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.deflate.is_some()
    }

    /// From here on both directions are compressed; what was read already is, too.
    pub(crate) fn begin_compression(&mut self) {
        let early = self.framer.input().split();
        self.deflate = Some(Box::new(Deflate::new(early)));
    }

    /// From here on both directions are as they were before COMPRESS. Nothing may wait to be written.
    pub(crate) async fn end_compression(&mut self) -> Result<()> {
        let Some(mut deflate) = self.deflate.take() else { return Ok(()) };
        let wire = self.wire.as_mut().ok_or_else(closed)?;
        let mut inside = self.framer.input().split();
        // The end of the client's flush may still be on its way; nothing else may.
        while !deflate.is_at_flush() && inside.is_empty() {
            if !deflate.inflate(&mut inside).map_err(|_| Error::from(ErrorKind::InvalidData))? {
                deflate.raw().reserve(READ_BYTES);
                let read = timeout(WRITE_STALL, wire.read_buf(deflate.raw()));
                if read.await.map_err(|_| Error::from(ErrorKind::TimedOut))?? == 0 {
                    return Err(Error::from(ErrorKind::UnexpectedEof));
                }
            }
        }
        if !inside.is_empty() {
            return Err(Error::from(ErrorKind::InvalidData));
        }
        self.framer.input().extend_from_slice(&deflate.into_raw());
        Ok(())
    }

    /// Gives back what a long silence does not need.
    pub(crate) fn rest(&mut self) {
        if let Some(deflate) = &mut self.deflate {
            deflate.shrink();
        }
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

    /// Reads on for a moment after [`Connection::close`] and hears nothing: a socket that is dropped with unread octets
    /// in it takes back what was said last.
    pub(crate) async fn linger(&mut self) {
        let Some(wire) = self.wire.as_mut() else { return };
        let mut piece = [0; 1024];
        let drained = async { while matches!(wire.read(&mut piece).await, Ok(read) if read > 0) {} };
        // Whether the client closes in time is up to it.
        let _ = timeout(CLOSE_LINGER, drained).await;
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("out", &self.out.len()).finish_non_exhaustive()
    }
}
