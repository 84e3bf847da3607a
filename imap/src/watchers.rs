//! Wakes sessions that asked with NOTIFY (RFC 5465) to hear of more than their selected mailbox.
//!
//! A watcher notes which mailboxes to look at, never what happened there: a burst of changes is one look. Sessions that
//! did not ask have no watcher, and are not looked through when something changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use store::{AccountId, Change, MailboxId};

use crate::limits::{NOTIFY_ANNOTATIONS_MAX, NOTIFY_MAILBOXES_MAX};

/// Watchers by whose mailboxes they look at: their own account's, and those of accounts that share with it.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<BTreeMap<AccountId, Vec<Weak<Watcher>>>>);

/// What one session is to look at.
#[derive(Debug)]
pub(crate) struct Watcher {
    account: AccountId,
    /// Whether it is told of annotations.
    annotations: AtomicBool,
    pending: Mutex<Pending>,
    wake: tokio::sync::Notify,
    /// Where it is listed.
    owners: Mutex<BTreeSet<AccountId>>,
    watchers: Weak<Watchers>,
}

/// Annotations of a mailbox, or of the account, that were set or removed.
pub(crate) type Annotated = (Option<MailboxId>, Arc<[String]>);

/// What has happened since a session looked.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// To mailboxes or subscriptions as such.
    pub(crate) list: bool,
    /// In any mailbox.
    pub(crate) everywhere: bool,
    /// In these.
    pub(crate) mailboxes: BTreeSet<MailboxId>,
    /// In order.
    pub(crate) annotated: Vec<Annotated>,
    /// More than is kept (RFC 5465 §5.8).
    pub(crate) overflow: bool,
}

impl Pending {
    /// Whether there is nothing to look at.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { list, everywhere, mailboxes, annotated, overflow } = self;
        !list && !everywhere && !overflow && mailboxes.is_empty() && annotated.is_empty()
    }

    fn note(&mut self, change: &Change, annotations: bool, own: bool) {
        match (&change.annotations, change.mailbox) {
            (Some(_), _) if !annotations => {}
            (Some(names), mailbox) => {
                // What is private is its user's alone (RFC 5464).
                let shared = || names.iter().filter(|name| !is_private(name)).cloned().collect();
                let names = if own { names.clone() } else { shared() };
                let kept: usize = self.annotated.iter().map(|(_, names)| names.len()).sum();
                if names.is_empty() {
                    return;
                }
                if kept + names.len() > NOTIFY_ANNOTATIONS_MAX {
                    self.overflow = true;
                } else {
                    self.annotated.push((mailbox, names));
                }
            }
            (None, None) => self.list = true,
            (None, Some(_)) if self.everywhere => {}
            (None, Some(mailbox)) => {
                self.mailboxes.insert(mailbox);
                if self.mailboxes.len() > NOTIFY_MAILBOXES_MAX {
                    self.everywhere = true;
                    self.mailboxes.clear();
                }
            }
        }
    }
}

fn is_private(name: &str) -> bool {
    name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("/private"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code under these locks can leave a map half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watchers {
    /// A watcher of this account's mailboxes.
    pub(crate) fn watch(self: &Arc<Self>, account: AccountId, annotations: bool) -> Arc<Watcher> {
        let watcher = Arc::new(Watcher {
            account,
            annotations: AtomicBool::new(annotations),
            pending: Mutex::default(),
            wake: tokio::sync::Notify::new(),
            owners: Mutex::default(),
            watchers: Arc::downgrade(self),
        });
        watcher.watch_also(account);
        watcher
    }

    fn of(&self, owner: AccountId) -> Vec<Arc<Watcher>> {
        lock(&self.0).get(&owner).into_iter().flatten().filter_map(Weak::upgrade).collect()
    }

    /// Tells those whom a change concerns.
    pub(crate) fn changed(&self, change: &Change) {
        for watcher in self.of(change.account) {
            let own = change.account == watcher.account;
            lock(&watcher.pending).note(change, watcher.is_told_annotations(), own);
            watcher.wake.notify_one();
        }
    }

    /// Changes were missed: everybody looks everywhere. Which annotations were among them nobody can say.
    pub(crate) fn missed(&self) {
        let all: Vec<_> = lock(&self.0).values().flatten().filter_map(Weak::upgrade).collect();
        for watcher in all {
            let mut pending = lock(&watcher.pending);
            (pending.list, pending.everywhere, pending.overflow) = (true, true, watcher.is_told_annotations());
            drop(pending);
            watcher.wake.notify_one();
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }
}

impl Watcher {
    /// Whose session it wakes.
    pub(crate) fn account(&self) -> AccountId {
        self.account
    }

    /// Hears of this account's mailboxes too.
    pub(crate) fn watch_also(self: &Arc<Self>, owner: AccountId) {
        let Some(watchers) = self.watchers.upgrade() else { return };
        if lock(&self.owners).insert(owner) {
            lock(&watchers.0).entry(owner).or_default().push(Arc::downgrade(self));
        }
    }

    /// What to look at now; from here on it is noted anew.
    pub(crate) fn take(&self) -> Pending {
        std::mem::take(&mut *lock(&self.pending))
    }

    /// Looks at a mailbox once more.
    pub(crate) fn look_at(&self, mailbox: MailboxId) {
        lock(&self.pending).mailboxes.insert(mailbox);
    }

    /// Looks at everything once more, with the next change: the store could not answer. Annotations that were to be told
    /// are lost.
    pub(crate) fn look_again(&self) {
        let mut pending = lock(&self.pending);
        (pending.list, pending.everywhere, pending.overflow) = (true, true, self.is_told_annotations());
    }

    /// From here on for other events: everything is looked at once, and annotations are told or not.
    pub(crate) fn begin_anew(&self, annotations: bool) {
        self.annotations.store(annotations, Ordering::Relaxed);
        let mut pending = lock(&self.pending);
        (pending.list, pending.everywhere) = (true, true);
    }

    fn is_told_annotations(&self) -> bool {
        self.annotations.load(Ordering::Relaxed)
    }

    /// Waits until there is something to look at. May be dropped at any time.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let Some(watchers) = self.watchers.upgrade() else { return };
        let mut all = lock(&watchers.0);
        for owner in lock(&self.owners).iter() {
            if let Some(list) = all.get_mut(owner) {
                list.retain(|watcher| watcher.strong_count() > 0);
                if list.is_empty() {
                    all.remove(owner);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::ModSeq;

    fn change(account: i64, mailbox: Option<i64>, names: &[&str]) -> Change {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Change {
            account: AccountId(account),
            mailbox: mailbox.map(MailboxId),
            modseq: ModSeq(1),
            annotations: (!names.is_empty()).then(|| names.into()),
        }
    }

    #[tokio::test]
    async fn a_watcher_notes_where_and_forgets_when_it_is_taken() {
        let watchers = Arc::new(Watchers::default());
        let (watcher, other) = (watchers.watch(AccountId(1), true), watchers.watch(AccountId(2), true));
        watcher.watch_also(AccountId(3));
        for change in [
            change(1, Some(7), &[]),
            change(1, Some(7), &[]),
            change(3, Some(9), &[]),
            change(3, Some(9), &["/private/a"]),
            change(3, Some(9), &["/private/a", "/shared/a"]),
            change(1, Some(7), &["/private/b"]),
            change(1, None, &[]),
        ] {
            watchers.changed(&change);
        }
        watcher.woken().await;
        let pending = watcher.take();
        assert!(pending.list && !pending.everywhere && !pending.overflow);
        assert_eq!(pending.mailboxes, [MailboxId(7), MailboxId(9)].into());
        let named = |id, name: &str| (Some(MailboxId(id)), Arc::from(vec![name.to_owned()]));
        assert_eq!(pending.annotated, [named(9, "/shared/a"), named(7, "/private/b")]);
        assert!(watcher.take().is_empty() && other.take().is_empty());
        drop((watcher, other));
        assert!(watchers.is_empty());
    }

    #[test]
    fn what_is_kept_has_an_end() {
        let watchers = Arc::new(Watchers::default());
        let (named, plain) = (watchers.watch(AccountId(1), true), watchers.watch(AccountId(1), false));
        for id in 0..=NOTIFY_MAILBOXES_MAX as i64 {
            watchers.changed(&change(1, Some(id), &["/private/a"]));
            watchers.changed(&change(1, Some(id), &[]));
        }
        let pending = named.take();
        assert!(pending.everywhere && pending.mailboxes.is_empty() && pending.overflow);
        assert!(pending.annotated.len() <= NOTIFY_ANNOTATIONS_MAX);
        let pending = plain.take();
        assert!(pending.everywhere && !pending.overflow && pending.annotated.is_empty());
        watchers.missed();
        assert!(named.take().overflow && !plain.take().overflow);
    }
}
