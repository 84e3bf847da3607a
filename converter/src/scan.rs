//! Where the parts of a message begin and end (RFC 2046), in one pass and with exact offsets.
//!
//! Reads what Dovecot reads: a Content-Type makes a part MIME even without MIME-Version; a boundary
//! matches by prefix, the longest and then the innermost first; an inner multipart that never closes ends with
//! its parent; a part in multipart/digest is a message unless it says otherwise.

use std::ops::Range;

use memchr::memmem::Finder;

use crate::fields::{Field, fields, is_blank_line};
use crate::limits::{BOUNDARY_BYTES_MAX, DEPTH_MAX, PARTS_MAX};
use crate::octets::{Octets, header, line_end};
use crate::words::{content_type, media_type};

/// What a part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// Octets: text, an image, or anything past the limits.
    Leaf,
    /// Parts. Never none: an empty multipart gets one empty leaf, as in Dovecot's answers.
    Multipart,
    /// One message (message/rfc822): its only child.
    Message,
}

/// How a body is encoded, as far as it matters here (RFC 2045 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyEncoding {
    Plain,
    Base64,
    QuotedPrintable,
}

/// One part, or the message itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) kind: PartKind,
    /// Its header, with the blank line.
    pub(crate) header: Range<usize>,
    /// Its body, without the line ending that belongs to the boundary after it.
    pub(crate) body: Range<usize>,
    /// Index after its last descendant.
    pub(crate) after: u32,
    pub(crate) encoding: BodyEncoding,
    /// In multipart/digest, and without a Content-Type of its own.
    pub(crate) digested: bool,
    /// Says it has parts, but the limits did not let us look.
    pub(crate) opaque: bool,
    /// Stands where a part should be and is none.
    pub(crate) synthetic: bool,
}

/// The parts of a message, each before its children; the first is the message itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    pub(crate) parts: Vec<Part>,
}

impl Structure {
    /// Finds the parts of any octets. Linear in time; memory is bounded by [`PARTS_MAX`].
    pub fn scan(message: impl Octets) -> Self {
        let parts = Vec::with_capacity(4);
        let scanner = Scanner { message, parts, open: Vec::new(), boundaries: Vec::new(), sorted: Vec::new() };
        scanner.run()
    }

    /// Length of the message's own header, with the blank line.
    pub fn header_length(&self) -> usize {
        self.parts[0].header.end
    }

    /// The children of a part, in order.
    pub(crate) fn children(&self, parent: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.parts[parent].after as usize;
        let mut next = parent + 1;
        std::iter::from_fn(move || {
            let child = next;
            (child < end).then(|| {
                next = self.parts[child].after as usize;
                child
            })
        })
    }
}

struct Boundary {
    text: Vec<u8>,
    /// Place of its multipart in `open`.
    level: usize,
    digest: bool,
}

struct Scanner<O> {
    message: O,
    parts: Vec<Part>,
    /// The parts being read, outermost first.
    open: Vec<usize>,
    /// The boundaries that may come, outermost first.
    boundaries: Vec<Boundary>,
    /// Their indices, ordered by text and then from the outermost, each with the place here of its
    /// longest proper prefix: see [`Scanner::boundary_at`].
    sorted: Vec<(usize, Option<usize>)>,
}

/// A boundary line.
struct Hit {
    /// Where the line begins.
    line: usize,
    /// After the boundary's text.
    rest: usize,
    boundary: usize,
    closing: bool,
}

/// What the header of a part said.
struct Head {
    kind: PartKind,
    encoding: BodyEncoding,
    boundary: Option<Vec<u8>>,
    digest: bool,
    opaque: bool,
    digested: bool,
}

impl<O: Octets> Scanner<O> {
    fn run(mut self) -> Structure {
        let finder = Finder::new(b"\n--");
        let mut at = 0;
        let mut in_digest = false;
        'part: loop {
            // `at` is where the header of the next part begins.
            let (header_end, body_start, mut hit) = self.header_end(at);
            let head = self.head(at, header_end, in_digest);
            self.push(at..header_end, body_start, &head);
            if self.boundaries.is_empty() {
                // The limit was reached with this part: it has the rest, even if its header was cut short.
                hit = None;
            }
            if hit.is_none() {
                match head.kind {
                    PartKind::Message if head.encoding == BodyEncoding::Plain => {
                        (at, in_digest) = (body_start, false);
                        continue 'part;
                    }
                    PartKind::Message => self.push_encoded_message(body_start, head.encoding),
                    PartKind::Multipart | PartKind::Leaf => {}
                }
                if let Some(text) = head.boundary {
                    self.boundaries.push(Boundary { text, level: self.open.len() - 1, digest: head.digest });
                    self.sort_boundaries();
                }
                // A boundary may be the very first line of the body.
                hit = self.find(&finder, body_start.saturating_sub(1));
            }
            loop {
                let Some(found) = hit else {
                    self.close(0, self.message.size());
                    return Structure { parts: self.parts };
                };
                let Boundary { level, digest, .. } = self.boundaries[found.boundary];
                let end = self.before_line(found.line);
                self.close(level + 1, end);
                // What follows a closing one is the epilogue, up to a boundary of a parent.
                let left = if found.closing { found.boundary } else { found.boundary + 1 };
                if left < self.boundaries.len() {
                    self.boundaries.truncate(left);
                    self.sort_boundaries();
                }
                if found.closing {
                    hit = self.find(&finder, found.rest);
                } else {
                    (at, in_digest) = (line_end(&mut self.message, found.rest), digest);
                    continue 'part;
                }
            }
        }
    }

    /// Where the header that begins at `at` ends and its body begins, and the boundary that cut it short.
    fn header_end(&mut self, at: usize) -> (usize, usize, Option<Hit>) {
        let mut line = at;
        loop {
            let window = self.message.window(line, 2);
            let Some(&first) = window.first() else { return (line, line, None) };
            if is_blank_line(window, 0) {
                let end = line_end(&mut self.message, line);
                return (end, end, None);
            }
            if first == b'-'
                && let Some(hit) = self.boundary_at(line)
            {
                let end = self.before_line(line).max(at);
                return (end, end, Some(hit));
            }
            line = line_end(&mut self.message, line);
        }
    }

    /// The end of the line before `line`, without its ending.
    fn before_line(&mut self, line: usize) -> usize {
        let ending = line.min(2);
        let start = line - ending;
        let before = &self.message.window(start, ending)[..ending];
        let before = before.strip_suffix(b"\n").unwrap_or(before);
        start + before.strip_suffix(b"\r").unwrap_or(before).len()
    }

    fn head(&mut self, start: usize, end: usize, in_digest: bool) -> Head {
        let mut head = Head {
            kind: PartKind::Leaf,
            encoding: BodyEncoding::Plain,
            boundary: None,
            digest: false,
            opaque: false,
            digested: false,
        };
        let (mut typed, mut encoded) = (None, None);
        let header = header(&mut self.message, &(start..end));
        for field in fields(&header) {
            match first_of_mime(&field) {
                Some(MimeField::ContentType) if typed.is_none() => typed = Some(field.value),
                Some(MimeField::TransferEncoding) if encoded.is_none() => encoded = Some(field.value),
                _ => {}
            }
        }
        if let Some(value) = encoded {
            head.encoding = body_encoding(value);
        }
        match typed.and_then(|value| media_type(value).map(|(kind, subtype, _)| (value, kind, subtype))) {
            Some((value, kind, subtype)) if kind.eq_ignore_ascii_case(b"multipart") => {
                head.kind = PartKind::Multipart;
                head.digest = subtype.eq_ignore_ascii_case(b"digest");
                let typed = content_type(value);
                let boundary = typed.as_ref().and_then(|typed| typed.parameter("boundary")).unwrap_or_default();
                // Transport may strip trailing space, so RFC 2046 §5.1.1 forbids it in a boundary.
                let boundary = boundary.trim_ascii_end();
                if (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) {
                    head.boundary = Some(boundary.to_vec());
                }
            }
            Some((_, kind, subtype))
                if kind.eq_ignore_ascii_case(b"message")
                    // RFC 9051 §6.4.5.1: both have parts within.
                    && (subtype.eq_ignore_ascii_case(b"rfc822") || subtype.eq_ignore_ascii_case(b"global")) =>
            {
                head.kind = PartKind::Message;
            }
            Some(_) => {}
            None if in_digest => {
                // RFC 2046 §5.1.5: the default in a digest.
                head.kind = PartKind::Message;
                head.digested = true;
            }
            None => {}
        }
        // Room must be left for the one child that every message and multipart has.
        let full = self.open.len() + 1 >= DEPTH_MAX || self.parts.len() + 2 > PARTS_MAX;
        if head.kind != PartKind::Leaf && full {
            head.opaque = true;
            head.kind = PartKind::Leaf;
            head.boundary = None;
        }
        head
    }

    fn push(&mut self, header: Range<usize>, body_start: usize, head: &Head) {
        self.parts.push(Part {
            kind: head.kind,
            header,
            body: body_start..body_start,
            after: 0,
            encoding: head.encoding,
            digested: head.digested,
            opaque: head.opaque,
            synthetic: false,
        });
        self.open.push(self.parts.len() - 1);
        if self.parts.len() >= PARTS_MAX {
            // No further part: this one takes the rest.
            self.boundaries.clear();
            self.sorted.clear();
        }
    }

    /// A message that is encoded cannot be looked into: it appears as one without header.
    fn push_encoded_message(&mut self, at: usize, encoding: BodyEncoding) {
        let head =
            Head { kind: PartKind::Leaf, encoding, boundary: None, digest: false, opaque: false, digested: false };
        self.push(at..at, at, &head);
        if let Some(part) = self.parts.last_mut() {
            part.synthetic = true;
        }
    }

    /// Ends the open parts from `level` inwards at `end`.
    fn close(&mut self, level: usize, end: usize) {
        while self.open.len() > level {
            let Some(index) = self.open.pop() else { return };
            let body_start = self.parts[index].body.start;
            let end = end.max(body_start);
            self.parts[index].body.end = end;
            if self.parts[index].kind != PartKind::Leaf && index + 1 == self.parts.len() {
                self.parts.push(Part {
                    kind: PartKind::Leaf,
                    header: end..end,
                    body: end..end,
                    after: index as u32 + 2,
                    encoding: BodyEncoding::Plain,
                    digested: false,
                    opaque: false,
                    synthetic: true,
                });
            }
            self.parts[index].after = self.parts.len() as u32;
        }
    }

    /// The next boundary line after the LF at `from` or later.
    fn find(&mut self, finder: &Finder<'_>, from: usize) -> Option<Hit> {
        if self.boundaries.is_empty() {
            return None;
        }
        let length = finder.needle().len();
        let mut from = from;
        loop {
            let window = self.message.window(from, length);
            if window.len() < length {
                return None;
            }
            let Some(found) = finder.find(window) else {
                // It may begin in this window and end in the next.
                from += window.len() + 1 - length;
                continue;
            };
            let line = from + found + 1;
            if let Some(hit) = self.boundary_at(line) {
                return Some(hit);
            }
            from = line;
        }
    }

    /// The boundary that the line at `line` begins with, the longest and then the innermost that fits
    /// (RFC 2046 §5.1.1: the line may go on).
    ///
    /// A boundary that begins the text also begins the greatest one not above the text, so it is among
    /// that one's prefixes, which are linked: one binary search, instead of a comparison with each.
    fn boundary_at(&mut self, line: usize) -> Option<Hit> {
        let Self { message, boundaries, sorted, .. } = self;
        let after = message.window(line, BOUNDARY_BYTES_MAX + 4).strip_prefix(b"--")?;
        let text = &after[..after.len().min(BOUNDARY_BYTES_MAX)];
        let above = sorted.partition_point(|&(index, _)| boundaries[index].text.as_slice() <= text);
        let mut place = above.checked_sub(1)?;
        let greatest = &boundaries[sorted[place].0].text;
        let same = greatest.iter().zip(text).take_while(|(a, b)| a == b).count();
        loop {
            let (boundary, prefix) = sorted[place];
            let length = boundaries[boundary].text.len();
            if length <= same {
                let closing = after[length..].starts_with(b"--");
                return Some(Hit { line, rest: line + 2 + length, boundary, closing });
            }
            place = prefix?;
        }
    }

    /// Orders the boundaries anew, and links each to the place of its longest proper prefix.
    fn sort_boundaries(&mut self) {
        let Self { boundaries, sorted, .. } = self;
        sorted.clear();
        sorted.extend((0..boundaries.len()).map(|index| (index, None)));
        sorted.sort_by(|(a, _), (b, _)| boundaries[*a].text.cmp(&boundaries[*b].text).then(a.cmp(b)));
        for place in 1..sorted.len() {
            let text = &boundaries[sorted[place].0].text;
            let mut candidate = Some(place - 1);
            while let Some(shorter) = candidate {
                let prefix = &boundaries[sorted[shorter].0].text;
                if prefix.len() < text.len() && text.starts_with(prefix) {
                    break;
                }
                candidate = sorted[shorter].1;
            }
            sorted[place].1 = candidate;
        }
    }
}

/// The two fields that decide how a body is read.
enum MimeField {
    ContentType,
    TransferEncoding,
}

fn first_of_mime(field: &Field<'_>) -> Option<MimeField> {
    match field.name.len() {
        12 if field.is("Content-Type") => Some(MimeField::ContentType),
        25 if field.is("Content-Transfer-Encoding") => Some(MimeField::TransferEncoding),
        _ => None,
    }
}

fn body_encoding(value: &[u8]) -> BodyEncoding {
    let mut words = crate::words::Words::new(value);
    words.skip_cfws();
    let token = words.token();
    if token.eq_ignore_ascii_case(b"base64") {
        BodyEncoding::Base64
    } else if token.eq_ignore_ascii_case(b"quoted-printable") {
        BodyEncoding::QuotedPrintable
    } else {
        BodyEncoding::Plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bodies of the leaves.
    fn leaves(message: &str) -> Vec<&str> {
        let structure = Structure::scan(message.as_bytes());
        let leaves = structure.parts.iter().filter(|part| part.kind == PartKind::Leaf);
        leaves.map(|part| &message[part.body.clone()]).collect()
    }

    fn multipart(boundary: &str, inside: &str) -> String {
        format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\n\n{inside}")
    }

    #[test]
    fn the_longest_boundary_wins_and_then_the_innermost() {
        let inner = multipart("ab", "--ab\n\n1\n--a\n\n2\n--ab--\n");
        // `--a` ends the inner multipart, and then `--ab--` begins a part of the outer one, by prefix.
        assert_eq!(leaves(&multipart("a", &format!("--a\n{inner}--a--\n"))), ["1", "2", ""]);
        let same = multipart("a", "--a\n\n1\n--a--\n");
        assert_eq!(leaves(&multipart("a", &format!("--a\n{same}--a\n\n2\n--a--\n"))), ["1", "2"]);
    }

    #[test]
    fn boundaries_that_begin_one_another_are_told_apart() {
        let names = ["m", "ma", "mab", "mb", "mz", "n", "abc", "mabc"];
        let mut message = String::new();
        for name in names {
            message = format!("{message}{}", multipart(name, &format!("--{name}\n")));
        }
        message.push_str("\ninnermost\n--mabX\n\nof mab\n--mZ\n\nof m\n--zzz\nno boundary\n--l\n--\n");
        assert_eq!(leaves(&message), ["innermost", "of mab", "of m\n--zzz\nno boundary\n--l\n--\n"]);
    }

    #[test]
    fn a_body_ends_before_the_line_ending_of_its_boundary() {
        assert_eq!(leaves(&multipart("b", "--b\n\nx\r\n--b\n\ny\n\n--b\n\n--b--")), ["x", "y\n", ""]);
        assert_eq!(leaves(&multipart("b", "--b \t\n\nx --b\n --b\n--b-\n\ny")), ["x --b\n --b", "y"]);
    }
}
