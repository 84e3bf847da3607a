//! Takes a message out of DATA or BDAT: dots, line ends, and where it stops. RFC 5321 §4.5.2, RFC 3030.
//!
//! Only CRLF.CRLF ends DATA. Servers that disagree about that let one mail smuggle in another; so a line end that is
//! not CRLF is refused or mended, and one beside a lone dot is refused always.

use memchr::memchr2;

/// What to do with a CR or LF that stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BareNewlines {
    /// Answer `550 5.6.11`. The default: the message that arrives is the message that was sent.
    #[default]
    Refuse,
    /// Make it CRLF, for old devices that cannot do better. Signatures over such a message break.
    Normalise,
}

/// What was wrong with the line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineFault {
    /// A CR or LF alone.
    Bare,
    /// A dot between line ends of which one is not CRLF.
    Smuggling,
}

/// Decodes content octet by octet, in any cuts.
#[derive(Debug)]
pub(crate) struct Decoder {
    framing: Framing,
    policy: BareNewlines,
    at: At,
    fault: Option<LineFault>,
}

/// What ends the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// CRLF.CRLF, with dots stuffed.
    Dots,
    /// A count, kept by the caller.
    Chunks,
    /// The same of any octets: they are what they are. RFC 3030 §3.
    Binary,
}

/// Where the last octet left us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// After CRLF, or at the very beginning.
    LineStart,
    /// After CRLF and a dot that is not part of the text.
    Dot,
    /// After that dot and a CR.
    DotCr,
    /// Within a line.
    Text,
    /// After a CR within a line.
    Cr,
    /// After a line end that was not CRLF.
    BareStart,
    /// After such a line end and a dot.
    BareDot,
}

impl Decoder {
    pub(crate) fn new(framing: Framing, policy: BareNewlines) -> Self {
        Self { framing, policy, at: At::LineStart, fault: None }
    }

    /// The first fault found.
    pub(crate) fn fault(&self) -> Option<LineFault> {
        match (self.fault, self.at) {
            (None, At::Cr | At::DotCr) if self.policy == BareNewlines::Refuse => Some(LineFault::Bare),
            (fault, _) => fault,
        }
    }

    /// Appends the text in `input` to `text`. Returns how much of it belonged to the message, and whether it ended.
    pub(crate) fn decode(&mut self, input: &[u8], text: &mut Vec<u8>) -> (usize, bool) {
        if self.framing == Framing::Binary {
            text.extend_from_slice(input);
            return (input.len(), false);
        }
        let mut pos = 0;
        while pos < input.len() {
            let octet = input[pos];
            match self.at {
                At::LineStart if octet == b'.' && self.framing == Framing::Dots => {
                    self.at = At::Dot;
                    pos += 1;
                }
                At::LineStart => self.at = At::Text,
                At::Dot => match octet {
                    b'\r' => {
                        self.at = At::DotCr;
                        pos += 1;
                    }
                    b'\n' => {
                        self.fault = Some(LineFault::Smuggling);
                        self.at = At::Text;
                    }
                    // RFC 5321 §4.5.2: the first dot of a longer line is taken away.
                    _ => self.at = At::Text,
                },
                At::DotCr if octet == b'\n' => {
                    self.at = At::LineStart;
                    return (pos + 1, true);
                }
                At::DotCr => {
                    self.fault = Some(LineFault::Smuggling);
                    self.at = At::Text;
                }
                At::Text => {
                    let Some(found) = memchr2(b'\r', b'\n', &input[pos..]) else {
                        text.extend_from_slice(&input[pos..]);
                        return (input.len(), false);
                    };
                    text.extend_from_slice(&input[pos..pos + found]);
                    pos += found + 1;
                    if input[pos - 1] == b'\r' {
                        self.at = At::Cr;
                    } else {
                        self.bare(text);
                    }
                }
                At::Cr if octet == b'\n' => {
                    text.extend_from_slice(b"\r\n");
                    self.at = At::LineStart;
                    pos += 1;
                }
                At::Cr => self.bare(text),
                At::BareStart if octet == b'.' => {
                    text.push(b'.');
                    self.at = At::BareDot;
                    pos += 1;
                }
                At::BareStart => self.at = At::Text,
                At::BareDot => {
                    if octet == b'\r' || octet == b'\n' {
                        self.fault = Some(LineFault::Smuggling);
                    }
                    self.at = At::Text;
                }
            }
        }
        (pos, false)
    }

    fn bare(&mut self, text: &mut Vec<u8>) {
        if self.policy == BareNewlines::Refuse {
            self.fault.get_or_insert(LineFault::Bare);
        }
        text.extend_from_slice(b"\r\n");
        self.at = At::BareStart;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Decoded = (String, Option<usize>, Option<LineFault>);

    /// Decodes in cuts of every size; all must agree.
    fn decoded(framing: Framing, policy: BareNewlines, wire: &str) -> Decoded {
        let once = |size: usize| {
            let mut decoder = Decoder::new(framing, policy);
            let (mut text, mut taken) = (Vec::new(), 0);
            for cut in wire.as_bytes().chunks(size) {
                let (used, ended) = decoder.decode(cut, &mut text);
                taken += used;
                if ended {
                    return (String::from_utf8(text).unwrap(), Some(taken), decoder.fault());
                }
            }
            (String::from_utf8(text).unwrap(), None, decoder.fault())
        };
        let whole = once(wire.len());
        for size in 1..wire.len() {
            assert_eq!(once(size), whole, "{wire:?} in cuts of {size}");
        }
        whole
    }

    #[test]
    fn only_crlf_dot_crlf_ends_and_stuffed_dots_are_taken_away() {
        for (wire, text) in [
            (".\r\n", ""),
            ("a\r\n.\r\n", "a\r\n"),
            ("..\r\n.a\r\n...\r\n.\r\n", ".\r\na\r\n..\r\n"),
            ("a.b\r\n\r\n.\r\n", "a.b\r\n\r\n"),
        ] {
            let (got, end, fault) = decoded(Framing::Dots, BareNewlines::Refuse, &format!("{wire}QUIT\r\n"));
            assert_eq!((got.as_str(), end, fault), (text, Some(wire.len()), None), "{wire:?}");
        }
    }

    #[test]
    fn every_smuggling_sequence_is_content_and_refused_in_both_modes() {
        for sequence in ["\n.\n", "\n.\r\n", "\r.\r\n", "\r.\r", "\r.\n", "\r\n.\n", "\r\n.\r", "\n.\r", "\r\n.\rx"] {
            for policy in [BareNewlines::Refuse, BareNewlines::Normalise] {
                let wire = format!("a{sequence}MAIL FROM:<x@y>\r\n.\r\n");
                let (text, end, fault) = decoded(Framing::Dots, policy, &wire);
                assert_eq!(end, Some(wire.len()), "{sequence:?}");
                assert!(text.contains("MAIL FROM"), "{sequence:?}");
                assert!(fault.is_some(), "{sequence:?} {policy:?}");
            }
        }
    }

    #[test]
    fn bare_line_ends_are_refused_or_mended() {
        for wire in ["a\nb\r\n.\r\n", "a\rb\r\n.\r\n"] {
            assert_eq!(decoded(Framing::Dots, BareNewlines::Refuse, wire).2, Some(LineFault::Bare));
            let (text, end, fault) = decoded(Framing::Dots, BareNewlines::Normalise, wire);
            assert_eq!((text.as_str(), end, fault), ("a\r\nb\r\n", Some(wire.len()), None));
        }
    }

    #[test]
    fn chunks_keep_their_dots() {
        let wire = ".a\r\n..b\r\n.\r\nc";
        assert_eq!(decoded(Framing::Chunks, BareNewlines::Refuse, wire), (wire.into(), None, None));
    }

    #[test]
    fn binary_content_is_what_was_sent() {
        let wire = "\n.\n\r.\r\n.\r\n\0\r";
        assert_eq!(decoded(Framing::Binary, BareNewlines::Refuse, wire), (wire.into(), None, None));
    }

    #[test]
    fn a_chunk_that_ends_in_a_lone_cr_is_at_fault() {
        assert_eq!(decoded(Framing::Chunks, BareNewlines::Refuse, "a\r").2, Some(LineFault::Bare));
    }
}
