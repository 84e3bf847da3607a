//! The client of Nostr Wallet Connect (NIP-47): requests, responses and notifications, all under NIP-44.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitcoin::secp256k1::XOnlyPublicKey;
use futures::future::select_all;
use rand::RngCore;
use rand::rngs::OsRng;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::nip44::ConversationKey;
use super::relay::{Heard, Relay, since_1970};
use super::{ConnectionUri, Event, Keys};
use crate::WalletError;
use crate::limits::{NWC_CLOCKS, NWC_CONNECT_WITHIN, NWC_DEADLINES_MAX, NWC_PENDING_MAX, NWC_QUEUE};

/// What the wallet can do; published once, replaceable.
const INFO: u16 = 13194;
const REQUEST: u16 = 23194;
const RESPONSE: u16 = 23195;
/// Notifications under NIP-44. Those under NIP-04 (23196) say the same.
const NOTIFICATION: u16 = 23197;
/// The name of NIP-44 in the tag `encryption`.
const NIP44: &str = "nip44_v2";

/// What the wallet told about itself in its info event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InfoEvent {
    /// Methods, as their names.
    pub(super) methods: Vec<String>,
    /// Whether NIP-44 is offered.
    pub(super) nip44: bool,
}

/// Why a request brought nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// The wallet says no, with a code of NIP-47.
    Code(String),
    /// It does not answer, or what it answers cannot be read.
    Wallet(WalletError),
}

impl Fault {
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Code(code) if code == name)
    }

    /// The error a caller sees where the code means nothing in particular.
    pub(super) fn into_error(self, what: &'static str) -> WalletError {
        match self {
            Self::Wallet(error) => error,
            Self::Code(code) => match code.as_str() {
                "RATE_LIMITED" => WalletError::Busy,
                "INSUFFICIENT_BALANCE" | "QUOTA_EXCEEDED" => WalletError::NoCapacity,
                "NOT_IMPLEMENTED" => WalletError::Refused { what, status: 501 },
                "RESTRICTED" | "UNAUTHORIZED" => WalletError::Refused { what, status: 403 },
                "NOT_FOUND" => WalletError::Refused { what, status: 404 },
                _ => WalletError::Refused { what, status: 500 },
            },
        }
    }
}

#[derive(Deserialize)]
struct Response {
    result_type: Option<String>,
    error: Option<ResponseError>,
    result: Option<Value>,
}

#[derive(Deserialize)]
struct ResponseError {
    code: String,
}

#[derive(Deserialize)]
struct Notification {
    notification: Value,
}

/// A connection to a wallet service.
pub(super) struct Client {
    shared: Arc<Shared>,
    keys: Arc<Keys>,
    wallet: XOnlyPublicKey,
    relays: Vec<Relay>,
    info: watch::Receiver<Option<InfoEvent>>,
    stopping: watch::Sender<bool>,
}

type Pending = HashMap<String, oneshot::Sender<Result<Response, Fault>>>;

struct Shared {
    conversation: ConversationKey,
    wallet: String,
    ours: String,
    /// Requests that wait, by the id of their event.
    pending: Mutex<Pending>,
    /// What notifications said of holds that a look-up may leave out: the height by which each must be settled.
    deadlines: Mutex<HashMap<String, u32>>,
    rung: Notify,
    /// How many relays there are.
    relays: usize,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Client {
    /// Starts to connect; the relays connect on their own.
    pub(super) fn start(uri: ConnectionUri) -> Self {
        let ConnectionUri { wallet, keys, relays } = uri;
        let keys = Arc::new(keys);
        let (stopping, stop) = watch::channel(false);
        let (tell_info, info) = watch::channel(None);
        let (heard, hearing) = mpsc::channel(NWC_QUEUE);
        let filters = vec![
            json!({ "kinds": [INFO], "authors": [wallet.to_string()], "limit": 1 }),
            json!({
                // Not by tag `p`: NIP-47 says only that it SHOULD be there, and some wallets leave it out.
                "kinds": [RESPONSE, NOTIFICATION],
                "authors": [wallet.to_string()],
                // Answers to what an earlier connection asked are no use any more.
                "since": since_1970().saturating_sub(NWC_CLOCKS).as_secs(),
            }),
        ];
        let shared = Arc::new(Shared {
            conversation: ConversationKey::new(&keys, &wallet),
            wallet: wallet.to_string(),
            ours: keys.public().to_string(),
            pending: Mutex::default(),
            deadlines: Mutex::default(),
            rung: Notify::new(),
            relays: relays.len(),
        });
        let start = |url| Relay::start(url, Arc::clone(&keys), filters.clone(), heard.clone(), stop.clone());
        let relays = relays.into_iter().map(start).collect();
        tokio::spawn(Arc::clone(&shared).listen(hearing, tell_info));
        Self { shared, keys, wallet, relays, info, stopping }
    }

    /// The wallet's info event, waited for at most `within`.
    pub(super) async fn info(&self, within: Duration) -> Option<InfoEvent> {
        let mut info = self.info.clone();
        timeout(within, info.wait_for(Option::is_some)).await.ok()?.ok()?.clone()
    }

    /// Waits until a relay is there.
    pub(super) async fn up(&self) -> Result<(), Fault> {
        let up = select_all(self.relays.iter().map(|relay| Box::pin(relay.up())));
        timeout(NWC_CONNECT_WITHIN, up).await.map(drop).map_err(|_| Fault::Wallet(WalletError::NotRunning))
    }

    /// Asks the wallet and waits for its answer, at most `within`.
    pub(super) async fn request(&self, method: &str, params: Value, within: Duration) -> Result<Value, Fault> {
        self.up().await?;
        let event = self.sealed(method, &params, within)?;
        let id = event.id.clone();
        let (answer, answered) = oneshot::channel();
        {
            let mut pending = self.shared.pending();
            if pending.len() >= NWC_PENDING_MAX {
                return Err(Fault::Wallet(WalletError::Busy));
            }
            pending.insert(id.clone(), answer);
        }
        // Whatever way this ends, nobody waits for the answer afterwards.
        let _forget = Forget { shared: &self.shared, id: &id };
        let mut published = false;
        // A relay that is not there yet gets it when it is: it may be the only one the wallet listens at.
        for relay in &self.relays {
            published |= relay.publish(event.clone());
        }
        if !published {
            return Err(Fault::Wallet(WalletError::Busy));
        }
        let response = timeout(within, answered).await.map_err(|_| Fault::Wallet(WalletError::Busy))?;
        let response = response.map_err(|_| Fault::Wallet(WalletError::NotRunning))??;
        if let Some(error) = response.error {
            return Err(Fault::Code(error.code));
        }
        if response.result_type.as_deref() != Some(method) {
            return Err(Fault::Wallet(WalletError::Bug("the wallet answered another question".into())));
        }
        Ok(response.result.unwrap_or(Value::Null))
    }

    fn sealed(&self, method: &str, params: &Value, within: Duration) -> Result<Event, Fault> {
        let text = zeroize::Zeroizing::new(json!({ "method": method, "params": params }).to_string());
        let mut nonce = [0; 32];
        OsRng.fill_bytes(&mut nonce);
        let content = self.shared.conversation.encrypt(&text, &nonce);
        let content = content.map_err(|error| Fault::Wallet(WalletError::Bug(error.to_string())))?;
        let now = since_1970().as_secs();
        let tag = |name: &str, value: String| vec![name.to_owned(), value];
        let tags = vec![
            tag("p", self.wallet.to_string()),
            tag("encryption", NIP44.to_owned()),
            // A wallet that wakes up later must not carry out what nobody waits for any more.
            tag("expiration", (now + (within + NWC_CLOCKS).as_secs()).to_string()),
        ];
        Ok(self.keys.sign(REQUEST, tags, content, now))
    }

    /// Returns when the wallet told of something.
    pub(super) async fn rung(&self) {
        self.shared.rung.notified().await;
    }

    /// The height a notification gave for a hold.
    pub(super) fn deadline(&self, hash: &str) -> Option<u32> {
        self.shared.deadlines().get(hash).copied()
    }

    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }
}

/// Takes a request off the list of those that wait.
struct Forget<'a> {
    shared: &'a Shared,
    id: &'a str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.pending().remove(self.id);
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deadlines(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listen(self: Arc<Self>, mut hearing: mpsc::Receiver<Heard>, info: watch::Sender<Option<InfoEvent>>) {
        let mut newest = 0;
        while let Some(heard) = hearing.recv().await {
            match heard {
                // Where there are several, another one may carry it.
                Heard::Refused { .. } if self.relays > 1 => {}
                Heard::Refused { id } => {
                    if let Some(waiting) = self.pending().remove(&id) {
                        let _ = waiting.send(Err(Fault::Wallet(WalletError::Busy)));
                    }
                }
                // The wallet may have other clients, and they keep it busy.
                Heard::Event(event) if !self.concerns_us(&event) => {}
                // A relay may send whatever it likes: only the wallet's own word counts.
                Heard::Event(event) if event.pubkey != self.wallet || !event.is_authentic() => {
                    tracing::debug!("lightning: a relay sent an event that is not the wallet's");
                }
                Heard::Event(event) => match event.kind {
                    INFO if event.created_at >= newest => {
                        newest = event.created_at;
                        info.send_replace(Some(info_of(&event)));
                    }
                    RESPONSE => self.answer(&event),
                    NOTIFICATION => self.notice(&event),
                    _ => {}
                },
            }
        }
    }

    /// By what it says, before a signature is computed.
    fn concerns_us(&self, event: &Event) -> bool {
        match event.kind {
            RESPONSE => event.tag("e").is_some_and(|id| self.pending().contains_key(id)),
            NOTIFICATION => event.tag("p").is_none_or(|client| client == self.ours),
            _ => true,
        }
    }

    fn answer(&self, event: &Event) {
        // NIP-47: the response names its request in a tag `e`.
        let Some(waiting) = event.tag("e").and_then(|id| self.pending().remove(id)) else { return };
        let response = self.conversation.decrypt(&event.content).ok();
        let response = response.and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(|| {
            Fault::Wallet(WalletError::Bug("the wallet's answer cannot be read: no NIP-44, or no NIP-47".into()))
        });
        let _ = waiting.send(response);
    }

    /// A notification is a reason to look; the height it names is kept.
    fn notice(&self, event: &Event) {
        let Ok(text) = self.conversation.decrypt(&event.content) else { return };
        let Ok(Notification { notification }) = serde_json::from_str(&text) else { return };
        let hash = notification.get("payment_hash").and_then(Value::as_str);
        let deadline = notification.get("settle_deadline").and_then(Value::as_u64).and_then(|d| u32::try_from(d).ok());
        if let (Some(hash), Some(deadline)) = (hash, deadline) {
            let mut deadlines = self.deadlines();
            if deadlines.len() >= NWC_DEADLINES_MAX {
                // Look-ups, and the invoice's own blocks, say as much.
                deadlines.clear();
            }
            deadlines.insert(hash.to_ascii_lowercase(), deadline);
        }
        self.rung.notify_one();
    }
}

/// NIP-47: methods stand in the content, between spaces; without a tag `encryption` there is only NIP-04.
fn info_of(event: &Event) -> InfoEvent {
    InfoEvent {
        methods: event.content.split_whitespace().map(str::to_owned).collect(),
        nip44: event.tag("encryption").is_some_and(|offered| offered.split_whitespace().any(|one| one == NIP44)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The envelopes of NIP-47's text.
    #[test]
    fn the_responses_and_notifications_of_nip_47_are_read() {
        let read = |text: &str| serde_json::from_str::<Response>(text).unwrap();
        let refused = read(
            r#"{"result_type": "pay_invoice",
                "error": {"code": "UNAUTHORIZED", "message": "human readable error message"}, "result": null}"#,
        );
        assert_eq!(refused.error.unwrap().code, "UNAUTHORIZED");
        let paid =
            read(r#"{"result_type": "pay_invoice", "result": {"preimage": "0123456789abcdef", "fees_paid": 123}}"#);
        assert!(paid.error.is_none() && paid.result_type.as_deref() == Some("pay_invoice"));
        assert_eq!(paid.result.unwrap()["fees_paid"], 123);
        let null = read(r#"{"result_type": "get_balance", "error": null, "result": {"balance": 10000}}"#);
        assert!(null.error.is_none());
        let told: Notification = serde_json::from_str(
            r#"{"notification_type": "payment_received", "notification": {"payment_hash": "0123456789abcdef"}}"#,
        )
        .unwrap();
        assert_eq!(told.notification["payment_hash"], "0123456789abcdef");
    }

    #[test]
    fn an_info_event_names_methods_and_encryption() {
        let keys = Keys::new(&[7; 32]).unwrap();
        let event = |tags| keys.sign(INFO, tags, "pay_invoice get_balance notifications".into(), 0);
        let tag = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
        let info = info_of(&event(vec![tag("encryption", "nip44_v2 nip04"), tag("notifications", "payment_sent")]));
        assert!(info.nip44);
        assert_eq!(info.methods, ["pay_invoice", "get_balance", "notifications"]);
        // Without the tag it is NIP-04.
        assert!(!info_of(&event(Vec::new())).nip44);
    }
}
