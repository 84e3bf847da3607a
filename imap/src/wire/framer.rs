//! Cuts the octets of a connection into commands: a line, with its literals inside.
//!
//! Knows no socket. The driver pushes what it read and polls; a literal stops the machine until the driver has
//! accepted or refused it, because only the session knows whether its octets are wanted.

use bytes::{Buf as _, BytesMut};

use crate::limits::{LINE_BYTES_MAX, LINE_SKIP_BYTES_MAX, LITERALS_MAX};
use crate::wire::cursor::parse_digits;

/// What the framer came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Push more octets.
    More,
    /// A literal is announced: answer with [`Framer::accept_literal`], [`Framer::skip_literal`] or
    /// [`Framer::refuse_literal`].
    Literal(LiteralHeader),
    /// A command is complete, see [`Framer::command`]; [`Framer::next`] goes on.
    Command,
    /// A command that was refused, or longer than [`LINE_BYTES_MAX`], is over; [`Framer::command`] has its
    /// beginning, for the tag.
    Refused,
    /// Too far out of step to go on.
    Lost,
}

/// An announced literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LiteralHeader {
    /// Octets that follow; `u64::MAX` stands for a number beyond counting.
    pub(crate) size: u64,
    /// Whether the client waits for our `+` (RFC 7888: no `+` in the braces).
    pub(crate) synchronising: bool,
    /// Octets of earlier literals of this command.
    pub(crate) before: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Within a line; what was scanned of the input needs no second look.
    Line { scanned: usize },
    /// A literal waits for the driver's word.
    Asked(LiteralHeader),
    /// Within a literal that is kept.
    Literal { left: u64 },
    /// Within a literal that is thrown away.
    Skip { left: u64 },
    /// A command stands in `command`.
    Done,
    /// Out of step.
    Lost,
}

/// The machine. Holds at most one command and what was read beyond it.
#[derive(Debug)]
pub(crate) struct Framer {
    input: BytesMut,
    command: Vec<u8>,
    state: State,
    /// Octets of `command` that belong to lines, not to literals.
    line_bytes: usize,
    literal_bytes: u64,
    literals: usize,
    /// Whether this command will be answered by a refusal, whatever still comes of it.
    refused: bool,
    skipped: usize,
}

impl Framer {
    pub(crate) fn new() -> Self {
        Self {
            input: BytesMut::new(),
            command: Vec::new(),
            state: State::Line { scanned: 0 },
            line_bytes: 0,
            literal_bytes: 0,
            literals: 0,
            refused: false,
            skipped: 0,
        }
    }

    /// Where the driver reads octets into.
    pub(crate) fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// The finished command, without its final line ending.
    pub(crate) fn command(&self) -> &[u8] {
        &self.command
    }

    /// Takes the finished command's octets.
    pub(crate) fn take_command(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.command)
    }

    /// Whether some of a command is here already (the deadline is then that of a stalled command).
    pub(crate) fn is_within_command(&self) -> bool {
        !self.input.is_empty() || !self.command.is_empty() || self.state != State::Line { scanned: 0 }
    }

    /// Whether the driver should read in large pieces.
    pub(crate) fn is_within_literal(&self) -> bool {
        matches!(self.state, State::Literal { left } | State::Skip { left } if left > 8192)
    }

    /// Forgets what was pushed and not used: what came before TLS must not be read as if it came inside
    /// (RFC 3501 §6.2.1, the STARTTLS injection).
    pub(crate) fn discard_input(&mut self) {
        self.input.clear();
    }

    /// Gives buffers back while the session waits.
    pub(crate) fn shrink(&mut self, keep: usize) {
        if self.input.is_empty() && self.input.capacity() > keep {
            self.input = BytesMut::new();
        }
        if self.command.is_empty() {
            self.command = Vec::new();
        }
    }

    /// Goes on behind a finished command.
    pub(crate) fn next(&mut self) {
        self.command.clear();
        self.line_bytes = 0;
        self.literal_bytes = 0;
        self.literals = 0;
        self.refused = false;
        self.skipped = 0;
        self.state = State::Line { scanned: 0 };
    }

    /// The announced literal becomes part of the command. For a synchronising one the driver sends `+` first.
    pub(crate) fn accept_literal(&mut self) {
        if let State::Asked(literal) = self.state {
            self.literal_bytes = self.literal_bytes.saturating_add(literal.size);
            self.literals += 1;
            // One allocation; the driver checked the size against its limit.
            self.command.reserve(usize::try_from(literal.size).unwrap_or(0).min(1 << 20));
            self.state = State::Literal { left: literal.size };
        }
    }

    /// The announced literal is on its way and not wanted: it is read and thrown away, as is the rest of the command.
    pub(crate) fn skip_literal(&mut self) {
        if let State::Asked(literal) = self.state {
            self.refused = true;
            self.state = State::Skip { left: literal.size };
        }
    }

    /// The announced literal was not sent yet and is not wanted: the command ends here (RFC 3501 §7.5 has the client
    /// wait for us).
    pub(crate) fn refuse_literal(&mut self) {
        self.next();
    }

    /// Works on what is there.
    pub(crate) fn poll(&mut self) -> Frame {
        loop {
            match self.state {
                State::Done => return if self.refused { Frame::Refused } else { Frame::Command },
                State::Lost => return Frame::Lost,
                State::Asked(literal) => return Frame::Literal(literal),
                State::Literal { left: 0 } | State::Skip { left: 0 } => self.state = State::Line { scanned: 0 },
                State::Literal { left } => {
                    if self.input.is_empty() {
                        return Frame::More;
                    }
                    let take = self.input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.command.extend_from_slice(&self.input[..take]);
                    self.input.advance(take);
                    self.state = State::Literal { left: left - take as u64 };
                }
                State::Skip { left } => {
                    if self.input.is_empty() {
                        return Frame::More;
                    }
                    let take = self.input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.input.advance(take);
                    self.state = State::Skip { left: left - take as u64 };
                }
                State::Line { scanned } => match self.input[scanned..].iter().position(|&octet| octet == b'\n') {
                    Some(found) => {
                        let length = scanned + found + 1;
                        self.take_line(length);
                    }
                    None if self.input.len() > LINE_BYTES_MAX => {
                        // Keep the end: a literal may be announced there.
                        let drop = self.input.len() - 64;
                        self.overflow(drop);
                        self.state = if self.state == State::Lost { State::Lost } else { State::Line { scanned: 0 } };
                    }
                    None => {
                        self.state = State::Line { scanned: self.input.len() };
                        return Frame::More;
                    }
                },
            }
        }
    }

    /// Drops octets of an over-long line; the first of them stay in `command`, for the tag.
    fn overflow(&mut self, drop: usize) {
        self.refused = true;
        let room = 128_usize.saturating_sub(self.command.len()).min(drop);
        self.command.extend_from_slice(&self.input[..room]);
        self.input.advance(drop);
        self.skipped += drop;
        if self.skipped > LINE_SKIP_BYTES_MAX {
            self.state = State::Lost;
        }
    }

    /// Takes a line of `length` octets, its LF included, from the input.
    fn take_line(&mut self, length: usize) {
        let line = &self.input[..length];
        let text = line.strip_suffix(b"\r\n").unwrap_or(&line[..length - 1]);
        let literal = announced(text);
        let text_length = text.len();
        self.line_bytes += length;
        if self.line_bytes > LINE_BYTES_MAX {
            self.refused = true;
        }
        if !self.refused {
            // The header's line ending stays, so that the parser finds the literal by it.
            let keep = if literal.is_some() { length } else { text_length };
            self.command.extend_from_slice(&self.input[..keep]);
        } else if self.command.is_empty() {
            let keep = text_length.min(128);
            self.command.extend_from_slice(&self.input[..keep]);
        }
        self.input.advance(length);
        self.state = match literal {
            None => State::Done,
            // After a refusal a client that waits for `+` has to be told at once.
            Some((_, true)) if self.refused => State::Done,
            Some((size, false)) if self.refused => State::Skip { left: size },
            Some(_) if self.literals >= LITERALS_MAX => State::Lost,
            Some((size, synchronising)) => {
                State::Asked(LiteralHeader { size, synchronising, before: self.literal_bytes })
            }
        };
        if let State::Skip { left } = self.state
            && left > crate::limits::SKIP_BYTES_MAX
        {
            self.state = State::Lost;
        }
    }
}

/// The literal a line's end announces: its size, and whether it is a synchronising one.
fn announced(line: &[u8]) -> Option<(u64, bool)> {
    let inner = line.strip_suffix(b"}")?;
    let (inner, synchronising) = match inner.strip_suffix(b"+") {
        Some(inner) => (inner, false),
        None => (inner, true),
    };
    let open = inner.iter().rposition(|&octet| octet == b'{')?;
    let digits = &inner[open + 1..];
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((parse_digits(digits).unwrap_or(u64::MAX), synchronising))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framer(input: &[u8]) -> Framer {
        let mut framer = Framer::new();
        framer.input().extend_from_slice(input);
        framer
    }

    #[test]
    fn a_command_is_found_however_its_octets_arrive() {
        let input = b"a LOGIN {5+}\r\nal\r\ne {3+}\r\npas\r\nb NOOP\n";
        for step in 1..input.len() {
            let mut framer = Framer::new();
            let mut commands = Vec::new();
            for piece in input.chunks(step) {
                framer.input().extend_from_slice(piece);
                loop {
                    match framer.poll() {
                        Frame::More => break,
                        Frame::Literal(_) => framer.accept_literal(),
                        Frame::Command => {
                            commands.push(framer.command().to_vec());
                            framer.next();
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
            assert_eq!(commands, [&b"a LOGIN {5+}\r\nal\r\ne {3+}\r\npas"[..], b"b NOOP"]);
        }
    }

    #[test]
    fn a_refused_literal_that_is_on_its_way_is_read_past() {
        let mut framer = framer(b"a APPEND x {6+}\r\nb BYE!\r\nc NOOP\r\n");
        assert!(matches!(framer.poll(), Frame::Literal(LiteralHeader { size: 6, synchronising: false, before: 0 })));
        framer.skip_literal();
        assert_eq!(framer.poll(), Frame::Refused);
        assert!(framer.command().starts_with(b"a APPEND"));
        framer.next();
        assert_eq!(framer.poll(), Frame::Command);
        assert_eq!(framer.command(), b"c NOOP");
    }

    #[test]
    fn a_refused_literal_that_waits_ends_its_command() {
        let mut framer = framer(b"a APPEND x {6}\r\n");
        assert!(matches!(framer.poll(), Frame::Literal(LiteralHeader { synchronising: true, .. })));
        framer.refuse_literal();
        framer.input().extend_from_slice(b"b NOOP\r\n");
        assert_eq!(framer.poll(), Frame::Command);
        assert_eq!(framer.command(), b"b NOOP");
    }

    #[test]
    fn a_line_of_the_limit_passes_and_one_octet_more_is_refused() {
        let line = |length: usize| [b"a ".to_vec(), vec![b'x'; length - 4], b"\r\n".to_vec()].concat();
        let mut exact = framer(&line(LINE_BYTES_MAX));
        assert_eq!(exact.poll(), Frame::Command);
        let mut over = framer(&[line(LINE_BYTES_MAX + 1), b"b NOOP\r\n".to_vec()].concat());
        assert_eq!(over.poll(), Frame::Refused);
        assert!(over.command().starts_with(b"a xx"));
        over.next();
        assert_eq!(over.poll(), Frame::Command);
        assert_eq!(over.command(), b"b NOOP");
    }

    #[test]
    fn an_endless_line_is_given_up() {
        let mut framer = Framer::new();
        for _ in 0..2 * LINE_SKIP_BYTES_MAX / 1024 {
            framer.input().extend_from_slice(&[b'x'; 1024]);
            match framer.poll() {
                Frame::More => assert!(framer.input().len() <= LINE_BYTES_MAX + 1024),
                Frame::Lost => return,
                other => panic!("{other:?}"),
            }
        }
        panic!("never given up");
    }

    #[test]
    fn an_over_long_line_that_announces_a_literal_stays_in_step() {
        let mut framer = framer(&[vec![b'x'; 100_000], b" {4+}\r\nb N\n\r\nc NOOP\r\n".to_vec()].concat());
        assert_eq!(framer.poll(), Frame::Refused);
        framer.next();
        assert_eq!(framer.poll(), Frame::Command);
        assert_eq!(framer.command(), b"c NOOP");
    }

    #[test]
    fn sizes_beyond_counting_are_still_literals() {
        let mut framer = framer(b"a X {99999999999999999999999}\r\n");
        assert!(matches!(framer.poll(), Frame::Literal(LiteralHeader { size: u64::MAX, .. })));
    }
}
