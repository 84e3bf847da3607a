//! The rules: who pays what, who is asked for it, when a hold ends, and what a user's act means.
//!
//! Stands: rules. Uses the words of [`lnmp`]; used by the house, and through it inside the store's
//! transactions. Pure functions over plain values: no clock, no chance, no input or output.
//!
//! ```text
//!   mail arrives     relation ──▶ first_match, allows ──▶ price ──▶ ask ──▶ within_limits
//!   a quote is made  hold_kind, hold_ms        payment arrives  window_min
//!   the user acts    meaning (with a gate), meaning_without_gate
//! ```
//!
//! Names to know: [`relation()`] and [`Known`], [`first_match`] and [`Arriving`], [`allows`], [`price()`] and [`Asked`], [`ask()`] and [`AskEvidence`],
//! [`within_limits`], [`hold_kind`], [`window_min`], [`meaning()`].
//!
//! Promises. Every function is total: any input has an answer, none panics.
//! Absent on purpose: who stores, who sends, who moves money.
//!
//! ```
//! use lnmp::{Msat, Prices, Relation};
//!
//! let asked = policy::price(Relation::Stranger, &Prices::default(), 0);
//! assert_eq!(asked.price, Msat(100_000));
//! assert_eq!(policy::price(Relation::Friend, &Prices::default(), 0).price, Msat::ZERO);
//! ```

pub mod allow;
pub mod ask;
pub mod filter;
pub mod hold;
pub mod limits;
pub mod meaning;
pub mod price;
pub mod quoting;
pub mod relation;

pub use allow::{Vouched, allows};
pub use ask::{Ask, AskCounts, AskEvidence, DkimEvidence, Refusal, ask, within_limits};
pub use filter::{Arriving, first_match};
pub use hold::{hold_ms, voucher_hold_ms, window_min};
pub use limits::{
    FAIL_BACK_BLOCKS, FINAL_CLTV_DEFAULT, FINAL_CLTV_MAX, FINAL_CLTV_MIN, HOLD_MS_DEFAULT, MARGIN_BLOCKS,
    QUOTE_MS_DEFAULT, VOUCHER_FINAL_CLTV, VOUCHER_MS_DEFAULT, VOUCHER_MS_MAX,
};
pub use meaning::{meaning, meaning_without_gate};
pub use price::{Asked, price, price_of};
pub use quoting::{Quotas, hold_kind, may_offer};
pub use relation::{Known, relation};
