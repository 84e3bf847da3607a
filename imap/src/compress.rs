//! COMPRESS=DEFLATE (RFC 4978): a raw DEFLATE stream in each direction (RFC 1951), flushed with every answer.
//!
//! Knows no socket. What a layer keeps while nobody speaks is small: the compressor is dropped after each long silence
//! (behind a flush a new one may go on: its blocks just refer to nothing before them), and the other direction keeps
//! only as much history as there was.

use bytes::{Buf as _, BytesMut};
use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress, create_comp_flags_from_zip_params,
};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use crate::limits::{COMPRESSION_LEVEL, INFLATE_PIECE_BYTES};

/// How far back a DEFLATE block may refer (RFC 1951 §2).
const WINDOW: usize = 32 * 1024;
/// What a flush ends with (RFC 1951 §3.2.4: an empty stored block); between two of these lies a whole number of octets.
const FLUSHED: u32 = 0x0000_ffff;
/// A raw stream, without zlib's header.
const RAW: i32 = -15;

/// Why input cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoDeflate;

/// Both directions of a compressed connection.
#[derive(Default)]
pub(crate) struct Deflate {
    inflate: Inflate,
    compressor: Option<Box<CompressorOxide>>,
}

/// What the client sends.
#[derive(Default)]
struct Inflate {
    /// As it came, not yet looked at.
    raw: BytesMut,
    machine: Box<DecompressorOxide>,
    /// The newest octets of what came out, what later blocks refer to: `used` of them, and room for more.
    history: Vec<u8>,
    used: usize,
    /// The last four octets that were inflated, for finding flushes.
    last: u32,
    /// Whether the machine holds more than the last piece had room for.
    more: bool,
    ended: bool,
}

impl std::fmt::Debug for Deflate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflate").field("raw", &self.inflate.raw.len()).finish_non_exhaustive()
    }
}

impl Deflate {
    /// Begins; `early` is what the client sent behind its command already.
    pub(crate) fn new(early: BytesMut) -> Self {
        Self { inflate: Inflate { raw: early, last: FLUSHED, ..Inflate::default() }, compressor: None }
    }

    /// Where the driver reads compressed octets into.
    pub(crate) fn raw(&mut self) -> &mut BytesMut {
        &mut self.inflate.raw
    }

    /// Inflates some of what is there into `out`, at most a piece: a bomb is as slow as what it blows up into. `false`:
    /// nothing is there, more has to be read.
    pub(crate) fn inflate(&mut self, out: &mut BytesMut) -> Result<bool, NoDeflate> {
        self.inflate.some(out)
    }

    /// Compresses `octets` behind what is in `out`.
    pub(crate) fn compress(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        self.run(octets, TDEFLFlush::None, out);
    }

    /// Ends with everything on its way that was compressed: who waits for an answer gets it whole (RFC 4978 §3).
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) {
        self.run(&[], TDEFLFlush::Sync, out);
    }

    fn run(&mut self, mut octets: &[u8], flush: TDEFLFlush, out: &mut Vec<u8>) {
        let compressor = self.compressor.get_or_insert_with(|| {
            let flags = create_comp_flags_from_zip_params(COMPRESSION_LEVEL, RAW, 0);
            Box::new(CompressorOxide::new(flags))
        });
        let mut piece = [0; 4096];
        loop {
            let (status, taken, made) = compress(compressor, octets, &mut piece, flush);
            octets = &octets[taken..];
            out.extend_from_slice(&piece[..made]);
            // A full piece may not have been all of it.
            let done = octets.is_empty() && made < piece.len();
            if done || status != TDEFLStatus::Okay {
                return;
            }
        }
    }

    /// Gives back what the silence does not need. To be called behind a flush.
    pub(crate) fn shrink(&mut self) {
        self.compressor = None;
        self.inflate.keep_window();
        self.inflate.history.truncate(self.inflate.used);
        self.inflate.history.shrink_to_fit();
        if self.inflate.raw.is_empty() {
            self.inflate.raw = BytesMut::new();
        }
    }

    /// Whether what was inflated ends with a flush: what comes next could be in the clear.
    pub(crate) fn is_at_flush(&self) -> bool {
        self.inflate.is_at_flush()
    }

    /// Ends the layer: octets that follow in the clear.
    pub(crate) fn into_raw(self) -> BytesMut {
        self.inflate.raw
    }
}

impl Inflate {
    fn some(&mut self, out: &mut BytesMut) -> Result<bool, NoDeflate> {
        if self.raw.is_empty() && !self.more {
            return Ok(false);
        }
        if self.ended {
            // RFC 1951: a last block ends the stream; a client that makes each command a stream of its own goes on with
            // a new one.
            self.machine.init();
            self.used = 0;
            self.ended = false;
        }
        // Up to a flush, so that what comes behind it is not looked at before the command in front of it is done: it
        // may be in the clear (RFC 8437 §4.1).
        let mut last = self.last;
        let flush = self.raw.iter().position(|&octet| {
            last = last << 8 | u32::from(octet);
            last == FLUSHED
        });
        let end = flush.map_or(self.raw.len(), |at| at + 1);
        if self.history.len() - self.used < INFLATE_PIECE_BYTES / 4 {
            self.keep_window();
            self.history.resize(self.used + INFLATE_PIECE_BYTES, 0);
        }
        let begin = self.used;
        let flags = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, taken, made) = decompress(&mut self.machine, &self.raw[..end], &mut self.history, begin, flags);
        self.used += made;
        out.extend_from_slice(&self.history[begin..self.used]);
        self.last = self.raw[..taken].iter().fold(self.last, |last, &octet| last << 8 | u32::from(octet));
        self.raw.advance(taken);
        self.more = status == TINFLStatus::HasMoreOutput;
        match status {
            TINFLStatus::Done => (self.ended, self.last) = (true, FLUSHED),
            TINFLStatus::NeedsMoreInput | TINFLStatus::HasMoreOutput => {}
            _ => return Err(NoDeflate),
        }
        Ok(true)
    }

    /// Forgets what no block can refer to any more.
    fn keep_window(&mut self) {
        let begin = self.used.saturating_sub(WINDOW);
        self.history.copy_within(begin..self.used, 0);
        self.used -= begin;
    }

    /// Whether the client stands behind a flush, or its stream's end.
    fn is_at_flush(&self) -> bool {
        self.last == FLUSHED && !self.more
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniz_oxide::deflate::compress_to_vec;

    /// What `deflate` sends for each of `answers`, each flushed.
    fn sent(deflate: &mut Deflate, answers: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for answer in answers {
            deflate.compress(answer, &mut out);
            deflate.flush(&mut out);
        }
        out
    }

    fn read(deflate: &mut Deflate, raw: &[u8], step: usize) -> Vec<u8> {
        let mut out = BytesMut::new();
        for piece in raw.chunks(step) {
            deflate.raw().extend_from_slice(piece);
            while deflate.inflate(&mut out).unwrap() {}
        }
        out.to_vec()
    }

    #[test]
    fn what_one_side_sends_the_other_reads_however_it_arrives_and_whatever_was_dropped_between() {
        let mut sender = Deflate::default();
        let long: Vec<u8> = (0..50_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let mut raw = sent(&mut sender, &[b"a OK done\r\n", &long]);
        sender.shrink();
        raw.extend(sent(&mut sender, &[b"b OK done\r\n", b"c OK done\r\n"]));
        let expected = [b"a OK done\r\n", &long[..], b"b OK done\r\nc OK done\r\n"].concat();
        for step in [1, 7, 4096, raw.len()] {
            assert!(read(&mut Deflate::new(BytesMut::new()), &raw, step) == expected, "in steps of {step}");
        }
    }

    #[test]
    fn a_flush_leaves_nothing_behind() {
        let mut sender = Deflate::default();
        let mut reader = Deflate::new(BytesMut::new());
        for length in [0, 1, 100, 4095, 4096, 4097, 100_000] {
            let answer = vec![b'x'; length];
            assert_eq!(read(&mut reader, &sent(&mut sender, &[&answer]), 999), answer);
            assert!(reader.is_at_flush());
        }
    }

    #[test]
    fn what_follows_a_flush_is_left_alone_until_it_is_asked_for() {
        let mut sender = Deflate::default();
        let mut raw = sent(&mut sender, &[b"a UNAUTHENTICATE\r\n"]);
        raw.extend_from_slice(b"b LOGIN x y\r\n");
        let mut reader = Deflate::new(BytesMut::from(&raw[..]));
        let mut out = BytesMut::new();
        assert!(reader.inflate(&mut out).unwrap() && reader.is_at_flush());
        assert_eq!(&out[..], b"a UNAUTHENTICATE\r\n");
        assert_eq!(reader.into_raw(), &b"b LOGIN x y\r\n"[..]);
    }

    #[test]
    fn a_stream_that_ends_is_followed_by_a_new_one() {
        let raw = [compress_to_vec(b"a NOOP\r\n", 6), compress_to_vec(b"b NOOP\r\n", 6)].concat();
        assert_eq!(read(&mut Deflate::new(BytesMut::new()), &raw, 3), b"a NOOP\r\nb NOOP\r\n");
    }

    #[test]
    fn a_bomb_comes_in_pieces_and_nonsense_is_an_error() {
        let mut reader = Deflate::new(BytesMut::from(&compress_to_vec(&vec![b'x'; 50_000_000], 9)[..]));
        let mut out = BytesMut::new();
        while reader.inflate(&mut out).unwrap() {
            assert!(out.len() <= INFLATE_PIECE_BYTES && reader.inflate.history.capacity() <= 4 * WINDOW);
            out.clear();
        }
        assert_eq!(Deflate::new(BytesMut::from(&b"a NOOP\r\nb NOOP\r\n"[..])).inflate(&mut out), Err(NoDeflate));
    }

    /// What docs/compatibility.md says of the memory of a compressed session that is idle.
    #[test]
    fn an_idle_layer_is_small() {
        let mut deflate = Deflate::new(BytesMut::new());
        let mut client = Deflate::default();
        let raw = sent(&mut client, &[&b"a UID FETCH 1:* (FLAGS)\r\n".repeat(20)]);
        read(&mut deflate, &raw, 4096);
        sent(&mut deflate, &[b"* OK\r\n"]);
        deflate.shrink();
        let idle = size_of::<Deflate>() + size_of::<DecompressorOxide>() + deflate.inflate.history.capacity();
        assert!(idle <= 16 * 1024 && deflate.compressor.is_none(), "{idle} octets");
    }
}
