//! ldk-node's key-value store, made to survive a kill between two of its writes.
//!
//! LDK demands that the channel manager is never older than a channel's monitor; otherwise it closes the channel by
//! force. It writes them one after the other. This store lets every write through to ldk-node's own SQLite store and
//! keeps count: while a monitor is ahead of the manager on the disk it is *dirty* and [`super::gate`] lets nothing out.
//! At the next start the monitor's updates beyond the manager are dropped, which takes nothing back that was said.
//!
//! Monitors are kept as a whole and the updates since. When LDK writes one anew as a whole while it is ahead, the whole
//! waits under another name until the manager has caught up, because a whole cannot be rolled back.
//!
//! LDK holds some updates back from the monitor until an event was handled, and counts them in the manager already.
//! So what a manager covers is the smaller of its own number and the monitor's; that is kept behind its last octet.
//!
//! Pinned to lightning 0.2.7: it reads two numbers out of LDK's formats, and a channel it cannot find it leaves alone.

use std::collections::{HashMap, HashSet};
use std::fs::{File, TryLockError};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bitcoin::Txid;
use bitcoin::hashes::Hash;
use ldk::io;
use ldk::util::persist::{
    CHANNEL_MANAGER_PERSISTENCE_KEY, CHANNEL_MONITOR_PERSISTENCE_PRIMARY_NAMESPACE as MONITORS,
    CHANNEL_MONITOR_UPDATE_PERSISTENCE_PRIMARY_NAMESPACE as UPDATES, KVStore, KVStoreSync,
    MONITOR_UPDATING_PERSISTER_PREPEND_SENTINEL,
};
use ldk_node::io::sqlite_store::{KV_TABLE_NAME, SQLITE_DB_FILE_NAME, SqliteStore};
use tokio::sync::watch;

use crate::limits::{POLL_EVERY, STATE_FREE_WITHIN};

/// Where ldk-node writes down its peers.
const PEERS: &str = "peers";
/// Where a whole monitor waits for the manager.
const AHEAD: &str = "monitors_ahead";
/// Where we keep what is ours.
const OURS: &str = "satchel";
/// How often the state was opened.
const EPOCH: &str = "epoch";
/// Ends a manager that says what it covers: `{ channel id (32) | number (8) }*, count (4), this`.
const COVER: &[u8; 8] = b"SATCOVER";
/// LDK writes the whole monitor instead of every so many-th update (ldk-node's setting).
const WHOLE_EVERY: u64 = 100;

pub(super) struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    sqlite: SqliteStore,
    /// Held while a payment of ours is between LDK and its note: a manager that has it is written after the note.
    sending: Arc<tokio::sync::Mutex<()>>,
    channels: Mutex<HashMap<String, Channel>>,
    dirty: watch::Sender<bool>,
}

/// One channel, by the number of its monitor's last update.
#[derive(Debug, Clone, Copy, Default)]
struct Channel {
    id: [u8; 32],
    /// The monitor on the disk.
    written: u64,
    /// The manager on the disk, once the channel is in it.
    managed: Option<u64>,
    /// A whole monitor that waits.
    ahead: Option<u64>,
    /// Managers written without it.
    missing: u32,
    closed: bool,
}

impl Channel {
    fn is_ahead(&self) -> bool {
        !self.closed && self.managed.is_none_or(|managed| managed < self.written)
    }
}

impl Store {
    /// Opens ldk-node's database in `dir`, and drops what monitors are ahead by.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let sqlite = SqliteStore::new(dir.into(), Some(SQLITE_DB_FILE_NAME.into()), Some(KV_TABLE_NAME.into()))?;
        // The peers ldk-node remembers are gates of an earlier start: whoever listens there by now is somebody else, and a
        // connection that says nothing would keep the true one waiting.
        KVStoreSync::remove(&sqlite, "", "", PEERS, false)?;
        let manager = found(KVStoreSync::read(&sqlite, "", "", CHANNEL_MANAGER_PERSISTENCE_KEY))?;
        let (manager, cover) = manager.as_deref().map(uncover).unwrap_or_default();
        let mut channels = HashMap::new();
        for key in KVStoreSync::list(&sqlite, MONITORS, "")? {
            let Some(id) = channel_id(&key) else { continue };
            let whole = KVStoreSync::read(&sqlite, MONITORS, "", &key)?;
            let managed = number_in_manager(manager, &id).map(|number| cover.get(&id).copied().unwrap_or(number));
            let mut channel = Channel { id, managed, closed: managed.is_none(), ..Channel::default() };
            channel.written = number_of_whole(&whole).unwrap_or(0);
            if let Some(ahead) = found(KVStoreSync::read(&sqlite, AHEAD, "", &key))? {
                let number = number_of_whole(&ahead).unwrap_or(0);
                if managed.is_none_or(|managed| number <= managed) && number >= channel.written {
                    KVStoreSync::write(&sqlite, MONITORS, "", &key, ahead)?;
                    channel.written = number;
                }
                KVStoreSync::remove(&sqlite, AHEAD, "", &key, false)?;
            }
            drop_surplus(&sqlite, &key, &mut channel)?;
            channels.insert(key, channel);
        }
        let shared = Shared {
            sqlite,
            sending: Arc::default(),
            channels: Mutex::new(channels),
            dirty: watch::Sender::new(false),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Whoever holds this keeps the next manager from the disk.
    pub(super) fn sending(&self) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(&self.shared.sending)
    }

    /// What LDK's state says of payments.
    pub(super) fn traces(&self) -> Traces {
        Traces(Arc::clone(&self.shared))
    }

    /// Writes how often the state was opened.
    pub(super) fn set_epoch(&self, epoch: u64) -> io::Result<()> {
        KVStoreSync::write(&self.shared.sqlite, OURS, "", EPOCH, epoch.to_be_bytes().to_vec())
    }

    /// Whether a monitor is ahead of the manager on the disk.
    pub(super) fn dirty(&self) -> watch::Receiver<bool> {
        self.shared.dirty.subscribe()
    }
}

/// LDK's state on the disk, in which the hash of every payment stands that LDK knows.
pub(super) struct Traces(Arc<Shared>);

impl Traces {
    /// Strikes off whatever hash is found.
    pub(super) fn strike(&self, hashes: &mut HashSet<[u8; 32]>) -> io::Result<()> {
        let sqlite = &self.0.sqlite;
        if let Some(manager) = found(KVStoreSync::read(sqlite, "", "", CHANNEL_MANAGER_PERSISTENCE_KEY))? {
            strike(&manager, hashes);
        }
        for key in KVStoreSync::list(sqlite, MONITORS, "")? {
            strike(&KVStoreSync::read(sqlite, MONITORS, "", &key)?, hashes);
            for name in KVStoreSync::list(sqlite, UPDATES, &key)? {
                strike(&KVStoreSync::read(sqlite, UPDATES, &key, &name)?, hashes);
            }
        }
        Ok(())
    }
}

fn strike(state: &[u8], hashes: &mut HashSet<[u8; 32]>) {
    // Most places are dismissed by two octets.
    let begin = |hash: &[u8]| usize::from(u16::from_be_bytes([hash[0], hash[1]]));
    let mut begins = vec![false; 1 << 16];
    for hash in &*hashes {
        begins[begin(hash)] = true;
    }
    for at in state.windows(32).filter(|at| begins[begin(at)]) {
        hashes.remove(at);
    }
}

/// What is known of a state before anybody builds on it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Look {
    /// It belongs to a node that was started: it has a manager.
    pub(super) has_run: bool,
    /// How often it was opened, as it says itself.
    pub(super) epoch: u64,
}

/// Looks at the state in `dir`.
pub(super) fn look(dir: &Path) -> io::Result<Look> {
    let _lock = lock(dir)?;
    if !dir.join(SQLITE_DB_FILE_NAME).exists() {
        return Ok(Look::default());
    }
    let sqlite = SqliteStore::new(dir.into(), Some(SQLITE_DB_FILE_NAME.into()), Some(KV_TABLE_NAME.into()))?;
    let manager = found(KVStoreSync::read(&sqlite, "", "", CHANNEL_MANAGER_PERSISTENCE_KEY))?;
    let epoch = found(KVStoreSync::read(&sqlite, OURS, "", EPOCH))?;
    let epoch = epoch.and_then(|epoch| epoch.try_into().ok()).map_or(0, u64::from_be_bytes);
    Ok(Look { has_run: manager.is_some(), epoch })
}

/// The files of a state.
pub(super) fn files() -> [String; 3] {
    ["", "-wal", "-journal"].map(|end| format!("{SQLITE_DB_FILE_NAME}{end}"))
}

/// Takes `dir` for one node, as long as the file lives: a second one on the same state would cost the channels. One that is
/// stopping may need a moment.
pub(super) fn lock(dir: &Path) -> std::io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(dir.join("lock"))?;
    let until = Instant::now() + STATE_FREE_WITHIN;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                return Err(std::io::Error::new(std::io::ErrorKind::WouldBlock, "another node uses this state"));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(POLL_EVERY),
        }
    }
}

/// Drops updates the manager does not know, and those the whole monitor holds already.
fn drop_surplus(sqlite: &SqliteStore, key: &str, channel: &mut Channel) -> io::Result<()> {
    let whole = channel.written;
    let mut surplus = 0_u32;
    for name in KVStoreSync::list(sqlite, UPDATES, key)? {
        let Ok(number) = name.parse::<u64>() else { continue };
        let unknown = channel.managed.is_some_and(|managed| number > managed);
        if unknown || number <= whole {
            KVStoreSync::remove(sqlite, UPDATES, key, &name, false)?;
            surplus += u32::from(unknown);
        } else {
            channel.written = channel.written.max(number);
        }
    }
    if surplus > 0 {
        tracing::info!(updates = surplus, "lightning: undid what was not said before the last stop");
    }
    Ok(())
}

impl Shared {
    fn channels(&self) -> MutexGuard<'_, HashMap<String, Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beat(&self, channels: &HashMap<String, Channel>) {
        let now = channels.values().any(Channel::is_ahead);
        self.dirty.send_if_modified(|dirty| std::mem::replace(dirty, now) != now);
    }

    /// What a manager that is about to be written covers of each known channel, which is added to it.
    fn cover(&self, manager: &mut Vec<u8>) -> Vec<(String, Option<u64>)> {
        let channels = self.channels();
        let covered = |channel: &Channel| Some(number_in_manager(manager, &channel.id)?.min(channel.written));
        let all: Vec<_> = channels.iter().map(|(key, channel)| (key.clone(), covered(channel))).collect();
        let mut count = 0_u32;
        for (channel, number) in all.iter().filter_map(|(key, number)| Some((channels.get(key)?, (*number)?))) {
            manager.extend_from_slice(&channel.id);
            manager.extend_from_slice(&number.to_be_bytes());
            count += 1;
        }
        manager.extend_from_slice(&count.to_be_bytes());
        manager.extend_from_slice(COVER);
        all
    }

    /// A manager is on the disk: what waited for it is done.
    fn managed(&self, numbers: Vec<(String, Option<u64>)>) -> io::Result<()> {
        let mut channels = self.channels();
        for (key, number) in numbers {
            let Some(channel) = channels.get_mut(&key) else { continue };
            match number {
                Some(number) => {
                    channel.managed = Some(channel.managed.map_or(number, |before| before.max(number)));
                    (channel.closed, channel.missing) = (false, 0);
                }
                None => {
                    // Gone, or so new that this manager was composed before it.
                    channel.missing += 1;
                    channel.closed |= channel.managed.is_some() || channel.missing > 1;
                }
            }
            let due = channel.closed || channel.managed >= channel.ahead;
            if let Some(whole) = channel.ahead.filter(|_| due) {
                let ahead = KVStoreSync::read(&self.sqlite, AHEAD, "", &key)?;
                KVStoreSync::write(&self.sqlite, MONITORS, "", &key, ahead)?;
                KVStoreSync::remove(&self.sqlite, AHEAD, "", &key, false)?;
                channel.ahead = None;
                for name in KVStoreSync::list(&self.sqlite, UPDATES, &key)? {
                    if name.parse::<u64>().is_ok_and(|number| number <= whole) {
                        KVStoreSync::remove(&self.sqlite, UPDATES, &key, &name, true)?;
                    }
                }
            }
        }
        self.beat(&channels);
        Ok(())
    }

    /// A whole monitor.
    fn write_whole(&self, key: &str, whole: Vec<u8>) -> io::Result<()> {
        let number = number_of_whole(&whole)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an unknown monitor format"))?;
        let mut channels = self.channels();
        let known = channels.get(key).copied();
        let behind = known.and_then(|channel| channel.managed.filter(|managed| *managed < number && !channel.closed));
        match (known, behind) {
            (Some(channel), Some(_)) => {
                if channel.ahead.is_some_and(|ahead| ahead != number && ahead % WHOLE_EVERY == 0) {
                    // The one that waits stands for an update that was not written. This one's was.
                    return Ok(());
                }
                KVStoreSync::write(&self.sqlite, AHEAD, "", key, whole)?;
            }
            (_, _) => KVStoreSync::write(&self.sqlite, MONITORS, "", key, whole)?,
        }
        let fresh = || Channel { id: channel_id(key).unwrap_or_default(), ..Channel::default() };
        let channel = channels.entry(key.to_owned()).or_insert_with(fresh);
        channel.written = channel.written.max(number);
        if behind.is_some() {
            channel.ahead = Some(number);
        }
        self.beat(&channels);
        Ok(())
    }

    fn wrote_update(&self, key: &str, name: &str) {
        let mut channels = self.channels();
        if let (Some(channel), Ok(number)) = (channels.get_mut(key), name.parse::<u64>()) {
            channel.written = channel.written.max(number);
        }
        self.beat(&channels);
    }
}

fn is_manager(primary: &str, secondary: &str, key: &str) -> bool {
    primary.is_empty() && secondary.is_empty() && key == CHANNEL_MANAGER_PERSISTENCE_KEY
}

impl KVStoreSync for Store {
    fn read(&self, primary: &str, secondary: &str, key: &str) -> io::Result<Vec<u8>> {
        let mut value = KVStoreSync::read(&self.shared.sqlite, primary, secondary, key)?;
        if is_manager(primary, secondary, key) {
            let plain = uncover(&value).0.len();
            value.truncate(plain);
        }
        Ok(value)
    }

    fn write(&self, primary: &str, secondary: &str, key: &str, mut value: Vec<u8>) -> io::Result<()> {
        if primary == MONITORS {
            return self.shared.write_whole(key, value);
        }
        let numbers = is_manager(primary, secondary, key).then(|| self.shared.cover(&mut value));
        if numbers.is_some() {
            // ldk-node writes the manager asynchronously, below; here nobody may wait in its queue.
            while self.shared.sending.try_lock().is_err() {
                std::thread::sleep(POLL_EVERY);
            }
        }
        KVStoreSync::write(&self.shared.sqlite, primary, secondary, key, value)?;
        if primary == UPDATES {
            self.shared.wrote_update(secondary, key);
        }
        numbers.map_or(Ok(()), |numbers| self.shared.managed(numbers))
    }

    fn remove(&self, primary: &str, secondary: &str, key: &str, lazy: bool) -> io::Result<()> {
        let mut channels = self.shared.channels();
        if primary == UPDATES && channels.get(secondary).is_some_and(|channel| channel.ahead.is_some()) {
            // Still needed should the whole monitor be dropped; goes when that is put in its place.
            return Ok(());
        }
        KVStoreSync::remove(&self.shared.sqlite, primary, secondary, key, lazy)?;
        if primary == MONITORS {
            channels.remove(key);
            self.shared.beat(&channels);
        }
        Ok(())
    }

    fn list(&self, primary: &str, secondary: &str) -> io::Result<Vec<String>> {
        KVStoreSync::list(&self.shared.sqlite, primary, secondary)
    }
}

type Later<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl KVStore for Store {
    fn read(&self, primary: &str, secondary: &str, key: &str) -> Later<Vec<u8>> {
        if is_manager(primary, secondary, key) {
            return Box::pin(std::future::ready(KVStoreSync::read(self, primary, secondary, key)));
        }
        KVStore::read(&self.shared.sqlite, primary, secondary, key)
    }

    fn write(&self, primary: &str, secondary: &str, key: &str, mut value: Vec<u8>) -> Later<()> {
        if primary == MONITORS || primary == UPDATES {
            // ldk-node writes monitors synchronously; should that change, order still holds.
            let done = KVStoreSync::write(self, primary, secondary, key, value);
            return Box::pin(std::future::ready(done));
        }
        if !is_manager(primary, secondary, key) {
            return KVStore::write(&self.shared.sqlite, primary, secondary, key, value);
        }
        let numbers = self.shared.cover(&mut value);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            // Whatever payment is in it was begun before now: its note comes first.
            drop(shared.sending.lock().await);
            KVStore::write(&shared.sqlite, "", "", CHANNEL_MANAGER_PERSISTENCE_KEY, value).await?;
            let managed = tokio::task::spawn_blocking(move || shared.managed(numbers)).await;
            managed.unwrap_or_else(|error| Err(io::Error::new(io::ErrorKind::Other, error)))
        })
    }

    fn remove(&self, primary: &str, secondary: &str, key: &str, lazy: bool) -> Later<()> {
        if primary == MONITORS || primary == UPDATES {
            return Box::pin(std::future::ready(KVStoreSync::remove(self, primary, secondary, key, lazy)));
        }
        KVStore::remove(&self.shared.sqlite, primary, secondary, key, lazy)
    }

    fn list(&self, primary: &str, secondary: &str) -> Later<Vec<String>> {
        KVStore::list(&self.shared.sqlite, primary, secondary)
    }
}

fn found(read: io::Result<Vec<u8>>) -> io::Result<Option<Vec<u8>>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The channel id behind a monitor's key: `txid_vout` for a channel of the first kind, the id itself for later ones.
fn channel_id(key: &str) -> Option<[u8; 32]> {
    let Some((txid, vout)) = key.split_once('_') else { return hex::decode(key).ok()?.try_into().ok() };
    let mut id = Txid::from_str(txid).ok()?.to_byte_array();
    let [high, low] = vout.parse::<u16>().ok()?.to_be_bytes();
    id[30] ^= high;
    id[31] ^= low;
    Some(id)
}

/// A manager as LDK wrote it, and what it covers.
fn uncover(manager: &[u8]) -> (&[u8], HashMap<[u8; 32], u64>) {
    let covered = || {
        let (rest, count) = manager.strip_suffix(COVER)?.split_last_chunk::<4>()?;
        let entries = (u32::from_be_bytes(*count) as usize).checked_mul(40)?;
        let (plain, entries) = rest.split_at_checked(rest.len().checked_sub(entries)?)?;
        let entry = |entry: &[u8]| {
            let (id, number) = entry.split_first_chunk::<32>()?;
            Some((*id, u64::from_be_bytes(number.try_into().ok()?)))
        };
        Some((plain, entries.chunks_exact(40).filter_map(entry).collect()))
    };
    covered().unwrap_or_else(|| (manager, HashMap::new()))
}

/// A whole monitor begins with a sentinel, two version octets and the number of its last update.
fn number_of_whole(whole: &[u8]) -> Option<u64> {
    let rest = whole.strip_prefix(MONITOR_UPDATING_PERSISTER_PREPEND_SENTINEL).unwrap_or(whole);
    rest.get(2..10)?.try_into().ok().map(u64::from_be_bytes)
}

/// The manager lists its channels as `version, minimum version, user id (8), zeros (8), channel id (32), state (4),
/// satoshis (8), number of the monitor's last update (8)`, all big-endian.
fn number_in_manager(manager: &[u8], id: &[u8; 32]) -> Option<u64> {
    let at = manager.windows(32).enumerate().find_map(|(at, window)| {
        let zeros = at.checked_sub(8).is_some_and(|zeros| manager[zeros..at] == [0; 8]);
        (window == id && zeros).then_some(at)
    })?;
    let satoshis = u64::from_be_bytes(manager.get(at + 36..at + 44)?.try_into().ok()?);
    if satoshis == 0 || satoshis > bitcoin::Amount::MAX_MONEY.to_sat() {
        return None;
    }
    manager.get(at + 44..at + 52)?.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Sandbox;

    /// Pins the two formats this file reads: should LDK change them, this fails before anybody's channel does.
    #[test]
    fn the_numbers_in_a_node_s_manager_and_monitors_agree_after_a_clean_stop() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let sandbox = Sandbox::start(dir.path(), &[1; 32]).await.unwrap();
            let expiry = std::time::Duration::from_secs(3600);
            let invoice = sandbox.wallet().invoice(lnmp::Msat(1000), "pin".into(), expiry).await.unwrap();
            let hash = sandbox.customer().pay(&invoice).await.unwrap();
            let paid = sandbox.customer().wait(hash, crate::limits::PAY_WITHIN).await.unwrap();
            assert!(matches!(paid, crate::CustomerPayment::Succeeded { .. }));
            sandbox.stop().await.unwrap();
        });
        for node in ["bridge", "customer"] {
            let store = Store::open(&dir.path().join(node)).unwrap();
            let channels = store.shared.channels();
            assert_eq!(channels.len(), 1);
            for channel in channels.values() {
                assert_eq!(channel.managed, Some(channel.written), "{node}: {channel:?}");
                assert!(channel.written > 0 && !channel.closed);
            }
        }
    }

    #[test]
    fn a_payment_leaves_a_trace_in_manager_monitor_and_update_or_was_never_made() {
        let dir = tempfile::tempdir().unwrap();
        let key = format!("{}_1", "ab".repeat(32));
        let store = Store::open(dir.path()).unwrap();
        let state = |hash: u8| [&[0xff, 0xff, 1, 1, 0, 0, 0, 0, 0, 0, 0, 3][..], &[hash; 32], b"rest"].concat();
        KVStoreSync::write(&store, MONITORS, "", &key, state(1)).unwrap();
        KVStoreSync::write(&store, UPDATES, &key, "4", state(2)).unwrap();
        KVStoreSync::write(&store, "", "", "manager", state(3)).unwrap();
        let mut hashes: HashSet<_> = (1..=5).map(|hash| [hash; 32]).collect();
        store.traces().strike(&mut hashes).unwrap();
        let mut left: Vec<_> = hashes.iter().map(|hash| hash[0]).collect();
        left.sort_unstable();
        assert_eq!(left, vec![4, 5]);
    }

    #[test]
    fn the_gates_of_an_earlier_start_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        KVStoreSync::write(&store, "", "", PEERS, b"a gate".to_vec()).unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert!(KVStoreSync::read(&store, "", "", PEERS).is_err());
    }

    #[test]
    fn a_manager_waits_for_the_note_of_a_payment() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let sending = store.sending();
        runtime.block_on(async {
            let turn = sending.lock().await;
            let mut written = KVStore::write(&store, "", "", "manager", b"with the payment".to_vec());
            let early = tokio::time::timeout(std::time::Duration::from_millis(50), &mut written).await;
            assert!(early.is_err() && KVStoreSync::read(&store, "", "", "manager").is_err());
            drop(turn);
            written.await.unwrap();
        });
        assert_eq!(KVStoreSync::read(&store, "", "", "manager").unwrap(), b"with the payment");
    }

    #[test]
    fn a_monitor_ahead_of_the_manager_is_dirty_and_is_undone_at_the_next_opening() {
        let dir = tempfile::tempdir().unwrap();
        let key = format!("{}_1", "ab".repeat(32));
        let id = channel_id(&key).unwrap();
        let whole = |number: u64| [&[0xff, 0xff, 1, 1][..], &number.to_be_bytes(), b"rest"].concat();
        let manager = |number: u64| {
            let satoshis = 10_000_000_u64.to_be_bytes();
            [&[4, 4][..], &[7; 8], &[0; 8], &id, &[0; 4], &satoshis, &number.to_be_bytes(), b"rest"].concat()
        };
        let put = |store: &Store, primary: &str, secondary: &str, key: &str, value: Vec<u8>| {
            KVStoreSync::write(store, primary, secondary, key, value).unwrap();
        };
        let store = Store::open(dir.path()).unwrap();
        let dirty = store.dirty();
        put(&store, MONITORS, "", &key, whole(98));
        assert!(*dirty.borrow(), "a channel no manager knows");
        put(&store, "", "", "manager", manager(98));
        assert!(!*dirty.borrow());
        put(&store, UPDATES, &key, "99", b"update".to_vec());
        assert!(*dirty.borrow());
        put(&store, "", "", "manager", manager(99));
        assert!(!*dirty.borrow());

        // The hundredth comes as a whole, and the process dies before the manager.
        put(&store, MONITORS, "", &key, whole(100));
        KVStoreSync::remove(&store, UPDATES, &key, "99", true).unwrap();
        assert!(*dirty.borrow());
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(KVStoreSync::read(&store, MONITORS, "", &key).unwrap(), whole(98));
        assert_eq!(KVStoreSync::list(&store, UPDATES, &key).unwrap(), vec!["99"]);

        // The same, and the manager comes.
        put(&store, MONITORS, "", &key, whole(100));
        put(&store, "", "", "manager", manager(100));
        assert!(!*store.dirty().borrow());
        assert_eq!(KVStoreSync::read(&store, MONITORS, "", &key).unwrap(), whole(100));
        assert!(KVStoreSync::list(&store, UPDATES, &key).unwrap().is_empty());

        // Updates beyond the manager are undone.
        for number in 101..=103 {
            put(&store, UPDATES, &key, &number.to_string(), b"update".to_vec());
        }
        put(&store, "", "", "manager", manager(102));
        assert!(*store.dirty().borrow());
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        let mut left = KVStoreSync::list(&store, UPDATES, &key).unwrap();
        left.sort();
        assert_eq!(left, vec!["101", "102"]);
        assert!(!*store.dirty().borrow());

        // The manager counts an update that LDK holds back; written after it, the update is not covered.
        put(&store, "", "", "manager", manager(103));
        assert!(!*store.dirty().borrow());
        put(&store, UPDATES, &key, "103", b"update".to_vec());
        assert!(*store.dirty().borrow());
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(KVStoreSync::list(&store, UPDATES, &key).unwrap().len(), 2);
        assert_eq!(KVStoreSync::read(&store, "", "", "manager").unwrap(), manager(103));

        // A closed channel is in no manager, and holds nobody up.
        put(&store, "", "", "manager", b"nothing".to_vec());
        put(&store, UPDATES, &key, "104", b"update".to_vec());
        assert!(!*store.dirty().borrow());
    }
}
