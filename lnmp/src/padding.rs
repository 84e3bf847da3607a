//! Hides a plaintext's exact length (protocol.md §7.3).
//!
//! `plaintext ‖ zero octets ‖ u32 BE length of the plaintext`. The length stands at the end, so that removing
//! the padding is a truncation and no copy.

/// Octets of the length field.
const LENGTH_BYTES: usize = 4;
/// Up to this size the buckets are NIP-44's: an eighth of the next power of two.
const BUCKETS_END: usize = 64 * 1024;
/// Above it, sizes round up to whole pages.
const PAGE: usize = 4096;

/// How long `plaintext_bytes` become.
pub(crate) fn padded_len(plaintext_bytes: usize) -> usize {
    let wanted = plaintext_bytes + LENGTH_BYTES;
    if wanted > BUCKETS_END {
        return wanted.next_multiple_of(PAGE);
    }
    if wanted <= 32 {
        return 32;
    }
    let bucket = (wanted.next_power_of_two() / 8).max(32);
    wanted.next_multiple_of(bucket)
}

/// Appends `plaintext`, padded, to `out`.
pub(crate) fn pad_onto(out: &mut Vec<u8>, plaintext: &[u8]) {
    let end = out.len() + padded_len(plaintext.len());
    out.extend_from_slice(plaintext);
    out.resize(end - LENGTH_BYTES, 0);
    let length = u32::try_from(plaintext.len()).expect("PLAINTEXT_BYTES_MAX fits 32 bits");
    out.extend_from_slice(&length.to_be_bytes());
}

/// Takes the padding off; `None` when it is not exactly what [`pad_onto`] would have made.
pub(crate) fn unpad(mut padded: Vec<u8>) -> Option<Vec<u8>> {
    let (rest, length) = padded.split_last_chunk::<LENGTH_BYTES>()?;
    let length = u32::from_be_bytes(*length) as usize;
    let zeros = rest.get(length..)?;
    if padded_len(length) != padded.len() || zeros.iter().any(|&octet| octet != 0) {
        return None;
    }
    padded.truncate(length);
    Some(padded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_comes_off_as_it_went_on_at_every_boundary() {
        for length in (0..700).chain([4092, 4093, 65_531, 65_532, 65_533, 69_628, 69_629, 200_000]) {
            let plaintext = vec![0xab; length];
            let mut padded = vec![1, 2, 3];
            pad_onto(&mut padded, &plaintext);
            let padded = padded.split_off(3);
            assert_eq!(padded.len(), padded_len(length));
            assert!(padded.len() >= length + 4);
            assert_eq!(unpad(padded), Some(plaintext), "{length}");
        }
    }

    #[test]
    fn sizes_are_those_of_nip_44_and_then_whole_pages() {
        // With the four octets of length included.
        for (wanted, padded) in
            [(5, 32), (32, 32), (33, 64), (64, 64), (65, 96), (250, 256), (320, 320), (515, 640), (1024, 1024)]
        {
            assert_eq!(padded_len(wanted - 4), padded, "{wanted}");
        }
        assert_eq!(padded_len(65_536 - 4), 65_536);
        assert_eq!(padded_len(65_537 - 4), 69_632);
    }

    #[test]
    fn any_other_padding_is_refused() {
        let mut padded = Vec::new();
        pad_onto(&mut padded, b"hello");
        for at in 5..padded.len() {
            let mut changed = padded.clone();
            changed[at] ^= 1;
            assert_eq!(unpad(changed), None, "octet {at}");
        }
        assert_eq!(unpad(Vec::new()), None);
        assert_eq!(unpad(vec![255; 32]), None);
        assert_eq!(unpad(vec![0; 64]), None, "a longer padding than the size asks for");
    }
}
