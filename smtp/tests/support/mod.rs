//! Helpers of several test files.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

pub mod dialogue;
pub mod host;
pub mod nameserver;
pub mod world;
pub mod yaml;
