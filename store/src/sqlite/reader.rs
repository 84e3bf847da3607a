//! Snapshot readers: a few read-only connections, each read one consistent transaction.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::Semaphore;

use super::db::Db;
use super::schema;
use super::vault::Vault;
use crate::limits::READERS;
use crate::{Result, StoreError};

/// The pool.
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    /// Closed with the store.
    free: Arc<Semaphore>,
    vault: Arc<Vault>,
}

impl Readers {
    pub(super) fn open(path: &Path, vault: Arc<Vault>) -> Result<Arc<Self>> {
        let idle = (0..READERS).map(|_| schema::open_reader(path)).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(Self { idle: Mutex::new(idle), free: Arc::new(Semaphore::new(READERS)), vault }))
    }

    /// A read of a few rows, on the caller's own thread: handing it to another one would cost more than it.
    pub(super) async fn quick<T>(&self, read: impl FnOnce(Db<'_>) -> Result<T>) -> Result<T> {
        let _permit = self.free.acquire().await.map_err(|_| StoreError::Busy)?;
        self.on_connection(read)
    }

    /// A read whose length depends on how much there is, on a thread where it may take its time.
    pub(super) async fn long<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(Db<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self.free.clone().acquire_owned().await.map_err(|_| StoreError::Busy)?;
        let readers = self.clone();
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            readers.on_connection(read)
        })
        .await
        .map_err(|_| StoreError::Busy)?
    }

    /// Waits for running reads and closes the connections.
    pub(super) async fn close(&self) {
        // Fails only when it is closed already.
        if let Ok(all) = self.free.acquire_many(READERS as u32).await {
            self.free.close();
            all.forget();
        }
        self.idle.lock().expect("no holder of this lock panics").clear();
    }

    fn on_connection<T>(&self, read: impl FnOnce(Db<'_>) -> Result<T>) -> Result<T> {
        let conn = self.idle.lock().expect("no holder of this lock panics").pop().ok_or(StoreError::Busy)?;
        // Returned also when `read` panics, or the pool would run dry.
        let mut back = Returned { readers: self, conn: Some(conn) };
        let conn = back.conn.as_mut().expect("put there above");
        let transaction = conn.transaction_with_behavior(TransactionBehavior::Deferred)?;
        let out = read(Db { conn: &transaction, vault: &self.vault });
        transaction.finish()?;
        out
    }
}

struct Returned<'a> {
    readers: &'a Readers,
    conn: Option<Connection>,
}

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        if let (Some(conn), Ok(mut idle)) = (self.conn.take(), self.readers.idle.lock()) {
            idle.push(conn);
        }
    }
}
