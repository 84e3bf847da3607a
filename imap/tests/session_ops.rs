//! Sessions that do anything, in any state and order: octets choose the commands. Nothing may panic, stall, or go
//! unanswered.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use lnmp::Place;
use support::World;
use tokio::io::AsyncWriteExt as _;

/// What a session may say; `#` becomes a number, `@` a mailbox, `?` a flag.
const COMMANDS: &[&str] = &[
    "NOOP",
    "CHECK",
    "CAPABILITY",
    "NAMESPACE",
    "LOGIN alice secret",
    "LOGIN alice wrong",
    "AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==",
    "AUTHENTICATE LOGIN =\r\n*",
    "UNAUTHENTICATE",
    "ENABLE CONDSTORE QRESYNC UTF8=ACCEPT IMAP4rev2",
    "ENABLE UIDONLY",
    "SELECT @",
    "SELECT @ (CONDSTORE)",
    "EXAMINE @",
    "CLOSE",
    "UNSELECT",
    "CREATE @",
    "CREATE @/below",
    "DELETE @",
    "RENAME @ @",
    "SUBSCRIBE @",
    "UNSUBSCRIBE @",
    "LIST \"\" *",
    "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (% @) RETURN (CHILDREN STATUS (MESSAGES UNSEEN))",
    "XLIST \"\" %",
    "LSUB \"\" *",
    "STATUS @ (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)",
    "APPEND @ (?) {10+}\r\nSubject: x",
    "APPEND @ {0+}\r\n",
    "FETCH # (UID FLAGS ENVELOPE)",
    "FETCH #:* (BODY.PEEK[HEADER] BODYSTRUCTURE)",
    "UID FETCH #:# BODY[]",
    "STORE #:# +FLAGS (?)",
    "UID STORE #:* -FLAGS.SILENT (?)",
    "SEARCH OR ? NOT ?",
    "UID SEARCH #:* SUBJECT x",
    "COPY # @",
    "UID COPY #:* @",
    "MOVE # @",
    "UID MOVE # @",
    "EXPUNGE",
    "UID EXPUNGE #:*",
    "IDLE\r\nDONE",
    "ID NIL",
    "COMPRESS LZW",
    "FROBNICATE {3+}\r\nabc",
    "",
];
const MAILBOXES: &[&str] = &["INBOX", "a", "a/below", "&AOQ-", "Trash", "\"b c\"", "Requests", "\"\"", "&"];
const FLAGS: &[&str] = &["\\Seen", "\\Deleted", "$One", "\\Flagged", "\\Nonsense", "SEEN", "DELETED"];

/// The commands that `data` chooses: an octet for each, and one for each blank in it.
fn commands(data: &[u8]) -> Vec<String> {
    let mut octets = data.iter().map(|&octet| usize::from(octet));
    let mut commands = Vec::new();
    while let Some(choice) = octets.next() {
        let mut command = String::new();
        for character in COMMANDS[choice % COMMANDS.len()].chars() {
            match character {
                '#' => command.push_str(&(octets.next().unwrap_or(1) % 7).to_string()),
                '@' => command.push_str(MAILBOXES[octets.next().unwrap_or(0) % MAILBOXES.len()]),
                '?' => command.push_str(FLAGS[octets.next().unwrap_or(0) % FLAGS.len()]),
                other => command.push(other),
            }
        }
        commands.push(command);
    }
    commands
}

/// One session that says what `data` chooses, all at once or one by one, and then LOGOUT.
async fn session_ops(world: &World, data: &[u8]) {
    let Some((&mode, data)) = data.split_first() else { return };
    let commands = commands(data);
    let mut client = if mode % 4 == 0 { world.connect().await } else { world.login("alice").await };
    let mut waiting = Vec::new();
    for (number, command) in commands.iter().enumerate() {
        let tag = format!("o{number}");
        say(&mut client, &format!("{tag} {command}\r\n")).await;
        waiting.push(tag);
        if mode % 2 == 0 {
            continue;
        }
        if !answered(&mut client, &mut waiting, &commands).await {
            return;
        }
    }
    say(&mut client, "end LOGOUT\r\n").await;
    waiting.push("end".into());
    answered(&mut client, &mut waiting, &commands).await;
}

/// Sends, unless the server has closed already.
async fn say(client: &mut support::Client, text: &str) {
    let mut stream = client.take_stream();
    let _ = stream.write_all(text.as_bytes()).await;
    client.put_stream(stream);
}

/// Reads until the last of `waiting` is answered, in order; `false` when the server said goodbye before.
async fn answered(client: &mut support::Client, waiting: &mut Vec<String>, commands: &[String]) -> bool {
    let mut said_bye = false;
    let mut left = waiting.drain(..).collect::<std::collections::VecDeque<_>>();
    while let Some(tag) = left.front() {
        let line = client.line().await;
        if line == "<closed>" {
            assert!(said_bye, "closed without a word, {tag} not answered: {commands:?}");
            return false;
        }
        said_bye |= line.starts_with("* BYE ");
        if let Some(at) = left.iter().position(|tag| line.starts_with(&format!("{tag} "))) {
            assert_eq!(at, 0, "{tag} was passed over: {commands:?}");
            left.pop_front();
        }
    }
    true
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[tokio::test]
async fn whatever_a_session_does_it_is_answered() {
    static PANICKED: AtomicBool = AtomicBool::new(false);
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICKED.store(true, Ordering::Relaxed);
        told(info);
    }));
    let world = World::start().await;
    world.deliver_many("alice", Place::Inbox, &[&b"Subject: a\r\n\r\nx\r\n"[..]; 5]).await;
    let mut chance = Chance(1);
    for _ in 0..60 {
        let length = 5 + chance.next() % 60;
        let data: Vec<u8> = (0..length).map(|_| (chance.next() >> 24) as u8).collect();
        session_ops(&world, &data).await;
    }
    assert!(!PANICKED.load(Ordering::Relaxed), "a task of the server panicked");
}

#[tokio::test]
async fn no_answer_is_without_text_or_ends_in_a_space() {
    for (line, fault) in [
        ("a OK ", Some("a space at the end")),
        ("* SEARCH ", Some("a space at the end")),
        ("* OK", Some("no text")),
        ("a NO [TRYCREATE]", Some("no text")),
        ("* BYE", Some("no text")),
        ("+", Some("no space after +")),
        ("", Some("a response of one word")),
        ("+ ", None),
        ("* SEARCH", None),
        ("a OK [COPYUID 1 1 1] Done", None),
    ] {
        assert_eq!(support::fault_of(line), fault, "{line}");
    }
    let world = World::start().await;
    world.deliver_many("alice", Place::Inbox, &[&b"Subject: a\r\n\r\nx\r\n"[..]; 5]).await;
    // Every command by itself, with and without a mailbox; `Client::line` looks at all that is said.
    for select in [&[][..], &[u8::try_from(COMMANDS.iter().position(|&it| it == "SELECT @").unwrap()).unwrap(), 0]] {
        for choice in 0..u8::try_from(COMMANDS.len()).unwrap() {
            let mut data = vec![1];
            data.extend_from_slice(select);
            data.extend_from_slice(&[choice, 1, 2, 1]);
            session_ops(&world, &data).await;
        }
    }
}
