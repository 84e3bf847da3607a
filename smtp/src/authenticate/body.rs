//! Body hashes of a mail that is not in memory: its octets pass by once, for all signatures. RFC 6376 §3.4.3, §3.4.4.

use crate::limits::SPOOL_CHUNK_BYTES;
use crate::{Spool, SpoolError};
use mail_auth::AuthenticatedMessage;
use mail_auth::common::crypto::{HashAlgorithm, HashContext, HashImpl, HashOutput, Sha1, Sha256};
use mail_auth::common::headers::Writer;
use mail_auth::dkim::canonicalize::BodyHasher;

/// Puts in the hashes of the body, which is what of the header `mail-auth` takes for body, and `spool` from `at` on.
pub(super) fn hash(parsed: &mut AuthenticatedMessage<'_>, spool: &Spool, at: u64) -> Result<(), SpoolError> {
    hash_in_pieces(parsed, spool, at, SPOOL_CHUNK_BYTES as u64)
}

fn hash_in_pieces(
    parsed: &mut AuthenticatedMessage<'_>,
    spool: &Spool,
    at: u64,
    piece_bytes: u64,
) -> Result<(), SpoolError> {
    let wanted = parsed.body_hashes.iter();
    let mut hashers: Vec<_> = wanted
        .map(|(canonical, algorithm, l, _)| BodyHasher::new(Gathering::new(*algorithm), *canonical, *l))
        .collect();
    if hashers.is_empty() {
        return Ok(());
    }
    // A line without a colon ends the header for `mail-auth`: the rest of it is body.
    let rest = parsed.raw_body();
    hashers.iter_mut().for_each(|hasher| hasher.write(rest));
    let mut reader = spool.reader();
    let mut chunk = Vec::new();
    let mut at = at;
    while at < spool.len() {
        // To the end of a chunk of the file: each is opened once.
        let left = (piece_bytes - at % piece_bytes).min(spool.len() - at);
        chunk.resize(left as usize, 0);
        reader.read_at(at, &mut chunk)?;
        hashers.iter_mut().for_each(|hasher| hasher.write(&chunk));
        at += left;
    }
    for ((.., hash), hasher) in parsed.body_hashes.iter_mut().zip(hashers) {
        *hash = hasher.finish().0.complete().as_ref().to_vec();
    }
    Ok(())
}

/// Octets come one at a time, and are hashed many at a time.
struct Gathering {
    context: <Sha256 as HashImpl>::Context,
    pending: Vec<u8>,
}

/// How many.
const PENDING_BYTES: usize = 4096;

impl Gathering {
    fn new(algorithm: HashAlgorithm) -> Self {
        let context = match algorithm {
            HashAlgorithm::Sha1 => Sha1::hasher(),
            HashAlgorithm::Sha256 => Sha256::hasher(),
        };
        Self { context, pending: Vec::with_capacity(PENDING_BYTES) }
    }

    fn flush(&mut self) {
        self.context.write(&self.pending);
        self.pending.clear();
    }
}

impl Writer for Gathering {
    fn write(&mut self, octets: &[u8]) {
        if self.pending.len() + octets.len() > PENDING_BYTES {
            self.flush();
        }
        self.pending.extend_from_slice(octets);
    }
}

impl HashContext for Gathering {
    fn complete(mut self) -> HashOutput {
        self.flush();
        self.context.complete()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `mail-auth` makes of the whole, and what passes by in pieces, for every canonicalization, hash and some `l=`.
    fn assert_alike(header: &str, body: &[u8]) {
        let mut fields = String::new();
        for canonical in ["simple/simple", "relaxed/relaxed"] {
            for algorithm in ["rsa-sha256", "rsa-sha1"] {
                for l in ["", "l=1; ", "l=9; ", "l=99999999; "] {
                    fields += &format!(
                        "DKIM-Signature: v=1; a={algorithm}; c={canonical}; d=a.test; s=s; h=from; {l}bh=AA==; b=AA==\r\n"
                    );
                }
            }
        }
        let header = format!("{fields}{header}");
        let whole = [header.as_bytes(), body].concat();
        let expected = AuthenticatedMessage::parse_with_opts(&whole, None, false).unwrap();
        assert_eq!(expected.body_hashes.len(), 16);
        let spool = Spool::from_memory(whole.clone());
        for piece_bytes in (1..40).chain([SPOOL_CHUNK_BYTES as u64]) {
            let mut parsed = AuthenticatedMessage::parse_with_opts(header.as_bytes(), None, false).unwrap();
            hash_in_pieces(&mut parsed, &spool, header.len() as u64, piece_bytes).unwrap();
            assert_eq!(
                parsed.body_hashes,
                expected.body_hashes,
                "{:?} by {piece_bytes}",
                String::from_utf8_lossy(body)
            );
            assert_eq!(parsed.headers, expected.headers);
        }
    }

    #[test]
    fn a_body_that_passes_by_has_the_hashes_of_the_whole() {
        for body in ["", "\r\n", "\r\n\r\n", "a", "a\r\n\r\n", " \t a \t b \r\n \r\n\r\n", "a\nb\rc\n\n", " "] {
            assert_alike("From: x@a.test\r\n\r\n", body.as_bytes());
            let long = [body, &" long  line\t\r\n\r\n.\r\n".repeat(10), body].concat();
            assert_alike("From: x@a.test\r\n\r\n", long.as_bytes());
        }
    }

    #[test]
    fn a_header_that_ends_early_goes_on_as_body() {
        assert_alike("From: x@a.test\r\nno colon\r\nSubject: body\r\n\r\n", b"more\r\n");
        assert_alike("From: x@a.test\r\n", b"");
        assert_alike("From: x@a.test\n\n", b"lf\n");
    }
}
