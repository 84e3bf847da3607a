//! Figures of money, from outside: how soon an accepted payment is seen to be settled, and how fast invoices are made
//! while mail goes on. Bounded far above what is measured; `docs/measurements.md` says how to measure.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::escrow::{http, page};
use crate::support::satchel::Satchel;
use crate::support::smtp::{Smtp, plain};
use crate::support::stranger::ALICE;
use crate::support::{PATIENCE, eventually, is_long};

/// Milliseconds: median, 99th of a hundred, worst.
fn summary(times: &[Duration]) -> String {
    let mut all: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
    all.sort_by(f64::total_cmp);
    let at = |percent: usize| all[(all.len() - 1) * percent / 100];
    format!("{} times: median {:.1} ms, p99 {:.1} ms, worst {:.1} ms", all.len(), at(50), at(99), at(100))
}

fn median(times: &[Duration]) -> Duration {
    let mut all = times.to_vec();
    all.sort_unstable();
    all[all.len() / 2]
}

/// A client that idles in a mailbox, and tells when it reads a line with `word`.
fn idle(satchel: &Satchel, mailbox: &str, word: &'static str) -> mpsc::Receiver<Instant> {
    let (user, password) = satchel.first_login();
    let socket = TcpStream::connect(("127.0.0.1", satchel.ports.imap)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    let mut until = |end: &str| {
        let mut line = String::new();
        while !line.starts_with(end) {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0, "closed before {end}");
        }
    };
    let say = |command: String| (&socket).write_all(command.as_bytes()).unwrap();
    until("* OK");
    say(format!("a LOGIN {user} {password}\r\n"));
    until("a OK");
    say(format!("b SELECT {mailbox}\r\n"));
    until("b OK");
    say("c IDLE\r\n".to_owned());
    until("+");
    let (send, seen) = mpsc::channel();
    std::thread::spawn(move || {
        // Kept, so that the connection lives as long as somebody listens.
        let _socket = socket;
        for line in reader.lines().map_while(Result::ok) {
            if line.contains("FETCH") && line.contains(word) && send.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    seen
}

#[test]
fn an_accepted_payment_is_seen_settled_at_once_by_its_payer_and_by_an_idle_client() {
    let satchel = Satchel::start("");
    let rounds = if is_long() { 50 } else { 8 };
    let mut imap = satchel.imap();
    let seen = idle(&satchel, "Requests", "$Settled");
    let (mut oks, mut payer, mut visible) = (Vec::new(), Vec::new(), Vec::new());
    for n in 1..=rounds {
        let subject = format!("Settled {n}");
        let bolt11 = satchel.stranger_pays(&format!("a@figure{n}.test"), &subject);
        let uid = eventually("the mail is in Requests", || imap.find("Requests", &subject).first().copied());
        while seen.try_recv().is_ok() {}
        let begun = Instant::now();
        imap.ok(&format!("UID STORE {uid} +FLAGS.SILENT ($Accepted)"));
        oks.push(begun.elapsed());
        while satchel.payment_at_once(&bolt11) != "succeeded" {
            assert!(begun.elapsed() < PATIENCE, "the payment is not claimed");
            std::thread::sleep(Duration::from_millis(1));
        }
        payer.push(begun.elapsed());
        visible.push(seen.recv_timeout(PATIENCE).expect("$Settled").duration_since(begun));
    }
    println!("FIGURE accept to its OK, {}", summary(&oks));
    println!("FIGURE accept to the payer's success, {}", summary(&payer));
    println!("FIGURE accept to $Settled at an idle client, {}", summary(&visible));
    for times in [&payer, &visible] {
        assert!(median(times) < Duration::from_secs(2), "{}", summary(times));
    }
    satchel.assert_audit();
}

/// Mails whose authors look at their pages.
const PAGES: usize = 30;

/// Opens a page, which makes an invoice: how long that took, and the invoice, unless it was over by then.
fn visit(satchel: &Satchel, path: &str) -> (Duration, Option<String>) {
    let begun = Instant::now();
    let (status, shown) = http(satchel, "GET", path, "");
    let took = begun.elapsed();
    assert_eq!(status, 200, "{shown}");
    let bolt11 = |at: usize| shown[at..].chars().take_while(char::is_ascii_alphanumeric).collect();
    (took, shown.find("lnbcrt").map(bolt11))
}

/// Visits pages in turn from several threads for `lasting`, `per_second` of them or as fast as it goes: how long each
/// took, and how many invoices there were.
fn visits(satchel: &Satchel, paths: &[String], lasting: Duration, per_second: Option<u32>) -> (Vec<Duration>, usize) {
    let (next, begun) = (AtomicUsize::new(0), Instant::now());
    let times = Mutex::new((Vec::new(), HashSet::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if let Some(per_second) = per_second {
                        let due = Duration::from_secs(1) / per_second * u32::try_from(n).unwrap();
                        std::thread::sleep(due.saturating_sub(begun.elapsed()));
                    }
                    if begun.elapsed() >= lasting {
                        return;
                    }
                    let (took, bolt11) = visit(satchel, &paths[n % paths.len()]);
                    let mut times = times.lock().unwrap();
                    times.0.push(took);
                    times.1.extend(bolt11);
                }
            });
        }
    });
    let (times, invoices) = times.into_inner().unwrap();
    (times, invoices.len())
}

/// Sends so many mails over two connections; how long each `250` took.
fn mails(satchel: &Satchel, count: usize, name: &str) -> Vec<Duration> {
    let times = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for connection in 0..2 {
            let times = &times;
            scope.spawn(move || {
                let mut smtp = Smtp::connect(satchel.ports.smtp);
                for n in 0..count / 2 {
                    let author = "load@mail.test";
                    let subject = format!("{name} {connection} {n}");
                    let mail = plain(author, ALICE, &subject, &"A line of some length, for its weight.\r\n".repeat(90));
                    let begun = Instant::now();
                    let answer = smtp.mail(author, ALICE, &mail);
                    assert!(answer.starts_with("250"), "{answer}");
                    times.lock().unwrap().push(begun.elapsed());
                }
            });
        }
    });
    times.into_inner().unwrap()
}

#[test]
fn twenty_invoices_a_second_are_made_and_mail_goes_on_beside_them() {
    // Short-lived invoices give their slots back, so that one channel is enough for any number of them.
    let mut satchel = Satchel::start("[money]\nquote = \"100ms\"\n");
    let seconds = if is_long() { 10 } else { 2 };
    let paths: Vec<String> = (1..=PAGES)
        .map(|n| {
            let gate = satchel.stranger_writes(&format!("a@page{n}.test"), &format!("Page {n}"));
            page(&satchel, &gate)
        })
        .collect();
    let begun = Instant::now();
    let (fast, made) = visits(&satchel, &paths, Duration::from_secs(seconds), None);
    let rate = made as f64 / begun.elapsed().as_secs_f64();
    println!("FIGURE invoices as fast as it goes: {rate:.0} a second, {}", summary(&fast));

    // At this rate every visit finds the page's last invoice over, and no more than twenty slots are taken.
    satchel.stop();
    satchel.configure("[money]\nquote = \"1s\"\n");
    satchel.resume();
    let (alone, made) = visits(&satchel, &paths, Duration::from_secs(seconds), Some(20));
    println!("FIGURE {made} invoices, 20 a second, {}", summary(&alone));
    // Each visit makes an invoice, unless this machine stood still for a second and the visits came in a heap.
    assert!(made * 2 > alone.len(), "{made} invoices in {} visits", alone.len());

    let count = if is_long() { 2000 } else { 200 };
    mails(&satchel, count / 4, "Warm");
    let begun = Instant::now();
    let quiet = mails(&satchel, count, "Quiet");
    let quiet_rate = count as f64 / begun.elapsed().as_secs_f64();
    println!("FIGURE mails alone: {quiet_rate:.0} a second, {}", summary(&quiet));
    let over = AtomicBool::new(false);
    let (busy, beside, busy_rate) = std::thread::scope(|scope| {
        let visiting = scope.spawn(|| {
            let mut all = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let turn = all.len() % PAGES;
                let paths = [&paths[turn..], &paths[..turn]].concat();
                all.extend(visits(&satchel, &paths, Duration::from_millis(500), Some(20)).0);
            }
            all
        });
        let begun = Instant::now();
        let busy = mails(&satchel, count, "Busy");
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        (busy, visiting.join().unwrap(), rate)
    });
    println!("FIGURE mails beside 20 invoices a second: {busy_rate:.0} a second, {}", summary(&busy));
    println!("FIGURE invoices beside mail, {}", summary(&beside));
    assert!(median(&alone) < Duration::from_secs(2), "{}", summary(&alone));
    assert!(rate > 5.0, "{rate} invoices a second");
    assert!(median(&busy) < median(&quiet) * 10 + Duration::from_secs(1), "{}", summary(&busy));
}
