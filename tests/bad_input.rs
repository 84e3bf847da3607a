//! Bad input, from a mistyped config to a full disk: each gets a clear message or reply code, and leaves everything
//! intact.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use support::imap::Imap;
use support::satchel::{BINARY, Satchel};
use support::smtp::{Smtp, plain, send};
use support::stranger::ALICE;
use support::{eventually, run};

const BEFORE: &str = "There before the trouble";

/// A mail that must outlive whatever the test does.
fn deliver_before(satchel: &Satchel) {
    send(satchel.ports.smtp, "early@shop.test", ALICE, &plain("early@shop.test", ALICE, BEFORE, "Still readable."));
}

fn assert_intact(satchel: &Satchel) {
    let mut imap = satchel.imap();
    let found = imap.find("Unpaid", BEFORE);
    assert_eq!(found.len(), 1, "the mail delivered before is there once");
    assert!(imap.body(found[0]).ends_with(b"\r\n\r\nStill readable.\r\n"));
}

/// A mail after the trouble comes in as ever.
fn assert_goes_on(satchel: &Satchel, subject: &str) {
    send(satchel.ports.smtp, "late@shop.test", ALICE, &plain("late@shop.test", ALICE, subject, "As ever."));
    assert_eq!(satchel.imap().find("Unpaid", subject).len(), 1);
}

/// Runs the binary to its end; it must not start serving.
fn satchel(arguments: &[&str]) -> (i32, String) {
    finished(Command::new(BINARY).args(arguments).stdin(Stdio::null()).output().unwrap())
}

fn finished(output: Output) -> (i32, String) {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("panicked"), "{text}");
    (output.status.code().expect("an exit code, not a signal"), text)
}

fn assert_says(got: &(i32, String), code: i32, words: &[&str]) {
    assert_eq!(got.0, code, "{}", got.1);
    for word in words {
        assert!(got.1.contains(word), "{word:?} is not in {:?}", got.1);
    }
}

/// Every file below, with its octets.
fn snapshot(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if let Ok(octets) = fs::read(entry.path()) {
                files.insert(entry.path().display().to_string(), octets);
            }
        }
    }
    files
}

#[test]
fn a_wrong_config_is_refused_with_file_line_key_and_what_is_allowed() {
    let mut server = Satchel::start("");
    deliver_before(&server);
    server.stop();
    let dir = server.path().display().to_string();
    let file = server.path().join("satchel.toml");
    let good = fs::read_to_string(&file).unwrap();
    let before = snapshot(&server.path().join("keys"));
    let database = fs::read(server.path().join("satchel.db")).unwrap();
    let last = good.lines().count();
    for (line, key, allowed) in [
        ("[money]\nhold = \"soon\"", "hold", "24h"),
        ("[money]\nfinal_cltv = 7", "final_cltv", "105 to 418"),
        ("[limits]\nmessage_mib = 0", "message_mib", "1 to 1024"),
        ("[server]\ndomains = [\"not a name\"]", "server.domains", "labels"),
        ("[dns]\nresolver = \"here\"", "resolver", "127.0.0.1:5353"),
        ("[tls]\nworld = 1", "world", "certificate"),
    ] {
        fs::write(&file, format!("{good}{line}\n")).unwrap();
        let path = file.display().to_string();
        let where_ = format!("line {}", last + 2);
        let words = [path.as_str(), where_.as_str(), key, allowed];
        assert_says(&satchel(&["up", "--dir", &dir]), 2, &words);
        assert_says(&satchel(&["check", "--config", &path]), 2, &words);
        assert_says(&satchel(&["serve", "--config", &path]), 2, &words);
        assert_says(&satchel(&["account", "list", "--dir", &dir]), 2, &words);
    }
    assert_eq!(snapshot(&server.path().join("keys")), before, "nothing is touched");
    assert_eq!(fs::read(server.path().join("satchel.db")).unwrap(), database, "nothing is touched");
    fs::write(&file, good).unwrap();
    server.resume();
    assert_intact(&server);
}

#[test]
fn a_taken_port_a_second_server_a_missing_directory_and_wrong_words_are_told_apart() {
    let mut server = Satchel::start("");
    deliver_before(&server);
    let dir = server.path().display().to_string();

    // A second server on the same DIR.
    assert_says(&satchel(&["up", "--dir", &dir]), 1, &["another satchel is running", &dir]);
    assert_intact(&server);

    // Commands with nonsense; the server answers and goes on.
    for (arguments, code, words) in [
        (&["frobnicate"][..], 2, &["frobnicate"][..]),
        (&["account", "remove"], 2, &["ADDRESS"]),
        (&["price", ALICE, "--stranger", "many", "--dir", &dir], 2, &["many"]),
        (&["price", "nobody@satchel.test", "--stranger", "1", "--dir", &dir], 1, &["nobody@satchel.test"]),
        (&["account", "capability", ALICE, "--off", "IMAP4rev1", "--dir", &dir], 1, &["IMAP4rev1", "IDLE", "UIDPLUS"]),
        (&["gate", "show", "999", "--dir", &dir], 1, &["999"]),
        (&["gate", "invoice", "999", "--dir", &dir], 1, &["no such gate"]),
        (&["queue", "remove", "999", "--dir", &dir], 1, &["999"]),
        (&["sandbox", "pay", "lnbcrt1nonsense", "--dir", &dir], 1, &["invoice"]),
        (&["sandbox", "mine", "0", "--dir", &dir], 1, &["1 to 2016"]),
        (
            &["alias", "add", "x@elsewhere.example", "--for", ALICE, "--dir", &dir],
            1,
            &["elsewhere.example", "satchel.test"],
        ),
        (&["alias", "add", "alice@satchel.test", "--for", ALICE, "--dir", &dir], 1, &[]),
        (&["alias", "add", "x@satchel.test", "--for", ALICE, "--expires", "soon", "--dir", &dir], 2, &["24h"]),
        (&["contact", "friend", ALICE, "no-address", "--dir", &dir], 1, &["local-part@domain"]),
        (&["account", "app-password", "nobody@satchel.test", "--dir", &dir], 1, &["nobody@satchel.test"]),
    ] {
        let got = satchel(arguments);
        assert_eq!(got.0, code, "{arguments:?}: {}", got.1);
        assert_says(&got, code, words);
    }
    assert_intact(&server);

    // A DIR that is not there is not made by asking; a folder that is no DIR is not made one.
    let missing = server.path().join("not-here");
    let path = missing.display().to_string();
    assert_says(&satchel(&["gate", "list", "--dir", &path]), 2, &[&path, "satchel up"]);
    assert!(!missing.exists());
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().display().to_string();
    assert_says(&satchel(&["gate", "list", "--dir", &path]), 2, &[&path, "satchel up"]);
    assert_says(&satchel(&["serve", "--config", &format!("{path}/none.toml")]), 2, &["none.toml"]);

    // A port that somebody else has.
    server.stop();
    assert_says(&satchel(&["sandbox", "mine", "1", "--dir", &dir]), 1, &["not running"]);
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let file = server.path().join("satchel.toml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("imap = 0", &format!("imap = {port}"))).unwrap();
    let got = satchel(&["up", "--dir", &dir]);
    assert_says(&got, 2, &[&format!("127.0.0.1:{port}"), "`imap`", "[listen]"]);
    let path = file.display().to_string();
    let got = satchel(&["check", "--config", &path]);
    assert_ne!(got.0, 0, "check sees it too: {}", got.1);
    assert!(got.1.contains(&port.to_string()), "{}", got.1);
    fs::write(&file, good).unwrap();
    server.resume();
    assert_intact(&server);
}

#[test]
fn bad_smtp_gets_a_reply_that_says_why_and_the_session_goes_on() {
    let server = Satchel::start("[limits]\nmessage_mib = 1\n");
    deliver_before(&server);
    let mut session = Smtp::greeted(server.ports.smtp);
    let ehlo = session.command("EHLO client.test");
    assert!(ehlo.contains("SIZE 1048576"), "{ehlo}");
    for (command, reply) in [
        ("XYZZY", "500 5.5."),
        ("", "500 5.5."),
        ("MAIL FROM:no-brackets", "501 5."),
        ("RCPT TO:<alice@satchel.test>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("MAIL FROM:<x@shop.test> SIZE=1048577", "552 5.3.4"),
        ("MAIL FROM:<x@shop.test> FROB=1", "555 5.5.4"),
        ("VRFY alice", "252"),
        ("MAIL FROM:<x@shop.test>", "250"),
        ("RCPT TO:<nobody@satchel.test>", "550 5.1.1"),
        ("RCPT TO:<someone@elsewhere.test>", "550 5.7.1"),
        ("RCPT TO:<alice@satchel.test.elsewhere.test>", "550 5.7.1"),
        ("RCPT TO:<\"someone@elsewhere.test\"@satchel.test>", "550 5.1."),
        ("RCPT TO:<alice#zzzzzz@satchel.test>", "550 5.1.1"),
        ("DATA", "5"),
        ("RSET", "250"),
    ] {
        let got = session.command(command);
        assert!(got.starts_with(reply), "{command}: {got}, not {reply}");
    }
    // A line without end.
    session.write(&vec![b'A'; 20_000]);
    let got = session.command("");
    assert!(got.starts_with("500 5."), "{got}");

    // A mail larger than announced: read to its end, refused, and the next one is taken.
    let long = plain("x@shop.test", ALICE, "Too large", &"All work and no play.\r\n".repeat(60_000));
    let got = session.mail("x@shop.test", ALICE, &long);
    assert!(got.starts_with("552 5.3.4"), "{got}");
    let got = session.mail("late@shop.test", ALICE, &plain("late@shop.test", ALICE, "Of good size", "Small."));
    assert!(got.starts_with("250"), "{got}");

    // A peer that goes away in the middle.
    let mut gone = Smtp::connect(server.ports.smtp);
    gone.envelope("x@shop.test", ALICE);
    gone.expect("354", "DATA");
    gone.write(b"Subject: Half a mail\r\n\r\nHal");
    drop(gone);

    // Submission: nobody without a password, nobody with a wrong one.
    let mut session = Smtp::connect(server.ports.submission);
    let got = session.command("MAIL FROM:<alice@satchel.test>");
    assert!(got.starts_with("530 5.7.0"), "{got}");
    let got = session.command("AUTH PLAIN AGFsaWNlAHdyb25n");
    assert!(got.starts_with("535 5.7.8"), "{got}");
    let got = session.command("AUTH PLAIN !!!");
    assert!(got.starts_with("501 5.5.2") || got.starts_with("535"), "{got}");
    let got = session.command("AUTH SCRAM-SHA-256 x");
    assert!(got.starts_with("504 5.5.4"), "{got}");

    assert!(server.imap().find("Unpaid", "Half a mail").is_empty());
    assert_eq!(server.imap().find("Unpaid", "Too large"), [0; 0]);
    assert_eq!(server.imap().find("Unpaid", "Of good size").len(), 1);
    assert_intact(&server);
}

/// Sends octets to a port and returns what comes back until the server closes.
fn poke(port: u16, octets: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // The server may close before it has read everything.
    let _ = stream.write_all(octets);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn broken_tls_and_garbage_end_one_connection_and_no_more() {
    let mut server = Satchel::start("");
    deliver_before(&server);
    let ports = server.ports;
    let garbage = support::Chance::new(support::seed()).bytes(3000);

    // Garbage where TLS should begin, in both ways to begin it.
    for port in [ports.smtp, ports.submission] {
        let mut session = Smtp::connect(port);
        session.expect("220", "STARTTLS");
        session.write(&garbage);
        // At most a TLS alert, and the end: nothing of SMTP is said any more.
        let mut left = Vec::new();
        session.read_to_end(&mut left);
        assert!(left.is_empty() || left[0] == 21, "{left:?}");
    }
    let mut imap = Imap::connect(ports.imap);
    imap.ok("STARTTLS");
    drop(imap);
    let answer = poke(ports.imap, &[b"a STARTTLS\r\n", &garbage[..]].concat());
    assert!(answer.contains("a OK") || answer.contains("a BAD"), "{answer}");
    for port in [ports.submissions, ports.imaps] {
        poke(port, &garbage);
        poke(port, b"EHLO plain.test\r\n");
        // A handshake that begins well and ends there.
        poke(port, &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]);
    }
    // What was said before TLS is not believed after it, and not answered either.
    let mut session = Smtp::connect(ports.smtp);
    session.write(b"STARTTLS\r\nMAIL FROM:<x@shop.test>\r\n");
    let replies = session.reply();
    assert!(replies.starts_with("220") || replies.starts_with("5"), "{replies}");
    assert!(!session.reply().starts_with("250"), "an injected command was taken");

    // Garbage everywhere.
    for port in [ports.smtp, ports.submission, ports.imap, ports.web] {
        poke(port, &garbage);
        poke(port, &[0; 5000]);
        poke(port, b"\r\n\r\n\r\n");
    }
    let answer = poke(ports.web, b"GET /pay/../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let answer =
        poke(ports.web, b"GET /pay/0123456789abcdef0123456789abcdef HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");

    // IMAP: what is wrong is answered BAD or NO, and the session goes on.
    let mut imap = Imap::connect(ports.imap);
    let (user, password) = server.first_login();
    for (command, answer) in [
        ("FROBNICATE", "BAD"),
        ("SELECT INBOX", "BAD"),
        ("LOGIN alice wrong", "NO [AUTHENTICATIONFAILED]"),
        (&*format!("LOGIN {user} {password}"), "OK"),
        ("SELECT Nowhere", "NO"),
        ("FETCH 1 FLAGS", "BAD"),
        ("SELECT Unpaid", "OK"),
        ("FETCH 99 (FLAGS)", "BAD"),
        ("UID FETCH 99 (FLAGS)", "OK"),
        ("UID COPY 1 Nowhere", "NO [TRYCREATE]"),
        ("FETCH 1 (NONSENSE)", "BAD"),
        ("SEARCH CHARSET KLINGON ALL", "NO [BADCHARSET"),
        ("CREATE INBOX", "NO"),
        ("APPEND INBOX {3000000000}", "NO [TOOBIG]"),
        ("NOOP", "OK"),
    ] {
        let (_, got) = imap.command(command);
        assert!(got.starts_with(answer), "{command}: {got}, not {answer}");
    }
    // A literal that comes unasked and is longer than anybody would skip ends the session, with a word.
    let huge = format!("a LOGIN {user} {password}\r\nb APPEND INBOX {{3000000000+}}\r\n");
    let answer = poke(ports.imap, huge.as_bytes());
    assert!(answer.contains("a OK") && answer.contains("[TOOBIG]"), "{answer}");

    assert!(server.is_running());
    assert_intact(&server);
    assert_goes_on(&server, "After the garbage");
}

#[test]
fn short_of_disk_it_takes_nothing_new_and_keeps_and_settles_what_it_has() {
    let mut server = Satchel::start("");
    deliver_before(&server);
    let bolt11 = server.stranger_pays("payer@shop.test", "Paid in time");
    let waiting = server.stranger_writes("asker@shop.test", "Not asked yet");
    server.stop();
    // More than any disk has free.
    server.configure("[limits]\ndisk_free_mib = 1000000000\n");
    server.resume();

    for port in [server.ports.smtp, server.ports.submission] {
        let (user, password) = server.first_login();
        let mut session =
            if port == server.ports.smtp { Smtp::connect(port) } else { Smtp::login(port, &user, &password) };
        let got = session.command("MAIL FROM:<alice@satchel.test>");
        assert!(got.starts_with("452 4.3.1"), "{got}");
    }
    let (_, got) = {
        let mut imap = server.imap();
        imap.command("APPEND INBOX {10+}\r\nTo: x\r\n\r\nx")
    };
    assert!(got.starts_with("NO"), "{got}");
    // No new invoice; but money that is locked is settled, and mail is read and moved.
    let id = waiting["id"].to_string();
    if server.gate_of("asker@shop.test").unwrap()["bolt11"].is_null() {
        let got = finished(server.command(&["gate", "invoice", &id]).output().unwrap());
        assert_says(&got, 1, &["disk"]);
    }
    assert_intact(&server);
    let mut imap = server.imap();
    let uid = imap.find("Requests", "Paid in time")[0];
    imap.ok(&format!("UID MOVE {uid} INBOX"));
    server.wait_for_payment(&bolt11, "succeeded");
    server.wait_for_state("payer@shop.test", "settled");

    server.stop();
    server.configure("");
    server.resume();
    assert_intact(&server);
    assert_goes_on(&server, "Room again");
    server.assert_audit();
}

/// A small file system of its own, mounted where DIR is; gone with this.
struct Mounted(std::path::PathBuf);

impl Mounted {
    /// `None`, said as SKIPPED, where mounting is not allowed.
    fn over(path: &Path, mebibytes: u32) -> Option<Self> {
        let options = format!("size={mebibytes}m,mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path);
        let output = mount.output().ok()?;
        if !output.status.success() {
            eprintln!("SKIPPED: mounting is not allowed here: {}", String::from_utf8_lossy(&output.stderr).trim());
            return None;
        }
        Some(Self(path.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_is_really_full_loses_nothing_that_got_its_250() {
    let mut server = Satchel::prepared("");
    let Some(_mounted) = Mounted::over(server.path(), 64) else { return };
    // The usual floor of 256 MiB would refuse everything here: without it, the disk itself says no.
    server.configure("[limits]\ndisk_free_mib = 0\n");
    server.resume();
    deliver_before(&server);
    let filler = server.path().join("filler");
    // All but a little: the next mails fill it up.
    let free = {
        let text = run(Command::new("df").args(["--output=avail", "-B1"]).arg(server.path()));
        text.lines().last().unwrap().trim().parse::<u64>().unwrap()
    };
    fs::write(&filler, vec![0; usize::try_from(free - 3 * 1024 * 1024).unwrap()]).unwrap();

    // Attachments of half a mebibyte, until one is refused; each refusal is temporary.
    let mut taken = Vec::new();
    let mut refused = 0;
    for n in 0..16 {
        let subject = format!("Filling up {n}");
        let octets = support::Chance::new(n + 1).bytes(400_000);
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, octets);
        let lines: String =
            encoded.as_bytes().chunks(76).map(|l| String::from_utf8_lossy(l).into_owned() + "\r\n").collect();
        let message = String::from_utf8(plain("filler@shop.test", ALICE, &subject, &lines)).unwrap().replacen(
            "\r\n\r\n",
            "\r\nContent-Transfer-Encoding: base64\r\nContent-Type: application/pdf\r\n\r\n",
            1,
        );
        let mut session = Smtp::connect(server.ports.smtp);
        session.envelope("filler@shop.test", ALICE);
        session.expect("354", "DATA");
        session.write(&[message.as_bytes(), b".\r\n"].concat());
        let got = session.reply();
        match got.get(..1) {
            Some("2") => taken.push((subject, message)),
            Some("4") => refused += 1,
            _ => panic!("neither taken nor put off: {got:?}\n{}", server.log_text()),
        }
    }
    println!("{} mails were taken, {refused} put off", taken.len());
    assert!(refused > 0, "the disk was not full");
    assert!(server.is_running());

    // Room again: it goes on without a restart, and nothing taken is missing, also after a kill.
    fs::remove_file(&filler).unwrap();
    eventually("it takes mail again", || {
        let mut session = Smtp::connect(server.ports.smtp);
        let mail = plain("late@shop.test", ALICE, "Room again", "As ever.");
        session.mail("late@shop.test", ALICE, &mail).starts_with("250").then_some(())
    });
    let check = |server: &Satchel| {
        let mut imap = server.imap();
        for (subject, message) in &taken {
            let found = imap.find("Unpaid", subject);
            assert_eq!(found.len(), 1, "{subject}");
            assert!(imap.body(found[0]).ends_with(message.as_bytes()), "{subject} is damaged");
        }
        assert_intact(server);
    };
    check(&server);
    server.kill();
    server.resume();
    check(&server);
    let bolt11 = server.stranger_pays("payer@shop.test", "Paid after it all");
    let mut imap = server.imap();
    let uid = imap.find("Requests", "Paid after it all")[0];
    imap.ok(&format!("UID MOVE {uid} INBOX"));
    server.wait_for_payment(&bolt11, "succeeded");
    server.assert_audit();
}
