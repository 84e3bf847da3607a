//! Core Lightning, over clnrest, with the plugin `holdinvoice` (daywalker90, version 5 and later).
//!
//! Every method is `POST /v1/METHOD` with a JSON object and the rune in a header. Core Lightning cannot hold by itself;
//! the plugin's methods are `holdinvoice` (under a hash of ours), `holdinvoicesettle`, `holdinvoicecancel` and
//! `holdinvoicelookup`. Earlier versions want the preimage when the invoice is made: they are refused.
//!
//! Written from the documentation; not yet run against a real Core Lightning.

use std::time::Duration;

use async_trait::async_trait;
use bitcoin::Network;
use lnmp::{Msat, PaymentHash};
use rand::RngCore;
use rand::rngs::OsRng;
use reqwest::header::HeaderName;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::WalletError;
use crate::limits::{PAY_WITHIN, REMOTE_CALL_WITHIN};
use crate::remote::RemoteError;
use crate::remote::api::{Api, Info, Kind, Made, Room, Seen};
use crate::remote::http::{Answer, Http};
use crate::wallet::{Balance, ChannelInfo, NewHold, Paid};

/// The first version that holds under a hash whose preimage it does not know.
const PLUGIN_MAJOR: u32 = 5;
/// Errors of `pay`: paid already, and under way still.
const PAY_ALREADY: i64 = 201;
const PAY_IN_PROGRESS: [i64; 2] = [200, 210];
/// Errors of `pay` after which nothing is under way: no route, a refusal, too dear, expired, no outcome but failure.
const PAY_FAILED: [i64; 6] = [203, 205, 206, 207, 209, 219];

/// A Core Lightning node.
pub(crate) struct Cln {
    http: Http,
    /// The plugin was asked for its version.
    plugin: OnceCell<()>,
}

impl Cln {
    pub(crate) fn new(address: &str, certificate: Option<&[u8]>, rune: &str) -> Result<Self, RemoteError> {
        let http = Http::new(address, certificate, HeaderName::from_static("rune"), rune.trim())?;
        Ok(Self { http, plugin: OnceCell::new() })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
        what: &'static str,
    ) -> Result<T, WalletError> {
        self.http.post(&format!("v1/{method}"), &params).await?.json(what)
    }

    /// Whether the plugin is there, and new enough. Asked once.
    async fn plugin(&self) -> Result<(), WalletError> {
        let asked = self.plugin.get_or_try_init(|| async {
            let version: Version = self
                .call(
                    "holdinvoice-version",
                    json!({}),
                    "to tell the version of its plugin holdinvoice: is it installed, and does the rune allow it?",
                )
                .await?;
            let major = version.version.trim_start_matches('v').split('.').next().and_then(|n| n.parse::<u32>().ok());
            match major {
                Some(major) if major >= PLUGIN_MAJOR => Ok(()),
                _ => Err(WalletError::Bug("Core Lightning's plugin holdinvoice must be version 5 or later".into())),
            }
        });
        asked.await.copied()
    }

    async fn hold_of(&self, hash: PaymentHash) -> Result<Option<Hold>, WalletError> {
        let answer = self.http.post("v1/holdinvoicelookup", &json!({ "payment_hash": hash.to_string() })).await?;
        if is_unknown(&answer) {
            return Ok(None);
        }
        let found: Holds = answer.json("to look up a hold invoice")?;
        Ok(found.holdinvoices.into_iter().find(|hold| hold.payment_hash.eq_ignore_ascii_case(&hash.to_string())))
    }

    async fn peer_channels(&self) -> Result<Vec<Channel>, WalletError> {
        let list: Channels = self.call("listpeerchannels", json!({}), "to list its channels").await?;
        Ok(list.channels)
    }
}

#[async_trait]
impl Api for Cln {
    async fn make_hold(&self, new: &NewHold) -> Result<Made, WalletError> {
        self.plugin().await?;
        if let Some(known) = self.hold_of(new.hash).await? {
            return Ok(Made::Known((known.state == "OPEN").then_some(known.bolt11)));
        }
        let params = json!({
            "amount_msat": new.amount.0,
            "description": new.description,
            "expiry": new.expiry.as_secs(),
            "payment_hash": new.hash.to_string(),
            "cltv": new.final_cltv,
        });
        let made: MadeInvoice = self.call("holdinvoice", params, "to make a hold invoice").await?;
        Ok(Made::Invoice(made.bolt11))
    }

    async fn settle_hold(&self, _hash: PaymentHash, preimage: &[u8; 32]) -> Result<(), WalletError> {
        let preimage = Zeroizing::new(hex::encode(preimage));
        // The plugin answers when the HTLCs are settled, which may outlast the call; the next look tells.
        self.call::<Value>("holdinvoicesettle", json!({ "preimage": *preimage }), "to settle a hold invoice")
            .await
            .map(drop)
    }

    async fn cancel_hold(&self, hash: PaymentHash) -> Result<(), WalletError> {
        let answer = self.http.post("v1/holdinvoicecancel", &json!({ "payment_hash": hash.to_string() })).await?;
        if is_unknown(&answer) { Ok(()) } else { answer.json::<Value>("to cancel a hold invoice").map(drop) }
    }

    async fn look(&self, hash: PaymentHash, kind: Kind) -> Result<Seen, WalletError> {
        match kind {
            Kind::Hold => Ok(self.hold_of(hash).await?.map_or(Seen::Unknown, |hold| match hold.state.as_str() {
                "ACCEPTED" => Seen::Held { amount: None, expiry_height: hold.htlc_expiry },
                "SETTLED" => Seen::Settled { amount: None },
                "CANCELED" => Seen::Cancelled,
                _ => Seen::Open,
            })),
            Kind::Ordinary => {
                let params = json!({ "payment_hash": hash.to_string() });
                let list: Invoices = self.call("listinvoices", params, "to look up an invoice").await?;
                Ok(list.invoices.first().map_or(Seen::Unknown, |invoice| match invoice.status.as_str() {
                    "paid" => Seen::Settled { amount: invoice.amount_received_msat.map(Msat) },
                    "expired" => Seen::Cancelled,
                    _ => Seen::Open,
                }))
            }
        }
    }

    async fn info(&self) -> Result<Info, WalletError> {
        let info: GetInfo = self.call("getinfo", json!({}), "to tell about itself").await?;
        let network = match info.network.as_str() {
            "bitcoin" => Network::Bitcoin,
            "testnet" | "testnet4" => Network::Testnet,
            "signet" => Network::Signet,
            "regtest" => Network::Regtest,
            _ => return Err(WalletError::Bug("Core Lightning names a chain that is none of Bitcoin's".into())),
        };
        let synced = info.warning_bitcoind_sync.is_none() && info.warning_lightningd_sync.is_none();
        Ok(Info { network, height: info.blockheight, synced })
    }

    async fn room(&self) -> Result<Room, WalletError> {
        let mut room = Room { channels: 0, slots: 0, inbound: Msat::ZERO };
        for channel in self.peer_channels().await?.iter().filter(|channel| channel.usable()) {
            room.channels += 1;
            room.slots = room.slots.saturating_add(channel.max_accepted_htlcs);
            room.inbound = room.inbound + Msat(channel.receivable_msat);
        }
        Ok(room)
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        let funds: Funds = self.call("listfunds", json!({}), "to tell its funds").await?;
        let mut balance = Balance::default();
        for channel in &funds.channels {
            let ours = Msat(channel.our_amount_msat);
            match channel.state.as_str() {
                "CHANNELD_NORMAL" | "CHANNELD_AWAITING_SPLICE" | "CHANNELD_AWAITING_LOCKIN" => {
                    balance.channel = balance.channel + ours;
                }
                // On the chain it is an output of its own in a moment; until then it is on its way.
                "CHANNELD_SHUTTING_DOWN"
                | "CLOSINGD_SIGEXCHANGE"
                | "CLOSINGD_COMPLETE"
                | "AWAITING_UNILATERAL"
                | "FUNDING_SPEND_SEEN" => balance.closing = balance.closing + ours,
                _ => {}
            }
        }
        for output in funds.outputs.iter().filter(|output| output.status != "spent") {
            balance.onchain = balance.onchain + Msat(output.amount_msat);
        }
        let mut sending = Msat::ZERO;
        for channel in &self.peer_channels().await? {
            if channel.usable() {
                balance.spendable = balance.spendable + Msat(channel.spendable_msat);
            }
            for htlc in channel.htlcs.iter().filter(|htlc| htlc.direction == "out") {
                sending = sending + Msat(htlc.amount_msat);
            }
        }
        Ok(Balance { sending: Some(sending), ..balance })
    }

    async fn invoice(&self, amount: Msat, description: &str, expiry: Duration) -> Result<String, WalletError> {
        // Labels are unique for ever.
        let mut label = [0; 16];
        OsRng.fill_bytes(&mut label);
        let params = json!({
            "amount_msat": amount.0,
            "label": format!("satchel-{}", hex::encode(label)),
            "description": description,
            "expiry": expiry.as_secs(),
        });
        let made: MadeInvoice = self.call("invoice", params, "to make an invoice").await?;
        Ok(made.bolt11)
    }

    async fn pay(&self, bolt11: &str, fee_max: Msat) -> Result<Paid, WalletError> {
        let params = json!({ "bolt11": bolt11, "maxfee": fee_max.0, "retry_for": PAY_WITHIN.as_secs() });
        let within = PAY_WITHIN + REMOTE_CALL_WITHIN / 2;
        let answer = match self.http.post_within("v1/pay", &params, within).await {
            // It may be under way: `listpays` tells.
            Err(WalletError::Busy) => return Ok(Paid::Pending),
            answer => answer?,
        };
        match answer.code().filter(|_| !answer.status.is_success()) {
            Some(PAY_ALREADY) => return Err(WalletError::AlreadyPaid),
            Some(code) if PAY_IN_PROGRESS.contains(&code) => return Ok(Paid::Pending),
            Some(code) if PAY_FAILED.contains(&code) => return Ok(Paid::Failed),
            _ => {}
        }
        let payment: Payment = answer.json("to pay an invoice")?;
        Ok(payment.paid())
    }

    async fn sent(&self, hash: PaymentHash) -> Result<Option<Paid>, WalletError> {
        let params = json!({ "payment_hash": hash.to_string() });
        let list: Pays = self.call("listpays", params, "to list its payments").await?;
        // Attempts with one hash stand side by side: one that is done decides, one under way comes next.
        let all: Vec<Paid> = list.pays.iter().map(Payment::paid).collect();
        let done = all.iter().find(|paid| matches!(paid, Paid::Succeeded { .. }));
        Ok(done.or_else(|| all.iter().find(|paid| **paid == Paid::Pending)).or_else(|| all.first()).copied())
    }

    async fn channels(&self) -> Result<Vec<ChannelInfo>, WalletError> {
        let height = self.info().await?.height;
        let channels = self.peer_channels().await?.into_iter().map(|channel| ChannelInfo {
            capacity: Msat(channel.total_msat),
            outbound: Msat(channel.spendable_msat),
            inbound: Msat(channel.receivable_msat),
            usable: channel.usable(),
            confirmations: channel
                .short_channel_id
                .as_deref()
                .and_then(|id| id.split('x').next()?.parse::<u32>().ok())
                .and_then(|block| (height + 1).checked_sub(block))
                .unwrap_or(0),
            ours: channel.opener == "local",
            id: channel.channel_id,
            peer: channel.peer_id,
        });
        Ok(channels.collect())
    }
}

/// The plugin does not know the hash. A 404 of a proxy has no code, and a method that is not there another text.
fn is_unknown(answer: &Answer) -> bool {
    let message = answer.message();
    !answer.status.is_success()
        && answer.code().is_some()
        && message.contains("payment_hash")
        && message.contains("not found")
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct MadeInvoice {
    bolt11: String,
}

#[derive(Deserialize)]
struct Holds {
    holdinvoices: Vec<Hold>,
}

#[derive(Deserialize)]
struct Hold {
    bolt11: String,
    payment_hash: String,
    state: String,
    htlc_expiry: Option<u32>,
}

#[derive(Deserialize)]
struct Invoices {
    invoices: Vec<Invoice>,
}

#[derive(Deserialize)]
struct Invoice {
    status: String,
    amount_received_msat: Option<u64>,
}

#[derive(Deserialize)]
struct GetInfo {
    network: String,
    blockheight: u32,
    warning_bitcoind_sync: Option<String>,
    warning_lightningd_sync: Option<String>,
}

#[derive(Deserialize)]
struct Funds {
    outputs: Vec<Output>,
    channels: Vec<FundedChannel>,
}

#[derive(Deserialize)]
struct Output {
    amount_msat: u64,
    status: String,
}

#[derive(Deserialize)]
struct FundedChannel {
    our_amount_msat: u64,
    state: String,
}

#[derive(Deserialize)]
struct Channels {
    channels: Vec<Channel>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Channel {
    peer_id: String,
    peer_connected: bool,
    state: String,
    channel_id: String,
    short_channel_id: Option<String>,
    total_msat: u64,
    spendable_msat: u64,
    receivable_msat: u64,
    max_accepted_htlcs: u32,
    opener: String,
    htlcs: Vec<Htlc>,
}

#[derive(Deserialize)]
struct Htlc {
    direction: String,
    amount_msat: u64,
}

impl Channel {
    fn usable(&self) -> bool {
        self.peer_connected && matches!(self.state.as_str(), "CHANNELD_NORMAL" | "CHANNELD_AWAITING_SPLICE")
    }
}

#[derive(Deserialize)]
struct Pays {
    pays: Vec<Payment>,
}

#[derive(Deserialize)]
struct Payment {
    status: String,
    amount_msat: Option<u64>,
    amount_sent_msat: Option<u64>,
}

impl Payment {
    fn paid(&self) -> Paid {
        match self.status.as_str() {
            "complete" => {
                let fee =
                    self.amount_sent_msat.zip(self.amount_msat).map_or(0, |(sent, amount)| sent - amount.min(sent));
                Paid::Succeeded { fee: Msat(fee) }
            }
            "failed" => Paid::Failed,
            _ => Paid::Pending,
        }
    }
}
