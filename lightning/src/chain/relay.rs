//! Between LDK and a bitcoind: a door on this machine with a credential of its own, which passes on what is asked.
//!
//! LDK takes one user and one password for good. A bitcoind that uses a cookie makes a new one at each start, and would
//! refuse LDK from then on while holds run out; the relay reads the cookie again. And LDK begins to read the chain at the
//! block that is the best when its state is made: for coins that are older than that state, the relay calls an older
//! block the best until the state is made.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rand::RngCore;
use rand::rngs::OsRng;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::bitcoind::Client;
use super::{Bitcoind, ChainError};
use crate::limits::{BLOCK_ANSWER_MAX, BLOCK_WITHIN};
use crate::rpc_door::{self, Answer, Handler};

/// A running relay; ends with its drop.
pub(crate) struct Relay {
    address: SocketAddr,
    password: Zeroizing<String>,
    unborn: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// The only user of the door.
const USER: &str = "satchel";

impl Relay {
    /// Opens the door to `bitcoind`. `since`: the block that is called the best until [`Relay::is_born`].
    pub(crate) fn start(bitcoind: &Bitcoind, since: Option<u32>) -> Result<Self, ChainError> {
        let away = |error: std::io::Error| ChainError::Away(error.to_string());
        let client = Arc::new(Client::new(bitcoind)?);
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(away)?;
        listener.set_nonblocking(true).map_err(away)?;
        let address = listener.local_addr().map_err(away)?;
        let mut secret = Zeroizing::new([0; 24]);
        OsRng.fill_bytes(&mut *secret);
        let password = Zeroizing::new(hex::encode(secret.as_slice()));
        let credentials = Zeroizing::new(format!("{USER}:{}", &*password));
        let (stop, mut stopped) = watch::channel(false);
        let unborn = Arc::new(AtomicBool::new(since.is_some()));
        let begin = Arc::clone(&unborn);
        let handler: Handler = Arc::new(move |body| {
            let since = since.filter(|_| begin.load(Ordering::Relaxed));
            Box::pin(answer(Arc::clone(&client), body, since))
        });
        // A thread of its own: LDK's client blocks the one it is polled on while it connects.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(away)?;
        let thread = std::thread::Builder::new().name("chain-relay".into()).spawn(move || {
            runtime.block_on(async move {
                let listener = match TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(error) => return tracing::error!(%error, "chain: no relay"),
                };
                tokio::select! {
                    () = rpc_door::serve(listener, &credentials, handler) => {}
                    _ = stopped.changed() => {}
                }
            });
        });
        Ok(Self { address, password, unborn, stop, thread: Some(thread.map_err(away)?) })
    }

    /// Where LDK asks.
    pub(crate) fn bitcoind(&self) -> Bitcoind {
        Bitcoind {
            host: self.address.ip().to_string(),
            port: self.address.port(),
            user: USER.to_owned(),
            password: self.password.clone(),
            cookie: None,
        }
    }

    /// The state is made: from now on the best block is the best block.
    pub(crate) fn is_born(&self) {
        self.unborn.store(false, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // Its tasks are all at an await within milliseconds.
            let _ = thread.join();
        }
    }
}

async fn answer(client: Arc<Client>, body: Vec<u8>, since: Option<u32>) -> Answer {
    if let Some(since) = since
        && let Ok(request) = serde_json::from_slice::<Value>(&body)
        && request["method"] == "getblockchaininfo"
    {
        return match client.hash_at(since).await {
            Ok(hash) => {
                let info = json!({"blocks": since, "headers": since, "bestblockhash": hash.to_string()});
                Answer::json(&json!({"result": info, "error": null, "id": request["id"]}))
            }
            Err(error) => refusal(&error),
        };
    }
    match client.pass(body, BLOCK_ANSWER_MAX, BLOCK_WITHIN).await {
        Ok((status, body)) => Answer { ok: status.is_success(), body },
        Err(error) => refusal(&error),
    }
}

/// As a bitcoind that starts would say it: LDK asks again.
fn refusal(error: &ChainError) -> Answer {
    Answer::json(&json!({"result": null, "error": {"code": -28, "message": error.to_string()}, "id": null}))
}
