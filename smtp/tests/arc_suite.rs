//! The published ARC suites (RFC 8617), through our authenticator and a DNS of its own: chains to validate, and chains
//! as others seal them, which have to validate here.
//!
//! What is decided otherwise stands in [`DEVIATIONS`] and in docs/compatibility.md; one that is gone fails the test.

use crate::support::world::World;
use crate::support::yaml::{Yaml, documents};
use smtp::{AuthResult, Authenticator, ReversePath};
use std::path::Path;

/// Test, what we say, and why.
const DEVIATIONS: &[(&str, &str, &str)] = &[
    (
        "ams_fields_c_na",
        "fail",
        "`mail-auth` finds no signature by simple/simple, the default when c= is missing; errs to the side of doubt",
    ),
    (
        "ams_fields_h_empty",
        "fail",
        "an ARC-Message-Signature that signs no field at all, not even From, counts as broken",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_published_chains_are_judged_as_they_should_but_for_what_is_named() {
    let (mut count, mut wrong) = (0, Vec::new());
    for section in suite("arc-validation.yml") {
        let authenticator = keys(&section).authenticator().await;
        for (name, test) in section.get("tests").unwrap().entries() {
            count += 1;
            // Three say nothing; their chains have holes.
            let right = match test.text("cv").trim() {
                "" => "fail".to_owned(),
                word => word.to_lowercase(),
            };
            let said = chain(&authenticator, test.text("message")).await;
            if said != right {
                wrong.push((name.as_str().to_owned(), said, right));
            }
        }
    }
    // The file has 175; four names stand in it twice, so that readers who keep the last one count 171.
    assert_eq!(count, 175);
    let named: Vec<_> = DEVIATIONS.iter().map(|(name, said, _)| ((*name).to_owned(), *said)).collect();
    let news: Vec<_> = wrong.iter().filter(|(one, said, _)| !named.contains(&(one.clone(), *said))).collect();
    let is_gone = |(name, said): &&(String, &str)| !wrong.iter().any(|(one, what, _)| (one, what) == (name, said));
    let gone: Vec<_> = named.iter().filter(is_gone).collect();
    assert!(news.is_empty() && gone.is_empty(), "not named: {news:#?}\nnamed, but passes or differs now: {gone:#?}");
}

#[tokio::test]
async fn what_others_sealed_validates() {
    let mut count = 0;
    for section in suite("arc-sign.yml") {
        let authenticator = keys(&section).authenticator().await;
        for (name, test) in section.get("tests").unwrap().entries() {
            count += 1;
            let (seal, signature, results) = (test.text("AS"), test.text("AMS"), test.text("AAR"));
            let message = test.text("message");
            if seal.trim().is_empty() {
                // Nothing may be sealed there: the chain has failed before.
                assert_eq!(chain(&authenticator, message).await, "fail", "{name}");
                continue;
            }
            let sealed = [
                format!("ARC-Seal: {}\n", unfolded(seal)),
                format!("ARC-Message-Signature: {}\n", unfolded(signature)),
                format!("ARC-Authentication-Results: {}\n", unfolded(results)),
                message.to_owned(),
            ]
            .concat();
            let right = if seal.contains("cv=fail") { "fail" } else { "pass" };
            assert_eq!(chain(&authenticator, &sealed).await, right, "{name}");
        }
    }
    assert_eq!(count, 17);
}

#[tokio::test]
async fn the_chain_is_told_in_authentication_results() {
    let section = suite("arc-validation.yml").remove(0);
    let authenticator = keys(&section).authenticator().await;
    for (name, word) in [("cv_base1", "none"), ("cv_pass_i1_1", "pass"), ("cv_fail_i1_ams_na", "fail")] {
        let test = section.get("tests").unwrap().get(name).unwrap_or_else(|| panic!("no test {name}"));
        let found = verify(&authenticator, test.text("message")).await;
        let told = found.header_value.contains(&format!(";\r\n\tarc={word} smtp.remote-ip=192.0.2.1"));
        assert_eq!(told, word != "none", "{name}: {}", found.header_value);
    }
}

fn suite(file: &str) -> Vec<Yaml> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors").join(file);
    documents(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The field as it was signed: tags parted by one space, no space within a signature or a hash.
fn unfolded(value: &str) -> String {
    let tag = |tag: &str| {
        let is_base64 = tag.trim_start().starts_with("b=") || tag.trim_start().starts_with("bh=");
        tag.split_whitespace().collect::<Vec<_>>().join(if is_base64 { "" } else { " " })
    };
    value.split(';').map(tag).collect::<Vec<_>>().join("; ")
}

fn keys(section: &Yaml) -> World {
    let mut world = World::default();
    for (name, text) in section.get("txt-records").unwrap().entries() {
        world.add_txt(name, vec![text.as_text().unwrap().trim().replace('\n', "").into_bytes()]);
    }
    world
}

async fn verify(authenticator: &Authenticator, message: &str) -> smtp::Authentication {
    let message = message.replace('\n', "\r\n");
    authenticator.verify([192, 0, 2, 1].into(), "h.test", &ReversePath::Null, message.as_bytes()).await
}

async fn chain(authenticator: &Authenticator, message: &str) -> &'static str {
    match verify(authenticator, message).await.arc {
        AuthResult::None => "none",
        AuthResult::Pass => "pass",
        AuthResult::Fail => "fail",
        AuthResult::TempError => "temperror",
        other => panic!("{other:?} is no word for a chain"),
    }
}
