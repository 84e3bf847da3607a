//! `satchel dkim` as it is written.

#![expect(missing_docs, reason = "the fields are documented by the help they make")]

use std::path::PathBuf;

use clap::Subcommand;

use super::{Common, Request};
use crate::config::{ConfigError, DurationText};

/// `satchel dkim`.
#[derive(Debug, Subcommand)]
pub enum DkimVerb {
    /// List the keys and what they do
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Make a new key of each kind, which takes over once its record had time to be published
    Rotate {
        /// One kind only
        #[arg(long, value_parser = ["ed25519", "rsa"])]
        only: Option<String>,
        /// When it begins to sign; 0s: at once
        #[arg(long, default_value = "2d")]
        after: String,
        #[command(flatten)]
        common: Common,
    },
    /// Bring a key made elsewhere; it takes over from the one of its kind
    Import {
        /// PKCS #8 in PEM form
        file: PathBuf,
        /// When it begins to sign; 0s: at once
        #[arg(long, default_value = "2d")]
        after: String,
        #[command(flatten)]
        common: Common,
    },
}

impl DkimVerb {
    /// What it asks of the house.
    ///
    /// # Errors
    /// A length of time that is none; a folder that is gone.
    pub fn request(self) -> anyhow::Result<(Common, Request)> {
        let ms = |text: &str| -> anyhow::Result<u64> {
            let length: DurationText = text.parse().map_err(|why| ConfigError(format!("--after: {why}")))?;
            Ok(u64::try_from(length.0.as_millis())?)
        };
        Ok(match self {
            Self::List { common } => (common, Request::DkimList),
            Self::Rotate { only, after, common } => (common, Request::DkimRotate { only, after_ms: ms(&after)? }),
            Self::Import { file, after, common } => {
                // The server may stand in another folder.
                let file = std::path::absolute(&file)?;
                (common, Request::DkimImport { file, after_ms: ms(&after)? })
            }
        })
    }
}
