//! `satchel queue` as it is written.

#![expect(missing_docs, reason = "the fields are documented by the help they make")]

use clap::Subcommand;

use super::{Common, Request};

/// `satchel queue`.
#[derive(Debug, Subcommand)]
pub enum QueueVerb {
    /// List the outgoing mail
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Try now: one, all of a domain, or all
    Retry {
        /// The item
        id: Option<i64>,
        /// Every item for this domain
        #[arg(long, conflicts_with = "id")]
        domain: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Drop one without a bounce
    Remove {
        /// The item
        id: i64,
        #[command(flatten)]
        common: Common,
    },
    /// Hold back until resumed: one, all of a domain, or all
    Suspend {
        /// The item
        id: Option<i64>,
        /// Every item for this domain
        #[arg(long, conflicts_with = "id")]
        domain: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Let suspended mail go on: one, all of a domain, or all
    Resume {
        /// The item
        id: Option<i64>,
        /// Every item for this domain
        #[arg(long, conflicts_with = "id")]
        domain: Option<String>,
        #[command(flatten)]
        common: Common,
    },
}

impl QueueVerb {
    /// What it asks of the house.
    pub fn request(self) -> (Common, Request) {
        match self {
            Self::List { common } => (common, Request::QueueList),
            Self::Retry { id, domain, common } => (common, Request::QueueRetry { id, domain }),
            Self::Remove { id, common } => (common, Request::QueueRemove { id }),
            Self::Suspend { id, domain, common } => (common, Request::QueueSuspend { id, domain }),
            Self::Resume { id, domain, common } => (common, Request::QueueResume { id, domain }),
        }
    }
}
