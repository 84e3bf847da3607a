//! LND, Core Lightning and phoenixd, over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lightning::{Backend, Event, HoldStatus, RemoteError, Wallet, WalletError};
use lnmp::{Msat, PaymentHash};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{PACE, Remote, hash_of, open};
use crate::common::{held, hold, payment_event, preimage, runtime, settled};
use crate::servers::http::{Ask, Say};
use crate::servers::world::{Is, World};
use crate::servers::{cln, http, lnd, phoenixd};
use crate::{Rig, an_ordinary_invoice_is_claimed_on_arrival, contract, what_was_paid_is_looked_up_and_not_paid_again};

fn lnd_at(address: &str, pem: &str) -> Backend {
    Backend::Lnd {
        address: address.to_owned(),
        certificate: Some(pem.as_bytes().to_vec()),
        macaroon: Zeroizing::new(lnd::MACAROON.to_vec()),
    }
}

fn cln_at(address: &str, pem: &str, rune: &str) -> Backend {
    Backend::Cln {
        address: address.to_owned(),
        certificate: Some(pem.as_bytes().to_vec()),
        rune: Zeroizing::new(rune.to_owned()),
    }
}

#[test]
fn lnd_keeps_the_contract() {
    runtime().block_on(async {
        let world = World::new(18);
        let (address, pem) = lnd::start(&world).await;
        let rig = Remote::new(lnd_at(&address, &pem), world).await;
        contract(&rig).await;
        let balance = rig.wallet.balance().await.unwrap();
        assert_eq!(balance.onchain, Msat(250_000_000));
        assert!(balance.channel > balance.spendable && balance.spendable > Msat::ZERO);
        assert_eq!(balance.sending, Some(Msat::ZERO));
        let channels = rig.wallet.channels().await.unwrap();
        assert_eq!((channels.len(), channels[0].usable, channels[0].ours), (1, true, false));
        assert!(channels[0].confirmations > 1000);
        rig.wallet.stop().await.unwrap();
        assert!(matches!(rig.wallet.balance().await, Err(WalletError::NotRunning)));
    });
}

#[test]
fn core_lightning_keeps_the_contract() {
    runtime().block_on(async {
        let world = World::new(6);
        let (address, pem) = cln::start(&world, Some("v5.0.0")).await;
        let rig = Remote::new(cln_at(&address, &pem, cln::RUNE), world).await;
        contract(&rig).await;
        assert_eq!(rig.wallet.channels().await.unwrap().len(), 1);
        assert_eq!(rig.wallet.balance().await.unwrap().onchain, Msat(250_000_000));
    });
}

#[test]
fn core_lightning_without_a_plugin_that_holds_makes_no_hold() {
    runtime().block_on(async {
        for plugin in [None, Some("v3.1.1")] {
            let world = World::new(6);
            let (address, pem) = cln::start(&world, plugin).await;
            let rig = Remote::new(cln_at(&address, &pem, cln::RUNE), world).await;
            let refused = rig.wallet.create(hold(1, 100)).await.unwrap_err();
            assert!(refused.to_string().contains("holdinvoice"), "{refused}");
            assert!(!refused.is_temporary());
        }
    });
}

#[test]
fn phoenixd_takes_and_pays_and_says_that_it_cannot_hold() {
    runtime().block_on(async {
        let world = World::new(0);
        let address = phoenixd::start(&world).await;
        let password = Zeroizing::new(phoenixd::PASSWORD.to_owned());
        let rig = Remote::new(Backend::Phoenixd { address, password }, world).await;
        an_ordinary_invoice_is_claimed_on_arrival(&rig).await;
        what_was_paid_is_looked_up_and_not_paid_again(&rig).await;
        assert!(!rig.wallet.can_hold());
        assert!(matches!(rig.wallet.create(hold(1, 100)).await, Err(WalletError::CannotHold)));
        assert_eq!(rig.wallet.capacity().await.unwrap().slots_free, 0, "no quote fits");
        assert_eq!(rig.wallet.inbound().await.unwrap().held, []);
        let odd = rig.wallet.invoice(Msat(1_500), "x".into(), Duration::from_secs(60)).await;
        assert!(matches!(odd, Err(WalletError::BadRequest(_))), "{odd:?}");
        // 50,000 sat, and 20 that came, less 10 and a fee of one that went.
        assert_eq!(rig.wallet.balance().await.unwrap().channel, Msat(50_009_000));
        assert_eq!(rig.wallet.channels().await.unwrap().len(), 1);
    });
}

#[test]
fn only_the_certificate_of_the_file_is_trusted() {
    runtime().block_on(async {
        let world = World::new(18);
        let (address, pem) = lnd::start(&world).await;
        let (other_address, other_pem) = lnd::start(&world).await;
        let dir = tempfile::tempdir().unwrap();
        for (address, pem) in [(&address, &other_pem), (&other_address, &pem)] {
            let refused = open(lnd_at(address, pem), &dir, PACE).await.err().unwrap();
            assert!(matches!(refused, RemoteError::Node(WalletError::NotRunning)), "{refused}");
        }
        // The machine's authorities do not know it either.
        let macaroon = Zeroizing::new(lnd::MACAROON.to_vec());
        let backend = Backend::Lnd { address: address.clone(), certificate: None, macaroon };
        assert!(open(backend, &dir, PACE).await.is_err());
        let refused = open(lnd_at(&address, "no certificate"), &dir, PACE).await.err().unwrap();
        assert!(matches!(refused, RemoteError::Certificate));
        assert!(open(lnd_at(&address, &pem), &dir, PACE).await.is_ok());
    });
}

#[test]
fn a_wrong_credential_is_told_apart_and_shown_nowhere() {
    runtime().block_on(async {
        let world = World::new(6);
        let (address, pem) = cln::start(&world, Some("5.0.0")).await;
        let dir = tempfile::tempdir().unwrap();
        let refused = open(cln_at(&address, &pem, "not-the-rune"), &dir, PACE).await.err().unwrap();
        assert!(matches!(refused, RemoteError::Node(WalletError::Refused { status: 401, .. })), "{refused}");
        let shown = format!("{refused} {refused:?}");
        assert!(!shown.contains("not-the-rune"), "{shown}");
        let address = phoenixd::start(&world).await;
        let backend = Backend::Phoenixd { address, password: Zeroizing::new("wrong".into()) };
        let refused = open(backend, &dir, PACE).await.err().unwrap();
        assert!(matches!(refused, RemoteError::Node(WalletError::Refused { status: 401, .. })), "{refused}");
    });
}

#[test]
fn events_and_holds_outlast_a_restart_and_a_lost_book() {
    runtime().block_on(async {
        let world = World::new(18);
        let (address, pem) = lnd::start(&world).await;
        let mut rig = Remote::new(lnd_at(&address, &pem), world).await;
        let (first, second) = (preimage(1).hash(), preimage(2).hash());
        let invoice = rig.wallet.create(hold(1, 100)).await.unwrap();
        rig.pay(&invoice).await;
        assert!(matches!(payment_event(&rig.wallet).await, Event::Held { hash, .. } if hash == first));
        // Not handled; and another comes while nobody looks.
        let invoice = rig.wallet.create(hold(2, 200)).await.unwrap();
        rig.wallet.stop().await.unwrap();
        let Remote { wallet, world, dir, .. } = rig;
        drop(wallet);
        world.pay(&invoice).unwrap();
        // The book is locked until the last task has let go of it.
        let wallet =
            crate::common::until("a wallet", || async { open(lnd_at(&address, &pem), &dir, PACE).await.ok() }).await;
        let (amount, deadline) = held(&wallet, first).await;
        assert_eq!((amount, deadline), (Msat(100_000), 800_000 + 244 - 18));
        held(&wallet, second).await;
        // The book is gone; the node still knows what is locked.
        wallet.stop().await.unwrap();
        drop(wallet);
        let fresh = tempfile::tempdir().unwrap();
        let wallet = open(lnd_at(&address, &pem), &fresh, PACE).await.unwrap();
        assert!(matches!(wallet.lookup(first).await.unwrap(), HoldStatus::Held { .. }));
        held(&wallet, first).await;
        wallet.settle(first, amount, &preimage(1)).await.unwrap();
        assert_eq!(settled(&wallet, first).await, amount);
        wallet.cancel(second).await.unwrap();
        assert_eq!(world.lock().invoices[&second.0].state, Is::Canceled);
        rig = Remote { wallet, world, service: None, dir: fresh };
        assert_eq!(rig.wallet.lookup(second).await.unwrap(), HoldStatus::Cancelled);
    });
}

#[test]
fn a_hold_that_the_node_ended_is_too_late_to_settle() {
    runtime().block_on(async {
        let world = World::new(18);
        let (address, pem) = lnd::start(&world).await;
        let rig = Remote::new(lnd_at(&address, &pem), world).await;
        let hash = preimage(3).hash();
        let invoice = rig.wallet.create(hold(3, 100)).await.unwrap();
        rig.pay(&invoice).await;
        let (amount, _) = held(&rig.wallet, hash).await;
        // Somebody cancels it at the node, behind our back.
        rig.world.lock().cancel(hash.0).unwrap();
        let refused = rig.wallet.settle(hash, amount, &preimage(3)).await;
        assert!(matches!(refused, Err(WalletError::TooLate { .. })), "{refused:?}");
        assert_eq!(rig.wallet.ready_event().await, None);
        assert_eq!(rig.wallet.inbound().await.unwrap().held, []);
        assert_eq!(hash_of([3; 32]), hash.0);
    });
}

#[test]
fn an_answer_without_end_or_sense_is_an_error() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        for body in ["x".repeat(9 << 20), "{\"chain\":".into(), "[]".into(), "{}".into()] {
            let address =
                http::serve(None, move |_| Say { body: body.clone().into(), ..Say::json(200, &Value::Null) }).await;
            let (address, password) = (format!("http://{address}"), Zeroizing::new("x".to_owned()));
            let refused = open(Backend::Phoenixd { address, password }, &dir, PACE).await.err().unwrap();
            assert!(matches!(refused, RemoteError::Node(WalletError::Bug(_))), "{refused}");
        }
        // A stream of one line that never ends, and one that is no JSON.
        let world = World::new(18);
        for body in ["x".repeat(2 << 20), "what?\n".into(), "\n\n".into()] {
            let (tls, pem) = http::lnd_certificate();
            let node = world.clone();
            let answer = move |ask: Ask| {
                let garbled = ask.path.starts_with("/v2/router/");
                let said = Say { body: body.clone().into(), ..Say::json(200, &Value::Null) };
                if garbled { said } else { lnd::answer(&node, &ask) }
            };
            let address = format!("https://{}", http::serve(Some(tls), answer).await);
            let dir = tempfile::tempdir().unwrap();
            let wallet = open(lnd_at(&address, &pem), &dir, PACE).await.unwrap();
            assert!(wallet.sent(preimage(1).hash()).await.is_err());
        }
    });
}

#[test]
fn a_proxy_that_finds_nothing_says_nothing_about_a_payment() {
    runtime().block_on(async {
        let world = World::new(18);
        let (tls, pem) = http::lnd_certificate();
        let (node, broken) = (world.clone(), Arc::new(AtomicBool::new(false)));
        let switch = Arc::clone(&broken);
        let answer = move |ask: Ask| {
            let gone = switch.load(Ordering::SeqCst) && !ask.path.starts_with("/v1/");
            let nothing = Say::json(404, &json!({ "code": 5, "message": "Not Found", "details": [] }));
            if gone { nothing } else { lnd::answer(&node, &ask) }
        };
        let address = format!("https://{}", http::serve(Some(tls), answer).await);
        let rig = Remote::new(lnd_at(&address, &pem), world).await;
        let hash = preimage(6).hash();
        let invoice = rig.wallet.create(hold(6, 100)).await.unwrap();
        rig.pay(&invoice).await;
        held(&rig.wallet, hash).await;
        broken.store(true, Ordering::SeqCst);
        assert!(rig.wallet.lookup(hash).await.is_err());
        assert!(rig.wallet.cancel(hash).await.is_err(), "it is locked still");
        assert!(rig.wallet.sent(hash).await.is_err(), "what may have been sent is not called unsent");
        broken.store(false, Ordering::SeqCst);
        assert!(matches!(rig.wallet.lookup(hash).await.unwrap(), HoldStatus::Held { .. }));
        rig.wallet.cancel(hash).await.unwrap();
        assert_eq!(rig.world.lock().invoices[&hash.0].state, Is::Canceled);
    });
}

#[test]
fn a_node_that_makes_another_invoice_is_not_believed() {
    runtime().block_on(async {
        let world = World::new(18);
        let (address, pem) = lnd::start(&world).await;
        let rig = Remote::new(lnd_at(&address, &pem), world).await;
        // Under this hash the node has an invoice for another amount.
        let hash: PaymentHash = preimage(4).hash();
        rig.world.lock().hold(hash.0, 5_000, "mail", 3600, 244).unwrap();
        let refused = rig.wallet.create(hold(4, 100)).await;
        assert!(refused.is_err(), "{refused:?}");
        // And here for less time than was asked.
        let hash = preimage(5).hash();
        rig.world.lock().hold(hash.0, 100_000, "mail", 3600, 40).unwrap();
        let refused = rig.wallet.create(hold(5, 100)).await;
        assert!(matches!(refused, Err(WalletError::Bug(_))), "{refused:?}");
    });
}
