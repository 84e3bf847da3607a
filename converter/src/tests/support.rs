//! One round trip with every check on it, and a small deterministic source of chance.

use lnmp::AttachmentRef;

use crate::split::{SplitLimits, split_by};
use crate::{Layout, Piece, ReadAt, Structure, Summary, Windows, encode_base64_range, join};

/// splitmix64: enough chance for tests, and the same on every machine.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// Cut from `attachment` octets on, with room for everything else to be tried too.
pub(crate) fn small(attachment: u64, skeleton: usize) -> SplitLimits {
    SplitLimits { attachment, skeleton, attachments: 20, header: 200 }
}

/// Splits, joins, and reads `ranges` through the layout. Says what differs, without printing the mail.
pub(crate) fn round_trip(message: &[u8], limits: SplitLimits, ranges: &[(usize, usize)]) -> Result<usize, String> {
    let split = split_by(message, &Structure::scan(message), limits);
    let cuts = split.cuts.clone();
    let plain: Vec<Vec<u8>> = cuts.iter().map(|cut| cut.plaintext(message).into_owned()).collect();
    let mut last = 0;
    for (cut, plain) in cuts.iter().zip(&plain) {
        if cut.source.start < last || cut.source.is_empty() {
            return Err(format!("cut {:?} after {last}", cut.source));
        }
        last = cut.source.end;
        let chunked: Vec<u8> =
            (0..cut.size()).step_by(51).flat_map(|at| cut.read(&mut &*message, at..at + 51)).collect();
        if chunked != *plain || cut.size() != plain.len() as u64 {
            return Err(format!("chunks of {:?} differ", cut.source));
        }
    }
    let references = plain.iter().map(|plain| AttachmentRef {
        cid: String::new(),
        key: [0; 32],
        size: plain.len() as u64,
        sha256: [0; 32],
    });
    let content = split.into_content(references.collect()).map_err(|error| error.to_string())?;
    if content.skeleton.len() > limits.skeleton.max(limits.header) {
        return Err(format!("skeleton of {}", content.skeleton.len()));
    }
    if cuts.len() > limits.attachments {
        return Err(format!("{} cuts", cuts.len()));
    }
    let layout = Layout::new(&content).map_err(|error| error.to_string())?;
    if layout.size() != message.len() as u64 {
        return Err(format!("size {} for {}", layout.size(), message.len()));
    }
    if join(&content, |index| &plain[index]).map_err(|error| error.to_string())? != message {
        return Err("joined octets differ".to_owned());
    }
    for &(start, end) in ranges {
        let mut out = Vec::new();
        for piece in layout.pieces(start as u64..end as u64) {
            let size = out.len() as u64 + piece.size();
            match piece {
                Piece::Skeleton(range) => out.extend_from_slice(&content.skeleton[range]),
                Piece::Verbatim { attachment, range } => {
                    out.extend_from_slice(&plain[attachment][range.start as usize..range.end as usize]);
                }
                Piece::Base64 { attachment, encoded_range, plain_range } => {
                    let attached = &content.attachments[attachment];
                    let needed = &plain[attachment][plain_range.start as usize..plain_range.end as usize];
                    let encoding = attached.place.encoding;
                    let size = attached.reference.size;
                    let encoded = encode_base64_range(needed, plain_range.start, encoding, size, encoded_range);
                    out.extend_from_slice(&encoded.map_err(|error| error.to_string())?);
                }
            }
            if out.len() as u64 != size {
                return Err("a piece misjudged its size".to_owned());
            }
        }
        let end = end.min(message.len());
        if out != message[start.min(end)..end] {
            return Err(format!("range {start}..{end} differs"));
        }
    }
    Ok(cuts.len())
}

/// A slice that is read as if it were far away.
#[derive(Debug)]
pub(crate) struct Far<'a>(pub(crate) &'a [u8]);

impl ReadAt for Far<'_> {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&mut self, at: u64, into: &mut [u8]) -> std::io::Result<()> {
        let at = at as usize;
        into.copy_from_slice(self.0.get(at..at + into.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Whether a mail that is read in windows of `bytes` is what it is in memory: its parts, summary, cuts and content.
pub(crate) fn check_windows(message: &[u8], limits: SplitLimits, bytes: usize) -> Result<(), String> {
    let mut windows = Windows::of_size(Far(message), bytes);
    let structure = Structure::scan(message);
    if Structure::scan(&mut windows) != structure {
        return Err(format!("the structure differs in windows of {bytes}"));
    }
    if Summary::of_scanned(&mut windows, &structure) != Summary::of_scanned(message, &structure) {
        return Err(format!("the summary differs in windows of {bytes}"));
    }
    let split = split_by(message, &structure, limits);
    let far = split_by(&mut windows, &structure, limits);
    if far.cuts != split.cuts {
        return Err(format!("the cuts differ in windows of {bytes}: {:?} and {:?}", far.cuts, split.cuts));
    }
    let references = split.cuts.iter().map(|cut| AttachmentRef {
        cid: String::new(),
        key: [0; 32],
        size: cut.size(),
        sha256: [0; 32],
    });
    let references: Vec<_> = references.collect();
    let cuts = split.cuts.clone();
    if far.into_content(references.clone()) != split.into_content(references) {
        return Err(format!("the content differs in windows of {bytes}"));
    }
    for cut in cuts {
        let plain = cut.plaintext(message);
        let chunked: Vec<u8> = (0..cut.size()).step_by(51).flat_map(|at| cut.read(&mut windows, at..at + 51)).collect();
        if chunked != *plain {
            return Err(format!("chunks of {:?} differ in windows of {bytes}", cut.source));
        }
    }
    windows.fault().map_or(Ok(()), |fault| Err(fault.to_string()))
}

/// Summarises and checks what must hold for every mail.
pub(crate) fn check_summary(message: &[u8]) -> Result<Summary, String> {
    let summary = Summary::of(message);
    let encoded = summary.encode();
    if Summary::decode(&encoded).as_ref() != Ok(&summary) {
        return Err("the summary does not survive its encoding".to_owned());
    }
    for (name, text) in
        [("ENVELOPE", &summary.envelope), ("BODY", &summary.body), ("BODYSTRUCTURE", &summary.bodystructure)]
    {
        valid_imap(text).map_err(|error| format!("{name}: {error}: {}", String::from_utf8_lossy(text)))?;
    }
    for part in &summary.parts {
        let ordered = part.header.start <= part.header.end && part.header.end <= part.body.start;
        if !ordered || part.body.start > part.body.end || part.body.end > summary.size {
            return Err(format!("part out of range: {part:?}"));
        }
    }
    if !summary.header_truncated && summary.header != message[..summary.parts[0].header.end as usize] {
        return Err("the header differs".to_owned());
    }
    Ok(summary)
}

/// Reads one parenthesised list of strings, literals, numbers and NIL: all that these answers may hold.
pub(crate) fn valid_imap(text: &[u8]) -> Result<(), String> {
    let mut at = 0;
    let mut depth = 0_usize;
    while at < text.len() {
        match text[at] {
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1).ok_or("unbalanced")?,
            b'"' => {
                at += 1;
                while text.get(at) != Some(&b'"') {
                    match text.get(at) {
                        Some(b'\\') if matches!(text.get(at + 1), Some(b'"' | b'\\')) => at += 1,
                        Some(b'\\') => return Err("a stray backslash".to_owned()),
                        Some(0 | b'\r' | b'\n' | 0x80..) => return Err("an octet that cannot be quoted".to_owned()),
                        Some(_) => {}
                        None => return Err("an open string".to_owned()),
                    }
                    at += 1;
                }
            }
            b'{' => {
                let close = text[at..].iter().position(|&byte| byte == b'}').ok_or("an open literal")? + at;
                let digits = std::str::from_utf8(&text[at + 1..close]).map_err(|error| error.to_string())?;
                let size: usize = digits.parse().map_err(|_| "a literal without size")?;
                let literal = text.get(close + 3..close + 3 + size).ok_or("a short literal")?;
                if &text[close + 1..close + 3] != b"\r\n" || literal.contains(&0) {
                    return Err("a broken literal".to_owned());
                }
                at = close + 2 + size;
            }
            b'N' if text[at..].starts_with(b"NIL") => at += 2,
            b'0'..=b'9' | b' ' => {}
            other => return Err(format!("byte {other:#04x} at {at}")),
        }
        at += 1;
        if depth == 0 && at < text.len() {
            return Err("text after the list".to_owned());
        }
    }
    if depth == 0 { Ok(()) } else { Err("an open list".to_owned()) }
}
