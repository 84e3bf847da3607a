//! People who send, pay and decide, and do not mind that the server dies under them.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use satchel::cli::Request;
use serde_json::Value;

use crate::mail::Mail;
use crate::support::control::{self, Undone};
use crate::support::satchel::{Ports, Satchel};
use crate::support::{Chance, is_long};

/// Nobody waits longer for an answer.
const ANSWER: Duration = Duration::from_secs(20);
const SENDERS: u64 = 3;
const PAYERS: u64 = 8;
/// Pages opened at a time.
const LOOKS: usize = 10;
/// Between two mails of a sender: two cores must have time for payments, too.
const BREATH: Duration = Duration::from_millis(25);
/// The same in the long form: what hundreds of rounds leave must be read in the end.
const LONG_BREATH: Duration = Duration::from_millis(250);
/// Longer than an invoice of the load can be paid.
pub const LATE: Duration = Duration::from_secs(11);
/// The `[money]` of the load: holds end by the clock too, and a payment can be late.
pub const MONEY: &str = "[money]\nhold = \"6s\"\nquote = \"10s\"\n";

/// What somebody does until the server dies.
type Work = fn(&State, Ports, &mut Chance) -> io::Result<()>;

/// The load.
pub struct Load {
    state: Arc<State>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct State {
    dir: PathBuf,
    login: (String, String),
    seed: u64,
    /// Where the server is; `None` while it is down.
    ports: Mutex<Option<Ports>>,
    ended: AtomicBool,
    next: AtomicU64,
    promised: Mutex<Vec<u64>>,
    doubtful: Mutex<Vec<u64>>,
    paid: AtomicU64,
    in_escrow: AtomicU64,
    late: AtomicU64,
    decided: AtomicU64,
    /// Invoices that are paid when it is too late, and since when.
    kept: Mutex<Vec<(Instant, String)>>,
}

impl Load {
    /// Starts the people; they wait for [`Load::resume`].
    pub fn begin(satchel: &Satchel, seed: u64) -> Self {
        let state = Arc::new(State {
            dir: satchel.path().to_owned(),
            login: satchel.first_login(),
            seed,
            ports: Mutex::new(None),
            ended: AtomicBool::new(false),
            next: AtomicU64::new(0),
            promised: Mutex::default(),
            doubtful: Mutex::default(),
            paid: AtomicU64::new(0),
            in_escrow: AtomicU64::new(0),
            late: AtomicU64::new(0),
            decided: AtomicU64::new(0),
            kept: Mutex::default(),
        });
        let work: [(u64, Work); 5] = [(SENDERS, send), (PAYERS, pay), (1, look), (1, decide), (1, command)];
        let mut threads = Vec::new();
        for (count, work) in work {
            for n in 0..count {
                let state = Arc::clone(&state);
                let mut chance = Chance::new(seed ^ (n + 1 + threads.len() as u64 * 77));
                threads.push(std::thread::spawn(move || {
                    while !state.ended.load(Ordering::Relaxed) {
                        let ports = *state.ports.lock().unwrap();
                        // An error is the server's death: begin again where it comes back.
                        let failed = ports.is_none_or(|ports| work(&state, ports, &mut chance).is_err());
                        if failed {
                            std::thread::sleep(Duration::from_millis(20));
                        }
                    }
                }));
            }
        }
        Self { state, threads: Mutex::new(threads) }
    }

    /// The server is up.
    pub fn resume(&self, ports: Ports) {
        *self.state.ports.lock().unwrap() = Some(ports);
    }

    /// The server is down.
    pub fn pause(&self) {
        *self.state.ports.lock().unwrap() = None;
    }

    /// Everybody goes home: the numbers of the mails that got a 250, and of those whose answer never came.
    pub fn end(&self) -> (Vec<u64>, Vec<u64>) {
        self.pause();
        self.state.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.lock().unwrap().drain(..) {
            thread.join().unwrap();
        }
        (self.state.promised.lock().unwrap().clone(), self.state.doubtful.lock().unwrap().clone())
    }

    /// What was done so far.
    pub fn figures(&self) -> String {
        let state = &self.state;
        format!(
            "{} mails, {} payments locked or taken, {} begun into escrow, {} begun late, {} decisions",
            state.promised.lock().unwrap().len(),
            state.paid.load(Ordering::Relaxed),
            state.in_escrow.load(Ordering::Relaxed),
            state.late.load(Ordering::Relaxed),
            state.decided.load(Ordering::Relaxed)
        )
    }
}

impl State {
    fn is_up(&self) -> bool {
        self.ports.lock().unwrap().is_some() && !self.ended.load(Ordering::Relaxed)
    }

    fn tell(&self, request: &Request) -> io::Result<Value> {
        control::tell(&self.dir, request).map_err(|why| match why {
            Undone::Gone(error) => error,
            Undone::Refused(why) => io::Error::other(why),
        })
    }

    /// The gates in a state.
    fn gates(&self, state: &str) -> io::Result<Vec<Value>> {
        let gates = self.tell(&Request::GateList)?;
        let gates = gates.as_array().ok_or(io::ErrorKind::InvalidData)?;
        Ok(gates.iter().filter(|gate| gate["state"] == state).cloned().collect())
    }
}

/// Sends until the server dies.
fn send(state: &State, ports: Ports, _: &mut Chance) -> io::Result<()> {
    let mut session = Smtp::connect(ports.smtp)?;
    while state.is_up() {
        std::thread::sleep(if is_long() { LONG_BREATH } else { BREATH });
        let number = state.next.fetch_add(1, Ordering::Relaxed);
        let mail = Mail::new(state.seed, number);
        if !session.envelope(&mail.from, &mail.recipients())? {
            continue;
        }
        match session.data(&mail.message) {
            Ok(true) => state.promised.lock().unwrap().push(number),
            Ok(false) => {}
            Err(error) => {
                state.doubtful.lock().unwrap().push(number);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Pays for mails that wait; in escrow where the channel is full, and some too late.
fn pay(state: &State, _: Ports, chance: &mut Chance) -> io::Result<()> {
    let late = {
        let mut kept = state.kept.lock().unwrap();
        kept.first().is_some_and(|(since, _)| since.elapsed() > LATE).then(|| kept.remove(0).1)
    };
    if let Some(bolt11) = late {
        state.late.fetch_add(1, Ordering::Relaxed);
        state.tell(&Request::SandboxPay { bolt11 })?;
        return Ok(());
    }
    let waiting = state.gates("waiting")?;
    let waiting: Vec<&Value> = waiting.iter().filter(|gate| gate["refunding"] == false).collect();
    let asked: Vec<&&Value> = waiting.iter().filter(|gate| gate["bolt11"].is_string()).collect();
    let gate = match (asked.is_empty(), waiting.is_empty()) {
        (_, true) => return Err(io::ErrorKind::NotFound.into()),
        (false, _) if chance.below(2) == 0 => asked[chance.below(asked.len() as u64) as usize],
        _ => &waiting[chance.below(waiting.len() as u64) as usize],
    };
    let id = gate["id"].as_i64().ok_or(io::ErrorKind::InvalidData)?;
    let mut invoice = state.tell(&Request::GateInvoice { id, priority: false })?;
    if invoice["hold"] == "escrow" && invoice["bolt11"].is_null() {
        invoice = state.tell(&Request::GateRefundTo { id, target: "sandbox".into() })?;
    }
    let bolt11 = invoice["bolt11"].as_str().ok_or(io::ErrorKind::InvalidData)?.to_owned();
    if chance.below(6) == 0 {
        state.kept.lock().unwrap().push((Instant::now(), bolt11));
        return Ok(());
    }
    if invoice["hold"] == "escrow" {
        state.in_escrow.fetch_add(1, Ordering::Relaxed);
    }
    if state.tell(&Request::SandboxPay { bolt11 })?["state"] != "failed" {
        state.paid.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Authors who open their page and pay nothing yet: the channel's slots are reserved for them, what others pay is escrow.
fn look(state: &State, _: Ports, chance: &mut Chance) -> io::Result<()> {
    let waiting = state.gates("waiting")?;
    let not_asked: Vec<i64> =
        waiting.iter().filter(|gate| gate["bolt11"].is_null()).filter_map(|gate| gate["id"].as_i64()).collect();
    for _ in 0..LOOKS.min(not_asked.len()) {
        let id = not_asked[chance.below(not_asked.len() as u64) as usize];
        state.tell(&Request::GateInvoice { id, priority: false })?;
    }
    std::thread::sleep(Duration::from_millis(500));
    Ok(())
}

/// The owner at the command line, now and then.
fn command(state: &State, _: Ports, chance: &mut Chance) -> io::Result<()> {
    std::thread::sleep(Duration::from_millis(100 + chance.below(400)));
    let held = state.gates("held")?;
    if held.is_empty() {
        return Ok(());
    }
    let id = held[chance.below(held.len() as u64) as usize]["id"].as_i64().ok_or(io::ErrorKind::InvalidData)?;
    state.tell(&if chance.below(2) == 0 { Request::GateAccept { id } } else { Request::GateDecline { id } })?;
    state.decided.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Reads mail, and decides: to INBOX, to Junk, or not yet; now and then lets one in free.
fn decide(state: &State, ports: Ports, chance: &mut Chance) -> io::Result<()> {
    let mut imap = Session::connect(ports.imap)?;
    imap.ok(&format!("LOGIN {} \"{}\"", state.login.0, state.login.1))?;
    while state.is_up() {
        let free = chance.below(12) == 0;
        imap.ok(if free { "SELECT Unpaid" } else { "SELECT Requests" })?;
        let uids = imap.search()?;
        if uids.is_empty() {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        }
        let uid = uids[chance.below(uids.len() as u64) as usize];
        let to = match chance.below(10) {
            _ if free => "Archive",
            0..5 => "INBOX",
            5..8 => "Junk",
            _ => continue,
        };
        imap.ok(&format!("UID MOVE {uid} {to}"))?;
        state.decided.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// One mail over a connection of its own; whether it got a 250.
pub fn deliver(port: u16, from: &str, to: &[&str], message: &[u8]) -> io::Result<bool> {
    let mut session = Smtp::connect(port)?;
    Ok(session.envelope(from, to)? && session.data(message)?)
}

struct Smtp(BufReader<TcpStream>);

impl Smtp {
    fn connect(port: u16) -> io::Result<Self> {
        let mut session = Self(connect(port)?);
        session.reply()?;
        session.say("EHLO client.shop.test")?;
        Ok(session)
    }

    /// Whether sender and every recipient were taken.
    fn envelope(&mut self, from: &str, to: &[&str]) -> io::Result<bool> {
        let mut fine = self.say(&format!("MAIL FROM:<{from}>"))?;
        for to in to {
            fine &= self.say(&format!("RCPT TO:<{to}>"))?;
        }
        if !fine {
            self.say("RSET")?;
        }
        Ok(fine)
    }

    fn data(&mut self, message: &[u8]) -> io::Result<bool> {
        self.0.get_mut().write_all(b"DATA\r\n")?;
        if !self.reply()?.starts_with("354") {
            return Ok(false);
        }
        assert!(message.ends_with(b"\r\n") && !message.windows(3).any(|three| three == b"\r\n."));
        self.0.get_mut().write_all(message)?;
        self.say(".")
    }

    fn say(&mut self, line: &str) -> io::Result<bool> {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        Ok(self.reply()?.starts_with('2'))
    }

    fn reply(&mut self) -> io::Result<String> {
        loop {
            let line = line(&mut self.0)?;
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line);
            }
        }
    }
}

/// An IMAP session that may end in the middle of a line.
struct Session(BufReader<TcpStream>);

impl Session {
    fn connect(port: u16) -> io::Result<Self> {
        let mut session = Self(connect(port)?);
        line(&mut session.0)?;
        Ok(session)
    }

    fn ok(&mut self, command: &str) -> io::Result<Vec<String>> {
        self.0.get_mut().write_all(format!("a {command}\r\n").as_bytes())?;
        let mut untagged = Vec::new();
        loop {
            let line = line(&mut self.0)?;
            match line.strip_prefix("a ") {
                Some(end) if end.starts_with("OK") => return Ok(untagged),
                Some(_) => return Err(io::ErrorKind::Other.into()),
                None => untagged.push(line),
            }
        }
    }

    fn search(&mut self) -> io::Result<Vec<u64>> {
        let lines = self.ok("UID SEARCH ALL")?;
        let uids = lines.iter().filter_map(|line| line.strip_prefix("* SEARCH")).flat_map(str::split_whitespace);
        Ok(uids.filter_map(|uid| uid.parse().ok()).collect())
    }
}

fn connect(port: u16) -> io::Result<BufReader<TcpStream>> {
    let socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(ANSWER))?;
    socket.set_nodelay(true)?;
    Ok(BufReader::new(socket))
}

fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 || !line.ends_with('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}
