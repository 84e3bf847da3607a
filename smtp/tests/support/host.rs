//! A host that keeps everything in memory, and a server that runs with it.

use smtp::{
    Accepted, AuthRefusal, Envelope, Host, PeerInfo, Recipient, Refusal, ReversePath, Secret, Server, ServerConfig,
    Spool, SpoolArea, Submitter,
};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Knows `alice...@...`, whose password is `secret`, and whoever stands in `later...`.
#[derive(Default)]
pub struct Memory {
    pub mails: Mutex<Vec<(Envelope, Vec<u8>)>>,
    /// When set, a message is only taken after this is notified.
    pub gate: Option<Arc<Notify>>,
}

#[async_trait::async_trait]
impl Host for Memory {
    async fn authenticate(&self, _: &PeerInfo, user: &str, password: &Secret) -> Result<Submitter, AuthRefusal> {
        if user == "alice" && password.reveal() == "secret" {
            return Ok(Submitter { id: 7, address: "alice@satchel.test".into(), context: None });
        }
        Err(AuthRefusal::Invalid)
    }

    async fn rcpt(&self, _: &PeerInfo, _: &ReversePath, mailbox: &str, _: &[Recipient]) -> Result<Recipient, Refusal> {
        match mailbox {
            name if name.starts_with("alice") => Ok(Recipient::local(mailbox, 7)),
            name if name.starts_with("later") => Err(Refusal::separately()),
            _ => Err(Refusal::unknown_recipient()),
        }
    }

    async fn message(&self, envelope: Envelope, content: Spool) -> Result<Accepted, Refusal> {
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        let content = content.read_all().await.map_err(|_| Refusal::try_again())?;
        let mut mails = self.mails.lock().unwrap();
        mails.push((envelope, content));
        Ok(Accepted { queue_id: format!("q{}", mails.len()) })
    }
}

pub struct Running {
    pub address: SocketAddr,
    pub host: Arc<Memory>,
    pub stop: watch::Sender<bool>,
    pub task: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

pub async fn start(config: ServerConfig) -> Running {
    start_with(config, Memory::default(), |area| area).await
}

pub async fn start_with(config: ServerConfig, host: Memory, area: impl FnOnce(SpoolArea) -> SpoolArea) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let host = Arc::new(host);
    let area = area(SpoolArea::open(directory.path()).unwrap());
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), config, host.clone(), area).await.unwrap();
    let address = server.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(server.run(stopped));
    Running { address, host, stop, task, _directory: directory }
}

/// A raw client that sends octets and reads replies.
pub struct Raw<S> {
    pub stream: S,
    pending: String,
}

impl Raw<TcpStream> {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub fn over(stream: S) -> Self {
        Self { stream, pending: String::new() }
    }

    pub async fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next reply, all its lines; what is left when the server hangs up.
    pub async fn reply(&mut self) -> String {
        loop {
            let mut end = 0;
            for line in self.pending.split_inclusive('\n') {
                end += line.len();
                if line.ends_with('\n') && line.as_bytes().get(3) != Some(&b'-') {
                    let rest = self.pending.split_off(end);
                    return std::mem::replace(&mut self.pending, rest);
                }
            }
            let mut buffer = [0; 4096];
            let read = timeout(Duration::from_secs(10), self.stream.read(&mut buffer)).await.expect("a reply in time");
            match read {
                Ok(0) | Err(_) => return std::mem::take(&mut self.pending),
                Ok(octets) => self.pending.push_str(std::str::from_utf8(&buffer[..octets]).unwrap()),
            }
        }
    }

    pub async fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    /// EHLO, MAIL, RCPT for a server whose greeting was read.
    pub async fn begin_mail(&mut self) {
        self.ask("EHLO client.test").await;
        self.ask("MAIL FROM:<bob@shop.test>").await;
        assert!(self.ask("RCPT TO:<alice@satchel.test>").await.starts_with("250"));
    }
}

/// A certificate for this run.
pub fn tls() -> Arc<rustls::ServerConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["mx.satchel.test".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    Arc::new(config)
}

/// TLS over a socket, trusting nothing but the certificate at hand is not the point here: any is taken.
pub async fn encrypt(stream: TcpStream) -> tokio_rustls::client::TlsStream<TcpStream> {
    let connector = tokio_rustls::TlsConnector::from(Arc::new(trusting::config()));
    connector.connect("mx.satchel.test".try_into().unwrap(), stream).await.unwrap()
}

mod trusting {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};
    use std::sync::Arc;

    #[derive(Debug)]
    struct Any;

    impl ServerCertVerifier for Any {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }

    pub(super) fn config() -> rustls::ClientConfig {
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Any))
            .with_no_client_auth()
    }
}
