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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_provider_and_no_service_can_be_is_refused_with_its_key() {
        let id = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
        let refused = |channels: Channels, is_embedded| channels.check(is_embedded).err().map(|(key, _)| key);
        let lsp = |lsp: String| Channels { lsp, ..Channels::default() };
        assert_eq!(refused(Channels::default(), false), None);
        assert_eq!(refused(lsp(format!("{id}@lsp.example:9735")), true), None);
        assert_eq!(refused(lsp(format!("{id}@lsp.example:9735")), false), Some("channels.lsp"));
        assert_eq!(refused(lsp(format!("{id}@lsp.example")), true), Some("channels.lsp"));
        assert_eq!(refused(lsp("lsp.example:9735".into()), true), Some("channels.lsp"));
        let service = Channels { service: true, ..Channels::default() };
        assert_eq!(refused(service.clone(), true), None);
        assert_eq!(refused(service.clone(), false), Some("channels.service"));
        let small = Channels { service_min_sat: 9_999, ..service.clone() };
        assert_eq!(refused(small, true), Some("channels.service_min_sat"));
        let crossed = Channels { service_min_sat: 500_000, service_max_sat: 400_000, ..service.clone() };
        assert_eq!(refused(crossed, true), Some("channels.service_max_sat"));
        let dear = Channels { service_fee_sat: 100_000, ..service };
        assert_eq!(refused(dear, true), Some("channels.service_fee_sat"));
    }
}
