//! Sessions that do anything, in any state and order: octets choose the commands. `fuzz/` chooses the octets, and a
//! test does with a seed.

use tokio::io::AsyncWriteExt as _;

use super::Client;

/// What a session may say; `#` becomes a number, `@` a mailbox, `?` a flag.
pub const COMMANDS: &[&str] = &[
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
    "SELECT @ (QRESYNC (1 1 1:#))",
    "UID FETCH #:* (FLAGS) (CHANGEDSINCE 1 VANISHED)",
    "FETCH # (BINARY.PEEK[1] PREVIEW MODSEQ EMAILID)",
    "FETCH $ (BODY.PEEK[HEADER.FIELDS (Subject)]<0.9>)",
    "STORE #:* (UNCHANGEDSINCE 3) FLAGS (?)",
    "UID SEARCH RETURN (SAVE) ?",
    "SEARCH RETURN (UPDATE CONTEXT ALL COUNT) ?",
    "CANCELUPDATE \"o1\"",
    "ESEARCH IN (selected-delayed mailboxes @) RETURN (COUNT) ?",
    "SORT RETURN (PARTIAL 1:#) (REVERSE DATE SUBJECT) UTF-8 ALL",
    "UID THREAD REFERENCES UTF-8 ALL",
    "REPLACE # @ (?) {10+}\r\nSubject: y",
    "APPEND @ {10+}\r\nSubject: x {10+}\r\nSubject: z",
    "SETMETADATA @ (/private/comment \"x\")",
    "GETMETADATA (DEPTH 1) @ /private",
    "GETQUOTAROOT @",
    "GETACL @",
    "SETACL @ bob +lrs",
    "DELETEACL @ bob",
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

/// One session, after its greeting, that says what `data` chooses, all at once or one by one, and then LOGOUT.
pub async fn session_ops(mut client: Client, data: &[u8]) {
    let Some((&mode, data)) = data.split_first() else { return };
    let commands = commands(data);
    if mode % 4 != 0 {
        client.ok("LOGIN alice secret").await;
    }
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
async fn say(client: &mut Client, text: &str) {
    let mut stream = client.take_stream();
    let _ = stream.write_all(text.as_bytes()).await;
    client.put_stream(stream);
}

/// Reads until the last of `waiting` is answered, in order; `false` when the server said goodbye before.
async fn answered(client: &mut Client, waiting: &mut Vec<String>, commands: &[String]) -> bool {
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
