//! Puts a message on the wire: dots stuffed, every line ended by CRLF, and the final dot. RFC 5321 §4.5.2.

use memchr::memchr2;

/// Encodes a message in any cuts. A CR or LF alone becomes CRLF: nothing we send can smuggle.
#[derive(Debug)]
pub(super) struct DotStuffer {
    at: At,
}

#[derive(Debug, PartialEq, Eq)]
enum At {
    LineStart,
    Text,
    Cr,
}

impl DotStuffer {
    pub(super) fn new() -> Self {
        Self { at: At::LineStart }
    }

    pub(super) fn encode(&mut self, message: &[u8], wire: &mut Vec<u8>) {
        let mut rest = message;
        while let Some(&octet) = rest.first() {
            match self.at {
                At::LineStart => {
                    if octet == b'.' {
                        wire.push(b'.');
                    }
                    self.at = At::Text;
                }
                At::Cr => {
                    wire.extend_from_slice(b"\r\n");
                    self.at = At::LineStart;
                    if octet == b'\n' {
                        rest = &rest[1..];
                    }
                }
                At::Text => {
                    let end = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                    wire.extend_from_slice(&rest[..end]);
                    match rest.get(end) {
                        None => return,
                        Some(b'\r') => self.at = At::Cr,
                        Some(_) => {
                            wire.extend_from_slice(b"\r\n");
                            self.at = At::LineStart;
                        }
                    }
                    rest = &rest[end + 1..];
                }
            }
        }
    }

    pub(super) fn finish(self, wire: &mut Vec<u8>) {
        if self.at != At::LineStart {
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{Decoder, Framing};
    use crate::{BareNewlines, limits};

    fn wire(message: &str) -> String {
        let once = |size: usize| {
            let (mut stuffer, mut wire) = (DotStuffer::new(), Vec::new());
            message.as_bytes().chunks(size).for_each(|cut| stuffer.encode(cut, &mut wire));
            stuffer.finish(&mut wire);
            String::from_utf8(wire).unwrap()
        };
        let whole = once(limits::SPOOL_CHUNK_BYTES);
        (1..=message.len()).for_each(|size| assert_eq!(once(size), whole));
        whole
    }

    #[test]
    fn lines_and_dots_are_mended() {
        for (message, expected) in [
            ("", ".\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            (".\r\n..a\r\n", "..\r\n...a\r\n.\r\n"),
            ("a\n.\nb\r.\rc\r", "a\r\n..\r\nb\r\n..\r\nc\r\n.\r\n"),
            ("a\r\n\r\nb\n\n", "a\r\n\r\nb\r\n\r\n.\r\n"),
        ] {
            assert_eq!(wire(message), expected, "{message:?}");
        }
    }

    #[test]
    fn what_is_sent_is_what_arrives() {
        let message = ".\r\n..\r\na\r\n\r\n.b\r\n.";
        let mut text = Vec::new();
        let mut decoder = Decoder::new(Framing::Dots, BareNewlines::Refuse);
        let wire = wire(message);
        assert_eq!(decoder.decode(wire.as_bytes(), &mut text), (wire.len(), true));
        assert_eq!(String::from_utf8(text).unwrap(), format!("{message}\r\n"));
        assert!(decoder.fault().is_none());
    }
}
