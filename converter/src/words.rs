//! The lexical layer of RFC 5322 §3.2 and RFC 2045 §5.1: comments, quoted strings, tokens, parameters.
//!
//! Reads leniently and never fails: mail that breaks the grammar still has to be shown.

use std::borrow::Cow;

/// A cursor over a raw field value, folded or not.
pub(crate) struct Words<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next octet, and steps over it.
    pub(crate) fn bump(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Steps over one octet, if it is this one.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Steps over whitespace, line endings and comments.
    pub(crate) fn skip_cfws(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(b'(') => {
                    self.comment(None);
                }
                _ => return,
            }
        }
    }

    /// Reads a comment at the cursor, nested ones with it; `into` gets its text unescaped.
    pub(crate) fn comment(&mut self, mut into: Option<&mut Vec<u8>>) {
        let mut depth = 0_usize;
        while let Some(byte) = self.bump() {
            let keep = match byte {
                b'(' => {
                    depth += 1;
                    depth > 1
                }
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                    true
                }
                b'\\' => {
                    if let (Some(escaped), Some(into)) = (self.bump(), into.as_deref_mut()) {
                        into.push(escaped);
                    }
                    false
                }
                b'\r' | b'\n' => false,
                _ => true,
            };
            if let (true, Some(into)) = (keep, into.as_deref_mut()) {
                into.push(byte);
            }
        }
    }

    /// Reads a quoted string at the cursor into `into`, unescaped and unfolded. The closing quote may be missing.
    pub(crate) fn quoted_into(&mut self, into: &mut Vec<u8>) {
        self.at += 1;
        while let Some(byte) = self.bump() {
            match byte {
                b'"' => return,
                b'\\' => into.extend(self.bump().filter(|byte| !matches!(byte, b'\r' | b'\n'))),
                b'\r' | b'\n' => {}
                _ => into.push(byte),
            }
        }
    }

    /// The quoted string at the cursor, if there is one.
    pub(crate) fn quoted(&mut self) -> Option<Vec<u8>> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let mut text = Vec::new();
        self.quoted_into(&mut text);
        Some(text)
    }

    /// Everything up to the first octet that `stop` names, or the end.
    pub(crate) fn until(&mut self, stop: impl Fn(u8) -> bool) -> &'a [u8] {
        let start = self.at;
        self.at = self.bytes[start..].iter().position(|&byte| stop(byte)).map_or(self.bytes.len(), |n| start + n);
        &self.bytes[start..self.at]
    }

    /// A token (RFC 2045 §5.1), empty when there is none at the cursor.
    pub(crate) fn token(&mut self) -> &'a [u8] {
        self.until(|byte| byte <= b' ' || byte == 0x7f || b"()<>@,;:\\\"/[]?=".contains(&byte))
    }
}

/// Unfolds a value and trims it (RFC 5322 §2.2.3): line endings go, the space after them stays.
pub(crate) fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect())
}

/// A media type or a disposition with its parameters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameterised<'a> {
    /// `text` of `text/plain`, `attachment` of a disposition.
    pub(crate) value: &'a [u8],
    /// `plain` of `text/plain`.
    pub(crate) subtype: &'a [u8],
    /// Names and values, RFC 2231 pieces put together.
    pub(crate) parameters: Vec<Parameter<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter<'a> {
    pub(crate) name: Cow<'a, [u8]>,
    pub(crate) value: Vec<u8>,
}

impl Parameterised<'_> {
    pub(crate) fn parameter(&self, name: &str) -> Option<&[u8]> {
        let found = self.parameters.iter().find(|p| p.name.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|p| &*p.value)
    }
}

/// Whether a Content-Type is `kind/subtype`, without reading its parameters.
pub(crate) fn media_type(value: &[u8]) -> Option<(&[u8], &[u8], Words<'_>)> {
    let mut words = Words::new(value);
    words.skip_cfws();
    let kind = words.token();
    words.skip_cfws();
    if kind.is_empty() || !words.eat(b'/') {
        return None;
    }
    words.skip_cfws();
    let subtype = words.token();
    if subtype.is_empty() { None } else { Some((kind, subtype, words)) }
}

/// Reads a Content-Type (RFC 2045 §5.1); `None` when it has no `type/subtype`, which then counts as absent.
pub(crate) fn content_type(value: &[u8]) -> Option<Parameterised<'_>> {
    let (kind, subtype, words) = media_type(value)?;
    Some(Parameterised { value: kind, subtype, parameters: parameters(words) })
}

/// Reads a Content-Disposition (RFC 2183); `None` when it has no type.
pub(crate) fn disposition(value: &[u8]) -> Option<Parameterised<'_>> {
    let mut words = Words::new(value);
    words.skip_cfws();
    let kind = words.token();
    if kind.is_empty() {
        None
    } else {
        Some(Parameterised { value: kind, subtype: b"", parameters: parameters(words) })
    }
}

/// A piece of a parameter split by RFC 2231 §3: `name*3*`.
struct Piece<'a> {
    base: &'a [u8],
    order: u32,
    extended: bool,
    value: Vec<u8>,
}

fn parameters<'a>(mut words: Words<'a>) -> Vec<Parameter<'a>> {
    let mut found = Vec::new();
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    while words.peek().is_some() {
        words.skip_cfws();
        if words.eat(b';') {
            continue;
        }
        let name = words.token();
        words.skip_cfws();
        if name.is_empty() || !words.eat(b'=') {
            // Not a parameter: on to the next, and never stand still.
            if name.is_empty() {
                words.bump();
            }
            words.until(|byte| byte == b';');
            continue;
        }
        words.skip_cfws();
        let value = match words.quoted() {
            Some(quoted) => quoted,
            // Lenient where real mailers are sloppy: `name=my file.pdf` and `charset=ISO 8859-1`.
            None => words.until(|byte| matches!(byte, b';' | b'(' | b'\r' | b'\n' | b'"')).trim_ascii().to_vec(),
        };
        match piece(name) {
            Some((base, order, extended)) => pieces.push(Piece { base, order, extended, value }),
            None => found.push(Parameter { name: Cow::Borrowed(name), value }),
        }
    }
    if !pieces.is_empty() {
        join_pieces(pieces, &mut found);
    }
    found
}

/// Takes `name*3*` apart. `name*` alone is no piece: its value is whole already.
fn piece(name: &[u8]) -> Option<(&[u8], u32, bool)> {
    let star = memchr::memchr(b'*', name)?;
    let (base, rest) = (&name[..star], &name[star + 1..]);
    let (digits, extended) = match rest.strip_suffix(b"*") {
        Some(digits) => (digits, true),
        None => (rest, false),
    };
    let order = std::str::from_utf8(digits).ok()?.parse().ok()?;
    if base.is_empty() { None } else { Some((base, order, extended)) }
}

/// Puts the pieces together in order, up to the first gap. A result with any extended piece is `name*`
/// with every octet that needs it percent-encoded, as Dovecot does: IMAP shows parameters undecoded.
fn join_pieces<'a>(mut pieces: Vec<Piece<'a>>, found: &mut Vec<Parameter<'a>>) {
    let key = |piece: &Piece<'_>| (piece.base.to_ascii_lowercase(), piece.order);
    pieces.sort_by_cached_key(key);
    let mut rest = &pieces[..];
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|piece| piece.base.eq_ignore_ascii_case(first.base)).count();
        let (group, later) = rest.split_at(same);
        rest = later;
        let whole = group.iter().enumerate().take_while(|(index, piece)| piece.order as usize == *index).count();
        let group = &group[..whole];
        if group.is_empty() {
            continue;
        }
        let extended = group.iter().any(|piece| piece.extended);
        let mut value = Vec::new();
        if extended && !group[0].extended {
            value.extend_from_slice(b"''");
        }
        for piece in group {
            if extended && !piece.extended {
                percent_encode(&piece.value, &mut value);
            } else {
                value.extend_from_slice(&piece.value);
            }
        }
        let name = if extended { Cow::Owned([first.base, b"*"].concat()) } else { Cow::Borrowed(first.base) };
        found.push(Parameter { name, value });
    }
}

fn percent_encode(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        // RFC 2231 §7 attribute-char.
        if byte <= b' ' || byte >= 0x7f || b"*'%()<>@,;:\\\"/[]?=".contains(&byte) {
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            out.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let all = content_type(value.as_bytes()).expect("a media type").parameters;
        all.iter().map(|p| (text(&p.name), text(&p.value))).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn parameters_are_read_as_people_write_them() {
        assert_eq!(read("text/plain; charset=us-ascii (Plain text)"), pairs(&[("charset", "us-ascii")]));
        assert_eq!(read("a/b; x=\"q\\\"s\";; y=z ;"), pairs(&[("x", "q\"s"), ("y", "z")]));
        assert_eq!(read("a/b; name=my file.pdf; x"), pairs(&[("name", "my file.pdf")]));
        assert_eq!(read("multipart/mixed; boundary=\"foo\r\n bar\""), pairs(&[("boundary", "foo bar")]));
        assert_eq!(read("a / b ; = x; \"; q=\"open"), pairs(&[("q", "open")]));
    }

    #[test]
    fn split_parameters_are_put_together() {
        assert_eq!(read("a/b; u*1=\"/b\"; u*0=\"ftp:/\""), pairs(&[("u", "ftp://b")]));
        assert_eq!(
            read("a/b; t*0*=us-ascii'en'This%20is; t*1=\"n't it\"; t*3=lost"),
            pairs(&[("t*", "us-ascii'en'This%20isn%27t%20it")])
        );
        assert_eq!(read("a/b; name*=utf-8''x%20y"), pairs(&[("name*", "utf-8''x%20y")]));
    }

    #[test]
    fn a_broken_media_type_counts_as_none() {
        for broken in ["", "text", "/plain", "text/", "; charset=x", "\"text\"/plain"] {
            assert_eq!(content_type(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn comments_nest_and_may_stay_open() {
        let mut text = Vec::new();
        Words::new(b"(a (b\\) c) d) e").comment(Some(&mut text));
        assert_eq!(text, b"a (b) c) d");
        Words::new(b"((((").comment(None);
    }
}
