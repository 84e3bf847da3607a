//! From plaintext to IPFS blocks: seals, cuts into leaves and builds the root. Pure; holds one chunk.
//!
//! The tree is IPIP-499 `unixfs-v1-2025`: CIDv1, sha2-256, raw leaves of 1 MiB, balanced, 1024 links a node. One
//! leaf is its own root. Other implementations with that profile give the same CID for the same sealed octets.

use ipld_core::cid::multihash::Multihash;
use ipld_core::cid::{Cid, Version};
use ring::digest::{Context, SHA256};
use rust_ipfs::unixfs::ll::file::adder::{FileBranchLink, rebuild_file_branch};

use super::reference::{RAW, SHA2_256};
use crate::error::{Error, Result};
use crate::limits::LEAF_BYTES;
use crate::stream::{Layout, Sealer, StreamError};

/// What comes out of a [`Packer`], in the order of the stream. A leaf's octets come before its name: nobody needs to
/// hold it.
pub(crate) enum Out<'a> {
    /// The next octets of a leaf.
    Octets(&'a [u8]),
    /// The leaf is complete, and this is its name.
    Leaf(Cid),
}

/// Turns one plaintext into blocks.
pub(crate) struct Packer {
    sealer: Sealer,
    tree: Tree,
    sha256: Context,
}

/// What is left when all the plaintext was fed.
pub(crate) struct Packed {
    /// CID of the whole.
    pub(crate) root: Cid,
    /// The root's octets, if it is not a leaf.
    pub(crate) branch: Option<Vec<u8>>,
    /// SHA-256 of the plaintext, for the reference.
    pub(crate) sha256: [u8; 32],
}

impl Packer {
    /// Begins; `key` must be fresh.
    pub(crate) fn new(key: &[u8; 32], layout: Layout) -> Self {
        Self { sealer: Sealer::new(key, layout), tree: Tree::default(), sha256: Context::new(&SHA256) }
    }

    /// Takes the next piece of the plaintext.
    pub(crate) fn feed(&mut self, mut piece: &[u8], out: &mut dyn FnMut(Out<'_>) -> Result<()>) -> Result<()> {
        self.sha256.update(piece);
        while !piece.is_empty() {
            if let Some(chunk) = self.sealer.fill(&mut piece).map_err(misfed)? {
                self.tree.grow(chunk, out)?;
            }
        }
        Ok(())
    }

    /// Ends: all of the plaintext was fed.
    pub(crate) fn finish(mut self, out: &mut dyn FnMut(Out<'_>) -> Result<()>) -> Result<Packed> {
        if let Some(chunk) = self.sealer.finish().map_err(misfed)? {
            self.tree.grow(&chunk, out)?;
        }
        let (root, branch) = self.tree.finish(out)?;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.sha256.finish().as_ref());
        Ok(Packed { root, branch, sha256 })
    }
}

/// A fault of the plaintext; there is no attachment yet whose CID could be named.
fn misfed(error: StreamError) -> Error {
    Error::from_stream(error, "")
}

/// The leaves so far, and the hash of the one under way.
struct Tree {
    leaves: Vec<FileBranchLink>,
    hash: Context,
    bytes: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self { leaves: Vec::new(), hash: Context::new(&SHA256), bytes: 0 }
    }
}

impl Tree {
    fn grow(&mut self, mut octets: &[u8], out: &mut dyn FnMut(Out<'_>) -> Result<()>) -> Result<()> {
        while !octets.is_empty() {
            let (taken, rest) = octets.split_at(octets.len().min(LEAF_BYTES - self.bytes));
            self.hash.update(taken);
            self.bytes += taken.len();
            out(Out::Octets(taken))?;
            if self.bytes == LEAF_BYTES {
                self.end_leaf(out)?;
            }
            octets = rest;
        }
        Ok(())
    }

    fn end_leaf(&mut self, out: &mut dyn FnMut(Out<'_>) -> Result<()>) -> Result<()> {
        let hash = std::mem::replace(&mut self.hash, Context::new(&SHA256)).finish();
        let size = std::mem::take(&mut self.bytes) as u64;
        let hash = Multihash::wrap(SHA2_256, hash.as_ref()).map_err(|error| Error::Node(error.to_string()))?;
        let cid = Cid::new_v1(RAW, hash);
        self.leaves.push(FileBranchLink { cid, blocksize: size, tsize: size });
        out(Out::Leaf(cid))
    }

    /// The root, and its octets if it is not a leaf. A layout has no more leaves than one root has links.
    fn finish(mut self, out: &mut dyn FnMut(Out<'_>) -> Result<()>) -> Result<(Cid, Option<Vec<u8>>)> {
        if self.bytes > 0 {
            self.end_leaf(out)?;
        }
        match &self.leaves[..] {
            [] => Err(Error::Node("the tree came out without a root".into())),
            [one] => Ok((one.cid, None)),
            leaves => {
                let size = leaves.iter().map(|leaf| leaf.blocksize).sum();
                let sha2_256 = SHA2_256.try_into().map_err(|_| Error::Node("sha2-256 is not known".into()))?;
                let (root, branch) = rebuild_file_branch(size, leaves, Version::V1, sha2_256);
                Ok((root, Some(branch)))
            }
        }
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
            let (mut leaves, mut leaf) = (Vec::new(), Vec::new());
            let mut out = |out: Out<'_>| {
                match out {
                    Out::Octets(octets) => leaf.extend_from_slice(octets),
                    Out::Leaf(cid) => leaves.push((cid, std::mem::take(&mut leaf))),
                }
                Ok(())
            };
            for piece in plain.chunks(777_777) {
                packer.feed(piece, &mut out).unwrap();
            }
            let packed = packer.finish(&mut out).unwrap();
            assert!(leaves.iter().all(|(cid, leaf)| super::super::reference::names(cid, leaf)));
            assert!(leaves.iter().flat_map(|(_, leaf)| leaf).eq(&sealed));
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
                let mut tree = Tree::default();
                for piece in text(case.size).chunks(step) {
                    tree.grow(piece, &mut |_| Ok(())).unwrap();
                }
                let (root, branch) = tree.finish(&mut |_| Ok(())).unwrap();
                assert_eq!(root.to_string(), case.cid, "{} octets", case.size);
                assert!(branch.is_none_or(|branch| super::super::reference::names(&root, &branch)));
            }
        }
    }
}
