//! A house in memory, one page for each state. Shared by the preview and the tests.

#![allow(clippy::unwrap_used, reason = "a house for tests and for looking at pages")]

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};
use lnmp::{GateId, GateState, HoldKind, Msat, Voucher};
use web::{CaughtView, Host, MtaSts, PayGate, PayPage, Ports, Price, RefundView, SiteInfo, Withdrawal};

/// A regtest invoice as LDK writes it, with a description hash.
pub(crate) const INVOICE: &str = "lnbcrt1u1p5jq0hwpp5ta9jd9vy0a4l0ycq2yzt8uvfrxpnyg6rgvwd9l9qjg3m0qy6x2eshp58yjmdan79s6qqdhdzgynm4zwqd5d7xmw5fk98klysy043l2ahrqscqzysxqrrsssp5n9hps7m3ye0jxw2crsj6q6wl2rm3n5d7lqdw5rlp0q5u6vx5w6ys9qyyssqz0m4xmc9q8xk9d2h8vxq6p7p5v0s3m7k2jh0l0r5l0gk3x9d4h5m2n8c7v6b5n4m3k2j1h0g9f8d7s6a5p4q3w2e1r0t9y8";

/// What opens a refund.
#[allow(dead_code, reason = "the preview does not say it")]
pub(crate) const REFUND: &str = "12-0123456789abcdef0123456789abcdef";

/// Tokens and what their pages show.
#[allow(dead_code, reason = "the tests name their pages themselves")]
pub(crate) const PAGES: [(&str, &str); 13] = [
    ("00000000000000000000000000000001", "one mail, waiting, with an invoice"),
    ("00000000000000000000000000000002", "waiting, no payment slot"),
    ("00000000000000000000000000000003", "held"),
    ("00000000000000000000000000000004", "settling"),
    ("00000000000000000000000000000005", "settled"),
    ("00000000000000000000000000000006", "declined"),
    ("00000000000000000000000000000007", "refunded after no answer, waiting again"),
    ("00000000000000000000000000000008", "three mails in different states"),
    ("00000000000000000000000000000009", "waived"),
    ("00000000000000000000000000000010", "escrow, without a target"),
    ("00000000000000000000000000000011", "voucher, offered"),
    ("00000000000000000000000000000012", "voucher, paid"),
    ("00000000000000000000000000000013", "voucher, over"),
];

/// The house.
pub(crate) struct House {
    sandbox: bool,
    pages: Mutex<BTreeMap<String, PayPage>>,
    /// How often somebody opened a page: each time may make invoices.
    pub(crate) visits: Mutex<u32>,
}

impl House {
    /// All pages of [`PAGES`], and one with a hostile recipient at `e` x 32.
    pub(crate) fn new(sandbox: bool) -> Self {
        use GateState::{Declined, Held, Settled, Settling, Waiting, Waived};
        let mut refused = gate(2, Waiting);
        refused.bolt11 = None;
        refused.why_no_invoice = Some("no payment slot free, try again later".into());
        refused.can_pay_in_sandbox = false;
        let mut again = gate(7, Waiting);
        again.refunded = true;
        let escrow = PayGate { hold: HoldKind::Escrow, bolt11: None, ..gate(10, Waiting) };
        let mut hostile = gate(66, Waiting);
        hostile.why_no_invoice = Some("<b>no</b>".into());
        hostile.bolt11 = Some("ln\"><script>alert(1)</script>".into());
        let lists = [
            vec![gate(1, Waiting)],
            vec![refused],
            vec![gate(3, Held)],
            vec![gate(4, Settling)],
            vec![gate(5, Settled)],
            vec![gate(6, Declined)],
            vec![again],
            vec![gate(81, Settled), gate(82, Held), gate(83, Waiting)],
            vec![gate(9, Waived)],
            vec![escrow],
            vec![PayGate { voucher: Some(Voucher::Open), ..gate(11, Waiting) }],
            vec![PayGate { voucher: Some(Voucher::Open), ..gate(12, Held) }],
            vec![PayGate { voucher: Some(Voucher::Over), refunded: true, ..gate(13, Waived) }],
        ];
        let mut pages: BTreeMap<_, _> = lists
            .into_iter()
            .enumerate()
            .map(|(n, gates)| (format!("{:032}", n + 1), PayPage { recipient: "alice@satchel.test".into(), gates }))
            .collect();
        pages.insert(
            "e".repeat(32),
            PayPage { recipient: "\"<script>alert(1)</script>\"@x".into(), gates: vec![hostile] },
        );
        Self { sandbox, pages: Mutex::new(pages), visits: Mutex::new(0) }
    }

    /// Changes the first gate of a page, as the house would behind the door's back.
    #[allow(dead_code, reason = "the preview changes nothing")]
    pub(crate) fn change(&self, token: &str, change: impl FnOnce(&mut PayGate)) {
        change(&mut self.pages.lock().unwrap().get_mut(token).unwrap().gates[0]);
    }
}

fn gate(id: i64, state: GateState) -> PayGate {
    let received_at: DateTime<Utc> = DateTime::from_timestamp(1_795_234_200 + id * 437, 0).unwrap();
    PayGate {
        gate: GateId(id),
        state,
        refunded: false,
        received_at,
        price: Msat(100_000),
        priority_price: Msat(1_000_000),
        amount: Msat(100_000),
        bolt11: (state == GateState::Waiting).then(|| INVOICE.to_owned()),
        why_no_invoice: None,
        expires_at: Some(received_at + Duration::hours(1)),
        hold_until: Some(received_at + Duration::hours(24)),
        can_pay_in_sandbox: true,
        hold: HoldKind::Htlc,
        refund_to: None,
        refund: None,
        voucher: None,
    }
}

#[async_trait]
impl Host for House {
    async fn pay_page(&self, token: &str, price: Price) -> Option<PayPage> {
        *self.visits.lock().unwrap() += 1;
        self.pay_state(token, price).await
    }

    async fn pay_state(&self, token: &str, _price: Price) -> Option<PayPage> {
        self.pages.lock().unwrap().get(token).cloned()
    }

    async fn sandbox_pay(&self, token: &str, gate: GateId, _price: Price) -> Result<(), String> {
        if gate == GateId(7) {
            return Err("the wallet <has> too little".into());
        }
        let mut pages = self.pages.lock().unwrap();
        let page = pages.get_mut(token).ok_or("no such page")?;
        let gate = page.gates.iter_mut().find(|shown| shown.gate == gate).ok_or("no such mail")?;
        gate.state = GateState::Held;
        Ok(())
    }

    async fn set_refund(&self, token: &str, gate: GateId, _price: Price, target: &str) -> Result<(), String> {
        if !target.contains('@') {
            return Err("a Lightning address looks like <name>@example.org".into());
        }
        let mut pages = self.pages.lock().unwrap();
        let page = pages.get_mut(token).ok_or("no such page")?;
        let gate = page.gates.iter_mut().find(|shown| shown.gate == gate).ok_or("no such mail")?;
        gate.refund_to = Some(target.to_owned());
        gate.bolt11 = Some(INVOICE.to_owned());
        Ok(())
    }

    async fn ask_refund_link(&self, _token: &str, gate: GateId) -> Result<(), String> {
        if gate == GateId(10) { Ok(()) } else { Err("a link was mailed today".into()) }
    }

    async fn refund(&self, token: &str) -> Option<RefundView> {
        (token == REFUND).then(|| RefundView {
            amount: Msat(100_000),
            to: "bob@wallet.test".into(),
            lnurl: None,
            stuck: true,
        })
    }

    async fn change_refund(&self, _token: &str, target: &str) -> Result<(), String> {
        if target == "new@wallet.test" { Ok(()) } else { Err("that <address> does not answer".into()) }
    }

    async fn withdrawal(&self, token: &str) -> Option<Withdrawal> {
        (token == REFUND).then(|| Withdrawal {
            callback: format!("http://h.test/lnurlw/{REFUND}/pay"),
            k1: REFUND.to_owned(),
            amount: Msat(100_000),
        })
    }

    async fn withdraw(&self, _token: &str, bolt11: &str) -> Result<(), String> {
        if bolt11 == INVOICE { Ok(()) } else { Err("the invoice must be over exactly 100 sat".into()) }
    }

    async fn caught_mail(&self) -> Option<Vec<CaughtView>> {
        let at = DateTime::from_timestamp(1_795_234_200, 0).unwrap();
        let mail = |n, raw: &str| CaughtView {
            n,
            from: String::new(),
            to: "bob@shop.test".into(),
            at: at + Duration::minutes(n as i64),
            raw: raw.replace('\n', "\r\n").into_bytes(),
        };
        self.sandbox.then(|| {
            vec![
                mail(1, "From: Eve <eve@evil.test>\nTo: bob@shop.test\nSubject: <script>alert(1)</script>\n\n<b>bold</b> javascript:alert(1)\n"),
                mail(
                    2,
                    &format!(
                        "From: Satchel at satchel.test <postmaster@satchel.test>\nTo: bob@shop.test\n\
                         Date: Sat, 21 Nov 2026 04:52:00 +0000\nSubject: Your mail to alice@satchel.test is waiting: 100 sat\n\
                         Auto-Submitted: auto-replied\n\nYour mail to alice@satchel.test has arrived and is waiting.\n\n\
                         To have it read, lock 100 sat:\nhttp://127.0.0.1:8089/pay/{:032}\n\n{INVOICE}\n",
                        1
                    ),
                ),
            ]
        })
    }

    fn acme_challenge(&self, token: &str) -> Option<String> {
        (token == "open").then(|| "open.key".to_owned())
    }

    fn info(&self) -> SiteInfo {
        SiteInfo {
            name: "satchel.test".into(),
            domains: vec!["satchel.test".into(), "second.test".into()],
            connect_to: "127.0.0.1".into(),
            public_url: "http://127.0.0.1:8089".into(),
            ports: Ports {
                smtp: Some(2525),
                submission: Some(2587),
                submissions: Some(2465),
                imap: Some(2143),
                imaps: Some(2993),
            },
            mta_sts: (!self.sandbox).then(|| MtaSts {
                mode: "enforce",
                mx: vec!["satchel.test".into()],
                max_age: std::time::Duration::from_secs(604_800),
            }),
            sandbox: self.sandbox,
        }
    }
}
