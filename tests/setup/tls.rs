//! TLS towards a port, as mail clients do it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName};

/// A connection on which the handshake is done.
pub(crate) type Connection = BufReader<StreamOwned<ClientConnection, TcpStream>>;

/// Takes any certificate.
pub(crate) fn anybody() -> Arc<ClientConfig> {
    Arc::new(smtp::client::opportunistic())
}

/// Takes what this authority signed.
pub(crate) fn trusting(root: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(client.with_root_certificates(roots).with_no_client_auth())
}

/// Connects and does the handshake.
pub(crate) fn connect(port: u16, name: &str, client: Arc<ClientConfig>) -> std::io::Result<Connection> {
    let mut tcp = TcpStream::connect(("127.0.0.1", port))?;
    tcp.set_read_timeout(Some(Duration::from_secs(20)))?;
    let server = ServerName::try_from(name.to_owned()).map_err(std::io::Error::other)?;
    let mut connection = ClientConnection::new(client, server).map_err(std::io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp)?;
    }
    Ok(BufReader::new(StreamOwned::new(connection, tcp)))
}

/// The certificate of the other side.
pub(crate) fn certificate(connection: &Connection) -> CertificateDer<'static> {
    connection.get_ref().conn.peer_certificates().unwrap()[0].clone().into_owned()
}

/// The certificate that a port shows whoever asks for this name, whatever it is worth.
pub(crate) fn shown(port: u16, name: &str) -> CertificateDer<'static> {
    certificate(&connect(port, name, anybody()).unwrap())
}

/// Says a line, and reads one.
pub(crate) fn say(connection: &mut Connection, line: &str) -> String {
    connection.get_mut().write_all(line.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_line(&mut answer).unwrap();
    answer
}
