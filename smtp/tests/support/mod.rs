//! Helpers of several test files.
#![allow(unreachable_pub, reason = "a fuzz target uses a part as its own")]

pub mod dialogue;
pub mod host;
pub mod nameserver;
pub mod world;
pub mod yaml;
