//! ENVELOPE, BODY and BODYSTRUCTURE of any mail are well formed, and its summary survives being kept.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|mail: &[u8]| converter::fuzzing::summary(mail));
