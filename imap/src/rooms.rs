//! What sessions of this process share: one room for each mailbox that somebody is in, and user in it.
//!
//! A room exists while a session holds it. The registry hands every change of the store to the rooms it
//! concerns, so that a thousand sessions elsewhere sleep on.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use store::{AccountId, Change, MailboxId, ModSeq, Store};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;

use crate::agreements::Agreements;
use crate::filters::FilterCache;
use crate::limits::WOKEN_FIRST;
use crate::snapshot::Snapshot;
use crate::summaries::SummaryCache;
use crate::watchers::Watchers;

/// The mailbox, and who looks at it: what they see of it may differ (`\Seen`).
type MailboxKey = (MailboxId, AccountId);

/// The registry of rooms.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    accounts: Mutex<HashMap<AccountId, Weak<AccountRoom>>>,
    mailboxes: Mutex<BTreeMap<MailboxKey, Weak<MailboxRoom>>>,
    /// Sessions that asked to be notified of more than the mailbox they are in.
    pub(crate) watchers: Arc<Watchers>,
}

/// What the sessions of one account share.
#[derive(Debug)]
pub(crate) struct AccountRoom {
    account: AccountId,
    rooms: Weak<Rooms>,
    /// The key of users who may read it without being it, and its owner's: one copy while any of them is here.
    opener: Mutex<Weak<lnmp::Opener>>,
    /// What was agreed with the ephemeral keys of its messages.
    pub(crate) agreements: Arc<Agreements>,
    /// Opened summaries; gone with the last session, as the key is.
    pub(crate) summaries: SummaryCache,
    /// Opened filters, likewise.
    pub(crate) filters: FilterCache,
}

/// What the sessions in one mailbox share.
#[derive(Debug)]
pub(crate) struct MailboxRoom {
    key: MailboxKey,
    rooms: Weak<Rooms>,
    signal: Mutex<Signal>,
    /// Wakes who listens in the order in which they began to: `watch` would choose by chance.
    news: Notify,
    /// Somebody is getting the newest state for those who listen.
    preparing: AtomicBool,
    /// The newest snapshot. Held over the store's answer, so that one asks for all.
    latest: tokio::sync::Mutex<Option<Arc<Snapshot>>>,
    /// UIDs up to here were `\Recent` to some session already; the store hears of it when that session leaves.
    claimed: AtomicU32,
}

/// What is known of a mailbox's state without asking the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Signal {
    /// It has come at least this far.
    pub(crate) modseq: u64,
    /// How often changes were missed: whenever this differs, ask.
    pub(crate) missed: u64,
}

/// When to ask the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// When a signal says that there is something new.
    WhenSignalled,
    /// In any case: NOOP and CHECK promise the newest state.
    Always,
}

impl Rooms {
    /// Follows the store's changes until it closes.
    pub(crate) async fn follow(self: Arc<Self>, store: Arc<dyn Store>) {
        let mut changes = store.watch();
        loop {
            match changes.recv().await {
                Ok(change) => self.changed(&change, &store),
                Err(RecvError::Lagged(_)) => self.missed(),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Wakes the rooms a change concerns: the owner's, and those of users it is shared with.
    fn changed(&self, change: &Change, store: &Arc<dyn Store>) {
        self.wake_rooms(change, store);
        self.watchers.changed(change);
    }

    fn wake_rooms(&self, change: &Change, store: &Arc<dyn Store>) {
        let Some(mailbox) = change.mailbox else { return };
        let all = (mailbox, AccountId(i64::MIN))..=(mailbox, AccountId(i64::MAX));
        let rooms: Vec<_> = lock(&self.mailboxes).range(all).filter_map(|(_, room)| room.upgrade()).collect();
        for room in rooms {
            if room.advance(change.modseq) && !room.preparing.swap(true, Ordering::AcqRel) {
                tokio::spawn(room.prepare(store.clone()));
            }
        }
    }

    /// Makes every session ask the store.
    fn missed(&self) {
        let rooms: Vec<_> = lock(&self.mailboxes).values().filter_map(Weak::upgrade).collect();
        for room in rooms {
            lock(&room.signal).missed += 1;
            room.news.notify_waiters();
        }
        self.watchers.missed();
    }

    pub(crate) fn account(self: &Arc<Self>, account: AccountId) -> Arc<AccountRoom> {
        let mut accounts = lock(&self.accounts);
        if let Some(room) = accounts.get(&account).and_then(Weak::upgrade) {
            return room;
        }
        let room = Arc::new(AccountRoom {
            account,
            rooms: Arc::downgrade(self),
            opener: Mutex::default(),
            agreements: Arc::default(),
            summaries: SummaryCache::default(),
            filters: FilterCache::default(),
        });
        accounts.insert(account, Arc::downgrade(&room));
        room
    }

    pub(crate) fn mailbox(self: &Arc<Self>, account: AccountId, mailbox: MailboxId) -> Arc<MailboxRoom> {
        let key = (mailbox, account);
        let mut mailboxes = lock(&self.mailboxes);
        if let Some(room) = mailboxes.get(&key).and_then(Weak::upgrade) {
            return room;
        }
        let room = Arc::new(MailboxRoom {
            key,
            rooms: Arc::downgrade(self),
            signal: Mutex::default(),
            news: Notify::new(),
            preparing: AtomicBool::new(false),
            latest: tokio::sync::Mutex::default(),
            claimed: AtomicU32::new(0),
        });
        mailboxes.insert(key, Arc::downgrade(&room));
        room
    }

    /// UIDs up to which `\Recent` was given away in a room that is in use.
    pub(crate) fn claimed(&self, account: AccountId, mailbox: MailboxId) -> u32 {
        let room = lock(&self.mailboxes).get(&(mailbox, account)).and_then(Weak::upgrade);
        room.map_or(0, |room| room.claimed())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code under these locks can leave a map half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AccountRoom {
    /// The opener that some session of this room has already, or this one for all that follow.
    pub(crate) fn one_opener(&self, opened: Arc<lnmp::Opener>) -> Arc<lnmp::Opener> {
        let mut opener = lock(&self.opener);
        if let Some(known) = opener.upgrade() {
            return known;
        }
        *opener = Arc::downgrade(&opened);
        opened
    }
}

impl Drop for AccountRoom {
    fn drop(&mut self) {
        if let Some(rooms) = self.rooms.upgrade() {
            let mut accounts = lock(&rooms.accounts);
            // Another room may have taken the place between the last release and now.
            if accounts.get(&self.account).is_some_and(|room| room.strong_count() == 0) {
                accounts.remove(&self.account);
            }
        }
    }
}

impl Drop for MailboxRoom {
    fn drop(&mut self) {
        if let Some(rooms) = self.rooms.upgrade() {
            let mut mailboxes = lock(&rooms.mailboxes);
            if mailboxes.get(&self.key).is_some_and(|room| room.strong_count() == 0) {
                mailboxes.remove(&self.key);
            }
        }
    }
}

impl MailboxRoom {
    /// Notes that the mailbox has come at least to `modseq`; whether that is news.
    fn advance(&self, modseq: ModSeq) -> bool {
        let mut signal = lock(&self.signal);
        let further = modseq.0 > signal.modseq;
        signal.modseq = signal.modseq.max(modseq.0);
        further
    }

    /// Gets the newest state, and only then wakes who listens: two thousand sessions that wake to wait for one answer of
    /// the store stand in that answer's way.
    async fn prepare(self: Arc<Self>, store: Arc<dyn Store>) {
        loop {
            let signal = self.signal();
            let mine = self.latest.lock().await.clone();
            if let Some(mine) = mine {
                // Whoever wakes asks again where this failed.
                let _ = self.refresh(&*store, &mine, &mut signal.clone(), Ask::WhenSignalled).await;
            }
            self.preparing.store(false, Ordering::Release);
            // The first few get to write before the others take the processors.
            for _ in 0..WOKEN_FIRST {
                self.news.notify_one();
            }
            tokio::task::yield_now().await;
            self.news.notify_waiters();
            if self.signal() == signal || self.preparing.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }

    pub(crate) fn signal(&self) -> Signal {
        *lock(&self.signal)
    }

    /// Returns once the signal is another than `seen`, which then holds it.
    pub(crate) async fn changed(&self, seen: &mut Signal) {
        loop {
            // Listens first, looks then: nothing that happens between is missed.
            let mut news = pin!(self.news.notified());
            news.as_mut().enable();
            let signal = self.signal();
            if signal != *seen {
                *seen = signal;
                return;
            }
            news.await;
        }
    }

    pub(crate) fn claimed(&self) -> u32 {
        self.claimed.load(Ordering::Relaxed)
    }

    /// Claims `\Recent` of all UIDs up to `uid`; returns up to where they were claimed before.
    pub(crate) fn claim(&self, uid: u32) -> u32 {
        self.claimed.fetch_max(uid, Ordering::Relaxed)
    }

    /// The newest snapshot: somebody's, or made from the store's changes since `mine`.
    pub(crate) async fn refresh(
        &self,
        store: &dyn Store,
        mine: &Arc<Snapshot>,
        seen: &mut Signal,
        ask: Ask,
    ) -> store::Result<Arc<Snapshot>> {
        let signal = self.signal();
        let missed = signal.missed != seen.missed;
        if ask == Ask::WhenSignalled && !missed && signal.modseq <= mine.modseq.0 {
            return Ok(mine.clone());
        }
        let mut latest = self.latest.lock().await;
        let base = latest.clone().filter(|latest| latest.modseq > mine.modseq).unwrap_or_else(|| mine.clone());
        if ask == Ask::WhenSignalled && !missed && signal.modseq <= base.modseq.0 {
            return Ok(base);
        }
        let (mailbox, account) = self.key;
        let changes = store.changes(account, mailbox, base.modseq).await?;
        *seen = signal;
        if changes.changed.is_empty() && changes.vanished.is_empty() && changes.highest_modseq <= base.modseq {
            return Ok(base);
        }
        let next = Arc::new(base.after(&changes));
        *latest = Some(next.clone());
        Ok(next)
    }

    /// The state SELECT read: others in step may share it.
    pub(crate) async fn share(&self, mine: Snapshot) -> Arc<Snapshot> {
        let mut latest = self.latest.lock().await;
        if let Some(theirs) = &*latest
            && theirs.modseq == mine.modseq
            && theirs.rows.len() == mine.rows.len()
        {
            return theirs.clone();
        }
        let newer = latest.as_ref().is_some_and(|theirs| theirs.modseq > mine.modseq);
        let mine = Arc::new(mine);
        if !newer {
            *latest = Some(mine.clone());
        }
        mine
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::snapshot::tests::snapshot;

    #[tokio::test]
    async fn rooms_are_shared_and_end_with_the_last_session() {
        let rooms = Arc::new(Rooms::default());
        let (account, mailbox) = (AccountId(1), MailboxId(2));
        let room = rooms.mailbox(account, mailbox);
        assert!(Arc::ptr_eq(&room, &rooms.mailbox(account, mailbox)));
        let mut seen = room.signal();
        assert!(room.advance(ModSeq(7)));
        assert!(!room.advance(ModSeq(6)));
        room.changed(&mut seen).await;
        assert_eq!(seen.modseq, 7);
        assert!(room.changed(&mut seen).now_or_never().is_none());
        assert_eq!((room.claim(5), room.claim(3), rooms.claimed(account, mailbox)), (0, 5, 5));
        drop(room);
        assert!(lock(&rooms.mailboxes).is_empty());
        drop(rooms.account(account));
        assert!(lock(&rooms.accounts).is_empty());
    }

    #[tokio::test]
    async fn sessions_in_step_hold_one_snapshot() {
        let rooms = Arc::new(Rooms::default());
        let room = rooms.mailbox(AccountId(1), MailboxId(2));
        let first = room.share(snapshot(3, &[])).await;
        assert!(Arc::ptr_eq(&first, &room.share(snapshot(3, &[])).await));
        let newer = room.share(snapshot(4, &[])).await;
        assert!(Arc::ptr_eq(&newer, &room.share(snapshot(4, &[])).await));
        assert!(!Arc::ptr_eq(&newer, &room.share(snapshot(3, &[])).await));
    }
}
