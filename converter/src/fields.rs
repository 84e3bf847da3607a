//! Header fields over raw octets (RFC 5322 §2.2), and the two things done with them as octets:
//! picking fields for IMAP and taking out forged ones.
//!
//! Only LF ends a line; a CR before it belongs to the ending. Nothing here decodes.

use std::borrow::Cow;
use std::ops::Range;

use crate::limits::{FIELD_VALUES_MAX, REMOVED_NAMES_MAX};
use crate::text::decode_unstructured;

/// One header field, folded as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Where it begins in the block.
    pub start: usize,
    /// The whole field with its line endings.
    pub raw: &'a [u8],
    /// Its name without trailing whitespace; empty for a line without a colon.
    pub name: &'a [u8],
    /// What follows the colon, with the line endings of folding but not the last one.
    pub value: &'a [u8],
}

impl Field<'_> {
    /// Compares the name without case (RFC 5322 §1.2.2).
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Where its value stands, in a mail where the block begins at `block`.
    pub(crate) fn value_range(&self, block: usize) -> Range<usize> {
        let end = block + self.start + without_ending(self.raw).len();
        end - self.value.len()..end
    }
}

/// The fields of a header block, in order. Ends at the blank line or the end.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    block: &'a [u8],
    at: usize,
}

/// Iterates over the fields at the top of `block`: a message, a part, or a header alone.
pub fn fields(block: &[u8]) -> Fields<'_> {
    Fields { block, at: 0 }
}

/// The offset after the LF that ends the line at `at`, or the end.
pub(crate) fn line_end(bytes: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |lf| at + lf + 1)
}

/// `line` without its ending.
pub(crate) fn without_ending(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether a blank line begins at `at`: CR LF, or LF alone.
pub(crate) fn is_blank_line(bytes: &[u8], at: usize) -> bool {
    matches!(&bytes[at..], [b'\n', ..] | [b'\r', b'\n', ..])
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let (block, start) = (self.block, self.at);
        if start >= block.len() || is_blank_line(block, start) {
            return None;
        }
        let first_line = line_end(block, start);
        let mut end = first_line;
        while end < block.len() && matches!(block[end], b' ' | b'\t') {
            end = line_end(block, end);
        }
        self.at = end;
        let raw = &block[start..end];
        let body = without_ending(raw);
        let first = without_ending(&block[start..first_line]);
        // A field cannot begin with a space: that would be the continuation of nothing.
        let colon = if matches!(raw[0], b' ' | b'\t') { None } else { memchr::memchr(b':', first) };
        let (name, value) = match colon {
            Some(colon) => (body[..colon].trim_ascii_end(), &body[colon + 1..]),
            None => (&raw[..0], body),
        };
        Some(Field { start, raw, name, value })
    }
}

/// Length of the header at the top of `message`, including the blank line that ends it.
pub fn header_length(message: &[u8]) -> usize {
    let mut at = 0;
    while at < message.len() {
        if is_blank_line(message, at) {
            return line_end(message, at);
        }
        at = line_end(message, at);
    }
    at
}

/// The values of the fields of this name, decoded (RFC 2047) and each on one line; at most [`FIELD_VALUES_MAX`].
pub fn field_values(message: &[u8], name: &str) -> Vec<String> {
    let values = fields(message).filter(|field| field.is(name)).take(FIELD_VALUES_MAX);
    values.map(|field| decode_unstructured(field.value)).collect()
}

/// Which fields [`header_fields`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// Those named: `HEADER.FIELDS`.
    Named,
    /// All others: `HEADER.FIELDS.NOT`.
    Others,
}

/// The answer to `BODY[HEADER.FIELDS (names)]` and its `.NOT`: whole fields, folded as written, in the
/// order of the header, and always the blank line (RFC 3501 §6.4.5).
pub fn header_fields<N: AsRef<[u8]>>(header: &[u8], names: &[N], pick: Pick) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    for field in fields(header) {
        let named = !field.name.is_empty() && names.iter().any(|name| field.name.eq_ignore_ascii_case(name.as_ref()));
        if named == (pick == Pick::Named) {
            out.extend_from_slice(field.raw);
            if !field.raw.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Takes out the fields that forge ours: `Authentication-Results` bearing our authserv-id (RFC 8601 §5)
/// and every `LNMP-*`, unless `covered` says that a passing signature covers them.
///
/// `covered(name, occurrence)` gets the name in lower case, and which of that name it is, counted from
/// the *bottom* of the header (0 the lowest), because DKIM signs repeated fields in that order
/// (RFC 6376 §5.4.2).
///
/// Returns the message (borrowed when nothing was taken) and the names of what was taken, printable,
/// at most [`REMOVED_NAMES_MAX`] of them.
pub fn strip_forged<'a>(
    message: &'a [u8],
    authserv_id: &str,
    covered: &dyn Fn(&str, usize) -> bool,
) -> (Cow<'a, [u8]>, Vec<String>) {
    let suspects: Vec<Field<'_>> = fields(message).filter(|field| forgeable(field.name)).collect();
    if suspects.is_empty() {
        return (Cow::Borrowed(message), Vec::new());
    }
    let mut counts: Vec<(String, usize)> = Vec::new();
    let mut taken: Vec<Field<'_>> = Vec::new();
    for field in suspects.iter().rev() {
        let name = String::from_utf8_lossy(field.name).to_ascii_lowercase();
        // Distinct names are few in honest mail; a flood of invented ones is taken out uncounted.
        if counts.len() < REMOVED_NAMES_MAX && !counts.iter().any(|(seen, _)| *seen == name) {
            counts.push((name.clone(), 0));
        }
        let count = counts.iter_mut().find(|(seen, _)| *seen == name).map(|(_, count)| count);
        let occurrence = count.map(|count| {
            *count += 1;
            *count - 1
        });
        let ours = !field.is("Authentication-Results") || names_authserv(field.value, authserv_id);
        if ours && !occurrence.is_some_and(|occurrence| covered(&name, occurrence)) {
            taken.push(*field);
        }
    }
    if taken.is_empty() {
        return (Cow::Borrowed(message), Vec::new());
    }
    taken.reverse();
    let mut out = Vec::with_capacity(message.len());
    let mut from = 0;
    for field in &taken {
        out.extend_from_slice(&message[from..field.start]);
        from = field.start + field.raw.len();
    }
    out.extend_from_slice(&message[from..]);
    let names = taken.iter().take(REMOVED_NAMES_MAX).map(|field| printable(field.name)).collect();
    (Cow::Owned(out), names)
}

fn forgeable(name: &[u8]) -> bool {
    name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"LNMP-"))
        || name.eq_ignore_ascii_case(b"Authentication-Results")
}

/// Whether an Authentication-Results value names this authserv-id, comments and quotes aside.
fn names_authserv(value: &[u8], authserv_id: &str) -> bool {
    let mut words = crate::words::Words::new(value);
    words.skip_cfws();
    let found = match words.quoted() {
        Some(quoted) => quoted,
        None => words.until(|byte| matches!(byte, b';' | b'/' | b'(') || byte.is_ascii_whitespace()).to_vec(),
    };
    // A trailing dot names the same host.
    let found = found.strip_suffix(b".").unwrap_or(&found);
    found.eq_ignore_ascii_case(authserv_id.trim_end_matches('.').as_bytes())
}

/// A field name fit to stand in a field of ours.
fn printable(name: &[u8]) -> String {
    name.iter().take(76).map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_folded_and_stop_at_the_blank_line() {
        let block = b"A: 1\r\n 2\r\nno colon\r\nB : x\n\r\nC: body\r\n";
        let all: Vec<_> = fields(block).collect();
        assert_eq!(all.len(), 3);
        assert_eq!((all[0].name, all[0].value), (&b"A"[..], &b" 1\r\n 2"[..]));
        assert_eq!(all[1].name, b"");
        assert_eq!((all[2].name, all[2].value), (&b"B"[..], &b" x"[..]));
        assert_eq!(header_length(block), block.len() - b"C: body\r\n".len());
    }

    #[test]
    fn picked_fields_keep_their_folding_and_end_with_a_blank_line() {
        let header = b"From: a\r\nSubject: x\r\n y\r\nDate: z\r\n\r\n";
        assert_eq!(header_fields(header, &["SUBJECT", "xyz"], Pick::Named), b"Subject: x\r\n y\r\n\r\n");
        assert_eq!(header_fields(header, &["subject"], Pick::Others), b"From: a\r\nDate: z\r\n\r\n");
        assert_eq!(header_fields(header, &["none"], Pick::Named), b"\r\n");
        assert_eq!(header_fields(b"To: x", &["to"], Pick::Named), b"To: x\r\n\r\n");
    }

    #[test]
    fn forged_fields_are_taken_out_and_named() {
        let message: &[u8] = b"Authentication-Results: (c) MX.satchel.test; spf=pass\r\nlnmp-Relation : friend\r\n\
            Authentication-Results: other.test; x\r\nFrom: a@b\r\n\r\nLNMP-Body: stays\r\n";
        let (clean, names) = strip_forged(message, "mx.satchel.test", &|_, _| false);
        assert_eq!(&*clean, b"Authentication-Results: other.test; x\r\nFrom: a@b\r\n\r\nLNMP-Body: stays\r\n");
        assert_eq!(names, ["Authentication-Results", "lnmp-Relation"]);
    }

    #[test]
    fn signed_fields_stay_and_are_counted_from_the_bottom() {
        let message: &[u8] = b"LNMP-Price: 1\r\nLNMP-Price: 2\r\n\r\n";
        let (clean, names) = strip_forged(message, "x", &|name, occurrence| name == "lnmp-price" && occurrence == 0);
        assert_eq!(&*clean, b"LNMP-Price: 2\r\n\r\n");
        assert_eq!(names.len(), 1);
        assert!(matches!(strip_forged(b"From: a\r\n\r\n", "x", &|_, _| false).0, Cow::Borrowed(_)));
    }
}
