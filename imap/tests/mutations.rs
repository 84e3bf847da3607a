//! Sequences of half-right commands over a socket: every connection answers on, or says BYE.

use crate::support::World;
use lnmp::Place;

const COMMANDS: &[&str] = &[
    "SELECT INBOX",
    "EXAMINE Archive",
    "FETCH 1:* (UID FLAGS ENVELOPE BODY.PEEK[1]<0.9>)",
    "UID FETCH 1:9 BODY[HEADER.FIELDS (Subject)]",
    "STORE 1 +FLAGS (\\Seen $x)",
    "UID SEARCH OR (TEXT a SUBJECT b) NOT 1:* SENTSINCE 1-Jan-2020",
    "UID COPY 1:* Trash",
    "UID MOVE 1 INBOX",
    "APPEND INBOX (\\Draft) {5+}\r\nA: b\n",
    "APPEND INBOX {3+}\r\nabc",
    "APPEND INBOX {5+}\r\nA: b\n (\\Seen) ~{5+}\r\nA: b\n",
    "FETCH 1:* (BINARY.PEEK[1]<0.9> BINARY.SIZE[] BINARY[])",
    "APPEND INBOX CATENATE (TEXT {5+}\r\nA: b\n URL /INBOX/;UID=1/;SECTION=TEXT URL \"/;UID=2\")",
    "UID REPLACE 2 INBOX {5+}\r\nA: b\n",
    "LIST (SUBSCRIBED) \"\" (* %) RETURN (STATUS (MESSAGES))",
    "LSUB \"\" %",
    "CREATE a/b",
    "RENAME a b/c",
    "DELETE a",
    "STATUS INBOX (UNSEEN RECENT)",
    "IDLE\r\nDONE",
    "EXPUNGE",
    "CLOSE",
    "UNSELECT",
    "ID NIL",
    "NOOP",
];

/// Octets that mean something to the grammar.
const ODD: &[u8] = b" (){}[]<>\"\\*%,:.+\0\xff01aZ";

struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_the_connection_answers_on_or_says_bye() {
    let world = World::start().await;
    for _ in 0..3 {
        world.deliver("alice", Place::Inbox, b"Subject: a\r\n\r\nbody\r\n").await;
    }
    let mut chance = Chance(11);
    let mut survived = 0;
    for round in 0..60 {
        let mut client = world.login("alice").await;
        let mut octets = Vec::new();
        for number in 0..30 {
            let mut line = format!("x{number} {}", COMMANDS[chance.below(COMMANDS.len())]).into_bytes();
            if chance.below(3) == 0 {
                let at = chance.below(line.len());
                match chance.below(3) {
                    0 => line[at] = ODD[chance.below(ODD.len())],
                    1 => drop(line.remove(at)),
                    _ => line.truncate(at + 1),
                }
            }
            octets.extend_from_slice(&line);
            octets.extend_from_slice(b"\r\n");
        }
        // Whatever a broken literal or IDLE swallowed, these bring the dialogue back.
        octets.extend_from_slice(b"DONE\r\nend1 NOOP\r\nDONE\r\nend2 NOOP\r\n");
        client.send(&octets).await;
        loop {
            let line = client.line().await;
            assert_ne!(line, "<closed>", "round {round}: closed without a word");
            if line.starts_with("* BYE ") {
                break;
            }
            if line.starts_with("end2 ") {
                survived += 1;
                break;
            }
            if line.starts_with('+') && !line.starts_with("+ idling") {
                // A synchronising literal came of a mutation: give it what it waits for.
                client.send(&b"x\r\n".repeat(40)).await;
            }
        }
    }
    assert!(survived > 20, "only {survived} dialogues came through");
    assert!(world.login("alice").await.tagged("SELECT INBOX").await.starts_with("OK"));
}
