//! Moves octets between sockets, [`Session`]s and the [`Host`]. The shell: sockets, clocks and deadlines are here.

use crate::connections::{Connections, Place};
use crate::limits;
use crate::session::{Action, Session, SessionConfig};
use crate::spool::{SpoolArea, SpoolError, SpoolWriter};
use crate::tls::{agreed, without_tickets};
use crate::{BareNewlines, Host, Kind, MailParameters, Network, Refusal, Spool};
use futures::future::BoxFuture;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroize as _;

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsStart {
    /// With STARTTLS: ports 25 and 587.
    StartTls,
    /// With the first octet: port 465. RFC 8314.
    Implicit,
}

/// One listener. Start from [`ServerConfig::new`]; every default is one of [`limits`].
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Which job.
    pub kind: Kind,
    /// Our name in greetings.
    pub hostname: String,
    /// Without it there is no TLS. On [`Kind::Mx`] it is used without session tickets.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// When TLS begins.
    pub tls_start: TlsStart,
    /// Octets in a message.
    pub message_bytes_max: u64,
    /// Recipients of a message.
    pub recipients_max: usize,
    /// Errors before hanging up.
    pub errors_max: u32,
    /// CR or LF alone.
    pub bare_newlines: BareNewlines,
    /// Open connections. Worst case of memory: each one's 256 KiB of spool and 16 KiB of buffer.
    pub connections_max: usize,
    /// Open connections of one network; loopback is exempt.
    pub connections_per_network_max: usize,
    /// Wait for a command.
    pub command_timeout: Duration,
    /// Wait for octets of a message.
    pub data_timeout: Duration,
    /// Wait before one recipient too many is refused.
    pub probe_delay: Duration,
    /// Who may connect; empty: everybody.
    pub networks: Vec<Network>,
}

impl ServerConfig {
    /// A listener without TLS and with every default.
    pub fn new(kind: Kind, hostname: impl Into<String>) -> Self {
        Self {
            kind,
            hostname: hostname.into(),
            tls: None,
            tls_start: TlsStart::StartTls,
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            recipients_max: limits::RECIPIENTS_MAX,
            errors_max: limits::ERRORS_MAX,
            bare_newlines: BareNewlines::default(),
            connections_max: limits::CONNECTIONS_MAX,
            connections_per_network_max: limits::CONNECTIONS_PER_NETWORK_MAX,
            command_timeout: limits::COMMAND_TIMEOUT,
            data_timeout: limits::DATA_TIMEOUT,
            probe_delay: limits::RECIPIENT_PROBE_DELAY,
            // RFC 2033 §5: LMTP is for this machine, unless somebody says who else may come.
            networks: if kind == Kind::Lmtp { Network::loopback() } else { Vec::new() },
        }
    }

    /// The same with TLS.
    pub fn with_tls(mut self, tls: Arc<rustls::ServerConfig>, start: TlsStart) -> Self {
        (self.tls, self.tls_start) = (Some(tls), start);
        self
    }
}

/// A bound listener.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
    connections: Arc<Connections>,
}

struct Shared {
    session: Arc<SessionConfig>,
    tls: Option<TlsAcceptor>,
    tls_start: TlsStart,
    host: Arc<dyn Host>,
    spool: SpoolArea,
    probe_delay: Duration,
    networks: Vec<Network>,
}

impl Shared {
    fn serves(&self, address: IpAddr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(address))
    }
}

impl Server {
    /// Binds; nothing is accepted before [`Server::run`].
    pub async fn bind(
        address: SocketAddr,
        config: ServerConfig,
        host: Arc<dyn Host>,
        spool: SpoolArea,
    ) -> io::Result<Self> {
        Ok(Self::from_listener(TcpListener::bind(address).await?, config, host, spool))
    }

    /// Serves a socket that was bound elsewhere.
    pub fn from_listener(listener: TcpListener, config: ServerConfig, host: Arc<dyn Host>, spool: SpoolArea) -> Self {
        let mut session = SessionConfig::new(config.kind, config.hostname);
        session.starttls = config.tls.is_some() && config.tls_start == TlsStart::StartTls;
        session.tokens = host.takes_tokens();
        session.message_bytes_max = config.message_bytes_max;
        session.recipients_max = config.recipients_max;
        session.errors_max = config.errors_max;
        session.bare_newlines = config.bare_newlines;
        session.command_timeout = config.command_timeout;
        session.data_timeout = config.data_timeout;
        let tls = config.tls.map(|tls| match config.kind {
            Kind::Mx | Kind::Lmtp => without_tickets(&tls),
            Kind::Submission => tls,
        });
        let shared = Shared {
            session: session.into(),
            tls: tls.map(TlsAcceptor::from),
            tls_start: config.tls_start,
            host,
            spool,
            probe_delay: config.probe_delay,
            networks: config.networks,
        };
        let connections = Connections::new(config.connections_max, config.connections_per_network_max);
        Self { listener, shared: shared.into(), connections }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` says `true` (or its sender is gone). Then: no new connections, idle sessions get `421`,
    /// a message under way may take [`limits::SHUTDOWN_GRACE`] more.
    pub fn run(self, mut shutdown: watch::Receiver<bool>) -> BoxFuture<'static, ()> {
        // Boxed, so that it is compiled here, once, and not again in every binary that awaits it.
        Box::pin(async move {
            let mut sessions = JoinSet::new();
            loop {
                tokio::select! {
                    biased;
                    () = asked_to_stop(&mut shutdown) => break,
                    Some(_) = sessions.join_next() => {}
                    accepted = self.listener.accept() => match accepted {
                        Ok((stream, address)) if !self.shared.serves(address.ip()) => {
                            let text = "554 5.7.1 this server serves an MX of its own only\r\n";
                            // A fresh socket's buffer takes this; if not, the peer sees a closed connection.
                            let _ = stream.try_write(text.as_bytes());
                        }
                        Ok((stream, address)) => match self.connections.enter(address.ip()) {
                            Some(place) => {
                                let shared = Arc::clone(&self.shared);
                                sessions.spawn(connection(shared, stream, address, place, shutdown.clone()));
                            }
                            None => turn_away(&stream, &self.shared),
                        },
                        // EMFILE and the like: the next accept would fail at once, too, and burn a core.
                        Err(error) => {
                            tracing::warn!(%error, "cannot accept SMTP connections");
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    },
                }
            }
            drop(self.listener);
            let all_done = async { while sessions.join_next().await.is_some() {} };
            if timeout(limits::SHUTDOWN_GRACE, all_done).await.is_err() {
                tracing::warn!("SMTP sessions are cut off");
            }
            sessions.shutdown().await;
        })
    }
}

pub(crate) async fn asked_to_stop(shutdown: &mut watch::Receiver<bool>) {
    // An error means the sender is gone: whoever could have asked is not there any more.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

fn turn_away(stream: &TcpStream, shared: &Shared) {
    if shared.tls_start == TlsStart::StartTls {
        let text = format!("421 4.7.0 {} too many connections, please come again\r\n", shared.session.hostname);
        // A fresh socket's buffer takes this; if not, the peer sees a closed connection.
        let _ = stream.try_write(text.as_bytes());
    }
}

async fn connection(
    shared: Arc<Shared>,
    stream: TcpStream,
    address: SocketAddr,
    place: Place,
    shutdown: watch::Receiver<bool>,
) {
    // A peer that vanishes is everyday; what went wrong is the peer's to notice.
    if let Err(error) = serve(&shared, stream, address, shutdown).await {
        tracing::debug!(%error, "SMTP connection ended");
    }
    drop(place);
}

/// One connection from greeting to end.
async fn serve(
    shared: &Shared,
    stream: TcpStream,
    address: SocketAddr,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut stream, tls) = match (&shared.tls, shared.tls_start) {
        (Some(acceptor), TlsStart::Implicit) => {
            let stream = timeout(limits::HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
            let tls = agreed(stream.get_ref().1);
            (Stream::Tls(Box::new(stream)), Some(tls))
        }
        (None, TlsStart::Implicit) => return Err(io::Error::other("implicit TLS without a certificate")),
        (_, TlsStart::StartTls) => (Stream::Plain(stream), None),
    };
    let mut replies = Vec::new();
    let mut session = Session::new(Arc::clone(&shared.session), address, tls, Instant::now(), &mut replies);
    session.tell_time(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed()));
    let mut content = Vec::new();
    let mut spool: Option<SpoolWriter> = None;
    let mut input = vec![0; limits::READ_BUFFER_BYTES];
    let (mut from, mut to) = (0, 0);

    loop {
        let progress = session.handle_bytes(Instant::now(), &input[from..to], &mut content, &mut replies);
        from += progress.consumed;
        let delivering = matches!(progress.action, Action::Deliver);
        let mut kept = Ok(());
        if session.is_collecting() || delivering {
            if !content.is_empty() {
                kept = spool.get_or_insert_with(|| shared.spool.writer()).append(&content).await;
            }
        } else {
            spool = None;
        }
        content.clear();
        if let Err(error) = &kept {
            spool = None;
            session.refuse_content(spool_refusal(error));
        }

        let mut next = Some(progress.action);
        while let Some(action) = next.take() {
            match action {
                Action::Read => {
                    if !replies.is_empty() {
                        write(&mut stream, &mut replies).await?;
                    }
                    // The machine may have stopped only to get the replies out. What it left unused twice is an
                    // unfinished line, shorter than the buffer.
                    if from < to && progress.consumed > 0 {
                        continue;
                    }
                    input.copy_within(from..to, 0);
                    (from, to) = (0, to - from);
                    match read(&mut stream, &mut input[to..], &session, &mut shutdown).await? {
                        Woken::Octets(0) => return Ok(()),
                        Woken::Octets(octets) => to += octets,
                        Woken::Deadline => next = Some(session.handle_timeout(&mut replies)),
                        Woken::Shutdown => next = Some(session.handle_shutdown(&mut replies)),
                    }
                }
                Action::Authenticate { user, password } => {
                    let answer = shared.host.authenticate(session.peer(), &user, &password).await;
                    // The password came through here.
                    input[..from].zeroize();
                    next = session.answer_login(Instant::now(), answer, &mut replies);
                }
                Action::Bear { user, token } => {
                    let answer = shared.host.bear(session.peer(), &user, &token).await;
                    // The token came through here.
                    input[..from].zeroize();
                    next = session.answer_bear(Instant::now(), answer, &mut replies);
                }
                Action::Mail => {
                    let answer = {
                        let (path, none) = (session.reverse_path(), MailParameters::default());
                        shared.host.mail(session.peer(), path, session.parameters().unwrap_or(&none)).await
                    };
                    next = session.answer_mail(Instant::now(), answer, &mut replies);
                }
                Action::Recipient { mailbox } => {
                    let (peer, path, so_far) = (session.peer(), session.reverse_path(), session.recipients());
                    let answer = shared.host.rcpt(peer, path, &mailbox, so_far).await;
                    if answer.as_ref().is_err_and(Refusal::is_permanent)
                        && session.peer().kind != Kind::Lmtp
                        && session.recipients_refused() >= limits::RECIPIENTS_REFUSED_FREE
                    {
                        tokio::time::sleep(shared.probe_delay).await;
                    }
                    next = session.answer_recipient(Instant::now(), answer, &mut replies);
                }
                Action::Deliver => {
                    let whole = match (std::mem::replace(&mut kept, Ok(())), spool.take()) {
                        (Err(error), _) => Err(error),
                        (Ok(()), Some(writer)) => writer.finish().await,
                        (Ok(()), None) => Ok(Spool::from_memory(Vec::new())),
                    };
                    let answer = match (session.take_envelope(), whole) {
                        (Some(envelope), Ok(whole)) if envelope.peer.kind == Kind::Lmtp => {
                            let answers = shared.host.message_each(envelope, whole).await;
                            next = session.answer_each(Instant::now(), answers, &mut replies);
                            continue;
                        }
                        (Some(envelope), Ok(whole)) => shared.host.message(envelope, whole).await,
                        (_, Err(error)) => Err(spool_refusal(&error)),
                        (None, _) => Err(Refusal::try_again()),
                    };
                    next = session.answer_message(Instant::now(), answer, &mut replies);
                }
                Action::StartTls => {
                    write(&mut stream, &mut replies).await?;
                    (from, to) = (0, 0);
                    let (Some(acceptor), Stream::Plain(plain)) = (&shared.tls, stream) else {
                        return Err(io::Error::other("STARTTLS was offered without TLS"));
                    };
                    let encrypted = timeout(limits::HANDSHAKE_TIMEOUT, acceptor.accept(plain)).await??;
                    session.tls_started(Instant::now(), agreed(encrypted.get_ref().1));
                    stream = Stream::Tls(Box::new(encrypted));
                }
                Action::Close => {
                    write(&mut stream, &mut replies).await?;
                    return timeout(limits::WRITE_TIMEOUT, stream.shutdown()).await?;
                }
            }
        }
    }
}

fn spool_refusal(error: &SpoolError) -> Refusal {
    tracing::warn!(%error, "message content cannot be kept");
    match error {
        SpoolError::Full => Refusal::storage_full(),
        SpoolError::Io(_) | SpoolError::Damaged => Refusal::try_again(),
    }
}

enum Woken {
    Octets(usize),
    Deadline,
    Shutdown,
}

async fn read(
    stream: &mut Stream,
    buffer: &mut [u8],
    session: &Session,
    shutdown: &mut watch::Receiver<bool>,
) -> io::Result<Woken> {
    let octets = timeout_at(session.next_timeout().into(), stream.read(buffer));
    if session.is_collecting() {
        return octets.await.map_or(Ok(Woken::Deadline), |read| read.map(Woken::Octets));
    }
    tokio::select! {
        biased;
        read = octets => read.map_or(Ok(Woken::Deadline), |read| read.map(Woken::Octets)),
        () = asked_to_stop(shutdown) => Ok(Woken::Shutdown),
    }
}

async fn write(stream: &mut Stream, replies: &mut Vec<u8>) -> io::Result<()> {
    timeout(limits::WRITE_TIMEOUT, async {
        stream.write_all(replies).await?;
        stream.flush().await
    })
    .await??;
    replies.clear();
    Ok(())
}

/// A connection, with or without TLS.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
