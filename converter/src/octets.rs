//! Where a mail's octets are: at hand in memory, or read in windows from wherever a large mail is kept.
//!
//! Everything that reads a whole mail is written once, for any [`Octets`]. For a slice a window is all that is left of
//! it, so that a small mail is read as fast as memory allows; for [`Windows`] it is a buffer of [`WINDOW_BYTES`].

use std::ops::{Deref, Range};

use crate::limits::{PART_HEADER_BYTES_MAX, WINDOW_BYTES};

/// The octets of a mail, in order and by range.
pub trait Octets {
    /// A range of them that is kept: borrowed where they are in memory.
    type Piece: Deref<Target = [u8]>;

    /// How many there are.
    fn size(&self) -> usize;

    /// Octets from `at` on: `least` of them, or all that are left where those are fewer; more where they are at hand.
    fn window(&mut self, at: usize, least: usize) -> &[u8];

    /// The octets of a range, as far as they are there.
    fn read(&mut self, range: Range<usize>) -> Self::Piece;
}

impl<'m> Octets for &'m [u8] {
    type Piece = &'m [u8];

    fn size(&self) -> usize {
        self.len()
    }

    #[inline]
    fn window(&mut self, at: usize, _least: usize) -> &[u8] {
        self.get(at..).unwrap_or_default()
    }

    #[inline]
    fn read(&mut self, range: Range<usize>) -> &'m [u8] {
        let end = range.end.min(self.len());
        &self[range.start.min(end)..end]
    }
}

impl<O: Octets> Octets for &mut O {
    type Piece = O::Piece;

    fn size(&self) -> usize {
        (**self).size()
    }

    #[inline]
    fn window(&mut self, at: usize, least: usize) -> &[u8] {
        (**self).window(at, least)
    }

    fn read(&mut self, range: Range<usize>) -> O::Piece {
        (**self).read(range)
    }
}

/// Octets that are kept elsewhere.
pub trait ReadAt {
    /// How many there are.
    fn size(&self) -> u64;

    /// Fills `into` with those from `at` on, which are there.
    fn read_at(&mut self, at: u64, into: &mut [u8]) -> std::io::Result<()>;
}

/// [`Octets`] of a [`ReadAt`], of which one window is in memory.
///
/// Reading a mail cannot fail, so a fault of the source is kept, and from then on it holds NULs: whoever made the
/// windows asks [`Windows::fault`] before anything becomes of what was found.
#[derive(Debug)]
pub struct Windows<R> {
    from: R,
    window: Vec<u8>,
    start: usize,
    bytes: usize,
    fault: Option<std::io::Error>,
}

impl<R: ReadAt> Windows<R> {
    /// Windows over all of `from`.
    pub fn new(from: R) -> Self {
        Self { from, window: Vec::new(), start: 0, bytes: WINDOW_BYTES, fault: None }
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn of_size(from: R, bytes: usize) -> Self {
        Self { bytes, ..Self::new(from) }
    }

    /// The first fault of the source, if there was one: then nothing that was read is to be used.
    pub fn fault(&mut self) -> Option<std::io::Error> {
        self.fault.take()
    }

    fn fill(&mut self, at: usize, into: &mut [u8]) {
        if self.fault.is_none() {
            self.fault = self.from.read_at(at as u64, into).err();
        }
        if self.fault.is_some() {
            into.fill(0);
        }
    }
}

impl<R: ReadAt> Octets for Windows<R> {
    type Piece = Vec<u8>;

    fn size(&self) -> usize {
        usize::try_from(self.from.size()).unwrap_or(usize::MAX)
    }

    fn window(&mut self, at: usize, least: usize) -> &[u8] {
        let left = self.size().saturating_sub(at);
        let wanted = least.min(left);
        if wanted == 0 {
            return &[];
        }
        let within = at.checked_sub(self.start).filter(|skip| skip + wanted <= self.window.len());
        let skip = within.unwrap_or_else(|| {
            let mut window = std::mem::take(&mut self.window);
            window.resize(least.max(self.bytes).min(left), 0);
            self.fill(at, &mut window);
            (self.window, self.start) = (window, at);
            0
        });
        &self.window[skip..]
    }

    fn read(&mut self, range: Range<usize>) -> Vec<u8> {
        let end = range.end.min(self.size());
        let start = range.start.min(end);
        let mut out = vec![0; end - start];
        let within = start.checked_sub(self.start).and_then(|skip| self.window.get(skip..skip + out.len()));
        match within {
            Some(octets) => out.copy_from_slice(octets),
            None => self.fill(start, &mut out),
        }
        out
    }
}

/// A range of other octets.
pub(crate) struct Within<'o, O> {
    pub(crate) octets: &'o mut O,
    pub(crate) range: Range<usize>,
}

impl<O: Octets> Octets for Within<'_, O> {
    type Piece = O::Piece;

    fn size(&self) -> usize {
        self.range.len()
    }

    fn window(&mut self, at: usize, least: usize) -> &[u8] {
        let left = self.range.len().saturating_sub(at);
        let window = self.octets.window(self.range.start + at, least.min(left));
        &window[..window.len().min(left)]
    }

    fn read(&mut self, range: Range<usize>) -> O::Piece {
        let end = self.range.start + range.end.min(self.range.len());
        self.octets.read((self.range.start + range.start).min(end)..end)
    }
}

/// Where the first octet stands, from `at` on, that `find` finds in a piece.
pub(crate) fn find(octets: &mut impl Octets, at: usize, find: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
    let mut from = at;
    loop {
        let window = octets.window(from, 1);
        if window.is_empty() {
            return None;
        }
        if let Some(found) = find(window) {
            return Some(from + found);
        }
        from += window.len();
    }
}

/// The offset after the LF that ends the line at `at`, or the end.
#[inline]
pub(crate) fn line_end(octets: &mut impl Octets, at: usize) -> usize {
    match find(octets, at, |piece| memchr::memchr(b'\n', piece)) {
        Some(lf) => lf + 1,
        None => octets.size().max(at),
    }
}

/// Line feeds in a range.
pub(crate) fn count_lines(octets: &mut impl Octets, range: Range<usize>) -> u64 {
    let (mut at, end) = (range.start, range.end.min(octets.size()));
    let mut lines = 0;
    while at < end {
        let window = octets.window(at, 1);
        let window = &window[..window.len().min(end - at)];
        lines += memchr::memchr_iter(b'\n', window).count() as u64;
        at += window.len();
    }
    lines
}

/// The header of a part, as far as it is looked into.
pub(crate) fn header<O: Octets>(octets: &mut O, range: &Range<usize>) -> O::Piece {
    octets.read(range.start..range.end.min(range.start + PART_HEADER_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::support::Far;

    #[test]
    fn windows_show_what_a_slice_shows() {
        let octets: Vec<u8> = (0..100).collect();
        for bytes in [1, 2, 7, 64, 200] {
            let mut windows = Windows::of_size(Far(&octets), bytes);
            for at in [0, 5, 4, 99, 100, 101, 50, 51] {
                for least in [0, 1, 3, 60] {
                    let there = octets.get(at..).unwrap_or_default();
                    let window = windows.window(at, least);
                    assert!(window.len() >= least.min(there.len()), "{at} {least} in {bytes}");
                    assert_eq!(window, &there[..window.len()], "{at} {least} in {bytes}");
                }
                let mut slice = &octets[..];
                assert_eq!(windows.read(at..at + 9), slice.read(at..at + 9));
            }
            assert!(windows.fault().is_none());
        }
    }

    #[test]
    fn a_range_ends_where_it_ends() {
        let mut octets = &b"one\ntwo\nthree"[..];
        let mut within = Within { octets: &mut octets, range: 4..8 };
        assert_eq!((within.size(), within.window(0, 9)), (4, &b"two\n"[..]));
        assert_eq!(within.window(3, 9), b"\n");
        assert_eq!(within.read(1..99), &b"wo\n"[..]);
        assert_eq!(within.read(7..9), &b""[..]);
        assert_eq!((line_end(&mut within, 0), count_lines(&mut within, 0..4)), (4, 1));
        assert_eq!((line_end(&mut octets, 8), count_lines(&mut octets, 0..99)), (13, 2));
    }

    #[test]
    fn a_fault_is_kept_and_what_follows_is_nul() {
        struct Broken;
        impl ReadAt for Broken {
            fn size(&self) -> u64 {
                1 << 20
            }

            fn read_at(&mut self, _at: u64, _into: &mut [u8]) -> std::io::Result<()> {
                Err(std::io::ErrorKind::NotFound.into())
            }
        }
        let mut windows = Windows::new(Broken);
        assert!(windows.window(7, 100).iter().all(|&octet| octet == 0));
        assert_eq!(windows.read(0..3), [0; 3]);
        assert_eq!(windows.fault().map(|fault| fault.kind()), Some(std::io::ErrorKind::NotFound));
    }
}
