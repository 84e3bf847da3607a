//! Holds the house to its plan: which crate may use which, under which licences, and that the two files
//! people start from exist. See ARCHITECTURE.md, "Layers".

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Arrows only point down this table; siblings never meet.
const MAY_USE: &[(&str, &[&str])] = &[
    ("lnmp", &[]),
    ("policy", &["lnmp"]),
    ("converter", &["lnmp"]),
    ("store", &["lnmp"]),
    ("lightning", &["lnmp"]),
    ("attachments", &["lnmp"]),
    ("attachments/node", &[]),
    ("smtp", &["lnmp"]),
    ("imap", &["lnmp", "converter", "store", "attachments"]),
    ("web", &["lnmp", "store", "policy"]),
];

/// Rules and words do no I/O and own no clock: they must not even be able to.
const PURE: &[&str] = &["lnmp", "policy", "converter"];
/// What only a crate with sockets, threads or files needs.
const IMPURE: &[&str] = &["tokio", "axum", "rusqlite", "ldk-node", "rust-ipfs", "tracing"];

/// Licences the graph may hold; an expression passes when every AND part has an allowed OR alternative.
const LICENCES: &[&str] = &[
    "MIT",
    "MIT-0",
    // MIT with a clause against false attribution (bip21, by way of ldk-node): as free as MIT.
    "MITNFA",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "MPL-2.0",
    "0BSD",
    "CC0-1.0",
    "Unlicense",
    "BSL-1.0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "CDLA-Permissive-2.0",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn manifest(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("Cargo.toml")).unwrap()
}

/// Names before `.workspace = true` in `[dependencies]` (not in dev-dependencies: tests may reach anywhere).
fn dependencies(manifest: &str) -> Vec<&str> {
    let section = manifest.split("\n[dependencies]").nth(1).unwrap_or("");
    let section = section.split("\n[").next().unwrap_or("");
    section
        .lines()
        .filter_map(|line| line.split_once(['.', ' ', '=']).map(|(name, _)| name.trim()))
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect()
}

#[test]
fn arrows_only_point_down_the_table() {
    let members: Vec<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    for (name, allowed) in MAY_USE {
        let text = manifest(&root().join(name));
        for used in dependencies(&text) {
            assert!(
                !members.contains(&used) || allowed.contains(&used),
                "{name} may not use {used}; it may use {allowed:?} (ARCHITECTURE.md, Layers)"
            );
        }
    }
}

#[test]
fn every_member_of_the_workspace_stands_in_the_table() {
    let text = manifest(&root());
    let list = text.split("members = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
    for member in list.split(',').map(|member| member.trim().trim_matches('"')).filter(|member| *member != ".") {
        assert!(MAY_USE.iter().any(|(name, _)| *name == member), "{member} is missing in the layer table");
    }
}

#[test]
fn words_and_rules_have_no_way_to_the_outside() {
    for name in PURE {
        for used in dependencies(&manifest(&root().join(name))) {
            assert!(!IMPURE.contains(&used), "{name} is pure and may not use {used}");
        }
    }
}

#[test]
fn every_crate_takes_lints_and_versions_from_the_workspace() {
    for (name, _) in MAY_USE {
        let text = manifest(&root().join(name));
        for line in [
            "[lints]\nworkspace = true",
            "version.workspace = true",
            "license.workspace = true",
            "publish.workspace = true",
        ] {
            assert!(text.contains(line), "{name}/Cargo.toml lacks `{line}`");
        }
    }
}

#[test]
fn the_graph_holds_no_copyleft() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let out = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let mut refused = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or("");
        let by_file = licence.is_empty() && package["license_file"].is_string();
        let fine = allowed(licence) || (by_file && BY_FILE.contains(&name));
        if !fine {
            refused.insert(name.to_owned(), licence.to_owned());
        }
    }
    assert!(refused.is_empty(), "licences outside the list: {refused:#?}");
}

/// Packages that state their licence only in a file, which was read: none so far.
const BY_FILE: &[&str] = &[];

fn allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    expression.split(" AND ").all(|part| part.split(" OR ").any(|one| LICENCES.contains(&one.trim())))
}

#[test]
fn the_licence_rule_reads_expressions() {
    assert!(allowed("MIT OR Apache-2.0"));
    assert!(allowed("MIT/Apache-2.0"));
    assert!(allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(allowed("LGPL-2.1-or-later OR MIT"));
    assert!(!allowed("AGPL-3.0-only"));
    assert!(!allowed("MIT AND GPL-3.0-only"));
    assert!(!allowed(""));
}

#[test]
fn the_front_pages_are_there() {
    for file in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "docs/protocol.md",
        "docs/security.md",
        "docs/operations.md",
    ] {
        assert!(root().join(file).exists(), "{file} is missing");
    }
    for (name, _) in MAY_USE {
        let front = std::fs::read_to_string(root().join(name).join("src/lib.rs")).unwrap();
        assert!(front.starts_with("//! "), "{name}/src/lib.rs has no front page");
    }
}
