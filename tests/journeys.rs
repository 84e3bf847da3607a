//! Whole lives of mails, from outside: by SMTP in, through the wallet, to what IMAP clients see and do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

#[path = "journeys/backup.rs"]
mod backup;
#[path = "journeys/blocks.rs"]
mod blocks;
#[path = "journeys/books.rs"]
mod books;
#[path = "journeys/channels.rs"]
mod channels;
#[path = "journeys/decisions.rs"]
mod decisions;
#[path = "journeys/desk.rs"]
mod desk;
#[path = "journeys/escrow.rs"]
mod escrow;
#[path = "journeys/figures.rs"]
mod figures;
#[path = "journeys/filters.rs"]
mod filters;
#[path = "journeys/free_passes.rs"]
mod free_passes;
#[path = "journeys/groups.rs"]
mod groups;
#[path = "journeys/keeping_out.rs"]
mod keeping_out;
#[path = "journeys/lmtp.rs"]
mod lmtp;
#[path = "journeys/local.rs"]
mod local;
#[path = "journeys/main_road.rs"]
mod main_road;
#[path = "journeys/networks.rs"]
mod networks;
#[path = "journeys/nodes.rs"]
mod nodes;
#[path = "journeys/outbound_price.rs"]
mod outbound_price;
#[path = "journeys/outgoing.rs"]
mod outgoing;
#[path = "journeys/own_wallet.rs"]
mod own_wallet;
#[path = "journeys/payers.rs"]
mod payers;
#[path = "journeys/reports.rs"]
mod reports;
#[path = "journeys/rules.rs"]
mod rules;
#[path = "journeys/sent.rs"]
mod sent;
#[path = "journeys/twin.rs"]
mod twin;
#[path = "journeys/vouchers.rs"]
mod vouchers;
#[path = "journeys/wishes.rs"]
mod wishes;

// The nodes that `nodes` connects to: those that the wallets' own tests use.
#[path = "../lightning/tests/servers/mod.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod servers;
