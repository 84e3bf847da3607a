//! What an author is to a recipient, as far as it can be trusted.

use lnmp::Relation;

/// What is known when a mail comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// An authenticated identifier aligns with the author's domain.
    pub aligned: bool,
    /// The relation stored for the author's address.
    pub contact: Option<Relation>,
    /// It answers a mail that the user sent to this author.
    pub replies: bool,
    /// A pass that needs no alignment: one stored for this From and its evidence when the user let such a
    /// mail in, or our own keyed tag in the return path of a bounce.
    pub pass: bool,
}

/// The relation. Nothing forgeable makes anybody near: a stored relation and an answer count only for an aligned
/// author, because a From line alone is anybody's to write.
pub fn relation(known: &Known) -> Relation {
    if known.pass {
        return Relation::Friend;
    }
    if !known.aligned {
        return Relation::Unverified;
    }
    if known.replies {
        return Relation::Friend;
    }
    match known.contact {
        None | Some(Relation::Unverified | Relation::Stranger) => Relation::Stranger,
        Some(Relation::Acquaintance) => Relation::Acquaintance,
        Some(Relation::Friend) => Relation::Friend,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Relation::{Acquaintance, Friend, Stranger, Unverified};

    #[test]
    fn a_stored_relation_and_an_answer_count_only_when_aligned() {
        let table = [
            // aligned, stored, replies, pass -> relation
            (true, None, false, false, Stranger),
            (true, Some(Unverified), false, false, Stranger),
            (true, Some(Stranger), false, false, Stranger),
            (true, Some(Acquaintance), false, false, Acquaintance),
            (true, Some(Friend), false, false, Friend),
            (true, None, true, false, Friend),
            (true, Some(Stranger), true, false, Friend),
            (true, None, false, true, Friend),
            (false, None, false, false, Unverified),
            (false, Some(Friend), false, false, Unverified),
            (false, Some(Friend), true, false, Unverified),
            (false, None, true, false, Unverified),
            (false, None, false, true, Friend),
            (false, Some(Stranger), false, true, Friend),
        ];
        for (aligned, contact, replies, pass, expected) in table {
            let known = Known { aligned, contact, replies, pass };
            assert_eq!(relation(&known), expected, "{known:?}");
        }
    }
}
