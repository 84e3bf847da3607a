//! From plaintext to IPFS blocks: seals, cuts into leaves and builds the root. Pure; holds one leaf.
//!
//! The tree is IPIP-499 `unixfs-v1-2025`: CIDv1, sha2-256, raw leaves of 1 MiB, balanced, 1024 links a node. One
//! leaf is its own root. Other implementations with that profile give the same CID for the same sealed octets.

use ipld_core::cid::Cid;
use ring::digest::{Context, SHA256};
use rust_ipfs::unixfs::ll::file::adder::{BalancedCollector, Chunker, FileAdder};

use crate::error::{Error, Result};
use crate::limits::{LEAF_BYTES, LEAVES_MAX};
use crate::stream::{Layout, Sealer, StreamError};

/// A block on its way to disk.
pub(crate) struct Block {
    pub(crate) cid: Cid,
    pub(crate) data: Vec<u8>,
}

/// Turns one plaintext into blocks. Leaves come out in the order of the stream.
pub(crate) struct Packer {
    sealer: Sealer,
    tree: FileAdder,
    sha256: Context,
    last_leaf: Option<Cid>,
}

/// What is left when all the plaintext was fed.
pub(crate) struct Packed {
    /// The last leaf if it was not full, and the root if it is not a leaf.
    pub(crate) blocks: Vec<Block>,
    /// CID of the whole.
    pub(crate) root: Cid,
    /// SHA-256 of the plaintext, for the reference.
    pub(crate) sha256: [u8; 32],
}

impl Packer {
    /// Begins; `key` must be fresh.
    pub(crate) fn new(key: &[u8; 32], layout: Layout) -> Self {
        Self { sealer: Sealer::new(key, layout), tree: tree(), sha256: Context::new(&SHA256), last_leaf: None }
    }

    /// Takes the next piece of the plaintext and returns the leaves it filled.
    pub(crate) fn feed(&mut self, mut piece: &[u8]) -> Result<Vec<Block>> {
        self.sha256.update(piece);
        let mut blocks = Vec::new();
        while !piece.is_empty() {
            if let Some(chunk) = self.sealer.fill(&mut piece).map_err(misfed)? {
                grow(&mut self.tree, chunk, &mut blocks);
            }
        }
        self.last_leaf = blocks.last().map_or(self.last_leaf, |block| Some(block.cid));
        Ok(blocks)
    }

    /// Ends: all of the plaintext was fed.
    pub(crate) fn finish(mut self) -> Result<Packed> {
        let mut blocks = Vec::new();
        if let Some(chunk) = self.sealer.finish().map_err(misfed)? {
            grow(&mut self.tree, &chunk, &mut blocks);
        }
        blocks.extend(self.tree.finish().map(|(cid, data)| Block { cid, data }));
        // A single leaf that was full came out of `feed` already, and is its own root.
        let root = blocks.last().map(|block| block.cid).or(self.last_leaf);
        let root = root.ok_or_else(|| Error::Node("the tree came out without a root".into()))?;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.sha256.finish().as_ref());
        Ok(Packed { blocks, root, sha256 })
    }
}

/// A fault of the plaintext; there is no attachment yet whose CID could be named.
fn misfed(error: StreamError) -> Error {
    Error::from_stream(error, "")
}

fn tree() -> FileAdder {
    FileAdder::builder()
        .with_chunker(Chunker::Size(LEAF_BYTES))
        .with_collector(BalancedCollector::with_branching_factor(LEAVES_MAX))
        .build()
}

fn grow(tree: &mut FileAdder, mut octets: &[u8], blocks: &mut Vec<Block>) {
    while !octets.is_empty() {
        let (made, taken) = tree.push(octets);
        blocks.extend(made.map(|(cid, data)| Block { cid, data }));
        octets = &octets[taken..];
    }
}

#[cfg(test)]
mod tests {
    use ring::digest;
    use serde::Deserialize;

    use super::*;
    use crate::stream;

    /// Made by `vectors/make.py`, which shares no code with us.
    const VECTORS: &str = include_str!("../../vectors/lnmp-stream-1.json");

    #[derive(Deserialize)]
    struct Vectors {
        stream: Vec<StreamCase>,
        unixfs_v1_2025: Vec<TreeCase>,
    }

    #[derive(Deserialize)]
    struct StreamCase {
        size: usize,
        key: String,
        sha256: String,
        sealed_size: u64,
        sealed_sha256: String,
        first_tag: String,
        last_tag: String,
        cid: String,
        sealed: Option<String>,
    }

    #[derive(Deserialize)]
    struct TreeCase {
        size: usize,
        cid: String,
    }

    fn text(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 31 + (i >> 8)) as u8).collect()
    }

    fn sha256(data: &[u8]) -> String {
        hex::encode(digest::digest(&SHA256, data))
    }

    #[test]
    fn sealed_streams_and_their_cids_are_those_of_the_vectors() {
        let vectors: Vectors = serde_json::from_str(VECTORS).unwrap();
        for case in vectors.stream {
            let plain = text(case.size);
            let key: [u8; 32] = hex::decode(&case.key).unwrap().try_into().unwrap();
            let sealed: Vec<u8> = stream::seal(&key, &plain).unwrap().flatten().collect();
            assert_eq!(sealed.len() as u64, case.sealed_size);
            assert_eq!(sha256(&sealed), case.sealed_sha256, "{} octets", case.size);
            let first_end = sealed.len().min(65_536);
            assert_eq!(hex::encode(&sealed[first_end - 16..first_end]), case.first_tag);
            assert_eq!(hex::encode(&sealed[sealed.len() - 16..]), case.last_tag);
            if let Some(all) = case.sealed {
                assert_eq!(hex::encode(&sealed), all);
            }

            let mut packer = Packer::new(&key, Layout::new(case.size as u64).unwrap());
            let mut leaves = Vec::new();
            for piece in plain.chunks(777_777) {
                leaves.extend(packer.feed(piece).unwrap());
            }
            let packed = packer.finish().unwrap();
            assert_eq!(packed.root.to_string(), case.cid, "{} octets", case.size);
            assert_eq!(hex::encode(packed.sha256), case.sha256);
        }
    }

    #[test]
    fn the_tree_has_the_cids_that_kubo_and_helia_give() {
        let vectors: Vectors = serde_json::from_str(VECTORS).unwrap();
        assert_eq!(vectors.unixfs_v1_2025.len(), 4);
        for case in vectors.unixfs_v1_2025 {
            for step in [65_536, 1_000_000, case.size] {
                let (mut tree, mut blocks) = (tree(), Vec::new());
                for piece in text(case.size).chunks(step) {
                    grow(&mut tree, piece, &mut blocks);
                }
                blocks.extend(tree.finish().map(|(cid, data)| Block { cid, data }));
                assert_eq!(blocks.last().unwrap().cid.to_string(), case.cid, "{} octets", case.size);
            }
        }
    }
}
