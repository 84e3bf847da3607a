//! What every other mail server is put through: mail to it and from it, small, large, to many, put off and refused.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::support::satchel::Satchel;
use crate::support::smtp::{Smtp, plain};
use crate::support::stranger::ALICE;
use crate::support::{eventually, run};

/// Beside what Satchel puts on top it is 50 MB, the largest that is promised to pass.
pub(crate) const LARGE_BYTES: usize = 50_000_000;

/// Another mail server, which takes mail for a domain of its own into one Maildir and relays the rest to Satchel. It puts
/// off `later@` while it is closed, and refuses `nobody@`.
pub(crate) trait Peer {
    /// Its domain.
    fn domain(&self) -> &'static str;
    /// Where it listens.
    fn port(&self) -> u16;
    /// Where mail comes to lie.
    fn new_mails(&self) -> PathBuf;
    /// What it says.
    fn log(&self) -> String;
    /// Closes or opens `later@`.
    fn close(&mut self, closed: bool);
    /// Whether it speaks SMTPUTF8.
    fn speaks_utf8(&self) -> bool {
        true
    }
    /// Whether it shakes hands; where it fails to, mail comes in the clear.
    fn takes_tls(&self) -> bool {
        true
    }
    /// What its report of a delivery says.
    fn delivered(&self) -> &'static str {
        "Action: delivered"
    }

    /// Somebody there.
    fn bob(&self) -> String {
        self.address("bob")
    }
    /// Anybody there.
    fn address(&self, name: &str) -> String {
        format!("{name}@{}", self.domain())
    }
    /// All mail that came.
    fn mails(&self) -> Vec<PathBuf> {
        files(&self.new_mails())
    }
    /// Waits for a mail that holds `what`, and returns it.
    fn wait_for(&self, what: &str) -> String {
        eventually(&format!("{} has a mail with {what:?}; its log:\n{}", self.domain(), self.log()), || {
            let text = |path: PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
            self.mails().into_iter().map(text).find(|text| text.contains(what))
        })
    }
}

/// A Satchel that knows the way to a peer; its port is asked of the peer's own config.
pub(crate) fn satchel_beside(domain: &str, port: u16) -> Satchel {
    Satchel::start(&format!("[routes]\n\"{domain}\" = \"127.0.0.1:{port}\"\n"))
}

/// Alice and bob are friends.
pub(crate) fn befriend(satchel: &Satchel, peer: &dyn Peer) {
    satchel.ask(&["contact", "friend", ALICE, &peer.bob()]);
}

/// Satchel sends to the peer.
pub(crate) fn receives(satchel: &Satchel, peer: &dyn Peer) {
    // Over TLS, signed, under a tagged reverse-path; and the peer speaks DSN: its report comes back free.
    let bob = peer.bob();
    let mail = plain(ALICE, &bob, "To a peer", "Good day.");
    submit(satchel, " RET=HDRS ENVID=QQ1", &[(&bob, &format!(" NOTIFY=SUCCESS ORCPT=rfc822;{bob}"))], &mail);
    let arrived = peer.wait_for("Subject: To a peer");
    let over_tls = arrived.contains("TLSv1.3") || arrived.contains("TLS1.3");
    assert_eq!(over_tls, peer.takes_tls(), "over TLS: {arrived}");
    assert!(arrived.contains("DKIM-Signature:"), "{arrived}");
    assert!(arrived.to_lowercase().contains("return-path: <prvs="), "{arrived}");
    in_inbox(satchel, peer.delivered());

    // A hundred recipients, in one transaction.
    let hundred: Vec<String> = (0..100).map(|number| peer.address(&format!("box{number}"))).collect();
    let hundred: Vec<(&str, &str)> = hundred.iter().map(|to| (to.as_str(), "")).collect();
    let before = peer.mails().len();
    submit(satchel, "", &hundred, &plain(ALICE, &peer.address("list"), "To a hundred", "Good day, all."));
    eventually("a hundred copies are there", || (peer.mails().len() - before == 100).then_some(()));

    // Addresses and headers in another script.
    if peer.speaks_utf8() {
        let joerg = peer.address("j\u{f6}rg");
        let wide = plain(ALICE, &joerg, "Gr\u{fc}\u{df}e", "Sch\u{f6}nen Tag.");
        submit(satchel, " BODY=8BITMIME SMTPUTF8", &[(&joerg, "")], &wide);
        assert!(peer.wait_for("Gr\u{fc}\u{df}e").contains(&joerg));
    }

    let begun = Instant::now();
    submit(satchel, "", &[(&bob, "")], &large(ALICE, &bob, "To a peer, large"));
    let arrived = peer.wait_for("Subject: To a peer, large");
    println!("FIGURE 50 MB from submission to {} in {:?}", peer.domain(), begun.elapsed());
    // Maildir keeps a line end in one octet, of lines of 78.
    assert!(arrived.len() >= LARGE_BYTES / 78 * 77);
}

/// The peer puts one recipient off and refuses another.
pub(crate) fn puts_off(satchel: &Satchel, peer: &mut dyn Peer) {
    peer.close(true);
    let (later, nobody) = (peer.address("later"), peer.address("nobody"));
    submit(satchel, "", &[(&later, ""), (&nobody, "")], &plain(ALICE, &later, "Now or later", "Good day."));
    let report = in_inbox(satchel, "multipart/report");
    for part in [nobody.as_str(), "Action: failed", "stopped trying"] {
        assert!(report.contains(part), "{part:?} is missing from\n{report}");
    }
    let item = eventually("the other waits", || {
        let queue = satchel.ask(&["queue", "list"]).as_array().unwrap().clone();
        queue.into_iter().find(|item| item["last_error"].is_string())
    });
    assert!(item["last_error"].as_str().unwrap().contains("greylisted"), "{item}");
    peer.close(false);
    eventually("it is taken in the end", || {
        let is_empty = satchel.ask(&["queue", "list"]).as_array().unwrap().is_empty();
        if !is_empty {
            satchel.ask(&["queue", "retry"]);
        }
        is_empty.then_some(())
    });
    peer.wait_for("Subject: Now or later");
}

/// The peer sends to Satchel.
pub(crate) fn sends(satchel: &Satchel, peer: &dyn Peer) {
    let bob = peer.bob();
    let send = |from: &str, parameters: &str, recipients: &[String], message: &[u8]| {
        let mut session = Smtp::connect(peer.port());
        session.expect("250", &format!("MAIL FROM:<{from}>{parameters}"));
        for recipient in recipients {
            session.expect("250", &format!("RCPT TO:<{recipient}>"));
        }
        session.expect("354", "DATA");
        session.write(&[message, b".\r\n"].concat());
        let reply = session.reply();
        assert!(reply.starts_with("250"), "{reply}");
    };
    let alice = vec![ALICE.to_owned()];
    send(&bob, "", &alice, &plain(&bob, ALICE, "From a peer", "Good day."));
    let arrived = in_inbox(satchel, "Subject: From a peer");
    assert!(arrived.contains("with ESMTPS"), "over TLS: {arrived}");

    if peer.speaks_utf8() {
        let joerg = peer.address("j\u{f6}rg");
        satchel.ask(&["contact", "friend", ALICE, &joerg]);
        let wide = plain(&joerg, ALICE, "Gr\u{fc}\u{df}e", "Sch\u{f6}nen Tag.");
        send(&joerg, " SMTPUTF8 BODY=8BITMIME", &alice, &wide);
        in_inbox(satchel, "Gr\u{fc}\u{df}e");
    }

    let hundred: Vec<String> = (0..100).map(|number| format!("alice+{number}@satchel.test")).collect();
    send(&bob, "", &hundred, &plain(&bob, ALICE, "A hundred times", "Good day."));
    in_inbox(satchel, "Subject: A hundred times");

    // What Satchel refuses, the peer reports.
    let nobody = "nobody@satchel.test";
    send(&bob, "", &[nobody.to_owned()], &plain(&bob, nobody, "To nobody", "Hello?"));
    peer.wait_for("there is no such mailbox here");

    send(&bob, "", &alice, &large(&bob, ALICE, "From a peer, large"));
    let mut imap = satchel.imap();
    let uid = eventually("the large one is there", || imap.find("INBOX", "From a peer, large").first().copied());
    assert!(uid > 0);
}

fn submit(satchel: &Satchel, parameters: &str, recipients: &[(&str, &str)], message: &[u8]) {
    let (user, password) = satchel.first_login();
    let mut session = Smtp::login(satchel.ports.submission, &user, &password);
    session.expect("250", &format!("MAIL FROM:<{ALICE}>{parameters}"));
    for (recipient, parameters) in recipients {
        session.expect("250", &format!("RCPT TO:<{recipient}>{parameters}"));
    }
    session.expect("354", "DATA");
    session.write(&[message, b".\r\n"].concat());
    let reply = session.reply();
    assert!(reply.starts_with("250"), "{reply}");
}

fn in_inbox(satchel: &Satchel, what: &str) -> String {
    let mut imap = satchel.imap();
    eventually(&format!("{what:?} is in INBOX"), || {
        imap.ok("SELECT INBOX");
        let bodies = imap.ok("UID FETCH 1:* (BODY.PEEK[])");
        let texts = bodies.iter().flat_map(|response| &response.literals);
        texts.map(|octets| String::from_utf8_lossy(octets).into_owned()).find(|text| text.contains(what))
    })
}

fn large(from: &str, to: &str, subject: &str) -> Vec<u8> {
    let mut message = plain(from, to, subject, "A large one.");
    let line = [b"x".repeat(76), b"\r\n".to_vec()].concat();
    while message.len() < LARGE_BYTES {
        message.extend_from_slice(&line);
    }
    message
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).map(|dir| dir.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

/// Other mail servers are started by root only.
pub(crate) fn is_root() -> bool {
    let root = run(std::process::Command::new("id").arg("-u")).trim() == "0";
    if !root {
        eprintln!("SKIPPED: other mail servers are started by root only");
    }
    root
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Waits until something answers there.
pub(crate) fn wait_for_port(port: u16, log: impl Fn() -> String) {
    eventually(&format!("port {port} answers: {}", log()), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok().map(|_| ())
    });
}
