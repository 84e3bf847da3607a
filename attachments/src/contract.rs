//! What every engine must do. `suite!` takes how to make one: `(shelf, whatever must live as long)`.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use lnmp::AttachmentRef;

use crate::limits::{ATTACHMENT_BYTES_MAX, CHUNK_BYTES, LEAF_BYTES};
use crate::{Error, Shelf};

/// Octets that look like nothing in particular and repeat late.
pub(crate) fn text(len: usize) -> Bytes {
    (0..len as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u8).collect()
}

/// Later than anything written so far, however coarsely a file system keeps time.
pub(crate) fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(60)
}

const NEVER_STORED: &str = "bafkreictpt3axbccoani363eyq53c2bgiqvh2sw2s7hm6ldpzg4msqrxoa";

pub(crate) async fn what_is_put_reads_back(shelf: &dyn Shelf) {
    let leaf = LEAF_BYTES / 65_536 * CHUNK_BYTES;
    for len in [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, leaf - 1, leaf, leaf + 1, 2 * leaf, 2 * leaf + 1] {
        let plain = text(len);
        let reference = shelf.put(plain.clone()).await.unwrap();
        assert_eq!(reference.size, len as u64);
        assert_eq!(reference.sha256[..], *ring::digest::digest(&ring::digest::SHA256, &plain).as_ref());
        assert_eq!(shelf.read(&reference, 0..len as u64).await.unwrap(), plain, "{len}");
    }
}

pub(crate) async fn any_range_reads_as_the_slice(shelf: &dyn Shelf) {
    let len = 2 * LEAF_BYTES + 100;
    let plain = text(len);
    let reference = shelf.put(plain.clone()).await.unwrap();
    let leaf = LEAF_BYTES / 65_536 * CHUNK_BYTES;
    let borders = [0, CHUNK_BYTES, leaf, leaf + CHUNK_BYTES, 2 * leaf, len];
    let edges: Vec<usize> =
        borders.iter().flat_map(|at| [at.saturating_sub(1), *at, at + 1]).filter(|at| *at <= len).collect();
    for &start in &edges {
        for &end in edges.iter().filter(|end| **end >= start) {
            let got = shelf.read(&reference, start as u64..end as u64).await.unwrap();
            assert!(got == plain[start..end], "{start}..{end}");
        }
    }
}

pub(crate) async fn a_range_outside_is_refused(shelf: &dyn Shelf) {
    let reference = shelf.put(text(10)).await.unwrap();
    let asked = shelf.read(&reference, 5..11).await;
    assert!(matches!(asked, Err(Error::OutOfRange { start: 5, end: 11, size: 10 })));
}

pub(crate) async fn pieces_of_any_length_make_up_the_plaintext(shelf: &dyn Shelf) {
    let plain = text(1_500_000);
    for piece in [9_999, 1_048_576, 1_400_000] {
        let pieces: Vec<_> =
            plain.chunks(piece).map(|part| Ok(Bytes::copy_from_slice(part))).chain([Ok(Bytes::new())]).collect();
        let reference = shelf.put_stream(1_500_000, stream::iter(pieces).boxed()).await.unwrap();
        assert_eq!(shelf.read(&reference, 0..1_500_000).await.unwrap(), plain);
    }
}

pub(crate) async fn a_failed_plaintext_leaves_nothing(shelf: &dyn Shelf) {
    let failing = [Ok(text(3_000_000)), Err(std::io::Error::other("the spool is gone"))];
    let put = shelf.put_stream(3_000_001, stream::iter(failing).boxed()).await;
    assert!(matches!(put, Err(Error::Source(_))));
    for announced in [2_999_999, 3_000_001] {
        let put = shelf.put_stream(announced, stream::iter([Ok(text(3_000_000))]).boxed()).await;
        assert!(matches!(put, Err(Error::Source(_))), "{announced}");
    }
    assert_eq!(shelf.collect(&HashSet::new(), later()).await.unwrap().removed, 0);
}

pub(crate) async fn a_giant_is_refused(shelf: &dyn Shelf) {
    let put = shelf.put_stream(ATTACHMENT_BYTES_MAX + 1, stream::empty().boxed()).await;
    assert!(matches!(put, Err(Error::TooLarge { .. })));
}

pub(crate) async fn equal_plaintexts_do_not_look_equal(shelf: &dyn Shelf) {
    let one = shelf.put(text(1_000)).await.unwrap();
    let two = shelf.put(text(1_000)).await.unwrap();
    assert_ne!(one.cid, two.cid);
    assert_ne!(one.key, two.key);
}

pub(crate) async fn a_wrong_key_size_or_digest_reads_nothing(shelf: &dyn Shelf) {
    let reference = shelf.put(text(100_000)).await.unwrap();
    let forge = |change: fn(&mut AttachmentRef)| {
        let mut forged = reference.clone();
        change(&mut forged);
        forged
    };
    for forged in [
        forge(|reference| reference.key[0] ^= 1),
        forge(|reference| reference.size -= 1),
        forge(|reference| reference.size -= 50_000),
        forge(|reference| reference.sha256[31] ^= 1),
    ] {
        let size = forged.size;
        assert!(matches!(shelf.read(&forged, 0..size).await, Err(Error::Damaged { .. })));
    }
    for forged in [
        forge(|reference| reference.size += 2_000_000),
        forge(|reference| reference.cid = "../../../etc/passwd".into()),
        forge(|reference| reference.cid.make_ascii_uppercase()),
    ] {
        assert!(matches!(shelf.read(&forged, 0..1).await, Err(Error::BadReference(_))));
    }
    let giant = forge(|reference| reference.size = u64::MAX);
    assert!(matches!(shelf.read(&giant, 0..1).await, Err(Error::TooLarge { .. })));
}

pub(crate) async fn a_missing_attachment_fails_soon(shelf: &dyn Shelf) {
    let began = std::time::Instant::now();
    let mut reference = shelf.put(text(10)).await.unwrap();
    reference.cid = NEVER_STORED.into();
    let read = shelf.read(&reference, 0..1).await;
    assert!(matches!(read, Err(Error::Missing { cid }) if cid == NEVER_STORED));
    assert!(began.elapsed() < Duration::from_secs(3));
}

pub(crate) async fn what_is_removed_is_gone_and_removing_repeats(shelf: &dyn Shelf) {
    let stays = shelf.put(text(2_500_000)).await.unwrap();
    let goes = shelf.put(text(2_500_000)).await.unwrap();
    for _ in 0..2 {
        shelf.remove(&goes.cid).await.unwrap();
        assert!(matches!(shelf.read(&goes, 0..1).await, Err(Error::Missing { .. })));
    }
    assert!(shelf.read(&stays, 0..2_500_000).await.is_ok());
    assert!(matches!(shelf.remove("no cid").await, Err(Error::BadReference(_))));
}

pub(crate) async fn collecting_removes_what_is_old_and_not_kept(shelf: &dyn Shelf) {
    let began = SystemTime::now() - Duration::from_secs(60);
    let kept = [shelf.put(text(10)).await.unwrap(), shelf.put(text(2_500_000)).await.unwrap()];
    let orphans = [shelf.put(text(10)).await.unwrap(), shelf.put(text(2_500_000)).await.unwrap()];
    let keep: HashSet<String> = kept.iter().map(|reference| reference.cid.clone()).collect();

    let young = shelf.collect(&keep, began).await.unwrap();
    assert_eq!(young.removed, 0, "all are younger");
    assert!(shelf.read(&orphans[1], 0..1).await.is_ok());

    let collected = shelf.collect(&keep, later()).await.unwrap();
    assert!(collected.removed >= 2 && collected.bytes >= 2_500_010 && collected.in_doubt == 0, "{collected:?}");
    for orphan in &orphans {
        assert!(matches!(shelf.read(orphan, 0..1).await, Err(Error::Missing { .. })));
    }
    for reference in &kept {
        assert!(shelf.read(reference, 0..reference.size).await.is_ok());
    }
    assert_eq!(shelf.collect(&keep, later()).await.unwrap().removed, 0);
}

pub(crate) async fn restoring_pins_names_what_is_missing(shelf: &dyn Shelf) {
    let small = shelf.put(text(10)).await.unwrap();
    let big = shelf.put(text(2_500_000)).await.unwrap();
    let cids = [small.cid.clone(), NEVER_STORED.to_owned(), big.cid.clone()];
    for _ in 0..2 {
        assert_eq!(shelf.restore_pins(&cids).await.unwrap(), [NEVER_STORED]);
    }
    shelf.remove(&big.cid).await.unwrap();
    assert_eq!(shelf.restore_pins(&cids).await.unwrap(), [NEVER_STORED, &big.cid]);
}

pub(crate) async fn many_at_once_do_not_disturb_each_other(shelf: &dyn Shelf) {
    let puts = (0..24).map(|i| async move {
        let plain = text(100_000 * (i % 12) + i);
        let reference = shelf.put(plain.clone()).await.unwrap();
        assert_eq!(shelf.read(&reference, 0..reference.size).await.unwrap(), plain);
    });
    futures::future::join_all(puts).await;
}

pub(crate) async fn a_stopped_shelf_says_so(shelf: &dyn Shelf) {
    let reference = shelf.put(text(10)).await.unwrap();
    shelf.stop().await;
    shelf.stop().await;
    assert!(matches!(shelf.read(&reference, 0..1).await, Err(Error::Unavailable(_))));
    assert!(matches!(shelf.put(text(1)).await, Err(Error::Unavailable(_))));
    assert!(matches!(shelf.remove(&reference.cid).await, Err(Error::Unavailable(_))));
    assert!(matches!(shelf.collect(&HashSet::new(), later()).await, Err(Error::Unavailable(_))));
}

macro_rules! suite {
    ($new:expr) => {
        crate::contract::suite!(@ $new;
            what_is_put_reads_back,
            any_range_reads_as_the_slice,
            a_range_outside_is_refused,
            pieces_of_any_length_make_up_the_plaintext,
            a_failed_plaintext_leaves_nothing,
            a_giant_is_refused,
            equal_plaintexts_do_not_look_equal,
            a_wrong_key_size_or_digest_reads_nothing,
            a_missing_attachment_fails_soon,
            what_is_removed_is_gone_and_removing_repeats,
            collecting_removes_what_is_old_and_not_kept,
            restoring_pins_names_what_is_missing,
            many_at_once_do_not_disturb_each_other,
            a_stopped_shelf_says_so,
        );
    };
    (@ $new:expr; $($test:ident,)*) => {
        mod contract {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let (shelf, _alive) = $new.await;
                    crate::contract::$test(&shelf).await;
                    crate::Shelf::stop(&shelf).await;
                }
            )*
        }
    };
}
pub(crate) use suite;
