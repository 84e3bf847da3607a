//! Other people's mail servers on loopback: they send to Satchel and receive from it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

#[path = "peers/postfix.rs"]
mod postfix;
