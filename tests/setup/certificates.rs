//! Which certificate a client gets: by name, after the files changed, from a CA.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use super::ca::Ca;
use super::{records, tls};
use crate::support::eventually;
use crate::support::satchel::Satchel;

/// Writes a pair for a name; the certificate as DER.
fn pair(folder: &Path, file: &str, name: &str) -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.join(format!("{file}.crt")), made.pem()).unwrap();
    std::fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    made.der().to_vec()
}

fn https_port(satchel: &Satchel) -> u16 {
    let ready: Value = serde_json::from_slice(&std::fs::read(satchel.path().join("run/ready.json")).unwrap()).unwrap();
    u16::try_from(ready["https"].as_u64().unwrap()).unwrap()
}

#[test]
fn every_door_shows_the_certificate_of_the_name_it_is_asked_for_and_new_files_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (pair(folder.path(), "one", "mx.one.test"), pair(folder.path(), "two", "*.two.test"));
    let at = |file: &str| folder.path().join(file).display().to_string();
    let satchel = Satchel::start(&format!(
        "https = 0\n[server]\nname = \"mx.one.test\"\ndomains = [\"one.test\", \"two.test\"]\n[tls]\ncertificate = \"{}\"\n\
         key = \"{}\"\nfurther = [{{ certificate = \"{}\", key = \"{}\" }}]\n",
        at("one.crt"),
        at("one.key"),
        at("two.crt"),
        at("two.key"),
    ));
    for port in [satchel.ports.imaps, satchel.ports.submissions, https_port(&satchel)] {
        for (name, expected) in [("mx.one.test", &one), ("mail.two.test", &two), ("three.test", &one)] {
            assert_eq!(&tls::shown(port, name).to_vec(), expected, "{name} at {port}");
        }
    }
    for (version, expected) in [(&rustls::version::TLS12, true), (&rustls::version::TLS13, true)] {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(one.clone().into()).unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let done = tls::connect(satchel.ports.imaps, "mx.one.test", client.into());
        assert_eq!(done.is_ok(), expected, "{version:?}: {done:?}");
    }

    let mut session = tls::connect(satchel.ports.imaps, "mail.two.test", tls::anybody()).unwrap();
    assert!(tls::say(&mut session, "").starts_with("* OK"));
    let new = pair(folder.path(), "two", "mail.two.test");
    eventually("the new certificate is shown", || {
        (tls::shown(satchel.ports.imaps, "mail.two.test").to_vec() == new).then_some(())
    });
    assert_eq!(tls::shown(satchel.ports.submissions, "mail.two.test").to_vec(), new);
    assert_eq!(tls::shown(satchel.ports.imaps, "mx.one.test").to_vec(), one);
    assert!(tls::say(&mut session, "a NOOP\r\n").starts_with("a OK"), "the session from before goes on");

    // Half a pair is not used, and the other one is not disturbed.
    std::fs::write(at("two.key"), "no key").unwrap();
    eventually("the log says why", || satchel.log_text().contains("two.key").then_some(()));
    assert_eq!(tls::shown(satchel.ports.imaps, "mail.two.test").to_vec(), new);
    assert_eq!(satchel.log_text().matches("cannot be read again").count(), 1);
}

#[test]
fn an_order_at_a_ca_ends_in_its_certificate_on_every_door_and_is_renewed_in_time() {
    // The first one is due for renewal some seconds from now: two thirds of its life are over then.
    let ca = Ca::start(&[(40, 32), (3600, 90 * 86_400)]);
    let root = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(root.path(), &ca.root_pem).unwrap();
    let mut satchel = Satchel::prepared(&format!(
        "[tls]\nacme = \"{}\"\nacme_ca = \"{}\"\nacme_contact = \"postmaster@satchel.test\"\n\
         acme_names = [\"satchel.test\", \"mta-sts.satchel.test\"]\n",
        ca.directory(),
        root.path().display()
    ));
    ca.will_find(satchel.path());
    satchel.resume();
    let trusting = tls::trusting(&ca.root);
    let first = eventually("a certificate of the CA is shown", || {
        let mut session = tls::connect(satchel.ports.imaps, "satchel.test", trusting.clone()).ok()?;
        assert!(tls::say(&mut session, "").starts_with("* OK"));
        Some(tls::certificate(&session))
    });
    assert!(tls::connect(satchel.ports.submissions, "mta-sts.satchel.test", trusting.clone()).is_ok());
    let (_, found) = records::check(&satchel, &[]);
    records::has(&found, "acme", true, "a CA that asks for mta-sts.satchel.test at 127.0.0.1:");
    // What no CA was asked for is still served, self-signed.
    assert!(tls::connect(satchel.ports.imaps, "localhost", trusting.clone()).is_err());
    assert_ne!(tls::shown(satchel.ports.imaps, "localhost"), first);

    let second = eventually("it is renewed", || {
        let shown = tls::shown(satchel.ports.imaps, "satchel.test");
        (shown != first).then_some(shown)
    });
    assert!(tls::connect(satchel.ports.imaps, "satchel.test", trusting).is_ok());
    assert_eq!(ca.counts(), (1, 2), "one account, two orders");
    assert_eq!(ca.faults(), [""; 0]);

    let folder = satchel.path().join("keys/acme");
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap()).collect();
    assert_eq!(files.len(), 2, "an account and a certificate: {files:?}");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }

    // A restart shows it at once and orders nothing.
    satchel.stop();
    satchel.resume();
    eventually("it is there again", || (tls::shown(satchel.ports.imaps, "satchel.test") == second).then_some(()));
    assert_eq!(ca.counts(), (1, 2));
}

#[test]
fn a_ca_that_does_not_find_the_server_gives_nothing_and_the_log_says_what_to_look_at() {
    let ca = Ca::start(&[]);
    let root = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(root.path(), &ca.root_pem).unwrap();
    let tls = format!("acme = \"{}\"\nacme_ca = \"{}\"\n", ca.directory(), root.path().display());
    let satchel = Satchel::start(&format!("[tls]\n{tls}"));
    let own = std::fs::read(satchel.path().join("keys/tls.crt")).unwrap();
    eventually("the log says it", || {
        satchel.log_text().contains("does port 80 of every name lead here?").then_some(())
    });
    assert_eq!(ca.faults().len(), 1, "{:?}", ca.faults());
    let shown = tls::shown(satchel.ports.imaps, "satchel.test");
    assert_eq!(shown, CertificateDer::from_pem_slice(&own).unwrap(), "the self-signed one goes on");
    // The account is kept for the next try.
    assert_eq!(std::fs::read_dir(satchel.path().join("keys/acme")).unwrap().count(), 1);

    // What is no certificate to trust a CA by is refused at the start.
    std::fs::write(root.path(), "no PEM").unwrap();
    let mut second = Satchel::prepared(&format!("[tls]\n{tls}"));
    second.spawn();
    eventually("it refuses", || second.log_text().contains("tls.acme_ca").then_some(()));
}

#[test]
fn pages_over_tls_show_the_policy_and_the_set_up_page() {
    let satchel = Satchel::start("https = 0\n");
    let port = https_port(&satchel);
    let get = |path: &str| {
        let mut session = tls::connect(port, "satchel.test", tls::anybody()).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: satchel.test\r\nConnection: close\r\n\r\n");
        let mut answer = tls::say(&mut session, &request);
        let _ = std::io::Read::read_to_string(&mut session, &mut answer);
        answer
    };
    let policy = get("/.well-known/mta-sts.txt");
    assert!(policy.ends_with("version: STSv1\r\nmode: testing\r\nmx: satchel.test\r\nmax_age: 604800\r\n"), "{policy}");
    assert!(get("/setup").contains("Set up a mail program"));
    // A mail client that knows this certificate takes it.
    if crate::support::has_tool("openssl") {
        let file = satchel.path().join("keys/tls.crt");
        let mut command = Command::new("openssl");
        command.args(["verify", "-verify_hostname", "satchel.test", "-CAfile"]).arg(&file).arg(&file);
        assert!(crate::support::run(&mut command).contains("OK"));
        let text = crate::support::run(
            Command::new("openssl").args(["x509", "-noout", "-startdate", "-enddate", "-in"]).arg(&file),
        );
        assert!(text.contains("notAfter="), "{text}");
    }
}
