//! A bounded cache whose entries end with their TTL.
//!
//! Two generations: when the young one is full, it becomes the old one and what was old and unused is forgotten.
//! No entry is ever looked for to be thrown out, so each call costs the same however full the cache is.

use crate::limits::{DNS_CACHE_ENTRIES, DNS_TTL_MAX};
use mail_auth::ResolverCache;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

pub(crate) struct Cache<K, V> {
    generations: Mutex<Generations<K, V>>,
    entries_max: usize,
}

struct Generations<K, V> {
    young: HashMap<K, (V, Instant)>,
    old: HashMap<K, (V, Instant)>,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub(crate) fn new() -> Self {
        Self::with_entries_max(DNS_CACHE_ENTRIES)
    }

    fn with_entries_max(entries_max: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new() };
        Self { generations: Mutex::new(generations), entries_max }
    }

    pub(crate) fn get_at<Q: Hash + Eq + ?Sized>(&self, key: &Q, now: Instant) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = |(value, until): &(V, Instant)| (*until > now).then(|| value.clone());
        if let Some(entry) = generations.young.get(key) {
            return alive(entry);
        }
        // What is used moves to the young, so that it survives the next change.
        let (key, entry) = generations.old.remove_entry(key)?;
        let value = alive(&entry)?;
        self.put(&mut generations, key, entry);
        Some(value)
    }

    pub(crate) fn insert_at(&self, key: K, value: V, until: Instant, now: Instant) {
        let until = until.min(now + DNS_TTL_MAX);
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(&mut generations, key, (value, until));
    }

    fn put(&self, generations: &mut Generations<K, V>, key: K, entry: (V, Instant)) {
        if generations.young.len() >= self.entries_max / 2 {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(key, entry);
    }
}

/// `mail-auth` hands no time in: this cache owns its clock.
fn now() -> Instant {
    Instant::now()
}

impl<K: Hash + Eq, V: Clone> ResolverCache<K, V> for Cache<K, V> {
    fn get<Q: Hash + Eq + ?Sized>(&self, name: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.get_at(name, now())
    }

    fn remove<Q: Hash + Eq + ?Sized>(&self, name: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let young = generations.young.remove(name);
        let old = generations.old.remove(name);
        young.or(old).map(|(value, _)| value)
    }

    fn insert(&self, key: K, value: V, valid_until: Instant) {
        self.insert_at(key, value, valid_until, now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn entries_end_with_their_time() {
        let (cache, start) = (Cache::new(), now());
        cache.insert_at("a", 1, start + Duration::from_secs(5), start);
        assert_eq!(cache.get_at("a", start), Some(1));
        assert_eq!(cache.get_at("a", start + Duration::from_secs(5)), None);
        cache.insert_at("b", 1, start + DNS_TTL_MAX * 9, start);
        assert_eq!(cache.get_at("b", start + DNS_TTL_MAX), None);
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let (cache, start) = (Cache::with_entries_max(100), now());
        let until = start + Duration::from_secs(60);
        cache.insert_at(0, 0, until, start);
        for key in 1..10_000 {
            cache.insert_at(key, key, until, start);
            assert_eq!(cache.get_at(&0, start), Some(0));
        }
        let generations = cache.generations.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 100);
    }
}
