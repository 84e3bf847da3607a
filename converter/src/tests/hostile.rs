//! Mail made to hurt: each must be read within a time that only a linear reading meets, even unoptimised.

use std::time::{Duration, Instant};

use super::support::{check_summary, round_trip};
use crate::limits::{ADDRESSES_MAX, DEPTH_MAX, PARTS_MAX};
use crate::split::SplitLimits;
use crate::{PartKind, Summary, facts, strip_forged};

/// Octets per mail: large enough for a quadratic reading to take minutes. `examples/measure.rs` does
/// the same with 100 MB, optimised.
const LARGE: usize = if cfg!(debug_assertions) { 1024 * 1024 } else { 16 * 1024 * 1024 };
/// Generous, because other tests run beside it; a linear reading takes a second or two.
const PATIENCE: Duration = Duration::from_secs(15);

/// How many parts the deepest part stands in.
fn depth(summary: &Summary) -> usize {
    let mut open: Vec<u32> = Vec::new();
    let mut deepest = 0;
    for (index, part) in summary.parts.iter().enumerate() {
        open.retain(|&after| after > index as u32);
        open.push(part.after);
        deepest = deepest.max(open.len());
    }
    deepest
}

fn endure(name: &str, message: &[u8]) -> Summary {
    let start = Instant::now();
    let summary = Summary::of(message);
    let rendered = summary.envelope.len() + summary.body.len() + summary.bodystructure.len();
    let split = crate::split(message);
    facts(message);
    strip_forged(message, "mx.test", &|_, _| false);
    let took = start.elapsed();
    println!("{name}: {took:?}, {} parts, {} cuts, {rendered} rendered", summary.parts.len(), split.cuts.len());
    assert!(took < PATIENCE, "{name} took {took:?}");
    assert!(rendered < 24 * 1024 * 1024, "{name} renders {rendered} octets");
    summary
}

fn fill(unit: &str) -> String {
    unit.repeat(LARGE / unit.len())
}

#[test]
fn deep_nesting_ends_at_the_limit() {
    let mut message = String::new();
    for depth in 0..20_000 {
        message.push_str(&format!("Content-Type: multipart/mixed; boundary=b{depth}\r\n\r\n--b{depth}\r\n"));
    }
    let summary = endure("nested multiparts", message.as_bytes());
    assert_eq!(depth(&summary), DEPTH_MAX);
    let summary = endure("nested messages", fill("Content-Type: message/rfc822\n\n").as_bytes());
    assert_eq!((depth(&summary), summary.parts.len()), (DEPTH_MAX, DEPTH_MAX));
    assert!(summary.bodystructure.windows(12).any(|window| window == b"octet-stream"), "the rest is opaque");
    check_summary(message.as_bytes()).unwrap();
}

#[test]
fn many_parts_end_at_the_limit() {
    for (name, unit) in [("empty parts", "--b\n"), ("parts", "--b\r\n\r\nx\r\n"), ("digested", "--b\n\n\nx\n")] {
        let kind = if name == "digested" { "digest" } else { "mixed" };
        let message = format!("Content-Type: multipart/{kind}; boundary=b\r\n\r\n{}", fill(unit));
        let summary = endure(name, message.as_bytes());
        assert!((PARTS_MAX..=PARTS_MAX + 1).contains(&summary.parts.len()), "{}", summary.parts.len());
        let last = summary.parts.iter().rfind(|part| part.kind == PartKind::Leaf).unwrap();
        assert_eq!(last.body.end, summary.size, "the last part has the rest");
        assert_eq!(Summary::decode(&summary.encode()), Ok(summary));
    }
}

#[test]
fn boundaries_that_nearly_match_cost_little() {
    let mut message = String::new();
    let long = "a".repeat(60);
    for depth in 0..DEPTH_MAX {
        message.push_str(&format!("Content-Type: multipart/mixed; boundary={long}{depth:02}\n\n--{long}{depth:02}\n"));
    }
    message.push('\n');
    let head = message.clone();
    message.push_str(&fill(&format!("--{long}!\n")));
    endure("near boundaries", message.as_bytes());
    endure("dashes", format!("{head}{}", fill("--\n")).as_bytes());
    endure("short near boundaries", format!("{head}{}", fill("--a\n")).as_bytes());
}

#[test]
fn absurd_headers_cost_little() {
    for (name, message) in [
        ("one endless line", fill("x")),
        ("no colon", fill("x\r\n")),
        ("endless folding", format!("Subject: x\n{}", fill(" \n"))),
        ("fields", fill("From: a@b\r\n")),
        ("addresses", format!("From: {}", fill("a,"))),
        ("groups", format!("From: {}", fill("a:;"))),
        ("routes", format!("From: <{}", fill("@a,"))),
        ("comments", format!("From: {}", fill("("))),
        ("words", format!("From: {}", fill("a "))),
        ("quotes", format!("From: {}", fill("\"\" "))),
        ("angles", format!("From: {}", fill("<"))),
        ("parameters", format!("Content-Type: a/b{}", fill(";a=b"))),
        ("pieces", format!("Content-Type: a/b{}", fill(";a*1=b"))),
        ("semicolons", format!("Content-Type: a/b{}", fill(";"))),
        ("encoded words", format!("Subject: {}", fill("=?utf-8?q?a"))),
        ("references", format!("References: {}", fill("<a>"))),
        ("open references", format!("References: {}", fill("<"))),
        ("languages", format!("Content-Language: {}", fill("a,"))),
        ("forged", fill("LNMP-A: x\n")),
        ("results", fill("Authentication-Results: mx.test; x\n")),
        ("NULs", fill("\0")),
        ("bare CR", fill("a\rb:\r")),
        ("continuations of nothing", fill(" \t\n")),
        ("blank lines", fill("\n")),
        ("8 bit", fill("Subject: \u{fc}\u{fc}\n")),
    ] {
        endure(name, message.as_bytes());
        check_summary(&message.as_bytes()[..20_000]).unwrap();
    }
}

#[test]
fn many_small_headers_render_within_bounds() {
    let people = format!("From: {}\n", "a,".repeat(2000));
    let message = format!(
        "Content-Type: multipart/digest; boundary=b\n\n{}",
        format!("--b\n\n{people}\nx\n").repeat(LARGE / people.len())
    );
    let summary = endure("digest of crowds", message.as_bytes());
    assert!(summary.bodystructure.len() < ADDRESSES_MAX * 40 * 3 + PARTS_MAX * 400);
}

#[test]
fn large_mails_of_every_form_come_back() {
    let base64 = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5eg==".replace("==", "aaaa");
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    for (name, body) in [
        ("base64", fill(&format!("{base64}\r\n"))),
        ("base64 in one line", fill("QUJD")),
        ("irregular base64", fill("QUJDREVG\r\nQUJD\r\n")),
        ("text", fill("text\r\n")),
    ] {
        let message = format!("{head}{body}\r\n--b--\r\n");
        let summary = endure(name, message.as_bytes());
        assert_eq!(summary.parts.len(), 2);
        let start = Instant::now();
        let end = message.len();
        let cuts = round_trip(message.as_bytes(), SplitLimits::REAL, &[(0, end), (end / 2, end / 2 + 70_000)]);
        assert_eq!(cuts, Ok(1), "{name}");
        println!("{name}: round trip {:?}", start.elapsed());
    }
}
