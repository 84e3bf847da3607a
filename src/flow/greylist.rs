//! Greylisting: who is not known comes again after some minutes, as real servers do. RFC 6647.
//!
//! ```text
//!   (network, reverse-path, recipient) new ─▶ 451, come again   ─▶ came again after the delay ─▶ the network is proven
//!   proven networks pass, for as long as they send something every MEMORY
//! ```
//! It is asked at the end of DATA, when it is known who wrote the mail: whom a recipient knows, or lets in
//! free, is never put off. Only keyed hashes are kept, in memory and in the database: neither tells who wrote to whom
//! without the bridge key.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smtp::{Refusal, network_of};
use store::UnixMs;
use tokio::sync::watch;

use crate::house::{House, now_ms, stopped};

/// A first try is remembered for so long. RFC 6647 §5 asks for a day.
const TRIED_MS: i64 = 24 * 3_600_000;
/// A proven network is remembered for so long after its last mail: longer than a month, for monthly mail.
const MEMORY_MS: i64 = 36 * 86_400_000;
/// First tries in memory, 24 octets each: more than a flood from one network per connection limit makes in a day.
const TRIED_MAX: usize = 100_000;
/// Proven networks in memory, likewise.
const PROVEN_MAX: usize = 100_000;
/// How often what was learned is written: a crash costs proven networks one more delay.
const SAVE_EVERY: Duration = Duration::from_secs(10 * 60);
/// Where it stands in the store.
const META: &str = "greylist";
/// The form it stands there in.
const FORM: u8 = 1;
/// Octets of a keyed hash that are kept.
const HASH: usize = 16;

type Hashed = [u8; HASH];

/// What is known of networks.
#[derive(Default)]
pub struct Greylist(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// First tries of a triplet.
    tried: HashMap<Hashed, UnixMs>,
    /// Last mails of a network that came again once.
    proven: HashMap<Hashed, UnixMs>,
    changed: bool,
}

/// Whether a mail to these recipients, none of whom knows the author, has to come again.
pub fn put_off(house: &House, peer: IpAddr, reverse_path: &str, recipients: &[&str], now: UnixMs) -> Option<Refusal> {
    let hash = |parts: &[&[u8]]| {
        let mut short = [0; HASH];
        short.copy_from_slice(&house.keys.bridge().keyed_hash(META, &parts.join(&0))[..HASH]);
        short
    };
    let network = network_of(peer).to_string();
    let triplets: Vec<Hashed> = recipients
        .iter()
        .map(|to| hash(&[network.as_bytes(), reverse_path.to_lowercase().as_bytes(), to.as_bytes()]))
        .collect();
    let delay = i64::try_from(house.config.smtp.greylist_delay.as_millis()).unwrap_or(TRIED_MS);
    let wait = house.greylist.lock().wait(hash(&[network.as_bytes()]), &triplets, delay, now)?;
    let minutes = wait.div_euclid(60_000) + 1;
    let text = format!("this server does not know yours yet: please come again in {minutes} minutes (greylisting)");
    Some(Refusal::new(451, (4, 7, 1), text))
}

/// Reads what was learned before; writes it now and then, and at `stop`.
pub async fn run(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    if !house.config.smtp.greylist {
        return;
    }
    match house.store.get_meta(META).await {
        Ok(bytes) => house.greylist.lock().read(&bytes.unwrap_or_default()),
        Err(error) => tracing::warn!(%error, "the greylist begins anew"),
    }
    loop {
        let ended = tokio::select! {
            () = tokio::time::sleep(SAVE_EVERY) => false,
            () = stopped(&mut stop) => true,
        };
        let bytes = house.greylist.lock().write(now_ms());
        if let Some(bytes) = bytes
            && let Err(error) = house.store.set_meta(META, &bytes).await
        {
            tracing::warn!(%error, "the greylist cannot be kept");
        }
        if ended {
            return;
        }
    }
}

impl Greylist {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// How long to wait; `None`: not at all.
    fn wait(&mut self, network: Hashed, triplets: &[Hashed], delay: i64, now: UnixMs) -> Option<i64> {
        if self.proven.get(&network).is_some_and(|last| now - last < MEMORY_MS) {
            self.prove(network, now);
            return None;
        }
        let mut longest = None;
        for triplet in triplets {
            let first = self.tried.get(triplet).copied().filter(|first| (0..TRIED_MS).contains(&(now - first)));
            let first = first.unwrap_or_else(|| {
                make_room(&mut self.tried, TRIED_MAX, now - TRIED_MS);
                self.tried.insert(*triplet, now);
                self.changed = true;
                now
            });
            longest = longest.max(Some(first + delay - now).filter(|left| *left > 0));
        }
        if longest.is_none() {
            for triplet in triplets {
                self.tried.remove(triplet);
            }
            self.prove(network, now);
        }
        longest
    }

    fn prove(&mut self, network: Hashed, now: UnixMs) {
        if !self.proven.contains_key(&network) {
            make_room(&mut self.proven, PROVEN_MAX, now - MEMORY_MS);
        }
        self.proven.insert(network, now);
        self.changed = true;
    }

    /// What changed since the last time, without what is over.
    fn write(&mut self, now: UnixMs) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        self.tried.retain(|_, first| now - *first < TRIED_MS);
        self.proven.retain(|_, last| now - *last < MEMORY_MS);
        let mut out = vec![FORM];
        for (kind, map) in [(0, &self.tried), (1, &self.proven)] {
            for (hash, at) in map {
                out.push(kind);
                out.extend_from_slice(hash);
                out.extend_from_slice(&at.to_be_bytes());
            }
        }
        Some(out)
    }

    fn read(&mut self, bytes: &[u8]) {
        let Some((&FORM, entries)) = bytes.split_first() else { return };
        for entry in entries.chunks_exact(1 + HASH + 8) {
            let (hash, at) = entry[1..].split_at(HASH);
            let (Ok(hash), Ok(at)) = (hash.try_into(), at.try_into()) else { continue };
            let map = if entry[0] == 0 { &mut self.tried } else { &mut self.proven };
            map.insert(hash, UnixMs::from_be_bytes(at));
        }
    }
}

/// What is over goes; else any one.
fn make_room(map: &mut HashMap<Hashed, UnixMs>, most: usize, over_before: UnixMs) {
    if map.len() < most {
        return;
    }
    map.retain(|_, at| *at > over_before);
    let any = map.keys().next().copied().filter(|_| map.len() >= most);
    if let Some(any) = any {
        map.remove(&any);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY_MS: i64 = 5 * 60_000;
    const A: Hashed = [1; HASH];
    const B: Hashed = [2; HASH];
    const NETWORK: Hashed = [9; HASH];

    #[test]
    fn a_network_that_comes_again_is_proven_for_all_its_mail() {
        let mut known = Known::default();
        assert_eq!(known.wait(NETWORK, &[A], DELAY_MS, 0), Some(DELAY_MS));
        assert_eq!(
            known.wait(NETWORK, &[A], DELAY_MS, 60_000),
            Some(DELAY_MS - 60_000),
            "too soon, and the clock runs on"
        );
        assert_eq!(
            known.wait(NETWORK, &[A, B], DELAY_MS, DELAY_MS),
            Some(DELAY_MS),
            "another recipient is another try"
        );
        assert_eq!(known.wait(NETWORK, &[A, B], DELAY_MS, 2 * DELAY_MS), None);
        assert_eq!(known.wait(NETWORK, &[[7; HASH]], DELAY_MS, 2 * DELAY_MS + 1), None);
        // It stays so while something comes, and ends when nothing does.
        let later = 2 * DELAY_MS + MEMORY_MS;
        assert_eq!(known.wait(NETWORK, &[A], DELAY_MS, later), None);
        assert_eq!(known.wait(NETWORK, &[A], DELAY_MS, later + MEMORY_MS), Some(DELAY_MS));
    }

    #[test]
    fn a_retry_after_a_day_begins_anew() {
        let mut known = Known::default();
        assert_eq!(known.wait(NETWORK, &[A], DELAY_MS, 0), Some(DELAY_MS));
        assert_eq!(known.wait(NETWORK, &[A], DELAY_MS, TRIED_MS), Some(DELAY_MS));
        // A clock that was set back is not held against anybody for longer than the delay.
        assert_eq!(known.wait(NETWORK, &[A], DELAY_MS, 1000), Some(DELAY_MS));
    }

    #[test]
    fn what_was_learned_survives_a_restart_and_what_is_over_does_not() {
        let mut known = Known::default();
        known.wait(NETWORK, &[A], DELAY_MS, 0);
        known.wait(NETWORK, &[A], DELAY_MS, DELAY_MS);
        known.wait([8; HASH], &[B], DELAY_MS, DELAY_MS);
        let bytes = known.write(DELAY_MS).unwrap();
        assert_eq!(known.write(DELAY_MS), None, "nothing changed");
        let mut again = Known::default();
        again.read(&bytes);
        assert_eq!(again.wait(NETWORK, &[B], DELAY_MS, DELAY_MS), None);
        assert_eq!(again.wait([8; HASH], &[B], DELAY_MS, 2 * DELAY_MS), None);
        again.read(b"\x07what is this");
        assert_eq!(
            again.write(DELAY_MS + MEMORY_MS).unwrap(),
            [FORM, 1].iter().copied().chain([8; HASH]).chain((2 * DELAY_MS).to_be_bytes()).collect::<Vec<u8>>()
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut map: HashMap<Hashed, UnixMs> = (0..10_u8).map(|n| ([n; HASH], i64::from(n))).collect();
        make_room(&mut map, 10, -1);
        assert_eq!(map.len(), 9);
        make_room(&mut map, 9, 4);
        assert!(map.len() < 6 && map.values().all(|at| *at > 4), "{map:?}");
    }
}
