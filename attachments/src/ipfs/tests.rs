//! What is true of the IPFS shelf beyond the contract: the disk, the node, crashes.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant as StdInstant;

use futures::channel::mpsc;
use futures::{SinkExt as _, StreamExt as _};
use tempfile::TempDir;

use super::*;
use crate::contract::{later, text};

async fn fresh() -> (IpfsShelf, TempDir) {
    let dir = TempDir::new().unwrap();
    (reopen(dir.path()).await, dir)
}

async fn reopen(dir: &Path) -> IpfsShelf {
    IpfsShelf::start(Settings::new(dir)).await.unwrap()
}

crate::contract::suite!(fresh());

/// Every file under `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn block_files(dir: &Path) -> Vec<PathBuf> {
    files(&dir.join("blockstore"))
}

fn file_of(dir: &Path, cid: &str) -> PathBuf {
    block_files(dir).into_iter().find(|path| path.file_stem().is_some_and(|stem| stem == cid)).unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut data = fs::read(path).unwrap();
    data[at] ^= 1;
    fs::write(path, data).unwrap();
}

#[tokio::test]
async fn a_restart_keeps_everything_and_pins_come_back_from_the_callers_list() {
    let (shelf, dir) = fresh().await;
    let plain = text(2_500_000);
    let (big, small) = (shelf.put(plain.clone()).await.unwrap(), shelf.put(text(5)).await.unwrap());
    shelf.stop().await;

    let shelf = reopen(dir.path()).await;
    let pinned =
        async |cid: &str| shelf.node.running().unwrap().is_pinned(reference::parse_cid(cid).unwrap()).await.unwrap();
    assert!(!pinned(&big.cid).await && !pinned(&small.cid).await);
    assert!(shelf.restore_pins(&[big.cid.clone(), small.cid.clone()]).await.unwrap().is_empty());
    assert!(pinned(&big.cid).await && pinned(&small.cid).await);
    assert_eq!(shelf.read(&big, 0..2_500_000).await.unwrap(), plain);
    shelf.stop().await;
}

#[tokio::test]
async fn the_node_serves_what_the_shelf_wrote() {
    let (shelf, _dir) = fresh().await;
    let plain = text(2_500_000);
    let reference = shelf.put(plain.clone()).await.unwrap();
    let root = reference::parse_cid(&reference.cid).unwrap();
    let node = shelf.node.running().unwrap();

    let leaves = shelf.leaves(root).await.unwrap();
    assert_eq!(leaves.len(), 3);
    for cid in leaves.iter().chain([&root]) {
        assert!(node.repo().get_block_now(cid).await.unwrap().is_some(), "{cid}");
        assert!(node.is_pinned(cid).await.unwrap(), "{cid}");
    }
    // What IPFS gives for the CID is the lnmp-stream/1 of the plaintext.
    let mut sealed = Vec::new();
    let mut file = node.cat_unixfs(root).local();
    while let Some(piece) = file.next().await {
        sealed.extend(piece.unwrap());
    }
    let layout = Layout::new(reference.size).unwrap();
    assert_eq!(sealed.len() as u64, layout.sealed_size());
    assert!(stream::open_range(&reference.key, layout, 0..reference.size, &mut &sealed[..]).unwrap() == plain);
    drop(node);
    shelf.stop().await;
}

#[tokio::test]
async fn removing_leaves_no_file_behind_and_unpins() {
    let (shelf, dir) = fresh().await;
    for len in [10, 2_500_000] {
        let reference = shelf.put(text(len)).await.unwrap();
        let root = reference::parse_cid(&reference.cid).unwrap();
        let leaves = shelf.leaves(root).await.unwrap();
        shelf.remove(&reference.cid).await.unwrap();
        let node = shelf.node.running().unwrap();
        for cid in leaves.iter().chain([&root]) {
            assert!(!node.is_pinned(cid).await.unwrap());
        }
        assert_eq!(block_files(dir.path()), Vec::<PathBuf>::new());
    }
    shelf.stop().await;
}

#[tokio::test]
async fn an_octet_flipped_on_disk_is_noticed_by_whoever_reads_its_chunk() {
    let (shelf, dir) = fresh().await;
    let reference = shelf.put(text(2_500_000)).await.unwrap();
    let leaves = shelf.leaves(reference::parse_cid(&reference.cid).unwrap()).await.unwrap();
    flip(&file_of(dir.path(), &leaves[1].to_string()), 65_536 + 17);

    let chunk = 17 * CHUNK_BYTES;
    assert!(shelf.read(&reference, 0..chunk).await.is_ok());
    assert!(shelf.read(&reference, chunk + CHUNK_BYTES..2_500_000).await.is_ok());
    for range in [0..2_500_000, chunk..chunk + 1, chunk + CHUNK_BYTES - 1..chunk + CHUNK_BYTES] {
        let read = shelf.read(&reference, range).await;
        assert!(matches!(read, Err(Error::Damaged { cid, .. }) if cid == reference.cid));
    }
    shelf.stop().await;
}

/// [`crate::limits::CHUNK_BYTES`], as ranges have it.
const CHUNK_BYTES: u64 = crate::limits::CHUNK_BYTES as u64;

#[tokio::test]
async fn a_cut_or_lost_leaf_and_a_forged_root_are_noticed() {
    let (shelf, dir) = fresh().await;
    let reference = shelf.put(text(2_500_000)).await.unwrap();
    let root = reference::parse_cid(&reference.cid).unwrap();
    let leaves = shelf.leaves(root).await.unwrap();
    let leaf = |i: usize| file_of(dir.path(), &leaves[i].to_string());

    fs::File::options().write(true).open(leaf(2)).unwrap().set_len(65_536).unwrap();
    let cut = shelf.read(&reference, 2_499_999..2_500_000).await;
    assert!(matches!(cut, Err(Error::Damaged { .. })));

    fs::remove_file(leaf(1)).unwrap();
    let lost = shelf.read(&reference, 1_500_000..1_500_001).await;
    assert!(matches!(lost, Err(Error::Missing { cid }) if cid == leaves[1].to_string()));
    assert!(shelf.read(&reference, 0..1_000_000).await.is_ok(), "the first leaf is whole");
    let cids = [reference.cid.clone()];
    assert_eq!(shelf.restore_pins(&cids).await.unwrap(), cids);

    flip(&file_of(dir.path(), &reference.cid), 40);
    assert!(matches!(shelf.read(&reference, 0..1).await, Err(Error::Damaged { .. })));
    shelf.stop().await;
}

#[tokio::test]
async fn an_interrupted_put_leaves_orphans_that_are_collected() {
    let (shelf, dir) = fresh().await;
    let (mut feed, plaintext) = mpsc::channel(1);
    let mut put = Box::pin(shelf.put_stream(9_000_000, plaintext.boxed()));
    let fed = async {
        for _ in 0..3 {
            feed.send(Ok(text(1_100_000))).await.unwrap();
        }
        until(|| block_files(dir.path()).iter().filter(|path| path.extension().unwrap() == "data").count() >= 2).await;
    };
    tokio::select! { _ = &mut put => unreachable!("it was not fed all"), () = fed => {} }
    drop(put);
    shelf.stop().await;

    // What a SIGKILL during a write leaves.
    let shard = block_files(dir.path())[0].parent().unwrap().to_owned();
    fs::File::create(shard.join("bafkrei.1.2.tmp")).unwrap().write_all(b"half a block").unwrap();
    let shelf = reopen(dir.path()).await;
    let kept = shelf.put(text(10)).await.unwrap();
    let collected = shelf.collect(&HashSet::from([kept.cid.clone()]), later()).await.unwrap();
    assert!(collected.removed >= 3, "{collected:?}");
    assert_eq!(block_files(dir.path()), [file_of(dir.path(), &kept.cid)]);
    shelf.stop().await;
}

#[tokio::test]
async fn collecting_spares_a_put_that_still_runs() {
    let (shelf, dir) = fresh().await;
    let (mut feed, plaintext) = mpsc::channel(1);
    let put = shelf.put_stream(3_300_000, plaintext.boxed());
    let meanwhile = async {
        feed.send(Ok(text(2_200_000))).await.unwrap();
        until(|| !block_files(dir.path()).is_empty()).await;
        assert_eq!(shelf.collect(&HashSet::new(), later()).await.unwrap().removed, 0);
        feed.send(Ok(text(1_100_000))).await.unwrap();
        drop(feed);
    };
    let (put, ()) = futures::join!(put, meanwhile);
    let reference = put.unwrap();
    assert!(shelf.read(&reference, 0..3_300_000).await.is_ok());
    shelf.stop().await;
}

#[tokio::test]
async fn no_leaf_is_collected_while_a_wanted_root_cannot_be_read() {
    let (shelf, dir) = fresh().await;
    let reference = shelf.put(text(2_500_000)).await.unwrap();
    let file = file_of(dir.path(), &reference.cid);
    let root = fs::read(&file).unwrap();
    fs::write(&file, "a bad sector").unwrap();
    let keep = HashSet::from([reference.cid.clone()]);
    let collected = shelf.collect(&keep, later()).await.unwrap();
    assert_eq!(collected, Collected { in_doubt: 1, ..Collected::default() });

    fs::write(&file, root).unwrap();
    assert!(shelf.read(&reference, 0..2_500_000).await.is_ok(), "nothing was lost by collecting");
    shelf.stop().await;
}

#[tokio::test]
async fn nothing_readable_lies_in_the_repository() {
    let (shelf, dir) = fresh().await;
    let words = b"The quick brown fox signs the secret contract. ";
    let reference = shelf.put(words.repeat(60_000).into()).await.unwrap();
    shelf.stop().await;
    for path in files(dir.path()) {
        let data = fs::read(&path).unwrap();
        for secret in [&words[..16], &reference.key, &reference.sha256] {
            assert!(!data.windows(secret.len()).any(|window| window == secret), "{}", path.display());
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_look_into_the_blockstore() {
    use std::os::unix::fs::PermissionsExt as _;
    let (shelf, dir) = fresh().await;
    shelf.put(text(10)).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.path().join("blockstore")), 0o700);
    assert_eq!(mode(&block_files(dir.path())[0]), 0o600);
    shelf.stop().await;
}

#[tokio::test]
async fn a_disk_that_fails_is_a_storage_error_and_breaks_nothing() {
    let (shelf, dir) = fresh().await;
    let reference = shelf.put(text(10)).await.unwrap();
    let (store, aside) = (dir.path().join("blockstore"), dir.path().join("aside"));
    fs::rename(&store, &aside).unwrap();
    fs::write(&store, "not a directory").unwrap();
    assert!(matches!(shelf.put(text(2_000_000)).await, Err(Error::Storage(_))));
    fs::remove_file(&store).unwrap();
    fs::rename(&aside, &store).unwrap();
    assert!(shelf.put(text(2_000_000)).await.is_ok());
    assert!(shelf.read(&reference, 0..10).await.is_ok());
    shelf.stop().await;
}

#[tokio::test]
async fn a_repository_in_use_is_refused() {
    let (shelf, dir) = fresh().await;
    let second = IpfsShelf::start(Settings::new(dir.path())).await;
    assert!(matches!(second, Err(Error::Node(_))));
    shelf.stop().await;
    reopen(dir.path()).await.stop().await;
}

#[tokio::test]
async fn starting_and_stopping_is_quick() {
    let (shelf, dir) = fresh().await;
    shelf.put(text(3_000_000)).await.unwrap();
    shelf.stop().await;
    let began = StdInstant::now();
    reopen(dir.path()).await.stop().await;
    // Measured at 2 to 5 ms; the margin is for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn by_default_the_node_listens_nowhere() {
    let (shelf, _dir) = fresh().await;
    assert_eq!(shelf.addresses().await.unwrap(), Vec::<String>::new());
    shelf.stop().await;
}

/// A node that listens on the loopback.
async fn listening() -> (IpfsShelf, TempDir) {
    let dir = TempDir::new().unwrap();
    let shelf = IpfsShelf::start(Settings { listen: Listen::Loopback(0), ..Settings::new(dir.path()) }).await.unwrap();
    (shelf, dir)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_on_one_machine_exchange_blocks_and_a_missing_one_ends_at_the_deadline() {
    let ((one, _one), (mut two, dir)) = (listening().await, listening().await);
    let deadline = StdInstant::now() + Duration::from_secs(10);
    let address = loop {
        if let Some(address) = one.addresses().await.unwrap().pop() {
            break address;
        }
        assert!(StdInstant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(address.starts_with("/ip4/127.0.0.1/tcp/"), "{address}");
    two.connect(&address).await.unwrap();
    while two.node.running().unwrap().connected().await.unwrap().is_empty() {
        assert!(StdInstant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let plain = text(2_500_000);
    let reference = one.put(plain.clone()).await.unwrap();
    assert_eq!(two.read(&reference, 1_000_000..1_200_000).await.unwrap(), plain[1_000_000..1_200_000]);
    assert_eq!(block_files(dir.path()).len(), 3, "the root and the two leaves that were needed");

    one.remove(&reference.cid).await.unwrap();
    two.fetch_deadline = Duration::from_millis(300);
    let began = StdInstant::now();
    assert!(matches!(two.read(&reference, 2_400_000..2_400_001).await, Err(Error::Missing { .. })));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    one.stop().await;
    two.stop().await;
}

/// Polls until `done`, for ten seconds at most.
async fn until(mut done: impl FnMut() -> bool) {
    let deadline = StdInstant::now() + Duration::from_secs(10);
    while !done() {
        assert!(StdInstant::now() < deadline, "it did not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
