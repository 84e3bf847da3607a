//! Counts open connections, in all and per network, and turns away what is too much.

use crate::network::network_of;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// How many are open.
#[derive(Debug)]
pub(crate) struct Connections {
    total_max: usize,
    network_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    networks: HashMap<IpAddr, usize>,
}

/// One open connection; gives its place back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    network: Option<IpAddr>,
}

impl Connections {
    pub(crate) fn new(total_max: usize, network_max: usize) -> Arc<Self> {
        Arc::new(Self { total_max, network_max, open: Mutex::default() })
    }

    /// A place for a connection from this address, unless there are too many.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.total_max {
            return None;
        }
        if let Some(network) = network {
            let count = open.networks.entry(network).or_default();
            if *count >= self.network_max {
                return None;
            }
            *count += 1;
        }
        open.total += 1;
        Some(Place { connections: Arc::clone(self), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        let Some(network) = self.network else { return };
        if let Some(count) = open.networks.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                open.networks.remove(&network);
            }
        }
    }
}

/// IPv4 /24 or IPv6 /64; none for loopback, where proxies and this machine's own programs live.
fn network(address: IpAddr) -> Option<IpAddr> {
    (!address.to_canonical().is_loopback()).then(|| network_of(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(connections: &Arc<Connections>, address: &str) -> Option<Place> {
        connections.enter(address.parse().unwrap())
    }

    #[test]
    fn a_network_is_bounded_and_its_neighbour_is_not() {
        let connections = Connections::new(100, 2);
        let first = enter(&connections, "192.0.2.1").unwrap();
        let _second = enter(&connections, "192.0.2.200").unwrap();
        assert!(enter(&connections, "192.0.2.7").is_none());
        assert!(enter(&connections, "::ffff:192.0.2.7").is_none());
        assert!(enter(&connections, "192.0.3.7").is_some());
        drop(first);
        assert!(enter(&connections, "192.0.2.7").is_some());
        let _v6 = (enter(&connections, "2001:db8::1").unwrap(), enter(&connections, "2001:db8::2").unwrap());
        assert!(enter(&connections, "2001:db8::ffff:3").is_none());
        assert!(enter(&connections, "2001:db8:0:1::3").is_some());
    }

    #[test]
    fn loopback_is_bounded_by_the_total_only_and_places_come_back() {
        let connections = Connections::new(3, 1);
        let places: Vec<_> = (0..3).map(|_| enter(&connections, "127.0.0.1").unwrap()).collect();
        assert!(enter(&connections, "127.0.0.1").is_none());
        drop(places);
        assert_eq!(connections.open.lock().unwrap().total, 0);
        assert!(connections.open.lock().unwrap().networks.is_empty());
    }
}
