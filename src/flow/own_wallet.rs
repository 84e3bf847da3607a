//! What an account names for its own money: where its share is paid out to, and a wallet that pays prices.
//!
//! Kept as small values of the store, encrypted at rest under the bridge key: a connection string can spend.

use lnmp::Msat;
use rand::Rng as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::{AccountId, UnixMs};

use crate::house::House;

/// Accounts with automatic payouts, as JSON.
const PAID_OUT: &str = "payout-accounts";

/// Where a share is paid out to. Not printed: it may hold a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A Lightning address (LUD-16).
    Address(String),
    /// A wallet that makes invoices (NIP-47): its connection string.
    Nwc(String),
    /// The sandbox's customer.
    Sandbox,
}

impl Target {
    /// For tables, without secrets.
    pub fn in_words(&self) -> &str {
        match self {
            Self::Address(address) => address,
            Self::Nwc(_) => "nwc",
            Self::Sandbox => "sandbox",
        }
    }
}

/// An account's automatic payouts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payouts {
    /// Which choice this is: what was begun under another one says nothing of it.
    pub choice: u64,
    /// Where to.
    pub to: Target,
    /// What stays.
    pub above: Msat,
    /// How it goes.
    #[serde(default)]
    pub state: State,
}

/// How automatic payouts go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The invoice that is, or was to be, paid: written down before the node hears of it, and followed by another one only
    /// when its end is known.
    pub attempt: Option<String>,
    /// Failures since the last success.
    pub failures: u32,
    /// The last one, in words.
    pub failing: Option<String>,
    /// Its owner was told.
    pub told: bool,
    /// Nothing before that.
    pub next_at: UnixMs,
}

impl Payouts {
    /// A new choice.
    pub fn new(to: Target, above: Msat) -> Self {
        Self { choice: rand::thread_rng().r#gen(), to, above, state: State::default() }
    }
}

fn payouts_key(account: AccountId) -> String {
    format!("payouts-of/{}", account.0)
}

fn wallet_key(account: AccountId) -> String {
    format!("wallet-of/{}", account.0)
}

/// Nothing is an empty value: there is no other way to take one back.
async fn get<T: DeserializeOwned>(house: &House, key: &str) -> anyhow::Result<Option<T>> {
    match house.store.get_meta(key).await? {
        Some(bytes) if !bytes.is_empty() => Ok(Some(serde_json::from_slice(&bytes)?)),
        _ => Ok(None),
    }
}

async fn set<T: Serialize>(house: &House, key: &str, value: Option<&T>) -> anyhow::Result<()> {
    let bytes = value.map(serde_json::to_vec).transpose()?.unwrap_or_default();
    Ok(house.store.set_meta(key, &bytes).await?)
}

/// An account's automatic payouts.
pub async fn payouts(house: &House, account: AccountId) -> anyhow::Result<Option<Payouts>> {
    get(house, &payouts_key(account)).await
}

/// Accounts that have some.
pub async fn paid_out(house: &House) -> anyhow::Result<Vec<AccountId>> {
    Ok(get(house, PAID_OUT).await?.unwrap_or_default())
}

/// Chooses, or with `None` ends them.
pub async fn choose_payouts(house: &House, account: AccountId, payouts: Option<&Payouts>) -> anyhow::Result<()> {
    let _choosing = house.choosing.lock().await;
    let mut accounts = paid_out(house).await?;
    accounts.retain(|one| *one != account);
    accounts.extend(payouts.map(|_| account));
    // The list last: an account on it without a choice is passed over, one with a choice must be on it.
    if payouts.is_none() {
        set(house, PAID_OUT, Some(&accounts)).await?;
    }
    set(house, &payouts_key(account), payouts).await?;
    if payouts.is_some() {
        set(house, PAID_OUT, Some(&accounts)).await?;
    }
    Ok(())
}

/// Notes how it goes, with what that causes; `false`, and nothing, when another choice was made meanwhile.
pub async fn note(
    house: &House,
    account: AccountId,
    payouts: &Payouts,
    mut causes: store::Batch,
    now: UnixMs,
) -> anyhow::Result<bool> {
    let _choosing = house.choosing.lock().await;
    if self::payouts(house, account).await?.is_none_or(|is| is.choice != payouts.choice) {
        return Ok(false);
    }
    causes.meta.push((payouts_key(account), serde_json::to_vec(payouts)?));
    house.store.commit(causes, now).await?;
    Ok(true)
}

/// The connection string of the wallet that pays prices for an account.
pub async fn wallet(house: &House, account: AccountId) -> anyhow::Result<Option<String>> {
    get(house, &wallet_key(account)).await
}

/// Names it, or with `None` takes it back.
pub async fn choose_wallet(house: &House, account: AccountId, uri: Option<&str>) -> anyhow::Result<()> {
    let _choosing = house.choosing.lock().await;
    set(house, &wallet_key(account), uri.as_ref()).await
}

/// The account is gone.
pub async fn forget(house: &House, account: AccountId) -> anyhow::Result<()> {
    if payouts(house, account).await?.is_some() {
        choose_payouts(house, account, None).await?;
    }
    if wallet(house, account).await?.is_some() {
        choose_wallet(house, account, None).await?;
    }
    Ok(())
}
