//! The published SPF suite (203 tests of RFC 7208), through our authenticator and a DNS of its own.
//!
//! Each test names a client's address, a HELO name and a reverse-path, and one or more results that are right. What is
//! decided otherwise stands in [`DEVIATIONS`] and in docs/compatibility.md; one that is gone fails the test.

use crate::support::world::World;
use crate::support::yaml::{Yaml, documents};
use smtp::{AuthResult, Authenticator, ReversePath};
use std::path::Path;

/// Tests of the suite, section by section; none may be lost while it is read.
const TESTS: usize = 203;

/// Test, what we say, and why.
const DEVIATIONS: &[(&str, &str, &str)] = &[(
    "null-text",
    "temperror",
    "a TXT record without any string is malformed on the wire (RFC 1035 §3.3.14), and who sends one has not answered",
)];

#[tokio::test(flavor = "multi_thread")]
async fn the_published_suite_passes_but_for_what_is_named() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/spf-rfc7208-tests.yml");
    let file = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut sections = Vec::new();
    for section in documents(&file) {
        sections.push(tokio::spawn(run(section)));
    }
    let (mut count, mut wrong) = (0, Vec::new());
    for section in sections {
        let (tests, failed) = section.await.unwrap();
        count += tests;
        wrong.extend(failed);
    }
    assert_eq!(count, TESTS);
    let named: Vec<_> = DEVIATIONS.iter().map(|(name, said, _)| ((*name).to_owned(), (*said).to_owned())).collect();
    let news: Vec<_> = wrong.iter().filter(|(one, said, _)| !named.contains(&(one.clone(), said.clone()))).collect();
    let is_gone = |(name, said): &&(String, String)| !wrong.iter().any(|(one, what, _)| (one, what) == (name, said));
    let gone: Vec<_> = named.iter().filter(is_gone).collect();
    assert!(news.is_empty() && gone.is_empty(), "not named: {news:#?}\nnamed, but passes or differs now: {gone:#?}");
}

/// How many tests, and which of them end otherwise: name, what we say, what would be right.
async fn run(section: Yaml) -> (usize, Vec<(String, String, String)>) {
    let authenticator = zone(section.get("zonedata").unwrap()).authenticator().await;
    let tests = section.get("tests").unwrap().entries();
    let mut wrong = Vec::new();
    for (name, test) in tests {
        let said = word(spf(&authenticator, test).await);
        let right: Vec<&str> = test.get("result").unwrap().items().iter().map(|item| item.as_text().unwrap()).collect();
        if !right.contains(&said) {
            wrong.push((name.clone(), said.to_owned(), right.join(" or ")));
        }
    }
    (tests.len(), wrong)
}

async fn spf(authenticator: &Authenticator, test: &Yaml) -> AuthResult {
    let reverse_path = match test.text("mailfrom") {
        "" => ReversePath::Null,
        mailbox => ReversePath::Mailbox(mailbox.to_owned()),
    };
    let found =
        authenticator.verify(test.text("host").parse().unwrap(), test.text("helo"), &reverse_path, b"\r\n").await;
    found.spf.result
}

fn word(result: AuthResult) -> &'static str {
    match result {
        AuthResult::None => "none",
        AuthResult::Pass => "pass",
        AuthResult::Fail => "fail",
        AuthResult::SoftFail => "softfail",
        AuthResult::Neutral => "neutral",
        AuthResult::TempError => "temperror",
        AuthResult::PermError => "permerror",
    }
}

/// `SPF:` stands for TXT where a name has no `TXT:` of its own (`NONE` is one), as the suite's head explains.
fn zone(data: &Yaml) -> World {
    let mut world = World::default();
    for (name, records) in data.entries() {
        world.add_name(name);
        let records = records.items();
        let has_txt = records.iter().any(|record| record.get("TXT").is_some());
        for record in records {
            if record.as_text() == Some("TIMEOUT") {
                world.silence(name, None);
            }
            for (kind, value) in record.entries() {
                let text = || value.as_text().unwrap();
                match kind.as_str() {
                    "SPF" if has_txt => {}
                    "TXT" if value.as_text() == Some("NONE") => {}
                    "SPF" | "TXT" => {
                        // Characters up to U+00FF stand for octets.
                        let octets =
                            |item: &&Yaml| item.as_text().unwrap().chars().map(|c| c as u8).collect::<Vec<_>>();
                        world.add_txt(name, value.items().iter().map(octets).collect());
                    }
                    "A" => world.add_a(name, text()),
                    "AAAA" => world.add_aaaa(name, text()),
                    "PTR" => world.add_ptr(name, text()),
                    "CNAME" => world.add_cname(name, text()),
                    "MX" => {
                        let parts = value.items();
                        let [preference, exchange] = parts[..] else { panic!("{value:?}") };
                        world.add_mx(name, preference.as_text().unwrap().parse().unwrap(), exchange.as_text().unwrap());
                    }
                    other => panic!("a record of type {other}"),
                }
            }
        }
    }
    world
}
