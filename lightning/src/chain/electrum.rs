//! The Electrum protocol: JSON-RPC, a line each, over TCP or TLS.

use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::block::Header;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::ChainError;
use crate::limits::{CHAIN_ANSWER_MAX, CHAIN_ANSWER_WITHIN, CHAIN_CONNECT_WITHIN};

/// The oldest protocol version that has all LDK asks for.
const PROTOCOL: &str = "1.4";

trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for T {}

pub(super) struct Client {
    address: Address,
    connection: Option<BufStream<Box<dyn Stream>>>,
    next_id: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    port: u16,
    tls: bool,
}

pub(super) fn parse(address: &str) -> Result<Address, ChainError> {
    const WRONG: ChainError = ChainError::Address(
        "is no address; allowed: an Electrum server, like \"ssl://electrum.blockstream.info:50002\" or \
         \"tcp://127.0.0.1:50001\"",
    );
    let (tls, rest) = match address.split_once("://") {
        Some(("ssl", rest)) => (true, rest),
        Some(("tcp", rest)) => (false, rest),
        _ => return Err(WRONG),
    };
    let (host, port) = rest.rsplit_once(':').ok_or(WRONG)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or(WRONG)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if host.is_empty() || !host.chars().all(plain) || (host.contains(':') && !host.starts_with('[')) {
        return Err(WRONG);
    }
    Ok(Address { host: host.trim_matches(['[', ']']).to_owned(), port, tls })
}

impl Client {
    pub(super) fn new(address: &str) -> Result<Self, ChainError> {
        Ok(Self { address: parse(address)?, connection: None, next_id: 0 })
    }

    pub(super) async fn height(&mut self) -> Result<u32, ChainError> {
        let tip = self.call("blockchain.headers.subscribe", json!([])).await?;
        let height = tip["height"].as_u64().and_then(|height| u32::try_from(height).ok());
        height.ok_or(ChainError::Other("Electrum"))
    }

    pub(super) async fn genesis(&mut self) -> Result<BlockHash, ChainError> {
        let header = self.call("blockchain.block.header", json!([0])).await?;
        let header = header.as_str().and_then(|header| hex::decode(header).ok());
        let header = header.and_then(|header| bitcoin::consensus::deserialize::<Header>(&header).ok());
        header.map(|header| header.block_hash()).ok_or(ChainError::Other("Electrum"))
    }

    /// Asks over the connection there is, or a new one. Whatever goes wrong, the next call begins with a new one.
    async fn call(&mut self, method: &str, params: Value) -> Result<Value, ChainError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        self.next_id += 1;
        let answer = ask(&mut connection, self.next_id, method, params).await?;
        self.connection = Some(connection);
        Ok(answer)
    }

    async fn connect(&mut self) -> Result<BufStream<Box<dyn Stream>>, ChainError> {
        let connecting = async {
            let stream = TcpStream::connect((self.address.host.as_str(), self.address.port)).await?;
            stream.set_nodelay(true)?;
            let stream: Box<dyn Stream> = if self.address.tls {
                let name = ServerName::try_from(self.address.host.clone()).map_err(std::io::Error::other)?;
                Box::new(connector()?.connect(name, stream).await?)
            } else {
                Box::new(stream)
            };
            Ok::<_, std::io::Error>(BufStream::new(stream))
        };
        let mut connection = match timeout(CHAIN_CONNECT_WITHIN, connecting).await {
            Ok(connected) => connected.map_err(|error| ChainError::Away(error.to_string()))?,
            Err(_) => return Err(ChainError::Away("it did not answer in time".into())),
        };
        // The protocol's first message.
        let version = json!([concat!("satchel/", env!("CARGO_PKG_VERSION")), PROTOCOL]);
        self.next_id += 1;
        ask(&mut connection, self.next_id, "server.version", version).await?;
        Ok(connection)
    }
}

/// The authorities of this machine; LDK's own client knows the public ones.
fn connector() -> std::io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// One question and its answer; what the server tells unasked in between is passed over.
async fn ask(
    connection: &mut BufStream<Box<dyn Stream>>,
    id: u64,
    method: &str,
    params: Value,
) -> Result<Value, ChainError> {
    let asking = async {
        let mut line = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        line.push('\n');
        connection.write_all(line.as_bytes()).await.map_err(broken)?;
        connection.flush().await.map_err(broken)?;
        loop {
            let mut line = Vec::new();
            let most = u64::try_from(CHAIN_ANSWER_MAX).unwrap_or(u64::MAX);
            let read = (&mut *connection).take(most).read_until(b'\n', &mut line).await.map_err(broken)?;
            if read == 0 {
                return Err(ChainError::Away("it closed the connection".into()));
            }
            if line.last() != Some(&b'\n') {
                return Err(ChainError::Away("its answer is too long".into()));
            }
            let mut answer: Value = serde_json::from_slice(&line).map_err(|_| ChainError::Other("Electrum"))?;
            if answer["id"] != id {
                continue;
            }
            if !answer["error"].is_null() {
                return Err(ChainError::Away(format!("it refuses {method}")));
            }
            return Ok(answer["result"].take());
        }
    };
    timeout(CHAIN_ANSWER_WITHIN, asking)
        .await
        .unwrap_or_else(|_| Err(ChainError::Away("it did not answer in time".into())))
}

fn broken(error: std::io::Error) -> ChainError {
    ChainError::Away(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_electrum_server_is_named_by_its_transport_host_and_port() {
        let address = |host: &str, port, tls| Address { host: host.to_owned(), port, tls };
        assert_eq!(parse("ssl://e.example:50002").unwrap(), address("e.example", 50_002, true));
        assert_eq!(parse("tcp://[::1]:50001").unwrap(), address("::1", 50_001, false));
        for bad in ["", "e.example:50002", "http://e.example:1", "ssl://e.example", "tcp://::1:50001", "tcp://h:0"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
