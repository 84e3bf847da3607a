//! Rights in a mailbox (RFC 4314 §2.1), and who has them.

use crate::{AccountId, Mailbox, MailboxId};

/// Rights, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rights(pub u16);

impl Rights {
    /// None.
    pub const NONE: Self = Self(0);
    /// `l`: LIST names it.
    pub const LOOKUP: Self = Self(1);
    /// `r`: SELECT, STATUS, COPY from it.
    pub const READ: Self = Self(1 << 1);
    /// `s`: set and clear `\Seen`, each user their own.
    pub const SEEN: Self = Self(1 << 2);
    /// `w`: set and clear other flags and keywords.
    pub const WRITE: Self = Self(1 << 3);
    /// `i`: APPEND and COPY into it.
    pub const INSERT: Self = Self(1 << 4);
    /// `p`: send mail to its submission address; there is none, so it permits nothing.
    pub const POST: Self = Self(1 << 5);
    /// `k`: create mailboxes below it.
    pub const CREATE: Self = Self(1 << 6);
    /// `x`: delete or rename it.
    pub const DELETE_MAILBOX: Self = Self(1 << 7);
    /// `t`: set and clear `\Deleted`; and what is done to a priced mail here decides about its money.
    pub const DELETE_MESSAGES: Self = Self(1 << 8);
    /// `e`: expunge.
    pub const EXPUNGE: Self = Self(1 << 9);
    /// `a`: read and change who has which rights.
    pub const ADMINISTER: Self = Self(1 << 10);
    /// What an owner has.
    pub const ALL: Self = Self((1 << 11) - 1);

    /// Letters with their rights, in the order they are written. `c` and `d` are RFC 2086's, which RFC 4314 §2.1.1 maps:
    /// here to `kx` and `te`.
    pub const LETTERS: [(char, Self); 13] = [
        ('l', Self::LOOKUP),
        ('r', Self::READ),
        ('s', Self::SEEN),
        ('w', Self::WRITE),
        ('i', Self::INSERT),
        ('p', Self::POST),
        ('k', Self::CREATE),
        ('x', Self::DELETE_MAILBOX),
        ('t', Self::DELETE_MESSAGES),
        ('e', Self::EXPUNGE),
        ('a', Self::ADMINISTER),
        ('c', Self::CREATE.with(Self::DELETE_MAILBOX)),
        ('d', Self::DELETE_MESSAGES.with(Self::EXPUNGE)),
    ];

    /// The rights that letters stand for.
    ///
    /// # Errors
    /// The first character that is no right.
    pub fn parse(letters: &str) -> Result<Self, char> {
        letters.chars().try_fold(Self::NONE, |rights, letter| {
            let found = Self::LETTERS.iter().find(|(known, _)| *known == letter);
            found.map(|(_, right)| rights.with(*right)).ok_or(letter)
        })
    }

    /// Whether all of `other` are there.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is there.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `self` less `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// As in ACL and MYRIGHTS responses: `c` and `d` are shown when one of their members is (RFC 4314 §2.1.1).
impl std::fmt::Display for Rights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Self::LETTERS
            .iter()
            .filter(|(_, right)| self.intersects(*right))
            .try_for_each(|(letter, _)| write!(f, "{letter}"))
    }
}

/// How SETACL combines (RFC 4314 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RightsMode {
    /// These instead of what there is.
    Replace,
    /// `+`
    Add,
    /// `-`
    Remove,
}

/// SETACL or DELETEACL.
#[derive(Debug, Clone)]
pub struct AclChange {
    /// In which mailbox.
    pub mailbox: MailboxId,
    /// Whose rights; never the owner's.
    pub user: AccountId,
    /// How.
    pub mode: RightsMode,
    /// Which.
    pub rights: Rights,
    /// The owner's opening key wrapped for the user: kept while they may read any of the owner's mailboxes.
    pub wrap: Option<Vec<u8>>,
}

/// A mailbox of somebody else in which a user has rights.
#[derive(Debug, Clone)]
pub struct SharedMailbox {
    /// Whose it is.
    pub owner: AccountId,
    /// `local@domain` of the owner.
    pub owner_address: String,
    /// Itself, under its owner's name for it. Subscriptions are each user's own, under the name they see.
    pub mailbox: Mailbox,
    /// What the user may do.
    pub rights: Rights,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_and_written() {
        assert_eq!(Rights::parse("lrswipkxtea").unwrap(), Rights::ALL);
        assert_eq!(Rights::parse("").unwrap().to_string(), "");
        assert_eq!(Rights::parse("cd"), Rights::parse("kxte"));
        assert_eq!(Rights::parse("lrq"), Err('q'));
        assert_eq!(Rights::parse("L"), Err('L'));
        assert_eq!(Rights::parse("lrt").unwrap().to_string(), "lrtd");
        assert_eq!(Rights::ALL.to_string(), "lrswipkxteacd");
    }
}
