//! The bridge's port: picked once and kept, so that several sandboxes run side by side.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::SandboxError;
use crate::node::listen_anywhere;
use crate::records::write_atomic;

#[derive(Serialize, Deserialize)]
struct Kept {
    bridge: u16,
}

/// Binds the port that this directory had before, or another one when somebody has taken it since: then the customer is
/// told.
pub(super) fn listen(dir: &Path) -> Result<TcpListener, SandboxError> {
    let path = dir.join("ports.json");
    let kept: Option<Kept> = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).ok(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(listener) = kept.and_then(|kept| TcpListener::bind((Ipv4Addr::LOCALHOST, kept.bridge)).ok()) {
        return Ok(listener);
    }
    let none = || SandboxError::NotReady("no free port between 20000 and 32000".into());
    let listener = listen_anywhere().ok_or_else(none)?;
    let kept = Kept { bridge: listener.local_addr()?.port() };
    write_atomic(&path, &serde_json::to_vec(&kept).map_err(|error| SandboxError::Bug(error.to_string()))?)?;
    Ok(listener)
}
