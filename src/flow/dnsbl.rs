//! Lists of addresses that others have had trouble with, asked by DNS. RFC 5782.
//!
//! A list is a help, not a judge: what cannot be looked up counts as not listed, and allow-lists win.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lnmp::Allowed;
use smtp::Refusal;
use tokio::time::timeout;

use crate::flow::receive::Addressed;
use crate::house::House;

/// Wait for all lists together: the peer waits for its answer meanwhile.
const DEADLINE: Duration = Duration::from_secs(5);
/// What was found out holds for so long: sessions of one peer follow each other.
const KEPT: Duration = Duration::from_secs(10 * 60);
/// Addresses remembered.
const KNOWN_MAX: usize = 10_000;

/// What lists said of addresses.
#[derive(Default)]
pub struct Blocklists(Mutex<HashMap<IpAddr, (Instant, Option<String>)>>);

/// The first of the configured lists that names an address.
pub async fn listed(house: &House, address: IpAddr) -> Option<String> {
    let (address, smtp) = (address.to_canonical(), &house.config.smtp);
    if smtp.dnsbl.is_empty() || smtp.trusts(address) {
        return None;
    }
    let now = Instant::now();
    if let Some(known) = house.blocklists.get(address, now) {
        return known;
    }
    let resolver = &house.running().ok()?.resolver;
    let asked = smtp.dnsbl.iter().map(|list| async move {
        let name = format!("{}.{list}", reversed(address));
        let answer = resolver.addresses(&name).await;
        answer.is_ok_and(|answer| answer.into_iter().any(says_listed)).then(|| list.clone())
    });
    let found = timeout(DEADLINE, futures::future::join_all(asked)).await;
    let found = found.unwrap_or_default().into_iter().flatten().next();
    house.blocklists.put(address, now, found.clone());
    found
}

/// RCPT from a listed address. Somebody's allow-list may speak for the mail: that is seen at the end of DATA, when it is
/// known who wrote it. postmaster@ and abuse@ hear everybody.
pub async fn at_rcpt(house: &House, peer: IpAddr, reverse_path: &str, to: &Addressed) -> Result<(), Refusal> {
    match listed(house, peer).await {
        Some(list) if !to.free && !may_be_allowed(house, reverse_path, to) => Err(refusal(peer, &list)),
        _ => Ok(()),
    }
}

/// The words for it.
pub fn refusal(peer: IpAddr, list: &str) -> Refusal {
    let text = format!("{peer} is listed by {list}; ask there, or write to postmaster here");
    Refusal::new(550, (5, 7, 1), text)
}

fn may_be_allowed(house: &House, reverse_path: &str, to: &Addressed) -> bool {
    let claimed = reverse_path.to_lowercase();
    let claims = policy::Vouched { aligned_author: Some(&claimed), list_id: None, passing: &[] };
    [&to.account.settings.allowed, &*house.allowed()]
        .into_iter()
        .any(|list| policy::allows(list, &claims) || list.iter().any(|entry| matches!(entry, Allowed::List { .. })))
}

/// RFC 5782 §2.1 and §2.4: the parts of an address, last first.
fn reversed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(v6) => {
            let digits = v6.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            digits.map(|digit| format!("{digit:x}")).collect::<Vec<_>>().join(".")
        }
    }
}

/// RFC 5782 §2.1: an entry is an address in 127.0.0.0/8; anything else is a list that is gone. 127.255.255.0/24 is how
/// lists say that they do not answer this resolver.
fn says_listed(answer: IpAddr) -> bool {
    match answer {
        IpAddr::V4(v4) => v4.is_loopback() && v4 & Ipv4Addr::new(255, 255, 255, 0) != Ipv4Addr::new(127, 255, 255, 0),
        IpAddr::V6(_) => false,
    }
}

impl Blocklists {
    fn get(&self, address: IpAddr, now: Instant) -> Option<Option<String>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&address).filter(|(until, _)| *until > now).map(|(_, list)| list.clone())
    }

    fn put(&self, address: IpAddr, now: Instant, list: Option<String>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.retain(|_, (until, _)| *until > now);
        }
        if known.len() < KNOWN_MAX {
            known.insert(address, (now + KEPT, list));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_asked_for_in_reverse() {
        assert_eq!(reversed("192.0.2.99".parse().unwrap()), "99.2.0.192");
        let long = reversed("2001:db8:1:2:3:4:567:89ab".parse().unwrap());
        assert_eq!(long, "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2");
    }

    #[test]
    fn only_entries_are_believed() {
        for (answer, is_entry) in [
            ("127.0.0.2", true),
            ("127.0.1.10", true),
            ("127.255.255.254", false),
            ("192.0.2.1", false),
            ("::1", false),
        ] {
            assert_eq!(says_listed(answer.parse().unwrap()), is_entry, "{answer}");
        }
    }
}
