//! When a hold ends, and whether a payment leaves time to hold it for a human.
//!
//! Two clocks run: the wall's (`hold_until`) and the chain's (`deadline_height`, where the node fails the
//! payment back by itself). Whichever comes first ends the hold, the chain's [`MARGIN_BLOCKS`] early.

use lnmp::HoldKind;

use crate::limits::{
    FAIL_BACK_BLOCKS, FINAL_CLTV_DEFAULT, FINAL_CLTV_MAX, FINAL_CLTV_MIN, MARGIN_BLOCKS, VOUCHER_FINAL_CLTV,
    VOUCHER_MS_MAX,
};

/// Final CLTV asked for, and the window that must be left when the payment arrives: the blocks that come
/// within the promised hold 999 times in 1000 (6, 12, 24 and 48 hours; Poisson, 6 an hour), and our margin.
/// What lies between is for blocks that come while the payment travels.
const WINDOWS: [(u16, u32, i64); 4] = [
    (FINAL_CLTV_MIN, 56 + MARGIN_BLOCKS, 6 * HOUR_MS),
    (153, 100 + MARGIN_BLOCKS, 12 * HOUR_MS),
    (FINAL_CLTV_DEFAULT, 182 + MARGIN_BLOCKS, 24 * HOUR_MS),
    (FINAL_CLTV_MAX, 342 + MARGIN_BLOCKS, 48 * HOUR_MS),
];

const HOUR_MS: i64 = 60 * 60 * 1000;

/// Blocks that must lie between the chain's height and the deadline when a payment arrives. Less, and it is
/// failed back at once ([`lnmp::CancelReason::ShortWindow`]): its payer padded nothing, or was far behind.
pub fn window_min(final_cltv: u16) -> u32 {
    window(final_cltv).1
}

/// How long a recipient has to answer: what the operator chose, but never longer than the blocks last. Escrow runs by
/// the wall clock alone.
pub fn hold_ms(kind: HoldKind, chosen_ms: i64, final_cltv: u16) -> i64 {
    match kind {
        HoldKind::Htlc => chosen_ms.min(window(final_cltv).2),
        HoldKind::Escrow => chosen_ms,
    }
}

/// How long a recipient has to answer a mail that a voucher paid for, where that may have waited `waits_ms` for it: both
/// together are no longer than the blocks last.
pub fn voucher_hold_ms(kind: HoldKind, chosen_ms: i64, waits_ms: i64) -> i64 {
    match kind {
        HoldKind::Htlc => chosen_ms.min(window(VOUCHER_FINAL_CLTV).2.saturating_sub(waits_ms)),
        HoldKind::Escrow => chosen_ms,
    }
}

fn window(final_cltv: u16) -> (u16, u32, i64) {
    WINDOWS.iter().rev().find(|(cltv, ..)| *cltv <= final_cltv).copied().unwrap_or(WINDOWS[0])
}

const _: () = {
    let mut i = 0;
    while i < WINDOWS.len() {
        assert!(WINDOWS[i].0 as u32 - FAIL_BACK_BLOCKS >= WINDOWS[i].1, "a payer who pads nothing can be held");
        i += 1;
    }
};

const _: () = assert!(WINDOWS[3].0 == VOUCHER_FINAL_CLTV && 2 * VOUCHER_MS_MAX <= WINDOWS[3].2, "a day, and a day");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voucher_and_its_mail_together_last_no_longer_than_the_blocks() {
        let (htlc, escrow) = (HoldKind::Htlc, HoldKind::Escrow);
        let table = [(htlc, 24, 24, 24), (htlc, 48, 24, 24), (htlc, 48, 6, 42), (htlc, 6, 24, 6), (escrow, 72, 24, 72)];
        for (kind, chosen, waits, hours) in table {
            assert_eq!(voucher_hold_ms(kind, chosen * HOUR_MS, waits * HOUR_MS), hours * HOUR_MS);
        }
    }

    #[test]
    fn a_hold_is_never_promised_longer_than_its_blocks_last() {
        let table = [(105, 6), (152, 6), (153, 12), (244, 24), (417, 24), (418, 48)];
        for (cltv, hours) in table {
            assert_eq!(hold_ms(HoldKind::Htlc, 1000 * HOUR_MS, cltv), hours * HOUR_MS, "{cltv}");
            assert_eq!(hold_ms(HoldKind::Htlc, HOUR_MS, cltv), HOUR_MS);
            assert_eq!(hold_ms(HoldKind::Escrow, 1000 * HOUR_MS, cltv), 1000 * HOUR_MS);
        }
    }

    #[test]
    fn the_window_grows_with_the_cltv_and_a_tight_payer_fits_in_it() {
        let table =
            [(0, 62), (105, 62), (152, 62), (153, 106), (243, 106), (244, 188), (417, 188), (418, 348), (2016, 348)];
        for (cltv, window) in table {
            assert_eq!(window_min(cltv), window, "{cltv}");
        }
        for cltv in FINAL_CLTV_MIN..=FINAL_CLTV_MAX {
            assert!(u32::from(cltv) - FAIL_BACK_BLOCKS >= window_min(cltv), "{cltv}");
        }
    }
}
