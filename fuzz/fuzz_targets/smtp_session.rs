//! Whatever a peer says: the replies are whole lines with codes, and the same however the octets arrive.
#![no_main]

#[path = "../../smtp/tests/support/dialogue.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod dialogue;

use dialogue::Dialogue;
use libfuzzer_sys::fuzz_target;
use smtp::Kind;

fuzz_target!(|data: &[u8]| {
    let Some((&kind, octets)) = data.split_first() else { return };
    let whole = play(kind, octets, usize::MAX);
    // What is pipelined behind STARTTLS is dropped, so that it matters what comes with it.
    if !octets.windows(8).any(|some| some.eq_ignore_ascii_case(b"STARTTLS")) {
        assert_eq!(whole, play(kind, octets, usize::from(kind / 2) + 1));
    }
});

/// All replies, and what was delivered.
fn play(kind: u8, octets: &[u8], step: usize) -> (String, Vec<String>) {
    let kind = if kind % 2 == 0 { Kind::Mx } else { Kind::Submission };
    let mut talk = Dialogue::from("127.0.0.1:4000", kind, |_| ());
    let mut replies = talk.send(b"");
    for piece in octets.chunks(step) {
        replies += &talk.send(piece);
    }
    for line in replies.split_inclusive("\r\n") {
        let code = line.len() > 4 && line.as_bytes()[..3].iter().all(u8::is_ascii_digit);
        let text = line.strip_suffix("\r\n").filter(|text| !text.contains(['\r', '\n']));
        assert!(code && text.is_some() && matches!(line.as_bytes()[3], b' ' | b'-'), "{line:?}");
    }
    (replies, talk.delivered.into_iter().map(|(_, content)| content).collect())
}
