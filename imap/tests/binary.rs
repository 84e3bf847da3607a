//! BINARY (RFC 3516): parts with their transfer encoding undone, and mails that hold NUL.

use crate::support::{Client, World, conversation};
use attachments::Shelf as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lnmp::Place;

const PARTS: &[u8] = b"Subject: b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\na=3Db =\r\nc\r\n\
--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n\
--b\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nzz\r\n\
--b\r\nContent-Transfer-Encoding: base64\r\n\r\nYQpiCg==\r\n\
--b\r\nContent-Type: message/rfc822\r\n\r\nContent-Transfer-Encoding: base64\r\n\r\naW4=\r\n\
--b--\r\n";

/// The octets of the only literal in an answer, and whether it is a literal8.
async fn literal(client: &mut Client, command: &str) -> (Vec<u8>, bool) {
    let lines = client.ok(command).await;
    assert_eq!(lines.len(), 1, "{command}: {lines:?}");
    let line = &lines[0];
    let start = line.find("}\r\n").unwrap_or_else(|| panic!("{command}: no literal in {line:.80}")) + 3;
    let open = line[..start].rfind('{').unwrap();
    let size: usize = line[open + 1..start - 3].parse().unwrap();
    let octets = line.chars().skip(start).take(size).map(|c| u8::try_from(c).unwrap()).collect();
    (octets, line[..open].ends_with('~'))
}

#[tokio::test]
async fn parts_come_decoded_and_a_nul_makes_a_literal8() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, PARTS).await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    conversation(&mut [&mut client], "
        C: a FETCH 1 (BINARY.PEEK[1] BINARY.SIZE[1] BINARY.SIZE[2])
        S: * 1 FETCH (BINARY[1] {5}\\r\\na=b c BINARY.SIZE[1] 5 BINARY.SIZE[2] 3)
        S: a OK FETCH completed
        C: b FETCH 1 (BINARY.PEEK[2] BINARY.PEEK[2]<1.9> BINARY.PEEK[2]<7.1> BINARY.PEEK[9] BINARY.SIZE[9])
        S: * 1 FETCH (BINARY[2] ~{3}\\r\\n\0\x01\x02 BINARY[2]<1> {2}\\r\\n\x01\x02 BINARY[2]<7> {0}\\r\\n BINARY[9] NIL BINARY.SIZE[9] 0)
        S: b OK FETCH completed
        # Textual lines end with CR LF, whatever was encoded.
        C: c FETCH 1 (BINARY.PEEK[4] BINARY.SIZE[4] BINARY.PEEK[4]<3.9>)
        S: * 1 FETCH (BINARY[4] {6}\\r\\na\\r\\nb\\r\\n BINARY.SIZE[4] 6 BINARY[4]<3> {3}\\r\\nb\\r\\n)
        S: c OK FETCH completed
        C: d FETCH 1 BINARY.PEEK[3]
        S: d NO [UNKNOWN-CTE] …
        C: e FETCH 1 BINARY.SIZE[3]
        S: e NO [UNKNOWN-CTE] …
        # Within a mail in a mail; and that mail itself, which has no encoding of its own.
        C: f FETCH 1 (BINARY.PEEK[5.1] BINARY.SIZE[5])
        S: * 1 FETCH (BINARY[5.1] {2}\\r\\nin BINARY.SIZE[5] 41)
        S: f OK FETCH completed
        C: g FETCH 1 BINARY.PEEK[1.NONSENSE]
        S: g BAD Invalid section
        C: h FETCH 1 BINARY.SIZE[1]<0.1>
        S: h BAD …
        C: i UID FETCH 1 (FLAGS BINARY[2])
        S: * 1 FETCH (UID 1 FLAGS (\\Seen \\Recent) BINARY[2] ~{3}\\r\\n\0\x01\x02)
        S: i OK FETCH completed
    ").await;
}

#[tokio::test]
async fn headers_and_texts_can_be_asked_for_too() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, PARTS).await;
    let one = b"Subject: one\r\nContent-Transfer-Encoding: base64\r\n\r\nYQpiCg==\r\n";
    world.deliver("alice", Place::Inbox, one).await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    conversation(&mut [&mut client], "
        C: a FETCH 1 (BINARY.PEEK[2.MIME] BINARY.SIZE[2.MIME] BINARY.PEEK[2.mime]<5.2>)
        S: * 1 FETCH (BINARY[2.MIME] {77}\\r\\nContent-Type: …\\r\\n\\r\\n BINARY.SIZE[2.MIME] 77 BINARY[2.MIME]<5> {2}\\r\\nnt)
        S: a OK FETCH completed
        C: b FETCH 1 (BINARY.PEEK[5.HEADER] BINARY.SIZE[5.HEADER])
        S: * 1 FETCH (BINARY[5.HEADER] {37}\\r\\nContent-Transfer-Encoding: base64\\r\\n\\r\\n BINARY.SIZE[5.HEADER] 37)
        S: b OK FETCH completed
        C: c FETCH 1 (BINARY.PEEK[HEADER.FIELDS (subject x)] BINARY.SIZE[HEADER.FIELDS (subject)] BINARY.SIZE[HEADER.FIELDS.NOT (Content-Type)])
        S: * 1 FETCH (BINARY[HEADER.FIELDS (subject x)] {14}\\r\\nSubject: b\\r\\n\\r\\n BINARY.SIZE[HEADER.FIELDS (subject)] 14 BINARY.SIZE[HEADER.FIELDS.NOT (Content-Type)] 14)
        S: c OK FETCH completed
        # The text of a mail of one part is that part, in a mail in a mail too.
        C: d FETCH 1 (BINARY.PEEK[5.TEXT] BINARY.SIZE[5.TEXT])
        S: * 1 FETCH (BINARY[5.TEXT] {2}\\r\\nin BINARY.SIZE[5.TEXT] 2)
        S: d OK FETCH completed
        C: e FETCH 2 (BINARY.PEEK[TEXT] BINARY.SIZE[TEXT] BINARY.SIZE[1] BINARY.PEEK[TEXT]<3>)
        S: * 2 FETCH (BINARY[TEXT] {6}\\r\\na\\r\\nb\\r\\n BINARY.SIZE[TEXT] 6 BINARY.SIZE[1] 6 BINARY[TEXT]<3> {3}\\r\\nb\\r\\n)
        S: e OK FETCH completed
        C: f FETCH 2 (BINARY.PEEK[7.MIME] BINARY.SIZE[7.TEXT])
        S: * 2 FETCH (BINARY[7.MIME] NIL BINARY.SIZE[7.TEXT] 0)
        S: f OK FETCH completed
        C: g FETCH 1:2 (FLAGS)
        S: * 1 FETCH (FLAGS (\\Recent))
        S: * 2 FETCH (FLAGS (\\Recent))
        S: g OK FETCH completed
    ").await;
    // All of a mail of several parts, as it lies there.
    let (text, literal8) = literal(&mut client, "FETCH 1 BINARY[TEXT]").await;
    let start = PARTS.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert_eq!((text.as_slice(), literal8), (&PARTS[start..], false));
    assert_eq!(client.ok("FETCH 1 FLAGS").await, ["* 1 FETCH (FLAGS (\\Seen \\Recent))"]);
}

#[tokio::test]
async fn an_appended_literal8_is_kept_octet_by_octet() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    let mail = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\xff\n\0";
    client.send(format!("a APPEND INBOX ~{{{}+}}\r\n", mail.len()).as_bytes()).await;
    client.send(mail).await;
    client.send(b"\r\n").await;
    assert!(client.line().await.starts_with("a OK [APPENDUID"));
    client.ok("SELECT INBOX").await;
    assert_eq!(literal(&mut client, "FETCH 1 BODY.PEEK[]").await.0, mail);
    assert_eq!(literal(&mut client, "FETCH 1 BINARY.PEEK[]").await, (mail.to_vec(), true));
    assert_eq!(literal(&mut client, "FETCH 1 BINARY.PEEK[1]").await, (b"\0\xff\n\0".to_vec(), true));
    assert_eq!(client.ok("FETCH 1 BINARY.SIZE[1]").await, ["* 1 FETCH (BINARY.SIZE[1] 4)"]);
}

#[tokio::test]
async fn large_attachments_come_decoded_whole_and_in_pieces() {
    let world = World::start().await;
    let file: Vec<u8> = (0..2_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let text: Vec<u8> = (0..120_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    let mut mail = b"Subject: big\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
    for (kind, content, width) in [("application/pdf", &file, 76), ("text/plain", &text, 76), ("image/png", &file, 70)]
    {
        let head = format!("--b\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n");
        mail.extend_from_slice(head.as_bytes());
        for line in BASE64_STANDARD.encode(content).as_bytes().chunks(width) {
            mail.extend_from_slice(line);
            mail.extend_from_slice(b"\r\n");
        }
    }
    mail.extend_from_slice(b"--b--\r\n");
    let lines = String::from_utf8(text).unwrap().replace('\n', "\r\n").into_bytes();
    world.deliver("alice", Place::Inbox, &mail).await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    for (part, content) in [(1, &file), (2, &lines), (3, &file)] {
        let size = client.ok(&format!("FETCH 1 BINARY.SIZE[{part}]")).await;
        assert_eq!(size, [format!("* 1 FETCH (BINARY.SIZE[{part}] {})", content.len())]);
        let (whole, literal8) = literal(&mut client, &format!("FETCH 1 BINARY.PEEK[{part}]")).await;
        assert!(whole == *content && literal8, "part {part}: {} octets", whole.len());
        let mut pieces = Vec::new();
        loop {
            let command = format!("UID FETCH 1 BINARY.PEEK[{part}]<{}.700001>", pieces.len());
            let (piece, literal8) = literal(&mut client, &command).await;
            if piece.is_empty() {
                break;
            }
            assert_eq!(literal8, piece.contains(&0), "{command}");
            pieces.extend_from_slice(&piece);
        }
        assert!(pieces == *content, "part {part} in pieces: {} octets", pieces.len());
    }
    for cid in world.store.cids().await.unwrap() {
        world.shelf.remove(&cid).await.unwrap();
    }
    assert_eq!(client.tagged("FETCH 1 BINARY.PEEK[1]").await, "NO [UNAVAILABLE] Some attachments cannot be read now");
    client.ok("NOOP").await;
}
