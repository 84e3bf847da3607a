//! REPLACE and UID REPLACE (RFC 8508): a new message in, an old one out, in one step.

use store::Uid;

use crate::command::append::{self, Message};
use crate::reply::{Run, Tagged};
use crate::selected::By;
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed};

/// REPLACE.
#[derive(Debug)]
pub(crate) struct Replace {
    pub(super) by: By,
    number: u32,
    mailbox: Vec<u8>,
    message: Message,
}

impl Replace {
    pub(super) fn parse(cursor: &mut Cursor<'_>, by: By) -> Parsed<Self> {
        let number = parse_number(cursor)?;
        let mailbox = append::parse_mailbox(cursor)?;
        // RFC 8508 §4.7: one message, whatever else APPEND may take.
        Ok(Self { by, number, mailbox, message: append::parse_message(cursor)? })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let selected = session.writable()?;
        let rows = &selected.snapshot.rows;
        let row = match self.by {
            By::Number => rows.get(self.number as usize - 1).ok_or(Bad::new("Message number does not exist"))?,
            By::Uid => {
                let index = selected.snapshot.index_of(self.number);
                index.and_then(|index| rows.get(index)).ok_or_else(gone)?
            }
        };
        let old = (selected.mailbox, Uid::new(row.uid).ok_or_else(gone)?);
        let code = append::store_messages(session, &self.mailbox, vec![self.message], Some(old)).await?;
        // RFC 8508 §4.3: APPENDUID comes before the EXPUNGE, which comes with bringing the client in step.
        session.io.out.extend_from_slice(format!("* OK {code}Replacement message is stored\r\n").as_bytes());
        Ok(Tagged::ok("REPLACE completed"))
    }
}

/// RFC 8508 §3.4: what cannot be replaced is not replaced, and nothing is appended.
fn gone() -> Tagged {
    Tagged::no("[NONEXISTENT] No such message")
}

/// ` nz-number`
pub(super) fn parse_number(cursor: &mut Cursor<'_>) -> Parsed<u32> {
    cursor.space()?;
    match cursor.number("Invalid message number")? {
        0 => Err(Bad::new("Invalid message number")),
        number => Ok(number),
    }
}
