//! Nostr Wallet Connect, over a relay.

use lightning::nwc::Keys;
use lightning::{Backend, HoldStatus, RemoteError, Wallet, WalletError};
use lnmp::Msat;
use zeroize::Zeroizing;

use super::{PACE, Remote, open};
use crate::common::{held, hold, preimage, runtime, settled, until};
use crate::servers::nwc::{METHODS, Service};
use crate::servers::relay::Relay;
use crate::servers::world::World;
use crate::{Rig, an_ordinary_invoice_is_claimed_on_arrival, contract};

async fn rig(relay: &Relay, methods: &str) -> Remote {
    let world = World::new(0);
    let service = Service::start(&world, relay, methods, "nip44_v2 nip04").await;
    let backend = Backend::Nwc { uri: Zeroizing::new(service.uri.clone()) };
    let rig = Remote::new(backend, world).await;
    Remote { service: Some(service), ..rig }
}

#[test]
fn a_wallet_behind_a_relay_keeps_the_contract() {
    runtime().block_on(async {
        let relay = Relay::start(false).await;
        let rig = rig(&relay, METHODS).await;
        contract(&rig).await;
        assert!(rig.wallet.can_hold());
        assert_eq!(rig.wallet.channels().await.unwrap(), []);
        assert!(rig.wallet.balance().await.unwrap().channel > Msat::ZERO);
    });
}

#[test]
fn a_wallet_without_hold_methods_takes_payments_and_holds_none() {
    runtime().block_on(async {
        let relay = Relay::start(false).await;
        let rig = rig(&relay, "pay_invoice make_invoice lookup_invoice get_balance get_info").await;
        assert!(!rig.wallet.can_hold());
        assert!(matches!(rig.wallet.create(hold(1, 100)).await, Err(WalletError::CannotHold)));
        an_ordinary_invoice_is_claimed_on_arrival(&rig).await;
    });
}

#[test]
fn a_wallet_that_encrypts_with_nip_04_only_is_refused() {
    runtime().block_on(async {
        let relay = Relay::start(false).await;
        let world = World::new(0);
        let service = Service::start(&world, &relay, METHODS, "nip04").await;
        let dir = tempfile::tempdir().unwrap();
        let refused = open(Backend::Nwc { uri: Zeroizing::new(service.uri) }, &dir, PACE).await.err().unwrap();
        assert!(matches!(refused, RemoteError::Lacks(what) if what.contains("nip44_v2")), "{refused}");
    });
}

#[test]
fn a_relay_that_goes_away_is_found_again() {
    runtime().block_on(async {
        let relay = Relay::start(false).await;
        let rig = rig(&relay, METHODS).await;
        let hash = preimage(1).hash();
        let invoice = rig.wallet.create(hold(1, 100)).await.unwrap();
        let before = relay.connections();
        relay.cut_everybody_off();
        // Paid while nobody is connected: the notification is lost, the payment is not.
        rig.world.pay(&invoice).unwrap();
        let (amount, deadline) = held(&rig.wallet, hash).await;
        assert!(relay.connections() > before);
        // No deadline was told: the blocks the invoice asks count from the last look, and 18 are kept.
        assert_eq!(deadline, 800_000 + 244 - 18);
        until("a claim", || async { rig.wallet.settle(hash, amount, &preimage(1)).await.ok() }).await;
        assert_eq!(settled(&rig.wallet, hash).await, amount);
    });
}

#[test]
fn a_relay_may_ask_who_is_there_first() {
    runtime().block_on(async {
        let open_relay = Relay::start(false).await;
        let world = World::new(0);
        // The wallet speaks at the one, we at the other; a bridge between them is nobody's business here: the proof is.
        let service = Service::start(&world, &open_relay, METHODS, "nip44_v2").await;
        let strict = Relay::start(true).await;
        let (uri, secret) = service.uri.split_once("&secret").unwrap();
        let second = strict.url.replace(':', "%3A").replace('/', "%2F");
        let uri = Zeroizing::new(format!("{uri}&relay={second}&secret{secret}"));
        let dir = tempfile::tempdir().unwrap();
        let wallet = open(Backend::Nwc { uri }, &dir, PACE).await.unwrap();
        until("a proof", || async { (strict.proofs() > 0).then_some(()) }).await;
        // Two relays, one answer: what the strict one has nobody for, the other carries.
        assert_eq!(wallet.lookup(preimage(9).hash()).await.unwrap(), HoldStatus::Unknown);
        // Once it was proven who we are, events are taken there, too.
        until("an event", || async {
            wallet.lookup(preimage(9).hash()).await.unwrap();
            (strict.taken() > 0).then_some(())
        })
        .await;
    });
}

#[test]
fn nobody_else_is_believed() {
    runtime().block_on(async {
        let relay = Relay::start(false).await;
        let rig = rig(&relay, METHODS).await;
        let hash = preimage(2).hash();
        let invoice = rig.wallet.create(hold(2, 100)).await.unwrap();
        // A stranger's event, and one that bears the wallet's name without its signature.
        let stranger = Keys::new(&[0x66; 32]).unwrap();
        let mut event = stranger.sign(23195, vec![vec!["e".into(), "00".repeat(32)]], "x".into(), 1_900_000_000);
        relay.forge(&event);
        let uri = rig.service.as_ref().unwrap().uri.clone();
        event.pubkey = uri["nostr+walletconnect://".len()..][..64].to_owned();
        relay.forge(&event);
        assert_eq!(rig.wallet.lookup(hash).await.unwrap(), HoldStatus::Open);
        rig.pay(&invoice).await;
        held(&rig.wallet, hash).await;
    });
}
