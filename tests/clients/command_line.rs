//! curl, Python's imaplib, mutt and mbsync.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::paid_mail;
use crate::support::satchel::Satchel;
use crate::support::{has_tool, run};

fn tools(names: &[&str]) -> bool {
    names.iter().all(|name| has_tool(name))
}

#[test]
fn curl_and_imaplib_read_a_paid_mail_and_imaplib_accepts_it() {
    if !tools(&["swaks", "curl", "python3"]) {
        return;
    }
    let satchel = Satchel::start("");
    paid_mail(&satchel, "bob@shop.test", "Fresh figs");
    let (user, password) = satchel.first_login();
    let certificate = satchel.path().join("keys/tls.crt");
    let curl = |arguments: &[&str]| {
        run(Command::new("curl")
            .args(["--silent", "--show-error", "--user", &format!("{user}:{password}"), "--cacert"])
            .arg(&certificate)
            .args(arguments))
    };
    let folders = curl(&[&format!("imaps://localhost:{}/", satchel.ports.imaps)]);
    assert!(folders.contains("Requests") && folders.contains("\\Junk"), "{folders}");
    let mail = curl(&["--ssl-reqd", &format!("imap://localhost:{}/Requests;UID=1", satchel.ports.imap)]);
    assert!(mail.contains("Subject: Fresh figs") && mail.contains("A few words about Fresh figs."), "{mail}");
    let found = curl(&[&format!("imaps://localhost:{}/Requests?SUBJECT%20figs", satchel.ports.imaps)]);
    assert_eq!(found.trim(), "* SEARCH 1");

    let script = r#"
import imaplib, ssl, sys
port, user, password, certificate = sys.argv[1:]
mail = imaplib.IMAP4("localhost", int(port), timeout=30)
mail.starttls(ssl.create_default_context(cafile=certificate))
mail.login(user, password)
assert mail.select("Requests")[1] == [b"1"]
uid = mail.uid("SEARCH", "KEYWORD", "$Paid")[1][0].decode()
kind, data = mail.uid("FETCH", uid, "(RFC822.SIZE BODY.PEEK[])")
assert b"RFC822.SIZE %d " % len(data[0][1]) in data[0][0], data[0][0]
assert mail.append("Drafts", "(\\Draft)", imaplib.Time2Internaldate(0), b"Subject: a draft\r\n\r\nwords\r\n")[0] == "OK"
assert mail.uid("MOVE", uid, "INBOX")[0] == "OK"
assert mail.select("Requests")[1] == [b"0"]
mail.close(); mail.logout()
"#;
    run(Command::new("python3")
        .args(["-c", script, &satchel.ports.imap.to_string(), &user, &password])
        .arg(&certificate));
    satchel.wait_for_state("bob@shop.test", "settled");
    assert_eq!(satchel.imap().count("Drafts"), 1);
}

#[test]
fn a_mutt_user_accepts_by_saving_to_the_inbox_and_by_a_reply() {
    // script gives mutt the terminal it wants.
    if !tools(&["swaks", "mutt", "script", "timeout"]) {
        return;
    }
    let satchel = Satchel::start("");
    paid_mail(&satchel, "move@shop.test", "Fresh figs");
    paid_mail(&satchel, "answer@shop.test", "Dry plums");
    let (user, password) = satchel.first_login();
    let home = tempfile::tempdir().unwrap();
    let rc = home.path().join("muttrc");
    let (imap, smtp) = (satchel.ports.imap, satchel.ports.submission);
    let text = format!(
        "set imap_user=\"{user}\"\nset imap_pass=\"{password}\"\nset smtp_pass=\"{password}\"\n\
         set folder=imap://127.0.0.1:{imap}/\nset spoolfile=+INBOX\nset record=+Sent\n\
         set smtp_url=smtp://{user}@127.0.0.1:{smtp}/\nset from={user}\nset realname=Alice\n\
         set ssl_starttls=no\nset ssl_force_tls=no\nset delete=yes\nset confirmappend=no\nset move=no\n\
         set editor=\"echo Yes, please. >>\"\nset fast_reply=yes\nset include=yes\nset abort_unmodified=no\n"
    );
    std::fs::write(&rc, text).unwrap();
    let copy = home.path().join("copy.eml");
    let mutt = |keys: &str| {
        let command = format!("mutt -F {rc} -f =Requests -e 'push \"{keys}\"'", rc = rc.display());
        run(Command::new("timeout")
            .args(["60", "script", "--quiet", "--return", "--command", &command, "/dev/null"])
            .env("HOME", home.path())
            .env("TERM", "xterm")
            .stdin(Stdio::null()))
    };
    mutt(&format!(
        "<search>figs<enter><pipe-message>cat > {copy}<enter><save-message>=INBOX<enter><sync-mailbox><quit>",
        copy = copy.display()
    ));
    let piped = std::fs::read_to_string(&copy).unwrap();
    assert!(piped.contains("A few words about Fresh figs."), "{piped}");
    satchel.wait_for_state("move@shop.test", "settled");

    mutt("<search>plums<enter><reply><send-message><quit>");
    satchel.wait_for_state("answer@shop.test", "settled");
    assert_eq!(satchel.imap().count("Sent"), 1, "mutt's copy, and no other");
}

#[test]
fn mbsync_mirrors_both_ways_and_then_finds_nothing_to_do() {
    if !tools(&["swaks", "mbsync"]) {
        return;
    }
    let satchel = Satchel::start("");
    paid_mail(&satchel, "bob@shop.test", "Fresh figs");
    let home = tempfile::tempdir().unwrap();
    let near = home.path().join("mail");
    let rc = mbsyncrc(&satchel, home.path(), &near);
    let mbsync = |note: &str| {
        let output = run(Command::new("timeout").args(["60", "mbsync", "-Dn", "--config"]).arg(&rc).arg("all"));
        println!("--- {note}\n{output}");
        output
    };
    mbsync("first: everything comes here");
    assert_eq!(messages(&near.join("Requests")).len(), 1);
    let before = tree(&near);
    let quiet = mbsync("second: nothing to do");
    assert_eq!(tree(&near), before, "nothing changed here");
    assert!(is_quiet(&quiet), "{quiet}");

    // Read here, and a mail dropped here: both go there. Then again silence.
    let figs = &messages(&near.join("Requests"))[0];
    let name = figs.file_name().unwrap().to_str().unwrap().split(':').next().unwrap().to_owned();
    std::fs::rename(figs, near.join("Requests/cur").join(format!("{name}:2,S"))).unwrap();
    std::fs::write(near.join("Archive/cur/1.m1.here:2,S"), "Subject: from the near side\n\nwords\n").unwrap();
    mbsync("third: two changes go there");
    let quiet = mbsync("fourth: nothing to do");
    assert!(is_quiet(&quiet), "{quiet}");
    let mut imap = satchel.imap();
    assert_eq!(imap.find("Archive", "from the near side").len(), 1);
    let uid = imap.find("Requests", "Fresh figs")[0];
    let flags = imap.flags(uid);
    assert!(flags.contains("\\Seen") && flags.contains("$Paid"), "{flags}");
    assert_eq!(satchel.gate_of("bob@shop.test").unwrap()["state"], "held", "reading is not accepting");

    // mbsync moves by a new file there and an expunge here; the payment follows (design: MOVE by APPEND and EXPUNGE).
    let figs = &messages(&near.join("Requests"))[0];
    std::fs::rename(figs, near.join("INBOX/cur/2.m2.here:2,S")).unwrap();
    mbsync("fifth: the user's move");
    satchel.wait_for_state("bob@shop.test", "settled");
}

/// Writes a configuration that mirrors every folder to maildirs below `near`.
pub(crate) fn mbsyncrc(satchel: &Satchel, home: &Path, near: &Path) -> PathBuf {
    let (user, password) = satchel.first_login();
    std::fs::create_dir(near).unwrap();
    let rc = home.join("mbsyncrc");
    let text = format!(
        "IMAPStore far\nHost 127.0.0.1\nPort {port}\nUser {user}\nPass {password}\nSSLType None\nAuthMechs LOGIN\n\n\
         MaildirStore near\nPath {near}/\nInbox {near}/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n",
        port = satchel.ports.imap,
        near = near.display(),
    );
    std::fs::write(&rc, text).unwrap();
    rc
}

/// The messages of a maildir.
pub(crate) fn messages(maildir: &Path) -> Vec<PathBuf> {
    let folders = ["cur", "new"].map(|folder| std::fs::read_dir(maildir.join(folder)).unwrap());
    folders.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// Every file below a folder, with what is in it.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    files
}

/// mbsync changed nothing at the server: no such command went out.
pub(crate) fn is_quiet(output: &str) -> bool {
    let sent: Vec<_> = output.lines().filter_map(|line| line.split_once(">>> ")).map(|(_, command)| command).collect();
    assert!(sent.iter().any(|command| command.contains("SELECT")), "mbsync shows its commands:\n{output}");
    let changing = ["APPEND", " STORE ", " COPY ", " MOVE ", "EXPUNGE", "CREATE", "DELETE "];
    !sent.iter().any(|command| changing.iter().any(|verb| command.contains(verb)))
}
