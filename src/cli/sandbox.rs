//! `satchel sandbox` as it is written.

#![expect(missing_docs, reason = "the fields are documented by the help they make")]

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::{Common, Request};

/// `satchel sandbox`.
#[derive(Debug, Subcommand)]
pub enum SandboxVerb {
    /// Pay an invoice from the sandbox's customer wallet
    Pay {
        /// The invoice
        bolt11: String,
        #[command(flatten)]
        payer: Payer,
        #[command(flatten)]
        common: Common,
    },
    /// An invoice of the customer's, to try `wallet pay` with
    Invoice {
        /// In sat
        sat: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Mine blocks; says which holds that ended
    Mine {
        /// How many
        blocks: u32,
        #[command(flatten)]
        common: Common,
    },
    /// The customer opens one more channel to the bridge; it is usable when this returns
    Channel {
        /// What it holds, in sat; all of it begins on the customer's side
        #[arg(long, value_name = "N")]
        capacity_sat: u64,
        #[command(flatten)]
        common: Common,
    },
    /// The customer wallet's balance and one payment's state
    Wallet {
        /// The invoice whose state to show
        bolt11: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Take the customer's node off the network, and bring it back
    #[command(subcommand)]
    Customer(CustomerVerb),
    /// The mails other .test domains got
    Mail {
        #[command(flatten)]
        common: Common,
    },
}

/// `satchel sandbox customer`.
#[derive(Debug, Subcommand)]
pub enum CustomerVerb {
    /// Stop its node alone: its payments stay where they are
    Stop {
        #[command(flatten)]
        common: Common,
    },
    /// Start it again
    Start {
        #[command(flatten)]
        common: Common,
    },
}

/// Somebody who does not simply pay what an invoice says: a bridge meets them all.
#[derive(Debug, Clone, Copy, Default, Args, Serialize, Deserialize)]
#[serde(default)]
pub struct Payer {
    /// Add no blocks to those the invoice asks for, as most wallets do
    #[arg(long)]
    pub tight: bool,
    /// Pay so many sat instead of what is asked
    #[arg(long, value_name = "SAT")]
    pub sat: Option<u64>,
    /// Pay even what has expired
    #[arg(long)]
    pub late: bool,
    /// Pay from a second wallet with a channel of its own, which is made when it is first used
    #[arg(long)]
    pub second_wallet: bool,
}

impl SandboxVerb {
    /// What it asks of the house.
    pub fn request(self) -> (Common, Request) {
        match self {
            Self::Pay { bolt11, payer, common } => (common, Request::SandboxPayAs { bolt11, payer }),
            Self::Invoice { sat, common } => (common, Request::SandboxInvoice { sat }),
            Self::Mine { blocks, common } => (common, Request::SandboxMine { blocks }),
            Self::Channel { capacity_sat, common } => (common, Request::SandboxChannel { capacity_sat }),
            Self::Wallet { bolt11, common } => (common, Request::SandboxWallet { bolt11 }),
            Self::Customer(CustomerVerb::Stop { common }) => (common, Request::SandboxCustomer { running: false }),
            Self::Customer(CustomerVerb::Start { common }) => (common, Request::SandboxCustomer { running: true }),
            Self::Mail { common } => (common, Request::SandboxMail),
        }
    }
}
