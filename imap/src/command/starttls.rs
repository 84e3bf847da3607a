//! STARTTLS (RFC 3501 §6.2.1).

use std::io::{Error, ErrorKind};

use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::limits::TLS_HANDSHAKE_DEADLINE;
use crate::reply::{End, Run, Tagged};
use crate::session::Session;

pub(super) async fn run(session: &mut Session, tag: &str) -> Run {
    if session.peer.secure {
        return Ok(Tagged::bad("TLS is active already"));
    }
    let Some(config) = session.peer.tls.clone() else {
        return Ok(Tagged::bad("TLS is not available"));
    };
    session.io.out.extend_from_slice(format!("{tag} OK Begin TLS negotiation now\r\n").as_bytes());
    session.io.flush().await?;
    // Commands sent in the clear behind STARTTLS could be an attacker's: they are not heard.
    session.io.framer.discard_input();
    let plain = session.io.take_wire()?;
    let tls = timeout(TLS_HANDSHAKE_DEADLINE, TlsAcceptor::from(config).accept(plain)).await;
    let tls = tls.map_err(|_| End::Io(Error::from(ErrorKind::TimedOut)))?.map_err(End::Io)?;
    session.io.put_wire(Box::new(tls));
    session.peer.secure = true;
    // The tagged answer was the last thing said in the clear.
    Err(crate::reply::Stop::Answered)
}
