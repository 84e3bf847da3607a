//! The command line (design section 8).

#![expect(missing_docs, reason = "`dir`, `json` and the other fields are documented by the help they make")]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use lnmp::{Allowed, Filter};
use serde::{Deserialize, Serialize};

mod account;
mod alias;
mod channel;
mod contact;
mod dkim;
mod filter;
mod gate;
mod group;
mod queue;
mod sandbox;
mod wallet;

pub use account::AccountVerb;
pub use alias::AliasVerb;
pub use channel::ChannelVerb;
pub use contact::ContactVerb;
pub use dkim::DkimVerb;
pub use filter::{AllowVerb, FilterVerb};
pub use gate::GateVerb;
pub use group::GroupVerb;
pub use queue::QueueVerb;
pub use sandbox::{Payer, SandboxVerb};
pub use wallet::WalletVerb;

/// An email bridge: SMTP and IMAP outside, encrypted and paid LNMP messages inside.
#[derive(Debug, Parser)]
#[command(name = "satchel", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run everything; creates DIR on first use
    Up {
        /// The data directory
        #[arg(long, default_value = DEFAULT_DIR)]
        dir: PathBuf,
    },
    /// Run the roles a config file names
    Serve {
        /// The config file
        #[arg(long)]
        config: PathBuf,
    },
    /// Validate config, ports, keys; of a running server also what another mail system would see. Says what to fix, and
    /// exits 1 when something is wrong
    Check {
        /// The config file
        #[arg(long)]
        config: PathBuf,
        /// A DNS blocklist to ask about this server's addresses, like zen.spamhaus.org; may be repeated
        #[arg(long, value_name = "ZONE")]
        dnsbl: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Copy what cannot be made again into a new folder, while the server runs; without bridge key and channels
    Backup {
        /// A folder that is not there yet, or is empty
        to: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Accounts and their passwords
    #[command(subcommand)]
    Account(AccountVerb),
    /// Further addresses of an account
    #[command(subcommand)]
    Alias(AliasVerb),
    /// Addresses that several accounts read and may write as
    #[command(subcommand)]
    Group(GroupVerb),
    /// What an author is to an account
    #[command(subcommand)]
    Contact(ContactVerb),
    /// Show or set what an account asks
    Price {
        /// The account
        address: String,
        /// For strangers, in sat
        #[arg(long)]
        stranger: Option<u64>,
        /// For acquaintances, in sat
        #[arg(long)]
        acquaintance: Option<u64>,
        /// For INBOX at once, in sat
        #[arg(long)]
        priority: Option<u64>,
        /// Double the prices while many mails are unread
        #[arg(long, value_parser = ["on", "off"])]
        surge: Option<String>,
        /// Which act accepts a held mail
        #[arg(long, value_parser = ["move", "read", "delivery"])]
        accept_on: Option<String>,
        /// What happens to strangers that nothing verifies
        #[arg(long, value_parser = ["keep", "reject"])]
        unverified: Option<String>,
        /// What happens to mail that costs something while nothing is paid: kept in Unpaid, or refused with a page where its
        /// author pays and then sends it again
        #[arg(long, value_parser = ["keep", "reject"])]
        unpaid: Option<String>,
        /// Price everything and gate nothing
        #[arg(long, value_parser = ["on", "off"])]
        observe: Option<String>,
        /// Pay what another bridge asks for a mail up to this, in sat, from the account's balance; 0 pays nothing
        #[arg(long)]
        max_auto_pay: Option<u64>,
        #[command(flatten)]
        common: Common,
    },
    /// What becomes of an account's mail as it arrives
    #[command(subcommand)]
    Filter(FilterVerb),
    /// Domains and mailing lists that are let in free
    #[command(subcommand)]
    Allow(AllowVerb),
    /// Priced mails and their payments
    #[command(subcommand)]
    Gate(GateVerb),
    /// Outgoing mail
    #[command(subcommand)]
    Queue(QueueVerb),
    /// The bridge's money
    #[command(subcommand)]
    Wallet(WalletVerb),
    /// The Lightning channels of the embedded node: what they hold, opening, closing, buying, backups
    #[command(subcommand)]
    Channel(ChannelVerb),
    /// The sandbox: its customer's wallet, its chain, its catch-all
    #[command(subcommand)]
    Sandbox(SandboxVerb),
    /// The keys that sign outgoing mail
    #[command(subcommand)]
    Dkim(DkimVerb),
    /// What other servers report of our domains, by day: mail in their name, and TLS with us
    Reports {
        /// Send our own TLS reports now, rather than when the day is over
        #[arg(long)]
        send: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Print every DNS record to publish, and check the live ones; exits 1 when one that mail needs is missing or differs
    Dns {
        /// The domain
        domain: String,
        #[command(flatten)]
        common: Common,
    },
}

/// Where DIR is when nothing says so.
pub const DEFAULT_DIR: &str = "./satchel-data";

/// What every command but `serve` and `check` takes.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The data directory
    #[arg(long, default_value = DEFAULT_DIR)]
    pub dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What a command asks of the house: the line that travels over the control socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Request {
    AccountAdd { address: String, password: String, server_custody: bool },
    AccountList,
    AccountPasswd { address: String, old: String, new: String },
    AccountAppPassword { address: String, secret: String, label: String },
    AccountRevoke { address: String, label: Option<String>, id: Option<i64> },
    AccountQuota { address: String, limit: Option<String> },
    AccountRemove { address: String },
    AccountPayout(PayoutChange),
    AccountWallet { address: String, nwc: Option<String>, off: bool },
    AccountQueue { address: String, on: Option<bool> },
    AccountExpect { address: String, ms: u64 },
    AccountShare { change: ShareChange, secret: String },
    AccountShareNeedsSecret { change: ShareChange },
    AccountShares { owner: String, mailbox: Option<String> },
    AccountCapability(CapabilityChange),
    AccountNeedsSecret { address: String },
    AliasAdd { address: String, account: String, expires_ms: Option<u64>, max_uses: Option<u32> },
    AliasList,
    GroupAdd { address: String, members: Vec<String> },
    GroupRemove { address: String, members: Vec<String> },
    GroupList,
    AliasRemove { address: String },
    ContactSet { owner: String, author: String, relation: String },
    ContactList { owner: String },
    Price(PriceChange),
    FilterAdd { address: String, filter: Filter, position: Option<usize> },
    FilterList { address: String },
    FilterRemove { address: String, name: String },
    FilterTest { address: String, header: String, size: u64, unverified: bool, to: Option<String> },
    AllowAdd { account: Option<String>, allowed: Allowed },
    AllowRemove { account: Option<String>, allowed: Allowed },
    AllowList { account: Option<String> },
    GateList,
    GateShow { id: i64 },
    GateInvoice { id: i64, priority: bool },
    GateAccept { id: i64 },
    GateDecline { id: i64 },
    GateRefundTo { id: i64, target: String },
    QueueList,
    QueueRetry { id: Option<i64>, domain: Option<String> },
    QueueRemove { id: i64 },
    QueueSuspend { id: Option<i64>, domain: Option<String> },
    QueueResume { id: Option<i64>, domain: Option<String> },
    WalletBalance,
    WalletInvoice { sat: u64, description: String },
    WalletPay { bolt11: String },
    Backup { to: PathBuf },
    WalletChain,
    WalletAddress,
    WalletDeposit { sat: u64 },
    WalletSeed,
    WalletRestore { words: String, since: Option<u32> },
    WalletChannels,
    WalletAudit,
    WalletStatement { address: Option<String>, csv: bool },
    WalletPayout { address: String, bolt11: String },
    ChannelList,
    ChannelPlan,
    ChannelOpen { peer: String, capacity_sat: u64, push_sat: u64 },
    ChannelClose { id: String, force: bool, yes: bool },
    ChannelFees { id: String, base_msat: u64, ppm: u32 },
    ChannelReceive { sat: u64, fee_max_sat: Option<u64> },
    ChannelBuy { capacity_sat: Option<u64>, expiry_blocks: u32, order: Option<String>, yes: bool },
    ChannelOrder { id: String },
    ChannelBackup { file: PathBuf },
    ChannelRecover { file: PathBuf },
    SandboxPay { bolt11: String },
    SandboxPayAs { bolt11: String, payer: Payer },
    SandboxInvoice { sat: u64 },
    SandboxMine { blocks: u32 },
    SandboxChannel { capacity_sat: u64 },
    SandboxWallet { bolt11: Option<String> },
    SandboxMail,
    SandboxCustomer { running: bool },
    Dns { domain: String },
    Reports { send: bool },
    DkimList,
    DkimRotate { only: Option<String>, after_ms: u64 },
    DkimImport { file: PathBuf, after_ms: u64 },
    Outside { dnsbl: Vec<String> },
}

/// What `satchel account capability` changes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CapabilityChange {
    pub address: String,
    pub off: Vec<String>,
    pub on: Vec<String>,
}

/// What `satchel account share` changes: the rights are those afterwards, none of them takes all back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShareChange {
    pub owner: String,
    pub mailbox: String,
    pub with: String,
    pub rights: String,
}

/// What `satchel account payout` changes; nothing: it only tells.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PayoutChange {
    pub address: String,
    pub to: Option<String>,
    /// A connection string.
    pub nwc: Option<String>,
    pub above_sat: Option<u64>,
    pub off: bool,
}

/// What `satchel price` changes; `None` leaves a value.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PriceChange {
    pub address: String,
    pub stranger_sat: Option<u64>,
    pub acquaintance_sat: Option<u64>,
    pub priority_sat: Option<u64>,
    pub surge: Option<bool>,
    pub accept_on: Option<String>,
    pub unverified: Option<String>,
    #[serde(default)]
    pub unpaid: Option<String>,
    pub observe: Option<bool>,
    pub max_auto_pay_sat: Option<u64>,
}
