//! Speaks to our own port 25 as a sender would, up to the point where mail would change hands.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::tls::Facts;

/// A server that takes longer to answer is taken for dead by others.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// Octets of one reply: an EHLO reply has some hundred. RFC 5321 §4.5.3.1.5 bounds a line to 512.
const REPLY_BYTES_MAX: u64 = 16 * 1024;
/// A domain that is never ours. RFC 2606 §3.
const ELSEWHERE: &str = "relay-probe@example.com";

/// RFC 2606 §2: nobody's name.
const EHLO: &str = "EHLO satchel-check.invalid\r\n";

/// What a sender sees.
pub(super) struct Seen {
    /// The name in the greeting.
    pub(super) greeting: String,
    /// The name in the reply to EHLO.
    pub(super) ehlo: String,
    /// What STARTTLS showed, or why it did not come to it.
    pub(super) certificate: Result<Facts, String>,
    /// The reply to a recipient of another domain.
    pub(super) relay: String,
}

/// Looks, with any certificate.
pub(super) async fn look(at: SocketAddr, name: &str) -> Result<Seen, String> {
    timeout(ANSWER_DEADLINE, looked(at, name)).await.unwrap_or_else(|_| Err("it does not answer in time".to_owned()))
}

/// Whether a sender that wants a certificate it can trust gets one.
pub(super) async fn is_trusted(at: SocketAddr, name: &str) -> Result<(), String> {
    let handshake = async {
        let (stream, _, _) = greeted(at).await?;
        let tls = secured(stream, name, smtp::client::trusted_config()).await?;
        drop(tls);
        Ok(())
    };
    timeout(ANSWER_DEADLINE, handshake).await.unwrap_or_else(|_| Err("it does not answer in time".to_owned()))
}

/// Whether a TCP port answers at all.
pub(super) async fn answers(at: SocketAddr) -> Result<(), String> {
    match timeout(ANSWER_DEADLINE, TcpStream::connect(at)).await {
        Ok(connected) => connected.map(drop).map_err(|error| error.to_string()),
        Err(_) => Err("it does not answer: is a firewall in between?".to_owned()),
    }
}

/// Whether a web server there answers this path with this text.
pub(super) async fn finds(at: SocketAddr, host: &str, path: &str, text: &str) -> Result<(), String> {
    let fetch = async {
        let mut stream = TcpStream::connect(at).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(REPLY_BYTES_MAX).read_to_end(&mut answer).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    match timeout(ANSWER_DEADLINE, fetch).await {
        Ok(Ok(answer)) if answer.ends_with(text) => Ok(()),
        Ok(Ok(answer)) => Err(format!("another server answers: {:?}", answer.lines().next().unwrap_or_default())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it does not answer: is a firewall in between?".to_owned()),
    }
}

async fn looked(at: SocketAddr, name: &str) -> Result<Seen, String> {
    let (stream, greeting, ehlo) = greeted(at).await?;
    match secured(stream, name, Arc::new(smtp::client::opportunistic())).await {
        Ok(mut tls) => {
            let first = tls.get_ref().get_ref().1.peer_certificates().and_then(<[_]>::first);
            let facts = first.and_then(|first| Facts::read(first));
            let certificate = facts.ok_or_else(|| "it shows no certificate".to_owned());
            said(&mut tls, EHLO, "250").await?;
            let relay = relayed(&mut tls).await?;
            Ok(Seen { greeting, ehlo, certificate, relay })
        }
        Err(why) => {
            let (mut plain, ..) = greeted(at).await?;
            let relay = relayed(&mut plain).await?;
            Ok(Seen { greeting, ehlo, certificate: Err(why), relay })
        }
    }
}

/// Up to the reply to RCPT: nothing is sent.
async fn relayed(stream: &mut (impl AsyncBufRead + AsyncWrite + Unpin)) -> Result<String, String> {
    said(stream, "MAIL FROM:<>\r\n", "2").await?;
    let reply = said(stream, &format!("RCPT TO:<{ELSEWHERE}>\r\n"), "").await?;
    said(stream, "QUIT\r\n", "").await?;
    Ok(reply)
}

/// Connected, greeted, EHLO said: the stream and the names in both replies.
async fn greeted(at: SocketAddr) -> Result<(BufReader<TcpStream>, String, String), String> {
    let stream = TcpStream::connect(at).await.map_err(|error| error.to_string())?;
    let mut stream = BufReader::new(stream);
    let name_of = |reply: &str| reply.get(4..).and_then(|rest| rest.split_whitespace().next()).unwrap_or("").to_owned();
    let greeting = reply(&mut stream, "220").await?;
    let ehlo = said(&mut stream, EHLO, "250").await?;
    Ok((stream, name_of(&greeting), name_of(&ehlo)))
}

async fn secured(
    mut stream: BufReader<TcpStream>,
    name: &str,
    client: Arc<ClientConfig>,
) -> Result<BufReader<tokio_rustls::client::TlsStream<TcpStream>>, String> {
    said(&mut stream, "STARTTLS\r\n", "220").await?;
    let server = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    let tls = TlsConnector::from(client).connect(server, stream.into_inner()).await;
    tls.map(BufReader::new).map_err(|error| error.to_string())
}

async fn said(
    stream: &mut (impl AsyncBufRead + AsyncWrite + Unpin),
    command: &str,
    expected: &str,
) -> Result<String, String> {
    stream.write_all(command.as_bytes()).await.map_err(|error| error.to_string())?;
    stream.flush().await.map_err(|error| error.to_string())?;
    reply(stream, expected).await
}

/// A whole reply; its first line.
async fn reply(stream: &mut (impl AsyncBufRead + Unpin), expected: &str) -> Result<String, String> {
    let mut limited = stream.take(REPLY_BYTES_MAX);
    let mut first = None;
    loop {
        let mut line = String::new();
        if limited.read_line(&mut line).await.map_err(|error| error.to_string())? == 0 {
            return Err("it hangs up".to_owned());
        }
        let is_last = line.as_bytes().get(3) != Some(&b'-');
        let line = line.trim_end().to_owned();
        let first = first.get_or_insert(line);
        if is_last {
            let first = std::mem::take(first);
            return if first.starts_with(expected) { Ok(first) } else { Err(format!("it says {first:?}")) };
        }
    }
}
