//! `satchel alias` as it is written.

#![expect(missing_docs, reason = "the fields are documented by the help they make")]

use clap::Subcommand;

use super::{Common, Request};
use crate::config::{ConfigError, DurationText};

/// `satchel alias`.
#[derive(Debug, Subcommand)]
pub enum AliasVerb {
    /// Add an address for an account; with an end, mail to it is free
    Add {
        /// local@domain
        address: String,
        /// The account
        #[arg(long = "for")]
        account: String,
        /// When it stops, like 24h
        #[arg(long)]
        expires: Option<String>,
        /// How many mails it takes
        #[arg(long)]
        max_uses: Option<u32>,
        #[command(flatten)]
        common: Common,
    },
    /// List the aliases
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Remove one
    Remove {
        /// local@domain
        address: String,
        #[command(flatten)]
        common: Common,
    },
}

impl AliasVerb {
    /// What it asks of the house.
    ///
    /// # Errors
    /// A length of time that is none.
    pub fn request(self) -> anyhow::Result<(Common, Request)> {
        Ok(match self {
            Self::Add { address, account, expires, max_uses, common } => {
                let expires_ms = match expires {
                    Some(text) => {
                        let length: DurationText =
                            text.parse().map_err(|why| ConfigError(format!("--expires: {why}")))?;
                        u64::try_from(length.0.as_millis()).ok()
                    }
                    None => None,
                };
                (common, Request::AliasAdd { address, account, expires_ms, max_uses })
            }
            Self::List { common } => (common, Request::AliasList),
            Self::Remove { address, common } => (common, Request::AliasRemove { address }),
        })
    }
}
