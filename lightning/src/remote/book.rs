//! What is remembered beside a node that somebody else runs: which hashes are ours, how far each is, which events the
//! house has not handled.
//!
//! The node is the truth about money; the book makes an event of every change, once, and keeps it over a restart.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use lnmp::{Msat, PaymentHash};
use serde::{Deserialize, Serialize};

use super::api::{Kind, Seen};
use crate::limits::{REMOTE_ENDED_MAX, REMOTE_EVENTS_MAX, REMOTE_FAIL_BACK_BLOCKS};
use crate::records::sync_dir;
use crate::{Event, RecordError, RecordFile, WalletError};

/// How far one payment towards us is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// Asked for.
    Open,
    /// Locked.
    Held,
    /// Locked, and the preimage was handed over.
    Claiming,
    /// Ours.
    Settled,
    /// We cancelled it.
    Cancelled,
    /// The node ended it: its time was over, or somebody else cancelled it.
    Ended,
    /// Forgotten.
    Gone,
}

impl State {
    /// Whether the node is asked about it again and again.
    pub(super) fn is_live(self) -> bool {
        matches!(self, Self::Open | Self::Held | Self::Claiming)
    }
}

/// One payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) state: State,
    /// Whether it waits for a decision.
    pub(super) hold: bool,
    /// What the invoice asks.
    pub(super) asked: u64,
    /// What came.
    pub(super) amount: u64,
    /// First height at which it is given back.
    pub(super) deadline_height: u32,
    /// Blocks the invoice asks for.
    pub(super) final_cltv: u16,
    /// Seconds since 1970 after which it is not to be paid any more.
    pub(super) expires_at: u64,
    /// The height at which it was last seen open: what came later came at this height at the earliest.
    pub(super) open_height: u32,
}

impl Entry {
    pub(super) fn kind(&self) -> Kind {
        if self.hold { Kind::Hold } else { Kind::Ordinary }
    }
}

/// An event that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Told {
    Held { hash: PaymentHash, amount: u64, deadline_height: u32 },
    Settled { hash: PaymentHash, amount: u64 },
}

impl From<Told> for Event {
    fn from(told: Told) -> Self {
        match told {
            Told::Held { hash, amount, deadline_height } => Self::Held { hash, amount: Msat(amount), deadline_height },
            Told::Settled { hash, amount } => Self::Settled { hash, amount: Msat(amount) },
        }
    }
}

/// One line of the file. A change and its event are one record, so that a kill cannot come between them.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    entries: Vec<(PaymentHash, Entry)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    events: Vec<Told>,
    /// The head of the events was handled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    handled: bool,
}

/// The book, open and locked.
pub(super) struct Book {
    file: RecordFile,
    pages: Pages,
}

#[derive(Default)]
struct Pages {
    entries: BTreeMap<PaymentHash, Entry>,
    events: VecDeque<Told>,
    records: usize,
}

/// Records beyond those that say something new, before the file is written anew at the next start.
const SLACK: usize = 64;

impl Book {
    pub(super) fn open(path: &Path) -> Result<Self, RecordError> {
        let (file, mut pages) = read(path)?;
        if pages.records <= pages.entries.len() + SLACK {
            return Ok(Self { file, pages });
        }
        pages.forget_old();
        let fresh = PathBuf::from(format!("{}.new", path.display()));
        let _ = std::fs::remove_file(&fresh);
        let (mut new, _) = RecordFile::open(&fresh, |_| Ok(()))?;
        let entries = pages.entries.iter().map(|(hash, entry)| (*hash, *entry)).collect();
        let whole = Record { entries, events: pages.events.iter().copied().collect(), handled: false };
        new.append(&serde_json::to_vec(&whole).map_err(std::io::Error::other)?)?;
        drop((file, new));
        std::fs::rename(&fresh, path)?;
        sync_dir(path)?;
        let (file, pages) = read(path)?;
        Ok(Self { file, pages })
    }

    pub(super) fn get(&self, hash: PaymentHash) -> Option<Entry> {
        self.pages.entries.get(&hash).copied()
    }

    pub(super) fn live(&self) -> Vec<(PaymentHash, Entry)> {
        self.pages.entries.iter().filter(|(_, entry)| entry.state.is_live()).map(|(hash, e)| (*hash, *e)).collect()
    }

    /// The oldest event that waits.
    pub(super) fn event(&self) -> Option<Event> {
        self.pages.events.front().map(|told| Event::from(*told))
    }

    /// Ticks the oldest event off.
    pub(super) fn handled(&mut self) -> Result<(), WalletError> {
        if self.pages.events.is_empty() {
            return Ok(());
        }
        self.write(Record { handled: true, ..Record::default() })
    }

    /// Remembers an entry; on the disk when it returns. Saying the same again writes nothing.
    pub(super) fn set(&mut self, hash: PaymentHash, entry: Entry) -> Result<(), WalletError> {
        if self.pages.entries.get(&hash) == Some(&entry) {
            return Ok(());
        }
        self.write(Record { entries: vec![(hash, entry)], ..Record::default() })
    }

    /// Changes only the state of a known entry.
    pub(super) fn set_state(&mut self, hash: PaymentHash, state: State) -> Result<(), WalletError> {
        match self.get(hash) {
            Some(entry) => self.set(hash, Entry { state, ..entry }),
            None => Ok(()),
        }
    }

    /// Takes in what the node says of a known hash, at `height`, and makes an event of a change that is one.
    /// Returns whether there is a new event.
    pub(super) fn see(&mut self, hash: PaymentHash, seen: Seen, height: u32) -> Result<bool, WalletError> {
        let Some(entry) = self.get(hash) else { return Ok(false) };
        let Some((next, event)) = entry.after(hash, seen, height) else { return Ok(false) };
        if event.is_some() && self.pages.events.len() >= REMOTE_EVENTS_MAX {
            // Nobody handles events: the change is seen again at the next look.
            return Err(WalletError::Busy);
        }
        let told = event.is_some();
        if next == entry && !told {
            return Ok(false);
        }
        // A height alone is not worth a write: it is only a lower bound, and an older one is lower.
        if !told && next == (Entry { open_height: next.open_height, ..entry }) {
            self.pages.entries.insert(hash, next);
            return Ok(false);
        }
        self.write(Record { entries: vec![(hash, next)], events: event.into_iter().collect(), handled: false })?;
        Ok(told)
    }

    fn write(&mut self, record: Record) -> Result<(), WalletError> {
        let bytes = serde_json::to_vec(&record).map_err(|error| WalletError::Bug(error.to_string()))?;
        self.file.append(&bytes).map_err(|error| WalletError::Disk(error.to_string()))?;
        self.pages.apply(record);
        Ok(())
    }
}

impl Entry {
    /// The entry after the node was looked at, and what the house must hear; `None` where nothing is learnt.
    fn after(self, hash: PaymentHash, seen: Seen, height: u32) -> Option<(Self, Option<Told>)> {
        match (self.state, seen) {
            (State::Gone, _) | (_, Seen::Unknown) => None,
            (State::Open, Seen::Open) => Some((Self { open_height: height.max(self.open_height), ..self }, None)),
            (State::Open, Seen::Held { amount, expiry_height }) => {
                let amount = amount.map_or(self.asked, |amount| amount.0);
                let deadline_height = self.deadline(expiry_height);
                let told = Told::Held { hash, amount, deadline_height };
                Some((Self { state: State::Held, amount, deadline_height, ..self }, Some(told)))
            }
            (
                State::Open | State::Held | State::Claiming | State::Cancelled | State::Ended,
                Seen::Settled { amount },
            ) => {
                // Money wins, whatever we thought: it is told, once.
                let amount = amount.map_or_else(|| self.amount.max(self.asked), |amount| amount.0);
                Some((Self { state: State::Settled, amount, ..self }, Some(Told::Settled { hash, amount })))
            }
            (State::Open | State::Held | State::Claiming, Seen::Cancelled) => {
                Some((Self { state: State::Ended, ..self }, None))
            }
            // A node that replays its HTLCs after a start may say open for a moment; the rest agrees.
            (State::Held | State::Claiming, Seen::Open | Seen::Held { .. })
            | (State::Cancelled | State::Ended, Seen::Open | Seen::Held { .. } | Seen::Cancelled)
            | (State::Settled, _) => None,
        }
    }

    /// When the payment is given back: before its HTLC could be taken back on the chain, which would cost the channel.
    fn deadline(&self, expiry_height: Option<u32>) -> u32 {
        // Not told: it came at the height it was last seen open at the earliest.
        let expiry = expiry_height.unwrap_or_else(|| self.open_height.saturating_add(self.final_cltv.into()));
        expiry.saturating_sub(REMOTE_FAIL_BACK_BLOCKS)
    }
}

impl Pages {
    fn apply(&mut self, record: Record) {
        self.records += 1;
        for (hash, entry) in record.entries {
            if entry.state == State::Gone {
                self.entries.remove(&hash);
            } else {
                self.entries.insert(hash, entry);
            }
        }
        self.events.extend(record.events);
        if record.handled {
            self.events.pop_front();
        }
    }

    /// Ended payments are the node's to remember; the newest are kept so that it is asked less.
    fn forget_old(&mut self) {
        let mut ended: Vec<u64> =
            self.entries.values().filter(|entry| !entry.state.is_live()).map(|entry| entry.expires_at).collect();
        if ended.len() <= REMOTE_ENDED_MAX {
            return;
        }
        ended.sort_unstable_by(|a, b| b.cmp(a));
        let oldest = ended[REMOTE_ENDED_MAX];
        self.entries.retain(|_, entry| entry.state.is_live() || entry.expires_at > oldest);
    }
}

fn read(path: &Path) -> Result<(RecordFile, Pages), RecordError> {
    let mut pages = Pages::default();
    let (file, _) = RecordFile::open(path, |bytes| {
        let record = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        pages.apply(record);
        Ok(())
    })?;
    Ok((file, pages))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: PaymentHash = PaymentHash([7; 32]);

    fn open() -> Entry {
        Entry {
            state: State::Open,
            hold: true,
            asked: 100_000,
            amount: 0,
            deadline_height: 0,
            final_cltv: 244,
            expires_at: 1_800_000_000,
            open_height: 500,
        }
    }

    fn held(expiry_height: Option<u32>) -> Seen {
        Seen::Held { amount: Some(Msat(100_000)), expiry_height }
    }

    #[test]
    fn a_change_is_an_event_once_and_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("book");
        {
            let mut book = Book::open(&path).unwrap();
            book.set(HASH, open()).unwrap();
            assert!(!book.see(HASH, Seen::Open, 501).unwrap());
            assert!(book.see(HASH, held(Some(745)), 501).unwrap());
            assert!(!book.see(HASH, held(Some(745)), 502).unwrap(), "the same again is no event");
        }
        let mut book = Book::open(&path).unwrap();
        let event = Event::Held { hash: HASH, amount: Msat(100_000), deadline_height: 727 };
        assert_eq!(book.event(), Some(event));
        book.handled().unwrap();
        assert_eq!(book.event(), None);
        book.set_state(HASH, State::Claiming).unwrap();
        assert!(book.see(HASH, Seen::Settled { amount: None }, 503).unwrap());
        assert!(!book.see(HASH, Seen::Settled { amount: None }, 503).unwrap());
        drop(book);
        let book = Book::open(&path).unwrap();
        assert_eq!(book.event(), Some(Event::Settled { hash: HASH, amount: Msat(100_000) }));
        assert_eq!(book.get(HASH).map(|entry| entry.state), Some(State::Settled));
    }

    #[test]
    fn a_node_that_tells_no_expiry_is_trusted_with_the_blocks_the_invoice_asked() {
        let dir = tempfile::tempdir().unwrap();
        let mut book = Book::open(&dir.path().join("book")).unwrap();
        book.set(HASH, open()).unwrap();
        book.see(HASH, Seen::Open, 510).unwrap();
        book.see(HASH, held(None), 530).unwrap();
        assert_eq!(book.get(HASH).map(|entry| entry.deadline_height), Some(510 + 244 - 18));
    }

    #[test]
    fn what_was_cancelled_and_paid_all_the_same_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut book = Book::open(&dir.path().join("book")).unwrap();
        book.set(HASH, Entry { state: State::Cancelled, ..open() }).unwrap();
        assert!(!book.see(HASH, Seen::Cancelled, 500).unwrap());
        assert!(book.see(HASH, Seen::Settled { amount: Some(Msat(5)) }, 500).unwrap());
        assert_eq!(book.event(), Some(Event::Settled { hash: HASH, amount: Msat(5) }));
    }

    #[test]
    fn the_file_is_written_anew_and_old_ends_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("book");
        let mut book = Book::open(&path).unwrap();
        for n in 0..200 {
            book.set(PaymentHash([n; 32]), open()).unwrap();
            book.set_state(PaymentHash([n; 32]), if n < 150 { State::Gone } else { State::Ended }).unwrap();
        }
        book.set(HASH, open()).unwrap();
        book.see(HASH, held(None), 500).unwrap();
        let event = book.event();
        let before = std::fs::metadata(&path).unwrap().len();
        drop(book);
        let book = Book::open(&path).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < before / 2, "the file was rewritten");
        assert_eq!(book.event(), event);
        assert_eq!(book.live().len(), 1);
        assert_eq!(book.get(PaymentHash([199; 32])).map(|entry| entry.state), Some(State::Ended));
    }
}
