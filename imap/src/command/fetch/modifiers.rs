//! What stands behind the items of a FETCH: CHANGEDSINCE and VANISHED (RFC 7162), PARTIAL (RFC 9394).

use crate::command::search::returns::Window;
use crate::selected::By;
use crate::wire::{Bad, Cursor, Parsed};

/// `fetch-modifier`s (RFC 4466 §2.4). Each of ours is given once at most.
const MODIFIERS_MAX: usize = 3;

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Modifiers {
    /// Only messages changed after this. 0 means all: Apple Mail asks so (mail.md quirk 16).
    pub(super) changed_since: Option<u64>,
    /// And UIDs that vanished after it.
    pub(super) vanished: bool,
    /// Only this part of the messages named.
    pub(super) partial: Option<Window>,
}

impl Modifiers {
    /// The rest of the command.
    pub(super) fn parse(cursor: &mut Cursor<'_>, by: By) -> Parsed<Self> {
        let mut modifiers = Self::default();
        if cursor.is_at_end() {
            return Ok(modifiers);
        }
        cursor.space()?;
        if cursor.is_at_end() {
            return Ok(modifiers);
        }
        cursor.list(MODIFIERS_MAX, "Too many FETCH modifiers", |cursor| {
            match cursor.atom("Invalid FETCH modifier")?.to_ascii_uppercase().as_str() {
                "CHANGEDSINCE" => {
                    cursor.space()?;
                    modifiers.changed_since = Some(cursor.modseq()?);
                }
                // RFC 7162 §3.2.6: BAD with a FETCH by message numbers.
                "VANISHED" if by == By::Uid => modifiers.vanished = true,
                "PARTIAL" if by == By::Uid => {
                    cursor.space()?;
                    modifiers.partial = Some(Window::parse(cursor)?);
                }
                "VANISHED" | "PARTIAL" => return Err(Bad::new("VANISHED and PARTIAL are for UID FETCH only")),
                _ => return Err(Bad::new("Unknown FETCH modifier: CHANGEDSINCE, VANISHED and PARTIAL are known")),
            }
            Ok(())
        })?;
        if modifiers.vanished && modifiers.changed_since.is_none() {
            // RFC 7162 §3.2.6
            return Err(Bad::new("VANISHED needs CHANGEDSINCE"));
        }
        Ok(modifiers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_are_read_in_any_order_and_refused_where_they_mean_nothing() {
        let read = |text: &str, by| Modifiers::parse(&mut Cursor::new(text.as_bytes()), by);
        let both = read(" (partial -1:-30 CHANGEDSINCE 98305)", By::Uid).unwrap();
        assert_eq!(both.changed_since, Some(98305));
        assert_eq!(both.partial.map(|window| window.of(100)), Some(70..100));
        assert_eq!(read(" (CHANGEDSINCE 0)", By::Number).unwrap().changed_since, Some(0));
        assert!(read(" (CHANGEDSINCE 5 VANISHED)", By::Uid).unwrap().vanished);
        assert_eq!(read("", By::Uid), Ok(Modifiers::default()));
        for text in [
            " (VANISHED)",
            " (CHANGEDSINCE)",
            " (CHANGEDSINCE 9223372036854775808)",
            " (PARTIAL 0:1)",
            " (PARTIAL 1:-2)",
            " (FOO)",
            " x",
        ] {
            assert!(read(text, By::Uid).is_err(), "{text}");
        }
        assert!(read(" (CHANGEDSINCE 5 VANISHED)", By::Number).is_err());
        assert!(read(" (PARTIAL 1:5)", By::Number).is_err());
    }
}
