//! `satchel group` as it is written.

#![expect(missing_docs, reason = "the fields are documented by the help they make")]

use clap::Subcommand;

use super::{Common, Request};

/// `satchel group`.
#[derive(Debug, Subcommand)]
pub enum GroupVerb {
    /// Make an address that several accounts read and may write as, or add members to one
    Add {
        /// local@domain
        address: String,
        /// An account; may be repeated
        #[arg(long = "member", value_name = "ADDRESS", required = true)]
        members: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Remove the group, or some of its members
    Remove {
        /// local@domain
        address: String,
        /// Only this member; may be repeated
        #[arg(long = "member", value_name = "ADDRESS")]
        members: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// List the groups and their members
    List {
        #[command(flatten)]
        common: Common,
    },
}

impl GroupVerb {
    /// What it asks of the house.
    pub fn request(self) -> (Common, Request) {
        match self {
            Self::Add { address, members, common } => (common, Request::GroupAdd { address, members }),
            Self::Remove { address, members, common } => (common, Request::GroupRemove { address, members }),
            Self::List { common } => (common, Request::GroupList),
        }
    }
}
