//! Takes the large bodies out of a mail, such that it can be put together again octet for octet.

use std::borrow::Cow;
use std::ops::Range;

use lnmp::{Attachment, AttachmentPlace, AttachmentRef, Content, Encoding};

use crate::base64_form::{Form, recognise};
use crate::fields::{Field, fields};
use crate::limits::{ATTACHMENT_BYTES_MIN, ATTACHMENTS_MAX, HEADER_KEPT_BYTES_MAX, SKELETON_BYTES_MAX};
use crate::octets::{Octets, Within, header};
use crate::scan::{BodyEncoding, PartKind, Structure};
use crate::text::{decode_filename, decode_unstructured};
use crate::words::{content_type, disposition};

/// What [`split`] cuts by; tests make it small.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SplitLimits {
    pub(crate) attachment: u64,
    pub(crate) skeleton: usize,
    pub(crate) attachments: usize,
    pub(crate) header: usize,
}

impl SplitLimits {
    pub(crate) const REAL: Self = Self {
        attachment: ATTACHMENT_BYTES_MIN,
        skeleton: SKELETON_BYTES_MAX,
        attachments: ATTACHMENTS_MAX,
        header: HEADER_KEPT_BYTES_MAX,
    };
}

/// A mail and where to cut it.
#[derive(Debug, Clone)]
pub struct Split<O> {
    /// The mail.
    pub message: O,
    /// What goes out, in the order of the mail, never overlapping.
    pub cuts: Vec<Cut>,
    /// The subject, decoded, where there is one.
    pub subject: Option<String>,
}

/// One piece of a mail that becomes an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Where it stands in the mail, as encoded there.
    pub source: Range<usize>,
    /// Its name, decoded, where the mail gave one. Never a path to write to.
    pub filename: Option<String>,
    /// Its media type in lower case, where the mail gave one.
    pub mime_type: Option<String>,
    form: Option<Form>,
}

impl Cut {
    /// How the attachment's octets are written in the mail.
    pub fn encoding(&self) -> Encoding {
        self.form.map_or(Encoding::Verbatim, Form::encoding)
    }

    /// Octets of the attachment.
    pub fn size(&self) -> u64 {
        self.form.map_or_else(|| self.source.len() as u64, Form::plain_size)
    }

    /// Octets `range` of the attachment, which begins at a multiple of 3. `message` is the mail that was split.
    pub fn read(&self, message: &mut impl Octets, range: Range<u64>) -> Vec<u8> {
        let end = range.end.min(self.size());
        let range = range.start.min(end)..end;
        let encoded = self.form.map_or_else(|| range.clone(), |form| form.encoded_range(&range));
        let start = self.source.start;
        let octets = message.read(start + encoded.start as usize..start + encoded.end as usize);
        match self.form {
            None => octets.to_vec(),
            Some(form) => {
                let mut out = Vec::new();
                form.decode(&octets, range, &mut out);
                out
            }
        }
    }

    /// The attachment's octets at once: borrowed when verbatim, decoded when base64. `message` is the
    /// mail that was split.
    pub fn plaintext<'m>(&self, mut message: &'m [u8]) -> Cow<'m, [u8]> {
        match self.form {
            None => Cow::Borrowed(&message[self.source.clone()]),
            Some(form) => Cow::Owned(self.read(&mut message, 0..form.plain_size())),
        }
    }
}

/// Somebody handed in references that do not belong to this split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// Our bug: not one reference per cut.
    #[error("{cuts} pieces were cut, {references} references came back")]
    Count {
        /// Pieces cut.
        cuts: usize,
        /// References given.
        references: usize,
    },
    /// Our bug: a reference to something of another size.
    #[error("piece {index} has {cut} octets, its reference says {reference}")]
    Size {
        /// Which piece.
        index: usize,
        /// Its size.
        cut: u64,
        /// The size its reference names.
        reference: u64,
    },
}

/// Decides what leaves the mail: leaves of [`ATTACHMENT_BYTES_MIN`] decoded octets and more, and
/// whatever else makes the skeleton larger than [`SKELETON_BYTES_MAX`]. Any octets are a mail.
pub fn split(message: &[u8]) -> Split<&[u8]> {
    // A small mail has nothing to cut, and most mails are small.
    if (message.len() as u64) < ATTACHMENT_BYTES_MIN {
        return Split { message, cuts: Vec::new(), subject: subject(message) };
    }
    split_scanned(message, &Structure::scan(message))
}

/// [`split`] for a mail that was scanned already.
pub fn split_scanned<O: Octets>(message: O, structure: &Structure) -> Split<O> {
    split_by(message, structure, SplitLimits::REAL)
}

pub(crate) fn split_by<O: Octets>(mut message: O, structure: &Structure, limits: SplitLimits) -> Split<O> {
    let cuts = cuts(&mut message, structure, limits);
    let subject = subject(&header(&mut message, &structure.parts[0].header));
    Split { message, cuts, subject }
}

impl<O: Octets> Split<O> {
    /// The content: the skeleton, and for each cut, in order, the attachment that `references` says
    /// where to find.
    pub fn into_content(mut self, references: Vec<AttachmentRef>) -> Result<Content, SplitError> {
        if references.len() != self.cuts.len() {
            return Err(SplitError::Count { cuts: self.cuts.len(), references: references.len() });
        }
        let cut: usize = self.cuts.iter().map(|cut| cut.source.len()).sum();
        let size = self.message.size();
        let mut skeleton = Vec::with_capacity(size - cut);
        let mut attachments = Vec::with_capacity(references.len());
        let mut from = 0;
        for (index, (cut, reference)) in self.cuts.into_iter().zip(references).enumerate() {
            if reference.size != cut.size() {
                return Err(SplitError::Size { index, cut: cut.size(), reference: reference.size });
            }
            skeleton.extend_from_slice(&self.message.read(from..cut.source.start));
            from = cut.source.end;
            let place = AttachmentPlace { at: skeleton.len() as u64, encoding: cut.encoding() };
            attachments.push(Attachment { reference, filename: cut.filename, mime_type: cut.mime_type, place });
        }
        skeleton.extend_from_slice(&self.message.read(from..size));
        Ok(Content { subject: self.subject, attachments, skeleton })
    }
}

fn subject(header: &[u8]) -> Option<String> {
    let field = fields(header).find(|field| field.is("Subject"))?;
    Some(decode_unstructured(field.value))
}

fn cuts(message: &mut impl Octets, structure: &Structure, limits: SplitLimits) -> Vec<Cut> {
    let mut leaves = Vec::new();
    for (index, part) in structure.parts.iter().enumerate() {
        if part.kind == PartKind::Leaf && part.body.len() as u64 >= limits.attachment {
            leaves.extend(leaf(message, structure, index, limits.attachment));
        }
    }
    bound_skeleton(message.size(), structure.header_length(), leaves, limits)
}

/// Cuts a leaf whose raw body reaches the limit, unless its decoded size does not.
fn leaf(message: &mut impl Octets, structure: &Structure, index: usize, limit: u64) -> Option<Cut> {
    let part = &structure.parts[index];
    let mut cut = Cut { source: part.body.clone(), filename: None, mime_type: None, form: None };
    if part.encoding == BodyEncoding::Base64
        && let Some((form, range)) = recognise(&mut Within { octets: &mut *message, range: part.body.clone() })
    {
        if form.plain_size() < limit {
            return None;
        }
        cut.source = part.body.start + range.start..part.body.start + range.end;
        cut.form = Some(form);
    }
    // An encoded message is described by the part it stands in.
    let described = if part.synthetic { index.saturating_sub(1) } else { index };
    describe(fields(&header(message, &structure.parts[described].header)), &mut cut);
    Some(cut)
}

/// Name and type, for other clients of the protocol: the bridge itself rebuilds the mail.
fn describe<'a>(fields: impl Iterator<Item = Field<'a>>, cut: &mut Cut) {
    let mut named = None;
    for field in fields {
        if field.is("Content-Type") && cut.mime_type.is_none() {
            if let Some(typed) = content_type(field.value) {
                let full = [typed.value, typed.subtype].join(&b'/');
                cut.mime_type = Some(String::from_utf8_lossy(&full).to_ascii_lowercase());
                named = named.or_else(|| decode_filename(&typed, "name"));
            }
        } else if field.is("Content-Disposition") && cut.filename.is_none() {
            cut.filename = disposition(field.value).and_then(|disposition| decode_filename(&disposition, "filename"));
        }
    }
    cut.filename = cut.filename.take().or(named);
}

/// Cuts what the leaves leave over, where that is too much: long runs verbatim, and when room or
/// attachments run out, all the rest as one.
fn bound_skeleton(size: usize, header: usize, leaves: Vec<Cut>, limits: SplitLimits) -> Vec<Cut> {
    let verbatim = |source| Cut { source, filename: None, mime_type: None, form: None };
    let mut cuts: Vec<Cut> = Vec::with_capacity(leaves.len());
    let mut kept = 0;
    let mut from = 0;
    let mut leaves = leaves.into_iter().peekable();
    loop {
        let end = leaves.peek().map_or(size, |leaf| leaf.source.start);
        // The header stays: other clients read it, and it is what a skeleton is for.
        let keep = if from == 0 && header <= limits.header.min(limits.skeleton) { header.min(end) } else { 0 };
        if kept + (end - from) <= limits.skeleton {
            kept += end - from;
        } else if (end - from - keep) as u64 >= limits.attachment && end < size {
            kept += keep;
            cuts.push(verbatim(from + keep..end));
        } else {
            cuts.push(verbatim(from + keep..size));
            return cuts;
        }
        let Some(leaf) = leaves.next() else { return cuts };
        from = leaf.source.end;
        if cuts.len() + 3 >= limits.attachments && leaves.peek().is_some() {
            // Room for this one, for the rest, and for one run before it.
            cuts.push(leaf);
            cuts.push(verbatim(from..size));
            return cuts;
        }
        cuts.push(leaf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_attachment_goes_out_decoded_with_its_name() {
        let body = "QUJD".repeat(57 * 400);
        let lines: Vec<_> = body.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line)).collect();
        let message = format!(
            "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
             Content-Type: Application/PDF; name=\"x.pdf\"\r\nContent-Transfer-Encoding: BASE64\r\n\
             Content-Disposition: attachment; filename*=utf-8''%C3%BC.pdf\r\n\r\n{}\r\n--b--\r\n",
            lines.join("\r\n")
        );
        let split = split(message.as_bytes());
        assert_eq!(split.subject.as_deref(), Some("Grüße"));
        let [cut] = &split.cuts[..] else { panic!("one cut") };
        assert_eq!(cut.filename.as_deref(), Some("ü.pdf"));
        assert_eq!(cut.mime_type.as_deref(), Some("application/pdf"));
        assert_eq!(cut.size(), 57 * 400 * 3);
        let plain = cut.plaintext(message.as_bytes());
        assert!(plain.chunks(3).all(|three| three == b"ABC"));
        assert_eq!(cut.read(&mut message.as_bytes(), 999..2000), plain[999..2000]);
    }

    #[test]
    fn the_skeleton_is_bounded_whatever_the_shape() {
        let small_parts = "--b\r\n\r\nx\r\n".repeat(200_000);
        let preamble = "x\r\n".repeat(700_000);
        let header = "X: y\r\n".repeat(400_000);
        for message in [
            format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{small_parts}"),
            format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{preamble}--b\r\n\r\nx\r\n--b--"),
            format!("{header}\r\nbody"),
            preamble.clone(),
        ] {
            let split = split(message.as_bytes());
            let out: usize = split.cuts.iter().map(|cut| cut.source.len()).sum();
            assert!(message.len() - out <= SKELETON_BYTES_MAX, "{} of {}", message.len() - out, message.len());
            assert!(split.cuts.len() <= ATTACHMENTS_MAX);
        }
    }

    #[test]
    fn references_must_fit_the_cuts() {
        let message = [b"\r\n", &vec![b'x'; 100_000][..]].concat();
        let refused = split(&message).into_content(Vec::new()).map(|_| ());
        assert_eq!(refused, Err(SplitError::Count { cuts: 1, references: 0 }));
        let small = AttachmentRef { cid: String::new(), key: [0; 32], size: 1, sha256: [0; 32] };
        assert!(
            matches!(split(&message).into_content(vec![small]), Err(SplitError::Size { index: 0, .. })),
            "of another size"
        );
    }
}
