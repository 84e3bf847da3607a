//! SEARCH (RFC 3501 §6.4.4): reads as little as the keys allow.
//!
//! `key` is what is asked, `scan` finds the messages it holds for, `text` is what BODY and TEXT look into.

mod key;
mod scan;
mod text;

use std::sync::Arc;

use crate::command::search::key::{Key, parse_keys};
use crate::command::search::scan::{Scope, matching};
use crate::reply::{Run, Tagged};
use crate::selected::By;
use crate::session::Session;
use crate::wire::{Bad, Cursor, Parsed, write};

/// SEARCH.
#[derive(Debug)]
pub(crate) struct Search {
    pub(super) by: By,
    /// `None`: a character set that we do not have.
    key: Option<Key>,
}

impl Search {
    pub(super) fn parse(cursor: &mut Cursor<'_>, by: By) -> Parsed<Self> {
        cursor.space()?;
        if cursor.take_word("CHARSET ") {
            let charset = cursor.astring()?;
            if !["UTF-8", "US-ASCII", "UTF8", "ASCII"]
                .iter()
                .any(|known| charset.eq_ignore_ascii_case(known.as_bytes()))
            {
                // The strings cannot be understood, so the rest need not be either.
                cursor.take_while(|_| true);
                return Ok(Self { by, key: None });
            }
            cursor.space()?;
        }
        if cursor.is_at_end() {
            return Err(Bad::new("Missing search key"));
        }
        Ok(Self { by, key: Some(parse_keys(cursor)?) })
    }

    pub(super) async fn run(self, session: &mut Session) -> Run {
        let Some(key) = self.key else {
            return Ok(Tagged::no("[BADCHARSET (US-ASCII UTF-8)] Unknown character set"));
        };
        let scope = Arc::new(Scope::selected(session)?);
        let key = key.resolve(scope.snapshot.count(), scope.snapshot.uid_max());
        let matches = matching(&scope, key).await?;
        let Session { io, selected: Some(selected), .. } = session else {
            return Ok(Tagged::ok("SEARCH completed"));
        };
        io.out.extend_from_slice(b"* SEARCH");
        for index in matches {
            io.out.push(b' ');
            write::number(
                &mut io.out,
                match self.by {
                    By::Number => index as u64 + 1,
                    By::Uid => u64::from(selected.snapshot.rows[index].uid),
                },
            );
        }
        io.out.extend_from_slice(b"\r\n");
        Ok(Tagged::ok("SEARCH completed"))
    }
}
