//! A mail that was split comes back octet for octet, whole and in ranges, whatever it is.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u16, [u16; 2], &[u8])| {
    let (attachment, skeleton, [start, length], mail) = input;
    let start = usize::from(start) % (mail.len() + 1);
    let ranges = [(0, mail.len()), (start, start + usize::from(length))];
    converter::fuzzing::round_trip(mail, u64::from(attachment) + 1, usize::from(skeleton), &ranges);
});
