//! `BINARY[…]`, `BINARY.PEEK[…]`, `BINARY.SIZE[…]` (RFC 3516; RFC 9051 §6.4.5): a part with its transfer encoding undone.
//!
//! ```text
//!   shelf, base64 by us ──────────────────────▶ ┌───────┐
//!   mail, by pieces ──▶ Decoder ──▶ (Lines) ──▶ │ range │──▶ literal, or literal8 where there is a NUL
//!                                               └───────┘
//! ```
//! What fits one piece is decoded once and kept; what is larger is decoded twice, first to count.

use std::ops::Range;

use attachments::Shelf;
use converter::{PartKind, Piece, SectionKind, Summary, fields, header_fields};

use super::decode::{Decoder, Lines};
use super::item::{HEADER_READ_BYTES_MAX, Item, SectionText, parse_partial, parse_spec};
use crate::io::Connection;
use crate::limits::ATTACHMENT_PIECE_BYTES;
use crate::mail::{Mail, MailError};
use crate::wire::{Cursor, Parsed, write};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::command) struct Binary {
    /// `BINARY[1.2]`, as the answer repeats it.
    label: Vec<u8>,
    path: Vec<u32>,
    text: SectionText,
    wanted: Wanted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Size,
    /// With a partial's first octet and number of octets, counted in what is decoded.
    Octets {
        peek: bool,
        partial: Option<(u64, u64)>,
    },
}

/// Why a message is not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the transfer encoding is unknown")]
    Encoding,
    #[error(transparent)]
    Mail(#[from] MailError),
}

/// An answer whose length is known.
#[derive(Debug)]
pub(super) enum Prepared {
    Size(u64),
    Octets(Vec<u8>),
    /// Too large to keep: to be decoded (again) while it is written.
    Stream {
        part: Part,
        range: Range<u64>,
    },
    /// There is no such part.
    Nothing,
}

impl Binary {
    /// Behind `BINARY`, `BINARY.PEEK` or `BINARY.SIZE`.
    pub(super) fn parse(cursor: &mut Cursor<'_>, word: &[u8]) -> Parsed<Item> {
        let mut label = if word == b"BINARY.SIZE" { b"BINARY.SIZE".to_vec() } else { b"BINARY".to_vec() };
        // RFC 3516 §4.2 has part numbers only. Dovecot answers what BODY[…] can name, and imaptest asks for it.
        let (path, text) = parse_spec(cursor, &mut label)?;
        let wanted = match word {
            b"BINARY.SIZE" => Wanted::Size,
            _ => Wanted::Octets { peek: word == b"BINARY.PEEK", partial: parse_open_partial(cursor)? },
        };
        Ok(Item::Binary(Self { label, path, text, wanted }))
    }

    pub(super) fn sets_seen(&self) -> bool {
        matches!(self.wanted, Wanted::Octets { peek: false, .. })
    }

    /// `BINARY[…]<0> `
    pub(super) fn write_label(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.label);
        if let Wanted::Octets { partial: Some((start, _)), .. } = self.wanted {
            out.push(b'<');
            write::number(out, start);
            out.push(b'>');
        }
        out.push(b' ');
    }

    /// Decodes as much as is needed to know the answer's length.
    pub(super) async fn prepare(
        &self,
        shelf: &dyn Shelf,
        mail: &Mail,
        summary: &Summary,
    ) -> Result<Prepared, Unreadable> {
        let (start, end) = match self.wanted {
            Wanted::Size => (u64::MAX, u64::MAX),
            Wanted::Octets { partial: None, .. } => (0, u64::MAX),
            Wanted::Octets { partial: Some((start, count)), .. } => (start, start.saturating_add(count)),
        };
        let Some(part) = Part::of(shelf, mail, summary, &self.path, &self.text).await? else {
            return Ok(if self.wanted == Wanted::Size { Prepared::Size(0) } else { Prepared::Nothing });
        };
        if let SectionText::Fields { names, pick } = &self.text {
            let header = part.source.range();
            let header = mail.read(shelf, header.start..header.end.min(header.start + HEADER_READ_BYTES_MAX)).await?;
            let fields = header_fields(&header, names, *pick);
            let size = fields.len() as u64;
            return Ok(match self.wanted {
                Wanted::Size => Prepared::Size(size),
                Wanted::Octets { .. } => {
                    Prepared::Octets(fields[start.min(size) as usize..end.min(size) as usize].to_vec())
                }
            });
        }
        let (mut kept, mut at) = (Vec::new(), 0_u64);
        if let Some(size) = part.known_size() {
            at = size;
            let range = start.min(size)..end.min(size);
            if self.wanted != Wanted::Size && range.end - range.start <= ATTACHMENT_PIECE_BYTES {
                let mut stream = Stream::of(&part, range.start);
                while let Some(piece) = stream.next(shelf, mail).await? {
                    let room = (range.end - range.start) as usize - kept.len();
                    kept.extend_from_slice(&piece[..room.min(piece.len())]);
                    if kept.len() as u64 == range.end - range.start {
                        break;
                    }
                }
            } else if let Some(attachment) = part.attachment() {
                // The beginning, so that a missing one is known before a literal is begun.
                shelf
                    .read(&mail.content.attachments[attachment].reference, 0..size.min(1))
                    .await
                    .map_err(MailError::from)?;
            }
        } else {
            let mut stream = Stream::of(&part, 0);
            while at < end
                && let Some(piece) = stream.next(shelf, mail).await?
            {
                let (from, to) = (start.max(at), end.min(at + piece.len() as u64));
                if from < to && kept.len() as u64 <= ATTACHMENT_PIECE_BYTES {
                    kept.extend_from_slice(&piece[(from - at) as usize..(to - at) as usize]);
                }
                at += piece.len() as u64;
            }
        }
        if self.wanted == Wanted::Size {
            return Ok(Prepared::Size(at));
        }
        let range = start.min(at)..end.min(at);
        if kept.len() as u64 == range.end - range.start {
            return Ok(Prepared::Octets(kept));
        }
        Ok(Prepared::Stream { part, range })
    }
}

impl Prepared {
    /// Writes the answer. After an error a begun literal cannot be ended.
    pub(super) async fn write(
        self,
        shelf: &dyn Shelf,
        mail: &Mail,
        connection: &mut Connection,
    ) -> Result<(), MailError> {
        match self {
            Self::Nothing => connection.out.extend_from_slice(b"NIL"),
            Self::Size(size) => write::number(&mut connection.out, size),
            Self::Octets(octets) => {
                // RFC 3516 §4.3: a literal8 only where there is a NUL.
                if memchr::memchr(0, &octets).is_some() {
                    connection.out.push(b'~');
                }
                write::literal_header(&mut connection.out, octets.len() as u64);
                connection.write(&octets).await?;
            }
            Self::Stream { part, range } => {
                // RFC 3516 §4.3 would like a literal where there is no NUL: not worth to read an attachment twice for.
                connection.out.push(b'~');
                write::literal_header(&mut connection.out, range.end - range.start);
                let direct = part.known_size().is_some();
                let mut at = if direct { range.start } else { 0 };
                let mut stream = Stream::of(&part, at);
                while at < range.end {
                    let Some(piece) = stream.next(shelf, mail).await? else {
                        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                    };
                    let (from, to) = (range.start.max(at), range.end.min(at + piece.len() as u64));
                    if from < to {
                        connection.write(&piece[(from - at) as usize..(to - at) as usize]).await?;
                    }
                    at += piece.len() as u64;
                }
            }
        }
        Ok(())
    }
}

/// A part and how it is to be decoded.
#[derive(Debug, Clone)]
pub(super) struct Part {
    source: Source,
    decoder: Decoder,
    /// RFC 3516 §4.3: textual lines end with CR LF, whatever was encoded.
    lines: Option<Lines>,
}

#[derive(Debug, Clone)]
enum Source {
    /// Octets of the mail, encoded.
    Mail(Range<u64>),
    /// A whole attachment, which lies decoded on the shelf.
    Attachment { index: usize, size: u64 },
}

impl Source {
    /// Octets of the mail, encoded; of an attachment, none.
    fn range(&self) -> Range<u64> {
        match self {
            Self::Mail(range) => range.clone(),
            Self::Attachment { .. } => 0..0,
        }
    }
}

/// `["<" number ["." nz-number] ">"]`: without a length up to the end, as Dovecot has it.
fn parse_open_partial(cursor: &mut Cursor<'_>) -> Parsed<Option<(u64, u64)>> {
    let mut ahead = cursor.clone();
    if ahead.take(b'<')
        && let Ok(start) = ahead.number64("Invalid partial")
        && ahead.take(b'>')
    {
        *cursor = ahead;
        return Ok(Some((start, u64::MAX)));
    }
    parse_partial(cursor)
}

impl Part {
    async fn of(
        shelf: &dyn Shelf,
        mail: &Mail,
        summary: &Summary,
        path: &[u32],
        text: &SectionText,
    ) -> Result<Option<Self>, Unreadable> {
        let kind = match text {
            SectionText::Whole => return Self::whole(shelf, mail, summary, path).await,
            SectionText::Header | SectionText::Fields { .. } => SectionKind::Header,
            SectionText::Mime => SectionKind::Mime,
            SectionText::Text => {
                // A message of one part: its text is that part.
                let only = [path, &[1]].concat();
                let text = summary.section(path, SectionKind::Text);
                if text.is_some() && summary.section(&only, SectionKind::Whole) == text {
                    return Self::whole(shelf, mail, summary, &only).await;
                }
                SectionKind::Text
            }
        };
        let size = mail.layout.size();
        let range = summary.section(path, kind).filter(|range| range.start <= range.end && range.end <= size);
        Ok(range.map(|range| Self { source: Source::Mail(range), decoder: Decoder::Identity, lines: None }))
    }

    async fn whole(
        shelf: &dyn Shelf,
        mail: &Mail,
        summary: &Summary,
        path: &[u32],
    ) -> Result<Option<Self>, Unreadable> {
        let whole = |range| Self { source: Source::Mail(range), decoder: Decoder::Identity, lines: None };
        if path.is_empty() {
            // A mail as such has no transfer encoding: RFC 2045 §6.1 gives its body one.
            return Ok(Some(whole(0..mail.layout.size())));
        }
        let size = mail.layout.size();
        let within = |range: &Range<u64>| range.start <= range.end && range.end <= size;
        let body = summary.section(path, SectionKind::Whole).filter(within);
        let header = summary.section(path, SectionKind::Mime).filter(within);
        let (Some(body), Some(header)) = (body, header) else { return Ok(None) };
        let header = mail.read(shelf, header.start..header.end.min(header.start + HEADER_READ_BYTES_MAX)).await?;
        let field = |name: &str| fields(&header).find(|field| field.is(name)).map(|field| field.value.trim_ascii());
        let mut decoder =
            Decoder::of(field("Content-Transfer-Encoding").unwrap_or_default()).ok_or(Unreadable::Encoding)?;
        let leaf = summary.part(path).and_then(|index| summary.parts.get(index));
        let leaf = leaf.is_some_and(|part| part.kind == PartKind::Leaf);
        let is_text = |value: &[u8]| value.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"text/"));
        let text = leaf && field("Content-Type").is_none_or(is_text);
        let mut source = Source::Mail(body.clone());
        let mut pieces = mail.layout.pieces(body);
        if let (Some(Piece::Base64 { attachment, plain_range, .. }), None) = (pieces.next(), pieces.next()) {
            let size = mail.content.attachments[attachment].reference.size;
            if plain_range == (0..size) && matches!(decoder, Decoder::Base64 { .. }) {
                (source, decoder) = (Source::Attachment { index: attachment, size }, Decoder::Identity);
            }
        }
        Ok(Some(Self { source, decoder, lines: text.then(Lines::default) }))
    }

    /// Octets decoded, where nothing needs to be decoded to know.
    fn known_size(&self) -> Option<u64> {
        if self.lines.is_some() || !matches!(self.decoder, Decoder::Identity) {
            return None;
        }
        Some(match &self.source {
            Source::Mail(range) => range.end - range.start,
            Source::Attachment { size, .. } => *size,
        })
    }

    fn attachment(&self) -> Option<usize> {
        match self.source {
            Source::Mail(_) => None,
            Source::Attachment { index, .. } => Some(index),
        }
    }
}

/// A part being decoded, piece by piece.
struct Stream {
    part: Part,
    /// Where to read on, in the source.
    at: u64,
    ended: bool,
}

impl Stream {
    /// From octet `start` on, which is 0 unless the part's size is known without decoding.
    fn of(part: &Part, start: u64) -> Self {
        let first = match &part.source {
            Source::Mail(range) => range.start,
            Source::Attachment { .. } => 0,
        };
        Self { part: part.clone(), at: first + start, ended: false }
    }

    /// The next decoded octets; `None` at the end.
    async fn next(&mut self, shelf: &dyn Shelf, mail: &Mail) -> Result<Option<Vec<u8>>, MailError> {
        while !self.ended {
            let end = match &self.part.source {
                Source::Mail(range) => range.end,
                Source::Attachment { size, .. } => *size,
            };
            let next = end.min(self.at.saturating_add(ATTACHMENT_PIECE_BYTES));
            let mut piece = if self.at >= end {
                self.ended = true;
                Vec::new()
            } else {
                match self.part.source {
                    Source::Mail(_) => mail.read(shelf, self.at..next).await?,
                    Source::Attachment { index, .. } => {
                        shelf.read(&mail.content.attachments[index].reference, self.at..next).await?.to_vec()
                    }
                }
            };
            self.at = next;
            if !matches!(self.part.decoder, Decoder::Identity) {
                let encoded = std::mem::take(&mut piece);
                self.part.decoder.feed(&encoded, &mut piece);
                if self.ended {
                    self.part.decoder.finish(&mut piece);
                }
            }
            if let Some(lines) = &mut self.part.lines {
                let text = std::mem::take(&mut piece);
                lines.feed(&text, &mut piece);
            }
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}
