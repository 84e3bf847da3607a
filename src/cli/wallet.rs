//! `satchel wallet` as it is written.

#![expect(missing_docs, reason = "the fields are documented by the help they make")]

use clap::Subcommand;

use super::{Common, Request};

/// `satchel wallet`.
#[derive(Debug, Subcommand)]
pub enum WalletVerb {
    /// What users are owed, what is held, what the node has
    Balance {
        #[command(flatten)]
        common: Common,
    },
    /// An ordinary invoice of the bridge
    Invoice {
        /// In sat
        amount: u64,
        /// For the payer's eyes
        #[arg(long, default_value = "")]
        description: String,
        #[command(flatten)]
        common: Common,
    },
    /// Pay an invoice from the bridge's node
    Pay {
        /// The invoice
        bolt11: String,
        #[command(flatten)]
        common: Common,
    },
    /// The channels, and how much they can hold
    Channels {
        #[command(flatten)]
        common: Common,
    },
    /// Show the 24 words that bring back what the embedded node has on the chain
    Seed {
        #[command(flatten)]
        common: Common,
    },
    /// Give a directory that has no node yet the words of another; they are read from the terminal or standard input
    Restore {
        /// The block from which on coins are looked for over a bitcoind; without it the first that a Satchel can have seen
        #[arg(long)]
        since: Option<u32>,
        #[command(flatten)]
        common: Common,
    },
    /// A new address on the chain that pays the embedded node
    Address {
        #[command(flatten)]
        common: Common,
    },
    /// Book as the operator's what was sent to the node on the chain
    Deposit {
        /// In sat, at most what the node has more than the books say
        sat: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Where the node is, and the source of its blocks
    Chain {
        #[command(flatten)]
        common: Common,
    },
    /// Pay an invoice from what an account is owed; the fees on the way are the account's
    Payout {
        /// Whose money
        address: String,
        /// The invoice
        bolt11: String,
        #[command(flatten)]
        common: Common,
    },
    /// Every movement of an account, or of the whole ledger
    Statement {
        /// Whose; without it all accounts of the ledger
        address: Option<String>,
        /// As comma-separated values
        #[arg(long, conflicts_with = "json")]
        csv: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Compare the ledger with the node and with itself; fails on a difference
    Audit {
        #[command(flatten)]
        common: Common,
    },
}

impl WalletVerb {
    /// What it asks of the house.
    pub fn request(self) -> (Common, Request) {
        match self {
            Self::Balance { common } => (common, Request::WalletBalance),
            Self::Invoice { amount, description, common } => {
                (common, Request::WalletInvoice { sat: amount, description })
            }
            Self::Pay { bolt11, common } => (common, Request::WalletPay { bolt11 }),
            Self::Seed { common } => (common, Request::WalletSeed),
            // The words are read where the terminal is.
            Self::Restore { since, common } => (common, Request::WalletRestore { words: String::new(), since }),
            Self::Address { common } => (common, Request::WalletAddress),
            Self::Deposit { sat, common } => (common, Request::WalletDeposit { sat }),
            Self::Chain { common } => (common, Request::WalletChain),
            Self::Channels { common } => (common, Request::WalletChannels),
            Self::Payout { address, bolt11, common } => (common, Request::WalletPayout { address, bolt11 }),
            Self::Statement { address, csv, common } => (common, Request::WalletStatement { address, csv }),
            Self::Audit { common } => (common, Request::WalletAudit),
        }
    }
}
