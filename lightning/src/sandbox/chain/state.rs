//! The chain in memory: blocks, unspent outputs, and the transactions that wait.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::consensus::encode::serialize;
use bitcoin::constants::genesis_block;
use bitcoin::{Amount, Block, BlockHash, Network, OutPoint, ScriptBuf, Transaction, Txid};

use super::block::{self, Parts};
use super::rules::{self, Coin, Place, Reject, Scripts};
use crate::limits::{BLOCK_WEIGHT_MAX, MEMPOOL_BYTES_MAX, REORG_BLOCKS_MAX};

/// A block, on the best chain or off it.
#[derive(Debug, Clone)]
pub struct KnownBlock {
    /// Its height.
    pub height: u32,
    /// Its header.
    pub header: Header,
    /// The whole block as the network sends it.
    pub raw: Arc<[u8]>,
}

/// A transaction that waits for a block.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The transaction.
    pub tx: Transaction,
    /// Its id.
    pub txid: Txid,
    /// Unix time of its arrival.
    pub time: u64,
    /// Height of the tip when it arrived.
    pub height: u32,
    /// What it pays.
    pub fee: Amount,
    weight: u64,
}

struct Undo {
    spent: Vec<(OutPoint, Coin)>,
    transactions: Vec<Transaction>,
}

pub(super) struct State {
    blocks: HashMap<BlockHash, KnownBlock>,
    active: Vec<BlockHash>,
    coins: HashMap<OutPoint, Coin>,
    /// For the last blocks only: a reorganisation goes no deeper.
    undo: VecDeque<Undo>,
    /// By order of arrival, so that parents come before children.
    waiting: BTreeMap<u64, Waiting>,
    order: HashMap<Txid, u64>,
    spenders: HashMap<OutPoint, Txid>,
    next_order: u64,
    waiting_bytes: usize,
}

impl State {
    pub(super) fn new() -> Self {
        let genesis = genesis_block(Network::Regtest);
        let hash = genesis.block_hash();
        let known = KnownBlock { height: 0, header: genesis.header, raw: serialize(&genesis).into() };
        Self {
            blocks: HashMap::from([(hash, known)]),
            active: vec![hash],
            // The genesis coinbase cannot be spent, by consensus.
            coins: HashMap::new(),
            undo: VecDeque::new(),
            waiting: BTreeMap::new(),
            order: HashMap::new(),
            spenders: HashMap::new(),
            next_order: 0,
            waiting_bytes: 0,
        }
    }

    pub(super) fn height(&self) -> u32 {
        u32::try_from(self.active.len() - 1).expect("fewer blocks than u32 counts")
    }

    pub(super) fn tip(&self) -> BlockHash {
        *self.active.last().expect("genesis is always there")
    }

    pub(super) fn hash_at(&self, height: u32) -> Option<BlockHash> {
        self.active.get(height as usize).copied()
    }

    pub(super) fn block(&self, hash: &BlockHash) -> Option<&KnownBlock> {
        self.blocks.get(hash)
    }

    /// All unspent outputs.
    pub(super) fn coins(&self) -> impl Iterator<Item = (&OutPoint, &Coin)> {
        self.coins.iter()
    }

    pub(super) fn coin(&self, outpoint: &OutPoint) -> Option<&Coin> {
        self.coins.get(outpoint)
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.values()
    }

    pub(super) fn waiting_tx(&self, txid: &Txid) -> Option<&Waiting> {
        self.waiting.get(self.order.get(txid)?)
    }

    pub(super) fn tip_time(&self) -> u32 {
        self.blocks[&self.tip()].header.time
    }

    /// The median of the last eleven block times (BIP 113).
    pub(super) fn median_time_past(&self) -> u32 {
        self.median_time_past_at(self.height())
    }

    fn median_time_past_at(&self, height: u32) -> u32 {
        let end = height as usize + 1;
        let hashes = &self.active[end.saturating_sub(11)..end];
        let mut times: Vec<u32> = hashes.iter().map(|hash| self.blocks[hash].header.time).collect();
        times.sort_unstable();
        times[times.len() / 2]
    }

    fn place(&self) -> Place {
        Place { height: self.height() + 1, median_time_past: self.median_time_past() }
    }

    /// An output a new transaction may spend: unspent in the chain, or made by one that waits.
    fn coin_or_waiting(&self, outpoint: &OutPoint, place: Place) -> Option<Coin> {
        if let Some(parent) = self.waiting_tx(&outpoint.txid) {
            let output = parent.tx.output.get(outpoint.vout as usize)?.clone();
            return Some(Coin {
                output,
                height: place.height,
                coinbase: false,
                median_time_past: place.median_time_past,
            });
        }
        self.coins.get(outpoint).cloned()
    }

    /// Whether `tx` may enter the mempool; the fee it pays.
    pub(super) fn check(&self, tx: &Transaction, scripts: Scripts) -> Result<Amount, Reject> {
        let place = self.place();
        let txid = tx.compute_txid();
        if (0..tx.output.len()).any(|vout| {
            let vout = u32::try_from(vout).unwrap_or(u32::MAX);
            self.coins.contains_key(&OutPoint { txid, vout })
        }) {
            return Err(Reject::AlreadyInChain);
        }
        let fee = rules::check(tx, place, scripts, |outpoint| self.coin_or_waiting(outpoint, place))?;
        let rivals = self.rivals(tx);
        if !rivals.is_empty() {
            self.check_replacement(tx, fee, &rivals)?;
        }
        if self.waiting_bytes + tx.total_size() > MEMPOOL_BYTES_MAX {
            return Err(Reject::Full);
        }
        Ok(fee)
    }

    /// Waiting transactions that spend what `tx` spends, and their descendants.
    fn rivals(&self, tx: &Transaction) -> HashSet<Txid> {
        let mut rivals = HashSet::new();
        let mut open: Vec<Txid> =
            tx.input.iter().filter_map(|input| self.spenders.get(&input.previous_output).copied()).collect();
        while let Some(txid) = open.pop() {
            if !rivals.insert(txid) {
                continue;
            }
            let Some(rival) = self.waiting_tx(&txid) else { continue };
            for vout in 0..u32::try_from(rival.tx.output.len()).unwrap_or(u32::MAX) {
                open.extend(self.spenders.get(&OutPoint { txid, vout }));
            }
        }
        rivals
    }

    /// BIP 125 rules 2 to 4: no unconfirmed parent of a rival, a higher rate, and more in total with a relay fee on top.
    fn check_replacement(&self, tx: &Transaction, fee: Amount, rivals: &HashSet<Txid>) -> Result<(), Reject> {
        if tx.input.iter().any(|input| rivals.contains(&input.previous_output.txid)) {
            return Err(Reject::Conflict);
        }
        let weight = tx.weight().to_wu();
        let mut total = 0;
        for rival in rivals.iter().filter_map(|txid| self.waiting_tx(txid)) {
            total += rival.fee.to_sat();
            let direct = tx.input.iter().any(|i| self.spenders.get(&i.previous_output) == Some(&rival.txid));
            let better_rate = u128::from(fee.to_sat()) * u128::from(rival.weight)
                > u128::from(rival.fee.to_sat()) * u128::from(weight);
            if direct && !better_rate {
                return Err(Reject::Conflict);
            }
        }
        let relay = weight.div_ceil(4);
        if fee.to_sat() < total + relay { Err(Reject::Conflict) } else { Ok(()) }
    }

    /// Puts a checked transaction into the mempool; what it replaces leaves.
    pub(super) fn admit(&mut self, tx: Transaction, fee: Amount, time: u64) {
        for rival in self.rivals(&tx) {
            self.drop_waiting(&rival);
        }
        let txid = tx.compute_txid();
        self.waiting_bytes += tx.total_size();
        for input in &tx.input {
            self.spenders.insert(input.previous_output, txid);
        }
        let weight = tx.weight().to_wu();
        self.order.insert(txid, self.next_order);
        self.waiting.insert(self.next_order, Waiting { tx, txid, time, height: self.height(), fee, weight });
        self.next_order += 1;
    }

    fn drop_waiting(&mut self, txid: &Txid) {
        let Some(gone) = self.order.remove(txid).and_then(|order| self.waiting.remove(&order)) else { return };
        self.waiting_bytes = self.waiting_bytes.saturating_sub(gone.tx.total_size());
        for input in &gone.tx.input {
            if self.spenders.get(&input.previous_output) == Some(txid) {
                self.spenders.remove(&input.previous_output);
            }
        }
    }

    /// The next block: what waits and is final, parents first, unless `empty`.
    pub(super) fn template(&self, now: u32, payout: &ScriptBuf, empty: bool) -> Block {
        let place = self.place();
        let mut weight = 0;
        let mut fees = Amount::ZERO;
        let mut chosen: Vec<Transaction> = Vec::new();
        let mut made: HashMap<Txid, usize> = HashMap::new();
        for waiting in self.waiting.values().filter(|_| !empty) {
            if weight + waiting.weight > BLOCK_WEIGHT_MAX {
                continue;
            }
            let coin = |outpoint: &OutPoint| match made.get(&outpoint.txid) {
                Some(index) => chosen[*index].output.get(outpoint.vout as usize).map(|output| Coin {
                    output: output.clone(),
                    height: place.height,
                    coinbase: false,
                    median_time_past: place.median_time_past,
                }),
                None => self.coins.get(outpoint).cloned(),
            };
            if let Ok(fee) = rules::check(&waiting.tx, place, Scripts::Checked, coin) {
                weight += waiting.weight;
                fees += fee;
                made.insert(waiting.txid, chosen.len());
                chosen.push(waiting.tx.clone());
            }
        }
        block::make(Parts {
            height: place.height,
            parent: self.tip(),
            time: now.max(place.median_time_past + 1),
            nonce: self.blocks.len() as u64,
            payout,
            transactions: chosen,
            fees,
        })
    }

    /// Puts a block on the tip.
    ///
    /// # Errors
    /// Says what is wrong with it; the state is unchanged then. Scripts are not run: every transaction passed
    /// [`State::check`] when it entered the mempool.
    pub(super) fn connect(&mut self, block: &Block) -> Result<(), String> {
        let header = block.header;
        if header.prev_blockhash != self.tip() {
            return Err(format!("block {} is not on the tip", header.block_hash()));
        }
        header.validate_pow(header.target()).map_err(|_| "a block without proof of work")?;
        if !block.check_merkle_root() || !block.check_witness_commitment() {
            return Err("a block whose transactions are not those it commits to".into());
        }
        if header.time <= self.median_time_past() {
            return Err("a block before the median of its predecessors".into());
        }
        let place = self.place();
        let mut undo = Undo { spent: Vec::new(), transactions: Vec::new() };
        let mut made: HashMap<OutPoint, Coin> = HashMap::new();
        let mut spent: HashSet<OutPoint> = HashSet::new();
        for tx in &block.txdata {
            let txid = tx.compute_txid();
            if !tx.is_coinbase() {
                rules::check(tx, place, Scripts::Checked, |outpoint| {
                    if spent.contains(outpoint) {
                        return None;
                    }
                    made.get(outpoint).or_else(|| self.coins.get(outpoint)).cloned()
                })
                .map_err(|reject| reject.to_string())?;
                for input in &tx.input {
                    spent.insert(input.previous_output);
                    if made.remove(&input.previous_output).is_none()
                        && let Some(coin) = self.coins.get(&input.previous_output)
                    {
                        undo.spent.push((input.previous_output, coin.clone()));
                    }
                }
                undo.transactions.push(tx.clone());
            }
            for (vout, output) in tx.output.iter().enumerate().filter(|(_, out)| !out.script_pubkey.is_op_return()) {
                let vout = u32::try_from(vout).map_err(|_| "too many outputs")?;
                made.insert(
                    OutPoint { txid, vout },
                    Coin {
                        output: output.clone(),
                        height: place.height,
                        coinbase: tx.is_coinbase(),
                        median_time_past: place.median_time_past,
                    },
                );
            }
        }
        for (outpoint, _) in &undo.spent {
            self.coins.remove(outpoint);
        }
        self.coins.extend(made);
        for tx in &undo.transactions {
            self.drop_waiting(&tx.compute_txid());
            for rival in self.rivals(tx) {
                self.drop_waiting(&rival);
            }
        }
        let hash = block.block_hash();
        self.blocks.insert(hash, KnownBlock { height: place.height, header, raw: serialize(block).into() });
        self.active.push(hash);
        self.undo.push_back(undo);
        if self.undo.len() > REORG_BLOCKS_MAX as usize {
            self.undo.pop_front();
        }
        Ok(())
    }

    /// Takes the last `blocks` off. Their transactions wait again, before those that waited already.
    pub(super) fn rewind(&mut self, blocks: u32) -> Result<(), String> {
        if blocks as usize > self.undo.len() {
            return Err(format!("only {} blocks can be undone", self.undo.len()));
        }
        let mut again: Vec<(Transaction, u64)> = self.waiting.values().map(|w| (w.tx.clone(), w.time)).collect();
        for _ in 0..blocks {
            let Some(undo) = self.undo.pop_back() else { break };
            let Some(hash) = self.active.pop() else { break };
            let time = u64::from(self.blocks[&hash].header.time);
            let height = self.height() + 1;
            self.coins.retain(|_, coin| coin.height != height);
            self.coins.extend(undo.spent);
            again.splice(0..0, undo.transactions.into_iter().map(|tx| (tx, time)));
        }
        self.waiting.clear();
        self.order.clear();
        self.spenders.clear();
        self.waiting_bytes = 0;
        for (tx, time) in again {
            // What spent a coinbase that is gone, or is locked again, is gone with it.
            if let Ok(fee) = self.check(&tx, Scripts::Checked) {
                self.admit(tx, fee, time);
            }
        }
        Ok(())
    }
}
