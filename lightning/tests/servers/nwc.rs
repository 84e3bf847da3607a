//! A wallet service of Nostr Wallet Connect, as NIP-47 describes it, on the other side of a relay.

use std::sync::{Arc, Mutex, MutexGuard};

use futures::{SinkExt, StreamExt};
use lightning::nwc::nip44::ConversationKey;
use lightning::nwc::{Event, Keys};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use super::relay::Relay;
use super::world::{FEE_MSAT, Is, No, World, now};

const WALLET: [u8; 32] = [0x31; 32];
const CLIENT: [u8; 32] = [0x32; 32];
/// Everything this wallet can do.
pub(crate) const METHODS: &str = "pay_invoice make_invoice lookup_invoice get_balance get_info make_hold_invoice \
                                  settle_hold_invoice cancel_hold_invoice notifications";

/// A wallet, and what it gave out.
#[derive(Clone)]
pub(crate) struct Service {
    notify: mpsc::UnboundedSender<[u8; 32]>,
    pub(crate) uri: String,
    manner: Arc<Mutex<Manner>>,
}

/// How a wallet behaves beyond its methods.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner {
    /// Its invoices are the customer's: other nodes of the world can pay them.
    pub(crate) is_customers: bool,
    /// `pay_invoice` is answered with this code, and not carried out.
    pub(crate) refuses: Option<&'static str>,
    /// `pay_invoice` is carried out and not answered.
    pub(crate) is_silent: bool,
    /// How often it was asked to pay.
    pub(crate) asked_to_pay: u32,
}

impl Service {
    /// Starts one that offers these methods, and encrypts as the tag says.
    pub(crate) async fn start(world: &World, relay: &Relay, methods: &str, encryption: &str) -> Self {
        let keys = Arc::new(Keys::new(&WALLET).unwrap());
        let (notify, notices) = mpsc::unbounded_channel();
        let uri = format!(
            "nostr+walletconnect://{}?relay={}&secret={}&lud16=me%40example.org\n",
            keys.public(),
            relay.url.replace(':', "%3A").replace('/', "%2F"),
            hex::encode(CLIENT)
        );
        let wallet = Wallet {
            world: world.clone(),
            client: Keys::new(&CLIENT).unwrap().public().to_string(),
            conversation: ConversationKey::new(&keys, &Keys::new(&CLIENT).unwrap().public()),
            keys,
            methods: methods.split_whitespace().map(str::to_owned).collect(),
            encryption: encryption.to_owned(),
            nonce: 0,
            manner: Arc::default(),
        };
        let manner = Arc::clone(&wallet.manner);
        tokio::spawn(wallet.run(relay.url.clone(), notices));
        Self { notify, uri, manner }
    }

    /// How it behaves from now on, and how often it was asked to pay.
    pub(crate) fn manner(&self) -> MutexGuard<'_, Manner> {
        self.manner.lock().unwrap()
    }

    /// Tells the client of a payment that came in.
    pub(crate) fn notify(&self, hash: [u8; 32]) {
        self.notify.send(hash).unwrap();
    }
}

struct Wallet {
    world: World,
    client: String,
    conversation: ConversationKey,
    keys: Arc<Keys>,
    methods: Vec<String>,
    encryption: String,
    nonce: u64,
    manner: Arc<Mutex<Manner>>,
}

impl Wallet {
    async fn run(mut self, url: String, mut notices: mpsc::UnboundedReceiver<[u8; 32]>) {
        loop {
            let Ok((mut socket, _)) = connect_async(url.as_str()).await else { return };
            // NIP-47: the methods between spaces; the notifications in a tag.
            let tags = vec![
                vec!["encryption".to_owned(), self.encryption.clone()],
                vec!["notifications".to_owned(), "payment_received hold_invoice_accepted".to_owned()],
            ];
            let info = self.keys.sign(13194, tags, self.methods.join(" "), now());
            let wanted = json!(["REQ", "requests", { "kinds": [23194], "#p": [self.keys.public().to_string()] }]);
            for message in [json!(["EVENT", info]), wanted] {
                socket.send(Message::text(message.to_string())).await.unwrap();
            }
            loop {
                let said = tokio::select! {
                    hash = notices.recv() => {
                        let Some(hash) = hash else { return };
                        self.notice(hash)
                    }
                    heard = socket.next() => {
                        // The relay went away: connect again.
                        let Some(Ok(message)) = heard else { break };
                        let Message::Text(text) = message else { continue };
                        let message: Vec<Value> = serde_json::from_str(text.as_str()).unwrap();
                        if message[0] == "EVENT" {
                            let event: Event = serde_json::from_value(message[2].clone()).unwrap();
                            // Whatever a relay sends beside requests is passed over.
                            if !event.is_authentic() || event.kind != 23194 {
                                continue;
                            }
                            let Some(answer) = self.request(&event) else { continue };
                            answer
                        } else {
                            continue;
                        }
                    }
                };
                if socket.send(Message::text(json!(["EVENT", said]).to_string())).await.is_err() {
                    break;
                }
            }
        }
    }

    fn seal(&mut self, text: &Value) -> String {
        self.nonce += 1;
        let mut nonce = [0x77; 32];
        nonce[..8].copy_from_slice(&self.nonce.to_be_bytes());
        self.conversation.encrypt(&text.to_string(), &nonce).unwrap()
    }

    /// Checks a request as a wallet must, carries it out, and answers.
    fn request(&mut self, event: &Event) -> Option<Event> {
        assert_eq!(event.tag("p"), Some(&*self.keys.public().to_string()));
        assert_eq!(event.tag("encryption"), Some("nip44_v2"));
        let expires: u64 = event.tag("expiration").unwrap().parse().unwrap();
        assert!(expires > now() && event.created_at.abs_diff(now()) < 60);
        let text = self.conversation.decrypt(&event.content).expect("NIP-44 between us two");
        let request: Value = serde_json::from_str(&text).unwrap();
        let object = request.as_object().unwrap();
        assert!(object.len() == 2 && request["params"].is_object(), "a method and its parameters: {request}");
        let method = request["method"].as_str().unwrap();
        let answer = if event.pubkey != self.client {
            Err("UNAUTHORIZED")
        } else if !self.methods.iter().any(|offered| offered == method) {
            Err("NOT_IMPLEMENTED")
        } else {
            self.carry_out(method, &request["params"])
        };
        if method == "pay_invoice" && self.manner.lock().unwrap().is_silent {
            return None;
        }
        let response = match answer {
            Ok(result) => json!({ "result_type": method, "error": null, "result": result }),
            Err(code) => {
                json!({ "result_type": method, "error": { "code": code, "message": "no" }, "result": null })
            }
        };
        let content = self.seal(&response);
        // Either tag SHOULD be there. Alby's SDK leaves `p` out; nobody could do without `e`.
        let mut tags = vec![vec!["e".to_owned(), event.id.clone()]];
        if method != "get_info" {
            tags.push(vec!["p".to_owned(), event.pubkey.clone()]);
        }
        Some(self.keys.sign(23195, tags, content, now()))
    }

    fn carry_out(&self, method: &str, params: &Value) -> Result<Value, &'static str> {
        let names: Vec<&str> = params.as_object().unwrap().keys().map(String::as_str).collect();
        let only = |allowed: &[&str]| assert!(names.iter().all(|name| allowed.contains(name)), "{method}: {names:?}");
        let number = |name: &str| params.get(name).and_then(Value::as_u64).ok_or("OTHER");
        let octets = |name: &str| -> Result<[u8; 32], &'static str> {
            let text = params.get(name).and_then(Value::as_str).ok_or("OTHER")?;
            hex::decode(text).map_err(|_| "OTHER")?.try_into().map_err(|_| "OTHER")
        };
        let description = params.get("description").and_then(Value::as_str).unwrap_or_default();
        match method {
            "get_info" => Ok(json!({
                "alias": "wallet", "color": "#ffffff", "pubkey": "02".to_owned() + &"55".repeat(32),
                "network": "regtest", "block_height": self.world.lock().height, "block_hash": "00".repeat(32),
                "methods": self.methods, "notifications": ["payment_received", "hold_invoice_accepted"],
            })),
            "get_balance" => Ok(json!({ "balance": self.world.lock().local_msat })),
            "make_invoice" => {
                only(&["amount", "description", "description_hash", "expiry", "metadata"]);
                if self.manner.lock().unwrap().is_customers {
                    let bolt11 = self.world.customer_invoice(number("amount")?);
                    return Ok(json!({ "type": "incoming", "state": "pending", "invoice": bolt11 }));
                }
                let hash = self.world.lock().ordinary(number("amount")?, description, number("expiry")?).1;
                Ok(self.transaction(hash))
            }
            "make_hold_invoice" => {
                only(&[
                    "amount",
                    "description",
                    "description_hash",
                    "expiry",
                    "payment_hash",
                    "min_cltv_expiry_delta",
                    "metadata",
                ]);
                let (hash, amount, expiry) = (octets("payment_hash")?, number("amount")?, number("expiry")?);
                let cltv = u32::try_from(number("min_cltv_expiry_delta")?).unwrap();
                let made = self.world.lock().hold(hash, amount, description, expiry, cltv);
                made.ok_or("OTHER")?;
                Ok(self.transaction(hash))
            }
            "settle_hold_invoice" => {
                only(&["preimage"]);
                let preimage = octets("preimage")?;
                let settled = self.world.lock().settle(preimage);
                settled.map(|_| json!({})).map_err(|no| if no == No::Unknown { "NOT_FOUND" } else { "INTERNAL" })
            }
            "cancel_hold_invoice" => {
                only(&["payment_hash"]);
                let hash = octets("payment_hash")?;
                let cancelled = self.world.lock().cancel(hash);
                cancelled.map(|()| json!({})).map_err(|no| if no == No::Unknown { "NOT_FOUND" } else { "INTERNAL" })
            }
            "lookup_invoice" => {
                only(&["payment_hash", "invoice"]);
                let hash = octets("payment_hash")?;
                let (incoming, outgoing) = {
                    let state = self.world.lock();
                    (state.invoices.contains_key(&hash), state.sent.get(&hash).cloned())
                };
                match (incoming, outgoing) {
                    (true, _) => Ok(self.transaction(hash)),
                    (false, Some(sent)) => Ok(json!({
                        "type": "outgoing", "state": "settled", "payment_hash": hex::encode(hash),
                        "preimage": hex::encode(sent.preimage), "amount": sent.amount_msat, "fees_paid": FEE_MSAT,
                        "created_at": now(), "settled_at": now(), "metadata": {},
                    })),
                    (false, None) => Err("NOT_FOUND"),
                }
            }
            "pay_invoice" => {
                only(&["invoice", "amount", "metadata"]);
                let bolt11 = params.get("invoice").and_then(Value::as_str).ok_or("OTHER")?;
                let refuses = {
                    let mut manner = self.manner.lock().unwrap();
                    manner.asked_to_pay += 1;
                    manner.refuses
                };
                if let Some(code) = refuses {
                    return Err(code);
                }
                let sent = self.world.lock().send(bolt11);
                match sent {
                    Ok((_, sent)) => Ok(json!({ "preimage": hex::encode(sent.preimage), "fees_paid": FEE_MSAT })),
                    Err("no balance") => Err("INSUFFICIENT_BALANCE"),
                    Err(_) => Err("PAYMENT_FAILED"),
                }
            }
            _ => Err("NOT_IMPLEMENTED"),
        }
    }

    fn transaction(&self, hash: [u8; 32]) -> Value {
        let state = self.world.lock();
        let invoice = &state.invoices[&hash];
        let name = match invoice.state {
            Is::Open => "pending",
            Is::Accepted => "accepted",
            Is::Settled => "settled",
            Is::Canceled => "failed",
        };
        let mut shown = json!({
            "type": "incoming", "state": name, "invoice": invoice.bolt11, "description": invoice.memo,
            "payment_hash": hex::encode(hash), "amount": invoice.amount_msat, "fees_paid": 0,
            "created_at": invoice.created_at, "expires_at": invoice.created_at + invoice.expiry, "metadata": {},
        });
        if invoice.state == Is::Settled {
            shown["settled_at"] = json!(now());
            shown["preimage"] = json!(hex::encode(invoice.preimage.unwrap()));
        }
        shown
    }

    /// `hold_invoice_accepted` with its deadline, or `payment_received`.
    fn notice(&mut self, hash: [u8; 32]) -> Event {
        let mut told = self.transaction(hash);
        let (state, htlc) = {
            let state = self.world.lock();
            (state.invoices[&hash].state, state.invoices[&hash].htlc)
        };
        let name = if state == Is::Accepted { "hold_invoice_accepted" } else { "payment_received" };
        if let Some(htlc) = htlc.filter(|_| state == Is::Accepted) {
            told["settle_deadline"] = json!(htlc.expiry_height);
        }
        let content = self.seal(&json!({ "notification_type": name, "notification": told }));
        self.keys.sign(23197, vec![vec!["p".to_owned(), self.client.clone()]], content, now())
    }
}
