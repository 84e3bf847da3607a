//! Canonical base64 as mail carries it: recognised exactly, decoded and encoded by range.
//!
//! ```text
//! offset in the body  o = row * (line + ending) + column
//! character           c = row * line + min(column, line)        four characters c/4*4.. hold
//! octet of the file   p = c / 4 * 3                             three octets p..
//! ```

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lnmp::{Encoding, LineEnding};

use crate::limits::BASE64_TAIL_BYTES_MAX;
use crate::octets::{Octets, Within, find};

/// Octets encoded at a time: whole groups of three, and small enough for the nearest cache.
const WINDOW_PLAIN_BYTES: usize = 6 * 1024;

/// A canonical base64 body: its shape and the size of what it encodes. All offsets fit in a `u64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    line: u64,
    ending: LineEnding,
    final_ending: bool,
    plain: u64,
    encoded: u64,
}

impl Form {
    /// The form of `plain` octets in this encoding; `None` when it is not base64, a line length is not
    /// a multiple of 4, or the body's size does not fit.
    pub(crate) fn new(encoding: Encoding, plain: u64) -> Option<Self> {
        let Encoding::Base64 { line, ending, final_ending } = encoding else { return None };
        if line == 0 || line % 4 != 0 {
            return None;
        }
        let line = u64::from(line);
        let chars = plain.div_ceil(3).checked_mul(4)?;
        let lines = chars.div_ceil(line);
        let endings = if final_ending { lines } else { lines.saturating_sub(1) };
        let encoded = endings.checked_mul(ending.octets().len() as u64)?.checked_add(chars)?;
        Some(Self { line, ending, final_ending, plain, encoded })
    }

    pub(crate) fn encoding(self) -> Encoding {
        // A line came from a u32 and was never changed.
        Encoding::Base64 { line: self.line as u32, ending: self.ending, final_ending: self.final_ending }
    }

    pub(crate) fn plain_size(self) -> u64 {
        self.plain
    }

    pub(crate) fn encoded_size(self) -> u64 {
        self.encoded
    }

    fn chars(self) -> u64 {
        self.plain.div_ceil(3) * 4
    }

    fn row_size(self) -> u64 {
        self.line + self.ending.octets().len() as u64
    }

    /// How many base64 characters stand before offset `at` of the body.
    fn chars_before(self, at: u64) -> u64 {
        let (row, column) = (at / self.row_size(), at % self.row_size());
        (row * self.line + column.min(self.line)).min(self.chars())
    }

    /// Where character `char` of the body stands.
    fn offset_of(self, char: u64) -> u64 {
        char + char / self.line * self.ending.octets().len() as u64
    }

    /// The octets of the file that must be read to write `encoded` of the body: whole groups of three.
    pub(crate) fn plain_range(self, encoded: &Range<u64>) -> Range<u64> {
        let (start, end) = (self.chars_before(encoded.start), self.chars_before(encoded.end));
        let first = start / 4 * 3;
        let last = if start == end { first } else { (end.div_ceil(4) * 3).min(self.plain) };
        // A range of nothing but line endings at the very end would start past the last octet.
        first.min(self.plain)..last.min(self.plain)
    }

    /// Writes `encoded` of the body. `plain` must be exactly the octets of [`Form::plain_range`].
    pub(crate) fn encode(self, plain: &[u8], encoded: Range<u64>, out: &mut Vec<u8>) {
        let ending = self.ending.octets();
        // A small window of characters at a time, so that a large body is never in memory twice.
        let mut window = [0_u8; WINDOW_PLAIN_BYTES / 3 * 4];
        let mut blocks = plain.chunks(WINDOW_PLAIN_BYTES);
        let mut window_start = self.chars_before(encoded.start) / 4 * 4;
        let mut window_end = window_start;
        out.reserve((encoded.end - encoded.start) as usize);
        let mut at = encoded.start;
        let (mut column, mut char) = (at % self.row_size(), self.chars_before(at));
        while at < encoded.end {
            let left = (encoded.end - at) as usize;
            let took = if column < self.line && char < self.chars() {
                if char == window_end || window_end == window_start {
                    let block = blocks.next().expect("the plaintext covers the range");
                    let size = STANDARD.encode_slice(block, &mut window).expect("the window holds a block");
                    (window_start, window_end) = (window_end, window_end + size as u64);
                }
                let run = ((self.line - column).min(window_end - char) as usize).min(left);
                let from = (char - window_start) as usize;
                out.extend_from_slice(&window[from..from + run]);
                char += run as u64;
                column += run as u64;
                run
            } else {
                // Inside an ending: of a full line after `line` characters, else of a short last line.
                let last_line = self.offset_of(self.chars().saturating_sub(1)) + 1;
                let into = if at >= last_line { at - last_line } else { column - self.line } as usize;
                let run = (ending.len() - into).min(left);
                out.extend_from_slice(&ending[into..into + run]);
                column = (column + run as u64) % self.row_size();
                run
            };
            at += took as u64;
        }
    }

    /// The octets of the body that must be read to decode `plain` of the file; `plain.start` is a multiple of 3.
    pub(crate) fn encoded_range(self, plain: &Range<u64>) -> Range<u64> {
        let (first, end) = (plain.start / 3 * 4, plain.end.div_ceil(3) * 4);
        let start = self.offset_of(first);
        start..if end > first { self.offset_of(end - 1) + 1 } else { start }
    }

    /// Decodes `plain` of the file. `body` must be exactly the octets of [`Form::encoded_range`].
    pub(crate) fn decode(self, body: &[u8], plain: Range<u64>, out: &mut Vec<u8>) {
        let start = self.encoded_range(&plain).start;
        let mut char = plain.start / 3 * 4;
        let end = plain.end.div_ceil(3) * 4;
        let mut text = Vec::with_capacity((end.saturating_sub(char)) as usize);
        while char < end {
            let run = (self.line - char % self.line).min(end - char);
            let from = (self.offset_of(char) - start) as usize;
            text.extend_from_slice(&body[from..from + run as usize]);
            char += run;
        }
        let before = out.len();
        out.resize(before + text.len() / 4 * 3, 0);
        let decoded =
            STANDARD.decode_slice(&text, &mut out[before..]).expect("every character was checked when recognised");
        out.truncate(before + decoded.min((plain.end - plain.start) as usize));
    }
}

/// Which octets are base64 characters (RFC 4648 §4), padding aside.
const ALPHABET: [bool; 256] = {
    let mut table = [false; 256];
    let chars = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut index = 0;
    while index < chars.len() {
        table[chars[index] as usize] = true;
        index += 1;
    }
    table
};

fn all_base64(text: &[u8]) -> bool {
    // Without a branch per octet, so that the compiler may look at several at once.
    text.iter().fold(true, |good, &byte| good & ALPHABET[usize::from(byte)])
}

/// Finds canonical base64 in a body: every line but the last of one length and with one ending, right
/// padding, and no bit left over, so that encoding again gives the very same octets. Blank lines
/// before it and a short tail after it do not matter; they are not part of the range returned.
pub(crate) fn recognise(body: &mut impl Octets) -> Option<(Form, Range<usize>)> {
    let size = body.size();
    let start = find(body, 0, |piece| piece.iter().position(|byte| !matches!(byte, b'\r' | b'\n')))?;
    let (line, ending) = match find(body, start, |piece| memchr::memchr(b'\n', piece)) {
        Some(lf) if lf > start && body.window(lf - 1, 1)[0] == b'\r' => (lf - 1 - start, LineEnding::Crlf),
        Some(lf) => (lf - start, LineEnding::Lf),
        // The first line may carry the tail: a lone line with stray space after it.
        None => (base64_run(body, start..size), LineEnding::Crlf),
    };
    if line == 0 || line % 4 != 0 || u32::try_from(line).is_err() {
        return None;
    }
    let octets = ending.octets();
    let row = line + octets.len();
    let rest = start + whole_rows(body, start, line, octets);
    // The last line: shorter, or padded, or without an ending.
    let last = base64_run(body, rest..size.min(rest + line));
    let rows = (rest - start) / row;
    let (chars, end, final_ending) = if last == 0 {
        (rows * line, rest, true)
    } else {
        let final_ending = body.window(rest + last, octets.len()).starts_with(octets);
        (rows * line + last, rest + last + if final_ending { octets.len() } else { 0 }, final_ending)
    };
    if chars == 0 || size - end > BASE64_TAIL_BYTES_MAX {
        return None;
    }
    let padding = if last == 0 {
        0
    } else {
        // At most the last two of a group of four.
        body.window(rest + last - 4, 4)[..4].iter().filter(|&&byte| byte == b'=').count()
    };
    let plain = (chars / 4 * 3 - padding) as u64;
    let form = Form::new(Encoding::Base64 { line: line as u32, ending, final_ending }, plain)?;
    // The shape must say what was found: the one check that all arithmetic above has to pass.
    if form.encoded_size() != (end - start) as u64 {
        return None;
    }
    Some((form, start..end))
}

/// Octets of the full lines, each `line` characters and `ending`, that stand at `start` and after.
fn whole_rows(body: &mut impl Octets, start: usize, line: usize, ending: &[u8]) -> usize {
    let row = line + ending.len();
    let mut at = start;
    while body.size() - at >= row {
        let window = body.window(at, row.min(ROW_WINDOW_BYTES));
        if window.len() >= row {
            let is_row = |row: &&[u8]| &row[line..] == ending && all_base64(&row[..line]);
            let rows = window.chunks_exact(row).take_while(is_row).count();
            if rows == 0 {
                break;
            }
            at += rows * row;
        } else if base64_chars(body, at..at + line) == line && body.window(at + line, ending.len()).starts_with(ending)
        {
            at += row;
        } else {
            break;
        }
    }
    at - start
}

/// Longer lines than this are read in pieces.
const ROW_WINDOW_BYTES: usize = 4096;

/// How many base64 characters, padding aside, a range begins with.
fn base64_chars(body: &mut impl Octets, range: Range<usize>) -> usize {
    let mut within = Within { octets: body, range };
    let end = find(&mut within, 0, |piece| piece.iter().position(|&byte| !ALPHABET[usize::from(byte)]));
    end.unwrap_or_else(|| within.range.len())
}

/// Length of the canonical base64 that a range begins with: whole groups of four, padded at most once.
fn base64_run(body: &mut impl Octets, range: Range<usize>) -> usize {
    let run = base64_chars(body, range.clone());
    let whole = run / 4 * 4;
    let group = body.window(range.start + whole, 4);
    let group = &group[..group.len().min(4).min(range.len() - whole)];
    let value = |byte: u8| ALPHABET_VALUES[usize::from(byte)];
    match group {
        // RFC 4648 §3.5: the bits that padding leaves over must be zero.
        [_, b, b'=', b'='] if run == whole + 2 && value(*b) & 0x0f == 0 => whole + 4,
        [_, _, c, b'='] if run == whole + 3 && value(*c) & 0x03 == 0 => whole + 4,
        _ => whole,
    }
}

/// The six bits of each base64 character.
const ALPHABET_VALUES: [u8; 256] = {
    let mut table = [0; 256];
    let chars = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut index = 0;
    while index < chars.len() {
        table[chars[index] as usize] = index as u8;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::octets::Windows;
    use crate::tests::support::Far;

    /// In memory, and the same in windows of all small sizes.
    fn recognise(body: &[u8]) -> Option<(Form, Range<usize>)> {
        let found = super::recognise(&mut &*body);
        for bytes in [1, 2, 3, 5, 8, 79] {
            let mut windows = Windows::of_size(Far(body), bytes);
            assert_eq!(super::recognise(&mut windows), found, "in windows of {bytes}");
        }
        found
    }

    fn written(plain: &[u8], line: usize, ending: &str, final_ending: bool) -> Vec<u8> {
        let text = STANDARD.encode(plain);
        let lines: Vec<_> = text.as_bytes().chunks(line).map(|chunk| std::str::from_utf8(chunk).unwrap()).collect();
        let mut out = lines.join(ending);
        if final_ending {
            out.push_str(ending);
        }
        out.into_bytes()
    }

    fn octets(count: usize) -> Vec<u8> {
        (0..count).map(|n| (n * 37 % 251) as u8).collect()
    }

    #[test]
    fn every_canonical_body_is_recognised_and_every_range_encodes_back() {
        for count in [1, 2, 3, 4, 5, 6, 44, 45, 46, 56, 57, 58, 114, 115, 200] {
            for (line, ending) in [(4, "\r\n"), (8, "\n"), (60, "\n"), (76, "\r\n"), (1000, "\n")] {
                for final_ending in [false, true] {
                    let plain = octets(count);
                    let body = written(&plain, line, ending, final_ending);
                    let (form, range) = recognise(&body).unwrap_or_else(|| panic!("{count} {line} {final_ending}"));
                    assert_eq!(range, 0..body.len());
                    assert_eq!((form.plain_size(), form.encoded_size()), (count as u64, body.len() as u64));
                    let mut decoded = Vec::new();
                    for start in (0..count).step_by(3) {
                        let some = start as u64..count.min(start + 3) as u64;
                        let encoded = form.encoded_range(&some);
                        form.decode(&body[encoded.start as usize..encoded.end as usize], some, &mut decoded);
                    }
                    assert_eq!(decoded, plain);
                    let size = body.len() as u64;
                    for start in 0..size {
                        for end in [start, start + 1, start + 3, start + 79, size] {
                            let end = end.clamp(start, size);
                            let needed = form.plain_range(&(start..end));
                            let mut out = Vec::new();
                            form.encode(&plain[needed.start as usize..needed.end as usize], start..end, &mut out);
                            assert_eq!(out, body[start as usize..end as usize], "{count} {line} {start}..{end}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_shape_follows_the_published_formula() {
        let form = Form::new(Encoding::Base64 { line: 76, ending: LineEnding::Crlf, final_ending: true }, 10_000_000);
        assert_eq!(form.expect("fits").encoded_size(), 13_684_214);
        for line in [0, 75] {
            assert_eq!(Form::new(Encoding::Base64 { line, ending: LineEnding::Lf, final_ending: true }, 1), None);
        }
        let huge = Encoding::Base64 { line: 4, ending: LineEnding::Crlf, final_ending: true };
        assert_eq!(Form::new(huge, u64::MAX), None);
        assert_eq!(Form::new(Encoding::Verbatim, 1), None);
    }

    #[test]
    fn blank_lines_and_short_tails_stay_outside() {
        let body = b"\r\nQUJD\r\nREVG\r\n\r\n_______\r\nlist footer\r\n";
        let (form, range) = recognise(body).expect("canonical");
        assert_eq!(&body[range], b"QUJD\r\nREVG\r\n");
        assert_eq!(form.plain_size(), 6);
        let (_, range) = recognise(b"QUJD  \r\n").map_or((None, 0..0), |(form, range)| (Some(form), range));
        assert_eq!(range, 0..0, "a first line with stray space has no line length");
    }

    #[test]
    fn what_would_not_come_back_is_not_canonical() {
        let tail = vec![b'!'; BASE64_TAIL_BYTES_MAX + 1];
        for body in [&b"QR=="[..], b"QUJ=", b"====", b"", b"\r\n", b"QUJ", b"!QUJD", b" QUJD\r\nQUJD"] {
            assert_eq!(recognise(body), None, "{}", String::from_utf8_lossy(body));
        }
        assert_eq!(recognise(&[b"QUJD\r\n", &tail[..]].concat()), None);
        // Padding in the middle ends the canonical part.
        let (_, range) = recognise(b"QQ==\r\nQUJD\r\n").expect("the first line");
        assert_eq!(range, 0..6);
        // So does another ending.
        let (_, range) = recognise(b"QUJD\r\nQUJD\nQUJD\r\n").expect("two lines");
        assert_eq!(range, 0..10);
    }
}
