//! Every reply has a code, an enhanced code of the registry, and a text for people. RFC 2034, RFC 5248.
//!
//! Conversations that reach every reply the session writes; and the source itself is read, so that a reply which no
//! conversation reaches has to be well-formed, too.

use crate::support::dialogue::Dialogue;
use smtp::{Kind, Refusal};

/// Subject and detail of the codes we may use: the registry that RFC 5248 opened, as far as we need it.
const REGISTERED: &[(u16, u16)] = &[
    (0, 0),
    (1, 0),
    (1, 1),
    (1, 3),
    (1, 5),
    (1, 6),
    (1, 7),
    (2, 2),
    (3, 0),
    (3, 1),
    (3, 2),
    (3, 4),
    (4, 2),
    (4, 6),
    (5, 1),
    (5, 2),
    (5, 3),
    (5, 4),
    (6, 0),
    (6, 7),
    (6, 11),
    (7, 0),
    (7, 1),
    (7, 8),
    (7, 10),
    (7, 11),
];

/// A reply line: code, mark, and what is behind it. `plain` ones carry no enhanced code (RFC 2034 §3).
fn assert_well_formed(line: &str) {
    let (code, rest) = line.split_at(3);
    let code: u16 = code.parse().unwrap_or_else(|_| panic!("{line:?}"));
    assert!(rest.starts_with([' ', '-']), "{line:?}");
    assert!(!line.ends_with(' ') || code == 334, "a space at the end: {line:?}");
    let text = &rest[1..];
    // RFC 2034 §4: 2xx, 4xx and 5xx have one, but for the greeting and EHLO; 3xx have none.
    if code / 100 == 3 || code == 220 && text.ends_with("ESMTP Satchel") || code == 250 && !text.starts_with("2.") {
        return;
    }
    let (enhanced, words) = text.split_once(' ').unwrap_or_else(|| panic!("no text: {line:?}"));
    let parts: Vec<u16> = enhanced.split('.').map(|part| part.parse().unwrap_or_else(|_| panic!("{line:?}"))).collect();
    let [class, subject, detail] = parts[..] else { panic!("{line:?}") };
    assert_eq!(class, code / 100, "the class is the code's first digit: {line:?}");
    assert!(REGISTERED.contains(&(subject, detail)), "X.{subject}.{detail} is not in the list: {line:?}");
    assert!(words.split_whitespace().count() > usize::from(code >= 300), "too few words for a person: {line:?}");
    assert!(words.is_ascii(), "{line:?}");
}

#[test]
fn every_conversation_is_answered_in_full() {
    let content = b"BDAT 3 LAST\r\na\nb";
    let conversations: &[&[&[u8]]] = &[
        &[b"EHLO c\r\n", b"HELO c\r\n", b"EHLO\r\n", b"EHLO <\r\n", b"NOOP\r\n", b"RSET\r\n", b"VRFY x\r\n", b"EXPN x\r\n"],
        &[b"HELP\r\n", b"ETRN x\r\n", b"XYZZY\r\n", b"\xff\r\n", b"DATA\r\n", b"BDAT 0 LAST\r\n", b"RCPT TO:<a@b>\r\n", b"QUIT\r\n"],
        &[b"MAIL FROM:<a@b>\r\n", b"EHLO c\r\n", b"MAIL\r\n", b"MAIL FROM:x\r\n", b"MAIL FROM:<x>\r\n", b"MAIL FROM:<a@b> X=Y\r\n"],
        &[b"EHLO c\r\nMAIL FROM:<a@full.test>\r\nMAIL FROM:<a@b> SIZE=99999999999\r\nMAIL FROM:<a@b> RET=X\r\n"],
        &["EHLO c\r\nMAIL FROM:<ö@b>\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\nRCPT\r\nRCPT TO:<x>\r\n".as_bytes()],
        &[b"EHLO c\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<alice@b>\r\nDATA\r\nMAIL FROM:<a@b>\r\nRSET\r\n"],
        &[b"EHLO c\r\nMAIL FROM:<a@b> REQUIRETLS\r\nMAIL FROM:<a@b>\r\nDATA\r\nRCPT TO:<no@b>\r\nRCPT TO:<later@b>\r\n"],
        &[b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<alice@b> NOTIFY=X\r\nRCPT TO:<alice@b>\r\nDATA\r\nrefuse me\r\n.\r\n"],
        &[b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<alice@b>\r\nDATA\r\na\nb\r\n.\r\n"],
        &[b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<alice@b>\r\nBDAT 1\r\na", b"DATA\r\n", b"BDAT 0 LAST\r\n", b"BDAT x\r\n"],
        &[b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<alice@b>\r\n", content, b"BDAT 99999999999\r\n"],
        &[b"STARTTLS\r\n", b"STARTTLS\r\n", b"EHLO c\r\n", b"AUTH PLAIN\r\n", b"AUTH LOGIN\r\n", b"*\r\n", b"QUIT\r\n"],
        &[b"EHLO c\r\nSTARTTLS\r\nNOOP\r\n"],
        &[b"EHLO c\r\n", b"AUTH X\r\n", b"AUTH PLAIN !\r\n", b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n", b"AUTH PLAIN\r\n"],
        &[b"EHLO c\r\n", b"AUTH LOGIN\r\n", b"YQ==\r\n", b"YQ==\r\n", b"AUTH OAUTHBEARER YQ==\r\n", b"MAIL FROM:<a@b>\r\n"],
        &[b"HELO c\r\n", b"AUTH PLAIN\r\n", b"MAIL FROM:<a@b> HOLDFOR=1 HOLDUNTIL=2030-01-01T00:00:00Z\r\n"],
    ];
    let mut lines = 0;
    for kind in [Kind::Mx, Kind::Submission] {
        for address in ["127.0.0.1:4000", "192.0.2.7:4000"] {
            for conversation in conversations {
                let mut talk = Dialogue::from(address, kind, |_| ());
                let mut replies = talk.send(b"");
                for sent in *conversation {
                    replies += &talk.send(sent);
                }
                replies += &talk.time_out();
                for line in replies.split_terminator("\r\n") {
                    assert_well_formed(line);
                    lines += 1;
                }
            }
        }
    }
    assert!(lines > 400, "{lines} lines are fewer than these conversations have");
}

#[test]
fn every_reply_in_the_source_has_a_registered_code_and_words() {
    let sources = [
        include_str!("../src/session.rs"),
        include_str!("../src/session/command.rs"),
        include_str!("../src/session/login.rs"),
        include_str!("../src/parameters.rs"),
        include_str!("../src/intake.rs"),
        include_str!("../../src/flow/receive.rs"),
        include_str!("../../src/flow/submit.rs"),
    ];
    let mut found = 0;
    for source in sources {
        let flat = source.split_whitespace().collect::<Vec<_>>().join(" ");
        // `550, (5, 7, 1), "..."`, wherever it stands.
        for (at, _) in flat.match_indices(", (") {
            let Some(code) = flat.get(at.wrapping_sub(3)..at).and_then(|code| code.parse::<u16>().ok()) else {
                continue;
            };
            let Some((inside, after)) = flat[at + 3..].split_once(')') else { continue };
            let parts: Vec<u16> = inside.split(", ").filter_map(|part| part.parse().ok()).collect();
            let [class, subject, detail] = parts[..] else { continue };
            assert_eq!(class, code / 100, "{code} ({inside})");
            assert!(REGISTERED.contains(&(subject, detail)), "{code} ({inside}) is not in the list");
            if let Some(text) = after.strip_prefix(", \"").and_then(|text| text.split_once('"')) {
                assert!(text.0.split_whitespace().count() > usize::from(code >= 300), "{code}: {:?}", text.0);
            }
            found += 1;
        }
    }
    assert!(found > 45, "only {found} replies were found: they are written in another way now");
}

#[test]
fn the_refusals_that_hosts_use_are_well_formed() {
    let all = [Refusal::unknown_recipient(), Refusal::try_again(), Refusal::storage_full(), Refusal::separately()];
    for refusal in all {
        let (class, subject, detail) = refusal.enhanced;
        assert_well_formed(&format!("{} {class}.{subject}.{detail} {}", refusal.code, refusal.text));
    }
}
