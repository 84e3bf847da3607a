//! How many mails a second the session loop takes when the host only counts them.
//!
//! `cargo run --release -p smtp --example throughput [mails] [connections] [octets]` runs server and load in one
//! process, so both share the cores. With `serve PORT` as arguments it only serves, for a load from elsewhere.

use smtp::{
    Accepted, Envelope, Host, Kind, PeerInfo, Recipient, Refusal, ReversePath, Server, ServerConfig, Spool, SpoolArea,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;

#[derive(Default)]
struct Counting {
    mails: AtomicU64,
    octets: AtomicU64,
}

#[async_trait::async_trait]
impl Host for Counting {
    async fn rcpt(&self, _: &PeerInfo, _: &ReversePath, mailbox: &str, _: &[Recipient]) -> Result<Recipient, Refusal> {
        Ok(Recipient::local(mailbox, 1))
    }

    async fn message(&self, _: Envelope, content: Spool) -> Result<Accepted, Refusal> {
        let content = content.read_all().await.map_err(|_| Refusal::try_again())?;
        self.octets.fetch_add(content.len() as u64, Ordering::Relaxed);
        Ok(Accepted { queue_id: self.mails.fetch_add(1, Ordering::Relaxed).to_string() })
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let serve_only = arguments.first().is_some_and(|word| word == "serve");
    let host = Arc::new(Counting::default());
    let area = SpoolArea::open(std::env::temp_dir().join(format!("smtp-throughput-{}", std::process::id())))?;
    let port = if serve_only { number(1, 2525) } else { 0 };
    let address = SocketAddr::from(([127, 0, 0, 1], port as u16));
    let config = ServerConfig::new(Kind::Mx, "bench.test");
    let server = Server::bind(address, config, Arc::<Counting>::clone(&host), area).await?;
    let address = server.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(server.run(stopped));
    if serve_only {
        println!("serving {address}");
        tokio::signal::ctrl_c().await?;
        println!("{} mails", host.mails.load(Ordering::Relaxed));
        return Ok(());
    }

    let (mails, connections, octets) = (number(0, 50_000), number(1, 20), number(2, 4096));
    let wire: Arc<[u8]> = message(octets).into();
    let begun = Instant::now();
    let load: Vec<_> =
        (0..connections).map(|_| tokio::spawn(send(address, mails / connections, Arc::clone(&wire)))).collect();
    for sender in load {
        sender.await??;
    }
    let (taken, took) = (host.mails.load(Ordering::Relaxed), begun.elapsed());
    println!("{taken} mails of {octets} octets over {connections} connections in {took:.2?}");
    println!("{:.0} mails/s", taken as f64 / took.as_secs_f64());
    stop.send_replace(true);
    running.await?;
    Ok(())
}

fn message(octets: usize) -> Vec<u8> {
    let mut wire = b"From: bob@shop.test\r\nTo: alice@satchel.test\r\nSubject: load\r\n\r\n".to_vec();
    while wire.len() < octets {
        wire.extend_from_slice(b"The quick brown fox jumps over the lazy dog, again and again and again.\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

/// One mail after the other on one connection, a reply awaited after each command, as most senders do.
async fn send(address: SocketAddr, mails: usize, wire: Arc<[u8]>) -> std::io::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    stream.get_ref().set_nodelay(true)?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    ask(&mut stream, b"EHLO load.test\r\n").await?;
    for _ in 0..mails {
        ask(&mut stream, b"MAIL FROM:<bob@shop.test>\r\n").await?;
        ask(&mut stream, b"RCPT TO:<alice@satchel.test>\r\n").await?;
        ask(&mut stream, b"DATA\r\n").await?;
        ask(&mut stream, &wire).await?;
    }
    ask(&mut stream, b"QUIT\r\n").await
}

async fn ask(stream: &mut BufReader<TcpStream>, octets: &[u8]) -> std::io::Result<()> {
    stream.get_mut().write_all(octets).await?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line.as_bytes().get(3) != Some(&b'-') {
            return if line.starts_with(['2', '3']) { Ok(()) } else { Err(std::io::Error::other(line)) };
        }
    }
}
