//! `docs/rfc-index.tsv` stays true: what it names exists, and every RFC the code cites stands in it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where code lives that may cite an RFC.
const CODE: [&str; 10] =
    ["src", "lnmp", "policy", "converter", "store", "lightning", "attachments", "smtp", "imap", "web"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One line of the index.
struct Row {
    line: usize,
    number: u32,
    status: String,
    file: String,
    test: String,
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(root().join("docs/rfc-index.tsv")).unwrap();
    let mut lines = text.lines().zip(1..);
    assert_eq!(lines.next().unwrap().0, "number\tsection\tstatus\tfile\ttest");
    lines
        .map(|(text, line)| {
            let fields: Vec<_> = text.split('\t').collect();
            let [number, _, status, file, test] = fields[..] else { panic!("line {line}: five fields, not {text:?}") };
            let number = number.parse().unwrap_or_else(|_| panic!("line {line}: {number:?} is no number"));
            Row { line, number, status: status.into(), file: file.into(), test: test.into() }
        })
        .collect()
}

/// The RFC numbers that a text cites as `RFC 3501`, `RFC 7208, 6376` counting for the first only.
fn cited(text: &str) -> BTreeSet<u32> {
    let after = text.split("RFC ").skip(1);
    after.filter_map(|rest| rest.get(..4)?.parse().ok()).collect()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn every_file_and_test_of_the_index_exists() {
    let read = |row: &Row, path: &str| {
        std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("line {}: {path}: {error}", row.line))
    };
    for row in rows() {
        assert!(["yes", "partial", "no"].contains(&row.status.as_str()), "line {}: status {:?}", row.line, row.status);
        read(&row, &row.file);
        if row.test == "-" {
            continue;
        }
        let (file, name) = row.test.split_once("::").unwrap_or((&row.test, ""));
        let there = read(&row, file);
        assert!(
            name.is_empty() || there.contains(&format!("fn {name}(")),
            "line {}: {file} has no test {name}",
            row.line
        );
    }
}

#[test]
fn the_index_is_sorted_by_number() {
    let numbers: Vec<_> = rows().iter().map(|row| row.number).collect();
    assert!(numbers.is_sorted(), "docs/rfc-index.tsv is sorted by its first column");
}

#[test]
fn every_rfc_the_code_cites_stands_in_the_index() {
    let indexed: BTreeSet<_> = rows().iter().map(|row| row.number).collect();
    let mut files = Vec::new();
    for folder in CODE {
        rust_files(&root().join(folder), &mut files);
    }
    for file in files {
        let missing: Vec<_> = cited(&std::fs::read_to_string(&file).unwrap()).difference(&indexed).copied().collect();
        assert!(missing.is_empty(), "{} cites RFC {missing:?}, which docs/rfc-index.tsv does not have", file.display());
    }
}
