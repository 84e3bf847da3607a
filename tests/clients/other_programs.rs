//! offlineimap, alpine and fetchmail.

use std::path::Path;
use std::process::Command;

use crate::command_line::messages;
use crate::paid_mail;
use crate::support::satchel::Satchel;
use crate::support::{has_tool, run};

fn tools(names: &[&str]) -> bool {
    names.iter().all(|name| has_tool(name))
}

#[test]
fn offlineimap_mirrors_both_ways_and_a_move_between_its_folders_accepts() {
    if !tools(&["swaks", "offlineimap", "timeout"]) {
        return;
    }
    let satchel = Satchel::start("");
    paid_mail(&satchel, "bob@shop.test", "Fresh figs");
    let (user, password) = satchel.first_login();
    let home = tempfile::tempdir().unwrap();
    let near = home.path().join("mail");
    let rc = home.path().join("offlineimaprc");
    let text = format!(
        "[general]\naccounts = alice\nmetadata = {home}/state\n\n\
         [Account alice]\nlocalrepository = near\nremoterepository = far\n\n\
         [Repository near]\ntype = Maildir\nlocalfolders = {near}\n\n\
         [Repository far]\ntype = IMAP\nremotehost = 127.0.0.1\nremoteport = {port}\nssl = no\nstarttls = no\n\
         remoteuser = {user}\nremotepass = {password}\n",
        home = home.path().display(),
        near = near.display(),
        port = satchel.ports.imap,
    );
    std::fs::write(&rc, text).unwrap();
    let offlineimap = || run(Command::new("timeout").args(["60", "offlineimap", "-o", "-u", "basic", "-c"]).arg(&rc));
    offlineimap();
    let figs = messages(&near.join("Requests"));
    assert_eq!(figs.len(), 1, "the paid mail came here");
    assert!(!offlineimap().contains("Copy message"), "a second run has nothing to copy");

    // The user's move, as a mail reader over maildirs makes it: the UID in the name says where it came from.
    let name = figs[0].file_name().unwrap().to_str().unwrap().split(',').next().unwrap().to_owned();
    std::fs::rename(&figs[0], near.join("INBOX/cur").join(format!("{name}:2,S"))).unwrap();
    offlineimap();
    satchel.wait_for_state("bob@shop.test", "settled");
    let mut imap = satchel.imap();
    assert_eq!(imap.find("Requests", "Fresh figs").len(), 0);
    let uids = imap.find("INBOX", "Fresh figs");
    assert_eq!(uids.len(), 1);
    assert!(imap.flags(uids[0]).contains("\\Seen"));
}

#[test]
fn an_alpine_user_accepts_by_saving_to_another_folder() {
    if !tools(&["swaks", "alpine", "python3"]) {
        return;
    }
    let satchel = Satchel::start("");
    paid_mail(&satchel, "bob@shop.test", "Fresh figs");
    let (user, password) = satchel.first_login();
    let home = tempfile::tempdir().unwrap();
    let server = format!("127.0.0.1:{}", satchel.ports.imap);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/alpine.py");
    run(Command::new("python3")
        .arg(script)
        .args([&server, &user, &password, "Requests"])
        .env("HOME", home.path())
        .args(["Fresh figs=>\\r", "A few words about Fresh figs=>s", "SAVE.*folder=>Archive\\r"])
        // Where saving takes more than a moment, alpine shows `[Saving … DONE]` and says nothing of a copy.
        .arg(r"(?i)copied|DONE\]=>q"));
    satchel.wait_for_state("bob@shop.test", "settled");
    let mut imap = satchel.imap();
    assert_eq!(imap.find("Archive", "Fresh figs").len(), 1);
    assert_eq!(imap.find("Requests", "Fresh figs").len(), 0, "alpine expunges what it has saved");
}

#[test]
fn fetchmail_takes_new_mail_once_and_keeps_it_at_the_server() {
    if !tools(&["swaks", "fetchmail", "timeout"]) {
        return;
    }
    let satchel = Satchel::start("");
    paid_mail(&satchel, "bob@shop.test", "Fresh figs");
    let (user, password) = satchel.first_login();
    let home = tempfile::tempdir().unwrap();
    let (rc, taken) = (home.path().join("fetchmailrc"), home.path().join("taken"));
    let text = format!(
        "poll 127.0.0.1 protocol IMAP port {port}\nuser \"{user}\" password \"{password}\"\n\
         no sslcertck sslproto \"\"\nfolder Requests keep\nmda \"cat >> {taken}\"\n",
        port = satchel.ports.imap,
        taken = taken.display(),
    );
    std::fs::write(&rc, text).unwrap();
    // fetchmail refuses a file with a password that others could read.
    std::fs::set_permissions(&rc, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let fetchmail = || {
        let mut command = Command::new("timeout");
        command.args(["60", "fetchmail", "-f"]).arg(&rc).arg("--idfile").arg(home.path().join("ids"));
        command.env("HOME", home.path()).output().unwrap().status.code()
    };
    assert_eq!(fetchmail(), Some(0), "mail was fetched");
    let text = std::fs::read_to_string(&taken).unwrap();
    assert!(text.contains("Subject: Fresh figs") && text.contains("A few words about Fresh figs."), "{text}");
    assert_eq!(fetchmail(), Some(1), "a second time there is nothing new (fetchmail's exit code 1)");
    let mut imap = satchel.imap();
    assert_eq!(imap.count("Requests"), 1);
    assert_eq!(satchel.gate_of("bob@shop.test").unwrap()["state"], "held", "fetching decides nothing");
}
