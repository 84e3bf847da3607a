//! A backup made under load, restored elsewhere with the bridge key: whatever was acknowledged before is there and can be
//! read. And old copies of the node's state, or of the database, are not started.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::imap::Imap;
use crate::support::satchel::Satchel;
use crate::support::smtp::{plain, send};
use crate::support::stranger::ALICE;
use crate::support::{eventually, run};

/// Mails that come from each side before the backup begins.
const BEFORE: usize = 6;
const SENDERS: usize = 3;

fn subject(sender: usize, number: usize) -> String {
    format!("Letter {sender}x{number}.")
}

/// A mail with a part that is kept as an attachment.
fn with_attachment(subject: &str) -> Vec<u8> {
    let part = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0\r\n".repeat(1700);
    let head = format!(
        "From: bob@shop.test\r\nTo: {ALICE}\r\nSubject: {subject}\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <{}@shop.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
        subject.replace(' ', "-")
    );
    format!(
        "{head}--b\r\nContent-Type: text/plain\r\n\r\nHere it is.\r\n--b\r\nContent-Type: application/octet-stream\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{part}--b--\r\n"
    )
    .into_bytes()
}

/// Copies a folder as a file backup would.
fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").arg(from).arg(to));
}

/// What a start says that is refused.
fn refused_start(satchel: &mut Satchel) -> String {
    let before = satchel.log_text().len();
    let _lines = satchel.spawn();
    eventually("the end of a refused start", || (!satchel.is_running()).then_some(()));
    satchel.log_text()[before..].to_owned()
}

#[test]
fn a_backup_made_under_load_brings_every_acknowledged_mail_back() {
    let mut satchel = Satchel::start("");
    let (user, password) = satchel.first_login();
    let acknowledged: Arc<Mutex<Vec<String>>> = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let large = with_attachment("A large one");
    send(satchel.ports.smtp, "bob@shop.test", ALICE, &large);
    let port = satchel.ports.smtp;
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (acknowledged, stop) = (Arc::clone(&acknowledged), Arc::clone(&stop));
            std::thread::spawn(move || {
                let author = format!("author{sender}@shop.test");
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let subject = subject(sender, number);
                    let mail = if number % 4 == 3 {
                        with_attachment(&subject)
                    } else {
                        plain(&author, ALICE, &subject, "Good day.")
                    };
                    send(port, "bob@shop.test", ALICE, &mail);
                    acknowledged.lock().unwrap().push(subject);
                }
            })
        })
        .collect();
    eventually("mail that came before", || (acknowledged.lock().unwrap().len() >= SENDERS * BEFORE).then_some(()));
    let before = acknowledged.lock().unwrap().clone();
    let elsewhere = tempfile::tempdir().unwrap();
    let copied = elsewhere.path().join("copy");
    let told = satchel.ask(&["backup", copied.to_str().unwrap()]);
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.join().unwrap();
    }
    assert!(told["attachment_blocks"].as_u64().unwrap() >= 1, "{told}");
    assert!(copied.join("backup.json").exists() && copied.join("keys/identity").exists());
    assert!(copied.join("channels.backup").exists());
    assert!(!copied.join("keys/bridge.key").exists() && !copied.join("keys/tls.key").exists());
    assert_eq!(std::fs::read_dir(copied.join("lightning")).unwrap().count(), 1, "no state of a node");
    // Into the same folder, or into DIR, nothing is written.
    for (folder, why) in
        [(copied.as_path(), "new or empty"), (&satchel.path().join("copy"), "inside the data directory")]
    {
        let output = satchel.command(&["backup", folder.to_str().unwrap()]).output().unwrap();
        assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains(why), "{output:?}");
    }

    // Restored, without the bridge key: nothing starts. With it: all is there.
    let mut restored = Satchel::prepared("");
    run(Command::new("cp").arg("-a").arg(copied.join(".")).arg(restored.path()));
    restored.configure("");
    let told = refused_start(&mut restored);
    assert!(told.contains("bridge.key: missing"), "{told}");
    std::fs::copy(satchel.path().join("keys/bridge.key"), restored.path().join("keys/bridge.key")).unwrap();
    restored.resume();
    assert!(restored.log_text().contains("restored from a backup"));
    let mut imap = Imap::login(restored.ports.imap, &user, &password);
    assert!(imap.count("Unpaid") as usize > before.len());
    for subject in &before {
        let [uid] = imap.find("Unpaid", subject)[..] else { panic!("{subject} was acknowledged before the backup") };
        let body = String::from_utf8_lossy(&imap.body(uid)).into_owned();
        assert!(body.contains("Good day.") || body.contains("Here it is."), "{subject}: {body}");
    }
    let [uid] = imap.find("Unpaid", "A large one")[..] else { panic!("the large one") };
    assert!(imap.body(uid).ends_with(&large[large.len() - 120_000..]), "the attachment is whole");
    drop(imap);
    // Life goes on, also over a restart.
    restored.stranger_writes("eve@spam.test", "After all");
    restored.stop();
    restored.resume();
    restored.stop();
    satchel.stop();
}

#[test]
fn an_old_copy_of_the_state_or_of_the_database_is_not_started() {
    let mut satchel = Satchel::start("");
    satchel.stop();
    let aside = tempfile::tempdir().unwrap();
    let old = aside.path().join("old");
    std::fs::create_dir(&old).unwrap();
    copy(&satchel.path().join("lightning"), &old.join("lightning"));
    copy(&satchel.path().join("satchel.db"), &old.join("satchel.db"));
    for _ in 0..2 {
        satchel.resume();
        satchel.stop();
    }
    let newest = aside.path().join("newest");
    std::fs::rename(satchel.path().join("lightning"), &newest).unwrap();

    // The node's state of two starts ago.
    copy(&old.join("lightning"), &satchel.path().join("lightning"));
    let told = refused_start(&mut satchel);
    assert!(told.contains("Lightning state") && told.contains("would forfeit its channels"), "{told}");
    std::fs::remove_dir_all(satchel.path().join("lightning")).unwrap();

    // None at all, which could be a disk that is not mounted.
    let told = refused_start(&mut satchel);
    assert!(told.contains("Is a disk not mounted?"), "{told}");
    std::fs::remove_dir_all(satchel.path().join("lightning")).unwrap();
    std::fs::rename(&newest, satchel.path().join("lightning")).unwrap();

    // The database of two starts ago.
    let database = satchel.path().join("satchel.db");
    std::fs::rename(&database, aside.path().join("newest.db")).unwrap();
    copy(&old.join("satchel.db"), &database);
    let told = refused_start(&mut satchel);
    assert!(told.contains("the database (start 1) is an old copy"), "{told}");
    // As the message says, by somebody who has no other.
    std::fs::write(satchel.path().join("lightning/epoch"), "1").unwrap();
    satchel.resume();
    assert_eq!(satchel.ask(&["wallet", "channels"])["channels"][0]["usable"], json!(true));
    satchel.stop();
}
