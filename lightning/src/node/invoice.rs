//! Invoices: signed anew with a CLTV that leaves a human a day, and parsed before they are paid.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bitcoin::Network;
use bitcoin::bip32::Xpriv;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use ldk::ln::inbound_payment::{ExpandedKey, create_from_hash};
use ldk::sign::{KeysManager, NodeSigner};
use ldk::types::payment::{PaymentHash, PaymentSecret};
use ldk::types::routing::RouteHint;
use lightning_invoice::{Bolt11Invoice, Currency, InvoiceBuilder};
use lnmp::Msat;

use crate::limits::{
    BOLT11_MAX, CLTV_SLACK_BLOCKS, DESCRIPTION_MAX, EXPIRY_MAX, EXPIRY_MIN, FINAL_CLTV_MAX, FINAL_CLTV_MIN,
};
use crate::{NewHold, WalletError};

/// The node's own key, derived as ldk-node derives it.
///
/// ldk-node 0.7.1 fixes the final CLTV of hold invoices at 42 blocks, an hour of holding; the same invoice signed again
/// with a larger one holds for a day. The payment secret is made again too, so that LDK itself refuses a payment that
/// comes with fewer blocks than the invoice asks.
pub(crate) struct Signer {
    secret: SecretKey,
    public: PublicKey,
    keys: ExpandedKey,
    currency: Currency,
}

/// What goes into an invoice beside the keys.
pub(crate) struct Draft {
    pub(crate) hash: lnmp::PaymentHash,
    pub(crate) amount: Msat,
    pub(crate) description: String,
    pub(crate) expiry: Duration,
    pub(crate) final_cltv: u16,
    pub(crate) hints: Vec<RouteHint>,
}

impl Signer {
    pub(crate) fn new(seed: &[u8; 64], network: Network) -> Result<Self, WalletError> {
        let master = Xpriv::new_master(network, seed).map_err(|_| WalletError::Bug("an unusable seed".into()))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seed = master.private_key.secret_bytes();
        let manager = KeysManager::new(&seed, since.as_secs(), since.subsec_nanos(), true);
        let secret = manager.get_node_secret_key();
        Ok(Self {
            public: secret.public_key(&Secp256k1::signing_only()),
            secret,
            keys: manager.get_expanded_key(),
            currency: network.into(),
        })
    }

    pub(crate) fn node_id(&self) -> PublicKey {
        self.public
    }

    /// Builds and signs the invoice; `now` is since 1970.
    pub(crate) fn sign(&self, draft: Draft, now: Duration) -> Result<String, WalletError> {
        let bug = |_| WalletError::Bug("LDK refused to make a payment secret".into());
        let secret = create_from_hash(
            &self.keys,
            Some(draft.amount.0),
            PaymentHash(draft.hash.0),
            u32::try_from(draft.expiry.as_secs()).unwrap_or(u32::MAX),
            now.as_secs(),
            Some(draft.final_cltv - CLTV_SLACK_BLOCKS),
        )
        .map_err(bug)?;
        self.sign_with(draft, secret, now)
    }

    /// The same invoice over other numbers, fresh again: what a payer acts by who does not keep to it. Hash and secret
    /// are its own, so that what such a payer sends is what is sent.
    pub(crate) fn sign_misread(
        &self,
        invoice: &Bolt11Invoice,
        amount: Option<Msat>,
        final_cltv: Option<u16>,
        now: Duration,
    ) -> Result<String, WalletError> {
        if invoice.recover_payee_pub_key() != self.public {
            return Err(WalletError::BadInvoice("it is not this bridge's"));
        }
        let asked = u16::try_from(invoice.min_final_cltv_expiry_delta()).unwrap_or(u16::MAX);
        let draft = Draft {
            hash: lnmp::PaymentHash(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash())),
            amount: amount.unwrap_or_else(|| Msat(invoice.amount_milli_satoshis().unwrap_or(0))),
            description: String::new(),
            expiry: Duration::from_secs(3600),
            final_cltv: final_cltv.unwrap_or(asked),
            hints: invoice.route_hints(),
        };
        self.sign_with(draft, *invoice.payment_secret(), now)
    }

    fn sign_with(&self, draft: Draft, secret: PaymentSecret, now: Duration) -> Result<String, WalletError> {
        let hash = sha256::Hash::from_byte_array(draft.hash.0);
        let mut builder = InvoiceBuilder::new(self.currency.clone())
            .description(draft.description)
            .payment_hash(hash)
            .duration_since_epoch(Duration::from_secs(now.as_secs()))
            .min_final_cltv_expiry_delta(draft.final_cltv.into())
            .payment_secret(secret)
            .amount_milli_satoshis(draft.amount.0)
            .expiry_time(draft.expiry)
            .basic_mpp();
        for hint in draft.hints {
            builder = builder.private_route(hint);
        }
        let invoice = builder
            .build_signed(|message| Secp256k1::signing_only().sign_ecdsa_recoverable(message, &self.secret))
            .map_err(|error| WalletError::Bug(error.to_string()))?;
        Ok(invoice.to_string())
    }
}

impl NewHold {
    /// Refuses what an invoice cannot carry or nobody could hold.
    pub(crate) fn check(&self) -> Result<(), WalletError> {
        check_invoice(self.amount, &self.description, self.expiry)?;
        if !(FINAL_CLTV_MIN..=FINAL_CLTV_MAX).contains(&self.final_cltv) {
            return Err(WalletError::BadRequest("the final CLTV must be 105 to 418 blocks"));
        }
        Ok(())
    }
}

/// Refuses what an invoice cannot carry.
pub(crate) fn check_invoice(amount: Msat, description: &str, expiry: Duration) -> Result<(), WalletError> {
    if amount == Msat::ZERO || amount.0 > bitcoin::Amount::MAX_MONEY.to_sat() * 1000 {
        return Err(WalletError::BadRequest("the amount must be above 0 and exist"));
    }
    if description.len() > DESCRIPTION_MAX {
        return Err(WalletError::BadRequest("the description must be at most 128 octets"));
    }
    if !(EXPIRY_MIN..=EXPIRY_MAX).contains(&expiry) {
        return Err(WalletError::BadRequest("the expiry must be 1 minute to 24 hours"));
    }
    Ok(())
}

/// Parses an invoice that is to be paid: signature, network, amount, expiry.
///
/// # Errors
/// [`WalletError::BadInvoice`] says which.
pub(crate) fn parse_payable(bolt11: &str, network: Network, now: Duration) -> Result<Bolt11Invoice, WalletError> {
    let text = bolt11.trim();
    let text = text.get(..10).filter(|head| head.eq_ignore_ascii_case("lightning:")).map_or(text, |_| &text[10..]);
    if text.len() > BOLT11_MAX {
        return Err(WalletError::BadInvoice("too long"));
    }
    let invoice = Bolt11Invoice::from_str(text).map_err(|_| WalletError::BadInvoice("not a BOLT 11 invoice"))?;
    if invoice.network() != network {
        return Err(WalletError::BadInvoice("it is for another network"));
    }
    if invoice.amount_milli_satoshis().is_none() {
        return Err(WalletError::BadInvoice("it names no amount"));
    }
    if invoice.would_expire(now) {
        return Err(WalletError::BadInvoice("it has expired"));
    }
    Ok(invoice)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn signed() -> (Signer, String) {
        let signer = Signer::new(&[7; 64], Network::Regtest).unwrap();
        let draft = Draft {
            hash: lnmp::PaymentHash([1; 32]),
            amount: Msat(100_000),
            description: "mail 0123abcd".into(),
            expiry: Duration::from_secs(3600),
            final_cltv: 244,
            hints: Vec::new(),
        };
        let invoice = signer.sign(draft, NOW).unwrap();
        (signer, invoice)
    }

    #[test]
    fn a_signed_hold_names_the_node_the_amount_and_the_long_cltv() {
        let (signer, invoice) = signed();
        let invoice = parse_payable(&invoice, Network::Regtest, NOW).unwrap();
        assert_eq!(invoice.recover_payee_pub_key(), signer.node_id());
        assert_eq!(invoice.amount_milli_satoshis(), Some(100_000));
        assert_eq!(invoice.min_final_cltv_expiry_delta(), 244);
        assert_eq!(invoice.expiry_time(), Duration::from_secs(3600));
    }

    #[test]
    fn a_misread_invoice_keeps_its_hash_and_secret_and_is_fresh_again() {
        let (signer, invoice) = signed();
        let asked = parse_payable(&invoice, Network::Regtest, NOW).unwrap();
        let later = NOW + Duration::from_secs(7200);
        let misread = signer.sign_misread(&asked, Some(Msat(7)), Some(50), later).unwrap();
        let misread = parse_payable(&misread, Network::Regtest, later).unwrap();
        assert_eq!((misread.payment_hash(), misread.payment_secret()), (asked.payment_hash(), asked.payment_secret()));
        assert_eq!((misread.amount_milli_satoshis(), misread.min_final_cltv_expiry_delta()), (Some(7), 50));
        let other = Signer::new(&[8; 64], Network::Regtest).unwrap();
        assert!(matches!(other.sign_misread(&asked, None, None, NOW), Err(WalletError::BadInvoice(_))));
    }

    #[test]
    fn an_invoice_is_paid_only_on_its_network_and_in_its_time() {
        let (_, invoice) = signed();
        let parse = |network, now| parse_payable(&format!("LIGHTNING:{}", invoice.to_uppercase()), network, now);
        assert!(parse(Network::Regtest, NOW).is_ok());
        assert!(matches!(parse(Network::Bitcoin, NOW), Err(WalletError::BadInvoice("it is for another network"))));
        let later = NOW + Duration::from_secs(3601);
        assert!(matches!(parse(Network::Regtest, later), Err(WalletError::BadInvoice("it has expired"))));
        let mut broken = invoice.clone();
        broken.replace_range(30..31, if &invoice[30..31] == "q" { "p" } else { "q" });
        assert!(parse_payable(&broken, Network::Regtest, NOW).is_err());
    }

    #[test]
    fn a_hold_no_wallet_would_pay_is_refused() {
        let good = NewHold::new(lnmp::PaymentHash([0; 32]), Msat(1), Duration::from_secs(3600), "mail 0");
        assert!(good.check().is_ok());
        for bad in [
            NewHold { amount: Msat::ZERO, ..good.clone() },
            NewHold { final_cltv: 42, ..good.clone() },
            NewHold { final_cltv: 1000, ..good.clone() },
            NewHold { expiry: Duration::from_secs(1), ..good.clone() },
            NewHold { description: "x".repeat(129), ..good.clone() },
        ] {
            assert!(matches!(bad.check(), Err(WalletError::BadRequest(_))), "{bad:?}");
        }
    }
}
