//! `satchel channel` as it is written.

#![expect(missing_docs, reason = "the fields are documented by the help they make")]

use std::path::PathBuf;

use clap::Subcommand;

use super::{Common, Request};

/// `satchel channel`.
#[derive(Debug, Subcommand)]
pub enum ChannelVerb {
    /// List the channels: their peers, what is whose in them, what can be held over them
    List {
        #[command(flatten)]
        common: Common,
    },
    /// How many mails can be paid and waiting at once, what limits it, and what to do for more
    Plan {
        #[command(flatten)]
        common: Common,
    },
    /// Open a channel with coins of the wallet; it is usable after six blocks
    Open {
        /// The peer
        #[arg(value_name = "NODE@HOST:PORT")]
        peer: String,
        /// What it holds, in sat
        #[arg(long, value_name = "N")]
        capacity_sat: u64,
        /// Give the peer so much of it: only what it can send can be held
        #[arg(long, value_name = "M", default_value_t = 0)]
        push_sat: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Close a channel by agreement with its peer
    Close {
        /// Its id, or the first 8 digits and more
        id: String,
        /// Close without agreement: costs more, and what is ours waits for days. Asks first
        #[arg(long)]
        force: bool,
        /// With --force: do not ask
        #[arg(long, requires = "force")]
        yes: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Set what forwarding over a channel costs others
    Fees {
        /// Its id, or the first 8 digits and more
        id: String,
        /// For each payment, in msat
        #[arg(long, value_name = "N")]
        base_msat: u64,
        /// For each million
        #[arg(long, value_name = "N")]
        ppm: u32,
        #[command(flatten)]
        common: Common,
    },
    /// Get the first channel with a payment: an invoice whose payment makes `[channels] lsp` open one to us (LSPS2)
    Receive {
        /// What the payer pays, in sat
        #[arg(long, value_name = "AMOUNT_SAT")]
        first: u64,
        /// The most the provider may keep of it, in sat; without it its cheapest offer is taken, and shown
        #[arg(long, value_name = "N")]
        fee_max_sat: Option<u64>,
        #[command(flatten)]
        common: Common,
    },
    /// Buy a channel to us from `[channels] lsp` (LSPS1): shows the price; pays it with --yes only
    Buy {
        /// What the provider puts into it, in sat
        #[arg(long, value_name = "N", required_unless_present = "order", conflicts_with = "order")]
        capacity_sat: Option<u64>,
        /// How many blocks it stays open
        #[arg(long, value_name = "N", default_value_t = 4_320)]
        expiry_blocks: u32,
        /// An order made before
        #[arg(long, value_name = "ID")]
        order: Option<String>,
        /// Pay it
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        common: Common,
    },
    /// How far an order of `channel buy` is
    Order {
        /// The provider's name for it
        id: String,
        #[command(flatten)]
        common: Common,
    },
    /// Write what a node restored from its seed needs to get its channels' money back; DIR/channels.backup always has it
    Backup {
        /// A file, which is sealed under a key of the node's seed
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// On a node restored from its seed: have the peers of a backup close what was lost, and take what they pay us
    Recover {
        /// What `channel backup` wrote
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
}

impl ChannelVerb {
    /// What it asks of the house.
    ///
    /// # Errors
    /// A folder that is gone.
    pub fn request(self) -> anyhow::Result<(Common, Request)> {
        Ok(match self {
            Self::List { common } => (common, Request::ChannelList),
            Self::Plan { common } => (common, Request::ChannelPlan),
            Self::Open { peer, capacity_sat, push_sat, common } => {
                (common, Request::ChannelOpen { peer, capacity_sat, push_sat })
            }
            Self::Close { id, force, yes, common } => (common, Request::ChannelClose { id, force, yes }),
            Self::Fees { id, base_msat, ppm, common } => (common, Request::ChannelFees { id, base_msat, ppm }),
            Self::Receive { first, fee_max_sat, common } => {
                (common, Request::ChannelReceive { sat: first, fee_max_sat })
            }
            Self::Buy { capacity_sat, expiry_blocks, order, yes, common } => {
                (common, Request::ChannelBuy { capacity_sat, expiry_blocks, order, yes })
            }
            Self::Order { id, common } => (common, Request::ChannelOrder { id }),
            // The server may stand in another folder.
            Self::Backup { file, common } => (common, Request::ChannelBackup { file: std::path::absolute(&file)? }),
            Self::Recover { file, common } => (common, Request::ChannelRecover { file: std::path::absolute(&file)? }),
        })
    }
}
