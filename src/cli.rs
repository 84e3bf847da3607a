//! The command line (design section 8).

#![expect(missing_docs, reason = "`dir`, `json` and the other fields are documented by the help they make")]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use lnmp::{Allowed, Filter};
use serde::{Deserialize, Serialize};

mod filter;
mod group;

pub use filter::{AllowVerb, FilterVerb};
pub use group::GroupVerb;

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

/// `satchel contact`.
#[derive(Debug, Subcommand)]
pub enum ContactVerb {
    /// Let an author through free
    Friend {
        /// The account
        owner: String,
        /// The author's address
        author: String,
        #[command(flatten)]
        common: Common,
    },
    /// Price an author as an acquaintance
    Acquaintance {
        /// The account
        owner: String,
        /// The author's address
        author: String,
        #[command(flatten)]
        common: Common,
    },
    /// Price an author as a stranger
    Stranger {
        /// The account
        owner: String,
        /// The author's address
        author: String,
        #[command(flatten)]
        common: Common,
    },
    /// List an account's contacts
    List {
        /// The account
        owner: String,
        #[command(flatten)]
        common: Common,
    },
}

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

/// `satchel queue`.
#[derive(Debug, Subcommand)]
pub enum QueueVerb {
    /// List the outgoing mail
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Try now: one, all of a domain, or all
    Retry {
        /// The item
        id: Option<i64>,
        /// Every item for this domain
        #[arg(long, conflicts_with = "id")]
        domain: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Drop one without a bounce
    Remove {
        /// The item
        id: i64,
        #[command(flatten)]
        common: Common,
    },
    /// Hold back until resumed: one, all of a domain, or all
    Suspend {
        /// The item
        id: Option<i64>,
        /// Every item for this domain
        #[arg(long, conflicts_with = "id")]
        domain: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Let suspended mail go on: one, all of a domain, or all
    Resume {
        /// The item
        id: Option<i64>,
        /// Every item for this domain
        #[arg(long, conflicts_with = "id")]
        domain: Option<String>,
        #[command(flatten)]
        common: Common,
    },
}

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

/// `satchel sandbox`.
#[derive(Debug, Subcommand)]
pub enum SandboxVerb {
    /// Pay an invoice from the sandbox's customer wallet
    Pay {
        /// The invoice
        bolt11: String,
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
    /// The customer wallet's balance and one payment's state
    Wallet {
        /// The invoice whose state to show
        bolt11: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// The mails other .test domains got
    Mail {
        #[command(flatten)]
        common: Common,
    },
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
    WalletChannels,
    WalletAudit,
    WalletStatement { address: Option<String>, csv: bool },
    WalletPayout { address: String, bolt11: String },
    SandboxPay { bolt11: String },
    SandboxInvoice { sat: u64 },
    SandboxMine { blocks: u32 },
    SandboxWallet { bolt11: Option<String> },
    SandboxMail,
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
    pub observe: Option<bool>,
    pub max_auto_pay_sat: Option<u64>,
}
