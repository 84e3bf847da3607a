//! The house: the only place that knows the whole story of a mail and its payment.
//!
//! Stands: at the bottom, uses everything. `flow/` reads top to bottom as the story
//! ([`flow::receive`], [`flow::submit`], [`flow::ask`], [`flow::pay`], [`flow::work`], [`flow::expire`]);
//! the rest starts it ([`run`], [`wallet`]), keeps its keys ([`keys`], [`accounts`]) and answers the command line
//! ([`cli`], [`control`], [`command`], [`filters`], [`allow`], [`mod@print`]).
//!
//! Promises. `250` to DATA follows the commit of message *and* gate. A preimage leaves only after the
//! decision to accept is committed. Nothing a peer sends can make this crate panic.

pub mod accounts;
pub mod acme;
pub mod allow;
pub mod backup;
pub mod books;
pub mod check;
pub mod cli;
pub mod command;
pub mod config;
pub mod control;
pub mod dir;
pub mod dkim;
pub mod dns;
pub mod filters;
pub mod flow;
pub mod groups;
pub mod house;
pub mod keys;
pub mod letters;
pub mod outside;
pub mod print;
pub mod run;
pub mod sharing;
pub mod tls;
pub mod wallet;
