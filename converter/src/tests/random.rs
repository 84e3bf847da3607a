//! Ten thousand made-up mails, most of them broken somewhere.

use proptest::prelude::*;

use super::support::{Chance, check_summary, check_windows, round_trip, small};
use crate::{Pick, Summary, facts, header_fields, strip_forged};

const MAILS: u64 = 10_000;

fn line(chance: &mut Chance, out: &mut Vec<u8>) {
    for _ in 0..chance.below(60) {
        out.push(match chance.below(40) {
            0 => 0xc3,
            1 if chance.one_in(5) => 0,
            2 if chance.one_in(5) => b'\r',
            3 => b'-',
            _ => b' ' + chance.below(95) as u8,
        });
    }
}

/// Base64 as it is, and as it goes wrong.
fn base64(chance: &mut Chance, ending: &[u8], out: &mut Vec<u8>) {
    const CHARS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let width = *chance.pick(&[&4, &60, &64, &72, &76, &76, &76, &75, &1000]);
    let canonical = chance.below(3) > 0;
    let rows = chance.below(12);
    for row in 0..=rows {
        let last = row == rows;
        let length = if last { chance.below(width / 4 + 1) * 4 } else { width };
        for _ in 0..length {
            out.push(CHARS[chance.below(64)]);
        }
        if last && length > 0 && chance.below(3) > 0 {
            // A proper end: padding over zero bits.
            let padding = 1 + chance.below(2);
            let at = out.len();
            out[at - padding..].fill(b'=');
            out[at - padding - 1] = if padding == 1 { b'E' } else { b'Q' };
        }
        if !canonical && chance.one_in(6) {
            match chance.below(5) {
                0 => out.push(b' '),
                1 => out.extend_from_slice(b"=="),
                2 => out.push(b'!'),
                3 => out.extend_from_slice(b"\n"),
                _ => {
                    out.pop();
                }
            }
        }
        if !last || chance.one_in(2) {
            out.extend_from_slice(ending);
        }
    }
    if chance.one_in(8) {
        out.extend_from_slice(b"\r\n___\r\nfooter\r\n");
    }
}

fn part(chance: &mut Chance, depth: usize, ending: &[u8], out: &mut Vec<u8>) {
    let end = |out: &mut Vec<u8>, chance: &mut Chance| {
        let odd: &[u8] = if chance.one_in(50) { b"\n" } else { ending };
        out.extend_from_slice(odd);
    };
    let kind = if depth > 5 { chance.below(4) } else { chance.below(8) };
    let boundary = format!("b{}{}", if chance.one_in(4) { 0 } else { depth }, chance.pick(&["", "", "x", "--"]));
    for _ in 0..chance.below(3) {
        out.extend_from_slice(chance.pick(&[
            &b"Subject: x"[..],
            b"From: a@b (c), \"q\" <d@e>",
            b"Content-ID: <x>",
            b"no colon",
            b"X: \xff\0",
            b"Content-Disposition: attachment; filename=\"a.b\"",
            b"To: g: a, b;",
            b"Content-Language: de, en",
            b" fold",
            b"Date: 1 Jan 2020 00:00:00 +0000",
            b"Content-Transfer-Encoding: 8bit",
            b"LNMP-X: 1",
        ]));
        end(out, chance);
    }
    match kind {
        0 | 1 => {
            out.extend_from_slice(b"Content-Transfer-Encoding: base64");
            end(out, chance);
            end(out, chance);
            base64(chance, ending, out);
        }
        2 | 3 => {
            if !chance.one_in(5) {
                end(out, chance);
            }
            for _ in 0..chance.below(15) {
                line(chance, out);
                end(out, chance);
            }
        }
        4 => {
            out.extend_from_slice(b"Content-Type: message/rfc822");
            end(out, chance);
            end(out, chance);
            part(chance, depth + 1, ending, out);
        }
        _ => {
            out.extend_from_slice(b"Content-Type: multipart/");
            out.extend_from_slice(chance.pick(&[&b"mixed"[..], b"digest", b"alternative"]));
            if !chance.one_in(10) {
                out.extend_from_slice(format!("; boundary=\"{boundary}\"").as_bytes());
            }
            end(out, chance);
            end(out, chance);
            if chance.one_in(3) {
                line(chance, out);
                end(out, chance);
            }
            for _ in 0..chance.below(4) {
                out.extend_from_slice(format!("--{boundary}").as_bytes());
                end(out, chance);
                part(chance, depth + 1, ending, out);
                end(out, chance);
            }
            if !chance.one_in(6) {
                out.extend_from_slice(format!("--{boundary}--").as_bytes());
                end(out, chance);
            }
            if chance.one_in(4) {
                line(chance, out);
            }
        }
    }
}

fn mail(seed: u64) -> Vec<u8> {
    let chance = &mut Chance(seed);
    let mut out = Vec::new();
    let ending: &[u8] = if chance.one_in(4) { b"\n" } else { b"\r\n" };
    part(chance, 0, ending, &mut out);
    if chance.one_in(10) {
        out.truncate(chance.below(out.len() + 1));
    }
    out
}

#[test]
fn ten_thousand_random_mails_come_back_byte_for_byte() {
    let mut cuts = 0;
    let mut largest = 0;
    for seed in 0..MAILS {
        let message = mail(seed);
        largest = largest.max(message.len());
        let chance = &mut Chance(!seed);
        let size = message.len();
        let ranges: Vec<_> = (0..6).map(|_| (chance.below(size + 2), chance.below(size + 2))).collect();
        let limits = small(1 + chance.below(120) as u64, 200 + chance.below(2000));
        match round_trip(&message, limits, &ranges) {
            Ok(count) => cuts += count,
            Err(error) => panic!("seed {seed}: {error}"),
        }
        if let Err(error) = check_summary(&message) {
            panic!("seed {seed}: {error}");
        }
        if let Err(error) = check_windows(&message, limits, 1 + chance.below(100)) {
            panic!("seed {seed}: {error}");
        }
        facts(&message);
        header_fields(&message, &["from", "lnmp-x"], Pick::Others);
        strip_forged(&message, "x", &|_, occurrence| occurrence > 0);
    }
    println!("{cuts} cuts, the largest mail {largest} octets");
    assert!(cuts > MAILS as usize, "hardly anything was cut");
}

#[test]
fn a_mail_is_the_same_wherever_its_windows_end() {
    for seed in 0..60 {
        let message = mail(seed);
        // A window of every size ends, sooner or later, at every octet.
        for bytes in 1..message.len().min(300) {
            if let Err(error) = check_windows(&message, small(30, 2000), bytes) {
                panic!("seed {seed}: {error}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn any_octets_are_a_mail(message in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(round_trip(&message, small(5, 100), &[(0, 20), (7, 300)]).is_ok());
        check_summary(&message).map_err(TestCaseError::fail)?;
        for bytes in [1, 2, 3, 50] {
            check_windows(&message, small(5, 100), bytes).map_err(TestCaseError::fail)?;
        }
        facts(&message);
    }

    #[test]
    fn any_octets_decode_to_a_summary_or_an_error(octets in proptest::collection::vec(any::<u8>(), 0..200), flip in any::<u64>()) {
        let _ = Summary::decode(&octets);
        // Nearly a summary: one octet of a real one changed, or its end missing.
        let mut near = Summary::of(&mail(flip % 500)).encode();
        let at = flip as usize % near.len();
        near[at] = near[at].wrapping_add((flip >> 32) as u8 | 1);
        if let Ok(summary) = Summary::decode(&near) {
            for path in [&[1][..], &[1, 1], &[2, 1, 1], &[u32::MAX]] {
                for kind in [crate::SectionKind::Whole, crate::SectionKind::Header, crate::SectionKind::Text, crate::SectionKind::Mime] {
                    let _ = summary.section(path, kind);
                }
            }
        }
        near.truncate(at);
        prop_assert!(Summary::decode(&near).is_err());
    }
}
