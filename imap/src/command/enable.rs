//! ENABLE (RFC 5161).

use crate::limits::ENABLE_NAMES_MAX;
use crate::reply::{Run, Tagged};
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed};

/// ENABLE.
#[derive(Debug)]
pub(crate) struct Enable {
    names: Vec<String>,
}

impl Enable {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        let mut names = Vec::new();
        loop {
            names.push(cursor.atom("Expected a capability")?.to_owned());
            if cursor.is_at_end() {
                return Ok(Self { names });
            }
            if names.len() == ENABLE_NAMES_MAX {
                return Err(Bad::new("Too many capabilities in one ENABLE"));
            }
            cursor.space()?;
        }
    }

    /// RFC 5161 §3.1: what is not advertised, or cannot be enabled, is passed over; the answer names what was not on
    /// before.
    pub(super) fn run(self, session: &mut Session) -> Run {
        let advertised = session.capabilities();
        let mut line = "* ENABLED".to_owned();
        for name in &self.names {
            let known = advertised.split(' ').find(|capability| capability.eq_ignore_ascii_case(name));
            if let Some(known) = known
                && session.turn_on(known)
            {
                line.push(' ');
                line.push_str(known);
            }
        }
        line.push_str("\r\n");
        session.io.out.extend_from_slice(line.as_bytes());
        Ok(Tagged::ok("ENABLE completed"))
    }
}
