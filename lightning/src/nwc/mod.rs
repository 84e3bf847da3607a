//! Nostr Wallet Connect (NIP-47): any wallet that speaks it, over a relay, with its hold methods.
//!
//! ```text
//!   Nwc ──▶ client ──▶ relay ══ws══ relay ══▶ the wallet
//!             └─ nip44: what is said      └─ event: who says it
//! ```
//! The relay sees who talks to whom and when, not what is said. NIP-44 only: a wallet that knows nothing but NIP-04 is
//! refused. Notifications are a reason to look; what counts is what `lookup_invoice` answers.
//!
//! Written from the NIPs; not yet run against a real wallet.

mod client;
mod event;
pub mod nip44;
mod purse;
mod relay;
mod uri;

use std::time::Duration;

use async_trait::async_trait;
use bitcoin::Network;
use lnmp::{Msat, PaymentHash};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use self::client::{Client, Fault};
pub use self::event::{Event, Keys};
pub use self::purse::{Purse, PurseError};
pub use self::uri::{ConnectionUri, UriError};
use crate::WalletError;
use crate::limits::{NWC_INFO_WITHIN, NWC_REQUEST_WITHIN, NWC_SLOTS, NWC_VALUE, PAY_WITHIN};
use crate::remote::RemoteError;
use crate::remote::api::{Api, Info, Kind, Made, Room, Seen};
use crate::wallet::{Balance, ChannelInfo, NewHold, Paid};

/// What a hold needs.
const HOLD_METHODS: [&str; 4] = ["make_hold_invoice", "settle_hold_invoice", "cancel_hold_invoice", "lookup_invoice"];
/// What any wallet needs.
const METHODS: [&str; 3] = ["make_invoice", "lookup_invoice", "get_info"];

/// A wallet behind a relay.
pub(crate) struct Nwc {
    client: Client,
    can_hold: bool,
}

impl Nwc {
    /// Connects and asks what the wallet can do.
    pub(crate) async fn connect(uri: &str) -> Result<Self, RemoteError> {
        let client = Client::start(ConnectionUri::parse(uri)?);
        let info = client.info(NWC_INFO_WITHIN).await;
        if info.as_ref().is_some_and(|info| !info.nip44) {
            return Err(RemoteError::Lacks("it offers no NIP-44 encryption (nip44_v2)"));
        }
        let mut nwc = Self { client, can_hold: false };
        // The relay may have lost the info event; the wallet itself knows.
        let told: GetInfo = nwc.ask("get_info", json!({}), "to tell about itself").await?;
        let methods = match &told.methods {
            Some(methods) if !methods.is_empty() => methods.clone(),
            _ => info.map(|info| info.methods).unwrap_or_default(),
        };
        let offers = |wanted: &[&str]| wanted.iter().all(|method| methods.iter().any(|offered| offered == method));
        if !offers(&METHODS) {
            return Err(RemoteError::Lacks("the connection does not allow make_invoice, lookup_invoice and get_info"));
        }
        // Without a height nobody could say when a hold ends.
        nwc.can_hold = offers(&HOLD_METHODS) && told.block_height.is_some_and(|height| height > 0);
        if !nwc.can_hold {
            tracing::warn!(
                "lightning: the wallet behind Nostr Wallet Connect cannot hold payments, or tells no height"
            );
        }
        Ok(nwc)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
        what: &'static str,
    ) -> Result<T, WalletError> {
        let answer = self.client.request(method, params, NWC_REQUEST_WITHIN).await;
        read(answer.map_err(|fault| fault.into_error(what))?)
    }

    async fn transaction(&self, hash: PaymentHash) -> Result<Option<Transaction>, WalletError> {
        let params = json!({ "payment_hash": hash.to_string() });
        match self.client.request("lookup_invoice", params, NWC_REQUEST_WITHIN).await {
            Ok(answer) => read(answer).map(Some),
            Err(fault) if fault.is("NOT_FOUND") => Ok(None),
            Err(fault) => Err(fault.into_error("to look up an invoice")),
        }
    }
}

#[async_trait]
impl Api for Nwc {
    fn can_hold(&self) -> bool {
        self.can_hold
    }

    async fn make_hold(&self, new: &NewHold) -> Result<Made, WalletError> {
        if let Some(known) = self.transaction(new.hash).await? {
            let open = known.seen() == Seen::Open;
            return Ok(Made::Known(known.invoice.filter(|_| open)));
        }
        let params = json!({
            "amount": new.amount.0,
            "description": new.description,
            "expiry": new.expiry.as_secs(),
            "payment_hash": new.hash.to_string(),
            "min_cltv_expiry_delta": new.final_cltv,
        });
        let made: MadeInvoice = self.ask("make_hold_invoice", params, "to make a hold invoice").await?;
        Ok(Made::Invoice(made.invoice))
    }

    async fn settle_hold(&self, _hash: PaymentHash, preimage: &[u8; 32]) -> Result<(), WalletError> {
        let preimage = Zeroizing::new(hex::encode(preimage));
        let params = json!({ "preimage": *preimage });
        self.ask::<Value>("settle_hold_invoice", params, "to settle a hold invoice").await.map(drop)
    }

    async fn cancel_hold(&self, hash: PaymentHash) -> Result<(), WalletError> {
        let params = json!({ "payment_hash": hash.to_string() });
        match self.client.request("cancel_hold_invoice", params, NWC_REQUEST_WITHIN).await {
            Ok(_) => Ok(()),
            Err(fault) if fault.is("NOT_FOUND") => Ok(()),
            Err(fault) => Err(fault.into_error("to cancel a hold invoice")),
        }
    }

    async fn look(&self, hash: PaymentHash, _kind: Kind) -> Result<Seen, WalletError> {
        let Some(transaction) = self.transaction(hash).await? else { return Ok(Seen::Unknown) };
        if transaction.is_outgoing() {
            return Ok(Seen::Unknown);
        }
        Ok(match transaction.seen() {
            Seen::Held { amount, expiry_height } => {
                let expiry_height = expiry_height.or_else(|| self.client.deadline(&hash.to_string()));
                Seen::Held { amount, expiry_height }
            }
            other => other,
        })
    }

    async fn info(&self) -> Result<Info, WalletError> {
        let told: GetInfo = self.ask("get_info", json!({}), "to tell about itself").await?;
        let network = match told.network.as_deref() {
            Some("mainnet" | "bitcoin") | None => Network::Bitcoin,
            Some("testnet") => Network::Testnet,
            Some("signet") => Network::Signet,
            Some("regtest") => Network::Regtest,
            Some(_) => return Err(WalletError::Bug("the wallet names a chain that is none of Bitcoin's".into())),
        };
        let height = told.block_height.unwrap_or(0);
        Ok(Info { network, height, synced: height > 0 })
    }

    async fn room(&self) -> Result<Room, WalletError> {
        // The wallet tells nothing of its channels: the narrowest of the usual nodes is assumed.
        Ok(Room { channels: 1, slots: NWC_SLOTS, inbound: NWC_VALUE })
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        let balance: GetBalance = self.ask("get_balance", json!({}), "to tell its balance").await?;
        let channel = Msat(balance.balance);
        Ok(Balance { channel, spendable: channel, ..Balance::default() })
    }

    async fn invoice(&self, amount: Msat, description: &str, expiry: Duration) -> Result<String, WalletError> {
        let params = json!({ "amount": amount.0, "description": description, "expiry": expiry.as_secs() });
        let made: MadeInvoice = self.ask("make_invoice", params, "to make an invoice").await?;
        Ok(made.invoice)
    }

    async fn pay(&self, bolt11: &str, _fee_max: Msat) -> Result<Paid, WalletError> {
        match self.client.request("pay_invoice", json!({ "invoice": bolt11 }), PAY_WITHIN).await {
            Ok(answer) => {
                let paid: PayInvoice = read(answer)?;
                Ok(Paid::Succeeded { fee: Msat(paid.fees_paid.unwrap_or(0)) })
            }
            Err(fault) if fault.is("PAYMENT_FAILED") => Ok(Paid::Failed),
            // It may have been carried out: `lookup_invoice` tells.
            Err(Fault::Wallet(WalletError::Busy)) => Ok(Paid::Pending),
            Err(fault) => Err(fault.into_error("to pay an invoice")),
        }
    }

    async fn sent(&self, hash: PaymentHash) -> Result<Option<Paid>, WalletError> {
        let transaction = self.transaction(hash).await?.filter(Transaction::is_outgoing);
        Ok(transaction.map(|transaction| match transaction.seen() {
            Seen::Settled { .. } => Paid::Succeeded { fee: Msat(transaction.fees_paid.unwrap_or(0)) },
            Seen::Cancelled => Paid::Failed,
            Seen::Open | Seen::Held { .. } | Seen::Unknown => Paid::Pending,
        }))
    }

    async fn channels(&self) -> Result<Vec<ChannelInfo>, WalletError> {
        Ok(Vec::new())
    }

    async fn rung(&self) {
        self.client.rung().await;
    }

    async fn close(&self) {
        self.client.stop();
    }
}

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, WalletError> {
    // Not shown: it may hold an invoice or a preimage.
    serde_json::from_value(answer).map_err(|_| WalletError::Bug("the wallet's answer lacks what NIP-47 asks".into()))
}

#[derive(Deserialize)]
struct GetInfo {
    network: Option<String>,
    block_height: Option<u32>,
    methods: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct GetBalance {
    /// Millisatoshis.
    balance: u64,
}

#[derive(Deserialize)]
struct MadeInvoice {
    invoice: String,
}

#[derive(Deserialize)]
struct PayInvoice {
    fees_paid: Option<u64>,
}

/// An invoice or a payment. Amounts are millisatoshis.
#[derive(Deserialize)]
struct Transaction {
    #[serde(rename = "type")]
    direction: Option<String>,
    /// `pending`, `accepted`, `settled`, `expired` or `failed`; earlier wallets leave it out.
    state: Option<String>,
    invoice: Option<String>,
    amount: Option<u64>,
    fees_paid: Option<u64>,
    settled_at: Option<u64>,
    settle_deadline: Option<u32>,
}

impl Transaction {
    fn is_outgoing(&self) -> bool {
        self.direction.as_deref() == Some("outgoing")
    }

    fn seen(&self) -> Seen {
        let amount = self.amount.map(Msat);
        let settled = self.settled_at.is_some_and(|at| at > 0);
        match self.state.as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("accepted") => Seen::Held { amount, expiry_height: self.settle_deadline },
            Some("settled") => Seen::Settled { amount },
            Some("expired" | "failed" | "canceled" | "cancelled") => Seen::Cancelled,
            Some(_) => Seen::Open,
            None if settled => Seen::Settled { amount },
            None => Seen::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(text: &str) -> Transaction {
        serde_json::from_str(text).unwrap()
    }

    /// The shapes of NIP-47's examples.
    #[test]
    fn the_examples_of_nip_47_are_read() {
        let looked = transaction(
            r#"{"type":"incoming","state":"settled","invoice":"lnbc50n1","description":"string","description_hash":"string",
                "preimage":"0123456789abcdef","payment_hash":"31afdf1","amount":123,"fees_paid":0,"created_at":1693876973,
                "expires_at":1694876973,"settled_at":1693877973,"metadata":{}}"#,
        );
        assert_eq!(looked.seen(), Seen::Settled { amount: Some(Msat(123)) });
        assert!(!looked.is_outgoing());
        let held = transaction(
            r#"{"type":"incoming","state":"accepted","invoice":"lnbc50n1","payment_hash":"31afdf1","amount":123,
                "created_at":1693876973,"expires_at":1694876973,"settle_deadline":800000,"metadata":{}}"#,
        );
        assert_eq!(held.seen(), Seen::Held { amount: Some(Msat(123)), expiry_height: Some(800_000) });
        for (state, seen) in [("pending", Seen::Open), ("expired", Seen::Cancelled), ("failed", Seen::Cancelled)] {
            assert_eq!(transaction(&format!(r#"{{"type":"incoming","state":"{state}"}}"#)).seen(), seen);
        }
        // Before there was a state.
        assert_eq!(transaction(r#"{"type":"incoming","amount":1}"#).seen(), Seen::Open);
        let old = transaction(r#"{"type":"outgoing","amount":1,"settled_at":1693877973}"#);
        assert!(old.is_outgoing() && old.seen() == Seen::Settled { amount: Some(Msat(1)) });

        let info: GetInfo = serde_json::from_str(
            r#"{"alias":"string","color":"hex string","pubkey":"hex string","network":"mainnet","block_height":1,
                "block_hash":"hex string","methods":["pay_invoice","get_balance","make_invoice","lookup_invoice",
                "list_transactions","get_info"],"notifications":["payment_received","payment_sent"]}"#,
        )
        .unwrap();
        assert_eq!((info.network.as_deref(), info.block_height), (Some("mainnet"), Some(1)));
        let paid: PayInvoice = serde_json::from_str(r#"{"preimage":"0123456789abcdef","fees_paid":123}"#).unwrap();
        assert_eq!(paid.fees_paid, Some(123));
        assert_eq!(serde_json::from_str::<GetBalance>(r#"{"balance":10000}"#).unwrap().balance, 10_000);
    }
}
