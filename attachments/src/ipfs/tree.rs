//! Reading: from a reference to the octets of its leaves, touching no leaf that is not needed.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;

use ipld_core::cid::Cid;
use rust_ipfs::unixfs::ll::file::adder::{FileBranch, parse_file_branch};

use super::blocks::Blocks;
use super::reference::{self, Reference};
use crate::error::{Error, Result};
use crate::limits::{LEAF_BYTES, ROOT_BYTES_MAX};
use crate::stream::{Layout, ReadSealed, StreamError};

/// The leaves under a root, in order. For a single leaf, that leaf. Fails with [`Error::Missing`] when the root is
/// not here, and with [`Error::Damaged`] when it is not what its CID names, or no root of ours.
pub(crate) fn leaves(blocks: &Blocks, root: &Cid) -> Result<Vec<Cid>> {
    if reference::is_leaf(root) {
        return Ok(vec![*root]);
    }
    Ok(branch(blocks, root)?.links.into_iter().map(|link| link.cid).collect())
}

fn branch(blocks: &Blocks, root: &Cid) -> Result<FileBranch> {
    let damaged = |why| Error::Damaged { cid: root.to_string(), why };
    let data = blocks.read(root, ROOT_BYTES_MAX)?.ok_or_else(|| Error::Missing { cid: root.to_string() })?;
    if !reference::names(root, &data) {
        return Err(damaged("the root is not what its CID names"));
    }
    let branch = parse_file_branch(&data).ok_or_else(|| damaged("the root is not a list of leaves"))?;
    if !branch.links.iter().all(|link| reference::is_leaf(&link.cid)) {
        return Err(damaged("the root has more than one level"));
    }
    Ok(branch)
}

/// The sealed octets of one attachment, read from block files.
pub(crate) struct SealedFile<'a> {
    blocks: &'a Blocks,
    root: Cid,
    leaves: Vec<Cid>,
    /// The leaf read last stays open: the next chunk is most likely in it.
    open: Option<(usize, File)>,
}

impl<'a> SealedFile<'a> {
    /// Finds the leaves and checks that they make up a stream of the size that the reference claims, so that
    /// offsets can be computed.
    pub(crate) fn open(blocks: &'a Blocks, reference: &Reference) -> Result<Self> {
        let Reference { root, layout } = reference;
        let leaves = if reference::is_leaf(root) {
            vec![*root]
        } else {
            let branch = branch(blocks, root)?;
            if !fits(&branch, *layout) {
                return Err(Error::Damaged { cid: root.to_string(), why: "the leaves do not make up the size" });
            }
            branch.links.into_iter().map(|link| link.cid).collect()
        };
        Ok(Self { blocks, root: *root, leaves, open: None })
    }
}

/// Whether every leaf but the last is full, and together they are the sealed stream.
fn fits(branch: &FileBranch, layout: Layout) -> bool {
    let full = LEAF_BYTES as u64;
    let last = branch.links.len().saturating_sub(1);
    branch.filesize == layout.sealed_size()
        && branch.links.len() as u64 == layout.leaves()
        && branch
            .links
            .iter()
            .enumerate()
            .all(|(i, link)| link.blocksize == if i == last { layout.sealed_size() - last as u64 * full } else { full })
}

impl ReadSealed for SealedFile<'_> {
    type Error = Fault;

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Fault> {
        // A chunk never straddles two leaves: limits.rs.
        let index = (offset / LEAF_BYTES as u64) as usize;
        let cid = *self.leaves.get(index).ok_or(StreamError::Truncated { wanted: offset })?;
        if self.open.as_ref().is_none_or(|(open, _)| *open != index) {
            let file = self.blocks.file(&cid).map_err(Error::from)?;
            self.open = Some((index, file.ok_or_else(|| Error::Missing { cid: cid.to_string() })?));
        }
        let (_, file) = self.open.as_ref().ok_or(StreamError::Truncated { wanted: offset })?;
        file.read_exact_at(into, offset % LEAF_BYTES as u64).map_err(|error| {
            Fault::Shelf(match error.kind() {
                ErrorKind::UnexpectedEof => Error::Damaged { cid: self.root.to_string(), why: "a leaf is cut short" },
                _ => Error::Storage(error),
            })
        })
    }
}

/// What [`SealedFile`] fails with: a fault of the stream gets the attachment's CID where that is known.
pub(crate) enum Fault {
    Stream(StreamError),
    Shelf(Error),
}

impl Fault {
    /// Names the attachment in which it happened.
    pub(crate) fn within(self, cid: &str) -> Error {
        match self {
            Self::Stream(error) => Error::from_stream(error, cid),
            Self::Shelf(error) => error,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Shelf(error)
    }
}

impl From<StreamError> for Fault {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}
