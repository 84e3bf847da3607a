//! One request over HTTPS to a host of a domain: what policies are fetched by and reports are sent by.
//!
//! Its addresses come from our own look-ups, its certificate must be for its name. Redirects are not followed.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::trusted_config;
use crate::dns::Resolver;

/// Where the servers of the web listen.
pub(crate) const HTTPS_PORT: u16 = 443;

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

/// Why nothing did.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No address, no connection.
    Unreachable(String),
    /// No certificate of that name that this machine's authorities vouch for.
    Tls(String),
    /// No answer of HTTP.
    Http(String),
}

impl Failure {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Unreachable(text) | Self::Tls(text) | Self::Http(text) => text,
        }
    }
}

/// Sends `request` to `host`, and reads at most `most` octets of what it answers. The caller sets the deadline.
pub(crate) async fn ask(
    resolver: &Resolver,
    host: &str,
    port: u16,
    mut request: Request<Full<Bytes>>,
    most: usize,
) -> Result<Answer, Failure> {
    let unreachable = |why: String| Failure::Unreachable(why);
    let addresses = resolver.addresses(host).await.map_err(|error| unreachable(error.to_string()))?;
    let mut last = unreachable(format!("{host} has no address"));
    let authority = if port == HTTPS_PORT { host.to_owned() } else { format!("{host}:{port}") };
    let authority = HeaderValue::from_str(&authority).map_err(|error| Failure::Http(error.to_string()))?;
    request.headers_mut().insert(HOST, authority);
    for address in addresses {
        let stream = match TcpStream::connect((address, port)).await {
            Ok(stream) => stream,
            Err(error) => {
                last = unreachable(error.to_string());
                continue;
            }
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| unreachable(error.to_string()))?;
        let stream = TlsConnector::from(trusted_config()).connect(name, stream).await;
        let stream = stream.map_err(|error| Failure::Tls(error.to_string()))?;
        return exchange(stream, request, most).await.map_err(Failure::Http);
    }
    Err(last)
}

async fn exchange(
    stream: tokio_rustls::client::TlsStream<TcpStream>,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<Answer, String> {
    let words = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
    let answer = async move {
        let answer = sender.send_request(request).await.map_err(words)?;
        let status = answer.status();
        let content_type = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let body = Limited::new(answer.into_body(), most).collect().await.map_err(|error| error.to_string())?;
        Ok(Answer { status, content_type, body: body.to_bytes() })
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // A connection that ends cleanly has handed the answer over.
        ended = connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(error.to_string()),
        },
    }
}
