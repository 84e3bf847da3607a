//! What the web door asks of the house.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lnmp::{GateId, GateState, HoldKind, Msat, QuoteState, RefundTarget};
use store::{Gate, Quote, UnixMs};
use web::{CaughtView, MtaSts, PayGate, PayPage, Ports, Price, RefundView, SiteInfo, Withdrawal};

use crate::config::Config;
use crate::flow::ask::{self, NoQuote};
use crate::flow::refund;
use crate::house::{House, now_ms};
use crate::run;

/// The house, as the web door sees it.
pub struct WebHost(pub Arc<House>);

impl WebHost {
    async fn page(&self, token: &str, price: Price, quoting: Quoting) -> Option<PayPage> {
        let house = &self.0;
        let page = house.store.page(token).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a page cannot be read");
            None
        })?;
        let mut gates = Vec::with_capacity(page.gates.len());
        let mut why_no_invoice = None;
        for mut gate in page.gates {
            let live = ask::live_quote(&gate, amount(&gate, price), now_ms()).is_some();
            let missing = gate.state == GateState::Waiting && !live;
            // What one mail of an author cannot have now, the next one cannot have either.
            if quoting == Quoting::WhereMissing && missing && why_no_invoice.is_none() {
                match ask::quote(house, gate.id, price == Price::Priority).await {
                    Ok(quote) => {
                        gate.quotes.retain(|known| known.id != quote.id);
                        gate.quotes.push(quote);
                    }
                    Err(NoQuote::Later(why)) => why_no_invoice = Some(why.to_owned()),
                    Err(error @ NoQuote::CannotHold) => why_no_invoice = Some(error.to_string()),
                    Err(error) => tracing::warn!(gate = gate.id.0, %error, "no invoice for a page"),
                }
            }
            let why = why_no_invoice.clone().filter(|_| missing && asked_for(&gate, price).is_none());
            gates.push(self.view(&gate, price, why));
        }
        Some(PayPage { recipient: page.recipient, gates })
    }

    fn view(&self, gate: &Gate, price: Price, why_no_invoice: Option<String>) -> PayGate {
        let asked = asked_for(gate, price);
        let live = asked.filter(|quote| quote.bolt11.is_some());
        let kept = gate.quotes.iter().rev().find(|quote| {
            let state = quote.state;
            matches!(state, QuoteState::Held | QuoteState::Settled | QuoteState::Escrowed | QuoteState::Released)
        });
        let shown = if gate.state == GateState::Waiting { asked } else { kept };
        let due = gate.quotes.iter().rev().find(|q| matches!(q.state, QuoteState::Refunding(_) | QuoteState::Stuck(_)));
        PayGate {
            gate: gate.id,
            state: gate.state,
            refunded: gate.refunded,
            received_at: date(gate.created_at),
            price: gate.price,
            priority_price: gate.priority_price,
            amount: shown.map_or_else(|| amount(gate, price), |quote| quote.received.unwrap_or(quote.amount)),
            bolt11: live.and_then(|q| q.bolt11.clone()),
            why_no_invoice,
            expires_at: live.map(|q| date(q.expires_at)),
            hold_until: gate.hold_until.map(date),
            can_pay_in_sandbox: live.is_some() && run::sandbox(&self.0).is_ok(),
            hold: shown.map_or(HoldKind::Htlc, |quote| quote.kind),
            refund_to: shown.and_then(|quote| quote.target.as_ref()).map(in_words),
            refund: due.map(|quote| self.refund_view(quote)),
            voucher: gate.voucher,
        }
    }

    fn refund_view(&self, quote: &Quote) -> RefundView {
        let stuck = matches!(quote.state, QuoteState::Stuck(_));
        let link = quote.withdraw.as_ref().filter(|_| !stuck).and_then(|token| self.url("lnurlw", token));
        RefundView {
            amount: quote.received.unwrap_or(quote.amount),
            to: quote.target.as_ref().map_or_else(|| "nobody knows where yet".to_owned(), in_words),
            lnurl: link.and_then(|url| lightning::lnurl::encode(&url)),
            stuck,
        }
    }

    fn url(&self, what: &str, token: &str) -> Option<String> {
        let running = self.0.running().ok()?;
        Some(format!("{}/{what}/{token}", running.public_url))
    }

    /// A gate of a page.
    async fn gate(&self, token: &str, gate: GateId) -> Result<Gate, String> {
        let page = self.0.store.page(token).await.ok().flatten().ok_or("this page is closed")?;
        Ok(page.gates.into_iter().find(|one| one.id == gate).ok_or("this mail is not on this page")?)
    }
}

/// What a gate asks of somebody who chose `price`.
fn amount(gate: &Gate, price: Price) -> Msat {
    match price {
        Price::Asked => gate.price,
        Price::Priority => gate.priority_price.max(gate.price),
    }
}

/// The live quote over `price`, with or without its invoice.
fn asked_for(gate: &Gate, price: Price) -> Option<&Quote> {
    let (amount, now) = (amount(gate, price), now_ms());
    ask::live_quote(gate, amount, now).or_else(|| ask::begun_quote(gate, amount, now))
}

fn in_words(target: &RefundTarget) -> String {
    match target {
        RefundTarget::Address(address) => address.clone(),
        RefundTarget::Withdraw => "your wallet, by a link on this page".to_owned(),
        RefundTarget::Sandbox => "the sandbox wallet".to_owned(),
    }
}

/// What a page says when the store fails.
fn later(error: store::StoreError) -> String {
    tracing::warn!(%error, "a page");
    "the server is busy; please try again".to_owned()
}

/// Whether opening the page makes invoices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoting {
    WhereMissing,
    Never,
}

#[async_trait]
impl web::Host for WebHost {
    async fn pay_page(&self, token: &str, price: Price) -> Option<PayPage> {
        self.page(token, price, Quoting::WhereMissing).await
    }

    async fn pay_state(&self, token: &str, price: Price) -> Option<PayPage> {
        self.page(token, price, Quoting::Never).await
    }

    async fn sandbox_pay(&self, token: &str, gate: GateId, price: Price) -> Result<(), String> {
        let away = || "the sandbox wallet is not available".to_owned();
        let sandbox = run::sandbox(&self.0).map_err(|_| away())?;
        let gate = self.gate(token, gate).await?;
        let quote = ask::live_quote(&gate, amount(&gate, price), now_ms());
        let quote = quote.ok_or("there is no invoice to pay; reload the page")?;
        let bolt11 = quote.bolt11.as_deref().ok_or_else(away)?;
        sandbox.pay(bolt11).await.map(|_| ()).map_err(|error| error.to_string())
    }

    async fn set_refund(&self, token: &str, gate: GateId, price: Price, target: &str) -> Result<(), String> {
        let house = &self.0;
        let gate = self.gate(token, gate).await?;
        let quote = asked_for(&gate, price).filter(|quote| quote.kind == HoldKind::Escrow);
        let quote = quote.ok_or("this payment needs no refund address; reload the page")?;
        let target = refund::target(house, target, quote.amount).await?;
        if !house.store.set_refund_target(quote.id, target, now_ms()).await.map_err(later)? {
            return Err("a refund of this payment already has another target; reload the page".into());
        }
        // The page makes the invoice when it is opened; this only makes it sooner.
        if let Err(error) = ask::quote(house, gate.id, price == Price::Priority).await {
            tracing::info!(gate = gate.id.0, %error, "no invoice yet");
        }
        Ok(())
    }

    async fn ask_refund_link(&self, token: &str, gate: GateId) -> Result<(), String> {
        let house = &self.0;
        let gate = self.gate(token, gate).await?;
        let quote = gate.quotes.iter().rev().find(|quote| quote.target.is_some());
        let quote = quote.ok_or("there is no refund to change")?;
        if house.store.ask_refund_link(quote.id, now_ms()).await.map_err(later)? {
            house.work.notify_waiters();
            Ok(())
        } else {
            Err("a link was mailed lately, or nobody can be mailed: the mail's author could not be verified".into())
        }
    }

    async fn refund(&self, token: &str) -> Option<RefundView> {
        let escrowed =
            self.0.store.escrow_of_token(token).await.ok()?.filter(|one| one.link.as_deref() == Some(token))?;
        let to = escrowed.target.as_ref().map_or_else(|| "nobody knows where yet".to_owned(), in_words);
        let stuck = matches!(escrowed.state, QuoteState::Stuck(_));
        Some(RefundView { amount: escrowed.amount, to, lnurl: None, stuck })
    }

    async fn change_refund(&self, token: &str, target: &str) -> Result<(), String> {
        let house = &self.0;
        let escrowed = house.store.escrow_of_token(token).await.map_err(later)?.ok_or("this link was used")?;
        let target = refund::target(house, target, escrowed.amount).await?;
        if house.store.retarget_refund(escrowed.quote, Some(token), target, now_ms()).await.map_err(later)? {
            house.work.notify_waiters();
            Ok(())
        } else {
            Err("this link was used, or the refund is being paid just now: look again in a minute".into())
        }
    }

    async fn withdrawal(&self, token: &str) -> Option<Withdrawal> {
        let escrowed = self.0.store.escrow_of_token(token).await.ok()?.filter(|one| one.withdraw == token)?;
        let is_due = matches!(escrowed.state, QuoteState::Refunding(_)) && escrowed.invoice.is_none();
        Some(Withdrawal {
            callback: self.url("lnurlw", &format!("{token}/pay"))?,
            k1: token.to_owned(),
            amount: if is_due { escrowed.amount } else { Msat::ZERO },
        })
    }

    async fn withdraw(&self, token: &str, bolt11: &str) -> Result<(), String> {
        refund::withdraw(&self.0, token, bolt11).await
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
