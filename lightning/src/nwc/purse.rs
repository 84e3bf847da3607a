//! A user's own wallet: it makes invoices for what the user is owed, and pays prices. Nothing is held with it.
//!
//! The bridge is a guest here: the wallet has a budget, and says no in the words of NIP-47.

use std::time::Duration;

use futures::future::BoxFuture;
use lnmp::{Msat, PaymentHash};
use serde_json::{Value, json};
use thiserror::Error;

use super::client::{Client, Fault};
use super::{ConnectionUri, GetInfo, MadeInvoice, PayInvoice, Transaction, UriError};
use crate::limits::{NWC_INFO_WITHIN, NWC_REQUEST_WITHIN, PAY_WITHIN};
use crate::remote::api::Seen;
use crate::{Invoice, Paid, WalletError};

/// Why a user's wallet did not do what it was asked. The texts are for that user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PurseError {
    /// Nothing was asked: no relay of it answers.
    #[error("your wallet's relay does not answer (is the connection string still right?)")]
    Away,
    /// It was asked, and does not answer; it may have done it all the same.
    #[error("your wallet does not answer")]
    Silent,
    /// `INSUFFICIENT_BALANCE`.
    #[error("your wallet has not enough money (INSUFFICIENT_BALANCE)")]
    Balance,
    /// `QUOTA_EXCEEDED`.
    #[error("the budget that your wallet gives this connection is used up (QUOTA_EXCEEDED)")]
    Quota,
    /// `RESTRICTED`.
    #[error("your wallet does not let this connection do that (RESTRICTED)")]
    Restricted,
    /// `UNAUTHORIZED`.
    #[error("your wallet does not know this connection any more (UNAUTHORIZED)")]
    Unauthorized,
    /// `RATE_LIMITED`.
    #[error("your wallet was asked too often (RATE_LIMITED)")]
    RateLimited,
    /// `NOT_IMPLEMENTED`.
    #[error("your wallet cannot do that (NOT_IMPLEMENTED)")]
    NotImplemented,
    /// `PAYMENT_FAILED`.
    #[error("your wallet found no way to pay it (PAYMENT_FAILED)")]
    PaymentFailed,
    /// `UNSUPPORTED_ENCRYPTION`.
    #[error("your wallet speaks no NIP-44 (UNSUPPORTED_ENCRYPTION)")]
    Encryption,
    /// `INTERNAL`, `OTHER`, and what is none of NIP-47.
    #[error("your wallet met an error of its own")]
    Internal,
    /// Its answer is not what NIP-47 says, or not what was asked for.
    #[error("your wallet answers wrongly")]
    Wrong,
    /// A method that is not allowed to this connection.
    #[error("this connection does not allow {0}; allow it in the wallet, or make a connection that has it")]
    Lacks(&'static str),
}

impl PurseError {
    /// Whether the wallet may have carried it out.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Silent | Self::Wrong)
    }

    fn of(fault: &Fault) -> Self {
        match fault {
            Fault::Wallet(WalletError::NotRunning) => Self::Away,
            Fault::Wallet(WalletError::Bug(_)) => Self::Wrong,
            Fault::Wallet(_) => Self::Silent,
            Fault::Code(code) => match code.as_str() {
                "INSUFFICIENT_BALANCE" => Self::Balance,
                "QUOTA_EXCEEDED" => Self::Quota,
                "RESTRICTED" => Self::Restricted,
                "UNAUTHORIZED" => Self::Unauthorized,
                "RATE_LIMITED" => Self::RateLimited,
                "NOT_IMPLEMENTED" => Self::NotImplemented,
                "PAYMENT_FAILED" => Self::PaymentFailed,
                "UNSUPPORTED_ENCRYPTION" => Self::Encryption,
                _ => Self::Internal,
            },
        }
    }
}

/// A connection to a user's wallet, open as long as this lives.
pub struct Purse {
    client: Client,
}

impl Purse {
    /// Reads the connection string and begins to connect.
    ///
    /// # Errors
    /// [`UriError`]: it is none.
    pub fn open(uri: &str) -> Result<Self, UriError> {
        Ok(Self { client: Client::start(ConnectionUri::parse(uri)?) })
    }

    /// Whether the connection allows these methods.
    ///
    /// # Errors
    /// [`PurseError::Lacks`] names the first that it does not.
    pub fn allows<'a>(&'a self, wanted: &'a [&'static str]) -> BoxFuture<'a, Result<(), PurseError>> {
        Box::pin(async move {
            let told: GetInfo = read(self.ask("get_info", json!({}), NWC_REQUEST_WITHIN).await?)?;
            // A wallet that does not tell is asked when it matters.
            let methods = told.methods.unwrap_or_default();
            let lacks = |method: &&&'static str| !methods.is_empty() && !methods.iter().any(|one| one == **method);
            wanted.iter().find(lacks).map_or(Ok(()), |method| Err(PurseError::Lacks(method)))
        })
    }

    /// An invoice over exactly `amount`.
    ///
    /// # Errors
    /// See [`PurseError`].
    pub fn invoice<'a>(
        &'a self,
        amount: Msat,
        description: &'a str,
        expiry: Duration,
    ) -> BoxFuture<'a, Result<String, PurseError>> {
        Box::pin(async move {
            let params = json!({ "amount": amount.0, "description": description, "expiry": expiry.as_secs() });
            let made: MadeInvoice = read(self.ask("make_invoice", params, NWC_REQUEST_WITHIN).await?)?;
            let invoice = Invoice::parse(&made.invoice).map_err(|_| PurseError::Wrong)?;
            if invoice.amount == amount { Ok(made.invoice) } else { Err(PurseError::Wrong) }
        })
    }

    /// Pays, and waits a bounded time: [`PurseError::Silent`] says that only [`Purse::sent`] knows.
    ///
    /// # Errors
    /// See [`PurseError`].
    pub fn pay<'a>(&'a self, bolt11: &'a str) -> BoxFuture<'a, Result<Paid, PurseError>> {
        Box::pin(async move {
            let paid: PayInvoice = read(self.ask("pay_invoice", json!({ "invoice": bolt11 }), PAY_WITHIN).await?)?;
            Ok(Paid::Succeeded { fee: Msat(paid.fees_paid.unwrap_or(0)) })
        })
    }

    /// How far a payment of it is; `None` when it knows of none.
    ///
    /// # Errors
    /// See [`PurseError`].
    pub fn sent(&self, hash: PaymentHash) -> BoxFuture<'_, Result<Option<Paid>, PurseError>> {
        Box::pin(async move {
            let params = json!({ "payment_hash": hash.to_string() });
            let answer = match self.request("lookup_invoice", params, NWC_REQUEST_WITHIN).await {
                Ok(answer) => answer,
                Err(fault) if fault.is("NOT_FOUND") => return Ok(None),
                Err(fault) => return Err(PurseError::of(&fault)),
            };
            let transaction: Transaction = read(answer)?;
            // An invoice that the wallet itself made is no payment of it.
            Ok(transaction.is_outgoing().then(|| match transaction.seen() {
                Seen::Settled { .. } => Paid::Succeeded { fee: Msat(transaction.fees_paid.unwrap_or(0)) },
                Seen::Cancelled => Paid::Failed,
                Seen::Open | Seen::Held { .. } | Seen::Unknown => Paid::Pending,
            }))
        })
    }

    async fn ask(&self, method: &str, params: Value, within: Duration) -> Result<Value, PurseError> {
        self.request(method, params, within).await.map_err(|fault| PurseError::of(&fault))
    }

    /// A relay keeps neither requests nor answers: once the wallet's info event came, both sides listen. One that lost it is
    /// asked all the same.
    async fn request(&self, method: &str, params: Value, within: Duration) -> Result<Value, Fault> {
        self.client.up().await?;
        if self.client.info(NWC_INFO_WITHIN).await.is_some_and(|info| !info.nip44) {
            return Err(Fault::Code("UNSUPPORTED_ENCRYPTION".into()));
        }
        self.client.request(method, params, within).await
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, PurseError> {
    serde_json::from_value(answer).map_err(|_| PurseError::Wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_of_nip_47_is_told_in_words_with_its_name() {
        for code in [
            "RATE_LIMITED",
            "NOT_IMPLEMENTED",
            "INSUFFICIENT_BALANCE",
            "QUOTA_EXCEEDED",
            "RESTRICTED",
            "UNAUTHORIZED",
            "PAYMENT_FAILED",
            "UNSUPPORTED_ENCRYPTION",
        ] {
            let error = PurseError::of(&Fault::Code(code.into()));
            assert!(error.to_string().contains(code) && !error.is_open(), "{error}");
        }
        for code in ["INTERNAL", "OTHER", "SOMETHING_NEW"] {
            assert_eq!(PurseError::of(&Fault::Code(code.into())), PurseError::Internal);
        }
        assert_eq!(PurseError::of(&Fault::Wallet(WalletError::NotRunning)), PurseError::Away);
        assert!(PurseError::of(&Fault::Wallet(WalletError::Busy)).is_open(), "it may have been carried out");
    }
}
