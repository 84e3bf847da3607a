//! The pay page: what is asked, what locked means, and how it stands.

use std::fmt::Write;

use lnmp::{GateId, GateState, HoldKind};
use serde::Serialize;

use crate::html::{Page, Text, Time};
use crate::page::{refund, voucher};
use crate::routes::priority_query;
use crate::{PayGate, PayPage, Price, limits, qr};

/// Something that was just refused.
#[derive(Clone, Copy)]
pub(crate) struct Failed<'a> {
    pub(crate) gate: GateId,
    pub(crate) what: &'a str,
    pub(crate) why: &'a str,
}

/// What all cards of a page share.
#[derive(Clone, Copy)]
struct Shared<'a> {
    token: &'a str,
    page: &'a PayPage,
    price: Price,
    sandbox: bool,
}

/// The page, over `price`.
pub(crate) fn render(token: &str, page: &PayPage, price: Price, sandbox: bool, failed: Option<Failed<'_>>) -> String {
    let shared = Shared { token, page, price, sandbox };
    let shown = shown(page);
    let state = State::of(page);
    let open = shown.iter().filter(|gate| !is_done(gate)).count();
    let mut main = String::new();
    // Once all is over the page says how it ended and nothing else: not even to whom.
    let title = if open == 0 {
        main.push_str("<section class=\"hero\"><h1>Closed</h1></section>\n");
        "Closed".to_owned()
    } else {
        let title = format!("Mail to {}", page.recipient);
        let _ = write!(
            main,
            "<section class=\"hero\"><h1>Your {mail} to <span class=\"address\">{}</span></h1>\n<p class=\"lead\">{}</p></section>\n",
            Text(&page.recipient),
            lead(&shown),
            mail = if shown.len() == 1 { "mail" } else { "mails" },
        );
        title
    };
    let _ = writeln!(main, "<div id=\"live\" data-version=\"{}\" data-done=\"{}\">", Text(&state.version), state.done);
    for (index, gate) in shown.iter().enumerate() {
        card(&mut main, shared, gate, (index + 1, shown.len()), failed.filter(|failed| failed.gate == gate.gate));
    }
    if page.gates.len() > shown.len() {
        let _ = writeln!(
            main,
            "<p class=\"small\">{} more mails follow when these are done.</p>",
            page.gates.len() - shown.len()
        );
    }
    main.push_str("</div>\n<p id=\"said\" class=\"unseen\" role=\"status\" aria-live=\"polite\"></p>\n");
    if shown.iter().any(|gate| !is_done(gate) && gate.hold == HoldKind::Htlc) {
        main.push_str(if shown.iter().any(|gate| voucher::is_open(gate)) {
            voucher::WHAT_IT_MEANS
        } else {
            WHAT_LOCKED_MEANS
        });
    }
    let mut head = String::new();
    if !state.done {
        head.push_str("<script src=\"/pay.js\" defer></script>\n");
        // `watch` makes no new invoice, however long the page stays open.
        let _ = writeln!(
            head,
            "<noscript><meta http-equiv=\"refresh\" content=\"10; url=/pay/{}?watch{}\"></noscript>",
            Text(token),
            if price == Price::Priority { "&amp;priority" } else { "" },
        );
    }
    Page { title: &title, head: &head, main: &main, sandbox }.to_string()
}

/// How the page stands, for the script: it reloads the cards when `version` changes.
#[derive(Debug, Serialize)]
pub(crate) struct State {
    /// Differs when the page would read differently.
    pub(crate) version: String,
    /// Nothing can change any more.
    pub(crate) done: bool,
    gates: Vec<GateJson>,
}

#[derive(Debug, Serialize)]
struct GateJson {
    gate: i64,
    state: &'static str,
    refunded: bool,
    payable: bool,
    expires_at: Option<String>,
    hold_until: Option<String>,
}

impl State {
    pub(crate) fn of(page: &PayPage) -> Self {
        let shown = shown(page);
        let mut version = String::new();
        for gate in &shown {
            let payable = payable(gate).is_some();
            let _ = write!(
                version,
                "{}{}.{}{}{}{}{}{}",
                if version.is_empty() { "" } else { "-" },
                gate.gate,
                gate.state.name(),
                if gate.refunded { ".again" } else { "" },
                if payable { ".payable" } else { "" },
                if voucher::is_open(gate) { ".voucher" } else { "" },
                if gate.hold == HoldKind::Escrow { ".escrow" } else { "" },
                match &gate.refund {
                    Some(refund) if refund.stuck => ".stuck",
                    Some(_) => ".refunding",
                    None => "",
                },
            );
        }
        let at = |time: chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        Self {
            version,
            done: shown.iter().all(|gate| is_done(gate)),
            gates: shown
                .iter()
                .map(|gate| GateJson {
                    gate: gate.gate.0,
                    state: gate.state.name(),
                    refunded: gate.refunded,
                    payable: payable(gate).is_some(),
                    expires_at: payable(gate).and(gate.expires_at).map(at),
                    hold_until: gate.hold_until.filter(|_| gate.state == GateState::Held).map(at),
                })
                .collect(),
        }
    }
}

/// Whether nothing can change any more: money on its way back still does.
fn is_done(gate: &PayGate) -> bool {
    gate.state.is_over() && gate.refund.is_none()
}

/// The gates of the page, open ones first, bounded.
fn shown(page: &PayPage) -> Vec<&PayGate> {
    let (over, open): (Vec<_>, Vec<_>) = page.gates.iter().partition(|gate| is_done(gate));
    open.into_iter().chain(over).take(limits::GATES_SHOWN_MAX).collect()
}

/// The invoice, as long as it is what the page is about.
fn payable(gate: &PayGate) -> Option<&str> {
    gate.bolt11.as_deref().filter(|_| gate.state == GateState::Waiting)
}

fn lead(shown: &[&PayGate]) -> String {
    let count = |state| shown.iter().filter(|gate| gate.state == state).count();
    let one = shown.len() == 1;
    let escrow = shown.iter().any(|gate| !is_done(gate) && gate.hold == HoldKind::Escrow);
    if let Some(lead) = voucher::lead(shown) {
        return lead;
    }
    match (count(GateState::Waiting), count(GateState::Held)) {
        (0, 0) if shown.iter().any(|gate| gate.refund.is_some()) => {
            "Your payment was not kept: this page says how it comes back to you.".to_owned()
        }
        (0, 0) => "It was accepted. There is nothing more to do.".to_owned(),
        (0, _) if escrow => "Your payment is kept in escrow. This page says how it ends.".to_owned(),
        (1, _) if one && escrow => {
            "It has arrived and is waiting. Put a small payment behind it to have it read; you get it back in full \
             unless the mail is accepted."
                .to_owned()
        }
        (0, _) => "Your payment is locked. There is nothing more to do: this page says how it ends.".to_owned(),
        (1, _) if one => {
            "It has arrived and is waiting. Lock a small payment to put it before its reader; you get it back \
                          in full unless the mail is accepted."
                .to_owned()
        }
        (1, _) => {
            "One of your mails is waiting. Lock a small payment to put it before its reader; you get it back in full \
                   unless the mail is accepted."
                .to_owned()
        }
        (n, _) => format!(
            "{n} mails have arrived and are waiting. Lock a small payment for each one you want read; you get it back \
             in full unless that mail is accepted."
        ),
    }
}

fn card(main: &mut String, shared: Shared<'_>, gate: &PayGate, (n, of): (usize, usize), failed: Option<Failed<'_>>) {
    let Shared { token, page, .. } = shared;
    let (pill, tone) = pill(gate);
    let name = if of > 1 { format!("Mail {n} of {of}") } else { String::new() };
    let _ = write!(
        main,
        "<article class=\"card gate {tone}\" id=\"gate-{id}\" aria-label=\"{label}\">\n<header><span class=\"pill {tone}\">{pill}</span>",
        id = gate.gate,
        label = if of > 1 { format!("{name}: {pill}") } else { pill.to_owned() },
    );
    if of > 1 {
        let _ = write!(main, "<span class=\"count\">{n} of {of}</span>");
    }
    if !gate.state.is_over() {
        let came = if voucher::is_open(gate) { "refused" } else { "arrived" };
        let _ = write!(main, "<span class=\"arrived\">{came} {}</span>", Time(gate.received_at));
    }
    main.push_str("</header>\n");
    if let Some(Failed { what, why, .. }) = failed {
        let _ = writeln!(main, "<p class=\"notice bad\" role=\"alert\"><b>{}</b> {}</p>", Text(what), Text(why));
    }
    if let Some(refund) = &gate.refund {
        refund::due(main, token, gate, refund);
    }
    match gate.state {
        GateState::Waiting => waiting(main, shared, gate),
        GateState::Held if voucher::is_open(gate) => voucher::paid(main, &page.recipient, token, gate),
        GateState::Held if gate.hold == HoldKind::Escrow => {
            let until = gate.hold_until.map_or_else(String::new, |until| format!(" by <b>{}</b>", Time(until)));
            let _ = write!(
                main,
                "<p class=\"amount\">{amount}</p>\n<p><b>Received in escrow.</b> Your mail now stands before {to}. The operator of \
                 this server keeps the money for you: accepted, it is its reader\u{2019}s; declined, or without an answer{until}, \
                 all of it is paid back to {back}.</p>\n",
                amount = gate.amount,
                to = Text(&page.recipient),
                back = Text(gate.refund_to.as_deref().unwrap_or("you")),
            );
            refund::change(main, token, gate);
        }
        GateState::Held => {
            let until = gate.hold_until.map_or_else(String::new, |until| {
                format!(" Without an answer by <b>{}</b> it goes back to you by itself, in full.", Time(until))
            });
            let _ = write!(
                main,
                "<p class=\"amount\">{amount}</p>\n<p><b>Locked.</b> Your mail now stands before {to}, and the money has \
                 not been taken.{until}</p>\n<p class=\"small\">Your wallet shows the payment as pending, some show a \
                 spinner. That is as it should be; you may close the wallet and this page.</p>\n",
                amount = gate.amount,
                to = Text(&page.recipient),
            );
        }
        GateState::Settling => {
            let _ = write!(
                main,
                "<p class=\"amount\">{}</p>\n<p><b>Accepted.</b> The payment is being collected; that takes a moment.</p>\n",
                gate.amount
            );
        }
        GateState::Settled => {
            main.push_str("<p><b>Closed.</b> The mail was accepted and the payment is settled.</p>\n")
        }
        GateState::Declined | GateState::Lost | GateState::Waived if gate.refund.is_some() => {}
        GateState::Declined => {
            main.push_str("<p><b>Closed.</b> The payment was refunded in full: nothing was taken.</p>\n");
        }
        GateState::Lost => {
            main.push_str(
                "<p><b>Closed.</b> The payment went back to your wallet before it could be collected: refunded.</p>\n",
            );
        }
        GateState::Waived if gate.voucher.is_some() => main.push_str(voucher::over(gate)),
        GateState::Waived => {
            main.push_str(
                "<p><b>Closed.</b> No payment is needed any more; one that comes now is refunded at once.</p>\n",
            );
        }
    }
    main.push_str("</article>\n");
}

fn pill(gate: &PayGate) -> (&'static str, &'static str) {
    match gate.state {
        GateState::Waiting if payable(gate).is_some() => ("Waiting for payment", "wait"),
        GateState::Waiting => ("Waiting", "wait"),
        GateState::Held if voucher::is_open(gate) => ("Paid: send it now", "held"),
        GateState::Held if gate.hold == HoldKind::Escrow => ("In escrow", "held"),
        GateState::Held => ("Locked", "held"),
        GateState::Settling => ("Accepted", "good"),
        GateState::Settled => ("Settled", "good"),
        GateState::Declined | GateState::Lost | GateState::Waived if gate.refund.is_some() => {
            ("Refund on its way", "back")
        }
        GateState::Declined | GateState::Lost => ("Refunded", "back"),
        GateState::Waived if gate.voucher.is_some() && gate.refunded => ("Refunded", "back"),
        GateState::Waived if gate.voucher.is_some() => ("Over", "back"),
        GateState::Waived => ("Nothing to pay", "back"),
    }
}

fn waiting(main: &mut String, shared: Shared<'_>, gate: &PayGate) {
    let Shared { token, page, price, sandbox } = shared;
    if gate.refunded {
        main.push_str(
            "<p class=\"notice\"><b>Refunded: nobody answered in time.</b> Your payment went back in full. The mail is \
             still there, and you may lock a payment again.</p>\n",
        );
    }
    let amount = gate.amount;
    let _ = write!(
        main,
        "<p class=\"amount\">{amount}</p>\n<p class=\"to\">{} for <b>{}</b></p>\n",
        if gate.hold == HoldKind::Escrow { "to be kept in escrow" } else { "to be locked" },
        Text(&page.recipient)
    );
    choice(main, token, gate, price);
    let escrow = gate.hold == HoldKind::Escrow && gate.why_no_invoice.is_none();
    if escrow && gate.refund_to.is_none() && gate.bolt11.is_none() {
        refund::ask(main, token, gate, price, sandbox);
        return;
    }
    let Some(invoice) = payable(gate) else {
        match &gate.why_no_invoice {
            Some(why) => {
                let _ = write!(
                    main,
                    "<p class=\"notice\"><b>No invoice at the moment:</b> {}.</p>\n\
                     <p><a class=\"button\" href=\"/pay/{}{}\">Try again</a></p>\n",
                    Text(why.trim_end_matches('.')),
                    Text(token),
                    priority_query(price),
                );
            }
            None => {
                let _ = write!(
                    main,
                    "<p>An invoice is good for a short while only, and none is open now.</p>\n\
                     <p><a class=\"button primary\" href=\"/pay/{}{}\">Get an invoice</a></p>\n",
                    Text(token),
                    priority_query(price),
                );
            }
        }
        return;
    };
    if let Some(back) = &gate.refund_to {
        let _ = writeln!(
            main,
            "<p class=\"notice\"><b>Escrow.</b> The operator of this server receives this payment and keeps it for you. If it \
             is not accepted, all of it is paid back to {}.</p>",
            Text(back)
        );
    }
    main.push_str("<div class=\"pay\">\n");
    if let Some(picture) = qr::svg(invoice, &format!("QR code of the Lightning invoice over {amount}")) {
        let _ = writeln!(main, "<div class=\"code\">{picture}</div>");
    }
    let id = gate.gate;
    let _ = write!(
        main,
        "<div class=\"ways\">\n<a class=\"button primary\" href=\"lightning:{invoice}\">Open in a Lightning wallet</a>\n\
         <button type=\"button\" class=\"button copy\" data-copy=\"invoice-{id}\" hidden>Copy the invoice</button>\n",
        invoice = Text(invoice),
    );
    if gate.can_pay_in_sandbox {
        let _ = writeln!(
            main,
            "<form method=\"post\" action=\"/pay/{token}/sandbox\"><input type=\"hidden\" name=\"gate\" value=\"{id}\">{priority}\
             <button class=\"button\">Pay with the sandbox wallet</button></form>",
            token = Text(token),
            priority =
                if price == Price::Priority { "<input type=\"hidden\" name=\"priority\" value=\"1\">" } else { "" },
        );
    }
    if let Some(expires_at) = gate.expires_at {
        let _ = writeln!(main, "<p class=\"small\">This invoice can be paid until {}.</p>", Time(expires_at));
    }
    let _ = write!(
        main,
        "</div>\n<div class=\"invoice\"><h3 id=\"invoice-label-{id}\">Lightning invoice (BOLT 11)</h3>\
         <code id=\"invoice-{id}\" tabindex=\"0\" role=\"textbox\" aria-readonly=\"true\" aria-multiline=\"true\" \
         aria-labelledby=\"invoice-label-{id}\">{invoice}</code></div>\n</div>\n",
        invoice = Text(invoice),
    );
}

/// The asked price, or the priority price and what it buys.
fn choice(main: &mut String, token: &str, gate: &PayGate, price: Price) {
    if gate.priority_price <= gate.price {
        return;
    }
    let _ = match price {
        Price::Asked => writeln!(
            main,
            "<p class=\"small\">In a hurry? <a href=\"/pay/{}?priority\">Pay the priority price of {}</a>: the mail goes \
             straight to the inbox, marked.</p>",
            Text(token),
            gate.priority_price,
        ),
        Price::Priority => writeln!(
            main,
            "<p class=\"small\">The priority price: the mail goes straight to the inbox, marked. \
             <a href=\"/pay/{}\">Pay only the asked price of {}</a>.</p>",
            Text(token),
            gate.price,
        ),
    };
}

const WHAT_LOCKED_MEANS: &str = "<section class=\"card plain\" aria-labelledby=\"locked\">\
<h2 id=\"locked\">Locked, refunded unless accepted</h2>\n<ol class=\"steps\">\n\
<li><b>You pay the invoice</b><span>Your wallet locks the money on its way. Nobody has it yet.</span></li>\n\
<li><b>Your mail is shown</b><span>It moves from the unpaid ones to where its reader looks.</span></li>\n\
<li><b>Accepted, or refunded</b><span>Only if the reader accepts the mail is the payment taken. Declined or not \
answered in time: all of it goes back.</span></li>\n</ol>\n\
<p class=\"small\">While it is locked, wallets show the payment as <i>pending</i> or \u{201c}in flight\u{201d}, some as a \
spinner that keeps turning. Nothing is wrong then: close the wallet if you like, and do not pay twice.</p></section>\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RefundView;
    use chrono::DateTime;
    use lnmp::{Msat, Voucher};

    fn gate(id: i64, state: GateState) -> PayGate {
        let at = DateTime::from_timestamp(1_795_234_200, 0).unwrap();
        PayGate {
            gate: GateId(id),
            state,
            refunded: false,
            received_at: at,
            price: Msat(100_000),
            priority_price: Msat(1_000_000),
            amount: Msat(100_000),
            bolt11: Some("lnbcrt1u1pinvoice".into()),
            why_no_invoice: None,
            expires_at: Some(at),
            hold_until: Some(at),
            can_pay_in_sandbox: true,
            hold: HoldKind::Htlc,
            refund_to: None,
            refund: None,
            voucher: None,
        }
    }

    fn page(gates: Vec<PayGate>) -> PayPage {
        PayPage { recipient: "alice@satchel.test".into(), gates }
    }

    #[test]
    fn the_invoice_is_shown_only_while_the_gate_waits() {
        for state in GateState::ALL {
            let html = render(&"a".repeat(32), &page(vec![gate(7, state)]), Price::Asked, true, None);
            let waits = state == GateState::Waiting;
            for part in ["lnbcrt1u1pinvoice", "class=\"qr\"", "lightning:", "/sandbox\"><input"] {
                assert_eq!(html.contains(part), waits, "{part} in {}", state.name());
            }
        }
    }

    #[test]
    fn after_the_end_neither_recipient_nor_amount_is_shown() {
        for state in GateState::ALL.into_iter().filter(|state| state.is_over()) {
            let html = render(&"a".repeat(32), &page(vec![gate(7, state)]), Price::Asked, true, None);
            assert!(html.contains("Closed"), "{}", state.name());
            for part in ["alice", "100 sat", "21 Nov", "http-equiv=\"refresh\"", "pay.js"] {
                assert!(!html.contains(part), "{part} in {}", state.name());
            }
        }
    }

    #[test]
    fn open_mails_come_before_those_that_are_over_and_are_counted() {
        let html = render(
            &"a".repeat(32),
            &page(vec![gate(1, GateState::Settled), gate(2, GateState::Held), gate(3, GateState::Waiting)]),
            Price::Asked,
            false,
            None,
        );
        let places: Vec<_> = [2, 3, 1].iter().map(|id| html.find(&format!("id=\"gate-{id}\"")).unwrap()).collect();
        assert!(places.is_sorted());
        assert!(html.contains("1 of 3") && html.contains("3 of 3"));
    }

    #[test]
    fn the_version_changes_with_what_is_shown() {
        let waiting = gate(1, GateState::Waiting);
        let mut expired = waiting.clone();
        expired.bolt11 = None;
        let mut again = waiting.clone();
        again.refunded = true;
        let versions: std::collections::BTreeSet<_> = [waiting, expired, again, gate(1, GateState::Held)]
            .into_iter()
            .map(|gate| State::of(&page(vec![gate])).version)
            .collect();
        assert_eq!(versions.len(), 4);
    }

    #[test]
    fn a_page_lists_a_bounded_number_of_mails_and_says_so() {
        let gates = (0..60).map(|id| gate(id, GateState::Held)).collect();
        let html = render(&"a".repeat(32), &page(gates), Price::Asked, false, None);
        assert_eq!(html.matches("<article").count(), limits::GATES_SHOWN_MAX);
        assert!(html.contains("10 more mails"));
    }

    fn escrow(state: GateState) -> PayGate {
        PayGate { hold: HoldKind::Escrow, bolt11: None, ..gate(7, state) }
    }

    fn shown_of(gate: PayGate, price: Price) -> String {
        render(&"a".repeat(32), &page(vec![gate]), price, true, None)
    }

    #[test]
    fn escrow_asks_for_the_target_before_it_shows_an_invoice() {
        let html = shown_of(escrow(GateState::Waiting), Price::Asked);
        for part in ["Escrow.", "Your Lightning address", "value=\"withdraw\"", "value=\"sandbox\"", "/refund\""] {
            assert!(html.contains(part), "{part}");
        }
        assert!(!html.contains("lightning:"));
        let real = render(&"a".repeat(32), &page(vec![escrow(GateState::Waiting)]), Price::Asked, false, None);
        assert!(!real.contains("value=\"sandbox\""));
        let set = PayGate {
            bolt11: Some("lnbcrt1uescrow".into()),
            refund_to: Some("bob@wallet.test".into()),
            ..escrow(GateState::Waiting)
        };
        let html = shown_of(set, Price::Asked);
        assert!(html.contains("paid back to bob@wallet.test") && html.contains("lightning:lnbcrt1uescrow"));
        assert!(!html.contains("Your Lightning address"));
        let held = PayGate { refund_to: Some("bob@wallet.test".into()), ..escrow(GateState::Held) };
        let html = shown_of(held, Price::Asked);
        assert!(html.contains("In escrow") && html.contains("Received in escrow") && html.contains("/link\""));
        assert!(!html.contains("the money has not been taken"));
    }

    #[test]
    fn a_refund_is_shown_until_it_is_paid_and_can_be_fetched() {
        let refund = |lnurl: Option<&str>, stuck| {
            let lnurl = lnurl.map(str::to_owned);
            Some(RefundView { amount: Msat(100_000), to: "bob@wallet.test".into(), lnurl, stuck })
        };
        for state in [GateState::Declined, GateState::Waived] {
            let html = shown_of(PayGate { refund: refund(None, false), ..escrow(state) }, Price::Asked);
            assert!(html.contains("100 sat is being paid back") && !html.contains("Closed"), "{}", state.name());
            assert!(!html.contains("refunded in full") && html.contains("pay.js"));
        }
        let html =
            shown_of(PayGate { refund: refund(Some("LNURL1X"), false), ..escrow(GateState::Declined) }, Price::Asked);
        assert!(html.contains("lightning:LNURL1X") && html.contains("class=\"qr\""));
        let html = shown_of(PayGate { refund: refund(None, true), ..escrow(GateState::Declined) }, Price::Asked);
        assert!(html.contains("does not get through") && html.contains("Mail me a link"));
        assert!(shown_of(escrow(GateState::Declined), Price::Asked).contains("refunded in full"));
    }

    #[test]
    fn a_voucher_says_to_pay_first_then_to_send_and_then_reads_like_any_mail() {
        let of = |voucher, state| PayGate { voucher: Some(voucher), ..gate(7, state) };
        let html = shown_of(of(Voucher::Open, GateState::Waiting), Price::Asked);
        for part in ["was not kept", "Pay first", "lnbcrt1u1pinvoice", "refused <time", "?priority"] {
            assert!(html.contains(part), "{part}");
        }
        assert!(!html.contains("It has arrived"));
        let html = shown_of(of(Voucher::Open, GateState::Held), Price::Asked);
        assert!(html.contains("Now send your mail again") && !html.contains("now stands before"));
        assert!(shown_of(of(Voucher::Used, GateState::Held), Price::Asked).contains("now stands before"));
        let over = PayGate { refunded: true, ..of(Voucher::Over, GateState::Waived) };
        assert!(shown_of(over, Price::Asked).contains("No mail came in time"));
        assert!(shown_of(of(Voucher::Over, GateState::Waived), Price::Asked).contains("not paid in time"));
        let escrow = PayGate { hold: HoldKind::Escrow, ..of(Voucher::Open, GateState::Held) };
        assert!(shown_of(escrow, Price::Asked).contains("/link\""), "where a refund goes can be changed");
        let versions =
            [Voucher::Open, Voucher::Used].map(|voucher| State::of(&page(vec![of(voucher, GateState::Held)])));
        assert_ne!(versions[0].version, versions[1].version);
    }

    #[test]
    fn the_page_offers_the_asked_price_or_priority() {
        let html = shown_of(gate(7, GateState::Waiting), Price::Asked);
        assert!(html.contains("?priority\">Pay the priority price of 1000 sat") && html.contains("100 sat</p>"));
        let chosen = PayGate { amount: Msat(1_000_000), ..gate(7, GateState::Waiting) };
        let html = shown_of(chosen, Price::Priority);
        assert!(html.contains("Pay only the asked price of 100 sat") && html.contains("name=\"priority\""));
        assert!(html.contains("?watch&amp;priority"));
        let same = PayGate { priority_price: Msat(100_000), ..gate(7, GateState::Waiting) };
        assert!(!shown_of(same, Price::Asked).contains("priority price"));
    }
}
