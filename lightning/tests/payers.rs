//! Payers who do not do what the invoice says: too late, too little, too much, too few blocks, twice, in parts.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{SOON, held, hold, preimage, runtime, sandbox, settled, until};
use lightning::{CustomerPayment, Event, HoldStatus, Misreading, Sandbox, SandboxError, WalletError};
use lnmp::{Msat, PaymentHash};

/// The customer's payment came back, and the bridge heard of nothing: its node refused by itself.
async fn assert_refused_by_the_node(sandbox: &Sandbox, hash: PaymentHash) {
    let state = sandbox.customer().wait(hash, SOON).await.unwrap();
    assert!(matches!(state, CustomerPayment::Failed { .. }), "{state:?}");
    while let Some(event) = sandbox.wallet().ready_event().await {
        assert_eq!(event, Event::Other);
        sandbox.wallet().event_handled().await.unwrap();
    }
    let inbound = sandbox.wallet().inbound().await.unwrap();
    assert_eq!((inbound.held.len(), inbound.unexplained), (0, Msat::ZERO));
    assert_eq!(sandbox.wallet().lookup(hash).await.unwrap(), HoldStatus::Open);
}

/// A few blocks less than asked are a payer who is behind; many less are refused by the node, and nobody is asked.
async fn too_few_blocks(sandbox: &Sandbox) {
    let (wallet, hash) = (sandbox.wallet(), preimage(1).hash());
    let asked = hold(1, 100);
    let invoice = wallet.create(asked.clone()).await.unwrap();
    let fewer = |blocks| Misreading { final_cltv: Some(asked.final_cltv - blocks), ..Misreading::default() };
    let few = sandbox.misread(&invoice, fewer(20)).unwrap();
    sandbox.customer().pay_tightly(&few).await.unwrap();
    assert_refused_by_the_node(sandbox, hash).await;

    // To the block what is asked: LDK's payer cannot add less than one.
    let exact = sandbox.misread(&invoice, fewer(1)).unwrap();
    sandbox.customer().pay_tightly(&exact).await.unwrap();
    let (_, deadline) = held(&*wallet, hash).await;
    let left = deadline - sandbox.chain().height();
    let asked = u32::from(asked.final_cltv) - lightning::limits::FAIL_BACK_BLOCKS;
    assert!((asked..=asked + 1).contains(&left), "{left} blocks are left of {asked}");
    wallet.cancel(hash).await.unwrap();
    let state = sandbox.customer().wait(hash, SOON).await.unwrap();
    assert!(matches!(state, CustomerPayment::Failed { .. }), "{state:?}");
}

async fn too_little_and_too_much(sandbox: &Sandbox) {
    let (wallet, hash) = (sandbox.wallet(), preimage(2).hash());
    let invoice = wallet.create(hold(2, 100)).await.unwrap();
    let of = |sat: u64| {
        let misreading = Misreading { amount: Some(Msat(sat * 1000)), ..Misreading::default() };
        sandbox.misread(&invoice, misreading).unwrap()
    };
    sandbox.customer().pay_tightly(&of(99)).await.unwrap();
    assert_refused_by_the_node(sandbox, hash).await;

    // BOLT 4: up to twice what is asked is taken, and it is the amount that is claimed.
    let before = wallet.balance().await.unwrap().channel;
    sandbox.customer().pay_tightly(&of(199)).await.unwrap();
    let (amount, _) = held(&*wallet, hash).await;
    assert_eq!(amount, Msat(199_000));
    wallet.settle(hash, amount, &preimage(2)).await.unwrap();
    assert_eq!(settled(&*wallet, hash).await, amount);
    let state = sandbox.customer().wait(hash, SOON).await.unwrap();
    assert_eq!(state, CustomerPayment::Succeeded { fee: Msat::ZERO });
    until("the whole of it", || async { (wallet.balance().await.unwrap().channel == before + amount).then_some(()) })
        .await;
}

/// The node lets an expired invoice be paid for two hours more, by the time of the blocks: until then the house decides.
async fn after_the_invoice_expired(sandbox: &Sandbox) {
    let (wallet, hash) = (sandbox.wallet(), preimage(3).hash());
    let mut new = hold(3, 100);
    new.expiry = Duration::from_secs(60);
    let invoice = wallet.create(new).await.unwrap();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mine_at = |seconds: u64| {
        sandbox.chain().mine(1, u32::try_from(now() + seconds).unwrap()).unwrap();
        sandbox.sync(1)
    };
    mine_at(3600).await.unwrap();
    let late = sandbox.misread(&invoice, Misreading::default()).unwrap();
    sandbox.customer().pay_tightly(&late).await.unwrap();
    held(&*wallet, hash).await;
    wallet.cancel(hash).await.unwrap();
    let state = sandbox.customer().wait(hash, SOON).await.unwrap();
    assert!(matches!(state, CustomerPayment::Failed { .. }), "{state:?}");

    let (invoice, hash) = (wallet.create(hold(4, 100)).await.unwrap(), preimage(4).hash());
    mine_at(3600 + 7200 + 300).await.unwrap();
    let late = sandbox.misread(&invoice, Misreading::default()).unwrap();
    sandbox.customer().pay_tightly(&late).await.unwrap();
    assert_refused_by_the_node(sandbox, hash).await;
}

#[test]
fn the_node_refuses_too_little_too_late_and_too_few_blocks_without_asking_anybody() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = sandbox(dir.path()).await;
        too_few_blocks(&sandbox).await;
        too_little_and_too_much(&sandbox).await;
        // Last: the chain's clock runs ahead afterwards.
        after_the_invoice_expired(&sandbox).await;
        let foreign = sandbox.customer().invoice(Msat(1000), "somebody's").await.unwrap();
        let refused = sandbox.misread(&foreign, Misreading::default());
        assert!(matches!(refused, Err(SandboxError::Node { error: WalletError::BadInvoice(_), .. })), "{refused:?}");
        sandbox.stop().await.unwrap();
    });
}

#[test]
fn a_second_payer_never_touches_what_the_first_has_locked_or_paid() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = sandbox(dir.path()).await;
        let wallet = sandbox.wallet();
        let second = sandbox.second_customer().await.unwrap();
        let start = second.balance().await.unwrap().channel;
        let is_back = |state: CustomerPayment| assert!(matches!(state, CustomerPayment::Failed { .. }), "{state:?}");

        // While it is locked: the same wallet cannot, another one gets it back.
        let (invoice, hash) = (wallet.create(hold(1, 100)).await.unwrap(), preimage(1).hash());
        sandbox.customer().pay_tightly(&invoice).await.unwrap();
        let (amount, deadline_height) = held(&*wallet, hash).await;
        let again = sandbox.customer().pay(&invoice).await;
        assert!(matches!(again, Err(SandboxError::Node { error: WalletError::AlreadyPaid, .. })), "{again:?}");
        sandbox.pay_from(&second, &invoice, true).await.unwrap();
        is_back(second.wait(hash, SOON).await.unwrap());
        assert_eq!(wallet.lookup(hash).await.unwrap(), HoldStatus::Held { deadline_height, amount });
        assert_eq!(wallet.balance().await.unwrap().held, amount);

        // After it was claimed.
        wallet.settle(hash, amount, &preimage(1)).await.unwrap();
        settled(&*wallet, hash).await;
        sandbox.pay_from(&second, &invoice, true).await.unwrap();
        is_back(second.wait(hash, SOON).await.unwrap());
        assert_eq!(wallet.lookup(hash).await.unwrap(), HoldStatus::Settled);
        let state = sandbox.customer().wait(hash, SOON).await.unwrap();
        assert_eq!(state, CustomerPayment::Succeeded { fee: Msat::ZERO });

        // After it was returned: told again, and returned again.
        let (invoice, hash) = (wallet.create(hold(2, 100)).await.unwrap(), preimage(2).hash());
        sandbox.customer().pay_tightly(&invoice).await.unwrap();
        held(&*wallet, hash).await;
        wallet.cancel(hash).await.unwrap();
        is_back(sandbox.customer().wait(hash, SOON).await.unwrap());
        second.pay_tightly(&invoice).await.unwrap();
        held(&*wallet, hash).await;
        wallet.cancel(hash).await.unwrap();
        is_back(second.wait(hash, SOON).await.unwrap());

        until("everything of the second payer's", || async {
            let is_back = second.balance().await.unwrap().channel == start;
            (is_back && wallet.inbound().await.unwrap().unexplained == Msat::ZERO).then_some(())
        })
        .await;
        assert_eq!(wallet.ready_event().await.filter(|event| *event != Event::Other), None);
        assert_eq!(wallet.channels().await.unwrap().iter().filter(|channel| channel.usable).count(), 2);

        // It is there after a restart, without being asked for.
        sandbox.stop().await.unwrap();
        drop((sandbox, wallet, second));
        let sandbox = self::sandbox(dir.path()).await;
        let wallet = sandbox.wallet();
        assert_eq!(wallet.channels().await.unwrap().iter().filter(|channel| channel.usable).count(), 2);
        let second = sandbox.second_customer().await.unwrap();
        assert_eq!(second.balance().await.unwrap().channel, start);
        assert_eq!(wallet.channels().await.unwrap().len(), 2, "no third channel");
        sandbox.stop().await.unwrap();
    });
}

/// BOLT 4, basic multi-part payments: all parts together are one payment, held, taken or returned as a whole.
#[test]
fn a_payment_in_two_parts_is_held_settled_and_returned_as_one() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let sandbox = sandbox(dir.path()).await;
        let wallet = sandbox.wallet();
        // A channel lets a tenth of it be under way, 1,000,000 sat: too little for this.
        let sat = 1_500_000;
        let invoice = wallet.create(hold(1, sat)).await.unwrap();
        let too_much = sandbox.customer().pay_tightly(&invoice).await;
        assert!(matches!(too_much, Err(SandboxError::Node { error: WalletError::NoCapacity, .. })), "{too_much:?}");
        sandbox.open_channel(10_000_000).await.unwrap();
        let before = wallet.balance().await.unwrap().channel;
        let start = sandbox.customer().balance().await.unwrap().channel;

        sandbox.customer().pay_tightly(&invoice).await.unwrap();
        let (amount, deadline_height) = held(&*wallet, preimage(1).hash()).await;
        assert_eq!(amount, Msat(sat * 1000));
        assert!(deadline_height >= sandbox.chain().height() + 205);
        let inbound = wallet.inbound().await.unwrap();
        assert_eq!((inbound.held.len(), inbound.unexplained), (1, Msat::ZERO));
        assert_eq!(wallet.balance().await.unwrap().held, amount);
        let room = wallet.capacity().await.unwrap();
        assert_eq!(room.slots_total - room.slots_free, 2, "each part has a slot");
        wallet.cancel(preimage(1).hash()).await.unwrap();
        let state = sandbox.customer().wait(preimage(1).hash(), SOON).await.unwrap();
        assert!(matches!(state, CustomerPayment::Failed { .. }), "{state:?}");
        until("both parts", || async { (sandbox.customer().balance().await.unwrap().channel == start).then_some(()) })
            .await;

        let invoice = wallet.create(hold(2, sat)).await.unwrap();
        // A channel sends again a moment after it has its money back.
        until("a payment", || async { sandbox.customer().pay_tightly(&invoice).await.ok() }).await;
        let (amount, _) = held(&*wallet, preimage(2).hash()).await;
        wallet.settle(preimage(2).hash(), amount, &preimage(2)).await.unwrap();
        assert_eq!(settled(&*wallet, preimage(2).hash()).await, amount);
        let state = sandbox.customer().wait(preimage(2).hash(), SOON).await.unwrap();
        assert_eq!(state, CustomerPayment::Succeeded { fee: Msat::ZERO });
        until("both parts", || async { (wallet.balance().await.unwrap().channel == before + amount).then_some(()) })
            .await;

        // Nobody answers: the deadline returns both.
        let invoice = wallet.create(hold(3, sat)).await.unwrap();
        until("a payment", || async { sandbox.customer().pay_tightly(&invoice).await.ok() }).await;
        let (_, deadline) = held(&*wallet, preimage(3).hash()).await;
        sandbox.mine(deadline - sandbox.chain().height()).await.unwrap();
        let state = sandbox.customer().wait(preimage(3).hash(), SOON).await.unwrap();
        assert!(matches!(state, CustomerPayment::Failed { .. }), "{state:?}");
        until("nothing is locked", || async { (wallet.balance().await.unwrap().held == Msat::ZERO).then_some(()) })
            .await;
        assert_eq!(wallet.channels().await.unwrap().iter().filter(|channel| channel.usable).count(), 2);
        sandbox.stop().await.unwrap();
    });
}
