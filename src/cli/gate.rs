//! `satchel gate` as it is written.

#![expect(missing_docs, reason = "the fields are documented by the help they make")]

use clap::Subcommand;

use super::{Common, Request};

/// `satchel gate`.
#[derive(Debug, Subcommand)]
pub enum GateVerb {
    /// List the gates, newest last
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Show one gate with its quotes
    Show {
        /// The gate
        id: i64,
        #[command(flatten)]
        common: Common,
    },
    /// Make sure a waiting gate has a live invoice, and print it
    Invoice {
        /// The gate
        id: i64,
        /// Ask for the priority price
        #[arg(long)]
        priority: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Accept: settle a held payment, or let a waiting mail in free
    Accept {
        /// The gate
        id: i64,
        #[command(flatten)]
        common: Common,
    },
    /// Decline: refund a held payment
    Decline {
        /// The gate
        id: i64,
        #[command(flatten)]
        common: Common,
    },
    /// Say where a refund of a payment in escrow goes: before it is paid, or where it does not get through
    RefundTo {
        /// The gate
        id: i64,
        /// A Lightning address, `withdraw` (a link on the page), or in the sandbox `sandbox`
        target: String,
        #[command(flatten)]
        common: Common,
    },
}

impl GateVerb {
    /// What it asks of the house.
    pub fn request(self) -> (Common, Request) {
        match self {
            Self::List { common } => (common, Request::GateList),
            Self::Show { id, common } => (common, Request::GateShow { id }),
            Self::Invoice { id, priority, common } => (common, Request::GateInvoice { id, priority }),
            Self::Accept { id, common } => (common, Request::GateAccept { id }),
            Self::Decline { id, common } => (common, Request::GateDecline { id }),
            Self::RefundTo { id, target, common } => (common, Request::GateRefundTo { id, target }),
        }
    }
}
