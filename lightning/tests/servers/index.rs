//! What Esplora and Electrum servers keep of a chain that its blocks alone do not tell: who spent what, and which
//! transactions touched a script.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bitcoin::consensus::encode::deserialize;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::{Block, BlockHash, MerkleBlock, OutPoint, Transaction, TxOut, Txid};
use lightning::Sandbox;

/// A transaction, and where it is; `None`: it waits.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) tx: Transaction,
    pub(crate) place: Option<Place>,
}

/// In which block, and where in it.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) height: u32,
    pub(crate) hash: BlockHash,
    pub(crate) time: u32,
    pub(crate) position: usize,
}

/// The chain of a sandbox, indexed as far as it is when it is asked.
#[derive(Clone)]
pub(crate) struct Index {
    pub(crate) sandbox: Arc<Sandbox>,
    read: Arc<Mutex<Read>>,
}

#[derive(Default)]
struct Read {
    blocks: Vec<BlockHash>,
    txs: HashMap<Txid, Known>,
    order: Vec<Txid>,
    spends: HashMap<OutPoint, (Txid, usize)>,
}

/// SHA-256 of a script, as both protocols name it; Electrum writes it backwards.
pub(crate) fn script_hash(output: &TxOut) -> [u8; 32] {
    sha256::Hash::hash(output.script_pubkey.as_bytes()).to_byte_array()
}

impl Index {
    pub(crate) fn new(sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox, read: Arc::default() }
    }

    /// Reads what is new, and works on the whole with what waits.
    fn with<T>(&self, work: impl FnOnce(&Read) -> T) -> T {
        let chain = self.sandbox.chain();
        let mut read = self.read.lock().unwrap();
        if read.blocks.last().is_some_and(|last| chain.hash_at(read.blocks.len() as u32 - 1) != Some(*last)) {
            *read = Read::default();
        }
        let (_, tip) = chain.best();
        while read.blocks.len() <= tip as usize {
            let height = read.blocks.len() as u32;
            let Some(hash) = chain.hash_at(height) else { break };
            let block: Block = deserialize(&chain.block(&hash).unwrap().raw).unwrap();
            for (position, tx) in block.txdata.into_iter().enumerate() {
                let place = Place { height, hash, time: block.header.time, position };
                read.add(Known { tx, place: Some(place) });
            }
            read.blocks.push(hash);
        }
        // What waits is there for this question only.
        let mut all = Read { blocks: Vec::new(), ..Read::default() };
        std::mem::swap(&mut all, &mut *read);
        let (known, spent) = (all.order.len(), all.spends.clone());
        for txid in chain.mempool() {
            if let Some(waiting) = chain.waiting(&txid)
                && !all.txs.contains_key(&txid)
            {
                all.add(Known { tx: waiting.tx, place: None });
            }
        }
        let answer = work(&all);
        for txid in all.order.drain(known..) {
            all.txs.remove(&txid);
        }
        all.spends = spent;
        *read = all;
        answer
    }

    pub(crate) fn tx(&self, txid: &Txid) -> Option<Known> {
        self.with(|read| read.txs.get(txid).cloned())
    }

    /// Who spends an output, with which input.
    pub(crate) fn spender(&self, output: &OutPoint) -> Option<(Known, usize)> {
        self.with(|read| {
            let (txid, input) = read.spends.get(output)?;
            Some((read.txs.get(txid)?.clone(), *input))
        })
    }

    /// The output that an input spends.
    pub(crate) fn output(&self, outpoint: &OutPoint) -> Option<TxOut> {
        self.tx(&outpoint.txid)?.tx.output.get(outpoint.vout as usize).cloned()
    }

    /// Everything that pays to a script or spends from it, oldest first, what waits last.
    pub(crate) fn history(&self, script: &[u8; 32]) -> Vec<Known> {
        self.with(|read| {
            let touches = |known: &&Known| {
                let spent = |outpoint: &OutPoint| {
                    let from = read.txs.get(&outpoint.txid)?;
                    from.tx.output.get(outpoint.vout as usize).map(script_hash)
                };
                known.tx.output.iter().any(|output| script_hash(output) == *script)
                    || known.tx.input.iter().any(|input| spent(&input.previous_output).as_ref() == Some(script))
            };
            read.order.iter().filter_map(|txid| read.txs.get(txid)).filter(touches).cloned().collect()
        })
    }

    /// The block a transaction is in, cut down to the proof that it is.
    pub(crate) fn proof(&self, txid: &Txid) -> Option<MerkleBlock> {
        let place = self.tx(txid)?.place?;
        let block: Block = deserialize(&self.sandbox.chain().block(&place.hash)?.raw).ok()?;
        Some(MerkleBlock::from_block_with_predicate(&block, |there| there == txid))
    }

    /// The ids of a block's transactions, in order.
    pub(crate) fn txids(&self, hash: &BlockHash) -> Vec<Txid> {
        let block: Block = deserialize(&self.sandbox.chain().block(hash).unwrap().raw).unwrap();
        block.txdata.iter().map(Transaction::compute_txid).collect()
    }
}

impl Read {
    fn add(&mut self, known: Known) {
        let txid = known.tx.compute_txid();
        for (at, input) in known.tx.input.iter().enumerate() {
            self.spends.insert(input.previous_output, (txid, at));
        }
        self.order.push(txid);
        self.txs.insert(txid, known);
    }
}
