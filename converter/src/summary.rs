//! What a list view needs of a mail, computed once when it arrives and stored beside it.

use std::ops::Range;

use crate::fields::fields;
use crate::limits::{MESSAGE_ID_BYTES_MAX, PARTS_MAX, SUMMARY_HEADER_BYTES_MAX};
use crate::octets::Octets;
use crate::preview::preview;
use crate::render::render;
use crate::scan::{PartKind, Structure};
use crate::text::{SentDate, parse_date};
use crate::words::unfold;

/// Where one part lies in the mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRange {
    /// What it holds.
    pub kind: PartKind,
    /// Its header with the blank line, in octets of the mail.
    pub header: Range<u64>,
    /// Its body, in octets of the mail.
    pub body: Range<u64>,
    /// Index after its last descendant.
    pub after: u32,
}

/// Which octets of a part are meant (RFC 3501 §6.4.5, `section-text`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionKind {
    /// `BODY[]`, `BODY[2]`: the whole mail, or the body of a part.
    Whole,
    /// `HEADER`: of the mail, or of the mail inside a message/rfc822 part.
    Header,
    /// `TEXT`: its body.
    Text,
    /// `MIME`: the header of the part itself.
    Mime,
}

/// The summary of one mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Octets of the mail: RFC822.SIZE.
    pub size: u64,
    /// The answer to `ENVELOPE`, parentheses included.
    pub envelope: Vec<u8>,
    /// The answer to `BODY`.
    pub body: Vec<u8>,
    /// The answer to `BODYSTRUCTURE`.
    pub bodystructure: Vec<u8>,
    /// The mail's header with the blank line; when [`Summary::header_truncated`], whole fields of its beginning.
    pub header: Vec<u8>,
    /// The header exceeds [`SUMMARY_HEADER_BYTES_MAX`]: read it from the mail.
    pub header_truncated: bool,
    /// The Date field, where it can be read. SEARCH SENT* and SORT DATE; they fall back to INTERNALDATE.
    pub sent: Option<SentDate>,
    /// The Message-ID with its brackets, where there is one.
    pub message_id: Option<String>,
    /// The first words (RFC 8970), empty where there are none; `None` in a summary of version 1, which has no preview.
    pub preview: Option<String>,
    /// The parts, each before its children; the first is the mail itself.
    pub parts: Vec<PartRange>,
}

/// Octets that are no summary of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SummaryError {
    /// A later version wrote it, or nothing of ours did.
    #[error("summary of version {0}, versions 1 to {VERSION} are known")]
    Version(u8),
    /// Cut short.
    #[error("summary ends before its {0}")]
    Short(&'static str),
    /// A value that no summary has.
    #[error("summary has an impossible {0}")]
    Value(&'static str),
    /// More octets than the summary has.
    #[error("{0} octets after the summary")]
    Long(usize),
}

/// First octet of the encoding. Version 1 has no preview, everything else is the same.
const VERSION: u8 = 2;

impl Summary {
    /// Summarises a mail as it will be shown, trace fields included.
    pub fn of(message: &[u8]) -> Self {
        Self::of_scanned(message, &Structure::scan(message))
    }

    /// [`Summary::of`] for a mail that was scanned already.
    pub fn of_scanned(mut message: impl Octets, structure: &Structure) -> Self {
        let rendered = render(&mut message, structure);
        let preview = preview(&mut message, structure);
        let header_length = structure.header_length();
        // One octet more than is kept shows whether the last field goes on.
        let beginning = message.read(0..header_length.min(SUMMARY_HEADER_BYTES_MAX + 1));
        let header = if header_length <= SUMMARY_HEADER_BYTES_MAX { &*beginning } else { whole_fields(&beginning) };
        let (mut sent, mut message_id) = (None, None);
        for field in fields(header) {
            if sent.is_none() && field.is("Date") {
                sent = parse_date(field.value);
            } else if message_id.is_none() && field.is("Message-ID") && field.value.len() <= MESSAGE_ID_BYTES_MAX {
                message_id = Some(String::from_utf8_lossy(&unfold(field.value)).into_owned());
            }
        }
        let wide = |range: &Range<usize>| range.start as u64..range.end as u64;
        let parts = structure.parts.iter();
        Self {
            size: message.size() as u64,
            envelope: rendered.envelope,
            body: rendered.body,
            bodystructure: rendered.bodystructure,
            header: header.to_vec(),
            header_truncated: header.len() < header_length,
            sent,
            message_id: message_id.filter(|id| !id.is_empty()),
            preview: Some(preview),
            parts: parts
                .map(|part| PartRange {
                    kind: part.kind,
                    header: wide(&part.header),
                    body: wide(&part.body),
                    after: part.after,
                })
                .collect(),
        }
    }

    /// Where a section lies in the mail; `None` when there is no such part, or the section makes no
    /// sense for it (`HEADER` and `TEXT` of a part that is no message, `MIME` of the mail itself).
    pub fn section(&self, path: &[u32], kind: SectionKind) -> Option<Range<u64>> {
        if path.is_empty() {
            let top = self.parts.first()?;
            return match kind {
                SectionKind::Whole => Some(0..self.size),
                SectionKind::Header => Some(top.header.clone()),
                SectionKind::Text => Some(top.body.clone()),
                SectionKind::Mime => None,
            };
        }
        let index = self.part(path)?;
        let part = &self.parts[index];
        let inside = || {
            let message = part.kind == PartKind::Message;
            if message { self.parts.get(index + 1) } else { None }
        };
        match kind {
            SectionKind::Whole => Some(part.body.clone()),
            SectionKind::Mime => Some(part.header.clone()),
            SectionKind::Header => inside().map(|message| message.header.clone()),
            SectionKind::Text => inside().map(|message| message.body.clone()),
        }
    }

    /// The index in [`Summary::parts`] of the part that a path of numbers from 1 names.
    pub fn part(&self, path: &[u32]) -> Option<usize> {
        // A message's own content: the mail, or the only child of a message/rfc822.
        let (mut content, mut part): (Option<usize>, Option<usize>) = (Some(0), None);
        for &number in path {
            let within = match (content, part) {
                (Some(content), _) => content,
                // RFC 3501 §6.4.5: below a message come the parts of the mail in it.
                (None, Some(part)) if self.parts.get(part)?.kind == PartKind::Message => part + 1,
                (None, part) => part?,
            };
            let found = match self.parts.get(within)?.kind {
                PartKind::Multipart => self.child(within, number)?,
                // A mail that is not multipart has one part, numbered 1: its body. A part has none.
                _ if Some(within) != part && number == 1 => within,
                _ => return None,
            };
            (content, part) = (None, Some(found));
        }
        part
    }

    fn child(&self, parent: usize, number: u32) -> Option<usize> {
        if number == 0 {
            return None;
        }
        let end = self.parts[parent].after as usize;
        let mut child = parent + 1;
        // Ends at the last child at the latest, so a huge number costs no more than a real one.
        for _ in 1..number {
            if child >= end {
                return None;
            }
            child = self.parts.get(child)?.after as usize;
        }
        (child < end.min(self.parts.len())).then_some(child)
    }

    /// The summary as octets: a version, then numbers as LEB128 and strings with their lengths.
    pub fn encode(&self) -> Vec<u8> {
        let strings = [&self.envelope, &self.body, &self.bodystructure, &self.header];
        let size = strings.iter().map(|string| string.len() + 3).sum::<usize>() + self.parts.len() * 12 + 128;
        let mut out = Vec::with_capacity(size);
        out.push(VERSION);
        put(&mut out, self.size);
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.push(
            flag(self.header_truncated, 1)
                | flag(self.sent.is_some(), 2)
                | flag(self.message_id.is_some(), 4)
                | flag(self.preview.is_some(), 8),
        );
        if let Some(sent) = self.sent {
            out.extend_from_slice(&sent.unix.to_le_bytes());
            out.extend_from_slice(&sent.zone_minutes.to_le_bytes());
        }
        let texts = self.message_id.iter().chain(&self.preview).map(String::as_bytes);
        for string in strings.into_iter().map(Vec::as_slice).chain(texts) {
            put(&mut out, string.len() as u64);
            out.extend_from_slice(string);
        }
        put(&mut out, self.parts.len() as u64);
        for (index, part) in self.parts.iter().enumerate() {
            out.push(match part.kind {
                PartKind::Leaf => 0,
                PartKind::Multipart => 1,
                PartKind::Message => 2,
            });
            put(&mut out, part.header.start);
            put(&mut out, part.header.end - part.header.start);
            put(&mut out, part.body.start - part.header.end);
            put(&mut out, part.body.end - part.body.start);
            put(&mut out, u64::from(part.after) - index as u64);
        }
        out
    }

    /// The inverse of [`Summary::encode`], for any octets.
    pub fn decode(octets: &[u8]) -> Result<Self, SummaryError> {
        let mut input = Input(octets);
        let version = input.byte("version")?;
        if version == 0 || version > VERSION {
            return Err(SummaryError::Version(version));
        }
        let size = input.number("size")?;
        let flags = input.byte("flags")?;
        if flags > if version == 1 { 7 } else { 15 } {
            return Err(SummaryError::Value("flags"));
        }
        let sent = if flags & 2 == 0 {
            None
        } else {
            let unix = i64::from_le_bytes(input.array("date")?);
            Some(SentDate { unix, zone_minutes: i16::from_le_bytes(input.array("zone")?) })
        };
        let envelope = input.string("envelope")?;
        let body = input.string("body")?;
        let bodystructure = input.string("bodystructure")?;
        let header = input.string("header")?;
        let message_id = if flags & 4 == 0 { None } else { Some(input.text("message-id")?) };
        let preview = if flags & 8 == 0 { None } else { Some(input.text("preview")?) };
        let parts = input.parts(size)?;
        if !input.0.is_empty() {
            return Err(SummaryError::Long(input.0.len()));
        }
        let header_truncated = flags & 1 != 0;
        Ok(Self { size, envelope, body, bodystructure, header, header_truncated, sent, message_id, preview, parts })
    }
}

/// The beginning of an overlong header, up to the end of a field.
fn whole_fields(header: &[u8]) -> &[u8] {
    let end =
        fields(header).map(|field| field.start + field.raw.len()).take_while(|&end| end <= SUMMARY_HEADER_BYTES_MAX);
    &header[..end.last().unwrap_or(0)]
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Octets still to be decoded.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self, what: &'static str) -> Result<u8, SummaryError> {
        let (&first, rest) = self.0.split_first().ok_or(SummaryError::Short(what))?;
        self.0 = rest;
        Ok(first)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], SummaryError> {
        let (&first, rest) = self.0.split_first_chunk().ok_or(SummaryError::Short(what))?;
        self.0 = rest;
        Ok(first)
    }

    fn number(&mut self, what: &'static str) -> Result<u64, SummaryError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7f);
            // The tenth octet has room for one bit.
            if shift == 63 && bits > 1 {
                return Err(SummaryError::Value(what));
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(SummaryError::Value(what))
    }

    fn string(&mut self, what: &'static str) -> Result<Vec<u8>, SummaryError> {
        let length = usize::try_from(self.number(what)?).map_err(|_| SummaryError::Value(what))?;
        let (string, rest) = self.0.split_at_checked(length).ok_or(SummaryError::Short(what))?;
        self.0 = rest;
        Ok(string.to_vec())
    }

    fn text(&mut self, what: &'static str) -> Result<String, SummaryError> {
        String::from_utf8(self.string(what)?).map_err(|_| SummaryError::Value(what))
    }

    fn parts(&mut self, size: u64) -> Result<Vec<PartRange>, SummaryError> {
        let count = self.number("parts")?;
        // One more than the limit: the last part may have needed an empty child.
        if count == 0 || count > PARTS_MAX as u64 + 1 {
            return Err(SummaryError::Value("number of parts"));
        }
        let mut parts = Vec::with_capacity((count as usize).min(self.0.len() / 6 + 1));
        for index in 0..count {
            let kind = match self.byte("part")? {
                0 => PartKind::Leaf,
                1 => PartKind::Multipart,
                2 => PartKind::Message,
                _ => return Err(SummaryError::Value("kind of part")),
            };
            let mut at = 0_u64;
            let mut step = || {
                let by = self.number("part")?;
                at = at.checked_add(by).filter(|&at| at <= size).ok_or(SummaryError::Value("part range"))?;
                Ok(at)
            };
            let header = step()?..step()?;
            let body = step()?..step()?;
            let after = self.number("part")?.checked_add(index).filter(|after| (index + 1..=count).contains(after));
            let after = after.ok_or(SummaryError::Value("part tree"))? as u32;
            parts.push(PartRange { kind, header, body, after });
        }
        Ok(parts)
    }
}
