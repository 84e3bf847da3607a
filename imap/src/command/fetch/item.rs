//! What a FETCH can ask for (RFC 3501 §9 `fetch-att`, `section`).

use std::ops::Range;

use converter::Pick;

use super::Fields;
use super::binary::Binary;
use crate::limits::{FETCH_ITEMS_MAX, HEADER_FIELDS_MAX, PART_DEPTH_MAX};
use crate::wire::{Bad, Cursor, Parsed, write};

/// Octets of a header that HEADER.FIELDS looks into: of a mail within a mail, or of a huge one.
pub(super) const HEADER_READ_BYTES_MAX: u64 = 1024 * 1024;

/// One item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Uid,
    Flags,
    InternalDate,
    /// RFC 8514 §4.2
    SaveDate,
    Size,
    /// RFC 7162.
    ModSeq,
    /// RFC 8474 §5.3
    EmailId,
    ThreadId,
    Envelope,
    Body,
    BodyStructure,
    /// RFC 8970.
    Preview,
    Section(Section),
    /// RFC 3516.
    Binary(Binary),
}

/// What must be read to answer, cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    Row,
    Summary,
    Content,
}

/// `BODY[…]` and its old names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    /// As the answer repeats it: `BODY[1.HEADER]`, `RFC822`.
    label: Vec<u8>,
    pub(super) path: Vec<u32>,
    pub(super) text: SectionText,
    /// First octet and number of octets.
    partial: Option<(u64, u64)>,
    peek: bool,
}

/// `section-text`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SectionText {
    Whole,
    Header,
    Fields { names: Vec<Vec<u8>>, pick: Pick },
    Text,
    Mime,
}

impl Item {
    pub(super) fn need(&self) -> Need {
        match self {
            Self::Uid
            | Self::Flags
            | Self::InternalDate
            | Self::SaveDate
            | Self::Size
            | Self::ModSeq
            | Self::EmailId => Need::Row,
            Self::Envelope | Self::Body | Self::BodyStructure | Self::Preview | Self::ThreadId => Need::Summary,
            Self::Section(section) if section.is_top_header() => Need::Summary,
            Self::Section(_) | Self::Binary(_) => Need::Content,
        }
    }

    /// Whether it needs the summary even when the content is at hand.
    pub(super) fn wants_summary(&self) -> bool {
        match self {
            Self::Uid
            | Self::Flags
            | Self::InternalDate
            | Self::SaveDate
            | Self::Size
            | Self::ModSeq
            | Self::EmailId => false,
            Self::Envelope | Self::Body | Self::BodyStructure | Self::Preview | Self::ThreadId => true,
            Self::Section(section) => !section.is_whole_mail(),
            Self::Binary(_) => true,
        }
    }

    pub(super) fn reads_header(&self) -> bool {
        matches!(self, Self::Section(section) if section.is_top_header())
    }

    pub(super) fn sets_seen(&self) -> bool {
        match self {
            Self::Section(section) => !section.peek,
            Self::Binary(binary) => binary.sets_seen(),
            _ => false,
        }
    }
}

impl Section {
    fn old(label: &str, text: SectionText, peek: bool) -> Item {
        Item::Section(Self { label: label.into(), path: Vec::new(), text, partial: None, peek })
    }

    pub(super) fn is_whole_mail(&self) -> bool {
        self.path.is_empty() && self.text == SectionText::Whole
    }

    /// Whether it is the mail's own header, or fields of it.
    pub(super) fn is_top_header(&self) -> bool {
        self.path.is_empty() && matches!(self.text, SectionText::Header | SectionText::Fields { .. })
    }

    /// `BODY[…]<0> `
    pub(super) fn write_label(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.label);
        if let Some((start, _)) = self.partial {
            out.push(b'<');
            write::number(out, start);
            out.push(b'>');
        }
        out.push(b' ');
    }

    /// The partial part of a range.
    pub(super) fn cut_range(&self, range: Range<u64>) -> Range<u64> {
        match self.partial {
            None => range,
            Some((start, count)) => {
                let start = range.start.saturating_add(start).min(range.end);
                start..start.saturating_add(count).min(range.end)
            }
        }
    }

    /// The partial part of octets.
    pub(super) fn cut<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        let range = self.cut_range(0..octets.len() as u64);
        // Both ends are at most the length, which is a usize.
        &octets[range.start as usize..range.end as usize]
    }
}

/// One item, a macro, or a list.
pub(super) fn parse_items(cursor: &mut Cursor<'_>) -> Parsed<Vec<Item>> {
    if cursor.peek() == Some(b'(') {
        let items = cursor.list(FETCH_ITEMS_MAX, "Too many FETCH items", parse_item)?;
        return if items.is_empty() { Err(Bad::new("Empty FETCH list")) } else { Ok(items) };
    }
    let fast = [Item::Flags, Item::InternalDate, Item::Size];
    let mut ahead = cursor.clone();
    let word = ahead.take_while(|octet| octet.is_ascii_alphanumeric() || octet == b'.').to_ascii_uppercase();
    let items = match word.as_slice() {
        b"FAST" => fast.to_vec(),
        b"ALL" => [fast.as_slice(), &[Item::Envelope]].concat(),
        b"FULL" => [fast.as_slice(), &[Item::Envelope, Item::Body]].concat(),
        _ => return Ok(vec![parse_item(cursor)?]),
    };
    *cursor = ahead;
    Ok(items)
}

pub(super) fn parse_item(cursor: &mut Cursor<'_>) -> Parsed<Item> {
    let word = cursor.take_while(|octet| octet.is_ascii_alphanumeric() || octet == b'.').to_ascii_uppercase();
    Ok(match word.as_slice() {
        b"UID" => Item::Uid,
        b"FLAGS" => Item::Flags,
        b"INTERNALDATE" => Item::InternalDate,
        b"RFC822.SIZE" => Item::Size,
        b"MODSEQ" => Item::ModSeq,
        b"ENVELOPE" => Item::Envelope,
        b"SAVEDATE" => Item::SaveDate,
        b"EMAILID" => Item::EmailId,
        b"THREADID" => Item::ThreadId,
        b"BODYSTRUCTURE" => Item::BodyStructure,
        b"PREVIEW" => {
            // RFC 8970 §3.1: LAZY leaves it to us to answer NIL where a preview is costly. Ours lies ready.
            if cursor.take_word(" (") && !(cursor.take_word("LAZY") && cursor.take(b')')) {
                return Err(Bad::new("Unknown PREVIEW modifier: only LAZY is known"));
            }
            Item::Preview
        }
        b"RFC822" => Section::old("RFC822", SectionText::Whole, false),
        b"RFC822.HEADER" => Section::old("RFC822.HEADER", SectionText::Header, true),
        b"RFC822.TEXT" => Section::old("RFC822.TEXT", SectionText::Text, false),
        b"BODY" if cursor.peek() != Some(b'[') => Item::Body,
        b"BODY" => parse_section(cursor, false)?,
        b"BODY.PEEK" => parse_section(cursor, true)?,
        b"BINARY" | b"BINARY.PEEK" | b"BINARY.SIZE" => Binary::parse(cursor, &word)?,
        _ => return Err(Bad::new("Unknown FETCH item")),
    })
}

/// What stands in `BODY[…]`, alone.
pub(super) fn section_of(text: &[u8]) -> Option<Section> {
    let text = [b"[", text, b"]"].concat();
    let mut cursor = Cursor::new(&text);
    match parse_section(&mut cursor, true) {
        Ok(Item::Section(section)) if cursor.is_at_end() => Some(section),
        _ => None,
    }
}

fn parse_section(cursor: &mut Cursor<'_>, peek: bool) -> Parsed<Item> {
    let mut label = b"BODY".to_vec();
    let (path, text) = parse_spec(cursor, &mut label)?;
    let partial = parse_partial(cursor)?;
    Ok(Item::Section(Section { label, path, text, partial, peek }))
}

/// `"[" [section-spec] "]"`, which is repeated behind `label`.
pub(super) fn parse_spec(cursor: &mut Cursor<'_>, label: &mut Vec<u8>) -> Parsed<(Vec<u32>, SectionText)> {
    cursor.expect(b'[', "Expected a section")?;
    label.push(b'[');
    let mut path = Vec::new();
    let mut text = SectionText::Whole;
    while cursor.peek().is_some_and(|octet| octet.is_ascii_digit()) {
        if path.len() == PART_DEPTH_MAX {
            return Err(Bad::new("Part number is too deep"));
        }
        match cursor.number("Invalid part number")? {
            0 => return Err(Bad::new("Invalid part number")),
            number => path.push(number),
        }
        write::number(label, u64::from(path[path.len() - 1]));
        if !cursor.take(b'.') {
            break;
        }
        label.push(b'.');
        if cursor.peek() == Some(b']') {
            return Err(Bad::new("Invalid part number"));
        }
    }
    if cursor.peek() != Some(b']') {
        if !path.is_empty() && !label.ends_with(b".") {
            return Err(Bad::new("Invalid section"));
        }
        let word = cursor.take_while(|octet| octet.is_ascii_alphabetic() || octet == b'.').to_ascii_uppercase();
        label.extend_from_slice(&word);
        text = match word.as_slice() {
            b"HEADER" => SectionText::Header,
            b"TEXT" => SectionText::Text,
            b"MIME" if !path.is_empty() => SectionText::Mime,
            b"HEADER.FIELDS" => fields(parse_fields(cursor, label, Pick::Named)?),
            b"HEADER.FIELDS.NOT" => fields(parse_fields(cursor, label, Pick::Others)?),
            _ => return Err(Bad::new("Invalid section")),
        };
    }
    cursor.expect(b']', "Missing ']'")?;
    label.push(b']');
    Ok((path, text))
}

/// `["<" number "." nz-number ">"]`
pub(super) fn parse_partial(cursor: &mut Cursor<'_>) -> Parsed<Option<(u64, u64)>> {
    if !cursor.take(b'<') {
        return Ok(None);
    }
    let start = cursor.number64("Invalid partial")?;
    cursor.expect(b'.', "Invalid partial")?;
    let count = cursor.number64("Invalid partial")?;
    cursor.expect(b'>', "Invalid partial")?;
    if count == 0 { Err(Bad::new("Invalid partial")) } else { Ok(Some((start, count))) }
}

fn fields((names, pick): Fields) -> SectionText {
    SectionText::Fields { names, pick }
}

fn parse_fields(cursor: &mut Cursor<'_>, label: &mut Vec<u8>, pick: Pick) -> Parsed<Fields> {
    cursor.space()?;
    let names =
        cursor.list(HEADER_FIELDS_MAX, "Too many header fields", |cursor| Ok(cursor.astring()?.into_owned()))?;
    if names.is_empty() {
        return Err(Bad::new("Empty header field list"));
    }
    label.extend_from_slice(b" (");
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            label.push(b' ');
        }
        write::astring(label, name);
    }
    label.push(b')');
    Ok((names, pick))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Parsed<Vec<Item>> {
        let mut cursor = Cursor::new(text.as_bytes());
        let items = parse_items(&mut cursor)?;
        cursor.end()?;
        Ok(items)
    }

    fn label(text: &str) -> String {
        let Item::Section(section) = items(text).unwrap().remove(0) else { panic!("no section") };
        let mut out = Vec::new();
        section.write_label(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn sections_are_repeated_as_the_client_will_look_for_them() {
        for (asked, answered) in [
            ("BODY.PEEK[]", "BODY[] "),
            ("body[1.2.header]<7.9>", "BODY[1.2.HEADER]<7> "),
            ("BODY[HEADER.FIELDS (From \"To\")]", "BODY[HEADER.FIELDS (From To)] "),
            ("BODY.PEEK[3.HEADER.FIELDS.NOT (X)]", "BODY[3.HEADER.FIELDS.NOT (X)] "),
            ("BODY[1.MIME]", "BODY[1.MIME] "),
            ("RFC822.TEXT", "RFC822.TEXT "),
        ] {
            assert_eq!(label(asked), answered);
        }
    }

    #[test]
    fn macros_stand_alone() {
        assert_eq!(items("fast").unwrap().len(), 3);
        assert_eq!(items("FULL").unwrap().len(), 5);
        assert_eq!(items("(FLAGS BODY BODYSTRUCTURE)").unwrap().len(), 3);
        for text in [
            "(ALL)",
            "()",
            "ALL FAST",
            "FOO",
            "BODY[",
            "BODY[MIME]",
            "BODY[0]",
            "BODY[1.]",
            "BODY[1TEXT]",
            "BODY[TEXT.1]",
            "BODY[]<1>",
            "BODY[]<0.0>",
            "BODY[HEADER.FIELDS]",
            "BODY[HEADER.FIELDS ()]",
            "RFC822.FOO",
        ] {
            assert!(items(text).is_err(), "{text}");
        }
    }

    #[test]
    fn partials_never_reach_past_the_end() {
        let Item::Section(section) = items("BODY[]<3.5>").unwrap().remove(0) else { panic!("no section") };
        assert_eq!(section.cut(b"0123456789"), b"34567");
        assert_eq!(section.cut(b"0123"), b"3");
        assert_eq!(section.cut(b"0"), b"");
        assert_eq!(section.cut_range(10..12), 12..12);
    }

    #[test]
    fn what_must_be_read_is_known_beforehand() {
        let need = |text: &str| items(text).unwrap().iter().map(Item::need).max();
        assert_eq!(need("(UID FLAGS)"), Some(Need::Row));
        assert_eq!(need("(UID BODY.PEEK[HEADER.FIELDS (From)])"), Some(Need::Summary));
        assert_eq!(need("(ENVELOPE BODY[1])"), Some(Need::Content));
    }
}
