//! `lnmp-stream/1`: authenticated encryption that can be read from the middle (docs/protocol.md, attachments).
//!
//! The plaintext is cut into chunks of 65,520 octets; only the last may be shorter, and it is empty only when
//! the whole plaintext is. Each is sealed with AES-256-GCM under a key made for this attachment alone:
//!
//! ```text
//!   nonce  = index of the chunk, 11 octets big-endian ‖ 0x01 for the last chunk, else 0x00
//!   AD     = "lnmp-stream/1" ‖ octets of the whole plaintext, u64 big-endian
//!   stream = chunk 0 ‖ tag 0 ‖ chunk 1 ‖ tag 1 ‖ …      (65,536 octets each, so chunk i starts at i × 65,536)
//! ```
//! The layout of nonces is that of age's payload. Because the size is authenticated with every chunk, and tells
//! which chunk is the last, a stream that was cut, extended or reordered fails at the first chunk that is read:
//! a range needs its own chunks and no other.
//!
//! A nonce never repeats, because a key seals one stream: whoever calls [`Sealer::new`] makes a fresh key.

use std::ops::Range;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};

use crate::limits::{ATTACHMENT_BYTES_MAX, CHUNK_BYTES, LEAF_BYTES, SEALED_CHUNK_BYTES, TAG_BYTES};

/// Name and version of the format, as authenticated with every chunk.
pub const NAME: &[u8; 13] = b"lnmp-stream/1";

/// Why a stream could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// More plaintext than an attachment may have.
    #[error("{size} octets are more than the {max} an attachment may have")]
    TooLarge {
        /// Octets of plaintext.
        size: u64,
        /// See [`ATTACHMENT_BYTES_MAX`].
        max: u64,
    },
    /// The range does not lie within the plaintext.
    #[error("range {start}..{end} is outside {size} octets")]
    OutOfRange {
        /// First octet asked for.
        start: u64,
        /// One past the last octet asked for.
        end: u64,
        /// Octets of plaintext.
        size: u64,
    },
    /// The plaintext was longer or shorter than the size the stream was begun with.
    #[error("plaintext is not the {announced} octets that were announced")]
    NotAsAnnounced {
        /// Octets of plaintext announced.
        announced: u64,
    },
    /// A chunk fails authentication: changed, moved, of another stream, or the key or size is wrong.
    #[error("chunk {chunk} does not authenticate")]
    Tampered {
        /// Index of the chunk.
        chunk: u64,
    },
    /// The stream ends before the chunk does.
    #[error("the sealed stream ends before octet {wanted}")]
    Truncated {
        /// Octets of the sealed stream that were needed.
        wanted: u64,
    },
}

/// Where everything lies in a stream of a given plaintext size. Only made for sizes that are allowed, so the
/// arithmetic below cannot overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    size: u64,
}

impl Layout {
    /// The layout for `size` octets of plaintext.
    pub fn new(size: u64) -> Result<Self, StreamError> {
        if size > ATTACHMENT_BYTES_MAX {
            return Err(StreamError::TooLarge { size, max: ATTACHMENT_BYTES_MAX });
        }
        Ok(Self { size })
    }

    /// Octets of plaintext.
    pub fn size(self) -> u64 {
        self.size
    }

    /// Chunks in the stream; never zero.
    pub fn chunks(self) -> u64 {
        self.size.div_ceil(CHUNK_BYTES as u64).max(1)
    }

    /// Octets of the sealed stream.
    pub fn sealed_size(self) -> u64 {
        self.size + self.chunks() * TAG_BYTES as u64
    }

    /// IPFS leaves that the sealed stream fills; never zero.
    pub fn leaves(self) -> u64 {
        self.sealed_size().div_ceil(LEAF_BYTES as u64)
    }

    /// Octets of plaintext in chunk `index`.
    fn chunk_len(self, index: u64) -> usize {
        let start = index * CHUNK_BYTES as u64;
        (self.size - start).min(CHUNK_BYTES as u64) as usize
    }

    /// Checks that `range` lies within the plaintext.
    pub fn check(self, range: &Range<u64>) -> Result<(), StreamError> {
        if range.start > range.end || range.end > self.size {
            return Err(StreamError::OutOfRange { start: range.start, end: range.end, size: self.size });
        }
        Ok(())
    }

    /// The chunks that `range` touches, which must lie within the plaintext.
    fn chunks_of(self, range: &Range<u64>) -> Range<u64> {
        if range.is_empty() {
            return 0..0;
        }
        range.start / CHUNK_BYTES as u64..range.end.div_ceil(CHUNK_BYTES as u64)
    }
}

/// What seals and opens single chunks.
struct Cipher {
    key: LessSafeKey,
    layout: Layout,
}

impl Cipher {
    fn new(key: &[u8; 32], layout: Layout) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("a key of 32 octets is what AES-256 takes");
        Self { key: LessSafeKey::new(key), layout }
    }

    fn nonce(&self, index: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&index.to_be_bytes());
        nonce[11] = u8::from(index + 1 == self.layout.chunks());
        Nonce::assume_unique_for_key(nonce)
    }

    fn associated(&self) -> Aad<[u8; 21]> {
        let mut data = [0; 21];
        data[..13].copy_from_slice(NAME);
        data[13..].copy_from_slice(&self.layout.size.to_be_bytes());
        Aad::from(data)
    }

    fn seal(&self, index: u64, chunk: &mut [u8]) -> Tag {
        self.key
            .seal_in_place_separate_tag(self.nonce(index), self.associated(), chunk)
            .expect("a chunk is far below the 64 GiB that GCM allows")
    }

    fn open<'a>(&self, index: u64, sealed: &'a mut [u8]) -> Result<&'a [u8], StreamError> {
        self.key
            .open_in_place(self.nonce(index), self.associated(), sealed)
            .map(|plain| &*plain)
            .map_err(|_| StreamError::Tampered { chunk: index })
    }
}

/// Seals a plaintext piece by piece. Holds one chunk.
pub struct Sealer {
    cipher: Cipher,
    next: u64,
    chunk: Vec<u8>,
}

impl Sealer {
    /// Begins a stream. `key` must be fresh: a second stream under the same key would repeat nonces, which
    /// gives GCM's secrets away.
    pub fn new(key: &[u8; 32], layout: Layout) -> Self {
        Self { cipher: Cipher::new(key, layout), next: 0, chunk: Vec::with_capacity(SEALED_CHUNK_BYTES) }
    }

    /// Takes plaintext off the front of `data` until a chunk is full or `data` is empty. Returns the sealed
    /// chunk when one was completed; call again while `data` is not empty.
    pub fn fill(&mut self, data: &mut &[u8]) -> Result<Option<&[u8]>, StreamError> {
        if data.is_empty() {
            return Ok(None);
        }
        let layout = self.cipher.layout;
        if self.next * CHUNK_BYTES as u64 >= layout.size {
            return Err(StreamError::NotAsAnnounced { announced: layout.size });
        }
        // Left over from the chunk that the last call returned.
        if self.chunk.len() == SEALED_CHUNK_BYTES {
            self.chunk.clear();
        }
        let wanted = layout.chunk_len(self.next) - self.chunk.len();
        let (taken, rest) = data.split_at(wanted.min(data.len()));
        self.chunk.extend_from_slice(taken);
        *data = rest;
        Ok((taken.len() == wanted).then(|| self.complete()))
    }

    /// Ends the stream. Returns the one chunk of an empty plaintext; every other was returned by `fill`.
    pub fn finish(mut self) -> Result<Option<Vec<u8>>, StreamError> {
        let layout = self.cipher.layout;
        if layout.size == 0 {
            self.complete();
            return Ok(Some(self.chunk));
        }
        if self.next != layout.chunks() {
            return Err(StreamError::NotAsAnnounced { announced: layout.size });
        }
        Ok(None)
    }

    fn complete(&mut self) -> &[u8] {
        let tag = self.cipher.seal(self.next, &mut self.chunk);
        self.chunk.extend_from_slice(tag.as_ref());
        self.next += 1;
        &self.chunk
    }
}

/// Seals `plaintext` chunk by chunk, holding one at a time. `key` must be fresh, as for [`Sealer::new`].
pub fn seal(key: &[u8; 32], plaintext: &[u8]) -> Result<impl Iterator<Item = Vec<u8>>, StreamError> {
    let layout = Layout::new(plaintext.len() as u64)?;
    let cipher = Cipher::new(key, layout);
    Ok((0..layout.chunks()).map(move |index| {
        let start = index as usize * CHUNK_BYTES;
        let mut chunk = plaintext[start..start + layout.chunk_len(index)].to_vec();
        let tag = cipher.seal(index, &mut chunk);
        chunk.extend_from_slice(tag.as_ref());
        chunk
    }))
}

/// Where sealed octets come from.
pub trait ReadSealed {
    /// What goes wrong while reading, or with what was read.
    type Error: From<StreamError>;

    /// Fills `into` with the octets of the sealed stream from `offset` on. Asked for whole chunks only.
    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Self::Error>;
}

impl ReadSealed for &[u8] {
    type Error = StreamError;

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), StreamError> {
        let end = offset + into.len() as u64;
        let from = self.get(offset as usize..end as usize).ok_or(StreamError::Truncated { wanted: end })?;
        into.copy_from_slice(from);
        Ok(())
    }
}

/// Opens the octets `range` of the plaintext, reading only the chunks it touches. Holds the result and one chunk.
pub fn open_range<R: ReadSealed>(
    key: &[u8; 32],
    layout: Layout,
    range: Range<u64>,
    sealed: &mut R,
) -> Result<Vec<u8>, R::Error> {
    layout.check(&range)?;
    let cipher = Cipher::new(key, layout);
    let mut plain = Vec::with_capacity((range.end - range.start) as usize);
    let mut buffer = vec![0; SEALED_CHUNK_BYTES];
    for index in layout.chunks_of(&range) {
        let start = index * CHUNK_BYTES as u64;
        let len = layout.chunk_len(index);
        let chunk = &mut buffer[..len + TAG_BYTES];
        sealed.read_at(index * SEALED_CHUNK_BYTES as u64, chunk)?;
        let chunk = cipher.open(index, chunk)?;
        let from = range.start.saturating_sub(start) as usize;
        let to = (range.end - start).min(len as u64) as usize;
        plain.extend_from_slice(&chunk[from..to]);
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn text(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 31 + (i >> 8)) as u8).collect()
    }

    fn sealed(plain: &[u8]) -> Vec<u8> {
        seal(&KEY, plain).unwrap().flatten().collect()
    }

    fn open(len: usize, range: Range<u64>, sealed: &[u8]) -> Result<Vec<u8>, StreamError> {
        open_range(&KEY, Layout::new(len as u64)?, range, &mut &sealed[..])
    }

    const SIZES: [usize; 9] = [0, 1, 65_519, 65_520, 65_521, 131_040, 131_041, 200_000, 1_048_321];

    #[test]
    fn what_is_sealed_opens_again_at_every_size_around_a_chunk_border() {
        for len in SIZES {
            let plain = text(len);
            let sealed = sealed(&plain);
            assert_eq!(sealed.len() as u64, Layout::new(len as u64).unwrap().sealed_size(), "{len}");
            assert_eq!(open(len, 0..len as u64, &sealed).unwrap(), plain, "{len}");
        }
    }

    #[test]
    fn sealing_in_pieces_of_any_length_gives_the_same_stream() {
        for len in SIZES {
            let plain = text(len);
            for piece in [1_000, 65_519, 65_520, 65_536, 70_001] {
                let mut sealer = Sealer::new(&KEY, Layout::new(len as u64).unwrap());
                let mut out = Vec::new();
                for mut part in plain.chunks(piece) {
                    while !part.is_empty() {
                        out.extend_from_slice(sealer.fill(&mut part).unwrap().unwrap_or_default());
                    }
                }
                out.extend(sealer.finish().unwrap().unwrap_or_default());
                assert!(out == sealed(&plain), "{len} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn any_range_opens_to_the_same_slice_of_the_plaintext() {
        let plain = text(200_000);
        let sealed = sealed(&plain);
        let edges = [0, 1, 2, 65_519, 65_520, 65_521, 131_039, 131_040, 131_041, 196_559, 196_560, 199_999, 200_000];
        for start in edges {
            for end in edges.into_iter().filter(|end| *end >= start) {
                let got = open(200_000, start..end, &sealed).unwrap();
                assert!(got == plain[start as usize..end as usize], "{start}..{end}");
            }
        }
    }

    #[test]
    fn a_range_reads_no_chunk_it_does_not_touch() {
        struct Counting<'a>(&'a [u8], Vec<u64>);
        impl ReadSealed for Counting<'_> {
            type Error = StreamError;
            fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), StreamError> {
                self.1.push(offset / SEALED_CHUNK_BYTES as u64);
                (&mut &*self.0).read_at(offset, into)
            }
        }
        let sealed = sealed(&text(400_000));
        let mut source = Counting(&sealed, Vec::new());
        let layout = Layout::new(400_000).unwrap();
        open_range(&KEY, layout, 65_520 * 2..65_520 * 3, &mut source).unwrap();
        open_range(&KEY, layout, 65_519..65_521, &mut source).unwrap();
        open_range(&KEY, layout, 9..9, &mut source).unwrap();
        assert_eq!(source.1, [2, 0, 1]);
    }

    #[test]
    fn a_range_outside_the_plaintext_is_refused() {
        let sealed = sealed(&text(10));
        #[expect(clippy::reversed_empty_ranges, reason = "a caller may hand in nonsense")]
        for range in [0..11, 11..11, 5..4, 0..u64::MAX] {
            assert!(matches!(open(10, range, &sealed), Err(StreamError::OutOfRange { size: 10, .. })));
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let plain = text(70_000);
        let sealed = sealed(&plain);
        for at in (0..sealed.len()).step_by(997).chain([65_519, 65_520, 65_535, 65_536, sealed.len() - 1]) {
            let mut forged = sealed.clone();
            forged[at] ^= 0x10;
            let chunk = (at / SEALED_CHUNK_BYTES) as u64;
            assert_eq!(open(70_000, 0..70_000, &forged), Err(StreamError::Tampered { chunk }), "octet {at}");
        }
    }

    #[test]
    fn a_stream_cut_at_a_chunk_border_is_noticed_by_any_read_under_either_size() {
        let sealed = sealed(&text(131_040));
        let cut = &sealed[..SEALED_CHUNK_BYTES];
        // Under the true size the end is missing; under the size the cut pretends, nothing authenticates.
        assert!(matches!(open(131_040, 0..131_040, cut), Err(StreamError::Truncated { .. })));
        assert_eq!(open(65_520, 0..1, cut), Err(StreamError::Tampered { chunk: 0 }));
    }

    #[test]
    fn chunks_cannot_change_places() {
        let mut sealed = sealed(&text(131_040));
        let (one, two) = sealed.split_at_mut(SEALED_CHUNK_BYTES);
        one.swap_with_slice(two);
        assert_eq!(open(131_040, 0..1, &sealed), Err(StreamError::Tampered { chunk: 0 }));
    }

    #[test]
    fn more_or_less_plaintext_than_announced_is_refused() {
        let layout = Layout::new(10).unwrap();
        let mut sealer = Sealer::new(&KEY, layout);
        sealer.fill(&mut &[0; 9][..]).unwrap();
        assert_eq!(sealer.finish(), Err(StreamError::NotAsAnnounced { announced: 10 }));
        let mut sealer = Sealer::new(&KEY, layout);
        let mut data = &[0; 11][..];
        assert!(sealer.fill(&mut data).unwrap().is_some());
        assert_eq!(sealer.fill(&mut data), Err(StreamError::NotAsAnnounced { announced: 10 }));
    }

    #[test]
    fn a_size_beyond_the_limit_is_refused_and_the_limit_fills_exactly_one_root() {
        assert_eq!(Layout::new(ATTACHMENT_BYTES_MAX).unwrap().leaves(), crate::limits::LEAVES_MAX as u64);
        assert!(matches!(Layout::new(ATTACHMENT_BYTES_MAX + 1), Err(StreamError::TooLarge { .. })));
        assert!(matches!(Layout::new(u64::MAX), Err(StreamError::TooLarge { .. })));
    }
}
