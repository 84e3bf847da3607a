//! Makes blocks: coinbase, witness commitment, merkle root, proof of work.

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut,
    Witness, transaction,
};

/// Regtest halves the subsidy every 150 blocks.
const HALVING_BLOCKS: u32 = 150;
/// Half of all hashes are blocks on regtest.
const REGTEST_BITS: u32 = 0x207f_ffff;

/// What a new block is made of.
pub(super) struct Parts<'a> {
    pub(super) height: u32,
    pub(super) parent: BlockHash,
    pub(super) time: u32,
    /// Makes the coinbase of two blocks at one height differ.
    pub(super) nonce: u64,
    pub(super) payout: &'a ScriptBuf,
    pub(super) transactions: Vec<Transaction>,
    pub(super) fees: Amount,
}

/// New coins of a block at `height`.
pub(super) fn subsidy(height: u32) -> Amount {
    Amount::from_sat(5_000_000_000_u64.checked_shr(height / HALVING_BLOCKS).unwrap_or(0))
}

/// A block that meets regtest's target: two tries on average.
pub(super) fn make(parts: Parts<'_>) -> Block {
    let mut transactions = vec![coinbase(&parts)];
    transactions.extend(parts.transactions);
    let header = Header {
        version: Version::from_consensus(0x2000_0000),
        prev_blockhash: parts.parent,
        merkle_root: TxMerkleNode::all_zeros(),
        time: parts.time,
        bits: CompactTarget::from_consensus(REGTEST_BITS),
        nonce: 0,
    };
    let mut block = Block { header, txdata: transactions };
    let reserved = [0; 32];
    if let Some(root) = block.witness_root() {
        let commitment = Block::compute_witness_commitment(&root, &reserved);
        // BIP 141: OP_RETURN, 36 octets, aa21a9ed, commitment.
        let mut data = vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
        data.extend_from_slice(commitment.as_byte_array());
        block.txdata[0].output.push(TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::from_bytes(data) });
    }
    block.txdata[0].input[0].witness = Witness::from_slice(&[reserved]);
    block.header.merkle_root = block.compute_merkle_root().expect("a block has a coinbase");
    let target = block.header.target();
    while block.header.validate_pow(target).is_err() {
        block.header.nonce = block.header.nonce.wrapping_add(1);
    }
    block
}

fn coinbase(parts: &Parts<'_>) -> Transaction {
    // BIP 34: the height comes first; the nonce keeps the two-octet minimum and tells alternatives apart.
    let script_sig =
        Builder::new().push_int(i64::from(parts.height)).push_slice(parts.nonce.to_le_bytes()).into_script();
    Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig,
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut { value: subsidy(parts.height) + parts.fees, script_pubkey: parts.payout.clone() }],
    }
}
