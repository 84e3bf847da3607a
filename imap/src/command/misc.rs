//! CAPABILITY, NOOP, CHECK, LOGOUT (RFC 3501 §6.1), ID (RFC 2971), NAMESPACE (RFC 2342).

use crate::command::Command;
use crate::limits::ID_PARAMETERS_MAX;
use crate::reply::{End, Run, Tagged};
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed};

pub(super) fn capability(session: &mut Session) -> Run {
    let line = format!("* CAPABILITY {}\r\n", session.capabilities());
    session.io.out.extend_from_slice(line.as_bytes());
    Ok(Tagged::ok("CAPABILITY completed"))
}

pub(super) fn logout(session: &mut Session, tag: &str) -> Run {
    let lines = format!("* BYE Logging out\r\n{tag} OK LOGOUT completed\r\n");
    session.io.out.extend_from_slice(lines.as_bytes());
    Err(End::LoggedOut.into())
}

/// `NIL`, or a list of pairs. What a client says of itself is not kept.
pub(super) fn parse_id(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    if cursor.is_at_end() {
        return Ok(Command::Id);
    }
    cursor.space()?;
    if !cursor.take_word("NIL") {
        let mut count = 0_usize;
        cursor.list(2 * ID_PARAMETERS_MAX, "Too many ID parameters", |cursor| {
            count += 1;
            if count % 2 == 1 { cursor.string().map(Some) } else { cursor.nstring() }
        })?;
        if count % 2 == 1 {
            return Err(Bad::new("ID parameters come in pairs"));
        }
    }
    Ok(Command::Id)
}

pub(super) fn id(session: &mut Session) -> Run {
    let line = concat!("* ID (\"name\" \"Satchel\" \"version\" \"", env!("CARGO_PKG_VERSION"), "\")\r\n");
    session.io.out.extend_from_slice(line.as_bytes());
    Ok(Tagged::ok("ID completed"))
}

pub(super) fn namespace(session: &mut Session) -> Run {
    session.io.out.extend_from_slice(b"* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) NIL\r\n");
    Ok(Tagged::ok("NAMESPACE completed"))
}
