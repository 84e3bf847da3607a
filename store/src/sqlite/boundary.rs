//! The boundary, method by method: what reads, what writes, and on which thread.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use lnmp::{Act, CancelReason, GateId, Msat, PaymentHash, Place, Preimage, QuoteId, RefundTarget, Relation, Room};
use tokio::sync::{Notify, broadcast};

use super::db::Db;
use super::entries::Transfer;
use super::writer::Tx;
use super::{
    Sqlite, accounts, agreements, annotations, audit, backup, contacts, desk, digests, entries, escrow, gates, jobs,
    ledger, mailboxes, messages, payments, queue, quotas, sharing, vault, verdicts, vouchers,
};
use crate::limits::{INLINE_READ_BYTES, INLINE_READ_ROWS};
use crate::{
    Account, AccountId, AccountSettings, AclChange, Alias, AliasId, Annotation, Append, Appended, AskCounts, Balances,
    Batch, Begun, CaughtMail, Change, Changes, Contact, Copied, Credential, CredentialId, Decided, Delivered, Escrowed,
    FlagChange, FlagsSet, Gate, GateFilter, HeldOutcome, Incoming, Job, JobId, LedgerAudit, LedgerLine, Mailbox,
    MailboxId, MailboxStatus, MessageId, ModSeq, NewAccount, NewAlias, NewCredential, NewVoucher, ObjectId, Page,
    Posting, QueueId, QueueItem, QueueOutcome, Quota, Quote, Resolution, Result, Rights, SharedMailbox, SpecialUse,
    Standing, StandingQuery, Store, StoreError, Uid, UnixMs, View,
};

/// Whether anything is due: workers ask often, and an idle store should not fsync for it.
fn due(db: Db<'_>, from: &str, now: UnixMs) -> Result<bool> {
    db.exists(&format!("SELECT 1 FROM {from} due_at <= ?1"), [now])
}

#[async_trait]
impl Store for Sqlite {
    async fn create_account(&self, new: NewAccount, now: UnixMs) -> Result<AccountId> {
        self.writer.write(move |tx| accounts::create(tx, &new, now)).await
    }

    async fn account(&self, id: AccountId) -> Result<Option<Account>> {
        self.readers.quick(|db| accounts::get(db, id)).await
    }

    async fn account_by_address(&self, local: &str, domain: &str) -> Result<Option<Account>> {
        self.readers.quick(|db| accounts::by_address(db, local, domain)).await
    }

    async fn accounts(&self) -> Result<Vec<Account>> {
        self.readers.long(accounts::list).await
    }

    async fn update_settings(&self, id: AccountId, settings: AccountSettings) -> Result<()> {
        self.writer.write(move |tx| accounts::update_settings(tx, id, &settings)).await
    }

    async fn remove_account(&self, id: AccountId, now: UnixMs) -> Result<Vec<String>> {
        self.writer.write(move |tx| accounts::remove(tx, id, now)).await
    }

    async fn credentials(&self, account: AccountId) -> Result<Vec<Credential>> {
        self.readers.quick(|db| accounts::credentials(db, account)).await
    }

    async fn add_credential(&self, account: AccountId, new: NewCredential, now: UnixMs) -> Result<CredentialId> {
        self.writer.write(move |tx| accounts::add_credential(tx, account, &new, now)).await
    }

    async fn replace_credential(&self, account: AccountId, new: NewCredential, now: UnixMs) -> Result<CredentialId> {
        self.writer.write(move |tx| accounts::replace_credential(tx, account, &new, now)).await
    }

    async fn remove_credential(&self, account: AccountId, id: CredentialId) -> Result<bool> {
        self.writer.write(move |tx| accounts::remove_credential(tx, account, id)).await
    }

    async fn resolve(&self, local: &str, domain: &str, now: UnixMs) -> Result<Resolution> {
        self.readers.quick(|db| accounts::resolve(db, local, domain, now)).await
    }

    async fn add_alias(&self, new: NewAlias, _now: UnixMs) -> Result<AliasId> {
        self.writer.write(move |tx| accounts::add_alias(tx, &new)).await
    }

    async fn aliases(&self, account: Option<AccountId>) -> Result<Vec<Alias>> {
        self.readers.long(move |db| accounts::aliases(db, account)).await
    }

    async fn remove_alias(&self, local: &str, domain: &str) -> Result<bool> {
        let (local, domain) = (local.to_owned(), domain.to_owned());
        self.writer.write(move |tx| accounts::remove_alias(tx, &local, &domain)).await
    }

    async fn standing(&self, account: AccountId, query: StandingQuery) -> Result<Standing> {
        self.readers.quick(|db| contacts::standing(db, account, &query)).await
    }

    async fn set_relation(&self, account: AccountId, author: &str, relation: Relation, now: UnixMs) -> Result<()> {
        let author = author.to_owned();
        self.writer.write(move |tx| contacts::set(tx, account, &author, relation, now)).await
    }

    async fn contacts(&self, account: AccountId) -> Result<Vec<Contact>> {
        self.readers.long(move |db| contacts::list(db, account)).await
    }

    async fn commit(&self, batch: Batch, now: UnixMs) -> Result<Vec<Delivered>> {
        let bodies = queue::seal_bodies(&self.vault, &batch);
        self.writer.write(move |tx| messages::commit(tx, &batch, &bodies, now)).await
    }

    async fn lease_queue(&self, now: UnixMs, lease_ms: i64, max: usize) -> Result<Vec<QueueItem>> {
        if !self.readers.quick(|db| due(db, "queue WHERE suspended = 0 AND", now)).await? {
            return Ok(Vec::new());
        }
        self.writer.write(move |tx| queue::lease(tx, now, lease_ms, max)).await
    }

    async fn outgoing_message(&self, mail: i64) -> Result<Option<Vec<u8>>> {
        self.outgoing_range(mail, 0..u64::MAX).await
    }

    async fn outgoing_range(&self, mail: i64, range: Range<u64>) -> Result<Option<Vec<u8>>> {
        self.readers.long(move |db| queue::range(db, mail, range)).await
    }

    async fn finish_queue(&self, outcomes: Vec<QueueOutcome>, causes: Batch, now: UnixMs) -> Result<()> {
        let bodies = queue::seal_bodies(&self.vault, &causes);
        self.writer.write(move |tx| queue::finish(tx, &outcomes, &causes, &bodies, now)).await
    }

    async fn queue(&self) -> Result<Vec<QueueItem>> {
        self.readers.long(queue::list).await
    }

    async fn retry_queue(&self, id: Option<QueueId>, now: UnixMs) -> Result<usize> {
        self.writer.write(move |tx| queue::retry(tx, id, now)).await
    }

    async fn suspend_queue(&self, id: Option<QueueId>) -> Result<usize> {
        self.writer.write(move |tx| queue::suspend(tx, id)).await
    }

    async fn resume_queue(&self, id: Option<QueueId>, now: UnixMs) -> Result<usize> {
        self.writer.write(move |tx| queue::resume(tx, id, now)).await
    }

    async fn remove_queue(&self, id: QueueId) -> Result<bool> {
        self.writer.write(move |tx| queue::delete(tx, id)).await
    }

    async fn next_due(&self) -> Result<Option<UnixMs>> {
        self.readers.quick(jobs::next_due).await
    }

    async fn catch_mail(&self, mail: CaughtMail) -> Result<()> {
        let sealed = queue::seal_caught(&self.vault, &mail);
        self.writer.write(move |tx| queue::catch(tx, &sealed)).await
    }

    async fn caught_mail(&self) -> Result<Vec<CaughtMail>> {
        self.readers.long(queue::caught).await
    }

    async fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>> {
        self.readers.quick(|db| mailboxes::list(db, account)).await
    }

    async fn create_mailbox_for(
        &self,
        account: AccountId,
        name: &str,
        special_use: SpecialUse,
        now: UnixMs,
    ) -> Result<Mailbox> {
        let name = name.to_owned();
        let create = move |tx: &mut Tx<'_>| mailboxes::create(tx, account, &name, Place::Own, special_use, now);
        let id = self.writer.write(create).await?;
        self.readers.quick(|db| mailboxes::get(db, account, id)).await
    }

    async fn set_special_use(&self, account: AccountId, id: MailboxId, special_use: SpecialUse) -> Result<()> {
        self.writer.write(move |tx| mailboxes::set_special_use(tx, account, id, special_use)).await
    }

    async fn delete_mailbox(&self, account: AccountId, id: MailboxId, now: UnixMs) -> Result<Vec<String>> {
        self.writer.write(move |tx| mailboxes::delete(tx, account, id, now)).await
    }

    async fn rename_mailbox(&self, account: AccountId, from: &str, to: &str, now: UnixMs) -> Result<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.writer.write(move |tx| mailboxes::rename(tx, account, &from, &to, now)).await
    }

    async fn subscribe(&self, account: AccountId, name: &str, subscribed: bool) -> Result<()> {
        let name = name.to_owned();
        self.writer.write(move |tx| mailboxes::subscribe(tx, account, &name, subscribed)).await
    }

    async fn subscriptions(&self, account: AccountId) -> Result<Vec<String>> {
        self.readers.quick(|db| mailboxes::subscriptions(db, account)).await
    }

    async fn annotations(&self, account: AccountId, mailbox: Option<MailboxId>) -> Result<Vec<Annotation>> {
        self.readers.quick(|db| annotations::list(db, account, mailbox)).await
    }

    async fn annotate(
        &self,
        account: AccountId,
        mailbox: Option<MailboxId>,
        changes: Vec<(String, Option<Vec<u8>>)>,
    ) -> Result<()> {
        self.writer.write(move |tx| annotations::set(tx, account, mailbox, &changes)).await
    }

    async fn quota(&self, account: AccountId) -> Result<Quota> {
        self.readers.quick(|db| quotas::get(db, account)).await
    }

    async fn set_quota(&self, account: AccountId, octets: Option<u64>) -> Result<()> {
        self.writer.write(move |tx| quotas::set(tx, account, octets)).await
    }

    fn mailbox_id(&self, account: AccountId, id: MailboxId) -> ObjectId {
        let parts: [&[u8]; 3] = [b"mailbox", &account.0.to_be_bytes(), &id.0.to_be_bytes()];
        ObjectId(self.vault.hash(vault::Of::Object, &parts))
    }

    fn email_id(&self, account: AccountId, id: MessageId) -> ObjectId {
        let parts: [&[u8]; 3] = [b"email", &account.0.to_be_bytes(), &id.0.to_be_bytes()];
        ObjectId(self.vault.hash(vault::Of::Object, &parts))
    }

    fn thread_id(&self, account: AccountId, root: &[u8]) -> ObjectId {
        ObjectId(self.vault.hash(vault::Of::Object, &[b"thread", &account.0.to_be_bytes(), root]))
    }

    async fn status(&self, account: AccountId, ids: &[MailboxId]) -> Result<Vec<MailboxStatus>> {
        self.readers.quick(|db| mailboxes::status(db, account, ids)).await
    }

    async fn open(&self, account: AccountId, id: MailboxId, claim_recent: bool) -> Result<View> {
        let mut recent = self.readers.quick(|db| entries::recent_from(&db, account, id)).await?;
        if claim_recent && recent.is_some() {
            recent = self.writer.write(move |tx| entries::claim_recent(tx, account, id)).await?;
        }
        self.readers.long(move |db| entries::view(db, account, id, recent)).await
    }

    async fn changes(&self, account: AccountId, id: MailboxId, since: ModSeq) -> Result<Changes> {
        self.readers.quick(|db| entries::changes(db, account, id, since)).await
    }

    async fn claim_recent(&self, account: AccountId, id: MailboxId) -> Result<()> {
        if self.readers.quick(|db| entries::recent_from(&db, account, id)).await?.is_some() {
            self.writer.write(move |tx| entries::claim_recent(tx, account, id)).await?;
        }
        Ok(())
    }

    async fn summaries(&self, account: AccountId, ids: &[MessageId]) -> Result<Vec<(MessageId, Bytes)>> {
        if ids.len() <= INLINE_READ_ROWS {
            return self.readers.quick(|db| messages::summaries(db, account, ids)).await;
        }
        let ids = ids.to_vec();
        self.readers.long(move |db| messages::summaries(db, account, &ids)).await
    }

    async fn trigrams(&self, account: AccountId, ids: &[MessageId]) -> Result<Vec<(MessageId, Bytes)>> {
        let ids = ids.to_vec();
        self.readers.long(move |db| messages::trigrams(db, account, &ids)).await
    }

    async fn present(&self, account: AccountId, ids: &[MessageId]) -> Result<Vec<MessageId>> {
        let ids = ids.to_vec();
        self.readers.long(move |db| messages::owned(&db, account, &ids)).await
    }

    async fn agreements(&self, account: AccountId) -> Result<Vec<(u32, Bytes)>> {
        self.readers.long(move |db| agreements::all(db, account)).await
    }

    async fn keep_agreements(&self, account: AccountId, pages: Vec<(u32, Option<Vec<u8>>)>) -> Result<()> {
        self.writer.write(move |tx| agreements::keep(tx, account, &pages)).await
    }

    async fn content(&self, account: AccountId, id: MessageId) -> Result<Option<Bytes>> {
        let small = self
            .readers
            .quick(|db| match messages::content_length(db, account, id)? {
                Some(length) if length > INLINE_READ_BYTES => Ok(None),
                Some(_) => messages::content(db, account, id).map(Some),
                None => Ok(Some(None)),
            })
            .await?;
        match small {
            Some(content) => Ok(content),
            None => self.readers.long(move |db| messages::content(db, account, id)).await,
        }
    }

    async fn contents(&self, account: AccountId, ids: &[MessageId]) -> Result<Vec<(MessageId, Bytes)>> {
        let ids = ids.to_vec();
        self.readers.long(move |db| messages::contents(db, account, &ids)).await
    }

    async fn append(&self, append: Append, now: UnixMs) -> Result<Appended> {
        self.writer.write(move |tx| messages::append(tx, &append, now)).await
    }

    async fn set_flags(&self, account: AccountId, change: FlagChange, now: UnixMs) -> Result<FlagsSet> {
        self.writer.write(move |tx| entries::set_flags(tx, account, &change, now)).await
    }

    async fn copy(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: &[Uid],
        to: MailboxId,
        now: UnixMs,
    ) -> Result<Copied> {
        let uids = uids.to_vec();
        self.writer.write(move |tx| entries::transfer(tx, account, from, &uids, to, Transfer::Copy, now)).await
    }

    async fn copy_all(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: &[Uid],
        to: MailboxId,
        now: UnixMs,
    ) -> Result<Copied> {
        let uids = uids.to_vec();
        self.writer.write(move |tx| entries::transfer(tx, account, from, &uids, to, Transfer::CopyAll, now)).await
    }

    async fn move_entries(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: &[Uid],
        to: MailboxId,
        now: UnixMs,
    ) -> Result<Copied> {
        let uids = uids.to_vec();
        self.writer.write(move |tx| entries::transfer(tx, account, from, &uids, to, Transfer::Move, now)).await
    }

    async fn expunge(&self, account: AccountId, id: MailboxId, uids: Option<&[Uid]>, now: UnixMs) -> Result<Vec<Uid>> {
        let uids = uids.map(<[Uid]>::to_vec);
        self.writer.write(move |tx| entries::expunge(tx, account, id, uids.as_deref(), now)).await
    }

    async fn set_desk(&self, account: AccountId, on: bool, now: UnixMs) -> Result<()> {
        self.writer.write(move |tx| desk::set(tx, account, on, now)).await
    }

    async fn shared_with(&self, account: AccountId) -> Result<Vec<SharedMailbox>> {
        self.readers.quick(|db| sharing::shared_with(db, account)).await
    }

    async fn acl(&self, account: AccountId, id: MailboxId) -> Result<Vec<(AccountId, Rights)>> {
        self.readers
            .quick(|db| {
                sharing::access(&db, account, id, Rights::ADMINISTER)?;
                sharing::acl(&db, id)
            })
            .await
    }

    async fn set_acl(&self, account: AccountId, change: AclChange) -> Result<Rights> {
        self.writer.write(move |tx| sharing::set_acl(tx, account, &change)).await
    }

    async fn share_key(&self, account: AccountId, owner: AccountId) -> Result<Option<Vec<u8>>> {
        self.readers.quick(|db| sharing::key(&db, owner, account)).await
    }

    async fn create_shared(&self, account: AccountId, owner: AccountId, name: &str, now: UnixMs) -> Result<Mailbox> {
        let name = name.to_owned();
        let id = self.writer.write(move |tx| mailboxes::create_shared(tx, account, owner, &name, now)).await?;
        self.readers.quick(|db| mailboxes::get(db, owner, id)).await
    }

    async fn rename_shared(
        &self,
        account: AccountId,
        owner: AccountId,
        from: &str,
        to: &str,
        now: UnixMs,
    ) -> Result<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.writer.write(move |tx| mailboxes::rename_shared(tx, account, owner, &from, &to, now)).await
    }

    async fn carried_off(
        &self,
        account: AccountId,
        from: MailboxId,
        uids: &[Uid],
        to: Place,
        take: bool,
        now: UnixMs,
    ) -> Result<Vec<Uid>> {
        let uids = uids.to_vec();
        self.writer.write(move |tx| entries::carried_off(tx, account, from, &uids, to, take, now)).await
    }

    async fn requests_seen(&self, account: AccountId, now: UnixMs) -> Result<()> {
        if self.readers.quick(|db| accounts::requests_seen_is_old(db, account, now)).await? {
            self.writer.write(move |tx| accounts::requests_seen(tx, account, now)).await?;
        }
        Ok(())
    }

    async fn gate(&self, id: GateId) -> Result<Option<Gate>> {
        self.readers.quick(|db| gates::get(db, id)).await
    }

    async fn gates(&self, filter: GateFilter) -> Result<Vec<Gate>> {
        self.readers.long(move |db| gates::filter(db, filter)).await
    }

    async fn page(&self, token: &str) -> Result<Option<Page>> {
        self.readers.quick(|db| gates::page(db, token)).await
    }

    async fn offer_voucher(&self, new: NewVoucher, now: UnixMs) -> Result<Option<String>> {
        self.writer.write(move |tx| vouchers::offer(tx, &new, now)).await
    }

    async fn begin_quote(
        &self,
        gate: GateId,
        amount: Msat,
        room: Room,
        preimage: &Preimage,
        expires_at: UnixMs,
        now: UnixMs,
    ) -> Result<Begun> {
        let preimage = preimage.clone();
        self.writer.write(move |tx| payments::begin(tx, gate, amount, room, &preimage, expires_at, now)).await
    }

    async fn publish_quote(&self, quote: QuoteId, bolt11: &str) -> Result<()> {
        let bolt11 = bolt11.to_owned();
        self.writer.write(move |tx| payments::publish(tx, quote, &bolt11)).await
    }

    async fn open_quotes(&self, cancelled_since: UnixMs) -> Result<Vec<Quote>> {
        self.readers.long(move |db| payments::open_quotes(db, cancelled_since)).await
    }

    async fn quote(&self, hash: &PaymentHash) -> Result<Option<Quote>> {
        self.readers.quick(|db| payments::quote(db, hash)).await
    }

    async fn preimage(&self, quote: QuoteId) -> Result<Option<Preimage>> {
        self.readers.quick(|db| payments::preimage(db, quote)).await
    }

    async fn payment_held(&self, incoming: Incoming, now: UnixMs) -> Result<HeldOutcome> {
        self.writer.write(move |tx| payments::held(tx, incoming, now)).await
    }

    async fn payment_settled(&self, hash: &PaymentHash, amount: Msat, now: UnixMs) -> Result<bool> {
        let hash = *hash;
        self.writer.write(move |tx| payments::settled(tx, &hash, amount, now)).await
    }

    async fn payment_lost(&self, quote: QuoteId, now: UnixMs) -> Result<bool> {
        self.writer.write(move |tx| payments::lost(tx, quote, now)).await
    }

    async fn payment_gone(&self, hash: &PaymentHash, reason: CancelReason, now: UnixMs) -> Result<bool> {
        let hash = *hash;
        self.writer.write(move |tx| payments::gone(tx, &hash, reason, now)).await
    }

    async fn set_refund_target(&self, quote: QuoteId, target: RefundTarget, now: UnixMs) -> Result<bool> {
        self.writer.write(move |tx| escrow::set_target(tx, quote, &target, now)).await
    }

    async fn escrow(&self, quote: QuoteId) -> Result<Option<Escrowed>> {
        self.readers.quick(|db| escrow::get(&db, quote)).await
    }

    async fn escrow_of_token(&self, token: &str) -> Result<Option<Escrowed>> {
        self.readers.quick(|db| escrow::of_token(&db, token)).await
    }

    async fn begin_refund(&self, quote: QuoteId, bolt11: &str, hash: &PaymentHash, now: UnixMs) -> Result<bool> {
        let (bolt11, hash) = (bolt11.to_owned(), *hash);
        self.writer.write(move |tx| escrow::begin(tx, quote, &bolt11, &hash, now)).await
    }

    async fn refund_failed(&self, quote: QuoteId, hash: &PaymentHash, _now: UnixMs) -> Result<bool> {
        let hash = *hash;
        self.writer.write(move |tx| escrow::failed(tx, quote, &hash)).await
    }

    async fn refund_paid(&self, quote: QuoteId, hash: &PaymentHash, fee: Msat, now: UnixMs) -> Result<bool> {
        let hash = *hash;
        self.writer.write(move |tx| escrow::paid(tx, quote, &hash, fee, now)).await
    }

    async fn refund_stuck(&self, quote: QuoteId, now: UnixMs) -> Result<bool> {
        self.writer.write(move |tx| escrow::stick(tx, quote, now)).await
    }

    async fn ask_refund_link(&self, quote: QuoteId, now: UnixMs) -> Result<bool> {
        self.writer.write(move |tx| escrow::ask_link(tx, quote, now)).await
    }

    async fn retarget_refund(
        &self,
        quote: QuoteId,
        link: Option<&str>,
        target: RefundTarget,
        now: UnixMs,
    ) -> Result<bool> {
        let link = link.map(str::to_owned);
        self.writer.write(move |tx| escrow::retarget(tx, quote, link.as_deref(), &target, now)).await
    }

    async fn decide(&self, gate: GateId, act: Act, now: UnixMs) -> Result<Decided> {
        self.writer.write(move |tx| verdicts::decide(tx, gate, act, now)).await
    }

    async fn demote(&self, account: AccountId, message: MessageId, now: UnixMs) -> Result<bool> {
        self.writer.write(move |tx| verdicts::demote(tx, account, message, now)).await
    }

    async fn end_holds(&self, now: UnixMs, height: u32, margin_blocks: u32) -> Result<Vec<GateId>> {
        if !self.readers.quick(|db| payments::anything_over(db, now, height, margin_blocks)).await? {
            return Ok(Vec::new());
        }
        self.writer.write(move |tx| payments::end_holds(tx, now, height, margin_blocks)).await
    }

    async fn expire_unpaid(&self, now: UnixMs) -> Result<usize> {
        self.writer.write(move |tx| digests::expire_unpaid(tx, now)).await
    }

    async fn erase_authors(&self, before: UnixMs) -> Result<usize> {
        self.writer.write(move |tx| gates::erase(tx, before)).await
    }

    fn job_bell(&self) -> Arc<Notify> {
        Arc::clone(&self.jobs)
    }

    async fn lease_jobs(&self, now: UnixMs, lease_ms: i64, max: usize) -> Result<Vec<Job>> {
        if !self.readers.quick(|db| due(db, "job WHERE", now)).await? {
            return Ok(Vec::new());
        }
        self.writer.write(move |tx| jobs::lease(tx, now, lease_ms, max)).await
    }

    async fn finish_job(&self, id: JobId, causes: Batch, now: UnixMs) -> Result<()> {
        let bodies = queue::seal_bodies(&self.vault, &causes);
        self.writer.write(move |tx| jobs::finish(tx, id, &causes, &bodies, now)).await
    }

    async fn retry_job(&self, id: JobId, due: UnixMs) -> Result<()> {
        self.writer.write(move |tx| jobs::retry(tx, id, due)).await
    }

    async fn release_leases(&self, now: UnixMs) -> Result<usize> {
        self.writer.write(move |tx| jobs::release(tx, now)).await
    }

    async fn ask_counts(&self, gate: GateId, now: UnixMs) -> Result<AskCounts> {
        self.readers.quick(|db| jobs::ask_counts(db, gate, now)).await
    }

    async fn post(&self, posting: Posting, now: UnixMs) -> Result<()> {
        self.writer.write(move |tx| ledger::post(tx, &posting, now)).await
    }

    async fn balances(&self) -> Result<Balances> {
        self.readers.long(ledger::balances).await
    }

    async fn ledger(&self, account: Option<AccountId>) -> Result<Vec<LedgerLine>> {
        self.readers.long(move |db| ledger::lines(db, account)).await
    }

    async fn audit(&self) -> Result<LedgerAudit> {
        self.readers.long(audit::audit).await
    }

    async fn get_meta(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.readers.quick(|db| accounts::get_meta(db, key)).await
    }

    async fn set_meta(&self, key: &str, value: &[u8]) -> Result<()> {
        let (key, sealed) = (key.to_owned(), self.vault.seal(vault::Of::Meta, value));
        self.writer.write(move |tx| accounts::set_meta(tx, &key, &sealed)).await
    }

    async fn cids(&self) -> Result<Vec<String>> {
        self.readers.long(messages::cids).await
    }

    async fn backup(&self, to: &Path) -> Result<()> {
        let (from, to) = (self.path.clone(), to.to_owned());
        let copying = tokio::task::spawn_blocking(move || backup::copy(&from, &to));
        copying.await.map_err(|_| StoreError::Busy)?
    }

    async fn close(&self) {
        // Readers first: the last connection to close is the one that can remove the WAL.
        self.readers.close().await;
        self.writer.close().await;
    }

    fn watch(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }
}
