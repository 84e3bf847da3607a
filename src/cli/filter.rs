//! `satchel filter` and `satchel allow` as they are written (docs/filters.md).

#![expect(missing_docs, reason = "the fields are documented by the help they make")]

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use lnmp::{Actions, Conditions, Filter, HeaderIs, Msat, Relation};

use super::{Common, Request};
use crate::config::ConfigError;

/// Octets of a header that `filter test` takes: far above any real one, and one line on the control socket.
const HEADER_BYTES_MAX: usize = 32 * 1024;

/// `satchel filter`.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "parsed once a run, and clap flattens no boxes")]
pub enum FilterVerb {
    /// Add a filter; the first whose conditions all hold decides about a mail
    Add {
        /// The account
        address: String,
        /// What to call it
        name: String,
        #[command(flatten)]
        when: When,
        #[command(flatten)]
        then: Then,
        /// Before the filter that is now the Nth; at the end when left out
        #[arg(long, value_name = "N")]
        position: Option<usize>,
        #[command(flatten)]
        common: Common,
    },
    /// List an account's filters in the order they are tried
    List {
        /// The account
        address: String,
        #[command(flatten)]
        common: Common,
    },
    /// Remove one
    Remove {
        /// The account
        address: String,
        /// What it is called
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Say what would become of a mail; reads it from a file or standard input, delivers nothing
    Test {
        /// The account
        address: String,
        /// The mail; standard input when left out
        message: Option<PathBuf>,
        /// As if neither SPF nor DKIM showed who wrote it
        #[arg(long)]
        unverified: bool,
        /// The address it comes to; the account's own when left out
        #[arg(long, value_name = "ADDRESS")]
        to: Option<String>,
        #[command(flatten)]
        common: Common,
    },
}

/// The conditions.
#[derive(Debug, Args)]
pub struct When {
    /// Written by this address
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Written by an address of this domain or one below it
    #[arg(long)]
    domain: Option<String>,
    /// What the author is to the account
    #[arg(long, value_parser = ["unverified", "stranger", "acquaintance", "friend"])]
    relation: Option<String>,
    /// A header field is there, or one contains a text
    #[arg(long, value_name = "NAME[:TEXT]")]
    header: Option<String>,
    /// Larger than this
    #[arg(long, value_name = "OCTETS", value_parser = octets)]
    larger_than: Option<u64>,
    /// Smaller than this
    #[arg(long, value_name = "OCTETS", value_parser = octets)]
    smaller_than: Option<u64>,
    /// It came to this address, or to any with this +DETAIL
    #[arg(long, value_name = "ADDRESS|+DETAIL")]
    to: Option<String>,
}

/// The actions.
#[derive(Debug, Args)]
pub struct Then {
    /// File it into this folder
    #[arg(long, value_name = "FOLDER")]
    file: Option<String>,
    /// Flag it
    #[arg(long)]
    flag: bool,
    /// Mark it with a keyword; may be repeated
    #[arg(long, value_name = "WORD")]
    keyword: Vec<String>,
    /// Ask this much, in sat
    #[arg(long, value_name = "SAT")]
    price: Option<u64>,
    /// Let it in free
    #[arg(long)]
    free: bool,
    /// Refuse it
    #[arg(long)]
    refuse: bool,
}

/// `satchel allow`.
#[derive(Debug, Subcommand)]
pub enum AllowVerb {
    /// Let a domain's authors, or a mailing list, in free
    Add {
        #[command(flatten)]
        entry: Entry,
        #[command(flatten)]
        common: Common,
    },
    /// Take an entry back
    Remove {
        #[command(flatten)]
        entry: Entry,
        #[command(flatten)]
        common: Common,
    },
    /// List whom an account, or the whole bridge, lets in free
    List {
        /// The account; the whole bridge when left out
        #[arg(long = "for", value_name = "ADDRESS")]
        account: Option<String>,
        #[command(flatten)]
        common: Common,
    },
}

/// One entry.
#[derive(Debug, Args)]
pub struct Entry {
    /// A domain; with --list, a List-Id
    name: String,
    /// It is a mailing list
    #[arg(long)]
    list: bool,
    /// The domain whose DKIM signature or SPF vouches for the list, where it is not the List-Id's own
    #[arg(long, value_name = "DOMAIN", requires = "list")]
    by: Option<String>,
    /// The account; the whole bridge when left out
    #[arg(long = "for", value_name = "ADDRESS")]
    account: Option<String>,
}

impl FilterVerb {
    /// What it asks of the house.
    pub fn request(self) -> anyhow::Result<(Common, Request)> {
        Ok(match self {
            Self::Add { address, name, when, then, position, common } => {
                let filter = Filter { name, when: when.conditions()?, then: then.actions()? };
                filter.check().map_err(|why| ConfigError(why.to_string()))?;
                (common, Request::FilterAdd { address, filter, position })
            }
            Self::List { address, common } => (common, Request::FilterList { address }),
            Self::Remove { address, name, common } => (common, Request::FilterRemove { address, name }),
            Self::Test { address, message, unverified, to, common } => {
                let (header, size) = read_header(message.as_deref())?;
                (common, Request::FilterTest { address, header, size, unverified, to })
            }
        })
    }
}

impl AllowVerb {
    /// What it asks of the house.
    pub fn request(self) -> anyhow::Result<(Common, Request)> {
        let entry = |entry: Entry| -> anyhow::Result<_> {
            let allowed = if entry.list {
                lnmp::Allowed::list(&entry.name, entry.by.as_deref())
            } else {
                lnmp::Allowed::domain(&entry.name)
            };
            Ok((entry.account, allowed.map_err(|why| ConfigError(why.to_string()))?))
        };
        Ok(match self {
            Self::Add { entry: given, common } => {
                let (account, allowed) = entry(given)?;
                (common, Request::AllowAdd { account, allowed })
            }
            Self::Remove { entry: given, common } => {
                let (account, allowed) = entry(given)?;
                (common, Request::AllowRemove { account, allowed })
            }
            Self::List { account, common } => (common, Request::AllowList { account }),
        })
    }
}

impl When {
    fn conditions(self) -> anyhow::Result<Conditions> {
        let header = self.header.map(|text| {
            let (name, contains) = text.split_once(':').unwrap_or((&text, ""));
            HeaderIs { name: name.trim().to_owned(), contains: contains.trim().to_owned() }
        });
        Ok(Conditions {
            from: self.from.map(|text| text.to_lowercase()),
            domain: self.domain.map(|text| text.trim_end_matches('.').to_lowercase()),
            relation: self.relation.as_deref().and_then(Relation::parse),
            header,
            larger_than: self.larger_than,
            smaller_than: self.smaller_than,
            to: self.to.map(|text| text.to_lowercase()),
        })
    }
}

impl Then {
    fn actions(self) -> anyhow::Result<Actions> {
        let price =
            self.price.map(|sat| Msat::from_sat(sat).ok_or_else(|| ConfigError(format!("{sat} sat is too much"))));
        Ok(Actions {
            file: self.file,
            flag: self.flag,
            keywords: self.keyword,
            price: price.transpose()?,
            free: self.free,
            refuse: self.refuse,
        })
    }
}

/// A number of octets, or of `K`, `M`, `G` of them.
fn octets(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1024),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1024 * 1024),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1024 * 1024 * 1024),
        _ => (text, 1),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    number.ok_or_else(|| "a size is a number of octets, or one with K, M or G, like 10M".to_owned())
}

/// The header of a mail, and how large the whole is.
fn read_header(path: Option<&Path>) -> anyhow::Result<(String, u64)> {
    let mut message = Vec::new();
    match path {
        Some(path) => {
            message = std::fs::read(path).with_context(|| path.display().to_string())?;
        }
        None => {
            std::io::stdin().lock().read_to_end(&mut message)?;
        }
    }
    let header = &message[..converter::header_length(&message)];
    if header.len() > HEADER_BYTES_MAX {
        return Err(ConfigError(format!("the header has {} octets; allowed: {HEADER_BYTES_MAX}", header.len())).into());
    }
    Ok((String::from_utf8_lossy(header).into_owned(), message.len() as u64))
}
