//! What no sane client sends. Each gets BAD or NO with a text that says why, or an announced end; none stalls, none
//! ends the server.

use crate::support::{Client, World};
use lnmp::Place;

/// Sends octets and reads the answer to `a`.
async fn answer(client: &mut Client, octets: &[u8]) -> String {
    client.send(octets).await;
    client.finish("a").await.pop().unwrap()
}

async fn selected(world: &World) -> Client {
    world.deliver_many("alice", Place::Inbox, &[&b"Subject: a\r\n\r\nx\r\n"[..]; 3]).await;
    let mut client = world.login("alice").await;
    client.ok("SELECT INBOX").await;
    client
}

#[tokio::test]
async fn literals_that_are_none_are_bad() {
    let world = World::start().await;
    let mut client = selected(&world).await;
    for (line, expected) in [
        ("a SELECT {-1}", "BAD "),
        ("a SELECT {}", "BAD "),
        ("a SELECT {1x}", "BAD "),
        ("a SELECT {4294967296}", "BAD [TOOBIG]"),
        ("a SELECT {99999999999999999999999999}", "BAD [TOOBIG]"),
        ("a SELECT {18446744073709551615}", "BAD [TOOBIG]"),
        ("a NOOP {0+}\r\n", "BAD "),
        ("a SEARCH SUBJECT {3+}\r\na\0b", "BAD Strings cannot hold NUL"),
        ("a CREATE {3+}\r\na\0b", "BAD Strings cannot hold NUL"),
        ("a STORE {1+}\r\n1 FLAGS ()", "BAD "),
    ] {
        let said = answer(&mut client, format!("{line}\r\n").as_bytes()).await;
        assert!(said.starts_with(expected) && said.len() > 8, "{line:?}: {said}");
    }
    // Larger than anybody reads past: the only way out is the end.
    client.send(b"a SELECT {99999999999+}\r\n").await;
    assert!(client.line().await.starts_with("* BYE [TOOBIG] "));
    assert_eq!(client.line().await, "<closed>");
}

#[tokio::test]
async fn sets_that_are_none_are_bad_and_absurd_ones_are_read() {
    let world = World::start().await;
    let mut client = selected(&world).await;
    let ones = format!("1{}", ",1".repeat(10_000));
    let too_many = format!("1{}", ",1".repeat(25_000));
    for (set, expected) in [
        ("0", "BAD "),
        ("1:0", "BAD "),
        ("0:*", "BAD "),
        ("-1", "BAD "),
        ("1,", "BAD "),
        (",1", "BAD "),
        ("1::2", "BAD "),
        ("4294967296", "BAD "),
        ("99999999999999999999999", "BAD "),
        ("*:*", "OK "),
        ("3:1", "OK "),
        (&ones, "OK "),
        (&too_many, "BAD "),
    ] {
        let said = answer(&mut client, format!("a FETCH {set} FLAGS\r\n").as_bytes()).await;
        assert!(said.starts_with(expected), "{}: {said}", &set[..set.len().min(20)]);
    }
    assert!(answer(&mut client, b"a UID FETCH 4294967295:1 FLAGS\r\n").await.starts_with("OK "));
    assert!(answer(&mut client, b"a UID STORE 4294967295:4294967290 FLAGS ()\r\n").await.starts_with("OK "));
}

#[tokio::test]
async fn too_deep_too_many_and_too_long_are_told_apart() {
    let world = World::start().await;
    let mut client = selected(&world).await;
    let deep = format!("a SEARCH {}ALL{}\r\n", "(".repeat(20_000), ")".repeat(20_000));
    assert!(answer(&mut client, deep.as_bytes()).await.starts_with("BAD "));
    let nots = format!("a SEARCH {}ALL\r\n", "NOT ".repeat(10_000));
    assert!(answer(&mut client, nots.as_bytes()).await.starts_with("BAD "));
    let keywords: Vec<String> = (0..10_000).map(|n| format!("k{n}")).collect();
    let said = answer(&mut client, format!("a STORE 1 +FLAGS ({})\r\n", keywords.join(" ")).as_bytes()).await;
    assert_eq!(said, "BAD Too many flags");
    let said = answer(&mut client, format!("a STORE 1 +FLAGS ({})\r\n", "k".repeat(300)).as_bytes()).await;
    assert_eq!(said, "BAD Keyword is too long");
    let megabyte = [b"a NOOP ".to_vec(), vec![b'x'; 1_000_000], b"\r\n".to_vec()].concat();
    assert_eq!(answer(&mut client, &megabyte).await, "BAD [TOOBIG] Command line is too long");
    assert!(answer(&mut client, b"a NOOP\r\n").await.starts_with("OK "));
    // A line without an end has one here.
    client.send(b"a NOOP ").await;
    let mut stream = client.take_stream();
    let endless = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut read, mut write) = tokio::io::split(&mut stream);
        let sender = async { while write.write_all(&[b'x'; 65_536]).await.is_ok() {} };
        let reader = async {
            let mut said = Vec::new();
            // A reset may follow the last words, because we go on sending.
            while read.read_buf(&mut said).await.unwrap_or(0) > 0 {}
            said
        };
        tokio::join!(sender, reader).1
    });
    let said = tokio::time::timeout(std::time::Duration::from_secs(20), endless).await.unwrap().unwrap();
    assert!(said.starts_with(b"* BYE [TOOBIG] "), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn octets_that_mean_nothing_are_bad() {
    let world = World::start().await;
    let mut client = selected(&world).await;
    for line in [
        &b"a \0\r\n"[..],
        b"a NOOP\0\r\n",
        b"a SELECT \"a\0b\"\r\n",
        b"a SELECT \xff\xfe\r\n",
        b"a LIST \"\" \"\xff\"x\r\n",
        b"a FETCH 1 BODY[\r\n",
        b"a FETCH 1 BODY[HEADER.FIELDS (]\r\n",
        b"a FETCH 1 BODY[]<0.0>\r\n",
        b"a FETCH 1 (FLAGS\r\n",
        b"a FETCH 1 ((FLAGS))\r\n",
        b"a STORE 1 FLAGS (\\Nonsense)\r\n",
        b"a STORE 1 FLAGS (\\)\r\n",
        b"a SEARCH BEFORE 99-Zzz-9999\r\n",
        b"a SEARCH CHARSET\r\n",
        b"a APPEND INBOX (\\Seen\r\n",
        b"a ID (\"a\")\r\n",
        b"a STATUS INBOX ()\r\n",
        b"a COPY 1\r\n",
    ] {
        let said = answer(&mut client, line).await;
        assert!(said.starts_with("BAD ") && said.len() > 8, "{:?}: {said}", String::from_utf8_lossy(line));
        assert!(answer(&mut client, b"a NOOP\r\n").await.starts_with("OK "));
    }
}

#[tokio::test]
async fn names_that_cannot_be_are_refused_and_told_why() {
    let world = World::start().await;
    let mut client = world.login("alice").await;
    let long = "x".repeat(1100);
    let deep = "x/".repeat(40) + "x";
    for (name, expected) in [
        ("&AP", "NO [CANNOT] Mailbox name is not valid modified UTF-7"),
        ("&-&A", "NO [CANNOT] Mailbox name is not valid modified UTF-7"),
        ("\"&2D0-\"", "NO [CANNOT] Mailbox name is not valid modified UTF-7"),
        ("a//b", "NO [CANNOT] Mailbox name is empty or has an empty level"),
        ("/a", "NO [CANNOT] Mailbox name is empty or has an empty level"),
        ("\"\"", "NO [CANNOT] Mailbox name is empty or has an empty level"),
        ("/", "NO [CANNOT] Mailbox name is empty or has an empty level"),
        ("\"a\tb\"", "NO [CANNOT] Mailbox name has a control character"),
        (&long, "NO [CANNOT] Mailbox name is too long or too deep"),
        (&deep, "NO [CANNOT] Mailbox name is too long or too deep"),
    ] {
        assert_eq!(client.tagged(&format!("CREATE {name}")).await, expected, "{name}");
    }
    let wild = format!("LIST \"\" \"{}\"", "*a".repeat(500));
    // RFC 5258 §3: a pattern that is not accepted names nothing, and that is no error.
    let passed_over = "OK LIST completed; patterns too long or with too many wildcards are passed over";
    assert_eq!(client.command(&wild).await, [passed_over]);
    let patterns = format!("LIST \"\" ({})", "a ".repeat(500));
    assert_eq!(client.tagged(&patterns).await, "BAD Too many patterns");
}

#[tokio::test]
async fn a_thousand_commands_in_one_packet_are_answered_in_order() {
    let world = World::start().await;
    let mut client = selected(&world).await;
    let mut packet = String::new();
    for n in 0..1000 {
        let command =
            ["NOOP", "FETCH 1:3 (UID FLAGS)", "SEARCH ALL", "STATUS INBOX (MESSAGES)", "STORE 1 +FLAGS (\\Seen)"];
        packet.push_str(&format!("p{n} {}\r\n", command[n % 5]));
    }
    client.send(packet.as_bytes()).await;
    for n in 0..1000 {
        let lines = client.finish(&format!("p{n}")).await;
        assert!(lines.last().unwrap().starts_with("OK "), "{lines:?}");
    }
}

#[tokio::test]
async fn who_reads_nothing_costs_nobody_else() {
    let world = World::start().await;
    let body = vec![b'x'; 200_000];
    let mail = [b"Subject: large\r\n\r\n", &body[..]].concat();
    world.deliver_many("alice", Place::Inbox, &[&mail[..]; 8]).await;
    let mut deaf = world.login("alice").await;
    deaf.ok("SELECT INBOX").await;
    // Some 160 MB that nobody takes.
    deaf.send("x FETCH 1:* BODY.PEEK[]\r\n".repeat(100).as_bytes()).await;
    let mut other = world.login("alice").await;
    for _ in 0..20 {
        other.ok("SELECT INBOX").await;
        assert_eq!(other.ok("FETCH 1 BODY.PEEK[HEADER]").await.len(), 1);
    }
    // Nor does it keep the server from ending.
    world.stop.send_replace(true);
    assert_eq!(other.line().await, "* BYE Server is shutting down");
}

#[tokio::test]
async fn one_octet_at_a_time_is_a_command_too() {
    let world = World::start().await;
    let mut client = selected(&world).await;
    for &octet in b"a FETCH 1 (UID {5+}\r\n" {
        client.send(&[octet]).await;
    }
    assert!(answer(&mut client, b"FLAGS)\r\n").await.starts_with("BAD "));
    for &octet in b"a FETCH 1 UID\r" {
        client.send(&[octet]).await;
    }
    assert!(answer(&mut client, b"\n").await.starts_with("OK "));
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_by_every_command_that_takes_one() {
    let world = World::start().await;
    let mut client = selected(&world).await;
    let commands = [
        "CREATE @",
        "DELETE @",
        "RENAME @ x",
        "RENAME Sent @",
        "SUBSCRIBE @",
        "UNSUBSCRIBE @",
        "STATUS @ (MESSAGES)",
        "COPY 1 @",
        "UID MOVE 1 @",
        "APPEND @ {3+}\r\na:b",
        "REPLACE 1 @ {3+}\r\na:b",
        "GETQUOTAROOT @",
        "GETQUOTA @",
        "GETMETADATA @ /private/comment",
        "SETMETADATA @ (/private/comment NIL)",
        "MYRIGHTS @",
        "GETACL @",
        "SETACL @ bob l",
        "DELETEACL @ bob",
        "LISTRIGHTS @ bob",
        "EXAMINE @",
        "SELECT @",
    ];
    let literal = "{3+}\r\n&A\u{ff}";
    for (spelling, names) in [
        ("X-NONE", &["&A-", "\"&\"", "&2D3-", "\"&AAA-\"", literal][..]),
        ("IMAP4rev2", &["{2+}\r\n\u{ff}x", "\"a/\u{c2}\u{85}\""][..]),
    ] {
        client.ok(&format!("ENABLE {spelling}")).await;
        for name in names {
            for command in commands {
                let octets: Vec<u8> =
                    format!("a {}\r\n", command.replace('@', name)).chars().map(|c| c as u8).collect();
                let said = answer(&mut client, &octets).await;
                assert!(said.starts_with("NO [CANNOT] Mailbox name "), "{command} {name:?}: {said}");
            }
            // What a pattern names that cannot be is not there.
            for command in ["LIST \"\" @", "LSUB \"\" @", "LIST (SUBSCRIBED) @ (@ @)", "ESEARCH IN (mailboxes @) ALL"] {
                let octets: Vec<u8> =
                    format!("a {}\r\n", command.replace('@', name)).chars().map(|c| c as u8).collect();
                let said = answer(&mut client, &octets).await;
                assert!(said.starts_with("OK "), "{command} {name:?}: {said}");
            }
            client.ok("SELECT INBOX").await;
        }
    }
}

#[tokio::test]
async fn nothing_is_too_deep_or_too_much_for_a_clear_answer() {
    let world = World::start().await;
    let mut client = selected(&world).await;
    let many = |word: &str, count: usize| vec![word; count].join(" ");
    let (open, close) = ("(".repeat(20_000), ")".repeat(20_000));
    let path = vec!["1"; 20_000].join(".");
    let large = "x".repeat(60_000);
    for command in [
        format!("SEARCH {}ALL", "OR ALL ".repeat(8_000)),
        format!("SEARCH {open}"),
        format!("SORT {open}{close} UTF-8 ALL"),
        format!("SORT ({}) UTF-8 ALL", many("REVERSE DATE", 4_000)),
        format!("THREAD REFERENCES UTF-8 {open}ALL{close}"),
        format!("LIST {open}{close} \"\" *"),
        format!("LIST \"\" {open}{close}"),
        format!("LIST \"\" * RETURN {open}{close}"),
        format!("LIST ({}) \"\" *", many("SUBSCRIBED", 5_000)),
        format!("LIST \"\" * RETURN (STATUS ({}))", many("MESSAGES", 5_000)),
        format!("LIST \"\" * RETURN (METADATA ({}))", many("/private/a", 5_000)),
        format!("STATUS INBOX ({})", many("MESSAGES", 5_000)),
        format!("FETCH 1 {open}FLAGS{close}"),
        format!("FETCH 1 ({})", many("FLAGS", 10_000)),
        format!("FETCH 1 BODY[{path}]"),
        format!("FETCH 1 BINARY.SIZE[{path}]"),
        format!("FETCH 1 BODY[HEADER.FIELDS ({})]", many("a", 20_000)),
        format!("STORE 1 FLAGS {open}\\Seen{close}"),
        format!("STORE 1 FLAGS {}", many("k", 20_000)),
        format!("STORE 1 +FLAGS ({large})"),
        format!("APPEND INBOX ({}) {{3+}}\r\na:b", many("k", 20_000)),
        format!("APPEND INBOX CATENATE ({})", many("URL x", 8_000)),
        format!("APPEND INBOX CATENATE {open}"),
        format!("ID {open}"),
        format!("ID ({})", many("\"a\" \"b\"", 5_000)),
        format!("ENABLE {}", many("X", 20_000)),
        format!("SELECT INBOX {open}{close}"),
        format!("SELECT INBOX (QRESYNC {open}1 1{close})"),
        format!("CREATE x (USE ({}))", many("\\Sent", 5_000)),
        format!("GETMETADATA INBOX ({})", many("/private/a", 5_000)),
        format!("SETMETADATA INBOX ({})", many("/private/a NIL", 3_000)),
        format!("SETQUOTA \"\" ({})", many("STORAGE 1", 5_000)),
        format!("ESEARCH IN ({}) ALL", many("selected", 5_000)),
        format!("ESEARCH IN (mailboxes {open}) ALL"),
        format!("SEARCH RETURN ({}) ALL", many("MIN", 10_000)),
        format!("UID FETCH 1 FLAGS {open}"),
        format!("CANCELUPDATE {}", many("\"x\"", 15_000)),
        large.clone(),
        format!("UID {large}"),
        format!("LOGIN {large} x"),
        format!("AUTHENTICATE {large}"),
        "SEARCH LARGER 99999999999999999999".to_owned(),
        "FETCH 1 BODY[]<99999999999999999999.1>".to_owned(),
        "UID FETCH 1 FLAGS (CHANGEDSINCE 99999999999999999999)".to_owned(),
        "UID FETCH 1 FLAGS (PARTIAL 1:99999999999)".to_owned(),
        "SETQUOTA \"\" (STORAGE 99999999999999999999)".to_owned(),
    ] {
        let began = std::time::Instant::now();
        let said = answer(&mut client, format!("a {command}\r\n").as_bytes()).await;
        let (word, text) = said.split_once(' ').unwrap();
        assert!(matches!(word, "BAD" | "NO"), "{command:.60}: {said:.100}");
        assert!(
            text.len() > 8 && text.len() < 200 && !text.contains("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
            "{text:.200}"
        );
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{command:.60} took {:?}", began.elapsed());
        assert!(answer(&mut client, b"a NOOP\r\n").await.starts_with("OK "), "after {command:.60}");
    }
    // Twenty in a row, and the end is announced.
    for _ in 0..19 {
        assert!(answer(&mut client, b"a FROBNICATE\r\n").await.starts_with("BAD "));
    }
    client.send(b"a FROBNICATE\r\n").await;
    assert!(client.line().await.starts_with("a BAD "));
    assert_eq!(client.line().await, "* BYE Too many invalid commands");
    assert_eq!(client.line().await, "<closed>");
}
