//! A server over real rooms in a temporary folder, and clients that speak transcripts.
#![allow(dead_code, unreachable_pub, reason = "examples and fuzz targets use their part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub mod ops;

use std::any::Any;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use attachments::Shelf;
use attachments::memory::MemoryShelf;
use imap::{LoggedIn, Login, LoginRefusal, Parts, SealRefusal, Sealed, Security, Server};
use lnmp::{
    Act, BridgeKey, GateFacts, GateId, GateState, Identity, Msat, Opener, Place, Plaintexts, Preimage, Relation,
    Sealer, Verdict,
};
use store::{
    AccountId, AccountSettings, Author, Batch, CredentialKind, Delivery, Flags, Incoming, NewAccount, NewCredential,
    NewGate, Rules, SealedParts, Store, sqlite::Sqlite,
};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// 2026-01-01 00:00:00 UTC.
pub const NOW: i64 = 1_767_225_600_000;

/// How long a client waits for an answer before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lets mail in when it is moved out of Unpaid; nothing else.
struct LetIn;

impl Rules for LetIn {
    fn meaning(&self, act: &Act, facts: &GateFacts) -> Verdict {
        match (facts.state, act) {
            (GateState::Waiting, Act::Moved { to, .. }) if !matches!(to, Place::Junk | Place::Trash) => Verdict::LetIn,
            _ => Verdict::Nothing,
        }
    }

    fn meaning_without_gate(&self, _: &Act) -> Verdict {
        Verdict::Nothing
    }
}

/// Alice's and Bob's password is "secret".
pub struct House {
    shelf: Arc<dyn Shelf>,
    sealer: Sealer,
    /// Each mail is sealed minutes after the one before, so that none shares a key agreement with another.
    pub apart: AtomicBool,
    sealed: AtomicU64,
    users: HashMap<String, (AccountId, Identity)>,
    pub revoked: watch::Sender<bool>,
    /// How many sessions hold a seat.
    pub seats: Arc<Mutex<usize>>,
    /// Capabilities turned off for whoever logs in next.
    pub capabilities_off: Mutex<Vec<String>>,
}

struct Seat(Arc<Mutex<usize>>);

impl Drop for Seat {
    fn drop(&mut self) {
        *self.0.lock().unwrap() -= 1;
    }
}

impl House {
    /// Opens what is sealed to a user.
    pub fn opener(&self, user: &str) -> Opener {
        Opener::new(&self.users[user].1)
    }

    pub async fn sealed(&self, user: &str, message: &[u8]) -> SealedParts {
        let split = converter::split(message);
        let mut references = Vec::new();
        for cut in &split.cuts {
            references.push(self.shelf.put(cut.plaintext(message).into_owned().into()).await.unwrap());
        }
        let attachments = references.iter().map(|reference| (reference.cid.clone(), reference.size)).collect();
        let content = split.into_content(references).unwrap().encode().unwrap();
        let summary = converter::Summary::of(message);
        let (trigrams, summary) = (imap::trigrams(message, &summary), summary.encode());
        let recipient = self.users[user].1.public_key();
        let plaintexts = Plaintexts { content: &content, summary: &summary, digest: None, trigrams: Some(&trigrams) };
        let number = self.sealed.fetch_add(1, Ordering::Relaxed);
        let at = NOW as u64 + if self.apart.load(Ordering::Relaxed) { 120_000 * number } else { 0 };
        let sealed = self.sealer.seal_all(&mut rand::thread_rng(), at, &recipient, plaintexts).unwrap();
        SealedParts {
            content: sealed.content,
            summary: sealed.summary,
            trigrams: sealed.trigrams,
            size: message.len() as u64,
            attachments,
        }
    }
}

#[async_trait]
impl Login for House {
    async fn login(&self, _: IpAddr, user: &str, password: &str) -> Result<LoggedIn, LoginRefusal> {
        let (account, identity) = self.users.get(user).ok_or(LoginRefusal::Credentials)?;
        if password != "secret" {
            return Err(LoginRefusal::Credentials);
        }
        *self.seats.lock().unwrap() += 1;
        let seat: Box<dyn Any + Send + Sync> = Box::new(Seat(self.seats.clone()));
        let opener = Arc::new(Opener::new(identity));
        let off = self.capabilities_off.lock().unwrap().clone();
        let disabled = imap::Disabled::new(off.iter().map(String::as_str));
        Ok(LoggedIn { account: *account, opener, disabled, seat, revoked: Some(self.revoked.subscribe()) })
    }

    async fn bear(&self, peer: IpAddr, user: &str, token: &str) -> Result<LoggedIn, LoginRefusal> {
        if token == "token" { self.login(peer, user, "secret").await } else { Err(LoginRefusal::Credentials) }
    }
}

#[async_trait]
impl imap::Host for House {
    async fn seal(&self, account: AccountId, message: Vec<u8>) -> Result<Sealed, SealRefusal> {
        let user = self.users.iter().find(|(_, (id, _))| *id == account).ok_or(SealRefusal::Unavailable)?.0;
        let mut hasher = DefaultHasher::new();
        message.hash(&mut hasher);
        let mut content_digest = [0; 32];
        content_digest[..8].copy_from_slice(&hasher.finish().to_le_bytes());
        let message_id = converter::Summary::of(&message).message_id;
        Ok(Sealed { parts: self.sealed(user, &message).await, content_digest, message_id })
    }

    fn admin(&self) -> Option<String> {
        Some("mailto:postmaster@satchel.test".into())
    }

    async fn is_here(&self, account: AccountId, user: Option<&str>, server: &str) -> bool {
        let known = user.is_none_or(|user| self.users.get(user).is_some_and(|(id, _)| *id == account));
        server == "mail.satchel.test" && known
    }
}

/// A running server.
pub struct World {
    pub store: Arc<dyn Store>,
    pub shelf: Arc<MemoryShelf>,
    pub house: Arc<House>,
    pub address: SocketAddr,
    pub server: Arc<Server>,
    pub stop: watch::Sender<bool>,
    _dir: TempDir,
}

impl World {
    pub async fn start() -> Self {
        Self::start_with(Security::StartTls, None).await
    }

    pub async fn start_on(address: &str) -> Self {
        Self::start_at(address, Security::StartTls, None, imap::limits::MESSAGE_LIMIT).await
    }

    pub async fn start_with(security: Security, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        Self::start_at("127.0.0.1:0", security, tls, imap::limits::MESSAGE_LIMIT).await
    }

    /// With commands that go through so many messages.
    pub async fn start_limited(message_limit: u32) -> Self {
        Self::start_at("127.0.0.1:0", Security::StartTls, None, message_limit).await
    }

    async fn start_at(
        address: &str,
        security: Security,
        tls: Option<Arc<rustls::ServerConfig>>,
        message_limit: u32,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.sqlite");
        let store: Arc<dyn Store> = Sqlite::open(&path, BridgeKey::from_bytes([7; 32]), Arc::new(LetIn)).unwrap();
        let shelf = Arc::new(MemoryShelf::new());
        let mut users = HashMap::new();
        for name in ["alice", "bob"] {
            let identity = Identity::generate(&mut rand::thread_rng());
            let wrap = NewCredential {
                kind: CredentialKind::AppPassword,
                wrap_id: name.into(),
                label: String::new(),
                wrap: vec![],
            };
            let new = NewAccount {
                local: name.into(),
                domain: "satchel.test".into(),
                identity: *identity.public_key().as_bytes(),
                sealed_seed: vec![1; 48],
                credentials: vec![wrap],
                settings: AccountSettings::default(),
            };
            users.insert(name.to_owned(), (store.create_account(new, NOW).await.unwrap(), identity));
        }
        let bridge = Identity::generate(&mut rand::thread_rng());
        let house = Arc::new(House {
            shelf: shelf.clone(),
            sealer: Sealer::new(&bridge),
            apart: AtomicBool::new(false),
            sealed: AtomicU64::new(0),
            users,
            revoked: watch::Sender::new(false),
            seats: Arc::default(),
            capabilities_off: Mutex::default(),
        });
        let parts = Parts {
            store: store.clone(),
            shelf: shelf.clone(),
            host: house.clone(),
            tls: Arc::new(move || tls.clone()),
            now: || NOW,
            message_limit,
        };
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = watch::Sender::new(false);
        let server = Server::new(parts);
        tokio::spawn(server.clone().serve(listener, security, stop.subscribe()));
        Self { server, store, shelf, house, address, stop, _dir: dir }
    }

    pub fn account(&self, user: &str) -> AccountId {
        self.house.users[user].0
    }

    /// Delivers as SMTP does.
    pub async fn deliver(&self, user: &str, place: Place, message: &[u8]) {
        self.deliver_many(user, place, &[message]).await;
    }

    /// Delivers a priced mail to Unpaid; what its gate is called.
    pub async fn deliver_priced(&self, user: &str, message: &[u8]) -> GateId {
        let gate = NewGate {
            relation: Relation::Stranger,
            price: Msat(100_000),
            priority_price: Msat(1_000_000),
            recipient: format!("{user}@satchel.test"),
            ask: None,
            dkim_signature: None,
            message_id: None,
            voucher: false,
        };
        let delivery = Delivery {
            account: self.account(user),
            place: Place::Unpaid,
            folder: None,
            sealed: self.house.sealed(user, message).await,
            internal_date: NOW,
            flags: Flags::NONE,
            keywords: Vec::new(),
            author: Some(Author { address: "bob@shop.test".into(), aligned: true, evidence: None }),
            message_id: None,
            content_digest: None,
            gate: Some(gate),
            alias: None,
        };
        let batch = Batch { deliveries: vec![delivery], ..Batch::default() };
        self.store.commit(batch, NOW).await.unwrap().remove(0).gate.unwrap()
    }

    /// A payment for it is locked.
    pub async fn pay(&self, gate: GateId) {
        self.pay_sat(gate, 100).await;
    }

    /// A payment of so much for it is locked; 100 is the price.
    pub async fn pay_sat(&self, gate: GateId, sat: u64) {
        let preimage = Preimage::new([u8::try_from(gate.0).unwrap(); 32]);
        let (price, room) = (Msat(100_000), lnmp::Room::default());
        let begun = self.store.begin_quote(gate, price, room, &preimage, NOW + 3_600_000, NOW).await.unwrap();
        let store::Begun::Quote(quote, _) = begun else { panic!("{begun:?}") };
        self.store.publish_quote(quote, "lnbcrt1").await.unwrap();
        let (hash, amount) = (preimage.hash(), Msat(sat * 1000));
        let incoming =
            Incoming { hash, amount, deadline_height: 344, height: 100, window_min: 144, hold_ms: 86_400_000 };
        self.store.payment_held(incoming, NOW).await.unwrap();
    }

    pub async fn deliver_many(&self, user: &str, place: Place, messages: &[&[u8]]) {
        let mut deliveries = Vec::new();
        for message in messages {
            deliveries.push(Delivery {
                account: self.account(user),
                place,
                folder: None,
                sealed: self.house.sealed(user, message).await,
                internal_date: NOW,
                flags: Flags::NONE,
                keywords: Vec::new(),
                author: None,
                message_id: None,
                content_digest: None,
                gate: None,
                alias: None,
            });
        }
        self.store.commit(Batch { deliveries, ..Batch::default() }, NOW).await.unwrap();
    }

    /// A connection that has read the greeting.
    pub async fn connect(&self) -> Client {
        let mut client = Client::new(Box::new(TcpStream::connect(self.address).await.unwrap()));
        let greeting = client.line().await;
        assert!(greeting.starts_with("* OK [CAPABILITY IMAP4rev1 "), "{greeting}");
        client
    }

    /// A connection that is logged in.
    pub async fn login(&self, user: &str) -> Client {
        let mut client = self.connect().await;
        client.ok(&format!("LOGIN {user} secret")).await;
        client
    }
}

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A client. Lines are given and taken without their CR LF; a literal's octets stand within its line, as Latin-1.
pub struct Client {
    stream: Option<Box<dyn Stream>>,
    input: Vec<u8>,
    tag: usize,
}

impl Client {
    pub fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream: Some(stream), input: Vec::new(), tag: 0 }
    }

    pub fn take_stream(&mut self) -> Box<dyn Stream> {
        self.stream.take().unwrap()
    }

    pub fn put_stream(&mut self, stream: Box<dyn Stream>) {
        self.stream = Some(stream);
    }

    pub async fn send(&mut self, octets: &[u8]) {
        let stream = self.stream.as_mut().unwrap();
        stream.write_all(octets).await.unwrap();
        stream.flush().await.unwrap();
    }

    async fn fill(&mut self) -> bool {
        let stream = self.stream.as_mut().unwrap();
        let read = stream.read_buf(&mut self.input);
        let read = tokio::time::timeout(PATIENCE, read).await.expect("an answer in time");
        read.unwrap_or(0) > 0
    }

    /// One response with its literals; `<closed>` at the end.
    pub async fn line(&mut self) -> String {
        let mut length = 0;
        loop {
            if let Some(found) = self.input[length..].windows(2).position(|pair| pair == b"\r\n") {
                let end = length + found;
                let text = &self.input[..end];
                let literal = text.strip_suffix(b"}").and_then(|text| {
                    let open = text.iter().rposition(|&octet| octet == b'{')?;
                    std::str::from_utf8(&text[open + 1..]).ok()?.parse::<usize>().ok()
                });
                let Some(size) = literal else {
                    let line: String = text.iter().map(|&octet| char::from(octet)).collect();
                    self.input.drain(..end + 2);
                    if let Some(fault) = fault_of(&line) {
                        panic!("{fault}: {line:?}");
                    }
                    return line;
                };
                length = end + 2 + size;
                while self.input.len() < length {
                    assert!(self.fill().await, "closed within a literal");
                }
                continue;
            }
            if !self.fill().await {
                assert!(self.input.is_empty(), "closed within a line: {:?}", String::from_utf8_lossy(&self.input));
                return "<closed>".into();
            }
        }
    }

    /// Sends a command and returns every line up to and with the tagged one, whose tag is cut off.
    pub async fn command(&mut self, command: &str) -> Vec<String> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        let octets: Vec<u8> = format!("{tag} {command}\r\n").chars().map(|c| u8::try_from(c).unwrap()).collect();
        self.send(&octets).await;
        self.finish(&tag).await
    }

    /// Every line up to the one with this tag, which is cut off.
    pub async fn finish(&mut self, tag: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if let Some(text) = line.strip_prefix(&format!("{tag} ")) {
                lines.push(text.to_owned());
                return lines;
            }
            assert_ne!(line, "<closed>", "closed before {tag} was answered, after {lines:?}");
            lines.push(line);
        }
    }

    /// As [`Client::command`], which must succeed; without the tagged line.
    pub async fn ok(&mut self, command: &str) -> Vec<String> {
        let mut lines = self.command(command).await;
        let tagged = lines.pop().unwrap();
        assert!(tagged.starts_with("OK "), "{command}: {tagged}");
        lines
    }

    /// The tagged line only.
    pub async fn tagged(&mut self, command: &str) -> String {
        self.command(command).await.pop().unwrap()
    }

    /// APPENDs with a non-synchronising literal; the tagged line.
    pub async fn append(&mut self, mailbox: &str, rest: &str, message: &[u8]) -> String {
        self.append_lines(mailbox, rest, message).await.pop().unwrap()
    }

    /// APPENDs with a non-synchronising literal.
    pub async fn append_lines(&mut self, mailbox: &str, rest: &str, message: &[u8]) -> Vec<String> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        let mut octets = format!("{tag} APPEND {mailbox} {rest}{{{}+}}\r\n", message.len()).into_bytes();
        octets.extend_from_slice(message);
        octets.extend_from_slice(b"\r\n");
        self.send(&octets).await;
        self.finish(&tag).await
    }
}

/// What is wrong with a response as such, whatever it answers (RFC 3501 §9 `resp-text`; mail.md quirk 30).
pub fn fault_of(line: &str) -> Option<&'static str> {
    if line.starts_with('+') {
        // A challenge of SASL may be empty, and its space stays.
        return (!line.starts_with("+ ")).then_some("no space after +");
    }
    if line.ends_with(' ') {
        return Some("a space at the end");
    }
    let Some((_, rest)) = line.split_once(' ') else { return Some("a response of one word") };
    let (word, text) = rest.split_once(' ').unwrap_or((rest, ""));
    if !["OK", "NO", "BAD", "BYE", "PREAUTH"].contains(&word) {
        return None;
    }
    let text = match text.strip_prefix('[') {
        Some(code) => code.split_once("] ").map_or("", |(_, text)| text),
        None => text,
    };
    text.is_empty().then_some("no text")
}

/// Speaks a transcript: `C: ` is sent, `S: ` is expected; `C2: ` and `S2: ` are the second client's. `\r\n` within a
/// line is one, `…` stands for anything.
pub async fn conversation(clients: &mut [&mut Client], transcript: &str) {
    for line in transcript.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (who, text) = line.split_once(':').expect("a speaker");
        let text = text.strip_prefix(' ').unwrap_or(text).replace("\\r\\n", "\r\n");
        let index = who[1..].parse::<usize>().map_or(0, |number| number - 1);
        let client = &mut clients[index];
        match &who[..1] {
            "C" => client.send(format!("{text}\r\n").as_bytes()).await,
            "S" => {
                let said = client.line().await;
                assert!(matches(&text, &said), "\nexpected: {text:?}\n    said: {said:?}\n  in line: {line}");
            }
            other => panic!("unknown speaker {other}"),
        }
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}
