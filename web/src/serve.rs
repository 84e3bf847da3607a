//! Sockets: accepts, bounds, and ends connections. The only file here that owns a clock.

use futures::future::BoxFuture;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::{Host, limits, routes};

/// Serves the pages on `listener`, over TLS where `tls` says how, until `shutdown` turns true (or its sender is gone), then lets running
/// requests finish for [`limits::CONNECTION_GRACE`].
///
/// # Errors
/// None today; the signature leaves room for a listener that breaks for good.
pub fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    host: Arc<dyn Host>,
    mut shutdown: watch::Receiver<bool>,
) -> BoxFuture<'static, io::Result<()>> {
    // Boxed, so that it is compiled here, once, and not again in every binary that awaits it.
    Box::pin(async move {
        let app = routes::app(host);
        let tls = tls.map(TlsAcceptor::from);
        let slots = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let slot = tokio::select! {
                slot = Arc::clone(&slots).acquire_owned() => slot.expect("the semaphore is never closed"),
                () = stopped(&mut shutdown) => break,
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopped(&mut shutdown) => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    connections.spawn(accepted_one(stream, tls.clone(), app.clone(), shutdown.clone(), slot));
                }
                Err(error) => {
                    // A connection that went away is nothing; no descriptors left would make this loop spin.
                    tracing::debug!(kind = ?error.kind(), "a web connection could not be accepted");
                    sleep(limits::ACCEPT_PAUSE).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
        drop(listener);
        let drained = timeout(limits::CONNECTION_GRACE, async { while connections.join_next().await.is_some() {} });
        if drained.await.is_err() {
            tracing::debug!("web connections were cut at shutdown");
        }
        Ok(())
    })
}

async fn accepted_one(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    app: Router,
    shutdown: watch::Receiver<bool>,
    slot: OwnedSemaphorePermit,
) {
    // Pages are one write; waiting for more of it helps nobody.
    let _ = stream.set_nodelay(true);
    match tls {
        None => connection(stream, app, shutdown, slot).await,
        // A peer that does not finish its handshake is no better than one that does not finish its header.
        Some(tls) => {
            if let Ok(Ok(stream)) = timeout(limits::HEADER_READ, tls.accept(stream)).await {
                connection(stream, app, shutdown, slot).await;
            }
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: Router,
    mut shutdown: watch::Receiver<bool>,
    slot: OwnedSemaphorePermit,
) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADER_READ)
        .max_headers(limits::HEADER_FIELDS_MAX)
        .max_buf_size(limits::HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut served = pin!(served);
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = async { tokio::select! { () = stopped(&mut shutdown) => {}, () = sleep(limits::CONNECTION_LIFE) => {} } } => {
            served.as_mut().graceful_shutdown();
            timeout(limits::CONNECTION_GRACE, served.as_mut()).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        // What the peer sent is not repeated: paths hold page tokens.
        tracing::trace!(timeout = error.is_timeout(), parse = error.is_parse(), "a web connection ended early");
    }
    drop(slot);
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the server.
    let _ = shutdown.wait_for(|stop| *stop).await;
}
