//! The nodes' ports: picked once and kept, so that several sandboxes run side by side.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::SandboxError;
use crate::node::{pick_port, port_is_free};
use crate::records::write_atomic;

pub(super) struct Ports {
    pub(super) bridge: SocketAddr,
    pub(super) customer: SocketAddr,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    bridge: u16,
    customer: u16,
}

pub(super) fn load_or_pick(dir: &Path) -> Result<Ports, SandboxError> {
    let path = dir.join("ports.json");
    let kept: Option<Kept> = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).ok(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let (had_bridge, had_customer) = kept.map_or((None, None), |kept| (Some(kept.bridge), Some(kept.customer)));
    // Somebody else may have taken a port since; then the nodes move, and tell each other.
    let bridge = had_bridge.filter(|port| port_is_free(*port)).map_or_else(|| pick(None), Ok)?;
    let customer = had_customer.filter(|port| port_is_free(*port)).map_or_else(|| pick(Some(bridge)), Ok)?;
    if (had_bridge, had_customer) != (Some(bridge), Some(customer)) {
        let json = serde_json::to_vec(&Kept { bridge, customer }).map_err(|e| SandboxError::Bug(e.to_string()))?;
        write_atomic(&path, &json)?;
    }
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Ok(Ports { bridge: at(bridge), customer: at(customer) })
}

fn pick(other: Option<u16>) -> Result<u16, SandboxError> {
    pick_port(other).ok_or_else(|| SandboxError::NotReady("no free port between 20000 and 32000".into()))
}
