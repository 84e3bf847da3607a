//! What a mailbox is for (RFC 6154, `\Important`: RFC 8457): the born ones by their place, the user's own by CREATE.

use lnmp::Place;
use store::{Mailbox, SpecialUse};

use crate::reply::{Stop, Tagged};
use crate::wire::{Cursor, Parsed};

/// What the user's own folders may be for.
const USES: [(SpecialUse, &str); 4] = [
    (SpecialUse::ARCHIVE, "\\Archive"),
    (SpecialUse::DRAFTS, "\\Drafts"),
    (SpecialUse::SENT, "\\Sent"),
    (SpecialUse::IMPORTANT, "\\Important"),
];

/// Uses in one list: more than there are names for.
const USES_MAX: usize = 20;

/// The attributes of a mailbox.
pub(super) fn names(mailbox: &Mailbox) -> Vec<&'static str> {
    match mailbox.place {
        Place::Sent => vec!["\\Sent"],
        Place::Drafts => vec!["\\Drafts"],
        Place::Archive => vec!["\\Archive"],
        Place::Junk => vec!["\\Junk"],
        Place::Trash => vec!["\\Trash"],
        Place::Own => {
            USES.iter().filter(|(bit, _)| mailbox.special_use.contains(*bit)).map(|(_, name)| *name).collect()
        }
        Place::Inbox | Place::Requests | Place::Unpaid | Place::Queue => Vec::new(),
    }
}

/// `"(" [use-attr *(SP use-attr)] ")"`, as words.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    cursor.list(USES_MAX, "Too many special uses", |cursor| {
        cursor.expect(b'\\', "A special use begins with a backslash")?;
        Ok(format!("\\{}", cursor.atom("Expected a special use")?))
    })
}

/// The value of `/private/specialuse`.
pub(super) fn of_words(words: &[u8]) -> Result<SpecialUse, Stop> {
    let words = String::from_utf8_lossy(words);
    of_names(words.split(' ').filter(|word| !word.is_empty()))
}

/// RFC 6154 §3: what cannot be a special use here is refused before anything is made.
pub(super) fn of_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<SpecialUse, Stop> {
    let mut uses = SpecialUse::NONE;
    for word in names {
        let Some((bit, _)) = USES.iter().find(|(_, name)| name.eq_ignore_ascii_case(word)) else {
            // Moving a paid mail to \Junk or \Trash declines it: that must not happen in one folder and not in another.
            return Err(Tagged::no(
                "[USEATTR] A folder can be for \\Archive, \\Drafts, \\Sent or \\Important; \\Junk and \\Trash are there already",
            )
            .into());
        };
        uses = uses.with(*bit);
    }
    Ok(uses)
}

/// Whether this mailbox can be for that.
pub(super) fn may_be(mailbox: &Mailbox, uses: SpecialUse) -> Result<(), Stop> {
    if mailbox.place == Place::Own || names(mailbox) == of_bits(uses) {
        return Ok(());
    }
    Err(Tagged::no("[USEATTR] What this mailbox is for cannot be changed").into())
}

fn of_bits(uses: SpecialUse) -> Vec<&'static str> {
    USES.iter().filter(|(bit, _)| uses.contains(*bit)).map(|(_, name)| *name).collect()
}
