//! Octets are cut into the same commands however they arrive, and each parses or is refused in words.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let step = octets.first().map_or(1, |&octet| usize::from(octet % 16) + 1);
    let whole = imap::fuzzing::commands(octets, usize::MAX);
    assert_eq!(whole, imap::fuzzing::commands(octets, step), "in steps of {step}");
});
