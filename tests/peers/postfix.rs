//! Postfix, from Debian, with all its state in a folder of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::talk::{self, Peer, free_port, is_root, satchel_beside};
use crate::support::satchel::Satchel;
use crate::support::smtp::Smtp;
use crate::support::stranger::ALICE;
use crate::support::{eventually, has_tool, run};

const DOMAIN: &str = "postfix.test";

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
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = self.command("stop").output();
        if std::thread::panicking() {
            eprintln!("--- Postfix's log ---\n{}", self.log());
        }
    }
}

/// Daemons are not in everybody's PATH.
fn has_tool_at(path: &str) -> bool {
    Path::new(path).exists() || has_tool(path.rsplit('/').next().unwrap_or(path))
}

impl Peer for Postfix {
    fn domain(&self) -> &'static str {
        DOMAIN
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn new_mails(&self) -> PathBuf {
        self.dir.path().join("mail/box/new")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn close(&mut self, closed: bool) {
        let nobody = format!("nobody@{DOMAIN} 550 5.1.1 no such user at all\n");
        let later = if closed { format!("later@{DOMAIN} 450 4.2.1 greylisted\n") } else { String::new() };
        self.answers(&(nobody + &later));
        run(&mut self.command("reload"));
        eventually("Postfix has read its answers anew", || {
            let mut session = Smtp::connect(self.port);
            session.expect("250", &format!("MAIL FROM:<{ALICE}>"));
            let answer = if closed { "450" } else { "250" };
            session.command(&format!("RCPT TO:<later@{DOMAIN}>")).starts_with(answer).then_some(())
        });
    }
}

/// A Satchel and a Postfix that know of each other; alice and bob are friends.
fn both() -> Option<(Satchel, Postfix)> {
    let port = free_port();
    let satchel = satchel_beside(DOMAIN, port);
    let postfix = Postfix::start(satchel.ports.smtp, port)?;
    talk::befriend(&satchel, &postfix);
    Some((satchel, postfix))
}

#[test]
fn satchel_sends_to_postfix() {
    let Some((satchel, postfix)) = both() else { return };
    talk::receives(&satchel, &postfix);
    assert!(postfix.wait_for("Subject: To a peer").starts_with("Return-Path: <prvs="));
}

#[test]
fn postfix_puts_off_and_refuses() {
    let Some((satchel, mut postfix)) = both() else { return };
    talk::puts_off(&satchel, &mut postfix);
}

#[test]
fn postfix_sends_to_satchel() {
    let Some((satchel, postfix)) = both() else { return };
    talk::sends(&satchel, &postfix);
}
