//! Every mail of the shared corpus, as it lies there, with CR LF and with LF.

use std::path::{Path, PathBuf};

use super::support::{Chance, check_summary, check_windows, round_trip, small};
use crate::facts;
use crate::limits::WINDOW_BYTES;
use crate::split::SplitLimits;

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "eml") {
            into.push(path);
        }
    }
}

fn with_lf(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    for (index, &byte) in message.iter().enumerate() {
        if byte != b'\r' || message.get(index + 1) != Some(&b'\n') {
            out.push(byte);
        }
    }
    out
}

fn with_crlf(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() * 2);
    for byte in with_lf(message) {
        if byte == b'\n' {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out
}

#[test]
fn every_mail_of_the_corpus_comes_back_byte_for_byte() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let mut all = Vec::new();
    files(&folder, &mut all);
    all.sort();
    if all.is_empty() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "the shared corpus is missing");
        println!("SKIPPED: no shared corpus at ../shared/corpus");
        return;
    }
    let mut chance = Chance(1);
    let mut cuts = 0;
    for path in &all {
        let original = std::fs::read(path).unwrap();
        for (form, message) in
            [("as is", original.clone()), ("CR LF", with_crlf(&original)), ("LF", with_lf(&original))]
        {
            let size = message.len();
            let ranges: Vec<_> = (0..40).map(|_| (chance.below(size + 2), chance.below(size + 2))).collect();
            for limits in [SplitLimits::REAL, small(100, 10_000), small(1, 300)] {
                match round_trip(&message, limits, &ranges) {
                    Ok(count) => cuts += count,
                    Err(error) => panic!("{} {form} at {}: {error}", path.display(), limits.attachment),
                }
            }
            if let Err(error) = check_summary(&message) {
                panic!("{} {form}: {error}", path.display());
            }
            for (limits, bytes) in [(SplitLimits::REAL, WINDOW_BYTES), (small(100, 10_000), 1 + chance.below(300))] {
                if let Err(error) = check_windows(&message, limits, bytes) {
                    panic!("{} {form} at {}: {error}", path.display(), limits.attachment);
                }
            }
            facts(&message);
        }
    }
    println!("{} files, {cuts} cuts", all.len());
    assert!(cuts > all.len(), "hardly anything was cut");
}
