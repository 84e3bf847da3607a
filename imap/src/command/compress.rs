//! COMPRESS (RFC 4978).

use crate::reply::{Run, Stop, Tagged};
use crate::session::Session;
use crate::wire::{Cursor, Parsed};

/// COMPRESS.
#[derive(Debug)]
pub(crate) struct Compress {
    deflate: bool,
}

impl Compress {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        Ok(Self { deflate: cursor.atom("Missing compression mechanism")?.eq_ignore_ascii_case("DEFLATE") })
    }

    pub(super) async fn run(self, session: &mut Session, tag: &str) -> Run {
        // RFC 4978 §3: BAD for an unknown mechanism, and when COMPRESS is active already. Our TLS never compresses, so
        // that no other layer can be in the way.
        if !self.deflate {
            return Ok(Tagged::bad("Unknown compression mechanism, DEFLATE is the only one"));
        }
        if session.io.is_compressed() {
            return Ok(Tagged::bad("[COMPRESSIONACTIVE] Compression is active already"));
        }
        // RFC 4978 §3: the tagged OK is the last that goes out as it is; what the client sends next is compressed.
        session.io.out.extend_from_slice(format!("{tag} OK Compression begins\r\n").as_bytes());
        session.io.flush().await?;
        session.io.begin_compression();
        Err(Stop::Answered)
    }
}
