//! An open session with another server: any number of mails, one after the other. RFC 5321 §3.3, RFC 3207.

use super::connection::{Connection, Plain, connect, reply_before_tls};
use super::extensions::Extensions;
use super::transaction::Transaction;
use super::{ClientError, Credentials, Deadlines, Outgoing, Reply, Rest, Security, Sent, Target, TlsFailure};
use crate::{TlsInfo, limits};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A session. Dropping it closes the connection; [`Session::quit`] says goodbye first.
pub struct Session {
    connection: Connection,
    extensions: Extensions,
    deadlines: Deadlines,
    host: String,
    address: IpAddr,
    tls: Option<TlsInfo>,
    fell_back: Option<(TlsFailure, String)>,
    verified: bool,
    state: State,
    mails: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// MAIL may come.
    Ready,
    /// A transaction was left half done: RSET first.
    Dirty,
    /// Nothing more can be said.
    Over,
}

impl Session {
    /// Connects to the first address that answers, greets, encrypts as `security` asks, and logs in.
    pub fn open<'a>(
        target: &'a Target,
        helo: &'a str,
        security: &'a Security,
        credentials: Option<&'a Credentials>,
        deadlines: Deadlines,
    ) -> BoxFuture<'a, Result<Self, ClientError>> {
        // Boxed, so that it is compiled here, once, and not again in every binary that awaits it.
        Box::pin(async move {
            let mut failure = unreachable(target, io::Error::new(io::ErrorKind::NotFound, "no address"));
            for &address in target.addresses.iter().take(limits::ADDRESSES_MAX) {
                match Self::open_at(address, target, helo, security, deadlines).await {
                    Ok(mut session) => {
                        if let Some(credentials) = credentials {
                            session.log_in(credentials).await?;
                        }
                        return Ok(session);
                    }
                    Err(ClientError::Lost(source)) => failure = unreachable(target, source),
                    Err(error) => failure = error,
                }
            }
            Err(failure)
        })
    }

    /// Sends one mail. The outcomes stand in the order of the recipients. After an error, ask
    /// [`Session::is_usable`].
    pub fn send<'a>(&'a mut self, mail: &'a Outgoing<'a>) -> BoxFuture<'a, Result<Sent, ClientError>> {
        self.send_with_rest(mail, None)
    }

    /// [`Session::send`] for a mail that is not in memory as a whole: `rest` follows its message.
    pub fn send_with_rest<'a>(
        &'a mut self,
        mail: &'a Outgoing<'a>,
        rest: Option<&'a dyn Rest>,
    ) -> BoxFuture<'a, Result<Sent, ClientError>> {
        Box::pin(async move {
            let sent = timeout(self.deadlines.delivery, self.send_now(mail, rest)).await;
            let sent = sent.unwrap_or(Err(ClientError::TimedOut("the whole delivery")));
            if sent.as_ref().is_err_and(|error| !matches!(error, ClientError::Refused(reply) if !reply.is_goodbye())) {
                self.state = State::Over;
            }
            sent
        })
    }

    async fn send_now(&mut self, mail: &Outgoing<'_>, rest: Option<&dyn Rest>) -> Result<Sent, ClientError> {
        if self.state == State::Dirty {
            let reply = self.connection.command("RSET", self.deadlines.reply).await?;
            if !reply.is_positive() {
                return Err(ClientError::NotReady(reply));
            }
            self.state = State::Ready;
        }
        // Whatever ends early leaves a transaction behind.
        self.state = State::Dirty;
        self.mails += 1;
        let transaction = Transaction {
            connection: &mut self.connection,
            extensions: &self.extensions,
            mail,
            rest,
            deadlines: self.deadlines,
            verified: self.verified,
        };
        let (outcomes, state) = transaction.run().await?;
        self.state = state;
        let keeps_time = self.extensions.deliver_by.is_some();
        Ok(Sent { outcomes, reports: self.extensions.dsn, keeps_time })
    }

    /// Whether another mail can follow.
    pub fn is_usable(&self) -> bool {
        self.state != State::Over
    }

    /// Mails begun in this session.
    pub fn mails(&self) -> usize {
        self.mails
    }

    /// Says goodbye; whether it gets through changes nothing.
    pub fn quit(mut self) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if self.state != State::Over {
                let _ = self.connection.write(b"QUIT\r\n").await;
            }
        })
    }

    /// The server's name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Where it is.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How the connection is encrypted.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }

    /// Whether the server proved its name.
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    /// Why the connection is in the clear although TLS was tried.
    pub fn fell_back(&self) -> Option<&(TlsFailure, String)> {
        self.fell_back.as_ref()
    }

    async fn open_at(
        address: SocketAddr,
        target: &Target,
        helo: &str,
        security: &Security,
        deadlines: Deadlines,
    ) -> Result<Self, ClientError> {
        let session = |connection, extensions, tls: Option<TlsInfo>| Self {
            verified: tls.is_some() && security.verifies(),
            connection,
            extensions,
            deadlines,
            host: target.host.clone(),
            address: address.ip(),
            tls,
            fell_back: None,
            state: State::Ready,
            mails: 0,
        };
        let mut plain = connect(address, deadlines.connect).await.map_err(ClientError::Lost)?;
        if target.implicit_tls {
            let (mut connection, tls) = encrypt(plain, target, security, deadlines)
                .await
                .map_err(|(failure, text)| tls_error(target, failure, text))?;
            greeting(connection.reply(deadlines.reply).await?)?;
            let extensions = ehlo(&mut connection, helo, deadlines).await?;
            return Ok(session(connection, extensions, Some(tls)));
        }
        greeting(reply_before_tls(&mut plain, deadlines.reply).await?)?;
        let extensions = ehlo_plain(&mut plain, helo, deadlines).await?;
        if matches!(security, Security::Off) {
            return Ok(session(Connection::new(plain), extensions, None));
        }
        let answer = match extensions.starttls {
            true => Some(command_plain(&mut plain, "STARTTLS", deadlines).await?),
            false => None,
        };
        if answer.as_ref().is_none_or(|answer| answer.code != 220) {
            let why =
                answer.map_or_else(|| "STARTTLS is not offered".to_owned(), |answer| format!("STARTTLS: {answer}"));
            if security.insists() {
                return Err(tls_error(target, TlsFailure::NotOffered, why));
            }
            let mut session = session(Connection::new(plain), extensions, None);
            session.fell_back = Some((TlsFailure::NotOffered, why));
            return Ok(session);
        }
        match encrypt(plain, target, security, deadlines).await {
            Ok((mut connection, tls)) => {
                let extensions = ehlo(&mut connection, helo, deadlines).await?;
                Ok(session(connection, extensions, Some(tls)))
            }
            Err((failure, why)) if security.insists() => Err(tls_error(target, failure, why)),
            Err((failure, why)) => {
                tracing::debug!(%why, "TLS handshake failed, delivering in the clear");
                let mut plain = connect(address, deadlines.connect).await.map_err(ClientError::Lost)?;
                greeting(reply_before_tls(&mut plain, deadlines.reply).await?)?;
                let extensions = ehlo_plain(&mut plain, helo, deadlines).await?;
                let mut session = session(Connection::new(plain), extensions, None);
                session.fell_back = Some((failure, why));
                Ok(session)
            }
        }
    }

    /// RFC 4954, by PLAIN or LOGIN, whichever is offered; never in the clear but to this machine.
    async fn log_in(&mut self, credentials: &Credentials) -> Result<(), ClientError> {
        if self.tls.is_none() && !self.address.is_loopback() {
            return Err(ClientError::Login("the server offers no TLS, and a password does not go in the clear".into()));
        }
        let offers = |name: &str| self.extensions.auth.iter().any(|mechanism| mechanism == name);
        let (user, password) = (&credentials.user, credentials.password.reveal());
        let reply = if offers("PLAIN") {
            let response = STANDARD.encode(format!("\0{user}\0{password}"));
            self.connection.command(&format!("AUTH PLAIN {response}"), self.deadlines.reply).await?
        } else if offers("LOGIN") {
            let mut reply = self.connection.command("AUTH LOGIN", self.deadlines.reply).await?;
            for text in [user.as_str(), password] {
                if reply.code != 334 {
                    break;
                }
                reply = self.connection.command(&STANDARD.encode(text), self.deadlines.reply).await?;
            }
            reply
        } else {
            return Err(ClientError::Login("the server offers neither AUTH PLAIN nor AUTH LOGIN".into()));
        };
        if reply.code == 235 { Ok(()) } else { Err(ClientError::Login(reply.to_string())) }
    }
}

fn unreachable(target: &Target, source: io::Error) -> ClientError {
    ClientError::Unreachable { host: target.host.clone(), source }
}

fn tls_error(target: &Target, failure: TlsFailure, text: String) -> ClientError {
    ClientError::Tls { host: target.host.clone(), failure, text }
}

async fn encrypt(
    plain: TcpStream,
    target: &Target,
    security: &Security,
    deadlines: Deadlines,
) -> Result<(Connection, TlsInfo), (TlsFailure, String)> {
    Connection::encrypt(Plain(plain), &target.host, security.config(), deadlines.reply)
        .await
        .map_err(|error| (TlsFailure::of(&error), error.to_string()))
}

fn greeting(reply: Reply) -> Result<(), ClientError> {
    if reply.code == 220 { Ok(()) } else { Err(ClientError::NotReady(reply)) }
}

async fn ehlo(connection: &mut Connection, helo: &str, deadlines: Deadlines) -> Result<Extensions, ClientError> {
    let reply = connection.command(&format!("EHLO {helo}"), deadlines.reply).await?;
    if reply.is_positive() { Ok(Extensions::of(&reply)) } else { Err(ClientError::NotReady(reply)) }
}

async fn ehlo_plain(plain: &mut TcpStream, helo: &str, deadlines: Deadlines) -> Result<Extensions, ClientError> {
    let reply = command_plain(plain, &format!("EHLO {helo}"), deadlines).await?;
    if reply.is_positive() {
        return Ok(Extensions::of(&reply));
    }
    let reply = command_plain(plain, &format!("HELO {helo}"), deadlines).await?;
    if reply.is_positive() { Ok(Extensions::default()) } else { Err(ClientError::NotReady(reply)) }
}

async fn command_plain(plain: &mut TcpStream, line: &str, deadlines: Deadlines) -> Result<Reply, ClientError> {
    use tokio::io::AsyncWriteExt as _;
    let line = format!("{line}\r\n");
    timeout(limits::WRITE_TIMEOUT, plain.write_all(line.as_bytes()))
        .await
        .map_err(|_| ClientError::TimedOut("the server does not take what is sent"))?
        .map_err(ClientError::Lost)?;
    reply_before_tls(plain, deadlines.reply).await
}
