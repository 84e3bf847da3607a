//! How long the converter takes: `cargo run --release -p converter --example measure [MB of hostile mail]`.
//!
//! Prints microseconds per ordinary mail, and seconds per hostile one of 100 MB. Owns the clock that the
//! crate itself must not have.

use std::hint::black_box;
use std::time::{Duration, Instant};

use converter::{Layout, Structure, Summary, facts, split, strip_forged};

/// A mail of about `size` octets as a list view meets it: trace fields, ten others, two parts.
fn ordinary(size: usize) -> Vec<u8> {
    let mut mail = "Return-Path: <bob@shop.test>\r\nReceived: from mail.shop.test (mail.shop.test [192.0.2.1])\r\n\
        \tby mx.satchel.test with ESMTPS id 4f1c9d\r\n\tfor <alice@satchel.test>; Sat, 21 Nov 2026 04:00:00 +0000\r\n\
        Authentication-Results: mx.satchel.test; spf=pass; dkim=pass header.d=shop.test; dmarc=pass\r\n\
        LNMP-Relation: stranger\r\nLNMP-Price: 100\r\nDKIM-Signature: v=1; a=rsa-sha256; d=shop.test; s=x;\r\n\
        \th=from:to:subject:date; bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n\tb=dGhpcyBpcyBub3QgYSByZWFsIHNpZ25hdHVyZQ==\r\n\
        From: =?utf-8?q?B=C3=B6b?= <bob@shop.test>\r\nTo: Alice <alice@satchel.test>, carol@satchel.test\r\n\
        Subject: =?utf-8?q?An_offer_for_y=C3=B6u?=\r\nDate: Sat, 21 Nov 2026 03:59:58 +0000\r\n\
        Message-ID: <20261121035958.4f1c9d@shop.test>\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/alternative; boundary=\"=_4f1c9d\"\r\n\r\n--=_4f1c9d\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        .to_owned();
    for (kind, share) in [("html", size / 2), ("", size)] {
        while mail.len() < share {
            mail.push_str("The quick brown fox jumps over the lazy dog, and over it again.\r\n");
        }
        if !kind.is_empty() {
            mail.push_str(&format!("\r\n--=_4f1c9d\r\nContent-Type: text/{kind}; charset=utf-8\r\n\r\n"));
        }
    }
    mail.push_str("\r\n--=_4f1c9d--\r\n");
    mail.into_bytes()
}

/// Median of 5 rounds of `count` calls.
fn each<T>(name: &str, count: u32, mut call: impl FnMut() -> T) {
    let mut rounds: Vec<Duration> = (0..5)
        .map(|_| {
            let start = Instant::now();
            (0..count).for_each(|_| drop(black_box(call())));
            start.elapsed() / count
        })
        .collect();
    rounds.sort();
    println!("{name:<44} {:>9.1} us", rounds[2].as_secs_f64() * 1e6);
}

fn once<T>(name: &str, call: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = call();
    println!("{name:<44} {:>9.3} s", start.elapsed().as_secs_f64());
    result
}

fn main() {
    for size in [4 * 1024, 64 * 1024] {
        let mail = ordinary(size);
        println!("-- an ordinary mail of {} octets", mail.len());
        each("Summary::of and split", 2000, || (Summary::of(&mail), split(&mail)));
        each("Summary::of", 2000, || Summary::of(&mail));
        each("Structure::scan", 2000, || Structure::scan(&mail[..]));
        each("facts", 2000, || facts(&mail));
        each("strip_forged", 2000, || strip_forged(&mail, "mx.satchel.test", &|_, _| true).1);
        let summary = Summary::of(&mail);
        let octets = summary.encode();
        println!("summary: {} octets, of them header {}", octets.len(), summary.header.len());
        each("encode", 2000, || summary.encode());
        each("decode", 2000, || Summary::decode(&octets));
    }
    let megabytes: usize = std::env::args().nth(1).and_then(|size| size.parse().ok()).unwrap_or(100);
    let fill = |unit: &str| unit.repeat(megabytes * 1_000_000 / unit.len());
    println!("-- {megabytes} MB each: Summary::of, split, facts");
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let line = format!("{}\r\n", "QUJD".repeat(19));
    let nested: String =
        (0..100).map(|n| format!("Content-Type: multipart/mixed; boundary=aaaa{n:02}\n\n--aaaa{n:02}\n")).collect();
    for (name, mail) in [
        ("base64 attachment", format!("{head}{}\r\n--b--\r\n", fill(&line))),
        ("text", format!("\r\n{}", fill("The quick brown fox jumps over the dog.\r\n"))),
        ("parts", format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", fill("--b\r\n\r\nx\r\n"))),
        ("nested messages", fill("Content-Type: message/rfc822\n\n")),
        ("boundaries that nearly match", format!("{nested}\n{}", fill("--aaaaX\n"))),
        ("header without end", fill("Subject: x\r\n")),
        ("addresses", format!("From: {}", fill("a,"))),
        ("folding", format!("Subject: x\r\n{}", fill(" \r\n"))),
        ("blank lines", fill("\n")),
    ] {
        once(name, || (Summary::of(mail.as_bytes()), split(mail.as_bytes()), facts(mail.as_bytes())));
    }
    let mail = format!("{head}{}\r\n--b--\r\n", fill(&line));
    let cut = split(mail.as_bytes()).cuts.swap_remove(0);
    let plain = once("decode the base64 attachment in chunks", || {
        let chunk = |at| cut.read(&mut mail.as_bytes(), at..at + 65_520).len();
        (0..cut.size()).step_by(65_520).map(chunk).sum::<usize>()
    });
    let place = lnmp::AttachmentPlace { at: 0, encoding: cut.encoding() };
    let layout = Layout::of_places(0, [(place, cut.size())]).expect("sound");
    let octets = vec![7; plain];
    once("encode it again in chunks", || {
        for start in (0..layout.size()).step_by(65_536) {
            for piece in layout.pieces(start..start + 65_536) {
                if let converter::Piece::Base64 { encoded_range, plain_range, .. } = piece {
                    let needed = &octets[plain_range.start as usize..plain_range.end as usize];
                    let written = converter::encode_base64_range(
                        needed,
                        plain_range.start,
                        cut.encoding(),
                        cut.size(),
                        encoded_range,
                    );
                    black_box(written.expect("covered"));
                }
            }
        }
    });
}
