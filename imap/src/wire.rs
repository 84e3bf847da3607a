//! Octets to words and back: the grammar's terminals (RFC 3501 §9), framing, and the writer.

pub(crate) mod cursor;
pub(crate) mod date;
pub(crate) mod framer;
pub(crate) mod sequence;
pub(crate) mod write;

pub(crate) use cursor::{Bad, Cursor, Parsed};
pub(crate) use framer::{Frame, Framer, LiteralHeader};
pub(crate) use sequence::SequenceSet;
