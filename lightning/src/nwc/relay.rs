//! One relay (NIP-01 over a WebSocket): kept connected, subscribed and alive, for as long as the wallet is open.
//!
//! A relay is a stranger: what it sends is bounded, and believed only where a signature says so.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{SinkExt, StreamExt};
use rand::Rng;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::{Event, Keys};
use crate::limits::{
    NWC_BACKOFF_MAX, NWC_BACKOFF_MIN, NWC_CONNECT_WITHIN, NWC_IDLE, NWC_MESSAGE_MAX, NWC_PING_EVERY, NWC_QUEUE,
    NWC_UNANSWERED_MAX, PAY_WITHIN,
};

/// The name of our one subscription.
const SUBSCRIPTION: &str = "satchel";
/// NIP-42: proof of who is connected.
const AUTH_KIND: u16 = 22242;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What a relay says that somebody waits for.
#[derive(Debug)]
pub(super) enum Heard {
    /// An event of the subscription; not checked yet.
    Event(Event),
    /// It did not take an event.
    Refused {
        /// Which.
        id: String,
    },
}

/// The way to a relay.
pub(super) struct Relay {
    out: mpsc::Sender<Event>,
    connected: watch::Receiver<bool>,
}

impl Relay {
    /// Connects, and connects again, until `stopping`.
    pub(super) fn start(
        url: String,
        keys: Arc<Keys>,
        filters: Vec<Value>,
        heard: mpsc::Sender<Heard>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let (out, outgoing) = mpsc::channel(NWC_QUEUE);
        let (up, connected) = watch::channel(false);
        let mut task = Task { url, keys, filters, heard, outgoing, up, sent: VecDeque::new() };
        let mut stopping = stopping;
        tokio::spawn(async move {
            tokio::select! {
                () = task.run() => {}
                _ = stopping.wait_for(|stop| *stop) => {}
            }
        });
        Self { out, connected }
    }

    /// Returns when it can be spoken to.
    pub(super) async fn up(&self) {
        if self.connected.clone().wait_for(|up| *up).await.is_err() {
            std::future::pending().await
        }
    }

    /// Hands an event over, to be said as soon as there is a connection; `false` when the queue is full.
    pub(super) fn publish(&self, event: Event) -> bool {
        self.out.try_send(event).is_ok()
    }
}

struct Task {
    url: String,
    keys: Arc<Keys>,
    filters: Vec<Value>,
    heard: mpsc::Sender<Heard>,
    outgoing: mpsc::Receiver<Event>,
    up: watch::Sender<bool>,
    /// Events the relay has not taken yet: those it wants a proof of identity for are sent again after it.
    sent: VecDeque<Event>,
}

impl Task {
    async fn run(&mut self) {
        let mut wait = NWC_BACKOFF_MIN;
        loop {
            let began = Instant::now();
            let config = WebSocketConfig::default()
                .max_message_size(Some(NWC_MESSAGE_MAX))
                .max_frame_size(Some(NWC_MESSAGE_MAX));
            let connecting = connect_async_with_config(self.url.as_str(), Some(config), true);
            match timeout(NWC_CONNECT_WITHIN, connecting).await {
                Ok(Ok((socket, _))) => {
                    // Why it ended is the relay's affair: it is connected to again.
                    let _ = self.talk(socket).await;
                    self.up.send_replace(false);
                    self.sent.clear();
                }
                Ok(Err(_)) | Err(_) => tracing::debug!("lightning: a relay cannot be reached; it is tried again"),
            }
            if began.elapsed() > NWC_BACKOFF_MAX {
                wait = NWC_BACKOFF_MIN;
            }
            // Jitter, so that a relay that comes back is not met by everybody at once.
            let jitter = rand::thread_rng().gen_range(0.5..1.0);
            tokio::time::sleep(wait.mul_f64(jitter)).await;
            wait = (wait * 2).min(NWC_BACKOFF_MAX);
        }
    }

    async fn talk(&mut self, mut socket: Socket) -> Result<(), Broken> {
        self.subscribe(&mut socket).await?;
        self.up.send_replace(true);
        let mut ping = tokio::time::interval(NWC_PING_EVERY);
        let mut last = Instant::now();
        loop {
            tokio::select! {
                message = socket.next() => {
                    last = Instant::now();
                    match message.ok_or(Broken)?? {
                        Message::Text(text) => self.hear(&mut socket, text.as_str()).await?,
                        Message::Close(_) => return Err(Broken),
                        // Pings are answered by the library.
                        Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
                    }
                }
                event = self.outgoing.recv() => {
                    let Some(event) = event else { return Ok(()) };
                    // It waited for the connection longer than anybody waits for its answer.
                    if since_1970().as_secs() > event.created_at + PAY_WITHIN.as_secs() {
                        continue;
                    }
                    say(&mut socket, &json!(["EVENT", &event])).await?;
                    if self.sent.len() >= NWC_UNANSWERED_MAX {
                        self.sent.pop_front();
                    }
                    self.sent.push_back(event);
                }
                _ = ping.tick() => {
                    if last.elapsed() > NWC_IDLE {
                        return Err(Broken);
                    }
                    timeout(NWC_CONNECT_WITHIN, socket.send(Message::Ping(Default::default()))).await??;
                }
            }
        }
    }

    async fn subscribe(&self, socket: &mut Socket) -> Result<(), Broken> {
        let mut request = vec![json!("REQ"), json!(SUBSCRIPTION)];
        request.extend(self.filters.iter().cloned());
        say(socket, &Value::Array(request)).await
    }

    /// NIP-01's messages from a relay. What is none of them is passed over.
    async fn hear(&mut self, socket: &mut Socket, text: &str) -> Result<(), Broken> {
        let Ok(Value::Array(mut parts)) = serde_json::from_str::<Value>(text) else { return Ok(()) };
        let word = |at: usize| parts.get(at).and_then(Value::as_str).unwrap_or_default();
        match word(0) {
            "EVENT" if word(1) == SUBSCRIPTION => {
                if let Some(event) = parts.get_mut(2).and_then(|event| serde_json::from_value(event.take()).ok()) {
                    self.heard.send(Heard::Event(event)).await.map_err(|_| Broken)?;
                }
            }
            "OK" => {
                let at = self.sent.iter().position(|event| event.id == word(1));
                let event = at.and_then(|at| self.sent.remove(at));
                if parts.get(2) == Some(&Value::Bool(false)) && !word(3).starts_with("duplicate:") {
                    match event {
                        // NIP-42: it is sent again, once, after the proof.
                        Some(event) if word(3).starts_with("auth-required:") => {
                            say(socket, &json!(["EVENT", event])).await?;
                        }
                        _ => {
                            let id = word(1).to_owned();
                            self.heard.send(Heard::Refused { id }).await.map_err(|_| Broken)?;
                        }
                    }
                }
            }
            "AUTH" => {
                let tags = vec![vec!["relay".into(), self.url.clone()], vec!["challenge".into(), word(1).into()]];
                let proof = self.keys.sign(AUTH_KIND, tags, String::new(), since_1970().as_secs());
                say(socket, &json!(["AUTH", proof])).await?;
                self.subscribe(socket).await?;
            }
            // After a proof the subscription is made again; any other reason ends the connection.
            "CLOSED" if !word(2).starts_with("auth-required:") => return Err(Broken),
            _ => {}
        }
        Ok(())
    }
}

/// The connection is no good any more.
#[derive(Debug)]
struct Broken;

impl From<tokio_tungstenite::tungstenite::Error> for Broken {
    fn from(_: tokio_tungstenite::tungstenite::Error) -> Self {
        Self
    }
}

impl From<tokio::time::error::Elapsed> for Broken {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self
    }
}

async fn say(socket: &mut Socket, message: &Value) -> Result<(), Broken> {
    Ok(timeout(NWC_CONNECT_WITHIN, socket.send(Message::text(message.to_string()))).await??)
}

pub(super) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
