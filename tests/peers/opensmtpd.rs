//! OpenSMTPD, from Debian, in a root of its own.

use std::path::PathBuf;

use super::jail::Jail;
use super::talk::{self, Peer, free_port, satchel_beside, wait_for_port};
use crate::support::satchel::Satchel;

const DOMAIN: &str = "opensmtpd.test";

struct OpenSmtpd {
    jail: Jail,
    port: u16,
    satchel: u16,
}

impl OpenSmtpd {
    fn start(satchel: u16, port: u16) -> Option<Self> {
        let helpers = ["encrypt", "lockspool", "mail.local", "mail.maildir", "mail.mda"]
            .map(|helper| format!("/usr/libexec/opensmtpd/{helper}"));
        let mut programs: Vec<&str> = helpers.iter().map(String::as_str).collect();
        programs.extend(["/usr/sbin/smtpd", "/usr/sbin/smtpctl"]);
        let jail = Jail::new("opensmtpd", &programs)?;
        for folder in ["var/lib/opensmtpd/empty", "var/spool/smtpd"] {
            std::fs::create_dir_all(jail.path(folder)).unwrap();
        }
        crate::support::run(std::process::Command::new("chmod").arg("711").arg(jail.path("var/spool/smtpd")));
        let mut peer = Self { jail, port, satchel };
        peer.restart("");
        Some(peer)
    }

    /// With another filter for recipients.
    fn restart(&mut self, filter: &str) {
        let (port, satchel) = (self.port, self.satchel);
        let filtered = if filter.is_empty() { "" } else { " filter \"later\"" };
        let config = format!(
            "pki peer cert \"/etc/cert.pem\"\npki peer key \"/etc/key.pem\"\ntable later {{ \"later@{DOMAIN}\" }}\n{filter}\
             listen on 127.0.0.1 port {port} tls pki peer hostname mx.{DOMAIN}{filtered}\n\
             table boxes {{ \"@\" = \"bob\" }}\naction \"box\" maildir \"/home/bob/box\" virtual <boxes>\n\
             action \"satchel\" relay host \"smtp+tls://127.0.0.1:{satchel}\" tls no-verify helo mx.{DOMAIN}\n\
             match from any for rcpt-to \"nobody@{DOMAIN}\" reject\nmatch from any for domain \"{DOMAIN}\" action \"box\"\n\
             match from any for domain \"satchel.test\" action \"satchel\"\nsmtp max-message-size \"100M\"\n"
        );
        self.jail.write("etc/smtpd.conf", &config);
        self.jail.start(&["/usr/sbin/smtpd", "-d", "-f", "/etc/smtpd.conf"]);
        wait_for_port(self.port, || self.jail.log());
    }
}

impl Peer for OpenSmtpd {
    fn domain(&self) -> &'static str {
        DOMAIN
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn new_mails(&self) -> PathBuf {
        self.jail.path("home/bob/box/new")
    }

    fn log(&self) -> String {
        self.jail.log()
    }

    fn close(&mut self, closed: bool) {
        let filter = "filter \"later\" phase rcpt-to match rcpt-to <later> reject \"450 4.2.1 greylisted\"\n";
        self.restart(if closed { filter } else { "" });
    }

    fn speaks_utf8(&self) -> bool {
        false
    }

    /// Version 6.8 offers STARTTLS, and its key process then fails with OpenSSL 3, whoever asks (`openssl s_client`, too).
    fn takes_tls(&self) -> bool {
        false
    }

    fn delivered(&self) -> &'static str {
        "successfully delivered"
    }
}

fn both() -> Option<(Satchel, OpenSmtpd)> {
    let port = free_port();
    let satchel = satchel_beside(DOMAIN, port);
    let peer = OpenSmtpd::start(satchel.ports.smtp, port)?;
    talk::befriend(&satchel, &peer);
    Some((satchel, peer))
}

#[test]
fn satchel_sends_to_opensmtpd() {
    let Some((satchel, peer)) = both() else { return };
    talk::receives(&satchel, &peer);
}

#[test]
fn opensmtpd_puts_off_and_refuses() {
    let Some((satchel, mut peer)) = both() else { return };
    talk::puts_off(&satchel, &mut peer);
}

#[test]
fn opensmtpd_sends_to_satchel() {
    let Some((satchel, peer)) = both() else { return };
    talk::sends(&satchel, &peer);
}
