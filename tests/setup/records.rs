//! `satchel dns` and `satchel check`.

use std::process::Command;

use serde_json::Value;
use smtp::RecordData;

use crate::support::satchel::{BINARY, Satchel};

pub(crate) fn check(satchel: &Satchel, more: &[&str]) -> (bool, Value) {
    let mut command = Command::new(BINARY);
    command.args(["check", "--json"]).args(more).arg("--config").arg(satchel.path().join("satchel.toml"));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    (output.status.success(), serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// The texts of all findings of a kind, with `true` for those that are fine.
fn said(report: &Value, kind: &str) -> Vec<(bool, String)> {
    let rows = report["findings"].as_array().unwrap().iter().filter(|row| row["check"] == kind);
    rows.map(|row| (row["ok"] == true, row["text"].as_str().unwrap().to_owned())).collect()
}

pub(crate) fn has(report: &Value, kind: &str, ok: bool, part: &str) {
    let all = said(report, kind);
    assert!(all.iter().any(|(fine, text)| *fine == ok && text.contains(part)), "{kind} {ok} {part:?} in {report:#}");
}

fn dns(satchel: &Satchel) -> (Option<i32>, Value) {
    let output = satchel.command(&["dns", "satchel.test"]).output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

/// A name server for which nothing exists.
fn empty_dns() -> std::net::SocketAddr {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 1500];
        while let Ok((octets, peer)) = socket.recv_from(&mut question) {
            // The question again, as an answer: NXDOMAIN, recursion available, nothing but the question.
            question[2] |= 0x80;
            question[3] = 0x83;
            question[6..12].fill(0);
            let name = question[12..octets].iter().position(|&octet| octet == 0).unwrap_or(0);
            let _ = socket.send_to(&question[..(12 + name + 5).min(octets)], peer);
        }
    });
    address
}

#[test]
fn the_sandbox_publishes_what_dns_prints_and_check_finds_it() {
    let satchel = Satchel::start("");
    crate::keys::wait_for_both(&satchel);
    let (code, report) = dns(&satchel);
    let rows = report["records"].as_array().unwrap();
    assert!(code == Some(0) && rows.iter().all(|row| row["status"] == "ok"), "{report:#}");
    for (kind, name) in [
        ("A", "satchel.test"),
        ("MX", "satchel.test"),
        ("TXT", "_dmarc.satchel.test"),
        ("TXT", "satchel1._domainkey.satchel.test"),
        ("TXT", "satchel2._domainkey.satchel.test"),
        ("TXT", "_mta-sts.satchel.test"),
        ("TXT", "_smtp._tls.satchel.test"),
        ("SRV", "_imaps._tcp.satchel.test"),
        ("SRV", "_autodiscover._tcp.satchel.test"),
        ("CNAME", "autoconfig.satchel.test"),
    ] {
        assert!(rows.iter().any(|row| row["type"] == kind && row["name"] == name), "{kind} {name}");
    }
    assert!(!rows.iter().any(|row| row["name"] == "default._bimi.satchel.test"), "no logo is configured");
    let imaps = rows.iter().find(|row| row["name"] == "_imaps._tcp.satchel.test").unwrap();
    assert_eq!(imaps["value"], format!("0 1 {} satchel.test.", satchel.ports.imaps));
    assert_eq!(imaps["zone"], format!("_imaps._tcp.satchel.test. IN SRV 0 1 {} satchel.test.", satchel.ports.imaps));
    let output = satchel.command(&["dns", "elsewhere.test"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("server.domains has: satchel.test"));

    let (fine, found) = check(&satchel, &["--dnsbl", "list.example"]);
    assert!(fine, "{found:#}");
    has(&found, "smtp", true, "greets as satchel.test");
    has(&found, "smtp", true, "answers EHLO as satchel.test");
    has(&found, "relay", true, "relays for nobody: 5");
    has(&found, "spf", true, "SPF of satchel.test says pass for mail from 127.0.0.1");
    has(&found, "dkim", true, "satchel1 of satchel.test says pass");
    has(&found, "dkim", true, "satchel2 of satchel.test says pass");
    has(&found, "dmarc", true, "says pass");
    has(&found, "certificate", true, "it is self-signed");
    has(&found, "mta-sts", true, "cannot be had");
    has(&found, "ports", true, &format!("imaps answers at 127.0.0.1:{}", satchel.ports.imaps));
    has(&found, "dnsbl", true, "127.0.0.1 is not listed at list.example");
}

/// A name server with these records beside the sandbox's rule; gone with the test process.
pub(crate) fn zone(records: Vec<(&'static str, RecordData)>) -> std::net::SocketAddr {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut zone = smtp::Zone::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
            for (name, data) in records {
                zone = zone.with_record(name, data);
            }
            send.send(zone.addr()).unwrap();
            let (_running, stop) = tokio::sync::watch::channel(false);
            zone.run(stop).await;
        });
    });
    receive.recv().unwrap()
}

#[test]
fn what_differs_is_said_with_what_is_there() {
    let txt = |text: &str| RecordData::Txt(text.to_owned());
    let address = zone(vec![
        ("satchel.test", RecordData::Address([192, 0, 2, 1].into())),
        ("satchel.test", RecordData::Mx { preference: 5, host: "old.satchel.test".into() }),
        ("satchel.test", txt("v=spf1 -all")),
        ("satchel.test", txt("v=spf1 mx -all")),
        ("_dmarc.satchel.test", txt("v=DMARC1; p=none")),
        ("1.2.0.192.in-addr.arpa", RecordData::Ptr("customer.provider.test".into())),
        ("autoconfig.satchel.test", RecordData::Address([192, 0, 2, 9].into())),
        (
            "_imaps._tcp.satchel.test",
            RecordData::Srv { priority: 0, weight: 0, port: 1, host: "old.satchel.test".into() },
        ),
    ]);
    let satchel = Satchel::start(&format!("[dns]\nresolver = \"{address}\"\n"));
    let (code, report) = dns(&satchel);
    assert_eq!(code, Some(1));
    let rows = report["records"].as_array().unwrap();
    for (kind, name, status, found) in [
        ("A", "satchel.test", "ok", None),
        ("MX", "satchel.test", "differs", Some("5 old.satchel.test.")),
        ("TXT", "satchel.test", "differs", Some("v=spf1 -all | v=spf1 mx -all")),
        ("TXT", "_dmarc.satchel.test", "ok", None),
        ("TXT", "satchel1._domainkey.satchel.test", "missing", None),
        ("PTR", "1.2.0.192.in-addr.arpa", "differs", Some("customer.provider.test.")),
        ("CNAME", "autoconfig.satchel.test", "differs", Some("192.0.2.9")),
        ("SRV", "_imaps._tcp.satchel.test", "differs", Some("0 0 1 old.satchel.test.")),
    ] {
        let row = rows.iter().find(|row| row["type"] == kind && row["name"] == name);
        let row = row.unwrap_or_else(|| panic!("{kind} of {name} in {report:#}"));
        assert_eq!((row["status"].as_str(), row["found"].as_str()), (Some(status), found), "{row:#}");
    }
}

#[test]
fn a_certificate_that_is_trusted_and_a_policy_that_is_ours_are_found_from_outside() {
    let ca = crate::ca::Ca::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let at = |file: &str| folder.path().join(file).display().to_string();
    let (chain, key) = ca.issue(&["satchel.test", "mta-sts.satchel.test"]);
    std::fs::write(at("root.crt"), &ca.root_pem).unwrap();
    std::fs::write(at("own.crt"), chain).unwrap();
    std::fs::write(at("own.key"), key).unwrap();
    let tls = format!("certificate = \"{}\"\nkey = \"{}\"\n", at("own.crt"), at("own.key"));
    let mut satchel = Satchel::prepared(&format!("https = 0\n[server]\nmta_sts = \"enforce\"\n[tls]\n{tls}"));
    // What the machine trusts.
    satchel.environment = Some(("SSL_CERT_FILE", at("root.crt")));
    satchel.resume();
    let (fine, found) = check(&satchel, &[]);
    assert!(fine, "{found:#}");
    has(&found, "certificate", true, "senders that want a certificate they can trust get one");
    has(&found, "mta-sts", true, "the policy of satchel.test is found, and is ours");

    // The same certificate, for another name.
    satchel.stop();
    let (chain, key) = ca.issue(&["elsewhere.test"]);
    std::fs::write(at("own.crt"), chain).unwrap();
    std::fs::write(at("own.key"), key).unwrap();
    satchel.resume();
    let (fine, found) = check(&satchel, &[]);
    assert!(!fine, "{found:#}");
    has(&found, "certificate", false, "shows a certificate for elsewhere.test, not for satchel.test");
    has(&found, "mta-sts", true, "cannot be had: ");
}

#[test]
fn what_is_missing_from_the_dns_is_said_with_what_to_publish() {
    let satchel = Satchel::start(&format!("[dns]\nresolver = \"{}\"\n", empty_dns()));
    let (code, report) = dns(&satchel);
    assert_eq!((code, &report["ok"]), (Some(1), &Value::Bool(false)));
    let rows = report["records"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["status"] == "missing"), "{report:#}");
    let mx = rows.iter().find(|row| row["type"] == "MX").unwrap();
    assert_eq!(mx["zone"], "satchel.test. IN MX 10 satchel.test.");

    let (fine, found) = check(&satchel, &[]);
    assert!(!fine, "{found:#}");
    has(
        &found,
        "dns",
        false,
        "MX of satchel.test is missing: mail for the domain comes here; publish: satchel.test. IN MX",
    );
    has(&found, "dns", false, "the server's own address");
    has(&found, "dns", true, "TXT of _smtp._tls.satchel.test is missing");
    has(&found, "spf", false, "SPF of satchel.test says none for mail from 127.0.0.1");
    has(&found, "dmarc", false, "says none");
    has(&found, "mta-sts", false, "nobody finds the way to satchel.test");
    has(&found, "certificate", false, "set tls.acme");
    has(&found, "relay", true, "relays for nobody");
}

#[test]
fn without_a_server_records_are_printed_and_looked_up_where_a_resolver_is_named() {
    let mut satchel = Satchel::start("");
    satchel.stop();
    let (code, report) = dns(&satchel);
    assert_eq!((code, &report["checked"]), (Some(0), &Value::Bool(false)));
    let mut plain = Command::new(BINARY);
    let output = plain.args(["dns", "satchel.test", "--dir"]).arg(satchel.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\nsatchel.test. IN TXT \"v=spf1 mx -all\"\n"), "{text}");
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with(';') || line.contains(" IN ")), "{text}");

    satchel.configure(&format!("[dns]\nresolver = \"{}\"\n", empty_dns()));
    let (code, report) = dns(&satchel);
    assert_eq!((code, &report["checked"]), (Some(1), &Value::Bool(true)), "{report:#}");
}
