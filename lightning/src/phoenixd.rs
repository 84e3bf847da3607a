//! phoenixd (phoenix.acinq.co/server/api): invoices and payouts over HTTP. It settles at once and cannot hold, so no mail
//! is gated with it.
//!
//! Requests are forms, answers JSON, amounts whole satoshis; the password goes as Basic credentials with no user.
//!
//! Written from the documentation; not yet run against a real phoenixd.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bitcoin::Network;
use lnmp::{Msat, PaymentHash};
use reqwest::StatusCode;
use reqwest::header::AUTHORIZATION;
use serde::Deserialize;
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use crate::limits::{PAY_WITHIN, REMOTE_CALL_WITHIN};
use crate::remote::RemoteError;
use crate::remote::api::{Api, Info, Kind, Made, Room, Seen};
use crate::remote::http::Http;
use crate::wallet::{Balance, ChannelInfo, NewHold, Paid};
use crate::{Invoice, WalletError};

/// A phoenixd.
pub(crate) struct Phoenixd {
    http: Http,
}

impl Phoenixd {
    pub(crate) fn new(address: &str, password: &str) -> Result<Self, RemoteError> {
        let credentials = Zeroizing::new(format!(":{}", password.trim()));
        let header = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*credentials)));
        Ok(Self { http: Http::new(address, None, AUTHORIZATION, &header)? })
    }

    async fn node(&self) -> Result<Node, WalletError> {
        self.http.get("getinfo").await?.json("to tell about itself")
    }
}

#[async_trait]
impl Api for Phoenixd {
    fn can_hold(&self) -> bool {
        false
    }

    async fn make_hold(&self, _new: &NewHold) -> Result<Made, WalletError> {
        Err(WalletError::CannotHold)
    }

    async fn settle_hold(&self, _hash: PaymentHash, _preimage: &[u8; 32]) -> Result<(), WalletError> {
        Err(WalletError::CannotHold)
    }

    async fn cancel_hold(&self, _hash: PaymentHash) -> Result<(), WalletError> {
        // Nothing is ever locked.
        Ok(())
    }

    async fn look(&self, hash: PaymentHash, _kind: Kind) -> Result<Seen, WalletError> {
        let answer = self.http.get(&format!("payments/incoming/{hash}")).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Seen::Unknown);
        }
        let payment: Incoming = answer.json("to look up a payment")?;
        Ok(match (payment.is_paid, payment.is_expired) {
            // What the payer sent: the fee for liquidity comes out of it and is a cost of the node.
            (true, _) => Seen::Settled { amount: Some(sat(payment.received_sat)) },
            (false, true) => Seen::Cancelled,
            (false, false) => Seen::Open,
        })
    }

    async fn info(&self) -> Result<Info, WalletError> {
        let node = self.node().await?;
        let network = match node.chain.as_str() {
            "mainnet" => Network::Bitcoin,
            "testnet" | "testnet3" | "testnet4" => Network::Testnet,
            "signet" => Network::Signet,
            "regtest" => Network::Regtest,
            _ => return Err(WalletError::Bug("phoenixd names a chain that is none of Bitcoin's".into())),
        };
        Ok(Info { network, height: node.block_height.unwrap_or(0), synced: true })
    }

    async fn room(&self) -> Result<Room, WalletError> {
        Ok(Room { channels: 0, slots: 0, inbound: Msat::ZERO })
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        let balance: PhoenixBalance = self.http.get("getbalance").await?.json("to tell its balance")?;
        // Fee credit is no money: it pays for liquidity and nothing else.
        let channel = sat(balance.balance_sat);
        Ok(Balance { channel, spendable: channel, ..Balance::default() })
    }

    async fn invoice(&self, amount: Msat, description: &str, expiry: Duration) -> Result<String, WalletError> {
        if !amount.0.is_multiple_of(1000) {
            return Err(WalletError::BadRequest("phoenixd takes whole satoshis"));
        }
        let fields = [
            ("description", description.to_owned()),
            ("amountSat", (amount.0 / 1000).to_string()),
            ("expirySeconds", expiry.as_secs().to_string()),
        ];
        let made: MadeInvoice =
            self.http.form("createinvoice", &fields, REMOTE_CALL_WITHIN).await?.json("to make an invoice")?;
        Ok(made.serialized)
    }

    async fn pay(&self, bolt11: &str, _fee_max: Msat) -> Result<Paid, WalletError> {
        // phoenixd's fee is its own to say: 0.4 % and 4 sat, below what may be paid.
        let hash = Invoice::parse(bolt11)?.hash;
        let fields = [("invoice", bolt11.to_owned())];
        let answer = match self.http.form("payinvoice", &fields, PAY_WITHIN).await {
            // It goes on without us.
            Err(WalletError::Busy) => return Ok(self.sent(hash).await?.unwrap_or(Paid::Pending)),
            answer => answer?,
        };
        let paid: Payment = answer.json("to pay an invoice")?;
        match (paid.payment_preimage, paid.reason) {
            (Some(_), _) => Ok(Paid::Succeeded { fee: sat(paid.routing_fee_sat) }),
            (None, Some(reason)) if reason.contains("already been paid") => Err(WalletError::AlreadyPaid),
            (None, _) => Ok(Paid::Failed),
        }
    }

    async fn sent(&self, hash: PaymentHash) -> Result<Option<Paid>, WalletError> {
        let answer = self.http.get(&format!("payments/outgoingbyhash/{hash}")).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let payment: Outgoing = answer.json("to look up a payment")?;
        // `isPaid` has meant "ended" as well: only the preimage is proof.
        Ok(Some(match (payment.preimage, payment.completed_at) {
            (Some(_), _) => Paid::Succeeded { fee: Msat(payment.fees) },
            (None, Some(_)) => Paid::Failed,
            (None, None) => Paid::Pending,
        }))
    }

    async fn channels(&self) -> Result<Vec<ChannelInfo>, WalletError> {
        let channels = self.node().await?.channels.into_iter().map(|channel| ChannelInfo {
            id: channel.channel_id.unwrap_or_default(),
            peer: String::new(),
            capacity: sat(channel.capacity_sat.unwrap_or(0)),
            outbound: sat(channel.balance_sat.unwrap_or(0)),
            inbound: sat(channel.inbound_liquidity_sat.unwrap_or(0)),
            usable: channel.state.eq_ignore_ascii_case("normal"),
            confirmations: 0,
            ours: false,
        });
        Ok(channels.collect())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    chain: String,
    block_height: Option<u32>,
    #[serde(default)]
    channels: Vec<Channel>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Channel {
    state: String,
    channel_id: Option<String>,
    balance_sat: Option<u64>,
    inbound_liquidity_sat: Option<u64>,
    capacity_sat: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PhoenixBalance {
    balance_sat: u64,
}

#[derive(Deserialize)]
struct MadeInvoice {
    serialized: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Incoming {
    is_paid: bool,
    #[serde(default)]
    is_expired: bool,
    received_sat: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payment {
    /// There when it succeeded. Nobody here needs it.
    payment_preimage: Option<IgnoredAny>,
    #[serde(default)]
    routing_fee_sat: u64,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outgoing {
    preimage: Option<IgnoredAny>,
    /// Millisatoshis.
    fees: u64,
    completed_at: Option<i64>,
}

fn sat(sat: u64) -> Msat {
    Msat(sat.saturating_mul(1000))
}
