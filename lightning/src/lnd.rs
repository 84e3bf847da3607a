//! LND, over its REST API (api.lightning.community): hold invoices are its own.
//!
//! Octets are base64 with the standard alphabet in JSON and with the URL-safe one in paths; 64-bit numbers are JSON
//! strings. A hold is `POST /v2/invoices/hodl`, `settle` and `cancel` below the same path; where it is tells
//! `GET /v2/invoices/lookup`. The macaroon goes with every request, as hex.
//!
//! Written from the documentation; not yet run against a real LND.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bitcoin::Network;
use lnmp::{Msat, PaymentHash};
use reqwest::header::HeaderName;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::WalletError;
use crate::limits::{PAY_WITHIN, REMOTE_CALL_WITHIN, REMOTE_TRACK_WITHIN};
use crate::remote::RemoteError;
use crate::remote::api::{Api, Info, Kind, Made, Room, Seen};
use crate::remote::http::{Answer, Http};
use crate::wallet::{Balance, ChannelInfo, NewHold, Paid};

/// gRPC's code, which LND puts into its errors.
const ALREADY_EXISTS: i64 = 6;

/// An LND.
pub(crate) struct Lnd {
    http: Http,
}

impl Lnd {
    pub(crate) fn new(address: &str, certificate: Option<&[u8]>, macaroon: &[u8]) -> Result<Self, RemoteError> {
        let header = HeaderName::from_static("grpc-metadata-macaroon");
        let macaroon = Zeroizing::new(hex::encode(macaroon));
        Ok(Self { http: Http::new(address, certificate, header, &macaroon)? })
    }

    /// `None`: LND does not know the hash.
    async fn invoice_of(&self, hash: PaymentHash) -> Result<Option<Invoice>, WalletError> {
        // In a query the standard alphabet would need escapes; LND reads both there.
        let answer = self.http.get(&format!("v2/invoices/lookup?payment_hash={}", URL_SAFE.encode(hash.0))).await?;
        if is_unknown(&answer) { Ok(None) } else { answer.json("to look up an invoice").map(Some) }
    }
}

#[async_trait]
impl Api for Lnd {
    async fn make_hold(&self, new: &NewHold) -> Result<Made, WalletError> {
        let request = json!({
            "memo": new.description,
            "hash": STANDARD.encode(new.hash.0),
            "value_msat": new.amount.0.to_string(),
            "expiry": new.expiry.as_secs().to_string(),
            "cltv_expiry": new.final_cltv.to_string(),
            "private": true,
        });
        let answer = self.http.post("v2/invoices/hodl", &request).await?;
        if answer.status.is_success() {
            let made: MadeInvoice = answer.json("to make a hold invoice")?;
            return Ok(Made::Invoice(made.payment_request));
        }
        if answer.code() == Some(ALREADY_EXISTS) || answer.message().contains("already exists") {
            let known = self.invoice_of(new.hash).await?;
            let open = known.filter(|invoice| invoice.state == "OPEN" && invoice.value_msat == new.amount.0);
            return Ok(Made::Known(open.map(|invoice| invoice.payment_request)));
        }
        Err(answer.refused("to make a hold invoice"))
    }

    async fn settle_hold(&self, _hash: PaymentHash, preimage: &[u8; 32]) -> Result<(), WalletError> {
        let encoded = Zeroizing::new(STANDARD.encode(preimage));
        let answer = self.http.post("v2/invoices/settle", &json!({ "preimage": *encoded })).await?;
        answer.json::<Value>("to settle a hold invoice").map(drop)
    }

    async fn cancel_hold(&self, hash: PaymentHash) -> Result<(), WalletError> {
        let answer = self.http.post("v2/invoices/cancel", &json!({ "payment_hash": STANDARD.encode(hash.0) })).await?;
        if is_unknown(&answer) { Ok(()) } else { answer.json::<Value>("to cancel a hold invoice").map(drop) }
    }

    async fn look(&self, hash: PaymentHash, _kind: Kind) -> Result<Seen, WalletError> {
        Ok(self.invoice_of(hash).await?.map_or(Seen::Unknown, |invoice| invoice.seen()))
    }

    async fn info(&self) -> Result<Info, WalletError> {
        let info: GetInfo = self.http.get("v1/getinfo").await?.json("to tell about itself")?;
        let network = match info.chains.first().map(|chain| chain.network.as_str()) {
            Some("mainnet") => Network::Bitcoin,
            Some("testnet" | "testnet4") => Network::Testnet,
            Some("signet") => Network::Signet,
            Some("regtest" | "simnet") => Network::Regtest,
            _ => return Err(WalletError::Bug("LND names a chain that is none of Bitcoin's".into())),
        };
        Ok(Info { network, height: info.block_height, synced: info.synced_to_chain })
    }

    async fn room(&self) -> Result<Room, WalletError> {
        let mut room = Room { channels: 0, slots: 0, inbound: Msat::ZERO };
        for channel in self.list().await?.into_iter().filter(|channel| channel.active) {
            room.channels += 1;
            // What we let the peer have towards us stands in our constraints.
            room.slots = room.slots.saturating_add(channel.local_constraints.max_accepted_htlcs);
            let reserve = channel.remote_constraints.chan_reserve_sat;
            room.inbound = room.inbound + sat(channel.remote_balance.saturating_sub(reserve));
        }
        Ok(room)
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        let channels: ChannelBalance = self.http.get("v1/balance/channels").await?.json("to tell its balance")?;
        let chain: ChainBalance = self.http.get("v1/balance/blockchain").await?.json("to tell its balance")?;
        let pending: Pending = self.http.get("v1/channels/pending").await?.json("to tell its pending channels")?;
        let mut spendable = Msat::ZERO;
        for channel in self.list().await?.into_iter().filter(|channel| channel.active) {
            let reserve = channel.local_constraints.chan_reserve_sat;
            spendable = spendable + sat(channel.local_balance.saturating_sub(reserve));
        }
        Ok(Balance {
            channel: Msat(channels.local_balance.msat),
            spendable,
            onchain: sat(chain.total_balance),
            closing: sat(pending.total_limbo_balance),
            sending: Some(Msat(channels.unsettled_local_balance.msat)),
            ..Balance::default()
        })
    }

    async fn invoice(&self, amount: Msat, description: &str, expiry: Duration) -> Result<String, WalletError> {
        let request = json!({
            "memo": description,
            "value_msat": amount.0.to_string(),
            "expiry": expiry.as_secs().to_string(),
            "private": true,
        });
        let made: MadeInvoice = self.http.post("v1/invoices", &request).await?.json("to make an invoice")?;
        Ok(made.payment_request)
    }

    async fn pay(&self, bolt11: &str, fee_max: Msat) -> Result<Paid, WalletError> {
        let request = json!({
            "payment_request": bolt11,
            "timeout_seconds": PAY_WITHIN.as_secs(),
            "fee_limit_msat": fee_max.0.to_string(),
            "no_inflight_updates": true,
        });
        let mut refused = None;
        let within = PAY_WITHIN + REMOTE_CALL_WITHIN / 2;
        let paid = self.http.lines("v2/router/send", Some(&request), within, |status, line| match update(&line) {
            Update::Payment(Paid::Pending) => None,
            Update::Payment(paid) => Some(paid),
            Update::Error { code, message } => {
                let known = code == Some(ALREADY_EXISTS)
                    || message.contains("already paid")
                    || message.contains("in transition");
                refused = Some(if known {
                    WalletError::AlreadyPaid
                } else {
                    WalletError::Refused { what: "to pay an invoice", status: status.as_u16() }
                });
                // LND refuses before it sends anything.
                Some(Paid::Failed)
            }
        });
        let paid = paid.await?;
        match refused {
            Some(error) => Err(error),
            None => Ok(paid.unwrap_or(Paid::Pending)),
        }
    }

    async fn sent(&self, hash: PaymentHash) -> Result<Option<Paid>, WalletError> {
        let path = format!("v2/router/track/{}", URL_SAFE.encode(hash.0));
        let mut refused = None;
        let heard = self.http.lines(&path, None, REMOTE_TRACK_WITHIN, |status, line| match update(&line) {
            // The state there is comes first.
            Update::Payment(paid) => Some(Some(paid)),
            Update::Error { message, .. } => {
                // Nothing else means that: what is taken for unsent may be sent again.
                if !message.contains("isn't initiated") {
                    refused = Some(WalletError::Refused { what: "to track a payment", status: status.as_u16() });
                }
                Some(None)
            }
        });
        let heard = heard.await?;
        match (refused, heard) {
            (Some(error), _) => Err(error),
            (None, Some(paid)) => Ok(paid),
            (None, None) => Err(WalletError::Busy),
        }
    }

    async fn channels(&self) -> Result<Vec<ChannelInfo>, WalletError> {
        let height = self.info().await?.height;
        let channels = self.list().await?.into_iter().map(|channel| ChannelInfo {
            capacity: sat(channel.capacity),
            outbound: sat(channel.local_balance.saturating_sub(channel.local_constraints.chan_reserve_sat)),
            inbound: sat(channel.remote_balance.saturating_sub(channel.remote_constraints.chan_reserve_sat)),
            usable: channel.active,
            // The block of a short channel id is its upper 24 bits.
            confirmations: u32::try_from(channel.chan_id >> 40)
                .ok()
                .and_then(|block| (height + 1).checked_sub(block))
                .unwrap_or(0),
            ours: channel.initiator,
            id: channel.channel_point,
            peer: channel.remote_pubkey,
        });
        Ok(channels.collect())
    }
}

impl Lnd {
    async fn list(&self) -> Result<Vec<Channel>, WalletError> {
        let list: Channels = self.http.get("v1/channels").await?.json("to list its channels")?;
        Ok(list.channels)
    }
}

/// One message about a payment.
enum Update {
    Payment(Paid),
    Error { code: Option<i64>, message: String },
}

/// `{"result": PAYMENT}`, `{"error": STATUS}`, or the bare status of a call that was refused at once.
fn update(line: &Value) -> Update {
    if let Some(payment) = line.get("result") {
        let fee = payment.get("fee_msat").and_then(Value::as_str).and_then(|fee| fee.parse().ok()).unwrap_or(0);
        return Update::Payment(match payment.get("status").and_then(Value::as_str) {
            Some("SUCCEEDED") => Paid::Succeeded { fee: Msat(fee) },
            Some("FAILED") => Paid::Failed,
            _ => Paid::Pending,
        });
    }
    let error = line.get("error").filter(|error| error.is_object()).unwrap_or(line);
    let code = error.get("code").or_else(|| error.get("grpc_code")).and_then(Value::as_i64);
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    Update::Error { code, message }
}

/// By the words for it: "not found" alone may be a proxy's, or an LND's that was built without these calls.
fn is_unknown(answer: &Answer) -> bool {
    let message = answer.message();
    !answer.status.is_success()
        && answer.code().is_some()
        && (message.contains("unable to locate invoice") || message.contains("no existing invoices"))
}

#[derive(Deserialize)]
struct MadeInvoice {
    payment_request: String,
}

#[derive(Deserialize)]
#[serde(default)]
struct Invoice {
    state: String,
    payment_request: String,
    #[serde(deserialize_with = "number")]
    value_msat: u64,
    htlcs: Vec<Htlc>,
}

impl Default for Invoice {
    fn default() -> Self {
        // An enumeration's first value is left out of JSON by some gateways: it is OPEN.
        Self { state: "OPEN".into(), payment_request: String::new(), value_msat: 0, htlcs: Vec::new() }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Htlc {
    state: String,
    expiry_height: u32,
    #[serde(deserialize_with = "number")]
    amt_msat: u64,
}

impl Invoice {
    fn seen(&self) -> Seen {
        let htlcs = |state: &'static str| self.htlcs.iter().filter(move |htlc| htlc.state == state);
        match self.state.as_str() {
            "ACCEPTED" => Seen::Held {
                amount: Some(Msat(htlcs("ACCEPTED").map(|htlc| htlc.amt_msat).sum())),
                expiry_height: htlcs("ACCEPTED").map(|htlc| htlc.expiry_height).min(),
            },
            // LND has called an invoice settled whose HTLC was gone: only the HTLC is money.
            "SETTLED" if htlcs("SETTLED").next().is_some() => {
                Seen::Settled { amount: Some(Msat(htlcs("SETTLED").map(|htlc| htlc.amt_msat).sum())) }
            }
            // The preimage is out, the HTLC not yet: it goes on to be looked at.
            "SETTLED" if htlcs("ACCEPTED").next().is_some() => Seen::Held {
                amount: Some(Msat(htlcs("ACCEPTED").map(|htlc| htlc.amt_msat).sum())),
                expiry_height: htlcs("ACCEPTED").map(|htlc| htlc.expiry_height).min(),
            },
            "SETTLED" | "CANCELED" => Seen::Cancelled,
            _ => Seen::Open,
        }
    }
}

#[derive(Deserialize)]
struct GetInfo {
    block_height: u32,
    #[serde(default)]
    synced_to_chain: bool,
    chains: Vec<Chain>,
}

#[derive(Deserialize)]
struct Chain {
    network: String,
}

#[derive(Deserialize)]
struct ChannelBalance {
    local_balance: Amount,
    unsettled_local_balance: Amount,
}

#[derive(Deserialize)]
struct Amount {
    #[serde(deserialize_with = "number")]
    msat: u64,
}

#[derive(Deserialize)]
struct ChainBalance {
    #[serde(deserialize_with = "number")]
    total_balance: u64,
}

#[derive(Deserialize)]
struct Pending {
    #[serde(default, deserialize_with = "number")]
    total_limbo_balance: u64,
}

#[derive(Deserialize)]
struct Channels {
    #[serde(default)]
    channels: Vec<Channel>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Channel {
    active: bool,
    remote_pubkey: String,
    channel_point: String,
    #[serde(deserialize_with = "number")]
    chan_id: u64,
    #[serde(deserialize_with = "number")]
    capacity: u64,
    #[serde(deserialize_with = "number")]
    local_balance: u64,
    #[serde(deserialize_with = "number")]
    remote_balance: u64,
    initiator: bool,
    local_constraints: Constraints,
    remote_constraints: Constraints,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Constraints {
    #[serde(deserialize_with = "number")]
    chan_reserve_sat: u64,
    max_accepted_htlcs: u32,
}

/// A 64-bit number, which JSON of protocol buffers writes as a string.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    // Balances may be below zero for a moment; there is nothing to have then.
    let number: i128 = text.parse().map_err(|_| serde::de::Error::custom("a number in a string is expected"))?;
    Ok(u64::try_from(number).unwrap_or(0))
}

fn sat(sat: u64) -> Msat {
    Msat(sat.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Seen {
        serde_json::from_str::<Invoice>(text).unwrap().seen()
    }

    #[test]
    fn an_invoice_is_settled_when_its_htlc_is() {
        let held = seen(
            r#"{"state":"ACCEPTED","htlcs":[{"state":"ACCEPTED","expiry_height":700,"amt_msat":"60000"},
               {"state":"ACCEPTED","expiry_height":690,"amt_msat":"40000"},{"state":"CANCELED","expiry_height":600,"amt_msat":"1"}]}"#,
        );
        assert_eq!(held, Seen::Held { amount: Some(Msat(100_000)), expiry_height: Some(690) });
        let settled = r#"{"state":"SETTLED","htlcs":[{"state":"SETTLED","amt_msat":"100000"}]}"#;
        assert_eq!(seen(settled), Seen::Settled { amount: Some(Msat(100_000)) });
        let gone = r#"{"state":"SETTLED","htlcs":[{"state":"CANCELED","amt_msat":"100000"}]}"#;
        assert_eq!(seen(gone), Seen::Cancelled);
        assert_eq!(seen(r#"{"state":"CANCELED"}"#), Seen::Cancelled);
        assert_eq!(seen(r#"{"state":"OPEN","value_msat":"5"}"#), Seen::Open);
    }

    #[test]
    fn both_forms_of_an_error_in_a_stream_are_read() {
        for text in [
            r#"{"error":{"code":5,"message":"payment isn't initiated","details":[]}}"#,
            r#"{"error":{"grpc_code":5,"http_code":404,"message":"payment isn't initiated","http_status":"Not Found"}}"#,
            r#"{"code":5,"message":"payment isn't initiated","details":[]}"#,
        ] {
            let line = serde_json::from_str(text).unwrap();
            assert!(matches!(update(&line), Update::Error { code: Some(5), .. }), "{text}");
        }
    }
}
