//! What `fuzz/` drives: the checks of this crate's own tests, for any octets.

#[path = "tests/support.rs"]
#[allow(dead_code, reason = "its chance is for tests that choose by themselves")]
mod support;

/// Splits, joins and reads ranges of a mail, with leaves of `attachment` octets cut out.
///
/// # Panics
/// When an octet does not come back.
pub fn round_trip(message: &[u8], attachment: u64, skeleton: usize, ranges: &[(usize, usize)]) {
    if let Err(error) = support::round_trip(message, support::small(attachment, skeleton), ranges) {
        panic!("{error}");
    }
}

/// Summarises a mail: what IMAP shows of it is well formed, survives being kept, and is the same of a mail in windows.
///
/// # Panics
/// When it is not.
pub fn summary(message: &[u8]) {
    if let Err(error) = support::check_summary(message) {
        panic!("{error}");
    }
    if let Err(error) = support::check_windows(message, support::small(50, 1000), 61) {
        panic!("{error}");
    }
}
