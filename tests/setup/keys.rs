//! DKIM keys of both kinds.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;

use crate::support::eventually;
use crate::support::satchel::Satchel;
use crate::support::sink::Sink;
use crate::support::smtp::Smtp;

/// Waits for the RSA key, which is made in the background.
pub(crate) fn wait_for_both(satchel: &Satchel) {
    eventually("two keys sign", || {
        let keys = satchel.ask(&["dkim", "list"]);
        let signing = keys.as_array().unwrap().iter().filter(|key| key["stage"] == "signing");
        (signing.count() == 2).then_some(())
    });
}

/// What DKIM says of each signature, with these TXT records published.
fn judged(records: Vec<(String, String)>, message: &[u8]) -> Vec<(String, smtp::AuthResult)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut zone = smtp::Zone::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        for (name, text) in &records {
            zone = zone.with_txt(name, text);
        }
        let resolver = smtp::Resolver::new(smtp::DnsConfig::server(zone.addr())).unwrap();
        let (_running, stop) = tokio::sync::watch::channel(false);
        tokio::spawn(zone.run(stop));
        let judge = smtp::Authenticator::new("judge.test", &resolver);
        let found = judge.verify([192, 0, 2, 1].into(), "x.test", &smtp::ReversePath::Null, message).await;
        found.dkim.into_iter().map(|one| (one.selector, one.result)).collect()
    })
}

fn keys(satchel: &Satchel) -> Vec<(String, String, String)> {
    let keys = satchel.ask(&["dkim", "list"]);
    let text = |key: &Value, field: &str| key[field].as_str().unwrap().to_owned();
    let row = |key| (text(key, "selector"), text(key, "algorithm"), text(key, "stage"));
    keys.as_array().unwrap().iter().map(row).collect()
}

fn key(selector: &str, algorithm: &str, stage: &str) -> (String, String, String) {
    (selector.to_owned(), algorithm.to_owned(), stage.to_owned())
}

#[test]
fn mail_is_signed_twice_and_both_signatures_verify() {
    let sink = Sink::start();
    let satchel = Satchel::start(&sink.route("far.test"));
    wait_for_both(&satchel);
    assert_eq!(keys(&satchel), [key("satchel1", "ed25519", "signing"), key("satchel2", "rsa", "signing")]);

    let (user, password) = satchel.first_login();
    let mail = format!("From: {user}\r\nTo: bob@far.test\r\nSubject: Twice\r\n\r\nSigned.\r\n");
    let reply = Smtp::login(satchel.ports.submission, &user, &password).mail(&user, "bob@far.test", mail.as_bytes());
    assert!(reply.starts_with("250"), "{reply}");
    let arrived = sink.wait_for("bob@far.test");

    let report = satchel.ask(&["dns", "satchel.test"]);
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let published: Vec<_> = report["records"].as_array().unwrap().iter().filter(|row| row["type"] == "TXT").collect();
    let published: Vec<_> = published.iter().map(|row| (text(row, "name"), text(row, "value"))).collect();
    let mut found = judged(published, &arrived.message);
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let pass = |selector: &str| (selector.to_owned(), smtp::AuthResult::Pass);
    assert_eq!(found, [pass("satchel1"), pass("satchel2")], "{}", arrived.text());
    for algorithm in ["a=ed25519-sha256", "a=rsa-sha256"] {
        assert!(arrived.text().contains(algorithm), "{algorithm}: {}", arrived.text());
    }
    assert!(judged(Vec::new(), &arrived.message).iter().all(|(_, result)| *result != smtp::AuthResult::Pass));
}

#[test]
fn keys_are_rotated_together_or_one_kind_alone() {
    let mut satchel = Satchel::start("");
    wait_for_both(&satchel);
    let rotated = satchel.ask(&["dkim", "rotate", "--after", "1h"]);
    assert_eq!(rotated["keys"].as_array().unwrap().len(), 2, "{rotated:#}");
    assert!(rotated["publish"][0]["zone"].as_str().unwrap().contains("._domainkey.satchel.test. IN TXT \"v=DKIM1; k="));
    satchel.ask(&["dkim", "rotate", "--only", "ed25519", "--after", "0s"]);
    // The restart makes no further RSA key.
    satchel.stop();
    satchel.resume();
    assert_eq!(
        keys(&satchel),
        [
            key("satchel1", "ed25519", "retired"),
            key("satchel2", "rsa", "signing"),
            key("satchel3", "rsa", "published"),
            key("satchel4", "ed25519", "retired"),
            key("satchel5", "ed25519", "signing"),
        ]
    );
}
