//! Exim, from Debian, in a root of its own.

use std::path::PathBuf;

use super::jail::Jail;
use super::talk::{self, Peer, free_port, satchel_beside, wait_for_port};
use crate::support::satchel::Satchel;

const DOMAIN: &str = "exim.test";

struct Exim {
    jail: Jail,
    port: u16,
}

impl Exim {
    fn start(satchel: u16, port: u16) -> Option<Self> {
        let mut jail = Jail::new("exim4-daemon-light", &["/usr/sbin/exim4"])?;
        for folder in ["/var/spool/exim4", "/var/log/exim", "/var/mail"] {
            jail.give(folder, "Debian-exim");
        }
        jail.give("/etc/key.pem.d", "Debian-exim");
        std::fs::rename(jail.path("etc/key.pem"), jail.path("etc/key.pem.d/key.pem")).unwrap();
        jail.give("/etc/key.pem.d", "Debian-exim");
        let config = format!(
            "primary_hostname = mx.{DOMAIN}\nspool_directory = /var/spool/exim4\nlog_file_path = /var/log/exim/%slog\n\
             daemon_smtp_ports = {port}\nlocal_interfaces = 127.0.0.1\ndomainlist local_domains = {DOMAIN}\n\
             acl_smtp_rcpt = acl_rcpt\nacl_smtp_data = acl_data\ntls_advertise_hosts = *\n\
             tls_certificate = /etc/cert.pem\ntls_privatekey = /etc/key.pem.d/key.pem\ndsn_advertise_hosts = *\n\
             smtputf8_advertise_hosts = *\nmessage_size_limit = 100M\nkeep_environment =\nhost_lookup =\n\
             begin acl\n\
             acl_rcpt:\n  defer local_parts = later\n    condition = ${{if exists{{/etc/closed}}}}\n    message = greylisted\n\
             \x20 deny local_parts = nobody\n    domains = {DOMAIN}\n    message = no such user at all\n  accept\n\
             acl_data:\n  accept\n\
             begin routers\n\
             satchel:\n  driver = manualroute\n  domains = satchel.test\n  transport = satchel\n\
             \x20 route_list = satchel.test 127.0.0.1\n  self = send\n\
             box:\n  driver = accept\n  domains = +local_domains\n  transport = box\n\
             begin transports\n\
             satchel:\n  driver = smtp\n  port = {satchel}\n  hosts_require_tls = *\n  tls_verify_hosts =\n  tls_try_verify_hosts =\n\
             \x20 hosts_try_dane =\n\
             box:\n  driver = appendfile\n  maildir_format\n  directory = /var/mail/box\n  create_directory\n\
             \x20 return_path_add\n  user = Debian-exim\n\
             begin retry\n* * F,1h,1s\n"
        );
        // Where it looks by itself: with -C it would give its rights up.
        jail.write("etc/exim4/exim4.conf", &config);
        jail.start(&["/usr/sbin/exim4", "-bdf", "-q1s"]);
        let exim = Self { jail, port };
        wait_for_port(port, || exim.log());
        Some(exim)
    }
}

impl Peer for Exim {
    fn domain(&self) -> &'static str {
        DOMAIN
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn new_mails(&self) -> PathBuf {
        self.jail.path("var/mail/box/new")
    }

    fn log(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.jail.path(name)).unwrap_or_default();
        self.jail.log() + &read("var/log/exim/mainlog") + &read("var/log/exim/paniclog")
    }

    fn close(&mut self, closed: bool) {
        let path = self.jail.path("etc/closed");
        if closed {
            std::fs::write(path, "").unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }
}

fn both() -> Option<(Satchel, Exim)> {
    let port = free_port();
    let satchel = satchel_beside(DOMAIN, port);
    let exim = Exim::start(satchel.ports.smtp, port)?;
    talk::befriend(&satchel, &exim);
    Some((satchel, exim))
}

#[test]
fn satchel_sends_to_exim() {
    let Some((satchel, exim)) = both() else { return };
    talk::receives(&satchel, &exim);
}

#[test]
fn exim_puts_off_and_refuses() {
    let Some((satchel, mut exim)) = both() else { return };
    talk::puts_off(&satchel, &mut exim);
}

#[test]
fn exim_sends_to_satchel() {
    let Some((satchel, exim)) = both() else { return };
    talk::sends(&satchel, &exim);
}
