//! Who a mail is from: known signatures, the sandbox's zone, and every trick that must not count.

use crate::support::host::start;
use crate::support::nameserver::nameserver;
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::DkimSigner;
use smtp::client::{Deadlines, Outgoing, Security, Target, deliver};
use smtp::{
    AuthResult, Authentication, Authenticator, DkimKey, DkimKind, DmarcPolicy, DnsConfig, Kind, Resolver, ReversePath,
    ServerConfig, Zone,
};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const FOOTBALL_ED25519: &str = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const FOOTBALL_RSA: &str = "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB";

struct Lab {
    authenticator: Authenticator,
    pkcs8: Vec<u8>,
    _stop: watch::Sender<bool>,
}

/// The sandbox's zone with some domains of the wide world beside it. All of them sign with one key.
async fn lab() -> Lab {
    let pkcs8 = DkimKey::generate(DkimKind::Ed25519).unwrap().to_vec();
    let public = |domain: &str| DkimKey::from_pkcs8(domain, "s", &pkcs8).unwrap().dns_record();
    let mut zone = Zone::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    zone = zone.with_txt("brisbane._domainkey.football.example.com", FOOTBALL_ED25519);
    zone = zone.with_txt("test._domainkey.football.example.com", FOOTBALL_RSA);
    for domain in ["shop.test", "example.org", "news.example.org", "other.example"] {
        let (name, text) = public(domain);
        zone = zone.with_txt(&name, &text);
    }
    let (name, text) = public("practice.example");
    zone = zone.with_txt(&name, &text.replace("v=DKIM1;", "v=DKIM1; t=y;"));
    zone = zone
        .with_txt("bounce.example.org", "v=spf1 ip4:192.0.2.0/24 -all")
        .with_txt("everybody.example", "v=spf1 +all")
        .with_txt("nearly.example", "v=spf1 ip4:128.0.0.0/1 ip4:0.0.0.0/1 -all")
        .with_txt("includes.example", "v=spf1 include:everybody.example -all")
        .with_txt("redirects.example", "v=spf1 redirect=everybody.example")
        .with_txt("strict.example", "v=spf1 ip4:192.0.2.0/24 -all")
        .with_txt("mail.strict.example", "v=spf1 ip4:192.0.2.0/24 -all")
        .with_txt("_dmarc.strict.example", "v=DMARC1; p=quarantine; aspf=s; adkim=s");
    let resolver = Resolver::new(DnsConfig::server(zone.addr())).unwrap();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(zone.run(stopped));
    Lab { authenticator: Authenticator::new("mx.satchel.test", &resolver), pkcs8, _stop: stop }
}

impl Lab {
    async fn verify(&self, ip: &str, mail_from: &str, message: &str) -> Authentication {
        let path = if mail_from.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(mail_from.into()) };
        self.authenticator.verify(ip.parse().unwrap(), "helo.shop.test", &path, message.as_bytes()).await
    }

    /// A signed mail with the signature's fields chosen.
    fn signed(&self, domain: &str, headers: &[&str], with_l: bool, expires: u64, message: &str) -> String {
        let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(&self.pkcs8).unwrap();
        let headers: Vec<String> = headers.iter().map(|h| (*h).to_owned()).collect();
        let mut signer = DkimSigner::from_key(key).domain(domain).selector("s").headers(headers);
        if with_l {
            signer = signer.body_length(true);
        }
        if expires > 0 {
            signer = signer.expiration(expires);
        }
        format!("{}{message}", signer.sign(message.as_bytes()).unwrap().to_header())
    }
}

fn mail(from: &str) -> String {
    format!("From: {from}\r\nTo: alice@satchel.test\r\nSubject: hello\r\n\r\nHello.\r\n")
}

#[tokio::test]
async fn the_example_of_rfc_8463_passes_with_both_keys() {
    let lab = lab().await;
    let message = include_str!("data/rfc8463.eml").replace('\n', "\r\n");
    let found = lab.verify("192.0.2.9", "joe@football.example.com", &message).await;
    assert_eq!(found.dkim.len(), 2);
    for signature in &found.dkim {
        assert_eq!((signature.result, signature.domain.as_str()), (AuthResult::Pass, "football.example.com"));
        assert!(!signature.has_l && !signature.testing && !signature.expired);
    }
    assert_eq!([found.dkim[0].selector.as_str(), found.dkim[1].selector.as_str()], ["brisbane", "test"]);
    assert_ne!(found.dkim[0].signature_hash, found.dkim[1].signature_hash);
    assert_eq!(found.from, ["joe@football.example.com"]);
    assert!(found.aligned_dkim && !found.aligned_spf);
    assert_eq!((found.spf.result, found.dmarc.result), (AuthResult::None, AuthResult::None));
    // h= lists From and Subject twice, Message-ID once.
    assert!(found.covered("subject", 1) && !found.covered("Subject", 2));
    assert!(found.covered("Message-ID", 0) && !found.covered("message-id", 1));
    assert!(!found.covered("LNMP-Price", 0));
    assert!(found.header_value.starts_with("mx.satchel.test;\r\n\tspf=none"), "{}", found.header_value);
    assert!(
        found.header_value.contains("dkim=pass header.i=\"@football.example.com\" header.s=brisbane")
            || found.header_value.contains("dkim=pass header.i=@football.example.com header.s=brisbane"),
        "{}",
        found.header_value
    );

    let changed = message.replace("hungry", "thirsty");
    let found = lab.verify("192.0.2.9", "joe@football.example.com", &changed).await;
    assert!(found.dkim.iter().all(|signature| signature.result == AuthResult::Neutral));
    assert!(!found.aligned_dkim && !found.covered("From", 0));
}

#[tokio::test]
async fn mail_of_this_machine_authenticates_in_the_sandbox_and_others_fail() {
    let lab = lab().await;
    let found = lab.verify("127.0.0.1", "bob@shop.test", &mail("Bob <Bob@Shop.test>")).await;
    assert_eq!(found.spf.result, AuthResult::Pass);
    assert_eq!((found.dmarc.result, found.dmarc.policy), (AuthResult::Pass, DmarcPolicy::Reject));
    assert_eq!(found.dmarc.domain, "shop.test");
    assert!(found.aligned_spf && !found.aligned_dkim && !found.spf.is_plus_all);
    // The resolver itself knows this one (RFC 6761 §6.3).
    assert_eq!(found.host.as_deref(), Some("localhost"));
    assert_eq!(found.from, ["bob@shop.test"]);
    for part in ["spf=pass", "smtp.mailfrom=", "dmarc=pass header.from=shop.test policy.dmarc=reject", "iprev=pass"] {
        assert!(found.header_value.contains(part), "{part}: {}", found.header_value);
    }

    let found = lab.verify("192.0.2.1", "bob@shop.test", &mail("bob@shop.test")).await;
    assert_eq!((found.spf.result, found.dmarc.result), (AuthResult::Fail, AuthResult::Fail));
    assert_eq!(found.dmarc.policy, DmarcPolicy::Reject);
    assert!(!found.is_aligned() && found.host.is_none());

    let found = lab.verify("127.0.0.1", "bob@evil.test", &mail("bob@shop.test")).await;
    assert_eq!((found.spf.result, found.dmarc.result), (AuthResult::Pass, AuthResult::Fail));
    assert!(!found.is_aligned());
}

#[tokio::test]
async fn a_null_reverse_path_is_judged_by_the_helo_name() {
    let found = lab().await.verify("127.0.0.1", "", &mail("mailer-daemon@shop.test")).await;
    assert_eq!((found.spf.result, found.spf.domain.as_str()), (AuthResult::Pass, "helo.shop.test"));
    assert!(found.aligned_spf);
}

#[tokio::test]
async fn without_a_record_alignment_is_by_organization() {
    let lab = lab().await;
    let found = lab.verify("192.0.2.1", "b@bounce.example.org", &mail("a@news.example.org")).await;
    assert_eq!(found.dmarc.result, AuthResult::None);
    assert!(found.aligned_spf);
    let message = lab.signed("example.org", &["From"], false, 0, &mail("a@news.example.org"));
    assert!(lab.verify("198.51.100.1", "x@y.example", &message).await.aligned_dkim);
    let message = lab.signed("other.example", &["From"], false, 0, &mail("a@news.example.org"));
    let found = lab.verify("198.51.100.1", "x@y.example", &message).await;
    assert_eq!(found.dkim[0].result, AuthResult::Pass);
    assert!(!found.is_aligned());
}

#[tokio::test]
async fn a_strict_record_is_obeyed() {
    let lab = lab().await;
    let found = lab.verify("192.0.2.1", "a@strict.example", &mail("a@strict.example")).await;
    assert_eq!((found.dmarc.result, found.dmarc.policy), (AuthResult::Pass, DmarcPolicy::Quarantine));
    assert!(found.aligned_spf);
    let found = lab.verify("192.0.2.1", "a@mail.strict.example", &mail("a@strict.example")).await;
    assert_eq!((found.spf.result, found.dmarc.result), (AuthResult::Pass, AuthResult::Fail));
    assert!(!found.aligned_spf);
}

#[tokio::test]
async fn signatures_that_prove_little_do_not_align() {
    let lab = lab().await;
    let all: &[&str] = &["From", "To", "Subject"];
    let from = mail("a@example.org");
    let verify = async |message: String| lab.verify("198.51.100.1", "x@y.example", &message).await;

    let found = verify(lab.signed("example.org", all, false, 0, &from)).await;
    assert!(found.aligned_dkim && found.covered("to", 0));
    let found = verify(lab.signed("example.org", all, true, 0, &from) + "more\r\n").await;
    assert!(found.dkim[0].result == AuthResult::Pass && found.dkim[0].has_l && !found.aligned_dkim);
    let found = verify(lab.signed("example.org", &["Subject"], false, 0, &from)).await;
    assert!(found.dkim[0].result == AuthResult::Pass && !found.aligned_dkim);
    let found = verify(lab.signed("practice.example", all, false, 0, &mail("a@practice.example"))).await;
    assert!(found.dkim[0].result == AuthResult::Pass && found.dkim[0].testing && !found.aligned_dkim);

    // `x=` in the past: taken from a signature that was made to expire in a day, then cut short.
    let signed = lab.signed("example.org", all, false, 86_400, &from);
    let at = signed.find("x=").unwrap();
    let end = at + signed[at..].find(';').unwrap();
    let found = verify(format!("{}x=1{}", &signed[..at], &signed[end..])).await;
    assert!(found.dkim[0].expired && found.dkim[0].result == AuthResult::Neutral && !found.aligned_dkim);
}

#[tokio::test]
async fn two_authors_or_two_from_fields_align_with_nobody_but_their_common_domain() {
    let lab = lab().await;
    let forged = format!("From: bob@bank.test\r\n{}", mail("bob@shop.test"));
    let found = lab.verify("127.0.0.1", "bob@shop.test", &forged).await;
    assert_eq!(found.from.len(), 2);
    assert!(!found.is_aligned());
    let found = lab.verify("127.0.0.1", "bob@shop.test", &mail("bob@shop.test, al@shop.test")).await;
    assert!(found.is_aligned() && found.from.len() == 2);
}

#[tokio::test]
async fn a_record_that_lets_everybody_in_is_noticed() {
    let lab = lab().await;
    for (domain, expected) in [
        ("everybody.example", true),
        ("nearly.example", true),
        ("includes.example", true),
        ("redirects.example", true),
        ("bounce.example.org", false),
    ] {
        let from = format!("a@{domain}");
        let found = lab.verify("192.0.2.1", &from, &mail(&from)).await;
        assert_eq!((found.spf.result, found.spf.is_plus_all), (AuthResult::Pass, expected), "{domain}");
    }
}

#[tokio::test]
async fn our_own_signature_survives_delivery() {
    let lab = lab().await;
    let message =
        "From: bob@shop.test\r\nTo: alice@satchel.test\r\nSubject: dots\r\n\r\n.\r\n..\r\n  spaces  \r\nend\r\n";
    let key = DkimKey::from_pkcs8("shop.test", "s", &lab.pkcs8).unwrap();
    let signed = format!("{}{message}", key.sign(message.as_bytes()).unwrap());

    let server = start(ServerConfig::new(Kind::Mx, "mx.satchel.test")).await;
    let target = Target { host: "mx.satchel.test".into(), addresses: vec![server.address], implicit_tls: false };
    let path = ReversePath::Mailbox("bob@shop.test".into());
    let recipients = ["alice@satchel.test".into()];
    let mail = Outgoing {
        reverse_path: &path,
        recipients: &recipients,
        message: signed.as_bytes(),
        smtputf8: false,
        head: b"",
        ret: None,
        envid: None,
        require_tls: false,
        priority: 0,
        deliver_by: None,
    };
    deliver(&target, "out.test", &mail, &Security::Opportunistic, Deadlines::default()).await.unwrap();
    let arrived = server.host.mails.lock().unwrap()[0].1.clone();
    assert!(arrived == signed.as_bytes());
    let found = lab.authenticator.verify([192, 0, 2, 1].into(), "x", &path, &arrived).await;
    assert_eq!(found.dkim[0].result, AuthResult::Pass);
    assert_eq!((found.dmarc.result, found.aligned_dkim, found.aligned_spf), (AuthResult::Pass, true, false));
    // Its absence is signed: one that is added later breaks the signature.
    assert!(found.covered("Reply-To", 0));

    let added = String::from_utf8(arrived).unwrap().replace("\r\nFrom: ", "\r\nReply-To: evil@evil.test\r\nFrom: ");
    let found = lab.verify("192.0.2.1", "bob@shop.test", &added).await;
    assert_ne!(found.dkim[0].result, AuthResult::Pass);
}

#[tokio::test]
async fn a_mail_signed_with_both_kinds_of_keys_passes_twice() {
    let mut zone = Zone::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let message = mail("bob@twice.example");
    let mut signed = message.clone();
    for (kind, selector) in [(DkimKind::Ed25519, "one"), (DkimKind::Rsa, "two")] {
        let key = DkimKey::from_pkcs8("twice.example", selector, &DkimKey::generate(kind).unwrap()).unwrap();
        let (name, text) = key.dns_record();
        zone = zone.with_txt(&name, &text);
        signed = format!("{}{signed}", key.sign(message.as_bytes()).unwrap());
    }
    let authenticator = Authenticator::new("mx.satchel.test", &Resolver::new(DnsConfig::server(zone.addr())).unwrap());
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(zone.run(stopped));
    let path = ReversePath::Mailbox("bob@twice.example".into());
    let found = authenticator.verify([192, 0, 2, 1].into(), "x", &path, signed.as_bytes()).await;
    let results: Vec<_> = found.dkim.iter().map(|one| (one.selector.as_str(), one.result)).collect();
    assert_eq!(results, [("two", AuthResult::Pass), ("one", AuthResult::Pass)]);
    assert!(found.aligned_dkim);
    let broken = signed.replace("Hello.", "Hallo.");
    let found = authenticator.verify([192, 0, 2, 1].into(), "x", &path, broken.as_bytes()).await;
    assert!(found.dkim.len() == 2 && found.dkim.iter().all(|one| one.result != AuthResult::Pass));
}

#[tokio::test]
async fn hostile_and_empty_messages_are_survived() {
    let lab = lab().await;
    for message in
        ["", "\r\n", "no header\r\n\r\n", "From:\r\n\r\n", "From: <<>>@\r\nDKIM-Signature: v=1; a=;\r\n\r\n", "\0\0"]
    {
        let found = lab.verify("127.0.0.1", "bob@shop.test", message).await;
        assert!(!found.is_aligned(), "{message:?}");
    }
    let signature = lab.signed("shop.test", &["From"], false, 0, "From: bob@shop.test\r\n\r\n");
    let field = signature.split("From: ").next().unwrap();
    let many = format!("{}From: bob@shop.test\r\n\r\n", field.repeat(500));
    assert_eq!(lab.verify("127.0.0.1", "bob@shop.test", &many).await.dkim.len(), smtp::limits::DKIM_SIGNATURES_MAX);
}

#[tokio::test]
async fn a_dns_that_refuses_is_a_temporary_error_and_quick() {
    let (address, asked) = nameserver(|_, _| Err(hickory_proto::op::ResponseCode::Refused)).await;
    let config = DnsConfig { timeout: Duration::from_millis(500), ..DnsConfig::server(address) };
    let authenticator = Authenticator::new("mx.satchel.test", &Resolver::new(config).unwrap());
    let path = ReversePath::Mailbox("bob@shop.test".into());
    let message = mail("bob@shop.test");
    let begun = Instant::now();
    let found = authenticator.verify([192, 0, 2, 1].into(), "x", &path, message.as_bytes()).await;
    assert_eq!((found.spf.result, found.dmarc.result), (AuthResult::TempError, AuthResult::TempError));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let before = asked.load(Ordering::Relaxed);
    authenticator.verify([192, 0, 2, 1].into(), "x", &path, message.as_bytes()).await;
    assert_eq!(asked.load(Ordering::Relaxed), before, "a failure is remembered for a while");
}

#[tokio::test]
async fn what_is_known_is_not_asked_for_again() {
    let zone = Zone::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let resolver = Resolver::new(DnsConfig::server(zone.addr())).unwrap();
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(zone.run(stopped));
    let authenticator = Authenticator::new("mx.satchel.test", &resolver);
    let path = ReversePath::Mailbox("bob@shop.test".into());
    let message = mail("bob@shop.test");
    let first = authenticator.verify([127, 0, 0, 1].into(), "x", &path, message.as_bytes()).await;
    stop.send(true).unwrap();
    running.await.unwrap();
    let begun = Instant::now();
    let rounds = 1000;
    for _ in 0..rounds {
        let found = authenticator.verify([127, 0, 0, 1].into(), "x", &path, message.as_bytes()).await;
        assert_eq!(found.header_value, first.header_value);
    }
    println!("one verification with everything cached: {:?}", begun.elapsed() / rounds);
}

#[tokio::test]
async fn a_mail_signed_in_pieces_is_signed_like_a_whole_one() {
    let lab = lab().await;
    let key = DkimKey::from_pkcs8("shop.test", "s", &lab.pkcs8).unwrap();
    let message = mail("bob@shop.test") + &"More of it, with  blanks \t and an end.\r\n\r\n".repeat(50) + "\r\n";
    for size in [1, 2, 7, 100, 5000] {
        let signer = key.signer();
        let mut signing = signer.begin();
        message.as_bytes().chunks(size).for_each(|piece| signing.write(piece));
        let signed = signing.finish().unwrap() + &message;
        let found = lab.verify("192.0.2.1", "x@y.example", &signed).await;
        assert!(found.aligned_dkim && found.dkim.len() == 1, "in pieces of {size}: {}", found.header_value);
    }
}
