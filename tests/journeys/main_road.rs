//! The main job, end to end: a stranger's big mail is priced, paid, copied by mbsync, and accepted, declined or
//! left alone.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;

use crate::support::imap::Imap;
use crate::support::satchel::Satchel;
use crate::support::sink::Sink;
use crate::support::smtp::{domain, without_trace};
use crate::support::stranger::ALICE;
use crate::support::{Chance, eventually, has_tool, run, seed};

/// What a stranger pays by default, in msat, and how the ledger splits it.
const PRICE: u64 = 100_000;
const FEE: u64 = 10_000;

/// A mail of 3 MB with two attachments, as a careful client writes it.
fn big_mail(chance: &mut Chance, author: &str, subject: &str) -> Vec<u8> {
    let mut text = format!(
        "From: A Stranger <{author}>\r\nTo: <{ALICE}>\r\nSubject: {subject}\r\nMessage-ID: <big.1@{}>\r\n\
         Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"seam-1\"\r\n\r\nA preamble.\r\n--seam-1\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         Two attachments, d=C3=A9j=C3=A0 vu.\r\n",
        domain(author)
    );
    for (name, octets) in [("plan.pdf", 1_500_000), ("photo.jpg", 700_001)] {
        let _ = write!(
            text,
            "--seam-1\r\nContent-Type: application/octet-stream; name={name}\r\n\
             Content-Disposition: attachment; filename={name}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        );
        let encoded = base64::engine::general_purpose::STANDARD.encode(chance.bytes(octets));
        for line in encoded.as_bytes().chunks(76) {
            text.push_str(std::str::from_utf8(line).unwrap());
            text.push_str("\r\n");
        }
    }
    text.push_str("--seam-1--\r\n");
    text.into_bytes()
}

/// Hands a message to swaks, which sends it to alice.
fn swaks(satchel: &Satchel, author: &str, message: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), message).unwrap();
    let server = format!("127.0.0.1:{}", satchel.ports.smtp);
    let data = format!("@{}", file.path().display());
    run(Command::new("swaks")
        .args(["--server", &server, "--helo", domain(author), "--from", author, "--to", ALICE])
        .args(["--no-data-fixup", "--data", &data, "--suppress-data"]));
}

/// What swaks sends without its fix-up must be dot-stuffed and ended by us; none of our lines begins with a dot.
fn for_swaks(message: &[u8]) -> Vec<u8> {
    assert!(!message.windows(3).any(|three| three == b"\r\n."));
    [message, b".\r\n"].concat()
}

/// Waits until exactly one mail with this subject lies in a mailbox (which it selects), and returns its UID.
fn wait_in(imap: &mut Imap, mailbox: &str, subject: &str) -> u32 {
    eventually(&format!("{subject} is in {mailbox}"), || match imap.find(mailbox, subject)[..] {
        [uid] => Some(uid),
        [] => None,
        ref several => panic!("{subject} is in {mailbox} more than once: {several:?}"),
    })
}

fn assert_flags(imap: &mut Imap, uid: u32, expected: &[&str]) {
    let mut flags = String::new();
    let has_all = |flags: &str| expected.iter().all(|one| flags.split(' ').any(|flag| flag == *one));
    eventually(&format!("flags {expected:?}"), || {
        imap.ok("NOOP");
        flags = imap.flags(uid);
        has_all(&flags).then_some(())
    });
    let ours = ["$Unpaid", "$Paid", "$Settled", "$Accepted", "$Refunded", "$Declined", "$Priority"];
    let more: Vec<_> = flags.split(' ').filter(|flag| ours.contains(flag) && !expected.contains(flag)).collect();
    assert!(more.is_empty(), "{more:?} should not be set: {flags}");
}

/// Copies Requests into a Maildir and returns the files in it.
fn mbsync(satchel: &Satchel, folder: &Path) -> Vec<Vec<u8>> {
    let (user, password) = satchel.first_login();
    let maildir = folder.join("mail");
    fs::create_dir_all(&maildir).unwrap();
    let config = format!(
        "IMAPAccount a\nHost 127.0.0.1\nPort {}\nUser {user}\nPass {password}\nSSLType None\nAuthMechs LOGIN\n\n\
         IMAPStore far\nAccount a\n\nMaildirStore near\nPath {maildir}/\nInbox {maildir}/INBOX\nSubFolders Verbatim\n\n\
         Channel c\nFar :far:\nNear :near:\nPatterns Requests\nCreate Near\nSync Pull\nSyncState *\n",
        satchel.ports.imap,
        maildir = maildir.display(),
    );
    let rc = folder.join("mbsyncrc");
    fs::write(&rc, config).unwrap();
    run(Command::new("mbsync").arg("-c").arg(&rc).arg("c"));
    ["cur", "new"]
        .iter()
        .flat_map(|sub| fs::read_dir(maildir.join("Requests").join(sub)).unwrap())
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect()
}

/// A Maildir file as the wire has it: CRLF again, and without the line mbsync adds for itself.
fn as_on_the_wire(file: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(file.len() + file.len() / 60);
    let mut in_header = true;
    for line in file.split_inclusive(|&octet| octet == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        in_header &= !line.is_empty();
        if !(in_header && line.starts_with(b"X-TUID: ")) {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

#[test]
fn a_paid_mail_is_copied_byte_for_byte_and_settles_when_accepted_or_is_refunded_when_declined() {
    if !has_tool("swaks") || !has_tool("mbsync") {
        return;
    }
    let (shop, flowers) = (Sink::start(), Sink::start());
    let routes = format!(
        "[routes]\n\"shop.test\" = \"127.0.0.1:{}\"\n\"flowers.test\" = \"127.0.0.1:{}\"\n",
        shop.port, flowers.port
    );
    let satchel = Satchel::start(&routes);
    let mut chance = Chance::new(seed());
    let mut imap = satchel.imap();

    // It comes in, and waits for payment.
    let (bob, subject) = ("bob@shop.test", "Two attachments for you");
    let message = big_mail(&mut chance, bob, subject);
    assert!(message.len() > 3_000_000);
    swaks(&satchel, bob, &for_swaks(&message));
    let uid = wait_in(&mut imap, "Unpaid", subject);
    assert_flags(&mut imap, uid, &["$Unpaid"]);

    // Its author is asked, and pays.
    let request = shop.wait_for(bob);
    assert_eq!(request.from, "", "a request has a null reverse-path");
    for line in ["Auto-Submitted: auto-replied", "In-Reply-To: <big.1@shop.test>"] {
        assert!(request.text().contains(line), "{line} is not in\n{}", request.text());
    }
    assert!(request.text().contains(&format!("http://127.0.0.1:{}/pay/", satchel.ports.web)));
    let bolt11 = request.bolt11().expect("an invoice in the request");
    satchel.pay(&bolt11);
    let uid = wait_in(&mut imap, "Requests", subject);
    assert_flags(&mut imap, uid, &["$Paid"]);
    assert_eq!(imap.find("Unpaid", subject), [0; 0]);
    let balance = satchel.ask(&["wallet", "balance"]);
    assert_eq!((&balance["held_msat"], &balance["users_msat"]), (&PRICE.into(), &0.into()), "{balance}");

    // A client copies it, and it is what the author wrote.
    let folder = tempfile::tempdir().unwrap();
    let files = mbsync(&satchel, folder.path());
    assert_eq!(files.len(), 1);
    let copied = as_on_the_wire(&files[0]);
    assert!(without_trace(&copied) == message, "mbsync's copy is not byte-identical under the trace");
    imap.ok("SELECT Requests");
    let fetched = imap.body(uid);
    assert!(without_trace(&fetched) == message, "the fetched mail is not byte-identical under the trace");
    let trace = String::from_utf8_lossy(&fetched[..fetched.len() - message.len()]).into_owned();
    for field in ["Return-Path: <bob@shop.test>", "LNMP-Relation: stranger", "LNMP-Price: 100", "LNMP-Gate: waiting"] {
        assert!(trace.contains(field), "{field} is not in the trace:\n{trace}");
    }
    assert!(trace.contains("Authentication-Results: satchel.test") && trace.contains("spf=pass"), "{trace}");

    // Alice takes it.
    imap.ok(&format!("UID MOVE {uid} INBOX"));
    satchel.wait_for_payment(&bolt11, "succeeded");
    satchel.wait_for_state(bob, "settled");
    let uid = wait_in(&mut imap, "INBOX", subject);
    assert_flags(&mut imap, uid, &["$Settled", "$Accepted"]);
    let balance = satchel.ask(&["wallet", "balance"]);
    assert_eq!(balance["users_msat"], PRICE - FEE, "{balance}");
    assert_eq!(balance["fees_msat"], FEE, "{balance}");
    assert_eq!(balance["held_msat"], 0, "{balance}");
    satchel.assert_audit();
    assert_eq!(satchel.relation(bob).as_deref(), Some("acquaintance"));

    // The same of another author, whom she does not want.
    let (carol, subject) = ("carol@flowers.test", "Another pair");
    let before = satchel.customer_msat();
    swaks(&satchel, carol, &for_swaks(&big_mail(&mut chance, carol, subject)));
    let bolt11 = flowers.wait_for(carol).bolt11().expect("an invoice in the request");
    satchel.pay(&bolt11);
    let uid = wait_in(&mut imap, "Requests", subject);
    imap.ok(&format!("UID MOVE {uid} Junk"));
    satchel.wait_for_payment(&bolt11, "failed");
    satchel.wait_for_customer(before);
    satchel.wait_for_state(carol, "declined");
    let uid = wait_in(&mut imap, "Junk", subject);
    assert_flags(&mut imap, uid, &["$Refunded", "$Declined"]);
    let balance = satchel.ask(&["wallet", "balance"]);
    assert_eq!((&balance["users_msat"], &balance["held_msat"]), (&(PRICE - FEE).into(), &0.into()), "{balance}");
    satchel.assert_audit();
}

#[test]
fn a_paid_mail_left_alone_is_refunded_returns_to_unpaid_and_can_be_paid_again() {
    if !has_tool("swaks") {
        return;
    }
    let sink = Sink::start();
    let satchel = Satchel::start(&format!("[money]\nhold = \"2s\"\n{}", sink.route("books.test")));
    let (dave, subject) = ("dave@books.test", "No answer needed");
    let before = satchel.customer_msat();
    swaks(&satchel, dave, &for_swaks(&big_mail(&mut Chance::new(seed()), dave, subject)));
    let first = sink.wait_for(dave).bolt11().expect("an invoice in the request");
    let paid = Instant::now();
    satchel.pay(&first);

    // Nobody answers.
    satchel.wait_for_payment(&first, "failed");
    println!("a hold of 2 s was refunded {} ms after the payment began", paid.elapsed().as_millis());
    assert!(paid.elapsed() >= Duration::from_secs(2), "refunded before the hold was over");
    satchel.wait_for_customer(before);
    let gate = satchel.wait_for_state(dave, "waiting");
    assert_eq!(gate["refunded"], true, "{gate}");
    let mut imap = satchel.imap();
    let uid = wait_in(&mut imap, "Unpaid", subject);
    assert_flags(&mut imap, uid, &["$Unpaid", "$Refunded"]);
    assert_eq!(imap.find("Requests", subject), [0; 0]);

    // He pays again, with another invoice, and this time she looks.
    let second = satchel.invoice(&gate);
    assert_ne!(first, second, "a quote is never used again");
    satchel.pay(&second);
    let uid = wait_in(&mut imap, "Requests", subject);
    imap.ok(&format!("UID MOVE {uid} Archive"));
    satchel.wait_for_payment(&second, "succeeded");
    satchel.wait_for_state(dave, "settled");
    let uid = wait_in(&mut imap, "Archive", subject);
    assert_flags(&mut imap, uid, &["$Settled", "$Accepted"]);
    satchel.assert_audit();
}

#[test]
fn a_decline_reaches_the_payer_within_a_second() {
    let satchel = Satchel::start("");
    let mut imap = satchel.imap();
    // On a machine that others use, one of three must be as quick as it is on a quiet one.
    let mut seen = Vec::new();
    for n in 1..=3 {
        let bolt11 = satchel.stranger_pays(&format!("x@shop{n}.test"), &format!("Unwanted {n}"));
        let uid = wait_in(&mut imap, "Requests", &format!("Unwanted {n}"));
        let declined = Instant::now();
        imap.ok(&format!("UID MOVE {uid} Junk"));
        while satchel.payment_at_once(&bolt11) != "failed" {
            assert!(declined.elapsed() < Duration::from_secs(30), "the payment is not failed back");
        }
        let took = declined.elapsed();
        println!("the payer saw the refund {} ms after the move to Junk", took.as_millis());
        if took < Duration::from_secs(1) {
            return;
        }
        seen.push(took);
    }
    panic!("refunds reached the payer only after {seen:?}");
}
