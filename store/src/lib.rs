//! Remembers everything: accounts, mailboxes, sealed messages, gates, the ledger, the outbox.
//!
//! Stands: a room. Uses the words of [`lnmp`]; the only code that knows the database. It decides
//! nothing: what a user's act means comes from the [`Rules`] the house hands in, and is carried out
//! in the same transaction as the act.
//!
//! ```text
//!   deliver ──▶ message + entry(UID, MODSEQ) + gate + jobs      one transaction, one fsync
//!   move ─────▶ entries + tombstone + verdict + jobs            one transaction, one fsync
//! ```
//! Start at [`Store`] (the boundary a second engine has to pass, with `contract`), then [`sqlite`].
//!
//! Promises. A call that returned `Ok` survives a power cut. UIDVALIDITY never changes; a UID is never
//! used twice; MODSEQ only grows. Message bodies arrive here sealed; what the server itself must read
//! (authors, queue, folder names) is encrypted under the bridge key before the database sees it.
//!
//! Absent on purpose: clocks (`now` is always an argument), prices, sockets.

mod account;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod error;
mod gate;
mod ledger;
pub mod limits;
mod mailbox;
mod message;
mod queue;
mod rights;
pub mod sqlite;

pub use account::{
    Account, AccountId, AccountSettings, Alias, AliasId, Contact, Credential, CredentialId, CredentialKind, NewAccount,
    NewAlias, NewCredential, Resolution, Standing, StandingQuery,
};
pub use error::StoreError;
pub use gate::{
    AskCounts, Begun, Decided, Escrowed, Gate, GateFilter, HeldOutcome, Incoming, Job, JobId, JobKind, NewGate,
    NewVoucher, Page, Quote, Rules,
};
pub use ledger::{Balances, LedgerAudit, LedgerLine, Posting, Side};
pub use mailbox::{
    Annotation, Change, Changes, Copied, Entry, FlagChange, FlagMode, Flags, FlagsSet, Mailbox, MailboxId,
    MailboxStatus, ModSeq, ObjectId, Quota, SpecialUse, Uid, UidValidity, View,
};
pub use message::{
    Append, Appended, Author, AutoPay, Batch, Delivered, Delivery, MessageId, NewMessage, SealedParts, SentRecord,
};
pub use queue::{
    CaughtMail, DeliverBy, LargeOutgoing, MailWishes, NewOutgoing, Notify, OutgoingRecipient, QueueId, QueueItem,
    QueueOutcome, QueueState, RecipientWishes, Rest,
};
pub use rights::{AclChange, Rights, RightsMode, SharedMailbox};
pub use sqlite::Sqlite;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use lnmp::{Act, CancelReason, GateId, Msat, PaymentHash, Place, Preimage, QuoteId, RefundTarget, Relation, Room};
use tokio::sync::broadcast;

/// Milliseconds since 1970-01-01 UTC.
pub type UnixMs = i64;

/// What every call here returns.
pub type Result<T> = std::result::Result<T, StoreError>;

/// The boundary: whole domain operations, each one transaction, each safe to call from any task.
///
/// Nothing crosses accounts in one transaction except [`Store::commit`] of one SMTP transaction, whose
/// atomicity design section 2.6 asks for on one engine.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    // ---- accounts ----
    /// Creates the account with its eight folders, each with a UIDVALIDITY of its own.
    async fn create_account(&self, new: NewAccount, now: UnixMs) -> Result<AccountId>;
    /// One account.
    async fn account(&self, id: AccountId) -> Result<Option<Account>>;
    /// The account whose primary address this is; `local` and `domain` in lower case.
    async fn account_by_address(&self, local: &str, domain: &str) -> Result<Option<Account>>;
    /// All accounts, oldest first.
    async fn accounts(&self) -> Result<Vec<Account>>;
    /// Replaces an account's settings.
    async fn update_settings(&self, id: AccountId, settings: AccountSettings) -> Result<()>;
    /// Removes the account and everything of it; returns the CIDs nobody references any more. Open
    /// payments to it are cancelled by jobs.
    async fn remove_account(&self, id: AccountId, now: UnixMs) -> Result<Vec<String>>;
    /// Every credential of an account.
    async fn credentials(&self, account: AccountId) -> Result<Vec<Credential>>;
    /// Adds a key wrap.
    async fn add_credential(&self, account: AccountId, new: NewCredential, now: UnixMs) -> Result<CredentialId>;
    /// Swaps the wraps of one kind for a new one in one step (a password change).
    async fn replace_credential(&self, account: AccountId, new: NewCredential, now: UnixMs) -> Result<CredentialId>;
    /// Deletes a wrap.
    async fn remove_credential(&self, account: AccountId, id: CredentialId) -> Result<bool>;

    // ---- who is addressed, and what the author is to them ----
    /// Resolves a recipient address (lower case) to an account, by address or alias.
    async fn resolve(&self, local: &str, domain: &str, now: UnixMs) -> Result<Resolution>;
    /// Adds an alias; an error when the address is taken.
    async fn add_alias(&self, new: NewAlias, now: UnixMs) -> Result<AliasId>;
    /// All aliases, or those of one account.
    async fn aliases(&self, account: Option<AccountId>) -> Result<Vec<Alias>>;
    /// Removes an alias.
    async fn remove_alias(&self, local: &str, domain: &str) -> Result<bool>;
    /// Everything the receive path asks about an author, in one read.
    async fn standing(&self, account: AccountId, query: StandingQuery) -> Result<Standing>;
    /// Sets an author's relation (the contact command; `Unverified` removes the contact).
    async fn set_relation(&self, account: AccountId, author: &str, relation: Relation, now: UnixMs) -> Result<()>;
    /// The contacts of an account, by name.
    async fn contacts(&self, account: AccountId) -> Result<Vec<Contact>>;

    // ---- mail comes in, goes out ----
    /// Commits one SMTP transaction: messages, entries with UIDs, gates, jobs, outgoing mail, contacts,
    /// verdicts of replies. All of it or nothing; on `Ok` it is on disk.
    async fn commit(&self, batch: Batch, now: UnixMs) -> Result<Vec<Delivered>>;
    /// Due outgoing mail, leased until `now + lease_ms` so that a crashed sender's rows come back; without messages.
    async fn lease_queue(&self, now: UnixMs, lease_ms: i64, max: usize) -> Result<Vec<QueueItem>>;
    /// The octets of a queued mail ([`QueueItem::mail`]); `None` when its last item ended meanwhile.
    async fn outgoing_message(&self, mail: i64) -> Result<Option<Vec<u8>>>;
    /// A range of them, as far as they are there; of a large mail only what it touches is read.
    async fn outgoing_range(&self, mail: i64, range: Range<u64>) -> Result<Option<Vec<u8>>>;
    /// Ends, retries or fails leased items, and enqueues what that causes (DSNs), in one step.
    async fn finish_queue(&self, outcomes: Vec<QueueOutcome>, causes: Batch, now: UnixMs) -> Result<()>;
    /// Everything waiting, oldest first, without bodies.
    async fn queue(&self) -> Result<Vec<QueueItem>>;
    /// Makes one item (or all) due now; suspended ones stay.
    async fn retry_queue(&self, id: Option<QueueId>, now: UnixMs) -> Result<usize>;
    /// Holds one item (or all) back until it is resumed; a try under way is not broken off. How many.
    async fn suspend_queue(&self, id: Option<QueueId>) -> Result<usize>;
    /// Lets one suspended item (or all) go on, now. How many.
    async fn resume_queue(&self, id: Option<QueueId>, now: UnixMs) -> Result<usize>;
    /// Drops an item without a DSN: the postmaster's decision.
    async fn remove_queue(&self, id: QueueId) -> Result<bool>;
    /// When the next queue item or job falls due.
    async fn next_due(&self) -> Result<Option<UnixMs>>;
    /// Files a mail to the sandbox's catch-all.
    async fn catch_mail(&self, mail: CaughtMail) -> Result<()>;
    /// The sandbox's catch-all, newest last.
    async fn caught_mail(&self) -> Result<Vec<CaughtMail>>;

    // ---- mailboxes ----
    /// All mailboxes of an account, INBOX first, then by name.
    async fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>>;
    /// Creates a mailbox (no parents: the caller names each); an error when it exists.
    async fn create_mailbox(&self, account: AccountId, name: &str, now: UnixMs) -> Result<Mailbox> {
        self.create_mailbox_for(account, name, SpecialUse::NONE, now).await
    }
    /// As [`Store::create_mailbox`], for a special use (RFC 6154).
    async fn create_mailbox_for(
        &self,
        account: AccountId,
        name: &str,
        special_use: SpecialUse,
        now: UnixMs,
    ) -> Result<Mailbox>;
    /// Sets what a mailbox of the user's own is for; [`StoreError::Cannot`] for the born ones.
    async fn set_special_use(&self, account: AccountId, id: MailboxId, special_use: SpecialUse) -> Result<()>;
    /// Deletes a mailbox of the user's own with all entries; [`StoreError::Cannot`] for the born ones
    /// that must stay. Expunging decides as EXPUNGE does. Returns CIDs nobody references any more.
    async fn delete_mailbox(&self, account: AccountId, id: MailboxId, now: UnixMs) -> Result<Vec<String>>;
    /// Renames `from` and everything below it (`/` between levels), with their subscriptions, and creates what is missing
    /// above `to`, all in one step. `from` may be a mere level of names. UIDVALIDITY and UIDs stay.
    /// [`StoreError::Cannot`] for the born ones that must keep their names, [`StoreError::Exists`] when a name is taken.
    async fn rename_mailbox(&self, account: AccountId, from: &str, to: &str, now: UnixMs) -> Result<()>;
    /// Sets or clears the subscription; survives for names without a mailbox.
    async fn subscribe(&self, account: AccountId, name: &str, subscribed: bool) -> Result<()>;
    /// Subscribed names, also those whose mailbox is gone.
    async fn subscriptions(&self, account: AccountId) -> Result<Vec<String>>;
    /// Annotations of a mailbox, or of the account itself, by name (RFC 5464).
    async fn annotations(&self, account: AccountId, mailbox: Option<MailboxId>) -> Result<Vec<Annotation>>;
    /// Sets annotations, and removes those without a value, all or none. Names compare without case.
    async fn annotate(
        &self,
        account: AccountId,
        mailbox: Option<MailboxId>,
        changes: Vec<(String, Option<Vec<u8>>)>,
    ) -> Result<()>;
    /// What the account's mailboxes hold and may hold.
    async fn quota(&self, account: AccountId) -> Result<Quota>;
    /// Sets or lifts the limit, in octets. Only APPEND and COPY ask for it ([`StoreError::OverQuota`]); what a
    /// [`Batch`] brings was judged at RCPT and is never turned away here.
    async fn set_quota(&self, account: AccountId, octets: Option<u64>) -> Result<()>;
    /// What names a mailbox to clients for its life (RFC 8474 §4).
    fn mailbox_id(&self, account: AccountId, id: MailboxId) -> ObjectId;
    /// What names a message's content to clients, the same for every copy (RFC 8474 §5.1).
    fn email_id(&self, account: AccountId, id: MessageId) -> ObjectId;
    /// What names a thread to clients, by the Message-ID it began with (RFC 8474 §5.2).
    fn thread_id(&self, account: AccountId, root: &[u8]) -> ObjectId;
    /// Counts for STATUS and LIST-STATUS, one row for each asked mailbox, in order.
    async fn status(&self, account: AccountId, ids: &[MailboxId]) -> Result<Vec<MailboxStatus>>;
    /// A consistent snapshot for SELECT (`claim_recent`) or EXAMINE.
    async fn open(&self, account: AccountId, id: MailboxId, claim_recent: bool) -> Result<View>;
    /// What changed after `since`: entries new or changed, UIDs gone.
    async fn changes(&self, account: AccountId, id: MailboxId, since: ModSeq) -> Result<Changes>;
    /// Notes that every message of the mailbox has been `\Recent` to some session: of those that arrive while a
    /// session has it selected, that session is told at once, and this follows when it leaves.
    async fn claim_recent(&self, account: AccountId, id: MailboxId) -> Result<()> {
        self.open(account, id, true).await.map(drop)
    }
    /// Sealed summaries, in the order asked; a message gone meanwhile is left out.
    async fn summaries(&self, account: AccountId, ids: &[MessageId]) -> Result<Vec<(MessageId, Bytes)>>;
    /// Sealed trigrams of those messages that have some, in the order asked. The caller bounds how much it asks for at
    /// once. An engine that keeps none is searched by reading every message.
    async fn trigrams(&self, account: AccountId, ids: &[MessageId]) -> Result<Vec<(MessageId, Bytes)>> {
        let _ = (account, ids);
        Ok(Vec::new())
    }
    /// Which of those messages there are, in the order asked. The caller bounds how much it asks for at once.
    async fn present(&self, account: AccountId, ids: &[MessageId]) -> Result<Vec<MessageId>>;
    /// Pages of agreed secrets, sealed to the account, by their numbers. What is missing costs time and nothing else.
    async fn agreements(&self, account: AccountId) -> Result<Vec<(u32, Bytes)>>;
    /// Writes pages of agreed secrets, or deletes those that are `None`. [`StoreError::Limit`] when there would be too
    /// many of them, or one is too large.
    async fn keep_agreements(&self, account: AccountId, pages: Vec<(u32, Option<Vec<u8>>)>) -> Result<()>;
    /// One sealed content.
    async fn content(&self, account: AccountId, id: MessageId) -> Result<Option<Bytes>>;
    /// Sealed contents, in the order asked; a message gone meanwhile is left out. The caller bounds how much it asks
    /// for at once. An engine overrides this to answer in one read.
    async fn contents(&self, account: AccountId, ids: &[MessageId]) -> Result<Vec<(MessageId, Bytes)>> {
        let mut found = Vec::with_capacity(ids.len());
        for &id in ids {
            if let Some(content) = self.content(account, id).await? {
                found.push((id, content));
            }
        }
        Ok(found)
    }
    /// APPEND and REPLACE, all of it or nothing; may be an accept ([`Act::AppendedAgain`]) when a `content_digest`
    /// is that of a gated mail. Into Sent, it takes the place of what was filed there on submission
    /// ([`Batch::sent_copies`]). What REPLACE takes out goes as by EXPUNGE, after the new message is in.
    async fn append(&self, append: Append, now: UnixMs) -> Result<Appended>;
    /// STORE, server keywords untouched; vanished UIDs are looked up among the tombstones for decision keywords and
    /// otherwise skipped. What changes nothing leaves MODSEQ alone. The condition of RFC 7162 is judged for every
    /// message before the first is changed.
    async fn set_flags(&self, account: AccountId, change: FlagChange, now: UnixMs) -> Result<FlagsSet>;
    /// COPY. UIDs gone by a server-made move are followed through their tombstone.
    async fn copy(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: &[Uid],
        to: MailboxId,
        now: UnixMs,
    ) -> Result<Copied>;
    /// As [`Store::copy`], but all of it or nothing: [`StoreError::NoSuch`] when a UID is gone and cannot be followed.
    async fn copy_all(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: &[Uid],
        to: MailboxId,
        now: UnixMs,
    ) -> Result<Copied>;
    /// MOVE: as COPY, and the source entries vanish in the same transaction.
    async fn move_entries(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: &[Uid],
        to: MailboxId,
        now: UnixMs,
    ) -> Result<Copied>;
    /// EXPUNGE of `\Deleted` entries, or of those among `uids`. Returns UIDs removed; content whose last
    /// entry goes is deleted, its CIDs are queued as [`JobKind::Unpin`].
    async fn expunge(&self, account: AccountId, id: MailboxId, uids: Option<&[Uid]>, now: UnixMs) -> Result<Vec<Uid>>;
    /// Turns an account's support queue on or off: the mailbox `Queue`, whose messages are the open ones of INBOX and
    /// Requests, paid most first, then oldest first, in ascending order of UID and of INTERNALDATE. In all that is above,
    /// what is done to a message there is done to the one in INBOX or Requests. [`StoreError::Exists`] when the user has
    /// a mailbox of that name.
    async fn set_desk(&self, account: AccountId, on: bool, now: UnixMs) -> Result<()>;
    // ---- mailboxes that are shared: in all of the above, `account` is who acts, the owner or a user with rights ----
    /// Mailboxes of others in which this account has rights, by owner and name.
    async fn shared_with(&self, account: AccountId) -> Result<Vec<SharedMailbox>>;
    /// Everybody's rights in a mailbox but its owner's.
    async fn acl(&self, account: AccountId, id: MailboxId) -> Result<Vec<(AccountId, Rights)>>;
    /// SETACL and DELETEACL by `account`, who needs the right `a`; the user's rights now. When no right to read any of
    /// the owner's mailboxes is left to them, their wrap of the owner's key is deleted.
    async fn set_acl(&self, account: AccountId, change: AclChange) -> Result<Rights>;
    /// The owner's opening key, wrapped for `account` ([`AclChange::wrap`]).
    async fn share_key(&self, account: AccountId, owner: AccountId) -> Result<Option<Vec<u8>>>;
    /// Creates a mailbox of `owner`'s, and what is missing above it. `account` needs the right `k` in the nearest mailbox
    /// that there is above (RFC 4314 §4).
    async fn create_shared(&self, account: AccountId, owner: AccountId, name: &str, now: UnixMs) -> Result<Mailbox>;
    /// As [`Store::rename_mailbox`], of a mailbox of `owner`'s: `account` needs the right `x` in it, and `k` in the nearest
    /// mailbox above its new name.
    async fn rename_shared(
        &self,
        account: AccountId,
        owner: AccountId,
        from: &str,
        to: &str,
        now: UnixMs,
    ) -> Result<()>;
    /// Ends a COPY, or with `take` a MOVE, into a mailbox of another owner, once the mails are there: judges what it
    /// means for each, as if it had gone to a `to` of the same account, and takes the entries out. Returns those gone.
    async fn carried_off(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: &[Uid],
        to: Place,
        take: bool,
        now: UnixMs,
    ) -> Result<Vec<Uid>>;
    /// Every change of any mailbox, after its commit. Bounded: a lagging receiver must reread.
    fn watch(&self) -> broadcast::Receiver<Change>;
    /// Notes that a session looked at Requests (no notice is due for an hour).
    async fn requests_seen(&self, account: AccountId, now: UnixMs) -> Result<()>;

    // ---- gates and payments ----
    /// One gate with its quotes, newest quote last.
    async fn gate(&self, id: GateId) -> Result<Option<Gate>>;
    /// Gates by filter, newest last.
    async fn gates(&self, filter: GateFilter) -> Result<Vec<Gate>>;
    /// The page a 128-bit token names: every open mail of that author to that account.
    async fn page(&self, token: &str) -> Result<Option<Page>>;
    /// Offers a voucher to an author who was refused: a gate without its mail, that can be paid. The token of its page; the
    /// same one while nobody paid it. `None` when [`Rules::may_offer`] says so. A mail that is delivered with
    /// [`NewGate::voucher`] uses the oldest paid one up.
    async fn offer_voucher(&self, new: NewVoucher, now: UnixMs) -> Result<Option<String>>;
    /// Begins a quote: stores hash and preimage before any invoice exists. What other quotes reserve is counted here, and
    /// [`Rules::hold_kind`] decides how the payment will be held.
    async fn begin_quote(
        &self,
        gate: GateId,
        amount: Msat,
        room: Room,
        preimage: &Preimage,
        expires_at: UnixMs,
        now: UnixMs,
    ) -> Result<Begun>;
    /// Publishes the invoice of a begun quote.
    async fn publish_quote(&self, quote: QuoteId, bolt11: &str) -> Result<()>;
    /// Quotes whose payment may still arrive or be locked: live, held, claiming, ended since `cancelled_since`.
    async fn open_quotes(&self, cancelled_since: UnixMs) -> Result<Vec<Quote>>;
    /// The quote of a hash, with its gate.
    async fn quote(&self, hash: &PaymentHash) -> Result<Option<Quote>>;
    /// The preimage of a quote: for the claim, and to issue an invoice again.
    async fn preimage(&self, quote: QuoteId) -> Result<Option<Preimage>>;
    /// A payment is locked at the node. Commits before anybody tells the node anything: the gate is held
    /// and the mail moved, or the quote is cancelled with a [`JobKind::Cancel`].
    async fn payment_held(&self, incoming: Incoming, now: UnixMs) -> Result<HeldOutcome>;
    /// A payment arrived: quote and gate settled, ledger lines written, once. For escrow: received, and the gate is held,
    /// or the money is paid back at once. `false` for a repeat.
    async fn payment_settled(&self, hash: &PaymentHash, amount: Msat, now: UnixMs) -> Result<bool>;
    /// The claim came too late: settling becomes lost, an escrow quote is cancelled. `false` when nothing is claimed.
    async fn payment_lost(&self, quote: QuoteId, now: UnixMs) -> Result<bool>;
    /// The node failed a held payment by itself, or a cancel is due for another reason.
    async fn payment_gone(&self, hash: &PaymentHash, reason: CancelReason, now: UnixMs) -> Result<bool>;
    // ---- escrow: money is received first, and paid back by an invoice of its author's ----
    /// Fixes where a refund of a live escrow quote goes. `false` when another target is fixed, or it is too late.
    async fn set_refund_target(&self, quote: QuoteId, target: RefundTarget, now: UnixMs) -> Result<bool>;
    /// One escrow quote.
    async fn escrow(&self, quote: QuoteId) -> Result<Option<Escrowed>>;
    /// The escrow quote whose withdraw link, or whose link to change the target, this token opens.
    async fn escrow_of_token(&self, token: &str) -> Result<Option<Escrowed>>;
    /// Commits to the one invoice a refund is paid by, before the node hears of it: compare-and-swap, with a
    /// [`JobKind::Refund`] that pays it. `false` when it is not being paid back, or another invoice is committed.
    async fn begin_refund(&self, quote: QuoteId, bolt11: &str, hash: &PaymentHash, now: UnixMs) -> Result<bool>;
    /// The committed invoice failed, or can no longer be paid: another one may be committed.
    async fn refund_failed(&self, quote: QuoteId, hash: &PaymentHash, now: UnixMs) -> Result<bool>;
    /// The author has the money: booked, once, routing at the operator's expense.
    async fn refund_paid(&self, quote: QuoteId, hash: &PaymentHash, fee: Msat, now: UnixMs) -> Result<bool>;
    /// No invoice was to be had or paid for long: the author is mailed a link ([`JobKind::RefundLink`]).
    async fn refund_stuck(&self, quote: QuoteId, now: UnixMs) -> Result<bool>;
    /// Asks for a link that changes the target, mailed to the author's aligned address, once a day. `false` when it was
    /// asked for lately, or nobody can be mailed.
    async fn ask_refund_link(&self, quote: QuoteId, now: UnixMs) -> Result<bool>;
    /// Changes the target, while no invoice is committed: by a link's token, which is used up, or (`None`) by the
    /// operator.
    async fn retarget_refund(
        &self,
        quote: QuoteId,
        link: Option<&str>,
        target: RefundTarget,
        now: UnixMs,
    ) -> Result<bool>;
    /// Judges an act on a gate that no mailbox command carries (command line, timers).
    async fn decide(&self, gate: GateId, act: Act, now: UnixMs) -> Result<Decided>;
    /// Judges a [`JobKind::Demote`]: when the mail still lies in Junk, its author goes one step down.
    /// `false` when it was taken out again, or the author cannot be known.
    async fn demote(&self, account: AccountId, message: MessageId, now: UnixMs) -> Result<bool>;
    /// Applies [`Act::HoldEnded`] to each held gate past its clock or within `margin_blocks` of its
    /// deadline; expires live quotes past their expiry. Returns the gates touched.
    async fn end_holds(&self, now: UnixMs, height: u32, margin_blocks: u32) -> Result<Vec<GateId>>;
    /// Takes out of Unpaid what is older than 30 days there and stood in a digest at least 7 days ago that a session has
    /// seen ([`Batch::told`]); how many. Some at a time: more follow at the next call.
    async fn expire_unpaid(&self, now: UnixMs) -> Result<usize>;
    /// Erases authors of gates that ended before `before`.
    async fn erase_authors(&self, before: UnixMs) -> Result<usize>;

    // ---- jobs: what must happen after a commit, at least once ----
    /// Rung after every commit that made a job, whoever's act it was.
    fn job_bell(&self) -> Arc<tokio::sync::Notify>;
    /// Due jobs, leased until `now + lease_ms`.
    async fn lease_jobs(&self, now: UnixMs, lease_ms: i64, max: usize) -> Result<Vec<Job>>;
    /// Ends a job, committing what it caused (a payment request is enqueued exactly here).
    async fn finish_job(&self, id: JobId, causes: Batch, now: UnixMs) -> Result<()>;
    /// Puts a job off.
    async fn retry_job(&self, id: JobId, due: UnixMs) -> Result<()>;
    /// Makes due what an earlier process leased, jobs and outgoing mail, and cannot end any more; how many. For the
    /// start of a process that works on this store alone, before its first lease.
    async fn release_leases(&self, now: UnixMs) -> Result<usize>;
    /// Counts payment requests since `since`: by author and account, by author, by author domain, by DKIM
    /// signature. The hashes are taken here under the bridge key.
    async fn ask_counts(&self, gate: GateId, now: UnixMs) -> Result<AskCounts>;

    // ---- the ledger ----
    /// Posts one balanced, append-only transaction; refused when it does not balance.
    async fn post(&self, posting: Posting, now: UnixMs) -> Result<()>;
    /// Sums of every ledger account.
    async fn balances(&self) -> Result<Balances>;
    /// The history of one ledger account, oldest first.
    async fn ledger(&self, account: Option<AccountId>) -> Result<Vec<LedgerLine>>;
    /// Looks through the whole ledger: postings balance, history is as it was written, payments and postings agree.
    async fn audit(&self) -> Result<LedgerAudit>;

    // ---- the engine ----
    /// A small named value of the house (start epoch, bootstrap marks); encrypted at rest.
    async fn get_meta(&self, key: &str) -> Result<Option<Vec<u8>>>;
    /// Sets it.
    async fn set_meta(&self, key: &str, value: &[u8]) -> Result<()>;
    /// Every CID some message references, for pin restore and orphan collection.
    async fn cids(&self) -> Result<Vec<String>>;
    /// Writes a copy of everything as it is at one moment to the new file `to` (mode 0600), which is on the disk when this
    /// returns. Reading and writing go on meanwhile.
    async fn backup(&self, to: &Path) -> Result<()>;
    /// Flushes and closes; later calls fail.
    async fn close(&self);
}
