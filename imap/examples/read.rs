//! How fast a mailbox is read on this machine: `cargo run --release -p imap --example read [MESSAGES] [OCTETS] [ROUNDS]`.
//!
//! Fills a store by the sealing path of SMTP and APPEND, serves it over loopback, and lets one client ask what
//! `mailbench read` asks, the search of its text also as the first command of a session. For each command: the wall time
//! in the first round and the least of all, the CPU time of the server's threads
//! for one message, and the answer's octets. TMPDIR should lie on the disk in question. With `serve` as fourth
//! argument it goes on serving (user alice, password secret), for other clients and for profilers; with `apart` each
//! mail comes a minute after the one before, so that none shares a key agreement with another.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool to be watched")]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use attachments::memory::MemoryShelf;
use imap::{Disabled, LoggedIn, Login, LoginRefusal, Parts, SealRefusal, Sealed, Security, Server};
use lnmp::{Act, BridgeKey, GateFacts, Identity, Opener, Place, Plaintexts, Sealer, Verdict};
use store::{
    AccountId, AccountSettings, Batch, CredentialKind, Delivery, Flags, NewAccount, NewCredential, Rules, SealedParts,
    Store, sqlite::Sqlite,
};
use tokio::sync::watch;

const NOW: i64 = 1_767_225_600_000;

struct NoRules;

impl Rules for NoRules {
    fn meaning(&self, _: &Act, _: &GateFacts) -> Verdict {
        Verdict::Nothing
    }

    fn meaning_without_gate(&self, _: &Act) -> Verdict {
        Verdict::Nothing
    }
}

struct House {
    account: AccountId,
    alice: Identity,
    sealer: Sealer,
}

impl House {
    fn sealed(&self, message: &[u8], now: i64) -> SealedParts {
        let split = converter::split(message);
        assert!(split.cuts.is_empty(), "mails without attachments");
        let content = split.into_content(Vec::new()).unwrap().encode().unwrap();
        let summary = converter::Summary::of(message);
        let (trigrams, summary) = (imap::trigrams(message, &summary), summary.encode());
        let (rng, to) = (&mut rand::thread_rng(), self.alice.public_key());
        let plaintexts = Plaintexts { content: &content, summary: &summary, digest: None, trigrams: Some(&trigrams) };
        let sealed = self.sealer.seal_all(rng, now as u64, &to, plaintexts).unwrap();
        SealedParts {
            content: sealed.content,
            summary: sealed.summary,
            trigrams: sealed.trigrams,
            size: message.len() as u64,
            attachments: Vec::new(),
        }
    }
}

#[async_trait]
impl Login for House {
    async fn login(&self, _: IpAddr, _: &str, _: &str) -> Result<LoggedIn, LoginRefusal> {
        let opener = Arc::new(Opener::new(&self.alice));
        Ok(LoggedIn { account: self.account, opener, seat: Box::new(()), revoked: None, disabled: Disabled::default() })
    }

    async fn bear(&self, _: IpAddr, _: &str, _: &str) -> Result<LoggedIn, LoginRefusal> {
        Err(LoginRefusal::Credentials)
    }
}

#[async_trait]
impl imap::Host for House {
    async fn seal(&self, _: AccountId, message: Vec<u8>) -> Result<Sealed, SealRefusal> {
        Ok(Sealed { parts: self.sealed(&message, NOW), content_digest: [0; 32], message_id: None })
    }
}

/// SplitMix64: the same mails in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as usize % below
    }
}

/// A vocabulary of pronounceable words, the frequent ones short.
fn vocabulary() -> Vec<String> {
    let (onsets, vowels, ends) = (
        ["b", "br", "c", "ch", "d", "f", "g", "h", "k", "l", "m", "n", "p", "pr", "r", "s", "st", "t", "th", "w"],
        ["a", "e", "i", "o", "u", "ea", "ou"],
        ["", "n", "r", "s", "t", "ng", "ll", "d"],
    );
    let mut chance = Chance(7);
    let mut syllable = || [onsets[chance.next(20)], vowels[chance.next(7)], ends[chance.next(8)]].concat();
    (0..20_000_usize).map(|rank| (0..=rank.max(1).ilog10().saturating_sub(1)).map(|_| syllable()).collect()).collect()
}

fn mail(number: usize, octets: usize, words: &[String]) -> Vec<u8> {
    let mut chance = Chance(number as u64);
    let mut out = format!(
        "Return-Path: <friend{}@test.example>\r\nReceived: from mail.test.example (mail.test.example [192.0.2.1])\r\n\tby \
         satchel.test with ESMTPS id {number:08x}; Thu, 1 Jan 2026 00:00:00 +0000\r\nFrom: Friend <friend{}@test.example>\
         \r\nTo: alice@satchel.test\r\nSubject: {} {} {number}\r\nMessage-ID: <{number}@test.example>\r\nDate: Thu, 1 Jan \
         2026 00:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
        number % 97,
        number % 97,
        words[chance.next(20_000)],
        words[chance.next(20_000)],
    )
    .into_bytes();
    let end = out.len() + octets;
    let mut column = 0;
    while out.len() < end {
        // Products of two draws: few words are most of a text.
        let word = &words[chance.next(20_000) * chance.next(20_000) / 20_000];
        out.extend_from_slice(word.as_bytes());
        column += word.len() + 1;
        if column > 70 {
            out.extend_from_slice(b"\r\n");
            column = 0;
        } else {
            out.push(b' ');
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Nanoseconds on a processor: of all threads, of this one.
fn cpu() -> (u64, u64) {
    let of = |path: String| -> u64 {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split(' ').next().and_then(|run| run.parse().ok()).unwrap_or(0)
    };
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let all = threads.map(|thread| of(format!("{}/schedstat", thread.unwrap().path().display()))).sum();
    (all, of("/proc/thread-self/schedstat".into()))
}

/// Resident KiB now.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let mut client = Self { stream: TcpStream::connect(address).unwrap(), buffer: vec![0; 1 << 20] };
        client.stream.set_nodelay(true).unwrap();
        let _ = client.stream.read(&mut client.buffer).unwrap();
        client.command("LOGIN alice secret");
        client
    }

    /// Sends, and reads up to the tagged answer; octets of it all.
    fn command(&mut self, line: &str) -> usize {
        self.stream.write_all(format!("zz9 {line}\r\n").as_bytes()).unwrap();
        let (mut total, mut tail) = (0, Vec::new());
        loop {
            let read = self.stream.read(&mut self.buffer).unwrap();
            assert!(read > 0, "closed after {line}");
            total += read;
            tail.extend_from_slice(&self.buffer[read.saturating_sub(TAIL)..read]);
            tail.drain(..tail.len().saturating_sub(TAIL));
            if tail.ends_with(b"\r\n") {
                let start = tail[..tail.len() - 2].windows(2).rposition(|pair| pair == b"\r\n").map_or(0, |at| at + 2);
                if tail[start..].starts_with(b"zz9 ") {
                    assert!(
                        tail[start..].starts_with(b"zz9 OK"),
                        "{line}: {}",
                        String::from_utf8_lossy(&tail[start..])
                    );
                    return total;
                }
            }
        }
    }
}

/// Octets within which a tagged line ends an answer: LOGIN's names every capability.
const TAIL: usize = 4096;
/// The first command of a session: it finds nothing opened by another.
const FIRST: usize = 2;
const COMMANDS: [(&str, &str); 14] = [
    ("select", "SELECT INBOX"),
    ("body cold", "UID SEARCH BODY \"zzqx-not-there\""),
    ("select", "SELECT INBOX"),
    ("list cold", "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"),
    ("list warm", "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"),
    ("flags", "UID FETCH 1:* (FLAGS)"),
    ("bodies", "UID FETCH 1:* (BODY.PEEK[])"),
    ("subject", "UID SEARCH SUBJECT \"zzqx-not-there\""),
    ("body first", "UID SEARCH BODY \"zzqx-not-there\""),
    ("body absent", "UID SEARCH BODY \"zzqx-not-there\""),
    ("body word", "UID SEARCH BODY \"strousto\""),
    ("text absent", "UID SEARCH TEXT \"zzqx-not-there\""),
    ("store all", "UID STORE 1:* +FLAGS.SILENT (\\Flagged)"),
    ("store again", "UID STORE 1:* +FLAGS.SILENT (\\Flagged)"),
];

fn measure(address: SocketAddr, messages: usize, rounds: usize) {
    let mut least = [(Duration::MAX, u64::MAX, 0); COMMANDS.len()];
    let mut first = [Duration::ZERO; COMMANDS.len()];
    let idle = resident();
    let mut peak = idle;
    for round in 0..rounds {
        let mut client = Client::connect(address);
        for (at, (_, line)) in COMMANDS.iter().enumerate() {
            if at == FIRST {
                leave(client);
                client = Client::connect(address);
            }
            let (all, own) = cpu();
            let started = Instant::now();
            let octets = client.command(line);
            let took = started.elapsed();
            let (all_after, own_after) = cpu();
            let server = (all_after - all).saturating_sub(own_after - own);
            least[at] = (least[at].0.min(took), least[at].1.min(server), octets);
            if round == 0 {
                first[at] = took;
            }
            peak = peak.max(resident());
        }
        client.command(if round % 2 == 0 {
            "UID STORE 1:* -FLAGS.SILENT (\\Flagged)"
        } else {
            "UID STORE 1:* FLAGS.SILENT ()"
        });
        leave(client);
    }
    println!("{:<12} {:>9} {:>9} {:>11} {:>10} {:>7}", "", "first ms", "least ms", "cpu ns/mail", "octets", "MB/s");
    for (((name, _), (took, server, octets)), first) in COMMANDS.iter().zip(least).zip(first) {
        let (first, ms) = (first.as_secs_f64() * 1e3, took.as_secs_f64() * 1e3);
        let (each, rate) = (server / messages as u64, octets as f64 / took.as_secs_f64() / 1e6);
        println!("{name:<12} {first:>9.3} {ms:>9.3} {each:>11} {octets:>10} {rate:>7.0}");
    }
    println!("resident: {idle} KiB before, {peak} KiB at most");
}

/// What the sessions of an account share ends with the last of them.
fn leave(mut client: Client) {
    client.command("LOGOUT");
    drop(client);
    std::thread::sleep(Duration::from_millis(100));
}

fn main() {
    let number = |at: usize, or: usize| std::env::args().nth(at).map_or(or, |text| text.parse().unwrap());
    let (messages, octets, rounds) = (number(1, 6000), number(2, 4096), number(3, 7));
    let mode = std::env::args().nth(4).unwrap_or_default();
    let apart = if mode == "apart" { 61_000 } else { 0 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let address = runtime.block_on(async {
        let path = dir.path().join("store.sqlite");
        let store: Arc<dyn Store> = Sqlite::open(&path, BridgeKey::from_bytes([7; 32]), Arc::new(NoRules)).unwrap();
        let rng = &mut rand::thread_rng();
        let (alice, bridge) = (Identity::generate(rng), Identity::generate(rng));
        let (kind, label) = (CredentialKind::AppPassword, String::new());
        let wrap = NewCredential { kind, wrap_id: "read".into(), label, wrap: Vec::new() };
        let new = NewAccount {
            local: "alice".into(),
            domain: "satchel.test".into(),
            identity: *alice.public_key().as_bytes(),
            sealed_seed: vec![1; 48],
            credentials: vec![wrap],
            settings: AccountSettings::default(),
        };
        let account = store.create_account(new, NOW).await.unwrap();
        let house = Arc::new(House { account, alice, sealer: Sealer::new(&bridge) });
        let words = vocabulary();
        let numbers: Vec<usize> = (0..messages).collect();
        let started = Instant::now();
        for some in numbers.chunks(200) {
            let delivery = |&number: &usize| Delivery {
                account,
                place: Place::Inbox,
                folder: None,
                sealed: house.sealed(&mail(number, octets, &words), NOW + number as i64 * apart),
                internal_date: NOW,
                flags: Flags::NONE,
                keywords: Vec::new(),
                author: None,
                message_id: None,
                content_digest: None,
                gate: None,
                alias: None,
            };
            let deliveries = some.iter().map(delivery).collect();
            store.commit(Batch { deliveries, ..Batch::default() }, NOW).await.unwrap();
        }
        println!("{messages} messages of {octets} octets filled in {:.1} s", started.elapsed().as_secs_f64());
        let shelf = Arc::new(MemoryShelf::new());
        let parts = Parts {
            store,
            shelf,
            host: house,
            tls: Arc::new(|| None),
            now: || NOW,
            message_limit: imap::limits::MESSAGE_LIMIT,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (keep, stopping) = watch::channel(false);
        std::mem::forget(keep);
        tokio::spawn(Server::new(parts).serve(listener, Security::StartTls, stopping));
        address
    });
    if rounds > 0 {
        measure(address, messages, rounds);
    }
    if mode == "serve" {
        println!("serving on {address}");
        std::thread::park();
    }
}
