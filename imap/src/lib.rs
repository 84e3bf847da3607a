//! Speaks IMAP (RFC 3501) over mailboxes whose mail is sealed.
//!
//! Stands: a door. Shows and edits what [`store`] keeps, reads [`attachments`], lays out mails with [`converter`];
//! asks the house, through [`Host`], who somebody is and to seal what a client appends. It knows no price and no
//! payment: what moving or flagging a mail means is decided in the store's own transaction.
//!
//! ```text
//!   socket ─▶ wire::Framer ─▶ command::parse ─▶ Command::run ─▶ store, shelf
//!                                                    │
//!   socket ◀── untagged data ◀── Selected::move_to ◀─┴─ rooms::MailboxRoom ◀── store.watch()
//! ```
//! Start at [`Server`], then `session.rs` (one dialogue) and `command/` (one file for each command). A mailbox as
//! clients number it is a `Snapshot`, shared by all sessions in step; `Selected` is one session's view of it.
//! A session that asked with NOTIFY has a `Watcher` too, for all that happens outside its mailbox.
//!
//! Extensions: the table in [`capability`] has each with its document.
//!
//! Promises. Octets of a mail go out exactly as they came in. A literal is never half announced and half sent: when
//! that cannot be kept, the connection closes. Message numbers change only where RFC 3501 §7.4.1 allows it. Nothing a
//! client sends panics, or costs more memory than [`limits`] says. Every wait has an end, and every end is announced
//! with BYE, if the socket lives.
//! Absent on purpose: mechanisms that do not carry the password (they could unlock nothing), rewriting of messages,
//! and decisions.
//!
//! ```no_run
//! # async fn example(parts: imap::Parts, stopping: tokio::sync::watch::Receiver<bool>) -> std::io::Result<()> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:2143").await?;
//! imap::Server::new(parts).serve(listener, imap::Security::StartTls, stopping).await;
//! # Ok(()) }
//! ```

mod access;
mod agreements;
pub mod capability;
mod casemap;
mod command;
mod compress;
mod enabled;
mod filters;
mod flags;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod host;
mod io;
pub mod limits;
mod mail;
mod message_limit;
mod name;
mod object_id;
mod progress;
mod reply;
mod rooms;
mod selected;
pub mod server;
mod session;
mod snapshot;
mod summaries;
mod trigrams;
mod watchers;
mod wire;

pub use capability::Disabled;
pub use command::trigrams;
pub use host::{Host, LoggedIn, Login, LoginRefusal, SealRefusal, Sealed};
pub use server::{Parts, Security, Server, TlsSource};
