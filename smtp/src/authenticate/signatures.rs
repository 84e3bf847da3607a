//! DKIM signatures before and after they are verified: how many, and what a pass is worth.

use mail_auth::common::crypto::Algorithm;
use mail_auth::{DkimOutput, DkimResult};
use std::borrow::Cow;

const FIELD: &[u8] = b"DKIM-Signature:";

/// The message with no more than `most` DKIM-Signature fields: each one costs a DNS answer and, by its own `l=`, a hash
/// of the whole body. Only an attacker has more, so only an attacker causes the copy.
pub(super) fn without_surplus(message: &[u8], most: usize) -> Cow<'_, [u8]> {
    let mut seen = 0;
    let mut cuts: Vec<(usize, usize)> = Vec::new();
    let mut start = 0;
    let mut in_surplus = false;
    while start < message.len() {
        let end = memchr::memchr(b'\n', &message[start..]).map_or(message.len(), |found| start + found + 1);
        let line = &message[start..end];
        match line.first() {
            Some(b'\r' | b'\n') => break,
            Some(b' ' | b'\t') => {}
            _ => {
                let name = line.iter().copied().filter(|octet| !matches!(octet, b' ' | b'\t')).take(FIELD.len());
                let is_signature = name.map(|octet| octet.to_ascii_lowercase()).eq(FIELD.to_ascii_lowercase());
                seen += usize::from(is_signature);
                in_surplus = is_signature && seen > most;
            }
        }
        if in_surplus {
            cuts.push((start, end));
        }
        start = end;
    }
    if cuts.is_empty() {
        return Cow::Borrowed(message);
    }
    let mut kept = Vec::with_capacity(message.len());
    let mut from = 0;
    for (start, end) in cuts {
        kept.extend_from_slice(&message[from..start]);
        from = end;
    }
    kept.extend_from_slice(&message[from..]);
    Cow::Owned(kept)
}

/// Whether a pass says anything about the author: From is signed (RFC 6376 §5.4), and not with SHA-1 (RFC 8301).
pub(super) fn is_sound(output: &DkimOutput<'_>) -> bool {
    *output.result() == DkimResult::Pass
        && output.signature().is_some_and(|signature| {
            signature.a != Algorithm::RsaSha1 && signature.h.iter().any(|name| name.eq_ignore_ascii_case("from"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surplus_signatures_are_left_out_with_their_folds() {
        let message = b"DKIM-Signature: a;\r\n b\r\nFrom: x\r\ndkim-signature : c\r\n\tc\r\nTo: y\r\n\r\nDKIM-Signature: body\r\n";
        assert!(matches!(without_surplus(message, 2), Cow::Borrowed(_)));
        let kept = without_surplus(message, 1);
        assert_eq!(
            String::from_utf8_lossy(&kept),
            "DKIM-Signature: a;\r\n b\r\nFrom: x\r\nTo: y\r\n\r\nDKIM-Signature: body\r\n"
        );
    }
}
