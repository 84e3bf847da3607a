//! The node's memory of held payments, across restarts.
//!
//! One record per change: `hash (32) | state (1) | amount msat u64 LE | deadline height u32 LE | preimage (32)`, the last
//! one wins. The preimage is there, and no secret any more, once the claim is being made; else zeros.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use lnmp::{Msat, PaymentHash};

use crate::WalletError;
use crate::limits::ENDED_HOLDS_MAX;
use crate::records::{RecordError, RecordFile, sync_dir};

const ENTRY: usize = 32 + 1 + 8 + 4 + 32;
/// A file with this many more records than holds is written anew when it is opened.
const SLACK: usize = 256;

/// Where a hold is, as far as we did something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Locked; LDK ends it at the deadline.
    Held,
    /// The claim is being made, or was, with this preimage.
    Claiming(Claim),
    /// It is being failed, or was.
    Cancelled,
    /// Over and done: forgotten with the next rewrite.
    Gone,
}

/// What a claim is made with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim(pub(super) [u8; 32]);

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// One payment that was locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) state: State,
    pub(super) amount: Msat,
    pub(super) deadline_height: u32,
}

pub(super) struct Holds {
    file: RecordFile,
    holds: HashMap<PaymentHash, Hold>,
}

impl Holds {
    pub(super) fn open(path: &Path) -> Result<Self, RecordError> {
        let (file, holds, records) = read(path)?;
        if records <= holds.len() + SLACK {
            return Ok(Self { file, holds });
        }
        let fresh = PathBuf::from(format!("{}.new", path.display()));
        let _ = std::fs::remove_file(&fresh);
        let (mut new, _) = RecordFile::open(&fresh, |_| Ok(()))?;
        let all: Vec<u8> = holds.iter().flat_map(|(hash, hold)| entry(*hash, hold)).collect();
        new.append(&all)?;
        drop((file, new));
        std::fs::rename(&fresh, path)?;
        sync_dir(path)?;
        let (file, holds, _) = read(path)?;
        Ok(Self { file, holds })
    }

    pub(super) fn get(&self, hash: PaymentHash) -> Option<Hold> {
        self.holds.get(&hash).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PaymentHash, Hold)> {
        self.holds.iter().map(|(hash, hold)| (*hash, *hold))
    }

    /// Remembers a hold; on the disk when it returns. Saying the same again writes nothing.
    pub(super) fn set(&mut self, hash: PaymentHash, hold: Hold) -> Result<(), WalletError> {
        let known = self.holds.get(&hash);
        if known == Some(&hold) || (known.is_none() && hold.state == State::Gone) {
            return Ok(());
        }
        self.file.append(&entry(hash, &hold)).map_err(|error| WalletError::Disk(error.to_string()))?;
        if hold.state == State::Gone {
            self.holds.remove(&hash);
        } else {
            self.holds.insert(hash, hold);
        }
        self.bound();
        Ok(())
    }

    /// Changes only the state of a known hold.
    pub(super) fn set_state(&mut self, hash: PaymentHash, state: State) -> Result<(), WalletError> {
        match self.get(hash) {
            Some(hold) => self.set(hash, Hold { state, ..hold }),
            None => Ok(()),
        }
    }

    pub(super) fn cancelled(&self) -> Vec<PaymentHash> {
        self.iter().filter(|(_, hold)| hold.state == State::Cancelled).map(|(hash, _)| hash).collect()
    }

    pub(super) fn forget_cancelled(&mut self) -> Result<(), WalletError> {
        for hash in self.cancelled() {
            self.set_state(hash, State::Gone)?;
        }
        Ok(())
    }

    /// Cancelled payments need remembering only until LDK's next write, which is seconds away.
    fn bound(&mut self) {
        let cancelled = self.holds.values().filter(|hold| hold.state == State::Cancelled).count();
        if self.holds.len() > ENDED_HOLDS_MAX && cancelled > ENDED_HOLDS_MAX / 2 {
            let mut heights: Vec<u32> = self.holds.values().map(|hold| hold.deadline_height).collect();
            heights.sort_unstable();
            let middle = heights[heights.len() / 2];
            self.holds.retain(|_, hold| hold.state != State::Cancelled || hold.deadline_height > middle);
        }
    }
}

fn read(path: &Path) -> Result<(RecordFile, HashMap<PaymentHash, Hold>, usize), RecordError> {
    let mut holds = HashMap::new();
    let mut records = 0;
    let (file, _) = RecordFile::open(path, |record| {
        for bytes in record.chunks(ENTRY) {
            records += 1;
            let (hash, hold) = parse(bytes).ok_or("not a hold")?;
            if hold.state == State::Gone {
                holds.remove(&hash);
            } else {
                holds.insert(hash, hold);
            }
        }
        Ok(())
    })?;
    Ok((file, holds, records))
}

fn entry(hash: PaymentHash, hold: &Hold) -> [u8; ENTRY] {
    let mut out = [0; ENTRY];
    out[..32].copy_from_slice(&hash.0);
    out[32] = match hold.state {
        State::Held => 1,
        State::Claiming(_) => 2,
        State::Cancelled => 3,
        State::Gone => 4,
    };
    out[33..41].copy_from_slice(&hold.amount.0.to_le_bytes());
    out[41..45].copy_from_slice(&hold.deadline_height.to_le_bytes());
    if let State::Claiming(Claim(preimage)) = hold.state {
        out[45..].copy_from_slice(&preimage);
    }
    out
}

fn parse(bytes: &[u8]) -> Option<(PaymentHash, Hold)> {
    let (hash, rest) = bytes.split_first_chunk::<32>()?;
    let (state, rest) = rest.split_first()?;
    let (amount, rest) = rest.split_first_chunk::<8>()?;
    let (deadline, preimage) = rest.split_first_chunk::<4>()?;
    let preimage = Claim(preimage.try_into().ok()?);
    let state = match state {
        1 => State::Held,
        2 => State::Claiming(preimage),
        3 => State::Cancelled,
        4 => State::Gone,
        _ => return None,
    };
    let amount = Msat(u64::from_le_bytes(*amount));
    let deadline_height = u32::from_le_bytes(*deadline);
    Some((PaymentHash(*hash), Hold { state, amount, deadline_height }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_are_remembered_across_openings_and_rewrites() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("holds.log");
        let hold = |state| Hold { state, amount: Msat(100_000), deadline_height: 300 };
        {
            let mut holds = Holds::open(&path).unwrap();
            for n in 0..200 {
                holds.set(PaymentHash([n; 32]), hold(State::Held)).unwrap();
                let end = if n < 190 { State::Gone } else { State::Cancelled };
                holds.set_state(PaymentHash([n; 32]), end).unwrap();
            }
            holds.set(PaymentHash([250; 32]), hold(State::Claiming(Claim([8; 32])))).unwrap();
        }
        let before = std::fs::metadata(&path).unwrap().len();
        let mut holds = Holds::open(&path).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < before / 4, "the file was rewritten");
        assert_eq!(holds.cancelled().len(), 10);
        assert_eq!(holds.get(PaymentHash([250; 32])), Some(hold(State::Claiming(Claim([8; 32])))));
        holds.forget_cancelled().unwrap();
        drop(holds);
        assert_eq!(Holds::open(&path).unwrap().iter().count(), 1);
    }
}
