//! SIGKILL while mail goes out: all of it arrives, and twice only what the other server's 250 was lost of.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;

use crate::support::satchel::Satchel;
use crate::support::sink::Sink;
use crate::support::smtp::plain;
use crate::support::stranger::ALICE;
use crate::support::{Chance, eventually, is_long, seed};

/// People who send at a time.
const SENDERS: usize = 3;

/// One submission; `Ok` after the 250.
fn submit(port: u16, (user, password): &(String, String), number: u64) -> io::Result<()> {
    let socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut stream = BufReader::new(socket);
    let mut expect = |command: &[u8], code: &str| -> io::Result<()> {
        stream.get_mut().write_all(command)?;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            return if line.starts_with(code) { Ok(()) } else { Err(io::Error::other(line)) };
        }
    };
    let login = base64::engine::general_purpose::STANDARD.encode(format!("\0{user}\0{password}"));
    let to = format!("greta{number}@far.test");
    expect(b"", "220")?;
    expect(b"EHLO client.test\r\n", "250")?;
    expect(format!("AUTH PLAIN {login}\r\n").as_bytes(), "235")?;
    expect(format!("MAIL FROM:<{ALICE}>\r\n").as_bytes(), "250")?;
    expect(format!("RCPT TO:<{to}>\r\n").as_bytes(), "250")?;
    expect(b"DATA\r\n", "354")?;
    expect(&[&plain(ALICE, &to, &format!("Number {number}"), "On its way.")[..], b".\r\n"].concat(), "250")
}

#[test]
fn kills_during_delivery_lose_no_mail_and_double_only_what_was_never_confirmed() {
    let mut chance = Chance::new(seed());
    let rounds = if is_long() { 50 } else { 10 };
    // It thinks for a moment about every recipient, so that kills meet deliveries at all stages.
    let sink = Sink::answering(|_| {
        std::thread::sleep(Duration::from_millis(5));
        None
    });
    let mut satchel = Satchel::start(&sink.route("far.test"));
    let login = satchel.first_login();
    let (port, next, ended) =
        (Arc::new(AtomicU16::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let promised: Arc<Mutex<Vec<u64>>> = Arc::default();
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (port, next, ended) = (Arc::clone(&port), Arc::clone(&next), Arc::clone(&ended));
            let (promised, login) = (Arc::clone(&promised), login.clone());
            std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    match submit(port.load(Ordering::Relaxed), &login, number) {
                        Ok(()) => promised.lock().unwrap().push(number),
                        Err(_) => std::thread::sleep(Duration::from_millis(20)),
                    }
                }
            })
        })
        .collect();
    for _ in 0..rounds {
        port.store(satchel.ports.submission, Ordering::Relaxed);
        // It dies when so many more have arrived, in the middle of the next: no clock decides, so a slow machine meets
        // the same moments.
        let enough = sink.mails().len() + 1 + usize::try_from(chance.below(40)).unwrap();
        eventually("mail goes out", || (sink.mails().len() >= enough).then_some(()));
        std::thread::sleep(Duration::from_micros(chance.below(20_000)));
        satchel.kill();
        satchel.resume();
    }
    ended.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    eventually("the queue is empty", || {
        let is_empty = satchel.ask(&["queue", "list"]).as_array().unwrap().is_empty();
        // A try that failed as the server went down waits a minute for its next: not here.
        if !is_empty {
            satchel.ask(&["queue", "retry"]);
        }
        is_empty.then_some(())
    });

    // Confirmed and unconfirmed copies of each.
    let mut copies: HashMap<u64, (u32, u32)> = HashMap::new();
    for mail in sink.mails() {
        let number = mail.to[0].trim_start_matches("greta").trim_end_matches("@far.test").parse().unwrap();
        let (confirmed, lost) = copies.entry(number).or_default();
        *(if mail.confirmed { confirmed } else { lost }) += 1;
    }
    let promised = promised.lock().unwrap();
    assert!(promised.len() > rounds, "the load did nothing");
    for number in promised.iter() {
        assert!(copies.contains_key(number), "mail {number} got a 250 and never arrived");
    }
    let mut doubled = 0;
    for (number, (confirmed, lost)) in &copies {
        assert!(*confirmed <= 1, "mail {number} came {confirmed} times although its 250 was read");
        doubled += u32::from(confirmed + lost > 1);
    }
    println!(
        "FIGURE {rounds} kills: {} mails promised, {doubled} came twice, each of those with a 250 that was lost",
        promised.len()
    );
}
