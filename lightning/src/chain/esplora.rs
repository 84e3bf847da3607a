//! Esplora's HTTP API.

use bitcoin::BlockHash;
use reqwest::{StatusCode, Url};

use super::ChainError;
use super::http::{client, whole};
use crate::limits::CHAIN_ANSWER_MAX;

pub(super) struct Client {
    http: reqwest::Client,
    base: String,
}

/// The base without a slash at its end: paths are put behind it.
pub(super) fn base(address: &str) -> Result<String, ChainError> {
    const WRONG: ChainError = ChainError::Address(
        "is no address; allowed: the base of an Esplora server, like \"https://blockstream.info/api\"",
    );
    let url = Url::parse(address).map_err(|_| WRONG)?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !plain || url.fragment().is_some() {
        return Err(WRONG);
    }
    Ok(address.trim_end_matches('/').to_owned())
}

impl Client {
    pub(super) fn new(address: &str) -> Result<Self, ChainError> {
        Ok(Self { http: client()?, base: base(address)? })
    }

    pub(super) async fn height(&self) -> Result<u32, ChainError> {
        self.text("/blocks/tip/height").await?.parse().map_err(|_| ChainError::Other("Esplora"))
    }

    pub(super) async fn genesis(&self) -> Result<BlockHash, ChainError> {
        self.text("/block-height/0").await?.parse().map_err(|_| ChainError::Other("Esplora"))
    }

    async fn text(&self, path: &str) -> Result<String, ChainError> {
        let (status, body) = whole(self.http.get(format!("{}{path}", self.base)), CHAIN_ANSWER_MAX).await?;
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(ChainError::Away("it is asked more often than it allows (429)".into()));
        }
        if status.is_server_error() {
            return Err(ChainError::Away(format!("it answers {}", status.as_u16())));
        }
        if !status.is_success() {
            return Err(ChainError::Other("Esplora"));
        }
        let text = String::from_utf8(body).map_err(|_| ChainError::Other("Esplora"))?;
        Ok(text.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_esplora_server_is_named_by_the_base_of_its_addresses() {
        assert_eq!(base("https://blockstream.info/api/").unwrap(), "https://blockstream.info/api");
        assert_eq!(base("http://127.0.0.1:3002").unwrap(), "http://127.0.0.1:3002");
        for bad in ["", "blockstream.info", "ftp://a.test", "https://a:b@c.test", "https://c.test/?k=1"] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }
}
