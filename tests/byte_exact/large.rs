//! A large mail is not held in memory: while one arrives, the process grows by windows and chunks, whatever the mail's size.

use std::fs;

use crate::support::imap::Imap;
use crate::support::is_long;
use crate::support::satchel::Satchel;
use crate::support::sink::Sink;
use crate::support::smtp::{Smtp, plain, without_trace};
use crate::support::stranger::ALICE;
use crate::{dkim, zone};

/// What one connection may take for a mail of any size, in KiB.
const PER_CONNECTION_KIB: u64 = 2 * 1024;
/// What comes beside it, in KiB: blocks that the allocator keeps for each of its arenas, pages of the database's cache, and
/// code that runs for the first time.
const NOISE_KIB: u64 = 4 * 1024;

/// Writes a mail: from whom, its subject, and how large.
type Written = fn(&str, &str, usize) -> Vec<u8>;

/// Octets of the large mails: several times what is allowed, or with `--long` what the contract names.
fn large() -> usize {
    if is_long() { 50_000_000 } else { 12_000_000 }
}

/// The process's memory in KiB, by the name it has in /proc.
fn memory(satchel: &Satchel, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", satchel.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// By how many KiB the process grew at most while `work` ran.
fn growth(satchel: &Satchel, work: impl FnOnce()) -> u64 {
    // proc(5): 5 sets the peak to what is resident now.
    fs::write(format!("/proc/{}/clear_refs", satchel.id()), "5").unwrap();
    let before = memory(satchel, "VmRSS");
    work();
    memory(satchel, "VmHWM").saturating_sub(before)
}

fn with_attachment(from: &str, subject: &str, octets: usize) -> Vec<u8> {
    let line = format!("{}\r\n", "Q2Fu".repeat(19));
    let file = line.repeat(octets / line.len());
    let head = String::from_utf8(plain(from, ALICE, subject, "")).unwrap();
    let head = head.trim_end();
    format!(
        "{head}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"cut here\"\r\n\r\n--cut here\r\n\r\n\
         A file is with this.\r\n--cut here\r\nContent-Type: application/pdf; name=plan.pdf\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{file}--cut here--\r\n"
    )
    .into_bytes()
}

fn with_text(from: &str, subject: &str, octets: usize) -> Vec<u8> {
    let line = "The quick brown fox jumps over the lazy dog, and nobody is told.\r\n";
    plain(from, ALICE, subject, line.repeat(octets / line.len()).trim_end())
}

fn fetched(imap: &mut Imap, mailbox: &str, subject: &str) -> Vec<u8> {
    let found = imap.find(mailbox, subject);
    assert_eq!(found.len(), 1, "{subject} is there once");
    imap.body(found[0])
}

#[test]
fn a_large_mail_takes_two_mebibytes_and_comes_back_octet_for_octet() {
    let pkcs8 = smtp::DkimKey::generate(smtp::DkimKind::Ed25519).unwrap();
    let key = smtp::DkimKey::from_pkcs8("signed.test", "s1", &pkcs8).unwrap();
    let (name, text) = key.dns_record();
    let resolver = zone(&name, &text);
    let satchel = Satchel::start(&format!("[dns]\nresolver = \"{resolver}\"\n"));
    let mut imap = satchel.imap();
    let author = "ivy@signed.test";
    let kinds: [(&str, Written); 2] = [("attachment", with_attachment), ("text", with_text)];
    for (kind, written) in kinds {
        for (size, octets) in [("small", 700_000), ("large", large())] {
            let subject = format!("A {size} {kind}");
            let message = written(author, &subject, octets);
            let signed = [key.sign(&message).unwrap().as_bytes(), &message].concat();
            let grew = growth(&satchel, || {
                let reply = Smtp::connect(satchel.ports.smtp).mail("bounces@elsewhere.test", ALICE, &signed);
                assert!(reply.starts_with("250"), "{subject}: {reply}");
            });
            println!("{subject}: {} octets, grew by {grew} KiB", signed.len());
            // The first of its kind runs the code for the first time.
            if size == "large" {
                assert!(grew <= PER_CONNECTION_KIB + NOISE_KIB, "{subject}: the process grew by {grew} KiB");
            }
            let body = fetched(&mut imap, "Unpaid", &subject);
            assert!(without_trace(&body) == signed, "{subject} is not what was sent");
            let trace = String::from_utf8_lossy(&body[..body.len() - signed.len()]).into_owned();
            assert!(trace.contains("dkim=pass"), "{subject}: {trace}");
        }
    }
    let body = fetched(&mut imap, "Unpaid", "A small text");
    assert_eq!(dkim(resolver, &body), [smtp::AuthResult::Pass], "with our fields on top, too");
}

#[test]
fn a_header_without_end_is_refused_and_takes_nothing() {
    let satchel = Satchel::start("");
    let head = b"From: <x@shop.test>\r\nSubject: Endless\r\n".to_vec();
    let field = b"X-Field: and another one of them, which nobody will ever read\r\n";
    for body in [&b""[..], b"\r\nbody\r\n"] {
        let message = [&head[..], &field.repeat(large() / field.len()), body].concat();
        let grew = growth(&satchel, || {
            let reply = Smtp::connect(satchel.ports.smtp).mail("x@shop.test", ALICE, &message);
            assert!(reply.starts_with("552 5.3.4") && reply.contains("512 KiB"), "{reply}");
        });
        println!("grew by {grew} KiB");
        assert!(grew <= PER_CONNECTION_KIB + NOISE_KIB, "the process grew by {grew} KiB");
    }
    let message = [&head[..], &field.repeat(500_000 / field.len()), b"\r\nbody\r\n"].concat();
    let reply = Smtp::connect(satchel.ports.smtp).mail("x@shop.test", ALICE, &message);
    assert!(reply.starts_with("250"), "{reply}");
    assert!(without_trace(&fetched(&mut satchel.imap(), "Unpaid", "Endless")) == message);
}

#[test]
fn eight_large_mails_at_once_take_two_mebibytes_each() {
    let satchel = Satchel::start("");
    let octets = if is_long() { large() } else { large() / 2 };
    let eight = |from: usize, octets: usize| {
        let senders = (from..from + 8).map(|number| {
            let port = satchel.ports.smtp;
            std::thread::spawn(move || {
                let message = with_attachment("x@shop.test", &format!("Number {number}."), octets);
                let reply = Smtp::connect(port).mail("x@shop.test", ALICE, &message);
                assert!(reply.starts_with("250"), "{number}: {reply}");
                message
            })
        });
        let senders: Vec<_> = senders.collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).collect::<Vec<_>>()
    };
    eight(0, 700_000);
    let mut sent = Vec::new();
    let grew = growth(&satchel, || sent = eight(8, octets));
    println!("8 mails of {octets} octets: grew by {grew} KiB");
    assert!(grew <= 8 * PER_CONNECTION_KIB + NOISE_KIB, "the process grew by {grew} KiB");
    let mut imap = satchel.imap();
    for (number, message) in (8..).zip(&sent) {
        let body = fetched(&mut imap, "Unpaid", &format!("Number {number}."));
        assert!(without_trace(&body) == message, "number {number} is not what was sent");
    }
}

#[test]
fn a_large_submitted_mail_to_somebody_here_takes_two_mebibytes() {
    let satchel = Satchel::start("");
    let (user, password) = satchel.first_login();
    let mut imap = satchel.imap();
    for (subject, octets) in [("A small one", 700_000), ("A large one", large())] {
        let message = with_attachment(ALICE, subject, octets);
        let grew = growth(&satchel, || {
            let reply = Smtp::login(satchel.ports.submission, &user, &password).mail(ALICE, ALICE, &message);
            assert!(reply.starts_with("250"), "{reply}");
        });
        println!("{subject}: grew by {grew} KiB");
        if octets == large() {
            assert!(grew <= PER_CONNECTION_KIB + NOISE_KIB, "the process grew by {grew} KiB");
        }
        for mailbox in ["INBOX", "Sent"] {
            let body = fetched(&mut imap, mailbox, subject);
            assert!(body.ends_with(&message), "{subject} in {mailbox} is not what was sent");
        }
    }
}

#[test]
fn a_large_mail_to_somebody_elsewhere_leaves_octet_for_octet() {
    let sink = Sink::start();
    let satchel = Satchel::start(&sink.route("far.test"));
    let (user, password) = satchel.first_login();
    let mut imap = satchel.imap();
    // In memory and read from the spool; queued in one piece and in several.
    let kinds: [(Written, usize); 4] =
        [(with_text, 100_000), (with_attachment, 400_000), (with_text, 1_200_000), (with_attachment, 4_000_000)];
    for (number, (written, octets)) in kinds.into_iter().enumerate() {
        let (subject, to) = (format!("Number {number}."), format!("x{number}@far.test"));
        let message = written(ALICE, &subject, octets);
        let mut session = Smtp::login(satchel.ports.submission, &user, &password);
        session.expect("250", &format!("MAIL FROM:<{ALICE}>"));
        session.expect("250", &format!("RCPT TO:<{to}>"));
        session.expect("250", &format!("RCPT TO:<{ALICE}>"));
        session.expect("354", "DATA");
        session.write(&[&message[..], b".\r\n"].concat());
        let reply = session.reply();
        assert!(reply.starts_with("250"), "{reply}");
        let left = sink.wait_for(&to).message;
        assert!(left.ends_with(&message), "{octets}: what left is not what was sent");
        let top = String::from_utf8_lossy(&left[..left.len() - message.len()]).into_owned();
        assert!(top.contains("DKIM-Signature: v=1;"), "{top}");
        for mailbox in ["INBOX", "Sent"] {
            assert!(fetched(&mut imap, mailbox, &subject).ends_with(&message), "{octets}: {mailbox}");
        }
    }
}
