//! Writes replies: code, enhanced status code, text. RFC 5321 §4.2, RFC 2034, RFC 3463.

use std::io::Write as _;

/// An enhanced status code: class, subject, detail. RFC 3463 §2.
pub type Enhanced = (u8, u16, u16);

/// Octets of text in one reply line. RFC 5321 §4.5.3.1.5 allows 512 with code and CRLF.
const LINE_TEXT_BYTES: usize = 400;

/// Appends one reply. A text of several lines, or a long one, becomes a multi-line reply.
pub(crate) fn reply(out: &mut Vec<u8>, code: u16, enhanced: Enhanced, text: &str) {
    let mut rest = text.trim_end();
    loop {
        let (line, next) = split_line(rest);
        let mark = if next.is_empty() { ' ' } else { '-' };
        write!(out, "{code}{mark}{}.{}.{} ", enhanced.0, enhanced.1, enhanced.2).expect("a Vec takes every write");
        push_text(out, line);
        out.extend_from_slice(b"\r\n");
        if next.is_empty() {
            return;
        }
        rest = next;
    }
}

/// Appends a reply without enhanced code: greeting, EHLO, 334, 354 carry none (RFC 2034 §3).
pub(crate) fn plain_reply(out: &mut Vec<u8>, code: u16, lines: &[&str]) {
    for (at, line) in lines.iter().enumerate() {
        let mark = if at + 1 == lines.len() { ' ' } else { '-' };
        write!(out, "{code}{mark}{line}\r\n").expect("a Vec takes every write");
    }
}

/// The first line of a text, and what is left. Long lines break at a space.
fn split_line(text: &str) -> (&str, &str) {
    let end = text.find(['\r', '\n']).unwrap_or(text.len());
    let line = &text[..end];
    if line.len() <= LINE_TEXT_BYTES {
        return (line, text[end..].trim_start_matches(['\r', '\n']));
    }
    let mut cut = LINE_TEXT_BYTES;
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    let cut = text[..cut].rfind(' ').filter(|&space| space > 0).unwrap_or(cut);
    (&text[..cut], text[cut..].trim_start_matches(' '))
}

/// Reply text is printable ASCII (RFC 5321 §4.2); whatever a host hands in must not start a line of its own.
fn push_text(out: &mut Vec<u8>, line: &str) {
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c as u8 } else { b'?' };
    out.extend(line.chars().map(plain));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        reply(&mut out, 550, (5, 7, 1), text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_reply_is_one_line_with_both_codes() {
        assert_eq!(written("no"), "550 5.7.1 no\r\n");
        assert_eq!(written(""), "550 5.7.1 \r\n");
    }

    #[test]
    fn a_text_of_several_lines_stays_one_reply() {
        assert_eq!(written("no\r\n250 yes\n"), "550-5.7.1 no\r\n550 5.7.1 250 yes\r\n");
    }

    #[test]
    fn a_long_text_breaks_at_a_space_within_512_octets() {
        let text = "word ".repeat(300);
        let written = written(&text);
        assert!(written.lines().count() > 3);
        assert!(written.split_inclusive("\r\n").all(|line| line.len() <= 512));
        assert_eq!(written.matches("word").count(), 300);
    }

    #[test]
    fn a_word_without_end_breaks_too() {
        assert!(written(&"é".repeat(1000)).split_inclusive("\r\n").all(|line| line.len() <= 512));
    }

    #[test]
    fn control_octets_never_reach_the_wire() {
        assert_eq!(written("a\u{0}b\u{7f}é"), "550 5.7.1 a?b??\r\n");
    }
}
