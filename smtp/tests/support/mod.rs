//! Helpers of several test files.

pub mod dialogue;
pub mod host;
pub mod nameserver;
pub mod world;
pub mod yaml;
