//! Reading somebody's invoice, as far as the house's books need it.

use std::time::SystemTime;

use lightning_invoice::Bolt11Invoice;
use lnmp::{Msat, PaymentHash};

use crate::WalletError;

/// What a BOLT 11 invoice asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invoice {
    /// `p`
    pub hash: PaymentHash,
    /// Zero when the invoice leaves it to the payer.
    pub amount: Msat,
    /// When nobody can pay it any more.
    pub expires_at: SystemTime,
}

impl Invoice {
    /// Parses and checks the signature; that it has expired is no error.
    ///
    /// # Errors
    /// [`WalletError::BadInvoice`].
    pub fn parse(bolt11: &str) -> Result<Self, WalletError> {
        let invoice: Bolt11Invoice = bolt11.parse().map_err(|_| WalletError::BadInvoice("it is no BOLT 11 invoice"))?;
        let hash: &[u8] = invoice.payment_hash().as_ref();
        let hash =
            <[u8; 32]>::try_from(hash).map_err(|_| WalletError::BadInvoice("its payment hash is not 32 octets"))?;
        let expires_at = invoice
            .expires_at()
            .and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since))
            .unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(Self { hash: PaymentHash(hash), amount: Msat(invoice.amount_milli_satoshis().unwrap_or(0)), expires_at })
    }
}
