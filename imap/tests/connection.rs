//! What concerns the connection rather than a mailbox: compression, logging out of an account, ways to log in.

use crate::support::{World, conversation};
use imap::limits::{AUTOLOGOUT, IDLE_KEEPALIVE};
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, compress, create_comp_flags_from_zip_params};
use miniz_oxide::inflate::core::inflate_flags::{TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// A pipe whose other end is compressed.
fn compressed(mut server: Box<dyn crate::support::Stream>) -> DuplexStream {
    let (client, mut clear) = tokio::io::duplex(1 << 20);
    tokio::spawn(async move {
        let mut out = Box::new(CompressorOxide::new(create_comp_flags_from_zip_params(6, -15, 0)));
        let mut machine = Box::new(DecompressorOxide::new());
        let (mut inflated, mut at) = (vec![0; 8 << 20], 0);
        let (mut from_client, mut from_server) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            tokio::select! {
                read = clear.read(&mut from_client) => match read {
                    Ok(read) if read > 0 => {
                        let mut piece = vec![0; 2 * read + 1000];
                        let (_, taken, made) = compress(&mut out, &from_client[..read], &mut piece, TDEFLFlush::Sync);
                        assert_eq!(taken, read);
                        server.write_all(&piece[..made]).await.unwrap();
                    }
                    _ => return,
                },
                read = server.read(&mut from_server) => match read {
                    Ok(read) if read > 0 => {
                        let flags = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
                        let (status, taken, made) =
                            decompress(&mut machine, &from_server[..read], &mut inflated, at, flags);
                        assert_eq!(taken, read, "{status:?}");
                        clear.write_all(&inflated[at..at + made]).await.unwrap();
                        at += made;
                    }
                    _ => return,
                },
            }
        }
    });
    client
}

#[tokio::test]
async fn a_compressed_session_is_a_session() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    assert_eq!(client.tagged("COMPRESS LZW").await, "BAD Unknown compression mechanism, DEFLATE is the only one");
    assert!(client.ok("COMPRESS DEFLATE").await.is_empty());
    let stream = compressed(client.take_stream());
    client.put_stream(Box::new(stream));
    let large =
        b"Subject: large\r\n\r\n".iter().copied().chain((0..3_000_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8 | 1));
    let large: Vec<u8> = large.map(|octet| if octet == b'\r' || octet == b'\n' { b'x' } else { octet }).collect();
    assert!(client.append("INBOX", "", &large).await.starts_with("OK "));
    client.ok("SELECT INBOX").await;
    let fetched = client.ok("FETCH 1 BODY.PEEK[]").await;
    assert!(fetched[0].len() > large.len());
    conversation(
        &mut [&mut client],
        "
        C: a COMPRESS DEFLATE
        S: a BAD [COMPRESSIONACTIVE] Compression is active already
        C: b IDLE
        S: + idling
        C: DONE
        S: b OK IDLE completed
        C: c LOGOUT
        S: * BYE Logging out
        S: c OK LOGOUT completed
    ",
    )
    .await;
}

#[tokio::test]
async fn what_is_no_deflate_ends_the_connection_with_a_word() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    client.ok("COMPRESS DEFLATE").await;
    client.send(b"a NOOP\r\nb NOOP\r\n").await;
    let mut stream = client.take_stream();
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.unwrap();
    let (mut out, flags) = (vec![0; 1000], TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF);
    let (_, _, made) = decompress(&mut Box::new(DecompressorOxide::new()), &raw, &mut out, 0, flags);
    assert_eq!(String::from_utf8_lossy(&out[..made]), "* BYE What came is not compressed with DEFLATE\r\n");
}

#[tokio::test]
async fn unauthenticate_leaves_nothing_of_the_account() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    client.ok("CREATE only-alice").await;
    client.ok("SELECT only-alice").await;
    assert_eq!(*world.house.seats.lock().unwrap(), 1);
    conversation(
        &mut [&mut client],
        "
        C: a UNAUTHENTICATE
        S: a OK Logged out of the account, log in again
        C: b NOOP
        S: b OK NOOP completed
        C: c UNAUTHENTICATE
        S: c BAD Log in first
        C: d FETCH 1 FLAGS
        S: d BAD Log in first
    ",
    )
    .await;
    assert_eq!(*world.house.seats.lock().unwrap(), 0);
    // RFC 8437 §3: AUTHENTICATE may come in the packet of UNAUTHENTICATE.
    client.ok("LOGIN alice secret").await;
    client.send(b"x UNAUTHENTICATE\r\ny LOGIN bob secret\r\n").await;
    assert!(client.finish("y").await[1].starts_with("OK "));
    assert!(client.tagged("SELECT only-alice").await.starts_with("NO [NONEXISTENT]"));
}

#[tokio::test]
async fn unauthenticate_ends_compression_behind_its_line() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    client.ok("COMPRESS DEFLATE").await;
    let mut out = Box::new(CompressorOxide::new(create_comp_flags_from_zip_params(6, -15, 0)));
    let mut raw = vec![0; 1000];
    let (_, _, made) = compress(&mut out, b"a UNAUTHENTICATE\r\n", &mut raw, TDEFLFlush::Sync);
    raw.truncate(made);
    // The flush arrives in two pieces, the second with what follows in the clear.
    let second = raw.split_off(made - 2);
    client.send(&raw).await;
    client.send(&[&second, &b"b LOGIN bob secret\r\nc COMPRESS DEFLATE\r\n"[..]].concat()).await;
    let mut stream = client.take_stream();
    let mut answers = Vec::new();
    while !answers.ends_with(b"c OK Compression begins\r\n") {
        assert!(stream.read_buf(&mut answers).await.unwrap() > 0, "{}", String::from_utf8_lossy(&answers));
    }
    let at = answers.windows(4).position(|octets| octets == [0, 0, 0xff, 0xff]).unwrap() + 4;
    assert!(answers[at..].starts_with(b"b OK [CAPABILITY "));
}

/// In base64.
fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(text)
}

#[tokio::test]
async fn outlook_is_asked_for_its_name_and_password() {
    let world = World::start().await;
    let mut client = world.connect().await;
    conversation(
        &mut [&mut client],
        "
        C: a AUTHENTICATE LOGIN
        S: + VXNlcm5hbWU6
        C: YWxpY2U=
        S: + UGFzc3dvcmQ6
        C: c2VjcmV0
        S: a OK [CAPABILITY …] Logged in
        C: b UNAUTHENTICATE
        S: b OK …
        C: c AUTHENTICATE LOGIN YWxpY2U=
        S: + UGFzc3dvcmQ6
        C: c2VjcmV0
        S: c OK …
    ",
    )
    .await;
}

#[tokio::test]
async fn authentication_can_be_given_up() {
    let world = World::start().await;
    let mut client = world.connect().await;
    conversation(
        &mut [&mut client],
        "
        C: a AUTHENTICATE PLAIN
        S: + …
        C: *
        S: a BAD Authentication cancelled
        C: b AUTHENTICATE LOGIN
        S: + VXNlcm5hbWU6
        C: =
        S: + UGFzc3dvcmQ6
        C: *
        S: b BAD Authentication cancelled
        C: c AUTHENTICATE PLAIN =
        S: c BAD Invalid PLAIN message, it is [authzid] NUL authcid NUL passwd (RFC 4616)
        C: d AUTHENTICATE PLAIN b29wcw!
        S: d BAD Invalid base64
        C: e AUTHENTICATE SCRAM-SHA-256
        S: e NO [CANNOT] Unknown mechanism; PLAIN, LOGIN and OAUTHBEARER are offered
        C: f AUTHENTICATE PLAIN
        S: + …
        C: g LOGOUT
        S: * BYE Logging out
        S: g OK LOGOUT completed
        S: <closed>
    ",
    )
    .await;
}

#[tokio::test]
async fn a_bearer_token_logs_in_and_a_wrong_one_is_told_as_rfc_7628_says() {
    let world = World::start().await;
    let mut client = world.connect().await;
    let message = |token: &str| base64(&format!("n,a=alice,\u{1}auth=Bearer {token}\u{1}\u{1}"));
    client.send(format!("a AUTHENTICATE OAUTHBEARER {}\r\n", message("secret")).as_bytes()).await;
    assert_eq!(client.line().await, format!("+ {}", base64(r#"{"status":"invalid_token"}"#)));
    client.send(b"AQ==\r\n").await;
    assert_eq!(client.line().await, "a NO [AUTHENTICATIONFAILED] Wrong name or password");
    let nameless = base64("n,,\u{1}auth=Bearer token\u{1}\u{1}");
    let tagged = client.tagged(&format!("AUTHENTICATE OAUTHBEARER {nameless}")).await;
    assert_eq!(tagged, "NO [AUTHENTICATIONFAILED] The message has to name the user (a=user@domain)");
    let tagged = client.tagged(&format!("AUTHENTICATE OAUTHBEARER {}", message("token"))).await;
    assert!(tagged.starts_with("OK [CAPABILITY "), "{tagged}");
}

#[tokio::test]
async fn names_are_in_utf_8_once_the_client_asked_for_it() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    // Lines here are Latin-1: `Ã¼` are the two octets of an u umlaut in UTF-8.
    conversation(
        &mut [&mut client],
        "
        C: a CREATE Entw&APw-rfe
        S: a OK [MAILBOXID (F…)] CREATE completed
        C: b CREATE R&-D
        S: b OK [MAILBOXID (F…)] CREATE completed
        C: c CREATE R&D
        S: c NO [CANNOT] Mailbox name is not valid modified UTF-7
        C: d ENABLE UTF8=ACCEPT
        S: * ENABLED UTF8=ACCEPT
        S: d OK ENABLE completed
        C: e LIST \"\" (Entw* R*D)
        S: * LIST (\\HasNoChildren) \"/\" \"EntwÃ¼rfe\"
        S: * LIST (\\HasNoChildren) \"/\" R&D
        S: e OK LIST completed
        C: f STATUS R&D (MESSAGES)
        S: * STATUS R&D (MESSAGES 0)
        S: f OK STATUS completed
        C: h APPEND R&D UTF8 (~{3+}\\r\\na\\r\\n)
        S: h OK [APPENDUID …] APPEND completed
        C: i SUBSCRIBE R&D
        S: i OK …
        C: j LSUB \"\" R&D
        S: * LSUB () \"/\" R&D
        S: j OK LSUB completed
        C: k CREATE R&-D
        S: k OK [MAILBOXID (F…)] CREATE completed
        C: l UNAUTHENTICATE
        S: l OK …
        C: m LOGIN alice secret
        S: m OK …
        C: n LIST \"\" R*
        S: * LIST (\\HasNoChildren) \"/\" R&--D
        S: * LIST (\\HasNoChildren) \"/\" R&-D
        S: * LIST (\\HasNoChildren) \"/\" Requests
        S: n OK LIST completed
    ",
    )
    .await;
    // The lines above go out as UTF-8, which is what the transcript's own characters are.
    client.ok("ENABLE UTF8=ACCEPT").await;
    client.send("o SELECT \"Entwürfe\"\r\n".as_bytes()).await;
    assert!(client.finish("o").await.pop().unwrap().starts_with("OK [READ-WRITE]"));
    client.send("p CREATE \"u\u{308}ber/\"\r\nq STATUS \"über\" (MESSAGES)\r\n".as_bytes()).await;
    assert!(client.finish("p").await[0].starts_with("OK "));
    assert!(client.finish("q").await[1].starts_with("OK "));
}

/// The clock is the test's own from the moment that the client idles: it jumps to whatever comes next.
#[tokio::test]
async fn idle_says_every_two_minutes_that_it_is_still_here_and_ends_after_half_an_hour() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    client.send(b"i IDLE\r\n").await;
    assert_eq!(client.line().await, "+ idling");
    let mut stream = client.take_stream();
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let mut said = String::new();
    // Not by `Client::line`, whose patience would run out first.
    while !said.contains("BYE") {
        let before = said.len();
        let mut octets = [0; 256];
        let read = stream.read(&mut octets).await.unwrap();
        assert_ne!(read, 0, "closed after {said}");
        said.push_str(std::str::from_utf8(&octets[..read]).unwrap());
        if said[before..].contains("Still here") {
            assert_eq!(&said[before..], "* OK Still here\r\n");
            let (count, every) = (said.lines().count() as u64, IDLE_KEEPALIVE.as_secs());
            assert_eq!(began.elapsed().as_secs().next_multiple_of(every), count * every, "one each {every} seconds");
        }
    }
    assert!(said.ends_with("* BYE Connection was idle for too long\r\n"), "{said}");
    assert!(began.elapsed() >= AUTOLOGOUT);
    assert!(said.matches("Still here").count() >= 15, "{said}");
}
