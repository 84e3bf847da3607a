//! What the tests from outside share: a running Satchel, a thin IMAP client, a stranger's SMTP server, tools.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

pub mod control;
pub mod imap;
pub mod satchel;
pub mod sink;
pub mod smtp;
pub mod stranger;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// The deadline of conditions that depend on two LDK nodes and a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Polls `condition` until it gives something, and fails the test with `what` after [`PATIENCE`].
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a tool is there. When it is not, says SKIPPED, and fails where `CI=true`.
pub fn has_tool(name: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|paths| std::env::split_paths(&paths).any(|path| path.join(name).exists()));
    if !found {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "{name} is not installed, and CI=true makes that an error"
        );
        eprintln!("SKIPPED: {name} is not installed");
    }
    found
}

/// Runs a tool to its end and returns what it printed; fails the test when the tool fails.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed with {}:\n{text}", output.status);
    text
}

/// A folder of `../shared`, where it is.
pub fn shared(path: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared").join(path);
    if folder.exists() {
        return Some(folder);
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "../shared/{path} is missing, and CI=true makes that an error"
    );
    eprintln!("SKIPPED: ../shared/{path} is not here");
    None
}

/// A seed for what a test leaves to chance: fixed, or `SATCHEL_TEST_SEED`. Printed, so that a failure can be repeated.
pub fn seed() -> u64 {
    let seed = std::env::var("SATCHEL_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_121);
    println!("SATCHEL_TEST_SEED={seed}");
    seed
}

/// Whether `tests/run --long` asked for the long form.
pub fn is_long() -> bool {
    std::env::var("SATCHEL_TEST_LONG").as_deref() == Ok("1")
}

/// A small generator (xorshift64*), so that a seed means the same for ever.
pub struct Chance(u64);

impl Chance {
    /// Begins at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// Octets that do not compress and hold no chance text.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 32) as u8).collect()
    }
}
