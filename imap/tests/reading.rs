//! FETCH and SEARCH over real mails: exact octets, sections, partials, attachments, decoded search.

use std::path::PathBuf;

use crate::support::{Client, World, conversation};
use attachments::Shelf as _;
use lnmp::Place;

const PARTS: &[u8] = b"From: =?utf-8?q?J=C3=BCrgen?= <j@shop.test>\r\nTo: alice@satchel.test\r\nSubject: parts\r\n\
Date: Wed, 03 Jan 2024 01:30:00 +0200\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n\
--b\r\nContent-Type: text/plain\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nX-Y: z\r\n\r\n\
inside\r\n\r\n--b--\r\n";

/// The octets of the only literal in the answer to a FETCH of one message.
async fn literal(client: &mut Client, command: &str) -> Vec<u8> {
    let lines = client.ok(command).await;
    assert_eq!(lines.len(), 1, "{command}: {lines:?}");
    let line = &lines[0];
    let start = line.find("}\r\n").unwrap_or_else(|| panic!("{command}: no literal in {line}")) + 3;
    let open = line[..start].rfind('{').unwrap();
    let size: usize = line[open + 1..start - 3].parse().unwrap();
    line[start..start + size].chars().map(|c| u8::try_from(c).unwrap()).collect()
}

#[tokio::test]
async fn previews_show_the_first_words() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, PARTS).await;
    world.deliver("alice", Place::Inbox, b"Subject: none\r\n\r\n\r\n").await;
    let utf8 = "Content-Type: text/plain; charset=utf-8\r\n\r\nGr\u{fc}\u{df}e\r\n";
    world.deliver("alice", Place::Inbox, utf8.as_bytes()).await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    conversation(
        &mut [&mut client],
        "
        C: a1 FETCH 1 (PREVIEW UID)
        S: * 1 FETCH (PREVIEW \"one\" UID 1)
        S: a1 OK FETCH completed
        C: a2 FETCH 2 (PREVIEW (LAZY))
        S: * 2 FETCH (PREVIEW \"\")
        S: a2 OK FETCH completed
        C: a3 FETCH 3 PREVIEW (LAZY)
        S: * 3 FETCH (PREVIEW {7}\\r\\n…
        S: a3 OK FETCH completed
        C: a4 FETCH 1 (PREVIEW (EAGER))
        S: a4 BAD Unknown PREVIEW modifier: only LAZY is known
        C: a5 FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS (\\Recent))
        S: a5 OK FETCH completed
    ",
    )
    .await;
}

#[tokio::test]
async fn every_section_is_exact() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, PARTS).await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    conversation(&mut [&mut client], "
        C: a1 FETCH 1 BODY.PEEK[1]
        S: * 1 FETCH (BODY[1] {3}\\r\\none)
        S: a1 OK FETCH completed
        C: a2 FETCH 1 (BODY.PEEK[1.MIME] BODY.PEEK[2.HEADER] BODY.PEEK[2.TEXT] BODY.PEEK[2.1])
        S: * 1 FETCH (BODY[1.MIME] {28}\\r\\nContent-Type: text/plain\\r\\n\\r\\n BODY[2.HEADER] {26}\\r\\nSubject: inner\\r\\nX-Y: z\\r\\n\\r\\n BODY[2.TEXT] {8}\\r\\ninside\\r\\n BODY[2.1] {8}\\r\\ninside\\r\\n)
        S: a2 OK FETCH completed
        C: a3 FETCH 1 (BODY.PEEK[2.HEADER.FIELDS (x-y)] BODY.PEEK[3] BODY.PEEK[1.HEADER] BODY.PEEK[HEADER.FIELDS (subject none)])
        S: * 1 FETCH (BODY[2.HEADER.FIELDS (x-y)] {10}\\r\\nX-Y: z\\r\\n\\r\\n BODY[3] NIL BODY[1.HEADER] NIL BODY[HEADER.FIELDS (subject none)] {18}\\r\\nSubject: parts\\r\\n\\r\\n)
        S: a3 OK FETCH completed
        C: a4 FETCH 1 (BODY.PEEK[1]<1.9> BODY.PEEK[1]<3.1> BODY.PEEK[HEADER]<0.4>)
        S: * 1 FETCH (BODY[1]<1> {2}\\r\\nne BODY[1]<3> {0}\\r\\n BODY[HEADER]<0> {4}\\r\\nFrom)
        S: a4 OK FETCH completed
        C: a5 FETCH 1 (ENVELOPE)
        S: * 1 FETCH (ENVELOPE (\"Wed, 03 Jan 2024 01:30:00 +0200\" \"parts\" …
        S: a5 OK FETCH completed
        C: a6 FETCH 1 BODYSTRUCTURE
        S: * 1 FETCH (BODYSTRUCTURE …
        S: a6 OK FETCH completed
        C: a7 FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS (\\Recent))
        S: a7 OK FETCH completed
        C: a8 UID FETCH 1 RFC822.HEADER
        S: * 1 FETCH (UID 1 RFC822.HEADER …
        S: a8 OK FETCH completed
        C: a9 FETCH 1 BODY[1]
        S: * 1 FETCH (BODY[1] {3}\\r\\none FLAGS (\\Seen \\Recent))
        S: a9 OK FETCH completed
    ").await;
    assert_eq!(literal(&mut client, "FETCH 1 RFC822").await, PARTS);
    assert_eq!(client.ok("FETCH 1 FULL").await.len(), 1);
}

#[tokio::test]
async fn large_attachments_come_back_octet_by_octet_whole_and_in_pieces() {
    let world = World::start().await;
    let file: Vec<u8> = (0..2_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let mut message = b"Subject: big\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n\
        --b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n".to_vec();
    let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &file);
    for line in encoded.as_bytes().chunks(76) {
        message.extend_from_slice(line);
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"--b--\r\n");
    let mut client = world.login("alice").await;
    assert!(client.append("INBOX", "", &message).await.starts_with("OK [APPENDUID"));
    client.ok("SELECT INBOX").await;
    assert_eq!(literal(&mut client, "FETCH 1 BODY.PEEK[]").await, message);
    let mut pieces = Vec::new();
    loop {
        let piece = literal(&mut client, &format!("UID FETCH 1 BODY.PEEK[]<{}.300001>", pieces.len())).await;
        if piece.is_empty() {
            break;
        }
        pieces.extend_from_slice(&piece);
    }
    assert_eq!(pieces, message);
    // The shelf loses it: the client is told, and stays in step.
    let sealed = world.store.cids().await.unwrap();
    world.shelf.remove(&sealed[0]).await.unwrap();
    assert_eq!(client.tagged("FETCH 1 BODY.PEEK[2]").await, "NO [UNAVAILABLE] Some attachments cannot be read now");
    assert_eq!(literal(&mut client, "FETCH 1 BODY.PEEK[1]").await, b"hi");
}

#[tokio::test]
async fn searches_use_flags_headers_and_decoded_texts() {
    let world = World::start().await;
    let plain =
        |subject: &str, body: &str| format!("From: a@b.test\r\nSubject: {subject}\r\n\r\n{body}\r\n").into_bytes();
    let coded = b"Subject: coded\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nR3LDvMOfZQ==\r\n";
    let (first, second) = (plain("invoice", "please pay"), plain("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "regards"));
    world.deliver_many("alice", Place::Inbox, &[&first, &second, coded, PARTS]).await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    client.ok("STORE 2 +FLAGS (\\Seen $Label1)").await;
    for (keys, found) in [
        ("ALL", "1 2 3 4"),
        ("SEEN", "2"),
        ("NOT SEEN SUBJECT coded", "3"),
        ("KEYWORD $label1", "2"),
        ("BODY PLEASE", "1"),
        ("TEXT invoice", "1"),
        ("OR SUBJECT invoice FROM shop.test", "1 4"),
        ("TEXT inside", "4"),
        ("TEXT zzz", ""),
        ("SENTON 3-Jan-2024", "4"),
        ("HEADER Date \"\"", "4"),
        ("2:3", "2 3"),
        ("NEW", "1 3 4"),
        ("CHARSET US-ASCII SUBJECT parts", "4"),
        ("LARGER 200", "4"),
    ] {
        let expected = if found.is_empty() { "* SEARCH".to_owned() } else { format!("* SEARCH {found}") };
        assert_eq!(client.ok(&format!("SEARCH {keys}")).await, [expected], "{keys}");
    }
    conversation(
        &mut [&mut client],
        "
        C: a UID SEARCH CHARSET UTF-8 BODY {7+}\\r\\ngrüßE
        S: * SEARCH 3
        S: a OK SEARCH completed
        C: b SEARCH CHARSET utf-8 TEXT {7+}\\r\\ngrüßE
        S: * SEARCH 2 3
        S: b OK SEARCH completed
        C: c SEARCH CHARSET KOI8-R TEXT {1+}\\r\\nx
        S: c NO [BADCHARSET (US-ASCII UTF-8)] Unknown character set
        C: d SEARCH FROM {7+}\\r\\njürgen
        S: * SEARCH 4
        S: d OK SEARCH completed
    ",
    )
    .await;
}

#[tokio::test]
async fn hundreds_of_mails_come_in_order_and_exact() {
    let world = World::start().await;
    let mails: Vec<Vec<u8>> =
        (0..600).map(|n| format!("Subject: {n}\r\n\r\n{}\r\n", "x".repeat(n * 7 % 5000)).into_bytes()).collect();
    let slices: Vec<&[u8]> = mails.iter().map(Vec::as_slice).collect();
    world.deliver_many("alice", Place::Inbox, &slices).await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    let lines = client.ok("UID FETCH 1:* (UID BODY.PEEK[])").await;
    for (index, (line, mail)) in lines.iter().zip(&mails).enumerate() {
        let (number, body) = (index + 1, String::from_utf8_lossy(mail));
        assert_eq!(*line, format!("* {number} FETCH (UID {number} BODY[] {{{}}}\r\n{body})", mail.len()));
    }
    assert_eq!(lines.len(), 600);
    assert_eq!(client.ok("FETCH 1:* (UID ENVELOPE BODYSTRUCTURE)").await.len(), 600);
    assert_eq!(client.ok("FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])").await.len(), 600);
}

#[tokio::test]
async fn every_mail_of_the_corpus_goes_in_and_out_unchanged() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    if !corpus.is_dir() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{} is missing", corpus.display());
        println!("SKIPPED: {} is not here", corpus.display());
        return;
    }
    let mut files = Vec::new();
    let mut folders = vec![corpus];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "eml") {
                files.push(path);
            }
        }
    }
    files.sort();
    let world = World::start().await;
    let mails: Vec<Vec<u8>> =
        files.iter().map(|file| std::fs::read(file).unwrap()).filter(|mail| !mail.is_empty()).collect();
    for some in mails.chunks(100) {
        let slices: Vec<&[u8]> = some.iter().map(Vec::as_slice).collect();
        world.deliver_many("alice", Place::Inbox, &slices).await;
    }
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    let lines = client.ok("FETCH 1:* (RFC822.SIZE BODY.PEEK[])").await;
    assert_eq!(lines.len(), mails.len());
    for (line, mail) in lines.iter().zip(&mails) {
        let body: String = mail.iter().map(|&octet| char::from(octet)).collect();
        let size = mail.len();
        let number = line.split(' ').nth(1).unwrap();
        assert!(*line == format!("* {number} FETCH (RFC822.SIZE {size} BODY[] {{{size}}}\r\n{body})"), "{:.60}", line);
    }
    assert_eq!(client.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY)").await.len(), mails.len());
    assert_eq!(
        client.ok("FETCH 1:* (BODY.PEEK[HEADER] BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[2.HEADER])").await.len(),
        mails.len()
    );
    assert_eq!(client.ok("SEARCH TEXT zz-not-there-zz").await, ["* SEARCH"]);
}
