//! The one writer: group commit, every write in a savepoint of its own.
//!
//! ```text
//!   callers ──▶ queue ──▶ BEGIN · SAVEPOINT write RELEASE · SAVEPOINT write RELEASE … · COMMIT (one fsync)
//!                                                                          └─▶ changes out, answers out
//! ```
//! A write that fails rolls back to its savepoint and takes nobody with it. When the disk is full the whole
//! group is told so, and nothing of it happened.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{Notify, broadcast, mpsc, oneshot};

use super::db::Db;
use super::desk;
use super::mailboxes::Touched;
use super::messages;
use super::schema;
use super::vault::Vault;
use crate::limits::{GROUP_WRITES_MAX, WAL_COPY_BYTES, WAL_RESTART_BYTES, WRITE_QUEUE};
use crate::{AccountId, Change, MailboxId, MessageId, ModSeq, Result, Rules, StoreError};

/// One write inside its savepoint.
pub(super) struct Tx<'a> {
    db: Db<'a>,
    /// What the user's acts mean.
    pub(super) rules: &'a dyn Rules,
    /// Mailboxes this write touched, written back once at its end.
    pub(super) touched: HashMap<MailboxId, Touched>,
    /// Mails in folders that a Queue shows, and the Queue: it has to look at them again.
    pub(super) stirred: BTreeSet<(MailboxId, MessageId)>,
    /// CIDs that may have lost their last reference.
    pub(super) freed: Vec<String>,
    changes: Vec<Change>,
    /// Whether it made a job.
    made_job: Cell<bool>,
}

impl<'a> Deref for Tx<'a> {
    type Target = Db<'a>;
    fn deref(&self) -> &Db<'a> {
        &self.db
    }
}

impl Tx<'_> {
    /// Announces, after the commit, that the list of mailboxes or subscriptions changed.
    pub(super) fn announce_list(&mut self, account: AccountId) {
        self.changes.push(Change { account, mailbox: None, modseq: ModSeq(0), annotations: None });
    }

    /// Announces, after the commit, that annotations of a mailbox, or of the account, changed.
    pub(super) fn announce_annotations(&mut self, account: AccountId, mailbox: Option<MailboxId>, names: Vec<String>) {
        self.changes.push(Change { account, mailbox, modseq: ModSeq(0), annotations: Some(names.into()) });
    }

    /// Rings, after the commit, for whoever does the jobs.
    pub(super) fn announce_job(&self) {
        self.made_job.set(true);
    }

    fn finish(&mut self) -> Result<()> {
        messages::unpin(self)?;
        desk::settle(self)?;
        for (id, touched) in std::mem::take(&mut self.touched) {
            if let Some(change) = touched.write_back(&self.db, id)? {
                self.changes.push(change);
            }
        }
        Ok(())
    }
}

/// A queued write with its way back, its type forgotten.
trait Write: Send {
    fn run(&mut self, tx: &mut Tx<'_>) -> std::result::Result<(), Failed>;
    fn answer(self: Box<Self>, committed: std::result::Result<(), &StoreError>);
}

/// The write failed; its error waits in it for the answer. Says whether the whole group is doomed.
struct Failed {
    disk: bool,
}

struct Pending<F, T> {
    write: Option<F>,
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<F, T> Write for Pending<F, T>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T> + Send,
    T: Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> std::result::Result<(), Failed> {
        let Some(write) = self.write.take() else { return Ok(()) };
        let run = || write(tx).and_then(|out| tx.finish().map(|()| out));
        // A bug in one write must not end the writer; its savepoint is rolled back, so nothing half-done stays.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
            .unwrap_or_else(|_| Err(StoreError::Damaged("a write panicked".into())));
        let failed = outcome.as_ref().err().map(|error| Failed { disk: matches!(error, StoreError::Disk(_)) });
        self.outcome = Some(outcome);
        failed.map_or(Ok(()), Err)
    }

    fn answer(self: Box<Self>, committed: std::result::Result<(), &StoreError>) {
        let outcome = match (self.outcome, committed) {
            // Its own error is the better one to hear.
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(out)), Ok(())) => Ok(out),
            (_, Err(StoreError::Disk(text))) => Err(StoreError::Disk(text.clone())),
            (_, Err(StoreError::Damaged(text))) => Err(StoreError::Damaged(text.clone())),
            (Some(Ok(_)), Err(_)) | (None, _) => Err(StoreError::Busy),
        };
        // A caller that went away does not undo its write.
        let _ = self.reply.send(outcome);
    }
}

enum Order {
    Write(Box<dyn Write>),
    Close(oneshot::Sender<()>),
}

/// The callers' end.
pub(super) struct Writer {
    orders: mpsc::Sender<Order>,
    closed: AtomicBool,
    _thread: JoinHandle<()>,
}

impl Writer {
    pub(super) fn start(
        path: &Path,
        conn: Connection,
        vault: Arc<Vault>,
        rules: Arc<dyn Rules>,
        changes: broadcast::Sender<Change>,
        jobs: Arc<Notify>,
    ) -> Result<Self> {
        let (orders, queue) = mpsc::channel(WRITE_QUEUE);
        let wal = Wal::start(path)?;
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || WriterThread { conn, vault, rules, changes, jobs, wal }.run(queue))
            .map_err(|error| StoreError::Disk(error.to_string()))?;
        Ok(Self { orders, closed: AtomicBool::new(false), _thread: thread })
    }

    /// Runs `write` in the next group. On `Ok` it is on disk.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Busy);
        }
        let (reply, answer) = oneshot::channel();
        let pending = Pending { write: Some(write), outcome: None, reply };
        self.orders.send(Order::Write(Box::new(pending))).await.map_err(|_| StoreError::Busy)?;
        answer.await.map_err(|_| StoreError::Busy)?
    }

    /// Finishes what is queued, copies the WAL back, ends the thread.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let (done, wait) = oneshot::channel();
        if self.orders.send(Order::Close(done)).await.is_ok() {
            let _ = wait.await;
        }
    }
}

struct WriterThread {
    conn: Connection,
    vault: Arc<Vault>,
    rules: Arc<dyn Rules>,
    changes: broadcast::Sender<Change>,
    jobs: Arc<Notify>,
    wal: Wal,
}

impl WriterThread {
    fn run(mut self, mut queue: mpsc::Receiver<Order>) {
        let mut close = None;
        while close.is_none() {
            let Some(first) = queue.blocking_recv() else { break };
            // Where others wait for a processor, they bring their writes first: one commit costs as much as the mail in it.
            std::thread::yield_now();
            let mut group = Vec::new();
            let mut next = Some(first);
            while let Some(order) = next {
                match order {
                    Order::Write(write) => group.push(write),
                    Order::Close(done) => close = Some(done),
                }
                next = if group.len() < GROUP_WRITES_MAX && close.is_none() { queue.try_recv().ok() } else { None };
            }
            if !group.is_empty() {
                self.commit(group);
                self.wal.after_commit(&self.conn);
            }
        }
        queue.close();
        self.wal.stop();
        // On failure the next start reads the WAL: nothing is lost.
        if let Err(error) = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!(%error, "the WAL could not be copied back at close");
        }
        drop(self.conn);
        if let Some(done) = close {
            let _ = done.send(());
        }
    }

    fn commit(&self, mut group: Vec<Box<dyn Write>>) {
        let mut changes = Vec::new();
        let mut made_job = false;
        let committed = self.run_group(&mut group, &mut changes, &mut made_job);
        if committed.is_err() && !self.conn.is_autocommit() {
            // Nothing more can be done about a failing rollback than to let the next BEGIN fail as well.
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        if let Err(error) = &committed {
            tracing::error!(%error, writes = group.len(), "a group of writes was not committed");
        } else {
            for change in newest(changes) {
                // No watcher is no error.
                let _ = self.changes.send(change);
            }
            if made_job {
                self.jobs.notify_waiters();
            }
        }
        for write in group {
            write.answer(committed.as_ref().map(|&()| ()));
        }
    }

    fn run_group(&self, group: &mut [Box<dyn Write>], changes: &mut Vec<Change>, made_job: &mut bool) -> Result<()> {
        let run = |sql: &str| -> Result<()> {
            self.conn.prepare_cached(sql)?.execute(())?;
            Ok(())
        };
        run("BEGIN IMMEDIATE")?;
        for write in group {
            run("SAVEPOINT one")?;
            let mut tx = Tx {
                db: Db { conn: &self.conn, vault: &self.vault },
                rules: &*self.rules,
                touched: HashMap::new(),
                stirred: BTreeSet::new(),
                freed: Vec::new(),
                changes: Vec::new(),
                made_job: Cell::new(false),
            };
            match write.run(&mut tx) {
                Ok(()) => {
                    changes.append(&mut tx.changes);
                    *made_job |= tx.made_job.get();
                }
                Err(failed) => {
                    // SQLite may have rolled back everything by itself (SQLITE_FULL, SQLITE_IOERR).
                    if failed.disk || self.conn.is_autocommit() {
                        return Err(StoreError::Disk("the transaction was rolled back".into()));
                    }
                    run("ROLLBACK TO one")?;
                }
            }
            run("RELEASE one")?;
        }
        run("COMMIT")
    }
}

/// Of several changes of one mailbox the last tells all; but each names its own annotations.
fn newest(changes: Vec<Change>) -> Vec<Change> {
    let mut seen = HashMap::new();
    let mut out: Vec<Change> = Vec::with_capacity(changes.len());
    for change in changes {
        if change.annotations.is_some() {
            out.push(change);
            continue;
        }
        match seen.entry((change.account, change.mailbox)) {
            std::collections::hash_map::Entry::Occupied(at) => out[*at.get()] = change,
            std::collections::hash_map::Entry::Vacant(slot) => {
                slot.insert(out.len());
                out.push(change);
            }
        }
    }
    out
}

/// Keeps the WAL short. A thread copies it back beside the writes; only when that cannot keep up does the
/// writer wait for a whole copy, so that the WAL starts anew.
struct Wal {
    path: PathBuf,
    wake: Option<std::sync::mpsc::SyncSender<()>>,
    copier: Option<JoinHandle<()>>,
    copied_at: u64,
}

impl Wal {
    fn start(path: &Path) -> Result<Self> {
        let conn = schema::open_copier(path)?;
        let (wake, woken) = std::sync::mpsc::sync_channel::<()>(1);
        let copier = std::thread::Builder::new()
            .name("store-wal".into())
            .spawn(move || {
                while woken.recv().is_ok() {
                    if let Err(error) = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
                        tracing::warn!(%error, "the WAL could not be copied back");
                    }
                }
            })
            .map_err(|error| StoreError::Disk(error.to_string()))?;
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        Ok(Self { path: wal.into(), wake: Some(wake), copier: Some(copier), copied_at: 0 })
    }

    fn after_commit(&mut self, writer: &Connection) {
        let length = std::fs::metadata(&self.path).map_or(0, |file| file.len());
        if length >= WAL_RESTART_BYTES {
            // Most of it is copied already. Readers that are still in it make this a no-op after LOCK_WAIT_MS at worst.
            let _ = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            self.copied_at = 0;
        } else if length < self.copied_at {
            self.copied_at = 0;
        } else if length >= self.copied_at + WAL_COPY_BYTES {
            self.copied_at = length;
            if let Some(wake) = &self.wake {
                // Full: it is at work already.
                let _ = wake.try_send(());
            }
        }
    }

    fn stop(&mut self) {
        self.wake = None;
        if let Some(copier) = self.copier.take() {
            let _ = copier.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_one_group_are_told_once_and_annotations_each() {
        let entries = |modseq| Change {
            account: AccountId(1),
            mailbox: Some(MailboxId(2)),
            modseq: ModSeq(modseq),
            annotations: None,
        };
        let named = |name: &str| Change { annotations: Some(vec![name.to_owned()].into()), ..entries(0) };
        let told = newest(vec![entries(5), named("/private/a"), entries(6), named("/private/b")]);
        let told: Vec<_> = told.iter().map(|change| (change.modseq.0, change.annotations.is_some())).collect();
        assert_eq!(told, [(6, false), (0, true), (0, true)]);
    }
}
