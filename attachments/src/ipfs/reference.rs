//! An [`AttachmentRef`] taken apart and checked, once, before anything is done with it.

use ipld_core::cid::{Cid, Version};
use lnmp::AttachmentRef;
use ring::digest;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::stream::Layout;

/// Multicodec of a leaf: its octets are the file's octets.
pub(super) const RAW: u64 = 0x55;
/// Multicodec of a root over several leaves.
const DAG_PB: u64 = 0x70;
/// Multihash code of sha2-256.
pub(super) const SHA2_256: u64 = 0x12;

/// A reference that could be ours: the CID is of our kind, and fits the size.
pub(crate) struct Reference {
    pub(crate) root: Cid,
    pub(crate) layout: Layout,
}

impl Reference {
    /// Checks what the author of a message wrote.
    pub(crate) fn parse(reference: &AttachmentRef) -> Result<Self> {
        let root = parse_cid(&reference.cid)?;
        let layout = Layout::new(reference.size).map_err(|error| Error::from_stream(error, &reference.cid))?;
        if is_leaf(&root) != (layout.leaves() == 1) {
            return Err(Error::BadReference("the kind of CID does not fit the size"));
        }
        Ok(Self { root, layout })
    }
}

/// Reads a CID of ours: version 1, base32, sha2-256, a raw leaf or a dag-pb root. Only the one spelling is taken,
/// because spellings are compared with what the database holds.
pub(crate) fn parse_cid(text: &str) -> Result<Cid> {
    let cid = Cid::try_from(text).map_err(|_| Error::BadReference("not a CID"))?;
    let ours = cid.version() == Version::V1
        && matches!(cid.codec(), RAW | DAG_PB)
        && cid.hash().code() == SHA2_256
        && cid.hash().digest().len() == 32;
    if !ours || cid.to_string() != text {
        return Err(Error::BadReference("not a CIDv1 in base32, of sha2-256, raw or dag-pb"));
    }
    Ok(cid)
}

/// Whether the CID names a leaf, and not a root over leaves.
pub(crate) fn is_leaf(cid: &Cid) -> bool {
    cid.codec() == RAW
}

/// Whether `data` is what the CID names.
pub(crate) fn names(cid: &Cid, data: &[u8]) -> bool {
    cid.hash().digest() == digest::digest(&digest::SHA256, data).as_ref()
}

/// A key that no stream was ever sealed with.
pub(crate) fn fresh_key() -> Result<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    SystemRandom::new()
        .fill(&mut *key)
        .map_err(|_| Error::Storage(std::io::Error::other("the system has no randomness")))?;
    Ok(key)
}

/// Holds a whole plaintext against the SHA-256 in its reference; parts pass, their chunks were authenticated.
pub(crate) fn check_whole(reference: &AttachmentRef, plain: &[u8]) -> Result<()> {
    let whole = plain.len() as u64 == reference.size;
    if whole && digest::digest(&digest::SHA256, plain).as_ref() != reference.sha256 {
        return Err(Error::Damaged { cid: reference.cid.clone(), why: "the plaintext has another SHA-256" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cids_of_our_kind_are_taken() {
        for good in [
            "bafkreictpt3axbccoani363eyq53c2bgiqvh2sw2s7hm6ldpzg4msqrxoa",
            "bafybeiejkouhdadwq6odmdgica7fdicfqhfogaijsax5tnxp3yg56layvy",
        ] {
            assert!(parse_cid(good).is_ok());
        }
        for bad in [
            "",
            "../../etc/passwd",
            "QmRgutAxd8t7oGkSm4wmeuByG6M51wcTso6cubDdQtuEfL",
            "BAFKREICTPT3AXBCCOANI363EYQ53C2BGIQVH2SW2S7HM6LDPZG4MSQRXOA",
            "/ipfs/bafkreictpt3axbccoani363eyq53c2bgiqvh2sw2s7hm6ldpzg4msqrxoa",
            "bafyreictpt3axbccoani363eyq53c2bgiqvh2sw2s7hm6ldpzg4msqrxoa",
        ] {
            assert!(matches!(parse_cid(bad), Err(Error::BadReference(_))), "{bad}");
        }
    }
}
