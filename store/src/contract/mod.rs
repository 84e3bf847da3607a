//! What every engine behind [`Store`] must do, as tests.
//!
//! An engine calls [`store_contract!`] with a path to a function that makes an empty store (and whatever keeps
//! it alive) under [`rules::TableRules`]:
//!
//! ```ignore
//! store::store_contract!(super::fresh_store); // async fn fresh_store() -> (Arc<dyn Store>, impl Drop)
//! ```
//! Every case is a function of its own, named as a sentence; time is always [`NOW`] and what is added to it.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs, reason = "these are tests, shared by engines")]

pub mod accounts;
pub mod appending;
pub mod books;
pub mod decisions;
pub mod desk;
pub mod escrow;
pub mod mailboxes;
pub mod outbox;
pub mod payments;
pub mod rules;
pub mod sharing;
pub mod vouchers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lnmp::{
    CancelReason, EscrowRoom, GateId, GateState, HoldKind, Msat, PaymentHash, Place, Preimage, QuoteId, Relation, Room,
};

use crate::{
    AccountId, AccountSettings, Append, Author, Batch, Begun, CredentialKind, Delivered, Delivery, Entry, FlagChange,
    FlagMode, Flags, Gate, HeldOutcome, Incoming, Job, JobKind, LedgerAudit, Mailbox, NewAccount, NewCredential,
    NewGate, NewMessage, SealedParts, Store, Uid, UnixMs,
};

/// When every case begins.
pub const NOW: UnixMs = 1_800_000_000_000;
/// A minute.
pub const MINUTE: i64 = 60_000;
/// An hour.
pub const HOUR: i64 = 60 * MINUTE;
/// A day.
pub const DAY: i64 = 24 * HOUR;
/// The height every chain here has.
pub const HEIGHT: u32 = 1000;

/// Room on channels for whatever is asked.
pub const AMPLE: Room =
    Room { slots: 1000, value: Msat(u64::MAX), dust: Msat(u64::MAX), dust_below: Msat(354_000), escrow: None };
/// No channel has room, and a million sat can be paid back.
pub const CROWDED: Room = Room {
    slots: 0,
    escrow: Some(EscrowRoom { spendable: Msat(1_000_000_000), receivable: Msat(1_000_000_000) }),
    ..AMPLE
};

/// Makes every case a test: give it the path of an `async fn` that makes an empty store and its keeper.
#[macro_export]
macro_rules! store_contract {
    ($make:path) => {
        $crate::store_contract!($make, accounts: [
            an_address_belongs_to_one_account_or_alias,
            an_alias_ends_by_time_and_by_use,
            an_account_is_born_with_eight_subscribed_folders_of_distinct_uidvalidity,
            credentials_are_added_replaced_and_never_all_removed,
            relations_are_found_by_author_reply_and_evidence,
            a_removed_account_leaves_no_mail_and_no_open_money,
            small_values_are_kept,
            agreements_are_kept_by_page_and_go_with_their_account,
            an_owners_choices_are_kept,
        ]);
        $crate::store_contract!($make, mailboxes: [
            a_delivery_takes_the_next_uid_and_tells_watchers,
            mailboxes_are_created_renamed_and_deleted,
            a_name_made_again_gets_a_larger_uidvalidity,
            a_rename_takes_everything_below_along_or_nothing,
            a_mailbox_is_made_for_a_special_use,
            annotations_belong_to_their_mailbox,
            what_is_listed_subscribed_and_annotated_is_told_to_watchers,
            a_quota_bounds_what_the_user_adds_and_never_what_arrives,
            objects_keep_their_names,
            a_mail_knows_when_it_came_into_its_mailbox,
            flags_and_counts_agree,
            keywords_compare_without_case_and_the_servers_are_not_the_clients,
            a_store_that_changes_nothing_leaves_modseq_alone,
            a_conditional_store_names_what_changed_meanwhile,
            flags_set_on_many_at_once_are_those_set_one_by_one,
            copy_and_move_keep_flags_and_name_their_uids,
            a_copy_of_all_fails_whole_when_one_is_gone,
            expunge_removes_only_what_is_deleted_and_is_told_to_the_others,
            recent_is_claimed_once,
            an_attachment_is_unpinned_with_its_last_reference,
            one_accounts_mail_is_nothing_to_another,
            a_failed_write_takes_nobody_with_it,
            an_appended_mail_is_there,
            a_mail_is_filed_into_a_folder_of_the_owners_while_it_is_there,
        ]);
        $crate::store_contract!($make, appending: [
            messages_appended_together_are_all_there_or_none_is,
            a_replaced_message_goes_as_its_successor_comes,
            nothing_replaces_a_message_that_is_gone,
            replacing_a_paid_mail_by_its_own_content_elsewhere_accepts_it,
            replacing_a_paid_mail_by_another_arms_its_decline,
            a_clients_own_sent_copy_takes_the_place_of_the_filed_one,
            nothing_is_filed_for_a_client_that_files_what_it_sends,
            a_sent_copy_that_was_moved_away_stays,
            out_of_junk_by_append_and_expunge_in_either_order_keeps_the_mail,
        ]);
        $crate::store_contract!($make, decisions: [
            an_unpaid_mail_shows_it_and_asks_its_author,
            a_commit_that_makes_a_job_rings,
            moving_out_of_unpaid_lets_in_free_and_voids_the_invoice,
            an_unaligned_author_gets_a_pass_instead_of_a_relation,
            moving_a_paid_mail_to_inbox_accepts_it,
            copying_a_paid_mail_to_an_own_folder_accepts_it_on_every_copy,
            a_reply_accepts_and_befriends,
            the_accepted_and_declined_keywords_decide,
            moving_a_paid_mail_to_junk_declines_it_at_once,
            the_first_decision_wins,
            an_expunged_paid_mail_is_declined_when_the_grace_ends,
            an_append_of_the_same_content_within_the_grace_accepts,
            an_append_before_the_expunge_accepts_too,
            an_append_after_the_decline_is_a_free_let_in,
            a_declined_mail_taken_out_of_trash_makes_a_friend,
            junk_demotes_after_ten_minutes_and_taking_it_out_restores,
            an_expunged_unpaid_mail_ends_with_its_grace,
            an_offline_users_old_uid_still_decides,
            a_tombstone_ends_after_sixty_days,
            reading_accepts_only_where_the_owner_chose_so,
        ]);
        $crate::store_contract!($make, payments: [
            a_payment_raises_the_mail_from_unpaid_to_requests,
            a_priority_payment_goes_to_inbox_flagged,
            a_repeated_event_changes_nothing,
            a_payment_that_cannot_be_held_is_refused_with_its_reason,
            a_hold_that_ends_returns_the_mail_to_unpaid_and_may_be_paid_again,
            a_hold_ends_by_height_too,
            an_unanswered_priority_mail_stays_in_inbox,
            a_settled_payment_is_booked_once_and_split,
            money_wins_over_every_state,
            a_lost_claim_is_told_and_a_late_payment_still_settles,
            a_payment_gone_by_itself_ends_the_hold,
            a_gate_takes_one_quote_of_an_amount_at_a_time,
            a_page_lists_the_open_mails_of_one_author,
            parties_are_erased_after_the_end,
            one_notice_in_six_hours_and_none_while_somebody_looks,
            delivery_can_be_the_accept,
            the_ledger_balances_or_refuses,
            live_quotes_reserve_until_they_are_paid_or_expire,
            quotes_of_an_author_and_of_a_domain_are_counted,
            a_second_payer_gets_it_back_whatever_became_of_the_mail,
            what_is_said_of_the_author_while_it_is_held_changes_no_money,
            what_stood_in_a_digest_that_was_seen_leaves_unpaid,
        ]);
        $crate::store_contract!($make, escrow: [
            beyond_the_channels_a_quote_is_escrow_and_waits_for_its_target,
            received_money_raises_the_mail_and_is_released_when_it_is_accepted,
            declined_money_is_refunded_only_when_the_payment_succeeded,
            a_hold_that_ends_refunds_and_the_mail_may_be_paid_again,
            money_that_comes_for_a_mail_nobody_waits_for_goes_back_at_once,
            a_claim_that_comes_too_late_leaves_the_gate_waiting,
            one_refund_invoice_at_a_time,
            a_stuck_refund_is_put_right_by_a_link_that_works_once,
            a_withdraw_link_opens_its_own_quote_only,
            escrow_is_quoted_only_while_it_could_be_paid_back,
            an_account_that_goes_leaves_the_refund_to_be_paid,
            whatever_happens_each_payment_is_released_or_refunded_once,
        ]);
        $crate::store_contract!($make, vouchers: [
            a_paid_voucher_lets_its_mail_in_once,
            nobody_but_its_aligned_author_uses_a_voucher,
            the_oldest_of_two_vouchers_is_used_and_a_signature_uses_one,
            a_voucher_without_its_mail_goes_home_after_its_time,
            the_chain_the_node_and_the_owner_end_a_voucher_too,
            an_offer_nobody_paid_ends_and_leaves_nothing_it_need_not,
            a_hold_that_began_as_a_voucher_ends_like_any_other,
            a_voucher_pays_priority_and_for_who_keeps_all,
            a_voucher_in_escrow_waits_and_is_paid_back_without_its_mail,
            offers_are_counted_by_author_and_domain,
            of_two_mails_at_once_one_is_let_in,
        ]);
        $crate::store_contract!($make, books: [
            whatever_happens_the_books_balance,
            an_overdrawn_user_is_found,
        ]);
        $crate::store_contract!($make, sharing: [
            rights_are_given_and_taken_and_the_owner_keeps_all,
            a_shared_key_goes_with_the_last_right_to_read,
            each_right_permits_its_own_and_no_more,
            each_user_has_seen_for_themselves,
            without_the_right_t_nothing_decides,
            with_the_right_t_a_move_and_a_copy_decide,
            with_the_right_t_a_keyword_decides,
            with_the_right_t_an_expunge_arms_a_decline,
            with_the_right_t_reading_accepts_where_the_owner_chose_so,
            what_is_carried_to_another_account_is_in_both_until_the_source_hears,
            an_append_to_a_shared_mailbox_is_its_owners,
            names_in_a_shared_tree_need_the_rights_k_and_x,
            annotations_of_a_shared_mailbox_are_shared_and_each_users,
        ]);
        $crate::store_contract!($make, desk: [
            a_queue_shows_open_mail_best_paid_first,
            what_belongs_before_others_gives_only_those_new_uids,
            what_is_answered_moved_or_declined_leaves_the_queue,
            flags_are_those_of_the_mail_itself,
            a_conditional_store_asks_the_queues_own_modseq,
            what_is_done_in_the_queue_decides,
            an_expunge_in_the_queue_is_one_of_the_mail_itself,
            an_old_uid_of_the_queue_finds_its_mail,
            a_hold_that_ends_leaves_the_queue_and_may_still_be_let_in,
            nothing_is_put_into_a_queue_and_it_keeps_its_name,
            a_queue_turned_off_and_on_begins_anew,
            agents_work_in_a_shared_queue_as_far_as_their_rights_go,
            a_queue_shows_so_many_and_the_rest_comes_in_as_they_leave,
            a_queue_weighs_nothing_and_goes_with_its_account,
        ]);
        $crate::store_contract!($make, outbox: [
            a_leased_job_comes_back_and_a_finished_one_does_not,
            a_jobs_causes_are_committed_once,
            what_a_dead_process_leased_is_due_at_the_next_start,
            asks_are_counted_by_author_domain_and_signature,
            queued_mail_is_leased_retried_and_ended,
            a_large_queued_mail_is_stored_and_read_in_pieces,
            a_small_queued_mail_is_read_by_range_too,
            a_delay_is_told_once_and_a_busy_destination_is_no_try,
            held_mail_is_let_go_by_nothing_but_its_name,
            suspended_mail_waits_until_it_is_resumed,
            what_the_user_sends_befriends_and_makes_replies_free,
            a_batch_is_committed_whole_or_not_at_all,
            the_catch_all_keeps_the_newest,
        ]);
    };
    ($make:path, $module:ident: [$($case:ident),* $(,)?]) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $case() {
                    let (store, _keeper) = $make().await;
                    $crate::contract::$module::$case(store.clone()).await;
                    store.close().await;
                }
            )*
        }
    };
}

/// The store a case works on.
pub type Subject = Arc<dyn Store>;

/// A new account at `local@satchel.test`.
pub async fn account(store: &Subject, local: &str) -> AccountId {
    account_with(store, local, AccountSettings::default()).await
}

/// A new account with settings of its own.
pub async fn account_with(store: &Subject, local: &str, settings: AccountSettings) -> AccountId {
    let new = NewAccount {
        local: local.into(),
        domain: "satchel.test".into(),
        identity: [2; 32],
        sealed_seed: vec![1; 48],
        credentials: vec![credential(CredentialKind::AppPassword, "aaaa")],
        settings,
    };
    store.create_account(new, NOW).await.unwrap()
}

/// A wrap.
pub fn credential(kind: CredentialKind, wrap_id: &str) -> NewCredential {
    NewCredential { kind, wrap_id: wrap_id.into(), label: "laptop".into(), wrap: vec![9; 60] }
}

/// Sealed parts that differ from all others.
pub fn sealed() -> SealedParts {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    SealedParts {
        content: format!("content {number}").into_bytes(),
        summary: format!("summary {number}").into_bytes(),
        trigrams: Some(format!("trigrams {number}").into_bytes()),
        size: 1000 + number,
        attachments: Vec::new(),
    }
}

/// An ordinary mail of an aligned author.
pub fn mail(account: AccountId, place: Place, author: &str) -> Delivery {
    Delivery {
        account,
        place,
        folder: None,
        sealed: sealed(),
        internal_date: NOW,
        flags: Flags::NONE,
        keywords: Vec::new(),
        author: Some(Author { address: author.into(), aligned: true, evidence: None }),
        message_id: None,
        content_digest: None,
        gate: None,
        alias: None,
    }
}

/// A priced mail of an aligned stranger: 100 sat, priority 1000.
pub fn priced(account: AccountId, author: &str) -> Delivery {
    Delivery {
        message_id: Some(format!("<1.{author}>")),
        content_digest: Some([7; 32]),
        gate: Some(NewGate {
            relation: Relation::Stranger,
            price: Msat(100_000),
            priority_price: Msat(1_000_000),
            recipient: "alice@satchel.test".into(),
            ask: Some(author.into()),
            dkim_signature: Some(vec![3; 32]),
            message_id: Some(format!("<1.{author}>")),
            voucher: false,
        }),
        ..mail(account, Place::Unpaid, author)
    }
}

/// Commits one delivery.
pub async fn deliver(store: &Subject, delivery: Delivery) -> Delivered {
    let batch = Batch { deliveries: vec![delivery], ..Batch::default() };
    store.commit(batch, NOW).await.unwrap().pop().unwrap()
}

/// The folder an account was born with, or the one of its own.
pub async fn folder(store: &Subject, account: AccountId, place: Place) -> Mailbox {
    store.mailboxes(account).await.unwrap().into_iter().find(|mailbox| mailbox.place == place).unwrap()
}

/// Its entries.
pub async fn entries(store: &Subject, account: AccountId, place: Place) -> Vec<Entry> {
    let id = folder(store, account, place).await.id;
    store.open(account, id, false).await.unwrap().entries
}

/// The only entry there, with its keywords sorted.
pub async fn only(store: &Subject, account: AccountId, place: Place) -> Entry {
    let mut entries = entries(store, account, place).await;
    assert_eq!(entries.len(), 1, "{place:?}: {entries:?}");
    let mut entry = entries.pop().unwrap();
    entry.keywords.sort();
    entry
}

/// The gate of a delivery.
pub async fn gate(store: &Subject, id: GateId) -> Gate {
    store.gate(id).await.unwrap().unwrap()
}

/// Begins and publishes a quote; its name and hash. `chance` makes the preimage.
pub async fn quote(store: &Subject, gate: GateId, sat: u64, chance: u8, now: UnixMs) -> (QuoteId, PaymentHash) {
    let preimage = Preimage::new([chance; 32]);
    let amount = Msat(sat * 1000);
    let begun = store.begin_quote(gate, amount, AMPLE, &preimage, now + HOUR, now).await.unwrap();
    let Begun::Quote(id, HoldKind::Htlc) = begun else { panic!("{begun:?}") };
    store.publish_quote(id, &format!("lnbcrt{chance}")).await.unwrap();
    assert_eq!(store.preimage(id).await.unwrap().unwrap().hash(), preimage.hash());
    (id, preimage.hash())
}

/// A payment as the node reports it: 244 blocks to go, a day to decide.
pub fn incoming(hash: PaymentHash, sat: u64) -> Incoming {
    Incoming {
        hash,
        amount: Msat(sat * 1000),
        deadline_height: HEIGHT + 244,
        height: HEIGHT,
        window_min: 144,
        hold_ms: DAY,
    }
}

/// A delivered priced mail that was paid `sat`: its gate, its account, its payment's hash.
pub struct Paid {
    pub account: AccountId,
    pub gate: GateId,
    pub quote: QuoteId,
    pub hash: PaymentHash,
}

/// Delivers a priced mail of `bob@shop.test` and pays it.
pub async fn paid(store: &Subject, account: AccountId, sat: u64) -> Paid {
    let gate = deliver(store, priced(account, "bob@shop.test")).await.gate.unwrap();
    let (quote, hash) = quote(store, gate, 100, 1, NOW).await;
    let held = store.payment_held(incoming(hash, sat), NOW).await.unwrap();
    assert_eq!(held, HeldOutcome::Held { gate, account });
    Paid { account, gate, quote, hash }
}

/// Moves the only mail of one place to another.
pub async fn move_only(store: &Subject, account: AccountId, from: Place, to: Place, now: UnixMs) {
    let (uid, from) = (only(store, account, from).await.uid, folder(store, account, from).await.id);
    let to = folder(store, account, to).await.id;
    let moved = store.move_entries(account, from, &[uid], to, now).await.unwrap();
    assert_eq!((moved.pairs.len(), &moved.vanished[..]), (1, &[uid][..]));
}

/// Marks the only mail of a place `\Deleted` and expunges it.
pub async fn expunge_only(store: &Subject, account: AccountId, place: Place, now: UnixMs) {
    let (uid, id) = (only(store, account, place).await.uid, folder(store, account, place).await.id);
    set(store, account, place, &[uid], FlagMode::Add, Flags::DELETED, &[], now).await;
    assert_eq!(store.expunge(account, id, None, now).await.unwrap(), [uid]);
}

/// STORE.
#[expect(clippy::too_many_arguments, reason = "as many as STORE has")]
pub async fn set(
    store: &Subject,
    account: AccountId,
    place: Place,
    uids: &[Uid],
    mode: FlagMode,
    flags: Flags,
    keywords: &[&str],
    now: UnixMs,
) -> Vec<Entry> {
    let change = FlagChange {
        mailbox: folder(store, account, place).await.id,
        uids: uids.to_vec(),
        mode,
        flags,
        keywords: keywords.iter().map(|&word| word.to_owned()).collect(),
        unchanged_since: None,
    };
    store.set_flags(account, change, now).await.unwrap().entries
}

/// An appended message whose content has this digest.
pub fn new_message(digest: u8) -> NewMessage {
    NewMessage {
        sealed: sealed(),
        internal_date: NOW,
        zone: 120,
        flags: Flags::SEEN,
        keywords: vec!["$Paid".into(), "Mine".into()],
        message_id: None,
        content_digest: [digest; 32],
    }
}

/// An APPEND whose content has this digest.
pub async fn append(store: &Subject, account: AccountId, place: Place, digest: u8, now: UnixMs) -> crate::Appended {
    let mailbox = folder(store, account, place).await.id;
    let append = Append { account, mailbox, messages: vec![new_message(digest)], replaces: None };
    store.append(append, now).await.unwrap()
}

/// Everything due, leased for a minute and ended.
pub async fn jobs(store: &Subject, now: UnixMs) -> Vec<JobKind> {
    let mut out = Vec::new();
    for Job { id, kind, .. } in store.lease_jobs(now, MINUTE, 100).await.unwrap() {
        store.finish_job(id, Batch::default(), now).await.unwrap();
        out.push(kind);
    }
    out
}

/// The relation stored for an author.
pub async fn relation(store: &Subject, account: AccountId, author: &str) -> Option<Relation> {
    let query = crate::StandingQuery { author: Some(author.into()), ..Default::default() };
    store.standing(account, query).await.unwrap().relation
}

/// Asserts where a gate is.
pub async fn assert_state(store: &Subject, id: GateId, state: GateState) {
    assert_eq!(gate(store, id).await.state, state);
}

/// Asserts that a quote was cancelled for this reason.
pub async fn assert_cancelled(store: &Subject, hash: &PaymentHash, reason: CancelReason) {
    let quote = store.quote(hash).await.unwrap().unwrap();
    assert_eq!(quote.state, lnmp::QuoteState::Cancelled(reason));
}
