//! The sandbox's chain: what it refuses, what it keeps, and what its RPC says.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::deserialize;
use bitcoin::hashes::Hash;
use bitcoin::secp256k1::{Message, Secp256k1, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{
    Amount, Block, CompressedPublicKey, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness, ecdsa,
    transaction,
};
use lightning::sandbox::chain::{Chain, Reject};

const NOW: u64 = 1_800_000_000;
const FEE: u64 = 1_000;

struct Miner(SecretKey);

impl Miner {
    fn new() -> Self {
        Self(SecretKey::from_slice(&[3; 32]).unwrap())
    }

    fn public(&self) -> CompressedPublicKey {
        CompressedPublicKey(self.0.public_key(&Secp256k1::new()))
    }

    fn script(&self) -> ScriptBuf {
        ScriptBuf::new_p2wpkh(&self.public().wpubkey_hash())
    }

    fn spend(&self, coin: OutPoint, value: u64, change: impl FnOnce(&mut Transaction)) -> Transaction {
        let mut tx = Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: coin,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::new(),
            }],
            output: vec![TxOut { value: Amount::from_sat(value - FEE), script_pubkey: self.script() }],
        };
        change(&mut tx);
        let sighash = SighashCache::new(&tx)
            .p2wpkh_signature_hash(0, &self.script(), Amount::from_sat(value), EcdsaSighashType::All)
            .unwrap();
        let signature = Secp256k1::new().sign_ecdsa(&Message::from(sighash), &self.0);
        tx.input[0].witness = Witness::p2wpkh(&ecdsa::Signature::sighash_all(signature), &self.public().0);
        tx
    }
}

/// A chain with `blocks` blocks, and the coinbase of each.
fn chain(dir: &tempfile::TempDir, blocks: u32) -> (Chain, Miner) {
    let miner = Miner::new();
    let chain = Chain::open(&dir.path().join("chain.log"), miner.script()).unwrap();
    chain.mine(blocks, NOW as u32).unwrap();
    (chain, miner)
}

fn coinbase(chain: &Chain, height: u32) -> (OutPoint, u64) {
    let block = chain.block(&chain.hash_at(height).unwrap()).unwrap();
    let block: Block = deserialize(&block.raw).unwrap();
    let tx = &block.txdata[0];
    (OutPoint { txid: tx.compute_txid(), vout: 0 }, tx.output[0].value.to_sat())
}

fn whole(dir: &tempfile::TempDir) -> Chain {
    Chain::open(&dir.path().join("chain.log"), Miner::new().script()).unwrap()
}

#[test]
fn a_good_transaction_waits_is_mined_and_is_spent_once() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, miner) = chain(&dir, 101);
    let (coin, value) = coinbase(&chain, 1);
    let tx = miner.spend(coin, value, |_| {});
    let txid = chain.submit(tx.clone(), NOW).unwrap();
    assert_eq!(chain.submit(tx.clone(), NOW), Ok(txid), "again is fine");
    assert_eq!(chain.mempool(), vec![txid]);
    // A child of what only waits.
    let child = miner.spend(OutPoint { txid, vout: 0 }, value - FEE, |_| {});
    chain.submit(child.clone(), NOW).unwrap();
    assert_eq!(chain.mine(1, NOW as u32).unwrap(), 102);
    assert!(chain.mempool().is_empty());
    assert!(chain.coin(&coin).is_none());
    assert_eq!(chain.coin(&OutPoint { txid: child.compute_txid(), vout: 0 }).unwrap().height, 102);
    assert_eq!(chain.submit(child, NOW), Err(Reject::AlreadyInChain));
    let again = miner.spend(coin, value, |tx| tx.output[0].value = Amount::from_sat(1));
    assert_eq!(chain.submit(again, NOW), Err(Reject::MissingInput), "a double spend");
    // The block commits to its witnesses, and pays the fees to the miner.
    let block: Block = deserialize(&chain.block(&chain.tip()).unwrap().raw).unwrap();
    assert!(block.check_witness_commitment() && block.check_merkle_root());
    assert_eq!(block.txdata[0].output[0].value.to_sat(), 5_000_000_000 + 2 * FEE);
    assert_eq!(block.bip34_block_height(), Ok(102));
}

#[test]
fn a_bad_transaction_is_refused_for_the_reason_bitcoin_core_gives() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, miner) = chain(&dir, 101);
    let (coin, value) = coinbase(&chain, 1);
    let (young, young_value) = coinbase(&chain, 3);
    let refused = |tx: Transaction| chain.submit(tx, NOW).unwrap_err();

    let mut bad_script = miner.spend(coin, value, |_| {});
    bad_script.output[0].value = Amount::from_sat(value - FEE - 1);
    assert_eq!(refused(bad_script), Reject::Script, "the signature covers the amount");
    let stranger = Miner(SecretKey::from_slice(&[4; 32]).unwrap());
    assert_eq!(refused(stranger.spend(coin, value, |_| {})), Reject::Script);
    let more = miner.spend(coin, value, |tx| tx.output[0].value = Amount::from_sat(value + 1));
    assert_eq!(refused(more), Reject::BelowOut);
    let absurd = miner.spend(coin, value, |tx| tx.output[0].value = Amount::from_sat(2_100_000_000_000_001));
    assert_eq!(refused(absurd), Reject::OutputsTooLarge);
    let free = miner.spend(coin, value, |tx| tx.output[0].value = Amount::from_sat(value - 10));
    assert_eq!(refused(free), Reject::FeeTooLow);
    assert_eq!(refused(miner.spend(young, young_value, |_| {})), Reject::Immature);
    let missing = OutPoint { txid: Txid::from_byte_array([9; 32]), vout: 0 };
    assert_eq!(refused(miner.spend(missing, value, |_| {})), Reject::MissingInput);
    let twice = miner.spend(coin, value, |tx| tx.input.push(tx.input[0].clone()));
    assert_eq!(refused(twice), Reject::DuplicateInput);
    let empty = miner.spend(coin, value, |tx| tx.output.clear());
    assert_eq!(refused(empty), Reject::Empty);
    let not_a_tx = chain.submit_raw(&[1, 2, 3], NOW);
    assert_eq!(not_a_tx, Err(Reject::Decode));
    assert!(chain.mempool().is_empty());
}

#[test]
fn locks_hold_until_their_height() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, miner) = chain(&dir, 101);
    let (coin, value) = coinbase(&chain, 1);
    // Next height is 102: a lock of 101 is over, one of 102 is not.
    let locked = |height| miner.spend(coin, value, |tx| tx.lock_time = LockTime::from_height(height).unwrap());
    assert_eq!(chain.submit(locked(102), NOW), Err(Reject::NonFinal));
    let relative = |blocks| miner.spend(coin, value, |tx| tx.input[0].sequence = Sequence::from_height(blocks));
    // The coin is from height 1, so it is 101 blocks old in block 102.
    assert_eq!(chain.submit(relative(102), NOW), Err(Reject::NonBip68Final));
    let seconds = |intervals| {
        miner.spend(coin, value, |tx| tx.input[0].sequence = Sequence::from_512_second_intervals(intervals))
    };
    assert_eq!(chain.submit(seconds(1000), NOW), Ok(seconds(1000).compute_txid()), "genesis was in 2011");
    chain.mine(1, NOW as u32).unwrap();
    let (coin, value) = coinbase(&chain, 2);
    let late = miner.spend(coin, value, |tx| tx.input[0].sequence = Sequence::from_512_second_intervals(65_535));
    assert_eq!(chain.submit(late, NOW), Err(Reject::NonBip68Final), "a year since block 1");
    let over = miner.spend(coin, value, |tx| {
        tx.lock_time = LockTime::from_height(102).unwrap();
        tx.input[0].sequence = Sequence::from_height(101);
    });
    chain.submit(over, NOW).unwrap();
}

#[test]
fn a_waiting_transaction_is_replaced_only_by_one_that_pays_more() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, miner) = chain(&dir, 101);
    let (coin, value) = coinbase(&chain, 1);
    let first = miner.spend(coin, value, |_| {});
    let first_id = chain.submit(first, NOW).unwrap();
    let child = miner.spend(OutPoint { txid: first_id, vout: 0 }, value - FEE, |_| {});
    chain.submit(child, NOW).unwrap();
    let paying = |fee: u64| miner.spend(coin, value, |tx| tx.output[0].value = Amount::from_sat(value - fee));
    assert_eq!(chain.submit(paying(FEE - 1), NOW), Err(Reject::Conflict));
    assert_eq!(chain.submit(paying(2 * FEE), NOW), Err(Reject::Conflict), "it must outbid the child too");
    let better = chain.submit(paying(3 * FEE), NOW).unwrap();
    assert_eq!(chain.mempool(), vec![better]);
    drop(chain);
    assert_eq!(whole(&dir).mempool(), vec![better], "also after a restart");
}

#[test]
fn a_reorganisation_brings_transactions_back_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, miner) = chain(&dir, 101);
    let (coin, value) = coinbase(&chain, 1);
    let txid = chain.submit(miner.spend(coin, value, |_| {}), NOW).unwrap();
    chain.mine(2, NOW as u32).unwrap();
    let old_tip = chain.tip();
    assert_eq!(chain.rewind(2).unwrap(), 101);
    assert_eq!(chain.mempool(), vec![txid], "it waits again");
    assert!(chain.coin(&coin).is_some());
    chain.mine_empty(3, NOW as u32).unwrap();
    assert_eq!(chain.height(), 104);
    assert!(chain.block(&old_tip).is_some(), "the branch left behind can still be fetched");
    assert_ne!(chain.hash_at(103), Some(old_tip));
    chain.mine(1, NOW as u32).unwrap();
    assert!(chain.coin(&OutPoint { txid, vout: 0 }).is_some());
    let (tip, height) = chain.best();
    drop(chain);
    assert_eq!(whole(&dir).best(), (tip, height));
    assert!(whole(&dir).rewind(1000).is_err());
}

#[test]
fn a_chain_cut_at_any_octet_comes_back_as_it_was_before_the_last_record() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, miner) = chain(&dir, 101);
    let (coin, value) = coinbase(&chain, 1);
    let before = std::fs::metadata(dir.path().join("chain.log")).unwrap().len();
    let txid = chain.submit(miner.spend(coin, value, |_| {}), NOW).unwrap();
    let with_tx = std::fs::metadata(dir.path().join("chain.log")).unwrap().len();
    chain.mine(1, NOW as u32).unwrap();
    drop(chain);
    let bytes = std::fs::read(dir.path().join("chain.log")).unwrap();
    for cut in (before as usize..bytes.len()).step_by(7) {
        std::fs::write(dir.path().join("chain.log"), &bytes[..cut]).unwrap();
        let chain = whole(&dir);
        assert_eq!(chain.height(), 101);
        assert_eq!(chain.mempool().contains(&txid), cut as u64 >= with_tx, "cut at {cut}");
        chain.mine(1, NOW as u32).unwrap();
    }
}

#[test]
fn a_thousand_blocks_are_read_back_in_a_moment() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, _) = chain(&dir, 1000);
    let best = chain.best();
    drop(chain);
    let began = Instant::now();
    let chain = whole(&dir);
    println!("FIGURE 1000 blocks read back: {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(chain.best(), best);
    // Regtest halves every 150 blocks.
    assert_eq!(coinbase(&chain, 149).1, 5_000_000_000);
    assert_eq!(coinbase(&chain, 150).1, 2_500_000_000);
}
