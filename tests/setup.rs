//! Setting up from outside: the records to publish and what `check` thinks of them, certificates that change, an order at a
//! CA, signing keys.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

#[path = "setup/ca.rs"]
mod ca;
#[path = "setup/certificates.rs"]
mod certificates;
#[path = "setup/keys.rs"]
mod keys;
#[path = "setup/records.rs"]
mod records;
#[path = "setup/tls.rs"]
mod tls;
#[path = "setup/tls_reports.rs"]
mod tls_reports;
