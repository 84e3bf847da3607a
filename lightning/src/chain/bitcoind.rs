//! Bitcoin Core's RPC: JSON-RPC over HTTP with a user and a password.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bitcoin::BlockHash;
use reqwest::{StatusCode, Url};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::http::{client, whole};
use super::{Bitcoind, ChainError};
use crate::limits::{CHAIN_ANSWER_MAX, CHAIN_ANSWER_WITHIN};

/// Bitcoin Core answers so while it reads its blocks (`RPC_IN_WARMUP`).
const IN_WARMUP: i64 = -28;

pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    login: Mutex<Login>,
    cookie: Option<PathBuf>,
}

#[derive(Clone)]
struct Login {
    user: String,
    password: Zeroizing<String>,
}

/// `http://host:port/`: Bitcoin Core speaks no TLS.
pub(super) fn url(bitcoind: &Bitcoind) -> Result<Url, ChainError> {
    let wrong = || ChainError::Address("is no host; allowed: a name or an IP address, and a port: \"127.0.0.1:8332\"");
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if bitcoind.host.is_empty() || !bitcoind.host.chars().all(plain) || bitcoind.port == 0 {
        return Err(wrong());
    }
    Url::parse(&format!("http://{}:{}/", bitcoind.host, bitcoind.port)).map_err(|_| wrong())
}

impl Client {
    pub(super) fn new(bitcoind: &Bitcoind) -> Result<Self, ChainError> {
        let login = Login { user: bitcoind.user.clone(), password: bitcoind.password.clone() };
        let cookie = bitcoind.cookie.clone();
        Ok(Self { http: client()?, url: url(bitcoind)?, login: Mutex::new(login), cookie })
    }

    pub(super) async fn height(&self) -> Result<u32, ChainError> {
        let info = self.call("getblockchaininfo", json!([])).await?;
        let number = |key: &str| info[key].as_u64().and_then(|height| u32::try_from(height).ok());
        let height = number("blocks").ok_or(ChainError::Other("bitcoind"))?;
        if info["initialblockdownload"] == true {
            let there = number("headers").map_or_else(String::new, |headers| format!(" of {headers}"));
            return Err(ChainError::Away(format!("it is still fetching the chain, block {height}{there}")));
        }
        Ok(height)
    }

    pub(super) async fn genesis(&self) -> Result<BlockHash, ChainError> {
        self.hash_at(0).await
    }

    /// The hash of the block at a height.
    pub(super) async fn hash_at(&self, height: u32) -> Result<BlockHash, ChainError> {
        let hash = self.call("getblockhash", json!([height])).await?;
        hash.as_str().and_then(|hash| hash.parse().ok()).ok_or(ChainError::Other("bitcoind"))
    }

    /// A request as it is, under the login there is now.
    pub(super) async fn pass(
        &self,
        body: Vec<u8>,
        most: usize,
        within: Duration,
    ) -> Result<(StatusCode, Vec<u8>), ChainError> {
        for again in [false, true] {
            let login = self.login.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let request = self.http.post(self.url.clone()).basic_auth(&login.user, Some(login.password.as_str()));
            let request = request.header("content-type", "application/json").timeout(within).body(body.clone());
            let (status, answer) = whole(request, most).await?;
            if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                return Ok((status, answer));
            }
            if again || !self.read_cookie() {
                break;
            }
        }
        Err(ChainError::Credential)
    }

    /// Whether the cookie is another one than before.
    fn read_cookie(&self) -> bool {
        let Some(text) = self.cookie.as_ref().and_then(|path| std::fs::read_to_string(path).ok()) else { return false };
        let text = Zeroizing::new(text);
        let Some((user, password)) = text.trim().split_once(':') else { return false };
        let mut login = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = login.user != user || login.password.as_str() != password;
        *login = Login { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) };
        is_new
    }

    async fn call(&self, method: &str, params: Value) -> Result<Value, ChainError> {
        let body = json!({"jsonrpc": "1.0", "id": "satchel", "method": method, "params": params}).to_string();
        let (status, answer) = self.pass(body.into_bytes(), CHAIN_ANSWER_MAX, CHAIN_ANSWER_WITHIN).await?;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Err(ChainError::Away("its work queue is full".into()));
        }
        let mut answer: Value = serde_json::from_slice(&answer).map_err(|_| ChainError::Other("bitcoind"))?;
        let error = &answer["error"];
        if error["code"] == IN_WARMUP {
            let doing = error["message"].as_str().unwrap_or("no message");
            return Err(ChainError::Away(format!("it is starting ({doing})")));
        }
        if !error.is_null() || answer.get("result").is_none() {
            return Err(ChainError::Other("bitcoind"));
        }
        Ok(answer["result"].take())
    }
}
