//! Real mail clients and a real browser live in Satchel: Thunderbird, mutt, mbsync, offlineimap, alpine, fetchmail,
//! curl, Python's imaplib, Chromium. Each looks, and where it can, decides about paid mail as its user would.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

#[path = "clients/browser.rs"]
mod browser;
#[path = "clients/command_line.rs"]
mod command_line;
#[path = "clients/large_mailbox.rs"]
mod large_mailbox;
#[path = "clients/other_programs.rs"]
mod other_programs;
#[path = "clients/thunderbird.rs"]
mod thunderbird;

use std::process::Command;

use serde_json::Value;
use support::satchel::Satchel;
use support::{eventually, run};

/// A stranger sends a mail to alice by swaks.
fn stranger_writes(satchel: &Satchel, author: &str, subject: &str) {
    run(Command::new("swaks").args([
        "--server",
        &format!("127.0.0.1:{}", satchel.ports.smtp),
        "--from",
        author,
        "--to",
        "alice@satchel.test",
        "--header",
        &format!("Subject: {subject}"),
        "--body",
        &format!("A few words about {subject}."),
    ]));
}

/// The gate of an author's mail once its invoice is out.
fn asked(satchel: &Satchel, author: &str) -> Value {
    eventually(&format!("{author} is asked to pay"), || {
        satchel.gate_of(author).filter(|gate| gate["bolt11"].is_string())
    })
}

/// A stranger writes, and pays: the mail stands in Requests.
fn paid_mail(satchel: &Satchel, author: &str, subject: &str) {
    stranger_writes(satchel, author, subject);
    let gate = asked(satchel, author);
    satchel.ask(&["sandbox", "pay", gate["bolt11"].as_str().unwrap()]);
    satchel.wait_for_state(author, "held");
}
