//! Postfix, from Debian, with all its state in a folder of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::satchel::Satchel;
use crate::support::smtp::{Smtp, plain};
use crate::support::stranger::ALICE;
use crate::support::{eventually, has_tool, run};

const BOB: &str = "bob@postfix.test";
/// Beside what Satchel puts on top it is 50 MB, the largest that is promised to pass.
const LARGE_BYTES: usize = 50_000_000;

/// A Postfix that takes mail for `postfix.test` into one Maildir, and relays the rest to Satchel.
struct Postfix {
    dir: tempfile::TempDir,
    port: u16,
}

impl Postfix {
    /// `None` where it is not installed, or where this is not root, which it needs.
    fn start(satchel: u16, port: u16) -> Option<Self> {
        if !has_tool_at("/usr/sbin/postfix") || !is_root() {
            return None;
        }
        let dir = tempfile::Builder::new().prefix("satchel-postfix-").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let postfix = Self { dir, port };
        let [etc, spool, data, mail] = ["etc", "spool", "data", "mail"].map(|name| postfix.dir.path().join(name));
        for folder in [&etc, &spool, &data, &mail] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let key = rcgen::generate_simple_self_signed(vec!["postfix.test".to_owned()]).unwrap();
        std::fs::write(etc.join("tls.pem"), key.signing_key.serialize_pem() + &key.cert.pem()).unwrap();
        run(Command::new("chown").arg("postfix").args([&data, &mail]));
        let uid = run(Command::new("id").args(["-u", "postfix"]));
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {spool}\ndata_directory = {data}\n\
             command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\ninet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\nmyhostname = mx.postfix.test\nmydestination =\nmynetworks = 127.0.0.0/8\nalias_maps =\n\
             smtputf8_enable = yes\nmessage_size_limit = 0\nvirtual_mailbox_limit = 0\nmailbox_size_limit = 0\n\
             virtual_mailbox_domains = postfix.test\nvirtual_mailbox_base = {mail}\nvirtual_mailbox_maps = static:box/\n\
             virtual_minimum_uid = 1\nvirtual_uid_maps = static:{uid}\nvirtual_gid_maps = static:{uid}\n\
             transport_maps = inline:{{satchel.test=smtp:[127.0.0.1]:{satchel}}}\nsmtp_tls_security_level = encrypt\n\
             smtpd_tls_security_level = may\nsmtpd_tls_received_header = yes\nsmtpd_tls_chain_files = {etc}/tls.pem\n\
             smtpd_recipient_restrictions = check_recipient_access texthash:{etc}/access, permit_mynetworks, reject\n\
             maillog_file = {dir}/log\nmaillog_file_prefixes = {dir}\nminimal_backoff_time = 1s\nqueue_run_delay = 1s\n",
            spool = spool.display(),
            data = data.display(),
            mail = mail.display(),
            etc = etc.display(),
            dir = postfix.dir.path().display(),
            uid = uid.trim(),
        );
        std::fs::write(etc.join("main.cf"), main).unwrap();
        postfix.answers("");
        let master = std::fs::read_to_string("/usr/share/postfix/master.cf.dist").unwrap();
        let mut lines: Vec<String> = master
            .lines()
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                match words.as_slice() {
                    // No chroot: the folder has no copies of the system's files.
                    [name, kind, private, unprivileged, _, rest @ ..] if !line.starts_with(['#', ' ']) => {
                        let name = match (*name, *kind) {
                            ("smtp", "inet") => format!("127.0.0.1:{port}"),
                            (name, _) => name.to_owned(),
                        };
                        format!("{name} {kind} {private} {unprivileged} n {}", rest.join(" "))
                    }
                    _ => line.to_owned(),
                }
            })
            .collect();
        if !lines.iter().any(|line| line.starts_with("postlog")) {
            lines.push("postlog unix-dgram n - n - 1 postlogd".to_owned());
        }
        std::fs::write(etc.join("master.cf"), lines.join("\n") + "\n").unwrap();
        let _ = postfix.command("set-permissions").output();
        run(&mut postfix.command("start"));
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "Postfix does not answer:\n{}", postfix.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(postfix)
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new("/usr/sbin/postfix");
        command.arg("-c").arg(self.dir.path().join("etc")).arg(verb).stdin(Stdio::null());
        command
    }

    /// Lines of `address answer`, for RCPT.
    fn answers(&self, access: &str) {
        std::fs::write(self.dir.path().join("etc/access"), access).unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn mails(&self) -> Vec<PathBuf> {
        files(&self.dir.path().join("mail/box/new"))
    }

    /// Waits for a mail that holds `what`, and returns it.
    fn wait_for(&self, what: &str) -> String {
        eventually(&format!("Postfix has a mail with {what:?}; its log:\n{}", self.log()), || {
            let text = |path: PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
            self.mails().into_iter().map(text).find(|text| text.contains(what))
        })
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = self.command("stop").output();
        if std::thread::panicking() {
            eprintln!("--- Postfix's log ---\n{}", self.log());
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).map(|dir| dir.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

fn is_root() -> bool {
    let root = run(Command::new("id").arg("-u")).trim() == "0";
    if !root {
        eprintln!("SKIPPED: Postfix is started by root only");
    }
    root
}

/// Daemons are not in everybody's PATH.
fn has_tool_at(path: &str) -> bool {
    Path::new(path).exists() || has_tool(path.rsplit('/').next().unwrap_or(path))
}

/// A port that is free now.
fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A Satchel and a Postfix that know of each other; alice and bob are friends.
fn both() -> Option<(Satchel, Postfix)> {
    let port = free_port();
    let satchel = Satchel::start(&format!("[routes]\n\"postfix.test\" = \"127.0.0.1:{port}\"\n"));
    let postfix = Postfix::start(satchel.ports.smtp, port)?;
    satchel.ask(&["contact", "friend", ALICE, BOB]);
    Some((satchel, postfix))
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

#[test]
fn satchel_sends_to_postfix() {
    let Some((satchel, postfix)) = both() else { return };
    // Over TLS, signed, under a tagged reverse-path; and Postfix speaks DSN: its report comes back free.
    let mail = plain(ALICE, BOB, "To Postfix", "Good day.");
    submit(&satchel, " RET=HDRS ENVID=QQ1", &[(BOB, " NOTIFY=SUCCESS ORCPT=rfc822;Bob@postfix.test")], &mail);
    let arrived = postfix.wait_for("Subject: To Postfix");
    assert!(arrived.contains("TLSv1.3") && arrived.contains("DKIM-Signature:"), "{arrived}");
    assert!(arrived.starts_with("Return-Path: <prvs="), "{arrived}");
    let report = in_inbox(&satchel, "Action: delivered");
    assert!(report.contains("Original-Envelope-Id: QQ1") && report.contains("mx.postfix.test"), "{report}");

    // A hundred recipients, in one transaction.
    let hundred: Vec<String> = (0..100).map(|number| format!("box{number}@postfix.test")).collect();
    let hundred: Vec<(&str, &str)> = hundred.iter().map(|to| (to.as_str(), "")).collect();
    let before = postfix.mails().len();
    submit(&satchel, "", &hundred, &plain(ALICE, "list@postfix.test", "To a hundred", "Good day, all."));
    eventually("a hundred copies are there", || (postfix.mails().len() - before == 100).then_some(()));

    // Addresses and headers in another script.
    let wide = plain(ALICE, "j\u{f6}rg@postfix.test", "Gr\u{fc}\u{df}e", "Sch\u{f6}nen Tag.");
    submit(&satchel, " BODY=8BITMIME SMTPUTF8", &[("j\u{f6}rg@postfix.test", "")], &wide);
    assert!(postfix.wait_for("Gr\u{fc}\u{df}e").contains("j\u{f6}rg@postfix.test"));

    let begun = Instant::now();
    submit(&satchel, "", &[(BOB, "")], &large(ALICE, BOB, "To Postfix, large"));
    let arrived = postfix.wait_for("Subject: To Postfix, large");
    println!("FIGURE 50 MB from submission to Postfix in {:?}", begun.elapsed());
    // Maildir keeps a line end in one octet, of lines of 78.
    assert!(arrived.len() >= LARGE_BYTES / 78 * 77);
}

#[test]
fn postfix_puts_off_and_refuses() {
    let Some((satchel, postfix)) = both() else { return };
    postfix.answers("later@postfix.test 450 4.2.1 greylisted\nnobody@postfix.test 550 5.1.1 no such user at all\n");
    run(&mut postfix.command("reload"));
    std::thread::sleep(Duration::from_secs(2));
    let mail = plain(ALICE, "later@postfix.test", "Now or later", "Good day.");
    submit(&satchel, "", &[("later@postfix.test", ""), ("nobody@postfix.test", "")], &mail);
    let report = in_inbox(&satchel, "multipart/report");
    for part in ["nobody@postfix.test", "Action: failed", "Status: 5.1.1", "no such user at all", "stopped trying"] {
        assert!(report.contains(part), "{part:?} is missing from\n{report}");
    }
    let item = eventually("the other waits", || {
        let queue = satchel.ask(&["queue", "list"]).as_array().unwrap().clone();
        queue.into_iter().find(|item| item["last_error"].is_string())
    });
    assert!(item["last_error"].as_str().unwrap().contains("greylisted"), "{item}");
    postfix.answers("");
    run(&mut postfix.command("reload"));
    eventually("it is taken in the end", || {
        satchel.ask(&["queue", "retry"]);
        std::thread::sleep(Duration::from_millis(500));
        satchel.ask(&["queue", "list"]).as_array().unwrap().is_empty().then_some(())
    });
    postfix.wait_for("Subject: Now or later");
}

#[test]
fn postfix_sends_to_satchel() {
    let Some((satchel, postfix)) = both() else { return };
    let send = |from: &str, parameters: &str, recipients: &[String], message: &[u8]| {
        let mut session = Smtp::connect(postfix.port);
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
    send(BOB, "", &alice, &plain(BOB, ALICE, "From Postfix", "Good day."));
    let arrived = in_inbox(&satchel, "Subject: From Postfix");
    assert!(arrived.contains("with ESMTPS"), "over TLS: {arrived}");

    let joerg = "j\u{f6}rg@postfix.test";
    satchel.ask(&["contact", "friend", ALICE, joerg]);
    send(joerg, " SMTPUTF8 BODY=8BITMIME", &alice, &plain(joerg, ALICE, "Gr\u{fc}\u{df}e", "Sch\u{f6}nen Tag."));
    in_inbox(&satchel, "Gr\u{fc}\u{df}e");

    let hundred: Vec<String> = (0..100).map(|number| format!("alice+{number}@satchel.test")).collect();
    send(BOB, "", &hundred, &plain(BOB, ALICE, "A hundred times", "Good day."));
    in_inbox(&satchel, "Subject: A hundred times");

    // What Satchel refuses, Postfix reports.
    send(BOB, "", &["nobody@satchel.test".to_owned()], &plain(BOB, "nobody@satchel.test", "To nobody", "Hello?"));
    let bounce = postfix.wait_for("Undelivered Mail Returned to Sender");
    assert!(bounce.contains("there is no such mailbox here"), "{bounce}");

    send(BOB, "", &alice, &large(BOB, ALICE, "From Postfix, large"));
    let mut imap = satchel.imap();
    let uid = eventually("the large one is there", || imap.find("INBOX", "From Postfix, large").first().copied());
    assert!(uid > 0);
}
