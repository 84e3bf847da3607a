//! `satchel account` as it is written.

#![expect(missing_docs, reason = "the fields are documented by the help they make")]

use std::path::PathBuf;

use clap::Subcommand;

use super::Common;

/// `satchel account`.
#[derive(Debug, Subcommand)]
pub enum AccountVerb {
    /// Add an account; prints its recovery phrase once
    Add {
        /// local@domain
        address: String,
        /// Read the password from standard input instead of a prompt
        #[arg(long)]
        password_stdin: bool,
        /// `server`: also keep a wrap of the mailbox key under the bridge key (support desks, automation)
        #[arg(long, value_parser = ["none", "server"], default_value = "none")]
        custody: String,
        #[command(flatten)]
        common: Common,
    },
    /// List the accounts
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Change the password: reads the old one (or the recovery phrase), then the new one
    Passwd {
        /// local@domain
        address: String,
        #[command(flatten)]
        common: Common,
    },
    /// Make a password for one mail client; reads the password (or the recovery phrase) first
    AppPassword {
        /// local@domain
        address: String,
        /// What to call it
        #[arg(long, default_value = "")]
        label: String,
        #[command(flatten)]
        common: Common,
    },
    /// Turn IMAP capabilities off (or on again) for an account whose mail client breaks on one; lists them
    Capability {
        /// local@domain
        address: String,
        /// Do not offer this one from the next login on; may be repeated
        #[arg(long, value_name = "NAME")]
        off: Vec<String>,
        /// Offer it again; may be repeated
        #[arg(long, value_name = "NAME")]
        on: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Take a password back: its sessions end at once, other passwords and the mail stay
    Revoke {
        /// local@domain
        address: String,
        /// The app password of this label
        #[arg(long, required_unless_present = "id", conflicts_with = "id")]
        label: Option<String>,
        /// By its number in `account list --json`
        #[arg(long)]
        id: Option<i64>,
        #[command(flatten)]
        common: Common,
    },
    /// Show or set how much an account's mailboxes may hold
    Quota {
        /// local@domain
        address: String,
        /// Octets, or `none`
        #[arg(value_parser = quota)]
        limit: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Turn an account's support queue on or off: the folder `Queue`, open mail in order of payment; or say which it is
    Queue {
        /// local@domain
        address: String,
        /// Turn it on
        #[arg(long, conflicts_with = "off")]
        on: bool,
        /// Turn it off; the mails stay where they are
        #[arg(long)]
        off: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Share a mailbox with another account; without --with, list who has which rights
    Share {
        /// Whose mailbox: local@domain
        owner: String,
        /// Its name, like Requests
        mailbox: Option<String>,
        /// The account to share it with. Reads the owner's password (or the recovery phrase) when a key has to be given
        #[arg(long, value_name = "ADDRESS", requires = "mailbox")]
        with: Option<String>,
        /// What that account may do from now on, in letters of RFC 4314 [default: lrswite]
        #[arg(long, value_name = "LETTERS", requires = "with", value_parser = rights)]
        rights: Option<String>,
        /// Take all rights back
        #[arg(long, requires = "with", conflicts_with = "rights")]
        remove: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Let everybody's mail in free for a while: a mail is expected from somebody unknown
    Expect {
        /// local@domain
        address: String,
        /// How long, like 1h; at most 24h; 0s ends it
        #[arg(long = "for", value_name = "LENGTH", default_value = "1h")]
        length: String,
        #[command(flatten)]
        common: Common,
    },
    /// Pay what the account is owed out by itself: to a Lightning address, or to a wallet by Nostr Wallet Connect; or say how
    /// it goes
    Payout {
        /// local@domain
        address: String,
        /// A Lightning address, like name@wallet.example; in the sandbox also `sandbox`
        #[arg(long, value_name = "TARGET", conflicts_with = "nwc_file")]
        to: Option<String>,
        /// A file with a connection string (nostr+walletconnect://) that allows make_invoice; `-` is standard input
        #[arg(long, value_name = "FILE")]
        nwc_file: Option<PathBuf>,
        /// What stays: whatever exceeds it is paid out, from 1000 sat on
        #[arg(long, value_name = "SAT")]
        above: Option<u64>,
        /// Pay nothing out any more
        #[arg(long, conflicts_with_all = ["to", "nwc_file", "above"])]
        off: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Name a wallet (Nostr Wallet Connect) that pays what other bridges ask for the account's mails, up to
    /// `price --max-auto-pay`; or say whether there is one
    Wallet {
        /// local@domain
        address: String,
        /// A file with a connection string (nostr+walletconnect://) that allows pay_invoice and lookup_invoice; `-` is
        /// standard input
        #[arg(long, value_name = "FILE")]
        nwc_file: Option<PathBuf>,
        /// Forget it: prices are paid from the balance again
        #[arg(long, conflicts_with = "nwc_file")]
        off: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Remove an account and everything of it
    Remove {
        /// local@domain
        address: String,
        #[command(flatten)]
        common: Common,
    },
}

/// A quota as it is written.
fn quota(text: &str) -> Result<String, String> {
    let octets = || text.parse::<u64>().map(|_| ());
    if text == "none" || octets().is_ok() {
        Ok(text.to_owned())
    } else {
        Err("a quota is a number of octets, or none".to_owned())
    }
}

/// Rights as they are written.
fn rights(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("to take all rights back, use --remove".to_owned());
    }
    store::Rights::parse(text).map(|_| text.to_owned()).map_err(crate::sharing::no_right)
}
