//! SMTP from both sides, one file for each subject: one program, because linking costs more than running.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod arc_suite;
mod authentication;
mod delivery;
mod dkim_examples;
mod dns;
mod extensions;
mod lmtp;
mod replies;
mod route;
mod server;
mod session;
mod slow_peers;
mod smuggling;
mod spf_suite;
mod support;
