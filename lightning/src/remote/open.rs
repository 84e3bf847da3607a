//! Opening a wallet on somebody's node.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};

use super::api::Api;
use super::book::Book;
use super::{Backend, Inner, RemoteConfig, RemoteError, RemoteWallet, within};
use crate::cln::Cln;
use crate::lnd::Lnd;
use crate::nwc::Nwc;
use crate::phoenixd::Phoenixd;

/// The name of the book.
const BOOK: &str = "remote-payments.log";

impl RemoteWallet {
    /// Opens the book and asks the node who it is. Fails when it does not answer: [`LaterWallet`](crate::LaterWallet) asks
    /// again.
    pub fn open(config: RemoteConfig) -> BoxFuture<'static, Result<Self, RemoteError>> {
        // Boxed, so that it is compiled here, once.
        Box::pin(async move {
            let RemoteConfig { backend, dir, pace } = config;
            let dir_error = |error| RemoteError::Dir { path: dir.clone(), error };
            DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(dir_error)?;
            let path = dir.join(BOOK);
            let book = Book::open(&path).map_err(|error| RemoteError::Book { path, error })?;
            let api: Box<dyn Api> = match backend {
                Backend::Lnd { address, certificate, macaroon } => {
                    Box::new(Lnd::new(&address, certificate.as_deref(), &macaroon)?)
                }
                Backend::Cln { address, certificate, rune } => {
                    Box::new(Cln::new(&address, certificate.as_deref(), &rune)?)
                }
                Backend::Nwc { uri } => Box::new(Nwc::connect(&uri).await?),
                Backend::Phoenixd { address, password } => Box::new(Phoenixd::new(&address, &password)?),
            };
            let info = within(api.info()).await?;
            let inner = Arc::new(Inner {
                api,
                network: info.network,
                book: Mutex::new(book),
                pace,
                info: Mutex::new(None),
                came: Notify::new(),
                look: Notify::new(),
                stopping: watch::Sender::new(false),
            });
            tokio::spawn(Arc::clone(&inner).watch());
            Ok(Self { inner })
        })
    }
}
