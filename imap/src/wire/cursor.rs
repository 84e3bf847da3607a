//! Reads the terminals of RFC 3501 §9 from a complete command, literals included.

use std::borrow::Cow;

/// Why a command is `BAD`; the text is what the client reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad(pub(crate) Cow<'static, str>);

impl Bad {
    /// With a fixed text.
    pub(crate) const fn new(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

/// What every parser here returns.
pub(crate) type Parsed<T> = Result<T, Bad>;

/// A place in a command. Never runs past the end, never copies more than it returns.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

/// `ATOM-CHAR`: printable ASCII but `atom-specials`.
pub(crate) fn is_atom_char(octet: u8) -> bool {
    matches!(octet, 0x21..=0x7e) && !matches!(octet, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// `ASTRING-CHAR`: `ATOM-CHAR` and `]`.
pub(crate) fn is_astring_char(octet: u8) -> bool {
    is_atom_char(octet) || octet == b']'
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(command: &'a [u8]) -> Self {
        Self { rest: command }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether nothing but forgiven trailing spaces is left.
    pub(crate) fn is_at_end_but_spaces(&self) -> bool {
        self.rest.iter().all(|&octet| octet == b' ')
    }

    /// Takes `octet` if it comes next.
    pub(crate) fn take(&mut self, octet: u8) -> bool {
        let taken = self.peek() == Some(octet);
        if taken {
            self.rest = &self.rest[1..];
        }
        taken
    }

    /// Takes `word` if it comes next, in any case.
    pub(crate) fn take_word(&mut self, word: &str) -> bool {
        let taken = self.rest.len() >= word.len() && self.rest[..word.len()].eq_ignore_ascii_case(word.as_bytes());
        if taken {
            self.rest = &self.rest[word.len()..];
        }
        taken
    }

    pub(crate) fn expect(&mut self, octet: u8, text: &'static str) -> Parsed<()> {
        if self.take(octet) { Ok(()) } else { Err(Bad::new(text)) }
    }

    /// One space between arguments. More than one is forgiven, as every server does.
    pub(crate) fn space(&mut self) -> Parsed<()> {
        self.expect(b' ', "Missing argument")?;
        while self.take(b' ') {}
        Ok(())
    }

    /// The end of the command; trailing spaces are forgiven.
    pub(crate) fn end(&mut self) -> Parsed<()> {
        while self.take(b' ') {}
        if self.rest.is_empty() { Ok(()) } else { Err(Bad::new("Too many arguments")) }
    }

    pub(crate) fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.rest.iter().position(|&octet| !accept(octet)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    /// `atom`
    pub(crate) fn atom(&mut self, text: &'static str) -> Parsed<&'a str> {
        let atom = self.take_while(is_atom_char);
        if atom.is_empty() {
            return Err(Bad::new(text));
        }
        std::str::from_utf8(atom).map_err(|_| Bad::new(text))
    }

    /// `number`, at most 2³²−1.
    pub(crate) fn number(&mut self, text: &'static str) -> Parsed<u32> {
        self.number64(text)?.try_into().map_err(|_| Bad::new(text))
    }

    /// A number of any size that fits 64 bits.
    pub(crate) fn number64(&mut self, text: &'static str) -> Parsed<u64> {
        let digits = self.take_while(|octet| octet.is_ascii_digit());
        parse_digits(digits).ok_or_else(|| Bad::new(text))
    }

    /// `mod-sequence-valzer`: 63 bits (RFC 7162 §7).
    pub(crate) fn modseq(&mut self) -> Parsed<u64> {
        const INVALID: Bad = Bad::new("Invalid modification sequence: 0 to 9223372036854775807 are allowed");
        let number = self.number64("Invalid modification sequence")?;
        if i64::try_from(number).is_ok() { Ok(number) } else { Err(INVALID) }
    }

    /// `quoted`, `literal`: anything but an atom.
    pub(crate) fn string(&mut self) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            // RFC 3501 §9: `CHAR8`, which a message's data may go beyond (RFC 3516 §6), and no other string.
            Some(b'{') => match self.literal()? {
                literal if literal.contains(&0) => Err(Bad::new("Strings cannot hold NUL")),
                literal => Ok(Cow::Borrowed(literal)),
            },
            _ => Err(Bad::new("Expected a string")),
        }
    }

    /// `astring`
    pub(crate) fn astring(&mut self) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => {
                // Octets above 0x7f outside a string are no IMAP; clients that send raw UTF-8 names quote them.
                let atom = self.take_while(is_astring_char);
                if atom.is_empty() { Err(Bad::new("Expected an atom or a string")) } else { Ok(Cow::Borrowed(atom)) }
            }
        }
    }

    /// `list-mailbox`: an `astring` in which wildcards are fine.
    pub(crate) fn list_mailbox(&mut self) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => {
                let atom = self.take_while(|octet| is_astring_char(octet) || matches!(octet, b'%' | b'*'));
                if atom.is_empty() { Err(Bad::new("Expected a mailbox pattern")) } else { Ok(Cow::Borrowed(atom)) }
            }
        }
    }

    /// `nstring`
    pub(crate) fn nstring(&mut self) -> Parsed<Option<Cow<'a, [u8]>>> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string().map(Some);
        }
        if self.take_word("NIL") { Ok(None) } else { Err(Bad::new("Expected a string or NIL")) }
    }

    fn quoted(&mut self) -> Parsed<Cow<'a, [u8]>> {
        const UNTERMINATED: Bad = Bad::new("Unterminated quoted string");
        let inner = &self.rest[1..];
        let stop = inner.iter().position(|octet| matches!(octet, b'"' | b'\\')).ok_or(UNTERMINATED)?;
        if inner[..stop].iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
            return Err(Bad::new("Quoted strings cannot hold NUL, CR or LF"));
        }
        if inner[stop] == b'"' {
            self.rest = &inner[stop + 1..];
            return in_utf8(Cow::Borrowed(&inner[..stop]));
        }
        let mut out = inner[..stop].to_vec();
        let mut at = stop;
        loop {
            match inner.get(at).copied() {
                Some(b'"') => break,
                Some(b'\\') => {
                    // RFC 3501 §9: only `"` and `\` may follow; others are taken as they are, as clients quote
                    // Windows paths and regular expressions wrongly.
                    let next = *inner.get(at + 1).ok_or(UNTERMINATED)?;
                    if !matches!(next, b'"' | b'\\') {
                        return Err(Bad::new("Escaped character is neither a quote nor a backslash"));
                    }
                    out.push(next);
                    at += 2;
                }
                Some(b'\r' | b'\n' | 0) => return Err(Bad::new("Quoted strings cannot hold NUL, CR or LF")),
                Some(octet) => {
                    out.push(octet);
                    at += 1;
                }
                None => return Err(UNTERMINATED),
            }
        }
        self.rest = &inner[at + 1..];
        in_utf8(Cow::Owned(out))
    }

    /// `literal`; the framer has made sure that its octets are here.
    pub(crate) fn literal(&mut self) -> Parsed<&'a [u8]> {
        let length = self.literal_header()?;
        self.literal_octets(length)
    }

    /// What a literal's header announced.
    pub(crate) fn literal_octets(&mut self, length: usize) -> Parsed<&'a [u8]> {
        if self.rest.len() < length {
            return Err(Bad::new("Literal is shorter than announced"));
        }
        let (literal, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(literal)
    }

    /// `"{" number ["+"] "}" CRLF`: the octets of the literal come next.
    pub(crate) fn literal_header(&mut self) -> Parsed<usize> {
        self.expect(b'{', "Expected a literal")?;
        let length = self.number("Invalid literal size")?;
        self.take(b'+');
        self.expect(b'}', "Invalid literal size")?;
        self.take(b'\r');
        self.expect(b'\n', "Invalid literal size")?;
        Ok(length as usize)
    }

    /// `literal8` (RFC 3516 §6): whether a tilde before a literal's header says that its octets may hold NUL.
    pub(crate) fn take_tilde(&mut self) -> bool {
        self.rest.get(1) == Some(&b'{') && self.take(b'~')
    }

    /// `"(" item *(SP item) ")"`, or nothing between the parentheses; at most `max` items.
    pub(crate) fn list<T>(
        &mut self,
        max: usize,
        too_many: &'static str,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        self.expect(b'(', "Expected a list")?;
        let mut items = Vec::new();
        while self.take(b' ') {}
        while !self.take(b')') {
            if items.len() == max {
                return Err(Bad::new(too_many));
            }
            items.push(item(self)?);
            if !matches!(self.peek(), Some(b' ' | b')')) {
                return Err(Bad::new(if self.is_at_end() { "Missing ')'" } else { "Unexpected character in list" }));
            }
            while self.take(b' ') {}
        }
        Ok(items)
    }
}

/// RFC 6855 §3: what is 8-bit between quotes is UTF-8, or BAD.
fn in_utf8(quoted: Cow<'_, [u8]>) -> Parsed<Cow<'_, [u8]>> {
    match std::str::from_utf8(&quoted) {
        Ok(_) => Ok(quoted),
        Err(_) => Err(Bad::new("Quoted strings are UTF-8; send other octets as a literal")),
    }
}

/// Decimal digits as a number; `None` for none or too many.
pub(crate) fn parse_digits(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_all_kinds_are_read() {
        for (text, expected) in [
            (&b"\"a\\\"b\\\\\""[..], &b"a\"b\\"[..]),
            (b"\"\"", b""),
            (b"{3}\r\na b", b"a b"),
            (b"{0+}\r\n", b""),
            (b"INBOX]", b"INBOX]"),
        ] {
            let mut cursor = Cursor::new(text);
            assert_eq!(cursor.astring().unwrap().as_ref(), expected);
            assert!(cursor.is_at_end());
        }
    }

    #[test]
    fn broken_strings_say_what_is_wrong() {
        for (text, expected) in [
            (&b"\"abc"[..], "Unterminated quoted string"),
            (b"\"abc\\", "Unterminated quoted string"),
            (b"\"a\\n\"", "Escaped character is neither a quote nor a backslash"),
            (b"\"a\nb\"", "Quoted strings cannot hold NUL, CR or LF"),
            (b"\"a\xff\"", "Quoted strings are UTF-8; send other octets as a literal"),
            (b"\"\\\"\xff\"", "Quoted strings are UTF-8; send other octets as a literal"),
            (b"{99999999999}\r\n", "Invalid literal size"),
            (b"{5}\r\nab", "Literal is shorter than announced"),
            (b"(", "Expected an atom or a string"),
            (b"", "Expected an atom or a string"),
        ] {
            assert_eq!(Cursor::new(text).astring(), Err(Bad::new(expected)));
        }
    }

    #[test]
    fn lists_end_where_they_should() {
        let list =
            |text: &'static str| Cursor::new(text.as_bytes()).list(3, "Too many", |c| c.atom("Expected an atom"));
        assert_eq!(list("()").unwrap(), Vec::<&str>::new());
        assert_eq!(list("( a  b )").unwrap(), ["a", "b"]);
        assert_eq!(list("(a b c d)"), Err(Bad::new("Too many")));
        assert_eq!(list("(a"), Err(Bad::new("Missing ')'")));
        assert_eq!(list("(a\"b\")"), Err(Bad::new("Unexpected character in list")));
    }
}
