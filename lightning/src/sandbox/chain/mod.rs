//! A regtest chain of its own: durable, checked, and mined on demand.
//!
//! ```text
//!   sendrawtransaction ─▶ rules ─▶ record (fsync) ─▶ mempool ─▶ block ─▶ record (fsync) ─▶ visible to the RPC
//! ```
//! Real: genesis, transactions, scripts (Bitcoin Core's interpreter), amounts, maturity, lock times, witness commitment,
//! proof of work at regtest's difficulty, replacement by fee, reorganisation. Absent: peers and blocks from outside.
//!
//! Time is an argument; `miner` owns the clock.

mod block;
mod record;
mod rules;
mod state;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bitcoin::consensus::encode::deserialize;
use bitcoin::constants::genesis_block;
use bitcoin::{BlockHash, Network, OutPoint, ScriptBuf, Transaction, Txid};
use thiserror::Error;
use tokio::sync::watch;

use self::record::Entry;
use self::rules::Scripts;
pub use self::rules::{Coin, Reject};
use self::state::State;
pub use self::state::{KnownBlock, Waiting};
use crate::limits::{BLOCKS_PER_RECORD, MINE_BLOCKS_MAX, REORG_BLOCKS_MAX};
use crate::records::{RecordError, RecordFile};

/// Why the chain cannot be opened or extended.
#[derive(Debug, Error)]
pub enum ChainError {
    /// Its file.
    #[error("the sandbox chain: {0}")]
    File(#[from] RecordError),
    /// The disk refused a write; the chain stands still until a restart.
    #[error("the sandbox chain could not be written: {0}")]
    Disk(#[from] std::io::Error),
    /// The directory belongs to another network.
    #[error("this directory holds a chain with genesis {0}, not regtest's: use another directory")]
    OtherGenesis(BlockHash),
    /// More than one call may do.
    #[error("{asked} blocks at once are too many, {most} is the most")]
    TooMany {
        /// What was asked.
        asked: u32,
        /// What is allowed.
        most: u32,
    },
    /// Ours: a block we made does not fit.
    #[error("the sandbox chain: {0}")]
    Bug(String),
}

/// What has changed, for whoever waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pulse {
    /// Height of the tip.
    pub height: u32,
    /// Transactions that wait.
    pub waiting: usize,
    /// Counts changes.
    pub changes: u64,
}

struct Inner {
    state: State,
    file: RecordFile,
    /// Memory ran ahead of the disk: nothing more is admitted.
    broken: bool,
}

/// The chain. All calls are short and block only for an fsync.
pub struct Chain {
    inner: Mutex<Inner>,
    payout: ScriptBuf,
    pulse: watch::Sender<Pulse>,
}

impl Chain {
    /// Opens or creates the chain kept in the file `path`; its blocks pay to `payout`.
    ///
    /// # Errors
    /// [`ChainError::OtherGenesis`] for a directory of another network, [`ChainError::File`] for a damaged one.
    pub fn open(path: &Path, payout: ScriptBuf) -> Result<Self, ChainError> {
        let genesis = genesis_block(Network::Regtest).block_hash();
        let mut state = State::new();
        let mut other = None;
        let mut begun = false;
        let opened = RecordFile::open(path, |record| {
            for entry in Entry::read_all(record)? {
                match entry {
                    Entry::Genesis(hash) if hash != genesis => {
                        other = Some(hash);
                        return Err("another genesis".into());
                    }
                    Entry::Genesis(_) => begun = true,
                    _ if !begun => return Err("no genesis".into()),
                    Entry::Block(block) => state.connect(&block)?,
                    Entry::Rewind(blocks) => state.rewind(blocks)?,
                    Entry::Tx(time, tx) => {
                        let fee = state.check(&tx, Scripts::Checked).map_err(|reject| reject.to_string())?;
                        state.admit(tx, fee, time);
                    }
                }
            }
            Ok(())
        });
        let (file, torn) = match (opened, other) {
            (_, Some(hash)) => return Err(ChainError::OtherGenesis(hash)),
            (Err(error), None) => return Err(error.into()),
            (Ok(opened), None) => opened,
        };
        if torn > 0 {
            tracing::info!(octets = torn, "sandbox chain: cut off a half-written record");
        }
        let pulse = watch::Sender::new(Pulse { height: state.height(), waiting: state.waiting().count(), changes: 0 });
        let mut inner = Inner { state, file, broken: false };
        if !begun {
            inner.write(&[Entry::Genesis(genesis)])?;
        }
        Ok(Self { inner: Mutex::new(inner), payout, pulse })
    }

    /// Height of the tip.
    pub fn height(&self) -> u32 {
        self.lock().state.height()
    }

    /// The tip.
    pub fn tip(&self) -> BlockHash {
        self.lock().state.tip()
    }

    /// Header time of the tip.
    pub fn tip_time(&self) -> u32 {
        self.lock().state.tip_time()
    }

    /// The tip and its height, of one moment.
    pub fn best(&self) -> (BlockHash, u32) {
        let inner = self.lock();
        (inner.state.tip(), inner.state.height())
    }

    /// Hash of the block at `height` on the best chain.
    pub fn hash_at(&self, height: u32) -> Option<BlockHash> {
        self.lock().state.hash_at(height)
    }

    /// A block, also one that a reorganisation left behind.
    pub fn block(&self, hash: &BlockHash) -> Option<KnownBlock> {
        self.lock().state.block(hash).cloned()
    }

    /// An unspent output of the best chain.
    pub fn coin(&self, outpoint: &OutPoint) -> Option<Coin> {
        self.lock().state.coin(outpoint).cloned()
    }

    /// The unspent outputs of the best chain that pay one of these scripts.
    pub fn coins_paying(&self, scripts: &HashSet<ScriptBuf>) -> Vec<(OutPoint, Coin)> {
        let held = self.lock();
        let coins = held.state.coins().filter(|(_, coin)| scripts.contains(&coin.output.script_pubkey));
        coins.map(|(outpoint, coin)| (*outpoint, coin.clone())).collect()
    }

    /// Whether a transaction that waits spends it.
    pub fn is_being_spent(&self, outpoint: &OutPoint) -> bool {
        let held = self.lock();
        held.state.waiting().any(|waiting| waiting.tx.input.iter().any(|input| input.previous_output == *outpoint))
    }

    /// Ids of what waits, oldest first.
    pub fn mempool(&self) -> Vec<Txid> {
        self.lock().state.waiting().map(|waiting| waiting.txid).collect()
    }

    /// A transaction that waits.
    pub fn waiting(&self, txid: &Txid) -> Option<Waiting> {
        self.lock().state.waiting_tx(txid).cloned()
    }

    /// Tells of every change of tip and mempool.
    pub fn pulse(&self) -> watch::Receiver<Pulse> {
        self.pulse.subscribe()
    }

    /// Admits a transaction in network encoding. One that waits already is fine.
    ///
    /// # Errors
    /// See [`Reject`].
    pub fn submit_raw(&self, raw: &[u8], now: u64) -> Result<Txid, Reject> {
        self.submit(deserialize(raw).map_err(|_| Reject::Decode)?, now)
    }

    /// Admits a transaction: checked, written, then visible.
    ///
    /// # Errors
    /// See [`Reject`].
    pub fn submit(&self, tx: Transaction, now: u64) -> Result<Txid, Reject> {
        let txid = tx.compute_txid();
        let mut inner = self.lock();
        if inner.state.waiting_tx(&txid).is_some() {
            return Ok(txid);
        }
        let fee = inner.state.check(&tx, Scripts::Check)?;
        let entry = Entry::Tx(now, tx);
        inner.write(std::slice::from_ref(&entry)).map_err(|error| Reject::Disk(error.to_string()))?;
        if let Entry::Tx(time, tx) = entry {
            inner.state.admit(tx, fee, time);
        }
        self.beat(&inner);
        Ok(txid)
    }

    /// Mines `blocks` and returns the new height. The first takes what waits.
    ///
    /// # Errors
    /// [`ChainError::TooMany`], [`ChainError::Disk`].
    pub fn mine(&self, blocks: u32, now: u32) -> Result<u32, ChainError> {
        self.extend(blocks, now, false)
    }

    /// Mines blocks that leave out what waits: the other side of a fork, for tests.
    ///
    /// # Errors
    /// As [`Chain::mine`].
    pub fn mine_empty(&self, blocks: u32, now: u32) -> Result<u32, ChainError> {
        self.extend(blocks, now, true)
    }

    /// Undoes the last `blocks`, for tests of reorganisation: what they confirmed waits again, and the next branch that
    /// is longer than the old one wins at the nodes.
    ///
    /// # Errors
    /// [`ChainError::TooMany`] beyond 100 blocks or the genesis.
    pub fn rewind(&self, blocks: u32) -> Result<u32, ChainError> {
        let mut inner = self.lock();
        let most = REORG_BLOCKS_MAX.min(inner.state.height());
        if blocks > most {
            return Err(ChainError::TooMany { asked: blocks, most });
        }
        inner.write(&[Entry::Rewind(blocks)])?;
        inner.state.rewind(blocks).map_err(ChainError::Bug)?;
        self.beat(&inner);
        Ok(inner.state.height())
    }

    fn extend(&self, blocks: u32, now: u32, empty: bool) -> Result<u32, ChainError> {
        if blocks > MINE_BLOCKS_MAX {
            return Err(ChainError::TooMany { asked: blocks, most: MINE_BLOCKS_MAX });
        }
        let mut inner = self.lock();
        let mut left = blocks;
        while left > 0 {
            let batch = left.min(BLOCKS_PER_RECORD);
            let mut entries = Vec::with_capacity(batch as usize);
            for _ in 0..batch {
                let block = inner.state.template(now, &self.payout, empty);
                if let Err(what) = inner.state.connect(&block) {
                    inner.broken = true;
                    return Err(ChainError::Bug(what));
                }
                entries.push(Entry::Block(block));
            }
            // The lock is held until the record is on the disk, so nobody saw these blocks yet.
            inner.write(&entries)?;
            left -= batch;
        }
        self.beat(&inner);
        Ok(inner.state.height())
    }

    fn beat(&self, inner: &Inner) {
        let (height, waiting) = (inner.state.height(), inner.state.waiting().count());
        self.pulse.send_modify(|pulse| *pulse = Pulse { height, waiting, changes: pulse.changes + 1 });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic inside leaves at worst `broken` unset with memory ahead of the disk; the record decides on restart.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write(&mut self, entries: &[Entry]) -> std::io::Result<()> {
        if self.broken {
            return Err(std::io::Error::other("the chain stopped after a failed write; restart to recover"));
        }
        let mut record = Vec::new();
        for entry in entries {
            entry.write(&mut record);
        }
        let written = self.file.append(&record);
        self.broken |= written.is_err();
        written
    }
}
