use super::*;
use crate::limits::DESK_SHOWN_MAX;
use crate::{AclChange, Change, MailboxId, MessageId, ModSeq, Rights, RightsMode, StoreError};

/// An account with its Queue on.
async fn desk(store: &Subject) -> AccountId {
    let alice = account(store, "alice").await;
    store.set_desk(alice, true, NOW).await.unwrap();
    alice
}

/// A mail in INBOX that nothing was paid for, so many minutes old.
async fn free(store: &Subject, account: AccountId, minutes: i64) -> MessageId {
    let delivery =
        Delivery { internal_date: NOW - minutes * MINUTE, ..mail(account, Place::Inbox, "friend@shop.test") };
    deliver(store, delivery).await.message
}

/// A mail that was paid `sat`, which makes its payment's hash too, so many minutes old.
async fn paid_mail(store: &Subject, account: AccountId, sat: u8, minutes: i64) -> (MessageId, GateId) {
    let author = format!("payer{sat}@shop.test");
    let delivery =
        Delivery { internal_date: NOW - minutes * MINUTE, content_digest: Some([sat; 32]), ..priced(account, &author) };
    let delivered = deliver(store, delivery).await;
    let gate = delivered.gate.unwrap();
    pay(store, gate, 10 * u64::from(sat), sat).await;
    (delivered.message, gate)
}

async fn pay(store: &Subject, gate: GateId, sat: u64, chance: u8) -> QuoteId {
    let preimage = Preimage::new([chance; 32]);
    let price = Msat(10_000);
    let quote = store.begin_quote(gate, price, AMPLE, &preimage, NOW + HOUR, NOW).await.unwrap();
    let Begun::Quote(quote, _) = quote else { panic!("{quote:?}") };
    store.publish_quote(quote, "lnbcrt1").await.unwrap();
    let held = store.payment_held(incoming(preimage.hash(), sat), NOW).await.unwrap();
    assert!(matches!(held, HeldOutcome::Held { .. }), "{held:?}");
    quote
}

/// What the Queue shows, first to last; its UIDs and dates must tell the same.
async fn queue(store: &Subject, account: AccountId) -> Vec<MessageId> {
    let entries = entries(store, account, Place::Queue).await;
    assert!(entries.is_sorted_by(|a, b| a.uid < b.uid), "{entries:?}");
    assert!(entries.is_sorted_by(|a, b| a.internal_date / 1000 < b.internal_date / 1000), "{entries:?}");
    let next = folder(store, account, Place::Queue).await.uid_next;
    assert!(entries.iter().all(|entry| entry.uid < next));
    entries.iter().map(|entry| entry.message).collect()
}

async fn uids(store: &Subject, account: AccountId) -> Vec<u32> {
    entries(store, account, Place::Queue).await.iter().map(|entry| entry.uid.get()).collect()
}

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

/// What watchers of the Queue were told since the last call.
fn told(watch: &mut tokio::sync::broadcast::Receiver<Change>, id: MailboxId) -> Option<ModSeq> {
    let mut last = None;
    while let Ok(change) = watch.try_recv() {
        if change.mailbox == Some(id) {
            last = Some(change.modseq);
        }
    }
    last
}

pub async fn a_queue_shows_open_mail_best_paid_first(store: Subject) {
    let alice = account(&store, "alice").await;
    // From before it is turned on.
    let (young, old) = (free(&store, alice, 1).await, free(&store, alice, 50).await);
    let (ten, _) = paid_mail(&store, alice, 1, 5).await;
    let (fifty, gate) = paid_mail(&store, alice, 5, 3).await;
    deliver(&store, priced(alice, "unpaid@shop.test")).await;
    deliver(&store, mail(alice, Place::Archive, "friend@shop.test")).await;
    deliver(&store, Delivery { flags: Flags::ANSWERED, ..mail(alice, Place::Inbox, "friend@shop.test") }).await;
    store.set_desk(alice, true, NOW).await.unwrap();
    store.set_desk(alice, true, NOW).await.unwrap();
    assert_eq!(queue(&store, alice).await, [fifty, ten, old, young]);
    assert_eq!(uids(&store, alice).await, [1, 2, 3, 4]);
    let shown = entries(&store, alice, Place::Queue).await;
    assert_eq!(shown[0].internal_date, NOW - 3 * MINUTE, "the first came when it came");
    assert_eq!(shown[1].internal_date, NOW - 3 * MINUTE + 1000, "the next a second later, though it is older");
    assert_eq!(shown[3].internal_date, NOW - MINUTE);
    assert_eq!(shown[0].keywords, ["$Paid", "$Tier2"]);
    assert_eq!(shown[2].keywords, ["$Tier3"]);
    let size = entries(&store, alice, Place::Requests).await[1].size;
    assert_eq!(shown[0].size, size);
    // The priority price: from INBOX, before all.
    let delivered = deliver(&store, priced(alice, "hurried@shop.test")).await;
    let hurried = pay(&store, delivered.gate.unwrap(), 1000, 100).await;
    assert_eq!(queue(&store, alice).await, [delivered.message, fifty, ten, old, young]);
    let first = entries(&store, alice, Place::Queue).await.remove(0);
    assert_eq!(
        (first.keywords, first.flags),
        (vec!["$Paid".into(), "$Priority".into(), "$Tier1".into()], Flags::FLAGGED)
    );
    // Where equal sums were paid, the older is first.
    let other = deliver(&store, Delivery { internal_date: NOW - HOUR, ..priced(alice, "other@shop.test") }).await;
    pay(&store, other.gate.unwrap(), 10, 101).await;
    assert_eq!(queue(&store, alice).await, [delivered.message, fifty, other.message, ten, old, young]);
    // Settled is paid as well.
    store.decide(gate, lnmp::Act::MarkedAccepted, NOW).await.unwrap();
    let hash = Preimage::new([5; 32]).hash();
    store.payment_settled(&hash, Msat(50_000), NOW).await.unwrap();
    let second = entries(&store, alice, Place::Queue).await.remove(1);
    assert_eq!((second.message, second.keywords.join(" ")), (fifty, "$Settled $Accepted $Tier2".into()));
    // What was lost on the way was not.
    store.decide(delivered.gate.unwrap(), lnmp::Act::MarkedAccepted, NOW).await.unwrap();
    assert!(store.payment_lost(hurried, NOW).await.unwrap());
    assert_eq!(queue(&store, alice).await, [fifty, other.message, ten, old, young, delivered.message]);
    let last = entries(&store, alice, Place::Queue).await.remove(5);
    assert_eq!(last.keywords.join(" "), "$Refunded $Priority $Tier3");
}

pub async fn what_belongs_before_others_gives_only_those_new_uids(store: Subject) {
    let alice = desk(&store).await;
    let mut watch = store.watch();
    let id = folder(&store, alice, Place::Queue).await.id;
    let (ninety, _) = paid_mail(&store, alice, 9, 10).await;
    let (ten, _) = paid_mail(&store, alice, 1, 10).await;
    let last = free(&store, alice, 9).await;
    assert_eq!(uids(&store, alice).await, [1, 2, 3], "what belongs behind others changes nothing of theirs");
    let known = folder(&store, alice, Place::Queue).await.highest_modseq;
    assert_eq!(told(&mut watch, id), Some(known));
    let (fifty, _) = paid_mail(&store, alice, 5, 1).await;
    assert_eq!(queue(&store, alice).await, [ninety, fifty, ten, last]);
    assert_eq!(uids(&store, alice).await, [1, 4, 5, 6]);
    let changes = store.changes(alice, id, known).await.unwrap();
    assert_eq!(changes.vanished, [uid(2), uid(3)]);
    assert_eq!(changes.changed.iter().map(|entry| entry.uid.get()).collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!((changes.uid_next, told(&mut watch, id)), (uid(7), Some(changes.highest_modseq)));
    // One that leaves moves nobody, and one in between that comes keeps the beginning.
    move_one(&store, alice, uid(1), Place::Archive).await;
    assert_eq!(uids(&store, alice).await, [4, 5, 6]);
    // Going from Requests to INBOX it stays what it is.
    move_one(&store, alice, uid(4), Place::Inbox).await;
    assert_eq!((queue(&store, alice).await, uids(&store, alice).await), (vec![fifty, ten, last], vec![4, 5, 6]));
    let counts = store.status(alice, &[id]).await.unwrap().remove(0);
    assert_eq!((counts.messages, counts.unseen, counts.recent, counts.uid_next), (3, 3, 0, uid(7)));
    assert_eq!(counts.size, entries(&store, alice, Place::Queue).await.iter().map(|entry| entry.size).sum::<u64>());
}

async fn move_one(store: &Subject, account: AccountId, uid: Uid, to: Place) -> crate::Copied {
    let (from, to) = (folder(store, account, Place::Queue).await.id, folder(store, account, to).await.id);
    store.move_entries(account, from, &[uid], to, NOW).await.unwrap()
}

pub async fn what_is_answered_moved_or_declined_leaves_the_queue(store: Subject) {
    let alice = desk(&store).await;
    let (forty, _) = paid_mail(&store, alice, 4, 1).await;
    let (thirty, gate) = paid_mail(&store, alice, 3, 1).await;
    let (one, two) = (free(&store, alice, 3).await, free(&store, alice, 2).await);
    assert_eq!(queue(&store, alice).await, [forty, thirty, one, two]);
    // Answered: in the Queue, which tells that the UID was reached, or in INBOX.
    let change = FlagChange {
        mailbox: folder(&store, alice, Place::Queue).await.id,
        uids: vec![uid(1)],
        mode: FlagMode::Add,
        flags: Flags::ANSWERED,
        keywords: Vec::new(),
        unchanged_since: None,
    };
    let set_flags = store.set_flags(alice, change, NOW).await.unwrap();
    assert_eq!((set_flags.entries.len(), &set_flags.followed[..]), (0, &[uid(1)][..]));
    assert_eq!(entries(&store, alice, Place::Requests).await[0].flags, Flags::ANSWERED);
    let inbox = entries(&store, alice, Place::Inbox).await;
    set(&store, alice, Place::Inbox, &[inbox[0].uid], FlagMode::Add, Flags::ANSWERED, &[], NOW).await;
    assert_eq!(queue(&store, alice).await, [thirty, two]);
    // Not answered after all: back in its place.
    set(&store, alice, Place::Inbox, &[inbox[0].uid], FlagMode::Remove, Flags::ANSWERED, &[], NOW).await;
    assert_eq!((queue(&store, alice).await, uids(&store, alice).await), (vec![thirty, one, two], vec![2, 5, 6]));
    // Many at once go by another way.
    for _ in 0..8 {
        free(&store, alice, 0).await;
    }
    let all: Vec<Uid> = entries(&store, alice, Place::Inbox).await.iter().map(|entry| entry.uid).collect();
    set(&store, alice, Place::Inbox, &all, FlagMode::Add, Flags::ANSWERED, &[], NOW).await;
    assert_eq!(queue(&store, alice).await, [thirty]);
    set(&store, alice, Place::Inbox, &all, FlagMode::Remove, Flags::ANSWERED, &[], NOW).await;
    assert_eq!(queue(&store, alice).await.len(), 11);
    // Declined, it stays in Requests and is not open; what is refused otherwise is moved away.
    store.decide(gate, lnmp::Act::MarkedDeclined, NOW).await.unwrap();
    let shown = queue(&store, alice).await;
    assert_eq!(shown.len(), 10);
    assert!(!shown.contains(&thirty));
    let moved = move_one(&store, alice, entries(&store, alice, Place::Queue).await[0].uid, Place::Trash).await;
    assert_eq!((moved.pairs.len(), moved.vanished.len()), (1, 1));
    assert_eq!(queue(&store, alice).await, shown[1..]);
    // A draft is no request.
    deliver(&store, Delivery { flags: Flags::DRAFT, ..mail(alice, Place::Inbox, "x@shop.test") }).await;
    assert_eq!(queue(&store, alice).await, shown[1..]);
}

pub async fn flags_are_those_of_the_mail_itself(store: Subject) {
    let alice = desk(&store).await;
    free(&store, alice, 1).await;
    let id = folder(&store, alice, Place::Queue).await.id;
    let mut watch = store.watch();
    let after = set(&store, alice, Place::Queue, &[uid(1)], FlagMode::Add, Flags::SEEN, &["Mine", "$Tier1"], NOW).await;
    assert_eq!((after[0].flags, after[0].keywords.join(" ")), (Flags::SEEN, "Mine $Tier3".into()));
    assert_eq!(told(&mut watch, id), Some(after[0].modseq));
    let inbox = only(&store, alice, Place::Inbox).await;
    assert_eq!((inbox.flags, &inbox.keywords[..]), (Flags::SEEN, &["Mine".to_owned()][..]));
    let known = folder(&store, alice, Place::Queue).await.highest_modseq;
    set(&store, alice, Place::Inbox, &[inbox.uid], FlagMode::Replace, Flags::FLAGGED, &[], NOW).await;
    let changes = store.changes(alice, id, known).await.unwrap();
    assert_eq!((changes.changed.len(), changes.vanished.len()), (1, 0));
    assert_eq!((changes.changed[0].flags, changes.changed[0].keywords.join(" ")), (Flags::FLAGGED, "$Tier3".into()));
    // Nothing changed, nothing is told.
    let before = folder(&store, alice, Place::Queue).await.highest_modseq;
    set(&store, alice, Place::Queue, &[uid(1)], FlagMode::Add, Flags::FLAGGED, &["$Tier2"], NOW).await;
    assert_eq!(folder(&store, alice, Place::Queue).await.highest_modseq, before);
}

pub async fn a_conditional_store_asks_the_queues_own_modseq(store: Subject) {
    let alice = desk(&store).await;
    let (one, two) = (free(&store, alice, 2).await, free(&store, alice, 1).await);
    assert_eq!(queue(&store, alice).await, [one, two]);
    let known = entries(&store, alice, Place::Queue).await[1].modseq;
    set(&store, alice, Place::Queue, &[uid(1)], FlagMode::Add, Flags::SEEN, &[], NOW).await;
    paid_mail(&store, alice, 1, 1).await;
    // Their UIDs are 4 and 5 now, and 3 is the paid one.
    let mailbox = folder(&store, alice, Place::Queue).await.id;
    let change = |uids: &[u32], since| FlagChange {
        mailbox,
        uids: uids.iter().map(|&number| uid(number)).collect(),
        mode: FlagMode::Add,
        flags: Flags::FLAGGED,
        keywords: Vec::new(),
        unchanged_since: Some(since),
    };
    let answer = store.set_flags(alice, change(&[1, 2, 4, 77], known), NOW).await.unwrap();
    assert_eq!(answer.modified, [uid(1), uid(2), uid(4)], "what got a new UID did change");
    let now = folder(&store, alice, Place::Queue).await.highest_modseq;
    let answer = store.set_flags(alice, change(&[4], now), NOW).await.unwrap();
    assert_eq!((answer.modified.len(), answer.entries[0].flags), (0, Flags::SEEN.with(Flags::FLAGGED)));
}

pub async fn what_is_done_in_the_queue_decides(store: Subject) {
    let alice = desk(&store).await;
    let (fifty, first) = paid_mail(&store, alice, 5, 1).await;
    let (_, second) = paid_mail(&store, alice, 4, 1).await;
    let (thirty, third) = paid_mail(&store, alice, 3, 1).await;
    let (_, fourth) = paid_mail(&store, alice, 2, 1).await;
    let (ten, fifth) = paid_mail(&store, alice, 1, 1).await;
    let queue_id = folder(&store, alice, Place::Queue).await.id;
    // To Archive: accepted.
    let moved = move_one(&store, alice, uid(1), Place::Archive).await;
    assert_eq!((&moved.pairs[..], &moved.vanished[..]), (&[(uid(1), uid(1))][..], &[uid(1)][..]));
    assert_state(&store, first, GateState::Settling).await;
    assert_eq!(only(&store, alice, Place::Archive).await.message, fifty);
    assert_eq!(entries(&store, alice, Place::Requests).await.len(), 4);
    // To Junk: declined.
    move_one(&store, alice, uid(2), Place::Junk).await;
    assert_state(&store, second, GateState::Declined).await;
    // To INBOX: accepted, and open as before.
    let moved = move_one(&store, alice, uid(3), Place::Inbox).await;
    assert_eq!((moved.pairs.len(), moved.vanished.len()), (1, 0));
    assert_state(&store, third, GateState::Settling).await;
    assert_eq!(queue(&store, alice).await[0], thirty);
    // Once there, it is moved nowhere.
    let again = move_one(&store, alice, uid(3), Place::Inbox).await;
    assert_eq!(again.pairs, [(uid(3), only(&store, alice, Place::Inbox).await.uid)]);
    // By keyword.
    set(&store, alice, Place::Queue, &[uid(4)], FlagMode::Add, Flags::NONE, &["$Accepted"], NOW).await;
    assert_state(&store, fourth, GateState::Settling).await;
    // A copy accepts too, and the mail stays where it is.
    let archive = folder(&store, alice, Place::Archive).await.id;
    let copied = store.copy(alice, queue_id, &[uid(5)], archive, NOW).await.unwrap();
    assert_eq!(copied.pairs, [(uid(5), uid(2))]);
    assert_state(&store, fifth, GateState::Settling).await;
    assert_eq!(queue(&store, alice).await.last(), Some(&ten));
    assert!(matches!(
        store.copy_all(alice, queue_id, &[uid(5), uid(99)], archive, NOW).await,
        Err(StoreError::NoSuch("message"))
    ));
    // To another account: judged as a move of the mail itself.
    let (mail, gate) = paid_mail(&store, alice, 6, 1).await;
    assert_eq!(queue(&store, alice).await[0], mail);
    let first = entries(&store, alice, Place::Queue).await[0].uid;
    assert_eq!(store.carried_off(alice, queue_id, &[first], Place::Inbox, true, NOW).await.unwrap(), [first]);
    assert_state(&store, gate, GateState::Settling).await;
    assert!(!queue(&store, alice).await.contains(&mail));
}

pub async fn an_expunge_in_the_queue_is_one_of_the_mail_itself(store: Subject) {
    let alice = desk(&store).await;
    let (message, gate) = paid_mail(&store, alice, 1, 1).await;
    let freed = free(&store, alice, 1).await;
    let id = folder(&store, alice, Place::Queue).await.id;
    set(&store, alice, Place::Queue, &[uid(1), uid(2)], FlagMode::Add, Flags::DELETED, &[], NOW).await;
    let counts = store.status(alice, &[id]).await.unwrap().remove(0);
    assert_eq!((counts.messages, counts.deleted, counts.deleted_size), (2, 2, counts.size));
    assert_eq!(store.expunge(alice, id, Some(&[uid(1)]), NOW).await.unwrap(), [uid(1)]);
    assert!(entries(&store, alice, Place::Requests).await.is_empty());
    assert!(super::gate(&store, gate).await.armed_until.is_some(), "as in Requests: a decline, after its grace");
    assert!(store.content(alice, message).await.unwrap().is_some());
    assert_eq!(queue(&store, alice).await, [freed]);
    assert_eq!(store.expunge(alice, id, None, NOW).await.unwrap(), [uid(2)]);
    assert!(entries(&store, alice, Place::Inbox).await.is_empty());
    assert!(store.content(alice, freed).await.unwrap().is_none());
    assert!(queue(&store, alice).await.is_empty());
    // Its content comes back within the grace: open again.
    append(&store, alice, Place::Requests, 1, NOW).await;
    assert_eq!(queue(&store, alice).await.len(), 1);
    assert_state(&store, gate, GateState::Settling).await;
}

pub async fn an_old_uid_of_the_queue_finds_its_mail(store: Subject) {
    let alice = desk(&store).await;
    let (ten, gate) = paid_mail(&store, alice, 1, 1).await;
    let note = free(&store, alice, 1).await;
    let (ninety, _) = paid_mail(&store, alice, 9, 1).await;
    assert_eq!((queue(&store, alice).await, uids(&store, alice).await), (vec![ninety, ten, note], vec![3, 4, 5]));
    // Somebody whose client shows the order from before archives the first two.
    let (from, archive) =
        (folder(&store, alice, Place::Queue).await.id, folder(&store, alice, Place::Archive).await.id);
    let moved = store.move_entries(alice, from, &[uid(1), uid(2)], archive, NOW).await.unwrap();
    assert_eq!((&moved.pairs[..], moved.vanished.len()), (&[(uid(1), uid(1)), (uid(2), uid(2))][..], 0));
    assert_state(&store, gate, GateState::Settling).await;
    let archived: Vec<MessageId> = entries(&store, alice, Place::Archive).await.iter().map(|e| e.message).collect();
    assert_eq!((archived, queue(&store, alice).await), (vec![ten, note], vec![ninety]));
    // Of what was moved away, nobody is surprised a second time.
    let again = store.move_entries(alice, from, &[uid(1)], archive, NOW).await.unwrap();
    assert!(again.pairs.is_empty());
    let other = account(&store, "other").await;
    assert!(matches!(
        store.move_entries(other, from, &[uid(3)], archive, NOW).await,
        Err(StoreError::NoSuch("mailbox"))
    ));
}

pub async fn a_hold_that_ends_leaves_the_queue_and_may_still_be_let_in(store: Subject) {
    let alice = desk(&store).await;
    let (_, gate) = paid_mail(&store, alice, 1, 1).await;
    let hurried = deliver(&store, priced(alice, "hurried@shop.test")).await;
    pay(&store, hurried.gate.unwrap(), 1000, 100).await;
    let note = free(&store, alice, 50).await;
    assert_eq!(queue(&store, alice).await.len(), 3);
    store.end_holds(NOW + DAY, HEIGHT, 12).await.unwrap();
    // The one is in Unpaid, the other stays in INBOX, refunded: nothing is paid for it any more.
    assert_eq!(queue(&store, alice).await, [note, hurried.message]);
    assert_eq!(entries(&store, alice, Place::Queue).await[1].keywords.last().unwrap(), "$Tier3");
    let (from, archive) =
        (folder(&store, alice, Place::Queue).await.id, folder(&store, alice, Place::Archive).await.id);
    // UID 2 since the priority mail came before it.
    let moved = store.move_entries(alice, from, &[uid(1)], archive, NOW + DAY).await.unwrap();
    assert_eq!((moved.pairs.len(), moved.vanished.len()), (1, 0));
    assert_state(&store, gate, GateState::Waived).await;
    assert!(entries(&store, alice, Place::Unpaid).await.is_empty());
}

pub async fn nothing_is_put_into_a_queue_and_it_keeps_its_name(store: Subject) {
    let alice = desk(&store).await;
    free(&store, alice, 1).await;
    let (inbox, id) = (folder(&store, alice, Place::Inbox).await.id, folder(&store, alice, Place::Queue).await.id);
    let cannot = |result: crate::Result<()>| assert!(matches!(result, Err(StoreError::Cannot(_))), "{result:?}");
    cannot(store.copy(alice, inbox, &[uid(1)], id, NOW).await.map(drop));
    cannot(store.move_entries(alice, inbox, &[uid(1)], id, NOW).await.map(drop));
    cannot(store.copy(alice, id, &[uid(1)], id, NOW).await.map(drop));
    let append = |mailbox, replaces| Append { account: alice, mailbox, messages: vec![new_message(1)], replaces };
    cannot(store.append(append(id, None), NOW).await.map(drop));
    cannot(store.append(append(inbox, Some((id, uid(1)))), NOW).await.map(drop));
    cannot(store.delete_mailbox(alice, id, NOW).await.map(drop));
    cannot(store.rename_mailbox(alice, "Queue", "Other", NOW).await);
    cannot(store.set_special_use(alice, id, crate::SpecialUse::ARCHIVE).await);
    assert!(matches!(store.create_mailbox(alice, "Queue", NOW).await, Err(StoreError::Exists("mailbox"))));
    assert_eq!((entries(&store, alice, Place::Inbox).await.len(), uids(&store, alice).await), (1, vec![1]));
    // A name that is taken is the user's.
    let bob = account(&store, "bob").await;
    store.create_mailbox(bob, "Queue", NOW).await.unwrap();
    assert!(matches!(store.set_desk(bob, true, NOW).await, Err(StoreError::Exists("mailbox"))));
    assert!(matches!(store.set_desk(AccountId(99), true, NOW).await, Err(StoreError::NoSuch(_))));
}

pub async fn a_queue_turned_off_and_on_begins_anew(store: Subject) {
    let alice = desk(&store).await;
    let note = free(&store, alice, 1).await;
    let before = folder(&store, alice, Place::Queue).await;
    assert!(store.subscriptions(alice).await.unwrap().contains(&"Queue".to_owned()));
    store.set_desk(alice, false, NOW).await.unwrap();
    store.set_desk(alice, false, NOW).await.unwrap();
    assert!(store.mailboxes(alice).await.unwrap().iter().all(|mailbox| mailbox.place != Place::Queue));
    assert!(!store.subscriptions(alice).await.unwrap().contains(&"Queue".to_owned()));
    assert!(matches!(store.open(alice, before.id, false).await, Err(StoreError::NoSuch("mailbox"))));
    assert_eq!(only(&store, alice, Place::Inbox).await.message, note, "the mails stay");
    let other = free(&store, alice, 2).await;
    store.set_desk(alice, true, NOW).await.unwrap();
    let after = folder(&store, alice, Place::Queue).await;
    assert!(after.uid_validity.0 > before.uid_validity.0);
    assert_eq!((queue(&store, alice).await, uids(&store, alice).await), (vec![other, note], vec![1, 2]));
}

pub async fn agents_work_in_a_shared_queue_as_far_as_their_rights_go(store: Subject) {
    let alice = desk(&store).await;
    let (bob, eve) = (account(&store, "bob").await, account(&store, "eve").await);
    let (id, archive) = (folder(&store, alice, Place::Queue).await.id, folder(&store, alice, Place::Archive).await.id);
    for (mailbox, user, letters) in
        [(id, bob, "lrswte"), (archive, bob, "li"), (id, eve, "lrswe"), (archive, eve, "li")]
    {
        let rights = Rights::parse(letters).unwrap();
        let change = AclChange { mailbox, user, mode: RightsMode::Replace, rights, wrap: Some(vec![1]) };
        store.set_acl(alice, change).await.unwrap();
    }
    let (fifty, first) = paid_mail(&store, alice, 5, 1).await;
    let (_, second) = paid_mail(&store, alice, 4, 1).await;
    let change = |uids: &[u32], flags, keywords: &[&str]| FlagChange {
        mailbox: id,
        uids: uids.iter().map(|&number| uid(number)).collect(),
        mode: FlagMode::Add,
        flags,
        keywords: keywords.iter().map(|&word| word.to_owned()).collect(),
        unchanged_since: None,
    };
    // What each has seen is their own.
    let after = store.set_flags(eve, change(&[1], Flags::SEEN, &[]), NOW).await.unwrap().entries;
    assert_eq!(after[0].flags, Flags::SEEN);
    assert_eq!(store.open(bob, id, false).await.unwrap().entries[0].flags, Flags::NONE);
    for (user, unseen) in [(eve, 1), (bob, 2), (alice, 2)] {
        assert_eq!(store.status(user, &[id]).await.unwrap()[0].unseen, unseen);
    }
    // Without `t` nothing decides.
    store.set_flags(eve, change(&[1], Flags::NONE, &["$Accepted"]), NOW).await.unwrap();
    let denied = store.move_entries(eve, id, &[uid(1)], archive, NOW).await;
    assert!(matches!(denied, Err(StoreError::Denied('t'))), "{denied:?}");
    assert!(matches!(store.set_flags(eve, change(&[1], Flags::DELETED, &[]), NOW).await, Err(StoreError::Denied('t'))));
    set(&store, alice, Place::Queue, &[uid(1)], FlagMode::Add, Flags::DELETED, &[], NOW).await;
    assert!(store.expunge(eve, id, None, NOW).await.unwrap().is_empty(), "it would decide");
    set(&store, alice, Place::Queue, &[uid(1)], FlagMode::Remove, Flags::DELETED, &[], NOW).await;
    assert_state(&store, first, GateState::Held).await;
    // With it the agent needs no right in Requests.
    store.move_entries(bob, id, &[uid(1)], archive, NOW).await.unwrap();
    assert_state(&store, first, GateState::Settling).await;
    assert_eq!(only(&store, alice, Place::Archive).await.message, fifty);
    store.set_flags(bob, change(&[2], Flags::NONE, &["$Declined"]), NOW).await.unwrap();
    assert_state(&store, second, GateState::Declined).await;
    // A priority mail that such an agent has read counts as read when its hold ends.
    let hurried = deliver(&store, priced(alice, "hurried@shop.test")).await;
    pay(&store, hurried.gate.unwrap(), 1000, 100).await;
    let (_, ends) = paid_mail(&store, alice, 3, 1).await;
    assert_eq!(uids(&store, alice).await, [3, 4]);
    store.set_flags(bob, change(&[3], Flags::SEEN, &[]), NOW).await.unwrap();
    store.end_holds(NOW + DAY, HEIGHT, 12).await.unwrap();
    assert_state(&store, hurried.gate.unwrap(), GateState::Settling).await;
    // The other went to Unpaid when its hold ended: there only a decision reaches it.
    assert!(store.copy(eve, id, &[uid(4)], archive, NOW + DAY).await.unwrap().pairs.is_empty());
    assert_state(&store, ends, GateState::Waiting).await;
    assert_eq!(store.copy(bob, id, &[uid(4)], archive, NOW + DAY).await.unwrap().pairs.len(), 1);
    assert_state(&store, ends, GateState::Waived).await;
    assert!(matches!(
        store.open(bob, folder(&store, alice, Place::Requests).await.id, false).await,
        Err(StoreError::NoSuch(_))
    ));
}

pub async fn a_queue_shows_so_many_and_the_rest_comes_in_as_they_leave(store: Subject) {
    let alice = desk(&store).await;
    let max = DESK_SHOWN_MAX as usize;
    let one = |at: i64| Delivery { internal_date: NOW + at * MINUTE, ..mail(alice, Place::Inbox, "friend@shop.test") };
    let batch = Batch { deliveries: (0..DESK_SHOWN_MAX + 2).map(one).collect(), ..Batch::default() };
    let delivered = store.commit(batch, NOW).await.unwrap();
    let message = |at: usize| delivered[at].message;
    let shown = queue(&store, alice).await;
    assert_eq!((shown.len(), shown[0], shown[max - 1]), (max, message(0), message(max - 1)));
    // The first leaves, the next comes in behind all.
    move_one(&store, alice, uid(1), Place::Archive).await;
    let shown = queue(&store, alice).await;
    assert_eq!((shown.len(), shown[0], shown[max - 1]), (max, message(1), message(max)));
    let before = uids(&store, alice).await;
    assert_eq!((before[0], before[max - 1]), (2, max as u32 + 1));
    // A paid one comes before all: everybody gets a new UID, and the last is behind the limit again.
    let (paid, _) = paid_mail(&store, alice, 1, 1).await;
    let shown = queue(&store, alice).await;
    assert_eq!((shown.len(), shown[0], shown[max - 1]), (max, paid, message(max - 1)));
    assert_eq!(uids(&store, alice).await[0], before[max - 1] + 1);
    // One that falls to the end falls out of sight, and what is behind the limit can be answered unseen.
    let inbox = entries(&store, alice, Place::Inbox).await;
    let hidden = inbox.iter().find(|entry| entry.message == message(max)).unwrap().uid;
    let known = folder(&store, alice, Place::Queue).await;
    set(&store, alice, Place::Inbox, &[hidden], FlagMode::Add, Flags::ANSWERED, &[], NOW).await;
    assert_eq!(queue(&store, alice).await, shown);
    let changes = store.changes(alice, known.id, known.highest_modseq).await.unwrap();
    assert_eq!((changes.changed.len(), changes.vanished.len()), (0, 0));
    // Old UIDs are told even to who slept long.
    let changes = store.changes(alice, known.id, ModSeq(1)).await.unwrap();
    assert_eq!((changes.changed.len(), changes.vanished.len()), (max, max + 1));
}

pub async fn a_queue_weighs_nothing_and_goes_with_its_account(store: Subject) {
    let alice = desk(&store).await;
    free(&store, alice, 1).await;
    let (_, gate) = paid_mail(&store, alice, 1, 1).await;
    let sizes = only(&store, alice, Place::Inbox).await.size + only(&store, alice, Place::Requests).await.size;
    assert_eq!(store.quota(alice).await.unwrap().used, sizes);
    // A copy out of it weighs as much as the mail.
    store.set_quota(alice, Some(sizes + 1)).await.unwrap();
    let (from, archive) =
        (folder(&store, alice, Place::Queue).await.id, folder(&store, alice, Place::Archive).await.id);
    assert!(matches!(store.copy(alice, from, &[uid(1)], archive, NOW).await, Err(StoreError::OverQuota)));
    store.move_entries(alice, from, &[uid(1)], archive, NOW).await.unwrap();
    store.remove_account(alice, NOW).await.unwrap();
    assert!(store.gate(gate).await.unwrap().is_some(), "the claim goes on");
    let alice = account(&store, "alice").await;
    assert!(store.mailboxes(alice).await.unwrap().iter().all(|mailbox| mailbox.place != Place::Queue));
}
