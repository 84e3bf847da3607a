//! What the web door asks of the house.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lnmp::{GateId, GateState, QuoteState};
use store::{Gate, UnixMs};
use web::{CaughtView, MtaSts, PayGate, PayPage, Ports, SiteInfo};

use crate::config::Config;
use crate::flow::ask::{self, NoQuote};
use crate::house::{House, now_ms};
use crate::run;

/// The house, as the web door sees it.
pub struct WebHost(pub Arc<House>);

impl WebHost {
    async fn page(&self, token: &str, quoting: Quoting) -> Option<PayPage> {
        let house = &self.0;
        let page = house.store.page(token).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a page cannot be read");
            None
        })?;
        let mut gates = Vec::with_capacity(page.gates.len());
        for gate in page.gates {
            let mut why_no_invoice = None;
            let mut gate = gate;
            let live = ask::live_quote(&gate, gate.price, now_ms()).is_some();
            if quoting == Quoting::WhereMissing && gate.state == GateState::Waiting && !live {
                match ask::quote(house, gate.id, false).await {
                    Ok(quote) => gate.quotes.push(quote),
                    Err(NoQuote::Later(why)) => why_no_invoice = Some(why.to_owned()),
                    Err(error @ NoQuote::CannotHold) => why_no_invoice = Some(error.to_string()),
                    Err(error) => tracing::warn!(gate = gate.id.0, %error, "no invoice for a page"),
                }
            }
            gates.push(self.view(&gate, why_no_invoice));
        }
        Some(PayPage { recipient: page.recipient, gates })
    }

    fn view(&self, gate: &Gate, why_no_invoice: Option<String>) -> PayGate {
        let now = now_ms();
        let live = ask::live_quote(gate, gate.price, now);
        let locked = gate.quotes.iter().rev().find(|q| matches!(q.state, QuoteState::Held | QuoteState::Settled));
        let amount =
            locked.map(|q| q.received.unwrap_or(q.amount)).or_else(|| live.map(|q| q.amount)).unwrap_or(gate.price);
        PayGate {
            gate: gate.id,
            state: gate.state,
            refunded: gate.refunded,
            received_at: date(gate.created_at),
            price: gate.price,
            priority_price: gate.priority_price,
            amount,
            bolt11: live.and_then(|q| q.bolt11.clone()),
            why_no_invoice,
            expires_at: live.map(|q| date(q.expires_at)),
            hold_until: gate.hold_until.map(date),
            can_pay_in_sandbox: live.is_some() && run::sandbox(&self.0).is_ok(),
        }
    }
}

/// Whether opening the page makes invoices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoting {
    WhereMissing,
    Never,
}

#[async_trait]
impl web::Host for WebHost {
    async fn pay_page(&self, token: &str) -> Option<PayPage> {
        self.page(token, Quoting::WhereMissing).await
    }

    async fn pay_state(&self, token: &str) -> Option<PayPage> {
        self.page(token, Quoting::Never).await
    }

    async fn sandbox_pay(&self, token: &str, gate: GateId) -> Result<(), String> {
        let away = || "the sandbox wallet is not available".to_owned();
        let sandbox = run::sandbox(&self.0).map_err(|_| away())?;
        let page = self.0.store.page(token).await.ok().flatten().ok_or("this page is closed")?;
        let gate = page.gates.iter().find(|one| one.id == gate).ok_or("this mail is not on this page")?;
        let quote = ask::live_quote(gate, gate.price, now_ms()).ok_or("there is no invoice to pay; reload the page")?;
        let bolt11 = quote.bolt11.as_deref().ok_or_else(away)?;
        sandbox.pay(bolt11).await.map(|_| ()).map_err(|error| error.to_string())
    }

    async fn caught_mail(&self) -> Option<Vec<CaughtView>> {
        run::sandbox(&self.0).ok()?;
        let mails = self.0.store.caught_mail().await.ok()?;
        Some(
            (1..)
                .zip(mails)
                .map(|(n, mail)| CaughtView { n, from: mail.from, to: mail.to, at: date(mail.at), raw: mail.message })
                .collect(),
        )
    }

    fn acme_challenge(&self, token: &str) -> Option<String> {
        self.0.running().ok()?.acme.as_ref()?.key_authorization(token)
    }

    fn info(&self) -> SiteInfo {
        let house = &self.0;
        let ports = house.running().map(|running| running.ports).ok();
        SiteInfo {
            name: house.config.server.name.clone(),
            domains: house.config.server.domains.iter().map(|domain| domain.to_ascii_lowercase()).collect(),
            connect_to: house.connect_to(),
            public_url: house.running().map(|running| running.public_url.clone()).unwrap_or_default(),
            ports: ports.map_or_else(Ports::default, |p| Ports {
                smtp: p.smtp,
                submission: p.submission,
                submissions: p.submissions,
                imap: p.imap,
                imaps: p.imaps,
            }),
            mta_sts: mta_sts(&house.config),
            sandbox: run::sandbox(house).is_ok(),
        }
    }
}

/// RFC 8461 §3.2: a week is what many publish; long enough that an attacker cannot wait for it to end.
const MTA_STS_MAX_AGE: Duration = Duration::from_secs(7 * 86_400);

/// The policy for senders, where the operator publishes one.
pub fn mta_sts(config: &Config) -> Option<MtaSts> {
    let mode = config.server.mta_sts.word()?;
    Some(MtaSts { mode, mx: vec![config.server.name.clone()], max_age: MTA_STS_MAX_AGE })
}

fn date(at: UnixMs) -> DateTime<Utc> {
    DateTime::<Utc>::from_timestamp_millis(at).unwrap_or_default()
}
