//! A Nostr relay (NIP-01), which may ask for a proof of identity first (NIP-42).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use futures::{SinkExt, StreamExt};
use lightning::nwc::Event;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

#[derive(Clone)]
pub(crate) struct Relay {
    shared: Arc<Mutex<Shared>>,
    /// Every connection ends when it changes.
    cut: watch::Sender<u32>,
    pub(crate) url: String,
}

#[derive(Default)]
struct Shared {
    /// Replaceable events, newest by author and kind.
    kept: HashMap<(String, u16), Event>,
    listeners: HashMap<u64, Listener>,
    next: u64,
    connections: usize,
    proofs: usize,
    taken: usize,
}

struct Listener {
    out: mpsc::UnboundedSender<Value>,
    subscriptions: HashMap<String, Vec<Value>>,
}

impl Relay {
    pub(crate) async fn start(wants_proof: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let relay = Self { shared: Arc::default(), cut: watch::Sender::new(0), url };
        let serving = relay.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let relay = serving.clone();
                tokio::spawn(async move {
                    let mut cut = relay.cut.subscribe();
                    tokio::select! {
                        () = relay.connection(stream, wants_proof) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        relay
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    /// Ends every connection, without a word.
    pub(crate) fn cut_everybody_off(&self) {
        self.lock().listeners.clear();
        self.cut.send_modify(|times| *times += 1);
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.lock().connections
    }

    /// How many proofs of identity were right.
    pub(crate) fn proofs(&self) -> usize {
        self.lock().proofs
    }

    /// How many events were taken.
    pub(crate) fn taken(&self) -> usize {
        self.lock().taken
    }

    /// Sends an event to every subscriber as it is, authentic or not.
    pub(crate) fn forge(&self, event: &Event) {
        for listener in self.lock().listeners.values() {
            for name in listener.subscriptions.keys() {
                let _ = listener.out.send(json!(["EVENT", name, event]));
            }
        }
    }

    async fn connection(&self, stream: TcpStream, wants_proof: bool) {
        let Ok(mut socket) = accept_async(stream).await else { return };
        let (out, mut outgoing) = mpsc::unbounded_channel();
        let id = {
            let mut shared = self.lock();
            shared.next += 1;
            shared.connections += 1;
            let id = shared.next;
            shared.listeners.insert(id, Listener { out: out.clone(), subscriptions: HashMap::new() });
            id
        };
        let mut proven = !wants_proof;
        let challenge = format!("challenge-{id}");
        if wants_proof {
            out.send(json!(["AUTH", challenge])).unwrap();
        }
        loop {
            tokio::select! {
                said = outgoing.recv() => {
                    let Some(said) = said else { return };
                    if socket.send(Message::text(said.to_string())).await.is_err() {
                        return;
                    }
                }
                heard = socket.next() => {
                    let Some(Ok(message)) = heard else { break };
                    let Message::Text(text) = message else { continue };
                    let message: Vec<Value> = serde_json::from_str(text.as_str()).expect("a JSON array");
                    match message[0].as_str().expect("a word first") {
                        "AUTH" => {
                            let event: Event = serde_json::from_value(message[1].clone()).expect("an event");
                            let fine = event.is_authentic()
                                && event.kind == 22242
                                && event.tag("challenge") == Some(&*challenge)
                                && event.tag("relay").is_some_and(|url| url.trim_end_matches('/') == self.url);
                            proven |= fine;
                            self.lock().proofs += usize::from(fine);
                            out.send(json!(["OK", event.id, fine, ""])).unwrap();
                        }
                        "REQ" if !proven => {
                            out.send(json!(["CLOSED", message[1], "auth-required: who are you?"])).unwrap();
                        }
                        "REQ" => self.subscribe(id, &message, &out),
                        "CLOSE" => {
                            let name = message[1].as_str().unwrap();
                            if let Some(listener) = self.lock().listeners.get_mut(&id) {
                                listener.subscriptions.remove(name);
                            }
                        }
                        "EVENT" => {
                            let event: Event = serde_json::from_value(message[1].clone()).expect("an event");
                            let why = match (event.is_authentic(), proven) {
                                (false, _) => "invalid: bad signature",
                                (true, false) => "auth-required: who are you?",
                                (true, true) => "",
                            };
                            out.send(json!(["OK", event.id, why.is_empty(), why])).unwrap();
                            if why.is_empty() {
                                self.publish(event);
                            }
                        }
                        word => panic!("a client does not say {word}"),
                    }
                }
            }
        }
        self.lock().listeners.remove(&id);
    }

    fn subscribe(&self, id: u64, message: &[Value], out: &mpsc::UnboundedSender<Value>) {
        let name = message[1].as_str().expect("a name").to_owned();
        assert!((1..=64).contains(&name.len()), "NIP-01: at most 64 characters");
        let filters: Vec<Value> = message[2..].to_vec();
        assert!(!filters.is_empty() && filters.iter().all(Value::is_object));
        let mut shared = self.lock();
        for event in shared.kept.values().filter(|event| filters.iter().any(|filter| matches(filter, event))) {
            out.send(json!(["EVENT", name, event])).unwrap();
        }
        out.send(json!(["EOSE", name])).unwrap();
        if let Some(listener) = shared.listeners.get_mut(&id) {
            listener.subscriptions.insert(name, filters);
        }
    }

    fn publish(&self, event: Event) {
        let mut shared = self.lock();
        shared.taken += 1;
        for listener in shared.listeners.values() {
            for (name, filters) in &listener.subscriptions {
                if filters.iter().any(|filter| matches(filter, &event)) {
                    let _ = listener.out.send(json!(["EVENT", name, event]));
                }
            }
        }
        // NIP-01: 10000 to 19999 are replaceable, 20000 to 29999 are kept nowhere.
        if (10_000..20_000).contains(&event.kind) {
            shared.kept.insert((event.pubkey.clone(), event.kind), event);
        }
    }
}

fn matches(filter: &Value, event: &Event) -> bool {
    let within = |name: &str, value: &Value| match filter.get(name) {
        Some(Value::Array(allowed)) => allowed.contains(value),
        _ => true,
    };
    let since = filter.get("since").and_then(Value::as_u64).unwrap_or(0);
    within("kinds", &json!(event.kind))
        && within("authors", &json!(event.pubkey))
        && within("#p", &json!(event.tag("p").unwrap_or_default()))
        && event.created_at >= since
}
