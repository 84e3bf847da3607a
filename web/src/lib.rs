//! The web door: the page a mail is paid on, the set-up of mail clients, the sandbox's catch-all, and a front page.
//!
//! Stands: a door. Speaks HTTP/1.1 and knows nothing of gates, nodes or keys: the house implements
//! [`Host`], and everything shown comes from there.
//!
//! ```text
//!   GET  /                      what this server is, how to set up a mail client
//!   GET  /pay/{token}           the open mails of one author to one account; makes invoices
//!   GET  /pay/{token}?watch     the same, makes nothing: what an open page reloads
//!   GET  /pay/{token}/state     JSON, polled
//!        ?priority              either: over the priority price
//!   POST /pay/{token}/sandbox   gate=ID: pays with the sandbox wallet, 303 back
//!   POST /pay/{token}/refund    gate=ID&to=: escrow, where a refund goes; /link mails a way to change it
//!   GET, POST /refund/{token}   that way, once
//!   GET  /lnurlw/{token}        LUD-03: a refund that its author's wallet fetches
//!   GET  /sandbox, /sandbox/{n}.eml   mail the sandbox caught
//!   GET  /setup, and where mail clients look for their settings: `setup/`
//!   GET  /.well-known/acme-challenge/{token}   what a CA asks
//!   GET  /.well-known/mta-sts.txt     what servers that send here rely on
//! ```
//! Start at [`serve`] (sockets), [`Host`] (what is asked), then `routes.rs` and `page/`.
//!
//! Promises. Every text that came from outside is escaped where it is written. No cookie, no external
//! resource, no inline script; pages work without JavaScript. A page shows neither subject nor relation,
//! and once a gate is over, only how it ended. Connections, headers, bodies and waits are bounded, see
//! [`limits`].
//! Absent on purpose: certificates (the house brings them), sessions,
//! clocks (every time shown is the host's).

mod headers;
mod host;
mod html;
pub mod limits;
mod page;
mod qr;
mod refund_routes;
mod routes;
mod serve;
mod setup;
mod setup_routes;

pub use host::{CaughtView, Host, MtaSts, PayGate, PayPage, Ports, Price, RefundView, SiteInfo, Withdrawal};
pub use serve::serve;
pub use setup::mta_sts::mta_sts_policy;
