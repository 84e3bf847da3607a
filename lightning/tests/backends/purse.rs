//! A user's own wallet over Nostr Wallet Connect: invoices of it, prices paid from it.

use std::time::Duration;

use lightning::nwc::{Purse, PurseError};
use lightning::{Invoice, Paid};
use lnmp::Msat;

use crate::common::runtime;
use crate::servers::nwc::{METHODS, Service};
use crate::servers::relay::Relay;
use crate::servers::world::{FEE_MSAT, World};

const AMOUNT: Msat = Msat(200_000);

#[test]
fn a_users_wallet_makes_invoices_pays_and_tells() {
    runtime().block_on(async {
        let (relay, world) = (Relay::start(false).await, World::new(0));
        let service = Service::start(&world, &relay, METHODS, "nip44_v2").await;
        let purse = Purse::open(&service.uri).unwrap();
        purse.allows(&["make_invoice", "pay_invoice", "lookup_invoice"]).await.unwrap();
        assert_eq!(purse.allows(&["pay_keysend"]).await, Err(PurseError::Lacks("pay_keysend")));
        let made = purse.invoice(AMOUNT, "payout", Duration::from_secs(600)).await.unwrap();
        assert_eq!(Invoice::parse(&made).unwrap().amount, AMOUNT);

        let bolt11 = world.customer_invoice(AMOUNT.0);
        let hash = Invoice::parse(&bolt11).unwrap().hash;
        assert_eq!(purse.sent(hash).await, Ok(None));
        // It says no, in words.
        for (code, error) in [
            ("QUOTA_EXCEEDED", PurseError::Quota),
            ("INSUFFICIENT_BALANCE", PurseError::Balance),
            ("RESTRICTED", PurseError::Restricted),
            ("PAYMENT_FAILED", PurseError::PaymentFailed),
        ] {
            service.manner().refuses = Some(code);
            assert_eq!(purse.pay(&bolt11).await, Err(error), "{code}");
            assert!(error.to_string().contains(code));
        }
        service.manner().refuses = None;
        assert_eq!(purse.pay(&bolt11).await, Ok(Paid::Succeeded { fee: Msat(FEE_MSAT) }));
        assert_eq!(purse.sent(hash).await, Ok(Some(Paid::Succeeded { fee: Msat(FEE_MSAT) })));
        // What it takes in is no payment of it.
        assert_eq!(purse.sent(Invoice::parse(&made).unwrap().hash).await, Ok(None));
    });
}

#[test]
fn a_wallet_that_is_away_was_not_asked() {
    runtime().block_on(async {
        let (relay, world) = (Relay::start(false).await, World::new(0));
        let service = Service::start(&world, &relay, METHODS, "nip44_v2").await;
        // A port that nobody listens at.
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (before, after) = service.uri.split_once("relay=").unwrap();
        let uri = format!("{before}relay=ws%3A%2F%2F{gone}&{}", after.split_once('&').unwrap().1);
        let purse = Purse::open(&uri).unwrap();
        let error = purse.pay(&world.customer_invoice(AMOUNT.0)).await.unwrap_err();
        assert!(error == PurseError::Away && !error.is_open());
        assert_eq!(service.manner().asked_to_pay, 0);
    });
}

#[test]
fn a_wallet_that_speaks_nip_04_only_is_not_asked() {
    runtime().block_on(async {
        let (relay, world) = (Relay::start(false).await, World::new(0));
        let service = Service::start(&world, &relay, METHODS, "nip04").await;
        let purse = Purse::open(&service.uri).unwrap();
        assert_eq!(purse.pay(&world.customer_invoice(AMOUNT.0)).await, Err(PurseError::Encryption));
        assert_eq!(service.manner().asked_to_pay, 0);
    });
}
