//! Lightning addresses (LUD-16): whose owner's server gives an invoice over any amount when asked (LUD-06). And links by
//! which a wallet fetches money (LUD-01, LUD-03), as far as they are text.
//!
//! The address comes from somebody unknown, so the server behind it is not trusted: https only, no redirects, no address
//! of this machine or its networks (the one that was looked up is the one that is connected to), bounded answers, a
//! deadline over all of it, and an invoice that says exactly what was asked for.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bitcoin::bech32::{self, Bech32, Hrp};
use bitcoin::hashes::{Hash, sha256};
use futures::future::BoxFuture;
use lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescriptionRef};
use lnmp::Msat;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::timeout;

use crate::limits::{BOLT11_MAX, LNURL_BYTES_MAX, LNURL_NAME_MAX, LNURL_WITHIN};

/// Why a Lightning address gave no invoice. No variant carries the address.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LnurlError {
    /// It is none.
    #[error("a Lightning address looks like name@example.org, in small letters, digits, '-', '_', '.' and '+'")]
    BadAddress,
    /// Its server cannot be reached, or not in time. It may work later.
    #[error("the server of this Lightning address does not answer")]
    Unreachable,
    /// Its server's name leads into a private network.
    #[error("the server of this Lightning address is in a private network")]
    Private,
    /// Its server answers something else than LUD-06 says.
    #[error("the server of this Lightning address does not know it, or answers wrongly")]
    WrongAnswer,
    /// It takes only other amounts.
    #[error("this Lightning address takes {min} to {max}")]
    Amount {
        /// The least.
        min: Msat,
        /// The most.
        max: Msat,
    },
    /// The invoice is not the one that was asked for.
    #[error("the invoice that this Lightning address gave is not over what was asked for")]
    WrongInvoice,
}

/// Which servers may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses only.
    Internet,
    /// Private ones, too: a sandbox has nothing behind it to protect.
    Anywhere,
}

/// An address money can be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LightningAddress {
    user: String,
    domain: String,
}

impl LightningAddress {
    /// LUD-16: `name@domain`, the name of `a-z0-9-_.` and, for tags, `+`.
    ///
    /// # Errors
    /// [`LnurlError::BadAddress`].
    pub fn parse(text: &str) -> Result<Self, LnurlError> {
        let (user, domain) = text.trim().rsplit_once('@').ok_or(LnurlError::BadAddress)?;
        let domain = domain.to_ascii_lowercase();
        let named = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'+');
        let labels = domain.split('.').filter(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        });
        let is_name = labels.count() == domain.split('.').count() && domain.contains('.');
        // A number at the end is an IP address, which nobody has a certificate for.
        let is_ip = domain.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        let fits = !user.is_empty() && user.len() <= LNURL_NAME_MAX && domain.len() <= LNURL_NAME_MAX;
        if !fits || !user.bytes().all(named) || !is_name || is_ip {
            return Err(LnurlError::BadAddress);
        }
        Ok(Self { user: user.to_owned(), domain })
    }

    /// As it is written.
    pub fn text(&self) -> String {
        format!("{}@{}", self.user, self.domain)
    }

    fn url(&self) -> Result<Url, LnurlError> {
        let url = format!("https://{}/.well-known/lnurlp/{}", self.domain, self.user);
        Url::parse(&url).map_err(|_| LnurlError::BadAddress)
    }

    /// Whether somebody answers for it and takes `amount`.
    ///
    /// # Errors
    /// See [`LnurlError`].
    pub fn check(&self, amount: Msat, reach: Reach) -> BoxFuture<'static, Result<(), LnurlError>> {
        let url = self.url();
        // Boxed, so that it is compiled here, once.
        Box::pin(async move {
            let (fetch, url) = (Fetch::new(reach)?, url?);
            in_time(async { offer(&fetch, url, amount).await.map(|_| ()) }).await
        })
    }

    /// An invoice over exactly `amount`; whether it is for our network and still open is the payer's to check.
    ///
    /// # Errors
    /// See [`LnurlError`].
    pub fn invoice(&self, amount: Msat, reach: Reach) -> BoxFuture<'static, Result<String, LnurlError>> {
        let url = self.url();
        Box::pin(async move {
            let (fetch, url) = (Fetch::new(reach)?, url?);
            in_time(invoice(&fetch, url, amount)).await
        })
    }
}

/// LUD-01: a link as wallets scan it, in capitals for a small picture. `None` when it is too long.
pub fn encode(url: &str) -> Option<String> {
    bech32::encode_upper::<Bech32>(Hrp::parse("lnurl").ok()?, url.as_bytes()).ok()
}

async fn in_time<T>(work: impl Future<Output = Result<T, LnurlError>>) -> Result<T, LnurlError> {
    timeout(LNURL_WITHIN, work).await.unwrap_or(Err(LnurlError::Unreachable))
}

/// LUD-06, step 3.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PayRequest {
    tag: String,
    callback: String,
    min_sendable: u64,
    max_sendable: u64,
    metadata: String,
}

/// LUD-06, step 5.
#[derive(Debug, Deserialize)]
struct PayAnswer {
    pr: String,
}

async fn offer(fetch: &Fetch, url: Url, amount: Msat) -> Result<PayRequest, LnurlError> {
    let offer: PayRequest = fetch.json(url).await?;
    if offer.tag != "payRequest" || offer.min_sendable < 1 || offer.min_sendable > offer.max_sendable {
        return Err(LnurlError::WrongAnswer);
    }
    if !(offer.min_sendable..=offer.max_sendable).contains(&amount.0) {
        return Err(LnurlError::Amount { min: Msat(offer.min_sendable), max: Msat(offer.max_sendable) });
    }
    Ok(offer)
}

async fn invoice(fetch: &Fetch, url: Url, amount: Msat) -> Result<String, LnurlError> {
    let offer = offer(fetch, url, amount).await?;
    let mut callback = Url::parse(&offer.callback).map_err(|_| LnurlError::WrongAnswer)?;
    callback.query_pairs_mut().append_pair("amount", &amount.0.to_string());
    let PayAnswer { pr } = fetch.json(callback).await?;
    let wrong = LnurlError::WrongInvoice;
    if pr.len() > BOLT11_MAX {
        return Err(wrong);
    }
    let Ok(invoice) = pr.parse::<Bolt11Invoice>() else { return Err(wrong) };
    // LUD-06, steps 6 and 7. The hash was dropped from later versions of that step: who gives a plain description is
    // believed, who gives another hash is not.
    let described = match invoice.description() {
        Bolt11InvoiceDescriptionRef::Hash(hash) => hash.0 == sha256::Hash::hash(offer.metadata.as_bytes()),
        Bolt11InvoiceDescriptionRef::Direct(_) => true,
    };
    let asked = invoice.amount_milli_satoshis() == Some(amount.0);
    if asked && described { Ok(pr) } else { Err(wrong) }
}

/// Asks servers nobody vouches for.
struct Fetch {
    client: Client,
    reach: Reach,
    scheme: &'static str,
}

impl Fetch {
    fn new(reach: Reach) -> Result<Self, LnurlError> {
        let client = Client::builder()
            .https_only(true)
            .redirect(Policy::none())
            // A proxy would look names up for us.
            .no_proxy()
            .dns_resolver(Arc::new(Lookup(reach)))
            .timeout(LNURL_WITHIN)
            .build()
            .map_err(|_| LnurlError::Unreachable)?;
        Ok(Self { client, reach, scheme: "https" })
    }

    async fn json<T: DeserializeOwned>(&self, url: Url) -> Result<T, LnurlError> {
        if url.scheme() != self.scheme || !url.username().is_empty() || url.password().is_some() {
            return Err(LnurlError::WrongAnswer);
        }
        // An address instead of a name is connected to without being looked up.
        let literal = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        if literal.is_some_and(|ip| !may_reach(ip, self.reach)) {
            return Err(LnurlError::Private);
        }
        let mut answer = self.client.get(url).send().await.map_err(|error| unreachable(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(&error))? {
            if body.len() + chunk.len() > LNURL_BYTES_MAX {
                return Err(LnurlError::WrongAnswer);
            }
            body.extend_from_slice(&chunk);
        }
        // LUD-01: status codes have no meaning; an error is an answer without what was asked for.
        serde_json::from_slice(&body).map_err(|_| LnurlError::WrongAnswer)
    }
}

fn unreachable(error: &reqwest::Error) -> LnurlError {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if inner.downcast_ref::<LnurlError>() == Some(&LnurlError::Private) {
            return LnurlError::Private;
        }
        source = inner.source();
    }
    LnurlError::Unreachable
}

/// Looks names up and leaves private addresses out: what is looked up is what is connected to.
struct Lookup(Reach);

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> = found.into_iter().filter(|at| may_reach(at.ip(), reach)).collect();
            if public.is_empty() {
                return Err(LnurlError::Private.into());
            }
            let public: Addrs = Box::new(public.into_iter());
            Ok(public)
        })
    }
}

/// Whether an address is one of the internet at large.
fn may_reach(ip: IpAddr, reach: Reach) -> bool {
    if reach == Reach::Anywhere {
        return true;
    }
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let special = ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_broadcast()
                || ip.is_documentation()
                || ip.is_multicast()
                || a == 0
                || a >= 240
                // Shared by carriers, IETF protocols, benchmarks.
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b));
            !special
        }
        IpAddr::V6(ip) => {
            if let Some(ip) = ip.to_ipv4() {
                // Mapped and compatible ones; `::1` and `::` become special ones.
                return may_reach(IpAddr::V4(ip), reach);
            }
            let [first, second, ..] = ip.segments();
            // Global unicast only; of it not documentation, 6to4 and the NAT64 prefix lead elsewhere.
            (0x2000..0x4000).contains(&first)
                && first != 0x2002
                && !(first == 0x2001 && (second == 0xdb8 || second < 0x200))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::Wallet;
    use crate::memory::MemoryWallet;

    const AMOUNT: Msat = Msat(100_000);

    #[test]
    fn addresses_are_read_as_lud_16_says() {
        for good in ["bob@wallet.test", "a-b_c.d+tag@pay.wallet.example", " bob@Wallet.Test "] {
            assert!(LightningAddress::parse(good).is_ok(), "{good}");
        }
        assert_eq!(LightningAddress::parse("bob@Wallet.Test").unwrap().text(), "bob@wallet.test");
        let long = format!("{}@wallet.test", "a".repeat(300));
        for bad in [
            "",
            "bob",
            "@wallet.test",
            "bob@",
            "Bob@wallet.test",
            "bob@localhost",
            "bob@10.0.0.1",
            "bob@[::1]",
            "bob@wallet.test:8443",
            "bob@wallet.test/x",
            "b/ob@wallet.test",
            "b%2fob@wallet.test",
            "bob@-x.test",
            "bob@x..test",
            "bob?x@wallet.test",
            &long,
        ] {
            assert_eq!(LightningAddress::parse(bad), Err(LnurlError::BadAddress), "{bad}");
        }
    }

    #[test]
    fn private_addresses_are_not_reached() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "203.0.113.5",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
        ] {
            let ip: IpAddr = inside.parse().unwrap();
            assert!(!may_reach(ip, Reach::Internet), "{inside}");
            assert!(may_reach(ip, Reach::Anywhere), "{inside}");
        }
        for outside in ["8.8.8.8", "100.128.0.1", "2606:4700::1", "::ffff:8.8.8.8"] {
            assert!(may_reach(outside.parse().unwrap(), Reach::Internet), "{outside}");
        }
    }

    #[test]
    fn a_link_is_encoded_as_lud_01_says() {
        let url = "https://service.com/api?q=3fc3645b439ce8e7f2553a69e5267081d96dcd340693afabe04be7b0ccd178df";
        assert_eq!(
            encode(url).unwrap(),
            "LNURL1DP68GURN8GHJ7UM9WFMXJCM99E3K7MF0V9CXJ0M385EKVCENXC6R2C35XVUKXEFCV5MKVV34X5EKZD3EV56NYD3HXQURZEPEXEJXXEPNX\
             SCRVWFNV9NXZCN9XQ6XYEFHVGCXXCMYXYMNSERXFQ5FNS"
        );
        assert_eq!(encode(&"x".repeat(5000)), None);
    }

    /// A server on this machine that gives its answers in turn, over plain http.
    async fn server(answers: Vec<String>) -> (Fetch, Url) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                let answer = answer.replace("CALLBACK", &format!("http://{at}/callback?id=1"));
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        let client = Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        let url = Url::parse(&format!("http://{at}/.well-known/lnurlp/bob")).unwrap();
        (Fetch { client, reach: Reach::Anywhere, scheme: "http" }, url)
    }

    fn http(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    }

    const OFFER: &str = r#"{"tag":"payRequest","callback":"CALLBACK","minSendable":1000,"maxSendable":1000000,
                           "metadata":"[[\"text/plain\",\"bob\"]]"}"#;

    fn offered() -> String {
        // The callback's length is not known yet: the connection's end ends the body.
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{OFFER}")
    }

    async fn asked(answers: Vec<String>, amount: Msat) -> Result<String, LnurlError> {
        let (fetch, url) = server(answers).await;
        timeout(Duration::from_secs(10), invoice(&fetch, url, amount)).await.unwrap()
    }

    #[tokio::test]
    async fn an_address_gives_an_invoice_over_exactly_what_is_asked() {
        let wallet = MemoryWallet::new();
        let hour = Duration::from_secs(3600);
        let bolt11 = wallet.invoice(AMOUNT, "refund".into(), hour).await.unwrap();
        let answer = |bolt11: &str| http(&format!(r#"{{"pr":"{bolt11}","routes":[]}}"#));
        assert_eq!(asked(vec![offered(), answer(&bolt11)], AMOUNT).await, Ok(bolt11));
        let other = wallet.invoice(Msat(99_000), "less".into(), hour).await.unwrap();
        for wrong in [&other[..], "lnbcrt1nonsense", &"l".repeat(BOLT11_MAX + 1)] {
            assert_eq!(asked(vec![offered(), answer(wrong)], AMOUNT).await, Err(LnurlError::WrongInvoice));
        }
        let range = LnurlError::Amount { min: Msat(1000), max: Msat(1_000_000) };
        assert_eq!(asked(vec![offered()], Msat(1_000_001)).await, Err(range));
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told_apart_and_bounded() {
        let long = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\"{}", "x".repeat(LNURL_BYTES_MAX + 10));
        let elsewhere = offered().replace("CALLBACK", "https://10.0.0.1/x").replace("payRequest", "login");
        for wrong in [
            http(r#"{"status":"ERROR","reason":"no such user"}"#),
            http("not json"),
            long,
            elsewhere,
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_owned(),
            offered().replace("1000,", "0,"),
            offered().replace("CALLBACK", "https://user@wallet.test/"),
        ] {
            assert_eq!(asked(vec![wrong.clone()], AMOUNT).await, Err(LnurlError::WrongAnswer), "{wrong:.80}");
        }
        assert_eq!(asked(vec![String::new()], AMOUNT).await, Err(LnurlError::Unreachable));
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_before_anything_is_connected() {
        let fetch = Fetch::new(Reach::Internet).unwrap();
        for url in ["https://localhost/x", "https://127.0.0.1/x", "https://[::1]/x"] {
            let refused = fetch.json::<PayAnswer>(Url::parse(url).unwrap()).await;
            assert_eq!(refused.err(), Some(LnurlError::Private), "{url}");
        }
        let plain = fetch.json::<PayAnswer>(Url::parse("http://wallet.test/x").unwrap()).await;
        assert_eq!(plain.err(), Some(LnurlError::WrongAnswer));
    }
}
