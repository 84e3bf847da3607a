//! What the chain writes down: the entries of its record file.

use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::{Block, BlockHash, Transaction};

/// One step of the chain's life.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// The chain is this network's.
    Genesis(BlockHash),
    /// A block on top of the tip.
    Block(Block),
    /// A transaction entered the mempool at a unix time.
    Tx(u64, Transaction),
    /// The last so many blocks were undone.
    Rewind(u32),
}

impl Entry {
    /// Appends the entry: tag, length, content.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (tag, content) = match self {
            Self::Genesis(hash) => (1, serialize(hash)),
            Self::Block(block) => (2, serialize(block)),
            Self::Tx(time, tx) => (3, [time.to_le_bytes().to_vec(), serialize(tx)].concat()),
            Self::Rewind(blocks) => (4, blocks.to_le_bytes().to_vec()),
        };
        out.push(tag);
        let len = u32::try_from(content.len()).expect("a block is at most 4 MB");
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&content);
    }

    /// The entries of one record.
    pub(super) fn read_all(mut record: &[u8]) -> Result<Vec<Self>, String> {
        let mut entries = Vec::new();
        while let Some((&tag, rest)) = record.split_first() {
            let (len, rest) = rest.split_first_chunk::<4>().ok_or("an entry without a length")?;
            let (content, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or("a short entry")?;
            record = rest;
            entries.push(Self::read(tag, content).ok_or_else(|| format!("entry of kind {tag} does not parse"))?);
        }
        Ok(entries)
    }

    fn read(tag: u8, content: &[u8]) -> Option<Self> {
        Some(match tag {
            1 => Self::Genesis(deserialize(content).ok()?),
            2 => Self::Block(deserialize(content).ok()?),
            3 => {
                let (time, tx) = content.split_first_chunk::<8>()?;
                Self::Tx(u64::from_le_bytes(*time), deserialize(tx).ok()?)
            }
            4 => Self::Rewind(u32::from_le_bytes(content.try_into().ok()?)),
            _ => return None,
        })
    }
}
