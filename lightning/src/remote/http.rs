//! HTTP to a node: one address, one credential, its own certificate; every answer bounded in size and time.

use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{RemoteError, tls};
use crate::WalletError;
use crate::limits::{REMOTE_CALL_WITHIN, REMOTE_CONNECT_WITHIN, REMOTE_LINE_MAX, REMOTE_RESPONSE_MAX};

/// A node's HTTP door.
pub(crate) struct Http {
    client: Client,
    base: Url,
}

/// An answer that is whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    body: Vec<u8>,
}

impl Http {
    /// `address` is `https://HOST:PORT`, or `http://` to this machine; the header goes with every request.
    pub(crate) fn new(
        address: &str,
        certificate: Option<&[u8]>,
        header: HeaderName,
        value: &str,
    ) -> Result<Self, RemoteError> {
        let base = base_url(address)?;
        let mut secret = HeaderValue::from_str(value).map_err(|_| RemoteError::Credential)?;
        secret.set_sensitive(true);
        let mut builder = Client::builder()
            .default_headers([(header, secret)].into_iter().collect())
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(REMOTE_CONNECT_WITHIN)
            .user_agent(concat!("satchel/", env!("CARGO_PKG_VERSION")));
        if base.scheme() == "https"
            && let Some(pem) = certificate
        {
            builder = builder.use_preconfigured_tls(tls::trusting(pem)?);
        }
        let client = builder.build().map_err(|_| RemoteError::Certificate)?;
        Ok(Self { client, base })
    }

    /// `GET path`; `path` is percent-encoded already.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, WalletError> {
        self.whole(self.request(Method::GET, path)?).await
    }

    /// `POST path` with a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Answer, WalletError> {
        self.whole(self.request(Method::POST, path)?.json(body)).await
    }

    /// `POST path` with a JSON body, for an answer that may take `within`.
    pub(crate) async fn post_within(&self, path: &str, body: &Value, within: Duration) -> Result<Answer, WalletError> {
        self.whole(self.request(Method::POST, path)?.json(body).timeout(within)).await
    }

    /// `POST path` with a form.
    pub(crate) async fn form(
        &self,
        path: &str,
        fields: &[(&str, String)],
        within: Duration,
    ) -> Result<Answer, WalletError> {
        let mut form = String::new();
        for (name, value) in fields {
            if !form.is_empty() {
                form.push('&');
            }
            form.push_str(name);
            form.push('=');
            form.push_str(&percent(value));
        }
        let request = self.request(Method::POST, path)?.timeout(within);
        self.whole(request.header("content-type", "application/x-www-form-urlencoded").body(form)).await
    }

    /// The lines of an answer that goes on (`{"result": …}` each), from a `GET` or a `POST` with a body. `each` says
    /// when it has heard enough. `None`: the stream ended, or `within` was over, before that.
    pub(crate) async fn lines<T>(
        &self,
        path: &str,
        body: Option<&Value>,
        within: Duration,
        mut each: impl FnMut(StatusCode, Value) -> Option<T>,
    ) -> Result<Option<T>, WalletError> {
        let request = match body {
            Some(body) => self.request(Method::POST, path)?.json(body),
            None => self.request(Method::GET, path)?,
        };
        // The request's own time-out is longer: this one tells "not yet" from "not there".
        let request = request.timeout(within + REMOTE_CALL_WITHIN);
        let reading = async {
            let mut response = request.send().await.map_err(away)?;
            let status = response.status();
            let mut buffer = Vec::new();
            loop {
                let chunk = response.chunk().await.map_err(away)?;
                let ended = chunk.is_none();
                buffer.extend_from_slice(chunk.as_deref().unwrap_or_default());
                while let Some(end) =
                    buffer.iter().position(|byte| *byte == b'\n').or_else(|| ended.then_some(buffer.len()))
                {
                    let rest = buffer.split_off(end.min(buffer.len()));
                    let line = std::mem::replace(&mut buffer, rest.get(1..).unwrap_or_default().to_vec());
                    if line.iter().all(u8::is_ascii_whitespace) {
                        if buffer.is_empty() {
                            break;
                        }
                        continue;
                    }
                    let value = serde_json::from_slice(&line).map_err(|_| unreadable())?;
                    if let Some(done) = each(status, value) {
                        return Ok(Some(done));
                    }
                }
                if buffer.len() > REMOTE_LINE_MAX {
                    return Err(unreadable());
                }
                if ended {
                    return Ok(None);
                }
            }
        };
        tokio::time::timeout(within, reading).await.unwrap_or(Ok(None))
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, WalletError> {
        let url = self.base.join(path).map_err(|_| WalletError::Bug("a path that is none".into()))?;
        Ok(self.client.request(method, url).timeout(REMOTE_CALL_WITHIN))
    }

    async fn whole(&self, request: RequestBuilder) -> Result<Answer, WalletError> {
        let mut response: Response = request.send().await.map_err(away)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            if body.len() + chunk.len() > REMOTE_RESPONSE_MAX {
                return Err(WalletError::Bug("the node's answer is too long".into()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }
}

impl Answer {
    /// The body of an answer that says yes.
    pub(crate) fn json<T: DeserializeOwned>(&self, what: &'static str) -> Result<T, WalletError> {
        if !self.status.is_success() {
            return Err(self.refused(what));
        }
        // The text is not shown: it may hold an invoice.
        serde_json::from_slice(&self.body).map_err(|_| unreadable())
    }

    /// What an answer that says no means, where it means nothing in particular.
    pub(crate) fn refused(&self, what: &'static str) -> WalletError {
        match self.status.as_u16() {
            408 | 429 | 502..=504 => WalletError::Busy,
            status => WalletError::Refused { what, status },
        }
    }

    /// The member `message` of an error, or its text. For telling errors apart; never shown, it may hold a hash.
    pub(crate) fn message(&self) -> String {
        let value: Option<Value> = serde_json::from_slice(&self.body).ok();
        let text = value.as_ref().and_then(|value| value.get("message").or_else(|| value.get("error"))?.as_str());
        text.map_or_else(|| String::from_utf8_lossy(&self.body).into_owned(), str::to_owned)
    }

    /// The member `code` of an error.
    pub(crate) fn code(&self) -> Option<i64> {
        serde_json::from_slice::<Value>(&self.body).ok()?.get("code")?.as_i64()
    }
}

/// `https` everywhere, `http` on this machine only: the credential goes with every request.
pub(super) fn base_url(address: &str) -> Result<Url, RemoteError> {
    let mut url = Url::parse(address).map_err(|_| RemoteError::Address)?;
    let local = match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()),
        None => return Err(RemoteError::Address),
    };
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !plain || !(url.scheme() == "https" || (url.scheme() == "http" && local)) {
        return Err(RemoteError::Address);
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// No connection, or a broken one, may be there again in a moment.
fn away(error: reqwest::Error) -> WalletError {
    if error.is_timeout() { WalletError::Busy } else { WalletError::NotRunning }
}

fn unreadable() -> WalletError {
    WalletError::Bug("the node's answer cannot be read: another version of its API?".into())
}

/// Percent-encodes everything but the unreserved characters of a URL.
pub(crate) fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_goes_over_tls_or_stays_on_this_machine() {
        for good in ["https://node.example:8080", "http://127.0.0.1:9740", "http://localhost:1/", "http://[::1]:1"] {
            assert!(base_url(good).is_ok(), "{good}");
        }
        for bad in [
            "http://node.example:8080",
            "ftp://127.0.0.1",
            "node:8080",
            "",
            "https://a:b@node.example",
            "http://10.0.0.1",
        ] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
        assert_eq!(base_url("https://n.example/lnd").unwrap().join("v1/getinfo").unwrap().path(), "/lnd/v1/getinfo");
    }

    #[test]
    fn form_fields_are_encoded() {
        assert_eq!(percent("mail 0a+b/=~"), "mail%200a%2Bb%2F%3D~");
    }
}
