//! CATENATE (RFC 4469): messages made of texts and of parts of messages that are here.

use crate::support::{Client, World, conversation};
use imap::limits::APPEND_BYTES_MAX;
use lnmp::Place;

const PARTS: &[u8] = b"Subject: parts\r\nTo: a@b.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
--b\r\nContent-Type: text/plain\r\n\r\none\r\n--b\r\nContent-Type: text/x\r\n\r\ntwo and more\r\n--b--\r\n";

async fn body(client: &mut Client, uid: u32) -> String {
    let line = client.ok(&format!("UID FETCH {uid} (BODY.PEEK[])")).await.pop().unwrap();
    line.split_once("}\r\n").unwrap().1.trim_end_matches(')').to_owned()
}

#[tokio::test]
async fn messages_are_made_of_texts_and_parts_of_others() {
    let world = World::start().await;
    world.deliver("alice", Place::Archive, PARTS).await;
    let mut client = world.login("alice").await;
    conversation(&mut [&mut client], "
        C: a APPEND Archive (\\Seen) CATENATE (URL \"/Archive/;UID=1/;SECTION=HEADER\" TEXT {4+}\\r\\n--c\\n URL /Archive/;UID=1/;SECTION=2/;PARTIAL=4.3 TEXT {4}
        S: + OK
        C: last)
        S: a OK [APPENDUID … 2] APPEND completed
        C: b APPEND Archive CATENATE (TEXT {1+}\\r\\nx URL \"imap://alice;AUTH=*@mail.satchel.test/Archive/;UID=1/;SECTION=1\") {3+}\\r\\nA:b CATENATE (URL /archive/;UID=1)
        S: b NO [BADURL /archive/;UID=1] …
        C: c APPEND Archive CATENATE (TEXT {1+}\\r\\nx URL \"imap://alice;AUTH=*@mail.satchel.test/Archive/;UID=1/;SECTION=1\") {3+}\\r\\nA:b
        S: c OK [APPENDUID … 3:4] APPEND completed
        C: d APPEND Archive CATENATE (URL \";UID=1/;SECTION=TEXT\")
        S: d NO [BADURL ;UID=1/;SECTION=TEXT] …
    ".replace("--c\\n URL", "--\\r\\n URL").as_str()).await;
    client.ok("SELECT Archive").await;
    conversation(&mut [&mut client], "
        C: f REPLACE 4 Archive (\\Draft) CATENATE (URL \";UID=1/;SECTION=HEADER.FIELDS%20(To)\" URL \"/;UID=1/;SECTION=2/;PARTIAL=8\")
        S: * OK [APPENDUID … 5]…
        S: * 4 EXPUNGE
        S: * 4 EXISTS
        S: * 4 RECENT
        S: f OK REPLACE completed
    ").await;
    let header = "Subject: parts\r\nTo: a@b.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";
    assert_eq!(body(&mut client, 2).await, format!("{header}--\r\nandlast"));
    assert_eq!(body(&mut client, 3).await, "xone");
    assert_eq!(body(&mut client, 5).await, "To: a@b.test\r\n\r\nmore");
}

#[tokio::test]
async fn what_a_url_does_not_name_is_a_badurl_and_nothing_is_stored() {
    let world = World::start().await;
    world.deliver("alice", Place::Inbox, PARTS).await;
    world.deliver("bob", Place::Inbox, PARTS).await;
    let mut client = world.login("alice").await;
    for url in [
        "/INBOX/;UID=2",
        "/INBOX;UIDVALIDITY=4294967295/;UID=1",
        "/INBOX/;UID=1/;SECTION=3",
        "/INBOX/;UID=1/;SECTION=1.FOO",
        "/INBOX/;UID=1/;SECTION=1%5D%3C0.1%3E",
        "/Nowhere/;UID=1",
        "/INBOX/;UID=1;URLAUTH=anonymous",
        "imap://bob@mail.satchel.test/INBOX/;UID=1",
        "imap://elsewhere.test/INBOX/;UID=1",
        "http://mail.satchel.test/",
    ] {
        let said = client.tagged(&format!("APPEND INBOX CATENATE (TEXT {{3+}}\r\nA:b URL \"{url}\")")).await;
        assert!(said.starts_with(&format!("NO [BADURL {url}] ")), "{url}: {said}");
    }
    conversation(
        &mut [&mut client],
        "
        C: a APPEND INBOX CATENATE (URL \"a]b\\\\c\")
        S: a NO [BADURL a?b\\c] …
        C: b APPEND INBOX CATENATE (TEXT {0+}\\r\\n TEXT {0+}\\r\\n)
        S: b NO [CANNOT] An empty message cannot be stored
        C: c APPEND INBOX CATENATE ()
        S: c BAD Empty CATENATE
        C: d APPEND INBOX CATENATE (FILE {1+}\\r\\nx)
        S: d BAD Expected TEXT or URL
        C: e STATUS INBOX (MESSAGES)
        S: * STATUS INBOX (MESSAGES 1)
        S: e OK…
    ",
    )
    .await;
}

#[tokio::test]
async fn parts_that_are_too_large_together_are_refused() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    let large = vec![b'x'; APPEND_BYTES_MAX / 2 + 1];
    assert!(client.append("INBOX", "", &large).await.starts_with("OK"));
    let said = client.tagged("APPEND INBOX CATENATE (URL /INBOX/;UID=1 URL /INBOX/;UID=1)").await;
    assert!(said.starts_with("NO [TOOBIG] "), "{said}");
    let rest = APPEND_BYTES_MAX - 1;
    let said =
        client.tagged(&format!("APPEND INBOX CATENATE (TEXT {{2+}}\r\nab URL /INBOX/;UID=1 TEXT {{{rest}}}")).await;
    assert!(said.starts_with("NO [TOOBIG] "), "{said}");
    assert_eq!(client.ok("STATUS INBOX (MESSAGES)").await, ["* STATUS INBOX (MESSAGES 1)"]);
}
