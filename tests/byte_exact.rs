//! What comes out by IMAP is what went in, to the octet: under the trace fields for mail that arrived, exactly for
//! mail that was uploaded; so signatures made by others still verify.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

#[path = "byte_exact/large.rs"]
mod large;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use support::imap::Imap;
use support::satchel::Satchel;
use support::smtp::{Smtp, plain, send, without_trace};
use support::stranger::ALICE;

/// The corpus: name and octets as they are in the file.
fn corpus() -> Option<Vec<(String, Vec<u8>)>> {
    let root = support::shared("corpus")?;
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(files.len() > 100, "the corpus has only {} messages", files.len());
    let name = |file: &Path| file.strip_prefix(&root).unwrap().display().to_string();
    Some(files.iter().map(|file| (name(file), fs::read(file).unwrap())).collect())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "eml") {
            files.push(path);
        }
    }
}

/// As SMTP carries it: every line ends in CRLF, the last one too. A lone CR counts as a line end.
fn for_smtp(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 40);
    let mut at = 0;
    while at < octets.len() {
        match octets[at] {
            b'\r' => {
                out.extend_from_slice(b"\r\n");
                at += usize::from(octets.get(at + 1) == Some(&b'\n'));
            }
            b'\n' => out.extend_from_slice(b"\r\n"),
            octet => out.push(octet),
        }
        at += 1;
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The UIDs of a mailbox, which it selects.
fn uids(imap: &mut Imap, mailbox: &str) -> Vec<u32> {
    imap.ok(&format!("SELECT {mailbox}"));
    let responses = imap.ok("UID SEARCH ALL");
    let text = responses.iter().find_map(|response| response.text.strip_prefix("* SEARCH")).unwrap().to_owned();
    text.split_whitespace().map(|uid| uid.parse().unwrap()).collect()
}

/// RFC822.SIZE of a message of the selected mailbox.
fn size(imap: &mut Imap, uid: u32) -> usize {
    let responses = imap.ok(&format!("UID FETCH {uid} (RFC822.SIZE)"));
    let text = responses.iter().find_map(|response| response.text.split("RFC822.SIZE ").nth(1)).unwrap();
    text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[test]
fn every_message_of_the_corpus_comes_back_as_it_was_sent() {
    let Some(corpus) = corpus() else { return };
    let satchel = Satchel::start("");
    // Twenty a session, as a busy peer sends them.
    let messages: Vec<(&String, Vec<u8>)> = corpus.iter().map(|(name, octets)| (name, for_smtp(octets))).collect();
    for some in messages.chunks(20) {
        let mut session = Smtp::connect(satchel.ports.smtp);
        for (name, message) in some {
            let reply = session.mail("corpus@shop.test", ALICE, message);
            assert!(reply.starts_with("250"), "{name}: {reply}");
        }
    }
    // Nobody is known to alice and nothing is signed by anybody: everything waits in Unpaid, in the order it came.
    let mut imap = satchel.imap();
    let uids = uids(&mut imap, "Unpaid");
    assert_eq!(uids.len(), messages.len());
    for (uid, (name, message)) in uids.into_iter().zip(&messages) {
        let fetched = imap.body(uid);
        assert!(fetched.ends_with(message), "{name} is not what was sent");
        let trace = &fetched[..fetched.len() - message.len()];
        // The trace ends with an empty line of its own here, so that the helper finds nothing but ours.
        assert_eq!(without_trace(&[trace, b"\r\n"].concat()), b"\r\n", "{name}: more than trace fields on top");
        assert_eq!(size(&mut imap, uid), fetched.len(), "{name}: RFC822.SIZE");
        let mut half = imap.ok(&format!("UID FETCH {uid} (BODY.PEEK[]<{}.1000>)", trace.len()));
        let half = half.iter_mut().find_map(|response| response.literals.pop()).unwrap();
        assert_eq!(half, message[..message.len().min(1000)], "{name}: a part of it");
    }
}

#[test]
fn every_message_of_the_corpus_comes_back_as_it_was_uploaded() {
    let Some(corpus) = corpus() else { return };
    let satchel = Satchel::start("");
    let mut imap = satchel.imap();
    let mut uploaded = Vec::new();
    for (name, octets) in &corpus {
        // NUL cannot stand in a literal (RFC 3501 §4.3 and §9, CHAR8).
        if octets.contains(&0) {
            continue;
        }
        // Lines as IMAP has them, and the file as it is: line feeds alone are no reason to change a message.
        for message in [for_smtp(octets), octets.clone()] {
            imap.append("Archive", "\\Seen", &message);
            uploaded.push((name, message));
        }
    }
    let uids = uids(&mut imap, "Archive");
    assert_eq!(uids.len(), uploaded.len());
    for (uid, (name, message)) in uids.into_iter().zip(&uploaded) {
        assert!(imap.body(uid) == *message, "{name} is not what was uploaded");
        assert_eq!(size(&mut imap, uid), message.len(), "{name}: RFC822.SIZE");
    }
}

#[test]
fn what_cannot_be_carried_unchanged_is_refused_and_not_mended() {
    let satchel = Satchel::start("");
    // A line end that is not CRLF: mending it would break signatures, and servers that disagree about it let one
    // mail smuggle in another (RFC 5321 §2.3.8).
    for text in ["one\ntwo\r\n", "one\rtwo\r\n"] {
        let message = [&plain("x@shop.test", ALICE, "Bare", "")[..], text.as_bytes()].concat();
        let reply = Smtp::connect(satchel.ports.smtp).mail("x@shop.test", ALICE, &message);
        assert!(reply.starts_with("550 5.6.11"), "{reply}");
    }
    assert!(satchel.gates().is_empty());
    // A last line without an end cannot be said in DATA, but in BDAT it can, and it stays that way.
    let mut message = plain("x@shop.test", ALICE, "Chunked", "No line end here");
    message.truncate(message.len() - 2);
    let mut session = Smtp::connect(satchel.ports.smtp);
    session.envelope("x@shop.test", ALICE);
    session.write(&[format!("BDAT {} LAST\r\n", message.len()).as_bytes(), &message].concat());
    let reply = session.reply();
    assert!(reply.starts_with("250"), "{reply}");
    let mut imap = satchel.imap();
    let uid = imap.find("Unpaid", "Chunked")[0];
    assert_eq!(without_trace(&imap.body(uid)), message);
}

/// A DNS zone that also publishes a DKIM key; gone with the test process.
fn zone(name: &str, text: &str) -> SocketAddr {
    let (send, receive) = std::sync::mpsc::channel();
    let (name, text) = (name.to_owned(), text.to_owned());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let zone =
                smtp::Zone::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap().with_txt(&name, &text);
            send.send(zone.addr()).unwrap();
            let (_running, stop) = tokio::sync::watch::channel(false);
            zone.run(stop).await;
        });
    });
    receive.recv().unwrap()
}

/// What DKIM says of a message from an address that SPF does not know, so that only the signature counts.
fn dkim(resolver: SocketAddr, message: &[u8]) -> Vec<smtp::AuthResult> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let resolver = smtp::Resolver::new(smtp::DnsConfig::server(resolver)).unwrap();
        let authenticator = smtp::Authenticator::new("checker.test", &resolver);
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        let outcome = authenticator.verify(elsewhere, "x.test", &smtp::ReversePath::Null, message).await;
        outcome.dkim.iter().map(|signature| signature.result).collect()
    })
}

#[test]
fn a_signed_message_still_verifies_after_imap_fetch() {
    let key = smtp::DkimKey::generate(smtp::DkimKind::Ed25519).unwrap();
    let key = smtp::DkimKey::from_pkcs8("signed.test", "s1", &key).unwrap();
    let (name, text) = key.dns_record();
    let resolver = zone(&name, &text);
    let satchel = Satchel::start(&format!("[dns]\nresolver = \"{resolver}\"\n"));

    let author = "ivy@signed.test";
    let body =
        format!("Signed, with\ttabs,  blanks  and a large part.\r\n\r\n{}\r\n\r\n", "0123456789abcdef ".repeat(9000));
    let message = for_smtp(&plain(author, ALICE, "Signed and delivered", &body));
    let signed = [key.sign(&message).unwrap().as_bytes(), &message].concat();
    assert_eq!(dkim(resolver, &signed), [smtp::AuthResult::Pass]);
    // By way of a server that SPF says nothing good about: the author aligns by the signature alone.
    send(satchel.ports.smtp, "bounces@elsewhere.test", ALICE, &signed);
    let gate = satchel.wait_for_state(author, "waiting");
    assert_eq!(gate["relation"], "stranger", "aligned by DKIM: {gate}");

    let mut imap = satchel.imap();
    let uid = imap.find("Unpaid", "Signed and delivered")[0];
    let fetched = imap.body(uid);
    assert!(without_trace(&fetched) == signed, "not the octets that were signed");
    assert_eq!(dkim(resolver, without_trace(&fetched)), [smtp::AuthResult::Pass]);
    assert_eq!(dkim(resolver, &fetched), [smtp::AuthResult::Pass], "with our fields on top too");
    let trace = String::from_utf8_lossy(&fetched[..fetched.len() - signed.len()]).into_owned();
    assert!(trace.contains("dkim=pass"), "{trace}");

    // The control: one octet changed, and it does not.
    let mut broken = without_trace(&fetched).to_vec();
    let at = broken.len() - 100;
    broken[at] ^= 1;
    assert!(!dkim(resolver, &broken).contains(&smtp::AuthResult::Pass));
}
