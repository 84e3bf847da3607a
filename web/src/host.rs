//! What the web door asks of the house.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lnmp::{GateId, GateState, HoldKind, Msat, Voucher};

/// The house, as seen from the web door. Every call is bounded by [`crate::limits::REQUEST`].
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// What the page of `token` shows, for a person who opens it: makes an invoice over `price` for each waiting gate
    /// that has none. `token` is 32 lower-case hex digits. `None` when there is no such page.
    async fn pay_page(&self, token: &str, price: Price) -> Option<PayPage>;

    /// The same without making anything. An open page asks this every second, and a tab left open over
    /// night must not make an invoice an hour.
    async fn pay_state(&self, token: &str, price: Price) -> Option<PayPage>;

    /// Pays the live invoice of `gate` with the sandbox's customer wallet. The gate must be on the page of
    /// `token`. The error is a sentence for the page, without secrets or addresses.
    async fn sandbox_pay(&self, token: &str, gate: GateId, price: Price) -> Result<(), String>;

    /// Fixes where a refund of the escrow quote of `gate` over `price` goes: `withdraw`, `sandbox`, or a Lightning address.
    async fn set_refund(&self, token: &str, gate: GateId, price: Price, target: &str) -> Result<(), String>;

    /// Has a link mailed, to the author's own address, that changes where the refund of `gate` goes.
    async fn ask_refund_link(&self, token: &str, gate: GateId) -> Result<(), String>;

    /// What such a link opens; `None` when it was used or never made. `token` has at most
    /// [`crate::limits::REFUND_TOKEN_BYTES_MAX`] octets.
    async fn refund(&self, token: &str) -> Option<RefundView>;

    /// Changes the target by that link, which is used up then.
    async fn change_refund(&self, token: &str, target: &str) -> Result<(), String>;

    /// LUD-03, step 3: what a withdraw link offers.
    async fn withdrawal(&self, token: &str) -> Option<Withdrawal>;

    /// LUD-03, step 5: an invoice to be paid by it.
    async fn withdraw(&self, token: &str, bolt11: &str) -> Result<(), String>;

    /// Mail the sandbox caught, in any order. `None` outside the sandbox.
    async fn caught_mail(&self) -> Option<Vec<CaughtView>>;

    /// The answer to a CA's challenge (RFC 8555 §8.3), while one is open.
    fn acme_challenge(&self, token: &str) -> Option<String>;

    /// Names and ports for the front page.
    fn info(&self) -> SiteInfo;
}

/// Which price a page asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Price {
    /// What lets the mail into Requests.
    #[default]
    Asked,
    /// What puts it into INBOX at once.
    Priority,
}

/// Money received in escrow that goes back, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundView {
    /// How much.
    pub amount: Msat,
    /// Where to, in words.
    pub to: String,
    /// Where its author's wallet fetches it, as LUD-01 encodes it; `None` when it is paid without.
    pub lnurl: Option<String>,
    /// It does not get there.
    pub stuck: bool,
}

/// What a withdraw link offers (LUD-03).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// Where the invoice goes.
    pub callback: String,
    /// Names the withdrawal.
    pub k1: String,
    /// Exactly so much; zero when there is nothing to withdraw.
    pub amount: Msat,
}

/// The mails of one author to one account that a page lists.
#[derive(Debug, Clone)]
pub struct PayPage {
    /// To whom the mails went, as addressed.
    pub recipient: String,
    /// One per mail, in the order they came. The page shows the open ones first.
    pub gates: Vec<PayGate>,
}

/// One mail that wants, has or had a payment.
#[derive(Debug, Clone)]
pub struct PayGate {
    /// Its name; stands in the form of the sandbox button.
    pub gate: GateId,
    /// Where it is.
    pub state: GateState,
    /// An earlier payment went back because nobody answered in time.
    pub refunded: bool,
    /// When the mail came.
    pub received_at: DateTime<Utc>,
    /// What letting it through costs.
    pub price: Msat,
    /// What puts it into INBOX at once.
    pub priority_price: Msat,
    /// What the live invoice asks, or what is locked; the price where neither is.
    pub amount: Msat,
    /// The live invoice; shown only while the gate waits.
    pub bolt11: Option<String>,
    /// Why there is none, when one was wanted: "no payment slot free, try again later".
    pub why_no_invoice: Option<String>,
    /// Until when the invoice may be paid.
    pub expires_at: Option<DateTime<Utc>>,
    /// While held: when the money goes back by itself.
    pub hold_until: Option<DateTime<Utc>>,
    /// Whether the sandbox wallet can pay this invoice.
    pub can_pay_in_sandbox: bool,
    /// How the payment that is asked for, or was made, is held.
    pub hold: HoldKind,
    /// Escrow: where a refund goes, in words; `None` as long as its author has not said so, and then there is no invoice.
    pub refund_to: Option<String>,
    /// Escrow: a payment that was not kept is on its way back.
    pub refund: Option<RefundView>,
    /// It is paid before its mail is sent. While that is open, `received_at` says when a mail was refused.
    pub voucher: Option<Voucher>,
}

/// A mail in the sandbox's catch-all.
#[derive(Debug, Clone)]
pub struct CaughtView {
    /// Its number; part of its address, `/sandbox/{n}.eml`.
    pub n: u64,
    /// Reverse-path; empty for the null one.
    pub from: String,
    /// Forward-path.
    pub to: String,
    /// When it was caught.
    pub at: DateTime<Utc>,
    /// The message.
    pub raw: Vec<u8>,
}

/// What the front page says of this server.
#[derive(Debug, Clone)]
pub struct SiteInfo {
    /// The server's name, as in its banners: `satchel.test`.
    pub name: String,
    /// The domains whose mail is taken, in lower case.
    pub domains: Vec<String>,
    /// What a mail client connects to: the name, or the loopback address in a sandbox.
    pub connect_to: String,
    /// Base of links, without a slash at the end.
    pub public_url: String,
    /// The bound ports.
    pub ports: Ports,
    /// What is published for servers that send here; `None`: nothing.
    pub mta_sts: Option<MtaSts>,
    /// Whether the money is the sandbox's.
    pub sandbox: bool,
}

/// An MTA-STS policy (RFC 8461 §3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MtaSts {
    /// `enforce`, `testing` or `none`.
    pub mode: &'static str,
    /// The hosts that take our mail.
    pub mx: Vec<String>,
    /// How long a sender may rely on it.
    pub max_age: std::time::Duration,
}

/// Bound ports; `None` where this process does not run the service.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ports {
    /// MX.
    pub smtp: Option<u16>,
    /// Submission with STARTTLS.
    pub submission: Option<u16>,
    /// Submission with TLS from the start.
    pub submissions: Option<u16>,
    /// IMAP with STARTTLS.
    pub imap: Option<u16>,
    /// IMAP with TLS from the start.
    pub imaps: Option<u16>,
}
