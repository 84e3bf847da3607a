//! Nothing readable at rest: after mails came, were paid, queued, filed, tagged and searched, no file of DIR and no
//! log line shows who wrote, about what, or what was attached. Neither does a kill in the middle of DATA.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use memchr::memmem;
use support::satchel::Satchel;
use support::sink::Sink;
use support::smtp::{Smtp, send};
use support::stranger::ALICE;
use support::{Chance, eventually, seed};

/// What may not be found, and why each is looked for.
struct Needles(Vec<(&'static str, Vec<u8>)>);

impl Needles {
    /// A text: as it is in any case, in base64 at each of its three alignments, and in hexadecimal digits.
    fn text(&mut self, what: &'static str, text: &str) {
        assert!(text.len() >= 8, "{text} could be there by chance");
        self.0.push((what, text.to_lowercase().into_bytes()));
        self.0.push((what, hex::encode(text).into_bytes()));
        self.octets(what, text.as_bytes());
    }

    /// Octets: as they are and in base64.
    fn octets(&mut self, what: &'static str, octets: &[u8]) {
        self.0.push((what, octets.to_vec()));
        for shift in 0..3 {
            let encoded = BASE64.encode([&[0; 2][..shift], octets].concat());
            // The first characters depend on what stood before, the last ones on what follows.
            let inner = &encoded[if shift == 0 { 0 } else { shift + 1 }..encoded.len() - 4];
            self.0.push((what, inner.as_bytes().to_vec()));
        }
    }

    fn found_in(&self, haystack: &[u8]) -> Vec<&'static str> {
        let folded = haystack.to_ascii_lowercase();
        let there = |needle: &[u8]| memmem::find(haystack, needle).is_some() || memmem::find(&folded, needle).is_some();
        self.0.iter().filter(|(_, needle)| there(needle)).map(|(what, _)| *what).collect()
    }

    /// Looks through every file of DIR but those that are meant to be read, and through the log.
    fn assert_absent(&self, satchel: &Satchel, when: &str) {
        let mut files = Vec::new();
        walk(satchel.path(), &mut files);
        let (mut octets, mut findings) = (0, Vec::new());
        for file in &files {
            // Meant to be read: the config with its routes, the ports, and in the sandbox the first login.
            if ["satchel.toml", "run/ready.json", "run/first-login.txt"].iter().any(|one| file.ends_with(one)) {
                continue;
            }
            // A file may go while we look.
            let Ok(content) = fs::read(file) else { continue };
            octets += content.len();
            findings.extend(self.found_in(&content).iter().map(|what| format!("{what} in {}", file.display())));
        }
        let log = satchel.log_text();
        findings.extend(self.found_in(log.as_bytes()).iter().map(|what| format!("{what} in the log")));
        println!("{when}: {} files, {octets} octets, {} octets of log", files.len(), log.len());
        assert!(findings.is_empty(), "{when}: {findings:#?}");
        // The search itself works: the account's name may lie in the clear, and does.
        let mut control = Self(Vec::new());
        control.text("the account", ALICE.split('@').nth(1).unwrap());
        let seen = |file: &PathBuf| fs::read(file).is_ok_and(|content| !control.found_in(&content).is_empty());
        assert!(files.iter().any(seen), "{when}: the search finds nothing at all");
        for part in ["satchel.db", "ipfs", "lightning"] {
            let folder = satchel.path().join(part);
            assert!(files.iter().any(|file| file.starts_with(&folder)), "{when}: nothing was looked at in {part}");
        }
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            walk(&entry.path(), files);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
}

const AUTHOR: &str = "wilhelmina.quagmire@curio-cabinet.test";
const FAR: &str = "recipient.of.secrets@far-away.test";

/// A mail with a large attachment in base64, a large one in plain text and a small one.
fn mail_of_secrets(large: &[u8], small: &[u8]) -> Vec<u8> {
    let wrapped = |octets: &[u8]| {
        let encoded = BASE64.encode(octets);
        encoded
            .as_bytes()
            .chunks(76)
            .map(|line| std::str::from_utf8(line).unwrap().to_owned() + "\r\n")
            .collect::<String>()
    };
    let plain_lines = "a line of the ledger of vermilion umbrellas\r\n".repeat(3000);
    format!(
        "From: Wilhelmina Quagmire <{AUTHOR}>\r\nTo: <{ALICE}>\r\nSubject: Perspicacious zeppelin inventory\r\n\
         Message-ID: <unrepeatable-identifier@curio-cabinet.test>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=s\r\n\r\n--s\r\n\
         Content-Type: text/plain\r\n\r\nThe marmalade obelisk stands on the third shelf.\r\n--s\r\n\
         Content-Type: application/pdf; name=\"unmistakable-blueprint.pdf\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}--s\r\nContent-Type: text/csv\r\n\r\n{plain_lines}--s\r\n\
         Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n{}--s--\r\n",
        wrapped(large),
        wrapped(small),
    )
    .into_bytes()
}

#[test]
fn nothing_readable_lies_on_the_disk_or_in_the_log() {
    let sink = Sink::answering(|_| Some("450 4.2.1 later".to_owned()));
    let routes = sink.route("far-away.test");
    let mut satchel = Satchel::prepared(&format!("{routes}\"curio-cabinet.test\" = \"127.0.0.1:{}\"\n", sink.port));
    // The most an operator can ask to see.
    satchel.log_level = Some("trace");
    satchel.resume();
    let mut needles = Needles(Vec::new());
    let mut chance = Chance::new(seed());
    let (large, small) = (chance.bytes(400_000), chance.bytes(20_000));

    // A stranger's mail: twice, so that one is paid and one is not; and a user of the bridge who has secrets.
    send(satchel.ports.smtp, AUTHOR, ALICE, &mail_of_secrets(&large, &small));
    let gate = satchel.wait_for_state(AUTHOR, "waiting");
    let bolt11 = satchel.invoice(&gate);
    send(satchel.ports.smtp, AUTHOR, ALICE, &mail_of_secrets(&large, &small));
    satchel.pay(&bolt11);
    let passphrase = "a passphrase nobody guesses";
    let added = satchel
        .ask_with_input(&["account", "add", "erin@satchel.test", "--password-stdin"], &format!("{passphrase}\n"));
    let phrase: Vec<&str> = added["recovery_phrase"].as_str().unwrap().split(' ').collect();
    satchel.ask(&["contact", "friend", ALICE, "confidante@hush-hush.test"]);

    // Alice reads, files, tags and searches it, and writes a mail that waits in the queue and one that is caught.
    let (user, password) = satchel.first_login();
    let mut imap = satchel.imap();
    imap.ok("CREATE \"Kaleidoscope Plans\"");
    let uid = eventually("a paid mail", || imap.find("Requests", "Perspicacious zeppelin").first().copied());
    imap.body(uid);
    imap.ok(&format!("UID STORE {uid} +FLAGS (heliotropic)"));
    imap.ok("UID SEARCH BODY \"marmalade obelisk\"");
    imap.ok(&format!("UID MOVE {uid} \"Kaleidoscope Plans\""));
    satchel.wait_for_state(AUTHOR, "waiting");
    imap.append("Drafts", "\\Draft", b"Subject: Clandestine tapioca\r\n\r\nA draft about gherkin diplomacy.\r\n");
    for (to, subject) in
        [(FAR, "Outgoing zirconium memorandum"), ("nobody@catch-all.test", "Caught cinnabar memorandum")]
    {
        let mail = format!(
            "From: <{ALICE}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nMessage-ID: <outgoing-{}>\r\n\r\nConcerning the ultramarine turnip.\r\n",
            &subject[..8]
        );
        let reply = Smtp::login(satchel.ports.submission, &user, &password).mail(ALICE, to, mail.as_bytes());
        assert!(reply.starts_with("250"), "{reply}");
    }
    eventually("the queue has tried", || {
        let queue = satchel.ask(&["queue", "list"]);
        queue.as_array().unwrap().iter().any(|item| item["to"] == FAR && item["last_error"].is_string()).then_some(())
    });

    for (what, text) in [
        ("the author's address", AUTHOR),
        ("the author's local part", "wilhelmina.quagmire"),
        ("the author's domain", "curio-cabinet"),
        ("the author's name", "Wilhelmina Quagmire"),
        ("the subject", "Perspicacious"),
        ("the subject", "zeppelin inventory"),
        ("a body word", "marmalade"),
        ("a body line", "obelisk stands on the third"),
        ("a file name", "unmistakable-blueprint"),
        ("a Message-ID", "unrepeatable-identifier"),
        ("a plain text attachment", "vermilion umbrellas"),
        ("a folder name", "Kaleidoscope"),
        ("a keyword", "heliotropic"),
        ("a contact", "confidante@hush-hush.test"),
        ("a draft", "Clandestine tapioca"),
        ("a draft", "gherkin diplomacy"),
        ("a queued recipient", "recipient.of.secrets"),
        ("a queued recipient's domain", "far-away.test"),
        ("a queued subject", "zirconium memorandum"),
        ("a caught subject", "cinnabar memorandum"),
        ("a caught recipient", "nobody@catch-all.test"),
        ("a submitted body", "ultramarine turnip"),
        ("an interrupted mail", "drowning flamingo"),
        ("an interrupted subject", "Unfinished symposium"),
        ("an app password", &password),
        ("a human password", passphrase),
        ("a recovery phrase", &phrase[..4].join(" ")),
        ("a payment request", "lightning:lnbcrt"),
    ] {
        needles.text(what, text);
    }
    for at in [0, 65_520, 131_040, 262_144, 399_900] {
        needles.octets("a large attachment", &large[at..at + 48]);
    }
    needles.octets("a small attachment", &small[9_999..10_047]);
    let wrapped = BASE64.encode(&large);
    needles.0.push(("a large attachment as sent", wrapped.as_bytes()[76_000..76_076].to_vec()));
    let log = satchel.log_text();
    assert!(!log.contains("lnbcrt"), "an invoice is in the log");
    needles.assert_absent(&satchel, "while it runs");

    // Killed in the middle of DATA, when the mail is so large that it lies in a file.
    let mut session = Smtp::connect(satchel.ports.smtp);
    session.envelope(AUTHOR, ALICE);
    session.expect("354", "DATA");
    session.write(b"Subject: Unfinished symposium\r\n\r\n");
    session.write("the drowning flamingo speaks\r\n".repeat(30_000).as_bytes());
    // The spool's file has no name; what lies in it can be read through the process that holds it.
    let spool = satchel.path().join("spool");
    let spooled = eventually("the mail is spooled to a file", || {
        let open = fs::read_dir(format!("/proc/{}/fd", satchel.id())).unwrap().flatten().map(|entry| entry.path());
        let ours = open.filter(|link| fs::read_link(link).is_ok_and(|target| target.starts_with(&spool)));
        ours.filter_map(|link| fs::read(link).ok()).find(|content| content.len() > 256 * 1024)
    });
    println!("{} octets were spooled", spooled.len());
    assert_eq!(needles.found_in(&spooled), [""; 0], "in the spool's file");
    needles.assert_absent(&satchel, "in the middle of DATA");
    satchel.kill();
    needles.assert_absent(&satchel, "after SIGKILL in the middle of DATA");

    // What was interrupted never was; what was there is there.
    satchel.resume();
    assert_eq!(fs::read_dir(&spool).unwrap().count(), 0, "the next start clears the spool");
    let mut imap = satchel.imap();
    for mailbox in ["INBOX", "Unpaid", "Requests"] {
        assert!(imap.find(mailbox, "Unfinished symposium").is_empty());
    }
    let uid = imap.find("\"Kaleidoscope Plans\"", "Perspicacious zeppelin")[0];
    assert!(imap.body(uid).ends_with(&mail_of_secrets(&large, &small)));
    assert!(imap.flags(uid).contains("heliotropic"));
    // Expunged mail leaves nothing either.
    imap.ok(&format!("UID STORE {uid} +FLAGS (\\Deleted)"));
    imap.ok("EXPUNGE");
    satchel.stop();
    needles.assert_absent(&satchel, "after a clean stop");
}
