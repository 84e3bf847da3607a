//! HTTP to a chain source: small answers, bounded in size and time.

use reqwest::{RequestBuilder, StatusCode, redirect};

use super::ChainError;
use crate::limits::{CHAIN_ANSWER_WITHIN, CHAIN_CONNECT_WITHIN};

pub(super) fn client() -> Result<reqwest::Client, ChainError> {
    let builder = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CHAIN_CONNECT_WITHIN)
        .timeout(CHAIN_ANSWER_WITHIN)
        .user_agent(concat!("satchel/", env!("CARGO_PKG_VERSION")));
    builder.build().map_err(|error| ChainError::Away(error.to_string()))
}

/// Sends a request and reads the whole answer.
pub(super) async fn whole(request: RequestBuilder, most: usize) -> Result<(StatusCode, Vec<u8>), ChainError> {
    let mut response = request.send().await.map_err(|error| away(&error))?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| away(&error))? {
        if body.len() + chunk.len() > most {
            return Err(ChainError::Away("its answer is too long".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

/// The innermost reason, in the system's words; the address is the operator's own and is not repeated.
fn away(error: &reqwest::Error) -> ChainError {
    if error.is_timeout() {
        return ChainError::Away("it did not answer in time".into());
    }
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    ChainError::Away(inner.to_string())
}
