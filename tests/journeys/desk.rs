//! A support desk: a mailbox that agents share, set up by the postmaster.

use std::process::{Command, Output};

use crate::support::imap::Imap;
use crate::support::satchel::Satchel;
use crate::support::smtp::{plain, send};
use crate::support::stranger::ALICE;
use crate::support::{has_tool, run};

const ERIN: &str = "erin@satchel.test";
const PASSPHRASE: &str = "a long enough passphrase\n";

/// Adds an account without server custody; its app password.
fn agent(satchel: &Satchel, address: &str) -> String {
    satchel.ask_with_input(&["account", "add", address, "--password-stdin"], PASSPHRASE);
    let made = satchel.ask_with_input(&["account", "app-password", address], PASSPHRASE);
    made["app_password"].as_str().unwrap().to_owned()
}

fn share(satchel: &Satchel, arguments: &[&str]) -> Output {
    satchel.command(&[&["account", "share"], arguments].concat()).output().unwrap()
}

/// The exit code, and what went to standard error.
fn refused(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_mailbox_is_shared_and_taken_back_by_command() {
    let satchel = Satchel::start("");
    let password = agent(&satchel, ERIN);
    let mut erin = Imap::login(satchel.ports.imap, ERIN, &password);
    satchel.stranger_pays("bob@shop.test", "Help please");

    // Alice's key is in the server's custody: nothing is asked.
    let shared = satchel.ask(&["account", "share", ALICE, "Requests", "--with", ERIN]);
    assert_eq!((&shared["mailbox"], &shared["rights"]), (&"Requests".into(), &"lrswite".into()), "{shared}");
    let listed = satchel.ask(&["account", "share", ALICE]);
    assert_eq!(listed, serde_json::json!([{ "mailbox": "Requests", "with": ERIN, "rights": "lrswite" }]));
    assert_eq!(satchel.ask(&["account", "share", ALICE, "inbox"]), serde_json::json!([]));
    let requests = format!("\"Other Users/{ALICE}/Requests\"");
    let uid = erin.find(&requests, "Help please")[0];
    let body = erin.ok(&format!("UID FETCH {uid} BODY.PEEK[TEXT]"));
    assert!(body[0].literals[0].starts_with(b"Good day"), "{body:?}");
    // Read only, with the key that is there; then nothing at all.
    satchel.ask(&["account", "share", ALICE, "Requests", "--with", ERIN, "--rights", "lr"]);
    assert!(erin.command(&format!("UID STORE {uid} +FLAGS ($Declined)")).1.starts_with("NO"));
    let taken = satchel.ask(&["account", "share", ALICE, "Requests", "--with", ERIN, "--remove"]);
    assert_eq!(taken["rights"], "");
    let mut erin = Imap::login(satchel.ports.imap, ERIN, &password);
    assert!(erin.command(&format!("SELECT {requests}")).1.starts_with("NO"));
    assert_eq!(satchel.ask(&["account", "share", ALICE]), serde_json::json!([]));

    // Of an account without custody the owner's password is read, and the recovery phrase does as well.
    let to_alice = ["account", "share", ERIN, "INBOX", "--with", ALICE, "--rights", "lrs"];
    let (code, said) = refused(&satchel.command(&to_alice).output().unwrap());
    assert!(code == 1 && said.contains("no password on standard input"), "{said}");
    let shared = satchel.ask_with_input(&to_alice, PASSPHRASE);
    assert_eq!(shared["rights"], "lrs");
    satchel.imap().ok(&format!("SELECT \"Other Users/{ERIN}/INBOX\""));
    // Alice has the key now: other rights need no password.
    satchel.ask(&["account", "share", ERIN, "INBOX", "--with", ALICE, "--rights", "lrsw"]);

    for (arguments, code, word) in [
        (&[ALICE, "Requests", "--with", ALICE][..], 1, "an owner has all rights"),
        (&[ALICE, "Requests", "--with", "nobody@satchel.test"], 1, "there is no account nobody@satchel.test"),
        (&[ALICE, "Nowhere", "--with", ERIN], 1, "has no mailbox Nowhere"),
        (&["nobody@satchel.test", "INBOX", "--with", ERIN], 1, "there is no account nobody@satchel.test"),
        (&[ALICE, "Requests", "--with", ERIN, "--rights", "lrq"], 2, "q is no right"),
        (&[ALICE, "Requests", "--with", ERIN, "--rights", ""], 2, "use --remove"),
        (&[ALICE, "Requests", "--rights", "lr"], 2, "--with"),
    ] {
        let (status, said) = refused(&share(&satchel, arguments));
        assert!(status == code && said.contains(word), "{arguments:?}: {status} {said}");
    }
}

#[test]
fn a_mailbox_is_shared_while_no_server_runs() {
    let mut satchel = Satchel::start("");
    agent(&satchel, ERIN);
    satchel.stop();
    satchel.ask(&["account", "share", ALICE, "INBOX", "--with", ERIN, "--rights", "lr"]);
    satchel.resume();
    assert_eq!(satchel.ask(&["account", "share", ALICE])[0]["rights"], "lr");
}

#[test]
fn a_desk_works_through_its_queue_in_the_order_of_payment() {
    let mut satchel = Satchel::start("");
    let password = agent(&satchel, ERIN);
    assert_eq!(satchel.ask(&["account", "queue", ALICE])["queue"], false);
    assert_eq!(satchel.ask(&["account", "queue", ALICE, "--on"])["queue"], true);
    satchel.ask(&["account", "share", ALICE, "Queue", "--with", ERIN]);
    satchel.ask(&["account", "share", ALICE, "Archive", "--with", ERIN, "--rights", "li"]);
    satchel.ask(&["contact", "friend", ALICE, "friend@shop.test"]);

    send(satchel.ports.smtp, "friend@shop.test", ALICE, &plain("friend@shop.test", ALICE, "Job free", "Hello."));
    satchel.stranger_pays("bob@shop.test", "Job cheap");
    satchel.ask(&["price", ALICE, "--stranger", "250"]);
    satchel.stranger_pays("carol@mall.test", "Job dear");
    let hurried = satchel.stranger_writes("dan@firm.test", "Job hurried");
    let invoice = satchel.ask(&["gate", "invoice", &hurried["id"].to_string(), "--priority"]);
    satchel.pay(invoice["bolt11"].as_str().unwrap());
    satchel.wait_for_state("dan@firm.test", "held");

    let queue = format!("\"Other Users/{ALICE}/Queue\"");
    let mut erin = Imap::login(satchel.ports.imap, ERIN, &password);
    let jobs = |imap: &mut Imap| -> Vec<(u32, String)> {
        imap.ok(&format!("SELECT {queue}"));
        let order = imap.search("SUBJECT \"Job \"");
        let subject = |imap: &mut Imap, uid: u32| {
            let text = String::from_utf8(imap.body(uid)).unwrap();
            text.lines().find_map(|line| line.strip_prefix("Subject: Job ")).unwrap().to_owned()
        };
        order.into_iter().map(|uid| (uid, subject(imap, uid))).collect()
    };
    let in_order = jobs(&mut erin);
    let names: Vec<&str> = in_order.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["hurried", "dear", "cheap", "free"]);
    let dear = in_order[1].0;
    assert!(erin.flags(in_order[0].0).contains("$Tier1") && erin.flags(dear).contains("$Tier2"));

    // Done and filed: what was paid is settled, to the desk.
    erin.ok(&format!("UID MOVE {dear} \"Other Users/{ALICE}/Archive\""));
    satchel.wait_for_state("carol@mall.test", "settled");
    // Answered: it leaves the Queue and is still in INBOX.
    erin.ok(&format!("UID STORE {} +FLAGS (\\Answered)", in_order[3].0));
    assert_eq!(satchel.imap().find("INBOX", "Job free").len(), 1);
    // What nobody has done is there after a crash, in the same order under the same UIDs.
    let before = jobs(&mut erin);
    assert_eq!(before.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["hurried", "cheap"]);
    satchel.kill();
    satchel.resume();
    let mut erin = Imap::login(satchel.ports.imap, ERIN, &password);
    assert_eq!(jobs(&mut erin), before);
    assert_eq!(satchel.ask(&["account", "queue", ALICE, "--off"])["queue"], false);
    assert!(erin.command(&format!("SELECT {queue}")).1.starts_with("NO"));
    satchel.assert_audit();
    // A folder of the user's own is not taken.
    satchel.imap().ok("CREATE Queue");
    let (code, said) = refused(&satchel.command(&["account", "queue", ALICE, "--on"]).output().unwrap());
    assert!(code == 1 && said.contains("rename it first"), "{said}");
    let (code, _) = refused(&satchel.command(&["account", "queue", ALICE, "--on", "--off"]).output().unwrap());
    assert_eq!(code, 2);
}

#[test]
fn mbsync_follows_a_queue_whose_order_changes() {
    if !has_tool("mbsync") {
        return;
    }
    let satchel = Satchel::start("");
    satchel.ask(&["account", "queue", ALICE, "--on"]);
    let (user, password) = satchel.first_login();
    let folder = tempfile::tempdir().unwrap();
    let maildir = folder.path().join("mail");
    std::fs::create_dir_all(&maildir).unwrap();
    let rc = folder.path().join("mbsyncrc");
    let config = format!(
        "IMAPAccount a\nHost 127.0.0.1\nPort {}\nUser {user}\nPass {password}\nSSLType None\nAuthMechs LOGIN\n\n\
         IMAPStore far\nAccount a\n\nMaildirStore near\nPath {maildir}/\nInbox {maildir}/INBOX\nSubFolders Verbatim\n\n\
         Channel c\nFar :far:\nNear :near:\nPatterns Queue\nCreate Near\nSync Pull\nExpunge Near\nSyncState *\n",
        satchel.ports.imap,
        maildir = maildir.display(),
    );
    std::fs::write(&rc, config).unwrap();
    // What is there after a run, as the paid jobs' subjects.
    let pull = || -> Vec<String> {
        run(Command::new("mbsync").arg("-c").arg(&rc).arg("c"));
        let files = ["cur", "new"].iter().flat_map(|sub| std::fs::read_dir(maildir.join("Queue").join(sub)).unwrap());
        let texts =
            files.map(|file| String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap()).into_owned());
        let subject = |text: &str| text.lines().find_map(|line| line.strip_prefix("Subject: Job ")).map(str::to_owned);
        let mut subjects: Vec<String> = texts.filter_map(|text| subject(&text)).collect();
        subjects.sort();
        subjects
    };
    satchel.stranger_pays("bob@shop.test", "Job cheap");
    assert_eq!(pull(), ["cheap"]);
    satchel.ask(&["price", ALICE, "--stranger", "250"]);
    satchel.stranger_pays("carol@mall.test", "Job dear");
    assert_eq!(pull(), ["cheap", "dear"], "each once, though one has a new UID");
    let mut imap = satchel.imap();
    let dear = imap.find("Queue", "Job dear")[0];
    imap.ok(&format!("UID MOVE {dear} Archive"));
    assert_eq!(pull(), ["cheap"]);
}
