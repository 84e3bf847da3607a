//! Other people's mail servers on loopback: they send to Satchel and receive from it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

#[path = "peers/exim.rs"]
mod exim;
#[path = "peers/jail.rs"]
mod jail;
#[path = "peers/opensmtpd.rs"]
mod opensmtpd;
#[path = "peers/postfix.rs"]
mod postfix;
#[path = "peers/talk.rs"]
mod talk;
