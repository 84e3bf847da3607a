//! How fast attachments go in and out: `cargo run --release -p attachments --example put_and_read [DIR]`.
//!
//! DIR should be on the disk that matters; the default is the current directory.

use std::future::Future;
use std::time::{Duration, Instant};

use attachments::{IpfsShelf, Settings, Shelf};
use bytes::Bytes;
use futures::future::try_join_all;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let dir = tempfile::TempDir::new_in(dir)?;
    let (shelf, first) = timed(IpfsShelf::start(Settings::new(dir.path()))).await?;
    shelf.put("warm".into()).await?;
    shelf.stop().await;
    let (shelf, again) = timed(IpfsShelf::start(Settings::new(dir.path()))).await?;
    println!("start: first {first:?}, again {again:?}");

    for (megabytes, count) in [(0.1, 400), (1.0, 200), (50.0, 8)] {
        let len = (megabytes * 1e6) as usize;
        let plain: Bytes = (0..len as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u8).collect();
        let total = megabytes * f64::from(count);

        let mut references = Vec::new();
        let (_, one_by_one) = timed(async {
            for _ in 0..count {
                references.push(shelf.put(plain.clone()).await?);
            }
            Result::<_, attachments::Error>::Ok(())
        })
        .await?;
        let (parallel, four) = timed(try_join_all((0..4).map(|_| async {
            let mut references = Vec::new();
            for _ in 0..count / 4 {
                references.push(shelf.put(plain.clone()).await?);
            }
            Result::<_, attachments::Error>::Ok(references)
        })))
        .await?;
        references.extend(parallel.into_iter().flatten());
        let (_, read) = timed(async {
            for reference in references.iter().take(count as usize) {
                shelf.read(reference, 0..reference.size).await?;
            }
            Result::<_, attachments::Error>::Ok(())
        })
        .await?;
        let middle = len as u64 / 2;
        let (_, ranges) = timed(async {
            for _ in 0..1_000 {
                shelf.read(&references[0], middle..middle + 16_384).await?;
            }
            Result::<_, attachments::Error>::Ok(())
        })
        .await?;
        println!(
            "{megabytes} MB: put {:.0} MB/s ({:.2} ms each), 4 at once {:.0} MB/s, read {:.0} MB/s, 16 KiB range {:.0} us",
            total / one_by_one.as_secs_f64(),
            one_by_one.as_secs_f64() * 1e3 / f64::from(count),
            total / four.as_secs_f64(),
            total / read.as_secs_f64(),
            ranges.as_secs_f64() * 1e3,
        );
        for reference in &references {
            shelf.remove(&reference.cid).await?;
        }
    }
    shelf.stop().await;
    Ok(())
}

async fn timed<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<(T, Duration), E> {
    let began = Instant::now();
    let done = work.await?;
    Ok((done, began.elapsed()))
}
