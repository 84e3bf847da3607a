//! A real Thunderbird, driven by `../shared/clients/thunderbird`: its user accepts and declines with the mouse.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::satchel::Satchel;
use crate::support::{eventually, has_tool, run, shared};
use crate::{paid_mail, stranger_writes};

/// Longer than the whole run takes on a busy machine with two cores (10 s alone), far below the runner's limit.
const DEADLINE_SECONDS: &str = "120";

/// Everything Thunderbird printed, one JSON object a line.
pub(crate) fn thunderbird(script: &Path, satchel: &Satchel, verbs: &[&str]) -> Vec<Value> {
    // The driver's display and port are fixed: one at a time on a machine.
    let lock = File::create(std::env::temp_dir().join("satchel-test-thunderbird.lock")).unwrap();
    lock.lock().unwrap();
    let (user, password) = satchel.first_login();
    let imap = format!("127.0.0.1:{}", satchel.ports.imap);
    let smtp = format!("127.0.0.1:{}", satchel.ports.submission);
    let certificate = satchel.path().join("keys/tls.crt");
    let output = run(Command::new("timeout")
        .args(["--kill-after=10", DEADLINE_SECONDS])
        .arg(script)
        .args(["--user", &user, "--password", &password, "--imap", &imap, "--smtp", &smtp, "--tls", "starttls"])
        .arg("--ca")
        .arg(certificate)
        .args(verbs));
    output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

pub(crate) fn folders(rows: &[Value]) -> HashMap<String, u64> {
    let rows = rows.iter().filter(|row| row["folder"].is_string());
    rows.map(|row| (row["folder"].as_str().unwrap().to_owned(), row["messages"].as_u64().unwrap())).collect()
}

#[test]
fn a_thunderbird_user_accepts_by_moving_by_replying_and_by_a_tag_and_declines_by_junk() {
    let tools = ["thunderbird", "Xvfb", "certutil", "python3", "swaks"];
    let Some(script) = shared("clients/thunderbird").filter(|_| tools.iter().all(|tool| has_tool(tool))) else {
        return;
    };
    let satchel = Satchel::start("");
    for (author, subject) in [
        ("move@shop.test", "Walnuts"),
        ("reply@shop.test", "Quinces"),
        ("tag@shop.test", "Medlars"),
        ("junk@shop.test", "Pyramids"),
        ("filtered@shop.test", "Sloes"),
    ] {
        paid_mail(&satchel, author, subject);
    }
    stranger_writes(&satchel, "poor@shop.test", "Pebbles");
    eventually("the unpaid mail is filed", || satchel.gate_of("poor@shop.test"));

    let rows = thunderbird(
        &script,
        &satchel,
        &[
            "folders",
            "list",
            "Requests",
            "move",
            "Walnuts",
            "Requests",
            "INBOX",
            "reply",
            "Quinces",
            "Requests",
            "Yes, please.",
            "mark",
            "Medlars",
            "Requests",
            "$Accepted",
            "mark",
            "Sloes",
            "Requests",
            "Junk",
            "move",
            "Pyramids",
            "Requests",
            "Junk",
            "list",
            "INBOX",
            "list",
            "Sent",
        ],
    );

    let counts = folders(&rows);
    for name in ["INBOX", "Requests", "Unpaid", "Sent", "Drafts", "Archive", "Junk", "Trash"] {
        assert!(counts.contains_key(name), "Thunderbird does not show {name}: {counts:?}");
    }
    assert_eq!((counts["Requests"], counts["Unpaid"]), (5, 1), "{counts:?}");
    let listed = |subject: &str| rows.iter().find(|row| row["subject"] == subject).unwrap_or(&Value::Null).clone();
    let walnuts = listed("Walnuts");
    assert_eq!(walnuts["from"], "move@shop.test");
    assert!(walnuts["keywords"].as_str().unwrap().contains("$paid"), "Thunderbird shows $Paid: {walnuts}");
    assert!(
        rows.iter().filter(|row| row["subject"] == "Walnuts").count() == 2,
        "it is in INBOX after the move: {rows:?}"
    );
    // Thunderbird keeps the `Re:` apart from the subject.
    let reply = rows.iter().find(|row| row["from"] == "alice@satchel.test");
    assert_eq!(reply.map(|row| &row["subject"]), Some(&"Quinces".into()), "the reply is in Sent: {rows:?}");

    for author in ["move@shop.test", "reply@shop.test", "tag@shop.test"] {
        satchel.wait_for_state(author, "settled");
    }
    satchel.wait_for_state("junk@shop.test", "declined");
    assert_eq!(satchel.gate_of("filtered@shop.test").unwrap()["state"], "held", "a junk filter's mark decides nothing");
    assert_eq!(satchel.gate_of("poor@shop.test").unwrap()["state"], "waiting");

    let mut imap = satchel.imap();
    assert_eq!(imap.count("Sent"), 1, "Thunderbird's copy, and no other");
    let medlars = imap.find("Requests", "Medlars");
    let flags = imap.flags(medlars[0]);
    assert!(flags.contains("$Settled") && flags.contains("$Accepted"), "{flags}");
    let audit = satchel.ask(&["wallet", "audit"]);
    assert_eq!(audit["ok"], true, "{audit}");
}
