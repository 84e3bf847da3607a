//! Nodes as their documents describe them, for the back-ends to be tried against: each speaks its API and nothing else,
//! and keeps invoices, holds and payments between itself and a customer.
//!
//! They are written from the documents, not from our clients: a request with a wrong method, path, header, name, type or
//! alphabet is refused as the node would refuse it.

pub(crate) mod bitcoind;
pub(crate) mod cln;
pub(crate) mod electrum;
pub(crate) mod esplora;
pub(crate) mod http;
pub(crate) mod index;
pub(crate) mod lnd;
pub(crate) mod nwc;
pub(crate) mod phoenixd;
pub(crate) mod relay;
pub(crate) mod world;
