//! Which octets of a mail come from where, so that a partial FETCH reads and decrypts only what it shows.

use std::iter::FusedIterator;
use std::ops::Range;

use lnmp::{AttachmentPlace, Content, Encoding};

use crate::base64_form::Form;

/// Content that cannot be put together: it was not made by [`crate::split()`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// An attachment's place lies beyond the skeleton or before the place of the one before it.
    #[error("attachment {index} belongs at {at}, which is out of order or past the skeleton's {skeleton} octets")]
    Place {
        /// Which attachment.
        index: usize,
        /// Where it should go.
        at: u64,
        /// Octets of the skeleton.
        skeleton: u64,
    },
    /// A base64 line length of 0 or no multiple of 4, or a size past all offsets.
    #[error("attachment {index} has no possible base64 form")]
    Form {
        /// Which attachment.
        index: usize,
    },
    /// The plaintext handed in is not what the content announces, or does not cover what was asked.
    #[error("attachment {index} was given {given} octets of plaintext, {expected} were expected")]
    Plaintext {
        /// Which attachment.
        index: usize,
        /// Octets that came.
        given: u64,
        /// Octets expected.
        expected: u64,
    },
    /// A range outside of the encoded body.
    #[error("{start}..{end} is not within the encoded body's {size} octets")]
    Range {
        /// Its start.
        start: u64,
        /// Its end.
        end: u64,
        /// Octets of the encoded body.
        size: u64,
    },
}

/// A contiguous piece of the mail and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Octets of the skeleton.
    Skeleton(Range<usize>),
    /// Octets of an attachment, as they are.
    Verbatim {
        /// Index among the content's attachments.
        attachment: usize,
        /// Which octets of its plaintext.
        range: Range<u64>,
    },
    /// Octets of an attachment, written in base64: see [`encode_base64_range`].
    Base64 {
        /// Index among the content's attachments.
        attachment: usize,
        /// Which octets of the encoded body.
        encoded_range: Range<u64>,
        /// Which octets of the plaintext must be read to write them: whole groups of three.
        plain_range: Range<u64>,
    },
}

impl Piece {
    /// Octets of the mail this piece makes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Skeleton(range) => range.len() as u64,
            Self::Verbatim { range, .. } => range.end - range.start,
            Self::Base64 { encoded_range, .. } => encoded_range.end - encoded_range.start,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Skeleton { from: u64 },
    Verbatim { attachment: usize },
    Base64 { attachment: usize, form: Form },
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    /// Offset in the mail.
    start: u64,
    size: u64,
    source: Source,
}

/// The plan of a mail: needs only sizes and places, no octet of the mail itself.
#[derive(Debug, Clone)]
pub struct Layout {
    segments: Vec<Segment>,
    size: u64,
}

impl Layout {
    /// The plan of a content.
    pub fn new(content: &Content) -> Result<Self, LayoutError> {
        let places = content.attachments.iter().map(|attachment| (attachment.place, attachment.reference.size));
        Self::of_places(content.skeleton.len() as u64, places)
    }

    /// The plan from the skeleton's size and each attachment's place and plaintext size.
    pub fn of_places(
        skeleton: u64,
        attachments: impl IntoIterator<Item = (AttachmentPlace, u64)>,
    ) -> Result<Self, LayoutError> {
        let mut layout = Self { segments: Vec::new(), size: 0 };
        let mut from = 0;
        for (attachment, (place, size)) in attachments.into_iter().enumerate() {
            if place.at < from || place.at > skeleton {
                return Err(LayoutError::Place { index: attachment, at: place.at, skeleton });
            }
            let too_large = LayoutError::Form { index: attachment };
            layout.push(place.at - from, Source::Skeleton { from }).ok_or_else(|| too_large.clone())?;
            from = place.at;
            let (size, source) = match place.encoding {
                Encoding::Verbatim => (size, Source::Verbatim { attachment }),
                Encoding::Base64 { .. } => {
                    let form = Form::new(place.encoding, size).ok_or_else(|| too_large.clone())?;
                    (form.encoded_size(), Source::Base64 { attachment, form })
                }
            };
            layout.push(size, source).ok_or(too_large)?;
        }
        let rest = skeleton - from;
        layout.push(rest, Source::Skeleton { from }).ok_or(LayoutError::Place { index: 0, at: from, skeleton })?;
        Ok(layout)
    }

    fn push(&mut self, size: u64, source: Source) -> Option<()> {
        if size > 0 {
            self.segments.push(Segment { start: self.size, size, source });
            self.size = self.size.checked_add(size)?;
        }
        Some(())
    }

    /// Octets of the mail: RFC822.SIZE.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The pieces of `range` of the mail, in order. What lies past the end is left out.
    pub fn pieces(&self, range: Range<u64>) -> Pieces<'_> {
        let end = range.end.min(self.size);
        let start = range.start.min(end);
        let first = self.segments.partition_point(|segment| segment.start + segment.size <= start);
        Pieces { segments: &self.segments[first..], at: start, end }
    }
}

/// The pieces of one range: see [`Layout::pieces`].
#[derive(Debug, Clone)]
pub struct Pieces<'a> {
    segments: &'a [Segment],
    at: u64,
    end: u64,
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.at >= self.end {
            return None;
        }
        let (segment, rest) = self.segments.split_first()?;
        self.segments = rest;
        let start = self.at - segment.start;
        let end = (self.end - segment.start).min(segment.size);
        self.at = segment.start + end;
        Some(match segment.source {
            Source::Skeleton { from } => Piece::Skeleton((from + start) as usize..(from + end) as usize),
            Source::Verbatim { attachment } => Piece::Verbatim { attachment, range: start..end },
            Source::Base64 { attachment, form } => {
                let encoded_range = start..end;
                let plain_range = form.plain_range(&encoded_range);
                Piece::Base64 { attachment, encoded_range, plain_range }
            }
        })
    }
}

impl FusedIterator for Pieces<'_> {}

/// Writes `encoded_range` of an encoded body.
///
/// `plain` holds octets of the attachment from `plain_offset` on (a multiple of 3) and must cover the
/// [`Piece::Base64`]'s `plain_range`; more does not matter, so a whole decrypted chunk will do.
/// `total_plain` is the size of the whole attachment.
pub fn encode_base64_range(
    plain: &[u8],
    plain_offset: u64,
    encoding: Encoding,
    total_plain: u64,
    encoded_range: Range<u64>,
) -> Result<Vec<u8>, LayoutError> {
    let form = Form::new(encoding, total_plain).ok_or(LayoutError::Form { index: 0 })?;
    let Range { start, end } = encoded_range;
    if start > end || end > form.encoded_size() {
        return Err(LayoutError::Range { start, end, size: form.encoded_size() });
    }
    let needed = form.plain_range(&encoded_range);
    let expected = needed.end - needed.start;
    let covering = needed.start.checked_sub(plain_offset).and_then(|skip| {
        let skip = usize::try_from(skip).ok()?;
        plain.get(skip..skip.checked_add(usize::try_from(expected).ok()?)?)
    });
    let plain = covering.ok_or(LayoutError::Plaintext { index: 0, given: plain.len() as u64, expected })?;
    let mut out = Vec::new();
    form.encode(plain, encoded_range, &mut out);
    Ok(out)
}

/// Puts the whole mail together, `plaintext(index)` giving the octets of each attachment.
pub fn join<P: AsRef<[u8]>>(content: &Content, mut plaintext: impl FnMut(usize) -> P) -> Result<Vec<u8>, LayoutError> {
    let layout = Layout::new(content)?;
    // The announced size is the author's word: memory grows by what is really there.
    let mut out = Vec::with_capacity(content.skeleton.len());
    for segment in &layout.segments {
        let (index, form) = match segment.source {
            Source::Skeleton { from } => {
                out.extend_from_slice(&content.skeleton[from as usize..(from + segment.size) as usize]);
                continue;
            }
            Source::Verbatim { attachment } => (attachment, None),
            Source::Base64 { attachment, form } => (attachment, Some(form)),
        };
        let plain = plaintext(index);
        let (plain, expected) = (plain.as_ref(), content.attachments[index].reference.size);
        if plain.len() as u64 != expected {
            return Err(LayoutError::Plaintext { index, given: plain.len() as u64, expected });
        }
        match form {
            None => out.extend_from_slice(plain),
            Some(form) => form.encode(plain, 0..form.encoded_size(), &mut out),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnmp::LineEnding;

    const BASE64: Encoding = Encoding::Base64 { line: 4, ending: LineEnding::Crlf, final_ending: true };

    #[test]
    fn a_range_names_only_what_it_needs() {
        let places = [
            (AttachmentPlace { at: 10, encoding: BASE64 }, 7),
            (AttachmentPlace { at: 10, encoding: Encoding::Verbatim }, 5),
        ];
        let layout = Layout::of_places(20, places).expect("sound");
        assert_eq!(layout.size(), 20 + 18 + 5);
        let pieces: Vec<_> = layout.pieces(8..30).collect();
        assert_eq!(
            pieces,
            [
                Piece::Skeleton(8..10),
                Piece::Base64 { attachment: 0, encoded_range: 0..18, plain_range: 0..7 },
                Piece::Verbatim { attachment: 1, range: 0..2 }
            ]
        );
        let pieces: Vec<_> = layout.pieces(17..20).collect();
        assert_eq!(pieces, [Piece::Base64 { attachment: 0, encoded_range: 7..10, plain_range: 3..6 }]);
        assert_eq!(layout.pieces(43..99).count(), 0);
        assert_eq!(layout.pieces(42..u64::MAX).collect::<Vec<_>>(), [Piece::Skeleton(19..20)]);
    }

    #[test]
    fn content_that_makes_no_sense_is_refused() {
        let place = |at, encoding| AttachmentPlace { at, encoding };
        let verbatim = Encoding::Verbatim;
        assert!(matches!(Layout::of_places(5, [(place(6, verbatim), 1)]), Err(LayoutError::Place { .. })));
        let backwards = [(place(3, verbatim), 1), (place(2, verbatim), 1)];
        assert!(matches!(Layout::of_places(5, backwards), Err(LayoutError::Place { index: 1, .. })));
        assert!(matches!(Layout::of_places(5, [(place(0, verbatim), u64::MAX)]), Err(LayoutError::Place { .. })));
        assert!(matches!(Layout::of_places(5, [(place(0, BASE64), u64::MAX)]), Err(LayoutError::Form { index: 0 })));
        let odd = Encoding::Base64 { line: 3, ending: LineEnding::Lf, final_ending: false };
        assert!(matches!(Layout::of_places(5, [(place(0, odd), 1)]), Err(LayoutError::Form { index: 0 })));
    }

    #[test]
    fn encoding_a_range_asks_for_what_it_needs() {
        let plain = b"ABCDEFG";
        let whole = encode_base64_range(plain, 0, BASE64, 7, 0..18).expect("covered");
        assert_eq!(whole, b"QUJD\r\nREVG\r\nRw==\r\n");
        assert_eq!(encode_base64_range(&plain[3..], 3, BASE64, 7, 7..14).expect("covered"), b"EVG\r\nRw");
        assert!(matches!(encode_base64_range(plain, 3, BASE64, 7, 0..4), Err(LayoutError::Plaintext { .. })));
        assert!(matches!(encode_base64_range(b"", 0, BASE64, 7, 0..1), Err(LayoutError::Plaintext { .. })));
        assert!(matches!(encode_base64_range(plain, 0, BASE64, 7, 0..19), Err(LayoutError::Range { .. })));
        assert!(matches!(encode_base64_range(plain, 0, Encoding::Verbatim, 7, 0..1), Err(LayoutError::Form { .. })));
    }
}
