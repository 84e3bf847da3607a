//! Content-Transfer-Encodings undone piece by piece (RFC 2045 §6): whatever the size, a few octets are kept between
//! pieces. What breaks the rules is decoded as far as it can be, as mail programs do.

/// Octets of white space at the end of a quoted-printable line that may turn out to be padding. RFC 2045 §6.7 has
/// lines of 76; what is longer than any line of a mail (RFC 5322 §2.1.1) is no padding.
const PADDING_BYTES_MAX: usize = 998;

/// A decoder with what it keeps between pieces.
#[derive(Debug, Clone)]
pub(super) enum Decoder {
    /// 7bit, 8bit, binary.
    Identity,
    Base64 {
        bits: u32,
        digits: u8,
    },
    QuotedPrintable {
        padding: Vec<u8>,
        escape: Option<Vec<u8>>,
    },
}

impl Decoder {
    /// By the value of the field; `None` for an encoding nobody knows here.
    pub(super) fn of(field: &[u8]) -> Option<Self> {
        let word: Vec<u8> = without_comments(field).split(|octet| matches!(octet, b';' | b' ')).next()?.to_vec();
        Some(match word.to_ascii_lowercase().as_slice() {
            b"" | b"7bit" | b"8bit" | b"binary" => Self::Identity,
            b"base64" => Self::Base64 { bits: 0, digits: 0 },
            b"quoted-printable" => Self::QuotedPrintable { padding: Vec::new(), escape: None },
            _ => return None,
        })
    }

    /// Decodes a piece.
    pub(super) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Identity => out.extend_from_slice(input),
            Self::Base64 { bits, digits } => {
                out.reserve(input.len() / 4 * 3 + 3);
                for &octet in input {
                    let Some(value) = digit(octet) else {
                        if octet == b'=' {
                            flush(bits, digits, out);
                        }
                        continue;
                    };
                    *bits = *bits << 6 | value;
                    *digits += 1;
                    if *digits == 4 {
                        out.extend_from_slice(&bits.to_be_bytes()[1..]);
                        (*bits, *digits) = (0, 0);
                    }
                }
            }
            Self::QuotedPrintable { padding, escape } => {
                out.reserve(input.len());
                for &octet in input {
                    quoted_printable(octet, padding, escape, out);
                }
            }
        }
    }

    /// What is left at the end.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Identity => {}
            Self::Base64 { bits, digits } => flush(bits, digits, out),
            Self::QuotedPrintable { padding, escape } => {
                // White space at the very end is padding too; a lone `=` there is a soft line break.
                padding.clear();
                if let Some([digit @ (b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')]) = escape.take().as_deref() {
                    out.extend_from_slice(&[b'=', *digit]);
                }
            }
        }
    }
}

/// `(comments)` and white space around a token.
fn without_comments(field: &[u8]) -> Vec<u8> {
    let mut depth = 0_u32;
    let mut out = Vec::new();
    for &octet in field {
        match octet {
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            b'\r' | b'\n' | b'\t' | b' ' => out.push(b' '),
            _ => out.push(octet),
        }
    }
    out.trim_ascii().to_vec()
}

fn digit(octet: u8) -> Option<u32> {
    Some(
        match octet {
            b'A'..=b'Z' => octet - b'A',
            b'a'..=b'z' => octet - b'a' + 26,
            b'0'..=b'9' => octet - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        }
        .into(),
    )
}

/// The octets of an unfinished group of four.
fn flush(bits: &mut u32, digits: &mut u8, out: &mut Vec<u8>) {
    match *digits {
        2 => out.push((*bits >> 4) as u8),
        3 => out.extend_from_slice(&[(*bits >> 10) as u8, (*bits >> 2) as u8]),
        _ => {}
    }
    (*bits, *digits) = (0, 0);
}

fn quoted_printable(octet: u8, padding: &mut Vec<u8>, escape: &mut Option<Vec<u8>>, out: &mut Vec<u8>) {
    if let Some(begun) = escape.take() {
        match (begun.as_slice(), octet) {
            // A soft line break, perhaps behind white space that was added on the way.
            (_, b'\n') => return,
            ([] | [b' '], b'\r') => return *escape = Some(vec![b'\r']),
            ([] | [b' '], b' ' | b'\t') => return *escape = Some(vec![b' ']),
            ([], digit) if digit.is_ascii_hexdigit() => return *escape = Some(vec![digit]),
            ([high], low) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let hex = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
                return out.push(hex(*high) << 4 | hex(low));
            }
            // RFC 2045 §6.7: no encoder writes that. Shown as it stands.
            (begun, _) => {
                out.push(b'=');
                out.extend_from_slice(begun);
            }
        }
    }
    match octet {
        b'=' => {
            out.append(padding);
            *escape = Some(Vec::new());
        }
        b' ' | b'\t' if padding.len() < PADDING_BYTES_MAX => padding.push(octet),
        b'\r' | b'\n' => {
            padding.clear();
            out.push(octet);
        }
        _ => {
            out.append(padding);
            out.push(octet);
        }
    }
}

/// Ends every line with CR LF.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    last: u8,
}

impl Lines {
    pub(super) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.reserve(input.len());
        let mut rest = input;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            out.extend_from_slice(&rest[..at]);
            let before = if at == 0 { self.last } else { rest[at - 1] };
            if before != b'\r' {
                out.push(b'\r');
            }
            out.push(b'\n');
            self.last = b'\n';
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
        self.last = rest.last().copied().unwrap_or(self.last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoding: &str, text: &[u8], step: usize) -> String {
        let mut decoder = Decoder::of(encoding.as_bytes()).unwrap();
        let mut out = Vec::new();
        text.chunks(step).for_each(|piece| decoder.feed(piece, &mut out));
        decoder.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn pieces_of_any_size_decode_to_the_same() {
        for (encoding, text, expected) in [
            (" base64", &b"aGVs\r\nbG8h\r\n"[..], "hello!"),
            ("BASE64 (as ever)", b"aGVsbG8=\r\n", "hello"),
            ("base64", b"aGVsbA", "hell"),
            ("base64", b"aGk=aGk=", "hihi"),
            ("quoted-printable", b"J=C3=BCrgen =\r\n =\r\nwrites  \r\nto=20\r\n", "J\u{fc}rgen  writes\r\nto \r\n"),
            ("quoted-printable", b"a=\nb= \t\r\nc\t d\t", "abc\t d"),
            ("quoted-printable", b"1=zz =4 =4", "1=zz =4 =4"),
            ("quoted-printable", b"x=", "x"),
            ("7bit", b"a = b", "a = b"),
            ("", b"a", "a"),
        ] {
            for step in 1..=text.len() {
                assert_eq!(decoded(encoding, text, step), expected, "{encoding} by {step}");
            }
        }
        assert!(Decoder::of(b"x-uuencode").is_none());
    }

    #[test]
    fn no_octets_make_a_decoder_keep_more_than_a_line() {
        let mut decoder = Decoder::of(b"quoted-printable").unwrap();
        let mut out = Vec::new();
        decoder.feed(&[b' '; 100_000], &mut out);
        assert!(out.len() + PADDING_BYTES_MAX >= 100_000, "{}", out.len());
        for odd in [&b"=\r=\r=\r"[..], b"= = = \0", b"=4=4=\r4"] {
            for _ in 0..1000 {
                decoder.feed(odd, &mut out);
            }
        }
        decoder.finish(&mut out);
    }

    #[test]
    fn lines_end_with_cr_lf_however_they_came() {
        let text = b"\na\r\nb\nc\r\n\r\n\n d\r";
        for step in 1..=text.len() {
            let (mut lines, mut out) = (Lines::default(), Vec::new());
            text.chunks(step).for_each(|piece| lines.feed(piece, &mut out));
            assert_eq!(out, b"\r\na\r\nb\r\nc\r\n\r\n\r\n d\r", "by {step}");
        }
    }
}
