//! What `fuzz/` drives: parts of this crate that are private otherwise.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::server::Server;
use crate::wire::{Frame, Framer};

/// Cuts octets into commands, `step` at a time, and parses each; the commands.
///
/// # Panics
/// When an error's text could not stand in a response.
pub fn commands(octets: &[u8], step: usize) -> Vec<Vec<u8>> {
    let (mut framer, mut commands) = (Framer::new(), Vec::new());
    for piece in octets.chunks(step.max(1)) {
        framer.input().extend_from_slice(piece);
        loop {
            match framer.poll() {
                Frame::More => break,
                Frame::Literal(header) if header.size < 1024 => framer.accept_literal(),
                Frame::Literal(_) => framer.skip_literal(),
                Frame::Command => {
                    if let Err(bad) = crate::command::parse(framer.command()) {
                        assert!(!bad.0.is_empty() && !bad.0.contains(['\r', '\n', '\0']), "{bad:?}");
                    }
                    commands.push(framer.take_command());
                    framer.next();
                }
                Frame::Refused => framer.next(),
                Frame::Lost => return commands,
            }
        }
    }
    commands
}

/// Serves one client on loopback through a pipe, until either ends it.
pub async fn converse(
    server: Arc<Server>,
    pipe: impl AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
    stopping: watch::Receiver<bool>,
) {
    server.converse(Box::new(pipe), IpAddr::V4(Ipv4Addr::LOCALHOST), false, stopping).await;
}
