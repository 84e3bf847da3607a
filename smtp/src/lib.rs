//! Speaks SMTP and LMTP: sessions in, deliveries out. Who lives here and what happens to mail it asks the house.
//!
//! Stands: a door. Uses no other crate of the project; asks [`Host`], which the house implements.
//!
//! ```text
//!   peer ──TCP/TLS──▶ Server ──octets──▶ Session ──Action──▶ Host::{authenticate, mail, rcpt, message}
//!                       │                                      250 only after the host has committed
//!                       └──content──▶ Spool (memory, then a file under a key that is only in RAM)
//!   house ──▶ Authenticator::verify (SPF, DKIM, DMARC, iprev) ──▶ Authentication
//!   house ──▶ Router::route (MX, DANE, MTA-STS) ──▶ client::Session::send ──▶ one Outcome per recipient
//!   sandbox ──▶ Zone: DNS for names under .test
//! ```
//! Start at [`Server`] and [`Host`]; the dialogue itself is [`Session`], which knows no socket and no clock.
//!
//! Promises. Only CRLF.CRLF ends DATA. Nothing sent before TLS is believed after it. Every reply says why in words
//! and in an enhanced status code. Every wait ends, every queue is bounded ([`limits`]). Mail content never lies on
//! disk in the clear. A `250` follows the host's commit.
//! Absent on purpose: prices, relations, mailboxes, retries and their schedule, trace headers.
//!
//! ```
//! use smtp::{Action, Kind, Session, SessionConfig};
//! use std::time::Instant;
//!
//! let config = SessionConfig::new(Kind::Mx, "mx.satchel.test");
//! let (mut replies, mut content) = (Vec::new(), Vec::new());
//! let mut session = Session::new(config.into(), "192.0.2.1:4242".parse().unwrap(), None, Instant::now(), &mut replies);
//! let progress = session.handle_bytes(Instant::now(), b"QUIT\r\n", &mut content, &mut replies);
//! assert!(matches!(progress.action, Action::Close));
//! assert!(replies.ends_with(b"221 2.0.0 mx.satchel.test goodbye\r\n"));
//! ```

mod authenticate;
mod cache;
pub mod client;
mod connections;
mod content;
mod dns;
mod dnssec;
mod https;
mod intake;
pub mod limits;
mod network;
mod parameters;
mod path;
mod reply;
pub mod report;
mod route;
mod server;
mod session;
mod sign;
mod spool;
mod sts;
mod tls;
mod zone;

pub use authenticate::{AuthResult, Authentication, Authenticator, DkimOutcome, DmarcOutcome, DmarcPolicy, SpfOutcome};
pub use content::BareNewlines;
pub use dns::{
    DnsConfig, DnsError, Exchanger, RecordData, RecordKind, Resolver, ResolverChoice, TrustAnchor, reverse_name,
};
pub use dnssec::{Proved, Tlsa};
pub use intake::{
    Accepted, AuthRefusal, Envelope, Forwarded, Host, Kind, PeerInfo, Recipient, Refusal, Secret, Submitter, TlsInfo,
};
pub use network::{Network, NetworkError, network_of};
pub use parameters::{Body, ByMode, DeliverBy, Hold, MailParameters, Notify, RcptParameters, Ret, decode_xtext};
pub use path::{ReversePath, is_mailbox};
pub use reply::Enhanced;
pub use route::{Hop, Route, Router, TlsPolicy};
pub use server::{Server, ServerConfig, TlsStart};
pub use session::{Action, Progress, Session, SessionConfig};
pub use sign::{DkimKey, DkimKind, SignError, Signer, Signing};
pub use spool::{Spool, SpoolArea, SpoolError, SpoolReader, SpoolWriter};
pub use sts::{StsFailure, StsMode, StsPolicy};
pub use zone::{Zone, ZonePublisher};
