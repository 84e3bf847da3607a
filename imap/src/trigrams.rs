//! What a message cannot hold: its trigrams, hashed into a few bits, made when it arrives and sealed beside it.
//!
//! SEARCH finds any substring, so there are no words to index. But a text that holds a string holds each three octets
//! of it in a row: a message that lacks one of them need not be read. The filter errs on one side only: it says
//! *cannot* when that is certain, and otherwise the message is read.
//!
//! Texts and strings are compared as [`casemap`] makes them, and so are trigrams.

use std::sync::Arc;

use crate::casemap::casemap;
use crate::limits::{TRIGRAM_BYTES_MAX, TRIGRAM_BYTES_MIN};

/// First octet of a filter: changes with the hash, and with what of a mail counts as its text.
const VERSION: u8 = 1;

/// The filter of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trigrams(Arc<[u8]>);

impl Trigrams {
    /// `None` for octets of another version: such a message is read.
    pub(crate) fn read(octets: Arc<[u8]>) -> Option<Self> {
        (octets.len() > 1 && octets[0] == VERSION).then_some(Self(octets))
    }

    /// Octets in memory, about.
    pub(crate) fn footprint(&self) -> usize {
        self.0.len() + 64
    }

    /// Whether all of [`of_needle`] may be there.
    pub(crate) fn may_hold(&self, needle: &[u32]) -> bool {
        let bits = &self.0[1..];
        needle.iter().all(|&hash| {
            let at = place(hash, bits.len());
            bits[at / 8] & (1 << (at % 8)) != 0
        })
    }
}

/// A filter being made.
#[derive(Debug)]
pub(crate) struct Making {
    octets: Vec<u8>,
    /// The last three octets of the text that is being added, and how many it had.
    window: u32,
    added: usize,
}

impl Making {
    /// For a message of so many octets. Only its size decides how large the filter is: that lies in the clear anyway,
    /// and how rich its text is does not.
    pub(crate) fn new(message: usize) -> Self {
        let size = (message.next_power_of_two() / 16).clamp(TRIGRAM_BYTES_MIN, TRIGRAM_BYTES_MAX);
        // With the length that sealing adds, exactly a power of two: padding adds nothing (protocol.md §7.3).
        let mut octets = vec![0; size - 4];
        octets[0] = VERSION;
        Self { octets, window: 0, added: 0 }
    }

    /// Adds what stands in `text`.
    pub(crate) fn add(&mut self, text: &str) {
        self.added = 0;
        self.go_on(text);
    }

    /// Adds more of the text that was added last; it was cut between lines.
    pub(crate) fn go_on(&mut self, text: &str) {
        if text.is_ascii() {
            self.add_octets(text.bytes().map(|octet| octet.to_ascii_uppercase()));
        } else {
            self.add_octets(casemap(text).bytes());
        }
    }

    fn add_octets(&mut self, octets: impl Iterator<Item = u8>) {
        let bits = &mut self.octets[1..];
        let size = bits.len();
        let (mut window, mut added) = (self.window, self.added);
        for octet in octets {
            window = slide(window, octet);
            if added >= 2 {
                let place = place(hash(window), size);
                bits[place / 8] |= 1 << (place % 8);
            }
            added += 1;
        }
        (self.window, self.added) = (window, added);
    }

    /// Rules out nothing: the message has text that was not looked at.
    pub(crate) fn give_up(&mut self) {
        self.octets[1..].fill(u8::MAX);
    }

    /// The filter, to be sealed.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.octets
    }
}

/// The hashes of a string that was made by [`casemap`]; none of one that is too short to rule anything out.
pub(crate) fn of_needle(text: &str) -> Vec<u32> {
    let mut hashes = Vec::with_capacity(text.len().saturating_sub(2));
    let mut window = 0;
    for (at, octet) in text.bytes().enumerate() {
        window = slide(window, octet);
        if at >= 2 && !hashes.contains(&hash(window)) && hashes.len() < NEEDLE_TRIGRAMS {
            hashes.push(hash(window));
        }
    }
    hashes
}

/// Trigrams of a string that are looked at: more rule out nothing that these do not.
const NEEDLE_TRIGRAMS: usize = 64;

/// The last three octets.
fn slide(window: u32, octet: u8) -> u32 {
    (window << 8 | u32::from(octet)) & 0x00ff_ffff
}

/// Spreads trigrams, most of which are letters, over 32 bits (Knuth's multiplicative hash).
fn hash(trigram: u32) -> u32 {
    trigram.wrapping_mul(0x9e37_79b1)
}

/// Which of the bits of so many octets.
fn place(hash: u32, octets: usize) -> usize {
    ((u64::from(hash) * (octets as u64 * 8)) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(size: usize, texts: &[&str]) -> Trigrams {
        let mut making = Making::new(size);
        texts.iter().for_each(|text| making.add(text));
        Trigrams::read(making.finish().into()).unwrap()
    }

    fn holds(filter: &Trigrams, needle: &str) -> bool {
        filter.may_hold(&of_needle(&casemap(needle)))
    }

    #[test]
    fn substrings_of_any_case_stay_and_strangers_go() {
        let filter = filter(4096, &["The quick brown fox", "jumps over", "Gr\u{fc}\u{df}e, \u{4e2d}\u{6587}"]);
        for there in ["quick", "QUICK BR", "ck b", "gr\u{dc}\u{df}E", "gru", "\u{4e2d}", "ab", ""] {
            assert!(holds(&filter, there), "{there}");
        }
        for absent in ["zzqx-not-there", "fox jumps", "quack"] {
            assert!(!holds(&filter, absent), "{absent}");
        }
    }

    #[test]
    fn a_text_that_comes_in_pieces_is_one_text() {
        let mut pieces = Making::new(4096);
        for (at, piece) in ["one\n", "t", "\nw\u{f6}\n", "o"].into_iter().enumerate() {
            if at == 0 { pieces.add(piece) } else { pieces.go_on(piece) }
        }
        let mut whole = Making::new(4096);
        whole.add("one\nt\nw\u{f6}\no");
        assert_eq!(pieces.finish(), whole.finish());
        let mut given_up = Making::new(4096);
        given_up.give_up();
        assert!(holds(&Trigrams::read(given_up.finish().into()).unwrap(), "anything"));
    }

    #[test]
    fn the_size_of_a_filter_is_a_matter_of_the_message_s_size_alone() {
        for (message, octets) in
            [(0, 28), (512, 28), (4096, 252), (4097, 508), (5000, 508), (1 << 16, 2044), (1 << 30, 2044)]
        {
            assert_eq!(Making::new(message).finish().len(), octets, "{message}");
        }
        assert!(Trigrams::read(vec![2, 0, 0].into()).is_none() && Trigrams::read(vec![VERSION].into()).is_none());
    }

    #[test]
    fn few_strangers_pass() {
        // 4 KiB of letters by chance have more trigrams than any prose.
        let mut state = 1_u32;
        let mut letters = |count: usize| -> String {
            let letter = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                char::from(b'a' + (state >> 24) as u8 % 26)
            };
            (0..count).map(letter).collect()
        };
        let filter = filter(4600, &[&letters(4096)]);
        let passed = (0..2000).filter(|_| holds(&filter, &letters(8))).count();
        assert!(passed < 200, "{passed} of 2000");
    }
}
