//! The examples that RFC 6376 (appendix A) and RFC 8463 (appendix A) print, through our authenticator and a DNS of its
//! own: as they stand, changed, and with a DNS that fails in every way it can.

use crate::support::world::World;
use smtp::{AuthResult, Authentication, ReversePath};

const BRISBANE: &str = "brisbane._domainkey.example.com";
const BRISBANE_KEY: &str = "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB";
const FOOTBALL_ED25519: &str = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const FOOTBALL_RSA: &str = "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB";

fn example(text: &str) -> String {
    text.replace('\n', "\r\n")
}

async fn verify(world: World, message: &str) -> Authentication {
    let authenticator = world.authenticator().await;
    authenticator.verify([192, 0, 2, 1].into(), "h.test", &ReversePath::Null, message.as_bytes()).await
}

fn with_key(name: &str, text: &str) -> World {
    let mut world = World::default();
    world.add_txt(name, vec![text.as_bytes().to_vec()]);
    world
}

#[tokio::test]
async fn the_example_of_rfc_6376_passes() {
    let message = example(include_str!("data/rfc6376.eml"));
    let found = verify(with_key(BRISBANE, BRISBANE_KEY), &message).await;
    let [signature] = &found.dkim[..] else { panic!("one signature") };
    assert_eq!((signature.result, signature.domain.as_str()), (AuthResult::Pass, "example.com"));
    assert_eq!(signature.selector, "brisbane");
    // example.com signs for football.example.com: the same organization.
    assert!(found.aligned_dkim && found.covered("Received", 0) && !found.covered("Received", 1));
}

#[tokio::test]
async fn a_key_in_several_strings_is_one_key() {
    let mut world = World::default();
    let (first, second) = BRISBANE_KEY.as_bytes().split_at(40);
    world.add_txt(BRISBANE, vec![first.to_vec(), Vec::new(), second.to_vec()]);
    let found = verify(world, &example(include_str!("data/rfc6376.eml"))).await;
    assert_eq!(found.dkim[0].result, AuthResult::Pass);
}

#[tokio::test]
async fn the_examples_of_rfc_8463_pass() {
    let mut world = with_key("brisbane._domainkey.football.example.com", FOOTBALL_ED25519);
    world.add_txt("test._domainkey.football.example.com", vec![FOOTBALL_RSA.as_bytes().to_vec()]);
    let found = verify(world, &example(include_str!("data/rfc8463.eml"))).await;
    assert_eq!(found.dkim.iter().map(|one| one.result).collect::<Vec<_>>(), [AuthResult::Pass, AuthResult::Pass]);
    // One key gone: the other signature stands by itself.
    let world = with_key("brisbane._domainkey.football.example.com", FOOTBALL_ED25519);
    let found = verify(world, &example(include_str!("data/rfc8463.eml"))).await;
    assert_eq!(found.dkim[0].result, AuthResult::Pass);
    assert_ne!(found.dkim[1].result, AuthResult::Pass);
    assert!(found.aligned_dkim);
}

#[tokio::test]
async fn one_octet_more_or_less_breaks_a_signature() {
    let message = example(include_str!("data/rfc6376.eml"));
    for (what, from, to) in [
        ("body", "hungry", "thirsty"),
        ("signed header", "Is dinner ready?", "Is dinner ready!"),
        ("space in a simple header", "Subject: Is", "Subject:  Is"),
        ("order of tags", "c=simple/simple; q=dns/txt", "q=dns/txt; c=simple/simple"),
        ("hash", "bh=2jUS", "bh=3jUS"),
        ("line in front of the end", "Joe.\r\n", "Joe.\r\n\r\n.\r\n"),
    ] {
        let changed = message.replacen(from, to, 1);
        assert_ne!(changed, message, "{what}");
        let found = verify(with_key(BRISBANE, BRISBANE_KEY), &changed).await;
        assert_ne!(found.dkim[0].result, AuthResult::Pass, "{what}");
        assert!(!found.is_aligned(), "{what}");
    }
    // RFC 6376 §3.4.3: empty lines at the end do not count.
    let found = verify(with_key(BRISBANE, BRISBANE_KEY), &format!("{message}\r\n\r\n")).await;
    assert_eq!(found.dkim[0].result, AuthResult::Pass);
}

#[tokio::test]
async fn a_key_that_is_not_to_be_had_is_told_by_its_reason() {
    let message = example(include_str!("data/rfc6376.eml"));
    let results = async |world: World| verify(world, &message).await.dkim[0].result;
    assert_eq!(results(World::default()).await, AuthResult::PermError, "NXDOMAIN");
    let mut world = World::default();
    world.add_name(BRISBANE);
    assert_eq!(results(world).await, AuthResult::PermError, "no TXT there");
    let mut world = World::default();
    world.fail(BRISBANE);
    assert_eq!(results(world).await, AuthResult::TempError, "SERVFAIL");
    let mut world = World::default();
    world.silence(BRISBANE, None);
    assert_eq!(results(world).await, AuthResult::TempError, "no answer");
    // RFC 6376 §3.6.1: an empty p= is a key that was taken back.
    for bad in ["v=DKIM1; p=", "v=DKIM1; k=rsa; p=AAAA", "v=DKIM2; p=x", "hello", "v=DKIM1; k=dsa; p=AAAA"] {
        let result = results(with_key(BRISBANE, bad)).await;
        assert!(matches!(result, AuthResult::PermError | AuthResult::Neutral | AuthResult::Fail), "{bad}: {result:?}");
    }
}
