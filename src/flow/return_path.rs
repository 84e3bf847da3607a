//! The reverse-path of our users' mail carries a keyed tag, so that real bounces are known from forged ones.
//!
//! ```text
//!   alice@satchel.test  ─▶  prvs=0DDDSSSSSS=alice@satchel.test
//!                                 │  └ HMAC-SHA256 over "0DDD" and the address, 24 bits, hex
//!                                 └ the day until which it counts, modulo 1000
//! ```
//! The form is that of BATV (draft-levine-smtp-batv), which mailing lists and other servers take off where they compare
//! senders. A mailbox too long for it is sent untagged: its bounces are priced like other mail.

use ring::hmac;
use store::UnixMs;

use crate::house::House;

/// What marks a tagged local part.
const MARK: &str = "prvs=";
/// Octets of `prvs=`, the tag and the `=` behind it.
const OVERHEAD: usize = 16;
/// RFC 5321 §4.5.3.1.1.
const LOCAL_PART_MAX: usize = 64;
/// Days a tag counts: longer than any server tries a mail.
const DAYS: i64 = 8;
/// Octets of the HMAC that are sent.
const MAC_BYTES: usize = 3;

/// The address as it goes out, when it fits.
pub fn tag(house: &House, address: &str, now: UnixMs) -> Option<String> {
    tagged(&house.keys.return_path(), address, now)
}

/// What a recipient address carries.
#[derive(Debug, PartialEq, Eq)]
pub enum Untagged<'a> {
    /// No tag.
    Plain,
    /// A tag that is ours and counts; the address without it.
    Ours(&'a str),
    /// A tag that is forged or too old; the address without it.
    Foreign(&'a str),
}

/// Takes the tag off an address of ours.
pub fn untag<'a>(house: &House, address: &'a str, now: UnixMs) -> Untagged<'a> {
    untagged(&house.keys.return_path(), address, now)
}

fn tagged(key: &hmac::Key, address: &str, now: UnixMs) -> Option<String> {
    let (local, _) = address.rsplit_once('@')?;
    // A quoted local part cannot take a prefix, and one that has a tag keeps it.
    if local.len() + OVERHEAD > LOCAL_PART_MAX || local.starts_with('"') || local.starts_with(MARK) {
        return None;
    }
    let day = (now.div_euclid(86_400_000) + DAYS).rem_euclid(1000);
    Some(format!("{MARK}{}={address}", stamp(key, day, address)))
}

fn untagged<'a>(key: &hmac::Key, address: &'a str, now: UnixMs) -> Untagged<'a> {
    // Servers on the way may have changed the case of the mark.
    let Some(rest) =
        address.get(..MARK.len()).filter(|mark| mark.eq_ignore_ascii_case(MARK)).map(|_| &address[MARK.len()..])
    else {
        return Untagged::Plain;
    };
    let Some((given, address)) = rest.split_once('=') else { return Untagged::Plain };
    let day = given.get(1..4).and_then(|day| day.parse::<i64>().ok());
    let left = day.map(|day| (day - now.div_euclid(86_400_000)).rem_euclid(1000));
    let counts = left.is_some_and(|left| left <= DAYS);
    let right = day.is_some_and(|day| {
        let expected = stamp(key, day, address);
        // Compared in one time, whatever differs.
        expected.len() == given.len()
            && expected.bytes().zip(given.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b.to_ascii_lowercase())) == 0
    });
    if counts && right { Untagged::Ours(address) } else { Untagged::Foreign(address) }
}

/// `0DDDSSSSSS`.
fn stamp(key: &hmac::Key, day: i64, address: &str) -> String {
    let day = format!("0{day:03}");
    let mac = hmac::sign(key, format!("{day}{}", address.to_lowercase()).as_bytes());
    format!("{day}{}", hex::encode(&mac.as_ref()[..MAC_BYTES]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    const NOW: i64 = 20_778 * DAY + 5000;
    const ALICE: &str = "alice@satchel.test";

    fn key() -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &[7; 32])
    }

    #[test]
    fn a_tag_counts_for_eight_days_and_for_its_address_only() {
        let tagged = tagged(&key(), ALICE, NOW).unwrap();
        assert_eq!(tagged.len(), ALICE.len() + OVERHEAD);
        for days in 0..=8 {
            assert_eq!(untagged(&key(), &tagged, NOW + days * DAY), Untagged::Ours(ALICE), "{days}");
        }
        for days in [9, 100, 990, -1] {
            assert_eq!(untagged(&key(), &tagged, NOW + days * DAY), Untagged::Foreign(ALICE), "{days}");
        }
        let shouted = tagged.to_uppercase();
        assert_eq!(
            untagged(&key(), &shouted, NOW),
            Untagged::Ours("ALICE@SATCHEL.TEST"),
            "servers may change the case"
        );
        let eve = tagged.replace("alice", "eve");
        assert_eq!(untagged(&key(), &eve, NOW), Untagged::Foreign("eve@satchel.test"));
        assert_eq!(untagged(&hmac::Key::new(hmac::HMAC_SHA256, &[8; 32]), &tagged, NOW), Untagged::Foreign(ALICE));
    }

    #[test]
    fn what_is_no_tag_is_left_alone_or_forged() {
        assert_eq!(untagged(&key(), ALICE, NOW), Untagged::Plain);
        assert_eq!(untagged(&key(), "prvs=alice@satchel.test", NOW), Untagged::Plain);
        for forged in ["prvs==alice@satchel.test", "prvs=0x=alice@satchel.test", "prvs=0786aaaaaa=alice@satchel.test"] {
            assert_eq!(untagged(&key(), forged, NOW), Untagged::Foreign(ALICE), "{forged}");
        }
    }

    #[test]
    fn a_local_part_stays_within_64_octets() {
        let of = |octets: usize| format!("{}@satchel.test", "a".repeat(octets));
        let longest = tagged(&key(), &of(48), NOW).unwrap();
        assert_eq!(longest.split_once('@').unwrap().0.len(), 64);
        assert_eq!(tagged(&key(), &of(49), NOW), None);
        assert_eq!(tagged(&key(), "\"a b\"@satchel.test", NOW), None);
        assert_eq!(tagged(&key(), &longest, NOW), None, "once is enough");
    }
}
