//! Sessions that do anything, in any state and order. Nothing may panic, stall, or go unanswered.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::World;
use crate::support::ops::{COMMANDS, session_ops};
use lnmp::Place;

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
        session_ops(world.connect().await, &data).await;
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
        assert_eq!(crate::support::fault_of(line), fault, "{line}");
    }
    let world = World::start().await;
    world.deliver_many("alice", Place::Inbox, &[&b"Subject: a\r\n\r\nx\r\n"[..]; 5]).await;
    // Every command by itself, with and without a mailbox; `Client::line` looks at all that is said.
    for select in [&[][..], &[u8::try_from(COMMANDS.iter().position(|&it| it == "SELECT @").unwrap()).unwrap(), 0]] {
        for choice in 0..u8::try_from(COMMANDS.len()).unwrap() {
            let mut data = vec![1];
            data.extend_from_slice(select);
            data.extend_from_slice(&[choice, 1, 2, 1]);
            session_ops(world.connect().await, &data).await;
        }
    }
}
