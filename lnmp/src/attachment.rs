//! The reference by which a message names a file that lies, encrypted, on IPFS.

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// Where an attachment lies and how to read it. Only ever inside sealed content: it holds the key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentRef {
    /// Locator of the ciphertext: CIDv1, base32, of the `lnmp-stream/1` octets.
    pub cid: String,
    /// The AES-256-GCM key of this attachment alone.
    #[serde(with = "hex::serde")]
    pub key: [u8; 32],
    /// Octets of plaintext.
    pub size: u64,
    /// SHA-256 of the plaintext: identity, where the CID is only a locator.
    #[serde(with = "hex::serde")]
    pub sha256: [u8; 32],
}

impl std::fmt::Debug for AttachmentRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AttachmentRef").field("cid", &self.cid).field("size", &self.size).finish_non_exhaustive()
    }
}

impl Drop for AttachmentRef {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}
