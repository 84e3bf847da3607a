//! Writes the terminals of RFC 3501 §9 into an output buffer.

use crate::wire::cursor::is_astring_char;

/// A decimal number.
pub(crate) fn number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = number;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(left % 10).expect("below ten");
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A text that has only printable characters and spaces, in quotes.
pub(crate) fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for &octet in text {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(octet);
    }
    out.push(b'"');
}

/// The shortest form that can carry the octets: atom, quoted or literal.
pub(crate) fn astring(out: &mut Vec<u8>, text: &[u8]) {
    if !text.is_empty() && text.iter().copied().all(is_astring_char) && !text.eq_ignore_ascii_case(b"NIL") {
        out.extend_from_slice(text);
    } else {
        string(out, text);
    }
}

/// Quoted where that can carry the octets, else a literal.
pub(crate) fn string(out: &mut Vec<u8>, text: &[u8]) {
    if text.len() < 1024 && text.iter().all(|octet| matches!(octet, 0x20..=0x7e)) {
        quoted(out, text);
    } else {
        literal(out, text);
    }
}

/// `"{" size "}" CRLF` before `size` octets.
pub(crate) fn literal_header(out: &mut Vec<u8>, size: u64) {
    out.push(b'{');
    number(out, size);
    out.extend_from_slice(b"}\r\n");
}

/// A whole literal.
pub(crate) fn literal(out: &mut Vec<u8>, octets: &[u8]) {
    literal_header(out, octets.len() as u64);
    out.extend_from_slice(octets);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_text_takes_the_form_that_carries_it() {
        for (text, expected) in [
            ("INBOX", "INBOX"),
            ("a/b", "a/b"),
            ("", "\"\""),
            ("nil", "\"nil\""),
            ("a \"b\\", "\"a \\\"b\\\\\""),
            ("a%", "\"a%\""),
            ("a\r\nb", "{4}\r\na\r\nb"),
        ] {
            assert_eq!(written(|out| astring(out, text.as_bytes())), expected);
        }
        for value in [0, 9, 10, u64::MAX] {
            assert_eq!(written(|out| number(out, value)), value.to_string());
        }
    }
}
