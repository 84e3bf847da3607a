//! A mailbox of ten thousand messages, in Thunderbird and by mbsync.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::satchel::Satchel;
use crate::support::{has_tool, run, shared};
use crate::thunderbird::{folders, thunderbird};
use crate::{command_line, paid_mail};

const MESSAGES: u32 = 10_000;

/// Messages in one APPEND (MULTIAPPEND): one commit for all of them.
const APPENDED_AT_ONCE: u32 = 100;

/// Fills the Archive as an import would.
fn fill(satchel: &Satchel) {
    let begun = Instant::now();
    let mut imap = satchel.imap();
    for first in (0..MESSAGES).step_by(APPENDED_AT_ONCE as usize) {
        let messages: Vec<Vec<u8>> = (first..first + APPENDED_AT_ONCE)
            .map(|number| {
                let (minute, hour, day) = (number % 60, number / 60 % 24, 1 + number / 1440);
                format!(
                    "From: Writer {number} <writer{number}@shop.test>\r\nTo: alice@satchel.test\r\n\
                     Subject: Letter {number}\r\nMessage-ID: <letter-{number}@shop.test>\r\n\
                     Date: {day} Oct 2026 {hour:02}:{minute:02}:00 +0000\r\n\r\nThis is letter {number}.\r\n"
                )
                .into_bytes()
            })
            .collect();
        imap.append_all("Archive", &messages);
    }
    println!("{MESSAGES} messages appended in {:?}", begun.elapsed());
    assert_eq!(imap.count("Archive"), MESSAGES);
}

#[test]
fn thunderbird_shows_ten_thousand_messages_and_its_move_of_a_paid_one_settles() {
    let tools = ["thunderbird", "Xvfb", "certutil", "python3", "swaks"];
    let Some(script) = shared("clients/thunderbird").filter(|_| tools.iter().all(|tool| has_tool(tool))) else {
        return;
    };
    let satchel = Satchel::start("");
    fill(&satchel);
    paid_mail(&satchel, "move@shop.test", "Walnuts");
    // Thunderbird fetches ten thousand headers in its own time; the driver asks no longer than 8 seconds at once.
    let first = ["folders", "wait", "5", "list", "Archive", "wait", "5"];
    let then = ["list", "Archive", "folders", "move", "Walnuts", "Requests", "INBOX"];
    let rows = thunderbird(&script, &satchel, &[&first[..], &then[..]].concat());
    assert_eq!(folders(&rows)["Archive"], u64::from(MESSAGES));
    let subjects: BTreeSet<&str> = rows
        .iter()
        .filter_map(|row| row["subject"].as_str())
        .filter(|subject| subject.starts_with("Letter "))
        .collect();
    assert_eq!(subjects.len(), MESSAGES as usize, "every message is listed, each by its own subject");
    satchel.wait_for_state("move@shop.test", "settled");
}

#[test]
fn mbsync_mirrors_ten_thousand_messages_with_flags_both_ways_and_then_finds_nothing_to_do() {
    if !["mbsync", "timeout"].iter().all(|tool| has_tool(tool)) {
        return;
    }
    let satchel = Satchel::start("");
    fill(&satchel);
    let home = tempfile::tempdir().unwrap();
    let near = home.path().join("mail");
    let rc = command_line::mbsyncrc(&satchel, home.path(), &near);
    let mbsync = || {
        let begun = Instant::now();
        let output = run(Command::new("timeout").args(["200", "mbsync", "-Dn", "--config"]).arg(&rc).arg("all"));
        (output, begun.elapsed())
    };
    let (_, first): (String, Duration) = mbsync();
    let archive = near.join("Archive");
    assert_eq!(files(&archive), MESSAGES as usize);
    let (output, second) = mbsync();
    assert!(command_line::is_quiet(&output), "the second run changes nothing");
    println!("mbsync: {first:?} for all, {second:?} for nothing");

    // A hundred flags here, a hundred there.
    let here: Vec<_> = command_line::messages(&archive).into_iter().take(100).collect();
    for path in &here {
        let name = path.file_name().unwrap().to_str().unwrap().split(':').next().unwrap().to_owned();
        std::fs::rename(path, archive.join("cur").join(format!("{name}:2,F"))).unwrap();
    }
    let mut imap = satchel.imap();
    imap.ok("SELECT Archive");
    imap.ok("UID STORE 5001:5100 +FLAGS.SILENT (\\Answered)");
    mbsync();
    let (output, _) = mbsync();
    assert!(command_line::is_quiet(&output), "flags are in step");
    imap.ok("NOOP");
    assert_eq!(imap.search("FLAGGED").len(), 100, "flags set here came there");
    let answered = |path: &Path| path.to_string_lossy().rsplit(',').next().unwrap().contains('R');
    assert_eq!(
        command_line::messages(&archive).iter().filter(|path| answered(path)).count(),
        100,
        "and the others here"
    );
}

fn files(maildir: &Path) -> usize {
    command_line::messages(maildir).len()
}
