//! `satchel contact` as it is written.

#![expect(missing_docs, reason = "the fields are documented by the help they make")]

use clap::Subcommand;

use super::{Common, Request};

/// `satchel contact`.
#[derive(Debug, Subcommand)]
pub enum ContactVerb {
    /// Let an author through free
    Friend {
        /// The account
        owner: String,
        /// The author's address
        author: String,
        #[command(flatten)]
        common: Common,
    },
    /// Price an author as an acquaintance
    Acquaintance {
        /// The account
        owner: String,
        /// The author's address
        author: String,
        #[command(flatten)]
        common: Common,
    },
    /// Price an author as a stranger
    Stranger {
        /// The account
        owner: String,
        /// The author's address
        author: String,
        #[command(flatten)]
        common: Common,
    },
    /// List an account's contacts
    List {
        /// The account
        owner: String,
        #[command(flatten)]
        common: Common,
    },
}

impl ContactVerb {
    /// What it asks of the house.
    pub fn request(self) -> (Common, Request) {
        let set = |owner, author, relation: &str| Request::ContactSet { owner, author, relation: relation.to_owned() };
        match self {
            Self::Friend { owner, author, common } => (common, set(owner, author, "friend")),
            Self::Acquaintance { owner, author, common } => (common, set(owner, author, "acquaintance")),
            Self::Stranger { owner, author, common } => (common, set(owner, author, "stranger")),
            Self::List { owner, common } => (common, Request::ContactList { owner }),
        }
    }
}
