//! `[money]`: holds and graces.

use std::time::Duration;

use serde::Deserialize;

use super::time::duration;

/// Holds and graces.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Money {
    /// How long a paid mail waits for an answer.
    #[serde(deserialize_with = "duration")]
    pub hold: Duration,
    /// How long an invoice can be paid.
    #[serde(deserialize_with = "duration")]
    pub quote: Duration,
    /// How long a decline by expunge, or a demotion by Junk, waits.
    #[serde(deserialize_with = "duration")]
    pub expunge_grace: Duration,
    /// How long an author who was refused can pay, and how long the paid one waits for the mail to be sent again.
    #[serde(deserialize_with = "duration")]
    pub voucher: Duration,
    /// Blocks the final hop gives us; 244 holds a day with room for a fast chain.
    pub final_cltv: u16,
    /// The least time between two automatic payouts of one account.
    #[serde(deserialize_with = "duration")]
    pub payout_every: Duration,
    /// Open invoices and undecided payments of one author over the whole bridge.
    pub author_quotes: u32,
    /// The same of one domain.
    pub domain_quotes: u32,
}

impl Default for Money {
    fn default() -> Self {
        Self {
            hold: Duration::from_millis(policy::HOLD_MS_DEFAULT.unsigned_abs()),
            quote: Duration::from_millis(policy::QUOTE_MS_DEFAULT.unsigned_abs()),
            expunge_grace: Duration::from_secs(600),
            voucher: Duration::from_millis(policy::VOUCHER_MS_DEFAULT.unsigned_abs()),
            final_cltv: policy::FINAL_CLTV_DEFAULT,
            payout_every: Duration::from_secs(3600),
            author_quotes: policy::Quotas::default().author,
            domain_quotes: policy::Quotas::default().domain,
        }
    }
}
