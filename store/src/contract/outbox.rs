use super::*;
use std::sync::Arc;

use crate::limits::OUTGOING_PIECE_BYTES;
use crate::{
    CaughtMail, LargeOutgoing, MailWishes, NewOutgoing, QueueOutcome, QueueState, Rest, SentRecord, StandingQuery,
    StoreError,
};

fn outgoing(recipients: &[&str]) -> NewOutgoing {
    NewOutgoing {
        reverse_path: "alice@satchel.test".into(),
        recipients: recipients.iter().map(|&to| to.into()).collect(),
        message: b"Subject: hi\r\n\r\nhello\r\n".to_vec(),
        account: None,
        expires_at: NOW + DAY,
        hold_until: None,
        wishes: MailWishes::default(),
    }
}

pub async fn a_leased_job_comes_back_and_a_finished_one_does_not(store: Subject) {
    let alice = account(&store, "alice").await;
    assert_eq!(store.next_due().await.unwrap(), None);
    deliver(&store, priced(alice, "bob@shop.test")).await;
    assert_eq!(store.next_due().await.unwrap(), Some(NOW));
    let job = store.lease_jobs(NOW, MINUTE, 10).await.unwrap().pop().unwrap();
    assert_eq!(job.attempts, 0);
    assert!(store.lease_jobs(NOW + MINUTE - 1, MINUTE, 10).await.unwrap().is_empty());
    let again = store.lease_jobs(NOW + MINUTE, MINUTE, 10).await.unwrap().pop().unwrap();
    assert_eq!((again.id, again.attempts), (job.id, 1));
    store.retry_job(job.id, NOW + HOUR).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(NOW + HOUR));
    store.finish_job(job.id, Batch::default(), NOW).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), None);
}

pub async fn what_a_dead_process_leased_is_due_at_the_next_start(store: Subject) {
    let alice = account(&store, "alice").await;
    deliver(&store, priced(alice, "bob@shop.test")).await;
    deliver(&store, priced(alice, "carol@shop.test")).await;
    store.commit(Batch { outgoing: vec![outgoing(&["bob@shop.test"])], ..Batch::default() }, NOW).await.unwrap();
    let jobs = store.lease_jobs(NOW, HOUR, 10).await.unwrap();
    assert_eq!((jobs.len(), store.lease_queue(NOW, HOUR, 10).await.unwrap().len()), (2, 1));
    // Put off by its own decision: that is no lease.
    store.retry_job(jobs[0].id, NOW + MINUTE).await.unwrap();
    assert_eq!(store.release_leases(NOW + 1).await.unwrap(), 2);
    let again: Vec<_> = store.lease_jobs(NOW + 1, HOUR, 10).await.unwrap().iter().map(|job| job.id).collect();
    assert_eq!(again, [jobs[1].id]);
    assert_eq!(store.lease_queue(NOW + 1, HOUR, 10).await.unwrap().len(), 1);
}

pub async fn a_jobs_causes_are_committed_once(store: Subject) {
    let alice = account(&store, "alice").await;
    let gate = deliver(&store, priced(alice, "bob@shop.test")).await.gate.unwrap();
    let job = store.lease_jobs(NOW, MINUTE, 10).await.unwrap().pop().unwrap();
    let causes = Batch { outgoing: vec![outgoing(&["bob@shop.test"])], asked: vec![gate], ..Batch::default() };
    store.finish_job(job.id, causes.clone(), NOW).await.unwrap();
    assert!(matches!(store.finish_job(job.id, causes, NOW).await, Err(StoreError::NoSuch(_))));
    assert_eq!(store.queue().await.unwrap().len(), 1);
    assert_eq!(store.ask_counts(gate, NOW).await.unwrap().author_day, 1);
}

pub async fn asks_are_counted_by_author_domain_and_signature(store: Subject) {
    let (alice, eve) = (account(&store, "alice").await, account(&store, "eve").await);
    let mut gates = Vec::new();
    for (account, author, signature) in
        [(alice, "bob@shop.test", 1), (eve, "bob@shop.test", 2), (alice, "carol@shop.test", 3)]
    {
        let mut delivery = priced(account, author);
        delivery.gate.as_mut().unwrap().dkim_signature = Some(vec![signature; 32]);
        gates.push(deliver(&store, delivery).await.gate.unwrap());
    }
    store.commit(Batch { asked: gates.clone(), ..Batch::default() }, NOW).await.unwrap();
    let counts = |gate, now| {
        let store = store.clone();
        async move {
            let counts = store.ask_counts(gate, now).await.unwrap();
            [counts.author_account_day, counts.author_day, counts.domain_hour, counts.dkim_signature]
        }
    };
    assert_eq!(counts(gates[0], NOW).await, [1, 2, 3, 1]);
    assert_eq!(counts(gates[2], NOW).await, [1, 1, 3, 1]);
    assert_eq!(counts(gates[0], NOW + HOUR).await, [1, 2, 0, 1]);
    assert_eq!(counts(gates[0], NOW + DAY).await, [0, 0, 0, 1]);
}

pub async fn queued_mail_is_leased_retried_and_ended(store: Subject) {
    let batch = Batch { outgoing: vec![outgoing(&["bob@shop.test", "carol@shop.test"])], ..Batch::default() };
    store.commit(batch, NOW).await.unwrap();
    let leased = store.lease_queue(NOW, MINUTE, 10).await.unwrap();
    assert_eq!(
        leased.iter().map(|item| item.recipient.as_str()).collect::<Vec<_>>(),
        ["bob@shop.test", "carol@shop.test"]
    );
    assert_eq!((leased[0].mail, leased[0].attempts), (leased[1].mail, 0));
    let octets = store.outgoing_message(leased[0].mail).await.unwrap();
    assert_eq!(octets.as_deref(), Some(&b"Subject: hi\r\n\r\nhello\r\n"[..]));
    assert!(store.lease_queue(NOW, MINUTE, 10).await.unwrap().is_empty());
    assert_eq!(store.retry_queue(None, NOW).await.unwrap(), 0);
    let retry = QueueOutcome::Retry { id: leased[1].id, due_at: NOW + HOUR, error: "451 later".into() };
    let dsn = Batch { outgoing: vec![outgoing(&["alice@satchel.test"])], ..Batch::default() };
    let done = QueueOutcome::Done(leased[0].id);
    store.finish_queue(vec![done.clone(), retry], dsn.clone(), NOW).await.unwrap();
    let waiting = store.queue().await.unwrap();
    assert_eq!(waiting.len(), 2);
    assert_eq!((waiting[0].state, waiting[0].attempts, waiting[0].due_at), (QueueState::Waiting, 1, NOW + HOUR));
    assert_eq!((waiting[0].last_error.as_deref(), waiting[0].size), (Some("451 later"), 22));
    // Somebody else ended it: the DSN is not sent twice.
    store.finish_queue(vec![done], dsn, NOW).await.unwrap();
    assert_eq!(store.queue().await.unwrap().len(), 2);
    assert_eq!(store.retry_queue(Some(waiting[0].id), NOW).await.unwrap(), 1);
    assert_eq!(store.lease_queue(NOW, MINUTE, 10).await.unwrap().len(), 2);
    assert!(store.remove_queue(waiting[0].id).await.unwrap());
    assert!(!store.remove_queue(waiting[0].id).await.unwrap());
    assert_eq!(store.lease_queue(NOW + MINUTE, MINUTE, 10).await.unwrap().len(), 1);
}

/// Octets that are made when they are asked for.
#[derive(Debug)]
struct Made(u64);

impl Made {
    fn octet(at: u64) -> u8 {
        (at * 31 % 251) as u8
    }
}

impl Rest for Made {
    fn size(&self) -> u64 {
        self.0
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> std::io::Result<()> {
        if at + into.len() as u64 > self.0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        (at..).zip(into).for_each(|(at, octet)| *octet = Self::octet(at));
        Ok(())
    }
}

pub async fn a_large_queued_mail_is_stored_and_read_in_pieces(store: Subject) {
    let piece = OUTGOING_PIECE_BYTES as u64;
    for rest in [0, 1, piece - 22, piece, 3 * piece + 7] {
        let large = LargeOutgoing { mail: outgoing(&["bob@shop.test"]), rest: Arc::new(Made(rest)) };
        let whole: Vec<u8> = large.mail.message.iter().copied().chain((0..rest).map(Made::octet)).collect();
        store.commit(Batch { large_outgoing: vec![large], ..Batch::default() }, NOW).await.unwrap();
        let item = store.lease_queue(NOW, MINUTE, 10).await.unwrap().pop().unwrap();
        assert_eq!(item.size, whole.len() as u64);
        assert!(store.outgoing_message(item.mail).await.unwrap().unwrap() == whole, "{rest}");
        for start in [0, 5, 22, piece - 1, piece, 2 * piece + 1, whole.len() as u64] {
            for count in [0, 1, piece, 2 * piece, u64::MAX] {
                let end = (whole.len() as u64).min(start.saturating_add(count));
                let read = store.outgoing_range(item.mail, start..start.saturating_add(count)).await.unwrap().unwrap();
                assert!(read == whole[(start.min(end)) as usize..end as usize], "{rest}: {start} {count}");
            }
        }
        assert!(store.remove_queue(item.id).await.unwrap());
        assert_eq!(store.outgoing_range(item.mail, 0..1).await.unwrap(), None);
    }
    // One that cannot be read is not queued, nor is what came with it.
    #[derive(Debug)]
    struct Broken;
    impl Rest for Broken {
        fn size(&self) -> u64 {
            1_000_000
        }

        fn read_at(&self, _at: u64, _into: &mut [u8]) -> std::io::Result<()> {
            Err(std::io::ErrorKind::NotFound.into())
        }
    }
    let large = LargeOutgoing { mail: outgoing(&["bob@shop.test"]), rest: Arc::new(Broken) };
    let batch =
        Batch { outgoing: vec![outgoing(&["carol@shop.test"])], large_outgoing: vec![large], ..Batch::default() };
    assert!(matches!(store.commit(batch, NOW).await, Err(StoreError::Damaged(_))));
    assert!(store.queue().await.unwrap().is_empty());
}

pub async fn a_small_queued_mail_is_read_by_range_too(store: Subject) {
    store.commit(Batch { outgoing: vec![outgoing(&["bob@shop.test"])], ..Batch::default() }, NOW).await.unwrap();
    let mail = store.lease_queue(NOW, MINUTE, 10).await.unwrap()[0].mail;
    for (range, octets) in [(0..9, &b"Subject: "[..]), (9..11, b"hi"), (20..99, b"\r\n"), (99..100, b"")] {
        assert_eq!(store.outgoing_range(mail, range).await.unwrap().unwrap(), octets);
    }
}

pub async fn a_delay_is_told_once_and_a_busy_destination_is_no_try(store: Subject) {
    let batch = Batch { outgoing: vec![outgoing(&["bob@shop.test", "carol@shop.test"])], ..Batch::default() };
    store.commit(batch, NOW).await.unwrap();
    let leased = store.lease_queue(NOW, MINUTE, 10).await.unwrap();
    let delayed = QueueOutcome::Delayed { id: leased[0].id, due_at: NOW + HOUR, error: "451 later".into() };
    let put_off = QueueOutcome::PutOff { id: leased[1].id, due_at: NOW + HOUR, error: "busy".into() };
    store.finish_queue(vec![delayed, put_off], Batch::default(), NOW).await.unwrap();
    let waiting = store.queue().await.unwrap();
    let told: Vec<_> = waiting.iter().map(|item| (item.attempts, item.delay_told)).collect();
    assert_eq!(told, [(1, true), (0, false)]);
    let retry = QueueOutcome::Retry { id: leased[0].id, due_at: NOW + HOUR, error: "451 later".into() };
    store.finish_queue(vec![retry], Batch::default(), NOW).await.unwrap();
    let waiting = store.queue().await.unwrap();
    assert_eq!((waiting[0].attempts, waiting[0].delay_told), (2, true));
    for item in &waiting {
        assert!(store.outgoing_message(item.mail).await.unwrap().is_some());
        assert!(store.remove_queue(item.id).await.unwrap());
    }
    assert_eq!(store.outgoing_message(leased[0].mail).await.unwrap(), None, "the octets go with the last recipient");
}

pub async fn held_mail_is_let_go_by_nothing_but_its_name(store: Subject) {
    let held = NewOutgoing { hold_until: Some(NOW + HOUR), ..outgoing(&["bob@shop.test"]) };
    store
        .commit(Batch { outgoing: vec![held, outgoing(&["carol@shop.test"])], ..Batch::default() }, NOW)
        .await
        .unwrap();
    let leased = store.lease_queue(NOW, MINUTE, 10).await.unwrap();
    assert_eq!(leased.iter().map(|item| item.recipient.as_str()).collect::<Vec<_>>(), ["carol@shop.test"]);
    let retry = QueueOutcome::Retry { id: leased[0].id, due_at: NOW + HOUR, error: "451 later".into() };
    store.finish_queue(vec![retry], Batch::default(), NOW).await.unwrap();
    let bob = store.queue().await.unwrap()[0].id;
    assert_eq!(store.retry_queue(None, NOW).await.unwrap(), 1, "carol's");
    store.suspend_queue(None).await.unwrap();
    store.resume_queue(None, NOW).await.unwrap();
    assert_eq!(store.lease_queue(NOW, MINUTE, 10).await.unwrap().len(), 1, "carol's again");
    assert_eq!(store.lease_queue(NOW + HOUR, MINUTE, 10).await.unwrap().len(), 2, "at its time");
    store.release_leases(NOW).await.unwrap();
    assert_eq!(store.retry_queue(Some(bob), NOW).await.unwrap(), 1, "by name");
}

pub async fn suspended_mail_waits_until_it_is_resumed(store: Subject) {
    let batch = Batch { outgoing: vec![outgoing(&["bob@shop.test", "carol@shop.test"])], ..Batch::default() };
    store.commit(batch, NOW).await.unwrap();
    let (bob, carol) = {
        let items = store.queue().await.unwrap();
        (items[0].id, items[1].id)
    };
    let states = || {
        let store = store.clone();
        async move { store.queue().await.unwrap().iter().map(|item| item.state).collect::<Vec<_>>() }
    };
    assert_eq!(store.suspend_queue(Some(bob)).await.unwrap(), 1);
    assert_eq!(store.suspend_queue(Some(bob)).await.unwrap(), 0, "it is already");
    assert_eq!(states().await, [QueueState::Suspended, QueueState::Waiting]);
    let leased = store.lease_queue(NOW, MINUTE, 10).await.unwrap();
    assert_eq!(leased.iter().map(|item| item.id).collect::<Vec<_>>(), [carol]);
    // Suspended while it is being sent: the try goes on, and nothing follows it.
    assert_eq!(store.suspend_queue(None).await.unwrap(), 1);
    assert_eq!(states().await, [QueueState::Suspended, QueueState::Sending]);
    let retry = QueueOutcome::Retry { id: carol, due_at: NOW, error: "451 later".into() };
    store.finish_queue(vec![retry], Batch::default(), NOW).await.unwrap();
    assert_eq!(states().await, [QueueState::Suspended, QueueState::Suspended]);
    assert_eq!(store.retry_queue(None, NOW).await.unwrap(), 0);
    store.release_leases(NOW).await.unwrap();
    assert!(store.lease_queue(NOW + DAY, MINUTE, 10).await.unwrap().is_empty());
    assert_eq!(store.next_due().await.unwrap(), None);
    assert_eq!(store.resume_queue(Some(carol), NOW + HOUR).await.unwrap(), 1);
    assert_eq!(store.next_due().await.unwrap(), Some(NOW + HOUR));
    assert_eq!(store.resume_queue(None, NOW + HOUR).await.unwrap(), 1);
    assert_eq!(store.lease_queue(NOW + HOUR, MINUTE, 10).await.unwrap().len(), 2);
}

pub async fn what_the_user_sends_befriends_and_makes_replies_free(store: Subject) {
    let alice = account(&store, "alice").await;
    let batch = Batch {
        friends: vec![(alice, "bob@shop.test".into())],
        sent: vec![SentRecord {
            account: alice,
            message_id: "<m1@satchel.test>".into(),
            recipients: vec!["carol@shop.test".into()],
        }],
        ..Batch::default()
    };
    store.commit(batch, NOW).await.unwrap();
    assert_eq!(relation(&store, alice, "bob@shop.test").await, Some(Relation::Friend));
    let replies = |author: &'static str, id: &'static str| {
        let store = store.clone();
        async move {
            let query = StandingQuery {
                author: Some(author.into()),
                reply_to_ids: vec![id.into()],
                ..StandingQuery::default()
            };
            store.standing(alice, query).await.unwrap().replies
        }
    };
    assert!(replies("carol@shop.test", "<m1@satchel.test>").await);
    assert!(!replies("mallory@shop.test", "<m1@satchel.test>").await);
    assert!(!replies("carol@shop.test", "<m2@satchel.test>").await);
}

pub async fn a_batch_is_committed_whole_or_not_at_all(store: Subject) {
    let alice = account(&store, "alice").await;
    let batch = Batch {
        deliveries: vec![
            mail(alice, Place::Inbox, "bob@shop.test"),
            mail(AccountId(999), Place::Inbox, "bob@shop.test"),
        ],
        outgoing: vec![outgoing(&["bob@shop.test"])],
        ..Batch::default()
    };
    assert!(store.commit(batch, NOW).await.is_err());
    assert!(entries(&store, alice, Place::Inbox).await.is_empty());
    assert!(store.queue().await.unwrap().is_empty());
    assert_eq!(deliver(&store, mail(alice, Place::Inbox, "bob@shop.test")).await.uid.get(), 1);
}

pub async fn the_catch_all_keeps_the_newest(store: Subject) {
    for number in 0..3 {
        let caught =
            CaughtMail { from: "a@b.test".into(), to: "c@d.test".into(), message: vec![b'x'; number], at: NOW };
        store.catch_mail(caught).await.unwrap();
    }
    let caught = store.caught_mail().await.unwrap();
    assert_eq!(caught.iter().map(|mail| mail.message.len()).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!((caught[0].from.as_str(), caught[0].to.as_str()), ("a@b.test", "c@d.test"));
}
