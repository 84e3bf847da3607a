//! A connection to another server: lines out, replies in, each with a deadline.

use super::{ClientError, Reply};
use crate::TlsInfo;
use crate::limits::{REPLY_BYTES_MAX, WRITE_TIMEOUT};
use crate::tls::agreed;
use rustls_pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// An open connection.
pub(super) struct Connection {
    stream: BufReader<Box<dyn Io>>,
}

/// A connection in the clear whose server said "go ahead with TLS".
pub(super) struct Plain(pub(super) TcpStream);

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(Box::new(stream)) }
    }

    /// Shakes hands. Whatever was buffered in the clear is gone with the old connection.
    pub(super) async fn encrypt(
        plain: Plain,
        name: &str,
        config: Arc<rustls::ClientConfig>,
        within: Duration,
    ) -> io::Result<(Self, TlsInfo)> {
        let name = ServerName::try_from(name.trim_end_matches('.').to_owned())
            .unwrap_or_else(|_| ServerName::try_from("mail.invalid").expect("a well-formed name"));
        let stream = timeout(within, TlsConnector::from(config).connect(name, plain.0)).await??;
        let info = agreed(stream.get_ref().1);
        Ok((Self { stream: BufReader::new(Box::new(stream)) }, info))
    }

    pub(super) async fn write(&mut self, octets: &[u8]) -> Result<(), ClientError> {
        let write = async {
            self.stream.get_mut().write_all(octets).await?;
            self.stream.get_mut().flush().await
        };
        match timeout(WRITE_TIMEOUT, write).await {
            Ok(written) => written.map_err(ClientError::Lost),
            Err(_) => Err(ClientError::TimedOut("the server does not take what is sent")),
        }
    }

    /// One command, one reply.
    pub(super) async fn command(&mut self, line: &str, within: Duration) -> Result<Reply, ClientError> {
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.reply(within).await
    }

    /// One reply, all its lines.
    pub(super) async fn reply(&mut self, within: Duration) -> Result<Reply, ClientError> {
        match timeout(within, reply_from(&mut self.stream)).await {
            Ok(reply) => reply,
            Err(_) => Err(ClientError::TimedOut("no reply")),
        }
    }
}

pub(super) async fn connect(address: SocketAddr, within: Duration) -> io::Result<TcpStream> {
    let stream = timeout(within, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads a reply off a socket in the clear, octet by octet: nothing behind it may be read before TLS.
pub(super) async fn reply_before_tls(stream: &mut TcpStream, within: Duration) -> Result<Reply, ClientError> {
    let read = reply_from(BufReader::with_capacity(1, stream));
    timeout(within, read).await.map_err(|_| ClientError::TimedOut("no reply"))?
}

async fn reply_from(mut stream: impl tokio::io::AsyncBufRead + Unpin) -> Result<Reply, ClientError> {
    let mut lines: Vec<String> = Vec::new();
    let mut code = None;
    let mut left = REPLY_BYTES_MAX as u64;
    loop {
        let mut line = Vec::new();
        let read = (&mut stream).take(left).read_until(b'\n', &mut line).await.map_err(ClientError::Lost)?;
        left -= read as u64;
        if line.last() != Some(&b'\n') {
            return Err(match left {
                0 => ClientError::Garbled("a reply without end"),
                _ => ClientError::Lost(io::ErrorKind::UnexpectedEof.into()),
            });
        }
        let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        let number = text.get(..3).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let number = number.and_then(|digits| digits.parse::<u16>().ok()).filter(|code| (200..600).contains(code));
        let Some(number) = number else { return Err(ClientError::Garbled("that is not an SMTP reply")) };
        if *code.get_or_insert(number) != number {
            return Err(ClientError::Garbled("a reply with two codes"));
        }
        lines.push(text.get(4..).unwrap_or_default().to_owned());
        if text.as_bytes().get(3) != Some(&b'-') {
            return Ok(Reply::new(number, lines));
        }
    }
}
