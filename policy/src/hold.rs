//! When a hold ends, and whether a payment leaves time to hold it for a human.
//!
//! Two clocks run: the wall's (`hold_until`) and the chain's (`deadline_height`, where the node fails the
//! payment back by itself). Whichever comes first ends the hold.

use crate::limits::{
    CHAIN_FRESH_MS, FAIL_BACK_BLOCKS, FINAL_CLTV_DEFAULT, FINAL_CLTV_MAX, FINAL_CLTV_MIN, MARGIN_BLOCKS,
};

/// Final CLTV asked for, and the window that must be left when the payment arrives: the blocks that come
/// within the promised hold 999 times in 1000 (6, 12, 24 and 48 hours; Poisson, 6 an hour), and our margin.
/// What lies between is for blocks that come while the payment travels.
const WINDOWS: [(u16, u32); 4] = [
    (FINAL_CLTV_MIN, 56 + MARGIN_BLOCKS),
    (153, 100 + MARGIN_BLOCKS),
    (FINAL_CLTV_DEFAULT, 182 + MARGIN_BLOCKS),
    (FINAL_CLTV_MAX, 342 + MARGIN_BLOCKS),
];

/// Blocks that must lie between the chain's height and the deadline when a payment arrives. Less, and it is
/// failed back at once ([`lnmp::CancelReason::ShortWindow`]): its payer padded nothing, or was far behind.
pub fn window_min(final_cltv: u16) -> u32 {
    WINDOWS.iter().rev().find(|(cltv, _)| *cltv <= final_cltv).map_or(WINDOWS[0].1, |(_, window)| *window)
}

/// Whether a payment that arrives at `height` can be held.
pub fn window_is_enough(deadline_height: u32, height: u32, window_min: u32) -> bool {
    deadline_height.saturating_sub(height) >= window_min
}

/// Whether the hold is over: the wall clock passed `hold_until`, or the chain is within [`MARGIN_BLOCKS`] of
/// the deadline. Times in milliseconds since 1970.
pub fn hold_is_over(now: i64, hold_until: i64, height: u32, deadline_height: u32) -> bool {
    now >= hold_until || height.saturating_add(MARGIN_BLOCKS) >= deadline_height
}

/// Whether a claim may go to the node: the chain was asked within a minute and the node knows its tip.
pub fn chain_is_fresh(since_last_poll_ms: i64, node_height: u32, source_height: u32) -> bool {
    since_last_poll_ms < CHAIN_FRESH_MS && node_height == source_height
}

const _: () = {
    let mut i = 0;
    while i < WINDOWS.len() {
        assert!(WINDOWS[i].0 as u32 - FAIL_BACK_BLOCKS >= WINDOWS[i].1, "a payer who pads nothing can be held");
        i += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_grows_with_the_cltv_and_a_tight_payer_fits_in_it() {
        let table =
            [(0, 62), (105, 62), (152, 62), (153, 106), (243, 106), (244, 188), (417, 188), (418, 348), (2016, 348)];
        for (cltv, window) in table {
            assert_eq!(window_min(cltv), window, "{cltv}");
        }
        for cltv in FINAL_CLTV_MIN..=FINAL_CLTV_MAX {
            assert!(window_is_enough(1000 + u32::from(cltv) - FAIL_BACK_BLOCKS, 1000, window_min(cltv)), "{cltv}");
        }
    }

    #[test]
    fn whichever_clock_comes_first_ends_the_hold() {
        let table = [
            // now, hold_until, height, deadline -> over
            (0, 1000, 100, 305, false),
            (999, 1000, 100, 305, false),
            (1000, 1000, 100, 305, true),
            (0, 1000, 298, 305, false),
            (0, 1000, 299, 305, true),
            (0, 1000, 305, 305, true),
            (0, 1000, u32::MAX, 305, true),
            (2000, 1000, u32::MAX, 305, true),
            // The node is away and its height not known: the wall clock alone decides.
            (999, 1000, 0, 305, false),
        ];
        for (now, until, height, deadline, over) in table {
            assert_eq!(hold_is_over(now, until, height, deadline), over, "{now} {height}");
        }
    }

    #[test]
    fn a_short_window_is_refused_at_its_last_block() {
        assert!(window_is_enough(300, 112, 188));
        assert!(!window_is_enough(300, 113, 188));
        assert!(!window_is_enough(300, 400, 188));
    }

    #[test]
    fn the_chain_is_fresh_when_asked_within_a_minute_and_caught_up() {
        assert!(chain_is_fresh(59_999, 7, 7));
        assert!(!chain_is_fresh(60_000, 7, 7));
        assert!(!chain_is_fresh(0, 6, 7));
        assert!(!chain_is_fresh(0, 8, 7), "a source that fell back is not to be trusted either");
    }
}
