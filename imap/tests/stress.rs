//! Many sessions in one mailbox at once, each keeping the books a client keeps. What imaptest's stress run judges.

use std::collections::{BTreeMap, HashMap};

use crate::support::{Client, World};

/// SplitMix64.
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

/// What a client knows of its mailbox: a UID for each number, where it has learned it.
struct Books {
    client: Client,
    uids: Vec<Option<u32>>,
    recent: Vec<u32>,
    last: Vec<String>,
}

impl Books {
    async fn open(world: &World) -> Self {
        let mut books =
            Self { client: world.login("alice").await, uids: Vec::new(), recent: Vec::new(), last: Vec::new() };
        books.run("SELECT INBOX").await;
        books
    }

    /// Runs a command and holds every response against the books.
    async fn run(&mut self, command: &str) -> String {
        let lines = self.client.command(command).await;
        self.absorb(command, lines)
    }

    fn absorb(&mut self, command: &str, mut lines: Vec<String>) -> String {
        let tagged = lines.pop().unwrap();
        self.last.push(command.to_owned());
        let may_expunge = !["FETCH", "STORE", "SEARCH"].iter().any(|word| command.starts_with(word));
        for line in lines {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            let Some(number) = words.get(1).and_then(|word| word.parse::<usize>().ok()) else { continue };
            match words[2] {
                "EXISTS" => {
                    assert!(number >= self.uids.len(), "EXISTS shrank: {line} after {:?}", self.last);
                    self.uids.resize(number, None);
                }
                "EXPUNGE" => {
                    assert!(may_expunge, "{line} while answering {command}");
                    assert!((1..=self.uids.len()).contains(&number), "{line} of {}", self.uids.len());
                    self.uids.remove(number - 1);
                }
                "FETCH" => {
                    assert!((1..=self.uids.len()).contains(&number), "{line} of {}", self.uids.len());
                    let rest = words[3];
                    if let Some(uid) = rest.split("UID ").nth(1) {
                        let uid: u32 = uid.split([' ', ')']).next().unwrap().parse().unwrap();
                        let known = &mut self.uids[number - 1];
                        assert!(known.is_none_or(|known| known == uid), "{line}, was {known:?}, after {:?}", self.last);
                        *known = Some(uid);
                        if rest.contains("\\Recent") {
                            self.recent.push(uid);
                        }
                    }
                }
                _ => {}
            }
        }
        let known: Vec<u32> = self.uids.iter().flatten().copied().collect();
        assert!(known.is_sorted_by(|a, b| a < b), "UIDs out of order");
        if !tagged.starts_with("OK") {
            assert!(
                tagged.starts_with("NO [EXPUNGEISSUED]") || tagged.starts_with("BAD Message number"),
                "{command}: {tagged}"
            );
        }
        tagged
    }

    async fn act(&mut self, chance: &mut Chance) {
        let count = self.uids.len().max(1);
        let (a, b) = (1 + chance.below(count), 1 + chance.below(count));
        let flag = ["\\Seen", "\\Flagged", "$One", "$Two", "\\Deleted"][chance.below(5)];
        let sign = ["+", "-", ""][chance.below(3)];
        let silent = ["", ".SILENT"][chance.below(2)];
        match chance.below(11) {
            0 | 1 => {
                let message = format!("Subject: {a}\r\n\r\nx\r\n");
                let lines = self.client.append_lines("INBOX", "($One) ", message.as_bytes()).await;
                self.absorb("APPEND", lines);
            }
            2 if self.uids.is_empty() => {}
            2 => drop(self.run(&format!("STORE {a}:{b} {sign}FLAGS{silent} ({flag})")).await),
            3 => drop(self.run(&format!("UID STORE {a}:{b} {sign}FLAGS{silent} ({flag})")).await),
            4 if self.uids.is_empty() => {}
            4 => drop(self.run(&format!("FETCH {a}:{b} (UID FLAGS)")).await),
            5 => drop(self.run("UID FETCH 1:* (FLAGS BODY.PEEK[])").await),
            6 => drop(self.run("SEARCH OR KEYWORD $One SUBJECT 1").await),
            7 => drop(self.run("EXPUNGE").await),
            8 => drop(self.run(&format!("UID COPY {a} INBOX")).await),
            9 => drop(self.run(&format!("UID MOVE {b} INBOX")).await),
            _ => drop(self.run("NOOP").await),
        }
    }

    /// Uid and flags of every message, `\Recent` left out.
    async fn state(&mut self) -> BTreeMap<u32, String> {
        self.run("NOOP").await;
        let lines = self.client.ok("FETCH 1:* (UID FLAGS)").await;
        let parse = |line: &String| {
            let (uid, flags) = line.split_once("UID ").unwrap().1.split_once(" FLAGS ").unwrap();
            let mut flags: Vec<&str> =
                flags.trim_matches(['(', ')']).split(' ').filter(|flag| *flag != "\\Recent").collect();
            flags.sort_unstable();
            (uid.parse().unwrap(), flags.join(" "))
        };
        lines.iter().map(parse).collect()
    }
}

/// What a client with QRESYNC wrote down before it left: UIDs with their flags, as of a modification sequence.
struct Away {
    validity: u64,
    modseq: u64,
    known: BTreeMap<u32, String>,
}

fn number(line: &str, what: &str) -> Option<u64> {
    let rest = line.split_once(what)?.1;
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

/// UID and flags of a FETCH line, `\\Recent` left out.
fn uid_and_flags(line: &str) -> Option<(u32, String)> {
    let uid = u32::try_from(number(line, "UID ")?).ok()?;
    let flags = line.split_once("FLAGS (")?.1.split_once(')')?.0;
    let mut flags: Vec<&str> = flags.split(' ').filter(|flag| *flag != "\\Recent").collect();
    flags.sort_unstable();
    Some((uid, flags.join(" ")))
}

impl Away {
    /// Looks on for a while and keeps the books by VANISHED, FETCH and HIGHESTMODSEQ as RFC 7162 §6 says.
    async fn leave_amid(world: std::sync::Arc<World>, seed: u64) -> Self {
        let mut client = world.login("alice").await;
        client.ok("ENABLE QRESYNC").await;
        let mut away = Self { validity: 0, modseq: 0, known: BTreeMap::new() };
        let selected = client.ok("EXAMINE INBOX").await;
        away.absorb(&selected);
        let mut lines = client.command("UID FETCH 1:* (FLAGS)").await;
        away.absorb(&lines);
        while lines.iter().any(|line| line.ends_with(" EXISTS")) {
            lines = client.command("UID FETCH 1:* (FLAGS)").await;
            away.absorb(&lines);
        }
        let mut chance = Chance(100 + seed);
        for _ in 0..10 + chance.below(20) {
            let mut command = ["NOOP", "FETCH 1:* (UID)", "UID FETCH 1:* (FLAGS)", "SEARCH ALL"][chance.below(4)];
            loop {
                let lines = client.command(command).await;
                away.absorb(&lines);
                if !lines.iter().any(|line| line.ends_with(" EXISTS")) {
                    break;
                }
                // What is new has to be asked for: EXISTS alone says nothing of it.
                command = "UID FETCH 1:* (FLAGS)";
            }
        }
        away
    }

    fn absorb(&mut self, lines: &[String]) {
        let mut seen = None;
        let mut said = None;
        for line in lines {
            self.validity = number(line, "[UIDVALIDITY ").unwrap_or(self.validity);
            said = number(line, "[HIGHESTMODSEQ ").or(said);
            seen = seen.max(number(line, "MODSEQ ("));
            if let Some(set) = line.strip_prefix("* VANISHED ") {
                for range in set.trim_start_matches("(EARLIER) ").split(',') {
                    let (low, high) = range.split_once(':').unwrap_or((range, range));
                    for uid in low.parse::<u32>().unwrap()..=high.parse().unwrap() {
                        self.known.remove(&uid);
                    }
                }
            } else if let Some((uid, flags)) = uid_and_flags(line) {
                self.known.insert(uid, flags);
            }
        }
        match (said, seen) {
            (Some(said), _) => self.modseq = said,
            (None, Some(seen)) => self.modseq = self.modseq.max(seen),
            (None, None) => {}
        }
    }

    /// Comes back with QRESYNC, and must know then what is true.
    async fn comes_back(mut self, world: &World, truth: &BTreeMap<u32, String>) {
        let mut client = world.login("alice").await;
        client.ok("ENABLE QRESYNC").await;
        let before = self.modseq;
        let lines = client.ok(&format!("EXAMINE INBOX (QRESYNC ({} {}))", self.validity, self.modseq)).await;
        self.absorb(&lines);
        assert_eq!(&self.known, truth, "after coming back from {before}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_sessions_agree_in_the_end_and_are_told_nothing_wrong_on_the_way() {
    let world = std::sync::Arc::new(World::start().await);
    let mut tasks = Vec::new();
    for seed in 0..6 {
        let world = world.clone();
        tasks.push(tokio::spawn(async move {
            let mut books = Books::open(&world).await;
            let mut chance = Chance(seed);
            for _ in 0..60 {
                books.act(&mut chance).await;
            }
            books
        }));
    }
    let away: Vec<_> = (0..3).map(|seed| tokio::spawn(Away::leave_amid(world.clone(), seed))).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    let first = all[0].state().await;
    for away in away {
        away.await.unwrap().comes_back(&world, &first).await;
    }
    let mut owners: HashMap<u32, usize> = HashMap::new();
    for (number, books) in all.iter_mut().enumerate() {
        assert_eq!(books.state().await, first, "session {number}");
        for &uid in &books.recent {
            let owner = *owners.entry(uid).or_insert(number);
            assert_eq!(owner, number, "UID {uid} was \\Recent to two sessions");
        }
    }
}
