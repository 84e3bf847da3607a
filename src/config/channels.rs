//! `[channels]`: where the embedded node gets channels from, and whether it opens some for others.

use std::path::PathBuf;

use serde::Deserialize;

/// Most a client's first payment may be, in sat: with as much again for its channel, this leaves our wallet.
const SERVICE_MAX_SAT: u64 = 10_000_000;
/// Least that a client's first payment may be, in sat: a channel of less is not worth its funding.
const SERVICE_MIN_SAT: u64 = 10_000;

/// Channels from others and for others.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Channels {
    /// Who sells us channels (LSPS1, LSPS2): `NODE@HOST:PORT`; empty: nobody.
    pub lsp: String,
    /// A file with the word it knows us by.
    pub token_file: PathBuf,
    /// Whether we open channels for others who pay for it (LSPS2).
    pub service: bool,
    /// Least fee for one, in sat.
    pub service_fee_sat: u64,
    /// Fee per million of the client's first payment, where that is more.
    pub service_fee_ppm: u32,
    /// Smallest first payment, in sat.
    pub service_min_sat: u64,
    /// Largest first payment, in sat; the channel holds twice as much.
    pub service_max_sat: u64,
    /// A file with the word clients must know; empty: everybody is served.
    pub service_token_file: PathBuf,
}

impl Default for Channels {
    fn default() -> Self {
        Self {
            lsp: String::new(),
            token_file: PathBuf::new(),
            service: false,
            service_fee_sat: 5_000,
            service_fee_ppm: 10_000,
            service_min_sat: 100_000,
            service_max_sat: 1_000_000,
            service_token_file: PathBuf::new(),
        }
    }
}

impl Channels {
    /// Node id and address of [`Channels::lsp`].
    pub fn provider(&self) -> Option<(&str, &str)> {
        self.lsp.split_once('@')
    }

    /// What types cannot say.
    pub(super) fn check(&self, is_embedded: bool) -> Result<(), (&'static str, String)> {
        if !is_embedded && (!self.lsp.is_empty() || self.service) {
            let key = if self.service { "channels.service" } else { "channels.lsp" };
            return Err((key, "needs wallet.backend = \"embedded\": another node has its own providers".into()));
        }
        if !self.lsp.is_empty() {
            let (id, address) = self.provider().unwrap_or_default();
            lightning::channels::check_peer(id, address)
                .map_err(|error| ("channels.lsp", format!("\"{}\" is no NODE@HOST:PORT: {error}", self.lsp)))?;
        }
        if self.service_min_sat < SERVICE_MIN_SAT || self.service_max_sat > SERVICE_MAX_SAT {
            return Err((
                "channels.service_min_sat",
                format!("first payments are {SERVICE_MIN_SAT} to {SERVICE_MAX_SAT} sat; allowed: a part of that"),
            ));
        }
        if self.service_min_sat > self.service_max_sat {
            return Err(("channels.service_max_sat", "is below service_min_sat".into()));
        }
        if self.service_fee_sat >= self.service_min_sat || self.service_fee_ppm >= 1_000_000 {
            return Err(("channels.service_fee_sat", "would be all of the smallest payment, or more".into()));
        }
        Ok(())
    }
}
