//! The conversations of an IMAP session, one file for each subject: one program, because linking costs more than running.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agreements;
mod appending;
mod bad_input;
mod binary;
mod catenate;
mod connection;
mod keeping;
mod listing;
mod memory;
mod messagelimit;
mod mutations;
mod notify;
mod priced;
mod queue;
mod quirks;
mod reading;
mod rev2;
mod searching;
mod session_ops;
mod sessions;
mod sharing;
mod stress;
mod support;
mod syncing;
mod vanished;
