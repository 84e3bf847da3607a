//! Gates, quotes, jobs: the part of the store where money is near.

use lnmp::{
    Act, CancelReason, GateFacts, GateId, GateState, HoldKind, Msat, NoRoom, PaymentHash, QuoteId, QuoteState, Quoting,
    RefundTarget, Relation, Verdict, Voucher,
};
use serde::{Deserialize, Serialize};

use crate::{AccountId, MessageId, UnixMs};

/// What the house's rules answer inside a transaction: pure, quick, no I/O.
pub trait Rules: Send + Sync + 'static {
    /// What an act on a gated mail means.
    fn meaning(&self, act: &Act, facts: &GateFacts) -> Verdict;
    /// What an act on a mail without a gate means (moves to and from Junk change relations).
    fn meaning_without_gate(&self, act: &Act) -> Verdict;
    /// Whether one more payment request may go to an author who was asked this often.
    fn may_ask(&self, _counts: &AskCounts) -> bool {
        true
    }
    /// How a payment can be held now, if it can. [`Quoting`] is what the quote's own transaction finds.
    /// Rules that say nothing hold every payment on a channel.
    fn hold_kind(&self, _quoting: &Quoting) -> Result<HoldKind, NoRoom> {
        Ok(HoldKind::Htlc)
    }
    /// Whether an author who was refused is offered a page to pay on, who has so many open vouchers, and whose domain has
    /// so many.
    fn may_offer(&self, _of_author: u32, _of_domain: u32) -> bool {
        true
    }
    /// How long a decline by expunge, or a demotion by Junk, waits. Milliseconds.
    fn grace_ms(&self) -> i64 {
        crate::limits::GRACE_MINUTES * 60_000
    }
}

/// A gate to be made with its message.
#[derive(Debug, Clone)]
pub struct NewGate {
    /// What the author was when the mail came.
    pub relation: Relation,
    /// What letting it through costs.
    pub price: Msat,
    /// What INBOX at once costs.
    pub priority_price: Msat,
    /// The recipient as addressed.
    pub recipient: String,
    /// Where a payment request may go; `None` when nobody may be asked.
    pub ask: Option<String>,
    /// `b=` of the DKIM signature that aligned, hashed: one request for each.
    pub dkim_signature: Option<Vec<u8>>,
    /// Message-ID for In-Reply-To of the request.
    pub message_id: Option<String>,
    /// Its author paid before: the mail uses the oldest voucher up, or is not delivered ([`crate::StoreError::NoSuch`]).
    pub voucher: bool,
}

/// A voucher to be offered to an author who was refused.
#[derive(Debug, Clone)]
pub struct NewVoucher {
    /// Whose mail it is for.
    pub account: AccountId,
    /// The aligned author, lower case: nobody else can use it.
    pub author: String,
    /// Prices, and the mail that was refused.
    pub gate: NewGate,
    /// How long it can be paid, and how long a paid one waits for its mail. Milliseconds.
    pub wait_ms: i64,
}

/// A gate as kept. Addresses are decrypted here; they are gone 30 days after the end.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Its name.
    pub id: GateId,
    /// Whose mail.
    pub account: AccountId,
    /// Which mail.
    pub message: MessageId,
    /// Where it is.
    pub state: GateState,
    /// Held in INBOX because it paid priority.
    pub priority: bool,
    /// A hold timed out before, and its money is back.
    pub refunded: bool,
    /// Money received in escrow is on its way back.
    pub refunding: bool,
    /// A decline by expunge is waiting until then.
    pub armed_until: Option<UnixMs>,
    /// What the author was.
    pub relation: Relation,
    /// The price.
    pub price: Msat,
    /// The priority price.
    pub priority_price: Msat,
    /// The author's address, until erased.
    pub author: Option<String>,
    /// The recipient as addressed, until erased.
    pub recipient: Option<String>,
    /// Where a request may go.
    pub ask: Option<String>,
    /// Message-ID for In-Reply-To.
    pub message_id: Option<String>,
    /// Token of the page that lists this author's open mails to this account: 32 hex digits.
    pub page_token: String,
    /// While held: when the wall clock ends it.
    pub hold_until: Option<UnixMs>,
    /// While held: the height at which the node fails it by itself.
    pub deadline_height: Option<u32>,
    /// When the mail came.
    pub created_at: UnixMs,
    /// When it ended.
    pub ended_at: Option<UnixMs>,
    /// While waiting: when a digest named its mail.
    pub told_at: Option<UnixMs>,
    /// It began as a voucher. While that is open, there is no mail yet, and `hold_until` says until when one may come.
    pub voucher: Option<Voucher>,
    /// Its quotes, newest last.
    pub quotes: Vec<Quote>,
}

/// A quote as kept, without its preimage.
#[derive(Debug, Clone)]
pub struct Quote {
    /// Its name.
    pub id: QuoteId,
    /// Whose.
    pub gate: GateId,
    /// Its payment hash; unique for ever.
    pub hash: PaymentHash,
    /// What it asks.
    pub amount: Msat,
    /// What arrived, once held.
    pub received: Option<Msat>,
    /// Fixed at birth.
    pub kind: HoldKind,
    /// Where it is.
    pub state: QuoteState,
    /// The gate's state now.
    pub gate_state: GateState,
    /// Its gate is a voucher whose mail has not come.
    pub awaits_mail: bool,
    /// While held: the height at which the node fails it by itself.
    pub deadline_height: Option<u32>,
    /// The invoice, once published.
    pub bolt11: Option<String>,
    /// Until when it may be paid.
    pub expires_at: UnixMs,
    /// Escrow: where a refund goes, once its author said so.
    pub target: Option<RefundTarget>,
    /// Escrow: what opens the withdraw link, where that is the target.
    pub withdraw: Option<String>,
}

/// What came of beginning a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It is there; its kind is fixed.
    Quote(QuoteId, HoldKind),
    /// The gate takes no payment now: it is over or held, a live quote of the same amount is there, or its mail does not
    /// lie where a payment would raise it from.
    NotPayable,
    /// No payment of this amount can be held now.
    NoRoom(NoRoom),
}

/// Money received in escrow, as whoever pays it back sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escrowed {
    /// Under which quote it came.
    pub quote: QuoteId,
    /// For which gate.
    pub gate: GateId,
    /// Where the quote is.
    pub state: QuoteState,
    /// What was received; what is asked, before that.
    pub amount: Msat,
    /// Where it goes back to.
    pub target: Option<RefundTarget>,
    /// The invoice that is committed to, and its hash: no other one is paid until this one failed.
    pub invoice: Option<(String, PaymentHash)>,
    /// How many invoices failed.
    pub tries: u32,
    /// Since when it is being paid back.
    pub since: Option<UnixMs>,
    /// What opens the withdraw link.
    pub withdraw: String,
    /// What opens the page that changes the target, once such a link was asked for.
    pub link: Option<String>,
}

/// What a page lists.
#[derive(Debug, Clone)]
pub struct Page {
    /// To whom the mails went.
    pub recipient: String,
    /// The author's gates to this account that are not erased, newest last.
    pub gates: Vec<Gate>,
}

/// Which gates.
#[derive(Debug, Clone, Copy, Default)]
pub struct GateFilter {
    /// Of one account.
    pub account: Option<AccountId>,
    /// In one state.
    pub state: Option<GateState>,
    /// At most so many, the newest.
    pub limit: Option<usize>,
}

/// A locked payment as the node reports it.
#[derive(Debug, Clone, Copy)]
pub struct Incoming {
    /// Which.
    pub hash: PaymentHash,
    /// How much is locked.
    pub amount: Msat,
    /// When the node fails it by itself.
    pub deadline_height: u32,
    /// The chain's height now.
    pub height: u32,
    /// Blocks that must remain to hold it for a human at all.
    pub window_min: u32,
    /// How long the owner has, in wall time. For a voucher it counts from when its mail comes.
    pub hold_ms: i64,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldOutcome {
    /// The gate is held now, the mail moved.
    Held {
        /// Which gate.
        gate: GateId,
        /// Whose.
        account: AccountId,
    },
    /// It is for escrow, and is received first: a [`JobKind::Claim`] was committed.
    Claiming(GateId),
    /// A repeat of an event that was handled; nothing to do.
    Already,
    /// Must be failed back; for a known quote a [`JobKind::Cancel`] was committed.
    Refuse(CancelReason),
    /// No quote has this hash: fail it back directly.
    Unknown,
}

/// What a decision did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// What the act meant.
    pub verdict: Verdict,
    /// The gate's state now.
    pub state: GateState,
}

/// Counts of payment requests in the windows of design section 2.
#[derive(Debug, Clone, Copy, Default)]
pub struct AskCounts {
    /// To this author for this account within a day.
    pub author_account_day: u32,
    /// To this author over the whole bridge within a day.
    pub author_day: u32,
    /// To this author's domain within an hour.
    pub domain_hour: u32,
    /// For this DKIM signature, ever.
    pub dkim_signature: u32,
}

/// Names one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub i64);

/// A step that must happen after a commit, at least once.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// What to do.
    pub kind: JobKind,
    /// How often it was leased before.
    pub attempts: u32,
}

/// What a job is about. Encrypted at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// Quote the gate and send the payment request.
    Ask(GateId),
    /// Claim the held payment: the decision is committed.
    Claim(QuoteId, PaymentHash),
    /// Fail the payment back.
    Cancel(QuoteId, PaymentHash),
    /// The grace of an armed decline (or accept) is over: judge [`Act::GraceOver`].
    Grace(GateId),
    /// Pay back what was received in escrow.
    Refund(QuoteId),
    /// Mail the author a link that changes where a refund goes.
    RefundLink(QuoteId),
    /// Ten minutes in Junk are over: demote the author if the mail is still there.
    Demote(AccountId, MessageId),
    /// Tell the owner of paid mail waiting.
    Notice(AccountId),
    /// Tell the owner, and the author when aligned, that an accepted payment was lost.
    TellLost(GateId),
    /// Nobody references these CIDs any more.
    Unpin(Vec<String>),
    /// Pay this invoice of another bridge from what the user is owed.
    AutoPay(AccountId, String),
}
